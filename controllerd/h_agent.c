/* h_agent.c - the agents' side of the API; see docs/PROTOCOL.md. */
#include <config.h>

#include "controllerd/handlers.h"

#include <gnutls/gnutls.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"
#include "controllerd/events.h"
#include "controllerd/quota.h"

#define CERTIFICATE_DAYS 365
#define DESIRED_PAGE 500

static void
node_free(void *p)
{
    store_node_release(p);
    free(p);
}

/* ---- joining ---- */

static int
bad_join_token(struct call *c, const char *why)
{
    COUNT(join_refused);
    return err_set(&c->err, -EPERM, "bad_join_token",
                   "the join token %s; make a new one with \"virga node "
                   "token\"",
                   why);
}

/* Splits vj1.<id>.<secret>.<ca> and finds its row. */
static int
find_join_token(struct call *c, struct db *db, const char *text,
                struct store_join_token *ret)
{
    unsigned char hash[HASH_LEN];
    char id[ID_SIZE];

    if (strncmp(text, "vj1.", 4) != 0 || strlen(text) < 4 + ID_LEN + 2 ||
        text[4 + ID_LEN] != '.')
        return bad_join_token(c, "is malformed");
    memcpy(id, text + 4, ID_LEN);
    id[ID_LEN] = '\0';
    const char *secret = text + 4 + ID_LEN + 1;
    int r = store_join_token_get(db, id, ret);
    if (r == -ENOENT)
        return bad_join_token(c, "is not known");
    if (r < 0)
        return store_error(c, db, r);
    hash_sha256(secret, strcspn(secret, "."), hash);
    if (gnutls_memcmp(hash, ret->hash, sizeof(hash)) != 0)
        return bad_join_token(c, "is not known");
    if (ret->expires_at <= clock_now_us())
        return bad_join_token(c, "has expired");
    return 0;
}

static int
sign_for(struct call *c, struct store_node *n, const char *csr,
         struct api_joined *ret)
{
    char fingerprint[HASH_HEX_SIZE];
    int r = pki_sign_client(c->ctl->ca, csr, n->a.id, CERTIFICATE_DAYS,
                            &ret->certificate, &c->err);

    if (r == 0)
        r = pki_fingerprint(ret->certificate, fingerprint, &c->err);
    if (r < 0)
        return r;
    /* The certificate before stays good until the new one is renewed in turn:
     * the reply may be lost. */
    char *both = n->fingerprint
                     ? xasprintf("%s,%.64s", fingerprint, n->fingerprint)
                     : xstrdup(fingerprint);
    free(n->fingerprint);
    n->fingerprint = both;
    ret->node_id = xstrdup(n->a.id);
    ret->ca = xstrdup(pki_ca_pem(c->ctl->ca));
    return 0;
}

static int
join_new(struct call *c, struct db *db, const struct api_join *in,
         struct store_node *n, struct api_joined *out)
{
    char id[ID_SIZE];

    id_new(id);
    n->a.id = xstrdup(id);
    n->a.name = xstrdup(in->name);
    n->a.schedulable = true;
    n->a.generation = 1;
    n->a.created_at = clock_now_us();
    int r = sign_for(c, n, in->csr, out);
    if (r < 0)
        return r;
    r = store_node_insert(db, n);
    if (r == -EEXIST)
        return err_set(&c->err, r, "name_taken",
                       "there is a node \"%s\" already; give this one another "
                       "--name or delete the old one",
                       in->name);
    return r < 0 ? store_error(c, db, r) : 0;
}

/* The reply of a join was lost: the same key asks again. */
static int
join_again(struct call *c, struct db *db, const struct api_join *in,
           const char *node_id, struct store_node *n, struct api_joined *out)
{
    int r = store_node_get(db, node_id, n);

    if (r == -ENOENT)
        return bad_join_token(c, "was used for a node that is deleted");
    if (r < 0)
        return store_error(c, db, r);
    r = sign_for(c, n, in->csr, out);
    if (r == 0) {
        r = store_node_update(db, n);
        if (r < 0)
            store_error(c, db, r);
    }
    return r;
}

/* Each join takes an attempt of its address, and gets it back unless its token
 * was refused: nodes may join in crowds, and nobody tries tokens in crowds. */
int
h_join_begin(struct call *c)
{
    int64_t wait = guess_join(c->ctl->guess, c->rq->remote, clock_mono_us());

    if (!wait)
        return CALL_WRITE;
    COUNT(join_too_many_attempts);
    c->retry_after_s = (wait + US_PER_S - 1) / US_PER_S;
    return err_set(&c->err, -EAGAIN, "too_many_attempts",
                   "too many joins with a bad token from this address: wait "
                   "%lld s",
                   (long long)c->retry_after_s);
}

void
h_join_undo(struct call *c)
{
    guess_join_back(c->ctl->guess, c->rq->remote, clock_mono_us());
}

void
h_joined(struct call *c)
{
    h_join_undo(c);
    h_node_changed(c);
}

