/* store_user.c - rows of users and of what they may do where. */
#include <config.h>

#include "controllerd/store/store-private.h"

#include <string.h>

#include "common/mem.h"

enum {
    USER_INSERT,
    USER_GET,
    USER_LIST,
    USER_UPDATE,
    USER_DELETE_MEMBERSHIPS,
    USER_DELETE_SESSIONS,
    USER_DELETE,
    USER_EACH,
    USER_MEMBERSHIPS,
    OPERATORS,
    MEMBERSHIP_SET,
    MEMBERSHIP_DELETE,
    MEMBERSHIP_LIST,
};

#define COLUMNS                                                                \
    "u.id, u.name, u.password, u.home_id, u.operator, u.disabled, "            \
    "u.generation, u.created_at, u.last_login_at"
#define OPERATOR "4" /* ROLE_OPERATOR */
_Static_assert(ROLE_OPERATOR == 4, "as in the statements");

static const char *const sql[] = {
    [USER_INSERT] =
        "INSERT INTO users (id, name, password, home_id, operator, disabled, "
        "generation, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    [USER_GET] = "SELECT " COLUMNS " FROM users u "
                 "WHERE u.id = ?1 OR u.name = ?1",
    [USER_LIST] =
        "SELECT " COLUMNS " FROM users u WHERE u.id > ?2 AND (?1 IS NULL OR "
        "u.home_id = ?1 OR EXISTS (SELECT 1 FROM memberships m WHERE "
        "m.project_id = ?1 AND m.user_id = u.id)) ORDER BY u.id LIMIT ?3",
    [USER_UPDATE] =
        "UPDATE users SET password = ?2, disabled = ?3, generation = ?4, "
        "last_login_at = ?5 WHERE id = ?1",
    [USER_DELETE_MEMBERSHIPS] = "DELETE FROM memberships WHERE user_id = ?",
    [USER_DELETE_SESSIONS] = "DELETE FROM sessions WHERE user_id = ?",
    [USER_DELETE] = "DELETE FROM users WHERE id = ?",
    [USER_EACH] = "SELECT " COLUMNS " FROM users u",
    [USER_MEMBERSHIPS] =
        "SELECT m.project_id, p.name, m.role, m.generation "
        "FROM memberships m "
        "JOIN projects p ON p.id = m.project_id WHERE m.user_id = ?1 AND "
        "(?2 IS NULL OR m.project_id = ?2) ORDER BY m.project_id",
    [OPERATORS] =
        "SELECT (SELECT count(*) FROM tokens WHERE role = " OPERATOR " AND "
        "(expires_at IS NULL OR expires_at > ?1)) + (SELECT count(*) "
        "FROM users WHERE operator = 1 AND disabled = 0)",
    [MEMBERSHIP_SET] =
        /* The user's grows with each of these, so that no number of this one
         * comes twice. */
    "INSERT INTO memberships (project_id, user_id, role, generation) "
    "VALUES (?1, ?2, ?3, (SELECT generation FROM users WHERE id = ?2) + 1) "
    "ON CONFLICT DO UPDATE SET role = excluded.role, "
    "generation = generation + 1",
    [MEMBERSHIP_DELETE] =
        "DELETE FROM memberships WHERE project_id = ? AND user_id = ?",
    [MEMBERSHIP_LIST] =
        "SELECT m.project_id, p.name, m.role, m.user_id, u.name, m.generation "
        "FROM memberships m JOIN projects p ON p.id = m.project_id "
        "JOIN users u ON u.id = m.user_id "
        "WHERE m.project_id = ? AND m.user_id > ? ORDER BY m.user_id LIMIT ?",
};

struct store_statements store_user_sql = {sql, ARRAY_SIZE(sql), 0};
#define S(x) (store_base(&store_user_sql) + (x))

void
store_user_release(struct store_user *u)
{
    codec_clear(&table_user, &u->a);
    free(u->password);
    u->password = NULL;
}

int
store_user_insert(struct db *db, const struct store_user *u)
{
    return store_changed(
        db_run(db, S(USER_INSERT), "ssssiiii", u->a.id, u->a.name, u->password,
               u->a.project, (int64_t)u->a.is_operator, (int64_t)u->a.disabled,
               u->a.generation, u->a.created_at));
}

