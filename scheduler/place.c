/* place.c - chooses a node and explains the choice; see sched.h. */
#include <config.h>

#include "scheduler/sched.h"

#include <inttypes.h>

#include "common/buf.h"
#include "common/mem.h"
#include "scheduler/best.h"
#include "scheduler/sched-private.h"

static enum sched_rule rule_of(const struct sched *s, size_t i,
                               const struct sched_vector *need,
                               uint64_t traits);
static int64_t score_of(const struct sched *s, size_t i,
                        const struct sched_vector *need,
                        enum sched_policy policy);
static void explain(const struct sched *s, const struct sched_request *rq,
                    struct sched_explain *ret);
static void verdict_fill(const struct sched *s, size_t i,
                         const struct sched_vector *need,
                         const struct sched_request *rq,
                         struct sched_verdict *v);
static int no_fit(const struct sched *s, const struct sched_request *rq,
                  struct err *reterr);

/* name: for programs. text: for people, after a count ("2 down"). */
static const struct {
    const char *name, *text;
} rules[SCHED_RULES] = {
    [SCHED_FITS] = {"fits", "fits"},
    [SCHED_DOWN] = {"down", "down"},
    [SCHED_QUARANTINED] = {"quarantined", "quarantined"},
    [SCHED_DRAINING] = {"draining", "draining"},
    [SCHED_UNSCHEDULABLE] = {"unschedulable", "closed to new instances"},
    [SCHED_ZONE] = {"zone", "in another zone"},
    [SCHED_AGGREGATE] = {"aggregate", "outside the wanted aggregates"},
    [SCHED_DEDICATED] = {"dedicated", "dedicated otherwise"},
    [SCHED_TRAITS] = {"traits", "without a required trait"},
    [SCHED_TRAITS_FORBIDDEN] = {"traits_forbidden", "with a forbidden trait"},
    [SCHED_VCPUS] = {"vcpus", "too few vCPUs"},
    [SCHED_MEMORY] = {"memory", "too little memory"},
    [SCHED_DISK] = {"disk", "too little disk"},
    [SCHED_IOPS] = {"iops", "too few IOPS"},
    [SCHED_NET] = {"net", "too little bandwidth"},
    [SCHED_ADDRESSES] = {"addresses", "too few addresses"},
    [SCHED_HUGEPAGES] = {"hugepages", "too few hugepages"},
    [SCHED_DEVICES] = {"devices", "too few devices"},
    [SCHED_CELL] = {"cell", "room in no one NUMA cell"},
    [SCHED_RESERVED] = {"reserved", "room held for others"},
    [SCHED_AFFINITY] = {"affinity", "away from the group"},
    [SCHED_ANTI_AFFINITY] = {"anti_affinity", "with too many of the group"},
    [SCHED_UNEVEN] = {"uneven", "in a zone ahead of others"},
};

int
sched_place(struct sched *s, const struct sched_request *rq,
            char ret_node_id[ID_SIZE], struct sched_explain *ret_explain,
            struct err *reterr)
{
    size_t best = 0;

    int r = sched_resources_check(&rq->need, "/need", reterr);
    if (rq->policy != SCHED_SPREAD && rq->policy != SCHED_PACK)
        r = err_field(reterr, "/policy", "enum", "must be spread or pack");
    if (r < 0)
        return r;
    r = sched_best_find(s, rq, &best);
    if (ret_explain)
        explain(s, rq, ret_explain);
    if (r < 0)
        return no_fit(s, rq, reterr);
    memcpy(ret_node_id, s->entry[best]->id, ID_SIZE);
    return 0;
}

int64_t
sched_score(const struct sched *s, size_t i, const struct sched_vector *need,
            uint64_t traits, enum sched_policy policy)
{
    return rule_of(s, i, need, traits) == SCHED_FITS
               ? score_of(s, i, need, policy)
               : -1;
}

void
sched_explain_release(struct sched_explain *e)
{
    free(e->verdicts);
    *e = (struct sched_explain){0};
}

const char *
sched_rule_name(enum sched_rule rule)
{
    return (unsigned)rule < SCHED_RULES ? rules[rule].name : "unknown";
}

char *
sched_verdict_text(const struct sched_verdict *v,
                   char out[SCHED_VERDICT_TEXT_MAX])
{
    switch (v->rule) {
    case SCHED_FITS:
        snprintf(out, SCHED_VERDICT_TEXT_MAX, "fits: score %" PRId64, v->score);
        break;
    case SCHED_TRAITS:
        snprintf(out, SCHED_VERDICT_TEXT_MAX, "%s: missing 0x%" PRIx64,
                 rules[v->rule].text, v->traits_missing);
        break;
    case SCHED_VCPUS:
    case SCHED_MEMORY:
    case SCHED_DISK:
        snprintf(out, SCHED_VERDICT_TEXT_MAX,
                 "%s: %" PRId64 " asked, %" PRId64 " free", rules[v->rule].text,
                 v->asked, v->free);
        break;
    case SCHED_DOWN:
    case SCHED_UNSCHEDULABLE:
        snprintf(out, SCHED_VERDICT_TEXT_MAX, "%s", rules[v->rule].text);
        break;
    default:
        snprintf(out, SCHED_VERDICT_TEXT_MAX, "unknown rule %d", v->rule);
        break;
    }
    return out;
}

