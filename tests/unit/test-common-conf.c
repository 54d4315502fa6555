/* test-common-conf.c - settings: who wins, what is refused and where. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "common/clock.h"
#include "common/conf.h"
#include "common/fs.h"
#include "common/mem.h"

struct settings {
    char *name, *empty;
    int64_t count, any, size, wait, flag;
};

static const struct conf_key keys[] = {
    {"name", CONF_STRING, offsetof(struct settings, name), 0, 0, "dflt", "a"},
    {"empty", CONF_STRING, offsetof(struct settings, empty), 0, 0, NULL, "b"},
    {"count", CONF_INT, offsetof(struct settings, count), 2, 64, "2", "c"},
    {"any", CONF_INT, offsetof(struct settings, any), 0, 0, NULL, "d"},
    {"size", CONF_SIZE, offsetof(struct settings, size), 1024, 1 << 30, "64M",
     "e"},
    {"wait", CONF_DURATION, offsetof(struct settings, wait), US_PER_S,
     3600 * US_PER_S, "30s", "f"},
    {"flag", CONF_FLAG, offsetof(struct settings, flag), 0, 0, "no", "g"},
};

struct fixture {
    char dir[40], file[64], none[64];
};

static int
setup(void **state)
{
    struct fixture *f = xnew(struct fixture);

    snprintf(f->dir, sizeof(f->dir), "/tmp/virga-conf-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->file, sizeof(f->file), "%s/f.conf", f->dir);
    snprintf(f->none, sizeof(f->none), "%s/none", f->dir);
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

static int
load(struct fixture *f, const char *file_text, char *const *argv,
     struct settings *s, struct err *e)
{
    int argc = 0;

    while (argv[argc])
        argc++;
    if (file_text)
        assert_int_equal(
            fs_write_atomic(f->file, file_text, strlen(file_text), 0600, NULL),
            0);
    *s = (struct settings){0};
    return conf_load(keys, ARRAY_SIZE(keys), argc, argv, "prog",
                     file_text ? f->file : f->none, s, e);
}

#define ARGV(...)                                                              \
    (char *const[])                                                            \
    {                                                                          \
        (char *)"prog", ##__VA_ARGS__, NULL                                    \
    }
#define A(s) ((char *)(s))

static void
load__defaults_without_file(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    struct settings s;

    assert_int_equal(load(*state, NULL, ARGV(), &s, &e), 0);
    assert_string_equal(s.name, "dflt");
    assert_null(s.empty);
    assert_int_equal(s.count, 2);
    assert_int_equal(s.any, 0);
    assert_int_equal(s.size, 64 << 20);
    assert_int_equal(s.wait, 30 * US_PER_S);
    assert_int_equal(s.flag, 0);
    conf_release(keys, ARRAY_SIZE(keys), &s);
    assert_null(s.name);
}

static void
load__file_over_default_and_option_over_file(void **state)
{
    static const char text[] = "# a comment\n"
                               "\n"
                               "  name  =  two words # kept\t\r\n"
                               "\t# another\n"
                               "count=7\n"
                               "size = 2K\n"
                               "wait=5m\n"
                               "flag = yes"; /* no newline at the end */
    struct err e _cleanup_(err_release) = {0};
    struct settings s;

    assert_int_equal(
        load(*state, text, ARGV(A("--count"), A("9"), A("--size=3K")), &s, &e),
        0);
    assert_string_equal(s.name, "two words # kept");
    assert_int_equal(s.count, 9);
    assert_int_equal(s.size, 3072);
    assert_int_equal(s.wait, 300 * US_PER_S);
    assert_int_equal(s.flag, 1);
    conf_release(keys, ARRAY_SIZE(keys), &s);
}

static void
load__last_value_wins_and_empty_is_a_value(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    struct settings s;

    assert_int_equal(load(*state, "name=a\nname=b\nempty =\n",
                          ARGV(A("--any=1"), A("--any=-2")), &s, &e),
                     0);
    assert_string_equal(s.name, "b");
    assert_string_equal(s.empty, "");
    assert_int_equal(s.any, -2);
    conf_release(keys, ARRAY_SIZE(keys), &s);
}

static void
load__flag_stands_alone_or_takes_a_word(void **state)
{
    struct settings s;

    assert_int_equal(load(*state, NULL, ARGV(A("--flag")), &s, NULL), 0);
    assert_int_equal(s.flag, 1);
    conf_release(keys, ARRAY_SIZE(keys), &s);
    assert_int_equal(
        load(*state, NULL, ARGV(A("--flag"), A("--any=1")), &s, NULL), 0);
    assert_int_equal(s.flag, 1);
    conf_release(keys, ARRAY_SIZE(keys), &s);
    assert_int_equal(load(*state, "flag=yes", ARGV(A("--flag=no")), &s, NULL),
                     0);
    assert_int_equal(s.flag, 0);
    conf_release(keys, ARRAY_SIZE(keys), &s);
}

