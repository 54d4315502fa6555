/* vd-ctl.c - asks a virga-vmm by its control socket (vmm/CONTROL.md): one
 * request on a connection of its own, with a deadline, since the VMM may hang
 * or have been taken over by its guest. What it answers is input like any
 * other. */
#include <config.h>

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "api/codec.h"
#include "common/clock.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm-driver/vd-private.h"

#define REPLY_MAX (1 << 20)
#define BACKLOG 16

#define FIELD(s, n, t, f, text)                                                \
    {                                                                          \
        .name = n, .type = CODEC_##t, .offset = offsetof(s, f),                \
        .flags = CODEC_IN, .doc = text                                         \
    }

struct error_words {
    char *code, *field, *message;
};

struct reply {
    struct error_words *error;
};

static const struct codec_field error_fields[] = {
    FIELD(struct error_words, "code", STRING, code, "for programs"),
    FIELD(struct error_words, "field", STRING, field, "of the request"),
    FIELD(struct error_words, "message", TEXT, message, "for people"),
};
static const struct codec_table error_table = {
    .name = "ControlError",
    .doc = "Why a request failed.",
    .size = sizeof(struct error_words),
    .fields = error_fields,
    .n_fields = ARRAY_SIZE(error_fields),
};
static const struct codec_field reply_fields[] = {
    {.name = "error",
     .type = CODEC_OBJECT,
     .offset = offsetof(struct reply, error),
     .flags = CODEC_IN,
     .sub = &error_table,
     .doc = "why it failed"},
};
static const struct codec_table reply_table = {
    .name = "ControlReply",
    .doc = "An answer, whatever else is in it.",
    .size = sizeof(struct reply),
    .fields = reply_fields,
    .n_fields = ARRAY_SIZE(reply_fields),
};

static const struct codec_field describe_fields[] = {
    {.name = "id",
     .type = CODEC_ID,
     .offset = offsetof(struct vd_describe, id),
     .flags = CODEC_IN | CODEC_REQUIRED,
     .doc = "of the VM"},
    {.name = "run",
     .type = CODEC_INT,
     .offset = offsetof(struct vd_describe, run),
     .flags = CODEC_IN | CODEC_REQUIRED,
     .max = INT64_MAX,
     .doc = "number of its start"},
    FIELD(struct vd_describe, "state", STRING, state, "running or paused"),
    FIELD(struct vd_describe, "started_at_us", INT, started_us, "when"),
};
static const struct codec_table describe_table = {
    .name = "ControlDescription",
    .doc = "What the driver needs of a VM's description.",
    .size = sizeof(struct vd_describe),
    .fields = describe_fields,
    .n_fields = ARRAY_SIZE(describe_fields),
};

struct describe_reply {
    struct vd_describe *result;
};
static const struct codec_field describe_reply_fields[] = {
    {.name = "result",
     .type = CODEC_OBJECT,
     .offset = offsetof(struct describe_reply, result),
     .flags = CODEC_IN | CODEC_REQUIRED,
     .sub = &describe_table,
     .doc = "the description"},
};
static const struct codec_table describe_reply_table = {
    .name = "ControlDescribeReply",
    .doc = "The answer to describe.",
    .size = sizeof(struct describe_reply),
    .fields = describe_reply_fields,
    .n_fields = ARRAY_SIZE(describe_reply_fields),
};

/* ---- the socket ---- */

/* By the folder's descriptor: the path of a state folder may be longer than a
 * socket's address, and nothing in it is followed. */
static int
socket_address(struct vd *d, const char *id, int *ret_dir,
               struct sockaddr_un *ret)
{
    int fd =
        openat(d->vms_fd, id, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", fd,
             VD_SOCKET);
    *ret_dir = fd;
    return 0;
}

