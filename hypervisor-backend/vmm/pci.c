/* pci.c - the guest's PCI bus: configuration mechanism, slots, capabilities;
 * see pci.h and pci-private.h. */
#include <config.h>

#include "hypervisor-backend/vmm/pci-private.h"

#include <errno.h>
#include <string.h>

#include "common/count.h"
#include "common/mem.h"

enum {
    CFG_STATUS = 0x06,
    CFG_BAR_END = 0x28,
    CFG_CAP_PTR = 0x34,
    CFG_CAP_FIRST = 0x40,
    COMMAND_MASTER = 0x4,
    STATUS_CAP_LIST = 0x10,
    CONFIG_ADDRESS = 0xcf8,
    CONFIG_DATA = 0xcfc,
    RESET_CONTROL = 0xcf9, /* a byte inside of CONFIG_ADDRESS */
    RESET_SYSTEM = 0x2,    /* the next reset is more than the processor's */
    RESET_CPU = 0x4,       /* 0 to 1: reset */
    RESET_FULL = 0x8,      /* it takes the power away, too */
};

static void
put16(uint8_t *p, uint16_t v)
{
    memcpy(p, &v, sizeof(v));
}

/* One function a slot, 256 bytes. */
static struct pci_dev *
config_target(struct pci *p, unsigned bus_nr, unsigned devfn, unsigned reg,
              unsigned size)
{
    struct pci_dev *d = p->devs[(devfn >> 3) % PCI_SLOTS];

    if (bus_nr != 0 || (devfn & 7) || reg + size > PCI_CFG_SIZE)
        return NULL;
    return d && d->plugged ? d : NULL;
}

static uint64_t
config_read(struct pci *p, unsigned bus_nr, unsigned devfn, unsigned reg,
            unsigned size)
{
    struct pci_dev *d = config_target(p, bus_nr, devfn, reg, size);
    uint64_t v = 0;

    if (!d)
        return UINT64_MAX;
    if (d->ops && d->ops->config_read)
        d->ops->config_read(d->self, reg, size);
    memcpy(&v, d->config + reg, size);
    return v;
}

static void
config_write(struct pci *p, unsigned bus_nr, unsigned devfn, unsigned reg,
             unsigned size, uint64_t value)
{
    struct pci_dev *d = config_target(p, bus_nr, devfn, reg, size);

    if (!d)
        return;
    for (unsigned i = 0; i < size; i++) {
        uint8_t m = d->wmask[reg + i], v = (uint8_t)(value >> (8 * i));

        d->config[reg + i] = (d->config[reg + i] & (uint8_t)~m) | (v & m);
    }
    if (reg < CFG_BAR_END && reg + size > PCI_CFG_COMMAND) {
        atomic_store(&d->bus_master,
                     (d->config[PCI_CFG_COMMAND] & COMMAND_MASTER) != 0);
        pci_bars_remap(p);
    }
    if (d->ops && d->ops->config_write)
        d->ops->config_write(d->self, reg, size);
}

static bool
is_reset_control(uint64_t offset, unsigned size)
{
    return size == 1 && offset == RESET_CONTROL - CONFIG_ADDRESS;
}

/* PCI 3.0 section 3.2.2.3.2: configuration mechanism #1. The address is a
 * register for accesses of 32 bits alone. */
static uint64_t
address_read(void *opaque, uint64_t offset, unsigned size)
{
    struct pci *p = opaque;
    uint64_t v = UINT64_MAX;

    pthread_mutex_lock(&p->lock);
    if (size == 4)
        v = p->address;
    else if (is_reset_control(offset, size))
        v = p->reset_control;
    pthread_mutex_unlock(&p->lock);
    return v;
}

/* All resets are one here: a new run. Is this one? */
static bool
set_reset_control(struct pci *p, uint8_t value)
{
    bool reset = (value & RESET_CPU) && !(p->reset_control & RESET_CPU);

    p->reset_control = value & (RESET_SYSTEM | RESET_CPU | RESET_FULL);
    return reset;
}

