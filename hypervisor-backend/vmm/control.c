/* control.c - the control socket's server; see control.h.
 *
 * Invariants:
 *  1. `in` never holds more than CONTROL_LINE_MAX bytes; it is read into only
 *     while it holds no whole line and no request is under way.
 *  2. Descriptors that came with a message belong to the line in which the
 *     message's last byte lies (unix(7): a read ends behind the message that
 *     brought descriptors). They are in `fds` until that line is whole.
 *  3. `out` is not empty only while the socket takes no more. */
#include <config.h>

#include "hypervisor-backend/vmm/control.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"

#define READ_BYTES 4096u
#define RETRY_US US_PER_S
#define STALL_US (CONTROL_STALL_MS * INT64_C(1000))

enum state { FREE, LINES, WAITING, CONSOLE, CLOSING };

struct connection {
    enum state state;
    int fd;
    unsigned generation;
    struct buf in, out;
    int fds[CONTROL_FDS];
    unsigned n_fds;
    size_t fds_at;      /* the byte of `in` that they came with */
    int64_t id;         /* of the request that waits */
    bool eof;           /* nothing more comes from there */
    bool answered;      /* from outside: more lines may be waiting */
    int64_t stalled_us; /* since when `out` makes no headway; 0: it is empty */
    uint32_t events;
};

struct control {
    const struct control_ops *ops;
    void *self;
    int listen_fd, epoll;
    bool accepting;
    int64_t retry_us; /* when to accept again after a failure; 0: none */
    uint64_t console_dropped;
    struct connection conn[CONTROL_CONNECTIONS];
};

static uint64_t
ticket_of(const struct control *c, const struct connection *k)
{
    return (uint64_t)k->generation << 8 | (uint64_t)(k - c->conn);
}

static void
close_fds(struct connection *k)
{
    for (unsigned i = 0; i < k->n_fds; i++)
        closep(&k->fds[i]);
    k->n_fds = 0;
}

static void
listen_again(struct control *c)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

    if (!c->accepting)
        c->accepting =
            epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->listen_fd, &ev) == 0;
    c->retry_us = 0;
}

static void
drop(struct control *c, struct connection *k)
{
    if (k->state == WAITING)
        c->ops->cancel(c->self, ticket_of(c, k));
    closep(&k->fd); /* leaves the epoll set with it */
    close_fds(k);
    buf_release(&k->in);
    buf_release(&k->out);
    k->state = FREE;
    k->answered = false;
    k->generation++;
    listen_again(c);
}

/* What is worth waking up for in the connection's state. */
static void
watch(struct control *c, struct connection *k)
{
    struct epoll_event ev = {.data.ptr = k};

    if (k->out.len)
        ev.events |= EPOLLOUT;
    if (!k->eof && ((k->state == LINES && !k->out.len) ||
                    (k->state == CONSOLE && c->ops->console_room(c->self))))
        ev.events |= EPOLLIN;
    /* Both ends closed is told in any case. */
    if (ev.events == k->events)
        return;
    if (epoll_ctl(c->epoll, EPOLL_CTL_MOD, k->fd, &ev) < 0) {
        COUNT(vmm_control_failed);
        drop(c, k);
        return;
    }
    k->events = ev.events;
}

/* As much as the socket takes. False: the connection is gone. */
static bool
flush(struct control *c, struct connection *k)
{
    while (k->out.len) {
        ssize_t n =
            send(k->fd, k->out.data, k->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            if (!k->stalled_us)
                k->stalled_us = clock_mono_us();
            return true;
        }
        if (n < 0) {
            drop(c, k);
            return false;
        }
        buf_consume(&k->out, (size_t)n);
        k->stalled_us = 0;
    }
    k->stalled_us = 0;
    buf_release(&k->out); /* an idle connection holds no memory */
    if (k->state == CLOSING) {
        drop(c, k);
        return false;
    }
    return true;
}

static void
fail(struct control *c, struct connection *k, int64_t id, const struct err *e,
     bool end)
{
    control_reply_error(id, e, &k->out);
    if (end) {
        k->state = CLOSING;
        buf_release(&k->in);
        close_fds(k);
    }
}

