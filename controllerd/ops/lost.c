/* lost.c - a node is gone for good: what becomes of what was on it.
 *
 *   any but DELETING -- node_lost -> ERROR, fault node_lost
 *   DELETING         -- node_lost -> DELETED
 *   ERROR, node_lost -- delete    -> DELETED, at once; no other verb
 *
 * An operator says so, not a lease: nothing proves that no copy runs on a
 * machine that nobody hears of. Therefore such an instance never runs again,
 * here or elsewhere, and its node's certificate is void: one that comes back
 * is refused, and leaves its VMs alone without wishes for them. So there is
 * one copy at most, as ever.
 *
 * Usage ends when the node was heard of last: what it did after that nobody
 * has seen. */
#include <config.h>

#include "controllerd/ops/ops.h"

#include "common/clock.h"
#include "common/count.h"
#include "common/mem.h"
#include "controllerd/quota.h"
#include "metering/interval.h"

#define PAGE 500

bool
op_is_lost(const struct store_instance *i)
{
    return i->a.state == INSTANCE_ERROR && i->a.fault &&
           streq(i->a.fault->code, "node_lost");
}

int
op_check_lost(const struct store_instance *i, struct err *reterr)
{
    if (!op_is_lost(i))
        return 0;
    return err_set(reterr, -EBUSY, "node_lost",
                   "the instance \"%s\" was lost with its node: it can be "
                   "deleted, and nothing else",
                   i->a.name);
}

static int
end_usage(struct db *db, struct store_instance *i, int64_t seen_us,
          int64_t now_us)
{
    struct store_interval last;
    struct meter_decision d;
    int r = store_interval_last(db, i->a.id, &last);

    if (r < 0 || !last.run)
        return r;
    struct meter_history h = op_history(i, &last);
    struct meter_observation m = {
        .run = (uint64_t)last.run, .state = METER_ENDED, .at_us = seen_us};
    r = meter_decide(&h, &m, now_us, &d);
    if (r < 0)
        return r;
    i->ended_run = (int64_t)d.ended_run;
    return d.action == METER_CLOSE
               ? store_interval_close(db, i->a.id, last.run, d.at_us)
               : 0;
}

int
op_end_lost(struct db *db, struct store_instance *i, struct observed *ret)
{
    i->a.state = INSTANCE_DELETED;
    i->a.started_at = 0;
    int r = op_finish(db, i, "deleted", NULL, NULL, &ret->finished);
    if (r == 0)
        r = store_size_delete(db, i->a.id, INT64_MAX);
    if (r == 0)
        r = store_instance_update(db, i, clock_now_us());
    if (r < 0)
        return r;
    struct released *rel = observed_release(ret);
    memcpy(rel->node_id, i->a.node_id, ID_SIZE);
    memcpy(rel->project_id, i->a.project_id, ID_SIZE);
    rel->quota =
        quota_of_instances(i->a.vcpus, i->a.memory_bytes, i->a.disk_bytes, 1);
    return 0;
}

static int
lose_one(struct db *db, const char *id, int64_t seen_us, int64_t now_us,
         struct observed *ret)
{
    static const char why[] = "its node is gone for good";
    struct store_instance i _cleanup_(store_instance_release) = {0};
    int r = store_instance_get(db, NULL, NULL, id, &i);

    if (r == 0)
        r = end_usage(db, &i, seen_us, now_us);
    if (r < 0)
        return r;
    COUNT(instance_lost);
    i.paused = false;
    if (i.power == POWER_DELETED)
        return op_end_lost(db, &i, ret);
    if (i.a.fault)
        codec_clear(&table_fault, i.a.fault);
    else
        i.a.fault = xnew(struct api_fault);
    i.a.fault->code = xstrdup("node_lost");
    i.a.fault->message = xstrdup(why);
    i.power = POWER_STOPPED;
    i.a.state = INSTANCE_ERROR;
    i.a.started_at = 0;
    i.a.generation++;
    r = op_finish(db, &i, "lost", "node_lost", why, &ret->finished);
    if (r == 0)
        r = store_size_delete(db, i.a.id, INT64_MAX);
    return r < 0 ? r : store_instance_update(db, &i, 0);
}

static bool
every(const struct api_instance *a, void *arg)
{
    return true;
}

int
op_lose_node(struct db *db, const char *node_id, int64_t seen_us,
             struct observed *ret)
{
    int64_t now = clock_now_us();
    char next[ID_SIZE] = "";
    int r = 0;

    do {
        struct codec_list l = {0};
        struct store_instance_scan q = {.after = next,
                                        .limit = PAGE,
                                        .scan_limit = PAGE,
                                        .node = node_id,
                                        .keep = every};
        char after[ID_SIZE] = "";

        r = store_instance_scan(db, &q, &l, after);
        const struct api_instance *a = l.items;
        for (size_t k = 0; k < l.n && r == 0; k++)
            r = lose_one(db, a[k].id, seen_us, now, ret);
        codec_list_clear(&table_instance, &l);
        memcpy(next, after, sizeof(next));
    } while (r == 0 && next[0]);
    return r;
}
