/* hypervisor-backend/vmm/vm.h - one virtual machine, put together.
 * Role:      guest memory, KVM, bus, interrupts and the platform's own devices
 *            (serial port, clock, reset, power management, panic port) from a
 *            description; boot, run, pause, end. PCI and what is on it are
 *            added by the caller between vm_new() and vm_start(), through the
 *            accessors.
 * Ownership: descriptors in the config are borrowed for vm_new() and
 *            vm_boot() except kvm_fd, which is taken over; vm_free() ends all.
 *            Devices that the caller added must be freed after vm_stop() and
 *            before vm_free().
 * Threads:   one controlling thread; vm_ended(), vm_power_button() and
 *            statistics from any. Serial output and input belong to one
 *            thread (vm_serial()).
 * Errors:    negative errno with the reason.
 *
 *   new ─boot─► ready ─start─► running ◄─resume─ paused
 *                                 │  └───pause────►
 *                 guest or stop ─►ended
 *  A reset is an end, too: the caller makes a new VM, with nothing in it left
 *  of the old. */
#ifndef HYPERVISOR_BACKEND_VMM_VM_H
#define HYPERVISOR_BACKEND_VMM_VM_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "hypervisor-backend/vmm/bus.h"
#include "hypervisor-backend/vmm/end.h"
#include "hypervisor-backend/vmm/gmem.h"
#include "hypervisor-backend/vmm/irq.h"
#include "hypervisor-backend/vmm/kvm.h"
#include "hypervisor-backend/vmm/pm.h"
#include "hypervisor-backend/vmm/serial.h"
#include "hypervisor-backend/vmm/vcpu.h"

struct vm_config {
    unsigned cpus;         /* 1 … PLATFORM_MAX_CPUS */
    uint64_t memory_bytes; /* multiple of 1 MiB */
    struct gmem_options memory;
    int kvm_fd;    /* an open /dev/kvm; -1 opens it */
    int kernel_fd; /* regular files */
    int initrd_fd; /* -1: none */
    const char *cmdline;
    const char *cpu_model; /* of cpuid_model.h; NULL: everything of the host */
    bool pci; /* say in the ACPI tables that the host bridge is there */
};

struct vm;

int vm_new(const struct vm_config *cfg, struct vm **ret,
           struct err *reterr) _must_check_;
void vm_free(struct vm *vm);

/* What devices are built on. */
struct gmem *vm_gmem(struct vm *vm);
struct bus *vm_bus(struct vm *vm);
const struct irq *vm_irq(struct vm *vm);
struct kvm *vm_kvm(struct vm *vm);
struct serial *vm_serial(struct vm *vm);
struct pm *vm_pm(struct vm *vm);
const struct end_sink *vm_end_sink(struct vm *vm);

/* ACPI tables, kernel, initrd, registers. */
int vm_boot(struct vm *vm, const struct vm_config *cfg,
            struct err *reterr) _must_check_;
int vm_start(struct vm *vm, struct err *reterr) _must_check_;
void vm_pause(struct vm *vm);
void vm_resume(struct vm *vm);
/* The guest is asked by ACPI; whether and when it ends is its own. */
void vm_power_button(struct vm *vm);
/* Ends the run if nothing did before; returns when no vCPU runs. */
void vm_stop(struct vm *vm);

/* Readable when the run ended, when the serial port has output, or when it
 * has room for input again; vm_event_clear() before looking at either. */
int vm_event_fd(const struct vm *vm);
void vm_event_clear(struct vm *vm);
/* VM_END_NONE while it runs. */
enum vm_end vm_ended(const struct vm *vm);
const char *vm_end_name(enum vm_end e);

unsigned vm_cpus(const struct vm *vm);
void vm_vcpu_stats(struct vm *vm, unsigned i, struct vcpu_stats *ret);

#endif
