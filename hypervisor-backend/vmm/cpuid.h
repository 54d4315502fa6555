/* hypervisor-backend/vmm/cpuid.h - what the guest's processor says it is.
 * Role:      pure: takes what KVM supports on this host, leaves out what a
 *            guest must not see (virtualization of its own, performance
 *            counters, power management, enclaves, tracing, cache
 *            allocation), and writes the topology: one package, cpus cores,
 *            one thread each.
 * Threads:   reentrant.   Errors: none.
 * Source:    Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E; Linux
 *            Documentation/virt/kvm/x86/cpuid.rst. */
#ifndef HYPERVISOR_BACKEND_VMM_CPUID_H
#define HYPERVISOR_BACKEND_VMM_CPUID_H

#include <stdbool.h>

struct kvm_cpuid2;

#define CPUID_SPARE 3u /* entries that are added at most */

/* c has room for CPUID_SPARE more. Call it on a fresh copy for each vCPU. */
void cpuid_prepare(struct kvm_cpuid2 *c, unsigned apic_id, unsigned cpus,
                   bool tsc_deadline);

#endif
