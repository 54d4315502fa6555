/* usernet.c - frames between a socket and libslirp; see usernet.h.
 *
 * One turn of the loop: libslirp says which of its sockets it waits for, we
 * poll them and the VM's; frames of the VM go in, at most BATCH; libslirp
 * works on its sockets and its clocks, and frames for the VM come out.
 *
 * What bounds memory:
 *  - the socket to the VM: the kernel's buffers. While it is full libslirp's
 *    sockets are not read, and what it sends by itself is dropped;
 *  - connections: RLIMIT_NOFILE (rights.c);
 *  - what libslirp queues for one (segments out of order) has no bound of
 *    its own: we look at our resident memory after every LOOK frames and,
 *    above MEMORY_MAX, start libslirp anew.
 *
 * Only plain ARP, IPv4 and IPv6 get in; see frame_ok(). */
#include <config.h>

#include "hypervisor-backend/usernet/usernet.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <malloc.h>
#include <netinet/if_ether.h>
#include <netinet/in.h>
#include <poll.h>
#include <slirp/libslirp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"

enum {
    HEADER = sizeof(struct virtio_net_hdr_v1),
    ETHERNET = 14,
    BATCH = 64,
    LOOK = 1024,
    MAX_POLLED = 1024,
    SEND_BUFFER = 512 << 10,
};
#define MEMORY_MAX (UINT64_C(128) << 20)

struct timer {
    struct timer *next;
    SlirpTimerId id;
    void *opaque;
    int64_t at_ms; /* -1: not set */
};

struct usernet {
    const struct usernet_options *o;
    Slirp *slirp;
    struct usernet_reach *reach; /* NULL: everything may be reached */
    struct timer *timers;
    struct pollfd polled[MAX_POLLED]; /* the VM's socket first */
    unsigned n_polled;
    bool full;         /* the VM takes nothing more for now */
    int failed;        /* negative errno, or 1: the other end is gone */
    uint64_t at_start; /* resident memory in bytes */
    uint64_t n_in, n_out, n_bad, n_denied, n_dropped, n_anew;
    uint8_t frame[HEADER + ETHERNET + USERNET_MTU_MAX];
};

/* --- libslirp's callbacks --- */

static int64_t
now_ns(void *self)
{
    struct timespec t;

    (void)self;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static ssize_t
send_packet(const void *buf, size_t len, void *self)
{
    struct usernet *u = self;
    struct virtio_net_hdr_v1 h = {0};
    struct iovec iov[] = {{&h, sizeof(h)}, {(void *)(uintptr_t)buf, len}};
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov)};

    if (u->full || u->failed) {
        u->n_dropped++;
        return (ssize_t)len;
    }
    if (sendmsg(u->o->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
        u->n_out++;
    } else if (errno == EAGAIN || errno == ENOBUFS || errno == EINTR) {
        u->full = errno == EAGAIN;
        u->n_dropped++;
    } else if (errno == EMSGSIZE) {
        u->n_dropped++;
    } else {
        u->failed =
            errno == EPIPE || errno == ECONNREFUSED || errno == ECONNRESET
                ? 1
                : -errno;
    }
    return (ssize_t)len;
}

static void
guest_error(const char *msg, void *self)
{
    (void)self;
    log_limited(LOG_LEVEL_DEBUG, "guest's frame was not understood",
                "reason=\"%s\"", msg);
}

static void *
timer_new(SlirpTimerId id, void *opaque, void *self)
{
    struct usernet *u = self;
    struct timer *t = xnew(struct timer);

    *t = (struct timer){u->timers, id, opaque, -1};
    u->timers = t;
    return t;
}

static void
timer_free(void *timer, void *self)
{
    struct usernet *u = self;

    for (struct timer **at = &u->timers; *at; at = &(*at)->next)
        if (*at == timer) {
            *at = (*at)->next;
            free(timer);
            return;
        }
}

