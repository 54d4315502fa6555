/* dev_console.c - virtio console; see dev_console.h.
 *
 * Each end has an epoll source of its own (a duplicate of the descriptor, so
 * that one descriptor can serve both) and is polled only while it can make
 * progress. `sent` is how much of the chain at the head of the transmit ring
 * is out already; the chain stays in the ring until all of it is. */
#include <config.h>

#include "hypervisor-backend/vmm/dev_console.h"

#include <fcntl.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>

#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"

enum {
    RX,
    TX,
    N_QUEUES,
    QUEUE_SIZE = 64,
    MAX_BYTES = 1 << 20, /* of one chain */
};

struct end {
    struct io_source source; /* fd -1: not there */
    bool polled;
    bool always_ready; /* a regular file: epoll takes none */
};

struct dev_console {
    struct virtio *v;
    struct end in, out;
    size_t sent;
    struct iovec iov[QUEUE_SIZE], piece[QUEUE_SIZE];
};

static void
give_up(struct dev_console *d, struct end *e)
{
    if (e->source.fd < 0)
        return;
    COUNT(vmm_console_end_lost);
    if (!e->always_ready)
        io_loop_del(d->v->loop, &e->source);
    closep(&e->source.fd);
    e->polled = false;
}

static void
poll_end(struct dev_console *d, struct end *e, bool on, uint32_t events)
{
    int r;

    if (e->source.fd < 0 || e->always_ready || e->polled == on)
        return;
    r = io_loop_mod(d->v->loop, &e->source, on ? events | EPOLLONESHOT : 0);
    if (r < 0) {
        log_limited(LOG_LEVEL_ERROR, "console cannot poll its end", "errno=%d",
                    -r);
        give_up(d, e);
        return;
    }
    e->polled = on;
}

/* Reads into the guest's next buffer. */
static bool
receive(void *self, unsigned q, struct virtq_chain *c)
{
    struct dev_console *d = self;
    ssize_t n;

    if (c->n_out || !c->in_len) {
        virtio_fail(d->v, "console receive buffer that is not writable");
        return false;
    }
    do
        n = readv(d->in.source.fd, c->iov, c->n_in);
    while (n < 0 && errno == EINTR);
    if (n <= 0) {
        virtq_unpop(&d->v->queues[RX].vq);
        if (n < 0 && errno == EAGAIN)
            poll_end(d, &d->in, true, EPOLLIN);
        else
            give_up(d, &d->in);
        return false;
    }
    virtio_push(d->v, q, c->head, (uint32_t)n);
    return true;
}

static bool
transmit(void *self, unsigned q, struct virtq_chain *c)
{
    struct dev_console *d = self;

    if (c->n_in) {
        virtio_fail(d->v, "console output that is writable");
        return false;
    }
    while (d->out.source.fd >= 0 && d->sent < c->out_len) {
        unsigned n_iov =
            virtq_slice(c->iov, c->n_out, d->sent, c->out_len - d->sent,
                        d->piece, ARRAY_SIZE(d->piece));
        ssize_t n = writev(d->out.source.fd, d->piece, (int)n_iov);

        if (n >= 0) {
            d->sent += (size_t)n;
        } else if (errno == EAGAIN) {
            virtq_unpop(&d->v->queues[TX].vq);
            poll_end(d, &d->out, true, EPOLLOUT);
            return false;
        } else if (errno != EINTR) {
            give_up(d, &d->out);
        }
    }
    d->sent = 0;
    virtio_push(d->v, q, c->head, 0);
    return true;
}

static void
queue(void *self, unsigned q)
{
    struct dev_console *d = self;
    struct virtq_chain c = {.iov = d->iov, .room = QUEUE_SIZE};

    /* While an end is polled its event will bring us back. */
    if (q == TX && !d->out.polled)
        virtio_each(d->v, TX, &c, NULL, transmit);
    if (q == RX && d->in.source.fd >= 0 && !d->in.polled)
        virtio_each(d->v, RX, &c, NULL, receive);
}

static void
end_ready(struct dev_console *d, struct end *e, unsigned q)
{
    pthread_mutex_lock(&d->v->lock);
    e->polled = false; /* one shot */
    if (virtio_live(d->v) && d->v->queues[q].vq.live)
        queue(d, q);
    pthread_mutex_unlock(&d->v->lock);
}

static void
on_in(void *self, uint32_t events)
{
    struct dev_console *d = self;

    (void)events;
    end_ready(d, &d->in, RX);
}

static void
on_out(void *self, uint32_t events)
{
    struct dev_console *d = self;

    (void)events;
    end_ready(d, &d->out, TX);
}

static bool
reset(void *self)
{
    struct dev_console *d = self;

    d->sent = 0;
    poll_end(d, &d->in, false, 0);
    poll_end(d, &d->out, false, 0);
    return true;
}

static const struct virtio_type console_type = {
    .name = "console", .id = VIRTIO_ID_CONSOLE, .queue = queue, .reset = reset};

static int
add_end(struct dev_console *d, struct end *e, int fd,
        void (*fn)(void *, uint32_t))
{
    int copy _cleanup_(closep) = -1, flags, r;

    if (fd < 0)
        return 0;
    copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    flags = copy < 0 ? -1 : fcntl(copy, F_GETFL);
    if (flags < 0 || fcntl(copy, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    e->source = (struct io_source){copy, fn, d};
    /* ONESHOT and nothing asked for: a hang-up does not spin either. */
    r = io_loop_add(d->v->loop, &e->source, EPOLLONESHOT);
    if (r == -EPERM) {
        e->always_ready = true;
        r = 0;
    }
    if (r < 0) {
        e->source.fd = -1;
        return r;
    }
    TAKE_FD(copy);
    return 0;
}

static void
drop_end(struct dev_console *d, struct end *e)
{
    if (e->source.fd >= 0 && !e->always_ready)
        io_loop_del(d->v->loop, &e->source);
    closep(&e->source.fd);
}

int
dev_console_new(struct gmem *g, struct io_loop *loop, int in_fd, int out_fd,
                struct dev_console **ret)
{
    struct dev_console *d = xnew(struct dev_console);
    int r;

    d->in.source.fd = d->out.source.fd = -1;
    r = virtio_new(&console_type, d, g, loop, N_QUEUES, QUEUE_SIZE, MAX_BYTES,
                   &d->v);
    if (r < 0) {
        free(d);
        return r;
    }
    r = add_end(d, &d->in, in_fd, on_in);
    if (r >= 0)
        r = add_end(d, &d->out, out_fd, on_out);
    if (r < 0) {
        dev_console_free(d);
        return r;
    }
    d->v->offered |= VIRTIO_BIT(VIRTIO_CONSOLE_F_SIZE);
    d->v->config_size = offsetof(struct virtio_console_config, emerg_wr);
    *ret = d;
    return 0;
}

void
dev_console_free(struct dev_console *d)
{
    if (!d)
        return;
    virtio_stop(d->v);
    drop_end(d, &d->in);
    drop_end(d, &d->out);
    virtio_free(d->v);
    free(d);
}

struct virtio *
dev_console_virtio(struct dev_console *d)
{
    return d->v;
}

void
dev_console_resize(struct dev_console *d, uint16_t columns, uint16_t rows)
{
    pthread_mutex_lock(&d->v->lock);
    memcpy(d->v->config + offsetof(struct virtio_console_config, cols),
           &columns, sizeof(columns));
    memcpy(d->v->config + offsetof(struct virtio_console_config, rows), &rows,
           sizeof(rows));
    virtio_config_changed(d->v);
    pthread_mutex_unlock(&d->v->lock);
}
