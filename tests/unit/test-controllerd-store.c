/* test-controllerd-store.c - the schema itself, what is unique, what belongs
 * to whom, and pages. */
#include <config.h>

#include "tests/unit/store-fixture.h"

#include "common/clock.h"

extern const struct db_migration controller_migrations[];
extern const size_t controller_migrations_n;

#define P1_TEXT "0197b3a0-0000-7000-8000-000000000001"
#define I_TEXT "0197b3a0-0000-7000-8000-00000000100"
#define NODE_TEXT "0197b3a0-0000-7000-8000-000000000011"

static int
setup(void **state)
{
    struct store_fixture *f = xnew(struct store_fixture);

    store_fixture_open(f);
    add_project(f->db, P1, "acme");
    add_project(f->db, P2, "bolt");
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    int r = store_fixture_close(*state);

    free(*state);
    return r;
}

#define DB (((struct store_fixture *)*state)->db)

/* ---- schema ---- */

/* Compares with the committed schema; TEST_REGEN=1 rewrites that. */
static void
schema__is_the_committed_one(void **state)
{
    const char *src = getenv("srcdir");
    char *path _cleanup_(freep) =
        xasprintf("%s/tests/data/controller-schema.sql", src ? src : ".");
    struct buf want _cleanup_(buf_release) = {0};
    char *text _cleanup_(freep) = NULL;

    assert_int_equal(db_schema_text(DB, &text), 0);
    if (getenv("TEST_REGEN"))
        assert_int_equal(fs_write_atomic(path, text, strlen(text), 0644, NULL),
                         0);
    assert_int_equal(fs_read(path, 1 << 20, &want, NULL), 0);
    assert_string_equal(text, buf_str(&want));
}

/* A database of any older version ends at the same schema. */
static void
schema__every_upgrade_leads_to_it(void **state)
{
    struct store_fixture *f = *state;
    char *want _cleanup_(freep) = NULL;

    assert_true(controller_migrations_n > 0);
    assert_int_equal(db_schema_text(f->db, &want), 0);
    for (size_t k = 0; k < controller_migrations_n; k++) {
        char *path _cleanup_(freep) = xasprintf("%s/v%zu.db", f->dir, k + 1);
        char *text _cleanup_(freep) = NULL;
        struct err e _cleanup_(err_release) = {0};
        struct db *db _cleanup_(db_closep) = NULL;

        assert_int_equal(db_open(path, 0, &db, &e), 0);
        assert_int_equal(db_migrate(db, controller_migrations, k + 1, &e), 0);
        db_closep(&db);
        if (store_open(path, true, &db, &e) < 0)
            fail_msg("%s", e.message);
        assert_int_equal(db_schema_text(db, &text), 0);
        assert_string_equal(text, want);
    }
}

/* Instances of before the restart policy get the default; those that should
 * run are told to their nodes again, under numbers that are still unique. */
