/* test-vmm-control.c - the control socket against good and bad clients. The
 * VM's side is a table of functions that only notes what it was asked. Over
 * 800 lines: all cases share it and the clients. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/clock.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/control.h"

/* The server's clock, which tests put forward. */
static int64_t ahead_us;
int64_t __real_clock_mono_us(void);
int64_t __wrap_clock_mono_us(void);

int64_t
__wrap_clock_mono_us(void)
{
    return __real_clock_mono_us() + ahead_us;
}

struct fake {
    struct control *c;
    struct sockaddr_un at;
    socklen_t at_len;
    int fds_before;
    enum control_verb last;
    unsigned n_requests, n_cancelled;
    uint64_t ticket; /* of the last that waits */
    char *big;       /* a result */
    char input[100000];
    size_t input_n, room;
    int disk_fd; /* of the last attach-disk */
};

static int
request(void *self, struct control_request *q, uint64_t ticket,
        struct buf *result, struct err *reterr)
{
    struct fake *f = self;

    f->last = q->verb;
    f->n_requests++;
    switch (q->verb) {
    case CONTROL_WAIT:
        f->ticket = ticket;
        return CONTROL_LATER;
    case CONTROL_PAUSE:
        return err_set(reterr, -EBUSY, "busy", "not now");
    case CONTROL_RESUME:
        return -EIO; /* without a reason: one is made */
    case CONTROL_STATS:
        buf_adds(result, f->big ? f->big : "{}");
        return 0;
    case CONTROL_ATTACH_DISK: {
        struct spec_disk d = control_request_take_disk(q);

        f->disk_fd = (int)d.fd;
        d.fd = -1;
        spec_disk_release(&d);
        buf_adds(result, "{\"slot\":5}");
        return 0;
    }
    default:
        buf_addf(result, "{\"n\":%u}", f->n_requests);
        return 0;
    }
}

static void
cancel(void *self, uint64_t ticket)
{
    struct fake *f = self;

    assert_int_equal(ticket, f->ticket);
    f->n_cancelled++;
}

static size_t
console_room(void *self)
{
    struct fake *f = self;

    return f->room;
}

static void
console_input(void *self, const void *data, size_t n)
{
    struct fake *f = self;

    assert_true(n <= f->room);
    f->room -= n;
    memcpy(f->input + f->input_n, data, n);
    f->input_n += n;
}

static const struct control_ops ops = {request, cancel, console_room,
                                       console_input};

static int
count_fds(void)
{
    DIR *d _cleanup_(closedirp) = opendir("/proc/self/fd");
    int n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    return n;
}

static int
setup(void **state)
{
    struct fake *f = xnew(struct fake);
    struct sockaddr *sa = (struct sockaddr *)&f->at;
    int fd;

    ahead_us = 0;
    f->fds_before = count_fds();
    f->disk_fd = -1;
    f->at.sun_family = AF_UNIX;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* The kernel finds a name (unix(7), autobind). */
    assert_int_equal(bind(fd, sa, sizeof(sa_family_t)), 0);
    assert_int_equal(listen(fd, 32), 0);
    f->at_len = sizeof(f->at);
    assert_int_equal(getsockname(fd, sa, &f->at_len), 0);
    assert_int_equal(control_new(fd, &ops, f, &f->c, NULL), 0);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fake *f = *state;

    control_free(f->c);
    closep(&f->disk_fd);
    assert_int_equal(count_fds(), f->fds_before);
    free(f->big);
    free(f);
    return 0;
}

/* Until the server has nothing to do. */
static void
settle(struct fake *f)
{
    struct pollfd p = {.fd = control_fd(f->c), .events = POLLIN};

    control_turn(f->c);
    while (poll(&p, 1, 0) > 0 || control_timeout_ms(f->c) == 0)
        control_turn(f->c);
}

static int
client(struct fake *f)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (const struct sockaddr *)&f->at, f->at_len),
                     0);
    settle(f);
    return fd;
}

