/* test-controllerd-store-create.c - rows of the create path: quotas, keypairs,
 * labels and their index, what instances were given. */
#include <config.h>

#include "tests/unit/store-fixture.h"

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

static char *
nth_id(int n)
{
    static char id[ID_SIZE];

    snprintf(id, sizeof(id), "0197b3a0-0000-7000-8000-%012d", n);
    return id;
}

/* labels: "k=v,k=v" in order, or NULL. */
static void
add_instance(struct db *db, int n, char *project, char *node,
             const char *labels, int state)
{
    struct store_instance i = {
        .a = {.id = nth_id(n),
              .name = xasprintf("i%d", n),
              .project_id = project,
              .state = state,
              .flavor = (char *)"small",
              .image = (char *)"debian",
              .flavor_id = FLV1,
              .image_id = IMG1,
              .vcpus = 1,
              .memory_bytes = 2,
              .disk_bytes = 3,
              .node_id = node,
              .run = 1,
              .generation = 1,
              .operation_id = UUID("0041"),
              .created_at = T0 + n},
        .seq = n,
    };
    char *text _cleanup_(freep) = xstrdup(labels ? labels : "");
    char *save = NULL;

    for (char *w = strtok_r(text, ",", &save); w;
         w = strtok_r(NULL, ",", &save)) {
        char *eq = strchr(w, '=');

        *eq = '\0';
        codec_labels_add(&i.a.labels, w, eq + 1);
    }
    assert_int_equal(store_instance_insert(db, &i), 0);
    codec_labels_clear(&i.a.labels);
    free(i.a.name);
}

static bool
take_all(const struct api_instance *a, void *arg)
{
    ++*(int *)arg;
    return true;
}

static bool
take_running(const struct api_instance *a, void *arg)
{
    ++*(int *)arg;
    return a->state == INSTANCE_RUNNING;
}

/* All pages' names with blanks; how often keep was asked goes to ret_seen. */
static char *
scan(struct db *db, struct store_instance_scan q, int *ret_seen)
{
    struct buf names = {0};
    char next[ID_SIZE] = "";

    *ret_seen = 0;
    q.arg = ret_seen;
    q.keep = q.keep ? q.keep : take_all;
    for (int page = 0; page < 1000; page++) {
        struct codec_list l = {0};
        char after[ID_SIZE];

        memcpy(after, next, ID_SIZE);
        q.after = after;
        assert_int_equal(store_instance_scan(db, &q, &l, next), 0);
        assert_true(l.n <= (size_t)q.limit);
        for (size_t i = 0; i < l.n; i++)
            buf_addf(&names, "%s%s", names.len ? " " : "",
                     ((struct api_instance *)l.items)[i].name);
        codec_list_clear(&table_instance, &l);
        if (!next[0])
            return buf_take(&names);
        assert_true(strcmp(next, after) > 0);
    }
    fail_msg("the pages do not end");
    return NULL;
}

static void
assert_scan(struct db *db, struct store_instance_scan q, const char *want,
            int want_seen)
{
    int seen;
    char *got _cleanup_(freep) = scan(db, q, &seen);

    assert_string_equal(got, want);
    if (want_seen)
        assert_int_equal(seen, want_seen);
}

static void
fill(struct db *db)
{
    add_instance(db, 1, P1, NODE1, "env=prod,tier=web", INSTANCE_RUNNING);
    add_instance(db, 2, P1, NODE2, "env=test", INSTANCE_RUNNING);
    add_instance(db, 3, P2, NODE1, "env=prod", INSTANCE_RUNNING);
    add_instance(db, 4, P1, NODE1, NULL, INSTANCE_STOPPED);
    add_instance(db, 5, P1, NODE2, "env=prod", INSTANCE_STOPPED);
    add_instance(db, 6, P1, NODE1, "tier=", INSTANCE_RUNNING);
}

static void
scan__is_answered_by_the_index_it_names(void **state)
{
    struct store_instance_scan q = {.limit = 2, .scan_limit = 3};

    fill(DB);
    assert_scan(DB, q, "i1 i2 i3 i4 i5 i6", 0);
    q.project = P1;
    assert_scan(DB, q, "i1 i2 i4 i5 i6", 0);
    q.label = "env";
    assert_scan(DB, q, "i1 i2 i5", 0);
    q.label_value = "prod";
    assert_scan(DB, q, "i1 i5", 2);
    q.label_value = "none";
    assert_scan(DB, q, "", 0);
    q.project = NULL;
    q.label_value = "prod";
    assert_scan(DB, q, "i1 i3 i5", 0);
    q = (struct store_instance_scan){
        .limit = 2, .scan_limit = 3, .project = P1, .label = "tier"};
    assert_scan(DB, q, "i1 i6", 2);
    q.label_value = "";
    assert_scan(DB, q, "i6", 1);
    q = (struct store_instance_scan){
        .limit = 2, .scan_limit = 3, .node = NODE1};
    assert_scan(DB, q, "i1 i3 i4 i6", 0);
    q.project = P1;
    assert_scan(DB, q, "i1 i4 i6", 0);
}

