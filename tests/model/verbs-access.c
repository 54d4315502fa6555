/* verbs-access.c - who may do what: tokens, users, what they may do where, and
 * their sessions.
 *
 * Attacks: invariant 5: a right that was taken away is gone with the reply,
 * for every token and session that rested on it. */
#include <config.h>

#include "tests/model/verbs.h"

#include <string.h>

#include "common/mem.h"

/* ---- tokens ---- */

static bool
make_token(struct ctx *x, struct todo *t)
{
    static const enum api_role roles[] = {ROLE_READER, ROLE_MEMBER,
                                          ROLE_BILLING};
    static const char *const scopes[] = {"instances:read", "instances:write",
                                         "operations:read", "tenants:write"};
    struct cloud *c = x->c;

    if (t->project < 0 || c->n_actors + C_GROUP >= C_ACTORS)
        return false;
    t->loose = x->grouped; /* its user may lose the role at the same time */
    t->number = (int)roles[cloud_pick(c, ARRAY_SIZE(roles))];
    t->scope =
        cloud_chance(c, 3) ? scopes[cloud_pick(c, ARRAY_SIZE(scopes))] : NULL;
    snprintf(t->name, sizeof(t->name), "secret-t%lld", (long long)++c->n_names);
    verb_ask(t, "POST", "/v1/tokens");
    verb_say(t, "{\"name\":\"%s\",\"role\":\"%s\"", t->name,
             api_role_names[t->number]);
    if (t->scope)
        verb_say(t, ",\"scopes\":[\"%s\"]", t->scope);
    verb_say(t, "}");
    return true;
}

static void
done_token(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;
    struct api_token a = {0};

    verb_decode(x, t, &table_token, &a);
    if (!a.token || a.role != t->number ||
        a.scopes.n != (size_t)(t->scope != NULL) ||
        !streq(a.project, c->project[t->project]))
        cloud_fail(x, "another token: %s", buf_str(&t->call->body));
    struct actor *n = &c->actors[c->n_actors++];
    *n = (struct actor){.project = t->project,
                        .role = (enum api_role)a.role,
                        .scope = t->scope,
                        .maker =
                            t->actor->user ? t->actor->user : t->actor->maker,
                        .extra = true};
    const struct muser *maker = n->maker ? &c->users[n->maker - 1] : NULL;
    if (maker ? !streq(a.user_id, maker->id) : a.user_id != NULL)
        cloud_fail(x, "another user's token: %s", buf_str(&t->call->body));
    snprintf(n->text, sizeof(n->text), "%s", a.token);
    snprintf(n->id, sizeof(n->id), "%s", a.id);
    snprintf(n->name, sizeof(n->name), "%s", a.name);
    codec_clear(&table_token, &a);
}

static bool
make_revoke(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;
    struct actor *a = &c->actors[cloud_pick(c, (int)c->n_actors)];

    if (!a->extra)
        return false;
    t->token = a;
    t->foreign = !verb_sees(t, a->project);
    verb_ask(t, "DELETE", "/v1/tokens/%s", a->id);
    return true;
}

static void
done_revoke(struct ctx *x, struct todo *t)
{
    t->token->revoked = true;
    t->token->unsure = false;
}

/* Tokens end with what the user behind them may. */
static void
end_tokens(struct cloud *c, const struct muser *u)
{
    for (size_t i = 0; i < c->n_actors; i++) {
        struct actor *a = &c->actors[i];

        if (a->maker && &c->users[a->maker - 1] == u &&
            (u->gone || u->disabled ||
             !api_role_covers(u->roles[a->project], a->role)))
            a->revoked = true;
    }
}

/* ---- users ---- */

static bool
sees_user(const struct todo *t, const struct muser *u)
{
    return t->project == SEES_ALL ||
           (t->project >= 0 &&
            (u->home == t->project || u->roles[t->project] != ROLE_NONE));
}

