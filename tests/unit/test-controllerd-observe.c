/* test-controllerd-observe.c - what a node saw becomes state, usage and ended
 * operations: each sequence as expected, and any split, repetition or
 * disorder of the same reports to the same end. Over 800 lines: all cases
 * share the node that reports and the sums of its usage. */
#include <config.h>

#include "tests/unit/store-fixture.h"

#include "common/clock.h"
#include "controllerd/ctl.h"

#define S US_PER_S
#define INST(n) UUID("10" n)

struct fixture {
    struct store_fixture st;
    struct ctl ctl;
    struct store_node node;
    struct observed *seen;
    int64_t seq; /* last observation made */
};

static void
init(struct fixture *f)
{
    *f = (struct fixture){.ctl.seq = 100};
    store_fixture_open(&f->st);
    add_project(f->st.db, P1, "acme");
    f->node = (struct store_node){
        .a = {.id = NODE1, .name = (char *)"n1", .created_at = T0},
        .fingerprint = (char *)"f"};
    assert_int_equal(store_node_insert(f->st.db, &f->node), 0);
    f->seen = xnew(struct observed);
}

static int
release(struct fixture *f)
{
    observed_free(f->seen);
    return store_fixture_close(&f->st);
}

static int
setup(void **state)
{
    struct fixture *f = xnew(struct fixture);

    init(f);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    int r = release(*state);

    free(*state);
    return r;
}

/* An instance that was asked for an hour ago and is on its way. */
static void
create(struct fixture *f, char *id)
{
    struct api_operation o = {0};
    struct store_instance i = {
        .a = {.id = id,
              .name = id + 34,
              .project_id = P1,
              .state = INSTANCE_CREATING,
              .flavor = (char *)"small",
              .image = (char *)"debian",
              .flavor_id = FLV1,
              .image_id = IMG1,
              .vcpus = 2,
              .memory_bytes = 3,
              .disk_bytes = 4,
              .run = 1,
              .node_id = NODE1,
              .generation = 1,
              .created_at = clock_now_us() - 3600 * S},
        .power = POWER_RUNNING,
        .seq = ++f->ctl.seq,
    };

    assert_int_equal(
        op_begin(f->st.db, &i, "instance.create", "placed", "rq", &o), 0);
    assert_int_equal(store_instance_insert(f->st.db, &i), 0);
    codec_clear(&table_operation, &o);
    freep(&i.a.operation_id);
    freep(&i.request_id);
}

static void
get(struct fixture *f, const char *id, struct store_instance *ret)
{
    assert_int_equal(store_instance_get(f->st.db, NULL, NULL, id, ret), 0);
}

/* What a tenant's verb does to the row (h_verbs.c). */
static void
want(struct fixture *f, const char *id, enum api_power power,
     enum api_instance_state st, const char *kind, bool new_run)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};
    struct api_operation o = {0};

    get(f, id, &i);
    i.power = (int)power;
    i.a.state = (int)st;
    i.a.run += new_run;
    op_change(&f->ctl, &i);
    assert_int_equal(op_begin(f->st.db, &i, kind, "asked", "rq", &o), 0);
    assert_int_equal(store_instance_update(f->st.db, &i, 0), 0);
    codec_clear(&table_operation, &o);
}

static struct api_observation
saw(struct fixture *f, char *id, int64_t run, enum api_observed st,
    int64_t age_us)
{
    return (struct api_observation){.seq = ++f->seq,
                                    .instance_id = id,
                                    .run = run,
                                    .state = (int)st,
                                    .age_us = age_us};
}

static void
report(struct fixture *f, struct api_observation *o, size_t n)
{
    struct api_report rp = {.observations = {o, n}};

    f->seen->wake_node = false;
    assert_int_equal(op_observe(&f->ctl, f->st.db, &f->node, &rp, f->seen), 0);
}

static void
report_one(struct fixture *f, struct api_observation o)
{
    report(f, &o, 1);
}

/* ---- usage, read back ---- */

struct runs {
    struct store_interval iv[64];
    size_t n;
};

static int
save_run(const struct store_interval *i, void *arg)
{
    struct runs *r = arg;

    assert_true(r->n < ARRAY_SIZE(r->iv));
    r->iv[r->n++] = *i;
    return 0;
}

