/* poll.c - receives the desired state; docs/PROTOCOL.md, "Desired state". The
 * question is the heartbeat as well: with nothing to answer it is held back for
 * that time, and then asked again. */
#include <config.h>

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "agentd/agent.h"
#include "common/clock.h"
#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"

/* The longest that a controller holds an answer back. */
#define WAIT_MAX_US (60 * US_PER_S)
/* Beyond the time that the answer may be held back. */
#define GRACE_MS 15000
#define REPLY_MAX ((size_t)16 << 20)

struct poller {
    struct agent *a;
    struct link_client *lc;
    pthread_t thread;
    int64_t since;
    /* A full listing under way: behind which seq it goes on; -1: none. */
    int64_t after;
    bool given_up; /* and all wishes are forgotten */
};

static int
ask(struct poller *p, struct api_desired *ret, struct err *e)
{
    struct httpc_reply reply _cleanup_(httpc_reply_release) = {0};
    char path[128];
    int64_t wait_ms = MIN(p->a->cfg.heartbeat_us, WAIT_MAX_US) / 1000;

    if (p->after >= 0)
        snprintf(path, sizeof(path), "/v1/agent/desired?since=0&after=%" PRId64,
                 p->after);
    else
        snprintf(path, sizeof(path),
                 "/v1/agent/desired?since=%" PRId64 "&wait=%" PRId64 "ms",
                 p->since, wait_ms);
    struct httpc_request rq = HTTPC_REQUEST("GET", path);
    rq.timeout_ms = wait_ms + GRACE_MS;
    rq.max_reply = REPLY_MAX;
    int r = link_call(p->lc, &rq, &reply, e);
    if (r < 0)
        return r;
    return codec_decode(&table_desired, CODEC_PEER, buf_str(&reply.body),
                        reply.body.len, ret, e);
}

/* Stores and applies an answer, and moves on to the next question. */
static int
take(struct poller *p, struct api_desired *d, struct err *e)
{
    struct api_node_request *requests = d->requests.items;
    bool first = d->full && p->after < 0;

    if (d->full && d->more && d->seq <= p->after)
        return err_set(e, -EPROTO, "bad_reply",
                       "the controller's listing does not move on");
    if (d->instances.n || d->full || d->seq != p->since) {
        int r = core_apply(p->a->core, d, first);

        if (r < 0)
            return err_errno(e, r, "cannot store the desired state");
    }
    for (size_t i = 0; i < d->requests.n; i++)
        requests_take(p->a->requests, &requests[i]);
    if (d->full && d->more) {
        p->after = d->seq;
    } else {
        p->after = -1;
        p->since = d->seq;
    }
    return 0;
}

/* The controller knows this node, and has given it up: its instances are lost
 * to their tenants, whatever runs here. Without wishes for them their VMs are
 * strangers, which are left alone and never started again. */
static int
given_up(struct poller *p, struct err *e)
{
    struct api_desired nothing = {.full = true};

    if (p->given_up)
        return 0;
    log_error("the controller has given this node up; its VMs are left alone, "
              "and none is started again",
              "join it again as a new node, with another --state-dir");
    int r = core_apply(p->a->core, &nothing, true);
    if (r < 0)
        return err_errno(e, r, "cannot forget the desired state");
    p->given_up = true;
    p->since = 0;
    return 0;
}

static void *
poller_main(void *arg)
{
    struct poller *p = arg;
    struct backoff b = {.base_us = US_PER_S / 4, .max_us = 15 * US_PER_S};

    while (!link_is_down(p->a->link)) {
        struct err e _cleanup_(err_release) = {0};
        struct api_desired d = {0};
        int64_t asked = clock_mono_us();
        bool had_more = false;
        int r = ask(p, &d, &e);

        if (r == 0) {
            had_more = d.more || d.instances.n || d.requests.n;
            r = take(p, &d, &e);
            codec_clear(&table_desired, &d);
        }
        if (r == 0)
            b.n = 0;
        if (r == -ECANCELED)
            continue;
        if (r < 0 && streq(e.code, "node_lost")) {
            struct err why _cleanup_(err_release) = {0};

            if (given_up(p, &why) < 0)
                log_limited(LOG_LEVEL_ERROR, "cannot give up its instances",
                            "error=\"%s\"", why.message);
        }
        if (r < 0) {
            COUNT(agent_poll_failed);
            log_limited(LOG_LEVEL_WARN,
                        "cannot get the desired state, trying again later",
                        "error=\"%s\"", e.message);
            p->after = -1; /* a listing that broke off starts over */
            link_wait_us(p->a->link, backoff_next_us(&b));
        } else if (!had_more && clock_mono_us() - asked < US_PER_S / 20) {
            /* An empty answer at once is not what long polls are for; do not
             * let such a controller make this a busy loop. */
            link_wait_us(p->a->link, US_PER_S / 20);
        }
    }
    return NULL;
}

int
poller_start(struct agent *a, struct poller **ret)
{
    struct poller *p = xnew(struct poller);

    p->a = a;
    p->after = -1;
    int r = state_desired_seq(a->st, &p->since);
    if (r < 0) {
        free(p);
        return r;
    }
    p->lc = link_client_new(a->link);
    r = -pthread_create(&p->thread, NULL, poller_main, p);
    if (r < 0) {
        link_client_free(p->lc);
        free(p);
        return r;
    }
    pthread_setname_np(p->thread, "poll");
    *ret = p;
    return 0;
}

void
poller_stop(struct poller *p)
{
    if (!p)
        return;
    pthread_join(p->thread, NULL);
    link_client_free(p->lc);
    free(p);
}
