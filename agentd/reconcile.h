/* agentd/reconcile.h - what to do next for one instance.
 * Role:      pure: desired state, what this node recorded and what the
 *            driver sees go in, one action comes out. The caller acts, stores
 *            the outcome and asks again until it is told ACT_NONE.
 * Ownership: plain values.   Threads: reentrant.   Errors: none.
 * Invariants: 1. ACT_START only where no VM of the instance is, and only for
 *                a run that was never seen running.
 *             2. A VM that is not ours is never stopped, forgotten or
 *                replaced.
 *             3. From every state the actions lead to ACT_NONE,
 *                ACT_QUARANTINE or to waiting for a VM's end.
 *
 *                 core: run R wanted          hv_start ok / VM of R found
 *   NEW, ENDED, FAILED ────────────► STARTING ────────────────► STARTED
 *    │    ▲       ▲                    │  ▲ │ (ACT_ADOPT)          │
 *    │    │       └──── no way to ─────┘  └─┘ again after a crash  │
 *    │    └──────────────────────── its VM ended (ACT_END) ────────┘
 *    └► DELETED, from any phase once no VM is left (ACT_CLEAN) */
#ifndef AGENTD_RECONCILE_H
#define AGENTD_RECONCILE_H

#include <stdbool.h>
#include <stdint.h>

#include "api/resources.h"
#include "hypervisor-backend/hv.h"

/* Stored as numbers: never renumber. */
enum agent_phase {
    PHASE_NEW = 0,      /* nothing was tried yet */
    PHASE_STARTING = 1, /* run `run` may or may not have a VM */
    PHASE_STARTED = 2,  /* run `run` was seen running, and that was told */
    PHASE_ENDED = 3,    /* run `run` is over, and that was told */
    PHASE_FAILED = 4,   /* run `run` could not be started, and that was told */
    PHASE_DELETED = 5,  /* nothing is left, and that was told */
};

/* What this node recorded about an instance. */
struct agent_local {
    enum agent_phase phase;
    int64_t run;         /* the latest run that was tried */
    int64_t started_us;  /* when it began to run, wall clock */
    int64_t told_seq;    /* the desired seq that `stopped` was told for */
    int64_t deleted_seq; /* the observation that told of the deletion */
};

/* What the controller wants. */
struct agent_want {
    int64_t seq, run;
    enum api_power power;
    bool force;
};

/* What the driver sees under the instance's id. */
struct agent_vm {
    enum { VM_ABSENT, VM_RUNS, VM_ENDED } state;
    int64_t run;
    bool ours;
    enum hv_end end;
    int64_t started_us, ended_us; /* wall clock; 0 is not known */
};

enum agent_action {
    ACT_NONE,
    ACT_START,        /* run want.run */
    ACT_ADOPT,        /* record the VM's run as started */
    ACT_STOP,         /* power button, by force when the grace is over */
    ACT_KILL,         /* by force at once */
    ACT_END,          /* record that run local.run is over */
    ACT_FORGET,       /* drop the driver's record of an ended VM */
    ACT_TELL_STOPPED, /* nothing runs, as wanted */
    ACT_CLEAN,        /* remove every file, then record the deletion */
    ACT_QUARANTINE,   /* a VM that must not be touched stands there */
    ACT_REFUSE,       /* the same, and it is in the way of a start */
};

enum agent_action agent_decide(const struct agent_want *want,
                               const struct agent_local *local,
                               const struct agent_vm *vm);
const char *agent_action_name(enum agent_action a);

/* The `reason` of a stopped observation. stop_asked: this process asked the
 * driver for it. */
const char *agent_end_reason(const struct agent_want *want,
                             const struct agent_local *local,
                             const struct agent_vm *vm, bool stop_asked);

#endif
