/* progress.c - how far operations are, and which of them are stuck.
 * An operation's row has the last step and reason that its node told. What
 * time and the node's silence make of it is derived when it is read, so that
 * it is never older than the answer, and costs no write. */
#include <config.h>

#include "controllerd/ops/ops.h"

#include "common/clock.h"
#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"

void
op_fill(struct ctl *ctl, struct store_operation *o)
{
    struct api_operation *a = &o->a;
    int64_t still_us = clock_now_us() - a->updated_at;

    a->stuck = false;
    if (a->state != OP_RUNNING) {
        a->can_cancel = false;
        return;
    }
    if (o->node_id && (streq(a->step, "placed") || streq(a->step, "asked")) &&
        nodes_told(ctl, o->node_id, o->seq))
        xstrset(&a->step, "sent");
    if (o->node_id && !nodes_up(ctl, o->node_id)) {
        a->stuck = true;
        xstrset(&a->reason, "its node does not report");
    } else if (still_us > ctl->cfg.stuck_after_us) {
        a->stuck = true;
        if (!a->reason)
            a->reason = xasprintf("nothing was heard of it for %lld s",
                                  (long long)(still_us / US_PER_S));
    }
}

static int
progress_one(struct db *db, const char *node_id, const struct api_progress *p,
             int64_t now)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};
    struct store_operation o _cleanup_(store_operation_release) = {0};
    int r = store_instance_get(db, NULL, NULL, p->instance_id, &i);

    if (r == -ENOENT || (r == 0 && !streq(i.a.node_id, node_id))) {
        COUNT(progress_of_unknown_instance);
        return 0;
    }
    if (r < 0 || p->run < i.a.run)
        return r; /* of a run that nobody waits for any more */
    r = store_operation_get(db, NULL, i.a.operation_id, &o);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (o.a.state != OP_RUNNING ||
        (streq(o.a.step, p->step) && streq(o.a.reason, p->reason)))
        return 0;
    xstrset(&o.a.step, p->step);
    xstrset(&o.a.reason, p->reason);
    o.a.updated_at = now;
    o.a.generation++;
    return store_operation_update(db, &o);
}

int
op_progress(struct db *db, const char *node_id, const struct api_report *rp)
{
    const struct api_progress *p = rp->progress.items;
    int64_t now = clock_now_us();
    int r = 0;

    for (size_t k = 0; k < rp->progress.n && r == 0; k++)
        r = progress_one(db, node_id, &p[k], now);
    return r;
}