static void
timer_mod(void *timer, int64_t at_ms, void *self)
{
    struct timer *t = timer;

    (void)self;
    t->at_ms = at_ms;
}

/* poll() learns of descriptors each time anew, and nobody else is waiting. */
static void
no_fd(int fd, void *self)
{
    (void)fd;
    (void)self;
}

static void
no_notify(void *self)
{
    (void)self;
}

static const SlirpCb callbacks = {
    .send_packet = send_packet,
    .guest_error = guest_error,
    .clock_get_ns = now_ns,
    .timer_new_opaque = timer_new,
    .timer_free = timer_free,
    .timer_mod = timer_mod,
    .register_poll_fd = no_fd,
    .unregister_poll_fd = no_fd,
    .notify = no_notify,
};

static struct in6_addr
address6(uint8_t last)
{
    struct in6_addr a = {.s6_addr = {0xfe, 0xc0}};

    a.s6_addr[15] = last;
    return a;
}

static int
make_slirp(struct usernet *u, struct err *reterr)
{
    const SlirpConfig c = {
        .version = 4,
        .restricted = u->o->isolated,
        .in_enabled = true,
        .vnetwork = {htonl(0x0a000200)},
        .vnetmask = {htonl(0xffffff00)},
        .vhost = {htonl(0x0a000202)},
        .vnameserver = {htonl(0x0a000203)},
        .vdhcp_start = {htonl(0x0a00020f)},
        .in6_enabled = true,
        .vprefix_addr6 = address6(0),
        .vprefix_len = 64,
        .vhost6 = address6(2),
        .vnameserver6 = address6(3),
        .if_mtu = u->o->mtu,
        .if_mru = u->o->mtu,
        .disable_host_loopback = u->o->no_loopback,
    };

    u->slirp = slirp_new(&c, &callbacks, u);
    return u->slirp ? 0
                    : err_set(reterr, -EINVAL, "internal",
                              "libslirp does not start");
}

/* --- memory --- */

static int
resident(const struct usernet *u, uint64_t *ret, struct err *reterr)
{
    unsigned long long total, pages;
    char text[128];
    ssize_t n = pread(u->o->statm, text, sizeof(text) - 1, 0);

    if (n < 0)
        return err_errno(reterr, -errno, "/proc/self/statm");
    text[n] = '\0';
    if (sscanf(text, "%llu %llu", &total, &pages) != 2)
        return err_set(reterr, -EPROTO, "internal",
                       "/proc/self/statm is not understood");
    *ret = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return 0;
}

static int
look_at_memory(struct usernet *u, struct err *reterr)
{
    uint64_t now;
    int r;

    r = resident(u, &now, reterr);
    if (r < 0 || now < u->at_start + MEMORY_MAX)
        return r;
    u->n_anew++;
    log_limited(LOG_LEVEL_WARN,
                "the guest's connections take too much memory; all are dropped",
                "bytes=%llu times=%llu", (unsigned long long)now,
                (unsigned long long)u->n_anew);
    slirp_cleanup(u->slirp);
    u->slirp = NULL;
    malloc_trim(0);
    return make_slirp(u, reterr);
}

/* --- frames of the VM --- */

/* RFC 791. No fragments: libslirp 4.7 writes past its buffers as it puts
 * hostile ones together. No options: nothing needs them. */
static bool
ip4_ok(const uint8_t *p, size_t n)
{
    if (n < 20 || p[0] != 0x45 || (p[6] & 0x3f) || p[7])
        return false;
    return p[9] == IPPROTO_ICMP || p[9] == IPPROTO_TCP || p[9] == IPPROTO_UDP;
}

/* RFC 8200, without extension headers. */
static bool
ip6_ok(const uint8_t *p, size_t n)
{
    if (n < 40 || p[0] >> 4 != 6)
        return false;
    return p[6] == IPPROTO_ICMPV6 || p[6] == IPPROTO_TCP || p[6] == IPPROTO_UDP;
}

