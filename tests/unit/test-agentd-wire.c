/* test-agentd-wire.c - the real virga-agentd against a small controller of
 * our own: joining, desired state, reports, requests, the console, kill -9.
 * The controller here knows just enough of docs/PROTOCOL.md to check that the
 * agent keeps to it. Over 800 lines: all cases share that controller. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "api/http.h"
#include "api/resources.h"
#include "api/ws.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/id.h"
#include "common/mem.h"
#include "common/pki.h"

extern char **environ;

#define WAIT_US (40 * US_PER_S)

struct world {
    char dir[64], ca_dir[80], state_dir[80], log_path[80], token_path[80];
    char url[64], node_id[ID_SIZE], fingerprint[HASH_HEX_SIZE];
    struct pki_ca *ca;
    char *cert, *key;
    struct http_server *server;
    pid_t pid;
    int port;

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    struct codec_list desired; /* struct api_desired_instance */
    int64_t seq, acked;
    struct codec_list seen; /* struct api_observation, as applied */
    struct codec_list quarantined;
    int reports, joins, hosts, polls;
    struct codec_list progress; /* struct api_progress, as it came */
    const char *stick;          /* requests of this path are not answered */
    struct http_req *stuck;     /* the one that is held back */
    const char *sim_options;
    bool refuse; /* answer everything with 503 */
    struct api_node_request request;
    bool request_waits;
    struct buf answer;
    char answer_type[64], log_end[32];
    struct http_upgraded *console;
};

/* ---- the controller ---- */

static void
problem(struct http_req *rq, int status, const char *code)
{
    buf_addf(&rq->reply,
             "{\"status\":%d,\"detail\":\"no: %s\",\"code\":\"%s\"}", status,
             code, code);
    rq->content_type = "application/problem+json";
    rq->status = status;
}

static bool
is_node(struct world *w, struct http_req *rq)
{
    char cn[64], print[HASH_HEX_SIZE];

    return http_peer(rq, cn, print, NULL) == 0 && streq(cn, w->node_id) &&
           streq(print, w->fingerprint);
}

static void
on_join(struct world *w, struct http_req *rq)
{
    struct api_join j = {0};
    struct err e _cleanup_(err_release) = {0};
    char *cert _cleanup_(freep) = NULL;

    if (codec_decode(&table_join, CODEC_REQUEST, rq->body.data, rq->body.len,
                     &j, &e) < 0) {
        problem(rq, 400, "invalid");
        return;
    }
    w->joins++;
    if (strncmp(j.token, "vj1.good.", 9) != 0) {
        problem(rq, 401, "bad_token");
    } else if (pki_sign_client(w->ca, j.csr, w->node_id, 1, &cert, &e) < 0) {
        problem(rq, 400, "bad_csr");
    } else {
        struct api_joined out = {.node_id = w->node_id,
                                 .certificate = cert,
                                 .ca = (char *)pki_ca_pem(w->ca)};

        assert_int_equal(pki_fingerprint(cert, w->fingerprint, NULL), 0);
        codec_encode(&table_joined, &out, &rq->reply);
        rq->status = 201;
    }
    codec_clear(&table_join, &j);
}

static bool
has_news(struct world *w, int64_t since)
{
    const struct api_desired_instance *d = w->desired.items;

    for (size_t i = 0; i < w->desired.n; i++)
        if (d[i].seq > since)
            return true;
    return w->request_waits;
}

