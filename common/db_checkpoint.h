/* common/db_checkpoint.h - copies the WAL into its database, beside the writer.
 * Role:      a thread with a connection of its own runs checkpoints in mode
 *            PASSIVE while commits go on, so that no commit waits for the
 *            many pages of one. Only when the WAL has grown large, the writer
 *            is held between two transactions for the few pages that are left,
 *            after which the WAL begins anew in the space it has: its file
 *            is bounded, and syncing it needs no new blocks.
 * Ownership: db_checkpoint_start() turns off the writer's own checkpoints; the
 *            writer's handle must outlive db_checkpoint_stop().
 * Threads:   _enter() and _leave() on the writer's thread; the rest on the
 *            one that made it.
 * Errors:    a checkpoint that fails is counted, logged and tried again; it
 *            harms nothing but the size of the WAL.
 * Invariant: between _enter() and _leave() no checkpoint holds the writer.
 * Source:    SQLite's documentation of WAL mode: "Avoiding Excessively Large
 *            WAL Files". */
#ifndef COMMON_DB_CHECKPOINT_H
#define COMMON_DB_CHECKPOINT_H

#include "common/db.h"
#include "common/metrics.h"

struct db_checkpoint;

struct db_checkpoint_limits {
    int64_t start_pages; /* so many not yet copied: a checkpoint begins */
    int64_t hold_pages;  /* the WAL has so many: the writer is held once */
    int64_t rest_pages;  /* at most so many are left for that */
    int64_t quiet_us;    /* copies all there is after such a silence */
};
extern const struct db_checkpoint_limits db_checkpoint_limits;

int db_checkpoint_start(struct db *writer, const struct db_checkpoint_limits *l,
                        struct db_checkpoint **ret) _must_check_;
void db_checkpoint_stop(struct db_checkpoint *c);

/* How long copies took, and how long the writer was held. Any thread. */
struct db_checkpoint_times {
    struct metrics_hist copy, hold;
};
const struct db_checkpoint_times *
db_checkpoint_times(const struct db_checkpoint *c);

/* Around each transaction. commit: 0 or the error with which it ended. */
void db_checkpoint_enter(struct db_checkpoint *c);
void db_checkpoint_leave(struct db_checkpoint *c, int commit);

#endif