static void
schema__upgrade_tells_the_restart_policy(void **state)
{
    struct store_fixture *f = *state;
    char *path _cleanup_(freep) = xasprintf("%s/old.db", f->dir);
    struct err e _cleanup_(err_release) = {0};
    struct db *db _cleanup_(db_closep) = NULL;
    struct store_instance i = {0};
    struct codec_list l = {0};
    int64_t last = 0;
    bool more;

    assert_int_equal(db_open(path, 0, &db, &e), 0);
    assert_int_equal(db_migrate(db, controller_migrations, 1, &e), 0);
    if (db_exec(db,
                "INSERT INTO projects VALUES ('" P1_TEXT "', 'acme', 1);"
                "WITH v (id, power, seq, gone) AS (VALUES "
                "('" I_TEXT "1', 0, 3, NULL), ('" I_TEXT "2', 1, 4, NULL), "
                "('" I_TEXT "3', 0, 9, NULL), ('" I_TEXT "4', 0, 6, 5)) "
                "INSERT INTO instances (id, project_id, name, flavor_id, "
                "flavor_name, image_id, image_name, vcpus, memory_bytes, "
                "disk_bytes, node_id, power, run, seq, generation, state, "
                "operation_id, created_at, deleted_at) SELECT id, '" P1_TEXT
                "', id, 'f', 'small', 'i', 'debian', 1, 2, 3, '" NODE_TEXT
                "', power, 1, seq, 1, 1, 'o', 1, gone FROM v;"
                "INSERT INTO flavors VALUES ('f', 'small', 1, 2, 3, 4)",
                &e) < 0)
        fail_msg("%s", e.message);
    db_closep(&db);
    if (store_open(path, true, &db, &e) < 0)
        fail_msg("%s", e.message);
    assert_int_equal(store_desired_list(db, NODE_TEXT, 9, 10, &l, &last, &more),
                     0);
    const struct api_desired_instance *d = l.items;
    assert_int_equal(l.n, 2);
    assert_string_equal(d[0].id, I_TEXT "1");
    assert_int_equal(d[0].seq, 12);
    assert_string_equal(d[1].id, I_TEXT "3");
    assert_int_equal(d[1].seq, 18);
    assert_int_equal(d[1].restart_policy, RESTART_ON_FAILURE);
    assert_int_equal(last, 18);
    codec_list_clear(&table_desired_instance, &l);
    assert_int_equal(store_instance_get(db, NULL, NULL, I_TEXT "2", &i), 0);
    assert_int_equal(i.seq, 4);
    assert_int_equal(i.a.restart_policy, RESTART_ON_FAILURE);
    assert_int_equal(i.a.restart_count, 0);
    assert_null(i.a.last_end_reason);
    assert_int_equal(i.a.limits.cpu_shares, API_CPU_SHARES_DEFAULT);
    assert_int_equal(i.a.limits.cpu_limit_percent, 0);
    store_instance_release(&i);
    struct api_flavor flavor = {0};
    assert_int_equal(store_flavor_get(db, "small", &flavor), 0);
    assert_int_equal(flavor.limits.cpu_shares, API_CPU_SHARES_DEFAULT);
    assert_int_equal(flavor.limits.net_bytes_per_second, 0);
    codec_clear(&table_flavor, &flavor);
}

static void
open__reader_needs_a_database(void **state)
{
    struct store_fixture *f = *state;
    char *none _cleanup_(freep) = xasprintf("%s/none.db", f->dir);
    struct err e _cleanup_(err_release) = {0};
    struct db *db _cleanup_(db_closep) = NULL;
    struct api_project p = {0};

    assert_true(store_open(none, false, &db, &e) < 0);
    assert_int_equal(access(none, F_OK), -1);
    assert_int_equal(store_open(f->path, false, &db, &e), 0);
    assert_int_equal(store_project_get(db, "acme", &p), 0);
    codec_clear(&table_project, &p);
    assert_true(store_probe(db) < 0);
    assert_int_equal(store_probe(f->db), 0);
}

/* ---- rows for the cases below ---- */

static int
add_instance(struct db *db, char *id, char *project, const char *name,
             char *node, int64_t seq)
{
    struct store_instance i = {
        .a = {.id = id,
              .name = (char *)name,
              .project_id = project,
              .flavor = (char *)"small",
              .image = (char *)"debian",
              .flavor_id = FLV1,
              .image_id = IMG1,
              .vcpus = 1,
              .run = 1,
              .node_id = node,
              .operation_id = UUID("0041"),
              .created_at = T0},
        .seq = seq,
    };

    return store_instance_insert(db, &i);
}

static int
add_image(struct db *db, char *id, char *project, const char *name,
          bool is_public)
{
    struct api_image_part part = {.name = PART_DISK};
    struct api_image i = {.id = id,
                          .name = (char *)name,
                          .project_id = project,
                          .is_public = is_public,
                          .parts = {&part, 1},
                          .created_at = T0};

    return store_image_insert(db, &i);
}

static int
add_token(struct db *db, char *id, char *project, const char *name, int hash)
{
    struct store_token t = {.a = {.id = id,
                                  .name = (char *)name,
                                  .project = project,
                                  .created_at = T0}};

    memset(t.hash, hash, HASH_LEN);
    return store_token_insert(db, &t);
}

static int
add_node(struct db *db, char *id, const char *name)
{
    struct store_node n = {
        .a = {.id = id, .name = (char *)name, .created_at = T0},
        .fingerprint = (char *)"f"};

    return store_node_insert(db, &n);
}