/* A call looks at so many rows and no more; what it finds is all the same. */
static void
scan__pages_are_whole_for_any_limits(void **state)
{
    fill(DB);
    for (int limit = 1; limit <= 7; limit++)
        for (int most = 1; most <= 7; most++) {
            struct store_instance_scan q = {
                .limit = limit, .scan_limit = most, .keep = take_running};

            assert_scan(DB, q, "i1 i2 i3 i6", 0);
            q.project = P2;
            assert_scan(DB, q, "i3", 1);
        }
}

static void
labels__index_follows_the_row(void **state)
{
    struct store_instance_scan q = {
        .limit = 9, .scan_limit = 9, .project = P1, .label = "env"};
    struct store_instance i _cleanup_(store_instance_release) = {0};

    fill(DB);
    assert_int_equal(
        db_exec(DB,
                "UPDATE instances SET labels = '{\"env\":\"dev\"}' WHERE "
                "name IN ('i1', 'i4')",
                NULL),
        0);
    assert_scan(DB, q, "i1 i2 i4 i5", 0);
    q.label_value = "dev";
    assert_scan(DB, q, "i1 i4", 0);
    q.label = "tier";
    q.label_value = NULL;
    assert_scan(DB, q, "i6", 0);
    assert_int_equal(
        db_exec(DB, "UPDATE instances SET labels = NULL WHERE name = 'i1'",
                NULL),
        0);
    q.label = "env";
    assert_scan(DB, q, "i2 i4 i5", 0);
    /* Deleted: not a trace in the index. */
    assert_int_equal(store_instance_get(DB, P1, NULL, "i2", &i), 0);
    assert_int_equal(store_instance_update(DB, &i, T0), 0);
    assert_scan(DB, q, "i4 i5", 2);
}

static void
seed__goes_down_and_ends_with_its_instance(void **state)
{
    char *lines[] = {(char *)"ssh-ed25519 AAAA a b", (char *)"ssh-rsa BBBB"};
    struct codec_list keys = {lines, 2}, none = {0}, l = {0};
    struct store_instance i _cleanup_(store_instance_release) = {0};
    int64_t last;
    bool more;
    char *text = NULL;

    fill(DB);
    char *id _cleanup_(freep) = xstrdup(nth_id(1));
    assert_int_equal(
        store_seed_insert(DB, id, "#!/bin/sh\necho \"hi\"\n", &keys), 0);
    assert_int_equal(store_seed_insert(DB, nth_id(4), NULL, &none), 0);
    assert_int_equal(store_seed_user_data(DB, id, &text), 0);
    assert_string_equal(text, "#!/bin/sh\necho \"hi\"\n");
    freep(&text);
    assert_int_equal(store_seed_user_data(DB, nth_id(4), &text), 0);
    assert_null(text);
    assert_int_equal(store_desired_list(DB, NODE1, 0, 9, &l, &last, &more), 0);
    assert_int_equal(l.n, 4);
    assert_false(more);
    const struct api_desired_instance *d = l.items;
    assert_string_equal(d->user_data, "#!/bin/sh\necho \"hi\"\n");
    assert_int_equal(d->keys.n, 2);
    assert_string_equal(((char **)d->keys.items)[0], lines[0]);
    assert_string_equal(((char **)d->keys.items)[1], lines[1]);
    assert_null(d[1].user_data);
    codec_list_clear(&table_desired_instance, &l);

    assert_int_equal(store_seed_set_user_data(DB, id, "new"), 0);
    assert_int_equal(store_seed_set_user_data(DB, nth_id(4), "other"), 0);
    assert_int_equal(store_desired_list(DB, NODE1, 0, 1, &l, &last, &more), 0);
    assert_true(more);
    d = l.items;
    assert_string_equal(d->user_data, "new");
    assert_int_equal(d->keys.n, 2);
    codec_list_clear(&table_desired_instance, &l);

    assert_int_equal(store_instance_get(DB, P1, NULL, "i1", &i), 0);
    assert_int_equal(store_instance_update(DB, &i, T0), 0);
    assert_int_equal(store_seed_user_data(DB, id, &text), 0);
    assert_null(text);
}

