/* be_file.c - asynchronous file I/O; see be_file.h.
 *
 * One operation's way: be_file_start() -> next_step() queues one request;
 * completed() judges it: more to move, another stage (flush, fallback), or
 * done. A request that O_DIRECT would refuse for its memory's alignment
 * moves through the one bounce buffer, in pieces, one such operation at a
 * time; the rest wait in `bounce_wait`.
 *
 * Invariants (under the owner's lock):
 *  1. Each operation has at most one request in the ring, so neither of its
 *     queues can overflow.
 *  2. `bounce_owner` is set exactly while the bounce buffer is in use. */
#include <config.h>

#include "hypervisor-backend/vmm/be_file.h"

#include <assert.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/virtq.h"

/* What every disk takes; a file system that needs more than 512 bytes is
 * used through the page cache. */
#define DIRECT_ALIGN 512
#define BOUNCE_BYTES (64 * 1024)

enum stage {
    STAGE_MAIN,
    STAGE_BOUNCE, /* read or write through the bounce buffer */
    STAGE_ZEROES, /* BE_ZERO by writing, the file system cannot */
    STAGE_SYNC,   /* the flush behind a durable deallocation */
};

struct be_file {
    int fd;
    bool direct, uring;
    bool reaping; /* done() calls are under way */
    struct io_uring ring;
    struct io_loop *loop;
    pthread_mutex_t *lock;
    void (*batch_done)(void *);
    void *self;
    struct io_source source; /* the ring, or an eventfd without one */
    struct io_source retry;  /* eventfd: submit again */
    unsigned in_flight;
    struct be_io *ready, **ready_tail; /* without io_uring: judged next */
    void *bounce;
    struct be_io *bounce_owner, *bounce_wait, **bounce_tail;
};

/* Never written, so it costs no memory: every page is the zero page. */
static uint8_t zeroes[BOUNCE_BYTES] __attribute__((aligned(4096)));

static void next_step(struct be_file *f, struct be_io *io);

/* --- making one request --- */

/* What the next request moves. */
static size_t
piece_len(const struct be_io *io)
{
    uint64_t left = io->len - io->moved;

    return io->stage == STAGE_MAIN ? (size_t)left
                                   : (size_t)MIN(left, (uint64_t)BOUNCE_BYTES);
}

static int
fallocate_mode(const struct be_io *io)
{
    if (io->op == BE_DISCARD || io->may_unmap)
        return FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    return FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
}

static void
prepare(struct be_file *f, struct be_io *io, struct io_uring_sqe *s)
{
    uint64_t at = io->offset + io->moved;
    int flags = io->durable ? RWF_DSYNC : 0;
    void *one = io->stage == STAGE_ZEROES ? zeroes : f->bounce;

    if (io->op == BE_SYNC || io->stage == STAGE_SYNC)
        io_uring_prep_fsync(s, f->fd, IORING_FSYNC_DATASYNC);
    else if (io->stage == STAGE_MAIN && io->op == BE_READ)
        io_uring_prep_readv2(s, f->fd, io->iov, io->n_iov, at, 0);
    else if (io->stage == STAGE_MAIN && io->op == BE_WRITE)
        io_uring_prep_writev2(s, f->fd, io->iov, io->n_iov, at, flags);
    else if (io->stage == STAGE_MAIN)
        io_uring_prep_fallocate(s, f->fd, fallocate_mode(io), (off_t)at,
                                (off_t)io->len);
    else if (io->op == BE_READ)
        io_uring_prep_read(s, f->fd, one, (unsigned)piece_len(io), at);
    else {
        io_uring_prep_write(s, f->fd, one, (unsigned)piece_len(io), at);
        s->rw_flags = flags;
    }
    io_uring_sqe_set_data(s, io);
}

/* The same without io_uring: here and now. Without the lock: io, and the
 * bounce buffer if it is in use, are ours as long as io is in flight. */
static int
perform(struct be_file *f, struct be_io *io)
{
    off_t at = (off_t)(io->offset + io->moved);
    struct iovec one = {io->stage == STAGE_ZEROES ? zeroes : f->bounce,
                        piece_len(io)};
    bool whole = io->stage == STAGE_MAIN;
    ssize_t n;

    if (io->op == BE_SYNC || io->stage == STAGE_SYNC)
        n = fdatasync(f->fd);
    else if (io->op == BE_READ)
        n = preadv2(f->fd, whole ? io->iov : &one, whole ? (int)io->n_iov : 1,
                    at, 0);
    else if (io->op == BE_WRITE || io->stage == STAGE_ZEROES)
        n = pwritev2(f->fd, whole ? io->iov : &one, whole ? (int)io->n_iov : 1,
                     at, io->durable ? RWF_DSYNC : 0);
    else
        n = fallocate(f->fd, fallocate_mode(io), at, (off_t)io->len);
    return n < 0 ? -errno : (int)n;
}

