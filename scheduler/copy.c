/* copy.c - a cluster to try things out on; see sched.h. */
#include <config.h>

#include "scheduler/sched.h"

#include "common/mem.h"
#include "scheduler/sched-private.h"

static void copy_node(struct sched *to, const struct sched_entry *e);
static void copy_instance(struct sched *to, const struct sched_claimed *c);

/* Tournaments are made when they are first asked for. */
struct sched *
sched_copy(const struct sched *from)
{
    struct sched *to = sched_new();

    to->now = from->now;
    to->n = from->n;
    memcpy(to->total, from->total, sizeof(to->total));
    for (const struct sched_entry *e = from->by_id; e; e = e->hh.next)
        copy_node(to, e);
    for (const struct sched_claimed *c = from->instances; c; c = c->hh.next)
        copy_instance(to, c);
    for (const struct sched_reservation *r = from->reservations; r;
         r = r->hh.next) {
        struct sched_resources res;
        char id[ID_SIZE];

        sched_uuid_text(r->id, id);
        sched_vector_out(&r->r, &res);
        if (sched_reserve(to, id, r->hold->e->id, r->hold->project->id, &res,
                          true, NULL) < 0)
            abort(); /* what is in one cluster is good in another */
    }
    return to;
}

/* Without what instances claim. */
static void
copy_node(struct sched *to, const struct sched_entry *from)
{
    const struct sched_pool *p = from->pool;
    struct sched_entry *e = xnew(struct sched_entry);

    memcpy(e->id, from->id, ID_SIZE);
    HASH_ADD_STR(to->by_id, id, e);
    sched_pool_move(
        to, e, sched_pool_get(to, p->zone, p->project ? p->project->id : NULL));
    struct sched_slot *slot = sched_slot_of(e);
    slot->closed = sched_slot_of(from)->closed;
    slot->traits = sched_slot_of(from)->traits;
    slot->aggregates = sched_slot_of(from)->aggregates;
    e->pool->open += slot->closed == 0;
    e->limit = from->limit;
    e->loose = e->claimed = from->loose;
    if (from->cells) {
        e->cells = xnew(struct sched_cells);
        e->cells->n = from->cells->n;
        memcpy(e->cells->limit, from->cells->limit, sizeof(e->cells->limit));
    }
    sched_derive(to, e);
}

/* Into the same cell, whatever another would choose. */
static void
copy_instance(struct sched *to, const struct sched_claimed *c)
{
    const char *keys[SCHED_KEYS_MAX];
    struct sched_instance in = {
        .project_id = c->project ? c->project->id : NULL,
        .keys = keys,
        .n_keys = c->n_groups,
        .one_cell = c->one_cell,
        .preemptible = c->preemptible,
        .started_us = c->started_us,
        .expected_end = c->end,
    };
    struct sched_entry *e;
    struct sched_claimed *ret;

    for (size_t i = 0; i < c->n_groups; i++)
        keys[i] = c->groups[i]->key;
    sched_vector_out(&c->shape->need, &in.need);
    if (sched_find(to, c->e->id, &e, NULL) < 0 ||
        sched_instance_put(to, c->id, e, &in, true, &ret, NULL) < 0)
        abort(); /* what is in one cluster is good in another */
    sched_cell_move(ret, c->cell);
}
