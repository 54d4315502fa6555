/* http_loop.c - loops, slices and their connections; see http_loop.h.
 *
 *   accepting thread --in--> loop --admit--> slice (MHD_add_connection)
 *   any thread ----resume--> loop's list --run--> slice (MHD_run)
 *   epoll of the slice --------------------run--> slice
 *
 * A daemon that asks to be run again at once may have connections that it can
 * read from without being told again, or one in the midst of a handshake, which
 * it keeps asking for (seen in 0.9.75) until the client goes on, be that never.
 * So where there is such a handshake a daemon is run again only while it moves
 * bytes (the sockets' own functions tell), a few times more for the steps
 * between two reads, and as long as bytes are there that were decrypted
 * already. */
#include <config.h>

#include "api/http_loop.h"

#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "api/http_limit.h"
#include "api/http_share.h"
#include "common/clock.h"
#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"

#define EVENTS 64
/* The library's own limits on silence, and ours, are looked at so often. */
#define SWEEP_US (US_PER_S / 4)
/* Connections of a slice when there are as many as may be. */
#define SLICE_CONNECTIONS 80
#define SLICES_MAX 128
#define LOOPS_MAX 64 /* bits of `held` */
/* A run hands on what the one before read, and may then see another request. */
#define STILL_MAX 4
/* A handshake costs as much as many requests. So many of a loop may be in one
 * at a time; a client that lets us wait counts for no longer than this. */
#define SHAKING_MAX 4
#define SHAKING_US 20000

struct newcomer {
    struct newcomer *next;
    int fd;
    uint64_t who;
    socklen_t len;
    struct sockaddr_storage addr;
};

struct http_slice {
    struct http_loop *loop;
    struct MHD_Daemon *d;
    struct http_conn *conns; /* the loop's */
    struct http_slice *next; /* on the loop's list; its lock */
    bool listed;             /* its lock */
    bool busy;               /* has more to do at once; the loop's */
    unsigned still;          /* runs in a row that moved no byte; the loop's */
};

struct http_loop {
    struct http_loops *all;
    pthread_t thread;
    bool started;
    int ep, wake;
    pthread_mutex_t lock;
    struct http_slice *ready;    /* lock */
    struct newcomer *in, **tail; /* lock */
    bool awake, stop;            /* lock */
    /* The loop's own. */
    struct http_slice *slices;
    unsigned n, next_slice;
    struct http_conn *adding;               /* while the library is given it */
    bool moved;                             /* bytes, in this run of a slice */
    struct http_conn *shaking[SHAKING_MAX]; /* NULL: a free place */
    int64_t sweep_us;                       /* when the next one is due */
};

struct http_loops {
    struct http_loops_config cfg;
    struct http_share *share;
    struct http_loop *loops;
    unsigned n, next; /* next: the accepting thread's */
};

/* ---- waking ---- */

/* The loops that were given something between hold and held. */
static _Thread_local struct {
    bool on;
    struct http_loops *of;
    uint64_t loops; /* bits */
} held;

/* REQUIRES(l->lock). Whether it has to be woken. */
static bool
rouse(struct http_loop *l)
{
    bool sleeps = !l->awake;

    l->awake = true;
    return sleeps;
}

static void
wake(struct http_loop *l)
{
    if (eventfd_write(l->wake, 1) < 0)
        COUNT(http_wake_failed); /* full: it is awake */
}

/* Its slice is run soon. */
static void
list(struct http_slice *s)
{
    struct http_loop *l = s->loop;
    bool sleeps = false, holds = held.on && (!held.loops || held.of == l->all);

    pthread_mutex_lock(&l->lock);
    if (!s->listed) {
        s->listed = true;
        s->next = l->ready;
        l->ready = s;
    }
    if (!holds)
        sleeps = rouse(l);
    pthread_mutex_unlock(&l->lock);
    if (sleeps)
        wake(l);
    if (holds) {
        held.of = l->all;
        held.loops |= UINT64_C(1) << (l - l->all->loops);
    }
}

void
http_loop_resume(struct MHD_Connection *c)
{
    struct http_slice *s = http_conn_of(c)->slice;

    MHD_resume_connection(c); /* from here on it may be gone */
    list(s);
}

void
http_loop_hold(void)
{
    held.on = true;
}

