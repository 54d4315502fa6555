/* dev_vsock.c - virtio sockets; see dev_vsock.h.
 *
 * A stream's way:
 *   host connects: on_listen() -> HELLO --line read, hello()--> ASKED
 *     (REQUEST to the guest) --RESPONSE, guest_packet()--> OPEN
 *   guest connects: guest_request() -> OPEN (RESPONSE to the guest)
 *   OPEN --RST or both shutdowns--> gone; --end of file from the host-->
 *     SHUTDOWN to the guest, the other way goes on
 *
 * Invariants (under the device's lock):
 *  1. Streams are made and ended on the I/O thread only, so a handler never
 *     meets a stream that is gone.
 *  2. fwd_cnt counts bytes that left for the host; what the guest sent minus
 *     that is in `buf` and at most DEV_VSOCK_BUFFER.
 *  3. sent - peer_fwd <= peer_alloc: the guest gets no byte without credit. */
#include <config.h>

#include "hypervisor-backend/vmm/dev_vsock.h"

#include <fcntl.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_vsock.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/be_timer.h"

enum {
    RX,
    TX,
    EVENT,
    N_QUEUES,
    QUEUE_SIZE = 128,
    MAX_BYTES = 256 << 10, /* of one chain */
    HEADER = sizeof(struct virtio_vsock_hdr),
    HOST_CID = 2,
    HELLO_MAX = 32,
    FIRST_PORT = 1 << 30,
    RESETS_MAX = 32, /* for streams that we do not have */
    READ_MAX = 65536,
};

enum state { HELLO, ASKED, OPEN };

/* What the guest is to be told; bits of stream.tell. */
enum tell {
    TELL_REQUEST = 1,
    TELL_RESPONSE = 2,
    TELL_CREDIT = 4,
    TELL_SHUTDOWN = 8,
    TELL_RESET = 16, /* and then the stream ends */
};

struct stream {
    struct dev_vsock *d;
    struct io_source source;
    uint32_t polled;
    enum state state;
    uint32_t host_port, guest_port;
    unsigned tell;
    bool readable; /* looked at when the guest has room */
    bool host_eof; /* the host sends no more */
    bool guest_eof;
    uint32_t peer_alloc, peer_fwd, sent; /* the guest's credit */
    uint32_t fwd_cnt, told_fwd, received;
    uint8_t *buf; /* for the host, DEV_VSOCK_BUFFER bytes, or NULL */
    uint32_t buf_at, buf_len;
    char line[HELLO_MAX]; /* what was read of the first line */
    unsigned line_len;
};

struct reset_reply {
    uint32_t host_port, guest_port;
};

struct dev_vsock {
    struct virtio *v;
    uint64_t cid;
    char *guest_path;
    struct io_source listen;
    struct io_timer timer; /* ends streams on the I/O thread at reset */
    uint32_t next_port;
    unsigned turn; /* which stream is served first */
    struct stream *streams[DEV_VSOCK_STREAMS];
    struct reset_reply resets[RESETS_MAX];
    unsigned n_resets;
    struct iovec iov[QUEUE_SIZE], piece[QUEUE_SIZE + 1];
};

/* --- streams --- */

static void
poll_for(struct stream *s, uint32_t events)
{
    /* One shot: a hang-up that nobody asked for must not spin. */
    if (s->polled == events)
        return;
    if (io_loop_mod(s->d->v->loop, &s->source,
                    events ? events | EPOLLONESHOT : EPOLLONESHOT) == 0)
        s->polled = events;
}

static void
update_poll(struct stream *s)
{
    poll_for(s, (!s->readable && !s->host_eof ? (uint32_t)EPOLLIN : 0) |
                    (s->buf_len ? (uint32_t)EPOLLOUT : 0));
}