/* What libslirp gets to see. VIRTIO 1.2, section 5.1.6.2: no offload was
 * offered. */
static bool
frame_ok(const struct usernet *u, size_t n)
{
    const uint8_t *p = u->frame + HEADER;
    struct virtio_net_hdr_v1 h;

    if (n < HEADER + ETHERNET || n > HEADER + ETHERNET + u->o->mtu)
        return false;
    memcpy(&h, u->frame, sizeof(h));
    if ((h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) ||
        h.gso_type != VIRTIO_NET_HDR_GSO_NONE)
        return false;
    n -= HEADER + ETHERNET;
    switch (p[12] << 8 | p[13]) {
    case ETHERTYPE_ARP:
        return n >= sizeof(struct ether_arp);
    case ETHERTYPE_IP:
        return ip4_ok(p + ETHERNET, n);
    case ETHERTYPE_IPV6:
        return ip6_ok(p + ETHERNET, n);
    default:
        return false;
    }
}

static bool
denied(const struct usernet *u, size_t n)
{
    const uint8_t *p = u->frame + HEADER;

    return u->reach && (p[12] << 8 | p[13]) != ETHERTYPE_ARP &&
           usernet_reach_denied(u->reach, p + ETHERNET, n - HEADER - ETHERNET);
}

/* A message without a byte reads like the end. */
static bool
hung_up(const struct usernet *u)
{
    struct pollfd p = {u->o->fd, POLLRDHUP, 0};

    return poll(&p, 1, 0) < 0 || p.revents;
}

static int
take_frames(struct usernet *u, struct err *reterr)
{
    if (u->reach)
        usernet_reach_renew(u->reach, now_ns(u) / 1000000);
    for (unsigned i = 0; i < BATCH; i++) {
        ssize_t n = recv(u->o->fd, u->frame, sizeof(u->frame),
                         MSG_DONTWAIT | MSG_TRUNC);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return 0;
        if (n < 0 && errno != ECONNRESET)
            return err_errno(reterr, -errno, "frames");
        if (n < 0 || (n == 0 && hung_up(u))) {
            u->failed = 1;
            return 0;
        }
        if (!frame_ok(u, (size_t)n)) {
            u->n_bad++;
            continue;
        }
        if (denied(u, (size_t)n)) {
            u->n_denied++;
            continue;
        }
        slirp_input(u->slirp, u->frame + HEADER, (int)(n - HEADER));
        if (++u->n_in % LOOK == 0) {
            int r = look_at_memory(u, reterr);

            if (r < 0)
                return r;
        }
    }
    return 0;
}

/* --- the loop --- */

/* The index, or -1 for one too many, which then is not ready. */
static int
add_poll(int fd, int events, void *self)
{
    struct usernet *u = self;
    struct pollfd *p;

    if (u->n_polled == MAX_POLLED)
        return -1;
    p = &u->polled[u->n_polled];
    /* poll() takes a negative one for none. */
    *p = (struct pollfd){.fd = u->full ? -1 : fd};
    if (events & SLIRP_POLL_IN)
        p->events |= POLLIN;
    if (events & SLIRP_POLL_OUT)
        p->events |= POLLOUT;
    if (events & SLIRP_POLL_PRI)
        p->events |= POLLPRI;
    if (events & SLIRP_POLL_HUP)
        p->events |= POLLRDHUP;
    return (int)u->n_polled++;
}

static int
get_revents(int i, void *self)
{
    const struct usernet *u = self;
    short got = i > 0 ? u->polled[i].revents : 0;
    int events = 0;

    if (got & POLLIN)
        events |= SLIRP_POLL_IN;
    if (got & POLLOUT)
        events |= SLIRP_POLL_OUT;
    if (got & POLLPRI)
        events |= SLIRP_POLL_PRI;
    if (got & POLLERR)
        events |= SLIRP_POLL_ERR;
    if (got & (POLLHUP | POLLRDHUP))
        events |= SLIRP_POLL_HUP;
    return events;
}

