/* hypervisor-backend/vmm/ctl.h - `virga-vmm ctl`: asks a VM that runs.
 * Role:      words of the command line into one request of the control
 *            socket, with descriptors of the files it names; the result as
 *            JSON on standard output, errors with their field on standard
 *            error.
 * Threads:   the main thread. */
#ifndef HYPERVISOR_BACKEND_VMM_CTL_H
#define HYPERVISOR_BACKEND_VMM_CTL_H

/* argv from the socket on. The exit status: 0, 1 refused or failed, 2 usage. */
int ctl_main(int argc, char **argv);

#endif