static void
stream_end(struct stream *s)
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
static struct stream *
stream_new(struct dev_vsock *d, int fd, enum state state)
{
    for (unsigned i = 0; i < DEV_VSOCK_STREAMS; i++) {
        struct stream *s;

        if (d->streams[i])
            continue;
        s = xnew(struct stream);
        s->d = d;
        s->state = state;
        s->source = (struct io_source){fd, on_stream, s};
        if (io_loop_add(d->v->loop, &s->source, EPOLLONESHOT) < 0) {
            free(s);
            return NULL;
        }
        d->streams[i] = s;
        update_poll(s);
        return s;
    }
    COUNT(vmm_vsock_too_many);
    return NULL;
}

static struct stream *
find(struct dev_vsock *d, uint32_t host_port, uint32_t guest_port)
{
    for (unsigned i = 0; i < DEV_VSOCK_STREAMS; i++) {
        struct stream *s = d->streams[i];

        if (s && s->state != HELLO && s->host_port == host_port &&
            s->guest_port == guest_port)
            return s;
    }
    return NULL;
}

static void
refuse(struct dev_vsock *d, uint32_t host_port, uint32_t guest_port)
{
    if (d->n_resets == RESETS_MAX) {
        COUNT(vmm_vsock_resets_lost);
        return;
    }
    d->resets[d->n_resets++] = (struct reset_reply){host_port, guest_port};
}

/* --- to the guest --- */

static uint32_t
credit(const struct stream *s)
{
    uint32_t used = s->sent - s->peer_fwd;

    return used < s->peer_alloc ? s->peer_alloc - used : 0;
}

static bool
next_buffer(struct dev_vsock *d, struct virtq_chain *c)
{
    *c = (struct virtq_chain){.iov = d->iov, .room = QUEUE_SIZE};
    if (virtio_pop(d->v, RX, c) <= 0)
        return false;
    if (c->n_out || c->in_len < HEADER) {
        virtio_fail(d->v, "socket receive buffer that holds no packet");
        return false;
    }
    return true;
}

static void
put_packet(struct dev_vsock *d, struct virtq_chain *c, const struct stream *s,
           const struct reset_reply *ports, uint16_t op, uint32_t len,
           uint32_t flags)
{
    struct virtio_vsock_hdr h = {
        .src_cid = HOST_CID,
        .dst_cid = d->cid,
        .src_port = ports->host_port,
        .dst_port = ports->guest_port,
        .len = len,
        .type = VIRTIO_VSOCK_TYPE_STREAM,
        .op = op,
        .flags = flags,
        .buf_alloc = s ? DEV_VSOCK_BUFFER : 0,
        .fwd_cnt = s ? s->fwd_cnt : 0,
    };

    virtq_copy_in(c, 0, &h, sizeof(h));
    virtio_push(d->v, RX, c->head, HEADER + len);
}

/* One thing that s has to tell. Returns false if s has ended. */
static bool
tell(struct dev_vsock *d, struct virtq_chain *c, struct stream *s)
{
    struct reset_reply ports = {s->host_port, s->guest_port};
    unsigned what = s->tell & -s->tell;
    static const struct {
        enum tell bit;
        uint16_t op;
    } ops[] = {
        {TELL_REQUEST, VIRTIO_VSOCK_OP_REQUEST},
        {TELL_RESPONSE, VIRTIO_VSOCK_OP_RESPONSE},
        {TELL_CREDIT, VIRTIO_VSOCK_OP_CREDIT_UPDATE},
        {TELL_SHUTDOWN, VIRTIO_VSOCK_OP_SHUTDOWN},
        {TELL_RESET, VIRTIO_VSOCK_OP_RST},
    };

    if (s->tell & TELL_RESET)
        what = TELL_RESET;
    for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
        if (ops[i].bit == what)
            put_packet(d, c, s, &ports, ops[i].op, 0,
                       what == TELL_SHUTDOWN ? VIRTIO_VSOCK_SHUTDOWN_SEND : 0);
    s->told_fwd = s->fwd_cnt;
    s->tell &= ~(what | TELL_CREDIT);
    if (what != TELL_RESET)
        return true;
    stream_end(s);
    return false;
}

