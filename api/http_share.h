/* api/http_share.h - how many connections there are, in all and of each
 * address.
 * Ownership: opaque.   Threads: any.   Errors: none.
 * Invariant: what was taken is given back once; the counts of the addresses
 *            add up to that of all. */
#ifndef API_HTTP_SHARE_H
#define API_HTTP_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"

struct http_share;

struct http_share *http_share_new(unsigned max, unsigned max_per_address);
void http_share_free(struct http_share *s);
/* who: http_limit_who(); 0 counts among all only. False: too many. */
bool http_share_take(struct http_share *s, uint64_t who) _must_check_;
void http_share_give(struct http_share *s, uint64_t who);

#endif
