/* tenants.c - what tenants and operators ask of the cloud, at random: every
 * verb is a row of verbs[].
 *
 * Attacks: invariant 1 (what was acknowledged is held against later replies,
 * and a repeated Idempotency-Key gives the same reply), 5 (no reply shows
 * anything of another tenant; a foreign object is as absent as none), 8 (a
 * refusal names the field and leaves no row behind). */
#include <config.h>

#include "tests/model/cloud.h"

#include <string.h>

#include "common/clock.h"
#include "common/mem.h"

#define NOBODY "00000000-0000-7000-8000-000000000000"

struct todo;
struct verb {
    const char *name;
    int weight;
    /* Fills method, path and body; false: there is nothing to do it to. */
    bool (*make)(struct ctx *x, struct todo *t);
    /* A reply of success came. */
    void (*done)(struct ctx *x, struct todo *t);
    enum api_role role;   /* least */
    const char *refusals; /* the codes with which it may be refused */
};

struct todo {
    const struct verb *verb;
    struct actor *actor;
    struct minst *inst; /* what it is about, if that is an instance */
    struct mkeypair *keypair;
    struct actor *token;
    bool foreign; /* and of another tenant */
    bool revoked; /* the token was, when the call was sent */
    bool bad;     /* must be refused: 400 and up, field named if `pointer` */
    const char *pointer;
    int number;
    char method[8], path[300], name[64], key[40];
    struct buf body;
    struct rig_call *call;
};

#define MAKE_GROUP 6

const char *const cloud_flavors[C_FLAVORS] = {"small", "large", "thick"};

/* ---- picking ---- */

struct minst *
tenants_find(struct cloud *c, const char *id)
{
    for (size_t i = 0; i < c->n_insts; i++)
        if (streq(c->insts[i].id, id))
            return &c->insts[i];
    return NULL;
}

static bool
may_see(const struct actor *a, int project)
{
    return a->project < 0 || a->project == project;
}

static struct minst *
pick_inst(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;
    bool foreign = t->actor->project >= 0 && cloud_chance(c, 12);

    for (int tries = 0; c->n_insts && tries < 12; tries++) {
        struct minst *m = &c->insts[cloud_pick(c, (int)c->n_insts)];

        if (may_see(t->actor, m->project) == foreign ||
            (m->gone && !cloud_chance(c, 6)))
            continue;
        t->inst = m;
        t->foreign = foreign;
        return m;
    }
    return NULL;
}

/* By id, or by name where that says the same. */
static bool
path_inst(struct ctx *x, struct todo *t, const char *method, const char *tail)
{
    struct minst *m = pick_inst(x, t);

    if (!m)
        return false;
    bool by_name = t->actor->project >= 0 && !t->foreign && !m->gone &&
                   cloud_chance(x->c, 4);
    snprintf(t->method, sizeof(t->method), "%s", method);
    snprintf(t->path, sizeof(t->path), "/v1/instances/%s%s",
             by_name ? m->name : m->id, tail);
    return true;
}

static void
new_name(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;

    if (cloud_chance(c, 2))
        snprintf(t->name, sizeof(t->name), "web-%d", cloud_pick(c, 8));
    else
        snprintf(t->name, sizeof(t->name), "secret-%d-%lld",
                 t->actor->project + 1, (long long)++c->n_names);
}

static void
ask(struct todo *t, const char *method, const char *path)
{
    snprintf(t->method, sizeof(t->method), "%s", method);
    snprintf(t->path, sizeof(t->path), "%s", path);
}

/* ---- instances ---- */

static bool
make_create(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;

    if (c->n_insts + MAKE_GROUP >= C_INSTS || t->actor->project < 0)
        return false;
    new_name(x, t);
    t->number = cloud_pick(c, 3);
    ask(t, "POST", "/v1/instances");
    buf_addf(&t->body,
             "{\"name\":\"%s\",\"image\":\"%s\",\"flavor\":\"%s\","
             "\"restart_policy\":\"%s\"}",
             t->name, "public", cloud_flavors[cloud_pick(c, C_FLAVORS)],
             api_restart_names[t->number]);
    return true;
}

