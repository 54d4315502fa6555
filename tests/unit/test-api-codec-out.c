/* test-api-codec-out.c - encoding, text, schemas; what is encoded decodes to
 * the same again, for every table of the API. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <string.h>

#include "api/resources.h"
#include "api/routes.h"
#include "common/mem.h"

static const struct codec_table *const tables[] = {
    &table_project,      &table_token,
    &table_whoami,       &table_flavor,
    &table_image,        &table_image_part,
    &table_instance,     &table_stop_request,
    &table_operation,    &table_stats,
    &table_usage,        &table_usage_item,
    &table_node,         &table_join_token,
    &table_problem,      &table_fault,
    &table_join,         &table_joined,
    &table_desired,      &table_certificate_request,
    &table_host,         &table_desired_instance,
    &table_node_request, &table_report,
    &table_observation,  &table_report_ack,
};

static char *
text_of_type(const struct codec_field *f, int seed)
{
    size_t max = f->max ? (size_t)f->max : 255;

    switch (f->type) {
    case CODEC_ID:
        return xasprintf("0197b3a0-0000-7000-8000-%012d", seed);
    case CODEC_NAME:
    case CODEC_REF:
        return xasprintf("name-%d", seed);
    case CODEC_DECIMAL:
        return xasprintf("%d.000001", seed);
    default: {
        size_t n = MAX((size_t)f->min, (size_t)6);
        char *s = xcalloc(1, n + 1);

        memset(s, 'a' + seed % 26, MIN(n, max));
        return s;
    }
    }
}

/* A valid value in every field, each another. */
static void
fill(const struct codec_table *t, void *obj, int *seed)
{
    for (size_t i = 0; i < t->n_fields; i++) {
        const struct codec_field *f = &t->fields[i];
        void *slot = (char *)obj + f->offset;

        ++*seed;
        switch (f->type) {
        case CODEC_INT:
            *(int64_t *)slot =
                f->max ? f->max - (f->max > 1000 ? *seed : 0) : 1000000 + *seed;
            break;
        case CODEC_BOOL:
            *(bool *)slot = true;
            break;
        case CODEC_TIME:
            *(int64_t *)slot = INT64_C(1790000000000001) + *seed;
            break;
        case CODEC_ENUM:
            *(int *)slot = *seed % 2;
            break;
        case CODEC_OBJECT:
            *(void **)slot = xcalloc(1, f->sub->size);
            fill(f->sub, *(void **)slot, seed);
            break;
        case CODEC_LIST:
            for (int k = 0; k < 3; k++)
                fill(f->sub, codec_list_add(f->sub, slot), seed);
            break;
        case CODEC_STRINGS:
            codec_strings_add(slot, "one");
            codec_strings_add(slot, "two \"quoted\"");
            break;
        case CODEC_INTS:
            codec_ints_add(slot, 0);
            codec_ints_add(slot, INT64_MAX);
            break;
        default:
            *(char **)slot = text_of_type(f, *seed);
        }
    }
}

static void
encode__decodes_to_the_same_again(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
        const struct codec_table *t = tables[i];
        struct err e _cleanup_(err_release) = {0};
        struct buf a _cleanup_(buf_release) = {0};
        struct buf b _cleanup_(buf_release) = {0};
        void *obj = xcalloc(1, t->size), *back = xcalloc(1, t->size);
        int seed = 0;

        fill(t, obj, &seed);
        codec_encode(t, obj, &a);
        if (codec_decode(t, CODEC_REPLY, a.data, a.len, back, &e) < 0)
            fail_msg("%s: %s in %s", t->name, e.message, a.data);
        codec_encode(t, back, &b);
        assert_string_equal(buf_str(&a), buf_str(&b));
        codec_clear(t, obj);
        codec_clear(t, back);
        free(obj);
        free(back);
    }
}

/* What a request's body may hold, filled to its bounds, is taken. */
static void
encode_request__is_taken_by_strict_decode(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
        const struct codec_table *t = tables[i];
        struct err e _cleanup_(err_release) = {0};
        struct buf a _cleanup_(buf_release) = {0};
        struct buf b _cleanup_(buf_release) = {0};
        void *obj = xcalloc(1, t->size), *back = xcalloc(1, t->size);
        int seed = 0;

        fill(t, obj, &seed);
        codec_encode_request(t, obj, &a);
        if (codec_decode(t, CODEC_REQUEST, a.data, a.len, back, &e) < 0)
            fail_msg("%s: %s in %s", t->name, e.message, a.data);
        codec_encode_request(t, back, &b);
        assert_string_equal(buf_str(&a), buf_str(&b));
        codec_clear(t, obj);
        codec_clear(t, back);
        free(obj);
        free(back);
    }
}

