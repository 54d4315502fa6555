/* dev_net_path.c - the network device's own data path; see dev_net.h.
 *
 * To the guest: buffers are taken from the ring ahead of time, until one
 * frame of the largest size fits, and the tap is read straight into them.
 * One more segment of our own behind them catches what does not fit; with
 * merged buffers such a frame waits for more of them.
 *
 * Invariants (under the device's lock), for each pair:
 *  1. rx[0 .. n_rx) are chains taken and not filled, the last that were
 *     taken; their segments lie one after the other in rx_iov[0 .. n_rx_iov),
 *     rx_room is their sum.
 *  2. The tap is polled for reading only while the guest has room for a
 *     frame and the limit allows one: nothing spins.
 *  3. A header goes to the host only as the checked copy.
 *  4. While vhost has the pair, or the driver does not use it, nothing is
 *     taken from its rings to receive. */
#include <config.h>

#include "hypervisor-backend/vmm/dev_net-private.h"

#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>

#include "common/count.h"

enum {
    TURN = 64, /* frames before others get their turn */
    ETHERNET = 14 + 4,
};

static unsigned
rxq(const struct net_pair *p)
{
    return 2 * p->index;
}

static unsigned
txq(const struct net_pair *p)
{
    return 2 * p->index + 1;
}

/* --- to the guest --- */

/* Section 5.1.6.3.1: the largest frame that may come. */
static uint64_t
frame_max(const struct dev_net *d)
{
    uint16_t mtu;

    if (virtio_has(d->v, VIRTIO_NET_F_GUEST_TSO4) ||
        virtio_has(d->v, VIRTIO_NET_F_GUEST_TSO6))
        return NET_HEADER + NET_LARGEST;
    memcpy(&mtu, d->v->config + offsetof(struct virtio_net_config, mtu),
           sizeof(mtu));
    return NET_HEADER + ETHERNET + (mtu > 1500 ? mtu : 1500U);
}

static void
drop_rx(struct net_pair *p)
{
    COUNT(vmm_net_rx_dropped);
    p->d->stats.rx_dropped++;
}

/* Takes buffers until a frame of the largest size fits, or all there are.
 * False: not enough for the frame that waits, or none at all. */
static bool
gather(struct net_pair *p)
{
    struct virtio *v = p->d->v;
    struct virtq *vq = &v->queues[rxq(p)].vq;
    bool merge = virtio_has(v, VIRTIO_NET_F_MRG_RXBUF);
    uint64_t need = frame_max(p->d);

    for (;;) {
        struct virtq_chain c = {
            .iov = p->rx_iov + p->n_rx_iov,
            .room = (uint16_t)(NET_RX_SEGS - p->n_rx_iov),
        };
        bool full = p->n_rx == NET_RX_CHAINS || c.room < NET_QUEUE_SIZE;

        if (p->n_rx && (!merge || p->rx_room >= need || full))
            break;
        int r = virtio_pop(v, rxq(p), &c);
        if (r < 0)
            return false;
        if (r == 0)
            break;
        if (c.n_out || c.in_len < NET_HEADER) {
            virtio_fail(v, "receive buffer that holds no frame");
            return false;
        }
        p->rx[p->n_rx++] = (struct net_rx_chain){c.head, c.n_in, c.in_len};
        p->n_rx_iov += c.n_in;
        p->rx_room += c.in_len;
    }
    if (p->held && p->rx_room < p->held) {
        if (vq->in_flight < vq->setup.size && p->n_rx < NET_RX_CHAINS)
            return false;
        /* It will never have that much. */
        drop_rx(p);
        p->held = 0;
    }
    return p->n_rx > 0;
}

static void
forget_rx(struct net_pair *p, unsigned chains, unsigned segs)
{
    p->n_rx -= chains;
    p->n_rx_iov -= segs;
    memmove(p->rx, p->rx + chains, p->n_rx * sizeof(p->rx[0]));
    memmove(p->rx_iov, p->rx_iov + segs, p->n_rx_iov * sizeof(p->rx_iov[0]));
}

