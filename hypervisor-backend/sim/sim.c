/* sim.c - a hypervisor without guests, for scale and fault tests; README.md
 * has the picture and the diagram of a VM's phases.
 *
 * Invariants (checked under the lock by check_vm() where asserts are on):
 * 1. A VM in the table has the same record on disk, except while its start is
 *    under way (`starting`), when others cannot see it.
 * 2. A VM stands in the timer heap exactly when it is RUNNING with a time at
 *    which it ends, or when writing its end failed and is to be repeated.
 * 3. A start is in the journal before its VM shows as running; an end is in
 *    the journal before its VM shows as stopped. */
#include <config.h>

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/sim/sim-console.h"
#include "hypervisor-backend/sim/sim-private.h"
#include "hypervisor-backend/sim/sim-table.h"

/* How soon an end that could not be written is tried again. */
#define END_RETRY_US INT64_C(100000)

struct sim {
    struct sim_options opt; /* constant */
    void (*on_event)(const char *id, void *arg);
    void *arg;
    struct sim_console *console;
    pthread_t thread;
    int epoll_fd, wake_fd, timer_fd;

    pthread_mutex_t lock; /* guards all below */
    struct sim_store store;
    struct sim_table table;
    uint64_t attempts;       /* starts tried, the dice of start_fail_permille */
    char (*events)[ID_SIZE]; /* ids for on_event, not yet delivered */
    size_t n_events, cap_events;
    bool closing;
};

static uint64_t
mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* A number that depends on the seed, the VM and `salt` alone, so that a run
 * of a fault test can be repeated. */
static uint64_t
dice(const struct sim *s, const char *id, uint64_t salt)
{
    uint64_t h = mix(s->opt.seed ^ mix(salt));

    for (; *id; id++)
        h = mix(h ^ (unsigned char)*id);
    return h;
}