/* A required number that is 0 must travel: 0 is not "absent" there. */
static void
encode_request__keeps_required_zeros(void **state)
{
    struct api_observation o = {
        .seq = 1,
        .instance_id = (char *)"0197b3a0-0000-7000-8000-000000000001",
    };
    struct api_observation back = {0};
    struct err e _cleanup_(err_release) = {0};
    struct buf b _cleanup_(buf_release) = {0};

    codec_encode_request(&table_observation, &o, &b);
    if (codec_decode(&table_observation, CODEC_REQUEST, b.data, b.len, &back,
                     &e) < 0)
        fail_msg("%s in %s", e.message, b.data);
    codec_clear(&table_observation, &back);
}

/* The longest message that a fault of a field may have reaches the client. */
static void
problem__longest_field_message_is_read(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    struct buf b _cleanup_(buf_release) = {0};
    struct api_problem p = {.status = 422}, back = {0};
    char words[1000];

    memset(words, 'w', sizeof(words) - 1);
    words[sizeof(words) - 1] = '\0';
    err_field(&e, "/a", "range", "%s", words);
    struct api_problem_field f = {e.details[0].pointer, e.details[0].code,
                                  e.details[0].message};
    p.errors = (struct codec_list){&f, 1};
    codec_encode(&table_problem, &p, &b);
    if (codec_decode(&table_problem, CODEC_REPLY, b.data, b.len, &back, &e) < 0)
        fail_msg("%s", e.message);
    codec_clear(&table_problem, &back);
}

static void
encode__empty_object_is_nulls_and_omissions(void **state)
{
    struct buf b _cleanup_(buf_release) = {0};
    struct api_token t = {0};

    codec_encode(&table_token, &t, &b);
    assert_string_equal(buf_str(&b),
                        "{\"id\":null,\"name\":null,\"role\":\"none\","
                        "\"generation\":0,\"created_at\":null}");
}

static void
encode_string__is_always_valid_json(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"", "\"\""},
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"\n\t\r", "\"\\n\\t\\r\""},
        {"\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\""},
        {"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80",
         "\"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80\""},
        {"\xff", "\"\\ufffd\""},
        {"\xc3", "\"\\ufffd\""},
        {"\xc0\x80", "\"\\ufffd\\ufffd\""},
        {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},
        {"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
        {"\xe2\x82", "\"\\ufffd\\ufffd\""},
        {"a\xe2\x82z", "\"a\\ufffd\\ufffdz\""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buf b _cleanup_(buf_release) = {0};
        json_error_t je;

        codec_encode_string(cases[i].in, &b);
        assert_string_equal(buf_str(&b), cases[i].out);
        json_t *j = json_loadb(b.data, b.len, JSON_DECODE_ANY, &je);
        assert_non_null(j);
        json_decref(j);
    }
}

static void
field_text__shows_scalars(void **state)
{
    struct api_node n = {.name = (char *)"n1", .vcpus = 8, .schedulable = true};
    static const struct {
        const char *field, *text;
    } want[] = {
        {"name", "n1"},       {"vcpus", "8"},         {"schedulable", "true"},
        {"state", "up"},      {"traits", "kvm,uefi"}, {"driver", NULL},
        {"created_at", NULL}, {"quarantined", NULL},
    };

    codec_strings_add(&n.traits, "kvm");
    codec_strings_add(&n.traits, "uefi");
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        struct buf b _cleanup_(buf_release) = {0};
        const struct codec_field *f =
            codec_field_find(&table_node, want[i].field);

        assert_non_null(f);
        assert_int_equal(codec_field_text(f, &n, &b), want[i].text != NULL);
        assert_string_equal(buf_str(&b), want[i].text ? want[i].text : "");
    }
    codec_strings_clear(&n.traits);
    assert_null(codec_field_find(&table_node, "nam"));
}

