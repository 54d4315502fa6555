/* hypervisor-backend/vmm/bus.h - port and memory mapped I/O: who answers.
 * Role:      an interval map for each of the two spaces. The policy for odd
 *            accesses is here, once: a read that nobody answers gives all
 *            ones, a write is dropped, an access of a width that the device
 *            does not take, or over its end, counts as nobody's.
 * Ownership: ranges borrow ops and dev until bus_remove().
 * Threads:   bus_access() from every vCPU thread at once; add, remove and
 *            move may run at any time (moved BARs). A device guards itself.
 * Errors:    -EEXIST the range overlaps another, -EINVAL empty or wraps. */
#ifndef HYPERVISOR_BACKEND_VMM_BUS_H
#define HYPERVISOR_BACKEND_VMM_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"

struct bus;

enum bus_space { BUS_PIO, BUS_MMIO };

struct bus_ops {
    const char *name; /* for metrics and logs */
    /* offset is from the range's start; size 1, 2, 4 or 8 (PIO: up to 4). */
    uint64_t (*read)(void *dev, uint64_t offset, unsigned size);
    void (*write)(void *dev, uint64_t offset, unsigned size, uint64_t value);
    unsigned min_size, max_size; /* widths taken; 0: 1 and 8 */
};

struct bus *bus_new(void);
void bus_free(struct bus *b);
int bus_add(struct bus *b, enum bus_space space, uint64_t base, uint64_t len,
            const struct bus_ops *ops, void *dev) _must_check_;
/* Waits until no access to the range is under way. */
void bus_remove(struct bus *b, enum bus_space space, uint64_t base);
/* One access by a vCPU. Returns false if nobody answered (*value is then all
 * ones for a read). */
bool bus_access(struct bus *b, enum bus_space space, uint64_t addr,
                unsigned size, bool write, uint64_t *value);

#endif
