/* dev_net.c - virtio network device; see dev_net.h.
 *
 * To the guest: buffers are taken from the ring ahead of time, until one
 * frame of the largest size fits, and the tap is read straight into them.
 * One more segment of our own behind them catches what does not fit; with
 * merged buffers such a frame waits for more of them.
 *
 * Invariants (under the device's lock):
 *  1. rx[0 .. n_rx) are chains taken and not filled, their segments lie one
 *     after the other in rx_iov[0 .. n_rx_iov), rx_room is their sum.
 *  2. The tap is polled for reading only while the guest has room for a
 *     frame and the limit allows one: nothing spins.
 *  3. A header goes to the host only as the checked copy. */
#include <config.h>

#include "hypervisor-backend/vmm/dev_net.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/be_timer.h"

enum {
    RX,
    TX,
    N_QUEUES,
    QUEUE_SIZE = 256,
    MAX_BYTES = 128 << 10, /* of one chain */
    RX_CHAINS = 64,
    RX_SEGS = 512,
    TURN = 64, /* frames before others get their turn */
    HEADER = sizeof(struct virtio_net_hdr_v1),
    LARGEST = 65535 + 14 + 4, /* with segmentation offload */
    ETHERNET = 14 + 4,
};

struct rx_chain {
    uint16_t head, n_iov;
    uint32_t len;
};

struct dev_net {
    struct virtio *v;
    struct io_source tap;
    uint32_t polled; /* what the tap is polled for */
    bool is_tap, gone;
    struct rate rx_rate, tx_rate;
    struct io_timer timer;
    struct dev_net_stats stats;
    unsigned n_rx, n_rx_iov;
    uint64_t rx_room;
    size_t held;    /* bytes of a frame that waits for more buffers, or 0 */
    size_t held_at; /* so many are in the buffers, the rest is in spill */
    struct rx_chain rx[RX_CHAINS];
    struct iovec rx_iov[RX_SEGS + 1];
    struct iovec tx_iov[QUEUE_SIZE + 1];
    uint8_t spill[LARGEST + HEADER]; /* what did not fit; not touched else */
};

/* --- the tap --- */

static void
poll_for(struct dev_net *d, uint32_t events)
{
    int r;

    if (d->gone || d->polled == events)
        return;
    r = io_loop_mod(d->v->loop, &d->tap, events);
    if (r < 0)
        log_limited(LOG_LEVEL_ERROR, "network device cannot poll its tap",
                    "errno=%d", -r);
    else
        d->polled = events;
}

/* The other end was deleted: no more frames either way. */
static void
lost_tap(struct dev_net *d, int error)
{
    COUNT(vmm_net_tap_lost);
    log_limited(LOG_LEVEL_ERROR, "network device lost its tap; link is down",
                "errno=%d", error);
    io_loop_del(d->v->loop, &d->tap);
    d->gone = true;
    d->polled = 0;
    d->v->config[offsetof(struct virtio_net_config, status)] = 0;
    virtio_config_changed(d->v);
}

static int
set_offload(const struct dev_net *d, unsigned flags)
{
    if (!d->is_tap)
        return 0;
    return ioctl(d->tap.fd, TUNSETOFFLOAD, (unsigned long)flags) < 0 ? -errno
                                                                     : 0;
}

/* --- to the guest --- */

/* Section 5.1.6.3.1: the largest frame that may come. */
static uint64_t
frame_max(const struct dev_net *d)
{
    uint16_t mtu;

    if (virtio_has(d->v, VIRTIO_NET_F_GUEST_TSO4) ||
        virtio_has(d->v, VIRTIO_NET_F_GUEST_TSO6))
        return HEADER + LARGEST;
    memcpy(&mtu, d->v->config + offsetof(struct virtio_net_config, mtu),
           sizeof(mtu));
    return HEADER + ETHERNET + (mtu > 1500 ? mtu : 1500U);
}

/* Takes buffers until a frame of the largest size fits, or all there are.
 * False: not enough for the frame that waits, or none at all. */
