/* hypervisor-backend/vmm/vcpu.h - the virtual processors of one VM.
 * Role:      one thread each: runs the guest, takes its exits to the bus,
 *            tells the sink when the run ends. Pause, resume and stop for all
 *            together.
 * Ownership: vcpus_free() stops and joins; kvm, bus and sink are borrowed.
 * Threads:   pause, resume and stop from one controlling thread at a time,
 *            never from a vCPU's own; statistics from any.
 * Errors:    negative errno with the reason.
 *
 *      new ──start──► RUN ◄──resume── PAUSE
 *                      │ └───pause────►│
 *                      └──stop──► STOP ◄┘   (also by the sink's owner, with
 *                                            vcpus_request_stop()) */
#ifndef HYPERVISOR_BACKEND_VMM_VCPU_H
#define HYPERVISOR_BACKEND_VMM_VCPU_H

#include <stdint.h>

#include "common/err.h"
#include "hypervisor-backend/vmm/boot.h"
#include "hypervisor-backend/vmm/bus.h"
#include "hypervisor-backend/vmm/end.h"
#include "hypervisor-backend/vmm/kvm.h"

enum vcpu_exit {
    VCPU_EXIT_PIO,
    VCPU_EXIT_MMIO,
    VCPU_EXIT_HALT,
    VCPU_EXIT_KICK, /* to be paused or stopped, or a signal of the host */
    VCPU_EXIT_SHUTDOWN,
    VCPU_EXIT_ERROR,
    VCPU_EXIT_OTHER,
    VCPU_EXITS,
};
const char *vcpu_exit_name(enum vcpu_exit e);

struct vcpu_stats {
    uint64_t exits[VCPU_EXITS];
    uint64_t unclaimed; /* accesses that nobody answered */
    uint64_t guest_ns;  /* in KVM_RUN, waiting for interrupts included */
    uint64_t vmm_ns;    /* between */
};

struct vcpus;

struct vcpus_options {
    unsigned n;
    const char *cpu_model; /* of cpuid_model.h; NULL: host */
};

int vcpus_new(struct kvm *k, struct bus *bus, const struct end_sink *sink,
              const struct vcpus_options *o, struct vcpus **ret,
              struct err *reterr) _must_check_;
void vcpus_free(struct vcpus *v);
/* Registers of the first; the others wait for it to start them. */
int vcpus_boot(struct vcpus *v, const struct boot_entry *entry,
               struct err *reterr) _must_check_;
int vcpus_start(struct vcpus *v, struct err *reterr) _must_check_;
/* Returns when no vCPU runs; nothing if they are stopped. */
void vcpus_pause(struct vcpus *v);
void vcpus_resume(struct vcpus *v);
/* Asks only; from any thread, also a vCPU's own. */
void vcpus_request_stop(struct vcpus *v);
/* And waits for the threads to end. */
void vcpus_stop(struct vcpus *v);
unsigned vcpus_count(const struct vcpus *v);
void vcpus_stats(struct vcpus *v, unsigned i, struct vcpu_stats *ret);

#endif
