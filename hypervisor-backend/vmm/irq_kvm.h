/* hypervisor-backend/vmm/irq_kvm.h - irq.h by KVM's interrupt controllers.
 * Role:      lines by KVM_IRQ_LINE, messages by KVM_SIGNAL_MSI, eventfds by
 *            irqfd and the routing table.
 * Ownership: irq_kvm_free() ends all couplings; the kvm is borrowed. A coupled
 *            descriptor stays the caller's and must be open until uncoupled.
 * Threads:   any.
 * Errors:    negative errno; -ENOSPC more slots than KVM has routes. */
#ifndef HYPERVISOR_BACKEND_VMM_IRQ_KVM_H
#define HYPERVISOR_BACKEND_VMM_IRQ_KVM_H

#include "hypervisor-backend/vmm/irq.h"
#include "hypervisor-backend/vmm/kvm.h"

struct irq_kvm;

int irq_kvm_new(struct kvm *k, struct irq_kvm **ret) _must_check_;
void irq_kvm_free(struct irq_kvm *i);
const struct irq *irq_kvm_irq(const struct irq_kvm *i);

#endif