void
http_loop_held(void)
{
    uint64_t bits = held.loops;

    held.on = false;
    held.loops = 0;
    for (unsigned i = 0; bits; i++, bits >>= 1) {
        if (!(bits & 1))
            continue;
        struct http_loop *l = &held.of->loops[i];

        pthread_mutex_lock(&l->lock);
        bool sleeps = rouse(l);
        pthread_mutex_unlock(&l->lock);
        if (sleeps)
            wake(l);
    }
}

/* ---- connections ---- */

struct http_conn *
http_conn_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return i->socket_context;
}

static _Thread_local struct http_loop *mine;

static ssize_t
on_pull(gnutls_transport_ptr_t p, void *data, size_t n)
{
    struct http_conn *k = p;
    ssize_t r = recv(k->fd, data, n, 0);

    k->slice->loop->moved |= r >= 0 || errno != EAGAIN;
    return r;
}

static ssize_t
on_push(gnutls_transport_ptr_t p, const giovec_t *v, int n)
{
    struct http_conn *k = p;
    struct msghdr m = {.msg_iov = (struct iovec *)v, .msg_iovlen = (size_t)n};
    ssize_t r = sendmsg(k->fd, &m, MSG_NOSIGNAL);

    k->slice->loop->moved |= r >= 0 || errno != EAGAIN;
    return r;
}

/* Nothing waits here: whether something can be read shows when it is. */
static int
on_pull_timeout(gnutls_transport_ptr_t p, unsigned ms)
{
    return 1;
}

/* The client's last word of the handshake has come (RFC 8446 section 2). */
static int
on_finished(gnutls_session_t tls, unsigned type, unsigned when,
            unsigned incoming, const gnutls_datum_t *msg)
{
    struct http_conn *k = gnutls_transport_get_ptr(tls);

    k->shaken |= incoming != 0;
    return 0;
}

static void
use_our_socket(struct http_conn *k)
{
    gnutls_handshake_set_hook_function(k->tls, GNUTLS_HANDSHAKE_FINISHED,
                                       GNUTLS_HOOK_POST, on_finished);
    gnutls_transport_set_ptr(k->tls, k);
    gnutls_transport_set_pull_function(k->tls, on_pull);
    gnutls_transport_set_vec_push_function(k->tls, on_push);
    gnutls_transport_set_pull_timeout_function(k->tls, on_pull_timeout);
}

void
http_loop_notify(void *loops, struct MHD_Connection *c, void **context,
                 enum MHD_ConnectionNotificationCode code)
{
    struct http_loops *all = loops;
    struct http_conn *k = *context;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *i =
            MHD_get_connection_info(c, MHD_CONNECTION_INFO_GNUTLS_SESSION);

        k = TAKE_PTR(mine->adding);
        k->tls = i ? i->tls_session : NULL;
        if (k->tls)
            use_our_socket(k);
        k->next = k->slice->conns;
        k->pprev = &k->slice->conns;
        if (k->next)
            k->next->pprev = &k->next;
        k->slice->conns = k;
        *context = k;
        return;
    }
    /* The library closes the socket after this. */
    struct http_loop *l = k->slice->loop;
    *k->pprev = k->next;
    if (k->next)
        k->next->pprev = k->pprev;
    for (int i = 0; i < SHAKING_MAX; i++)
        if (l->shaking[i] == k)
            l->shaking[i] = NULL;
    http_share_give(all->share, k->who);
    free(k);
    *context = NULL;
}

void
http_loops_add(struct http_loops *all, int fd, const struct sockaddr *addr,
               socklen_t len)
{
    uint64_t who = http_limit_who(addr);
    struct http_loop *l = &all->loops[all->next++ % all->n];

    if (len > sizeof(struct sockaddr_storage) ||
        !http_share_take(all->share, who)) {
        COUNT(http_connection_refused);
        close(fd);
        return;
    }
    struct newcomer *n = xnew(struct newcomer);
    n->fd = fd;
    n->who = who;
    n->len = len;
    memcpy(&n->addr, addr, len);
    pthread_mutex_lock(&l->lock);
    *l->tail = n;
    l->tail = &n->next;
    bool sleeps = rouse(l);
    pthread_mutex_unlock(&l->lock);
    if (sleeps)
        wake(l);
}

static struct newcomer *
take_newcomer(struct http_loop *l)
{
    pthread_mutex_lock(&l->lock);
    struct newcomer *n = l->in;
    if (n)
        l->in = n->next;
    if (!l->in)
        l->tail = &l->in;
    pthread_mutex_unlock(&l->lock);
    return n;
}

