/* test-controllerd-life.c - the state machine of an instance: every verb in
 * every state, every observation in every state, and from each of them to an
 * end; taking back, and trying again. */
#include <config.h>

#include "tests/unit/life-fixture.h"

#include "controllerd/store/store_event.h"

static int
setup(void **state)
{
    struct life *f = xnew(struct life);

    life_init(f);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    life_release(*state);
    free(*state);
    return 0;
}

/* ---- every verb in every state ---- */

/* Letters of the states, in their order: creating Running stoPping Stopped
 * Tarting reBooting Deleting Error deleted(x) paUsing pausEd(H) resuming(M)
 * rebuilding(L) resizing(Z); '.' the verb is refused. */
static const char letters[N_STATES + 1] = "CRPSTBDExUHMLZ";
static const char *const verbs_in[N_VERBS] = {
    /*                       CRPSTBDExUHMLZ */
    [VERB_START] = /*     */ "...T...T......",
    [VERB_STOP] = /*      */ "PP..PP...PPPPP",
    [VERB_STOP_FORCE] = /**/ "PPP.PP...PPPPP",
    [VERB_REBOOT] = /*    */ ".B............",
    [VERB_PAUSE] = /*     */ ".U............",
    [VERB_RESUME] = /*    */ "..........M...",
    [VERB_REBUILD] = /*   */ ".L.L...L..L...",
    [VERB_RESIZE] = /*    */ ".Z............",
    [VERB_RESIZE_STOPPED] = "...S...E......",
    [VERB_DELETE] = /*    */ "DDDDDD.D.DDDDD",
    [VERB_CANCEL_START] = "....P..P......",
    [VERB_CANCEL_STOP] = "..T...........",
    [VERB_CANCEL_PAUSE] = "....M....M....",
    [VERB_CANCEL_RESUME] = "....U......U..",
    [VERB_CANCEL_RESIZE] = ".......Z.....Z",
};

static struct store_instance
in_state(int st)
{
    return (struct store_instance){
        .a = {.name = (char *)"web", .state = st, .run = RUN},
        .power = (int)power_in((enum api_instance_state)st),
        .paused = st == INSTANCE_PAUSING || st == INSTANCE_PAUSED,
        .disk_epoch = 7};
}

static void
verb__in_every_state_is_as_the_table_says(void **state)
{
    for (int v = 0; v < N_VERBS; v++)
        for (int st = 0; st < N_STATES; st++) {
            struct err e _cleanup_(err_release) = {0};
            struct store_instance i = in_state(st);
            char want = verbs_in[v][st];
            int r = op_verb(&i, (enum op_verb)v, &e);
            bool new_run = v == VERB_START || v == VERB_REBOOT ||
                           v == VERB_REBUILD || v == VERB_RESIZE ||
                           v == VERB_CANCEL_RESIZE;

            if ((r == 0) != (want != '.'))
                fail_msg("verb %d in %s: %d", v, api_instance_state_names[st],
                         r);
            if (r < 0) {
                struct store_instance same = in_state(st);

                assert_int_equal(r, -EBUSY);
                assert_string_equal(e.code, "wrong_state");
                assert_memory_equal(&i, &same, sizeof(i));
                continue;
            }
            assert_int_equal(letters[i.a.state], want);
            assert_int_equal(i.power,
                             power_in((enum api_instance_state)i.a.state));
            assert_int_equal(i.paused, i.a.state == INSTANCE_PAUSING);
            assert_int_equal(i.a.run, RUN + new_run);
            assert_int_equal(i.disk_epoch, 7 + (v == VERB_REBUILD));
            assert_int_equal(i.force, v == VERB_STOP_FORCE || v == VERB_DELETE);
        }
}

