/* disk.c - root disks by qemu-img; see disk.h. Formats are always named: a
 * guest writes its disk's first bytes, and probing would let it choose what
 * the host takes the file for. */
#include <config.h>

#include "agentd/disk.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "common/fs.h"
#include "common/mem.h"
#include "common/proc.h"

#define CREATE_MS 120000
/* A copy of a whole disk. */
#define CONVERT_MS 1800000

static int
create_overlay(const char *path, const char *base_path,
               const struct api_image_part *b, int64_t size_bytes,
               struct err *reterr)
{
    char size[32];
    const char *argv[16];
    size_t n = 0;

    snprintf(size, sizeof(size), "%" PRId64, size_bytes);
    argv[n++] = "qemu-img";
    argv[n++] = "create";
    argv[n++] = "-q";
    argv[n++] = "-f";
    argv[n++] = "qcow2";
    if (b) {
        argv[n++] = "-F";
        argv[n++] = api_format_names[b->format];
        argv[n++] = "-b";
        argv[n++] = base_path;
    }
    argv[n++] = "--";
    argv[n++] = path;
    argv[n++] = size;
    argv[n] = NULL;
    return proc_run(argv, CREATE_MS, NULL, reterr);
}

/* Holes stay holes. */
static int
convert(const char *from, enum api_format from_format, const char *to,
        enum api_format to_format, struct err *reterr)
{
    const char *argv[] = {"qemu-img",
                          "convert",
                          "-q",
                          "-f",
                          api_format_names[from_format],
                          "-O",
                          api_format_names[to_format],
                          "--",
                          from,
                          to,
                          NULL};

    return proc_run(argv, CONVERT_MS, NULL, reterr);
}

static int
grow(const char *path, int64_t size_bytes, struct err *reterr)
{
    int fd _cleanup_(closep) =
        open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0 ||
        (st.st_size < size_bytes && ftruncate(fd, size_bytes) < 0))
        return err_errno(reterr, -errno, "cannot make %s", path);
    return 0;
}

/* Shares the base's blocks where the file system can; -EOPNOTSUPP and the
 * like where not. */
static int
reflink(const char *from, const char *to)
{
    int in _cleanup_(closep) = open(from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int out _cleanup_(closep) =
        open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (in < 0 || out < 0 || ioctl(out, FICLONE, in) < 0)
        return -errno;
    return 0;
}

static int
create_raw(const char *path, const char *base_path,
           const struct api_image_part *b, int64_t size_bytes,
           struct err *reterr)
{
    int r = 0;

    if (b && (b->format != FORMAT_RAW || reflink(base_path, path) < 0))
        r = convert(base_path, b->format, path, FORMAT_RAW, reterr);
    return r < 0 ? r : grow(path, size_bytes, reterr);
}

static int
sync_file(const char *path)
{
    int fd _cleanup_(closep) = open(path, O_RDONLY | O_CLOEXEC);

    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* qemu-img tells why in words only. */
static int
classify(int r, struct err *e)
{
    char words[sizeof(e->message)];

    snprintf(words, sizeof(words), "%s", e->message);
    if (r == -ENOSPC || strstr(words, strerrordesc_np(ENOSPC)) ||
        strstr(words, strerrordesc_np(EDQUOT)))
        return err_set(e, -ENOSPC, "no_space",
                       "the node has no room for the disk: %s", words);
    return err_set(e, -EIO, "disk_failed", "cannot make the disk: %s", words);
}

static int
exists(const char *path, struct err *reterr)
{
    struct stat st;

    if (lstat(path, &st) == 0)
        return 1;
    if (errno != ENOENT)
        return err_errno(reterr, -errno, "cannot look at %s", path);
    return 0;
}

static int
remove_file(const char *path, struct err *reterr)
{
    if (unlink(path) < 0 && errno != ENOENT)
        return err_errno(reterr, -errno, "cannot remove %s", path);
    return 0;
}

struct making {
    const char *dir, *path, *tmp;
    const char *other; /* the same disk in the other format, or NULL */
    enum api_format format;
    const char *base_path;
    const struct api_image_part *base;
    int64_t size_bytes;
};

static int
check_size(struct making *m, struct err *reterr)
{
    if (m->other)
        return 0; /* it has the size that it has */
    if (m->base && m->size_bytes == 0)
        m->size_bytes = m->base->virtual_bytes;
    if (m->base && m->size_bytes < m->base->virtual_bytes)
        return err_set(reterr, -EINVAL, "disk_too_small",
                       "the image's disk has %" PRId64 " bytes, the "
                       "instance's only %" PRId64,
                       m->base->virtual_bytes, m->size_bytes);
    return 0;
}

static int
make(const struct making *m, struct err *reterr)
{
    /* What a crash has left half-made. */
    int r = remove_file(m->tmp, reterr);

    if (r < 0)
        return r;
    if (m->other)
        r = convert(m->other,
                    m->format == FORMAT_RAW ? FORMAT_QCOW2 : FORMAT_RAW, m->tmp,
                    m->format, reterr);
    else if (m->format == FORMAT_RAW)
        r = create_raw(m->tmp, m->base_path, m->base, m->size_bytes, reterr);
    else
        r = create_overlay(m->tmp, m->base_path, m->base, m->size_bytes,
                           reterr);
    if (r < 0)
        return r;
    r = sync_file(m->tmp);
    if (r == 0 && rename(m->tmp, m->path) < 0)
        r = -errno;
    if (r == 0)
        r = fs_sync_dir(m->dir);
    return r < 0 ? err_errno(reterr, r, "cannot write %s", m->path) : 0;
}

int
disk_ensure(const char *dir, enum api_format format, const char *base_path,
            const struct api_image_part *base, int64_t size_bytes,
            char **ret_path, struct err *reterr)
{
    enum api_format other_format =
        format == FORMAT_RAW ? FORMAT_QCOW2 : FORMAT_RAW;
    char *path _cleanup_(freep) =
        xasprintf("%s/" DISK_FILE "%s", dir, api_format_names[format]);
    char *other _cleanup_(freep) =
        xasprintf("%s/" DISK_FILE "%s", dir, api_format_names[other_format]);
    char *tmp _cleanup_(freep) = xasprintf("%s.tmp", path);
    struct making m = {.dir = dir,
                       .path = path,
                       .tmp = tmp,
                       .format = format,
                       .base_path = base_path,
                       .base = base,
                       .size_bytes = size_bytes};
    struct err why _cleanup_(err_release) = {0};
    int here = exists(path, reterr);
    int there = here < 0 ? here : exists(other, reterr);

    if (there < 0)
        return there;
    if (!here) {
        m.other = there ? other : NULL;
        int r = check_size(&m, reterr);
        if (r < 0)
            return r;
        r = make(&m, &why);
        if (r < 0) {
            if (unlink(tmp) < 0 && errno != ENOENT)
                err_prefix(&why, "(%s stays: %s)", tmp, strerrordesc_np(errno));
            r = classify(r, &why);
            err_move(reterr, &why);
            return r;
        }
    }
    /* Before it can be taken for the newer one of the two. */
    if (there) {
        int r = remove_file(other, reterr);
        if (r < 0)
            return r;
    }
    *ret_path = TAKE_PTR(path);
    return 0;
}
