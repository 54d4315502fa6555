/* common/db_writer.h - the one thread that writes to a database.
 * Role:      takes jobs from any thread, runs all that wait in one
 *            transaction (each in a savepoint of its own) and commits once:
 *            group commit. A job's outcome is known only after the commit.
 * Ownership: a job is embedded in the caller's object, which must live until
 *            done() was called; done() may free it.
 * Threads:   submit from anywhere. run(), undo() and done() are called on the
 *            writer's thread.
 * Errors:    run() returning < 0 rolls its savepoint back; done() gets that
 *            number. A failed commit rolls everything back: undo() of every
 *            job whose run() succeeded (in reverse order), then done() with
 *            the commit's error, usually -ENOSPC or -EIO.
 * Invariant: done(result >= 0) implies the job's rows are on disk (with
 *            DB_DURABLE). */
#ifndef COMMON_DB_WRITER_H
#define COMMON_DB_WRITER_H

#include "common/db.h"
#include "common/db_checkpoint.h"

struct db_writer;

struct db_job {
    int (*run)(struct db *db, struct db_job *job);
    void (*undo)(struct db_job *job); /* may be NULL */
    void (*done)(struct db_job *job, int result);
    int result;
    struct db_job *next;
    int64_t submitted_us; /* the writer's */
};

/* Takes ownership of db. */
int db_writer_start(struct db *db, struct db_writer **ret) _must_check_;
/* Runs what waits, then ends the thread and closes db. No submit may run at
 * the same time. */
void db_writer_stop(struct db_writer *w);

/* Figures of its life. Any thread, until db_writer_stop(). */
struct db_writer_figures {
    int64_t queued; /* jobs that wait now */
    /* Of jobs until their transaction begins, and of whole transactions. */
    const struct metrics_hist *wait, *commit;
    const struct db_checkpoint_times *checkpoint;
};
void db_writer_figures(struct db_writer *w, struct db_writer_figures *ret);

/* For those whose done() can do better for many at once: called on the
 * writer's thread before the first and after the last done() of each commit.
 * To be set before the first job. */
void db_writer_around(struct db_writer *w, void (*before)(void),
                      void (*after)(void));

void db_writer_submit(struct db_writer *w, struct db_job *job);
/* Submits and waits; done() is not used. Not from the writer's thread. */
int db_writer_call(struct db_writer *w, struct db_job *job) _must_check_;

#endif
