/* dev_console.c - virtio console: ports and their bytes; see dev_console.h.
 *
 * Each end has an epoll source of its own (a duplicate of the descriptor, so
 * that one descriptor can serve both) and is polled, one shot at a time, only
 * while it can make progress; a hang-up is heard at any time. `sent` is how
 * much of the chain at the head of the transmit ring is out already; the
 * chain stays in the ring until all of it is.
 *
 * Invariants (under the device's lock):
 *  1. A listener is polled only while the port has no client and the guest
 *     has been told that the last one went.
 *  2. Ends come and go on the I/O thread only, so that io_loop_del() never
 *     waits with the lock held; from `closing` on, on the freeing thread. */
#include <config.h>

#include "hypervisor-backend/vmm/dev_console.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/dev_console-private.h"

#define MAX_BYTES (1u << 20)          /* of one chain */
#define RETRY_NS UINT64_C(1000000000) /* when no descriptor is left */

static void
drop_end(struct virtio *v, struct console_end *e)
{
    if (e->source.fd >= 0 && !e->always_ready)
        io_loop_del(v->loop, &e->source);
    closep(&e->source.fd);
    e->asked = 0;
    e->always_ready = e->ended = false;
}

/* One descriptor of a plain port, or the whole client of a listening one. */
static void
give_up(struct console_port *p, struct console_end *e)
{
    struct virtio *v = p->d->v;

    if (e->source.fd < 0)
        return;
    if (p->listener.fd >= 0) {
        COUNT(vmm_console_client_gone);
        drop_end(v, &p->in);
        drop_end(v, &p->out);
        p->stale = p->sent > 0;
        virtio_notify(v, console_rx(p->index) + 1); /* it may wait for us */
        console_owe(p, OWED_OPEN);
        console_listen(p);
        return;
    }
    COUNT(vmm_console_end_lost);
    drop_end(v, e);
    if (!console_host_open(p))
        console_owe(p, OWED_OPEN);
}

/* events 0: only a hang-up is of interest. */
static void
poll_end(struct console_port *p, struct console_end *e, uint32_t events)
{
    int r;

    events |= EPOLLONESHOT;
    if (e->source.fd < 0 || e->always_ready || e->asked == events)
        return;
    r = io_loop_mod(p->d->v->loop, &e->source, events);
    if (r < 0) {
        /* A descriptor that was added once can always be changed. */
        COUNT(vmm_console_poll_failed);
        log_limited(LOG_LEVEL_ERROR, "console cannot poll its end", "errno=%d",
                    -r);
        return;
    }
    e->asked = events;
}

/* Will an event bring us back? */
static bool
polled(const struct console_end *e)
{
    return (e->asked & (EPOLLIN | EPOLLOUT)) != 0;
}

/* --- the guest's side --- */

/* The writer has said all. A client may still want to hear the answer: if it
 * is gone altogether, epoll says so at once. */
static void
input_ended(struct console_port *p)
{
    if (p->listener.fd < 0) {
        give_up(p, &p->in);
        return;
    }
    p->in.ended = true;
    poll_end(p, &p->in, 0);
}

/* Reads into the guest's next buffer. */
static bool
receive(struct console_port *p, unsigned q, struct virtq_chain *c)
{
    struct virtio *v = p->d->v;
    ssize_t n;

    if (c->n_out || !c->in_len) {
        virtio_fail(v, "console receive buffer that is not writable");
        return false;
    }
    do
        n = readv(p->in.source.fd, c->iov, c->n_in);
    while (n < 0 && errno == EINTR);
    if (n <= 0) {
        virtq_unpop(&v->queues[q].vq);
        if (n < 0 && errno == EAGAIN)
            poll_end(p, &p->in, EPOLLIN);
        else if (n == 0)
            input_ended(p);
        else
            give_up(p, &p->in);
        return false;
    }
    p->stats.in_bytes += (uint64_t)n;
    virtio_push(v, q, c->head, (uint32_t)n);
    return true;
}

