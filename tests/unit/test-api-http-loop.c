/* test-api-http-loop.c - the server's threads: nothing that is resumed is
 * left lying, connections are counted and ended, whatever comes at once. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "api/http.h"
#include "api/http_share.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/mem.h"
#include "common/pki.h"

#define CLIENTS 24
#define REQUESTS 60
#define WAIT_MS 120000

/* Requests under /wait stand here until resumer() lets them go on. */
struct fixture {
    struct http_server *server;
    pthread_mutex_t lock;
    struct http_req *waiting[1024]; /* lock */
    int n;                          /* lock */
    _Atomic bool stop;
    _Atomic int replies;
};

static void
on_begin(struct http_req *rq, void *arg)
{
}

static enum http_next
on_handle(struct http_req *rq, void *arg)
{
    struct fixture *f = arg;

    if (strcmp(rq->path, "/wait") == 0 && !rq->user) {
        rq->user = f;
        pthread_mutex_lock(&f->lock);
        http_suspend(rq);
        f->waiting[f->n++] = rq;
        pthread_mutex_unlock(&f->lock);
        return HTTP_WAIT;
    }
    rq->status = 200;
    buf_adds(&rq->reply, "{}");
    atomic_fetch_add(&f->replies, 1);
    return HTTP_REPLY;
}

static void
on_end(struct http_req *rq, void *arg)
{
}

static const struct http_ops ops = {
    .begin = on_begin, .handle = on_handle, .end = on_end};

static int
resume_all(struct fixture *f, unsigned *seed)
{
    struct http_req *some[1024];
    bool together = rand_r(seed) % 2;

    pthread_mutex_lock(&f->lock);
    int n = f->n;
    memcpy(some, f->waiting, (size_t)n * sizeof(*some));
    f->n = 0;
    pthread_mutex_unlock(&f->lock);
    if (together)
        http_resume_hold();
    for (int i = 0; i < n; i++)
        http_resume(some[i]);
    if (together)
        http_resume_held();
    return n;
}

static void *
resumer(void *arg)
{
    struct fixture *f = arg;
    unsigned seed = (unsigned)(uintptr_t)&seed;

    while (!atomic_load(&f->stop))
        if (resume_all(f, &seed) == 0)
            sched_yield();
    return NULL;
}

static struct fixture *
start_with(const char *cert, const char *key, unsigned threads, unsigned max,
           unsigned per_address, unsigned idle_s)
{
    struct fixture *f = xnew(struct fixture);
    struct err e _cleanup_(err_release) = {0};
    struct http_config hc = {
        .listen = "127.0.0.1:0",
        .cert_pem = cert,
        .key_pem = key,
        .client_ca_pem = cert,
        .threads = threads,
        .max_connections = max,
        .max_per_address = per_address,
        .idle_timeout_s = idle_s,
        .ops = &ops,
        .arg = f,
    };

    pthread_mutex_init(&f->lock, NULL);
    if (http_start(&hc, &f->server, &e) < 0)
        fail_msg("%s", e.message);
    return f;
}

static struct fixture *
start(unsigned threads, unsigned max, unsigned per_address, unsigned idle_s)
{
    return start_with(NULL, NULL, threads, max, per_address, idle_s);
}

static void
finish(struct fixture *f)
{
    http_stop(f->server);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

static int
dial(struct fixture *f, const char *from)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)http_port(f->server))};
    struct sockaddr_in me = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    inet_pton(AF_INET, from, &me.sin_addr);
    if (bind(fd, (struct sockaddr *)&me, sizeof(me)) < 0 ||
        connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
        abort(); /* also on threads that are not the test's */
    return fd;
}