static void
address_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct pci *p = opaque;
    bool reset = false;

    pthread_mutex_lock(&p->lock);
    if (size == 4)
        p->address = (uint32_t)value & 0x80fffffc;
    else if (is_reset_control(offset, size))
        reset = set_reset_control(p, (uint8_t)value);
    else
        COUNT(vmm_pci_address_refused);
    pthread_mutex_unlock(&p->lock);
    if (reset && p->end)
        end_tell(p->end, VM_END_RESET);
}

static uint64_t
data_read(void *opaque, uint64_t offset, unsigned size)
{
    struct pci *p = opaque;
    uint64_t v = UINT64_MAX;

    pthread_mutex_lock(&p->lock);
    if (p->address & 0x80000000)
        v = config_read(p, (p->address >> 16) & 0xff, (p->address >> 8) & 0xff,
                        (p->address & 0xfc) + (unsigned)offset, size);
    pthread_mutex_unlock(&p->lock);
    return v;
}

static void
data_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct pci *p = opaque;

    pthread_mutex_lock(&p->lock);
    if (p->address & 0x80000000)
        config_write(p, (p->address >> 16) & 0xff, (p->address >> 8) & 0xff,
                     (p->address & 0xfc) + (unsigned)offset, size, value);
    pthread_mutex_unlock(&p->lock);
}

static const struct bus_ops address_ops = {.name = "pci-address",
                                           .read = address_read,
                                           .write = address_write,
                                           .min_size = 1,
                                           .max_size = 4};
static const struct bus_ops data_ops = {.name = "pci-data",
                                        .read = data_read,
                                        .write = data_write,
                                        .min_size = 1,
                                        .max_size = 4};
/* A bridge that no driver binds to. */
static const struct pci_info host_bridge = {
    .vendor = 0x1b36, .device = 0x0008, .class_code = 0x060000};

int
pci_new(struct bus *bus, const struct irq *irq, uint64_t window, uint64_t size,
        const struct end_sink *end, struct pci **ret)
{
    struct pci_dev *bridge;
    struct pci *p;
    int r;

    if (!size || (window | size) & 0xfff || window + size < window)
        return -EINVAL;
    p = xnew(struct pci);
    pthread_mutex_init(&p->lock, NULL);
    p->bus = bus;
    p->irq = irq;
    p->end = end;
    p->window = window;
    p->window_end = window + size;
    r = bus_add(bus, BUS_PIO, CONFIG_ADDRESS, 4, &address_ops, p);
    if (r < 0)
        goto fail;
    r = bus_add(bus, BUS_PIO, CONFIG_DATA, 4, &data_ops, p);
    if (r < 0) {
        bus_remove(bus, BUS_PIO, CONFIG_ADDRESS);
        goto fail;
    }
    r = pci_add(p, &host_bridge, NULL, NULL, &bridge);
    if (r < 0) {
        pci_free(p);
        return r;
    }
    pci_dev_plug(bridge);
    *ret = p;
    return 0;
fail:
    pthread_mutex_destroy(&p->lock);
    free(p);
    return r;
}

