/* db_backup.c - a consistent copy of a database in use; see db.h. */
#include <config.h>

#include "common/db.h"

#include <sqlite3.h>

/* In one step: a copy page by page would begin anew with every commit of
 * another connection. In WAL mode a reader, however long, holds up nobody. */
int
db_copy(const char *from, const char *to, struct err *reterr)
{
    sqlite3 *src = NULL, *dst = NULL;
    sqlite3_backup *b = NULL;
    int rc = sqlite3_open_v2(from, &src,
                             SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_open_v2(to, &dst,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
                                 SQLITE_OPEN_NOMUTEX,
                             NULL);
    if (rc == SQLITE_OK) {
        sqlite3_busy_timeout(src, 10000);
        b = sqlite3_backup_init(dst, "main", src, "main");
        rc = b ? sqlite3_backup_step(b, -1) : sqlite3_errcode(dst);
        if (rc == SQLITE_DONE)
            rc = SQLITE_OK;
        int end = b ? sqlite3_backup_finish(b) : SQLITE_OK;
        if (rc == SQLITE_OK)
            rc = end;
    }
    /* A copy needs no log beside it. */
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(dst, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
    int r = 0;
    if (rc != SQLITE_OK) {
        r = (rc & 0xff) == SQLITE_FULL ? -ENOSPC : -EIO;
        err_set(reterr, r, r == -ENOSPC ? "storage_full" : "storage_error",
                "cannot copy %s: %s", from, sqlite3_errstr(rc));
    }
    sqlite3_close(dst);
    sqlite3_close(src);
    return r;
}
