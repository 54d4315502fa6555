/* console.c - the bytes of a console session; see console.h.
 *
 *      console socket ──read──► binary frames ──► controller
 *                     ◄─write── to_vm (bounded) ◄── frames
 * While to_vm holds too much the WebSocket is not read: a guest that does not
 * take its input slows the typist, and nothing grows. */
#include <config.h>

#include "agentd/console.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "api/ws.h"
#include "common/clock.h"
#include "common/count.h"
#include "common/log.h"

#define PING_US (20 * US_PER_S)
#define SILENCE_US (65 * US_PER_S)
#define TO_VM_MAX (64u << 10)

struct session {
    struct httpc_raw *raw;
    int vm_fd;
    struct buf in;    /* from the WebSocket, not decoded yet */
    struct buf to_vm; /* for the console */
    int64_t pinged_us, heard_us;
    bool ended;
};

int
console_init(struct console *c)
{
    c->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return c->end_fd < 0 ? -errno : 0;
}

void
console_release(struct console *c)
{
    closep(&c->end_fd);
}

void
console_end(struct console *c)
{
    uint64_t one = 1;

    while (write(c->end_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
}

static int
send_frame(struct session *s, enum ws_opcode op, const void *data, size_t n)
{
    struct buf out _cleanup_(buf_release) = {0};

    ws_encode(op, data, n, true, &out);
    return httpc_raw_send(s->raw, out.data, out.len);
}

static int
take_frame(struct session *s, const struct ws_frame *f)
{
    switch (f->opcode) {
    case WS_BINARY:
    case WS_TEXT:
    case WS_CONTINUATION:
        buf_add(&s->to_vm, f->payload, f->len);
        return 0;
    case WS_PING:
        return send_frame(s, WS_PONG, f->payload, f->len);
    case WS_CLOSE:
        s->ended = true;
        return send_frame(s, WS_CLOSE, f->payload, MIN(f->len, (size_t)2));
    case WS_PONG:
        return 0;
    }
    return -EPROTO;
}

/* Decodes what is there, as long as the console takes it. */
static int
take_frames(struct session *s)
{
    struct ws_frame f;

    while (!s->ended && s->in.len && s->to_vm.len < TO_VM_MAX) {
        int n = ws_decode(&s->in, false, &f);

        if (n == -EAGAIN)
            return 0;
        if (n < 0)
            return n;
        int r = take_frame(s, &f);
        if (r < 0)
            return r;
        buf_consume(&s->in, (size_t)n);
    }
    return 0;
}

/* Until the TLS layer has nothing left: poll() does not see what it holds. */
static int
from_controller(struct session *s)
{
    char chunk[16384];

    while (!s->ended && s->to_vm.len < TO_VM_MAX) {
        ssize_t n = httpc_raw_recv(s->raw, chunk, sizeof(chunk));

        if (n == -EAGAIN)
            return 0;
        if (n <= 0) {
            s->ended = true;
            return 0;
        }
        s->heard_us = clock_mono_us();
        buf_add(&s->in, chunk, (size_t)n);
        int r = take_frames(s);
        if (r < 0)
            return r;
    }
    return 0;
}

static int
to_vm(struct session *s)
{
    while (s->to_vm.len) {
        ssize_t n = send(s->vm_fd, s->to_vm.data, s->to_vm.len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return 0;
        if (n < 0) {
            s->ended = true;
            return 0;
        }
        buf_consume(&s->to_vm, (size_t)n);
    }
    return 0;
}

static int
from_vm(struct session *s)
{
    char chunk[16384];
    ssize_t n = read(s->vm_fd, chunk, sizeof(chunk));

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0) {
        s->ended = true;
        return 0;
    }
    return send_frame(s, WS_BINARY, chunk, (size_t)n);
}

static int
keep_alive(struct session *s)
{
    int64_t now = clock_mono_us();

    if (now - s->heard_us > SILENCE_US) {
        COUNT(console_silent);
        return -ETIMEDOUT;
    }
    if (now - s->pinged_us < PING_US)
        return 0;
    s->pinged_us = now;
    return send_frame(s, WS_PING, NULL, 0);
}

static int
serve(struct session *s, int end_fd)
{
    int r = take_frames(s); /* what came with the handshake */

    while (r == 0 && !s->ended) {
        bool room = s->to_vm.len < TO_VM_MAX;
        struct pollfd p[3] = {
            {.fd = end_fd, .events = POLLIN},
            {.fd = s->vm_fd,
             .events = (short)(POLLIN | (s->to_vm.len ? POLLOUT : 0))},
            {.fd = room ? httpc_raw_fd(s->raw) : -1, .events = POLLIN},
        };

        if (poll(p, 3, 1000) < 0 && errno != EINTR)
            return -errno;
        if (p[0].revents)
            return 0;
        r = take_frames(s);
        if (r == 0)
            r = from_controller(s);
        if (r == 0)
            r = to_vm(s);
        if (r == 0 && (p[1].revents & (POLLIN | POLLHUP | POLLERR)))
            r = from_vm(s);
        if (r == 0)
            r = keep_alive(s);
    }
    return r;
}

int
console_run(struct console *c, struct hv *hv, const char *instance_id,
            struct link_client *lc, const char *path, bool *ret_began,
            struct err *reterr)
{
    static const unsigned char going_away[] = {1001 >> 8, 1001 & 0xff};
    int fd _cleanup_(closep) = -1;
    struct session s = {0};
    int r = hv_console_open(hv, instance_id, &fd, reterr);

    *ret_began = false;
    if (r == 0)
        r = ws_client_open(link_httpc(lc), path, &s.raw, &s.in, reterr);
    if (r < 0) {
        buf_release(&s.in);
        return r;
    }
    *ret_began = true;
    s.vm_fd = fd;
    s.pinged_us = s.heard_us = clock_mono_us();
    r = serve(&s, c->end_fd);
    /* The connection may be the reason that it ended. */
    if (send_frame(&s, WS_CLOSE, going_away, sizeof(going_away)) < 0)
        COUNT(console_close_unsent);
    log_debug("console session over", "inst=%s result=\"%s\"", instance_id,
              r < 0 ? strerrordesc_np(-r) : "closed");
    httpc_raw_close(s.raw);
    buf_release(&s.in);
    buf_release(&s.to_vm);
    return 0;
}