static void
say(struct fake *f, int fd, const char *text)
{
    size_t n = strlen(text);

    while (n) {
        ssize_t sent = send(fd, text, n, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent < 0 && errno == EPIPE)
            return; /* the server has had enough */
        assert_true(sent > 0 || errno == EAGAIN);
        settle(f);
        if (sent > 0) {
            text += sent;
            n -= (size_t)sent;
        }
    }
    settle(f);
}

/* All that has come; "" at the end, too. Freed with the next call. */
static const char *
hear(int fd)
{
    static char text[1 << 20];
    size_t n = 0;

    for (;;) {
        ssize_t got = recv(fd, text + n, sizeof(text) - 1 - n, MSG_DONTWAIT);

        if (got <= 0)
            break;
        n += (size_t)got;
    }
    text[n] = '\0';
    return text;
}

static bool
is_closed(int fd)
{
    char c;

    return recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) == 0 || errno == ECONNRESET;
}

static void
send_fds(struct fake *f, int fd, const char *text, const int *fds, size_t n)
{
    struct iovec iov = {.iov_base = (char *)(uintptr_t)text,
                        .iov_len = strlen(text)};
    struct {
        _Alignas(struct cmsghdr) char bytes[CMSG_SPACE(sizeof(int) * 64)];
    } control = {0};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = CMSG_SPACE(n * sizeof(int))};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);

    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(h), fds, n * sizeof(int));
    assert_int_equal(sendmsg(fd, &m, MSG_DONTWAIT), strlen(text));
}

#define ASK(VERB) "{\"v\":1,\"id\":7,\"do\":\"" VERB "\"}\n"

/* ---- lines ---- */

static void
request__is_answered_with_its_id(void **state)
{
    struct fake *f = *state;
    int fd _cleanup_(closep) = client(f);

    say(f, fd, ASK("describe"));
    assert_string_equal(hear(fd), "{\"v\":1,\"id\":7,\"result\":{\"n\":1}}\n");
    say(f, fd, "{\"v\":1,\"do\":\"describe\"}\r\n");
    assert_string_equal(hear(fd), "{\"v\":1,\"id\":0,\"result\":{\"n\":2}}\n");
}

static void
requests__of_one_write_are_answered_in_order(void **state)
{
    struct fake *f = *state;
    int fd _cleanup_(closep) = client(f);

    say(f, fd, ASK("describe") ASK("pause") ASK("describe"));
    assert_string_equal(hear(fd),
                        "{\"v\":1,\"id\":7,\"result\":{\"n\":1}}\n"
                        "{\"v\":1,\"id\":7,\"error\":{\"code\":\"busy\","
                        "\"message\":\"not now\"}}\n"
                        "{\"v\":1,\"id\":7,\"result\":{\"n\":3}}\n");
}

static void
request__in_single_bytes_is_one(void **state)
{
    struct fake *f = *state;
    int fd _cleanup_(closep) = client(f);
    const char *text = ASK("describe");

    for (const char *p = text; *p; p++) {
        char one[2] = {*p, '\0'};

        assert_string_equal(hear(fd), "");
        say(f, fd, one);
    }
    assert_non_null(strstr(hear(fd), "\"result\""));
}

