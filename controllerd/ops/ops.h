/* controllerd/ops/ops.h - what may be asked of an instance, how it is taken
 * back, and what is known of it meanwhile.
 * Role:      functions on rows, within the caller's transaction; the state
 *            machine is drawn in instance.c.
 * Ownership: everything is borrowed; what is filled the caller releases.
 * Threads:   those that write run on the writer's; op_fill() anywhere.
 * Errors:    -EBUSY with a code for the tenant, or the store's. */
#ifndef CONTROLLERD_OPS_OPS_H
#define CONTROLLERD_OPS_OPS_H

#include "controllerd/ctl.h"
#include "metering/interval.h"

/* What is asked. The second part takes the first back. */
enum op_verb {
    VERB_START,
    VERB_STOP,
    VERB_STOP_FORCE,
    VERB_REBOOT,
    VERB_PAUSE,
    VERB_RESUME,
    VERB_REBUILD,
    VERB_RESIZE,
    VERB_RESIZE_STOPPED,
    VERB_DELETE,
    VERB_CANCEL_START,
    VERB_CANCEL_STOP,
    VERB_CANCEL_PAUSE,
    VERB_CANCEL_RESUME,
    VERB_CANCEL_RESIZE,
    N_VERBS,
};

/* The kind of the verb's operation, "instance.start". */
const char *op_kind(enum op_verb v);
/* Changes what is desired and the state; run and disk_epoch count up where
 * the verb says so. -EBUSY: not in this state (wrong_state), or protected
 * (delete_protected); then nothing has changed. */
int op_verb(struct store_instance *i, enum op_verb v,
            struct err *reterr) _must_check_;

/* op_begin() with what undoing needs; step "asked". The row is the new one. */
int op_begin_undo(struct db *db, struct store_instance *i, const char *kind,
                  const char *undo, const char *request_id,
                  struct api_operation *ret) _must_check_;

/* What metering decides from: i and its last interval. */
struct meter_history op_history(const struct store_instance *i,
                                const struct store_interval *last);

/* ---- sizes (size.c) ---- */

/* What the instance claims on its node: enough for every run that may be
 * there. ret_older (may be NULL): whether sizes of older runs are stored. */
int op_claim(struct db *db, const struct store_instance *i,
             struct sched_resources *ret, bool *ret_older) _must_check_;
/* Gives i the flavor's sizes, after op_verb(). What its runs before the
 * present one have is remembered until they are over, if one may be there. */
int op_resize(struct db *db, struct store_instance *i,
              const struct api_flavor *f, bool may_run) _must_check_;
/* The size that it has, as the `undo` of a resize. */
char *op_flavor_text(const struct store_instance *i);
/* The sizes of a run, as far as they are known without its node. */
int op_size_of_run(struct db *db, const struct store_instance *i, int64_t run,
                   struct sched_resources *ret) _must_check_;
/* 1: the node tells which size its run has, and it is one that was asked for;
 * 0: it does not, or says what cannot be, which is counted. */
int op_size_told(struct db *db, const struct store_instance *i,
                 const struct api_observation *o) _must_check_;
/* After that: the run has this size and no other. */
int op_size_settle(struct db *db, const struct store_instance *i,
                   const struct api_observation *o) _must_check_;

/* ---- while it goes on (progress.c) ---- */

/* For people who read it: stuck, reason, step, can_cancel. */
void op_fill(struct ctl *ctl, struct store_operation *o);
/* Steps and reasons of a node's report onto the running operations. */
int op_progress(struct db *db, const char *node_id,
                const struct api_report *rp) _must_check_;

/* ---- a node that is gone for good (lost.c) ---- */

/* Every instance on the node is lost, or deleted where that was asked for;
 * usage ends at seen_us, when the node was heard of last. */
int op_lose_node(struct db *db, const char *node_id, int64_t seen_us,
                 struct observed *ret) _must_check_;
bool op_is_lost(const struct store_instance *i);
/* -EBUSY node_lost for one that is: it can be deleted and nothing else. */
int op_check_lost(const struct store_instance *i,
                  struct err *reterr) _must_check_;
/* Ends the delete of one: there is nobody who would. Stores i. */
int op_end_lost(struct db *db, struct store_instance *i,
                struct observed *ret) _must_check_;

/* ---- taking back (undo.c) ---- */

/* An operation's latest instance. */
struct op_target {
    struct store_instance i;
    struct store_operation o;
};
/* The operation that takes o back becomes *ret and i's latest; the caller
 * stores i and claims what op_claim() says is more. -EBUSY not_cancellable. */
int op_cancel(struct ctl *ctl, struct db *db, struct op_target *t,
              const char *request_id, struct api_operation *ret,
              struct err *reterr) _must_check_;
/* The same for one that failed or is stuck. -EBUSY not_undoable. */
int op_undo(struct ctl *ctl, struct db *db, struct op_target *t,
            const char *request_id, struct api_operation *ret,
            struct err *reterr) _must_check_;
/* Asks the node again; the operation goes on. -EBUSY not_retryable. */
int op_retry(struct ctl *ctl, struct db *db, struct op_target *t,
             struct err *reterr) _must_check_;

#endif
