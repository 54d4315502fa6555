/* h_tokens.c - bearer tokens: who makes which, and when they end.
 *
 * What a token makes never outlives it, has no more scopes and no higher role.
 * A token remembers the user behind it (of the session that made it, or of the
 * token that did), and ends with what that user may do in its project; see
 * h_users.c. */
#include <config.h>

#include "controllerd/handlers.h"

#include <stddef.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "controllerd/events.h"
#include "controllerd/quota.h"
#include "controllerd/store/store_event.h"

/* Whose token it will be: an operator's has no project, others need one. */
static int
token_project(struct call *c, struct db *db, struct api_token *t)
{
    struct api_project p = {0};
    int r = 0;

    if (!api_role_covers(c->who.role, (enum api_role)t->role))
        return err_field(&c->err, "/role", "role",
                         "must be a role up to your own (%s)",
                         api_role_names[c->who.role]);
    if (t->role == ROLE_OPERATOR) {
        if (t->project)
            return err_field(&c->err, "/project", "project",
                             "operator tokens have no project");
        return 0;
    }
    if (t->project)
        r = call_get_project(c, db, t->project, &p);
    if (r == 0)
        xstrset(&t->project, p.id ? p.id : call_acting_project(c));
    if (r == -ENOENT)
        err_field(&c->err, "/project", "not_found", "does not exist");
    codec_clear(&table_project, &p);
    return r;
}

static const struct api_quota_values one_token = {.tokens = 1};

/* Not more than the maker's own; to name none is to ask for everything. */
static int
token_scopes(struct call *c, const struct api_token *t)
{
    struct scopes s;
    int r = scopes_parse(&t->scopes, &s, &c->err);

    if (r == 0 && !scopes_cover(&c->who.scopes, &s))
        r = err_field(&c->err, "/scopes", "scope_missing",
                      "must name scopes, and none that the token in use has "
                      "not");
    return r;
}

/* Not later than the token that makes it; a session's end is no limit: its
 * user can sign in again, and the token ends with the user's rights. */
static int
token_expiry(struct call *c, struct api_token *t)
{
    int64_t until = c->who.token_id[0] ? c->who.expires_at : 0;

    if (t->expires_at && t->expires_at <= clock_now_us())
        return err_field(&c->err, "/expires_at", "past",
                         "must be in the future");
    if (until && t->expires_at > until)
        return err_field(&c->err, "/expires_at", "too_late",
                         "must not be later than that of the token in use");
    if (until && !t->expires_at)
        t->expires_at = until;
    return 0;
}

static int
revoked(struct call *c)
{
    return err_set(&c->err, -EACCES, "bad_token",
                   "this token or session was revoked meanwhile");
}

/* Whether the user may have such a token. */
static bool
stands_for(const struct store_user *u, const struct api_token *t)
{
    const struct api_membership *m = u->a.memberships.items;

    if (!u->a.id || u->a.disabled)
        return false;
    if (u->a.is_operator)
        return true;
    for (size_t i = 0; i < u->a.memberships.n; i++)
        if (streq(m[i].project_id, t->project))
            return api_role_covers((enum api_role)m[i].role,
                                   (enum api_role)t->role);
    return false;
}

/* Who makes it may have lost their rights in a change that is not committed
 * yet, of which the cache does not know: rows do. */
static int
token_maker(struct call *c, struct db *db, struct api_token *t)
{
    struct store_user u = {0};
    struct api_token own = {0};
    int r = 0;

    if (c->who.token_id[0]) {
        r = store_token_get(db, NULL, c->who.token_id, &own);
        codec_clear(&table_token, &own);
        if (r < 0)
            return r == -ENOENT ? revoked(c) : store_error(c, db, r);
    }
    if (!c->who.maker_id[0])
        return 0;
    r = store_user_get(db, c->who.maker_id, &u);
    if (r < 0 && r != -ENOENT)
        return store_error(c, db, r);
    bool ok = stands_for(&u, t);
    store_user_release(&u);
    if (!ok)
        return err_set(&c->err, -EPERM, "forbidden",
                       "the user behind it may not have such a token now");
    xstrset(&t->user_id, c->who.maker_id);
    return 0;
}

