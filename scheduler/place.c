/* place.c - chooses a node; see place.h. explain.c says why. */
#include <config.h>

#include "scheduler/sched.h"

#include "scheduler/best.h"
#include "scheduler/explain.h"
#include "scheduler/fit.h"

struct pick {
    const struct sched_slot *slot; /* NULL: nobody yet */
    int64_t score;
};

static const struct sched_slot *search(struct sched *s,
                                       const struct sched_query *q);
static const struct sched_group *tied_to(const struct sched_query *q);
static void pick_known(struct sched *s, const struct sched_query *q,
                       struct pick *pick);
static void pick_in(struct sched *s, const struct sched_query *q,
                    struct sched_pool *p, struct pick *pick);
static void consider(const struct sched *s, const struct sched_query *q,
                     const struct sched_entry *e, struct pick *pick);
static bool better(const struct pick *pick, const struct sched_slot *slot,
                   int64_t score);

int
sched_place(struct sched *s, const struct sched_request *rq,
            char ret_node_id[ID_SIZE], struct sched_explain *ret_explain,
            struct err *reterr)
{
    struct sched_query q;

    int r = sched_query_init(s, rq, &q, reterr);
    if (r < 0)
        return r;
    const struct sched_slot *best = search(s, &q);
    if (ret_explain)
        sched_explain_fill(s, &q, ret_explain);
    if (!best)
        return reterr ? sched_explain_no_fit(s, &q, reterr) : -ENOSPC;
    memcpy(ret_node_id, best->e->id, ID_SIZE);
    return 0;
}

static const struct sched_slot *
search(struct sched *s, const struct sched_query *q)
{
    struct sched_pool *const *pools = s->shared;
    size_t n = SCHED_ZONES;
    struct pick pick = {0};

    if (q->nobody)
        return NULL;
    const struct sched_group *g = tied_to(q);
    if (g) {
        for (const struct sched_member *m = g->members; m; m = m->next)
            consider(s, q, m->key.e, &pick);
        return pick.slot;
    }
    pick_known(s, q, &pick);
    if (q->rq->dedicated) {
        pools = q->project->pools;
        n = q->project->n_pools;
    }
    for (size_t i = 0; i < n; i++) {
        struct sched_pool *p = pools[i];

        if (p && p->n && sched_pool_admits(q, p) &&
            !(q->rq->n_rules && q->zone_refused[p->zone]))
            pick_in(s, q, p, &pick);
    }
    return pick.slot;
}

/* The smallest of the groups whose nodes alone will do; NULL: there is none. */
static const struct sched_group *
tied_to(const struct sched_query *q)
{
    const struct sched_group *smallest = NULL;

    for (size_t i = 0; q->node_rules && i < q->rq->n_rules; i++) {
        const struct sched_group_rule *r = &q->rq->rules[i];

        if (r->affinity == SCHED_TOGETHER && r->scope == SCHED_BY_NODE &&
            r->weight == 0 && q->groups[i] &&
            (!smallest || q->groups[i]->total < smallest->total))
            smallest = q->groups[i];
    }
    return smallest;
}

/* Nodes that may be better for this request than for its kind. */
static void
pick_known(struct sched *s, const struct sched_query *q, struct pick *pick)
{
    for (size_t i = 0; q->node_rules && i < q->rq->n_rules; i++) {
        const struct sched_group_rule *r = &q->rq->rules[i];

        if (r->affinity != SCHED_TOGETHER || r->scope != SCHED_BY_NODE ||
            !q->groups[i])
            continue;
        for (struct sched_member *m = q->groups[i]->members; m; m = m->next)
            consider(s, q, m->key.e, pick);
    }
    if (!q->project)
        return;
    for (struct sched_hold *h = q->project->holds; h; h = h->p_next)
        consider(s, q, h->e, pick);
}

/* All others are as good as their kind says, or worse. */
static void
pick_in(struct sched *s, const struct sched_query *q, struct sched_pool *p,
        struct pick *pick)
{
    int64_t of_zone = q->rq->n_rules ? q->zone_score[p->zone] : 0, score;
    struct sched_tree *t = sched_best_tree(s->best, &q->kind, p);
    bool plain = !q->node_rules && !(q->project && q->project->holds);

    for (const struct sched_slot *slot = sched_best_first(s->best, t, &score);
         slot && better(pick, slot, score + of_zone);
         slot = sched_best_next(s->best, t, &score)) {
        if (plain) {
            *pick = (struct pick){slot, score + of_zone};
            break;
        }
        consider(s, q, slot->e, pick);
    }
}

static void
consider(const struct sched *s, const struct sched_query *q,
         const struct sched_entry *e, struct pick *pick)
{
    const struct sched_slot *slot = sched_slot_of(e);
    int64_t score;

    if (sched_query_rule(s, q, slot, &score) == SCHED_FITS &&
        better(pick, slot, score))
        *pick = (struct pick){slot, score};
}

static bool
better(const struct pick *pick, const struct sched_slot *slot, int64_t score)
{
    if (!pick->slot || pick->score != score)
        return !pick->slot || score > pick->score;
    return sched_uuid_cmp(slot->id, pick->slot->id) < 0;
}