/* The lock is held; a short wait is long enough for a test. */
static void
on_desired(struct world *w, struct http_req *rq)
{
    int64_t since = strtoll(http_query(rq, "since"), NULL, 10);
    const char *after = http_query(rq, "after");
    int64_t from = after ? strtoll(after, NULL, 10) : since;
    int64_t end = clock_mono_us() + US_PER_S / 4;
    struct api_desired out = {.seq = since, .full = since == 0};
    const struct api_desired_instance *d;

    w->polls++;
    while (since && !has_news(w, since) && clock_mono_us() < end) {
        int64_t at = clock_now_us() + US_PER_S / 50;
        struct timespec ts = {.tv_sec = at / US_PER_S,
                              .tv_nsec = at % US_PER_S * 1000};

        pthread_cond_timedwait(&w->changed, &w->lock, &ts);
    }
    d = w->desired.items;
    out.instances.items = xcalloc(2, table_desired_instance.size);
    /* Pages of two, in the order of seq. */
    for (size_t i = 0; i < w->desired.n; i++) {
        if (d[i].seq <= from)
            continue;
        if (out.instances.n == 2) {
            out.more = true;
            break;
        }
        ((struct api_desired_instance *)
             out.instances.items)[out.instances.n++] = d[i];
        out.seq = d[i].seq;
    }
    if (out.full && !out.more)
        out.seq = MAX(out.seq, w->seq);
    if (w->request_waits) {
        out.requests = (struct codec_list){&w->request, 1};
        w->request_waits = false;
    }
    codec_encode(&table_desired, &out, &rq->reply);
    free(out.instances.items);
    rq->status = 200;
}

static void
on_report(struct world *w, struct http_req *rq)
{
    struct api_report rep = {0};
    struct err e _cleanup_(err_release) = {0};

    if (codec_decode(&table_report, CODEC_REQUEST, rq->body.data, rq->body.len,
                     &rep, &e) < 0) {
        fprintf(stderr, "# bad report: %s\n", e.message);
        problem(rq, 400, "invalid");
        return;
    }
    w->reports++;
    w->hosts += rep.host != NULL;
    struct api_observation *o = rep.observations.items;
    for (size_t i = 0; i < rep.observations.n; i++) {
        if (o[i].seq <= w->acked)
            continue;
        w->acked = o[i].seq;
        struct api_observation *keep =
            codec_list_add(&table_observation, &w->seen);
        *keep = o[i];
        o[i] = (struct api_observation){0};
    }
    struct api_progress *pr = rep.progress.items;
    for (size_t i = 0; i < rep.progress.n; i++) {
        struct api_progress *keep =
            codec_list_add(&table_progress, &w->progress);
        *keep = pr[i];
        pr[i] = (struct api_progress){0};
    }
    codec_strings_clear(&w->quarantined);
    w->quarantined = rep.quarantined;
    rep.quarantined = (struct codec_list){0};
    codec_clear(&table_report, &rep);
    buf_addf(&rq->reply, "{\"seq\":%lld}", (long long)w->acked);
    rq->status = 200;
    pthread_cond_broadcast(&w->changed);
}

static void
on_answer(struct world *w, struct http_req *rq)
{
    const char *end = http_header(rq, "Virga-Log-End");
    const char *type = http_header(rq, "Content-Type");

    buf_clear(&w->answer);
    buf_add(&w->answer, buf_str(&rq->body), rq->body.len);
    snprintf(w->answer_type, sizeof(w->answer_type), "%s", type ? type : "");
    snprintf(w->log_end, sizeof(w->log_end), "%s", end ? end : "");
    rq->status = 204;
    pthread_cond_broadcast(&w->changed);
}

static enum http_next
handle(struct http_req *rq, void *arg)
{
    struct world *w = arg;

    pthread_mutex_lock(&w->lock);
    if (streq(rq->path, "/v1/ca")) {
        buf_adds(&rq->reply, pki_ca_pem(w->ca));
        rq->status = 200;
    } else if (w->refuse) {
        problem(rq, 503, "busy");
    } else if (streq(rq->path, "/v1/join")) {
        on_join(w, rq);
    } else if (w->stick && streq(rq->path, w->stick)) {
        w->stuck = rq;
        http_suspend(rq);
        pthread_mutex_unlock(&w->lock);
        return HTTP_WAIT;
    } else if (!is_node(w, rq)) {
        problem(rq, 401, "unauthorized");
    } else if (streq(rq->path, "/v1/agent/desired")) {
        on_desired(w, rq);
    } else if (streq(rq->path, "/v1/agent/report")) {
        on_report(w, rq);
    } else if (strncmp(rq->path, "/v1/agent/requests/", 19) == 0) {
        on_answer(w, rq);
    } else if (strncmp(rq->path, "/v1/agent/console/", 18) == 0) {
        if (http_reply_websocket(rq, w, NULL) < 0)
            problem(rq, 400, "handshake");
    } else {
        problem(rq, 404, "not_found");
    }
    pthread_mutex_unlock(&w->lock);
    return HTTP_REPLY;
}

