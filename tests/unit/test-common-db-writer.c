/* test-common-db-writer.c - group commit: what done() promises, what a
 * failure undoes, and that no job is ever lost. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>

#include "common/count.h"
#include "common/db_writer.h"
#include "common/fs.h"
#include "common/mem.h"

enum { INSERT, HAS, TOTAL };
static const char *const sql[] = {
    [INSERT] = "INSERT INTO a (id, fill) VALUES (?, ?)",
    [HAS] = "SELECT 1 FROM a WHERE id = ?",
    [TOTAL] = "SELECT count(*) FROM a",
};
static const struct db_migration schema[] = {
    {1, "CREATE TABLE a (id INTEGER PRIMARY KEY, fill TEXT) STRICT"},
};

struct fixture {
    char dir[40], path[64];
    struct db_writer *w;
    struct db *reader;
    sem_t gate_reached, gate_open, done;
    /* The writer's thread only, until `done` was waited for. */
    int order[64], n_order; /* ids; undo is negative */
};

struct job {
    struct db_job job;
    struct fixture *f;
    int64_t id;
    int fail;        /* what run() returns after its insert */
    const char *sql; /* run by run() besides */
    const char *fill;
    bool undone, seen_by_reader;
    int result;
};

static struct db *
open_db(struct fixture *f, unsigned flags)
{
    struct err e _cleanup_(err_release) = {0};
    struct db *db = NULL;
    int r = db_open(f->path, flags, &db, &e);

    if (r == 0 && !(flags & DB_READ_ONLY))
        r = db_migrate(db, schema, 1, &e);
    if (r == 0)
        r = db_prepare(db, sql, ARRAY_SIZE(sql), &e);
    if (r < 0)
        fail_msg("%s", e.message);
    return db;
}

static int
setup(void **state)
{
    struct fixture *f = xnew(struct fixture);

    snprintf(f->dir, sizeof(f->dir), "/tmp/virga-writer-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/t.db", f->dir);
    struct db *db = open_db(f, DB_DURABLE);
    f->reader = open_db(f, DB_READ_ONLY);
    sem_init(&f->gate_reached, 0, 0);
    sem_init(&f->gate_open, 0, 0);
    sem_init(&f->done, 0, 0);
    assert_int_equal(db_writer_start(db, &f->w), 0);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    db_writer_stop(f->w);
    db_close(f->reader);
    sem_destroy(&f->gate_reached);
    sem_destroy(&f->gate_open);
    sem_destroy(&f->done);
    int r = fs_remove_tree(f->dir, NULL);
    free(f);
    return r;
}

static bool
has(struct db *db, int64_t id)
{
    int r = db_get(db, HAS, "i", id);

    db_reset(db, HAS);
    return r == 0;
}

static int
run(struct db *db, struct db_job *j)
{
    struct job *job = (struct job *)j;
    int r = db_run(db, INSERT, "is", job->id, job->fill);

    if (r < 0)
        return r;
    if (job->sql && db_exec(db, job->sql, NULL) < 0)
        return -EIO;
    return job->fail;
}

static void
undo(struct db_job *j)
{
    struct job *job = (struct job *)j;

    job->undone = true;
    job->f->order[job->f->n_order++] = (int)-job->id;
}

static void
done(struct db_job *j, int result)
{
    struct job *job = (struct job *)j;

    job->result = result;
    job->seen_by_reader = has(job->f->reader, job->id);
    job->f->order[job->f->n_order++] = (int)job->id;
    sem_post(&job->f->done);
}

/* Holds the writer, so that what is submitted meanwhile forms one batch. */
static int
gate_run(struct db *db, struct db_job *j)
{
    struct job *job = (struct job *)j;

    sem_post(&job->f->gate_reached);
    sem_wait(&job->f->gate_open);
    return 0;
}

static void
gate_done(struct db_job *j, int result)
{
}

static void
submit_batch(struct fixture *f, struct job *jobs, size_t n)
{
    static struct job gate;

    gate = (struct job){.job = {.run = gate_run, .done = gate_done}, .f = f};
    db_writer_submit(f->w, &gate.job);
    sem_wait(&f->gate_reached);
    for (size_t i = 0; i < n; i++) {
        jobs[i].job = (struct db_job){.run = run, .undo = undo, .done = done};
        jobs[i].f = f;
        jobs[i].id = (int64_t)i + 1;
        db_writer_submit(f->w, &jobs[i].job);
    }
    sem_post(&f->gate_open);
    for (size_t i = 0; i < n; i++)
        sem_wait(&f->done);
}

