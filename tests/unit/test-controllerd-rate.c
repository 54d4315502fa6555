/* test-controllerd-rate.c - buckets hold as many calls as they say. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/clock.h"
#include "common/mem.h"
#include "controllerd/rate.h"

#define T0 (1000 * US_PER_S)

static int64_t
take_many(struct rate_table *t, const char *key, int64_t at, int64_t n)
{
    struct rate_state s;
    int64_t got = 0;

    for (int64_t i = 0; i < n; i++)
        got += rate_table_take(t, key, strlen(key), at, &s);
    return got;
}

static void
bucket__has_its_burst_then_its_rate(void **state)
{
    struct rate_table *t = rate_table_new(10, 30);

    assert_int_equal(take_many(t, "a", T0, 100), 30);
    assert_int_equal(take_many(t, "a", T0 + US_PER_S / 20, 100), 0);
    assert_int_equal(take_many(t, "a", T0 + US_PER_S / 10, 100), 1);
    assert_int_equal(take_many(t, "a", T0 + US_PER_S, 100), 9);
    /* Never more than the burst, however long it was quiet. */
    assert_int_equal(take_many(t, "a", T0 + 3600 * US_PER_S, 100), 30);
    rate_table_free(t);
}

static void
bucket__tells_what_is_left_and_when(void **state)
{
    struct rate_table *t = rate_table_new(10, 30);
    struct rate_state s;

    assert_true(rate_table_take(t, "a", 1, T0, &s));
    assert_int_equal(s.quota, 30);
    assert_int_equal(s.window_s, 3);
    assert_int_equal(s.remaining, 29);
    assert_int_equal(s.reset_s, 1);
    take_many(t, "a", T0, 29);
    assert_false(rate_table_take(t, "a", 1, T0, &s));
    assert_int_equal(s.remaining, 0);
    assert_int_equal(s.reset_s, 3);
    assert_int_equal(s.retry_s, 1);
    /* Whoever waits as long as was said gets one. */
    assert_true(rate_table_take(t, "a", 1, T0 + s.retry_s * US_PER_S, &s));
    rate_table_free(t);
}

/* One that is slower than a call in a second says so. */
static void
retry__is_long_enough_for_any_rate(void **state)
{
    static const int64_t rates[] = {1, 3, 7, 1000, 999983, 1000000};

    for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
        struct rate_table *t = rate_table_new(rates[i], 5);
        struct rate_state s;

        take_many(t, "k", T0, 5);
        assert_false(rate_table_take(t, "k", 1, T0, &s));
        assert_true(s.retry_s >= 1);
        assert_true(rate_table_take(t, "k", 1, T0 + s.retry_s * US_PER_S, &s));
        rate_table_free(t);
    }
}

static void
buckets__of_others_are_their_own(void **state)
{
    struct rate_table *t = rate_table_new(1, 4);

    assert_int_equal(take_many(t, "a", T0, 10), 4);
    assert_int_equal(take_many(t, "b", T0, 10), 4);
    assert_int_equal(take_many(t, "ab", T0, 10), 4);
    rate_table_free(t);
}

/* A flood of new keys costs no memory, and hardly anybody his full state: who
 * has the emptiest bucket is the last to be forgotten. */
static void
table__flood_of_keys_forgets_no_offender(void **state)
{
    struct rate_table *t = rate_table_new(1, 4);

    take_many(t, "offender", T0, 10);
    for (int i = 0; i < 200000; i++) {
        char key[16];

        snprintf(key, sizeof(key), "k%d", i);
        assert_int_equal(take_many(t, key, T0, 1), 1);
    }
    assert_int_equal(take_many(t, "offender", T0, 10), 0);
    rate_table_free(t);
}

/* Time that goes back (it cannot, but a bucket must not fill by it). */
static void
bucket__is_not_filled_by_time_going_back(void **state)
{
    struct rate_table *t = rate_table_new(10, 10);

    assert_int_equal(take_many(t, "a", T0, 20), 10);
    assert_int_equal(take_many(t, "a", T0 - 500 * US_PER_S, 20), 0);
    assert_int_equal(take_many(t, "a", T0, 20), 0);
    rate_table_free(t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bucket__has_its_burst_then_its_rate),
        cmocka_unit_test(bucket__tells_what_is_left_and_when),
        cmocka_unit_test(retry__is_long_enough_for_any_rate),
        cmocka_unit_test(buckets__of_others_are_their_own),
        cmocka_unit_test(table__flood_of_keys_forgets_no_offender),
        cmocka_unit_test(bucket__is_not_filled_by_time_going_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
