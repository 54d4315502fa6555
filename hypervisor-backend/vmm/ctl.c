/* ctl.c - `virga-vmm ctl`; see ctl.h. */
#include <config.h>

#include "hypervisor-backend/vmm/ctl.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>

#include "common/fs.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/ctl_request.h"

#define QUIT_KEY 0x1d /* Ctrl-] */
/* A description or statistics of a VM with all devices is some 20 KiB. */
#define REPLY_MAX (1024u * 1024)

enum { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2 };

/* ---- replies ---- */

struct fault {
    char *code, *field, *message;
};

struct reply {
    int64_t v, id;
    struct fault *error;
};

#define F(S, M, TYPE, FLAGS, ...)                                              \
    {                                                                          \
        .name = #M, .type = CODEC_##TYPE, .offset = offsetof(struct S, M),     \
        .flags = FLAGS, .doc = "", __VA_ARGS__                                 \
    }
static const struct codec_field fault_fields[] = {
    F(fault, code, STRING, 0),
    F(fault, field, STRING, 0),
    F(fault, message, STRING, 0),
};
static const struct codec_table fault_table = {.name = "error",
                                               .doc = "",
                                               .size = sizeof(struct fault),
                                               .fields = fault_fields,
                                               .n_fields =
                                                   ARRAY_SIZE(fault_fields)};
static const struct codec_field reply_fields[] = {
    F(reply, v, INT, 0),
    F(reply, id, INT, 0),
    F(reply, error, OBJECT, 0, .sub = &fault_table),
};
static const struct codec_table reply_table = {.name = "reply",
                                               .doc = "",
                                               .size = sizeof(struct reply),
                                               .fields = reply_fields,
                                               .n_fields =
                                                   ARRAY_SIZE(reply_fields)};

static int
print_error(const struct fault *f)
{
    fprintf(stderr, "virga-vmm: %s%s%s (%s)\n", f->field ? f->field : "",
            f->field ? ": " : "", f->message ? f->message : "failed",
            f->code ? f->code : "failed");
    return STATUS_FAILED;
}

/* The result is the last member (CONTROL.md), so it is what is left of the
 * line behind its name. */
static int
print_reply(const char *line, size_t len)
{
    static const char name[] = ",\"result\":";
    struct err e _cleanup_(err_release) = {0};
    struct reply reply = {0};
    const char *result = strstr(line, name);
    int status = STATUS_OK;

    if (codec_decode(&reply_table, CODEC_REPLY, line, len, &reply, &e) < 0) {
        fprintf(stderr, "virga-vmm: the reply makes no sense: %s\n", e.message);
        return STATUS_FAILED;
    }
    if (reply.error) {
        status = print_error(reply.error);
    } else if (!result || line[len - 1] != '}') {
        fprintf(stderr, "virga-vmm: the reply has no result\n");
        status = STATUS_FAILED;
    } else {
        result += sizeof(name) - 1;
        printf("%.*s\n", (int)(len - 1 - (size_t)(result - line)), result);
    }
    codec_clear(&reply_table, &reply);
    return status;
}

/* ---- the connection ---- */

static int
connect_to(const char *path, struct err *e)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd _cleanup_(closep) = -1;

    if (!*path || strlen(path) >= sizeof(at.sun_path))
        return err_set(e, -EINVAL, "invalid", "%s: not a socket's path", path);
    memcpy(at.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&at, sizeof(at)) < 0)
        return err_errno(e, -errno, "%s", path);
    return TAKE_FD(fd);
}

/* Descriptors go with the line's first bytes, which is all of it unless the
 * socket's buffer is tiny. */
static int
send_request(int fd, const struct ctl_request *q, struct err *e)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * CONTROL_FDS)];
        struct cmsghdr align;
    } control = {0};
    size_t fds_bytes = q->n_fds * sizeof(int);
    struct iovec iov = {.iov_base = q->line.data, .iov_len = q->line.len};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;
    int r;

    if (q->n_fds) {
        struct cmsghdr *h;

        m.msg_control = control.bytes;
        m.msg_controllen = CMSG_SPACE(fds_bytes);
        h = CMSG_FIRSTHDR(&m);
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN(fds_bytes);
        memcpy(CMSG_DATA(h), q->fds, fds_bytes);
    }
    do
        n = sendmsg(fd, &m, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_errno(e, -errno, "request");
    r = fs_write_all(fd, q->line.data + n, q->line.len - (size_t)n);
    return r < 0 ? err_errno(e, r, "request") : 0;
}

