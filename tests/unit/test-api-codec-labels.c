/* test-api-codec-labels.c - labels and flags: objects of strings, and what is
 * told apart from not being given. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "api/resources.h"
#include "common/mem.h"

static int
decode(const char *json, struct api_instance_change *ret, struct err *e)
{
    return codec_decode(&table_instance_change, CODEC_REQUEST, json,
                        strlen(json), ret, e);
}

/* The text of the labels in their order. */
static void
assert_labels(const struct codec_list *l, const char *want)
{
    struct buf b _cleanup_(buf_release) = {0};
    const struct codec_label *x = l->items;

    for (size_t i = 0; i < l->n; i++)
        buf_addf(&b, "%s%s=%s", i ? " " : "", x[i].key, x[i].value);
    assert_string_equal(buf_str(&b), want);
}

static void
labels__are_sorted_and_round_trip(void **state)
{
    struct api_instance_change c = {0};
    struct api_instance out = {0}, back = {0};
    struct err e _cleanup_(err_release) = {0};
    struct buf json _cleanup_(buf_release) = {0};

    assert_int_equal(decode("{\"labels\":{\"z\":\"1\",\"a/b\":\"\",\"Z\":\"x."
                            "y_z-9\",\"m\":\"M\"}}",
                            &c, &e),
                     0);
    assert_labels(&c.labels, "Z=x.y_z-9 a/b= m=M z=1");
    out.labels = c.labels;
    codec_encode(&table_instance, &out, &json);
    assert_non_null(strstr(buf_str(&json),
                           "\"labels\":{\"Z\":\"x.y_z-9\",\"a/b\":\"\","
                           "\"m\":\"M\",\"z\":\"1\"}"));
    assert_int_equal(codec_decode(&table_instance, CODEC_REPLY, buf_str(&json),
                                  json.len, &back, &e),
                     0);
    assert_labels(&back.labels, "Z=x.y_z-9 a/b= m=M z=1");
    codec_clear(&table_instance, &back);
    codec_clear(&table_instance_change, &c);
    assert_int_equal(c.labels.n, 0);
    assert_null(c.labels.items);
}

/* None given is not the same as to give none. */
static void
labels__empty_differs_from_absent(void **state)
{
    struct api_instance_change c = {0};
    struct err e _cleanup_(err_release) = {0};

    assert_int_equal(decode("{}", &c, &e), 0);
    assert_false(c.has_labels);
    assert_int_equal(c.locked, -1);
    assert_int_equal(c.delete_protection, -1);
    codec_clear(&table_instance_change, &c);
    assert_int_equal(decode("{\"labels\":null,\"locked\":null}", &c, &e), 0);
    assert_false(c.has_labels);
    assert_int_equal(c.locked, -1);
    codec_clear(&table_instance_change, &c);
    assert_int_equal(
        decode("{\"labels\":{},\"locked\":false,\"delete_protection\":true}",
               &c, &e),
        0);
    assert_true(c.has_labels);
    assert_int_equal(c.labels.n, 0);
    assert_int_equal(c.locked, 0);
    assert_int_equal(c.delete_protection, 1);
    codec_clear(&table_instance_change, &c);
}

