/* test-agentd-restart.c - one instance between a tenant, the controller and
 * its node, in every order of events that the dice find: wishes and reports
 * wait on their way while guests crash, starts fail, the agent loses its
 * memory and the tenant stops, starts, reboots, deletes and changes the
 * restart policy. Then all that is under way arrives, and both sides must
 * agree with each other, with the tenant and with what really ran.
 *
 * The node decides by agentd/reconcile.c, the controller by ops/observe.c;
 * what is played here is agentd/work.c's acting and h_verbs.c's. */
#include <config.h>

#include "tests/unit/store-fixture.h"

#include "agentd/reconcile.h"
#include "common/clock.h"
#include "controllerd/ctl.h"

#define WALKS 3000
#define SPOOL_MAX 200
#define RUNS_MAX 60
#define ID UUID("1001")

struct model {
    struct store_fixture st;
    struct ctl ctl;
    struct store_node node;
    struct observed *seen;
    uint32_t dice;
    int64_t now_us;

    /* The node. */
    struct agent_want want;
    struct agent_local local;
    struct agent_vm vm;
    bool stop_asked;
    bool ran[RUNS_MAX]; /* told as running */
    struct api_observation spool[SPOOL_MAX];
    size_t n_spool, n_sent;

    const char *verb; /* the tenant's last */
    const char *told; /* the reason told last */
    int ends, fails;  /* that may yet happen */
};

/* What happened, for the walk that fails. */
#define TRACE(...)                                                             \
    do {                                                                       \
        if (trace)                                                             \
            print_message(__VA_ARGS__);                                        \
    } while (0)
static bool trace;
static uint32_t walking; /* 0 when all are done */

static uint32_t
rnd(struct model *m, uint32_t n)
{
    m->dice = m->dice * 1664525 + 1013904223;
    return (m->dice >> 8) % n;
}

static void
get(struct model *m, struct store_instance *ret)
{
    assert_int_equal(store_instance_get(m->st.db, NULL, NULL, ID, ret), 0);
}

/* ---- the node ---- */

static struct api_observation *
tell(struct model *m, enum api_observed state, int64_t run, const char *reason)
{
    assert_true(m->n_spool < SPOOL_MAX);
    struct api_observation *o = &m->spool[m->n_spool++];

    *o = (struct api_observation){.seq = (int64_t)m->n_spool,
                                  .instance_id = ID,
                                  .run = run,
                                  .state = (int)state,
                                  .reason = (char *)reason};
    m->told = reason;
    TRACE("  node tells %s %d (%s)\n", api_observed_names[state], (int)run,
          reason ? reason : "-");
    return o;
}

static void
start(struct model *m)
{
    int64_t run = agent_start_run(&m->want, &m->local);

    assert_int_equal(m->vm.state, VM_ABSENT);
    assert_true(run < RUNS_MAX);
    assert_false(m->ran[run]);
    if (m->local.phase != PHASE_STARTING || m->local.run != run) {
        if (m->want.run > m->local.run)
            m->local.restarts = 0;
        m->local.phase = PHASE_STARTING;
        m->local.run = run;
    } else if (m->fails > 0 && rnd(m, 4) == 0) {
        struct api_observation *o = tell(m, OBSERVED_FAILED, run, NULL);

        m->fails--;
        o->restart = agent_restarts_failed(&m->want, &m->local);
        if (o->restart)
            agent_plan_restart(&m->local, m->now_us, m->now_us);
        else
            m->local.phase = PHASE_FAILED;
    } else {
        m->vm = (struct agent_vm){.run = run, .ours = true, .can_pause = true};
        m->vm.state = VM_RUNS;
        m->stop_asked = false;
    }
}

