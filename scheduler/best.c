/* best.c - tournaments of nodes for requests that repeat; see best.h. */
#include <config.h>

#include "scheduler/best.h"

#include "common/mem.h"

#define KINDS 256 /* of requests; the one not asked for longest makes room */
#define AHEAD 8   /* changes whose nodes are fetched before they are played */

struct sched_tree {
    const struct sched_kind *kind;
    struct sched_pool *pool;
    uint64_t at;    /* what of the pool's journal was played */
    size_t leaves;  /* at least pool->n; 0: never built */
    int64_t *score; /* by position; -1: does not fit */
    uint32_t *won;  /* won[1]: the best; won[k] of won[2k] and won[2k + 1] */
};

struct kind {
    struct sched_kind key;
    uint64_t hash;
    uint64_t used;             /* when last; 0: never */
    struct sched_tree **trees; /* by pool->index; NULL: not asked for */
    size_t n;
};

struct sched_best {
    struct kind kinds[KINDS];
    uint8_t hint[KINDS]; /* by hash: the kind that had it last */
    uint64_t uses;
    size_t bytes;
    /* Of the tree that is walked: whose winners are candidates, a heap. */
    uint32_t *heap;
    size_t n, cap;
};

struct sched_best *
sched_best_new(void)
{
    return xnew(struct sched_best);
}

static size_t
bytes_of(size_t leaves)
{
    return leaves * (sizeof(int64_t) + sizeof(uint32_t));
}

static void
forget(struct sched_best *b, struct kind *k)
{
    for (size_t i = 0; i < k->n; i++) {
        struct sched_tree *t = k->trees[i];

        if (!t)
            continue;
        b->bytes -= bytes_of(t->leaves);
        free(t->score);
        free(t->won);
        free(t);
    }
    free(k->trees);
    *k = (struct kind){0};
}

void
sched_best_free(struct sched_best *b)
{
    if (!b)
        return;
    for (int i = 0; i < KINDS; i++)
        forget(b, &b->kinds[i]);
    free(b->heap);
    free(b);
}

/* Whether a beats b. */
static bool
beats(const struct sched_tree *t, uint32_t a, uint32_t b)
{
    if (t->score[a] != t->score[b])
        return t->score[a] > t->score[b];
    return t->score[a] < 0 ||
           sched_uuid_cmp(t->pool->slot[a].id, t->pool->slot[b].id) < 0;
}

/* Who comes out of node k of the tree, whose leaves are the positions. */
static uint32_t
out_of(const struct sched_tree *t, size_t k)
{
    return k >= t->leaves ? (uint32_t)(k - t->leaves) : t->won[k];
}

static void
play(struct sched_tree *t, size_t k)
{
    uint32_t a = out_of(t, 2 * k), b = out_of(t, 2 * k + 1);

    t->won[k] = beats(t, a, b) ? a : b;
}

static int64_t
judge(const struct sched_tree *t, size_t i)
{
    return i < t->pool->n ? sched_kind_score(t->kind, &t->pool->slot[i]) : -1;
}

/* What judge() will read of the node: large clusters do not fit a cache, and
 * the processor does not foresee records of which only half is read. */
static void
fetch(const struct sched_pool *p, size_t i)
{
    __builtin_prefetch(&p->slot[i]);
    __builtin_prefetch((const char *)&p->slot[i] + 64);
}

static void
build(struct sched_best *b, struct sched_tree *t)
{
    size_t leaves = MAX(t->pool->cap, (size_t)2);

    if (leaves != t->leaves) {
        b->bytes += bytes_of(leaves) - bytes_of(t->leaves);
        t->leaves = leaves;
        t->score = xrealloc(t->score, leaves * sizeof(*t->score));
        t->won = xrealloc(t->won, leaves * sizeof(*t->won));
    }
    for (size_t i = 0; i < leaves; i++) {
        fetch(t->pool, MIN(i + AHEAD, t->pool->cap - 1));
        t->score[i] = judge(t, i);
    }
    for (size_t k = leaves - 1; k > 0; k--)
        play(t, k);
}