static struct runs
usage(struct fixture *f, const char *id)
{
    struct runs r = {.n = 0};

    assert_int_equal(
        store_interval_each(f->st.db, NULL, id, 0, INT64_MAX, save_run, &r), 0);
    return r;
}

static void
assert_ran(const struct store_interval *i, int64_t run, int64_t want_us)
{
    assert_int_equal(i->run, run);
    assert_int_equal(i->iv.vcpus, 2);
    assert_int_equal(i->iv.memory_bytes, 3);
    assert_int_equal(i->iv.disk_bytes, 4);
    assert_true(i->iv.end_us != 0);
    assert_in_range(i->iv.end_us - i->iv.start_us, want_us, want_us + S);
}

static void
assert_operation(struct fixture *f, const char *id,
                 enum api_operation_state want_state, const char *code)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};
    struct store_operation o = {0};

    get(f, id, &i);
    assert_int_equal(store_operation_get(f->st.db, NULL, i.a.operation_id, &o),
                     0);
    assert_int_equal(o.a.state, want_state);
    assert_int_equal(o.a.finished_at != 0, want_state != OP_RUNNING);
    assert_true(streq(o.a.problem ? o.a.problem->code : NULL, code));
    store_operation_release(&o);
}

static void
assert_state(struct fixture *f, const char *id, enum api_instance_state st,
             enum api_power power)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};

    get(f, id, &i);
    assert_int_equal(i.a.state, st);
    assert_int_equal(i.power, power);
    assert_int_equal(i.a.started_at != 0, st == INSTANCE_RUNNING);
    assert_int_equal(i.a.fault != NULL, st == INSTANCE_ERROR);
}

/* ---- one sequence after the other ---- */

static void
running__starts_state_usage_and_ends_the_operation(void **state)
{
    struct fixture *f = *state;
    char *id = INST("01");

    create(f, id);
    assert_operation(f, id, OP_RUNNING, NULL);
    report_one(f, saw(f, id, 1, OBSERVED_RUNNING, 10 * S));
    assert_state(f, id, INSTANCE_RUNNING, POWER_RUNNING);
    assert_operation(f, id, OP_SUCCEEDED, NULL);
    assert_int_equal(f->seen->finished.n, 1);
    assert_false(f->seen->wake_node);
    struct runs r = usage(f, id);
    assert_int_equal(r.n, 1);
    assert_int_equal(r.iv[0].iv.end_us, 0);
    int64_t age = clock_now_us() - r.iv[0].iv.start_us;
    assert_in_range(age, 10 * S, 11 * S);
}

static void
stop_and_start__are_two_intervals(void **state)
{
    struct fixture *f = *state;
    char *id = INST("01");

    create(f, id);
    report_one(f, saw(f, id, 1, OBSERVED_RUNNING, 100 * S));
    want(f, id, POWER_STOPPED, INSTANCE_STOPPING, "instance.stop", false);
    struct api_observation o = saw(f, id, 1, OBSERVED_STOPPED, 40 * S);
    o.reason = (char *)"requested";
    report_one(f, o);
    assert_state(f, id, INSTANCE_STOPPED, POWER_STOPPED);
    assert_operation(f, id, OP_SUCCEEDED, NULL);
    assert_false(f->seen->wake_node); /* what is desired has not changed */
    want(f, id, POWER_RUNNING, INSTANCE_STARTING, "instance.start", true);
    report_one(f, saw(f, id, 2, OBSERVED_RUNNING, 30 * S));
    report_one(f, saw(f, id, 2, OBSERVED_STOPPED, 5 * S));
    struct runs r = usage(f, id);
    assert_int_equal(r.n, 2);
    assert_ran(&r.iv[0], 1, 60 * S);
    assert_ran(&r.iv[1], 2, 25 * S);
}

/* It ended by itself: the desired state follows, and the node must learn. */
static void
stopped_by_itself__changes_what_is_desired(void **state)
{
    struct fixture *f = *state;
    struct store_instance i _cleanup_(store_instance_release) = {0};
    char *id = INST("01");

    create(f, id);
    report_one(f, saw(f, id, 1, OBSERVED_RUNNING, 10 * S));
    int64_t before = f->ctl.seq;
    struct api_observation o = saw(f, id, 1, OBSERVED_STOPPED, 0);
    o.reason = (char *)"crashed";
    report_one(f, o);
    assert_state(f, id, INSTANCE_STOPPED, POWER_STOPPED);
    assert_true(f->seen->wake_node);
    get(f, id, &i);
    assert_int_equal(i.seq, before + 1);
    assert_int_equal(i.a.generation, 2);
    assert_string_equal(i.a.stop_reason, "crashed");
}