/* ---- unique ---- */

static void
name__is_taken_once_in_its_scope(void **state)
{
    struct api_project p = {
        .id = UUID("0100"), .name = (char *)"acme", .created_at = T0};
    struct api_flavor f = {.id = UUID("0101"), .name = (char *)"small"};

    assert_int_equal(store_project_insert(DB, &p), -EEXIST);
    assert_int_equal(store_flavor_insert(DB, &f), 0);
    f.id = UUID("0102");
    assert_int_equal(store_flavor_insert(DB, &f), -EEXIST);
    assert_int_equal(add_node(DB, NODE1, "n"), 0);
    assert_int_equal(add_node(DB, NODE2, "n"), -EEXIST);

    assert_int_equal(add_instance(DB, UUID("0110"), P1, "web", NODE1, 1), 0);
    assert_int_equal(add_instance(DB, UUID("0111"), P1, "web", NODE1, 2),
                     -EEXIST);
    assert_int_equal(add_instance(DB, UUID("0112"), P2, "web", NODE1, 3), 0);
    assert_int_equal(add_image(DB, UUID("0120"), P1, "img", false), 0);
    assert_int_equal(add_image(DB, UUID("0121"), P1, "img", false), -EEXIST);
    assert_int_equal(add_image(DB, UUID("0122"), P2, "img", false), 0);
    assert_int_equal(add_token(DB, UUID("0130"), P1, "t", 1), 0);
    assert_int_equal(add_token(DB, UUID("0131"), P1, "t", 2), -EEXIST);
    assert_int_equal(add_token(DB, UUID("0132"), P2, "t", 3), 0);
    /* Operators' tokens have no project, and unique names all the same. */
    assert_int_equal(add_token(DB, UUID("0133"), NULL, "t", 4), 0);
    assert_int_equal(add_token(DB, UUID("0134"), NULL, "t", 5), -EEXIST);
    assert_int_equal(add_token(DB, UUID("0135"), P1, "u", 1), -EEXIST);
}

static void
name__of_a_deleted_instance_is_free(void **state)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};

    assert_int_equal(add_instance(DB, UUID("0110"), P1, "web", NODE1, 1), 0);
    assert_int_equal(store_instance_get(DB, P1, NULL, "web", &i), 0);
    assert_int_equal(store_instance_update(DB, &i, T0 + 1), 0);
    assert_int_equal(add_instance(DB, UUID("0111"), P1, "web", NODE1, 2), 0);
}

static void
unknown_project__cannot_own(void **state)
{
    assert_int_equal(
        add_instance(DB, UUID("0110"), UUID("9999"), "web", NODE1, 1), -EEXIST);
    assert_int_equal(add_image(DB, UUID("0120"), UUID("9999"), "i", false),
                     -EEXIST);
}

/* ---- who sees what ---- */

static void
instance__of_another_project_is_not_there(void **state)
{
    struct store_instance i = {0};

    assert_int_equal(add_instance(DB, UUID("0110"), P1, "web", NODE1, 1), 0);
    assert_int_equal(store_instance_get(DB, P2, NULL, UUID("0110"), &i),
                     -ENOENT);
    assert_int_equal(store_instance_get(DB, P2, NULL, "web", &i), -ENOENT);
    assert_int_equal(store_instance_get(DB, P1, NULL, "web", &i), 0);
    store_instance_release(&i);
    /* An operator: any id, names in the default project only. */
    assert_int_equal(store_instance_get(DB, NULL, P2, UUID("0110"), &i), 0);
    store_instance_release(&i);
    assert_int_equal(store_instance_get(DB, NULL, P2, "web", &i), -ENOENT);
    assert_int_equal(store_instance_get(DB, NULL, P1, "web", &i), 0);
    store_instance_release(&i);
}

