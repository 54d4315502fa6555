/* hypervisor-backend/vmm/be_tap.h - opens a tap by name.
 * Role:      for programs that run a VM by themselves; an agent opens taps
 *            and passes the descriptor.
 * Ownership: the caller gets the descriptor.
 * Threads:   reentrant.
 * Errors:    -EINVAL name, else of /dev/net/tun; reterr says which. */
#ifndef HYPERVISOR_BACKEND_VMM_BE_TAP_H
#define HYPERVISOR_BACKEND_VMM_BE_TAP_H

#include "common/err.h"

/* Makes the interface if it is not there (needs CAP_NET_ADMIN). */
int be_tap_open(const char *name, int *ret_fd, struct err *reterr) _must_check_;

#endif