static void
end(struct model *m)
{
    const char *why =
        agent_end_reason(&m->want, &m->local, &m->vm, m->stop_asked);
    struct api_observation *o = tell(m, OBSERVED_STOPPED, m->local.run, why);

    if (m->want.power == POWER_STOPPED && m->local.run >= m->want.run)
        m->local.told_seq = m->want.seq;
    o->restart = agent_restarts(&m->want, &m->local, why);
    if (o->restart)
        agent_plan_restart(&m->local, m->now_us, m->now_us);
    else
        m->local.phase = PHASE_ENDED;
}

/* One pass. False if there was nothing to do. */
static bool
pass(struct model *m)
{
    m->now_us++;
    switch (agent_decide(&m->want, &m->local, &m->vm, m->now_us)) {
    case ACT_NONE:
        return false;
    case ACT_WAIT:
        m->now_us += agent_restart_wait(&m->local, m->now_us);
        return true;
    case ACT_START:
        start(m);
        return true;
    case ACT_ADOPT:
        m->local.phase = PHASE_STARTED;
        m->local.run = m->vm.run;
        m->local.started_us = m->now_us;
        m->local.paused = false;
        if (m->want.power == POWER_RUNNING && m->vm.run >= m->want.run)
            m->local.told_seq = m->want.seq;
        assert_false(m->ran[m->vm.run]);
        m->ran[m->vm.run] = true;
        tell(m, OBSERVED_RUNNING, m->vm.run, NULL);
        return true;
    case ACT_PAUSE:
    case ACT_RESUME:
        m->vm.paused = !m->vm.paused;
        return true;
    case ACT_TELL:
        m->local.paused = m->vm.paused;
        m->local.told_seq = m->want.seq;
        tell(m, m->vm.paused ? OBSERVED_PAUSED : OBSERVED_RUNNING, m->vm.run,
             NULL);
        return true;
    case ACT_STOP:
    case ACT_KILL:
        m->stop_asked = true;
        m->vm.paused = false;
        m->vm.state = VM_ENDED;
        m->vm.end = rnd(m, 2) ? HV_END_GUEST : HV_END_KILLED;
        return true;
    case ACT_END:
        end(m);
        return true;
    case ACT_FORGET:
        m->vm = (struct agent_vm){.state = VM_ABSENT};
        return true;
    case ACT_TELL_STOPPED:
        m->local.phase = PHASE_ENDED;
        m->local.run = MAX(m->want.run, m->local.run);
        m->local.told_seq = m->want.seq;
        tell(m, OBSERVED_STOPPED, m->local.run, "requested");
        return true;
    case ACT_CLEAN:
        m->local.phase = PHASE_DELETED;
        tell(m, OBSERVED_DELETED, m->local.run, NULL);
        return true;
    case ACT_QUARANTINE:
    case ACT_REFUSE:
        break;
    }
    fail_msg("its own VM is a stranger");
    return false;
}

/* ---- between them ---- */

/* The wish as it is now, if it is new. */
static bool
deliver_wish(struct model *m)
{
    struct codec_list l = {0};
    int64_t last = 0;
    bool more;

    assert_int_equal(
        store_desired_list(m->st.db, NODE1, m->want.seq, 10, &l, &last, &more),
        0);
    const struct api_desired_instance *d = l.items;
    bool news = l.n > 0;
    if (news)
        m->want = (struct agent_want){.seq = d->seq,
                                      .run = d->run,
                                      .power = (enum api_power)d->power,
                                      .force = d->force,
                                      .paused = d->paused,
                                      .restart = d->restart_policy};
    if (news)
        TRACE("  node hears %s, run %d\n", api_power_names[m->want.power],
              (int)m->want.run);
    codec_list_clear(&table_desired_instance, &l);
    return news;
}

/* Up to n observations, some of them for the second time. */
static bool
deliver_report(struct model *m, size_t n)
{
    size_t from = rnd(m, (uint32_t)m->n_sent + 1);
    size_t to = MIN(m->n_sent + n, m->n_spool);
    bool news = to > m->n_sent;
    struct api_report rp = {.observations = {m->spool + from, to - from}};

    assert_int_equal(op_observe(&m->ctl, m->st.db, &m->node, &rp, m->seen), 0);
    TRACE("controller hears %zu to %zu\n", from + 1, to);
    m->n_sent = to;
    return news;
}

