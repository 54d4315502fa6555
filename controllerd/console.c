/* console.c - couples a client's WebSocket with that of a node.
 * One thread serves all sessions with poll(2); a session is two WebSocket
 * ends, each with what was read and what is to be written.
 *
 * Invariants:
 *  1. Sessions are made and freed under the lock; descriptors of a session
 *     are touched by the relay thread only, once both ends are there.
 *  2. An end is not read while the other end has OUT_MAX bytes to take: a
 *     slow reader slows its sender and costs no memory.
 *  3. A session without both ends after EXPECT_US, or with an end that is
 *     silent for SILENT_US (pings are sent every PING_US), is closed; so is
 *     one whose client has lost the rights that it came with, within RIGHTS_US.
 */
#include <config.h>

#include "controllerd/ctl.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <uthash.h>

#include "api/ws.h"
#include "common/clock.h"
#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"

#define OUT_MAX ((size_t)128 << 10)
#define EXPECT_US (20 * US_PER_S)
#define PING_US (20 * US_PER_S)
#define SILENT_US (70 * US_PER_S)
#define RIGHTS_US (1 * US_PER_S)
#define SESSIONS_MAX 1000

struct end {
    struct http_upgraded *u;
    struct buf in, out;
    int64_t heard_us;
    bool closed;
};

struct session {
    char id[ID_SIZE];
    struct end ends[2]; /* 0 the client, 1 the node */
    int64_t made_us, pinged_us, rights_us;
    struct principal client; /* lock; once owned */
    bool owned;              /* lock */
    UT_hash_handle hh;
};

struct consoles {
    struct ctl *ctl;
    pthread_mutex_t lock;
    struct session *by_id; /* lock */
    int wake;
    bool stop; /* lock */
    pthread_t thread;
};

static void
wake(struct consoles *cs)
{
    uint64_t one = 1;

    if (write(cs->wake, &one, sizeof(one)) < 0)
        COUNT(console_wake_failed);
}

void
console_expect(struct ctl *ctl, const char *id)
{
    struct consoles *cs = ctl->consoles;
    struct session *s = xnew(struct session);

    snprintf(s->id, sizeof(s->id), "%s", id);
    s->made_us = clock_mono_us();
    pthread_mutex_lock(&cs->lock);
    struct session *old;
    HASH_FIND_STR(cs->by_id, id, old);
    if (old || HASH_COUNT(cs->by_id) >= SESSIONS_MAX) {
        free(s);
        COUNT(console_session_refused);
    } else {
        HASH_ADD_STR(cs->by_id, id, s);
    }
    pthread_mutex_unlock(&cs->lock);
}

void
console_belongs(struct ctl *ctl, const char *id, const struct principal *client)
{
    struct consoles *cs = ctl->consoles;
    struct session *s;

    pthread_mutex_lock(&cs->lock);
    HASH_FIND_STR(cs->by_id, id, s);
    if (s) {
        s->client = *client;
        s->owned = true;
    }
    pthread_mutex_unlock(&cs->lock);
}

void
console_upgraded(struct http_upgraded *u, void *token, void *arg)
{
    struct ctl *ctl = arg;
    struct consoles *cs = ctl->consoles;
    const char *name = token;
    struct session *s = NULL;

    int flags = fcntl(u->fd, F_GETFL);
    bool ok = flags >= 0 && fcntl(u->fd, F_SETFL, flags | O_NONBLOCK) == 0;
    pthread_mutex_lock(&cs->lock);
    if (ok && name && !cs->stop)
        HASH_FIND_STR(cs->by_id, name + 1, s);
    struct end *e = s ? &s->ends[*name == 'a'] : NULL;
    if (e && !e->u) {
        e->u = u;
        e->heard_us = clock_mono_us();
        buf_add(&e->in, u->early.data, u->early.len);
        u = NULL;
    }
    pthread_mutex_unlock(&cs->lock);
    if (u)
        http_upgraded_close(u);
    wake(cs);
}

/* cut: at once; else when what was written is out. */
static void
session_free(struct consoles *cs, struct session *s, bool cut)
{
    HASH_DEL(cs->by_id, s);
    for (int k = 0; k < 2; k++) {
        if (s->ends[k].u && cut)
            http_upgraded_cut(s->ends[k].u);
        else if (s->ends[k].u)
            http_upgraded_close(s->ends[k].u);
        buf_release(&s->ends[k].in);
        buf_release(&s->ends[k].out);
    }
    free(s);
}

/* Takes whole frames from one end and gives their bytes to the other. */
static void
relay_frames(struct session *s, int from)
{
    struct end *e = &s->ends[from], *o = &s->ends[!from];
    struct ws_frame f;
    int n = -EAGAIN;

    /* Both ends are clients of ours: they mask, we do not. Its own pongs can
     * fill an end's queue as well. */
    while (o->out.len < OUT_MAX && e->out.len < OUT_MAX &&
           (n = ws_decode(&e->in, true, &f)) > 0) {
        switch (f.opcode) {
        case WS_CLOSE:
            e->closed = true;
            ws_encode(WS_CLOSE, f.payload, f.len, false, &o->out);
            break;
        case WS_PING:
            ws_encode(WS_PONG, f.payload, f.len, false, &e->out);
            break;
        case WS_PONG:
            break;
        default:
            ws_encode(WS_BINARY, f.payload, f.len, false, &o->out);
            break;
        }
        buf_consume(&e->in, (size_t)n);
    }
    if (n < 0 && n != -EAGAIN) {
        COUNT(console_protocol_error);
        e->closed = true;
    }
}