int
h_token_create(struct call *c, struct db *db)
{
    struct api_token *in = c->in;
    char secret[TOKEN_TEXT_SIZE], id[ID_SIZE];

    int r = token_expiry(c, in);
    if (r == 0)
        r = token_scopes(c, in);
    if (r == 0)
        r = token_project(c, db, in);
    if (r == 0)
        r = token_maker(c, db, in);
    if (r == 0 && in->project)
        r = quota_take(c, db, in->project, &one_token, "", "");
    if (r < 0)
        return r;
    struct store_token *t = xnew(struct store_token);
    c->work = t;
    c->work_free = free;
    id_new(id);
    in->id = xstrdup(id);
    in->created_at = clock_now_us();
    in->generation = 1;
    auth_new_secret(secret, t->hash);
    t->a = *in; /* borrowed: c->in lives as long as the call */
    r = store_token_insert(db, t);
    if (r == -EEXIST)
        return call_name_taken(c, "token", in->name);
    if (r < 0)
        return store_error(c, db, r);
    in->token = xstrdup(secret);
    reply_object(c, &table_token, in);
    call_location(c, "/v1/tokens", in->id);
    return 0;
}

void
h_token_created(struct call *c)
{
    auth_cache_put_token(c->ctl->auth, c->work);
}

int
h_token_list(struct call *c, struct db *db)
{
    struct codec_list l = {0};
    char after[ID_SIZE];
    int limit;
    int r = query_page(c, &limit, after);

    if (r < 0)
        return r;
    r = store_token_list(db, call_project(c), after, limit + 1, &l);
    if (r == 0)
        reply_page(c, &table_token, &l, limit, offsetof(struct api_token, id));
    codec_list_clear(&table_token, &l);
    return r < 0 ? store_error(c, db, r) : 0;
}

int
h_token_delete(struct call *c, struct db *db)
{
    struct api_token t = {0};
    int r = store_token_get(db, call_project(c), c->m.params[0], &t);

    if (r == -ENOENT)
        return not_found(c, "token", c->m.params[0]);
    if (r == -ENOTUNIQ)
        return err_set(&c->err, -EBUSY, "ambiguous_name",
                       "several projects have a token \"%s\": give its id",
                       c->m.params[0]);
    if (r == 0)
        r = call_if_match(c, t.generation);
    if (r == 0)
        r = store_token_delete(db, t.id);
    if (r < 0)
        store_error(c, db, r);
    else if (t.role == ROLE_OPERATOR)
        r = call_check_operators(c, db);
    if (r < 0) {
        codec_clear(&table_token, &t);
        return r;
    }
    call_touched(c, "token.deleted", t.id, t.name, t.project);
    if (t.project)
        quota_free(c, t.project, &one_token);
    c->work = TAKE_PTR(t.id);
    c->work_free = free;
    codec_clear(&table_token, &t);
    reply_empty(c);
    return 0;
}

void
h_token_deleted(struct call *c)
{
    auth_cache_drop_token(c->ctl->auth, c->work);
}

/* ---- tokens of users ---- */

static int
trim_one(struct call *c, struct db *db, const struct api_token *t)
{
    struct api_event e = {
        .kind = (char *)"token.deleted",
        .project_id = t->project,
        .resource_type = (char *)"token",
        .resource_id = t->id,
        .resource_name = t->name,
        .request_id = c->request_id,
    };
    int r = store_token_delete(db, t->id);

    return r < 0 ? r : store_event_insert(db, &e);
}

int
tokens_trim(struct call *c, struct db *db, const struct store_user *u,
            struct codec_list *ret_ended)
{
    struct codec_list l = {0};
    int r = store_token_list_user(db, u->a.id, &l);
    struct api_token *t = l.items;

    for (size_t i = 0; i < l.n && r == 0; i++) {
        if (stands_for(u, &t[i]))
            continue;
        r = trim_one(c, db, &t[i]);
        struct api_token *to = codec_list_add(&table_token, ret_ended);
        *to = t[i]; /* moved */
        t[i] = (struct api_token){0};
    }
    codec_list_clear(&table_token, &l);
    return r;
}

void
tokens_trimmed(struct ctl *ctl, const struct codec_list *ended)
{
    const struct api_token *t = ended->items;

    for (size_t i = 0; i < ended->n; i++) {
        auth_cache_drop_token(ctl->auth, t[i].id);
        if (t[i].project)
            quota_give(ctl, t[i].project, &one_token);
    }
}
