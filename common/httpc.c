/* httpc.c - HTTPS client by libcurl; see httpc.h. */
#include <config.h>

#include "common/httpc.h"

#include <curl/curl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>

#include "common/fs.h"
#include "common/mem.h"

#define HEADERS_MAX ((size_t)64 << 10)
#define REPLY_MAX_DEFAULT ((size_t)64 << 20)

struct httpc {
    CURL *h;
    char *base_url, *host, *ca_file, *cert_file, *key_file, *auth, *agent;
    bool insecure;
    FILE *debug;
    _Atomic bool aborted;
};

struct call {
    struct httpc *c;
    const struct httpc_request *rq;
    struct httpc_reply *reply;
    size_t max_reply;
    int failed; /* negative errno of our own callbacks */
    int64_t downloaded;
    bool to_fd;
};

static void
global_init(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct httpc *
httpc_new(const struct httpc_config *cfg)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, global_init);
    struct httpc *c = xnew(struct httpc);
    size_t n = strlen(cfg->base_url);

    while (n && cfg->base_url[n - 1] == '/')
        n--;
    c->base_url = xstrndup(cfg->base_url, n);
    const char *host = strstr(c->base_url, "://");
    c->host = xstrdup(host ? host + 3 : c->base_url);
    c->ca_file = xstrdup(cfg->ca_file);
    c->cert_file = xstrdup(cfg->cert_file);
    c->key_file = xstrdup(cfg->key_file);
    if (cfg->bearer)
        c->auth = xasprintf("Authorization: Bearer %s", cfg->bearer);
    c->agent = xstrdup(cfg->user_agent ? cfg->user_agent : "virga");
    c->insecure = cfg->insecure;
    c->debug = cfg->debug;
    c->h = curl_easy_init();
    if (!c->h)
        abort();
    return c;
}

void
httpc_free(struct httpc *c)
{
    if (!c)
        return;
    curl_easy_cleanup(c->h);
    free(c->base_url);
    free(c->host);
    free(c->ca_file);
    free(c->cert_file);
    free(c->key_file);
    free(c->auth);
    free(c->agent);
    free(c);
}

void
httpc_abort(struct httpc *c)
{
    atomic_store(&c->aborted, true);
}

const char *
httpc_auth_header(const struct httpc *c)
{
    return c->auth;
}

const char *
httpc_host(const struct httpc *c)
{
    return c->host;
}

void
httpc_reply_release(struct httpc_reply *r)
{
    buf_release(&r->body);
    buf_release(&r->headers);
    *r = (struct httpc_reply){0};
}

int
httpc_reply_header(const struct httpc_reply *r, const char *name, char *out,
                   size_t size)
{
    size_t n = strlen(name);

    for (const char *line = buf_str(&r->headers); *line;) {
        size_t len = strcspn(line, "\r\n");

        if (len > n && strncasecmp(line, name, n) == 0 && line[n] == ':') {
            size_t skip = n + 1 + strspn(line + n + 1, " \t");

            if (skip > len)
                skip = len;
            snprintf(out, size, "%.*s", (int)(len - skip), line + skip);
            return 0;
        }
        line += len;
        line += strspn(line, "\r\n");
    }
    return -ENOENT;
}

static size_t
on_body(char *data, size_t size, size_t n, void *arg)
{
    struct call *call = arg;
    size_t len = size * n;
    long status = 0;

    curl_easy_getinfo(call->c->h, CURLINFO_RESPONSE_CODE, &status);
    if (call->rq->download_fd >= 0 && status / 100 == 2) {
        call->to_fd = true;
        call->failed = fs_write_all(call->rq->download_fd, data, len);
        call->downloaded += (int64_t)len;
        return call->failed < 0 ? 0 : len;
    }
    if (call->reply->body.len + len > call->max_reply) {
        call->failed = -EFBIG;
        return 0;
    }
    buf_add(&call->reply->body, data, len);
    return len;
}

static size_t
on_upload(char *data, size_t size, size_t n, void *arg)
{
    struct call *call = arg;

    for (;;) {
        ssize_t r = read(call->rq->upload_fd, data, size * n);

        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0) {
            call->failed = -errno;
            return CURL_READFUNC_ABORT;
        }
        return (size_t)r;
    }
}

static size_t
on_header(char *data, size_t size, size_t n, void *arg)
{
    struct call *call = arg;
    size_t len = size * n;

    if (call->reply->headers.len + len > HEADERS_MAX) {
        call->failed = -EFBIG;
        return 0;
    }
    buf_add(&call->reply->headers, data, len);
    return len;
}