static inline enum sched_rule
rule_of(const struct sched *s, size_t i, const struct sched_vector *need,
        uint64_t traits)
{
    if (!(s->flags[i] & NODE_UP))
        return SCHED_DOWN;
    if (!(s->flags[i] & NODE_SCHEDULABLE))
        return SCHED_UNSCHEDULABLE;
    if (traits & ~s->traits[i])
        return SCHED_TRAITS;
    for (int d = 0; d < SCHED_DIMS; d++) {
        if (need->v[d] > s->room[d][i])
            return SCHED_VCPUS + (enum sched_rule)d;
    }
    return SCHED_FITS;
}

/* For a node that fits. */
static inline int64_t
score_of(const struct sched *s, size_t i, const struct sched_vector *need,
         enum sched_policy policy)
{
    int64_t sum = 0;

    for (int d = 0; d < SCHED_DIMS; d++) {
        uint64_t left = (uint64_t)(s->room[d][i] - need->v[d]);
        /* Below 2^32 x (2^62 / 2^32 + 1): no overflow, and at most
         * SCHED_ONE. */
        int64_t part =
            (int64_t)(((left >> s->shift[d][i]) * s->weight[d][i]) >> 42);
        if (policy == SCHED_SPREAD)
            part = s->weight[d][i] ? SCHED_ONE - part : 0;
        sum += part * part;
    }
    return SCHED_DIMS * SCHED_ONE * SCHED_ONE - sum;
}

static int
verdict_cmp(const void *a, const void *b)
{
    const struct sched_verdict *x = a, *y = b;

    if ((x->rule == SCHED_FITS) != (y->rule == SCHED_FITS))
        return x->rule == SCHED_FITS ? -1 : 1;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return strcmp(x->node_id, y->node_id);
}

static void
explain(const struct sched *s, const struct sched_request *rq,
        struct sched_explain *ret)
{
    struct sched_vector need = sched_vector(&rq->need);

    *ret = (struct sched_explain){.n = s->n};
    if (s->n == 0)
        return;
    ret->verdicts = xcalloc(s->n, sizeof(*ret->verdicts));
    for (size_t i = 0; i < s->n; i++) {
        verdict_fill(s, i, &need, rq, &ret->verdicts[i]);
        ret->count[ret->verdicts[i].rule]++;
    }
    qsort(ret->verdicts, ret->n, sizeof(*ret->verdicts), verdict_cmp);
}

static void
verdict_fill(const struct sched *s, size_t i, const struct sched_vector *need,
             const struct sched_request *rq, struct sched_verdict *v)
{
    memcpy(v->node_id, s->entry[i]->id, ID_SIZE);
    v->rule = rule_of(s, i, need, rq->traits_required);
    switch (v->rule) {
    case SCHED_FITS:
        v->score = score_of(s, i, need, rq->policy);
        break;
    case SCHED_TRAITS:
        v->traits_missing = rq->traits_required & ~s->traits[i];
        break;
    case SCHED_VCPUS:
    case SCHED_MEMORY:
    case SCHED_DISK:
        v->asked = need->v[v->rule - SCHED_VCPUS];
        v->free = s->room[v->rule - SCHED_VCPUS][i];
        break;
    default:
        break;
    }
}

/* "no node fits: 3 too little memory, 1 down": the commonest reason first. */
static int
no_fit(const struct sched *s, const struct sched_request *rq,
       struct err *reterr)
{
    struct sched_vector need = sched_vector(&rq->need);
    struct buf text _cleanup_(buf_release) = {0};
    size_t count[SCHED_RULES] = {0};

    if (s->n == 0)
        return err_set(reterr, -ENOSPC, "no_capacity",
                       "no node fits: the cluster has no nodes");
    for (size_t i = 0; i < s->n; i++)
        count[rule_of(s, i, &need, rq->traits_required)]++;
    for (;;) {
        int top = 0;

        for (int rule = 1; rule < SCHED_RULES; rule++) {
            if (count[rule] > count[top])
                top = rule;
        }
        if (count[top] == 0)
            break;
        buf_addf(&text, "%s%zu %s", text.len ? ", " : "", count[top],
                 top == SCHED_TRAITS && rq->traits_lacking ? rq->traits_lacking
                                                           : rules[top].text);
        count[top] = 0;
    }
    return err_set(reterr, -ENOSPC, "no_capacity", "no node fits: %s",
                   buf_str(&text));
}
