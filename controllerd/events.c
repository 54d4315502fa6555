/* events.c - hands committed events to those who listen; see events.h.
 *
 *             cursor < last_seq                   reads from its cursor on
 *   subscribe ----------------> behind <-----------------+
 *                                | |  no room            | drained()
 *                 has caught up  | +--------> blocked ---+
 *                                v                ^
 *                              live --------------+ no room
 *
 * One thread reads what was committed, once for all that are live (fan_out()),
 * and for each that is behind what it lacks (catch_up()).
 *
 * Invariants:
 *  1. live: every event up to last_seq that is wanted was sent; last_seq and
 *     the state of a subscription change on the thread only, but blocked.
 *  2. A subscription is freed by its call's end, or, while the thread reads
 *     for it without the lock (busy), by the thread after that.
 *  3. Who lost their rights is told nothing that was committed after that:
 *     rows that were read are given to nobody once `recheck` is set. */
#include <config.h>

#include "controllerd/events.h"

#include <string.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"
#include "controllerd/store/store_event.h"
#include "controllerd/webhooks.h"

#define BATCH 200
#define STREAM_BYTES 32768 /* that a stream holds for its client */
#define TICK_US US_PER_S
#define PING_US (15 * US_PER_S)

struct sub {
    struct sub *prev, *next;
    struct events *hub;
    struct http_stream *stream; /* NULL: a waiting call */
    struct call *c;             /* of a waiting call, while it waits */
    struct principal who;
    struct event_filter filter;
    int64_t cursor, sent_us;
    bool live, blocked, over, gone;
};

struct events {
    struct ctl *ctl;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool running, stop, kick, recheck; /* lock */
    struct sub *subs, *busy;           /* lock */
    struct sub *at; /* lock; who is next to catch up in this round */
    int n_streams;  /* lock */
    _Atomic int n_subs;
    /* The thread's own. */
    struct db *db;
    int64_t last_seq, next_tick_us;
};

/* ---- subscriptions ---- */

static void
sub_free(struct sub *s)
{
    http_stream_unref(s->stream);
    free(s);
}

static void
unsubscribe(void *p)
{
    struct sub *s = p;
    struct events *h = s->hub;

    pthread_mutex_lock(&h->lock);
    if (h->at == s)
        h->at = s->next;
    if (s->prev)
        s->prev->next = s->next;
    else
        h->subs = s->next;
    if (s->next)
        s->next->prev = s->prev;
    h->n_streams -= s->stream != NULL;
    atomic_fetch_sub(&h->n_subs, 1);
    bool busy = s->gone = h->busy == s;
    pthread_mutex_unlock(&h->lock);
    if (!busy)
        sub_free(s);
}

/* REQUIRES(h->lock) */
static void
kick(struct events *h)
{
    h->kick = true;
    pthread_cond_signal(&h->wake);
}

/* REQUIRES(h->lock). Becomes the call's. */
static struct sub *
subscribe(struct events *h, struct call *c, const struct event_filter *f,
          int64_t after)
{
    struct sub *s = xnew(struct sub);

    s->hub = h;
    s->who = c->who;
    s->filter = *f;
    s->cursor = after;
    s->sent_us = clock_mono_us();
    s->next = h->subs;
    if (s->next)
        s->next->prev = s;
    h->subs = s;
    atomic_fetch_add(&h->n_subs, 1);
    kick(h);
    c->work = s;
    c->work_free = unsubscribe;
    return s;
}

static void
drained(void *arg)
{
    struct sub *s = arg;

    pthread_mutex_lock(&s->hub->lock);
    s->blocked = false;
    kick(s->hub);
    pthread_mutex_unlock(&s->hub->lock);
}

/* REQUIRES(h->lock) */
static int
check_limits(struct events *h, struct call *c)
{
    const struct ctl_config *cfg = &c->ctl->cfg;
    int own = 0;

    if (h->stop)
        return err_set(&c->err, -EAGAIN, "shutting_down",
                       "the controller is stopping");
    for (const struct sub *s = h->subs; s; s = s->next)
        own +=
            s->stream && streq(principal_key(&s->who), principal_key(&c->who));
    if (own < cfg->max_streams_per_token && h->n_streams < cfg->max_streams)
        return 0;
    COUNT(event_stream_refused);
    return err_set(&c->err, -EAGAIN, "too_many_streams",
                   "there are too many streams of events, %s: end one, or "
                   "try later",
                   own < cfg->max_streams_per_token ? "of all clients"
                                                    : "of this token");
}

int
events_stream(struct call *c, const struct event_filter *f,
              const struct buf *first, int64_t after)
{
    struct events *h = c->ctl->events;

    pthread_mutex_lock(&h->lock);
    int r = check_limits(h, c);
    if (r == 0) {
        struct sub *s = subscribe(h, c, f, after);

        s->stream = http_reply_stream(c->rq, STREAM_BYTES, drained, s);
        h->n_streams++;
        h->recheck = true; /* its rights may have gone since it was let in */
        if (http_stream_send(s->stream, first->data, first->len) < 0)
            s->over = true;
        c->rq->content_type = "text/event-stream";
        c->rq->status = 200;
    }
    pthread_mutex_unlock(&h->lock);
    return r;
}

