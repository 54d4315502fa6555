/* db.c - SQLite connections and prepared statements; see db.h. */
#include <config.h>

#include "common/db.h"

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <string.h>

#include "common/buf.h"
#include "common/count.h"
#include "common/mem.h"

#define PAGE_BYTES 4096 /* SQLite's own choice for new databases */

struct db {
    sqlite3 *h;
    bool lazy; /* statements are prepared when they are needed */
    const char **sql;
    sqlite3_stmt **stmts;
    size_t n_stmts;
    int64_t wal_pages;
    sqlite3_stmt *words[DB_WORDS];
};

/* SQLite would count every allocation under one lock for all threads. Nobody
 * reads these counts. */
static pthread_once_t settings_once = PTHREAD_ONCE_INIT;

static void
settings(void)
{
    if (sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) != SQLITE_OK)
        COUNT(db_settings_refused);
}

static int
number_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_CONSTRAINT:
        return -EEXIST;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return -EACCES;
    default:
        COUNT(db_error);
        return -EIO;
    }
}

/* On a full file system SQLite reports a failed write or fsync of the WAL as
 * an I/O error; the system's errno tells the two apart. */
static int
number_of_handle(sqlite3 *h, int rc)
{
    if ((rc & 0xff) == SQLITE_IOERR && sqlite3_system_errno(h) == ENOSPC)
        return -ENOSPC;
    if ((rc & 0xff) == SQLITE_IOERR && sqlite3_system_errno(h) == EDQUOT)
        return -ENOSPC;
    return number_of(rc);
}

int
db_err(struct db *db, int number, struct err *reterr)
{
    const char *words = db->h ? sqlite3_errmsg(db->h) : "not open";

    if (number == -ENOSPC)
        return err_set(reterr, number, "storage_full",
                       "the controller's storage is full: %s", words);
    return err_set(reterr, number, "storage_error", "storage failed: %s",
                   words);
}

int
db_exec(struct db *db, const char *sql, struct err *reterr)
{
    int rc = sqlite3_exec(db->h, sql, NULL, NULL, NULL);

    if (rc != SQLITE_OK)
        return db_err(db, number_of_handle(db->h, rc), reterr);
    return 0;
}

bool
db_in_transaction(struct db *db)
{
    return !sqlite3_get_autocommit(db->h);
}

int
db_word(struct db *db, enum db_word word)
{
    static const char *const sql[DB_WORDS] = {
        [DB_BEGIN] = "BEGIN IMMEDIATE",     [DB_COMMIT] = "COMMIT",
        [DB_SAVEPOINT] = "SAVEPOINT j",     [DB_RELEASE] = "RELEASE j",
        [DB_ROLLBACK_TO] = "ROLLBACK TO j",
    };
    sqlite3_stmt **st = &db->words[word];
    int rc = SQLITE_OK;

    if (!*st)
        rc = sqlite3_prepare_v3(db->h, sql[word], -1, SQLITE_PREPARE_PERSISTENT,
                                st, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(*st);
    int r = number_of_handle(db->h, rc);
    sqlite3_reset(*st);
    if (r == 0 && word == DB_ROLLBACK_TO)
        r = db_word(db, DB_RELEASE);
    return r;
}

int
db_open(const char *path, unsigned flags, struct db **ret, struct err *reterr)
{
    bool rdonly = flags & DB_READ_ONLY;
    struct db *db _cleanup_(db_closep) = xnew(struct db);

    db->lazy = rdonly;
    pthread_once(&settings_once, settings);
    if (!rdonly) {
        /* SQLite would create it world-readable. */
        int fd _cleanup_(closep) =
            open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0)
            return err_errno(reterr, -errno, "cannot open database %s", path);
    }
    int rc = sqlite3_open_v2(
        path, &db->h,
        (rdonly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) |
            SQLITE_OPEN_NOMUTEX,
        NULL);
    int r = rc == SQLITE_OK ? 0 : number_of(rc);
    if (r == 0) {
        sqlite3_busy_timeout(db->h, 10000);
        sqlite3_extended_result_codes(db->h, 1);
        r = db_exec(db,
                    "PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY;"
                    "PRAGMA trusted_schema=OFF;",
                    reterr);
    }
    if (r == 0 && !rdonly)
        r = db_exec(db,
                    flags & DB_DURABLE
                        ? "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                        : "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
                    reterr);
    if (r < 0) {
        db_err(db, r, reterr);
        err_prefix(reterr, "cannot open database %s", path);
        return r;
    }
    *ret = TAKE_PTR(db);
    return 0;
}

void
db_close(struct db *db)
{
    if (!db)
        return;
    for (size_t i = 0; i < db->n_stmts; i++)
        sqlite3_finalize(db->stmts[i]);
    free(db->stmts);
    free(db->sql);
    for (size_t i = 0; i < DB_WORDS; i++)
        sqlite3_finalize(db->words[i]);
    sqlite3_close(db->h);
    free(db);
}

