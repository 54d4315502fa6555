/* hypervisor-backend/vmm/msix.h - a PCI function's MSI-X table.
 * Role:      the capability, the table and the pending bits in a BAR, per
 *            vector and function mask, delivery by message or by an eventfd
 *            that is coupled with it.
 * Ownership: msix_free() closes the eventfds; the pci_dev is borrowed.
 * Threads:   any; one lock inside, below every other.
 * Errors:    -EINVAL vector out of range (counted, nothing raised).
 * Invariant: a message leaves only if MSI-X is on, neither mask is set and
 *            the function is bus master; else its pending bit is set and it
 *            leaves when the last of these changes.
 * Source:    PCI Local Bus Specification 3.0, section 6.8.2. */
#ifndef HYPERVISOR_BACKEND_VMM_MSIX_H
#define HYPERVISOR_BACKEND_VMM_MSIX_H

#include <stdbool.h>
#include <stdint.h>

#include "hypervisor-backend/vmm/pci.h"

#define MSIX_MAX 64
#define MSIX_NONE 0xffff

struct msix;

/* Adds the capability to d; table and PBA are in that BAR, each in a page of
 * its own. */
int msix_new(struct pci *p, struct pci_dev *d, unsigned n_vectors, unsigned bar,
             uint32_t table, uint32_t pba, struct msix **ret) _must_check_;
void msix_free(struct msix *m);
unsigned msix_count(const struct msix *m);
bool msix_enabled(struct msix *m);
/* For the owner's BAR accesses: true if the offset was the table's or PBA's.*/
bool msix_read(struct msix *m, uint64_t offset, unsigned size, uint64_t *ret);
bool msix_write(struct msix *m, uint64_t offset, unsigned size, uint64_t value);
/* For the owner's pci_dev_ops.config_write. */
void msix_config_write(struct msix *m);
/* The eventfd that raises the vector by itself, coupled with its present
 * message; -1 while it may not be raised or cannot be by an eventfd. Holds
 * until the table, a mask or bus mastering changes. */
int msix_vector_fd(struct msix *m, unsigned vector);
int msix_raise(struct msix *m, unsigned vector) _must_check_;

#endif
