/* devices.c - the PCI devices of one VM; see devices.h. */
#include <config.h>

#include "hypervisor-backend/vmm/devices.h"

#include <errno.h>

#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/be_loop.h"
#include "hypervisor-backend/vmm/dev_blk.h"
#include "hypervisor-backend/vmm/dev_rng.h"
#include "hypervisor-backend/vmm/pci.h"
#include "hypervisor-backend/vmm/platform.h"
#include "hypervisor-backend/vmm/virtio_pci.h"

struct disk {
    struct dev_blk *blk;
    struct virtio_pci *pci;
};

struct devices {
    struct vm *vm;
    struct virtio_pci_ioevent ioevent;
    struct pci *pci;
    struct io_loop *disk_loop, *other_loop; /* NULL: no such device */
    struct disk disk[DEVICES_MAX_DISKS];
    size_t n_disks;
    struct dev_rng *rng;
    struct virtio_pci *rng_pci;
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
build(struct devices *d, struct devices_disk *disks, size_t n_disks,
      struct err *reterr)
{
    int r;

    if (n_disks > DEVICES_MAX_DISKS)
        return err_set(reterr, -EINVAL, "invalid", "at most %u disks",
                       DEVICES_MAX_DISKS);
    r = pci_new(vm_bus(d->vm), vm_irq(d->vm), PLATFORM_PCI_WINDOW,
                PLATFORM_PCI_WINDOW_END - PLATFORM_PCI_WINDOW, &d->pci);
    if (r < 0)
        return err_errno(reterr, r, "PCI");
    r = n_disks ? io_loop_new("disk", NULL, NULL, &d->disk_loop) : 0;
    if (r < 0)
        return err_errno(reterr, r, "disk thread");
    for (size_t i = 0; i < n_disks; i++) {
        r = add_disk(d, &disks[i], reterr);
        if (r < 0)
            return r;
    }
    r = io_loop_new("io", NULL, NULL, &d->other_loop);
    if (r == 0)
        r = dev_rng_new(vm_gmem(d->vm), d->other_loop, &d->rng);
    if (r == 0)
        r = virtio_pci_new(d->pci, dev_rng_virtio(d->rng), DEV_RNG_CLASS,
                           &d->ioevent, &d->rng_pci);
    return r < 0 ? err_errno(reterr, r, "entropy device") : 0;
}

int
devices_new(struct vm *vm, struct devices_disk *disks, size_t n_disks,
            struct devices **ret, struct err *reterr)
{
    struct devices *d = xnew(struct devices);
    int r;

    d->vm = vm;
    d->ioevent = (struct virtio_pci_ioevent){
        .add = ioevent_add, .del = ioevent_del, .self = d};
    r = build(d, disks, n_disks, reterr);
    for (size_t i = 0; i < n_disks; i++)
        closep(&disks[i].fd);
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
    virtio_pci_free(d->rng_pci);
    dev_rng_free(d->rng);
    pci_free(d->pci);
    io_loop_free(d->disk_loop);
    io_loop_free(d->other_loop);
    free(d);
}
