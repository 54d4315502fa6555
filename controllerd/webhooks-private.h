/* controllerd/webhooks-private.h - a webhook and its steps, for its thread
 * and tests.
 * Role:      what webhooks.c (the thread, HTTP) and webhook_feed.c (which
 *            event is next, what is stored) share.
 * Ownership: the thread's.   Threads: that one.   Errors: none. */
#ifndef CONTROLLERD_WEBHOOKS_PRIVATE_H
#define CONTROLLERD_WEBHOOKS_PRIVATE_H

#include <uthash.h>

#include "controllerd/events.h"
#include "controllerd/webhook_msg.h"
#include "controllerd/webhook_post.h"
#include "controllerd/webhooks.h"

/*            find()            send()            2xx, or given up
 *   IDLE -------------> READY ---------> SENDING ----------------> UNSAVED
 *     ^                  ^ | letter due     |                         |
 *     |                  | +--> SENDING --> +-- it failed --> UNSAVED |
 *     +------------------+------------- stored (flush_done) ----------+ */
enum hook_state { HOOK_IDLE, HOOK_READY, HOOK_SENDING, HOOK_UNSAVED };

struct hook {
    struct hook *next;
    char id[ID_SIZE]; /* w.id, where a table can point to it */
    UT_hash_handle hh;
    struct api_webhook w; /* with its progress, as it will be stored */
    struct webhook_key key;
    struct event_filter filter;
    enum hook_state state;
    int64_t scanned; /* every event up to here was looked at */
    struct api_event event;
    bool has_event;     /* the next one, at scanned */
    bool letters, turn; /* some are due; it is their turn */
    struct api_dead_letter letter;
    bool has_letter; /* what is sent is this, not the event */
    struct post *post;
    bool seen; /* by a reload */
    /* What is to be stored besides w. */
    struct codec_list dead; /* struct api_dead_letter: new ones */
    char letter_gone[ID_SIZE], letter_failed[ID_SIZE];
    char *letter_error;
    bool flushing;
    int64_t saved_seq; /* delivered_seq as stored */
};

/* Posts under way by project; NULL is the operators'. A table that holds none
 * is empty. */
struct project_posts;
int posts_of(struct project_posts *const *t, const char *project_id);
void posts_begin(struct project_posts **t, const char *project_id);
void posts_end(struct project_posts **t, const char *project_id);

void hook_free(struct hook *h);
/* Takes over the row, as it was changed or is new. */
void hook_take(struct hook *h, struct api_webhook *row);
/* Looks for the next event for an idle one, in one step of the log; returns
 * whether another step may find more. last_seq: of the log as the caller has
 * seen it. */
bool hook_find(struct hook *h, struct db *db, int64_t last_seq);
/* Offers an event that follows what an idle hook has looked at. */
void hook_offer(struct hook *h, const struct api_event *e);
/* How long until the next attempt after so many failures, with jitter. */
int64_t hook_backoff_us(const struct ctl_config *cfg, int64_t failures);
/* What came of sending. */
void hook_result(struct hook *h, const struct ctl_config *cfg,
                 const struct post_outcome *o);
/* Stores what hook_result() left; inside the writer. */
int hook_store(const struct hook *h, struct db *db) _must_check_;
void hook_stored(struct hook *h);
void event_copy(const struct api_event *from, struct api_event *to);

#endif
