/* nodes.c - nodes at run time: certificates, liveness, questions to agents.
 * Rows are the truth; what is here is rebuilt at start. A node is up from the
 * report that says how large it is until it has been silent for too long,
 * over restarts of the controller as well. */
#include <config.h>

#include "controllerd/ctl.h"

#include <string.h>
#include <uthash.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"
#include "controllerd/events.h"
#include "controllerd/traits.h"

/* A question: waits in `asked` until the agent fetches it, then in `sent`
 * until it answers; its call waits on the question's id. */
struct question {
    struct api_node_request rq;
    char node_id[ID_SIZE];
    bool sent;
    struct node_answer *answer;
    UT_hash_handle hh;
};

struct node {
    char id[ID_SIZE];
    char *fingerprints; /* of the certificates that are good, with commas */
    int64_t seen_us;    /* monotonic; 0 never */
    int64_t told_seq;   /* it has all wishes up to here */
    bool up;
    /* It was up for all who listen to events when the controller started, and
     * had been silent for too long: since when it may say that it lives; 0:
     * nothing is owed. */
    int64_t owed_us;
    bool unsaved; /* seen_us is not in its row yet */
    /* nodes_settled(); seq 0: nothing was noted yet */
    int64_t settled_seq;
    uint64_t settled_version;
    struct sched_node sched;
    UT_hash_handle hh;
};

struct lost {
    char id[ID_SIZE];
    UT_hash_handle hh;
};

struct nodes {
    pthread_mutex_t lock;
    struct lost *lost;          /* lock */
    struct node *by_id;         /* lock */
    struct question *questions; /* lock; by rq.id */
    size_t unsent;              /* lock; how many were not handed over yet */
};

static void
apply(struct ctl *ctl, struct node *n)
{
    struct err e _cleanup_(err_release) = {0};

    n->sched.up = n->up;
    pthread_mutex_lock(&ctl->sched_lock);
    if (sched_node_set(ctl->sched, &n->sched, &e) < 0)
        log_error("node does not fit the scheduler",
                  "node=%s error=\"%s\"; nothing is placed there", n->id,
                  e.message);
    pthread_mutex_unlock(&ctl->sched_lock);
}

void
nodes_set(struct ctl *ctl, const struct store_node *row)
{
    struct nodes *ns = ctl->nodes;
    struct node *n;

    pthread_mutex_lock(&ns->lock);
    HASH_FIND_STR(ns->by_id, row->a.id, n);
    if (!n) {
        n = xnew(struct node);
        snprintf(n->id, sizeof(n->id), "%s", row->a.id);
        n->sched.id = n->id;
        HASH_ADD_STR(ns->by_id, id, n);
    }
    xstrset(&n->fingerprints, row->fingerprint);
    n->sched.capacity = (struct sched_resources){
        row->a.vcpus, row->a.memory_bytes, row->a.disk_bytes};
    n->sched.vcpu_ratio_permille = ctl->cfg.vcpu_overcommit_permille;
    n->sched.memory_ratio_permille = ctl->cfg.memory_overcommit_permille;
    n->sched.disk_ratio_permille = ctl->cfg.disk_overcommit_permille;
    n->sched.schedulable = row->a.schedulable;
    n->sched.traits = traits_of_node(&row->a.traits);
    apply(ctl, n);
    pthread_mutex_unlock(&ns->lock);
}

void
nodes_remove(struct ctl *ctl, const char *node_id)
{
    struct nodes *ns = ctl->nodes;
    struct node *n;

    pthread_mutex_lock(&ns->lock);
    HASH_FIND_STR(ns->by_id, node_id, n);
    if (n) {
        pthread_mutex_lock(&ctl->sched_lock);
        if (sched_node_remove(ctl->sched, node_id, NULL) < 0)
            COUNT(sched_remove_refused);
        pthread_mutex_unlock(&ctl->sched_lock);
        HASH_DEL(ns->by_id, n);
        free(n->fingerprints);
        free(n);
    }
    pthread_mutex_unlock(&ns->lock);
}

static void
lose(const char *id, void *arg)
{
    struct nodes *ns = arg;
    struct lost *l;

    HASH_FIND_STR(ns->lost, id, l);
    if (l)
        return;
    l = xnew(struct lost);
    snprintf(l->id, sizeof(l->id), "%s", id);
    HASH_ADD_STR(ns->lost, id, l);
}

void
nodes_lose(struct ctl *ctl, const char *node_id)
{
    pthread_mutex_lock(&ctl->nodes->lock);
    lose(node_id, ctl->nodes);
    pthread_mutex_unlock(&ctl->nodes->lock);
}