static void
read_end(struct session *s, int k)
{
    struct end *e = &s->ends[k];
    char chunk[16384];
    ssize_t r = recv(e->u->fd, chunk, sizeof(chunk), 0);

    if (r > 0) {
        buf_add(&e->in, chunk, (size_t)r);
        e->heard_us = clock_mono_us();
        relay_frames(s, k);
    } else if (r == 0 || (errno != EAGAIN && errno != EINTR)) {
        e->closed = true;
    }
}

static void
write_end(struct session *s, int k)
{
    struct end *e = &s->ends[k];
    ssize_t w =
        send(e->u->fd, e->out.data, e->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (w > 0) {
        buf_consume(&e->out, (size_t)w);
        relay_frames(s, !k); /* there is room again */
        relay_frames(s, k);
    } else if (w < 0 && errno != EAGAIN && errno != EINTR) {
        e->closed = true;
    }
}

static bool
is_over(struct session *s, int64_t now)
{
    if (!s->ends[0].u || !s->ends[1].u)
        return now - s->made_us > EXPECT_US;
    for (int k = 0; k < 2; k++)
        if (now - s->ends[k].heard_us > SILENT_US)
            return true;
    /* What is on its way to the other end is still delivered. */
    return (s->ends[0].closed && (s->ends[1].closed || !s->ends[1].out.len)) ||
           (s->ends[1].closed && !s->ends[0].out.len);
}

/* Signed out, revoked, or with another role: looked at once in a while. */
static bool
lost_rights(struct consoles *cs, struct session *s, int64_t now)
{
    if (!s->owned || now - s->rights_us < RIGHTS_US)
        return false;
    s->rights_us = now;
    if (auth_alive(cs->ctl, &s->client, &api_routes[ROUTE_INSTANCE_CONSOLE]))
        return false;
    COUNT(console_rights_lost);
    return true;
}

static void
keep_alive(struct session *s, int64_t now)
{
    if (!s->ends[0].u || !s->ends[1].u || now - s->pinged_us < PING_US)
        return;
    s->pinged_us = now;
    for (int k = 0; k < 2; k++)
        ws_encode(WS_PING, "", 0, false, &s->ends[k].out);
}

/* One round over all sessions: who is over, and what to poll for. */
static size_t
prepare(struct consoles *cs, struct pollfd **fds, struct session ***owners)
{
    int64_t now = clock_mono_us();
    struct session *s, *next;
    size_t n = 1;

    HASH_ITER(hh, cs->by_id, s, next)
    {
        if (cs->stop || is_over(s, now))
            session_free(cs, s, false);
        else if (lost_rights(cs, s, now))
            session_free(cs, s, true);
        else
            keep_alive(s, now);
    }
    *fds = xrealloc(*fds, (1 + 2 * HASH_COUNT(cs->by_id)) * sizeof(**fds));
    *owners =
        xrealloc(*owners, (1 + 2 * HASH_COUNT(cs->by_id)) * sizeof(**owners));
    (*fds)[0] = (struct pollfd){.fd = cs->wake, .events = POLLIN};
    HASH_ITER(hh, cs->by_id, s, next)
    {
        if (!s->ends[0].u || !s->ends[1].u)
            continue;
        for (int k = 0; k < 2; k++) {
            struct end *e = &s->ends[k];
            short ev = 0;

            relay_frames(s, k); /* what came with the upgrade */
            if (!e->closed && s->ends[!k].out.len < OUT_MAX &&
                e->out.len < OUT_MAX)
                ev |= POLLIN;
            if (e->out.len)
                ev |= POLLOUT;
            (*owners)[n] = s;
            (*fds)[n++] =
                (struct pollfd){.fd = e->closed ? -1 : e->u->fd, .events = ev};
        }
    }
    return n;
}

static void *
relay_main(void *arg)
{
    struct consoles *cs = arg;
    struct pollfd *fds = NULL;
    struct session **owners = NULL;

    for (;;) {
        uint64_t ignored;

        pthread_mutex_lock(&cs->lock);
        bool stop = cs->stop;
        size_t n = prepare(cs, &fds, &owners);
        pthread_mutex_unlock(&cs->lock);
        if (stop)
            break;
        if (poll(fds, n, 1000) <= 0)
            continue;
        if ((fds[0].revents & POLLIN) &&
            read(cs->wake, &ignored, sizeof(ignored)) < 0)
            COUNT(console_wake_failed);
        for (size_t i = 1; i < n; i++) {
            int k = (int)(i - 1) % 2;

            if (fds[i].revents & POLLOUT)
                write_end(owners[i], k);
            if (fds[i].revents & (POLLIN | POLLHUP | POLLERR))
                read_end(owners[i], k);
        }
    }
    free(fds);
    free(owners);
    return NULL;
}

int
consoles_start(struct ctl *ctl, struct err *reterr)
{
    struct consoles *cs = xnew(struct consoles);

    cs->ctl = ctl;
    pthread_mutex_init(&cs->lock, NULL);
    cs->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (cs->wake < 0) {
        int r = -errno;

        free(cs);
        return err_errno(reterr, r, "cannot make an eventfd");
    }
    ctl->consoles = cs;
    int r = pthread_create(&cs->thread, NULL, relay_main, cs);
    if (r != 0)
        return err_errno(reterr, -r, "cannot start a thread");
    pthread_setname_np(cs->thread, "console");
    return 0;
}

void
consoles_stop(struct ctl *ctl)
{
    struct consoles *cs = ctl->consoles;

    if (!cs)
        return;
    pthread_mutex_lock(&cs->lock);
    cs->stop = true;
    pthread_mutex_unlock(&cs->lock);
    wake(cs);
    pthread_join(cs->thread, NULL);
}
