/* test-controllerd-quota.c - what projects have and may have: numbers at the
 * edges, and memory that equals the rows whatever fails. */
#include <config.h>

#include "tests/unit/store-fixture.h"

#include "common/db_writer.h"
#include "controllerd/quota.h"

struct fixture {
    struct store_fixture store;
    struct ctl ctl;
};

static int
setup(void **state)
{
    struct fixture *f = xnew(struct fixture);
    struct err e _cleanup_(err_release) = {0};

    store_fixture_open(&f->store);
    add_project(f->store.db, P1, "acme");
    add_project(f->store.db, P2, "bolt");
    assert_int_equal(quota_start(&f->ctl, f->store.db, &e), 0);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;
    int r;

    quota_stop(&f->ctl);
    r = store_fixture_close(&f->store);
    free(f);
    return r;
}

static void
call_release(struct call *c)
{
    codec_list_clear(&table_quota_fault, &c->quota_faults);
    err_release(&c->err);
    c->err = (struct err){0};
}

static const struct api_quota_values unlimited = {-1, -1, -1, -1, -1,
                                                  -1, -1, -1, -1, -1};

static void
take__adds_up_to_the_limit_and_no_further(void **state)
{
    struct fixture *f = *state;
    struct api_quota_values limits = unlimited, used, delta = {.vcpus = 3};
    struct call c = {.ctl = &f->ctl};

    limits.vcpus = 7;
    limits.instances = 0;
    assert_int_equal(store_quota_set(f->store.db, P1, &limits, 2), 0);
    assert_int_equal(quota_take(&c, f->store.db, P1, &delta, "", "/flavor"), 0);
    assert_int_equal(quota_take(&c, f->store.db, P1, &delta, "", "/flavor"), 0);
    delta.vcpus = 2;
    delta.instances = 1;
    delta.memory_bytes = 5;
    assert_int_equal(quota_take(&c, f->store.db, P1, &delta, "", "/flavor"),
                     -EPERM);
    assert_string_equal(c.err.code, "quota_exceeded");
    assert_int_equal(c.quota_faults.n, 2);
    const struct api_quota_fault *q = c.quota_faults.items;
    assert_string_equal(q[0].resource, "instances");
    assert_int_equal(q[0].limit, 0);
    assert_int_equal(q[0].used, 0);
    assert_int_equal(q[0].asked, 1);
    assert_string_equal(q[1].resource, "vcpus");
    assert_int_equal(q[1].limit, 7);
    assert_int_equal(q[1].used, 6);
    assert_int_equal(q[1].asked, 2);
    assert_int_equal(c.err.n_details, 2);
    assert_string_equal(c.err.details[0].pointer, "");
    assert_string_equal(c.err.details[1].pointer, "/flavor");
    /* All or nothing, and of this project only. */
    quota_used(&f->ctl, P1, &used);
    assert_int_equal(used.vcpus, 6);
    assert_int_equal(used.memory_bytes, 0);
    quota_used(&f->ctl, P2, &used);
    assert_int_equal(used.vcpus, 0);
    delta = (struct api_quota_values){.vcpus = 1};
    quota_untake(&c, &delta);
    delta.vcpus = 2;
    call_release(&c);
    assert_int_equal(quota_take(&c, f->store.db, P1, &delta, "", ""), 0);
    quota_undo(&c);
    quota_used(&f->ctl, P1, &used);
    assert_int_equal(used.vcpus, 0);
    call_release(&c);
}

/* A limit below what is used refuses what asks for more of it, nothing else. */
static void
take__over_a_lowered_limit(void **state)
{
    struct fixture *f = *state;
    struct api_quota_values limits = unlimited, delta = {.vcpus = 3};
    struct call c = {.ctl = &f->ctl};

    assert_int_equal(quota_take(&c, f->store.db, P1, &delta, "", ""), 0);
    limits.vcpus = 1;
    assert_int_equal(store_quota_set(f->store.db, P1, &limits, 2), 0);
    delta = (struct api_quota_values){.images = 1};
    assert_int_equal(quota_take(&c, f->store.db, P1, &delta, "", ""), 0);
    delta.vcpus = 1;
    assert_int_equal(quota_take(&c, f->store.db, P1, &delta, "", ""), -EPERM);
    assert_int_equal(c.quota_faults.n, 1);
    call_release(&c);
}