static void
failed__tells_why_and_bills_nothing(void **state)
{
    struct fixture *f = *state;
    struct store_instance i _cleanup_(store_instance_release) = {0};
    struct api_fault why = {(char *)"no_kvm", (char *)"not here"};
    char *id = INST("01");

    create(f, id);
    struct api_observation o = saw(f, id, 1, OBSERVED_FAILED, 0);
    o.problem = &why;
    report_one(f, o);
    assert_state(f, id, INSTANCE_ERROR, POWER_STOPPED);
    assert_operation(f, id, OP_FAILED, "no_kvm");
    assert_true(f->seen->wake_node);
    get(f, id, &i);
    assert_string_equal(i.a.fault->message, "not here");
    assert_int_equal(usage(f, id).n, 0);

    /* A start that works takes the fault away. */
    want(f, id, POWER_RUNNING, INSTANCE_STARTING, "instance.start", true);
    report_one(f, saw(f, id, 2, OBSERVED_RUNNING, 0));
    assert_state(f, id, INSTANCE_RUNNING, POWER_RUNNING);
}

static void
failed__without_a_reason_still_has_one(void **state)
{
    struct fixture *f = *state;
    char *id = INST("01");

    create(f, id);
    report_one(f, saw(f, id, 1, OBSERVED_FAILED, 0));
    assert_operation(f, id, OP_FAILED, "unknown");
}

static void
deleted__releases_the_claim_and_ends_usage(void **state)
{
    struct fixture *f = *state;
    struct store_instance i = {0};
    char *id = INST("01");

    create(f, id);
    report_one(f, saw(f, id, 1, OBSERVED_RUNNING, 10 * S));
    want(f, id, POWER_DELETED, INSTANCE_DELETING, "instance.delete", false);
    get(f, id, &i);
    char *op _cleanup_(freep) = xstrdup(i.a.operation_id);
    store_instance_release(&i);
    report_one(f, saw(f, id, 1, OBSERVED_DELETED, 2 * S));
    assert_int_equal(store_instance_get(f->st.db, NULL, NULL, id, &i), -ENOENT);
    struct store_operation o = {0};
    assert_int_equal(store_operation_get(f->st.db, NULL, op, &o), 0);
    assert_int_equal(o.a.state, OP_SUCCEEDED);
    store_operation_release(&o);
    assert_int_equal(f->seen->released.n, 1);
    const struct released *r = f->seen->released.items;
    assert_string_equal(r->node_id, NODE1);
    assert_int_equal(r->r.vcpus, 2);
    assert_int_equal(r->r.memory_bytes, 3);
    assert_int_equal(r->r.disk_bytes, 4);
    struct runs u = usage(f, id);
    assert_int_equal(u.n, 1);
    assert_ran(&u.iv[0], 1, 8 * S);

    /* Said again with a new number: nothing is released twice. */
    report_one(f, saw(f, id, 1, OBSERVED_DELETED, 0));
    assert_int_equal(f->seen->released.n, 1);
}

static void
deleted__that_nobody_asked_for_is_a_loss(void **state)
{
    struct fixture *f = *state;
    char *id = INST("01");

    create(f, id);
    report_one(f, saw(f, id, 1, OBSERVED_RUNNING, 10 * S));
    report_one(f, saw(f, id, 1, OBSERVED_DELETED, 4 * S));
    assert_int_equal(f->seen->released.n, 0);
    struct store_instance i _cleanup_(store_instance_release) = {0};
    get(f, id, &i);
    assert_int_equal(i.a.state, INSTANCE_ERROR);
    assert_string_equal(i.a.fault->code, "lost");
    struct runs u = usage(f, id);
    assert_int_equal(u.n, 1);
    assert_ran(&u.iv[0], 1, 6 * S);
}

/* ---- the restart policy ---- */

static struct api_observation
ended(struct fixture *f, char *id, int64_t run, const char *reason,
      bool restart, int64_t age_us)
{
    struct api_observation o = saw(f, id, run, OBSERVED_STOPPED, age_us);

    o.reason = (char *)reason;
    o.restart = restart;
    return o;
}

