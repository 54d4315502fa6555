/* store_tenant.c - rows of projects, flavors and idempotency keys. */
#include <config.h>

#include "controllerd/store/store-private.h"

#include <string.h>

#include "common/clock.h"
#include "common/mem.h"

enum {
    PROJECT_INSERT,
    PROJECT_GET,
    PROJECT_LIST,
    PROJECT_BUSY,
    PROJECT_DELETE,
    PROJECT_DELETE_TOKENS,
    PROJECT_DELETE_MEMBERS,
    PROJECT_LEAVE_HOME,
    PROJECT_LEAVE_SESSIONS,
    FLAVOR_INSERT,
    FLAVOR_GET,
    FLAVOR_GET_ID,
    FLAVOR_LIST,
    FLAVOR_DELETE,
    REPLY_GET,
    REPLY_INSERT,
    REPLY_EXPIRE,
    JOIN_EXPIRE,
};

static const char *const sql[] = {
    [PROJECT_INSERT] =
        "INSERT INTO projects (id, name, created_at) VALUES (?, ?, ?)",
    [PROJECT_GET] = "SELECT id, name, created_at, generation FROM projects "
                    "WHERE id = ?1 OR name = ?1",
    [PROJECT_LIST] = "SELECT id, name, created_at, generation FROM projects "
                     "WHERE (?1 IS NULL OR id = ?1) AND id > ?2 "
                     "ORDER BY id LIMIT ?3",
    [PROJECT_BUSY] = "SELECT 1 WHERE EXISTS (SELECT 1 FROM instances "
                     "WHERE project_id = ?1) OR EXISTS (SELECT 1 FROM images "
                     "WHERE project_id = ?1)",
    [PROJECT_DELETE] = "DELETE FROM projects WHERE id = ?",
    [PROJECT_DELETE_TOKENS] = "DELETE FROM tokens WHERE project_id = ?",
    [PROJECT_DELETE_MEMBERS] = "DELETE FROM memberships WHERE project_id = ?",
    [PROJECT_LEAVE_HOME] = "UPDATE users SET home_id = NULL, "
                           "generation = generation + 1 WHERE home_id = ?",
    [PROJECT_LEAVE_SESSIONS] = "UPDATE sessions SET project_id = NULL, "
                               "generation = generation + 1 "
                               "WHERE project_id = ?",
    [FLAVOR_INSERT] =
        "INSERT INTO flavors (id, name, vcpus, memory_bytes, disk_bytes, "
        "created_at, " STORE_LIMITS ", price_per_hour) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [FLAVOR_GET] = "SELECT id, name, vcpus, memory_bytes, disk_bytes, "
                   "created_at, " STORE_LIMITS ", price_per_hour, generation "
                   "FROM flavors WHERE name = ?",
    [FLAVOR_GET_ID] =
        "SELECT id, name, vcpus, memory_bytes, disk_bytes, "
        "created_at, " STORE_LIMITS ", price_per_hour, generation "
        "FROM flavors WHERE id = ?",
    [FLAVOR_LIST] = "SELECT id, name, vcpus, memory_bytes, disk_bytes, "
                    "created_at, " STORE_LIMITS ", price_per_hour, generation "
                    "FROM flavors "
                    "WHERE id > ? ORDER BY id LIMIT ?",
    [FLAVOR_DELETE] = "DELETE FROM flavors WHERE id = ?",
    [REPLY_GET] = "SELECT request_hash, status, location, body "
                  "FROM idempotency WHERE token_id = ? AND key = ?",
    [REPLY_INSERT] =
        "INSERT INTO idempotency (token_id, key, request_hash, status, "
        "location, body, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
    [REPLY_EXPIRE] =
        "DELETE FROM idempotency WHERE (token_id, key) IN (SELECT token_id, "
        "key FROM idempotency WHERE created_at < ? LIMIT ?)",
    [JOIN_EXPIRE] = "DELETE FROM join_tokens WHERE id IN (SELECT id FROM "
                    "join_tokens WHERE expires_at < ? LIMIT ?)",
};

struct store_statements store_tenant_sql = {sql, ARRAY_SIZE(sql), 0};
#define S(x) (store_base(&store_tenant_sql) + (x))

/* ---- projects ---- */

int
store_project_insert(struct db *db, const struct api_project *p)
{
    return store_changed(
        db_run(db, S(PROJECT_INSERT), "ssi", p->id, p->name, p->created_at));
}

static void
project_row(struct db *db, unsigned st, struct api_project *p)
{
    p->id = store_text(db, st, 0);
    p->name = store_text(db, st, 1);
    p->created_at = db_int(db, st, 2);
    p->generation = db_int(db, st, 3);
}

int
store_project_get(struct db *db, const char *ref, struct api_project *ret)
{
    int r = db_get(db, S(PROJECT_GET), "s", ref);

    if (r == 0) {
        *ret = (struct api_project){0};
        project_row(db, S(PROJECT_GET), ret);
    }
    db_reset(db, S(PROJECT_GET));
    return r;
}