static void
stop__by_force_overtakes_the_button_once(void **state)
{
    struct store_instance i = in_state(INSTANCE_RUNNING);

    assert_int_equal(op_verb(&i, VERB_STOP, NULL), 0);
    assert_int_equal(op_verb(&i, VERB_STOP_FORCE, NULL), 0);
    assert_true(i.force);
    assert_int_equal(op_verb(&i, VERB_STOP_FORCE, NULL), -EBUSY);
}

static void
protection__stops_delete_and_rebuild_alone(void **state)
{
    for (int v = 0; v < N_VERBS; v++)
        for (int st = 0; st < N_STATES; st++) {
            struct err e _cleanup_(err_release) = {0};
            struct store_instance i = in_state(st);
            bool bars = v == VERB_DELETE || v == VERB_REBUILD;

            i.a.delete_protection = true;
            int r = op_verb(&i, (enum op_verb)v, &e);
            assert_int_equal(r == 0, !bars && verbs_in[v][st] != '.');
            if (bars)
                assert_string_equal(e.code, "delete_protected");
        }
}

/* ---- every observation in every state ---- */

/* What is seen of the present run; the restart kinds come with `restart`. */
static const struct seen_in {
    enum api_observed what;
    bool restart;
    const char *to; /* '.': it stays */
} seen_in[] = {
    /*                                CRPSTBDExUHMLZ */
    {OBSERVED_RUNNING, false, /*  */ "R...RR....URRR"},
    {OBSERVED_PAUSED, false, /*   */ ".........H...."},
    {OBSERVED_STOPPED, false, /*  */ "SSS.SS...SSSSS"},
    {OBSERVED_STOPPED, true, /*   */ "TT...T...TTT.."},
    {OBSERVED_FAILED, false, /*   */ "EE..EE...EEEEE"},
    {OBSERVED_FAILED, true, /*    */ "TT...T...TTT.."},
    {OBSERVED_DELETED, false, /*  */ "EEEEEEx..EEEEE"},
};

static int64_t
run_after(const struct seen_in *s, int st)
{
    bool other = st == INSTANCE_REBUILDING || st == INSTANCE_RESIZING;

    if (!s->restart || st == INSTANCE_DELETING)
        return RUN;
    return other ? RUN + 2 : RUN + 1;
}

static void
seen__in_every_state_is_as_the_table_says(void **state)
{
    for (size_t k = 0; k < ARRAY_SIZE(seen_in); k++)
        for (int st = 0; st < N_STATES; st++) {
            const struct seen_in *s = &seen_in[k];
            struct store_instance i _cleanup_(store_instance_release) = {0};
            struct life f;

            if (st == INSTANCE_DELETED)
                continue; /* its row is not found any more */
            life_init(&f);
            life_put(&f, (enum api_instance_state)st, "instance.test");
            for (int twice = 0; twice < 2; twice++) {
                struct api_observation o = life_saw(&f, RUN, s->what);

                o.restart = s->restart;
                if (twice)
                    o.seq = f.seq = f.seq - 1; /* it is told again */
                life_report(&f, o);
            }
            int r = store_instance_get(f.st.db, NULL, NULL, ID, &i);
            char want = s->to[st] == '.' ? letters[st] : s->to[st];
            if (want == 'x') {
                assert_int_equal(r, -ENOENT);
            } else {
                assert_int_equal(r, 0);
                if (letters[i.a.state] != want)
                    fail_msg("observation %zu in %s leads to %s", k,
                             api_instance_state_names[st],
                             api_instance_state_names[i.a.state]);
                assert_int_equal(i.a.run, run_after(s, st));
                /* A halted VM is wanted only where the state says so, or of a
                 * run that the node starts again. */
                if (i.paused)
                    assert_true(i.a.state == INSTANCE_PAUSING ||
                                i.a.state == INSTANCE_PAUSED ||
                                (s->restart && want == 'T'));
            }
            life_release(&f);
        }
}