static void
assert_run(struct fixture *f, const char *id, int64_t run, int64_t restarts)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};

    get(f, id, &i);
    assert_int_equal(i.a.run, run);
    assert_int_equal(i.a.restart_count, restarts);
}

static void
restart__is_followed_and_billed_to_the_moment(void **state)
{
    struct fixture *f = *state;
    struct store_instance i _cleanup_(store_instance_release) = {0};
    char *id = INST("01");

    create(f, id);
    report_one(f, saw(f, id, 1, OBSERVED_RUNNING, 100 * S));
    int64_t seq = f->ctl.seq;
    report_one(f, ended(f, id, 1, "crashed", true, 50 * S));
    assert_state(f, id, INSTANCE_STARTING, POWER_RUNNING);
    assert_run(f, id, 2, 1);
    assert_int_equal(usage(f, id).n, 1);
    assert_ran(&usage(f, id).iv[0], 1, 50 * S);
    report_one(f, saw(f, id, 2, OBSERVED_RUNNING, 40 * S));
    assert_state(f, id, INSTANCE_RUNNING, POWER_RUNNING);
    report_one(f, ended(f, id, 2, "killed", true, 10 * S));
    assert_run(f, id, 3, 2);
    struct runs r = usage(f, id);
    assert_int_equal(r.n, 2);
    assert_ran(&r.iv[1], 2, 30 * S);
    get(f, id, &i);
    assert_string_equal(i.a.stop_reason, "killed");
    assert_string_equal(i.a.last_end_reason, "killed");
    /* Nothing new is desired of the node. */
    assert_int_equal(f->ctl.seq, seq);
    assert_false(f->seen->wake_node);
}

static void
restart__told_twice_counts_once(void **state)
{
    struct fixture *f = *state;
    char *id = INST("01");

    create(f, id);
    report_one(f, saw(f, id, 1, OBSERVED_RUNNING, 100 * S));
    struct api_observation o = ended(f, id, 1, "crashed", true, 50 * S);
    report_one(f, o);
    report_one(f, o);
    o.seq = ++f->seq; /* and even under a new number */
    report_one(f, o);
    assert_run(f, id, 2, 1);
    assert_state(f, id, INSTANCE_STARTING, POWER_RUNNING);
}

/* The node acted before it heard of the stop: only what it says of that, and
 * of the run that it then had, ends the stop. */
static void
restart__is_no_answer_to_a_stop(void **state)
{
    struct fixture *f = *state;
    char *id = INST("01");

    create(f, id);
    report_one(f, saw(f, id, 1, OBSERVED_RUNNING, 100 * S));
    want(f, id, POWER_STOPPED, INSTANCE_STOPPING, "instance.stop", false);
    report_one(f, ended(f, id, 1, "crashed", true, 50 * S));
    assert_operation(f, id, OP_RUNNING, NULL);
    assert_run(f, id, 2, 0);
    report_one(f, saw(f, id, 2, OBSERVED_RUNNING, 40 * S));
    assert_operation(f, id, OP_RUNNING, NULL);
    report_one(f, ended(f, id, 2, "requested", false, 30 * S));
    assert_operation(f, id, OP_SUCCEEDED, NULL);
    assert_state(f, id, INSTANCE_STOPPED, POWER_STOPPED);
    struct runs r = usage(f, id);
    assert_int_equal(r.n, 2);
    assert_ran(&r.iv[0], 1, 50 * S);
    assert_ran(&r.iv[1], 2, 10 * S);
    want(f, id, POWER_RUNNING, INSTANCE_STARTING, "instance.start", true);
    assert_run(f, id, 3, 0);
}

/* The node waits to start run 2 when it hears of the stop. */
static void
restart__stopped_in_its_back_off(void **state)
{
    struct fixture *f = *state;
    char *id = INST("01");

    create(f, id);
    report_one(f, saw(f, id, 1, OBSERVED_RUNNING, 100 * S));
    report_one(f, ended(f, id, 1, "crashed", true, 50 * S));
    want(f, id, POWER_STOPPED, INSTANCE_STOPPING, "instance.stop", false);
    report_one(f, ended(f, id, 2, "requested", false, 20 * S));
    assert_operation(f, id, OP_SUCCEEDED, NULL);
    assert_state(f, id, INSTANCE_STOPPED, POWER_STOPPED);
    assert_int_equal(usage(f, id).n, 1);
    assert_ran(&usage(f, id).iv[0], 1, 50 * S);
}

