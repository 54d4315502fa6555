/* test-cli-format.c - tables, sheets, CSV and YAML, against golden text. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "api/resources.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "common/mem.h"

#define ID "0193573e-8d5c-7cc1-b0a8-3d1f0c5a9e77"
#define TIME "2026-11-22T16:30:10.000000Z"

static void
decode(const struct codec_table *t, const char *json, void *obj)
{
    struct err err _cleanup_(err_release) = {0};

    if (codec_decode(t, CODEC_REPLY, json, strlen(json), obj, &err) < 0)
        fail_msg("%s", err.message);
}

static const char flavors[] =
    "{\"items\":[{\"id\":\"" ID "\",\"name\":\"small\",\"vcpus\":1,"
    "\"memory_bytes\":536870912,\"disk_bytes\":0,\"created_at\":\"" TIME
    "\"},{\"id\":\"" ID "\",\"name\":\"x\",\"vcpus\":16,"
    "\"memory_bytes\":1610612736,\"disk_bytes\":1,\"created_at\":null}]}";

static void
load_flavors(struct codec_list *l)
{
    char *next = NULL;

    assert_int_equal(codec_decode_page(&table_flavor, flavors, strlen(flavors),
                                       l, &next, NULL),
                     0);
    assert_null(next);
}

static void
table__columns_are_aligned(void **state)
{
    struct buf out _cleanup_(buf_release) = {0};
    struct codec_list l;

    load_flavors(&l);
    format_table(&table_flavor, &l, &out);
    assert_string_equal(
        buf_str(&out),
        "ID                                    NAME   VCPUS  MEMORY  DISK  "
        "PRICE_PER_HOUR  CREATED\n" ID
        "  small      1    512M     0               -  2026-11-22 18:30:10\n" ID
        "  x         16    1.5G     1               -  -\n");
    codec_list_clear(&table_flavor, &l);
}

static void
table__empty_list_is_the_header(void **state)
{
    struct buf out _cleanup_(buf_release) = {0};
    struct codec_list l = {0};

    format_table(&table_project, &l, &out);
    assert_string_equal(buf_str(&out), "ID  NAME  CREATED\n");
}

static void
table__foreign_text_cannot_steer_the_terminal(void **state)
{
    struct buf out _cleanup_(buf_release) = {0};
    char step[] = "a\033[2Jb\xc2\x9b"
                  "c\xff\n";
    struct api_operation op = {.step = step};
    struct codec_list l = {.items = &op, .n = 1};

    format_table(&table_operation, &l, &out);
    assert_non_null(strstr(buf_str(&out), "a?[2Jb?c\xef\xbf\xbd?"));
    assert_null(strchr(buf_str(&out), '\033'));
}

static const char instance[] =
    "{\"id\":\"" ID "\",\"name\":\"web\",\"project_id\":\"" ID
    "\",\"state\":\"error\",\"flavor\":\"small\",\"image\":\"debian\","
    "\"flavor_id\":\"" ID "\",\"image_id\":\"" ID
    "\",\"vcpus\":1,\"memory_bytes\":536870912,\"disk_bytes\":0,\"run\":1,"
    "\"fault\":{\"code\":\"no_disk\",\"message\":\"line 1\\nline: 2\"},"
    "\"generation\":3,\"created_at\":\"" TIME "\"}";

static void
sheet__nested_objects_are_dotted(void **state)
{
    struct buf out _cleanup_(buf_release) = {0};
    struct api_instance inst = {0};

    decode(&table_instance, instance, &inst);
    format_sheet(&table_instance, &inst, &out);
    assert_string_equal(buf_str(&out),
                        "id:                      " ID "\n"
                        "name:                    web\n"
                        "project_id:              " ID "\n"
                        "state:                   error\n"
                        "flavor:                  small\n"
                        "image:                   debian\n"
                        "flavor_id:               " ID "\n"
                        "image_id:                " ID "\n"
                        "vcpus:                   1\n"
                        "memory_bytes:            512M\n"
                        "disk_bytes:              0\n"
                        "cpu_shares:              0\n"
                        "cpu_limit_percent:       0\n"
                        "cpu_reservation_percent: 0\n"
                        "disk_iops:               0\n"
                        "disk_bytes_per_second:   0\n"
                        "net_bytes_per_second:    0\n"
                        "locked:                  no\n"
                        "delete_protection:       no\n"
                        "restart_policy:          never\n"
                        "restart_count:           0\n"
                        "run:                     1\n"
                        "fault.code:              no_disk\n"
                        "fault.message:           line 1?line: 2\n"
                        "generation:              3\n"
                        "created_at:              2026-11-22 18:30:10\n");
    codec_clear(&table_instance, &inst);
}

static void
sheet__list_items_have_a_line_each(void **state)
{
    struct buf out _cleanup_(buf_release) = {0};
    struct api_image image = {0};

    decode(&table_image,
           "{\"name\":\"tiny\",\"state\":\"pending\",\"parts\":[{\"name\":"
           "\"kernel\",\"format\":\"raw\",\"size_bytes\":2048},{\"name\":"
           "\"disk\",\"format\":\"qcow2\",\"size_bytes\":0}]}",
           &image);
    format_sheet(&table_image, &image, &out);
    assert_string_equal(buf_str(&out), "name:       tiny\n"
                                       "public:     no\n"
                                       "state:      pending\n"
                                       "parts:      kernel raw 2K\n"
                                       "            disk qcow2 0\n"
                                       "size_bytes: 0\n"
                                       "generation: 0\n");
    codec_clear(&table_image, &image);
}

static void
csv__is_rfc_4180(void **state)
{
    struct buf out _cleanup_(buf_release) = {0};
    struct codec_list l;

    load_flavors(&l);
    format_csv(&table_flavor, &l, &out);
    assert_string_equal(
        buf_str(&out),
        "id,name,vcpus,memory_bytes,disk_bytes,cpu_shares,cpu_limit_percent,"
        "cpu_reservation_percent,disk_iops,disk_bytes_per_second,"
        "net_bytes_per_second,price_per_hour,generation,created_at\r\n" ID
        ",small,1,536870912,0,0,0,0,0,0,0,,0," TIME "\r\n" ID
        ",x,16,1610612736,1,0,0,0,0,0,0,,0,\r\n");
    codec_list_clear(&table_flavor, &l);
}

static void
csv_cell__quoted_where_it_must_be(void **state)
{
    static const char *const cases[][2] = {
        {"plain", "plain"},   {"", ""},
        {"a,b", "\"a,b\""},   {"say \"hi\"", "\"say \"\"hi\"\"\""},
        {"a\nb", "\"a\nb\""}, {"a\rb", "\"a\rb\""},
        {" a", "\" a\""},     {"a ", "\"a \""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buf out _cleanup_(buf_release) = {0};

        format_csv_cell(cases[i][0], &out);
        assert_string_equal(buf_str(&out), cases[i][1]);
    }
}

static void
yaml__objects_lists_and_absent_fields(void **state)
{
    struct buf out _cleanup_(buf_release) = {0};
    struct api_instance inst = {0};
    struct api_node node = {0};
    struct codec_list l = {.items = &node, .n = 1};

    decode(&table_instance, instance, &inst);
    format_yaml(&table_instance, &inst, &out);
    assert_string_equal(buf_str(&out), "id: \"" ID "\"\n"
                                       "name: web\n"
                                       "project_id: \"" ID "\"\n"
                                       "state: error\n"
                                       "flavor: small\n"
                                       "image: debian\n"
                                       "flavor_id: \"" ID "\"\n"
                                       "image_id: \"" ID "\"\n"
                                       "vcpus: 1\n"
                                       "memory_bytes: 536870912\n"
                                       "disk_bytes: 0\n"
                                       "restart_policy: never\n"
                                       "restart_count: 0\n"
                                       "run: 1\n"
                                       "fault:\n"
                                       "  code: no_disk\n"
                                       "  message: \"line 1\\nline: 2\"\n"
                                       "generation: 3\n"
                                       "created_at: \"" TIME "\"\n");
    codec_clear(&table_instance, &inst);

    buf_clear(&out);
    decode(&table_node, "{\"name\":\"n1\",\"traits\":[\"kvm\",\"on\"]}", &node);
    format_yaml_list(&table_node, &l, &out);
    assert_int_equal(strncmp(buf_str(&out), "- id: null\n  name: n1\n", 22), 0);
    assert_non_null(strstr(buf_str(&out), "\n  schedulable: false\n"));
    assert_non_null(
        strstr(buf_str(&out), "\n  traits:\n  - kvm\n  - \"on\"\n"));
    assert_non_null(strstr(buf_str(&out), "\n  quarantined: []\n"));
    codec_clear(&table_node, &node);

    buf_clear(&out);
    l.n = 0;
    format_yaml_list(&table_node, &l, &out);
    assert_string_equal(buf_str(&out), "[]\n");
}

static void
yaml__lists_of_objects_are_nested(void **state)
{
    struct buf out _cleanup_(buf_release) = {0};
    struct api_image image = {0};

    decode(&table_image,
           "{\"name\":\"tiny\",\"parts\":[{\"name\":\"kernel\"},"
           "{\"name\":\"disk\",\"format\":\"qcow2\"}]}",
           &image);
    format_yaml(&table_image, &image, &out);
    assert_non_null(strstr(buf_str(&out), "\nparts:\n"
                                          "- name: kernel\n"
                                          "  format: raw\n"
                                          "  size_bytes: 0\n"
                                          "  virtual_bytes: 0\n"
                                          "- name: disk\n"
                                          "  format: qcow2\n"));
    codec_clear(&table_image, &image);
}

static void
yaml_string__reads_back_as_itself(void **state)
{
    static const char *const cases[][2] = {
        {"plain", "plain"},
        {"instance.create", "instance.create"},
        {"", "\"\""},
        {"null", "\"null\""},
        {"Yes", "\"Yes\""},
        {"NO", "\"NO\""},
        {"y", "\"y\""},
        {"1e5", "\"1e5\""},
        {"0.5", "\"0.5\""},
        {"-x", "\"-x\""},
        {"a: b", "\"a: b\""},
        {"a #b", "\"a #b\""},
        {"~", "\"~\""},
        {"say \"hi\" \\", "\"say \\\"hi\\\" \\\\\""},
        {"a\nb\tc", "\"a\\nb\\tc\""},
        {"\033[0m", "\"\\x1B[0m\""},
        {"\xc2\x85", "\"\\x85\""},
        {"\xe2\x80\xa8", "\"\\u2028\""},
        {"Z\xc3\xbcrich", "\"Z\xc3\xbcrich\""},
        {"a\xff", "\"a\\uFFFD\""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buf out _cleanup_(buf_release) = {0};

        format_yaml_string(cases[i][0], &out);
        assert_string_equal(buf_str(&out), cases[i][1]);
    }
}

static void
size__is_short_and_never_too_large(void **state)
{
    static const struct {
        int64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0"},
        {1, "1"},
        {1023, "1023"},
        {1024, "1K"},
        {1536, "1.5K"},
        {512 << 20, "512M"},
        {INT64_C(1) << 30, "1G"},
        {(INT64_C(1) << 30) - 1, "1023.9M"},
        {INT64_C(3) << 39, "1.5T"},
        {INT64_MAX, "7.9E"},
        {INT64_MIN, "-8E"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buf out _cleanup_(buf_release) = {0};

        format_size(cases[i].bytes, &out);
        assert_string_equal(buf_str(&out), cases[i].text);
    }
}

static void
json_items__are_copied_as_they_are(void **state)
{
    static const struct {
        const char *json;
        size_t max, n;
        const char *items;
    } cases[] = {
        {"{\"items\":[]}", 9, 0, ""},
        {" { \"x\" : {\"items\":[1]} , \"items\" : [ {\"a\":[1,2]} , 3 ] } ", 9,
         2, "{\"a\":[1,2]} ,3 "},
        {"{\"n\":\"]},\\\"\",\"items\":[\"a]\\\\\",{\"b\":\"}\\\"\"}],\"z\":0}",
         9, 2, "\"a]\\\\\",{\"b\":\"}\\\"\"}"},
        {"{\"items\":[1,2,3]}", 2, 2, "1,2"},
        {"{\"other\":[1]}", 9, 0, ""},
        {"{\"items\":{}}", 9, 0, ""},
        {"[1]", 9, 0, ""},
        {"{}", 9, 0, ""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buf out _cleanup_(buf_release) = {0};

        assert_int_equal(cli_json_items(cases[i].json, strlen(cases[i].json),
                                        "items", cases[i].max, &out),
                         cases[i].n);
        assert_string_equal(buf_str(&out), cases[i].items);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table__columns_are_aligned),
        cmocka_unit_test(table__empty_list_is_the_header),
        cmocka_unit_test(table__foreign_text_cannot_steer_the_terminal),
        cmocka_unit_test(sheet__nested_objects_are_dotted),
        cmocka_unit_test(sheet__list_items_have_a_line_each),
        cmocka_unit_test(csv__is_rfc_4180),
        cmocka_unit_test(csv_cell__quoted_where_it_must_be),
        cmocka_unit_test(yaml__objects_lists_and_absent_fields),
        cmocka_unit_test(yaml__lists_of_objects_are_nested),
        cmocka_unit_test(yaml_string__reads_back_as_itself),
        cmocka_unit_test(size__is_short_and_never_too_large),
        cmocka_unit_test(json_items__are_copied_as_they_are),
    };

    setenv("TZ", "EET-2", 1); /* local times differ from UTC, and are fixed */
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