static void
replay(struct sched_tree *t, size_t i)
{
    int64_t score = judge(t, i);

    if (score < 0 && t->score[i] < 0)
        return;
    t->score[i] = score;
    for (size_t k = (t->leaves + i) / 2; k > 0; k /= 2) {
        uint32_t before = t->won[k];

        play(t, k);
        if (t->won[k] == before && before != i)
            break; /* i lost before and loses now: nobody above hears of it */
    }
}

static uint64_t
hash_of(const struct sched_kind *k)
{
    _Static_assert(sizeof(*k) % sizeof(uint64_t) == 0, "a kind has no padding");
    uint64_t word[sizeof(*k) / sizeof(uint64_t)], h = 0;

    memcpy(word, k, sizeof(word));
    for (size_t i = 0; i < ARRAY_SIZE(word); i++)
        h = (h ^ word[i]) * UINT64_C(0x9e3779b97f4a7c15) + (h >> 29);
    return h ^ h >> 32;
}

/* A place for another kind: a free one, or that of the oldest. */
static struct kind *
place_for_kind(struct sched_best *b)
{
    struct kind *oldest = &b->kinds[0];

    for (size_t i = 1; i < KINDS; i++) {
        if (b->kinds[i].used < oldest->used)
            oldest = &b->kinds[i];
    }
    return oldest;
}

/* The oldest of those that are remembered, but one; NULL: there is no other. */
static struct kind *
oldest_but(struct sched_best *b, const struct kind *but)
{
    struct kind *oldest = NULL;

    for (size_t i = 0; i < KINDS; i++) {
        struct kind *k = &b->kinds[i];

        if (k != but && k->used && (!oldest || k->used < oldest->used))
            oldest = k;
    }
    return oldest;
}

static struct kind *
kind_of(struct sched_best *b, const struct sched_kind *key)
{
    uint64_t h = hash_of(key);
    uint8_t *hint = &b->hint[h % KINDS];
    struct kind *k = &b->kinds[*hint];

    for (size_t i = 0; i <= KINDS; i++) {
        if (k->used && k->hash == h &&
            memcmp(&k->key, key, sizeof(*key)) == 0) {
            *hint = (uint8_t)(k - b->kinds);
            return k;
        }
        k = &b->kinds[i % KINDS];
    }
    k = place_for_kind(b);
    forget(b, k);
    k->key = *key;
    k->hash = h;
    *hint = (uint8_t)(k - b->kinds);
    return k;
}

static struct sched_tree *
tree_of(struct kind *k, struct sched_pool *p)
{
    if (p->index >= k->n) {
        size_t n = p->index + 1;

        k->trees = xrealloc(k->trees, n * sizeof(struct sched_tree *));
        memset(k->trees + k->n, 0, (n - k->n) * sizeof(struct sched_tree *));
        k->n = n;
    }
    struct sched_tree *t = k->trees[p->index];
    if (!t) {
        t = k->trees[p->index] = xnew(struct sched_tree);
        t->kind = &k->key;
        t->pool = p;
    }
    return t;
}

static void
catch_up(struct sched_tree *t)
{
    const struct sched_pool *p = t->pool;
    size_t mask = p->journal_size - 1;

    for (; t->at != p->changes; t->at++) {
        /* It may be an old entry: harmless, and within the array's room. */
        fetch(p, p->journal[(t->at + AHEAD) & mask]);
        replay(t, p->journal[t->at & mask]);
    }
}

struct sched_tree *
sched_best_tree(struct sched_best *b, const struct sched_kind *key,
                struct sched_pool *p)
{
    struct kind *k = kind_of(b, key);
    struct sched_tree *t = tree_of(k, p);
    uint64_t missed = p->changes - t->at;

