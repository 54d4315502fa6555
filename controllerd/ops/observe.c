/* observe.c - what a node saw becomes state, usage and finished operations.
 * Only observations above the node's stored sequence are applied, each once,
 * in order, with all that follows from it in the report's one transaction:
 * a repeated or late report changes nothing.
 *
 * A node starts instances again by itself (the restart policy; the rules and
 * what may come in between are in agentd/reconcile.h). It says so with the end
 * of the run before: `restart`. Such an end closes the usage interval like any
 * other, but keeps `running` desired and raises the run to the next one, so
 * that what follows is a start like any other. It answers no stop: the node
 * will yet hear of that, and say `stopped` of the run that it then has.
 * Whatever a node tells of a run above ours is a fact, whoever began it: it is
 * billed, shown, and the next start's number is above it.
 *
 * A rebuild or resize asks for the next run, and the node may have reserved
 * that number for a restart before it heard: it says so, in order, before that
 * run begins. Ours is then made one more, so that the run which counts is one
 * that was started by the new wish; which size a run below it has, its node
 * says (size.c). */
#include <config.h>

#include "controllerd/ops/ops.h"

#include <string.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"
#include "controllerd/quota.h"
#include "metering/interval.h"

static const struct codec_table released_table = {
    .name = "Released", .doc = "", .size = sizeof(struct released)};

void
observed_free(void *p)
{
    struct observed *o = p;

    codec_strings_clear(&o->finished);
    codec_list_clear(&released_table, &o->released);
    free(o);
}

struct released *
observed_release(struct observed *o)
{
    return codec_list_add(&released_table, &o->released);
}

struct meter_history
op_history(const struct store_instance *i, const struct store_interval *last)
{
    return (struct meter_history){
        .created_us = i->a.created_at,
        .ended_run = (uint64_t)i->ended_run,
        .run = (uint64_t)last->run,
        .start_us = last->iv.start_us,
        .end_us = last->iv.end_us,
    };
}

/* The interval that the observation opens or closes; see
 * metering/interval.h. A run that failed or is deleted has ended. */
static int
apply_usage(struct db *db, struct store_instance *i,
            const struct api_observation *o, bool told, int64_t now)
{
    struct store_interval last;
    struct meter_decision d;
    int r = store_interval_last(db, i->a.id, &last);

    if (r < 0)
        return r;
    struct meter_history h = op_history(i, &last);
    int64_t run = MAX(o->run, (int64_t)1);
    if (o->state == OBSERVED_DELETED)
        run = MAX(run, last.run);
    struct meter_observation m = {
        .run = (uint64_t)run,
        .state = o->state == OBSERVED_RUNNING || o->state == OBSERVED_PAUSED
                     ? METER_RUNNING
                     : METER_ENDED,
        .at_us = o->age_us > now ? 0 : now - o->age_us,
    };
    r = meter_decide(&h, &m, now, &d);
    if (r < 0)
        return r;
    if (d.clamped)
        COUNT(usage_time_clamped);
    i->ended_run = (int64_t)d.ended_run;
    if (d.action == METER_CLOSE && o->state == OBSERVED_STOPPED)
        xstrset(&i->a.last_end_reason, o->reason ? o->reason : "unknown");
    if (d.action == METER_CLOSE || d.action == METER_CLOSE_AND_OPEN)
        r = store_interval_close(db, i->a.id, last.run, d.at_us);
    if (r == 0 &&
        (d.action == METER_OPEN || d.action == METER_CLOSE_AND_OPEN)) {
        struct sched_resources size = {.vcpus = o->vcpus,
                                       .memory_bytes = o->memory_bytes,
                                       .disk_bytes = o->disk_bytes};

        r = told ? 0 : op_size_of_run(db, i, run, &size);
        if (r < 0)
            return r;
        struct store_interval open = {
            .instance_id = i->a.id,
            .project_id = i->a.project_id,
            .run = run,
            .iv = {.start_us = d.at_us,
                   .vcpus = size.vcpus,
                   .memory_bytes = size.memory_bytes,
                   .disk_bytes = size.disk_bytes},
        };

        r = store_interval_open(db, &open);
    }
    return r;
}

static void
set_fault(struct store_instance *i, const struct api_fault *f)
{
    if (i->a.fault)
        codec_clear(&table_fault, i->a.fault);
    freep(&i->a.fault);
    if (!f)
        return;
    i->a.fault = xnew(struct api_fault);
    i->a.fault->code = xstrdup(f->code ? f->code : "unknown");
    i->a.fault->message = xstrdup(f->message ? f->message : "no reason given");
}

