/* store_seed.c - what instances were given for their first boot. */
#include <config.h>

#include "controllerd/store/store-private.h"

#include "common/mem.h"

enum {
    INSERT,
    SET_USER_DATA,
    USER_DATA,
};

static const char *const sql[] = {
    [INSERT] = "INSERT INTO instance_seeds (instance_id, user_data, keys) "
               "VALUES (?, ?, ?)",
    [SET_USER_DATA] =
        "INSERT INTO instance_seeds (instance_id, user_data) VALUES (?, ?) "
        "ON CONFLICT (instance_id) DO UPDATE SET user_data = "
        "excluded.user_data",
    [USER_DATA] = "SELECT user_data FROM instance_seeds WHERE instance_id = ?",
};

struct store_statements store_seed_sql = {sql, ARRAY_SIZE(sql), 0};
#define S(x) (store_base(&store_seed_sql) + (x))

int
store_seed_insert(struct db *db, const char *instance_id, const char *user_data,
                  const struct codec_list *keys)
{
    char *lines _cleanup_(freep) = store_join(keys, '\n');

    if (!user_data && !lines)
        return 0;
    return store_changed(
        db_run(db, S(INSERT), "sss", instance_id, user_data, lines));
}

int
store_seed_set_user_data(struct db *db, const char *instance_id,
                         const char *user_data)
{
    return store_changed(
        db_run(db, S(SET_USER_DATA), "ss", instance_id, user_data));
}

int
store_seed_user_data(struct db *db, const char *instance_id, char **ret)
{
    int r = db_get(db, S(USER_DATA), "s", instance_id);

    *ret = r == 0 ? store_text(db, S(USER_DATA), 0) : NULL;
    db_reset(db, S(USER_DATA));
    return r == -ENOENT ? 0 : r;
}
