/* store_node.c - rows of nodes and join tokens. */
#include <config.h>

#include "controllerd/store/store-private.h"

#include <string.h>

#include "common/mem.h"

enum {
    INSERT,
    GET,
    LIST,
    UPDATE,
    GET_OBSERVED,
    SET_OBSERVED,
    TELL,
    SEEN,
    BUSY,
    COUNT_INSTANCES,
    USES_IMAGE,
    DELETE,
    LOSE,
    LOST_EACH,
    JOIN_INSERT,
    JOIN_GET,
    JOIN_USE,
};

#define COLUMNS                                                                \
    "id, name, fingerprint, schedulable, observed_seq, driver, accel, "        \
    "agent_version, hypervisor, vcpus, memory_bytes, disk_bytes, traits, "     \
    "quarantined, last_seen_at, created_at"

static const char *const sql[] = {
    [INSERT] = "INSERT INTO nodes (" COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, "
               "?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [GET] = "SELECT " COLUMNS ", generation, told_up FROM nodes "
            "WHERE id = ?1 OR name = ?1",
    [LIST] = "SELECT " COLUMNS
             ", generation, told_up FROM nodes WHERE id > ? ORDER BY id "
             "LIMIT ?",
    [UPDATE] =
        "UPDATE nodes SET fingerprint = ?2, schedulable = ?3, observed_seq = "
        "?4, driver = ?5, accel = ?6, agent_version = ?7, hypervisor = ?8, "
        "vcpus = ?9, memory_bytes = ?10, disk_bytes = ?11, traits = ?12, "
        "quarantined = ?13, last_seen_at = ?14, generation = ?15 "
        "WHERE id = ?1",
    [GET_OBSERVED] = "SELECT observed_seq FROM nodes WHERE id = ?",
    [SET_OBSERVED] = "UPDATE nodes SET observed_seq = ?2, last_seen_at = ?3 "
                     "WHERE id = ?1",
    [TELL] = "UPDATE nodes SET told_up = ?2, last_seen_at = "
             "max(last_seen_at, ?3) WHERE id = ?1",
    [SEEN] = "UPDATE nodes SET last_seen_at = max(last_seen_at, ?2) "
             "WHERE id = ?1",
    [BUSY] = "SELECT 1 FROM instances WHERE node_id = ? AND deleted_at IS "
             "NULL LIMIT 1",
    [COUNT_INSTANCES] = "SELECT count(*) FROM instances WHERE node_id = ? "
                        "AND deleted_at IS NULL",
    [USES_IMAGE] = "SELECT 1 FROM instances WHERE image_id = ?2 AND node_id = "
                   "?1 AND deleted_at IS NULL LIMIT 1",
    /* Rows of instances that lived there keep its id without the row. */
    [DELETE] = "DELETE FROM nodes WHERE id = ?",
    [LOSE] = "INSERT INTO lost_nodes (id, lost_at) VALUES (?, ?)",
    [LOST_EACH] = "SELECT id FROM lost_nodes",
    [JOIN_INSERT] = "INSERT INTO join_tokens (id, hash, created_at, "
                    "expires_at) VALUES (?, ?, ?, ?)",
    [JOIN_GET] = "SELECT id, hash, created_at, expires_at, node_id, key_hash "
                 "FROM join_tokens WHERE id = ?",
    [JOIN_USE] = "UPDATE join_tokens SET node_id = ?2, key_hash = ?3 "
                 "WHERE id = ?1",
};

struct store_statements store_node_sql = {sql, ARRAY_SIZE(sql), 0};
#define S(x) (store_base(&store_node_sql) + (x))

/* Only what codec_list_clear() needs to free lists of struct store_node. */
static const struct codec_field private_fields[] = {
    {.name = "fingerprint",
     .type = CODEC_STRING,
     .offset = offsetof(struct store_node, fingerprint),
     .doc = ""},
};
const struct codec_table store_node_table = {
    .name = "StoreNode",
    .doc = "",
    .size = sizeof(struct store_node),
    .fields = private_fields,
    .n_fields = ARRAY_SIZE(private_fields),
};

void
store_node_release(struct store_node *n)
{
    codec_clear(&table_node, &n->a);
    free(n->fingerprint);
    *n = (struct store_node){0};
}

int
store_node_insert(struct db *db, const struct store_node *n)
{
    const struct api_node *a = &n->a;
    char *traits _cleanup_(freep) = store_join(&a->traits, ',');
    char *quarantined _cleanup_(freep) = store_join(&a->quarantined, ',');

    return store_changed(
        db_run(db, S(INSERT), "sssiissssiiissii", a->id, a->name,
               n->fingerprint, (int64_t)a->schedulable, n->observed_seq,
               a->driver, a->accel, a->version, a->hypervisor, a->vcpus,
               a->memory_bytes, a->disk_bytes, traits ? traits : "",
               quarantined ? quarantined : "", a->last_seen_at, a->created_at));
}

static void
row(struct db *db, unsigned st, struct store_node *n)
{
    struct api_node *a = &n->a;

    a->id = store_text(db, st, 0);
    a->name = store_text(db, st, 1);
    n->fingerprint = store_text(db, st, 2);
    a->schedulable = db_int(db, st, 3);
    n->observed_seq = db_int(db, st, 4);
    a->driver = store_text(db, st, 5);
    a->accel = store_text(db, st, 6);
    a->version = store_text(db, st, 7);
    a->hypervisor = store_text(db, st, 8);
    a->vcpus = db_int(db, st, 9);
    a->memory_bytes = db_int(db, st, 10);
    a->disk_bytes = db_int(db, st, 11);
    store_split(db_text(db, st, 12), ',', &a->traits);
    store_split(db_text(db, st, 13), ',', &a->quarantined);
    a->last_seen_at = db_int(db, st, 14);
    a->created_at = db_int(db, st, 15);
    a->generation = db_int(db, st, 16);
    n->told_up = db_int(db, st, 17) != 0;
}

