/* hypervisor-backend/vmm/irq.h - interrupts from devices into the guest.
 * Role:      lines of the I/O APIC and message-signalled interrupts, behind a
 *            small vtable: KVM's in-kernel irqchip in a VM, a recorder in
 *            tests.
 * Ownership: the implementation owns itself; devices borrow.
 * Threads:   any thread.   Errors: negative errno of KVM; a device logs once
 *            and goes on. */
#ifndef HYPERVISOR_BACKEND_VMM_IRQ_H
#define HYPERVISOR_BACKEND_VMM_IRQ_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"

struct irq_ops {
    int (*line)(void *self, unsigned gsi, bool level);
    int (*msi)(void *self, uint64_t address, uint32_t data);
    /* Couples an eventfd with a message, so that I/O threads can raise it
     * with one write(2); again with new values after the guest changed its
     * table entry. fd -1 ends the coupling. May be NULL: use msi(). */
    int (*msi_eventfd)(void *self, unsigned vector_slot, int fd,
                       uint64_t address, uint32_t data);
};

struct irq {
    const struct irq_ops *ops;
    void *self;
};

static inline int _must_check_
irq_line(const struct irq *i, unsigned gsi, bool level)
{
    return i->ops->line(i->self, gsi, level);
}

static inline int _must_check_
irq_msi(const struct irq *i, uint64_t address, uint32_t data)
{
    return i->ops->msi(i->self, address, data);
}

#endif