static void
add_inst(struct ctx *x, struct todo *t, const struct api_instance *a)
{
    struct cloud *c = x->c;

    if (tenants_find(c, a->id))
        return; /* a repetition */
    struct minst *m = &c->insts[c->n_insts++];
    *m = (struct minst){.project = t->actor->project,
                        .restart_policy = a->restart_policy,
                        .label = -1,
                        .created_us = a->created_at};
    snprintf(m->id, sizeof(m->id), "%s", a->id);
    snprintf(m->name, sizeof(m->name), "%s", a->name);
    snprintf(m->operation, sizeof(m->operation), "%s", a->operation_id);
    if (!streq(a->project_id, c->project[t->actor->project]))
        cloud_fail(x, "made in another project: %s", a->project_id);
}

static void
decode(struct ctx *x, struct todo *t, const struct codec_table *table,
       void *out)
{
    struct err e = {0};

    if (codec_decode(table, CODEC_REPLY, buf_str(&t->call->body),
                     t->call->body.len, out, &e) < 0)
        cloud_fail(x, "%s: %s in %s", t->path, e.message,
                   buf_str(&t->call->body));
}

static void
done_create(struct ctx *x, struct todo *t)
{
    struct api_instance a = {0};

    decode(x, t, &table_instance, &a);
    if (!streq(a.name, t->name) || a.state != INSTANCE_CREATING || a.node_id ||
        a.restart_policy != t->number)
        cloud_fail(x, "created something else: %s", buf_str(&t->call->body));
    add_inst(x, t, &a);
    codec_clear(&table_instance, &a);
}

static bool
make_show(struct ctx *x, struct todo *t)
{
    return path_inst(x, t, "GET", "");
}

static void
done_show(struct ctx *x, struct todo *t)
{
    struct api_instance a = {0};
    struct minst *m = t->inst;

    decode(x, t, &table_instance, &a);
    if (!streq(a.id, m->id) || !streq(a.name, m->name) ||
        (m->restart_policy >= 0 && a.restart_policy != m->restart_policy))
        cloud_fail(x, "shows something else: %s", buf_str(&t->call->body));
    if (m->gone)
        cloud_fail(x, "%s is shown after its deletion", m->id);
    if (m->wish == WISH_DELETE && a.state != INSTANCE_DELETING)
        cloud_fail(x, "a delete was acknowledged, the state is %s",
                   api_instance_state_names[a.state]);
    codec_clear(&table_instance, &a);
}

static bool
make_list(struct ctx *x, struct todo *t)
{
    ask(t, "GET", "/v1/instances?limit=1000");
    return true;
}

static void
done_list(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;

    for (size_t i = 0; i < c->n_insts; i++) {
        const struct minst *m = &c->insts[i];

        if (!may_see(t->actor, m->project) || m->wish == WISH_DELETE)
            continue;
        if (!strstr(buf_str(&t->call->body), m->id))
            cloud_fail(x, "%s was acknowledged and is not listed", m->id);
    }
}

static void
new_operation(struct ctx *x, struct todo *t)
{
    struct api_operation o = {0};

    decode(x, t, &table_operation, &o);
    if (!streq(o.resource_id, t->inst->id))
        cloud_fail(x, "operation of something else: %s",
                   buf_str(&t->call->body));
    snprintf(t->inst->operation, ID_SIZE, "%s", o.id);
    codec_clear(&table_operation, &o);
}

static bool
make_start(struct ctx *x, struct todo *t)
{
    return path_inst(x, t, "POST", "/start");
}

static bool
make_reboot(struct ctx *x, struct todo *t)
{
    return path_inst(x, t, "POST", "/reboot");
}

static void
done_start(struct ctx *x, struct todo *t)
{
    new_operation(x, t);
    t->inst->wish = WISH_NONE;
}

