/* h_users.c - users, and what they may do in a project.
 *
 * A user is seen by operators, by the admins of the projects it is a member
 * of, and by those of its home; the admins of its home change and delete it.
 * An operator's account is the operators' alone, whatever its home: whoever
 * sets a password has what its user may. */
#include <config.h>

#include "controllerd/handlers.h"

#include <stddef.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "controllerd/events.h"
#include "controllerd/quota.h"

/* What is to be done to the cache once the change is committed. */
struct work {
    struct store_user u;
    bool end_sessions, gone;
    struct codec_list tokens; /* that ended with what the user may */
};

static void
work_free(void *p)
{
    struct work *w = p;

    store_user_release(&w->u);
    codec_list_clear(&table_token, &w->tokens);
    free(w);
}

static struct work *
work_begin(struct call *c, struct store_user *u)
{
    struct work *w = xnew(struct work);

    w->u = *u;
    *u = (struct store_user){0};
    call_work(c, w, work_free);
    return w;
}

void
h_user_committed(struct call *c)
{
    struct work *w = c->work;
    struct auth_cache *ac = c->ctl->auth;

    tokens_trimmed(c->ctl, &w->tokens);
    if (w->gone) {
        auth_cache_drop_user(ac, w->u.a.id);
        return;
    }
    auth_cache_put_user(ac, &w->u);
    if (w->end_sessions)
        auth_cache_drop_sessions(ac, w->u.a.id, NULL);
}

static bool
is_operator(const struct call *c)
{
    return c->who.role == ROLE_OPERATOR;
}

static const struct api_membership *
membership_in(const struct api_user *u, const char *project_id)
{
    const struct api_membership *m = u->memberships.items;

    for (size_t i = 0; i < u->memberships.n; i++)
        if (streq(m[i].project_id, project_id))
            return &m[i];
    return NULL;
}

/* One whom the caller may see. */
static int
get_user(struct call *c, struct db *db, const char *ref, struct store_user *ret)
{
    int r = store_user_get(db, ref, ret);

    if (r == 0 && !is_operator(c) &&
        !streq(ret->a.project, c->who.project_id) &&
        !membership_in(&ret->a, c->who.project_id)) {
        store_user_release(ret);
        r = -ENOENT;
    }
    if (r == -ENOENT)
        return not_found(c, "user", ref);
    return r < 0 ? store_error(c, db, r) : 0;
}

/* One whom the caller may change. */
static int
get_own_user(struct call *c, struct db *db, const char *ref,
             struct store_user *ret)
{
    int r = get_user(c, db, ref, ret);

    if (r < 0 || is_operator(c))
        return r;
    if (!streq(ret->a.project, c->who.project_id))
        r = not_found(c, "user", ref);
    else if (ret->a.is_operator)
        r = err_set(&c->err, -EPERM, "forbidden",
                    "an operator's account is for operators to change");
    if (r < 0)
        store_user_release(ret);
    return r;
}

/* Nothing of the other projects that the user is in. */
static void
show_own_only(struct call *c, struct api_user *u)
{
    struct codec_list own = {0};
    const struct api_membership *m;

    if (is_operator(c))
        return;
    if (!streq(u->project, c->who.project_id)) {
        xstrset(&u->project, NULL);
        u->role = u->is_operator ? ROLE_OPERATOR : ROLE_NONE;
    }
    m = membership_in(u, c->who.project_id);
    if (m) {
        struct api_membership *copy = codec_list_add(&table_membership, &own);

        copy->project_id = xstrdup(m->project_id);
        copy->project = xstrdup(m->project);
        copy->role = m->role;
        copy->generation = m->generation;
    }
    codec_list_clear(&table_membership, &u->memberships);
    u->memberships = own;
}

