/* jail_root.c - the only mount that a VM's process has; see jail-private.h.
 * No path takes part: the directory is a descriptor, cloned by open_tree(2),
 * put on top of "/" by move_mount(2), and what was below is let go. */
#include <config.h>

#include "hypervisor-backend/vmm/jail-private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

static int
clone_tree(int dir_fd, int *ret)
{
    int fd = open_tree(dir_fd, "",
                       OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

    if (fd < 0)
        return -errno;
    *ret = fd;
    return 0;
}

static int
put_on_top(int tree)
{
    return move_mount(tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0
               ? -errno
               : 0;
}

int
jail_clone_root(int root_fd, int *ret_tree, struct err *reterr)
{
    struct mount_attr attr = {
        .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                    MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW,
        .propagation = MS_PRIVATE};
    int fd _cleanup_(closep) = -1;
    int r = clone_tree(root_fd, &fd);

    if (r < 0)
        return err_errno(reterr, r, "jail: mount of the root directory");
    if (mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return err_errno(reterr, -errno, "jail: options of the root mount");
    *ret_tree = TAKE_FD(fd);
    return 0;
}

/* pivot_root(2) wants the old root attached to something. The first root of a
 * kernel (an initramfs that was never left) is not: a mount of it on top of
 * itself is. What stays below all in such a namespace has no path and no
 * descriptor that leads there. */
static int
leave_rootfs(struct err *reterr)
{
    int root _cleanup_(closep) = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int top _cleanup_(closep) = -1;
    int r;

    if (root < 0)
        return err_errno(reterr, -errno, "jail: the host's root");
    r = clone_tree(root, &top);
    if (r == 0)
        r = put_on_top(top);
    if (r < 0)
        return err_errno(reterr, r, "jail: a mount of the host's root");
    if (fchdir(top) < 0 || chroot(".") < 0)
        return err_errno(reterr, -errno, "jail: into the host's root");
    return 0;
}

static int
is_rootfs(void)
{
    struct statfs fs;

    if (statfs("/", &fs) < 0)
        return -errno;
    return fs.f_type == RAMFS_MAGIC || fs.f_type == TMPFS_MAGIC;
}

/* The old root lands on top of the new one, where "." still is. */
static int
pivot(int tree)
{
    int r = put_on_top(tree);

    if (r < 0)
        return r;
    if (fchdir(tree) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
        return -errno;
    return 0;
}

/* Down from the top again, to come after what must be below it. A mount that
 * was taken down cannot be put up again: a clone of it can. */
static int
pivot_in_rootfs(int tree, struct err *reterr)
{
    int again _cleanup_(closep) = -1;
    int r = clone_tree(tree, &again);

    if (r < 0)
        return err_errno(reterr, r, "jail: second mount of the root directory");
    if (umount2(".", MNT_DETACH) < 0)
        return err_errno(reterr, -errno, "jail: first root mount");
    r = leave_rootfs(reterr);
    if (r < 0)
        return r;
    r = pivot(again);
    return r < 0 ? err_errno(reterr, r, "jail: pivot_root in an initramfs") : 0;
}

int
jail_pivot(int tree, struct err *reterr)
{
    int r;

    /* Before anything is mounted: no other namespace may get it. */
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return err_errno(reterr, -errno, "jail: private mounts");
    r = pivot(tree);
    if (r == -EINVAL && is_rootfs() > 0)
        r = pivot_in_rootfs(tree, reterr);
    else if (r < 0)
        err_errno(reterr, r, "jail: pivot_root");
    if (r < 0)
        return r;
    if (umount2(".", MNT_DETACH) < 0)
        return err_errno(reterr, -errno, "jail: detaching the old root");
    if (chdir("/") < 0)
        return err_errno(reterr, -errno, "jail: working directory");
    return 0;
}
