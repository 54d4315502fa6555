/* devices-make.c - one device from its description; see devices-private.h. */
#include <config.h>

#include <fcntl.h>
#include <string.h>

#include "common/mem.h"
#include "hypervisor-backend/vmm/devices-private.h"

/* --- descriptions --- */

static int
field(struct err *reterr, const char *where, const char *name, const char *why)
{
    char pointer[64];

    snprintf(pointer, sizeof(pointer), "%s/%s", where, name);
    return err_field(reterr, pointer, "invalid", "%s", why);
}

static bool
name_ok(const char *name)
{
    size_t n = strnlen(name, DEVICES_NAME_SIZE);

    if (n == 0 || n == DEVICES_NAME_SIZE)
        return false;
    for (size_t i = 0; i < n; i++)
        if (name[i] < ' ' || name[i] > '~')
            return false;
    return true;
}

/* Gives dev its name, or the first free one made of prefix. */
static int
set_name(struct devices *d, struct device *dev, const char *name,
         const char *prefix, const char *where, struct err *reterr)
{
    if (name && !name_ok(name))
        return field(reterr, where, "name",
                     "a name has 1 to 63 printable ASCII characters");
    if (name && device_find(d, dev->kind, name, NULL)) {
        field(reterr, where, "name", "the name is taken");
        return err_set(reterr, -EEXIST, "name_taken",
                       "there is a %s \"%s\" already",
                       devices_kind_name(dev->kind), name);
    }
    if (name)
        dev->name = xstrdup(name);
    for (unsigned i = 0; !dev->name; i++) {
        dev->name = xasprintf("%s%u", prefix, i);
        if (device_find(d, dev->kind, dev->name, NULL))
            freep(&dev->name);
    }
    return 0;
}

static unsigned
count(const struct devices *d, enum devices_kind kind)
{
    unsigned n = 0;

    for (unsigned i = 0; i < PCI_SLOTS; i++)
        n += d->slots[i] && d->slots[i]->kind == kind;
    return n;
}

static bool
is_open(int fd)
{
    return fd >= 0 && fcntl(fd, F_GETFD) >= 0;
}

int
device_want_disk(struct devices *d, struct devices_disk *in, const char *where,
                 struct device **ret, struct err *reterr)
{
    struct device *dev _cleanup_(device_freep) =
        device_want_plain(DEVICES_DISK);
    struct devices_disk *w = &dev->want.disk;
    int r;

    *w = *in;
    w->name = NULL;
    w->path = xstrdup(in->path);
    w->serial = xstrdup(in->serial);
    in->fd = -1;
    if (count(d, DEVICES_DISK) == DEVICES_MAX_DISKS)
        return err_set(reterr, -ENOSPC, "too_many", "at most %u disks",
                       DEVICES_MAX_DISKS);
    r = set_name(d, dev, in->name, "disk", where, reterr);
    if (r < 0)
        return r;
    if (!is_open(w->fd))
        return field(reterr, where, "fd", "not an open descriptor");
    if (w->queues > DEV_BLK_MAX_QUEUES)
        return field(reterr, where, "queues", "a disk has 1 to 16 queues");
    if (w->serial && strlen(w->serial) > DEV_BLK_SERIAL)
        return field(reterr, where, "serial",
                     "a serial number has up to 20 bytes");
    w->queues = MAX(w->queues, 1U);
    *ret = TAKE_PTR(dev);
    return 0;
}

static int
check_nic(const struct devices_nic *w, const char *where, struct err *reterr)
{
    if (w->n_queues < 1 || w->n_queues > DEVICES_MAX_NIC_QUEUES)
        return field(reterr, where, "fds", "a NIC has 1 to 8 queue pairs");
    for (unsigned q = 0; q < w->n_queues; q++) {
        if (!is_open(w->fds[q]))
            return field(reterr, where, "fds", "not an open descriptor");
        if (w->vhost && !is_open(w->vhost_fds[q]))
            return field(reterr, where, "vhost_fds", "not an open descriptor");
    }
    if (w->kind == DEVICES_NIC_PACKETS && w->n_queues > 1)
        return field(reterr, where, "fds", "packets come in one queue pair");
    if (w->kind == DEVICES_NIC_PACKETS && w->vhost)
        return field(reterr, where, "vhost_fds", "vhost needs a tap");
    if (w->mtu && w->mtu < 68) /* RFC 791 */
        return field(reterr, where, "mtu", "the least is 68");
    if (w->mac[0] & 1)
        return field(reterr, where, "mac", "a group address is nobody's own");
    return 0;
}

