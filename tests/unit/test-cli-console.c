/* test-cli-console.c - the console from keyboard to guest and back: the real
 * program on a pseudo-terminal, against a WebSocket server in this process
 * that plays the guest. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <cmocka.h>

#include "api/ws.h"
#include "cli/console.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/fs.h"

#define PROGRAM "./virga" /* tests run in the build folder */
#define LIMIT_US (20 * US_PER_S)

/* ---- the guest ---- */

struct guest {
    int listen_fd;
    char url[64];
    const char *refusal; /* instead of the upgrade, or NULL */
    bool hang_up;        /* closes in order after its greeting */
    pthread_t thread;
    struct buf typed; /* what it got; read after guest_stop() */
    bool closed;      /* the client closed in order */
};

static bool
readable(int fd, int64_t deadline)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int64_t left = deadline - clock_mono_us();

    return left > 0 && poll(&p, 1, (int)(left / 1000) + 1) > 0;
}

/* Appends what is there; false at the end. */
static bool
read_some(int fd, struct buf *in, int64_t deadline)
{
    ssize_t n;

    if (!readable(fd, deadline))
        return false;
    n = read(fd, buf_reserve(in, 4096), 4096);
    if (n <= 0)
        return false;
    in->len += (size_t)n;
    in->data[in->len] = '\0';
    return true;
}

static void
send_frame(int fd, enum ws_opcode op, const void *data, size_t n)
{
    struct buf out _cleanup_(buf_release) = {0};

    ws_encode(op, data, n, false, &out);
    (void)!fs_write_all(fd, out.data, out.len); /* the client may be gone */
}

static void
handshake(int fd, struct guest *g, struct buf *in, int64_t deadline)
{
    struct buf out _cleanup_(buf_release) = {0};
    char key[64] = "", accept_key[WS_ACCEPT_SIZE];
    const char *p;

    while (!strstr(buf_str(in), "\r\n\r\n"))
        if (!read_some(fd, in, deadline))
            return;
    p = strstr(buf_str(in), "Sec-WebSocket-Key: ");
    if (p)
        snprintf(key, sizeof(key), "%.*s", (int)strcspn(p + 19, "\r"), p + 19);
    buf_consume(in, in->len);
    if (g->refusal) {
        buf_adds(&out, g->refusal);
    } else if (ws_accept(key, accept_key) == 0) {
        buf_addf(&out,
                 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                 "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                 accept_key);
        /* In one write with the head: nothing of it may be lost. */
        ws_encode(WS_BINARY, "login: ", 7, false, &out);
        ws_encode(WS_PING, "x", 1, false, &out);
    }
    (void)!fs_write_all(fd, out.data, out.len);
}

static void *
guest_main(void *arg)
{
    struct guest *g = arg;
    int64_t deadline = clock_mono_us() + LIMIT_US;
    struct buf in _cleanup_(buf_release) = {0};
    int fd _cleanup_(closep) = -1;

    if (!readable(g->listen_fd, deadline))
        return NULL;
    fd = accept(g->listen_fd, NULL, NULL);
    handshake(fd, g, &in, deadline);
    if (g->hang_up)
        send_frame(fd, WS_CLOSE, "", 0);
    while (!g->refusal && read_some(fd, &in, deadline)) {
        struct ws_frame f;
        int n;

        while ((n = ws_decode(&in, true, &f)) > 0) {
            if (f.opcode == WS_BINARY) {
                buf_add(&g->typed, f.payload, f.len);
                send_frame(fd, WS_BINARY, f.payload, f.len); /* its echo */
            }
            if (f.opcode == WS_CLOSE)
                g->closed = true;
            if (f.opcode == WS_PONG)
                buf_adds(&g->typed, "<pong>");
            buf_consume(&in, (size_t)n);
        }
    }
    return NULL;
}

static void
guest_start(struct guest *g, const char *refusal, bool hang_up)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);

    *g = (struct guest){.refusal = refusal, .hang_up = hang_up};
    g->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(g->listen_fd, (struct sockaddr *)&a, len), 0);
    assert_int_equal(listen(g->listen_fd, 1), 0);
    assert_int_equal(getsockname(g->listen_fd, (struct sockaddr *)&a, &len), 0);
    snprintf(g->url, sizeof(g->url), "http://127.0.0.1:%d", ntohs(a.sin_port));
    assert_int_equal(pthread_create(&g->thread, NULL, guest_main, g), 0);
}

static void
guest_stop(struct guest *g)
{
    pthread_join(g->thread, NULL);
    close(g->listen_fd);
}

/* ---- the user ---- */

struct user {
    pid_t pid;
    int pty;   /* the terminal's other end; -1 without one */
    int input; /* writing end of a pipe, without a terminal */
    struct buf seen;
};

