/* console.c - `virga instance console`: the serial console over WebSocket.
 * The terminal is raw meanwhile, so that each key reaches the guest; its
 * settings are put back on every way out, signals included. With another
 * standard input than a terminal the input is sent, and the console is left
 * once it has ended and the guest has been silent for a while. */
#include <config.h>

#include "cli/console.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <termios.h>

#include "api/ws.h"
#include "cli/cli.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/mem.h"

#define LINGER_US US_PER_S
#define CHUNK 4096
#define BURST 64 /* chunks of output between two looks at the keyboard */

/* ---- the terminal ---- */

/* One terminal for the process; read by the signal handler. */
static struct termios saved;
static volatile sig_atomic_t is_raw;

static void
terminal_restore(void)
{
    if (is_raw)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
    is_raw = 0;
}

static void
on_signal(int sig)
{
    int keep = errno;

    if (is_raw)
        tcsetattr(STDIN_FILENO, TCSANOW, &saved); /* async-signal-safe */
    is_raw = 0;
    errno = keep;
    raise(sig); /* SA_RESETHAND: it now ends the process as it should */
}

static int
terminal_raw(struct cli *c)
{
    static const int signals[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
                                  SIGABRT, SIGALRM, SIGUSR1, SIGUSR2};
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct termios raw;

    if (tcgetattr(STDIN_FILENO, &saved) < 0)
        return cli_fail(c, EXIT_FAILED, "terminal", "terminal: %s",
                        strerror(errno));
    raw = saved;
    cfmakeraw(&raw);
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
        sigaction(signals[i], &sa, NULL);
    sigaction(SIGTSTP, &ignore, NULL); /* would leave it raw in the shell */
    atexit(terminal_restore);
    is_raw = 1;
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0)
        return cli_fail(c, EXIT_FAILED, "terminal", "terminal: %s",
                        strerror(errno));
    return EXIT_OK;
}

/* ---- pure parts ---- */

size_t
console_typed(const char *data, size_t n, bool *ret_leave)
{
    const char *end = memchr(data, CONSOLE_ESCAPE, n);

    *ret_leave = end != NULL;
    return end ? (size_t)(end - data) : n;
}

int
console_frames(struct buf *in, struct buf *out, struct buf *reply)
{
    while (in->len) {
        struct ws_frame f;
        int n = ws_decode(in, false, &f);

        if (n == -EAGAIN)
            return 1;
        if (n < 0)
            return -EPROTO;
        switch (f.opcode) {
        case WS_CONTINUATION:
        case WS_TEXT:
        case WS_BINARY:
            buf_add(out, f.payload, f.len);
            break;
        case WS_PING:
            ws_encode(WS_PONG, f.payload, f.len, true, reply);
            break;
        case WS_PONG:
            break;
        case WS_CLOSE:
            return 0;
        }
        buf_consume(in, (size_t)n);
    }
    return 1;
}

/* ---- the session ---- */

struct session {
    struct cli *c;
    struct httpc_raw *raw;
    struct buf in;
    bool terminal;   /* standard input is one */
    bool input_done; /* it ended */
    int64_t linger_us, last_us;
    bool more; /* the server may have more that poll() cannot see */
    bool leave;
};

static int
lost(struct session *s, const char *why)
{
    return cli_fail(s->c, EXIT_UNAVAILABLE, "console_lost",
                    "the console was cut off: %s", why);
}

/* Prints and answers what has arrived. */
static int
deliver(struct session *s)
{
    struct buf out _cleanup_(buf_release) = {0};
    struct buf reply _cleanup_(buf_release) = {0};
    int r = console_frames(&s->in, &out, &reply);
    int w = fs_write_all(STDOUT_FILENO, out.data, out.len);

    if (w < 0)
        return cli_fail(s->c, EXIT_FAILED, "output", "standard output: %s",
                        strerror(-w));
    if (r < 0)
        return lost(s, "what came is no WebSocket");
    if (r == 0) {
        s->leave = true; /* closed in order: taken over, or stopped */
        if (s->terminal)
            fputs("\r\nvirga: the other side closed the console\r\n", stderr);
        return EXIT_OK;
    }
    if (reply.len && httpc_raw_send(s->raw, reply.data, reply.len) < 0)
        return lost(s, "the connection ended");
    return EXIT_OK;
}

/* What the server has for us, until it has no more: TLS holds bytes back
 * that poll() does not know of. Bounded, so that a guest that prints without
 * end cannot keep the keyboard from being read. */
