/* main.c - virga-controllerd: start, first start, stop.
 * Order of start: settings, lock, database, certificates, memory state,
 * writer, HTTP. Stop is the reverse: every request that was accepted is
 * answered, every write that was accepted is committed. */
#include <config.h>

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/mem.h"
#include "controllerd/audit.h"
#include "controllerd/config.h"
#include "controllerd/events.h"
#include "controllerd/log_room.h"
#include "controllerd/rate.h"
#include "controllerd/store/store_event.h"
#include "controllerd/webhooks.h"
#include "controllerd/backup.h"
#include "controllerd/quota.h"

#define SERVER_DAYS 825
#define RENEW_US (90 * 86400 * US_PER_S)
#define NAMES_MAX 32
#define DRAIN_US (3 * US_PER_S)
#define THREADS_MIN 4
#define THREADS_MAX 32

/* ---- certificates ---- */

struct names {
    const char *list[NAMES_MAX];
    size_t n;
    char *text, host[256];
};

static void
collect_names(struct names *ns, const char *more)
{
    char *save = NULL;

    ns->list[ns->n++] = "localhost";
    ns->list[ns->n++] = "127.0.0.1";
    ns->list[ns->n++] = "::1";
    if (gethostname(ns->host, sizeof(ns->host) - 1) == 0 && ns->host[0])
        ns->list[ns->n++] = ns->host;
    ns->text = xstrdup(more);
    for (char *w = strtok_r(ns->text, ", ", &save); w && ns->n < NAMES_MAX;
         w = strtok_r(NULL, ", ", &save))
        ns->list[ns->n++] = w;
}

/* Reuses the stored certificate while it covers all names and lasts. */
static int
server_certificate(struct ctl *ctl, const char *dir, char **ret_cert,
                   char **ret_key, struct err *reterr)
{
    char *cpath _cleanup_(freep) = xasprintf("%s/server.crt", dir);
    char *kpath _cleanup_(freep) = xasprintf("%s/server.key", dir);
    struct buf cert _cleanup_(buf_release) = {0};
    struct buf key _cleanup_(buf_release) = {0};
    struct names ns = {0};
    int64_t expiry = 0;

    collect_names(&ns, ctl->cfg.server_names);
    int r = fs_read(cpath, 65536, &cert, NULL);
    if (r == 0)
        r = fs_read(kpath, 65536, &key, NULL);
    if (r == 0 && pki_covers(buf_str(&cert), ns.list, ns.n) &&
        pki_expiry_us(buf_str(&cert), &expiry, NULL) == 0 &&
        expiry > clock_now_us() + RENEW_US) {
        *ret_cert = buf_take(&cert);
        *ret_key = buf_take(&key);
        free(ns.text);
        return 0;
    }
    r = pki_issue_server(ctl->ca, ns.list, ns.n, SERVER_DAYS, ret_cert, ret_key,
                         reterr);
    free(ns.text);
    if (r == 0)
        r = fs_write_atomic(kpath, *ret_key, strlen(*ret_key), 0600, reterr);
    if (r == 0)
        r = fs_write_atomic(cpath, *ret_cert, strlen(*ret_cert), 0644, reterr);
    return r;
}

/* ---- first start ---- */

/* The default project and the first operator token. The token's text is on
 * disk before its row: a start that is cut short in between makes a new one. */
