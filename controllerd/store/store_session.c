/* store_session.c - rows of users' sessions. */
#include <config.h>

#include "controllerd/store/store-private.h"

#include <string.h>

#include "common/mem.h"

enum {
    SESSION_INSERT,
    SESSION_GET,
    SESSION_LIST,
    SESSION_MOVE,
    SESSION_SEEN,
    SESSION_DELETE,
    SESSION_DELETE_OTHERS,
    SESSION_SURPLUS,
    SESSION_EACH,
    SESSION_EXPIRE,
};

/* The role is looked up with each read: it is the membership's. */
#define SELECT                                                                 \
    "SELECT s.id, s.user_id, u.name, s.project_id, s.remote, s.generation, "   \
    "s.created_at, s.last_seen_at, s.expires_at, CASE WHEN u.operator THEN 4 " \
    "ELSE coalesce(m.role, 0) END, s.hash, s.cookie FROM sessions s "          \
    "JOIN users u ON u.id = s.user_id LEFT JOIN memberships m "                \
    "ON m.user_id = s.user_id AND m.project_id = s.project_id "
_Static_assert(ROLE_OPERATOR == 4 && ROLE_NONE == 0, "as in the statement");

static const char *const sql[] = {
    [SESSION_INSERT] =
        "INSERT INTO sessions (id, user_id, project_id, hash, cookie, remote, "
        "generation, created_at, last_seen_at, expires_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [SESSION_GET] = SELECT "WHERE s.user_id = ? AND s.id = ?",
    [SESSION_LIST] = SELECT "WHERE s.user_id = ? AND s.id > ? "
                            "ORDER BY s.id LIMIT ?",
    [SESSION_MOVE] = "UPDATE sessions SET project_id = ?2, generation = ?3 "
                     "WHERE id = ?1",
    [SESSION_SEEN] = "UPDATE sessions SET last_seen_at = ?2 WHERE id = ?1",
    [SESSION_DELETE] = "DELETE FROM sessions WHERE id = ?",
    [SESSION_DELETE_OTHERS] = "DELETE FROM sessions WHERE user_id = ?1 AND "
                              "(?2 IS NULL OR id <> ?2)",
    [SESSION_SURPLUS] = "SELECT id FROM sessions WHERE user_id = ? "
                        "ORDER BY id DESC LIMIT -1 OFFSET ?",
    [SESSION_EACH] = SELECT,
    [SESSION_EXPIRE] = "DELETE FROM sessions WHERE id IN (SELECT id FROM "
                       "sessions WHERE expires_at <= ? LIMIT ?)",
};

struct store_statements store_session_sql = {sql, ARRAY_SIZE(sql), 0};
#define S(x) (store_base(&store_session_sql) + (x))

int
store_session_insert(struct db *db, const struct store_session *s)
{
    return store_changed(
        db_run(db, S(SESSION_INSERT), "sssbisiiii", s->a.id, s->a.user_id,
               s->a.project_id, s->hash, sizeof(s->hash), (int64_t)s->cookie,
               s->a.remote ? s->a.remote : "", s->a.generation, s->a.created_at,
               s->a.last_seen_at, s->a.expires_at));
}

static void
session_row(struct db *db, unsigned st, struct api_session *s)
{
    s->id = store_text(db, st, 0);
    s->user_id = store_text(db, st, 1);
    s->user = store_text(db, st, 2);
    s->project_id = store_text(db, st, 3);
    s->remote = store_text(db, st, 4);
    s->generation = db_int(db, st, 5);
    s->created_at = db_int(db, st, 6);
    s->last_seen_at = db_int(db, st, 7);
    s->expires_at = db_int(db, st, 8);
    s->role = (int)db_int(db, st, 9);
}

/* With what is stored beside the API's part; -EIO for a damaged row. */
static int
whole_row(struct db *db, unsigned st, struct store_session *s)
{
    size_t n;
    const void *hash = db_blob(db, st, 10, &n);

    if (n != sizeof(s->hash))
        return -EIO;
    memcpy(s->hash, hash, n);
    s->cookie = db_int(db, st, 11) != 0;
    session_row(db, st, &s->a);
    return 0;
}

int
store_session_get(struct db *db, const char *user_id, const char *id,
                  struct store_session *ret)
{
    unsigned st = S(SESSION_GET);
    struct store_session s = {0};
    int r = db_get(db, st, "ss", user_id, id);

    if (r == 0)
        r = whole_row(db, st, &s);
    if (r == 0)
        *ret = s;
    db_reset(db, st);
    return r;
}

int
store_session_list(struct db *db, const char *user_id, const char *after,
                   int limit, struct codec_list *ret)
{
    unsigned st = S(SESSION_LIST);
    int r = db_query(db, st, "ssi", user_id, after, (int64_t)limit);

    while (r >= 0 && (r = db_next(db, st)) == 1)
        session_row(db, st, codec_list_add(&table_session, ret));
    return r;
}

int
store_session_move(struct db *db, struct store_session *s,
                   const char *project_id)
{
    int r = store_changed(db_run(db, S(SESSION_MOVE), "ssi", s->a.id,
                                 project_id, s->a.generation + 1));

    if (r == 0) {
        s->a.generation++;
        xstrset(&s->a.project_id, project_id);
    }
    return r;
}

int
store_session_seen(struct db *db, const char *id, int64_t at_us)
{
    int r = db_run(db, S(SESSION_SEEN), "si", id, at_us);

    return r < 0 ? r : 0; /* it may have ended meanwhile */
}

int
store_session_delete(struct db *db, const char *id)
{
    return store_changed(db_run(db, S(SESSION_DELETE), "s", id));
}

int
store_session_delete_others(struct db *db, const char *user_id,
                            const char *except)
{
    int r = db_run(db, S(SESSION_DELETE_OTHERS), "ss", user_id, except);

    return r < 0 ? r : 0;
}

int
store_session_trim(struct db *db, const char *user_id, int keep,
                   struct codec_list *ret_ended)
{
    unsigned st = S(SESSION_SURPLUS);
    int r = db_query(db, st, "si", user_id, (int64_t)keep);
    size_t first = ret_ended->n;

    while (r >= 0 && (r = db_next(db, st)) == 1)
        codec_strings_add(ret_ended, db_text(db, st, 0));
    for (size_t i = first; i < ret_ended->n && r == 0; i++)
        r = store_session_delete(db, ((char **)ret_ended->items)[i]);
    return r;
}

int
store_session_each(struct db *db,
                   void (*fn)(const struct store_session *s, void *arg),
                   void *arg)
{
    unsigned st = S(SESSION_EACH);
    int r = db_query(db, st, "");

    while (r >= 0 && (r = db_next(db, st)) == 1) {
        struct store_session s = {0};

        r = whole_row(db, st, &s);
        if (r == 0)
            fn(&s, arg);
        codec_clear(&table_session, &s.a);
    }
    db_reset(db, st);
    return r;
}

int
store_session_expire(struct db *db, int64_t now_us, int limit)
{
    int r = db_run(db, S(SESSION_EXPIRE), "ii", now_us, (int64_t)limit);

    return r < 0 ? r : 0;
}
