/* rtc.c - CMOS clock; see rtc.h.
 * All fields of one reading must belong to one second: the first field that
 * is read takes the time, and it stays until register A is read (drivers look
 * there for "update in progress" before each reading) or a second went by. */
#include <config.h>

#include "hypervisor-backend/vmm/rtc.h"

#include <pthread.h>
#include <time.h>

#include "common/clock.h"
#include "common/mem.h"

enum {
    REG_SECONDS = 0,
    REG_MINUTES = 2,
    REG_HOURS = 4,
    REG_WEEKDAY = 6,
    REG_DAY = 7,
    REG_MONTH = 8,
    REG_YEAR = 9,
    REG_A = 10,
    REG_B = 11,
    REG_C = 12,
    REG_D = 13,
    REG_CENTURY = 0x32,
    A_VALUE = 0x26, /* 32768 Hz, no update under way */
    B_24H = 0x02,
    B_BINARY = 0x04,
    D_VALID = 0x80,
};

struct rtc {
    int64_t (*now_us)(void);
    pthread_mutex_t lock;
    uint8_t index, b, memory[128];
    int64_t taken_us; /* of the time shown; 0: none */
};

struct rtc *
rtc_new(int64_t (*now_us)(void))
{
    struct rtc *r = xnew(struct rtc);

    r->now_us = now_us ? now_us : clock_now_us;
    r->b = B_24H;
    pthread_mutex_init(&r->lock, NULL);
    return r;
}

void
rtc_free(struct rtc *r)
{
    if (!r)
        return;
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static uint8_t
digits(const struct rtc *r, int v)
{
    return (uint8_t)(r->b & B_BINARY ? v : (v / 10) << 4 | v % 10);
}

static uint8_t
read_time(struct rtc *r)
{
    int64_t now = r->now_us();
    struct tm tm;
    time_t t;

    if (r->taken_us == 0 || now < r->taken_us || now - r->taken_us > US_PER_S)
        r->taken_us = now;
    t = (time_t)(r->taken_us / US_PER_S);
    if (!gmtime_r(&t, &tm))
        return 0;
    switch (r->index) {
    case REG_SECONDS:
        return digits(r, tm.tm_sec);
    case REG_MINUTES:
        return digits(r, tm.tm_min);
    case REG_HOURS:
        if (r->b & B_24H)
            return digits(r, tm.tm_hour);
        return (uint8_t)(digits(r, tm.tm_hour % 12 ? tm.tm_hour % 12 : 12) |
                         (tm.tm_hour >= 12 ? 0x80 : 0));
    case REG_WEEKDAY:
        return digits(r, tm.tm_wday + 1);
    case REG_DAY:
        return digits(r, tm.tm_mday);
    case REG_MONTH:
        return digits(r, tm.tm_mon + 1);
    case REG_YEAR:
        return digits(r, tm.tm_year % 100);
    default:
        return digits(r, (tm.tm_year + 1900) / 100);
    }
}

static uint64_t
rtc_read(void *dev, uint64_t offset, unsigned size)
{
    struct rtc *r = dev;
    uint8_t v;

    if (offset == 0)
        return 0xff; /* the index is write-only */
    pthread_mutex_lock(&r->lock);
    switch (r->index) {
    case REG_SECONDS:
    case REG_MINUTES:
    case REG_HOURS:
    case REG_WEEKDAY:
    case REG_DAY:
    case REG_MONTH:
    case REG_YEAR:
    case REG_CENTURY:
        v = read_time(r);
        break;
    case REG_A:
        r->taken_us = 0;
        v = A_VALUE;
        break;
    case REG_B:
        v = r->b;
        break;
    case REG_C:
        v = 0;
        break;
    case REG_D:
        v = D_VALID;
        break;
    default:
        v = r->memory[r->index];
    }
    pthread_mutex_unlock(&r->lock);
    return v;
}

static void
rtc_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct rtc *r = dev;

    pthread_mutex_lock(&r->lock);
    if (offset == 0)
        r->index = value & 0x7f; /* bit 7 masks NMIs: not here */
    else if (r->index == REG_B)
        r->b = value & (B_24H | B_BINARY);
    else if (r->index > REG_D && r->index != REG_CENTURY)
        r->memory[r->index] = (uint8_t)value;
    /* The host's clock is not the guest's to set. */
    pthread_mutex_unlock(&r->lock);
}

const struct bus_ops rtc_bus_ops = {.name = "rtc",
                                    .read = rtc_read,
                                    .write = rtc_write,
                                    .min_size = 1,
                                    .max_size = 1};
