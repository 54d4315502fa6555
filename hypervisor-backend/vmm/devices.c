/* devices.c - the PCI devices of one VM: the list and its life; see
 * devices.h. devices-make.c makes one device, devices-hotplug.c lets them come
 * and go, devices-control.c changes and describes them. */
#include <config.h>

#include "hypervisor-backend/vmm/devices.h"

#include <string.h>
#include <sys/eventfd.h>

#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/devices-private.h"
#include "hypervisor-backend/vmm/platform.h"

static int
ioevent_add(void *self, uint64_t addr, int fd)
{
    return kvm_ioevent(self, addr, fd, true);
}

static void
ioevent_del(void *self, uint64_t addr, int fd)
{
    /* Can only fail for one that was never added. */
    if (kvm_ioevent(self, addr, fd, false) < 0)
        log_limited(LOG_LEVEL_WARN, "cannot end an ioevent", "addr=0x%llx",
                    (unsigned long long)addr);
}

static struct devices_host
host_of(struct vm *vm)
{
    return (struct devices_host){
        .gmem = vm_gmem(vm),
        .bus = vm_bus(vm),
        .irq = vm_irq(vm),
        .pm = vm_pm(vm),
        .end = vm_end_sink(vm),
        .ioevent = {ioevent_add, ioevent_del, vm_kvm(vm)},
    };
}

int
devices_loop(struct devices *d, enum devices_loop which, struct io_loop **ret,
             struct err *reterr)
{
    static const char *const names[N_LOOPS] = {"net", "io"};
    int r = 0;

    if (which == LOOP_OWN) {
        *ret = NULL;
        return 0;
    }
    if (!d->loops[which])
        r = io_loop_new(names[which], &d->loops[which]);
    if (r < 0)
        return err_errno(reterr, r, "I/O thread for %s", names[which]);
    *ret = d->loops[which];
    return 0;
}

struct device *
device_find(struct devices *d, enum devices_kind kind, const char *name,
            struct err *reterr)
{
    for (unsigned i = 0; i < PCI_SLOTS; i++) {
        struct device *dev = d->slots[i];

        if (dev && dev->kind == kind && (!name || streq(dev->name, name)))
            return dev;
    }
    err_set(reterr, -ENOENT, "not_found", "there is no %s \"%s\"",
            devices_kind_name(kind), name ? name : "");
    return NULL;
}

unsigned
devices_free_slot(const struct devices *d, uint32_t avoid)
{
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned i = 1; i < PCI_SLOTS; i++)
            if (!d->slots[i] && (pass || !(avoid & (UINT32_C(1) << i))))
                return i;
    return 0;
}

/* --- the list --- */

/* Takes dev over. */
static int
append(struct devices *d, struct device *dev, struct err *reterr)
{
    dev->slot = devices_free_slot(d, 0);
    if (!dev->slot) {
        device_free(dev);
        return err_set(reterr, -ENOSPC, "no_slot", "all PCI slots are taken");
    }
    d->slots[dev->slot] = dev;
    return 0;
}

static int
append_all(struct devices *d, struct devices_config *cfg, struct err *reterr)
{
    struct device *dev = NULL;
    char where[32];
    int r = 0;

    if (cfg->n_disks > DEVICES_MAX_DISKS || cfg->n_nics > DEVICES_MAX_NICS)
        return err_set(reterr, -EINVAL, "invalid",
                       "at most %u disks and %u NICs", DEVICES_MAX_DISKS,
                       DEVICES_MAX_NICS);
    for (size_t i = 0; r == 0 && i < cfg->n_disks; i++) {
        snprintf(where, sizeof(where), "/disks/%zu", i);
        r = device_want_disk(d, &cfg->disks[i], where, &dev, reterr);
        if (r == 0)
            r = append(d, dev, reterr);
    }
    for (size_t i = 0; r == 0 && i < cfg->n_nics; i++) {
        snprintf(where, sizeof(where), "/nics/%zu", i);
        r = device_want_nic(d, &cfg->nics[i], where, &dev, reterr);
        if (r == 0)
            r = append(d, dev, reterr);
    }
    if (r == 0 && cfg->n_consoles) {
        r = device_want_consoles(cfg->consoles, cfg->n_consoles, &dev, reterr);
        if (r == 0)
            r = append(d, dev, reterr);
    }
    if (r == 0 && cfg->vsock.cid) {
        r = device_want_vsock(&cfg->vsock, &dev, reterr);
        if (r == 0)
            r = append(d, dev, reterr);
    }
    /* Small, and in every VM. */
    if (r == 0)
        r = append(d, device_want_plain(DEVICES_RNG), reterr);
    if (r == 0)
        r = append(d, device_want_plain(DEVICES_BALLOON), reterr);
    return r;
}

