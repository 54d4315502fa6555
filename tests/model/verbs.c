/* verbs.c - what the verbs share: whom or what to pick, what to say. */
#include <config.h>

#include "tests/model/verbs.h"

#include <stdarg.h>
#include <string.h>

#include "common/mem.h"

struct minst *
tenants_find(struct cloud *c, const char *id)
{
    for (size_t i = 0; i < c->n_insts; i++)
        if (streq(c->insts[i].id, id))
            return &c->insts[i];
    return NULL;
}

bool
verb_sees(const struct todo *t, int project)
{
    return t->project == SEES_ALL || t->project == project;
}

struct muser *
verb_user(struct cloud *c, const struct actor *a)
{
    return a->user ? &c->users[a->user - 1] : NULL;
}

enum api_role
verb_role(struct cloud *c, const struct actor *a)
{
    const struct muser *u = verb_user(c, a);

    if (!u)
        return a->role;
    return a->project >= 0 ? u->roles[a->project] : ROLE_NONE;
}

int
verb_project(struct cloud *c, const struct actor *a)
{
    return verb_user(c, a) && verb_role(c, a) == ROLE_NONE ? SEES_NONE
                                                           : a->project;
}

void
verb_end_sessions(struct cloud *c, const struct muser *u,
                  const struct actor *but)
{
    for (size_t i = 0; i < c->n_actors; i++)
        if (&c->actors[i] != but && verb_user(c, &c->actors[i]) == u)
            c->actors[i].revoked = true;
}

/* The group of a path in the API's reference, which a scope names. */
static const char *
group_of(const char *path)
{
    static const struct {
        const char *path, *tag;
    } groups[] = {
        {"/v1/instance", "instances"},    {"/v1/keypairs", "instances"},
        {"/v1/operations", "operations"}, {"/v1/images", "images"},
        {"/v1/flavors", "flavors"},       {"/v1/usage", "usage"},
        {"/v1/nodes", "nodes"},           {"/v1/events", "events"},
        {"/v1/audit", "audit"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
        if (strncmp(path, groups[i].path, strlen(groups[i].path)) == 0)
            return groups[i].tag;
    return "tenants";
}

static bool
in_scope(const struct todo *t)
{
    const char *tag = group_of(t->path), *scope = t->actor->scope;
    size_t n = strlen(tag);

    if (!scope || t->verb->who == WHO_NOBODY || streq(t->path, "/v1/whoami"))
        return true;
    return strncmp(scope, tag, n) == 0 && scope[n] == ':' &&
           (streq(t->method, "GET") || streq(scope + n, ":write"));
}

bool
verb_allowed(const struct todo *t)
{
    return in_scope(t) &&
           (t->role == ROLE_BILLING ? t->billing : t->role >= t->need);
}

struct minst *
verb_pick_inst(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;
    bool foreign = t->project != SEES_ALL && cloud_chance(c, 12);

    for (int tries = 0; c->n_insts && tries < 12; tries++) {
        struct minst *m = &c->insts[cloud_pick(c, (int)c->n_insts)];

        if (verb_sees(t, m->project) == foreign ||
            (m->gone && !cloud_chance(c, 6)))
            continue;
        t->inst = m;
        t->foreign = foreign;
        return m;
    }
    return NULL;
}

bool
verb_path_inst(struct ctx *x, struct todo *t, const char *method,
               const char *tail)
{
    struct minst *m = verb_pick_inst(x, t);

    if (!m)
        return false;
    /* In a group another call may rename it first. */
    bool by_name = !x->grouped && t->project >= 0 && !t->foreign && !m->gone &&
                   cloud_chance(x->c, 4);
    verb_ask(t, method, "/v1/instances/%s%s", by_name ? m->name : m->id, tail);
    return true;
}

void
verb_name(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;

    if (cloud_chance(c, 2))
        snprintf(t->name, sizeof(t->name), "web-%d", cloud_pick(c, 8));
    else
        snprintf(t->name, sizeof(t->name), "secret-%d-%lld", t->project + 1,
                 (long long)++c->n_names);
}

void
verb_ask(struct todo *t, const char *method, const char *path, ...)
{
    va_list ap;

    snprintf(t->method, sizeof(t->method), "%s", method);
    va_start(ap, path);
    vsnprintf(t->path, sizeof(t->path), path, ap);
    va_end(ap);
}

void
verb_say(struct todo *t, const char *fmt, ...)
{
    size_t n = strlen(t->body);
    va_list ap;

    va_start(ap, fmt);
    int more = vsnprintf(t->body + n, sizeof(t->body) - n, fmt, ap);
    va_end(ap);
    if (more < 0 || (size_t)more >= sizeof(t->body) - n)
        abort(); /* a bug in the test */
}

void
verb_decode(struct ctx *x, const struct todo *t,
            const struct codec_table *table, void *out)
{
    struct err e = {0};

    if (codec_decode(table, CODEC_REPLY, buf_str(&t->call->body),
                     t->call->body.len, out, &e) < 0)
        cloud_fail(x, "%s: %s in %s", t->path, e.message,
                   buf_str(&t->call->body));
}

void
verb_done_nothing(struct ctx *x, struct todo *t)
{
}
