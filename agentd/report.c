/* report.c - tells the controller what was observed; docs/PROTOCOL.md,
 * "Observations". One report is in flight at a time; what comes meanwhile
 * goes with the next. It reports when there is something to tell and closes
 * its connection when there was nothing for a while: that the node lives the
 * controller knows by its questions (poll.c). */
#include <config.h>

#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/statvfs.h>

#include "agentd/agent.h"
#include "agentd/join.h"
#include "common/clock.h"
#include "common/count.h"
#include "common/fs.h"
#include "common/mem.h"

#define BATCH 1000
#define QUARANTINED_MAX 1000
#define PROGRESS_MAX ((size_t)1000)
#define RENEW_EVERY_US (600 * US_PER_S)
/* A connection without a report for so long is closed. */
#define IDLE_US (10 * US_PER_S)
/* How old the figures of the node get that are told, and how much of the
 * whole free room may change (one in so many) before it is told. */
#define HOST_EVERY_US (300 * US_PER_S)
#define HOST_PART 16

struct reporter {
    struct agent *a;
    struct link_client *lc;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool pending;  /* lock: observations may wait */
    bool progress; /* lock: the time until there is some is to be found */
    bool stop;     /* lock */
    bool met;      /* the spool's numbers fit the controller's */
    bool warm;     /* the last report was answered, over this connection */
    struct api_host host;          /* as it was told last */
    struct codec_list quarantined; /* the same */
    int64_t host_at_us;            /* when; 0: never */
    int64_t look_at_us, renew_at_us, used_at_us;
};

static void
add_traits(unsigned caps, struct codec_list *traits)
{
    for (unsigned bit = 0; bit < 32; bit++) {
        const char *name =
            caps & 1u << bit ? hv_cap_name((enum hv_cap)(1u << bit)) : NULL;

        if (name)
            codec_strings_add(traits, name);
    }
}

static int
fill_host(struct agent *a, struct api_host *h, struct err *e)
{
    struct hv_host hh = {0};
    struct statvfs sv;
    int r = hv_host(a->hv, &hh, e);

    if (r < 0)
        return r;
    if (statvfs(a->cfg.state_dir, &sv) < 0)
        return err_errno(e, -errno, "%s", a->cfg.state_dir);
    int64_t fs_size = (int64_t)(sv.f_blocks * sv.f_frsize);
    int64_t fs_free = (int64_t)(sv.f_bavail * sv.f_frsize);
    int64_t memory = (int64_t)hh.memory_bytes - a->cfg.reserved_memory_bytes;
    h->driver = xstrdup(hv_driver_name(a->hv));
    h->accel = xstrdup(hh.accel);
    h->agent_version = xstrdup(PACKAGE_VERSION);
    h->hypervisor = xstrdup(hh.version);
    h->vcpus = a->cfg.vcpus ? a->cfg.vcpus : hh.cpus;
    h->memory_bytes = a->cfg.memory_bytes ? a->cfg.memory_bytes : memory;
    h->memory_bytes = MAX(h->memory_bytes, INT64_C(1) << 20);
    h->disk_bytes = a->cfg.disk_bytes ? a->cfg.disk_bytes
                    : hh.disk_bytes   ? (int64_t)hh.disk_bytes
                                      : fs_size;
    h->memory_free_bytes = (int64_t)hh.memory_free_bytes;
    h->disk_free_bytes = hh.disk_bytes ? (int64_t)hh.disk_bytes : fs_free;
    add_traits(hv_caps(a->hv), &h->traits);
    return 0;
}

static int
post(struct reporter *rp, const struct api_report *report, int64_t *ret_ack,
     struct err *e)
{
    struct httpc_reply reply _cleanup_(httpc_reply_release) = {0};
    struct buf body _cleanup_(buf_release) = {0};
    struct httpc_request rq = HTTPC_REQUEST("POST", "/v1/agent/report");
    struct api_report_ack ack = {0};

    codec_encode(&table_report, report, &body);
    rq.body = body.data;
    rq.body_len = body.len;
    rq.max_reply = (size_t)1 << 20;
    int r = link_call(rp->lc, &rq, &reply, e);
    if (r == 0)
        r = codec_decode(&table_report_ack, CODEC_PEER, buf_str(&reply.body),
                         reply.body.len, &ack, e);
    if (r == 0)
        *ret_ack = ack.seq;
    codec_clear(&table_report_ack, &ack);
    return r;
}

/* The highest number of the batch, 0 for none. */
static int64_t
last_seq(const struct codec_list *observations)
{
    const struct api_observation *o = observations->items;

    return observations->n ? o[observations->n - 1].seq : 0;
}