bool
nodes_lost(struct ctl *ctl, const char *node_id)
{
    struct lost *l;

    pthread_mutex_lock(&ctl->nodes->lock);
    HASH_FIND_STR(ctl->nodes->lost, node_id, l);
    pthread_mutex_unlock(&ctl->nodes->lock);
    return l != NULL;
}

void
nodes_count(struct ctl *ctl, struct nodes_count *ret)
{
    struct nodes *ns = ctl->nodes;
    struct nodes_count c = {0};

    pthread_mutex_lock(&ns->lock);
    for (const struct node *n = ns->by_id; n; n = n->hh.next) {
        if (n->up)
            c.up++;
        else
            c.down++;
        c.cordoned += !n->sched.schedulable;
    }
    c.questions = HASH_COUNT(ns->questions);
    pthread_mutex_unlock(&ns->lock);
    *ret = c;
}

bool
nodes_authentic(struct ctl *ctl, const char *node_id, const char *fingerprint)
{
    struct node *n;

    pthread_mutex_lock(&ctl->nodes->lock);
    HASH_FIND_STR(ctl->nodes->by_id, node_id, n);
    bool ok = n && strstr(n->fingerprints, fingerprint);
    pthread_mutex_unlock(&ctl->nodes->lock);
    return ok;
}

void
nodes_seen(struct ctl *ctl, const char *node_id)
{
    struct node *n;

    pthread_mutex_lock(&ctl->nodes->lock);
    HASH_FIND_STR(ctl->nodes->by_id, node_id, n);
    if (n) {
        n->seen_us = clock_mono_us();
        n->unsaved = true;
        /* Nothing fits on a node of unknown size: "up" would promise room. */
        if (!n->up && n->sched.capacity.vcpus > 0) {
            n->up = true;
            apply(ctl, n);
            log_info("node is up", "node=%s", node_id);
            if (!n->owed_us) /* else nobody heard that it was down */
                events_node(ctl, node_id, "node.up", clock_now_us());
            n->owed_us = 0;
        }
    }
    pthread_mutex_unlock(&ctl->nodes->lock);
}

void
nodes_tell(struct ctl *ctl, const char *node_id, int64_t seq)
{
    struct node *n;

    pthread_mutex_lock(&ctl->nodes->lock);
    HASH_FIND_STR(ctl->nodes->by_id, node_id, n);
    if (n)
        n->told_seq = seq;
    pthread_mutex_unlock(&ctl->nodes->lock);
}

bool
nodes_told(struct ctl *ctl, const char *node_id, int64_t seq)
{
    struct node *n;

    pthread_mutex_lock(&ctl->nodes->lock);
    HASH_FIND_STR(ctl->nodes->by_id, node_id, n);
    bool told = n && n->told_seq >= seq;
    pthread_mutex_unlock(&ctl->nodes->lock);
    return told;
}

bool
nodes_up(struct ctl *ctl, const char *node_id)
{
    struct node *n;

    pthread_mutex_lock(&ctl->nodes->lock);
    HASH_FIND_STR(ctl->nodes->by_id, node_id, n);
    bool up = n && n->up;
    pthread_mutex_unlock(&ctl->nodes->lock);
    return up;
}

uint64_t
nodes_traits(struct ctl *ctl, const char *node_id)
{
    struct node *n;

    pthread_mutex_lock(&ctl->nodes->lock);
    HASH_FIND_STR(ctl->nodes->by_id, node_id, n);
    uint64_t traits = n ? n->sched.traits : UINT64_MAX;
    pthread_mutex_unlock(&ctl->nodes->lock);
    return traits;
}

void
nodes_settled(struct ctl *ctl, const char *node_id, int64_t seq,
              uint64_t version)
{
    struct node *n;

    pthread_mutex_lock(&ctl->nodes->lock);
    HASH_FIND_STR(ctl->nodes->by_id, node_id, n);
    if (n) {
        n->settled_seq = seq;
        n->settled_version = version;
    }
    pthread_mutex_unlock(&ctl->nodes->lock);
}

/* A question is posted before it is notified: whoever reads the new version
 * finds it, whoever read the old one is woken. */
bool
nodes_nothing_new(struct ctl *ctl, const char *node_id, int64_t seq,
                  uint64_t version)
{
    struct question *q;
    struct node *n;

    pthread_mutex_lock(&ctl->nodes->lock);
    HASH_FIND_STR(ctl->nodes->by_id, node_id, n);
    bool nothing =
        n && seq && n->settled_seq == seq && n->settled_version == version;
    for (q = nothing && ctl->nodes->unsent ? ctl->nodes->questions : NULL; q;
         q = q->hh.next)
        nothing = nothing && (q->sent || !streq(q->node_id, node_id));
    pthread_mutex_unlock(&ctl->nodes->lock);
    return nothing;
}

