/* test-bench-azure.c - the reader of Azure's packing trace takes a file of the
 * published schema and refuses all else, with the row at fault. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "bench/trace/bound.h"
#include "bench/trace/replay.h"
#include "common/db.h"
#include "common/mem.h"

#define SCHEMA                                                                 \
    "CREATE TABLE vm(vmId INTEGER, tenantId INTEGER, vmTypeId INTEGER, "       \
    "priority INTEGER, starttime REAL, endtime REAL);"                         \
    "CREATE TABLE vmType(id INTEGER, vmTypeId INTEGER, machineId INTEGER, "    \
    "core REAL, memory REAL, hdd REAL, ssd REAL, nic REAL);"
#define TYPES                                                                  \
    "INSERT INTO vmType VALUES (0, 10, 1, 0.5, 0.25, NULL, 0.1, 0.05),"        \
    "(1, 11, 1, 0.1666666666666667, 0.125, 0, 0, 0.01),"                       \
    "(2, 10, 2, 1.5, 0.5, 0, 0, 0), (3, 11, 2, 0.1, 0.1, 0, 0, 0);"
#define VMS                                                                    \
    "INSERT INTO vm VALUES (0, 7, 10, 0, -2.5, NULL), "                        \
    "(1, 7, 11, 1, 0.5, 1.25), (2, 8, 11, 0, 0.5, 0.5), "                      \
    "(3, 8, 99, 0, 1, 2), (4, 9, 10, 0, 3, 90);"

static char folder[] = "/tmp/virga-azure.XXXXXX";

static char *
file_of(const char *sql)
{
    char *path = xasprintf("%s/trace.db", folder);
    struct db *db _cleanup_(db_closep) = NULL;

    unlink(path);
    assert_int_equal(db_open(path, 0, &db, NULL), 0);
    assert_int_equal(db_exec(db, "PRAGMA journal_mode=DELETE", NULL), 0);
    assert_int_equal(db_exec(db, sql, NULL), 0);
    return path;
}

static void
read_fails(const char *sql, const char *words)
{
    char *path _cleanup_(freep) = file_of(sql);
    struct err e _cleanup_(err_release) = {0};
    struct trace t;
    int r = trace_read_azure(path, 1, &t, &e);

    assert_true(r < 0);
    if (!strstr(e.message, words))
        fail_msg("\"%s\" is not in: %s", words, e.message);
}

static void
trace_read_azure__reads_the_published_schema(void **state)
{
    char *path _cleanup_(freep) = file_of(SCHEMA TYPES VMS);
    struct err e _cleanup_(err_release) = {0};
    struct trace t;

    (void)state;
    if (trace_read_azure(path, 1, &t, &e) < 0)
        fail_msg("%s", e.message);
    assert_int_equal(t.n_flavors, 2);
    assert_int_equal(t.flavors[0].v[0], 500000);
    assert_int_equal(t.flavors[0].v[1], 250000);
    assert_int_equal(t.flavors[0].v[2], 100000);
    assert_true(t.flavors[1].v[0] * 6 <= t.node.v[0]);
    assert_int_equal(t.n_vms, 4); /* one is of no type of this machine */
    assert_int_equal(t.vms[0].start, -5 * TRACE_DAY_MS / 2);
    assert_true(t.vms[0].end == TRACE_NEVER);
    assert_false(t.vms[0].low);
    assert_int_equal(t.vms[1].start, TRACE_DAY_MS / 2);
    assert_int_equal(t.vms[1].end, t.vms[1].start + 1); /* began and ended */
    assert_int_equal(t.vms[2].end, 5 * TRACE_DAY_MS / 4);
    assert_true(t.vms[2].low);
    assert_int_equal(t.vms[2].tenant, 7);
    trace_release(&t);
}

static void
trace_read_azure__takes_the_machine_that_most_can_use(void **state)
{
    char *path _cleanup_(freep) =
        file_of(SCHEMA TYPES VMS "DELETE FROM vmType WHERE id = 1;");
    struct trace t;

    (void)state;
    assert_int_equal(trace_read_azure(path, -1, &t, NULL), 0);
    /* Machine 2, on which type 10 needs more than there is. */
    assert_int_equal(t.n_flavors, 1);
    assert_int_equal(t.flavors[0].v[0], 100000);
    assert_int_equal(t.n_vms, 2);
    trace_release(&t);
}

