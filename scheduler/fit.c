/* fit.c - whether a node fits a request, and how well; see fit.h. */
#include <config.h>

#include "scheduler/fit.h"

#include <inttypes.h>

#include "common/mem.h"

static int64_t node_rule(const struct sched *s, const struct sched_query *q,
                         size_t i, struct sched_entry *e, bool *ret_refused);
static int64_t score_of(const struct sched_kind *k,
                        const struct sched_slot *slot, const int64_t *room);
static enum sched_rule rule_static(const struct sched_query *q,
                                   const struct sched_slot *slot);
static enum sched_rule rule_groups(const struct sched *s,
                                   const struct sched_query *q,
                                   const struct sched_slot *slot,
                                   int64_t *ret_score, int *ret_index);
static enum sched_rule affinity_rule(const struct sched_group_rule *r);
static enum sched_rule dim_rule(int d);
static bool cell_fits(const struct sched_entry *e,
                      const struct sched_vector *need);

int64_t
sched_kind_score(const struct sched_kind *k, const struct sched_slot *slot)
{
    if (slot->closed || (k->traits & ~slot->traits) ||
        (k->traits_forbidden & slot->traits) ||
        (k->aggregates && !(k->aggregates & slot->aggregates)) ||
        (k->aggregates_forbidden & slot->aggregates))
        return -1;
    for (uint32_t dims = k->dims; dims; dims &= dims - 1) {
        int d = __builtin_ctz(dims);

        if (k->need.v[d] > slot->room[d])
            return -1;
    }
    if (k->one_cell && !cell_fits(slot->e, &k->need))
        return -1;
    return score_of(k, slot, slot->room);
}

enum sched_rule
sched_query_rule(const struct sched *s, const struct sched_query *q,
                 const struct sched_slot *slot, int64_t *ret_score)
{
    const struct sched_kind *k = &q->kind;
    struct sched_vector own;
    const int64_t *room = slot->room;
    const struct sched_hold *h = NULL;
    int64_t more = 0;

    enum sched_rule rule = rule_static(q, slot);
    if (rule != SCHED_FITS)
        return rule;
    if (slot->e->holds) {
        h = q->project ? sched_hold_of(slot->e, q->project) : NULL;
        own = sched_room_for(slot->e, q->project);
        room = own.v;
    }
    for (uint32_t dims = k->dims; dims; dims &= dims - 1) {
        int d = __builtin_ctz(dims);

        if (k->need.v[d] > slot->e->limit.v[d] - slot->e->claimed.v[d])
            return dim_rule(d);
    }
    if (k->one_cell && !cell_fits(slot->e, &k->need))
        return SCHED_CELL;
    for (uint32_t dims = k->dims; dims; dims &= dims - 1) {
        int d = __builtin_ctz(dims);

        if (k->need.v[d] > room[d])
            return SCHED_RESERVED;
    }
    rule = rule_groups(s, q, slot, &more, NULL);
    if (rule != SCHED_FITS)
        return rule;
    if (h && k->dims) {
        struct sched_vector left = sched_hold_left(h);
        bool all = true;

        for (uint32_t dims = k->dims; dims; dims &= dims - 1)
            all &=
                k->need.v[__builtin_ctz(dims)] <= left.v[__builtin_ctz(dims)];
        more += all ? SCHED_RESERVED_BONUS : 0;
    }
    *ret_score = score_of(k, slot, room) + more;
    return SCHED_FITS;
}