/* Its slice's, or closed. */
static void
admit_one(struct http_loop *l, struct newcomer *n, struct http_conn **place,
          int64_t now)
{
    struct http_conn *k = xnew(struct http_conn);
    struct http_slice *s = &l->slices[l->next_slice++ % l->n];

    k->slice = s;
    k->who = n->who;
    k->fd = n->fd;
    k->admitted_us = now;
    k->until_us = now + l->all->cfg.request_us;
    l->adding = k;
    if (MHD_add_connection(s->d, n->fd, (struct sockaddr *)&n->addr, n->len) ==
        MHD_NO) {
        COUNT(http_connection_refused);
        if (l->adding) /* not even begun */
            http_share_give(l->all->share, k->who);
        freep(&l->adding);
    } else if (k->tls) {
        *place = k;
    }
    s->busy = true;
    free(n);
}

static bool
is_shaking(const struct http_conn *k)
{
    return k->tls && !k->shaken;
}

/* Whether some have to wait for others. */
static bool
admit(struct http_loop *l, int64_t now)
{
    for (int i = 0; i < SHAKING_MAX; i++) {
        struct newcomer *n;

        if (l->shaking[i] && now - l->shaking[i]->admitted_us < SHAKING_US &&
            is_shaking(l->shaking[i]))
            continue;
        l->shaking[i] = NULL;
        if (!(n = take_newcomer(l)))
            return false;
        admit_one(l, n, &l->shaking[i], now);
    }
    return true;
}

/* ---- a loop ---- */

static void
sweep(struct http_slice *s, int64_t now)
{
    for (struct http_conn *k = s->conns; k; k = k->next) {
        if (!k->until_us || now < k->until_us)
            continue;
        /* The library finds it closed, and closes it. */
        k->until_us = 0;
        COUNT(http_request_too_slow);
        if (shutdown(k->fd, SHUT_RDWR) < 0)
            COUNT(http_shutdown_failed);
    }
    s->busy = true;
}

/* The library asks for s to be run again at once: whether a run can do more
 * than ask a handshake that waits for its client. */
static bool
is_ready(struct http_slice *s)
{
    bool shaking = false;

    s->still = s->loop->moved ? 0 : s->still + 1;
    if (s->still < STILL_MAX)
        return true;
    for (const struct http_conn *k = s->conns; k; k = k->next) {
        if (k->tls && gnutls_record_check_pending(k->tls) > 0)
            return true;
        shaking |= is_shaking(k);
    }
    return !shaking;
}

/* Runs those with something to do; whether one has more to do at once. */
static bool
run_busy(struct http_loop *l)
{
    bool more = false;

    for (unsigned i = 0; i < l->n; i++) {
        struct http_slice *s = &l->slices[i];
        unsigned long long ms;

        if (!s->busy)
            continue;
        l->moved = false;
        if (MHD_run(s->d) == MHD_NO)
            COUNT(http_run_failed);
        s->busy =
            MHD_get_timeout(s->d, &ms) == MHD_YES && ms == 0 && is_ready(s);
        more |= s->busy;
    }
    return more;
}

/* Sleeps unless there is work, until there is some or the time has come;
 * false: it is to stop. */
static bool
rest(struct http_loop *l, bool work, int64_t us)
{
    struct epoll_event ev[EVENTS];
    eventfd_t count;

    pthread_mutex_lock(&l->lock);
    work = work || l->ready || l->stop;
    l->awake = work;
    pthread_mutex_unlock(&l->lock);
    int ms = work ? 0 : (int)((MAX(us, INT64_C(0)) + 999) / 1000);
    int n = epoll_wait(l->ep, ev, EVENTS, ms);
    for (int i = 0; i < n; i++) {
        struct http_slice *s = ev[i].data.ptr;

        if (s)
            s->busy = true;
        else if (eventfd_read(l->wake, &count) < 0)
            COUNT(http_wake_failed);
    }
    pthread_mutex_lock(&l->lock);
    l->awake = true;
    while (l->ready) {
        l->ready->listed = false;
        l->ready->busy = true;
        l->ready = l->ready->next;
    }
    bool stop = l->stop;
    pthread_mutex_unlock(&l->lock);
    return !stop;
}

