/* test-cli-args.c - the command line, help, completion, names. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "cli/cli.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/id.h"
#include "common/mem.h"

#define ID "0193573e-8d5c-7cc1-b0a8-3d1f0c5a9e77"

/* Parses words up to NULL; returns cli_parse()'s result. */
static int
parse(struct cli_line *line, struct err *err, ...)
{
    char *argv[32] = {(char *)"virga"};
    int argc = 1;
    va_list ap;

    va_start(ap, err);
    while ((argv[argc] = va_arg(ap, char *))) {
        argc++;
        assert_true(argc < (int)ARRAY_SIZE(argv));
    }
    va_end(ap);
    return cli_parse(argc, argv, line, err);
}

static void
assert_refused(struct err *err, const char *words)
{
    if (!strstr(err->message, words))
        fail_msg("\"%s\" does not say \"%s\"", err->message, words);
    err_release(err);
}

static void
parse__options_anywhere_are_found(void **state)
{
    struct cli_line l;

    assert_int_equal(parse(&l, NULL, "-ojson", "launch", "--wait", "debian",
                           "--timeout=5s", "web-1", "-f", "small", NULL),
                     0);
    assert_ptr_equal(l.cmd, cli_cmd_find("launch", NULL));
    assert_int_equal(l.format, OUT_JSON);
    assert_int_equal(l.globals[GLOBAL_TIMEOUT].num, 5 * US_PER_S);
    assert_true(cli_opt(&l, "wait")->set);
    assert_string_equal(cli_opt_text(&l, "flavor"), "small");
    assert_string_equal(l.args[0].text, "debian");
    assert_string_equal(l.args[1].text, "web-1");
    assert_int_equal(cli_opt_num(&l, "wait-timeout", 7), 7);
}

static void
parse__values_by_type(void **state)
{
    struct cli_line l;

    assert_int_equal(parse(&l, NULL, "flavor", "create", "small", "--vcpus",
                           "2", "--memory", "512M", NULL),
                     0);
    assert_int_equal(cli_opt_num(&l, "vcpus", 0), 2);
    assert_int_equal(cli_opt_num(&l, "memory", 0), 512 << 20);
    assert_false(cli_opt(&l, "disk")->set);
    assert_int_equal(parse(&l, NULL, "usage", "--from", "2026-11-01", "--to",
                           "2026-11-02T00:00:00+01:00", NULL),
                     0);
    assert_int_equal(cli_opt_num(&l, "to", 0) - cli_opt_num(&l, "from", 0),
                     23 * 3600 * US_PER_S);
    assert_int_equal(parse(&l, NULL, "usage", "--from", "24h", NULL), 0);
    assert_true(cli_opt_num(&l, "from", 0) < clock_now_us());
    assert_int_equal(
        parse(&l, NULL, "token", "create", "ci", "--expires", "30d", NULL), 0);
    assert_true(cli_opt_num(&l, "expires", 0) > clock_now_us());
}

static void
parse__double_dash_ends_options(void **state)
{
    struct err err = {0};
    struct cli_line l;

    assert_int_equal(parse(&l, &err, "instance", "show", "--", "--help", NULL),
                     -EINVAL);
    assert_refused(&err, "\"--help\" is not a name");
}

