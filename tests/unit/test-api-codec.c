/* test-api-codec.c - decoding: every type, every bound, every fault named. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "api/codec.h"
#include "common/clock.h"
#include "common/mem.h"

struct part {
    int64_t size;
    char *name;
};

struct thing {
    char *id, *string, *text, *name, *uuid, *ref, *decimal;
    int64_t n, free_n, at;
    bool on;
    int kind;
    struct part *part;
    struct codec_list parts, words, numbers;
};

static const char *const kinds[] = {"red", "green", "blue", NULL};

#define F(S, M, TYPE, FLAGS, ...)                                              \
    {                                                                          \
        .name = #M, .type = CODEC_##TYPE, .offset = offsetof(struct S, M),     \
        .flags = FLAGS, .doc = "a " #M, __VA_ARGS__                            \
    }
static const struct codec_field part_fields[] = {
    F(part, size, INT, CODEC_IN | CODEC_REQUIRED, .min = 1, .max = 10),
    F(part, name, STRING, CODEC_IN, .max = 8),
};
static const struct codec_table part_table = {.name = "Part",
                                              .doc = "A part.",
                                              .size = sizeof(struct part),
                                              .fields = part_fields,
                                              .n_fields = 2};
static const struct codec_field fields[] = {
    F(thing, id, ID, 0),
    F(thing, string, STRING, CODEC_IN, .min = 2, .max = 5),
    F(thing, text, TEXT, CODEC_IN, .max = 300),
    F(thing, name, NAME, CODEC_IN | CODEC_REQUIRED),
    F(thing, uuid, ID, CODEC_IN),
    F(thing, ref, REF, CODEC_IN),
    F(thing, decimal, DECIMAL, CODEC_IN),
    F(thing, n, INT, CODEC_IN, .min = -5, .max = 5, .dflt = 3),
    F(thing, free_n, INT, CODEC_IN),
    F(thing, at, TIME, CODEC_IN),
    F(thing, on, BOOL, CODEC_IN, .dflt = 1),
    F(thing, kind, ENUM, CODEC_IN, .names = kinds, .dflt = 1),
    F(thing, part, OBJECT, CODEC_IN, .sub = &part_table),
    F(thing, parts, LIST, CODEC_IN, .sub = &part_table, .min = 1, .max = 3),
    F(thing, words, STRINGS, CODEC_IN, .max = 2),
    F(thing, numbers, INTS, CODEC_IN, .max = 2),
};
static const struct codec_table thing_table = {.name = "Thing",
                                               .doc = "A thing.",
                                               .size = sizeof(struct thing),
                                               .fields = fields,
                                               .n_fields = ARRAY_SIZE(fields)};

static int
decode(const char *json, struct thing *t, struct err *e)
{
    return codec_decode(&thing_table, CODEC_REQUEST, json, strlen(json), t, e);
}

/* One fault: exactly this pointer and code, and nothing is left allocated. */
static void
assert_fault(const char *json, const char *pointer, const char *code)
{
    static const struct thing zero;
    struct err e _cleanup_(err_release) = {0};
    struct thing t = {0};

    if (decode(json, &t, &e) == 0)
        fail_msg("%s was taken", json);
    if (e.n_details != 1 || !streq(e.details[0].pointer, pointer) ||
        !streq(e.details[0].code, code))
        fail_msg("%s: %zu faults, first %s at \"%s\", expected %s at \"%s\"",
                 json, e.n_details, e.n_details ? e.details[0].code : e.code,
                 e.n_details ? e.details[0].pointer : "", code, pointer);
    assert_int_equal(e.number, -EINVAL);
    assert_string_equal(e.code, "invalid");
    assert_memory_equal(&t, &zero, sizeof(t));
}

