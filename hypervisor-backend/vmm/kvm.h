/* hypervisor-backend/vmm/kvm.h - the KVM descriptors of one VM.
 * Role:      opens /dev/kvm, makes the VM, gives it memory, then interrupt
 *            controllers and timer in the kernel, couples eventfds with
 *            addresses.
 *            Only this file, vcpu.c, msr.c and irq_kvm.c talk to KVM.
 * Ownership: kvm_release() closes all; guest memory must outlive it.
 * Threads:   set up by one thread; kvm_ioevent() from any.
 * Errors:    negative errno; -ENODEV no usable KVM (reterr says what is
 *            missing). A signal never makes a call fail: EINTR is retried.
 * Source:    Linux Documentation/virt/kvm/api.rst. */
#ifndef HYPERVISOR_BACKEND_VMM_KVM_H
#define HYPERVISOR_BACKEND_VMM_KVM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "hypervisor-backend/vmm/gmem.h"

struct kvm_cpuid2;

struct kvm {
    int sys_fd, vm_fd;
    size_t run_bytes;    /* of each vCPU's shared page */
    bool tsc_deadline;   /* the local APIC's timer can do that */
    unsigned max_routes; /* interrupt routing entries */
    unsigned max_vcpus;
};

/* KVM_RUN excepted: the result, or -errno. */
int kvm_ioctl(int fd, unsigned long request, void *arg) _must_check_;

/* dev_fd: an open /dev/kvm, taken over even on failure; -1 opens it. */
int kvm_open(struct kvm *k, int dev_fd, struct err *reterr) _must_check_;
void kvm_release(struct kvm *k);
int kvm_add_memory(struct kvm *k, const struct gmem *g,
                   struct err *reterr) _must_check_;
/* After the memory: what KVM has set up here makes each later change of its
 * memory wait for a grace period (6 ms of a start of 8 were measured). */
int kvm_add_irqchip(struct kvm *k, struct err *reterr) _must_check_;
/* What the processor and KVM can give to guests; free() it. It has room for
 * CPUID_SPARE more entries. */
int kvm_supported_cpuid(struct kvm *k, struct kvm_cpuid2 **ret) _must_check_;
/* While added, a guest's write at addr of any width signals the eventfd and
 * does not exit. */
int kvm_ioevent(struct kvm *k, uint64_t addr, int fd, bool add) _must_check_;

#endif
