/* test-agentd-reconcile.c - the decision table, over every combination. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include "agentd/reconcile.h"
#include "common/cleanup.h"
#include "common/mem.h"

#define RUNS 4 /* run numbers 0..3 */

struct world {
    struct agent_want want;
    struct agent_local local;
    struct agent_vm vm;
    unsigned seen_running; /* bit r: run r was recorded as started */
};

/* What the agent does for an action, in the abstract. False: it waits. */
static bool
perform(struct world *w, enum agent_action a)
{
    switch (a) {
    case ACT_START:
        assert_int_equal(w->vm.state, VM_ABSENT);
        assert_false(w->seen_running & 1u << w->want.run);
        if (w->local.phase != PHASE_STARTING || w->local.run != w->want.run) {
            w->local.phase = PHASE_STARTING;
            w->local.run = w->want.run;
        } else {
            w->vm.state = VM_RUNS;
            w->vm.run = w->want.run;
            w->vm.ours = true;
            w->vm.end = HV_END_NONE;
        }
        return true;
    case ACT_ADOPT:
        assert_true(w->vm.ours);
        w->local.phase = PHASE_STARTED;
        w->local.run = w->vm.run;
        w->seen_running |= 1u << w->vm.run;
        return true;
    case ACT_STOP:
    case ACT_KILL:
        assert_true(w->vm.ours);
        assert_int_equal(w->vm.state, VM_RUNS);
        w->vm.state = VM_ENDED;
        w->vm.end = a == ACT_KILL ? HV_END_KILLED : HV_END_GUEST;
        return true;
    case ACT_END:
        assert_int_equal(w->local.phase, PHASE_STARTED);
        assert_true(w->vm.state != VM_RUNS);
        w->local.phase = PHASE_ENDED;
        if (w->want.power == POWER_STOPPED)
            w->local.told_seq = w->want.seq;
        return true;
    case ACT_FORGET:
        assert_true(w->vm.ours);
        assert_int_equal(w->vm.state, VM_ENDED);
        /* What it was is told by now. */
        assert_true(w->local.phase != PHASE_STARTED);
        w->vm.state = VM_ABSENT;
        return true;
    case ACT_TELL_STOPPED:
        w->local.phase = PHASE_ENDED;
        w->local.run = MAX(w->local.run, w->want.run);
        w->local.told_seq = w->want.seq;
        return true;
    case ACT_CLEAN:
        assert_int_equal(w->want.power, POWER_DELETED);
        assert_int_equal(w->vm.state, VM_ABSENT);
        w->local.phase = PHASE_DELETED;
        return true;
    case ACT_REFUSE:
        w->local.phase = PHASE_FAILED;
        w->local.run = w->want.run;
        return true;
    case ACT_NONE:
    case ACT_QUARANTINE:
        return false;
    }
    fail_msg("action %d", (int)a);
    return false;
}

/* In the state where nothing is left to do, it is as it was wanted. */
static void
check_settled(const struct world *w, enum agent_action last)
{
    if (last == ACT_QUARANTINE)
        return;
    if (w->local.phase == PHASE_DELETED)
        return;
    if (w->want.power == POWER_DELETED)
        fail_msg("not deleted");
    if (w->want.power == POWER_STOPPED) {
        assert_int_equal(w->vm.state, VM_ABSENT);
        assert_int_equal(w->local.told_seq, w->want.seq);
    } else if (w->local.phase == PHASE_STARTED) {
        assert_int_equal(w->vm.state, VM_RUNS);
        assert_int_equal(w->vm.run, w->local.run);
    } else {
        assert_int_equal(w->vm.state, VM_ABSENT);
        assert_true(w->local.run >= w->want.run);
    }
}

static void
settle(struct world w)
{
    bool foreign = w.vm.state != VM_ABSENT && !w.vm.ours;
    struct agent_vm before = w.vm;

    for (int steps = 0; steps < 12; steps++) {
        enum agent_action a = agent_decide(&w.want, &w.local, &w.vm);

        if (!perform(&w, a)) {
            check_settled(&w, a);
            if (foreign) {
                assert_int_equal(w.vm.state, before.state);
                assert_int_equal(w.vm.run, before.run);
            }
            return;
        }
    }
    fail_msg("never settles: power %d run %d, phase %d run %d, vm %d run %d",
             (int)w.want.power, (int)w.want.run, (int)w.local.phase,
             (int)w.local.run, (int)w.vm.state, (int)w.vm.run);
}

