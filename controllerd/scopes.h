/* controllerd/scopes.h - what a token is good for, beside its role.
 * Role:      "TAG:read" and "TAG:write" with the tags of the route table;
 *            write includes read. No scope at all is everything.
 * Ownership: plain data.   Threads: reentrant.
 * Errors:    -EINVAL; reterr has a pointer for each scope at fault. */
#ifndef CONTROLLERD_SCOPES_H
#define CONTROLLERD_SCOPES_H

#include <stdbool.h>
#include <stdint.h>

#include "api/routes.h"

struct scopes {
    bool limited;         /* false: everything */
    uint32_t read, write; /* bit n: the n-th tag */
};

/* list: strings. */
int scopes_parse(const struct codec_list *list, struct scopes *ret,
                 struct err *reterr) _must_check_;
/* Whether a token with these may make one with those. */
bool scopes_cover(const struct scopes *s, const struct scopes *other);
/* Whether the route may be called; GET reads, everything else writes, and so
 * does a WebSocket, which goes both ways. */
bool scopes_allow(const struct scopes *s, const struct api_route *r);
/* The scope that a route needs: "instances:write". */
#define SCOPE_SIZE 40
void scopes_needed(const struct api_route *r, char out[SCOPE_SIZE]);
/* The list again; strings appended to ret. */
void scopes_list(const struct scopes *s, struct codec_list *ret);

#endif