/* The user as it is now, for the reply and for the cache. */
static int
reply_user(struct call *c, struct db *db, const char *id, struct work **ret)
{
    struct store_user u = {0}, shown = {0};
    int r = store_user_get(db, id, &u);

    if (r == 0)
        r = store_user_get(db, id, &shown);
    if (r < 0) {
        store_user_release(&u);
        return store_error(c, db, r);
    }
    show_own_only(c, &shown.a);
    reply_object(c, &table_user, &shown.a);
    store_user_release(&shown);
    *ret = work_begin(c, &u);
    return 0;
}

/* A token that is good for some things only must not make a credential that
 * is good for all. */
static int
check_unscoped(struct call *c)
{
    if (!c->who.scopes.limited)
        return 0;
    return err_set(&c->err, -EPERM, "scope_missing",
                   "a token with scopes cannot give what it has not: use one "
                   "without");
}

static int
check_grant(struct call *c, int role)
{
    if (role == ROLE_OPERATOR)
        return err_field(&c->err, "/role", "role",
                         "nobody is made an operator by a role in a project");
    if (!api_role_covers(c->who.role, (enum api_role)role))
        return err_field(&c->err, "/role", "role",
                         "must be a role up to your own (%s)",
                         api_role_names[c->who.role]);
    return 0;
}

/* ---- create ---- */

int
h_user_create(struct call *c)
{
    struct api_user *in = c->in;
    struct password_job *job;
    int r;

    if (c->work) {
        r = call_password_done(c, &job);
        return r < 0 ? r : CALL_WRITE;
    }
    r = check_unscoped(c);
    if (r == 0 && in->is_operator && !is_operator(c))
        r = err_field(&c->err, "/operator", "role",
                      "only operators make operators");
    if (r == 0)
        r = check_grant(c, in->role);
    if (r < 0)
        return r;
    return call_password(c, NULL, NULL, &in->password);
}

/* The id of the new user's home, NULL for none. */
static int
home_of(struct call *c, struct db *db, char **ret)
{
    struct api_user *in = c->in;
    struct api_project p = {0};
    int r = 0;

    *ret = NULL;
    if (in->project)
        r = call_get_project(c, db, in->project, &p);
    if (r == -ENOENT)
        err_field(&c->err, "/project", "not_found", "does not exist");
    if (r == 0 && p.id)
        *ret = xstrdup(p.id);
    else if (r == 0 && !is_operator(c))
        *ret = xstrdup(c->who.project_id);
    codec_clear(&table_project, &p);
    return r;
}

int
h_user_create_write(struct call *c, struct db *db)
{
    struct api_user *in = c->in;
    char *home _cleanup_(freep) = NULL;
    char id[ID_SIZE];
    struct password_job *job;
    struct work *w;
    int r = call_password_done(c, &job);

    if (r == 0)
        r = home_of(c, db, &home);
    if (r == 0 && home)
        r = quota_cap_rows(c, db, STORE_USERS, home);
    if (r == 0 && home)
        r = quota_cap_rows(c, db, STORE_MEMBERS, home);
    if (r < 0)
        return r;
    id_new(id);
    struct store_user u = {.a = {.id = id,
                                 .name = in->name,
                                 .project = home,
                                 .is_operator = in->is_operator,
                                 .generation = 1,
                                 .created_at = clock_now_us()},
                           .password = job->made};
    r = store_user_insert(db, &u);
    if (r == -EEXIST) {
        err_field(&c->err, "/name", "name_taken", "is taken by another user");
        return err_set(&c->err, -EEXIST, "name_taken",
                       "there is a user \"%s\" already", in->name);
    }
    if (r == 0 && home)
        r = store_membership_set(db, home, id, in->role);
    if (r < 0)
        return store_error(c, db, r);
    r = reply_user(c, db, id, &w);
    if (r == 0)
        call_location(c, "/v1/users", id);
    return r;
}

/* ---- read ---- */

int
h_user_list(struct call *c, struct db *db)
{
    struct codec_list l = {0};
    struct api_user *u;
    char after[ID_SIZE];
    int limit;
    int r = query_page(c, &limit, after);

    if (r < 0)
        return r;
    r = store_user_list(db, call_project(c), after, limit + 1, &l);
    u = l.items;
    for (size_t i = 0; i < l.n; i++)
        show_own_only(c, &u[i]);
    if (r == 0)
        reply_page(c, &table_user, &l, limit, offsetof(struct api_user, id));
    codec_list_clear(&table_user, &l);
    return r < 0 ? store_error(c, db, r) : 0;
}

