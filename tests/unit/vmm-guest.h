/* tests/unit/vmm-guest.h - a guest's driver, played by a test.
 * Role:      memory, PCI bus, an interrupt recorder and one virtio device,
 *            driven through its registers and rings as a kernel would; and
 *            every way around the rules, for the hostile cases.
 * Threads:   the test's thread is the vCPU; the loop's is the device's.
 * Errors:    assertions of cmocka. */
#ifndef TESTS_UNIT_VMM_GUEST_H
#define TESTS_UNIT_VMM_GUEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <pthread.h>

#include "hypervisor-backend/vmm/virtio_pci.h"

#define GUEST_MIB UINT64_C(0x100000)
#define GUEST_WINDOW UINT64_C(0xd0000000)
#define GUEST_WINDOW_SIZE (UINT64_C(0xfe000000) - GUEST_WINDOW)
#define GUEST_VECTORS 64
#define GUEST_QUEUE 64 /* default size of a ring */
#define COMMON(name)                                                           \
    (VPCI_COMMON + offsetof(struct virtio_pci_common_cfg, name))
#define STATUS_LIVE                                                            \
    (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |                    \
     VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK)

struct guest_queue {
    unsigned index;
    uint16_t size, avail_idx, last_used, free;
    uint64_t desc, avail, used;
};

struct guest {
    struct gmem *mem;
    struct bus *bus;
    struct irq irq;
    struct end_sink end_sink;
    enum vm_end end; /* the last one */
    unsigned ends;
    struct pci *pci;
    struct io_loop *loop;
    struct virtio_pci *t;
    struct virtio *v;
    unsigned slot;
    uint64_t bar, heap;
    struct guest_queue q[8];
    pthread_mutex_t lock; /* the recorder's */
    pthread_cond_t raised;
    unsigned n_msi[GUEST_VECTORS]; /* by data */
    unsigned n_all;
};

struct guest_seg {
    uint64_t gpa;
    uint32_t len;
    bool in; /* the device writes it */
};

void guest_new(struct guest *g, uint64_t mem_bytes);
void guest_new_with(struct guest *g, uint64_t mem_bytes,
                    const struct gmem_options *o);
void guest_free(struct guest *g);
uint32_t guest_cfg_read(struct guest *g, unsigned slot, unsigned reg,
                        unsigned size);
void guest_cfg_write(struct guest *g, unsigned slot, unsigned reg,
                     unsigned size, uint32_t value);
/* Puts v on the bus, maps its BAR, turns MSI-X on with data = vector. */
void guest_plug(struct guest *g, struct virtio *v, uint32_t class_code);
/* The same for one that somebody else put on the bus, in that slot. */
void guest_drive(struct guest *g, struct virtio *v, unsigned slot);
void guest_unplug(struct guest *g);
uint64_t guest_read(struct guest *g, uint64_t offset, unsigned size);
void guest_write(struct guest *g, uint64_t offset, unsigned size,
                 uint64_t value);
/* Up to FEATURES_OK, with `features` of what is offered (VERSION_1 added). */
void guest_negotiate(struct guest *g, uint64_t features);
uint64_t guest_offered(struct guest *g);
/* Memory for the ring, registers and vector qi + 1; enabled. */
struct guest_queue *guest_queue(struct guest *g, unsigned qi, uint16_t size);
void guest_driver_ok(struct guest *g);
/* All of it: queues 0 .. n - 1 of the default size, live. */
void guest_start(struct guest *g, uint64_t features, unsigned n_queues);
void guest_reset(struct guest *g); /* and waits for status 0 */
uint8_t guest_status(struct guest *g);

uint64_t guest_alloc(struct guest *g, uint64_t size, uint64_t align);
void *guest_at(struct guest *g, uint64_t gpa, uint64_t len);
struct vring_desc *guest_desc(struct guest *g, struct guest_queue *q,
                              unsigned i);
/* Writes a chain into the table; the head's index. Not offered yet. */
uint16_t guest_chain(struct guest *g, struct guest_queue *q,
                     const struct guest_seg *segs, unsigned n);
void guest_offer(struct guest *g, struct guest_queue *q, uint16_t head);
void guest_kick(struct guest *g, struct guest_queue *q);
/* chain, offer and kick. */
uint16_t guest_send(struct guest *g, struct guest_queue *q,
                    const struct guest_seg *segs, unsigned n);
bool guest_used(struct guest *g, struct guest_queue *q,
                struct vring_used_elem *ret);
/* Waits for the next used element, by interrupts. */
struct vring_used_elem guest_wait(struct guest *g, struct guest_queue *q);
/* Waits until the device says NEEDS_RESET, by the config interrupt. */
void guest_wait_needs_reset(struct guest *g);
/* Waits until cond(arg), looked at after each interrupt; 10 s at most. */
void guest_wait_for(struct guest *g, bool (*cond)(void *arg), void *arg);
/* Until the I/O thread has done all that was asked before. */
void guest_settle(struct guest *g);
unsigned guest_interrupts(struct guest *g, unsigned vector);

#endif
