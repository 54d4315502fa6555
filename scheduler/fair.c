/* fair.c - who is served next when there is not enough; see plan.h. */
#include <config.h>

#include "scheduler/plan.h"

#include <inttypes.h>

#include "common/mem.h"
#include "scheduler/sched-private.h"

#define SHARE_MAX ((unsigned __int128)-1)

struct queue { /* of a tenant */
    unsigned __int128 share;
    struct sched_vector used; /* INT64_MAX: more */
    size_t first, last;       /* of waiting, + 1; 0: none */
};

struct fair {
    const struct sched_tenant *tenants;
    struct sched_vector total;
    struct queue *queues;
    size_t *next; /* of waiting, + 1 */
    size_t *heap; /* tenants, the one with the least share on top */
    size_t n;
};

static int check(const struct sched_resources *total,
                 const struct sched_tenant *tenants, size_t n_tenants,
                 const struct sched_waiting *waiting, size_t n_waiting,
                 struct err *reterr);
static unsigned __int128 share_of(const struct fair *f, size_t tenant);
static bool before(const struct fair *f, size_t a, size_t b);
static void sink(struct fair *f, size_t i);

int
sched_fair_order(const struct sched_resources *total,
                 const struct sched_tenant *tenants, size_t n_tenants,
                 const struct sched_waiting *waiting, size_t n_waiting,
                 size_t *ret_order, struct err *reterr)
{
    struct queue *queues _cleanup_(freep) = NULL;
    size_t *next _cleanup_(freep) = NULL, *heap _cleanup_(freep) = NULL;

    int r = check(total, tenants, n_tenants, waiting, n_waiting, reterr);
    if (r < 0)
        return r;
    struct fair f = {
        .tenants = tenants,
        .total = sched_vector(total),
        .queues = queues = xcalloc(n_tenants + 1, sizeof(*queues)),
        .next = next = xcalloc(n_waiting + 1, sizeof(*next)),
        .heap = heap = xcalloc(n_tenants + 1, sizeof(*heap)),
    };
    for (size_t i = 0; i < n_waiting; i++) {
        struct queue *q = &queues[waiting[i].tenant];

        *(q->last ? &next[q->last - 1] : &q->first) = i + 1;
        q->last = i + 1;
    }
    for (size_t t = 0; t < n_tenants; t++) {
        queues[t].used = sched_vector(&tenants[t].used);
        queues[t].share = share_of(&f, t);
        if (queues[t].first)
            heap[f.n++] = t;
    }
    for (size_t i = f.n / 2; i-- > 0;)
        sink(&f, i);
    for (size_t i = 0; i < n_waiting; i++) {
        struct queue *q = &queues[heap[0]];
        struct sched_vector need = sched_vector(&waiting[q->first - 1].need);

        ret_order[i] = q->first - 1;
        q->first = next[q->first - 1];
        for (int d = 0; d < SCHED_DIMS; d++)
            if (__builtin_add_overflow(q->used.v[d], need.v[d], &q->used.v[d]))
                q->used.v[d] = INT64_MAX;
        q->share = share_of(&f, heap[0]);
        if (!q->first)
            heap[0] = heap[--f.n];
        sink(&f, 0);
    }
    return 0;
}

static int
check(const struct sched_resources *total, const struct sched_tenant *tenants,
      size_t n_tenants, const struct sched_waiting *waiting, size_t n_waiting,
      struct err *reterr)
{
    char at[64];

    int r = sched_resources_check(total, "/total", reterr);
    if (n_tenants > SCHED_TENANTS_MAX || n_waiting > SCHED_TENANTS_MAX)
        return err_set(reterr, -E2BIG, "too_many",
                       "at most %d tenants and %d waiting", SCHED_TENANTS_MAX,
                       SCHED_TENANTS_MAX);
    for (size_t i = 0; i < n_tenants; i++) {
        snprintf(at, sizeof(at), "/tenants/%zu/used", i);
        if (sched_resources_check(&tenants[i].used, at, reterr) < 0)
            r = -EINVAL;
        snprintf(at, sizeof(at), "/tenants/%zu/weight", i);
        if (tenants[i].weight < 1)
            r = err_field(reterr, at, "range",
                          "is %" PRId64 ", must be 1 or more",
                          tenants[i].weight);
    }
    for (size_t i = 0; i < n_waiting; i++) {
        snprintf(at, sizeof(at), "/waiting/%zu/need", i);
        if (sched_resources_check(&waiting[i].need, at, reterr) < 0)
            r = -EINVAL;
        snprintf(at, sizeof(at), "/waiting/%zu/tenant", i);
        if (waiting[i].tenant >= n_tenants)
            r = err_field(reterr, at, "range", "is %zu of %zu tenants",
                          waiting[i].tenant, n_tenants);
    }
    return r;
}

/* In steps of 2^-62 / weight; of a resource of which there is none, any use is
 * more than everything. */
static unsigned __int128
share_of(const struct fair *f, size_t tenant)
{
    unsigned __int128 most = 0;

    for (int d = 0; d < SCHED_DIMS; d++) {
        int64_t used = f->queues[tenant].used.v[d];

        if (used == 0)
            continue;
        if (f->total.v[d] == 0)
            return SHARE_MAX;
        unsigned __int128 share =
            ((unsigned __int128)used << 62) / (uint64_t)f->total.v[d];
        most = MAX(most, share);
    }
    return most / (uint64_t)f->tenants[tenant].weight;
}

static bool
before(const struct fair *f, size_t a, size_t b)
{
    if (f->queues[a].share != f->queues[b].share)
        return f->queues[a].share < f->queues[b].share;
    return a < b;
}

static void
sink(struct fair *f, size_t i)
{
    for (size_t c = 2 * i + 1; c < f->n; c = 2 * i + 1) {
        if (c + 1 < f->n && before(f, f->heap[c + 1], f->heap[c]))
            c++;
        if (before(f, f->heap[i], f->heap[c]))
            return;
        size_t other = f->heap[i];
        f->heap[i] = f->heap[c];
        f->heap[c] = other;
        i = c;
    }
}
