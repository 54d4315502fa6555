/* check.c - counts everything anew; see sched-private.h. */
#include <config.h>

#include "scheduler/best.h"
#include "scheduler/sched-private.h"

#define HOLDS(x)                                                               \
    do {                                                                       \
        if (!(x))                                                              \
            return false;                                                      \
    } while (0)

static bool
same(const struct sched_vector *a, const struct sched_vector *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static bool
holds_are_right(const struct sched *s, const struct sched_entry *e)
{
    for (const struct sched_hold *h = e->holds; h; h = h->next) {
        struct sched_vector used = {0}, reserved = {0};
        const struct sched_reservation *r;
        size_t refs = 0;

        for (r = s->reservations; r; r = r->hh.next) {
            for (int d = 0; d < SCHED_DIMS && r->hold == h; d++)
                reserved.v[d] += r->r.v[d];
            refs += r->hold == h;
        }
        for (const struct sched_claimed *c = e->instances; c; c = c->next)
            for (int d = 0; d < SCHED_DIMS && c->project == h->project; d++)
                used.v[d] += c->shape->need.v[d];
        HOLDS(refs > 0 && refs == h->refs);
        HOLDS(same(&reserved, &h->reserved) && same(&used, &h->used));
        HOLDS(h->e == e && *h->at == h && *h->p_at == h);
    }
    return true;
}

static bool
instances_are_right(const struct sched *s, const struct sched_entry *e)
{
    struct sched_vector sum = e->loose;
    int64_t cells[SCHED_CELLS_MAX][2] = {{0}}, end = 0;
    size_t preemptible = 0;

    for (const struct sched_claimed *c = e->instances; c; c = c->next) {
        HOLDS(c->e == e && *c->at == c);
        for (int d = 0; d < SCHED_DIMS; d++)
            sum.v[d] += c->shape->need.v[d];
        for (int d = 0; d < 2 && c->cell >= 0; d++)
            cells[c->cell][d] += c->shape->need.v[d];
        preemptible += c->preemptible;
        end = MAX(end, c->end);
        for (size_t i = 0; i < c->n_groups; i++) {
            HOLDS(sched_group_find(s, c->groups[i]->key) == c->groups[i]);
            HOLDS(sched_group_on(s, c->groups[i], (struct sched_entry *)e) > 0);
        }
    }
    HOLDS(same(&sum, &e->claimed));
    HOLDS(preemptible == e->preemptible && end == e->end);
    HOLDS(!e->cells || memcmp(cells, e->cells->claimed, sizeof(cells)) == 0);
    return true;
}

static bool
slot_is_right(const struct sched *s, const struct sched_pool *p, size_t i)
{
    const struct sched_slot *slot = &p->slot[i];
    const struct sched_entry *e = slot->e;
    struct sched_entry *back;

    HOLDS(e->pool == p && e->pos == i);
    HOLDS(sched_find(s, e->id, &back, NULL) == 0 && back == e);
    HOLDS(sched_uuid_cmp(slot->id, sched_uuid(e->id)) == 0);
    HOLDS(slot->life == sched_life(e->end - s->now));
    for (int d = 0; d < SCHED_DIMS; d++) {
        int64_t limit = e->limit.v[d], claimed = e->claimed.v[d];
        __int128 room = (__int128)limit - claimed;

        HOLDS(limit >= 0 && claimed >= 0 && e->loose.v[d] >= 0);
        for (const struct sched_hold *h = e->holds; h; h = h->next)
            room -= MAX(INT64_C(0), h->reserved.v[d] - h->used.v[d]);
        HOLDS(slot->room[d] == MAX((__int128)0, room));
        if (d < SCHED_SCALARS)
            HOLDS((uint64_t)limit >> slot->shift[d] <= UINT32_MAX &&
                  (slot->weight[d] == 0) == (limit == 0));
    }
    return instances_are_right(s, e) && holds_are_right(s, e);
}

static bool
groups_are_right(const struct sched *s)
{
    size_t members = 0, in_groups = 0, in_instances = 0;

    for (const struct sched_group *g = s->groups; g; g = g->hh.next) {
        size_t total = 0, in_zones = 0, in_zone[SCHED_ZONES] = {0};

        for (const struct sched_member *m = g->members; m; m = m->next) {
            size_t on = 0;

            for (struct sched_claimed *c = m->key.e->instances; c; c = c->next)
                for (size_t i = 0; i < c->n_groups; i++)
                    on += c->groups[i] == g;
            HOLDS(m->count > 0 && m->count == on);
            total += on;
            in_zone[m->key.e->pool->zone] += on;
            members++;
        }
        for (size_t i = 0; i < g->n_zones; i++) {
            HOLDS(g->zones[i].count > 0);
            HOLDS(g->zones[i].count == in_zone[g->zones[i].zone]);
            in_zones += g->zones[i].count;
        }
        HOLDS(total == g->total && in_zones == total && total > 0);
        in_groups += total;
    }
    for (const struct sched_claimed *c = s->instances; c; c = c->hh.next)
        in_instances += c->n_groups;
    return members == HASH_COUNT(s->members) && in_groups == in_instances;
}

bool
sched_consistent(const struct sched *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n_pools; i++) {
        const struct sched_pool *p = s->pools[i];
        size_t open = 0;

        HOLDS(p->index == i && p->n <= p->cap);
        HOLDS(!p->project || p->n > 0);
        for (size_t k = 0; k < p->n; k++) {
            HOLDS(slot_is_right(s, p, k));
            open += p->slot[k].closed == 0;
        }
        HOLDS(open == p->open);
        n += p->n;
    }
    HOLDS(n == s->n && n == HASH_COUNT(s->by_id));
    return groups_are_right(s) && sched_best_consistent(s->best);
}