/* Whether the reply is 200; false when the connection ended instead. */
static bool
ask(int fd, const char *path)
{
    char text[512] = "";
    size_t n = 0;
    int len = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: v\r\n\r\n",
                       path);

    if (send(fd, text, (size_t)len, MSG_NOSIGNAL) != len)
        return false;
    text[0] = '\0';
    while (!strstr(text, "\r\n\r\n{}")) {
        struct pollfd p = {.fd = fd, .events = POLLIN};

        if (poll(&p, 1, WAIT_MS) != 1)
            return false;
        ssize_t r = recv(fd, text + n, sizeof(text) - 1 - n, 0);
        if (r <= 0)
            return false;
        n += (size_t)r;
        text[n] = '\0';
    }
    return strncmp(text, "HTTP/1.1 200", 12) == 0;
}

/* ---- cases ---- */

static void *
client(void *arg)
{
    struct fixture *f = arg;
    unsigned seed = (unsigned)(uintptr_t)&seed;
    int fd = dial(f, "127.0.0.1");
    intptr_t good = 0;

    for (int i = 0; i < REQUESTS; i++) {
        good += ask(fd, rand_r(&seed) % 4 ? "/wait" : "/now");
        if (rand_r(&seed) % 16 == 0) {
            close(fd);
            fd = dial(f, "127.0.0.1");
        }
    }
    close(fd);
    return (void *)good;
}

static void
resume__from_other_threads_loses_none(void **state)
{
    struct fixture *f = start(3, 640, 640, 60);
    pthread_t clients[CLIENTS], resumers[2];
    void *good;

    for (size_t i = 0; i < ARRAY_SIZE(resumers); i++)
        pthread_create(&resumers[i], NULL, resumer, f);
    for (int i = 0; i < CLIENTS; i++)
        pthread_create(&clients[i], NULL, client, f);
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i], &good);
        assert_int_equal((intptr_t)good, REQUESTS);
    }
    atomic_store(&f->stop, true);
    for (size_t i = 0; i < ARRAY_SIZE(resumers); i++)
        pthread_join(resumers[i], NULL);
    assert_int_equal(atomic_load(&f->replies), CLIENTS * REQUESTS);
    finish(f);
}

static void
connections__over_the_limits_are_refused(void **state)
{
    struct fixture *f = start(2, 10, 6, 60);
    int fd[12];

    for (int i = 0; i < 6; i++) {
        fd[i] = dial(f, "127.0.0.1");
        assert_true(ask(fd[i], "/now"));
    }
    int more = dial(f, "127.0.0.1");
    assert_false(ask(more, "/now")); /* of this address */
    close(more);
    for (int i = 6; i < 10; i++) {
        fd[i] = dial(f, "127.0.0.2");
        assert_true(ask(fd[i], "/now"));
    }
    more = dial(f, "127.0.0.3");
    assert_false(ask(more, "/now")); /* of all */
    close(more);
    /* What is given back is there again. */
    for (int i = 0; i < 10; i++)
        close(fd[i]);
    int64_t end = clock_mono_us() + WAIT_MS * INT64_C(1000);
    for (int left = 6; left;) {
        fd[left - 1] = dial(f, "127.0.0.1");
        if (ask(fd[left - 1], "/now"))
            left--;
        else
            close(fd[left - 1]);
        assert_true(clock_mono_us() < end);
    }
    for (int i = 0; i < 6; i++)
        close(fd[i]);
    finish(f);
}

static void
request__that_does_not_come_is_ended(void **state)
{
    struct fixture *f = start(2, 64, 64, 1);
    int fd = dial(f, "127.0.0.1");
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char c;
    int64_t start_us = clock_mono_us();

    /* Dripping keeps it from being silent, not from being late. */
    while (poll(&p, 1, 200) == 0 && clock_mono_us() - start_us < 60000000)
        if (send(fd, "G", 1, MSG_NOSIGNAL) < 0)
            break;
    assert_true(recv(fd, &c, 1, 0) <= 0);
    assert_true(clock_mono_us() - start_us >= 1900000);
    close(fd);
    finish(f);
}

