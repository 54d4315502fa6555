/* state/instance.c - desired instances and this node's part; see state.h. */
#include <config.h>

#include <string.h>

#include "agentd/state/state-private.h"
#include "common/mem.h"

static int
load_row(struct db *db,
         void (*fn)(struct api_desired_instance *, const struct agent_local *,
                    void *),
         void *arg, struct err *reterr)
{
    const char *id = db_text(db, ST_INSTANCE_LIST, 0);
    const char *spec = db_text(db, ST_INSTANCE_LIST, 1);
    struct api_desired_instance d = {0};
    struct agent_local local = {
        .phase = (enum agent_phase)db_int(db, ST_INSTANCE_LIST, 2),
        .run = db_int(db, ST_INSTANCE_LIST, 3),
        .started_us = db_int(db, ST_INSTANCE_LIST, 4),
        .told_seq = db_int(db, ST_INSTANCE_LIST, 5),
        .deleted_seq = db_int(db, ST_INSTANCE_LIST, 6),
        .restarts = db_int(db, ST_INSTANCE_LIST, 7),
        .restart_at_us = db_int(db, ST_INSTANCE_LIST, 8),
        .paused = db_int(db, ST_INSTANCE_LIST, 9) != 0,
        .size = {db_int(db, ST_INSTANCE_LIST, 10),
                 db_int(db, ST_INSTANCE_LIST, 11),
                 db_int(db, ST_INSTANCE_LIST, 12)},
    };
    int r = codec_decode(&table_desired_instance, CODEC_REPLY, spec,
                         strlen(spec), &d, reterr);

    if (r == 0 && (!id_valid(d.id) || !streq(d.id, id)))
        r = err_set(reterr, -EIO, "storage_error", "its id does not match");
    if (r < 0) {
        err_prefix(reterr, "stored instance %.40s", id);
        codec_clear(&table_desired_instance, &d);
        return -EIO;
    }
    fn(&d, &local, arg);
    codec_clear(&table_desired_instance, &d);
    return 0;
}

int
state_load(struct state *st,
           void (*fn)(struct api_desired_instance *, const struct agent_local *,
                      void *),
           void *arg, struct err *reterr)
{
    pthread_mutex_lock(&st->lock);
    int r = db_query(st->reader, ST_INSTANCE_LIST, "");
    while (r >= 0 && (r = db_next(st->reader, ST_INSTANCE_LIST)) > 0)
        r = load_row(st->reader, fn, arg, reterr);
    if (r < 0 && (!reterr || !reterr->number))
        db_err(st->reader, r, reterr);
    db_reset(st->reader, ST_INSTANCE_LIST);
    pthread_mutex_unlock(&st->lock);
    return r;
}

struct page_job {
    struct db_job job;
    const struct api_desired_instance *items;
    struct buf *specs;
    size_t n;
    const char (*gone)[ID_SIZE];
    size_t n_gone;
    int64_t seq;
};

static int
run_page(struct db *db, struct db_job *job)
{
    struct page_job *p = (struct page_job *)job;
    int r = 0;

    for (size_t i = 0; i < p->n && r >= 0; i++)
        r = db_run(db, ST_INSTANCE_PUT, "sis", p->items[i].id, p->items[i].seq,
                   buf_str(&p->specs[i]));
    for (size_t i = 0; i < p->n_gone && r >= 0; i++)
        r = db_run(db, ST_INSTANCE_DROP, "s", p->gone[i]);
    if (r >= 0 && p->seq >= 0)
        r = state_meta_set(db, "desired_seq", p->seq);
    return r < 0 ? r : 0;
}

int
state_store_desired(struct state *st, const struct api_desired_instance *items,
                    size_t n, const char (*gone)[ID_SIZE], size_t n_gone,
                    int64_t seq)
{
    struct page_job p = {
        .job.run = run_page,
        .items = items,
        .n = n,
        .specs = xcalloc(n, sizeof(struct buf)),
        .gone = gone,
        .n_gone = n_gone,
        .seq = seq,
    };

    for (size_t i = 0; i < n; i++)
        codec_encode(&table_desired_instance, &items[i], &p.specs[i]);
    int r = db_writer_call(st->writer, &p.job);
    for (size_t i = 0; i < n; i++)
        buf_release(&p.specs[i]);
    free(p.specs);
    return r;
}

static int
run_change(struct db *db, struct db_job *job)
{
    struct state_change *c = (struct state_change *)job;
    int64_t seq = 0;
    int r;

    if (c->tell) {
        r = state_spool_add(db, c->id, &c->note, &seq);
        if (r < 0)
            return r;
    }
    if (c->local.phase == PHASE_DELETED)
        c->local.deleted_seq = seq;
    r = db_run(db, ST_INSTANCE_LOCAL, "siiiiziiiiii", c->id,
               (int64_t)c->local.phase, c->local.run, c->local.started_us,
               c->local.told_seq, c->local.deleted_seq, c->local.restarts,
               c->local.restart_at_us, (int64_t)c->local.paused,
               c->local.size.vcpus, c->local.size.memory_bytes,
               c->local.size.disk_bytes);
    return r < 0 ? r : r == 0 ? -ENOENT : 0;
}

static void
change_done(struct db_job *job, int result)
{
    struct state_change *c = (struct state_change *)job;

    c->done(c, result);
}

void
state_submit(struct state *st, struct state_change *c)
{
    c->job = (struct db_job){.run = run_change, .done = change_done};
    db_writer_submit(st->writer, &c->job);
}
