/* rig.c - a controller inside the test, without sockets; see rig.h. */
#include <config.h>

#include "tests/model/rig.h"

#include <stdarg.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "common/clock.h"
#include "common/db_checkpoint.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/mem.h"
#include "controllerd/config.h"
#include "controllerd/passwords.h"
#include "controllerd/quota.h"
#include "tests/model/vfs.h"

/* ---- clock and random bytes ---- */

int64_t *rig_clock_us;
static uint64_t random_state;

int64_t __wrap_clock_now_us(void);
int64_t __wrap_clock_mono_us(void);
ssize_t __wrap_getrandom(void *out, size_t n, unsigned flags);
void __wrap_nodes_tick(struct ctl *ctl);

int64_t
__wrap_clock_now_us(void)
{
    return __atomic_load_n(rig_clock_us, __ATOMIC_RELAXED);
}

int64_t
__wrap_clock_mono_us(void)
{
    return __atomic_load_n(rig_clock_us, __ATOMIC_RELAXED);
}

void
rig_seed_random(uint64_t seed)
{
    __atomic_store_n(&random_state, seed, __ATOMIC_RELAXED);
}

/* SplitMix64 (Steele, Lea, Flood, 2014). */
ssize_t
__wrap_getrandom(void *out, size_t n, unsigned flags)
{
    unsigned char *p = out;

    for (size_t i = 0; i < n; i++) {
        uint64_t z = __atomic_add_fetch(
            &random_state, UINT64_C(0x9e3779b97f4a7c15), __ATOMIC_RELAXED);

        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        p[i] = (unsigned char)(z >> 56);
    }
    return (ssize_t)n;
}

/* The timer's thread comes when it likes, which no seed could repeat: the
 * test looks for silent nodes itself. */
void
__wrap_nodes_tick(struct ctl *ctl)
{
}

/* Storage that the test breaks fills a log with what it is told of anyway. */
bool rig_log;
void __wrap_log_write(enum log_level level, const char *msg, const char *kv,
                      ...) _printf_(3, 4);

void
__wrap_log_write(enum log_level level, const char *msg, const char *kv, ...)
{
    va_list ap;

    if (!rig_log)
        return;
    printf("     log: %s ", msg);
    va_start(ap, kv);
    vprintf(kv, ap);
    va_end(ap);
    printf("\n");
}

/* Runs here are short: what is copied into the database after thousands of
 * pages is copied after a few, so that storage fails in that, too. */
int __wrap_db_checkpoint_start(struct db *writer,
                               const struct db_checkpoint_limits *l,
                               struct db_checkpoint **ret);
int __real_db_checkpoint_start(struct db *writer,
                               const struct db_checkpoint_limits *l,
                               struct db_checkpoint **ret);

int
__wrap_db_checkpoint_start(struct db *writer,
                           const struct db_checkpoint_limits *l,
                           struct db_checkpoint **ret)
{
    struct db_checkpoint_limits few = *l;

    few.start_pages = 40;
    few.hold_pages = 90;
    few.rest_pages = 20;
    return __real_db_checkpoint_start(writer, &few, ret);
}

/* ---- the transport ---- */

const char *__wrap_http_header(struct http_req *rq, const char *name);
const char *__wrap_http_query(struct http_req *rq, const char *name);
void __wrap_http_each_query(struct http_req *rq,
                            bool (*fn)(const char *name, const char *value,
                                       void *arg),
                            void *arg);
int __wrap_http_peer(struct http_req *rq, char cn[64],
                     char fingerprint[HASH_HEX_SIZE], struct err *reterr);
int __wrap_http_well_formed(struct http_req *rq, struct err *reterr);
void __wrap_http_suspend(struct http_req *rq);
void __wrap_http_resume(struct http_req *rq);

static struct rig_call *
of(struct http_req *rq)
{
    return rq->priv;
}

static const char *
find(const struct rig_pair *p, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcasecmp(p[i].name, name) == 0)
            return p[i].value;
    return NULL;
}

/* There are no bytes of which two programs could read different things. */
int
__wrap_http_well_formed(struct http_req *rq, struct err *reterr)
{
    return 0;
}

const char *
__wrap_http_header(struct http_req *rq, const char *name)
{
    return find(of(rq)->headers, of(rq)->n_headers, name);
}

const char *
__wrap_http_query(struct http_req *rq, const char *name)
{
    return find(of(rq)->query, of(rq)->n_query, name);
}

void
__wrap_http_each_query(struct http_req *rq,
                       bool (*fn)(const char *name, const char *value,
                                  void *arg),
                       void *arg)
{
    struct rig_call *c = of(rq);

    for (size_t i = 0; i < c->n_query; i++)
        if (!fn(c->query[i].name, c->query[i].value, arg))
            return;
}

