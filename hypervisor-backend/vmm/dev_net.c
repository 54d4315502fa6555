/* dev_net.c - virtio network device; see dev_net.h. Life, features, events,
 * and which pairs are in use.
 *
 * Invariant (under the device's lock): pairs [0, n_active) are the driver's;
 * the taps of the others are detached and polled for nothing. */
#include <config.h>

#include "hypervisor-backend/vmm/dev_net-private.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_ids.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/be_tap.h"

/* A detached tap reports an error at all times: ask once only. */
#define QUIET EPOLLET
#define LINK_STATUS offsetof(struct virtio_net_config, status)

/* --- taps and pairs --- */

void
net_poll_for(struct net_pair *p, uint32_t events)
{
    int r;

    if (!events)
        events = QUIET;
    if (!p->in_loop || p->polled == events)
        return;
    r = io_loop_mod(p->d->v->loop, &p->tap, events);
    if (r < 0)
        log_limited(LOG_LEVEL_ERROR, "network device cannot poll its tap",
                    "errno=%d", -r);
    else
        p->polled = events;
}

static void
set_link_bit(struct dev_net *d, bool up)
{
    uint8_t *status = &d->v->config[LINK_STATUS];
    uint8_t value = up ? VIRTIO_NET_S_LINK_UP : 0;

    if (*status == value)
        return;
    *status = value;
    virtio_config_changed(d->v);
}

static int
attach(struct net_pair *p, bool on)
{
    int r = 0;

    if (p->active == on)
        return 0;
    if (p->d->is_tap && p->d->n_pairs > 1)
        r = be_tap_attach(p->tap.fd, on);
    if (r == 0)
        p->active = on;
    return r;
}

int
net_set_pairs(struct dev_net *d, unsigned n)
{
    int r = 0;

    for (unsigned i = 0; i < n && r == 0; i++)
        r = attach(d->pair[i], true);
    /* What was attached in vain is detached again. */
    if (r == 0)
        d->n_active = n;
    for (unsigned i = d->n_active; i < d->n_pairs; i++) {
        struct net_pair *p = d->pair[i];
        int s;

        if (!p->active)
            continue;
        if (p->vhost_on)
            net_serve_ourselves(p);
        net_give_back(p);
        net_poll_for(p, 0);
        s = attach(p, false);
        if (s < 0)
            log_limited(LOG_LEVEL_ERROR, "a tap's queue cannot be detached",
                        "errno=%d", -s);
        p->active = false;
    }
    net_look_again(d);
    /* Rings that were filled before: those who serve them have a look. */
    for (unsigned i = 0; r == 0 && i < 2 * n; i++)
        io_kick(d->v->queues[i].kick.fd);
    return r;
}

void
net_lost_tap(struct dev_net *d, int error)
{
    COUNT(vmm_net_tap_lost);
    log_limited(LOG_LEVEL_ERROR, "network device lost its tap; link is down",
                "errno=%d", error);
    d->gone = true;
    for (unsigned i = 0; i < d->n_pairs; i++) {
        struct net_pair *p = d->pair[i];

        if (p->in_loop)
            io_loop_del(d->v->loop, &p->tap);
        p->in_loop = false;
        p->polled = 0;
    }
    net_look_again(d);
    set_link_bit(d, false);
}

/* --- events --- */

/* An error that was reported before the queue was attached is none. */
static bool
is_lost(const struct net_pair *p, uint32_t events)
{
    struct pollfd f = {p->tap.fd, 0, 0};

    return p->active && (events & (EPOLLERR | EPOLLHUP)) &&
           p->polled == QUIET && poll(&f, 1, 0) == 1 &&
           (f.revents & (POLLERR | POLLHUP));
}

static void
on_tap(void *self, uint32_t events)
{
    struct net_pair *p = self;
    struct dev_net *d = p->d;

    pthread_mutex_lock(&d->v->lock);
    if (p->in_loop && is_lost(p, events)) {
        net_lost_tap(d, 0); /* reported though nothing was asked for */
    } else if (p->in_loop && p->active && !p->vhost_on) {
        if (events & EPOLLOUT) {
            net_poll_for(p, p->polled & ~(uint32_t)EPOLLOUT);
            net_run_tx(p);
        }
        net_rx_turn(p);
    }
    pthread_mutex_unlock(&d->v->lock);
}

/* One timer for all: an early look asks for the rest of the time. */
static void
on_timer(void *self)
{
    struct dev_net *d = self;

    pthread_mutex_lock(&d->v->lock);
    for (unsigned i = 0; i < d->n_pairs; i++) {
        net_run_tx(d->pair[i]);
        net_rx_turn(d->pair[i]);
    }
    pthread_mutex_unlock(&d->v->lock);
}

