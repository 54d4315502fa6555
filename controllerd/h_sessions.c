/* h_sessions.c - signing in and out, and who one is.
 *
 * login:  plain: limits, the hash is checked by the pool --wrong--> 401
 *         write: the user's row once more, the session's row --> 201
 * Whether a name exists cannot be told from the answer nor from the time that
 * it takes. */
#include <config.h>

#include "controllerd/handlers.h"

#include <stddef.h>
#include <string.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"
#include "controllerd/events.h"

/* A user's sessions at most; a further login ends the oldest. */
#define SESSIONS_MAX 50

/* What is to be done to the cache once the change is committed. */
struct work {
    struct store_session s;  /* with an id: a new or changed one */
    struct store_user u;     /* with an id: a changed one */
    struct codec_list ended; /* ids of sessions */
    char others_of[ID_SIZE]; /* all sessions of this user but the one in use */
};

static void
work_free(void *p)
{
    struct work *w = p;

    codec_clear(&table_session, &w->s.a);
    store_user_release(&w->u);
    codec_strings_clear(&w->ended);
    free(w);
}

static struct work *
work_begin(struct call *c)
{
    struct work *w = xnew(struct work);

    call_work(c, w, work_free);
    return w;
}

void
h_session_committed(struct call *c)
{
    struct auth_cache *ac = c->ctl->auth;
    struct work *w = c->work;

    if (w->u.a.id)
        auth_cache_put_user(ac, &w->u);
    if (w->s.a.id)
        auth_cache_put_session(ac, &w->s);
    for (size_t i = 0; i < w->ended.n; i++)
        auth_cache_drop_session(ac, ((char **)w->ended.items)[i]);
    if (w->others_of[0])
        auth_cache_drop_sessions(ac, w->others_of, c->who.session_id);
}

static int
need_session(struct call *c)
{
    if (c->who.session_id[0])
        return 0;
    return err_set(&c->err, -EPERM, "session_required",
                   "this is for a user who is signed in; a token is none");
}

static int
too_many(struct call *c, int64_t wait_us)
{
    COUNT(login_too_many_attempts);
    c->retry_after_s = (wait_us + US_PER_S - 1) / US_PER_S;
    return err_set(&c->err, -EAGAIN, "too_many_attempts",
                   "too many attempts with a wrong password: wait %lld s",
                   (long long)c->retry_after_s);
}

/* ---- login ---- */

static int
bad_credentials(struct call *c)
{
    COUNT(login_refused);
    return err_set(&c->err, -EACCES, "bad_credentials",
                   "there is no such user, or the password is another");
}

int
h_login(struct call *c)
{
    struct api_login *in = c->in;
    char id[ID_SIZE], hash[PASSWORD_HASH_SIZE];
    struct password_job *job;

    /* One account has one bucket, whether it is named or given by its id. */
    bool known = auth_cache_password(c->ctl->auth, in->user, id, hash);
    const char *whose = known ? id : in->user;
    if (c->work) {
        int r = call_password_done(c, &job);

        if (r < 0)
            guess_back(c->ctl->guess, whose, c->rq->remote, clock_mono_us());
        if (r == 0 && (!job->right || !known || !streq(job->hash, hash)))
            r = bad_credentials(c);
        if (r < 0)
            return r;
        guess_right(c->ctl->guess, whose, c->rq->remote, clock_mono_us());
        return CALL_WRITE;
    }
    if (in->cookie && http_header(c->rq, "Origin") && !auth_same_origin(c))
        return err_set(&c->err, -EPERM, "foreign_origin",
                       "a cookie is for this server's own page only");
    int64_t wait =
        guess_try(c->ctl->guess, whose, c->rq->remote, clock_mono_us());
    if (wait)
        return too_many(c, wait);
    return call_password(c, &in->password, known ? hash : passwords_nobody,
                         NULL);
}

/* Where the session acts: as asked, else at home, else anywhere. */
static int
choose_project(struct call *c, const struct api_user *u, const char *asked,
               const struct api_membership **ret)
{
    const struct api_membership *m = u->memberships.items;

    *ret = NULL;
    if (asked && u->is_operator)
        return err_field(&c->err, "/project", "project",
                         "operators act in all projects and have none");
    for (size_t i = 0; i < u->memberships.n && !u->is_operator; i++) {
        bool fits =
            asked ? streq(m[i].project_id, asked) || streq(m[i].project, asked)
                  : streq(m[i].project_id, u->project);

        if (fits || (!asked && !*ret))
            *ret = &m[i];
    }
    if (!asked || *ret)
        return 0;
    not_found(c, "project", asked);
    err_field(&c->err, "/project", "not_found", "does not exist");
    return -ENOENT;
}

static void
reply_cookie(struct call *c, const char *secret, int64_t max_age_s)
{
    http_add_header(c->rq, "Set-Cookie",
                    SESSION_COOKIE "=%s; Path=/; Max-Age=%lld; Secure; "
                                   "HttpOnly; SameSite=Strict",
                    secret, (long long)max_age_s);
}

