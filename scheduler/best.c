/* best.c - tournaments of nodes for requests that repeat; see best.h. */
#include <config.h>

#include "scheduler/best.h"

#include "common/mem.h"
#include "scheduler/sched-private.h"

#define KINDS 32 /* of requests; the one not asked for longest makes room */
#define JOURNAL 1024
/* Bytes that tournaments may take together, whatever the number of nodes. */
#define MEMORY_MAX ((size_t)64 << 20)

struct tournament {
    struct sched_vector need;
    uint64_t traits;
    enum sched_policy policy;
    uint64_t used;   /* when last; 0: never */
    uint64_t at;     /* what of the journal was played */
    uint64_t layout; /* the slots for which it was built */
    size_t leaves;   /* a power of two, at least s->n */
    int64_t *score;  /* by slot; -1: does not fit */
    uint32_t *won;   /* won[1]: the best; won[k] of won[2k] and won[2k + 1] */
};

struct sched_best {
    struct tournament kinds[KINDS];
    uint64_t uses, layout;
    uint64_t changes; /* slots that were written to the journal */
    uint32_t journal[JOURNAL];
};

struct sched_best *
sched_best_new(void)
{
    return xnew(struct sched_best);
}

static void
forget(struct tournament *t)
{
    free(t->score);
    free(t->won);
    *t = (struct tournament){0};
}

void
sched_best_free(struct sched_best *b)
{
    if (!b)
        return;
    for (int i = 0; i < KINDS; i++)
        forget(&b->kinds[i]);
    free(b);
}

void
sched_best_touch(struct sched_best *b, size_t i)
{
    b->journal[b->changes++ % JOURNAL] = (uint32_t)i;
}

void
sched_best_reset(struct sched_best *b)
{
    b->layout++;
}

static uint32_t
winner(const struct sched *s, const struct tournament *t, uint32_t a,
       uint32_t b)
{
    if (b >= s->n || t->score[b] < 0)
        return a;
    if (a >= s->n || t->score[a] != t->score[b])
        return a >= s->n || t->score[b] > t->score[a] ? b : a;
    return strcmp(s->entry[a]->id, s->entry[b]->id) < 0 ? a : b;
}

/* Who comes out of node k of the tree, whose leaves are the slots. */
static uint32_t
out_of(const struct tournament *t, size_t k)
{
    return k >= t->leaves ? (uint32_t)(k - t->leaves) : t->won[k];
}

static void
play(const struct sched *s, struct tournament *t, size_t k)
{
    t->won[k] = winner(s, t, out_of(t, 2 * k), out_of(t, 2 * k + 1));
}

static void
build(const struct sched *s, struct tournament *t)
{
    size_t leaves = 2;

    while (leaves < s->n)
        leaves *= 2;
    if (leaves != t->leaves) {
        t->leaves = leaves;
        t->score = xrealloc(t->score, leaves * sizeof(*t->score));
        t->won = xrealloc(t->won, leaves * sizeof(*t->won));
    }
    for (size_t i = 0; i < s->n; i++)
        t->score[i] = sched_score(s, i, &t->need, t->traits, t->policy);
    for (size_t k = leaves - 1; k > 0; k--)
        play(s, t, k);
}

static void
replay(const struct sched *s, struct tournament *t, size_t i)
{
    t->score[i] = sched_score(s, i, &t->need, t->traits, t->policy);
    for (size_t k = (t->leaves + i) / 2; k > 0; k /= 2) {
        uint32_t before = t->won[k];

        play(s, t, k);
        if (t->won[k] == before && before != i)
            break; /* i lost before and loses now: nobody above hears of it */
    }
}

static struct tournament *
kind_of(const struct sched *s, const struct sched_request *rq)
{
    struct sched_best *b = s->best;
    struct sched_vector need = sched_vector(&rq->need);
    size_t each = 2 * (s->n + 1) * (sizeof(int64_t) + sizeof(uint32_t));
    size_t room = MIN(MEMORY_MAX / each, (size_t)KINDS);
    size_t kinds = MAX(room, (size_t)1);
    struct tournament *oldest = &b->kinds[0];

    for (size_t i = 0; i < KINDS; i++) {
        struct tournament *t = &b->kinds[i];

        if (i >= kinds) {
            forget(t);
            continue;
        }
        if (t->used && t->policy == rq->policy &&
            t->traits == rq->traits_required &&
            memcmp(&t->need, &need, sizeof(need)) == 0)
            return t;
        if (t->used < oldest->used)
            oldest = t;
    }
    oldest->need = need;
    oldest->traits = rq->traits_required;
    oldest->policy = rq->policy;
    oldest->layout = b->layout - 1; /* of nothing: it is built */
    return oldest;
}

int
sched_best_find(const struct sched *s, const struct sched_request *rq,
                size_t *ret)
{
    struct sched_best *b = s->best;

    if (s->n == 0)
        return -ENOSPC;
    struct tournament *t = kind_of(s, rq);
    t->used = ++b->uses;
    if (t->layout != b->layout || b->changes - t->at > JOURNAL)
        build(s, t);
    else
        for (; t->at != b->changes; t->at++)
            replay(s, t, b->journal[t->at % JOURNAL]);
    t->layout = b->layout;
    t->at = b->changes;
    uint32_t best = t->won[1];
    if (best >= s->n || t->score[best] < 0)
        return -ENOSPC;
    *ret = best;
    return 0;
}
