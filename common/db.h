/* common/db.h - SQLite behind a small handle with prepared statements.
 * Role:      the only way to the database. A connection carries a table of
 *            statements, all prepared at open: a typo fails at start.
 * Ownership: text and blob columns are borrowed until the statement's next
 *            step or reset.
 * Threads:   a handle belongs to one thread at a time.
 * Errors:    negative errno: -ENOSPC disk full, -EEXIST uniqueness or
 *            foreign key, -EBUSY, -EIO the rest; reterr has SQLite's words.
 * Source:    SQLite's documentation of WAL mode and PRAGMA synchronous. */
#ifndef COMMON_DB_H
#define COMMON_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct db;

enum db_flags {
    DB_READ_ONLY = 1u << 0,
    /* synchronous=FULL: every commit reaches the disk. Without it a commit
     * survives the process, not power loss. */
    DB_DURABLE = 1u << 1,
};

struct db_migration {
    int version;     /* 1, 2, 3, … */
    const char *sql; /* one or more statements */
};

/* Read-write opening creates the file (mode 0600) and sets WAL mode. */
int db_open(const char *path, unsigned flags, struct db **ret,
            struct err *reterr) _must_check_;
void db_close(struct db *db);
void db_closep(struct db **db);

/* Applies those migrations whose version is above the stored one, each in a
 * transaction of its own with its version (PRAGMA user_version). A database
 * newer than the program is refused (-EPROTO). */
int db_migrate(struct db *db, const struct db_migration *m, size_t n,
               struct err *reterr) _must_check_;

/* Reads every page: -EIO (database_damaged) when it is not sound. Takes time by
 * the database's size. */
int db_check(struct db *db, struct err *reterr) _must_check_;

/* Copies a database, which others may be using, to a new file: as it was at
 * one moment, without a log. -ENOSPC, -EIO. */
int db_copy(const char *from, const char *to, struct err *reterr) _must_check_;

/* Prepares all statements; sql[i] becomes statement i. The texts are kept by
 * reference. A read-only connection prepares each when it is first used: there
 * are many such connections, and each uses few; what is wrong with a
 * statement shows on the writer's, which is opened first. */
int db_prepare(struct db *db, const char *const *sql, size_t n,
               struct err *reterr) _must_check_;

/* The same for one more set; statement i of it becomes *ret_base + i. */
int db_prepare_more(struct db *db, const char *const *sql, size_t n,
                    unsigned *ret_base, struct err *reterr) _must_check_;

/* Runs SQL without results: pragmas, BEGIN, COMMIT. */
int db_exec(struct db *db, const char *sql, struct err *reterr) _must_check_;

bool db_in_transaction(struct db *db);

/* The writer's few words around every job and transaction, prepared once. */
enum db_word {
    DB_BEGIN, /* IMMEDIATE */
    DB_COMMIT,
    DB_SAVEPOINT,
    DB_RELEASE,
    DB_ROLLBACK_TO, /* the savepoint, which it also ends */
    DB_WORDS,
};
int db_word(struct db *db, enum db_word word) _must_check_;

/* Binds the arguments after `types`, one letter each:
 *   s const char * (NULL binds NULL)      i int64_t
 *   z int64_t where 0 binds NULL          b const void *, size_t
 * db_run() runs a statement that returns no rows; the number of changed rows
 * or negative errno. */
int db_run(struct db *db, unsigned stmt, const char *types, ...) _must_check_;
/* db_query() binds; each db_next() then gives 1 with a row, 0 at the end
 * (the statement is reset), or negative errno. A caller that stops early
 * calls db_reset(). */
int db_query(struct db *db, unsigned stmt, const char *types, ...) _must_check_;
int db_next(struct db *db, unsigned stmt) _must_check_;
void db_reset(struct db *db, unsigned stmt);
/* One row or -ENOENT; the row stays readable until db_reset(). */
int db_get(struct db *db, unsigned stmt, const char *types, ...) _must_check_;

int64_t db_int(struct db *db, unsigned stmt, int col);
const char *db_text(struct db *db, unsigned stmt, int col); /* NULL is NULL */
const void *db_blob(struct db *db, unsigned stmt, int col, size_t *ret_n);
bool db_is_null(struct db *db, unsigned stmt, int col);

/* The last failure of this handle as an err; code storage_full or
 * storage_error. Returns number. */
int db_err(struct db *db, int number, struct err *reterr);

/* ---- checkpoints; see db_checkpoint.h ---- */

/* The file that db_open() opened. */
const char *db_path(struct db *db);
/* Commits of this handle run no checkpoints any more. What the WAL's file has
 * above keep_pages is given back whenever the WAL begins anew. */
void db_wal_by_hand(struct db *db, int64_t keep_pages);
/* Pages in the WAL after the latest commit of this handle, which
 * db_wal_by_hand() was called for. */
int64_t db_wal_pages(struct db *db);
/* Copies what it can of the WAL into the database without waiting for readers
 * or writers: pages in the WAL, and how many of them are in the database. */
int db_wal_checkpoint(struct db *db, int64_t *ret_log,
                      int64_t *ret_done) _must_check_;

/* All CREATE statements of the schema in a stable order, for tests. */
int db_schema_text(struct db *db, char **ret) _must_check_;

#endif
