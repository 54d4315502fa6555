/* tests/model/cloud.h - what the test knows of the cloud, by itself.
 * Role:      tenants, their instances and tokens, simulated nodes with agents
 *            and VMs, and what must be billed: the model that the controller
 *            is held to. It learns from replies and from its own nodes, never
 *            from the controller's code or rows.
 * Ownership: struct cloud is plain data without pointers, so that it can live
 *            in memory shared between processes: a controller may die and the
 *            cloud goes on in the next process. struct ctx is one controller's
 *            life.
 * Threads:   one.
 * Errors:    cloud_fail() ends the process with the trace. */
#ifndef TESTS_MODEL_CLOUD_H
#define TESTS_MODEL_CLOUD_H

#include "tests/model/rig.h"

enum {
    C_PROJECTS = 3,
    C_NODES = 3,
    C_INSTS = 96,
    C_ACTORS = 64,
    C_USERS = 12,
    C_RUNS = 1024,
    C_OBS = 200,
    C_MEMOS = 16,
    C_FLIGHTS = 8,
    C_FLAVORS = 3,
    C_KEYPAIRS = 12,
    C_TRACE = 600,
};

/* ---- nodes ---- */

#define SIM_VCPUS 2
#define SIM_MEMORY_BYTES (2LL << 30)

enum sim_phase {
    SIM_NEW,
    SIM_STARTING,
    SIM_STARTED,
    SIM_ENDED,
    SIM_FAILED,
    SIM_DELETED,
    SIM_WAITING,
};

enum sim_end { END_NONE, END_ASKED, END_GUEST, END_CRASHED, END_KILLED };

struct sim_vm {
    char id[ID_SIZE];
    /* The wish, as it came last. */
    int64_t want_seq, want_run;
    int power, restart;
    bool force, want_paused;
    int64_t epoch, vcpus, memory_bytes, disk_bytes;
    /* What the agent has on record. */
    enum sim_phase phase;
    int64_t run, told_seq, restarts, restart_at, started_us, deleted_seq;
    /* The VM itself, and its disk. */
    bool runs, paused;
    enum sim_end end; /* of run vm_run, not yet told */
    int64_t vm_run, vm_started, vm_ended, seen_us;
    bool disk;
    int64_t disk_epoch;
    int truth; /* index in runs[] of what runs */
};

struct sim_obs {
    int64_t seq, run, at_us;
    char instance[ID_SIZE];
    int state;
    char reason[12];
    bool restart, problem;
    bool inexact; /* the agent itself does not know the moment */
    int64_t vcpus, memory_bytes, disk_bytes; /* of the run; 0: not told */
    /* By the report whose fate is not known: when it would count from. */
    int64_t flight_at;
};

struct sim_node {
    char id[ID_SIZE], fingerprint[HASH_HEX_SIZE];
    bool up;     /* the agent runs */
    bool hosted; /* and has told what it has */
    bool removed;
    bool silent; /* its agent is of before sizes were told */
    int64_t since, next_seq;
    int64_t applied; /* the controller has applied all up to here */
    struct sim_vm vms[C_INSTS];
    size_t n_vms;
    struct sim_obs obs[C_OBS]; /* not acknowledged yet, in order */
    size_t n_obs;
};

/* A report that the network keeps for a while. */
struct flight {
    bool used;
    int node;
    int64_t sent_us;
    struct sim_obs obs[32];
    size_t n;
    char body[8192];
};

/* ---- what is billed ---- */

struct truth {
    char instance[ID_SIZE];
    int64_t run;
    int64_t began, ended;     /* of the simulated VM */
    int64_t start_us, end_us; /* as the row must have it; 0 none */
    bool inexact;             /* told late or not known */
    bool silent;              /* nobody told its size */
    int64_t vcpus, memory_bytes, disk_bytes;
};

/* ---- tenants ---- */

enum minst_wish { WISH_NONE, WISH_STOP, WISH_DELETE, WISH_UNKNOWN };

struct minst {
    char id[ID_SIZE], name[64];
    int project;
    enum minst_wish wish; /* the last that was acknowledged and stands */
    bool gone;            /* seen deleted */
    bool resized;
    int restart_policy; /* as acknowledged last; -1 not known */
    int label;          /* likewise */
    char operation[ID_SIZE];
    int64_t created_us, ended_run, last_run;
};

/* What a caller sees instead of one project. */
enum { SEES_ALL = -1, SEES_NONE = -2 };

/* A token, or a session of a user. */
struct actor {
    char text[TOKEN_TEXT_SIZE], id[ID_SIZE], name[64];
    int project;        /* or SEES_ALL: an operator; SEES_NONE */
    enum api_role role; /* of a token */
    const char *scope;  /* of a token, or NULL */
    int user;           /* of a session: 1 + its index in users[] */
    int maker;          /* of a token: the same of who stands behind it */
    bool revoked, extra;
    bool unsure; /* whether it was revoked, nobody heard */
};

struct muser {
    char id[ID_SIZE], name[64], password[100];
    int home;
    enum api_role roles[C_PROJECTS]; /* ROLE_NONE: it is no member */
    bool disabled, gone;
    bool unsure; /* a change of it was sent, and nobody heard */
};

struct memo {
    bool used;
    int actor, project;
    enum api_role role;
    char key[40], path[300], body[2000];
    int status; /* 0: the client never heard */
    char reply[3000];
};

struct mkeypair {
    char id[ID_SIZE], name[64];
    int project;
    bool gone, unsure;
};

/* A call that was sent and not yet answered: who asks for what. Its pointers
 * lead into the cloud or to constants, which are the same in every process
 * that shares it. */