static void
enqueue(struct be_file *f, struct be_io *io)
{
    struct io_uring_sqe *s;

    if (!f->uring) {
        io->next = NULL;
        *f->ready_tail = io;
        f->ready_tail = &io->next;
        return;
    }
    s = io_uring_get_sqe(&f->ring);
    assert(s); /* invariant 1 */
    prepare(f, io, s);
}

/* --- one operation, step by step --- */

static void
finish(struct be_file *f, struct be_io *io, int result)
{
    if (f->bounce_owner == io) {
        struct be_io *waiting = f->bounce_wait;

        f->bounce_owner = waiting;
        if (waiting) {
            f->bounce_wait = waiting->next;
            if (!f->bounce_wait)
                f->bounce_tail = &f->bounce_wait;
            next_step(f, waiting);
        } else {
            free(f->bounce);
            f->bounce = NULL;
        }
    }
    assert(f->in_flight);
    f->in_flight--;
    io->done(io, result);
}

static void
next_step(struct be_file *f, struct be_io *io)
{
    if (io->stage == STAGE_BOUNCE && io->op == BE_WRITE) {
        struct virtq_chain c = {.iov = io->iov, .n_out = (uint16_t)io->n_iov};

        virtq_copy_out(&c, io->moved, f->bounce, piece_len(io));
    }
    enqueue(f, io);
}

static void
skip_moved(struct be_io *io, size_t n)
{
    while (n && io->n_iov) {
        size_t step = MIN(n, io->iov->iov_len);

        io->iov->iov_base = (uint8_t *)io->iov->iov_base + step;
        io->iov->iov_len -= step;
        n -= step;
        if (!io->iov->iov_len) {
            io->iov++;
            io->n_iov--;
        }
    }
}

static bool
is_rw(const struct be_io *io)
{
    return io->op == BE_READ || io->op == BE_WRITE || io->stage == STAGE_ZEROES;
}

static void
completed(struct be_file *f, struct be_io *io, int r)
{
    if (r == -EINTR || r == -EAGAIN) {
        next_step(f, io);
        return;
    }
    /* -EINVAL: a device whose blocks are larger than our sectors. */
    if ((r == -EOPNOTSUPP || r == -EINVAL) && io->stage == STAGE_MAIN) {
        if (io->op == BE_DISCARD) { /* only a hint */
            COUNT(vmm_file_discard_ignored);
            r = 0;
        }
        if (io->op == BE_ZERO) {
            COUNT(vmm_file_zero_by_writing);
            io->stage = STAGE_ZEROES;
            next_step(f, io);
            return;
        }
    }
    if (r < 0) {
        finish(f, io, r);
        return;
    }
    if (io->stage != STAGE_SYNC && io->op != BE_SYNC && is_rw(io)) {
        if (r == 0) { /* end of file */
            finish(f, io, -EIO);
            return;
        }
        if (io->stage == STAGE_BOUNCE && io->op == BE_READ) {
            struct virtq_chain c = {.iov = io->iov,
                                    .n_in = (uint16_t)io->n_iov};

            virtq_copy_in(&c, io->moved, f->bounce, (size_t)r);
        }
        io->moved += (uint64_t)r;
        if (io->moved < io->len) {
            if (io->stage == STAGE_MAIN)
                skip_moved(io, (size_t)r);
            next_step(f, io);
            return;
        }
    }
    if (io->durable && io->stage != STAGE_SYNC &&
        (io->op == BE_DISCARD || io->op == BE_ZERO)) {
        io->stage = STAGE_SYNC;
        next_step(f, io);
        return;
    }
    finish(f, io, 0);
}

static bool
needs_bounce(const struct be_file *f, const struct be_io *io)
{
    if (!f->direct || (io->op != BE_READ && io->op != BE_WRITE))
        return false;
    for (unsigned i = 0; i < io->n_iov; i++)
        if (((uintptr_t)io->iov[i].iov_base | io->iov[i].iov_len) %
            DIRECT_ALIGN)
            return true;
    return false;
}

