/* test-controllerd-webhook-msg.c - bodies, signatures and addresses of
 * webhooks. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <jansson.h>
#include <netinet/in.h>
#include <string.h>

#include "common/mem.h"
#include "controllerd/webhook_msg.h"

/* The example of the Standard Webhooks specification ("Signature scheme"). */
static void
sign__is_that_of_the_specification(void **state)
{
    struct webhook_key key;
    struct buf b _cleanup_(buf_release) = {0};
    static const char body[] = "{\"test\": 2432232314}";

    assert_int_equal(
        webhook_parse_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &key),
        0);
    webhook_sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body,
                 strlen(body), &b);
    assert_string_equal(buf_str(&b),
                        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

static void
secret__new_ones_are_good_and_differ(void **state)
{
    char a[WEBHOOK_SECRET_SIZE], b[WEBHOOK_SECRET_SIZE];
    struct webhook_key key;

    webhook_new_secret(a);
    webhook_new_secret(b);
    assert_string_not_equal(a, b);
    assert_int_equal(webhook_parse_secret(a, &key), 0);
    assert_int_equal(key.n, 32);
}

static void
secret__bad_ones_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "whsec_",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa",        /* 22 bytes */
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa?w",      /* no base64 */
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\nwhs", /* nor this */
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", /* 72 bytes */
    };
    struct webhook_key key;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (webhook_parse_secret(bad[i], &key) != -EINVAL)
            fail_msg("%s", bad[i]);
}

