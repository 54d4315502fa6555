/* hypervisor-backend/vmm/virtq.h - one split virtqueue, the device's side.
 * Role:      takes descriptor chains out of guest memory as checked iovecs,
 *            gives them back in the used ring, says when to notify. Knows
 *            nothing of devices, registers or interrupts.
 * Ownership: borrows gmem; a chain's iovecs point into guest memory and live
 *            in the caller's array.
 * Threads:   one owner at a time (the device's lock); the guest's CPUs write
 *            the same memory at any moment.
 * Errors:    -EBADMSG the guest broke the ring's rules: the queue takes
 *            nothing more until it is started again.
 * Source:    Virtual I/O Device (VIRTIO) 1.2, section 2.7. */
#ifndef HYPERVISOR_BACKEND_VMM_VIRTQ_H
#define HYPERVISOR_BACKEND_VMM_VIRTQ_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "hypervisor-backend/vmm/gmem.h"

#define VIRTQ_MAX_SIZE 1024

struct vring_desc;

struct virtq_setup {
    uint64_t desc, avail, used; /* guest physical */
    uint16_t size;
    bool event_idx, indirect; /* negotiated */
    uint32_t max_bytes;       /* cap on the sum of a chain's lengths */
};

struct virtq {
    const struct gmem *gmem;
    const struct vring_desc *desc;
    uint16_t *avail, *used_hdr; /* flags, idx, then the ring */
    uint8_t *used;
    struct virtq_setup setup;
    uint16_t last_avail; /* next entry of the available ring */
    uint16_t next_used;  /* next of the used ring, published or not */
    uint16_t published;  /* used idx that the guest sees */
    uint16_t signalled;  /* next_used when we last asked should_notify */
    uint16_t in_flight;  /* taken, not given back */
    bool live, broken;
    const char *fault; /* why it is broken */
};

struct virtq_chain {
    struct iovec *iov; /* device-readable ones first; caller's array */
    uint16_t room;     /* its length */
    uint16_t head, n_out, n_in;
    uint32_t out_len, in_len; /* bytes to read, bytes to write */
};

/* Checks sizes, alignment and that all three areas are RAM. */
int virtq_start(struct virtq *q, const struct gmem *g,
                const struct virtq_setup *s) _must_check_;
/* Forgets everything, chains in flight too. */
void virtq_stop(struct virtq *q);
/* A live queue that someone else served and that has nothing in flight: the
 * next chain to take is number `at`, and all before are published. */
void virtq_seek(struct virtq *q, uint16_t at);
/* 1 and a chain, 0 when the ring is empty, -EBADMSG. chain->iov and room are
 * set by the caller. */
int virtq_pop(struct virtq *q, struct virtq_chain *c) _must_check_;
/* Puts the chain that was popped last back, as if it had never been taken. */
void virtq_unpop(struct virtq *q);
/* Returns a chain; the guest sees it only after virtq_publish(). */
void virtq_push(struct virtq *q, uint16_t head, uint32_t written);
/* Shows pushed chains to the guest. Returns true if it wants an interrupt. */
bool virtq_publish(struct virtq *q) _must_check_;
/* Asks for a kick when the ring fills. Returns true if it has already (then
 * no kick may come: pop on). */
bool virtq_arm(struct virtq *q) _must_check_;
/* Says that we are looking anyway. */
void virtq_disarm(struct virtq *q);
#ifndef NDEBUG
void virtq_check(const struct virtq *q);
#endif

/* Copy between a chain's readable (out) or writable (in) bytes and a buffer,
 * starting skip bytes in. Return what was copied, less at the end. */
size_t virtq_copy_out(const struct virtq_chain *c, size_t skip, void *buf,
                      size_t n);
size_t virtq_copy_in(const struct virtq_chain *c, size_t skip, const void *buf,
                     size_t n);
/* The piece [skip, skip + n) of an iovec array. Returns the entries used;
 * fewer bytes when out is full or the source ends. */
unsigned virtq_slice(const struct iovec *iov, unsigned n_iov, size_t skip,
                     size_t n, struct iovec *out, unsigned room);

#endif
