/* evict.c - whom to end for the sake of a request; see plan.h. */
#include <config.h>

#include "scheduler/plan.h"

#include "common/mem.h"
#include "scheduler/fit.h"

struct victim {
    struct sched_claimed *c;
    bool taken;
    int64_t share; /* its project's, without those taken */
};

struct plan { /* of one node, and one cell of it or none (-1) */
    const struct sched_query *q;
    const struct sched_entry *e;
    int cell;
    struct victim *v; /* the preemptible ones, room for all */
    size_t n;
    size_t *order; /* of those taken */
    size_t taken;
};

struct winner {
    const struct sched_entry *e; /* NULL: nobody yet */
    struct sched_uuid *ids;
    size_t n;
    int64_t harm;
};

static void consider(const struct sched *s, struct plan *p, struct winner *w);
static bool fits_without(const struct plan *p, uint32_t *ret_lacking,
                         bool *ret_cell_lacking);
static bool choose(const struct sched *s, struct plan *p, uint32_t lacking,
                   bool cell_lacking);
static bool goes_before(const struct victim *a, const struct victim *b);
static void shares(const struct sched *s, struct plan *p);
static int64_t share_left(const struct sched *s, const struct plan *p,
                          const struct sched_project *project);
static void spare(struct plan *p);
static int64_t harm_of(const struct plan *p);
static void victims(struct plan *p, const struct sched_entry *e);

int
sched_evict_plan(struct sched *s, const struct sched_request *rq,
                 struct sched_eviction *ret, struct err *reterr)
{
    struct sched_uuid *ids _cleanup_(freep) = NULL;
    struct victim *v _cleanup_(freep) = NULL;
    size_t *order _cleanup_(freep) = NULL;
    struct sched_eviction found = {0};
    struct winner w = {0};
    struct sched_query q;
    size_t most = 0;

    int r = sched_place(s, rq, found.node_id, NULL, NULL);
    if (r == 0)
        *ret = found;
    if (r != -ENOSPC)
        return r == 0 ? 0 : sched_query_init(s, rq, &q, reterr);
    r = sched_query_init(s, rq, &q, reterr);
    if (r < 0)
        return r;
    for (size_t i = 0; i < s->n_pools; i++)
        for (size_t k = 0; k < s->pools[i]->n; k++)
            most = MAX(most, s->pools[i]->slot[k].e->preemptible);
    ids = xcalloc(most + 1, sizeof(*ids));
    w.ids = ids;
    v = xcalloc(most + 1, sizeof(*v));
    order = xcalloc(most + 1, sizeof(*order));
    for (size_t i = 0; i < s->n_pools; i++) {
        for (size_t k = 0; k < s->pools[i]->n; k++) {
            const struct sched_slot *slot = &s->pools[i]->slot[k];
            struct plan p = {
                .q = &q, .e = slot->e, .cell = -1, .v = v, .order = order};

            if (!slot->e->preemptible ||
                sched_query_apart_from_room(s, &q, slot) != SCHED_FITS)
                continue;
            if (!rq->one_cell)
                consider(s, &p, &w);
            for (size_t c = 0;
                 rq->one_cell && slot->e->cells && c < slot->e->cells->n; c++) {
                p.cell = (int)c;
                consider(s, &p, &w);
            }
        }
    }
    if (!w.e)
        return err_set(reterr, -ENOSPC, "no_capacity",
                       "no node fits, not even if preemptible instances end");
    memcpy(found.node_id, w.e->id, ID_SIZE);
    found.n = w.n;
    found.harm = w.harm;
    found.instances = xcalloc(w.n, sizeof(*found.instances));
    for (size_t i = 0; i < w.n; i++)
        sched_uuid_text(w.ids[i], found.instances[i]);
    *ret = found;
    return 0;
}

void
sched_eviction_release(struct sched_eviction *e)
{
    free(e->instances);
    *e = (struct sched_eviction){0};
}

static void
consider(const struct sched *s, struct plan *p, struct winner *w)
{
    uint32_t lacking;
    bool cell_lacking;
    size_t n = 0;

    victims(p, p->e);
    while (!fits_without(p, &lacking, &cell_lacking)) {
        if (!choose(s, p, lacking, cell_lacking))
            return; /* nobody has any more of it */
    }
    spare(p);
    for (size_t i = 0; i < p->taken; i++)
        n += p->v[p->order[i]].taken;
    int64_t harm = harm_of(p);
    if (w->e && (n != w->n         ? n > w->n
                 : harm != w->harm ? harm > w->harm
                                   : strcmp(p->e->id, w->e->id) >= 0))
        return;
    w->e = p->e;
    w->harm = harm;
    w->n = 0;
    for (size_t i = 0; i < p->taken; i++) {
        if (p->v[p->order[i]].taken)
            w->ids[w->n++] = p->v[p->order[i]].c->id;
    }
}

static void
victims(struct plan *p, const struct sched_entry *e)
{
    p->n = p->taken = 0;
    for (struct sched_claimed *c = e->instances; c; c = c->next) {
        if (c->preemptible)
            p->v[p->n++] = (struct victim){.c = c};
    }
}

/* Without those that are taken. Room that goes back to a reservation of their
 * project is no room for others. */
