/* state/spool.c - observations until they are acknowledged; see state.h. */
#include <config.h>

#include <string.h>

#include "agentd/state/state-private.h"
#include "common/clock.h"
#include "common/mem.h"

int
state_spool_add(struct db *db, const char *id, const struct state_note *note,
                int64_t *ret)
{
    int64_t age = clock_now_us() - note->at_us;
    bool problem = note->code[0] != '\0';
    int r = db_get(db, ST_SPOOL_ADD, "siiiisssiiii", id, note->run,
                   (int64_t)note->state, note->at_us,
                   state_boot_us() - MAX(age, INT64_C(0)), note->reason,
                   problem ? note->code : NULL, problem ? note->message : NULL,
                   (int64_t)note->restart, note->size.vcpus,
                   note->size.memory_bytes, note->size.disk_bytes);

    if (r == 0)
        *ret = db_int(db, ST_SPOOL_ADD, 0);
    db_reset(db, ST_SPOOL_ADD);
    return r;
}

static void
read_row(struct db *db, struct api_observation *o)
{
    const char *code = db_text(db, ST_SPOOL_READ, 7);

    o->seq = db_int(db, ST_SPOOL_READ, 0);
    o->instance_id = xstrdup(db_text(db, ST_SPOOL_READ, 1));
    o->run = db_int(db, ST_SPOOL_READ, 2);
    o->state = (int)db_int(db, ST_SPOOL_READ, 3);
    if (db_is_null(db, ST_SPOOL_READ, 5))
        o->age_us = clock_now_us() - db_int(db, ST_SPOOL_READ, 4);
    else
        o->age_us = state_boot_us() - db_int(db, ST_SPOOL_READ, 5);
    o->age_us = MAX(o->age_us, INT64_C(0));
    o->reason = xstrdup(db_text(db, ST_SPOOL_READ, 6));
    o->restart = db_int(db, ST_SPOOL_READ, 9) != 0;
    o->vcpus = db_int(db, ST_SPOOL_READ, 10);
    o->memory_bytes = db_int(db, ST_SPOOL_READ, 11);
    o->disk_bytes = db_int(db, ST_SPOOL_READ, 12);
    if (code) {
        o->problem = xnew(struct api_fault);
        o->problem->code = xstrdup(code);
        o->problem->message = xstrdup(db_text(db, ST_SPOOL_READ, 8));
    }
}

int
state_spool_read(struct state *st, int max, struct codec_list *ret)
{
    pthread_mutex_lock(&st->lock);
    int r = db_query(st->reader, ST_SPOOL_READ, "i", (int64_t)max);
    while (r >= 0 && (r = db_next(st->reader, ST_SPOOL_READ)) > 0)
        read_row(st->reader, codec_list_add(&table_observation, ret));
    db_reset(st->reader, ST_SPOOL_READ);
    pthread_mutex_unlock(&st->lock);
    if (r < 0)
        codec_list_clear(&table_observation, ret);
    return r;
}

static int
spool_last(struct db *db, int64_t *ret)
{
    int r = db_get(db, ST_SPOOL_LAST, "");

    if (r == 0)
        *ret = db_int(db, ST_SPOOL_LAST, 0);
    else if (r == -ENOENT)
        *ret = r = 0;
    db_reset(db, ST_SPOOL_LAST);
    return r;
}

int
state_spool_last(struct state *st, int64_t *ret)
{
    pthread_mutex_lock(&st->lock);
    int r = spool_last(st->reader, ret);
    pthread_mutex_unlock(&st->lock);
    return r;
}

struct seq_job {
    struct db_job job;
    int64_t seq;
};

static int
run_ack(struct db *db, struct db_job *job)
{
    int64_t seq = ((struct seq_job *)job)->seq;
    int r = db_run(db, ST_SPOOL_ACK, "i", seq);

    if (r >= 0)
        r = db_run(db, ST_INSTANCE_ACKED, "i", seq);
    return r < 0 ? r : 0;
}

int
state_spool_ack(struct state *st, int64_t seq)
{
    struct seq_job j = {.job.run = run_ack, .seq = seq};

    return db_writer_call(st->writer, &j.job);
}

/* All numbers move by the same amount, past every number that is in use, so
 * that no two rows ever meet. */
static int
run_meet(struct db *db, struct db_job *job)
{
    int64_t seq = ((struct seq_job *)job)->seq, last = 0;
    int r = seq > 0 ? spool_last(db, &last) : 0;

    if (seq > 0 && last < seq)
        last = seq; /* the shift must clear the old numbers as well */
    if (seq > 0 && r >= 0)
        r = db_run(db, ST_SPOOL_RENUMBER, "i", last);
    if (seq > 0 && r >= 0)
        r = db_run(db, ST_INSTANCE_RENUMBER, "i", last);
    if (seq > 0 && r >= 0)
        r = db_run(db, ST_SPOOL_SEED, "");
    if (seq > 0 && r >= 0)
        r = db_run(db, ST_SPOOL_SET_LAST, "i", 2 * last);
    if (r >= 0)
        r = state_meta_set(db, "spool_met", 1);
    return r < 0 ? r : 0;
}

int
state_spool_meet(struct state *st, int64_t seq)
{
    struct seq_job j = {.job.run = run_meet, .seq = seq};

    return db_writer_call(st->writer, &j.job);
}

int
state_spool_met(struct state *st, bool *ret)
{
    int64_t v = 0;

    pthread_mutex_lock(&st->lock);
    int r = state_meta_get(st->reader, "spool_met", &v);
    pthread_mutex_unlock(&st->lock);
    if (r == 0)
        *ret = v != 0;
    return r;
}
