/* bench/trace/bound.h - fewer nodes than this hold the trace by no policy.
 * Role:      at every instant what runs must fit on the nodes, even if all of
 *            it could be moved: a lower bound for the bin packing of that
 *            instant bounds the trace from below, and the greatest counts.
 * Threads:   reentrant.   Errors: none.
 * Source:    per resource, dual feasible functions: the load itself; Martello
 *            and Toth, "Lower bounds and reduction procedures for the bin
 *            packing problem" (1990), L2; Fekete and Schepers, "New classes
 *            of fast lower bounds for bin packing problems" (2001), u(k).
 *            A function f with sum f(x) <= 1 for all sets of x with sum <= 1
 *            makes sum f(x) of all items a bound. */
#ifndef BENCH_TRACE_BOUND_H
#define BENCH_TRACE_BOUND_H

#include "bench/trace/trace.h"

struct trace_bound {
    size_t nodes;               /* the greatest of all below */
    size_t by_load[TRACE_DIMS]; /* peak load of one resource */
    size_t by_function;         /* the best dual feasible function */
    size_t by_columns;          /* prices by column generation */
    int64_t at;                 /* the instant that needs most */
    int dim;                    /* the resource that binds there */
};

void trace_bound(const struct trace *t, struct trace_bound *ret);

#endif