static int
saw_running(struct db *db, struct store_instance *i,
            const struct api_observation *o, int64_t now, struct observed *out)
{
    if (o->run != i->a.run || i->power != POWER_RUNNING)
        return 0; /* an older run, or one that is being stopped */
    i->a.started_at = MAX(now - o->age_us, i->a.created_at);
    set_fault(i, NULL);
    xstrset(&i->a.stop_reason, NULL);
    if (i->paused) {
        i->a.state = INSTANCE_PAUSING; /* not yet, or no longer */
        return 0;
    }
    i->a.state = INSTANCE_RUNNING;
    return op_finish(db, i, "running", NULL, NULL, &out->finished);
}

static int
saw_paused(struct db *db, struct store_instance *i,
           const struct api_observation *o, struct observed *out)
{
    if (o->run != i->a.run || i->power != POWER_RUNNING || !i->paused)
        return 0; /* it is to go on, or to end, and will be heard of again */
    i->a.state = INSTANCE_PAUSED;
    return op_finish(db, i, "paused", NULL, NULL, &out->finished);
}

/* The present run is over, and its node starts the next one. */
static void
follow_restart(struct store_instance *i)
{
    i->a.run++;
    i->a.started_at = 0;
    if (i->power != POWER_RUNNING)
        return; /* a stop is on its way to the node */
    COUNT(instance_restart);
    i->a.state = INSTANCE_STARTING;
    i->a.restart_count++;
}

static int
saw_stopped(struct ctl *ctl, struct db *db, struct store_instance *i,
            const struct api_observation *o, struct observed *out)
{
    bool was_stopped = i->a.state == INSTANCE_STOPPED;
    const char *reason = o->reason ? o->reason : "unknown";

    if (o->run != i->a.run || i->power == POWER_DELETED)
        return 0;
    if (o->restart) {
        follow_restart(i);
        if (i->power == POWER_RUNNING)
            xstrset(&i->a.stop_reason, reason);
        return 0;
    }
    bool by_itself = i->power == POWER_RUNNING;
    if (by_itself) {
        /* What is desired follows, so that no agent ever takes the ended run
         * for one that is still to be started. */
        i->power = POWER_STOPPED;
        i->paused = false;
        op_change(ctl, i);
        out->wake_node = true;
    }
    i->a.started_at = 0;
    if (i->a.state == INSTANCE_ERROR)
        return op_finish(db, i, "stopped", NULL, NULL, &out->finished);
    i->a.state = INSTANCE_STOPPED;
    if (!was_stopped)
        xstrset(&i->a.stop_reason, reason);
    return by_itself ? op_finish(db, i, "stopped", "instance_ended",
                                 "the instance ended meanwhile", &out->finished)
                     : op_finish(db, i, "stopped", NULL, NULL, &out->finished);
}

static int
saw_failed(struct ctl *ctl, struct db *db, struct store_instance *i,
           const struct api_observation *o, struct observed *out)
{
    if (o->run != i->a.run || i->power == POWER_DELETED)
        return 0;
    if (o->restart) {
        follow_restart(i);
        set_fault(i, o->problem ? o->problem : &(struct api_fault){0});
        return 0;
    }
    if (i->power != POWER_RUNNING)
        return 0;
    i->power = POWER_STOPPED;
    i->paused = false;
    op_change(ctl, i);
    out->wake_node = true;
    i->a.state = INSTANCE_ERROR;
    i->a.started_at = 0;
    set_fault(i, o->problem ? o->problem : &(struct api_fault){0});
    return op_finish(db, i, "failed", i->a.fault->code, i->a.fault->message,
                     &out->finished);
}

static int
saw_deleted(struct db *db, struct store_instance *i, struct observed *out)
{
    if (i->power != POWER_DELETED) {
        /* Lost with its node's state: the tenant must learn of it, and may
         * delete it. */
        COUNT(instance_lost);
        set_fault(i, &(struct api_fault){(char *)"lost",
                                         (char *)"its node has lost it"});
        i->paused = false;
        i->a.state = INSTANCE_ERROR;
        i->a.started_at = 0;
        return op_finish(db, i, "lost", "lost", "its node has lost it",
                         &out->finished);
    }
    i->a.state = INSTANCE_DELETED;
    i->a.started_at = 0;
    return op_finish(db, i, "deleted", NULL, NULL, &out->finished);
}

/* The node has reserved the next number for a restart, by the wish that it
 * had when this run ended. That run may be as this one was, or by the wish that
 * it hears of before it starts, and is no answer to one that makes the instance
 * different. */
static int
saw_reserved(struct ctl *ctl, struct db *db, struct store_instance *i,
             const struct api_observation *o, struct observed *out)
{
    int r = store_size_reserve(db, i->a.id, o->run);

    if (r < 0)
        return r;
    if (o->run + 1 < i->a.run || i->power != POWER_RUNNING ||
        (i->a.state != INSTANCE_REBUILDING && i->a.state != INSTANCE_RESIZING))
        return 0;
    COUNT(instance_run_reserved);
    i->a.run = o->run + 2;
    op_change(ctl, i);
    out->wake_node = true;
    return 0;
}

