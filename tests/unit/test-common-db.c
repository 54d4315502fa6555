/* test-common-db.c - the database handle: values, constraints, migrations,
 * a full disk. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/stat.h>

#include "common/db.h"
#include "common/fs.h"
#include "common/mem.h"

struct fixture {
    char dir[40], path[64];
};

static int
setup(void **state)
{
    struct fixture *f = xnew(struct fixture);

    snprintf(f->dir, sizeof(f->dir), "/tmp/virga-db-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/t.db", f->dir);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;
    int r = fs_remove_tree(f->dir, NULL);

    free(f);
    return r;
}

static const struct db_migration v1[] = {
    {1, "CREATE TABLE a (id INTEGER PRIMARY KEY, t TEXT, b BLOB, n INTEGER) "
        "STRICT; CREATE UNIQUE INDEX a_t ON a (t);"
        "CREATE TABLE kid (a INTEGER NOT NULL REFERENCES a (id)) STRICT"},
};
static const struct db_migration v2[] = {
    {1, "this was applied by an older program and is never run again"},
    {2, "ALTER TABLE a ADD COLUMN more INTEGER NOT NULL DEFAULT 7;"
        "UPDATE a SET more = 8 WHERE id = 1"},
};

enum { INSERT, GET, EACH, KID, DELETE, INSERT_ANY };
static const char *const sql[] = {
    [INSERT] = "INSERT INTO a (id, t, b, n) VALUES (?, ?, ?, ?)",
    [GET] = "SELECT id, t, b, n FROM a WHERE id = ?",
    [EACH] = "SELECT id FROM a ORDER BY id",
    [KID] = "INSERT INTO kid (a) VALUES (?)",
    [DELETE] = "DELETE FROM a WHERE id >= ?",
    [INSERT_ANY] = "INSERT INTO a (t) VALUES (?)",
};

static struct db *
open_v1(struct fixture *f, unsigned flags)
{
    struct err e _cleanup_(err_release) = {0};
    struct db *db = NULL;
    int r = db_open(f->path, flags, &db, &e);

    if (r == 0 && !(flags & DB_READ_ONLY))
        r = db_migrate(db, v1, ARRAY_SIZE(v1), &e);
    if (r == 0)
        r = db_prepare(db, sql, ARRAY_SIZE(sql), &e);
    if (r < 0)
        fail_msg("%s", e.message);
    return db;
}

static void
open__file_is_private(void **state)
{
    struct fixture *f = *state;
    struct stat st;

    db_close(open_v1(f, DB_DURABLE));
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void
open__what_is_no_database_is_refused(void **state)
{
    struct fixture *f = *state;
    struct err e _cleanup_(err_release) = {0};
    struct db *db = NULL;

    assert_true(db_open(f->path, DB_READ_ONLY, &db, &e) < 0); /* missing */
    assert_non_null(strstr(e.message, f->path));
    assert_true(db_open(f->dir, 0, &db, &e) < 0);
    char text[4096];
    memset(text, 'x', sizeof(text));
    assert_int_equal(fs_write_atomic(f->path, text, sizeof(text), 0600, NULL),
                     0);
    assert_true(db_open(f->path, 0, &db, &e) < 0);
    assert_null(db);
}

static void
bind__every_type_comes_back(void **state)
{
    struct db *db _cleanup_(db_closep) = open_v1(*state, 0);
    static const char blob[] = "a\0b";
    size_t n;

    assert_int_equal(db_run(db, INSERT, "isbi", INT64_C(1), "text", blob,
                            sizeof(blob), INT64_MIN),
                     1);
    assert_int_equal(db_run(db, INSERT, "isbz", INT64_C(2), (char *)NULL, blob,
                            (size_t)0, INT64_C(0)),
                     1);
    assert_int_equal(db_get(db, GET, "i", INT64_C(1)), 0);
    assert_int_equal(db_int(db, GET, 0), 1);
    assert_string_equal(db_text(db, GET, 1), "text");
    assert_memory_equal(db_blob(db, GET, 2, &n), blob, sizeof(blob));
    assert_int_equal(n, sizeof(blob));
    assert_true(db_int(db, GET, 3) == INT64_MIN);
    assert_int_equal(db_get(db, GET, "i", INT64_C(2)), 0);
    assert_true(db_is_null(db, GET, 1));
    assert_null(db_text(db, GET, 1));
    assert_true(db_is_null(db, GET, 3));
    db_reset(db, GET);
    assert_int_equal(db_get(db, GET, "i", INT64_C(3)), -ENOENT);
}

