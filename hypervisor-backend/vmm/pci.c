/* pci.c - the guest's PCI bus; see pci.h.
 *
 * Invariants (under pci.lock):
 *  1. A BAR is on the MMIO bus if and only if its `mapped` is not
 *     PCI_UNMAPPED; then it is size-aligned and inside the window.
 *  2. No two mapped BARs overlap: bus_add() refuses, the second stays
 *     unmapped until the first moves away.
 *  3. Config bytes change by the guest's hand only where wmask has ones. */
#include <config.h>

#include "hypervisor-backend/vmm/pci.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "common/count.h"
#include "common/mem.h"

enum {
    CFG_SIZE = 256,
    CFG_COMMAND = 0x04,
    CFG_STATUS = 0x06,
    CFG_BAR0 = 0x10,
    CFG_BAR_END = 0x28,
    CFG_CAP_PTR = 0x34,
    CFG_CAP_FIRST = 0x40,
    IRQ_SLOTS = PCI_SLOTS * 64, /* MSI-X has at most 64 vectors here */
    COMMAND_MEMORY = 0x2,
    COMMAND_MASTER = 0x4,
    STATUS_CAP_LIST = 0x10,
    BAR_MEM64 = 0x4, /* memory, 64 bits, not prefetchable */
    CONFIG_ADDRESS = 0xcf8,
    CONFIG_DATA = 0xcfc,
    RESET_CONTROL = 0xcf9, /* a byte inside of CONFIG_ADDRESS */
    RESET_SYSTEM = 0x2,    /* the next reset is more than the processor's */
    RESET_CPU = 0x4,       /* 0 to 1: reset */
    RESET_FULL = 0x8,      /* it takes the power away, too */
};

struct pci_bar {
    struct pci_dev *dev;
    unsigned index;
    uint64_t size;   /* 0: not there */
    uint64_t given;  /* the address it was born with */
    uint64_t mapped; /* base, or PCI_UNMAPPED */
};

struct pci_dev {
    struct pci *pci;
    unsigned slot;
    const struct pci_dev_ops *ops;
    void *self;
    struct pci_bar bars[PCI_BARS];
    bool plugged, husk;
    _Atomic bool bus_master;
    unsigned cap_end, cap_last; /* free space; offset of the last one's next */
    uint8_t config[CFG_SIZE], wmask[CFG_SIZE];
};

struct pci {
    pthread_mutex_t lock;
    struct bus *bus;
    const struct irq *irq;
    const struct end_sink *end; /* or NULL */
    uint64_t window, window_end;
    uint32_t address; /* CONFIG_ADDRESS */
    uint8_t reset_control;
    bool irq_slot[IRQ_SLOTS]; /* taken */
    struct pci_dev *devs[PCI_SLOTS];
};

static void
put16(uint8_t *p, uint16_t v)
{
    memcpy(p, &v, sizeof(v));
}

static uint32_t
get32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static uint64_t
bar_bus_read(void *opaque, uint64_t offset, unsigned size)
{
    struct pci_bar *b = opaque;

    return b->dev->ops->bar_read(b->dev->self, b->index, offset, size);
}

static void
bar_bus_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct pci_bar *b = opaque;

    b->dev->ops->bar_write(b->dev->self, b->index, offset, size, value);
}

static const struct bus_ops bar_bus_ops = {
    .name = "pci-bar", .read = bar_bus_read, .write = bar_bus_write};

/* What a husk's BARs answer. */
static uint64_t
husk_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)size;
    return 0;
}

static void
husk_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    (void)opaque;
    (void)offset;
    (void)size;
    (void)value;
}

static const struct bus_ops husk_bus_ops = {
    .name = "pci-husk", .read = husk_read, .write = husk_write};

static void
bar_tell(struct pci_bar *b)
{
    if (b->dev->ops && b->dev->ops->bar_mapped)
        b->dev->ops->bar_mapped(b->dev->self, b->index, b->mapped);
}

/* Where the guest wants the BAR, PCI_UNMAPPED where it may not answer. */
static uint64_t
bar_wanted(const struct pci_bar *b)
{
    const struct pci *p = b->dev->pci;
    const uint8_t *reg = b->dev->config + CFG_BAR0 + 8 * b->index;
    uint64_t base = ((uint64_t)get32(reg + 4) << 32 | get32(reg)) & ~0xfULL;

    if (!b->size || !(b->dev->config[CFG_COMMAND] & COMMAND_MEMORY))
        return PCI_UNMAPPED;
    if (base < p->window || base >= p->window_end ||
        p->window_end - base < b->size)
        return PCI_UNMAPPED;
    return base;
}

/* Takes husks out of the way of [base, base + size). */
static void
displace_husks(struct pci *p, uint64_t base, uint64_t size)
{
    for (unsigned i = 0; i < PCI_SLOTS * PCI_BARS; i++) {
        struct pci_dev *d = p->devs[i / PCI_BARS];
        struct pci_bar *b = d && d->husk ? &d->bars[i % PCI_BARS] : NULL;

        if (!b || b->mapped == PCI_UNMAPPED || b->mapped >= base + size ||
            base >= b->mapped + b->size)
            continue;
        bus_remove(p->bus, BUS_MMIO, b->mapped);
        b->mapped = PCI_UNMAPPED;
    }
}

/* Brings the MMIO bus in line with the registers: first everything that goes
 * away, then what comes, so that two BARs can change places. */
