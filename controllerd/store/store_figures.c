/* store_figures.c - counts for monitoring; see store_figures.h. */
#include <config.h>

#include "controllerd/store/store_figures.h"

#include "controllerd/store/store-private.h"

enum {
    INSTANCES,
    OPERATIONS,
    WEBHOOKS,
    DEAD_LETTERS,
};

static const char *const sql[] = {
    [INSTANCES] = "SELECT state, count(*) FROM instances INDEXED BY "
                  "instances_state WHERE deleted_at IS NULL GROUP BY state",
    [OPERATIONS] = "SELECT node_id, count(*), sum(updated_at < ?) FROM "
                   "operations INDEXED BY operations_running WHERE state = 0 "
                   "GROUP BY node_id",
    [WEBHOOKS] = "SELECT count(*), coalesce(sum(failures > 0), 0) FROM "
                 "webhooks",
    [DEAD_LETTERS] = "SELECT count(*) FROM dead_letters",
};

struct store_statements store_figures_sql = {sql, ARRAY_SIZE(sql), 0};
#define S(x) (store_base(&store_figures_sql) + (x))

static int
instances(struct db *db, struct store_figures *f)
{
    unsigned st = S(INSTANCES);
    int r = db_query(db, st, "");

    while (r >= 0 && (r = db_next(db, st)) == 1) {
        int64_t state = db_int(db, st, 0);

        if (state >= 0 && state < STORE_INSTANCE_STATES)
            f->instances[state] = db_int(db, st, 1);
    }
    return r;
}

int
store_figures(struct db *db, struct store_figures *ret)
{
    struct store_figures f = {0};
    int r = instances(db, &f);

    if (r == 0)
        r = db_get(db, S(WEBHOOKS), "");
    if (r == 0) {
        f.webhooks = db_int(db, S(WEBHOOKS), 0);
        f.webhooks_failing = db_int(db, S(WEBHOOKS), 1);
    }
    db_reset(db, S(WEBHOOKS));
    if (r == 0)
        r = db_get(db, S(DEAD_LETTERS), "");
    if (r == 0)
        f.dead_letters = db_int(db, S(DEAD_LETTERS), 0);
    db_reset(db, S(DEAD_LETTERS));
    if (r == 0)
        *ret = f;
    return r;
}

int
store_figures_operations(struct db *db, int64_t since_us,
                         void (*fn)(const char *node_id, int64_t n,
                                    int64_t silent, void *arg),
                         void *arg)
{
    unsigned st = S(OPERATIONS);
    int r = db_query(db, st, "i", since_us);

    while (r >= 0 && (r = db_next(db, st)) == 1)
        fn(db_text(db, st, 0), db_int(db, st, 1), db_int(db, st, 2), arg);
    return r;
}
