/* call.c - requests to the controller; see cli.h.
 * A request that may have been lost is sent again: reads and deletes as they
 * are, a POST under its Idempotency-Key, so that nothing happens twice. */
#include <config.h>

#include <ctype.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include "cli/cli.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/id.h"
#include "common/mem.h"

#define DEFAULT_URL "https://127.0.0.1:8443"
#define DEFAULT_TIMEOUT_MS 30000
#define RETRIES 3
#define BACKOFF_FIRST_MS 200
#define RETRY_AFTER_MAX_MS 10000
#define TOKEN_FILE_MAX 4096
#define HEADERS_MAX 8

int
cli_fail(struct cli *c, int exit, const char *code, const char *fmt, ...)
{
    char text[sizeof(c->fault.err.message)];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    cli_fault_clear(c);
    c->fault.exit = exit;
    err_set(&c->fault.err, -EIO, code, "%s", text);
    return exit;
}

void
cli_fault_append(struct cli *c, const char *fmt, ...)
{
    char *message = c->fault.err.message;
    char text[sizeof(c->fault.err.message)];
    size_t len = strlen(message), room;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    /* The new words are the ones to keep when both do not fit. */
    room = sizeof(text) - strlen(text);
    len = MIN(len, room - 1);
    memcpy(message + len, text, strlen(text) + 1);
}

void
cli_fault_clear(struct cli *c)
{
    err_release(&c->fault.err);
    c->fault = (struct cli_fault){0};
}

/* ---- set-up ---- */

static int
read_token(struct cli *c)
{
    const struct cli_value *file = &c->line.globals[GLOBAL_TOKEN_FILE];
    const char *env = getenv("VIRGA_TOKEN");
    struct buf text _cleanup_(buf_release) = {0};
    struct err err _cleanup_(err_release) = {0};

    if (file->set && fs_read(file->text, TOKEN_FILE_MAX, &text, &err) < 0)
        return cli_fail(c, EXIT_USAGE, "token_file", "--token-file: %s",
                        err.message);
    if (!file->set && (!env || !*env)) {
        /* A secret is for the controller that gave it; without any the server
         * says so where it matters. */
        if (!streq(c->saved.url, c->url))
            return EXIT_OK;
        env = c->saved.token;
    }
    c->token = xstrdup(file->set ? buf_str(&text) : env);
    size_t n = strlen(c->token);
    while (n && isspace((unsigned char)c->token[n - 1]))
        c->token[--n] = '\0';
    for (const char *p = c->token; *p; p++)
        if (*p <= ' ' || *p > '~')
            return cli_fail(c, EXIT_USAGE, "token",
                            "the token holds a blank or a control character");
    return EXIT_OK;
}

/* A token must not cross a network in the clear. */
static int
check_url(struct cli *c)
{
    static const char *const local[] = {"127.0.0.1", "localhost", "[::1]"};
    const char *host = c->url + strlen("http://");

    if (strncasecmp(c->url, "https://", 8) == 0)
        return EXIT_OK;
    if (strncasecmp(c->url, "http://", 7) != 0)
        return cli_fail(c, EXIT_USAGE, "url",
                        "\"%.100s\" is no URL of a controller; one looks like "
                        "https://cloud.example:8443",
                        c->url);
    for (size_t i = 0; i < ARRAY_SIZE(local); i++) {
        size_t n = strlen(local[i]);

        if (strncasecmp(host, local[i], n) == 0 &&
            (host[n] == '\0' || host[n] == ':' || host[n] == '/'))
            return EXIT_OK;
    }
    return cli_fail(c, EXIT_USAGE, "url",
                    "%.100s would show the token to the network: use https",
                    c->url);
}

static const char *
setting(const struct cli_value *v, const char *env, const char *dflt)
{
    const char *s = v->set ? v->text : getenv(env);

    return s && *s ? s : dflt;
}

int
cli_setup(struct cli *c)
{
    const struct cli_value *g = c->line.globals;
    int rc;

    /* Where one is signed in goes before the usual place. */
    rc = cli_saved_load(&c->saved);
    c->url = setting(&g[GLOBAL_URL], "VIRGA_URL",
                     rc == 0 ? c->saved.url : DEFAULT_URL);
    c->ca_file = setting(&g[GLOBAL_CA], "VIRGA_CA",
                         streq(c->url, c->saved.url) ? c->saved.ca : NULL);
    c->retries = RETRIES;
    c->timeout_ms = DEFAULT_TIMEOUT_MS;
    if (g[GLOBAL_TIMEOUT].set)
        c->timeout_ms = MAX(g[GLOBAL_TIMEOUT].num / 1000, INT64_C(1));
    rc = check_url(c);
    if (rc == EXIT_OK)
        rc = read_token(c);
    if (rc != EXIT_OK)
        return rc;
    if (c->ca_file && access(c->ca_file, R_OK) < 0)
        return cli_fail(c, EXIT_USAGE, "ca_file",
                        "the CA file %.200s cannot be read: %s", c->ca_file,
                        strerror(errno));
    if (g[GLOBAL_DEBUG].set)
        c->debug = cli_debug_open(STDERR_FILENO, c->token);
    return EXIT_OK;
}

