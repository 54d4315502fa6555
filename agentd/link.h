/* agentd/link.h - the way to the controller.
 * Role:      where it is, who we are to it (identity files), and which calls
 *            are under way, so that all of them can be cut short at the end.
 * Ownership: a client belongs to its thread; link_client_free() returns it.
 * Threads:   the link is shared; a client belongs to one thread.
 * Errors:    link_call() gives -ECONNREFUSED and the like from httpc, or for
 *            a status that is not success: -EACCES (401, 403), -ENOENT (404),
 *            -EEXIST (409), -EAGAIN (429, 5xx), -EINVAL (other 4xx); reterr
 *            has the problem's code and words. */
#ifndef AGENTD_LINK_H
#define AGENTD_LINK_H

#include <stdatomic.h>

#include "common/httpc.h"

struct link;
struct link_client;

struct link *link_new(const char *url, const char *identity_dir);
/* Every client must have been freed. */
void link_free(struct link *l);
/* The identity's files changed: clients take the new ones with their next
 * call. */
void link_renewed(struct link *l);
/* Cuts every call short and refuses later ones (-ECANCELED). */
void link_shutdown(struct link *l);
bool link_is_down(struct link *l);
/* Waits until the time is over (false) or link_shutdown() (true). */
bool link_wait_us(struct link *l, int64_t us);

struct link_client *link_client_new(struct link *l);
void link_client_free(struct link_client *lc);
/* A request with our certificate. *ret is to be released after success; after
 * a refusal there is nothing in it. */
int link_call(struct link_client *lc, const struct httpc_request *rq,
              struct httpc_reply *ret, struct err *reterr) _must_check_;
/* The client beneath, up to date, for WebSockets. Good until the next call. */
struct httpc *link_httpc(struct link_client *lc);
/* Closes its connections; the next call makes new ones. */
void link_client_close(struct link_client *lc);
/* Ends the call that runs on this client, from a callback of it. */
void link_client_cut(struct link_client *lc);

/* Turns a reply that is no success into an error as above. */
int link_check(const struct httpc_reply *reply, struct err *reterr);

/* Waiting times that double from base to max, with jitter. */
struct backoff {
    int64_t base_us, max_us;
    unsigned n;
};
int64_t backoff_next_us(struct backoff *b);

#endif
