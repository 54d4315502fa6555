/* tests/vmm/lib-virtio.h - a driver for virtio devices in bare-metal guests.
 * Role:      serial reports, memory, PCI, interrupts by MSI-X, and rings that
 *            a guest may fill as it likes: the fields are there to be broken.
 * Ownership: alloc() never frees; a guest needs 8 MiB of memory.
 * Threads:   the first processor drives; others run what start_cpu() gave
 *            them, with 1 KiB of stack and no interrupts.
 * Errors:    check() prints "FAILED …" and goes on; what does not answer
 *            hangs, and the test's own time limit ends it.
 * Source:    VIRTIO 1.2, sections 2.7, 3.1 and 4.1. */
#ifndef TESTS_VMM_LIB_VIRTIO_H
#define TESTS_VMM_LIB_VIRTIO_H

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(n) (UINT64_C(1) << (n))
#define V1 BIT(VIRTIO_F_VERSION_1)
#define STATUS_LIVE 15

#define GUEST_VECTOR 0x40 /* interrupt 0; see lib-entry.S */
#define GUEST_IRQS 64
#define GUEST_IRQ_SCI 63

#define HOLE UINT64_C(0xc0000000) /* no RAM from here on */
#define PAST_RAM UINT64_C(0x40000000)

/* --- reports --- */
void put(const char *s);
void put_number(uint64_t v);
/* Prints "ok …" or "FAILED …". */
void check(bool ok, const char *what);
const char *cmdline(void);

/* --- memory and processor --- */
void *alloc(uint64_t size, uint64_t align); /* zeroed; address = pointer */
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *at, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
uint32_t in(unsigned port, unsigned size);
void out(unsigned port, unsigned size, uint32_t value);
uint64_t mmio_read(uint64_t addr, unsigned size);
void mmio_write(uint64_t addr, unsigned size, uint64_t value);
void start_cpu(void (*fn)(void));
void relax(void);

/* --- interrupts --- */
extern volatile unsigned irq_seen[GUEST_IRQS];
void irq_init(void);
/* Halts until irq_seen[irq] is not what it was. */
void irq_wait(unsigned irq, unsigned was);
/* The power button: its interrupt, and whether it was pressed since. */
void sci_init(void);
bool power_button(void);

/* --- PCI --- */
#define PCI_NONE 0xffu
uint32_t pci_read(unsigned slot, unsigned reg, unsigned size);
void pci_write(unsigned slot, unsigned reg, unsigned size, uint32_t value);

/* --- virtio --- */
#define VDEV_QUEUES 8
#define QUEUE_SIZE 16

struct seg {
    uint64_t addr;
    uint32_t len;
    bool in; /* the device writes it */
};
#define OUT(p, n) ((struct seg){(uintptr_t)(p), (n), false})
#define IN(p, n) ((struct seg){(uintptr_t)(p), (n), true})

struct vq {
    unsigned index;
    uint16_t size, next_avail, last_used, free;
    struct vring_desc *desc, *table; /* table: for indirect chains */
    uint16_t *avail;                 /* flags, index, ring, used_event */
    uint8_t *used;
    uint64_t notify;
    unsigned irq;
};

struct vdev {
    const char *name;
    unsigned slot, msix_cap, irq; /* irq: of the configuration; queues next */
    uint64_t bar, common, isr, device, notify;
    uint32_t notify_step;
    uint64_t features;
    bool interrupts; /* else it polls */
    unsigned faults; /* NEEDS_RESET seen */
    struct vq q[VDEV_QUEUES];
};

#define COMMON(d, field)                                                       \
    ((d)->common + offsetof(struct virtio_pci_common_cfg, field))

/* The nth device with that id; PCI set up. False: not there. */
bool vdev_find(struct vdev *d, unsigned id, unsigned nth);
uint64_t vdev_offered(struct vdev *d);
uint8_t vdev_status(struct vdev *d);
void vdev_set_status(struct vdev *d, uint8_t status);
void vdev_reset(struct vdev *d); /* and waits for status 0 */
/* Reset, then up to FEATURES_OK with what is offered of `features`. */
bool vdev_begin(struct vdev *d, uint64_t features);
/* Allocates once, enables; of that size, or less if the device wants. */
struct vq *vdev_queue(struct vdev *d, unsigned qi, uint16_t size);
void vdev_queue_registers(struct vdev *d, unsigned qi, uint16_t size,
                          uint64_t desc, uint64_t avail, uint64_t used);
/* All of it, queues 0 to n - 1; status LIVE. */
bool vdev_start(struct vdev *d, uint64_t features, unsigned n);
/* Waits for NEEDS_RESET and counts it. */
void vdev_wait_fault(struct vdev *d);

/* Writes a chain (an indirect one if that is negotiated); its head. */
uint16_t vq_chain(struct vdev *d, struct vq *q, const struct seg *s,
                  unsigned n);
void vq_offer(struct vq *q, uint16_t head);
void vq_kick(struct vdev *d, struct vq *q);
bool vq_used(struct vq *q, struct vring_used_elem *ret);
/* Waits for one; its written length. */
uint32_t vq_wait(struct vdev *d, struct vq *q);
/* chain, offer, kick. */
uint16_t vq_send(struct vdev *d, struct vq *q, const struct seg *s, unsigned n);
/* and wait. */
uint32_t vq_do(struct vdev *d, struct vq *q, const struct seg *s, unsigned n);

#endif