static void
trace_read_azure__can_be_replayed(void **state)
{
    char *path _cleanup_(freep) = file_of(SCHEMA TYPES VMS);
    struct trace_bound b;
    struct trace t;

    (void)state;
    assert_int_equal(trace_read_azure(path, 1, &t, NULL), 0);
    trace_foretell(&t, 1, 1);
    trace_bound(&t, &b);
    assert_int_equal(b.nodes, 1);
    for (size_t i = 0; i < n_policies; i++) {
        size_t nodes = 0;

        assert_int_equal(trace_compact(&t, &policies[i], 1, 3, &nodes, NULL),
                         0);
        assert_true(nodes >= 1 && nodes <= 2);
    }
    trace_release(&t);
}

static void
trace_read_azure__hostile_file_is_refused(void **state)
{
    static const struct {
        const char *sql, *words;
    } cases[] = {
        {"CREATE TABLE other(x)", "vm and vmType"},
        {"CREATE TABLE vmType(id, vmTypeId, machineId, core, memory, ssd);"
         "CREATE VIEW vm AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT "
         "i FROM n) SELECT i AS vmId FROM n WHERE i < 0",
         "vm and vmType"},
        {"CREATE TABLE vm(vmId); CREATE TABLE vmType(id)", "storage"},
        {SCHEMA, "machine 1 has no types"},
        {SCHEMA TYPES, "no requests"},
        {SCHEMA VMS "INSERT INTO vmType VALUES (0, 10, 1, -0.1, 0, 0, 0, 0)",
         "type 10: a resource"},
        {SCHEMA VMS "INSERT INTO vmType VALUES (0, 10, 1, 'half', 0, 0, 0, 0)",
         "type 10: a resource"},
        {SCHEMA VMS "INSERT INTO vmType VALUES (0, 10, 1, 0, 0, 1, 0, 1)",
         "type 10: needs nothing"},
        {SCHEMA VMS "INSERT INTO vmType VALUES (0, 10, 1, .1, 0, 0, 0, 0), "
                    "(1, 10, 1, .2, 0, 0, 0, 0)",
         "type 10: twice"},
        {SCHEMA VMS "INSERT INTO vmType VALUES (0, 'x', 1, .1, 0, 0, 0, 0)",
         "its id"},
        {SCHEMA TYPES "INSERT INTO vm VALUES (0, 7, 10, 0, 1e300, NULL)",
         "request 1: a time"},
        {SCHEMA TYPES "INSERT INTO vm VALUES (0, 7, 10, 0, NULL, NULL)",
         "request 1: a time"},
        {SCHEMA TYPES "INSERT INTO vm VALUES (0, 7, 10, 0, 0, 9e999)",
         "request 1: a time"},
        {SCHEMA TYPES "INSERT INTO vm VALUES (0, 7, 10, 0, 0, x'00')",
         "request 1: a time"},
        {SCHEMA TYPES "INSERT INTO vm VALUES (0, 7, 10, 0, 2, 1)",
         "request 1: it ends before"},
        {SCHEMA TYPES "INSERT INTO vm VALUES (0, 7, 10, 2, 1, 2)",
         "request 1: its priority"},
        {SCHEMA TYPES "INSERT INTO vm VALUES (0, -7, 10, 0, 1, 2)",
         "request 1: its tenant"},
        {SCHEMA TYPES "INSERT INTO vm VALUES (0, 1e30, 10, 0, 1, 2)",
         "request 1: its tenant"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        read_fails(cases[i].sql, cases[i].words);
}

static void
trace_read_azure__what_is_no_database_is_refused(void **state)
{
    char *path _cleanup_(freep) = xasprintf("%s/noise", folder);
    struct trace t;
    FILE *f = fopen(path, "we");

    (void)state;
    assert_non_null(f);
    for (unsigned i = 0; i < 10000; i++)
        fputc((int)(i * 2654435761u >> 24), f);
    fclose(f);
    assert_true(trace_read_azure(path, -1, &t, NULL) < 0);
    unlink(path);
    assert_true(trace_read_azure(path, -1, &t, NULL) < 0);
}

static int
make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int
remove_folder(void **state)
{
    char *path _cleanup_(freep) = xasprintf("%s/trace.db", folder);

    (void)state;
    unlink(path);
    return rmdir(folder);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trace_read_azure__reads_the_published_schema),
        cmocka_unit_test(trace_read_azure__takes_the_machine_that_most_can_use),
        cmocka_unit_test(trace_read_azure__can_be_replayed),
        cmocka_unit_test(trace_read_azure__hostile_file_is_refused),
        cmocka_unit_test(trace_read_azure__what_is_no_database_is_refused),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
