/* api/http_limit.h - how much one address may cost: new connections, and
 * requests that are refused.
 * Role:      a TLS handshake costs the server a thousand times what a packet
 *            costs its sender, and a refused request is soon sent again. Each
 *            address has a bucket of tokens for both; whoever has emptied one
 *            gets no new connection, or finds the connection closed behind the
 *            refusal and needs a new one.
 * Ownership: opaque.   Threads: any.   Errors: none.
 * Invariant: the table has a fixed size: an address that is not remembered
 *            has a full bucket.
 * Source:    the token bucket (RFC 2697, section 1, has its arithmetic). */
#ifndef API_HTTP_LIMIT_H
#define API_HTTP_LIMIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/cleanup.h"

struct http_limit;

enum http_cost { HTTP_COST_CONNECTION, HTTP_COST_REFUSAL, HTTP_COSTS };

/* per_second: 0 is no limit. A bucket holds HTTP_LIMIT_SECONDS of it. */
#define HTTP_LIMIT_SECONDS 10
/* The address as a number: IPv6 addresses by their /64, of which whoever has
 * one has all; 0: of another family. */
uint64_t http_limit_who(const struct sockaddr *addr);
struct http_limit *http_limit_new(int64_t per_second);
void http_limit_free(struct http_limit *l);
/* Takes a token; false: there was none. */
bool http_limit_take(struct http_limit *l, const struct sockaddr *addr,
                     enum http_cost cost, int64_t now_us);

#endif