void
sched_query_verdict(const struct sched *s, const struct sched_query *q,
                    const struct sched_slot *slot, struct sched_verdict *v)
{
    const struct sched_entry *e = slot->e;
    int d = 0, index = 0;
    int64_t ignored = 0;

    memset(v, 0, sizeof(*v));
    memcpy(v->node_id, e->id, ID_SIZE);
    v->rule = sched_query_rule(s, q, slot, &v->score);
    switch (v->rule) {
    case SCHED_TRAITS:
        v->traits_missing = q->kind.traits & ~slot->traits;
        break;
    case SCHED_TRAITS_FORBIDDEN:
        v->traits_missing = q->kind.traits_forbidden & slot->traits;
        break;
    case SCHED_VCPUS ... SCHED_DEVICES:
        while (q->kind.need.v[d] == 0 ||
               q->kind.need.v[d] <= e->limit.v[d] - e->claimed.v[d])
            d++;
        v->resource = d < DIM_DEVICES ? 0 : d - DIM_DEVICES;
        v->asked = q->kind.need.v[d];
        v->free = MAX(INT64_C(0), e->limit.v[d] - e->claimed.v[d]);
        break;
    case SCHED_RESERVED: {
        struct sched_vector room = sched_room_for(e, q->project);

        while (q->kind.need.v[d] <= room.v[d])
            d++;
        v->resource = (int)dim_rule(d);
        v->asked = q->kind.need.v[d];
        v->free = room.v[d];
        break;
    }
    case SCHED_CELL: {
        int64_t most[2] = {0, 0}, room[2];

        for (size_t i = 0; e->cells && i < e->cells->n; i++) {
            sched_cell_room(e->cells, i, room);
            most[0] = MAX(most[0], room[0]);
            most[1] = MAX(most[1], room[1]);
        }
        d = q->kind.need.v[DIM_VCPUS] > most[DIM_VCPUS] ? DIM_VCPUS
                                                        : DIM_MEMORY;
        v->resource = (int)dim_rule(d);
        v->asked = q->kind.need.v[d];
        v->free = most[d];
        break;
    }
    case SCHED_AFFINITY:
    case SCHED_ANTI_AFFINITY:
    case SCHED_UNEVEN: {
        rule_groups(s, q, slot, &ignored, &index);
        const struct sched_group_rule *r = &q->rq->rules[index];

        v->group = index;
        v->asked = r->max_count;
        v->free =
            (int64_t)(r->scope == SCHED_BY_NODE
                          ? sched_group_on(s, q->groups[index], slot->e)
                          : sched_group_in(q->groups[index], e->pool->zone));
        if (v->rule == SCHED_AFFINITY)
            v->asked = v->free = 0;
        if (v->rule == SCHED_UNEVEN)
            v->free -= (int64_t)q->fewest[index];
        break;
    }
    default:
        break;
    }
}

enum sched_rule
sched_query_apart_from_room(const struct sched *s, const struct sched_query *q,
                            const struct sched_slot *slot)
{
    enum sched_rule rule = rule_static(q, slot);
    int64_t ignored = 0;

    return rule == SCHED_FITS ? rule_groups(s, q, slot, &ignored, NULL) : rule;
}

bool
sched_pool_admits(const struct sched_query *q, const struct sched_pool *p)
{
    return (q->zones >> p->zone & 1) &&
           (q->rq->dedicated ? p->project && p->project == q->project
                             : !p->project);
}

static int64_t
node_rule(const struct sched *s, const struct sched_query *q, size_t i,
          struct sched_entry *e, bool *ret_refused)
{
    const struct sched_group_rule *r = &q->rq->rules[i];
    size_t on = sched_group_on(s, q->groups[i], e);

    if (r->affinity == SCHED_TOGETHER) {
        *ret_refused = !r->weight && q->groups[i] && !on;
        return on ? r->weight * SCHED_PART : 0;
    }
    *ret_refused = !r->weight && (int64_t)on > r->max_count;
    return -r->weight * SCHED_PART * sched_over(on, r->max_count);
}

static inline int64_t
fraction(const struct sched_slot *slot, int d, int64_t amount)
{
    /* Below 2^32 x (2^62 / 2^32 + 1): no overflow, and at most SCHED_ONE. */
    return (int64_t)((((uint64_t)amount >> slot->shift[d]) * slot->weight[d]) >>
                     42);
}