static void *
loop_main(void *arg)
{
    struct http_loop *l = arg;
    bool more = false;

    mine = l;
    for (;;) {
        int64_t now = clock_mono_us();

        if (now >= l->sweep_us) {
            for (unsigned i = 0; i < l->n; i++)
                sweep(&l->slices[i], now);
            l->sweep_us = now + SWEEP_US;
            more = true;
        }
        int64_t until = l->sweep_us;
        if (admit(l, now))
            until = MIN(until, now + SHAKING_US / 4);
        if (!rest(l, more, until - now))
            return NULL;
        more = run_busy(l);
    }
}

/* ---- start and stop ---- */

static int
loop_start(struct http_loop *l, unsigned slices, unsigned number)
{
    struct epoll_event ev = {.events = EPOLLIN};
    char name[16];

    l->slices = xcalloc(slices, sizeof(*l->slices));
    l->ep = epoll_create1(EPOLL_CLOEXEC);
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->ep < 0 || l->wake < 0 ||
        epoll_ctl(l->ep, EPOLL_CTL_ADD, l->wake, &ev) < 0)
        return -errno;
    for (unsigned i = 0; i < slices; i++) {
        struct http_slice *s = &l->slices[i];

        s->loop = l;
        s->d = l->all->cfg.daemon(l->all, l->all->cfg.arg);
        if (!s->d)
            return -EIO;
        l->n++;
        const union MHD_DaemonInfo *info =
            MHD_get_daemon_info(s->d, MHD_DAEMON_INFO_EPOLL_FD);
        ev.data.ptr = s;
        if (!info || epoll_ctl(l->ep, EPOLL_CTL_ADD, info->epoll_fd, &ev) < 0)
            return info ? -errno : -EIO;
    }
    int r = pthread_create(&l->thread, NULL, loop_main, l);
    if (r != 0)
        return -r;
    l->started = true;
    snprintf(name, sizeof(name), "http-%u", number);
    pthread_setname_np(l->thread, name);
    return 0;
}

int
http_loops_start(const struct http_loops_config *cfg, struct http_loops **ret)
{
    struct http_loops *all = xnew(struct http_loops);
    unsigned slices =
        (cfg->max_connections + SLICE_CONNECTIONS - 1) / SLICE_CONNECTIONS;
    int r = 0;

    all->cfg = *cfg;
    all->share = http_share_new(cfg->max_connections, cfg->max_per_address);
    all->n = MIN(cfg->threads, (unsigned)LOOPS_MAX);
    all->n = MAX(all->n, 1u);
    all->loops = xcalloc(all->n, sizeof(*all->loops));
    slices = (MIN(slices, (unsigned)SLICES_MAX) + all->n - 1) / all->n;
    for (unsigned i = 0; i < all->n; i++) {
        struct http_loop *l = &all->loops[i];

        l->all = all;
        l->ep = l->wake = -1;
        l->tail = &l->in;
        l->awake = true;
        pthread_mutex_init(&l->lock, NULL);
    }
    for (unsigned i = 0; i < all->n && r == 0; i++)
        r = loop_start(&all->loops[i], MAX(slices, 1u), i);
    if (r < 0) {
        http_loops_stop(all);
        return r;
    }
    *ret = all;
    return 0;
}

static void
loop_stop(struct http_loop *l)
{
    struct newcomer *n;

    while ((n = take_newcomer(l))) {
        http_share_give(l->all->share, n->who);
        close(n->fd);
        free(n);
    }
    for (unsigned i = 0; i < l->n; i++)
        MHD_stop_daemon(l->slices[i].d);
    free(l->slices);
    closep(&l->ep);
    closep(&l->wake);
    pthread_mutex_destroy(&l->lock);
}

void
http_loops_stop(struct http_loops *all)
{
    if (!all)
        return;
    for (unsigned i = 0; i < all->n; i++) {
        struct http_loop *l = &all->loops[i];

        pthread_mutex_lock(&l->lock);
        l->stop = true;
        pthread_mutex_unlock(&l->lock);
        if (l->started)
            wake(l);
    }
    for (unsigned i = 0; i < all->n; i++)
        if (all->loops[i].started)
            pthread_join(all->loops[i].thread, NULL);
    for (unsigned i = 0; i < all->n; i++)
        loop_stop(&all->loops[i]);
    http_share_free(all->share);
    free(all->loops);
    free(all);
}