/* A run that is over and done with says nothing about the present one. */
static void
seen__of_a_former_run_changes_no_state(void **state)
{
    for (size_t k = 0; k < ARRAY_SIZE(seen_in); k++)
        for (int st = 0; st < N_STATES; st++) {
            struct life f;

            if (st == INSTANCE_DELETED || seen_in[k].restart ||
                seen_in[k].what == OBSERVED_DELETED)
                continue;
            life_init(&f);
            life_put(&f, (enum api_instance_state)st, "instance.test");
            life_see(&f, RUN - 1, seen_in[k].what);
            assert_life(&f, (enum api_instance_state)st, RUN);
            life_release(&f);
        }
}

/* ---- paths ---- */

static void
pause__and_resume(void **state)
{
    struct life *f = *state;

    life_put(f, INSTANCE_RUNNING, "instance.create");
    assert_int_equal(life_ask(f, VERB_PAUSE, NULL), 0);
    life_see(f, RUN, OBSERVED_RUNNING); /* told for an older wish */
    assert_life(f, INSTANCE_PAUSING, RUN);
    assert_op(f, "instance.pause", OP_RUNNING, NULL);
    life_see(f, RUN, OBSERVED_PAUSED);
    assert_life(f, INSTANCE_PAUSED, RUN);
    assert_op(f, "instance.pause", OP_SUCCEEDED, NULL);
    assert_int_equal(life_ask(f, VERB_RESUME, NULL), 0);
    life_see(f, RUN, OBSERVED_PAUSED);
    assert_life(f, INSTANCE_RESUMING, RUN);
    life_see(f, RUN, OBSERVED_RUNNING);
    assert_life(f, INSTANCE_RUNNING, RUN);
    assert_op(f, "instance.resume", OP_SUCCEEDED, NULL);
}

static void
paused__that_ends_comes_back_paused(void **state)
{
    struct life *f = *state;

    life_put(f, INSTANCE_PAUSED, "instance.pause");
    struct api_observation o = life_saw(f, RUN, OBSERVED_STOPPED);
    o.restart = true;
    life_report(f, o);
    assert_life(f, INSTANCE_STARTING, RUN + 1);
    life_see(f, RUN + 1, OBSERVED_RUNNING);
    assert_life(f, INSTANCE_PAUSING, RUN + 1);
    life_see(f, RUN + 1, OBSERVED_PAUSED);
    assert_life(f, INSTANCE_PAUSED, RUN + 1);
}

/* Ends while it is to be paused: that is no success. */
static void
pause__of_what_ends_fails(void **state)
{
    struct life *f = *state;

    life_put(f, INSTANCE_PAUSING, "instance.pause");
    life_see(f, RUN, OBSERVED_STOPPED);
    assert_life(f, INSTANCE_STOPPED, RUN);
    assert_op(f, "instance.pause", OP_FAILED, "instance_ended");
}

/* The node reserved the number of the rebuild's run before it heard. */
static void
rebuild__never_takes_a_reserved_run_for_its_own(void **state)
{
    struct life *f = *state;

    life_put(f, INSTANCE_RUNNING, "instance.create");
    assert_int_equal(life_ask(f, VERB_REBUILD, NULL), 0);
    assert_life(f, INSTANCE_REBUILDING, RUN + 1);
    int64_t seq = f->ctl.seq;
    struct api_observation o = life_saw(f, RUN, OBSERVED_STOPPED);
    o.restart = true;
    life_report(f, o);
    assert_life(f, INSTANCE_REBUILDING, RUN + 2);
    assert_int_equal(f->ctl.seq, seq + 1);
    assert_true(f->seen->wake_node);
    life_see(f, RUN + 1, OBSERVED_RUNNING); /* of the old disk */
    assert_life(f, INSTANCE_REBUILDING, RUN + 2);
    assert_op(f, "instance.rebuild", OP_RUNNING, NULL);
    life_see(f, RUN + 1, OBSERVED_STOPPED);
    life_see(f, RUN + 2, OBSERVED_RUNNING);
    assert_life(f, INSTANCE_RUNNING, RUN + 2);
    assert_op(f, "instance.rebuild", OP_SUCCEEDED, NULL);
}