void
be_file_start(struct be_file *f, struct be_io *io)
{
    assert(f->in_flight < BE_FILE_DEPTH);
    f->in_flight++;
    io->moved = 0;
    io->next = NULL;
    io->stage = STAGE_MAIN;
    if (needs_bounce(f, io)) {
        COUNT(vmm_file_bounced);
        io->stage = STAGE_BOUNCE;
        if (f->bounce_owner) {
            *f->bounce_tail = io;
            f->bounce_tail = &io->next;
            return;
        }
        if (posix_memalign(&f->bounce, 4096, BOUNCE_BYTES))
            abort(); /* as xmalloc(): small and fixed */
        f->bounce_owner = io;
    }
    next_step(f, io);
}

void
be_file_submit(struct be_file *f)
{
    if (!f->uring) {
        /* Judged on a turn of the loop of its own, not inside the caller. */
        if (f->ready)
            io_kick(f->source.fd);
        return;
    }
    while (io_uring_sq_ready(&f->ring)) {
        int r = io_uring_submit(&f->ring);

        if (r == -EINTR)
            continue;
        if (r < 0) { /* out of memory or so: they stay queued */
            COUNT(vmm_file_submit_again);
            log_limited(LOG_LEVEL_WARN, "disk requests wait to be submitted",
                        "errno=%d", -r);
            io_kick(f->retry.fd);
            return;
        }
    }
}

static void
on_retry(void *self, uint32_t events)
{
    struct be_file *f = self;

    (void)events;
    io_drain(f->retry.fd);
    pthread_mutex_lock(f->lock);
    be_file_submit(f);
    pthread_mutex_unlock(f->lock);
}

static void
reap(struct be_file *f)
{
    struct io_uring_cqe *cqe;

    f->reaping = true;
    while (io_uring_peek_cqe(&f->ring, &cqe) == 0) {
        struct be_io *io = io_uring_cqe_get_data(cqe);
        int r = cqe->res;

        io_uring_cqe_seen(&f->ring, cqe);
        completed(f, io, r);
    }
    f->batch_done(f->self);
    be_file_submit(f);
    f->reaping = false;
}

void
be_file_poll(struct be_file *f)
{
    if (f->uring && !f->reaping && io_uring_cq_ready(&f->ring))
        reap(f);
}

static void
on_ring(void *self, uint32_t events)
{
    struct be_file *f = self;

    (void)events;
    pthread_mutex_lock(f->lock);
    reap(f);
    pthread_mutex_unlock(f->lock);
}

static void
on_ready(void *self, uint32_t events)
{
    struct be_file *f = self;

    (void)events;
    io_drain(f->source.fd);
    pthread_mutex_lock(f->lock);
    for (struct be_io *io; (io = f->ready);) {
        int r;

        f->ready = io->next;
        if (!f->ready)
            f->ready_tail = &f->ready;
        pthread_mutex_unlock(f->lock);
        r = perform(f, io);
        pthread_mutex_lock(f->lock);
        completed(f, io, r);
    }
    f->batch_done(f->self);
    be_file_submit(f);
    pthread_mutex_unlock(f->lock);
}

/* --- life --- */

/* O_DIRECT is believed only once a sector was read with it. */
static bool
try_direct(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    void *sector = NULL;
    bool ok = false;

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_DIRECT) < 0)
        return false;
    if (posix_memalign(&sector, DIRECT_ALIGN, DIRECT_ALIGN) == 0)
        ok = pread(fd, sector, DIRECT_ALIGN, 0) >= 0;
    free(sector);
    if (!ok && fcntl(fd, F_SETFL, flags & ~O_DIRECT) < 0)
        log_warn("disk file keeps O_DIRECT that it cannot do", "errno=%d",
                 errno);
    return ok;
}

/* Two writers of one file system destroy it, and so does a writer under a
 * reader's feet. */
static int
lock_file(int fd, bool read_only, struct err *reterr)
{
    struct flock l = {.l_type = read_only ? F_RDLCK : F_WRLCK,
                      .l_whence = SEEK_SET};

    if (fcntl(fd, F_OFD_SETLK, &l) == 0)
        return 0;
    if (errno == EAGAIN || errno == EACCES)
        return err_set(reterr, -EBUSY, "in_use",
                       "the disk is in use by another process%s",
                       read_only ? " that writes to it" : "");
    if (errno == EBADF)
        return err_set(reterr, -EBADF, "invalid", "the disk is not open for %s",
                       read_only ? "reading" : "writing");
    /* File systems that cannot lock are used all the same. */
    COUNT(vmm_file_not_locked);
    log_warn("disk cannot be locked; nothing keeps others from it", "errno=%d",
             errno);
    return 0;
}

/* What comes through a ring passes by seccomp: the ring itself takes only
 * what prepare() makes (IORING_REGISTER_RESTRICTIONS, Linux 5.10), for good. */