/* The secret goes into the reply and nowhere else. */
static void
reply_session(struct call *c, const struct work *w, const char *secret)
{
    struct api_session shown = w->s.a; /* borrowed */
    char csrf[HASH_HEX_SIZE];

    shown.current = true;
    if (w->s.cookie) {
        auth_csrf(secret, csrf);
        shown.csrf_token = csrf;
    } else {
        shown.token = (char *)secret;
    }
    reply_object(c, &table_session, &shown);
    if (w->s.cookie)
        reply_cookie(c, secret, c->ctl->cfg.session_ttl_us / US_PER_S);
}

static void
fill_session(struct call *c, const struct api_user *u,
             const struct api_membership *m, struct store_session *s)
{
    const struct api_login *in = c->in;
    char id[ID_SIZE];

    id_new(id);
    s->cookie = in->cookie;
    s->a.id = xstrdup(id);
    s->a.user_id = xstrdup(u->id);
    s->a.user = xstrdup(u->name);
    s->a.project_id = m ? xstrdup(m->project_id) : NULL;
    s->a.role = u->is_operator ? ROLE_OPERATOR : m ? m->role : ROLE_NONE;
    s->a.remote = xstrdup(c->rq->remote);
    s->a.generation = 1;
    s->a.created_at = s->a.last_seen_at = clock_now_us();
    s->a.expires_at = s->a.created_at + c->ctl->cfg.session_ttl_us;
}

int
h_login_write(struct call *c, struct db *db)
{
    const struct api_login *in = c->in;
    char secret[TOKEN_TEXT_SIZE], checked[PASSWORD_HASH_SIZE];
    const struct api_membership *m;
    struct store_user u = {0};
    struct password_job *job;
    int r = call_password_done(c, &job);

    if (r < 0)
        return r;
    memcpy(checked, job->hash, sizeof(checked));
    struct work *w = work_begin(c);
    r = store_user_get(db, in->user, &u);
    if (r < 0 && r != -ENOENT)
        return store_error(c, db, r);
    /* What was checked may have changed since. */
    if (r == -ENOENT || u.a.disabled || !streq(u.password, checked)) {
        store_user_release(&u);
        return bad_credentials(c);
    }
    r = choose_project(c, &u.a, in->project, &m);
    if (r < 0) {
        store_user_release(&u);
        return r;
    }
    fill_session(c, &u.a, m, &w->s);
    auth_new_session(secret, w->s.hash);
    u.a.last_login_at = w->s.a.created_at;
    r = store_session_insert(db, &w->s);
    if (r == 0)
        r = store_session_trim(db, u.a.id, SESSIONS_MAX, &w->ended);
    if (r == 0)
        r = store_user_update(db, &u, false);
    store_user_release(&u);
    if (r < 0)
        return store_error(c, db, r);
    reply_session(c, w, secret);
    call_location(c, "/v1/sessions", w->s.a.id);
    return 0;
}

/* ---- logout and other ends ---- */

static int
end_session(struct call *c, struct db *db, const char *id)
{
    struct work *w = work_begin(c);
    int r = store_session_delete(db, id);

    codec_strings_add(&w->ended, id);
    if (r < 0 && r != -ENOENT)
        return store_error(c, db, r);
    call_touched(c, "session.deleted", id, c->who.user_name, c->who.project_id);
    reply_empty(c);
    return 0;
}

int
h_logout(struct call *c, struct db *db)
{
    int r = need_session(c);

    if (r == 0)
        r = end_session(c, db, c->who.session_id);
    if (r == 0 && c->who.cookie)
        reply_cookie(c, "", 0);
    return r;
}

int
h_session_delete(struct call *c, struct db *db)
{
    struct store_session s = {0};
    const char *id = c->m.params[0];
    int r = need_session(c);

    if (r < 0)
        return r;
    r = store_session_get(db, c->who.user_id, id, &s);
    int64_t generation = s.a.generation;
    codec_clear(&table_session, &s.a);
    if (r == -ENOENT)
        return not_found(c, "session", id);
    if (r < 0)
        return store_error(c, db, r);
    r = call_if_match(c, generation);
    return r < 0 ? r : end_session(c, db, id);
}

/* ---- the user's own password ---- */

