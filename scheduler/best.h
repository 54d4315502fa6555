/* scheduler/best.h - remembers, for the requests that come again and again, how
 * well each node suits, and which suits best.
 * Role:       clouds have few flavors, and a decision for one changes one node.
 *             For each kind of request (fit.h) and each pool of nodes there is
 *             a tournament over the nodes' scores: the best stands at its root,
 *             and a changed node plays its log2(n) matches again. The outcome
 *             is that of looking at every node. Who is next best, and so on,
 *             comes from the same tree, for requests with rules that refuse
 *             or lower some nodes: they cost as many steps as the best nodes
 *             that such a rule touches.
 * Ownership:  inside struct sched; trees and walks last until the next change
 *             or the next tree.
 * Threads:    one at a time, as a change.
 * Errors:     none.
 * Invariants: 1. a tree's score of a position is what sched_kind_score() gave
 *                when it was played last; it changed since then only if it
 *                stands in the pool's journal behind the tree's place in it.
 *             2. every match is won by the higher score, then the smaller id.
 * Source:     the tournament tree (Knuth, TAOCP 5.4.1); the next best from its
 *             losers as in Frederickson, "An Optimal Algorithm for Selection
 *             in a Min-Heap" (1993), in its simple form with a heap; stopping
 *             as soon as nobody left can win is the threshold algorithm of
 *             Fagin et al. (PODS 2001). */
#ifndef SCHEDULER_BEST_H
#define SCHEDULER_BEST_H

#include "scheduler/fit.h"

/* What tournaments may take together; that of the kind asked for always may. */
#define SCHED_BEST_BYTES_MAX ((size_t)128 << 20)

struct sched_best;
struct sched_tree;

struct sched_best *sched_best_new(void);
void sched_best_free(struct sched_best *b);

/* What k's tournament in p knows, brought up to date. */
struct sched_tree *sched_best_tree(struct sched_best *b,
                                   const struct sched_kind *k,
                                   struct sched_pool *p);
/* The best of all, then the next best at each call; NULL: nobody else fits. */
const struct sched_slot *sched_best_first(struct sched_best *b,
                                          struct sched_tree *t,
                                          int64_t *ret_score);
const struct sched_slot *
sched_best_next(struct sched_best *b, struct sched_tree *t, int64_t *ret_score);
size_t sched_best_bytes(const struct sched_best *b);
/* Whether what the trees say of nodes that stand in no journal is so. */
bool sched_best_consistent(const struct sched_best *b);

#endif