int
store_project_list(struct db *db, const char *only_id, const char *after,
                   int limit, struct codec_list *ret)
{
    unsigned st = S(PROJECT_LIST);
    int r = db_query(db, st, "ssi", only_id, after, (int64_t)limit);

    while (r >= 0 && (r = db_next(db, st)) == 1)
        project_row(db, st, codec_list_add(&table_project, ret));
    return r;
}

int
store_project_delete(struct db *db, const char *id)
{
    int r = db_get(db, S(PROJECT_BUSY), "s", id);

    db_reset(db, S(PROJECT_BUSY));
    if (r != -ENOENT)
        return r < 0 ? r : -EBUSY;
    for (unsigned st = PROJECT_DELETE_TOKENS; st <= PROJECT_LEAVE_SESSIONS;
         st++) {
        r = db_run(db, S(st), "s", id);
        if (r < 0)
            return r;
    }
    return store_changed(db_run(db, S(PROJECT_DELETE), "s", id));
}

/* ---- the first start ---- */

int
store_first(struct db *db, const struct api_project *p,
            const struct store_token *t)
{
    int r = db_exec(db, "BEGIN IMMEDIATE", NULL);

    if (r < 0)
        return r;
    r = store_project_insert(db, p);
    if (r == 0)
        r = store_token_insert(db, t);
    if (r == 0)
        r = db_exec(db, "COMMIT", NULL);
    if (r < 0 && db_in_transaction(db) && db_exec(db, "ROLLBACK", NULL) < 0)
        return -EIO;
    return r;
}

/* ---- flavors ---- */

int
store_flavor_insert(struct db *db, const struct api_flavor *f)
{
    return store_changed(
        db_run(db, S(FLAVOR_INSERT), "ssiiiiiiiiiis", f->id, f->name, f->vcpus,
               f->memory_bytes, f->disk_bytes, f->created_at,
               STORE_LIMITS_OF(&f->limits), f->price_per_hour));
}

static void
flavor_row(struct db *db, unsigned st, struct api_flavor *f)
{
    f->id = store_text(db, st, 0);
    f->name = store_text(db, st, 1);
    f->vcpus = db_int(db, st, 2);
    f->memory_bytes = db_int(db, st, 3);
    f->disk_bytes = db_int(db, st, 4);
    f->created_at = db_int(db, st, 5);
    store_limits(db, st, 6, &f->limits);
    f->price_per_hour = store_text(db, st, 12);
    f->generation = db_int(db, st, 13);
}

int
store_flavor_get(struct db *db, const char *ref, struct api_flavor *ret)
{
    /* No name is an id: one index to look at, not two. */
    unsigned st = id_valid(ref) ? S(FLAVOR_GET_ID) : S(FLAVOR_GET);
    int r = db_get(db, st, "s", ref);

    if (r == 0) {
        *ret = (struct api_flavor){0};
        flavor_row(db, st, ret);
    }
    db_reset(db, st);
    return r;
}

int
store_flavor_list(struct db *db, const char *after, int limit,
                  struct codec_list *ret)
{
    unsigned st = S(FLAVOR_LIST);
    int r = db_query(db, st, "si", after, (int64_t)limit);

    while (r >= 0 && (r = db_next(db, st)) == 1)
        flavor_row(db, st, codec_list_add(&table_flavor, ret));
    return r;
}

int
store_flavor_delete(struct db *db, const char *id)
{
    return store_changed(db_run(db, S(FLAVOR_DELETE), "s", id));
}

/* ---- idempotency keys ---- */

void
store_reply_release(struct store_reply *r)
{
    free(r->location);
    free(r->body);
    *r = (struct store_reply){0};
}

int
store_reply_get(struct db *db, const char *who, const char *key,
                struct store_reply *ret)
{
    unsigned st = S(REPLY_GET);
    int r = db_get(db, st, "ss", who, key);

    if (r == 0) {
        size_t n;
        const void *hash = db_blob(db, st, 0, &n);

        *ret = (struct store_reply){0};
        memcpy(ret->request_hash, hash, MIN(n, sizeof(ret->request_hash)));
        ret->status = (int)db_int(db, st, 1);
        ret->location = store_text(db, st, 2);
        ret->body = store_text(db, st, 3);
    }
    db_reset(db, st);
    return r;
}

int
store_reply_insert(struct db *db, const char *who, const char *key,
                   const struct store_reply *r, int64_t now_us)
{
    return store_changed(db_run(db, S(REPLY_INSERT), "ssbissi", who, key,
                                r->request_hash, sizeof(r->request_hash),
                                (int64_t)r->status, r->location, r->body,
                                now_us));
}

int
store_expire(struct db *db, int64_t now_us, int limit)
{
    int r = db_run(db, S(REPLY_EXPIRE), "ii", now_us - 86400 * US_PER_S,
                   (int64_t)limit);

    if (r >= 0)
        r = db_run(db, S(JOIN_EXPIRE), "ii", now_us - 86400 * US_PER_S,
                   (int64_t)limit);
    return r < 0 ? r : store_session_expire(db, now_us, limit);
}