int
events_wait(struct call *c, const struct event_filter *f, int64_t after)
{
    struct events *h = c->ctl->events;
    /* Read before anybody can notify. */
    uint64_t version = waiters_version(c->ctl, (uintptr_t)c);
    struct sub *s = c->work;

    pthread_mutex_lock(&h->lock);
    if (!s)
        s = subscribe(h, c, f, after);
    s->cursor = after;
    s->live = s->over = false;
    s->c = c;
    kick(h);
    pthread_mutex_unlock(&h->lock);
    return waiters_wait(c, (uintptr_t)c, version);
}

int
events_streams(struct ctl *ctl)
{
    struct events *h = ctl->events;

    pthread_mutex_lock(&h->lock);
    int n = h->n_streams;
    pthread_mutex_unlock(&h->lock);
    return n;
}

void
events_committed(struct ctl *ctl)
{
    struct events *h = ctl->events;

    webhooks_committed(ctl);
    if (!h || atomic_load(&h->n_subs) == 0)
        return;
    pthread_mutex_lock(&h->lock);
    kick(h);
    pthread_mutex_unlock(&h->lock);
}

void
events_recheck(struct ctl *ctl)
{
    struct events *h = ctl->events;

    if (!h || atomic_load(&h->n_subs) == 0)
        return;
    pthread_mutex_lock(&h->lock);
    h->recheck = true;
    kick(h);
    pthread_mutex_unlock(&h->lock);
}

/* ---- the thread ---- */

/* REQUIRES(h->lock). Whether the next event can follow. */
static bool
give(struct sub *s, const struct api_event *e, struct buf *frame)
{
    if (e->seq <= s->cursor || !event_wanted(&s->filter, e)) {
        s->cursor = MAX(s->cursor, e->seq);
        return true;
    }
    if (!s->stream) {
        if (s->c)
            waiters_notify(s->hub->ctl, (uintptr_t)s->c);
        s->c = NULL; /* it looks for itself, and may wait again */
        s->live = true;
        return false;
    }
    if (!frame->len)
        event_sse(e, frame);
    int r = http_stream_send(s->stream, frame->data, frame->len);
    if (r == -ENOBUFS) {
        COUNT(event_stream_behind);
        s->blocked = true;
        s->live = false;
    } else if (r < 0) {
        s->over = true;
    } else {
        s->cursor = e->seq;
        s->sent_us = clock_mono_us();
    }
    return r == 0;
}

/* Rows that everybody who is live gets; whether to look for more. */
static bool
fan_out(struct events *h)
{
    struct codec_list l = {0};
    struct buf frames[BATCH] = {0};
    bool any = false;

    pthread_mutex_lock(&h->lock);
    for (const struct sub *s = h->subs; s && !any; s = s->next)
        any = s->live && !s->over && (s->stream || s->c);
    pthread_mutex_unlock(&h->lock);
    if (!any) {
        int64_t first;

        if (store_event_bounds(h->db, NULL, &first, &h->last_seq) < 0)
            COUNT(event_read_failed);
        return false;
    }
    if (store_event_list(h->db, NULL, h->last_seq, BATCH, &l) < 0)
        COUNT(event_read_failed); /* they follow at the next wake */
    const struct api_event *e = l.items;
    pthread_mutex_lock(&h->lock);
    bool recheck = h->recheck;
    for (struct sub *s = h->subs; s && l.n && !recheck; s = s->next)
        for (size_t i = 0; i < l.n && s->live && !s->over; i++)
            if (!give(s, &e[i], &frames[i]))
                break;
    pthread_mutex_unlock(&h->lock);
    if (l.n && !recheck)
        h->last_seq = e[l.n - 1].seq;
    for (size_t i = 0; i < l.n; i++)
        buf_release(&frames[i]);
    any = l.n > 0;
    codec_list_clear(&table_event, &l);
    return any;
}

/* REQUIRES(h->lock). Its client comes again, and is told if that is no use. */
static void
give_up(struct sub *s)
{
    s->over = true;
    if (s->stream)
        http_stream_end(s->stream, true);
    else if (s->c)
        waiters_notify(s->hub->ctl, (uintptr_t)s->c);
    s->c = NULL;
}