/* ---- taking back ---- */

struct back {
    const char *kind;
    enum api_instance_state in;
    const char *by; /* kind of what takes it back; NULL: nothing */
    enum api_instance_state to;
};

static const struct back backs[] = {
    {"instance.create", INSTANCE_CREATING, "instance.delete",
     INSTANCE_DELETING},
    {"instance.start", INSTANCE_STARTING, "instance.stop", INSTANCE_STOPPING},
    {"instance.stop", INSTANCE_STOPPING, "instance.start", INSTANCE_STARTING},
    {"instance.pause", INSTANCE_PAUSING, "instance.resume", INSTANCE_RESUMING},
    {"instance.resume", INSTANCE_RESUMING, "instance.pause", INSTANCE_PAUSING},
    {"instance.reboot", INSTANCE_REBOOTING, NULL, 0},
    {"instance.rebuild", INSTANCE_REBUILDING, NULL, 0},
    {"instance.delete", INSTANCE_DELETING, NULL, 0},
};

static int
events_of(struct life *f, const char *kind, const char *id)
{
    struct codec_list l = {0};
    int n = 0;

    assert_int_equal(store_event_list(f->st.db, NULL, 0, 1000, &l), 0);
    const struct api_event *e = l.items;
    for (size_t i = 0; i < l.n; i++)
        n += streq(e[i].kind, kind) && streq(e[i].resource_id, id);
    codec_list_clear(&table_event, &l);
    return n;
}

static void
cancel__of_every_kind(void **state)
{
    for (size_t k = 0; k < ARRAY_SIZE(backs); k++) {
        struct err e _cleanup_(err_release) = {0};
        struct op_target t _cleanup_(life_target_release) = {0};
        struct life f;

        life_init(&f);
        life_put(&f, backs[k].in, backs[k].kind);
        life_target(&f, &t);
        op_fill(&f.ctl, &t.o);
        assert_int_equal(t.o.a.can_cancel, backs[k].by != NULL);
        char *id _cleanup_(freep) = xstrdup(t.o.a.id);
        int r = life_back(&f, false, &e);
        if (!backs[k].by) {
            assert_int_equal(r, -EBUSY);
            assert_string_equal(e.code, "not_cancellable");
            assert_life(&f, backs[k].in, RUN);
            assert_op(&f, backs[k].kind, OP_RUNNING, NULL);
        } else {
            struct store_operation o _cleanup_(store_operation_release) = {0};

            assert_int_equal(r, 0);
            assert_life(&f, backs[k].to, RUN);
            assert_op(&f, backs[k].by, OP_RUNNING, NULL);
            assert_int_equal(store_operation_get(f.st.db, NULL, id, &o), 0);
            assert_int_equal(o.a.state, OP_CANCELLED);
            assert_non_null(o.undone_by);
            op_fill(&f.ctl, &o);
            assert_false(o.a.can_cancel);
            assert_int_equal(events_of(&f, "operation.cancelled", id), 1);
        }
        life_release(&f);
    }
}

static void
cancel__of_a_stop_finds_it_running_or_says_that_it_ended(void **state)
{
    struct life *f = *state;

    life_put(f, INSTANCE_STOPPING, "instance.stop");
    assert_int_equal(life_back(f, false, NULL), 0);
    life_see(f, RUN, OBSERVED_RUNNING);
    assert_life(f, INSTANCE_RUNNING, RUN);
    assert_op(f, "instance.start", OP_SUCCEEDED, NULL);

    assert_int_equal(life_ask(f, VERB_STOP, NULL), 0);
    assert_int_equal(life_back(f, false, NULL), 0);
    life_see(f, RUN, OBSERVED_STOPPED);
    assert_life(f, INSTANCE_STOPPED, RUN);
    assert_op(f, "instance.start", OP_FAILED, "instance_ended");
    /* And can be started as if nothing had been. */
    assert_int_equal(life_ask(f, VERB_START, NULL), 0);
    life_see(f, RUN + 1, OBSERVED_RUNNING);
    assert_life(f, INSTANCE_RUNNING, RUN + 1);
}