static void
wake(struct sim *s)
{
    uint64_t one = 1;

    /* EAGAIN: the counter is full, so the thread wakes up anyway. */
    while (write(s->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
}

static void
queue_event(struct sim *s, const char *id)
{
    if (!s->on_event)
        return;
    if (s->n_events == s->cap_events) {
        s->cap_events = s->cap_events ? s->cap_events * 2 : 64;
        s->events = xrealloc(s->events, s->cap_events * sizeof(*s->events));
    }
    memcpy(s->events[s->n_events++], id, ID_SIZE);
    wake(s);
}

static void
arm_timer(struct sim *s)
{
    int64_t at = sim_table_next_us(&s->table);
    struct itimerspec its = {0};

    if (at != INT64_MAX) {
        at = MAX(at, INT64_C(1)); /* zero would disarm it */
        its.it_value.tv_sec = at / US_PER_S;
        its.it_value.tv_nsec = at % US_PER_S * 1000;
    }
    if (timerfd_settime(s->timer_fd, TFD_TIMER_ABSTIME, &its, NULL) < 0)
        log_error("the simulated hypervisor lost its timer", "error=\"%s\"",
                  strerrordesc_np(errno));
}

/* Puts the VM into the heap or takes it out, as invariant 2 wants it. */
static void
update_timer(struct sim *s, struct sim_vm *vm)
{
    int64_t before = sim_table_next_us(&s->table);
    bool due = vm->rec.end_at_us && vm->rec.phase == SIM_RUNNING;

    sim_table_set_timer(&s->table, vm, due ? vm->rec.end_at_us : 0);
    if (sim_table_next_us(&s->table) != before)
        arm_timer(s);
}

static bool
runs(const struct sim_vm *vm)
{
    return !vm->starting && vm->rec.phase != SIM_ENDED;
}

static void
check_vm(const struct sim_vm *vm)
{
    const struct sim_record *r = &vm->rec;

    assert((r->phase == SIM_PAUSED) == (r->paused_at_us != 0) ||
           r->phase >= SIM_ENDING);
    assert((r->phase >= SIM_ENDING) == (r->end != HV_END_NONE));
    assert((r->phase >= SIM_ENDING) == (r->ended_us != 0));
    assert(r->phase != SIM_PAUSED || !vm->heap_at);
    assert(r->phase != SIM_ENDED || !vm->heap_at);
    (void)r;
}

/* Ends a VM in three steps, each of which may fail and is then repeated by
 * the next call: what and when is decided once, in the first. */
static int
end_vm(struct sim *s, struct sim_vm *vm, enum hv_end why, int64_t at_us)
{
    struct sim_record next = vm->rec;
    int r;

    if (next.phase != SIM_ENDING) {
        if (next.paused_at_us) {
            next.paused_total_us += at_us - next.paused_at_us;
            next.paused_at_us = 0;
        }
        next.phase = SIM_ENDING;
        next.end = why;
        next.ended_us = MAX(at_us, next.started_us);
        r = sim_store_put(&s->store, &next);
        if (r < 0)
            return r;
        vm->rec = next;
    }
    r = sim_store_journal(&s->store, next.ended_us, "end", &next,
                          hv_end_name(next.end));
    next.phase = SIM_ENDED;
    next.end_at_us = 0;
    if (r == 0)
        r = sim_store_put(&s->store, &next);
    if (r < 0) {
        sim_table_set_timer(&s->table, vm, clock_now_us() + END_RETRY_US);
        arm_timer(s);
        return r;
    }
    vm->rec = next;
    update_timer(s, vm);
    sim_console_detach(s->console, vm);
    queue_event(s, next.id);
    check_vm(vm);
    return 0;
}

/* When the guest of this run will crash; INT64_MAX never. */
static int64_t
crash_us(const struct sim *s, const struct sim_record *r)
{
    uint64_t salt = UINT64_MAX - 1 - r->run;

    if (!s->opt.guest_crash_after_ms ||
        dice(s, r->id, salt) % 1000 >= s->opt.guest_crash_permille)
        return INT64_MAX;
    return r->started_us + (int64_t)s->opt.guest_crash_after_ms * 1000;
}

static void
end_due(struct sim *s)
{
    int64_t now = clock_now_us();
    struct sim_vm *vm;

    while ((vm = sim_table_due(&s->table, now))) {
        /* A pause may have put it off; a button moves an end forward only. */
        bool crash = vm->rec.end_at_us >= crash_us(s, &vm->rec);
        int r = end_vm(s, vm, crash ? HV_END_CRASHED : HV_END_GUEST,
                       vm->rec.end_at_us);

        if (r < 0) {
            COUNT(sim_end_retry);
            log_limited(LOG_LEVEL_WARN,
                        "cannot write the end of a simulated VM, trying again",
                        "inst=%s error=\"%s\"", vm->rec.id,
                        strerrordesc_np(-r));
            sim_table_set_timer(&s->table, vm, now + END_RETRY_US);
        }
    }
    arm_timer(s);
}

static void
deliver_events(struct sim *s)
{
    char(*ids)[ID_SIZE];
    size_t n;

    pthread_mutex_lock(&s->lock);
    ids = TAKE_PTR(s->events);
    n = s->n_events;
    s->n_events = s->cap_events = 0;
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < n; i++)
        s->on_event(ids[i], s->arg);
    free(ids);
}

static void *
run_thread(void *arg)
{
    struct sim *s = arg;
    struct epoll_event ev[64];
    bool closing = false;
    uint64_t unused;

    while (!closing) {
        int n = epoll_wait(s->epoll_fd, ev, ARRAY_SIZE(ev), -1);

        if (n < 0 && errno != EINTR)
            break; /* only by a bug: the descriptors are ours */
        pthread_mutex_lock(&s->lock);
        for (int i = 0; i < n; i++) {
            if (ev[i].data.ptr == &s->wake_fd) {
                if (read(s->wake_fd, &unused, sizeof(unused)) < 0)
                    continue;
            } else if (ev[i].data.ptr == &s->timer_fd) {
                if (read(s->timer_fd, &unused, sizeof(unused)) < 0)
                    continue;
                end_due(s);
            } else {
                sim_console_serve(s->console, ev[i].data.ptr, ev[i].events);
            }
        }
        closing = s->closing;
        pthread_mutex_unlock(&s->lock);
        deliver_events(s);
    }
    return NULL;
}

/* Takes over what an earlier process left; see the diagram in README.md. */
static int
adopt(const struct sim_record *rec, void *arg)
{
    struct sim *s = arg;
    struct sim_record r = *rec;
    struct sim_vm *vm;
    int e;

    if (r.phase == SIM_STARTING) {
        e = sim_store_journal(&s->store, clock_now_us(), "end", &r, "aborted");
        return e < 0 ? e : sim_store_remove(&s->store, r.id);
    }
    if (r.phase == SIM_ENDING) {
        e = sim_store_journal(&s->store, r.ended_us, "end", &r,
                              hv_end_name(r.end));
        r.phase = SIM_ENDED;
        r.end_at_us = 0;
        if (e == 0)
            e = sim_store_put(&s->store, &r);
        if (e < 0)
            return e;
    }
    vm = sim_table_add(&s->table, r.id);
    vm->rec = r;
    update_timer(s, vm);
    check_vm(vm);
    return 0;
}

static void
sim_free(struct sim *s)
{
    sim_console_free(s->console);
    sim_table_release(&s->table);
    sim_store_close(&s->store);
    closep(&s->timer_fd);
    closep(&s->wake_fd);
    closep(&s->epoll_fd);
    pthread_mutex_destroy(&s->lock);
    free(s->events);
    free(s);
}

static int
open_fds(struct sim *s)
{
    struct epoll_event ev = {.events = EPOLLIN};

    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    /* Wall clock: the ends are in the records, which outlive this process. */
    s->timer_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (s->epoll_fd < 0 || s->wake_fd < 0 || s->timer_fd < 0)
        return -errno;
    ev.data.ptr = &s->wake_fd;
    if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->wake_fd, &ev) < 0)
        return -errno;
    ev.data.ptr = &s->timer_fd;
    if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->timer_fd, &ev) < 0)
        return -errno;
    s->console = sim_console_new(s->epoll_fd);
    return 0;
}