int
h_user_show(struct call *c, struct db *db)
{
    struct store_user u = {0};
    int r = get_user(c, db, c->m.params[0], &u);

    if (r < 0)
        return r;
    show_own_only(c, &u.a);
    reply_object(c, &table_user, &u.a);
    store_user_release(&u);
    return 0;
}

/* ---- change ---- */

/* Somebody must be left who may do everything. */
int
call_check_operators(struct call *c, struct db *db)
{
    int64_t n = 0;
    int r = store_operators(db, clock_now_us(), &n);

    if (r < 0)
        return store_error(c, db, r);
    if (n == 0)
        return err_set(&c->err, -EBUSY, "last_operator",
                       "nobody could operate this cloud any more: make "
                       "another operator first");
    return 0;
}

static int
not_oneself(struct call *c, const struct store_user *u, const char *what)
{
    if (!streq(u->a.id, c->who.user_id))
        return 0;
    return err_set(&c->err, -EBUSY, "self_lockout",
                   "nobody %s their own account: let another do it", what);
}

int
h_user_change(struct call *c)
{
    struct api_user_change *in = c->in;
    struct password_job *job;
    int r;

    if (c->work) {
        r = call_password_done(c, &job);
        return r < 0 ? r : CALL_WRITE;
    }
    if (!in->password)
        return CALL_WRITE;
    r = check_unscoped(c);
    return r < 0 ? r : call_password(c, NULL, NULL, &in->password);
}

int
h_user_change_write(struct call *c, struct db *db)
{
    struct api_user_change *in = c->in;
    struct store_user u = {0};
    struct password_job *job = NULL;
    struct codec_list ended = {0};
    struct work *w;
    int r = get_own_user(c, db, c->m.params[0], &u);

    if (r == 0)
        r = call_if_match(c, u.a.generation);
    if (r == 0 && in->disabled == 1)
        r = not_oneself(c, &u, "disables");
    if (r == 0 && c->work)
        r = call_password_done(c, &job);
    if (r < 0) {
        store_user_release(&u);
        return r;
    }
    bool end = job || in->disabled == 1;
    if (job)
        xstrset(&u.password, job->made);
    if (in->disabled >= 0)
        u.a.disabled = in->disabled;
    r = store_user_update(db, &u, true);
    if (r == 0 && end)
        r = store_session_delete_others(db, u.a.id, NULL);
    if (r == 0)
        r = tokens_trim(c, db, &u, &ended);
    if (r < 0)
        store_error(c, db, r);
    else if (u.a.is_operator && u.a.disabled)
        r = call_check_operators(c, db);
    if (r == 0)
        r = reply_user(c, db, u.a.id, &w);
    if (r == 0) {
        w->end_sessions = end;
        w->tokens = ended; /* moved */
    } else {
        codec_list_clear(&table_token, &ended);
    }
    store_user_release(&u);
    return r;
}

int
h_user_delete(struct call *c, struct db *db)
{
    struct store_user u = {0};
    struct codec_list ended = {0};
    int r = get_own_user(c, db, c->m.params[0], &u);

    if (r < 0)
        return r;
    r = call_if_match(c, u.a.generation);
    if (r == 0)
        r = not_oneself(c, &u, "deletes");
    if (r == 0) {
        u.a.disabled = true; /* stands for nothing any more */
        r = tokens_trim(c, db, &u, &ended);
        if (r == 0)
            r = store_user_delete(db, u.a.id);
        if (r < 0)
            store_error(c, db, r);
    }
    if (r == 0 && u.a.is_operator)
        r = call_check_operators(c, db);
    if (r == 0) {
        call_touched(c, "user.deleted", u.a.id, u.a.name, u.a.project);
        struct work *w = work_begin(c, &u);
        w->gone = true;
        w->tokens = ended; /* moved */
        reply_empty(c);
    } else {
        codec_list_clear(&table_token, &ended);
    }
    store_user_release(&u);
    return r;
}

