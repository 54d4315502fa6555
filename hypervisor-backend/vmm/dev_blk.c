/* dev_blk.c - virtio block device; see dev_blk.h.
 *
 * Invariants (under the device's lock):
 *  1. A request is on the free list or in flight, never both; n_busy counts
 *     the latter. A reset ends when n_busy is 0.
 *  2. No I/O starts outside [0, capacity): sectors are checked by
 *     subtraction, against the capacity of now.
 *  3. Every chain taken is returned with a status byte, or the device waits
 *     for its reset. */
#include <config.h>

#include "hypervisor-backend/vmm/dev_blk.h"

#include <assert.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <string.h>

#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/be_timer.h"

enum {
    SECTOR_SHIFT = 9,
    SECTOR = 1 << SECTOR_SHIFT,
    QUEUE_SIZE = 256,
    SEG_MAX = 126,        /* data segments; header and status beside them */
    MAX_BYTES = 32 << 20, /* of one chain */
    RANGES_MAX = 16,      /* of one discard or write-zeroes */
    RANGE_SECTORS = 1 << 22,
    HEADER = sizeof(struct virtio_blk_outhdr),
};

#define RANGE struct virtio_blk_discard_write_zeroes

struct blk_req {
    struct be_io io; /* first: done() casts back */
    struct dev_blk *d;
    struct blk_req *next_free;
    uint16_t head, q;
    uint8_t kind; /* enum be_op */
    uint8_t n_ranges, at_range;
    uint8_t *status; /* in guest memory */
    uint32_t in_len;
    uint64_t began_ns, bytes;
    union {
        struct iovec iov[SEG_MAX + 2];
        RANGE ranges[RANGES_MAX];
    };
};

struct dev_blk {
    struct virtio *v;
    struct io_loop *own_loop; /* NULL: somebody else's */
    struct be_file *file;
    bool read_only;
    bool gone;         /* no file any more: all requests fail */
    uint64_t capacity; /* sectors */
    char serial[DEV_BLK_SERIAL];
    struct rate rate;
    struct io_timer timer;
    uint32_t waiting; /* queues that stopped for want of a request or tokens */
    uint32_t dirty;   /* queues with chains to publish */
    unsigned n_busy;
    struct blk_req *free; /* the last one returned first: warm memory */
    unsigned n_touched;   /* reqs from here on were never used */
    struct dev_blk_stats stats;
    struct blk_req reqs[BE_FILE_DEPTH];
};

/* --- ends of a request --- */

static void
release(struct blk_req *r)
{
    struct dev_blk *d = r->d;

    assert(d->n_busy);
    d->n_busy--;
    r->next_free = d->free;
    d->free = r;
}

static void
count_latency(struct dev_blk *d, uint64_t ns)
{
    uint64_t us = ns / 1000;
    unsigned bucket = us ? 64 - (unsigned)__builtin_clzll(us) : 0;

    d->stats.latency[MIN(bucket, DEV_BLK_BUCKETS - 1U)]++;
}

static void
complete(struct blk_req *r, uint8_t status)
{
    struct dev_blk *d = r->d;

    if (status != VIRTIO_BLK_S_OK)
        d->stats.errors++;
    *r->status = status;
    virtio_push(d->v, r->q, r->head, r->in_len);
    d->dirty |= 1U << r->q;
    release(r);
}

/* The guest has two words for it; the host's log has the reason. */
static uint8_t
failed(struct blk_req *r, int result)
{
    struct dev_blk *d = r->d;

    COUNT(vmm_blk_host_errors);
    if (result == -EOPNOTSUPP)
        return VIRTIO_BLK_S_UNSUPP;
    if (result == -ENOSPC || result == -EDQUOT) {
        COUNT(vmm_blk_no_space);
        d->stats.no_space++;
    }
    log_limited(LOG_LEVEL_WARN, "disk request failed; the guest is told",
                "op=%u offset=%llu bytes=%llu errno=%d", r->kind,
                (unsigned long long)r->io.offset, (unsigned long long)r->io.len,
                -result);
    return VIRTIO_BLK_S_IOERR;
}