static int
on_progress(void *arg, curl_off_t dltotal, curl_off_t dlnow, curl_off_t ultotal,
            curl_off_t ulnow)
{
    struct call *call = arg;

    if (atomic_load(&call->c->aborted))
        return 1;
    if (call->rq->progress) {
        bool up = call->rq->upload_fd >= 0;

        call->rq->progress(up ? ulnow : dlnow, up ? ultotal : dltotal,
                           call->rq->progress_arg);
    }
    return 0;
}

static int
on_debug(CURL *h, curl_infotype type, char *data, size_t n, void *arg)
{
    FILE *f = arg;
    const char *mark = type == CURLINFO_HEADER_OUT  ? "> "
                       : type == CURLINFO_DATA_OUT  ? ">> "
                       : type == CURLINFO_HEADER_IN ? "< "
                       : type == CURLINFO_DATA_IN   ? "<< "
                                                    : NULL;

    if (!mark)
        return 0;
    for (size_t i = 0; i < n;) {
        size_t e = i;

        while (e < n && data[e] != '\n')
            e++;
        if (e - i > 14 && strncasecmp(data + i, "Authorization:", 14) == 0)
            fprintf(f, "%sAuthorization: Bearer ***\n", mark);
        else if (e - i > 400)
            fprintf(f, "%s%.400s… (%zu bytes)\n", mark, data + i, e - i);
        else if (!(e - i == 1 && data[i] == '\r'))
            fprintf(f, "%s%.*s\n", mark, (int)(e - i), data + i);
        i = e + 1;
    }
    return 0;
}

static void
set_common(struct httpc *c, CURL *h)
{
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "https,http");
    curl_easy_setopt(h, CURLOPT_USERAGENT, c->agent);
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, 10000L);
    curl_easy_setopt(h, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(h, CURLOPT_TCP_KEEPIDLE, 20L);
    curl_easy_setopt(h, CURLOPT_TCP_KEEPINTVL, 10L);
    curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, c->insecure ? 0L : 1L);
    curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, c->insecure ? 0L : 2L);
    if (c->ca_file)
        curl_easy_setopt(h, CURLOPT_CAINFO, c->ca_file);
    if (c->cert_file) {
        curl_easy_setopt(h, CURLOPT_SSLCERT, c->cert_file);
        curl_easy_setopt(h, CURLOPT_SSLKEY, c->key_file);
    }
    if (c->debug) {
        curl_easy_setopt(h, CURLOPT_VERBOSE, 1L);
        curl_easy_setopt(h, CURLOPT_DEBUGFUNCTION, on_debug);
        curl_easy_setopt(h, CURLOPT_DEBUGDATA, c->debug);
    }
}

static void
set_body(struct call *call, CURL *h)
{
    const struct httpc_request *rq = call->rq;

    if (rq->upload_fd >= 0) {
        curl_easy_setopt(h, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(h, CURLOPT_READFUNCTION, on_upload);
        curl_easy_setopt(h, CURLOPT_READDATA, call);
        curl_easy_setopt(h, CURLOPT_INFILESIZE_LARGE,
                         (curl_off_t)rq->upload_size);
    } else if (rq->body || strcmp(rq->method, "POST") == 0) {
        curl_easy_setopt(h, CURLOPT_POSTFIELDS, rq->body ? rq->body : "");
        curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE,
                         (curl_off_t)rq->body_len);
    }
    curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, rq->method);
}

static int
errno_of(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
        return -ECONNREFUSED;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
        return -EACCES;
    case CURLE_ABORTED_BY_CALLBACK:
        return -ECANCELED;
    default:
        return -EIO;
    }
}

static int
call_error(struct call *call, CURLcode code, const char *words,
           struct err *reterr)
{
    if (call->failed == -EFBIG)
        return err_set(reterr, -EFBIG, "reply_too_large",
                       "the reply is larger than %zu bytes", call->max_reply);
    if (call->failed < 0)
        return err_errno(reterr, call->failed, "%s %s: local file",
                         call->rq->method, call->rq->path);
    return err_set(reterr, errno_of(code), "unreachable", "%s: %s",
                   call->c->base_url,
                   *words ? words : curl_easy_strerror(code));
}

int
httpc_call(struct httpc *c, const struct httpc_request *rq,
           struct httpc_reply *ret, struct err *reterr)
{
    char words[CURL_ERROR_SIZE] = "";
    char *url _cleanup_(freep) = xasprintf("%s%s", c->base_url, rq->path);
    struct curl_slist *headers = NULL;
    struct call call = {
        .c = c,
        .rq = rq,
        .reply = ret,
        .max_reply = rq->max_reply ? rq->max_reply : REPLY_MAX_DEFAULT,
    };

