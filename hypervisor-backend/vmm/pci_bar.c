/* pci_bar.c - where BARs answer, and what they do there; see pci.h and
 * pci-private.h for the invariants. */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "common/count.h"
#include "hypervisor-backend/vmm/pci-private.h"

enum {
    BAR_MEM64 = 0x4, /* memory, 64 bits, not prefetchable */
};

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
    const uint8_t *reg = b->dev->config + PCI_CFG_BAR0 + 8 * b->index;
    uint64_t base = ((uint64_t)get32(reg + 4) << 32 | get32(reg)) & ~0xfULL;

    if (!b->size || !(b->dev->config[PCI_CFG_COMMAND] & PCI_COMMAND_MEMORY))
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
void
pci_bars_remap(struct pci *p)
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

void
pci_bars_remove(struct pci_dev *d)
{
    struct pci *p = d->pci;

    for (unsigned b = 0; b < PCI_BARS; b++) {
        if (d->bars[b].mapped == PCI_UNMAPPED)
            continue;
        bus_remove(p->bus, BUS_MMIO, d->bars[b].mapped);
        d->bars[b].mapped = PCI_UNMAPPED;
        bar_tell(&d->bars[b]);
    }
}

void
pci_bars_pull(struct pci_dev *d)
{
    struct pci *p = d->pci;

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
        uint8_t *reg = d->config + PCI_CFG_BAR0 + 8 * bar;

        d->bars[bar].size = size;
        d->bars[bar].given = base;
        base |= BAR_MEM64;
        memcpy(reg, &base, sizeof(base));
        memcpy(d->wmask + PCI_CFG_BAR0 + 8 * bar, &mask, sizeof(mask));
    }
    pthread_mutex_unlock(&p->lock);
    return r;
}

uint64_t
pci_dev_bar_base(struct pci_dev *d, unsigned bar)
{
    pthread_mutex_lock(&d->pci->lock);
    uint64_t base = bar < PCI_BARS ? d->bars[bar].mapped : PCI_UNMAPPED;
    pthread_mutex_unlock(&d->pci->lock);
    return base;
}
