/* dev_net_vhost.c - who serves the rings of the network device's pairs; see
 * dev_net.h.
 *
 *   ours --serve_by_kernel()--> vhost --net_serve_ourselves()--> ours
 *
 * net_look_again() decides, after whatever might change the answer.
 *
 * Invariant (under the device's lock): a pair's kick eventfds are polled by
 * the loop exactly while vhost does not have it; who takes over has a look at
 * the rings in any case. */
#include <config.h>

#include "hypervisor-backend/vmm/dev_net-private.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "common/count.h"
#include "common/log.h"

/* What raises the interrupt of one ring now. */
static int
call_fd(const struct net_pair *p, unsigned ring)
{
    int fd = virtio_vector_fd(p->d->v, 2 * p->index + ring);

    return fd >= 0 ? fd : p->vhost_ring[ring].call.fd;
}

static void
poll_kicks(struct net_pair *p, uint32_t events)
{
    struct virtio *v = p->d->v;

    for (unsigned i = 0; i < VHOST_NET_RINGS; i++) {
        struct io_source *kick = &v->queues[2 * p->index + i].kick;
        int r = io_loop_mod(v->loop, kick, events);

        if (r < 0)
            log_limited(LOG_LEVEL_ERROR, "network device cannot poll a queue",
                        "errno=%d", -r);
        io_kick(kick->fd);
    }
}

static void
serve_by_kernel(struct net_pair *p)
{
    struct dev_net *d = p->d;
    struct vhost_net_ring ring[VHOST_NET_RINGS];
    struct err err = {0};
    int r;

    net_give_back(p);
    net_poll_for(p, 0);
    for (unsigned i = 0; i < VHOST_NET_RINGS; i++) {
        struct virtio_queue *q = &d->v->queues[2 * p->index + i];

        p->vhost_ring[i].used = call_fd(p, i);
        ring[i] =
            (struct vhost_net_ring){&q->vq, q->kick.fd, p->vhost_ring[i].used};
    }
    r = vhost_net_start(p->vhost, d->v->acked, p->tap.fd, p->vhost_error.fd,
                        ring, &err);
    if (r < 0) {
        log_warn("network device goes on without vhost", "reason=\"%s\"",
                 err.message);
        d->vhost_failed = true;
        return;
    }
    p->vhost_on = true;
    /* A kick that we took before is vhost's now. */
    poll_kicks(p, 0);
}

void
net_serve_ourselves(struct net_pair *p)
{
    struct dev_net *d = p->d;
    uint16_t at[VHOST_NET_RINGS];
    int r;

    p->vhost_on = false;
    r = vhost_net_stop(p->vhost, at);
    if (r < 0) {
        log_limited(LOG_LEVEL_ERROR, "vhost does not give its rings back",
                    "errno=%d", -r);
        d->vhost_failed = true;
        virtio_fail(d->v, "its place in the rings is lost");
    }
    for (unsigned i = 0; i < VHOST_NET_RINGS; i++) {
        struct virtq *vq = &d->v->queues[2 * p->index + i].vq;

        if (r == 0 && vq->live)
            virtq_seek(vq, at[i]);
    }
    poll_kicks(p, VIRTIO_KICK_EVENTS);
}

static bool
kernel_may(const struct net_pair *p)
{
    const struct dev_net *d = p->d;
    const struct virtio_queue *q = &d->v->queues[2 * p->index];

    return p->vhost && p->active && !d->vhost_failed && !d->gone &&
           d->link_up && !rate_limited(&d->rx_rate) &&
           !rate_limited(&d->tx_rate) && virtio_live(d->v) && q[0].vq.live &&
           q[1].vq.live;
}

void
net_look_again(struct dev_net *d)
{
    for (unsigned i = 0; i < d->n_pairs; i++) {
        struct net_pair *p = d->pair[i];
        bool may = kernel_may(p);

        if (may && !p->vhost_on)
            serve_by_kernel(p);
        else if (!may && p->vhost_on)
            net_serve_ourselves(p);
        for (unsigned n = 0; p->vhost_on && n < VHOST_NET_RINGS; n++) {
            struct net_vhost_ring *ring = &p->vhost_ring[n];
            int fd = call_fd(p, n);

            if (fd != ring->used && vhost_net_set_call(p->vhost, n, fd) < 0)
                d->vhost_failed = true;
            ring->used = fd;
        }
        /* Without its call the guest would wait: back to us. */
        if (p->vhost_on && d->vhost_failed)
            net_serve_ourselves(p);
    }
}