/* An agent takes 16 MiB: the seeds of a page are bounded, none is left out. */
static void
seed__pages_are_bounded_by_bytes(void **state)
{
    char *big _cleanup_(freep) = xmalloc(API_USER_DATA_MAX + 1);
    struct codec_list none = {0};
    int64_t last = 0;
    int found = 0, pages = 0;
    bool more = true;

    memset(big, 'x', API_USER_DATA_MAX);
    big[API_USER_DATA_MAX] = '\0';
    for (int n = 1; n <= 150; n++) {
        add_instance(DB, n, P1, NODE1, NULL, INSTANCE_RUNNING);
        assert_int_equal(store_seed_insert(DB, nth_id(n), big, &none), 0);
    }
    for (; more; pages++) {
        struct codec_list l = {0};

        assert_int_equal(
            store_desired_list(DB, NODE1, last, 500, &l, &last, &more), 0);
        assert_true(l.n * API_USER_DATA_MAX <=
                    STORE_DESIRED_SEEDS + API_USER_DATA_MAX);
        found += (int)l.n;
        codec_list_clear(&table_desired_instance, &l);
    }
    assert_int_equal(found, 150);
    assert_int_equal(last, 150);
    assert_int_equal(pages, 3);
}

static void
quota__round_trip(void **state)
{
    struct api_quota_values in = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, out;
    struct api_quota_values none = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    int64_t generation = 0;

    assert_int_equal(store_quota_get(DB, P1, &out, &generation), 0);
    assert_memory_equal(&out, &none, sizeof(out));
    assert_int_equal(generation, 1);
    assert_int_equal(store_quota_set(DB, P1, &in, 7), 0);
    assert_int_equal(store_quota_get(DB, P1, &out, &generation), 0);
    assert_memory_equal(&out, &in, sizeof(out));
    assert_int_equal(generation, 7);
    in.tokens = -1;
    assert_int_equal(store_quota_set(DB, P1, &in, 8), 0);
    assert_int_equal(store_quota_get(DB, P1, &out, &generation), 0);
    assert_memory_equal(&out, &in, sizeof(out));
    assert_int_equal(generation, 8);
    assert_int_equal(store_project_delete(DB, P1), 0);
    assert_int_equal(store_quota_get(DB, P1, &out, &generation), 0);
    assert_int_equal(generation, 1);
}

static void
keypair__round_trip(void **state)
{
    struct api_keypair in = {.id = UUID("0201"),
                             .name = (char *)"laptop",
                             .project_id = P1,
                             .public_key = (char *)"ssh-ed25519 AAAA me",
                             .fingerprint = (char *)"SHA256:x",
                             .generation = 1,
                             .created_at = T0 + 1};
    struct api_keypair out = {0}, twin = in;
    struct codec_list l = {0};

    assert_int_equal(store_keypair_insert(DB, &in), 0);
    twin.id = UUID("0202");
    assert_int_equal(store_keypair_insert(DB, &twin), -EEXIST);
    twin.project_id = P2;
    assert_int_equal(store_keypair_insert(DB, &twin), 0);
    assert_int_equal(store_keypair_get(DB, P1, NULL, "laptop", &out), 0);
    assert_same(&table_keypair, &in, &out);
    codec_clear(&table_keypair, &out);
    assert_int_equal(store_keypair_get(DB, P1, NULL, in.id, &out), 0);
    assert_same(&table_keypair, &in, &out);
    codec_clear(&table_keypair, &out);
    assert_int_equal(store_keypair_get(DB, P1, NULL, twin.id, &out), -ENOENT);
    assert_int_equal(store_keypair_get(DB, NULL, P2, twin.id, &out), 0);
    codec_clear(&table_keypair, &out);
    assert_int_equal(store_keypair_get(DB, NULL, P2, "laptop", &out), 0);
    assert_string_equal(out.id, twin.id);
    codec_clear(&table_keypair, &out);
    assert_int_equal(store_keypair_list(DB, P1, "", 9, &l), 0);
    assert_int_equal(l.n, 1);
    assert_same(&table_keypair, &in, l.items);
    codec_list_clear(&table_keypair, &l);
    assert_int_equal(store_keypair_list(DB, NULL, in.id, 9, &l), 0);
    assert_int_equal(l.n, 1);
    assert_same(&table_keypair, &twin, l.items);
    codec_list_clear(&table_keypair, &l);
    assert_int_equal(store_keypair_delete(DB, in.id), 0);
    assert_int_equal(store_keypair_delete(DB, in.id), -ENOENT);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(scan__is_answered_by_the_index_it_names),
        T(scan__pages_are_whole_for_any_limits),
        T(labels__index_follows_the_row),
        T(seed__goes_down_and_ends_with_its_instance),
        T(seed__pages_are_bounded_by_bytes),
        T(quota__round_trip),
        T(keypair__round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