int
__wrap_http_peer(struct http_req *rq, char cn[64],
                 char fingerprint[HASH_HEX_SIZE], struct err *reterr)
{
    struct rig_call *c = of(rq);

    if (!c->cn[0])
        return -ENOENT;
    memcpy(cn, c->cn, sizeof(c->cn));
    memcpy(fingerprint, c->fingerprint, sizeof(c->fingerprint));
    return 0;
}

void
__wrap_http_suspend(struct http_req *rq)
{
}

void
__wrap_http_resume(struct http_req *rq)
{
    struct rig *rig = of(rq)->rig;

    pthread_mutex_lock(&rig->lock);
    of(rq)->resumed = true;
    pthread_mutex_unlock(&rig->lock);
}

/* ---- calls ---- */

static void
add_pair(struct rig_pair *p, size_t *n, const char *name, size_t name_len,
         const char *value, size_t value_len)
{
    if (*n == RIG_PAIRS)
        abort(); /* a bug in the test */
    p[*n].name = xstrndup(name, name_len);
    p[(*n)++].value = xstrndup(value, value_len);
}

struct rig_call *
rig_call(const char *method, const char *path)
{
    struct rig_call *c = xnew(struct rig_call);
    const char *q = strchr(path, '?');

    c->method = xstrdup(method);
    c->path = q ? xstrndup(path, (size_t)(q - path)) : xstrdup(path);
    while (q) {
        const char *name = q + 1, *eq = strchr(name, '=');
        const char *end = strchr(name, '&');
        size_t n = end ? (size_t)(end - name) : strlen(name);

        if (!eq || eq > name + n)
            eq = name + n;
        const char *value = eq < name + n ? eq + 1 : eq;
        add_pair(c->query, &c->n_query, name, (size_t)(eq - name), value,
                 (size_t)(name + n - value));
        q = end;
    }
    return c;
}

void
rig_header(struct rig_call *c, const char *name, const char *value)
{
    add_pair(c->headers, &c->n_headers, name, strlen(name), value,
             strlen(value));
}

void
rig_body(struct rig_call *c, const char *text, size_t n)
{
    buf_add(&c->sent, text, n);
}

static void
pairs_free(struct rig_pair *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(p[i].name);
        free(p[i].value);
    }
}

void
rig_call_free(struct rig_call *c)
{
    if (!c)
        return;
    pairs_free(c->headers, c->n_headers);
    pairs_free(c->query, c->n_query);
    free(c->method);
    free(c->path);
    buf_release(&c->sent);
    buf_release(&c->body);
    buf_release(&c->reply_headers);
    free(c);
}

char *
rig_reply_header(const struct rig_call *c, const char *name)
{
    size_t n = strlen(name);
    const char *p = buf_str(&c->reply_headers);

    for (; *p; p = strchr(p, '\n') + 1)
        if (strncasecmp(p, name, n) == 0 && strncmp(p + n, ": ", 2) == 0)
            return xstrndup(p + n + 2, strcspn(p + n + 2, "\n"));
    return NULL;
}

static void
end_call(struct rig *rig, struct rig_call *c)
{
    for (struct rig_call **p = &rig->pending; *p; p = &(*p)->next)
        if (*p == c) {
            *p = c->next;
            break;
        }
    c->status = c->rq.status;
    c->body = c->rq.reply;
    c->reply_headers = c->rq.headers;
    ctl_http_ops.end(&c->rq, &rig->ctl);
    if (c->rq.reply_fd > 0)
        close(c->rq.reply_fd);
    buf_release(&c->rq.body);
    c->done = true;
}

static void
handle(struct rig *rig, struct rig_call *c)
{
    pthread_mutex_lock(&rig->lock);
    c->resumed = false;
    pthread_mutex_unlock(&rig->lock);
    if (ctl_http_ops.handle(&c->rq, &rig->ctl) == HTTP_REPLY)
        end_call(rig, c);
}

void
rig_send(struct rig *rig, struct rig_call *c)
{
    struct rig_call **end = &rig->pending;

    c->rig = rig;
    c->rq.priv = c;
    c->rq.method = c->method;
    c->rq.path = c->path;
    c->rq.remote = "127.0.0.1";
    c->rq.reply_fd = -1;
    while (*end)
        end = &(*end)->next;
    *end = c;
    ctl_http_ops.begin(&c->rq, &rig->ctl);
    if (c->rq.status) {
        end_call(rig, c);
        return;
    }
    if (c->rq.stream && c->sent.len)
        ctl_http_ops.data(&c->rq, c->sent.data, c->sent.len, &rig->ctl);
    else if (c->sent.len)
        buf_add(&c->rq.body, c->sent.data, c->sent.len);
    handle(rig, c);
}

