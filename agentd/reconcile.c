/* reconcile.c - the decision table of the agent; see reconcile.h. */
#include <config.h>

#include "agentd/reconcile.h"

#include "common/cleanup.h"

/* A VM of ours that runs. Its record comes first (ADOPT): what is billed must
 * have been told, even if it ends a moment later. */
static enum agent_action
decide_running(const struct agent_want *want, const struct agent_local *local,
               const struct agent_vm *vm)
{
    bool wanted = want->power == POWER_RUNNING;

    /* From a future that this node does not know: its database or the
     * controller's is older than the VM. */
    if (wanted && vm->run > want->run)
        return ACT_QUARANTINE;
    if (vm->run > local->run ||
        (vm->run == local->run && local->phase == PHASE_STARTING))
        return ACT_ADOPT;
    /* Told to be over, failed or replaced, and yet it runs: nobody waits for
     * it and nobody pays for it. */
    if (vm->run < local->run || local->phase != PHASE_STARTED)
        return ACT_KILL;
    if (want->power == POWER_DELETED)
        return ACT_KILL;
    if (wanted && vm->run == want->run)
        return ACT_NONE;
    return want->force ? ACT_KILL : ACT_STOP;
}

static enum agent_action
decide_absent(const struct agent_want *want, const struct agent_local *local)
{
    if (local->phase == PHASE_DELETED)
        return ACT_NONE;
    switch (want->power) {
    case POWER_DELETED:
        return ACT_CLEAN;
    case POWER_STOPPED:
        return local->told_seq == want->seq ? ACT_NONE : ACT_TELL_STOPPED;
    case POWER_RUNNING:
        if (want->run > local->run ||
            (want->run == local->run && local->phase == PHASE_STARTING))
            return ACT_START;
        return ACT_NONE;
    }
    return ACT_NONE;
}

enum agent_action
agent_decide(const struct agent_want *want, const struct agent_local *local,
             const struct agent_vm *vm)
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
        if (vm->run > local->run ||
            (vm->run == local->run && local->phase == PHASE_STARTING))
            return ACT_ADOPT;
        if (local->phase == PHASE_STARTED)
            return ACT_END;
        return ACT_FORGET;
    }
    if (local->phase == PHASE_STARTED)
        return ACT_END;
    return decide_absent(want, local);
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
        [ACT_REFUSE] = "refuse",
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