static void
restart__meets_a_reboot_and_is_it(void **state)
{
    struct fixture *f = *state;
    char *id = INST("01");

    create(f, id);
    report_one(f, saw(f, id, 1, OBSERVED_RUNNING, 100 * S));
    want(f, id, POWER_RUNNING, INSTANCE_REBOOTING, "instance.reboot", true);
    report_one(f, ended(f, id, 1, "crashed", true, 50 * S));
    assert_run(f, id, 2, 0);
    assert_operation(f, id, OP_RUNNING, NULL);
    report_one(f, saw(f, id, 2, OBSERVED_RUNNING, 40 * S));
    assert_operation(f, id, OP_SUCCEEDED, NULL);
    assert_state(f, id, INSTANCE_RUNNING, POWER_RUNNING);
}

static void
restart__deleted_meanwhile_stays_deleted(void **state)
{
    struct fixture *f = *state;
    char *id = INST("01");

    create(f, id);
    report_one(f, saw(f, id, 1, OBSERVED_RUNNING, 100 * S));
    want(f, id, POWER_DELETED, INSTANCE_DELETING, "instance.delete", false);
    report_one(f, ended(f, id, 1, "crashed", true, 50 * S));
    report_one(f, saw(f, id, 2, OBSERVED_RUNNING, 40 * S));
    report_one(f, ended(f, id, 2, "requested", false, 30 * S));
    report_one(f, saw(f, id, 2, OBSERVED_DELETED, 20 * S));
    assert_int_equal(f->seen->released.n, 1);
    struct runs r = usage(f, id);
    assert_int_equal(r.n, 2);
    assert_ran(&r.iv[1], 2, 10 * S);
}

static void
restart__that_fails_says_why_and_goes_on(void **state)
{
    struct fixture *f = *state;
    struct store_instance i = {0};
    struct api_fault why = {(char *)"no_space", (char *)"full"};
    char *id = INST("01");

    create(f, id);
    report_one(f, saw(f, id, 1, OBSERVED_RUNNING, 100 * S));
    report_one(f, ended(f, id, 1, "crashed", true, 50 * S));
    struct api_observation o = saw(f, id, 2, OBSERVED_FAILED, 49 * S);
    o.problem = &why;
    o.restart = true;
    report_one(f, o);
    get(f, id, &i);
    assert_int_equal(i.a.state, INSTANCE_STARTING);
    assert_int_equal(i.power, POWER_RUNNING);
    assert_int_equal(i.a.run, 3);
    assert_string_equal(i.a.fault->code, "no_space");
    assert_string_equal(i.a.stop_reason, "crashed");
    store_instance_release(&i);
    report_one(f, saw(f, id, 3, OBSERVED_RUNNING, 40 * S));
    assert_state(f, id, INSTANCE_RUNNING, POWER_RUNNING);
    assert_int_equal(usage(f, id).n, 2);
}

/* The controller's database was restored, or the node's was lost. */
static void
later_run__is_a_fact(void **state)
{
    struct fixture *f = *state;
    char *id = INST("01");

    create(f, id);
    report_one(f, saw(f, id, 1, OBSERVED_RUNNING, 100 * S));
    report_one(f, saw(f, id, 5, OBSERVED_RUNNING, 40 * S));
    assert_state(f, id, INSTANCE_RUNNING, POWER_RUNNING);
    assert_run(f, id, 5, 0);
    want(f, id, POWER_STOPPED, INSTANCE_STOPPING, "instance.stop", false);
    report_one(f, ended(f, id, 7, "requested", false, 10 * S));
    assert_state(f, id, INSTANCE_STOPPED, POWER_STOPPED);
    assert_run(f, id, 7, 0);
    struct runs r = usage(f, id);
    assert_int_equal(r.n, 2);
    assert_ran(&r.iv[0], 1, 60 * S);
    assert_ran(&r.iv[1], 5, 30 * S);
}

/* ---- what changes nothing ---- */

