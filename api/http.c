/* http.c - HTTPS server on libmicrohttpd; see http.h.
 *
 * A request's life:
 *   on_access (first call) -> ops->begin -> [body] -> ops->handle
 *        -> HTTP_REPLY: queue_reply;  HTTP_WAIT: suspended until http_resume,
 *           then on_access calls ops->handle again
 *   on_completed -> ops->end, freed */
#include <config.h>

#include "api/http-private.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#include "api/http_accept.h"
#include "api/http_limit.h"
#include "api/http_loop.h"
#include "api/ws.h"
#include "common/clock.h"
#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/pki.h"

/* A body over the cap is read and dropped up to this size, so that the client
 * gets the 413 instead of a reset connection. */
#define DRAIN_MAX ((uint64_t)16 << 20)
/* Of each connection: the head of a request, and beside it that of the reply:
 * where there is no room for it the library closes without a word. */
#define CONNECTION_MEMORY 11264
#define HEAD_MAX 8704

/* A client that takes its reply more slowly than this is given up. */
#define REPLY_BYTES_PER_S 16384

/* How long an outcome of checking a client's certificate holds: it costs more
 * than all else of a small request. Only its end of validity can come in
 * between; whether the cloud still wants it is the owner's to ask each time. */
#define PEER_US (60 * US_PER_S)

struct http_server {
    unsigned port;
    const struct http_config *cfg; /* while it starts */
    const struct http_ops *ops;
    void *arg;
    char *cert, *key, *ca;
    int64_t request_us; /* longest time for a request to come in */
    struct http_limit *limit;
    struct http_accept *accept;
    struct http_loops *loops;
};

struct request {
    struct http_req rq; /* first: http_req * is request * */
    struct http_server *s;
    struct MHD_Connection *c;
    char remote[INET6_ADDRSTRLEN];
    char *path;
    const char *version;
    uint64_t dropped; /* bytes of a body over the cap */
    bool too_big;
    bool refused; /* begin() has given the reply */
    void *upgrade_token;
    bool upgrade;
    bool replied; /* a response was handed to the library */
    struct http_stream *stream;
};

static struct request *
of(struct http_req *rq)
{
    return (struct request *)rq;
}

int
http_well_formed(struct http_req *rq, struct err *reterr)
{
    int r = http_check_head(of(rq)->c, of(rq)->version, reterr);

    if (r < 0)
        rq->close = true;
    return r;
}

const char *
http_header(struct http_req *rq, const char *name)
{
    return MHD_lookup_connection_value(of(rq)->c, MHD_HEADER_KIND, name);
}

const char *
http_query(struct http_req *rq, const char *name)
{
    return MHD_lookup_connection_value(of(rq)->c, MHD_GET_ARGUMENT_KIND, name);
}

struct each {
    bool (*fn)(const char *name, const char *value, void *arg);
    void *arg;
};

static enum MHD_Result
each_one(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
    struct each *e = cls;

    return e->fn(key, value ? value : "", e->arg) ? MHD_YES : MHD_NO;
}

void
http_each_query(struct http_req *rq,
                bool (*fn)(const char *name, const char *value, void *arg),
                void *arg)
{
    struct each e = {fn, arg};

    MHD_get_connection_values(of(rq)->c, MHD_GET_ARGUMENT_KIND, each_one, &e);
}