static void
run_timers(struct usernet *u)
{
    int64_t now_ms = now_ns(u) / 1000000;

    for (struct timer *t = u->timers, *next; t; t = next) {
        next = t->next;
        if (t->at_ms < 0 || t->at_ms > now_ms)
            continue;
        t->at_ms = -1;
        slirp_handle_timer(u->slirp, t->id, t->opaque);
    }
}

static int
timeout_ms(const struct usernet *u, uint32_t timeout)
{
    int64_t now_ms = now_ns(NULL) / 1000000;

    for (const struct timer *t = u->timers; t; t = t->next)
        if (t->at_ms >= 0)
            timeout = (uint32_t)MIN((int64_t)timeout,
                                    t->at_ms > now_ms ? t->at_ms - now_ms : 0);
    return timeout > INT32_MAX ? -1 : (int)timeout;
}

static int
turn(struct usernet *u, struct err *reterr)
{
    uint32_t timeout = UINT32_MAX;
    int n, r = 0;

    u->polled[0] = (struct pollfd){
        .fd = u->o->fd,
        .events = (short)(POLLIN | POLLRDHUP | (u->full ? POLLOUT : 0))};
    u->n_polled = 1;
    slirp_pollfds_fill(u->slirp, &timeout, add_poll, u);
    n = poll(u->polled, u->n_polled, timeout_ms(u, timeout));
    if (n < 0 && errno != EINTR)
        return err_errno(reterr, -errno, "poll");
    if (n <= 0)
        for (unsigned i = 0; i < u->n_polled; i++)
            u->polled[i].revents = 0;
    if (u->polled[0].revents & POLLOUT)
        u->full = false;
    slirp_pollfds_poll(u->slirp, n < 0, get_revents, u);
    run_timers(u);
    /* What was sent before the end is still to be read. */
    if (u->polled[0].revents & (POLLIN | POLLHUP | POLLRDHUP | POLLERR))
        r = take_frames(u, reterr);
    return r;
}

static int
check_socket(int fd, struct err *reterr)
{
    int domain = 0, type = 0, size = SEND_BUFFER;
    socklen_t a = sizeof(domain), b = sizeof(type);

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &a) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &b) < 0)
        return err_errno(reterr, -errno, "--fd");
    if (domain != AF_UNIX || (type != SOCK_SEQPACKET && type != SOCK_DGRAM))
        return err_set(reterr, -EINVAL, "invalid",
                       "--fd is no unix socket that keeps frames apart");
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0)
        return err_errno(reterr, -errno, "--fd");
    return 0;
}

int
usernet_run(const struct usernet_options *o, struct err *reterr)
{
    struct usernet *u _cleanup_(freep) = xnew(struct usernet);
    int r;

    u->o = o;
    r = check_socket(o->fd, reterr);
    if (r == 0 && o->no_loopback)
        r = usernet_reach_new(now_ns(u) / 1000000, &u->reach, reterr);
    if (r == 0)
        r = make_slirp(u, reterr);
    if (r == 0)
        r = resident(u, &u->at_start, reterr);
    while (r == 0 && !u->failed)
        r = turn(u, reterr);
    if (r == 0 && u->failed < 0)
        r = err_errno(reterr, u->failed, "frames");
    if (u->slirp)
        slirp_cleanup(u->slirp);
    usernet_reach_free(u->reach);
    log_info("user network ended",
             "in=%llu out=%llu bad=%llu denied=%llu dropped=%llu anew=%llu",
             (unsigned long long)u->n_in, (unsigned long long)u->n_out,
             (unsigned long long)u->n_bad, (unsigned long long)u->n_denied,
             (unsigned long long)u->n_dropped, (unsigned long long)u->n_anew);
    return r;
}