static void next_range(struct blk_req *r);

static void
io_done(struct be_io *io, int result)
{
    struct blk_req *r = (struct blk_req *)io;
    struct dev_blk *d = r->d;

    if (result == 0 && r->n_ranges && ++r->at_range < r->n_ranges) {
        next_range(r);
        return;
    }
    count_latency(d, rate_now_ns() - r->began_ns);
    complete(r, result < 0 ? failed(r, result) : VIRTIO_BLK_S_OK);
}

static void run_queue(void *self, unsigned q);

static void
publish(struct dev_blk *d)
{
    while (d->dirty) {
        unsigned q = (unsigned)__builtin_ctz(d->dirty);

        d->dirty &= d->dirty - 1;
        virtio_flush(d->v, q);
    }
}

static void
run_waiting(struct dev_blk *d)
{
    uint32_t todo = d->waiting;

    d->waiting = 0;
    while (todo) {
        unsigned q = (unsigned)__builtin_ctz(todo);

        todo &= todo - 1;
        if (virtio_live(d->v))
            run_queue(d, q);
    }
}

/* After each batch of completions, on the I/O thread, lock held. */
static void
batch_done(void *self)
{
    struct dev_blk *d = self;

    publish(d);
    if (!d->n_busy)
        virtio_idle(d->v);
    if (d->v->resetting) {
        if (!d->n_busy)
            virtio_reset_done(d->v);
        return;
    }
    run_waiting(d);
}

static void
timer_fired(void *self)
{
    struct dev_blk *d = self;

    pthread_mutex_lock(&d->v->lock);
    run_waiting(d);
    pthread_mutex_unlock(&d->v->lock);
}

/* --- taking requests apart --- */

static bool
in_bounds(const struct dev_blk *d, uint64_t sector, uint64_t n)
{
    return sector <= d->capacity && n <= d->capacity - sector;
}

/* Section 5.2.6.2: without the flush feature every write is durable. */
static bool
write_through(const struct dev_blk *d)
{
    return !virtio_has(d->v, VIRTIO_BLK_F_FLUSH);
}

static void
start(struct blk_req *r, enum be_op op)
{
    r->kind = (uint8_t)op;
    r->io.op = op;
    r->io.durable = write_through(r->d);
    r->io.done = io_done;
    be_file_start(r->d->file, &r->io);
}

static void
next_range(struct blk_req *r)
{
    const RANGE *g = &r->ranges[r->at_range];

    r->io.offset = g->sector << SECTOR_SHIFT;
    r->io.len = (uint64_t)g->num_sectors << SECTOR_SHIFT;
    r->io.may_unmap = (g->flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP) != 0;
    start(r, (enum be_op)r->kind);
}

/* iov and n_iov are the data; len bytes of it. */
static void
read_write(struct blk_req *r, uint64_t sector, struct iovec *iov,
           unsigned n_iov, uint64_t len, bool write)
{
    struct dev_blk *d = r->d;

    if (len % SECTOR || !in_bounds(d, sector, len >> SECTOR_SHIFT) ||
        (write && d->read_only)) {
        complete(r, VIRTIO_BLK_S_IOERR);
        return;
    }
    rate_charge(&d->rate, 1, len);
    if (write) {
        d->stats.writes++;
        d->stats.written_bytes += len;
    } else {
        d->stats.reads++;
        d->stats.read_bytes += len;
    }
    if (!len) {
        complete(r, VIRTIO_BLK_S_OK);
        return;
    }
    r->io.iov = iov;
    r->io.n_iov = n_iov;
    r->io.offset = sector << SECTOR_SHIFT;
    r->io.len = len;
    start(r, write ? BE_WRITE : BE_READ);
}