struct verb;
struct todo {
    const struct verb *verb;
    struct actor *actor;
    /* As they were when the call was sent. */
    int project;
    enum api_role role, need;
    bool billing;       /* the role billing may do it */
    struct minst *inst; /* what it is about, if that is an instance */
    struct mkeypair *keypair;
    struct actor *token; /* or session */
    struct muser *user;
    bool foreign;  /* and of another tenant */
    bool revoked;  /* the token was, when the call was sent */
    bool bad;      /* must be refused: 400 and up, field named if `pointer` */
    bool loose;    /* another call of its group may change what is right */
    bool repeated; /* after a death: it may have been done before */
    const char *pointer;
    int number;
    enum api_role given;
    const char *scope;
    char if_match[24];
    char method[8], path[300], name[64], key[40];
    char body[2000];
    struct rig_call *call; /* of this process */
};
#define C_GROUP 6

struct cloud {
    uint64_t seed, rng;
    int64_t now_us;
    int steps, step;
    char dir[200];
    bool chaos; /* guests and networks misbehave; off while it settles */
    char project[C_PROJECTS + 1][ID_SIZE]; /* the last: default */
    /* How many instances a project may have: its limit, or what it had when
     * that was lowered, less what it has given up since. */
    int64_t ceiling[C_PROJECTS], limit[C_PROJECTS];
    struct actor actors[C_ACTORS];
    size_t n_actors;
    struct muser users[C_USERS];
    size_t n_users;
    struct minst insts[C_INSTS];
    size_t n_insts;
    struct mkeypair keypairs[C_KEYPAIRS];
    size_t n_keypairs;
    struct sim_node nodes[C_NODES];
    struct flight flights[C_FLIGHTS];
    struct truth runs[C_RUNS];
    size_t n_runs;
    struct memo memos[C_MEMOS];
    struct todo flying[C_GROUP];
    size_t n_flying;
    int64_t n_keys, n_names;
    /* Counted for the summary. */
    int64_t looks;          /* of the readers beside it */
    int64_t storage_errors; /* calls that failed by the storage's fault */
    int64_t calls, refused, replays, reports, restarts, checks, vm_starts;
    bool crashed; /* by the test's own doing: not every reply was heard */
    size_t n_trace;
    char trace[C_TRACE][200];
};

/* One controller's life. */
struct ctx {
    struct cloud *c;
    struct rig rig;
    struct rig_call *poll[C_NODES]; /* held */
    sqlite3_stmt *statements[96];   /* of check.c */
    size_t n_statements;
    bool verbose, grouped;
    int readers; /* threads beside it */
    bool faults; /* storage fails: 500 and 507 are honest answers */
};

extern const char *const cloud_flavors[C_FLAVORS];

uint64_t cloud_random(struct cloud *c);
static inline int
cloud_pick(struct cloud *c, int n)
{
    return (int)(cloud_random(c) % (uint64_t)n);
}
static inline bool
cloud_chance(struct cloud *c, int of)
{
    return cloud_pick(c, of) == 0;
}

void cloud_trace(struct ctx *x, const char *fmt, ...) _printf_(2, 3);
/* Prints how to repeat it and ends the process. */
_Noreturn void cloud_fail(struct ctx *x, const char *fmt, ...) _printf_(2, 3);
/* What main() says to repeat a run. */
extern char cloud_repeat[300];

/* ---- building a cloud to start from (template.c) ---- */

/* Through the API: flavors, projects, tokens, an image, joined nodes. Leaves
 * c->dir/controller.db closed and complete. */
void cloud_build(struct cloud *c);
/* Its database as bytes, to begin each run with. */
struct template
{
    struct cloud *cloud;
    struct buf db;
};
void template_make(struct template *t, const char *dir);
void template_copy(const struct template *t, struct cloud *c, const char *dir);

/* ---- agents (agents.c) ---- */

/* One step of a random node: poll, act, report, die, return. */
void agents_step(struct ctx *x);
/* As far as they get when nothing goes wrong any more; true if anything
 * happened. */
bool agents_settle(struct ctx *x);
/* A guest does something of its own. */
void agents_guest(struct ctx *x);
/* The controller is new: what was under way is settled by its rows. */
void agents_reopened(struct ctx *x);
/* After rig_close(). */
void agents_closed(struct ctx *x);
/* A report's fate: applied as a whole or not at all. */
void agents_applied(struct ctx *x, int node, const struct sim_obs *obs,
                    size_t n, int64_t sent_us);

/* ---- tenants (tenants.c) ---- */

/* One call, or a group of them that the writer finds together. */
void tenants_step(struct ctx *x);
/* The controller died with calls under way: their clients come again. */
void tenants_reopened(struct ctx *x);
struct minst *tenants_find(struct cloud *c, const char *id);

/* ---- what must hold (check.c) ---- */

/* Cheap, after each step. */
void check_step(struct ctx *x);
/* After all has settled. */
void check_final(struct ctx *x);
/* Rows alone: after a reopen. */
void check_rows(struct ctx *x);
/* A number for all rows but those that every request writes. */
uint64_t check_digest(struct ctx *x);
/* The events that somebody may see, one after the other; 0: no more. */
struct check_events {
    int64_t after;
    const char *project;
    bool all, admin;
};
/* What the logs have of a request that was answered; silent: it may have
 * changed nothing that is told of. */
void check_told(struct ctx *x, const char *request_id, int status, bool wrote,
                bool silent);
int64_t check_next_event(struct ctx *x, struct check_events *it);
/* One number from the rows; -1 when there is none. */
int64_t check_int(struct ctx *x, const char *sql, const char *a, const char *b);

#endif
