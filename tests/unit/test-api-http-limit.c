/* test-api-http-limit.c - what one address may cost. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "api/http_limit.h"
#include "common/clock.h"

#define T0 (INT64_C(1000) * US_PER_S)

static const struct sockaddr *
v4(uint32_t host_order)
{
    static _Thread_local struct sockaddr_in a;

    a = (struct sockaddr_in){.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(host_order)};
    return (const struct sockaddr *)&a;
}

static const struct sockaddr *
v6(const char *text)
{
    static _Thread_local struct sockaddr_in6 a;

    a = (struct sockaddr_in6){.sin6_family = AF_INET6};
    assert_int_equal(inet_pton(AF_INET6, text, &a.sin6_addr), 1);
    return (const struct sockaddr *)&a;
}

static int
take_many(struct http_limit *l, const struct sockaddr *a, int n, int64_t now)
{
    int got = 0;

    for (int i = 0; i < n; i++)
        got += http_limit_take(l, a, HTTP_COST_CONNECTION, now);
    return got;
}

static void
take__gives_a_bucket_then_a_rate(void **state)
{
    struct http_limit *l = http_limit_new(5);

    assert_int_equal(take_many(l, v4(1), 100, T0), 50);
    assert_int_equal(take_many(l, v4(1), 100, T0 + US_PER_S), 5);
    assert_int_equal(take_many(l, v4(1), 100, T0 + US_PER_S * 3 / 2), 2);
    /* The half token was not forgotten. */
    assert_int_equal(take_many(l, v4(1), 100, T0 + 2 * US_PER_S), 3);
    assert_int_equal(take_many(l, v4(1), 100, T0 + 10000 * US_PER_S), 50);
    http_limit_free(l);
}

static void
take__costs_and_addresses_are_apart(void **state)
{
    struct http_limit *l = http_limit_new(1);

    assert_int_equal(take_many(l, v4(1), 100, T0), 10);
    assert_true(http_limit_take(l, v4(1), HTTP_COST_REFUSAL, T0));
    assert_int_equal(take_many(l, v4(2), 100, T0), 10);
    http_limit_free(l);
}

static void
take__ipv6_counts_by_prefix(void **state)
{
    struct http_limit *l = http_limit_new(1);

    assert_int_equal(take_many(l, v6("2001:db8:1:2::1"), 100, T0), 10);
    assert_int_equal(take_many(l, v6("2001:db8:1:2:ffff::9"), 100, T0), 0);
    assert_int_equal(take_many(l, v6("2001:db8:1:3::1"), 100, T0), 10);
    /* The same client by either family. */
    assert_int_equal(take_many(l, v6("::ffff:10.0.0.1"), 100, T0), 10);
    assert_int_equal(take_many(l, v4(0x0a000001), 100, T0), 0);
    assert_int_equal(take_many(l, v6("::1"), 100, T0), 10);
    http_limit_free(l);
}

static void
take__zero_is_no_limit(void **state)
{
    struct http_limit *l = http_limit_new(0);

    assert_int_equal(take_many(l, v4(1), 10000, T0), 10000);
    http_limit_free(l);
}

/* A clock that stands still or goes back gives nothing and breaks nothing. */
static void
take__time_that_goes_back_gives_nothing(void **state)
{
    struct http_limit *l = http_limit_new(5);

    assert_int_equal(take_many(l, v4(1), 100, T0), 50);
    assert_int_equal(take_many(l, v4(1), 100, T0 - 5 * US_PER_S), 0);
    assert_int_equal(take_many(l, v4(1), 100, T0), 0);
    http_limit_free(l);
}

/* More addresses than there is room for: each is served, and who floods all
 * the while stays limited. */
static void
many_addresses__flood_stays_limited(void **state)
{
    struct http_limit *l = http_limit_new(1);
    int got = 0;

    for (uint32_t i = 0; i < 100000; i++) {
        int64_t now = T0 + i;

        assert_true(
            http_limit_take(l, v4(0x0b000000 + i), HTTP_COST_CONNECTION, now));
        got += http_limit_take(l, v4(1), HTTP_COST_CONNECTION, now);
    }
    assert_in_range(got, 10, 11);
    http_limit_free(l);
}

struct crowd {
    struct http_limit *l;
    _Atomic int got;
};

static void *
crowd_main(void *arg)
{
    struct crowd *c = arg;

    atomic_fetch_add(&c->got, take_many(c->l, v4(7), 1000, T0));
    return NULL;
}

static void
threads__share_one_bucket(void **state)
{
    struct crowd c = {.l = http_limit_new(50)};
    pthread_t t[4];

    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, crowd_main, &c), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(atomic_load(&c.got), 500);
    http_limit_free(c.l);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(take__gives_a_bucket_then_a_rate),
        cmocka_unit_test(take__costs_and_addresses_are_apart),
        cmocka_unit_test(take__ipv6_counts_by_prefix),
        cmocka_unit_test(take__zero_is_no_limit),
        cmocka_unit_test(take__time_that_goes_back_gives_nothing),
        cmocka_unit_test(many_addresses__flood_stays_limited),
        cmocka_unit_test(threads__share_one_bucket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
