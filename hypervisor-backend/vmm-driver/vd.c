/* vd.c - the driver over the embedded VMM: opening, calls on one VM, lists.
 * README.md has the picture; starting, adopting and ends are in vd-start.c,
 * vd-adopt.c and vd-watch.c.
 *
 * Invariants:
 * 1. A guest runs only in a process whose record is on disk.
 * 2. No process is signalled but by the pidfd under which it was started or
 *    believed.
 * 3. `lock` is never held over a call that waits for a VMM or the disk, once
 *    vd_open() has returned. */
#include <config.h>

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm-driver/jaildir.h"
#include "hypervisor-backend/vmm-driver/vd-private.h"

#define CGROUP_SLICE "virga"
/* How long a VMM has to end by itself before it is killed. */
#define STOP_CTL_MS 1000
#define STOP_MS 2000
#define KILL_MS 10000
#define SETTLE_MS 10000
#define HELPERS_MS 500
/* After it did not answer, a VMM is not asked for figures for so long. */
#define MUTE_US (10 * US_PER_S)

char *
vd_path(const struct vd *d, const char *id, const char *name)
{
    return xasprintf("%s/%s/%s", d->vms, id, name);
}

struct vd_vm *
vd_find_locked(struct vd *d, const char *id)
{
    struct vd_vm *vm;

    HASH_FIND_STR(d->table, id, vm);
    return vm;
}

struct vd_vm *
vd_vm_new(const char *id)
{
    struct vd_vm *vm = xnew(struct vd_vm);

    snprintf(vm->id, sizeof(vm->id), "%s", id);
    vm->rec.id = xstrdup(id);
    vm->pidfd = -1;
    return vm;
}

void
vd_vm_free(struct vd_vm *vm)
{
    vd_record_release(&vm->rec);
    closep(&vm->pidfd);
    free(vm);
}

int64_t
vd_slot_take(struct vd *d)
{
    for (int64_t i = 0; i < VD_UID_SLOTS; i++) {
        int64_t slot = (d->next_slot + i) % VD_UID_SLOTS;

        if (d->slots[slot])
            continue;
        d->slots[slot] = 1;
        /* The one after it next: what an id has left behind by mistake is
         * not the next VM's. */
        d->next_slot = slot + 1;
        return slot;
    }
    return -1;
}

void
vd_slot_put(struct vd *d, int64_t slot)
{
    d->slots[slot] = 0;
}

int
vd_remove_shell(struct vd *d, const char *id, struct err *reterr)
{
    struct cgroup *g = NULL;
    int r = d->cgroups ? cgroup_open(d->cgroups, id, &g, NULL) : -ENOENT;

    if (r == 0) {
        /* Helpers end by themselves, but perhaps not yet. */
        r = cgroup_kill(g, HELPERS_MS, reterr);
        cgroup_free(g);
        if (r == 0)
            r = cgroup_remove(d->cgroups, id, reterr);
        if (r < 0)
            return r;
    } else if (r != -ENOENT) {
        return err_errno(reterr, r, "cannot open the cgroup of VM %s", id);
    }
    return jail_dir_remove(d->jails_fd, id, reterr);
}

int
vd_remove_files(struct vd *d, const char *id, struct err *reterr)
{
    char *path _cleanup_(freep) = xasprintf("%s/%s", d->vms, id);

    return fs_remove_tree(path, reterr);
}

/* ---- open and close ---- */

static int
read_boot_id(struct vd *d, struct err *e)
{
    struct buf b _cleanup_(buf_release) = {0};
    int r = fs_read("/proc/sys/kernel/random/boot_id", 128, &b, e);

    if (r < 0)
        return r;
    snprintf(d->boot_id, sizeof(d->boot_id), "%s", buf_str(&b));
    if (!id_valid(d->boot_id))
        return err_set(e, -EBADMSG, "bad_boot_id", "the kernel's boot id");
    return 0;
}

static int
open_folder(const char *path, int *ret, struct err *e)
{
    int r = fs_mkdirs(path, e);

    if (r < 0)
        return r;
    *ret = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return *ret < 0 ? err_errno(e, -errno, "cannot open %s", path) : 0;
}

static int
check_uids(const struct hv_config *cfg, struct err *e)
{
    uint32_t base = cfg->vmm_uid_base;

    /* 65534 is nobody; the last one means "none" to the kernel. */
    if (base && (base < 65536 || base > UINT32_MAX - 2 * VD_UID_SLOTS))
        return err_field(e, "/vmm_uid_base", "range", "must be 65536..%u",
                         UINT32_MAX - 2 * VD_UID_SLOTS);
    return 0;
}

