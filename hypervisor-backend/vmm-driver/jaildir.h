/* hypervisor-backend/vmm-driver/jaildir.h - the directory that becomes a
 * VM's root, made and removed by its starter.
 * Role:      <parent>/<id>, owned by root, mode 0711, and in it the folder
 *            "vsock" of the VM's user for the sockets to which its guest may
 *            connect. jail_enter() makes the directory all that the VM sees.
 * Ownership: parent_fd is borrowed; descriptors in *ret belong to the caller
 *            (jail_dir_release).
 * Threads:   reentrant; one caller per id at a time.
 * Errors:    negative errno; reterr names the file. -ELOOP a symbolic link,
 *            -EMLINK a hard link, -EPERM a file of someone else, where one of
 *            ours must be; -EINVAL no id. Nothing is followed, opened or
 *            given away then.
 * Invariant: owner and mode change through descriptors only, and only of
 *            what was found to be ours: a folder of root or of the VM's user,
 *            or a regular file with one name. */
#ifndef HYPERVISOR_BACKEND_VMM_DRIVER_JAILDIR_H
#define HYPERVISOR_BACKEND_VMM_DRIVER_JAILDIR_H

#include <sys/types.h>

#include "common/err.h"

struct jail_dir {
    int root_fd;  /* the root; for jail_config.root_fd */
    int vsock_fd; /* its folder for sockets */
};

/* Makes it, or takes over what a former run of the same VM left. */
int jail_dir_prepare(int parent_fd, const char *id, uid_t uid, gid_t gid,
                     struct jail_dir *ret, struct err *reterr) _must_check_;
void jail_dir_release(struct jail_dir *d);

/* Gives the regular file behind fd (a disk, a console log) to the VM's user.
 * fd is open already; `name` is for the message. */
int jail_dir_chown(int fd, const char *name, uid_t uid, gid_t gid,
                   struct err *reterr) _must_check_;

/* Opens `name` below dir_fd: a regular file with one name, reached through
 * no symbolic link and no other mount. flags as for open(2), without
 * O_CREAT. */
int jail_dir_open(int dir_fd, const char *name, int flags, int *ret_fd,
                  struct err *reterr) _must_check_;

/* Removes the directory of a VM that is gone, and what is in it; none there
 * is success. */
int jail_dir_remove(int parent_fd, const char *id,
                    struct err *reterr) _must_check_;

#endif
