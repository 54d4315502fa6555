/* h_verbs.c - what changes an instance that is there.
 * Verbs change what is desired and start an operation; ops/observe.c ends it
 * when the node has reported. */
#include <config.h>

#include "controllerd/handlers.h"

#include <string.h>

#include "common/mem.h"

int
h_wrong_state(struct call *c, const struct store_instance *i, const char *verb)
{
    return err_set(&c->err, -EBUSY, "wrong_state",
                   "the instance \"%s\" is %s; it cannot be %s now", i->a.name,
                   api_instance_state_names[i->a.state], verb);
}

/* ---- changes ---- */

int
h_instance_change(struct call *c, struct db *db)
{
    const struct api_instance_change *in = c->in;
    struct store_instance i _cleanup_(store_instance_release) = {0};
    int r = h_instance_get(c, db, &i);

    if (r < 0)
        return r;
    if (in->restart_policy >= 0 && in->restart_policy != i.a.restart_policy) {
        i.a.restart_policy = in->restart_policy;
        op_change(c->ctl, &i);
        r = store_instance_update(db, &i, 0);
        if (r < 0)
            return store_error(c, db, r);
        memcpy(c->notify_node, i.a.node_id, ID_SIZE);
    }
    h_instance_reply(c, &i.a);
    return 0;
}

/* ---- verbs ---- */

/* Stores the changed instance with a new operation and replies with it. */
static int
begin(struct call *c, struct db *db, struct store_instance *i, const char *kind,
      const char *step)
{
    struct api_operation op = {0};
    char before[ID_SIZE];

    memcpy(before, i->a.operation_id, ID_SIZE);
    op_change(c->ctl, i);
    int r = op_begin(db, i, kind, step, c->request_id, &op);
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

int
h_instance_start(struct call *c, struct db *db)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};
    int r = h_instance_get(c, db, &i);

    if (r < 0)
        return r;
    if (i.a.state != INSTANCE_STOPPED && i.a.state != INSTANCE_ERROR)
        return h_wrong_state(c, &i, "started");
    i.power = POWER_RUNNING;
    i.force = false;
    i.a.run++;
    i.a.state = INSTANCE_STARTING;
    return begin(c, db, &i, "instance.start", "starting");
}

int
h_instance_stop(struct call *c, struct db *db)
{
    const struct api_stop_request *in = c->in;
    struct store_instance i _cleanup_(store_instance_release) = {0};
    int r = h_instance_get(c, db, &i);

    if (r < 0)
        return r;
    bool again = i.a.state == INSTANCE_STOPPING && in->force && !i.force;
    if (!again && i.a.state != INSTANCE_RUNNING &&
        i.a.state != INSTANCE_CREATING && i.a.state != INSTANCE_STARTING &&
        i.a.state != INSTANCE_REBOOTING)
        return h_wrong_state(c, &i, "stopped");
    i.power = POWER_STOPPED;
    i.force = in->force;
    i.a.state = INSTANCE_STOPPING;
    return begin(c, db, &i, "instance.stop",
                 in->force ? "ending by force" : "power button");
}

int
h_instance_reboot(struct call *c, struct db *db)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};
    int r = h_instance_get(c, db, &i);

    if (r < 0)
        return r;
    if (i.a.state != INSTANCE_RUNNING)
        return h_wrong_state(c, &i, "rebooted");
    i.power = POWER_RUNNING;
    i.force = false;
    i.a.run++;
    i.a.state = INSTANCE_REBOOTING;
    return begin(c, db, &i, "instance.reboot", "rebooting");
}

/* The operation of the delete that is under way. */
static int
reply_latest_operation(struct call *c, struct db *db,
                       const struct store_instance *i)
{
    struct api_operation op = {0};
    int r = store_operation_get(db, NULL, i->a.operation_id, &op);

    if (r == 0)
        reply_object(c, &table_operation, &op);
    codec_clear(&table_operation, &op);
    return r < 0 ? store_error(c, db, r) : 0;
}

int
h_instance_delete(struct call *c, struct db *db)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};
    int r = h_instance_get(c, db, &i);

    if (r < 0)
        return r;
    if (i.a.state == INSTANCE_DELETING)
        return reply_latest_operation(c, db, &i);
    i.power = POWER_DELETED;
    i.force = true;
    i.a.state = INSTANCE_DELETING;
    return begin(c, db, &i, "instance.delete", "deleting");
}
