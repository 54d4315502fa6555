/* tests/unit/sched-model.h - a cluster in the plainest form, beside the real.
 * Role:      rows in arrays; every sum, rule and score is worked out anew from
 *            them in exact arithmetic. Steps do the same to both and compare:
 *            every return code, every node's verdict with its numbers, which
 *            node is chosen, which cell. What is random comes from a source,
 *            so that a seed or a fuzzer can drive it.
 * Ownership: model_free().
 * Threads:   one.   Errors: a difference aborts, with its place. */
#ifndef TESTS_UNIT_SCHED_MODEL_H
#define TESTS_UNIT_SCHED_MODEL_H

#include "scheduler/sched.h"

struct model;

/* below() gives 0..n-1. */
struct model_source {
    uint64_t (*below)(void *arg, uint64_t n);
    void *arg;
};

/* nodes, instances: how many there may be at once. hostile: amounts that no
 * machine has come up too. */
struct model *model_new(struct model_source from, size_t nodes,
                        size_t instances, bool hostile);
void model_free(struct model *m);
void model_step(struct model *m);
/* Counts everything anew on both sides; slow. */
void model_compare(struct model *m);
/* Adds how many verdicts came of each rule, and how many requests were placed
 * and refused, and how many plans found whom to evict. */
void model_counts(const struct model *m, size_t met[SCHED_RULES],
                  size_t *ret_placed, size_t *ret_refused,
                  size_t *ret_evictions);

#endif
