/* bench/trace/table.h - every policy on a trace, and medians over traces.
 * Role:      runs the replays, prints JSON lines and one table for people.
 * Ownership: table_release() frees what table_add() noted.
 * Threads:   one owner.   Errors: those of replay.h. */
#ifndef BENCH_TRACE_TABLE_H
#define BENCH_TRACE_TABLE_H

#include <stdio.h>

#include "bench/trace/bound.h"
#include "bench/trace/replay.h"

#define TABLE_TRACES_MAX 101

/* Of one policy on one trace. */
struct table_cell {
    bool held;                  /* by less than twice the bound */
    double needed;              /* nodes, of the bound; 2 where not held */
    struct replay_result full;  /* with just as many nodes as the bound */
    struct replay_result roomy; /* with a tenth more */
};

struct table {
    const char *cluster; /* what the traces ran on, borrowed */
    size_t traces;
    struct table_cell (*cells)[TABLE_TRACES_MAX]; /* by policy */
};

void table_init(struct table *tb, const char *cluster);
void table_release(struct table *tb);
/* One more trace, its bound and every policy on it, a JSON line each. only
 * (may be NULL) names the one policy to run. */
int table_add(struct table *tb, const struct trace *t, uint64_t seed,
              const char *only, FILE *json, struct err *reterr) _must_check_;
/* Median by policy: a JSON line each, and the table. */
void table_print(const struct table *tb, FILE *json, FILE *text);
/* The median of nodes needed, of the bound. */
double table_needed(const struct table *tb, size_t policy);

#endif
