/* explain.c - why nodes fit or not; see place.h. */
#include <config.h>

#include "scheduler/explain.h"

#include <inttypes.h>

#include "common/buf.h"
#include "common/mem.h"

static int verdict_cmp(const void *a, const void *b);
static const char *text_of(const struct sched_query *q, int rule);

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

void
sched_explain_fill(const struct sched *s, const struct sched_query *q,
                   struct sched_explain *ret)
{
    size_t n = 0;

    *ret = (struct sched_explain){.n = s->n};
    if (s->n == 0)
        return;
    ret->verdicts = xcalloc(s->n, sizeof(*ret->verdicts));
    for (size_t i = 0; i < s->n_pools; i++) {
        const struct sched_pool *p = s->pools[i];

        for (size_t k = 0; k < p->n; k++, n++) {
            sched_query_verdict(s, q, &p->slot[k], &ret->verdicts[n]);
            ret->count[ret->verdicts[n].rule]++;
        }
    }
    qsort(ret->verdicts, ret->n, sizeof(*ret->verdicts), verdict_cmp);
}

int
sched_explain_no_fit(const struct sched *s, const struct sched_query *q,
                     struct err *reterr)
{
    struct buf text _cleanup_(buf_release) = {0};
    size_t count[SCHED_RULES] = {0};
    int64_t score;

    if (s->n == 0)
        return err_set(reterr, -ENOSPC, "no_capacity",
                       "no node fits: the cluster has no nodes");
    for (size_t i = 0; i < s->n_pools; i++)
        for (size_t k = 0; k < s->pools[i]->n; k++)
            count[sched_query_rule(s, q, &s->pools[i]->slot[k], &score)]++;
    for (;;) {
        int top = 0;

        for (int rule = 1; rule < SCHED_RULES; rule++) {
            if (count[rule] > count[top])
                top = rule;
        }
        if (count[top] == 0)
            break;
        buf_addf(&text, "%s%zu %s", text.len ? ", " : "", count[top],
                 text_of(q, top));
        count[top] = 0;
    }
    return err_set(reterr, -ENOSPC, "no_capacity", "no node fits: %s",
                   buf_str(&text));
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
    const size_t max = SCHED_VERDICT_TEXT_MAX;

    if ((unsigned)v->rule >= SCHED_RULES) {
        snprintf(out, max, "unknown rule %d", (int)v->rule);
        return out;
    }
    switch (v->rule) {
    case SCHED_FITS:
        snprintf(out, max, "fits: score %" PRId64, v->score);
        break;
    case SCHED_TRAITS:
        snprintf(out, max, "%s: missing 0x%" PRIx64, rules[v->rule].text,
                 v->traits_missing);
        break;
    case SCHED_TRAITS_FORBIDDEN:
        snprintf(out, max, "%s: 0x%" PRIx64, rules[v->rule].text,
                 v->traits_missing);
        break;
    case SCHED_VCPUS ... SCHED_DEVICES:
        snprintf(out, max, "%s: %" PRId64 " asked, %" PRId64 " free",
                 rules[v->rule].text, v->asked, v->free);
        break;
    case SCHED_CELL:
    case SCHED_RESERVED:
        snprintf(out, max, "%s: %s: %" PRId64 " asked, %" PRId64 " free",
                 rules[v->rule].text,
                 sched_rule_name((enum sched_rule)v->resource), v->asked,
                 v->free);
        break;
    case SCHED_ANTI_AFFINITY:
        snprintf(out, max, "%s: %" PRId64 " there, at most %" PRId64,
                 rules[v->rule].text, v->free, v->asked);
        break;
    case SCHED_UNEVEN:
        snprintf(out, max, "%s by %" PRId64, rules[v->rule].text, v->free);
        break;
    default:
        snprintf(out, max, "%s", rules[v->rule].text);
        break;
    }
    return out;
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

static const char *
text_of(const struct sched_query *q, int rule)
{
    return rule == SCHED_TRAITS && q->rq->traits_lacking ? q->rq->traits_lacking
                                                         : rules[rule].text;
}
