/* main.c - virga-agentd: puts the parts together, in this order, and takes
 * them apart in the opposite one:
 *
 *   settings, state folder and its lock, database, hypervisor driver
 *   core (adopts and settles this node's VMs, also without a controller),
 *   metrics
 *   joining, if this folder has not
 *   requests, reporter, poller, housekeeping
 *
 * Exit status: 0 after SIGTERM or SIGINT, 1 when it cannot start, 2 for bad
 * settings. VMs go on in every case. */
#include <config.h>

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "agentd/agent.h"
#include "agentd/join.h"
#include "api/http.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/mem.h"

#define FETCHERS 2

static void
on_vm_event(const char *id, void *arg)
{
    struct agent *a = arg;

    core_wake(a->core, id);
}

static void
on_observation(void *arg)
{
    struct agent *a = arg;

    reporter_wake(__atomic_load_n(&a->reporter, __ATOMIC_ACQUIRE));
}

static void
on_progress(void *arg)
{
    struct agent *a = arg;

    reporter_progress(__atomic_load_n(&a->reporter, __ATOMIC_ACQUIRE));
}

static void
on_image(const char *instance_id, void *arg)
{
    struct agent *a = arg;

    core_wake(a->core, instance_id);
}

/* While there is a folder of an instance that this agent does not know (any
 * more), nobody can say which image its disk lies on: all are kept. */
static bool
is_image_used(const char *image_id, void *arg)
{
    struct agent *a = arg;
    DIR *d _cleanup_(closedirp) = opendir(a->instances_dir);
    struct dirent *de;

    if (core_uses_image(a->core, image_id))
        return true;
    while (d && (de = readdir(d)))
        if (id_valid(de->d_name) && !core_knows(a->core, de->d_name))
            return true;
    return false;
}

static int
open_state(struct agent *a, int *ret_lock_fd, struct err *e)
{
    const char *dir = a->cfg.state_dir;
    char *lock _cleanup_(freep) = xasprintf("%s/agent.lock", dir);
    char *db _cleanup_(freep) = xasprintf("%s/agent.db", dir);

    a->identity_dir = xasprintf("%s/identity", dir);
    a->instances_dir = xasprintf("%s/instances", dir);
    int r = fs_mkdirs(dir, e);
    if (r == 0)
        r = fs_lock(lock, ret_lock_fd, e);
    if (r == 0)
        r = fs_mkdirs(a->instances_dir, e);
    if (r == 0)
        r = fs_mkdirs(a->identity_dir, e);
    if (r == 0)
        r = state_open(db, &a->st, e);
    return r;
}

static int
open_driver(struct agent *a, struct err *e)
{
    struct hv_config hc = {
        .driver = a->cfg.driver,
        .state_dir = a->cfg.state_dir,
        .uri = a->cfg.libvirt_uri,
        .accel = a->cfg.accel,
        .console_log_bytes = (uint64_t)a->cfg.console_log_bytes,
        .sim_options = a->cfg.sim_options,
        .vmm_binary = a->cfg.vmm_binary,
        .usernet_binary = a->cfg.usernet_binary,
        .vmm_uid_base = (uint32_t)a->cfg.vmm_uid_base,
        .vmm_cgroup = a->cfg.vmm_cgroup,
        .on_event = on_vm_event,
        .arg = a,
    };

    return hv_open(&hc, &a->hv, e);
}

static int
open_core(struct agent *a, struct err *e)
{
    char *images _cleanup_(freep) = xasprintf("%s/images", a->cfg.state_dir);
    struct image_config ic = {
        .dir = images,
        .link = a->link,
        .fetchers = FETCHERS,
        .wake = on_image,
        .used = is_image_used,
        .arg = a,
    };
    struct core_config cc = {
        .st = a->st,
        .dir = a->cfg.state_dir,
        .workers = (unsigned)a->cfg.workers,
        .stop_grace_us = a->cfg.stop_grace_us,
        .network = a->cfg.network,
        .on_observation = on_observation,
        .on_progress = on_progress,
        .arg = a,
    };

    a->core = core_new(&cc);
    int r = open_driver(a, e);
    if (r == 0 && !(hv_caps(a->hv) & HV_CAP_NO_GUEST))
        r = image_cache_new(&ic, &a->images, e);
    if (r == 0)
        r = core_start(a->core, a->hv, a->images, e);
    if (r == 0)
        r = metrics_start(a, &a->metrics, e);
    return r;
}