static void
cancel__of_a_forced_stop_or_of_what_ended_is_refused(void **state)
{
    struct life *f = *state;
    struct err e _cleanup_(err_release) = {0};

    life_put(f, INSTANCE_RUNNING, "instance.create");
    assert_int_equal(life_back(f, false, &e), -EBUSY);
    assert_string_equal(e.code, "not_cancellable");
    assert_int_equal(life_ask(f, VERB_STOP_FORCE, NULL), 0);
    assert_int_equal(life_back(f, false, &e), -EBUSY);
    assert_string_equal(e.code, "not_cancellable");
    assert_life(f, INSTANCE_STOPPING, RUN);
}

static void
cancel__of_a_protected_create_is_refused(void **state)
{
    struct life *f = *state;
    struct store_instance i _cleanup_(store_instance_release) = {0};
    struct err e _cleanup_(err_release) = {0};

    life_put(f, INSTANCE_CREATING, "instance.create");
    life_get(f, &i);
    i.a.delete_protection = true;
    assert_int_equal(store_instance_update(f->st.db, &i, 0), 0);
    assert_int_equal(life_back(f, false, &e), -EBUSY);
    assert_string_equal(e.code, "delete_protected");
    assert_life(f, INSTANCE_CREATING, RUN);
}

/* ---- failed and stuck ---- */

static void
failed__is_tried_again_with_a_new_run(void **state)
{
    static const struct {
        const char *kind;
        enum api_instance_state in;
    } all[] = {{"instance.create", INSTANCE_CREATING},
               {"instance.start", INSTANCE_STARTING},
               {"instance.reboot", INSTANCE_REBOOTING},
               {"instance.rebuild", INSTANCE_REBUILDING},
               {"instance.resize", INSTANCE_RESIZING}};

    for (size_t k = 0; k < ARRAY_SIZE(all); k++) {
        struct op_target t _cleanup_(life_target_release) = {0};
        struct err e _cleanup_(err_release) = {0};
        struct life f;

        life_init(&f);
        life_put(&f, all[k].in, all[k].kind);
        assert_int_equal(life_retry(&f, &e), -EBUSY);
        assert_string_equal(e.code, "not_retryable");
        life_see(&f, RUN, OBSERVED_FAILED);
        assert_life(&f, INSTANCE_ERROR, RUN);
        assert_op(&f, all[k].kind, OP_FAILED, "unknown");
        assert_int_equal(life_retry(&f, NULL), 0);
        assert_life(&f, all[k].in, RUN + 1);
        assert_op(&f, all[k].kind, OP_RUNNING, NULL);
        life_target(&f, &t);
        assert_int_equal(t.o.a.attempt, 2);
        assert_int_equal(t.o.seq, t.i.seq);
        life_see(&f, RUN, OBSERVED_FAILED); /* heard twice */
        assert_life(&f, all[k].in, RUN + 1);
        life_see(&f, RUN + 1, OBSERVED_RUNNING);
        assert_life(&f, INSTANCE_RUNNING, RUN + 1);
        assert_op(&f, all[k].kind, OP_SUCCEEDED, NULL);
        life_release(&f);
    }
}

/* As if the last news were that old. */
static void
age(struct life *f, int64_t us)
{
    struct op_target t _cleanup_(life_target_release) = {0};

    life_target(f, &t);
    t.o.a.updated_at -= us;
    assert_int_equal(store_operation_update(f->st.db, &t.o), 0);
}