static struct rig_call *
first_resumed(struct rig *rig)
{
    pthread_mutex_lock(&rig->lock);
    struct rig_call *c = rig->pending;
    while (c && !c->resumed)
        c = c->next;
    pthread_mutex_unlock(&rig->lock);
    return c;
}

/* The model is only touched by who is calm (vfs.h); the controller's threads
 * go on while we wait for them. */
static void
yield(struct rig *rig)
{
    if (rig->running)
        vfs_go();
}

static void
resume(struct rig *rig)
{
    if (rig->running)
        vfs_calm();
}

void
rig_settle(struct rig *rig)
{
    struct ctl *ctl = &rig->ctl;
    struct rig_call *c;

    do {
        yield(rig);
        pthread_mutex_lock(&ctl->drain_lock);
        while (ctl->submitted)
            pthread_cond_wait(&ctl->drained, &ctl->drain_lock);
        pthread_mutex_unlock(&ctl->drain_lock);
        resume(rig);
        c = first_resumed(rig);
        if (c)
            handle(rig, c);
    } while (c);
}

/* The timer would do this too, a little later. */
void
rig_expire(struct rig *rig)
{
    int64_t now = *rig_clock_us;

    for (struct rig_call *c = rig->pending; c; c = c->next) {
        struct call *call = c->rq.user;

        if (call->wait_key && call->deadline_us <= now)
            waiters_notify(&rig->ctl, call->wait_key);
    }
    rig_settle(rig);
}

/* ---- the gate ---- */

static int
gate_run(struct db *db, struct db_job *job)
{
    struct rig *rig =
        (struct rig *)((char *)job - offsetof(struct rig, gate.job));

    pthread_mutex_lock(&rig->gate.lock);
    rig->gate.entered = true;
    pthread_cond_broadcast(&rig->gate.cond);
    while (rig->gate.held)
        pthread_cond_wait(&rig->gate.cond, &rig->gate.lock);
    rig->gate.entered = false;
    pthread_cond_broadcast(&rig->gate.cond);
    pthread_mutex_unlock(&rig->gate.lock);
    return 0;
}

static void
gate_done(struct db_job *job, int result)
{
}

void
rig_hold(struct rig *rig)
{
    yield(rig);
    rig->gate.held = true;
    rig->gate.job = (struct db_job){.run = gate_run, .done = gate_done};
    db_writer_submit(rig->ctl.writer, &rig->gate.job);
    pthread_mutex_lock(&rig->gate.lock);
    while (!rig->gate.entered)
        pthread_cond_wait(&rig->gate.cond, &rig->gate.lock);
    pthread_mutex_unlock(&rig->gate.lock);
    resume(rig);
}

void
rig_release(struct rig *rig)
{
    pthread_mutex_lock(&rig->gate.lock);
    rig->gate.held = false;
    pthread_cond_broadcast(&rig->gate.cond);
    while (rig->gate.entered)
        pthread_cond_wait(&rig->gate.cond, &rig->gate.lock);
    pthread_mutex_unlock(&rig->gate.lock);
}

static int
nothing(struct db *db, struct db_job *job)
{
    return 0;
}

/* Twice: what it finds under way may submit once more when it is done. */
void
rig_quiet(struct rig *rig)
{
    yield(rig);
    for (int i = 0; i < 2; i++) {
        struct db_job job = {.run = nothing};
        int r = db_writer_call(rig->ctl.writer, &job);

        if (r < 0)
            break; /* storage that the test broke */
    }
    resume(rig);
}

/* ---- what main.c does once a minute ---- */

struct expiry {
    struct db_job job; /* first */
    struct ctl *ctl;
};

static int
expire_run(struct db *db, struct db_job *job)
{
    int r = auth_keep(((struct expiry *)job)->ctl, db);

    return r < 0 ? r : store_expire(db, *rig_clock_us, 5000);
}

int
rig_minute(struct rig *rig)
{
    struct expiry e = {.job.run = expire_run, .ctl = &rig->ctl};

    yield(rig);
    int r = db_writer_call(rig->ctl.writer, &e.job);
    resume(rig);
    return r;
}

/* ---- start and stop, as in main.c ---- */

static int
first_start(struct rig *rig, struct db *db, char admin[TOKEN_TEXT_SIZE])
{
    struct ctl *ctl = &rig->ctl;
    char pid[ID_SIZE], tid[ID_SIZE];
    struct api_project p = {0};
    struct store_token t = {0};
    int r = store_project_get(db, "default", &p);

    if (r == 0)
        memcpy(ctl->default_project, p.id, ID_SIZE);
    codec_clear(&table_project, &p);
    if (r != -ENOENT)
        return r;
    id_new(pid);
    id_new(tid);
    auth_new_secret(admin, t.hash);
    p = (struct api_project){
        .id = pid, .name = (char *)"default", .created_at = *rig_clock_us};
    t.a = (struct api_token){.id = tid,
                             .name = (char *)"admin",
                             .role = ROLE_OPERATOR,
                             .created_at = *rig_clock_us};
    memcpy(ctl->default_project, pid, ID_SIZE);
    return store_first(db, &p, &t);
}