static void
request__with_a_fault_names_the_field(void **state)
{
    static const struct {
        const char *line, *code, *field;
    } faults[] = {
        {"{\"v\":2,\"id\":7,\"do\":\"describe\"}", "version", NULL},
        {"{\"id\":7,\"do\":\"describe\"}", "invalid", "/v"},
        {"{\"v\":1,\"id\":7}", "invalid", "/do"},
        {"{\"v\":1,\"id\":7,\"do\":\"frobnicate\"}", "invalid", "/do"},
        {"{\"v\":1,\"id\":7,\"do\":7}", "invalid", "/do"},
        {"{\"v\":1,\"id\":\"7\",\"do\":\"stop\"}", "invalid", "/id"},
        {"{\"v\":1,\"id\":7,\"do\":\"stop\",\"now\":1}", "invalid", "/now"},
        {"{\"v\":1,\"id\":7,\"do\":\"link\",\"nic\":\"a\"}", "invalid", "/up"},
        {"{\"v\":1,\"id\":7,\"do\":\"link\",\"up\":true}", "invalid", "/nic"},
        {"{\"v\":1,\"id\":7,\"do\":\"balloon\",\"target_bytes\":-1}", "invalid",
         "/target_bytes"},
        {"{\"v\":1,\"id\":7,\"do\":\"limits\"}", "invalid", "/disk"},
        {"{\"v\":1,\"id\":7,\"do\":\"limits\",\"disk\":\"a\",\"nic\":\"b\"}",
         "invalid", "/nic"},
        {"{\"v\":1,\"id\":7,\"do\":\"limits\",\"disk\":\"a\"}", "invalid",
         "/limits"},
        {"{\"v\":1,\"id\":7,\"do\":\"limits\",\"disk\":\"a\",\"limits\":{},"
         "\"rx_limits\":{}}",
         "invalid", "/rx_limits"},
        {"{\"v\":1,\"id\":7,\"do\":\"limits\",\"nic\":\"a\",\"limits\":{}}",
         "invalid", "/limits"},
        {"{\"v\":1,\"id\":7,\"do\":\"limits\",\"nic\":\"a\"}", "invalid",
         "/rx_limits"},
        {"{\"v\":1,\"id\":7,\"do\":\"limits\",\"disk\":\"a\",\"limits\":"
         "{\"ops_per_s\":-5}}",
         "invalid", "/limits/ops_per_s"},
        {"{\"v\":1,\"id\":7,\"do\":\"attach-disk\",\"disk\":"
         "{\"name\":\"a\",\"fd\":0}}",
         "invalid", "/disk/fd"},
        {"{\"v\":1,\"id\":7,\"do\":\"attach-disk\",\"disk\":"
         "{\"name\":\"\",\"fd\":0}}",
         "invalid", "/disk/name"},
        {"{\"v\":1,\"id\":7,\"do\":\"attach-disk\"}", "invalid", "/disk"},
        {"{\"v\":1,\"id\":7,\"do\":\"attach-nic\",\"nic\":{\"name\":\"a\","
         "\"fds\":[0],\"mac\":\"52:54:00:00:00:01\"}}",
         "invalid", "/nic/fds/0"},
        {"{\"v\":1,\"id\":7,\"do\":\"attach-nic\",\"nic\":{\"name\":\"a\","
         "\"fds\":[],\"mac\":\"52:54:00:00:00:01\"}}",
         "invalid", "/nic/fds"},
        {"{\"v\":1,\"id\":7,\"do\":\"resume\"}", "io", NULL},
        {"[]", "invalid", ""},
        {"7", "bad_json", NULL},
    };
    struct fake *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        int fd _cleanup_(closep) = client(f);
        char want[100];
        const char *got;

        say(f, fd, faults[i].line);
        say(f, fd, "\n");
        got = hear(fd);
        print_message("%s -> %s", faults[i].line, got);
        snprintf(want, sizeof(want), "\"field\":\"%s\"",
                 faults[i].field ? faults[i].field : "");
        if (faults[i].field)
            assert_non_null(strstr(got, want));
        else
            assert_null(strstr(got, "\"field\""));
        snprintf(want, sizeof(want), "\"code\":\"%s", faults[i].code);
        assert_non_null(strstr(got, want));
        if (strcmp(faults[i].code, "version") == 0)
            assert_non_null(strstr(got, "\"versions\":[1]"));
    }
}

static void
line__that_is_no_json_closes_after_an_error(void **state)
{
    static const char *const lines[] = {"\n",
                                        "hello\n",
                                        "{\n",
                                        "{\"v\":1,\"v\":1}\n",
                                        "{\"v\":1,\"do\":\"\xff\xfe\"}\n",
                                        "{\"v\":1e999}\n",
                                        "{\"v\":99999999999999999999}\n"};
    struct fake *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        int fd _cleanup_(closep) = client(f);

        say(f, fd, lines[i]);
        assert_non_null(strstr(hear(fd), "\"bad_json\""));
        assert_true(is_closed(fd));
    }
    assert_int_equal(f->n_requests, 0);
}

static void
line__as_deep_as_it_is_long_closes(void **state)
{
    struct fake *f = *state;
    int fd _cleanup_(closep) = client(f);
    char *deep _cleanup_(freep) = xmalloc(60002);

    memset(deep, '[', 60000);
    memcpy(deep + 60000, "\n", 2);
    say(f, fd, deep);
    assert_non_null(strstr(hear(fd), "\"bad_json\""));
    assert_true(is_closed(fd));
}