static bool
fits_without(const struct plan *p, uint32_t *ret_lacking,
             bool *ret_cell_lacking)
{
    const struct sched_entry *e = p->e;
    __int128 room[SCHED_DIMS];

    for (int d = 0; d < SCHED_DIMS; d++)
        room[d] = (__int128)e->limit.v[d] - e->claimed.v[d];
    for (size_t i = 0; i < p->n; i++)
        for (int d = 0; d < SCHED_DIMS && p->v[i].taken; d++)
            room[d] += p->v[i].c->shape->need.v[d];
    for (const struct sched_hold *h = e->holds; h; h = h->next) {
        struct sched_vector used = h->used;

        if (h->project == p->q->project)
            continue;
        for (size_t i = 0; i < p->n; i++)
            for (int d = 0; d < SCHED_DIMS && p->v[i].taken &&
                            p->v[i].c->project == h->project;
                 d++)
                used.v[d] -= p->v[i].c->shape->need.v[d];
        for (int d = 0; d < SCHED_DIMS; d++)
            room[d] -= MAX(INT64_C(0), h->reserved.v[d] - used.v[d]);
    }
    *ret_lacking = 0;
    for (int d = 0; d < SCHED_DIMS; d++) {
        int64_t need = p->q->kind.need.v[d];

        *ret_lacking |= (uint32_t)(need > 0 && need > room[d]) << d;
    }
    *ret_cell_lacking = false;
    for (int d = 0; d < 2 && p->cell >= 0; d++) {
        __int128 left = (__int128)e->cells->limit[p->cell][d] -
                        e->cells->claimed[p->cell][d];

        for (size_t i = 0; i < p->n; i++)
            if (p->v[i].taken && p->v[i].c->cell == p->cell)
                left += p->v[i].c->shape->need.v[d];
        *ret_cell_lacking |= p->q->kind.need.v[d] > MAX(left, (__int128)0);
    }
    return !*ret_lacking && !*ret_cell_lacking;
}

/* Takes the one whose turn it is, of those that have what is lacking. */
static bool
choose(const struct sched *s, struct plan *p, uint32_t lacking,
       bool cell_lacking)
{
    size_t next = SIZE_MAX;

    shares(s, p);
    for (size_t i = 0; i < p->n; i++) {
        const struct sched_claimed *c = p->v[i].c;
        bool helps = cell_lacking && c->cell == p->cell &&
                     (c->shape->need.v[0] || c->shape->need.v[1]);

        for (int d = 0; d < SCHED_DIMS; d++)
            helps |= (lacking >> d & 1) && c->shape->need.v[d] > 0;
        if (!p->v[i].taken && helps &&
            (next == SIZE_MAX || goes_before(&p->v[i], &p->v[next])))
            next = i;
    }
    if (next == SIZE_MAX)
        return false;
    p->v[next].taken = true;
    p->order[p->taken++] = next;
    return true;
}

static bool
goes_before(const struct victim *a, const struct victim *b)
{
    if (a->share != b->share)
        return a->share > b->share;
    if (a->c->started_us != b->c->started_us)
        return a->c->started_us > b->c->started_us;
    return sched_uuid_cmp(a->c->id, b->c->id) < 0;
}

/* A node has few projects, and a share costs as much as all else. */
static void
shares(const struct sched *s, struct plan *p)
{
    for (size_t i = 0; i < p->n; i++) {
        size_t same = 0;

        while (p->v[same].c->project != p->v[i].c->project)
            same++;
        p->v[i].share =
            same < i ? p->v[same].share : share_left(s, p, p->v[i].c->project);
    }
}

/* Of the cluster, in preemptible instances, without those taken. */
static int64_t
share_left(const struct sched *s, const struct plan *p,
           const struct sched_project *project)
{
    __int128 left[SCHED_DIMS];

    if (!project)
        return -1;
    memcpy(left, project->preemptible, sizeof(left));
    for (size_t i = 0; i < p->n; i++)
        for (int d = 0;
             d < SCHED_DIMS && p->v[i].taken && p->v[i].c->project == project;
             d++)
            left[d] -= p->v[i].c->shape->need.v[d];
    return sched_share(s, left);
}

/* Lets those go that are not needed, the first started first. */
static void
spare(struct plan *p)
{
    uint32_t lacking;
    bool cell_lacking;

    for (size_t tried = 0; tried < p->taken; tried++) {
        size_t first = SIZE_MAX;

        /* order[0..tried-1] were tried; the next is moved behind them. */
        for (size_t i = tried; i < p->taken; i++) {
            const struct sched_claimed *a = p->v[p->order[i]].c,
                                       *b = first == SIZE_MAX
                                                ? NULL
                                                : p->v[p->order[first]].c;

            if (!b || a->started_us < b->started_us ||
                (a->started_us == b->started_us &&
                 sched_uuid_cmp(a->id, b->id) > 0))
                first = i;
        }
        size_t it = p->order[first];
        memmove(&p->order[tried + 1], &p->order[tried],
                (first - tried) * sizeof(*p->order));
        p->order[tried] = it;
        p->v[it].taken = false;
        p->v[it].taken = !fits_without(p, &lacking, &cell_lacking);
    }
    /* They were tried from the first started: the latest goes first. */
    for (size_t i = 0; i < p->taken / 2; i++) {
        size_t other = p->order[i];

        p->order[i] = p->order[p->taken - 1 - i];
        p->order[p->taken - 1 - i] = other;
    }
}

static int64_t
harm_of(const struct plan *p)
{
    int64_t harm = 0;

    for (size_t i = 0; i < p->n; i++) {
        int64_t share = 0;

        for (int d = 0; d < SCHED_DIMS && p->v[i].taken; d++) {
            int64_t need = p->v[i].c->shape->need.v[d],
                    limit = MAX(p->e->limit.v[d], INT64_C(1));
            __int128 part = (__int128)MIN(need, limit) * SCHED_ONE / limit;

            share = MAX(share, (int64_t)part);
        }
        harm += share;
    }
    return harm;
}
