/* view.c - the capacity as an operator wants to see it; see view.h. */
#include <config.h>

#include "scheduler/view.h"

#include "common/mem.h"
#include "scheduler/fit.h"

struct sums {
    __int128 limit[SCHED_DIMS], claimed[SCHED_DIMS], held[SCHED_DIMS];
    __int128 free[SCHED_DIMS], stranded[SCHED_DIMS];
};

struct fit { /* one request's */
    struct sched_request rq;
    struct sched_query q;
    __int128 pooled[SCHED_DIMS]; /* free room of the nodes that may take it */
    __int128 count;
};

static void look(const struct sched *s, const struct sched_slot *slot,
                 struct fit *fits, size_t n, struct sums *sums,
                 struct sched_capacity *c);
static bool fit_on(const struct sched *s, struct fit *f,
                   const struct sched_slot *slot);
static __int128 cells_hold(const struct sched_entry *e,
                           const struct sched_vector *need);
static void fit_out(const struct fit *f, struct sched_fit *ret);
static void sum_out(const __int128 sum[SCHED_DIMS],
                    struct sched_resources *ret);

int
sched_capacity(const struct sched *s, struct sched_fit *fits, size_t n,
               struct sched_capacity *ret, struct err *reterr)
{
    struct fit *f _cleanup_(freep) = xcalloc(n + 1, sizeof(*f));
    struct sched_capacity c = {.nodes = s->n, .largest = -1};
    struct sums sums = {0};
    int64_t largest = 0;

    for (size_t i = 0; i < n; i++) {
        f[i].rq = *fits[i].request;
        f[i].rq.n_rules = 0;
        int r = sched_query_init(s, &f[i].rq, &f[i].q, reterr);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < s->n_pools; i++)
        for (size_t k = 0; k < s->pools[i]->n; k++)
            if (!s->pools[i]->slot[k].closed)
                look(s, &s->pools[i]->slot[k], f, n, &sums, &c);
    for (size_t i = 0; i < n; i++) {
        __int128 amount[SCHED_DIMS];

        fit_out(&f[i], &fits[i]);
        for (int d = 0; d < SCHED_DIMS; d++)
            amount[d] = f[i].q.kind.need.v[d];
        int64_t share = sched_share(s, amount);
        if (fits[i].count > 0 && (c.largest < 0 || share > largest)) {
            c.largest = (ptrdiff_t)i;
            largest = share;
        }
    }
    sum_out(sums.limit, &c.limit);
    sum_out(sums.claimed, &c.claimed);
    sum_out(sums.held, &c.held);
    sum_out(sums.free, &c.free);
    sum_out(sums.stranded, &c.stranded);
    *ret = c;
    return 0;
}

static void
look(const struct sched *s, const struct sched_slot *slot, struct fit *fits,
     size_t n, struct sums *sums, struct sched_capacity *c)
{
    const struct sched_entry *e = slot->e;
    bool empty = !e->instances, useful = n == 0;

    for (size_t i = 0; i < n; i++)
        useful |= fit_on(s, &fits[i], slot);
    for (int d = 0; d < SCHED_DIMS; d++) {
        empty &= e->claimed.v[d] == 0;
        sums->limit[d] += e->limit.v[d];
        sums->claimed[d] += e->claimed.v[d];
        sums->free[d] += slot->room[d];
        sums->stranded[d] += useful ? 0 : slot->room[d];
    }
    for (const struct sched_hold *h = e->holds; h; h = h->next) {
        struct sched_vector left = sched_hold_left(h);

        for (int d = 0; d < SCHED_DIMS; d++)
            sums->held[d] += left.v[d];
    }
    c->nodes_open++;
    c->nodes_empty += empty;
}

static bool
fit_on(const struct sched *s, struct fit *f, const struct sched_slot *slot)
{
    const struct sched_kind *k = &f->q.kind;
    __int128 count = -1;

    if (sched_query_apart_from_room(s, &f->q, slot) != SCHED_FITS)
        return false;
    struct sched_vector room = sched_room_for(slot->e, f->q.project);
    for (int d = 0; d < SCHED_DIMS; d++) {
        f->pooled[d] += room.v[d];
        if (k->need.v[d] && (count < 0 || room.v[d] / k->need.v[d] < count))
            count = room.v[d] / k->need.v[d];
    }
    if (k->one_cell) {
        __int128 in_cells = cells_hold(slot->e, &k->need);

        count = count < 0 || in_cells < count ? in_cells : count;
    }
    if (count < 0)
        count = INT64_MAX; /* it needs nothing */
    f->count += count;
    return count > 0;
}

static __int128
cells_hold(const struct sched_entry *e, const struct sched_vector *need)
{
    __int128 sum = 0;

    for (size_t i = 0; e->cells && i < e->cells->n; i++) {
        int64_t room[2], count = INT64_MAX;

        sched_cell_room(e->cells, i, room);
        for (int d = 0; d < 2; d++)
            if (need->v[d] && room[d] / need->v[d] < count)
                count = room[d] / need->v[d];
        sum += count;
    }
    return sum;
}

static void
fit_out(const struct fit *f, struct sched_fit *ret)
{
    const struct sched_kind *k = &f->q.kind;
    __int128 pooled = -1;

    for (int d = 0; d < SCHED_DIMS; d++)
        if (k->need.v[d] &&
            (pooled < 0 || f->pooled[d] / k->need.v[d] < pooled))
            pooled = f->pooled[d] / k->need.v[d];
    ret->count = (int64_t)MIN(f->count, (__int128)INT64_MAX);
    ret->fragmented_permille =
        pooled > 0 ? (int64_t)(1000 - 1000 * MIN(f->count, pooled) / pooled)
                   : 0;
}

static void
sum_out(const __int128 sum[SCHED_DIMS], struct sched_resources *ret)
{
    struct sched_vector v;

    for (int d = 0; d < SCHED_DIMS; d++)
        v.v[d] = (int64_t)MIN(sum[d], (__int128)INT64_MAX);
    sched_vector_out(&v, ret);
}