static void
line__without_end_closes(void **state)
{
    struct fake *f = *state;
    int fd _cleanup_(closep) = client(f);
    char *endless _cleanup_(freep) = xcalloc(1, 3 * CONTROL_LINE_MAX);

    memset(endless, ' ', 3 * CONTROL_LINE_MAX - 1);
    say(f, fd, endless);
    assert_non_null(strstr(hear(fd), "\"too_long\""));
    assert_true(is_closed(fd));
}

static void
line__of_just_the_limit_is_taken(void **state)
{
    struct fake *f = *state;
    int fd _cleanup_(closep) = client(f);
    char *full _cleanup_(freep) = xcalloc(1, CONTROL_LINE_MAX + 1);
    const char *text = "{\"v\":1,\"do\":\"stop\"}";

    memset(full, ' ', CONTROL_LINE_MAX);
    memcpy(full, text, strlen(text));
    full[CONTROL_LINE_MAX - 1] = '\n';
    say(f, fd, full);
    assert_non_null(strstr(hear(fd), "\"result\""));
    assert_int_equal(f->last, CONTROL_STOP);
}

static void
line__with_a_nul_is_refused(void **state)
{
    struct fake *f = *state;
    int fd _cleanup_(closep) = client(f);
    static const char line[] = "{\"v\":1,\"do\":\"stop\"}\0{}\n";

    assert_int_equal(send(fd, line, sizeof(line) - 1, 0), sizeof(line) - 1);
    settle(f);
    assert_non_null(strstr(hear(fd), "\"bad_json\""));
    assert_int_equal(f->n_requests, 0);
}

/* ---- connections ---- */

static void
connections__beyond_the_most_are_refused(void **state)
{
    struct fake *f = *state;
    int fds[CONTROL_CONNECTIONS], more;

    for (size_t i = 0; i < CONTROL_CONNECTIONS; i++)
        fds[i] = client(f);
    more = client(f);
    assert_non_null(strstr(hear(more), "\"too_many_connections\""));
    assert_true(is_closed(more));
    closep(&more);
    for (size_t i = 0; i < CONTROL_CONNECTIONS; i++) {
        say(f, fds[i], ASK("describe"));
        assert_non_null(strstr(hear(fds[i]), "\"result\""));
    }
    closep(&fds[3]);
    settle(f);
    fds[3] = client(f);
    say(f, fds[3], ASK("describe"));
    assert_non_null(strstr(hear(fds[3]), "\"result\""));
    for (size_t i = 0; i < CONTROL_CONNECTIONS; i++)
        closep(&fds[i]);
    settle(f);
}

static void
client__that_does_not_read_is_dropped_in_time(void **state)
{
    struct fake *f = *state;
    int fd _cleanup_(closep) = client(f);
    int other _cleanup_(closep) = client(f);
    unsigned before;

    f->big = xcalloc(1, 100001);
    memset(f->big, '1', 100000);
    /* Asks and asks; the server stops to listen when the socket is full. */
    for (int i = 0; i < 1000; i++) {
        const char *ask = ASK("stats");

        if (send(fd, ask, strlen(ask), MSG_DONTWAIT) < 0)
            break;
        settle(f);
    }
    before = f->n_requests;
    assert_in_range(before, 1, 50);
    assert_in_range(control_timeout_ms(f->c), 1, CONTROL_STALL_MS + 1);
    say(f, other, ASK("describe"));
    assert_non_null(strstr(hear(other), "\"result\""));
    ahead_us = (CONTROL_STALL_MS + 1) * INT64_C(1000);
    settle(f);
    assert_int_equal(control_timeout_ms(f->c), -1);
    hear(fd); /* what had been sent */
    assert_true(is_closed(fd));
    assert_int_equal(f->n_requests, before + 1);
}