/* What the node need not keep room for any more. Of the runs before one that
 * runs, and of those up to one that ended, none is left. */
static int
give_back(struct db *db, const struct store_instance *i,
          const struct api_observation *o, bool told, bool older,
          const struct sched_resources *before, struct observed *out)
{
    bool gone = i->a.state == INSTANCE_DELETED;
    int64_t over = o->state == OBSERVED_DELETED ? INT64_MAX : o->run;
    struct sched_resources after = {0};

    if (o->state == OBSERVED_RUNNING || o->state == OBSERVED_PAUSED)
        over--;
    /* Nearly always: it has and had one size, and so is its claim. */
    if (!older && !gone)
        return 0;
    int r = !older ? 0
            : told ? op_size_settle(db, i, o)
                   : store_size_delete(db, i->a.id, over);
    if (r == 0 && !gone)
        r = op_claim(db, i, &after, NULL);
    if (r < 0 || memcmp(before, &after, sizeof(after)) == 0)
        return r;
    struct released *rel = observed_release(out);
    memcpy(rel->node_id, i->a.node_id, ID_SIZE);
    memcpy(rel->project_id, i->a.project_id, ID_SIZE);
    /* Its quota is that of its own size, whatever its older runs claim. */
    if (gone)
        rel->quota = quota_of_instances(i->a.vcpus, i->a.memory_bytes,
                                        i->a.disk_bytes, 1);
    rel->r = (struct sched_resources){
        .vcpus = before->vcpus - after.vcpus,
        .memory_bytes = before->memory_bytes - after.memory_bytes,
        .disk_bytes = before->disk_bytes - after.disk_bytes};
    return 0;
}

static int
observe_one(struct ctl *ctl, struct db *db, const char *node_id,
            const struct api_observation *o, struct observed *out)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};
    struct sched_resources before;
    bool older = false;
    int64_t now = clock_now_us();
    int r = store_instance_get(db, NULL, NULL, o->instance_id, &i);

    if (r == -ENOENT || (r == 0 && !streq(i.a.node_id, node_id))) {
        COUNT(observation_of_unknown_instance);
        log_limited(LOG_LEVEL_WARN, "observation of an instance not there",
                    "node=%s inst=%s; it is skipped", node_id, o->instance_id);
        return 0;
    }
    if (r == 0)
        r = op_claim(db, &i, &before, &older);
    if (r == 0)
        r = op_size_told(db, &i, o);
    bool told = r == 1;
    if (r >= 0)
        r = apply_usage(db, &i, o, told, now);
    if (r == 0 && o->restart)
        r = saw_reserved(ctl, db, &i, o, out);
    if (r < 0)
        return r;
    if (o->run > i.a.run) {
        COUNT(observation_of_later_run);
        i.a.run = o->run;
    }
    switch ((enum api_observed)o->state) {
    case OBSERVED_RUNNING:
        r = saw_running(db, &i, o, now, out);
        break;
    case OBSERVED_PAUSED:
        r = saw_paused(db, &i, o, out);
        break;
    case OBSERVED_STOPPED:
        r = saw_stopped(ctl, db, &i, o, out);
        break;
    case OBSERVED_FAILED:
        r = saw_failed(ctl, db, &i, o, out);
        break;
    case OBSERVED_DELETED:
        r = saw_deleted(db, &i, out);
        break;
    }
    if (r == 0)
        r = give_back(db, &i, o, told, older, &before, out);
    if (r < 0)
        return r;
    return store_instance_update(db, &i,
                                 i.a.state == INSTANCE_DELETED ? now : 0);
}

static int
by_seq(const void *a, const void *b)
{
    const struct api_observation *const *x = a, *const *y = b;

    return ((*x)->seq > (*y)->seq) - ((*x)->seq < (*y)->seq);
}

int
op_observe(struct ctl *ctl, struct db *db, struct store_node *node,
           const struct api_report *rp, struct observed *ret)
{
    const struct api_observation *o = rp->observations.items;
    size_t n = rp->observations.n;
    const struct api_observation **sorted _cleanup_(freep) =
        xcalloc(n + 1, sizeof(*sorted));

    /* Agents send them in order; one that does not must lose none, for what
     * is acknowledged is never sent again. */
    for (size_t k = 0; k < n; k++)
        sorted[k] = &o[k];
    qsort(sorted, n, sizeof(*sorted), by_seq);
    for (size_t k = 0; k < n; k++) {
        if (sorted[k]->seq <= node->observed_seq) {
            COUNT(observation_repeated);
            continue;
        }
        int r = observe_one(ctl, db, node->a.id, sorted[k], ret);
        if (r < 0)
            return r;
        node->observed_seq = sorted[k]->seq;
    }
    return op_progress(db, node->a.id, rp);
}
