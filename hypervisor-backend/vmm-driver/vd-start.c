/* vd-start.c - a VM from a spec: everything is opened here, as root, and
 * handed to the VMM as descriptors, so that it needs no name and no rights.
 *
 * The order makes a death of the agent harmless at every point: the VMM is
 * exec'd, its record is written, and only then it gets its description (at
 * whose missing end it gives up). A process without a record has run no
 * guest; a guest that runs has a record. */
#include <config.h>

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "api/codec.h"
#include "common/clock.h"
#include "common/count.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/hv-private.h"
#include "hypervisor-backend/vmm-driver/jaildir.h"
#include "hypervisor-backend/vmm-driver/vd-private.h"

#define MAX_FDS 64
#define KILL_MS 10000
/* Threads for vCPUs, I/O (also io_uring's own) and control, and usernets. */
#define PIDS_MAX_BASE 256

/* What a start has come to hold; all of it goes at its end, only some of it
 * if it failed. */
struct start {
    struct vd *d;
    const struct hv_spec *spec;
    struct vd_vm *vm;
    uint32_t uid;
    int fds[MAX_FDS]; /* the child's 3, 4, … */
    size_t n_fds;
    struct buf json;
    int log_fd, feed_fd, dir_fd;
    struct jail_dir jail;
    struct cgroup *cgroup;
    int procs[CGROUP_CONTROLLERS + 1];
    unsigned n_procs;
    bool new_console; /* the console's log was made by this start */
};

static void
start_release(struct start *s)
{
    for (size_t i = 0; i < s->n_fds; i++)
        close(s->fds[i]);
    buf_release(&s->json);
    closep(&s->log_fd);
    closep(&s->feed_fd);
    closep(&s->dir_fd);
    jail_dir_release(&s->jail);
    cgroup_free(s->cgroup);
}

/* The number that the child knows it by. Takes fd over. */
static int
give(struct start *s, int fd, int *ret_number)
{
    /* Above all the numbers that the child moves its own to. */
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 3 + MAX_FDS);
    int r = high < 0 ? -errno : 0;

    close(fd);
    if (r == 0 && s->n_fds == MAX_FDS) {
        close(high);
        r = -E2BIG;
    }
    if (r < 0)
        return r;
    *ret_number = 3 + (int)s->n_fds;
    s->fds[s->n_fds++] = high;
    return 0;
}

static int
give_as(struct start *s, int fd, const char *member, struct err *e)
{
    int number, r = give(s, fd, &number);

    if (r < 0)
        return err_errno(e, r, "cannot pass the descriptor of %s", member);
    buf_addf(&s->json, ",\"%s\":%d", member, number);
    return 0;
}

/* ---- files ---- */

