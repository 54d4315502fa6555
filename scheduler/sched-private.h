/* scheduler/sched-private.h - the cluster's arrays, for scheduler/ and tests.
 * Role:       struct of arrays: a decision reads a few arrays from end to
 *             end, in order, and nothing else.
 * Invariants: 1. slots 0..n-1 are in use; slot i's identity is entry[i], and
 *                by_id leads from its id back to i.
 *             2. limit, claimed >= 0; room = max(0, limit - claimed).
 *             3. weight and shift derive from limit alone. */
#ifndef SCHEDULER_SCHED_PRIVATE_H
#define SCHEDULER_SCHED_PRIVATE_H

#include <stdlib.h>
#include <string.h>

/* The table grows with our own nodes: out of memory aborts, as in mem.h. */
#define uthash_fatal(msg) abort()
#include <uthash.h>

#include "scheduler/sched.h"

enum sched_dim { DIM_VCPUS, DIM_MEMORY, DIM_DISK, SCHED_DIMS };

#define NODE_UP 1u
#define NODE_SCHEDULABLE 2u

struct sched_entry {
    char id[ID_SIZE];
    size_t slot;
    UT_hash_handle hh;
};

struct sched {
    size_t n, cap;
    uint8_t *flags;
    uint64_t *traits;
    int64_t *room[SCHED_DIMS];
    /* A fraction free without a division: ((left >> shift) x weight) >> 42 is
     * left / limit in steps of 1/SCHED_ONE. limit >> shift is below 2^32 and
     * weight is 2^62 / (limit >> shift), rounded up; 0 when limit is 0. */
    uint64_t *weight[SCHED_DIMS];
    uint8_t *shift[SCHED_DIMS];
    /* Not read by decisions. */
    int64_t *limit[SCHED_DIMS];
    int64_t *claimed[SCHED_DIMS];
    struct sched_entry **entry;
    struct sched_entry *by_id;
    struct sched_best *best;
};

struct sched_vector {
    int64_t v[SCHED_DIMS];
};

static inline struct sched_vector
sched_vector(const struct sched_resources *r)
{
    return (struct sched_vector){{r->vcpus, r->memory_bytes, r->disk_bytes}};
}

/* How well slot i suits, higher is better; -1 when it does not fit. */
int64_t sched_score(const struct sched *s, size_t i,
                    const struct sched_vector *need, uint64_t traits,
                    enum sched_policy policy);

/* The member's name, "memory_bytes". */
const char *sched_dim_name(enum sched_dim d);
/* Refuses negative amounts: one field error each, at prefix + "/" + member. */
int sched_resources_check(const struct sched_resources *r, const char *prefix,
                          struct err *reterr) _must_check_;
/* Whether the invariants above hold; slow, for tests and debugging. */
bool sched_consistent(const struct sched *s);

#endif