/* Moves bytes of the host into the chain; gives it back if there are none. */
static void
read_host(struct dev_vsock *d, struct virtq_chain *c, struct stream *s)
{
    struct reset_reply ports = {s->host_port, s->guest_port};
    size_t room = MIN((size_t)c->in_len - HEADER, (size_t)READ_MAX);
    unsigned n_iov =
        virtq_slice(c->iov, c->n_in, HEADER, MIN(room, (size_t)credit(s)),
                    d->piece, ARRAY_SIZE(d->piece));
    ssize_t n;

    do
        n = n_iov ? readv(s->source.fd, d->piece, (int)n_iov) : -1;
    while (n_iov && n < 0 && errno == EINTR);
    if (n > 0) {
        s->sent += (uint32_t)n;
        put_packet(d, c, s, &ports, VIRTIO_VSOCK_OP_RW, (uint32_t)n, 0);
        s->told_fwd = s->fwd_cnt;
        return;
    }
    virtq_unpop(&d->v->queues[RX].vq);
    s->readable = false;
    if (n_iov && n < 0 && errno == EAGAIN) {
        update_poll(s);
        return;
    }
    s->host_eof = true;
    s->tell |= n == 0 && !s->guest_eof ? TELL_SHUTDOWN : TELL_RESET;
}

/* Serves one stream or reset. False: nobody has anything for the guest. */
static bool
serve_one(struct dev_vsock *d)
{
    struct virtq_chain c;

    if (d->n_resets) {
        if (!next_buffer(d, &c))
            return false;
        put_packet(d, &c, NULL, &d->resets[--d->n_resets], VIRTIO_VSOCK_OP_RST,
                   0, 0);
        return true;
    }
    for (unsigned i = 0; i < DEV_VSOCK_STREAMS; i++) {
        unsigned at = (d->turn + i) % DEV_VSOCK_STREAMS;
        struct stream *s = d->streams[at];
        bool data = s && s->state == OPEN && s->readable && credit(s);

        if (!s || !(s->tell || data))
            continue;
        if (!next_buffer(d, &c))
            return false;
        d->turn = at + 1;
        if (s->tell)
            tell(d, &c, s);
        else
            read_host(d, &c, s);
        return true;
    }
    return false;
}

static void
run_rx(struct dev_vsock *d)
{
    struct virtq *vq = &d->v->queues[RX].vq;
    unsigned left = VIRTIO_BATCH;

    if (!virtio_live(d->v) || !vq->live)
        return;
    do {
        while (left && serve_one(d))
            left--;
    } while (left && virtq_arm(vq) && virtio_live(d->v) && serve_one(d));
    virtio_flush(d->v, RX);
    if (!left)
        io_kick(d->v->queues[RX].kick.fd);
}

/* --- to the host --- */

static void
forwarded(struct stream *s, size_t n)
{
    s->fwd_cnt += (uint32_t)n;
    if (s->fwd_cnt - s->told_fwd >= DEV_VSOCK_BUFFER / 2)
        s->tell |= TELL_CREDIT;
}

static void
after_flush(struct stream *s)
{
    if (!s->guest_eof || s->buf_len)
        return;
    if (s->host_eof)
        s->tell |= TELL_RESET;
    else
        shutdown(s->source.fd, SHUT_WR);
}

static void
flush_buffer(struct stream *s)
{
    while (s->buf_len) {
        ssize_t n = send(s->source.fd, s->buf + s->buf_at, s->buf_len,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) {
            s->tell |= TELL_RESET;
            s->buf_len = 0;
            return;
        }
        s->buf_at += (uint32_t)n;
        s->buf_len -= (uint32_t)n;
        forwarded(s, (size_t)n);
    }
    /* A quiet stream costs no buffer. */
    free(s->buf);
    s->buf = NULL;
    s->buf_at = 0;
    after_flush(s);
}