static bool
is_stuck(struct life *f, const char *reason)
{
    struct op_target t _cleanup_(life_target_release) = {0};

    life_target(f, &t);
    op_fill(&f->ctl, &t.o);
    if (t.o.a.stuck && !strstr(t.o.a.reason, reason))
        fail_msg("%s", t.o.a.reason);
    return t.o.a.stuck;
}

static void
stuck__is_derived_from_time_and_node(void **state)
{
    struct life *f = *state;

    life_put(f, INSTANCE_CREATING, "instance.create");
    assert_false(is_stuck(f, ""));
    age(f, 59 * US_PER_S);
    assert_false(is_stuck(f, ""));
    age(f, 2 * US_PER_S);
    assert_true(is_stuck(f, "nothing was heard"));
    /* News end it. */
    struct api_progress p = {ID, (char *)"image", (char *)"the image is slow",
                             RUN};
    struct api_report rp = {.progress = {&p, 1}};
    assert_int_equal(op_observe(&f->ctl, f->st.db, &f->node, &rp, f->seen), 0);
    assert_false(is_stuck(f, ""));
    age(f, 61 * US_PER_S);
    assert_true(is_stuck(f, "the image is slow"));
    /* And what is over is not stuck, whenever that was. */
    life_see(f, RUN, OBSERVED_RUNNING);
    age(f, 3600 * US_PER_S);
    assert_false(is_stuck(f, ""));
    /* Silence of the node shows at once. */
    assert_int_equal(life_ask(f, VERB_STOP, NULL), 0);
    assert_false(is_stuck(f, ""));
    f->ctl.cfg.node_lapse_us = -1;
    nodes_tick(&f->ctl);
    assert_true(is_stuck(f, "does not report"));
}

static void
progress__is_stored_when_it_is_news(void **state)
{
    struct life *f = *state;
    struct api_progress p[] = {{ID, (char *)"image", NULL, RUN},
                               {UUID("7777"), (char *)"image", NULL, 1}};
    struct api_report rp = {.progress = {p, 2}};
    struct op_target t = {0};

    life_put(f, INSTANCE_CREATING, "instance.create");
    nodes_tell(&f->ctl, NODE1, f->ctl.seq - 1);
    life_target(f, &t);
    op_fill(&f->ctl, &t.o);
    assert_string_equal(t.o.a.step, "asked");
    nodes_tell(&f->ctl, NODE1, f->ctl.seq);
    op_fill(&f->ctl, &t.o);
    assert_string_equal(t.o.a.step, "sent");
    life_target_release(&t);
    for (int twice = 0; twice < 2; twice++) {
        assert_int_equal(op_observe(&f->ctl, f->st.db, &f->node, &rp, f->seen),
                         0);
        life_target(f, &t);
        assert_string_equal(t.o.a.step, "image");
        assert_int_equal(t.o.a.generation, 2);
        life_target_release(&t);
    }
    /* Of a former run, or of another node's instance: not ours. */
    p[0].step = (char *)"start";
    p[0].run = RUN - 1;
    assert_int_equal(op_observe(&f->ctl, f->st.db, &f->node, &rp, f->seen), 0);
    struct store_node other = {.a = {.id = NODE2}};
    p[0].run = RUN;
    assert_int_equal(op_observe(&f->ctl, f->st.db, &other, &rp, f->seen), 0);
    life_target(f, &t);
    assert_string_equal(t.o.a.step, "image");
    life_target_release(&t);
    /* Nor of what is over. */
    life_see(f, RUN, OBSERVED_RUNNING);
    assert_int_equal(op_observe(&f->ctl, f->st.db, &f->node, &rp, f->seen), 0);
    life_target(f, &t);
    assert_string_equal(t.o.a.step, "running");
    life_target_release(&t);
}