/* ---- the tenant ---- */

static void
ask(struct model *m, struct store_instance *i, const char *verb,
    enum api_power power, enum api_instance_state state, bool new_run)
{
    struct api_operation o = {0};

    i->power = power;
    i->force = power == POWER_DELETED || rnd(m, 2);
    i->a.state = (int)state;
    i->a.run += new_run;
    op_change(&m->ctl, i);
    assert_int_equal(op_begin(m->st.db, i, verb, "asked", "rq", &o), 0);
    assert_int_equal(store_instance_update(m->st.db, i, 0), 0);
    codec_clear(&table_operation, &o);
    m->verb = verb;
    TRACE("tenant: %s, run %d\n", verb, (int)i->a.run);
}

static void
act(struct model *m)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};

    if (store_instance_get(m->st.db, NULL, NULL, ID, &i) == -ENOENT ||
        i.a.state == INSTANCE_DELETING)
        return;
    if (rnd(m, 40) == 0) {
        ask(m, &i, "delete", POWER_DELETED, INSTANCE_DELETING, false);
    } else if (rnd(m, 6) == 0) {
        i.a.restart_policy = (int)rnd(m, 3);
        op_change(&m->ctl, &i);
        assert_int_equal(store_instance_update(m->st.db, &i, 0), 0);
    } else if (i.a.state == INSTANCE_STOPPED || i.a.state == INSTANCE_ERROR) {
        ask(m, &i, "start", POWER_RUNNING, INSTANCE_STARTING, true);
    } else if (i.a.state == INSTANCE_RUNNING && rnd(m, 2)) {
        ask(m, &i, "reboot", POWER_RUNNING, INSTANCE_REBOOTING, true);
    } else if (i.a.state != INSTANCE_STOPPING) {
        ask(m, &i, "stop", POWER_STOPPED, INSTANCE_STOPPING, false);
    }
}

static void
create(struct model *m)
{
    struct api_operation o = {0};
    struct store_instance i = {
        .a = {.id = ID,
              .name = (char *)"web",
              .project_id = P1,
              .state = INSTANCE_CREATING,
              .flavor = (char *)"small",
              .image = (char *)"debian",
              .flavor_id = FLV1,
              .image_id = IMG1,
              .vcpus = 1,
              .run = 1,
              .restart_policy = (int)rnd(m, 3),
              .node_id = NODE1,
              .generation = 1,
              .created_at = clock_now_us() - 3600 * US_PER_S},
        .power = POWER_RUNNING,
        .seq = ++m->ctl.seq,
    };

    assert_int_equal(op_begin(m->st.db, &i, "create", "placed", "rq", &o), 0);
    assert_int_equal(store_instance_insert(m->st.db, &i), 0);
    codec_clear(&table_operation, &o);
    free(i.a.operation_id);
    free(i.request_id);
    m->verb = "create";
}

/* ---- one walk ---- */

static void
step(struct model *m)
{
    switch (rnd(m, 10)) {
    case 0:
        act(m);
        break;
    case 1:
        deliver_wish(m);
        break;
    case 2:
        deliver_report(m, rnd(m, 3));
        break;
    case 3:
        if (m->vm.state == VM_RUNS && m->ends > 0) {
            m->ends--;
            m->vm.state = VM_ENDED;
            m->vm.end = (enum hv_end)(HV_END_GUEST + rnd(m, 4));
            TRACE("  run %d: %s\n", (int)m->vm.run, hv_end_name(m->vm.end));
        }
        break;
    case 4:
        m->stop_asked = false; /* the agent was killed and is back */
        break;
    default:
        pass(m);
        break;
    }
}

static int
check_interval(const struct store_interval *i, void *arg)
{
    struct model *m = arg;

    assert_true(i->run < RUNS_MAX && m->ran[i->run]);
    assert_int_equal(i->iv.end_us == 0,
                     m->vm.state == VM_RUNS && m->vm.run == i->run);
    m->ran[i->run] = false;
    return 0;
}

