/* store_usage.c - rows of usage intervals. */
#include <config.h>

#include "controllerd/store/store-private.h"

#include "common/mem.h"

enum { LAST, OPEN, CLOSE, EACH_ALL, EACH_PROJECT, EACH_INSTANCE };

#define COLUMNS                                                                \
    "u.instance_id, u.project_id, i.name, u.run, u.start_us, u.end_us, "       \
    "u.vcpus, u.memory_bytes, u.disk_bytes"
#define FROM " FROM usage_intervals u JOIN instances i ON i.id = u.instance_id "
#define WINDOW "u.start_us < ?2 AND (u.end_us IS NULL OR u.end_us > ?1) "

static const char *const sql[] = {
    [LAST] = "SELECT " COLUMNS FROM "WHERE u.instance_id = ? "
             "ORDER BY u.run DESC LIMIT 1",
    [OPEN] = "INSERT INTO usage_intervals (instance_id, run, project_id, "
             "start_us, end_us, vcpus, memory_bytes, disk_bytes) "
             "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    [CLOSE] = "UPDATE usage_intervals SET end_us = ?3 WHERE instance_id = ?1 "
              "AND run = ?2 AND end_us IS NULL",
    [EACH_ALL] =
        "SELECT " COLUMNS FROM "WHERE " WINDOW "ORDER BY u.instance_id, u.run",
    [EACH_PROJECT] =
        "SELECT " COLUMNS FROM "WHERE u.project_id = ?3 AND " WINDOW
        "ORDER BY u.instance_id, u.run",
    [EACH_INSTANCE] =
        "SELECT " COLUMNS FROM "WHERE u.instance_id = ?4 AND (?3 IS NULL OR "
        "u.project_id = ?3) AND " WINDOW "ORDER BY u.run",
};

struct store_statements store_usage_sql = {sql, ARRAY_SIZE(sql), 0};
#define S(x) (store_base(&store_usage_sql) + (x))

static void
row(struct db *db, unsigned st, struct store_interval *i)
{
    *i = (struct store_interval){
        .instance_id = db_text(db, st, 0),
        .project_id = db_text(db, st, 1),
        .instance_name = db_text(db, st, 2),
        .run = db_int(db, st, 3),
        .iv =
            {
                .start_us = db_int(db, st, 4),
                .end_us = db_int(db, st, 5),
                .vcpus = db_int(db, st, 6),
                .memory_bytes = db_int(db, st, 7),
                .disk_bytes = db_int(db, st, 8),
            },
    };
}

int
store_interval_last(struct db *db, const char *instance_id,
                    struct store_interval *ret)
{
    int r = db_get(db, S(LAST), "s", instance_id);

    *ret = (struct store_interval){0};
    if (r == 0) {
        row(db, S(LAST), ret);
        ret->instance_id = ret->project_id = ret->instance_name = NULL;
    }
    db_reset(db, S(LAST));
    return r == -ENOENT ? 0 : r;
}

int
store_interval_open(struct db *db, const struct store_interval *i)
{
    return store_changed(db_run(db, S(OPEN), "sisiziii", i->instance_id, i->run,
                                i->project_id, i->iv.start_us, i->iv.end_us,
                                i->iv.vcpus, i->iv.memory_bytes,
                                i->iv.disk_bytes));
}

int
store_interval_close(struct db *db, const char *instance_id, int64_t run,
                     int64_t end_us)
{
    return store_changed(db_run(db, S(CLOSE), "sii", instance_id, run, end_us));
}

int
store_interval_each(struct db *db, const char *project, const char *instance,
                    int64_t from_us, int64_t to_us,
                    int (*fn)(const struct store_interval *i, void *arg),
                    void *arg)
{
    struct store_interval i;
    unsigned st = instance  ? S(EACH_INSTANCE)
                  : project ? S(EACH_PROJECT)
                            : S(EACH_ALL);
    int r = instance
                ? db_query(db, st, "iiss", from_us, to_us, project, instance)
            : project ? db_query(db, st, "iis", from_us, to_us, project)
                      : db_query(db, st, "ii", from_us, to_us);

    while (r >= 0 && (r = db_next(db, st)) == 1) {
        row(db, st, &i);
        int one = fn(&i, arg);

        if (one < 0) {
            db_reset(db, st);
            return one;
        }
    }
    return r;
}