static int
prepare(struct vd *d, const struct hv_config *cfg, struct err *e)
{
    char *jails _cleanup_(freep) = NULL;
    char why[200];
    int r = check_uids(cfg, e);

    if (r == 0 && geteuid() != 0)
        r = err_set(e, -EPERM, "not_root",
                    "the driver vmm jails VMs, which takes root");
    if (r < 0)
        return r;
    d->uid_base = cfg->vmm_uid_base ? cfg->vmm_uid_base : HV_UID_BASE;
    d->dir = xasprintf("%s/" HV_VMM_DIR, cfg->state_dir);
    d->vms = xasprintf("%s/vms", d->dir);
    jails = xasprintf("%s/jails", d->dir);
    d->cpus = (unsigned)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1L);
    r = vd_find_programs(cfg, &d->binary, &d->usernet, e);
    if (r == 0)
        r = read_boot_id(d, e);
    if (r == 0)
        r = open_folder(d->vms, &d->vms_fd, e);
    if (r == 0)
        r = open_folder(jails, &d->jails_fd, e);
    if (r == 0)
        r = cgroup_root_open(cfg->vmm_cgroup ? cfg->vmm_cgroup : CGROUP_SLICE,
                             &d->cgroups, e);
    if (r < 0)
        return r;
    r = hv_probe_kvm(why, sizeof(why));
    if (r < 0)
        return err_errno(e, r, "cannot measure the machine (%s)", why);
    d->hardware = r > 0;
    log_info("measured the machine's virtualization", "hardware=%d why=\"%s\"",
             d->hardware, why);
    return 0;
}

static void
vd_close(void *p)
{
    struct vd *d = p;
    struct vd_vm *vm, *next;

    vd_watch_stop(d);
    HASH_ITER(hh, d->table, vm, next)
    {
        HASH_DEL(d->table, vm);
        vd_vm_free(vm);
    }
    cgroup_root_free(d->cgroups);
    closep(&d->vms_fd);
    closep(&d->jails_fd);
    pthread_cond_destroy(&d->ended);
    pthread_mutex_destroy(&d->lock);
    pthread_mutex_destroy(&d->records);
    free(d->slots);
    free(d->binary);
    free(d->usernet);
    free(d->dir);
    free(d->vms);
    free(d);
}

static int
vd_open(const struct hv_config *cfg, void **ret, struct err *e)
{
    struct vd *d = xnew(struct vd);
    pthread_condattr_t attr;
    int r;

    d->vms_fd = d->jails_fd = d->epoll_fd = d->helpers_fd = d->stop_fd = -1;
    d->on_event = cfg->on_event;
    d->arg = cfg->arg;
    d->slots = xcalloc(VD_UID_SLOTS, 1);
    pthread_mutex_init(&d->records, NULL);
    pthread_mutex_init(&d->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&d->ended, &attr);
    pthread_condattr_destroy(&attr);
    r = prepare(d, cfg, e);
    if (r == 0) {
        r = vd_watch_init(d);
        if (r < 0)
            err_errno(e, r, "cannot watch processes");
    }
    if (r == 0)
        r = vd_adopt_all(d, e);
    if (r == 0) {
        r = vd_watch_start(d);
        if (r < 0)
            err_errno(e, r, "cannot start a thread");
    }
    if (r < 0) {
        vd_close(d);
        return r;
    }
    *ret = d;
    return 0;
}

static unsigned
vd_caps(void *p)
{
    struct vd *d = p;

    return HV_CAP_KERNEL_BOOT | HV_CAP_PAUSE | HV_CAP_CONSOLE | HV_CAP_STATS |
           (d->hardware ? HV_CAP_HARDWARE : 0);
}

/* ---- calls on one VM ---- */

static int
not_found(const char *id, struct err *e)
{
    return err_set(e, -ENOENT, "not_found", "there is no VM %s", id);
}

static int
not_running(const char *id, struct err *e)
{
    return err_set(e, -ENOENT, "not_running", "VM %s does not run", id);
}

int
vd_hold(struct vd *d, const char *id, struct vd_held *ret, struct err *e)
{
    struct vd_vm *vm;
    int r = 0;

    pthread_mutex_lock(&d->lock);
    vm = vd_find_locked(d, id);
    if (!vm || vm->starting)
        r = not_found(id, e);
    else if (vm->foreign)
        r = err_set(e, -EPERM, "not_ours", "VM %s is not known to be ours", id);
    else if (vm->state == HV_STOPPED)
        r = not_running(id, e);
    else
        *ret = (struct vd_held){
            .pidfd = fcntl(vm->pidfd, F_DUPFD_CLOEXEC, 0),
            .pid = (pid_t)vm->rec.pid,
            .muted = vm->mute_until_us > clock_mono_us(),
        };
    if (r == 0 && ret->pidfd < 0)
        r = err_errno(e, -errno, "cannot hold VM %s", id);
    pthread_mutex_unlock(&d->lock);
    return r;
}