static void
commits(const char *name, uint64_t value, void *arg)
{
    if (streq(name, "db_commit"))
        *(uint64_t *)arg = value;
}

static void
batch__is_one_commit_in_order(void **state)
{
    struct fixture *f = *state;
    struct job jobs[20] = {0};
    uint64_t before = 0, after = 0;

    count_each(commits, &before);
    submit_batch(f, jobs, 20);
    count_each(commits, &after);
    assert_int_equal(after - before, 2); /* the gate's and the batch's */
    for (int i = 0; i < 20; i++) {
        assert_int_equal(jobs[i].result, 0);
        assert_int_equal(f->order[i], i + 1);
        assert_false(jobs[i].undone);
    }
}

/* done() comes after the commit: another connection sees the rows. */
static void
done__rows_are_committed(void **state)
{
    struct fixture *f = *state;
    struct job jobs[5] = {0};

    submit_batch(f, jobs, 5);
    for (int i = 0; i < 5; i++)
        assert_true(jobs[i].seen_by_reader);
}

static void
failing_job__rolls_back_only_itself(void **state)
{
    struct fixture *f = *state;
    struct job jobs[5] = {0};

    jobs[2].fail = -EINVAL;
    submit_batch(f, jobs, 5);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(jobs[i].result, i == 2 ? -EINVAL : 0);
        assert_int_equal(has(f->reader, i + 1), i != 2);
        assert_false(jobs[i].undone); /* not even the failed one */
    }
}

static void
taken_row__fails_alone(void **state)
{
    struct fixture *f = *state;
    struct job first[1] = {0}, jobs[3] = {0};

    submit_batch(f, first, 1);
    submit_batch(f, jobs, 3);
    assert_int_equal(jobs[0].result, -EEXIST);
    assert_int_equal(jobs[1].result, 0);
    assert_int_equal(jobs[2].result, 0);
    assert_true(has(f->reader, 3));
}

static void
positive_result__reaches_done(void **state)
{
    struct job jobs[1] = {{.fail = 42}};

    submit_batch(*state, jobs, 1);
    assert_int_equal(jobs[0].result, 42);
}

static int
limit_pages(struct db *db, struct db_job *j)
{
    return db_exec(db, ((struct job *)j)->sql, NULL);
}

/* SQLite rolls the whole transaction back when the disk is full: nothing of
 * the batch may be there, everything that ran is undone, last first. */
static void
full_disk__undoes_the_whole_batch_backwards(void **state)
{
    struct fixture *f = *state;
    struct job limit = {.job.run = limit_pages,
                        .sql = "PRAGMA max_page_count=6"};
    struct job unlimit = {.job.run = limit_pages,
                          .sql = "PRAGMA max_page_count=100000"};
    struct job jobs[5] = {0}, again[5] = {0};
    char *big _cleanup_(freep) = xmalloc(100000);

    memset(big, 'x', 99999);
    big[99999] = '\0';
    assert_int_equal(db_writer_call(f->w, &limit.job), 0);
    jobs[3].fill = big;
    submit_batch(f, jobs, 5);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(jobs[i].result, -ENOSPC);
        assert_false(has(f->reader, i + 1));
        assert_int_equal(jobs[i].undone, i < 3);
    }
    static const int want[] = {-3, -2, -1, 1, 2, 3, 4, 5};
    assert_int_equal(f->n_order, ARRAY_SIZE(want));
    assert_memory_equal(f->order, want, sizeof(want));

    /* With room again the writer goes on as if nothing had been. */
    assert_int_equal(db_writer_call(f->w, &unlimit.job), 0);
    submit_batch(f, again, 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(again[i].result, 0);
}

