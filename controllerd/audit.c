/* audit.c - entries of the audit log; see audit.h. */
#include <config.h>

#include "controllerd/audit.h"

#include <ctype.h>
#include <string.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/mem.h"
#include "controllerd/store/store_event.h"

#define QUEUE_MAX 1024
#define BATCH 128
/* Refusals a second: of known callers, and of those who are not. */
#define KNOWN_PER_S 200
#define UNKNOWN_PER_S 50

struct audit {
    struct ctl *ctl;
    pthread_mutex_t lock;
    struct codec_list queue; /* lock; struct api_audit */
    bool writing;            /* lock: the job is with the writer */
    int64_t second;          /* lock */
    int used[2];             /* lock; in that second, by known or not */
    /* The writer's while writing is true. */
    struct db_job job;
    struct codec_list batch;
};

void
audit_path(const char *path, char out[AUDIT_PATH_MAX])
{
    size_t n = 0;

    while (*path && n + 4 < AUDIT_PATH_MAX) {
        size_t len = strcspn(path + 1, "/") + 1;

        /* Our secrets begin with "vt1." and the like; a link may hold one. */
        if (path[0] == '/' && path[1] == 'v' && islower(path[2]) &&
            isdigit((unsigned char)path[3]) && path[4] == '.') {
            memcpy(out + n, "/***", 4);
            n += 4;
        } else {
            len = MIN(len, AUDIT_PATH_MAX - 1 - n);
            memcpy(out + n, path, len);
            n += len;
        }
        path += len;
    }
    out[n] = '\0';
}

static bool
is_audited(const struct call *c)
{
    return !streq(c->rq->method, "GET") && !streq(c->rq->method, "HEAD") &&
           c->m.route->id != ROUTE_AGENT_REPORT &&
           c->m.route->id != ROUTE_AGENT_REPLY;
}

static char *
or_null(const char *s)
{
    return s && *s ? (char *)s : NULL;
}

/* The parts that live as long as the call, borrowed from it. */
struct view {
    struct api_audit a;
    char path[AUDIT_PATH_MAX], type[48], id[ID_SIZE], user[ID_SIZE];
};

/* Of a login whoever it is for, if there is such a user: what was typed in the
 * place of a name may be anything. */
static void
set_actor(struct call *c, struct view *v)
{
    const struct principal *who = &c->who;
    const struct api_login *login =
        c->m.route->id == ROUTE_LOGIN ? c->in : NULL;
    char hash[PASSWORD_HASH_SIZE];

    v->a.actor_type = (char *)"node";
    v->a.actor_id = or_null(who->node_id);
    if (who->token_id[0]) {
        v->a.actor_type = (char *)"token";
        v->a.actor_id = (char *)who->token_id;
        v->a.actor = or_null(who->token_name);
    } else if (who->user_id[0]) {
        v->a.actor_type = (char *)"user";
        v->a.actor_id = (char *)who->user_id;
        v->a.actor = or_null(who->user_name);
    } else if (c->m.route->id == ROUTE_LOGIN) {
        v->a.actor_type = (char *)"user";
        if (login && login->user &&
            auth_cache_password(c->ctl->auth, login->user, v->user, hash)) {
            v->a.actor_id = v->user;
            v->a.actor = login->user;
        }
        explicit_bzero(hash, sizeof(hash));
    }
}

static void
look(struct call *c, struct view *v)
{
    const struct touched *t = &c->touched;
    const struct principal *who = &c->who;

    *v = (struct view){0};
    audit_path(c->rq->path, v->path);
    snprintf(v->type, sizeof(v->type), "%.*s", (int)strcspn(t->kind, "."),
             t->kind);
    if (id_valid(t->id))
        memcpy(v->id, t->id, ID_SIZE);
    v->a = (struct api_audit){
        .at = clock_now_us(),
        .project_id =
            or_null(who->project_id[0] ? who->project_id : t->project_id),
        .remote = (char *)c->rq->remote,
        .method = (char *)c->rq->method,
        .path = v->path,
        .status = c->rq->status,
        .resource_type = or_null(v->type),
        .resource_id = or_null(v->id),
        .request_id = c->request_id,
    };
    set_actor(c, v);
}