static void
check(struct model *m)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};
    struct store_operation o = {0};
    bool runs = m->vm.state == VM_RUNS;

    /* What ran is billed, each run once, and nothing else. */
    assert_int_equal(store_interval_each(m->st.db, NULL, ID, 0, INT64_MAX,
                                         check_interval, m),
                     0);
    for (int r = 0; r < RUNS_MAX; r++)
        assert_false(m->ran[r]);
    if (streq(m->verb, "delete")) {
        assert_int_equal(store_instance_get(m->st.db, NULL, NULL, ID, &i),
                         -ENOENT);
        assert_int_equal(m->local.phase, PHASE_DELETED);
        assert_false(runs);
        return;
    }
    get(m, &i);
    assert_int_equal(store_operation_get(m->st.db, NULL, i.a.operation_id, &o),
                     0);
    assert_int_not_equal(o.a.state, OP_RUNNING);
    store_operation_release(&o);
    assert_int_equal(i.a.state == INSTANCE_RUNNING, runs);
    assert_int_equal(i.a.run, m->local.run);
    if (runs) {
        assert_int_equal(i.a.run, m->vm.run);
        assert_string_not_equal(m->verb, "stop");
        return;
    }
    assert_true(i.a.state == INSTANCE_STOPPED || i.a.state == INSTANCE_ERROR);
    assert_int_equal(i.power, POWER_STOPPED);
    /* Only by itself, if the tenant wanted it to run: the end or the failure
     * was told before the controller's wish followed. */
    if (!streq(m->verb, "stop") && i.a.state == INSTANCE_STOPPED)
        assert_string_not_equal(i.a.stop_reason, "requested");
}

static void
walk(struct model *m, uint32_t seed)
{
    struct model fresh = {.st = m->st, .node = m->node, .dice = seed * 7919};

    *m = fresh;
    m->node.observed_seq = 0;
    m->now_us = T0;
    m->seen = xnew(struct observed);
    m->ends = m->fails = 6;
    create(m);
    for (int n = 20 + (int)rnd(m, 150); n > 0; n--)
        step(m);
    /* Nothing new happens; all that is under way arrives. */
    m->ends = m->fails = 0;
    int left = 500;
    while (left > 0 &&
           (pass(m) | deliver_wish(m) | deliver_report(m, SPOOL_MAX)))
        left--;
    assert_true(left > 0);
    check(m);
    observed_free(m->seen);
}

static void
model__any_interleaving_ends_in_agreement(void **state)
{
    struct model m = {.ctl.seq = 0};
    struct err e _cleanup_(err_release) = {0};
    const char *one = getenv("WALK"); /* that one alone, and what happens */
    uint32_t first = one ? (uint32_t)strtoul(one, NULL, 10) : 1;

    trace = one != NULL;
    store_fixture_open(&m.st);
    add_project(m.st.db, P1, "acme");
    m.node = (struct store_node){
        .a = {.id = NODE1, .name = (char *)"n1", .created_at = T0},
        .fingerprint = (char *)"f"};
    assert_int_equal(store_node_insert(m.st.db, &m.node), 0);
    for (uint32_t seed = first; seed <= (one ? first : WALKS); seed++) {
        if (!one && seed % 500 == 1)
            print_message("walks from %u on\n", seed);
        walking = seed;
        assert_int_equal(db_exec(m.st.db, "BEGIN", &e), 0);
        walk(&m, seed);
        assert_int_equal(db_exec(m.st.db, "ROLLBACK", &e), 0);
    }
    walking = 0;
    assert_int_equal(store_fixture_close(&m.st), 0);
}

static int
say_which(void **state)
{
    if (walking)
        print_error("WALK=%u shows what happened\n", walking);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(model__any_interleaving_ends_in_agreement,
                                  say_which),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