static bool
transmit(struct console_port *p, unsigned q, struct virtq_chain *c)
{
    struct virtio *v = p->d->v;

    if (c->n_in) {
        virtio_fail(v, "console output that is writable");
        return false;
    }
    while (!p->stale && p->out.source.fd >= 0 && p->sent < c->out_len) {
        unsigned n_iov =
            virtq_slice(c->iov, c->n_out, p->sent, c->out_len - p->sent,
                        p->d->piece, ARRAY_SIZE(p->d->piece));
        ssize_t n = writev(p->out.source.fd, p->d->piece, (int)n_iov);

        if (n >= 0) {
            p->sent += (size_t)n;
            p->stats.out_bytes += (uint64_t)n;
        } else if (errno == EAGAIN) {
            virtq_unpop(&v->queues[q].vq);
            poll_end(p, &p->out, EPOLLOUT);
            return false;
        } else if (errno != EINTR) {
            give_up(p, &p->out);
        }
    }
    if (p->sent < c->out_len)
        p->stats.dropped_bytes += c->out_len - p->sent;
    p->sent = 0;
    p->stale = false;
    virtio_push(v, q, c->head, 0);
    return true;
}

static struct console_port *
port_of(struct dev_console *d, unsigned q)
{
    return &d->port[q < CONSOLE_CONTROL_RX ? 0 : q / 2 - 1];
}

static bool
receive_queue(void *self, unsigned q, struct virtq_chain *c)
{
    return receive(port_of(self, q), q, c);
}

static bool
transmit_queue(void *self, unsigned q, struct virtq_chain *c)
{
    return transmit(port_of(self, q), q, c);
}

/* An end of the port came or went while the batch ran: look each time. */
static bool
may_receive(void *self, unsigned q, struct virtq_chain *c)
{
    const struct console_port *p = port_of(self, q);

    (void)c;
    return p->in.source.fd >= 0 && !polled(&p->in) && !p->in.ended &&
           p->guest_open;
}

static void
queue(void *self, unsigned q)
{
    struct dev_console *d = self;
    struct virtq_chain c = {.iov = d->iov, .room = CONSOLE_QUEUE_SIZE};
    bool many = virtio_has(d->v, VIRTIO_CONSOLE_F_MULTIPORT);

    if (!many && q >= CONSOLE_CONTROL_RX)
        return; /* there is no such queue then */
    if (q == CONSOLE_CONTROL_RX)
        console_control_rx(d);
    else if (q == CONSOLE_CONTROL_TX)
        console_control_tx(d);
    else if (q & 1) {
        /* While an end is polled its event will bring us back. */
        if (!polled(&port_of(d, q)->out))
            virtio_each(d->v, q, &c, NULL, transmit_queue);
    } else
        virtio_each(d->v, q, &c, may_receive, receive_queue);
}

void
console_guest_opened(struct console_port *p, bool open)
{
    p->guest_open = open;
    if (open)
        virtio_notify(p->d->v, console_rx(p->index));
    else /* the writer waits; a hang-up is still heard */
        poll_end(p, &p->in, 0);
}

static void
start(void *self)
{
    struct dev_console *d = self;

    if (!virtio_has(d->v, VIRTIO_CONSOLE_F_MULTIPORT))
        console_guest_opened(&d->port[0], true);
}

static bool
reset(void *self)
{
    struct dev_console *d = self;

    for (unsigned i = 0; i < d->n_ports; i++) {
        struct console_port *p = &d->port[i];

        p->sent = 0;
        p->stale = false;
        p->ready = p->guest_open = false;
        p->owed = 0;
        poll_end(p, &p->in, 0);
        poll_end(p, &p->out, 0);
        console_listen(p);
    }
    return true;
}

static const struct virtio_type console_type = {.name = "console",
                                                .id = VIRTIO_ID_CONSOLE,
                                                .start = start,
                                                .queue = queue,
                                                .reset = reset};

/* --- the host's side --- */

/* Lock held. */
static void
end_ready(struct console_port *p, struct console_end *e, unsigned q,
          uint32_t events)
{
    struct virtio *v = p->d->v;

    e->asked = 0; /* one shot */
    if (virtio_live(v) && v->queues[q].vq.live)
        queue(p->d, q);
    if (!e->asked && !(events & (EPOLLHUP | EPOLLERR)))
        poll_end(p, e, 0);
}

static void
on_in(void *self, uint32_t events)
{
    struct console_port *p = self;
    struct virtio *v = p->d->v;

    pthread_mutex_lock(&v->lock);
    if (!p->d->closing) {
        end_ready(p, &p->in, console_rx(p->index), events);
        /* What a client left behind is for a guest that listens; for one
         * that does not it would be stale, and in the next client's way. */
        if ((events & (EPOLLHUP | EPOLLERR)) && p->listener.fd >= 0 &&
            (!p->guest_open || p->in.ended))
            give_up(p, &p->in);
    }
    pthread_mutex_unlock(&v->lock);
}