static void
repeated__changes_nothing(void **state)
{
    struct fixture *f = *state;
    char *id = INST("01");

    create(f, id);
    struct api_observation o[2];
    o[0] = saw(f, id, 1, OBSERVED_RUNNING, 10 * S);
    o[1] = saw(f, id, 1, OBSERVED_STOPPED, 3 * S);
    report(f, o, 2);
    assert_int_equal(f->node.observed_seq, 2);
    struct runs before = usage(f, id);
    size_t finished = f->seen->finished.n;
    int64_t seq = f->ctl.seq;
    for (int k = 0; k < 3; k++)
        report(f, o, 2);
    report(f, o, 1);
    struct runs after = usage(f, id);
    assert_memory_equal(&before.iv[0].iv, &after.iv[0].iv,
                        sizeof(before.iv[0].iv));
    assert_int_equal(after.n, 1);
    assert_int_equal(f->seen->finished.n, finished);
    assert_int_equal(f->ctl.seq, seq);
    assert_int_equal(f->node.observed_seq, 2);
}

/* The same said again under a new number, as after an agent's restart. */
static void
same_news__move_no_bill(void **state)
{
    struct fixture *f = *state;
    char *id = INST("01");

    create(f, id);
    report_one(f, saw(f, id, 1, OBSERVED_RUNNING, 10 * S));
    struct runs a = usage(f, id);
    report_one(f, saw(f, id, 1, OBSERVED_RUNNING, 1 * S));
    struct runs b = usage(f, id);
    assert_int_equal(b.n, 1);
    assert_int_equal(a.iv[0].iv.start_us, b.iv[0].iv.start_us);
}

static void
disorder__is_put_in_order(void **state)
{
    struct fixture *f = *state;
    char *id = INST("01");

    create(f, id);
    struct api_observation a = saw(f, id, 1, OBSERVED_RUNNING, 10 * S);
    struct api_observation b = saw(f, id, 1, OBSERVED_STOPPED, 3 * S);
    struct api_observation o[] = {b, a};
    report(f, o, 2);
    assert_int_equal(f->node.observed_seq, 2);
    assert_state(f, id, INSTANCE_STOPPED, POWER_STOPPED);
    struct runs r = usage(f, id);
    assert_int_equal(r.n, 1);
    assert_ran(&r.iv[0], 1, 7 * S);
}

/* The end came through, its beginning is older news: no open interval. */
static void
late_beginning__opens_nothing(void **state)
{
    struct fixture *f = *state;
    char *id = INST("01");

    create(f, id);
    report_one(f, saw(f, id, 1, OBSERVED_STOPPED, 3 * S));
    report_one(f, saw(f, id, 1, OBSERVED_RUNNING, 10 * S));
    assert_int_equal(usage(f, id).n, 0);
    assert_state(f, id, INSTANCE_STOPPED, POWER_STOPPED);
}

static void
former_run__does_not_disturb_the_present_one(void **state)
{
    struct fixture *f = *state;
    char *id = INST("01");

    create(f, id);
    report_one(f, saw(f, id, 1, OBSERVED_RUNNING, 50 * S));
    want(f, id, POWER_RUNNING, INSTANCE_REBOOTING, "instance.reboot", true);
    report_one(f, saw(f, id, 1, OBSERVED_STOPPED, 20 * S));
    assert_operation(f, id, OP_RUNNING, NULL);
    report_one(f, saw(f, id, 2, OBSERVED_RUNNING, 10 * S));
    assert_state(f, id, INSTANCE_RUNNING, POWER_RUNNING);
    assert_operation(f, id, OP_SUCCEEDED, NULL);
    report_one(f, saw(f, id, 1, OBSERVED_STOPPED, 0));
    report_one(f, saw(f, id, 1, OBSERVED_FAILED, 0));
    report_one(f, saw(f, id, 1, OBSERVED_RUNNING, 0));
    assert_state(f, id, INSTANCE_RUNNING, POWER_RUNNING);
    struct runs r = usage(f, id);
    assert_int_equal(r.n, 2);
    assert_ran(&r.iv[0], 1, 30 * S);
    assert_int_equal(r.iv[1].iv.end_us, 0);
}