static int
restrict_ring(struct io_uring *ring)
{
    static const uint8_t ops[] = {IORING_OP_READV, IORING_OP_WRITEV,
                                  IORING_OP_READ,  IORING_OP_WRITE,
                                  IORING_OP_FSYNC, IORING_OP_FALLOCATE};
    struct io_uring_restriction res[ARRAY_SIZE(ops)] = {0};
    int r;

    for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
        res[i].opcode = IORING_RESTRICTION_SQE_OP;
        res[i].sqe_op = ops[i];
    }
    /* liburing 2.3 forgot to export its functions for these two. */
    r = io_uring_register((unsigned)ring->ring_fd, IORING_REGISTER_RESTRICTIONS,
                          res, ARRAY_SIZE(res));
    if (r < 0)
        return r;
    return io_uring_register((unsigned)ring->ring_fd,
                             IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

static int
open_ring(struct be_file *f)
{
    int r = io_uring_queue_init(BE_FILE_DEPTH, &f->ring,
                                IORING_SETUP_R_DISABLED |
                                    IORING_SETUP_COOP_TASKRUN);

    if (r == -EINVAL) /* before Linux 5.19 */
        r = io_uring_queue_init(BE_FILE_DEPTH, &f->ring,
                                IORING_SETUP_R_DISABLED);
    if (r < 0)
        return r;
    r = restrict_ring(&f->ring);
    if (r < 0) {
        io_uring_queue_exit(&f->ring);
        return r;
    }
    f->uring = true;
    f->source = (struct io_source){f->ring.ring_fd, on_ring, f};
    return 0;
}

int
be_file_new(int fd, const struct be_file_options *o, struct io_loop *loop,
            pthread_mutex_t *lock, void (*batch_done)(void *self), void *self,
            struct be_file **ret, uint64_t *ret_size, struct err *reterr)
{
    struct be_file *f = xnew(struct be_file);
    uint64_t size;
    int r;

    f->fd = fd;
    f->loop = loop;
    f->lock = lock;
    f->batch_done = batch_done;
    f->self = self;
    f->ready_tail = &f->ready;
    f->bounce_tail = &f->bounce_wait;
    f->source.fd = f->retry.fd = -1;
    r = be_file_size(f, &size);
    if (r == 0 && !o->no_lock) {
        r = lock_file(fd, o->read_only, reterr);
        if (r < 0) {
            free(f);
            return r;
        }
    }
    if (r < 0)
        goto fail;
    f->direct = o->direct && try_direct(fd);
    if (o->direct && !f->direct) {
        COUNT(vmm_file_not_direct);
        log_info("disk cannot do O_DIRECT; goes through the page cache",
                 "bytes=%llu", (unsigned long long)size);
    }
    if (o->no_io_uring || open_ring(f) < 0) {
        COUNT(vmm_file_without_io_uring);
        f->source = (struct io_source){eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                                       on_ready, f};
    }
    f->retry =
        (struct io_source){eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), on_retry, f};
    r = f->source.fd < 0 || f->retry.fd < 0
            ? -errno
            : io_loop_add(loop, &f->source, EPOLLIN);
    if (r < 0)
        goto fail;
    r = io_loop_add(loop, &f->retry, EPOLLIN);
    if (r < 0) {
        io_loop_del(loop, &f->source);
        goto fail;
    }
    *ret = f;
    *ret_size = size;
    return 0;
fail:
    closep(&f->retry.fd);
    if (f->uring)
        io_uring_queue_exit(&f->ring);
    else
        closep(&f->source.fd);
    free(f);
    return err_errno(reterr, r, "disk file");
}

void
be_file_free(struct be_file *f)
{
    if (!f)
        return;
    assert(!f->in_flight);
    io_loop_del(f->loop, &f->retry);
    io_loop_del(f->loop, &f->source);
    closep(&f->retry.fd);
    if (f->uring)
        io_uring_queue_exit(&f->ring);
    else
        closep(&f->source.fd);
    closep(&f->fd);
    free(f);
}

bool
be_file_direct(const struct be_file *f)
{
    return f->direct;
}

bool
be_file_io_uring(const struct be_file *f)
{
    return f->uring;
}

int
be_file_size(const struct be_file *f, uint64_t *ret)
{
    struct stat st;
    uint64_t size;

    if (fstat(f->fd, &st) < 0)
        return -errno;
    if (S_ISBLK(st.st_mode)) {
        if (ioctl(f->fd, BLKGETSIZE64, &size) < 0)
            return -errno;
    } else if (S_ISREG(st.st_mode)) {
        size = (uint64_t)st.st_size;
    } else {
        return -EINVAL;
    }
    *ret = size;
    return 0;
}