static int
sim_open(const struct hv_config *cfg, void **ret, struct err *e)
{
    struct sim_options opt;
    struct sim *s;
    int r = sim_options_parse(cfg->sim_options, &opt, e);

    if (r < 0)
        return r;
    s = xnew(struct sim);
    s->opt = opt;
    s->on_event = cfg->on_event;
    s->arg = cfg->arg;
    s->epoll_fd = s->wake_fd = s->timer_fd = -1;
    s->store = (struct sim_store){-1, -1, -1};
    pthread_mutex_init(&s->lock, NULL);
    r = open_fds(s);
    if (r < 0)
        err_errno(e, r, "cannot set up the simulated hypervisor");
    if (r == 0)
        r = sim_store_open(&s->store, cfg->state_dir, e);
    if (r == 0)
        r = sim_store_each(&s->store, adopt, s, e);
    if (r == 0) {
        r = -pthread_create(&s->thread, NULL, run_thread, s);
        if (r < 0)
            err_errno(e, r, "cannot start the simulated hypervisor's thread");
    }
    if (r < 0) {
        sim_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

static void
sim_close(void *d)
{
    struct sim *s = d;

    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_mutex_unlock(&s->lock);
    wake(s);
    pthread_join(s->thread, NULL);
    sim_free(s);
}

static unsigned
sim_caps(void *d)
{
    const struct sim *s = d;

    return (s->opt.pause ? HV_CAP_PAUSE : 0u) | HV_CAP_CONSOLE | HV_CAP_STATS |
           HV_CAP_NO_GUEST | HV_CAP_QCOW2 |
           (s->opt.kernel_boot ? HV_CAP_KERNEL_BOOT : 0u) |
           (s->opt.disk_boot ? HV_CAP_DISK_BOOT : 0u);
}

/* Opened before the VM is made, so that a bad folder fails the start. */
static int
open_console_log(const struct hv_spec *spec, int *ret_fd, struct err *e)
{
    char *path _cleanup_(freep) = xasprintf("%s/" HV_CONSOLE_LOG, spec->dir);
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
                  0600);

    if (fd < 0)
        return err_errno(e, -errno, "cannot open %s", path);
    *ret_fd = fd;
    return 0;
}

static void
write_ready_line(int fd, const struct hv_spec *spec)
{
    char *line _cleanup_(freep) = xasprintf(
        "virga-sim: %s ready, run %" PRIu64 ", %u vCPUs, %" PRIu64 " MiB\r\n",
        spec->name, spec->run, spec->vcpus, spec->memory_bytes >> 20);

    /* A guest does not die of a console that cannot be written either. */
    if (fs_write_all(fd, line, strlen(line)) < 0)
        COUNT(sim_console_write_failed);
}

static void
wait_ms(uint64_t ms)
{
    struct timespec ts = {.tv_sec = (time_t)(ms / 1000),
                          .tv_nsec = (long)(ms % 1000) * 1000000};

    while (ms && clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &ts) == EINTR)
        continue;
}

