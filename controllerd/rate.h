/* controllerd/rate.h - how often somebody may call.
 * Role:      token buckets for tokens and sessions, and for the addresses of
 *            callers who show none; agents have no limit. A bucket is one
 *            number, the time at which it will be full again (the generic
 *            cell rate algorithm, ITU-T I.371 annex A, which decides as a
 *            token bucket does).
 * Ownership: a table has a fixed size; who is new takes the place of whoever
 *            has the fullest bucket, and so loses least by it.
 * Threads:   any.   Errors: -EAGAIN, rate_limited.
 * Source:    draft-ietf-httpapi-ratelimit-headers for the reply's headers. */
#ifndef CONTROLLERD_RATE_H
#define CONTROLLERD_RATE_H

#include "controllerd/ctl.h"

struct rate_table;

struct rate_table *rate_table_new(int64_t per_second, int64_t burst);
void rate_table_free(struct rate_table *t);
/* Takes one call of the key's bucket at a time of the monotonic clock.
 * Whether there was one; *ret is filled in either way. */
bool rate_table_take(struct rate_table *t, const void *key, size_t n,
                     int64_t now_us, struct rate_state *ret);

void rate_start(struct ctl *ctl);
void rate_free(struct ctl *ctl);
/* After authentication, whose result is `auth`: returns it, or -EAGAIN. */
int rate_check(struct call *c, int auth) _must_check_;
/* The headers that tell the client what is left. */
void rate_headers(struct call *c);

#endif