static void
image__own_and_public_ones_are_seen(void **state)
{
    struct api_image i = {0};
    struct codec_list l = {0};

    assert_int_equal(add_image(DB, UUID("0120"), P1, "same", true), 0);
    assert_int_equal(add_image(DB, UUID("0121"), P2, "same", false), 0);
    assert_int_equal(add_image(DB, UUID("0122"), P1, "secret", false), 0);
    assert_int_equal(store_image_get(DB, P2, "same", &i), 0);
    assert_string_equal(i.id, UUID("0121")); /* the own one first */
    codec_clear(&table_image, &i);
    assert_int_equal(store_image_get(DB, P2, UUID("0120"), &i), 0);
    codec_clear(&table_image, &i);
    assert_int_equal(store_image_get(DB, P2, "secret", &i), -ENOENT);
    assert_int_equal(store_image_get(DB, P2, UUID("0122"), &i), -ENOENT);
    assert_int_equal(store_image_list(DB, P2, "", 10, &l), 0);
    assert_int_equal(l.n, 2);
    codec_list_clear(&table_image, &l);
    assert_int_equal(store_image_list(DB, NULL, "", 10, &l), 0);
    assert_int_equal(l.n, 3);
    codec_list_clear(&table_image, &l);
}

/* ---- what is in use stays ---- */

static void
delete__is_refused_while_in_use(void **state)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};
    int64_t n = -1;

    assert_int_equal(add_image(DB, IMG1, P1, "img", false), 0);
    assert_int_equal(add_node(DB, NODE1, "n"), 0);
    assert_int_equal(add_instance(DB, UUID("0110"), P1, "web", NODE1, 1), 0);
    assert_int_equal(store_image_delete(DB, IMG1), -EBUSY);
    assert_int_equal(store_node_delete(DB, NODE1), -EBUSY);
    assert_int_equal(store_project_delete(DB, P1), -EBUSY);
    assert_int_equal(store_node_instances(DB, NODE1, &n), 0);
    assert_int_equal(n, 1);
    assert_true(store_node_uses_image(DB, NODE1, IMG1));
    assert_false(store_node_uses_image(DB, NODE2, IMG1));

    assert_int_equal(store_instance_get(DB, P1, NULL, "web", &i), 0);
    assert_int_equal(store_instance_update(DB, &i, T0 + 1), 0);
    assert_false(store_node_uses_image(DB, NODE1, IMG1));
    assert_int_equal(store_image_delete(DB, IMG1), 0);
    assert_int_equal(store_node_delete(DB, NODE1), 0);
    /* Its bills refer to it. */
    assert_int_equal(store_project_delete(DB, P1), -EBUSY);
}

static void
project_delete__takes_its_tokens(void **state)
{
    struct api_token t = {0};

    assert_int_equal(add_token(DB, UUID("0130"), P2, "t", 1), 0);
    assert_int_equal(store_project_delete(DB, P2), 0);
    assert_int_equal(store_project_delete(DB, P2), -ENOENT);
    assert_int_equal(store_token_get(DB, NULL, UUID("0130"), &t), -ENOENT);
}

/* ---- pages ---- */

/* Rows that come and go between two pages neither repeat nor hide others. */
static void
page__goes_on_behind_the_last_id(void **state)
{
    char id[ID_SIZE], name[16], after[ID_SIZE] = "";
    int seen = 0;

    for (int i = 0; i < 25; i++) {
        snprintf(id, sizeof(id), "0197b3a0-0000-7000-8000-%012d", 2 * i);
        snprintf(name, sizeof(name), "i%d", i);
        assert_int_equal(add_instance(DB, id, i % 5 ? P1 : P2, name, NODE1, i),
                         0);
    }
    for (;;) {
        struct codec_list l = {0};

        assert_int_equal(store_instance_list(DB, P1, after, 7, &l), 0);
        const struct api_instance *a = l.items;
        for (size_t i = 0; i < l.n; i++) {
            assert_string_equal(a[i].project_id, P1);
            assert_true(strcmp(a[i].id, after) > 0);
            snprintf(after, sizeof(after), "%s", a[i].id);
            seen++;
        }
        size_t n = l.n;
        codec_list_clear(&table_instance, &l);
        if (n < 7)
            break;
        /* One behind us and one before us. */
        snprintf(id, sizeof(id), "0197b3a0-0000-7000-8000-%012d",
                 2 * seen + 900001);
        snprintf(name, sizeof(name), "late%d", seen);
        if (seen == 7)
            assert_int_equal(add_instance(DB, id, P1, name, NODE1, 99), 0);
    }
    assert_int_equal(seen, 21);
}