int
http_peer(struct http_req *rq, char cn[64], char fingerprint[HASH_HEX_SIZE],
          struct err *reterr)
{
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(of(rq)->c, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    struct http_conn *k = http_conn_of(of(rq)->c);
    int64_t now = clock_mono_us();

    if (!i || !i->tls_session || !k)
        return -ENOENT;
    if (!k->peer_us || now - k->peer_us > PEER_US) {
        k->peer_us = 0;
        int r =
            pki_peer(i->tls_session, k->peer_cn, k->peer_fingerprint, reterr);
        if (r < 0)
            return r;
        k->peer_us = now;
    }
    memcpy(cn, k->peer_cn, sizeof(k->peer_cn));
    memcpy(fingerprint, k->peer_fingerprint, HASH_HEX_SIZE);
    return 0;
}

void
http_suspend(struct http_req *rq)
{
    MHD_suspend_connection(of(rq)->c);
}

void
http_resume(struct http_req *rq)
{
    http_loop_resume(of(rq)->c);
}

void
http_resume_hold(void)
{
    http_loop_hold();
}

void
http_resume_held(void)
{
    http_loop_held();
}

void
http_add_header(struct http_req *rq, const char *name, const char *fmt, ...)
{
    va_list ap;

    buf_adds(&rq->headers, name);
    buf_add(&rq->headers, ": ", 2);
    va_start(ap, fmt);
    buf_vaddf(&rq->headers, fmt, ap);
    va_end(ap);
    buf_addc(&rq->headers, '\n');
}

void
http_put_header(struct http_req *rq, const char *name, const char *value)
{
    buf_adds(&rq->headers, name);
    buf_add(&rq->headers, ": ", 2);
    buf_adds(&rq->headers, value);
    buf_addc(&rq->headers, '\n');
}

/* ---- who may come, and for how long ---- */

/* Whether the client of a refused request has had too many of them. */
static bool
tires(struct request *r)
{
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(r->c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

    if (!i || http_limit_take(r->s->limit, i->client_addr, HTTP_COST_REFUSAL,
                              clock_mono_us()))
        return false;
    COUNT(http_refusals_limited);
    return true;
}

/* What is under way must be over by then; 0: it may take its time. */
static void
set_until(struct MHD_Connection *c, int64_t us)
{
    http_conn_of(c)->until_us = us;
}

static void
server_free(struct http_server *s)
{
    http_limit_free(s->limit);
    free(s->cert);
    free(s->key);
    free(s->ca);
    free(s);
}

/* ---- upgrade ---- */

static void
on_upgrade(void *cls, struct MHD_Connection *c, void *con_cls,
           const char *extra_in, size_t extra_in_size, MHD_socket sock,
           struct MHD_UpgradeResponseHandle *urh)
{
    struct request *r = con_cls;
    struct http_upgraded *u = xnew(struct http_upgraded);
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);

    u->connection = i ? i->connect_fd : -1;
    u->fd = sock;
    u->priv = urh;
    buf_add(&u->early, extra_in, extra_in_size);
    r->s->ops->upgraded(u, r->upgrade_token, r->s->arg);
    r->upgrade_token = NULL;
}

void
http_upgraded_close(struct http_upgraded *u)
{
    MHD_upgrade_action(u->priv, MHD_UPGRADE_ACTION_CLOSE);
    buf_release(&u->early);
    free(u);
}

/* The library closes the connection no earlier than it is told to. */
void
http_upgraded_cut(struct http_upgraded *u)
{
    if (shutdown(u->connection, SHUT_RDWR) < 0)
        COUNT(http_shutdown_failed);
    http_upgraded_close(u);
}

static bool
has_token(const char *value, const char *token)
{
    return value && strcasestr(value, token);
}

int
http_reply_websocket(struct http_req *rq, void *token, struct err *reterr)
{
    const char *key = http_header(rq, "Sec-WebSocket-Key");
    const char *version = http_header(rq, "Sec-WebSocket-Version");
    char accept[WS_ACCEPT_SIZE];

    if (!has_token(http_header(rq, "Upgrade"), "websocket") ||
        !has_token(http_header(rq, "Connection"), "upgrade") || !key ||
        !version || strcmp(version, "13") != 0 || ws_accept(key, accept) < 0)
        return err_set(reterr, -EINVAL, "websocket_required",
                       "this path speaks WebSocket: send Upgrade: websocket, "
                       "Connection: Upgrade, Sec-WebSocket-Version: 13 and a "
                       "Sec-WebSocket-Key");
    http_add_header(rq, "Upgrade", "websocket");
    http_add_header(rq, "Sec-WebSocket-Accept", "%s", accept);
    rq->status = MHD_HTTP_SWITCHING_PROTOCOLS;
    of(rq)->upgrade = true;
    of(rq)->upgrade_token = token;
    return 0;
}

/* ---- replies ---- */

struct http_stream *
http_reply_stream(struct http_req *rq, size_t cap, void (*drained)(void *arg),
                  void *arg)
{
    struct request *r = of(rq);
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(r->c, MHD_CONNECTION_INFO_CONNECTION_FD);

    r->stream =
        http_stream_new(r->c, i ? i->connect_fd : -1, cap, drained, arg);
    return r->stream;
}

static enum MHD_Result
queue_reply(struct request *r)
{
    struct http_req *rq = &r->rq;
    struct MHD_Response *resp;
    uint64_t size = rq->reply_fd >= 0 ? rq->reply_size : rq->reply.len;

    /* While the server stops, the library forgets the response it was given
     * and asks again; the contents went with the first one. */
    if (r->replied)
        return MHD_NO;
    r->replied = true;
    if (r->upgrade && rq->status == MHD_HTTP_SWITCHING_PROTOCOLS) {
        resp = MHD_create_response_for_upgrade(on_upgrade, NULL);
    } else if (r->stream) {
        resp = http_stream_response(r->stream);
    } else if (rq->reply_fd >= 0) {
        resp = MHD_create_response_from_fd64(rq->reply_size,
                                             TAKE_FD(rq->reply_fd));
    } else {
        size_t n = rq->reply.len;

        resp = MHD_create_response_from_buffer(n, buf_take(&rq->reply),
                                               MHD_RESPMEM_MUST_FREE);
    }
    if (!resp)
        return MHD_NO;
    if (rq->status != MHD_HTTP_SWITCHING_PROTOCOLS &&
        rq->status != MHD_HTTP_NO_CONTENT)
        MHD_add_response_header(resp, "Content-Type",
                                rq->content_type ? rq->content_type
                                                 : "application/json");
    for (char *line = rq->headers.data, *next; line && *line; line = next) {
        char *colon = strchr(line, ':');

        next = strchr(line, '\n');
        *next++ = '\0';
        *colon = '\0';
        MHD_add_response_header(resp, line, colon + 2);
    }
    if (rq->status >= 400 && rq->status < 500 && tires(r))
        rq->close = true;
    if (rq->close)
        MHD_add_response_header(resp, "Connection", "close");
    /* A stream has no end; whether its client takes it is its owner's to see
     * (http_stream_stalled()). */
    if (rq->status != MHD_HTTP_SWITCHING_PROTOCOLS)
        set_until(r->c, r->stream ? 0
                                  : clock_mono_us() + r->s->request_us +
                                        (int64_t)(size / REPLY_BYTES_PER_S) *
                                            US_PER_S);
    enum MHD_Result q = MHD_queue_response(r->c, (unsigned)rq->status, resp);
    MHD_destroy_response(resp);
    return q;
}

static enum MHD_Result
run_handle(struct request *r)
{
    if (r->s->ops->handle(&r->rq, r->s->arg) == HTTP_WAIT)
        return MHD_YES;
    return queue_reply(r);
}

static void
reply_too_large(struct request *r)
{
    COUNT(http_body_too_large);
    r->rq.status = MHD_HTTP_CONTENT_TOO_LARGE;
    r->s->ops->handle(&r->rq, r->s->arg);
}

/* The library may have no room left for the head of a reply: this one is
 * written past it (RFC 6585 section 5), and the connection ends. */
static enum MHD_Result
refuse_head(struct request *r)
{
    struct http_req *rq = &r->rq;
    struct buf out _cleanup_(buf_release) = {0};
    const struct http_conn *k = http_conn_of(r->c);
    ssize_t n;

    COUNT(http_head_too_large);
    buf_clear(&rq->reply); /* begin() may have refused it for less */
    rq->status = MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
    r->s->ops->handle(rq, r->s->arg);
    buf_addf(&out,
             "HTTP/1.1 431 Request Header Fields Too Large\r\n"
             "Content-Type: %s\r\nContent-Length: %zu\r\n"
             "Connection: close\r\n\r\n",
             rq->content_type ? rq->content_type : "application/json",
             rq->reply.len);
    buf_add(&out, rq->reply.data, rq->reply.len);
    n = k->tls ? gnutls_record_send(k->tls, out.data, out.len)
               : send(k->fd, out.data, out.len, MSG_NOSIGNAL);
    if (n != (ssize_t)out.len)
        COUNT(http_head_refusal_unsent); /* it takes none of its replies */
    return MHD_NO;
}

static bool
head_too_large(const struct request *r)
{
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(r->c, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

    return i && i->header_size > HEAD_MAX;
}

/* ---- requests ---- */

static struct request *
request_new(struct http_server *s, struct MHD_Connection *c, const char *method,
            const char *url, const char *version)
{
    struct request *r = xnew(struct request);
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

    r->s = s;
    r->c = c;
    r->path = xstrdup(url);
    r->version = version; /* the library's, as long as the request */
    r->rq.method = method;
    r->rq.path = r->path;
    r->rq.reply_fd = -1;
    r->rq.remote = r->remote;
    if (i && i->client_addr->sa_family == AF_INET)
        inet_ntop(AF_INET,
                  &((const struct sockaddr_in *)i->client_addr)->sin_addr,
                  r->remote, sizeof(r->remote));
    else if (i && i->client_addr->sa_family == AF_INET6)
        inet_ntop(AF_INET6,
                  &((const struct sockaddr_in6 *)i->client_addr)->sin6_addr,
                  r->remote, sizeof(r->remote));
    return r;
}

static enum MHD_Result
first_call(struct request *r)
{
    const char *cl = http_header(&r->rq, "Content-Length");
    uint64_t len = cl ? strtoull(cl, NULL, 10) : 0;

    r->s->ops->begin(&r->rq, r->s->arg);
    if (r->rq.stream)
        set_until(r->c, 0); /* takes its time, from a known sender */
    if (head_too_large(r))
        return refuse_head(r);
    r->refused = r->rq.status != 0;
    if (r->refused) {
        /* Refused before its body came: with a body under way the connection
         * cannot be used again, and a short body is drained first; unless
         * nobody can tell how long it is. */
        if (r->rq.close)
            return queue_reply(r);
        if (len == 0 && !http_header(&r->rq, "Transfer-Encoding"))
            return queue_reply(r);
        r->rq.close = true;
        if (len > DRAIN_MAX || http_header(&r->rq, "Transfer-Encoding"))
            return queue_reply(r);
        return MHD_YES;
    }
    if (!r->rq.stream && len > HTTP_BODY_MAX) {
        r->too_big = true;
        if (len > DRAIN_MAX) {
            r->rq.close = true;
            reply_too_large(r);
            return queue_reply(r);
        }
    }
    return MHD_YES;
}

static enum MHD_Result
body_part(struct request *r, const char *data, size_t *n)
{
    struct http_req *rq = &r->rq;

    if (rq->status || r->too_big) {
        r->dropped += *n;
        *n = 0;
        /* An answer can be sent only behind the body. The sender of an upload
         * that failed midway was allowed to send it, and gets to know why. */
        return r->dropped > DRAIN_MAX && !rq->stream ? MHD_NO : MHD_YES;
    }
    if (rq->stream) {
        r->s->ops->data(rq, data, *n, r->s->arg);
    } else if (rq->body.len + *n > HTTP_BODY_MAX) {
        r->too_big = true;
        buf_release(&rq->body);
    } else {
        buf_add(&rq->body, data, *n);
    }
    *n = 0;
    return MHD_YES;
}

static enum MHD_Result
on_access(void *cls, struct MHD_Connection *c, const char *url,
          const char *method, const char *version, const char *upload_data,
          size_t *upload_data_size, void **con_cls)
{
    struct http_server *s = cls;
    struct request *r = *con_cls;

    if (!r) {
        *con_cls = r = request_new(s, c, method, url, version);
        return first_call(r);
    }
    if (*upload_data_size)
        return body_part(r, upload_data, upload_data_size);
    set_until(c, 0);
    if (r->refused)
        return queue_reply(r); /* its body is drained */
    if (r->too_big) {
        reply_too_large(r);
        return queue_reply(r);
    }
    return run_handle(r);
}

static void
on_completed(void *cls, struct MHD_Connection *c, void **con_cls,
             enum MHD_RequestTerminationCode code)
{
    struct http_server *s = cls;
    struct request *r = *con_cls;

    if (!r)
        return;
    if (code == MHD_REQUEST_TERMINATED_TIMEOUT_REACHED)
        COUNT(http_timeout);
    if (r->stream)
        http_stream_over(r->stream);
    s->ops->end(&r->rq, s->arg);
    closep(&r->rq.reply_fd);
    buf_release(&r->rq.body);
    buf_release(&r->rq.reply);
    buf_release(&r->rq.headers);
    if (!r->upgrade)
        set_until(c, clock_mono_us() + s->request_us);
    free(r->path);
    free(r);
    *con_cls = NULL;
}

static int
hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* %00 stays as it is, like what is no escape: decoded it would end the text
 * early, and "/v1/x%00y" would be "/v1/x". */
static size_t
on_unescape(void *cls, struct MHD_Connection *c, char *text)
{
    char *out = text;

    for (const char *p = text; *p;) {
        int hi = *p == '%' ? hex_digit(p[1]) : -1;
        int lo = hi >= 0 ? hex_digit(p[2]) : -1;

        if (lo < 0 || (hi == 0 && lo == 0)) {
            *out++ = *p++;
            continue;
        }
        *out++ = (char)(hi << 4 | lo);
        p += 3;
    }
    *out = '\0';
    return (size_t)(out - text);
}

static void
on_log(void *cls, const char *fmt, va_list ap)
{
    char text[512];

    vsnprintf(text, sizeof(text), fmt, ap);
    COUNT(http_library_message);
    log_limited(LOG_LEVEL_DEBUG, "http library", "text=\"%s\"", text);
}

/* ---- start and stop ---- */

static struct MHD_Daemon *
new_daemon(struct http_loops *loops, void *arg)
{
    struct http_server *s = arg;
    const struct http_config *cfg = s->cfg;
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, s->cert},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, s->key},
        {MHD_OPTION_HTTPS_MEM_TRUST, 0, s->ca},
        {MHD_OPTION_HTTPS_PRIORITIES, 0,
         (void *)"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"},
        {MHD_OPTION_END, 0, NULL},
    };

    if (!s->cert)
        tls[0].option = MHD_OPTION_END;
    return MHD_start_daemon(
        MHD_USE_EPOLL | (s->cert ? MHD_USE_TLS : 0) | MHD_ALLOW_SUSPEND_RESUME |
            MHD_ALLOW_UPGRADE | MHD_USE_ERROR_LOG | MHD_USE_NO_LISTEN_SOCKET,
        0, NULL, NULL, on_access, s, /* options: */
        MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_ARRAY, tls,
        MHD_OPTION_CONNECTION_LIMIT, cfg->max_connections,
        MHD_OPTION_CONNECTION_TIMEOUT, cfg->idle_timeout_s,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, NULL,
        MHD_OPTION_NOTIFY_CONNECTION, http_loop_notify, loops,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_END);
}