static void
stuck__is_asked_again_with_the_same_run(void **state)
{
    struct life *f = *state;
    struct op_target t _cleanup_(life_target_release) = {0};

    life_put(f, INSTANCE_STOPPING, "instance.stop");
    age(f, 61 * US_PER_S);
    int64_t seq = f->ctl.seq;
    assert_int_equal(life_retry(f, NULL), 0);
    assert_life(f, INSTANCE_STOPPING, RUN);
    assert_op(f, "instance.stop", OP_RUNNING, NULL);
    life_target(f, &t);
    assert_int_equal(t.o.a.attempt, 2);
    assert_int_equal(t.i.seq, seq + 1);
    assert_null(t.o.a.reason);
    assert_true(t.o.a.can_cancel);
}

static void
undo__of_every_kind_that_is_stuck(void **state)
{
    for (size_t k = 0; k < ARRAY_SIZE(backs); k++) {
        struct err e _cleanup_(err_release) = {0};
        struct life f;

        life_init(&f);
        life_put(&f, backs[k].in, backs[k].kind);
        assert_int_equal(life_back(&f, true, &e), -EBUSY);
        assert_string_equal(e.code, "not_undoable");
        age(&f, 61 * US_PER_S);
        int r = life_back(&f, true, &e);
        assert_int_equal(r, backs[k].by ? 0 : -EBUSY);
        if (backs[k].by) {
            assert_life(&f, backs[k].to, RUN);
            assert_op(&f, backs[k].by, OP_RUNNING, NULL);
        }
        life_release(&f);
    }
}

static void
undo__of_a_failed_start_stops(void **state)
{
    struct life *f = *state;

    life_put(f, INSTANCE_STARTING, "instance.start");
    life_see(f, RUN, OBSERVED_FAILED);
    assert_int_equal(life_back(f, true, NULL), 0);
    assert_life(f, INSTANCE_STOPPING, RUN);
    life_see(f, RUN, OBSERVED_STOPPED);
    assert_life(f, INSTANCE_STOPPED, RUN);
    assert_op(f, "instance.stop", OP_SUCCEEDED, NULL);
}

static void
undo__of_a_failed_pause_or_rebuild_is_refused(void **state)
{
    struct life *f = *state;
    struct err e _cleanup_(err_release) = {0};

    life_put(f, INSTANCE_PAUSING, "instance.pause");
    life_see(f, RUN, OBSERVED_STOPPED);
    assert_int_equal(life_back(f, true, &e), -EBUSY);
    assert_string_equal(e.code, "not_undoable");
    assert_int_equal(life_retry(f, &e), -EBUSY);
    assert_int_equal(life_ask(f, VERB_REBUILD, NULL), 0);
    life_see(f, RUN + 1, OBSERVED_FAILED);
    assert_int_equal(life_back(f, true, &e), -EBUSY);
    assert_string_equal(e.code, "not_undoable");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verb__in_every_state_is_as_the_table_says),
        cmocka_unit_test(stop__by_force_overtakes_the_button_once),
        cmocka_unit_test(protection__stops_delete_and_rebuild_alone),
        cmocka_unit_test(seen__in_every_state_is_as_the_table_says),
        cmocka_unit_test(seen__of_a_former_run_changes_no_state),
        T(pause__and_resume),
        T(paused__that_ends_comes_back_paused),
        T(pause__of_what_ends_fails),
        T(rebuild__never_takes_a_reserved_run_for_its_own),
        cmocka_unit_test(cancel__of_every_kind),
        T(cancel__of_a_stop_finds_it_running_or_says_that_it_ended),
        T(cancel__of_a_forced_stop_or_of_what_ended_is_refused),
        T(cancel__of_a_protected_create_is_refused),
        cmocka_unit_test(failed__is_tried_again_with_a_new_run),
        T(stuck__is_derived_from_time_and_node),
        T(progress__is_stored_when_it_is_news),
        T(stuck__is_asked_again_with_the_same_run),
        cmocka_unit_test(undo__of_every_kind_that_is_stuck),
        T(undo__of_a_failed_start_stops),
        T(undo__of_a_failed_pause_or_rebuild_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