static struct muser *
pick_user(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;

    if (!c->n_users)
        return NULL;
    struct muser *u = &c->users[cloud_pick(c, (int)c->n_users)];
    if (u->unsure)
        return NULL;
    t->user = u;
    t->loose = x->grouped;
    return u;
}

static bool
make_user(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;
    static const enum api_role roles[] = {ROLE_READER, ROLE_MEMBER, ROLE_ADMIN,
                                          ROLE_BILLING};

    /* Its password is hashed before it comes to the writer: too late for a
     * group. */
    if (x->grouped || c->n_users == C_USERS || t->project == SEES_NONE)
        return false;
    int home = t->project == SEES_ALL ? cloud_pick(c, C_PROJECTS) : t->project;
    t->number = (int)roles[cloud_pick(c, ARRAY_SIZE(roles))];
    snprintf(t->name, sizeof(t->name), "secret-u%lld", (long long)++c->n_names);
    verb_ask(t, "POST", "/v1/users");
    verb_say(t,
             "{\"name\":\"%s\",\"password\":\"the word of %s\","
             "\"role\":\"%s\",\"project\":\"%s\"}",
             t->name, t->name, api_role_names[t->number], c->project[home]);
    return true;
}

static void
done_user(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;
    struct api_user a = {0};

    verb_decode(x, t, &table_user, &a);
    const struct api_membership *m = a.memberships.items;
    if (a.memberships.n != 1 || m->role != t->number ||
        !streq(a.name, t->name) || a.password)
        cloud_fail(x, "another user: %s", buf_str(&t->call->body));
    struct muser *u = &c->users[c->n_users++];
    *u = (struct muser){.home = -1};
    for (int p = 0; p < C_PROJECTS; p++)
        if (streq(m->project_id, c->project[p]))
            u->home = p;
    if (u->home < 0 || (t->project >= 0 && t->project != u->home))
        cloud_fail(x, "a user of %s", m->project_id);
    u->roles[u->home] = (enum api_role)m->role;
    snprintf(u->id, sizeof(u->id), "%s", a.id);
    snprintf(u->name, sizeof(u->name), "%s", a.name);
    snprintf(u->password, sizeof(u->password), "the word of %s", a.name);
    codec_clear(&table_user, &a);
}

static bool
make_user_show(struct ctx *x, struct todo *t)
{
    struct muser *u = pick_user(x, t);

    if (!u)
        return false;
    t->foreign = !sees_user(t, u);
    verb_ask(t, "GET", "/v1/users/%s", cloud_chance(x->c, 2) ? u->id : u->name);
    return true;
}

static void
done_user_show(struct ctx *x, struct todo *t)
{
    struct muser *u = t->user;
    struct api_user a = {0};

    verb_decode(x, t, &table_user, &a);
    if (u->gone || !streq(a.id, u->id) || a.disabled != u->disabled)
        cloud_fail(x, "shows another user: %s", buf_str(&t->call->body));
    codec_clear(&table_user, &a);
}

static bool
make_users(struct ctx *x, struct todo *t)
{
    verb_ask(t, "GET", "/v1/users?limit=%d",
             cloud_chance(x->c, 2) ? 1 + cloud_pick(x->c, 3) : 1000);
    return true;
}

static void
done_users(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;
    struct buf all _cleanup_(buf_release) = {0};

    reply_pages(x, t, t->path, &all);
    for (size_t i = 0; i < c->n_users; i++) {
        const struct muser *u = &c->users[i];
        bool there = strstr(buf_str(&all), u->id);

        if (!u->unsure && there != (sees_user(t, u) && !u->gone))
            cloud_fail(x, "the user %s is %slisted", u->name,
                       there ? "" : "not ");
    }
}

/* The admins of its home change a user; others who see it may not know that
 * they could. */
static bool
may_change(const struct todo *t, const struct muser *u)
{
    return t->project == SEES_ALL || t->project == u->home;
}