static bool
gather(struct dev_net *d)
{
    struct virtq *vq = &d->v->queues[RX].vq;
    bool merge = virtio_has(d->v, VIRTIO_NET_F_MRG_RXBUF);
    uint64_t need = frame_max(d);

    for (;;) {
        struct virtq_chain c = {
            .iov = d->rx_iov + d->n_rx_iov,
            .room = (uint16_t)(RX_SEGS - d->n_rx_iov),
        };
        bool full = d->n_rx == RX_CHAINS || c.room < QUEUE_SIZE;

        if (d->n_rx && (!merge || d->rx_room >= need || full))
            break;
        int r = virtio_pop(d->v, RX, &c);
        if (r < 0)
            return false;
        if (r == 0)
            break;
        if (c.n_out || c.in_len < HEADER) {
            virtio_fail(d->v, "receive buffer that holds no frame");
            return false;
        }
        d->rx[d->n_rx++] = (struct rx_chain){c.head, c.n_in, c.in_len};
        d->n_rx_iov += c.n_in;
        d->rx_room += c.in_len;
    }
    if (d->held && d->rx_room < d->held) {
        if (vq->in_flight < vq->setup.size && d->n_rx < RX_CHAINS)
            return false;
        /* It will never have that much. */
        COUNT(vmm_net_rx_dropped);
        d->stats.rx_dropped++;
        d->held = 0;
    }
    return d->n_rx > 0;
}

static void
forget_rx(struct dev_net *d, unsigned chains, unsigned segs)
{
    d->n_rx -= chains;
    d->n_rx_iov -= segs;
    memmove(d->rx, d->rx + chains, d->n_rx * sizeof(d->rx[0]));
    memmove(d->rx_iov, d->rx_iov + segs, d->n_rx_iov * sizeof(d->rx_iov[0]));
}

/* n bytes are in the first buffers: hands them over. */
static void
deliver(struct dev_net *d, size_t n)
{
    struct virtq_chain first = {.iov = d->rx_iov, .n_in = d->rx[0].n_iov};
    unsigned segs = 0;
    uint16_t used = 0;

    d->stats.rx_packets++;
    d->stats.rx_bytes += n - HEADER;
    rate_charge(&d->rx_rate, 1, n - HEADER);
    for (size_t left = n; left; used++) {
        const struct rx_chain *c = &d->rx[used];
        uint32_t len = (uint32_t)MIN(left, (size_t)c->len);

        virtio_push(d->v, RX, c->head, len);
        d->rx_room -= c->len;
        segs += c->n_iov;
        left -= len;
    }
    virtq_copy_in(&first, offsetof(struct virtio_net_hdr_v1, num_buffers),
                  &used, sizeof(used));
    forget_rx(d, used, segs);
}

/* A frame that was larger than the buffers of then: its end is in spill. */
static void
deliver_held(struct dev_net *d)
{
    struct virtq_chain all = {.iov = d->rx_iov, .n_in = (uint16_t)d->n_rx_iov};
    size_t n = d->held;

    d->held = 0;
    virtq_copy_in(&all, d->held_at, d->spill, n - d->held_at);
    deliver(d, n);
}

/* One frame. False: nothing more for now. */
static bool
receive(struct dev_net *d)
{
    bool merge = virtio_has(d->v, VIRTIO_NET_F_MRG_RXBUF);
    unsigned n_iov = merge ? d->n_rx_iov : d->rx[0].n_iov;
    uint64_t room = merge ? d->rx_room : d->rx[0].len;
    struct iovec saved = d->rx_iov[n_iov];
    ssize_t n;

    d->rx_iov[n_iov] = (struct iovec){d->spill, sizeof(d->spill)};
    n = readv(d->tap.fd, d->rx_iov, (int)n_iov + 1);
    d->rx_iov[n_iov] = saved;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return errno == EINTR;
    if (n <= 0) {
        lost_tap(d, n ? errno : 0);
        return false;
    }
    if (n > HEADER && (uint64_t)n > room && merge) {
        d->held = (size_t)n;
        d->held_at = (size_t)room;
        return true;
    }
    if (n <= HEADER || (uint64_t)n > room) {
        COUNT(vmm_net_rx_dropped);
        d->stats.rx_dropped++;
        return true;
    }
    deliver(d, (size_t)n);
    return true;
}

