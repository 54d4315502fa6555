/* controllerd/ctl.h - the controller's parts and a request on its way through.
 * Role:      what every file of the daemon shares. A request becomes a
 *            struct call: matched, authenticated, authorised, decoded, handled
 *            and answered; handlers see structs, never HTTP or JSON.
 * Ownership: struct ctl lives as long as the process; a call as long as its
 *            HTTP request.
 * Threads:   a call has one owner at a time: the HTTP thread, or (between
 *            suspend and resume) the writer or the waiter lists. */
#ifndef CONTROLLERD_CTL_H
#define CONTROLLERD_CTL_H

#include <pthread.h>
#include <stdatomic.h>

#include "api/http.h"
#include "api/routes.h"
#include "common/db_writer.h"
#include "common/pki.h"
#include "controllerd/auth_cache.h"
#include "controllerd/guess.h"
#include "controllerd/passwords.h"
#include "controllerd/store/store.h"
#include "scheduler/sched.h"

#define REQUEST_ID_SIZE 65

struct ctl_config {
    char *state_dir, *listen, *server_names, *log_level, *placement,
        *dashboard_dir, *project_quota, *restore;
    int64_t threads, max_connections, connections_per_address,
        connections_per_second;
    int64_t idle_timeout_us, node_lapse_us, request_timeout_us, stuck_after_us,
        session_ttl_us;
    int64_t vcpu_overcommit_permille, memory_overcommit_permille,
        disk_overcommit_permille;
    int64_t max_streams, max_streams_per_token, events_keep_us, events_max,
        audit_keep_us, audit_max;
    int64_t rate_limit, rate_limit_burst, address_rate_limit,
        address_rate_limit_burst;
    int64_t webhook_allow_private, webhook_retry_us, webhook_retry_max_us,
        webhook_attempts;
    int64_t project_objects;
    int64_t print_openapi, print_reference;
    struct api_quota_values quota; /* project_quota, parsed */
};

struct audit;
struct events;
struct rate;
struct webhooks;
struct waiters;
struct nodes;
struct quotas;
struct consoles;
struct reader;

struct ctl {
    struct ctl_config cfg;
    char *db_path, *image_dir;
    struct pki_ca *ca;
    struct http_server *http;
    struct db_writer *writer;
    struct auth_cache *auth;
    struct guess *guess;
    struct passwords *passwords;
    struct waiters *waiters;
    struct nodes *nodes;
    struct quotas *quotas; /* quota.h */
    struct consoles *consoles;
    struct events *events;
    struct audit *audit;
    struct rate *rate;
    struct webhooks *webhooks;
    /* Claims and capacity; the writer changes it, readers take the lock. */
    pthread_mutex_t sched_lock;
    struct sched *sched;
    char default_project[ID_SIZE];
    int64_t seq;       /* last change number; the writer's only */
    int64_t seq_floor; /* all of them are above; set at start */
    _Atomic bool stopping;
    /* Requests under way, and those of them at the writer; see
     * dispatch_drain(). */
    pthread_mutex_t drain_lock;
    pthread_cond_t drained;
    int64_t active, submitted;
    struct reader *readers; /* drain_lock; connections that nobody uses now */
    int64_t started_mono_us;
};

/* What is left of the caller's calls; see rate.h. quota 0: no limit. */
struct rate_state {
    int64_t quota, window_s, remaining, reset_s, retry_s;
};

/* What a write made or changed; see call_touched() in events.h. */
struct touched {
    char kind[48], id[ID_SIZE], name[64], project_id[64];
    bool derived; /* kind is the type alone: the verb is yet to come */
};

struct call;

/* What a handler returns besides negative errno (with c->err set). */
enum {
    CALL_DONE = 0,
    CALL_WAIT = 1,
    CALL_WRITE = 2, /* plain(): go on with write() */
    CALL_READ = 3,  /* plain(): go on with read() */
};