static void
labels__fault_names_the_key(void **state)
{
    static const struct {
        const char *labels, *pointer, *code;
    } cases[] = {
        {"[]", "/labels", "type"},
        {"\"a=b\"", "/labels", "type"},
        {"1", "/labels", "type"},
        {"{\"a\":1}", "/labels/a", "type"},
        {"{\"a\":null}", "/labels/a", "type"},
        {"{\"a\":{}}", "/labels/a", "type"},
        {"{\"\":\"x\"}", "/labels/", "label"},
        {"{\"a b\":\"x\"}", "/labels/a b", "label"},
        {"{\"-a\":\"x\"}", "/labels/-a", "label"},
        {"{\"a/\":\"x\"}", "/labels/a~1", "label"},
        {"{\"a~b\":\"x\"}", "/labels/a~0b", "label"},
        {"{\"a=b\":\"x\"}", "/labels/a=b", "label"},
        {"{\"a,b\":\"x\"}", "/labels/a,b", "label"},
        {"{\"a\\\"\":\"x\"}", "/labels/a\"", "label"},
        {"{\"\xc3\xa4\":\"x\"}", "/labels/\xc3\xa4", "label"},
        {"{\"a\":\"b c\"}", "/labels/a", "label"},
        {"{\"a\":\"-b\"}", "/labels/a", "label"},
        {"{\"a\":\"b.\"}", "/labels/a", "label"},
        {"{\"a\":\"\\n\"}", "/labels/a", "label"},
        {"{\"a\":\"\\\"\"}", "/labels/a", "label"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct api_instance_change c = {0};
        struct err e _cleanup_(err_release) = {0};
        char *json _cleanup_(freep) =
            xasprintf("{\"labels\":%s}", cases[i].labels);

        if (decode(json, &c, &e) != -EINVAL)
            fail_msg("%s was taken", json);
        assert_int_equal(e.n_details, 1);
        assert_string_equal(e.details[0].pointer, cases[i].pointer);
        assert_string_equal(e.details[0].code, cases[i].code);
        assert_null(c.labels.items);
    }
}

static void
labels__lengths_and_number_are_bounded(void **state)
{
    struct api_instance_change c = {0};
    struct err e = {0};
    struct buf json _cleanup_(buf_release) = {0};
    char x64[65];

    memset(x64, 'x', 64);
    x64[64] = '\0';
    assert_true(codec_label_valid(x64 + 1, x64 + 1));
    assert_false(codec_label_valid(x64, "v"));
    assert_false(codec_label_valid("k", x64));
    assert_true(codec_label_valid("k", ""));
    assert_false(codec_label_valid("", "v"));

    buf_adds(&json, "{\"labels\":{");
    for (int i = 0; i < API_LABELS_MAX; i++)
        buf_addf(&json, "%s\"k%d\":\"v\"", i ? "," : "", i);
    size_t end = json.len;
    buf_adds(&json, "}}");
    assert_int_equal(decode(buf_str(&json), &c, &e), 0);
    assert_int_equal(c.labels.n, API_LABELS_MAX);
    codec_clear(&table_instance_change, &c);
    json.len = end;
    buf_adds(&json, ",\"more\":\"v\"}}");
    assert_int_equal(decode(buf_str(&json), &c, &e), -EINVAL);
    assert_string_equal(e.details[0].code, "too_many");
    err_release(&e);
    e = (struct err){0};
    /* A key that is there twice is no JSON of ours. */
    assert_int_equal(decode("{\"labels\":{\"a\":\"1\",\"a\":\"2\"}}", &c, &e),
                     -EBADMSG);
    err_release(&e);
}

static void
labels__have_a_text_and_a_schema(void **state)
{
    struct api_instance i = {0};
    struct buf b _cleanup_(buf_release) = {0};

    codec_labels_add(&i.labels, "a", "1");
    codec_labels_add(&i.labels, "b", "");
    assert_true(
        codec_field_text(codec_field_find(&table_instance, "labels"), &i, &b));
    assert_string_equal(buf_str(&b), "a=1,b=");
    buf_clear(&b);
    codec_encode_request(&table_instance, &i, &b);
    assert_non_null(strstr(buf_str(&b), "\"labels\":{\"a\":\"1\",\"b\":\"\"}"));
    buf_clear(&b);
    codec_schema(&table_instance, CODEC_REQUEST, &b);
    assert_non_null(strstr(buf_str(&b), "\"labels\":"));
    struct buf pretty _cleanup_(buf_release) = {0};
    assert_int_equal(codec_pretty(b.data, b.len, &pretty, NULL), 0);
    codec_labels_clear(&i.labels);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels__are_sorted_and_round_trip),
        cmocka_unit_test(labels__empty_differs_from_absent),
        cmocka_unit_test(labels__fault_names_the_key),
        cmocka_unit_test(labels__lengths_and_number_are_bounded),
        cmocka_unit_test(labels__have_a_text_and_a_schema),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
