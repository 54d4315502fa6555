/* dispatch.c - a request's way: match, authenticate, authorise, decode,
 * handle, answer.
 *
 *   begin()  --refused--> reply
 *      | body
 *   handle() --plain/read--> reply, or CALL_WAIT (waiters.c, nodes.c), then
 *      |                     handle() again
 *      +------write--> suspended; job_run() in the writer's transaction,
 *                      job_done() after the commit; handle() again: reply */
#include <config.h>

#include "controllerd/ctl.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"
#include "controllerd/audit.h"
#include "controllerd/events.h"
#include "controllerd/figures.h"
#include "controllerd/rate.h"
#include "controllerd/quota.h"

#define KEY_MAX 128

/* ---- readers' connections ---- */

/* There are more HTTP threads than ever read at the same time, and each
 * connection takes memory: they share those that were needed so far, the one
 * used last first. */
struct reader {
    struct db *db;
    struct reader *next;
};

static struct reader *
reader_take(struct call *c)
{
    struct ctl *ctl = c->ctl;

    pthread_mutex_lock(&ctl->drain_lock);
    struct reader *r = ctl->readers;
    if (r)
        ctl->readers = r->next;
    pthread_mutex_unlock(&ctl->drain_lock);
    if (r)
        return r;
    r = xnew(struct reader);
    if (store_open(ctl->db_path, false, &r->db, &c->err) < 0)
        freep(&r);
    return r;
}

static void
reader_give(struct ctl *ctl, struct reader *r)
{
    pthread_mutex_lock(&ctl->drain_lock);
    r->next = ctl->readers;
    ctl->readers = r;
    pthread_mutex_unlock(&ctl->drain_lock);
}

void
dispatch_close(struct ctl *ctl)
{
    while (ctl->readers) {
        struct reader *r = ctl->readers;

        ctl->readers = r->next;
        db_close(r->db);
        free(r);
    }
}

/* Runs fn with a reader's connection. */
static int
with_reader(struct call *c, int (*fn)(struct call *c, struct db *db))
{
    struct ctl *ctl = c->ctl; /* a call that waits may end before we do */
    struct reader *r = reader_take(c);

    if (!r)
        return c->err.number;
    int result = fn(c, r->db);
    reader_give(ctl, r);
    return result;
}

/* ---- what is under way ---- */

static void
count_active(struct ctl *ctl, int active, int submitted)
{
    pthread_mutex_lock(&ctl->drain_lock);
    ctl->active += active;
    ctl->submitted += submitted;
    pthread_cond_broadcast(&ctl->drained);
    pthread_mutex_unlock(&ctl->drain_lock);
}

/* From here on nothing more is submitted: start_write() looks at stopping
 * after it was counted. */
void
dispatch_drain(struct ctl *ctl, int64_t limit_us)
{
    struct timespec ts;

    pthread_mutex_lock(&ctl->drain_lock);
    while (ctl->submitted)
        pthread_cond_wait(&ctl->drained, &ctl->drain_lock);
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_sec += limit_us / US_PER_S;
    while (ctl->active &&
           pthread_cond_timedwait(&ctl->drained, &ctl->drain_lock, &ts) == 0)
        ;
    pthread_mutex_unlock(&ctl->drain_lock);
}

/* ---- begin ---- */

static void
set_request_id(struct call *c)
{
    const char *given = http_header(c->rq, "X-Request-Id");
    size_t n = given ? strlen(given) : 0;

    if (n > 0 && n < sizeof(c->request_id) &&
        strspn(given, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                      "0123456789._-") == n)
        memcpy(c->request_id, given, n + 1);
    else
        id_new(c->request_id);
}

struct query_check {
    struct call *c;
    int r;
    uint64_t seen; /* bits, in the order of the route's list */
};

static bool
check_one_query(const char *name, const char *value, void *arg)
{
    struct query_check *q = arg;
    const struct api_query *known = q->c->m.route->query, *k = known;
    char pointer[80];

    snprintf(pointer, sizeof(pointer), "?%.64s", name);
    for (; k && k->name; k++) {
        if (strcmp(k->name, name) != 0)
            continue;
        if (q->seen >> (k - known) & 1)
            q->r = err_field(&q->c->err, pointer, "repeated", "is there twice");
        q->seen |= UINT64_C(1) << (k - known);
        return true;
    }
    q->r = err_field(&q->c->err, pointer, "unknown_parameter",
                     "is not a parameter of this path");
    return true;
}

/* A media type without its parameters (RFC 9110 section 8.3.1). */
static bool
is_json(const char *type)
{
    size_t n = strcspn(type, "; \t");

    return n == 16 && strncasecmp(type, "application/json", n) == 0;
}