static bool
make_user_change(struct ctx *x, struct todo *t)
{
    struct muser *u = pick_user(x, t);
    int what = cloud_pick(x->c, x->grouped ? 3 : 4);

    if (!u)
        return false;
    t->number = what;
    t->foreign = !may_change(t, u);
    verb_ask(t, what == 0 ? "DELETE" : "PATCH", "/v1/users/%s", u->id);
    if (what == 3) {
        snprintf(t->name, sizeof(t->name), "a new word %lld",
                 (long long)++x->c->n_names);
        verb_say(t, "{\"password\":\"%s\"}", t->name);
    } else if (what) {
        verb_say(t, "{\"disabled\":%s}", what == 1 ? "true" : "false");
    }
    return true;
}

static void
done_user_change(struct ctx *x, struct todo *t)
{
    struct muser *u = t->user;

    if (u->gone)
        cloud_fail(x, "a deleted user was changed");
    if (t->actor->user && verb_user(x->c, t->actor) == u && t->number < 2)
        cloud_fail(x, "%s locked itself out", u->name);
    u->gone = t->number == 0;
    if (t->number == 1 || t->number == 2)
        u->disabled = t->number == 1;
    if (t->number == 3)
        snprintf(u->password, sizeof(u->password), "%s", t->name);
    if (t->number != 2)
        verb_end_sessions(x->c, u, NULL);
    for (int p = 0; u->gone && p < C_PROJECTS; p++)
        u->roles[p] = ROLE_NONE;
    end_tokens(x->c, u);
}

/* ---- what users may do where ---- */

static bool
make_member(struct ctx *x, struct todo *t)
{
    static const enum api_role roles[] = {ROLE_NONE, ROLE_READER, ROLE_MEMBER,
                                          ROLE_ADMIN, ROLE_BILLING};
    struct cloud *c = x->c;
    struct muser *u = pick_user(x, t);
    int p = cloud_pick(c, C_PROJECTS);

    if (!u)
        return false;
    if (t->project >= 0 && !cloud_chance(c, 6))
        p = t->project;
    enum api_role role = roles[cloud_pick(c, ARRAY_SIZE(roles))];
    t->number = p;
    t->given = role;
    t->foreign = !verb_sees(t, p) || !sees_user(t, u);
    verb_ask(t, role == ROLE_NONE ? "DELETE" : "PUT",
             "/v1/projects/%s/members/%s", c->project[p], u->id);
    if (role == ROLE_NONE)
        t->bad = !t->foreign && u->roles[p] == ROLE_NONE;
    else
        verb_say(t, "{\"role\":\"%s\"}", api_role_names[role]);
    return true;
}

static void
done_member(struct ctx *x, struct todo *t)
{
    if (t->user->gone)
        cloud_fail(x, "a deleted user became a member");
    t->user->roles[t->number] = t->given;
    end_tokens(x->c, t->user);
}

static bool
make_members(struct ctx *x, struct todo *t)
{
    int p = cloud_pick(x->c, C_PROJECTS);

    t->number = p;
    t->foreign = !verb_sees(t, p);
    verb_ask(t, "GET", "/v1/projects/%s/members?limit=%d", x->c->project[p],
             cloud_chance(x->c, 2) ? 1 + cloud_pick(x->c, 3) : 1000);
    return true;
}

static void
done_members(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;
    struct buf all _cleanup_(buf_release) = {0};

    reply_pages(x, t, t->path, &all);
    for (size_t i = 0; i < c->n_users; i++) {
        const struct muser *u = &c->users[i];
        enum api_role role = u->roles[t->number];
        char want[200];

        snprintf(want, sizeof(want),
                 "\"user_id\":\"%s\",\"user\":\"%s\",\"role\":\"%s\"", u->id,
                 u->name, api_role_names[role]);
        const char *found =
            strstr(buf_str(&all), role == ROLE_NONE ? u->id : want);
        if (!u->unsure && !found != (role == ROLE_NONE))
            cloud_fail(x, "%s is %s there: %s", u->name, api_role_names[role],
                       buf_str(&all));
    }
}

