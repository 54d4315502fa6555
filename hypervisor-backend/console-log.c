/* console-log.c - the bounded console log of a VM; see hv.h.
 *
 * The hypervisor appends to console.log (O_APPEND) and knows no bound. To
 * bound it without a race against that writer, the file is never moved or
 * truncated: its head is given back to the file system as a hole, so a byte's
 * offset is the same for ever and only disk use is bounded.
 *
 * Invariants:
 * 1. A punch ends at or before (size at that time - bound). The size only
 *    grows, so the last `bound` bytes are never in a hole.
 * 2. A reader returns nothing before (size read *after* its data - bound), so
 *    a punch that ran meanwhile cannot show as zeros.
 * 3. A punch ends on a block's edge: what lseek(SEEK_DATA) calls data is what
 *    was written, also after the bound has been raised. */
#include <config.h>

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/buf.h"
#include "common/mem.h"
#include "hypervisor-backend/hv-private.h"

/* *ret_fd is -1 when there is no log yet. */
static int
open_log(const char *dir, int flags, int *ret_fd, struct stat *ret_st,
         struct err *reterr)
{
    char *path _cleanup_(freep) = NULL;
    int fd _cleanup_(closep) = -1;

    if (!dir || dir[0] != '/')
        return err_field(reterr, "/dir", "format", "must be an absolute path");
    path = xasprintf("%s/%s", dir, HV_CONSOLE_LOG);
    /* O_NONBLOCK: whatever lies there must not make this wait. */
    fd = open(path, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        *ret_fd = -1;
        return 0;
    }
    if (fd < 0)
        return err_errno(reterr, -errno, "cannot open %s", path);
    if (fstat(fd, ret_st) < 0)
        return err_errno(reterr, -errno, "cannot read %s", path);
    if (!S_ISREG(ret_st->st_mode))
        return err_set(reterr, -EINVAL, "not_a_file", "%s is not a file", path);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int
pread_full(int fd, char *to, size_t n, int64_t at, size_t *ret_n)
{
    size_t done = 0;

    while (done < n) {
        ssize_t r = pread(fd, to + done, n - done, at + (int64_t)done);

        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -errno;
        if (r == 0)
            break;
        done += (size_t)r;
    }
    *ret_n = done;
    return 0;
}

/* The oldest byte that may be returned while the log ends at `size`. */
static int64_t
oldest_kept(int fd, int64_t size, int64_t bound)
{
    int64_t from = MAX(size - bound, INT64_C(0));
    int64_t data = lseek(fd, from, SEEK_DATA);

    if (data < 0) /* nothing but a hole, or a file system without SEEK_DATA */
        return errno == ENXIO ? size : from;
    return data;
}

int
hv_console_log(struct hv *hv, const char *dir, int64_t *offset, size_t cap,
               struct buf *ret, int64_t *ret_end, struct err *reterr)
{
    int64_t bound = (int64_t)hv->console_log_bytes;
    struct buf b _cleanup_(buf_release) = {0};
    int fd _cleanup_(closep) = -1;
    struct stat st;
    int64_t from, size;
    size_t n = 0;
    int r = open_log(dir, O_RDONLY, &fd, &st, reterr);

    if (r < 0)
        return r;
    if (fd < 0) {
        *offset = 0;
        *ret_end = 0;
        buf_clear(ret);
        return 0;
    }
    size = st.st_size;
    cap = (size_t)MIN((uint64_t)cap, (uint64_t)bound);
    from = *offset < 0 ? MAX(size - (int64_t)cap, INT64_C(0)) : *offset;
    from = MAX(from, oldest_kept(fd, size, bound));
    from = MIN(from, size);
    cap = (size_t)MIN((int64_t)cap, size - from);
    r = pread_full(fd, buf_reserve(&b, cap), cap, from, &n);
    if (r < 0)
        return err_errno(reterr, r, "cannot read the console log in %s", dir);
    b.len = n;
    b.data[n] = '\0';
    /* Invariant 2: what may have become a hole during the read is dropped. */
    if (fstat(fd, &st) < 0)
        return err_errno(reterr, -errno, "cannot read the console log in %s",
                         dir);
    if (st.st_size - bound > from) {
        int64_t gone = MIN(st.st_size - bound - from, (int64_t)b.len);

        buf_consume(&b, (size_t)gone);
        from += gone;
    }
    buf_release(ret);
    *ret = b;
    b = (struct buf){0};
    *offset = from;
    *ret_end = size;
    return 0;
}

int
hv_console_trim(struct hv *hv, const char *dir)
{
    int64_t bound = (int64_t)hv->console_log_bytes;
    int fd _cleanup_(closep) = -1;
    struct stat st;
    int64_t head;
    int r = open_log(dir, O_WRONLY, &fd, &st, NULL);

    if (r < 0 || fd < 0)
        return r;
    head = st.st_size - bound;
    if (st.st_blksize > 0)
        head -= head % st.st_blksize;
    /* Already a hole as far as that: nothing to do, and no write to the file
     * system's journal for each call. */
    if (head <= 0 || lseek(fd, 0, SEEK_DATA) >= head)
        return 0;
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, head) < 0)
        return -errno;
    return 0;
}
