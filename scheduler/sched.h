/* scheduler/sched.h - the cluster's capacity, and which node an instance gets.
 * Role:      pure: a snapshot kept in memory by the caller, who rebuilds it
 *            from rows at start and changes it only with its transaction. No
 *            I/O, clock, SQL or globals.
 * Ownership: every input is borrowed for the call; sched_explain_release()
 *            frees what sched_place() filled.
 * Threads:   one owner; functions that take a const sched may run side by
 *            side as long as nobody changes it. sched_place() remembers what it
 *            found out about the nodes (best.h): it counts as a change.
 * Errors:    -EINVAL bad input (the pointer names the member), -ENOENT no
 *            such node, -ENOSPC no room, -EBUSY node still claimed. After an
 *            error nothing has changed.
 * Invariants: 1. A claim by sched_claim() never takes a node's total over its
 *                limit, which is capacity x ratio, rounded down.
 *             2. Equal content gives equal decisions: the order in which
 *                nodes and claims came does not matter.
 *             3. No input overflows: what cannot be counted is refused.
 *
 * Score. A node's resources form a vector of fractions of its own limits, so
 * that large and small nodes compare, and all is judged as it would be after
 * the placement:
 *   spread  least sum over resources of used^2. A nearly full resource weighs
 *           more than several half full ones.
 *   pack    least sum over resources of free^2: the norm-based greedy rule of
 *           Panigrahy et al., "Heuristics for Vector Bin Packing" (2011). It
 *           fills the node where least is left over, and as the norm punishes
 *           a large leftover of one resource it strands less than a sum does.
 * Fractions are fixed-point in steps of 1/SCHED_ONE; the score reported is
 * 3 x SCHED_ONE^2 minus that sum, so higher is better and never negative. A
 * resource of which a node has none counts 0. Equal scores: smallest id. */
#ifndef SCHEDULER_SCHED_H
#define SCHEDULER_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/id.h"

#define SCHED_ONE (INT64_C(1) << 20)
#define SCHED_NODES_MAX 1000000
#define SCHED_RATIO_MAX 1000000 /* 1000 times overcommitted */

struct sched; /* the cluster */

struct sched_resources {
    int64_t vcpus;
    int64_t memory_bytes;
    int64_t disk_bytes;
};

enum sched_policy {
    SCHED_SPREAD,
    SCHED_PACK,
};

struct sched_node {
    const char *id;                  /* a UUID */
    struct sched_resources capacity; /* physical */
    /* Overcommit, 1..SCHED_RATIO_MAX: 4000 offers 4 vCPUs per CPU. */
    int64_t vcpu_ratio_permille;
    int64_t memory_ratio_permille;
    int64_t disk_ratio_permille;
    bool up;
    bool schedulable; /* false closes it to new instances: drain, cordon */
    uint64_t traits;
};

struct sched_request {
    const char *project_id; /* for rules between projects; may be NULL */
    struct sched_resources need;
    uint64_t traits_required; /* a node must have them all */
    /* A node that does not, in messages behind a count; NULL: "without a
     * required trait". */
    const char *traits_lacking;
    enum sched_policy policy;
};

/* The first rule that refused a node, tried in this order. */
enum sched_rule {
    SCHED_FITS,
    SCHED_DOWN,
    SCHED_UNSCHEDULABLE,
    SCHED_TRAITS,
    SCHED_VCPUS,
    SCHED_MEMORY,
    SCHED_DISK,
    SCHED_RULES, /* how many */
};

struct sched_verdict {
    char node_id[ID_SIZE];
    enum sched_rule rule;
    /* SCHED_VCPUS, _MEMORY and _DISK: how much was asked for and how much the
     * node has to give; else 0. */
    int64_t asked, free;
    uint64_t traits_missing; /* SCHED_TRAITS only */
    int64_t score;           /* SCHED_FITS only */
};

/* Every node: first those that fit, best first, then the others by id. */
struct sched_explain {
    struct sched_verdict *verdicts;
    size_t n;
    size_t count[SCHED_RULES]; /* nodes by rule */
};

struct sched *sched_new(void) _must_check_;
/* To try things out on: the same nodes and claims, and its own from then on. */
struct sched *sched_copy(const struct sched *s) _must_check_;
void sched_free(struct sched *s);
void sched_freep(struct sched **s);

/* Inserts or updates; claims stay, even those that no longer fit. */
int sched_node_set(struct sched *s, const struct sched_node *n,
                   struct err *reterr) _must_check_;
/* -EBUSY while anything of it is claimed. */
int sched_node_remove(struct sched *s, const char *id,
                      struct err *reterr) _must_check_;
size_t sched_node_count(const struct sched *s);

/* Chooses, but claims nothing. A resource of which nothing is needed is not
 * looked at. -ENOSPC: no node fits, and the message sums up why. ret_explain
 * (may be NULL) is filled on success and on -ENOSPC. */
int sched_place(struct sched *s, const struct sched_request *rq,
                char ret_node_id[ID_SIZE], struct sched_explain *ret_explain,
                struct err *reterr) _must_check_;
void sched_explain_release(struct sched_explain *e);
/* "fits", "memory", …: stable, for programs. */
const char *sched_rule_name(enum sched_rule rule);
/* One line for people: "too little memory: 4096 asked, 100 free". */
#define SCHED_VERDICT_TEXT_MAX 128
char *sched_verdict_text(const struct sched_verdict *v,
                         char out[SCHED_VERDICT_TEXT_MAX]);

/* Takes r from the node's room, all of it or nothing. Looks at room only: a
 * node that is down or closed may be claimed by who knows better. */
int sched_claim(struct sched *s, const char *node_id,
                const struct sched_resources *r,
                struct err *reterr) _must_check_;
/* For what exists already, such as rows read at start: never refused for want
 * of room. -EOVERFLOW only when the total cannot be counted. */
int sched_claim_force(struct sched *s, const char *node_id,
                      const struct sched_resources *r,
                      struct err *reterr) _must_check_;
/* -EINVAL when more would be released than is claimed. */
int sched_release(struct sched *s, const char *node_id,
                  const struct sched_resources *r,
                  struct err *reterr) _must_check_;
/* What is claimed and the most that may be; either may be NULL. */
int sched_node_usage(const struct sched *s, const char *node_id,
                     struct sched_resources *ret_claimed,
                     struct sched_resources *ret_limit) _must_check_;

#endif
