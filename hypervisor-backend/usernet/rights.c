/* rights.c - virga-usernet gives up its rights; see usernet.h.
 * It still may open sockets, which is all that it is for. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/fs.h"
#include "hypervisor-backend/usernet/usernet.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define RESOLV_MAX (64u << 10)
/* Each of the guest's connections is a descriptor and up to 256 KiB of
 * buffers. */
#define MAX_FILES 256u
/* The last resort: usernet.c keeps far below. */
#define MAX_ADDRESS_SPACE (UINT64_C(1) << 30)

static int
move_fd(int *fd, int to, struct err *reterr)
{
    if (*fd != to && dup3(*fd, to, O_CLOEXEC) < 0)
        return err_errno(reterr, -errno, "descriptor %d", *fd);
    *fd = to;
    return 0;
}

/* Whatever else our parent left open is not for us. */
static int
keep_only(int *fd, int *statm, struct err *reterr)
{
    int r;

    /* Neither may be in the other's place. */
    *statm = fcntl(*statm, F_DUPFD_CLOEXEC, 10);
    if (*statm < 0)
        return err_errno(reterr, -errno, "/proc/self/statm");
    r = move_fd(fd, 3, reterr);
    if (r == 0)
        r = move_fd(statm, 4, reterr);
    if (r == 0 && close_range(5, ~0U, 0) < 0)
        r = err_errno(reterr, -errno, "closing descriptors");
    return r;
}

static int
put_file(int root, const char *path, const struct buf *b, struct err *reterr)
{
    int fd _cleanup_(closep) =
        openat(root, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    int r = fd < 0 ? -errno : fs_write_all(fd, b->data, b->len);

    return r < 0 ? err_errno(reterr, r, "%s in the new root", path) : 0;
}

static int
fill_root(int root, struct err *reterr)
{
    struct buf b _cleanup_(buf_release) = {0};
    int r;

    r = fs_read(RESOLV_CONF, RESOLV_MAX, &b, reterr);
    /* Without one there is no name server to forward to. */
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return r;
    if (mkdirat(root, "etc", 0755) < 0)
        return err_errno(reterr, -errno, "etc in the new root");
    return put_file(root, RESOLV_CONF + 1, &b, reterr);
}

/* A file system in memory that is mounted nowhere and holds a copy of the
 * name servers' addresses becomes the root; it goes away with us. */
static int
enter_empty_root(struct err *reterr)
{
    int fs _cleanup_(closep) = fsopen("tmpfs", FSOPEN_CLOEXEC);
    int root _cleanup_(closep) = -1;
    int r;

    if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "size", "256k", 0) < 0 ||
        fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0755", 0) < 0 ||
        fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return err_errno(reterr, -errno, "a root of its own");
    root = fsmount(fs, FSMOUNT_CLOEXEC,
                   MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (root < 0)
        return err_errno(reterr, -errno, "a root of its own");
    r = fill_root(root, reterr);
    if (r < 0)
        return r;
    if (fchdir(root) < 0 || chroot(".") < 0)
        return err_errno(reterr, -errno, "entering a root of its own");
    return 0;
}

static int
set_limit(int what, rlim_t value, struct err *reterr)
{
    struct rlimit l;

    if (getrlimit((__rlimit_resource_t)what, &l) < 0)
        return err_errno(reterr, -errno, "resource limit");
    l.rlim_max = l.rlim_max < value ? l.rlim_max : value;
    l.rlim_cur = l.rlim_max;
    return setrlimit((__rlimit_resource_t)what, &l) < 0
               ? err_errno(reterr, -errno, "resource limit")
               : 0;
}

static int
set_limits(struct err *reterr)
{
    int r = set_limit(RLIMIT_NOFILE, MAX_FILES, reterr);

    if (r == 0)
        r = set_limit(RLIMIT_CORE, 0, reterr);
        /* It starts neither processes nor threads. Sanitizers start one, and
         * map terabytes. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    if (r == 0)
        r = set_limit(RLIMIT_NPROC, 0, reterr);
    if (r == 0)
        r = set_limit(RLIMIT_AS, MAX_ADDRESS_SPACE, reterr);
#endif
    return r;
}

static int
drop_capabilities(struct err *reterr)
{
    struct __user_cap_header_struct h = {.version =
                                             _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {0}, now[2] = {0};

    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
        syscall(SYS_capset, &h, none) < 0 || syscall(SYS_capget, &h, now) < 0)
        return err_errno(reterr, -errno, "dropping capabilities");
    if (now[0].effective | now[1].effective | now[0].permitted |
        now[1].permitted)
        return err_set(reterr, -EPERM, "denied",
                       "capabilities stayed after they were dropped");
    return 0;
}

/* Ours to drop only while we have CAP_SETPCAP. */
static int
drop_bounding(struct err *reterr)
{
    for (unsigned long c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++)
        if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0) {
            if (errno == EPERM)
                return 0;
            return err_errno(reterr, -errno, "dropping capability %lu", c);
        }
    return 0;
}

int
usernet_drop_rights(const struct usernet_rights *want, int *fd, int *statm,
                    struct err *reterr)
{
    int r;

    r = keep_only(fd, statm, reterr);
    if (r == 0 && want->change)
        r = enter_empty_root(reterr);
    if (r == 0)
        r = drop_bounding(reterr);
    if (r < 0)
        return r;
    if (want->change && (setgroups(0, NULL) < 0 ||
                         setresgid(want->gid, want->gid, want->gid) < 0 ||
                         setresuid(want->uid, want->uid, want->uid) < 0))
        return err_errno(reterr, -errno, "changing user and group");
    r = drop_capabilities(reterr);
    if (r < 0)
        return r;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_errno(reterr, -errno, "giving up privileges");
    return set_limits(reterr);
}