/* Record, journal, record: a death at any point leaves either no VM or one
 * whose start is in the journal (adopt() settles the rest). */
static int
make_vm(struct sim *s, struct sim_vm *vm, struct err *e)
{
    struct sim_record *rec = &vm->rec;
    int r = sim_store_put(&s->store, rec);

    if (r == 0)
        r = sim_store_journal(&s->store, rec->started_us, "start", rec, "-");
    if (r == 0) {
        rec->phase = SIM_RUNNING;
        r = sim_store_put(&s->store, rec);
        if (r < 0 && sim_store_journal(&s->store, clock_now_us(), "end", rec,
                                       "aborted") < 0)
            COUNT(sim_journal_lost);
    }
    if (r < 0) {
        if (sim_store_remove(&s->store, rec->id) < 0)
            COUNT(sim_record_stuck);
        return err_errno(e, r, "cannot write the simulated VM");
    }
    return 0;
}

static int
sim_start(void *d, const struct hv_spec *spec, struct err *e)
{
    struct sim *s = d;
    int log_fd _cleanup_(closep) = -1;
    struct sim_vm *vm;
    bool fail;
    int r = open_console_log(spec, &log_fd, e);

    if (r < 0)
        return r;
    pthread_mutex_lock(&s->lock);
    vm = sim_table_find(&s->table, spec->id);
    if (vm && vm->rec.phase != SIM_ENDED) {
        pthread_mutex_unlock(&s->lock);
        return err_set(e, -EEXIST, "already_running", "%s runs already",
                       spec->id);
    }
    if (!vm)
        vm = sim_table_add(&s->table, spec->id);
    vm->starting = true;
    fail = dice(s, spec->id, s->attempts++) % 1000 < s->opt.start_fail_permille;
    pthread_mutex_unlock(&s->lock);

    wait_ms(s->opt.start_delay_ms);

    pthread_mutex_lock(&s->lock);
    vm->rec = (struct sim_record){
        .phase = SIM_STARTING,
        .run = spec->run,
        .vcpus = spec->vcpus,
        .memory_bytes = spec->memory_bytes,
        .started_us = clock_now_us(),
    };
    memcpy(vm->rec.id, spec->id, ID_SIZE);
    if (s->opt.guest_exit_after_ms)
        vm->rec.end_at_us =
            vm->rec.started_us + (int64_t)s->opt.guest_exit_after_ms * 1000;
    int64_t crash = crash_us(s, &vm->rec);
    if (crash != INT64_MAX && (!vm->rec.end_at_us || vm->rec.end_at_us > crash))
        vm->rec.end_at_us = crash;
    if (fail)
        r = err_set(e, -EIO, "start_failed",
                    "the simulated start failed (start_fail_permille)");
    else
        r = make_vm(s, vm, e);
    if (r == 0) {
        vm->starting = false;
        update_timer(s, vm);
        queue_event(s, spec->id);
        check_vm(vm);
    } else {
        if (sim_store_remove(&s->store, spec->id) < 0)
            COUNT(sim_record_stuck);
        sim_table_remove(&s->table, vm);
    }
    pthread_mutex_unlock(&s->lock);
    if (r == 0)
        write_ready_line(log_fd, spec);
    return r;
}

/* The VM, with the lock taken; or -ENOENT with the lock free. */
static int
lock_vm(struct sim *s, const char *id, bool must_run, struct sim_vm **ret,
        struct err *e)
{
    struct sim_vm *vm;

    pthread_mutex_lock(&s->lock);
    vm = sim_table_find(&s->table, id);
    if (!vm || vm->starting) {
        pthread_mutex_unlock(&s->lock);
        return err_set(e, -ENOENT, "not_found", "there is no VM %s", id);
    }
    if (must_run && !runs(vm)) {
        pthread_mutex_unlock(&s->lock);
        return err_set(e, -ENOENT, "not_running", "VM %s does not run", id);
    }
    *ret = vm;
    return 0;
}

static int
unlock_vm(struct sim *s, int r, const char *what, struct err *e)
{
    pthread_mutex_unlock(&s->lock);
    return r < 0 ? err_errno(e, r, "cannot %s the simulated VM", what) : 0;
}

