/* control_conn.c - one connection of the control socket: lines and descriptors
 * in, replies out; see control-private.h. */
#include <config.h>

#include "hypervisor-backend/vmm/control-private.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/mem.h"

#define READ_BYTES 4096u

uint64_t
control_ticket(const struct control *c, const struct control_conn *k)
{
    return (uint64_t)k->generation << 8 | (uint64_t)(k - c->conn);
}

static void
close_fds(struct control_conn *k)
{
    for (unsigned i = 0; i < k->n_fds; i++)
        closep(&k->fds[i]);
    k->n_fds = 0;
}

void
control_drop(struct control *c, struct control_conn *k)
{
    if (k->state == CONN_WAITING)
        c->ops->cancel(c->self, control_ticket(c, k));
    closep(&k->fd); /* leaves the epoll set with it */
    close_fds(k);
    buf_release(&k->in);
    buf_release(&k->out);
    k->state = CONN_FREE;
    k->answered = false;
    k->generation++;
    control_listen_again(c);
}

/* What is worth waking up for in the connection's state. */
void
control_watch(struct control *c, struct control_conn *k)
{
    struct epoll_event ev = {.data.ptr = k};

    if (k->left)
        return;
    if (k->out.len)
        ev.events |= EPOLLOUT;
    if (!k->eof &&
        ((k->state == CONN_LINES && !k->out.len) ||
         (k->state == CONN_CONSOLE && c->ops->console_room(c->self))))
        ev.events |= EPOLLIN;
    /* Both ends closed is told in any case. */
    if (ev.events == k->events)
        return;
    if (epoll_ctl(c->epoll, EPOLL_CTL_MOD, k->fd, &ev) < 0) {
        COUNT(vmm_control_failed);
        control_drop(c, k);
        return;
    }
    k->events = ev.events;
}

/* As much as the socket takes. False: the connection is gone. */
bool
control_flush(struct control *c, struct control_conn *k)
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
            control_drop(c, k);
            return false;
        }
        buf_consume(&k->out, (size_t)n);
        k->stalled_us = 0;
    }
    k->stalled_us = 0;
    buf_release(&k->out); /* an idle connection holds no memory */
    if (k->state == CONN_CLOSING) {
        control_drop(c, k);
        return false;
    }
    return true;
}

void
control_fail(struct control *c, struct control_conn *k, int64_t id,
             const struct err *e, bool end)
{
    control_reply_error(id, e, &k->out);
    if (end) {
        k->state = CONN_CLOSING;
        buf_release(&k->in);
        close_fds(k);
    }
}

static void
protocol_error(struct control *c, struct control_conn *k, const char *code,
               const char *text)
{
    struct err e _cleanup_(err_release) = {0};

    COUNT(vmm_control_bad);
    err_set(&e, -EPROTO, code, "%s", text);
    control_fail(c, k, 0, &e, true);
}

/* ---- requests ---- */

static void
request(struct control *c, struct control_conn *k, const char *line, size_t len,
        struct control_request *q)
{
    struct buf result _cleanup_(buf_release) = {0};
    struct err e _cleanup_(err_release) = {0};
    int r = control_request_decode(line, len, q, &e);
    bool bad = r == -EBADMSG;

    if (r == 0) {
        if (q->verb == CONTROL_CONSOLE)
            k->state = CONN_CONSOLE;
        else
            r = c->ops->request(c->self, q, control_ticket(c, k), &result, &e);
    }
    if (r == CONTROL_LATER) {
        k->id = q->id;
        k->state = CONN_WAITING;
    } else if (r < 0) {
        if (!*e.code)
            err_errno(&e, r, "%s", control_verb_name(q->verb));
        if (bad)
            COUNT(vmm_control_bad);
        control_fail(c, k, q->id, &e, bad);
    } else {
        control_reply_result(q->id, buf_str(&result), &k->out);
    }
}

