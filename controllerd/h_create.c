/* h_create.c - creates of instances: one, and many of one description.
 * Names of a batch are NAME-1, NAME-2 and so on, all of them free: a taken one
 * refuses the whole batch, whatever its policy, so that a batch that is sent
 * again without a key does not make others. */
#include <config.h>

#include "controllerd/handlers.h"

#include <string.h>

#include "common/mem.h"
#include "controllerd/create.h"
#include "controllerd/quota.h"

/* Dry runs read; see h_dry_run.c. */
int
h_instance_create_plain(struct call *c)
{
    bool dry;
    int r = query_flag(c, "dry_run", &dry);

    return r < 0 ? r : dry ? CALL_READ : CALL_WRITE;
}

void
h_instance_reply(struct call *c, struct api_instance *a)
{
    char *node = a->node_id;

    if (c->who.role != ROLE_OPERATOR)
        a->node_id = NULL;
    reply_object(c, &table_instance, a);
    a->node_id = node;
}

static int
take_quota(struct call *c, struct db *db, const struct create_plan *p,
           int64_t n, const char *count_at, const char *size_at)
{
    struct api_quota_values delta = create_quota(p, n);

    return quota_take(c, db, call_acting_project(c), &delta, count_at, size_at);
}

int
h_instance_create(struct call *c, struct db *db)
{
    struct api_instance *in = c->in, a = {0};
    struct create_plan p _cleanup_(create_plan_release) = {0};
    int r = create_plan(c, db, in, "", &p);

    if (r == 0)
        r = take_quota(c, db, &p, 1, "", "/flavor");
    if (r == 0)
        r = create_one(c, db, &p, in->name, &a);
    if (r < 0)
        return r;
    h_instance_reply(c, &a);
    call_location(c, "/v1/instances", a.id);
    codec_clear(&table_instance, &a);
    return 0;
}

/* ---- batches ---- */

/* How many may be asked for by quota; the rest of what a batch with policy
 * `fit` wants is left out. */
static int
batch_quota(struct call *c, struct db *db, const struct create_plan *p,
            const struct api_instance_batch *b, int64_t *ret_n)
{
    struct api_quota_values limits, used, one = create_quota(p, 1);
    int64_t generation, n = b->count;

    if (b->policy == BATCH_FIT) {
        int r =
            store_quota_get(db, call_acting_project(c), &limits, &generation);

        if (r < 0)
            return store_error(c, db, r);
        quota_used(c->ctl, call_acting_project(c), &used);
        n = MAX(quota_room(&limits, &used, &one, n), INT64_C(1));
    }
    *ret_n = n;
    return take_quota(c, db, p, n, "/count", "/count");
}

/* Makes up to n; less than all of them is good for policy `fit` only. */
static int
make_many(struct call *c, struct db *db, const struct create_plan *p,
          struct api_instance_batch *b, int64_t n)
{
    for (int64_t k = 1; k <= n; k++) {
        char *name _cleanup_(freep) = create_batch_name(b->instance->name, k);
        struct api_instance a = {0};
        int r = create_one(c, db, p, name, &a);

        if (r == -ENOSPC && b->policy == BATCH_FIT && k > 1 &&
            streq(c->err.code, "no_capacity")) {
            struct api_quota_values rest = create_quota(p, n - k + 1);

            err_release(&c->err);
            c->err = (struct err){0};
            quota_untake(c, &rest);
            return 0;
        }
        if (r < 0) {
            if (r == -ENOSPC && k > 1)
                err_prefix(&c->err, "%lld of %lld fit", (long long)k - 1,
                           (long long)n);
            return r;
        }
        if (c->who.role != ROLE_OPERATOR)
            freep(&a.node_id);
        *(struct api_instance *)codec_list_add(&table_instance, &b->items) = a;
        b->created++;
    }
    return 0;
}

int
h_instance_batch(struct call *c, struct db *db)
{
    struct api_instance_batch *b = c->in;
    struct create_plan p _cleanup_(create_plan_release) = {0};
    int64_t n = 0;
    int r = create_batch_check(c, b);

    if (r == 0)
        r = create_plan(c, db, b->instance, "/instance", &p);
    if (r == 0)
        r = batch_quota(c, db, &p, b, &n);
    if (r == 0)
        r = make_many(c, db, &p, b, n);
    if (r < 0) {
        h_instance_create_undo(c);
        return r;
    }
    /* It was asked for with the instances; they are in `items` now. */
    codec_clear(&table_instance, b->instance);
    freep(&b->instance);
    reply_object(c, &table_instance_batch, b);
    return 0;
}

void
h_instance_created(struct call *c)
{
    const struct created *w = c->work;

    for (size_t i = 0; w && i < w->n; i++)
        waiters_notify(c->ctl, waiters_key(w->nodes[i]));
}
