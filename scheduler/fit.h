/* scheduler/fit.h - whether a node fits a request, and how well; private.
 * Role:      two halves. A kind (sched_kind) is what of a request can be
 *            judged by looking at a node's record alone; many requests share
 *            one, and tournaments (best.h) remember its scores. A query is one
 *            request with all the rest: groups, its project's holds.
 * Ownership: a query borrows its request and points into the cluster; it ends
 *            with the next change.
 * Threads:   as the cluster.   Errors: -EINVAL from sched_query_init(). */
#ifndef SCHEDULER_FIT_H
#define SCHEDULER_FIT_H

#include "common/cleanup.h"
#include "scheduler/sched-private.h"

/* Compared as bytes: no padding, unused members 0. */
struct sched_kind {
    struct sched_vector need;
    uint64_t traits, traits_forbidden, traits_preferred;
    uint64_t aggregates, aggregates_forbidden;
    uint32_t dims; /* bits: those of which something is needed */
    int32_t policy;
    int32_t one_cell;
    int32_t life; /* class of the request; 0: not looked at */
    int32_t weight[SCHED_SCALARS];
    int32_t w_traits, w_life;
    int32_t zero;
};

struct sched_query {
    const struct sched_request *rq;
    struct sched_kind kind;
    uint64_t zones;                /* never 0 */
    struct sched_project *project; /* NULL: none that we know */
    bool nobody; /* dedicated, and no node is dedicated to project_id */
    struct sched_group *groups[SCHED_RULES_MAX]; /* NULL: nobody is in it */
    bool node_rules;                             /* some rule goes by node */
    /* By zone: 0, the rule that refuses it, as 1 + its index; and what soft
     * rules give. */
    uint8_t zone_refused[SCHED_ZONES];
    int64_t zone_score[SCHED_ZONES];
    /* SCHED_EVEN: fewest of the rule's group in one of the zones. */
    size_t fewest[SCHED_RULES_MAX];
};

/* query.c */
int sched_query_init(const struct sched *s, const struct sched_request *rq,
                     struct sched_query *ret, struct err *reterr) _must_check_;

/* How many there are beyond max_count, as far as it counts. */
static inline int64_t
sched_over(size_t count, int64_t max_count)
{
    int64_t over = (int64_t)count - max_count;

    return over <= 0 ? 0 : MIN(over, (int64_t)SCHED_COUNT_MAX);
}

/* By the kind alone: -1 when it does not fit. */
int64_t sched_kind_score(const struct sched_kind *k,
                         const struct sched_slot *slot);
/* By everything; *ret_score only for SCHED_FITS. Says nothing about the zone
 * or pool unless it is the first rule that refuses. */
enum sched_rule sched_query_rule(const struct sched *s,
                                 const struct sched_query *q,
                                 const struct sched_slot *slot,
                                 int64_t *ret_score);
/* The same, with the numbers. */
void sched_query_verdict(const struct sched *s, const struct sched_query *q,
                         const struct sched_slot *slot,
                         struct sched_verdict *ret);
/* Everything but room: resources and cells. */
enum sched_rule sched_query_apart_from_room(const struct sched *s,
                                            const struct sched_query *q,
                                            const struct sched_slot *slot);
bool sched_pool_admits(const struct sched_query *q, const struct sched_pool *p);

#endif