void
net_give_back(struct net_pair *p)
{
    if (p->held)
        drop_rx(p);
    for (; p->n_rx; p->n_rx--)
        virtq_unpop(&p->d->v->queues[rxq(p)].vq);
    p->n_rx_iov = 0;
    p->rx_room = 0;
    p->held = 0;
}

/* n bytes are in the first buffers: hands them over. */
static void
deliver(struct net_pair *p, size_t n)
{
    struct dev_net *d = p->d;
    struct virtq_chain first = {.iov = p->rx_iov, .n_in = p->rx[0].n_iov};
    unsigned segs = 0;
    uint16_t used = 0;

    d->stats.rx_packets++;
    d->stats.rx_bytes += n - NET_HEADER;
    rate_charge(&d->rx_rate, 1, n - NET_HEADER);
    for (size_t left = n; left; used++) {
        const struct net_rx_chain *c = &p->rx[used];
        uint32_t len = (uint32_t)MIN(left, (size_t)c->len);

        virtio_push(d->v, rxq(p), c->head, len);
        p->rx_room -= c->len;
        segs += c->n_iov;
        left -= len;
    }
    virtq_copy_in(&first, offsetof(struct virtio_net_hdr_v1, num_buffers),
                  &used, sizeof(used));
    forget_rx(p, used, segs);
}

/* A frame that was larger than the buffers of then: its end is in spill. */
static void
deliver_held(struct net_pair *p)
{
    struct virtq_chain all = {.iov = p->rx_iov, .n_in = (uint16_t)p->n_rx_iov};
    size_t n = p->held;

    p->held = 0;
    virtq_copy_in(&all, p->held_at, p->spill, n - p->held_at);
    deliver(p, n);
}

/* What was read lies in n_iov segments, the spill among them. */
static bool
wanted(struct net_pair *p, unsigned n_iov, size_t n)
{
    struct dev_net *d = p->d;
    struct virtq_chain all = {.iov = p->rx_iov, .n_out = (uint16_t)n_iov};
    uint8_t start[18]; /* addresses, and a tag */

    if (!d->link_up) {
        drop_rx(p);
        return false;
    }
    if (d->filter.promisc)
        return true;
    n = virtq_copy_out(&all, NET_HEADER, start,
                       MIN(n - NET_HEADER, sizeof(start)));
    if (net_filter_pass(&d->filter, start, n))
        return true;
    d->stats.rx_filtered++;
    return false;
}

/* Section 5.1.6.4.1: without offloads the header says nothing. */
static void
clear_header(struct net_pair *p, unsigned n_iov)
{
    static const uint8_t zero[NET_HEADER];
    struct virtq_chain all = {.iov = p->rx_iov, .n_in = (uint16_t)n_iov};

    virtq_copy_in(&all, 0, zero, sizeof(zero));
}

/* A message without a byte reads like the end. */
static bool
hung_up(const struct net_pair *p)
{
    struct pollfd f = {p->tap.fd, POLLRDHUP, 0};

    return poll(&f, 1, 0) < 0 || f.revents;
}

/* One frame. False: nothing more for now. */
static bool
receive(struct net_pair *p)
{
    struct dev_net *d = p->d;
    bool merge = virtio_has(d->v, VIRTIO_NET_F_MRG_RXBUF), take;
    unsigned n_iov = merge ? p->n_rx_iov : p->rx[0].n_iov;
    uint64_t room = merge ? p->rx_room : p->rx[0].len;
    struct iovec saved = p->rx_iov[n_iov];
    ssize_t n;

    p->rx_iov[n_iov] = (struct iovec){p->spill, sizeof(p->spill)};
    n = readv(p->tap.fd, p->rx_iov, (int)n_iov + 1);
    take = n > NET_HEADER && wanted(p, n_iov + 1, (size_t)n);
    p->rx_iov[n_iov] = saved;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return errno == EINTR;
    if (n < 0 || (n == 0 && (d->is_tap || hung_up(p)))) {
        net_lost_tap(d, n ? errno : 0);
        return false;
    }
    if (n > NET_HEADER && !take)
        return true;
    if (n <= NET_HEADER || n > NET_HEADER + NET_LARGEST ||
        ((uint64_t)n > room && !merge)) {
        drop_rx(p);
        return true;
    }
    if (d->kind == DEV_NET_PACKETS)
        clear_header(p, n_iov);
    if ((uint64_t)n > room) {
        p->held = (size_t)n;
        p->held_at = (size_t)room;
        return true;
    }
    deliver(p, (size_t)n);
    return true;
}

