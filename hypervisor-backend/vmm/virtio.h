/* hypervisor-backend/vmm/virtio.h - what all virtio devices share.
 * Role:      device status, feature negotiation, queue setup, reset, config
 *            space and its generation; queues wired to an I/O thread. Between
 *            a transport (virtio_pci) above and a device (dev_*) below.
 * Ownership: the device makes it with virtio_new() and ends it with
 *            virtio_stop(), then virtio_free(); gmem, loop and type borrowed.
 * Threads:   v->lock guards everything here and the device's own state. The
 *            type's hooks run with it held: queue() on the I/O thread, the
 *            others on whichever thread the guest's access came from.
 *            virtio_notify() takes no lock.
 * Errors:    a guest that breaks rules: virtio_fail() sets DEVICE_NEEDS_RESET
 *            for this device, logs once, counts; nothing else stops.
 * Source:    VIRTIO 1.2, sections 2.1 to 2.5 and 3.1. */
#ifndef HYPERVISOR_BACKEND_VMM_VIRTIO_H
#define HYPERVISOR_BACKEND_VMM_VIRTIO_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>

#include "hypervisor-backend/vmm/be_loop.h"
#include "hypervisor-backend/vmm/virtq.h"

#define VIRTIO_MAX_QUEUES 32
#define VIRTIO_CONFIG_MAX 96
#define VIRTIO_NO_VECTOR 0xffff
#define VIRTIO_BIT(n) (UINT64_C(1) << (n))
/* By edges: a kick is an event, its eventfd's count is never read. */
#define VIRTIO_KICK_EVENTS ((uint32_t)EPOLLIN | (uint32_t)EPOLLET)
#define VIRTIO_BATCH 128 /* chains before another queue gets its turn */

struct virtio;

struct virtio_type {
    const char *name; /* "blk": logs, metrics */
    uint16_t id;      /* section 5 */
    /* Driver said DRIVER_OK, queues are live. */
    void (*start)(void *self);
    /* A queue has work: pop until empty, at most VIRTIO_BATCH. */
    void (*queue)(void *self, unsigned q);
    /* Stop taking work. True: nothing is in flight, all done. False: the
     * device calls virtio_reset_done() when the last of it came back. */
    bool (*reset)(void *self);
    /* True: nothing is in flight. NULL: never is anything while the lock is
     * free. A device that has it calls virtio_idle() whenever the last of
     * what was in flight came back. */
    bool (*idle)(void *self);
    /* The driver wrote config bytes that are in config_writable. May be
     * NULL. */
    void (*config_written)(void *self, unsigned offset, unsigned size);
    /* The device was paused or resumed, bus mastering or the routes of its
     * interrupts changed: whether something else (vhost) may work on the
     * rings, and what that is to signal, has to be looked at. May be NULL. */
    void (*update)(void *self);
};

struct virtio_queue {
    struct virtq vq;
    struct virtio *dev;
    unsigned index;
    uint16_t max, size, vector;
    bool enabled;
    uint64_t desc, avail, used;
    struct io_source kick; /* eventfd; also for ioeventfd */
};

struct virtio_transport {
    /* queue -1: configuration changed. */
    void (*raise)(void *self, int queue, uint16_t vector);
    bool (*may_dma)(void *self);
    /* An eventfd that raises the vector by itself, or -1: as of now there is
     * none. May be NULL. */
    int (*vector_fd)(void *self, uint16_t vector);
    void *self;
};

struct virtio {
    pthread_mutex_t lock;
    pthread_cond_t idle; /* resetting became false, or nothing in flight */
    const struct virtio_type *type;
    void *self;
    struct gmem *gmem;
    struct io_loop *loop;
    struct virtio_transport transport;
    uint64_t offered, acked;
    uint32_t device_select, driver_select, queue_select;
    uint8_t status, generation;
    uint16_t config_vector;
    bool resetting, paused;
    bool told; /* a fault was logged since the last reset */
    uint32_t max_bytes;
    _Atomic uint64_t n_kicks, n_faults, n_interrupts;
    unsigned config_size;
    uint8_t config[VIRTIO_CONFIG_MAX], config_writable[VIRTIO_CONFIG_MAX];
    unsigned n_queues;
    struct virtio_queue queues[];
};

/* queue_max: each queue's largest size. max_bytes: cap for one chain. */
int virtio_new(const struct virtio_type *type, void *self, struct gmem *g,
               struct io_loop *loop, unsigned n_queues, uint16_t queue_max,
               uint32_t max_bytes, struct virtio **ret) _must_check_;
/* Ends with virtio_pci_free(), virtio_stop(), virtio_free(), in this order.
 * From the host's side, as if the driver wrote 0 to the status: waits until
 * nothing is in flight. Not from the I/O thread. */
void virtio_stop(struct virtio *v);
/* Drops the kicks' sources and frees. After virtio_stop(). */
void virtio_free(struct virtio *v);
/* Between pause and resume no chain is taken; pause returns when nothing is
 * in flight. Not from the I/O thread. Both idempotent. */
void virtio_pause(struct virtio *v);
void virtio_resume(struct virtio *v);

/* --- for transports; all but notify take the lock themselves --- */
void virtio_set_status(struct virtio *v, uint8_t value);
void virtio_set_driver_features(struct virtio *v, uint32_t value);
void virtio_notify(struct virtio *v, unsigned queue);
/* Every queue has a look, e.g. after bus mastering was allowed. */
void virtio_kick_all(struct virtio *v);
void virtio_update(struct virtio *v);              /* see virtio_type */
bool virtio_queues_frozen(const struct virtio *v); /* lock held */
uint64_t virtio_config_read(struct virtio *v, uint64_t offset, unsigned size);
void virtio_config_write(struct virtio *v, uint64_t offset, unsigned size,
                         uint64_t value);

/* --- for devices, lock held --- */
bool virtio_has(const struct virtio *v, unsigned feature_bit); /* negotiated */
bool virtio_live(const struct virtio *v); /* may take chains */
/* As virtq_pop(); a broken ring has failed the device. */
int virtio_pop(struct virtio *v, unsigned q,
               struct virtq_chain *c) _must_check_;
void virtio_push(struct virtio *v, unsigned q, uint16_t head, uint32_t written);
/* Publishes what was pushed and interrupts if wanted. */
void virtio_flush(struct virtio *v, unsigned q);
/* For a ring that someone else serves: raises its interrupt; the eventfd that
 * does so until the next update, or -1. */
void virtio_interrupt(struct virtio *v, unsigned q);
int virtio_vector_fd(struct virtio *v, unsigned q);
/* The guest broke a rule of the device's own. */
void virtio_fail(struct virtio *v, const char *why);
void virtio_reset_done(struct virtio *v);
void virtio_idle(struct virtio *v);
/* Config bytes changed: new generation, interrupt. */
void virtio_config_changed(struct virtio *v);

/* The common loop of queue(): takes chains and hands each to fn until the
 * queue is empty (then it is armed), VIRTIO_BATCH were taken (then it is
 * kicked again), or ready (may be NULL) or fn returns false (then the device
 * must call queue() again itself). ready runs before each chain is taken and
 * may change c->iov. Flushes. chain's iov and room are the caller's. */
void virtio_each(struct virtio *v, unsigned q, struct virtq_chain *c,
                 bool (*ready)(void *self, unsigned q, struct virtq_chain *c),
                 bool (*fn)(void *self, unsigned q, struct virtq_chain *c));

#endif