/* Section 5.1.2: with one pair negotiated the control queue is number 2. */
static void
queue(void *self, unsigned q)
{
    struct dev_net *d = self;
    bool several = virtio_has(d->v, VIRTIO_NET_F_MQ);
    unsigned ctrl = several ? 2 * d->n_pairs : 2;

    if (q == ctrl)
        net_run_ctrl(d, q);
    else if (q > ctrl)
        COUNT(vmm_net_odd_queue);
    else if (q % 2 == 0)
        net_rx_turn(d->pair[q / 2]);
    else
        net_run_tx(d->pair[q / 2]);
}

/* --- states --- */

static int
set_offload(const struct dev_net *d, unsigned flags)
{
    return d->is_tap ? be_tap_set_offload(d->pair[0]->tap.fd, flags) : 0;
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
    net_filter_init(d);
    net_look_again(d);
}

/* The rings are gone already; what vhost says of its place is of no use. */
static bool
reset(void *self)
{
    struct dev_net *d = self;
    int r;

    for (unsigned i = 0; i < d->n_pairs; i++) {
        struct net_pair *p = d->pair[i];

        if (p->vhost_on)
            net_serve_ourselves(p);
        p->held = 0;
        net_give_back(p);
        net_poll_for(p, 0);
    }
    memcpy(d->v->config, d->mac, sizeof(d->mac));
    r = net_set_pairs(d, 1);
    if (r < 0)
        log_limited(LOG_LEVEL_ERROR, "the tap's first queue is detached",
                    "errno=%d", -r);
    return true;
}

static void
update(void *self)
{
    net_look_again(self);
}

static const struct virtio_type net_type = {.name = "net",
                                            .id = VIRTIO_ID_NET,
                                            .start = started,
                                            .queue = queue,
                                            .reset = reset,
                                            .update = update};

/* --- life --- */

static uint64_t
offered(struct dev_net *d, const struct dev_net_options *o)
{
    uint64_t f =
        VIRTIO_BIT(VIRTIO_NET_F_MAC) | VIRTIO_BIT(VIRTIO_NET_F_STATUS) |
        VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ) |
        VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_VLAN) |
        VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) |
        VIRTIO_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR);

    if (o->mtu)
        f |= VIRTIO_BIT(VIRTIO_NET_F_MTU);
    if (d->n_pairs > 1)
        f |= VIRTIO_BIT(VIRTIO_NET_F_MQ);
    if (d->kind == DEV_NET_PACKETS)
        return f;
    f |= VIRTIO_BIT(VIRTIO_NET_F_CSUM) | VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4) |
         VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO6) | VIRTIO_BIT(VIRTIO_NET_F_HOST_ECN);
    if (set_offload(d, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN) ==
            0 &&
        set_offload(d, 0) == 0)
        f |= VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM) |
             VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4) |
             VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO6) |
             VIRTIO_BIT(VIRTIO_NET_F_GUEST_ECN);
    return f;
}

/* A socket that keeps frames apart. */
static bool
is_packets(int fd)
{
    int domain = 0, type = 0;
    socklen_t a = sizeof(domain), b = sizeof(type);

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &a) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &b) == 0 &&
           domain == AF_UNIX && (type == SOCK_SEQPACKET || type == SOCK_DGRAM);
}

/* Frames on the descriptor carry the 12-byte header; reads do not block. */
static int
check_fd(struct dev_net *d, int fd)
{
    int flags = fcntl(fd, F_GETFL), r = 0;
    bool is_tap = false;

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    if (d->kind == DEV_NET_TAP)
        r = be_tap_check(fd, d->n_pairs > 1, &is_tap);
    if (r < 0)
        return r;
    d->is_tap = is_tap;
    if (!is_tap)
        return is_packets(fd) ? 0 : -EINVAL;
    return be_tap_set_header(fd, NET_HEADER);
}

static void
add_pair(struct dev_net *d, int fd)
{
    struct net_pair *p = xnew(struct net_pair);

    p->d = d;
    p->index = d->n_pairs;
    p->tap = (struct io_source){fd, on_tap, p};
    p->active = true;
    net_no_vhost(p);
    d->pair[d->n_pairs++] = p;
}

/* Without the descriptors, which are the caller's until the end. */
static void
tear_down(struct dev_net *d)
{
    for (unsigned i = 0; i < d->n_pairs; i++) {
        struct net_pair *p = d->pair[i];

        if (p->in_loop)
            io_loop_del(d->v->loop, &p->tap);
        p->in_loop = false;
        net_drop_vhost(p);
    }
    if (d->timer.loop)
        io_timer_release(&d->timer);
    virtio_free(d->v);
    for (unsigned i = 0; i < d->n_pairs; i++)
        free(d->pair[i]);
    free(d);
}

