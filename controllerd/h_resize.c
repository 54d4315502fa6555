/* h_resize.c - another flavor for an instance, on the node where it is.
 * What it takes more is claimed with the transaction; what it takes less is
 * given back once no run that has it can be there: at once where it is
 * stopped, else by ops/observe.c. */
#include <config.h>

#include "controllerd/handlers.h"

#include <string.h>

#include "common/count.h"
#include "common/mem.h"
#include "controllerd/ops/ops.h"
#include "controllerd/quota.h"

/* Between write() and the commit. */
struct resize {
    char node_id[ID_SIZE];
    struct sched_resources more, less;
};

static struct sched_resources
above(const struct sched_resources *a, const struct sched_resources *b)
{
    return (struct sched_resources){
        .vcpus = MAX(a->vcpus - b->vcpus, INT64_C(0)),
        .memory_bytes = MAX(a->memory_bytes - b->memory_bytes, INT64_C(0)),
        .disk_bytes = MAX(a->disk_bytes - b->disk_bytes, INT64_C(0))};
}

static void
release(struct ctl *ctl, const char *node_id, const struct sched_resources *r)
{
    pthread_mutex_lock(&ctl->sched_lock);
    if (sched_release(ctl->sched, node_id, r, NULL) < 0)
        COUNT(sched_release_refused);
    pthread_mutex_unlock(&ctl->sched_lock);
}

void
h_instance_resize_undo(struct call *c)
{
    struct resize *w = c->work;

    if (!w)
        return;
    release(c->ctl, w->node_id, &w->more);
    freep(&c->work);
}

void
h_instance_resized(struct call *c)
{
    struct resize *w = c->work;

    if (w)
        release(c->ctl, w->node_id, &w->less);
}

int
h_room(struct call *c, struct db *db, const struct store_instance *i,
       struct h_room *ret)
{
    ret->own = (struct sched_resources){.vcpus = i->a.vcpus,
                                        .memory_bytes = i->a.memory_bytes,
                                        .disk_bytes = i->a.disk_bytes};
    int r = op_claim(db, i, &ret->claimed, NULL);
    return r < 0 ? store_error(c, db, r) : 0;
}

static struct api_quota_values
quota_of(const struct sched_resources *r)
{
    return (struct api_quota_values){.vcpus = r->vcpus,
                                     .memory_bytes = r->memory_bytes,
                                     .disk_bytes = r->disk_bytes};
}

/* A project is asked for the size that it wants; what runs of before still
 * hold meanwhile is the node's matter. */
static int
change_quota(struct call *c, struct db *db, const struct store_instance *i,
             const struct sched_resources *before,
             const struct sched_resources *after, const char *at)
{
    struct sched_resources more = above(after, before),
                           less = above(before, after);
    struct api_quota_values take = quota_of(&more), give = quota_of(&less);
    int r = quota_take(c, db, i->a.project_id, &take, at, at);

    if (r == 0)
        quota_free(c, i->a.project_id, &give);
    return r;
}

int
h_room_change(struct call *c, struct db *db, const struct store_instance *i,
              const struct h_room *before, const char *at)
{
    struct h_room now;
    int r = h_room(c, db, i, &now);

    if (r == 0)
        r = change_quota(c, db, i, &before->own, &now.own, at);
    if (r < 0)
        return r;
    struct resize *w = xnew(struct resize);
    memcpy(w->node_id, i->a.node_id, ID_SIZE);
    w->more = above(&now.claimed, &before->claimed);
    w->less = above(&before->claimed, &now.claimed);
    pthread_mutex_lock(&c->ctl->sched_lock);
    r = sched_claim(c->ctl->sched, w->node_id, &w->more, NULL);
    pthread_mutex_unlock(&c->ctl->sched_lock);
    if (r < 0) {
        free(w);
        COUNT(resize_no_capacity);
        return err_set(&c->err, -ENOSPC, "no_capacity",
                       "the node of the instance \"%s\" has no room for what "
                       "the flavor needs more",
                       i->a.name);
    }
    c->work = w;
    c->work_free = free;
    return 0;
}

static int
check_flavor(struct call *c, const struct store_instance *i,
             const struct api_flavor *f)
{
    if (streq(f->id, i->a.flavor_id))
        return err_set(&c->err, -EBUSY, "same_flavor",
                       "the instance \"%s\" has the flavor %s already",
                       i->a.name, f->name);
    if (f->disk_bytes && f->disk_bytes < i->a.disk_bytes)
        return err_field(&c->err, "/flavor", "disk_too_small",
                         "its disk is smaller than that of the instance (%lld "
                         "bytes); disks are never made smaller",
                         (long long)i->a.disk_bytes);
    return 0;
}

/* Nothing runs, so it is done with this transaction. The node learns of it
 * by the wish. */
static int
finish(struct call *c, struct db *db, const struct store_instance *i)
{
    struct store_operation op _cleanup_(store_operation_release) = {0};
    struct codec_list finished = {0};
    int r = op_finish(db, i, "resized", NULL, NULL, &finished);

    codec_strings_clear(&finished);
    if (r == 0)
        r = store_operation_get(db, NULL, i->a.operation_id, &op);
    if (r < 0)
        return store_error(c, db, r);
    buf_clear(&c->rq->headers);
    reply_object(c, &table_operation, &op.a);
    call_location(c, "/v1/operations", op.a.id);
    return 0;
}

static int
resize(struct call *c, struct db *db, struct store_instance *i,
       const struct api_flavor *f)
{
    bool runs = i->a.state != INSTANCE_STOPPED && i->a.state != INSTANCE_ERROR;
    enum op_verb v = runs ? VERB_RESIZE : VERB_RESIZE_STOPPED;
    char *undo _cleanup_(freep) = op_flavor_text(i);
    struct h_room before;
    int r = h_room(c, db, i, &before);

    if (r == 0)
        r = op_verb(i, v, &c->err);
    if (r < 0)
        return r;
    r = op_resize(db, i, f, runs);
    if (r < 0)
        return store_error(c, db, r);
    r = h_room_change(c, db, i, &before, "/flavor");
    if (r < 0)
        return r;
    r = h_begin(c, db, i, op_kind(v), undo);
    if (r == 0 && !runs)
        r = finish(c, db, i);
    if (r < 0)
        h_instance_resize_undo(c);
    return r;
}

int
h_instance_resize(struct call *c, struct db *db)
{
    const struct api_resize_request *in = c->in;
    struct store_instance i _cleanup_(store_instance_release) = {0};
    struct api_flavor f = {0};
    int r = h_instance_get_free(c, db, &i);

    if (r == 0)
        r = h_find_flavor(c, db, in->flavor, &f);
    if (r == 0)
        r = check_flavor(c, &i, &f);
    if (r == 0)
        r = resize(c, db, &i, &f);
    codec_clear(&table_flavor, &f);
    return r;
}
