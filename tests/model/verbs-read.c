/* verbs-read.c - what is only looked at, what must be refused, and what
 * operators do to nodes. */
#include <config.h>

#include "tests/model/verbs.h"

#include <string.h>

#include "common/clock.h"
#include "common/mem.h"

static bool
make_read(struct ctx *x, struct todo *t)
{
    static const struct {
        const char *path;
        enum api_role need;
        bool billing;
    } reads[] = {
        {"/v1/operations?limit=50", ROLE_READER, false},
        {"/v1/usage", ROLE_READER, true},
        {"/v1/images", ROLE_READER, false},
        {"/v1/flavors", ROLE_READER, true},
        {"/v1/projects", ROLE_READER, true},
        {"/v1/tokens", ROLE_ADMIN, false},
        {"/v1/whoami", ROLE_NONE, true},
    };
    int k = cloud_pick(x->c, ARRAY_SIZE(reads));

    t->need = reads[k].need;
    t->billing = reads[k].billing;
    verb_ask(t, "GET", "%s", reads[k].path);
    return true;
}

/* ---- what happened ---- */

static bool
make_events(struct ctx *x, struct todo *t)
{
    int64_t last =
        check_int(x, "SELECT coalesce(max(seq), 0) FROM events", NULL, NULL);

    t->number = cloud_chance(x->c, 3) ? cloud_pick(x->c, (int)last + 1) : 0;
    verb_ask(t, "GET", "/v1/events?since=%d&limit=%d", t->number,
             cloud_chance(x->c, 2) ? 20 + cloud_pick(x->c, 60) : 1000);
    return true;
}

/* Every event that the caller may see, once, in order, and no other; of
 * those that no project has the latest may have come since. */
static void
done_events(struct ctx *x, struct todo *t)
{
    struct buf all _cleanup_(buf_release) = {0};
    struct check_events it = {.after = t->number,
                              .all = t->project == SEES_ALL,
                              .admin = t->role >= ROLE_ADMIN};

    if (t->project >= 0)
        it.project = x->c->project[t->project];
    reply_pages(x, t, t->path, &all);
    const char *p = buf_str(&all);
    while ((p = strstr(p, "{\"seq\":"))) {
        int64_t seq = strtoll(p + 7, NULL, 10);

        if (check_next_event(x, &it) != seq)
            cloud_fail(x, "event %lld is out of place for %s: %s",
                       (long long)seq, t->actor->name, buf_str(&all));
        p++;
    }
    if (!it.all && check_next_event(x, &it))
        cloud_fail(x, "%s does not get the event %lld", t->actor->name,
                   (long long)it.after);
}

static bool
make_audit(struct ctx *x, struct todo *t)
{
    verb_ask(t, "GET", "/v1/audit?limit=%d", 1 + cloud_pick(x->c, 40));
    return true;
}

/* Nobody else's doing. Paths are what the caller's own people have asked
 * for, and may name anything. */
static void
done_audit(struct ctx *x, struct todo *t)
{
    struct codec_list l = {0};
    char *next = NULL;

    if (codec_decode_page(&table_audit, buf_str(&t->call->body),
                          t->call->body.len, &l, &next, NULL) < 0)
        cloud_fail(x, "audit: %s", buf_str(&t->call->body));
    const struct api_audit *a = l.items;
    for (size_t i = 0; i < l.n; i++)
        if (t->project >= 0 &&
            !streq(a[i].project_id, x->c->project[t->project]))
            cloud_fail(x, "another's entry %lld", (long long)a[i].seq);
    codec_list_clear(&table_audit, &l);
    free(next);
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

    verb_ask(t, "POST", "/v1/instances");
    verb_say(t, "%s", bad[k].body);
    t->pointer = bad[k].pointer;
    t->bad = true;
    return true;
}

/* ---- operators ---- */

static bool
make_cordon(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;

    verb_ask(t, "POST", "/v1/nodes/%s/%s", c->nodes[cloud_pick(c, C_NODES)].id,
             cloud_chance(c, 4) ? "cordon" : "uncordon");
    return true;
}

static bool
make_nodes(struct ctx *x, struct todo *t)
{
    verb_ask(t, "GET", "/v1/nodes");
    return true;
}

const struct verb verbs_read[] = {
    VERB("read", 4, make_read, verb_done_nothing, ROLE_READER, ""),
    VERB("events", 2, make_events, done_events, ROLE_READER, ""),
    VERB("audit", 1, make_audit, done_audit, ROLE_ADMIN, ""),
    VERB("bad", 4, make_bad, verb_done_nothing, ROLE_MEMBER, ""),
    VERB("cordon", 1, make_cordon, verb_done_nothing, ROLE_OPERATOR, ""),
    VERB("nodes", 1, make_nodes, verb_done_nothing, ROLE_OPERATOR, ""),
    {0},
};
