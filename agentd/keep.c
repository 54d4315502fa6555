/* keep.c - the agent's housekeeping, on one thread: sweeps for what events
 * missed, bounds console logs and the image cache, and notes that the VMs
 * were looked after. */
#include <config.h>

#include <pthread.h>

#include "agentd/agent.h"
#include "common/clock.h"
#include "common/count.h"
#include "common/mem.h"

#define TICK_US (2 * US_PER_S)
#define SWEEP_US (30 * US_PER_S)
#define TRIM_LOGS_US (10 * US_PER_S)
#define TRIM_IMAGES_US (600 * US_PER_S)
#define IMAGE_AGE_US (7 * 86400 * US_PER_S)

struct keeper {
    struct agent *a;
    pthread_t thread;
    int64_t swept_us, logs_us, images_us;
};

static bool
is_due(int64_t *last_us, int64_t every_us)
{
    int64_t now = clock_mono_us();

    if (now - *last_us < every_us)
        return false;
    *last_us = now;
    return true;
}

static void
trim_logs(struct agent *a)
{
    char(*ids)[ID_SIZE] _cleanup_(freep) = NULL;
    size_t n = core_running(a->core, &ids);

    for (size_t i = 0; i < n; i++) {
        char *dir _cleanup_(freep) =
            xasprintf("%s/%s", a->instances_dir, ids[i]);
        int r = hv_console_trim(a->hv, dir);

        if (r < 0) {
            COUNT(console_trim_failed);
            log_limited(LOG_LEVEL_WARN, "cannot bound a console log",
                        "inst=%s error=\"%s\"", ids[i], strerrordesc_np(-r));
        }
    }
}

static void
tick(struct keeper *k)
{
    struct agent *a = k->a;
    struct err e _cleanup_(err_release) = {0};
    char(*ids)[ID_SIZE] _cleanup_(freep) = NULL;

    if (is_due(&k->swept_us, SWEEP_US) && core_sweep(a->core, &e) < 0)
        log_limited(LOG_LEVEL_WARN, "cannot list the VMs, trying again later",
                    "error=\"%s\"", e.message);
    if (is_due(&k->logs_us, TRIM_LOGS_US) &&
        !(hv_caps(a->hv) & HV_CAP_NO_GUEST))
        trim_logs(a);
    if (a->images && is_due(&k->images_us, TRIM_IMAGES_US))
        image_trim(a->images, IMAGE_AGE_US);
    /* It matters only as the end of a VM that nobody saw end. */
    if (core_running(a->core, &ids) > 0) {
        int r = state_set_alive(a->st, clock_now_us());

        if (r < 0)
            log_limited(LOG_LEVEL_WARN, "cannot note the time", "error=\"%s\"",
                        strerrordesc_np(-r));
    }
}

static void *
keeper_main(void *arg)
{
    struct keeper *k = arg;

    do
        tick(k);
    while (!link_wait_us(k->a->link, TICK_US));
    return NULL;
}

int
keeper_start(struct agent *a, struct keeper **ret)
{
    struct keeper *k = xnew(struct keeper);

    k->a = a;
    k->images_us = clock_mono_us(); /* let the instances be seen first */
    int r = -pthread_create(&k->thread, NULL, keeper_main, k);
    if (r < 0) {
        free(k);
        return r;
    }
    pthread_setname_np(k->thread, "keep");
    *ret = k;
    return 0;
}

void
keeper_stop(struct keeper *k)
{
    if (!k)
        return;
    pthread_join(k->thread, NULL);
    free(k);
}