/* The guest's bytes: straight out, the rest into the buffer. */
static void
write_host(struct dev_vsock *d, struct stream *s, const struct virtq_chain *c,
           uint32_t len)
{
    size_t done = 0;

    if (len > DEV_VSOCK_BUFFER - (s->received - s->fwd_cnt)) {
        COUNT(vmm_vsock_over_credit);
        s->tell |= TELL_RESET;
        return;
    }
    s->received += len;
    while (!s->buf_len && done < len) {
        struct msghdr m = {.msg_iov = d->piece};
        ssize_t n;

        m.msg_iovlen = virtq_slice(c->iov, c->n_out, HEADER + done, len - done,
                                   d->piece, ARRAY_SIZE(d->piece));
        n = sendmsg(s->source.fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            s->tell |= TELL_RESET;
            return;
        }
        done += (size_t)n;
        forwarded(s, (size_t)n);
    }
    if (done == len)
        return;
    if (!s->buf)
        s->buf = xmalloc(DEV_VSOCK_BUFFER);
    if (s->buf_at) {
        memmove(s->buf, s->buf + s->buf_at, s->buf_len);
        s->buf_at = 0;
    }
    /* Fits: buf_len is part of what was received and not forwarded. */
    s->buf_len += (uint32_t)virtq_copy_out(c, HEADER + done,
                                           s->buf + s->buf_len, len - done);
    update_poll(s);
}

/* Connects to "<guest_path>_<port>". */
static void
guest_request(struct dev_vsock *d, const struct virtio_vsock_hdr *h)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd _cleanup_(closep) = -1, n;
    struct stream *s;

    if (!d->guest_path)
        goto refuse;
    n = snprintf(at.sun_path, sizeof(at.sun_path), "%s_%u", d->guest_path,
                 h->dst_port);
    if (n < 0 || (size_t)n >= sizeof(at.sun_path))
        goto refuse;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
        goto refuse;
    s = stream_new(d, fd, OPEN);
    if (!s)
        goto refuse;
    TAKE_FD(fd);
    s->host_port = h->dst_port;
    s->guest_port = h->src_port;
    s->peer_alloc = h->buf_alloc;
    s->peer_fwd = h->fwd_cnt;
    s->tell = TELL_RESPONSE;
    return;
refuse:
    COUNT(vmm_vsock_refused);
    refuse(d, h->dst_port, h->src_port);
}

static void
answer_hello(struct stream *s)
{
    char ok[32];
    int n = snprintf(ok, sizeof(ok), "OK %u\n", s->host_port);

    s->state = OPEN;
    /* A fresh socket has room for a line. */
    if (send(s->source.fd, ok, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) != n)
        s->tell |= TELL_RESET;
}

static void
guest_shutdown(struct stream *s, uint32_t flags)
{
    if (flags & VIRTIO_VSOCK_SHUTDOWN_RCV) {
        s->host_eof = true;
        s->readable = false;
    }
    if (flags & VIRTIO_VSOCK_SHUTDOWN_SEND) {
        s->guest_eof = true;
        after_flush(s);
    }
}