/* REQUIRES(h->lock), which is released while the rows are read. */
static void
catch_up(struct events *h, struct sub *s)
{
    struct event_filter f = s->filter;
    int64_t cursor = s->cursor;
    struct codec_list l = {0};
    size_t done = 0;

    if (cursor >= h->last_seq) {
        s->live = true;
        return;
    }
    h->busy = s;
    pthread_mutex_unlock(&h->lock);
    int r = store_event_list(h->db, f.project_id[0] ? f.project_id : NULL,
                             cursor, BATCH, &l);
    pthread_mutex_lock(&h->lock);
    h->busy = NULL;
    if (s->gone) {
        sub_free(s);
    } else if (r < 0) {
        COUNT(event_read_failed);
        give_up(s);
    } else if (s->cursor == cursor && !h->recheck) {
        /* Else the call has looked by itself, or all is read once more. */
        for (; done < l.n; done++) {
            struct buf frame _cleanup_(buf_release) = {0};

            if (!give(s, (struct api_event *)l.items + done, &frame))
                break;
        }
        /* What was committed when last_seq was read is in these rows. */
        if (done == l.n && l.n < BATCH)
            s->cursor = MAX(s->cursor, h->last_seq);
    }
    codec_list_clear(&table_event, &l);
}

/* One step for each that is behind; whether there were any. Each is looked at
 * once: whoever comes meanwhile stands before them all, and has kicked; whoever
 * goes takes `at` along. */
static bool
catch_up_all(struct events *h)
{
    uint64_t looked = 0;
    bool any = false;

    pthread_mutex_lock(&h->lock);
    h->at = h->subs;
    while (h->at && !h->stop) {
        struct sub *s = h->at;

        h->at = s->next;
        looked++;
        if (s->live || s->blocked || s->over || (!s->stream && !s->c))
            continue;
        catch_up(h, s);
        any = true;
    }
    h->at = NULL;
    pthread_mutex_unlock(&h->lock);
    COUNT(event_rounds);
    COUNT_N(event_subs_looked, looked);
    return any;
}

/* REQUIRES(h->lock) */
static void
look_after(struct events *h)
{
    int64_t now = clock_mono_us();

    if (!h->recheck && now < h->next_tick_us)
        return;
    h->recheck = false;
    h->next_tick_us = now + TICK_US;
    for (struct sub *s = h->subs; s; s = s->next) {
        if (!s->stream || s->over)
            continue;
        if (!auth_alive(h->ctl, &s->who, &api_routes[ROUTE_EVENT_LIST])) {
            COUNT(event_stream_revoked);
            give_up(s);
        } else if (http_stream_stalled(s->stream)) {
            COUNT(event_stream_stalled);
            give_up(s);
        } else if (now - s->sent_us >= PING_US) {
            /* No room: it has not been silent, only slow. */
            if (http_stream_send(s->stream, ":\n\n", 3) < 0)
                COUNT(event_ping_skipped);
            s->sent_us = now;
        }
    }
}

static void *
events_main(void *arg)
{
    struct events *h = arg;

    pthread_mutex_lock(&h->lock);
    while (!h->stop) {
        struct timespec ts;

        if (!h->kick && !h->subs) {
            pthread_cond_wait(&h->wake, &h->lock);
            continue;
        }
        if (!h->kick) {
            clock_gettime(CLOCK_MONOTONIC, &ts);
            ts.tv_sec += TICK_US / US_PER_S;
            pthread_cond_timedwait(&h->wake, &h->lock, &ts);
        }
        h->kick = false;
        /* However much there is to tell. */
        bool more;
        do {
            look_after(h);
            pthread_mutex_unlock(&h->lock);
            more = fan_out(h);
            more = catch_up_all(h) || more;
            pthread_mutex_lock(&h->lock);
        } while (more && !atomic_load(&h->ctl->stopping));
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

/* ---- start and stop ---- */

int
events_start(struct ctl *ctl, struct err *reterr)
{
    struct events *h = xnew(struct events);
    pthread_condattr_t attr;

    h->ctl = ctl;
    pthread_mutex_init(&h->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&h->wake, &attr);
    pthread_condattr_destroy(&attr);
    ctl->events = h;
    int r = store_open(ctl->db_path, false, &h->db, reterr);
    if (r < 0)
        return r;
    r = -pthread_create(&h->thread, NULL, events_main, h);
    if (r < 0)
        return err_errno(reterr, r, "cannot start the thread of events");
    h->running = true;
    pthread_setname_np(h->thread, "events");
    return 0;
}

void
events_stop(struct ctl *ctl)
{
    struct events *h = ctl->events;

    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->stop = true;
    kick(h);
    pthread_mutex_unlock(&h->lock);
    if (h->running)
        pthread_join(h->thread, NULL);
    h->running = false;
    pthread_mutex_lock(&h->lock);
    for (struct sub *s = h->subs; s; s = s->next)
        if (s->stream)
            http_stream_end(s->stream, false);
    pthread_mutex_unlock(&h->lock);
}

void
events_free(struct ctl *ctl)
{
    struct events *h = TAKE_PTR(ctl->events);

    if (!h)
        return;
    db_close(h->db);
    pthread_cond_destroy(&h->wake);
    pthread_mutex_destroy(&h->lock);
    free(h);
}