static void
user_start(struct user *u, const struct guest *g, bool terminal)
{
    const char *argv[] = {PROGRAM,   "--url", g->url, "instance",
                          "console", "web-1", NULL};
    int slave = -1, in[2] = {-1, -1}, out[2] = {-1, -1};

    *u = (struct user){.pty = -1, .input = -1};
    if (terminal) {
        assert_int_equal(openpty(&u->pty, &slave, NULL, NULL, NULL), 0);
    } else {
        assert_int_equal(pipe2(in, O_CLOEXEC), 0);
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        u->input = in[1];
        u->pty = out[0];
    }
    u->pid = fork();
    if (u->pid == 0) {
        dup2(terminal ? slave : in[0], STDIN_FILENO);
        dup2(terminal ? slave : out[1], STDOUT_FILENO);
        if (terminal)
            dup2(slave, STDERR_FILENO);
        execv(PROGRAM, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    assert_true(u->pid > 0);
    /* The terminal's own end stays open, to look at its settings after. */
    if (terminal)
        u->input = slave;
    else
        close(in[0]);
    if (!terminal)
        close(out[1]);
}

static void
user_expect(struct user *u, const char *words)
{
    int64_t deadline = clock_mono_us() + LIMIT_US;

    while (!strstr(buf_str(&u->seen), words))
        if (!read_some(u->pty, &u->seen, deadline))
            fail_msg("no \"%s\" in \"%s\"", words, buf_str(&u->seen));
}

/* The wait status. What it still prints is read meanwhile. */
static int
user_end(struct user *u)
{
    int64_t deadline = clock_mono_us() + LIMIT_US;
    int status;

    while (waitpid(u->pid, &status, WNOHANG) == 0) {
        if (clock_mono_us() > deadline)
            fail_msg("it does not end; seen: \"%s\"", buf_str(&u->seen));
        if (!read_some(u->pty, &u->seen, clock_mono_us() + US_PER_S / 20))
            continue;
    }
    while (read_some(u->pty, &u->seen, clock_mono_us() + US_PER_S / 20))
        continue;
    return status;
}

static bool
is_raw(const struct user *u)
{
    struct termios t;

    assert_int_equal(tcgetattr(u->input, &t), 0);
    return !(t.c_lflag & (ICANON | ECHO | ISIG));
}

static void
user_release(struct user *u)
{
    closep(&u->pty);
    closep(&u->input);
    buf_release(&u->seen);
}

/* ---- cases ---- */

static void
console__keys_reach_the_guest_and_ctrl_bracket_leaves(void **state)
{
    struct guest g;
    struct user u;

    guest_start(&g, NULL, false);
    user_start(&u, &g, true);
    user_expect(&u, "Ctrl-] leaves");
    user_expect(&u, "login: ");
    assert_true(is_raw(&u));
    /* Ctrl-C is the guest's, too. */
    assert_int_equal(write(u.pty, "root\r\003", 6), 6);
    user_expect(&u, "root\r\003");
    assert_int_equal(write(u.pty, "z\035not sent", 10), 10);
    int status = user_end(&u);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_false(is_raw(&u));
    guest_stop(&g);
    assert_string_equal(buf_str(&g.typed), "<pong>root\r\003z");
    assert_true(g.closed);
    buf_release(&g.typed);
    user_release(&u);
}

static void
console__signal_gives_the_terminal_back(void **state)
{
    static const int signals[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT};

    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        struct guest g;
        struct user u;

        guest_start(&g, NULL, false);
        user_start(&u, &g, true);
        user_expect(&u, "login: ");
        assert_true(is_raw(&u));
        kill(u.pid, signals[i]);
        int status = user_end(&u);
        if (!WIFSIGNALED(status))
            fail_msg("signal %d: ended with status 0x%x; seen: \"%s\"",
                     signals[i], status, buf_str(&u.seen));
        assert_int_equal(WTERMSIG(status), signals[i]);
        assert_false(is_raw(&u));
        guest_stop(&g);
        buf_release(&g.typed);
        user_release(&u);
    }
}

static void
console__closed_by_the_other_side_ends_well(void **state)
{
    struct guest g;
    struct user u;

    guest_start(&g, NULL, true);
    user_start(&u, &g, true);
    int status = user_end(&u);
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_non_null(strstr(buf_str(&u.seen), "login: "));
    assert_non_null(
        strstr(buf_str(&u.seen), "the other side closed the console"));
    assert_false(is_raw(&u));
    guest_stop(&g);
    buf_release(&g.typed);
    user_release(&u);
}

static void
console__refusal_is_told_with_its_exit_code(void **state)
{
    static const struct {
        const char *reply;
        int exit;
    } cases[] = {
        {"HTTP/1.1 404 Not Found\r\nContent-Length: 25\r\n\r\n"
         "{\"detail\":\"no such thing\"}",
         3},
        {"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 5},
        {"HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n", 4},
        {"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n", 6},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 6},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct guest g;
        struct user u;

        guest_start(&g, cases[i].reply, false);
        user_start(&u, &g, true);
        int status = user_end(&u);
        assert_int_equal(WEXITSTATUS(status), cases[i].exit);
        assert_non_null(strstr(buf_str(&u.seen), "virga: "));
        assert_false(is_raw(&u));
        guest_stop(&g);
        buf_release(&g.typed);
        user_release(&u);
    }
}

static void
console__piped_input_is_sent_and_the_answer_awaited(void **state)
{
    struct guest g;
    struct user u;

    guest_start(&g, NULL, false);
    user_start(&u, &g, false);
    /* Ctrl-] has no meaning here. */
    assert_int_equal(write(u.input, "uptime\n\035", 8), 8);
    closep(&u.input);
    int status = user_end(&u);
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_string_equal(buf_str(&u.seen), "login: uptime\n\035");
    guest_stop(&g);
    assert_non_null(strstr(buf_str(&g.typed), "uptime\n\035"));
    buf_release(&g.typed);
    user_release(&u);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(console__keys_reach_the_guest_and_ctrl_bracket_leaves),
        cmocka_unit_test(console__signal_gives_the_terminal_back),
        cmocka_unit_test(console__closed_by_the_other_side_ends_well),
        cmocka_unit_test(console__refusal_is_told_with_its_exit_code),
        cmocka_unit_test(console__piped_input_is_sent_and_the_answer_awaited),
    };

    unsetenv("VIRGA_TOKEN");
    unsetenv("VIRGA_CA");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
