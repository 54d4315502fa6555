/* reconcile.c - the decision table of the agent; see reconcile.h. */
#include <config.h>

#include "agentd/reconcile.h"

#include "common/cleanup.h"
#include "common/mem.h"

/* The VM's run is not on record as one that began. */
static bool
not_recorded(const struct agent_local *local, const struct agent_vm *vm)
{
    if (vm->run == local->run)
        return local->phase == PHASE_STARTING || local->phase == PHASE_WAITING;
    return vm->run > local->run;
}

/* A VM that is wanted and on record as started: halted or not? */
static enum agent_action
decide_paused(const struct agent_want *want, const struct agent_local *local,
              const struct agent_vm *vm)
{
    if (want->paused && !vm->paused && vm->can_pause)
        return ACT_PAUSE;
    if (!want->paused && vm->paused)
        return ACT_RESUME;
    if (local->paused != vm->paused || local->told_seq != want->seq)
        return ACT_TELL;
    return ACT_NONE;
}

/* A VM of ours that runs. Its record comes first (ADOPT): what is billed must
 * have been told, even if it ends a moment later. */
static enum agent_action
decide_running(const struct agent_want *want, const struct agent_local *local,
               const struct agent_vm *vm)
{
    bool wanted = want->power == POWER_RUNNING;

    /* From a future that this node does not know: its database or the
     * controller's is older than the VM. A restart of our own is on record
     * before its VM is, although no wish names it yet. */
    if (wanted && vm->run > MAX(want->run, local->run))
        return ACT_QUARANTINE;
    if (not_recorded(local, vm))
        return ACT_ADOPT;
    /* Told to be over, failed or replaced, and yet it runs: nobody waits for
     * it and nobody pays for it. */
    if (vm->run < local->run || local->phase != PHASE_STARTED)
        return ACT_KILL;
    if (want->power == POWER_DELETED)
        return ACT_KILL;
    if (wanted && vm->run >= want->run)
        return decide_paused(want, local, vm);
    return want->force ? ACT_KILL : ACT_STOP;
}

static enum agent_action
decide_absent(const struct agent_want *want, const struct agent_local *local,
              int64_t now_us)
{
    if (local->phase == PHASE_DELETED)
        return ACT_NONE;
    switch (want->power) {
    case POWER_DELETED:
        return ACT_CLEAN;
    case POWER_STOPPED:
        return local->told_seq == want->seq ? ACT_NONE : ACT_TELL_STOPPED;
    case POWER_RUNNING:
        if (want->run > local->run || local->phase == PHASE_STARTING)
            return ACT_START;
        if (local->phase == PHASE_WAITING)
            return agent_restart_wait(local, now_us) ? ACT_WAIT : ACT_START;
        return ACT_NONE;
    }
    return ACT_NONE;
}

enum agent_action
agent_decide(const struct agent_want *want, const struct agent_local *local,
             const struct agent_vm *vm, int64_t now_us)
{
    if (vm->state != VM_ABSENT && !vm->ours)
        return want->power == POWER_RUNNING && want->run > local->run
                   ? ACT_REFUSE
                   : ACT_QUARANTINE;
    if (vm->state == VM_RUNS)
        return decide_running(want, local, vm);
    if (vm->state == VM_ENDED) {
        /* It ran and ended before anybody recorded its start: first the one,
         * then the other is told. */
        if (not_recorded(local, vm))
            return ACT_ADOPT;
        if (local->phase == PHASE_STARTED)
            return ACT_END;
        return ACT_FORGET;
    }
    if (local->phase == PHASE_STARTED)
        return ACT_END;
    return decide_absent(want, local, now_us);
}

int64_t
agent_start_run(const struct agent_want *want, const struct agent_local *local)
{
    return MAX(want->run, local->run);
}

const char *
agent_action_name(enum agent_action a)
{
    static const char *const names[] = {
        [ACT_NONE] = "none",     [ACT_START] = "start",
        [ACT_ADOPT] = "adopt",   [ACT_STOP] = "stop",
        [ACT_KILL] = "kill",     [ACT_END] = "end",
        [ACT_FORGET] = "forget", [ACT_TELL_STOPPED] = "tell-stopped",
        [ACT_CLEAN] = "clean",   [ACT_QUARANTINE] = "quarantine",
        [ACT_REFUSE] = "refuse", [ACT_WAIT] = "wait",
        [ACT_PAUSE] = "pause",   [ACT_RESUME] = "resume",
        [ACT_TELL] = "tell",
    };

    return (size_t)a < ARRAY_SIZE(names) ? names[a] : "?";
}

const char *
agent_end_reason(const struct agent_want *want, const struct agent_local *local,
                 const struct agent_vm *vm, bool stop_asked)
{
    bool unwanted = want->power != POWER_RUNNING || want->run > local->run;
    /* An ended VM of another run says nothing about this one. */
    bool told = vm->state == VM_ENDED && vm->run == local->run;

    switch (told ? vm->end : HV_END_UNKNOWN) {
    case HV_END_GUEST:
        return unwanted || stop_asked ? "requested" : "guest";
    case HV_END_KILLED:
        return unwanted || stop_asked ? "requested" : "killed";
    case HV_END_CRASHED:
        return "crashed";
    case HV_END_NONE:
    case HV_END_UNKNOWN:
        break;
    }
    return stop_asked ? "requested" : "unknown";
}

/* The wish is still for the run that ended, or for one before it. */
static bool
wanted_on(const struct agent_want *want, const struct agent_local *local)
{
    return want->power == POWER_RUNNING && want->run <= local->run;
}

bool
agent_restarts(const struct agent_want *want, const struct agent_local *local,
               const char *reason)
{
    if (!wanted_on(want, local) || streq(reason, "requested"))
        return false;
    switch (want->restart) {
    case RESTART_NEVER:
        return false;
    case RESTART_ON_FAILURE:
        /* Nobody saw an "unknown" end, as when the machine lost its power:
         * guests that end in order are seen to do so. */
        return !streq(reason, "guest");
    case RESTART_ALWAYS:
        return true;
    }
    return false;
}

bool
agent_restarts_failed(const struct agent_want *want,
                      const struct agent_local *local)
{
    return wanted_on(want, local) && want->restart != RESTART_NEVER &&
           local->restarts > 0;
}

static int64_t
restart_delay(int64_t restarts)
{
    int64_t wait = RESTART_WAIT_US;

    for (int64_t n = 1; n < restarts && wait < RESTART_WAIT_MAX_US; n++)
        wait *= 2;
    return MIN(wait, RESTART_WAIT_MAX_US);
}

void
agent_plan_restart(struct agent_local *local, int64_t ended_us, int64_t now_us)
{
    bool ran_long = local->phase == PHASE_STARTED && local->started_us > 0 &&
                    ended_us - local->started_us >= RESTART_RESET_US;

    local->restarts = ran_long ? 1 : local->restarts + 1;
    local->restart_at_us = now_us + restart_delay(local->restarts);
    local->phase = PHASE_WAITING;
    local->run++;
    local->started_us = 0;
    local->paused = false;
    local->size = (struct agent_size){0};
}

int64_t
agent_restart_wait(const struct agent_local *local, int64_t now_us)
{
    int64_t left = local->restart_at_us - now_us;

    return left > 0 && left <= restart_delay(local->restarts) ? left : 0;
}
