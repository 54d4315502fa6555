/* bench/trace/replay.h - plays a trace against a policy and measures.
 * Role:      keeps its own account of every node beside the policy's.
 * Threads:   reentrant.
 * Errors:    -EPROTO the policy broke a rule: more than a node has, or a
 *            refusal of what fits.
 * Source:    Verma, Korupolu, Wilkes, "Evaluating job packing in warehouse-
 *            scale computing" (CLUSTER 2014): cluster compaction, stranded
 *            resources; empty nodes: LAVA (MLSys 2025). */
#ifndef BENCH_TRACE_REPLAY_H
#define BENCH_TRACE_REPLAY_H

#include "bench/trace/policy.h"

struct replay_result {
    size_t asked, refused;       /* VMs */
    size_t refused_high;         /* of them, not of low priority */
    double refused_vcpu_share;   /* vCPUs refused, of vCPUs asked for */
    double stranded[TRACE_DIMS]; /* share of all nodes', mean over time */
    double empty;                /* share of nodes, mean over time */
    double used;                 /* vCPUs, mean over time */
};

struct replay_how {
    size_t nodes;
    bool until_refused; /* the first refusal ends the replay: compaction */
    bool measure;       /* empty and stranded too, every few hours */
};

int trace_replay(const struct trace *t, const struct policy *p,
                 const struct replay_how *how, struct replay_result *ret,
                 struct err *reterr) _must_check_;
/* The fewest nodes on which nothing is refused, by bisection between least (a
 * bound from below) and most; -ENOSPC if most do not hold it. */
int trace_compact(const struct trace *t, const struct policy *p, size_t least,
                  size_t most, size_t *ret, struct err *reterr) _must_check_;

#endif