static int
first_start(struct ctl *ctl, struct db *db, struct err *reterr)
{
    char *path _cleanup_(freep) =
        xasprintf("%s/admin.token", ctl->cfg.state_dir);
    char pid[ID_SIZE], tid[ID_SIZE], secret[TOKEN_TEXT_SIZE];
    struct api_project p = {0};
    struct store_token t = {0};
    int r = store_project_get(db, "default", &p);

    if (r == 0) {
        memcpy(ctl->default_project, p.id, ID_SIZE);
        codec_clear(&table_project, &p);
        return 0;
    }
    if (r != -ENOENT)
        return db_err(db, r, reterr);
    id_new(pid);
    id_new(tid);
    auth_new_secret(secret, t.hash);
    p = (struct api_project){
        .id = pid, .name = (char *)"default", .created_at = clock_now_us()};
    t.a = (struct api_token){.id = tid,
                             .name = (char *)"admin",
                             .role = ROLE_OPERATOR,
                             .created_at = p.created_at};
    char *line _cleanup_(freep) = xasprintf("%s\n", secret);
    r = fs_write_atomic(path, line, strlen(line), 0600, reterr);
    if (r < 0)
        return r;
    r = store_first(db, &p, &t);
    if (r < 0)
        return db_err(db, r, reterr);
    memcpy(ctl->default_project, pid, ID_SIZE);
    log_info("first start: operator token made", "file=%s", path);
    return 0;
}

/* ---- expiry, once a minute on the writer ---- */

struct expiry {
    struct db_job job;
    struct ctl *ctl;
};

static int
expire_run(struct db *db, struct db_job *job)
{
    struct expiry *e = (struct expiry *)job; /* its first member */
    int r = auth_keep(e->ctl, db);

    if (r == 0)
        r = nodes_keep(e->ctl, db);
    return r < 0 ? r : store_expire(db, clock_now_us(), 5000);
}

#define EXPIRE_BATCH 2000 /* rows, so that others get their turn */
#define EXPIRE_BATCHES 500

struct expire_job {
    struct db_job job; /* first */
    const struct ctl *ctl;
    int events, entries; /* that it removed */
};

static int
logs_run(struct db *db, struct db_job *job)
{
    struct expire_job *j = (struct expire_job *)job;
    const struct ctl_config *cfg = &j->ctl->cfg;
    int64_t now = clock_now_us();

    j->events = store_event_expire(db, now - cfg->events_keep_us, INT64_MAX,
                                   EXPIRE_BATCH);
    j->entries = store_audit_expire(db, now - cfg->audit_keep_us, INT64_MAX,
                                    EXPIRE_BATCH);
    return j->events < 0 ? j->events : MIN(j->entries, 0);
}

/* What is more than there may be, by whose it is. */
static int
make_room(struct ctl *ctl)
{
    struct err e _cleanup_(err_release) = {0};
    struct db *db _cleanup_(db_closep) = NULL;
    int r = store_open(ctl->db_path, false, &db, &e);

    if (r == 0)
        r = log_room_make(ctl, db, STORE_LOG_EVENT, ctl->cfg.events_max);
    if (r == 0)
        r = log_room_make(ctl, db, STORE_LOG_AUDIT, ctl->cfg.audit_max);
    return r;
}

/* What is too old in the logs, batch by batch while there is more. */
static int
expire_logs(struct ctl *ctl)
{
    for (int i = 0; i < EXPIRE_BATCHES; i++) {
        struct expire_job j = {.job.run = logs_run, .ctl = ctl};
        int r = db_writer_call(ctl->writer, &j.job);

        if (r < 0)
            return r;
        if (j.events < EXPIRE_BATCH && j.entries < EXPIRE_BATCH)
            break;
    }
    return make_room(ctl);
}

/* ---- start and stop ---- */

static int
open_state(struct ctl *ctl, struct db **ret_db, int *ret_lock,
           struct err *reterr)
{
    char *lock _cleanup_(freep) = xasprintf("%s/lock", ctl->cfg.state_dir);
    char *pki _cleanup_(freep) = xasprintf("%s/pki", ctl->cfg.state_dir);
    int r = fs_mkdirs(ctl->cfg.state_dir, reterr);