static void
on_out(void *self, uint32_t events)
{
    struct console_port *p = self;
    struct virtio *v = p->d->v;

    pthread_mutex_lock(&v->lock);
    if (!p->d->closing)
        end_ready(p, &p->out, console_rx(p->index) + 1, events);
    pthread_mutex_unlock(&v->lock);
}

static int
add_end(struct console_port *p, struct console_end *e, int fd,
        void (*fn)(void *, uint32_t))
{
    int copy _cleanup_(closep) = -1, r;

    if (fd < 0)
        return 0;
    copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0)
        return -errno;
    e->source = (struct io_source){copy, fn, p};
    e->asked = EPOLLONESHOT;
    /* ONESHOT and nothing asked for: a hang-up does not spin either. */
    r = io_loop_add(p->d->v->loop, &e->source, EPOLLONESHOT);
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

void
console_listen(struct console_port *p)
{
    if (p->listener.fd < 0 || p->listening || p->in.source.fd >= 0 ||
        (p->owed & OWED_OPEN))
        return;
    p->listening =
        io_loop_mod(p->d->v->loop, &p->listener, EPOLLIN | EPOLLONESHOT) == 0;
    if (!p->listening)
        io_timer_set(&p->d->retry, RETRY_NS);
}

/* Lock held. */
static void
take_client(struct console_port *p)
{
    int fd _cleanup_(closep) =
        accept4(p->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    int r = fd < 0 ? -errno : add_end(p, &p->in, fd, on_in);

    if (r >= 0)
        r = add_end(p, &p->out, fd, on_out);
    if (r >= 0) {
        console_owe(p, OWED_OPEN);
        virtio_notify(p->d->v, console_rx(p->index));
        return;
    }
    drop_end(p->d->v, &p->in);
    if (r == -EAGAIN || r == -ECONNABORTED || r == -EINTR) {
        console_listen(p); /* it went away again */
        return;
    }
    COUNT(vmm_console_accept_failed);
    log_limited(LOG_LEVEL_WARN, "console port takes no client; tries again",
                "port=%u errno=%d", p->index, -r);
    io_timer_set(&p->d->retry, RETRY_NS);
}

static void
on_listener(void *self, uint32_t events)
{
    struct console_port *p = self;

    (void)events;
    pthread_mutex_lock(&p->d->v->lock);
    p->listening = false;
    if (p->in.source.fd < 0 && !p->d->closing)
        take_client(p);
    pthread_mutex_unlock(&p->d->v->lock);
}

static void
on_retry(void *self)
{
    struct dev_console *d = self;

    pthread_mutex_lock(&d->v->lock);
    for (unsigned i = 0; !d->closing && i < d->n_ports; i++)
        console_listen(&d->port[i]);
    pthread_mutex_unlock(&d->v->lock);
}

/* --- life --- */

static bool
is_listener(int fd)
{
    int on = 0;
    socklen_t len = sizeof(on);

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on;
}

static int
do_not_block(int fd)
{
    int flags = fd < 0 ? 0 : fcntl(fd, F_GETFL);

    if (flags < 0 || (fd >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0))
        return -errno;
    return 0;
}

static int
add_listener(struct console_port *p, int fd)
{
    int copy _cleanup_(closep) = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int r;

    if (copy < 0)
        return -errno;
    p->listener = (struct io_source){copy, on_listener, p};
    p->listening = true;
    r = io_loop_add(p->d->v->loop, &p->listener, EPOLLIN | EPOLLONESHOT);
    if (r < 0) {
        p->listener.fd = -1;
        return r;
    }
    TAKE_FD(copy);
    return 0;
}

static int
check_name(const struct dev_console *d, const char *name, struct err *reterr)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz"
                            "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

    if (!n || name[n] || n > DEV_CONSOLE_NAME_MAX)
        return err_field(reterr, "/name", "invalid",
                         "a port's name is 1 to %u of A-Za-z0-9._-",
                         DEV_CONSOLE_NAME_MAX);
    for (unsigned i = 0; i < d->n_ports; i++)
        if (strcmp(d->port[i].name, name) == 0)
            return err_field(reterr, "/name", "taken",
                             "two ports have the name %s", name);
    return 0;
}

static int
add_port(struct dev_console *d, const struct dev_console_port *in,
         struct err *reterr)
{
    struct console_port *p = &d->port[d->n_ports];
    int r;

