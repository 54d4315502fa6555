/* webhooks.c - the thread that delivers; see webhooks.h.
 * Each turn: rows that changed, events that came, results of posts, what is
 * to be stored (one job of the writer at a time), and what may be sent now.
 * A hook that was just sent goes to the end of the list, so that every one has
 * its turn; a project has few posts under way, so that slow receivers of one
 * do not take all of the places. */
#include <config.h>

#include "controllerd/webhooks-private.h"

#include <string.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"
#include "controllerd/store/store_event.h"
#include "controllerd/store/store_webhook.h"

#define POSTS_MAX 256
#define POSTS_PER_PROJECT 4
#define BATCH 200
/* Rows that only say that nothing was for a webhook are stored so often. */
#define IDLE_SAVE_US (30 * US_PER_S)
#define RETRY_STORE_US US_PER_S
#define REDELIVER_MAX 64

struct webhooks {
    struct ctl *ctl;
    pthread_t thread;
    bool running;
    struct poster *poster;
    _Atomic int n_hooks;
    _Atomic bool woken;
    pthread_mutex_t lock;
    bool stop, changed, stored;             /* lock */
    int store_result;                       /* lock */
    char redeliver[REDELIVER_MAX][ID_SIZE]; /* lock */
    int n_redeliver;                        /* lock */
    /* The thread's own. */
    struct db *db;
    struct hook *hooks, **tail, *by_id;
    int64_t last_seq, next_idle_save_us, store_again_us;
    char source[16 + ID_SIZE];
    int n_posts;
    struct project_posts *posts;
    bool storing;
    bool stale; /* the rows could not be read */
    /* The writer's while `storing`, with the hooks in it, whose `flushing` is
     * set: the thread neither changes nor frees those, nor takes rows anew. */
    struct db_job job;
    struct hook **batch;
    size_t n_batch;
};

/* ---- from other threads ---- */

static void
wake(struct webhooks *ws)
{
    if (!atomic_exchange(&ws->woken, true))
        post_wake(ws->poster);
}

void
webhooks_committed(struct ctl *ctl)
{
    if (ctl->webhooks && atomic_load(&ctl->webhooks->n_hooks))
        wake(ctl->webhooks);
}

void
webhooks_changed(struct ctl *ctl)
{
    struct webhooks *ws = ctl->webhooks;

    if (!ws)
        return;
    pthread_mutex_lock(&ws->lock);
    ws->changed = true;
    pthread_mutex_unlock(&ws->lock);
    wake(ws);
}

void
webhooks_redeliver(struct ctl *ctl, const char *id)
{
    struct webhooks *ws = ctl->webhooks;

    if (!ws)
        return;
    pthread_mutex_lock(&ws->lock);
    if (ws->n_redeliver < REDELIVER_MAX)
        memcpy(ws->redeliver[ws->n_redeliver++], id, ID_SIZE);
    else
        COUNT(webhook_redeliver_dropped);
    pthread_mutex_unlock(&ws->lock);
    wake(ws);
}

/* ---- rows ---- */

static struct hook *
find_hook(struct webhooks *ws, const char *id)
{
    struct hook *h;

    HASH_FIND_STR(ws->by_id, id, h);
    return h;
}

static void
append(struct webhooks *ws, struct hook *h)
{
    h->next = NULL;
    *ws->tail = h;
    ws->tail = &h->next;
}

static void
remove_at(struct webhooks *ws, struct hook **at)
{
    struct hook *h = *at;

    *at = h->next;
    if (!*at)
        ws->tail = at;
}

static void
post_ended(struct webhooks *ws, const struct hook *h)
{
    ws->n_posts--;
    posts_end(&ws->posts, h->w.project_id);
}

static void
forget_unseen(struct webhooks *ws)
{
    struct hook **at = &ws->hooks;

    while (*at) {
        struct hook *h = *at;

        if (h->seen) {
            at = &h->next;
            continue;
        }
        remove_at(ws, at);
        if (h->post) {
            post_cancel(ws->poster, h->post);
            post_ended(ws, h);
        }
        HASH_DEL(ws->by_id, h);
        hook_free(h);
    }
}