/* Calls fn for every combination of wish, record and VM. */
static void
each_world(void (*fn)(struct world w))
{
    for (int power = 0; power <= POWER_DELETED; power++)
        for (int force = 0; force < 2; force++)
            for (int want_run = 1; want_run < RUNS; want_run++)
                for (int phase = 0; phase <= PHASE_DELETED; phase++)
                    for (int run = 0; run < RUNS; run++)
                        for (int told = 0; told < 2; told++)
                            for (int vm = 0; vm <= VM_ENDED; vm++)
                                for (int vm_run = 1; vm_run < RUNS; vm_run++)
                                    for (int ours = 0; ours < 2; ours++) {
                                        struct world w = {
                                            .want = {.seq = 7,
                                                     .run = want_run,
                                                     .power = power,
                                                     .force = force},
                                            .local = {.phase = phase,
                                                      .run = run,
                                                      .told_seq = told ? 7 : 6},
                                            .vm = {.state = vm,
                                                   .run = vm_run,
                                                   .ours = ours},
                                        };

                                        /* Every phase but NEW is of a run. */
                                        if ((phase == PHASE_NEW) != (run == 0))
                                            continue;
                                        if (phase == PHASE_STARTED ||
                                            phase == PHASE_ENDED)
                                            w.seen_running = 1u << run;
                                        fn(w);
                                    }
}

static void
agent_decide__every_state_settles(void **state)
{
    each_world(settle);
}

static void
check_foreign(struct world w)
{
    if (w.vm.state == VM_ABSENT || w.vm.ours)
        return;
    enum agent_action a = agent_decide(&w.want, &w.local, &w.vm);
    assert_true(a == ACT_QUARANTINE || a == ACT_REFUSE);
}

static void
agent_decide__foreign_vm_is_never_touched(void **state)
{
    each_world(check_foreign);
}

static void
check_start(struct world w)
{
    enum agent_action a = agent_decide(&w.want, &w.local, &w.vm);

    if (a != ACT_START)
        return;
    assert_int_equal(w.want.power, POWER_RUNNING);
    assert_int_equal(w.vm.state, VM_ABSENT);
    assert_true(w.want.run > w.local.run || w.local.phase == PHASE_STARTING);
}

static void
agent_decide__starts_only_new_runs_where_nothing_runs(void **state)
{
    each_world(check_start);
}

struct row {
    const char *what;
    enum api_power power;
    int64_t run;
    bool force;
    enum agent_phase phase;
    int64_t local_run;
    int vm; /* VM_… */
    int64_t vm_run;
    enum agent_action expect;
};