struct handler {
    /* Without database, on the HTTP thread. */
    int (*plain)(struct call *c);
    /* With a reader's connection, on the HTTP thread; again after a wait. */
    int (*read)(struct call *c, struct db *db);
    /* Inside the writer's transaction. Its reply goes out once the commit is
     * on disk. */
    int (*write)(struct call *c, struct db *db);
    /* write() succeeded but the commit failed: undo what is in memory. */
    void (*undo)(struct call *c);
    /* After the commit, on the writer's thread. */
    void (*committed)(struct call *c);
    /* BODY_STREAM: before the body, for each part of it, and after it on a
     * thread that may block; then write() runs. */
    int (*stream_begin)(struct call *c, struct db *db);
    int (*stream_data)(struct call *c, const void *data, size_t n);
    int (*stream_finish)(struct call *c);
    /* Instead of all of these: on a thread that may block, for what takes
     * its time. */
    int (*slow)(struct call *c);
};

/* A place in one of waiters.c's lists. */
struct wait_link {
    struct call *next, **pprev;
};

struct call {
    struct ctl *ctl;
    struct http_req *rq;
    struct api_match m;
    const struct handler *h;
    struct principal who;
    char request_id[REQUEST_ID_SIZE];
    void *in; /* decoded body */
    struct err err;
    bool handled; /* the handler was called before */
    int64_t begun_us;
    bool polls; /* counted among the agents that are connected */
    /* The writer's job. */
    struct db_job job;
    bool submitted;
    int result;
    /* Long polls. */
    int64_t deadline_us; /* monotonic; 0 until the first wait */
    struct wait_link by_key, by_time;
    uint64_t wait_key;
    int phase;     /* the handler's own */
    int64_t since; /* of events, while it waits for some */
    /* The handler's own between its functions; freed with the call. */
    void *work;
    void (*work_free)(void *work);
    /* What stands for the passwords of the body once they are forgotten; see
     * call_password(). */
    bool has_print;
    unsigned char print[PASSWORD_PRINT_SIZE];
    struct touched touched;
    struct rate_state rate;
    int64_t retry_after_s; /* of a refusal with 429 or 503; 0: 1 s */
    char notify_node[ID_SIZE], notify_operation[ID_SIZE];
    char question[ID_SIZE];
    char session[ID_SIZE + 1];
    struct sched_resources claim;
    char claim_node[ID_SIZE];
    char acting[ID_SIZE]; /* the project of an operator's ?project= */
    /* What it took of quotas and will free; see quota.h. */
    struct api_quota_values quota_taken, quota_freed;
    char quota_project[ID_SIZE], quota_freed_project[ID_SIZE];
    struct codec_list quota_faults; /* struct api_quota_fault */
};

extern const struct handler handlers[N_ROUTES];
extern const struct http_ops ctl_http_ops;

/* ---- stopping (dispatch.c) ---- */

/* After stopping was set: returns when every write has been committed and
 * every request answered; a client that does not take or finish its own is
 * given up after limit_us. */
void dispatch_drain(struct ctl *ctl, int64_t limit_us);
/* Once no request runs any more. */
void dispatch_close(struct ctl *ctl);

/* ---- replies (reply.c) ---- */

/* status 0 takes the route's. */
void reply_object(struct call *c, const struct codec_table *t, const void *obj);
void reply_empty(struct call *c);
void reply_text(struct call *c, const char *content_type, const char *text);
/* A page: items were asked for with limit + 1; id_offset is that of the
 * char *id member, from which the next page's token is made. */
void reply_page(struct call *c, const struct codec_table *t,
                struct codec_list *items, int limit, size_t id_offset);
/* A page of all the items; next: its token, or "". */
void reply_items(struct call *c, const struct codec_table *t,
                 const struct codec_list *items, const char *next);
void reply_problem(struct call *c, int number, const struct err *e);
/* For failures before there is a call. */
int http_status_of(int number, const char *code);
void call_location(struct call *c, const char *path, const char *id);