static void
enum_parse__knows_its_words_only(void **state)
{
    assert_int_equal(codec_enum_parse(api_role_names, "operator"),
                     ROLE_OPERATOR);
    assert_int_equal(codec_enum_parse(api_role_names, "Operator"), -EINVAL);
    assert_int_equal(codec_enum_parse(api_role_names, ""), -EINVAL);
}

static json_t *
schema_of(const struct codec_table *t, enum codec_mode mode)
{
    struct buf b _cleanup_(buf_release) = {0};
    json_error_t je;

    codec_schema(t, mode, &b);
    json_t *j = json_loadb(b.data, b.len, JSON_REJECT_DUPLICATES, &je);
    if (!j)
        fail_msg("%s: %s in %s", t->name, je.text, b.data);
    return j;
}

static void
schema__is_valid_json_with_every_field(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
        for (int k = 0; k < 2; k++) {
            const struct codec_table *t = tables[i];
            enum codec_mode mode = k ? CODEC_REPLY : CODEC_REQUEST;
            json_t *j = schema_of(t, mode);
            json_t *props = json_object_get(j, "properties");
            size_t n = 0;

            for (size_t m = 0; m < t->n_fields; m++)
                if (mode == CODEC_REPLY || (t->fields[m].flags & CODEC_IN)) {
                    assert_non_null(json_object_get(props, t->fields[m].name));
                    n++;
                }
            assert_int_equal(json_object_size(props), n);
            assert_int_equal(
                json_is_true(json_object_get(j, "additionalProperties")),
                mode == CODEC_REPLY);
            json_decref(j);
        }
}

/* A bound that decoding enforces stands in the schema, 0 included. */
static void
schema__number_bounds_are_those_of_decoding(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
        const struct codec_table *t = tables[i];
        json_t *j = schema_of(t, CODEC_REQUEST);

        for (size_t k = 0; k < t->n_fields; k++) {
            const struct codec_field *f = &t->fields[k];
            json_t *p =
                json_object_get(json_object_get(j, "properties"), f->name);

            if (!p || f->type != CODEC_INT || (!f->min && !f->max))
                continue;
            json_t *lo = json_object_get(p, "minimum");
            json_t *hi = json_object_get(p, "maximum");
            if (!lo || json_integer_value(lo) != f->min || !hi ||
                json_integer_value(hi) != f->max)
                fail_msg("%s.%s", t->name, f->name);
        }
        json_decref(j);
    }
}

static void
table__is_well_formed(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
        const struct codec_table *t = tables[i];

        assert_true(t->name && *t->name && t->doc && *t->doc);
        for (size_t k = 0; k < t->n_fields; k++) {
            const struct codec_field *f = &t->fields[k];

            if (!f->doc || !*f->doc || f->offset >= t->size ||
                (f->type == CODEC_ENUM) != (f->names != NULL) ||
                (f->type == CODEC_OBJECT || f->type == CODEC_LIST) !=
                    (f->sub != NULL) ||
                (f->max && f->min > f->max) ||
                codec_field_find(t, f->name) != f)
                fail_msg("%s.%s", t->name, f->name);
        }
    }
}

static void
pretty__indents_and_refuses(void **state)
{
    struct buf b _cleanup_(buf_release) = {0};
    struct err e _cleanup_(err_release) = {0};

    assert_int_equal(codec_pretty("{\"b\":[1],\"a\":{}}", 16, &b, &e), 0);
    assert_string_equal(buf_str(&b),
                        "{\n  \"b\": [\n    1\n  ],\n  \"a\": {}\n}\n");
    assert_int_equal(codec_pretty("{\"b\":", 5, &b, &e), -EBADMSG);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encode__decodes_to_the_same_again),
        cmocka_unit_test(encode_request__is_taken_by_strict_decode),
        cmocka_unit_test(encode_request__keeps_required_zeros),
        cmocka_unit_test(problem__longest_field_message_is_read),
        cmocka_unit_test(encode__empty_object_is_nulls_and_omissions),
        cmocka_unit_test(encode_string__is_always_valid_json),
        cmocka_unit_test(field_text__shows_scalars),
        cmocka_unit_test(enum_parse__knows_its_words_only),
        cmocka_unit_test(schema__is_valid_json_with_every_field),
        cmocka_unit_test(schema__number_bounds_are_those_of_decoding),
        cmocka_unit_test(table__is_well_formed),
        cmocka_unit_test(pretty__indents_and_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
