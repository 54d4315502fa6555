/* jaildir.c - the directory that becomes a VM's root; see jaildir.h. */
#include <config.h>

#include "hypervisor-backend/vmm-driver/jaildir.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "common/id.h"

#define ROOT_MODE 0711
#define VSOCK_NAME "vsock"
#define VSOCK_MODE 0711

/* No symbolic link, no way up, no other mount: all by the kernel, in one
 * walk (openat2(2)). */
static int
open_strictly(int at, const char *name, int flags)
{
    struct open_how how = {.flags =
                               (uint64_t)(unsigned)flags | O_CLOEXEC | O_NOCTTY,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
                                      RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV};
    int fd = (int)syscall(SYS_openat2, at, name, &how, sizeof(how));

    return fd < 0 ? -errno : fd;
}

static int
open_folder(int at, const char *name)
{
    return open_strictly(at, name, O_RDONLY | O_DIRECTORY);
}

/* A folder of root, or of `uid`, that nobody else can write; made if it is
 * missing, then given mode and owner. */
static int
make_folder(int at, const char *name, mode_t mode, uid_t uid, gid_t gid,
            int *ret_fd, struct err *reterr)
{
    int fd _cleanup_(closep) = -1;
    struct stat st;

    if (mkdirat(at, name, 0700) < 0 && errno != EEXIST)
        return err_errno(reterr, -errno, "jail directory %s", name);
    fd = open_folder(at, name);
    if (fd < 0)
        return err_errno(reterr, fd, "jail directory %s", name);
    if (fstat(fd, &st) < 0)
        return err_errno(reterr, -errno, "jail directory %s", name);
    if ((st.st_uid != 0 && st.st_uid != uid) ||
        (st.st_mode & (S_IWGRP | S_IWOTH)))
        return err_set(reterr, -EPERM, "forbidden",
                       "jail directory %s is another one's", name);
    if (fchown(fd, uid, gid) < 0 || fchmod(fd, mode) < 0)
        return err_errno(reterr, -errno, "jail directory %s", name);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int
check_id(const char *id, struct err *reterr)
{
    return id_valid(id) ? 0
                        : err_set(reterr, -EINVAL, "invalid",
                                  "jail directory: \"%.40s\" is no id", id);
}

int
jail_dir_prepare(int parent_fd, const char *id, uid_t uid, gid_t gid,
                 struct jail_dir *ret, struct err *reterr)
{
    int root _cleanup_(closep) = -1, vsock _cleanup_(closep) = -1;
    int r = check_id(id, reterr);

    if (r == 0)
        r = make_folder(parent_fd, id, ROOT_MODE, 0, 0, &root, reterr);
    if (r == 0)
        r = make_folder(root, VSOCK_NAME, VSOCK_MODE, uid, gid, &vsock, reterr);
    if (r < 0) {
        err_prefix(reterr, "VM %.40s", id);
        return r;
    }
    *ret = (struct jail_dir){TAKE_FD(root), TAKE_FD(vsock)};
    return 0;
}

void
jail_dir_release(struct jail_dir *d)
{
    closep(&d->root_fd);
    closep(&d->vsock_fd);
}

static int
check_file(int fd, const char *name, struct err *reterr)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_errno(reterr, -errno, "%s", name);
    if (!S_ISREG(st.st_mode))
        return err_set(reterr, -EPERM, "forbidden", "%s is no regular file",
                       name);
    if (st.st_nlink != 1)
        return err_set(reterr, -EMLINK, "forbidden",
                       "%s has %ju names: a hard link of another file?", name,
                       (uintmax_t)st.st_nlink);
    return 0;
}

int
jail_dir_chown(int fd, const char *name, uid_t uid, gid_t gid,
               struct err *reterr)
{
    struct stat st;
    int r = check_file(fd, name, reterr);

    if (r < 0)
        return r;
    if (fstat(fd, &st) < 0)
        return err_errno(reterr, -errno, "%s", name);
    if (st.st_uid != 0 && st.st_uid != uid)
        return err_set(reterr, -EPERM, "forbidden", "%s belongs to user %u",
                       name, (unsigned)st.st_uid);
    if (fchown(fd, uid, gid) < 0)
        return err_errno(reterr, -errno, "%s", name);
    return 0;
}

int
jail_dir_open(int dir_fd, const char *name, int flags, int *ret_fd,
              struct err *reterr)
{
    int fd _cleanup_(closep) = -1, r;

    /* Either would change what is there before it can be looked at. */
    if (flags & (O_CREAT | O_TRUNC))
        return err_set(reterr, -EINVAL, "invalid", "%s: wrong flags", name);
    /* Not to wait for the other end of a FIFO. */
    fd = open_strictly(dir_fd, name, flags | O_NONBLOCK);
    if (fd < 0)
        return err_errno(reterr, fd, "%s", name);
    r = check_file(fd, name, reterr);
    if (r < 0)
        return r;
    if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags & ~O_ACCMODE) < 0)
        return err_errno(reterr, -errno, "%s", name);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* Files and sockets; whatever else is in it makes its removal fail. */
static int
empty_folder(int fd)
{
    DIR *d _cleanup_(closedirp) = NULL;
    int own = dup(fd);
    struct dirent *e;

    if (own < 0)
        return -errno;
    d = fdopendir(own);
    if (!d) {
        close(own);
        return -ENOMEM;
    }
    while ((e = readdir(d)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            unlinkat(fd, e->d_name, 0) < 0 && errno != EISDIR &&
            errno != ENOENT)
            return -errno;
    return 0;
}

static int
remove_folder(int at, const char *name, const char *inner)
{
    int fd _cleanup_(closep) = open_folder(at, name), r;

    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    r = inner ? remove_folder(fd, inner, NULL) : 0;
    if (r == 0)
        r = empty_folder(fd);
    if (r == 0 && unlinkat(at, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        r = -errno;
    return r;
}

int
jail_dir_remove(int parent_fd, const char *id, struct err *reterr)
{
    int r = check_id(id, reterr);

    if (r < 0)
        return r;
    r = remove_folder(parent_fd, id, VSOCK_NAME);
    return r < 0 ? err_errno(reterr, r, "jail directory %s", id) : 0;
}