void
nodes_fill(struct ctl *ctl, struct api_node *a)
{
    struct sched_resources claimed = {0}, limit = {0};
    struct node *n;

    pthread_mutex_lock(&ctl->nodes->lock);
    HASH_FIND_STR(ctl->nodes->by_id, a->id, n);
    a->state = n && n->up ? NODE_UP : NODE_DOWN;
    if (n && n->seen_us)
        a->last_seen_at = clock_now_us() - (clock_mono_us() - n->seen_us);
    pthread_mutex_unlock(&ctl->nodes->lock);
    pthread_mutex_lock(&ctl->sched_lock);
    if (sched_node_usage(ctl->sched, a->id, &claimed, &limit) < 0)
        COUNT(sched_node_missing);
    pthread_mutex_unlock(&ctl->sched_lock);
    a->vcpus_claimed = claimed.vcpus;
    a->memory_claimed_bytes = claimed.memory_bytes;
    a->disk_claimed_bytes = claimed.disk_bytes;
    a->vcpus_limit = limit.vcpus;
    a->memory_limit_bytes = limit.memory_bytes;
    a->disk_limit_bytes = limit.disk_bytes;
}

/* A moment of the monotonic clock by the wall's. */
static int64_t
wall_of(int64_t mono_us)
{
    return clock_now_us() - (clock_mono_us() - mono_us);
}

int
nodes_silent(struct ctl *ctl, const char *node_id, int64_t *ret_seen_at)
{
    int64_t now = clock_mono_us();
    struct node *n;
    int r = -EBUSY;

    pthread_mutex_lock(&ctl->nodes->lock);
    HASH_FIND_STR(ctl->nodes->by_id, node_id, n);
    if (n && !n->up && !n->owed_us && n->seen_us &&
        now - n->seen_us > ctl->cfg.node_lapse_us) {
        *ret_seen_at = wall_of(n->seen_us);
        r = 0;
    }
    pthread_mutex_unlock(&ctl->nodes->lock);
    return r;
}

struct seen_node {
    char id[ID_SIZE];
    int64_t at_us;
};

int
nodes_keep(struct ctl *ctl, struct db *db)
{
    struct seen_node *seen _cleanup_(freep) = NULL;
    size_t k = 0;
    int r = 0;

    pthread_mutex_lock(&ctl->nodes->lock);
    seen = xcalloc(HASH_COUNT(ctl->nodes->by_id) + 1, sizeof(*seen));
    for (struct node *n = ctl->nodes->by_id; n; n = n->hh.next) {
        if (!n->unsaved)
            continue;
        memcpy(seen[k].id, n->id, ID_SIZE);
        seen[k++].at_us = wall_of(n->seen_us);
        n->unsaved = false;
    }
    pthread_mutex_unlock(&ctl->nodes->lock);
    for (size_t i = 0; i < k && r == 0; i++) {
        r = store_node_seen(db, seen[i].id, seen[i].at_us);
        if (r == -ENOENT)
            r = 0; /* deleted meanwhile */
    }
    return r;
}

void
nodes_tick(struct ctl *ctl)
{
    int64_t now = clock_mono_us();
    struct node *n, *next;

    pthread_mutex_lock(&ctl->nodes->lock);
    HASH_ITER(hh, ctl->nodes->by_id, n, next)
    {
        bool owed = n->owed_us && now - n->owed_us > ctl->cfg.node_lapse_us;

        if (!owed && (!n->up || now - n->seen_us <= ctl->cfg.node_lapse_us))
            continue;
        n->owed_us = 0;
        n->up = false;
        apply(ctl, n);
        log_warn("node is silent: no further instance is placed there",
                 "node=%s silent_s=%lld", n->id,
                 (long long)((now - n->seen_us) / US_PER_S));
        events_node(ctl, n->id, "node.down", wall_of(n->seen_us));
    }
    pthread_mutex_unlock(&ctl->nodes->lock);
}

/* ---- questions ---- */

static void
answer_free(void *p)
{
    struct node_answer *a = p;

    buf_release(&a->body);
    free(a->session);
    free(a);
}

/* Out of the list, not freed; lock is held. */
static void
question_take(struct nodes *ns, struct question *q)
{
    HASH_DEL(ns->questions, q);
    ns->unsent -= !q->sent;
}

