/* store_keypair.c - rows of keypairs. */
#include <config.h>

#include "controllerd/store/store-private.h"

#include "common/mem.h"

enum {
    INSERT,
    GET_ID,
    GET_NAME,
    LIST_ALL,
    LIST_PROJECT,
    DELETE,
};

#define COLUMNS                                                                \
    "id, project_id, name, public_key, fingerprint, created_at, generation"

static const char *const sql[] = {
    [INSERT] = "INSERT INTO keypairs (id, project_id, name, public_key, "
               "fingerprint, created_at) VALUES (?, ?, ?, ?, ?, ?)",
    [GET_ID] = "SELECT " COLUMNS " FROM keypairs WHERE id = ?2 AND "
               "(?1 IS NULL OR project_id = ?1)",
    [GET_NAME] = "SELECT " COLUMNS " FROM keypairs WHERE project_id = ? AND "
                 "name = ?",
    [LIST_ALL] = "SELECT " COLUMNS " FROM keypairs WHERE id > ? ORDER BY id "
                 "LIMIT ?",
    [LIST_PROJECT] = "SELECT " COLUMNS " FROM keypairs WHERE project_id = ? "
                     "AND id > ? ORDER BY id LIMIT ?",
    [DELETE] = "DELETE FROM keypairs WHERE id = ?",
};

struct store_statements store_keypair_sql = {sql, ARRAY_SIZE(sql), 0};
#define S(x) (store_base(&store_keypair_sql) + (x))

int
store_keypair_insert(struct db *db, const struct api_keypair *k)
{
    return store_changed(db_run(db, S(INSERT), "sssssi", k->id, k->project_id,
                                k->name, k->public_key, k->fingerprint,
                                k->created_at));
}

static void
row(struct db *db, unsigned st, struct api_keypair *k)
{
    k->id = store_text(db, st, 0);
    k->project_id = store_text(db, st, 1);
    k->name = store_text(db, st, 2);
    k->public_key = store_text(db, st, 3);
    k->fingerprint = store_text(db, st, 4);
    k->created_at = db_int(db, st, 5);
    k->generation = db_int(db, st, 6);
}

int
store_keypair_get(struct db *db, const char *project,
                  const char *default_project, const char *ref,
                  struct api_keypair *ret)
{
    unsigned st = id_valid(ref) ? S(GET_ID) : S(GET_NAME);

    if (!id_valid(ref) && !project)
        project = default_project;
    int r = db_get(db, st, "ss", project, ref);
    if (r == 0) {
        *ret = (struct api_keypair){0};
        row(db, st, ret);
    }
    db_reset(db, st);
    return r;
}

int
store_keypair_list(struct db *db, const char *project, const char *after,
                   int limit, struct codec_list *ret)
{
    unsigned st = project ? S(LIST_PROJECT) : S(LIST_ALL);
    int r = project ? db_query(db, st, "ssi", project, after, (int64_t)limit)
                    : db_query(db, st, "si", after, (int64_t)limit);

    while (r >= 0 && (r = db_next(db, st)) == 1)
        row(db, st, codec_list_add(&table_keypair, ret));
    return r;
}

int
store_keypair_delete(struct db *db, const char *id)
{
    return store_changed(db_run(db, S(DELETE), "s", id));
}
