/* agentd/core.h - makes this node's VMs what the controller wants.
 * Role:      holds every instance of the node, decides for one at a time
 *            (reconcile.h) and acts (work.c). Whatever may have changed
 *            something - news from the controller, an event of the driver, a
 *            finished download, a timer - only wakes the instance; what to
 *            do is always found anew from the facts.
 * Ownership: the core borrows the store, the driver and the image cache; it
 *            is freed after all three are closed.
 * Threads:   any function from any thread; `workers` threads of its own, one
 *            at a time for each instance.
 * Errors:    what goes wrong with an instance is retried or told to the
 *            controller as an observation; only core_start() and
 *            core_apply() fail.
 * Invariant: nothing is done to a VM before the wish or the step that leads
 *            to it is on disk. */
#ifndef AGENTD_CORE_H
#define AGENTD_CORE_H

#include "agentd/state/state.h"

struct core;
struct image_cache;

enum core_network { NETWORK_ISOLATED, NETWORK_NAT, NETWORK_NONE };

struct core_config {
    struct state *st;
    const char *dir; /* state folder, absolute; copied */
    unsigned workers;
    int64_t stop_grace_us;
    enum core_network network;
    /* A new observation is in the spool; called without any lock held. */
    void (*on_observation)(void *arg);
    /* There is progress to tell, in core_progress_wait() from now; likewise.
     * NULL is fine. */
    void (*on_progress)(void *arg);
    void *arg;
};

struct core *core_new(const struct core_config *cfg);
/* Loads what is stored, compares it with the driver's VMs and begins. images
 * is NULL only with HV_CAP_NO_GUEST. */
int core_start(struct core *c, struct hv *hv, struct image_cache *images,
               struct err *reterr) _must_check_;
/* Ends after the steps that run now; VMs go on. */
void core_stop(struct core *c);
void core_free(struct core *c);

/* Something about this instance may have changed. Unknown ids are fine. */
void core_wake(struct core *c, const char *id);

/* Stores a page of the desired state, then acts on it. The instances are
 * moved out of d. `first` marks the first page of a full listing. */
int core_apply(struct core *c, struct api_desired *d, bool first) _must_check_;
/* The controller has stored every observation up to seq. */
int core_acked(struct core *c, int64_t seq) _must_check_;

/* Compares the driver's list with what is known: finds what events missed
 * and VMs that nobody asked for. */
int core_sweep(struct core *c, struct err *reterr) _must_check_;
/* VMs that nobody asked for: strings appended to ret. */
void core_quarantined(struct core *c, struct codec_list *ret);

/* Where the work on instances is (struct api_progress), at most max of those
 * that changed since it was told and that have been at it for a moment.
 * *ret_mark is for core_progress_told(). */
void core_progress(struct core *c, size_t max, struct codec_list *ret,
                   uint64_t *ret_mark);
/* What was given with this mark need not be given again. */
void core_progress_told(struct core *c, uint64_t mark);
/* Microseconds until there is some to tell; 0: now, < 0: none is there. */
int64_t core_progress_wait(struct core *c);

/* The instance's folder, for the caller to free; NULL if it is unknown. */
char *core_instance_dir(struct core *c, const char *id) _must_check_;
/* True if an instance uses the image. */
bool core_uses_image(struct core *c, const char *image_id);
bool core_knows(struct core *c, const char *id);
/* Instances whose VM runs: a copy of their ids, for the caller to free. */
size_t core_running(struct core *c, char (**ret)[ID_SIZE]);

/* Waits until nothing is queued or under way (timers may be set). False after
 * the timeout. */
bool core_wait_idle(struct core *c, int64_t timeout_us);

#endif
