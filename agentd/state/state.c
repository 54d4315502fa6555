/* state.c - opening, statements and single values; see state.h. */
#include <config.h>

#include "agentd/state/state.h"

#include <string.h>

#include "agentd/state/state-private.h"
#include "common/clock.h"
#include "common/count.h"
#include "common/fs.h"
#include "common/mem.h"

extern const struct db_migration agent_migrations[];
extern const size_t agent_migrations_n;

static const char *const statements[N_STATE_STMTS] = {
    [ST_META_GET] = "SELECT value FROM meta WHERE key = ?1",
    [ST_META_SET] = "INSERT INTO meta (key, value) VALUES (?1, ?2) "
                    "ON CONFLICT (key) DO UPDATE SET value = excluded.value",

    [ST_INSTANCE_PUT] =
        "INSERT INTO instance (id, seq, spec) VALUES (?1, ?2, ?3) "
        "ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, "
        "spec = excluded.spec WHERE excluded.seq >= instance.seq",
    [ST_INSTANCE_DROP] = "DELETE FROM instance WHERE id = ?1",
    [ST_INSTANCE_LIST] = "SELECT id, spec, phase, run, started_us, told_seq, "
                         "deleted_seq, restarts, restart_at_us, paused, "
                         "vcpus, memory_bytes, disk_bytes FROM instance",
    [ST_INSTANCE_LOCAL] =
        "UPDATE instance SET phase = ?2, run = ?3, started_us = ?4, "
        "told_seq = ?5, deleted_seq = ?6, restarts = ?7, restart_at_us = ?8, "
        "paused = ?9, vcpus = ?10, memory_bytes = ?11, disk_bytes = ?12 "
        "WHERE id = ?1",
    [ST_INSTANCE_ACKED] = "DELETE FROM instance WHERE deleted_seq <= ?1",
    [ST_INSTANCE_RENUMBER] = "UPDATE instance SET deleted_seq = deleted_seq + "
                             "?1 WHERE deleted_seq IS NOT NULL",

    [ST_SPOOL_ADD] =
        "INSERT INTO observation (instance_id, run, state, at_us, boot_us, "
        "reason, code, message, restart, vcpus, memory_bytes, disk_bytes) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) "
        "RETURNING seq",
    [ST_SPOOL_READ] =
        "SELECT seq, instance_id, run, state, at_us, boot_us, reason, code, "
        "message, restart, vcpus, memory_bytes, disk_bytes "
        "FROM observation ORDER BY seq LIMIT ?1",
    [ST_SPOOL_ACK] = "DELETE FROM observation WHERE seq <= ?1",
    [ST_SPOOL_LAST] =
        "SELECT seq FROM sqlite_sequence WHERE name = 'observation'",
    [ST_SPOOL_RENUMBER] = "UPDATE observation SET seq = seq + ?1",
    [ST_SPOOL_SEED] = "INSERT INTO sqlite_sequence (name, seq) "
                      "SELECT 'observation', 0 WHERE NOT EXISTS (SELECT 1 "
                      "FROM sqlite_sequence WHERE name = 'observation')",
    [ST_SPOOL_SET_LAST] = "UPDATE sqlite_sequence SET seq = ?1 "
                          "WHERE name = 'observation' AND seq < ?1",
};

int64_t
state_boot_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_BOOTTIME, &ts);
    return ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

int
state_meta_get(struct db *db, const char *key, int64_t *ret)
{
    int r = db_get(db, ST_META_GET, "s", key);

    if (r == 0)
        *ret = db_int(db, ST_META_GET, 0);
    else if (r == -ENOENT)
        *ret = r = 0;
    db_reset(db, ST_META_GET);
    return r;
}

int
state_meta_set(struct db *db, const char *key, int64_t v)
{
    int r = db_run(db, ST_META_SET, "si", key, v);

    return r < 0 ? r : 0;
}

/* In another boot of the machine the time since boot says nothing of old
 * observations: only their wall clock is left. */
static int
note_boot(struct db *db, struct err *reterr)
{
    struct buf id _cleanup_(buf_release) = {0};
    bool same = false;
    int r = fs_read("/proc/sys/kernel/random/boot_id", 64, &id, reterr);

    if (r < 0)
        return r;
    r = db_get(db, ST_META_GET, "s", "boot_id");
    if (r == 0)
        same = streq(db_text(db, ST_META_GET, 0), buf_str(&id));
    db_reset(db, ST_META_GET);
    if (r == 0 && same)
        return 0;
    if (r == 0 || r == -ENOENT)
        r = db_exec(db, "UPDATE observation SET boot_us = NULL", reterr);
    if (r == 0)
        r = db_run(db, ST_META_SET, "ss", "boot_id", buf_str(&id));
    return r < 0 ? db_err(db, r, reterr) : 0;
}

int
state_open(const char *path, struct state **ret, struct err *reterr)
{
    struct db *db _cleanup_(db_closep) = NULL;
    struct db *reader _cleanup_(db_closep) = NULL;
    int r = db_open(path, DB_DURABLE, &db, reterr);

    if (r < 0)
        return r; /* names it already */
    /* VMs would be started twice, or lost, on what it says. */
    r = db_check(db, reterr);
    if (r == 0)
        r = db_migrate(db, agent_migrations, agent_migrations_n, reterr);
    if (r == 0)
        r = db_prepare(db, statements, ARRAY_SIZE(statements), reterr);
    if (r == 0)
        r = note_boot(db, reterr);
    if (r == 0)
        r = db_open(path, DB_READ_ONLY, &reader, reterr);
    if (r == 0)
        r = db_prepare(reader, statements, ARRAY_SIZE(statements), reterr);
    if (r < 0) {
        err_prefix(reterr, "database %s", path);
        return r;
    }
    struct state *st = xnew(struct state);
    pthread_mutex_init(&st->lock, NULL);
    r = db_writer_start(TAKE_PTR(db), &st->writer);
    if (r < 0) {
        pthread_mutex_destroy(&st->lock);
        free(st);
        return err_errno(reterr, r, "cannot start the database's thread");
    }
    st->reader = TAKE_PTR(reader);
    *ret = st;
    return 0;
}

void
state_close(struct state *st)
{
    if (!st)
        return;
    /* The last one to close clears the log away, if it may write. */
    db_close(st->reader);
    db_writer_stop(st->writer);
    pthread_mutex_destroy(&st->lock);
    free(st);
}

static int
run_nothing(struct db *db, struct db_job *job)
{
    return 0;
}

void
state_flush(struct state *st)
{
    struct db_job job = {.run = run_nothing};

    /* Jobs run in order: all before this one are through, even if a full
     * disk refuses its (empty) commit. */
    if (db_writer_call(st->writer, &job) < 0)
        COUNT(agent_flush_failed);
}

static int
read_meta(struct state *st, const char *key, int64_t *ret)
{
    pthread_mutex_lock(&st->lock);
    int r = state_meta_get(st->reader, key, ret);
    pthread_mutex_unlock(&st->lock);
    return r;
}

int
state_desired_seq(struct state *st, int64_t *ret)
{
    return read_meta(st, "desired_seq", ret);
}

int
state_alive(struct state *st, int64_t *ret)
{
    return read_meta(st, "last_alive_us", ret);
}

struct alive_job {
    struct db_job job;
    int64_t us;
};

static int
run_alive(struct db *db, struct db_job *job)
{
    return state_meta_set(db, "last_alive_us", ((struct alive_job *)job)->us);
}

int
state_set_alive(struct state *st, int64_t us)
{
    struct alive_job a = {.job.run = run_alive, .us = us};

    return db_writer_call(st->writer, &a.job);
}