static int
sim_stop(void *d, const char *id, bool force, struct err *e)
{
    struct sim *s = d;
    struct sim_vm *vm;
    int64_t now = clock_now_us();
    int r = lock_vm(s, id, false, &vm, e);

    if (r < 0)
        return r;
    if (!runs(vm))
        return unlock_vm(s, 0, "stop", e);
    if (force)
        return unlock_vm(s, end_vm(s, vm, HV_END_KILLED, now), "stop", e);
    if (dice(s, id, UINT64_MAX) % 1000 < s->opt.ignore_acpi_permille)
        return unlock_vm(s, 0, "stop", e);
    if (!s->opt.stop_delay_ms && vm->rec.phase == SIM_RUNNING)
        return unlock_vm(s, end_vm(s, vm, HV_END_GUEST, now), "stop", e);
    struct sim_record next = vm->rec;
    int64_t at = now + (int64_t)s->opt.stop_delay_ms * 1000;
    if (!next.end_at_us || next.end_at_us > at)
        next.end_at_us = at;
    r = sim_store_put(&s->store, &next);
    if (r == 0) {
        vm->rec = next;
        update_timer(s, vm);
    }
    return unlock_vm(s, r, "stop", e);
}

/* lock_vm() after the time that it takes, or the failure that is asked for. */
static int
lock_for_pause(struct sim *s, const char *id, struct sim_vm **ret,
               struct err *e)
{
    wait_ms(s->opt.pause_delay_ms);
    int r = lock_vm(s, id, true, ret, e);
    if (r == 0 &&
        dice(s, id, s->attempts++) % 1000 < s->opt.pause_fail_permille) {
        pthread_mutex_unlock(&s->lock);
        return err_set(e, -EIO, "pause_failed",
                       "pausing or resuming failed (pause_fail_permille)");
    }
    return r;
}

static int
sim_pause(void *d, const char *id, struct err *e)
{
    struct sim *s = d;
    struct sim_vm *vm;
    int r = s->opt.pause ? lock_for_pause(s, id, &vm, e)
                         : err_set(e, -ENOTSUP, "unsupported",
                                   "this hypervisor cannot pause");

    if (r < 0)
        return r;
    if (vm->rec.phase == SIM_RUNNING) {
        struct sim_record next = vm->rec;

        next.phase = SIM_PAUSED;
        next.paused_at_us = clock_now_us();
        r = sim_store_put(&s->store, &next);
        if (r == 0) {
            vm->rec = next;
            update_timer(s, vm);
            queue_event(s, id);
            check_vm(vm);
        }
    }
    return unlock_vm(s, r, "pause", e);
}

static int
sim_resume(void *d, const char *id, struct err *e)
{
    struct sim *s = d;
    struct sim_vm *vm;
    int r = lock_for_pause(s, id, &vm, e);

    if (r < 0)
        return r;
    if (vm->rec.phase == SIM_PAUSED) {
        struct sim_record next = vm->rec;
        int64_t now = clock_now_us();

        next.phase = SIM_RUNNING;
        next.paused_total_us += now - next.paused_at_us;
        next.paused_at_us = 0;
        /* What came due meanwhile happens now: a paused guest sees nothing. */
        if (next.end_at_us && next.end_at_us < now)
            next.end_at_us = now;
        r = sim_store_put(&s->store, &next);
        if (r == 0) {
            vm->rec = next;
            update_timer(s, vm);
            queue_event(s, id);
            check_vm(vm);
        }
    }
    return unlock_vm(s, r, "resume", e);
}

static int
sim_forget(void *d, const char *id, struct err *e)
{
    struct sim *s = d;
    struct sim_vm *vm;
    int r;

    if (lock_vm(s, id, false, &vm, NULL) < 0)
        return 0;
    if (runs(vm)) {
        pthread_mutex_unlock(&s->lock);
        return err_set(e, -EBUSY, "still_running", "VM %s still runs", id);
    }
    r = sim_store_remove(&s->store, id);
    if (r == 0)
        sim_table_remove(&s->table, vm);
    return unlock_vm(s, r, "forget", e);
}

static void
describe(const struct sim_vm *vm, struct hv_vm *ret)
{
    const struct sim_record *r = &vm->rec;

    *ret = (struct hv_vm){
        .run = r->run,
        .ours = true,
        .started_us = r->started_us,
        .ended_us = r->phase == SIM_ENDED ? r->ended_us : 0,
        .state = r->phase == SIM_ENDED    ? HV_STOPPED
                 : r->phase == SIM_PAUSED ? HV_PAUSED
                                          : HV_RUNNING,
        /* While an end is not yet in the journal it has not happened. */
        .end = r->phase == SIM_ENDED ? r->end : HV_END_NONE,
    };
    memcpy(ret->id, r->id, ID_SIZE);
}

