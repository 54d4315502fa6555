/* test-agentd-state.c - the agent's database: what is stored stays stored,
 * observation numbers never come twice. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <semaphore.h>
#include <string.h>

#include "agentd/state/state.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/mem.h"

extern const struct db_migration agent_migrations[];
extern const size_t agent_migrations_n;

struct fixture {
    char dir[64], path[80];
    struct state *st;
};

static void
reopen(struct fixture *f)
{
    struct err e _cleanup_(err_release) = {0};

    state_close(f->st);
    f->st = NULL;
    if (state_open(f->path, &f->st, &e) < 0)
        fail_msg("%s", e.message);
}

static int
setup(void **state)
{
    struct fixture *f = xnew(struct fixture);

    snprintf(f->dir, sizeof(f->dir), "/tmp/virga-state-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/agent.db", f->dir);
    reopen(f);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    state_close(f->st);
    int r = fs_remove_tree(f->dir, NULL);
    free(f);
    return r;
}

static struct api_desired_instance
instance(const char *id, int64_t seq)
{
    return (struct api_desired_instance){
        .id = (char *)id,
        .project_id = (char *)"01890a5d-ac96-774b-bcce-b302099a8057",
        .name = (char *)"web",
        .seq = seq,
        .run = 1,
        .power = POWER_RUNNING,
        .vcpus = 1,
        .memory_bytes = 1 << 20,
    };
}

struct waited {
    struct state_change ch; /* first */
    sem_t done;
    int result;
};

static void
on_done(struct state_change *c, int result)
{
    struct waited *w = (struct waited *)c;

    w->result = result;
    sem_post(&w->done);
}

static int
change(struct state *st, const char *id, struct agent_local local,
       const struct state_note *note, int64_t *ret_deleted)
{
    struct waited w = {.ch.local = local, .ch.done = on_done};

    memcpy(w.ch.id, id, ID_SIZE);
    if (note) {
        w.ch.tell = true;
        w.ch.note = *note;
    }
    sem_init(&w.done, 0, 0);
    state_submit(st, &w.ch);
    sem_wait(&w.done);
    sem_destroy(&w.done);
    if (ret_deleted)
        *ret_deleted = w.ch.local.deleted_seq;
    return w.result;
}

struct loaded {
    int n;
    int64_t seq;
    struct agent_local local;
};

static void
on_load(struct api_desired_instance *d, const struct agent_local *local,
        void *arg)
{
    struct loaded *l = arg;

    l->n++;
    l->seq = d->seq;
    l->local = *local;
}

static struct loaded
load(struct state *st)
{
    struct loaded l = {0};
    struct err e _cleanup_(err_release) = {0};

    if (state_load(st, on_load, &l, &e) < 0)
        fail_msg("%s", e.message);
    return l;
}

static void
store(struct state *st, const char *id, int64_t seq)
{
    struct api_desired_instance d = instance(id, seq);

    assert_int_equal(state_store_desired(st, &d, 1, NULL, 0, seq), 0);
}

static void
state_store_desired__survives_reopening(void **state)
{
    struct fixture *f = *state;
    char id[ID_SIZE];
    int64_t seq;

    id_new(id);
    store(f->st, id, 41);
    struct agent_local l = {.phase = PHASE_STARTED,
                            .run = 3,
                            .started_us = 5,
                            .told_seq = 40,
                            .restarts = 6,
                            .restart_at_us = 7};
    assert_int_equal(change(f->st, id, l, NULL, NULL), 0);
    reopen(f);
    struct loaded got = load(f->st);
    assert_int_equal(got.n, 1);
    assert_int_equal(got.seq, 41);
    assert_int_equal(got.local.phase, PHASE_STARTED);
    assert_int_equal(got.local.run, 3);
    assert_int_equal(got.local.started_us, 5);
    assert_int_equal(got.local.told_seq, 40);
    assert_int_equal(got.local.restarts, 6);
    assert_int_equal(got.local.restart_at_us, 7);
    assert_int_equal(state_desired_seq(f->st, &seq), 0);
    assert_int_equal(seq, 41);
}