/* ---- sessions ---- */

/* One that is new, or that of a session which is over. */
static struct actor *
actor_for_session(struct cloud *c)
{
    if (c->n_actors + C_GROUP < C_ACTORS)
        return &c->actors[c->n_actors++];
    for (size_t i = 0; i < c->n_actors; i++) {
        if (!c->actors[i].user || !c->actors[i].revoked)
            continue;
        for (size_t k = 0; k < C_MEMOS; k++)
            if (c->memos[k].actor == (int)i)
                c->memos[k].used = false;
        return &c->actors[i];
    }
    return NULL;
}

static bool
make_login(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;
    struct muser *u = x->grouped ? NULL : pick_user(x, t);
    bool wrong = cloud_chance(c, 6);

    if (!u)
        return false;
    t->number = cloud_chance(c, 2) ? cloud_pick(c, C_PROJECTS) : -1;
    verb_ask(t, "POST", "/v1/login");
    verb_say(t, "{\"user\":\"%s\",\"password\":\"%s%s\"", u->name, u->password,
             wrong ? "?" : "");
    if (t->number >= 0)
        verb_say(t, ",\"project\":\"%s\"", c->project[t->number]);
    verb_say(t, "}");
    t->bad = wrong || u->gone || u->disabled;
    if (!t->bad && t->number >= 0 && u->roles[t->number] == ROLE_NONE) {
        t->bad = true;
        t->pointer = "/project";
    }
    return true;
}

static void
done_login(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;
    struct muser *u = t->user;
    struct actor *a = actor_for_session(c);
    struct api_session s = {0};
    int project = SEES_NONE;
    bool member = false;

    verb_decode(x, t, &table_session, &s);
    for (int p = 0; p < C_PROJECTS; p++) {
        if (s.project_id && streq(s.project_id, c->project[p]))
            project = p;
        member |= u->roles[p] != ROLE_NONE;
    }
    if (!streq(s.user_id, u->id) || !s.token ||
        (t->number >= 0 && project != t->number) ||
        (project < 0 ? member || s.role != ROLE_NONE
                     : s.role != (int)u->roles[project]))
        cloud_fail(x, "another session: %s", buf_str(&t->call->body));
    if (t->number < 0 && u->roles[u->home] != ROLE_NONE && project != u->home)
        cloud_fail(x, "not at home: %s", buf_str(&t->call->body));
    if (a) {
        *a =
            (struct actor){.project = project, .user = 1 + (int)(u - c->users)};
        snprintf(a->text, sizeof(a->text), "%s", s.token);
        snprintf(a->id, sizeof(a->id), "%s", s.id);
        snprintf(a->name, sizeof(a->name), "%s", u->name);
    }
    codec_clear(&table_session, &s);
}

static bool
make_logout(struct ctx *x, struct todo *t)
{
    t->token = t->actor;
    verb_ask(t, "POST", "/v1/logout");
    return true;
}

static bool
make_move(struct ctx *x, struct todo *t)
{
    struct muser *u = verb_user(x->c, t->actor);

    t->number = cloud_pick(x->c, C_PROJECTS);
    t->token = t->actor;
    t->loose = x->grouped;
    verb_ask(t, "PATCH", "/v1/session");
    verb_say(t, "{\"project\":\"%s\"}", x->c->project[t->number]);
    if (u->roles[t->number] == ROLE_NONE) {
        t->bad = true;
        t->pointer = "/project";
    }
    return true;
}

