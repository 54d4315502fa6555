/* lv-ends.c - why and when VMs ended, one small file each: run, reason, time.
 * libvirt knows the reason only as long as its own process lives; embedded,
 * that is the agent's. A record names its run, so that one which is left from
 * an earlier run says nothing of a later one. */
#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "common/fs.h"
#include "common/mem.h"
#include "hypervisor-backend/libvirt/lv-private.h"

int
lv_end_get(const char *dir, const char *id, uint64_t run, struct lv_end *ret)
{
    char *path _cleanup_(freep) = xasprintf("%s/%s", dir, id);
    struct buf b _cleanup_(buf_release) = {0};
    char word[16];
    int64_t at;
    uint64_t of;
    int r = fs_read(path, 256, &b, NULL);

    if (r < 0)
        return r;
    if (sscanf(buf_str(&b), "%" SCNu64 " %15s %" SCNd64, &of, word, &at) != 3)
        return -EBADMSG;
    if (of != run)
        return -ENOENT;
    for (int e = HV_END_NONE; e <= HV_END_UNKNOWN; e++) {
        if (streq(hv_end_name((enum hv_end)e), word)) {
            *ret = (struct lv_end){(enum hv_end)e, at};
            return 0;
        }
    }
    return -EBADMSG;
}

int
lv_end_put(const char *dir, const char *id, uint64_t run,
           const struct lv_end *end)
{
    char *path _cleanup_(freep) = xasprintf("%s/%s", dir, id);
    char *text _cleanup_(freep) =
        xasprintf("%" PRIu64 " %s %" PRId64 "\n", run, hv_end_name(end->end),
                  end->ended_us);
    struct lv_end known;

    if (lv_end_get(dir, id, run, &known) == 0)
        return 0;
    return fs_write_atomic(path, text, strlen(text), 0600, NULL);
}

int
lv_end_remove(const char *dir, const char *id)
{
    char *path _cleanup_(freep) = xasprintf("%s/%s", dir, id);

    if (unlink(path) < 0 && errno != ENOENT)
        return -errno;
    return 0;
}