int
vd_ctl_listen(struct vd *d, const char *id, int *ret_fd, struct err *reterr)
{
    int dir _cleanup_(closep) = -1;
    int fd _cleanup_(closep) = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un sa;
    int r = fd < 0 ? -errno : socket_address(d, id, &dir, &sa);

    if (r == 0 && (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
                   listen(fd, BACKLOG) < 0))
        r = -errno;
    if (r < 0)
        return err_errno(reterr, r, "cannot make the control socket of VM %s",
                         id);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* 0 when fd is ready; -ETIMEDOUT, or -ESRCH when the process died and left
 * nothing to read. */
static int
wait_ready(int fd, short events, int pidfd, int64_t deadline_us)
{
    for (;;) {
        int64_t left_ms = (deadline_us - clock_mono_us() + 999) / 1000;
        struct pollfd p[] = {{.fd = fd, .events = events},
                             {.fd = pidfd, .events = POLLIN}};
        int n = poll(p, ARRAY_SIZE(p), (int)MAX(left_ms, INT64_C(0)));

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            return -ETIMEDOUT;
        if (n > 0)
            return p[0].revents ? 0 : -ESRCH;
    }
}

static int
send_request(int fd, const struct vd_call *c, int64_t deadline_us)
{
    char *line _cleanup_(freep) =
        xasprintf("{\"v\":1,\"id\":1,\"do\":\"%s\"}\n", c->request);
    size_t n = strlen(line), done = 0;

    while (done < n) {
        ssize_t w =
            send(fd, line + done, n - done, MSG_NOSIGNAL | MSG_DONTWAIT);
        int r;

        if (w >= 0) {
            done += (size_t)w;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return -errno;
        r = wait_ready(fd, POLLOUT, c->pidfd, deadline_us);
        if (r < 0)
            return r;
    }
    return 0;
}

/* One line and not a byte more: what follows may be the console's. */
static int
read_line(int fd, const struct vd_call *c, int64_t deadline_us, struct buf *ret)
{
    for (;;) {
        char bytes[4096];
        int r = wait_ready(fd, POLLIN, c->pidfd, deadline_us);
        ssize_t n;
        char *end;

        if (r < 0)
            return r;
        n = recv(fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -ECONNRESET;
        end = memchr(bytes, '\n', (size_t)n);
        if (end)
            n = end + 1 - bytes;
        if (ret->len + (size_t)n > REPLY_MAX)
            return -EPROTO;
        n = recv(fd, bytes, (size_t)n, MSG_DONTWAIT);
        if (n <= 0)
            return n < 0 ? -errno : -ECONNRESET;
        buf_add(ret, bytes, (size_t)n);
        if (end)
            return 0;
    }
}

static int
exchange(struct vd *d, const struct vd_call *c, int *ret_fd, struct buf *ret)
{
    int64_t deadline_us = clock_mono_us() + c->timeout_ms * INT64_C(1000);
    int dir _cleanup_(closep) = -1;
    int fd _cleanup_(closep) =
        socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct ucred peer;
    socklen_t n = sizeof(peer);
    struct sockaddr_un sa;
    int r = fd < 0 ? -errno : socket_address(d, c->id, &dir, &sa);

    if (r < 0)
        return r;
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
        /* Nobody takes connections from its queue any more. */
        return errno == EAGAIN ? -ETIMEDOUT : -errno;
    if (c->ret_pid) {
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
            return -errno;
        *c->ret_pid = peer.pid;
    }
    r = send_request(fd, c, deadline_us);
    if (r == 0)
        r = read_line(fd, c, deadline_us, ret);
    if (r == 0)
        *ret_fd = TAKE_FD(fd);
    return r;
}

/* The VMM's own words go on; they are no more than words. */
static int
check_reply(const struct vd_call *c, const struct buf *line, struct err *reterr)
{
    struct reply reply = {0};
    int r = codec_decode(&reply_table, CODEC_REPLY, buf_str(line), line->len,
                         &reply, reterr);

    if (r < 0)
        return err_set(reterr, -EPROTO, "bad_reply",
                       "the VMM of VM %s answers what is no reply", c->id);
    if (reply.error) {
        const char *code = reply.error->code;

        r = err_set(reterr, -EIO, "vmm_failed", "the VMM of VM %s: %s (%s)",
                    c->id, reply.error->message ? reply.error->message : "",
                    code ? code : "no code");
    }
    codec_clear(&reply_table, &reply);
    return r;
}

int
vd_ctl(struct vd *d, const struct vd_call *c, struct buf *ret,
       struct err *reterr)
{
    struct buf line _cleanup_(buf_release) = {0};
    int fd _cleanup_(closep) = -1;
    int r = exchange(d, c, &fd, &line);

    if (r == -ETIMEDOUT)
        return err_set(reterr, r, "vmm_hangs",
                       "the VMM of VM %s does not answer within %d ms", c->id,
                       c->timeout_ms);
    if (r < 0)
        return err_errno(reterr, r, "cannot ask the VMM of VM %s", c->id);
    r = check_reply(c, &line, reterr);
    if (r < 0)
        return r;
    if (ret) {
        buf_release(ret);
        *ret = line;
        line = (struct buf){0};
    }
    if (c->ret_fd)
        *c->ret_fd = TAKE_FD(fd);
    return 0;
}

void
vd_describe_release(struct vd_describe *r)
{
    codec_clear(&describe_table, r);
}

int
vd_ctl_describe(struct vd *d, const struct vd_call *c, struct vd_describe *ret,
                struct err *reterr)
{
    struct describe_reply reply = {0};
    struct buf line _cleanup_(buf_release) = {0};
    int r = vd_ctl(d, c, &line, reterr);

    if (r < 0)
        return r;
    r = codec_decode(&describe_reply_table, CODEC_PEER, buf_str(&line),
                     line.len, &reply, reterr);
    if (r < 0)
        return err_set(reterr, -EPROTO, "bad_reply",
                       "the VMM of VM %s does not describe itself", c->id);
    *ret = *reply.result;
    *reply.result = (struct vd_describe){0};
    codec_clear(&describe_reply_table, &reply);
    return 0;
}
