/* test-controllerd-events.c - streams of events from a real server to real
 * clients: complete and in order whatever the clients' pace, with bounded
 * memory, ended by revocation and by the controller's stop. */
#include <config.h>

#include "tests/unit/store-fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/count.h"
#include "controllerd/audit.h"
#include "controllerd/events.h"
#include "controllerd/store/store_event.h"

#define CLIENTS 12
#define BATCHES 60
#define PER_BATCH 50
#define EVENTS (BATCHES * PER_BATCH)
#define TOKEN UUID("0071")

static struct store_fixture f;
static struct ctl ctl;
static unsigned char token_hash[HASH_LEN];

/* ---- the controller's side, no more of it than streams need ---- */

static void
on_begin(struct http_req *rq, void *arg)
{
    struct call *c = xnew(struct call);

    c->ctl = arg;
    c->rq = rq;
    rq->user = c;
    if (!auth_cache_find(c->ctl->auth, token_hash, false, clock_now_us(),
                         &c->who))
        rq->status = 401;
}

static enum http_next
on_handle(struct http_req *rq, void *arg)
{
    struct event_filter filter = {.admin = true};
    struct buf first _cleanup_(buf_release) = {0};
    struct call *c = rq->user;

    buf_adds(&first, "retry: 1\n\n");
    if (strcmp(rq->path, "/own") == 0)
        memcpy(filter.project_id, P1, ID_SIZE);
    if (strcmp(rq->path, "/last") == 0)
        snprintf(filter.kinds, sizeof(filter.kinds), "thing.last");
    int r = events_stream(c, &filter, &first, 0);
    if (r < 0)
        rq->status = 429;
    return HTTP_REPLY;
}

static void
on_end(struct http_req *rq, void *arg)
{
    struct call *c = rq->user;

    if (c->work && c->work_free)
        c->work_free(c->work);
    err_release(&c->err);
    free(c);
}

static const struct http_ops ops = {
    .begin = on_begin, .handle = on_handle, .end = on_end};

static int
setup(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    struct db *db = NULL;

    store_fixture_open(&f);
    add_project(f.db, P1, "one");
    add_project(f.db, P2, "two");
    ctl = (struct ctl){.db_path = f.path};
    ctl.cfg.max_streams = ctl.cfg.max_streams_per_token = CLIENTS;
    ctl.auth = auth_cache_new();
    struct store_token t = {.a = {.id = TOKEN,
                                  .name = (char *)"t",
                                  .role = ROLE_OPERATOR,
                                  .created_at = T0}};
    memset(t.hash, 7, sizeof(t.hash));
    memcpy(token_hash, t.hash, sizeof(t.hash));
    auth_cache_put_token(ctl.auth, &t);
    assert_int_equal(store_open(f.path, true, &db, &e), 0);
    assert_int_equal(db_writer_start(db, &ctl.writer), 0);
    audit_start(&ctl);
    assert_int_equal(events_start(&ctl, &e), 0);
    struct http_config hc = {.listen = "127.0.0.1:0",
                             .threads = 2,
                             .max_connections = 100,
                             .idle_timeout_s = 600,
                             .ops = &ops,
                             .arg = &ctl};
    assert_int_equal(http_start(&hc, &ctl.http, &e), 0);
    return 0;
}

static int
teardown(void **state)
{
    events_stop(&ctl);
    http_stop(ctl.http);
    events_free(&ctl);
    db_writer_stop(ctl.writer);
    audit_free(&ctl);
    auth_cache_free(ctl.auth);
    return store_fixture_close(&f);
}

struct emit_job {
    struct db_job job;
    int n;
    const char *kind;
};

static int
emit_run(struct db *db, struct db_job *job)
{
    struct emit_job *j = (struct emit_job *)job;
    int r = 0;

    for (int i = 0; i < j->n && r == 0; i++) {
        struct api_event e = {.kind = (char *)j->kind,
                              .project_id = i % 2 ? P1 : P2,
                              .resource_type = (char *)"thing"};

        r = store_event_insert(db, &e);
    }
    return r;
}

static void
emit_kind(const char *kind, int n)
{
    struct emit_job j = {.job.run = emit_run, .n = n, .kind = kind};

    assert_int_equal(db_writer_call(ctl.writer, &j.job), 0);
    events_committed(&ctl);
}

static void
emit(int n)
{
    emit_kind("thing.made", n);
}

/* ---- clients ---- */

static int
client(const char *path)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)http_port(ctl.http)),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char text[64];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int small = 4096;

    assert_true(fd >= 0);
    assert_int_equal(
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
    assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
    return fd;
}

struct reader {
    pthread_t thread;
    int fd;
    int64_t last, n, want; /* seqs: increasing, and how many */
    bool orderly;
    long pause_every; /* reads, then a moment of the others' */
};

/* Moves whole chunks (RFC 9112 section 7.1) from raw into text; false at the
 * last one. */
