/* lv-call.c - calls that may hang with their QEMU; see lv-libvirt.h.
 *
 * libvirt waits for QEMU's answer without a limit. If that held the caller,
 * the agent (one call per VM at a time) could never come to the forced stop
 * that ends the hang. So the waiting is done by a thread that can be left
 * behind: it owns a reference to the call, and what it does late nobody sees.
 *
 *   lv_call ── makes call ──► run ── done ──► lv_call takes the result
 *      └─ time is up: abandoned ──► run ── done ──► freed
 *
 * Invariants: 1. `refs` counts the threads that may touch the call.
 *             2. Abandoned calls stand in the list until they are done. */
#include <config.h>

#include <pthread.h>
#include <string.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/mem.h"
#include "hypervisor-backend/libvirt/lv-libvirt.h"

struct call {
    enum lv_op op;
    virDomainPtr dom;
    char id[ID_SIZE];
    int refs;
    bool done;
    int r;
    struct err e;
    struct hv_stats stats;
    struct call *next; /* in abandoned */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t call_done;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct call *abandoned; /* guarded by lock */

static void
init_cond(void)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&call_done, &attr);
    pthread_condattr_destroy(&attr);
}

/* Under the lock. */
static void
call_unref(struct call *c)
{
    if (--c->refs)
        return;
    for (struct call **p = &abandoned; *p; p = &(*p)->next) {
        if (*p == c) {
            *p = c->next;
            break;
        }
    }
    virDomainFree(c->dom);
    err_release(&c->e);
    free(c);
}

/* One that an I/O error has halted goes on first: its request is tried again,
 * and from then on it is us who halt it. */
static int
pause_vm(struct call *c)
{
    int state, reason;

    if (virDomainGetState(c->dom, &state, &reason, 0) < 0)
        return lv_error(&c->e, "cannot look at the VM");
    if (state == VIR_DOMAIN_PAUSED && !lv_paused_by_us(state, reason) &&
        virDomainResume(c->dom) < 0)
        return lv_error(&c->e, "cannot resume the VM");
    if (virDomainSuspend(c->dom) < 0)
        return lv_error(&c->e, "cannot pause the VM");
    return 0;
}

static int
act(struct call *c)
{
    switch (c->op) {
    case LV_OP_CREATE:
        if (virDomainCreateWithFlags(c->dom, VIR_DOMAIN_START_FORCE_BOOT) < 0)
            return lv_error(&c->e, "cannot start the VM");
        return 0;
    case LV_OP_SHUTDOWN:
        if (virDomainShutdownFlags(c->dom, VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN) <
            0)
            return lv_error(&c->e, "cannot press the power button");
        return 0;
    case LV_OP_PAUSE:
        return pause_vm(c);
    case LV_OP_RESUME:
        if (virDomainResume(c->dom) < 0)
            return lv_error(&c->e, "cannot resume the VM");
        return 0;
    case LV_OP_STATS:
        return lv_stats(c->dom, &c->stats, &c->e);
    }
    return err_set(&c->e, -EINVAL, "invalid", "no such operation");
}

static void *
run(void *arg)
{
    struct call *c = arg;
    int r = act(c);

    pthread_mutex_lock(&lock);
    c->r = r;
    c->done = true;
    pthread_cond_broadcast(&call_done);
    call_unref(c);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static bool
is_stuck(const char *id)
{
    for (struct call *c = abandoned; c; c = c->next)
        if (streq(c->id, id))
            return true;
    return false;
}

static int
spawn(struct call *c)
{
    pthread_attr_t attr;
    pthread_t thread;
    int r = pthread_attr_init(&attr);

    if (r == 0) {
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        r = pthread_create(&thread, &attr, run, c);
        pthread_attr_destroy(&attr);
    }
    return -r;
}

static int
late(struct err *e, const char *id)
{
    COUNT(lv_call_timeout);
    return err_set(e, -ETIMEDOUT, "timeout",
                   "the hypervisor process of VM %s does not answer; a forced "
                   "stop ends it",
                   id);
}

int
lv_call(virDomainPtr dom, const char *id, enum lv_op op, int timeout_ms,
        struct hv_stats *ret_stats, struct err *e)
{
    int64_t end_us = clock_mono_us() + (int64_t)timeout_ms * 1000;
    struct timespec ts = {.tv_sec = (time_t)(end_us / US_PER_S),
                          .tv_nsec = (long)(end_us % US_PER_S) * 1000};
    struct call *c;
    int r = 0;

    pthread_once(&once, init_cond);
    pthread_mutex_lock(&lock);
    if (is_stuck(id)) {
        pthread_mutex_unlock(&lock);
        return late(e, id);
    }
    c = xnew(struct call);
    c->op = op;
    c->refs = 2;
    memcpy(c->id, id, ID_SIZE);
    virDomainRef(dom);
    c->dom = dom;
    r = spawn(c);
    if (r < 0) {
        c->refs = 1;
        call_unref(c);
        pthread_mutex_unlock(&lock);
        return err_errno(e, r, "cannot start a thread");
    }
    while (!c->done && r == 0)
        r = -pthread_cond_timedwait(&call_done, &lock, &ts);
    if (!c->done) {
        c->next = abandoned;
        abandoned = c;
        r = late(e, id);
    } else {
        r = c->r;
        if (r < 0)
            err_move(e, &c->e);
        else if (ret_stats)
            *ret_stats = c->stats;
    }
    call_unref(c);
    pthread_mutex_unlock(&lock);
    return r;
}