void
db_closep(struct db **db)
{
    db_close(*db);
    *db = NULL;
}

int
db_check(struct db *db, struct err *reterr)
{
    sqlite3_stmt *st;
    int rc = sqlite3_prepare_v2(db->h, "PRAGMA quick_check(1)", -1, &st, NULL);

    if (rc != SQLITE_OK)
        return db_err(db, number_of(rc), reterr);
    rc = sqlite3_step(st);
    const char *words =
        rc == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : NULL;
    int r = 0;
    if (!words)
        r = db_err(db, rc == SQLITE_ROW ? -EIO : number_of(rc), reterr);
    else if (!streq(words, "ok"))
        r = err_set(reterr, -EIO, "database_damaged", "it is damaged: %s",
                    words);
    sqlite3_finalize(st);
    return r;
}

static int
user_version(struct db *db, int *ret)
{
    sqlite3_stmt *st;
    int rc = sqlite3_prepare_v2(db->h, "PRAGMA user_version", -1, &st, NULL);

    if (rc != SQLITE_OK)
        return number_of(rc);
    rc = sqlite3_step(st);
    *ret = rc == SQLITE_ROW ? sqlite3_column_int(st, 0) : 0;
    sqlite3_finalize(st);
    return rc == SQLITE_ROW ? 0 : number_of(rc);
}

int
db_migrate(struct db *db, const struct db_migration *m, size_t n,
           struct err *reterr)
{
    int have = 0;
    int r = user_version(db, &have);

    if (r < 0)
        return db_err(db, r, reterr);
    if (n && have > m[n - 1].version)
        return err_set(reterr, -EPROTO, "database_newer",
                       "the database has schema version %d, this program "
                       "knows up to %d: run the newer program",
                       have, m[n - 1].version);
    for (size_t i = 0; i < n; i++) {
        char *tail _cleanup_(freep) = NULL;

        if (m[i].version <= have)
            continue;
        tail = xasprintf("PRAGMA user_version=%d; COMMIT;", m[i].version);
        r = db_exec(db, "BEGIN IMMEDIATE", reterr);
        if (r == 0)
            r = db_exec(db, m[i].sql, reterr);
        if (r == 0)
            r = db_exec(db, tail, reterr);
        if (r < 0) {
            if (db_in_transaction(db))
                sqlite3_exec(db->h, "ROLLBACK", NULL, NULL, NULL);
            err_prefix(reterr, "schema migration %d", m[i].version);
            return r;
        }
    }
    return 0;
}

int
db_prepare(struct db *db, const char *const *sql, size_t n, struct err *reterr)
{
    unsigned base;

    return db_prepare_more(db, sql, n, &base, reterr);
}

static int
prepare(struct db *db, size_t stmt)
{
    return sqlite3_prepare_v3(db->h, db->sql[stmt], -1,
                              SQLITE_PREPARE_PERSISTENT, &db->stmts[stmt],
                              NULL);
}

int
db_prepare_more(struct db *db, const char *const *sql, size_t n,
                unsigned *ret_base, struct err *reterr)
{
    size_t base = db->n_stmts;

    db->stmts = xrealloc(db->stmts, (base + n) * sizeof(*db->stmts));
    db->sql = xrealloc(db->sql, (base + n) * sizeof(*db->sql));
    for (size_t i = 0; i < n; i++) {
        db->stmts[base + i] = NULL;
        db->sql[base + i] = sql[i];
    }
    db->n_stmts = base + n;
    for (size_t i = 0; i < n && !db->lazy; i++) {
        int rc = prepare(db, base + i);

        if (rc != SQLITE_OK) {
            int r = db_err(db, number_of(rc), reterr);

            err_prefix(reterr, "statement %zu (%.60s)", i, sql[i]);
            return r;
        }
    }
    *ret_base = (unsigned)base;
    return 0;
}

/* With `keep` SQLite copies texts and blobs; else they are borrowed until the
 * statement is bound again, and read in its steps only. */
static int
bind(struct db *db, unsigned stmt, bool keep, const char *types, va_list ap)
{
    int rc = db->stmts[stmt] ? SQLITE_OK : prepare(db, stmt), col = 1;
    sqlite3_stmt *st = db->stmts[stmt];
    sqlite3_destructor_type whose = keep ? SQLITE_TRANSIENT : SQLITE_STATIC;

    /* No parameter may be left with what was borrowed the last time. */
    if (st && strlen(types) != (size_t)sqlite3_bind_parameter_count(st))
        abort();

    sqlite3_reset(st);
    for (const char *t = types; *t && rc == SQLITE_OK; t++, col++) {
        if (*t == 's') {
            const char *s = va_arg(ap, const char *);

            rc = sqlite3_bind_text(st, col, s, -1, whose);
        } else if (*t == 'i' || *t == 'z') {
            int64_t v = va_arg(ap, int64_t);

            rc = *t == 'z' && v == 0 ? sqlite3_bind_null(st, col)
                                     : sqlite3_bind_int64(st, col, v);
        } else if (*t == 'b') {
            const void *p = va_arg(ap, const void *);
            size_t n = va_arg(ap, size_t);

            rc = sqlite3_bind_blob64(st, col, p, n, whose);
        } else {
            abort(); /* a bug in a caller's type string */
        }
    }
    return number_of(rc);
}