void
vd_mute(struct vd *d, const char *id)
{
    struct vd_vm *vm;

    pthread_mutex_lock(&d->lock);
    vm = vd_find_locked(d, id);
    if (vm)
        vm->mute_until_us = clock_mono_us() + MUTE_US;
    pthread_mutex_unlock(&d->lock);
}

/* A request that failed because the VM ended (or is just about to). */
int
vd_ended_meanwhile(const struct vd_held *h, const char *id, int r,
                   struct err *e)
{
    if (r == 0 || r == -ETIMEDOUT || r == -EIO || r == -EPROTO)
        return r;
    if (!vd_pidfd_wait(h->pidfd, VD_CTL_MS))
        return r;
    if (e)
        err_release(e);
    return not_running(id, e);
}

static int
simple_call(struct vd *d, const struct vd_held *h, const char *id,
            const char *request, int timeout_ms, struct err *e)
{
    struct vd_call c = {.id = id,
                        .request = request,
                        .timeout_ms = timeout_ms,
                        .pidfd = h->pidfd};

    return vd_ended_meanwhile(h, id, vd_ctl(d, &c, NULL, e), e);
}

static void
event(struct vd *d, const char *id)
{
    if (d->on_event)
        d->on_event(id, d->arg);
}

/* From here on its end is of our making, also after our own. */
static int
note_killing(struct vd *d, const char *id, struct err *e)
{
    char *path _cleanup_(freep) = vd_path(d, id, VD_RECORD);
    struct vd_record rec = {0};
    struct vd_vm *vm;

    int r = 0;

    pthread_mutex_lock(&d->records);
    pthread_mutex_lock(&d->lock);
    vm = vd_find_locked(d, id);
    bool write =
        vm && !vm->settled && vm->state != HV_STOPPED && !vm->rec.killing;
    if (write) {
        vm->rec.killing = true;
        rec = vm->rec; /* its strings stay while a call for the id runs */
    }
    pthread_mutex_unlock(&d->lock);
    if (write)
        r = vd_record_write(path, &rec, e);
    pthread_mutex_unlock(&d->records);
    return r;
}

static int
force_stop(struct vd *d, const struct vd_held *h, const char *id, struct err *e)
{
    struct err why _cleanup_(err_release) = {0};
    int r;

    /* A full disk must not keep a VM from being ended. */
    if (note_killing(d, id, &why) < 0) {
        COUNT(vd_kill_not_noted);
        log_limited(LOG_LEVEL_WARN, "cannot note that a VM is ended by force",
                    "inst=%s error=\"%s\"", id, why.message);
        err_release(&why);
    }
    /* Politely first: it flushes what it has and says how it ended. */
    r = simple_call(d, h, id, "stop", STOP_CTL_MS, &why);
    if (r < 0 || !vd_pidfd_wait(h->pidfd, STOP_MS)) {
        COUNT(vd_killed);
        r = vd_pidfd_kill(h->pidfd, KILL_MS);
        if (r < 0)
            return err_errno(e, r, "cannot end VM %s", id);
    }
    r = vd_watch_wait(d, id, SETTLE_MS);
    return r < 0 ? err_errno(e, r, "the end of VM %s is not settled", id) : 0;
}

static int
vd_stop(void *p, const char *id, bool force, struct err *e)
{
    struct vd *d = p;
    struct vd_held h _cleanup_(vd_held_release) = {.pidfd = -1};
    struct err why _cleanup_(err_release) = {0};
    int r = vd_hold(d, id, &h, &why);

    if (r == 0)
        r = force ? force_stop(d, &h, id, &why)
                  : simple_call(d, &h, id, "power-button", VD_CTL_MS, &why);
    if (r == -ENOENT && streq(why.code, "not_running"))
        return 0;
    if (r < 0)
        err_move(e, &why);
    return r;
}

static int
change_state(struct vd *d, const char *id, const char *request,
             enum hv_state state, struct err *e)
{
    struct vd_held h _cleanup_(vd_held_release) = {.pidfd = -1};
    struct vd_vm *vm;
    int r = vd_hold(d, id, &h, e);