static void
decode__all_fields_are_read(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    struct thing t = {0};

    assert_int_equal(
        decode("{\"string\":\"abc\",\"text\":\"a\\n\\tb\",\"name\":\"web-1\","
               "\"uuid\":\"0197b3a0-0000-7000-8000-000000000000\","
               "\"ref\":\"0197b3a0-0000-7000-8000-000000000001\","
               "\"decimal\":\"-12.50\",\"n\":-5,\"free_n\":9007199254740993,"
               "\"at\":\"2026-11-22T16:30:00.25Z\",\"on\":false,"
               "\"kind\":\"blue\",\"part\":{\"size\":1},"
               "\"parts\":[{\"size\":2,\"name\":\"x\"},{\"size\":10}],"
               "\"words\":[\"a\",\"b\"],\"numbers\":[7,0]}",
               &t, &e),
        0);
    assert_null(t.id);
    assert_string_equal(t.string, "abc");
    assert_string_equal(t.text, "a\n\tb");
    assert_string_equal(t.name, "web-1");
    assert_string_equal(t.uuid, "0197b3a0-0000-7000-8000-000000000000");
    assert_string_equal(t.ref, "0197b3a0-0000-7000-8000-000000000001");
    assert_string_equal(t.decimal, "-12.50");
    assert_int_equal(t.n, -5);
    assert_int_equal(t.free_n, INT64_C(9007199254740993)); /* 2^53 + 1 */
    assert_int_equal(t.at % US_PER_S, 250000);
    assert_false(t.on);
    assert_int_equal(t.kind, 2);
    assert_int_equal(t.part->size, 1);
    assert_int_equal(t.parts.n, 2);
    assert_int_equal(((struct part *)t.parts.items)[1].size, 10);
    assert_string_equal(((char **)t.words.items)[1], "b");
    assert_int_equal(t.numbers.n, 2);
    assert_int_equal(((int64_t *)t.numbers.items)[0], 7);
    codec_clear(&thing_table, &t);
}

static void
decode__defaults_fill_what_is_absent_or_null(void **state)
{
    static const char *const same[] = {
        "{\"name\":\"a\"}",
        "{\"name\":\"a\",\"n\":null,\"on\":null,\"kind\":null,\"part\":null,"
        "\"parts\":null,\"words\":null,\"string\":null,\"at\":null}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
        struct thing t = {0};

        assert_int_equal(decode(same[i], &t, NULL), 0);
        assert_int_equal(t.n, 3);
        assert_true(t.on);
        assert_int_equal(t.kind, 1);
        assert_null(t.part);
        assert_null(t.string);
        assert_int_equal(t.parts.n, 0);
        assert_int_equal(t.at, 0);
        codec_clear(&thing_table, &t);
    }
}

