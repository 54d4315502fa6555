/* link.c - clients of the controller; see link.h. */
#include <config.h>

#include "agentd/link.h"

#include <pthread.h>
#include <string.h>

#include "api/resources.h"
#include "common/clock.h"
#include "common/id.h"
#include "common/mem.h"

struct link {
    char *url, *ca, *cert, *key;
    pthread_mutex_t lock;
    pthread_cond_t down_cond;
    bool down;                   /* lock */
    unsigned generation;         /* lock */
    struct link_client *clients; /* lock */
};

struct link_client {
    struct link *l;
    struct httpc *c;     /* replaced only by the owner, with the lock */
    unsigned generation; /* the owner */
    struct link_client *next, **pprev;
};

struct link *
link_new(const char *url, const char *identity_dir)
{
    struct link *l = xnew(struct link);
    pthread_condattr_t attr;

    l->url = xstrdup(url);
    l->ca = xasprintf("%s/ca.crt", identity_dir);
    l->cert = xasprintf("%s/node.crt", identity_dir);
    l->key = xasprintf("%s/node.key", identity_dir);
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&l->down_cond, &attr);
    pthread_condattr_destroy(&attr);
    return l;
}

void
link_free(struct link *l)
{
    if (!l)
        return;
    pthread_cond_destroy(&l->down_cond);
    pthread_mutex_destroy(&l->lock);
    free(l->url);
    free(l->ca);
    free(l->cert);
    free(l->key);
    free(l);
}

void
link_renewed(struct link *l)
{
    pthread_mutex_lock(&l->lock);
    l->generation++;
    pthread_mutex_unlock(&l->lock);
}

void
link_shutdown(struct link *l)
{
    pthread_mutex_lock(&l->lock);
    l->down = true;
    for (struct link_client *lc = l->clients; lc; lc = lc->next)
        httpc_abort(lc->c);
    pthread_cond_broadcast(&l->down_cond);
    pthread_mutex_unlock(&l->lock);
}

bool
link_is_down(struct link *l)
{
    pthread_mutex_lock(&l->lock);
    bool down = l->down;
    pthread_mutex_unlock(&l->lock);
    return down;
}

bool
link_wait_us(struct link *l, int64_t us)
{
    int64_t at = clock_mono_us() + us;
    struct timespec ts = {.tv_sec = at / US_PER_S,
                          .tv_nsec = at % US_PER_S * 1000};

    pthread_mutex_lock(&l->lock);
    while (!l->down &&
           pthread_cond_timedwait(&l->down_cond, &l->lock, &ts) != ETIMEDOUT)
        continue;
    bool down = l->down;
    pthread_mutex_unlock(&l->lock);
    return down;
}

/* The lock is held: nobody may abort a client that is being replaced. */
static void
make_client(struct link_client *lc)
{
    struct link *l = lc->l;
    struct httpc_config cfg = {
        .base_url = l->url,
        .ca_file = l->ca,
        .cert_file = l->cert,
        .key_file = l->key,
        .user_agent = "virga-agentd/" PACKAGE_VERSION,
    };

    httpc_free(lc->c);
    lc->c = httpc_new(&cfg);
    lc->generation = l->generation;
    if (l->down)
        httpc_abort(lc->c);
}

struct link_client *
link_client_new(struct link *l)
{
    struct link_client *lc = xnew(struct link_client);

    lc->l = l;
    pthread_mutex_lock(&l->lock);
    make_client(lc);
    lc->next = l->clients;
    if (lc->next)
        lc->next->pprev = &lc->next;
    lc->pprev = &l->clients;
    l->clients = lc;
    pthread_mutex_unlock(&l->lock);
    return lc;
}

void
link_client_free(struct link_client *lc)
{
    if (!lc)
        return;
    pthread_mutex_lock(&lc->l->lock);
    *lc->pprev = lc->next;
    if (lc->next)
        lc->next->pprev = lc->pprev;
    pthread_mutex_unlock(&lc->l->lock);
    httpc_free(lc->c);
    free(lc);
}

struct httpc *
link_httpc(struct link_client *lc)
{
    pthread_mutex_lock(&lc->l->lock);
    if (lc->generation != lc->l->generation)
        make_client(lc);
    pthread_mutex_unlock(&lc->l->lock);
    return lc->c;
}

void
link_client_close(struct link_client *lc)
{
    pthread_mutex_lock(&lc->l->lock);
    make_client(lc);
    pthread_mutex_unlock(&lc->l->lock);
}

void
link_client_cut(struct link_client *lc)
{
    httpc_abort(lc->c);
    /* What was aborted stays so: the next call needs a new one. */
    lc->generation--;
}

static int
number_of_status(long status)
{
    switch (status) {
    case 401:
    case 403:
        return -EACCES;
    case 404:
        return -ENOENT;
    case 409:
        return -EEXIST;
    case 429:
        return -EAGAIN;
    default:
        return status >= 500 ? -EAGAIN : -EINVAL;
    }
}

int
link_check(const struct httpc_reply *reply, struct err *reterr)
{
    struct api_problem p = {0};

    if (reply->status / 100 == 2)
        return 0;
    int r = number_of_status(reply->status);
    if (codec_decode(&table_problem, CODEC_REPLY, buf_str(&reply->body),
                     reply->body.len, &p, NULL) == 0 &&
        p.detail)
        err_set(reterr, r, p.code ? p.code : "refused",
                "the controller says: %s (status %ld)", p.detail,
                reply->status);
    else
        err_set(reterr, r, "refused", "the controller answered with status %ld",
                reply->status);
    codec_clear(&table_problem, &p);
    return r;
}

int
link_call(struct link_client *lc, const struct httpc_request *rq,
          struct httpc_reply *ret, struct err *reterr)
{
    struct httpc_reply reply = {0};
    int r = httpc_call(link_httpc(lc), rq, &reply, reterr);

    if (r == 0)
        r = link_check(&reply, reterr);
    if (r < 0) {
        httpc_reply_release(&reply);
        return r;
    }
    *ret = reply;
    return 0;
}

int64_t
backoff_next_us(struct backoff *b)
{
    int64_t d = b->base_us << b->n; /* n stays below 20 */
    uint32_t dice;

    if (b->n < 19)
        b->n++;
    d = MIN(d, b->max_us);
    id_random(&dice, sizeof(dice));
    return d / 2 + (int64_t)(dice % 1000) * d / 2000;
}
