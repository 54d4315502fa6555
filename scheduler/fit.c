/* fit.c - whether a node fits a request, and how well; see fit.h. */
#include <config.h>

#include "scheduler/fit.h"

#include <inttypes.h>

#include "common/mem.h"

static int check(const struct sched_request *rq, struct err *reterr);
static int check_weights(const struct sched_weights *w, struct err *reterr);
static int check_rule(const struct sched_group_rule *r, size_t i,
                      struct err *reterr);
static void kind_init(const struct sched *s, const struct sched_request *rq,
                      struct sched_kind *k);
static void zones_init(const struct sched *s, struct sched_query *q);
static size_t fewest_in(const struct sched *s, const struct sched_query *q,
                        const struct sched_group *g);
static int64_t zone_rule(const struct sched_query *q, size_t i, unsigned zone,
                         bool *ret_refused);
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

const struct sched_weights sched_weights_default = {
    .vcpus = 10,
    .memory = 10,
    .disk = 10,
    .iops = 10,
    .net = 10,
    .traits_preferred = 10,
    .lifetime = 10,
};

int
sched_query_init(const struct sched *s, const struct sched_request *rq,
                 struct sched_query *q, struct err *reterr)
{
    int r = check(rq, reterr);

    if (r < 0)
        return r;
    /* Not the large arrays, unless they are needed. */
    memset(q, 0, offsetof(struct sched_query, groups));
    q->rq = rq;
    q->node_rules = false;
    q->zones = rq->zones ? rq->zones : UINT64_MAX;
    q->project = sched_project_find(s, rq->project_id);
    q->nobody = rq->dedicated && (!q->project || q->project->n_pools == 0);
    kind_init(s, rq, &q->kind);
    if (rq->n_rules == 0)
        return 0;
    for (size_t i = 0; i < rq->n_rules; i++) {
        q->groups[i] = sched_group_find(s, rq->rules[i].key);
        q->fewest[i] = 0;
        q->node_rules |= rq->rules[i].scope == SCHED_BY_NODE;
    }
    zones_init(s, q);
    return 0;
}

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

static int
check(const struct sched_request *rq, struct err *reterr)
{
    int r = sched_resources_check(&rq->need, "/need", reterr);

    if (rq->policy != SCHED_SPREAD && rq->policy != SCHED_PACK &&
        rq->policy != SCHED_DOT)
        r = err_field(reterr, "/policy", "enum", "must be spread, pack or dot");
    if (rq->project_id && !id_valid(rq->project_id))
        r = err_field(reterr, "/project_id", "format", "must be a UUID");
    if (rq->dedicated && !rq->project_id)
        r = err_field(reterr, "/dedicated", "required", "needs a project");
    if (rq->expected_end < 0)
        r = err_field(reterr, "/expected_end", "range",
                      "is %" PRId64 ", must not be negative", rq->expected_end);
    if (rq->weights && check_weights(rq->weights, reterr) < 0)
        r = -EINVAL;
    if (rq->n_rules > SCHED_RULES_MAX)
        return err_field(reterr, "/rules", "range", "are %zu, at most %d",
                         rq->n_rules, SCHED_RULES_MAX);
    for (size_t i = 0; i < rq->n_rules; i++) {
        if (check_rule(&rq->rules[i], i, reterr) < 0)
            r = -EINVAL;
    }
    return r;
}

static int
check_weights(const struct sched_weights *w, struct err *reterr)
{
    const int all[] = {w->vcpus,     w->memory,   w->disk,
                       w->iops,      w->net,      w->addresses,
                       w->hugepages, w->lifetime, w->traits_preferred};
    int r = 0;

    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        if (all[i] < 0 || all[i] > SCHED_WEIGHT_MAX)
            r = err_field(reterr, "/weights", "range", "is %d, must be 0..%d",
                          all[i], SCHED_WEIGHT_MAX);
    }
    return r;
}

static int
check_rule(const struct sched_group_rule *rule, size_t i, struct err *reterr)
{
    char at[40];
    int r = 0;

    snprintf(at, sizeof(at), "/rules/%zu", i);
    if (!rule->key || !rule->key[0] ||
        strnlen(rule->key, SCHED_KEY_MAX) == SCHED_KEY_MAX)
        r = err_field(reterr, at, "length", "key must be 1 to %d bytes",
                      SCHED_KEY_MAX - 1);
    if ((unsigned)rule->affinity > SCHED_EVEN ||
        (unsigned)rule->scope > SCHED_BY_ZONE)
        r = err_field(reterr, at, "enum", "no such affinity or scope");
    if (rule->affinity == SCHED_EVEN && rule->scope != SCHED_BY_ZONE)
        r = err_field(reterr, at, "enum", "even is by zone only");
    if (rule->weight < 0 || rule->weight > SCHED_WEIGHT_MAX)
        r = err_field(reterr, at, "range", "weight is %d, must be 0..%d",
                      rule->weight, SCHED_WEIGHT_MAX);
    if (rule->max_count < 0)
        r = err_field(reterr, at, "range", "max_count must not be negative");
    return r;
}