/* The ranges are copied out of guest memory once, then checked. */
static void
ranges(struct blk_req *r, const struct virtq_chain *c, bool zero)
{
    struct dev_blk *d = r->d;
    size_t len = c->out_len - HEADER;
    RANGE copy[RANGES_MAX];
    uint64_t total = 0;
    unsigned n = 0;

    if (!virtio_has(d->v,
                    zero ? VIRTIO_BLK_F_WRITE_ZEROES : VIRTIO_BLK_F_DISCARD)) {
        complete(r, VIRTIO_BLK_S_UNSUPP);
        return;
    }
    if (!len || len % sizeof(RANGE) || len > sizeof(copy) || d->read_only) {
        complete(r, VIRTIO_BLK_S_IOERR);
        return;
    }
    virtq_copy_out(c, HEADER, copy, len);
    for (size_t i = 0; i < len / sizeof(RANGE); i++) {
        const RANGE *g = &copy[i];
        uint32_t allowed = zero ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0;

        if (g->flags & ~allowed) {
            complete(r, VIRTIO_BLK_S_UNSUPP);
            return;
        }
        if (g->num_sectors > RANGE_SECTORS ||
            !in_bounds(d, g->sector, g->num_sectors)) {
            complete(r, VIRTIO_BLK_S_IOERR);
            return;
        }
        total += (uint64_t)g->num_sectors << SECTOR_SHIFT;
        if (g->num_sectors)
            copy[n++] = *g;
    }
    d->stats.discards++;
    /* Zeroes may have to be written; a discard moves nothing. */
    rate_charge(&d->rate, 1, zero ? total : 0);
    if (!n) {
        complete(r, VIRTIO_BLK_S_OK);
        return;
    }
    memcpy(r->ranges, copy, n * sizeof(RANGE));
    r->n_ranges = (uint8_t)n;
    r->kind = zero ? BE_ZERO : BE_DISCARD;
    next_range(r);
}

/* Drops the first n readable bytes; they have been copied. */
static void
strip_header(struct virtq_chain *c, struct iovec **data, unsigned *n_data)
{
    size_t n = HEADER;
    unsigned i = 0;

    while (n >= c->iov[i].iov_len && i < c->n_out) {
        n -= c->iov[i].iov_len;
        i++;
        if (!n)
            break;
    }
    if (n && i < c->n_out) {
        c->iov[i].iov_base = (uint8_t *)c->iov[i].iov_base + n;
        c->iov[i].iov_len -= n;
    }
    *data = c->iov + i;
    *n_data = c->n_out - i;
}

static bool
request(void *self, unsigned q, struct virtq_chain *c)
{
    struct dev_blk *d = self;
    struct blk_req *r = d->free; /* ready() made c->iov its own */
    struct virtio_blk_outhdr h;
    struct iovec *last, *data;
    unsigned n_data;

    if (c->out_len < HEADER || !c->in_len) {
        virtio_fail(d->v, "disk request without header or status");
        return false;
    }
    d->free = r->next_free;
    d->n_busy++;
    r->head = c->head;
    r->q = (uint16_t)q;
    r->n_ranges = r->at_range = 0;
    r->in_len = c->in_len;
    r->began_ns = rate_now_ns();
    virtq_copy_out(c, 0, &h, sizeof(h));
    /* The status is the very last byte, however the rest is cut. */
    last = &c->iov[c->n_out + c->n_in - 1];
    last->iov_len--;
    r->status = (uint8_t *)last->iov_base + last->iov_len;
    if (d->gone) {
        complete(r, VIRTIO_BLK_S_IOERR);
        return true;
    }
    switch (h.type) {
    case VIRTIO_BLK_T_IN:
        read_write(r, h.sector, c->iov + c->n_out,
                   c->n_in - (last->iov_len == 0), c->in_len - 1, false);
        break;
    case VIRTIO_BLK_T_OUT:
        strip_header(c, &data, &n_data);
        read_write(r, h.sector, data, n_data, c->out_len - HEADER, true);
        break;
    case VIRTIO_BLK_T_FLUSH:
        d->stats.flushes++;
        rate_charge(&d->rate, 1, 0);
        start(r, BE_SYNC);
        break;
    case VIRTIO_BLK_T_GET_ID:
        if (c->in_len - 1 < DEV_BLK_SERIAL) {
            complete(r, VIRTIO_BLK_S_IOERR);
            break;
        }
        virtq_copy_in(c, 0, d->serial, sizeof(d->serial));
        complete(r, VIRTIO_BLK_S_OK);
        break;
    case VIRTIO_BLK_T_DISCARD:
        ranges(r, c, false);
        break;
    case VIRTIO_BLK_T_WRITE_ZEROES:
        ranges(r, c, true);
        break;
    default:
        complete(r, VIRTIO_BLK_S_UNSUPP);
        break;
    }
    return true;
}

