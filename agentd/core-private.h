/* agentd/core-private.h - shared by core.c (who is next) and work.c (what is
 * done).
 * Threads: what is marked `lock` needs core.lock; what is marked `pass`
 *          belongs to the one pass over the instance that runs (busy), from
 *          core_take() to core_release(). */
#ifndef AGENTD_CORE_PRIVATE_H
#define AGENTD_CORE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <uthash.h>

#include "agentd/core.h"

/* A desired instance as it was received; never changed, only replaced. */
struct spec {
    atomic_int refs;
    struct api_desired_instance d;
};

struct inst {
    char id[ID_SIZE];
    UT_hash_handle hh;        /* lock */
    struct inst *next;        /* lock: the queue */
    struct inst *next_gone;   /* lock: core.deleted */
    struct spec *spec;        /* lock; never NULL */
    struct agent_local local; /* lock; written by the pass */
    bool queued, busy;        /* lock; dirty: woken while busy */
    bool dirty, gone;         /* lock; gone: freed at the pass's end */
    bool quarantined;         /* lock */
    uint64_t full_round;      /* lock: last full listing that named it */
    uint64_t sweep_round;     /* lock: last sweep that saw its VM run */
    int64_t seen_us;          /* lock: its VM was seen running, wall clock */
    int64_t due_us;           /* lock: monotonic, 0: no timer */
    size_t heap_at;           /* lock: 1-based place in core.heap */
    struct progress *news;    /* lock: where its work is; NULL: settled */

    bool first; /* pass: nothing was settled since the agent's start */
    bool stop_asked;
    int64_t stop_run; /* pass: which run stop_asked and the times are of */
    int64_t pressed_us, deadline_us;
    unsigned kills, attempts, spins;
    int64_t not_before_us; /* pass: of a start that is tried again */
};

/* Where the work on an instance is. In core.news while it is not told. */
struct progress {
    struct inst *in;
    const char *step; /* constant text */
    char *why;        /* or NULL */
    int64_t run;
    bool listed;
    int64_t since_us; /* of the first change that was not told; monotonic */
    uint64_t mark;    /* of the last one */
    uint64_t sent;    /* the mark that it was given out with */
    struct progress *prev, *next;
};

struct core {
    struct core_config cfg;
    char *dir;
    struct hv *hv;
    struct image_cache *images;
    unsigned caps;
    pthread_t *threads;
    unsigned n_threads;
    /* One change of the table's members at a time, held over the database
     * and then `lock`. */
    pthread_mutex_t apply_lock;

    pthread_mutex_t lock;
    pthread_cond_t wake, idle;
    struct inst *table;          /* by id */
    struct inst *head, **tail;   /* the queue */
    struct inst **heap;          /* timers, soonest first; from index 1 */
    size_t n_heap, cap_heap;     /* n_heap: the last index in use */
    size_t active;               /* queued or busy */
    struct inst *deleted;        /* PHASE_DELETED, not acknowledged yet */
    struct codec_list strangers; /* ids of VMs that nobody asked for */
    uint64_t full_round, sweep_round;
    struct progress *news; /* what is to be told, oldest first */
    uint64_t news_mark;
    bool stop;
};

struct spec *core_spec_ref(struct spec *s);
void core_spec_unref(struct spec *s);
void core_spec_unrefp(struct spec **s);

/* Ends the pass: again at once, at due_us (monotonic), or when woken. */
void core_release(struct core *c, struct inst *in, bool again, int64_t due_us);
/* True if it was woken since the pass began. */
bool core_is_dirty(struct core *c, struct inst *in);
/* Records a committed local state. */
void core_set_local(struct core *c, struct inst *in,
                    const struct agent_local *local);

/* progress.c: the step that the pass is at (constant text), and why it does not
 * go on; NULL where it does or is tried again. */
void core_set_progress(struct core *c, struct inst *in, int64_t run,
                       const char *step, const char *why);
/* There is nothing (more) to tell. */
void core_clear_progress(struct core *c, struct inst *in);
/* The same with the lock held. */
void progress_drop(struct core *c, struct inst *in);

/* One pass: look, decide, act. Ends with core_release(), perhaps later on
 * another thread. */
void work_pass(struct core *c, struct inst *in);

#endif
