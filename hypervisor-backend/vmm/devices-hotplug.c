/* devices-hotplug.c - disks and NICs that come and go; see devices.h. The
 * guest's eject is noted on a vCPU's thread (hotplug.c); what it frees is
 * freed here, on the controlling thread, which no vCPU ever waits for. */
#include <config.h>

#include <string.h>

#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/devices-private.h"

void
devices_bury(struct devices *d, unsigned slot)
{
    struct pci_dev *husk = TAKE_PTR(d->husks[slot]);
    struct device *ghost = TAKE_PTR(d->ghosts[slot]);

    if (husk)
        pci_del(husk);
    if (ghost) {
        device_end(d, ghost, false);
        device_free(ghost);
    }
}

/* Takes dev over. */
static int
attach(struct devices *d, struct device *dev, unsigned *ret_slot,
       struct err *reterr)
{
    int r;

    dev->slot =
        devices_free_slot(d, d->hotplug ? hotplug_avoid(d->hotplug) : 0);
    if (!dev->slot) {
        device_free(dev);
        return err_set(reterr, -ENOSPC, "no_slot", "all PCI slots are taken");
    }
    if (d->pci) { /* else the next run makes it */
        devices_bury(d, dev->slot);
        r = device_begin(d, dev, reterr);
        if (r < 0) {
            device_free(dev);
            return r;
        }
    }
    pthread_mutex_lock(&d->lock);
    d->slots[dev->slot] = dev;
    pthread_mutex_unlock(&d->lock);
    if (d->hotplug)
        hotplug_came(d->hotplug, dev->slot);
    *ret_slot = dev->slot;
    return 0;
}

int
devices_attach_disk(struct devices *d, struct devices_disk *disk,
                    unsigned *ret_slot, struct err *reterr)
{
    struct device *dev = NULL;
    int r = device_want_disk(d, disk, "", &dev, reterr);

    return r < 0 ? r : attach(d, dev, ret_slot, reterr);
}

int
devices_attach_nic(struct devices *d, struct devices_nic *nic,
                   unsigned *ret_slot, struct err *reterr)
{
    struct device *dev = NULL;
    int r = device_want_nic(d, nic, "", &dev, reterr);

    return r < 0 ? r : attach(d, dev, ret_slot, reterr);
}

/* Off the list; whoever waits for that is told. */
static void
strike_off(struct devices *d, struct device *dev)
{
    pthread_mutex_lock(&d->lock);
    d->slots[dev->slot] = NULL;
    pthread_mutex_unlock(&d->lock);
    if (dev->asked && d->detached)
        d->detached(d->detached_arg, dev->kind, dev->name);
}

/* Off the bus, and all of it freed. */
static void
take_away(struct devices *d, struct device *dev)
{
    device_end(d, dev, false);
    strike_off(d, dev);
    device_free(dev);
}

static void
pull(struct devices *d, struct device *dev)
{
    unsigned slot = dev->slot;

    if (dev->kind == DEVICES_DISK) {
        dev_blk_give_up(dev->is.blk);
        closep(&dev->want.disk.fd);
        strike_off(d, dev);
        d->ghosts[slot] = dev;
        if (!d->paused)
            virtio_resume(dev->v);
    } else {
        virtio_pause(dev->v);
        device_end(d, dev, true);
        strike_off(d, dev);
        device_free(dev);
    }
    if (!hotplug_pulled(d->hotplug, slot))
        devices_bury(d, slot);
}

static int
detach(struct devices *d, enum devices_kind kind, const char *name, bool force,
       struct err *reterr)
{
    struct device *dev = device_find(d, kind, name ? name : "", reterr);

    if (!dev)
        return -ENOENT;
    if (!dev->v) { /* between two runs nobody uses it */
        take_away(d, dev);
        return 0;
    }
    if (!force) {
        pthread_mutex_lock(&d->lock);
        dev->asked = true;
        pthread_mutex_unlock(&d->lock);
        hotplug_ask(d->hotplug, dev->slot);
        return -EINPROGRESS;
    }
    pull(d, dev);
    return 0;
}

int
devices_detach_disk(struct devices *d, const char *name, bool force,
                    struct err *reterr)
{
    return detach(d, DEVICES_DISK, name, force, reterr);
}

int
devices_detach_nic(struct devices *d, const char *name, bool force,
                   struct err *reterr)
{
    return detach(d, DEVICES_NIC, name, force, reterr);
}

int
devices_event_fd(const struct devices *d)
{
    return d->event_fd;
}

void
devices_events(struct devices *d)
{
    uint32_t ejected, rested;

    io_drain(d->event_fd);
    if (d->paused || !d->hotplug)
        return;
    ejected = hotplug_take_ejected(d->hotplug);
    while (ejected) {
        struct device *dev = d->slots[__builtin_ctz(ejected)];

        ejected &= ejected - 1;
        take_away(d, dev);
    }
    for (rested = hotplug_take_rested(d->hotplug); rested; rested &= rested - 1)
        devices_bury(d, (unsigned)__builtin_ctz(rested));
}