static void
protocol_error(struct control *c, struct connection *k, const char *code,
               const char *text)
{
    struct err e _cleanup_(err_release) = {0};

    COUNT(vmm_control_bad);
    err_set(&e, -EPROTO, code, "%s", text);
    fail(c, k, 0, &e, true);
}

/* ---- requests ---- */

static void
request(struct control *c, struct connection *k, const char *line, size_t len,
        struct control_request *q)
{
    struct buf result _cleanup_(buf_release) = {0};
    struct err e _cleanup_(err_release) = {0};
    int r = control_request_decode(line, len, q, &e);
    bool bad = r == -EBADMSG;

    if (r == 0) {
        if (q->verb == CONTROL_CONSOLE)
            k->state = CONSOLE;
        else
            r = c->ops->request(c->self, q, ticket_of(c, k), &result, &e);
    }
    if (r == CONTROL_LATER) {
        k->id = q->id;
        k->state = WAITING;
    } else if (r < 0) {
        if (!*e.code)
            err_errno(&e, r, "%s", control_verb_name(q->verb));
        if (bad)
            COUNT(vmm_control_bad);
        fail(c, k, q->id, &e, bad);
    } else {
        control_reply_result(q->id, buf_str(&result), &k->out);
    }
}

/* The first line of `in`, n bytes with its LF. */
static void
take_line(struct control *c, struct connection *k, size_t n)
{
    struct control_request q = {0};
    struct buf line _cleanup_(buf_release) = {0};
    size_t len = n - 1;

    buf_add(&line, k->in.data, len);
    buf_consume(&k->in, n);
    if (k->n_fds && k->fds_at < n) {
        memcpy(q.fds, k->fds, k->n_fds * sizeof(q.fds[0]));
        q.n_fds = k->n_fds;
        k->n_fds = 0;
    } else {
        k->fds_at -= k->n_fds ? n : 0;
    }
    if (len && line.data[len - 1] == '\r')
        len--;
    request(c, k, buf_str(&line), len, &q);
    control_request_release(&q);
}

/* The console's input: as much as the port takes now. */
static void
console_input(struct control *c, struct connection *k)
{
    size_t n = MIN(c->ops->console_room(c->self), k->in.len);

    if (n) {
        c->ops->console_input(c->self, k->in.data, n);
        buf_consume(&k->in, n);
    }
}

/* Requests that are whole, until one waits or its reply does. */
static void
process(struct control *c, struct connection *k)
{
    while (k->state == LINES && k->out.len == 0) {
        const char *lf = k->in.len ? memchr(k->in.data, '\n', k->in.len) : NULL;

        if (lf) {
            take_line(c, k, (size_t)(lf - k->in.data) + 1);
            if (!flush(c, k))
                return;
            continue;
        }
        if (k->in.len >= CONTROL_LINE_MAX) {
            protocol_error(c, k, "too_long", "the line is too long");
            if (!flush(c, k))
                return;
        } else if (k->eof) {
            drop(c, k);
            return;
        }
        break;
    }
    if (k->state == CONSOLE) {
        console_input(c, k);
        if (k->eof && k->in.len == 0) {
            drop(c, k);
            return;
        }
    }
    watch(c, k);
}

/* ---- reading ---- */

/* Descriptors of one message; -EPROTO: more than there is room for. */
static int
take_fds(struct connection *k, struct msghdr *m)
{
    bool over = m->msg_flags & MSG_CTRUNC;

    for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
        size_t n;

        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(h) + i * sizeof(fd), sizeof(fd));
            if (k->n_fds < CONTROL_FDS) {
                k->fds[k->n_fds++] = fd;
            } else {
                closep(&fd);
                over = true;
            }
        }
    }
    return over ? -EPROTO : 0;
}

