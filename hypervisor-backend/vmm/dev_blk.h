/* hypervisor-backend/vmm/dev_blk.h - virtio block device.
 * Role:      turns the guest's requests into be_file operations: bounds and
 *            sector arithmetic, several queues, rate limit, counts.
 * Ownership: takes the descriptor over on success; dev_blk_free() after
 *            virtio_pci_free() waits for what is in flight.
 * Threads:   see virtio.h; resize, limits and stats from any thread. With a
 *            thread of its own a disk waits for no other, whatever its file
 *            or the memory that it moves is waiting for.
 * Errors:    -EINVAL options, -EBUSY somebody else has the file; what the guest
 * asks wrongly gets IOERR or UNSUPP, what has no place for a status
 * NEEDS_RESET. Source:    VIRTIO 1.2, section 5.2. */
#ifndef HYPERVISOR_BACKEND_VMM_DEV_BLK_H
#define HYPERVISOR_BACKEND_VMM_DEV_BLK_H

#include "hypervisor-backend/vmm/be_file.h"
#include "hypervisor-backend/vmm/rate.h"
#include "hypervisor-backend/vmm/virtio.h"

#define DEV_BLK_CLASS 0x018000
#define DEV_BLK_SERIAL 20
#define DEV_BLK_MAX_QUEUES 16
#define DEV_BLK_BUCKETS 24 /* latency: bucket n is below 2^n microseconds */

struct dev_blk;

struct dev_blk_options {
    int fd;
    bool read_only, direct, no_io_uring;
    bool no_lock;       /* see be_file.h */
    unsigned n_queues;  /* 0: one */
    const char *serial; /* cut to DEV_BLK_SERIAL bytes; may be NULL */
    struct rate_limits limits;
};

struct dev_blk_stats {
    uint64_t reads, writes, flushes, discards, errors;
    uint64_t read_bytes, written_bytes;
    uint64_t no_space;  /* of errors: the host's disk is full */
    uint32_t in_flight; /* now */
    uint64_t throttled; /* times the rate limit held requests back */
    uint64_t latency[DEV_BLK_BUCKETS];
};

/* loop NULL: a thread of its own. */
int dev_blk_new(struct gmem *g, struct io_loop *loop,
                const struct dev_blk_options *o, struct dev_blk **ret,
                struct err *reterr) _must_check_;
void dev_blk_free(struct dev_blk *d);
struct virtio *dev_blk_virtio(struct dev_blk *d);
/* The file has another size now: tells the guest. */
int dev_blk_resized(struct dev_blk *d) _must_check_;
uint64_t dev_blk_capacity(struct dev_blk *d); /* bytes */
void dev_blk_set_limits(struct dev_blk *d, const struct rate_limits *l);
/* For a disk that is pulled out: what is in flight ends, then the descriptor
 * is closed and every request fails from now on, so that the driver need not
 * wait for any. Leaves the device paused. Not from the I/O thread. Afterwards
 * only virtio_resume() and dev_blk_free(). */
void dev_blk_give_up(struct dev_blk *d);
void dev_blk_stats(struct dev_blk *d, struct dev_blk_stats *ret);

#endif