/* ---- query parameters (query.c) ---- */

/* limit and page_token; after[] gets an id or "". */
int query_page(struct call *c, int *ret_limit, char after[ID_SIZE]);
int query_int(struct call *c, const char *name, int64_t min, int64_t max,
              int64_t dflt, int64_t *ret);
int query_duration(struct call *c, const char *name, int64_t max_us,
                   int64_t *ret_us);
int query_time(struct call *c, const char *name, int64_t dflt, int64_t *ret_us);

/* The project a call may see: NULL for operators (all). */
const char *call_project(const struct call *c);
/* The project it acts in: an operator's is that of ?project=, or the default
 * project. */
const char *call_acting_project(const struct call *c);
/* Resolves ?project= of what creates; before every write(). Tenants may name
 * their own only. */
int call_resolve_acting(struct call *c, struct db *db) _must_check_;
/* ?dry_run=: whether only to say what would be done. */
int query_flag(struct call *c, const char *name, bool *ret) _must_check_;
/* ?project= of operators resolved to an id; for tenants their own. */
int call_project_filter(struct call *c, struct db *db, char out[ID_SIZE],
                        const char **ret);
/* By name or id; 404 also for what belongs to another. */
int call_get_project(struct call *c, struct db *db, const char *ref,
                     struct api_project *ret) _must_check_;
/* Inside a write that takes an operator's credential away: -EBUSY when none
 * is left (h_users.c). */
int call_check_operators(struct call *c, struct db *db) _must_check_;
int not_found(struct call *c, const char *what, const char *ref);
/* Turns a store error into c->err. */
int store_error(struct call *c, struct db *db, int r);

/* ---- conditional requests (precondition.c) ---- */

/* If-Match (RFC 9110 section 13.1.1) against the object's generation, in every
 * handler that changes one: 0 where it holds or was not sent, else -ECANCELED
 * (412). */
int call_if_match(struct call *c, int64_t generation) _must_check_;
/* The same where it must be sent (428). */
int call_if_match_required(struct call *c, int64_t generation) _must_check_;
/* Whether an If-Match header names that generation; -EINVAL: malformed. */
int if_match(const char *header, int64_t generation) _must_check_;

/* ---- long polls (waiters.c) ---- */

int waiters_start(struct ctl *ctl) _must_check_;
void waiters_stop(struct ctl *ctl);
uint64_t waiters_key(const char *id);
/* To be read before the condition is checked. */
uint64_t waiters_version(struct ctl *ctl, uint64_t key);
/* Suspends until notify or the call's deadline; CALL_WAIT. When something was
 * notified since `version` the call wakes at once. */
int waiters_wait(struct call *c, uint64_t key, uint64_t version);
void waiters_notify(struct ctl *ctl, uint64_t key);

/* ---- authentication (auth.c, auth_cache.h) ---- */

/* Two threads that hash passwords, 64 MiB each while they do. */
#define PASSWORD_THREADS 2
#define PASSWORD_QUEUE 64
/* RFC 6265bis section 4.1.3.2: a __Host- cookie is this server's alone. */
#define SESSION_COOKIE "__Host-virga"

int auth_start(struct ctl *ctl, struct db *db, struct err *reterr) _must_check_;
void auth_stop(struct ctl *ctl);
/* Who calls, into c->who, and whether they may. */
int auth_token(struct call *c) _must_check_;
/* The same caller as they are now: before what waited goes on. */
int auth_again(struct call *c) _must_check_;
int auth_node(struct call *c) _must_check_;
/* The id of the token or session; "" for others. */
const char *principal_key(const struct principal *who);
/* Whether who authenticated so may still call the route as the same. */
bool auth_alive(struct ctl *ctl, const struct principal *who,
                const struct api_route *route);
