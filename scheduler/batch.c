/* batch.c - many requests at once; see plan.h. */
#include <config.h>

#include "scheduler/plan.h"

#include "common/mem.h"
#include "scheduler/sched-private.h"

struct turn { /* an item's, with its size */
    struct sched_batch_item *item;
    int64_t share;
};

static int check(const struct sched_batch_item *items, size_t n, bool keep,
                 size_t *ret_total, struct err *reterr);
static int turn_cmp(const void *a, const void *b);
static size_t put_item(struct sched *s, struct sched_batch_item *item,
                       struct sched_claimed **ret);
static struct sched_instance instance_of(const struct sched_batch_item *item,
                                         const char *keys[SCHED_KEYS_MAX]);
static int put_one(struct sched *s, const struct sched_batch_item *item,
                   size_t i, const struct sched_instance *in,
                   struct sched_claimed **ret);

int
sched_batch(struct sched *s, struct sched_batch_item *items, size_t n,
            bool keep, struct err *reterr)
{
    struct sched_claimed **added _cleanup_(freep) = NULL;
    struct turn *turns _cleanup_(freep) = NULL;
    size_t total = 0, n_added = 0;

    int r = check(items, n, keep, &total, reterr);
    if (r < 0)
        return r;
    added = xcalloc(total + 1, sizeof(struct sched_claimed *));
    turns = xcalloc(n + 1, sizeof(*turns));
    for (size_t i = 0; i < n; i++) {
        struct sched_vector need = sched_vector(&items[i].request->need);
        __int128 amount[SCHED_DIMS];

        for (int d = 0; d < SCHED_DIMS; d++)
            amount[d] = need.v[d];
        turns[i] = (struct turn){&items[i], sched_share(s, amount)};
    }
    qsort(turns, n, sizeof(*turns), turn_cmp);
    for (size_t i = 0; i < n; i++)
        n_added += put_item(s, turns[i].item, added + n_added);
    while (!keep && n_added > 0)
        sched_instance_drop(s, added[--n_added]);
    return 0;
}

static int
check(const struct sched_batch_item *items, size_t n, bool keep,
      size_t *ret_total, struct err *reterr)
{
    char at[40];
    int r = 0;

    for (size_t i = 0; i < n; i++) {
        const struct sched_batch_item *item = &items[i];

        *ret_total += MIN(item->count, (size_t)SCHED_BATCH_MAX + 1);
        if (n > SCHED_BATCH_MAX || *ret_total > SCHED_BATCH_MAX)
            return err_set(reterr, -E2BIG, "batch_too_large",
                           "a batch has at most %d instances", SCHED_BATCH_MAX);
        snprintf(at, sizeof(at), "/%zu/ids", i);
        if (keep && !item->ids && item->count)
            r = err_field(reterr, at, "required",
                          "what is kept must have an id");
        for (size_t k = 0; item->ids && k < item->count; k++) {
            if (!item->ids[k] || !id_valid(item->ids[k]))
                r = err_field(reterr, at, "format", "must be UUIDs");
        }
    }
    return r;
}

static int
turn_cmp(const void *a, const void *b)
{
    const struct turn *x = a, *y = b;

    if (x->share != y->share)
        return x->share > y->share ? -1 : 1;
    return x->item < y->item ? -1 : x->item > y->item;
}

/* How many stay added. */
static size_t
put_item(struct sched *s, struct sched_batch_item *item,
         struct sched_claimed **ret)
{
    const char *keys[SCHED_KEYS_MAX];
    struct sched_instance in = instance_of(item, keys);

    item->placed = 0;
    item->error = sched_instance_check(&in, NULL);
    while (item->error == 0 && item->placed < item->count) {
        item->error = put_one(s, item, item->placed, &in, &ret[item->placed]);
        if (item->error < 0)
            break;
        if (item->nodes)
            memcpy(item->nodes[item->placed], ret[item->placed]->e->id,
                   ID_SIZE);
        item->placed++;
    }
    while (item->gang && item->error < 0 && item->placed > 0)
        sched_instance_drop(s, ret[--item->placed]);
    return item->placed;
}

static struct sched_instance
instance_of(const struct sched_batch_item *item,
            const char *keys[SCHED_KEYS_MAX])
{
    const struct sched_request *rq = item->request;
    struct sched_instance in = {0};

    if (item->like)
        in = *item->like;
    in.project_id = rq->project_id;
    in.need = rq->need;
    in.one_cell = rq->one_cell;
    in.expected_end = rq->expected_end;
    if (item->like)
        return in;
    in.keys = keys;
    for (size_t i = 0; i < rq->n_rules && in.n_keys < SCHED_KEYS_MAX; i++) {
        size_t k = 0;

        while (k < in.n_keys && !streq(keys[k], rq->rules[i].key))
            k++;
        if (k == in.n_keys)
            keys[in.n_keys++] = rq->rules[i].key;
    }
    return in;
}

static int
put_one(struct sched *s, const struct sched_batch_item *item, size_t i,
        const struct sched_instance *in, struct sched_claimed **ret)
{
    struct sched_uuid id = {UINT64_MAX, 0};
    struct sched_entry *e;
    char node[ID_SIZE];

    int r = sched_place(s, item->request, node, NULL, NULL);
    if (r < 0)
        return r;
    r = sched_find(s, node, &e, NULL);
    if (r < 0)
        return r;
    if (item->ids)
        return sched_instance_put(s, sched_uuid(item->ids[i]), e, in, false,
                                  ret, NULL);
    do {
        id.lo = s->trials++;
        r = sched_instance_put(s, id, e, in, false, ret, NULL);
    } while (r == -EEXIST);
    return r;
}