int
audit_done(struct call *c, struct db *db)
{
    struct view v;

    if (!is_audited(c))
        return 0;
    look(c, &v);
    return store_audit_insert(db, &v.a);
}

/* ---- refusals ---- */

static int
batch_run(struct db *db, struct db_job *job)
{
    struct audit *a =
        (struct audit *)((char *)job - offsetof(struct audit, job));
    const struct api_audit *e = a->batch.items;
    int r = 0;

    for (size_t i = 0; i < a->batch.n && r == 0; i++)
        r = store_audit_insert(db, &e[i]);
    return r;
}

/* REQUIRES(a->lock). Whether there is something to submit. */
static bool
take_batch(struct audit *a)
{
    size_t n = MIN(a->queue.n, (size_t)BATCH), size = sizeof(struct api_audit);
    char *items = a->queue.items;

    if (n == 0)
        return false;
    a->batch.items = xcalloc(n, size);
    a->batch.n = n;
    memcpy(a->batch.items, items, n * size); /* moved */
    memmove(items, items + n * size, (a->queue.n - n) * size);
    a->queue.n -= n;
    if (a->queue.n == 0)
        freep(&a->queue.items);
    return true;
}

static void
batch_done(struct db_job *job, int result)
{
    struct audit *a =
        (struct audit *)((char *)job - offsetof(struct audit, job));

    if (result < 0)
        COUNT_N(audit_dropped, a->batch.n);
    codec_list_clear(&table_audit, &a->batch);
    pthread_mutex_lock(&a->lock);
    a->writing = take_batch(a);
    bool more = a->writing;
    pthread_mutex_unlock(&a->lock);
    if (more)
        db_writer_submit(a->ctl->writer, &a->job);
}

/* REQUIRES(a->lock) */
static bool
under_cap(struct audit *a, bool known)
{
    int64_t second = clock_mono_us() / US_PER_S;

    if (second != a->second) {
        a->second = second;
        a->used[0] = a->used[1] = 0;
    }
    return a->queue.n < QUEUE_MAX &&
           a->used[known]++ < (known ? KNOWN_PER_S : UNKNOWN_PER_S);
}

void
audit_refused(struct call *c)
{
    struct audit *a = c->ctl->audit;
    enum api_route_id id = c->m.route->id;
    bool known = *principal_key(&c->who);
    struct view v;

    if (!a || !c->m.route->path || !is_audited(c) || c->rq->status == 429 ||
        c->rq->status == 503 ||
        (!known && id != ROUTE_LOGIN && id != ROUTE_JOIN))
        return;
    look(c, &v);
    v.a.code = or_null(c->err.code);
    pthread_mutex_lock(&a->lock);
    if (!under_cap(a, known)) {
        pthread_mutex_unlock(&a->lock);
        COUNT(audit_dropped);
        return;
    }
    struct api_audit *e = codec_list_add(&table_audit, &a->queue);
    e->at = v.a.at;
    e->status = v.a.status;
#define COPY(x) e->x = xstrdup(v.a.x)
    COPY(project_id);
    COPY(actor_type);
    COPY(actor_id);
    COPY(actor);
    COPY(remote);
    COPY(method);
    COPY(path);
    COPY(code);
    COPY(resource_type);
    COPY(resource_id);
    COPY(request_id);
#undef COPY
    bool submit = !a->writing && take_batch(a);
    a->writing = a->writing || submit;
    pthread_mutex_unlock(&a->lock);
    if (submit)
        db_writer_submit(a->ctl->writer, &a->job);
}

/* ---- start and stop ---- */

void
audit_start(struct ctl *ctl)
{
    struct audit *a = xnew(struct audit);

    a->ctl = ctl;
    pthread_mutex_init(&a->lock, NULL);
    a->job.run = batch_run;
    a->job.done = batch_done;
    ctl->audit = a;
}

void
audit_free(struct ctl *ctl)
{
    struct audit *a = TAKE_PTR(ctl->audit);

    if (!a)
        return;
    codec_list_clear(&table_audit, &a->queue);
    pthread_mutex_destroy(&a->lock);
    free(a);
}
