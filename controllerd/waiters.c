/* waiters.c - requests that wait for something to happen.
 * Thousands of agents wait here, so that nothing may go through all of them:
 * a bucket leads from a key to its calls, a wheel from a moment to those whose
 * time is over then.
 *
 * Invariants:
 *  1. A call that waits is in its bucket's list and in one slot of the wheel,
 *     else in neither, and is resumed exactly once for each time it was
 *     suspended.
 *  2. notify() after a commit wakes whoever read the rows before it: a bucket
 *     counts notifications, and wait() compares with the count that the call
 *     read before it looked. Keys that share a bucket have a count together;
 *     a handler looks again for nothing, and waits on.
 *  3. Every call in a slot is due at the tick of that slot, or some turns of
 *     the wheel later. */
#include <config.h>

#include "controllerd/ctl.h"

#include <stddef.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#define BUCKETS 16384
#define TICK_US 100000
#define SLOTS 1024 /* of the wheel: 102 s */

struct bucket {
    uint64_t version;
    struct call *head;
};

struct waiters {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
    struct bucket buckets[BUCKETS];
    struct call *wheel[SLOTS];
    int64_t tick; /* all up to here were looked at */
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

static void
link_in(struct call **head, struct call *c, size_t link)
{
    struct wait_link *l = (struct wait_link *)((char *)c + link);

    l->next = *head;
    l->pprev = head;
    if (l->next)
        ((struct wait_link *)((char *)l->next + link))->pprev = &l->next;
    *head = c;
}

static void
link_out(struct call *c, size_t link)
{
    struct wait_link *l = (struct wait_link *)((char *)c + link);

    *l->pprev = l->next;
    if (l->next)
        ((struct wait_link *)((char *)l->next + link))->pprev = l->pprev;
    *l = (struct wait_link){0};
}

#define BY_KEY offsetof(struct call, by_key)
#define BY_TIME offsetof(struct call, by_time)

/* Out of both lists, onto the list of those to be resumed. */
static void
take(struct call *c, struct call **out)
{
    link_out(c, BY_KEY);
    link_out(c, BY_TIME);
    c->by_key.next = *out;
    *out = c;
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
        int64_t tick = (c->deadline_us + TICK_US - 1) / TICK_US;

        c->wait_key = key;
        link_in(&b->head, c, BY_KEY);
        link_in(&w->wheel[MAX(tick, w->tick + 1) % SLOTS], c, BY_TIME);
    }
    pthread_mutex_unlock(&w->lock);
    if (now)
        http_resume(c->rq);
    return CALL_WAIT;
}

static void
resume_all(struct call *c)
{
    while (c) {
        struct call *next = c->by_key.next;

        http_resume(c->rq);
        c = next;
    }
}

void
waiters_notify(struct ctl *ctl, uint64_t key)
{
    struct waiters *w = ctl->waiters;
    struct call *next, *list = NULL;

    pthread_mutex_lock(&w->lock);
    bucket_of(w, key)->version++;
    for (struct call *c = bucket_of(w, key)->head; c; c = next) {
        next = c->by_key.next;
        if (c->wait_key == key)
            take(c, &list);
    }
    pthread_mutex_unlock(&w->lock);
    resume_all(list);
}

/* Those whose time is over by now; lock is held. */
static struct call *
take_due(struct waiters *w, int64_t now)
{
    int64_t last = now / TICK_US;
    struct call *next, *list = NULL;

    /* After a long sleep once round is enough. */
    for (int64_t t = MAX(w->tick + 1, last - SLOTS + 1); t <= last; t++)
        for (struct call *c = w->wheel[t % SLOTS]; c; c = next) {
            next = c->by_time.next;
            if (c->deadline_us <= now)
                take(c, &list);
        }
    w->tick = last;
    return list;
}

static void *
timer_main(void *arg)
{
    struct waiters *w = arg;
    int64_t next_second = 0;

    pthread_mutex_lock(&w->lock);
    while (!w->stop) {
        int64_t now = clock_mono_us();
        struct call *due = take_due(w, now);

        pthread_mutex_unlock(&w->lock);
        resume_all(due);
        if (now >= next_second) {
            nodes_tick(w->ctl);
            next_second = now + US_PER_S;
        }
        pthread_mutex_lock(&w->lock);
        int64_t next = (w->tick + 1) * TICK_US;
        struct timespec ts = {.tv_sec = next / US_PER_S,
                              .tv_nsec = next % US_PER_S * 1000};
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
    w->tick = clock_mono_us() / TICK_US;
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
    struct call *list = NULL;
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < BUCKETS; i++)
        while (w->buckets[i].head)
            take(w->buckets[i].head, &list);
    pthread_mutex_unlock(&w->lock);
    resume_all(list);
}
