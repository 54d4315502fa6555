/* cgroup_limits.c - what a VM may use, and what it has used; see cgroup.h for
 * the meaning of shares, limit and reservation. */
#include <config.h>

#include "hypervisor-backend/vmm-driver/cgroup-private.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "common/count.h"

#define PERIOD_US 100000u
/* The kernel takes no quota below 1 ms. */
#define QUOTA_MIN_US 1000u
/* Weight 100 of version 2 is 1024 shares of version 1: the defaults. */
#define SHARES_OF_100 1024u
#define IO_WEIGHT_MAX 1000u

unsigned
cgroup_cpu_weight(const struct cgroup_limits *l)
{
    uint64_t weight = l->cpu_shares ? l->cpu_shares : CGROUP_CPU_SHARES_DEFAULT;

    if (l->cpu_reserve_millicpu && l->node_millicpu) {
        /* Rounded up: a reservation is a promise. */
        uint64_t floor =
            ((uint64_t)l->cpu_reserve_millicpu * CGROUP_CPU_NODE_WEIGHT +
             l->node_millicpu - 1) /
            l->node_millicpu;

        weight = MAX(weight, floor);
    }
    return (unsigned)MIN(weight, (uint64_t)CGROUP_CPU_NODE_WEIGHT);
}

uint64_t
cgroup_memory_max(uint64_t guest_bytes, unsigned vcpus, unsigned devices)
{
    return guest_bytes + guest_bytes / 256 + CGROUP_OVERHEAD_BYTES +
           vcpus * CGROUP_OVERHEAD_VCPU_BYTES +
           devices * CGROUP_OVERHEAD_DEVICE_BYTES;
}

static int
check(const struct cgroup_limits *l, struct err *reterr)
{
    if (l->cpu_shares > CGROUP_CPU_NODE_WEIGHT)
        return err_field(reterr, "/cpu_shares", "range", "at most %u",
                         CGROUP_CPU_NODE_WEIGHT);
    if (l->cpu_reserve_millicpu &&
        (!l->node_millicpu || l->cpu_reserve_millicpu > l->node_millicpu))
        return err_field(reterr, "/cpu_reserve_millicpu", "range",
                         "more than the node's %u", l->node_millicpu);
    if (l->cpu_limit_millicpu &&
        l->cpu_limit_millicpu < l->cpu_reserve_millicpu)
        return err_field(reterr, "/cpu_limit_millicpu", "range",
                         "less than the reservation");
    if (l->io_weight > IO_WEIGHT_MAX)
        return err_field(reterr, "/io_weight", "range", "at most %u",
                         IO_WEIGHT_MAX);
    if (l->n_io > CGROUP_MAX_IO_LIMITS)
        return err_field(reterr, "/io", "range", "at most %u disks",
                         CGROUP_MAX_IO_LIMITS);
    return 0;
}

static int
set_cpu(int dir, bool v2, const struct cgroup_limits *l, struct err *reterr)
{
    unsigned weight = cgroup_cpu_weight(l);
    uint64_t quota = MAX((uint64_t)l->cpu_limit_millicpu * PERIOD_US / 1000,
                         (uint64_t)QUOTA_MIN_US);
    bool limited = l->cpu_limit_millicpu != 0;
    int r;

    if (v2) {
        r = cgroup_write(dir, "cpu.weight", reterr, "%u", weight);
        if (r < 0)
            return r;
        if (limited)
            return cgroup_write(dir, "cpu.max", reterr, "%" PRIu64 " %u", quota,
                                PERIOD_US);
        return cgroup_write(dir, "cpu.max", reterr, "max %u", PERIOD_US);
    }
    r = cgroup_write(dir, "cpu.shares", reterr, "%u",
                     MAX(weight * SHARES_OF_100 / 100, 2u));
    if (r == 0)
        r = cgroup_write(dir, "cpu.cfs_period_us", reterr, "%u", PERIOD_US);
    if (r < 0)
        return r;
    if (limited)
        return cgroup_write(dir, "cpu.cfs_quota_us", reterr, "%" PRIu64, quota);
    return cgroup_write(dir, "cpu.cfs_quota_us", reterr, "-1");
}