/* --- events --- */

static void
on_call(void *self, uint32_t events)
{
    struct net_pair *p = self;
    struct dev_net *d = p->d;

    (void)events;
    pthread_mutex_lock(&d->v->lock);
    for (unsigned i = 0; i < VHOST_NET_RINGS; i++) {
        uint64_t n;

        if (read(p->vhost_ring[i].call.fd, &n, sizeof(n)) == sizeof(n) &&
            virtio_live(d->v))
            virtio_interrupt(d->v, 2 * p->index + i);
    }
    pthread_mutex_unlock(&d->v->lock);
}

static void
on_vhost_error(void *self, uint32_t events)
{
    struct net_pair *p = self;
    struct dev_net *d = p->d;

    (void)events;
    io_drain(p->vhost_error.fd);
    pthread_mutex_lock(&d->v->lock);
    if (p->vhost_on) {
        virtio_fail(d->v, "vhost found a ring that lies");
        net_look_again(d);
    }
    pthread_mutex_unlock(&d->v->lock);
}

/* --- life --- */

void
net_no_vhost(struct net_pair *p)
{
    p->vhost_error.fd = -1;
    for (unsigned i = 0; i < VHOST_NET_RINGS; i++)
        p->vhost_ring[i].call.fd = -1;
}

static int
add_source(struct dev_net *d, struct io_source *s, void (*fn)(void *, uint32_t),
           struct net_pair *p)
{
    int r;

    *s = (struct io_source){eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), fn, p};
    r = s->fd < 0 ? -errno : io_loop_add(d->v->loop, s, EPOLLIN);
    if (r < 0)
        closep(&s->fd);
    return r;
}

/* The descriptor stays the caller's unless this pair uses it. */
static int
add_vhost(struct net_pair *p, int fd, struct err *reterr)
{
    struct dev_net *d = p->d;
    struct vhost_net *n = NULL;
    int r;

    r = vhost_net_new(fd, d->v->gmem, &n, reterr);
    if (r < 0)
        return r;
    p->vhost = n;
    for (unsigned i = 0; r == 0 && i < VHOST_NET_RINGS; i++)
        r = add_source(d, &p->vhost_ring[i].call, on_call, p);
    if (r == 0)
        r = add_source(d, &p->vhost_error, on_vhost_error, p);
    return r < 0 ? err_errno(reterr, r, "eventfd") : 0;
}

static void
drop_source(struct dev_net *d, struct io_source *s)
{
    if (s->fd < 0)
        return;
    io_loop_del(d->v->loop, s);
    closep(&s->fd);
}

void
net_drop_vhost(struct net_pair *p)
{
    for (unsigned i = 0; i < VHOST_NET_RINGS; i++)
        drop_source(p->d, &p->vhost_ring[i].call);
    drop_source(p->d, &p->vhost_error);
    vhost_net_free(p->vhost);
    p->vhost = NULL;
}

/* All pairs or none. What is missing is no error: we serve the rings. */
void
net_add_vhosts(struct dev_net *d, const struct dev_net_options *o)
{
    struct err err = {0};
    int r = 0;

    for (unsigned i = 0; r == 0 && i < d->n_pairs; i++) {
        /* Freeing a pair's vhost closes it, and on failure the caller has
         * them all. */
        int fd = fcntl(o->vhost_fds[i], F_DUPFD_CLOEXEC, 0);

        r = fd < 0 ? err_errno(&err, -errno, "vhost descriptor")
                   : add_vhost(d->pair[i], fd, &err);
        if (r < 0 && fd >= 0 && !d->pair[i]->vhost)
            close(fd);
    }
    if (r == 0) {
        d->v->offered = vhost_net_mask(d->pair[0]->vhost, d->v->offered);
        return;
    }
    COUNT(vmm_net_no_vhost);
    log_warn("network device goes without vhost", "reason=\"%s\"", err.message);
    for (unsigned i = 0; i < d->n_pairs; i++)
        net_drop_vhost(d->pair[i]);
}
