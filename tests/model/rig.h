/* tests/model/rig.h - a controller inside the test, without sockets.
 * Role:      opens a database, starts what main.c starts except for HTTP and
 *            consoles, and passes calls through ctl_http_ops: matching,
 *            authentication, decoding, idempotency, handlers, transactions,
 *            undo and waiters are the daemon's own. Beneath them the linker's
 *            --wrap (model.mk) puts a transport, a clock and a source of
 *            random bytes that the test holds in its hands, so that one seed
 *            makes one run.
 * Ownership: rig_call() makes, rig_call_free() frees; a call that waits
 *            belongs to the rig until it is done.
 * Threads:   one thread opens, calls and closes a rig, and ends afterwards:
 *            its reader's connection goes with it. The writer and the timer
 *            are the daemon's.
 * Errors:    rig_open(): as store_open(). */
#ifndef TESTS_MODEL_RIG_H
#define TESTS_MODEL_RIG_H

#include <sqlite3.h>

#include "controllerd/ctl.h"

#define RIG_PAIRS 12

struct rig_pair {
    char *name, *value;
};

struct rig_call {
    struct http_req rq;
    char *method, *path;
    struct rig_pair headers[RIG_PAIRS], query[RIG_PAIRS];
    size_t n_headers, n_query;
    struct buf sent; /* the request's body */
    char cn[64], fingerprint[HASH_HEX_SIZE];
    struct rig *rig;
    bool began, resumed; /* resumed: rig->lock */
    bool done;
    struct rig_call *next; /* those that wait, in the order of sending */
    int status;
    struct buf body, reply_headers;
};

struct rig {
    struct ctl ctl;
    pthread_mutex_t lock;
    bool running;
    struct rig_call *pending;
    sqlite3 *peek; /* rows as they are, read by the test's own SQL */
    struct {
        struct db_job job;
        pthread_mutex_t lock;
        pthread_cond_t cond;
        bool held, entered;
    } gate;
};

/* The clock that the controller reads: microseconds since the epoch, and the
 * same for its monotonic clock. */
extern int64_t *rig_clock_us;
void rig_seed_random(uint64_t seed);
/* What the controller logs is printed. */
extern bool rig_log;

/* Makes what a first start makes if there is nothing yet: admin_token gets its
 * secret then. */
int rig_open(struct rig *rig, const char *dir, char admin[TOKEN_TEXT_SIZE],
             struct err *reterr) _must_check_;
void rig_close(struct rig *rig);

/* path: with its query. */
struct rig_call *rig_call(const char *method, const char *path);
void rig_header(struct rig_call *c, const char *name, const char *value);
void rig_body(struct rig_call *c, const char *text, size_t n);
/* As far as it goes without waiting. */
void rig_send(struct rig *rig, struct rig_call *c);
/* Until nothing more happens: every write is committed, every call that was
 * woken has looked again. */
void rig_settle(struct rig *rig);
/* Until the writer has also done what no call waits for: events of nodes,
 * refusals for the audit log. */
void rig_quiet(struct rig *rig);
/* Wakes the long polls whose time is over. */
void rig_expire(struct rig *rig);
/* What the daemon does once a minute. */
int rig_minute(struct rig *rig) _must_check_;
void rig_call_free(struct rig_call *c);
/* NULL when there is none; free it. */
char *rig_reply_header(const struct rig_call *c, const char *name);

/* Between these the writer takes nothing: what is sent meanwhile becomes one
 * group. */
void rig_hold(struct rig *rig);
void rig_release(struct rig *rig);

#endif