/* RFC 9110 section 15.5.16: also where what the type says is compressed. */
static int
check_type(struct call *c)
{
    const char *type = http_header(c->rq, "Content-Type");
    const char *coding = http_header(c->rq, "Content-Encoding");

    if (c->m.route->body == BODY_JSON && type && !is_json(type))
        return err_set(&c->err, -EINVAL, "media_type",
                       "the body must be application/json");
    if (c->m.route->body && coding && strcasecmp(coding, "identity") != 0)
        return err_set(&c->err, -EINVAL, "media_type",
                       "the body must come without Content-Encoding");
    return 0;
}

static int
check_request(struct call *c)
{
    struct query_check q = {.c = c};
    const char *key = http_header(c->rq, "Idempotency-Key");
    int r = check_type(c);

    http_each_query(c->rq, check_one_query, &q);
    if (q.r < 0 || r < 0)
        return -EINVAL;
    if (key && (!*key || strlen(key) > KEY_MAX))
        return err_set(&c->err, -EINVAL, "bad_idempotency_key",
                       "Idempotency-Key must have 1 to %d characters", KEY_MAX);
    return 0;
}

static int
route_call(struct call *c)
{
    static const struct api_route none = {.status = 404};

    if (http_well_formed(c->rq, &c->err) < 0) {
        c->m.route = &none;
        return rate_check(c, -EINVAL);
    }
    api_route_match(c->rq->method, c->rq->path, &c->m);
    if (!c->m.route) {
        bool mismatch = c->m.method_mismatch;

        c->m.route = &none;
        if (mismatch)
            return rate_check(c, err_set(&c->err, -EINVAL, "method_not_allowed",
                                         "%s is not for this path; it takes %s",
                                         c->rq->method, c->m.allow));
        return rate_check(c, err_set(&c->err, -ENOENT, "not_found",
                                     "there is no path %.200s", c->rq->path));
    }
    c->h = &handlers[c->m.route->id];
    if (atomic_load(&c->ctl->stopping))
        return err_set(&c->err, -EAGAIN, "shutting_down",
                       "the controller is stopping");
    int r = c->m.route->auth == AUTH_TOKEN  ? auth_token(c)
            : c->m.route->auth == AUTH_NODE ? auth_node(c)
                                            : 0;
    return rate_check(c, r);
}

static void
finish(struct call *c)
{
    figures_replied(c);
    http_put_header(c->rq, "X-Request-Id", c->request_id);
    http_put_header(c->rq, "X-Content-Type-Options", "nosniff");
    rate_headers(c);
    if (c->m.route->id < ROUTE_DASHBOARD)
        http_put_header(c->rq, "Cache-Control", "no-store");
}

static void
fail(struct call *c, int number)
{
    reply_problem(c, number, &c->err);
    audit_refused(c);
    finish(c);
}

static void
on_begin(struct http_req *rq, void *arg)
{
    struct call *c = xnew(struct call);

    c->ctl = arg;
    c->begun_us = clock_mono_us();
    c->rq = rq;
    rq->user = c;
    count_active(c->ctl, 1, 0);
    set_request_id(c);
    int r = route_call(c);
    if (r == 0)
        r = check_request(c);
    if (r == 0)
        figures_begun(c);
    if (r == 0 && c->h->stream_begin) {
        r = with_reader(c, c->h->stream_begin);
        rq->stream = r == 0;
    }
    if (r < 0)
        fail(c, r);
}

static void
on_data(struct http_req *rq, const void *data, size_t n, void *arg)
{
    struct call *c = rq->user;
    int r = c->h->stream_data(c, data, n);

    if (r == 0)
        return;
    fail(c, r);
    /* The rest still comes in, and is dropped: give the room back now. */
    if (c->work && c->work_free)
        c->work_free(TAKE_PTR(c->work));
}

/* ---- the writer's job ---- */

static struct call *
call_of(struct db_job *job)
{
    return (struct call *)((char *)job - offsetof(struct call, job));
}

/* The Location line of the reply, for the idempotency row. */
static char *
location_of(struct call *c)
{
    const char *p = c->rq->headers.len
                        ? strstr(buf_str(&c->rq->headers), "Location: ")
                        : NULL;

    return p ? xstrndup(p + 10, strcspn(p + 10, "\n")) : NULL;
}