/* The authority is made once a process: its keys are no part of any run. */
static int
open_ca(struct rig *rig, const char *dir, struct err *reterr)
{
    static struct pki_ca *ca;
    char *path _cleanup_(freep) = xasprintf("%s/pki", dir);
    int r = ca ? 0 : pki_ca_open(path, &ca, reterr);

    rig->ctl.ca = ca;
    return r;
}

static int
open_peek(struct rig *rig, struct err *reterr)
{
    if (sqlite3_open_v2(rig->ctl.db_path, &rig->peek, SQLITE_OPEN_READONLY,
                        NULL) != SQLITE_OK)
        return err_set(reterr, -EIO, "peek", "%s", sqlite3_errmsg(rig->peek));
    return 0;
}

static int
start(struct rig *rig, struct db *db, struct err *reterr)
{
    struct ctl *ctl = &rig->ctl;
    int r = auth_start(ctl, db, reterr);

    if (r == 0)
        r = quota_start(ctl, db, reterr);
    if (r == 0)
        r = nodes_start(ctl, db, reterr);
    if (r == 0)
        r = db_writer_start(db, &ctl->writer);
    else
        db_close(db);
    if (r == 0)
        r = waiters_start(ctl);
    if (r == 0)
        r = open_peek(rig, reterr);
    if (r == 0) {
        vfs_calm();
        rig->running = true;
    }
    return r;
}

int
rig_open(struct rig *rig, const char *dir, char admin[TOKEN_TEXT_SIZE],
         struct err *reterr)
{
    struct ctl *ctl = &rig->ctl;
    char *state _cleanup_(freep) = xasprintf("--state-dir=%s", dir);
    char *argv[] = {(char *)"model", state, (char *)"--log-level=info", NULL};
    struct db *db = NULL;

    memset(rig, 0, sizeof(*rig));
    pthread_mutex_init(&rig->lock, NULL);
    pthread_mutex_init(&rig->gate.lock, NULL);
    pthread_cond_init(&rig->gate.cond, NULL);
    pthread_mutex_init(&ctl->drain_lock, NULL);
    pthread_cond_init(&ctl->drained, NULL);
    int r = ctl_config_load(3, argv, &ctl->cfg, reterr);
    if (r != 0)
        return r < 0 ? r : -EINVAL;
    ctl->started_mono_us = *rig_clock_us;
    ctl->db_path = xasprintf("%s/controller.db", dir);
    ctl->image_dir = xasprintf("%s/images", dir);
    r = fs_mkdirs(ctl->image_dir, reterr);
    if (r == 0)
        r = open_ca(rig, dir, reterr);
    if (r == 0)
        r = store_open(ctl->db_path, true, &db, reterr);
    if (r == 0)
        r = first_start(rig, db, admin);
    if (r == 0)
        r = store_instance_max_seq(db, &ctl->seq);
    if (r < 0) {
        db_close(db);
        return r;
    }
    ctl->seq = MAX(ctl->seq, (int64_t)1);
    return start(rig, db, reterr);
}

void
rig_close(struct rig *rig)
{
    struct ctl *ctl = &rig->ctl;

    if (rig->running)
        vfs_go();
    rig->running = false;
    atomic_store(&ctl->stopping, true);
    if (ctl->waiters)
        waiters_stop(ctl);
    passwords_stop(ctl->passwords);
    rig_settle(rig);
    for (struct rig_call *c = rig->pending, *next; c; c = next) {
        next = c->next;
        end_call(rig, c);
    }
    for (sqlite3_stmt *st; (st = sqlite3_next_stmt(rig->peek, NULL));)
        sqlite3_finalize(st);
    sqlite3_close(rig->peek);
    db_writer_stop(ctl->writer);
    nodes_stop(ctl);
    quota_stop(ctl);
    auth_stop(ctl);
    dispatch_close(ctl);
    free(ctl->waiters);
    free(ctl->db_path);
    free(ctl->image_dir);
    conf_release(ctl_config_keys, ctl_config_keys_n, &ctl->cfg);
    pthread_mutex_destroy(&rig->lock);
    pthread_mutex_destroy(&rig->gate.lock);
    pthread_cond_destroy(&rig->gate.cond);
    pthread_mutex_destroy(&ctl->drain_lock);
    pthread_cond_destroy(&ctl->drained);
}
