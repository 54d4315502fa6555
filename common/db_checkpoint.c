/* db_checkpoint.c - checkpoints beside the writer; see db_checkpoint.h.
 *
 *   sleep --start_pages or quiet--> copy (PASSIVE, commits go on)
 *     ^                               | WAL >= hold_pages: copy again while
 *     |                               | more than rest_pages are left, then
 *     |                               v
 *     +------------- rest <-------- hold the writer, copy the rest
 *
 * After a copy of everything the next transaction of the writer starts the WAL
 * anew, unless a reader still uses its end; then the next round tries again. */
#include <config.h>

#include "common/db_checkpoint.h"

#include <pthread.h>
#include <string.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"

#define RETRY_US US_PER_S
#define COPIES_MAX 4

const struct db_checkpoint_limits db_checkpoint_limits = {
    .start_pages = 4096,
    .hold_pages = 16384,
    .rest_pages = 512,
    .quiet_us = 2 * US_PER_S,
};

struct db_checkpoint {
    pthread_mutex_t lock;
    pthread_cond_t wake;    /* the checkpoint's thread */
    pthread_cond_t allowed; /* the writer */
    bool stop, hold, busy;  /* lock */
    bool full;              /* lock; a commit found no room */
    int64_t pages;          /* lock; in the WAL after the last commit */
    int64_t commits;        /* lock; how many */
    int64_t copied; /* lock; pages of this WAL that are in the database */
    struct db_checkpoint_limits limits;
    struct db_checkpoint_times times;
    struct db *writer; /* its handle: the writer's thread only */
    pthread_t thread;
    /* The checkpoint's thread only. */
    struct db *db;
    int64_t held_at; /* size at which holding did not help; 0: it did */
};

/* Pages that are not copied yet; lock is held. A WAL that began anew has fewer
 * than were copied of the last. */
static int64_t
news(const struct db_checkpoint *c)
{
    return c->pages - (c->pages >= c->copied ? c->copied : 0);
}

const struct db_checkpoint_times *
db_checkpoint_times(const struct db_checkpoint *c)
{
    return &c->times;
}

void
db_checkpoint_enter(struct db_checkpoint *c)
{
    pthread_mutex_lock(&c->lock);
    while (c->hold)
        pthread_cond_wait(&c->allowed, &c->lock);
    c->busy = true;
    pthread_mutex_unlock(&c->lock);
}

void
db_checkpoint_leave(struct db_checkpoint *c, int commit)
{
    pthread_mutex_lock(&c->lock);
    c->busy = false;
    if (commit == 0) {
        c->pages = db_wal_pages(c->writer);
        c->commits++;
    }
    c->full |= commit == -ENOSPC;
    if (c->hold || c->full || news(c) >= c->limits.start_pages)
        pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
}

/* Copies what no reader holds back; lock is not held. The pages left. */
static int64_t
copy(struct db_checkpoint *c)
{
    int64_t log = 0, done = 0, start = clock_mono_us();
    int r = db_wal_checkpoint(c->db, &log, &done);

    metrics_observe(&c->times.copy, clock_mono_us() - start);
    if (r < 0) {
        COUNT(db_checkpoint_failed);
        log_limited(LOG_LEVEL_WARN, "checkpoint failed",
                    "error=\"%s\" trying again in=1s", strerrordesc_np(-r));
        return -1;
    }
    COUNT(db_checkpoint);
    pthread_mutex_lock(&c->lock);
    c->copied = done;
    pthread_mutex_unlock(&c->lock);
    return log - done;
}

/* With the writer held no page is added: what is copied is all. */
static void
copy_rest(struct db_checkpoint *c)
{
    int64_t left = 0;

    for (int i = 0; i < COPIES_MAX; i++) {
        left = copy(c);
        if (left <= c->limits.rest_pages)
            break;
    }
    if (left < 0 || left > c->limits.rest_pages)
        return; /* the disk or a reader is slow: holding would take long */
    pthread_mutex_lock(&c->lock);
    c->hold = true;
    while (c->busy)
        pthread_cond_wait(&c->wake, &c->lock);
    pthread_mutex_unlock(&c->lock);
    int64_t start = clock_mono_us();
    left = copy(c);
    COUNT(db_checkpoint_hold);
    metrics_observe(&c->times.hold, clock_mono_us() - start);
    COUNT_N(db_checkpoint_hold_us, clock_mono_us() - start);
    pthread_mutex_lock(&c->lock);
    c->hold = false;
    c->held_at = left == 0 ? 0 : c->pages;
    pthread_cond_signal(&c->allowed);
    pthread_mutex_unlock(&c->lock);
}

/* Waits for us at most, and for signals; lock is held. */
static void
rest(struct db_checkpoint *c, int64_t us)
{
    int64_t end = clock_mono_us() + us;
    struct timespec ts = {.tv_sec = end / US_PER_S,
                          .tv_nsec = end % US_PER_S * 1000};

    if (!c->stop)
        pthread_cond_timedwait(&c->wake, &c->lock, &ts);
}

/* Whether to begin one now; lock is held. */
static bool
due(struct db_checkpoint *c, int64_t now, int64_t quiet_since)
{
    return c->full || news(c) >= c->limits.start_pages ||
           (news(c) && now - quiet_since >= c->limits.quiet_us);
}

static void *
checkpoint_main(void *arg)
{
    struct db_checkpoint *c = arg;
    int64_t seen = 0, quiet_since = clock_mono_us(), not_before = 0;

    pthread_mutex_lock(&c->lock);
    while (!c->stop) {
        int64_t now = clock_mono_us();

        if (seen != c->commits) {
            seen = c->commits;
            quiet_since = now;
        }
        if (now < not_before || !due(c, now, quiet_since)) {
            rest(c, now < not_before ? not_before - now : c->limits.quiet_us);
            continue;
        }
        int64_t pages = c->pages;
        bool hold = c->full || (pages >= c->limits.hold_pages &&
                                pages >= c->held_at + c->limits.start_pages);
        c->full = false;
        pthread_mutex_unlock(&c->lock);
        int64_t left = copy(c);
        if (left >= 0 && hold)
            copy_rest(c);
        pthread_mutex_lock(&c->lock);
        /* Not again and again against a reader that holds it back. */
        if (left < 0 || left >= c->limits.start_pages)
            not_before = clock_mono_us() + RETRY_US;
        quiet_since = clock_mono_us();
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

int
db_checkpoint_start(struct db *writer, const struct db_checkpoint_limits *l,
                    struct db_checkpoint **ret)
{
    struct db_checkpoint *c = xnew(struct db_checkpoint);
    pthread_condattr_t attr;
    int r = db_open(db_path(writer), DB_DURABLE, &c->db, NULL);

    if (r < 0) {
        free(c);
        return r;
    }
    c->writer = writer;
    c->limits = *l;
    db_wal_by_hand(writer, l->hold_pages);
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->wake, &attr);
    pthread_condattr_destroy(&attr);
    pthread_cond_init(&c->allowed, NULL);
    r = pthread_create(&c->thread, NULL, checkpoint_main, c);
    if (r != 0) {
        db_close(c->db);
        free(c);
        return -r;
    }
    pthread_setname_np(c->thread, "db-checkpoint");
    *ret = c;
    return 0;
}

void
db_checkpoint_stop(struct db_checkpoint *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->stop = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    db_close(c->db);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->wake);
    pthread_cond_destroy(&c->allowed);
    free(c);
}
