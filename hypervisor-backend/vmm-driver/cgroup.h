/* hypervisor-backend/vmm-driver/cgroup.h - a VM's share of its node.
 * Role:      one control group per VM below a slice ("virga"), in version 2
 *            of the interface or in version 1, as the node has it; both at
 *            once are used side by side (each controller where it is).
 * Ownership: struct cgroup_root and struct cgroup belong to the caller;
 *            their descriptors stay theirs.
 * Threads:   reentrant; one caller per VM at a time.
 * Errors:    negative errno; reterr names file and value. A limit asked for
 *            whose controller the node does not have is left out and missing
 *            from cgroup_has(); whoever must have it asks first.
 * Source:    Linux Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/.
 *
 * Shares, limit and reservation, as of ESX, in terms of the kernel:
 *  - limit_millicpu is a hard bound: cpu.max (cpu.cfs_quota_us) over 100 ms.
 *  - shares divide what VMs contend for: the weight.
 *  - reservation_millicpu: the kernel has no floor, only weights. The VM's
 *    weight is therefore never below the one whose part of the whole node is
 *    its reservation: with W the weight of the whole node's processor time
 *    (CGROUP_CPU_NODE_WEIGHT), a VM with reservation r of node_millicpu gets
 *    weight max(by shares, W * r / node_millicpu). A VM gets at least
 *    weight / (sum of all weights) of the slice under full contention, so
 *    the reservation holds as long as the weights in the slice sum to at
 *    most W: i.e. as admission keeps reservations within the node and gives
 *    those without a reservation shares for what is left. cgroup_cpu_weight()
 *    is that arithmetic; the sums are the scheduler's. "The whole node" is
 *    what the slice gets: the slice weighs ten times a usual neighbour
 *    (system services, the agent), so that these keep a tenth at most.
 *
 * Memory: the bound is guest memory + what the VMM itself may use
 * (cgroup_memory_max). A VM over it is killed as a whole. */
#ifndef HYPERVISOR_BACKEND_VMM_DRIVER_CGROUP_H
#define HYPERVISOR_BACKEND_VMM_DRIVER_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"

/* VMM overhead: processes' text, heap and page tables, and for each vCPU and
 * device its stack, rings and kernel objects. Measured are about 3 MiB + 0.3
 * MiB per vCPU; page tables (EPT and ours) are 1/256 of guest memory at
 * worst. The rest is headroom: this bound kills. */
#define CGROUP_OVERHEAD_BYTES (UINT64_C(32) << 20)
#define CGROUP_OVERHEAD_VCPU_BYTES (UINT64_C(1) << 20)
#define CGROUP_OVERHEAD_DEVICE_BYTES (UINT64_C(2) << 20)

/* The weight that stands for a whole node; the largest of version 2. */
#define CGROUP_CPU_NODE_WEIGHT 10000u
#define CGROUP_CPU_SHARES_DEFAULT 100u

enum cgroup_controller {
    CGROUP_CPU,
    CGROUP_CPUACCT, /* version 1 only; part of cpu in version 2 */
    CGROUP_MEMORY,
    CGROUP_IO, /* blkio in version 1 */
    CGROUP_PIDS,
    CGROUP_FREEZER, /* in version 1 for the kill; version 2 has cgroup.kill */
    CGROUP_CONTROLLERS
};

struct cgroup_root; /* the node's slice */
struct cgroup;      /* one VM's group */

/* Finds the hierarchies that are mounted and makes the slice in each; `slice`
 * is a path below their roots ("virga"), none of its names begins with a dot
 * or is an id. In version 2 each level passes on the controllers it has. */
int cgroup_root_open(const char *slice, struct cgroup_root **ret,
                     struct err *reterr) _must_check_;
void cgroup_root_free(struct cgroup_root *r);
bool cgroup_has(const struct cgroup_root *r, enum cgroup_controller c);

