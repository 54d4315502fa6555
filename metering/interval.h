/* metering/interval.h - when an observation opens or closes an interval.
 * Role:      pure rule between what an agent saw and the rows that are billed.
 *            The caller reads an instance's latest interval, asks here, and
 *            writes the answer in the transaction that stores the observation.
 * Ownership: everything is borrowed.
 * Threads:   reentrant.   Errors: -EINVAL for what cannot be (run 0, unknown
 *            state, a former interval that ends before its start).
 *
 * Each start of an instance is a run; run numbers only grow, and at most one
 * run is alive at a time (the store and the agents see to that). So:
 *
 *   former \ seen   running r                   ended r
 *   none            OPEN at                     nothing (but see below)
 *   open r          nothing: repeated           CLOSE at
 *   closed r        nothing: repeated or late   nothing: repeated
 *   open < r        CLOSE_AND_OPEN at           CLOSE at: the former run can
 *                                               not have outlived a later one
 *   closed < r      OPEN at                     nothing
 *   any > r         nothing: late               nothing: late
 *
 * An end that overtakes its own beginning would leave the beginning, once it
 * arrives, open for ever. Therefore the caller keeps the highest run that was
 * ever seen ended (ended_run) and stores the new value with the observation:
 * a "running" of that run or an older one changes nothing any more.
 *
 * Invariants: 1. An interval never overlaps the former, never ends before it
 *                starts, and never starts before the instance was created.
 *             2. Nothing happens later than now_us. Only where the wall clock
 *                went back behind the bounds of 1 do these win: the interval
 *                then counts nothing until the clock has caught up.
 *             3. Applying an observation again changes nothing. */
#ifndef METERING_INTERVAL_H
#define METERING_INTERVAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"

enum meter_state {
    METER_RUNNING, /* at_us: since when */
    METER_ENDED,   /* at_us: since when not */
};

struct meter_observation {
    uint64_t run; /* from 1 */
    enum meter_state state;
    int64_t at_us; /* by the agent's clock: not to be trusted */
};

/* What is known of the instance before the observation. */
struct meter_history {
    int64_t created_us; /* above 0 */
    uint64_t ended_run; /* highest run seen ended, 0 none */
    uint64_t run;       /* of the latest interval; 0 there is none */
    int64_t start_us;
    int64_t end_us; /* 0 while open */
};

enum meter_action {
    METER_NOTHING,
    METER_OPEN,           /* insert an interval of the observed run */
    METER_CLOSE,          /* end the open one */
    METER_CLOSE_AND_OPEN, /* both, at the same moment */
};

struct meter_decision {
    enum meter_action action;
    int64_t at_us;      /* the moment of the action; 0 for METER_NOTHING */
    bool clamped;       /* at_us is not what the agent said: worth a counter */
    uint64_t ended_run; /* to store, also for METER_NOTHING */
};

int meter_decide(const struct meter_history *h,
                 const struct meter_observation *o, int64_t now_us,
                 struct meter_decision *ret) _must_check_;

#endif