/* Returns whether the tap is to be polled for more. */
static bool
run_rx(struct dev_net *d)
{
    struct virtio *v = d->v;
    struct virtq *vq = &v->queues[RX].vq;
    bool poll = true;

    for (unsigned i = 0; i < TURN && !d->gone; i++) {
        uint64_t wait = rate_limited(&d->rx_rate)
                            ? rate_wait_ns(&d->rx_rate, rate_now_ns())
                            : 0;

        if (wait) {
            d->stats.throttled++;
            io_timer_set(&d->timer, wait);
            poll = false;
            break;
        }
        if (!virtio_live(v) || !vq->live) {
            poll = false;
            break;
        }
        virtq_disarm(vq);
        if (!gather(d)) {
            if (virtq_arm(vq))
                continue;
            poll = false;
            break;
        }
        if (d->held)
            deliver_held(d);
        else if (!receive(d))
            break;
    }
    virtio_flush(v, RX);
    return poll && !d->gone;
}

/* --- from the guest --- */

/* Sections 5.1.6.2 and 5.1.6.2.1. h is the copy; len is the frame's. */
static bool
header_ok(const struct dev_net *d, struct virtio_net_hdr_v1 *h, uint32_t len)
{
    const struct virtio *v = d->v;
    bool csum = (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0;
    uint8_t gso = h->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;

    if (len < 14 || len > LARGEST)
        return false;
    if (csum && (!virtio_has(v, VIRTIO_NET_F_CSUM) ||
                 (uint32_t)h->csum_start + h->csum_offset + 2 > len))
        return false;
    if (gso == VIRTIO_NET_HDR_GSO_NONE) {
        h->gso_size = h->hdr_len = 0;
    } else if (!csum || !h->gso_size || h->hdr_len > len) {
        return false;
    }
    switch (gso) {
    case VIRTIO_NET_HDR_GSO_NONE:
        break;
    case VIRTIO_NET_HDR_GSO_TCPV4:
        if (!virtio_has(v, VIRTIO_NET_F_HOST_TSO4))
            return false;
        break;
    case VIRTIO_NET_HDR_GSO_TCPV6:
        if (!virtio_has(v, VIRTIO_NET_F_HOST_TSO6))
            return false;
        break;
    default:
        return false;
    }
    if ((h->gso_type & VIRTIO_NET_HDR_GSO_ECN) &&
        (gso == VIRTIO_NET_HDR_GSO_NONE ||
         !virtio_has(v, VIRTIO_NET_F_HOST_ECN)))
        return false;
    /* The driver must not set the others, and the host must not see them. */
    h->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
    h->num_buffers = 0;
    return true;
}

/* The iovecs behind the first n bytes; n is within the readable ones. */
static struct iovec *
skip(struct virtq_chain *c, size_t n, unsigned *n_iov)
{
    struct iovec *v = c->iov;

    *n_iov = c->n_out;
    while (*n_iov && n >= v->iov_len) {
        n -= v->iov_len;
        v++;
        (*n_iov)--;
    }
    if (*n_iov && n) {
        v->iov_base = (uint8_t *)v->iov_base + n;
        v->iov_len -= n;
    }
    return v;
}

/* A frame of the guest's. False: the tap is full, try again later. */
static bool
transmit(void *self, unsigned q, struct virtq_chain *c)
{
    struct dev_net *d = self;
    struct virtio_net_hdr_v1 h;
    struct iovec *v;
    unsigned n_iov;
    uint32_t len;
    ssize_t n;

    if (c->n_in || c->out_len < HEADER) {
        virtio_fail(d->v, "frame to send without a header");
        return false;
    }
    len = c->out_len - HEADER;
    virtq_copy_out(c, 0, &h, sizeof(h));
    if (d->gone || !header_ok(d, &h, len)) {
        COUNT(vmm_net_tx_dropped);
        d->stats.tx_dropped++;
        virtio_push(d->v, q, c->head, 0);
        return true;
    }
    /* There is always a place before: tx_iov has one more. */
    v = skip(c, HEADER, &n_iov) - 1;
    *v = (struct iovec){&h, sizeof(h)};
    do
        n = writev(d->tap.fd, v, (int)n_iov + 1);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        virtq_unpop(&d->v->queues[TX].vq);
        poll_for(d, d->polled | EPOLLOUT);
        return false;
    }
    if (n < 0) {
        COUNT(vmm_net_tx_refused);
        d->stats.tx_dropped++;
    } else {
        d->stats.tx_packets++;
        d->stats.tx_bytes += len;
    }
    rate_charge(&d->tx_rate, 1, len);
    virtio_push(d->v, q, c->head, 0);
    return true;
}