static void
question_free(struct question *q)
{
    codec_clear(&table_node_request, &q->rq);
    if (q->answer)
        answer_free(q->answer);
    free(q);
}

/* phase 0: post and wait; phase 1: answered, or the time is over. */
int
nodes_ask(struct call *c, const char *node_id, enum api_request_kind kind,
          const char *instance_id, int64_t offset, int64_t limit)
{
    struct nodes *ns = c->ctl->nodes;
    struct question *q = xnew(struct question);
    char id[ID_SIZE];

    id_new(id);
    q->rq.id = xstrdup(id);
    q->rq.kind = kind;
    q->rq.instance_id = xstrdup(instance_id);
    q->rq.offset = offset;
    q->rq.limit = limit;
    snprintf(q->node_id, sizeof(q->node_id), "%s", node_id);
    /* The waiter's key is fixed before the question can be answered. */
    uint64_t version = waiters_version(c->ctl, waiters_key(id));
    snprintf(c->question, sizeof(c->question), "%s", id);
    c->deadline_us = clock_mono_us() + c->ctl->cfg.request_timeout_us;
    pthread_mutex_lock(&ns->lock);
    HASH_ADD_KEYPTR(hh, ns->questions, q->rq.id, strlen(q->rq.id), q);
    ns->unsent++;
    pthread_mutex_unlock(&ns->lock);
    waiters_notify(c->ctl, waiters_key(node_id));
    return waiters_wait(c, waiters_key(id), version);
}

int
nodes_asked(struct call *c)
{
    struct nodes *ns = c->ctl->nodes;
    uint64_t key = waiters_key(c->question);
    uint64_t version = waiters_version(c->ctl, key);
    struct question *q;
    int r;

    pthread_mutex_lock(&ns->lock);
    HASH_FIND_STR(ns->questions, c->question, q);
    if (q && !q->answer && clock_mono_us() < c->deadline_us &&
        !atomic_load(&c->ctl->stopping)) {
        pthread_mutex_unlock(&ns->lock);
        return waiters_wait(c, key, version);
    }
    if (q)
        question_take(ns, q);
    pthread_mutex_unlock(&ns->lock);
    if (!q || !q->answer) {
        COUNT(node_question_timeout);
        r = err_set(&c->err, -EAGAIN, "node_unreachable",
                    "the instance's node did not answer in time; try again");
    } else if (q->answer->status >= 400) {
        struct api_problem p = {0};

        if (codec_decode(&table_problem, CODEC_REPLY, buf_str(&q->answer->body),
                         q->answer->body.len, &p, NULL) == 0)
            r = err_set(&c->err, q->answer->status == 404 ? -ENOENT : -EBUSY,
                        p.code ? p.code : "node_failed", "%s",
                        p.detail ? p.detail : "the node could not do it");
        else
            r = err_set(&c->err, -EAGAIN, "node_failed",
                        "the node could not do it");
        codec_clear(&table_problem, &p);
    } else {
        c->work = TAKE_PTR(q->answer);
        c->work_free = answer_free;
        r = 0;
    }
    if (q)
        question_free(q);
    return r;
}

/* The call ends without having taken its answer: its client went away. */
void
nodes_drop(struct call *c)
{
    struct question *q;

    if (!c->question[0])
        return;
    pthread_mutex_lock(&c->ctl->nodes->lock);
    HASH_FIND_STR(c->ctl->nodes->questions, c->question, q);
    if (q)
        question_take(c->ctl->nodes, q);
    pthread_mutex_unlock(&c->ctl->nodes->lock);
    if (q)
        question_free(q);
}

void
nodes_take_requests(struct ctl *ctl, const char *node_id,
                    struct codec_list *ret)
{
    struct nodes *ns = ctl->nodes;
    struct question *q, *next;

    pthread_mutex_lock(&ns->lock);
    for (q = ns->unsent ? ns->questions : NULL; q; q = next) {
        next = q->hh.next;
        if (q->sent || strcmp(q->node_id, node_id) != 0 || ret->n >= 100)
            continue;
        q->sent = true;
        ns->unsent--;
        struct api_node_request *r = codec_list_add(&table_node_request, ret);
        r->id = xstrdup(q->rq.id);
        r->kind = q->rq.kind;
        r->instance_id = xstrdup(q->rq.instance_id);
        r->offset = q->rq.offset;
        r->limit = q->rq.limit;
    }
    pthread_mutex_unlock(&ns->lock);
}

