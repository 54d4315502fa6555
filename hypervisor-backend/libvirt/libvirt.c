/* libvirt.c - the driver over libvirt's C API; README.md has the picture.
 *
 * Invariants:
 * 1. A domain of ours is persistent, has the instance's id as its UUID and
 *    carries our metadata from before it first runs.
 * 2. While a start is under way nobody sees that VM: it is in `starting`.
 * 3. What libvirt knows of an end is on disk (lv-ends.c) before it is
 *    reported by an event.
 * 4. Once lv_open() has returned, `lock` is never held over a call that waits
 *    for a QEMU. */
#include <config.h>

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/libvirt/lv-libvirt.h"

#define CALL_TIMEOUT_MS 10000
/* QEMU's stderr; a guest can make it talk. */
#define QEMU_LOG_MAX_BYTES (1 << 20)

/* Between opening, closing and the event thread: guards callback_held and
 * in_callback. Not part of struct lv, whose life it decides. */
static pthread_mutex_t events_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t events_idle = PTHREAD_COND_INITIALIZER;

bool
lv_is_starting(struct lv *d, const char *id)
{
    for (struct lv_starting *s = d->starting; s; s = s->next)
        if (streq(s->id, id))
            return true;
    return false;
}

int
lv_read_meta(virDomainPtr dom, struct lv_meta *ret)
{
    char *xml _cleanup_(freep) =
        virDomainGetMetadata(dom, VIR_DOMAIN_METADATA_ELEMENT, LV_XMLNS, 0);

    return xml ? lv_meta_parse(xml, ret) : -ENOENT;
}

static enum hv_end
end_of_shutoff(int reason)
{
    switch (reason) {
    case VIR_DOMAIN_SHUTOFF_SHUTDOWN:
        return HV_END_GUEST;
    case VIR_DOMAIN_SHUTOFF_DESTROYED:
        return HV_END_KILLED;
    case VIR_DOMAIN_SHUTOFF_CRASHED:
    case VIR_DOMAIN_SHUTOFF_FAILED:
        return HV_END_CRASHED;
    default:
        return HV_END_UNKNOWN;
    }
}

/* A guest that panicked while no libvirt looked stays halted in its QEMU. */
static bool
is_panicked(int state, int reason)
{
    return state == VIR_DOMAIN_CRASHED ||
           (state == VIR_DOMAIN_PAUSED && reason == VIR_DOMAIN_PAUSED_CRASHED);
}

/* Another one runs, as far as anybody wished. UNKNOWN is what libvirt makes of
 * one that was halted while it did not look. */
bool
lv_paused_by_us(int state, int reason)
{
    return state == VIR_DOMAIN_PAUSED && (reason == VIR_DOMAIN_PAUSED_USER ||
                                          reason == VIR_DOMAIN_PAUSED_UNKNOWN);
}

static void
put_end(struct lv *d, const char *id, uint64_t run, enum hv_end end,
        int64_t at_us)
{
    int r = lv_end_put(d->ends, id, run, &(struct lv_end){end, at_us});

    if (r < 0) {
        COUNT(lv_end_lost);
        log_limited(LOG_LEVEL_WARN,
                    "cannot store why a VM ended; after a restart it will be "
                    "unknown",
                    "inst=%s error=\"%s\"", id, strerrordesc_np(-r));
    }
}

void
lv_note_end(struct lv *d, virDomainPtr dom, const char *id, int64_t at_us)
{
    struct lv_meta m;
    int state, reason;
    enum hv_end end;
    int64_t seen_us;

    if (lv_is_starting(d, id) || lv_read_meta(dom, &m) < 0 ||
        virDomainGetState(dom, &state, &reason, 0) < 0 ||
        state != VIR_DOMAIN_SHUTOFF)
        return;
    end = end_of_shutoff(reason);
    seen_us = lv_watch_ended(id, m.run);
    if (end != HV_END_UNKNOWN)
        put_end(d, id, m.run, end, seen_us ? seen_us : at_us);
}

static int
on_lifecycle(virConnectPtr conn, virDomainPtr dom, int event, int detail,
             void *arg)
{
    struct lv *d = arg;
    char id[VIR_UUID_STRING_BUFLEN];

    if (virDomainGetUUIDString(dom, id) < 0)
        return 0;
    pthread_mutex_lock(&events_lock);
    d->in_callback = true;
    pthread_mutex_unlock(&events_lock);
    if (event == VIR_DOMAIN_EVENT_STOPPED) {
        pthread_mutex_lock(&d->lock);
        lv_note_end(d, dom, id, clock_now_us());
        pthread_mutex_unlock(&d->lock);
    }
    lv_bound_log();
    if (d->on_event)
        d->on_event(id, d->arg);
    pthread_mutex_lock(&events_lock);
    d->in_callback = false;
    pthread_cond_broadcast(&events_idle);
    pthread_mutex_unlock(&events_lock);
    return 0;
}