/* Waits for a signal that ends the daemon; true when one came. */
static bool
ended_within(const sigset_t *ends, int64_t us)
{
    struct timespec ts = {.tv_sec = us / US_PER_S,
                          .tv_nsec = us % US_PER_S * 1000};
    int s;

    do
        s = sigtimedwait(ends, NULL, &ts);
    while (s < 0 && errno == EINTR);
    return s > 0;
}

/* 1 when a signal came first. */
static int
join(struct agent *a, const sigset_t *ends, struct err *e)
{
    struct backoff b = {.base_us = US_PER_S / 2, .max_us = 30 * US_PER_S};
    struct join_token token;
    int r = join_load(a->identity_dir, a->node_id, e);

    if (r != -ENOENT)
        return r;
    err_release(e);
    if (!a->cfg.join_token_file)
        return err_set(e, -EINVAL, "not_joined",
                       "this node has not joined a cloud yet: "
                       "join-token-file must name a file with a join token");
    r = join_token_read(a->cfg.join_token_file, &token, e);
    while (r == 0) {
        r = join_try(a->identity_dir, a->cfg.controller, a->cfg.name, &token,
                     a->node_id, e);
        if (r == 0) {
            log_info("joined", "node=%s name=%s", a->node_id, a->cfg.name);
            return 0;
        }
        if (!join_may_retry(r)) {
            err_prefix(e, "cannot join");
            return r;
        }
        log_warn("cannot join yet, trying again", "error=\"%s\"", e->message);
        err_release(e);
        r = ended_within(ends, backoff_next_us(&b)) ? 1 : 0;
    }
    return r;
}

static int
start_threads(struct agent *a, struct err *e)
{
    struct reporter *rp = NULL;
    int r = requests_new(a, &a->requests);

    if (r == 0)
        r = reporter_start(a, &rp);
    if (r == 0) {
        __atomic_store_n(&a->reporter, rp, __ATOMIC_RELEASE);
        r = poller_start(a, &a->poller);
    }
    if (r == 0)
        r = keeper_start(a, &a->keeper);
    return r < 0 ? err_errno(e, r, "cannot start the agent's threads") : 0;
}

static int
run(struct agent *a, const sigset_t *ends, struct err *e)
{
    int signal_no = 0;
    int r = join(a, ends, e);

    if (r == 0)
        r = start_threads(a, e);
    if (r != 0)
        return r;
    log_info("ready", "node=%s name=%s driver=%s controller=%s", a->node_id,
             a->cfg.name, hv_driver_name(a->hv), a->cfg.controller);
    while (sigwait(ends, &signal_no) != 0)
        continue;
    log_info("stopping, VMs go on", "signal=%d", signal_no);
    return 0;
}

static void
take_apart(struct agent *a)
{
    if (a->link)
        link_shutdown(a->link);
    keeper_stop(a->keeper);
    poller_stop(a->poller);
    requests_stop(a->requests);
    if (a->core)
        core_stop(a->core);
    http_stop(a->metrics);      /* it asks the driver about VMs */
    reporter_stop(a->reporter); /* it asks the driver about the host */
    /* Events, downloads and commits still reach the core, and the core the
     * reporter. */
    hv_close(a->hv);
    image_cache_free(a->images);
    if (a->st)
        state_flush(a->st);
    reporter_free(a->reporter);
    state_close(a->st);
    core_free(a->core);
    link_free(a->link);
    free(a->identity_dir);
    free(a->instances_dir);
}

int
main(int argc, char **argv)
{
    struct err e _cleanup_(err_release) = {0};
    struct agent a = {0};
    int lock_fd _cleanup_(closep) = -1;
    sigset_t ends;

    log_setup("virga-agentd", LOG_LEVEL_INFO);
    int r = config_load(argc, argv, &a.cfg, &e);
    if (r != 0) {
        if (r < 0)
            log_error("bad settings", "error=\"%s\"", e.message);
        return r < 0 ? 2 : 0;
    }
    log_setup("virga-agentd", a.cfg.level);
    signal(SIGPIPE, SIG_IGN);
    umask(0077);
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL); /* for all threads to come */
    r = open_state(&a, &lock_fd, &e);
    if (r == 0) {
        a.link = link_new(a.cfg.controller, a.identity_dir);
        r = open_core(&a, &e);
    }
    if (r == 0)
        r = run(&a, &ends, &e);
    if (r < 0)
        log_error("cannot run", "error=\"%s\" code=%s", e.message, e.code);
    take_apart(&a);
    config_release(&a.cfg);
    return r < 0 ? 1 : 0;
}
