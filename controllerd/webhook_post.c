/* webhook_post.c - the sending side of webhooks; see webhook_post.h. */
#include <config.h>

#include "controllerd/webhook_post.h"

#include <curl/curl.h>
#include <sys/socket.h>

#include "common/count.h"
#include "common/mem.h"
#include "controllerd/webhook_msg.h"

#define CONNECT_MS 5000L
#define TOTAL_MS 15000L
#define REPLY_MAX 65536 /* of headers, and of a body: both are dropped */
#define KEPT_CONNECTIONS 64L

struct poster {
    CURLM *multi;
    bool allow_private;
};

struct post {
    CURL *easy;
    struct curl_slist *headers;
    struct poster *p;
    void *arg;
    size_t got; /* bytes of the reply */
    bool was_private;
    char error[CURL_ERROR_SIZE];
};

/* Where the name led, at the moment of use: a name that leads elsewhere by
 * the second question gains nothing. */
static curl_socket_t
open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct post *post = arg;

    if (!post->p->allow_private && !webhook_address_public(&a->addr)) {
        COUNT(webhook_private_address);
        post->was_private = true;
        return CURL_SOCKET_BAD;
    }
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static size_t
drop(char *data, size_t size, size_t n, void *arg)
{
    struct post *post = arg;

    post->got += size * n;
    return post->got > REPLY_MAX ? 0 : size * n; /* 0 ends the transfer */
}

int
poster_new(bool allow_private, struct poster **ret, struct err *reterr)
{
    struct poster *p = xnew(struct poster);

    p->allow_private = allow_private;
    p->multi = curl_multi_init();
    if (!p->multi) {
        free(p);
        return err_set(reterr, -ENOMEM, "no_memory", "cannot start libcurl");
    }
    curl_multi_setopt(p->multi, CURLMOPT_MAXCONNECTS, KEPT_CONNECTIONS);
    *ret = p;
    return 0;
}

static void
post_free(struct post *post)
{
    curl_easy_cleanup(post->easy);
    curl_slist_free_all(post->headers);
    free(post);
}

void
post_cancel(struct poster *p, struct post *post)
{
    curl_multi_remove_handle(p->multi, post->easy);
    post_free(post);
}

void
poster_free(struct poster *p)
{
    if (!p)
        return;
    curl_multi_cleanup(p->multi);
    free(p);
}

struct post *
post_start(struct poster *p, const char *url, const char *const *headers,
           const struct buf *body, void *arg)
{
    struct post *post = xnew(struct post);
    CURL *h = curl_easy_init();

    if (!h)
        abort();
    post->easy = h;
    post->p = p;
    post->arg = arg;
    for (; *headers; headers++) {
        struct curl_slist *l = curl_slist_append(post->headers, *headers);

        if (!l)
            abort();
        post->headers = l;
    }
    curl_easy_setopt(h, CURLOPT_URL, url);
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(h, CURLOPT_PROXY, ""); /* nor one of the environment */
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, TOTAL_MS);
    curl_easy_setopt(h, CURLOPT_BUFFERSIZE, 16384L);
    curl_easy_setopt(h, CURLOPT_POST, 1L);
    curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE, (long)body->len);
    curl_easy_setopt(h, CURLOPT_COPYPOSTFIELDS, buf_str(body));
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, post->headers);
    curl_easy_setopt(h, CURLOPT_USERAGENT, "virga/" PACKAGE_VERSION);
    curl_easy_setopt(h, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(h, CURLOPT_OPENSOCKETDATA, post);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, drop);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, post);
    curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, drop);
    curl_easy_setopt(h, CURLOPT_HEADERDATA, post);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, post->error);
    curl_easy_setopt(h, CURLOPT_PRIVATE, post);
    curl_multi_add_handle(p->multi, h);
    return post;
}

void
post_wait(struct poster *p, int64_t timeout_us)
{
    int ms = (int)MIN((timeout_us + 999) / 1000, (int64_t)60000);

    if (curl_multi_poll(p->multi, NULL, 0, ms, NULL) != CURLM_OK)
        COUNT(webhook_multi_failed);
}

void
post_wake(struct poster *p)
{
    if (curl_multi_wakeup(p->multi) != CURLM_OK)
        COUNT(webhook_multi_failed);
}

static void
describe(const struct post *post, CURLcode code, struct post_outcome *ret)
{
    if (ret->status / 100 == 2)
        return;
    if (ret->status)
        snprintf(ret->error, sizeof(ret->error), "the receiver answered %ld",
                 ret->status);
    else if (post->was_private)
        snprintf(ret->error, sizeof(ret->error),
                 "the name leads to a private or special address");
    else
        snprintf(ret->error, sizeof(ret->error), "%.*s",
                 (int)sizeof(ret->error) - 1,
                 *post->error ? post->error : curl_easy_strerror(code));
}

bool
post_result(struct poster *p, struct post_outcome *ret)
{
    int left = 0;
    struct post *post = NULL;
    CURLMsg *m;

    if (curl_multi_perform(p->multi, &left) != CURLM_OK)
        COUNT(webhook_multi_failed);
    do
        m = curl_multi_info_read(p->multi, &left);
    while (m && m->msg != CURLMSG_DONE);
    if (!m)
        return false;
    CURLcode code = m->data.result;
    curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &post);
    *ret = (struct post_outcome){.arg = post->arg};
    curl_easy_getinfo(post->easy, CURLINFO_RESPONSE_CODE, &ret->status);
    /* Too much behind a status is no reason to send it again; a status whose
     * reply did not come to its end in time is none. */
    if (code != CURLE_OK && code != CURLE_WRITE_ERROR)
        ret->status = 0;
    describe(post, code, ret);
    curl_multi_remove_handle(p->multi, post->easy);
    post_free(post);
    return true;
}
