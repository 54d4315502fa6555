/* agentd/state/state.h - the agent's own database; all of its SQL is here.
 * Role:      desired instances, how far this node got with each, and the
 *            spool of observations, in STATE_DIR/agent.db.
 * Ownership: a change is embedded in the caller's object until its done().
 * Threads:   any; writes go through one thread (group commit), reads through
 *            one read-only connection behind a mutex.
 * Errors:    negative errno: -ENOSPC disk full, -ENOENT the instance is not
 *            (or no longer) in the database, -EIO the rest.
 * Invariants: 1. A change and the observation that tells of it are one
 *                transaction.
 *             2. Observation numbers only grow and are never reused. */
#ifndef AGENTD_STATE_STATE_H
#define AGENTD_STATE_STATE_H

#include "agentd/reconcile.h"
#include "api/resources.h"
#include "common/db_writer.h"
#include "common/id.h"

struct state;

int state_open(const char *path, struct state **ret,
               struct err *reterr) _must_check_;
/* Waits until every change submitted so far is done. */
void state_flush(struct state *st);
/* Finishes what was submitted. No other call may run. */
void state_close(struct state *st);

/* ---- desired state ---- */

/* Calls fn for every instance stored; *desired is moved out by fn if it wants
 * to keep it. A row that cannot be read stops with -EIO. */
int state_load(struct state *st,
               void (*fn)(struct api_desired_instance *desired,
                          const struct agent_local *local, void *arg),
               void *arg, struct err *reterr) _must_check_;

/* Stores a page of the desired state, forgets the instances `gone`, and moves
 * the sequence to `seq` (< 0: leaves it), in one transaction. An instance
 * older than what is stored is left alone. Blocks. */
int state_store_desired(struct state *st,
                        const struct api_desired_instance *items, size_t n,
                        const char (*gone)[ID_SIZE], size_t n_gone,
                        int64_t seq) _must_check_;

/* The sequence stored last; 0 at first. */
int state_desired_seq(struct state *st, int64_t *ret) _must_check_;

/* ---- what this node did ---- */

struct state_note {
    enum api_observed state;
    int64_t run;
    int64_t at_us;          /* wall clock */
    const char *reason;     /* constant text, or NULL */
    bool restart;           /* run + 1 follows by itself */
    struct agent_size size; /* running, paused: of the run */
    char code[40];          /* empty: no problem */
    char message[400];
};

/* The instance's new local state, and what is to be told of it. */
struct state_change {
    struct db_job job; /* private */
    char id[ID_SIZE];
    struct agent_local local; /* PHASE_DELETED: deleted_seq is filled in */
    bool tell;
    struct state_note note;
    /* On the writer's thread, once the commit's outcome is known. */
    void (*done)(struct state_change *c, int result);
};

void state_submit(struct state *st, struct state_change *c);

/* ---- the spool ---- */

/* Up to max observations in order (struct api_observation, ages as of now). */
int state_spool_read(struct state *st, int max,
                     struct codec_list *ret) _must_check_;
/* The highest number ever given; 0 at first. */
int state_spool_last(struct state *st, int64_t *ret) _must_check_;
/* Drops what is acknowledged, and deleted instances whose deletion is. */
int state_spool_ack(struct state *st, int64_t seq) _must_check_;
/* The controller has stored up to `seq` of this node, and this database knows
 * nothing of that (it is new): what waits, and all that follows, gets numbers
 * after seq. Nothing may be sent before this was done once. */
int state_spool_meet(struct state *st, int64_t seq) _must_check_;
int state_spool_met(struct state *st, bool *ret) _must_check_;

/* ---- the rest ---- */

/* The last moment this agent is known to have looked after its VMs. */
int state_set_alive(struct state *st, int64_t us) _must_check_;
int state_alive(struct state *st, int64_t *ret) _must_check_;

#endif
