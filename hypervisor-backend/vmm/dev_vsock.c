/* dev_vsock.c - virtio sockets: streams, what happens on the host, life; see
 * dev_vsock.h and dev_vsock-private.h. */
#include <config.h>

#include "hypervisor-backend/vmm/dev_vsock-private.h"

#include <fcntl.h>
#include <linux/virtio_ids.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"

enum {
    MAX_BYTES = 256 << 10, /* of one chain */
    FIRST_PORT = 1 << 30,
};

/* --- streams --- */

static void
poll_for(struct vsock_stream *s, uint32_t events)
{
    /* One shot: a hang-up that nobody asked for must not spin. */
    if (s->polled == events)
        return;
    if (io_loop_mod(s->d->v->loop, &s->source,
                    events ? events | EPOLLONESHOT : EPOLLONESHOT) == 0)
        s->polled = events;
}

void
vsock_update_poll(struct vsock_stream *s)
{
    /* Paused, the guest says nothing: what it has said waits as well. */
    bool send = s->buf_len && !s->d->v->paused;

    poll_for(s, (!s->readable && !s->host_eof ? (uint32_t)EPOLLIN : 0) |
                    (send ? (uint32_t)EPOLLOUT : 0));
}

void
vsock_stream_end(struct vsock_stream *s)
{
    struct dev_vsock *d = s->d;

    for (unsigned i = 0; i < DEV_VSOCK_STREAMS; i++)
        if (d->streams[i] == s)
            d->streams[i] = NULL;
    io_loop_del(d->v->loop, &s->source);
    closep(&s->source.fd);
    free(s->buf);
    free(s);
}

static void on_stream(void *self, uint32_t events);

/* Takes fd over on success. NULL: too many. */
struct vsock_stream *
vsock_stream_new(struct dev_vsock *d, int fd, enum vsock_state state)
{
    for (unsigned i = 0; i < DEV_VSOCK_STREAMS; i++) {
        struct vsock_stream *s;

        if (d->streams[i])
            continue;
        s = xnew(struct vsock_stream);
        s->d = d;
        s->state = state;
        s->source = (struct io_source){fd, on_stream, s};
        if (io_loop_add(d->v->loop, &s->source, EPOLLONESHOT) < 0) {
            free(s);
            return NULL;
        }
        d->streams[i] = s;
        vsock_update_poll(s);
        return s;
    }
    COUNT(vmm_vsock_too_many);
    return NULL;
}

struct vsock_stream *
vsock_find(struct dev_vsock *d, uint32_t host_port, uint32_t guest_port)
{
    for (unsigned i = 0; i < DEV_VSOCK_STREAMS; i++) {
        struct vsock_stream *s = d->streams[i];

        if (s && s->state != VSOCK_HELLO && s->host_port == host_port &&
            s->guest_port == guest_port)
            return s;
    }
    return NULL;
}

void
vsock_refuse(struct dev_vsock *d, uint32_t host_port, uint32_t guest_port)
{
    if (d->n_resets == VSOCK_RESETS_MAX) {
        COUNT(vmm_vsock_resets_lost);
        return;
    }
    d->resets[d->n_resets++] = (struct vsock_reset){host_port, guest_port};
}

/* --- events --- */

/* Reads "CONNECT <port>\n", not a byte more, over as many turns as it takes.
 * False: not a line of ours, or the end. */
static bool
hello(struct vsock_stream *s)
{
    static const char word[] = "CONNECT ";
    char *digits = s->line + sizeof(word) - 1;
    unsigned long long port;

    for (;;) {
        ssize_t n = recv(s->source.fd, s->line + s->line_len, 1, MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n <= 0)
            return false;
        if (s->line[s->line_len] == '\n')
            break;
        if (++s->line_len == sizeof(s->line) - 1)
            return false;
    }
    s->line[s->line_len] = '\0';
    if (strncmp(s->line, word, sizeof(word) - 1) != 0 || *digits < '0' ||
        *digits > '9')
        return false;
    errno = 0;
    port = strtoull(digits, &digits, 10);
    if (errno || *digits || port >= UINT32_MAX)
        return false;
    s->guest_port = (uint32_t)port;
    do
        s->host_port = FIRST_PORT | (s->d->next_port++ & (FIRST_PORT - 1));
    while (vsock_find(s->d, s->host_port, s->guest_port));
    s->state = VSOCK_ASKED;
    s->tell = TELL_REQUEST;
    return true;
}

static void
on_stream(void *self, uint32_t events)
{
    struct vsock_stream *s = self;
    struct dev_vsock *d = s->d;

    pthread_mutex_lock(&d->v->lock);
    s->polled = 0;
    if ((events & EPOLLOUT) && !d->v->paused)
        vsock_flush(s);
    if (s->state == VSOCK_HELLO) {
        if (!hello(s)) {
            COUNT(vmm_vsock_bad_hello);
            vsock_stream_end(s);
            goto out;
        }
    } else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        s->readable = !s->host_eof;
    }
    vsock_update_poll(s);
    vsock_run_rx(d);
out:
    pthread_mutex_unlock(&d->v->lock);
}

