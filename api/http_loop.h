/* api/http_loop.h - the threads that serve connections.
 * Role:      the library walks through all suspended connections of a daemon
 *            whenever one of them is resumed, and ten thousand agents wait
 *            suspended. So there are many daemons with few connections each
 *            ("slices"), and few threads ("loops") with many slices each, which
 *            run those where something happened. A loop also counts its
 *            connections, ends those that are overdue, and lets new ones in
 *            between the work for those that are there.
 * Ownership: a connection belongs to one slice for its life; struct http_conn
 *            is its socket context.
 * Threads:   http_loops_add() and http_loop_resume() from any; the rest of a
 *            connection is its loop's alone.
 * Errors:    negative errno.
 * Invariant: what was resumed is run: a slice that is resumed is on its loop's
 *            list, and a loop does not sleep while something is on it. */
#ifndef API_HTTP_LOOP_H
#define API_HTTP_LOOP_H

#include <gnutls/gnutls.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/hash.h"

struct http_loops;
struct http_slice;

/* A connection, as long as the library has it. */
struct http_conn {
    struct http_conn *next, **pprev; /* of its slice */
    struct http_slice *slice;
    uint64_t who; /* http_limit_who() of its address */
    int fd;
    /* What is under way must be over by then; 0: it may take its time. */
    int64_t until_us;
    int64_t admitted_us;
    gnutls_session_t tls; /* NULL: plain */
    bool shaken;          /* the handshake is over */
    /* The peer that was found good, and when. */
    int64_t peer_us;
    char peer_cn[64], peer_fingerprint[HASH_HEX_SIZE];
};

struct http_loops_config {
    unsigned threads;
    unsigned max_connections, max_per_address;
    int64_t request_us; /* until_us of a new connection, from its beginning */
    /* A daemon without threads and listening socket, with EPOLL, that calls
     * http_loop_notify() with `loops`. */
    struct MHD_Daemon *(*daemon)(struct http_loops *loops, void *arg);
    void *arg;
};

int http_loops_start(const struct http_loops_config *cfg,
                     struct http_loops **ret) _must_check_;
/* Takes fd, or closes it where there are too many. */
void http_loops_add(struct http_loops *l, int fd, const struct sockaddr *addr,
                    socklen_t len);
/* Ends the threads and closes all connections, none of which may be suspended;
 * no add may run at the same time. */
void http_loops_stop(struct http_loops *l);

void http_loop_notify(void *loops, struct MHD_Connection *c, void **context,
                      enum MHD_ConnectionNotificationCode code);
struct http_conn *http_conn_of(struct MHD_Connection *c);

/* Resumes what was suspended. Between hold and held the loops are not woken:
 * they do for a whole list what they would do for each of it. */
void http_loop_resume(struct MHD_Connection *c);
void http_loop_hold(void);
void http_loop_held(void);

#endif
