/* reply.c - what every reply is held to, whatever was asked.
 *
 * Attacks: invariant 5 (no reply shows anything of another tenant; a foreign
 * object is as absent as none), 8 (a refusal names the field). */
#include <config.h>

#include "tests/model/verbs.h"

#include <string.h>

#include "common/mem.h"

/* What a user's own sessions tell of where else the user may act, or could
 * when they began. */
static bool
knows_project(struct cloud *c, const struct todo *t, int p)
{
    const struct muser *u =
        t->verb->who == WHO_NOBODY ? t->user : verb_user(c, t->actor);

    return p == t->project || (u && (u->roles[p] != ROLE_NONE || t->loose ||
                                     strncmp(t->path, "/v1/session", 11) == 0));
}

static bool
knows_user(struct cloud *c, const struct todo *t, const struct muser *u)
{
    return verb_user(c, t->actor) == u || t->user == u || u->unsure ||
           (t->project >= 0 &&
            (u->home == t->project || u->roles[t->project] != ROLE_NONE));
}

static void
check_leak(struct ctx *x, const struct todo *t)
{
    struct cloud *c = x->c;
    const char *body = buf_str(&t->call->body);
    const char *asked = t->body;

#define LEAK(what)                                                             \
    do {                                                                       \
        if (strstr(body, what) && !strstr(t->path, what) &&                    \
            !strstr(asked, what))                                              \
            cloud_fail(x, "%s of another tenant in the reply to %s: %s", what, \
                       t->path, body);                                         \
    } while (0)
    if (t->project == SEES_ALL || strncmp(t->path, "/v1/audit", 9) == 0)
        return;
    for (int p = 0; p < C_PROJECTS; p++)
        if (!knows_project(c, t, p))
            LEAK(c->project[p]);
    for (size_t i = 0; i < c->n_insts; i++) {
        const struct minst *m = &c->insts[i];

        if (m->project == t->project)
            continue;
        LEAK(m->id);
        LEAK(m->operation);
        if (strncmp(m->name, "secret-", 7) == 0)
            LEAK(m->name);
    }
    for (int k = 0; k < C_NODES; k++)
        LEAK(c->nodes[k].id);
    /* A project keeps the events of users who have left it since. */
    if (strncmp(t->path, "/v1/events", 10) == 0)
        return;
    for (size_t i = 0; i < c->n_actors; i++) {
        const struct actor *a = &c->actors[i];

        if (a->id[0] &&
            (a->user ? a->user != t->actor->user : a->project != t->project))
            LEAK(a->id);
    }
    for (size_t i = 0; i < c->n_users; i++)
        if (!knows_user(c, t, &c->users[i]))
            LEAK(c->users[i].id);
#undef LEAK
}

/* ---- refusals ---- */

/* It is no more, or may be no more. */
static bool
is_gone(const struct todo *t)
{
    return (t->inst && (t->inst->gone || t->inst->wish == WISH_DELETE ||
                        t->inst->wish == WISH_UNKNOWN)) ||
           (t->keypair && (t->keypair->gone || t->keypair->unsure)) ||
           (t->token && (t->token->revoked || t->token->unsure)) ||
           (t->user && (t->user->gone || t->user->unsure));
}

static void
check_named(struct ctx *x, const struct todo *t, const struct api_problem *p)
{
    const struct api_problem_field *f = p->errors.items;
    bool named = false;

    for (size_t i = 0; i < p->errors.n; i++)
        named |= streq(f[i].pointer, t->pointer);
    if (!named)
        cloud_fail(x, "%s is not named: %s", t->pointer,
                   buf_str(&t->call->body));
}

/* The caller exists, and the storage works. */
static void
check_reason(struct ctx *x, const struct todo *t, const struct api_problem *p)
{
    int status = t->call->status;
    char word[64];

    if (status >= 500 && status != 503 && status != 507)
        cloud_fail(x, "%s %s: %s", t->method, t->path, buf_str(&t->call->body));
    if (!verb_allowed(t)) {
        if (status != 403)
            cloud_fail(x, "%s may not %s and got %d", t->actor->name,
                       t->verb->name, status);
        return;
    }
    if (t->loose)
        return;
    if (t->foreign) {
        if (status != 404)
            cloud_fail(x, "a foreign object got %d: %s", status,
                       buf_str(&t->call->body));
        return;
    }
    if (t->bad) {
        if (t->pointer)
            check_named(x, t, p);
        return;
    }
    snprintf(word, sizeof(word), "%.60s ", p->code);
    if (!(status == 404 && is_gone(t)) && !strstr(t->verb->refusals, word))
        cloud_fail(x, "%s %s was refused: %s", t->method, t->path,
                   buf_str(&t->call->body));
}