/* Returns whether the tap is to be polled for more. */
static bool
run_rx(struct net_pair *p)
{
    struct dev_net *d = p->d;
    struct virtio *v = d->v;
    struct virtq *vq = &v->queues[rxq(p)].vq;
    bool poll_more = true;

    for (unsigned i = 0; i < TURN && !d->gone; i++) {
        uint64_t wait = rate_limited(&d->rx_rate)
                            ? rate_wait_ns(&d->rx_rate, rate_now_ns())
                            : 0;

        if (wait) {
            d->stats.throttled++;
            io_timer_set(&d->timer, wait);
            poll_more = false;
            break;
        }
        if (!virtio_live(v) || !vq->live) {
            poll_more = false;
            break;
        }
        virtq_disarm(vq);
        if (!gather(p)) {
            if (virtq_arm(vq))
                continue;
            poll_more = false;
            break;
        }
        if (p->held)
            deliver_held(p);
        else if (!receive(p))
            break;
    }
    virtio_flush(v, rxq(p));
    return poll_more && !d->gone;
}

void
net_rx_turn(struct net_pair *p)
{
    uint32_t out = p->polled & EPOLLOUT;

    if (p->active && !p->vhost_on)
        net_poll_for(p, run_rx(p) ? EPOLLIN | out : out);
}

/* --- from the guest --- */

/* Sections 5.1.6.2 and 5.1.6.2.1. h is the copy; len is the frame's. */
static bool
header_ok(const struct dev_net *d, struct virtio_net_hdr_v1 *h, uint32_t len)
{
    const struct virtio *v = d->v;
    bool csum = (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0;
    uint8_t gso = h->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;

    if (len < 14 || len > NET_LARGEST)
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
    struct net_pair *p = d->pair[q / 2];
    struct virtio_net_hdr_v1 h;
    struct iovec *v;
    unsigned n_iov;
    uint32_t len;
    ssize_t n;

    if (c->n_in || c->out_len < NET_HEADER) {
        virtio_fail(d->v, "frame to send without a header");
        return false;
    }
    len = c->out_len - NET_HEADER;
    virtq_copy_out(c, 0, &h, sizeof(h));
    if (d->gone || !d->link_up || !p->active || !header_ok(d, &h, len)) {
        COUNT(vmm_net_tx_dropped);
        d->stats.tx_dropped++;
        virtio_push(d->v, q, c->head, 0);
        return true;
    }
    /* There is always a place before: tx_iov has one more. */
    v = skip(c, NET_HEADER, &n_iov) - 1;
    *v = (struct iovec){&h, sizeof(h)};
    do
        n = writev(p->tap.fd, v, (int)n_iov + 1);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        virtq_unpop(&d->v->queues[q].vq);
        net_poll_for(p, p->polled | EPOLLOUT);
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

/* Also where the driver does not use the pair: what it sent there before it
 * said so must come back. */
void
net_run_tx(struct net_pair *p)
{
    struct dev_net *d = p->d;
    struct virtq_chain c = {.iov = d->tx_iov + 1, .room = NET_QUEUE_SIZE};

    if (!p->vhost_on && virtio_live(d->v) && d->v->queues[txq(p)].vq.live)
        virtio_each(d->v, txq(p), &c, may_transmit, transmit);
}
