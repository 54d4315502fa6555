/* test-metering-usage.c - sums over intervals, and their text. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "metering/usage.h"

#define GIB (INT64_C(1) << 30)
#define HOUR_US (INT64_C(3600) * 1000000)
#define U128(n) ((unsigned __int128)(n))

static uint64_t
next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static int64_t
below(uint64_t *state, int64_t n)
{
    return (int64_t)(next_random(state) % (uint64_t)n);
}

static uint64_t
seed(void)
{
    const char *s = getenv("TEST_SEED");
    uint64_t v = s ? strtoull(s, NULL, 0) : 20261122;

    print_message("TEST_SEED=%llu\n", (unsigned long long)v);
    return v;
}

static void
add__only_the_part_in_the_window_counts(void **state)
{
    static const struct {
        int64_t start, end, from, to, now, expected;
    } cases[] = {
        {100, 200, 0, 1000, 1000, 100},  /* inside */
        {100, 200, 150, 1000, 1000, 50}, /* began before */
        {100, 200, 0, 150, 1000, 50},    /* ended after */
        {100, 200, 120, 130, 1000, 10},  /* covers the window */
        {100, 200, 200, 300, 1000, 0},   /* the end is not part of it */
        {100, 200, 0, 100, 1000, 0},
        {100, 200, 150, 150, 1000, 0},
        {100, 100, 0, 1000, 1000, 0},
        {100, 0, 0, 1000, 400, 300},   /* open: until now */
        {100, 0, 0, 300, 400, 200},    /* or the window's end */
        {100, 0, 0, 1000, 50, 0},      /* the clock went back */
        {100, 200, 0, 1000, 120, 100}, /* closed: whatever now is */
        {100, 200, INT64_MIN, INT64_MAX, 0, 100},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct meter_interval iv = {cases[i].start, cases[i].end, 2, 3, 5};
        struct meter_usage u = {0};

        assert_int_equal(
            meter_usage_add(&u, &iv, cases[i].from, cases[i].to, cases[i].now),
            0);
        assert_int_equal(u.running_us, cases[i].expected);
        assert_true(u.vcpu_us == U128(2 * cases[i].expected));
        assert_true(u.memory_byte_us == U128(3 * cases[i].expected));
        assert_true(u.disk_byte_us == U128(5 * cases[i].expected));
        assert_int_equal(u.intervals, cases[i].expected > 0);
    }
}

static void
add__nonsense_is_refused_and_counts_nothing(void **state)
{
    static const struct meter_interval bad[] = {
        {-1, 10, 1, 1, 1},        {5, 4, 1, 1, 1},   {5, -1, 1, 1, 1},
        {5, INT64_MIN, 1, 1, 1},  {5, 10, -1, 1, 1}, {5, 10, 1, -1, 1},
        {5, 10, 1, 1, INT64_MIN},
    };
    const struct meter_interval good = {5, 10, 1, 1, 1};
    struct meter_usage u = {0};

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(meter_usage_add(&u, &bad[i], 0, 100, 100), -EINVAL);
    assert_int_equal(meter_usage_add(&u, &good, 100, 99, 100), -EINVAL);
    assert_int_equal(u.running_us, 0);
    assert_int_equal(u.intervals, 0);
}

static void
add__overflow_is_refused_and_counts_nothing(void **state)
{
    const struct meter_interval huge = {0, INT64_MAX, INT64_MAX, INT64_MAX,
                                        INT64_MAX};
    const struct meter_interval one = {0, 1, 1, 1, 1};
    struct meter_usage u = {0};

    assert_int_equal(meter_usage_add(&u, &huge, 0, INT64_MAX, 1), 0);
    assert_int_equal(meter_usage_add(&u, &one, 0, INT64_MAX, 1), -EOVERFLOW);
    assert_int_equal(u.running_us, INT64_MAX);
    assert_true(u.vcpu_us == U128(INT64_MAX) * INT64_MAX);
    assert_int_equal(u.intervals, 1);

    u = (struct meter_usage){.disk_byte_us = ~U128(0)};
    assert_int_equal(meter_usage_add(&u, &one, 0, 100, 100), -EOVERFLOW);
    assert_int_equal(u.running_us, 0);
    assert_true(u.vcpu_us == 0 && u.memory_byte_us == 0);
}

