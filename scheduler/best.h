/* scheduler/best.h - remembers, for the requests that come again and again, how
 * well each node suits, and which suits best.
 * Role:       clouds have few flavors, and a decision for one changes one node.
 *             For each kind of request (need, traits, policy) there is a
 *             tournament over the nodes' scores: the best stands at its root,
 *             and a changed node plays its log2(n) matches again. The outcome
 *             is that of looking at every node.
 * Ownership:  inside struct sched.   Threads: one at a time, as a change.
 * Errors:     none; -ENOSPC when no node fits.
 * Invariants: 1. score[i] is what sched_score() gave when slot i was played
 *                last, and i changed since then only if it stands in the
 *                journal behind the tournament's position.
 *             2. every match is won by the higher score, then the smaller id.
 * Source:     the tournament tree (Knuth, TAOCP 5.4.1). */
#ifndef SCHEDULER_BEST_H
#define SCHEDULER_BEST_H

#include "scheduler/sched.h"

struct sched_best;

struct sched_best *sched_best_new(void);
void sched_best_free(struct sched_best *b);
/* Slot i has changed. */
void sched_best_touch(struct sched_best *b, size_t i);
/* Slots came, went or moved. */
void sched_best_reset(struct sched_best *b);
/* The slot that suits best. */
int sched_best_find(const struct sched *s, const struct sched_request *rq,
                    size_t *ret) _must_check_;

#endif