static void
query__ends_and_starts_again(void **state)
{
    struct db *db _cleanup_(db_closep) = open_v1(*state, 0);

    for (int64_t i = 1; i <= 3; i++)
        assert_int_equal(
            db_run(db, INSERT, "isbi", i, (char *)NULL, "", (size_t)0, i), 1);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(db_query(db, EACH, ""), 0);
        for (int64_t i = 1; i <= 3; i++) {
            assert_int_equal(db_next(db, EACH), 1);
            assert_int_equal(db_int(db, EACH, 0), i);
        }
        assert_int_equal(db_next(db, EACH), 0);
    }
    assert_int_equal(db_run(db, DELETE, "i", INT64_C(2)), 2);
    assert_int_equal(db_run(db, DELETE, "i", INT64_C(2)), 0);
}

static void
constraint__is_eexist(void **state)
{
    struct db *db _cleanup_(db_closep) = open_v1(*state, 0);

    assert_int_equal(db_run(db, INSERT_ANY, "s", "same"), 1);
    assert_int_equal(db_run(db, INSERT_ANY, "s", "same"), -EEXIST);
    assert_int_equal(db_run(db, KID, "i", INT64_C(99)), -EEXIST);
    assert_int_equal(db_run(db, INSERT_ANY, "s", "other"), 1);
}

static void
read_only__sees_commits_and_cannot_write(void **state)
{
    struct db *w _cleanup_(db_closep) = open_v1(*state, DB_DURABLE);
    struct db *r _cleanup_(db_closep) = open_v1(*state, DB_READ_ONLY);

    assert_int_equal(db_exec(w, "BEGIN IMMEDIATE", NULL), 0);
    assert_true(db_in_transaction(w));
    assert_int_equal(db_run(w, INSERT_ANY, "s", "a"), 1);
    assert_int_equal(db_get(r, GET, "i", INT64_C(1)), -ENOENT);
    assert_int_equal(db_exec(w, "COMMIT", NULL), 0);
    assert_false(db_in_transaction(w));
    assert_int_equal(db_get(r, GET, "i", INT64_C(1)), 0);
    db_reset(r, GET);
    assert_int_equal(db_run(r, INSERT_ANY, "s", "b"), -EACCES);
}

static void
full__is_enospc_and_nothing_is_written(void **state)
{
    struct db *db _cleanup_(db_closep) = open_v1(*state, 0);
    struct err e _cleanup_(err_release) = {0};
    char big[100000];

    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    assert_int_equal(db_exec(db, "PRAGMA max_page_count=12", NULL), 0);
    assert_int_equal(db_run(db, INSERT_ANY, "s", big), -ENOSPC);
    assert_int_equal(db_err(db, -ENOSPC, &e), -ENOSPC);
    assert_string_equal(e.code, "storage_full");
    assert_int_equal(db_get(db, GET, "i", INT64_C(1)), -ENOENT);
    assert_int_equal(db_exec(db, "PRAGMA max_page_count=1000", NULL), 0);
    assert_int_equal(db_run(db, INSERT_ANY, "s", big), 1);
}

static void
prepare__typo_fails_at_once_and_is_shown(void **state)
{
    struct db *db _cleanup_(db_closep) = open_v1(*state, 0);
    static const char *const typo[] = {"SELECT id FROM a", "SELEKT id FROM a"};
    struct err e _cleanup_(err_release) = {0};
    unsigned base;

    assert_true(db_prepare_more(db, typo, 2, &base, &e) < 0);
    assert_non_null(strstr(e.message, "SELEKT"));
    assert_non_null(strstr(e.message, "statement 1"));
}

/* There is nothing to be opened again, and nothing to be cleared up, where a
 * statement cannot be used. */
static void
prepare__reader_meets_a_typo_when_it_is_used(void **state)
{
    struct fixture *f = *state;
    struct db *writer _cleanup_(db_closep) = open_v1(f, 0);
    struct db *db _cleanup_(db_closep) = NULL;
    static const char *const some[] = {"SELEKT id FROM a", "SELECT 42"};
    struct err e _cleanup_(err_release) = {0};
    unsigned base = 9;

    assert_int_equal(db_open(f->path, DB_READ_ONLY, &db, &e), 0);
    assert_int_equal(db_prepare_more(db, some, 2, &base, &e), 0);
    assert_int_equal(base, 0);
    for (int k = 0; k < 2; k++) {
        assert_int_equal(db_get(db, 0, ""), -EIO);
        db_reset(db, 0);
        assert_int_equal(db_get(db, 1, ""), 0);
        assert_int_equal(db_int(db, 1, 0), 42);
        db_reset(db, 1);
    }
}

