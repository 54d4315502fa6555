/* hotplug.c - tells the guest of PCI slots that change; see hotplug.h.
 *
 * Invariant (under the lock): a slot is in at most one of asked, ejected and
 * pulled. An eject moves asked to ejected, or ends pulled; else it is stray.
 *
 *   (in) --hotplug_ask()--> asked --guest's eject--> ejected --taken--> (free)
 *     \_____hotplug_pulled()____\__> pulled --guest's eject--> (free) */
#include <config.h>

#include "hypervisor-backend/vmm/hotplug.h"

#include <pthread.h>

#include "common/count.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/be_loop.h"
#include "hypervisor-backend/vmm/platform.h"

struct hotplug {
    struct bus *bus;
    struct pm *pm;
    int event_fd;
    pthread_mutex_t lock;
    uint32_t up, down; /* not yet seen by the guest */
    uint32_t asked, ejected, pulled;
    uint32_t rested; /* were pulled */
};

static uint64_t
reg_read(void *dev, uint64_t offset, unsigned size)
{
    struct hotplug *h = dev;
    uint32_t v = 0;

    (void)size;
    pthread_mutex_lock(&h->lock);
    if (offset == HOTPLUG_UP)
        v = h->up;
    else if (offset == HOTPLUG_DOWN)
        v = h->down;
    pthread_mutex_unlock(&h->lock);
    return v;
}

/* Lock held. Returns whether there is something to be taken up. */
static bool
eject(struct hotplug *h, uint32_t slots)
{
    uint32_t wanted = slots & h->asked, rested = slots & h->pulled;

    if (slots != (wanted | rested) || !slots)
        COUNT(vmm_hotplug_stray_eject);
    h->asked &= ~wanted;
    h->ejected |= wanted;
    h->pulled &= ~rested;
    h->rested |= rested;
    h->down &= ~(wanted | rested);
    return (wanted | rested) != 0;
}

static void
reg_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct hotplug *h = dev;
    uint32_t slots = (uint32_t)value;
    bool tell = false;

    (void)size;
    pthread_mutex_lock(&h->lock);
    if (offset == HOTPLUG_UP)
        h->up &= ~slots;
    else if (offset == HOTPLUG_DOWN)
        h->down &= ~slots;
    else if (offset == HOTPLUG_EJECT)
        tell = eject(h, slots);
    pthread_mutex_unlock(&h->lock);
    if (tell)
        io_kick(h->event_fd);
}

static const struct bus_ops hotplug_ops = {.name = "hotplug",
                                           .read = reg_read,
                                           .write = reg_write,
                                           .min_size = 4,
                                           .max_size = 4};

int
hotplug_new(struct bus *bus, struct pm *pm, int event_fd, struct hotplug **ret)
{
    struct hotplug *h = xnew(struct hotplug);
    int r;

    h->bus = bus;
    h->pm = pm;
    h->event_fd = event_fd;
    pthread_mutex_init(&h->lock, NULL);
    r = bus_add(bus, BUS_PIO, PLATFORM_HOTPLUG_PORT, HOTPLUG_LEN, &hotplug_ops,
                h);
    if (r < 0) {
        pthread_mutex_destroy(&h->lock);
        free(h);
        return r;
    }
    *ret = h;
    return 0;
}

void
hotplug_free(struct hotplug *h)
{
    if (!h)
        return;
    bus_remove(h->bus, BUS_PIO, PLATFORM_HOTPLUG_PORT);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

void
hotplug_came(struct hotplug *h, unsigned slot)
{
    uint32_t bit = UINT32_C(1) << slot;

    pthread_mutex_lock(&h->lock);
    h->up |= bit;
    h->down &= ~bit; /* meant what was there before */
    h->asked &= ~bit;
    h->pulled &= ~bit;
    h->rested &= ~bit;
    pthread_mutex_unlock(&h->lock);
    pm_gpe(h->pm, PLATFORM_HOTPLUG_GPE);
}

void
hotplug_ask(struct hotplug *h, unsigned slot)
{
    uint32_t bit = UINT32_C(1) << slot;
    bool tell;

    pthread_mutex_lock(&h->lock);
    tell = !(h->ejected & bit);
    if (tell) {
        h->down |= bit;
        h->asked |= bit;
    }
    pthread_mutex_unlock(&h->lock);
    if (tell)
        pm_gpe(h->pm, PLATFORM_HOTPLUG_GPE);
}

bool
hotplug_pulled(struct hotplug *h, unsigned slot)
{
    uint32_t bit = UINT32_C(1) << slot;
    bool tell;

    pthread_mutex_lock(&h->lock);
    tell = !(h->ejected & bit); /* else it had let go already */
    h->up &= ~bit;
    h->asked &= ~bit;
    h->ejected &= ~bit;
    if (tell) {
        h->down |= bit;
        h->pulled |= bit;
    }
    pthread_mutex_unlock(&h->lock);
    if (tell)
        pm_gpe(h->pm, PLATFORM_HOTPLUG_GPE);
    return tell;
}

uint32_t
hotplug_avoid(struct hotplug *h)
{
    pthread_mutex_lock(&h->lock);
    uint32_t slots = h->pulled;
    pthread_mutex_unlock(&h->lock);
    return slots;
}

uint32_t
hotplug_take_ejected(struct hotplug *h)
{
    pthread_mutex_lock(&h->lock);
    uint32_t slots = h->ejected;
    h->ejected = 0;
    pthread_mutex_unlock(&h->lock);
    return slots;
}

uint32_t
hotplug_take_rested(struct hotplug *h)
{
    pthread_mutex_lock(&h->lock);
    uint32_t slots = h->rested;
    h->rested = 0;
    pthread_mutex_unlock(&h->lock);
    return slots;
}