static void
client__that_reads_late_gets_all(void **state)
{
    struct fake *f = *state;
    int fd _cleanup_(closep) = client(f);
    size_t got = 0;

    f->big = xcalloc(1, 100001);
    memset(f->big, '1', 100000);
    for (int i = 0; i < 20; i++) {
        const char *ask = ASK("stats");

        assert_true(send(fd, ask, strlen(ask), MSG_DONTWAIT) > 0);
        settle(f);
    }
    assert_in_range(f->n_requests, 1, 19);
    for (int i = 0; i < 100 && f->n_requests < 20; i++) {
        got += strlen(hear(fd));
        settle(f);
    }
    got += strlen(hear(fd));
    assert_int_equal(f->n_requests, 20);
    assert_in_range(got, 20 * 100000, 20 * 100100);
}

static void
client__that_goes_after_asking_is_heard(void **state)
{
    struct fake *f = *state;
    int fd = client(f);
    const char *ask = ASK("stop");

    assert_true(send(fd, ask, strlen(ask), 0) > 0);
    closep(&fd);
    settle(f);
    assert_int_equal(f->n_requests, 1);
    assert_int_equal(f->last, CONTROL_STOP);
}

static void
client__that_shut_its_end_still_gets_answers(void **state)
{
    struct fake *f = *state;
    int fd _cleanup_(closep) = client(f);

    say(f, fd, ASK("wait"));
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    settle(f);
    assert_int_equal(f->n_cancelled, 0);
    control_answer(f->c, f->ticket, "{\"end\":\"reset\"}", NULL);
    settle(f);
    assert_string_equal(hear(fd),
                        "{\"v\":1,\"id\":7,\"result\":{\"end\":\"reset\"}}\n");
    assert_true(is_closed(fd));
}

/* ---- answers that come later ---- */

static void
wait__holds_up_nobody_else(void **state)
{
    struct fake *f = *state;
    int a _cleanup_(closep) = client(f);
    int b _cleanup_(closep) = client(f);
    uint64_t ticket;

    say(f, a, ASK("wait") ASK("describe"));
    assert_string_equal(hear(a), "");
    ticket = f->ticket;
    say(f, b, ASK("describe"));
    assert_non_null(strstr(hear(b), "\"n\":2"));
    control_answer(f->c, ticket, "{}", NULL);
    /* The next one is taken by the server's turn, not amid the answer. */
    assert_int_equal(f->n_requests, 2);
    assert_int_equal(control_timeout_ms(f->c), 0);
    settle(f);
    assert_string_equal(hear(a), "{\"v\":1,\"id\":7,\"result\":{}}\n"
                                 "{\"v\":1,\"id\":7,\"result\":{\"n\":3}}\n");
    control_answer(f->c, ticket, "{}", NULL); /* twice is nothing */
    assert_string_equal(hear(a), "");
}

static void
wait__of_a_client_that_went_is_cancelled(void **state)
{
    struct fake *f = *state;
    int fd = client(f), again;

    say(f, fd, ASK("wait"));
    closep(&fd);
    settle(f);
    assert_int_equal(f->n_cancelled, 1);
    /* Its place has another client now, who gets no answer of the first. */
    again = client(f);
    control_answer(f->c, f->ticket, "{}", NULL);
    settle(f);
    assert_string_equal(hear(again), "");
    closep(&again);
    settle(f);
}

static void
wait__may_end_in_an_error(void **state)
{
    struct fake *f = *state;
    int fd _cleanup_(closep) = client(f);
    struct err e _cleanup_(err_release) = {0};

    say(f, fd, ASK("wait"));
    err_set(&e, -ETIMEDOUT, "guest_busy", "it does not let go");
    control_answer(f->c, f->ticket, NULL, &e);
    assert_non_null(strstr(hear(fd), "\"code\":\"guest_busy\""));
    settle(f);
}

/* ---- descriptors ---- */

#define ATTACH                                                                 \
    "{\"v\":1,\"id\":7,\"do\":\"attach-disk\",\"disk\":{\"name\":\"a\","       \
    "\"fd\":%d}}\n"

static int
a_file(void)
{
    return memfd_create("disk", MFD_CLOEXEC);
}