int
store_node_get(struct db *db, const char *ref, struct store_node *ret)
{
    int r = db_get(db, S(GET), "s", ref);

    if (r == 0) {
        *ret = (struct store_node){0};
        row(db, S(GET), ret);
    }
    db_reset(db, S(GET));
    return r;
}

int
store_node_list(struct db *db, const char *after, int limit,
                struct codec_list *ret)
{
    int r = db_query(db, S(LIST), "si", after, (int64_t)limit);

    while (r >= 0 && (r = db_next(db, S(LIST))) == 1)
        row(db, S(LIST), codec_list_add(&store_node_table, ret));
    return r;
}

int
store_node_update(struct db *db, const struct store_node *n)
{
    const struct api_node *a = &n->a;
    char *traits _cleanup_(freep) = store_join(&a->traits, ',');
    char *quarantined _cleanup_(freep) = store_join(&a->quarantined, ',');

    return store_changed(
        db_run(db, S(UPDATE), "ssiissssiiissii", a->id, n->fingerprint,
               (int64_t)a->schedulable, n->observed_seq, a->driver, a->accel,
               a->version, a->hypervisor, a->vcpus, a->memory_bytes,
               a->disk_bytes, traits ? traits : "",
               quarantined ? quarantined : "", a->last_seen_at, a->generation));
}

int
store_node_observed(struct db *db, const char *id, int64_t *ret_seq)
{
    int r = db_get(db, S(GET_OBSERVED), "s", id);

    if (r == 0)
        *ret_seq = db_int(db, S(GET_OBSERVED), 0);
    db_reset(db, S(GET_OBSERVED));
    return r;
}

int
store_node_set_observed(struct db *db, const char *id, int64_t seq,
                        int64_t last_seen_at)
{
    return store_changed(
        db_run(db, S(SET_OBSERVED), "sii", id, seq, last_seen_at));
}

int
store_node_tell(struct db *db, const char *id, bool up, int64_t seen_at)
{
    return store_changed(db_run(db, S(TELL), "sii", id, (int64_t)up, seen_at));
}

int
store_node_seen(struct db *db, const char *id, int64_t seen_at)
{
    return store_changed(db_run(db, S(SEEN), "si", id, seen_at));
}

int
store_node_delete(struct db *db, const char *id)
{
    int r = db_get(db, S(BUSY), "s", id);

    db_reset(db, S(BUSY));
    if (r != -ENOENT)
        return r < 0 ? r : -EBUSY;
    return store_changed(db_run(db, S(DELETE), "s", id));
}

int
store_node_lose(struct db *db, const char *id, int64_t now_us)
{
    int r = db_run(db, S(LOSE), "si", id, now_us);

    return r < 0 ? r : store_changed(db_run(db, S(DELETE), "s", id));
}

int
store_node_lost_each(struct db *db, void (*fn)(const char *id, void *arg),
                     void *arg)
{
    unsigned st = S(LOST_EACH);
    int r = db_query(db, st, "");

    while (r >= 0 && (r = db_next(db, st)) == 1)
        fn(db_text(db, st, 0), arg);
    return r;
}

int
store_node_instances(struct db *db, const char *id, int64_t *ret)
{
    int r = db_get(db, S(COUNT_INSTANCES), "s", id);

    if (r == 0)
        *ret = db_int(db, S(COUNT_INSTANCES), 0);
    db_reset(db, S(COUNT_INSTANCES));
    return r;
}

bool
store_node_uses_image(struct db *db, const char *node_id, const char *image_id)
{
    int r = db_get(db, S(USES_IMAGE), "ss", node_id, image_id);

    db_reset(db, S(USES_IMAGE));
    return r == 0;
}

void
store_join_token_release(struct store_join_token *t)
{
    free(t->id);
    free(t->node_id);
    free(t->key_hash);
    *t = (struct store_join_token){0};
}

int
store_join_token_insert(struct db *db, const struct store_join_token *t)
{
    return store_changed(db_run(db, S(JOIN_INSERT), "sbii", t->id, t->hash,
                                sizeof(t->hash), t->created_at, t->expires_at));
}

int
store_join_token_get(struct db *db, const char *id,
                     struct store_join_token *ret)
{
    unsigned st = S(JOIN_GET);
    int r = db_get(db, st, "s", id);

    if (r == 0) {
        size_t n;
        const void *hash = db_blob(db, st, 1, &n);

        *ret = (struct store_join_token){0};
        memcpy(ret->hash, hash, MIN(n, sizeof(ret->hash)));
        ret->id = store_text(db, st, 0);
        ret->created_at = db_int(db, st, 2);
        ret->expires_at = db_int(db, st, 3);
        ret->node_id = store_text(db, st, 4);
        ret->key_hash = store_text(db, st, 5);
    }
    db_reset(db, st);
    return r;
}

int
store_join_token_use(struct db *db, const char *id, const char *node_id,
                     const char *key_hash)
{
    return store_changed(db_run(db, S(JOIN_USE), "sss", id, node_id, key_hash));
}
