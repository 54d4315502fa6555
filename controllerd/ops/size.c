/* size.c - instances that change their size while a run may be there.
 * The row has the size that is desired. Runs up to the one at which it changed
 * had another; those sizes stay in rows of their own until the runs are known
 * to be over, and the claim is the largest of all. So the node's room is never
 * given away under a run that still has it, and each run is billed by what it
 * was started with. */
#include <config.h>

#include "controllerd/ops/ops.h"

#include "common/mem.h"

static struct sched_resources
own(const struct store_instance *i)
{
    return (struct sched_resources){i->a.vcpus, i->a.memory_bytes,
                                    i->a.disk_bytes};
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
    int r = may_run ? store_size_set(db, i->a.id, &before) : 0;

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
    *ret = r == 0
               ? (struct sched_resources){s.vcpus, s.memory_bytes, s.disk_bytes}
               : own(i);
    return 0;
}