void
pci_free(struct pci *p)
{
    if (!p)
        return;
    bus_remove(p->bus, BUS_PIO, CONFIG_ADDRESS);
    bus_remove(p->bus, BUS_PIO, CONFIG_DATA);
    for (unsigned i = 0; i < PCI_SLOTS; i++)
        if (p->devs[i])
            pci_del(p->devs[i]);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

const struct irq *
pci_irq(const struct pci *p)
{
    return p->irq;
}

int
pci_take_irq_slots(struct pci *p, unsigned n, unsigned *ret)
{
    unsigned at = 0, run = 0;

    pthread_mutex_lock(&p->lock);
    while (run < n && at < PCI_IRQ_SLOTS)
        run = p->irq_slot[at++] ? 0 : run + 1;
    if (run == n)
        memset(p->irq_slot + at - n, true, n);
    pthread_mutex_unlock(&p->lock);
    if (run < n)
        return -ENOSPC;
    *ret = at - n;
    return 0;
}

void
pci_give_irq_slots(struct pci *p, unsigned first, unsigned n)
{
    pthread_mutex_lock(&p->lock);
    memset(p->irq_slot + first, false, n);
    pthread_mutex_unlock(&p->lock);
}

unsigned
pci_irq_slots_taken(struct pci *p)
{
    unsigned n = 0;

    pthread_mutex_lock(&p->lock);
    for (unsigned i = 0; i < PCI_IRQ_SLOTS; i++)
        n += p->irq_slot[i];
    pthread_mutex_unlock(&p->lock);
    return n;
}

int
pci_add(struct pci *p, const struct pci_info *info,
        const struct pci_dev_ops *ops, void *self, struct pci_dev **ret)
{
    struct pci_dev *d;
    unsigned slot = info->slot;

    if (slot >= PCI_SLOTS)
        return -EINVAL;
    pthread_mutex_lock(&p->lock);
    while (!info->slot && slot < PCI_SLOTS && p->devs[slot])
        slot++;
    if (slot == PCI_SLOTS || p->devs[slot]) {
        pthread_mutex_unlock(&p->lock);
        return slot == PCI_SLOTS ? -ENOSPC : -EEXIST;
    }
    d = xnew(struct pci_dev);
    d->pci = p;
    d->slot = slot;
    d->ops = ops;
    d->self = self;
    d->cap_end = CFG_CAP_FIRST;
    d->cap_last = CFG_CAP_PTR;
    for (unsigned i = 0; i < PCI_BARS; i++)
        d->bars[i] =
            (struct pci_bar){.dev = d, .index = i, .mapped = PCI_UNMAPPED};
    put16(d->config, info->vendor);
    put16(d->config + 2, info->device);
    d->config[8] = info->revision;
    for (unsigned i = 0; i < 3; i++)
        d->config[9 + i] = (uint8_t)(info->class_code >> (8 * i));
    put16(d->config + 0x2c, info->subsys_vendor);
    put16(d->config + 0x2e, info->subsys);
    /* Memory, bus master, INTx disable; cache line size and interrupt line
     * are scratch for the guest. */
    d->wmask[PCI_CFG_COMMAND] = PCI_COMMAND_MEMORY | COMMAND_MASTER;
    d->wmask[PCI_CFG_COMMAND + 1] = 0x04;
    d->wmask[0x0c] = 0xff;
    d->wmask[0x3c] = 0xff;
    p->devs[slot] = d;
    pthread_mutex_unlock(&p->lock);
    *ret = d;
    return 0;
}

void
pci_dev_plug(struct pci_dev *d)
{
    pthread_mutex_lock(&d->pci->lock);
    d->plugged = true;
    pthread_mutex_unlock(&d->pci->lock);
}

void
pci_del(struct pci_dev *d)
{
    struct pci *p = d->pci;

    pthread_mutex_lock(&p->lock);
    pci_bars_remove(d);
    p->devs[d->slot] = NULL;
    pci_bars_remap(p); /* another may have waited for the place */
    pthread_mutex_unlock(&p->lock);
    free(d);
}

void
pci_dev_pull(struct pci_dev *d)
{
    struct pci *p = d->pci;

    pthread_mutex_lock(&p->lock);
    d->plugged = false;
    pci_bars_pull(d);
    d->husk = true;
    d->ops = NULL;
    d->self = NULL;
    pthread_mutex_unlock(&p->lock);
}

unsigned
pci_dev_slot(const struct pci_dev *d)
{
    return d->slot;
}

int
pci_dev_cap(struct pci_dev *d, uint8_t id, const void *body, size_t n,
            const void *writable)
{
    unsigned at = d->cap_end;

    if (n > (size_t)(PCI_CFG_SIZE - 2) || at + 2 + n > PCI_CFG_SIZE)
        return -ENOSPC;
    pthread_mutex_lock(&d->pci->lock);
    d->config[at] = id;
    memcpy(d->config + at + 2, body, n);
    if (writable)
        memcpy(d->wmask + at + 2, writable, n);
    d->config[d->cap_last] = (uint8_t)at;
    d->config[CFG_STATUS] |= STATUS_CAP_LIST;
    d->cap_last = at + 1;
    d->cap_end = (at + 2 + (unsigned)n + 3) & ~3U;
    pthread_mutex_unlock(&d->pci->lock);
    return (int)at;
}

uint8_t *
pci_dev_config(struct pci_dev *d)
{
    return d->config;
}

bool
pci_dev_bus_master(const struct pci_dev *d)
{
    return atomic_load(&d->bus_master);
}
