/* disk.c - root disks by qemu-img; see disk.h. Formats are always named: a
 * guest writes its disk's first bytes, and probing would let it choose what
 * the host takes the file for. */
#include <config.h>

#include "agentd/disk.h"

#include <dirent.h>
#include <endian.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "common/count.h"
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
classify(int r, const char *what, struct err *e)
{
    char words[sizeof(e->message)];

    snprintf(words, sizeof(words), "%s", e->message);
    if (r == -ENOSPC || strstr(words, strerrordesc_np(ENOSPC)) ||
        strstr(words, strerrordesc_np(EDQUOT)))
        return err_set(e, -ENOSPC, "no_space",
                       "the node has no room to %s the disk: %s", what, words);
    return err_set(e, -EIO, "disk_failed", "cannot %s the disk: %s", what,
                   words);
}

static int
remove_file(const char *path, struct err *reterr)
{
    if (unlink(path) < 0 && errno != ENOENT)
        return err_errno(reterr, -errno, "cannot remove %s", path);
    return 0;
}

struct making {
    const struct disk_spec *spec;
    const char *path, *tmp;
    const char *other; /* the same disk in the other format, or NULL */
    int64_t size_bytes;
};

static enum api_format
other_format(enum api_format format)
{
    return format == FORMAT_RAW ? FORMAT_QCOW2 : FORMAT_RAW;
}

static int
check_size(struct making *m, struct err *reterr)
{
    const struct api_image_part *base = m->spec->base;

    if (base && m->size_bytes == 0)
        m->size_bytes = base->virtual_bytes;
    if (base && m->size_bytes < base->virtual_bytes)
        return err_set(reterr, -EINVAL, "disk_too_small",
                       "the image's disk has %" PRId64 " bytes, the "
                       "instance's only %" PRId64,
                       base->virtual_bytes, m->size_bytes);
    return 0;
}

static int
make(const struct making *m, struct err *reterr)
{
    const struct disk_spec *s = m->spec;
    /* What a crash has left half-made. */
    int r = remove_file(m->tmp, reterr);

    if (r < 0)
        return r;
    if (m->other)
        r = convert(m->other, other_format(s->format), m->tmp, s->format,
                    reterr);
    else if (s->format == FORMAT_RAW)
        r = create_raw(m->tmp, s->base_path, s->base, m->size_bytes, reterr);
    else
        r = create_overlay(m->tmp, s->base_path, s->base, m->size_bytes,
                           reterr);
    if (r < 0)
        return r;
    r = sync_file(m->tmp);
    if (r == 0 && rename(m->tmp, m->path) < 0)
        r = -errno;
    if (r == 0)
        r = fs_sync_dir(s->dir);
    return r < 0 ? err_errno(reterr, r, "cannot write %s", m->path) : 0;
}

static int
make_or_nothing(const struct making *m, struct err *reterr)
{
    struct err why _cleanup_(err_release) = {0};
    int r = make(m, &why);

    if (r == 0)
        return 0;
    if (unlink(m->tmp) < 0 && errno != ENOENT)
        err_prefix(&why, "(%s stays: %s)", m->tmp, strerrordesc_np(errno));
    r = classify(r, "make", &why);
    err_move(reterr, &why);
    return r;
}

/* ---- growing ---- */

/* Of a file that qemu-img made: what a guest writes is not in its header. */
static int
qcow2_size(const char *path, int64_t *ret, struct err *reterr)
{
    int fd _cleanup_(closep) = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    unsigned char h[32];
    uint64_t size;
    ssize_t n = fd < 0 ? -1 : pread(fd, h, sizeof(h), 0);
    if (n < 0)
        return err_errno(reterr, -errno, "cannot read %s", path);
    if (n != (ssize_t)sizeof(h) || memcmp(h, "QFI\xfb", 4) != 0)
        return err_set(reterr, -EIO, "disk_failed", "%s is not a qcow2 file",
                       path);
    memcpy(&size, h + 24, sizeof(size));
    size = be64toh(size);
    *ret = size > INT64_MAX ? INT64_MAX : (int64_t)size;
    return 0;
}

static int
grow_qcow2(const char *path, int64_t size_bytes, struct err *reterr)
{
    char size[32];
    const char *argv[] = {"qemu-img", "resize", "-q", "-f", "qcow2",
                          "--",       path,     size, NULL};
    int64_t now = 0;
    int r = qcow2_size(path, &now, reterr);

    if (r < 0 || now >= size_bytes)
        return r;
    snprintf(size, sizeof(size), "%" PRId64, size_bytes);
    r = proc_run(argv, CREATE_MS, NULL, reterr);
    if (r == 0 && (r = sync_file(path)) < 0)
        err_errno(reterr, r, "cannot write %s", path);
    return r;
}

static int
grow_disk(const struct disk_spec *s, const char *path, struct err *reterr)
{
    struct err why _cleanup_(err_release) = {0};
    int r = s->format == FORMAT_RAW ? grow(path, s->size_bytes, &why)
                                    : grow_qcow2(path, s->size_bytes, &why);

    if (r < 0) {
        r = classify(r, "grow", &why);
        err_move(reterr, &why);
    }
    return r;
}

