/* api/http-private.h - between http.c, http_stream.c and http_check.c.
 * Role:      what the server must do with a reply without end; what of a head
 *            it must look at itself.
 * Ownership: the request holds one reference to its stream, the feeder the
 *            other.
 * Threads:   the request's thread.   Errors: NULL when memory is out. */
#ifndef API_HTTP_PRIVATE_H
#define API_HTTP_PRIVATE_H

#include <microhttpd.h>

#include "api/http.h"

struct http_stream *http_stream_new(struct MHD_Connection *c, int fd,
                                    size_t cap, void (*drained)(void *arg),
                                    void *arg);
struct MHD_Response *http_stream_response(struct http_stream *s);
/* The request has ended: nothing is sent from here on. Gives the request's
 * reference back. */
void http_stream_over(struct http_stream *s);

/* -EINVAL: the head is malformed or ambiguous. */
int http_check_head(struct MHD_Connection *c, const char *version,
                    struct err *reterr) _must_check_;

#endif
