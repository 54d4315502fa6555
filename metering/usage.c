/* usage.c - sums over usage intervals; see usage.h. */
#include <config.h>

#include "metering/usage.h"

#include <stdbool.h>
#include <stddef.h>

#define MICROS 1000000u /* of one unit: 6 decimals */
#define S_PER_HOUR 3600u
#define GIB_SHIFT 30

static int add_span(struct meter_usage *u, const struct meter_interval *iv,
                    int64_t span_us);
static unsigned __int128 divide_half_even(unsigned __int128 n,
                                          unsigned __int128 d);
static char *format_micros(unsigned __int128 micros, bool negative,
                           char out[METER_TEXT_MAX]);

int
meter_usage_add(struct meter_usage *u, const struct meter_interval *iv,
                int64_t from_us, int64_t to_us, int64_t now_us)
{
    if (iv->start_us < 0 || iv->end_us < 0 || iv->vcpus < 0 ||
        iv->memory_bytes < 0 || iv->disk_bytes < 0 || from_us > to_us)
        return -EINVAL;
    if (iv->end_us && iv->end_us < iv->start_us)
        return -EINVAL;
    int64_t start = MAX(iv->start_us, from_us);
    int64_t end = MIN(iv->end_us ? iv->end_us : now_us, to_us);
    /* start >= 0, so that the difference cannot overflow. */
    return end > start ? add_span(u, iv, end - start) : 0;
}

int
meter_usage_merge(struct meter_usage *u, const struct meter_usage *other)
{
    struct meter_usage sum;

    if (__builtin_add_overflow(u->running_us, other->running_us,
                               &sum.running_us) ||
        __builtin_add_overflow(u->vcpu_us, other->vcpu_us, &sum.vcpu_us) ||
        __builtin_add_overflow(u->memory_byte_us, other->memory_byte_us,
                               &sum.memory_byte_us) ||
        __builtin_add_overflow(u->disk_byte_us, other->disk_byte_us,
                               &sum.disk_byte_us) ||
        __builtin_add_overflow(u->intervals, other->intervals, &sum.intervals))
        return -EOVERFLOW;
    *u = sum;
    return 0;
}

char *
meter_format_seconds(int64_t us, char out[METER_TEXT_MAX])
{
    uint64_t n = us < 0 ? -(uint64_t)us : (uint64_t)us;

    return format_micros(n, us < 0, out);
}

char *
meter_format_vcpu_hours(unsigned __int128 vcpu_us, char out[METER_TEXT_MAX])
{
    /* Micro-vCPU-hours: a microsecond is a millionth of a second already. */
    return format_micros(divide_half_even(vcpu_us, S_PER_HOUR), false, out);
}

char *
meter_format_gib_hours(unsigned __int128 byte_us, char out[METER_TEXT_MAX])
{
    const unsigned __int128 d = (unsigned __int128)S_PER_HOUR << GIB_SHIFT;

    return format_micros(divide_half_even(byte_us, d), false, out);
}

static int
add_span(struct meter_usage *u, const struct meter_interval *iv,
         int64_t span_us)
{
    /* Each factor is below 2^63: the products fit in 126 bits. */
    const unsigned __int128 us = (unsigned __int128)span_us;
    struct meter_usage one = {
        .running_us = span_us,
        .vcpu_us = us * (uint64_t)iv->vcpus,
        .memory_byte_us = us * (uint64_t)iv->memory_bytes,
        .disk_byte_us = us * (uint64_t)iv->disk_bytes,
        .intervals = 1,
    };

    return meter_usage_merge(u, &one);
}

/* For d below 2^127. */
static unsigned __int128
divide_half_even(unsigned __int128 n, unsigned __int128 d)
{
    unsigned __int128 q = n / d, twice = n % d * 2;

    if (twice > d || (twice == d && (q & 1)))
        q++;
    return q;
}

/* At most 39 digits, a point and a sign: fits METER_TEXT_MAX. */
static char *
format_micros(unsigned __int128 micros, bool negative, char out[METER_TEXT_MAX])
{
    char reversed[METER_TEXT_MAX];
    size_t n = 0, len = 0;

    /* Six decimals and at least one digit before the point. */
    for (; micros > 0 || n < 8; micros /= 10) {
        if (n == 6)
            reversed[n++] = '.';
        reversed[n++] = (char)('0' + (int)(micros % 10));
    }
    if (negative)
        out[len++] = '-';
    while (n > 0)
        out[len++] = reversed[--n];
    out[len] = '\0';
    return out;
}