static void
page__of_operations_is_newest_first(void **state)
{
    char id[ID_SIZE];
    struct codec_list l = {0};

    for (int i = 1; i <= 5; i++) {
        snprintf(id, sizeof(id), "0197b3a0-0000-7000-8000-%012d", i);
        struct store_operation o = {
            .a = {.id = id,
                  .project_id = i == 3 ? P2 : P1,
                  .kind = (char *)"k",
                  .resource_type = (char *)"t",
                  .resource_id = P1,
                  .state = i % 2 ? OP_RUNNING : OP_FAILED,
                  .created_at = T0}};
        assert_int_equal(store_operation_insert(DB, &o), 0);
    }
    assert_int_equal(store_operation_list(DB, P1, "", 2, &l), 0);
    assert_int_equal(l.n, 2);
    assert_string_equal(((struct store_operation *)l.items)[0].a.id + 24,
                        "000000000005");
    assert_string_equal(((struct store_operation *)l.items)[1].a.id + 24,
                        "000000000004");
    store_operations_clear(&l);
    assert_int_equal(store_operation_list(
                         DB, P1, "0197b3a0-0000-7000-8000-000000000004", 9, &l),
                     0);
    assert_int_equal(l.n, 2);
    assert_string_equal(((struct store_operation *)l.items)[0].a.id + 24,
                        "000000000002");
    store_operations_clear(&l);

    /* Those that run alone, of one project or of all. */
    assert_int_equal(store_operation_list_running(DB, NULL, "", 2, &l), 0);
    assert_int_equal(l.n, 2);
    assert_string_equal(((struct store_operation *)l.items)[1].a.id + 24,
                        "000000000003");
    store_operations_clear(&l);
    assert_int_equal(store_operation_list_running(
                         DB, P1, "0197b3a0-0000-7000-8000-000000000005", 9, &l),
                     0);
    assert_int_equal(l.n, 1);
    assert_string_equal(((struct store_operation *)l.items)[0].a.id + 24,
                        "000000000001");
    store_operations_clear(&l);
}

static void
desired__is_in_order_of_change(void **state)
{
    struct codec_list l = {0};
    int64_t last = 0;
    bool more;

    assert_int_equal(add_instance(DB, UUID("0110"), P1, "a", NODE1, 9), 0);
    assert_int_equal(add_instance(DB, UUID("0111"), P1, "b", NODE1, 4), 0);
    assert_int_equal(add_instance(DB, UUID("0112"), P1, "c", NODE2, 5), 0);
    assert_int_equal(add_instance(DB, UUID("0113"), P2, "d", NODE1, 6), 0);
    assert_int_equal(store_desired_list(DB, NODE1, 0, 2, &l, &last, &more), 0);
    const struct api_desired_instance *d = l.items;
    assert_int_equal(l.n, 2);
    assert_int_equal(d[0].seq, 4);
    assert_int_equal(d[1].seq, 6);
    assert_int_equal(last, 6);
    codec_list_clear(&table_desired_instance, &l);
    assert_int_equal(store_desired_list(DB, NODE1, last, 2, &l, &last, &more),
                     0);
    assert_int_equal(l.n, 1);
    assert_int_equal(last, 9);
    codec_list_clear(&table_desired_instance, &l);
}

/* ---- usage in a window ---- */

static int
count_runs(const struct store_interval *i, void *arg)
{
    int64_t *mask = arg;

    *mask |= INT64_C(1) << i->run;
    return 0;
}

static int
stop_at_once(const struct store_interval *i, void *arg)
{
    ++*(int *)arg;
    return -ECANCELED;
}

