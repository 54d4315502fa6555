/* vd-watch.c - one thread sees every VM's end at the moment it happens, by
 * pidfds in one epoll set, and is the only one to settle and record it: what
 * is reported first is what is reported for ever after.
 *
 * Helper programs (usernets) are only reaped: they sit in an epoll set of
 * their own inside the first.
 *
 * A VM is taken out of the set before its end is published, and freed by
 * others only after that: an event's pointer is always alive. */
#include <config.h>

#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm-driver/vd-private.h"

#define EVENTS 64
/* What a VMM says on its standard error: a guest can make it talk. What it
 * says of its end is a line of some hundred bytes. One that its guest has taken
 * over writes as fast as the disk takes it: looked at so often, and by what it
 * takes of the disk, since it can write anywhere. */
#define LOG_MAX_BYTES (1 << 20)
#define END_MAX_BYTES (64 << 10)
#define BOUND_LOGS_MS 1000

/* What the VMM left behind about its end; otherwise what is known of us. The
 * time is believed within bounds: a guest that has taken over its VMM could
 * let its bill end at its start, and run on. */
static void
find_end(struct vd *d, struct vd_record *rec)
{
    char *path _cleanup_(freep) = vd_path(d, rec->id, VD_END);
    struct err e _cleanup_(err_release) = {0};
    struct vd_end end = {.end = HV_END_CRASHED};
    int64_t now = clock_now_us();
    int r = vd_end_read(path, &end, &e);

    if (r < 0 && r != -ENODATA) {
        COUNT(vd_end_unreadable);
        log_limited(LOG_LEVEL_WARN,
                    "cannot read how a VM ended, taking it for crashed",
                    "inst=%s error=\"%s\"", rec->id, e.message);
    }
    if (end.failed)
        log_limited(LOG_LEVEL_ERROR, "a VMM could not go on",
                    "inst=%s run=%" PRId64 " error=\"%s\"", rec->id, rec->run,
                    end.words);
    if (rec->killing && end.end == HV_END_CRASHED)
        end.end = HV_END_KILLED;
    rec->end = (int)end.end;
    if (end.at_us < rec->started_us || end.at_us > now ||
        now - end.at_us > VD_DYING_US)
        end.at_us = now;
    rec->ended_us = end.at_us;
}

static void
settle(struct vd *d, struct vd_vm *vm)
{
    char *path _cleanup_(freep) = vd_path(d, vm->id, VD_RECORD);
    struct err e _cleanup_(err_release) = {0};

    vd_pidfd_reap(vm->pidfd);
    pthread_mutex_lock(&d->records);
    pthread_mutex_lock(&d->lock);
    struct vd_record rec = vm->rec; /* only its numbers change meanwhile */
    vm->settled = true;
    pthread_mutex_unlock(&d->lock);
    find_end(d, &rec);
    if (vd_record_write(path, &rec, &e) < 0) {
        COUNT(vd_end_lost);
        log_limited(LOG_LEVEL_WARN,
                    "cannot store how a VM ended; after a restart it is "
                    "worked out again",
                    "inst=%s error=\"%s\"", vm->id, e.message);
        err_release(&e);
    }
    pthread_mutex_unlock(&d->records);
    if (vd_remove_shell(d, vm->id, &e) < 0) {
        COUNT(vd_shell_stays);
        log_limited(LOG_LEVEL_WARN,
                    "cannot clean up behind a VM, trying again when it is "
                    "forgotten or started",
                    "inst=%s error=\"%s\"", vm->id, e.message);
    }
    pthread_mutex_lock(&d->lock);
    closep(&vm->pidfd);
    vm->rec.end = rec.end;
    vm->rec.ended_us = rec.ended_us;
    vd_slot_put(d, vm->rec.slot);
    vm->state = HV_STOPPED;
    pthread_cond_broadcast(&d->ended);
    pthread_mutex_unlock(&d->lock);
}

static void
on_end(struct vd *d, struct vd_vm *vm)
{
    char id[ID_SIZE];
    int pidfd;

    pthread_mutex_lock(&d->lock); /* under which it was handed to us */
    memcpy(id, vm->id, ID_SIZE);
    pidfd = vm->pidfd;
    pthread_mutex_unlock(&d->lock);
    if (epoll_ctl(d->epoll_fd, EPOLL_CTL_DEL, pidfd, NULL) < 0)
        COUNT(vd_epoll_del_failed);
    settle(d, vm);
    if (d->on_event)
        d->on_event(id, d->arg);
}

/* ---- helpers ---- */

int
vd_helper_add(struct vd *d, int pidfd)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = pidfd};
    int r = 0;

    pthread_mutex_lock(&d->lock);
    if (epoll_ctl(d->helpers_fd, EPOLL_CTL_ADD, pidfd, &ev) < 0) {
        r = -errno;
        close(pidfd);
    } else {
        d->helpers =
            xrealloc(d->helpers, (d->n_helpers + 1) * sizeof(*d->helpers));
        d->helpers[d->n_helpers++] = pidfd;
    }
    pthread_mutex_unlock(&d->lock);
    return r;
}