static int
step(struct db *db, unsigned stmt)
{
    int rc = sqlite3_step(db->stmts[stmt]);

    if (rc == SQLITE_ROW)
        return 1;
    int r = number_of_handle(db->h, rc);
    sqlite3_reset(db->stmts[stmt]);
    return r;
}

int
db_run(struct db *db, unsigned stmt, const char *types, ...)
{
    va_list ap;

    va_start(ap, types);
    int r = bind(db, stmt, false, types, ap);
    va_end(ap);
    if (r < 0)
        return r;
    r = step(db, stmt);
    if (r < 0)
        return r;
    sqlite3_reset(db->stmts[stmt]);
    return sqlite3_changes(db->h);
}

int
db_query(struct db *db, unsigned stmt, const char *types, ...)
{
    va_list ap;

    va_start(ap, types);
    int r = bind(db, stmt, true, types, ap);
    va_end(ap);
    return r;
}

int
db_next(struct db *db, unsigned stmt)
{
    return step(db, stmt);
}

void
db_reset(struct db *db, unsigned stmt)
{
    sqlite3_reset(db->stmts[stmt]);
}

int
db_get(struct db *db, unsigned stmt, const char *types, ...)
{
    va_list ap;

    va_start(ap, types);
    int r = bind(db, stmt, false, types, ap);
    va_end(ap);
    if (r < 0)
        return r;
    r = step(db, stmt);
    return r == 0 ? -ENOENT : r < 0 ? r : 0;
}

int64_t
db_int(struct db *db, unsigned stmt, int col)
{
    return sqlite3_column_int64(db->stmts[stmt], col);
}

const char *
db_text(struct db *db, unsigned stmt, int col)
{
    return (const char *)sqlite3_column_text(db->stmts[stmt], col);
}

const void *
db_blob(struct db *db, unsigned stmt, int col, size_t *ret_n)
{
    const void *p = sqlite3_column_blob(db->stmts[stmt], col);

    *ret_n = (size_t)sqlite3_column_bytes(db->stmts[stmt], col);
    return p;
}

bool
db_is_null(struct db *db, unsigned stmt, int col)
{
    return sqlite3_column_type(db->stmts[stmt], col) == SQLITE_NULL;
}

const char *
db_path(struct db *db)
{
    return sqlite3_db_filename(db->h, "main");
}

static int
on_commit(void *arg, sqlite3 *h, const char *name, int pages)
{
    struct db *db = arg;

    db->wal_pages = pages;
    return SQLITE_OK;
}

void
db_wal_by_hand(struct db *db, int64_t keep_pages)
{
    /* This hook takes the place of the one that makes checkpoints. */
    sqlite3_wal_hook(db->h, on_commit, db);
    char *limit _cleanup_(freep) = xasprintf(
        "PRAGMA journal_size_limit=%lld", (long long)keep_pages * PAGE_BYTES);
    if (db_exec(db, limit, NULL) < 0)
        COUNT(db_error);
}

int64_t
db_wal_pages(struct db *db)
{
    return db->wal_pages;
}

int
db_wal_checkpoint(struct db *db, int64_t *ret_log, int64_t *ret_done)
{
    int log = 0, done = 0;
    int rc = sqlite3_wal_checkpoint_v2(db->h, NULL, SQLITE_CHECKPOINT_PASSIVE,
                                       &log, &done);

    if (rc != SQLITE_OK)
        return number_of_handle(db->h, rc);
    *ret_log = MAX(log, 0); /* -1: nothing was ever written */
    *ret_done = MAX(done, 0);
    return 0;
}

int
db_schema_text(struct db *db, char **ret)
{
    struct buf b _cleanup_(buf_release) = {0};
    sqlite3_stmt *st;
    int rc = sqlite3_prepare_v2(db->h,
                                "SELECT sql FROM sqlite_schema WHERE sql IS "
                                "NOT NULL ORDER BY type DESC, name",
                                -1, &st, NULL);

    if (rc != SQLITE_OK)
        return number_of(rc);
    while ((rc = sqlite3_step(st)) == SQLITE_ROW)
        buf_addf(&b, "%s;\n", (const char *)sqlite3_column_text(st, 0));
    sqlite3_finalize(st);
    if (rc != SQLITE_DONE)
        return number_of(rc);
    *ret = buf_take(&b);
    return 0;
}
