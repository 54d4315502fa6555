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
#define NOW INT64_C(1700000000000000)
#define S INT64_C(1000000)

struct world {
    struct agent_want want;
    struct agent_local local;
    struct agent_vm vm;
    int64_t now_us;
    unsigned seen_running; /* bit r: run r was recorded as started */
};

/* Records the end of run local.run, with what follows from the policy. */
static void
end_run(struct world *w)
{
    const char *why = agent_end_reason(&w->want, &w->local, &w->vm, false);

    if (w->want.power == POWER_STOPPED)
        w->local.told_seq = w->want.seq;
    if (agent_restarts(&w->want, &w->local, why))
        agent_plan_restart(&w->local, w->now_us, w->now_us);
    else
        w->local.phase = PHASE_ENDED;
}

/* What the agent does for an action, in the abstract. False: it waits. */
static bool
perform(struct world *w, enum agent_action a)
{
    int64_t run = agent_start_run(&w->want, &w->local);

    switch (a) {
    case ACT_START:
        assert_int_equal(w->vm.state, VM_ABSENT);
        assert_false(w->seen_running & 1u << run);
        if (w->local.phase != PHASE_STARTING || w->local.run != run) {
            w->local.phase = PHASE_STARTING;
            w->local.run = run;
        } else {
            w->vm.state = VM_RUNS;
            w->vm.run = run;
            w->vm.ours = true;
            w->vm.paused = false;
            w->vm.end = HV_END_NONE;
        }
        return true;
    case ACT_ADOPT:
        assert_true(w->vm.ours);
        w->local.phase = PHASE_STARTED;
        w->local.run = w->vm.run;
        w->local.paused = false;
        if (w->want.power == POWER_RUNNING && w->vm.run >= w->want.run)
            w->local.told_seq = w->want.seq;
        w->seen_running |= 1u << w->vm.run;
        return true;
    case ACT_PAUSE:
        assert_true(w->vm.can_pause);
        /* fall through */
    case ACT_RESUME:
        assert_true(w->vm.ours);
        assert_int_equal(w->vm.state, VM_RUNS);
        assert_int_equal(w->want.power, POWER_RUNNING);
        assert_int_equal(w->want.paused, a == ACT_PAUSE);
        assert_int_not_equal(w->want.paused, w->vm.paused);
        w->vm.paused = a == ACT_PAUSE;
        return true;
    case ACT_TELL:
        assert_int_equal(w->local.phase, PHASE_STARTED);
        assert_int_equal(w->vm.state, VM_RUNS);
        assert_int_equal(w->vm.run, w->local.run);
        assert_int_equal(w->want.power, POWER_RUNNING);
        w->local.paused = w->vm.paused;
        w->local.told_seq = w->want.seq;
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
        end_run(w);
        return true;
    case ACT_WAIT:
        assert_int_equal(w->local.phase, PHASE_WAITING);
        w->now_us += agent_restart_wait(&w->local, w->now_us);
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
        assert_true(w->vm.run >= w->want.run);
        assert_int_equal(w->vm.paused, w->want.paused && w->vm.can_pause);
        assert_int_equal(w->local.paused, w->vm.paused);
        assert_int_equal(w->local.told_seq, w->want.seq);
    } else {
        assert_true(w->local.phase == PHASE_ENDED ||
                    w->local.phase == PHASE_FAILED);
        assert_int_equal(w->vm.state, VM_ABSENT);
        assert_true(w->local.run >= w->want.run);
    }
}

