/* hypervisor-backend/vmm/jail.h - what a VM's process may still do once a
 * guest runs in it: use its descriptors, and nothing else of the machine.
 * Role:      jail_enter() once, in the single-threaded process, by root, with
 *            every descriptor open; then jail_seccomp(JAIL_THREAD_MAIN) when
 *            all that only a start needs is done. Threads that are made later
 *            narrow their filter by jail_thread() as their first act.
 * Ownership: the configuration and its lists are borrowed. jail_enter()
 *            closes root_fd and every descriptor that is not in keep_fds.
 * Threads:   jail_enter() in a process with one thread; the others apply to
 *            the calling thread and to those that it makes.
 * Errors:    negative errno; the message names the step. After a failure the
 *            process is half jailed: the caller must exit.
 * Source:    namespaces(7), pivot_root(2), mount_setattr(2),
 *            capabilities(7), landlock(7), seccomp(2).
 *
 * A thread has the filters of the thread that made it, and its own: main's
 * filter therefore allows what any kind needs (seccomp-gen.c). A call that a
 * filter does not allow ends the process by SIGSYS.
 *
 * What is left after jail_enter(): namespaces of its own (mount, net with a
 * loopback that is down, ipc, uts, cgroup; pid is the starter's part), the
 * directory root_fd as the only mount, read-only, nosuid, nodev, noexec; no
 * capability in any set, and none to be had again; no file can be opened and
 * no TCP port be used where the kernel has Landlock; connect(2) to a unix
 * socket in the directory works (vsock needs it). */
#ifndef HYPERVISOR_BACKEND_VMM_JAIL_H
#define HYPERVISOR_BACKEND_VMM_JAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"

struct jail_config {
    int root_fd; /* a directory of root that only root can change */
    uid_t uid;   /* neither is 0 */
    gid_t gid;
    const char *hostname; /* NULL: "vm" */
    /* Guest memory, for the limit on address space; 0: no such limit. */
    uint64_t memory_bytes;
    /* Descriptors that stay, in any order; a directory or an O_PATH one among
     * them is refused: it would lead out of the jail. 0 to 2 are closed as
     * well unless they are in it. */
    const int *keep_fds;
    size_t n_keep_fds;
    unsigned max_fds; /* RLIMIT_NOFILE; 0: 1024 */
    /* The process must be the first of its pid namespace; false only for
     * whoever has another way to hide the machine's processes. */
    bool need_pid_namespace;
};

int jail_enter(const struct jail_config *c, struct err *reterr) _must_check_;

enum jail_thread {
    JAIL_THREAD_MAIN, /* life cycle, control socket; rebuilds the VM */
    JAIL_THREAD_VCPU, /* KVM_RUN and the devices' registers */
    JAIL_THREAD_IO,   /* disks, NICs, vsock, timers */
    JAIL_THREADS
};

/* Puts the calling thread under the filter of its kind, for good. */
int jail_seccomp(enum jail_thread kind, struct err *reterr) _must_check_;

/* The first act of a new thread: its filter if jail_enter() was passed, and
 * nothing in a process without a jail. Ends the process when the filter
 * cannot be had: no guest may run outside it. */
void jail_thread(enum jail_thread kind);

#endif
