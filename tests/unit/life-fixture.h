/* tests/unit/life-fixture.h - an instance, its node and the store, for tests
 * of the operations in process.
 * Role:      puts an instance into any state, asks, observes, and reads back.
 * Ownership: the fixture owns all.
 * Threads:   one.   Errors: a failed step fails the test. */
#ifndef TESTS_UNIT_LIFE_FIXTURE_H
#define TESTS_UNIT_LIFE_FIXTURE_H

#include "tests/unit/store-fixture.h"

#include "common/clock.h"
#include "controllerd/ops/ops.h"

#define ID UUID("1001")
#define RUN 5 /* of the instance, before anything is asked */
#define N_STATES (INSTANCE_RESIZING + 1)

struct life {
    struct store_fixture st;
    struct ctl ctl;
    struct store_node node;
    struct observed *seen;
    int64_t seq; /* last observation made */
};

static inline void
life_init(struct life *f)
{
    struct err e _cleanup_(err_release) = {0};

    *f = (struct life){.ctl = {.seq = 100,
                               .cfg = {.stuck_after_us = 60 * US_PER_S,
                                       .node_lapse_us = 45 * US_PER_S,
                                       .vcpu_overcommit_permille = 1000,
                                       .memory_overcommit_permille = 1000,
                                       .disk_overcommit_permille = 1000}}};
    store_fixture_open(&f->st);
    add_project(f->st.db, P1, "acme");
    f->node = (struct store_node){.a = {.id = NODE1,
                                        .name = (char *)"n1",
                                        .vcpus = 100,
                                        .memory_bytes = 1000,
                                        .disk_bytes = 1000,
                                        .schedulable = true,
                                        .last_seen_at = clock_now_us(),
                                        .created_at = T0},
                                  .fingerprint = (char *)"f"};
    assert_int_equal(store_node_insert(f->st.db, &f->node), 0);
    assert_int_equal(store_node_update(f->st.db, &f->node), 0);
    if (nodes_start(&f->ctl, f->st.db, &e) < 0)
        fail_msg("%s", e.message);
    assert_true(nodes_up(&f->ctl, NODE1));
    f->seen = xnew(struct observed);
}

static inline void
life_release(struct life *f)
{
    observed_free(f->seen);
    nodes_stop(&f->ctl);
    assert_int_equal(store_fixture_close(&f->st), 0);
}

static inline void
life_get(struct life *f, struct store_instance *ret)
{
    assert_int_equal(store_instance_get(f->st.db, NULL, NULL, ID, ret), 0);
}

/* What is desired in a state. */
static inline enum api_power
power_in(enum api_instance_state st)
{
    switch (st) {
    case INSTANCE_STOPPING:
    case INSTANCE_STOPPED:
    case INSTANCE_ERROR:
        return POWER_STOPPED;
    case INSTANCE_DELETING:
    case INSTANCE_DELETED:
        return POWER_DELETED;
    default:
        return POWER_RUNNING;
    }
}

static inline bool
transient(enum api_instance_state st)
{
    return st != INSTANCE_RUNNING && st != INSTANCE_STOPPED &&
           st != INSTANCE_ERROR && st != INSTANCE_PAUSED &&
           st != INSTANCE_DELETED;
}

/* A fresh instance of 2 vCPUs, 3 and 4 bytes, in the state; what is on its
 * way has an operation of that kind. */
static inline void
life_put(struct life *f, enum api_instance_state st, const char *kind)
{
    struct api_operation o = {0};
    struct codec_list done = {0};
    struct store_instance i = {
        .a = {.id = ID,
              .name = (char *)"web",
              .project_id = P1,
              .state = (int)st,
              .flavor = (char *)"small",
              .image = (char *)"debian",
              .flavor_id = FLV1,
              .image_id = IMG1,
              .vcpus = 2,
              .memory_bytes = 3,
              .disk_bytes = 4,
              .run = RUN,
              .node_id = NODE1,
              .generation = 1,
              .created_at = clock_now_us() - 3600 * US_PER_S},
        .power = (int)power_in(st),
        .paused = st == INSTANCE_PAUSING || st == INSTANCE_PAUSED,
        .seq = ++f->ctl.seq,
    };

    assert_int_equal(op_begin(f->st.db, &i, kind, "asked", "rq", &o), 0);
    assert_int_equal(store_instance_insert(f->st.db, &i), 0);
    if (!transient(st))
        assert_int_equal(op_finish(f->st.db, &i, "done", NULL, NULL, &done), 0);
    codec_strings_clear(&done);
    codec_clear(&table_operation, &o);
    free(i.a.operation_id);
    free(i.request_id);
}

