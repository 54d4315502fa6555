/* test-vmm-rate.c - token buckets, with a clock of our own. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hypervisor-backend/vmm/rate.h"

#define S UINT64_C(1000000000)

static void
none__never_waits(void **state)
{
    struct rate r;

    (void)state;
    rate_init(&r, &(struct rate_limits){0}, 0);
    assert_false(rate_limited(&r));
    rate_charge(&r, UINT64_MAX, UINT64_MAX);
    assert_int_equal(rate_wait_ns(&r, 0), 0);
}

static void
burst__passes_then_waits(void **state)
{
    struct rate r;

    (void)state;
    rate_init(&r, &(struct rate_limits){.ops_per_s = 10, .ops_burst = 3}, S);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(rate_wait_ns(&r, S), 0);
        rate_charge(&r, 1, 4096);
    }
    assert_int_equal(rate_wait_ns(&r, S), S / 10);
    assert_int_equal(rate_wait_ns(&r, S + S / 10 - 1), 1);
    assert_int_equal(rate_wait_ns(&r, S + S / 10), 0);
}

static void
large__operation_is_paid_back(void **state)
{
    struct rate r;

    (void)state;
    rate_init(&r, &(struct rate_limits){.bytes_per_s = 1000}, 0);
    assert_int_equal(rate_wait_ns(&r, 0), 0);
    rate_charge(&r, 1, 5000);
    assert_int_equal(rate_wait_ns(&r, 0), 4 * S + S / 1000);
    assert_int_equal(rate_wait_ns(&r, 4 * S + S / 1000), 0);
}

static void
long_run__keeps_the_rate(void **state)
{
    /* A rate that does not divide a second, asked at odd times. */
    struct rate r;
    uint64_t now = 0, passed = 0;

    (void)state;
    rate_init(&r, &(struct rate_limits){.ops_per_s = 7, .ops_burst = 1}, 0);
    while (now < 1000 * S) {
        uint64_t wait = rate_wait_ns(&r, now);

        if (wait) {
            now += wait / 3 + 1;
            continue;
        }
        passed++;
        rate_charge(&r, 1, 0);
    }
    assert_in_range(passed, 6999, 7002);
}

static void
idle__fills_to_burst_only(void **state)
{
    struct rate r;
    unsigned n = 0;

    (void)state;
    rate_init(&r, &(struct rate_limits){.ops_per_s = 100, .ops_burst = 5}, 0);
    while (rate_wait_ns(&r, UINT64_C(1) << 60) == 0) {
        rate_charge(&r, 1, 0);
        n++;
    }
    assert_int_equal(n, 5);
}

static void
clock__going_back_changes_nothing(void **state)
{
    struct rate r;

    (void)state;
    rate_init(&r, &(struct rate_limits){.ops_per_s = 1, .ops_burst = 1}, 5 * S);
    rate_charge(&r, 1, 0);
    assert_int_equal(rate_wait_ns(&r, 0), S);
    assert_int_equal(rate_wait_ns(&r, 6 * S), 0);
}

static void
extremes__do_not_overflow(void **state)
{
    struct rate_limits l = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
    struct rate r;

    (void)state;
    rate_init(&r, &l, 0);
    for (unsigned i = 0; i < 10; i++)
        rate_charge(&r, UINT64_MAX, UINT64_MAX);
    assert_true(rate_wait_ns(&r, 1) > 0);
    assert_int_equal(rate_wait_ns(&r, UINT64_MAX), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(none__never_waits),
        cmocka_unit_test(burst__passes_then_waits),
        cmocka_unit_test(large__operation_is_paid_back),
        cmocka_unit_test(long_run__keeps_the_rate),
        cmocka_unit_test(idle__fills_to_burst_only),
        cmocka_unit_test(clock__going_back_changes_nothing),
        cmocka_unit_test(extremes__do_not_overflow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