/* The first line of `in`, n bytes with its LF. */
static void
take_line(struct control *c, struct control_conn *k, size_t n)
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
console_input(struct control *c, struct control_conn *k)
{
    size_t n = MIN(c->ops->console_room(c->self), k->in.len);

    if (n) {
        c->ops->console_input(c->self, k->in.data, n);
        buf_consume(&k->in, n);
    }
}

/* Requests that are whole, until one waits or its reply does. */
void
control_process(struct control *c, struct control_conn *k)
{
    while (k->state == CONN_LINES && k->out.len == 0) {
        const char *lf = k->in.len ? memchr(k->in.data, '\n', k->in.len) : NULL;

        if (lf) {
            take_line(c, k, (size_t)(lf - k->in.data) + 1);
            if (!control_flush(c, k))
                return;
            continue;
        }
        if (k->in.len >= CONTROL_LINE_MAX) {
            protocol_error(c, k, "too_long", "the line is too long");
            if (!control_flush(c, k))
                return;
        } else if (k->eof) {
            control_drop(c, k);
            return;
        }
        break;
    }
    if (k->state == CONN_CONSOLE) {
        console_input(c, k);
        if (k->eof && k->in.len == 0) {
            control_drop(c, k);
            return;
        }
    }
    control_watch(c, k);
}

/* ---- reading ---- */

/* Descriptors of one message; -EPROTO: more than there is room for. */
static int
take_fds(struct control_conn *k, struct msghdr *m)
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

/* How much may be read: a console's input waits in the socket while the guest
 * takes none, but for a client that has left. */
static size_t
read_room(const struct control *c, const struct control_conn *k)
{
    size_t room = CONTROL_LINE_MAX - k->in.len;

    if (k->state == CONN_CONSOLE && !k->left)
        room = c->ops->console_room(c->self);
    return MIN((size_t)READ_BYTES, room);
}

/* One read. False: the connection is gone or has nothing more. */
static bool
read_some(struct control *c, struct control_conn *k)
{
    size_t room = read_room(c, k);
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
    if (n < 0 && k->left)
        return false; /* it left with our output unread: no matter */
    if (n < 0) {
        control_drop(c, k);
        return false;
    }
    k->eof = n == 0;
    k->in.len += (size_t)n;
    if (k->in.data)
        k->in.data[k->in.len] = '\0';
    if (take_fds(k, &m) < 0) {
        protocol_error(c, k, "too_many_descriptors",
                       "too many descriptors were sent along");
        if (control_flush(c, k))
            control_watch(c, k);
        return false;
    }
    if (k->n_fds != before)
        k->fds_at = k->in.len - 1;
    if (k->state == CONN_CONSOLE)
        close_fds(k);
    return true;
}

/* Its client is gone: what it typed last is still the guest's, as soon as that
 * takes it and within the time of a client that stalls. */
static void
console_left(struct control *c, struct control_conn *k)
{
    k->left = true;
    k->stalled_us = clock_mono_us();
    buf_release(&k->out);
    while (!k->eof && read_some(c, k))
        continue;
    if (k->state == CONN_FREE)
        return;
    k->eof = true;
    closep(&k->fd); /* leaves the epoll set with it */
    control_process(c, k);
}

void
control_on_event(struct control *c, struct control_conn *k, uint32_t events)
{
    if (k->state == CONN_FREE)
        return;
    if (events & (EPOLLHUP | EPOLLERR)) {
        /* Nobody is there to read an answer. What was asked before it left is
         * done all the same: "stop" and be gone is fair. */
        while (k->state == CONN_LINES && read_some(c, k) && !k->eof)
            control_process(c, k);
        if (k->state == CONN_CONSOLE)
            console_left(c, k);
        else if (k->state != CONN_FREE)
            control_drop(c, k);
        return;
    }
    if ((events & EPOLLOUT) && !control_flush(c, k))
        return;
    if ((events & EPOLLIN) && ((k->state == CONN_LINES && k->out.len == 0) ||
                               k->state == CONN_CONSOLE)) {
        (void)read_some(c, k);
        if (k->state == CONN_FREE)
            return;
    }
    control_process(c, k);
}