/* Whatever the version before: what was recorded and not yet told is kept. */
static void
state_open__upgrades_older_databases(void **state)
{
    struct fixture *f = *state;
    char id[ID_SIZE];

    id_new(id);
    struct api_desired_instance d = instance(id, 41);
    struct buf spec _cleanup_(buf_release) = {0};
    codec_encode(&table_desired_instance, &d, &spec);
    for (size_t k = 1; k <= agent_migrations_n; k++) {
        char *sql _cleanup_(freep) =
            xasprintf("INSERT INTO instance (id, seq, spec, phase, run) "
                      "VALUES ('%s', 41, '%s', %d, 3);"
                      "INSERT INTO observation (instance_id, run, state, at_us)"
                      " VALUES ('%s', 3, %d, 5)",
                      id, buf_str(&spec), PHASE_STARTED, id, OBSERVED_RUNNING);
        struct err e _cleanup_(err_release) = {0};
        struct db *db _cleanup_(db_closep) = NULL;
        struct codec_list l = {0};

        state_close(TAKE_PTR(f->st));
        unlink(f->path);
        assert_int_equal(db_open(f->path, 0, &db, &e), 0);
        assert_int_equal(db_migrate(db, agent_migrations, k, &e), 0);
        if (db_exec(db, sql, &e) < 0)
            fail_msg("%s", e.message);
        db_closep(&db);
        reopen(f);
        struct loaded got = load(f->st);
        assert_int_equal(got.n, 1);
        assert_int_equal(got.local.phase, PHASE_STARTED);
        assert_int_equal(got.local.run, 3);
        assert_int_equal(got.local.restarts, 0);
        assert_int_equal(state_spool_read(f->st, 10, &l), 0);
        assert_int_equal(l.n, 1);
        assert_false(((struct api_observation *)l.items)->restart);
        codec_list_clear(&table_observation, &l);
    }
}

static void
state_spool__keeps_what_follows(void **state)
{
    struct fixture *f = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    struct agent_local local = {.phase = PHASE_WAITING, .run = 2};
    struct state_note note = {.state = OBSERVED_STOPPED,
                              .run = 1,
                              .at_us = clock_now_us(),
                              .reason = "crashed",
                              .restart = true};

    id_new(id);
    store(f->st, id, 1);
    assert_int_equal(change(f->st, id, local, &note, NULL), 0);
    reopen(f);
    assert_int_equal(load(f->st).local.phase, PHASE_WAITING);
    assert_int_equal(state_spool_read(f->st, 10, &l), 0);
    assert_true(((struct api_observation *)l.items)->restart);
    codec_list_clear(&table_observation, &l);
}

static void
state_spool__keeps_the_size_of_a_run(void **state)
{
    struct fixture *f = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    const struct agent_size size = {2, 3 << 20, 5 << 20};
    struct agent_local local = {.phase = PHASE_STARTED, .run = 1, .size = size};
    struct state_note note = {.state = OBSERVED_RUNNING,
                              .run = 1,
                              .at_us = clock_now_us(),
                              .size = size};

    id_new(id);
    store(f->st, id, 1);
    assert_int_equal(change(f->st, id, local, &note, NULL), 0);
    reopen(f);
    struct agent_local got = load(f->st).local;
    assert_memory_equal(&got.size, &size, sizeof(size));
    assert_int_equal(state_spool_read(f->st, 10, &l), 0);
    const struct api_observation *o = l.items;
    assert_int_equal(o->vcpus, size.vcpus);
    assert_int_equal(o->memory_bytes, size.memory_bytes);
    assert_int_equal(o->disk_bytes, size.disk_bytes);
    codec_list_clear(&table_observation, &l);
}

static void
state_store_desired__older_wish_is_left_out(void **state)
{
    struct fixture *f = *state;
    char id[ID_SIZE];

    id_new(id);
    store(f->st, id, 41);
    store(f->st, id, 40);
    assert_int_equal(load(f->st).seq, 41);
}

static void
state_store_desired__page_of_a_listing_keeps_the_seq(void **state)
{
    struct fixture *f = *state;
    char id[ID_SIZE], other[ID_SIZE];
    int64_t seq;

    id_new(id);
    id_new(other);
    store(f->st, id, 5);
    struct api_desired_instance d = instance(other, 9);
    assert_int_equal(state_store_desired(f->st, &d, 1, NULL, 0, -1), 0);
    assert_int_equal(state_desired_seq(f->st, &seq), 0);
    assert_int_equal(seq, 5);
    assert_int_equal(load(f->st).n, 2);
    assert_int_equal(state_store_desired(f->st, NULL, 0,
                                         (const char(*)[ID_SIZE]) & id, 1, 9),
                     0);
    assert_int_equal(load(f->st).n, 1);
}

static void
state_submit__unknown_instance_writes_nothing(void **state)
{
    struct fixture *f = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    struct state_note note = {
        .state = OBSERVED_RUNNING, .run = 1, .at_us = clock_now_us()};

    id_new(id);
    struct agent_local local = {.phase = PHASE_STARTED, .run = 1};
    assert_int_equal(change(f->st, id, local, &note, NULL), -ENOENT);
    assert_int_equal(state_spool_read(f->st, 10, &l), 0);
    assert_int_equal(l.n, 0);
}

