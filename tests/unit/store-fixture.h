/* tests/unit/store-fixture.h - a controller's store in a folder of its own.
 * Role:      setup and teardown for tests of what works on rows, and rows
 *            with another value in every column.
 * Ownership: the fixture owns all; ids are static text.
 * Threads:   one.   Errors: a failed step fails the test. */
#ifndef TESTS_UNIT_STORE_FIXTURE_H
#define TESTS_UNIT_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "common/fs.h"
#include "common/mem.h"
#include "controllerd/store/store.h"

#define UUID(n) ((char *)"0197b3a0-0000-7000-8000-00000000" n)
#define P1 UUID("0001")
#define P2 UUID("0002")
#define NODE1 UUID("0011")
#define NODE2 UUID("0012")
#define IMG1 UUID("0021")
#define FLV1 UUID("0031")
#define T0 INT64_C(1700000000000000)

struct store_fixture {
    char dir[40], path[64];
    struct db *db;
};

static inline void
store_fixture_open(struct store_fixture *f)
{
    struct err e _cleanup_(err_release) = {0};

    snprintf(f->dir, sizeof(f->dir), "/tmp/virga-store-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/c.db", f->dir);
    if (store_open(f->path, true, &f->db, &e) < 0)
        fail_msg("%s", e.message);
}

static inline int
store_fixture_close(struct store_fixture *f)
{
    db_close(f->db);
    return fs_remove_tree(f->dir, NULL);
}

static inline void
add_project(struct db *db, char *id, const char *name)
{
    struct api_project p = {.id = id, .name = (char *)name, .created_at = T0};

    assert_int_equal(store_project_insert(db, &p), 0);
}

/* The object's JSON, for comparing all of its fields at once. */
static inline char *
as_json(const struct codec_table *t, const void *obj)
{
    struct buf b = {0};

    codec_encode(t, obj, &b);
    return buf_take(&b);
}

static inline void
assert_same(const struct codec_table *t, const void *a, const void *b)
{
    char *ja _cleanup_(freep) = as_json(t, a);
    char *jb _cleanup_(freep) = as_json(t, b);

    assert_string_equal(ja, jb);
}

#endif
