/* hypervisor-backend/vmm/devices-private.h - what devices*.c and their tests
 * share; see devices.h.
 * Role:      one device on the list, and what a VM gives to devices, so that
 *            tests can play the VM.
 * Ownership: a device's `want` holds its own strings and descriptors.
 * Threads:   the controlling thread changes all; what devices_walk() reads it
 *            changes with the lock held.
 * Errors:    as devices.h. */
#ifndef HYPERVISOR_BACKEND_VMM_DEVICES_PRIVATE_H
#define HYPERVISOR_BACKEND_VMM_DEVICES_PRIVATE_H

#include <pthread.h>

#include "hypervisor-backend/vmm/dev_console.h"
#include "hypervisor-backend/vmm/dev_rng.h"
#include "hypervisor-backend/vmm/dev_vsock.h"
#include "hypervisor-backend/vmm/devices.h"
#include "hypervisor-backend/vmm/hotplug.h"
#include "hypervisor-backend/vmm/virtio_pci.h"

/* What a VM has for its devices. */
struct devices_host {
    struct gmem *gmem;
    struct bus *bus;
    const struct irq *irq;
    struct pm *pm;
    const struct end_sink *end;        /* or NULL */
    struct virtio_pci_ioevent ioevent; /* add NULL: none */
};

struct device {
    enum devices_kind kind;
    unsigned slot;
    bool asked; /* to go */
    bool link_down;
    char *name;
    union {
        struct devices_disk disk;
        struct devices_nic nic;
        struct devices_vsock vsock;
        struct {
            struct devices_console port[DEVICES_MAX_CONSOLES];
            unsigned n;
        } console;
    } want;
    /* All NULL between two runs. */
    struct virtio *v;
    struct virtio_pci *pci;
    union {
        struct dev_blk *blk;
        struct dev_net *net;
        struct dev_vsock *vsock;
        struct dev_console *console;
        struct dev_rng *rng;
        struct dev_balloon *balloon;
    } is;
};

/* LOOP_OWN: the device has a thread of its own, it waits for no other. */
enum devices_loop { LOOP_NET, LOOP_OTHER, N_LOOPS, LOOP_OWN = N_LOOPS };

struct devices {
    struct devices_host host;
    struct pci *pci;         /* NULL between two runs */
    struct hotplug *hotplug; /* with pci */
    struct io_loop *loops[N_LOOPS];
    void (*detached)(void *arg, enum devices_kind kind, const char *name);
    void *detached_arg;
    int event_fd;
    bool paused;
    pthread_mutex_t lock; /* for devices_walk() from other threads */
    struct device *slots[PCI_SLOTS];
    /* What was pulled out in this run, until the guest has let go of it or
     * its slot is needed: a NIC leaves its husk on the bus; a disk stays, off
     * the list, and fails all requests (Linux waits for its requests before
     * it lets a disk go). */
    struct pci_dev *husks[PCI_SLOTS];
    struct device *ghosts[PCI_SLOTS];
};

int devices_new_on(const struct devices_host *host, struct devices_config *cfg,
                   struct devices **ret, struct err *reterr) _must_check_;
int devices_enter_on(struct devices *d, const struct devices_host *host,
                     struct err *reterr) _must_check_;
int devices_loop(struct devices *d, enum devices_loop which,
                 struct io_loop **ret, struct err *reterr) _must_check_;
/* NULL and -ENOENT recorded. name NULL: the first of its kind. */
struct device *device_find(struct devices *d, enum devices_kind kind,
                           const char *name, struct err *reterr);
/* The lowest slot that is free, by preference none of avoid; 0: none. */
unsigned devices_free_slot(const struct devices *d, uint32_t avoid);

/* --- devices-make.c: one device --- */
/* Checks and copies a description; takes its descriptors, also on failure.
 * where: the JSON pointer of the description, for errors. */
int device_want_disk(struct devices *d, struct devices_disk *in,
                     const char *where, struct device **ret,
                     struct err *reterr) _must_check_;
int device_want_nic(struct devices *d, struct devices_nic *in,
                    const char *where, struct device **ret,
                    struct err *reterr) _must_check_;
int device_want_vsock(struct devices_vsock *in, struct device **ret,
                      struct err *reterr) _must_check_;
int device_want_consoles(struct devices_console *in, size_t n,
                         struct device **ret, struct err *reterr) _must_check_;
struct device *device_want_plain(enum devices_kind kind);
void device_free(struct device *dev); /* after device_end() */
void device_freep(struct device **dev);
/* Makes it and puts it on the bus in dev->slot; and takes it off again. A
 * pulled one leaves a husk if its guest may still use it. */
int device_begin(struct devices *d, struct device *dev,
                 struct err *reterr) _must_check_;
void device_end(struct devices *d, struct device *dev, bool pulled);
/* Ends what is left of what was pulled out of the slot. */
void devices_bury(struct devices *d, unsigned slot);

#endif
