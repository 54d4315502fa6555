/* hypervisor-backend/vmm/pci.h - the guest's PCI bus 0: config space and BARs.
 * Role:      host bridge in slot 0, configuration mechanism #1 (0xcf8/0xcfc);
 *            64-bit memory BARs that the guest may move; a list of
 *            capabilities. One function a slot, no bridges, no INTx, no memory
 *            mapped configuration (ECAM): Linux uses that for what lies past
 *            256 bytes alone, and nothing does here. The reset control register
 *            that PC chipsets have amid 0xcf8.
 * Ownership: pci_free() frees every pci_dev that pci_del() did not; self and
 *            ops are borrowed and must outlive it.
 * Threads:   any. config_* and bar_mapped hooks run under the bus's lock and
 *            must not call back into pci_*; bar_read and bar_write run under
 *            no lock of this module, from every vCPU at once.
 * Errors:    -EINVAL, -ENOSPC (slots, window, capability space), -EEXIST.
 * Source:    PCI Local Bus Specification 3.0, chapter 6; Intel
 *            I/O Controller Hub 9 datasheet, 13.7.5 (RST_CNT). */
#ifndef HYPERVISOR_BACKEND_VMM_PCI_H
#define HYPERVISOR_BACKEND_VMM_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include "hypervisor-backend/vmm/bus.h"
#include "hypervisor-backend/vmm/end.h"
#include "hypervisor-backend/vmm/irq.h"

#define PCI_SLOTS 32
#define PCI_BARS 3 /* each takes two registers: 64-bit */
#define PCI_UNMAPPED UINT64_MAX

struct pci;
struct pci_dev;

struct pci_info {
    uint16_t vendor, device, subsys_vendor, subsys;
    uint32_t class_code; /* class, subclass, interface: 0x060000 */
    uint8_t revision;
    unsigned slot; /* 0: the lowest free one */
};

struct pci_dev_ops {
    const char *name;
    uint64_t (*bar_read)(void *self, unsigned bar, uint64_t offset,
                         unsigned size);
    void (*bar_write)(void *self, unsigned bar, uint64_t offset, unsigned size,
                      uint64_t value);
    /* Bytes [offset, offset + size) are about to be read: refresh them. */
    void (*config_read)(void *self, unsigned offset, unsigned size);
    /* They were written, read-only bits left out. */
    void (*config_write)(void *self, unsigned offset, unsigned size);
    /* Answers at base now, or at PCI_UNMAPPED nowhere. */
    void (*bar_mapped)(void *self, unsigned bar, uint64_t base);
};

/* BARs live in [window, window + size); elsewhere they do not answer. end is
 * told of a reset, and borrowed; NULL: the register at 0xcf9 does nothing. */
int pci_new(struct bus *bus, const struct irq *irq, uint64_t window,
            uint64_t size, const struct end_sink *end,
            struct pci **ret) _must_check_;
void pci_free(struct pci *p);
const struct irq *pci_irq(const struct pci *p);
/* A range of n slots for irq_ops.msi_eventfd, the lowest that is free, of
 * this bus alone. -ENOSPC. */
int pci_take_irq_slots(struct pci *p, unsigned n, unsigned *ret) _must_check_;
void pci_give_irq_slots(struct pci *p, unsigned first, unsigned n);
unsigned pci_irq_slots_taken(struct pci *p);

/* Takes the slot, -EEXIST if it is taken. The guest sees the device after
 * pci_dev_plug(): add BARs and capabilities before. */
int pci_add(struct pci *p, const struct pci_info *info,
            const struct pci_dev_ops *ops, void *self,
            struct pci_dev **ret) _must_check_;
void pci_dev_plug(struct pci_dev *d);
/* Off the bus and freed; returns when no access is under way. Not from a
 * hook or a BAR access. The guest may still use it: it reads ones then. */
void pci_del(struct pci_dev *d);
/* Pulled out: as pci_del(), but d stays as a husk until pci_del(). It has no
 * owner and no config space any more, and its BARs read as zero: Linux' virtio
 * drivers wait for a status of zero when their device goes, for ever if they
 * read ones. Where another BAR wants its place it gives way. */
void pci_dev_pull(struct pci_dev *d);
unsigned pci_dev_slot(const struct pci_dev *d);
/* size: a power of two from 4 KiB. An address in the window is given. */
int pci_dev_bar(struct pci_dev *d, unsigned bar, uint64_t size) _must_check_;
/* body follows the two bytes of id and next; writable (may be NULL) masks
 * what the guest may change. Returns the capability's offset. */
int pci_dev_cap(struct pci_dev *d, uint8_t id, const void *body, size_t n,
                const void *writable) _must_check_;
/* The 256 bytes; only from hooks, or before the guest runs. */
uint8_t *pci_dev_config(struct pci_dev *d);
/* Command register bit 2: may it write memory and send messages? */
bool pci_dev_bus_master(const struct pci_dev *d);
/* Where a BAR answers, or PCI_UNMAPPED. */
uint64_t pci_dev_bar_base(struct pci_dev *d, unsigned bar);

#endif