static void
reap_helpers(struct vd *d)
{
    struct epoll_event ev[EVENTS];
    int n = epoll_wait(d->helpers_fd, ev, EVENTS, 0);

    for (int i = 0; i < n; i++) {
        int fd = ev[i].data.fd;

        vd_pidfd_reap(fd);
        pthread_mutex_lock(&d->lock);
        for (size_t k = 0; k < d->n_helpers; k++)
            if (d->helpers[k] == fd)
                d->helpers[k] = d->helpers[--d->n_helpers];
        close(fd); /* takes it out of the set: it is the only one */
        pthread_mutex_unlock(&d->lock);
    }
}

/* The VMM appends (O_APPEND) to its files, so they may be cut at any time. */
static void
bound_file(struct vd *d, const char *id, const char *name, off_t max)
{
    char *path _cleanup_(freep) = vd_path(d, id, name);
    struct stat st;

    if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode) ||
        (st.st_size <= max && st.st_blocks <= max / 512 + 8))
        return;
    COUNT(vd_log_cut);
    if (truncate(path, 0) < 0)
        COUNT(vd_log_not_cut);
}

static void
bound_logs(struct vd *d)
{
    char(*ids)[ID_SIZE] _cleanup_(freep) = NULL;
    size_t n = 0;

    pthread_mutex_lock(&d->lock);
    ids = xcalloc(HASH_COUNT(d->table) + 1, ID_SIZE);
    for (struct vd_vm *vm = d->table; vm; vm = vm->hh.next)
        memcpy(ids[n++], vm->id, ID_SIZE);
    pthread_mutex_unlock(&d->lock);
    for (size_t i = 0; i < n; i++) {
        bound_file(d, ids[i], VD_LOG, LOG_MAX_BYTES);
        bound_file(d, ids[i], VD_END, END_MAX_BYTES);
    }
}

static void *
watcher_main(void *arg)
{
    struct vd *d = arg;
    int64_t bounded_us = clock_mono_us();
    bool stop = false;

    while (!stop) {
        struct epoll_event ev[EVENTS];
        int n = epoll_wait(d->epoll_fd, ev, EVENTS, BOUND_LOGS_MS);

        for (int i = 0; i < n; i++) {
            if (ev[i].data.ptr == &d->helpers_fd)
                reap_helpers(d);
            else if (ev[i].data.ptr)
                on_end(d, ev[i].data.ptr);
            else
                stop = true;
        }
        if (!stop &&
            clock_mono_us() - bounded_us >= BOUND_LOGS_MS * INT64_C(1000)) {
            bound_logs(d);
            bounded_us = clock_mono_us();
        }
    }
    return NULL;
}

int
vd_watch_init(struct vd *d)
{
    struct epoll_event stop = {.events = EPOLLIN};
    struct epoll_event helpers = {.events = EPOLLIN,
                                  .data.ptr = &d->helpers_fd};

    d->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    d->helpers_fd = epoll_create1(EPOLL_CLOEXEC);
    d->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (d->epoll_fd < 0 || d->helpers_fd < 0 || d->stop_fd < 0 ||
        epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, d->stop_fd, &stop) < 0 ||
        epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, d->helpers_fd, &helpers) < 0)
        return -errno;
    return 0;
}

int
vd_watch_start(struct vd *d)
{
    int r = -pthread_create(&d->watcher, NULL, watcher_main, d);

    if (r < 0)
        return r;
    pthread_setname_np(d->watcher, "vm-ends");
    d->watching = true;
    return 0;
}

void
vd_watch_stop(struct vd *d)
{
    if (d->watching) {
        if (eventfd_write(d->stop_fd, 1) < 0)
            abort(); /* a counter at 0 takes it, or memory is corrupt */
        pthread_join(d->watcher, NULL);
    }
    for (size_t i = 0; i < d->n_helpers; i++)
        close(d->helpers[i]);
    free(d->helpers);
    closep(&d->stop_fd);
    closep(&d->helpers_fd);
    closep(&d->epoll_fd);
}

int
vd_watch_add(struct vd *d, struct vd_vm *vm)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = vm};

    if (epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, vm->pidfd, &ev) < 0)
        return -errno;
    return 0;
}

int
vd_watch_wait(struct vd *d, const char *id, int timeout_ms)
{
    int64_t at = clock_mono_us() + timeout_ms * INT64_C(1000);
    struct timespec ts = {.tv_sec = at / US_PER_S,
                          .tv_nsec = at % US_PER_S * 1000};
    struct vd_vm *vm;
    int r = 0;

    pthread_mutex_lock(&d->lock);
    while ((vm = vd_find_locked(d, id)) && vm->state != HV_STOPPED && r == 0)
        r = -pthread_cond_timedwait(&d->ended, &d->lock, &ts);
    if (r == -ETIMEDOUT && (!vm || vm->state == HV_STOPPED))
        r = 0;
    pthread_mutex_unlock(&d->lock);
    return r;
}
