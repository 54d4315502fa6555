/* vd-adopt.c - what an earlier process left in the state folder: VMs that
 * run are watched again, ends that nobody saw are worked out.
 *
 * A record is only a claim. A process is taken for a VM's when all of this
 * holds, found in this order: the kernel has not been booted since; a pidfd
 * of the number could be had; that process began at the recorded tick; it
 * runs the recorded program file; and who answers at the socket in the VM's
 * own folder is the same VM in the same run - or somebody listens there and
 * hangs. Whatever is done to it later goes by that pidfd: a process that was
 * not believed cannot be hit. */
#include <config.h>

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm-driver/jaildir.h"
#include "hypervisor-backend/vmm-driver/vd-private.h"

/* Between closing its socket and its death a VMM has little to do. */
#define DYING_MS 2000
#define ADOPT_CTL_MS 1000

int
vd_start_ticks(pid_t pid, int64_t *ret)
{
    char path[32];
    struct buf b _cleanup_(buf_release) = {0};
    unsigned long long ticks;
    const char *p;
    int r;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    r = fs_read(path, 4096, &b, NULL);
    if (r < 0)
        return r;
    /* The second field is the program's name in brackets, whatever is in it:
     * field 3 stands behind the last bracket. */
    p = strrchr(buf_str(&b), ')');
    if (!p || sscanf(p + 1,
                     " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u "
                     "%*d %*d %*d %*d %*d %*d %llu",
                     &ticks) != 1)
        return -EBADMSG;
    *ret = (int64_t)ticks;
    return 0;
}

int
vd_exe_of(pid_t pid, int64_t *ret_dev, int64_t *ret_ino)
{
    char path[32];
    struct stat st;

    snprintf(path, sizeof(path), "/proc/%d/exe", pid);
    if (stat(path, &st) < 0)
        return -errno;
    *ret_dev = (int64_t)st.st_dev;
    *ret_ino = (int64_t)st.st_ino;
    return 0;
}

/* What a look at a process says when that is gone. */
static bool
is_gone(int r)
{
    return r == -ESRCH || r == -ENOENT;
}

/* 1 it is, 0 it is another one or gone; else it cannot be told. */
static int
is_same_process(int pidfd, const struct vd_record *rec)
{
    int64_t ticks, dev = 0, ino = 0;
    int r = vd_start_ticks((pid_t)rec->pid, &ticks);

    if (r == 0 && ticks != rec->start_ticks)
        return 0;
    if (r == 0)
        r = vd_exe_of((pid_t)rec->pid, &dev, &ino);
    if (r < 0)
        return is_gone(r) ? 0 : r;
    return dev == rec->exe_dev && ino == rec->exe_ino &&
           /* What was read was of this process, not of a later one. */
           !vd_pidfd_wait(pidfd, 0);
}

/* 1 the socket's owner may be the VM, *ret_paused if it said so; 0 it is not;
 * else it could not be asked, through no fault of its own. */
static int
answers_as(struct vd *d, const struct vd_record *rec, int pidfd,
           bool *ret_paused)
{
    struct vd_call c = {.id = rec->id,
                        .request = "describe",
                        .timeout_ms = ADOPT_CTL_MS,
                        .pidfd = pidfd};
    struct err e _cleanup_(err_release) = {0};
    struct vd_describe desc = {0};
    int r = vd_ctl_describe(d, &c, &desc, &e);
    bool same;

    switch (r) {
    case 0:
        same = streq(desc.id, rec->id) && desc.run == rec->run;
        *ret_paused = streq(desc.state, "paused");
        vd_describe_release(&desc);
        return same;
    case -ETIMEDOUT:
    case -EPROTO:
    case -EIO:
        COUNT(vd_adopt_mute);
        log_warn("a VM runs, but its VMM does not answer",
                 "inst=%s run=%" PRId64 " error=\"%s\"", rec->id, rec->run,
                 e.message);
        return 1;
    case -ECONNREFUSED:
    case -ECONNRESET:
    case -EPIPE:
    case -ENOENT:
    case -ESRCH:
        return 0; /* nobody is there (any more) */
    default:
        return r;
    }
}

/* Its pidfd if the record's process is this VM and lives; -ESRCH if not.
 * Anything else (no descriptor left, no right to look) tells nothing: whoever
 * took it for an end would end guests that run. */
