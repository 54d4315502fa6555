/* verbs-create.c - what comes into being: instances, one by one, many at once
 * and on trial, keypairs; and the quotas that bound them. */
#include <config.h>

#include "tests/model/verbs.h"

#include <string.h>

#include "common/clock.h"
#include "common/mem.h"

/* ---- instances ---- */

static bool
make_create(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;

    if (c->n_insts + C_GROUP >= C_INSTS || t->project < 0)
        return false;
    verb_name(x, t);
    t->number = cloud_pick(c, 3);
    verb_ask(t, "POST", "/v1/instances");
    verb_say(t,
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
    *m = (struct minst){.project = t->project,
                        .restart_policy = a->restart_policy,
                        .label = -1,
                        .created_us = a->created_at};
    snprintf(m->id, sizeof(m->id), "%s", a->id);
    snprintf(m->name, sizeof(m->name), "%s", a->name);
    snprintf(m->operation, sizeof(m->operation), "%s", a->operation_id);
    if (!streq(a->project_id, c->project[t->project]))
        cloud_fail(x, "made in another project: %s", a->project_id);
}

static void
done_create(struct ctx *x, struct todo *t)
{
    struct api_instance a = {0};

    verb_decode(x, t, &table_instance, &a);
    if (!streq(a.name, t->name) || a.state != INSTANCE_CREATING || a.node_id ||
        a.restart_policy != t->number)
        cloud_fail(x, "created something else: %s", buf_str(&t->call->body));
    add_inst(x, t, &a);
    codec_clear(&table_instance, &a);
}

static bool
make_batch(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;

    /* Each call of a group may make so many. */
    if (c->n_insts + C_GROUP * 4 >= C_INSTS || t->project < 0)
        return false;
    t->number = 1 + cloud_pick(c, 4);
    snprintf(t->name, sizeof(t->name), "lot-%lld", (long long)++c->n_names);
    verb_ask(t, "POST", "/v1/instance-batches");
    verb_say(t,
             "{\"instance\":{\"name\":\"%s\",\"image\":\"public\",\"flavor\":"
             "\"%s\"},\"count\":%d,\"policy\":\"%s\"}",
             t->name, cloud_flavors[cloud_pick(c, C_FLAVORS)], t->number,
             cloud_chance(c, 2) ? "all" : "fit");
    return true;
}

static void
done_batch(struct ctx *x, struct todo *t)
{
    struct api_instance_batch b = {0};

    verb_decode(x, t, &table_instance_batch, &b);
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
    verb_ask(t, "POST", "/v1/%s?dry_run=true",
             batch ? "instance-batches" : "instances");
    return true;
}

/* ---- keypairs ---- */

static bool
make_keypair(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;

    if (c->n_keypairs + C_GROUP >= C_KEYPAIRS || t->project < 0)
        return false;
    snprintf(t->name, sizeof(t->name), "secret-k%lld", (long long)++c->n_names);
    verb_ask(t, "POST", "/v1/keypairs");
    verb_say(
        t,
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

    verb_decode(x, t, &table_keypair, &k);
    struct mkeypair *m = &c->keypairs[c->n_keypairs++];
    *m = (struct mkeypair){.project = t->project};
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
    t->foreign = !verb_sees(t, t->keypair->project);
    t->need = cloud_chance(c, 3) ? ROLE_MEMBER : ROLE_READER;
    verb_ask(t, t->need == ROLE_MEMBER ? "DELETE" : "GET", "/v1/keypairs/%s",
             t->keypair->id);
    return true;
}

static void
done_keypair_use(struct ctx *x, struct todo *t)
{
    if (t->keypair->gone)
        cloud_fail(x, "a deleted keypair is there");
    t->keypair->gone = streq(t->method, "DELETE");
}

/* ---- quotas ---- */

static bool
make_quota(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;
    int p = cloud_pick(c, C_PROJECTS);

    t->number = p;
    verb_ask(t, "PUT", "/v1/projects/%s/quota", c->project[p]);
    snprintf(t->if_match, sizeof(t->if_match), "%s",
             cloud_chance(c, 5) ? "\"99\"" : "*");
    t->bad = t->if_match[0] == '"';
    snprintf(t->name, sizeof(t->name), "%d",
             cloud_chance(c, 3) ? -1 : cloud_pick(c, 12));
    verb_say(t,
             "{\"limits\":{\"instances\":%s,\"vcpus\":-1,\"memory_bytes\":-1,"
             "\"disk_bytes\":-1,\"volumes\":0,\"addresses\":0,\"networks\":0,"
             "\"image_bytes\":-1,"
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

    t->foreign = !verb_sees(t, p);
    verb_ask(t, "GET", "/v1/projects/%s/quota", c->project[p]);
    return true;
}

const struct verb verbs_create[] = {
    VERB("create", 16, make_create, done_create, ROLE_MEMBER,
         VERB_FULL "name_taken quota_exceeded "),
    VERB("batch", 4, make_batch, done_batch, ROLE_MEMBER,
         VERB_FULL "name_taken quota_exceeded "),
    VERB("dry", 2, make_dry, verb_done_nothing, ROLE_MEMBER,
         VERB_FULL "name_taken "),
    VERB("keypair", 2, make_keypair, done_keypair, ROLE_MEMBER,
         "name_taken quota_exceeded "),
    VERB("key", 2, make_keypair_use, done_keypair_use, ROLE_READER, ""),
    VERB("quota", 2, make_quota, done_quota, ROLE_OPERATOR, ""),
    VERB("limits", 2, make_quota_show, verb_done_nothing, ROLE_READER, "",
         .billing = true),
    {0},
};
