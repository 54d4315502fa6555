/* fs.c - durable file helpers; see fs.h. */
#include <config.h>

#include "common/fs.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "common/mem.h"

int
fs_mkdirs(const char *path, struct err *reterr)
{
    char *copy _cleanup_(freep) = xstrdup(path);
    struct stat st;

    for (char *p = copy + 1;; p++) {
        char c = *p;

        if (c != '/' && c != '\0')
            continue;
        *p = '\0';
        if (mkdir(copy, 0700) < 0 && errno != EEXIST)
            return err_errno(reterr, -errno, "cannot make folder %s", copy);
        *p = c;
        if (c == '\0')
            break;
    }
    if (stat(path, &st) < 0)
        return err_errno(reterr, -errno, "cannot use folder %s", path);
    if (!S_ISDIR(st.st_mode))
        return err_errno(reterr, -ENOTDIR, "cannot use %s", path);
    return 0;
}

int
fs_read(const char *path, size_t cap, struct buf *ret, struct err *reterr)
{
    int fd _cleanup_(closep) = open(path, O_RDONLY | O_CLOEXEC);
    struct buf b = {0};

    if (fd < 0)
        return err_errno(reterr, -errno, "cannot open %s", path);
    for (;;) {
        size_t room = MIN(cap + 1 - b.len, (size_t)65536);
        ssize_t r = read(fd, buf_reserve(&b, room), room);

        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0) {
            int e = -errno;

            buf_release(&b);
            return err_errno(reterr, e, "cannot read %s", path);
        }
        if (r == 0)
            break;
        b.len += (size_t)r;
        if (b.len > cap) {
            buf_release(&b);
            return err_set(reterr, -EFBIG, "too_large",
                           "%s is larger than %zu bytes", path, cap);
        }
    }
    b.data[b.len] = '\0';
    buf_release(ret);
    *ret = b;
    return 0;
}

int
fs_write_all(int fd, const void *data, size_t n)
{
    const char *p = data;

    while (n) {
        ssize_t w = write(fd, p, n);

        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return -errno;
        p += w;
        n -= (size_t)w;
    }
    return 0;
}

int
fs_sync_dir(const char *path)
{
    int fd _cleanup_(closep) = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) < 0)
        return -errno;
    return 0;
}

int
fs_write_atomic(const char *path, const void *data, size_t n, mode_t mode,
                struct err *reterr)
{
    char *tmp _cleanup_(freep) = xasprintf("%s.tmp.%d", path, getpid());
    char *dir _cleanup_(freep) = xstrdup(path);
    char *slash = strrchr(dir, '/');
    int r = 0;

    int fd _cleanup_(closep) =
        open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0)
        return err_errno(reterr, -errno, "cannot create %s", tmp);
    r = fs_write_all(fd, data, n);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r == 0 && rename(tmp, path) < 0)
        r = -errno;
    if (r < 0) {
        unlink(tmp);
        return err_errno(reterr, r, "cannot write %s", path);
    }
    if (slash == dir)
        slash++; /* a file in the root folder */
    if (slash)
        *slash = '\0';
    r = fs_sync_dir(slash ? dir : ".");
    if (r < 0)
        return err_errno(reterr, r, "cannot sync the folder of %s", path);
    return 0;
}

static int
remove_at(int parent, const char *name)
{
    DIR *d _cleanup_(closedirp) = NULL;
    struct dirent *de;

    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    int fd =
        openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    d = fdopendir(fd);
    if (!d) {
        int e = -errno;

        close(fd);
        return e;
    }
    while ((de = readdir(d))) {
        if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
            continue;
        int r = remove_at(fd, de->d_name);
        if (r < 0)
            return r;
    }
    if (unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return -errno;
    return 0;
}

int
fs_remove_tree(const char *path, struct err *reterr)
{
    int r = remove_at(AT_FDCWD, path);

    if (r < 0)
        return err_errno(reterr, r, "cannot remove %s", path);
    return 0;
}

int
fs_lock(const char *path, int *ret_fd, struct err *reterr)
{
    int fd _cleanup_(closep) = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return err_errno(reterr, -errno, "cannot open %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EWOULDBLOCK)
            return err_set(reterr, -EBUSY, "in_use",
                           "%s is locked: another process uses this folder",
                           path);
        return err_errno(reterr, -errno, "cannot lock %s", path);
    }
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int
fs_free_bytes(const char *path, long long *ret)
{
    struct statvfs sv;

    if (statvfs(path, &sv) < 0)
        return -errno;
    *ret = (long long)sv.f_bavail * (long long)sv.f_frsize;
    return 0;
}
