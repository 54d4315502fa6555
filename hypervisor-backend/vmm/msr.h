/* hypervisor-backend/vmm/msr.h - model-specific registers at the start.
 * Role:      what firmware would have set before it starts a kernel.
 * Threads:   the vCPU's owner.
 * Errors:    negative errno; a register that this host does not have is left
 *            out (kernels do without). */
#ifndef HYPERVISOR_BACKEND_VMM_MSR_H
#define HYPERVISOR_BACKEND_VMM_MSR_H

#include "common/cleanup.h"

struct kvm_cpuid2;

/* cpuid: what the vCPU was given with KVM_SET_CPUID2. */
int msr_boot(int vcpu_fd, const struct kvm_cpuid2 *cpuid) _must_check_;

#endif
