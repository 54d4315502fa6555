/* bench/trace/columns.h - what each flavor is worth, so that no node holds
 * more than 1 of it: the strongest linear bound on bin packing.
 * Role:       the dual of Gilmore and Gomory's linear program, "A linear
 *             programming approach to the cutting-stock problem" (1961): its
 *             columns are all ways to fill a node, made as they are needed by
 *             a knapsack over two resources. Prices that no filling exceeds
 *             bound every set of items from below.
 * Threads:    reentrant.   Errors: none; poor prices where it gives up early.
 * Invariants: what is returned holds in whole numbers: the last knapsack is
 *             exact and in integers, whatever the floating point before it
 *             did. Sizes are rounded down to a grid, which only weakens it. */
#ifndef BENCH_TRACE_COLUMNS_H
#define BENCH_TRACE_COLUMNS_H

#include "bench/trace/trace.h"

/* No filling of a node is worth more than this. */
#define COLUMN_ONE (INT64_C(1) << 32)

/* Prices for a cluster in which count[f] of each flavor run; all 0 where there
 * are too many flavors. */
void columns_price(const struct trace *t, const int64_t *count,
                   int64_t *ret_value);

#endif