    ctl->db_path = xasprintf("%s/controller.db", ctl->cfg.state_dir);
    ctl->image_dir = xasprintf("%s/images", ctl->cfg.state_dir);
    if (r == 0)
        r = fs_lock(lock, ret_lock, reterr);
    if (r == 0)
        r = backup_sweep(ctl->cfg.state_dir, reterr);
    if (r == 0)
        r = fs_mkdirs(ctl->image_dir, reterr);
    if (r == 0)
        r = pki_ca_open(pki, &ctl->ca, reterr);
    if (r == 0)
        r = store_open(ctl->db_path, true, ret_db, reterr);
    if (r == 0)
        r = first_start(ctl, *ret_db, reterr);
    if (r == 0)
        r = image_sweep(ctl, *ret_db, reterr);
    if (r == 0) {
        r = store_instance_max_seq(*ret_db, &ctl->seq);
        if (r == 0)
            r = store_seq_floor(*ret_db, &ctl->seq_floor);
        if (r < 0)
            db_err(*ret_db, r, reterr);
        ctl->seq = MAX(ctl->seq, ctl->seq_floor);
        ctl->seq = MAX(ctl->seq, (int64_t)1); /* see h_agent_desired() */
    }
    return r;
}

/* They do not wait for anything but now and then a disk. */
static unsigned
http_threads(const struct ctl_config *cfg)
{
    long n = 2 * sysconf(_SC_NPROCESSORS_ONLN);

    if (cfg->threads)
        return (unsigned)cfg->threads;
    n = MAX(n, (long)THREADS_MIN);
    return (unsigned)MIN(n, (long)THREADS_MAX);
}

static int
start_http(struct ctl *ctl, struct err *reterr)
{
    char *pki _cleanup_(freep) = xasprintf("%s/pki", ctl->cfg.state_dir);
    char *cert _cleanup_(freep) = NULL;
    char *key _cleanup_(freep) = NULL;
    int r = server_certificate(ctl, pki, &cert, &key, reterr);

    if (r < 0)
        return r;
    struct http_config hc = {
        .listen = ctl->cfg.listen,
        .cert_pem = cert,
        .key_pem = key,
        .client_ca_pem = pki_ca_pem(ctl->ca),
        .threads = http_threads(&ctl->cfg),
        .max_connections = (unsigned)ctl->cfg.max_connections,
        .max_per_address = (unsigned)ctl->cfg.connections_per_address,
        .per_second = (unsigned)ctl->cfg.connections_per_second,
        .idle_timeout_s = (unsigned)(ctl->cfg.idle_timeout_us / US_PER_S),
        .ops = &ctl_http_ops,
        .arg = ctl,
    };
    return http_start(&hc, &ctl->http, reterr);
}

static int
start(struct ctl *ctl, struct db *db, struct err *reterr)
{
    int r = auth_start(ctl, db, reterr);

    if (r == 0)
        r = quota_start(ctl, db, reterr);
    if (r == 0)
        r = nodes_start(ctl, db, reterr);
    if (r == 0)
        r = db_writer_start(db, &ctl->writer); /* takes db */
    else
        db_close(db);
    if (r == 0)
        db_writer_around(ctl->writer, http_resume_hold, http_resume_held);
    if (r == 0)
        r = consoles_start(ctl, reterr);
    audit_start(ctl);
    rate_start(ctl);
    if (r == 0)
        r = events_start(ctl, reterr);
    if (r == 0)
        r = webhooks_start(ctl, reterr);
    if (r == 0)
        r = waiters_start(ctl);
    if (r == 0)
        r = start_http(ctl, reterr);
    return r;
}

static int
nothing(struct db *db, struct db_job *job)
{
    return 0;
}

/* Whatever was submitted before is over, with what it tells the events' and
 * webhooks' threads: notes of nodes that came or went belong to no request. */
static void
settle_writer(struct ctl *ctl)
{
    struct db_job job = {.run = nothing};

    if (ctl->writer && db_writer_call(ctl->writer, &job) < 0)
        log_warn("cannot write at the end", "what was answered is committed");
}

static void
stop(struct ctl *ctl)
{
    atomic_store(&ctl->stopping, true);
    if (ctl->http)
        http_quiesce(ctl->http);
    if (ctl->waiters)
        waiters_stop(ctl); /* long polls answer what they have */
    passwords_stop(ctl->passwords);
    consoles_stop(ctl);
    events_stop(ctl);
    dispatch_drain(ctl, DRAIN_US);
    http_stop(ctl->http);
    dispatch_close(ctl);
    settle_writer(ctl);
    webhooks_stop(ctl);
    events_free(ctl);
    db_writer_stop(ctl->writer);
    audit_free(ctl);
    rate_free(ctl);
}