static void
prepare_more__numbers_go_on(void **state)
{
    struct db *db _cleanup_(db_closep) = open_v1(*state, 0);
    static const char *const one[] = {"SELECT 42"};
    unsigned base = 0;

    assert_int_equal(db_prepare_more(db, one, 1, &base, NULL), 0);
    assert_int_equal(base, ARRAY_SIZE(sql));
    assert_int_equal(db_get(db, base, ""), 0);
    assert_int_equal(db_int(db, base, 0), 42);
    db_reset(db, base);
}

static void
migrate__applies_only_what_is_new(void **state)
{
    struct fixture *f = *state;
    struct err e _cleanup_(err_release) = {0};
    struct db *db = open_v1(f, 0);
    static const char *const more[] = {"SELECT more FROM a ORDER BY id"};
    unsigned base;

    assert_int_equal(db_run(db, INSERT_ANY, "s", "one"), 1);
    assert_int_equal(db_run(db, INSERT_ANY, "s", "two"), 1);
    db_close(db);
    db = NULL;
    for (int round = 0; round < 2; round++) {
        assert_int_equal(db_open(f->path, 0, &db, &e), 0);
        if (db_migrate(db, v2, ARRAY_SIZE(v2), &e) < 0)
            fail_msg("%s", e.message);
        assert_int_equal(db_prepare_more(db, more, 1, &base, &e), 0);
        assert_int_equal(db_query(db, base, ""), 0);
        assert_int_equal(db_next(db, base), 1);
        assert_int_equal(db_int(db, base, 0), 8);
        assert_int_equal(db_next(db, base), 1);
        assert_int_equal(db_int(db, base, 0), 7);
        db_close(db);
        db = NULL;
    }
}

static void
migrate__newer_database_is_refused(void **state)
{
    struct fixture *f = *state;
    struct err e _cleanup_(err_release) = {0};
    struct db *db _cleanup_(db_closep) = NULL;

    db_close(open_v1(f, 0));
    assert_int_equal(db_open(f->path, 0, &db, &e), 0);
    assert_int_equal(db_migrate(db, v2, ARRAY_SIZE(v2), &e), 0);
    assert_int_equal(db_migrate(db, v1, ARRAY_SIZE(v1), &e), -EPROTO);
    assert_string_equal(e.code, "database_newer");
}

/* A migration is whole or not at all, and the ones before it stay. */
static void
migrate__failure_leaves_the_version_before(void **state)
{
    static const struct db_migration broken[] = {
        {1, "CREATE TABLE one (id INTEGER) STRICT"},
        {2, "CREATE TABLE two (id INTEGER) STRICT; CREATE TABLE one (x)"},
    };
    static const struct db_migration mended[] = {
        {1, "never run again"},
        {2, "CREATE TABLE two (id INTEGER) STRICT"},
    };
    struct fixture *f = *state;
    struct err e _cleanup_(err_release) = {0};
    struct db *db _cleanup_(db_closep) = NULL;
    char *text _cleanup_(freep) = NULL;

    assert_int_equal(db_open(f->path, 0, &db, &e), 0);
    assert_true(db_migrate(db, broken, 2, &e) < 0);
    assert_non_null(strstr(e.message, "schema migration 2"));
    assert_false(db_in_transaction(db));
    assert_int_equal(db_schema_text(db, &text), 0);
    assert_string_equal(text, "CREATE TABLE one (id INTEGER) STRICT;\n");
    assert_int_equal(db_migrate(db, mended, 2, &e), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(open__file_is_private),
        T(open__what_is_no_database_is_refused),
        T(bind__every_type_comes_back),
        T(query__ends_and_starts_again),
        T(constraint__is_eexist),
        T(read_only__sees_commits_and_cannot_write),
        T(full__is_enospc_and_nothing_is_written),
        T(prepare__typo_fails_at_once_and_is_shown),
        T(prepare__reader_meets_a_typo_when_it_is_used),
        T(prepare_more__numbers_go_on),
        T(migrate__applies_only_what_is_new),
        T(migrate__newer_database_is_refused),
        T(migrate__failure_leaves_the_version_before),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
