/* scheduler/plan.h - many requests at once, whom to evict, who is next.
 * Role:      pure; see sched.h. Plans change nothing, unless asked to keep.
 * Ownership: inputs are borrowed; the caller frees results by S_release().
 * Threads:   one at a time, as a change of the cluster.
 * Errors:    -EINVAL bad input, -ENOSPC as said below, -E2BIG more than
 *            SCHED_BATCH_MAX or SCHED_TENANTS_MAX. */
#ifndef SCHEDULER_PLAN_H
#define SCHEDULER_PLAN_H

#include "scheduler/sched.h"

#define SCHED_BATCH_MAX 100000 /* instances of one batch together */
#define SCHED_TENANTS_MAX 1000000

/* count instances that are alike. */
struct sched_batch_item {
    const struct sched_request *request;
    size_t count;
    bool gang; /* all or none; else as many as fit */
    /* Of the instance that each becomes: keys, preemptible and started_us; the
     * rest is the request's, the id comes from ids. NULL: it is in the groups
     * of the request's rules. */
    const struct sched_instance *like;
    const char *const *ids; /* count UUIDs; NULL: only as a trial */
    /* Out. nodes: room for count of the caller's, the first `placed` are
     * filled; NULL: not wanted. */
    char (*nodes)[ID_SIZE];
    size_t placed;
    int error; /* 0, or why fewer than count: -ENOSPC, -EINVAL … */
};

/* Places them together, each where those before leave room: the largest first
 * (by dominant share of the cluster), as in best fit decreasing; of equal ones
 * in the order given. keep: the instances stay added, under their ids; else
 * nothing has changed afterwards. A gang that does not fit leaves its room to
 * those behind it. 0 also when some did not fit: see each item's error. */
int sched_batch(struct sched *s, struct sched_batch_item *items, size_t n,
                bool keep, struct err *reterr) _must_check_;

/* Which preemptible instances to end, all on one node, so that a request which
 * fits nowhere fits there. Harm is least by: fewest evicted, then least sum of
 * their dominant shares of the node, then the node's id. On a node they are
 * taken in a fair order, of those that have what is lacking: from the project
 * that has the largest dominant share of the cluster in preemptible instances
 * (as it would be after those chosen already; who has no project comes last),
 * of it the latest started, then the smallest id. Those that turn out not to
 * be needed are spared, the first started first. Rules about groups are judged
 * as if all were still there. Looks at every node: it is asked for when
 * nothing else helps. */
struct sched_eviction {
    char node_id[ID_SIZE];
    char (*instances)[ID_SIZE]; /* in the order in which they go */
    size_t n;
    int64_t harm; /* sum of dominant shares of the node, 1/SCHED_ONE */
};
/* -ENOSPC: not even so. n is 0 when it fits as it is. */
int sched_evict_plan(struct sched *s, const struct sched_request *rq,
                     struct sched_eviction *ret,
                     struct err *reterr) _must_check_;
void sched_eviction_release(struct sched_eviction *e);

/* Dominant resource fairness (Ghodsi et al., NSDI 2011): who is served next
 * when there is not enough for all. A tenant's dominant share is the largest
 * of its shares of any one resource of `total`, over its weight. */
struct sched_tenant {
    struct sched_resources used;
    int64_t weight; /* 1 or more; twice the weight, twice the share */
};
struct sched_waiting {
    size_t tenant; /* index */
    struct sched_resources need;
};
/* The order in which to serve them: always the tenant with the least dominant
 * share, what it was just given included; of equal ones the lower index; of
 * one tenant in the order given. ret_order has room for n_waiting indices. */
int sched_fair_order(const struct sched_resources *total,
                     const struct sched_tenant *tenants, size_t n_tenants,
                     const struct sched_waiting *waiting, size_t n_waiting,
                     size_t *ret_order, struct err *reterr) _must_check_;

#endif