static bool
dechunk(struct buf *raw, bool *headers, struct buf *text)
{
    char *p;

    if (!*headers && raw->len && (p = strstr(raw->data, "\r\n\r\n"))) {
        *headers = true;
        buf_consume(raw, (size_t)(p + 4 - raw->data));
    }
    while (*headers && raw->len && (p = strstr(raw->data, "\r\n"))) {
        size_t n = strtoul(raw->data, NULL, 16);
        size_t head = (size_t)(p + 2 - raw->data);

        if (n == 0)
            return false;
        if (raw->len < head + n + 2)
            break;
        buf_add(text, p + 2, n);
        buf_consume(raw, head + n + 2);
    }
    return true;
}

/* Reads until there are as many as wanted, or the end. */
static void *
reader_main(void *arg)
{
    struct reader *r = arg;
    struct buf raw = {0}, text = {0};
    bool headers = false, more = true;
    long reads = 0;

    r->orderly = true;
    while (r->n < r->want && more) {
        char part[1500];
        ssize_t n = recv(r->fd, part, sizeof(part), 0);

        if (n <= 0)
            break;
        buf_add(&raw, part, (size_t)n);
        more = dechunk(&raw, &headers, &text);
        if (r->pause_every && ++reads % r->pause_every == 0)
            poll(NULL, 0, 1);
        for (char *end; text.len && (end = strstr(text.data, "\n\n"));) {
            if (strncmp(text.data, "id: ", 4) == 0) {
                int64_t seq = strtoll(text.data + 4, NULL, 10);

                r->orderly = r->orderly && seq > r->last;
                r->last = seq;
                r->n++;
            }
            buf_consume(&text, (size_t)(end + 2 - text.data));
        }
    }
    buf_release(&raw);
    buf_release(&text);
    return NULL;
}

static void
fan_out__every_client_gets_all_in_order(void **state)
{
    struct reader r[CLIENTS] = {0};

    for (int i = 0; i < CLIENTS; i++) {
        bool own = i % 3 == 0;

        r[i].fd = client(own ? "/own" : "/all");
        r[i].want = own ? EVENTS / 2 : EVENTS;
        r[i].pause_every = i % 4 == 3 ? 4 : 0;
        assert_int_equal(pthread_create(&r[i].thread, NULL, reader_main, &r[i]),
                         0);
    }
    for (int b = 0; b < BATCHES; b++)
        emit(PER_BATCH);
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(r[i].thread, NULL);
        assert_int_equal(r[i].n, r[i].want);
        assert_true(r[i].orderly);
        close(r[i].fd);
    }
}

/* One that reads nothing costs the others nothing, and gets it all later. */
static void
slow__client_holds_up_nobody(void **state)
{
    struct reader slow = {.fd = client("/all"), .want = EVENTS};
    struct reader quick = {.fd = client("/all"), .want = EVENTS};

    assert_int_equal(pthread_create(&quick.thread, NULL, reader_main, &quick),
                     0);
    for (int b = 0; b < BATCHES; b++)
        emit(PER_BATCH);
    pthread_join(quick.thread, NULL);
    assert_int_equal(quick.n, EVENTS);
    reader_main(&slow);
    assert_int_equal(slow.n, EVENTS);
    assert_true(slow.orderly);
    close(slow.fd);
    close(quick.fd);
}

