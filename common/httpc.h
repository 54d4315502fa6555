/* common/httpc.h - HTTPS client by libcurl.
 * Role:      calls to the controller from the CLI and the agent: requests
 *            with a body in memory, file upload and download, and a raw
 *            connection for protocol upgrades.
 * Ownership: replies belong to the caller (httpc_reply_release).
 * Threads:   a client belongs to one thread at a time (connections are kept
 *            alive in it); httpc_abort() may come from any thread.
 * Errors:    0 whenever an HTTP status came back, whatever it is. Else
 *            -ECONNREFUSED, -ETIMEDOUT, -EACCES (TLS trust), -EFBIG (reply
 *            over the cap), -ECANCELED (aborted), -EIO; reterr has the
 *            reason. */
#ifndef COMMON_HTTPC_H
#define COMMON_HTTPC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/err.h"

struct httpc;

struct httpc_config {
    const char *base_url;  /* "https://host:port" */
    const char *ca_file;   /* NULL: the system's store */
    const char *cert_file; /* client certificate, or NULL */
    const char *key_file;
    const char *bearer; /* token, or NULL */
    const char *user_agent;
    bool insecure; /* only to fetch a CA whose hash is then checked */
    FILE *debug;   /* shows requests and replies, secrets masked */
};

struct httpc_reply {
    long status;
    struct buf body;
    struct buf headers; /* as received, for httpc_reply_header() */
};

struct httpc_request {
    const char *method;         /* "GET", "POST", … */
    const char *path;           /* "/v1/…", with query */
    const char *const *headers; /* "Name: value", NULL-terminated; or NULL */
    const char *content_type; /* NULL: application/json when a body is there */
    const void *body;
    size_t body_len;
    /* Instead of body: send from / receive into a descriptor. */
    int upload_fd; /* -1 for none; read from its position */
    int64_t upload_size;
    int download_fd;    /* -1 for none; only for 2xx replies */
    int64_t timeout_ms; /* whole call; 0: 30 s */
    int64_t stall_ms;   /* give up when nothing moves; 0: no such limit */
    size_t max_reply;   /* cap of the reply body; 0: 64 MiB */
    void (*progress)(int64_t done, int64_t total, void *arg);
    void *progress_arg;
};

#define HTTPC_REQUEST(m, p)                                                    \
    (struct httpc_request)                                                     \
    {                                                                          \
        .method = (m), .path = (p), .upload_fd = -1, .download_fd = -1         \
    }

/* Config strings are copied. */
struct httpc *httpc_new(const struct httpc_config *cfg);
void httpc_free(struct httpc *c);
int httpc_call(struct httpc *c, const struct httpc_request *rq,
               struct httpc_reply *ret, struct err *reterr) _must_check_;
/* Ends a running call and every later one with -ECANCELED. */
void httpc_abort(struct httpc *c);
void httpc_reply_release(struct httpc_reply *r);
/* Copies a header's value into out (cut at size); -ENOENT when absent. */
int httpc_reply_header(const struct httpc_reply *r, const char *name, char *out,
                       size_t size);

/* A raw TLS connection (own handle, not shared with calls). */
struct httpc_raw;
int httpc_raw_open(struct httpc *c, struct httpc_raw **ret,
                   struct err *reterr) _must_check_;
void httpc_raw_close(struct httpc_raw *r);
/* For poll(); wait for readability, but recv until -EAGAIN first. */
int httpc_raw_fd(struct httpc_raw *r);
/* All of data, waiting as needed. */
int httpc_raw_send(struct httpc_raw *r, const void *data,
                   size_t n) _must_check_;
/* Bytes, 0 at the end, -EAGAIN when nothing is there now. */
ssize_t httpc_raw_recv(struct httpc_raw *r, void *data, size_t n) _must_check_;
/* The Authorization header line of this client, or NULL. */
const char *httpc_auth_header(const struct httpc *c);
const char *httpc_host(const struct httpc *c); /* "host:port" */

#endif
