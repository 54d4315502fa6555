/* h_verbs.c - what tenants ask of an instance that is there.
 * Verbs change what is desired and start an operation; ops/observe.c ends it
 * when the node has reported. */
#include <config.h>

#include "controllerd/handlers.h"

#include <string.h>

#include "common/count.h"
#include "common/mem.h"
#include "controllerd/ops/ops.h"
#include "controllerd/quota.h"
#include "controllerd/traits.h"

int
h_wrong_state(struct call *c, const struct store_instance *i, const char *verb)
{
    return err_set(&c->err, -EBUSY, "wrong_state",
                   "the instance \"%s\" is %s; it cannot be %s now", i->a.name,
                   api_instance_state_names[i->a.state], verb);
}

int
h_locked(struct call *c, const struct store_instance *i)
{
    return !i->a.locked ? 0
                        : err_set(&c->err, -EBUSY, "locked",
                                  "the instance \"%s\" is locked; an admin of "
                                  "the project can unlock it",
                                  i->a.name);
}

int
h_need(struct call *c, const struct store_instance *i, enum traits_need need)
{
    uint64_t lacks = traits_of_need(need) & ~nodes_traits(c->ctl, i->a.node_id);

    if (!lacks)
        return 0;
    COUNT(verb_unsupported);
    return err_set(&c->err, -EBUSY, "verb_unsupported",
                   "the instance \"%s\" is on a node %s", i->a.name,
                   traits_lacking(lacks));
}

int
h_instance_get_free(struct call *c, struct db *db, struct store_instance *ret)
{
    int r = h_instance_get(c, db, ret);

    if (r == 0)
        r = call_if_match(c, ret->a.generation);
    if (r == 0)
        r = h_locked(c, ret);
    return r < 0 ? r : op_check_lost(ret, &c->err);
}

int
h_begin(struct call *c, struct db *db, struct store_instance *i,
        const char *kind, const char *undo)
{
    struct api_operation op = {0};
    char before[ID_SIZE];

    memcpy(before, i->a.operation_id, ID_SIZE);
    op_change(c->ctl, i);
    int r = op_begin_undo(db, i, kind, undo, c->request_id, &op);
    if (r == 0)
        r = store_instance_update(db, i, 0);
    if (r == 0) {
        memcpy(c->notify_node, i->a.node_id, ID_SIZE);
        memcpy(c->notify_operation, before, ID_SIZE);
        reply_object(c, &table_operation, &op);
        call_location(c, "/v1/operations", op.id);
    }
    codec_clear(&table_operation, &op);
    return r < 0 ? store_error(c, db, r) : 0;
}

static int
verb(struct call *c, struct db *db, enum op_verb v)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};
    int r = h_instance_get_free(c, db, &i);

    if (r == 0 && v == VERB_PAUSE)
        r = h_need(c, &i, NEED_PAUSE);
    if (r == 0)
        r = op_verb(&i, v, &c->err);
    return r < 0 ? r : h_begin(c, db, &i, op_kind(v), NULL);
}

int
h_instance_start(struct call *c, struct db *db)
{
    return verb(c, db, VERB_START);
}

int
h_instance_stop(struct call *c, struct db *db)
{
    const struct api_stop_request *in = c->in;

    return verb(c, db, in->force ? VERB_STOP_FORCE : VERB_STOP);
}

int
h_instance_reboot(struct call *c, struct db *db)
{
    return verb(c, db, VERB_REBOOT);
}

int
h_instance_pause(struct call *c, struct db *db)
{
    return verb(c, db, VERB_PAUSE);
}

int
h_instance_resume(struct call *c, struct db *db)
{
    return verb(c, db, VERB_RESUME);
}

/* The operation of the delete that is under way. */
static int
reply_latest_operation(struct call *c, struct db *db,
                       const struct store_instance *i)
{
    struct store_operation op _cleanup_(store_operation_release) = {0};
    int r = store_operation_get(db, NULL, i->a.operation_id, &op);

    if (r < 0)
        return store_error(c, db, r);
    op_fill(c->ctl, &op);
    reply_object(c, &table_operation, &op.a);
    call_location(c, "/v1/operations", op.a.id);
    return 0;
}

/* The one that was lost with its node: nobody is asked, and nothing waited for.
 * h_begin() has begun it. */
static int
delete_lost(struct call *c, struct db *db, struct store_instance *i)
{
    struct api_quota_values own =
        quota_of_instances(i->a.vcpus, i->a.memory_bytes, i->a.disk_bytes, 1);
    struct observed *seen = xnew(struct observed);
    int r = op_end_lost(db, i, seen);

    observed_free(seen);
    if (r < 0)
        return store_error(c, db, r);
    quota_free(c, i->a.project_id, &own);
    return reply_latest_operation(c, db, i);
}

int
h_instance_delete(struct call *c, struct db *db)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};
    int r = h_instance_get(c, db, &i);

    if (r == 0 && i.a.state == INSTANCE_DELETING)
        return reply_latest_operation(c, db, &i);
    if (r == 0)
        r = call_if_match(c, i.a.generation);
    if (r == 0)
        r = h_locked(c, &i);
    bool lost = r == 0 && op_is_lost(&i);
    if (r == 0)
        r = op_verb(&i, VERB_DELETE, &c->err);
    if (r == 0)
        r = h_begin(c, db, &i, op_kind(VERB_DELETE), NULL);
    return r == 0 && lost ? delete_lost(c, db, &i) : r;
}

/* ---- rebuild ---- */

/* It stays where it is: its disk and its node must do. */
static int
check_image(struct call *c, struct db *db, const struct store_instance *i,
            const struct api_image *m)
{
    struct store_node n _cleanup_(store_node_release) = {0};
    uint64_t traits = traits_of_image(m);
    int64_t disk = h_image_disk_bytes(m);

    if (disk > i->a.disk_bytes)
        return err_field(&c->err, "/image", "disk_too_small",
                         "its disk has %lld bytes, that of the instance %lld",
                         (long long)disk, (long long)i->a.disk_bytes);
    int r = store_node_get(db, i->a.node_id, &n);
    if (r < 0)
        return store_error(c, db, r);
    if (traits & ~traits_of_node(&n.a.traits))
        return err_set(&c->err, -EBUSY, "image_unsupported",
                       "the instance is on a node %s, which the image needs",
                       traits_lacking(traits & ~traits_of_node(&n.a.traits)));
    return 0;
}

int
h_instance_rebuild(struct call *c, struct db *db)
{
    const struct api_rebuild_request *in = c->in;
    struct store_instance i _cleanup_(store_instance_release) = {0};
    struct api_image m = {0};
    int r = h_instance_get_free(c, db, &i);

    if (r == 0)
        r = h_find_image(c, db, i.a.project_id, in->image, &m);
    if (r == 0)
        r = check_image(c, db, &i, &m);
    if (r == 0)
        r = op_verb(&i, VERB_REBUILD, &c->err);
    if (r == 0) {
        xstrset(&i.a.image, m.name);
        xstrset(&i.a.image_id, m.id);
        r = store_instance_reshape(db, &i);
        if (r == 0 && in->user_data)
            r = store_seed_set_user_data(
                db, i.a.id, in->user_data[0] ? in->user_data : NULL);
        if (r < 0)
            store_error(c, db, r);
    }
    if (r == 0)
        r = h_begin(c, db, &i, op_kind(VERB_REBUILD), NULL);
    codec_clear(&table_image, &m);
    return r;
}