static int
from_server(struct session *s)
{
    char chunk[CHUNK];
    int rc = deliver(s);

    s->more = false;
    for (int i = 0; rc == EXIT_OK && !s->leave; i++) {
        ssize_t n;

        if (i == BURST) {
            s->more = true;
            break;
        }
        n = httpc_raw_recv(s->raw, chunk, sizeof(chunk));
        if (n == -EAGAIN)
            break;
        if (n <= 0)
            return lost(s, "the connection ended");
        buf_add(&s->in, chunk, (size_t)n);
        s->last_us = clock_mono_us();
        rc = deliver(s);
    }
    return rc;
}

/* What was typed or piped. */
static int
from_user(struct session *s)
{
    struct buf frame _cleanup_(buf_release) = {0};
    char chunk[CHUNK];
    ssize_t n = read(STDIN_FILENO, chunk, sizeof(chunk));
    size_t send;

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return EXIT_OK;
    if (n <= 0) {
        s->input_done = true;
        s->leave = s->terminal;
        s->last_us = clock_mono_us();
        return EXIT_OK;
    }
    send = (size_t)n;
    if (s->terminal)
        send = console_typed(chunk, send, &s->leave);
    s->last_us = clock_mono_us();
    if (!send)
        return EXIT_OK;
    ws_encode(WS_BINARY, chunk, send, true, &frame);
    if (httpc_raw_send(s->raw, frame.data, frame.len) < 0)
        return lost(s, "it takes no input");
    return EXIT_OK;
}

static int
run(struct session *s)
{
    int rc = from_server(s); /* what came with the handshake */

    while (rc == EXIT_OK && !s->leave) {
        struct pollfd fds[] = {
            {.fd = httpc_raw_fd(s->raw), .events = POLLIN},
            {.fd = s->input_done ? -1 : STDIN_FILENO, .events = POLLIN},
        };
        int timeout_ms = -1;

        if (s->input_done) {
            int64_t left = s->last_us + s->linger_us - clock_mono_us();

            if (left <= 0)
                break;
            timeout_ms = (int)(MIN(left, US_PER_S) / 1000) + 1;
        }
        if (s->more)
            timeout_ms = 0;
        if (poll(fds, ARRAY_SIZE(fds), timeout_ms) < 0 && errno != EINTR)
            return lost(s, strerror(errno));
        if (fds[0].revents || s->more)
            rc = from_server(s);
        if (rc == EXIT_OK && !s->leave && fds[1].revents)
            rc = from_user(s);
    }
    return rc;
}

/* The reason of a refused handshake, by which the exit code goes. */
static int
open_failed(struct cli *c, int r, const struct err *err)
{
    int exit = r == -ENOENT   ? EXIT_NOT_FOUND
               : r == -EBUSY  ? EXIT_CONFLICT
               : r == -EAGAIN ? EXIT_UNAVAILABLE
                              : cli_exit_of_errno(r);

    if (r == -EACCES && !streq(err->code, "unreachable"))
        exit = EXIT_DENIED; /* else it is TLS that does not trust */
    cli_fail(c, exit, err->code, "%s", err->message);
    if (exit == EXIT_UNAVAILABLE)
        c->fault.err.number = r;
    return exit;
}

int
cmd_console(struct cli *c)
{
    char *path _cleanup_(freep) =
        cli_path(ROUTE_INSTANCE_CONSOLE, c->line.args[0].text, NULL);
    struct err err _cleanup_(err_release) = {0};
    struct session s = {
        .c = c,
        .terminal = isatty(STDIN_FILENO),
        .linger_us = cli_opt_num(&c->line, "linger", LINGER_US),
        .last_us = clock_mono_us(),
    };
    struct buf bye _cleanup_(buf_release) = {0};
    int rc = EXIT_OK;
    int r;

    if (c->debug)
        fprintf(c->debug, "> GET %s (WebSocket)\n", path);
    r = ws_client_open(cli_client(c), path, &s.raw, &s.in, &err);
    if (r < 0)
        return open_failed(c, r, &err);
    if (s.terminal) {
        fprintf(stderr, "virga: connected to %s; Ctrl-] leaves\n",
                c->line.args[0].text);
        rc = terminal_raw(c);
    }
    if (rc == EXIT_OK)
        rc = run(&s);
    terminal_restore();
    if (s.terminal)
        fputc('\n', stderr);
    if (rc == EXIT_OK) {
        /* A courtesy: the server notices the end of the connection too. */
        ws_encode(WS_CLOSE, "\x03\xe8", 2, true, &bye);
        (void)!httpc_raw_send(s.raw, bye.data, bye.len);
    }
    httpc_raw_close(s.raw);
    buf_release(&s.in);
    return rc;
}