static void
take__never_counts_beyond_what_a_number_holds(void **state)
{
    struct fixture *f = *state;
    struct api_quota_values used,
        delta = quota_of_instances(64, INT64_C(1) << 62, 0, 1);
    struct call c = {.ctl = &f->ctl};

    assert_int_equal(quota_take(&c, f->store.db, P1, &delta, "", ""), 0);
    assert_int_equal(quota_take(&c, f->store.db, P1, &delta, "", ""), -EPERM);
    assert_string_equal(
        ((struct api_quota_fault *)c.quota_faults.items)->resource,
        "memory_bytes");
    quota_used(&f->ctl, P1, &used);
    assert_int_equal(used.instances, 1);
    delta = quota_of_instances(64, INT64_C(1) << 62, 1, 1000);
    assert_int_equal(delta.memory_bytes, INT64_MAX);
    assert_int_equal(delta.vcpus, 64000);
    call_release(&c);
}

static void
room__is_what_the_scarcest_allows(void **state)
{
    struct api_quota_values limits = unlimited, used = {0},
                            delta = {.instances = 1, .vcpus = 2};

    assert_int_equal(quota_room(&limits, &used, &delta, 9), 9);
    limits.vcpus = 7;
    assert_int_equal(quota_room(&limits, &used, &delta, 9), 3);
    limits.instances = 2;
    assert_int_equal(quota_room(&limits, &used, &delta, 9), 2);
    used.vcpus = 6;
    assert_int_equal(quota_room(&limits, &used, &delta, 9), 0);
    used.vcpus = 8;
    assert_int_equal(quota_room(&limits, &used, &delta, 9), 0);
    delta.vcpus = 0;
    assert_int_equal(quota_room(&limits, &used, &delta, 9), 2);
}

static void
parse__takes_what_is_named(void **state)
{
    static const char *const bad[] = {
        "vcpus",       "vcpus=",          "vcpus=x",
        "vcpus=-2",    "cpus=1",          "vcpus=1,bad=2",
        "unlimited=3", "vcpus=1=2",       "=1",
        "vcpus:1",     "memory_bytes=1X", "vcpus=99999999999999999999",
    };
    struct api_quota_values v = {0};
    struct err e _cleanup_(err_release) = {0};

    assert_int_equal(quota_parse(QUOTA_DEFAULTS, &v, &e), 0);
    assert_int_equal(v.instances, 20);
    assert_int_equal(v.memory_bytes, INT64_C(160) << 30);
    assert_int_equal(v.disk_bytes, INT64_C(4) << 40);
    assert_int_equal(v.tokens, 50);
    assert_int_equal(v.image_bytes, INT64_C(200) << 30);
    assert_int_equal(quota_parse("vcpus=unlimited, images=-1,tokens=0", &v, &e),
                     0);
    assert_int_equal(v.vcpus, API_UNLIMITED);
    assert_int_equal(v.images, API_UNLIMITED);
    assert_int_equal(v.tokens, 0);
    assert_int_equal(v.instances, 20);
    assert_int_equal(quota_parse("unlimited,instances=3", &v, &e), 0);
    assert_int_equal(v.instances, 3);
    assert_int_equal(v.disk_bytes, API_UNLIMITED);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (quota_parse(bad[i], &v, &e) != -EINVAL)
            fail_msg("%s was taken", bad[i]);
}

/* ---- random steps, as dispatch.c takes them ---- */

enum step { TAKE_IMAGE, DROP_IMAGE, TAKE_TOKENS, BREAK_COMMIT, STEPS };