/* One read. False: the connection is gone or has nothing more. */
static bool
read_some(struct control *c, struct connection *k)
{
    size_t room = k->state == CONSOLE
                      ? MIN((size_t)READ_BYTES, c->ops->console_room(c->self))
                      : MIN((size_t)READ_BYTES, CONTROL_LINE_MAX - k->in.len);
    union {
        char bytes[CMSG_SPACE(sizeof(int) * CONTROL_FDS)];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_len = room};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    unsigned before = k->n_fds;
    ssize_t n;

    if (room == 0)
        return false;
    iov.iov_base = buf_reserve(&k->in, room);
    do
        n = recvmsg(k->fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n < 0) {
        drop(c, k);
        return false;
    }
    k->eof = n == 0;
    k->in.len += (size_t)n;
    if (k->in.data)
        k->in.data[k->in.len] = '\0';
    if (take_fds(k, &m) < 0) {
        protocol_error(c, k, "too_many_descriptors",
                       "too many descriptors were sent along");
        if (flush(c, k))
            watch(c, k);
        return false;
    }
    if (k->n_fds != before)
        k->fds_at = k->in.len - 1;
    if (k->state == CONSOLE)
        close_fds(k);
    return true;
}

static void
on_event(struct control *c, struct connection *k, uint32_t events)
{
    if (k->state == FREE)
        return;
    if (events & (EPOLLHUP | EPOLLERR)) {
        /* Nobody is there to read an answer. What was asked before it left is
         * done all the same: "stop" and be gone is fair. */
        while (k->state == LINES && read_some(c, k) && !k->eof)
            process(c, k);
        if (k->state != FREE)
            drop(c, k);
        return;
    }
    if ((events & EPOLLOUT) && !flush(c, k))
        return;
    if ((events & EPOLLIN) &&
        ((k->state == LINES && k->out.len == 0) || k->state == CONSOLE)) {
        (void)read_some(c, k);
        if (k->state == FREE)
            return;
    }
    process(c, k);
}

static void
refuse(int fd)
{
    struct err e _cleanup_(err_release) = {0};
    struct buf b _cleanup_(buf_release) = {0};

    COUNT(vmm_control_full);
    err_set(&e, -EBUSY, "too_many_connections", "at most %u connections",
            CONTROL_CONNECTIONS);
    control_reply_error(0, &e, &b);
    if (send(fd, b.data, b.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        COUNT(vmm_control_failed);
    closep(&fd);
}

static void
on_connect(struct control *c)
{
    int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct connection *k = NULL;
    struct epoll_event ev = {.events = EPOLLIN};

    if (fd < 0) {
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
            return;
        /* Out of descriptors or memory: later, or when a connection ends. */
        log_limited(LOG_LEVEL_WARN, "control connection not taken, will retry",
                    "error=\"%s\"", strerrordesc_np(errno));
        COUNT(vmm_control_failed);
        if (epoll_ctl(c->epoll, EPOLL_CTL_DEL, c->listen_fd, NULL) == 0) {
            c->accepting = false;
            c->retry_us = clock_mono_us() + RETRY_US;
        }
        return;
    }
    for (size_t i = 0; i < CONTROL_CONNECTIONS && !k; i++)
        if (c->conn[i].state == FREE)
            k = &c->conn[i];
    if (!k) {
        refuse(fd);
        return;
    }
    ev.data.ptr = k;
    if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &ev) < 0) {
        COUNT(vmm_control_failed);
        closep(&fd);
        return;
    }
    *k = (struct connection){.state = LINES,
                             .fd = fd,
                             .generation = k->generation,
                             .events = EPOLLIN};
}

/* ---- the server ---- */

int
control_new(int listen_fd, const struct control_ops *ops, void *self,
            struct control **ret, struct err *reterr)
{
    struct control *c = xnew(struct control);
    int flags = fcntl(listen_fd, F_GETFL);

    c->ops = ops;
    c->self = self;
    c->listen_fd = listen_fd;
    for (size_t i = 0; i < CONTROL_CONNECTIONS; i++)
        c->conn[i].fd = -1;
    c->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (c->epoll >= 0 && flags >= 0 &&
        fcntl(listen_fd, F_SETFL, flags | O_NONBLOCK) == 0)
        listen_again(c);
    if (!c->accepting) {
        int r = -errno;

        control_free(c);
        return err_errno(reterr, r, "control socket");
    }
    *ret = c;
    return 0;
}