static bool
may_transmit(void *self, unsigned q, struct virtq_chain *c)
{
    struct dev_net *d = self;
    uint64_t wait = rate_limited(&d->tx_rate)
                        ? rate_wait_ns(&d->tx_rate, rate_now_ns())
                        : 0;

    (void)q;
    (void)c;
    if (!wait)
        return true;
    d->stats.throttled++;
    io_timer_set(&d->timer, wait);
    return false;
}

static void
run_tx(struct dev_net *d)
{
    struct virtq_chain c = {.iov = d->tx_iov + 1, .room = QUEUE_SIZE};

    if (virtio_live(d->v) && d->v->queues[TX].vq.live)
        virtio_each(d->v, TX, &c, may_transmit, transmit);
}

/* --- events --- */

static void
rx_turn(struct dev_net *d)
{
    uint32_t out = d->polled & EPOLLOUT;

    poll_for(d, run_rx(d) ? EPOLLIN | out : out);
}

static void
on_tap(void *self, uint32_t events)
{
    struct dev_net *d = self;

    pthread_mutex_lock(&d->v->lock);
    if (events & EPOLLOUT) {
        poll_for(d, d->polled & ~(uint32_t)EPOLLOUT);
        run_tx(d);
    }
    if (!d->gone && (events & (EPOLLERR | EPOLLHUP)) && !d->polled)
        lost_tap(d, 0); /* reported though nothing was asked for */
    else
        rx_turn(d);
    pthread_mutex_unlock(&d->v->lock);
}

/* One timer for both ways: an early look asks for the rest of the time. */
static void
on_timer(void *self)
{
    struct dev_net *d = self;

    pthread_mutex_lock(&d->v->lock);
    run_tx(d);
    rx_turn(d);
    pthread_mutex_unlock(&d->v->lock);
}

static void
queue(void *self, unsigned q)
{
    struct dev_net *d = self;

    if (q == RX)
        rx_turn(d);
    else
        run_tx(d);
}

static void
started(void *self)
{
    struct dev_net *d = self;
    unsigned flags = 0;
    int r;

    if (virtio_has(d->v, VIRTIO_NET_F_GUEST_CSUM)) {
        flags |= TUN_F_CSUM;
        if (virtio_has(d->v, VIRTIO_NET_F_GUEST_TSO4))
            flags |= TUN_F_TSO4;
        if (virtio_has(d->v, VIRTIO_NET_F_GUEST_TSO6))
            flags |= TUN_F_TSO6;
        if ((flags & (TUN_F_TSO4 | TUN_F_TSO6)) &&
            virtio_has(d->v, VIRTIO_NET_F_GUEST_ECN))
            flags |= TUN_F_TSO_ECN;
    }
    r = set_offload(d, flags);
    if (r < 0)
        log_limited(LOG_LEVEL_ERROR, "tap refuses the offloads it offered",
                    "errno=%d", -r);
}

static bool
reset(void *self)
{
    struct dev_net *d = self;

    d->n_rx = d->n_rx_iov = 0;
    d->held = 0;
    d->rx_room = 0;
    poll_for(d, 0);
    return true;
}

static const struct virtio_type net_type = {.name = "net",
                                            .id = VIRTIO_ID_NET,
                                            .start = started,
                                            .queue = queue,
                                            .reset = reset};

/* --- life and control --- */

static uint64_t
offered(struct dev_net *d, const struct dev_net_options *o)
{
    uint64_t f =
        VIRTIO_BIT(VIRTIO_NET_F_MAC) | VIRTIO_BIT(VIRTIO_NET_F_STATUS) |
        VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) | VIRTIO_BIT(VIRTIO_NET_F_CSUM) |
        VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4) |
        VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO6) | VIRTIO_BIT(VIRTIO_NET_F_HOST_ECN);

    if (o->mtu)
        f |= VIRTIO_BIT(VIRTIO_NET_F_MTU);
    if (set_offload(d, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN) ==
            0 &&
        set_offload(d, 0) == 0)
        f |= VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM) |
             VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4) |
             VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO6) |
             VIRTIO_BIT(VIRTIO_NET_F_GUEST_ECN);
    return f;
}