    if (in->name) {
        r = check_name(d, in->name, reterr);
        if (r < 0)
            return r;
        memcpy(p->name, in->name, strlen(in->name));
    }
    p->d = d;
    p->index = d->n_ports;
    p->listener.fd = p->in.source.fd = p->out.source.fd = -1;
    d->n_ports++;
    if (in->in_fd >= 0 && is_listener(in->in_fd)) {
        if (in->out_fd >= 0 && in->out_fd != in->in_fd)
            return err_field(reterr, "/fd", "invalid",
                             "a listening socket serves both ways");
        r = do_not_block(in->in_fd);
        if (r >= 0)
            r = add_listener(p, in->in_fd);
    } else {
        r = do_not_block(in->in_fd);
        if (r >= 0)
            r = do_not_block(in->out_fd);
        if (r >= 0)
            r = add_end(p, &p->in, in->in_fd, on_in);
        if (r >= 0)
            r = add_end(p, &p->out, in->out_fd, on_out);
    }
    return r < 0 ? err_errno(reterr, r, "console port %u", p->index) : 0;
}

int
dev_console_new(struct gmem *g, struct io_loop *loop,
                const struct dev_console_port *ports, unsigned n_ports,
                struct dev_console **ret, struct err *reterr)
{
    struct dev_console *d;
    uint32_t n = n_ports;
    int r;

    if (!n_ports || n_ports > DEV_CONSOLE_MAX_PORTS)
        return err_set(reterr, -EINVAL, "invalid", "1 to %u console ports",
                       DEV_CONSOLE_MAX_PORTS);
    d = xnew(struct dev_console);
    d->multiport = n_ports > 1 || ports[0].name;
    r = virtio_new(&console_type, d, g, loop,
                   d->multiport ? 2 + 2 * n_ports : 2, CONSOLE_QUEUE_SIZE,
                   MAX_BYTES, &d->v);
    if (r < 0) {
        free(d);
        return err_errno(reterr, r, "console");
    }
    r = io_timer_init(&d->retry, loop, on_retry, d);
    if (r < 0)
        err_errno(reterr, r, "console timer");
    for (unsigned i = 0; r >= 0 && i < n_ports; i++)
        r = add_port(d, &ports[i], reterr);
    if (r < 0) {
        dev_console_free(d);
        return r;
    }
    d->v->offered |=
        VIRTIO_BIT(VIRTIO_CONSOLE_F_SIZE) |
        (d->multiport ? VIRTIO_BIT(VIRTIO_CONSOLE_F_MULTIPORT) : 0);
    memcpy(d->v->config + offsetof(struct virtio_console_config, max_nr_ports),
           &n, sizeof(n));
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
    pthread_mutex_lock(&d->v->lock);
    d->closing = true;
    pthread_mutex_unlock(&d->v->lock);
    for (unsigned i = 0; i < d->n_ports; i++)
        if (d->port[i].listener.fd >= 0)
            io_loop_del(d->v->loop, &d->port[i].listener);
    io_timer_release(&d->retry);
    /* No client comes any more. */
    for (unsigned i = 0; i < d->n_ports; i++) {
        drop_end(d->v, &d->port[i].in);
        drop_end(d->v, &d->port[i].out);
        closep(&d->port[i].listener.fd);
    }
    virtio_free(d->v);
    free(d);
}

struct virtio *
dev_console_virtio(struct dev_console *d)
{
    return d->v;
}

void
dev_console_resize(struct dev_console *d, unsigned port, uint16_t columns,
                   uint16_t rows)
{
    struct console_port *p = &d->port[port];
    uint8_t *config = d->v->config;

    assert(port < d->n_ports);
    pthread_mutex_lock(&d->v->lock);
    p->columns = columns;
    p->rows = rows;
    /* Section 5.3.4: valid without multiport, for its one port. */
    if (port == 0) {
        memcpy(config + offsetof(struct virtio_console_config, cols), &columns,
               sizeof(columns));
        memcpy(config + offsetof(struct virtio_console_config, rows), &rows,
               sizeof(rows));
        virtio_config_changed(d->v);
    }
    if (!p->name[0])
        console_owe(p, OWED_RESIZE);
    pthread_mutex_unlock(&d->v->lock);
}

void
dev_console_stats(struct dev_console *d, unsigned port,
                  struct dev_console_stats *ret)
{
    struct console_port *p = &d->port[port];

    assert(port < d->n_ports);
    pthread_mutex_lock(&d->v->lock);
    *ret = p->stats;
    ret->guest_open = p->guest_open;
    ret->host_open = console_host_open(p);
    pthread_mutex_unlock(&d->v->lock);
}