/* The cases that docs/PROTOCOL.md and a crash at each step call for. */
static const struct row rows[] = {
    {"new", POWER_RUNNING, 1, 0, PHASE_NEW, 0, VM_ABSENT, 0, ACT_START},
    {"died before hv_start", POWER_RUNNING, 1, 0, PHASE_STARTING, 1, VM_ABSENT,
     0, ACT_START},
    {"died after hv_start", POWER_RUNNING, 1, 0, PHASE_STARTING, 1, VM_RUNS, 1,
     ACT_ADOPT},
    {"ended before it was recorded", POWER_RUNNING, 1, 0, PHASE_STARTING, 1,
     VM_ENDED, 1, ACT_ADOPT},
    {"runs as wanted", POWER_RUNNING, 1, 0, PHASE_STARTED, 1, VM_RUNS, 1,
     ACT_NONE},
    {"vanished", POWER_RUNNING, 1, 0, PHASE_STARTED, 1, VM_ABSENT, 0, ACT_END},
    {"powered itself off", POWER_RUNNING, 1, 0, PHASE_STARTED, 1, VM_ENDED, 1,
     ACT_END},
    {"end recorded", POWER_RUNNING, 1, 0, PHASE_ENDED, 1, VM_ENDED, 1,
     ACT_FORGET},
    {"stays off", POWER_RUNNING, 1, 0, PHASE_ENDED, 1, VM_ABSENT, 0, ACT_NONE},
    {"failed stays failed", POWER_RUNNING, 1, 0, PHASE_FAILED, 1, VM_ABSENT, 0,
     ACT_NONE},
    {"next run after failure", POWER_RUNNING, 2, 0, PHASE_FAILED, 1, VM_ABSENT,
     0, ACT_START},
    {"reboot", POWER_RUNNING, 2, 0, PHASE_STARTED, 1, VM_RUNS, 1, ACT_STOP},
    {"reset", POWER_RUNNING, 2, 1, PHASE_STARTED, 1, VM_RUNS, 1, ACT_KILL},
    {"stop", POWER_STOPPED, 1, 0, PHASE_STARTED, 1, VM_RUNS, 1, ACT_STOP},
    {"force stop", POWER_STOPPED, 1, 1, PHASE_STARTED, 1, VM_RUNS, 1, ACT_KILL},
    {"stop before any start", POWER_STOPPED, 1, 0, PHASE_NEW, 0, VM_ABSENT, 0,
     ACT_TELL_STOPPED},
    {"stop while starting", POWER_STOPPED, 1, 0, PHASE_STARTING, 1, VM_RUNS, 1,
     ACT_ADOPT},
    {"delete", POWER_DELETED, 1, 0, PHASE_STARTED, 1, VM_RUNS, 1, ACT_KILL},
    {"delete what is off", POWER_DELETED, 1, 0, PHASE_ENDED, 1, VM_ABSENT, 0,
     ACT_CLEAN},
    {"delete what is unknown", POWER_DELETED, 1, 0, PHASE_NEW, 0, VM_ABSENT, 0,
     ACT_CLEAN},
    {"database lost, VM runs", POWER_RUNNING, 1, 0, PHASE_NEW, 0, VM_RUNS, 1,
     ACT_ADOPT},
    {"VM of a later run", POWER_RUNNING, 1, 0, PHASE_ENDED, 1, VM_RUNS, 2,
     ACT_QUARANTINE},
    {"told to be over, runs", POWER_RUNNING, 1, 0, PHASE_ENDED, 1, VM_RUNS, 1,
     ACT_KILL},
};

static void
agent_decide__protocol_cases(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct row *w = &rows[i];
        struct agent_want want = {
            .seq = 5, .run = w->run, .power = w->power, .force = w->force};
        struct agent_local local = {.phase = w->phase, .run = w->local_run};
        struct agent_vm vm = {.run = w->vm_run, .ours = true};

        vm.state = w->vm;
        enum agent_action a = agent_decide(&want, &local, &vm);
        if (a != w->expect)
            fail_msg("%s: %s instead of %s", w->what, agent_action_name(a),
                     agent_action_name(w->expect));
    }
}

static void
agent_end_reason__says_who_ended_it(void **state)
{
    struct agent_want on = {.seq = 1, .run = 1, .power = POWER_RUNNING};
    struct agent_want off = {.seq = 2, .run = 1, .power = POWER_STOPPED};
    struct agent_want next = {.seq = 2, .run = 2, .power = POWER_RUNNING};
    struct agent_local l = {.phase = PHASE_STARTED, .run = 1};
    struct agent_vm vm = {.state = VM_ENDED, .run = 1, .ours = true};
    static const struct {
        enum hv_end end;
        const char *on, *off;
    } want[] = {
        {HV_END_GUEST, "guest", "requested"},
        {HV_END_KILLED, "killed", "requested"},
        {HV_END_CRASHED, "crashed", "crashed"},
        {HV_END_UNKNOWN, "unknown", "unknown"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        vm.end = want[i].end;
        assert_string_equal(agent_end_reason(&on, &l, &vm, false), want[i].on);
        assert_string_equal(agent_end_reason(&off, &l, &vm, false),
                            want[i].off);
        assert_string_equal(agent_end_reason(&next, &l, &vm, false),
                            want[i].off);
    }
    vm.end = HV_END_UNKNOWN;
    assert_string_equal(agent_end_reason(&off, &l, &vm, true), "requested");
    vm.state = VM_ABSENT;
    vm.end = HV_END_GUEST;
    assert_string_equal(agent_end_reason(&on, &l, &vm, false), "unknown");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agent_decide__every_state_settles),
        cmocka_unit_test(agent_decide__foreign_vm_is_never_touched),
        cmocka_unit_test(agent_decide__starts_only_new_runs_where_nothing_runs),
        cmocka_unit_test(agent_decide__protocol_cases),
        cmocka_unit_test(agent_end_reason__says_who_ended_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