/* A stop was asked for; news of the run before it came must not undo that. */
static void
running__while_stopping_keeps_stopping(void **state)
{
    struct fixture *f = *state;
    struct store_instance i _cleanup_(store_instance_release) = {0};
    char *id = INST("01");

    create(f, id);
    want(f, id, POWER_STOPPED, INSTANCE_STOPPING, "instance.stop", false);
    report_one(f, saw(f, id, 1, OBSERVED_RUNNING, 5 * S));
    get(f, id, &i);
    assert_int_equal(i.a.state, INSTANCE_STOPPING);
    assert_operation(f, id, OP_RUNNING, NULL);
    assert_int_equal(usage(f, id).n, 1); /* yet it runs, and is billed */
    report_one(f, saw(f, id, 1, OBSERVED_STOPPED, 1 * S));
    assert_state(f, id, INSTANCE_STOPPED, POWER_STOPPED);
    assert_operation(f, id, OP_SUCCEEDED, NULL);
    struct runs r = usage(f, id);
    assert_ran(&r.iv[0], 1, 4 * S);
}

static void
foreign_or_unknown__is_skipped_and_acknowledged(void **state)
{
    struct fixture *f = *state;
    char *id = INST("01");
    struct store_node other = {
        .a = {.id = NODE2, .name = (char *)"n2"},
    };

    create(f, id);
    struct api_observation o[] = {
        {.seq = 7, .instance_id = id, .run = 1, .state = OBSERVED_RUNNING},
        {.seq = 8, .instance_id = id, .run = 1, .state = OBSERVED_DELETED},
        {.seq = 9, .instance_id = INST("99"), .run = 1},
    };
    struct api_report rp = {.observations = {o, 3}};
    assert_int_equal(op_observe(&f->ctl, f->st.db, &other, &rp, f->seen), 0);
    assert_int_equal(other.observed_seq, 9);
    assert_int_equal(f->seen->finished.n + f->seen->released.n, 0);
    struct store_instance i _cleanup_(store_instance_release) = {0};
    get(f, id, &i);
    assert_int_equal(i.a.state, INSTANCE_CREATING);
    assert_int_equal(usage(f, id).n, 0);
}

/* A node's clock or arithmetic may be wrong in any way. */
static void
impossible_age__is_bounded_by_the_instance_life(void **state)
{
    struct fixture *f = *state;
    struct store_instance i _cleanup_(store_instance_release) = {0};
    char *id = INST("01");

    create(f, id);
    report_one(f, saw(f, id, 1, OBSERVED_RUNNING, INT64_MAX));
    get(f, id, &i);
    assert_int_equal(i.a.started_at, i.a.created_at);
    struct runs r = usage(f, id);
    assert_int_equal(r.iv[0].iv.start_us, i.a.created_at);
    /* An end before its own beginning counts for nothing. */
    report_one(f, saw(f, id, 1, OBSERVED_STOPPED, INT64_MAX));
    r = usage(f, id);
    assert_int_equal(r.n, 1);
    assert_int_equal(r.iv[0].iv.start_us, r.iv[0].iv.end_us);
}

static void
run_zero__is_taken_as_the_first(void **state)
{
    struct fixture *f = *state;
    char *id = INST("01");

    create(f, id);
    want(f, id, POWER_DELETED, INSTANCE_DELETING, "instance.delete", false);
    report_one(f, saw(f, id, 0, OBSERVED_DELETED, 0));
    assert_int_equal(f->seen->released.n, 1);
}

/* ---- any delivery of the same news ends alike ---- */

static uint32_t
rnd(uint32_t *s)
{
    *s = *s * 1664525 + 1013904223;
    return *s >> 8;
}

#define N_INST 4
#define N_OBS 60

static char *const ids[N_INST] = {INST("01"), INST("02"), INST("03"),
                                  INST("04")};

static char *
picture(struct fixture *f)
{
    struct buf b = {0};

    for (int k = 0; k < N_INST; k++) {
        struct store_instance i _cleanup_(store_instance_release) = {0};
        struct store_operation o = {0};
        struct runs u = usage(f, ids[k]);

        if (store_instance_get(f->st.db, NULL, NULL, ids[k], &i) == 0) {
            assert_int_equal(
                store_operation_get(f->st.db, NULL, i.a.operation_id, &o), 0);
            buf_addf(&b,
                     "%d: state %d power %d run %lld ended %lld seq %lld "
                     "reason %s fault %s op %d %s\n",
                     k, i.a.state, i.power, (long long)i.a.run,
                     (long long)i.ended_run, (long long)i.seq,
                     i.a.stop_reason ? i.a.stop_reason : "-",
                     i.a.fault ? i.a.fault->code : "-", o.a.state,
                     o.a.step ? o.a.step : "-");
            store_operation_release(&o);
        } else {
            buf_addf(&b, "%d: gone\n", k);
        }
        for (size_t n = 0; n < u.n; n++) {
            bool open = u.iv[n].iv.end_us == 0;

            buf_addf(&b, "   ran %lld%s\n", (long long)u.iv[n].run,
                     open ? " open" : "");
            /* Intervals never overlap, and only the last may be open. */
            assert_true(open || u.iv[n].iv.end_us >= u.iv[n].iv.start_us);
            if (n + 1 < u.n)
                assert_true(!open &&
                            u.iv[n].iv.end_us <= u.iv[n + 1].iv.start_us);
        }
    }
    return buf_take(&b);
}