    if (r == 0)
        r = simple_call(d, &h, id, request, VD_CTL_MS, e);
    if (r < 0)
        return r;
    pthread_mutex_lock(&d->lock);
    vm = vd_find_locked(d, id);
    if (vm && vm->state != HV_STOPPED)
        vm->state = state;
    pthread_mutex_unlock(&d->lock);
    event(d, id);
    return 0;
}

static int
vd_pause(void *p, const char *id, struct err *e)
{
    return change_state(p, id, "pause", HV_PAUSED, e);
}

static int
vd_resume(void *p, const char *id, struct err *e)
{
    return change_state(p, id, "resume", HV_RUNNING, e);
}

static int
vd_forget(void *p, const char *id, struct err *e)
{
    struct vd *d = p;
    struct vd_vm *vm;
    int r = 0;

    pthread_mutex_lock(&d->lock);
    vm = vd_find_locked(d, id);
    if (vm && vm->foreign)
        r = err_set(e, -EPERM, "not_ours", "VM %s is not known to be ours", id);
    else if (vm && (vm->starting || vm->state != HV_STOPPED))
        r = err_set(e, -EBUSY, "still_running", "VM %s still runs", id);
    pthread_mutex_unlock(&d->lock);
    if (r < 0 || !vm)
        return r;
    r = vd_remove_shell(d, id, e);
    if (r == 0)
        r = vd_remove_files(d, id, e);
    if (r < 0)
        return r;
    pthread_mutex_lock(&d->lock);
    HASH_DEL(d->table, vm);
    pthread_mutex_unlock(&d->lock);
    vd_vm_free(vm);
    return 0;
}

static void
describe(const struct vd_vm *vm, struct hv_vm *ret)
{
    *ret = (struct hv_vm){
        .run = (uint64_t)vm->rec.run,
        .state = vm->state,
        .end = (enum hv_end)vm->rec.end,
        .ours = !vm->foreign,
        .started_us = vm->rec.started_us,
        .ended_us = vm->rec.ended_us,
    };
    memcpy(ret->id, vm->id, ID_SIZE);
}

static int
vd_info(void *p, const char *id, struct hv_vm *ret, struct err *e)
{
    struct vd *d = p;
    struct vd_vm *vm;
    int r = 0;

    pthread_mutex_lock(&d->lock);
    vm = vd_find_locked(d, id);
    if (!vm || vm->starting)
        r = not_found(id, e);
    else
        describe(vm, ret);
    pthread_mutex_unlock(&d->lock);
    return r;
}

static int
vd_list(void *p, struct hv_vm **ret, size_t *ret_n, struct err *e)
{
    struct vd *d = p;
    struct hv_vm *all;
    size_t n = 0;

    pthread_mutex_lock(&d->lock);
    all = xcalloc(HASH_COUNT(d->table) + 1, sizeof(*all));
    for (struct vd_vm *vm = d->table; vm; vm = vm->hh.next)
        if (!vm->starting)
            describe(vm, &all[n++]);
    pthread_mutex_unlock(&d->lock);
    *ret = all;
    *ret_n = n;
    return 0;
}

static int
vd_host(void *p, struct hv_host *ret, struct err *e)
{
    struct vd *d = p;
    struct hv_host host = {.cpus = d->cpus};
    int r = hv_meminfo(&host.memory_bytes, &host.memory_free_bytes, e);

    if (r < 0)
        return r;
    snprintf(host.accel, sizeof(host.accel), "kvm");
    snprintf(host.version, sizeof(host.version), "virga-vmm %s",
             PACKAGE_VERSION);
    *ret = host;
    return 0;
}

static int
vd_console_open(void *p, const char *id, int *ret_fd, struct err *e)
{
    struct vd *d = p;
    struct vd_held h _cleanup_(vd_held_release) = {.pidfd = -1};
    int r = vd_hold(d, id, &h, e);
    struct vd_call c = {.id = id,
                        .request = "console",
                        .timeout_ms = VD_CTL_MS,
                        .pidfd = h.pidfd,
                        .ret_fd = ret_fd};

    return r < 0 ? r : vd_ended_meanwhile(&h, id, vd_ctl(d, &c, NULL, e), e);
}

const struct hv_driver hv_driver_vmm = {
    .name = "vmm",
    .open = vd_open,
    .close = vd_close,
    .caps = vd_caps,
    .start = vd_start,
    .stop = vd_stop,
    .pause = vd_pause,
    .resume = vd_resume,
    .forget = vd_forget,
    .info = vd_info,
    .list = vd_list,
    .stats = vd_stats,
    .metrics = vd_metrics,
    .host = vd_host,
    .console_open = vd_console_open,
};