static void
decode__every_fault_has_pointer_and_code(void **state)
{
    static const struct {
        const char *json, *pointer, *code;
    } bad[] = {
        {"[]", "", "type"},
        {"{}", "/name", "required"},
        {"", "/name", "required"}, /* no body counts as {} */
        {"{\"name\":null}", "/name", "required"},
        {"{\"name\":7}", "/name", "type"},
        {"{\"name\":\"\"}", "/name", "name"},
        {"{\"name\":\"A\"}", "/name", "name"},
        {"{\"name\":\"0197b3a0-0000-7000-8000-000000000000\"}", "/name",
         "name"},
        {"{\"name\":\"a\",\"nam\":1}", "/nam", "unknown_field"},
        {"{\"name\":\"a\",\"x/y~z\":1}", "/x~1y~0z", "unknown_field"},
        {"{\"name\":\"a\",\"\":1}", "/", "unknown_field"},
        {"{\"name\":\"a\",\"id\":null}", "/id", "read_only"},
        {"{\"name\":\"a\",\"string\":\"a\"}", "/string", "too_short"},
        {"{\"name\":\"a\",\"string\":\"abcdef\"}", "/string", "too_long"},
        {"{\"name\":\"a\",\"string\":\"ab\\n\"}", "/string",
         "control_character"},
        {"{\"name\":\"a\",\"string\":\"ab\\u007f\"}", "/string",
         "control_character"},
        {"{\"name\":\"a\",\"text\":\"\\u0001\"}", "/text", "control_character"},
        {"{\"name\":\"a\",\"string\":[]}", "/string", "type"},
        {"{\"name\":\"a\",\"uuid\":\"web\"}", "/uuid", "id"},
        {"{\"name\":\"a\",\"uuid\":\"0197B3A0-0000-7000-8000-000000000000\"}",
         "/uuid", "id"},
        {"{\"name\":\"a\",\"ref\":\"no no\"}", "/ref", "reference"},
        {"{\"name\":\"a\",\"decimal\":\"1.\"}", "/decimal", "decimal"},
        {"{\"name\":\"a\",\"decimal\":\".5\"}", "/decimal", "decimal"},
        {"{\"name\":\"a\",\"decimal\":\"1e3\"}", "/decimal", "decimal"},
        {"{\"name\":\"a\",\"decimal\":\"\"}", "/decimal", "decimal"},
        {"{\"name\":\"a\",\"decimal\":1.5}", "/decimal", "type"},
        {"{\"name\":\"a\",\"n\":6}", "/n", "range"},
        {"{\"name\":\"a\",\"n\":-6}", "/n", "range"},
        {"{\"name\":\"a\",\"n\":1.0}", "/n", "type"},
        {"{\"name\":\"a\",\"n\":\"1\"}", "/n", "type"},
        {"{\"name\":\"a\",\"n\":1e400}", NULL, "bad_json"},
        {"{\"name\":\"a\",\"n\":9223372036854775808}", NULL, "bad_json"},
        {"{\"name\":\"a\",\"at\":\"today\"}", "/at", "time"},
        {"{\"name\":\"a\",\"at\":0}", "/at", "time"},
        {"{\"name\":\"a\",\"on\":1}", "/on", "type"},
        {"{\"name\":\"a\",\"on\":\"true\"}", "/on", "type"},
        {"{\"name\":\"a\",\"kind\":\"pink\"}", "/kind", "enum"},
        {"{\"name\":\"a\",\"kind\":1}", "/kind", "enum"},
        {"{\"name\":\"a\",\"part\":[]}", "/part", "type"},
        {"{\"name\":\"a\",\"part\":{}}", "/part/size", "required"},
        {"{\"name\":\"a\",\"part\":{\"size\":1,\"n\":1}}", "/part/n",
         "unknown_field"},
        {"{\"name\":\"a\",\"part\":{\"size\":11}}", "/part/size", "range"},
        {"{\"name\":\"a\",\"parts\":{}}", "/parts", "type"},
        {"{\"name\":\"a\",\"parts\":[]}", "/parts", "too_few"},
        {"{\"name\":\"a\",\"parts\":[1]}", "/parts/0", "type"},
        {"{\"name\":\"a\",\"parts\":[{\"size\":1},null]}", "/parts/1", "type"},
        {"{\"name\":\"a\",\"parts\":[{\"size\":1},{\"size\":0}]}",
         "/parts/1/size", "range"},
        {"{\"name\":\"a\",\"parts\":[{\"size\":1},{\"size\":1},{\"size\":1},"
         "{\"size\":1}]}",
         "/parts", "too_many"},
        {"{\"name\":\"a\",\"words\":[\"a\",\"b\",\"c\"]}", "/words",
         "too_many"},
        {"{\"name\":\"a\",\"words\":[\"a\",7]}", "/words/1", "type"},
        {"{\"name\":\"a\",\"words\":[\"a\",null]}", "/words/1", "type"},
        {"{\"name\":\"a\",\"words\":\"a\"}", "/words", "type"},
        {"{\"name\":\"a\",\"numbers\":[1,-1]}", "/numbers/1", "type"},
        {"{\"name\":\"a\",\"numbers\":[\"1\"]}", "/numbers/0", "type"},
        {"{\"name\":\"a\",\"numbers\":[1,2,3]}", "/numbers", "too_many"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct err e _cleanup_(err_release) = {0};
        struct thing t = {0};

        if (bad[i].pointer) {
            assert_fault(bad[i].json, bad[i].pointer, bad[i].code);
            continue;
        }
        assert_int_equal(decode(bad[i].json, &t, &e), -EBADMSG);
        assert_string_equal(e.code, bad[i].code);
    }
}

static void
decode__all_faults_are_told_at_once(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    struct thing t = {0};

    assert_int_equal(decode("{\"string\":\"x\",\"n\":99,\"zzz\":0,"
                            "\"parts\":[{\"size\":0},{\"size\":99}]}",
                            &t, &e),
                     -EINVAL);
    assert_int_equal(e.n_details, 6);
}

static void
decode__faults_without_end_are_capped(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    struct buf b _cleanup_(buf_release) = {0};
    struct thing t = {0};

    buf_adds(&b, "{\"name\":\"a\"");
    for (int i = 0; i < 5000; i++)
        buf_addf(&b, ",\"u%d\":0", i);
    buf_addc(&b, '}');
    assert_int_equal(decode(buf_str(&b), &t, &e), -EINVAL);
    assert_int_equal(e.n_details, ERR_MAX_DETAILS);
}

static void
decode__bad_json_is_refused_with_its_place(void **state)
{
    static const char *const bad[] = {
        "{",
        "nonsense",
        "{\"name\":\"a\"} x",
        "{\"name\":\"a\",}",
        "{'name':'a'}",
        "{\"name\":\"a\",\"name\":\"b\"}",    /* duplicate key */
        "{\"part\":{\"size\":1,\"size\":2}}", /* also deep inside */
        "{\"name\":\"a\\u0000b\"}",           /* NUL would cut the text */
        "{\"name\":\"\xff\"}",                /* not UTF-8 */
        "{\"name\":\"\xc0\x80\"}",            /* overlong */
        "{\"name\":\"\xed\xa0\x80\"}",        /* surrogate */
        "{\"text\":\"\\ud800\"}",             /* lone surrogate escape */
        "{\"name\":\"a\nb\"}",                /* raw control character */
        "7",
        "null",
        "\"a\"",
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct err e _cleanup_(err_release) = {0};
        struct thing t = {0};

        if (decode(bad[i], &t, &e) != -EBADMSG)
            fail_msg("%s", bad[i]);
        assert_string_equal(e.code, "bad_json");
        assert_non_null(strstr(e.message, "line 1"));
    }
}

static void
decode__nul_byte_in_the_body_is_refused(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    struct thing t = {0};
    static const char json[] = "{\"name\":\"a\"}\0{}";

    assert_int_equal(codec_decode(&thing_table, CODEC_REQUEST, json,
                                  sizeof(json) - 1, &t, &e),
                     -EBADMSG);
}

/* Depth is bounded by the parser, not by our stack. */
static void
decode__depth_is_bounded(void **state)
{
    static const char *const opens[] = {"[", "{\"a\":"};

    for (size_t k = 0; k < ARRAY_SIZE(opens); k++) {
        struct err e _cleanup_(err_release) = {0};
        struct buf b _cleanup_(buf_release) = {0};
        struct thing t = {0};

        buf_adds(&b, "{\"name\":\"a\",\"x\":");
        for (int i = 0; i < 150000; i++)
            buf_adds(&b, opens[k]);
        assert_int_equal(decode(buf_str(&b), &t, &e), -EBADMSG);
    }
}

static void
decode__utf8_counts_in_bytes_and_passes(void **state)
{
    struct thing t = {0};

    assert_fault("{\"name\":\"a\",\"string\":\"\xc3\xa4\xc3\xb6\xc3\xbc\"}",
                 "/string", "too_long");
    assert_int_equal(
        decode("{\"name\":\"a\",\"string\":\"\\u20ac\"}", &t, NULL), 0);
    assert_string_equal(t.string, "\xe2\x82\xac");
    codec_clear(&thing_table, &t);
}

static void
decode__long_names_give_a_cut_pointer(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    struct buf b _cleanup_(buf_release) = {0};
    struct thing t = {0};

    buf_adds(&b, "{\"name\":\"a\",\"");
    for (int i = 0; i < 100000; i++)
        buf_addc(&b, i & 1 ? '/' : '~');
    buf_adds(&b, "\":1}");
    assert_int_equal(decode(buf_str(&b), &t, &e), -EINVAL);
    assert_string_equal(e.details[0].code, "unknown_field");
    assert_in_range(strlen(e.details[0].pointer), 100, 199);
}

static void
decode_reply__unknown_fields_and_bounds_are_forgiven(void **state)
{
    static const char json[] =
        "{\"id\":\"0197b3a0-0000-7000-8000-000000000000\",\"new\":{\"a\":[]},"
        "\"n\":99,\"words\":[\"a\",\"b\",\"c\"],\"parts\":[],"
        "\"string\":\"longer than it may be\"}";
    struct err e _cleanup_(err_release) = {0};
    struct thing t = {0};

    assert_int_equal(
        codec_decode(&thing_table, CODEC_REPLY, json, strlen(json), &t, &e), 0);
    assert_non_null(t.id);
    assert_int_equal(t.n, 99);
    assert_int_equal(t.words.n, 3);
    assert_null(t.name); /* required only of requests */
    assert_int_equal(t.kind, 0);
    codec_clear(&thing_table, &t);
}

static void
decode_reply__wrong_types_and_empty_text_are_refused(void **state)
{
    static const char *const bad[] = {"", "[]", "{\"n\":\"1\"}",
                                      "{\"kind\":\"pink\"}"};

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct thing t = {0};

        assert_true(codec_decode(&thing_table, CODEC_REPLY, bad[i],
                                 strlen(bad[i]), &t, NULL) < 0);
    }
}

