/* devices.c - the PCI devices of one VM; see devices.h. */
#include <config.h>

#include "hypervisor-backend/vmm/devices.h"

#include <errno.h>
#include <string.h>

#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/be_loop.h"
#include "hypervisor-backend/vmm/dev_balloon.h"
#include "hypervisor-backend/vmm/dev_blk.h"
#include "hypervisor-backend/vmm/dev_net.h"
#include "hypervisor-backend/vmm/dev_rng.h"
#include "hypervisor-backend/vmm/pci.h"
#include "hypervisor-backend/vmm/platform.h"
#include "hypervisor-backend/vmm/virtio_pci.h"

struct disk {
    struct dev_blk *blk;
    struct virtio_pci *pci;
};

struct nic {
    struct dev_net *net;
    struct virtio_pci *pci;
};

struct devices {
    struct vm *vm;
    struct virtio_pci_ioevent ioevent;
    struct pci *pci;
    struct io_loop *disk_loop, *net_loop, *other_loop; /* NULL: no such */
    struct disk disk[DEVICES_MAX_DISKS];
    size_t n_disks;
    struct nic nic[DEVICES_MAX_NICS];
    size_t n_nics;
    struct dev_rng *rng;
    struct virtio_pci *rng_pci;
    struct dev_balloon *balloon;
    struct virtio_pci *balloon_pci;
};

static int
ioevent_add(void *self, uint64_t addr, int fd)
{
    struct devices *d = self;

    return kvm_ioevent(vm_kvm(d->vm), addr, fd, true);
}

static void
ioevent_del(void *self, uint64_t addr, int fd)
{
    struct devices *d = self;

    /* Can only fail for one that was never added. */
    if (kvm_ioevent(vm_kvm(d->vm), addr, fd, false) < 0)
        log_limited(LOG_LEVEL_WARN, "cannot end an ioevent", "addr=0x%llx",
                    (unsigned long long)addr);
}

static int
add_disk(struct devices *d, struct devices_disk *in, struct err *reterr)
{
    struct disk *disk = &d->disk[d->n_disks];
    struct dev_blk_options o = {
        .fd = in->fd, .read_only = in->read_only, .direct = in->direct};
    int r;

    r = dev_blk_new(vm_gmem(d->vm), d->disk_loop, &o, &disk->blk, reterr);
    if (r < 0) {
        err_prefix(reterr, "%s", in->path);
        return r;
    }
    in->fd = -1;
    d->n_disks++;
    r = virtio_pci_new(d->pci, dev_blk_virtio(disk->blk), DEV_BLK_CLASS,
                       &d->ioevent, &disk->pci);
    return r < 0 ? err_errno(reterr, r, "%s", in->path) : 0;
}

static int
add_nic(struct devices *d, struct devices_nic *in, struct err *reterr)
{
    struct nic *nic = &d->nic[d->n_nics];
    struct dev_net_options o = {.fds = {in->fds[0]}, .n_fds = 1};
    int r;

    memcpy(o.mac, in->mac, sizeof(o.mac));
    r = dev_net_new(vm_gmem(d->vm), d->net_loop, &o, &nic->net, reterr);
    if (r < 0) {
        err_prefix(reterr, "%s", in->tap);
        return r;
    }
    in->fds[0] = -1;
    d->n_nics++;
    r = virtio_pci_new(d->pci, dev_net_virtio(nic->net), DEV_NET_CLASS,
                       &d->ioevent, &nic->pci);
    return r < 0 ? err_errno(reterr, r, "%s", in->tap) : 0;
}

/* Entropy and balloon: small, and in every VM. */
static int
add_others(struct devices *d)
{
    int r;

    r = io_loop_new("io", NULL, NULL, &d->other_loop);
    if (r == 0)
        r = dev_rng_new(vm_gmem(d->vm), d->other_loop, &d->rng);
    if (r == 0)
        r = virtio_pci_new(d->pci, dev_rng_virtio(d->rng), DEV_RNG_CLASS,
                           &d->ioevent, &d->rng_pci);
    if (r == 0)
        r = dev_balloon_new(vm_gmem(d->vm), d->other_loop, true, &d->balloon);
    if (r == 0)
        r = virtio_pci_new(d->pci, dev_balloon_virtio(d->balloon),
                           DEV_BALLOON_CLASS, &d->ioevent, &d->balloon_pci);
    return r;
}

static int
build(struct devices *d, const struct devices_config *cfg, struct err *reterr)
{
    int r;

    if (cfg->n_disks > DEVICES_MAX_DISKS || cfg->n_nics > DEVICES_MAX_NICS)
        return err_set(reterr, -EINVAL, "invalid",
                       "at most %u disks and %u NICs", DEVICES_MAX_DISKS,
                       DEVICES_MAX_NICS);
    r = pci_new(vm_bus(d->vm), vm_irq(d->vm), PLATFORM_PCI_WINDOW,
                PLATFORM_PCI_WINDOW_END - PLATFORM_PCI_WINDOW, &d->pci);
    if (r < 0)
        return err_errno(reterr, r, "PCI");
    if (cfg->n_disks)
        r = io_loop_new("disk", NULL, NULL, &d->disk_loop);
    if (r == 0 && cfg->n_nics)
        r = io_loop_new("net", NULL, NULL, &d->net_loop);
    if (r < 0)
        return err_errno(reterr, r, "I/O threads");
    for (size_t i = 0; r == 0 && i < cfg->n_disks; i++)
        r = add_disk(d, &cfg->disks[i], reterr);
    for (size_t i = 0; r == 0 && i < cfg->n_nics; i++)
        r = add_nic(d, &cfg->nics[i], reterr);
    if (r < 0)
        return r;
    r = add_others(d);
    return r < 0 ? err_errno(reterr, r, "entropy device and balloon") : 0;
}

int
devices_new(struct vm *vm, const struct devices_config *cfg,
            struct devices **ret, struct err *reterr)
{
    struct devices *d = xnew(struct devices);
    int r;

    d->vm = vm;
    d->ioevent = (struct virtio_pci_ioevent){
        .add = ioevent_add, .del = ioevent_del, .self = d};
    r = build(d, cfg, reterr);
    for (size_t i = 0; i < cfg->n_disks; i++)
        closep(&cfg->disks[i].fd);
    for (size_t i = 0; i < cfg->n_nics; i++)
        closep(&cfg->nics[i].fds[0]);
    if (r < 0) {
        devices_free(d);
        return r;
    }
    *ret = d;
    return 0;
}

/* Off the bus first, then the device, then what it stood on. */
void
devices_free(struct devices *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->n_disks; i++) {
        virtio_pci_free(d->disk[i].pci);
        dev_blk_free(d->disk[i].blk);
    }
    for (size_t i = 0; i < d->n_nics; i++) {
        virtio_pci_free(d->nic[i].pci);
        dev_net_free(d->nic[i].net);
    }
    virtio_pci_free(d->balloon_pci);
    dev_balloon_free(d->balloon);
    virtio_pci_free(d->rng_pci);
    dev_rng_free(d->rng);
    pci_free(d->pci);
    io_loop_free(d->disk_loop);
    io_loop_free(d->net_loop);
    io_loop_free(d->other_loop);
    free(d);
}