static int
replay(struct call *c, const struct store_reply *old,
       const unsigned char hash[HASH_LEN])
{
    if (memcmp(old->request_hash, hash, HASH_LEN) != 0)
        return err_set(&c->err, -EINVAL, "idempotency_key_reused",
                       "this Idempotency-Key came with another request "
                       "before; use a new key");
    if (!old->body[0] && old->status != 204)
        return err_set(&c->err, -EEXIST, "secret_not_repeated",
                       "this was done before, and its secret was in that "
                       "reply only: delete what it made and create another");
    COUNT(idempotency_replayed);
    buf_adds(&c->rq->reply, old->body);
    c->rq->status = old->status;
    if (old->location)
        http_add_header(c->rq, "Location", "%s", old->location);
    http_add_header(c->rq, "Idempotency-Replayed", "true");
    c->h = NULL; /* nothing was done: nothing to undo or to tell */
    return 0;
}

/* Replies that hold a secret are not kept: only hashes of secrets are. */
static bool
reply_is_secret(const struct call *c)
{
    return c->m.route->id == ROUTE_TOKEN_CREATE ||
           c->m.route->id == ROUTE_JOIN_TOKEN_CREATE ||
           c->m.route->id == ROUTE_LOGIN ||
           c->m.route->id == ROUTE_WEBHOOK_CREATE;
}

/* The change, and in the same transaction what is told of it. */
static int
run_write(struct call *c, struct db *db)
{
    int r = call_resolve_acting(c, db);

    if (r == 0)
        r = c->h->write(c, db);
    if (r < 0)
        return r;
    r = events_of_call(c, db);
    if (r == 0)
        r = audit_done(c, db);
    if (r < 0) {
        if (c->h->undo)
            c->h->undo(c);
        return store_error(c, db, r);
    }
    return 0;
}

static int
run_once(struct call *c, struct db *db)
{
    const char *key = http_header(c->rq, "Idempotency-Key");
    struct store_reply old = {0};
    unsigned char hash[HASH_LEN];
    /* Their rights may have gone while it waited or was uploaded. */
    int r = auth_again(c);

    if (r < 0)
        return r;
    if (!key || strcmp(c->rq->method, "POST") != 0 || !c->who.key_owner[0])
        return run_write(c, db);
    struct hash *h = hash_begin();
    const char *project = http_query(c->rq, "project");
    hash_add(h, c->rq->path, strlen(c->rq->path) + 1);
    if (project)
        hash_add(h, project, strlen(project) + 1);
    hash_add(h, c->rq->body.data, c->rq->body.len);
    if (c->has_print)
        hash_add(h, c->print, sizeof(c->print));
    hash_end(h, hash);
    r = store_reply_get(db, c->who.key_owner, key, &old);
    if (r == 0)
        r = replay(c, &old, hash);
    else if (r == -ENOENT)
        r = run_write(c, db);
    else
        return store_error(c, db, r);
    store_reply_release(&old);
    if (r < 0 || !c->h)
        return r;
    struct store_reply row = {
        .status = c->rq->status,
        .location = location_of(c),
        .body = (char *)(reply_is_secret(c) ? "" : buf_str(&c->rq->reply))};
    memcpy(row.request_hash, hash, sizeof(hash));
    r = store_reply_insert(db, c->who.key_owner, key, &row, clock_now_us());
    free(row.location);
    if (r < 0) {
        if (c->h->undo)
            c->h->undo(c);
        return store_error(c, db, r);
    }
    return 0;
}

static int
job_run(struct db *db, struct db_job *job)
{
    struct call *c = call_of(job);
    int r = run_once(c, db);

    if (r < 0)
        quota_undo(c);
    return r;
}

static void
job_undo(struct db_job *job)
{
    struct call *c = call_of(job);

    if (c->h && c->h->undo)
        c->h->undo(c);
    quota_undo(c);
}

static void
job_done(struct db_job *job, int result)
{
    struct call *c = call_of(job);

    c->result = result;
    if (result >= 0 && c->h) {
        quota_committed(c);
        if (c->h->committed)
            c->h->committed(c);
        if (c->notify_node[0])
            waiters_notify(c->ctl, waiters_key(c->notify_node));
        if (c->notify_operation[0])
            waiters_notify(c->ctl, waiters_key(c->notify_operation));
        events_committed(c->ctl);
        /* Whatever takes a credential away is among these routes. */
        if (streq(c->m.route->tag, "tenants"))
            events_recheck(c->ctl);
    } else if (result == -ENOSPC && !c->err.number) {
        err_set(&c->err, result, "storage_full",
                "the controller's disk is full; nothing was changed");
    } else if (result < 0 && !c->err.number) {
        err_set(&c->err, result, "storage_error",
                "the controller cannot write to its database; nothing was "
                "changed");
    }
    struct ctl *ctl = c->ctl; /* the call may end once it is resumed */
    http_resume(c->rq);
    count_active(ctl, 0, -1);
}