static int
find_process(struct vd *d, const struct vd_record *rec, bool *ret_paused)
{
    int fd _cleanup_(closep) = -1, r;

    if (!streq(rec->boot_id, d->boot_id))
        return -ESRCH;
    fd = pidfd_open((pid_t)rec->pid, 0);
    if (fd < 0)
        /* The number may be a thread's by now. */
        return errno == EINVAL || errno == ENOENT ? -ESRCH : -errno;
    r = is_same_process(fd, rec);
    if (r <= 0)
        return r < 0 ? r : -ESRCH;
    r = answers_as(d, rec, fd, ret_paused);
    if (r < 0)
        return r;
    if (r > 0)
        return TAKE_FD(fd);
    if (!vd_pidfd_wait(fd, DYING_MS)) {
        COUNT(vd_adopt_not_believed);
        log_warn("a record names a process that is not its VM, leaving that "
                 "alone",
                 "inst=%s pid=%" PRId64, rec->id, rec->pid);
    }
    return -ESRCH;
}

/* When a VM ended that said so itself: its word as far as the kernel's about
 * when it was written bears it out (as in find_end(), vd-watch.c); 0 if that
 * cannot be either. A guest that has taken over its VMM could still have it
 * written long before the end: the agent knows when it last saw it running. */
static int64_t
believed_us(const char *path, int64_t at_us, int64_t started_us)
{
    struct stat st;
    int64_t written;

    if (lstat(path, &st) < 0)
        return 0;
    written = st.st_mtim.tv_sec * US_PER_S + st.st_mtim.tv_nsec / 1000;
    if (written < started_us || written > clock_now_us())
        return 0;
    return at_us < started_us || at_us > written ||
                   written - at_us > VD_DYING_US
               ? written
               : at_us;
}

/* An end that nobody saw. */
static void
work_out_end(struct vd *d, struct vd_record *rec)
{
    char *path _cleanup_(freep) = vd_path(d, rec->id, VD_END);
    char *record _cleanup_(freep) = vd_path(d, rec->id, VD_RECORD);
    struct err e _cleanup_(err_release) = {0};
    /* With the machine all VMs ended, however they were. */
    struct vd_end end = {.end = streq(rec->boot_id, d->boot_id)
                                    ? HV_END_CRASHED
                                    : HV_END_UNKNOWN};
    int r = vd_end_read(path, &end, &e);

    if (r < 0 && r != -ENODATA)
        log_warn("cannot read how a VM ended", "inst=%s error=\"%s\"", rec->id,
                 e.message);
    if (rec->killing && end.end != HV_END_GUEST)
        end.end = HV_END_KILLED;
    rec->end = (int)end.end;
    rec->ended_us = r < 0 ? 0 : believed_us(path, end.at_us, rec->started_us);
    err_release(&e);
    if (vd_record_write(record, rec, &e) < 0)
        log_warn("cannot store how a VM ended; it is worked out again",
                 "inst=%s error=\"%s\"", rec->id, e.message);
}

static int
drop_shell(struct vd *d, const char *id)
{
    struct err e _cleanup_(err_release) = {0};
    int r = vd_remove_shell(d, id, &e);

    if (r < 0) {
        COUNT(vd_shell_stays);
        log_warn("cannot clean up behind a VM", "inst=%s error=\"%s\"", id,
                 e.message);
    }
    return r;
}

/* A record that cannot be read tells nothing: if somebody listens at the
 * VM's socket, it is a VM that must not be touched nor started again. */
static int
adopt_unreadable(struct vd *d, struct vd_vm *vm, const struct err *why)
{
    struct vd_call c = {.id = vm->id,
                        .request = "describe",
                        .timeout_ms = ADOPT_CTL_MS,
                        .pidfd = -1};
    int r = vd_ctl(d, &c, NULL, NULL);

    vm->foreign = r != -ECONNREFUSED && r != -ENOENT;
    vm->state = vm->foreign ? HV_RUNNING : HV_STOPPED;
    vm->rec.end = vm->foreign ? HV_END_NONE : HV_END_UNKNOWN;
    log_error(vm->foreign
                  ? "a VM runs whose record cannot be read, leaving it alone"
                  : "the record of a VM that ended cannot be read",
              "inst=%s error=\"%s\"", vm->id, why->message);
    if (!vm->foreign)
        drop_shell(d, vm->id);
    return 0;
}