static void
on_listen(void *self, uint32_t events)
{
    struct dev_vsock *d = self;
    int fd _cleanup_(closep) = -1;

    (void)events;
    pthread_mutex_lock(&d->v->lock);
    fd = accept4(d->listen.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    /* Without a driver in the guest the connection is closed at once. */
    if (fd >= 0 && virtio_live(d->v) && vsock_stream_new(d, fd, VSOCK_HELLO))
        TAKE_FD(fd);
    pthread_mutex_unlock(&d->v->lock);
}

static void
queue(void *self, unsigned q)
{
    struct dev_vsock *d = self;
    struct virtq_chain c = {.iov = d->iov, .room = VSOCK_QUEUE_SIZE};

    /* The event queue is for migration; its buffers stay with us. */
    if (q == VSOCK_EVENT)
        return;
    if (q == VSOCK_TX)
        virtio_each(d->v, VSOCK_TX, &c, NULL, vsock_transmit);
    vsock_run_rx(d);
}

static void
end_all(void *self)
{
    struct dev_vsock *d = self;

    pthread_mutex_lock(&d->v->lock);
    if (d->v->resetting) {
        for (unsigned i = 0; i < DEV_VSOCK_STREAMS; i++)
            if (d->streams[i])
                vsock_stream_end(d->streams[i]);
        virtio_reset_done(d->v);
    }
    pthread_mutex_unlock(&d->v->lock);
}

static bool
reset(void *self)
{
    struct dev_vsock *d = self;

    d->n_resets = 0;
    for (unsigned i = 0; i < DEV_VSOCK_STREAMS; i++) {
        if (d->streams[i]) {
            io_timer_set(&d->timer, 1);
            return false;
        }
    }
    return true;
}

/* Paused or resumed. */
static void
update(void *self)
{
    struct dev_vsock *d = self;

    for (unsigned i = 0; i < DEV_VSOCK_STREAMS; i++)
        if (d->streams[i])
            vsock_update_poll(d->streams[i]);
}

static const struct virtio_type vsock_type = {.name = "vsock",
                                              .id = VIRTIO_ID_VSOCK,
                                              .queue = queue,
                                              .reset = reset,
                                              .update = update};

/* --- life --- */

int
dev_vsock_new(struct gmem *g, struct io_loop *loop,
              const struct dev_vsock_options *o, struct dev_vsock **ret,
              struct err *reterr)
{
    struct dev_vsock *d;
    int r, flags;

    /* 0 to 2 and the last are reserved (5.10.4). */
    if (o->guest_cid < 3 || o->guest_cid >= UINT32_MAX)
        return err_set(reterr, -EINVAL, "invalid",
                       "a guest's CID is from 3 to 4294967294");
    if (o->guest_path && strlen(o->guest_path) + sizeof("_4294967295") >
                             sizeof(((struct sockaddr_un *)0)->sun_path))
        return err_set(reterr, -EINVAL, "invalid",
                       "the vsock socket's path is too long");
    d = xnew(struct dev_vsock);
    d->cid = o->guest_cid;
    d->listen.fd = -1;
    r = virtio_new(&vsock_type, d, g, loop, VSOCK_N_QUEUES, VSOCK_QUEUE_SIZE,
                   MAX_BYTES, &d->v);
    if (r < 0) {
        free(d);
        return err_errno(reterr, r, "vsock device");
    }
    r = io_timer_init(&d->timer, loop, end_all, d);
    if (r >= 0 && o->listen_fd >= 0) {
        flags = fcntl(o->listen_fd, F_GETFL);
        d->listen = (struct io_source){o->listen_fd, on_listen, d};
        if (flags < 0 || fcntl(o->listen_fd, F_SETFL, flags | O_NONBLOCK) < 0)
            r = -errno;
        else
            r = io_loop_add(loop, &d->listen, EPOLLIN);
    }
    if (r < 0) {
        io_timer_release(&d->timer);
        virtio_free(d->v);
        free(d);
        return err_errno(reterr, r, "vsock device");
    }
    d->guest_path = xstrdup(o->guest_path);
    d->v->config_size = sizeof(struct virtio_vsock_config);
    memcpy(d->v->config, &d->cid, sizeof(d->cid));
    *ret = d;
    return 0;
}

void
dev_vsock_free(struct dev_vsock *d)
{
    if (!d)
        return;
    if (d->listen.fd >= 0)
        io_loop_del(d->v->loop, &d->listen);
    virtio_stop(d->v);
    io_timer_release(&d->timer);
    virtio_free(d->v);
    closep(&d->listen.fd);
    free(d->guest_path);
    free(d);
}

struct virtio *
dev_vsock_virtio(struct dev_vsock *d)
{
    return d->v;
}

unsigned
dev_vsock_streams(struct dev_vsock *d)
{
    unsigned n = 0;

    pthread_mutex_lock(&d->v->lock);
    for (unsigned i = 0; i < DEV_VSOCK_STREAMS; i++)
        n += d->streams[i] != NULL;
    pthread_mutex_unlock(&d->v->lock);
    return n;
}