/* Whether the page that asks is this server's own. */
bool auth_same_origin(struct call *c);
/* Once a minute, on the writer: rows of when sessions were used. */
int auth_keep(struct ctl *ctl, struct db *db) _must_check_;
/* "vt1.<secret>" of a token, "vs1.<secret>" of a session; hash is what is
 * stored. */
#define TOKEN_TEXT_SIZE 80
void auth_new_secret(char text[TOKEN_TEXT_SIZE], unsigned char hash[HASH_LEN]);
void auth_new_session(char text[TOKEN_TEXT_SIZE], unsigned char hash[HASH_LEN]);
/* What a change by cookie has to send; of the call: -ENOENT when it did not
 * come by cookie. */
void auth_csrf(const char *secret, char out[HASH_HEX_SIZE]);
int auth_whoami_csrf(struct call *c, char out[HASH_HEX_SIZE]) _must_check_;

/* ---- passwords of a call (call_password.c) ---- */

/* Where the request may be repeated (Idempotency-Key), c->print becomes a slow
 * hash of its passwords, salted by the key, for the row of that key: no better
 * to guess them from than the hash that is stored in any case.
 * Suspends the call (CALL_WAIT) while the pool checks and makes hashes; when
 * the handler runs again, call_password_done() gives 0 or an error. Takes the
 * texts. hash: to check against; may be NULL without check. */
int call_password(struct call *c, char **check, const char *hash, char **make);
int call_password_done(struct call *c, struct password_job **ret) _must_check_;
/* Sets c->work; frees what was there. */
void call_work(struct call *c, void *work, void (*fn)(void *work));

/* ---- nodes at run time (nodes.c) ---- */

int nodes_start(struct ctl *ctl, struct db *db,
                struct err *reterr) _must_check_;
void nodes_stop(struct ctl *ctl);
/* Row into the scheduler and the certificate list; after commit. */
void nodes_set(struct ctl *ctl, const struct store_node *n);
void nodes_remove(struct ctl *ctl, const char *node_id);
/* The certificate's node, if this fingerprint is the one on record. */
bool nodes_authentic(struct ctl *ctl, const char *node_id,
                     const char *fingerprint);
void nodes_seen(struct ctl *ctl, const char *node_id);
/* Of traits.h; all of them for one that is not there. */
uint64_t nodes_traits(struct ctl *ctl, const char *node_id);
/* When a node was heard of last that has been down for longer than a lapse, as
 * far as this process has heard; -EBUSY while it is up, or may yet come back.
 */
int nodes_silent(struct ctl *ctl, const char *node_id,
                 int64_t *ret_seen_at) _must_check_;
/* After nodes_remove(): its certificate is void for good, which its agent is
 * told; nodes_lost() says so. */
void nodes_lose(struct ctl *ctl, const char *node_id);
bool nodes_lost(struct ctl *ctl, const char *node_id);
/* The node has all wishes up to seq; and whether it said so, as far as this
 * process has heard. */
void nodes_tell(struct ctl *ctl, const char *node_id, int64_t seq);
bool nodes_told(struct ctl *ctl, const char *node_id, int64_t seq);
bool nodes_up(struct ctl *ctl, const char *node_id);
/* Long polls of agents without the database: nodes_settled() notes that a look
 * at the rows, made after `version` of the node's waiters_key() was read,
 * found nothing of the node after seq. nodes_nothing_new() says whether that
 * still holds: nothing was notified since, and no question waits. */
void nodes_settled(struct ctl *ctl, const char *node_id, int64_t seq,
                   uint64_t version);
bool nodes_nothing_new(struct ctl *ctl, const char *node_id, int64_t seq,
                       uint64_t version);
/* Fills state, claims and limits of a row for the API. */
void nodes_fill(struct ctl *ctl, struct api_node *n);
/* Once a minute, on the writer: when nodes were heard of. */
int nodes_keep(struct ctl *ctl, struct db *db) _must_check_;
/* Marks silent nodes down; from the timer, every second. */
void nodes_tick(struct ctl *ctl);
struct nodes_count {
    size_t up, down, cordoned; /* cordoned are up or down, too */
    size_t questions;          /* asked, and not answered yet */
};
void nodes_count(struct ctl *ctl, struct nodes_count *ret);