static void
reload(struct webhooks *ws)
{
    struct codec_list l = {0};
    int n = 0;

    ws->stale = store_webhook_all(ws->db, &l) < 0;
    if (ws->stale) {
        COUNT(webhook_read_failed); /* again in a moment: sleep_us() */
        codec_list_clear(&table_webhook, &l);
        return;
    }
    for (struct hook *h = ws->hooks; h; h = h->next)
        h->seen = false;
    for (size_t i = 0; i < l.n; i++) {
        struct api_webhook *row = (struct api_webhook *)l.items + i;
        struct hook *h = find_hook(ws, row->id);

        if (!h) {
            h = xnew(struct hook);
            snprintf(h->id, sizeof(h->id), "%s", row->id);
            HASH_ADD_STR(ws->by_id, id, h);
            append(ws, h);
        }
        hook_take(h, row);
        h->seen = true;
        n += !h->w.disabled;
    }
    forget_unseen(ws);
    codec_list_clear(&table_webhook, &l);
    atomic_store(&ws->n_hooks, n);
}

static void
take_requests(struct webhooks *ws)
{
    char ids[REDELIVER_MAX][ID_SIZE];

    if (ws->storing)
        return; /* its end wakes us */
    pthread_mutex_lock(&ws->lock);
    bool changed = ws->changed;
    int n = ws->n_redeliver;
    memcpy(ids, ws->redeliver, sizeof(ids));
    ws->changed = false;
    ws->n_redeliver = 0;
    pthread_mutex_unlock(&ws->lock);
    if (changed || ws->stale)
        reload(ws);
    for (int i = 0; i < n; i++) {
        struct hook *h = find_hook(ws, ids[i]);

        if (!h)
            continue;
        h->letters = h->turn = true;
        h->w.next_attempt_at = 0;
    }
}

/* ---- events ---- */

static void
read_events(struct webhooks *ws)
{
    bool any = true;

    if (atomic_load(&ws->n_hooks) == 0)
        return;
    while (any) {
        struct codec_list l = {0};
        int r = store_event_list(ws->db, NULL, ws->last_seq, BATCH, &l);
        const struct api_event *e = l.items;

        if (r < 0)
            COUNT(webhook_read_failed);
        for (struct hook *h = ws->hooks; h; h = h->next)
            for (size_t i = 0; i < l.n && h->state == HOOK_IDLE &&
                               h->scanned >= ws->last_seq && !h->w.disabled;
                 i++)
                hook_offer(h, &e[i]);
        /* Who was level with the log is so again. */
        for (struct hook *h = ws->hooks; h && l.n; h = h->next)
            if (h->state == HOOK_IDLE && h->scanned >= ws->last_seq &&
                !h->w.disabled)
                h->scanned = MAX(h->scanned, e[l.n - 1].seq);
        if (l.n)
            ws->last_seq = e[l.n - 1].seq;
        any = l.n == BATCH;
        codec_list_clear(&table_event, &l);
    }
}

/* Those that are behind; whether there is more to find. */
static bool
find_events(struct webhooks *ws)
{
    bool more = false;

    for (struct hook *h = ws->hooks; h; h = h->next)
        if (!h->w.disabled && hook_find(h, ws->db, ws->last_seq))
            more = true;
    return more;
}

/* ---- storing ---- */

static int
store_run(struct db *db, struct db_job *job)
{
    struct webhooks *ws =
        (struct webhooks *)((char *)job - offsetof(struct webhooks, job));
    int r = 0;

    for (size_t i = 0; i < ws->n_batch && r == 0; i++)
        r = hook_store(ws->batch[i], db);
    return r;
}

static void
store_done(struct db_job *job, int result)
{
    struct webhooks *ws =
        (struct webhooks *)((char *)job - offsetof(struct webhooks, job));

    pthread_mutex_lock(&ws->lock);
    ws->stored = true;
    ws->store_result = result;
    pthread_mutex_unlock(&ws->lock);
    wake(ws);
}

static void
take_stored(struct webhooks *ws)
{
    pthread_mutex_lock(&ws->lock);
    bool stored = ws->stored;
    int r = ws->store_result;
    ws->stored = false;
    pthread_mutex_unlock(&ws->lock);
    if (!stored)
        return;
    ws->storing = false;
    if (r < 0) {
        COUNT(webhook_store_failed);
        ws->store_again_us = clock_mono_us() + RETRY_STORE_US;
    }
    for (size_t i = 0; i < ws->n_batch; i++) {
        if (r >= 0)
            hook_stored(ws->batch[i]);
        ws->batch[i]->flushing = false;
    }
    ws->n_batch = 0;
    freep(&ws->batch);
}