int
h_join(struct call *c, struct db *db)
{
    const struct api_join *in = c->in;
    struct store_join_token t = {0};
    struct api_joined out = {0};
    struct store_node *n = xnew(struct store_node);
    char key[HASH_HEX_SIZE];

    c->work = n;
    c->work_free = node_free;
    /* What strangers send is not parsed, least of all on this thread. */
    int r = find_join_token(c, db, in->token, &t);
    if (r == 0)
        r = pki_request_key(in->csr, key, &c->err);
    if (r == 0 && t.node_id)
        r = streq(t.key_hash, key) ? join_again(c, db, in, t.node_id, n, &out)
                                   : bad_join_token(c, "was used");
    else if (r == 0)
        r = join_new(c, db, in, n, &out);
    if (r == 0 && !t.node_id) {
        r = store_join_token_use(db, t.id, n->a.id, key);
        if (r < 0)
            store_error(c, db, r);
    }
    if (r == 0) {
        log_info("node joins", "node=%s name=%s", n->a.id, n->a.name);
        /* A repeated join tells nobody a second time. */
        call_touched(c, t.node_id ? "node" : "node.joined", n->a.id, n->a.name,
                     NULL);
        reply_object(c, &table_joined, &out);
    } else if (!streq(c->err.code, "bad_join_token")) {
        h_join_undo(c);
    }
    codec_clear(&table_joined, &out);
    store_join_token_release(&t);
    return r;
}

int
h_agent_certificate(struct call *c, struct db *db)
{
    const struct api_certificate_request *in = c->in;
    struct api_joined out = {0};
    struct store_node *n = xnew(struct store_node);

    c->work = n;
    c->work_free = node_free;
    int r = store_node_get(db, c->who.node_id, n);
    if (r < 0)
        return store_error(c, db, r);
    r = sign_for(c, n, in->csr, &out);
    if (r == 0) {
        r = store_node_update(db, n);
        if (r < 0)
            store_error(c, db, r);
        else
            reply_object(c, &table_joined, &out);
    }
    codec_clear(&table_joined, &out);
    return r;
}

/* ---- desired state ---- */

/* Ten thousand agents ask all the time, and nearly always there is nothing
 * new. Two things keep that from being missed: the version is read before
 * anything is looked at, and whoever changes what a node should run notifies
 * its key after the commit. */
int
h_agent_desired(struct call *c, struct db *db)
{
    struct api_desired d = {0};
    int64_t since, after, wait_us;
    const char *node = c->who.node_id;
    uint64_t key = waiters_key(node);
    uint64_t version = waiters_version(c->ctl, key);
    int r = query_int(c, "since", 0, INT64_MAX, 0, &since);

    if (query_int(c, "after", 0, INT64_MAX, 0, &after) < 0 ||
        query_duration(c, "wait", 60 * US_PER_S, &wait_us) < 0 || r < 0)
        return -EINVAL;
    /* What it knows is from before the controller's state was restored. */
    if (since < c->ctl->seq_floor)
        since = 0;
    nodes_seen(c->ctl, node);
    nodes_tell(c->ctl, node, since ? since : after);
    int64_t now = clock_mono_us();
    if (!c->deadline_us)
        c->deadline_us = now + wait_us;
    bool may_wait =
        since && now < c->deadline_us && !atomic_load(&c->ctl->stopping);
    bool nothing = nodes_nothing_new(c->ctl, node, since, version);
    if (nothing && may_wait)
        return waiters_wait(c, key, version);
    d.seq = since;
    if (!nothing) {
        r = store_desired_list(db, node, since ? since : after, DESIRED_PAGE,
                               &d.instances, &d.seq, &d.more);
        if (r < 0) {
            codec_clear(&table_desired, &d);
            return store_error(c, db, r);
        }
        nodes_take_requests(c->ctl, node, &d.requests);
    }
    d.full = since == 0;
    d.seq = MAX(d.seq, (int64_t)1); /* 0 would ask for everything again */
    if (!d.more)
        d.seq = MAX(d.seq, c->ctl->seq_floor);
    if (!d.more)
        nodes_settled(c->ctl, node, d.seq, version);
    if (may_wait && d.instances.n == 0 && d.requests.n == 0) {
        codec_clear(&table_desired, &d);
        return waiters_wait(c, key, version);
    }
    reply_object(c, &table_desired, &d);
    codec_clear(&table_desired, &d);
    return 0;
}

/* ---- reports ---- */

static void
reply_ack(struct call *c, int64_t seq)
{
    struct api_report_ack ack = {.seq = seq};

    reply_object(c, &table_report_ack, &ack);
}

/* Most reports say no more than that the agent lives. */
int
h_agent_heartbeat(struct call *c)
{
    const struct api_report *in = c->in;

    nodes_seen(c->ctl, c->who.node_id);
    if (in->host || in->observations.n || in->quarantined.n || in->progress.n)
        return CALL_WRITE;
    reply_ack(c, 0);
    return 0;
}