void
cli_release(struct cli *c)
{
    httpc_free(c->http);
    fclosep(&c->debug);
    free(c->token);
    cli_saved_release(&c->saved);
    cli_fault_clear(c);
}

struct httpc *
cli_client_new(struct cli *c)
{
    return httpc_new(&(struct httpc_config){
        .base_url = c->url,
        .ca_file = c->ca_file,
        .bearer = c->token,
        .user_agent = "virga/" VERSION,
        .debug = c->debug,
    });
}

struct httpc *
cli_client(struct cli *c)
{
    if (!c->http)
        c->http = cli_client_new(c);
    return c->http;
}

/* ---- exit codes ---- */

int
cli_exit_of_status(long status, const char *code)
{
    if (code && streq(code, "quota_exceeded"))
        return EXIT_NO_CAPACITY;
    switch (status) {
    case 400:
    case 413:
    case 415:
    case 422:
        return EXIT_INVALID;
    case 401:
    case 403:
        return EXIT_DENIED;
    case 404:
        return EXIT_NOT_FOUND;
    case 409:
    case 412:
    case 428:
        return EXIT_CONFLICT;
    case 408:
    case 429:
    case 502:
    case 503:
    case 504:
        return EXIT_UNAVAILABLE;
    case 507:
        return EXIT_NO_CAPACITY;
    default:
        return EXIT_FAILED;
    }
}

int
cli_exit_of_errno(int number)
{
    switch (number) {
    case -ECONNREFUSED:
    case -ETIMEDOUT:
    case -EACCES: /* TLS trust */
    case -EIO:
    case -EPIPE:
    case -EPROTO:
        return EXIT_UNAVAILABLE;
    default:
        return EXIT_FAILED;
    }
}

/* Turns a refusal into the fault. */
static int
refused(struct cli *c, const struct httpc_reply *reply)
{
    struct api_problem p = {0};
    int exit;

    if (codec_decode(&table_problem, CODEC_REPLY, buf_str(&reply->body),
                     reply->body.len, &p, NULL) < 0 ||
        (!p.detail && !p.title)) {
        /* Not from our controller, perhaps from a proxy before it. */
        exit = cli_exit_of_status(reply->status, NULL);
        cli_fail(c, exit, "http",
                 "%s answered with status %ld and no explanation", c->url,
                 reply->status);
    } else {
        exit = cli_exit_of_status(reply->status, p.code);
        cli_fail(c, exit, p.code ? p.code : "http", "%s",
                 p.detail ? p.detail : p.title);
    }
    c->fault.status = reply->status;
    snprintf(c->fault.request_id, sizeof(c->fault.request_id), "%s",
             p.request_id ? p.request_id : "");
    for (size_t i = 0; i < p.errors.n; i++) {
        const struct api_problem_field *f =
            (const struct api_problem_field *)p.errors.items + i;

        err_field(&c->fault.err, f->pointer ? f->pointer : "",
                  f->code ? f->code : "invalid", "%s",
                  f->message ? f->message : "");
    }
    codec_clear(&table_problem, &p);
    return exit;
}

/* ---- retries ---- */

int64_t
cli_retry_after_ms(const struct httpc_reply *reply, int64_t dflt)
{
    char text[32];
    char *end;

    if (httpc_reply_header(reply, "Retry-After", text, sizeof(text)) < 0 ||
        !isdigit((unsigned char)*text))
        return dflt;
    errno = 0;
    long long s = strtoll(text, &end, 10);
    if (*end || errno || s > RETRY_AFTER_MAX_MS / 1000)
        return *end ? dflt : RETRY_AFTER_MAX_MS;
    return s * 1000;
}

/* Whether the same request can have another outcome a little later. */
static bool
worth_retry(int r, const struct httpc_reply *reply, bool repeated)
{
    char text[32];

    if (r == -ECONNREFUSED || r == -EIO)
        return true;
    if (r < 0)
        return false;
    /* The controller has waited for its node already. */
    if (reply->status == 503 &&
        strstr(buf_str(&reply->body), "\"node_unreachable\""))
        return false;
    /* Whose password is wrong types another one. */
    if (reply->status == 429 &&
        strstr(buf_str(&reply->body), "\"too_many_attempts\""))
        return false;
    if (reply->status == 429 || reply->status == 503)
        return true;
    /* The first attempt, whose reply was lost, may still be under way. */
    return repeated && reply->status == 409 &&
           httpc_reply_header(reply, "Retry-After", text, sizeof(text)) == 0;
}