static void
load__named_file_replaces_the_default_one(void **state)
{
    struct fixture *f = *state;
    char *other _cleanup_(freep) = xasprintf("%s/other", f->dir);
    struct err e _cleanup_(err_release) = {0};
    struct settings s;

    assert_int_equal(fs_write_atomic(other, "any=5", 5, 0600, NULL), 0);
    assert_int_equal(
        load(f, "any=4\ncount=9", ARGV(A("--config"), other), &s, &e), 0);
    assert_int_equal(s.any, 5);
    assert_int_equal(s.count, 2);
    conf_release(keys, ARRAY_SIZE(keys), &s);
    /* A file that was asked for must be there; the default one need not. */
    assert_int_equal(load(f, NULL, ARGV(A("--config"), f->none), &s, &e),
                     -ENOENT);
    assert_non_null(strstr(e.message, f->none));
    conf_release(keys, ARRAY_SIZE(keys), &s);
}

static void
load__faults_name_file_and_line(void **state)
{
    static const struct {
        const char *text, *at, *what;
    } bad[] = {
        {"any=1\nnonsense\n", ":2:", "key = value"},
        {"\n\nnme=1\n", ":3:", "\"nme\""},
        {"=1\n", ":1:", "unknown key \"\""},
        {"count = many\n", ":1:", "valid number"},
        {"count =\n", ":1:", "valid number"},
        {"count = 3x\n", ":1:", "valid number"},
        {"any = 9223372036854775808\n", ":1:", "valid number"},
        {"count = 65\n", ":1:", "out of range (2 to 64)"},
        {"count = 1\n", ":1:", "out of range"},
        {"size = 1023\n", ":1:", "out of range"},
        {"size = big\n", ":1:", "valid size"},
        {"wait = 5 s\n", ":1:", "valid duration"},
        {"wait = 2h\n", ":1:", "out of range"},
        {"flag = maybe\n", ":1:", "yes or no"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct err e _cleanup_(err_release) = {0};
        struct settings s;

        assert_int_equal(load(*state, bad[i].text, ARGV(), &s, &e), -EINVAL);
        assert_string_equal(e.code, "bad_config");
        if (!strstr(e.message, bad[i].at) || !strstr(e.message, bad[i].what) ||
            !strstr(e.message, "f.conf"))
            fail_msg("\"%s\" does not hold %s and %s", e.message, bad[i].at,
                     bad[i].what);
        conf_release(keys, ARRAY_SIZE(keys), &s);
    }
}

static void
load__bad_options_are_named(void **state)
{
    static char *const bad[][3] = {
        {A("word")},
        {A("-c")},
        {A("--unknown=1")},
        {A("--count")},
        {A("--count=0")},
        {A("--count"), A("--flag")},
        {A("--counts"), A("3")},
        {A("--coun"), A("3")},
        {A("--")},
        {A("--flag=perhaps")},
        {A("--config")},
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct err e _cleanup_(err_release) = {0};
        struct settings s;

        if (load(*state, NULL, ARGV(bad[i][0], bad[i][1]), &s, &e) != -EINVAL)
            fail_msg("%s", bad[i][0]);
        assert_true(*e.message);
        conf_release(keys, ARRAY_SIZE(keys), &s);
    }
}

static void
load__huge_file_is_refused(void **state)
{
    struct buf b _cleanup_(buf_release) = {0};
    struct err e _cleanup_(err_release) = {0};
    struct settings s;

    memset(buf_reserve(&b, 2 << 20), '#', 2 << 20);
    b.len = 2 << 20;
    b.data[b.len] = '\0';
    assert_int_equal(load(*state, buf_str(&b), ARGV(), &s, &e), -EFBIG);
    conf_release(keys, ARRAY_SIZE(keys), &s);
}

static void
parse_size__binary_units(void **state)
{
    static const struct {
        const char *text;
        int64_t v;
    } good[] = {
        {"0", 0},
        {"512", 512},
        {"512B", 512},
        {"1k", 1024},
        {"64M", 64 << 20},
        {"64MiB", 64 << 20},
        {"1GB", 1 << 30},
        {"8T", INT64_C(8) << 40},
        {"9223372036854775807", INT64_MAX},
    };
    static const char *const bad[] = {
        "",    "K",    "-1",       "1.5G",
        "1 G", "1GG",  "1P",       "9223372036854775808",
        "1e3", "0x10", "8388608T", "1iB",
        "1Mx", " 1",   "1M ",
    };
    int64_t v;

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_int_equal(conf_parse_size(good[i].text, &v), 0);
        assert_int_equal(v, good[i].v);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (conf_parse_size(bad[i], &v) != -EINVAL)
            fail_msg("\"%s\" was taken", bad[i]);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(load__defaults_without_file),
        T(load__file_over_default_and_option_over_file),
        T(load__last_value_wins_and_empty_is_a_value),
        T(load__flag_stands_alone_or_takes_a_word),
        T(load__named_file_replaces_the_default_one),
        T(load__faults_name_file_and_line),
        T(load__bad_options_are_named),
        T(load__huge_file_is_refused),
        T(parse_size__binary_units),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