static void
descriptor__goes_to_the_request_that_it_came_with(void **state)
{
    struct fake *f = *state;
    int fd _cleanup_(closep) = client(f);
    int files[3] = {a_file(), a_file(), a_file()};
    char ask[200];

    assert_int_equal(ftruncate(files[1], 4711), 0);
    snprintf(ask, sizeof(ask), ATTACH, 1);
    /* Others before and behind, all in the socket at once. */
    assert_true(send(fd, ASK("describe"), strlen(ASK("describe")), 0) > 0);
    send_fds(f, fd, ask, files, 3);
    assert_true(send(fd, ASK("describe"), strlen(ASK("describe")), 0) > 0);
    settle(f);
    assert_int_equal(f->n_requests, 3);
    assert_non_null(strstr(hear(fd), "\"slot\":5"));
    assert_true(f->disk_fd >= 0);
    assert_int_equal(lseek(f->disk_fd, 0, SEEK_END), 4711);
    assert_true(fcntl(f->disk_fd, F_GETFD) & FD_CLOEXEC);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        closep(&files[i]);
    /* server's listener, epoll and connection; our end; the disk */
    assert_int_equal(count_fds(), f->fds_before + 5);
}

static void
descriptors__that_nobody_wants_are_closed(void **state)
{
    struct fake *f = *state;
    int fd _cleanup_(closep) = client(f);
    int files[2] = {a_file(), a_file()};
    int before = count_fds();
    char ask[200];

    send_fds(f, fd, ASK("describe"), files, 2);
    settle(f);
    assert_int_equal(count_fds(), before);
    send_fds(f, fd, "{\"v\":1,", files, 2); /* half a line, then gone */
    settle(f);
    assert_int_equal(count_fds(), before + 2);
    closep(&fd);
    settle(f);
    assert_int_equal(count_fds(), before - 2);
    fd = client(f);
    snprintf(ask, sizeof(ask), ATTACH, 2); /* beyond what was sent */
    send_fds(f, fd, ask, files, 2);
    settle(f);
    assert_non_null(strstr(hear(fd), "\"field\":\"/disk/fd\""));
    assert_int_equal(count_fds(), before);
    closep(&files[0]);
    closep(&files[1]);
}

static void
descriptors__of_the_wrong_kind_are_refused(void **state)
{
    struct fake *f = *state;
    int fd _cleanup_(closep) = client(f);
    int pipes[2];
    char ask[200];

    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    snprintf(ask, sizeof(ask), ATTACH, 0);
    send_fds(f, fd, ask, pipes, 1);
    settle(f);
    assert_non_null(strstr(hear(fd), "\"field\":\"/disk/fd\""));
    assert_int_equal(f->n_requests, 0);
    closep(&pipes[0]);
    closep(&pipes[1]);
}

static void
descriptors__beyond_the_most_close_the_connection(void **state)
{
    struct fake *f = *state;
    int fd _cleanup_(closep) = client(f);
    int files[CONTROL_FDS + 1], before;

    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        files[i] = a_file();
    before = count_fds();
    send_fds(f, fd, ASK("describe"), files, ARRAY_SIZE(files));
    settle(f);
    assert_non_null(strstr(hear(fd), "\"too_many_descriptors\""));
    assert_true(is_closed(fd));
    assert_int_equal(count_fds(), before - 1);
    assert_int_equal(f->n_requests, 0);
    closep(&fd);
    /* Nor bit by bit, over one line. */
    fd = client(f);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        if (is_closed(fd))
            break;
        send_fds(f, fd, " ", &files[i], 1);
        settle(f);
    }
    assert_non_null(strstr(hear(fd), "\"too_many_descriptors\""));
    assert_int_equal(count_fds(), before - 1);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        closep(&files[i]);
}

/* ---- console ---- */

static void
console__goes_both_ways(void **state)
{
    struct fake *f = *state;
    int a _cleanup_(closep) = client(f);
    int b _cleanup_(closep) = client(f);

    f->room = 100;
    assert_false(control_has_console(f->c));
    say(f, a, ASK("console") "first");
    assert_true(control_has_console(f->c));
    assert_string_equal(hear(a), "{\"v\":1,\"id\":7,\"result\":{}}\n");
    control_console_output(f->c, "login: ", 7);
    assert_string_equal(hear(a), "login: ");
    assert_string_equal(hear(b), "");
    say(f, a, "{\"v\":1,\"do\":\"stop\"}\n"); /* to the guest now */
    assert_int_equal(f->n_requests, 0);
    assert_memory_equal(f->input, "first{\"v\":1", 11);
    closep(&a);
    settle(f);
    assert_false(control_has_console(f->c));
}