/* ---- epochs ---- */

static char *
disk_path(const struct disk_spec *s, enum api_format format, int64_t epoch)
{
    if (epoch == 0)
        return xasprintf("%s/" DISK_FILE ".%s", s->dir,
                         api_format_names[format]);
    return xasprintf("%s/" DISK_FILE "-%" PRId64 ".%s", s->dir, epoch,
                     api_format_names[format]);
}

/* What a name in the folder stands for. tmp: a disk that never became one. */
static bool
parse_name(const char *name, int64_t *ret_epoch, enum api_format *ret_format,
           bool *ret_tmp)
{
    const char *p = name + strlen(DISK_FILE);
    char *end;

    *ret_epoch = 0;
    if (strncmp(name, DISK_FILE, strlen(DISK_FILE)) != 0)
        return false;
    if (*p == '-') {
        if (p[1] < '1' || p[1] > '9')
            return false;
        errno = 0;
        *ret_epoch = strtoll(p + 1, &end, 10);
        if (errno)
            return false;
        p = end;
    }
    for (int f = FORMAT_RAW; f <= FORMAT_QCOW2; f++) {
        size_t n = strlen(api_format_names[f]);

        if (*p != '.' || strncmp(p + 1, api_format_names[f], n) != 0)
            continue;
        *ret_format = (enum api_format)f;
        *ret_tmp = streq(p + 1 + n, ".tmp");
        return *ret_tmp || p[1 + n] == '\0';
    }
    return false;
}

/* The disks in the folder: those of the epoch (bit 1 << format), whether
 * there are older ones, and the newest above it (0: none). */
struct found {
    unsigned here;
    bool older;
    int64_t newest;
    enum api_format newest_format;
};

/* With `clear` older disks and what was left half-made are removed. */
static int
look(const struct disk_spec *s, bool clear, struct found *ret,
     struct err *reterr)
{
    DIR *d _cleanup_(closedirp) = opendir(s->dir);
    struct dirent *de;
    int r = 0;

    *ret = (struct found){0};
    if (!d)
        return err_errno(reterr, -errno, "cannot look into %s", s->dir);
    for (errno = 0; r == 0 && (de = readdir(d)); errno = 0) {
        enum api_format format;
        int64_t epoch;
        bool tmp;

        if (!parse_name(de->d_name, &epoch, &format, &tmp))
            continue;
        if (tmp || epoch < s->epoch) {
            char *path _cleanup_(freep) =
                xasprintf("%s/%s", s->dir, de->d_name);

            ret->older |= !tmp;
            r = clear ? remove_file(path, reterr) : 0;
        } else if (epoch == s->epoch) {
            ret->here |= 1u << format;
        } else if (epoch > ret->newest) {
            ret->newest = epoch;
            ret->newest_format = format;
        }
    }
    if (r == 0 && errno)
        r = err_errno(reterr, -errno, "cannot look into %s", s->dir);
    return r;
}

/* Nothing but the controller's count went back: the disk that it means is
 * this one, and its next epoch must not be found to be there already. */
static int
rename_newest(const struct disk_spec *s, struct found *f, struct err *reterr)
{
    char *from _cleanup_(freep) = disk_path(s, f->newest_format, f->newest);
    char *to _cleanup_(freep) = disk_path(s, f->newest_format, s->epoch);
    int r = rename(from, to) < 0 ? -errno : fs_sync_dir(s->dir);

    if (r < 0)
        return err_errno(reterr, r, "cannot rename %s", from);
    COUNT(agent_disk_epoch_back);
    f->here |= 1u << f->newest_format;
    return 0;
}

int
disk_ensure(const struct disk_spec *s, char **ret_path, struct err *reterr)
{
    enum api_format turned = other_format(s->format);
    char *path _cleanup_(freep) = disk_path(s, s->format, s->epoch);
    char *other _cleanup_(freep) = disk_path(s, turned, s->epoch);
    char *tmp _cleanup_(freep) = xasprintf("%s.tmp", path);
    struct making m = {
        .spec = s, .path = path, .tmp = tmp, .size_bytes = s->size_bytes};
    struct found f;
    int r = look(s, false, &f, reterr);

    if (r == 0 && !f.here && f.newest)
        r = rename_newest(s, &f, reterr);
    if (r < 0)
        return r;
    bool there = f.here & 1u << turned;
    if (!(f.here & 1u << s->format)) {
        m.other = there ? other : NULL;
        /* Before anything is thrown away. One that is turned has the size
         * that it has. */
        r = m.other ? 0 : check_size(&m, reterr);
        if (r == 0)
            r = look(s, true, &f, reterr);
        if (r == 0)
            r = make_or_nothing(&m, reterr);
    } else if (f.older) {
        r = look(s, true, &f, reterr);
    }
    /* Before it can be taken for the newer one of the two. */
    if (r == 0 && there)
        r = remove_file(other, reterr);
    if (r == 0)
        r = grow_disk(s, path, reterr);
    if (r == 0)
        *ret_path = TAKE_PTR(path);
    return r;
}