/* For a node that fits, on the room that there is for the request. */
static inline int64_t
score_of(const struct sched_kind *k, const struct sched_slot *slot,
         const int64_t *room)
{
    int64_t score = 0;

    for (int d = 0; d < SCHED_SCALARS; d++) {
        int64_t weight = k->weight[d];

        if (!weight)
            continue;
        if (k->policy == SCHED_DOT) {
            if (k->need.v[d])
                score += weight * fraction(slot, d, k->need.v[d]) *
                         fraction(slot, d, room[d]);
            continue;
        }
        int64_t part = fraction(slot, d, room[d] - k->need.v[d]);
        if (k->policy == SCHED_SPREAD)
            part = slot->weight[d] ? SCHED_ONE - part : 0;
        score += weight * (SCHED_PART - part * part);
    }
    if (k->w_traits)
        score += k->w_traits * SCHED_PART *
                 __builtin_popcountll(k->traits_preferred & slot->traits) /
                 __builtin_popcountll(k->traits_preferred);
    if (k->w_life)
        score += k->w_life * SCHED_PART *
                 (SCHED_LIVES - 1 - MAX(0, k->life - slot->life)) /
                 (SCHED_LIVES - 1);
    return score;
}

static enum sched_rule
rule_static(const struct sched_query *q, const struct sched_slot *slot)
{
    const struct sched_kind *k = &q->kind;
    const struct sched_pool *p = slot->e->pool;

    if (slot->closed)
        return slot->closed & NODE_DOWN          ? SCHED_DOWN
               : slot->closed & NODE_QUARANTINED ? SCHED_QUARANTINED
               : slot->closed & NODE_DRAINING    ? SCHED_DRAINING
                                                 : SCHED_UNSCHEDULABLE;
    if (!(q->zones >> p->zone & 1))
        return SCHED_ZONE;
    if ((k->aggregates && !(k->aggregates & slot->aggregates)) ||
        (k->aggregates_forbidden & slot->aggregates))
        return SCHED_AGGREGATE;
    if (!sched_pool_admits(q, p))
        return SCHED_DEDICATED;
    if (k->traits & ~slot->traits)
        return SCHED_TRAITS;
    if (k->traits_forbidden & slot->traits)
        return SCHED_TRAITS_FORBIDDEN;
    return SCHED_FITS;
}

static enum sched_rule
rule_groups(const struct sched *s, const struct sched_query *q,
            const struct sched_slot *slot, int64_t *ret_score, int *ret_index)
{
    const struct sched_request *rq = q->rq;
    unsigned zone = slot->e->pool->zone;

    if (rq->n_rules == 0)
        return SCHED_FITS;
    /* The first that refuses, of either scope. */
    size_t first =
        q->zone_refused[zone] ? q->zone_refused[zone] - 1u : rq->n_rules;
    *ret_score += q->zone_score[zone];
    for (size_t i = 0; q->node_rules && i < first; i++) {
        bool refused = false;

        if (rq->rules[i].scope != SCHED_BY_NODE)
            continue;
        *ret_score += node_rule(s, q, i, slot->e, &refused);
        if (refused)
            first = i;
    }
    if (first == rq->n_rules)
        return SCHED_FITS;
    if (ret_index)
        *ret_index = (int)first;
    return affinity_rule(&rq->rules[first]);
}

static enum sched_rule
affinity_rule(const struct sched_group_rule *r)
{
    return r->affinity == SCHED_TOGETHER ? SCHED_AFFINITY
           : r->affinity == SCHED_APART  ? SCHED_ANTI_AFFINITY
                                         : SCHED_UNEVEN;
}

static enum sched_rule
dim_rule(int d)
{
    return d < DIM_DEVICES ? SCHED_VCPUS + (enum sched_rule)d : SCHED_DEVICES;
}

static bool
cell_fits(const struct sched_entry *e, const struct sched_vector *need)
{
    for (size_t i = 0; e->cells && i < e->cells->n; i++) {
        int64_t room[2];

        sched_cell_room(e->cells, i, room);
        if (sched_cell_fits(room, need))
            return true;
    }
    return false;
}
