/* api/http_accept.h - takes new connections, on a thread of its own.
 * Role:      accepts, refuses what an address has too much of before any TLS,
 *            and deals the rest out to the loops.
 * Ownership: takes fd, which is closed by http_accept_stop(); borrows the rest.
 * Threads:   start and stop from one.
 * Errors:    negative errno; reterr says what to do about an address in use. */
#ifndef API_HTTP_ACCEPT_H
#define API_HTTP_ACCEPT_H

#include "api/http_limit.h"
#include "api/http_loop.h"
#include "common/err.h"

struct http_accept;

/* A socket that listens at ADDRESS:PORT; port 0 picks one. */
int http_listen(const char *where, int *ret_fd, unsigned *ret_port,
                struct err *reterr) _must_check_;
int http_accept_start(int fd, struct http_loops *loops,
                      struct http_limit *limit,
                      struct http_accept **ret) _must_check_;
/* No further connections; NULL is fine. */
void http_accept_stop(struct http_accept *a);

#endif