static void
take_host(struct store_node *n, const struct api_host *h)
{
    xstrset(&n->a.driver, h->driver);
    xstrset(&n->a.accel, h->accel);
    xstrset(&n->a.version, h->agent_version);
    xstrset(&n->a.hypervisor, h->hypervisor);
    n->a.vcpus = h->vcpus;
    n->a.memory_bytes = h->memory_bytes;
    n->a.disk_bytes = h->disk_bytes;
    codec_strings_clear(&n->a.traits);
    for (size_t i = 0; i < h->traits.n; i++)
        codec_strings_add(&n->a.traits, ((char **)h->traits.items)[i]);
}

struct report_work {
    struct store_node node;
    struct observed *seen;
    bool host;
};

static void
report_work_free(void *p)
{
    struct report_work *w = p;

    store_node_release(&w->node);
    observed_free(w->seen);
    free(w);
}

/* The node's row says what it has; most reports do not touch that. */
static int
report_host(struct db *db, const struct api_report *in, struct report_work *w)
{
    struct store_node row = {0};
    int r = store_node_get(db, w->node.a.id, &row);

    if (r < 0)
        return r;
    row.observed_seq = w->node.observed_seq;
    store_node_release(&w->node);
    w->node = row;
    if (in->host) {
        take_host(&w->node, in->host);
        w->host = true;
    }
    codec_strings_clear(&w->node.a.quarantined);
    for (size_t i = 0; i < in->quarantined.n; i++)
        codec_strings_add(&w->node.a.quarantined,
                          ((char **)in->quarantined.items)[i]);
    w->node.a.last_seen_at = clock_now_us();
    return store_node_update(db, &w->node);
}

int
h_agent_report(struct call *c, struct db *db)
{
    const struct api_report *in = c->in;
    struct report_work *w = xnew(struct report_work);

    w->seen = xnew(struct observed);
    c->work = w;
    c->work_free = report_work_free;
    w->node.a.id = xstrdup(c->who.node_id);
    int r = store_node_observed(db, c->who.node_id, &w->node.observed_seq);
    if (r == -ENOENT)
        return err_set(&c->err, -EPERM, "unknown_node",
                       "this node was deleted");
    if (r == 0)
        r = op_observe(c->ctl, db, &w->node, in, w->seen);
    if (r == 0)
        r = in->host || in->quarantined.n
                ? report_host(db, in, w)
                : store_node_set_observed(db, c->who.node_id,
                                          w->node.observed_seq, clock_now_us());
    if (r < 0)
        return store_error(c, db, r);
    if (w->seen->wake_node)
        memcpy(c->notify_node, c->who.node_id, ID_SIZE);
    reply_ack(c, w->node.observed_seq);
    return 0;
}

void
h_observed(struct ctl *ctl, const struct observed *seen)
{
    const struct released *rel = seen->released.items;

    pthread_mutex_lock(&ctl->sched_lock);
    for (size_t i = 0; i < seen->released.n; i++)
        if (sched_release(ctl->sched, rel[i].node_id, &rel[i].r, NULL) < 0)
            COUNT(sched_release_refused);
    pthread_mutex_unlock(&ctl->sched_lock);
    for (size_t i = 0; i < seen->released.n; i++)
        quota_give(ctl, rel[i].project_id, &rel[i].quota);
    for (size_t i = 0; i < seen->finished.n; i++)
        waiters_notify(ctl, waiters_key(((char **)seen->finished.items)[i]));
}

void
h_agent_reported(struct call *c)
{
    struct report_work *w = c->work;

    if (w->host) {
        nodes_set(c->ctl, &w->node);
        nodes_seen(c->ctl, w->node.a.id);
    }
    h_observed(c->ctl, w->seen);
}

/* ---- answers to questions ---- */

static int64_t
header_int(struct call *c, const char *name)
{
    const char *s = http_header(c->rq, name);

    return s ? strtoll(s, NULL, 10) : 0;
}

int
h_agent_reply(struct call *c)
{
    const char *type = http_header(c->rq, "Content-Type");
    struct node_answer a = {
        .status = 200,
        .log_offset = header_int(c, "Virga-Log-Offset"),
        .log_end = header_int(c, "Virga-Log-End"),
    };

    if (type && strncasecmp(type, "application/problem+json", 24) == 0)
        a.status = 500;
    a.body = c->rq->body;
    c->rq->body = (struct buf){0};
    int r = nodes_answer(c->ctl, c->who.node_id, c->m.params[0], &a);
    buf_release(&a.body);
    if (r < 0)
        return not_found(c, "request", c->m.params[0]);
    reply_empty(c);
    return 0;
}

int
h_agent_console(struct call *c)
{
    struct node_answer a = {.status = 200};
    const char *id = c->m.params[0];

    if (!id_valid(id) || !nodes_question_open(c->ctl, c->who.node_id, id))
        return not_found(c, "request", id);
    c->session[0] = 'a';
    memcpy(c->session + 1, id, ID_SIZE);
    int r = http_reply_websocket(c->rq, c->session, &c->err);
    if (r < 0)
        return r;
    console_expect(c->ctl, id);
    a.session = xstrdup(id);
    r = nodes_answer(c->ctl, c->who.node_id, id, &a);
    if (r < 0) {
        free(a.session);
        c->rq->status = 0;
        return not_found(c, "request", id);
    }
    return 0;
}