struct step_job {
    struct db_job job;
    struct call c;
    enum step step;
    unsigned n, fail; /* fail: after its changes */
    char *project;
};

static int
step_run(struct db *db, struct db_job *job)
{
    struct step_job *s = (struct step_job *)job;
    struct api_quota_values one = {.images = 1}, some = {.tokens = 2};
    char id[ID_SIZE], name[16];
    struct api_image out = {0};
    int r = 0;

    snprintf(id, sizeof(id), "0197b3a0-0000-7000-8000-%012u", s->n);
    snprintf(name, sizeof(name), "i%u", s->n % 9);
    if (s->step == TAKE_IMAGE) {
        struct api_image i = {.id = id, .project_id = s->project, .name = name};

        r = quota_take(&s->c, db, s->project, &one, "", "");
        if (r == 0)
            r = store_image_insert(db, &i); /* its name may be taken */
    } else if (s->step == DROP_IMAGE) {
        r = store_image_get(db, s->project, name, &out);
        if (r == 0)
            r = store_image_delete(db, out.id);
        if (r == 0)
            quota_free(&s->c, s->project, &one);
        codec_clear(&table_image, &out);
    } else if (s->step == TAKE_TOKENS) {
        r = quota_take(&s->c, db, s->project, &some, "", "");
        for (unsigned k = 0; k < 2 && r == 0; k++) {
            struct store_token t = {
                .a = {.id = id, .project = s->project, .name = name}};

            id[0] = name[0] = (char)('1' + k);
            memset(t.hash, (int)k, sizeof(t.hash));
            memcpy(t.hash, &s->n, sizeof(s->n));
            r = store_token_insert(db, &t);
        }
    } else {
        /* Found out by the commit alone. */
        r = db_exec(db,
                    "PRAGMA defer_foreign_keys = ON; INSERT INTO keypairs "
                    "(id, project_id, name, public_key, fingerprint, "
                    "created_at) VALUES ('x', 'nobody', 'x', 'x', 'x', 1)",
                    NULL);
    }
    if (r == 0 && s->fail)
        r = -EIO;
    if (r < 0)
        quota_undo(&s->c);
    return r;
}

static void
step_undo(struct db_job *job)
{
    quota_undo(&((struct step_job *)job)->c);
}

static void
step_done(struct db_job *job, int result)
{
    struct step_job *s = (struct step_job *)job;

    if (result >= 0)
        quota_committed(&s->c);
    call_release(&s->c);
    free(s);
}

static int
nothing(struct db *db, struct db_job *job)
{
    return 0;
}

struct expected {
    struct api_quota_values p1, p2;
};

static void
sum_up(const char *project, const struct api_quota_values *used, void *arg)
{
    struct expected *e = arg;
    struct api_quota_values *v = streq(project, P1) ? &e->p1 : &e->p2;

    v->images += used->images;
    v->tokens += used->tokens;
}

static void
memory__is_what_the_rows_add_up_to(void **state)
{
    struct fixture *f = *state;
    struct api_quota_values limits = unlimited, used;
    struct err e _cleanup_(err_release) = {0};
    struct db_writer *w;
    struct db *db;
    unsigned seed = 4711, most = 0;

    limits.images = 5;
    limits.tokens = 40;
    assert_int_equal(store_quota_set(f->store.db, P1, &limits, 2), 0);
    assert_int_equal(store_open(f->store.path, true, &db, &e), 0);
    assert_int_equal(db_writer_start(db, &w), 0);
    for (unsigned n = 1; n <= 3000; n++) {
        struct step_job *s = xnew(struct step_job);
        unsigned dice = (unsigned)rand_r(&seed);

        s->job = (struct db_job){
            .run = step_run, .undo = step_undo, .done = step_done};
        s->c.ctl = &f->ctl;
        s->n = n;
        s->project = dice & 1 ? P1 : P2;
        s->step = dice % 100 < 40   ? TAKE_IMAGE
                  : dice % 100 < 75 ? DROP_IMAGE
                  : dice % 100 < 97 ? TAKE_TOKENS
                                    : BREAK_COMMIT;
        s->fail = dice / 100 % 9 == 0;
        db_writer_submit(w, &s->job);
        if (dice / 1000 % 11)
            continue; /* several to a transaction */
        struct db_job wait = {.run = nothing};
        struct expected want = {0};
        /* May share the transaction of a step that breaks it. */
        while (db_writer_call(w, &wait) < 0)
            ;
        assert_int_equal(store_quota_each_use(f->store.db, sum_up, &want), 0);
        quota_used(&f->ctl, P1, &used);
        assert_memory_equal(&used, &want.p1, sizeof(used));
        assert_true(used.images <= 5 && used.tokens <= 40);
        quota_used(&f->ctl, P2, &used);
        assert_memory_equal(&used, &want.p2, sizeof(used));
        most = MAX(most, (unsigned)used.images);
    }
    db_writer_stop(w);
    assert_true(most > 1);
}