void
control_free(struct control *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < CONTROL_CONNECTIONS; i++)
        if (c->conn[i].state != FREE)
            drop(c, &c->conn[i]);
    closep(&c->listen_fd);
    closep(&c->epoll);
    free(c);
}

int
control_fd(const struct control *c)
{
    return c->epoll;
}

/* When the connection is given up; 0: not for this reason. A console may be
 * slow: it misses output instead. */
static int64_t
deadline(const struct connection *k)
{
    if (k->state == FREE || k->state == CONSOLE || !k->stalled_us)
        return 0;
    return k->stalled_us + STALL_US;
}

static void
on_time(struct control *c)
{
    int64_t now = clock_mono_us();

    for (size_t i = 0; i < CONTROL_CONNECTIONS; i++)
        if (deadline(&c->conn[i]) && now >= deadline(&c->conn[i])) {
            COUNT(vmm_control_stalled);
            drop(c, &c->conn[i]);
        }
    if (c->retry_us && now >= c->retry_us)
        listen_again(c);
}

void
control_turn(struct control *c)
{
    struct epoll_event ev[CONTROL_CONNECTIONS + 1];
    int n = epoll_wait(c->epoll, ev, (int)ARRAY_SIZE(ev), 0);

    /* New ones last: a slot that is freed and taken within one round would
     * get the old one's event. */
    for (int i = 0; i < n; i++)
        if (ev[i].data.ptr != c)
            on_event(c, ev[i].data.ptr, ev[i].events);
    for (size_t i = 0; i < CONTROL_CONNECTIONS; i++)
        if (c->conn[i].answered) {
            c->conn[i].answered = false;
            process(c, &c->conn[i]);
        }
    for (int i = 0; i < n; i++)
        if (ev[i].data.ptr == c)
            on_connect(c);
    on_time(c);
}

int
control_timeout_ms(const struct control *c)
{
    int64_t first = c->retry_us, left;

    for (size_t i = 0; i < CONTROL_CONNECTIONS; i++) {
        int64_t at = deadline(&c->conn[i]);

        if (c->conn[i].answered)
            return 0;
        if (at && (!first || at < first))
            first = at;
    }
    if (!first)
        return -1;
    left = first - clock_mono_us();
    return left <= 0 ? 0 : (int)(left / 1000) + 1;
}

void
control_answer(struct control *c, uint64_t ticket, const char *json,
               const struct err *e)
{
    struct connection *k = &c->conn[ticket & 0xff];

    assert((ticket & 0xff) < CONTROL_CONNECTIONS);
    if (k->state != WAITING || ticket != ticket_of(c, k))
        return;
    k->state = LINES;
    if (e)
        fail(c, k, k->id, e, false);
    else
        control_reply_result(k->id, json, &k->out);
    /* What comes next waits for control_turn(): the caller may be amid a
     * change that another request must not meet. */
    k->answered = flush(c, k);
}

bool
control_has_console(const struct control *c)
{
    for (size_t i = 0; i < CONTROL_CONNECTIONS; i++)
        if (c->conn[i].state == CONSOLE)
            return true;
    return false;
}

void
control_console_output(struct control *c, const void *data, size_t n)
{
    for (size_t i = 0; i < CONTROL_CONNECTIONS; i++) {
        struct connection *k = &c->conn[i];
        size_t room;

        if (k->state != CONSOLE)
            continue;
        room = CONTROL_CONSOLE_BACKLOG -
               MIN((size_t)CONTROL_CONSOLE_BACKLOG, k->out.len);
        if (n > room) {
            c->console_dropped += n - room;
            COUNT(vmm_control_console_dropped);
        }
        buf_add(&k->out, data, MIN(n, room));
        if (flush(c, k))
            watch(c, k);
    }
}

void
control_console_ready(struct control *c)
{
    for (size_t i = 0; i < CONTROL_CONNECTIONS; i++)
        if (c->conn[i].state == CONSOLE)
            process(c, &c->conn[i]);
}

uint64_t
control_console_dropped(const struct control *c)
{
    return c->console_dropped;
}
