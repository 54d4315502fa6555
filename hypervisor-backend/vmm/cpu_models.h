/* hypervisor-backend/vmm/cpu_models.h - `virga-vmm cpu-models`.
 * Role:      prints a line for each named processor model: the name, "yes" or
 *            "no" for whether this host can be one, what it is, and in
 *            brackets what the host lacks for it.
 * Threads:   the main thread.
 * Errors:    on standard error. */
#ifndef HYPERVISOR_BACKEND_VMM_CPU_MODELS_H
#define HYPERVISOR_BACKEND_VMM_CPU_MODELS_H

/* argc: words behind the command. The exit status: 0, 1 failed, 2 usage. */
int cpu_models_main(int argc);

#endif