static int
set_up(struct dev_net *d, struct gmem *g, struct io_loop *loop,
       const struct dev_net_options *o, struct err *reterr)
{
    struct virtio_net_config c = {.status = VIRTIO_NET_S_LINK_UP,
                                  .max_virtqueue_pairs = (uint16_t)o->n_fds,
                                  .mtu = o->mtu};
    int r;

    r = virtio_new(&net_type, d, g, loop, 2 * d->n_pairs + 1, NET_QUEUE_SIZE,
                   NET_MAX_BYTES, &d->v);
    if (r == 0)
        r = io_timer_init(&d->timer, loop, on_timer, d);
    for (unsigned i = 0; r == 0 && i < d->n_pairs; i++) {
        r = io_loop_add(loop, &d->pair[i]->tap, QUIET);
        d->pair[i]->in_loop = r == 0;
        d->pair[i]->polled = QUIET;
    }
    if (r < 0)
        return err_errno(reterr, r, "network device");
    memcpy(c.mac, o->mac, sizeof(c.mac));
    d->v->config_size = offsetof(struct virtio_net_config, speed);
    memcpy(d->v->config, &c, d->v->config_size);
    d->v->offered |= offered(d, o);
    if (o->vhost && d->is_tap)
        net_add_vhosts(d, o);
    pthread_mutex_lock(&d->v->lock);
    net_filter_init(d);
    r = net_set_pairs(d, 1);
    pthread_mutex_unlock(&d->v->lock);
    return r < 0 ? err_errno(reterr, r, "tap") : 0;
}

static int
check_options(const struct dev_net_options *o, struct err *reterr)
{
    if (!o->n_fds || o->n_fds > DEV_NET_MAX_PAIRS ||
        (o->kind == DEV_NET_PACKETS && o->n_fds != 1))
        return err_set(reterr, -EINVAL, "invalid",
                       "a NIC has one to eight queue pairs, with a packet "
                       "socket one");
    /* RFC 791 wants 68; a group address is nobody's own. */
    if ((o->mtu && o->mtu < 68) || (o->mac[0] & 1))
        return err_set(reterr, -EINVAL, "invalid",
                       "the NIC's MTU or MAC address is not usable");
    return 0;
}

int
dev_net_new(struct gmem *g, struct io_loop *loop,
            const struct dev_net_options *o, struct dev_net **ret,
            struct err *reterr)
{
    struct dev_net *d;
    int r;

    r = check_options(o, reterr);
    if (r < 0)
        return r;
    d = xnew(struct dev_net);
    d->kind = o->kind;
    d->link_up = true;
    memcpy(d->mac, o->mac, sizeof(d->mac));
    rate_init(&d->rx_rate, &o->rx, rate_now_ns());
    rate_init(&d->tx_rate, &o->tx, rate_now_ns());
    for (unsigned i = 0; i < o->n_fds; i++)
        add_pair(d, o->fds[i]);
    for (unsigned i = 0; r == 0 && i < o->n_fds; i++)
        r = check_fd(d, o->fds[i]);
    if (r < 0)
        r = err_errno(reterr, r, "descriptor of a NIC");
    else
        r = set_up(d, g, loop, o, reterr);
    if (r < 0) {
        tear_down(d);
        return r;
    }
    for (unsigned i = 0; o->vhost && i < o->n_fds; i++)
        close(o->vhost_fds[i]); /* we have our own of the same file */
    *ret = d;
    return 0;
}

void
dev_net_free(struct dev_net *d)
{
    int fds[DEV_NET_MAX_PAIRS];
    unsigned n;

    if (!d)
        return;
    n = d->n_pairs;
    for (unsigned i = 0; i < n; i++)
        fds[i] = d->pair[i]->tap.fd;
    virtio_stop(d->v);
    tear_down(d);
    for (unsigned i = 0; i < n; i++)
        close(fds[i]);
}

/* --- control --- */

struct virtio *
dev_net_virtio(struct dev_net *d)
{
    return d->v;
}

void
dev_net_set_link(struct dev_net *d, bool up)
{
    pthread_mutex_lock(&d->v->lock);
    if (!d->gone && d->link_up != up) {
        d->link_up = up;
        net_look_again(d);
        set_link_bit(d, up);
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
    net_look_again(d);
    io_timer_set(&d->timer, 1);
    pthread_mutex_unlock(&d->v->lock);
}

void
dev_net_stats(struct dev_net *d, struct dev_net_stats *ret)
{
    pthread_mutex_lock(&d->v->lock);
    *ret = d->stats;
    ret->pairs = d->n_active;
    ret->vhost = false;
    for (unsigned i = 0; i < d->n_pairs; i++)
        ret->vhost |= d->pair[i]->vhost_on;
    pthread_mutex_unlock(&d->v->lock);
}