int
device_want_nic(struct devices *d, struct devices_nic *in, const char *where,
                struct device **ret, struct err *reterr)
{
    struct device *dev _cleanup_(device_freep) = device_want_plain(DEVICES_NIC);
    struct devices_nic *w = &dev->want.nic;
    unsigned n = MIN(in->n_queues, DEVICES_MAX_NIC_QUEUES);
    int r;

    *w = *in;
    w->name = NULL;
    w->tap = xstrdup(in->tap);
    for (unsigned q = 0; q < DEVICES_MAX_NIC_QUEUES; q++) {
        w->fds[q] = q < n ? TAKE_FD(in->fds[q]) : -1;
        w->vhost_fds[q] = q < n && in->vhost ? TAKE_FD(in->vhost_fds[q]) : -1;
    }
    if (count(d, DEVICES_NIC) == DEVICES_MAX_NICS)
        return err_set(reterr, -ENOSPC, "too_many", "at most %u NICs",
                       DEVICES_MAX_NICS);
    r = set_name(d, dev, in->name, "nic", where, reterr);
    if (r == 0)
        r = check_nic(w, where, reterr);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(dev);
    return 0;
}

int
device_want_vsock(struct devices_vsock *in, struct device **ret,
                  struct err *reterr)
{
    struct device *dev _cleanup_(device_freep) =
        device_want_plain(DEVICES_VSOCK);
    struct devices_vsock *w = &dev->want.vsock;

    *w = *in;
    w->listen_fd = TAKE_FD(in->listen_fd);
    w->guest_path = xstrdup(in->guest_path);
    if (w->listen_fd >= 0 && !is_open(w->listen_fd))
        return field(reterr, "/vsock", "listen_fd", "not an open descriptor");
    *ret = TAKE_PTR(dev);
    return 0;
}

int
device_want_consoles(struct devices_console *in, size_t n, struct device **ret,
                     struct err *reterr)
{
    struct device *dev _cleanup_(device_freep) =
        device_want_plain(DEVICES_CONSOLE);

    if (n > DEVICES_MAX_CONSOLES)
        return err_field(reterr, "/consoles", "invalid",
                         "4 consoles are the most");
    for (size_t i = 0; i < n; i++) {
        struct devices_console *w = &dev->want.console.port[i];

        w->name = xstrdup(in[i].name);
        w->in_fd = in[i].in_fd;
        w->out_fd = in[i].out_fd;
        in[i].in_fd = in[i].out_fd = -1;
        dev->want.console.n++;
        if ((w->in_fd >= 0 && !is_open(w->in_fd)) ||
            (w->out_fd >= 0 && !is_open(w->out_fd))) {
            char where[32];

            snprintf(where, sizeof(where), "/consoles/%zu", i);
            return field(reterr, where, "fd", "not an open descriptor");
        }
    }
    *ret = TAKE_PTR(dev);
    return 0;
}

struct device *
device_want_plain(enum devices_kind kind)
{
    struct device *dev = xnew(struct device);

    dev->kind = kind;
    if (kind != DEVICES_DISK && kind != DEVICES_NIC)
        dev->name = xstrdup(devices_kind_name(kind));
    return dev;
}

void
device_free(struct device *dev)
{
    if (!dev)
        return;
    switch (dev->kind) {
    case DEVICES_DISK:
        closep(&dev->want.disk.fd);
        free((char *)dev->want.disk.path);
        free((char *)dev->want.disk.serial);
        break;
    case DEVICES_NIC:
        for (unsigned q = 0; q < DEVICES_MAX_NIC_QUEUES; q++) {
            closep(&dev->want.nic.fds[q]);
            closep(&dev->want.nic.vhost_fds[q]);
        }
        free((char *)dev->want.nic.tap);
        break;
    case DEVICES_VSOCK:
        closep(&dev->want.vsock.listen_fd);
        free((char *)dev->want.vsock.guest_path);
        break;
    case DEVICES_CONSOLE:
        for (unsigned i = 0; i < dev->want.console.n; i++) {
            struct devices_console *w = &dev->want.console.port[i];

            if (w->out_fd == w->in_fd)
                w->out_fd = -1;
            closep(&w->in_fd);
            closep(&w->out_fd);
            free((char *)w->name);
        }
        break;
    case DEVICES_RNG:
    case DEVICES_BALLOON:
        break;
    }
    free(dev->name);
    free(dev);
}