/* Daemons of other versions: what is unknown is skipped, the rest is strict. */
static void
decode_peer__unknown_is_skipped_and_bounds_hold(void **state)
{
    static const struct {
        const char *json, *code; /* NULL: taken */
    } cases[] = {
        {"{\"name\":\"a\",\"new\":[{}]}", NULL},
        {"{\"name\":\"a\",\"id\":7}", NULL}, /* set by the server: skipped */
        {"{\"new\":1}", "required"},
        {"{\"name\":\"a\",\"n\":6}", "range"},
        {"{\"name\":\"a\",\"words\":[\"a\",\"b\",\"c\"]}", "too_many"},
        {"{\"name\":\"a\",\"parts\":[{\"new\":1}]}", "required"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err e _cleanup_(err_release) = {0};
        struct thing t = {0};
        int r = codec_decode(&thing_table, CODEC_PEER, cases[i].json,
                             strlen(cases[i].json), &t, &e);

        assert_int_equal(r, cases[i].code ? -EINVAL : 0);
        if (cases[i].code) {
            assert_string_equal(e.details[0].code, cases[i].code);
        } else {
            assert_int_equal(t.n, 3); /* defaults as in requests */
            assert_null(t.id);
        }
        codec_clear(&thing_table, &t);
    }
}

static void
page__items_and_token_are_read(void **state)
{
    static const char json[] = "{\"items\":[{\"size\":1},{\"size\":2}],"
                               "\"next_page_token\":\"abc\"}";
    static const char last[] = "{\"items\":[]}";
    struct codec_list l = {0};
    char *next = NULL;

    assert_int_equal(
        codec_decode_page(&part_table, json, strlen(json), &l, &next, NULL), 0);
    assert_int_equal(l.n, 2);
    assert_string_equal(next, "abc");
    codec_list_clear(&part_table, &l);
    freep(&next);
    assert_int_equal(
        codec_decode_page(&part_table, last, strlen(last), &l, &next, NULL), 0);
    assert_int_equal(l.n, 0);
    assert_null(next);
}

static void
page__what_is_no_page_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"items\":{}}",
        "{\"items\":[{\"size\":1},{\"size\":\"2\"}]}",
        "{\"items\":[null]}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct codec_list l = {0};
        char *next = NULL;

        assert_true(codec_decode_page(&part_table, bad[i], strlen(bad[i]), &l,
                                      &next, NULL) < 0);
        assert_null(next);
        assert_null(l.items);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decode__all_fields_are_read),
        cmocka_unit_test(decode__defaults_fill_what_is_absent_or_null),
        cmocka_unit_test(decode__every_fault_has_pointer_and_code),
        cmocka_unit_test(decode__all_faults_are_told_at_once),
        cmocka_unit_test(decode__faults_without_end_are_capped),
        cmocka_unit_test(decode__bad_json_is_refused_with_its_place),
        cmocka_unit_test(decode__nul_byte_in_the_body_is_refused),
        cmocka_unit_test(decode__depth_is_bounded),
        cmocka_unit_test(decode__utf8_counts_in_bytes_and_passes),
        cmocka_unit_test(decode__long_names_give_a_cut_pointer),
        cmocka_unit_test(decode_reply__unknown_fields_and_bounds_are_forgiven),
        cmocka_unit_test(decode_reply__wrong_types_and_empty_text_are_refused),
        cmocka_unit_test(decode_peer__unknown_is_skipped_and_bounds_hold),
        cmocka_unit_test(page__items_and_token_are_read),
        cmocka_unit_test(page__what_is_no_page_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
