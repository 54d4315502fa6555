/* request.c - answers the controller's questions, each on a short-lived
 * thread; docs/PROTOCOL.md, "Requests". A question that cannot be taken is
 * dropped: the client is told after the controller's time limit, and asks
 * again. */
#include <config.h>

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "agentd/agent.h"
#include "agentd/console.h"
#include "common/clock.h"
#include "common/count.h"
#include "common/mem.h"

#define CONSOLES_MAX 32
#define OTHERS_MAX 16
/* A request may come again in the next answer while it is being answered. */
#define RECENT 256
#define TIMEOUT_MS 10000
#define LOG_DEFAULT 65536
#define LOG_MAX (1 << 20)
/* How long a console waits for the session that it replaces. */
#define REPLACE_US (5 * US_PER_S)

struct request {
    struct requests *all;
    char id[ID_SIZE], instance_id[ID_SIZE];
    enum api_request_kind kind;
    int64_t offset, limit;
    struct console console; /* REQUEST_CONSOLE */
    struct request *next, **pprev;
};

struct requests {
    struct agent *a;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct request *running;       /* lock */
    unsigned n_consoles, n_others; /* lock */
    bool stop;                     /* lock */
    char recent[RECENT][ID_SIZE];  /* the poller */
    unsigned recent_at;            /* the poller */
};

/* ---- answers ---- */

static void
reply(struct request *rq, struct link_client *lc, const char *type,
      const char *const *headers, const struct buf *body)
{
    struct err e _cleanup_(err_release) = {0};
    struct httpc_reply got = {0};
    char path[80];

    snprintf(path, sizeof(path), "/v1/agent/requests/%s", rq->id);
    struct httpc_request call = HTTPC_REQUEST("POST", path);
    call.content_type = type;
    call.headers = headers;
    call.body = buf_str(body);
    call.body_len = body->len;
    call.timeout_ms = TIMEOUT_MS;
    int r = link_call(lc, &call, &got, &e);
    if (r == 0)
        httpc_reply_release(&got);
    else if (r != -ENOENT && r != -ECANCELED) /* ENOENT: nobody waits now */
        log_limited(LOG_LEVEL_WARN, "cannot answer a request",
                    "inst=%s error=\"%s\"", rq->instance_id, e.message);
}

static void
reply_problem(struct request *rq, struct link_client *lc, int r,
              const struct err *e)
{
    bool missing = r == -ENOENT;
    struct api_problem p = {
        .type = (char *)"about:blank",
        .title = (char *)(missing ? "Conflict" : "Service Unavailable"),
        .status = missing ? 409 : 503,
        .detail = (char *)(*e->message ? e->message : strerrordesc_np(-r)),
        .code = (char *)(missing    ? "not_running"
                         : *e->code ? e->code
                                    : "node_failed"),
    };
    struct buf body _cleanup_(buf_release) = {0};

    codec_encode(&table_problem, &p, &body);
    reply(rq, lc, "application/problem+json", NULL, &body);
}

static int
answer_log(struct request *rq, struct link_client *lc, struct err *e)
{
    char *dir _cleanup_(freep) =
        core_instance_dir(rq->all->a->core, rq->instance_id);
    struct buf body _cleanup_(buf_release) = {0};
    int64_t limit = rq->limit > 0 ? rq->limit : LOG_DEFAULT;
    int64_t offset = rq->offset, end = 0;
    char offset_line[64], end_line[64];
    const char *headers[] = {offset_line, end_line, NULL};

    if (!dir)
        return err_set(e, -ENOENT, "not_found",
                       "the node does not have this instance");
    int r =
        hv_console_log(rq->all->a->hv, dir, &offset,
                       (size_t)MIN(limit, (int64_t)LOG_MAX), &body, &end, e);
    if (r < 0)
        return r;
    snprintf(offset_line, sizeof(offset_line), "Virga-Log-Offset: %" PRId64,
             offset);
    snprintf(end_line, sizeof(end_line), "Virga-Log-End: %" PRId64, end);
    reply(rq, lc, "application/octet-stream", headers, &body);
    return 0;
}

static int
answer_stats(struct request *rq, struct link_client *lc, struct err *e)
{
    struct buf body _cleanup_(buf_release) = {0};
    struct hv_stats st;
    int r = hv_stats(rq->all->a->hv, rq->instance_id, &st, e);

    if (r < 0)
        return r;
    struct api_stats s = {
        .cpu_ns = (int64_t)st.cpu_ns,
        .memory_bytes = (int64_t)st.memory_bytes,
        .disk_read_bytes = (int64_t)st.disk_read_bytes,
        .disk_write_bytes = (int64_t)st.disk_write_bytes,
        .disk_read_ops = (int64_t)st.disk_read_ops,
        .disk_write_ops = (int64_t)st.disk_write_ops,
        .net_rx_bytes = (int64_t)st.net_rx_bytes,
        .net_tx_bytes = (int64_t)st.net_tx_bytes,
    };
    codec_encode(&table_stats, &s, &body);
    reply(rq, lc, NULL, NULL, &body);
    return 0;
}

/* Ends older sessions of the same VM and waits for them: its console takes
 * one at a time. */
