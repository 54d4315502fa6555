/* hypervisor-backend/vmm/cpuid_model.h - named processor models for fleets.
 * Role:      pure: from what KVM supports on this host to what a model says,
 *            the same on every host that can run it: the psABI levels
 *            x86-64-v2 to -v4 of the host's vendor, and some generations of
 *            servers. "host" is everything that this host has.
 *            Outside of that promise, and as the host has it: what says that
 *            a processor's flaw can be worked around (a guest that does not
 *            know is a guest at risk), KVM's own leaves, cache geometry.
 * Ownership: kvm_cpuid2 is the caller's and changed in place; the strings of
 *            cpuid_models() are static.
 * Threads:   reentrant.
 * Errors:    -EINVAL no such model, -ENOTSUP this host lacks something (all of
 *            it is named); field /cpu_model.
 * Source:    x86-64 psABI, section 3.1.1; Intel SDM volume 2 (CPUID) and
 *            volume 1, chapter 13 (XSAVE); AMD APM volume 3, appendix E. */
#ifndef HYPERVISOR_BACKEND_VMM_CPUID_MODEL_H
#define HYPERVISOR_BACKEND_VMM_CPUID_MODEL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

struct kvm_cpuid2;

/* All that a model can lack. */
#define CPUID_MISSING_BYTES 1024

struct cpuid_model_info {
    const char *name;
    const char *about; /* for people */
    bool runs;         /* on this host */
    /* Names with spaces between; "" if it runs. */
    char missing[CPUID_MISSING_BYTES];
};

/* name: NULL is "host". To be called before cpuid_prepare(). The time stamp
 * counter has the host's frequency, so no named model calls it invariant: on
 * the next host it may have another. */
int cpuid_model_apply(const char *name, struct kvm_cpuid2 *c,
                      struct err *reterr) _must_check_;
/* The i-th model, in order of what it asks for; false: there is none.
 * supported: as kvm_supported_cpuid() gives it. */
bool cpuid_models(const struct kvm_cpuid2 *supported, size_t i,
                  struct cpuid_model_info *ret);

#endif