/* ---- members of a project ---- */

int
h_member_list(struct call *c, struct db *db)
{
    struct api_project p = {0};
    struct codec_list l = {0};
    char after[ID_SIZE];
    int limit;
    int r = query_page(c, &limit, after);

    if (r == 0)
        r = call_get_project(c, db, c->m.params[0], &p);
    if (r < 0)
        return r;
    r = store_membership_list(db, p.id, after, limit + 1, &l);
    if (r == 0)
        reply_page(c, &table_membership, &l, limit,
                   offsetof(struct api_membership, user_id));
    codec_list_clear(&table_membership, &l);
    codec_clear(&table_project, &p);
    return r < 0 ? store_error(c, db, r) : 0;
}

/* If-Match names a membership that is there. */
static int
check_member(struct call *c, const struct api_membership *m)
{
    if (m)
        return call_if_match(c, m->generation);
    if (!http_header(c->rq, "If-Match"))
        return 0;
    return err_set(&c->err, -ECANCELED, "precondition_failed",
                   "the user is not a member now");
}

/* Changes u's role in p; ROLE_NONE takes them out. */
static int
set_role(struct call *c, struct db *db, const struct api_project *p,
         struct store_user *u, int role)
{
    int r = role == ROLE_NONE ? store_membership_delete(db, p->id, u->a.id)
                              : store_membership_set(db, p->id, u->a.id, role);

    if (r == 0)
        r = store_user_update(db, u, true);
    if (r == 0) {
        struct store_user now = {0};

        r = store_user_get(db, u->a.id, &now);
        if (r == 0) {
            struct work *w = work_begin(c, &now);

            r = tokens_trim(c, db, &w->u, &w->tokens);
        }
    }
    return r < 0 ? store_error(c, db, r) : 0;
}

int
h_member_set(struct call *c, struct db *db)
{
    const struct api_member_set *in = c->in;
    struct api_project p = {0};
    struct store_user u = {0};
    int r = check_unscoped(c);

    if (r == 0)
        r = check_grant(c, in->role);
    if (r == 0)
        r = call_get_project(c, db, c->m.params[0], &p);
    if (r == 0)
        r = get_user(c, db, c->m.params[1], &u);
    if (r == 0)
        r = check_member(c, membership_in(&u.a, p.id));
    if (r == 0 && !membership_in(&u.a, p.id))
        r = quota_cap_rows(c, db, STORE_MEMBERS, p.id);
    if (r == 0)
        r = set_role(c, db, &p, &u, in->role);
    if (r == 0) {
        const struct work *w = c->work; /* with the user as it is now */
        const struct api_membership *now = membership_in(&w->u.a, p.id);
        struct api_membership m = {.project_id = p.id,
                                   .project = p.name,
                                   .user_id = u.a.id,
                                   .user = u.a.name,
                                   .role = in->role,
                                   .generation = now->generation};

        reply_object(c, &table_membership, &m);
    }
    store_user_release(&u);
    codec_clear(&table_project, &p);
    return r;
}

int
h_member_delete(struct call *c, struct db *db)
{
    struct api_project p = {0};
    struct store_user u = {0};
    int r = call_get_project(c, db, c->m.params[0], &p);

    if (r == 0)
        r = get_user(c, db, c->m.params[1], &u);
    if (r == 0 && !membership_in(&u.a, p.id))
        r = not_found(c, "user", c->m.params[1]);
    if (r == 0)
        r = check_member(c, membership_in(&u.a, p.id));
    if (r == 0)
        r = set_role(c, db, &p, &u, ROLE_NONE);
    if (r == 0) {
        call_touched(c, "member.deleted", u.a.id, u.a.name, p.id);
        reply_empty(c);
    }
    store_user_release(&u);
    codec_clear(&table_project, &p);
    return r;
}