static void
submit(struct call *c)
{
    c->submitted = true;
    c->job.run = job_run;
    c->job.undo = job_undo;
    c->job.done = job_done;
    db_writer_submit(c->ctl->writer, &c->job);
}

static void *
finish_stream(void *arg)
{
    struct call *c = arg;
    int r = c->h->slow ? c->h->slow(c) : c->h->stream_finish(c);

    if (r == 0 && c->h->write) {
        submit(c);
    } else {
        struct ctl *ctl = c->ctl;

        c->submitted = true;
        /* It may have taken long enough for their rights to go. */
        c->result = r < 0 ? r : auth_again(c);
        http_resume(c->rq);
        count_active(ctl, 0, -1);
    }
    return NULL;
}

/* ---- handle ---- */

static int
decode_body(struct call *c)
{
    const struct api_route *r = c->m.route;

    if (!r->in || c->in)
        return 0;
    c->in = xcalloc(1, r->in->size);
    enum codec_mode mode = r->auth == AUTH_NODE ? CODEC_PEER : CODEC_REQUEST;
    int e = codec_decode(r->in, mode, buf_str(&c->rq->body), c->rq->body.len,
                         c->in, &c->err);
    if (e < 0)
        freep(&c->in);
    return e;
}

static int
start_write(struct call *c)
{
    pthread_t t;
    pthread_attr_t attr;

    count_active(c->ctl, 0, 1);
    if (atomic_load(&c->ctl->stopping)) {
        count_active(c->ctl, 0, -1);
        return err_set(&c->err, -EAGAIN, "shutting_down",
                       "the controller is stopping");
    }
    http_suspend(c->rq);
    if (!c->h->stream_finish && !c->h->slow) {
        submit(c);
        return CALL_WAIT;
    }
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int r = pthread_create(&t, &attr, finish_stream, c);
    pthread_attr_destroy(&attr);
    if (r != 0) {
        c->submitted = true;
        c->result = err_set(&c->err, -EAGAIN, "busy", "no thread is free");
        http_resume(c->rq);
        count_active(c->ctl, 0, -1); /* we are its thread: it still lives */
    }
    return CALL_WAIT;
}

static enum http_next
on_handle(struct http_req *rq, void *arg)
{
    struct call *c = rq->user;
    int r;

    if (rq->status == 413) {
        fail(c, err_set(&c->err, -EINVAL, "body_too_large",
                        "the body is larger than %zu bytes", HTTP_BODY_MAX));
        return HTTP_REPLY;
    }
    if (rq->status == 431) {
        fail(c, err_set(&c->err, -EINVAL, "head_too_large",
                        "the request's line and headers are larger than the "
                        "8 KiB that there are for them"));
        return HTTP_REPLY;
    }
    /* A write has set its status before the commit, which may have failed. */
    if (rq->status && !c->submitted)
        return HTTP_REPLY;
    r = c->submitted ? c->result : decode_body(c);
    if (r >= 0 && !c->submitted && c->handled)
        r = auth_again(c);
    if (r >= 0 && !c->submitted) {
        c->handled = true;
        r = c->h->plain ? c->h->plain(c) : CALL_WRITE;
        if (r == CALL_WRITE && (c->h->write || c->h->slow))
            r = start_write(c);
        else if (r == CALL_WRITE || r == CALL_READ)
            r = with_reader(c, c->h->read);
        if (r == CALL_WAIT)
            return HTTP_WAIT;
    }
    if (r < 0)
        fail(c, r);
    else
        finish(c);
    return HTTP_REPLY;
}

static void
on_end(struct http_req *rq, void *arg)
{
    struct call *c = rq->user;

    if (!c)
        return;
    log_debug("request", "req=%s from=%s method=%s path=\"%.200s\" status=%d",
              c->request_id, rq->remote, rq->method, rq->path, rq->status);
    if (c->in) {
        codec_clear(c->m.route->in, c->in);
        free(c->in);
    }
    nodes_drop(c);
    figures_ended(c);
    if (c->work && c->work_free)
        c->work_free(c->work);
    codec_list_clear(&table_quota_fault, &c->quota_faults);
    err_release(&c->err);
    count_active(c->ctl, -1, 0);
    free(c);
}

const struct http_ops ctl_http_ops = {
    .begin = on_begin,
    .data = on_data,
    .handle = on_handle,
    .end = on_end,
    .upgraded = console_upgraded,
};
