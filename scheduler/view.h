/* scheduler/view.h - what an operator wants to see of the capacity.
 * Role:      pure; see sched.h. Looks at every node: for people, not for each
 *            request.
 * Ownership: inputs are borrowed; results lie in the caller's memory.
 * Threads:   any, while nobody changes the cluster.
 * Errors:    -EINVAL bad input; then nothing is filled. */
#ifndef SCHEDULER_VIEW_H
#define SCHEDULER_VIEW_H

#include "scheduler/sched.h"

/* In: requests to ask for, such as one of each flavor; their groups' rules are
 * not looked at. Out: the rest. */
struct sched_fit {
    const struct sched_request *request;
    /* How many more, were they all that comes; INT64_MAX: it needs nothing. */
    int64_t count;
    /* 1000 x (1 - count / what the sum of all free room would hold): what is
     * lost because room lies in pieces. */
    int64_t fragmented_permille;
};

struct sched_capacity {
    size_t nodes, nodes_open, nodes_empty; /* open: up and not closed */
    /* Of the open nodes. free is what is neither claimed nor held. */
    struct sched_resources limit, claimed, held, free;
    /* Free on open nodes where none of the requests fits any more; 0 when there
     * are no requests. */
    struct sched_resources stranded;
    /* Index of the one with the largest dominant share of the cluster that
     * still fits somewhere; -1: none. */
    ptrdiff_t largest;
};

/* Sums that cannot be counted stand at INT64_MAX. */
int sched_capacity(const struct sched *s, struct sched_fit *fits, size_t n,
                   struct sched_capacity *ret, struct err *reterr) _must_check_;

#endif