/* A file is sent from where it began, in each attempt. */
static int
rewind_upload(struct cli *c, const struct httpc_request *rq)
{
    if (rq->upload_fd >= 0 && lseek(rq->upload_fd, 0, SEEK_SET) < 0)
        return cli_fail(c, EXIT_FAILED, "upload", "cannot rewind the file: %s",
                        strerror(errno));
    return EXIT_OK;
}

int
cli_call(struct cli *c, const struct httpc_request *rq, struct httpc_reply *ret)
{
    char key[ID_SIZE], key_line[64];
    const char *headers[HEADERS_MAX + 1] = {0};
    struct httpc_request one = *rq;
    struct err err _cleanup_(err_release) = {0};
    bool was_lost = false;
    size_t n = 0;
    int rc, r;

    if (streq(rq->method, "POST")) {
        id_new(key);
        snprintf(key_line, sizeof(key_line), "Idempotency-Key: %s", key);
        headers[n++] = key_line;
    }
    for (size_t i = 0; rq->headers && rq->headers[i] && n < HEADERS_MAX; i++)
        headers[n++] = rq->headers[i];
    one.headers = headers;
    if (!one.timeout_ms)
        one.timeout_ms = c->timeout_ms;
    cli_fault_clear(c);
    for (int attempt = 0;; attempt++) {
        int64_t wait_ms = (int64_t)BACKOFF_FIRST_MS << attempt;

        rc = rewind_upload(c, &one);
        if (rc != EXIT_OK)
            return rc;
        err_release(&err);
        r = httpc_call(cli_client(c), &one, ret, &err);
        if (r == 0 && ret->status / 100 == 2)
            return EXIT_OK;
        /* Gone, after an attempt to delete whose reply was lost: by us. */
        if (r == 0 && ret->status == 404 && was_lost &&
            streq(rq->method, "DELETE"))
            return EXIT_OK;
        if (attempt >= c->retries || !worth_retry(r, ret, attempt > 0))
            break;
        was_lost = was_lost || r == -EIO;
        if (r == 0)
            wait_ms = cli_retry_after_ms(ret, wait_ms);
        httpc_reply_release(ret);
        poll(NULL, 0, (int)wait_ms);
    }
    if (r == 0) {
        rc = refused(c, ret);
        httpc_reply_release(ret);
        return rc;
    }
    cli_fail(c, cli_exit_of_errno(r), err.code, "%s", err.message);
    c->fault.err.number = r;
    return c->fault.exit;
}

/* ---- routes ---- */

static void
add_encoded(struct buf *out, const char *s)
{
    static const char safe[] = "-._~";

    for (; *s; s++) {
        if (isalnum((unsigned char)*s) || strchr(safe, *s))
            buf_addc(out, *s);
        else
            buf_addf(out, "%%%02X", (unsigned char)*s);
    }
}

void
cli_query_add(struct buf *query, const char *name, const char *value)
{
    if (!value)
        return;
    buf_addf(query, "%c%s=", query->len ? '&' : '?', name);
    add_encoded(query, value);
}

char *
cli_path(enum api_route_id id, const char *ref, const char *query)
{
    const char *p = api_routes[id].path;
    struct buf out = {0};

    while (*p) {
        if (*p != '{') {
            buf_addc(&out, *p++);
            continue;
        }
        add_encoded(&out, ref);
        p = strchr(p, '}') + 1;
    }
    buf_adds(&out, query ? query : "");
    return buf_take(&out);
}

int
cli_route(struct cli *c, enum api_route_id id, const char *ref,
          const char *query, const struct buf *body, struct httpc_reply *ret)
{
    char *path _cleanup_(freep) = cli_path(id, ref, query);
    struct httpc_request rq = HTTPC_REQUEST(api_routes[id].method, path);

    if (body) {
        rq.body = body->data;
        rq.body_len = body->len;
    }
    return cli_call(c, &rq, ret);
}

int
cli_decode(struct cli *c, const struct codec_table *t,
           const struct httpc_reply *reply, void *obj)
{
    struct err err _cleanup_(err_release) = {0};

    if (codec_decode(t, CODEC_REPLY, buf_str(&reply->body), reply->body.len,
                     obj, &err) == 0)
        return EXIT_OK;
    return cli_fail(c, EXIT_FAILED, "bad_reply",
                    "the controller's reply is not understood (%s); is this "
                    "virga older than the controller?",
                    err.message);
}

int
cli_get(struct cli *c, enum api_route_id id, const char *ref, const char *query,
        void *obj)
{
    struct httpc_reply reply = {0};
    int rc = cli_route(c, id, ref, query, NULL, &reply);

    if (rc == EXIT_OK)
        rc = cli_decode(c, api_routes[id].out, &reply, obj);
    httpc_reply_release(&reply);
    return rc;
}