/* May another request be taken? It is parsed in place, in its own room. */
static bool
ready(void *self, unsigned q, struct virtq_chain *c)
{
    struct dev_blk *d = self;
    uint64_t wait = rate_limited(&d->rate) && !d->gone
                        ? rate_wait_ns(&d->rate, rate_now_ns())
                        : 0;

    if (!d->free && d->n_touched < ARRAY_SIZE(d->reqs)) {
        d->free = &d->reqs[d->n_touched++];
        d->free->d = d;
    }
    if (!d->free || wait) {
        d->waiting |= 1U << q;
        if (wait) {
            d->stats.throttled++;
            io_timer_set(&d->timer, wait);
        }
        return false;
    }
    c->iov = d->free->iov;
    c->room = ARRAY_SIZE(d->free->iov);
    return true;
}

static void
run_queue(void *self, unsigned q)
{
    struct dev_blk *d = self;
    struct virtq_chain c = {0};

    virtio_each(d->v, q, &c, ready, request);
    d->dirty &= ~(1U << q);
    if (!d->gone) {
        be_file_submit(d->file);
        be_file_poll(d->file);
    }
}

static bool
reset(void *self)
{
    struct dev_blk *d = self;

    d->waiting = d->dirty = 0;
    return d->n_busy == 0;
}

static bool
idle(void *self)
{
    struct dev_blk *d = self;

    return d->n_busy == 0;
}

static const struct virtio_type blk_type = {.name = "blk",
                                            .id = VIRTIO_ID_BLOCK,
                                            .queue = run_queue,
                                            .reset = reset,
                                            .idle = idle};

/* --- life and control --- */

static void
fill_config(struct dev_blk *d, unsigned n_queues)
{
    struct virtio_blk_config c = {
        .capacity = d->capacity,
        .seg_max = SEG_MAX,
        .blk_size = SECTOR,
        .wce = 1,
        .num_queues = (uint16_t)n_queues,
        .max_discard_sectors = RANGE_SECTORS,
        .max_discard_seg = RANGES_MAX,
        .discard_sector_alignment = 8,
        .max_write_zeroes_sectors = RANGE_SECTORS,
        .max_write_zeroes_seg = RANGES_MAX,
        .write_zeroes_may_unmap = 1,
    };

    _Static_assert(sizeof(c) <= VIRTIO_CONFIG_MAX, "config space");
    d->v->config_size =
        offsetof(struct virtio_blk_config, max_secure_erase_sectors);
    memcpy(d->v->config, &c, d->v->config_size);
    d->v->offered |= VIRTIO_BIT(VIRTIO_BLK_F_SEG_MAX) |
                     VIRTIO_BIT(VIRTIO_BLK_F_BLK_SIZE) |
                     VIRTIO_BIT(VIRTIO_BLK_F_FLUSH) |
                     (n_queues > 1 ? VIRTIO_BIT(VIRTIO_BLK_F_MQ) : 0) |
                     (d->read_only ? VIRTIO_BIT(VIRTIO_BLK_F_RO)
                                   : VIRTIO_BIT(VIRTIO_BLK_F_DISCARD) |
                                         VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES));
}