static int
fail(const struct err *e, int status)
{
    fprintf(stderr, "virga-controllerd: %s\n",
            e->message[0] ? e->message : "cannot start");
    return status;
}

static void
run(struct ctl *ctl, const sigset_t *set)
{
    struct timespec minute = {.tv_sec = 60};

    for (;;) {
        int sig = sigtimedwait(set, NULL, &minute);

        if (sig == SIGTERM || sig == SIGINT) {
            log_info("stopping", "signal=%s", sigabbrev_np(sig));
            return;
        }
        struct expiry e = {.job.run = expire_run, .ctl = ctl};
        if (sig < 0 && errno == EAGAIN &&
            (db_writer_call(ctl->writer, &e.job) < 0 || expire_logs(ctl) < 0))
            log_warn("cannot expire old rows", "trying again in=60s");
    }
}

/* What `make schemas` keeps; also fit for people to read. */
static int
print_document(bool openapi, struct err *reterr)
{
    struct buf raw _cleanup_(buf_release) = {0};
    struct buf text _cleanup_(buf_release) = {0};
    int r = 0;

    if (openapi) {
        api_openapi(&raw);
        r = codec_pretty(raw.data, raw.len, &text, reterr);
    } else {
        api_reference(&text);
    }
    if (r < 0)
        return r;
    r = fs_write_all(STDOUT_FILENO, text.data, text.len);
    return r < 0 ? err_errno(reterr, r, "cannot write") : 0;
}

int
main(int argc, char **argv)
{
    static struct ctl ctl;
    struct err e _cleanup_(err_release) = {0};
    struct db *db = NULL;
    int lock _cleanup_(closep) = -1;
    sigset_t set;

    umask(077);
    int r = ctl_config_load(argc, argv, &ctl.cfg, &e);
    if (r != 0)
        return r < 0 ? fail(&e, 2) : 0;
    if (ctl.cfg.print_openapi || ctl.cfg.print_reference) {
        r = print_document(ctl.cfg.print_openapi, &e);
        conf_release(ctl_config_keys, ctl_config_keys_n, &ctl.cfg);
        return r < 0 ? fail(&e, 1) : 0;
    }
    if (ctl.cfg.restore && *ctl.cfg.restore) {
        r = backup_restore(ctl.cfg.restore, ctl.cfg.state_dir, &e);
        if (r == 0)
            printf("restored %s into %s\n", ctl.cfg.restore, ctl.cfg.state_dir);
        conf_release(ctl_config_keys, ctl_config_keys_n, &ctl.cfg);
        return r < 0 ? fail(&e, 1) : 0;
    }
    /* Threads inherit the mask: signals are taken in run() only. */
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    mallopt(M_ARENA_MAX, 2); /* memory is shared by few threads */
    ctl.started_mono_us = clock_mono_us();
    pthread_mutex_init(&ctl.drain_lock, NULL);
    pthread_cond_init(&ctl.drained, NULL);

    r = open_state(&ctl, &db, &lock, &e);
    if (r == 0)
        r = start(&ctl, db, &e);
    else
        db_close(db);
    if (r < 0) {
        r = fail(&e, 1);
    } else {
        log_info("ready", "url=https://%.*s:%u",
                 (int)(strrchr(ctl.cfg.listen, ':') - ctl.cfg.listen),
                 ctl.cfg.listen, http_port(ctl.http));
        run(&ctl, &set);
    }
    stop(&ctl);
    nodes_stop(&ctl);
    quota_stop(&ctl);
    auth_stop(&ctl);
    pki_ca_free(ctl.ca);
    free(ctl.db_path);
    free(ctl.image_dir);
    conf_release(ctl_config_keys, ctl_config_keys_n, &ctl.cfg);
    return r;
}
