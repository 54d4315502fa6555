/* msr.c - model-specific registers at the start; see msr.h.
 * Source: Intel SDM volume 4. */
#include <config.h>

#include "hypervisor-backend/vmm/msr.h"

#include <linux/kvm.h>
#include <stdint.h>

#include "common/count.h"
#include "hypervisor-backend/vmm/kvm.h"

#define MSR_MISC_ENABLE 0x1a0
#define MISC_FAST_STRINGS 1
#define MSR_MTRR_DEFAULT 0x2ff
/* Ranges in use, everything write-back: device memory is the guest's page
 * tables' business, and KVM's. */
#define MTRR_ENABLE_WRITE_BACK 0x806
#define MSR_ARCH_CAPABILITIES 0x10a
#define ARCH_CAP_TSX_CTRL (UINT64_C(1) << 7)
#define LEAF_7_EBX_RTM (1u << 11)
#define LEAF_7_EDX_ARCH_CAPABILITIES (1u << 29)

struct one_msr {
    struct kvm_msrs head;
    struct kvm_msr_entry entry;
};

/* The number of registers read or written (0 or 1), or negative errno. */
static int
access_one(int vcpu_fd, unsigned long request, struct one_msr *m)
{
    m->head.nmsrs = 1;
    return kvm_ioctl(vcpu_fd, request, m);
}

/* Of the host's answers to processor flaws, none that speaks of what the
 * guest's model lacks: a guest without TSX must not look for its switch. */
static int
arch_capabilities(int vcpu_fd, const struct kvm_cpuid2 *c)
{
    struct one_msr m = {.entry.index = MSR_ARCH_CAPABILITIES};
    int r;

    for (uint32_t i = 0; i < c->nent; i++) {
        const struct kvm_cpuid_entry2 *e = &c->entries[i];

        if (e->function != 7 || e->index != 0)
            continue;
        if (!(e->edx & LEAF_7_EDX_ARCH_CAPABILITIES) ||
            (e->ebx & LEAF_7_EBX_RTM))
            return 0;
        r = access_one(vcpu_fd, KVM_GET_MSRS, &m);
        if (r <= 0 || !(m.entry.data & ARCH_CAP_TSX_CTRL))
            return r;
        m.entry.data &= ~ARCH_CAP_TSX_CTRL;
        r = access_one(vcpu_fd, KVM_SET_MSRS, &m);
        if (r == 0)
            COUNT(vmm_msr_missing);
        return r;
    }
    return 0;
}

int
msr_boot(int vcpu_fd, const struct kvm_cpuid2 *cpuid)
{
    static const struct kvm_msr_entry values[] = {
        {.index = MSR_MISC_ENABLE, .data = MISC_FAST_STRINGS},
        {.index = MSR_MTRR_DEFAULT, .data = MTRR_ENABLE_WRITE_BACK},
    };
    int r;

    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        struct one_msr m = {.entry = values[i]};

        r = access_one(vcpu_fd, KVM_SET_MSRS, &m);
        if (r < 0)
            return r;
        if (r == 0)
            COUNT(vmm_msr_missing);
    }
    r = arch_capabilities(vcpu_fd, cpuid);
    return r < 0 ? r : 0;
}