static int
adopt_recorded(struct vd *d, struct vd_vm *vm)
{
    struct vd_record *rec = &vm->rec;
    bool paused = false;
    int r;

    if (rec->end == HV_END_NONE) {
        r = find_process(d, rec, &paused);
        if (r < 0 && r != -ESRCH)
            return r;
        vm->pidfd = r < 0 ? -1 : r;
        if (r >= 0) {
            vm->state = paused ? HV_PAUSED : HV_RUNNING;
            d->slots[rec->slot] = 1;
            r = vd_watch_add(d, vm);
            if (r == 0)
                log_info("found a VM running",
                         "inst=%s run=%" PRId64 " pid=%" PRId64, vm->id,
                         rec->run, rec->pid);
            return r;
        }
        work_out_end(d, rec);
    }
    vm->state = HV_STOPPED;
    drop_shell(d, vm->id);
    return 0;
}

static int
adopt_one(struct vd *d, const char *id, struct err *reterr)
{
    char *path _cleanup_(freep) = vd_path(d, id, VD_RECORD);
    struct err e _cleanup_(err_release) = {0};
    struct vd_vm *vm;
    struct vd_record rec;
    int r = vd_record_read(path, id, &rec, &e);

    if (r == -ENOENT) {
        /* The death of the agent broke off this start. Its VMM waits for a
         * description that nobody will send, and ends. The folder says that
         * the rest is ours: it goes last. */
        return drop_shell(d, id) < 0 ? 0 : vd_remove_files(d, id, reterr);
    }
    vm = vd_vm_new(id);
    if (r == 0) {
        vd_record_release(&vm->rec);
        vm->rec = rec;
    }
    r = r < 0 ? adopt_unreadable(d, vm, &e) : adopt_recorded(d, vm);
    if (r < 0) {
        vd_vm_free(vm);
        return err_errno(reterr, r, "cannot tell whether VM %s runs", id);
    }
    pthread_mutex_lock(&d->lock);
    HASH_ADD_STR(d->table, id, vm);
    pthread_mutex_unlock(&d->lock);
    return 0;
}

struct strays {
    struct vd *d;
    char (*ids)[ID_SIZE];
    size_t n;
};

static void
note_stray(void *arg, const char *id)
{
    struct strays *s = arg;

    if (!id_valid(id) || vd_find_locked(s->d, id))
        return;
    s->ids = xrealloc(s->ids, (s->n + 1) * ID_SIZE);
    memcpy(s->ids[s->n++], id, ID_SIZE);
}

/* Its folder is the first that a start makes and the last that an end
 * removes: with none of ours, processes in a group of that name are another
 * agent's, or those of a state folder that was lost. */
static void
drop_stray(struct vd *d, const char *id)
{
    struct err e _cleanup_(err_release) = {0};
    int r = d->cgroups ? cgroup_remove(d->cgroups, id, &e) : 0;

    if (r == -EBUSY) {
        COUNT(vd_stray_lives);
        log_warn("processes run in a group of which nothing is known, leaving "
                 "them alone",
                 "inst=%s", id);
        return;
    }
    if (r == 0)
        r = jail_dir_remove(d->jails_fd, id, &e);
    if (r < 0) {
        COUNT(vd_shell_stays);
        log_warn("cannot clean up behind a VM", "inst=%s error=\"%s\"", id,
                 e.message);
    }
}

/* Groups and jails without a folder. */
static int
drop_strays(struct vd *d, struct err *reterr)
{
    struct strays s = {.d = d};
    DIR *dir _cleanup_(closedirp) = NULL;
    struct dirent *de;
    int fd = openat(d->jails_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = 0;

    dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        r = err_errno(reterr, -errno, "cannot list %s/jails", d->dir);
        closep(&fd);
        return r;
    }
    pthread_mutex_lock(&d->lock);
    while ((de = readdir(dir)))
        note_stray(&s, de->d_name);
    if (d->cgroups)
        r = cgroup_list(d->cgroups, note_stray, &s, reterr);
    pthread_mutex_unlock(&d->lock);
    for (size_t i = 0; i < s.n; i++)
        drop_stray(d, s.ids[i]);
    free(s.ids);
    return r;
}

int
vd_adopt_all(struct vd *d, struct err *reterr)
{
    DIR *dir _cleanup_(closedirp) = opendir(d->vms);
    struct dirent *de;
    int r = 0;

    if (!dir)
        return err_errno(reterr, -errno, "cannot list %s", d->vms);
    while (r == 0 && (de = readdir(dir)))
        if (id_valid(de->d_name))
            r = adopt_one(d, de->d_name, reterr);
    return r < 0 ? r : drop_strays(d, reterr);
}