/* Each microsecond of the window looked at by itself. */
static void
add__random_rows_agree_with_counting(void **state)
{
    uint64_t rnd = seed();

    for (int round = 0; round < 3000; round++) {
        int64_t from = below(&rnd, 200), to = from + below(&rnd, 200);
        int64_t now = below(&rnd, 400), running = 0, cut;
        unsigned __int128 vcpu = 0, memory = 0, disk = 0;
        struct meter_usage whole = {0}, left = {0}, right = {0};

        cut = from + below(&rnd, to - from + 1);
        for (int k = 0; k < 8; k++) {
            struct meter_interval iv = {
                .start_us = below(&rnd, 300),
                .vcpus = below(&rnd, 64),
                .memory_bytes = (int64_t)(next_random(&rnd) >> 1),
                .disk_bytes = (int64_t)(next_random(&rnd) >> 1),
            };

            if (below(&rnd, 3))
                iv.end_us = iv.start_us + below(&rnd, 200);
            for (int64_t t = from; t < to; t++) {
                bool ended = iv.end_us ? t >= iv.end_us : t >= now;

                if (t < iv.start_us || ended)
                    continue;
                running++;
                vcpu += (uint64_t)iv.vcpus;
                memory += (uint64_t)iv.memory_bytes;
                disk += (uint64_t)iv.disk_bytes;
            }
            assert_int_equal(meter_usage_add(&whole, &iv, from, to, now), 0);
            assert_int_equal(meter_usage_add(&left, &iv, from, cut, now), 0);
            assert_int_equal(meter_usage_add(&right, &iv, cut, to, now), 0);
        }
        assert_int_equal(whole.running_us, running);
        assert_true(whole.vcpu_us == vcpu);
        assert_true(whole.memory_byte_us == memory);
        assert_true(whole.disk_byte_us == disk);
        /* Cutting the window anywhere changes no sum. */
        assert_int_equal(meter_usage_merge(&left, &right), 0);
        assert_int_equal(left.running_us, running);
        assert_true(left.vcpu_us == vcpu);
        assert_true(left.memory_byte_us == memory);
        assert_true(left.disk_byte_us == disk);
    }
}

static void
format_seconds__exact(void **state)
{
    char out[METER_TEXT_MAX];

    assert_string_equal(meter_format_seconds(0, out), "0.000000");
    assert_string_equal(meter_format_seconds(1, out), "0.000001");
    assert_string_equal(meter_format_seconds(999999, out), "0.999999");
    assert_string_equal(meter_format_seconds(12345678, out), "12.345678");
    assert_string_equal(meter_format_seconds(-1500000, out), "-1.500000");
    assert_string_equal(meter_format_seconds(INT64_MAX, out),
                        "9223372036854.775807");
    assert_string_equal(meter_format_seconds(INT64_MIN, out),
                        "-9223372036854.775808");
}

static void
format_vcpu_hours__half_goes_to_even(void **state)
{
    static const struct {
        uint64_t vcpu_us;
        const char *text;
    } cases[] = {
        {0, "0.000000"},
        {1799, "0.000000"},
        {1800, "0.000000"}, /* half, down to even */
        {1801, "0.000001"},
        {5399, "0.000001"},
        {5400, "0.000002"}, /* half, up to even */
        {9000, "0.000002"}, /* half, down to even */
        {9001, "0.000003"},
        {HOUR_US, "1.000000"},
        {HOUR_US * 3 / 2, "1.500000"},
    };
    char out[METER_TEXT_MAX];

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_string_equal(meter_format_vcpu_hours(cases[i].vcpu_us, out),
                            cases[i].text);
    /* The largest: (2^128 - 1) / 3600. */
    assert_string_equal(meter_format_vcpu_hours(~U128(0), out),
                        "94522879700260684295381835397.713392");
}

static void
format_gib_hours__half_goes_to_even(void **state)
{
    const unsigned __int128 unit = U128(HOUR_US) << 30;
    const unsigned __int128 micro = U128(3600) << 30;
    char out[METER_TEXT_MAX];

    assert_string_equal(meter_format_gib_hours(0, out), "0.000000");
    assert_string_equal(meter_format_gib_hours(unit, out), "1.000000");
    assert_string_equal(meter_format_gib_hours(unit * 720 / 2, out),
                        "360.000000");
    assert_string_equal(meter_format_gib_hours(micro / 2, out), "0.000000");
    assert_string_equal(meter_format_gib_hours(micro / 2 + 1, out), "0.000001");
    assert_string_equal(meter_format_gib_hours(micro * 3 / 2, out), "0.000002");
    assert_string_equal(meter_format_gib_hours(micro * 3 / 2 - 1, out),
                        "0.000001");
}

static void
usage__a_month_of_an_instance(void **state)
{
    /* 2 vCPU and 4 GiB for 30 days, and a byte and a microsecond over. */
    const struct meter_interval iv = {
        .start_us = 1000,
        .end_us = 1000 + 720 * HOUR_US + 1,
        .vcpus = 2,
        .memory_bytes = 4 * GIB + 1,
        .disk_bytes = 0,
    };
    struct meter_usage u = {0};
    char out[METER_TEXT_MAX];

    assert_int_equal(meter_usage_add(&u, &iv, 0, INT64_MAX, 0), 0);
    assert_string_equal(meter_format_seconds(u.running_us, out),
                        "2592000.000001");
    assert_string_equal(meter_format_vcpu_hours(u.vcpu_us, out), "1440.000000");
    assert_string_equal(meter_format_gib_hours(u.memory_byte_us, out),
                        "2880.000001");
    assert_string_equal(meter_format_gib_hours(u.disk_byte_us, out),
                        "0.000000");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(add__only_the_part_in_the_window_counts),
        cmocka_unit_test(add__nonsense_is_refused_and_counts_nothing),
        cmocka_unit_test(add__overflow_is_refused_and_counts_nothing),
        cmocka_unit_test(add__random_rows_agree_with_counting),
        cmocka_unit_test(format_seconds__exact),
        cmocka_unit_test(format_vcpu_hours__half_goes_to_even),
        cmocka_unit_test(format_gib_hours__half_goes_to_even),
        cmocka_unit_test(usage__a_month_of_an_instance),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
