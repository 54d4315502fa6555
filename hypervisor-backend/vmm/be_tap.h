/* hypervisor-backend/vmm/be_tap.h - taps: opened by name, and looked after.
 * Role:      opening is for programs that run a VM by themselves; an agent
 *            opens taps and passes descriptors. The rest is what a network
 *            device asks of the descriptor of one queue.
 * Ownership: the caller gets, or has, the descriptors.
 * Threads:   reentrant.
 * Errors:    -EINVAL name or kind of descriptor, else errno of /dev/net/tun;
 *            reterr says which. */
#ifndef HYPERVISOR_BACKEND_VMM_BE_TAP_H
#define HYPERVISOR_BACKEND_VMM_BE_TAP_H

#include <stdbool.h>

#include "common/err.h"

/* Makes the interface if it is not there (needs CAP_NET_ADMIN). */
int be_tap_open(const char *name, int *ret_fd, struct err *reterr) _must_check_;
/* n descriptors of one interface, for n queue pairs; all or none. */
int be_tap_open_queues(const char *name, unsigned n, int *ret_fds,
                       struct err *reterr) _must_check_;

/* Whether fd is a tap, one of several queues if `several`, that carries
 * frames behind virtio-net headers; a tap of another kind is -EINVAL. A queue
 * that was detached is attached. */
int be_tap_check(int fd, bool several, bool *ret_is_tap) _must_check_;
/* Bytes of the header in front of each frame; for all queues. */
int be_tap_set_header(int fd, int bytes) _must_check_;
/* TUN_F_*: what may come from the tap; for all queues. */
int be_tap_set_offload(int fd, unsigned flags) _must_check_;
/* Whether frames for the guest come by this queue, too. */
int be_tap_attach(int fd, bool on) _must_check_;

#endif