static int
set_memory(int dir, bool v2, const struct cgroup_limits *l, struct err *reterr)
{
    const char *file = v2 ? "memory.max" : "memory.limit_in_bytes";
    int r;

    if (l->memory_max_bytes)
        r = cgroup_write(dir, file, reterr, "%" PRIu64, l->memory_max_bytes);
    else
        r = cgroup_write(dir, file, reterr, v2 ? "max" : "-1");
    /* Half a VM is none. In version 1 it has one process to be chosen. */
    if (r == 0 && v2)
        r = cgroup_write(dir, "memory.oom.group", reterr, "1");
    return r;
}

static int
set_pids(int dir, const struct cgroup_limits *l, struct err *reterr)
{
    if (l->pids_max)
        return cgroup_write(dir, "pids.max", reterr, "%u", l->pids_max);
    return cgroup_write(dir, "pids.max", reterr, "max");
}

/* By the node's I/O scheduler there is one of the files, or none. */
static int
set_io_weight(int dir, bool v2, unsigned weight, struct err *reterr)
{
    const struct {
        const char *file;
        unsigned value;
        bool v2;
    } ways[] = {
        {"io.weight", weight * 10, true}, /* iocost: 1 to 10000 */
        {"io.bfq.weight", weight, true},
        {"blkio.bfq.weight", weight, false},
        {"blkio.weight", MAX(weight, 10u), false},
    };

    if (!weight)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        struct err e = {0};
        int r;

        if (ways[i].v2 != v2)
            continue;
        r = cgroup_write(dir, ways[i].file, &e, "%u", ways[i].value);
        if (r != -ENOENT) {
            if (r < 0)
                err_move(reterr, &e);
            err_release(&e);
            return r;
        }
        err_release(&e);
    }
    COUNT(cgroup_no_io_weight);
    return 0;
}

static int
set_io_v2(int dir, const struct cgroup_io_limit *l, struct err *reterr)
{
    const struct {
        const char *name;
        uint64_t value;
    } parts[] = {{"rbps", l->read_bytes_per_s},
                 {"wbps", l->write_bytes_per_s},
                 {"riops", l->read_ops_per_s},
                 {"wiops", l->write_ops_per_s}};

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        int r;

        if (parts[i].value)
            r = cgroup_write(dir, "io.max", reterr, "%u:%u %s=%" PRIu64,
                             major(l->dev), minor(l->dev), parts[i].name,
                             parts[i].value);
        else
            r = cgroup_write(dir, "io.max", reterr, "%u:%u %s=max",
                             major(l->dev), minor(l->dev), parts[i].name);
        if (r < 0)
            return r;
    }
    return 0;
}

static int
set_io_v1(int dir, const struct cgroup_io_limit *l, struct err *reterr)
{
    const struct {
        const char *file;
        uint64_t value; /* 0 takes the limit away */
    } parts[] = {{"blkio.throttle.read_bps_device", l->read_bytes_per_s},
                 {"blkio.throttle.write_bps_device", l->write_bytes_per_s},
                 {"blkio.throttle.read_iops_device", l->read_ops_per_s},
                 {"blkio.throttle.write_iops_device", l->write_ops_per_s}};

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        int r = cgroup_write(dir, parts[i].file, reterr, "%u:%u %" PRIu64,
                             major(l->dev), minor(l->dev), parts[i].value);

        if (r < 0)
            return r;
    }
    return 0;
}

static int
set_io(int dir, bool v2, const struct cgroup_limits *l, struct err *reterr)
{
    int r = set_io_weight(dir, v2, l->io_weight, reterr);

    for (unsigned i = 0; r == 0 && i < l->n_io; i++)
        r = v2 ? set_io_v2(dir, &l->io[i], reterr)
               : set_io_v1(dir, &l->io[i], reterr);
    return r;
}

int
cgroup_set(struct cgroup *g, const struct cgroup_limits *l, struct err *reterr)
{
    bool v2 = false;
    int r = check(l, reterr), dir;

    if (r < 0)
        return r;
    dir = cgroup_dir(g, CGROUP_CPU, &v2);
    if (dir >= 0)
        r = set_cpu(dir, v2, l, reterr);
    dir = cgroup_dir(g, CGROUP_MEMORY, &v2);
    if (r == 0 && dir >= 0)
        r = set_memory(dir, v2, l, reterr);
    dir = cgroup_dir(g, CGROUP_PIDS, &v2);
    if (r == 0 && dir >= 0)
        r = set_pids(dir, l, reterr);
    dir = cgroup_dir(g, CGROUP_IO, &v2);
    if (r == 0 && dir >= 0)
        r = set_io(dir, v2, l, reterr);
    if (r < 0)
        err_prefix(reterr, "VM %s", g->id);
    return r;
}

