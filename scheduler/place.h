/* scheduler/place.h - which node a request gets, and why not another.
 * Role:      pure; see sched.h, which includes this.
 * Ownership: inputs are borrowed; sched_explain_release() frees what
 *            sched_place() filled.
 * Threads:   one at a time, as a change of the cluster: sched_place()
 *            remembers what it found out about the nodes (best.h).
 * Errors:    -EINVAL bad input (the pointer names the member), -ENOSPC no
 *            node fits. After an error nothing has changed.
 *
 * Score, higher is better, never negative before rules take from it. A node's
 * resources form a vector of fractions of its own limits, so that large and
 * small nodes compare, and all is judged as it would be after the placement:
 *   spread  least weighted sum over resources of used^2. A nearly full
 *           resource weighs more than several half full ones.
 *   pack    least weighted sum of free^2: the norm-based greedy rule of
 *           Panigrahy et al., "Heuristics for Vector Bin Packing" (2011). It
 *           fills the node where least is left over, and as the norm punishes
 *           a large leftover of one resource it strands less than a sum does.
 *   dot     greatest weighted sum of need x free, before the placement: the
 *           dot product rule of the same paper: a request goes where there is
 *           most of what it needs most.
 * A part is at most weight x SCHED_PART; fractions are fixed-point in steps of
 * 1/SCHED_ONE. A resource of which a node has none counts 0 used, 0 free.
 * Added to it, by weight x SCHED_PART each:
 *   traits_preferred  the share of them that the node has.
 *   lifetime          1 - (how many classes the request outlives the node's
 *                     latest expected end) / 7: short-lived guests fill nodes
 *                     that stay busy anyway, so that others fall empty (LAVA,
 *                     Ling et al., MLSys 2025; its NILAS score). Classes are
 *                     of remaining life: none, then up to 15 min, 1 h, 4 h,
 *                     16 h, 64 h, 256 h and more.
 *   rules             those that are soft, see below.
 *   a reservation     SCHED_RESERVED_BONUS where the project's own still holds
 *                     all that is needed.
 * Equal scores: smallest id. */
#ifndef SCHEDULER_PLACE_H
#define SCHEDULER_PLACE_H

#include "scheduler/sched.h"

#define SCHED_ONE (INT64_C(1) << 20)
#define SCHED_PART (SCHED_ONE * SCHED_ONE) /* times a weight */
#define SCHED_WEIGHT_MAX 1000
#define SCHED_RULES_MAX 16
/* More than all weights of resources together. */
#define SCHED_RESERVED_BONUS (8 * SCHED_WEIGHT_MAX * SCHED_PART)

enum sched_policy {
    SCHED_SPREAD,
    SCHED_PACK,
    SCHED_DOT,
};

/* 0..SCHED_WEIGHT_MAX each. */
struct sched_weights {
    int vcpus, memory, disk, iops, net, addresses, hugepages;
    int traits_preferred;
    int lifetime;
};
/* What NULL stands for: 10 for vCPUs, memory, disk, IOPS and net, traits and
 * lifetime, 0 else. */
extern const struct sched_weights sched_weights_default;

enum sched_affinity {
    /* Where the group is not: no more than max_count of it in the node or
     * zone. Soft: -weight for each that is there beyond max_count, up to
     * SCHED_COUNT_MAX of them. */
    SCHED_APART,
    /* Where the group is; anywhere while it is nowhere. Soft: +weight. */
    SCHED_TOGETHER,
    /* Zones only. No zone gets more than max_count (1 at least) ahead of the
     * one with the fewest, among those of the request that have an open node.
     * Soft: -weight for each that it is ahead, up to SCHED_COUNT_MAX. */
    SCHED_EVEN,
};
#define SCHED_COUNT_MAX 64

enum sched_scope {
    SCHED_BY_NODE,
    SCHED_BY_ZONE,
};

struct sched_group_rule {
    const char *key; /* of instances, see sched_instance.keys */
    enum sched_affinity affinity;
    enum sched_scope scope;
    int weight; /* 0: hard, a node that breaks it is refused */
    int64_t max_count;
};

struct sched_request {
    const char *project_id; /* whose reservations and nodes; may be NULL */
    struct sched_resources need;
    uint64_t traits_required; /* a node must have them all */
    /* A node that does not, in messages behind a count; NULL: "without a
     * required trait". */
    const char *traits_lacking;
    enum sched_policy policy;
    uint64_t traits_forbidden;     /* and none of these */
    uint64_t traits_preferred;     /* the more of these the better */
    uint64_t zones;                /* bits; 0: any */
    uint64_t aggregates;           /* in at least one of these; 0: any */
    uint64_t aggregates_forbidden; /* and in none of these */
    bool dedicated; /* only nodes dedicated to project_id; else none that is
                     * dedicated to anybody */
    bool one_cell;  /* vCPUs and memory from one NUMA cell */
    const struct sched_group_rule *rules;
    size_t n_rules;
    int64_t expected_end;                /* as sched_now(); 0: nobody knows */
    const struct sched_weights *weights; /* NULL: sched_weights_default */
};

/* The first rule that refused a node, tried in this order. */
enum sched_rule {
    SCHED_FITS,
    SCHED_DOWN,
    SCHED_QUARANTINED,
    SCHED_DRAINING,
    SCHED_UNSCHEDULABLE,
    SCHED_ZONE,
    SCHED_AGGREGATE,
    SCHED_DEDICATED,
    SCHED_TRAITS,
    SCHED_TRAITS_FORBIDDEN, /* the next seven are of resources, in order */
    SCHED_VCPUS,
    SCHED_MEMORY,
    SCHED_DISK,
    SCHED_IOPS,
    SCHED_NET,
    SCHED_ADDRESSES,
    SCHED_HUGEPAGES,
    SCHED_DEVICES,
    SCHED_CELL,     /* room, but in no one cell */
    SCHED_RESERVED, /* room, but held for others */
    SCHED_AFFINITY,
    SCHED_ANTI_AFFINITY,
    SCHED_UNEVEN,
    SCHED_RULES, /* how many */
};

struct sched_verdict {
    char node_id[ID_SIZE];
    enum sched_rule rule;
    /* Of a resource, SCHED_CELL and SCHED_RESERVED: how much was asked for and
     * how much the node has to give; SCHED_ANTI_AFFINITY and SCHED_UNEVEN: how
     * many of the group there may be and how many there are. Else 0. */
    int64_t asked, free;
    int resource;            /* SCHED_RESERVED, _CELL: which, by rule;
                              * SCHED_DEVICES: which class */
    int group;               /* of a group's rule: its index in rules */
    uint64_t traits_missing; /* SCHED_TRAITS; _FORBIDDEN: the unwanted */
    int64_t score;           /* SCHED_FITS only */
};

/* Every node: first those that fit, best first, then the others by id. */
struct sched_explain {
    struct sched_verdict *verdicts;
    size_t n;
    size_t count[SCHED_RULES]; /* nodes by rule */
};

/* Chooses, but claims nothing. A resource of which nothing is needed is not
 * looked at. -ENOSPC: no node fits, and the message sums up why. ret_explain
 * (may be NULL) is filled on success and on -ENOSPC. Without reterr and
 * ret_explain a refusal does not look at every node. */
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

#endif
