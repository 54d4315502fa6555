/* test-cli-call.c - requests, retries, errors and whole commands against a
 * server in this process that follows a script: each entry is one
 * connection, answered and closed. Over 800 lines: all cases share the
 * scripted server. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "cli/cli.h"
#include "common/fs.h"
#include "common/mem.h"

#define ID "0193573e-8d5c-7cc1-b0a8-3d1f0c5a9e77"
#define ID2 "0193573e-8d5c-7cc1-b0a8-3d1f0c5a9e78"
#define SCRIPT_MAX 12

/* ---- the server ---- */

struct answer {
    int status; /* 0: closes without a word */
    const char *headers;
    const char *body;
};

struct server {
    int listen_fd;
    char url[64];
    pthread_t thread;
    const struct answer *script;
    size_t n_script;
    size_t n_seen; /* read after server_stop() */
    struct buf seen[SCRIPT_MAX];
};

/* The whole request: head, and as many bytes as it announces. */
static void
read_request(int fd, struct buf *in)
{
    for (;;) {
        const char *end = in->len ? strstr(buf_str(in), "\r\n\r\n") : NULL;
        const char *cl = strcasestr(buf_str(in), "\r\nContent-Length:");
        size_t want = cl ? (size_t)strtoul(cl + 17, NULL, 10) : 0;
        ssize_t n;

        if (end && in->len >= (size_t)(end + 4 - in->data) + want)
            return;
        n = read(fd, buf_reserve(in, 65536), 65536);
        if (n <= 0)
            return;
        in->len += (size_t)n;
        in->data[in->len] = '\0';
    }
}

static void
write_answer(int fd, const struct answer *a)
{
    struct buf out _cleanup_(buf_release) = {0};
    const char *body = a->body ? a->body : "";

    buf_addf(&out,
             "HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: %zu\r\n"
             "%s\r\n%s",
             a->status, strlen(body), a->headers ? a->headers : "", body);
    assert_int_equal(fs_write_all(fd, out.data, out.len), 0);
}

static void *
server_main(void *arg)
{
    struct server *s = arg;

    while (s->n_seen < s->n_script) {
        int fd _cleanup_(closep) = accept(s->listen_fd, NULL, NULL);
        const struct answer *a;

        if (fd < 0)
            break;
        a = &s->script[s->n_seen];
        read_request(fd, &s->seen[s->n_seen++]);
        if (a->status)
            write_answer(fd, a);
    }
    return NULL;
}

static void
server_start(struct server *s, const struct answer *script, size_t n)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);

    assert_true(n <= SCRIPT_MAX);
    *s = (struct server){.script = script, .n_script = n};
    s->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->listen_fd, (struct sockaddr *)&a, len), 0);
    assert_int_equal(listen(s->listen_fd, 8), 0);
    assert_int_equal(getsockname(s->listen_fd, (struct sockaddr *)&a, &len), 0);
    snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%d", ntohs(a.sin_port));
    assert_int_equal(pthread_create(&s->thread, NULL, server_main, s), 0);
}

/* Ends the server, whether its whole script was asked for or not. */
static void
server_stop(struct server *s)
{
    shutdown(s->listen_fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->listen_fd);
}

static void
server_release(struct server *s)
{
    for (size_t i = 0; i < ARRAY_SIZE(s->seen); i++)
        buf_release(&s->seen[i]);
}

static void
assert_seen(const struct server *s, size_t i, const char *words)
{
    assert_true(i < s->n_seen);
    if (!strstr(buf_str(&s->seen[i]), words))
        fail_msg("request %zu lacks \"%s\":\n%s", i, words,
                 buf_str(&s->seen[i]));
}

/* The line of a request's head that begins with name. */
static void
seen_header(const struct server *s, size_t i, const char *name, char out[128])
{
    const char *p = strcasestr(buf_str(&s->seen[i]), name);

    assert_non_null(p);
    snprintf(out, 128, "%.*s", (int)strcspn(p, "\r"), p);
}

/* ---- running a command ---- */

struct run {
    struct cli c;
    struct buf out; /* of standard output */
    int rc;
};