static int
load_memberships(struct db *db, const char *project, struct api_user *u)
{
    unsigned st = S(USER_MEMBERSHIPS);
    int r = db_query(db, st, "ss", u->id, project);

    while (r >= 0 && (r = db_next(db, st)) == 1) {
        struct api_membership *m =
            codec_list_add(&table_membership, &u->memberships);

        m->project_id = store_text(db, st, 0);
        m->project = store_text(db, st, 1);
        m->role = (int)db_int(db, st, 2);
        m->generation = db_int(db, st, 3);
        if (streq(m->project_id, u->project))
            u->role = m->role;
    }
    if (u->is_operator)
        u->role = ROLE_OPERATOR;
    return r;
}

static void
user_row(struct db *db, unsigned st, struct api_user *u)
{
    u->id = store_text(db, st, 0);
    u->name = store_text(db, st, 1);
    u->project = store_text(db, st, 3);
    u->is_operator = db_int(db, st, 4) != 0;
    u->disabled = db_int(db, st, 5) != 0;
    u->generation = db_int(db, st, 6);
    u->created_at = db_int(db, st, 7);
    u->last_login_at = db_int(db, st, 8);
}

int
store_user_get(struct db *db, const char *ref, struct store_user *ret)
{
    struct store_user u = {0};
    int r = db_get(db, S(USER_GET), "s", ref);

    if (r == 0) {
        user_row(db, S(USER_GET), &u.a);
        u.password = store_text(db, S(USER_GET), 2);
    }
    db_reset(db, S(USER_GET));
    if (r == 0)
        r = load_memberships(db, NULL, &u.a);
    if (r < 0)
        store_user_release(&u);
    else
        *ret = u;
    return r;
}

int
store_user_list(struct db *db, const char *project, const char *after,
                int limit, struct codec_list *ret)
{
    unsigned st = S(USER_LIST);
    int r = db_query(db, st, "ssi", project, after, (int64_t)limit);

    while (r >= 0 && (r = db_next(db, st)) == 1) {
        struct api_user *u = codec_list_add(&table_user, ret);

        user_row(db, st, u);
        r = load_memberships(db, project, u);
    }
    db_reset(db, st);
    return r;
}

int
store_user_update(struct db *db, struct store_user *u, bool change)
{
    u->a.generation += change;
    return store_changed(db_run(db, S(USER_UPDATE), "ssiiz", u->a.id,
                                u->password, (int64_t)u->a.disabled,
                                u->a.generation, u->a.last_login_at));
}

int
store_user_delete(struct db *db, const char *id)
{
    int r = db_run(db, S(USER_DELETE_MEMBERSHIPS), "s", id);

    if (r >= 0)
        r = db_run(db, S(USER_DELETE_SESSIONS), "s", id);
    return r < 0 ? r : store_changed(db_run(db, S(USER_DELETE), "s", id));
}

int
store_user_each(struct db *db,
                void (*fn)(const struct store_user *u, void *arg), void *arg)
{
    unsigned st = S(USER_EACH);
    int r = db_query(db, st, "");

    while (r >= 0 && (r = db_next(db, st)) == 1) {
        struct store_user u = {.password = store_text(db, st, 2)};

        user_row(db, st, &u.a);
        r = load_memberships(db, NULL, &u.a);
        if (r == 0)
            fn(&u, arg);
        store_user_release(&u);
    }
    db_reset(db, st);
    return r;
}

int
store_operators(struct db *db, int64_t now_us, int64_t *ret)
{
    int r = db_get(db, S(OPERATORS), "i", now_us);

    if (r == 0)
        *ret = db_int(db, S(OPERATORS), 0);
    db_reset(db, S(OPERATORS));
    return r;
}

/* ---- memberships ---- */

int
store_membership_set(struct db *db, const char *project_id, const char *user_id,
                     int role)
{
    return store_changed(db_run(db, S(MEMBERSHIP_SET), "ssi", project_id,
                                user_id, (int64_t)role));
}

int
store_membership_delete(struct db *db, const char *project_id,
                        const char *user_id)
{
    return store_changed(
        db_run(db, S(MEMBERSHIP_DELETE), "ss", project_id, user_id));
}

int
store_membership_list(struct db *db, const char *project_id, const char *after,
                      int limit, struct codec_list *ret)
{
    unsigned st = S(MEMBERSHIP_LIST);
    int r = db_query(db, st, "ssi", project_id, after, (int64_t)limit);

    while (r >= 0 && (r = db_next(db, st)) == 1) {
        struct api_membership *m = codec_list_add(&table_membership, ret);

        m->project_id = store_text(db, st, 0);
        m->project = store_text(db, st, 1);
        m->role = (int)db_int(db, st, 2);
        m->user_id = store_text(db, st, 3);
        m->user = store_text(db, st, 4);
        m->generation = db_int(db, st, 5);
    }
    return r;
}