/* --- figures --- */

static void
cpu_v2(int dir, struct cgroup_stats *s)
{
    s->cpu_ns = cgroup_keyed(dir, "cpu.stat", "usage_usec") * 1000;
    s->cpu_user_ns = cgroup_keyed(dir, "cpu.stat", "user_usec") * 1000;
    s->cpu_system_ns = cgroup_keyed(dir, "cpu.stat", "system_usec") * 1000;
    s->throttled_ns = cgroup_keyed(dir, "cpu.stat", "throttled_usec") * 1000;
    s->throttled_periods = cgroup_keyed(dir, "cpu.stat", "nr_throttled");
}

static void
cpuacct_v1(int dir, struct cgroup_stats *s)
{
    uint64_t tick = UINT64_C(1000000000) / (uint64_t)sysconf(_SC_CLK_TCK);

    s->cpu_ns = cgroup_number(dir, "cpuacct.usage");
    s->cpu_user_ns = cgroup_keyed(dir, "cpuacct.stat", "user") * tick;
    s->cpu_system_ns = cgroup_keyed(dir, "cpuacct.stat", "system") * tick;
}

static void
memory_stats(int dir, bool v2, struct cgroup_stats *s)
{
    if (v2) {
        s->memory_bytes = cgroup_number(dir, "memory.current");
        s->memory_peak_bytes = cgroup_number(dir, "memory.peak");
        s->oom_kills = cgroup_keyed(dir, "memory.events", "oom_kill");
        s->memory_max_events = cgroup_keyed(dir, "memory.events", "max");
    } else {
        s->memory_bytes = cgroup_number(dir, "memory.usage_in_bytes");
        s->memory_peak_bytes = cgroup_number(dir, "memory.max_usage_in_bytes");
        s->oom_kills = cgroup_keyed(dir, "memory.oom_control", "oom_kill");
        s->memory_max_events = cgroup_number(dir, "memory.failcnt");
    }
}

/* "some avg10=… avg60=… avg300=… total=N". */
static uint64_t
pressure(int dir, const char *file)
{
    char text[256];
    const char *total;

    if (cgroup_read(dir, file, text, sizeof(text)) < 0)
        return 0;
    total = strstr(text, "total=");
    return total ? strtoumax(total + 6, NULL, 10) : 0;
}

int
cgroup_stats(struct cgroup *g, struct cgroup_stats *ret)
{
    struct cgroup_stats s = {0};
    char text[2];
    bool v2 = false;
    int dir, r;

    /* A group that was removed must not read as one that uses nothing. */
    r = cgroup_read(g->fd[0], "cgroup.procs", text, sizeof(text));
    if (r < 0)
        return r;
    dir = cgroup_dir(g, CGROUP_CPUACCT, &v2);
    if (dir >= 0 && v2)
        cpu_v2(dir, &s);
    else if (dir >= 0)
        cpuacct_v1(dir, &s);
    dir = cgroup_dir(g, CGROUP_CPU, &v2);
    if (dir >= 0 && !v2) {
        s.throttled_ns = cgroup_keyed(dir, "cpu.stat", "throttled_time");
        s.throttled_periods = cgroup_keyed(dir, "cpu.stat", "nr_throttled");
    }
    dir = cgroup_dir(g, CGROUP_MEMORY, &v2);
    if (dir >= 0)
        memory_stats(dir, v2, &s);
    dir = cgroup_dir(g, CGROUP_PIDS, &v2);
    if (dir >= 0)
        s.pids = cgroup_number(dir, "pids.current");
    dir = cgroup_v2(g);
    if (dir >= 0) {
        s.cpu_pressure_us = pressure(dir, "cpu.pressure");
        s.memory_pressure_us = pressure(dir, "memory.pressure");
        s.io_pressure_us = pressure(dir, "io.pressure");
    }
    *ret = s;
    return 0;
}