static void
kind_init(const struct sched *s, const struct sched_request *rq,
          struct sched_kind *k)
{
    const struct sched_weights *w =
        rq->weights ? rq->weights : &sched_weights_default;

    k->need = sched_vector(&rq->need);
    k->traits = rq->traits_required;
    k->traits_forbidden = rq->traits_forbidden;
    k->traits_preferred = w->traits_preferred ? rq->traits_preferred : 0;
    k->aggregates = rq->aggregates;
    k->aggregates_forbidden = rq->aggregates_forbidden;
    for (int d = 0; d < SCHED_DIMS; d++)
        k->dims |= (uint32_t)(k->need.v[d] > 0) << d;
    k->policy = (int32_t)rq->policy;
    k->one_cell = rq->one_cell;
    k->life = w->lifetime ? sched_life(rq->expected_end - s->now) : 0;
    k->weight[DIM_VCPUS] = w->vcpus;
    k->weight[DIM_MEMORY] = w->memory;
    k->weight[DIM_DISK] = w->disk;
    k->weight[DIM_IOPS] = w->iops;
    k->weight[DIM_NET] = w->net;
    k->weight[DIM_ADDRESSES] = w->addresses;
    k->weight[DIM_HUGEPAGES] = w->hugepages;
    k->w_traits = k->traits_preferred ? w->traits_preferred : 0;
    k->w_life = k->life ? w->lifetime : 0;
}

/* What rules by zone say of each zone. */
static void
zones_init(const struct sched *s, struct sched_query *q)
{
    const struct sched_request *rq = q->rq;

    memset(q->zone_refused, 0, sizeof(q->zone_refused));
    memset(q->zone_score, 0, sizeof(q->zone_score));
    for (size_t i = 0; i < rq->n_rules; i++) {
        if (rq->rules[i].scope != SCHED_BY_ZONE)
            continue;
        if (rq->rules[i].affinity == SCHED_EVEN)
            q->fewest[i] = fewest_in(s, q, q->groups[i]);
        for (unsigned z = 0; z < SCHED_ZONES; z++) {
            bool refused = false;

            q->zone_score[z] += zone_rule(q, i, z, &refused);
            if (refused && !q->zone_refused[z])
                q->zone_refused[z] = (uint8_t)(i + 1);
        }
    }
}

/* Among the zones of the request that have an open node. */
static size_t
fewest_in(const struct sched *s, const struct sched_query *q,
          const struct sched_group *g)
{
    struct sched_pool *const *pools = s->shared;
    size_t n = SCHED_ZONES, fewest = SIZE_MAX;

    if (q->rq->dedicated) {
        pools = q->project ? q->project->pools : NULL;
        n = q->project ? q->project->n_pools : 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (pools[i] && pools[i]->open && sched_pool_admits(q, pools[i])) {
            size_t in = sched_group_in(g, pools[i]->zone);
            fewest = MIN(fewest, in);
        }
    }
    return fewest == SIZE_MAX ? 0 : fewest;
}

static int64_t
capped(size_t count, int64_t max_count)
{
    int64_t over = (int64_t)count - max_count;

    return over <= 0 ? 0 : MIN(over, (int64_t)SCHED_COUNT_MAX);
}

static int64_t
zone_rule(const struct sched_query *q, size_t i, unsigned zone,
          bool *ret_refused)
{
    const struct sched_group_rule *r = &q->rq->rules[i];
    size_t in = sched_group_in(q->groups[i], zone);
    int64_t ahead = (int64_t)in - (int64_t)q->fewest[i];

    switch (r->affinity) {
    case SCHED_APART:
        *ret_refused = !r->weight && (int64_t)in > r->max_count;
        return -r->weight * SCHED_PART * capped(in, r->max_count);
    case SCHED_TOGETHER:
        *ret_refused = !r->weight && q->groups[i] && !in;
        return in ? r->weight * SCHED_PART : 0;
    default:
        *ret_refused = !r->weight && ahead >= MAX(r->max_count, INT64_C(1));
        return -r->weight * SCHED_PART * capped((size_t)MAX(ahead, 0), 0);
    }
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
    return -r->weight * SCHED_PART * capped(on, r->max_count);
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