static int
acknowledged(struct reporter *rp, int64_t ack, int64_t sent, struct err *e)
{
    int r = 0;

    if (!rp->met) {
        r = state_spool_meet(rp->a->st, ack);
        rp->met = r == 0;
        if (r == 0 && ack > 0)
            log_warn("this agent's database is new, the controller has known "
                     "the node before",
                     "last_seq=%" PRId64, ack);
    } else if (sent > 0 && ack > 0) {
        r = core_acked(rp->a->core, MIN(ack, sent));
    }
    if (r < 0)
        return err_errno(e, r, "cannot store the acknowledgement");
    if (rp->met && ack < sent)
        return err_set(e, -EAGAIN, "not_acknowledged",
                       "the controller stored up to %" PRId64 " of %" PRId64,
                       ack, sent);
    return 0;
}

static bool
same_strings(const struct codec_list *a, const struct codec_list *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!streq(((char **)a->items)[i], ((char **)b->items)[i]))
            return false;
    return true;
}

static bool
moved(int64_t then, int64_t now, int64_t whole)
{
    return llabs(now - then) > whole / HOST_PART;
}

static bool
is_news(const struct api_host *then, const struct api_host *now)
{
    return !streq(then->driver, now->driver) ||
           !streq(then->accel, now->accel) ||
           !streq(then->hypervisor, now->hypervisor) ||
           then->vcpus != now->vcpus ||
           then->memory_bytes != now->memory_bytes ||
           moved(then->disk_bytes, now->disk_bytes, then->disk_bytes) ||
           moved(then->memory_free_bytes, now->memory_free_bytes,
                 now->memory_bytes) ||
           moved(then->disk_free_bytes, now->disk_free_bytes,
                 now->disk_bytes) ||
           !same_strings(&then->traits, &now->traits);
}

/* Adds the node's figures if they are worth it; looks at them no more often
 * than each heartbeat. */
static int
add_host(struct reporter *rp, struct api_report *report, struct err *e)
{
    int64_t now = clock_mono_us();
    struct api_host h = {0};

    bool strangers = !same_strings(&rp->quarantined, &report->quarantined);
    if (rp->host_at_us && now < rp->look_at_us && !strangers)
        return 0;
    int r = fill_host(rp->a, &h, e);
    if (r < 0)
        codec_clear(&table_host, &h);
    if (r < 0 && rp->host_at_us) {
        /* What happened to VMs must not wait for it. */
        COUNT(agent_no_host_figures);
        log_limited(LOG_LEVEL_WARN,
                    "cannot get the node's figures, reporting without",
                    "error=\"%s\"", e ? e->message : "");
        rp->look_at_us = now + rp->a->cfg.heartbeat_us;
        err_release(e);
        return 0;
    }
    if (r < 0)
        return r;
    rp->look_at_us = now + rp->a->cfg.heartbeat_us;
    if (!rp->host_at_us || strangers || is_news(&rp->host, &h) ||
        now - rp->host_at_us >= HOST_EVERY_US) {
        report->host = xnew(struct api_host);
        *report->host = h;
    } else {
        codec_clear(&table_host, &h);
    }
    return 0;
}

static void
told_host(struct reporter *rp, struct api_report *report)
{
    if (!report->host)
        return;
    codec_clear(&table_host, &rp->host);
    rp->host = *report->host;
    *report->host = (struct api_host){0};
    codec_strings_clear(&rp->quarantined);
    rp->quarantined = report->quarantined;
    report->quarantined = (struct codec_list){0};
    rp->host_at_us = clock_mono_us();
}

/* What there is to tell. */
static int
collect(struct reporter *rp, bool tell, struct api_report *report,
        uint64_t *ret_mark, struct err *e)
{
    int r =
        tell ? state_spool_read(rp->a->st, BATCH, &report->observations) : 0;

    if (r < 0)
        return err_errno(e, r, "cannot read the spool");
    core_progress(rp->a->core, PROGRESS_MAX, &report->progress, ret_mark);
    core_quarantined(rp->a->core, &report->quarantined);
    while (report->quarantined.n > QUARANTINED_MAX)
        free(((char **)report->quarantined.items)[--report->quarantined.n]);
    return add_host(rp, report, e);
}

/* One report, or none where there is nothing to tell. *ret_more: there are
 * observations left. */
static int
report_once(struct reporter *rp, bool pending, bool *ret_more, struct err *e)
{
    struct api_report report = {0};
    uint64_t mark = 0;
    int64_t ack = 0;

    /* Before the two sides have met, no number means anything. And an
     * observation's age counts from here on: it does not go over a connection
     * that has yet to be made, or that only seems to be there. */
    bool tell = rp->met && rp->warm;
    int r = collect(rp, tell, &report, &mark, e);
    bool nothing = !report.host && !report.observations.n &&
                   !report.progress.n && (tell || !pending);
    if (r == 0 && !nothing) {
        r = post(rp, &report, &ack, e);
        rp->warm = r == 0;
        rp->used_at_us = clock_mono_us();
    }
    if (r == 0 && !nothing) {
        told_host(rp, &report);
        core_progress_told(rp->a->core, mark);
        r = acknowledged(rp, ack, last_seq(&report.observations), e);
    }
    *ret_more = r == 0 && !nothing &&
                (!tell || report.observations.n == BATCH ||
                 report.progress.n == PROGRESS_MAX);
    codec_clear(&table_report, &report);
    return r;
}

