/* store_number.c - the controller's own numbers; see store.h. */
#include <config.h>

#include "controllerd/store/store-private.h"

#include "common/mem.h"

enum { GET_FLOOR, SET_FLOOR, RAISE };

static const char *const sql[] = {
    [GET_FLOOR] = "SELECT value FROM numbers WHERE name = 'seq_floor'",
    [SET_FLOOR] = "INSERT INTO numbers (name, value) VALUES ('seq_floor', ?) "
                  "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    [RAISE] = "UPDATE instances SET seq = seq + ?",
};

struct store_statements store_number_sql = {sql, ARRAY_SIZE(sql), 0};
#define S(x) (store_base(&store_number_sql) + (x))

/* More changes than any cloud sees between a backup and its return. */
#define GAP (INT64_C(1) << 40)

int
store_seq_floor(struct db *db, int64_t *ret)
{
    int r = db_get(db, S(GET_FLOOR), "");

    *ret = r == 0 ? db_int(db, S(GET_FLOOR), 0) : 0;
    db_reset(db, S(GET_FLOOR));
    return r == -ENOENT ? 0 : r;
}

int
store_begin_anew(struct db *db)
{
    int64_t floor, last;
    int r = store_seq_floor(db, &floor);

    if (r == 0)
        r = store_instance_max_seq(db, &last);
    if (r == 0)
        r = db_exec(db, "BEGIN IMMEDIATE", NULL);
    if (r < 0)
        return r;
    floor = MAX(floor, last) + GAP;
    r = db_run(db, S(RAISE), "i", floor);
    if (r >= 0)
        r = db_run(db, S(SET_FLOOR), "i", floor);
    if (r >= 0)
        r = db_exec(db, "COMMIT", NULL);
    if (r < 0 && db_in_transaction(db) && db_exec(db, "ROLLBACK", NULL) < 0)
        return -EIO;
    return r < 0 ? r : 0;
}