    k->used = ++b->uses;
    if (p->cap > t->leaves || missed > p->journal_size || missed > p->cap) {
        build(b, t);
        while (b->bytes > SCHED_BEST_BYTES_MAX) {
            struct kind *oldest = oldest_but(b, k);

            if (!oldest)
                break;
            forget(b, oldest);
        }
    } else {
        catch_up(t);
    }
    t->at = p->changes;
    return t;
}

static bool
above(const struct sched_tree *t, uint32_t k, uint32_t l)
{
    return beats(t, out_of(t, k), out_of(t, l));
}

static void
heap_push(struct sched_best *b, const struct sched_tree *t, uint32_t k)
{
    size_t i = b->n++;

    if (b->n > b->cap) {
        b->cap = b->cap ? b->cap * 2 : 64;
        b->heap = xrealloc(b->heap, b->cap * sizeof(*b->heap));
    }
    for (; i > 0 && above(t, k, b->heap[(i - 1) / 2]); i = (i - 1) / 2)
        b->heap[i] = b->heap[(i - 1) / 2];
    b->heap[i] = k;
}

static uint32_t
heap_pop(struct sched_best *b, const struct sched_tree *t)
{
    uint32_t top = b->heap[0], last = b->heap[--b->n];
    size_t i = 0;

    for (size_t c = 1; c < b->n; c = 2 * i + 1) {
        if (c + 1 < b->n && above(t, b->heap[c + 1], b->heap[c]))
            c++;
        if (above(t, last, b->heap[c]))
            break;
        b->heap[i] = b->heap[c];
        i = c;
    }
    b->heap[i] = last;
    return top;
}

const struct sched_slot *
sched_best_first(struct sched_best *b, struct sched_tree *t, int64_t *ret_score)
{
    b->n = 0;
    if (t->score[t->won[1]] < 0)
        return NULL;
    heap_push(b, t, 1);
    *ret_score = t->score[t->won[1]];
    return &t->pool->slot[t->won[1]];
}

/* The winner of the candidate on top has been told: those who lost to it on
 * its way up, below that candidate, are candidates in its place. */
const struct sched_slot *
sched_best_next(struct sched_best *b, struct sched_tree *t, int64_t *ret_score)
{
    uint32_t k = heap_pop(b, t), told = out_of(t, k);

    for (size_t i = (t->leaves + told); i > k; i /= 2) {
        uint32_t loser = (uint32_t)(i ^ 1);

        if (t->score[out_of(t, loser)] >= 0)
            heap_push(b, t, loser);
    }
    if (b->n == 0)
        return NULL;
    uint32_t best = out_of(t, b->heap[0]);
    *ret_score = t->score[best];
    return &t->pool->slot[best];
}

size_t
sched_best_bytes(const struct sched_best *b)
{
    return sizeof(*b) + b->bytes + b->cap * sizeof(*b->heap);
}

bool
sched_best_consistent(const struct sched_best *b)
{
    size_t bytes = 0;

    for (size_t i = 0; i < KINDS; i++) {
        for (size_t j = 0; j < b->kinds[i].n; j++) {
            struct sched_tree *t = b->kinds[i].trees[j];

            if (!t)
                continue;
            bytes += bytes_of(t->leaves);
            if (t->at != t->pool->changes || t->leaves < t->pool->cap)
                continue;
            for (size_t k = 0; k < t->leaves; k++)
                if (t->score[k] != judge(t, k))
                    return false;
            for (size_t k = t->leaves - 1; k > 0; k--) {
                uint32_t x = out_of(t, 2 * k), y = out_of(t, 2 * k + 1);
                uint32_t loser = t->won[k] == x ? y : x;

                if ((t->won[k] != x && t->won[k] != y) ||
                    (t->score[loser] >= 0 && beats(t, loser, t->won[k])))
                    return false;
            }
        }
    }
    return bytes == b->bytes;
}
