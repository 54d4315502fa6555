/* size.c - instances that change their size while a run may be there.
 * The row has the size that is desired. Runs up to the one at which it changed
 * had another; those sizes stay in rows of their own until the runs are known
 * to be over, and the claim is the largest of all. So the node's room is never
 * given away under a run that still has it, and each run is billed by what it
 * was started with.
 *
 * Which size that is the node tells with the run: one that it began by itself
 * (the restart policy) while a resize was on its way has the size of before or
 * the new one, depending on which came first, and only the node knows. A node
 * is believed within what was asked for: a size that nobody wished for a run
 * that may be there is counted, and the run goes by what is known, as do the
 * runs of agents that tell nothing. */
#include <config.h>

#include "controllerd/ops/ops.h"

#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"

static struct sched_resources
own(const struct store_instance *i)
{
    return (struct sched_resources){.vcpus = i->a.vcpus,
                                    .memory_bytes = i->a.memory_bytes,
                                    .disk_bytes = i->a.disk_bytes};
}

int
op_claim(struct db *db, const struct store_instance *i,
         struct sched_resources *ret, bool *ret_older)
{
    struct sched_resources r = own(i);
    struct store_size s;
    int e = store_size_max(db, i->a.id, &s);

    if (e < 0)
        return e;
    if (ret_older)
        *ret_older = s.vcpus > 0; /* no size is without any */
    ret->vcpus = MAX(r.vcpus, s.vcpus);
    ret->memory_bytes = MAX(r.memory_bytes, s.memory_bytes);
    ret->disk_bytes = MAX(r.disk_bytes, s.disk_bytes);
    return 0;
}

int
op_resize(struct db *db, struct store_instance *i, const struct api_flavor *f,
          bool may_run)
{
    struct store_size before = {i->a.run - 1, i->a.vcpus, i->a.memory_bytes,
                                i->a.disk_bytes};
    int r = may_run ? store_size_add(db, i->a.id, &before) : 0;

    if (r < 0)
        return r;
    xstrset(&i->a.flavor, f->name);
    xstrset(&i->a.flavor_id, f->id);
    i->a.vcpus = f->vcpus;
    i->a.memory_bytes = f->memory_bytes;
    /* A disk is never made smaller, not even by taking back what made it
     * larger: the node may have done that already. */
    i->a.disk_bytes = MAX(i->a.disk_bytes, f->disk_bytes);
    i->a.limits = f->limits;
    return store_instance_reshape(db, i);
}

char *
op_flavor_text(const struct store_instance *i)
{
    struct buf b = {0};
    struct api_flavor f = {.id = i->a.flavor_id,
                           .name = i->a.flavor,
                           .vcpus = i->a.vcpus,
                           .memory_bytes = i->a.memory_bytes,
                           .disk_bytes = i->a.disk_bytes,
                           .limits = i->a.limits};

    codec_encode(&table_flavor, &f, &b);
    return buf_take(&b);
}

int
op_size_of_run(struct db *db, const struct store_instance *i, int64_t run,
               struct sched_resources *ret)
{
    struct store_size s;
    int r = store_size_of_run(db, i->a.id, run, &s);

    if (r < 0 && r != -ENOENT)
        return r;
    *ret = r == 0 ? (struct sched_resources){.vcpus = s.vcpus,
                                             .memory_bytes = s.memory_bytes,
                                             .disk_bytes = s.disk_bytes}
                  : own(i);
    return 0;
}

static bool
is_own(const struct store_instance *i, const struct store_size *s)
{
    return s->vcpus == i->a.vcpus && s->memory_bytes == i->a.memory_bytes &&
           s->disk_bytes == i->a.disk_bytes;
}

static struct store_size
told(const struct api_observation *o)
{
    return (struct store_size){o->run, o->vcpus, o->memory_bytes,
                               o->disk_bytes};
}

int
op_size_told(struct db *db, const struct store_instance *i,
             const struct api_observation *o)
{
    const struct store_size s = told(o);

    if ((o->state != OBSERVED_RUNNING && o->state != OBSERVED_PAUSED) ||
        !s.vcpus || !s.memory_bytes)
        return 0; /* an agent or a run from before */
    int r = is_own(i, &s) ? 1 : store_size_is_known(db, i->a.id, &s);
    if (r == 0) {
        COUNT(observed_size_unknown);
        log_limited(LOG_LEVEL_WARN, "a run has a size that nobody asked for",
                    "inst=%s run=%lld vcpus=%lld memory=%lld disk=%lld; it is "
                    "billed by what was asked for",
                    i->a.id, (long long)s.run, (long long)s.vcpus,
                    (long long)s.memory_bytes, (long long)s.disk_bytes);
    }
    return r;
}

int
op_size_settle(struct db *db, const struct store_instance *i,
               const struct api_observation *o)
{
    const struct store_size s = told(o);
    int r = store_size_delete(db, i->a.id, s.run);

    if (r == 0 && s.run > i->ended_run && !is_own(i, &s))
        r = store_size_add(db, i->a.id, &s);
    return r;
}