static void
on_released(void *arg)
{
    struct lv *d = arg;

    pthread_mutex_lock(&events_lock);
    d->callback_held = false;
    pthread_cond_broadcast(&events_idle);
    pthread_mutex_unlock(&events_lock);
}

/* ---- open and close ---- */

static void
note_dead(const char *id, void *arg)
{
    struct lv *d = arg;

    d->dead = xrealloc(d->dead, (d->n_dead + 1) * sizeof(*d->dead));
    memcpy(d->dead[d->n_dead++], id, ID_SIZE);
}

/* A domain as libvirt found it when it was opened. */
static int
settle(struct lv *d, virDomainPtr dom, struct err *e)
{
    char id[VIR_UUID_STRING_BUFLEN];
    struct lv_meta m;
    struct lv_end end;
    int state, reason;

    if (virDomainGetUUIDString(dom, id) < 0 ||
        virDomainGetState(dom, &state, &reason, 0) < 0)
        return lv_error(e, "cannot look at a VM");
    if (lv_read_meta(dom, &m) < 0) /* not ours */
        return 0;
    for (size_t i = 0; i < d->n_dead; i++)
        if (streq(d->dead[i], id))
            put_end(d, id, m.run, HV_END_CRASHED, 0);
    if (is_panicked(state, reason)) {
        put_end(d, id, m.run, HV_END_CRASHED, 0);
        /* libvirt may have come to the same conclusion just now. */
        if (virDomainDestroy(dom) < 0 && virDomainIsActive(dom) == 1)
            return lv_error(e, "cannot end the panicked VM %s", id);
        return 0;
    }
    if (state != VIR_DOMAIN_SHUTOFF) {
        lv_watch(d->root, id, m.run);
        return 0;
    }
    lv_note_end(d, dom, id, 0);
    /* The death of the process broke off this start: hv_start() has never
     * returned, so there is nothing to tell. */
    if (!m.started_us && lv_end_get(d->ends, id, m.run, &end) == -ENOENT &&
        virDomainUndefine(dom) < 0)
        return lv_error(e, "cannot drop the half-started VM %s", id);
    return 0;
}

static void
free_domains(virDomainPtr *doms, int n)
{
    for (int i = 0; i < n; i++)
        virDomainFree(doms[i]);
    free(doms);
}

static int
settle_all(struct lv *d, struct err *e)
{
    virDomainPtr *doms = NULL;
    int n = virConnectListAllDomains(d->conn, &doms, 0);
    int r = 0;

    if (n < 0)
        return lv_error(e, "cannot list the VMs");
    pthread_mutex_lock(&d->lock);
    for (int i = 0; i < n && r == 0; i++) {
        struct err one _cleanup_(err_release) = {0};

        r = settle(d, doms[i], &one);
        if (r == -ENOENT) /* undefined by another meanwhile */
            r = 0;
        else if (r < 0)
            err_move(e, &one);
    }
    pthread_mutex_unlock(&d->lock);
    free_domains(doms, n);
    return r;
}

static int
choose_accel(struct lv *d, const char *accel, struct err *e)
{
    char why[200];
    int r;

    if (streq(accel, "kvm") || streq(accel, "tcg")) {
        d->kvm = streq(accel, "kvm");
        return 0;
    }
    r = hv_probe_kvm(why, sizeof(why));
    if (r < 0)
        return err_errno(e, r, "cannot measure the machine (%s)", why);
    d->kvm = r > 0;
    log_info("measured the machine's virtualization", "accel=%s why=\"%s\"",
             d->kvm ? "kvm" : "tcg", why);
    return 0;
}

/* The version makes libvirt look at QEMU's abilities, which takes seconds the
 * first time: here rather than in the first call that needs them. */
static int
look_at_host(struct lv *d, struct err *e)
{
    unsigned long qemu, lib;
    virNodeInfo node;

    if (virNodeGetInfo(d->conn, &node) < 0 ||
        virConnectGetVersion(d->conn, &qemu) < 0 ||
        virConnectGetLibVersion(d->conn, &lib) < 0)
        return lv_error(e, "cannot look at the host");
    d->cpus = node.cpus;
    snprintf(d->version, sizeof(d->version),
             "QEMU %lu.%lu.%lu, libvirt %lu.%lu.%lu", qemu / 1000000,
             qemu / 1000 % 1000, qemu % 1000, lib / 1000000, lib / 1000 % 1000,
             lib % 1000);
    return 0;
}

