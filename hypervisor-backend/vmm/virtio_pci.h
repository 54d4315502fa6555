/* hypervisor-backend/vmm/virtio_pci.h - virtio devices on the PCI bus.
 * Role:      the modern transport: common, notify, ISR and device
 *            configuration in BAR 0 with the MSI-X table, and the PCI
 *            configuration access capability. No legacy interface, no INTx.
 * Ownership: borrows the device. The end: virtio_pci_free(), which takes it
 *            off the bus, then the device's own free, then pci_free().
 * Threads:   BAR accesses from every vCPU at once; lock order is
 *            pci.lock, virtio.lock, msix.lock.
 * Errors:    as pci_add(); what the guest does wrong reads ones, is dropped
 *            and counted.
 * Source:    VIRTIO 1.2, section 4.1. */
#ifndef HYPERVISOR_BACKEND_VMM_VIRTIO_PCI_H
#define HYPERVISOR_BACKEND_VMM_VIRTIO_PCI_H

#include "hypervisor-backend/vmm/pci.h"
#include "hypervisor-backend/vmm/virtio.h"

/* BAR 0, one page for each. */
#define VPCI_COMMON 0x0000
#define VPCI_ISR 0x1000
#define VPCI_DEVICE 0x2000
#define VPCI_NOTIFY 0x3000
#define VPCI_MSIX 0x4000
#define VPCI_PBA 0x5000
#define VPCI_BAR_SIZE 0x8000
#define VPCI_NOTIFY_STEP 4 /* queue n is notified at n * this */

struct virtio_pci;

/* Lets KVM signal a queue's eventfd itself when the guest writes at addr, any
 * width and value. Called again as BAR 0 moves. May fail: then vCPU threads
 * deliver the notification. */
struct virtio_pci_ioevent {
    int (*add)(void *self, uint64_t addr, int eventfd);
    void (*del)(void *self, uint64_t addr, int eventfd);
    void *self;
};

/* class_code: the PCI class, e.g. 0x018000. ioevent may be NULL. */
int virtio_pci_new(struct pci *p, struct virtio *v, uint32_t class_code,
                   const struct virtio_pci_ioevent *ioevent,
                   struct virtio_pci **ret) _must_check_;
/* The same in that slot; 0: the lowest free one. */
int virtio_pci_new_at(struct pci *p, struct virtio *v, uint32_t class_code,
                      unsigned slot, const struct virtio_pci_ioevent *ioevent,
                      struct virtio_pci **ret) _must_check_;
/* Safe while the guest still uses it (surprise removal): when this returned,
 * the device takes no chain any more and nobody accesses it. */
void virtio_pci_free(struct virtio_pci *t);
/* The same, but leaves a husk: see pci_dev_pull(). The caller ends it with
 * pci_del() or pci_free(). */
struct pci_dev *virtio_pci_pull(struct virtio_pci *t) _must_check_;
struct pci_dev *virtio_pci_dev(struct virtio_pci *t);

#endif