#define UPLOADERS 8
#define PIECE 7

struct uploader {
    struct fixture *f;
    int64_t got;
    unsigned seed;
};

static void *
upload(void *arg)
{
    struct uploader *u = arg;
    struct call c = {.ctl = &u->f->ctl};

    for (int i = 0; i < 2000; i++) {
        if (quota_upload(&c, P1, 100, &u->got, PIECE) < 0) {
            assert_string_equal(c.err.code, "quota_exceeded");
            const struct api_quota_fault *q = c.quota_faults.items;
            assert_string_equal(q->resource, "image_bytes");
            /* What others hold, and what this one holds, were too much. */
            assert_true(q->used + q->asked > q->limit && q->limit == 100);
            call_release(&c);
        }
        assert_true(u->got <= 100);
        if (rand_r(&u->seed) % 3 == 0) {
            quota_upload_end(&u->f->ctl, P1, &u->got);
            assert_int_equal(u->got, 0);
        }
    }
    return NULL;
}

static void
upload__never_holds_more_than_the_limit(void **state)
{
    struct fixture *f = *state;
    struct api_quota_values taken = {.image_bytes = 30};
    struct uploader u[UPLOADERS];
    pthread_t threads[UPLOADERS];
    struct call c = {.ctl = &f->ctl};
    int64_t all = 0, rest = 0;

    assert_int_equal(quota_take(&c, f->store.db, P1, &taken, "", ""), 0);
    for (unsigned i = 0; i < UPLOADERS; i++) {
        u[i] = (struct uploader){.f = f, .seed = i};
        assert_int_equal(pthread_create(&threads[i], NULL, upload, &u[i]), 0);
    }
    for (unsigned i = 0; i < UPLOADERS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < UPLOADERS; i++)
        all += u[i].got;
    assert_true(all <= 70);
    /* Exactly what is left, and all of it again once they have ended. */
    assert_int_equal(quota_upload(&c, P1, 100, &rest, 70 - all), 0);
    assert_int_equal(quota_upload(&c, P1, 100, &rest, 1), -EPERM);
    call_release(&c);
    for (unsigned i = 0; i < UPLOADERS; i++)
        quota_upload_end(&f->ctl, P1, &u[i].got);
    assert_int_equal(quota_upload(&c, P1, 100, &rest, all), 0);
    assert_int_equal(quota_upload(&c, P1, 100, &rest, INT64_MAX), -EPERM);
    call_release(&c);
    assert_int_equal(quota_upload(&c, P1, -1, &rest, 1000), 0);
    quota_upload_end(&f->ctl, P1, &rest);
    quota_undo(&c);
    call_release(&c);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(take__adds_up_to_the_limit_and_no_further),
        T(take__over_a_lowered_limit),
        T(upload__never_holds_more_than_the_limit),
        T(take__never_counts_beyond_what_a_number_holds),
        T(memory__is_what_the_rows_add_up_to),
        cmocka_unit_test(room__is_what_the_scarcest_allows),
        cmocka_unit_test(parse__takes_what_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