static void
on_begin(struct http_req *rq, void *arg)
{
}

static void
on_end(struct http_req *rq, void *arg)
{
}

static void
on_upgraded(struct http_upgraded *u, void *token, void *arg)
{
    struct world *w = arg;

    pthread_mutex_lock(&w->lock);
    w->console = u;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void
listen_on(struct world *w)
{
    static const struct http_ops ops = {.begin = on_begin,
                                        .handle = handle,
                                        .end = on_end,
                                        .upgraded = on_upgraded};
    char *listen_text _cleanup_(freep) = xasprintf("127.0.0.1:%d", w->port);
    struct http_config hc = {.listen = listen_text,
                             .cert_pem = w->cert,
                             .key_pem = w->key,
                             .client_ca_pem = pki_ca_pem(w->ca),
                             .threads = 4,
                             .max_connections = 64,
                             .idle_timeout_s = 60,
                             .ops = &ops,
                             .arg = w};
    struct err e _cleanup_(err_release) = {0};

    if (http_start(&hc, &w->server, &e) < 0)
        fail_msg("%s", e.message);
    w->port = (int)http_port(w->server);
    snprintf(w->url, sizeof(w->url), "https://127.0.0.1:%d", w->port);
}

/* ---- the agent ---- */

static void
spawn_agent(struct world *w)
{
    const char *path = getenv("VIRGA_AGENTD");
    const char *argv[] = {path ? path : "./virga-agentd",
                          "--config=/dev/null",
                          "--controller",
                          w->url,
                          "--state-dir",
                          w->state_dir,
                          "--join-token-file",
                          w->token_path,
                          "--name=node-1",
                          "--driver=sim",
                          "--heartbeat=500ms",
                          w->sim_options ? "--sim-options" : NULL,
                          w->sim_options,
                          NULL};
    posix_spawn_file_actions_t fa;

    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_addopen(&fa, 2, w->log_path,
                                     O_WRONLY | O_CREAT | O_APPEND, 0600);
    int r =
        posix_spawn(&w->pid, argv[0], &fa, NULL, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&fa);
    assert_int_equal(r, 0);
}

static int
end_agent(struct world *w, int sig)
{
    int status;

    assert_int_equal(kill(w->pid, sig), 0);
    assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
    w->pid = 0;
    return status;
}

static int
wait_exit(struct world *w)
{
    int status;

    assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
    w->pid = 0;
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void
write_token(struct world *w, const char *head)
{
    char hash[HASH_HEX_SIZE];
    const char *pem = pki_ca_pem(w->ca);

    hash_sha256_hex(pem, strlen(pem), hash);
    char *token _cleanup_(freep) = xasprintf("vj1.%s.s3cret.%s\n", head, hash);
    assert_int_equal(
        fs_write_atomic(w->token_path, token, strlen(token), 0600, NULL), 0);
}

static int
setup(void **state)
{
    static const char *const sans[] = {"127.0.0.1"};
    struct world *w = xnew(struct world);
    struct err e _cleanup_(err_release) = {0};

    signal(SIGPIPE, SIG_IGN);
    snprintf(w->dir, sizeof(w->dir), "/tmp/virga-wire-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->ca_dir, sizeof(w->ca_dir), "%s/ca", w->dir);
    snprintf(w->state_dir, sizeof(w->state_dir), "%s/agent", w->dir);
    snprintf(w->log_path, sizeof(w->log_path), "%s/log", w->dir);
    snprintf(w->token_path, sizeof(w->token_path), "%s/token", w->dir);
    id_new(w->node_id);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    int r = pki_ca_open(w->ca_dir, &w->ca, &e);
    if (r == 0)
        r = pki_issue_server(w->ca, sans, 1, 1, &w->cert, &w->key, &e);
    if (r < 0)
        fail_msg("%s", e.message);
    listen_on(w);
    write_token(w, "good");
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;

    if (w->pid)
        end_agent(w, SIGKILL);
    if (w->stuck) {
        w->stick = NULL;
        http_resume(w->stuck);
    }
    if (w->console)
        http_upgraded_close(w->console);
    if (w->server)
        http_stop(w->server);
    codec_list_clear(&table_desired_instance, &w->desired);
    codec_list_clear(&table_observation, &w->seen);
    codec_list_clear(&table_progress, &w->progress);
    codec_strings_clear(&w->quarantined);
    buf_release(&w->answer);
    pki_ca_free(w->ca);
    free(w->cert);
    free(w->key);
    int r = fs_remove_tree(w->dir, NULL);
    free(w);
    return r;
}

/* Waits until cond(w) holds, with the lock. */
static void
wait_for(struct world *w, bool (*cond)(struct world *w), const char *what)
{
    int64_t end = clock_mono_us() + WAIT_US;

    pthread_mutex_lock(&w->lock);
    bool ok;
    while (!(ok = cond(w)) && clock_mono_us() < end) {
        int64_t at = clock_now_us() + US_PER_S / 20;
        struct timespec ts = {.tv_sec = at / US_PER_S,
                              .tv_nsec = at % US_PER_S * 1000};

        pthread_cond_timedwait(&w->changed, &w->lock, &ts);
    }
    pthread_mutex_unlock(&w->lock);
    if (!ok) {
        struct buf log _cleanup_(buf_release) = {0};

        if (fs_read(w->log_path, 1 << 20, &log, NULL) == 0)
            fprintf(stderr, "%s", buf_str(&log));
        fail_msg("not in time: %s", what);
    }
}

#define WAIT_FOR(w, cond) wait_for(w, cond, #cond)

static void
assert_log(struct world *w, const char *word)
{
    struct buf log _cleanup_(buf_release) = {0};

    assert_int_equal(fs_read(w->log_path, 1 << 20, &log, NULL), 0);
    if (!strstr(buf_str(&log), word))
        fail_msg("no \"%s\" in:\n%s", word, buf_str(&log));
}

static void
want_as(struct world *w, const char *id, int64_t run, enum api_power power,
        bool paused)
{
    pthread_mutex_lock(&w->lock);
    struct api_desired_instance *d = w->desired.items;
    size_t i = 0;

    /* A changed one moves to the end: the list stays in the order of seq. */
    while (i < w->desired.n && !streq(d[i].id, id))
        i++;
    if (i < w->desired.n) {
        struct api_desired_instance moved = d[i];

        memmove(&d[i], &d[i + 1], (w->desired.n - i - 1) * sizeof(*d));
        d[w->desired.n - 1] = moved;
        d = &d[w->desired.n - 1];
    } else {
        d = codec_list_add(&table_desired_instance, &w->desired);
        d->id = xstrdup(id);
        d->project_id = xstrdup("01890a5d-ac96-774b-bcce-b302099a8057");
        d->name = xstrdup("web");
        d->request_id = xstrdup("rq-of-the-tenant");
        d->vcpus = 1;
        d->memory_bytes = 64 << 20;
    }
    d->seq = ++w->seq;
    d->run = run;
    d->power = power;
    d->paused = paused;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void
want(struct world *w, const char *id, int64_t run, enum api_power power)
{
    want_as(w, id, run, power, false);
}

static size_t
count(struct world *w, enum api_observed state)
{
    const struct api_observation *o = w->seen.items;
    size_t n = 0;

    for (size_t i = 0; i < w->seen.n; i++)
        n += o[i].state == (int)state;
    return n;
}

static bool
reported(struct world *w)
{
    return w->reports > 0;
}

static bool
one_runs(struct world *w)
{
    return count(w, OBSERVED_RUNNING) == 1;
}

static bool
five_run(struct world *w)
{
    return count(w, OBSERVED_RUNNING) == 5;
}

static bool
five_deleted(struct world *w)
{
    return count(w, OBSERVED_DELETED) == 5;
}

static bool
answered(struct world *w)
{
    return w->answer_type[0] != '\0';
}

static bool
console_is_open(struct world *w)
{
    return w->console != NULL;
}

static bool
two_run(struct world *w)
{
    return count(w, OBSERVED_RUNNING) == 2;
}

static bool
polled_five_times(struct world *w)
{
    return w->polls >= 5;
}

static bool
polled(struct world *w)
{
    return w->polls > 0;
}

static bool
is_stuck(struct world *w)
{
    return w->stuck != NULL;
}

static const struct api_progress *
progress_at(struct world *w, const char *step)
{
    const struct api_progress *p = w->progress.items;

    for (size_t i = 0; i < w->progress.n; i++)
        if (streq(p[i].step, step))
            return &p[i];
    return NULL;
}

static bool
starting_is_told(struct world *w)
{
    return progress_at(w, "start") != NULL;
}

static bool
pausing_is_told(struct world *w)
{
    return progress_at(w, "pause") != NULL;
}

/* Requests of the path are held back from now on (NULL: none, and what is
 * held back is answered). */
static void
stick(struct world *w, const char *path)
{
    pthread_mutex_lock(&w->lock);
    struct http_req *stuck = path ? NULL : w->stuck;
    w->stick = path;
    if (!path)
        w->stuck = NULL;
    w->polls = 0;
    pthread_mutex_unlock(&w->lock);
    if (stuck)
        http_resume(stuck);
}

/* ---- cases ---- */

static void
agentd__joins_once_and_reports_its_host(void **state)
{
    struct world *w = *state;
    struct stat st;
    char *key _cleanup_(freep) =
        xasprintf("%s/identity/node.key", w->state_dir);

    spawn_agent(w);
    WAIT_FOR(w, reported);
    assert_int_equal(stat(key, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(end_agent(w, SIGTERM), 0);
    assert_log(w, "msg=\"ready\"");
    pthread_mutex_lock(&w->lock);
    assert_int_equal(w->joins, 1);
    assert_true(w->hosts > 0);
    w->reports = w->hosts = 0;
    pthread_mutex_unlock(&w->lock);
    spawn_agent(w);
    WAIT_FOR(w, reported);
    assert_int_equal(w->joins, 1);
    assert_true(w->hosts > 0);
}

static void
agentd__wrong_ca_ends_the_start(void **state)
{
    struct world *w = *state;
    static const char token[] = "vj1.good.s.00000000000000000000000000000000"
                                "00000000000000000000000000000000";

    assert_int_equal(
        fs_write_atomic(w->token_path, token, strlen(token), 0600, NULL), 0);
    spawn_agent(w);
    assert_int_equal(wait_exit(w), 1);
    assert_log(w, "wrong_controller");
    assert_int_equal(w->joins, 0);
}

static void
agentd__refused_token_ends_the_start(void **state)
{
    struct world *w = *state;

    write_token(w, "spent");
    spawn_agent(w);
    assert_int_equal(wait_exit(w), 1);
    assert_log(w, "bad_token");
}

static void
agentd__second_agent_of_a_folder_is_refused(void **state)
{
    struct world *w = *state;

    spawn_agent(w);
    WAIT_FOR(w, reported);
    pid_t first = w->pid;
    spawn_agent(w);
    assert_int_equal(wait_exit(w), 1);
    assert_log(w, "in_use");
    w->pid = first;
}

/* That it lives its questions say. */
static void
agentd__idle_agent_only_asks(void **state)
{
    struct world *w = *state;
    char id[ID_SIZE];

    id_new(id);
    want(w, id, 1, POWER_RUNNING);
    spawn_agent(w);
    WAIT_FOR(w, one_runs);
    stick(w, NULL);
    WAIT_FOR(w, polled_five_times);
    pthread_mutex_lock(&w->lock);
    int reports = w->reports;
    w->polls = 0;
    pthread_mutex_unlock(&w->lock);
    WAIT_FOR(w, polled_five_times);
    assert_int_equal(w->reports, reports);
}

static void
agentd__stuck_report_holds_up_no_wish(void **state)
{
    struct world *w = *state;
    char id[2][ID_SIZE];

    id_new(id[0]);
    id_new(id[1]);
    spawn_agent(w);
    WAIT_FOR(w, reported);
    stick(w, "/v1/agent/report");
    want(w, id[0], 1, POWER_RUNNING);
    WAIT_FOR(w, is_stuck);
    want(w, id[1], 1, POWER_RUNNING);
    WAIT_FOR(w, polled_five_times);
    assert_int_equal(w->seen.n, 0);
    stick(w, NULL);
    WAIT_FOR(w, two_run);
}

static void
agentd__stuck_question_holds_up_no_report(void **state)
{
    struct world *w = *state;
    char id[ID_SIZE];

    id_new(id);
    w->sim_options = "start_delay_ms=1000";
    want(w, id, 1, POWER_RUNNING);
    spawn_agent(w);
    WAIT_FOR(w, polled);
    stick(w, "/v1/agent/desired");
    WAIT_FOR(w, is_stuck);
    WAIT_FOR(w, one_runs);
    stick(w, NULL);
    WAIT_FOR(w, polled_five_times);
}

static void
agentd__progress_is_told_with_its_reason(void **state)
{
    struct world *w = *state;
    char id[ID_SIZE];

    id_new(id);
    w->sim_options = "start_delay_ms=2000,pause=0";
    want(w, id, 3, POWER_RUNNING);
    spawn_agent(w);
    WAIT_FOR(w, starting_is_told);
    const struct api_progress *p = progress_at(w, "start");
    assert_string_equal(p->instance_id, id);
    assert_int_equal(p->run, 3);
    assert_null(p->reason);
    WAIT_FOR(w, one_runs);
    want_as(w, id, 3, POWER_RUNNING, true);
    WAIT_FOR(w, pausing_is_told);
    assert_string_equal(progress_at(w, "pause")->reason,
                        "this node's driver cannot pause");
    /* Not twice. */
    pthread_mutex_lock(&w->lock);
    size_t n = w->progress.n;
    w->polls = 0;
    pthread_mutex_unlock(&w->lock);
    WAIT_FOR(w, polled_five_times);
    assert_int_equal(w->progress.n, n);
}

static bool
one_failed(struct world *w)
{
    return count(w, OBSERVED_FAILED) == 1;
}

static void
agentd__log_of_the_work_names_the_request(void **state)
{
    struct world *w = *state;
    char id[ID_SIZE];

    id_new(id);
    w->sim_options = "start_fail_permille=1000";
    want(w, id, 1, POWER_RUNNING);
    spawn_agent(w);
    WAIT_FOR(w, one_failed);
    char *line _cleanup_(freep) = xasprintf(
        "msg=\"the instance cannot be started\" req=rq-of-the-tenant inst=%s",
        id);
    assert_log(w, line);
}

static void
agentd__full_listing_comes_in_pages(void **state)
{
    struct world *w = *state;
    char ids[5][ID_SIZE];

    for (int i = 0; i < 5; i++) {
        id_new(ids[i]);
        want(w, ids[i], 1, POWER_RUNNING);
    }
    spawn_agent(w);
    WAIT_FOR(w, five_run);
    for (int i = 0; i < 5; i++)
        want(w, ids[i], 1, POWER_DELETED);
    WAIT_FOR(w, five_deleted);
}

static bool
tried_in_vain(struct world *w)
{
    struct buf log _cleanup_(buf_release) = {0};

    return fs_read(w->log_path, 1 << 20, &log, NULL) == 0 &&
           strstr(buf_str(&log), "cannot join yet");
}

static void
agentd__waits_for_its_controller(void **state)
{
    struct world *w = *state;
    char id[ID_SIZE];

    id_new(id);
    http_stop(w->server);
    w->server = NULL;
    spawn_agent(w);
    WAIT_FOR(w, tried_in_vain);
    listen_on(w);
    want(w, id, 1, POWER_RUNNING);
    WAIT_FOR(w, one_runs);
}

static void
agentd__outage_loses_no_observation(void **state)
{
    struct world *w = *state;
    char ids[5][ID_SIZE];

    spawn_agent(w);
    WAIT_FOR(w, reported);
    for (int i = 0; i < 5; i++) {
        id_new(ids[i]);
        want(w, ids[i], 1, POWER_RUNNING);
    }
    /* Down and up again a few times while five start. */
    for (int i = 0; i < 3; i++) {
        pthread_mutex_lock(&w->lock);
        w->refuse = !w->refuse;
        pthread_mutex_unlock(&w->lock);
        usleep(150000);
    }
    pthread_mutex_lock(&w->lock);
    w->refuse = false;
    pthread_mutex_unlock(&w->lock);
    WAIT_FOR(w, five_run);
}

/* Reads sim's journal: no id may start twice without an end in between. */
static void
check_journal(struct world *w)
{
    char *path _cleanup_(freep) = xasprintf("%s/sim/journal", w->state_dir);
    struct buf text _cleanup_(buf_release) = {0};
    struct codec_list running = {0};
    char word[16], id[ID_SIZE], run[24];

    assert_int_equal(fs_read(path, 16 << 20, &text, NULL), 0);
    char *rest = text.data, *line;
    while ((line = strsep(&rest, "\n")) && *line) {
        size_t at = 0;

        assert_int_equal(sscanf(line, "%*s %15s %36s %23s", word, id, run), 3);
        while (at < running.n && !streq(((char **)running.items)[at], id))
            at++;
        if (streq(word, "start")) {
            if (at < running.n)
                fail_msg("runs twice: %s", line);
            codec_strings_add(&running, id);
        } else if (at < running.n) {
            ((char **)running.items)[at][0] = '\0';
        }
    }
    codec_strings_clear(&running);
}

static void
agentd__killed_at_any_moment_loses_and_doubles_nothing(void **state)
{
    struct world *w = *state;
    enum { N = 30, ROUNDS = 15 };
    char ids[N][ID_SIZE];
    int64_t runs[N];
    unsigned dice = 1;

    for (int i = 0; i < N; i++) {
        id_new(ids[i]);
        runs[i] = 1;
        want(w, ids[i], 1, POWER_RUNNING);
    }
    for (int round = 0; round < ROUNDS; round++) {
        spawn_agent(w);
        usleep((useconds_t)(rand_r(&dice) % 150000));
        for (int i = 0; i < N; i++) {
            unsigned k = (unsigned)rand_r(&dice) % 4;

            if (k == 0)
                want(w, ids[i], runs[i], POWER_STOPPED);
            else if (k == 1)
                want(w, ids[i], ++runs[i], POWER_RUNNING);
        }
        usleep((useconds_t)(rand_r(&dice) % 150000));
        end_agent(w, SIGKILL);
    }
    spawn_agent(w);
    for (int i = 0; i < N; i++)
        want(w, ids[i], runs[i], POWER_DELETED);
    /* All of them end and are told to; each run ran and ended at most once. */
    int64_t end = clock_mono_us() + WAIT_US;
    for (size_t n = 0; n < N && clock_mono_us() < end;) {
        usleep(20000);
        pthread_mutex_lock(&w->lock);
        n = count(w, OBSERVED_DELETED);
        pthread_mutex_unlock(&w->lock);
    }
    pthread_mutex_lock(&w->lock);
    assert_int_equal(count(w, OBSERVED_DELETED), N);
    struct api_observation *o = w->seen.items;
    for (int i = 0; i < N; i++) {
        int64_t open = 0, last = 0;

        for (size_t k = 0; k < w->seen.n; k++) {
            if (!streq(o[k].instance_id, ids[i]))
                continue;
            if (o[k].state == OBSERVED_RUNNING) {
                assert_int_equal(open, 0);
                assert_true(o[k].run > last);
                open = last = o[k].run;
            } else if (o[k].state == OBSERVED_STOPPED) {
                assert_true(open == 0 || open == o[k].run);
                open = 0;
            } else {
                assert_int_equal(o[k].state, OBSERVED_DELETED);
                assert_int_equal(open, 0);
            }
        }
    }
    pthread_mutex_unlock(&w->lock);
    assert_int_equal(end_agent(w, SIGTERM), 0);
    check_journal(w);
}

static void
ask(struct world *w, enum api_request_kind kind, const char *id, char *rid)
{
    pthread_mutex_lock(&w->lock);
    id_new(rid);
    w->request = (struct api_node_request){.id = rid,
                                           .kind = kind,
                                           .instance_id = (char *)id,
                                           .offset = -1,
                                           .limit = 100};
    w->answer_type[0] = '\0';
    w->request_waits = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void
agentd__answers_questions(void **state)
{
    struct world *w = *state;
    char id[ID_SIZE], unknown[ID_SIZE], rid[ID_SIZE];
    struct api_stats st = {0};

    id_new(id);
    id_new(unknown);
    spawn_agent(w);
    want(w, id, 1, POWER_RUNNING);
    WAIT_FOR(w, one_runs);
    ask(w, REQUEST_CONSOLE_LOG, id, rid);
    WAIT_FOR(w, answered);
    assert_non_null(strstr(buf_str(&w->answer), "ready, run 1"));
    assert_int_equal(strtol(w->log_end, NULL, 10), w->answer.len);
    ask(w, REQUEST_STATS, id, rid);
    WAIT_FOR(w, answered);
    assert_int_equal(codec_decode(&table_stats, CODEC_REQUEST, w->answer.data,
                                  w->answer.len, &st, NULL),
                     0);
    assert_true(st.memory_bytes > 0);
    ask(w, REQUEST_STATS, unknown, rid);
    WAIT_FOR(w, answered);
    assert_string_equal(w->answer_type, "application/problem+json");
    ask(w, REQUEST_CONSOLE, unknown, rid);
    WAIT_FOR(w, answered);
    assert_string_equal(w->answer_type, "application/problem+json");
}

/* Reads frames until the echoed text came. */
static void
read_echo(int fd, const char *text)
{
    struct buf in _cleanup_(buf_release) = {0};
    struct buf got _cleanup_(buf_release) = {0};
    char chunk[512];
    struct ws_frame f;

    while (!strstr(buf_str(&got), text)) {
        struct pollfd p = {.fd = fd, .events = POLLIN};

        assert_int_equal(poll(&p, 1, 20000), 1);
        ssize_t n = read(fd, chunk, sizeof(chunk));
        assert_true(n > 0);
        buf_add(&in, chunk, (size_t)n);
        int used;
        while (in.len && (used = ws_decode(&in, true, &f)) > 0) {
            if (f.opcode == WS_BINARY)
                buf_add(&got, f.payload, f.len);
            buf_consume(&in, (size_t)used);
        }
    }
}

static void
agentd__console_couples_and_a_newer_one_replaces_it(void **state)
{
    struct world *w = *state;
    struct buf out _cleanup_(buf_release) = {0};
    char id[ID_SIZE], rid[ID_SIZE], rid2[ID_SIZE], chunk[512];
    ssize_t n;

    id_new(id);
    spawn_agent(w);
    want(w, id, 1, POWER_RUNNING);
    WAIT_FOR(w, one_runs);
    ask(w, REQUEST_CONSOLE, id, rid);
    WAIT_FOR(w, console_is_open);
    struct http_upgraded *first = w->console;
    ws_encode(WS_BINARY, "hello\r", 6, false, &out);
    assert_int_equal(fs_write_all(first->fd, out.data, out.len), 0);
    read_echo(first->fd, "hello");
    pthread_mutex_lock(&w->lock);
    w->console = NULL;
    pthread_mutex_unlock(&w->lock);
    ask(w, REQUEST_CONSOLE, id, rid2);
    /* The first is closed, politely or by the end of the stream. */
    while ((n = read(first->fd, chunk, sizeof(chunk))) > 0 &&
           (chunk[0] & 0x0f) != WS_CLOSE)
        continue;
    http_upgraded_close(first);
    WAIT_FOR(w, console_is_open);
    assert_int_equal(fs_write_all(w->console->fd, out.data, out.len), 0);
    read_echo(w->console->fd, "hello");
    /* An open console does not keep the agent from ending. */
    int64_t t0 = clock_mono_us();
    assert_int_equal(end_agent(w, SIGTERM), 0);
    assert_true(clock_mono_us() - t0 < 10 * US_PER_S);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(agentd__joins_once_and_reports_its_host),
        T(agentd__wrong_ca_ends_the_start),
        T(agentd__refused_token_ends_the_start),
        T(agentd__second_agent_of_a_folder_is_refused),
        T(agentd__idle_agent_only_asks),
        T(agentd__stuck_report_holds_up_no_wish),
        T(agentd__stuck_question_holds_up_no_report),
        T(agentd__progress_is_told_with_its_reason),
        T(agentd__log_of_the_work_names_the_request),
        T(agentd__full_listing_comes_in_pages),
        T(agentd__waits_for_its_controller),
        T(agentd__outage_loses_no_observation),
        T(agentd__killed_at_any_moment_loses_and_doubles_nothing),
        T(agentd__answers_questions),
        T(agentd__console_couples_and_a_newer_one_replaces_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