static void
renew(struct reporter *rp)
{
    struct err e _cleanup_(err_release) = {0};
    int64_t now = clock_mono_us();

    if (now < rp->renew_at_us)
        return;
    rp->renew_at_us = now + RENEW_EVERY_US;
    if (join_renew(rp->a->identity_dir, rp->a->link, rp->lc, &e) < 0)
        log_warn("cannot renew the node's certificate, trying again later",
                 "error=\"%s\"", e.message);
}

/* When there may be something to do though nobody says so. */
static int64_t
next_us(const struct reporter *rp)
{
    int64_t at = MIN(rp->look_at_us, rp->renew_at_us);
    int64_t progress = core_progress_wait(rp->a->core);

    if (rp->warm)
        at = MIN(at, rp->used_at_us + IDLE_US);
    if (progress >= 0)
        at = MIN(at, clock_mono_us() + progress);
    return at;
}

/* Until something is pending, or the time has come. False at the end. */
static bool
wait_for_work(struct reporter *rp, int64_t at, bool only_time,
              bool *ret_pending)
{
    struct timespec ts = {.tv_sec = at / US_PER_S,
                          .tv_nsec = at % US_PER_S * 1000};

    pthread_mutex_lock(&rp->lock);
    while (!rp->stop && (only_time || (!rp->pending && !rp->progress)) &&
           pthread_cond_timedwait(&rp->wake, &rp->lock, &ts) != ETIMEDOUT)
        continue;
    *ret_pending = rp->pending;
    rp->pending = rp->progress = false;
    bool go_on = !rp->stop;
    pthread_mutex_unlock(&rp->lock);
    return go_on;
}

static void
close_idle(struct reporter *rp)
{
    if (!rp->warm || clock_mono_us() - rp->used_at_us < IDLE_US)
        return;
    link_client_close(rp->lc);
    rp->warm = false;
}

static void *
reporter_main(void *arg)
{
    struct reporter *rp = arg;
    struct backoff b = {.base_us = US_PER_S / 4, .max_us = 10 * US_PER_S};
    int64_t at = 0;
    bool failed = false, left = false, pending;

    while (wait_for_work(rp, at, failed, &pending)) {
        struct err e _cleanup_(err_release) = {0};
        bool more = false;
        int r = report_once(rp, pending || left, &more, &e);

        failed = r < 0;
        /* What could not be told, or not all of it, is still there. */
        left = failed ? pending || left : more;
        if (failed) {
            if (r != -ECANCELED) {
                COUNT(agent_report_failed);
                log_limited(LOG_LEVEL_WARN, "cannot report, trying again later",
                            "error=\"%s\"", e.message);
            }
            at = clock_mono_us() + backoff_next_us(&b);
            continue;
        }
        b.n = 0;
        renew(rp);
        close_idle(rp);
        at = more ? 0 : next_us(rp);
    }
    return NULL;
}

int
reporter_start(struct agent *a, struct reporter **ret)
{
    struct reporter *rp = xnew(struct reporter);
    pthread_condattr_t attr;

    rp->a = a;
    int r = state_spool_met(a->st, &rp->met);
    if (r < 0) {
        free(rp);
        return r;
    }
    rp->pending = true;
    rp->lc = link_client_new(a->link);
    pthread_mutex_init(&rp->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&rp->wake, &attr);
    pthread_condattr_destroy(&attr);
    r = -pthread_create(&rp->thread, NULL, reporter_main, rp);
    if (r < 0) {
        link_client_free(rp->lc);
        free(rp);
        return r;
    }
    pthread_setname_np(rp->thread, "report");
    *ret = rp;
    return 0;
}

void
reporter_wake(struct reporter *rp)
{
    if (!rp)
        return;
    pthread_mutex_lock(&rp->lock);
    rp->pending = true;
    pthread_cond_signal(&rp->wake);
    pthread_mutex_unlock(&rp->lock);
}

void
reporter_progress(struct reporter *rp)
{
    if (!rp)
        return;
    pthread_mutex_lock(&rp->lock);
    rp->progress = true;
    pthread_cond_signal(&rp->wake);
    pthread_mutex_unlock(&rp->lock);
}

void
reporter_stop(struct reporter *rp)
{
    if (!rp)
        return;
    pthread_mutex_lock(&rp->lock);
    rp->stop = true;
    pthread_cond_signal(&rp->wake);
    pthread_mutex_unlock(&rp->lock);
    pthread_join(rp->thread, NULL);
}

void
reporter_free(struct reporter *rp)
{
    if (!rp)
        return;
    link_client_free(rp->lc);
    codec_clear(&table_host, &rp->host);
    codec_strings_clear(&rp->quarantined);
    pthread_cond_destroy(&rp->wake);
    pthread_mutex_destroy(&rp->lock);
    free(rp);
}