static void
parse__bad_lines_are_refused_with_reason(void **state)
{
    static const struct {
        const char *words[6];
        const char *says;
    } cases[] = {
        {{"lanch"}, "did you mean \"launch\"?"},
        {{"instance", "sotp", "a"}, "did you mean \"instance stop\"?"},
        {{"zzzzzzzzzz"}, "there is no command \"zzzzzzzzzz\""},
        {{"launch", "--flavour", "x"}, "did you mean --flavor?"},
        {{"--flavor", "x", "launch"}, "in front of the command"},
        {{"launch"}, "IMAGE is missing"},
        {{"instance", "show"}, "INSTANCE is missing"},
        {{"instance", "show", "a", "b"}, "\"b\" is one argument too many"},
        {{"instance", "show", "../x"}, "is not a name"},
        {{"instance", "show", "A"}, "is not a name"},
        {{"instance", "show", ""}, "is not a name"},
        {{"operation", "show", "web"}, "is not an id"},
        {{"instance", "list", "-o", "xml"}, "one of: table json yaml csv"},
        {{"instance", "list", "-o"}, "--output needs a value (FORMAT)"},
        {{"instance", "list", "--limit", "-1"}, "is not a number"},
        {{"instance", "list", "--limit", "9999999999999999999999"},
         "is not a number"},
        {{"instance", "stop", "a", "--wait=yes"}, "--wait takes no value"},
        {{"flavor", "create", "a", "--vcpus", "1"}, "--memory SIZE is missing"},
        {{"node", "token", "--ttl", "soon"}, "is not a duration"},
        {{"usage", "--from", "2026-13-01"}, "is not a time"},
        {{"instance", "list", "-z"}, "there is no option \"-z\""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *const *w = cases[i].words;
        struct err err = {0};
        struct cli_line l;

        assert_int_equal(
            parse(&l, &err, w[0], w[1], w[2], w[3], w[4], w[5], NULL), -EINVAL);
        assert_refused(&err, cases[i].says);
    }
}

static void
parse__half_a_line_with_help_is_fine(void **state)
{
    struct cli_line l;

    assert_int_equal(parse(&l, NULL, "launch", "-h", NULL), 0);
    assert_true(l.globals[GLOBAL_HELP].set);
    assert_int_equal(parse(&l, NULL, "instance", "--help", NULL), 0);
    assert_null(l.cmd);
    assert_string_equal(l.group, "instance");
    assert_int_equal(parse(&l, NULL, NULL), 0);
    assert_null(l.group);
}

static void
distance__counts_edits(void **state)
{
    char longer[100];

    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(cli_distance("stop", "stop"), 0);
    assert_int_equal(cli_distance("sotp", "stop"), 1);
    assert_int_equal(cli_distance("", "stop"), 4);
    assert_int_equal(cli_distance("start", "stop"), 3);
    assert_true(cli_distance(longer, "stop") > 20);
    assert_null(cli_suggest(longer, NULL));
}

/* Each entry fits its route; else a body or path would be wrong. */
static void
table__every_command_is_whole(void **state)
{
    for (const struct cli_cmd *k = cli_cmds; k->group; k++) {
        const struct api_route *r = &api_routes[k->route];
        size_t n = 0, letters[256] = {0};

        if (k->hidden)
            continue;
        assert_non_null(k->run);
        assert_true(*k->summary && *k->example);
        assert_int_equal(strncmp(k->example, "virga ", 6), 0);
        for (const struct cli_opt *o = k->opts; o && o->name; o++, n++) {
            assert_true(o->type == ARG_FLAG || o->metavar);
            assert_true(o->type != ARG_CHOICE || o->choices);
            assert_non_null(o->doc);
            if (o->letter)
                assert_int_equal(letters[(unsigned char)o->letter]++, 0);
            if (o->field) {
                const struct codec_field *f = codec_field_find(r->in, o->field);

                assert_non_null(f);
                assert_true(f->flags & CODEC_IN);
                for (size_t i = 0; o->choices && o->choices[i]; i++)
                    assert_true(codec_enum_parse(f->names, o->choices[i]) >= 0);
            }
        }
        assert_true(n <= CLI_OPTS_MAX);
        if (k->route != NO_NAMES && strchr(r->path, '{'))
            assert_non_null(k->args[0].metavar);
    }
}

static void
help__names_options_and_example(void **state)
{
    for (const struct cli_cmd *k = cli_cmds; k->group; k++) {
        struct buf out _cleanup_(buf_release) = {0};

        if (k->hidden)
            continue;
        cli_help(k->group, k->verb, &out);
        assert_non_null(strstr(buf_str(&out), "\nExample:\n  virga "));
        assert_non_null(strstr(buf_str(&out), k->summary));
        for (const struct cli_opt *o = k->opts; o && o->name; o++)
            assert_non_null(strstr(buf_str(&out), o->name));
        for (const char *p = buf_str(&out); *p; p += *p == '\n') {
            size_t n = strcspn(p, "\n");

            assert_true(n <= 80);
            p += n;
        }
    }
}

static void
help__whole_lists_every_command(void **state)
{
    struct buf out _cleanup_(buf_release) = {0};

    cli_help(NULL, NULL, &out);
    for (const struct cli_cmd *k = cli_cmds; k->group; k++) {
        char *name _cleanup_(freep) = xasprintf(
            "\n  %s%s%s", k->group, k->verb ? " " : "", k->verb ? k->verb : "");

        assert_int_equal(strstr(buf_str(&out), name) != NULL, !k->hidden);
    }
}

/* As man pages write a word: with "\-" for a dash. */
static void
add_dashed(struct buf *out, const char *word)
{
    for (; *word; word++) {
        if (*word == '-')
            buf_addc(out, '\\');
        buf_addc(out, *word);
    }
}

/* The page names what there is: commands, options, exit codes. */
static void
man_page__names_every_command_and_option(void **state)
{
    const char *dir = getenv("srcdir");
    char *path _cleanup_(freep) =
        xasprintf("%s/docs/man/virga.1", dir ? dir : ".");
    struct buf page _cleanup_(buf_release) = {0};

    assert_int_equal(fs_read(path, 1 << 20, &page, NULL), 0);
    for (const struct cli_cmd *k = cli_cmds; k->group; k++) {
        struct buf name _cleanup_(buf_release) = {0};

        if (k->hidden)
            continue;
        buf_addf(&name, "virga %s%s", k->group, k->verb ? " " : "");
        add_dashed(&name, k->verb ? k->verb : "");
        if (!strstr(buf_str(&page), buf_str(&name)))
            fail_msg("virga(1) lacks \"%s\"", buf_str(&name));
        for (const struct cli_opt *o = k->opts; o && o->name; o++) {
            struct buf dashed _cleanup_(buf_release) = {0};

            buf_adds(&dashed, "\\-\\-");
            add_dashed(&dashed, o->name);
            if (!strstr(buf_str(&page), buf_str(&dashed)))
                fail_msg("virga(1) lacks --%s", o->name);
        }
    }
}

static void
assert_completes(enum api_route_id names, bool files, const char *want,
                 const char *not_want, size_t n, ...)
{
    struct cli_candidates got;
    char *words[8];
    va_list ap;

    va_start(ap, n);
    for (size_t i = 0; i < n; i++)
        words[i] = va_arg(ap, char *);
    va_end(ap);
    cli_complete(words, n, &got);
    assert_int_equal(got.names, names);
    assert_int_equal(got.files, files);
    if (want)
        assert_non_null(strstr(buf_str(&got.words), want));
    if (not_want)
        assert_null(strstr(buf_str(&got.words), not_want));
    buf_release(&got.words);
}

static void
complete__by_place_in_the_line(void **state)
{
    assert_completes(NO_NAMES, false, "instance\n", "__complete", 0);
    assert_completes(NO_NAMES, false, "launch\n", "stop", 1, "la");
    assert_completes(NO_NAMES, false, "stop\n", "launch", 2, "instance", "");
    assert_completes(ROUTE_INSTANCE_LIST, false, NULL, "stop", 3, "instance",
                     "stop", "");
    assert_completes(NO_NAMES, false, "--force\n", NULL, 4, "instance", "stop",
                     "a", "-");
    assert_completes(ROUTE_FLAVOR_LIST, false, NULL, NULL, 4, "launch", "a",
                     "--flavor", "");
    assert_completes(NO_NAMES, true, NULL, NULL, 5, "image", "create", "a",
                     "--disk", "");
    assert_completes(NO_NAMES, false, "yaml\n", NULL, 2, "-o", "");
    assert_completes(ROUTE_INSTANCE_LIST, false, NULL, NULL, 5, "-o", "json",
                     "instance", "show", "");
    assert_completes(NO_NAMES, false, NULL, "x", 5, "instance", "show", "a",
                     "b", "");
    assert_completes(NO_NAMES, false, NULL, "x", 6, "launch", "a", "b", "c",
                     "d", "");
}

static void
name__is_valid_and_spreads(void **state)
{
    char last[CLI_NAME_MAX] = "";

    for (unsigned i = 0; i < 65536; i++) {
        unsigned char seed[4] = {(unsigned char)i, (unsigned char)(i >> 8),
                                 (unsigned char)(i >> 3), (unsigned char)i};
        char name[CLI_NAME_MAX];

        cli_name_make(seed, name);
        assert_true(id_name_valid(name));
        assert_string_not_equal(name, last);
        memcpy(last, name, sizeof(last));
    }
    cli_name_make((const unsigned char[4]){2, 19, 0x3f, 0x2a}, last);
    assert_string_equal(last, "brisk-otter-3f2a");
}

static void
body__only_what_was_given(void **state)
{
    struct cli_line l;
    struct cli_body b;

    assert_int_equal(parse(&l, NULL, "flavor", "create", "small", "--vcpus",
                           "2", "--memory", "1G", NULL),
                     0);
    cli_body_begin(&b, &table_flavor);
    cli_body_from_line(&b, &l);
    cli_body_end(&b);
    assert_string_equal(
        buf_str(&b.text),
        "{\"name\":\"small\",\"vcpus\":2,\"memory_bytes\":1073741824}");
    cli_body_release(&b);

    assert_int_equal(parse(&l, NULL, "flavor", "create", "small", "--vcpus",
                           "2", "--memory", "1G", "--cpu-shares", "200",
                           "--cpu-limit", "50", "--cpu-reservation", "25",
                           "--disk-iops", "500", "--disk-rate", "100M",
                           "--net-rate", "1M", NULL),
                     0);
    cli_body_begin(&b, &table_flavor);
    cli_body_from_line(&b, &l);
    cli_body_end(&b);
    assert_string_equal(
        buf_str(&b.text),
        "{\"name\":\"small\",\"vcpus\":2,\"memory_bytes\":1073741824,"
        "\"cpu_shares\":200,\"cpu_limit_percent\":50,"
        "\"cpu_reservation_percent\":25,\"disk_iops\":500,"
        "\"disk_bytes_per_second\":104857600,"
        "\"net_bytes_per_second\":1048576}");
    cli_body_release(&b);

    assert_int_equal(parse(&l, NULL, "node", "token", "--ttl", "1500ms", NULL),
                     0);
    cli_body_begin(&b, &table_join_token);
    cli_body_from_line(&b, &l);
    cli_body_end(&b);
    assert_string_equal(buf_str(&b.text), "{\"ttl_s\":2}");
    cli_body_release(&b);

    assert_int_equal(parse(&l, NULL, "token", "create", "a\"b", "--expires",
                           "2026-12-01", "--role", "reader", NULL),
                     0);
    cli_body_begin(&b, &table_token);
    cli_body_from_line(&b, &l);
    cli_body_end(&b);
    assert_string_equal(buf_str(&b.text),
                        "{\"name\":\"a\\\"b\",\"role\":\"reader\","
                        "\"expires_at\":\"2026-12-01T00:00:00.000000Z\"}");
    cli_body_release(&b);

    assert_int_equal(parse(&l, NULL, "instance", "stop", "a", NULL), 0);
    cli_body_begin(&b, &table_stop_request);
    cli_body_from_line(&b, &l);
    cli_body_end(&b);
    assert_string_equal(buf_str(&b.text), "{}");
    cli_body_release(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse__options_anywhere_are_found),
        cmocka_unit_test(parse__values_by_type),
        cmocka_unit_test(parse__double_dash_ends_options),
        cmocka_unit_test(parse__bad_lines_are_refused_with_reason),
        cmocka_unit_test(parse__half_a_line_with_help_is_fine),
        cmocka_unit_test(distance__counts_edits),
        cmocka_unit_test(table__every_command_is_whole),
        cmocka_unit_test(help__names_options_and_example),
        cmocka_unit_test(help__whole_lists_every_command),
        cmocka_unit_test(man_page__names_every_command_and_option),
        cmocka_unit_test(complete__by_place_in_the_line),
        cmocka_unit_test(name__is_valid_and_spreads),
        cmocka_unit_test(body__only_what_was_given),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