/* One command line against the server, its output caught. */
static void
run_line(struct run *r, const struct server *s, ...)
{
    char *argv[20] = {(char *)"virga", (char *)"--url",
                      (char *)(uintptr_t)s->url};
    struct err err _cleanup_(err_release) = {0};
    char path[] = "/tmp/virga-cli-XXXXXX";
    int argc = 3, fd, saved;
    va_list ap;

    *r = (struct run){0};
    va_start(ap, s);
    while ((argv[argc] = va_arg(ap, char *)))
        argc++;
    va_end(ap);
    fd = mkstemp(path);
    assert_true(fd >= 0);
    if (cli_parse(argc, argv, &r->c.line, &err) < 0)
        fail_msg("%s", err.message);
    fflush(stdout);
    saved = dup(STDOUT_FILENO);
    dup2(fd, STDOUT_FILENO);
    r->rc = cli_setup(&r->c);
    if (r->rc == EXIT_OK)
        r->rc = r->c.line.cmd->run(&r->c);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    close(fd);
    assert_int_equal(fs_read(path, 1 << 20, &r->out, NULL), 0);
    unlink(path);
}

static void
run_release(struct run *r)
{
    cli_release(&r->c);
    buf_release(&r->out);
}

#define PROBLEM(status, code, detail)                                          \
    "{\"status\":" #status ",\"title\":\"t\",\"code\":\"" code                 \
    "\",\"detail\":\"" detail "\"}"
#define FLAVOR(name)                                                           \
    "{\"id\":\"" ID "\",\"name\":\"" name                                      \
    "\",\"vcpus\":1,\"memory_bytes\":1048576,\"disk_bytes\":0}"
#define INSTANCE                                                               \
    "{\"id\":\"" ID "\",\"name\":\"web\",\"state\":\"creating\","              \
    "\"operation_id\":\"" ID2 "\"}"
#define OPERATION(state, more)                                                 \
    "{\"id\":\"" ID2 "\",\"kind\":\"instance.create\",\"state\":\"" state      \
    "\"" more "}"

/* ---- exit codes ---- */

