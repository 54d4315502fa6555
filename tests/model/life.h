/* tests/model/life.h - runs of a cloud, as the tests' main programs see them.
 * Role:      a run is one or more lives of a controller over one cloud.
 * Ownership: the caller's.   Threads: each life is a thread of its own, which
 *            is joined before cloud_life() returns.   Errors: cloud_fail(). */
#ifndef TESTS_MODEL_LIFE_H
#define TESTS_MODEL_LIFE_H

#include "tests/model/cloud.h"

struct life {
    struct ctx x;
    void (*opened)(struct ctx *x); /* may be NULL */
    void (*run)(struct ctx *x);
};

/* After template_copy(). */
void cloud_begin(struct cloud *c, uint64_t seed, int steps);
void cloud_life(struct life *l);
/* In a life's run(). */
void cloud_step(struct ctx *x);
void cloud_settle(struct ctx *x);

#endif