/* One line into b; what follows it (of a console) stays behind it. */
static int
read_reply(int fd, struct buf *b, size_t *ret_len, struct err *e)
{
    for (;;) {
        const char *lf = b->len ? memchr(b->data, '\n', b->len) : NULL;
        ssize_t n;

        if (lf) {
            *ret_len = (size_t)(lf - b->data);
            return 0;
        }
        if (b->len > REPLY_MAX)
            return err_set(e, -EFBIG, "too_large", "the reply has no end");
        n = read(fd, buf_reserve(b, 4096), 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, -errno, "reply");
        if (n == 0)
            return err_set(e, -ECONNRESET, "closed",
                           "the VM closed the connection");
        b->len += (size_t)n;
        b->data[b->len] = '\0';
    }
}

/* ---- the console ---- */

static void
terminal_restore(struct termios *t)
{
    (void)tcsetattr(STDIN_FILENO, TCSADRAIN, t);
}

/* From the keyboard; false: leave. */
static bool
from_user(int fd, bool terminal, bool *in_open)
{
    char bytes[4096];
    ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));
    const char *quit;

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    if (n <= 0) {
        *in_open = false;
        /* What is not a terminal has said all; the output goes on until the
         * reader or the VM ends it. */
        return !terminal;
    }
    quit = terminal ? memchr(bytes, QUIT_KEY, (size_t)n) : NULL;
    return fs_write_all(fd, bytes, quit ? (size_t)(quit - bytes) : (size_t)n) ==
               0 &&
           !quit;
}

static bool
from_guest(int fd)
{
    char bytes[4096];
    ssize_t n = read(fd, bytes, sizeof(bytes));

    if (n < 0 && errno == EINTR)
        return true;
    return n > 0 && fs_write_all(STDOUT_FILENO, bytes, (size_t)n) == 0;
}

static int
talk(int fd, bool terminal)
{
    bool in_open = true;

    for (;;) {
        struct pollfd p[] = {
            {.fd = fd, .events = POLLIN},
            {.fd = in_open ? STDIN_FILENO : -1, .events = POLLIN},
        };

        if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
            return STATUS_FAILED;
        if (p[0].revents && !from_guest(fd))
            return STATUS_OK;
        if (p[1].revents && !from_user(fd, terminal, &in_open))
            return STATUS_OK;
    }
}

static int
console(int fd, const char *first, size_t n)
{
    struct termios saved, raw;
    int status;

    if (fs_write_all(STDOUT_FILENO, first, n) < 0)
        return STATUS_FAILED;
    if (tcgetattr(STDIN_FILENO, &saved) < 0)
        return talk(fd, false);
    raw = saved;
    cfmakeraw(&raw);
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0)
        return STATUS_FAILED;
    status = talk(fd, true);
    terminal_restore(&saved);
    fputc('\n', stderr);
    return status;
}

/* ---- */

static int
ask(const char *path, struct ctl_request *q, struct err *e)
{
    int fd _cleanup_(closep) = connect_to(path, e);
    struct buf reply _cleanup_(buf_release) = {0};
    size_t len = 0;
    int r, status;

    if (fd < 0)
        return fd;
    r = send_request(fd, q, e);
    if (r == 0)
        r = read_reply(fd, &reply, &len, e);
    if (r < 0)
        return r;
    reply.data[len] = '\0';
    if (q->verb != CONTROL_CONSOLE || strstr(reply.data, ",\"error\":"))
        return print_reply(reply.data, len);
    status = console(fd, reply.data + len + 1, reply.len - len - 1);
    return status;
}

int
ctl_main(int argc, char **argv)
{
    struct ctl_request q = {0};
    struct err e _cleanup_(err_release) = {0};
    int r;

    if (argc > 0 && (streq(argv[0], "--help") || streq(argv[0], "-h"))) {
        ctl_request_usage(stdout);
        return STATUS_OK;
    }
    if (argc < 2) {
        ctl_request_usage(stderr);
        return STATUS_USAGE;
    }
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return STATUS_FAILED;
    r = ctl_request_parse(argc - 1, argv + 1, &q, &e);
    if (r == -EINVAL) {
        fprintf(stderr, "virga-vmm: ctl %s: %s\n", argv[1], e.message);
        ctl_request_release(&q);
        return STATUS_USAGE;
    }
    if (r == 0)
        r = ask(argv[0], &q, &e);
    if (r < 0)
        fprintf(stderr, "virga-vmm: %s\n", e.message);
    ctl_request_release(&q);
    return r < 0 ? STATUS_FAILED : r;
}
