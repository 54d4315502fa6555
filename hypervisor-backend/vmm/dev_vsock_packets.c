/* dev_vsock_packets.c - packets of virtio sockets, to the guest and from it;
 * see dev_vsock-private.h. */
#include <config.h>

#include "hypervisor-backend/vmm/dev_vsock-private.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/count.h"
#include "common/mem.h"

enum {
    READ_MAX = 65536,
    HOST_CID = 2,
};

/* --- to the guest --- */

static uint32_t
credit(const struct vsock_stream *s)
{
    uint32_t used = s->sent - s->peer_fwd;

    return used < s->peer_alloc ? s->peer_alloc - used : 0;
}

static bool
next_buffer(struct dev_vsock *d, struct virtq_chain *c)
{
    *c = (struct virtq_chain){.iov = d->iov, .room = VSOCK_QUEUE_SIZE};
    if (virtio_pop(d->v, VSOCK_RX, c) <= 0)
        return false;
    if (c->n_out || c->in_len < VSOCK_HEADER) {
        virtio_fail(d->v, "socket receive buffer that holds no packet");
        return false;
    }
    return true;
}

static void
put_packet(struct dev_vsock *d, struct virtq_chain *c,
           const struct vsock_stream *s, const struct vsock_reset *ports,
           uint16_t op, uint32_t len, uint32_t flags)
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
    virtio_push(d->v, VSOCK_RX, c->head, VSOCK_HEADER + len);
}