/* What was not taken over because something before it failed. */
static void
close_all(struct devices_config *cfg)
{
    for (size_t i = 0; i < cfg->n_disks; i++)
        closep(&cfg->disks[i].fd);
    for (size_t i = 0; i < cfg->n_nics; i++) {
        struct devices_nic *n = &cfg->nics[i];

        for (unsigned q = 0; q < MIN(n->n_queues, DEVICES_MAX_NIC_QUEUES);
             q++) {
            closep(&n->fds[q]);
            if (n->vhost)
                closep(&n->vhost_fds[q]);
        }
    }
    for (size_t i = 0; i < cfg->n_consoles; i++) {
        if (cfg->consoles[i].out_fd == cfg->consoles[i].in_fd)
            cfg->consoles[i].out_fd = -1;
        closep(&cfg->consoles[i].in_fd);
        closep(&cfg->consoles[i].out_fd);
    }
    if (cfg->vsock.cid)
        closep(&cfg->vsock.listen_fd);
}

int
devices_new_on(const struct devices_host *host, struct devices_config *cfg,
               struct devices **ret, struct err *reterr)
{
    struct devices *d = xnew(struct devices);
    int r;

    pthread_mutex_init(&d->lock, NULL);
    d->detached = cfg->detached;
    d->detached_arg = cfg->detached_arg;
    d->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r = d->event_fd < 0 ? err_errno(reterr, -errno, "eventfd") : 0;
    if (r == 0)
        r = append_all(d, cfg, reterr);
    close_all(cfg);
    if (r == 0)
        r = devices_enter_on(d, host, reterr);
    if (r < 0) {
        devices_free(d);
        return r;
    }
    *ret = d;
    return 0;
}

int
devices_new(struct vm *vm, struct devices_config *cfg, struct devices **ret,
            struct err *reterr)
{
    struct devices_host host = host_of(vm);

    return devices_new_on(&host, cfg, ret, reterr);
}

void
devices_free(struct devices *d)
{
    if (!d)
        return;
    devices_leave(d);
    for (unsigned i = 0; i < PCI_SLOTS; i++)
        device_free(d->slots[i]);
    for (unsigned i = 0; i < N_LOOPS; i++)
        io_loop_free(d->loops[i]);
    closep(&d->event_fd);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

/* --- one run --- */

int
devices_enter_on(struct devices *d, const struct devices_host *host,
                 struct err *reterr)
{
    int r;

    d->host = *host;
    r = pci_new(host->bus, host->irq, PLATFORM_PCI_WINDOW,
                PLATFORM_PCI_WINDOW_END - PLATFORM_PCI_WINDOW, host->end,
                &d->pci);
    if (r == 0)
        r = hotplug_new(host->bus, host->pm, d->event_fd, &d->hotplug);
    if (r < 0)
        err_errno(reterr, r, "PCI");
    for (unsigned i = 0; r == 0 && i < PCI_SLOTS; i++)
        if (d->slots[i])
            r = device_begin(d, d->slots[i], reterr);
    if (r < 0)
        devices_leave(d);
    return r;
}

int
devices_enter(struct devices *d, struct vm *vm, struct err *reterr)
{
    struct devices_host host = host_of(vm);

    return devices_enter_on(d, &host, reterr);
}

void
devices_leave(struct devices *d)
{
    for (unsigned i = 0; i < PCI_SLOTS; i++) {
        struct device *dev = d->slots[i];

        devices_bury(d, i);
        if (!dev)
            continue;
        device_end(d, dev, false);
        if (!dev->asked)
            continue;
        /* A machine that starts anew has no reason to wait for its guest. */
        pthread_mutex_lock(&d->lock);
        d->slots[i] = NULL;
        pthread_mutex_unlock(&d->lock);
        if (d->detached)
            d->detached(d->detached_arg, dev->kind, dev->name);
        device_free(dev);
    }
    hotplug_free(d->hotplug);
    d->hotplug = NULL;
    pci_free(d->pci);
    d->pci = NULL;
    d->paused = false;
}
