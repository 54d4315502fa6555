/* test-controllerd-filter.c - which filters are understood, and what passes
 * them. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "api/resources.h"
#include "common/mem.h"
#include "controllerd/filter.h"

#define ID1 "0197b3a0-0000-7000-8000-000000000001"
#define ID2 "0197b3a0-0000-7000-8000-000000000002"

static const struct filter_field fields[] = {
    {.name = "name"},
    {.name = "state"},
    {.name = "image", .also = "image_id"},
    {.name = "node_id", .operators = true},
    {.name = "locked"},
    {.name = "vcpus"},
    {.name = "stop_reason"},
};
static const struct filter_spec spec = {&table_instance, "labels", fields,
                                        ARRAY_SIZE(fields)};
static const struct filter_spec bare = {&table_instance, NULL, fields, 2};

static struct api_instance inst;

static int
setup(void **state)
{
    inst = (struct api_instance){.name = (char *)"web-1",
                                 .state = INSTANCE_RUNNING,
                                 .image = (char *)"debian",
                                 .image_id = (char *)ID1,
                                 .node_id = (char *)ID2,
                                 .vcpus = 4,
                                 .locked = true};
    codec_labels_add(&inst.labels, "empty", "");
    codec_labels_add(&inst.labels, "env", "prod");
    codec_labels_add(&inst.labels, "team.x/y_z", "a-b");
    return 0;
}

static int
teardown(void **state)
{
    codec_labels_clear(&inst.labels);
    return 0;
}

static bool
passes(const char *text)
{
    struct err e _cleanup_(err_release) = {0};
    struct filter f = {0};

    if (filter_parse(&spec, text, true, &f, &e) < 0)
        fail_msg("%s: %s", text, e.message);
    bool yes = filter_match(&f, &inst);
    filter_release(&f);
    return yes;
}

static void
filter__passes_what_all_terms_say(void **state)
{
    static const char *const yes[] = {
        "",
        "name=web-1",
        "state=running",
        "state!=stopped",
        "image=debian",
        "image=" ID1,
        "image!=other",
        "image!=" ID2,
        "node_id=" ID2,
        "locked=true",
        "locked!=false",
        "vcpus=4",
        "vcpus!=3",
        "label.env=prod",
        "label.env",
        "label.env!=test",
        "label.none!=test",
        "!label.none",
        "label.empty",
        "label.empty=",
        "label.env!=",
        "label.team.x/y_z=a-b",
        "stop_reason!=guest",
        "state=running,label.env=prod,vcpus=4,!label.none,locked=true",
    };
    static const char *const no[] = {
        "name=web-2",
        "name!=web-1",
        "state=stopped",
        "state!=running",
        "image=other",
        "image!=debian",
        "image!=" ID1,
        "node_id=" ID1,
        "locked=false",
        "vcpus=5",
        "label.env=test",
        "label.none",
        "!label.env",
        "label.none=prod",
        "label.none=",
        "label.empty=x",
        "label.empty!=",
        "label.Env",
        "stop_reason=guest",
        "state=running,label.env=test",
        "label.env=prod,state=stopped",
        "state=running,state=stopped",
    };

    for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
        if (!passes(yes[i]))
            fail_msg("\"%s\" does not pass", yes[i]);
    for (size_t i = 0; i < ARRAY_SIZE(no); i++)
        if (passes(no[i]))
            fail_msg("\"%s\" passes", no[i]);
}

static void
refused(const struct filter_spec *s, const char *text, bool is_operator,
        const char *code)
{
    struct err e _cleanup_(err_release) = {0};
    struct filter f = {0};

    if (filter_parse(s, text, is_operator, &f, &e) != -EINVAL)
        fail_msg("\"%s\" was taken", text);
    assert_int_equal(e.n_details, 1);
    assert_string_equal(e.details[0].pointer, "?filter");
    if (strcmp(e.details[0].code, code) != 0)
        fail_msg("\"%s\": %s, not %s", text, e.details[0].code, code);
    assert_int_equal(f.n, 0);
}

static void
filter__malformed_is_refused_by_name(void **state)
{
    static const struct {
        const char *text, *code;
    } bads[] = {
        {"colour=red", "unknown_field"},
        {"=x", "unknown_field"},
        {"nam=x", "unknown_field"},
        {"names=x", "unknown_field"},
        {"vcpus =4", "unknown_field"},
        {"name", "term"},
        {"!name", "term"},
        {"!name=x", "term"},
        {"!label.a=b", "term"},
        {",", "term"},
        {"name=a,", "term"},
        {",name=a", "term"},
        {"name=a,,state=running", "term"},
        {"!", "term"},
        {"!!label.a", "term"},
        {"name!x", "term"},
        {"label", "term"},
        {"label.", "label"},
        {"label.=x", "label"},
        {"label.a b", "label"},
        {"label.a=b=c", "label"},
        {"label.a=-b", "label"},
        {"state=flying", "enum"},
        {"state=", "enum"},
        {"state=RUNNING", "enum"},
        {"locked=yes", "type"},
        {"vcpus=four", "type"},
        {"vcpus=", "type"},
        {"vcpus=99999999999999999999", "type"},
        {"vcpus=1-", "type"},
        {"vcpus= 1", "type"},
        {"node_id=n1", "id"},
        {"name=A", "name"},
        {"name=", "name"},
        {"name=" ID1, "name"},
        {"image=a_b", "name"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(bads); i++)
        refused(&spec, bads[i].text, true, bads[i].code);
    refused(&spec, "node_id=" ID1, false, "unknown_field");
    refused(&bare, "label.env", true, "term");
    refused(&bare, "label.env=a", true, "unknown_field");
}

static void
filter__is_bounded(void **state)
{
    struct buf b _cleanup_(buf_release) = {0};

    for (int i = 0; i < FILTER_TERMS_MAX; i++)
        buf_addf(&b, "%slabel.k%d!=x", i ? "," : "", i);
    assert_true(passes(buf_str(&b)));
    buf_adds(&b, ",label.more!=x");
    refused(&spec, buf_str(&b), true, "too_many");
    buf_clear(&b);
    for (int i = 0; i <= FILTER_MAX; i++)
        buf_addc(&b, 'x');
    refused(&spec, buf_str(&b), true, "too_long");
}

static void
filter__tells_what_an_index_may_answer(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    struct filter f = {0};

    assert_int_equal(
        filter_parse(&spec,
                     "name!=x,state=running,!label.c,label.d!=e,label.a,"
                     "label.b=1,label.c=2,image=debian",
                     false, &f, &e),
        0);
    assert_null(filter_value(&f, "name"));
    assert_string_equal(filter_value(&f, "state"), "running");
    assert_string_equal(filter_value(&f, "image"), "debian");
    assert_null(filter_value(&f, "vcpus"));
    assert_string_equal(filter_label(&f)->key, "b");
    filter_release(&f);
    assert_int_equal(filter_parse(&spec, "!label.a,label.b!=c", false, &f, &e),
                     0);
    assert_null(filter_label(&f));
    filter_release(&f);
    assert_int_equal(filter_parse(&spec, NULL, false, &f, &e), 0);
    assert_true(filter_match(&f, &inst));
    filter_release(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filter__passes_what_all_terms_say),
        cmocka_unit_test(filter__malformed_is_refused_by_name),
        cmocka_unit_test(filter__is_bounded),
        cmocka_unit_test(filter__tells_what_an_index_may_answer),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