static void
state_spool__numbers_never_repeat(void **state)
{
    struct fixture *f = *state;
    char id[ID_SIZE];
    int64_t last = 0;
    struct agent_local local = {.phase = PHASE_STARTED, .run = 1};
    struct state_note note = {.state = OBSERVED_FAILED,
                              .run = 1,
                              .at_us = clock_now_us() - 5 * US_PER_S,
                              .code = "no_space",
                              .message = "the disk is \"full\""};

    id_new(id);
    store(f->st, id, 1);
    for (int i = 0; i < 20; i++) {
        struct codec_list l = {0};

        assert_int_equal(change(f->st, id, local, &note, NULL), 0);
        if (i % 3 == 0)
            reopen(f);
        assert_int_equal(state_spool_read(f->st, 10, &l), 0);
        assert_int_equal(l.n, 1);
        struct api_observation *o = l.items;
        assert_true(o->seq > last);
        last = o->seq;
        assert_string_equal(o->instance_id, id);
        assert_int_equal(o->state, OBSERVED_FAILED);
        assert_string_equal(o->problem->code, "no_space");
        assert_string_equal(o->problem->message, "the disk is \"full\"");
        assert_true(o->age_us >= 5 * US_PER_S && o->age_us < 60 * US_PER_S);
        codec_list_clear(&table_observation, &l);
        assert_int_equal(state_spool_ack(f->st, last), 0);
        if (i % 5 == 0)
            reopen(f); /* the spool is empty, the number lives on */
    }
}

static void
state_spool_ack__takes_deleted_instances_along(void **state)
{
    struct fixture *f = *state;
    char id[ID_SIZE];
    int64_t deleted_seq = 0;
    struct agent_local local = {.phase = PHASE_DELETED, .run = 1};
    struct state_note note = {
        .state = OBSERVED_DELETED, .run = 1, .at_us = clock_now_us()};

    id_new(id);
    store(f->st, id, 1);
    assert_int_equal(change(f->st, id, local, &note, &deleted_seq), 0);
    assert_true(deleted_seq > 0);
    assert_int_equal(state_spool_ack(f->st, deleted_seq - 1), 0);
    reopen(f);
    assert_int_equal(load(f->st).n, 1);
    assert_int_equal(load(f->st).local.deleted_seq, deleted_seq);
    assert_int_equal(state_spool_ack(f->st, deleted_seq), 0);
    reopen(f);
    assert_int_equal(load(f->st).n, 0);
}

static void
state_spool_meet__new_database_numbers_after_the_old_one(void **state)
{
    struct fixture *f = *state;
    char id[ID_SIZE];
    bool met = true;
    int64_t last;
    struct codec_list l = {0};
    struct agent_local local = {.phase = PHASE_STARTED, .run = 1};
    struct state_note note = {
        .state = OBSERVED_RUNNING, .run = 1, .at_us = clock_now_us()};

    id_new(id);
    store(f->st, id, 1);
    assert_int_equal(state_spool_met(f->st, &met), 0);
    assert_false(met);
    for (int i = 0; i < 3; i++)
        assert_int_equal(change(f->st, id, local, &note, NULL), 0);
    assert_int_equal(state_spool_meet(f->st, 1000), 0);
    assert_int_equal(change(f->st, id, local, &note, NULL), 0);
    reopen(f);
    assert_int_equal(state_spool_met(f->st, &met), 0);
    assert_true(met);
    assert_int_equal(state_spool_read(f->st, 10, &l), 0);
    assert_int_equal(l.n, 4);
    struct api_observation *o = l.items;
    for (size_t i = 0; i < l.n; i++)
        assert_true(o[i].seq > 1000 && (i == 0 || o[i].seq > o[i - 1].seq));
    assert_int_equal(state_spool_last(f->st, &last), 0);
    assert_int_equal(last, o[3].seq);
    codec_list_clear(&table_observation, &l);
}

static void
state_alive__is_kept(void **state)
{
    struct fixture *f = *state;
    int64_t us;

    assert_int_equal(state_alive(f->st, &us), 0);
    assert_int_equal(us, 0);
    assert_int_equal(state_set_alive(f->st, 123456), 0);
    reopen(f);
    assert_int_equal(state_alive(f->st, &us), 0);
    assert_int_equal(us, 123456);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(state_store_desired__survives_reopening),
        T(state_open__upgrades_older_databases),
        T(state_spool__keeps_what_follows),
        T(state_spool__keeps_the_size_of_a_run),
        T(state_store_desired__older_wish_is_left_out),
        T(state_store_desired__page_of_a_listing_keeps_the_seq),
        T(state_submit__unknown_instance_writes_nothing),
        T(state_spool__numbers_never_repeat),
        T(state_spool_ack__takes_deleted_instances_along),
        T(state_spool_meet__new_database_numbers_after_the_old_one),
        T(state_alive__is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
