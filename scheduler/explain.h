/* scheduler/explain.h - why nodes fit or not; private, see place.h.
 * Role:       looks at every node.
 * Ownership:  sched_explain_release() frees what is filled.
 * Threads:    as the cluster.   Errors: sched_explain_no_fit() is -ENOSPC. */
#ifndef SCHEDULER_EXPLAIN_H
#define SCHEDULER_EXPLAIN_H

#include "scheduler/fit.h"

void sched_explain_fill(const struct sched *s, const struct sched_query *q,
                        struct sched_explain *ret);
/* "no node fits: 3 too little memory, 1 down". */
int sched_explain_no_fit(const struct sched *s, const struct sched_query *q,
                         struct err *reterr);

#endif
