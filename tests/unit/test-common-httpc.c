/* test-common-httpc.c - the HTTPS client against our own server: trust, caps,
 * deadlines, files, abort. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#include "api/http.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/httpc.h"
#include "common/mem.h"
#include "common/pki.h"

struct fixture {
    char dir[40], url[40], ca_file[64], file[64];
    struct http_server *server;
    pthread_mutex_t lock;
    struct http_req *held; /* lock; suspended until release() */
    bool open;             /* lock: /hold is answered from now on */
};

/* ---- the server's side ---- */

static void
on_begin(struct http_req *rq, void *arg)
{
}

static enum http_next
on_handle(struct http_req *rq, void *arg)
{
    struct fixture *f = arg;
    const char *auth = http_header(rq, "Authorization");
    const char *type = http_header(rq, "Content-Type");

    rq->status = 200;
    if (streq(rq->path, "/echo")) {
        http_add_header(rq, "X-Method", "%s", rq->method);
        http_add_header(rq, "X-Auth", "%s", auth ? auth : "none");
        http_add_header(rq, "X-Type", "%s", type ? type : "none");
        buf_add(&rq->reply, rq->body.data, rq->body.len);
    } else if (streq(rq->path, "/big")) {
        memset(buf_reserve(&rq->reply, 100000), 'x', 100000);
        rq->reply.len = 100000;
        rq->reply.data[100000] = '\0';
    } else if (streq(rq->path, "/refuse")) {
        rq->status = 409;
        buf_adds(&rq->reply, "{\"code\":\"no\"}");
    } else if (streq(rq->path, "/hold")) {
        pthread_mutex_lock(&f->lock);
        bool wait = !f->open;
        if (wait) {
            http_suspend(rq);
            f->held = rq;
        }
        pthread_mutex_unlock(&f->lock);
        rq->status = wait ? 0 : 200;
        return wait ? HTTP_WAIT : HTTP_REPLY;
    }
    return HTTP_REPLY;
}

static void
on_end(struct http_req *rq, void *arg)
{
    struct fixture *f = arg;

    pthread_mutex_lock(&f->lock);
    if (f->held == rq)
        f->held = NULL;
    pthread_mutex_unlock(&f->lock);
}

static const struct http_ops ops = {
    .begin = on_begin, .handle = on_handle, .end = on_end};

static void
release(struct fixture *f)
{
    pthread_mutex_lock(&f->lock);
    f->open = true;
    if (f->held)
        http_resume(f->held);
    f->held = NULL;
    pthread_mutex_unlock(&f->lock);
}

