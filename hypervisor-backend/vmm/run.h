/* hypervisor-backend/vmm/run.h - one VM from its description to its end.
 * Role:      builds it, runs it over resets, serves its console (terminal,
 *            log, control clients), its control socket and signals, all from
 *            one thread and one wait.
 *            A terminal on `in` is raw meanwhile, and as before afterwards;
 *            Ctrl-] on it stops the VM.
 * Ownership: the spec's control socket is taken over; the rest is borrowed.
 * Threads:   the main thread. SIGTERM and SIGINT press the power button, the
 *            second one stops; SIGHUP stops.
 * Errors:    negative errno with the reason when the VM did not start.
 *
 *   build ─► running ◄─► paused
 *     ▲         └─────┬─────┘
 *     │       reset   ▼ any other end, or reset with on_reset "exit"
 *     └──(rest)──── ended ──► done
 *  A guest that resets again and again at once has to rest in between. */
#ifndef HYPERVISOR_BACKEND_VMM_RUN_H
#define HYPERVISOR_BACKEND_VMM_RUN_H

#include "hypervisor-backend/vmm/spec.h"
#include "hypervisor-backend/vmm/vm.h"

struct run_io {
    int in, out;         /* console; -1: none */
    int signals;         /* run_signals() */
    const char *metrics; /* file for counters at the end, or NULL */
};

/* Blocks the signals above for all threads to come and returns a descriptor
 * that reads them. */
int run_signals(void) _must_check_;
/* Returns how the VM ended; no vCPU runs then, and all its output is
 * written. */
int run_vm(struct spec *s, const struct run_io *io, enum vm_end *ret,
           struct err *reterr) _must_check_;

#endif
