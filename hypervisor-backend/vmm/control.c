/* control.c - the control socket's server; see control.h and
 * control-private.h. */
#include <config.h>

#include "hypervisor-backend/vmm/control-private.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"

#define RETRY_US US_PER_S
#define STALL_US (CONTROL_STALL_MS * INT64_C(1000))

void
control_listen_again(struct control *c)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

    if (!c->accepting)
        c->accepting =
            epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->listen_fd, &ev) == 0;
    c->retry_us = 0;
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
    struct control_conn *k = NULL;
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
        if (c->conn[i].state == CONN_FREE)
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
    *k = (struct control_conn){.state = CONN_LINES,
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
        control_listen_again(c);
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
        if (c->conn[i].state != CONN_FREE)
            control_drop(c, &c->conn[i]);
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
deadline(const struct control_conn *k)
{
    if (k->state == CONN_FREE || !k->stalled_us ||
        (k->state == CONN_CONSOLE && !k->left))
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
            control_drop(c, &c->conn[i]);
        }
    if (c->retry_us && now >= c->retry_us)
        control_listen_again(c);
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
            control_on_event(c, ev[i].data.ptr, ev[i].events);
    for (size_t i = 0; i < CONTROL_CONNECTIONS; i++)
        if (c->conn[i].answered) {
            c->conn[i].answered = false;
            control_process(c, &c->conn[i]);
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
    struct control_conn *k = &c->conn[ticket & 0xff];

    assert((ticket & 0xff) < CONTROL_CONNECTIONS);
    if (k->state != CONN_WAITING || ticket != control_ticket(c, k))
        return;
    k->state = CONN_LINES;
    if (e)
        control_fail(c, k, k->id, e, false);
    else
        control_reply_result(k->id, json, &k->out);
    /* What comes next waits for control_turn(): the caller may be amid a
     * change that another request must not meet. */
    k->answered = control_flush(c, k);
}

bool
control_has_console(const struct control *c)
{
    for (size_t i = 0; i < CONTROL_CONNECTIONS; i++)
        if (c->conn[i].state == CONN_CONSOLE && !c->conn[i].left)
            return true;
    return false;
}

void
control_console_output(struct control *c, const void *data, size_t n)
{
    for (size_t i = 0; i < CONTROL_CONNECTIONS; i++) {
        struct control_conn *k = &c->conn[i];
        size_t room;

        if (k->state != CONN_CONSOLE || k->left)
            continue;
        room = CONTROL_CONSOLE_BACKLOG -
               MIN((size_t)CONTROL_CONSOLE_BACKLOG, k->out.len);
        if (n > room) {
            c->console_dropped += n - room;
            COUNT(vmm_control_console_dropped);
        }
        buf_add(&k->out, data, MIN(n, room));
        if (control_flush(c, k))
            control_watch(c, k);
    }
}

void
control_console_ready(struct control *c)
{
    for (size_t i = 0; i < CONTROL_CONNECTIONS; i++)
        if (c->conn[i].state == CONN_CONSOLE)
            control_process(c, &c->conn[i]);
}

uint64_t
control_console_dropped(const struct control *c)
{
    return c->console_dropped;
}