static int
setup(void **state)
{
    static const char *const sans[] = {"127.0.0.1"};
    struct fixture *f = xnew(struct fixture);
    struct err e _cleanup_(err_release) = {0};
    char *cert _cleanup_(freep) = NULL;
    char *key _cleanup_(freep) = NULL;
    struct pki_ca *ca = NULL;

    pthread_mutex_init(&f->lock, NULL);
    snprintf(f->dir, sizeof(f->dir), "/tmp/virga-httpc-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->ca_file, sizeof(f->ca_file), "%s/ca.crt", f->dir);
    snprintf(f->file, sizeof(f->file), "%s/file", f->dir);
    int r = pki_ca_open(f->dir, &ca, &e);
    if (r == 0)
        r = pki_issue_server(ca, sans, 1, 1, &cert, &key, &e);
    struct http_config hc = {
        .listen = "127.0.0.1:0",
        .cert_pem = cert,
        .key_pem = key,
        .client_ca_pem = r == 0 ? pki_ca_pem(ca) : NULL,
        .threads = 2,
        .max_connections = 64,
        .idle_timeout_s = 30,
        .ops = &ops,
        .arg = f,
    };
    if (r == 0)
        r = http_start(&hc, &f->server, &e);
    if (r < 0)
        fail_msg("%s", e.message);
    snprintf(f->url, sizeof(f->url), "https://127.0.0.1:%u",
             http_port(f->server));
    pki_ca_free(ca);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    release(f);
    http_stop(f->server);
    int r = fs_remove_tree(f->dir, NULL);
    pthread_mutex_destroy(&f->lock);
    free(f);
    return r;
}

static struct httpc *
client(struct fixture *f)
{
    struct httpc_config c = {
        .base_url = f->url, .ca_file = f->ca_file, .bearer = "vt1.secret"};

    return httpc_new(&c);
}

static void
freecp(struct httpc **c)
{
    httpc_free(*c);
}

/* ---- cases ---- */

static void
call__body_headers_and_status_come_back(void **state)
{
    struct httpc *c _cleanup_(freecp) = client(*state);
    struct httpc_request rq = HTTPC_REQUEST("POST", "/echo");
    struct err e _cleanup_(err_release) = {0};
    struct httpc_reply r = {0};
    char text[64];

    rq.body = "{\"a\":1}";
    rq.body_len = 7;
    if (httpc_call(c, &rq, &r, &e) < 0)
        fail_msg("%s", e.message);
    assert_int_equal(r.status, 200);
    assert_string_equal(buf_str(&r.body), "{\"a\":1}");
    assert_int_equal(httpc_reply_header(&r, "x-method", text, sizeof(text)), 0);
    assert_string_equal(text, "POST");
    assert_int_equal(httpc_reply_header(&r, "X-Auth", text, sizeof(text)), 0);
    assert_string_equal(text, "Bearer vt1.secret");
    assert_int_equal(httpc_reply_header(&r, "X-Auth", text, 7), 0);
    assert_string_equal(text, "Bearer");
    assert_int_equal(httpc_reply_header(&r, "X-Type", text, sizeof(text)), 0);
    assert_string_equal(text, "application/json");
    assert_int_equal(httpc_reply_header(&r, "X-Aut", text, sizeof(text)),
                     -ENOENT);
    httpc_reply_release(&r);

    struct httpc_request refused = HTTPC_REQUEST("DELETE", "/refuse");
    assert_int_equal(httpc_call(c, &refused, &r, &e), 0);
    assert_int_equal(r.status, 409);
    assert_string_equal(buf_str(&r.body), "{\"code\":\"no\"}");
    httpc_reply_release(&r);
}

static void
call__untrusted_server_is_refused(void **state)
{
    struct fixture *f = *state, *other;
    struct err e _cleanup_(err_release) = {0};
    struct httpc_request rq = HTTPC_REQUEST("GET", "/echo");
    struct httpc_reply r = {0};
    void *o;

    setup(&o);
    other = o;
    struct httpc_config foreign = {.base_url = f->url,
                                   .ca_file = other->ca_file};
    struct httpc_config system_store = {.base_url = f->url};
    char *by_name _cleanup_(freep) = xasprintf(
        "https://localhost%s", strrchr(f->url, ':')); /* not in its names */
    struct httpc_config wrong_name = {.base_url = by_name,
                                      .ca_file = f->ca_file};
    struct httpc_config no_file = {.base_url = f->url, .ca_file = f->file};
    struct httpc_config *const all[] = {&foreign, &system_store, &wrong_name,
                                        &no_file};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        struct httpc *c _cleanup_(freecp) = httpc_new(all[i]);

        int n = httpc_call(c, &rq, &r, &e);
        if (n != -EACCES)
            fail_msg("case %zu: %d %s", i, n, e.message);
        httpc_reply_release(&r);
    }
    struct httpc_config blind = {.base_url = f->url, .insecure = true};
    struct httpc *c _cleanup_(freecp) = httpc_new(&blind);
    assert_int_equal(httpc_call(c, &rq, &r, &e), 0);
    httpc_reply_release(&r);
    teardown(&o);
}

static void
call__nobody_there_is_econnrefused(void **state)
{
    struct httpc_config cfg = {.base_url = "https://127.0.0.1:1"};
    struct httpc *c _cleanup_(freecp) = httpc_new(&cfg);
    struct httpc_request rq = HTTPC_REQUEST("GET", "/");
    struct err e _cleanup_(err_release) = {0};
    struct httpc_reply r = {0};

    assert_int_equal(httpc_call(c, &rq, &r, &e), -ECONNREFUSED);
    assert_non_null(strstr(e.message, "127.0.0.1:1"));
    httpc_reply_release(&r);
}

static void
call__reply_over_the_cap_is_refused(void **state)
{
    struct httpc *c _cleanup_(freecp) = client(*state);
    struct httpc_request rq = HTTPC_REQUEST("GET", "/big");
    struct err e _cleanup_(err_release) = {0};
    struct httpc_reply r = {0};

    rq.max_reply = 99999;
    assert_int_equal(httpc_call(c, &rq, &r, &e), -EFBIG);
    assert_in_range(r.body.len, 0, 99999);
    httpc_reply_release(&r);
    rq.max_reply = 100000;
    assert_int_equal(httpc_call(c, &rq, &r, &e), 0);
    assert_int_equal(r.body.len, 100000);
    httpc_reply_release(&r);
}

static void
call__deadline_ends_it(void **state)
{
    struct httpc *c _cleanup_(freecp) = client(*state);
    struct httpc_request rq = HTTPC_REQUEST("GET", "/hold");
    struct err e _cleanup_(err_release) = {0};
    struct httpc_reply r = {0};
    int64_t t = clock_mono_us();

    rq.timeout_ms = 300;
    assert_int_equal(httpc_call(c, &rq, &r, &e), -ETIMEDOUT);
    assert_in_range(clock_mono_us() - t, 250000, 20 * US_PER_S);
    httpc_reply_release(&r);
}

