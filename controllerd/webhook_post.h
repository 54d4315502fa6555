/* controllerd/webhook_post.h - POSTs to strangers, many at a time.
 * Role:      libcurl's multi interface, with a receiver trusted in nothing:
 *            where its name leads (no private address), how long it takes,
 *            what it answers.
 * Ownership: post_start() copies; a post is freed by post_result() or
 *            post_cancel().
 * Threads:   one, but for post_wake().
 * Errors:    -ENOMEM, -EIO at the start. What becomes of a post is in its
 *            result. */
#ifndef CONTROLLERD_WEBHOOK_POST_H
#define CONTROLLERD_WEBHOOK_POST_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

struct poster;
struct post;

struct post_outcome {
    void *arg;
    long status; /* of the reply; 0: none */
    char error[160];
};

int poster_new(bool allow_private, struct poster **ret,
               struct err *reterr) _must_check_;
void poster_free(struct poster *p); /* with what runs */
/* headers: NULL-terminated. */
struct post *post_start(struct poster *p, const char *url,
                        const char *const *headers, const struct buf *body,
                        void *arg);
void post_cancel(struct poster *p, struct post *post);
/* Until something moves, somebody wakes it, or the time is over; then call
 * post_result() until it has no more, which does the work. */
void post_wait(struct poster *p, int64_t timeout_us);
void post_wake(struct poster *p);
/* One that is done, and forgets it; false: none. */
bool post_result(struct poster *p, struct post_outcome *ret);

#endif