int
h_password(struct call *c)
{
    struct api_password_change *in = c->in;
    char id[ID_SIZE], hash[PASSWORD_HASH_SIZE], bucket[64];
    struct password_job *job;
    int r = need_session(c);

    if (r < 0)
        return r;
    /* Apart from the login's: who has a session must not shut out others. */
    snprintf(bucket, sizeof(bucket), "own password of %s", c->who.user_id);
    if (c->work) {
        r = call_password_done(c, &job);
        if (r < 0)
            guess_back(c->ctl->guess, bucket, c->rq->remote, clock_mono_us());
        if (r == 0 && !job->right && !job->already)
            return err_field(&c->err, "/old_password", "wrong_password",
                             "is not the present password");
        if (r < 0)
            return r;
        guess_right(c->ctl->guess, bucket, c->rq->remote, clock_mono_us());
        if (!job->already)
            return CALL_WRITE;
        reply_empty(c); /* the reply to the change was lost */
        return 0;
    }
    if (!auth_cache_password(c->ctl->auth, c->who.user_id, id, hash))
        return bad_credentials(c);
    int64_t wait =
        guess_try(c->ctl->guess, bucket, c->rq->remote, clock_mono_us());
    if (wait)
        return too_many(c, wait);
    return call_password(c, &in->old_password, hash, &in->new_password);
}

int
h_password_write(struct call *c, struct db *db)
{
    char checked[PASSWORD_HASH_SIZE], made[PASSWORD_HASH_SIZE];
    struct store_user u = {0};
    struct password_job *job;
    int r = call_password_done(c, &job);

    if (r < 0)
        return r;
    memcpy(checked, job->hash, sizeof(checked));
    memcpy(made, job->made, sizeof(made));
    struct work *w = work_begin(c);
    r = store_user_get(db, c->who.user_id, &u);
    if (r < 0)
        return store_error(c, db, r);
    if (!streq(u.password, checked)) {
        store_user_release(&u);
        return err_set(&c->err, -EBUSY, "password_changed",
                       "the password was changed by another request");
    }
    xstrset(&u.password, made);
    r = store_user_update(db, &u, true);
    if (r == 0)
        r = store_session_delete_others(db, u.a.id, c->who.session_id);
    memcpy(w->others_of, c->who.user_id, ID_SIZE);
    call_touched(c, "user.changed", u.a.id, u.a.name, u.a.project);
    w->u = u;
    if (r < 0)
        return store_error(c, db, r);
    reply_empty(c);
    return 0;
}

/* ---- sessions ---- */

int
h_session_list(struct call *c, struct db *db)
{
    struct codec_list l = {0};
    struct api_session *s;
    char after[ID_SIZE];
    int limit;
    int r = need_session(c);

    if (r == 0)
        r = query_page(c, &limit, after);
    if (r < 0)
        return r;
    r = store_session_list(db, c->who.user_id, after, limit + 1, &l);
    s = l.items;
    for (size_t i = 0; i < l.n; i++)
        s[i].current = streq(s[i].id, c->who.session_id);
    if (r == 0)
        reply_page(c, &table_session, &l, limit,
                   offsetof(struct api_session, id));
    codec_list_clear(&table_session, &l);
    return r < 0 ? store_error(c, db, r) : 0;
}

int
h_session_change(struct call *c, struct db *db)
{
    const struct api_session_change *in = c->in;
    const struct api_membership *m;
    struct store_user u = {0};
    char csrf[HASH_HEX_SIZE];
    int r = need_session(c);

    if (r < 0)
        return r;
    struct work *w = work_begin(c);
    r = store_user_get(db, c->who.user_id, &u);
    if (r == 0)
        r = store_session_get(db, c->who.user_id, c->who.session_id, &w->s);
    if (r < 0)
        store_error(c, db, r);
    else
        r = call_if_match(c, w->s.a.generation);
    if (r == 0)
        r = choose_project(c, &u.a, in->project, &m);
    if (r == 0) {
        r = store_session_move(db, &w->s, m->project_id);
        if (r < 0)
            store_error(c, db, r);
        w->s.a.role = m->role;
    }
    store_user_release(&u);
    if (r < 0)
        return r;
    struct api_session shown = w->s.a; /* borrowed */
    shown.current = true;
    if (auth_whoami_csrf(c, csrf) == 0)
        shown.csrf_token = csrf;
    reply_object(c, &table_session, &shown);
    return 0;
}

/* ---- whoami ---- */

static char *
or_null(char *s)
{
    return *s ? s : NULL;
}

int
h_whoami(struct call *c, struct db *db)
{
    struct principal *p = &c->who;
    struct store_user u = {0};
    char csrf[HASH_HEX_SIZE];
    struct api_whoami w = {
        .token_id = or_null(p->token_id),
        .token_name = or_null(p->token_name),
        .user_id = or_null(p->user_id),
        .user_name = or_null(p->user_name),
        .session_id = or_null(p->session_id),
        .project_id = or_null(p->project_id),
        .role = p->role,
    };

    if (p->user_id[0]) {
        int r = store_user_get(db, p->user_id, &u);

        if (r < 0)
            return store_error(c, db, r);
        w.memberships = u.a.memberships; /* borrowed */
    }
    if (auth_whoami_csrf(c, csrf) == 0)
        w.csrf_token = csrf;
    scopes_list(&p->scopes, &w.scopes);
    reply_object(c, &table_whoami, &w);
    codec_strings_clear(&w.scopes);
    store_user_release(&u);
    return 0;
}
