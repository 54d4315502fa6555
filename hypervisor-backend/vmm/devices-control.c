/* devices-control.c - changes, description and statistics of devices that are
 * there; see devices.h. */
#include <config.h>

#include "common/mem.h"
#include "hypervisor-backend/vmm/devices-private.h"

const char *
devices_kind_name(enum devices_kind kind)
{
    static const char *const names[] = {
        [DEVICES_DISK] = "disk",       [DEVICES_NIC] = "nic",
        [DEVICES_CONSOLE] = "console", [DEVICES_VSOCK] = "vsock",
        [DEVICES_RNG] = "rng",         [DEVICES_BALLOON] = "balloon",
    };

    return names[kind];
}

/* The device, if it is there in this run. */
static struct device *
find_live(struct devices *d, enum devices_kind kind, const char *name,
          struct err *reterr)
{
    struct device *dev = device_find(d, kind, name ? name : "", reterr);

    if (dev && !dev->v) {
        err_set(reterr, -ENOENT, "not_found", "no VM runs");
        return NULL;
    }
    return dev;
}

int
devices_resize_disk(struct devices *d, const char *name, uint64_t *ret_bytes,
                    struct err *reterr)
{
    struct device *dev = find_live(d, DEVICES_DISK, name, reterr);
    int r;

    if (!dev)
        return -ENOENT;
    r = dev_blk_resized(dev->is.blk);
    if (r < 0)
        return err_errno(reterr, r, "size of disk %s", name);
    *ret_bytes = dev_blk_capacity(dev->is.blk);
    return 0;
}

int
devices_disk_limits(struct devices *d, const char *name,
                    const struct rate_limits *limits, struct err *reterr)
{
    struct device *dev = find_live(d, DEVICES_DISK, name, reterr);

    if (!dev)
        return -ENOENT;
    pthread_mutex_lock(&d->lock);
    dev->want.disk.limits = *limits;
    pthread_mutex_unlock(&d->lock);
    dev_blk_set_limits(dev->is.blk, limits);
    return 0;
}

int
devices_nic_limits(struct devices *d, const char *name,
                   const struct rate_limits *rx, const struct rate_limits *tx,
                   struct err *reterr)
{
    struct device *dev = find_live(d, DEVICES_NIC, name, reterr);
    struct devices_nic *w;

    if (!dev)
        return -ENOENT;
    w = &dev->want.nic;
    pthread_mutex_lock(&d->lock);
    if (rx)
        w->rx = *rx;
    if (tx)
        w->tx = *tx;
    pthread_mutex_unlock(&d->lock);
    dev_net_set_limits(dev->is.net, &w->rx, &w->tx);
    return 0;
}

int
devices_nic_link(struct devices *d, const char *name, bool up,
                 struct err *reterr)
{
    struct device *dev = find_live(d, DEVICES_NIC, name, reterr);

    if (!dev)
        return -ENOENT;
    pthread_mutex_lock(&d->lock);
    dev->link_down = !up;
    pthread_mutex_unlock(&d->lock);
    dev_net_set_link(dev->is.net, up);
    return 0;
}

static struct dev_balloon *
balloon(struct devices *d)
{
    struct device *dev = device_find(d, DEVICES_BALLOON, NULL, NULL);

    return dev && dev->v ? dev->is.balloon : NULL;
}

int
devices_balloon_target(struct devices *d, uint64_t bytes, struct err *reterr)
{
    struct dev_balloon *b = balloon(d);

    if (!b)
        return err_set(reterr, -ENOENT, "not_found", "no VM runs");
    if (dev_balloon_set_target(b, bytes) < 0)
        return err_field(reterr, "/target_bytes", "invalid",
                         "more than the guest's memory");
    return 0;
}

int
devices_balloon_poll(struct devices *d)
{
    struct dev_balloon *b = balloon(d);

    return b ? dev_balloon_poll_stats(b) : -EAGAIN;
}

void
devices_balloon_stats(struct devices *d, struct dev_balloon_stats *ret)
{
    struct dev_balloon *b;

    pthread_mutex_lock(&d->lock);
    b = balloon(d);
    *ret = (struct dev_balloon_stats){0};
    if (b)
        dev_balloon_stats(b, ret);
    pthread_mutex_unlock(&d->lock);
}

