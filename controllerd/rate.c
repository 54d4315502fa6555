/* rate.c - buckets in a table of fixed size; see rate.h. */
#include <config.h>

#include "controllerd/rate.h"

#include <arpa/inet.h>
#include <string.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/mem.h"

#define SETS 8192 /* a power of two */
#define WAYS 4
#define LOCKS 64

struct slot {
    uint64_t key;    /* 0: free */
    int64_t full_ns; /* when the bucket is full again */
};

struct rate_table {
    int64_t step_ns, burst, window_s;
    uint64_t seed[2];
    pthread_mutex_t locks[LOCKS];
    struct slot slots[SETS][WAYS]; /* the lock of the set */
};

struct rate {
    struct rate_table *tokens, *addresses; /* NULL: no limit */
};

struct rate_table *
rate_table_new(int64_t per_second, int64_t burst)
{
    struct rate_table *t = xnew(struct rate_table);

    t->step_ns = 1000 * US_PER_S / per_second;
    t->burst = burst;
    t->window_s = MAX(burst / per_second, (int64_t)1);
    id_random(t->seed, sizeof(t->seed));
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_init(&t->locks[i], NULL);
    return t;
}

void
rate_table_free(struct rate_table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&t->locks[i]);
    free(t);
}

/* Seeded, so that nobody can choose keys that share a set with another's:
 * FNV-1a, then the finalizer of splitmix64. Never 0. */
static uint64_t
mix(const struct rate_table *t, const void *key, size_t n)
{
    const unsigned char *p = key;
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ t->seed[0];

    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    h ^= t->seed[1];
    h = (h ^ h >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    h = (h ^ h >> 27) * UINT64_C(0x94d049bb133111eb);
    h ^= h >> 31;
    return h ? h : 1;
}

static struct slot *
find(struct slot set[WAYS], uint64_t key)
{
    struct slot *fullest = &set[0];

    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].key == key)
            return &set[i];
        if (set[i].full_ns < fullest->full_ns)
            fullest = &set[i];
    }
    fullest->key = key;
    fullest->full_ns = 0;
    return fullest;
}

static int64_t
seconds_up(int64_t ns)
{
    return (ns + 1000 * US_PER_S - 1) / (1000 * US_PER_S);
}

bool
rate_table_take(struct rate_table *t, const void *key, size_t n, int64_t now_us,
                struct rate_state *ret)
{
    uint64_t h = mix(t, key, n);
    size_t set = h % SETS;
    int64_t now = now_us * 1000, whole = t->burst * t->step_ns;
    pthread_mutex_t *lock = &t->locks[set % LOCKS];

    pthread_mutex_lock(lock);
    struct slot *s = find(t->slots[set], h);
    int64_t full = MAX(s->full_ns, now) + t->step_ns;
    bool ok = full - now <= whole;
    if (ok)
        s->full_ns = full;
    full = MAX(s->full_ns, now);
    pthread_mutex_unlock(lock);
    *ret = (struct rate_state){
        .quota = t->burst,
        .window_s = t->window_s,
        .remaining = (whole - (full - now)) / t->step_ns,
        .reset_s = seconds_up(full - now),
        .retry_s = ok ? 0 : MAX(seconds_up(full + t->step_ns - now - whole), 1),
    };
    return ok;
}

/* ---- calls ---- */

void
rate_start(struct ctl *ctl)
{
    const struct ctl_config *cfg = &ctl->cfg;
    struct rate *r = xnew(struct rate);

    if (cfg->rate_limit)
        r->tokens = rate_table_new(cfg->rate_limit, cfg->rate_limit_burst);
    if (cfg->address_rate_limit)
        r->addresses = rate_table_new(cfg->address_rate_limit,
                                      cfg->address_rate_limit_burst);
    ctl->rate = r;
}

void
rate_free(struct ctl *ctl)
{
    struct rate *r = TAKE_PTR(ctl->rate);

    if (!r)
        return;
    rate_table_free(r->tokens);
    rate_table_free(r->addresses);
    free(r);
}

/* Of IPv6 the /64: whoever has one address of it has all of them. */
static size_t
address_key(const char *remote, unsigned char key[16])
{
    if (inet_pton(AF_INET, remote, key) == 1)
        return 4;
    if (inet_pton(AF_INET6, remote, key) == 1) {
        static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

        return memcmp(key, mapped, sizeof(mapped)) == 0 ? 16 : 8;
    }
    return 0;
}

/* What a joining node asks for is small, and many may join at once. */
static bool
is_free(const struct call *c, int auth)
{
    enum api_route_id id = c->m.route->id;

    return auth >= 0 && (id == ROUTE_JOIN || id == ROUTE_CA);
}

int
rate_check(struct call *c, int auth)
{
    const struct rate *r = c->ctl->rate;
    const char *who = principal_key(&c->who);
    bool known = *who, ok = true;
    unsigned char key[16];

    if (!r || c->m.route->auth == AUTH_NODE || is_free(c, auth))
        return auth;
    if (known && r->tokens)
        ok = rate_table_take(r->tokens, who, strlen(who), clock_mono_us(),
                             &c->rate);
    else if (!known && r->addresses)
        ok = rate_table_take(r->addresses, key, address_key(c->rq->remote, key),
                             clock_mono_us(), &c->rate);
    if (ok)
        return auth;
    COUNT(rate_limited);
    err_release(&c->err);
    c->retry_after_s = c->rate.retry_s;
    return err_set(&c->err, -EAGAIN, "rate_limited",
                   "too many requests %s: slow down, and go on in %lld s",
                   known ? "with this token" : "from this address",
                   (long long)c->rate.retry_s);
}

void
rate_headers(struct call *c)
{
    const struct rate_state *s = &c->rate;
    const char *name = *principal_key(&c->who) ? "token" : "address";

    if (!s->quota)
        return;
    http_add_header(c->rq, "RateLimit-Policy", "\"%s\";q=%lld;w=%lld", name,
                    (long long)s->quota, (long long)s->window_s);
    http_add_header(c->rq, "RateLimit", "\"%s\";r=%lld;t=%lld", name,
                    (long long)s->remaining, (long long)s->reset_s);
}
