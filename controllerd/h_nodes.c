/* h_nodes.c - what operators do with nodes. */
#include <config.h>

#include "controllerd/handlers.h"

#include <stddef.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "controllerd/events.h"
#include "controllerd/ops/ops.h"

static void
node_free(void *p)
{
    store_node_release(p);
    free(p);
}

/* The row becomes c->work, for h_node_changed(). */
static int
get(struct call *c, struct db *db, struct store_node **ret)
{
    struct store_node *n = xnew(struct store_node);
    int r = store_node_get(db, c->m.params[0], n);

    c->work = n;
    c->work_free = node_free;
    if (r == 0)
        r = store_node_instances(db, n->a.id, &n->a.instances);
    if (r == -ENOENT)
        return not_found(c, "node", c->m.params[0]);
    *ret = n;
    return r < 0 ? store_error(c, db, r) : 0;
}

int
h_node_list(struct call *c, struct db *db)
{
    struct codec_list rows = {0}, l = {0};
    char after[ID_SIZE];
    int limit;
    int r = query_page(c, &limit, after);

    if (r < 0)
        return r;
    r = store_node_list(db, after, limit + 1, &rows);
    struct store_node *n = rows.items;
    for (size_t k = 0; k < rows.n; k++) {
        struct api_node *a = codec_list_add(&table_node, &l);

        if (r == 0)
            r = store_node_instances(db, n[k].a.id, &n[k].a.instances);
        *a = n[k].a; /* moved */
        n[k].a = (struct api_node){0};
        nodes_fill(c->ctl, a);
        store_node_release(&n[k]);
    }
    free(rows.items);
    if (r == 0)
        reply_page(c, &table_node, &l, limit, offsetof(struct api_node, id));
    codec_list_clear(&table_node, &l);
    return r < 0 ? store_error(c, db, r) : 0;
}

int
h_node_show(struct call *c, struct db *db)
{
    struct store_node *n;
    int r = get(c, db, &n);

    if (r == 0) {
        nodes_fill(c->ctl, &n->a);
        reply_object(c, &table_node, &n->a);
    }
    return r;
}

static int
set_schedulable(struct call *c, struct db *db, bool schedulable)
{
    struct store_node *n;
    int r = get(c, db, &n);

    if (r == 0)
        r = call_if_match(c, n->a.generation);
    if (r < 0)
        return r;
    n->a.generation += n->a.schedulable != schedulable;
    n->a.schedulable = schedulable;
    r = store_node_update(db, n);
    if (r < 0)
        return store_error(c, db, r);
    nodes_fill(c->ctl, &n->a);
    reply_object(c, &table_node, &n->a);
    return 0;
}

int
h_node_cordon(struct call *c, struct db *db)
{
    return set_schedulable(c, db, false);
}

int
h_node_uncordon(struct call *c, struct db *db)
{
    return set_schedulable(c, db, true);
}

void
h_node_changed(struct call *c)
{
    if (c->work)
        nodes_set(c->ctl, c->work);
}

/* What is to be done once a node was given up; c->work instead of its row. */
struct lost_work {
    char id[ID_SIZE];
    struct observed *seen;
};

static void
lost_work_free(void *p)
{
    struct lost_work *w = p;

    observed_free(w->seen);
    free(w);
}

/* The way out for a machine that will not come back; what it costs, and why
 * that is safe, is in ops/lost.c. */
static int
give_up(struct call *c, struct db *db, const struct api_node *a)
{
    struct lost_work *w;
    int64_t seen_at = 0;

    if (nodes_silent(c->ctl, a->id, &seen_at) < 0)
        return err_set(&c->err, -EBUSY, "node_not_down",
                       "the node \"%s\" is up, or was until just now: only one "
                       "that has been down for longer than a lapse (%lld s) is "
                       "given up",
                       a->name,
                       (long long)(c->ctl->cfg.node_lapse_us / US_PER_S));
    call_touched(c, "node.deleted", a->id, a->name, NULL);
    w = xnew(struct lost_work);
    w->seen = xnew(struct observed);
    memcpy(w->id, a->id, ID_SIZE);
    int r = op_lose_node(db, a->id, seen_at, w->seen);
    if (r == 0)
        r = store_node_lose(db, a->id, clock_now_us());
    log_warn("node is given up", "node=%s instances=%lld%s", a->id,
             (long long)a->instances, r < 0 ? "; it failed" : "");
    call_work(c, w, lost_work_free); /* frees the row */
    if (r < 0)
        return store_error(c, db, r);
    c->phase = 1;
    reply_empty(c);
    return 0;
}

int
h_node_delete(struct call *c, struct db *db)
{
    struct store_node *n;
    bool force = false;
    int r = query_flag(c, "force", &force);

    if (r == 0)
        r = get(c, db, &n);
    if (r == 0)
        r = call_if_match(c, n->a.generation);
    if (r < 0)
        return r;
    if (force)
        return give_up(c, db, &n->a);
    r = store_node_delete(db, n->a.id);
    if (r == -EBUSY)
        return err_set(
            &c->err, r, "node_in_use",
            "%lld instances are on the node; delete them first, or "
            "give the node up with force=true if it is gone for good",
            (long long)n->a.instances);
    if (r < 0)
        return store_error(c, db, r);
    call_touched(c, "node.deleted", n->a.id, n->a.name, NULL);
    reply_empty(c);
    return 0;
}

void
h_node_deleted(struct call *c)
{
    if (c->phase == 1) {
        struct lost_work *w = c->work;

        h_observed(c->ctl, w->seen);
        nodes_remove(c->ctl, w->id);
        nodes_lose(c->ctl, w->id);
        return;
    }
    nodes_remove(c->ctl, ((struct store_node *)c->work)->a.id);
}

/* vj1.<id>.<secret>.<hash of the CA>; see docs/PROTOCOL.md. */
int
h_join_token_create(struct call *c, struct db *db)
{
    struct api_join_token *in = c->in;
    struct store_join_token t = {0};
    unsigned char secret[24];
    char id[ID_SIZE], hex[2 * sizeof(secret) + 1], ca[HASH_HEX_SIZE];
    const char *pem = pki_ca_pem(c->ctl->ca);

    id_new(id);
    id_random(secret, sizeof(secret));
    id_hex(secret, sizeof(secret), hex);
    hash_sha256_hex(pem, strlen(pem), ca);
    t.id = id;
    hash_sha256(hex, strlen(hex), t.hash);
    t.created_at = clock_now_us();
    t.expires_at = t.created_at + in->ttl_s * US_PER_S;
    int r = store_join_token_insert(db, &t);
    if (r < 0)
        return store_error(c, db, r);
    in->id = xstrdup(id);
    in->expires_at = t.expires_at;
    in->token = xasprintf("vj1.%s.%s.%s", id, hex, ca);
    reply_object(c, &table_join_token, in);
    return 0;
}