/* One thing that s has to tell. Returns false if s has ended. */
static bool
tell(struct dev_vsock *d, struct virtq_chain *c, struct vsock_stream *s)
{
    struct vsock_reset ports = {s->host_port, s->guest_port};
    unsigned what = s->tell & -s->tell;
    static const struct {
        enum vsock_tell bit;
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
    vsock_stream_end(s);
    return false;
}

/* Moves bytes of the host into the chain; gives it back if there are none. */
static void
read_host(struct dev_vsock *d, struct virtq_chain *c, struct vsock_stream *s)
{
    struct vsock_reset ports = {s->host_port, s->guest_port};
    size_t room = MIN((size_t)c->in_len - VSOCK_HEADER, (size_t)READ_MAX);
    unsigned n_iov =
        virtq_slice(c->iov, c->n_in, VSOCK_HEADER, MIN(room, (size_t)credit(s)),
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
    virtq_unpop(&d->v->queues[VSOCK_RX].vq);
    s->readable = false;
    if (n_iov && n < 0 && errno == EAGAIN) {
        vsock_update_poll(s);
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
        struct vsock_stream *s = d->streams[at];
        bool data = s && s->state == VSOCK_OPEN && s->readable && credit(s);

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

void
vsock_run_rx(struct dev_vsock *d)
{
    struct virtq *vq = &d->v->queues[VSOCK_RX].vq;
    unsigned left = VIRTIO_BATCH;

    if (!virtio_live(d->v) || !vq->live)
        return;
    do {
        while (left && serve_one(d))
            left--;
    } while (left && virtq_arm(vq) && virtio_live(d->v) && serve_one(d));
    virtio_flush(d->v, VSOCK_RX);
    if (!left)
        io_kick(d->v->queues[VSOCK_RX].kick.fd);
}

/* --- to the host --- */

static void
forwarded(struct vsock_stream *s, size_t n)
{
    s->fwd_cnt += (uint32_t)n;
    if (s->fwd_cnt - s->told_fwd >= DEV_VSOCK_BUFFER / 2)
        s->tell |= TELL_CREDIT;
}

static void
after_flush(struct vsock_stream *s)
{
    if (!s->guest_eof || s->buf_len)
        return;
    if (s->host_eof)
        s->tell |= TELL_RESET;
    else
        shutdown(s->source.fd, SHUT_WR);
}

void
vsock_flush(struct vsock_stream *s)
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
write_host(struct dev_vsock *d, struct vsock_stream *s,
           const struct virtq_chain *c, uint32_t len)
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

        m.msg_iovlen = virtq_slice(c->iov, c->n_out, VSOCK_HEADER + done,
                                   len - done, d->piece, ARRAY_SIZE(d->piece));
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
    s->buf_len += (uint32_t)virtq_copy_out(c, VSOCK_HEADER + done,
                                           s->buf + s->buf_len, len - done);
    vsock_update_poll(s);
}

/* Connects to "<guest_path>_<port>". */
static void
guest_request(struct dev_vsock *d, const struct virtio_vsock_hdr *h)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd _cleanup_(closep) = -1, n;
    struct vsock_stream *s;

    if (!d->guest_path)
        goto refuse;
    n = snprintf(at.sun_path, sizeof(at.sun_path), "%s_%u", d->guest_path,
                 h->dst_port);
    if (n < 0 || (size_t)n >= sizeof(at.sun_path))
        goto refuse;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
        goto refuse;
    s = vsock_stream_new(d, fd, VSOCK_OPEN);
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
    vsock_refuse(d, h->dst_port, h->src_port);
}

static void
answer_hello(struct vsock_stream *s)
{
    char ok[32];
    int n = snprintf(ok, sizeof(ok), "OK %u\n", s->host_port);

    s->state = VSOCK_OPEN;
    /* A fresh socket has room for a line. */
    if (send(s->source.fd, ok, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) != n)
        s->tell |= TELL_RESET;
}

static void
guest_shutdown(struct vsock_stream *s, uint32_t flags)
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
    struct vsock_stream *s = vsock_find(d, h->dst_port, h->src_port);

    if (h->src_cid != d->cid) {
        COUNT(vmm_vsock_bad_source);
        return;
    }
    if (h->dst_cid != HOST_CID || h->type != VIRTIO_VSOCK_TYPE_STREAM ||
        h->len > c->out_len - VSOCK_HEADER) {
        COUNT(vmm_vsock_bad_packet);
        if (s)
            s->tell |= TELL_RESET;
        else if (h->op != VIRTIO_VSOCK_OP_RST)
            vsock_refuse(d, h->dst_port, h->src_port);
        return;
    }
    if (!s) {
        if (h->op == VIRTIO_VSOCK_OP_REQUEST)
            guest_request(d, h);
        else if (h->op != VIRTIO_VSOCK_OP_RST)
            vsock_refuse(d, h->dst_port, h->src_port);
        return;
    }
    s->peer_alloc = h->buf_alloc;
    s->peer_fwd = h->fwd_cnt;
    if (h->op == VIRTIO_VSOCK_OP_RST) {
        vsock_stream_end(s);
    } else if (h->op == VIRTIO_VSOCK_OP_RESPONSE && s->state == VSOCK_ASKED) {
        answer_hello(s);
    } else if (h->op == VIRTIO_VSOCK_OP_RW && s->state == VSOCK_OPEN &&
               !s->guest_eof) {
        write_host(d, s, c, h->len);
    } else if (h->op == VIRTIO_VSOCK_OP_SHUTDOWN && s->state == VSOCK_OPEN) {
        guest_shutdown(s, h->flags);
    } else if (h->op == VIRTIO_VSOCK_OP_CREDIT_REQUEST) {
        s->tell |= TELL_CREDIT;
    } else if (h->op != VIRTIO_VSOCK_OP_CREDIT_UPDATE) {
        COUNT(vmm_vsock_bad_packet);
        s->tell |= TELL_RESET;
    }
}

bool
vsock_transmit(void *self, unsigned q, struct virtq_chain *c)
{
    struct dev_vsock *d = self;
    struct virtio_vsock_hdr h;

    if (c->n_in || c->out_len < VSOCK_HEADER) {
        virtio_fail(d->v, "socket packet without a header");
        return false;
    }
    virtq_copy_out(c, 0, &h, sizeof(h));
    guest_packet(d, &h, c);
    virtio_push(d->v, q, c->head, 0);
    return true;
}
