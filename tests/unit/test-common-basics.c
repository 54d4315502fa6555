/* test-common-basics.c - buffers, clock, ids, errors, files, helpers. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/id.h"
#include "common/mem.h"
#include "common/proc.h"

static void
buf__grows_and_consumes(void **state)
{
    struct buf b _cleanup_(buf_release) = {0};

    for (int i = 0; i < 1000; i++)
        buf_addf(&b, "%04d", i);
    assert_int_equal(b.len, 4000);
    buf_consume(&b, 3996);
    assert_string_equal(buf_str(&b), "0999");
}

static void
clock__text_and_back_is_identity(void **state)
{
    char text[CLOCK_TEXT_MAX];
    int64_t back;

    for (int64_t us = -INT64_C(62135596800) * US_PER_S;
         us < INT64_C(253402300799) * US_PER_S; us += INT64_C(97654321012345)) {
        clock_format(us, text);
        assert_int_equal(clock_parse(text, &back), 0);
        assert_int_equal(back, us);
    }
    assert_int_equal(clock_parse("2026-11-22T18:30:00+02:00", &back), 0);
    assert_string_equal(clock_format(back, text),
                        "2026-11-22T16:30:00.000000Z");
}

/* Far times have no four-digit year, but nothing worse may happen. */
static void
clock_format__takes_any_number(void **state)
{
    static const int64_t far[] = {INT64_MIN, INT64_MIN + 1, -1, INT64_MAX};
    char text[CLOCK_TEXT_MAX];

    for (size_t i = 0; i < ARRAY_SIZE(far); i++)
        assert_int_equal(strlen(clock_format(far[i], text)), 27);
    assert_string_equal(clock_format(-1, text), "1969-12-31T23:59:59.999999Z");
}

static void
clock_parse__malformed_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "2026",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T00:00:00",
        "2026-11-22T00:00:00.Z",
        "2026-11-22T00:00:00Zx",
        "2026-11-22T00:00:00+24:00",
        /* within the four digits, but not in UTC */
        "0000-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "9999-12-31T23:59:60Z",
    };
    int64_t v;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(clock_parse(bad[i], &v), -EINVAL);
}

static void
duration__units_and_bounds(void **state)
{
    int64_t v;

    assert_int_equal(clock_parse_duration("250ms", &v), 0);
    assert_int_equal(v, 250000);
    assert_int_equal(clock_parse_duration("30", &v), 0);
    assert_int_equal(v, 30 * US_PER_S);
    assert_int_equal(clock_parse_duration("-1s", &v), -EINVAL);
    assert_int_equal(clock_parse_duration("99999999d", &v), -EINVAL);
    assert_int_equal(clock_parse_duration("5 s", &v), -EINVAL);
}

static void
id_new__is_increasing_version_7(void **state)
{
    char prev[ID_SIZE] = "", id[ID_SIZE];

    for (int i = 0; i < 20000; i++) {
        id_new(id);
        assert_true(id_valid(id));
        assert_int_equal(id[14], '7');
        assert_true(strcmp(prev, id) < 0);
        memcpy(prev, id, sizeof(id));
    }
}

static void
id_name__labels_only_and_never_a_uuid(void **state)
{
    assert_true(id_name_valid("web-1"));
    assert_true(id_name_valid("1"));
    assert_false(id_name_valid(""));
    assert_false(id_name_valid("-a"));
    assert_false(id_name_valid("a-"));
    assert_false(id_name_valid("Web"));
    assert_false(id_name_valid("a.b"));
    assert_false(id_name_valid("0197b3a0-0000-7000-8000-000000000000"));
    assert_false(id_name_valid("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                               "aaaaaaaaaaaaaaaaaaaa"));
}

static void
err_field__collects_every_pointer(void **state)
{
    struct err e _cleanup_(err_release) = {0};

    assert_int_equal(err_field(&e, "/name", "required", "is required"),
                     -EINVAL);
    err_field(&e, "/vcpus", "range", "must be 1..64");
    assert_int_equal(e.n_details, 2);
    assert_string_equal(e.message, "/name: is required");
    assert_string_equal(e.details[1].pointer, "/vcpus");
}

static void
fs__write_read_remove(void **state)
{
    char dir[] = "/tmp/virga-test-XXXXXX";
    struct buf b _cleanup_(buf_release) = {0};
    struct err e _cleanup_(err_release) = {0};

    assert_non_null(mkdtemp(dir));
    char *deep _cleanup_(freep) = xasprintf("%s/a/b", dir);
    char *file _cleanup_(freep) = xasprintf("%s/a/b/f", dir);
    char *link_to _cleanup_(freep) = xasprintf("%s/a/link", dir);
    assert_int_equal(fs_mkdirs(deep, &e), 0);
    assert_int_equal(fs_write_atomic(file, "hello", 5, 0600, &e), 0);
    assert_int_equal(fs_read(file, 5, &b, &e), 0);
    assert_string_equal(buf_str(&b), "hello");
    assert_int_equal(fs_read(file, 4, &b, &e), -EFBIG);
    assert_int_equal(symlink("/etc", link_to), 0);
    assert_int_equal(fs_remove_tree(dir, &e), 0);
    assert_int_equal(access("/etc/passwd", F_OK), 0);
    assert_int_equal(access(dir, F_OK), -1);
}

static void
proc_run__output_failure_and_deadline(void **state)
{
    struct buf out _cleanup_(buf_release) = {0};
    struct err e _cleanup_(err_release) = {0};
    const char *ok[] = {"echo", "hi", NULL};
    const char *bad[] = {"sh", "-c", "echo no >&2; exit 3", NULL};
    const char *slow[] = {"sleep", "60", NULL};
    const char *none[] = {"/nonexistent/x", NULL};

    assert_int_equal(proc_run(ok, 5000, &out, &e), 0);
    assert_string_equal(buf_str(&out), "hi\n");
    assert_int_equal(proc_run(bad, 5000, NULL, &e), -EIO);
    assert_non_null(strstr(e.message, "no"));
    assert_int_equal(proc_run(slow, 100, NULL, &e), -ETIMEDOUT);
    assert_int_equal(proc_run(none, 5000, NULL, &e), -ENOENT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf__grows_and_consumes),
        cmocka_unit_test(clock__text_and_back_is_identity),
        cmocka_unit_test(clock_format__takes_any_number),
        cmocka_unit_test(clock_parse__malformed_is_refused),
        cmocka_unit_test(duration__units_and_bounds),
        cmocka_unit_test(id_new__is_increasing_version_7),
        cmocka_unit_test(id_name__labels_only_and_never_a_uuid),
        cmocka_unit_test(err_field__collects_every_pointer),
        cmocka_unit_test(fs__write_read_remove),
        cmocka_unit_test(proc_run__output_failure_and_deadline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