static void
usage__window_takes_what_touches_it(void **state)
{
    static const struct {
        int64_t start, end;
    } runs[] = {{10, 20}, {20, 30}, {40, 0}};
    static const struct {
        int64_t from, to, mask;
    } windows[] = {
        {0, 10, 0},
        {0, 11, 1 << 1},
        {20, 21, 1 << 2},
        {19, 20, 1 << 1},
        {15, 25, 1 << 1 | 1 << 2},
        {30, 40, 0},
        {30, 41, 1 << 3},
        {0, 99, 14},
        {90, 99, 1 << 3},
    };
    int calls = 0;

    assert_int_equal(add_instance(DB, UUID("0110"), P1, "a", NODE1, 1), 0);
    for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
        struct store_interval iv = {
            .instance_id = UUID("0110"),
            .project_id = P1,
            .run = (int64_t)i + 1,
            .iv = {.start_us = runs[i].start, .end_us = runs[i].end}};

        assert_int_equal(store_interval_open(DB, &iv), 0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(windows); i++) {
        static const struct {
            const char *project, *instance;
            bool found;
        } who[] = {
            {NULL, NULL, true},          {P1, NULL, true},
            {P2, NULL, false},           {P1, UUID("0110"), true},
            {NULL, UUID("0110"), true},  {P2, UUID("0110"), false},
            {NULL, UUID("0111"), false},
        };

        for (size_t k = 0; k < ARRAY_SIZE(who); k++) {
            int64_t mask = 0;

            assert_int_equal(store_interval_each(DB, who[k].project,
                                                 who[k].instance,
                                                 windows[i].from, windows[i].to,
                                                 count_runs, &mask),
                             0);
            assert_int_equal(mask, who[k].found ? windows[i].mask : 0);
        }
    }
    assert_int_equal(
        store_interval_each(DB, NULL, NULL, 0, 99, stop_at_once, &calls),
        -ECANCELED);
    assert_int_equal(calls, 1);
}

/* ---- what is forgotten ---- */

static void
expire__forgets_after_a_day_and_only_so_many(void **state)
{
    const int64_t day = 86400 * US_PER_S;
    struct store_reply r = {.status = 201, .body = (char *)"{}"}, out = {0};
    struct store_join_token t = {.id = UUID("0140"), .expires_at = T0};
    struct store_join_token got = {0};

    assert_int_equal(store_reply_insert(DB, P1, "a", &r, T0), 0);
    assert_int_equal(store_reply_insert(DB, P1, "b", &r, T0 + 1), 0);
    assert_int_equal(store_reply_insert(DB, P1, "c", &r, T0 + 2), 0);
    assert_int_equal(store_join_token_insert(DB, &t), 0);
    assert_int_equal(store_expire(DB, T0 + day, 10), 0);
    assert_int_equal(store_reply_get(DB, P1, "a", &out),
                     0); /* the day itself */
    store_reply_release(&out);
    assert_int_equal(store_join_token_get(DB, t.id, &got), 0);
    store_join_token_release(&got);
    assert_int_equal(store_expire(DB, T0 + day + 2, 1), 0);
    int left = 0;
    for (const char *k = "abc"; *k; k++) {
        char key[2] = {*k, '\0'};

        left += store_reply_get(DB, P1, key, &out) == 0;
        store_reply_release(&out);
    }
    assert_int_equal(left, 2);
    assert_int_equal(store_join_token_get(DB, t.id, &got), -ENOENT);
    assert_int_equal(store_expire(DB, T0 + day + 2, 10), 0);
    assert_int_equal(store_reply_get(DB, P1, "b", &out), -ENOENT);
    assert_int_equal(store_reply_get(DB, P1, "c", &out), 0);
    store_reply_release(&out);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(schema__is_the_committed_one),
        T(schema__every_upgrade_leads_to_it),
        T(schema__upgrade_tells_the_restart_policy),
        T(open__reader_needs_a_database),
        T(name__is_taken_once_in_its_scope),
        T(name__of_a_deleted_instance_is_free),
        T(unknown_project__cannot_own),
        T(instance__of_another_project_is_not_there),
        T(image__own_and_public_ones_are_seen),
        T(delete__is_refused_while_in_use),
        T(project_delete__takes_its_tokens),
        T(page__goes_on_behind_the_last_id),
        T(page__of_operations_is_newest_first),
        T(desired__is_in_order_of_change),
        T(usage__window_takes_what_touches_it),
        T(expire__forgets_after_a_day_and_only_so_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