static bool
make_stop(struct ctx *x, struct todo *t)
{
    if (cloud_chance(x->c, 3))
        buf_adds(&t->body, "{\"force\":true}");
    return path_inst(x, t, "POST", "/stop");
}

static void
done_stop(struct ctx *x, struct todo *t)
{
    new_operation(x, t);
    t->inst->wish = WISH_STOP;
}

static bool
make_delete(struct ctx *x, struct todo *t)
{
    return path_inst(x, t, "DELETE", "");
}

static void
done_delete(struct ctx *x, struct todo *t)
{
    new_operation(x, t);
    t->inst->wish = WISH_DELETE;
}

static bool
make_policy(struct ctx *x, struct todo *t)
{
    t->number = cloud_pick(x->c, 3);
    buf_addf(&t->body, "{\"restart_policy\":\"%s\"}",
             api_restart_names[t->number]);
    return path_inst(x, t, "PATCH", "");
}

static void
done_policy(struct ctx *x, struct todo *t)
{
    t->inst->restart_policy = t->number;
}

/* ---- operations, usage ---- */

static bool
make_operation(struct ctx *x, struct todo *t)
{
    struct minst *m = pick_inst(x, t);

    if (!m)
        return false;
    ask(t, "GET", "/v1/operations/");
    memcpy(t->path + strlen(t->path), m->operation, ID_SIZE);
    return true;
}

static void
done_operation(struct ctx *x, struct todo *t)
{
    if (!strstr(buf_str(&t->call->body), t->inst->id))
        cloud_fail(x, "another operation: %s", buf_str(&t->call->body));
}

static bool
make_read(struct ctx *x, struct todo *t)
{
    static const char *const paths[] = {
        "/v1/operations?limit=50",
        "/v1/usage",
        "/v1/images",
        "/v1/flavors",
        "/v1/projects",
        "/v1/whoami",
    };

    ask(t, "GET", paths[cloud_pick(x->c, ARRAY_SIZE(paths))]);
    return true;
}

static void
done_nothing(struct ctx *x, struct todo *t)
{
}

/* ---- tokens ---- */

static bool
make_token(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;

    if (t->actor->project < 0 || c->n_actors + MAKE_GROUP >= C_ACTORS)
        return false;
    t->number = ROLE_READER + cloud_pick(c, 2);
    snprintf(t->name, sizeof(t->name), "secret-t%lld", (long long)++c->n_names);
    ask(t, "POST", "/v1/tokens");
    buf_addf(&t->body, "{\"name\":\"%s\",\"role\":\"%s\"}", t->name,
             api_role_names[t->number]);
    return true;
}

static void
done_token(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;
    struct api_token a = {0};

    decode(x, t, &table_token, &a);
    if (!a.token || a.role != t->number ||
        !streq(a.project, c->project[t->actor->project]))
        cloud_fail(x, "another token: %s", buf_str(&t->call->body));
    struct actor *n = &c->actors[c->n_actors++];
    *n = (struct actor){.project = t->actor->project,
                        .role = (enum api_role)a.role,
                        .extra = true};
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
    t->foreign = !may_see(t->actor, a->project);
    snprintf(t->path, sizeof(t->path), "/v1/tokens/%s", a->id);
    snprintf(t->method, sizeof(t->method), "DELETE");
    return true;
}

static void
done_revoke(struct ctx *x, struct todo *t)
{
    t->token->revoked = true;
}

/* ---- what must be refused ---- */

