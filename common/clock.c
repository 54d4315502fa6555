/* clock.c - time in microseconds and its RFC 3339 form; see clock.h. */
#include <config.h>

#include "common/clock.h"

#include <ctype.h>
#include <string.h>
#include <time.h>

/* The years that four digits can say, in seconds since 1970. */
#define YEAR_0_S (-INT64_C(62167219200))
#define YEAR_10000_S INT64_C(253402300800)

int64_t
clock_now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

int64_t
clock_mono_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

/* Days since 1970-01-01 of a proleptic Gregorian date, and back: Howard
 * Hinnant, "chrono-Compatible Low-Level Date Algorithms". */
static int64_t
days_from_civil(int64_t y, unsigned m, unsigned d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    unsigned yoe = (unsigned)(y - era * 400);
    unsigned doy = (153 * (m + (m > 2 ? -3u : 9u)) + 2) / 5 + d - 1;
    unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

    return era * 146097 + (int64_t)doe - 719468;
}

static void
civil_from_days(int64_t z, int64_t *y, unsigned *m, unsigned *d)
{
    z += 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    unsigned doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;

    *d = doy - (153 * mp + 2) / 5 + 1;
    *m = mp < 10 ? mp + 3 : mp - 9;
    *y = (int64_t)yoe + era * 400 + (*m <= 2);
}

static char *
put_digits(char *p, unsigned v, int width)
{
    for (int i = width - 1; i >= 0; i--) {
        p[i] = (char)('0' + v % 10);
        v /= 10;
    }
    return p + width;
}

char *
clock_format(int64_t us, char *out)
{
    int64_t s = us / US_PER_S - (us % US_PER_S < 0); /* rounded down */
    int64_t days = s >= 0 ? s / 86400 : (s - 86399) / 86400, y;
    unsigned frac = (unsigned)((us % US_PER_S + US_PER_S) % US_PER_S);
    unsigned sod = (unsigned)(s - days * 86400), m, d;
    char *p = out;

    civil_from_days(days, &y, &m, &d);
    p = put_digits(p, (unsigned)y, 4);
    *p++ = '-';
    p = put_digits(p, m, 2);
    *p++ = '-';
    p = put_digits(p, d, 2);
    *p++ = 'T';
    p = put_digits(p, sod / 3600, 2);
    *p++ = ':';
    p = put_digits(p, sod / 60 % 60, 2);
    *p++ = ':';
    p = put_digits(p, sod % 60, 2);
    *p++ = '.';
    p = put_digits(p, frac, 6);
    *p++ = 'Z';
    *p = '\0';
    return out;
}

static int
digits(const char **p, int n, unsigned *ret)
{
    unsigned v = 0;

    for (int i = 0; i < n; i++) {
        if (!isdigit((unsigned char)**p))
            return -EINVAL;
        v = v * 10 + (unsigned)(*(*p)++ - '0');
    }
    *ret = v;
    return 0;
}

static int
expect(const char **p, const char *one_of)
{
    if (!**p || !strchr(one_of, **p))
        return -EINVAL;
    (*p)++;
    return 0;
}

int
clock_parse(const char *s, int64_t *ret_us)
{
    static const unsigned char month_days[] = {31, 28, 31, 30, 31, 30,
                                               31, 31, 30, 31, 30, 31};
    unsigned y, mo, d, h, mi, sec, oh = 0, om = 0;
    int64_t frac = 0, sign = 0;
    const char *p = s;

    if (digits(&p, 4, &y) || expect(&p, "-") || digits(&p, 2, &mo) ||
        expect(&p, "-") || digits(&p, 2, &d) || expect(&p, "Tt ") ||
        digits(&p, 2, &h) || expect(&p, ":") || digits(&p, 2, &mi) ||
        expect(&p, ":") || digits(&p, 2, &sec))
        return -EINVAL;
    if (*p == '.') {
        int64_t scale = 100000;
        int n = 0;

        for (p++; isdigit((unsigned char)*p); p++, n++, scale /= 10)
            frac += scale * (*p - '0');
        if (n == 0 || n > 9)
            return -EINVAL;
    }
    if (*p == 'Z' || *p == 'z') {
        p++;
    } else {
        sign = *p == '-' ? -1 : 1;
        if (expect(&p, "+-") || digits(&p, 2, &oh) || expect(&p, ":") ||
            digits(&p, 2, &om) || oh > 23 || om > 59)
            return -EINVAL;
    }
    int leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    if (*p || mo < 1 || mo > 12 || d < 1 ||
        d > month_days[mo - 1] + (unsigned)(mo == 2 && leap) || h > 23 ||
        mi > 59 || sec > 60)
        return -EINVAL;
    int64_t t = days_from_civil(y, mo, d) * 86400 + h * 3600 + mi * 60 + sec;
    t -= sign * (int64_t)(oh * 3600 + om * 60);
    if (t < YEAR_0_S || t >= YEAR_10000_S) /* clock_format() cannot say it */
        return -EINVAL;
    *ret_us = t * US_PER_S + frac;
    return 0;
}

int
clock_parse_duration(const char *s, int64_t *ret_us)
{
    static const struct {
        const char *unit;
        int64_t us;
    } units[] = {{"", US_PER_S},         {"ms", 1000},
                 {"s", US_PER_S},        {"m", 60 * US_PER_S},
                 {"h", 3600 * US_PER_S}, {"d", 86400 * US_PER_S}};
    int64_t v = 0;
    const char *p = s;

    if (!isdigit((unsigned char)*p))
        return -EINVAL;
    for (; isdigit((unsigned char)*p); p++) {
        v = v * 10 + (*p - '0');
        if (v > INT64_C(1000000000000))
            return -EINVAL;
    }
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (strcmp(p, units[i].unit) != 0)
            continue;
        if (v > 3650 * 86400 * US_PER_S / units[i].us)
            return -EINVAL;
        *ret_us = v * units[i].us;
        return 0;
    }
    return -EINVAL;
}
