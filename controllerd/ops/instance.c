/* instance.c - the operations on an instance.
 *
 *             create                    start / reboot: run + 1
 *               |                              |
 *   CREATING ---+--- running(run) -> RUNNING <-+- STARTING, REBOOTING
 *      |                               |   |
 *      +---- failed(run) -> ERROR      |   +-- stopped(run), by itself
 *                                      |                |
 *                         stop: STOPPING -- stopped -> STOPPED
 *   RUNNING, STARTING -- stopped(run) or failed(run) with `restart`, the
 *                        policy: run + 1 -> STARTING -- running -> RUNNING
 *   RUNNING -- pause: PAUSING -- paused(run) -> PAUSED
 *   PAUSED -- resume: RESUMING -- running(run) -> RUNNING
 *   RUNNING, PAUSED, STOPPED, ERROR -- rebuild: run + 1, disk_epoch + 1:
 *                        REBUILDING -- running(run) -> RUNNING
 *   RUNNING -- resize: run + 1, RESIZING -- running(run) -> RUNNING
 *   STOPPED, ERROR -- resize: at once, nothing is asked of the node
 *   REBUILDING, RESIZING -- an end with `restart` of a run that reserves the
 *                        number of ours: our run becomes one above that, for
 *                        that run may not be what was asked for
 *   any -- delete: DELETING -- deleted(by the node) -> DELETED, claim released
 *
 * and, taking an operation back that still runs (cancel) or that failed or is
 * stuck (undo):
 *
 *   create     as delete
 *   start      STARTING, ERROR -> STOPPING
 *   stop       STOPPING -> STARTING, the same run: `running` says that it lives
 *              on, `stopped` that it had ended, and the operation failed
 *   pause      PAUSING -> RESUMING         resume     RESUMING -> PAUSING
 *   resize     RESIZING, ERROR: run + 1, the size of before -> RESIZING
 *   reboot, rebuild, delete: never
 *
 * retry tells the node the same wish again (a new seq), and where the run has
 * failed asks for the next one: ERROR, STOPPED -> CREATING, STARTING, ….
 *
 * A wish with `paused` of a run that ends and is started again by the policy
 * is paused again: STARTING -- running -> PAUSING -- paused -> PAUSED.
 *
 * What a tenant asks is in verb.c, what takes it back in undo.c, what a node
 * saw in observe.c, and which sizes a run has in size.c. Every edge is one
 * transaction; a step that is repeated finds the state it would make and
 * changes nothing. Nothing is to be done between two steps by the controller:
 * a wish stands in its row until its node has answered it, so that the death
 * of either at any moment only delays.
 *
 * An operation's `step` begins with placed (create) or asked; sent, once the
 * node says that it has the wish; then what the node tells of its work
 * (progress.c); and in the end what became of it. */
#include <config.h>

#include "controllerd/ops/ops.h"

#include "common/clock.h"
#include "common/mem.h"

void
op_change(struct ctl *ctl, struct store_instance *i)
{
    i->seq = ++ctl->seq;
    i->a.generation++;
}

static int
cancel_running(struct db *db, const char *id)
{
    struct store_operation o _cleanup_(store_operation_release) = {0};
    int r = store_operation_get(db, NULL, id, &o);

    if (r == 0 && o.a.state == OP_RUNNING) {
        o.a.state = OP_CANCELLED;
        o.a.finished_at = o.a.updated_at = clock_now_us();
        o.a.generation++;
        r = store_operation_update(db, &o);
    }
    return r == -ENOENT ? 0 : r;
}

/* Whether undo.c knows a way back: it does while the operation runs. */
static bool
can_cancel(const char *kind, const struct store_instance *i)
{
    if (streq(kind, "instance.stop"))
        return !i->force;
    return streq(kind, "instance.create") || streq(kind, "instance.start") ||
           streq(kind, "instance.pause") || streq(kind, "instance.resume") ||
           streq(kind, "instance.resize");
}

static int
begin(struct db *db, struct store_instance *i, const char *kind,
      const char *step, const char *undo, const char *request_id,
      struct api_operation *ret)
{
    char id[ID_SIZE];
    int r = i->a.operation_id ? cancel_running(db, i->a.operation_id) : 0;

    if (r < 0)
        return r;
    id_new(id);
    *ret = (struct api_operation){
        .id = xstrdup(id),
        .project_id = xstrdup(i->a.project_id),
        .kind = xstrdup(kind),
        .resource_type = xstrdup("instance"),
        .resource_id = xstrdup(i->a.id),
        .state = OP_RUNNING,
        .step = xstrdup(step),
        .can_cancel = can_cancel(kind, i),
        .attempt = 1,
        .request_id = xstrdup(request_id),
        .generation = 1,
        .created_at = clock_now_us(),
    };
    ret->updated_at = ret->created_at;
    xstrset(&i->a.operation_id, id);
    xstrset(&i->request_id, request_id);
    struct store_operation row = {.a = *ret,
                                  .node_id = i->a.node_id,
                                  .seq = i->seq,
                                  .undo = (char *)undo};
    return store_operation_insert(db, &row);
}

int
op_begin(struct db *db, struct store_instance *i, const char *kind,
         const char *step, const char *request_id, struct api_operation *ret)
{
    return begin(db, i, kind, step, NULL, request_id, ret);
}

int
op_begin_undo(struct db *db, struct store_instance *i, const char *kind,
              const char *undo, const char *request_id,
              struct api_operation *ret)
{
    return begin(db, i, kind, "asked", undo, request_id, ret);
}

int
op_finish(struct db *db, const struct store_instance *i, const char *step,
          const char *code, const char *message, struct codec_list *finished)
{
    struct store_operation o _cleanup_(store_operation_release) = {0};
    int r = store_operation_get(db, NULL, i->a.operation_id, &o);

    if (r == 0 && o.a.state == OP_RUNNING) {
        o.a.state = code ? OP_FAILED : OP_SUCCEEDED;
        o.a.finished_at = o.a.updated_at = clock_now_us();
        o.a.generation++;
        xstrset(&o.a.step, step);
        xstrset(&o.a.reason, NULL);
        if (code) {
            o.a.problem = xnew(struct api_fault);
            o.a.problem->code = xstrdup(code);
            o.a.problem->message = xstrdup(message);
        }
        r = store_operation_update(db, &o);
        codec_strings_add(finished, o.a.id);
    }
    return r == -ENOENT ? 0 : r;
}
