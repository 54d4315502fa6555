/* bench/trace/policy.h - ways to choose a node, behind one interface.
 * Role:      a policy is one row of policies[]: a score over the harness's own
 *            cluster, or a policy of scheduler/sched.h. The first fits that a
 *            score likes best wins; the smallest index of equals.
 * Ownership: the trace and its VMs are borrowed until placer_free().
 * Threads:   one owner.
 * Errors:    placer_place(): -ENOSPC no node fits.
 * Source:    each row names its own. */
#ifndef BENCH_TRACE_POLICY_H
#define BENCH_TRACE_POLICY_H

#include "bench/trace/trace.h"
#include "scheduler/sched.h"

/* Fractions of a node, in steps of 1/PART_ONE. */
#define PART_ONE (INT64_C(1) << 20)

struct part {
    int64_t v[TRACE_DIMS];
};

struct cluster {
    const struct trace *trace;
    size_t n;
    struct trace_need *room;
    struct part *left; /* room as parts */
    struct part *need; /* the flavors as parts, rounded up */
    struct part mean;  /* of what is asked for, over time; the most is 1 */
    /* When the last VM of a node is foretold to end; INT64_MIN: empty. */
    int64_t *last_end;
    uint32_t *count;
    uint32_t **vms; /* of each node, count of them */
    uint32_t *vms_cap;
};

struct ask {
    const struct trace_vm *vm;
    const struct part *need;
    int64_t now;
};

/* Of a node on which the VM fits: higher is better. */
typedef int64_t policy_score(const struct cluster *c, size_t i,
                             const struct ask *a);

enum policy_role {
    POLICY_BASELINE,
    POLICY_OURS,
    POLICY_PROPOSED, /* a score that sched.h does not have yet */
};

struct policy {
    const char *name;
    const char *source;
    enum policy_role role;
    policy_score *score; /* NULL: sched.h's */
    enum sched_policy sched;
};

extern const struct policy policies[];
extern const size_t n_policies;

/* A policy at work on so many nodes. */
struct placer;

struct placer *placer_new(const struct policy *p, const struct trace *t,
                          size_t nodes) _must_check_;
void placer_free(struct placer *pl);
void placer_freep(struct placer **pl);
/* Chooses a node for VM number vm and takes its room. */
int placer_place(struct placer *pl, uint32_t vm, int64_t now,
                 size_t *ret_node) _must_check_;
/* VM number vm, which runs on that node, ends. */
void placer_leave(struct placer *pl, uint32_t vm, size_t node);

#endif