static void
check_problem(struct ctx *x, struct todo *t)
{
    struct api_problem p = {0};
    int status = t->call->status;
    char *id = rig_reply_header(t->call, "X-Request-Id");

    verb_decode(x, t, &table_problem, &p);
    if (!p.code || !p.detail || p.status != status || !id ||
        !streq(id, p.request_id))
        cloud_fail(x, "no proper problem: %s", buf_str(&t->call->body));
    free(id);
    if (t->revoked && status != 401)
        cloud_fail(x, "a revoked token got %d", status);
    if (!t->revoked && !x->faults)
        check_reason(x, t, &p);
    codec_clear(&table_problem, &p);
}

static void
check_logs(struct ctx *x, const struct todo *t)
{
    char *id _cleanup_(freep) = rig_reply_header(t->call, "X-Request-Id");
    char *again _cleanup_(freep) =
        rig_reply_header(t->call, "Idempotency-Replayed");
    bool wrote =
        !streq(t->method, "GET") && !strstr(t->path, "dry_run") && !again;

    /* To ask a node again, or more firmly, may change no state; check.c knows
     * of all that do. */
    bool silent = strncmp(t->path, "/v1/instances/", 14) == 0 ||
                  strncmp(t->path, "/v1/operations/", 15) == 0;

    /* A password that is the new one already is no change. */
    if (t->repeated && streq(t->path, "/v1/password"))
        return;
    check_told(x, id, t->call->status, wrote, silent);
}

void
reply_took(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;
    int status = t->call->status;

    c->calls++;
    cloud_trace(x, "%s as %s: %s %s %s -> %d %.70s", t->verb->name,
                t->actor->name, t->method, t->path, t->body, status,
                status >= 400 ? strstr(buf_str(&t->call->body), "\"detail\"")
                              : buf_str(&t->call->body));
    if (!t->call->done)
        cloud_fail(x, "%s %s has no end", t->method, t->path);
    check_leak(x, t);
    if (status >= 400) {
        c->refused++;
        c->storage_errors += x->faults && (status == 500 || status == 507);
        check_problem(x, t);
        return;
    }
    if (t->revoked || !verb_allowed(t) || (!t->loose && (t->foreign || t->bad)))
        cloud_fail(x, "%s %s should have been refused: %d %s", t->method,
                   t->path, status, buf_str(&t->call->body));
    check_logs(x, t);
    t->verb->done(x, t);
}

/* ---- lists ---- */

static bool
next_page(const struct buf *page, char *token, size_t size)
{
    static const char name[] = "\"next_page_token\":\"";
    const char *p = strstr(buf_str(page), name);

    if (p)
        snprintf(token, size, "%.*s", (int)strcspn(p + strlen(name), "\""),
                 p + strlen(name));
    return p;
}

void
reply_pages(struct ctx *x, struct todo *t, const char *path, struct buf *out)
{
    struct rig_call *first = t->call;
    char token[100];

    buf_add(out, first->body.data, first->body.len);
    for (int n = 0; next_page(&t->call->body, token, sizeof(token)); n++) {
        struct todo more = *t;

        if (n == 1000)
            cloud_fail(x, "%s has no last page", path);
        if (t->call != first)
            rig_call_free(t->call);
        snprintf(more.path, sizeof(more.path), "%s&page_token=%s", path, token);
        more.body[0] = '\0';
        t->call = tenants_call(&more, "");
        rig_send(&x->rig, t->call);
        if (!t->call->done || t->call->status != 200)
            cloud_fail(x, "%s: %d %s", more.path, t->call->status,
                       buf_str(&t->call->body));
        check_leak(x, t);
        buf_add(out, t->call->body.data, t->call->body.len);
    }
    if (t->call != first)
        rig_call_free(t->call);
    t->call = first;
}
