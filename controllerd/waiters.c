/* waiters.c - requests that wait for something to happen.
 *
 * Invariants:
 *  1. A call is in exactly one bucket's list while it waits, and is resumed
 *     exactly once for each time it was suspended.
 *  2. notify() after a commit wakes whoever read the rows before it: a bucket
 *     counts notifications, and wait() compares with the count that the call
 *     read before it looked. Keys that share a bucket wake each other; the
 *     handler looks again and waits on. */
#include <config.h>

#include "controllerd/ctl.h"

#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#define BUCKETS 1024
#define TICK_MS 100

struct bucket {
    uint64_t version;
    struct call *head;
};

struct waiters {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
    struct bucket buckets[BUCKETS];
    pthread_t thread;
    struct ctl *ctl;
};

/* FNV-1a, 64 bits (Fowler, Noll, Vo). */
uint64_t
waiters_key(const char *id)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (; *id; id++)
        h = (h ^ (unsigned char)*id) * UINT64_C(0x100000001b3);
    return h;
}

static struct bucket *
bucket_of(struct waiters *w, uint64_t key)
{
    return &w->buckets[(key ^ key >> 32) % BUCKETS];
}

uint64_t
waiters_version(struct ctl *ctl, uint64_t key)
{
    struct waiters *w = ctl->waiters;

    pthread_mutex_lock(&w->lock);
    uint64_t v = bucket_of(w, key)->version;
    pthread_mutex_unlock(&w->lock);
    return v;
}

int
waiters_wait(struct call *c, uint64_t key, uint64_t version)
{
    struct waiters *w = c->ctl->waiters;
    struct bucket *b = bucket_of(w, key);
    bool now;

    pthread_mutex_lock(&w->lock);
    http_suspend(c->rq);
    now = b->version != version || w->stop;
    if (!now) {
        c->wait_key = key;
        c->wait_next = b->head;
        b->head = c;
    }
    pthread_mutex_unlock(&w->lock);
    if (now)
        http_resume(c->rq);
    return CALL_WAIT;
}

/* Takes the calls for which `take` says so out of a bucket. */
static struct call *
take(struct bucket *b, uint64_t key, bool any, int64_t now_us)
{
    struct call **p = &b->head, *out = NULL;

    while (*p) {
        struct call *c = *p;

        if (any || (now_us ? c->deadline_us <= now_us : c->wait_key == key)) {
            *p = c->wait_next;
            c->wait_next = out;
            out = c;
        } else {
            p = &c->wait_next;
        }
    }
    return out;
}

static void
resume_all(struct call *c)
{
    while (c) {
        struct call *next = c->wait_next;

        http_resume(c->rq);
        c = next;
    }
}

void
waiters_notify(struct ctl *ctl, uint64_t key)
{
    struct waiters *w = ctl->waiters;

    pthread_mutex_lock(&w->lock);
    bucket_of(w, key)->version++;
    struct call *list = take(bucket_of(w, key), key, false, 0);
    pthread_mutex_unlock(&w->lock);
    resume_all(list);
}

static void *
timer_main(void *arg)
{
    struct waiters *w = arg;
    int64_t next_tick = 0;

    pthread_mutex_lock(&w->lock);
    while (!w->stop) {
        struct timespec ts;
        int64_t now = clock_mono_us();
        struct call *due = NULL;

        for (size_t i = 0; i < BUCKETS; i++) {
            struct call *list = take(&w->buckets[i], 0, false, now);

            while (list) {
                struct call *next = list->wait_next;

                list->wait_next = due;
                due = list;
                list = next;
            }
        }
        pthread_mutex_unlock(&w->lock);
        resume_all(due);
        if (now >= next_tick) {
            nodes_tick(w->ctl);
            next_tick = now + US_PER_S;
        }
        pthread_mutex_lock(&w->lock);
        clock_gettime(CLOCK_MONOTONIC, &ts);
        ts.tv_nsec += TICK_MS * 1000000L;
        if (ts.tv_nsec >= 1000000000L) {
            ts.tv_nsec -= 1000000000L;
            ts.tv_sec++;
        }
        if (!w->stop)
            pthread_cond_timedwait(&w->wake, &w->lock, &ts);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

int
waiters_start(struct ctl *ctl)
{
    struct waiters *w = xnew(struct waiters);
    pthread_condattr_t attr;

    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &attr);
    pthread_condattr_destroy(&attr);
    w->ctl = ctl;
    ctl->waiters = w;
    int r = pthread_create(&w->thread, NULL, timer_main, w);
    if (r == 0)
        pthread_setname_np(w->thread, "timer");
    return -r;
}

/* Ends the timer and wakes every call; later waits return at once. The lists
 * themselves live on: HTTP threads may still look. */
void
waiters_stop(struct ctl *ctl)
{
    struct waiters *w = ctl->waiters;

    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    for (size_t i = 0; i < BUCKETS; i++) {
        pthread_mutex_lock(&w->lock);
        struct call *list = take(&w->buckets[i], 0, true, 0);
        pthread_mutex_unlock(&w->lock);
        resume_all(list);
    }
}
