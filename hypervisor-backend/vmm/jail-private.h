/* hypervisor-backend/vmm/jail-private.h - the steps of jail_enter() that have
 * files of their own.
 * Role:      the root (jail_root.c) and Landlock (jail_landlock.c).
 * Ownership: *ret_tree is the caller's.
 * Threads:   a process with one thread.
 * Errors:    negative errno; the message names the step. */
#ifndef HYPERVISOR_BACKEND_VMM_JAIL_PRIVATE_H
#define HYPERVISOR_BACKEND_VMM_JAIL_PRIVATE_H

#include <stdbool.h>

#include "common/err.h"

/* A mount of the directory alone, attached nowhere yet. */
int jail_clone_root(int root_fd, int *ret_tree,
                    struct err *reterr) _must_check_;
/* In a mount namespace of its own: makes `tree` all that there is. */
int jail_pivot(int tree, struct err *reterr) _must_check_;
/* No file can be opened, no TCP port used, no process outside be signalled,
 * no abstract socket be reached; as far as the kernel can. */
int jail_landlock(struct err *reterr) _must_check_;

/* Whether jail_enter() was passed. */
bool jail_entered(void);

#endif