static void
prepare(struct fixture *f, uint32_t seed)
{
    init(f);
    for (int k = 0; k < N_INST; k++) {
        create(f, ids[k]);
        for (uint32_t n = rnd(&seed) % 3; n > 0; n--)
            want(f, ids[k], POWER_RUNNING, INSTANCE_STARTING, "instance.start",
                 true);
        if (rnd(&seed) % 3 == 0)
            want(f, ids[k], POWER_STOPPED, INSTANCE_STOPPING, "instance.stop",
                 false);
        if (rnd(&seed) % 4 == 0)
            want(f, ids[k], POWER_DELETED, INSTANCE_DELETING, "instance.delete",
                 false);
    }
}

static void
any_delivery__ends_alike(void **state)
{
    for (uint32_t seed = 1; seed <= 25; seed++) {
        struct api_observation o[N_OBS];
        struct fixture once, many;
        uint32_t s = seed * 7919;

        prepare(&once, seed);
        prepare(&many, seed);
        for (int k = 0; k < N_OBS; k++) {
            o[k] = saw(&once, ids[rnd(&s) % N_INST], rnd(&s) % 5,
                       rnd(&s) % 8 == 0 ? OBSERVED_DELETED : rnd(&s) % 3,
                       (int64_t)(N_OBS - k) * S);
            o[k].restart = rnd(&s) % 4 == 0;
        }
        report(&once, o, N_OBS);
        for (size_t at = 0; at < N_OBS;) {
            size_t from = rnd(&s) % (at + 1);
            size_t to = MIN(at + rnd(&s) % 9, (size_t)N_OBS);

            report(&many, o + from, to - from); /* with repeats */
            at = MAX(at, to);
            if (rnd(&s) % 4 == 0)
                report(&many, o, at);
        }
        char *a _cleanup_(freep) = picture(&once);
        char *b _cleanup_(freep) = picture(&many);
        if (!streq(a, b))
            fail_msg("seed %u:\n%s---\n%s", seed, a, b);
        assert_int_equal(once.seen->released.n, many.seen->released.n);
        assert_int_equal(once.seen->finished.n, many.seen->finished.n);
        assert_int_equal(once.node.observed_seq, many.node.observed_seq);
        assert_int_equal(release(&once) + release(&many), 0);
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(running__starts_state_usage_and_ends_the_operation),
        T(stop_and_start__are_two_intervals),
        T(stopped_by_itself__changes_what_is_desired),
        T(failed__tells_why_and_bills_nothing),
        T(failed__without_a_reason_still_has_one),
        T(deleted__releases_the_claim_and_ends_usage),
        T(deleted__that_nobody_asked_for_is_a_loss),
        T(restart__is_followed_and_billed_to_the_moment),
        T(restart__told_twice_counts_once),
        T(restart__is_no_answer_to_a_stop),
        T(restart__stopped_in_its_back_off),
        T(restart__meets_a_reboot_and_is_it),
        T(restart__deleted_meanwhile_stays_deleted),
        T(restart__that_fails_says_why_and_goes_on),
        T(later_run__is_a_fact),
        T(repeated__changes_nothing),
        T(same_news__move_no_bill),
        T(disorder__is_put_in_order),
        T(late_beginning__opens_nothing),
        T(former_run__does_not_disturb_the_present_one),
        T(running__while_stopping_keeps_stopping),
        T(foreign_or_unknown__is_skipped_and_acknowledged),
        T(impossible_age__is_bounded_by_the_instance_life),
        T(run_zero__is_taken_as_the_first),
        cmocka_unit_test(any_delivery__ends_alike),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