static bool
make_bad(struct ctx *x, struct todo *t)
{
    static const struct {
        const char *body, *pointer;
    } bad[] = {
        {"{\"image\":\"public\",\"flavor\":\"small\"}", "/name"},
        {"{\"name\":\"-\",\"image\":\"public\",\"flavor\":\"small\"}", "/name"},
        {"{\"name\":\"a\",\"image\":\"public\",\"flavor\":\"huge\"}",
         "/flavor"},
        {"{\"name\":\"a\",\"image\":\"none\",\"flavor\":\"small\"}", "/image"},
        {"{\"name\":\"a\",\"image\":\"public\",\"flavor\":\"small\","
         "\"speed\":1}",
         "/speed"},
        {"{\"name\":\"a\",\"image\":\"public\",\"flavor\":\"small\","
         "\"restart_policy\":\"often\"}",
         "/restart_policy"},
        {"{\"name\":7,\"image\":\"public\",\"flavor\":\"small\"}", "/name"},
        {"{\"name\":\"a\",", NULL},
        {"[]", NULL},
    };
    int k = cloud_pick(x->c, ARRAY_SIZE(bad));

    ask(t, "POST", "/v1/instances");
    buf_adds(&t->body, bad[k].body);
    t->pointer = bad[k].pointer;
    t->bad = true;
    return true;
}

/* ---- operators ---- */

static bool
make_cordon(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;

    snprintf(t->method, sizeof(t->method), "POST");
    snprintf(t->path, sizeof(t->path), "/v1/nodes/%s/%s",
             c->nodes[cloud_pick(c, C_NODES)].id,
             cloud_chance(c, 4) ? "cordon" : "uncordon");
    return true;
}

static bool
make_nodes(struct ctx *x, struct todo *t)
{
    ask(t, "GET", "/v1/nodes");
    return true;
}

#define FULL "no_capacity nodes_settling "
static const struct verb verbs[] = {
    {"create", 16, make_create, done_create, ROLE_MEMBER,
     FULL "name_taken quota_exceeded "},
    {"show", 8, make_show, done_show, ROLE_READER, ""},
    {"list", 3, make_list, done_list, ROLE_READER, ""},
    {"start", 8, make_start, done_start, ROLE_MEMBER, "wrong_state locked "},
    {"stop", 8, make_stop, done_stop, ROLE_MEMBER, "wrong_state locked "},
    {"reboot", 5, make_reboot, done_start, ROLE_MEMBER, "wrong_state locked "},
    {"delete", 5, make_delete, done_delete, ROLE_MEMBER,
     "wrong_state locked delete_protected "},
    {"policy", 4, make_policy, done_policy, ROLE_MEMBER, "wrong_state locked "},
    {"operation", 5, make_operation, done_operation, ROLE_READER, ""},
    {"read", 4, make_read, done_nothing, ROLE_READER, ""},
    {"token", 2, make_token, done_token, ROLE_ADMIN,
     "name_taken quota_exceeded "},
    {"revoke", 2, make_revoke, done_revoke, ROLE_ADMIN, ""},
    {"bad", 4, make_bad, done_nothing, ROLE_MEMBER, ""},
    {"cordon", 1, make_cordon, done_nothing, ROLE_OPERATOR, ""},
    {"nodes", 1, make_nodes, done_nothing, ROLE_OPERATOR, ""},
};

/* ---- what every reply is held to ---- */

static void
check_leak(struct ctx *x, const struct todo *t)
{
    struct cloud *c = x->c;
    const char *body = buf_str(&t->call->body);
    const char *asked = buf_str(&t->body);

#define LEAK(what)                                                             \
    do {                                                                       \
        if (strstr(body, what) && !strstr(t->path, what) &&                    \
            !strstr(asked, what))                                              \
            cloud_fail(x, "%s of another tenant in the reply to %s: %s", what, \
                       t->path, body);                                         \
    } while (0)
    if (t->actor->project < 0)
        return;
    for (int p = 0; p < C_PROJECTS; p++)
        if (p != t->actor->project)
            LEAK(c->project[p]);
    for (size_t i = 0; i < c->n_insts; i++) {
        const struct minst *m = &c->insts[i];

        if (m->project == t->actor->project)
            continue;
        LEAK(m->id);
        LEAK(m->operation);
        if (strncmp(m->name, "secret-", 7) == 0)
            LEAK(m->name);
    }
    for (size_t i = 0; i < c->n_actors; i++)
        if (c->actors[i].project != t->actor->project && c->actors[i].id[0])
            LEAK(c->actors[i].id);
    for (int k = 0; k < C_NODES; k++)
        LEAK(c->nodes[k].id);
#undef LEAK
}

