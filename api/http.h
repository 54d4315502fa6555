/* api/http.h - the HTTPS server beneath the API, on libmicrohttpd.
 * Role:      connections, TLS, bodies with caps, suspended requests, files
 *            and upgrades. It knows nothing of routes: the owner's ops do.
 * Ownership: a request lives from its headers to ops->end(); what the owner
 *            hangs at req->user is freed there.
 * Threads:   ops are called on one of the server's threads, one at a time
 *            for a request. http_resume() may come from any thread.
 * Errors:    http_start(): -EADDRINUSE, -EINVAL, -EIO with the reason. */
#ifndef API_HTTP_H
#define API_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/hash.h"

#define HTTP_BODY_MAX ((size_t)1 << 20)

struct http_server;

struct http_req {
    const char *method;
    const char *path;   /* percent-decoded */
    const char *remote; /* "127.0.0.1" */
    struct buf body;    /* up to HTTP_BODY_MAX; empty with stream set */
    bool stream;        /* begin() sets it: the body goes to ops->data() */
    void *user;
    /* The reply. */
    int status; /* 0: none yet */
    struct buf reply;
    const char *content_type; /* NULL: application/json */
    int reply_fd;             /* a file instead of reply; closed here */
    uint64_t reply_size;
    struct buf headers; /* "Name: value\n" lines */
    bool close;         /* end the connection after the reply */
    void *priv;
};

enum http_next {
    HTTP_REPLY, /* the reply is in the request */
    HTTP_WAIT,  /* http_suspend() was called; handle() runs again */
};

struct http_upgraded {
    int fd;           /* plain bytes both ways; blocking mode */
    struct buf early; /* bytes that came with the request; may be empty */
    void *priv;
    int connection; /* the library's, behind fd */
};

struct http_ops {
    /* After the headers. A status set here is replied at once. */
    void (*begin)(struct http_req *rq, void *arg);
    /* Part of a streamed body; a status set here ends the upload. */
    void (*data)(struct http_req *rq, const void *data, size_t n, void *arg);
    /* The body is complete; again after each resume. */
    enum http_next (*handle)(struct http_req *rq, void *arg);
    /* The connection died or the reply is out. */
    void (*end)(struct http_req *rq, void *arg);
    /* After a 101 reply went out: the connection is u's, which the owner
     * closes by http_upgraded_close(). */
    void (*upgraded)(struct http_upgraded *u, void *token, void *arg);
};

struct http_config {
    const char *listen; /* "127.0.0.1:8443", "[::]:8443"; port 0 picks one */
    /* Without a certificate it speaks plain HTTP: for loopback only. */
    const char *cert_pem, *key_pem, *client_ca_pem;
    unsigned threads;
    unsigned max_connections;
    /* Of one address: connections at a time, 0 for half of all; new ones, and
     * refused requests, per second, 0 for no limit. */
    unsigned max_per_address;
    unsigned per_second;
    unsigned idle_timeout_s; /* silence of a client in the middle of things */
    const struct http_ops *ops;
    void *arg;
};

int http_start(const struct http_config *cfg, struct http_server **ret,
               struct err *reterr) _must_check_;
unsigned http_port(const struct http_server *s);
/* No more new connections; what runs goes on. */
void http_quiesce(struct http_server *s);
/* Every suspended request must have been resumed before. */
void http_stop(struct http_server *s);

/* Inside begin(), first of all: -EINVAL when the head is malformed, or one that
 * others may read differently (RFC 9112); its connection ends with the reply,
 * since nobody knows where the next request begins. */
int http_well_formed(struct http_req *rq, struct err *reterr) _must_check_;

/* Value of a header or query parameter, or NULL. */
const char *http_header(struct http_req *rq, const char *name);
const char *http_query(struct http_req *rq, const char *name);
/* Calls fn for each query parameter until it returns false. */
void http_each_query(struct http_req *rq,
                     bool (*fn)(const char *name, const char *value, void *arg),
                     void *arg);
/* Identity of the TLS peer; see pki_peer(). */
int http_peer(struct http_req *rq, char cn[64], char fingerprint[HASH_HEX_SIZE],
              struct err *reterr) _must_check_;

/* Inside handle(), before anything that might resume. */
void http_suspend(struct http_req *rq);
void http_resume(struct http_req *rq);
/* Between these two http_resume() of this thread only notes the requests; they
 * are resumed together at the end. The library looks through all suspended
 * connections of a thread whenever one is resumed: so it does once for many. */
void http_resume_hold(void);
void http_resume_held(void);

/* ---- replies without end (http_stream.c) ----
 * A reply that is fed from any thread while its client takes it. What it holds
 * is bounded: a feeder that is told -ENOBUFS keeps the rest to itself until
 * drained() is called. */
struct http_stream;

/* A client that takes nothing for so long is slow beyond hope. */
#define HTTP_STREAM_STALL_US (INT64_C(30) * 1000000)

/* Inside handle(), with rq->status and the headers set: the reply's body is
 * what is sent. The caller owns a reference. drained (may be NULL) is called
 * on the server's thread, with no lock held, once all is taken after a send
 * that found no room. */
struct http_stream *http_reply_stream(struct http_req *rq, size_t cap,
                                      void (*drained)(void *arg), void *arg);
/* All or nothing: -EPIPE the reply is over, -ENOBUFS no room. */
int http_stream_send(struct http_stream *s, const void *data,
                     size_t n) _must_check_;
/* Whether the client has taken nothing of what lies there for too long. */
bool http_stream_stalled(struct http_stream *s);
/* Ends the reply behind what was sent; with cut at once, with its connection.
 */
void http_stream_end(struct http_stream *s, bool cut);
void http_stream_unref(struct http_stream *s);

void http_add_header(struct http_req *rq, const char *name, const char *fmt,
                     ...) _printf_(3, 4);
void http_put_header(struct http_req *rq, const char *name, const char *value);
/* Replies 101 with a WebSocket accept; ops->upgraded() gets token. -EINVAL
 * when the request is no proper WebSocket handshake. */
int http_reply_websocket(struct http_req *rq, void *token,
                         struct err *reterr) _must_check_;
/* What was written to fd still goes out; a client that is silent may learn of
 * the end by its next byte only, as the library does. */
void http_upgraded_close(struct http_upgraded *u);
/* At once, whatever is under way. */
void http_upgraded_cut(struct http_upgraded *u);

#endif