static void
add_to_batch(struct webhooks *ws, struct hook *h)
{
    if (ws->n_batch % 64 == 0)
        ws->batch =
            xrealloc(ws->batch, (ws->n_batch + 64) * sizeof(struct hook *));
    ws->batch[ws->n_batch++] = h;
    h->flushing = true;
}

/* What has an outcome, in one job; `idle` ones as well now and then. */
static void
store(struct webhooks *ws, bool last)
{
    int64_t now = clock_mono_us();
    bool idle = last || now >= ws->next_idle_save_us;

    if (ws->storing || (now < ws->store_again_us && !last))
        return;
    for (struct hook *h = ws->hooks; h; h = h->next) {
        if (idle && h->state == HOOK_IDLE && h->scanned > h->saved_seq) {
            h->w.delivered_seq = h->scanned;
            h->state = HOOK_UNSAVED;
        }
        if (h->state == HOOK_UNSAVED)
            add_to_batch(ws, h);
    }
    if (idle)
        ws->next_idle_save_us = now + IDLE_SAVE_US;
    if (!ws->n_batch)
        return;
    ws->storing = true;
    db_writer_submit(ws->ctl->writer, &ws->job);
}

/* ---- sending ---- */

static void
post(struct webhooks *ws, struct hook *h, const struct api_event *e)
{
    int64_t now_s = clock_now_us() / US_PER_S;
    struct buf body _cleanup_(buf_release) = {0};
    struct buf signature _cleanup_(buf_release) = {0};

    webhook_body(e, ws->source, &body);
    webhook_sign(&h->key, e->id, now_s, body.data, body.len, &signature);
    char *id _cleanup_(freep) = xasprintf("webhook-id: %s", e->id);
    char *time _cleanup_(freep) =
        xasprintf("webhook-timestamp: %lld", (long long)now_s);
    char *sig _cleanup_(freep) =
        xasprintf("webhook-signature: %s", buf_str(&signature));
    const char *const headers[] = {
        "Content-Type: application/cloudevents+json; charset=utf-8",
        "Expect:",
        id,
        time,
        sig,
        NULL,
    };

    h->post = post_start(ws->poster, h->w.url, headers, &body, h);
    h->state = HOOK_SENDING;
    ws->n_posts++;
    posts_begin(&ws->posts, h->w.project_id);
}

/* A letter, when it is their turn or no event is due. */
static bool
take_letter(struct webhooks *ws, struct hook *h, bool event_due)
{
    if (!h->letters || (event_due && !h->turn))
        return false;
    int r = store_letter_next(ws->db, h->w.id, &h->letter);
    if (r == 0) {
        h->has_letter = true;
        return true;
    }
    if (r != -ENOENT)
        COUNT(webhook_read_failed);
    h->letters = false;
    return false;
}

/* Whether it was sent. */
static bool
send_one(struct webhooks *ws, struct hook *h, int64_t now)
{
    /* A time far ahead is of a clock that was set back. */
    int64_t far = now + 2 * ws->ctl->cfg.webhook_retry_max_us;
    bool due = h->state == HOOK_READY &&
               (h->w.next_attempt_at <= now || h->w.next_attempt_at > far);

    if ((h->state != HOOK_READY && h->state != HOOK_IDLE) || h->w.disabled ||
        (!due && !h->letters) ||
        posts_of(&ws->posts, h->w.project_id) >= POSTS_PER_PROJECT)
        return false;
    if (take_letter(ws, h, due))
        post(ws, h, h->letter.event);
    else if (due)
        post(ws, h, &h->event);
    else
        return false;
    return true;
}

static void
send_due(struct webhooks *ws)
{
    int64_t now = clock_now_us();
    struct hook **at = &ws->hooks, *first_moved = NULL;

    while (*at && *at != first_moved && ws->n_posts < POSTS_MAX) {
        struct hook *h = *at;

        if (!send_one(ws, h, now)) {
            at = &h->next;
            continue;
        }
        if (!first_moved)
            first_moved = h;
        remove_at(ws, at);
        append(ws, h);
    }
}