void
devices_pause(struct devices *d)
{
    d->paused = true;
    for (unsigned i = 0; i < PCI_SLOTS; i++)
        if (d->slots[i] && d->slots[i]->v)
            virtio_pause(d->slots[i]->v);
    for (unsigned i = 0; i < PCI_SLOTS; i++)
        if (d->ghosts[i])
            virtio_pause(d->ghosts[i]->v);
}

void
devices_resume(struct devices *d)
{
    if (!d->paused)
        return;
    d->paused = false;
    for (unsigned i = 0; i < PCI_SLOTS; i++)
        if (d->slots[i] && d->slots[i]->v)
            virtio_resume(d->slots[i]->v);
    for (unsigned i = 0; i < PCI_SLOTS; i++)
        if (d->ghosts[i])
            virtio_resume(d->ghosts[i]->v);
    io_kick(d->event_fd); /* ejects may have come before the pause */
}

/* --- description --- */

static void
describe_disk(const struct device *dev, struct devices_info *info)
{
    const struct devices_disk *w = &dev->want.disk;

    info->disk.read_only = w->read_only;
    info->disk.direct = w->direct;
    info->disk.queues = w->queues;
    info->disk.serial = w->serial ? w->serial : "";
    info->disk.limits = w->limits;
    if (!dev->v)
        return;
    info->disk.capacity_bytes = dev_blk_capacity(dev->is.blk);
    dev_blk_stats(dev->is.blk, &info->disk.stats);
}

static void
describe_nic(const struct device *dev, struct devices_info *info)
{
    const struct devices_nic *w = &dev->want.nic;

    info->nic.kind = w->kind;
    for (size_t i = 0; i < sizeof(w->mac); i++)
        info->nic.mac[i] = w->mac[i];
    info->nic.mtu = w->mtu;
    info->nic.queues = w->n_queues;
    info->nic.vhost = w->vhost;
    info->nic.link_up = !dev->link_down;
    info->nic.rx = w->rx;
    info->nic.tx = w->tx;
    if (dev->v)
        dev_net_stats(dev->is.net, &info->nic.stats);
}

static void
describe_consoles(const struct device *dev, struct devices_info *info)
{
    info->console.ports = dev->want.console.n;
    for (unsigned i = 0; i < dev->want.console.n; i++) {
        info->console.names[i] = dev->want.console.port[i].name;
        if (dev->v)
            dev_console_stats(dev->is.console, i, &info->console.stats[i]);
    }
}

/* Lock held. */
static void
describe(const struct device *dev, struct devices_info *info)
{
    *info = (struct devices_info){.kind = dev->kind,
                                  .name = dev->name,
                                  .slot = dev->slot,
                                  .detaching = dev->asked};
    if (dev->v) {
        info->kicks = atomic_load(&dev->v->n_kicks);
        info->interrupts = atomic_load(&dev->v->n_interrupts);
        info->faults = atomic_load(&dev->v->n_faults);
    }
    switch (dev->kind) {
    case DEVICES_DISK:
        describe_disk(dev, info);
        break;
    case DEVICES_NIC:
        describe_nic(dev, info);
        break;
    case DEVICES_VSOCK:
        info->vsock.cid = dev->want.vsock.cid;
        if (dev->v)
            info->vsock.streams = dev_vsock_streams(dev->is.vsock);
        break;
    case DEVICES_CONSOLE:
        describe_consoles(dev, info);
        break;
    case DEVICES_BALLOON:
        if (dev->v)
            dev_balloon_stats(dev->is.balloon, &info->balloon);
        break;
    case DEVICES_RNG:
        break;
    }
}

void
devices_walk(struct devices *d,
             void (*fn)(void *arg, const struct devices_info *info), void *arg)
{
    struct devices_info info;

    pthread_mutex_lock(&d->lock);
    for (unsigned i = 0; i < PCI_SLOTS; i++) {
        if (!d->slots[i])
            continue;
        describe(d->slots[i], &info);
        fn(arg, &info);
    }
    pthread_mutex_unlock(&d->lock);
}

int
devices_find(struct devices *d, enum devices_kind kind, const char *name,
             void (*fn)(void *arg, const struct devices_info *info), void *arg)
{
    struct devices_info info;
    struct device *dev;

    pthread_mutex_lock(&d->lock);
    dev = device_find(d, kind, name, NULL);
    if (dev) {
        describe(dev, &info);
        fn(arg, &info);
    }
    pthread_mutex_unlock(&d->lock);
    return dev ? 0 : -ENOENT;
}
