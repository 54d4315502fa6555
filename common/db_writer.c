/* db_writer.c - group commit on one thread; see db_writer.h. */
#include <config.h>

#include "common/db_writer.h"

#include <pthread.h>
#include <string.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/db_checkpoint.h"
#include "common/log.h"
#include "common/mem.h"

#define BATCH_MAX 512

struct db_writer {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct db_job *head, **tail; /* lock */
    bool stop;                   /* lock */
    int64_t queued;              /* lock; in the list at head */
    struct metrics_hist wait, commit;
    pthread_t thread;
    struct db *db; /* the writer's thread only */
    struct db_checkpoint *checkpoint;
    void (*before)(void), (*after)(void);
};

static struct db_job *
take_batch(struct db_writer *w)
{
    pthread_mutex_lock(&w->lock);
    while (!w->head && !w->stop)
        pthread_cond_wait(&w->wake, &w->lock);
    struct db_job *first = w->head, **end = &w->head;
    for (int n = 0; *end && n < BATCH_MAX; n++, w->queued--)
        end = &(*end)->next;
    w->head = *end;
    if (!w->head)
        w->tail = &w->head;
    *end = NULL;
    /* With nothing taken, `end` was &w->head and is NULL already. */
    pthread_mutex_unlock(&w->lock);
    return first;
}

/* One job's rows cannot be told from the others' any more: none of the batch
 * may be committed. run_jobs() sees that the transaction is gone. */
static void
give_up(struct db *db)
{
    COUNT(db_rollback_failed);
    if (db_in_transaction(db) && db_exec(db, "ROLLBACK", NULL) < 0)
        COUNT(db_rollback_failed);
}

static int
run_in_savepoint(struct db *db, struct db_job *job)
{
    int r = db_word(db, DB_SAVEPOINT);

    if (r < 0)
        return r;
    int result = job->run(db, job);
    if (result < 0) {
        if (db_in_transaction(db) && db_word(db, DB_ROLLBACK_TO) < 0)
            give_up(db);
        return result;
    }
    r = db_word(db, DB_RELEASE);
    if (r < 0) {
        if (job->undo)
            job->undo(job);
        give_up(db);
        return r;
    }
    return result;
}

/* Undo runs last job first, so that memory goes back the way it came. */
static void
undo_all(struct db_job *job)
{
    if (!job)
        return;
    undo_all(job->next);
    if (job->result >= 0 && job->undo)
        job->undo(job);
}

/* Runs every job inside one transaction. A full disk or an I/O error can make
 * SQLite roll the whole transaction back by itself; no later savepoint may
 * then open one of its own, so the rest of the batch fails alike. */
static int
run_jobs(struct db *db, struct db_job *batch)
{
    int broken = db_word(db, DB_BEGIN);

    for (struct db_job *j = batch; j; j = j->next) {
        if (broken < 0) {
            j->result = broken;
            continue;
        }
        j->result = run_in_savepoint(db, j);
        if (!db_in_transaction(db))
            broken = j->result < 0 ? j->result : -EIO;
    }
    return broken < 0 ? broken : db_word(db, DB_COMMIT);
}

static void
run_batch(struct db_writer *w, struct db_job *batch)
{
    struct db *db = w->db;

    db_checkpoint_enter(w->checkpoint);
    int64_t start = clock_mono_us();
    for (struct db_job *j = batch; j; j = j->next)
        metrics_observe(&w->wait, start - j->submitted_us);
    int commit = run_jobs(db, batch);
    metrics_observe(&w->commit, clock_mono_us() - start);
    db_checkpoint_leave(w->checkpoint, commit);
    COUNT(db_commit);
    if (commit < 0) {
        COUNT(db_commit_failed);
        log_limited(LOG_LEVEL_ERROR, "commit failed, its changes are undone",
                    "error=\"%s\"", strerrordesc_np(-commit));
        undo_all(batch);
        if (db_in_transaction(db) && db_exec(db, "ROLLBACK", NULL) < 0)
            COUNT(db_rollback_failed);
    }
    if (w->before)
        w->before();
    while (batch) {
        struct db_job *next = batch->next;

        batch->next = NULL;
        batch->done(batch,
                    commit < 0 && batch->result >= 0 ? commit : batch->result);
        batch = next;
    }
    if (w->after)
        w->after();
}

static void *
writer_main(void *arg)
{
    struct db_writer *w = arg;

    for (;;) {
        struct db_job *batch = take_batch(w);

        if (!batch)
            return NULL;
        run_batch(w, batch);
    }
}

int
db_writer_start(struct db *db, struct db_writer **ret)
{
    struct db_checkpoint *c;
    int r = db_checkpoint_start(db, &db_checkpoint_limits, &c);

    if (r < 0) {
        db_close(db);
        return r;
    }
    struct db_writer *w = xnew(struct db_writer);

    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    w->tail = &w->head;
    w->db = db;
    w->checkpoint = c;
    r = pthread_create(&w->thread, NULL, writer_main, w);
    if (r != 0) {
        db_checkpoint_stop(c);
        db_close(db);
        free(w);
        return -r;
    }
    pthread_setname_np(w->thread, "db-writer");
    *ret = w;
    return 0;
}

void
db_writer_stop(struct db_writer *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    db_checkpoint_stop(w->checkpoint);
    db_close(w->db);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->wake);
    free(w);
}

void
db_writer_figures(struct db_writer *w, struct db_writer_figures *ret)
{
    pthread_mutex_lock(&w->lock);
    int64_t queued = w->queued;
    pthread_mutex_unlock(&w->lock);
    *ret = (struct db_writer_figures){queued, &w->wait, &w->commit,
                                      db_checkpoint_times(w->checkpoint)};
}

void
db_writer_around(struct db_writer *w, void (*before)(void), void (*after)(void))
{
    w->before = before;
    w->after = after;
}

void
db_writer_submit(struct db_writer *w, struct db_job *job)
{
    job->next = NULL;
    job->submitted_us = clock_mono_us();
    pthread_mutex_lock(&w->lock);
    w->queued++;
    *w->tail = job;
    w->tail = &job->next;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

struct sync_job {
    struct db_job job;
    struct db_job *inner;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool finished;
    int result;
};

static int
sync_run(struct db *db, struct db_job *job)
{
    struct sync_job *s = (struct sync_job *)job;

    return s->inner->run(db, s->inner);
}

static void
sync_undo(struct db_job *job)
{
    struct sync_job *s = (struct sync_job *)job;

    if (s->inner->undo)
        s->inner->undo(s->inner);
}

static void
sync_done(struct db_job *job, int result)
{
    struct sync_job *s = (struct sync_job *)job;

    pthread_mutex_lock(&s->lock);
    s->result = result;
    s->finished = true;
    pthread_cond_signal(&s->cond);
    pthread_mutex_unlock(&s->lock);
}

int
db_writer_call(struct db_writer *w, struct db_job *job)
{
    struct sync_job s = {
        .job = {.run = sync_run, .undo = sync_undo, .done = sync_done},
        .inner = job,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .cond = PTHREAD_COND_INITIALIZER,
    };

    db_writer_submit(w, &s.job);
    pthread_mutex_lock(&s.lock);
    while (!s.finished)
        pthread_cond_wait(&s.cond, &s.lock);
    pthread_mutex_unlock(&s.lock);
    return s.result;
}
