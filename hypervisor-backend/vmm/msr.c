/* msr.c - model-specific registers at the start; see msr.h.
 * Source: Intel SDM volume 4. */
#include <config.h>

#include "hypervisor-backend/vmm/msr.h"

#include <linux/kvm.h>

#include "common/count.h"
#include "hypervisor-backend/vmm/kvm.h"

#define MSR_MISC_ENABLE 0x1a0
#define MISC_FAST_STRINGS 1
#define MSR_MTRR_DEFAULT 0x2ff
/* Ranges in use, everything write-back: device memory is the guest's page
 * tables' business, and KVM's. */
#define MTRR_ENABLE_WRITE_BACK 0x806

int
msr_boot(int vcpu_fd)
{
    static const struct kvm_msr_entry values[] = {
        {.index = MSR_MISC_ENABLE, .data = MISC_FAST_STRINGS},
        {.index = MSR_MTRR_DEFAULT, .data = MTRR_ENABLE_WRITE_BACK},
    };

    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        struct {
            struct kvm_msrs head;
            struct kvm_msr_entry entry;
        } m = {.head.nmsrs = 1, .entry = values[i]};
        int r = kvm_ioctl(vcpu_fd, KVM_SET_MSRS, &m);

        if (r < 0)
            return r;
        if (r == 0)
            COUNT(vmm_msr_missing);
    }
    return 0;
}
