/* disk.c - root disks by qemu-img; see disk.h. Formats are always named: a
 * guest writes its disk's first bytes, and probing would let it choose what
 * the host takes the file for. */
#include <config.h>

#include "agentd/disk.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fs.h"
#include "common/mem.h"
#include "common/proc.h"

#define QEMU_IMG_MS 120000

static int
create(const char *path, const char *base_path, const struct api_image_part *b,
       int64_t size_bytes, struct err *reterr)
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
    return proc_run(argv, QEMU_IMG_MS, NULL, reterr);
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

int
disk_ensure(const char *dir, const char *base_path,
            const struct api_image_part *base, int64_t size_bytes,
            struct err *reterr)
{
    char *path _cleanup_(freep) = xasprintf("%s/" DISK_FILE, dir);
    char *tmp _cleanup_(freep) = xasprintf("%s/" DISK_FILE ".tmp", dir);
    struct err why _cleanup_(err_release) = {0};
    struct stat st;

    if (lstat(path, &st) == 0)
        return 0;
    if (errno != ENOENT)
        return err_errno(reterr, -errno, "cannot look at %s", path);
    if (base && size_bytes == 0)
        size_bytes = base->virtual_bytes;
    if (base && size_bytes < base->virtual_bytes)
        return err_set(reterr, -EINVAL, "disk_too_small",
                       "the image's disk has %" PRId64 " bytes, the "
                       "instance's only %" PRId64,
                       base->virtual_bytes, size_bytes);
    int r = create(tmp, base_path, base, size_bytes, &why);
    if (r == 0) {
        r = sync_file(tmp);
        if (r == 0 && rename(tmp, path) < 0)
            r = -errno;
        if (r == 0)
            r = fs_sync_dir(dir);
        if (r < 0)
            err_errno(&why, r, "cannot write %s", path);
    }
    if (r < 0) {
        if (unlink(tmp) < 0 && errno != ENOENT)
            err_prefix(&why, "(%s stays: %s)", tmp, strerrordesc_np(errno));
        r = classify(r, &why);
        err_move(reterr, &why);
    }
    return r;
}
