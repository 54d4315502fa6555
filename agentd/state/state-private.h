/* agentd/state/state-private.h - shared by the files of agentd/state/.
 * Threads: `reader` only with `lock` held; the writer's handle only inside
 *          jobs. */
#ifndef AGENTD_STATE_STATE_PRIVATE_H
#define AGENTD_STATE_STATE_PRIVATE_H

#include <pthread.h>

#include "agentd/state/state.h"

/* Every statement of the agent; state.c has the text. */
enum state_stmt {
    ST_META_GET,
    ST_META_SET,
    ST_INSTANCE_PUT,
    ST_INSTANCE_DROP,
    ST_INSTANCE_LIST,
    ST_INSTANCE_LOCAL,
    ST_INSTANCE_ACKED,
    ST_INSTANCE_RENUMBER,
    ST_SPOOL_ADD,
    ST_SPOOL_READ,
    ST_SPOOL_ACK,
    ST_SPOOL_LAST,
    ST_SPOOL_RENUMBER,
    ST_SPOOL_SEED,
    ST_SPOOL_SET_LAST,
    N_STATE_STMTS,
};

struct state {
    struct db_writer *writer;
    pthread_mutex_t lock;
    struct db *reader;
};

int state_meta_get(struct db *db, const char *key, int64_t *ret) _must_check_;
int state_meta_set(struct db *db, const char *key, int64_t v) _must_check_;
/* Gives the number of the new observation. */
int state_spool_add(struct db *db, const char *id,
                    const struct state_note *note, int64_t *ret) _must_check_;
/* Microseconds since the machine's boot, sleep included. */
int64_t state_boot_us(void);

#endif
