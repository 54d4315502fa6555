/* h_dry_run.c - what a create would do, on a copy of the cluster.
 * It reads: on an HTTP thread, with no claim that another create could miss. */
#include <config.h>

#include "controllerd/handlers.h"

#include <string.h>

#include "common/mem.h"
#include "controllerd/create.h"
#include "controllerd/price.h"
#include "controllerd/quota.h"

/* What is tried, and what came of it. */
struct trial {
    struct create_plan plan;
    struct api_quota_values limits, used;
    int64_t generation;
    int64_t asked, placed; /* instances; placed: those that find a node */
    char first[ID_SIZE];
    struct codec_list refusals; /* of the first that does not */
};

static void
trial_release(struct trial *t)
{
    create_plan_release(&t->plan);
    codec_list_clear(&table_refusal, &t->refusals);
}

static void
take_refusals(struct trial *t, const struct sched_explain *why)
{
    for (int rule = SCHED_FITS + 1; rule < SCHED_RULES; rule++) {
        if (!why->count[rule])
            continue;
        struct api_refusal *r = codec_list_add(&table_refusal, &t->refusals);

        r->reason = xstrdup(sched_rule_name((enum sched_rule)rule));
        r->nodes = (int64_t)why->count[rule];
    }
}

/* Places as many as are asked for, each where the ones before leave room. */
static int
place_all(struct call *c, struct trial *t)
{
    struct sched *copy _cleanup_(sched_freep) = NULL;
    struct sched_explain why = {0};
    char node[ID_SIZE];
    int r = 0;

    pthread_mutex_lock(&c->ctl->sched_lock);
    copy = sched_copy(c->ctl->sched);
    pthread_mutex_unlock(&c->ctl->sched_lock);
    while (t->placed < t->asked) {
        r = sched_place(copy, &t->plan.request, node, NULL, NULL);
        if (r == 0)
            r = sched_claim(copy, node, &t->plan.need, NULL);
        if (r < 0)
            break;
        if (t->placed++ == 0)
            memcpy(t->first, node, ID_SIZE);
    }
    if (r == -ENOSPC) {
        r = sched_place(copy, &t->plan.request, node, &why, NULL);
        take_refusals(t, &why);
        sched_explain_release(&why);
        r = r == -ENOSPC ? 0 : r;
    }
    return r < 0 ? err_errno(&c->err, r, "cannot try the placement") : 0;
}

static int
prepare(struct call *c, struct db *db, const struct api_instance *in,
        const char *at, struct trial *t)
{
    const char *project;
    int r = create_plan(c, db, in, at, &t->plan);

    if (r < 0)
        return r;
    project = call_acting_project(c);
    r = store_quota_get(db, project, &t->limits, &t->generation);
    if (r < 0)
        return store_error(c, db, r);
    quota_used(c->ctl, project, &t->used);
    return place_all(c, t);
}

/* sum += n; INT64_MAX where that cannot be counted. */
static void
add(int64_t *sum, int64_t n)
{
    if (__builtin_add_overflow(*sum, n, sum))
        *sum = INT64_MAX;
}

static int
answer(struct call *c, struct trial *t, enum api_batch_policy policy)
{
    struct api_quota_values one = create_quota(&t->plan, 1);
    int64_t allowed = quota_room(&t->limits, &t->used, &one, t->asked);
    int64_t count = MIN(t->placed, allowed);
    struct api_dry_run d = {
        .fits = policy == BATCH_FIT ? count > 0 : count == t->asked,
    };
    struct api_quota_values after = t->used;
    struct api_quota q = {.project_id = (char *)call_acting_project(c),
                          .generation = t->generation,
                          .limits = &t->limits,
                          .used = &after};

    d.count = d.fits ? count : 0;
    /* What does not fit is shown as it was asked for. */
    int64_t n = d.fits ? count : t->asked;
    struct api_quota_values delta = create_quota(&t->plan, n);
    struct api_quota_values all = create_quota(&t->plan, t->asked);
    add(&after.instances, delta.instances);
    add(&after.vcpus, delta.vcpus);
    add(&after.memory_bytes, delta.memory_bytes);
    add(&after.disk_bytes, delta.disk_bytes);
    if (allowed < t->asked)
        quota_faults(&t->limits, &t->used, &all, &d.quota);
    d.refusals = t->refusals;
    if (t->placed && c->who.role == ROLE_OPERATOR)
        d.node_id = t->first;
    d.quota_after = &q;
    if (t->plan.flavor.price_per_hour)
        d.price_per_hour =
            price_times(t->plan.flavor.price_per_hour, (unsigned)n);
    reply_object(c, &table_dry_run, &d);
    c->rq->status = 200;
    free(d.price_per_hour);
    codec_list_clear(&table_quota_fault, &d.quota);
    return 0;
}

static int
check_name(struct call *c, struct db *db, const struct create_plan *p,
           const char *name)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};
    int r = store_instance_get(db, call_acting_project(c), NULL, name, &i);

    if (r == 0)
        return create_name_taken(c, p, name);
    return r == -ENOENT ? 0 : store_error(c, db, r);
}

int
h_instance_create_dry(struct call *c, struct db *db)
{
    const struct api_instance *in = c->in;
    struct trial t _cleanup_(trial_release) = {.asked = 1};
    int r = call_resolve_acting(c, db);

    if (r == 0)
        r = prepare(c, db, in, "", &t);
    if (r == 0)
        r = check_name(c, db, &t.plan, in->name);
    return r < 0 ? r : answer(c, &t, BATCH_ALL);
}

int
h_instance_batch_dry(struct call *c, struct db *db)
{
    const struct api_instance_batch *b = c->in;
    struct trial t _cleanup_(trial_release) = {.asked = b->count};
    int r = create_batch_check(c, b);

    if (r == 0)
        r = call_resolve_acting(c, db);
    if (r == 0)
        r = prepare(c, db, b->instance, "/instance", &t);
    for (int64_t k = 1; k <= b->count && r == 0; k++) {
        char *name _cleanup_(freep) = create_batch_name(b->instance->name, k);

        r = check_name(c, db, &t.plan, name);
    }
    return r < 0 ? r : answer(c, &t, (enum api_batch_policy)b->policy);
}
