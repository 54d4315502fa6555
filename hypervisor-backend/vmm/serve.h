/* hypervisor-backend/vmm/serve.h - one VM from a description on a descriptor.
 * Role:      reads it, checks what it names, shuts the jail, runs the VM,
 *            writes the end record.
 * Ownership: the descriptor and all that the description names are closed.
 * Threads:   the main thread, which is the only one then.
 * Errors:    negative errno with the reason and the field; the end record
 *            says the same if it could be written. */
#ifndef HYPERVISOR_BACKEND_VMM_SERVE_H
#define HYPERVISOR_BACKEND_VMM_SERVE_H

#include "common/err.h"
#include "hypervisor-backend/vmm/end.h"

int serve(int fd, enum vm_end *ret, struct err *reterr) _must_check_;

#endif