/* A question to a node: nodes_ask() posts it and suspends the call
 * (CALL_WAIT); when the handler runs again, nodes_asked() gives CALL_WAIT, an
 * error (also after the timeout), or 0 with c->work a struct node_answer. */
struct node_answer {
    int status; /* 200, or that of the problem */
    struct buf body;
    int64_t log_offset, log_end;
    char *session; /* of a console */
};
int nodes_ask(struct call *c, const char *node_id, enum api_request_kind kind,
              const char *instance_id, int64_t offset, int64_t limit);
int nodes_asked(struct call *c);
/* When a call ends in any way. */
void nodes_drop(struct call *c);
/* The agent's side: questions not yet handed over, appended to ret. */
void nodes_take_requests(struct ctl *ctl, const char *node_id,
                         struct codec_list *ret);
/* Whether a call waits for this node's answer. */
bool nodes_question_open(struct ctl *ctl, const char *node_id,
                         const char *request_id);
/* Hands the answer to the waiting call; -ENOENT when nobody waits. */
int nodes_answer(struct ctl *ctl, const char *node_id, const char *request_id,
                 struct node_answer *a);

/* ---- consoles (console.c) ---- */

int consoles_start(struct ctl *ctl, struct err *reterr) _must_check_;
void consoles_stop(struct ctl *ctl);
/* Makes a session of this id, which waits for both of its ends. */
void console_expect(struct ctl *ctl, const char *id);
/* Whose it is: it ends when their rights do. */
void console_belongs(struct ctl *ctl, const char *id,
                     const struct principal *client);
/* token: the session's id behind 'c' (client) or 'a' (agent). */
void console_upgraded(struct http_upgraded *u, void *token, void *arg);

/* ---- uploads (image_check.c) ---- */

/* Removes what a killed upload or delete left among the image files; before
 * the API is open. */
int image_sweep(struct ctl *ctl, struct db *db,
                struct err *reterr) _must_check_;
/* Looks whether a file is what the part says, and how large a disk is for the
 * guest. -EINVAL with the reason; never trusts a length in the file. */
int image_check(enum api_part part, enum api_format format, int fd,
                int64_t size_bytes, int64_t *ret_virtual_bytes,
                struct err *reterr) _must_check_;

/* ---- instance life (ops/; more in ops/ops.h) ---- */

/* The next change number; also counts the instance's generation up. */
void op_change(struct ctl *ctl, struct store_instance *i);
/* Inserts a running operation on the instance and makes it the latest; one
 * that still runs is cancelled (a delete overtakes everything). */
int op_begin(struct db *db, struct store_instance *i, const char *kind,
             const char *step, const char *request_id,
             struct api_operation *ret) _must_check_;
/* Ends the instance's latest operation if it still runs; its id goes to
 * finished (strings) for the waiters. code NULL: it succeeded. */
int op_finish(struct db *db, const struct store_instance *i, const char *step,
              const char *code, const char *message,
              struct codec_list *finished) _must_check_;

/* What must happen after the commit of a report. */
struct observed {
    struct codec_list finished; /* ids of operations */
    struct codec_list released; /* struct released, below */
    bool wake_node;             /* its desired state changed */
};
struct released { /* room; may be none */
    char node_id[ID_SIZE], project_id[ID_SIZE];
    struct sched_resources r;
    struct api_quota_values quota;
};
void observed_free(void *p);
/* One more thing that is given back; zeroed. */
struct released *observed_release(struct observed *o);
/* Applies a node's observations above node->observed_seq, in order: states,
 * usage, operations; then its progress. The caller stores the node's row. */
int op_observe(struct ctl *ctl, struct db *db, struct store_node *node,
               const struct api_report *rp, struct observed *ret) _must_check_;

#endif