static void
console__waits_for_room(void **state)
{
    struct fake *f = *state;
    int fd _cleanup_(closep) = client(f);

    f->room = 3;
    say(f, fd, ASK("console"));
    say(f, fd, "abcdefgh");
    assert_int_equal(f->input_n, 3);
    f->room = 2;
    control_console_ready(f->c);
    settle(f);
    assert_int_equal(f->input_n, 5);
    f->room = 100;
    control_console_ready(f->c);
    settle(f);
    assert_int_equal(f->input_n, 8);
    assert_memory_equal(f->input, "abcdefgh", 8);
}

static void
console__of_a_client_that_left_keeps_what_it_typed(void **state)
{
    struct fake *f = *state;
    int fd = client(f), before;

    f->room = 3;
    say(f, fd, ASK("console"));
    before = count_fds();
    assert_int_equal(send(fd, "abcdefgh", 8, 0), 8);
    closep(&fd);
    settle(f);
    assert_int_equal(f->input_n, 3);
    assert_int_equal(count_fds(), before - 2); /* both ends */
    assert_true(control_timeout_ms(f->c) > 0); /* not for ever */
    control_console_output(f->c, "x", 1);      /* nobody reads it */
    f->room = 100;
    control_console_ready(f->c);
    settle(f);
    assert_memory_equal(f->input, "abcdefgh", 8);
    assert_int_equal(f->input_n, 8);
    assert_int_equal(control_timeout_ms(f->c), -1);
}

static void
console__of_a_slow_reader_misses_output_and_counts(void **state)
{
    struct fake *f = *state;
    int slow _cleanup_(closep) = client(f);
    int good _cleanup_(closep) = client(f);
    static char block[4096];
    size_t n = 0;

    memset(block, 'x', sizeof(block));
    say(f, slow, ASK("console"));
    say(f, good, ASK("console"));
    hear(good);
    for (int i = 0; i < 1000; i++) {
        control_console_output(f->c, block, sizeof(block));
        n += strlen(hear(good));
    }
    assert_int_equal(n, 1000 * sizeof(block));
    assert_true(control_console_dropped(f->c) > 0);
    ahead_us = (CONTROL_STALL_MS + 1) * INT64_C(1000);
    settle(f);
    assert_false(is_closed(slow)); /* a person may look away */
    hear(slow);
    settle(f);
    hear(slow);
    control_console_output(f->c, "back", 4);
    assert_string_equal(hear(slow), "back");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define T(F) cmocka_unit_test_setup_teardown(F, setup, teardown)
        T(request__is_answered_with_its_id),
        T(requests__of_one_write_are_answered_in_order),
        T(request__in_single_bytes_is_one),
        T(request__with_a_fault_names_the_field),
        T(line__that_is_no_json_closes_after_an_error),
        T(line__as_deep_as_it_is_long_closes),
        T(line__without_end_closes),
        T(line__of_just_the_limit_is_taken),
        T(line__with_a_nul_is_refused),
        T(connections__beyond_the_most_are_refused),
        T(client__that_does_not_read_is_dropped_in_time),
        T(client__that_reads_late_gets_all),
        T(client__that_goes_after_asking_is_heard),
        T(client__that_shut_its_end_still_gets_answers),
        T(wait__holds_up_nobody_else),
        T(wait__of_a_client_that_went_is_cancelled),
        T(wait__may_end_in_an_error),
        T(descriptor__goes_to_the_request_that_it_came_with),
        T(descriptors__that_nobody_wants_are_closed),
        T(descriptors__of_the_wrong_kind_are_refused),
        T(descriptors__beyond_the_most_close_the_connection),
        T(console__goes_both_ways),
        T(console__waits_for_room),
        T(console__of_a_client_that_left_keeps_what_it_typed),
        T(console__of_a_slow_reader_misses_output_and_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