static int
open_file(const char *path, int flags, bool device_too, const char *pointer,
          int *ret, struct err *e)
{
    int fd _cleanup_(closep) =
        open(path, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return err_field(e, pointer, errno == ENOENT ? "missing" : "unreadable",
                         "%s: %s", path, strerrordesc_np(errno));
    if (fstat(fd, &st) < 0)
        return err_errno(e, -errno, "%s", path);
    if (!S_ISREG(st.st_mode) && !(device_too && S_ISBLK(st.st_mode)))
        return err_field(e, pointer, "format", "%s is not a file", path);
    *ret = TAKE_FD(fd);
    return 0;
}

static int
give_boot(struct start *s, struct err *e)
{
    int fd, r = open_file(s->spec->kernel, O_RDONLY, false, "/kernel", &fd, e);

    if (r == 0)
        r = give_as(s, fd, "kernel_fd", e);
    if (r == 0 && s->spec->initrd) {
        r = open_file(s->spec->initrd, O_RDONLY, false, "/initrd", &fd, e);
        if (r == 0)
            r = give_as(s, fd, "initrd_fd", e);
    }
    if (r == 0 && s->spec->cmdline) {
        buf_adds(&s->json, ",\"cmdline\":");
        codec_encode_string(s->spec->cmdline, &s->json);
    }
    return r;
}

/* Held by the open file, so as long as anybody has the descriptor. */
static int
lock_disk(int fd, const struct hv_disk *disk, const char *pointer,
          struct err *e)
{
    struct flock l = {.l_type = disk->read_only ? F_RDLCK : F_WRLCK,
                      .l_whence = SEEK_SET};

    if (fcntl(fd, F_OFD_SETLK, &l) == 0)
        return 0;
    if (errno != EAGAIN && errno != EACCES)
        return err_errno(e, -errno, "cannot lock %s", disk->path);
    err_field(e, pointer, "in_use", "%s is used by another VM", disk->path);
    return err_set(e, -EBUSY, "disk_in_use", "%s is used by another VM",
                   disk->path);
}

static int
give_disks(struct start *s, struct err *e)
{
    buf_adds(&s->json, ",\"disks\":[");
    for (size_t i = 0; i < s->spec->n_disks; i++) {
        const struct hv_disk *disk = &s->spec->disks[i];
        int number, fd, r;
        char at[40];

        snprintf(at, sizeof(at), "/disks/%zu/path", i);
        r = open_file(disk->path, disk->read_only ? O_RDONLY : O_RDWR, true, at,
                      &fd, e);
        if (r < 0)
            return r;
        r = lock_disk(fd, disk, at, e);
        if (r < 0) {
            close(fd);
            return r;
        }
        r = give(s, fd, &number);
        if (r < 0)
            return err_errno(e, r, "cannot pass %s", disk->path);
        buf_addf(&s->json,
                 "%s{\"name\":\"disk%zu\",\"fd\":%d,\"read_only\":%s,"
                 "\"direct\":true,\"serial\":\"disk%zu\",\"limits\":"
                 "{\"ops_per_s\":%" PRIu64 ",\"bytes_per_s\":%" PRIu64 "}}",
                 i ? "," : "", i, number, disk->read_only ? "true" : "false", i,
                 s->spec->limits.disk_iops,
                 s->spec->limits.disk_bytes_per_second);
    }
    buf_addc(&s->json, ']');
    return 0;
}

static int
give_console_log(struct start *s, struct err *e)
{
    int flags = O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    int dir _cleanup_(closep) =
        open(s->spec->dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    int fd;

    if (dir < 0)
        return err_errno(e, -errno, "%s", s->spec->dir);
    fd = openat(dir, HV_CONSOLE_LOG, flags | O_CREAT | O_EXCL, 0600);
    s->new_console = fd >= 0;
    if (fd < 0 && errno == EEXIST)
        fd = openat(dir, HV_CONSOLE_LOG, flags);
    if (fd < 0 || fstat(fd, &st) < 0) {
        int r = -errno;

        closep(&fd);
        return err_errno(e, r, "%s/" HV_CONSOLE_LOG, s->spec->dir);
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return err_set(e, -EINVAL, "not_a_file",
                       "%s/" HV_CONSOLE_LOG " is not a file", s->spec->dir);
    }
    return give_as(s, fd, "console_log_fd", e);
}

/* The VM's own folder, and what the VMM writes into it. */
static int
make_folder(struct start *s, struct err *e)
{
    struct vd *d = s->d;
    const char *id = s->vm->id;
    int fd, r;

    if (mkdirat(d->vms_fd, id, 0700) < 0)
        return err_errno(e, -errno, "cannot make %s/%s", d->vms, id);
    s->dir_fd =
        openat(d->vms_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (s->dir_fd < 0)
        return err_errno(e, -errno, "cannot open %s/%s", d->vms, id);
    s->log_fd = openat(s->dir_fd, VD_LOG,
                       O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    fd = openat(s->dir_fd, VD_END,
                O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (s->log_fd < 0 || fd < 0) {
        r = -errno;
        closep(&fd);
        return err_errno(e, r, "cannot make files in %s/%s", d->vms, id);
    }
    r = give_as(s, fd, "end_fd", e);
    if (r == 0)
        r = vd_ctl_listen(d, id, &fd, e);
    if (r == 0)
        r = give_as(s, fd, "control_fd", e);
    return r;
}

/* ---- cgroup, jail, devices ---- */

/* Disks have their limits in the VMM, which takes them in turn; the cgroup's
 * would hold up its threads. */
static int
make_cgroup(struct start *s, struct err *e)
{
    const struct hv_spec *spec = s->spec;
    unsigned devices = (unsigned)(spec->n_disks + spec->n_nics);
    struct hv_cpu cpu = hv_spec_cpu(spec);
    struct cgroup_limits l = {
        .cpu_shares = cpu.shares,
        .cpu_limit_millicpu = cpu.limit_millicpu,
        .cpu_reserve_millicpu = cpu.reserve_millicpu,
        .node_millicpu = s->d->cpus * 1000,
        .memory_max_bytes =
            cgroup_memory_max(spec->memory_bytes, spec->vcpus, devices),
        .pids_max = PIDS_MAX_BASE + 2 * spec->vcpus + 8 * devices,
    };
    int r;

    if (cpu.reserve_millicpu > l.node_millicpu)
        return err_field(e, "/limits/cpu_reservation_percent", "range",
                         "is more than the node's %u processors", s->d->cpus);
    if (cpu.asked && !cgroup_has(s->d->cgroups, CGROUP_CPU)) {
        COUNT(vd_no_cpu_controller);
        log_limited(LOG_LEVEL_WARN,
                    "the node has no cgroup controller for processors; the "
                    "VM runs without the limits of its own",
                    "inst=%s", spec->id);
    }
    r = cgroup_new(s->d->cgroups, s->vm->id, &s->cgroup, e);
    if (r == 0)
        r = cgroup_set(s->cgroup, &l, e);
    if (r == 0)
        s->n_procs = cgroup_procs_fds(s->cgroup, s->procs);
    return r;
}

static int
make_jail(struct start *s, struct err *e)
{
    int fd, number;
    int r = jail_dir_prepare(s->d->jails_fd, s->vm->id, s->uid, s->uid,
                             &s->jail, e);

    if (r < 0)
        return r;
    fd = TAKE_FD(s->jail.root_fd);
    r = give(s, fd, &number);
    if (r < 0)
        return err_errno(e, r, "cannot pass the jail");
    buf_addf(&s->json,
             ",\"jail\":{\"root_fd\":%d,\"uid\":%" PRIu32 ",\"gid\":%" PRIu32
             ",\"hostname\":\"vm\"}",
             number, s->uid, s->uid);
    return 0;
}

static int
give_kvm(struct start *s, struct err *e)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return err_errno(e, -errno, "cannot open /dev/kvm");
    return give_as(s, fd, "kvm_fd", e);
}

/* A network of the VM's own, in a process that ends with the VM: at the end
 * of the socket, or with the cgroup at the latest. */
static int
start_usernet(struct start *s, const struct hv_nic *nic, int fd, struct err *e)
{
    char uid[16];
    /* Not the VM's own user, whose rights are the guest's if it breaks out;
     * what listens on the node's loopback is none of the guest's. */
    const char *argv[] = {"virga-usernet",
                          "--fd",
                          "3",
                          "--uid",
                          uid,
                          "--gid",
                          uid,
                          "--no-loopback",
                          nic->isolated ? "--isolated" : NULL,
                          NULL};
    int high _cleanup_(closep) = fcntl(fd, F_DUPFD_CLOEXEC, 3 + MAX_FDS);
    struct vd_spawn sp = {.path = s->d->usernet,
                          .argv = argv,
                          .fds = &high,
                          .n_fds = 1,
                          .log_fd = s->log_fd,
                          .procs_fds = s->procs,
                          .n_procs = s->n_procs,
                          .pid_ns = true};
    int pidfd;
    pid_t pid;

    if (high < 0)
        return err_errno(e, -errno, "cannot start %s", s->d->usernet);
    snprintf(uid, sizeof(uid), "%" PRIu32, s->uid + VD_UID_SLOTS);
    int r = vd_spawn(&sp, &pid, &pidfd, e);
    if (r == 0)
        r = vd_helper_add(s->d, pidfd);
    return r;
}

static int
give_nics(struct start *s, struct err *e)
{
    const struct hv_spec *spec = s->spec;

    if (spec->n_nics && !s->d->usernet)
        return err_field(e, "/nics", "unsupported",
                         "need the program virga-usernet, which is not "
                         "installed");
    buf_adds(&s->json, ",\"nics\":[");
    for (size_t i = 0; i < spec->n_nics; i++) {
        int pair[2], number;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
            return err_errno(e, -errno, "cannot make a network");
        int r = start_usernet(s, &spec->nics[i], pair[1], e);
        close(pair[1]);
        if (r < 0) {
            close(pair[0]);
            return r;
        }
        r = give(s, pair[0], &number);
        if (r < 0)
            return err_errno(e, r, "cannot pass a network");
        buf_addf(&s->json,
                 "%s{\"name\":\"net%zu\",\"kind\":\"packets\",\"fds\":[%d],"
                 "\"mac\":\"%s\",\"rx_limits\":{\"bytes_per_s\":%" PRIu64
                 "},\"tx_limits\":{\"bytes_per_s\":%" PRIu64 "}}",
                 i ? "," : "", i, number, spec->nics[i].mac,
                 spec->limits.net_bytes_per_second,
                 spec->limits.net_bytes_per_second);
    }
    buf_addc(&s->json, ']');
    return 0;
}

/* ---- the process ---- */

/* The VMM's last words. */
static void
add_words(struct start *s, struct err *e)
{
    char words[300];
    ssize_t n;
    off_t size = lseek(s->log_fd, 0, SEEK_END);
    off_t from = MAX(size - (off_t)sizeof(words) + 1, (off_t)0);
    char *line;

    if (size <= 0)
        return;
    n = pread(s->log_fd, words, sizeof(words) - 1, from);
    while (n > 0 && words[n - 1] == '\n')
        n--;
    if (n <= 0)
        return;
    words[n] = '\0';
    line = strrchr(words, '\n');
    line = line ? line + 1 : words;
    for (char *p = line; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    err_set(e, -EIO, "vmm_failed", "the VMM gave up: %s", line);
}

static int
write_record(struct start *s, struct err *e)
{
    struct vd_record *rec = &s->vm->rec;
    char *path _cleanup_(freep) = vd_path(s->d, s->vm->id, VD_RECORD);
    int r = vd_start_ticks((pid_t)rec->pid, &rec->start_ticks);

    if (r == 0)
        r = vd_exe_of((pid_t)rec->pid, &rec->exe_dev, &rec->exe_ino);
    if (r < 0) {
        /* It is ours and not reaped: it can only have ended. */
        err_set(e, -EIO, "vmm_failed", "the VMM ended at once");
        add_words(s, e);
        return -EIO;
    }
    return vd_record_write(path, rec, e);
}

static int
feed(struct start *s)
{
    size_t done = 0;

    while (done < s->json.len) {
        ssize_t n = send(s->feed_fd, s->json.data + done, s->json.len - done,
                         MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        done += (size_t)n;
    }
    closep(&s->feed_fd);
    return 0;
}

static int
spawn_vmm(struct start *s, struct err *e)
{
    char number[16];
    const char *argv[] = {"virga-vmm", "serve", number, NULL};
    struct vd_spawn sp = {.path = s->d->binary,
                          .argv = argv,
                          .log_fd = s->log_fd,
                          .procs_fds = s->procs,
                          .n_procs = s->n_procs,
                          .pid_ns = true};
    int pair[2], fd, r;
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(e, -errno, "cannot start the VMM");
    s->feed_fd = pair[0];
    r = give(s, pair[1], &fd);
    if (r < 0)
        return err_errno(e, r, "cannot start the VMM");
    snprintf(number, sizeof(number), "%d", fd);
    sp.fds = s->fds;
    sp.n_fds = s->n_fds;
    s->vm->rec.started_us = clock_now_us();
    r = vd_spawn(&sp, &pid, &s->vm->pidfd, e);
    if (r < 0)
        return r;
    s->vm->rec.pid = pid;
    /* What the VMM holds must end with it: nothing of it stays open here. */
    for (size_t i = 0; i < s->n_fds; i++)
        close(s->fds[i]);
    s->n_fds = 0;
    return 0;
}

/* It died before it answered. 0: its guest ran and is done already, so it
 * was started; else why it gave up. */
static int
what_it_left(struct start *s, struct err *e)
{
    char *path _cleanup_(freep) = vd_path(s->d, s->vm->id, VD_END);
    struct vd_end end;
    int r = vd_end_read(path, &end, NULL);

    if (r == 0 && !end.failed) {
        if (e)
            err_release(e);
        return 0;
    }
    if (r == 0 && *end.words)
        return err_set(e, -EIO, "vmm_failed", "the VMM gave up: %s", end.words);
    err_set(e, -EIO, "vmm_failed", "the VMM ended at once");
    add_words(s, e);
    return -EIO;
}

static int
wait_answer(struct start *s, struct err *e)
{
    struct vd_call c = {.id = s->vm->id,
                        .request = "describe",
                        .timeout_ms = VD_START_MS,
                        .pidfd = s->vm->pidfd};
    struct vd_describe desc = {0};
    int r = vd_ctl_describe(s->d, &c, &desc, e);

    if (r == 0) {
        if (!streq(desc.id, s->vm->id) || desc.run != s->vm->rec.run)
            r = err_set(e, -EPROTO, "bad_reply",
                        "the VMM describes another VM");
        vd_describe_release(&desc);
        return r;
    }
    /* It closes its socket just before it ends. */
    if (r == -ETIMEDOUT || r == -EPROTO || r == -EIO ||
        !vd_pidfd_wait(s->vm->pidfd, VD_CTL_MS))
        return r;
    return what_it_left(s, e);
}

static int
begin(struct start *s, struct err *e)
{
    const struct hv_spec *spec = s->spec;
    int r;

    if (!s->d->binary)
        return err_set(e, -ENOENT, "no_vmm",
                       "the program virga-vmm is not installed");
    buf_addf(&s->json, "{\"version\":1,\"id\":\"%s\",\"name\":", spec->id);
    codec_encode_string(spec->name, &s->json);
    buf_addf(&s->json,
             ",\"run\":%" PRIu64 ",\"cpus\":%u,\"memory\":{\"bytes\":%" PRIu64
             "}",
             spec->run, spec->vcpus, spec->memory_bytes);
    /* Files of the spec first: what is wrong with it is found before
     * anything is made. */
    r = give_boot(s, e);
    if (r == 0)
        r = give_disks(s, e);
    if (r == 0)
        r = give_kvm(s, e);
    if (r == 0)
        r = make_folder(s, e);
    if (r == 0)
        r = give_console_log(s, e);
    if (r == 0)
        r = make_cgroup(s, e);
    if (r == 0)
        r = make_jail(s, e);
    if (r == 0)
        r = give_nics(s, e);
    if (r < 0)
        return r;
    buf_adds(&s->json, "}\n");
    r = spawn_vmm(s, e);
    if (r == 0)
        r = write_record(s, e);
    if (r < 0)
        return r;
    if (feed(s) < 0)
        COUNT(vd_feed_failed); /* it died: wait_answer() finds out */
    return wait_answer(s, e);
}

/* Nothing of a start that failed stays. */
static void
undo(struct start *s)
{
    struct vd_vm *vm = s->vm;
    struct err e _cleanup_(err_release) = {0};
    int r = 0;

    if (vm->pidfd >= 0) {
        r = vd_pidfd_kill(vm->pidfd, KILL_MS);
        closep(&vm->pidfd);
    }
    cgroup_free(TAKE_PTR(s->cgroup));
    if (r == 0)
        r = vd_remove_shell(s->d, vm->id, &e);
    if (r == 0)
        r = vd_remove_files(s->d, vm->id, &e);
    if (r < 0) {
        COUNT(vd_undo_failed);
        log_error("cannot clean up behind a start that failed; the next start "
                  "of the agent tries again",
                  "inst=%s error=\"%s\"", vm->id,
                  *e.message ? e.message : strerrordesc_np(-r));
    }
    if (s->new_console) {
        char *path _cleanup_(freep) =
            xasprintf("%s/" HV_CONSOLE_LOG, s->spec->dir);

        if (unlink(path) < 0 && errno != ENOENT)
            COUNT(vd_undo_failed);
    }
}

/* The place of a VM in the table: hidden until it runs. */
static int
take_place(struct vd *d, const struct hv_spec *spec, struct vd_vm **ret,
           struct vd_vm **ret_old, struct err *e)
{
    struct vd_vm *vm = vd_vm_new(spec->id), *old;
    int64_t slot = -1;
    int r = 0;

    vm->starting = true;
    vm->rec.name = xstrdup(spec->name);
    vm->rec.dir = xstrdup(spec->dir);
    vm->rec.boot_id = xstrdup(d->boot_id);
    vm->rec.run = (int64_t)spec->run;
    pthread_mutex_lock(&d->lock);
    old = vd_find_locked(d, spec->id);
    if (old && (old->starting || old->state != HV_STOPPED))
        r = err_set(e, -EEXIST, "exists", "VM %s runs already", spec->id);
    if (r == 0)
        slot = vd_slot_take(d);
    if (r == 0 && slot < 0)
        r = err_set(e, -ENOSPC, "no_uid", "the node has no user id left");
    if (r == 0) {
        if (old)
            HASH_DEL(d->table, old);
        HASH_ADD_STR(d->table, id, vm);
        vm->rec.slot = slot;
    }
    pthread_mutex_unlock(&d->lock);
    if (r < 0) {
        vd_vm_free(vm);
        return r;
    }
    *ret = vm;
    *ret_old = old;
    return 0;
}

static void
give_up_place(struct vd *d, struct vd_vm *vm)
{
    pthread_mutex_lock(&d->lock);
    HASH_DEL(d->table, vm);
    vd_slot_put(d, vm->rec.slot);
    pthread_mutex_unlock(&d->lock);
    vd_vm_free(vm);
}

/* What the last run of this id left. Its processes are ended only if they are
 * known to be ours, by a record or by the folder, the first that a start makes
 * and the last that an end removes; without, they are another agent's, or of a
 * state folder that was lost. */
static int
make_room(struct vd *d, const char *id, bool known, struct err *e)
{
    int r = 0;

    if (!known && faccessat(d->vms_fd, id, F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno != ENOENT)
            return err_errno(e, -errno, "cannot look for %s/%s", d->vms, id);
        if (d->cgroups)
            r = cgroup_remove(d->cgroups, id, NULL);
        if (r == -EBUSY)
            return err_set(e, r, "not_ours",
                           "processes run in the control group of VM %s that "
                           "are not known to be ours",
                           id);
    }
    r = vd_remove_shell(d, id, e);
    return r < 0 ? r : vd_remove_files(d, id, e);
}

int
vd_start(void *p, const struct hv_spec *spec, struct err *e)
{
    struct vd *d = p;
    struct start s _cleanup_(start_release) = {
        .d = d,
        .spec = spec,
        .log_fd = -1,
        .feed_fd = -1,
        .dir_fd = -1,
        .jail = {.root_fd = -1, .vsock_fd = -1}};
    struct vd_vm *old = NULL;
    int r = take_place(d, spec, &s.vm, &old, e);

    if (r < 0)
        return r;
    s.uid = d->uid_base + (uint32_t)s.vm->rec.slot;
    /* What was known of the last run is gone from here on. */
    r = make_room(d, spec->id, old != NULL, e);
    if (old)
        vd_vm_free(old);
    if (r < 0) {
        give_up_place(d, s.vm);
        return r;
    }
    r = begin(&s, e);
    if (r == 0) {
        /* In one step: its end may be settled at once. */
        pthread_mutex_lock(&d->lock);
        r = vd_watch_add(d, s.vm);
        s.vm->starting = r < 0;
        s.vm->state = HV_RUNNING;
        pthread_mutex_unlock(&d->lock);
        if (r < 0)
            err_errno(e, r, "cannot watch VM %s", spec->id);
    }
    if (r < 0) {
        undo(&s);
        give_up_place(d, s.vm);
        return r;
    }
    if (d->on_event)
        d->on_event(spec->id, d->arg);
    return 0;
}