static void
pci_remap(struct pci *p)
{
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < PCI_SLOTS * PCI_BARS; i++) {
            struct pci_dev *d = p->devs[i / PCI_BARS];
            struct pci_bar *b = d ? &d->bars[i % PCI_BARS] : NULL;
            uint64_t want = b ? bar_wanted(b) : PCI_UNMAPPED;

            if (!b || d->husk || want == b->mapped)
                continue;
            if (pass == 0 && b->mapped != PCI_UNMAPPED) {
                bus_remove(p->bus, BUS_MMIO, b->mapped);
                b->mapped = PCI_UNMAPPED;
                bar_tell(b);
            } else if (pass == 1) {
                displace_husks(p, want, b->size);
                if (bus_add(p->bus, BUS_MMIO, want, b->size, &bar_bus_ops, b) <
                    0) {
                    COUNT(vmm_pci_bar_overlap);
                    continue;
                }
                b->mapped = want;
                bar_tell(b);
            }
        }
    }
}

/* One function a slot, 256 bytes. */
static struct pci_dev *
config_target(struct pci *p, unsigned bus_nr, unsigned devfn, unsigned reg,
              unsigned size)
{
    struct pci_dev *d = p->devs[(devfn >> 3) % PCI_SLOTS];

    if (bus_nr != 0 || (devfn & 7) || reg + size > CFG_SIZE)
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
    if (reg < CFG_BAR_END && reg + size > CFG_COMMAND) {
        atomic_store(&d->bus_master,
                     (d->config[CFG_COMMAND] & COMMAND_MASTER) != 0);
        pci_remap(p);
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
    while (run < n && at < IRQ_SLOTS)
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
    for (unsigned i = 0; i < IRQ_SLOTS; i++)
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
    d->wmask[CFG_COMMAND] = COMMAND_MEMORY | COMMAND_MASTER;
    d->wmask[CFG_COMMAND + 1] = 0x04;
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
    for (unsigned b = 0; b < PCI_BARS; b++) {
        if (d->bars[b].mapped == PCI_UNMAPPED)
            continue;
        bus_remove(p->bus, BUS_MMIO, d->bars[b].mapped);
        d->bars[b].mapped = PCI_UNMAPPED;
        bar_tell(&d->bars[b]);
    }
    p->devs[d->slot] = NULL;
    pci_remap(p); /* another may have waited for the place */
    pthread_mutex_unlock(&p->lock);
    free(d);
}

void
pci_dev_pull(struct pci_dev *d)
{
    struct pci *p = d->pci;

    pthread_mutex_lock(&p->lock);
    d->plugged = false;
    for (unsigned i = 0; i < PCI_BARS; i++) {
        struct pci_bar *b = &d->bars[i];
        uint64_t base = b->mapped;

        if (base == PCI_UNMAPPED)
            continue;
        bus_remove(p->bus, BUS_MMIO, base);
        b->mapped = PCI_UNMAPPED;
        bar_tell(b);
        if (bus_add(p->bus, BUS_MMIO, base, b->size, &husk_bus_ops, b) == 0)
            b->mapped = base;
    }
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

/* The lowest place of the window that no BAR was given or has taken. */
static uint64_t
free_place(const struct pci *p, uint64_t size)
{
    uint64_t at = (p->window + size - 1) & ~(size - 1);
    bool moved;

    do {
        moved = false;
        if (at < p->window || at >= p->window_end || p->window_end - at < size)
            return PCI_UNMAPPED;
        for (unsigned i = 0; i < PCI_SLOTS * PCI_BARS && !moved; i++) {
            const struct pci_dev *d = p->devs[i / PCI_BARS];
            const struct pci_bar *b = d ? &d->bars[i % PCI_BARS] : NULL;

            if (!b || !b->size)
                continue;
            moved = (at < b->given + b->size && b->given < at + size) ||
                    (b->mapped != PCI_UNMAPPED && at < b->mapped + b->size &&
                     b->mapped < at + size);
        }
        if (moved)
            at += size;
    } while (moved);
    return at;
}

int
pci_dev_bar(struct pci_dev *d, unsigned bar, uint64_t size)
{
    struct pci *p = d->pci;
    uint64_t base, mask = ~(size - 1);
    int r = 0;

    if (bar >= PCI_BARS || size < 0x1000 || (size & (size - 1)) || !d->ops)
        return -EINVAL;
    pthread_mutex_lock(&p->lock);
    base = free_place(p, size);
    if (d->bars[bar].size) {
        r = -EEXIST;
    } else if (base == PCI_UNMAPPED) {
        r = -ENOSPC;
    } else {
        uint8_t *reg = d->config + CFG_BAR0 + 8 * bar;

        d->bars[bar].size = size;
        d->bars[bar].given = base;
        base |= BAR_MEM64;
        memcpy(reg, &base, sizeof(base));
        memcpy(d->wmask + CFG_BAR0 + 8 * bar, &mask, sizeof(mask));
    }
    pthread_mutex_unlock(&p->lock);
    return r;
}

int
pci_dev_cap(struct pci_dev *d, uint8_t id, const void *body, size_t n,
            const void *writable)
{
    unsigned at = d->cap_end;

    if (n > (size_t)(CFG_SIZE - 2) || at + 2 + n > CFG_SIZE)
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

uint64_t
pci_dev_bar_base(struct pci_dev *d, unsigned bar)
{
    pthread_mutex_lock(&d->pci->lock);
    uint64_t base = bar < PCI_BARS ? d->bars[bar].mapped : PCI_UNMAPPED;
    pthread_mutex_unlock(&d->pci->lock);
    return base;
}
