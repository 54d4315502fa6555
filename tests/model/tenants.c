/* tenants.c - what tenants and operators ask of the cloud, at random: every
 * verb is a row of verbs[].
 *
 * Attacks: invariant 1 (what was acknowledged is held against later replies,
 * and a repeated Idempotency-Key gives the same reply), 5 (no reply shows
 * anything of another tenant; a foreign object is as absent as none), 8 (a
 * refusal names the field and leaves no row behind). */
#include <config.h>

#include "tests/model/cloud.h"

#include <stdarg.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"

#define NOBODY "00000000-0000-7000-8000-000000000000"

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
    /* In a group another call may rename it first. */
    bool by_name = !x->grouped && t->actor->project >= 0 && !t->foreign &&
                   !m->gone && cloud_chance(x->c, 4);
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

/* Appends to the body. */
static void _printf_(2, 3) say(struct todo *t, const char *fmt, ...)
{
    size_t n = strlen(t->body);
    va_list ap;

    va_start(ap, fmt);
    int more = vsnprintf(t->body + n, sizeof(t->body) - n, fmt, ap);
    va_end(ap);
    if (more < 0 || (size_t)more >= sizeof(t->body) - n)
        abort(); /* a bug in the test */
}

/* ---- instances ---- */

static bool
make_create(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;

    if (c->n_insts + C_GROUP >= C_INSTS || t->actor->project < 0)
        return false;
    new_name(x, t);
    t->number = cloud_pick(c, 3);
    ask(t, "POST", "/v1/instances");
    say(t,
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

/* ---- many at once, keys, quotas ---- */

static bool
make_batch(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;

    /* Each call of a group may make so many. */
    if (c->n_insts + C_GROUP * 4 >= C_INSTS || t->actor->project < 0)
        return false;
    t->number = 1 + cloud_pick(c, 4);
    snprintf(t->name, sizeof(t->name), "lot-%lld", (long long)++c->n_names);
    ask(t, "POST", "/v1/instance-batches");
    say(t,
        "{\"instance\":{\"name\":\"%s\",\"image\":\"public\",\"flavor\":"
        "\"%s\"},\"count\":%d,\"policy\":\"%s\"}",
        t->name, cloud_flavors[cloud_pick(c, C_FLAVORS)], t->number,
        cloud_chance(c, 2) ? "all" : "fit");
    return true;
}

static void add_inst(struct ctx *x, struct todo *t,
                     const struct api_instance *a);
static void decode(struct ctx *x, struct todo *t,
                   const struct codec_table *table, void *out);

static void
done_batch(struct ctx *x, struct todo *t)
{
    struct api_instance_batch b = {0};

    decode(x, t, &table_instance_batch, &b);
    const struct api_instance *a = b.items.items;
    bool all = strstr(t->body, "\"all\"");
    if (b.created != (int64_t)b.items.n || b.created < 1 ||
        b.created > t->number || (all && b.created != t->number))
        cloud_fail(x, "made %lld of %d: %s", (long long)b.created, t->number,
                   buf_str(&t->call->body));
    for (size_t i = 0; i < b.items.n; i++)
        add_inst(x, t, &a[i]);
    codec_clear(&table_instance_batch, &b);
}

static bool
make_dry(struct ctx *x, struct todo *t)
{
    bool batch = cloud_chance(x->c, 2);

    if (!(batch ? make_batch : make_create)(x, t))
        return false;
    ask(t, "POST",
        batch ? "/v1/instance-batches?dry_run=true"
              : "/v1/instances?dry_run=true");
    return true;
}

static bool
make_keypair(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;

    if (c->n_keypairs + C_GROUP >= C_KEYPAIRS || t->actor->project < 0)
        return false;
    snprintf(t->name, sizeof(t->name), "secret-k%lld", (long long)++c->n_names);
    ask(t, "POST", "/v1/keypairs");
    say(t,
        "{\"name\":\"%s\",\"public_key\":\"ssh-ed25519 "
        "AAAAC3NzaC1lZDI1NTE5AAAAIPtT3yGbsNCa1ib9bpGpvaQGrHYd0YvD6xM0L9iqAp+p"
        "\"}",
        t->name);
    return true;
}

static void
done_keypair(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;
    struct api_keypair k = {0};

    decode(x, t, &table_keypair, &k);
    struct mkeypair *m = &c->keypairs[c->n_keypairs++];
    *m = (struct mkeypair){.project = t->actor->project};
    snprintf(m->id, sizeof(m->id), "%s", k.id);
    snprintf(m->name, sizeof(m->name), "%s", k.name);
    codec_clear(&table_keypair, &k);
}

static bool
make_keypair_use(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;

    if (!c->n_keypairs)
        return false;
    t->keypair = &c->keypairs[cloud_pick(c, (int)c->n_keypairs)];
    t->foreign = !may_see(t->actor, t->keypair->project);
    snprintf(t->method, sizeof(t->method), "%s",
             cloud_chance(c, 3) ? "DELETE" : "GET");
    snprintf(t->path, sizeof(t->path), "/v1/keypairs/%s", t->keypair->id);
    return true;
}

static void
done_keypair_use(struct ctx *x, struct todo *t)
{
    if (t->keypair->gone)
        cloud_fail(x, "a deleted keypair is there");
    t->keypair->gone = streq(t->method, "DELETE");
}

static bool
make_quota(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;
    int p = cloud_pick(c, C_PROJECTS);

    t->number = p;
    snprintf(t->method, sizeof(t->method), "PUT");
    snprintf(t->path, sizeof(t->path), "/v1/projects/%s/quota", c->project[p]);
    snprintf(t->if_match, sizeof(t->if_match), "%s",
             cloud_chance(c, 5) ? "\"99\"" : "*");
    t->bad = t->if_match[0] == '"';
    snprintf(t->name, sizeof(t->name), "%d",
             cloud_chance(c, 3) ? -1 : cloud_pick(c, 12));
    say(t,
        "{\"limits\":{\"instances\":%s,\"vcpus\":-1,\"memory_bytes\":-1,"
        "\"disk_bytes\":-1,\"volumes\":0,\"addresses\":0,\"networks\":0,"
        "\"images\":%d,\"tokens\":%d}}",
        t->name, cloud_pick(c, 5), 3 + cloud_pick(c, 10));
    return true;
}

static void
done_quota(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;
    int64_t limit = strtoll(t->name, NULL, 10);
    int64_t have = check_int(x,
                             "SELECT count(*) FROM instances WHERE project_id "
                             "= ?1 AND deleted_at IS NULL",
                             c->project[t->number], NULL);

    c->limit[t->number] = limit < 0 ? INT64_MAX : limit;
    c->ceiling[t->number] = MAX(c->limit[t->number], have);
}

static bool
make_quota_show(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;
    int p = cloud_pick(c, C_PROJECTS);

    t->foreign = !may_see(t->actor, p);
    snprintf(t->method, sizeof(t->method), "GET");
    snprintf(t->path, sizeof(t->path), "/v1/projects/%s/quota", c->project[p]);
    return true;
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
    const struct codec_label *l = a.labels.items;
    char tier[20];
    snprintf(tier, sizeof(tier), "n%d", m->label);
    if (m->label >= 0 && (a.labels.n != 1 || !streq(l[0].value, tier)))
        cloud_fail(x, "the label was %s, shown is %s", tier,
                   buf_str(&t->call->body));
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

        if (!may_see(t->actor, m->project) || m->wish == WISH_DELETE ||
            m->wish == WISH_UNKNOWN)
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
        say(t, "%s", "{\"force\":true}");
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
    say(t, "{\"restart_policy\":\"%s\"}", api_restart_names[t->number]);
    return path_inst(x, t, "PATCH", "");
}

static void
done_policy(struct ctx *x, struct todo *t)
{
    t->inst->restart_policy = t->number;
}

static bool
make_pause(struct ctx *x, struct todo *t)
{
    return path_inst(x, t, "POST",
                     cloud_chance(x->c, 2) ? "/pause" : "/resume");
}

static bool
make_rebuild(struct ctx *x, struct todo *t)
{
    say(t, "{\"image\":\"public\"}");
    return path_inst(x, t, "POST", "/rebuild");
}

static bool
make_resize(struct ctx *x, struct todo *t)
{
    say(t, "{\"flavor\":\"%s\"}", cloud_flavors[cloud_pick(x->c, C_FLAVORS)]);
    return path_inst(x, t, "POST", "/resize");
}

/* One that is stopped stays so. */
static void
done_resize(struct ctx *x, struct todo *t)
{
    new_operation(x, t);
    t->inst->resized = true;
    if (t->inst->wish != WISH_STOP)
        t->inst->wish = WISH_NONE;
}

static bool
make_rename(struct ctx *x, struct todo *t)
{
    new_name(x, t);
    if (!path_inst(x, t, "PATCH", ""))
        return false;
    /* An operator's new name must not tell of another project. */
    snprintf(t->name, sizeof(t->name), "web-%d", cloud_pick(x->c, 8));
    say(t, "{\"name\":\"%s\"}", t->name);
    return true;
}

static void
done_rename(struct ctx *x, struct todo *t)
{
    snprintf(t->inst->name, sizeof(t->inst->name), "%s", t->name);
}

static bool
make_lock(struct ctx *x, struct todo *t)
{
    t->number = cloud_chance(x->c, 3);
    say(t, "{\"%s\":%s}",
        cloud_chance(x->c, 2) ? "locked" : "delete_protection",
        t->number ? "true" : "false");
    return path_inst(x, t, "PATCH", "");
}

static bool
make_label(struct ctx *x, struct todo *t)
{
    t->number = cloud_pick(x->c, 1000);
    say(t, "{\"labels\":{\"tier\":\"n%d\"}}", t->number);
    return path_inst(x, t, "PATCH", "");
}

static void
done_label(struct ctx *x, struct todo *t)
{
    /* Not served yet: the reply shows none. */
    t->inst->label =
        strstr(buf_str(&t->call->body), "\"tier\"") ? t->number : -1;
}

/* ---- taking back ---- */

static bool
path_operation(struct ctx *x, struct todo *t, const char *tail)
{
    struct minst *m = pick_inst(x, t);

    if (!m)
        return false;
    snprintf(t->method, sizeof(t->method), "POST");
    snprintf(t->path, sizeof(t->path), "/v1/operations/%s/%s", m->operation,
             tail);
    return true;
}

static bool
make_cancel(struct ctx *x, struct todo *t)
{
    return path_operation(x, t, "cancel");
}

static bool
make_retry(struct ctx *x, struct todo *t)
{
    return path_operation(x, t, cloud_chance(x->c, 2) ? "retry" : "undo");
}

/* What it was before it is again: the model does not know which. */
static void
done_back(struct ctx *x, struct todo *t)
{
    new_operation(x, t);
    if (t->inst->wish != WISH_DELETE)
        t->inst->wish = WISH_UNKNOWN;
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

    if (t->actor->project < 0 || c->n_actors + C_GROUP >= C_ACTORS)
        return false;
    t->number = ROLE_READER + cloud_pick(c, 2);
    snprintf(t->name, sizeof(t->name), "secret-t%lld", (long long)++c->n_names);
    ask(t, "POST", "/v1/tokens");
    say(t, "{\"name\":\"%s\",\"role\":\"%s\"}", t->name,
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
    t->token->unsure = false;
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
    say(t, "%s", bad[k].body);
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
    {"batch", 4, make_batch, done_batch, ROLE_MEMBER,
     FULL "name_taken quota_exceeded "},
    {"dry", 2, make_dry, done_nothing, ROLE_MEMBER, FULL "name_taken "},
    {"keypair", 2, make_keypair, done_keypair, ROLE_MEMBER,
     "name_taken quota_exceeded "},
    {"key", 2, make_keypair_use, done_keypair_use, ROLE_READER, ""},
    {"quota", 2, make_quota, done_quota, ROLE_OPERATOR, ""},
    {"limits", 2, make_quota_show, done_nothing, ROLE_READER, ""},
    {"pause", 7, make_pause, done_start, ROLE_MEMBER, "wrong_state locked "},
    {"rebuild", 3, make_rebuild, done_start, ROLE_MEMBER,
     "wrong_state locked delete_protected "},
    {"resize", 4, make_resize, done_resize, ROLE_MEMBER,
     FULL "wrong_state locked same_flavor quota_exceeded invalid "},
    {"rename", 2, make_rename, done_rename, ROLE_MEMBER,
     "name_taken locked wrong_state "},
    {"lock", 2, make_lock, done_nothing, ROLE_MEMBER,
     "locked forbidden wrong_state "},
    {"label", 2, make_label, done_label, ROLE_MEMBER, "locked wrong_state "},
    {"cancel", 4, make_cancel, done_back, ROLE_MEMBER,
     "not_cancellable wrong_state locked delete_protected instance_deleted "},
    {"retry", 3, make_retry, done_back, ROLE_OPERATOR,
     "not_retryable not_undoable wrong_state locked delete_protected "
     "instance_deleted " FULL},
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
    const char *asked = t->body;

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
    if (streq(t->verb->name, "key") && streq(t->method, "DELETE"))
        allowed = t->actor->project < 0 || t->actor->role >= ROLE_MEMBER;
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
                ((t->inst && (t->inst->gone || t->inst->wish == WISH_DELETE ||
                              t->inst->wish == WISH_UNKNOWN)) ||
                 (t->keypair && (t->keypair->gone || t->keypair->unsure)) ||
                 (t->token && (t->token->revoked || t->token->unsure)));
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
        if (t->actor->unsure)
            t->actor = &c->actors[0];
        else if (any || (t->actor->role >= t->verb->role && !t->actor->revoked))
            break;
    }
    t->revoked = t->actor->revoked;
    if (!t->verb->make(x, t))
        return false;
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

    if (!t->key[0] || t->verb->make == make_dry ||
        t->call->body.len >= sizeof(m->reply) || t->call->status >= 300)
        return;
    *m = (struct memo){.used = true,
                       .actor = (int)(t->actor - c->actors),
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

    if (!m->used || c->actors[m->actor].revoked || c->actors[m->actor].unsure)
        return;
    struct todo t = {.verb = &again, .actor = &c->actors[m->actor]};
    bool other = cloud_chance(c, 6);
    snprintf(t.method, sizeof(t.method), "POST");
    snprintf(t.path, sizeof(t.path), "%s", m->path);
    say(&t, "%s%s", m->body, other ? " " : "");
    bool empty = strlen(t.body) == 1;
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
}

static void
finish(struct ctx *x, struct todo *t)
{
    took(x, t);
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
    if (!t->inst)
        return;
    t->inst->wish = WISH_UNKNOWN;
    t->inst->restart_policy = t->inst->label = -1;
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
        t->call = call_of(t, t->key);
        cloud_trace(x, "its client comes again:");
        rig_send(&x->rig, t->call);
        rig_settle(&x->rig);
        /* Done before, and its secret is gone with the reply. */
        if (strstr(buf_str(&t->call->body), "secret_not_repeated")) {
            cloud_trace(x, "it was done, and its secret is lost");
            rig_call_free(t->call);
        } else {
            finish(x, t);
        }
    }
    for (size_t i = 0; i < n; i++)
        if (c->flying[i].call)
            forget(&c->flying[i]);
}