static int
connect_to(struct lv *d, const struct hv_config *cfg, struct err *e)
{
    char *base _cleanup_(freep) = xasprintf("%s/libvirt", cfg->state_dir);
    char *log_path _cleanup_(freep) = xasprintf("%s/libvirt.log", base);
    char *uri _cleanup_(freep) = xstrdup(cfg->uri);
    int r;

    d->ends = xasprintf("%s/ends", base);
    r = lv_root_prepare(base, e);
    if (r < 0)
        return r;
    if (!uri) {
        struct buf b = {0};

        d->root = xstrdup(base);
        buf_adds(&b, "qemu:///embed?root=");
        for (const char *p = base; *p; p++) {
            if (strchr("%&?#+;=", *p))
                buf_addf(&b, "%%%02X", (unsigned char)*p);
            else
                buf_addc(&b, *p);
        }
        uri = buf_take(&b);
        r = lv_root_sweep(d->root, note_dead, d, e);
        if (r < 0)
            return r;
    }
    r = lv_process_init(log_path, e);
    if (r < 0)
        return r;
    d->cgroups = cfg->uri != NULL;
    d->conn = virConnectOpen(uri);
    if (!d->conn)
        return lv_error(e, "cannot open libvirt at %s", uri);
    return 0;
}

static void
lv_close(void *p)
{
    struct lv *d = p;

    if (d->conn && d->callback_id >= 0)
        virConnectDomainEventDeregisterAny(d->conn, d->callback_id);
    pthread_mutex_lock(&events_lock);
    while (d->callback_held || d->in_callback)
        pthread_cond_wait(&events_idle, &events_lock);
    pthread_mutex_unlock(&events_lock);
    if (d->conn)
        virConnectClose(d->conn);
    pthread_mutex_destroy(&d->lock);
    free(d->root);
    free(d->ends);
    free(d->dead);
    free(d);
}

static int
lv_open(const struct hv_config *cfg, void **ret, struct err *e)
{
    struct lv *d = xnew(struct lv);
    int r;

    d->callback_id = -1;
    d->on_event = cfg->on_event;
    d->arg = cfg->arg;
    pthread_mutex_init(&d->lock, NULL);
    r = choose_accel(d, cfg->accel ? cfg->accel : "auto", e);
    if (r == 0)
        r = connect_to(d, cfg, e);
    if (r == 0)
        r = look_at_host(d, e);
    if (r == 0) {
        pthread_mutex_lock(&events_lock);
        d->callback_held = true;
        pthread_mutex_unlock(&events_lock);
        d->callback_id = virConnectDomainEventRegisterAny(
            d->conn, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
            VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), d, on_released);
        if (d->callback_id < 0) {
            d->callback_held = false;
            r = lv_error(e, "cannot listen to libvirt's events");
        }
    }
    if (r == 0)
        r = settle_all(d, e);
    if (r < 0) {
        lv_close(d);
        return r;
    }
    *ret = d;
    return 0;
}

static unsigned
lv_caps(void *p)
{
    struct lv *d = p;

    return HV_CAP_KERNEL_BOOT | HV_CAP_DISK_BOOT | HV_CAP_PAUSE |
           HV_CAP_CONSOLE | HV_CAP_STATS | HV_CAP_QCOW2 |
           (d->kvm ? HV_CAP_HARDWARE : 0);
}

/* ---- the other calls ---- */

static int
find(struct lv *d, const char *id, virDomainPtr *ret, struct err *e)
{
    bool hidden;

    pthread_mutex_lock(&d->lock);
    hidden = lv_is_starting(d, id);
    pthread_mutex_unlock(&d->lock);
    if (hidden)
        return err_set(e, -ENOENT, "not_found", "VM %s is being started", id);
    *ret = virDomainLookupByUUIDString(d->conn, id);
    if (*ret)
        return 0;
    if (lv_last_code() == VIR_ERR_NO_DOMAIN)
        return err_set(e, -ENOENT, "not_found", "there is no VM %s", id);
    return lv_error(e, "cannot look for VM %s", id);
}

