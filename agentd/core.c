/* core.c - the instances, their queue and their timers; see core.h. */
#include <config.h>

#include "agentd/core.h"

#include <assert.h>
#include <string.h>

#include "agentd/core-private.h"
#include "common/clock.h"
#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"

struct spec *
core_spec_ref(struct spec *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void
core_spec_unref(struct spec *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    codec_clear(&table_desired_instance, &s->d);
    free(s);
}

void
core_spec_unrefp(struct spec **s)
{
    core_spec_unref(*s);
    *s = NULL;
}

/* ---- timers: a binary heap, so that none is ever searched for ---- */

static void
heap_place(struct core *c, size_t at, struct inst *in)
{
    c->heap[at] = in;
    in->heap_at = at;
}

static void
heap_up(struct core *c, size_t at)
{
    struct inst *in = c->heap[at];

    for (; at > 1 && c->heap[at / 2]->due_us > in->due_us; at /= 2)
        heap_place(c, at, c->heap[at / 2]);
    heap_place(c, at, in);
}

static void
heap_down(struct core *c, size_t at)
{
    struct inst *in = c->heap[at];

    for (size_t kid; (kid = 2 * at) <= c->n_heap; at = kid) {
        if (kid < c->n_heap && c->heap[kid + 1]->due_us < c->heap[kid]->due_us)
            kid++;
        if (c->heap[kid]->due_us >= in->due_us)
            break;
        heap_place(c, at, c->heap[kid]);
    }
    heap_place(c, at, in);
}

static void
set_timer(struct core *c, struct inst *in, int64_t due_us)
{
    if (in->heap_at) {
        size_t at = in->heap_at;
        struct inst *last = c->heap[c->n_heap--];

        in->heap_at = 0;
        if (last != in) {
            heap_place(c, at, last);
            heap_up(c, at);
            heap_down(c, last->heap_at);
        }
    }
    in->due_us = due_us;
    if (!due_us)
        return;
    if (c->n_heap + 2 > c->cap_heap) {
        c->cap_heap = c->cap_heap ? c->cap_heap * 2 : 64;
        c->heap = xrealloc(c->heap, c->cap_heap * sizeof(struct inst *));
    }
    heap_place(c, ++c->n_heap, in);
    heap_up(c, c->n_heap);
    if (in->heap_at == 1)
        pthread_cond_signal(&c->wake);
}

/* ---- the queue ---- */

static void
enqueue(struct core *c, struct inst *in)
{
    set_timer(c, in, 0);
    if (in->busy) {
        in->dirty = true;
        return;
    }
    if (in->queued || c->stop)
        return;
    in->queued = true;
    in->next = NULL;
    *c->tail = in;
    c->tail = &in->next;
    c->active++;
    pthread_cond_signal(&c->wake);
}

static void
queue_due(struct core *c)
{
    int64_t now = clock_mono_us();

    while (c->n_heap && c->heap[1]->due_us <= now)
        enqueue(c, c->heap[1]);
}

static void
inactive(struct core *c)
{
    if (--c->active == 0)
        pthread_cond_broadcast(&c->idle);
}

static void
inst_free(struct inst *in)
{
    core_spec_unref(in->spec);
    free(in);
}

/* Out of the table; freed now or when its pass ends. */
static void
drop(struct core *c, struct inst *in)
{
    for (struct inst **p = &c->deleted; *p; p = &(*p)->next_gone)
        if (*p == in) {
            *p = in->next_gone;
            break;
        }
    HASH_DEL(c->table, in);
    set_timer(c, in, 0);
    progress_drop(c, in);
    in->gone = true;
    if (!in->busy && !in->queued)
        inst_free(in);
}

/* The next instance, owned by the caller; NULL at the end. */
static struct inst *
take(struct core *c)
{
    for (;;) {
        queue_due(c);
        if (c->stop)
            return NULL;
        struct inst *in = c->head;
        if (!in && c->n_heap) {
            int64_t due = c->heap[1]->due_us;
            struct timespec ts = {.tv_sec = due / US_PER_S,
                                  .tv_nsec = due % US_PER_S * 1000};

            pthread_cond_timedwait(&c->wake, &c->lock, &ts);
            continue;
        }
        if (!in) {
            pthread_cond_wait(&c->wake, &c->lock);
            continue;
        }
        c->head = in->next;
        if (!c->head)
            c->tail = &c->head;
        in->queued = false;
        if (in->gone) {
            inst_free(in);
            inactive(c);
            continue;
        }
        in->busy = true;
        in->dirty = false;
        return in;
    }
}

static void *
worker_main(void *arg)
{
    struct core *c = arg;
    struct inst *in;

    pthread_mutex_lock(&c->lock);
    while ((in = take(c))) {
        pthread_mutex_unlock(&c->lock);
        work_pass(c, in);
        pthread_mutex_lock(&c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

void
core_release(struct core *c, struct inst *in, bool again, int64_t due_us)
{
    pthread_mutex_lock(&c->lock);
    assert(in->busy);
    in->busy = false;
    if (in->gone)
        inst_free(in);
    else if (again || in->dirty)
        enqueue(c, in);
    else
        set_timer(c, in, due_us);
    inactive(c);
    pthread_mutex_unlock(&c->lock);
}

bool
core_is_dirty(struct core *c, struct inst *in)
{
    pthread_mutex_lock(&c->lock);
    bool dirty = in->dirty;
    pthread_mutex_unlock(&c->lock);
    return dirty;
}

static void
note_deleted(struct core *c, struct inst *in)
{
    in->next_gone = c->deleted;
    c->deleted = in;
}

void
core_set_local(struct core *c, struct inst *in, const struct agent_local *local)
{
    pthread_mutex_lock(&c->lock);
    if (local->phase == PHASE_DELETED && in->local.phase != PHASE_DELETED &&
        !in->gone)
        note_deleted(c, in);
    in->local = *local;
    pthread_mutex_unlock(&c->lock);
}

void
core_wake(struct core *c, const char *id)
{
    struct inst *in;

    pthread_mutex_lock(&c->lock);
    HASH_FIND_STR(c->table, id, in);
    if (in)
        enqueue(c, in);
    pthread_mutex_unlock(&c->lock);
}

/* ---- the table ---- */

/* Takes the contents of d; a newer one replaces what is there. Returns the
 * instance. */
static struct inst *
put(struct core *c, struct api_desired_instance *d)
{
    struct inst *in;

    HASH_FIND_STR(c->table, d->id, in);
    if (in && d->seq <= in->spec->d.seq)
        return in;
    struct spec *s = xnew(struct spec);
    atomic_init(&s->refs, 1);
    s->d = *d;
    *d = (struct api_desired_instance){0};
    if (!in) {
        in = xnew(struct inst);
        memcpy(in->id, s->d.id, ID_SIZE);
        HASH_ADD_STR(c->table, id, in);
    }
    core_spec_unref(in->spec);
    in->spec = s;
    enqueue(c, in);
    return in;
}

struct load_arg {
    struct core *c;
    int64_t alive_us;
};

static void
on_load(struct api_desired_instance *d, const struct agent_local *local,
        void *arg)
{
    struct load_arg *la = arg;
    struct inst *in = put(la->c, d);

    in->local = *local;
    in->first = true;
    in->seen_us = la->alive_us;
    if (local->phase == PHASE_DELETED)
        note_deleted(la->c, in);
}

struct core *
core_new(const struct core_config *cfg)
{
    struct core *c = xnew(struct core);
    pthread_condattr_t attr;

    c->cfg = *cfg;
    c->dir = xstrdup(cfg->dir);
    c->tail = &c->head;
    pthread_mutex_init(&c->apply_lock, NULL);
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->wake, &attr);
    pthread_cond_init(&c->idle, &attr);
    pthread_condattr_destroy(&attr);
    return c;
}

int
core_start(struct core *c, struct hv *hv, struct image_cache *images,
           struct err *reterr)
{
    struct load_arg la = {.c = c};
    int r = state_alive(c->cfg.st, &la.alive_us);

    if (r < 0)
        return err_errno(reterr, r, "cannot read the agent's database");
    c->hv = hv;
    c->images = images;
    c->caps = hv_caps(hv);
    pthread_mutex_lock(&c->lock);
    r = state_load(c->cfg.st, on_load, &la, reterr);
    pthread_mutex_unlock(&c->lock);
    if (r == 0)
        r = core_sweep(c, reterr);
    if (r < 0)
        return r;
    c->threads = xcalloc(c->cfg.workers, sizeof(pthread_t));
    for (; c->n_threads < c->cfg.workers; c->n_threads++) {
        r = -pthread_create(&c->threads[c->n_threads], NULL, worker_main, c);
        if (r < 0)
            return err_errno(reterr, r, "cannot start a worker");
        pthread_setname_np(c->threads[c->n_threads], "worker");
    }
    return 0;
}

void
core_stop(struct core *c)
{
    pthread_mutex_lock(&c->lock);
    c->stop = true;
    pthread_cond_broadcast(&c->wake);
    pthread_mutex_unlock(&c->lock);
    for (unsigned i = 0; i < c->n_threads; i++)
        pthread_join(c->threads[i], NULL);
    c->n_threads = 0;
}

/* Passes that wait for the database hold their instance: the store must have
 * been closed before. */
void
core_free(struct core *c)
{
    struct inst *in, *tmp;

    if (!c)
        return;
    while ((in = c->head)) {
        c->head = in->next;
        if (in->gone)
            inst_free(in);
    }
    HASH_ITER(hh, c->table, in, tmp)
    {
        HASH_DEL(c->table, in);
        progress_drop(c, in);
        inst_free(in);
    }
    codec_strings_clear(&c->strangers);
    pthread_cond_destroy(&c->wake);
    pthread_cond_destroy(&c->idle);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->apply_lock);
    free(c->threads);
    free(c->heap);
    free(c->dir);
    free(c);
}

/* ---- news from the controller ---- */

/* Ids of those that a full listing, now at its end, did not name. */
static size_t
collect_gone(struct core *c, const struct api_desired *d, char (**ret)[ID_SIZE])
{
    const struct api_desired_instance *items = d->instances.items;
    struct inst *in, *tmp;
    size_t n = 0;

    for (size_t i = 0; i < d->instances.n; i++) {
        HASH_FIND_STR(c->table, items[i].id, in);
        if (in)
            in->full_round = c->full_round;
    }
    if (d->more)
        return 0;
    *ret = xcalloc(HASH_COUNT(c->table), ID_SIZE);
    HASH_ITER(hh, c->table, in, tmp)
    {
        if (in->full_round != c->full_round)
            memcpy((*ret)[n++], in->id, ID_SIZE);
    }
    return n;
}

int
core_apply(struct core *c, struct api_desired *d, bool first)
{
    char(*gone)[ID_SIZE] _cleanup_(freep) = NULL;
    struct api_desired_instance *items = d->instances.items;
    size_t n_gone = 0;
    struct inst *in;

    pthread_mutex_lock(&c->apply_lock);
    if (d->full) {
        pthread_mutex_lock(&c->lock);
        c->full_round += first;
        n_gone = collect_gone(c, d, &gone);
        pthread_mutex_unlock(&c->lock);
    }
    /* A listing that was cut short starts over: its seq counts at the end. */
    int r = state_store_desired(c->cfg.st, items, d->instances.n,
                                (const char(*)[ID_SIZE])gone, n_gone,
                                d->full && d->more ? -1 : d->seq);
    if (r == 0) {
        pthread_mutex_lock(&c->lock);
        for (size_t i = 0; i < d->instances.n; i++)
            put(c, &items[i])->full_round = c->full_round;
        for (size_t i = 0; i < n_gone; i++) {
            HASH_FIND_STR(c->table, gone[i], in);
            if (in)
                drop(c, in);
        }
        pthread_mutex_unlock(&c->lock);
    }
    pthread_mutex_unlock(&c->apply_lock);
    /* Their VMs, if any, are strangers from now on and stay as they are. */
    for (size_t i = 0; r == 0 && i < n_gone; i++)
        log_warn("the controller does not know this instance any more; its "
                 "files and VM are left alone",
                 "inst=%s", gone[i]);
    return r;
}

int
core_acked(struct core *c, int64_t seq)
{
    pthread_mutex_lock(&c->apply_lock);
    int r = state_spool_ack(c->cfg.st, seq);
    pthread_mutex_lock(&c->lock);
    for (struct inst *in = r == 0 ? c->deleted : NULL, *next; in; in = next) {
        next = in->next_gone;
        if (in->local.deleted_seq <= seq)
            drop(c, in);
    }
    pthread_mutex_unlock(&c->lock);
    pthread_mutex_unlock(&c->apply_lock);
    return r;
}

/* ---- looking around ---- */

/* True if the driver's view of the VM asks for a pass. */
static bool
compare(struct core *c, struct inst *in, const struct hv_vm *vm)
{
    bool as_recorded = vm->ours && vm->state != HV_STOPPED &&
                       in->local.phase == PHASE_STARTED &&
                       in->local.paused == (vm->state == HV_PAUSED) &&
                       (int64_t)vm->run == in->local.run;

    if (as_recorded) {
        in->sweep_round = c->sweep_round;
        in->seen_us = clock_now_us();
    }
    return !as_recorded;
}

int
core_sweep(struct core *c, struct err *reterr)
{
    struct hv_vm *vms _cleanup_(freep) = NULL;
    struct codec_list strangers = {0};
    struct inst *in, *tmp;
    size_t n = 0, n_unknown = 0;
    int r = hv_list(c->hv, &vms, &n, reterr);

    if (r < 0)
        return r;
    pthread_mutex_lock(&c->lock);
    c->sweep_round++;
    for (size_t i = 0; i < n; i++) {
        HASH_FIND_STR(c->table, vms[i].id, in);
        if (!in)
            vms[n_unknown++] = vms[i];
        else if (compare(c, in, &vms[i]))
            enqueue(c, in);
    }
    HASH_ITER(hh, c->table, in, tmp)
    {
        if (in->quarantined)
            codec_strings_add(&strangers, in->id);
        if (in->quarantined || (in->local.phase == PHASE_STARTED &&
                                in->sweep_round != c->sweep_round))
            enqueue(c, in);
    }
    pthread_mutex_unlock(&c->lock);
    /* Those whose deletion was acknowledged since the list was made are gone
     * from the driver as well. */
    for (size_t i = 0; i < n_unknown; i++) {
        struct hv_vm now;

        if (hv_info(c->hv, vms[i].id, &now, NULL) == 0 &&
            !core_knows(c, vms[i].id))
            codec_strings_add(&strangers, vms[i].id);
    }
    pthread_mutex_lock(&c->lock);
    if (strangers.n > c->strangers.n)
        log_warn("VMs that nobody asked for are left alone", "n=%zu",
                 strangers.n);
    codec_strings_clear(&c->strangers);
    c->strangers = strangers;
    pthread_mutex_unlock(&c->lock);
    return 0;
}

void
core_quarantined(struct core *c, struct codec_list *ret)
{
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->strangers.n; i++)
        codec_strings_add(ret, ((char **)c->strangers.items)[i]);
    pthread_mutex_unlock(&c->lock);
}

bool
core_knows(struct core *c, const char *id)
{
    struct inst *in;

    pthread_mutex_lock(&c->lock);
    HASH_FIND_STR(c->table, id, in);
    pthread_mutex_unlock(&c->lock);
    return in != NULL;
}

char *
core_instance_dir(struct core *c, const char *id)
{
    return core_knows(c, id) ? xasprintf("%s/instances/%s", c->dir, id) : NULL;
}

bool
core_uses_image(struct core *c, const char *image_id)
{
    struct inst *in, *tmp;
    bool used = false;

    pthread_mutex_lock(&c->lock);
    HASH_ITER(hh, c->table, in, tmp)
    {
        const struct api_desired_image *im = in->spec->d.image;

        used = used || (im && streq(im->id, image_id));
    }
    pthread_mutex_unlock(&c->lock);
    return used;
}

size_t
core_running(struct core *c, char (**ret)[ID_SIZE])
{
    struct inst *in, *tmp;
    size_t n = 0;

    pthread_mutex_lock(&c->lock);
    *ret = xcalloc(HASH_COUNT(c->table), ID_SIZE);
    HASH_ITER(hh, c->table, in, tmp)
    {
        if (in->local.phase == PHASE_STARTED)
            memcpy((*ret)[n++], in->id, ID_SIZE);
    }
    pthread_mutex_unlock(&c->lock);
    return n;
}

bool
core_wait_idle(struct core *c, int64_t timeout_us)
{
    int64_t at = clock_mono_us() + timeout_us;
    struct timespec ts = {.tv_sec = at / US_PER_S,
                          .tv_nsec = at % US_PER_S * 1000};

    pthread_mutex_lock(&c->lock);
    while (c->active &&
           pthread_cond_timedwait(&c->idle, &c->lock, &ts) != ETIMEDOUT)
        continue;
    bool idle = c->active == 0;
    pthread_mutex_unlock(&c->lock);
    return idle;
}