static inline struct api_observation
life_saw(struct life *f, int64_t run, enum api_observed st)
{
    return (struct api_observation){.seq = ++f->seq,
                                    .instance_id = ID,
                                    .run = run,
                                    .state = (int)st,
                                    .age_us = US_PER_S};
}

static inline void
life_report(struct life *f, struct api_observation o)
{
    struct api_report rp = {.observations = {&o, 1}};

    f->seen->wake_node = false;
    assert_int_equal(op_observe(&f->ctl, f->st.db, &f->node, &rp, f->seen), 0);
}

static inline void
life_see(struct life *f, int64_t run, enum api_observed st)
{
    life_report(f, life_saw(f, run, st));
}

/* As a handler does it. */
static inline int
life_ask(struct life *f, enum op_verb v, struct err *reterr)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};
    struct api_operation o = {0};

    life_get(f, &i);
    int r = op_verb(&i, v, reterr);
    if (r < 0)
        return r;
    op_change(&f->ctl, &i);
    assert_int_equal(op_begin_undo(f->st.db, &i, op_kind(v), NULL, "rq", &o),
                     0);
    assert_int_equal(store_instance_update(f->st.db, &i, 0), 0);
    codec_clear(&table_operation, &o);
    return 0;
}

/* As a handler does it, for one that runs. */
static inline void
life_resize(struct life *f, int64_t vcpus, int64_t memory, int64_t disk)
{
    struct api_flavor fl = {.id = UUID("0032"),
                            .name = (char *)"large",
                            .vcpus = vcpus,
                            .memory_bytes = memory,
                            .disk_bytes = disk};
    struct store_instance i _cleanup_(store_instance_release) = {0};
    struct api_operation o = {0};

    life_get(f, &i);
    char *undo _cleanup_(freep) = op_flavor_text(&i);
    assert_int_equal(op_verb(&i, VERB_RESIZE, NULL), 0);
    assert_int_equal(op_resize(f->st.db, &i, &fl, true), 0);
    op_change(&f->ctl, &i);
    assert_int_equal(
        op_begin_undo(f->st.db, &i, "instance.resize", undo, "rq", &o), 0);
    assert_int_equal(store_instance_update(f->st.db, &i, 0), 0);
    codec_clear(&table_operation, &o);
}

static inline void
life_target_release(struct op_target *t)
{
    store_operation_release(&t->o);
    store_instance_release(&t->i);
}

/* The instance with its latest operation. */
static inline void
life_target(struct life *f, struct op_target *t)
{
    *t = (struct op_target){0};
    life_get(f, &t->i);
    assert_int_equal(
        store_operation_get(f->st.db, NULL, t->i.a.operation_id, &t->o), 0);
}

/* A cancel or undo of the latest operation, as a handler does it. */
static inline int
life_back(struct life *f, bool undo, struct err *reterr)
{
    struct op_target t _cleanup_(life_target_release) = {0};
    struct api_operation o = {0};

    life_target(f, &t);
    int r =
        (undo ? op_undo : op_cancel)(&f->ctl, f->st.db, &t, "rq", &o, reterr);
    if (r == 0)
        r = store_instance_update(f->st.db, &t.i, 0);
    codec_clear(&table_operation, &o);
    return r;
}

static inline int
life_retry(struct life *f, struct err *reterr)
{
    struct op_target t _cleanup_(life_target_release) = {0};

    life_target(f, &t);
    int r = op_retry(&f->ctl, f->st.db, &t, reterr);
    return r < 0 ? r : store_instance_update(f->st.db, &t.i, 0);
}

static inline void
assert_op(struct life *f, const char *kind, enum api_operation_state st,
          const char *code)
{
    struct op_target t _cleanup_(life_target_release) = {0};

    life_target(f, &t);
    assert_string_equal(t.o.a.kind, kind);
    assert_int_equal(t.o.a.state, st);
    assert_true(streq(t.o.a.problem ? t.o.a.problem->code : NULL, code));
    assert_int_equal(t.o.a.finished_at != 0, st != OP_RUNNING);
}

static inline void
assert_life(struct life *f, enum api_instance_state st, int64_t run)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};

    life_get(f, &i);
    assert_string_equal(api_instance_state_names[i.a.state],
                        api_instance_state_names[st]);
    assert_int_equal(i.power, power_in(st));
    assert_int_equal(i.a.run, run);
}

#endif