static void
check_problem(struct ctx *x, struct todo *t)
{
    struct api_problem p = {0};
    int status = t->call->status;
    char *id = rig_reply_header(t->call, "X-Request-Id");

    decode(x, t, &table_problem, &p);
    if (!p.code || !p.detail || p.status != status || !id ||
        !streq(id, p.request_id))
        cloud_fail(x, "no proper problem: %s", buf_str(&t->call->body));
    free(id);
    if (status >= 500 && status != 503 && status != 507 && !x->faults)
        cloud_fail(x, "%s %s: %s", t->method, t->path, buf_str(&t->call->body));
    if (t->revoked && status != 401)
        cloud_fail(x, "a revoked token got %d", status);
    bool allowed = t->actor->project < 0 || t->actor->role >= t->verb->role;
    if (!t->revoked && !allowed && status != 403)
        cloud_fail(x, "%s may not %s and got %d", t->actor->name, t->verb->name,
                   status);
    if (allowed && !t->revoked && t->foreign && status != 404 && !x->faults)
        cloud_fail(x, "a foreign object got %d: %s", status,
                   buf_str(&t->call->body));
    if (allowed && t->bad && !t->revoked && t->pointer) {
        const struct api_problem_field *f = p.errors.items;
        bool named = false;

        for (size_t i = 0; i < p.errors.n; i++)
            named |= streq(f[i].pointer, t->pointer);
        if (!named && !x->faults)
            cloud_fail(x, "%s is not named: %s", t->pointer,
                       buf_str(&t->call->body));
    }
    bool plain = allowed && !t->foreign && !t->bad && !t->revoked && !x->faults;
    bool gone = status == 404 &&
                ((t->inst && (t->inst->gone || t->inst->wish == WISH_DELETE)) ||
                 (t->token && t->token->revoked));
    char word[64];
    snprintf(word, sizeof(word), "%.60s ", p.code);
    if (plain && !gone && !strstr(t->verb->refusals, word))
        cloud_fail(x, "%s %s was refused: %s", t->method, t->path,
                   buf_str(&t->call->body));
    codec_clear(&table_problem, &p);
}

static void
took(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;
    int status = t->call->status;

    c->calls++;
    cloud_trace(x, "%s as %s: %s %s %s -> %d %.70s", t->verb->name,
                t->actor->name, t->method, t->path, buf_str(&t->body), status,
                status >= 400 ? strstr(buf_str(&t->call->body), "\"detail\"")
                              : buf_str(&t->call->body));
    if (!t->call->done)
        cloud_fail(x, "%s %s has no end", t->method, t->path);
    check_leak(x, t);
    if (status >= 400) {
        c->refused++;
        check_problem(x, t);
        return;
    }
    if (t->revoked || t->foreign || t->bad ||
        (t->actor->project >= 0 && t->actor->role < t->verb->role))
        cloud_fail(x, "%s %s should have been refused: %d %s", t->method,
                   t->path, status, buf_str(&t->call->body));
    t->verb->done(x, t);
}

/* ---- sending ---- */

static struct rig_call *
call_of(const struct todo *t, const char *key)
{
    struct rig_call *call = rig_call(t->method, t->path);
    char text[TOKEN_TEXT_SIZE + 8];

    snprintf(text, sizeof(text), "Bearer %s", t->actor->text);
    rig_header(call, "Authorization", text);
    if (t->body.len) {
        rig_header(call, "Content-Type", "application/json");
        rig_body(call, t->body.data, t->body.len);
    }
    if (key[0])
        rig_header(call, "Idempotency-Key", key);
    return call;
}