int
http_start(const struct http_config *cfg, struct http_server **ret,
           struct err *reterr)
{
    int fd _cleanup_(closep) = -1;
    unsigned port = 0;
    int r = http_listen(cfg->listen, &fd, &port, reterr);

    if (r < 0)
        return r;
    struct http_server *s = xnew(struct http_server);
    s->port = port;
    s->ops = cfg->ops;
    s->arg = cfg->arg;
    s->cert = xstrdup(cfg->cert_pem);
    s->key = xstrdup(cfg->key_pem);
    s->ca = xstrdup(cfg->client_ca_pem);
    /* A kept-alive connection may be idle for the one half before. */
    s->request_us = 2 * (int64_t)cfg->idle_timeout_s * US_PER_S;
    s->limit = http_limit_new(cfg->per_second);
    s->cfg = cfg;
    struct http_loops_config lc = {
        .threads = cfg->threads,
        .max_connections = cfg->max_connections,
        .max_per_address = cfg->max_per_address
                               ? cfg->max_per_address
                               : MAX(cfg->max_connections / 2, 1u),
        .request_us = s->request_us,
        .daemon = new_daemon,
        .arg = s,
    };
    r = http_loops_start(&lc, &s->loops);
    s->cfg = NULL;
    if (r == 0)
        r = http_accept_start(TAKE_FD(fd), s->loops, s->limit, &s->accept);
    if (r < 0) {
        http_loops_stop(s->loops);
        server_free(s);
        return err_errno(reterr, r, "the HTTP server cannot start on %s",
                         cfg->listen);
    }
    *ret = s;
    return 0;
}

unsigned
http_port(const struct http_server *s)
{
    return s->port;
}

void
http_quiesce(struct http_server *s)
{
    http_accept_stop(s->accept);
    s->accept = NULL;
}

void
http_stop(struct http_server *s)
{
    if (!s)
        return;
    http_quiesce(s);
    http_loops_stop(s->loops);
    server_free(s);
}