static void
done_move(struct ctx *x, struct todo *t)
{
    struct api_session s = {0};

    verb_decode(x, t, &table_session, &s);
    if (!streq(s.project_id, x->c->project[t->number]) ||
        (!t->loose &&
         s.role != (int)verb_user(x->c, t->actor)->roles[t->number]))
        cloud_fail(x, "moved to %s", buf_str(&t->call->body));
    t->actor->project = t->number;
    codec_clear(&table_session, &s);
}

static bool
make_sessions(struct ctx *x, struct todo *t)
{
    verb_ask(t, "GET", "/v1/sessions?limit=%d",
             cloud_chance(x->c, 2) ? 1 + cloud_pick(x->c, 3) : 1000);
    return true;
}

static void
done_sessions(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;
    struct buf all _cleanup_(buf_release) = {0};

    reply_pages(x, t, t->path, &all);
    for (size_t i = 0; i < c->n_actors; i++) {
        const struct actor *a = &c->actors[i];
        bool there = a->id[0] && strstr(buf_str(&all), a->id);

        if (!a->unsure && there != (a->user == t->actor->user && !a->revoked))
            cloud_fail(x, "a session of %s is %slisted", a->name,
                       there ? "" : "not ");
    }
}

static bool
make_session_end(struct ctx *x, struct todo *t)
{
    struct actor *a = &x->c->actors[cloud_pick(x->c, (int)x->c->n_actors)];

    if (!a->user || a->unsure)
        return false;
    t->token = a;
    t->foreign = a->user != t->actor->user;
    verb_ask(t, "DELETE", "/v1/sessions/%s", a->id);
    return true;
}

static bool
make_password(struct ctx *x, struct todo *t)
{
    struct muser *u = verb_user(x->c, t->actor);
    bool wrong = cloud_chance(x->c, 4);

    if (x->grouped)
        return false;
    t->user = u;
    snprintf(t->name, sizeof(t->name), "a new word %lld",
             (long long)++x->c->n_names);
    verb_ask(t, "POST", "/v1/password");
    verb_say(t, "{\"old_password\":\"%s%s\",\"new_password\":\"%s\"}",
             u->password, wrong ? "?" : "", t->name);
    t->bad = wrong;
    return true;
}

static void
done_password(struct ctx *x, struct todo *t)
{
    snprintf(t->user->password, sizeof(t->user->password), "%s", t->name);
    verb_end_sessions(x->c, t->user, t->actor);
}

const struct verb verbs_access[] = {
    VERB("token", 2, make_token, done_token, ROLE_ADMIN,
         "name_taken quota_exceeded "),
    VERB("revoke", 2, make_revoke, done_revoke, ROLE_ADMIN, ""),
    VERB("user", 2, make_user, done_user, ROLE_ADMIN, ""),
    VERB("user-show", 1, make_user_show, done_user_show, ROLE_ADMIN, ""),
    VERB("users", 1, make_users, done_users, ROLE_ADMIN, ""),
    VERB("user-change", 1, make_user_change, done_user_change, ROLE_ADMIN,
         "self_lockout "),
    VERB("member", 3, make_member, done_member, ROLE_ADMIN, ""),
    VERB("members", 1, make_members, done_members, ROLE_READER, ""),
    VERB("login", 4, make_login, done_login, ROLE_NONE, "too_many_attempts ",
         .who = WHO_NOBODY),
    VERB("logout", 1, make_logout, done_revoke, ROLE_NONE, "",
         .who = WHO_SESSION, .billing = true),
    VERB("move", 2, make_move, done_move, ROLE_NONE, "", .who = WHO_SESSION,
         .billing = true),
    VERB("sessions", 1, make_sessions, done_sessions, ROLE_NONE, "",
         .who = WHO_SESSION, .billing = true),
    VERB("session-end", 1, make_session_end, done_revoke, ROLE_NONE, "",
         .who = WHO_SESSION, .billing = true),
    VERB("password", 1, make_password, done_password, ROLE_NONE,
         "too_many_attempts ", .who = WHO_SESSION, .billing = true),
    {0},
};
