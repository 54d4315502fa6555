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
 *             4. Run numbers only grow; the end of a run that was seen
 *                running is told before another one begins.
 *             5. Each wish that a run is to run is answered by an observation
 *                of it, also where it was so already.
 *
 *                 core: run R wanted          hv_start ok / VM of R found
 *   NEW, ENDED, FAILED ────────────► STARTING ────────────────► STARTED
 *    │    ▲       ▲                    │  ▲ │ (ACT_ADOPT)          │ │
 *    │    │       └──── no way to ─────┘  └─┘ again after a crash  │ │
 *    │    └──────────────────────── its VM ended (ACT_END) ────────┘ │
 *    │                                  its VM ended and the policy  │
 *    │                 restart_at_us    has it started again         │
 *    │    STARTING ◄────────────────── WAITING ◄─────────────────────┘
 *    │    of run R + 1                    ▲ a restart failed: run R + 2
 *    │                                    └──────────── STARTING
 *    └► DELETED, from any phase once no VM is left (ACT_CLEAN)
 *
 * Pausing
 * -------
 * Within STARTED the VM runs or is halted, and one of the two was told:
 *
 *       wish       VM       told      next
 *       paused     runs     any       ACT_PAUSE
 *       runs       paused   any       ACT_RESUME
 *       as the VM           other     ACT_TELL: `paused` or `running`
 *       as the VM           this      ACT_TELL once for a newer wish, ACT_NONE
 *
 * A run that is to be paused starts, is told `running`, is then paused and
 * told `paused`: so it is with restarts of the policy, too. A VM that is
 * found paused after the agent's death is taken over as it is; where that is
 * not wanted it goes on. Before a VM is asked to stop it is resumed, since a
 * halted guest does not hear the button: while its grace time runs, its state
 * is not told. By force it ends as it is. A driver without HV_CAP_PAUSE leaves
 * the VM running, which is told (and why, as progress); the wish stays, and is
 * carried out by another driver.
 *
 * The restart policy
 * ------------------
 * The node decides, at the end of a run and by the wish that it then has, and
 * only the node: agent_restarts(). It needs no controller for that. What it
 * decided is on disk together with the observation of the end, which carries
 * it (`restart`), and reserves the number R + 1 in one transaction: there is
 * no second party whose opinion could differ, and nothing to be found out
 * again after a crash. The end itself is told at once; only the start waits.
 *
 * The controller takes the observation for what it says (ops/observe.c): run
 * R is over, R + 1 is what should be. It raises its own number to that, keeps
 * `running` desired, and never lets such an end answer a stop. So both sides
 * count alike, whenever the news arrive, and these meet:
 *
 *   the tenant, meanwhile     what comes of it
 *   stops (seq above), the    WAITING → ACT_TELL_STOPPED: run R + 1 is told
 *   node waits                `stopped`: it will never be. If the end of R was
 *                             under way, the controller has R + 1 by then, as
 *                             observations keep their order.
 *   stops, R + 1 runs         it is stopped like any run and told as R + 1.
 *   stops, then starts        the start is refused until a stop is answered,
 *                             and an end with `restart` is no answer: the
 *                             start's number is above R + 1, always.
 *   stops, hears `stopped`    only an end without `restart` does that; after
 *   of the end itself         such an end this node starts nothing by itself.
 *   reboots (run R + 1 by     the restart is the reboot: the run that the
 *   the controller's count)   tenant saw is over and the next one comes, here
 *                             after the back-off.
 *   reboots, twice            want.run is above what is reserved: it starts at
 *                             once, the number R + 1 is skipped.
 *   deletes                   ACT_CLEAN from WAITING, ACT_KILL before it if
 *                             R + 1 runs; whatever the run, `deleted` is last.
 *   changes the policy        what was decided stands; the next end goes by
 *                             the new one.
 *
 * A wish may therefore name a lower run than the one that runs: the node was
 * ahead. It means "at least this run", and a VM is from an unknown future
 * only if this node has no record of its run either.
 *
 * Back-off: the n-th restart in a row waits 2^(n-1) s, 60 s at most, counted
 * from when the end was recorded; a run of 10 minutes ends the row, and so
 * does a start that was asked for. Number and time are in the agent's
 * database, so that no restart of the agent makes a loop hot; a clock that was
 * set back makes a wait shorter, never longer. A restart that cannot be carried
 * out (`failed`) counts as a run that failed; a start that a tenant asked for
 * and that fails does not: he is told, and stays in charge. */
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
    PHASE_WAITING = 6,  /* run `run` is the policy's and will be started at
                         * restart_at_us; all before it are over and told */
};