struct cgroup_io_limit {
    dev_t dev;                                    /* the disk, no partition */
    uint64_t read_bytes_per_s, write_bytes_per_s; /* 0: none */
    uint64_t read_ops_per_s, write_ops_per_s;
};

#define CGROUP_MAX_IO_LIMITS 16u

struct cgroup_limits {
    unsigned cpu_shares;           /* 1 to 10000; 0: the default */
    uint32_t cpu_limit_millicpu;   /* 0: none */
    uint32_t cpu_reserve_millicpu; /* 0: none */
    uint32_t node_millicpu;        /* needed with a reservation */
    uint64_t memory_max_bytes;     /* 0: none; see cgroup_memory_max() */
    unsigned io_weight;            /* 1 to 1000; 0: the default */
    struct cgroup_io_limit io[CGROUP_MAX_IO_LIMITS];
    unsigned n_io;
    unsigned pids_max; /* 0: none */
};

/* Pure arithmetic, for the above. */
unsigned cgroup_cpu_weight(const struct cgroup_limits *l);
uint64_t cgroup_memory_max(uint64_t guest_bytes, unsigned vcpus,
                           unsigned devices);

/* Makes the group; one of that id that a crash left is removed first.
 * -EBUSY: it holds processes. */
int cgroup_new(struct cgroup_root *r, const char *id, struct cgroup **ret,
               struct err *reterr) _must_check_;
/* The group of a VM that runs (adoption); -ENOENT there is none. r outlives
 * the group. */
int cgroup_open(struct cgroup_root *r, const char *id, struct cgroup **ret,
                struct err *reterr) _must_check_;
/* Closes; the group stays. */
void cgroup_free(struct cgroup *g);

int cgroup_set(struct cgroup *g, const struct cgroup_limits *l,
               struct err *reterr) _must_check_;

/* A directory of version 2 for clone3(CLONE_INTO_CGROUP), or -1 when version
 * 1 is (also) in use. */
int cgroup_clone_fd(const struct cgroup *g);
/* Descriptors of cgroup.procs into which the child writes "0" to move itself
 * (cgroup_join), before it gives up its rights; CLOEXEC, and the group's own,
 * until cgroup_free(). Returns how many of the CGROUP_CONTROLLERS + 1 slots
 * are used; 0 for a group of cgroup_open(). */
unsigned cgroup_procs_fds(const struct cgroup *g,
                          int fds[CGROUP_CONTROLLERS + 1]);
/* Async-signal-safe, for between clone and exec. Negative errno. */
int cgroup_join(const int *fds, unsigned n) _must_check_;
/* Moves another process. */
int cgroup_add(struct cgroup *g, pid_t pid, struct err *reterr) _must_check_;

struct cgroup_stats {
    uint64_t cpu_ns, cpu_user_ns, cpu_system_ns;
    uint64_t throttled_ns, throttled_periods;
    uint64_t memory_bytes, memory_peak_bytes;
    uint64_t oom_kills, memory_max_events;
    uint64_t pids;
    /* Pressure, "some", total; version 2 (or PSI in it) only, else 0. */
    uint64_t cpu_pressure_us, memory_pressure_us, io_pressure_us;
};

/* What the node does not tell stays 0. */
int cgroup_stats(struct cgroup *g, struct cgroup_stats *ret) _must_check_;

/* Kills every process in it; returns when none is left, or -ETIMEDOUT. */
int cgroup_kill(struct cgroup *g, int timeout_ms,
                struct err *reterr) _must_check_;
/* Removes the group of `id` everywhere; none there is success, -EBUSY it
 * holds processes. */
int cgroup_remove(struct cgroup_root *r, const char *id,
                  struct err *reterr) _must_check_;
/* Calls fn with the id of each VM's group that there is (after a crash:
 * those unknown are to be removed). fn may remove that group. */
int cgroup_list(struct cgroup_root *r, void (*fn)(void *arg, const char *id),
                void *arg, struct err *reterr) _must_check_;

#endif