static int64_t
cpu_us(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * US_PER_S +
           u.ru_utime.tv_usec + u.ru_stime.tv_usec;
}

static struct fixture *
start_tls(void)
{
    static const char *const sans[] = {"127.0.0.1"};
    char dir[] = "/tmp/virga-loop-XXXXXX";
    struct err e _cleanup_(err_release) = {0};
    char *cert _cleanup_(freep) = NULL;
    char *key _cleanup_(freep) = NULL;
    struct pki_ca *ca = NULL;

    assert_non_null(mkdtemp(dir));
    if (pki_ca_open(dir, &ca, &e) < 0 ||
        pki_issue_server(ca, sans, 1, 1, &cert, &key, &e) < 0)
        fail_msg("%s", e.message);
    struct fixture *f = start_with(cert, key, 2, 64, 64, 60);
    pki_ca_free(ca);
    assert_int_equal(fs_remove_tree(dir, NULL), 0);
    return f;
}

static ssize_t
read_nothing(gnutls_transport_ptr_t p, void *data, size_t n)
{
    errno = EAGAIN;
    return -1;
}

static ssize_t
read_socket(gnutls_transport_ptr_t p, void *data, size_t n)
{
    return recv((int)(intptr_t)p, data, n, 0);
}

/* A client's side up to its first wait. */
static int
shake(gnutls_session_t s, gnutls_certificate_credentials_t none, int fd)
{
    gnutls_set_default_priority(s);
    gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, none);
    gnutls_transport_set_int(s, fd);
    gnutls_transport_set_pull_function(s, read_nothing);
    return gnutls_handshake(s);
}

/* Connects; the server has answered, and waits for the rest of the handshake.
 */
static int
shake_half(struct fixture *f, gnutls_session_t *s,
           gnutls_certificate_credentials_t none)
{
    struct pollfd p = {.fd = dial(f, "127.0.0.1"), .events = POLLIN};

    fcntl(p.fd, F_SETFL, O_NONBLOCK);
    gnutls_init(s, GNUTLS_CLIENT | GNUTLS_NONBLOCK);
    assert_int_equal(shake(*s, none, p.fd), GNUTLS_E_AGAIN);
    assert_int_equal(poll(&p, 1, WAIT_MS), 1);
    return p.fd;
}

static void
handshake__left_in_the_middle_costs_nothing(void **state)
{
    struct fixture *f = start_tls();
    gnutls_certificate_credentials_t none;
    gnutls_session_t s[3];
    int fd[ARRAY_SIZE(s)];
    struct timespec second = {.tv_sec = 1};

    gnutls_certificate_allocate_credentials(&none);
    for (size_t i = 0; i < ARRAY_SIZE(s); i++)
        fd[i] = shake_half(f, &s[i], none);
    int64_t before = cpu_us();
    nanosleep(&second, NULL);
    assert_true(cpu_us() - before < US_PER_S / 5);
    /* It goes on when the client does. */
    for (size_t i = 0; i < ARRAY_SIZE(s); i++) {
        int r;

        gnutls_transport_set_pull_function(s[i], read_socket);
        while ((r = gnutls_handshake(s[i])) == GNUTLS_E_AGAIN) {
            struct pollfd p = {.fd = fd[i], .events = POLLIN};

            assert_int_equal(poll(&p, 1, WAIT_MS), 1);
        }
        assert_int_equal(r, 0);
        gnutls_deinit(s[i]);
        close(fd[i]);
    }
    gnutls_certificate_free_credentials(none);
    finish(f);
}