/* CloudEvents 1.0.2, section 3.1 of the JSON format. */
static void
body__is_a_cloudevent(void **state)
{
    struct api_event e = {
        .seq = 42,
        .id = (char *)"018bcfe5-6800-8000-8000-00000000002a",
        .at = INT64_C(1700000000000000),
        .kind = (char *)"instance.state",
        .resource_type = (char *)"instance",
        .resource_id = (char *)"0197b3a0-0000-7000-8000-000000000001",
        .resource_name = (char *)"a\"b\\c\n\xff",
        .state = (char *)"running",
    };
    struct buf b _cleanup_(buf_release) = {0};

    webhook_body(&e, "urn:uuid:0197b3a0-0000-7000-8000-000000000002", &b);
    json_t *j = json_loadb(b.data, b.len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(j);
    static const char *const want[][2] = {
        {"specversion", "1.0"},
        {"id", "018bcfe5-6800-8000-8000-00000000002a"},
        {"source", "urn:uuid:0197b3a0-0000-7000-8000-000000000002"},
        {"type", "virga.instance.state"},
        {"time", "2023-11-14T22:13:20.000000Z"},
        {"subject", "instance/0197b3a0-0000-7000-8000-000000000001"},
        {"sequence", "00000000000000000042"},
        {"datacontenttype", "application/json"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(want); i++)
        assert_string_equal(json_string_value(json_object_get(j, want[i][0])),
                            want[i][1]);
    json_t *data = json_object_get(j, "data");
    assert_int_equal(json_integer_value(json_object_get(data, "seq")), 42);
    assert_int_equal(json_object_size(j), ARRAY_SIZE(want) + 1);
    json_decref(j);
}

static bool
is_public(const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return webhook_address_public((struct sockaddr *)&v4);
    assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return webhook_address_public((struct sockaddr *)&v6);
}

static void
address__special_ones_are_not_public(void **state)
{
    static const char *const no[] = {"0.0.0.0",
                                     "0.1.2.3",
                                     "10.0.0.1",
                                     "10.255.255.255",
                                     "100.64.0.1",
                                     "100.127.255.255",
                                     "127.0.0.1",
                                     "127.255.255.254",
                                     "169.254.169.254",
                                     "172.16.0.1",
                                     "172.31.255.255",
                                     "192.0.0.1",
                                     "192.0.2.1",
                                     "192.168.0.1",
                                     "198.18.0.1",
                                     "198.19.255.255",
                                     "198.51.100.1",
                                     "203.0.113.1",
                                     "224.0.0.1",
                                     "239.255.255.255",
                                     "240.0.0.1",
                                     "255.255.255.255",
                                     "::",
                                     "::1",
                                     "::127.0.0.1",
                                     "::ffff:127.0.0.1",
                                     "::ffff:10.0.0.1",
                                     "64:ff9b::7f00:1",
                                     "64:ff9b::a00:1",
                                     "64:ff9b:1::1",
                                     "100::1",
                                     "2001::1",
                                     "2001:1ff::1",
                                     "2001:db8::1",
                                     "2002:7f00:1::1",
                                     "2002:a00:1::1",
                                     "3fff::1",
                                     "4000::1",
                                     "fc00::1",
                                     "fdff::1",
                                     "fe80::1",
                                     "febf::1",
                                     "fec0::1",
                                     "ff02::1",
                                     "ffff::1"};
    static const char *const yes[] = {
        "1.1.1.1",          "9.255.255.255",   "11.0.0.0",   "100.63.255.255",
        "100.128.0.0",      "126.255.255.255", "128.0.0.0",  "169.253.255.255",
        "169.255.0.0",      "172.15.255.255",  "172.32.0.0", "192.167.255.255",
        "192.169.0.0",      "198.17.255.255",  "198.20.0.0", "223.255.255.255",
        "2001:200::1",      "2606:4700::1111", "2a00::1",    "::ffff:1.1.1.1",
        "64:ff9b::101:101", "2002:101:101::1"};

    for (size_t i = 0; i < ARRAY_SIZE(no); i++)
        if (is_public(no[i]))
            fail_msg("%s", no[i]);
    for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
        if (!is_public(yes[i]))
            fail_msg("%s", yes[i]);
}

static void
url__is_checked(void **state)
{
    static const char *const bad[] = {"",
                                      "x",
                                      "//host/",
                                      "ftp://host/",
                                      "file:///etc/passwd",
                                      "gopher://host/",
                                      "http://",

                                      "http://u@host/",
                                      "http://u:p@host/",
                                      "https://:p@host/",
                                      "http://127.0.0.1/",
                                      "http://127.1/",
                                      "http://2130706433/",
                                      "http://0x7f000001/",
                                      "http://0177.0.0.1/",
                                      "http://[::1]/",
                                      "http://[fe80::1%25eth0]/",
                                      "http://[::ffff:10.0.0.1]/",
                                      "http://LOCALHOST:80/",
                                      "http://ho st/",
                                      "http://host\r\nX: y/",
                                      "https:///host/",
                                      "https:/host/",
                                      "https://host:0/",
                                      "https://host:65536/",
                                      "https://localhost./",
                                      "https://a.LocalHost/",
                                      "https://127.1/",
                                      "https://2130706433/",
                                      "https://127\xe3\x80\x82"
                                      "0.0.1/",
                                      "https://\xc3\xa4.example/",
                                      "https://..example/",
                                      "https://-/",
                                      "https://a-.example/",
                                      "https://a..b/",
                                      "javascript:alert(1)"};
    static const char *const good[] = {
        "https://example.com",   "http://example.com:8080/a?b=c",
        "https://1.1.1.1/",      "https://[2606:4700::1111]/hook",
        "HTTPS://EXAMPLE.com./", "https://a_b.xn--4ca.example/?q=://",
        "https://notlocalhost/"};
    struct err e _cleanup_(err_release) = {0};
    char label[100];

    snprintf(label, sizeof(label), "https://%064d.example/", 0);
    assert_true(webhook_check_url(label, false, NULL) < 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (webhook_check_url(bad[i], false, NULL) >= 0)
            fail_msg("%s", bad[i]);
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        if (webhook_check_url(good[i], false, &e) < 0)
            fail_msg("%s: %s", good[i], e.message);
    assert_int_equal(webhook_check_url("http://127.0.0.1/", true, NULL), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sign__is_that_of_the_specification),
        cmocka_unit_test(secret__new_ones_are_good_and_differ),
        cmocka_unit_test(secret__bad_ones_are_refused),
        cmocka_unit_test(body__is_a_cloudevent),
        cmocka_unit_test(address__special_ones_are_not_public),
        cmocka_unit_test(url__is_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
