/* query.c - checks a request, and works out what of it is the same for every
 * node; see fit.h. */
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
zone_rule(const struct sched_query *q, size_t i, unsigned zone,
          bool *ret_refused)
{
    const struct sched_group_rule *r = &q->rq->rules[i];
    size_t in = sched_group_in(q->groups[i], zone);
    int64_t ahead = (int64_t)in - (int64_t)q->fewest[i];

    switch (r->affinity) {
    case SCHED_APART:
        *ret_refused = !r->weight && (int64_t)in > r->max_count;
        return -r->weight * SCHED_PART * sched_over(in, r->max_count);
    case SCHED_TOGETHER:
        *ret_refused = !r->weight && q->groups[i] && !in;
        return in ? r->weight * SCHED_PART : 0;
    default:
        *ret_refused = !r->weight && ahead >= MAX(r->max_count, INT64_C(1));
        return -r->weight * SCHED_PART * sched_over((size_t)MAX(ahead, 0), 0);
    }
}