/* Until something is due, or whoever wakes us. */
static int64_t
sleep_us(const struct webhooks *ws)
{
    int64_t now = clock_now_us(), us = IDLE_SAVE_US;

    if (ws->stale)
        us = MIN(us, RETRY_STORE_US);
    for (const struct hook *h = ws->hooks; h; h = h->next) {
        int64_t left = h->w.next_attempt_at - now;

        if (h->state == HOOK_UNSAVED && !ws->storing)
            us = MIN(us, RETRY_STORE_US);
        /* What is due and not sent waits for a place: its end wakes us. */
        if (h->state == HOOK_READY && !h->w.disabled && left > 0)
            us = MIN(us, left);
    }
    return us;
}

static bool
stopping(struct webhooks *ws)
{
    pthread_mutex_lock(&ws->lock);
    bool stop = ws->stop;
    pthread_mutex_unlock(&ws->lock);
    return stop;
}

static void *
webhooks_main(void *arg)
{
    struct webhooks *ws = arg;
    struct post_outcome o;

    while (!stopping(ws)) {
        atomic_store(&ws->woken, false);
        take_stored(ws);
        take_requests(ws);
        read_events(ws);
        bool more = find_events(ws);
        while (post_result(ws->poster, &o)) {
            post_ended(ws, o.arg);
            hook_result(o.arg, &ws->ctl->cfg, &o);
        }
        store(ws, false);
        send_due(ws);
        post_wait(ws->poster, more ? 0 : sleep_us(ws));
    }
    /* How far each is, for the next start. */
    for (struct hook *h = ws->hooks; h; h = h->next) {
        if (h->post) {
            post_cancel(ws->poster, h->post);
            post_ended(ws, h);
        }
        h->post = NULL;
    }
    while (ws->storing) {
        atomic_store(&ws->woken, false);
        take_stored(ws);
        if (ws->storing)
            post_wait(ws->poster, US_PER_S);
    }
    store(ws, true);
    while (ws->storing) {
        atomic_store(&ws->woken, false);
        take_stored(ws);
        if (ws->storing)
            post_wait(ws->poster, US_PER_S);
    }
    return NULL;
}

/* ---- start and stop ---- */

int
webhooks_start(struct ctl *ctl, struct err *reterr)
{
    struct webhooks *ws = xnew(struct webhooks);
    int64_t first;

    ws->ctl = ctl;
    ws->tail = &ws->hooks;
    ws->job.run = store_run;
    ws->job.done = store_done;
    ws->next_idle_save_us = clock_mono_us() + IDLE_SAVE_US;
    snprintf(ws->source, sizeof(ws->source), "urn:uuid:%s",
             ctl->default_project);
    pthread_mutex_init(&ws->lock, NULL);
    ctl->webhooks = ws;
    int r = poster_new(ctl->cfg.webhook_allow_private, &ws->poster, reterr);
    if (r == 0)
        r = store_open(ctl->db_path, false, &ws->db, reterr);
    if (r < 0)
        return r;
    r = store_event_bounds(ws->db, NULL, &first, &ws->last_seq);
    if (r < 0)
        return db_err(ws->db, r, reterr);
    ws->changed = true;
    r = -pthread_create(&ws->thread, NULL, webhooks_main, ws);
    if (r < 0)
        return err_errno(reterr, r, "cannot start the thread of webhooks");
    ws->running = true;
    pthread_setname_np(ws->thread, "webhooks");
    return 0;
}

void
webhooks_stop(struct ctl *ctl)
{
    struct webhooks *ws = TAKE_PTR(ctl->webhooks);

    if (!ws)
        return;
    pthread_mutex_lock(&ws->lock);
    ws->stop = true;
    pthread_mutex_unlock(&ws->lock);
    if (ws->running) {
        post_wake(ws->poster);
        pthread_join(ws->thread, NULL);
    }
    while (ws->hooks) {
        struct hook *h = ws->hooks;

        ws->hooks = h->next;
        HASH_DEL(ws->by_id, h);
        hook_free(h);
    }
    poster_free(ws->poster);
    db_close(ws->db);
    pthread_mutex_destroy(&ws->lock);
    free(ws);
}