static void
settle(struct world w)
{
    bool foreign = w.vm.state != VM_ABSENT && !w.vm.ours;
    struct agent_vm before = w.vm;

    for (int steps = 0; steps < 20; steps++) {
        enum agent_action a = agent_decide(&w.want, &w.local, &w.vm, w.now_us);

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

/* The same for each way in which a VM that runs may be halted. */
static void
each_pause(struct world w, void (*fn)(struct world w))
{
    for (int wanted = 0; wanted < 2; wanted++)
        for (int told = 0; told < 2; told++)
            for (int paused = 0; paused < 2; paused++)
                for (int can = paused; can < 2; can++) {
                    if (paused && w.vm.state != VM_RUNS)
                        continue;
                    w.want.paused = wanted;
                    w.local.paused = told && w.local.phase == PHASE_STARTED;
                    w.vm.paused = paused;
                    w.vm.can_pause = can;
                    fn(w);
                }
}

/* Calls fn for every VM that may stand there. */
static void
each_vm(struct world w, void (*fn)(struct world w))
{
    for (int vm = 0; vm <= VM_ENDED; vm++)
        for (int run = 1; run <= RUNS; run++)
            for (int ours = 0; ours < 2; ours++)
                for (int end = 0; end <= HV_END_UNKNOWN; end++) {
                    if (vm != VM_ENDED && end)
                        continue;
                    w.vm = (struct agent_vm){
                        .run = run, .ours = ours, .end = (enum hv_end)end};
                    w.vm.state = vm;
                    each_pause(w, fn);
                }
}

/* The same for every record of this node. */
static void
each_local(struct world w, void (*fn)(struct world w))
{
    for (int phase = 0; phase <= PHASE_WAITING; phase++)
        for (int run = 0; run < RUNS; run++)
            for (int told = 0; told < 2; told++)
                for (int late = 0; late < 2; late++) {
                    w.local = (struct agent_local){
                        .phase = phase,
                        .run = run,
                        .told_seq = told ? 7 : 6,
                        .restarts = phase == PHASE_WAITING,
                        .restart_at_us = late ? NOW - 1 : NOW + 1};
                    w.seen_running = 0;
                    /* Every phase but NEW is of a run, and only WAITING has
                     * a time. */
                    if ((phase == PHASE_NEW) != (run == 0) ||
                        (late && phase != PHASE_WAITING))
                        continue;
                    if (phase == PHASE_STARTED || phase == PHASE_ENDED)
                        w.seen_running = 1u << run;
                    each_vm(w, fn);
                }
}

/* Calls fn for every combination of wish, record and VM. */
static void
each_world(void (*fn)(struct world w))
{
    for (int power = 0; power <= POWER_DELETED; power++)
        for (int force = 0; force < 2; force++)
            for (int policy = 0; policy <= RESTART_ALWAYS; policy++)
                for (int run = 1; run < RUNS; run++)
                    each_local((struct world){.want = {.seq = 7,
                                                       .run = run,
                                                       .power = power,
                                                       .force = force,
                                                       .restart = policy},
                                              .now_us = NOW},
                               fn);
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
    enum agent_action a = agent_decide(&w.want, &w.local, &w.vm, w.now_us);
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
    enum agent_action a = agent_decide(&w.want, &w.local, &w.vm, w.now_us);

    if (a != ACT_START)
        return;
    assert_int_equal(w.want.power, POWER_RUNNING);
    assert_int_equal(w.vm.state, VM_ABSENT);
    assert_true(w.want.run > w.local.run || w.local.phase == PHASE_STARTING ||
                w.local.phase == PHASE_WAITING);
    assert_true(agent_start_run(&w.want, &w.local) >= w.want.run);
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

struct pause_row {
    struct row r;
    bool want_paused, told_paused, vm_paused;
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
    /* The restart policy: nothing but the wait is between its runs. */
    {"waits", POWER_RUNNING, 1, 0, PHASE_WAITING, 2, VM_ABSENT, 0, ACT_WAIT},
    {"waits, the controller knows", POWER_RUNNING, 2, 0, PHASE_WAITING, 2,
     VM_ABSENT, 0, ACT_WAIT},
    {"waits, the ended VM is there", POWER_RUNNING, 1, 0, PHASE_WAITING, 2,
     VM_ENDED, 1, ACT_FORGET},
    {"stop while it waits", POWER_STOPPED, 1, 0, PHASE_WAITING, 2, VM_ABSENT, 0,
     ACT_TELL_STOPPED},
    {"delete while it waits", POWER_DELETED, 1, 0, PHASE_WAITING, 2, VM_ABSENT,
     0, ACT_CLEAN},
    {"reboot twice while it waits", POWER_RUNNING, 3, 0, PHASE_WAITING, 2,
     VM_ABSENT, 0, ACT_START},
    {"restart begun", POWER_RUNNING, 1, 0, PHASE_STARTING, 2, VM_ABSENT, 0,
     ACT_START},
    {"restart begun, runs", POWER_RUNNING, 1, 0, PHASE_STARTING, 2, VM_RUNS, 2,
     ACT_ADOPT},
    {"restarted, the controller behind", POWER_RUNNING, 1, 0, PHASE_STARTED, 2,
     VM_RUNS, 2, ACT_NONE},
    {"restarted, stop of the run before", POWER_STOPPED, 1, 0, PHASE_STARTED, 2,
     VM_RUNS, 2, ACT_STOP},
    {"restarted, delete of the run before", POWER_DELETED, 1, 0, PHASE_STARTED,
     2, VM_RUNS, 2, ACT_KILL},
    {"VM of a run yet to come", POWER_RUNNING, 1, 0, PHASE_WAITING, 2, VM_RUNS,
     3, ACT_QUARANTINE},
    {"told to be over, runs", POWER_RUNNING, 1, 0, PHASE_ENDED, 1, VM_RUNS, 1,
     ACT_KILL},
};

static const struct pause_row pause_rows[] = {
    {{"pause", POWER_RUNNING, 1, 0, PHASE_STARTED, 1, VM_RUNS, 1, ACT_PAUSE},
     1,
     0,
     0},
    {{"paused, not told", POWER_RUNNING, 1, 0, PHASE_STARTED, 1, VM_RUNS, 1,
      ACT_TELL},
     1,
     0,
     1},
    {{"paused, told", POWER_RUNNING, 1, 0, PHASE_STARTED, 1, VM_RUNS, 1,
      ACT_NONE},
     1,
     1,
     1},
    {{"resume", POWER_RUNNING, 1, 0, PHASE_STARTED, 1, VM_RUNS, 1, ACT_RESUME},
     0,
     1,
     1},
    {{"resumed, not told", POWER_RUNNING, 1, 0, PHASE_STARTED, 1, VM_RUNS, 1,
      ACT_TELL},
     0,
     1,
     0},
    {{"resume before the pause was told", POWER_RUNNING, 1, 0, PHASE_STARTED, 1,
      VM_RUNS, 1, ACT_RESUME},
     0,
     0,
     1},
    {{"start paused: it is told to run first", POWER_RUNNING, 1, 0,
      PHASE_STARTING, 1, VM_RUNS, 1, ACT_ADOPT},
     1,
     0,
     0},
    {{"found paused, its start not recorded", POWER_RUNNING, 1, 0,
      PHASE_STARTING, 1, VM_RUNS, 1, ACT_ADOPT},
     1,
     0,
     1},
    {{"restarted by the policy, to be paused", POWER_RUNNING, 1, 0,
      PHASE_STARTED, 2, VM_RUNS, 2, ACT_PAUSE},
     1,
     0,
     0},
    {{"stop what is paused", POWER_STOPPED, 1, 0, PHASE_STARTED, 1, VM_RUNS, 1,
      ACT_STOP},
     0,
     1,
     1},
    {{"stop and pause", POWER_STOPPED, 1, 0, PHASE_STARTED, 1, VM_RUNS, 1,
      ACT_STOP},
     1,
     1,
     1},
    {{"force what is paused", POWER_STOPPED, 1, 1, PHASE_STARTED, 1, VM_RUNS, 1,
      ACT_KILL},
     0,
     1,
     1},
    {{"reboot what is paused", POWER_RUNNING, 2, 0, PHASE_STARTED, 1, VM_RUNS,
      1, ACT_STOP},
     1,
     1,
     1},
    {{"delete what is paused", POWER_DELETED, 1, 0, PHASE_STARTED, 1, VM_RUNS,
      1, ACT_KILL},
     1,
     1,
     1},
    {{"paused, ended", POWER_RUNNING, 1, 0, PHASE_STARTED, 1, VM_ENDED, 1,
      ACT_END},
     1,
     1,
     0},
};

/* Nobody may wait in vain for the answer to a wish that changes nothing: a
 * pause that was taken back before the node heard of it is one. */
static void
agent_decide__newer_wish_is_answered_once(void **state)
{
    struct agent_want want = {.seq = 7, .run = 1, .power = POWER_RUNNING};
    struct agent_local local = {
        .phase = PHASE_STARTED, .run = 1, .told_seq = 5};
    struct agent_vm vm = {.run = 1, .ours = true, .can_pause = true};

    vm.state = VM_RUNS;
    assert_int_equal(agent_decide(&want, &local, &vm, NOW), ACT_TELL);
    local.told_seq = 7;
    assert_int_equal(agent_decide(&want, &local, &vm, NOW), ACT_NONE);
}

/* It stays as it is, says so once, and does not spin. */
static void
agent_decide__driver_that_cannot_pause_lets_it_run(void **state)
{
    struct agent_want want = {
        .seq = 7, .run = 1, .power = POWER_RUNNING, .paused = true};
    struct agent_local local = {
        .phase = PHASE_STARTED, .run = 1, .told_seq = 5};
    struct agent_vm vm = {.run = 1, .ours = true};

    vm.state = VM_RUNS;
    assert_int_equal(agent_decide(&want, &local, &vm, NOW), ACT_TELL);
    local.told_seq = 7;
    assert_int_equal(agent_decide(&want, &local, &vm, NOW), ACT_NONE);
}

static void
check_row(const struct row *w, bool want_paused, bool told_paused,
          bool vm_paused)
{
    struct agent_want want = {.seq = 5,
                              .run = w->run,
                              .power = w->power,
                              .force = w->force,
                              .paused = want_paused};
    struct agent_local local = {.phase = w->phase,
                                .run = w->local_run,
                                .told_seq = w->power == POWER_RUNNING ? 5 : 4,
                                .restarts = 1,
                                .restart_at_us = NOW + S,
                                .paused = told_paused};
    struct agent_vm vm = {
        .run = w->vm_run, .ours = true, .paused = vm_paused, .can_pause = true};

    vm.state = w->vm;
    enum agent_action a = agent_decide(&want, &local, &vm, NOW);
    if (a != w->expect)
        fail_msg("%s: %s instead of %s", w->what, agent_action_name(a),
                 agent_action_name(w->expect));
}

static void
agent_decide__protocol_cases(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        check_row(&rows[i], false, false, false);
    for (size_t i = 0; i < ARRAY_SIZE(pause_rows); i++)
        check_row(&pause_rows[i].r, pause_rows[i].want_paused,
                  pause_rows[i].told_paused, pause_rows[i].vm_paused);
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

static void
agent_restarts__by_policy_and_reason(void **state)
{
    static const struct {
        const char *reason;
        bool on_failure, always;
    } rows_[] = {
        {"crashed", true, true},     {"killed", true, true},
        {"unknown", true, true},     {"guest", false, true},
        {"requested", false, false},
    };
    struct agent_local l = {.phase = PHASE_STARTED, .run = 2};

    for (size_t i = 0; i < ARRAY_SIZE(rows_); i++)
        for (int policy = 0; policy <= RESTART_ALWAYS; policy++) {
            struct agent_want w = {
                .run = 2, .power = POWER_RUNNING, .restart = policy};
            bool expect = policy == RESTART_ALWAYS       ? rows_[i].always
                          : policy == RESTART_ON_FAILURE ? rows_[i].on_failure
                                                         : false;

            assert_int_equal(agent_restarts(&w, &l, rows_[i].reason), expect);
            w.run = 1; /* the controller is behind */
            assert_int_equal(agent_restarts(&w, &l, rows_[i].reason), expect);
            w.run = 3; /* another start was asked for */
            assert_false(agent_restarts(&w, &l, rows_[i].reason));
            w.run = 2;
            w.power = POWER_STOPPED;
            assert_false(agent_restarts(&w, &l, rows_[i].reason));
            w.power = POWER_DELETED;
            assert_false(agent_restarts(&w, &l, rows_[i].reason));
        }
}

static void
agent_restarts_failed__only_its_own_starts(void **state)
{
    struct agent_want w = {
        .run = 1, .power = POWER_RUNNING, .restart = RESTART_ALWAYS};
    struct agent_local l = {.phase = PHASE_STARTING, .run = 1};

    assert_false(agent_restarts_failed(&w, &l));
    l = (struct agent_local){.phase = PHASE_STARTING, .run = 2, .restarts = 1};
    assert_true(agent_restarts_failed(&w, &l));
    w.run = 3; /* asked for meanwhile */
    assert_false(agent_restarts_failed(&w, &l));
    w.run = 2;
    w.restart = RESTART_NEVER;
    assert_false(agent_restarts_failed(&w, &l));
    w.restart = RESTART_ALWAYS;
    w.power = POWER_STOPPED;
    assert_false(agent_restarts_failed(&w, &l));
}

static void
agent_plan_restart__backs_off_and_resets(void **state)
{
    static const int64_t waits[] = {1, 2, 4, 8, 16, 32, 60, 60, 60};
    struct agent_local l = {.run = 1};
    int64_t now = NOW;

    for (size_t i = 0; i < ARRAY_SIZE(waits); i++) {
        l.phase = PHASE_STARTED;
        l.started_us = now;
        now += RESTART_RESET_US - 1;
        agent_plan_restart(&l, now, now);
        assert_int_equal(l.phase, PHASE_WAITING);
        assert_int_equal(l.run, (int64_t)i + 2);
        assert_int_equal(agent_restart_wait(&l, now), waits[i] * S);
        now += waits[i] * S - 1;
        assert_int_equal(agent_restart_wait(&l, now), 1);
        assert_int_equal(agent_restart_wait(&l, ++now), 0);
    }
    /* A failed restart has not run: it goes on in the row. */
    l.phase = PHASE_STARTING;
    l.started_us = 0;
    agent_plan_restart(&l, now, now);
    assert_int_equal(agent_restart_wait(&l, now), 60 * S);
    l.phase = PHASE_STARTED;
    l.started_us = now;
    agent_plan_restart(&l, now + RESTART_RESET_US, now + RESTART_RESET_US);
    assert_int_equal(agent_restart_wait(&l, now + RESTART_RESET_US), S);
    l.restarts = INT64_MAX - 1;
    agent_plan_restart(&l, now, now);
    assert_int_equal(agent_restart_wait(&l, now), 60 * S);
}

static void
agent_restart_wait__clock_that_was_set_back_ends_it(void **state)
{
    struct agent_local l = {.phase = PHASE_STARTED, .run = 1};

    agent_plan_restart(&l, NOW, NOW);
    assert_int_equal(agent_restart_wait(&l, NOW - 1), 0);
    assert_int_equal(agent_restart_wait(&l, NOW - 3600 * S), 0);
    assert_int_equal(agent_restart_wait(&l, NOW + 3600 * S), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agent_decide__every_state_settles),
        cmocka_unit_test(agent_decide__foreign_vm_is_never_touched),
        cmocka_unit_test(agent_decide__starts_only_new_runs_where_nothing_runs),
        cmocka_unit_test(agent_decide__protocol_cases),
        cmocka_unit_test(agent_decide__newer_wish_is_answered_once),
        cmocka_unit_test(agent_decide__driver_that_cannot_pause_lets_it_run),
        cmocka_unit_test(agent_end_reason__says_who_ended_it),
        cmocka_unit_test(agent_restarts__by_policy_and_reason),
        cmocka_unit_test(agent_restarts_failed__only_its_own_starts),
        cmocka_unit_test(agent_plan_restart__backs_off_and_resets),
        cmocka_unit_test(agent_restart_wait__clock_that_was_set_back_ends_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