static void
replace_older(struct request *rq)
{
    struct requests *all = rq->all;
    int64_t at = clock_mono_us() + REPLACE_US;
    struct timespec ts = {.tv_sec = at / US_PER_S,
                          .tv_nsec = at % US_PER_S * 1000};
    bool waited_out = false;

    pthread_mutex_lock(&all->lock);
    while (!waited_out && !all->stop) {
        struct request *older = rq->next; /* newer ones stand before us */

        while (older && (older->kind != REQUEST_CONSOLE ||
                         !streq(older->instance_id, rq->instance_id)))
            older = older->next;
        if (!older)
            break;
        console_end(&older->console);
        waited_out =
            pthread_cond_timedwait(&all->changed, &all->lock, &ts) == ETIMEDOUT;
    }
    pthread_mutex_unlock(&all->lock);
}

static int
answer_console(struct request *rq, struct link_client *lc, struct err *e)
{
    char path[80];
    bool began;

    if (!core_knows(rq->all->a->core, rq->instance_id))
        return err_set(e, -ENOENT, "not_found",
                       "the node does not have this instance");
    replace_older(rq);
    snprintf(path, sizeof(path), "/v1/agent/console/%s", rq->id);
    int r = console_run(&rq->console, rq->all->a->hv, rq->instance_id, lc, path,
                        &began, e);
    return began ? 0 : r;
}

static void
request_free(struct request *rq)
{
    if (rq->kind == REQUEST_CONSOLE)
        console_release(&rq->console);
    free(rq);
}

static void *
request_main(void *arg)
{
    struct request *rq = arg;
    struct requests *all = rq->all;
    struct link_client *lc = link_client_new(all->a->link);
    struct err e _cleanup_(err_release) = {0};
    int r;

    if (rq->kind == REQUEST_CONSOLE_LOG)
        r = answer_log(rq, lc, &e);
    else if (rq->kind == REQUEST_STATS)
        r = answer_stats(rq, lc, &e);
    else
        r = answer_console(rq, lc, &e);
    if (r < 0)
        reply_problem(rq, lc, r, &e);
    link_client_free(lc);
    pthread_mutex_lock(&all->lock);
    *rq->pprev = rq->next;
    if (rq->next)
        rq->next->pprev = rq->pprev;
    if (rq->kind == REQUEST_CONSOLE)
        all->n_consoles--;
    else
        all->n_others--;
    request_free(rq);
    /* The last thing done with `all`: requests_stop() waits for it. */
    pthread_cond_broadcast(&all->changed);
    pthread_mutex_unlock(&all->lock);
    return NULL;
}

/* ---- taking them ---- */

static bool
is_repeated(struct requests *all, const char *id)
{
    for (unsigned i = 0; i < RECENT; i++)
        if (streq(all->recent[i], id))
            return true;
    snprintf(all->recent[all->recent_at++ % RECENT], ID_SIZE, "%s", id);
    return false;
}

/* With the lock. */
static int
start(struct requests *all, struct request *rq)
{
    bool console = rq->kind == REQUEST_CONSOLE;
    unsigned *n = console ? &all->n_consoles : &all->n_others;
    pthread_attr_t attr;
    pthread_t thread;

    if (all->stop || *n >= (console ? CONSOLES_MAX : OTHERS_MAX))
        return -EBUSY;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    rq->next = all->running;
    if (rq->next)
        rq->next->pprev = &rq->next;
    rq->pprev = &all->running;
    all->running = rq;
    ++*n;
    int r = -pthread_create(&thread, &attr, request_main, rq);
    pthread_attr_destroy(&attr);
    if (r < 0) {
        --*n;
        all->running = rq->next;
        if (rq->next)
            rq->next->pprev = &all->running;
    }
    return r;
}

void
requests_take(struct requests *all, const struct api_node_request *r)
{
    if (is_repeated(all, r->id))
        return;
    struct request *rq = xnew(struct request);
    rq->all = all;
    memcpy(rq->id, r->id, ID_SIZE);
    memcpy(rq->instance_id, r->instance_id, ID_SIZE);
    rq->kind = (enum api_request_kind)r->kind;
    rq->offset = r->offset;
    rq->limit = r->limit;
    int e = rq->kind == REQUEST_CONSOLE ? console_init(&rq->console) : 0;
    if (e < 0) {
        free(rq);
    } else {
        pthread_mutex_lock(&all->lock);
        e = start(all, rq);
        pthread_mutex_unlock(&all->lock);
        if (e < 0)
            request_free(rq);
    }
    if (e < 0) {
        COUNT(agent_request_dropped);
        log_limited(LOG_LEVEL_WARN,
                    "a request is dropped, the client asks "
                    "again",
                    "inst=%s error=\"%s\"", r->instance_id,
                    strerrordesc_np(-e));
    }
}

int
requests_new(struct agent *a, struct requests **ret)
{
    struct requests *all = xnew(struct requests);
    pthread_condattr_t attr;

    all->a = a;
    pthread_mutex_init(&all->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&all->changed, &attr);
    pthread_condattr_destroy(&attr);
    *ret = all;
    return 0;
}

void
requests_stop(struct requests *all)
{
    if (!all)
        return;
    pthread_mutex_lock(&all->lock);
    all->stop = true;
    for (struct request *rq = all->running; rq; rq = rq->next)
        if (rq->kind == REQUEST_CONSOLE)
            console_end(&rq->console);
    pthread_cond_broadcast(&all->changed);
    while (all->running)
        pthread_cond_wait(&all->changed, &all->lock);
    pthread_mutex_unlock(&all->lock);
    pthread_cond_destroy(&all->changed);
    pthread_mutex_destroy(&all->lock);
    free(all);
}
