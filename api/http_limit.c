/* http_limit.c - what one address may cost; see http_limit.h. */
#include <config.h>

#include "api/http_limit.h"

#include <netinet/in.h>
#include <pthread.h>
#include <string.h>

#include "common/clock.h"
#include "common/id.h"
#include "common/mem.h"

#define SETS 1024
#define WAYS 8

struct entry {
    uint64_t who; /* 0: free */
    int64_t seen_us;
    int64_t tokens[HTTP_COSTS]; /* in millionths */
};

struct http_limit {
    pthread_mutex_t lock;
    int64_t per_second, full; /* millionths */
    uint64_t seed; /* so that nobody can choose whose set is pressed */
    struct entry set[SETS][WAYS]; /* lock */
};

struct http_limit *
http_limit_new(int64_t per_second)
{
    struct http_limit *l = xnew(struct http_limit);

    pthread_mutex_init(&l->lock, NULL);
    l->per_second = per_second;
    l->full = per_second * HTTP_LIMIT_SECONDS * US_PER_S;
    id_random(&l->seed, sizeof(l->seed));
    return l;
}

void
http_limit_free(struct http_limit *l)
{
    if (!l)
        return;
    pthread_mutex_destroy(&l->lock);
    free(l);
}

/* IPv4 addresses keep clear of IPv6 prefixes, which are never zero in their
 * upper half. */
uint64_t
http_limit_who(const struct sockaddr *addr)
{
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)addr;
    uint32_t v4;
    uint64_t v6;

    if (addr->sa_family == AF_INET)
        return (uint64_t)((const struct sockaddr_in *)addr)->sin_addr.s_addr
                   << 1 |
               1;
    if (addr->sa_family != AF_INET6)
        return 0;
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
        memcpy(&v4, in6->sin6_addr.s6_addr + 12, sizeof(v4));
        return (uint64_t)v4 << 1 | 1;
    }
    memcpy(&v6, in6->sin6_addr.s6_addr, sizeof(v6));
    return v6 ? v6 : 1;
}

/* The finalizer of SplitMix64 (Steele, Lea, Flood, 2014). */
static uint64_t
mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* The address's entry; a new one takes the place of the longest silent. */
static struct entry *
entry_of(struct http_limit *l, uint64_t who, int64_t now_us)
{
    struct entry *set = l->set[mix(who ^ l->seed) % SETS], *oldest = set;

    for (int i = 0; i < WAYS; i++) {
        if (set[i].who == who)
            return &set[i];
        if (set[i].seen_us < oldest->seen_us)
            oldest = &set[i];
    }
    *oldest = (struct entry){.who = who, .seen_us = now_us};
    for (int i = 0; i < HTTP_COSTS; i++)
        oldest->tokens[i] = l->full;
    return oldest;
}

bool
http_limit_take(struct http_limit *l, const struct sockaddr *addr,
                enum http_cost cost, int64_t now_us)
{
    uint64_t who = http_limit_who(addr);

    if (!l->per_second || !who)
        return true;
    pthread_mutex_lock(&l->lock);
    struct entry *e = entry_of(l, who, now_us);
    /* Longer silence fills no more than the bucket, and cannot overflow. */
    int64_t silent_us = MIN(now_us - e->seen_us, HTTP_LIMIT_SECONDS * US_PER_S);
    for (int i = 0; i < HTTP_COSTS && silent_us > 0; i++) {
        int64_t filled = e->tokens[i] + silent_us * l->per_second;

        e->tokens[i] = MIN(filled, l->full);
    }
    e->seen_us = MAX(e->seen_us, now_us);
    bool ok = e->tokens[cost] >= US_PER_S;
    if (ok)
        e->tokens[cost] -= US_PER_S;
    pthread_mutex_unlock(&l->lock);
    return ok;
}