/* Frames on the descriptor carry the 12-byte header; reads do not block. */
static int
set_up_tap(struct dev_net *d, int fd)
{
    int flags = fcntl(fd, F_GETFL), size = HEADER;
    unsigned features;

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    d->is_tap = ioctl(fd, TUNGETFEATURES, &features) == 0;
    if (d->is_tap && ioctl(fd, TUNSETVNETHDRSZ, &size) < 0)
        return -errno;
    d->tap = (struct io_source){fd, on_tap, d};
    return 0;
}

int
dev_net_new(struct gmem *g, struct io_loop *loop,
            const struct dev_net_options *o, struct dev_net **ret,
            struct err *reterr)
{
    struct virtio_net_config c = {.status = VIRTIO_NET_S_LINK_UP,
                                  .max_virtqueue_pairs = 1,
                                  .mtu = o->mtu};
    struct dev_net *d = NULL;
    int r;

    if (o->n_fds != 1)
        return err_set(reterr, -EINVAL, "invalid",
                       "one descriptor for each queue pair, please");
    /* RFC 791 wants 68; a group address is nobody's own. */
    if ((o->mtu && o->mtu < 68) || (o->mac[0] & 1))
        return err_set(reterr, -EINVAL, "invalid",
                       "the NIC's MTU or MAC address is not usable");
    d = xnew(struct dev_net);
    rate_init(&d->rx_rate, &o->rx, rate_now_ns());
    rate_init(&d->tx_rate, &o->tx, rate_now_ns());
    r = set_up_tap(d, o->fds[0]);
    if (r < 0) {
        free(d);
        return err_errno(reterr, r, "tap");
    }
    r = virtio_new(&net_type, d, g, loop, N_QUEUES, QUEUE_SIZE, MAX_BYTES,
                   &d->v);
    if (r < 0) {
        free(d);
        return err_errno(reterr, r, "network device");
    }
    r = io_timer_init(&d->timer, loop, on_timer, d);
    if (r >= 0)
        r = io_loop_add(loop, &d->tap, 0);
    if (r < 0) {
        io_timer_release(&d->timer);
        virtio_free(d->v);
        free(d);
        return err_errno(reterr, r, "network device");
    }
    memcpy(c.mac, o->mac, sizeof(c.mac));
    d->v->config_size = offsetof(struct virtio_net_config, speed);
    memcpy(d->v->config, &c, d->v->config_size);
    d->v->offered |= offered(d, o);
    *ret = d;
    return 0;
}

void
dev_net_free(struct dev_net *d)
{
    if (!d)
        return;
    virtio_stop(d->v);
    if (!d->gone)
        io_loop_del(d->v->loop, &d->tap);
    io_timer_release(&d->timer);
    virtio_free(d->v);
    closep(&d->tap.fd);
    free(d);
}

struct virtio *
dev_net_virtio(struct dev_net *d)
{
    return d->v;
}

void
dev_net_set_link(struct dev_net *d, bool up)
{
    size_t at = offsetof(struct virtio_net_config, status);

    pthread_mutex_lock(&d->v->lock);
    if (!d->gone && d->v->config[at] != (up ? VIRTIO_NET_S_LINK_UP : 0)) {
        d->v->config[at] = up ? VIRTIO_NET_S_LINK_UP : 0;
        virtio_config_changed(d->v);
    }
    pthread_mutex_unlock(&d->v->lock);
}

void
dev_net_set_limits(struct dev_net *d, const struct rate_limits *rx,
                   const struct rate_limits *tx)
{
    pthread_mutex_lock(&d->v->lock);
    rate_init(&d->rx_rate, rx, rate_now_ns());
    rate_init(&d->tx_rate, tx, rate_now_ns());
    io_timer_set(&d->timer, 1);
    pthread_mutex_unlock(&d->v->lock);
}

void
dev_net_stats(struct dev_net *d, struct dev_net_stats *ret)
{
    pthread_mutex_lock(&d->v->lock);
    *ret = d->stats;
    pthread_mutex_unlock(&d->v->lock);
}