/* The commit itself fails: a deferred foreign key that nothing satisfies. */
static void
failed_commit__undoes_all(void **state)
{
    struct fixture *f = *state;
    struct job jobs[4] = {0};

    jobs[1].sql = "CREATE TABLE IF NOT EXISTS kid (a INTEGER REFERENCES a (id)"
                  " DEFERRABLE INITIALLY DEFERRED);"
                  "INSERT INTO kid VALUES (999)";
    jobs[2].fail = -EINVAL;
    submit_batch(f, jobs, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(jobs[i].result, i == 2 ? -EINVAL : -EEXIST);
        assert_int_equal(jobs[i].undone, i != 2);
        assert_false(has(f->reader, i + 1));
    }
    static const int want[] = {-4, -2, -1, 1, 2, 3, 4};
    assert_memory_equal(f->order, want, sizeof(want));
}

/* A job whose own savepoint cannot be rolled back must not be committed with
 * the others. */
static void
lost_savepoint__fails_the_batch(void **state)
{
    struct fixture *f = *state;
    struct job jobs[3] = {0}, again[3] = {0};

    jobs[1].sql = "RELEASE j";
    jobs[1].fail = -EINVAL;
    submit_batch(f, jobs, 3);
    for (int i = 0; i < 3; i++) {
        assert_true(jobs[i].result < 0);
        assert_false(has(f->reader, i + 1));
    }
    assert_true(jobs[0].undone);
    submit_batch(f, again, 3);
    assert_int_equal(again[1].result, 0);
}

static void
call__gives_the_result(void **state)
{
    struct fixture *f = *state;
    struct job good = {.job.run = run, .f = f, .id = 1, .fail = 7};
    struct job bad = {.job.run = run, .f = f, .id = 2, .fail = -ENOENT};

    assert_int_equal(db_writer_call(f->w, &good.job), 7);
    assert_int_equal(db_writer_call(f->w, &bad.job), -ENOENT);
    assert_true(has(f->reader, 1));
    assert_false(has(f->reader, 2));
}

/* ---- many threads ---- */

#define THREADS 8
#define JOBS 400

static _Atomic int done_ok, done_failed;

static void
count_done(struct db_job *j, int result)
{
    struct job *job = (struct job *)j;

    atomic_fetch_add(result == 0 ? &done_ok : &done_failed, 1);
    sem_post(&job->f->done);
    free(job);
}

static void *
submitter(void *arg)
{
    struct fixture *f = arg;
    static _Atomic int64_t next;

    for (int i = 0; i < JOBS; i++) {
        struct job *job = xnew(struct job);

        job->job = (struct db_job){.run = run, .done = count_done};
        job->f = f;
        job->id = atomic_fetch_add(&next, 1) + 1;
        job->fail = job->id % 10 == 0 ? -EINVAL : 0;
        db_writer_submit(f->w, &job->job);
    }
    return NULL;
}

static void
many_threads__every_job_is_done_once(void **state)
{
    struct fixture *f = *state;
    pthread_t t[THREADS];

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, submitter, f), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    for (int i = 0; i < THREADS * JOBS; i++)
        sem_wait(&f->done);
    assert_int_equal(done_ok, THREADS * JOBS * 9 / 10);
    assert_int_equal(done_failed, THREADS * JOBS / 10);
    assert_int_equal(db_get(f->reader, TOTAL, ""), 0);
    assert_int_equal(db_int(f->reader, TOTAL, 0), done_ok);
    db_reset(f->reader, TOTAL);
}

static void
stop__drains_what_waits(void **state)
{
    struct fixture *f = *state;
    struct job gate = {.job = {.run = gate_run, .done = gate_done}, .f = f};

    db_writer_submit(f->w, &gate.job);
    sem_wait(&f->gate_reached);
    atomic_store(&done_ok, 0);
    for (int i = 0; i < 1000; i++) {
        struct job *job = xnew(struct job);

        *job = (struct job){
            .job = {.run = run, .done = count_done}, .f = f, .id = i + 1};
        db_writer_submit(f->w, &job->job);
    }
    sem_post(&f->gate_open);
    db_writer_stop(f->w);
    f->w = NULL;
    assert_int_equal(done_ok, 1000);
    assert_true(has(f->reader, 1000));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(batch__is_one_commit_in_order),
        T(done__rows_are_committed),
        T(failing_job__rolls_back_only_itself),
        T(taken_row__fails_alone),
        T(positive_result__reaches_done),
        T(full_disk__undoes_the_whole_batch_backwards),
        T(failed_commit__undoes_all),
        T(lost_savepoint__fails_the_batch),
        T(call__gives_the_result),
        T(many_threads__every_job_is_done_once),
        T(stop__drains_what_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