static int
find_running(struct lv *d, const char *id, virDomainPtr *ret, struct err *e)
{
    virDomainPtr dom _cleanup_(lv_domain_freep) = NULL;
    int r = find(d, id, &dom, e);
    int active;

    if (r < 0)
        return r;
    active = virDomainIsActive(dom);
    if (active < 0)
        return lv_error(e, "cannot look at VM %s", id);
    if (!active)
        return err_set(e, -ENOENT, "not_running", "VM %s does not run", id);
    *ret = TAKE_PTR(dom);
    return 0;
}

/* An operation that failed because the VM ended meanwhile. */
static int
ended_meanwhile(virDomainPtr dom, const char *id, int r, struct err *e)
{
    if (r == -EIO && virDomainIsActive(dom) == 0) {
        if (e)
            err_release(e);
        return err_set(e, -ENOENT, "not_running", "VM %s does not run", id);
    }
    return r;
}

static int
operate(struct lv *d, const char *id, enum lv_op op, struct hv_stats *stats,
        struct err *e)
{
    virDomainPtr dom _cleanup_(lv_domain_freep) = NULL;
    int r = find_running(d, id, &dom, e);

    if (r == 0)
        r = lv_call(dom, id, op, CALL_TIMEOUT_MS, stats, e);
    return dom ? ended_meanwhile(dom, id, r, e) : r;
}

static int
lv_stop(void *p, const char *id, bool force, struct err *e)
{
    struct lv *d = p;
    virDomainPtr dom _cleanup_(lv_domain_freep) = NULL;
    int r = find(d, id, &dom, e);
    int active;

    if (r < 0)
        return r;
    active = virDomainIsActive(dom);
    if (active < 0)
        return lv_error(e, "cannot look at VM %s", id);
    if (!active)
        return 0;
    if (!force)
        r = lv_call(dom, id, LV_OP_SHUTDOWN, CALL_TIMEOUT_MS, NULL, e);
    else if (virDomainDestroy(dom) < 0)
        /* TERM first, KILL later: libvirt bounds this one itself, and it ends
         * whatever waits for this QEMU. */
        r = lv_error(e, "cannot end VM %s", id);
    if (r < 0 && virDomainIsActive(dom) == 0) {
        if (e)
            err_release(e);
        return 0;
    }
    return r;
}

static int
lv_pause(void *p, const char *id, struct err *e)
{
    return operate(p, id, LV_OP_PAUSE, NULL, e);
}

static int
lv_resume(void *p, const char *id, struct err *e)
{
    return operate(p, id, LV_OP_RESUME, NULL, e);
}

static int
lv_forget(void *p, const char *id, struct err *e)
{
    struct lv *d = p;
    virDomainPtr dom _cleanup_(lv_domain_freep) = NULL;
    struct err find_e _cleanup_(err_release) = {0};
    struct lv_meta m;
    int active, r = find(d, id, &dom, &find_e);

    if (r == -ENOENT)
        return 0;
    if (r < 0) {
        err_move(e, &find_e);
        return r;
    }
    active = virDomainIsActive(dom);
    if (active < 0)
        return lv_error(e, "cannot look at VM %s", id);
    if (active)
        return err_set(e, -EBUSY, "still_running", "VM %s still runs", id);
    if (lv_read_meta(dom, &m) < 0)
        return err_set(e, -EPERM, "not_ours", "VM %s is not ours", id);
    pthread_mutex_lock(&d->lock);
    r = lv_drop(d, dom, id, e);
    pthread_mutex_unlock(&d->lock);
    return r;
}

static int
describe(struct lv *d, virDomainPtr dom, struct hv_vm *ret, struct err *e)
{
    char id[VIR_UUID_STRING_BUFLEN];
    struct hv_vm vm = {0};
    struct lv_end end;
    int state, reason;
    struct lv_meta m;

    if (virDomainGetUUIDString(dom, id) < 0 ||
        virDomainGetState(dom, &state, &reason, 0) < 0)
        return lv_error(e, "cannot look at a VM");
    memcpy(vm.id, id, ID_SIZE);
    vm.ours = lv_read_meta(dom, &m) == 0;
    if (vm.ours) {
        vm.run = m.run;
        vm.started_us = m.started_us ? m.started_us : m.prepared_us;
    }
    switch (state) {
    case VIR_DOMAIN_SHUTOFF:
        vm.state = HV_STOPPED;
        vm.end = end_of_shutoff(reason);
        if (!vm.ours)
            break;
        /* Its event may be still to come: what is told now must be what is
         * told for ever after. */
        pthread_mutex_lock(&d->lock);
        lv_note_end(d, dom, id, clock_now_us());
        if (lv_end_get(d->ends, id, m.run, &end) == 0) {
            vm.end = end.end;
            vm.ended_us = end.ended_us;
        }
        pthread_mutex_unlock(&d->lock);
        break;
    default:
        vm.state = lv_paused_by_us(state, reason) ? HV_PAUSED : HV_RUNNING;
    }
    *ret = vm;
    return 0;
}