static void *
abort_main(void *arg)
{
    httpc_abort(arg);
    return NULL;
}

static void
abort__ends_the_running_call_and_later_ones(void **state)
{
    struct httpc *c _cleanup_(freecp) = client(*state);
    struct httpc_request rq = HTTPC_REQUEST("GET", "/hold");
    struct err e _cleanup_(err_release) = {0};
    struct httpc_reply r = {0};
    pthread_t t;

    assert_int_equal(pthread_create(&t, NULL, abort_main, c), 0);
    assert_int_equal(httpc_call(c, &rq, &r, &e), -ECANCELED);
    pthread_join(t, NULL);
    httpc_reply_release(&r);
    assert_int_equal(httpc_call(c, &rq, &r, &e), -ECANCELED);
    httpc_reply_release(&r);
}

static void
file__goes_up_and_down(void **state)
{
    struct fixture *f = *state;
    struct httpc *c _cleanup_(freecp) = client(f);
    struct httpc_request up = HTTPC_REQUEST("PUT", "/echo");
    struct httpc_request down = HTTPC_REQUEST("GET", "/big");
    struct err e _cleanup_(err_release) = {0};
    struct httpc_reply r = {0};
    struct buf b _cleanup_(buf_release) = {0};
    char text[64];

    assert_int_equal(fs_write_atomic(f->file, "bytes", 5, 0600, NULL), 0);
    up.upload_fd = open(f->file, O_RDONLY | O_CLOEXEC);
    up.upload_size = 5;
    assert_int_equal(httpc_call(c, &up, &r, &e), 0);
    assert_string_equal(buf_str(&r.body), "bytes");
    assert_int_equal(httpc_reply_header(&r, "X-Type", text, sizeof(text)), 0);
    assert_string_equal(text, "application/octet-stream");
    httpc_reply_release(&r);
    close(up.upload_fd);

    down.download_fd = open(f->file, O_RDWR | O_TRUNC | O_CLOEXEC);
    down.max_reply = 10; /* holds for memory, not for files */
    assert_int_equal(httpc_call(c, &down, &r, &e), 0);
    assert_int_equal(r.body.len, 0);
    httpc_reply_release(&r);
    assert_int_equal(fs_read(f->file, 200000, &b, NULL), 0);
    assert_int_equal(b.len, 100000);

    /* A problem document is no part of the file. */
    down.path = "/refuse";
    down.max_reply = 100;
    assert_int_equal(httpc_call(c, &down, &r, &e), 0);
    assert_string_equal(buf_str(&r.body), "{\"code\":\"no\"}");
    httpc_reply_release(&r);
    assert_int_equal(lseek(down.download_fd, 0, SEEK_CUR), 100000);
    close(down.download_fd);
}

static void
file__that_cannot_be_written_is_told(void **state)
{
    struct httpc *c _cleanup_(freecp) = client(*state);
    struct httpc_request down = HTTPC_REQUEST("GET", "/big");
    struct err e _cleanup_(err_release) = {0};
    struct httpc_reply r = {0};

    down.download_fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_int_equal(httpc_call(c, &down, &r, &e), -ENOSPC);
    assert_string_equal(e.code, "no_space");
    httpc_reply_release(&r);
    close(down.download_fd);
}

static void
debug__shows_requests_without_the_secret(void **state)
{
    struct fixture *f = *state;
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    struct httpc_config cfg = {.base_url = f->url,
                               .ca_file = f->ca_file,
                               .bearer = "vt1.secret",
                               .debug = out};
    struct httpc *c = httpc_new(&cfg);
    struct httpc_request rq = HTTPC_REQUEST("GET", "/refuse");
    struct httpc_reply r = {0};

    assert_int_equal(httpc_call(c, &rq, &r, NULL), 0);
    httpc_reply_release(&r);
    httpc_free(c);
    fclose(out);
    assert_non_null(strstr(text, "> GET /refuse"));
    assert_non_null(strstr(text, "Authorization: Bearer ***"));
    assert_null(strstr(text, "vt1.secret"));
    free(text);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(call__body_headers_and_status_come_back),
        T(call__untrusted_server_is_refused),
        T(call__nobody_there_is_econnrefused),
        T(call__reply_over_the_cap_is_refused),
        T(call__deadline_ends_it),
        T(abort__ends_the_running_call_and_later_ones),
        T(file__goes_up_and_down),
        T(file__that_cannot_be_written_is_told),
        T(debug__shows_requests_without_the_secret),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
