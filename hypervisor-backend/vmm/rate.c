/* rate.c - token buckets; see rate.h.
 * Time comes in as an argument, so tests need no clock. */
#include <config.h>

#include "hypervisor-backend/vmm/rate.h"

#include <time.h>

#include "common/cleanup.h"

#define NS_PER_S UINT64_C(1000000000)
/* Keeps level + refill and level - charge far from overflow. */
#define MAX_TOKENS ((uint64_t)INT64_MAX / 4)

uint64_t
rate_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void
bucket_init(struct rate_bucket *b, uint64_t per_s, uint64_t burst, uint64_t now)
{
    *b = (struct rate_bucket){.per_s = MIN(per_s, MAX_TOKENS),
                              .burst = MIN(burst ? burst : per_s, MAX_TOKENS),
                              .last_ns = now};
    b->level = (int64_t)b->burst;
}

void
rate_init(struct rate *r, const struct rate_limits *l, uint64_t now)
{
    bucket_init(&r->ops, l->ops_per_s, l->ops_burst, now);
    bucket_init(&r->bytes, l->bytes_per_s, l->bytes_burst, now);
}

bool
rate_limited(const struct rate *r)
{
    return r->ops.per_s || r->bytes.per_s;
}

static void
refill(struct rate_bucket *b, uint64_t now)
{
    unsigned __int128 sum;
    uint64_t add;

    if (now <= b->last_ns)
        return;
    sum = (unsigned __int128)b->per_s * (now - b->last_ns) + b->rest;
    b->last_ns = now;
    b->rest = (uint64_t)(sum % NS_PER_S);
    sum /= NS_PER_S;
    add = sum > MAX_TOKENS ? MAX_TOKENS : (uint64_t)sum;
    if (b->level + (int64_t)add >= (int64_t)b->burst) {
        b->level = (int64_t)b->burst;
        b->rest = 0;
    } else {
        b->level += (int64_t)add;
    }
}

static uint64_t
bucket_wait(struct rate_bucket *b, uint64_t now)
{
    unsigned __int128 need;

    if (!b->per_s)
        return 0;
    refill(b, now);
    if (b->level > 0)
        return 0;
    need = ((unsigned __int128)(1 - b->level) * NS_PER_S - b->rest + b->per_s -
            1) /
           b->per_s;
    return need > UINT64_MAX ? UINT64_MAX : (uint64_t)need;
}

uint64_t
rate_wait_ns(struct rate *r, uint64_t now)
{
    uint64_t a = bucket_wait(&r->ops, now), b = bucket_wait(&r->bytes, now);

    return MAX(a, b);
}

static void
charge(struct rate_bucket *b, uint64_t n)
{
    if (!b->per_s)
        return;
    b->level -= (int64_t)MIN(n, MAX_TOKENS);
    if (b->level < -(int64_t)MAX_TOKENS)
        b->level = -(int64_t)MAX_TOKENS;
}

void
rate_charge(struct rate *r, uint64_t ops, uint64_t bytes)
{
    charge(&r->ops, ops);
    charge(&r->bytes, bytes);
}