static int
sim_info(void *d, const char *id, struct hv_vm *ret, struct err *e)
{
    struct sim *s = d;
    struct sim_vm *vm;
    int r = lock_vm(s, id, false, &vm, e);

    if (r < 0)
        return r;
    describe(vm, ret);
    return unlock_vm(s, 0, "look at", e);
}

static int
sim_list(void *d, struct hv_vm **ret, size_t *ret_n, struct err *e)
{
    struct sim *s = d;
    struct hv_vm *all;
    size_t n = 0;

    pthread_mutex_lock(&s->lock);
    all = xcalloc(sim_table_count(&s->table) + 1, sizeof(*all));
    for (struct sim_vm *vm = s->table.vms; vm; vm = vm->hh.next)
        if (!vm->starting)
            describe(vm, &all[n++]);
    pthread_mutex_unlock(&s->lock);
    *ret = all;
    *ret_n = n;
    return 0;
}

/* Rates are the VM's own, between a nearly idle and a busy guest; what is
 * used is rate times the time that it really ran. */
static int
sim_stats(void *d, const char *id, struct hv_stats *ret, struct err *e)
{
    struct sim *s = d;
    struct sim_vm *vm;
    int64_t until, ran;
    uint64_t h, ms;
    int r = lock_vm(s, id, true, &vm, e);

    if (r < 0)
        return r;
    h = dice(s, id, 1);
    until = vm->rec.paused_at_us ? vm->rec.paused_at_us : clock_now_us();
    ran = until - vm->rec.started_us - vm->rec.paused_total_us;
    ran = MAX(ran, INT64_C(0));
    ms = (uint64_t)ran / 1000;
    *ret = (struct hv_stats){
        /* 5..60 % of each vCPU */
        .cpu_ns = (uint64_t)ran * 10 * vm->rec.vcpus * (5 + h % 56),
        .memory_bytes = vm->rec.memory_bytes / 100 * (30 + h % 61),
        .disk_read_ops = ms * (h >> 8 & 0xff) / 1000,
        .disk_write_ops = ms * (h >> 16 & 0xff) / 1000,
        .net_rx_bytes = ms * (h >> 24 & 0xffff) / 10,
        .net_tx_bytes = ms * (h >> 40 & 0xffff) / 10,
    };
    ret->disk_read_bytes = ret->disk_read_ops * 16384;
    ret->disk_write_bytes = ret->disk_write_ops * 8192;
    return unlock_vm(s, 0, "measure", e);
}

static int
sim_host(void *d, struct hv_host *ret, struct err *e)
{
    struct sim *s = d;
    uint64_t used = 0, total = s->opt.memory_mib << 20;

    pthread_mutex_lock(&s->lock);
    for (struct sim_vm *vm = s->table.vms; vm; vm = vm->hh.next)
        if (runs(vm))
            used += vm->rec.memory_bytes;
    pthread_mutex_unlock(&s->lock);
    *ret = (struct hv_host){
        .cpus = (unsigned)s->opt.cpus,
        .memory_bytes = total,
        .memory_free_bytes = used < total ? total - used : 0,
        .disk_bytes = s->opt.disk_mib << 20,
        .accel = "sim",
        .version = PACKAGE_VERSION,
    };
    return 0;
}

static int
sim_console_open(void *d, const char *id, int *ret_fd, struct err *e)
{
    struct sim *s = d;
    struct sim_vm *vm;
    int r = lock_vm(s, id, true, &vm, e);

    if (r < 0)
        return r;
    r = sim_console_attach(s->console, vm, ret_fd);
    return unlock_vm(s, r, "open the console of", e);
}

const struct hv_driver hv_driver_sim = {
    .name = "sim",
    .open = sim_open,
    .close = sim_close,
    .caps = sim_caps,
    .start = sim_start,
    .stop = sim_stop,
    .pause = sim_pause,
    .resume = sim_resume,
    .forget = sim_forget,
    .info = sim_info,
    .list = sim_list,
    .stats = sim_stats,
    .host = sim_host,
    .console_open = sim_console_open,
};
