/* tenants.c - tenants and operators ask, one by one and together, repeat
 * themselves, and come again after the controller's death.
 *
 * Attacks: invariant 1 (what was acknowledged is held against later replies,
 * and a repeated Idempotency-Key gives the same reply), 8 (a refusal leaves no
 * row behind). */
#include <config.h>

#include "tests/model/verbs.h"

#include <string.h>

#include "common/mem.h"

static const struct verb *const tables[] = {verbs_create, verbs_life,
                                            verbs_access, verbs_read};

const char *const cloud_flavors[C_FLAVORS] = {"small", "large", "thick"};

/* ---- sending ---- */

struct rig_call *
tenants_call(const struct todo *t, const char *key)
{
    struct rig_call *call = rig_call(t->method, t->path);
    char text[TOKEN_TEXT_SIZE + 8];

    snprintf(text, sizeof(text), "Bearer %s", t->actor->text);
    if (t->verb->who != WHO_NOBODY)
        rig_header(call, "Authorization", text);
    if (t->body[0]) {
        rig_header(call, "Content-Type", "application/json");
        rig_body(call, t->body, strlen(t->body));
    }
    if (key[0])
        rig_header(call, "Idempotency-Key", key);
    if (t->if_match[0])
        rig_header(call, "If-Match", t->if_match);
    return call;
}

/* Half of the runs ask for everything, the others much of some and nothing of
 * the rest, so that what is rare meets itself (Groce et al., "Swarm Testing",
 * 2012). */