static bool
prepare(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;
    int total = 0;

    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        total += verbs[i].weight;
    *t = (struct todo){0};
    int w = cloud_pick(c, total);
    for (t->verb = verbs; w >= t->verb->weight; t->verb++)
        w -= t->verb->weight;
    /* Mostly somebody who may. */
    bool any = cloud_chance(c, 6);
    for (int tries = 0; tries < 20; tries++) {
        t->actor = &c->actors[cloud_pick(c, (int)c->n_actors)];
        if (any || (t->actor->role >= t->verb->role && !t->actor->revoked))
            break;
    }
    t->revoked = t->actor->revoked;
    if (!t->verb->make(x, t)) {
        buf_release(&t->body);
        return false;
    }
    if (streq(t->method, "POST") && cloud_chance(c, 2))
        snprintf(t->key, sizeof(t->key), "key-%lld", (long long)++c->n_keys);
    t->call = call_of(t, t->key);
    return true;
}

static void
remember(struct ctx *x, const struct todo *t)
{
    struct cloud *c = x->c;
    struct memo *m = &c->memos[cloud_pick(c, C_MEMOS)];

    if (!t->key[0] || t->body.len >= sizeof(m->body) ||
        t->call->body.len >= sizeof(m->reply) || t->call->status >= 300)
        return;
    *m = (struct memo){.used = true,
                       .actor = (int)(t->actor - c->actors),
                       .status = t->call->status};
    memcpy(m->key, t->key, sizeof(m->key));
    snprintf(m->path, sizeof(m->path), "%s", t->path);
    snprintf(m->body, sizeof(m->body), "%s", buf_str(&t->body));
    snprintf(m->reply, sizeof(m->reply), "%s", buf_str(&t->call->body));
}

/* A client that never heard, or forgot, asks again. */
static void
repeat(struct ctx *x)
{
    struct cloud *c = x->c;
    struct memo *m = &c->memos[cloud_pick(c, C_MEMOS)];
    static const struct verb again = {.name = "again"};

    if (!m->used || c->actors[m->actor].revoked)
        return;
    struct todo t = {.verb = &again, .actor = &c->actors[m->actor]};
    bool other = cloud_chance(c, 6);
    snprintf(t.method, sizeof(t.method), "POST");
    snprintf(t.path, sizeof(t.path), "%s", m->path);
    buf_adds(&t.body, m->body);
    if (other)
        buf_adds(&t.body, " ");
    bool empty = t.body.len == 1;
    bool secret = streq(m->path, "/v1/tokens");
    t.call = call_of(&t, m->key);
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
    buf_release(&t.body);
}

static void
finish(struct ctx *x, struct todo *t)
{
    took(x, t);
    remember(x, t);
    rig_call_free(t->call);
    buf_release(&t->body);
}

static void
one(struct ctx *x)
{
    struct todo t;
    bool look = cloud_chance(x->c, 4);

    if (!prepare(x, &t))
        return;
    uint64_t before = look ? check_digest(x) : 0;
    rig_send(&x->rig, t.call);
    rig_settle(&x->rig);
    if (look && t.call->done && t.call->status >= 400 &&
        check_digest(x) != before)
        cloud_fail(x, "%s %s was refused (%d) and changed rows", t.method,
                   t.path, t.call->status);
    finish(x, &t);
}

/* What the writer finds together: one commit for all. */
static void
group(struct ctx *x)
{
    struct todo t[MAKE_GROUP];
    int n = 0, want = 2 + cloud_pick(x->c, MAKE_GROUP - 1);

    while (want-- > 0)
        n += prepare(x, &t[n]);
    cloud_trace(x, "a group of %d", n);
    rig_hold(&x->rig);
    for (int i = 0; i < n; i++) {
        rig_send(&x->rig, t[i].call);
        if (t[i].call->done) { /* reads, refusals: they saw what was before */
            finish(x, &t[i]);
            t[i].call = NULL;
        }
    }
    rig_release(&x->rig);
    rig_settle(&x->rig);
    for (int i = 0; i < n; i++)
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