bool
nodes_question_open(struct ctl *ctl, const char *node_id,
                    const char *request_id)
{
    struct question *q;

    pthread_mutex_lock(&ctl->nodes->lock);
    HASH_FIND_STR(ctl->nodes->questions, request_id, q);
    bool open = q && strcmp(q->node_id, node_id) == 0 && !q->answer;
    pthread_mutex_unlock(&ctl->nodes->lock);
    return open;
}

int
nodes_answer(struct ctl *ctl, const char *node_id, const char *request_id,
             struct node_answer *a)
{
    struct question *q;
    int r = -ENOENT;

    pthread_mutex_lock(&ctl->nodes->lock);
    HASH_FIND_STR(ctl->nodes->questions, request_id, q);
    if (q && strcmp(q->node_id, node_id) == 0 && !q->answer) {
        q->answer = xnew(struct node_answer);
        *q->answer = *a;
        *a = (struct node_answer){0};
        r = 0;
    }
    pthread_mutex_unlock(&ctl->nodes->lock);
    if (r == 0)
        waiters_notify(ctl, waiters_key(request_id));
    return r;
}

/* ---- start and stop ---- */

struct rebuild {
    struct ctl *ctl;
    struct err *reterr;
};

static int
rebuild_claim(const char *node_id, int64_t vcpus, int64_t memory_bytes,
              int64_t disk_bytes, void *arg)
{
    struct rebuild *rb = arg;
    struct sched_resources r = {vcpus, memory_bytes, disk_bytes};

    return sched_claim_force(rb->ctl->sched, node_id, &r, rb->reterr);
}

/* Its agent cannot know that the controller was away, and may come back to it
 * late; tenants must not be refused for that. One that was silent for too long
 * is down, but nobody was told: it has yet a lapse in which to come back. */
static void
resume(struct ctl *ctl, const struct store_node *row)
{
    int64_t silent = MAX(clock_now_us() - row->a.last_seen_at, INT64_C(0));
    struct node *n;

    if (!row->a.last_seen_at || !row->a.vcpus)
        return;
    pthread_mutex_lock(&ctl->nodes->lock);
    HASH_FIND_STR(ctl->nodes->by_id, row->a.id, n);
    if (n) {
        n->seen_us = clock_mono_us() - silent;
        n->up = silent <= ctl->cfg.node_lapse_us;
        if (n->up)
            apply(ctl, n);
        else if (row->told_up)
            n->owed_us = clock_mono_us();
    }
    pthread_mutex_unlock(&ctl->nodes->lock);
}

int
nodes_start(struct ctl *ctl, struct db *db, struct err *reterr)
{
    struct rebuild rb = {ctl, reterr};
    char after[ID_SIZE] = "";
    int r = 0;

    ctl->nodes = xnew(struct nodes);
    pthread_mutex_init(&ctl->nodes->lock, NULL);
    pthread_mutex_init(&ctl->sched_lock, NULL);
    ctl->sched = sched_new();
    for (;;) {
        struct codec_list page = {0};

        r = store_node_list(db, after, 1000, &page);
        struct store_node *rows = page.items;
        size_t n = page.n;
        for (size_t i = 0; i < n; i++) {
            nodes_set(ctl, &rows[i]);
            resume(ctl, &rows[i]);
            memcpy(after, rows[i].a.id, ID_SIZE);
            store_node_release(&rows[i]);
        }
        free(page.items);
        if (r < 0 || n < 1000)
            break;
    }
    if (r == 0)
        r = store_node_lost_each(db, lose, ctl->nodes);
    if (r == 0)
        r = store_instance_each_claim(db, rebuild_claim, &rb);
    if (r < 0 && reterr && !reterr->number)
        db_err(db, r, reterr);
    return r;
}

void
nodes_stop(struct ctl *ctl)
{
    struct node *n, *next;
    struct question *q, *qn;
    struct lost *l, *next_lost;

    if (!ctl->nodes)
        return;
    HASH_ITER(hh, ctl->nodes->lost, l, next_lost)
    {
        HASH_DEL(ctl->nodes->lost, l);
        free(l);
    }
    HASH_ITER(hh, ctl->nodes->by_id, n, next)
    {
        HASH_DEL(ctl->nodes->by_id, n);
        free(n->fingerprints);
        free(n);
    }
    HASH_ITER(hh, ctl->nodes->questions, q, qn)
    {
        HASH_DEL(ctl->nodes->questions, q);
        question_free(q);
    }
    sched_free(ctl->sched);
    pthread_mutex_destroy(&ctl->nodes->lock);
    free(ctl->nodes);
}