/* Acts on the checked copy of a header. */
static void
guest_packet(struct dev_vsock *d, const struct virtio_vsock_hdr *h,
             const struct virtq_chain *c)
{
    struct stream *s = find(d, h->dst_port, h->src_port);

    if (h->src_cid != d->cid) {
        COUNT(vmm_vsock_bad_source);
        return;
    }
    if (h->dst_cid != HOST_CID || h->type != VIRTIO_VSOCK_TYPE_STREAM ||
        h->len > c->out_len - HEADER) {
        COUNT(vmm_vsock_bad_packet);
        if (s)
            s->tell |= TELL_RESET;
        else if (h->op != VIRTIO_VSOCK_OP_RST)
            refuse(d, h->dst_port, h->src_port);
        return;
    }
    if (!s) {
        if (h->op == VIRTIO_VSOCK_OP_REQUEST)
            guest_request(d, h);
        else if (h->op != VIRTIO_VSOCK_OP_RST)
            refuse(d, h->dst_port, h->src_port);
        return;
    }
    s->peer_alloc = h->buf_alloc;
    s->peer_fwd = h->fwd_cnt;
    if (h->op == VIRTIO_VSOCK_OP_RST) {
        stream_end(s);
    } else if (h->op == VIRTIO_VSOCK_OP_RESPONSE && s->state == ASKED) {
        answer_hello(s);
    } else if (h->op == VIRTIO_VSOCK_OP_RW && s->state == OPEN &&
               !s->guest_eof) {
        write_host(d, s, c, h->len);
    } else if (h->op == VIRTIO_VSOCK_OP_SHUTDOWN && s->state == OPEN) {
        guest_shutdown(s, h->flags);
    } else if (h->op == VIRTIO_VSOCK_OP_CREDIT_REQUEST) {
        s->tell |= TELL_CREDIT;
    } else if (h->op != VIRTIO_VSOCK_OP_CREDIT_UPDATE) {
        COUNT(vmm_vsock_bad_packet);
        s->tell |= TELL_RESET;
    }
}

static bool
transmit(void *self, unsigned q, struct virtq_chain *c)
{
    struct dev_vsock *d = self;
    struct virtio_vsock_hdr h;

    if (c->n_in || c->out_len < HEADER) {
        virtio_fail(d->v, "socket packet without a header");
        return false;
    }
    virtq_copy_out(c, 0, &h, sizeof(h));
    guest_packet(d, &h, c);
    virtio_push(d->v, q, c->head, 0);
    return true;
}

/* --- events --- */

/* Reads "CONNECT <port>\n", not a byte more, over as many turns as it takes.
 * False: not a line of ours, or the end. */
static bool
hello(struct stream *s)
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
    while (find(s->d, s->host_port, s->guest_port));
    s->state = ASKED;
    s->tell = TELL_REQUEST;
    return true;
}

static void
on_stream(void *self, uint32_t events)
{
    struct stream *s = self;
    struct dev_vsock *d = s->d;

    pthread_mutex_lock(&d->v->lock);
    s->polled = 0;
    if (events & EPOLLOUT)
        flush_buffer(s);
    if (s->state == HELLO) {
        if (!hello(s)) {
            COUNT(vmm_vsock_bad_hello);
            stream_end(s);
            goto out;
        }
    } else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        s->readable = !s->host_eof;
    }
    update_poll(s);
    run_rx(d);
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
    if (fd >= 0 && virtio_live(d->v) && stream_new(d, fd, HELLO))
        TAKE_FD(fd);
    pthread_mutex_unlock(&d->v->lock);
}

static void
queue(void *self, unsigned q)
{
    struct dev_vsock *d = self;
    struct virtq_chain c = {.iov = d->iov, .room = QUEUE_SIZE};

    /* The event queue is for migration; its buffers stay with us. */
    if (q == EVENT)
        return;
    if (q == TX)
        virtio_each(d->v, TX, &c, NULL, transmit);
    run_rx(d);
}

static void
end_all(void *self)
{
    struct dev_vsock *d = self;

    pthread_mutex_lock(&d->v->lock);
    if (d->v->resetting) {
        for (unsigned i = 0; i < DEV_VSOCK_STREAMS; i++)
            if (d->streams[i])
                stream_end(d->streams[i]);
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

static const struct virtio_type vsock_type = {
    .name = "vsock", .id = VIRTIO_ID_VSOCK, .queue = queue, .reset = reset};

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
    r = virtio_new(&vsock_type, d, g, loop, N_QUEUES, QUEUE_SIZE, MAX_BYTES,
                   &d->v);
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