static int
weight(const struct cloud *c, const struct verb *v)
{
    uint64_t h = c->seed * UINT64_C(0x9e3779b97f4a7c15);

    if (c->seed % 2 == 0)
        return v->weight;
    for (const char *p = v->name; *p; p++)
        h = (h ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
    h ^= h >> 29;
    return streq(v->name, "create") ? v->weight
           : h % 4 == 0             ? 0
                                    : v->weight * (h % 4 == 1 ? 5 : 1);
}

static const struct verb *
pick_verb(struct cloud *c)
{
    int total = 0, w;

    for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
        for (const struct verb *v = tables[i]; v->name; v++)
            total += weight(c, v);
    w = cloud_pick(c, total);
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
        for (const struct verb *v = tables[i]; v->name; v++) {
            w -= weight(c, v);
            if (w < 0)
                return v;
        }
    abort();
}

/* Whether the user behind a token may still, nobody heard. */
static bool
maker_unsure(const struct cloud *c, const struct actor *a)
{
    return a->maker && c->users[a->maker - 1].unsure;
}

/* Mostly somebody who may. */
static struct actor *
pick_actor(struct cloud *c, const struct verb *v)
{
    bool any = cloud_chance(c, 6);

    for (int tries = 0; tries < 40; tries++) {
        struct actor *a = &c->actors[cloud_pick(c, (int)c->n_actors)];
        const struct muser *u = verb_user(c, a);
        enum api_role role = verb_role(c, a);

        if (a->unsure || (u && u->unsure) || maker_unsure(c, a) ||
            (v->who == WHO_SESSION && !u))
            continue;
        if (any || (!a->revoked &&
                    (role == ROLE_BILLING ? v->billing : role >= v->role)))
            return a;
    }
    return v->who == WHO_SESSION ? NULL : &c->actors[0];
}

static bool
prepare(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;

    *t = (struct todo){.verb = pick_verb(c)};
    t->actor = pick_actor(c, t->verb);
    if (!t->actor)
        return false;
    t->need = t->verb->role;
    t->billing = t->verb->billing;
    t->role = ROLE_NONE;
    t->project = SEES_NONE;
    if (t->verb->who != WHO_NOBODY) {
        t->revoked = t->actor->revoked;
        t->role = verb_role(c, t->actor);
        t->project = verb_project(c, t->actor);
    }
    if (!t->verb->make(x, t))
        return false;
    if (streq(t->method, "POST") && t->verb->who != WHO_NOBODY &&
        cloud_chance(c, 2))
        snprintf(t->key, sizeof(t->key), "key-%lld", (long long)++c->n_keys);
    t->call = tenants_call(t, t->key);
    return true;
}

static void
remember(struct ctx *x, const struct todo *t)
{
    struct cloud *c = x->c;
    struct memo *m = &c->memos[cloud_pick(c, C_MEMOS)];

    /* A dry run is no write; and of what holds a password a sum without it is
     * kept, which a space more does not change. */
    if (!t->key[0] || strstr(t->path, "dry_run") ||
        strstr(t->body, "password") || t->call->body.len >= sizeof(m->reply) ||
        t->call->status >= 300)
        return;
    *m = (struct memo){.used = true,
                       .actor = (int)(t->actor - c->actors),
                       .project = t->project,
                       .role = t->role,
                       .status = t->call->status};
    memcpy(m->key, t->key, sizeof(m->key));
    snprintf(m->path, sizeof(m->path), "%s", t->path);
    snprintf(m->body, sizeof(m->body), "%s", t->body);
    snprintf(m->reply, sizeof(m->reply), "%s", buf_str(&t->call->body));
}

/* A client that never heard, or forgot, asks again. */
static void
repeat(struct ctx *x)
{
    struct cloud *c = x->c;
    struct memo *m = &c->memos[cloud_pick(c, C_MEMOS)];
    static const struct verb again = {.name = "again"};

    struct actor *a = &c->actors[m->actor];
    const struct muser *u = verb_user(c, a);

    /* As somebody else, or without the right, one gets no reply again. */
    if (!m->used || a->revoked || a->unsure || (u && u->unsure) ||
        maker_unsure(c, a) || verb_role(c, a) != m->role ||
        verb_project(c, a) != m->project)
        return;
    struct todo t = {.verb = &again, .actor = a, .project = m->project};
    bool other = cloud_chance(c, 6);
    snprintf(t.method, sizeof(t.method), "POST");
    snprintf(t.path, sizeof(t.path), "%s", m->path);
    verb_say(&t, "%s%s", m->body, other ? " " : "");
    bool empty = strlen(t.body) == 1;
    bool secret = streq(m->path, "/v1/tokens");
    t.call = tenants_call(&t, m->key);
    rig_send(&x->rig, t.call);
    rig_settle(&x->rig);
    cloud_trace(x, "again %s%s -> %d", m->path, other ? ", changed" : "",
                t.call->status);
    int expect = other ? 422 : secret ? 409 : m->status;
    if (!t.call->done || (t.call->status != expect && !(other && empty) &&
                          !(x->faults && t.call->status >= 500)))
        cloud_fail(x, "%s again under its key: %d %s", m->path, t.call->status,
                   buf_str(&t.call->body));
    if (expect == m->status && t.call->status == expect &&
        !streq(buf_str(&t.call->body), m->reply))
        cloud_fail(x, "another reply under the same key: %s and %s", m->reply,
                   buf_str(&t.call->body));
    c->replays++;
    rig_call_free(t.call);
}

static void
finish(struct ctx *x, struct todo *t)
{
    reply_took(x, t);
    remember(x, t);
    rig_call_free(t->call);
    t->call = NULL;
}

static void
one(struct ctx *x)
{
    struct cloud *c = x->c;
    struct todo *t = c->flying;
    bool look = cloud_chance(c, 4);

    if (!prepare(x, t))
        return;
    uint64_t before = look ? check_digest(x) : 0;
    c->n_flying = 1;
    rig_send(&x->rig, t->call);
    rig_settle(&x->rig);
    c->n_flying = 0;
    if (look && t->call->done && t->call->status >= 400 &&
        check_digest(x) != before)
        cloud_fail(x, "%s %s was refused (%d) and changed rows", t->method,
                   t->path, t->call->status);
    finish(x, t);
}

/* What the writer finds together: one commit for all. */
static void
group(struct ctx *x)
{
    struct cloud *c = x->c;
    struct todo *t = c->flying;
    size_t n = 0;

    x->grouped = true;
    for (int want = 2 + cloud_pick(c, C_GROUP - 1); want > 0; want--)
        n += prepare(x, &t[n]);
    x->grouped = false;
    cloud_trace(x, "a group of %zu", n);
    rig_hold(&x->rig);
    c->n_flying = n;
    for (size_t i = 0; i < n; i++) {
        rig_send(&x->rig, t[i].call);
        if (t[i].call->done) /* reads, refusals: they saw what was before */
            finish(x, &t[i]);
    }
    rig_release(&x->rig);
    rig_settle(&x->rig);
    c->n_flying = 0;
    for (size_t i = 0; i < n; i++)
        if (t[i].call)
            finish(x, &t[i]);
}

void
tenants_step(struct ctx *x)
{
    switch (cloud_pick(x->c, 8)) {
    case 0:
        repeat(x);
        break;
    case 1:
        group(x);
        break;
    default:
        one(x);
    }
}

/* ---- after a controller's death ---- */

/* A client that has no key to ask with again can only look. */
static void
forget(struct todo *t)
{
    if (streq(t->method, "GET") || t->bad || t->foreign)
        return;
    if (t->token)
        t->token->unsure = true;
    if (t->keypair)
        t->keypair->unsure = true;
    if (t->user)
        t->user->unsure = true;
    if (!t->inst)
        return;
    t->inst->wish = WISH_UNKNOWN;
    t->inst->restart_policy = t->inst->label = -1;
}

static bool
ends_itself(const struct todo *t)
{
    return t->token && t->token == t->actor &&
           (streq(t->verb->name, "logout") || streq(t->verb->name, "revoke"));
}

void
tenants_reopened(struct ctx *x)
{
    struct cloud *c = x->c;
    size_t n = c->n_flying;

    c->n_flying = 0;
    for (size_t i = 0; i < n; i++) {
        struct todo *t = &c->flying[i];

        if (!t->call || !t->key[0])
            continue;
        forget(t); /* of the others under way some may have been done */
        t->repeated = true;
        t->call = tenants_call(t, t->key);
        cloud_trace(x, "its client comes again:");
        rig_send(&x->rig, t->call);
        rig_settle(&x->rig);
        /* Done before, and its secret is gone with the reply. */
        if (strstr(buf_str(&t->call->body), "secret_not_repeated")) {
            cloud_trace(x, "it was done, and its secret is lost");
            rig_call_free(t->call);
        } else if (ends_itself(t) && t->call->status == 401) {
            cloud_trace(x, "it was done, and ended what it came with");
            t->token->revoked = true;
            t->token->unsure = false;
            rig_call_free(t->call);
            t->call = NULL;
        } else {
            finish(x, t);
        }
    }
    for (size_t i = 0; i < n; i++)
        if (c->flying[i].call)
            forget(&c->flying[i]);
}