/* However many are behind, a round looks at each of them once. */
static void
catching_up__looks_at_each_once_a_round(void **state)
{
    uint64_t looked = count_get("event_subs_looked");
    uint64_t rounds = count_get("event_rounds");
    struct reader r[CLIENTS] = {0};

    for (int b = 0; b < BATCHES; b++)
        emit(PER_BATCH);
    for (int i = 0; i < CLIENTS; i++) {
        r[i].fd = client("/all");
        r[i].want = EVENTS;
        assert_int_equal(pthread_create(&r[i].thread, NULL, reader_main, &r[i]),
                         0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(r[i].thread, NULL);
        assert_int_equal(r[i].n, EVENTS);
        assert_true(r[i].orderly);
        close(r[i].fd);
    }
    events_stop(&ctl); /* so that both numbers are of whole rounds */
    looked = count_get("event_subs_looked") - looked;
    rounds = count_get("event_rounds") - rounds;
    assert_true(rounds > 0 && looked > 0);
    assert_true(looked <= rounds * CLIENTS);
}

static int
status_of(int fd)
{
    char text[16] = "";

    assert_int_equal(recv(fd, text, 12, MSG_WAITALL), 12);
    return (int)strtol(text + 9, NULL, 10);
}

static void
limit__refuses_one_more(void **state)
{
    int fd[CLIENTS + 1];

    for (int i = 0; i <= CLIENTS; i++) {
        fd[i] = client("/all");
        assert_int_equal(status_of(fd[i]), i < CLIENTS ? 200 : 429);
    }
    /* The place of one that went away is free once it is noticed. */
    for (int i = 0; i <= CLIENTS; i++)
        close(fd[i]);
    int again, status;
    do {
        emit(1);
        again = client("/all");
        status = status_of(again);
        close(again);
    } while (status != 200);
}

static void
revoked__streams_end(void **state)
{
    struct reader r[4] = {0};

    emit(10);
    for (int i = 0; i < 4; i++) {
        r[i].fd = client("/all");
        r[i].want = INT64_MAX;
        assert_int_equal(status_of(r[i].fd), 200);
    }
    auth_cache_drop_token(ctl.auth, TOKEN);
    events_recheck(&ctl);
    for (int i = 0; i < 4; i++) {
        reader_main(&r[i]); /* until the end */
        close(r[i].fd);
    }
}

/* While the thread has much to read for it, too: what comes after is told to
 * others only. */
static void
revoked__stream_that_is_behind_hears_nothing_more(void **state)
{
    struct reader r = {.want = 1};

    for (int b = 0; b < 100; b++)
        emit(1000);
    r.fd = client("/last");
    assert_int_equal(status_of(r.fd), 200);
    auth_cache_drop_token(ctl.auth, TOKEN);
    events_recheck(&ctl);
    emit_kind("thing.last", 1);
    reader_main(&r);
    assert_int_equal(r.n, 0);
    close(r.fd);
}

static void
stop__ends_every_stream(void **state)
{
    struct reader r[4] = {0};

    for (int i = 0; i < 4; i++) {
        r[i].fd = client("/all");
        r[i].want = INT64_MAX;
        assert_int_equal(status_of(r[i].fd), 200);
    }
    emit(10);
    events_stop(&ctl);
    for (int i = 0; i < 4; i++) {
        reader_main(&r[i]);
        close(r[i].fd);
    }
    int fd = client("/all");
    assert_int_equal(status_of(fd), 429);
    close(fd);
}

/* Clients that come and go while there is much to tell. */
static void
churn__of_clients_leaves_the_rest_alone(void **state)
{
    struct reader r = {.fd = client("/all"), .want = EVENTS};

    assert_int_equal(pthread_create(&r.thread, NULL, reader_main, &r), 0);
    for (int b = 0; b < BATCHES; b++) {
        /* Who has left counts until something was to be sent to them. */
        while (events_streams(&ctl) == CLIENTS)
            poll(NULL, 0, 1);
        int fd = client(b % 2 ? "/own" : "/all");

        emit(PER_BATCH);
        if (b % 3 == 0) {
            struct reader few = {.fd = fd, .want = 5};

            reader_main(&few);
        }
        close(fd);
    }
    pthread_join(r.thread, NULL);
    assert_int_equal(r.n, EVENTS);
    assert_true(r.orderly);
    close(r.fd);
}

/* ---- refusals, from many threads ---- */

#define REFUSERS 4
#define REFUSALS 2000

static void *
refuse(void *arg)
{
    for (int i = 0; i < REFUSALS; i++) {
        struct http_req rq = {.method = "DELETE",
                              .path = "/v1/tokens/vt1.abcdef/x",
                              .remote = "::1",
                              .status = 404};
        struct call c = {.ctl = &ctl, .rq = &rq};

        c.m.route = &api_routes[ROUTE_TOKEN_DELETE];
        snprintf(c.who.token_id, ID_SIZE, "%s", TOKEN);
        err_set(&c.err, -ENOENT, "not_found", "no");
        audit_refused(&c);
        err_release(&c.err);
    }
    return NULL;
}

static void
refusals__are_capped_and_written(void **state)
{
    pthread_t t[REFUSERS];
    struct codec_list l = {0};
    int64_t begun = clock_mono_us();

    for (int i = 0; i < REFUSERS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, refuse, NULL), 0);
    for (int i = 0; i < REFUSERS; i++)
        pthread_join(t[i], NULL);
    int64_t seconds = (clock_mono_us() - begun) / US_PER_S + 2;
    for (;;) {
        struct emit_job j = {.job.run = emit_run, .n = 0};

        /* Behind the batches that were submitted; they submit their next. */
        assert_int_equal(db_writer_call(ctl.writer, &j.job), 0);
        size_t before = l.n;
        codec_list_clear(&table_audit, &l);
        assert_int_equal(store_audit_list(f.db, NULL, 0, 10000, &l), 0);
        if (l.n == before && l.n >= 200)
            break;
    }
    assert_in_range(l.n, 200, 200 * seconds);
    assert_string_equal(((struct api_audit *)l.items)->path,
                        "/v1/tokens/***/x");
    codec_list_clear(&table_audit, &l);
}

int
main(void)
{
#define TEST(x) cmocka_unit_test_setup_teardown(x, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(fan_out__every_client_gets_all_in_order),
        TEST(slow__client_holds_up_nobody),
        TEST(catching_up__looks_at_each_once_a_round),
        TEST(limit__refuses_one_more),
        TEST(revoked__streams_end),
        TEST(revoked__stream_that_is_behind_hears_nothing_more),
        TEST(stop__ends_every_stream),
        TEST(churn__of_clients_leaves_the_rest_alone),
        TEST(refusals__are_capped_and_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