    *ret = (struct httpc_reply){0};
    curl_easy_reset(c->h); /* keeps connections */
    set_common(c, c->h);
    set_body(&call, c->h);
    headers = curl_slist_append(headers, "Expect:");
    if (c->auth)
        headers = curl_slist_append(headers, c->auth);
    if (rq->upload_fd >= 0 || rq->body) {
        const char *type = rq->content_type;
        char *line _cleanup_(freep) =
            xasprintf("Content-Type: %s", type ? type
                                          : rq->upload_fd >= 0
                                              ? "application/octet-stream"
                                              : "application/json");
        headers = curl_slist_append(headers, line);
    }
    for (size_t i = 0; rq->headers && rq->headers[i]; i++)
        headers = curl_slist_append(headers, rq->headers[i]);
    curl_easy_setopt(c->h, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c->h, CURLOPT_URL, url);
    curl_easy_setopt(c->h, CURLOPT_ERRORBUFFER, words);
    curl_easy_setopt(c->h, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c->h, CURLOPT_WRITEDATA, &call);
    curl_easy_setopt(c->h, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c->h, CURLOPT_HEADERDATA, &call);
    curl_easy_setopt(c->h, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c->h, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c->h, CURLOPT_XFERINFODATA, &call);
    curl_easy_setopt(c->h, CURLOPT_TIMEOUT_MS,
                     (long)(rq->timeout_ms ? rq->timeout_ms : 30000));
    if (rq->stall_ms) {
        curl_easy_setopt(c->h, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(c->h, CURLOPT_LOW_SPEED_TIME,
                         (long)((rq->stall_ms + 999) / 1000));
    }
    CURLcode code = curl_easy_perform(c->h);
    curl_slist_free_all(headers);
    curl_easy_setopt(c->h, CURLOPT_ERRORBUFFER, NULL);
    if (code != CURLE_OK) {
        httpc_reply_release(ret);
        return call_error(&call, code, words, reterr);
    }
    curl_easy_getinfo(c->h, CURLINFO_RESPONSE_CODE, &ret->status);
    return 0;
}

struct httpc_raw {
    CURL *h;
};

int
httpc_raw_open(struct httpc *c, struct httpc_raw **ret, struct err *reterr)
{
    char words[CURL_ERROR_SIZE] = "";
    CURL *h = curl_easy_init();

    if (!h)
        abort();
    set_common(c, h);
    curl_easy_setopt(h, CURLOPT_URL, c->base_url);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, words);
    /* Upgrades belong to HTTP/1.1; ALPN must not offer anything else. */
    curl_easy_setopt(h, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(h, CURLOPT_CONNECT_ONLY, 1L);
    CURLcode code = curl_easy_perform(h);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, NULL);
    if (code != CURLE_OK) {
        curl_easy_cleanup(h);
        return err_set(reterr, errno_of(code), "unreachable", "%s: %s",
                       c->base_url, *words ? words : curl_easy_strerror(code));
    }
    *ret = xnew(struct httpc_raw);
    (*ret)->h = h;
    return 0;
}

void
httpc_raw_close(struct httpc_raw *r)
{
    if (!r)
        return;
    curl_easy_cleanup(r->h);
    free(r);
}

int
httpc_raw_fd(struct httpc_raw *r)
{
    curl_socket_t fd = CURL_SOCKET_BAD;

    curl_easy_getinfo(r->h, CURLINFO_ACTIVESOCKET, &fd);
    return fd;
}

int
httpc_raw_send(struct httpc_raw *r, const void *data, size_t n)
{
    const char *p = data;

    while (n) {
        size_t sent = 0;
        CURLcode code = curl_easy_send(r->h, p, n, &sent);

        if (code == CURLE_AGAIN) {
            struct pollfd pfd = {.fd = httpc_raw_fd(r), .events = POLLOUT};

            if (poll(&pfd, 1, 30000) == 0)
                return -ETIMEDOUT;
            continue;
        }
        if (code != CURLE_OK)
            return -EPIPE;
        p += sent;
        n -= sent;
    }
    return 0;
}

ssize_t
httpc_raw_recv(struct httpc_raw *r, void *data, size_t n)
{
    size_t got = 0;
    CURLcode code = curl_easy_recv(r->h, data, n, &got);

    if (code == CURLE_AGAIN)
        return -EAGAIN;
    if (code != CURLE_OK)
        return -EPIPE;
    return (ssize_t)got;
}
