/* meminfo.c - the host's memory, for the drivers; see hv-driver.h. */
#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "common/fs.h"
#include "hypervisor-backend/hv-driver.h"

static int
find(const char *text, const char *key, uint64_t *ret_bytes)
{
    const char *line = strstr(text, key);
    uint64_t kib;

    if (!line || sscanf(line + strlen(key), "%" SCNu64, &kib) != 1)
        return -EBADMSG;
    *ret_bytes = kib << 10;
    return 0;
}

int
hv_meminfo(uint64_t *ret_total, uint64_t *ret_free, struct err *reterr)
{
    struct buf b _cleanup_(buf_release) = {0};
    uint64_t total, available;
    int r = fs_read("/proc/meminfo", 64 << 10, &b, reterr);

    if (r < 0)
        return r;
    r = find(buf_str(&b), "MemTotal:", &total);
    if (r == 0)
        r = find(buf_str(&b), "MemAvailable:", &available);
    if (r < 0)
        return err_errno(reterr, r, "/proc/meminfo");
    *ret_total = total;
    *ret_free = available;
    return 0;
}