static int
lv_info(void *p, const char *id, struct hv_vm *ret, struct err *e)
{
    virDomainPtr dom _cleanup_(lv_domain_freep) = NULL;
    int r = find(p, id, &dom, e);

    return r < 0 ? r : describe(p, dom, ret, e);
}

static int
lv_list(void *p, struct hv_vm **ret, size_t *ret_n, struct err *e)
{
    struct lv *d = p;
    struct hv_vm *all _cleanup_(freep) = NULL;
    virDomainPtr *doms = NULL;
    size_t n_all = 0;
    int r = 0, n = virConnectListAllDomains(d->conn, &doms, 0);

    if (n < 0)
        return lv_error(e, "cannot list the VMs");
    all = xcalloc((size_t)n + 1, sizeof(*all));
    for (int i = 0; i < n && r == 0; i++) {
        struct hv_vm vm;
        bool hidden;

        r = describe(d, doms[i], &vm, e);
        if (r == -ENOENT) { /* gone since the list was made */
            r = 0;
            if (e)
                err_release(e);
            continue;
        }
        pthread_mutex_lock(&d->lock);
        hidden = lv_is_starting(d, vm.id);
        pthread_mutex_unlock(&d->lock);
        if (r == 0 && !hidden)
            all[n_all++] = vm;
    }
    free_domains(doms, n);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(all);
    *ret_n = n_all;
    return 0;
}

/* QEMU appends (O_APPEND) to its log, so it may be cut at any time. */
static void
bound_qemu_log(struct lv *d, const char *id)
{
    char *path _cleanup_(freep) = NULL;
    struct stat st;

    if (!d->root)
        return;
    path = lv_root_log(d->root, id);
    if (stat(path, &st) == 0 && st.st_size > QEMU_LOG_MAX_BYTES &&
        truncate(path, 0) < 0)
        COUNT(lv_qemu_log_not_cut);
}

static int
lv_get_stats(void *p, const char *id, struct hv_stats *ret, struct err *e)
{
    bound_qemu_log(p, id);
    return operate(p, id, LV_OP_STATS, ret, e);
}

/* libvirt's own figure for memory is of NUMA cell 0 on some machines. */
static int
lv_host(void *p, struct hv_host *ret, struct err *e)
{
    struct lv *d = p;
    struct hv_host host = {.cpus = d->cpus};
    int r = hv_meminfo(&host.memory_bytes, &host.memory_free_bytes, e);

    if (r < 0)
        return r;
    snprintf(host.accel, sizeof(host.accel), "%s", d->kvm ? "kvm" : "tcg");
    memcpy(host.version, d->version, sizeof(host.version));
    *ret = host;
    return 0;
}

static int
lv_console_open(void *p, const char *id, int *ret_fd, struct err *e)
{
    virDomainPtr dom _cleanup_(lv_domain_freep) = NULL;
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd _cleanup_(closep) = -1;
    struct lv_meta m;
    int n, r = find_running(p, id, &dom, e);

    if (r < 0)
        return r;
    if (lv_read_meta(dom, &m) < 0)
        return err_set(e, -ENOENT, "not_ours", "VM %s is not ours", id);
    n = snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/" HV_CONSOLE_SOCK,
                 m.dir);
    if (n < 0 || (size_t)n >= sizeof(sa.sun_path))
        return err_set(e, -ENAMETOOLONG, "too_long",
                       "%s is too long for a socket", m.dir);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_errno(e, -errno, "cannot make a socket");
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
        if (errno == EAGAIN)
            return err_set(e, -EBUSY, "console_busy",
                           "the console of VM %s is in use", id);
        return err_errno(e, -errno, "cannot connect to the console of VM %s",
                         id);
    }
    *ret_fd = TAKE_FD(fd);
    return 0;
}

const struct hv_driver hv_driver_libvirt = {
    .name = "libvirt",
    .open = lv_open,
    .close = lv_close,
    .caps = lv_caps,
    .start = lv_start,
    .stop = lv_stop,
    .pause = lv_pause,
    .resume = lv_resume,
    .forget = lv_forget,
    .info = lv_info,
    .list = lv_list,
    .stats = lv_get_stats,
    .host = lv_host,
    .console_open = lv_console_open,
};