int
dev_blk_new(struct gmem *g, struct io_loop *loop,
            const struct dev_blk_options *o, struct dev_blk **ret,
            struct err *reterr)
{
    struct be_file_options fo = {.direct = o->direct,
                                 .no_io_uring = o->no_io_uring,
                                 .read_only = o->read_only,
                                 .no_lock = o->no_lock};
    unsigned n_queues = o->n_queues ? o->n_queues : 1;
    struct dev_blk *d;
    uint64_t size;
    int r;

    if (n_queues > DEV_BLK_MAX_QUEUES)
        return err_set(reterr, -EINVAL, "invalid", "at most %d disk queues",
                       DEV_BLK_MAX_QUEUES);
    d = xnew(struct dev_blk);
    d->read_only = o->read_only;
    if (o->serial)
        memcpy(d->serial, o->serial, strnlen(o->serial, DEV_BLK_SERIAL));
    rate_init(&d->rate, &o->limits, rate_now_ns());
    r = loop ? 0 : io_loop_new("disk", &d->own_loop);
    if (r == 0) {
        loop = loop ? loop : d->own_loop;
        r = virtio_new(&blk_type, d, g, loop, n_queues, QUEUE_SIZE, MAX_BYTES,
                       &d->v);
    }
    if (r < 0) {
        io_loop_free(d->own_loop);
        free(d);
        return err_errno(reterr, r, "disk device");
    }
    r = io_timer_init(&d->timer, loop, timer_fired, d);
    if (r < 0) {
        err_errno(reterr, r, "disk timer");
        goto fail;
    }
    r = be_file_new(o->fd, &fo, loop, &d->v->lock, batch_done, d, &d->file,
                    &size, reterr);
    if (r < 0)
        goto fail;
    d->capacity = size >> SECTOR_SHIFT;
    fill_config(d, n_queues);
    *ret = d;
    return 0;
fail:
    io_timer_release(&d->timer);
    virtio_free(d->v);
    io_loop_free(d->own_loop);
    free(d);
    return r;
}

void
dev_blk_free(struct dev_blk *d)
{
    if (!d)
        return;
    virtio_stop(d->v);
    be_file_free(d->file);
    io_timer_release(&d->timer);
    virtio_free(d->v);
    io_loop_free(d->own_loop);
    free(d);
}

struct virtio *
dev_blk_virtio(struct dev_blk *d)
{
    return d->v;
}

int
dev_blk_resized(struct dev_blk *d)
{
    uint64_t size;
    int r;

    pthread_mutex_lock(&d->v->lock);
    r = be_file_size(d->file, &size);
    if (r >= 0 && d->capacity != size >> SECTOR_SHIFT) {
        d->capacity = size >> SECTOR_SHIFT;
        memcpy(d->v->config + offsetof(struct virtio_blk_config, capacity),
               &d->capacity, sizeof(d->capacity));
        virtio_config_changed(d->v);
    }
    pthread_mutex_unlock(&d->v->lock);
    return r;
}

uint64_t
dev_blk_capacity(struct dev_blk *d)
{
    pthread_mutex_lock(&d->v->lock);
    uint64_t bytes = d->capacity << SECTOR_SHIFT;
    pthread_mutex_unlock(&d->v->lock);
    return bytes;
}

void
dev_blk_set_limits(struct dev_blk *d, const struct rate_limits *l)
{
    pthread_mutex_lock(&d->v->lock);
    rate_init(&d->rate, l, rate_now_ns());
    /* Whoever waited for the old limit asks again, on the I/O thread. */
    io_timer_set(&d->timer, 1);
    pthread_mutex_unlock(&d->v->lock);
}

void
dev_blk_give_up(struct dev_blk *d)
{
    struct be_file *file;

    virtio_pause(d->v);
    pthread_mutex_lock(&d->v->lock);
    d->gone = true;
    file = TAKE_PTR(d->file);
    pthread_mutex_unlock(&d->v->lock);
    be_file_free(file);
}

void
dev_blk_stats(struct dev_blk *d, struct dev_blk_stats *ret)
{
    pthread_mutex_lock(&d->v->lock);
    *ret = d->stats;
    ret->in_flight = d->n_busy;
    pthread_mutex_unlock(&d->v->lock);
}