static void
exit__by_status_and_code(void **state)
{
    static const struct {
        long status;
        const char *code;
        int exit;
    } cases[] = {
        {400, "invalid", 7},     {401, NULL, 5},
        {403, "forbidden", 5},   {404, NULL, 3},
        {405, NULL, 1},          {409, "name_taken", 4},
        {412, NULL, 4},          {413, NULL, 7},
        {415, NULL, 7},          {422, NULL, 7},
        {428, NULL, 4},          {429, NULL, 6},
        {500, NULL, 1},          {502, NULL, 6},
        {503, NULL, 6},          {504, NULL, 6},
        {507, "no_capacity", 8}, {403, "quota_exceeded", 8},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(cli_exit_of_status(cases[i].status, cases[i].code),
                         cases[i].exit);
    assert_int_equal(cli_exit_of_errno(-ECONNREFUSED), 6);
    assert_int_equal(cli_exit_of_errno(-ETIMEDOUT), 6);
    assert_int_equal(cli_exit_of_errno(-EACCES), 6);
    assert_int_equal(cli_exit_of_errno(-EFBIG), 1);
}

static void
path__parts_are_encoded(void **state)
{
    char *path _cleanup_(freep) =
        cli_path(ROUTE_INSTANCE_STOP, "../a b?", "?x=1");
    struct buf q _cleanup_(buf_release) = {0};

    assert_string_equal(path, "/v1/instances/..%2Fa%20b%3F/stop?x=1");
    cli_query_add(&q, "a", NULL);
    cli_query_add(&q, "a", "1&2");
    cli_query_add(&q, "b", "+");
    assert_string_equal(buf_str(&q), "?a=1%262&b=%2B");
}

static void
retry_after__is_bounded(void **state)
{
    static const struct {
        const char *head;
        int64_t ms;
    } cases[] = {
        {"Retry-After: 2\r\n", 2000},
        {"retry-after: 0\r\n", 0},
        {"Retry-After: 86400\r\n", 10000},
        {"Retry-After: 99999999999999999999\r\n", 10000},
        {"Retry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n", 123},
        {"Retry-After: 2x\r\n", 123},
        {"", 123},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct httpc_reply r = {0};

        buf_adds(&r.headers, cases[i].head);
        assert_int_equal(cli_retry_after_ms(&r, 123), cases[i].ms);
        httpc_reply_release(&r);
    }
}

static void
setup__plain_http_only_on_this_machine(void **state)
{
    static const struct {
        const char *url;
        int exit;
    } cases[] = {
        {"http://127.0.0.1:1", 0},        {"http://localhost", 0},
        {"http://[::1]:80/", 0},          {"https://cloud.example", 0},
        {"http://cloud.example", 2},      {"http://127.0.0.1.evil.net", 2},
        {"http://localhost.evil.net", 2}, {"cloud.example:8443", 2},
        {"file:///etc/passwd", 2},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct cli c = {0};

        c.line.globals[GLOBAL_URL] =
            (struct cli_value){.set = true, .text = cases[i].url};
        assert_int_equal(cli_setup(&c), cases[i].exit);
        cli_release(&c);
    }
}

static void
setup__token_with_a_newline_inside_is_refused(void **state)
{
    struct cli c = {0};

    setenv("VIRGA_TOKEN", "abc\r\nX-Evil: 1", 1);
    assert_int_equal(cli_setup(&c), EXIT_USAGE);
    cli_release(&c);
    c = (struct cli){0};
    setenv("VIRGA_TOKEN", "abc\n", 1);
    assert_int_equal(cli_setup(&c), EXIT_OK);
    assert_string_equal(c.token, "abc");
    cli_release(&c);
    unsetenv("VIRGA_TOKEN");
}

/* ---- retries ---- */

static void
post__lost_reply_is_sent_again_under_the_same_key(void **state)
{
    static const struct answer script[] = {
        {.status = 0},
        {.status = 409,
         .headers = "Retry-After: 0\r\n",
         .body = PROBLEM(409, "in_flight", "still under way")},
        {.status = 503, .headers = "Retry-After: 0\r\n"},
        {.status = 201, .body = "{\"id\":\"" ID "\",\"name\":\"acme\"}"},
    };
    char first[128], next[128];
    struct server s;
    struct run r;

    server_start(&s, script, ARRAY_SIZE(script));
    run_line(&r, &s, "project", "create", "acme", NULL);
    server_stop(&s);
    assert_int_equal(r.rc, EXIT_OK);
    assert_int_equal(s.n_seen, 4);
    seen_header(&s, 0, "Idempotency-Key:", first);
    for (size_t i = 1; i < s.n_seen; i++) {
        seen_header(&s, i, "Idempotency-Key:", next);
        assert_string_equal(next, first);
        assert_seen(&s, i, "{\"name\":\"acme\"}");
    }
    assert_non_null(strstr(buf_str(&r.out), "name:       acme\n"));
    run_release(&r);
    server_release(&s);
}

static void
post__conflict_at_once_is_final(void **state)
{
    static const struct answer script[] = {
        {.status = 409,
         .headers = "Retry-After: 0\r\n",
         .body = PROBLEM(409, "name_taken", "the name is taken")},
    };
    struct buf text _cleanup_(buf_release) = {0};
    struct server s;
    struct run r;

    server_start(&s, script, ARRAY_SIZE(script));
    run_line(&r, &s, "project", "create", "acme", NULL);
    server_stop(&s);
    assert_int_equal(r.rc, EXIT_CONFLICT);
    cli_report(&r.c, &text);
    assert_string_equal(buf_str(&text), "virga: the name is taken\n");
    run_release(&r);
    server_release(&s);
}

static void
get__outage_ends_after_three_retries(void **state)
{
    static const struct answer script[] = {
        {.status = 503, .headers = "Retry-After: 0\r\n"},
        {.status = 429, .headers = "Retry-After: 0\r\n"},
        {.status = 503, .headers = "Retry-After: 0\r\n"},
        {.status = 503,
         .headers = "Retry-After: 0\r\n",
         .body = PROBLEM(503, "busy", "no")},
        {.status = 200, .body = "{}"},
    };
    struct server s;
    struct run r;

    server_start(&s, script, ARRAY_SIZE(script));
    run_line(&r, &s, "whoami", NULL);
    server_stop(&s);
    assert_int_equal(r.rc, EXIT_UNAVAILABLE);
    assert_int_equal(s.n_seen, 4);
    assert_string_equal(r.c.fault.err.message, "no");
    run_release(&r);
    server_release(&s);
}

static void
delete__gone_after_a_lost_reply_is_success(void **state)
{
    static const struct answer script[] = {
        {.status = 0},
        {.status = 404, .body = PROBLEM(404, "not_found", "no such image")},
        {.status = 404, .body = PROBLEM(404, "not_found", "no such image")},
    };
    struct buf text _cleanup_(buf_release) = {0};
    struct server s;
    struct run r;

    server_start(&s, script, ARRAY_SIZE(script));
    run_line(&r, &s, "image", "delete", "a", NULL);
    assert_int_equal(r.rc, EXIT_OK);
    assert_string_equal(buf_str(&r.out), "deleted image a\n");
    run_release(&r);
    run_line(&r, &s, "image", "delete", "a", NULL);
    server_stop(&s);
    assert_int_equal(r.rc, EXIT_NOT_FOUND);
    cli_report(&r.c, &text);
    assert_string_equal(buf_str(&text),
                        "virga: no such image\n"
                        "hint: \"virga image list\" shows what there is\n");
    run_release(&r);
    server_release(&s);
}

/* ---- errors ---- */

static void
report__problem_with_control_characters_is_not_shown(void **state)
{
    static const struct answer script[] = {
        {.status = 422,
         .body = "{\"code\":\"invalid\",\"detail\":\"two fields\\u001b are "
                 "wrong\",\"errors\":[{\"pointer\":\"/vcpus\",\"code\":"
                 "\"range\",\"message\":\"must be 1 to 64\"},{\"pointer\":"
                 "\"\",\"code\":\"x\",\"message\":\"bad\"}]}"},
    };
    struct buf text _cleanup_(buf_release) = {0};
    struct server s;
    struct run r;

    server_start(&s, script, ARRAY_SIZE(script));
    run_line(&r, &s, "flavor", "create", "a", "--vcpus", "99", "--memory", "1G",
             NULL);
    server_stop(&s);
    assert_int_equal(r.rc, EXIT_INVALID);
    cli_report(&r.c, &text);
    assert_non_null(strstr(buf_str(&text), "status 422"));
    assert_null(strchr(buf_str(&text), '\033'));
    run_release(&r);
    server_release(&s);
}

static void
report__says_what_to_do(void **state)
{
    static const struct {
        struct answer answer;
        const char *says;
        int exit;
    } cases[] = {
        {{401, NULL, PROBLEM(401, "unauthorized", "no token")},
         "virga: no token\nhint: set VIRGA_TOKEN or use --token-file FILE",
         5},
        {{403, NULL, PROBLEM(403, "forbidden", "not you")},
         "hint: \"virga whoami\" shows your role",
         5},
        {{507, NULL, PROBLEM(507, "no_capacity", "full")},
         "virga: full\nhint: \"virga node list\"",
         8},
        {{422, NULL,
          "{\"detail\":\"bad\",\"errors\":[{\"pointer\":\"/vcpus\","
          "\"message\":\"must be 1 to 64\"},{\"message\":\"odd\"}]}"},
         "virga: bad\n  /vcpus: must be 1 to 64\n  (body): odd\n",
         7},
        {{500, NULL, "{\"detail\":\"broken\",\"request_id\":\"r-77\"}"},
         "virga: broken\nrequest: r-77\n",
         1},
        {{409, NULL, PROBLEM(409, "wrong_state", "it runs")},
         "virga: it runs\nhint: \"virga node show\" tells its state\n",
         4},
        {{400, NULL,
          "{\"detail\":\"/image: gone\",\"errors\":[{\"pointer\":"
          "\"/image\",\"code\":\"not_found\",\"message\":\"gone\"}]}"},
         "virga: /image: gone\nhint: \"virga node list\" shows",
         7},
        {{500, NULL, "<html>"}, "status 500 and no explanation", 1},
        {{200, NULL, "<html>"}, "the controller's reply is not understood", 1},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buf text _cleanup_(buf_release) = {0};
        struct server s;
        struct run r;

        server_start(&s, &cases[i].answer, 1);
        run_line(&r, &s, "node", "show", "a", NULL);
        server_stop(&s);
        assert_int_equal(r.rc, cases[i].exit);
        cli_report(&r.c, &text);
        if (!strstr(buf_str(&text), cases[i].says))
            fail_msg("\"%s\" does not say \"%s\"", buf_str(&text),
                     cases[i].says);
        run_release(&r);
        server_release(&s);
    }
}

static void
report__nobody_listens(void **state)
{
    struct buf text _cleanup_(buf_release) = {0};
    struct server s;
    struct run r;

    server_start(&s, NULL, 0);
    server_stop(&s); /* its port is free now */
    run_line(&r, &s, "whoami", NULL);
    assert_int_equal(r.rc, EXIT_UNAVAILABLE);
    cli_report(&r.c, &text);
    assert_non_null(strstr(buf_str(&text), "is virga-controllerd running"));
    assert_non_null(strstr(buf_str(&text), s.url));
    run_release(&r);
    server_release(&s);
}

/* ---- lists ---- */

static void
list__all_pages_are_one_list(void **state)
{
    static const struct answer script[] = {
        {.status = 200,
         .body = "{\"items\":[" FLAVOR("a") "],\"next_page_token\":\"p/2\"}"},
        {.status = 200, .body = "{\"items\":[],\"next_page_token\":\"p3\"}"},
        {.status = 200, .body = "{\"items\":[" FLAVOR("b") "]}"},
    };
    struct server s;
    struct run r;

    server_start(&s, script, ARRAY_SIZE(script));
    run_line(&r, &s, "flavor", "list", "-o", "csv", NULL);
    server_stop(&s);
    assert_int_equal(r.rc, EXIT_OK);
    assert_seen(&s, 0, "GET /v1/flavors?limit=1000 ");
    assert_seen(&s, 1, "GET /v1/flavors?limit=1000&page_token=p%2F2 ");
    assert_string_equal(
        buf_str(&r.out),
        "id,name,vcpus,memory_bytes,disk_bytes,cpu_shares,cpu_limit_percent,"
        "cpu_reservation_percent,disk_iops,disk_bytes_per_second,"
        "net_bytes_per_second,price_per_hour,generation,created_at\r\n" ID
        ",a,1,1048576,0,0,0,0,0,0,0,,0,\r\n" ID
        ",b,1,1048576,0,0,0,0,0,0,0,,0,\r\n");
    run_release(&r);
    server_release(&s);
}

static void
list__json_is_the_servers_own(void **state)
{
    static const struct answer script[] = {
        {.status = 200,
         .body = "{\"items\":[{\"id\":\"" ID "\",\"name\":\"a\",\"new\":[1]}],"
                 "\"next_page_token\":\"2\"}"},
        {.status = 200,
         .body = "{\"items\":[{\"name\":\"b\"},{\"name\":\"c\"}],"
                 "\"next_page_token\":\"3\"}"},
    };
    struct server s;
    struct run r;

    server_start(&s, script, ARRAY_SIZE(script));
    run_line(&r, &s, "flavor", "list", "-o", "json", "--limit", "2", NULL);
    server_stop(&s);
    assert_int_equal(r.rc, EXIT_OK);
    assert_seen(&s, 0, "limit=2 ");
    assert_seen(&s, 1, "limit=1&page_token=2 ");
    assert_string_equal(buf_str(&r.out),
                        "[\n  {\n    \"id\": \"" ID "\",\n"
                        "    \"name\": \"a\",\n    \"new\": [\n      1\n"
                        "    ]\n  },\n  {\n    \"name\": \"b\"\n  }\n]\n");
    run_release(&r);
    server_release(&s);
}

static void
list__same_page_for_ever_is_an_error(void **state)
{
    static const struct answer script[] = {
        {.status = 200, .body = "{\"items\":[],\"next_page_token\":\"2\"}"},
        {.status = 200, .body = "{\"items\":[],\"next_page_token\":\"2\"}"},
    };
    struct server s;
    struct run r;

    server_start(&s, script, ARRAY_SIZE(script));
    run_line(&r, &s, "flavor", "list", NULL);
    server_stop(&s);
    assert_int_equal(r.rc, EXIT_FAILED);
    run_release(&r);
    server_release(&s);
}

/* ---- launch and waiting ---- */

static void
launch__only_flavor_and_wait(void **state)
{
    static const struct answer script[] = {
        {.status = 200, .body = "{\"items\":[" FLAVOR("tiny") "]}"},
        {.status = 409, .body = PROBLEM(409, "name_taken", "taken")},
        {.status = 201, .body = INSTANCE},
        {.status = 200, .body = OPERATION("running", ",\"step\":\"place\"")},
        {.status = 200, .body = OPERATION("succeeded", "")},
        {.status = 200, .body = INSTANCE},
    };
    char first[128], second[128];
    struct server s;
    struct run r;

    server_start(&s, script, ARRAY_SIZE(script));
    run_line(&r, &s, "launch", "debian", "--wait", "-o", "json", NULL);
    server_stop(&s);
    assert_int_equal(r.rc, EXIT_OK);
    assert_seen(&s, 1, "\"image\":\"debian\",\"flavor\":\"tiny\"}");
    /* A name that was taken is made anew, as a request of its own. */
    seen_header(&s, 1, "Idempotency-Key:", first);
    seen_header(&s, 2, "Idempotency-Key:", second);
    assert_string_not_equal(first, second);
    assert_seen(&s, 3, "GET /v1/operations/" ID2 "?wait=0ms ");
    assert_seen(&s, 5, "GET /v1/instances/" ID " ");
    assert_non_null(strstr(buf_str(&r.out), "\"name\": \"web\""));
    run_release(&r);
    server_release(&s);
}

static void
launch__several_flavors_must_be_chosen(void **state)
{
    static const struct answer script[] = {
        {.status = 200,
         .body = "{\"items\":[" FLAVOR("a") "," FLAVOR("b") "]}"},
    };
    struct server s;
    struct run r;

    server_start(&s, script, ARRAY_SIZE(script));
    run_line(&r, &s, "launch", "debian", NULL);
    server_stop(&s);
    assert_int_equal(r.rc, EXIT_USAGE);
    assert_string_equal(r.c.fault.err.message,
                        "choose a size with --flavor: a (1 vCPU, 1M), "
                        "b (1 vCPU, 1M)");
    run_release(&r);
    server_release(&s);
}

static void
wait__failed_operation_tells_why(void **state)
{
    static const struct answer script[] = {
        {.status = 201, .body = INSTANCE},
        {.status = 200,
         .body = OPERATION("failed", ",\"problem\":{\"code\":\"no_boot\","
                                     "\"message\":\"no kernel\"}")},
    };
    struct server s;
    struct run r;

    server_start(&s, script, ARRAY_SIZE(script));
    run_line(&r, &s, "launch", "debian", "web", "-f", "tiny", "-w", NULL);
    server_stop(&s);
    assert_int_equal(r.rc, EXIT_FAILED);
    assert_seen(&s, 0, "{\"name\":\"web\",");
    assert_string_equal(r.c.fault.err.message,
                        "instance web: instance.create failed: no kernel "
                        "(operation " ID2 ")");
    assert_string_equal(r.c.fault.err.code, "no_boot");
    run_release(&r);
    server_release(&s);
}

static void
wait__ends_at_its_limit(void **state)
{
    static const struct answer script[] = {
        {.status = 202, .body = OPERATION("running", "")},
        {.status = 200, .body = OPERATION("running", "")},
    };
    struct server s;
    struct run r;

    server_start(&s, script, ARRAY_SIZE(script));
    run_line(&r, &s, "instance", "stop", "web", "--force", "--wait",
             "--wait-timeout", "0s", NULL);
    server_stop(&s);
    assert_int_equal(r.rc, EXIT_UNAVAILABLE);
    assert_seen(&s, 0, "POST /v1/instances/web/stop ");
    assert_seen(&s, 0, "\r\n\r\n{\"force\":true}");
    assert_non_null(strstr(r.c.fault.err.message, "operation wait " ID2));
    run_release(&r);
    server_release(&s);
}

/* ---- secrets ---- */

static void
token_create__secret_alone_on_the_first_line(void **state)
{
    static const struct answer script[] = {
        {.status = 201,
         .body = "{\"id\":\"" ID "\",\"name\":\"ci\",\"role\":\"member\","
                 "\"token\":\"vt1.secret\"}"},
    };
    struct server s;
    struct run r;

    server_start(&s, script, ARRAY_SIZE(script));
    run_line(&r, &s, "token", "create", "ci", NULL);
    server_stop(&s);
    assert_int_equal(r.rc, EXIT_OK);
    assert_int_equal(strncmp(buf_str(&r.out), "vt1.secret\nid: ", 15), 0);
    assert_null(strstr(buf_str(&r.out) + 10, "secret"));
    run_release(&r);
    server_release(&s);
}

/* ---- images ---- */

static char kernel_file[] = "/tmp/virga-cli-kernel-XXXXXX";

static int
make_kernel(void **state)
{
    int fd _cleanup_(closep) = mkstemp(kernel_file);

    return fd < 0 ? -1 : fs_write_all(fd, "kernel bytes", 12);
}

static int
remove_kernel(void **state)
{
    return unlink(kernel_file);
}

#define IMAGE(sum)                                                             \
    "{\"id\":\"" ID "\",\"name\":\"a\",\"state\":\"active\",\"parts\":[{"      \
    "\"name\":\"kernel\",\"size_bytes\":12,\"sha256\":\"" sum "\"}]}"
#define KERNEL_SUM                                                             \
    "8daf3e4f39d310222b89e05b97f1aa56319811c728a147e8c6c86448f534194f"

static void
image__uploaded_again_after_a_lost_reply(void **state)
{
    static const struct answer script[] = {
        {.status = 201, .body = IMAGE("")},
        {.status = 0},
        {.status = 200, .body = "{\"id\":\"" ID "\",\"name\":\"a\"}"},
    };
    struct server s;
    struct run r;

    server_start(&s, script, ARRAY_SIZE(script));
    run_line(&r, &s, "image", "create", "a", "--kernel", kernel_file,
             "--cmdline", "quiet", NULL);
    server_stop(&s);
    assert_int_equal(r.rc, EXIT_OK);
    assert_seen(&s, 0,
                "{\"name\":\"a\",\"cmdline\":\"quiet\",\"parts\":[{\"name\":"
                "\"kernel\"}]}");
    for (size_t i = 1; i < 3; i++) {
        assert_seen(&s, i, "PUT /v1/images/" ID "/parts/kernel ");
        assert_seen(&s, i, "\r\n\r\nkernel bytes");
    }
    run_release(&r);
    server_release(&s);
}

static void
image__part_that_arrived_before_is_checked(void **state)
{
    static const struct answer script[] = {
        {.status = 201, .body = IMAGE("")},
        {.status = 0},
        {.status = 409, .body = PROBLEM(409, "part_exists", "is there")},
        {.status = 200, .body = IMAGE(KERNEL_SUM)},
    };
    struct server s;
    struct run r;

    server_start(&s, script, ARRAY_SIZE(script));
    run_line(&r, &s, "image", "create", "a", "--kernel", kernel_file, NULL);
    server_stop(&s);
    assert_int_equal(r.rc, EXIT_OK);
    assert_seen(&s, 3, "GET /v1/images/" ID " ");
    run_release(&r);
    server_release(&s);
}

static void
image__failed_upload_leaves_nothing(void **state)
{
    static const struct answer script[] = {
        {.status = 201, .body = IMAGE("")},
        {.status = 507, .body = PROBLEM(507, "disk_full", "no space")},
        {.status = 204},
    };
    struct server s;
    struct run r;

    server_start(&s, script, ARRAY_SIZE(script));
    run_line(&r, &s, "image", "create", "a", "--kernel", kernel_file, NULL);
    server_stop(&s);
    assert_int_equal(r.rc, EXIT_NO_CAPACITY);
    assert_seen(&s, 2, "DELETE /v1/images/" ID " ");
    assert_string_equal(r.c.fault.err.message,
                        "no space; the half-made image was deleted again");
    run_release(&r);
    server_release(&s);
}

static void
image__other_bytes_than_sent_are_noticed(void **state)
{
    static const struct answer script[] = {
        {.status = 201, .body = IMAGE("")},
        {.status = 200, .body = IMAGE("00ff")},
        {.status = 500, .body = PROBLEM(500, "oops", "oops")},
    };
    struct server s;
    struct run r;

    server_start(&s, script, ARRAY_SIZE(script));
    run_line(&r, &s, "image", "create", "a", "--kernel", kernel_file, NULL);
    server_stop(&s);
    assert_int_equal(r.rc, EXIT_FAILED);
    assert_string_equal(r.c.fault.err.code, "corrupt");
    assert_non_null(strstr(r.c.fault.err.message, "virga image delete " ID));
    run_release(&r);
    server_release(&s);
}

static void
image__bad_local_files_ask_nothing(void **state)
{
    static const struct {
        const char *words[5];
        int exit;
    } cases[] = {
        {{"--kernel", "/nonexistent/x"}, EXIT_FAILED},
        {{"--kernel", "/tmp"}, EXIT_FAILED},
        {{"--kernel", "/dev/null"}, EXIT_FAILED},
        {{"--kernel", kernel_file, "--initrd", "/nonexistent/x"}, EXIT_FAILED},
        {{"--disk", kernel_file, "--format", "qcow2"}, EXIT_USAGE},
        {{"--initrd", kernel_file}, EXIT_USAGE},
        {{"--kernel", kernel_file, "--format", "raw"}, EXIT_USAGE},
        {{"--disk", kernel_file, "--cmdline", "x"}, EXIT_USAGE},
        {{"--public"}, EXIT_USAGE},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *const *w = cases[i].words;
        static const struct answer script[] = {{.status = 500}};
        struct server s;
        struct run r;

        server_start(&s, script, 1);
        run_line(&r, &s, "image", "create", "a", w[0], w[1], w[2], w[3], NULL);
        server_stop(&s);
        assert_int_equal(r.rc, cases[i].exit);
        assert_int_equal(s.n_seen, 0);
        run_release(&r);
        server_release(&s);
    }
}

/* ---- log ---- */

static void
log__tail_is_read_from_where_it_begins(void **state)
{
    static const struct answer script[] = {
        {200, "Virga-Log-Offset: 99\r\nVirga-Log-End: 100\r\n", "x"},
        {200, "Virga-Log-Offset: 90\r\nVirga-Log-End: 104\r\n", "0123456789"},
        {200, "Virga-Log-Offset: 100\r\nVirga-Log-End: 104\r\n", "\033[1m"},
    };
    struct server s;
    struct run r;

    server_start(&s, script, ARRAY_SIZE(script));
    run_line(&r, &s, "instance", "log", "web", "--tail", "10", NULL);
    server_stop(&s);
    assert_int_equal(r.rc, EXIT_OK);
    assert_seen(&s, 0, "console-log?limit=1 ");
    assert_seen(&s, 1, "console-log?offset=90&limit=1048576 ");
    assert_seen(&s, 2, "console-log?offset=100&limit=1048576 ");
    assert_string_equal(buf_str(&r.out), "0123456789\033[1m"); /* a file */
    run_release(&r);
    server_release(&s);
}

static void
log__reply_without_its_offsets_is_refused(void **state)
{
    static const struct answer script[] = {
        {200, "Virga-Log-Offset: x\r\nVirga-Log-End: 100\r\n", "x"}};
    struct server s;
    struct run r;

    server_start(&s, script, ARRAY_SIZE(script));
    run_line(&r, &s, "instance", "log", "web", NULL);
    server_stop(&s);
    assert_int_equal(r.rc, EXIT_FAILED);
    run_release(&r);
    server_release(&s);
}

/* ---- usage ---- */

static void
usage__pages_are_merged_under_one_sum(void **state)
{
#define ITEM(name) "{\"instance_id\":\"" ID "\",\"instance_name\":\"" name "\"}"
    static const struct answer script[] = {
        {.status = 200,
         .body = "{\"running_seconds\":\"7.5\",\"items\":[" ITEM(
             "a") "],\"next_page_token\":\"2\"}"},
        {.status = 200,
         .body = "{\"running_seconds\":\"7.5\",\"items\":[" ITEM("b") "," ITEM(
             "c") "]}"},
    };
    struct server s;
    struct run r;

    server_start(&s, script, ARRAY_SIZE(script));
    run_line(&r, &s, "usage", "-o", "csv", "--limit", "2", "--instance", "a",
             NULL);
    server_stop(&s);
    assert_int_equal(r.rc, EXIT_OK);
    assert_seen(&s, 0, "GET /v1/usage?instance=a&limit=1000 ");
    assert_seen(&s, 1, "&page_token=2 ");
    assert_non_null(strstr(buf_str(&r.out), ID ",b,"));
    assert_null(strstr(buf_str(&r.out), ID ",c,"));
    run_release(&r);
    server_release(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exit__by_status_and_code),
        cmocka_unit_test(path__parts_are_encoded),
        cmocka_unit_test(retry_after__is_bounded),
        cmocka_unit_test(setup__plain_http_only_on_this_machine),
        cmocka_unit_test(setup__token_with_a_newline_inside_is_refused),
        cmocka_unit_test(post__lost_reply_is_sent_again_under_the_same_key),
        cmocka_unit_test(post__conflict_at_once_is_final),
        cmocka_unit_test(get__outage_ends_after_three_retries),
        cmocka_unit_test(delete__gone_after_a_lost_reply_is_success),
        cmocka_unit_test(report__problem_with_control_characters_is_not_shown),
        cmocka_unit_test(report__says_what_to_do),
        cmocka_unit_test(report__nobody_listens),
        cmocka_unit_test(list__all_pages_are_one_list),
        cmocka_unit_test(list__json_is_the_servers_own),
        cmocka_unit_test(list__same_page_for_ever_is_an_error),
        cmocka_unit_test(launch__only_flavor_and_wait),
        cmocka_unit_test(launch__several_flavors_must_be_chosen),
        cmocka_unit_test(wait__failed_operation_tells_why),
        cmocka_unit_test(wait__ends_at_its_limit),
        cmocka_unit_test(token_create__secret_alone_on_the_first_line),
        cmocka_unit_test(image__uploaded_again_after_a_lost_reply),
        cmocka_unit_test(image__part_that_arrived_before_is_checked),
        cmocka_unit_test(image__failed_upload_leaves_nothing),
        cmocka_unit_test(image__other_bytes_than_sent_are_noticed),
        cmocka_unit_test(image__bad_local_files_ask_nothing),
        cmocka_unit_test(log__tail_is_read_from_where_it_begins),
        cmocka_unit_test(log__reply_without_its_offsets_is_refused),
        cmocka_unit_test(usage__pages_are_merged_under_one_sum),
    };

    unsetenv("VIRGA_TOKEN");
    unsetenv("VIRGA_CA");
    unsetenv("VIRGA_URL");
    return cmocka_run_group_tests(tests, make_kernel, remove_kernel);
}
