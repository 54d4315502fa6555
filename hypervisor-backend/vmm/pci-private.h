/* hypervisor-backend/vmm/pci-private.h - what pci.c and pci_bar.c share.
 * Role:      pci.c has the bus and config space, pci_bar.c the BARs.
 * Ownership: see pci.h.
 * Threads:   everything under pci.lock; functions are called with it held.
 * Errors:    none.
 * Invariants (under pci.lock):
 *  1. A BAR is on the MMIO bus if and only if its `mapped` is not
 *     PCI_UNMAPPED; then it is size-aligned and inside the window.
 *  2. No two mapped BARs overlap: bus_add() refuses, the second stays
 *     unmapped until the first moves away.
 *  3. Config bytes change by the guest's hand only where wmask has ones. */
#ifndef HYPERVISOR_BACKEND_VMM_PCI_PRIVATE_H
#define HYPERVISOR_BACKEND_VMM_PCI_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "hypervisor-backend/vmm/pci.h"

enum {
    PCI_CFG_SIZE = 256,
    PCI_CFG_COMMAND = 0x04,
    PCI_CFG_BAR0 = 0x10,
    PCI_COMMAND_MEMORY = 0x2,
    PCI_IRQ_SLOTS = PCI_SLOTS * 64, /* MSI-X has at most 64 vectors here */
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
    uint8_t config[PCI_CFG_SIZE], wmask[PCI_CFG_SIZE];
};

struct pci {
    pthread_mutex_t lock;
    struct bus *bus;
    const struct irq *irq;
    const struct end_sink *end; /* or NULL */
    uint64_t window, window_end;
    uint32_t address; /* CONFIG_ADDRESS */
    uint8_t reset_control;
    bool irq_slot[PCI_IRQ_SLOTS]; /* taken */
    struct pci_dev *devs[PCI_SLOTS];
};

/* Brings the MMIO bus in line with the registers. */
void pci_bars_remap(struct pci *p);
/* Takes the device's BARs off the bus; their owner is told. */
void pci_bars_remove(struct pci_dev *d);
/* The same, but in their places zeroes are read: see pci_dev_pull(). */
void pci_bars_pull(struct pci_dev *d);

#endif
