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
 *   any -- delete: DELETING -- deleted(by the node) -> DELETED, claim released
 *
 * The verbs are in h_verbs.c (what a tenant asks) and ops/observe.c (what
 * a node saw). Every edge is one transaction; a step that is repeated finds
 * the state it would make and changes nothing. */
#include <config.h>

#include "controllerd/ctl.h"

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
    struct api_operation o = {0};
    int r = store_operation_get(db, NULL, id, &o);

    if (r == 0 && o.state == OP_RUNNING) {
        o.state = OP_CANCELLED;
        o.finished_at = clock_now_us();
        r = store_operation_update(db, &o);
    }
    codec_clear(&table_operation, &o);
    return r == -ENOENT ? 0 : r;
}

int
op_begin(struct db *db, struct store_instance *i, const char *kind,
         const char *step, const char *request_id, struct api_operation *ret)
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
        .request_id = xstrdup(request_id),
        .created_at = clock_now_us(),
    };
    xstrset(&i->a.operation_id, id);
    xstrset(&i->request_id, request_id);
    return store_operation_insert(db, ret);
}

int
op_finish(struct db *db, const struct store_instance *i, const char *step,
          const char *code, const char *message, struct codec_list *finished)
{
    struct api_operation o = {0};
    int r = store_operation_get(db, NULL, i->a.operation_id, &o);

    if (r == 0 && o.state == OP_RUNNING) {
        o.state = code ? OP_FAILED : OP_SUCCEEDED;
        o.finished_at = clock_now_us();
        xstrset(&o.step, step);
        if (code) {
            o.problem = xnew(struct api_fault);
            o.problem->code = xstrdup(code);
            o.problem->message = xstrdup(message);
        }
        r = store_operation_update(db, &o);
        codec_strings_add(finished, o.id);
    }
    codec_clear(&table_operation, &o);
    return r == -ENOENT ? 0 : r;
}