#define RESTART_WAIT_US (INT64_C(1) * 1000000)
#define RESTART_WAIT_MAX_US (INT64_C(60) * 1000000)
#define RESTART_RESET_US (INT64_C(600) * 1000000)

/* What a run was started with; 0: not known. */
struct agent_size {
    int64_t vcpus, memory_bytes, disk_bytes;
};

/* What this node recorded about an instance. */
struct agent_local {
    enum agent_phase phase;
    int64_t run;         /* the latest run that was tried */
    int64_t started_us;  /* when it began to run, wall clock */
    int64_t told_seq;    /* the desired seq that was answered last, by
                          * `stopped`, or `running` or `paused` */
    int64_t deleted_seq; /* the observation that told of the deletion */
    /* Restarts in a row, this run among them if it is one: 0 for a run that
     * was asked for. */
    int64_t restarts;
    int64_t restart_at_us; /* PHASE_WAITING: when, wall clock */
    bool paused; /* PHASE_STARTED: told `paused`, not `running`, last */
    /* Of run `run`, from before its VM is made: a resize that comes between
     * that and the news of the VM leaves it as it is. */
    struct agent_size size;
};

/* What the controller wants. */
struct agent_want {
    int64_t seq, run;
    enum api_power power;
    bool force;
    bool paused;
    enum api_restart restart;
};

/* What the driver sees under the instance's id. */
struct agent_vm {
    enum { VM_ABSENT, VM_RUNS, VM_ENDED } state;
    int64_t run;
    bool ours;
    bool paused;    /* VM_RUNS: halted */
    bool can_pause; /* its driver can */
    enum hv_end end;
    int64_t started_us, ended_us; /* wall clock; 0 is not known */
};

enum agent_action {
    ACT_NONE,
    ACT_START,        /* run agent_start_run() */
    ACT_WAIT,         /* for agent_restart_wait(), then look again */
    ACT_ADOPT,        /* record the VM's run as started */
    ACT_PAUSE,        /* halt it */
    ACT_RESUME,       /* let it go on */
    ACT_TELL,         /* it runs, or is paused */
    ACT_STOP,         /* power button, by force when the grace is over */
    ACT_KILL,         /* by force at once */
    ACT_END,          /* record that run local.run is over */
    ACT_FORGET,       /* drop the driver's record of an ended VM */
    ACT_TELL_STOPPED, /* nothing runs, as wanted */
    ACT_CLEAN,        /* remove every file, then record the deletion */
    ACT_QUARANTINE,   /* a VM that must not be touched stands there */
    ACT_REFUSE,       /* the same, and it is in the way of a start */
};

/* now_us: wall clock. */
enum agent_action agent_decide(const struct agent_want *want,
                               const struct agent_local *local,
                               const struct agent_vm *vm, int64_t now_us);
/* The run of an ACT_START. */
int64_t agent_start_run(const struct agent_want *want,
                        const struct agent_local *local);
const char *agent_action_name(enum agent_action a);

/* The `reason` of a stopped observation. stop_asked: this process asked the
 * driver for it. */
const char *agent_end_reason(const struct agent_want *want,
                             const struct agent_local *local,
                             const struct agent_vm *vm, bool stop_asked);

/* Whether the policy has another run follow on the end of run local.run, for
 * this agent_end_reason(). */
bool agent_restarts(const struct agent_want *want,
                    const struct agent_local *local, const char *reason);
/* The same for a start that failed. */
bool agent_restarts_failed(const struct agent_want *want,
                           const struct agent_local *local);
/* Then: local becomes that of the run that follows. ended_us as told. */
void agent_plan_restart(struct agent_local *local, int64_t ended_us,
                        int64_t now_us);
/* How long PHASE_WAITING still waits; 0: no longer. */
int64_t agent_restart_wait(const struct agent_local *local, int64_t now_us);

#endif