void
device_freep(struct device **dev)
{
    device_free(*dev);
}

/* --- of one run --- */

/* The device of this run gets a duplicate: the list's own stays for the next
 * one. -1 stays -1. */
static int
dup_fd(int fd, int *ret)
{
    *ret = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return fd >= 0 && *ret < 0 ? -errno : 0;
}

static int
make_disk(struct devices *d, struct device *dev, struct io_loop *loop,
          struct device *is, struct err *reterr)
{
    const struct devices_disk *w = &dev->want.disk;
    int fd _cleanup_(closep) = -1, r = dup_fd(w->fd, &fd);
    struct dev_blk_options o = {.read_only = w->read_only,
                                .direct = w->direct,
                                .no_lock = w->no_lock,
                                .n_queues = w->queues,
                                .serial = w->serial,
                                .limits = w->limits};

    if (r < 0)
        return err_errno(reterr, r, "descriptor");
    o.fd = fd;
    r = dev_blk_new(d->host.gmem, loop, &o, &is->is.blk, reterr);
    if (r < 0) {
        if (w->path)
            err_prefix(reterr, "%s", w->path);
        return r;
    }
    TAKE_FD(fd);
    is->v = dev_blk_virtio(is->is.blk);
    return 0;
}

static int
make_nic(struct devices *d, struct device *dev, struct io_loop *loop,
         struct device *is, struct err *reterr)
{
    const struct devices_nic *w = &dev->want.nic;
    struct dev_net_options o = {
        .kind = w->kind == DEVICES_NIC_PACKETS ? DEV_NET_PACKETS : DEV_NET_TAP,
        .n_fds = w->n_queues,
        .vhost = w->vhost,
        .mtu = w->mtu,
        .rx = w->rx,
        .tx = w->tx};
    int r = 0;

    memcpy(o.mac, w->mac, sizeof(o.mac));
    for (unsigned q = 0; q < DEVICES_MAX_NIC_QUEUES; q++)
        o.fds[q] = o.vhost_fds[q] = -1;
    for (unsigned q = 0; r == 0 && q < w->n_queues; q++) {
        r = dup_fd(w->fds[q], &o.fds[q]);
        if (r == 0 && w->vhost)
            r = dup_fd(w->vhost_fds[q], &o.vhost_fds[q]);
    }
    if (r < 0)
        err_errno(reterr, r, "descriptor");
    else
        r = dev_net_new(d->host.gmem, loop, &o, &is->is.net, reterr);
    if (r < 0) {
        for (unsigned q = 0; q < DEVICES_MAX_NIC_QUEUES; q++) {
            closep(&o.fds[q]);
            closep(&o.vhost_fds[q]);
        }
        return r;
    }
    if (dev->link_down)
        dev_net_set_link(is->is.net, false);
    is->v = dev_net_virtio(is->is.net);
    return 0;
}

static int
make_vsock(struct devices *d, struct device *dev, struct io_loop *loop,
           struct device *is, struct err *reterr)
{
    const struct devices_vsock *w = &dev->want.vsock;
    int fd _cleanup_(closep) = -1, r = dup_fd(w->listen_fd, &fd);
    struct dev_vsock_options o = {.guest_cid = w->cid,
                                  .guest_path = w->guest_path};

    if (r < 0)
        return err_errno(reterr, r, "descriptor");
    o.listen_fd = fd;
    r = dev_vsock_new(d->host.gmem, loop, &o, &is->is.vsock, reterr);
    if (r < 0)
        return r;
    TAKE_FD(fd);
    is->v = dev_vsock_virtio(is->is.vsock);
    return 0;
}

static int
make_other(struct devices *d, struct device *dev, struct io_loop *loop,
           struct device *is, struct err *reterr)
{
    struct dev_console_port ports[DEVICES_MAX_CONSOLES];
    struct gmem *g = d->host.gmem;
    int r;

