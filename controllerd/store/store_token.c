/* store_token.c - rows of tokens. */
#include <config.h>

#include "controllerd/store/store-private.h"

#include <string.h>

#include "common/mem.h"

enum {
    INSERT,
    GET,
    DELETE,
    LIST,
    LIST_USER,
    EACH,
};

#define COLUMNS                                                                \
    "id, project_id, name, role, created_at, expires_at, hash, generation, "   \
    "scopes, user_id"

static const char *const sql[] = {
    [INSERT] =
        "INSERT INTO tokens (id, project_id, name, role, hash, created_at, "
        "expires_at, scopes, user_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [GET] =
        "SELECT " COLUMNS " FROM tokens WHERE (?1 IS NULL OR project_id = ?1) "
        "AND (id = ?2 OR name = ?2) "
        "ORDER BY project_id IS NOT NULL, id LIMIT 2",
    [DELETE] = "DELETE FROM tokens WHERE id = ?",
    [LIST] =
        "SELECT " COLUMNS " FROM tokens WHERE (?1 IS NULL OR project_id = ?1) "
        "AND id > ?2 ORDER BY id LIMIT ?3",
    [LIST_USER] = "SELECT " COLUMNS " FROM tokens WHERE user_id = ? "
                  "ORDER BY id",
    [EACH] = "SELECT " COLUMNS " FROM tokens",
};

struct store_statements store_token_sql = {sql, ARRAY_SIZE(sql), 0};
#define S(x) (store_base(&store_token_sql) + (x))

int
store_token_insert(struct db *db, const struct store_token *t)
{
    struct buf scopes _cleanup_(buf_release) = {0};
    char *const *scope = t->a.scopes.items;

    for (size_t i = 0; i < t->a.scopes.n; i++)
        buf_addf(&scopes, "%s%s", i ? " " : "", scope[i]);
    return store_changed(
        db_run(db, S(INSERT), "sssibizss", t->a.id, t->a.project, t->a.name,
               (int64_t)t->a.role, t->hash, sizeof(t->hash), t->a.created_at,
               t->a.expires_at, buf_str(&scopes), t->a.user_id));
}

static void
token_row(struct db *db, unsigned st, struct api_token *t)
{
    t->id = store_text(db, st, 0);
    t->project = store_text(db, st, 1);
    t->name = store_text(db, st, 2);
    t->role = (int)db_int(db, st, 3);
    t->created_at = db_int(db, st, 4);
    t->expires_at = db_int(db, st, 5);
    t->generation = db_int(db, st, 7);
    t->user_id = store_text(db, st, 9);
    for (const char *p = db_text(db, st, 8); p && *p;) {
        size_t n = strcspn(p, " ");
        char *one _cleanup_(freep) = xstrndup(p, n);

        codec_strings_add(&t->scopes, one);
        p += n + (p[n] == ' ');
    }
}

int
store_token_get(struct db *db, const char *project, const char *ref,
                struct api_token *ret)
{
    unsigned st = S(GET);
    int r = db_get(db, st, "ss", project, ref);

    if (r == 0) {
        *ret = (struct api_token){0};
        token_row(db, st, ret);
        /* An operator's own token goes first; of two tenants' neither. */
        if (ret->project && db_next(db, st) == 1) {
            codec_clear(&table_token, ret);
            r = -ENOTUNIQ;
        }
    }
    db_reset(db, st);
    return r;
}

int
store_token_delete(struct db *db, const char *id)
{
    return store_changed(db_run(db, S(DELETE), "s", id));
}

int
store_token_list(struct db *db, const char *project, const char *after,
                 int limit, struct codec_list *ret)
{
    unsigned st = S(LIST);
    int r = db_query(db, st, "ssi", project, after, (int64_t)limit);

    while (r >= 0 && (r = db_next(db, st)) == 1)
        token_row(db, st, codec_list_add(&table_token, ret));
    return r;
}

int
store_token_list_user(struct db *db, const char *user_id,
                      struct codec_list *ret)
{
    unsigned st = S(LIST_USER);
    int r = db_query(db, st, "s", user_id);

    while (r >= 0 && (r = db_next(db, st)) == 1)
        token_row(db, st, codec_list_add(&table_token, ret));
    return r;
}

int
store_token_each(struct db *db,
                 void (*fn)(const struct store_token *t, void *arg), void *arg)
{
    unsigned st = S(EACH);
    int r = db_query(db, st, "");

    while (r >= 0 && (r = db_next(db, st)) == 1) {
        struct store_token t = {0};
        size_t n;
        const void *hash = db_blob(db, st, 6, &n);

        if (n == sizeof(t.hash)) {
            memcpy(t.hash, hash, n);
            token_row(db, st, &t.a);
            fn(&t, arg);
            codec_clear(&table_token, &t.a);
        }
    }
    return r;
}
