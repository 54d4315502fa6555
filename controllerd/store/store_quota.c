/* store_quota.c - rows of quotas, and what projects have by their rows. */
#include <config.h>

#include "controllerd/store/store-private.h"

#include "common/mem.h"

enum {
    GET,
    SET,
    USE_INSTANCES,
    USE_IMAGES,
    USE_TOKENS,
    COUNT, /* + enum store_counted */
};

static const char *const sql[] = {
    [GET] = "SELECT generation, instances, vcpus, memory_bytes, disk_bytes, "
            "volumes, addresses, networks, images, tokens, image_bytes "
            "FROM quotas "
            "WHERE project_id = ?",
    [SET] = "INSERT OR REPLACE INTO quotas (project_id, generation, instances, "
            "vcpus, memory_bytes, disk_bytes, volumes, addresses, networks, "
            "images, tokens, image_bytes) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [USE_INSTANCES] = "SELECT project_id, count(*), sum(vcpus), "
                      "sum(memory_bytes), sum(disk_bytes) FROM instances "
                      "WHERE deleted_at IS NULL GROUP BY project_id",
    [USE_IMAGES] =
        "SELECT i.project_id, count(DISTINCT i.id), sum(p.size_bytes) "
        "FROM images i LEFT JOIN image_parts p ON p.image_id = i.id "
        "GROUP BY i.project_id",
    [USE_TOKENS] = "SELECT project_id, count(*) FROM tokens WHERE project_id "
                   "IS NOT NULL GROUP BY project_id",
    [COUNT + STORE_KEYPAIRS] =
        "SELECT count(*) FROM keypairs WHERE project_id = ?",
    [COUNT + STORE_USERS] = "SELECT count(*) FROM users WHERE home_id = ?",
    [COUNT + STORE_MEMBERS] =
        "SELECT count(*) FROM memberships WHERE project_id = ?",
};

struct store_statements store_quota_sql = {sql, ARRAY_SIZE(sql), 0};
#define S(x) (store_base(&store_quota_sql) + (x))

int
store_quota_get(struct db *db, const char *project,
                struct api_quota_values *ret_limits, int64_t *ret_generation)
{
    int r = db_get(db, S(GET), "s", project);

    if (r == 0) {
        *ret_generation = db_int(db, S(GET), 0);
        *ret_limits = (struct api_quota_values){
            .instances = db_int(db, S(GET), 1),
            .vcpus = db_int(db, S(GET), 2),
            .memory_bytes = db_int(db, S(GET), 3),
            .disk_bytes = db_int(db, S(GET), 4),
            .volumes = db_int(db, S(GET), 5),
            .addresses = db_int(db, S(GET), 6),
            .networks = db_int(db, S(GET), 7),
            .images = db_int(db, S(GET), 8),
            .tokens = db_int(db, S(GET), 9),
            .image_bytes = db_int(db, S(GET), 10),
        };
    } else if (r == -ENOENT) {
        *ret_generation = 1;
        *ret_limits = (struct api_quota_values){
            API_UNLIMITED, API_UNLIMITED, API_UNLIMITED, API_UNLIMITED,
            API_UNLIMITED, API_UNLIMITED, API_UNLIMITED, API_UNLIMITED,
            API_UNLIMITED, API_UNLIMITED};
        r = 0;
    }
    db_reset(db, S(GET));
    return r;
}

int
store_quota_set(struct db *db, const char *project,
                const struct api_quota_values *l, int64_t generation)
{
    int r =
        db_run(db, S(SET), "siiiiiiiiiii", project, generation, l->instances,
               l->vcpus, l->memory_bytes, l->disk_bytes, l->volumes,
               l->addresses, l->networks, l->images, l->tokens, l->image_bytes);

    return r < 0 ? r : 0;
}

int
store_quota_each_use(struct db *db,
                     void (*fn)(const char *project,
                                const struct api_quota_values *used, void *arg),
                     void *arg)
{
    unsigned st = S(USE_INSTANCES);
    int r = db_query(db, st, "");

    while (r >= 0 && (r = db_next(db, st)) == 1)
        fn(db_text(db, st, 0),
           &(struct api_quota_values){.instances = db_int(db, st, 1),
                                      .vcpus = db_int(db, st, 2),
                                      .memory_bytes = db_int(db, st, 3),
                                      .disk_bytes = db_int(db, st, 4)},
           arg);
    st = S(USE_IMAGES);
    r = r < 0 ? r : db_query(db, st, "");
    while (r >= 0 && (r = db_next(db, st)) == 1)
        fn(db_text(db, st, 0),
           &(struct api_quota_values){.images = db_int(db, st, 1),
                                      .image_bytes = db_int(db, st, 2)},
           arg);
    st = S(USE_TOKENS);
    r = r < 0 ? r : db_query(db, st, "");
    while (r >= 0 && (r = db_next(db, st)) == 1)
        fn(db_text(db, st, 0),
           &(struct api_quota_values){.tokens = db_int(db, st, 1)}, arg);
    return r;
}

int
store_count(struct db *db, enum store_counted what, const char *project,
            int64_t *ret)
{
    unsigned st = S(COUNT + what);
    int r = db_get(db, st, "s", project);

    if (r == 0)
        *ret = db_int(db, st, 0);
    db_reset(db, st);
    return r;
}