    switch (dev->kind) {
    case DEVICES_CONSOLE:
        for (unsigned i = 0; i < dev->want.console.n; i++) {
            const struct devices_console *w = &dev->want.console.port[i];

            ports[i] = (struct dev_console_port){
                .name = w->name, .in_fd = w->in_fd, .out_fd = w->out_fd};
        }
        r = dev_console_new(g, loop, ports, dev->want.console.n,
                            &is->is.console, reterr);
        if (r < 0)
            return r;
        is->v = dev_console_virtio(is->is.console);
        break;
    case DEVICES_RNG:
        r = dev_rng_new(g, loop, &is->is.rng);
        if (r == 0)
            is->v = dev_rng_virtio(is->is.rng);
        break;
    default:
        r = dev_balloon_new(g, loop, true, &is->is.balloon);
        if (r == 0)
            is->v = dev_balloon_virtio(is->is.balloon);
        break;
    }
    return r < 0 ? err_errno(reterr, r, "device") : 0;
}

static void
end(struct device *is)
{
    virtio_pci_free(is->pci);
    if (!is->v)
        return;
    switch (is->kind) {
    case DEVICES_DISK:
        dev_blk_free(is->is.blk);
        break;
    case DEVICES_NIC:
        dev_net_free(is->is.net);
        break;
    case DEVICES_VSOCK:
        dev_vsock_free(is->is.vsock);
        break;
    case DEVICES_CONSOLE:
        dev_console_free(is->is.console);
        break;
    case DEVICES_RNG:
        dev_rng_free(is->is.rng);
        break;
    case DEVICES_BALLOON:
        dev_balloon_free(is->is.balloon);
        break;
    }
}

int
device_begin(struct devices *d, struct device *dev, struct err *reterr)
{
    static const struct {
        enum devices_loop loop;
        uint32_t class_code;
        int (*make)(struct devices *d, struct device *dev, struct io_loop *loop,
                    struct device *is, struct err *reterr);
    } kinds[] = {
        [DEVICES_DISK] = {LOOP_OWN, DEV_BLK_CLASS, make_disk},
        [DEVICES_NIC] = {LOOP_NET, DEV_NET_CLASS, make_nic},
        [DEVICES_CONSOLE] = {LOOP_OTHER, DEV_CONSOLE_CLASS, make_other},
        [DEVICES_VSOCK] = {LOOP_OTHER, DEV_VSOCK_CLASS, make_vsock},
        [DEVICES_RNG] = {LOOP_OTHER, DEV_RNG_CLASS, make_other},
        [DEVICES_BALLOON] = {LOOP_OTHER, DEV_BALLOON_CLASS, make_other},
    };
    struct device is = {.kind = dev->kind};
    struct io_loop *loop;
    int r = devices_loop(d, kinds[dev->kind].loop, &loop, reterr);

    if (r < 0)
        return r;
    r = kinds[dev->kind].make(d, dev, loop, &is, reterr);
    if (r == 0) {
        if (d->paused)
            virtio_pause(is.v);
        r = virtio_pci_new_at(
            d->pci, is.v, kinds[dev->kind].class_code, dev->slot,
            d->host.ioevent.add ? &d->host.ioevent : NULL, &is.pci);
        if (r < 0)
            err_errno(reterr, r, "PCI slot %u", dev->slot);
    }
    if (r < 0) {
        err_prefix(reterr, "%s %s", devices_kind_name(dev->kind), dev->name);
        end(&is);
        return r;
    }
    pthread_mutex_lock(&d->lock);
    dev->v = is.v;
    dev->pci = is.pci;
    dev->is = is.is;
    pthread_mutex_unlock(&d->lock);
    return 0;
}

void
device_end(struct devices *d, struct device *dev, bool pulled)
{
    struct device is = {.kind = dev->kind};

    /* Out of others' sight first: ending may wait for the host's I/O. */
    pthread_mutex_lock(&d->lock);
    is.v = TAKE_PTR(dev->v);
    is.pci = TAKE_PTR(dev->pci);
    is.is = dev->is;
    pthread_mutex_unlock(&d->lock);
    if (pulled && is.pci)
        d->husks[dev->slot] = virtio_pci_pull(TAKE_PTR(is.pci));
    end(&is);
}