/* Sends n bytes as the body of one request; whether the reply is 200. */
static bool
upload(gnutls_session_t s, const char *bytes, size_t n)
{
    char text[512];
    int len = snprintf(text, sizeof(text),
                       "PUT /now HTTP/1.1\r\nHost: v\r\nContent-Length: "
                       "%zu\r\n\r\n",
                       n);

    if (gnutls_record_send(s, text, (size_t)len) != len)
        return false;
    for (ssize_t r; n; bytes += r, n -= (size_t)r)
        if ((r = gnutls_record_send(s, bytes, n)) <= 0)
            return false;
    len = 0;
    text[0] = '\0';
    while (!strstr(text, "\r\n\r\n{}")) {
        ssize_t r =
            gnutls_record_recv(s, text + len, sizeof(text) - 1 - (size_t)len);

        if (r <= 0)
            return false;
        len += (int)r;
        text[len] = '\0';
    }
    return strncmp(text, "HTTP/1.1 200", 12) == 0;
}

/* What was decrypted is read on, whoever else is in a handshake. At a record
 * for each sweep this would take minutes. */
static void
body__is_read_without_pause(void **state)
{
    enum { BODY = 1000000, BODIES = 32 };
    struct fixture *f = start_tls();
    gnutls_certificate_credentials_t none;
    gnutls_session_t s[4], good;
    int fd[ARRAY_SIZE(s)];
    char *body _cleanup_(freep) = xcalloc(1, BODY);

    gnutls_certificate_allocate_credentials(&none);
    for (int others = 0; others < 2; others++) {
        for (size_t i = 0; others && i < ARRAY_SIZE(s); i++)
            fd[i] = shake_half(f, &s[i], none);
        int mine = dial(f, "127.0.0.1");
        int64_t start_us = clock_mono_us();
        gnutls_init(&good, GNUTLS_CLIENT);
        gnutls_set_default_priority(good);
        gnutls_credentials_set(good, GNUTLS_CRD_CERTIFICATE, none);
        gnutls_transport_set_int(good, mine);
        assert_int_equal(gnutls_handshake(good), 0);
        for (int i = 0; i < BODIES; i++)
            assert_true(upload(good, body, BODY));
        assert_true(clock_mono_us() - start_us < 40 * US_PER_S);
        gnutls_deinit(good);
        close(mine);
        for (size_t i = 0; others && i < ARRAY_SIZE(s); i++) {
            gnutls_deinit(s[i]);
            close(fd[i]);
        }
    }
    gnutls_certificate_free_credentials(none);
    finish(f);
}

static void
stop__closes_what_is_open(void **state)
{
    for (int round = 0; round < 20; round++) {
        struct fixture *f = start(3, 640, 640, 60);
        int fd[8];
        char c;

        for (size_t i = 0; i < ARRAY_SIZE(fd); i++) {
            fd[i] = dial(f, "127.0.0.1");
            if (i % 2)
                assert_true(ask(fd[i], "/now"));
        }
        finish(f);
        for (size_t i = 0; i < ARRAY_SIZE(fd); i++) {
            assert_true(recv(fd[i], &c, 1, 0) <= 0);
            close(fd[i]);
        }
    }
}

static void
share__is_what_was_taken(void **state)
{
    struct http_share *s = http_share_new(50, 7);
    unsigned seed = 7, n[20] = {0}, all = 0;

    for (int i = 0; i < 200000; i++) {
        unsigned who = (unsigned)rand_r(&seed) % ARRAY_SIZE(n);

        if (rand_r(&seed) % 2) {
            bool want = all < 50 && (!who || n[who] < 7);

            assert_int_equal(http_share_take(s, who), want);
            n[who] += want;
            all += want;
        } else if (n[who]) {
            http_share_give(s, who);
            n[who]--;
            all--;
        }
    }
    http_share_free(s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resume__from_other_threads_loses_none),
        cmocka_unit_test(connections__over_the_limits_are_refused),
        cmocka_unit_test(request__that_does_not_come_is_ended),
        cmocka_unit_test(handshake__left_in_the_middle_costs_nothing),
        cmocka_unit_test(body__is_read_without_pause),
        cmocka_unit_test(stop__closes_what_is_open),
        cmocka_unit_test(share__is_what_was_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
