/* hypervisor-backend/vmm/run.h - one VM from start to end, at a terminal.
 * Role:      the console on two descriptors, signals, and the guest's end.
 *            A terminal on `in` is raw meanwhile, and as before afterwards;
 *            Ctrl-] on it stops the VM.
 * Threads:   the main thread. SIGTERM and SIGINT press the power button, the
 *            second one stops; SIGHUP stops.
 * Errors:    negative errno with the reason when the VM did not start. */
#ifndef HYPERVISOR_BACKEND_VMM_RUN_H
#define HYPERVISOR_BACKEND_VMM_RUN_H

#include "hypervisor-backend/vmm/vm.h"

struct run_io {
    int in, out;
    int signals;    /* run_signals(); kept over several runs */
    unsigned asked; /* how often we were asked to end */
};

/* Blocks the signals above for all threads to come and returns a descriptor
 * that reads them. */
int run_signals(void) _must_check_;
/* Starts a VM that was booted and returns how it ended; no vCPU runs then,
 * and all its output is written. */
int run_vm(struct vm *vm, struct run_io *io, enum vm_end *ret,
           struct err *reterr) _must_check_;

#endif
