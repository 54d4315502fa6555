/* test-hv-vmm.c - the driver over the embedded VMM, with real virga-vmm
 * processes and the bare-metal guest tests/vmm/talk.S (which see) on
 * /dev/kvm, also where that only interprets.
 *
 * Over 800 lines: as in test-hv-libvirt.c, the holder and the cases are one
 * story. The process that starts VMs and is then killed ("holder") is this
 * program again, exec'd; it uses the same state folder. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm-driver/vd-private.h"

/* Generous: the machine may be loaded, and conditions are polled for. */
#define WAIT_US (60 * US_PER_S)
#define READY "talk ready\n"
#define N_IDS 8
#define UID_BASE 1879048192u

static char dir[40], slice[40];
static struct hv *hv;
static _Atomic int n_events;
static _Atomic int64_t event_us; /* when the last one came, monotonic */

static char ids[N_IDS][ID_SIZE];

static void
on_event(const char *id, void *arg)
{
    atomic_store(&event_us, clock_mono_us());
    atomic_fetch_add(&n_events, 1);
}

static struct hv_config
config(void)
{
    return (struct hv_config){.driver = "vmm",
                              .state_dir = dir,
                              .vmm_binary = VMM_BINARY,
                              .vmm_cgroup = slice,
                              .on_event = on_event};
}

static void
must(int r, const struct err *e)
{
    if (r < 0)
        fail_msg("%s (%s)", e->message, e->code);
}

static void
close_driver(void)
{
    hv_close(hv);
    hv = NULL;
}

static void
reopen(void)
{
    struct err e _cleanup_(err_release) = {0};
    struct hv_config cfg = config();

    close_driver();
    must(hv_open(&cfg, &hv, &e), &e);
}

static char *
vm_dir(unsigned n)
{
    return xasprintf("%s/i/%u", dir, n);
}

static char *
state_file(unsigned n, const char *name)
{
    return xasprintf("%s/vmm/vms/%s/%s", dir, ids[n], name);
}

/* A VM with the guest and one disk of its own. */
static int
start_vm(struct hv *h, unsigned n, uint64_t run, struct err *e)
{
    char *d _cleanup_(freep) = vm_dir(n);
    char *disk_path _cleanup_(freep) = xasprintf("%s/disk.img", d);
    const struct hv_disk disk = {.path = disk_path, .format = "raw"};
    const struct hv_spec spec = {.id = ids[n],
                                 .name = "test <guest> & co",
                                 .run = run,
                                 .vcpus = 1,
                                 .memory_bytes = 16 << 20,
                                 .kernel = GUEST_DIR "/talk.elf",
                                 .cmdline = "a=\"1\" b",
                                 .disks = &disk,
                                 .n_disks = 1,
                                 .dir = d};

    return hv_start(h, &spec, e);
}

static void
start(unsigned n, uint64_t run)
{
    struct err e _cleanup_(err_release) = {0};

    must(start_vm(hv, n, run, &e), &e);
}

static struct hv_vm
info(unsigned n)
{
    struct err e _cleanup_(err_release) = {0};
    struct hv_vm vm;

    must(hv_info(hv, ids[n], &vm, &e), &e);
    return vm;
}

static void
assert_end(unsigned n, enum hv_end end)
{
    int64_t limit = clock_mono_us() + WAIT_US;

    while (info(n).state != HV_STOPPED) {
        assert_true(clock_mono_us() < limit);
        poll(NULL, 0, 10);
    }
    assert_string_equal(hv_end_name(info(n).end), hv_end_name(end));
}

/* Waits until the log holds `text` from *at on, and moves *at behind it. */
static void
wait_log(unsigned n, int64_t *at, const char *text)
{
    char *d _cleanup_(freep) = vm_dir(n);
    int64_t limit = clock_mono_us() + WAIT_US;

    for (;;) {
        struct buf b _cleanup_(buf_release) = {0};
        int64_t from = *at, end;
        const char *p;

        assert_int_equal(hv_console_log(hv, d, &from, 1 << 20, &b, &end, NULL),
                         0);
        p = memmem(buf_str(&b), b.len, text, strlen(text));
        if (p) {
            *at = from + (p - b.data) + (int64_t)strlen(text);
            return;
        }
        assert_true(clock_mono_us() < limit);
        poll(NULL, 0, 10);
    }
}

static int64_t
log_end(unsigned n)
{
    char *d _cleanup_(freep) = vm_dir(n);
    struct buf b _cleanup_(buf_release) = {0};
    int64_t at = -1, end;

    assert_int_equal(hv_console_log(hv, d, &at, 1, &b, &end, NULL), 0);
    return end;
}

static void
start_ready(unsigned n, uint64_t run)
{
    int64_t at = log_end(n);

    start(n, run);
    wait_log(n, &at, READY);
}

/* The last console that was typed at and left open. */
static int typed_fd = -1;

/* Types and reads back what the guest sends, until `expect` came. With NULL
 * the console stays open: whatever was typed has time to get there. */
static void
type(unsigned n, const char *text, const char *expect)
{
    struct err e _cleanup_(err_release) = {0};
    char got[256] = "";
    size_t len = 0;
    int fd _cleanup_(closep) = -1;

    must(hv_console_open(hv, ids[n], &fd, &e), &e);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    while (expect && !strstr(got, expect)) {
        struct pollfd p = {fd, POLLIN, 0};
        ssize_t r;

        assert_int_equal(poll(&p, 1, (int)(WAIT_US / 1000)), 1);
        r = read(fd, got + len, sizeof(got) - 1 - len);
        assert_true(r > 0);
        len += (size_t)r;
        got[len] = '\0';
    }
    closep(&typed_fd);
    if (!expect)
        typed_fd = TAKE_FD(fd);
}

static struct vd_record
record_of(unsigned n)
{
    char *path _cleanup_(freep) = state_file(n, VD_RECORD);
    struct err e _cleanup_(err_release) = {0};
    struct vd_record rec;

    must(vd_record_read(path, ids[n], &rec, &e), &e);
    return rec;
}

/* Never a wrong number to kill(): the record is our own, the VM runs. */
static void
write_record(unsigned n, const struct vd_record *rec)
{
    char *path _cleanup_(freep) = state_file(n, VD_RECORD);
    struct err e _cleanup_(err_release) = {0};

    must(vd_record_write(path, rec, &e), &e);
}

static int
vmm_pid(unsigned n)
{
    struct vd_record rec = record_of(n);
    int pid = (int)rec.pid;

    vd_record_release(&rec);
    assert_true(pid > 1);
    return pid;
}

static void
signal_vmm(unsigned n, int signo)
{
    assert_int_equal(kill(vmm_pid(n), signo), 0);
}

static void
force_and_forget(unsigned n)
{
    struct err e _cleanup_(err_release) = {0};

    must(hv_stop(hv, ids[n], true, &e), &e);
    must(hv_forget(hv, ids[n], &e), &e);
}

/* ---- what is left ---- */

/* Whether it is the first of a process-id namespace. */
static bool
is_first(const char *pid)
{
    char *path _cleanup_(freep) = xasprintf("/proc/%s/status", pid);
    struct buf b _cleanup_(buf_release) = {0};
    unsigned long outside, inside;
    const char *p;

    if (fs_read(path, 1 << 16, &b, NULL) < 0)
        return false;
    p = strstr(buf_str(&b), "\nNSpid:");
    return p && sscanf(p, "\nNSpid: %lu %lu", &outside, &inside) == 2 &&
           inside == 1;
}

#define FIRST "first of its namespace"

/* Processes in our slice, alive or not reaped; with an option, those that
 * have it on their command line. */
static size_t
processes_with(const char *option)
{
    DIR *proc _cleanup_(closedirp) = opendir("/proc");
    struct dirent *de;
    size_t n = 0;

    assert_non_null(proc);
    while ((de = readdir(proc))) {
        char *path _cleanup_(freep) = xasprintf("/proc/%s/cgroup", de->d_name);
        struct buf b _cleanup_(buf_release) = {0};

        char *args _cleanup_(freep) = xasprintf("/proc/%s/cmdline", de->d_name);

        if (de->d_name[0] < '1' || de->d_name[0] > '9' ||
            fs_read(path, 1 << 16, &b, NULL) < 0 || !strstr(buf_str(&b), slice))
            continue;
        if (option && streq(option, FIRST)) {
            n += is_first(de->d_name);
            continue;
        }
        if (!option || (fs_read(args, 1 << 16, &b, NULL) == 0 &&
                        memmem(b.data, b.len, option, strlen(option) + 1)))
            n++;
    }
    return n;
}

static size_t
processes_left(void)
{
    return processes_with(NULL);
}

static void
wait_no_processes(void)
{
    int64_t limit = clock_mono_us() + WAIT_US;

    while (processes_left()) {
        assert_true(clock_mono_us() < limit);
        poll(NULL, 0, 10);
    }
}

static char *leftover;

static int
find_leftover(const char *path, const struct stat *st, int type_flag,
              struct FTW *ftw)
{
    const char *base = strrchr(path, '/');

    for (unsigned i = 0; i < N_IDS && !leftover; i++)
        if (strstr(base, ids[i]))
            leftover = xstrdup(path);
    return 0;
}

static void
each_slice(void (*fn)(const char *path))
{
    static const char *const patterns[] = {"/sys/fs/cgroup/%s",
                                           "/sys/fs/cgroup/*/%s"};

    for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
        struct buf b _cleanup_(buf_release) = {0};
        const char *star = strchr(patterns[i], '%');
        glob_t g;

        buf_add(&b, patterns[i], (size_t)(star - patterns[i]));
        buf_adds(&b, slice);
        if (glob(buf_str(&b), 0, NULL, &g) == 0) {
            for (size_t k = 0; k < g.gl_pathc; k++)
                fn(g.gl_pathv[k]);
            globfree(&g);
        }
    }
}

static void
look_in_slice(const char *path)
{
    assert_int_equal(nftw(path, find_leftover, 16, FTW_PHYS), 0);
}

static void
drop_slice(const char *path)
{
    if (rmdir(path) < 0)
        print_message("%s: %s\n", path, strerrordesc_np(errno));
}

/* No folder, cgroup, socket or process of any VM is there. */
static void
assert_nothing_left(void)
{
    char *vmm _cleanup_(freep) = xasprintf("%s/vmm", dir);

    wait_no_processes();
    look_in_slice(vmm);
    each_slice(look_in_slice);
    if (leftover)
        fail_msg("%s is left", leftover);
}

static size_t
open_fds(void)
{
    DIR *d _cleanup_(closedirp) = opendir("/proc/self/fd");
    size_t n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    return n;
}

/* ---- cases ---- */

static void
start__guest_runs_and_answers(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    struct hv_stats st;
    struct hv_host host;
    int64_t before = clock_now_us();
    struct hv_vm vm;

    reopen();
    assert_string_equal(hv_driver_name(hv), "vmm");
    assert_false(hv_caps(hv) & (HV_CAP_DISK_BOOT | HV_CAP_QCOW2));
    assert_true(hv_caps(hv) & HV_CAP_KERNEL_BOOT);
    atomic_store(&n_events, 0);
    start_ready(0, 7);
    assert_true(atomic_load(&n_events) > 0);
    vm = info(0);
    assert_int_equal(vm.run, 7);
    assert_int_equal(vm.state, HV_RUNNING);
    assert_true(vm.ours);
    assert_true(vm.started_us >= before && vm.started_us <= clock_now_us());
    type(0, "hello", "hello");
    assert_int_equal(start_vm(hv, 0, 8, &e), -EEXIST);
    assert_int_equal(info(0).run, 7);
    err_release(&e);
    must(hv_stats(hv, ids[0], &st, &e), &e);
    assert_true(st.cpu_ns > 0);
    assert_true(st.memory_bytes > 1 << 20);
    must(hv_host(hv, &host, &e), &e);
    assert_true(host.cpus > 0 && host.memory_free_bytes > 0 &&
                host.memory_bytes >= host.memory_free_bytes);
    assert_string_equal(host.accel, "kvm");
    assert_int_equal(hv_forget(hv, ids[0], NULL), -EBUSY);
    force_and_forget(0);
    assert_nothing_left();
}

static void
start__vmm_runs_jailed_in_its_cgroup(void **state)
{
    struct vd_record rec;
    char path[64];
    struct buf b _cleanup_(buf_release) = {0};
    unsigned uid;
    const char *p;

    reopen();
    start_ready(0, 1);
    rec = record_of(0);
    snprintf(path, sizeof(path), "/proc/%d/status", vmm_pid(0));
    assert_int_equal(fs_read(path, 1 << 16, &b, NULL), 0);
    p = strstr(buf_str(&b), "\nUid:");
    assert_non_null(p);
    assert_int_equal(sscanf(p, "\nUid: %u", &uid), 1);
    assert_int_equal(uid, UID_BASE + (unsigned)rec.slot);
    /* Number 1 in a pid namespace of its own. */
    p = strstr(buf_str(&b), "\nNSpid:");
    assert_non_null(p);
    assert_int_equal(
        strtol(strrchr(strndupa(p + 1, strcspn(p + 1, "\n")), '\t'), NULL, 10),
        1);
    assert_int_equal(processes_left(), 1);
    vd_record_release(&rec);
    snprintf(path, sizeof(path), "/proc/%d/environ", vmm_pid(0));
    assert_int_equal(fs_read(path, 1 << 16, &b, NULL), 0);
    assert_int_equal(b.len, 0);
    force_and_forget(0);
}

static void
pause__guest_stands_still_until_resumed(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    int64_t at;
    int fd _cleanup_(closep) = -1;
    struct pollfd p = {.events = POLLIN};

    reopen();
    at = log_end(0);
    start_ready(0, 1);
    must(hv_pause(hv, ids[0], &e), &e);
    must(hv_pause(hv, ids[0], &e), &e);
    assert_int_equal(info(0).state, HV_PAUSED);
    must(hv_console_open(hv, ids[0], &fd, &e), &e);
    assert_int_equal(write(fd, "x", 1), 1);
    p.fd = fd;
    assert_int_equal(poll(&p, 1, 300), 0);
    reopen(); /* a paused one is adopted as such */
    assert_int_equal(info(0).state, HV_PAUSED);
    must(hv_resume(hv, ids[0], &e), &e);
    assert_int_equal(info(0).state, HV_RUNNING);
    wait_log(0, &at, READY "x");
    force_and_forget(0);
}

static void
reboot__stays_the_same_run(void **state)
{
    struct hv_vm before;
    int64_t at;

    reopen();
    start_ready(0, 3);
    before = info(0);
    at = log_end(0);
    type(0, "R", NULL);
    wait_log(0, &at, READY);
    assert_int_equal(info(0).state, HV_RUNNING);
    assert_int_equal(info(0).run, 3);
    assert_true(info(0).started_us == before.started_us);
    force_and_forget(0);
}

static void
end__each_way_is_told_apart(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    struct hv_vm vm;

    reopen();
    start_ready(0, 1);
    must(hv_stop(hv, ids[0], false, &e), &e); /* the button */
    assert_end(0, HV_END_GUEST);
    vm = info(0);
    assert_true(vm.ended_us >= vm.started_us && vm.ended_us <= clock_now_us());
    assert_int_equal(hv_stop(hv, ids[0], false, NULL), 0);
    assert_int_equal(hv_stop(hv, ids[0], true, NULL), 0);
    assert_true(info(0).ended_us == vm.ended_us);
    assert_int_equal(hv_pause(hv, ids[0], &e), -ENOENT);
    assert_string_equal(e.code, "not_running");
    err_release(&e);
    reopen();
    assert_end(0, HV_END_GUEST);
    assert_true(info(0).ended_us == vm.ended_us);
    start_ready(0, 2); /* over the one that ended */
    type(0, "Q", NULL);
    assert_end(0, HV_END_GUEST);
    assert_int_equal(info(0).run, 2);
    start_ready(0, 3);
    type(0, "P", NULL);
    assert_end(0, HV_END_CRASHED);
    start_ready(0, 4);
    type(0, "T", NULL);
    assert_end(0, HV_END_CRASHED);
    start_ready(0, 5);
    must(hv_stop(hv, ids[0], true, &e), &e);
    assert_int_equal(info(0).state, HV_STOPPED); /* when ended, by contract */
    assert_end(0, HV_END_KILLED);
    reopen();
    assert_end(0, HV_END_KILLED);
    must(hv_forget(hv, ids[0], &e), &e);
    assert_nothing_left();
}

static void
end__killed_vmm_is_reported_within_a_second(void **state)
{
    int64_t killed_us;
    int seen;

    reopen();
    start_ready(0, 1);
    seen = atomic_load(&n_events);
    killed_us = clock_mono_us();
    signal_vmm(0, SIGKILL);
    while (atomic_load(&n_events) == seen) {
        assert_true(clock_mono_us() - killed_us < US_PER_S);
        poll(NULL, 0, 1);
    }
    assert_true(atomic_load(&event_us) - killed_us < US_PER_S);
    assert_int_equal(info(0).state, HV_STOPPED);
    assert_int_equal(info(0).end, HV_END_CRASHED);
    assert_true(info(0).ended_us > 0);
    assert_int_equal(hv_forget(hv, ids[0], NULL), 0);
    assert_nothing_left();
}

/* As by one that has been taken over by its guest. */
static void
bounds__files_of_a_running_vmm_are_cut(void **state)
{
    char *paths[] = {state_file(0, VD_LOG), state_file(0, VD_END)};

    reopen();
    start(0, 1);
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        int fd = open(paths[i], O_WRONLY | O_CLOEXEC), ms = 0;
        struct stat st = {.st_size = 1};

        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, "x", 1, 8 << 20), 1);
        close(fd);
        for (; st.st_size && ms < 10000; ms += 20) {
            poll(NULL, 0, 20);
            assert_int_equal(stat(paths[i], &st), 0);
        }
        assert_int_equal(st.st_size, 0);
        free(paths[i]);
    }
    assert_int_equal(info(0).state, HV_RUNNING);
    force_and_forget(0);
    assert_nothing_left();
}

/* The end and the note that it is wanted are written by two threads. */
static void
end__record_stays_whole_when_stopped_amid_its_end(void **state)
{
    struct err e _cleanup_(err_release) = {0};

    reopen();
    for (unsigned run = 1; run <= 60; run++) {
        start(0, run);
        signal_vmm(0, SIGKILL);
        /* Sooner and later in the course of its end. */
        poll(NULL, 0, (int)run % 20);
        must(hv_stop(hv, ids[0], true, &e), &e);
        struct vd_record rec = record_of(0);
        assert_int_not_equal(rec.end, HV_END_NONE);
        assert_int_equal(rec.end, info(0).end);
        vd_record_release(&rec);
    }
    must(hv_forget(hv, ids[0], &e), &e);
    assert_nothing_left();
}

/* As one would write it that has been taken over by its guest. */
static void
end__time_is_the_vmms_word_only_if_it_can_be(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    char *path _cleanup_(freep) = state_file(0, VD_END);
    int64_t now = clock_now_us(), hour = 3600 * US_PER_S;
    struct vd_record rec;
    char line[80];
    int n;

    reopen();
    start_ready(0, 1);
    close_driver();
    rec = record_of(0);
    rec.started_us = now - hour;
    write_record(0, &rec);
    vd_record_release(&rec);
    n = snprintf(line, sizeof(line), "{\"end\":\"power-off\",\"at_us\":%lld}\n",
                 (long long)(now - hour / 2));
    must(fs_write_atomic(path, line, (size_t)n, 0600, &e), &e);
    reopen();
    signal_vmm(0, SIGKILL);
    assert_end(0, HV_END_GUEST);
    assert_true(info(0).ended_us >= now);
    must(hv_forget(hv, ids[0], &e), &e);
    assert_nothing_left();

    /* While nobody looked, too: then by when it was written. */
    start_ready(0, 2);
    close_driver();
    rec = record_of(0);
    rec.started_us = now - hour;
    write_record(0, &rec);
    signal_vmm(0, SIGKILL);
    waitpid((pid_t)rec.pid, NULL, 0);
    vd_record_release(&rec);
    must(fs_write_atomic(path, line, (size_t)n, 0600, &e), &e);
    reopen();
    assert_int_equal(info(0).end, HV_END_GUEST);
    assert_in_range(info(0).ended_us, now, clock_now_us());
    must(hv_forget(hv, ids[0], &e), &e);
    assert_nothing_left();
}

static void
network__lives_and_ends_with_its_vm(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    struct hv_config cfg = config();
    char *d _cleanup_(freep) = vm_dir(0);
    const struct hv_nic nics[] = {
        {.mac = "52:54:00:00:00:01", .isolated = true},
        {.mac = "52:54:00:00:00:02"}};
    const struct hv_spec spec = {.id = ids[0],
                                 .name = "net",
                                 .run = 1,
                                 .vcpus = 1,
                                 .memory_bytes = 16 << 20,
                                 .kernel = GUEST_DIR "/talk.elf",
                                 .nics = nics,
                                 .n_nics = 2,
                                 .dir = d};

    if (access(USERNET_BINARY, X_OK) < 0) {
        print_message("no %s\n", USERNET_BINARY);
        skip();
    }
    cfg.usernet_binary = USERNET_BINARY;
    close_driver();
    must(hv_open(&cfg, &hv, &e), &e);
    must(hv_start(hv, &spec, &e), &e);
    assert_int_equal(processes_left(), 3);
    /* No guest gets at what listens on the node. */
    assert_int_equal(processes_with("--no-loopback"), 2);
    assert_int_equal(processes_with("--isolated"), 1);
    /* None of them sees another process of the node. */
    assert_int_equal(processes_with(FIRST), 3);
    close_driver();
    assert_int_equal(processes_left(), 3);
    must(hv_open(&cfg, &hv, &e), &e);
    must(hv_stop(hv, ids[0], true, &e), &e);
    must(hv_forget(hv, ids[0], &e), &e);
    /* Helpers that are our children, but of a driver that was closed, wait
     * for us. */
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
    assert_nothing_left();
    must(hv_start(hv, &spec, &e), &e);
    force_and_forget(0);
    assert_nothing_left();
}

/* ---- starts that fail ---- */

static void
expect_start(const struct hv_spec *spec, int r, const char *pointer)
{
    struct err e _cleanup_(err_release) = {0};
    struct hv_vm vm;

    assert_int_equal(hv_start(hv, spec, &e), r);
    if (pointer) {
        assert_true(e.n_details > 0);
        assert_string_equal(e.details[0].pointer, pointer);
    }
    assert_int_equal(hv_info(hv, spec->id, &vm, NULL), -ENOENT);
    assert_nothing_left();
}

static void
start__failure_leaves_nothing(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    char *d _cleanup_(freep) = vm_dir(0);
    char *log _cleanup_(freep) = xasprintf("%s/console.log", d);
    char *bad _cleanup_(freep) = xasprintf("%s/bad.elf", d);
    char *link _cleanup_(freep) = xasprintf("%s/link", d);
    struct hv_disk disk = {.path = "/nonexistent/disk", .format = "raw"};
    struct hv_nic nic = {.mac = "52:54:00:00:00:01"};
    struct hv_spec spec = {.id = ids[0],
                           .name = "bad",
                           .run = 1,
                           .vcpus = 1,
                           .memory_bytes = 16 << 20,
                           .kernel = GUEST_DIR "/talk.elf",
                           .disks = &disk,
                           .n_disks = 1,
                           .dir = d};
    size_t fds;

    reopen();
    unlink(log);
    fds = open_fds();
    expect_start(&spec, -EINVAL, "/disks/0/path");
    assert_int_equal(symlink("disk.img", link), 0);
    disk.path = link; /* not followed */
    expect_start(&spec, -EINVAL, "/disks/0/path");
    disk.path = d; /* a folder */
    expect_start(&spec, -EINVAL, "/disks/0/path");
    disk.format = "qcow2";
    expect_start(&spec, -EINVAL, "/disks/0/format");
    spec.n_disks = 0;
    spec.nics = &nic;
    spec.n_nics = 1;
    if (access(USERNET_BINARY, X_OK) < 0)
        expect_start(&spec, -EINVAL, "/nics");
    spec.n_nics = 0;
    spec.kernel = NULL; /* no firmware here */
    expect_start(&spec, -EINVAL, "/kernel");
    /* What only the VMM finds: it says why, and goes. */
    must(fs_write_atomic(bad, "garbage", 7, 0600, &e), &e);
    spec.kernel = bad;
    assert_int_equal(hv_start(hv, &spec, &e), -EIO);
    assert_non_null(strstr(e.message, "gave up"));
    assert_nothing_left();
    assert_int_equal(access(log, F_OK), -1);
    /* More than there is. */
    spec.kernel = GUEST_DIR "/talk.elf";
    spec.memory_bytes = UINT64_C(15) << 40;
    expect_start(&spec, -EIO, NULL);
    assert_int_equal(access(log, F_OK), -1);
    assert_int_equal(open_fds(), fds);
    unlink(link);
    start_ready(0, 2);
    force_and_forget(0);
}

static void
start__full_disk_leaves_nothing(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    struct rlimit old, none = {0, RLIM_INFINITY};
    struct sigaction ign = {.sa_handler = SIG_IGN}, was;

    /* No file of ours may grow: what a full disk does to a record. */
    reopen();
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    none.rlim_max = old.rlim_max;
    sigaction(SIGXFSZ, &ign, &was);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    int r = start_vm(hv, 0, 1, &e);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    sigaction(SIGXFSZ, &was, NULL);
    assert_true(r < 0);
    assert_int_equal(hv_info(hv, ids[0], &(struct hv_vm){0}, NULL), -ENOENT);
    assert_nothing_left();
    start_ready(0, 1);
    force_and_forget(0);
}

static void
start__disk_in_use_is_busy(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    char *d _cleanup_(freep) = vm_dir(1);
    char *theirs _cleanup_(freep) = vm_dir(0);
    char *path _cleanup_(freep) = xasprintf("%s/disk.img", theirs);
    struct hv_disk disk = {.path = path, .format = "raw"};
    struct hv_spec spec = {.id = ids[1],
                           .name = "second",
                           .run = 1,
                           .vcpus = 1,
                           .memory_bytes = 16 << 20,
                           .kernel = GUEST_DIR "/talk.elf",
                           .disks = &disk,
                           .n_disks = 1,
                           .dir = d};

    reopen();
    start_ready(0, 1);
    assert_int_equal(hv_start(hv, &spec, &e), -EBUSY);
    assert_string_equal(e.code, "disk_in_use");
    assert_string_equal(e.details[0].pointer, "/disks/0/path");
    err_release(&e);
    disk.read_only = true;
    assert_int_equal(hv_start(hv, &spec, NULL), -EBUSY);
    assert_int_equal(hv_info(hv, ids[1], &(struct hv_vm){0}, NULL), -ENOENT);
    /* The lock is the VM's, not ours. */
    reopen();
    assert_int_equal(hv_start(hv, &spec, NULL), -EBUSY);
    force_and_forget(0);
    must(hv_start(hv, &spec, &e), &e);
    force_and_forget(1);
    assert_nothing_left();
}

struct racer {
    pthread_t thread;
    unsigned n;
    uint64_t run;
    int r;
};

static void *
race(void *arg)
{
    struct racer *c = arg;

    c->r = start_vm(hv, c->n, c->run, NULL);
    return NULL;
}

static void
start__side_by_side_and_once_each(void **state)
{
    struct racer c[2 * N_IDS];
    struct hv_vm *all;
    size_t n, slots = 0;

    reopen();
    for (unsigned i = 0; i < 2 * N_IDS; i++) {
        c[i] = (struct racer){.n = i / 2, .run = 1 + i % 2};
        assert_int_equal(pthread_create(&c[i].thread, NULL, race, &c[i]), 0);
    }
    for (unsigned i = 0; i < 2 * N_IDS; i++)
        pthread_join(c[i].thread, NULL);
    for (unsigned i = 0; i < 2 * N_IDS; i += 2) {
        int won = c[i].r == 0 ? c[i].r : c[i + 1].r;
        int lost = c[i].r == 0 ? c[i + 1].r : c[i].r;

        assert_int_equal(won, 0);
        assert_int_equal(lost, -EEXIST);
    }
    assert_int_equal(hv_list(hv, &all, &n, NULL), 0);
    free(all);
    assert_int_equal(n, N_IDS);
    assert_int_equal(processes_left(), N_IDS);
    /* Each has a user of its own. */
    for (unsigned i = 0; i < N_IDS; i++)
        for (unsigned k = 0; k < i; k++) {
            struct vd_record a = record_of(i), b = record_of(k);

            slots += a.slot == b.slot;
            vd_record_release(&a);
            vd_record_release(&b);
        }
    assert_int_equal(slots, 0);
    for (unsigned i = 0; i < N_IDS; i++)
        force_and_forget(i);
    assert_nothing_left();
}

/* ---- death of the process, adoption ---- */

/* `holder DIR SLICE IDS…`: starts those VMs and waits to be killed. */
static int
holder(int argc, char **argv)
{
    struct err e = {0};
    struct hv_config cfg;
    int r;

    snprintf(dir, sizeof(dir), "%s", argv[2]);
    snprintf(slice, sizeof(slice), "%s", argv[3]);
    for (int i = 4; i < argc; i++)
        snprintf(ids[i - 4], ID_SIZE, "%s", argv[i]);
    cfg = config();
    r = hv_open(&cfg, &hv, &e);
    for (unsigned i = 0; r == 0 && i + 4 < (unsigned)argc; i++)
        r = start_vm(hv, i, 40 + i, &e);
    dprintf(1, "%s\n", r < 0 ? e.message : "ok");
    while (pause() < 0)
        continue;
    return 0;
}

struct child {
    pid_t pid;
    int out;
    int marker; /* end of file once nobody holds the other end */
};

static pid_t holder_pid; /* the one that a failed case leaves */

static void
spawn_holder(struct child *c, unsigned n)
{
    const char *argv[5 + N_IDS] = {"test", "holder", dir, slice};
    char line[500] = "";
    int out[2], marker[2];

    for (unsigned i = 0; i < n; i++)
        argv[4 + i] = ids[i];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(marker, O_CLOEXEC), 0);
    c->pid = fork();
    assert_true(c->pid >= 0);
    if (c->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setsid(); /* its own session and process group, as under a terminal */
        dup2(out[1], 1);
        fcntl(marker[1], F_SETFD, 0); /* not CLOEXEC: a VMM could inherit it */
        execv("/proc/self/exe", (char *const *)argv);
        _exit(127);
    }
    holder_pid = c->pid;
    close(out[1]);
    close(marker[1]);
    c->out = out[0];
    c->marker = marker[0];
    ssize_t r = read(c->out, line, sizeof(line) - 1);
    if (r < 3 || !streq(line, "ok\n"))
        fail_msg("holder: %s", line);
}

/* Hangs up and kills its whole process group. */
static void
kill_holder(struct child *c)
{
    struct pollfd p = {c->marker, POLLIN, 0};
    char byte;

    kill(-c->pid, SIGHUP);
    kill(-c->pid, SIGKILL);
    assert_int_equal(waitpid(c->pid, NULL, 0), c->pid);
    holder_pid = 0;
    /* The VMs have none of its descriptors. */
    assert_int_equal(poll(&p, 1, 10000), 1);
    assert_int_equal(read(c->marker, &byte, 1), 0);
    close(c->marker);
    close(c->out);
}

static void
adopt__vms_survive_a_killed_holder(void **state)
{
    struct child c;
    struct err e _cleanup_(err_release) = {0};
    struct hv_vm *all;
    int pids[3];
    size_t n;

    close_driver();
    spawn_holder(&c, 3);
    for (unsigned i = 0; i < 3; i++)
        pids[i] = vmm_pid(i);
    kill_holder(&c);
    reopen();
    must(hv_list(hv, &all, &n, &e), &e);
    free(all);
    assert_int_equal(n, 3);
    for (unsigned i = 0; i < 3; i++) {
        struct hv_vm vm = info(i); /* there at once */
        int64_t at = 0;

        assert_int_equal(vm.state, HV_RUNNING);
        assert_int_equal(vm.run, 40 + i);
        assert_true(vm.ours);
        assert_true(vm.started_us > clock_now_us() - WAIT_US);
        wait_log(i, &at, READY);
        type(i, "adopted", "adopted");
        assert_int_equal(vmm_pid(i), pids[i]);
        assert_int_equal(start_vm(hv, i, 99, NULL), -EEXIST);
    }
    /* Not our children, and still seen at once. */
    int64_t killed_us = clock_mono_us();
    signal_vmm(0, SIGKILL);
    assert_end(0, HV_END_CRASHED);
    assert_true(clock_mono_us() - killed_us < US_PER_S);
    must(hv_stop(hv, ids[1], false, &e), &e);
    assert_end(1, HV_END_GUEST);
    must(hv_stop(hv, ids[2], true, &e), &e);
    assert_end(2, HV_END_KILLED);
    for (unsigned i = 0; i < 3; i++)
        must(hv_forget(hv, ids[i], &e), &e);
    assert_nothing_left();
}

static void
adopt__ends_while_nobody_looked_are_known(void **state)
{
    struct child c;
    struct err e _cleanup_(err_release) = {0};
    static const char keys[] = "QP";

    close_driver();
    spawn_holder(&c, 3);
    reopen(); /* beside the holder: to type */
    for (unsigned i = 0; i < 3; i++) {
        int64_t at = 0;

        wait_log(i, &at, READY);
    }
    kill_holder(&c);
    for (unsigned i = 0; i < 2; i++) {
        int fd _cleanup_(closep) = -1;

        must(hv_console_open(hv, ids[i], &fd, &e), &e);
        if (i == 1)
            close_driver();
        assert_int_equal(write(fd, &keys[i], 1), 1);
        struct pollfd p = {fd, 0, 0};
        assert_int_equal(poll(&p, 1, (int)(WAIT_US / 1000)), 1);
    }
    signal_vmm(2, SIGKILL);
    wait_no_processes();
    reopen();
    assert_end(0, HV_END_GUEST);
    assert_end(1, HV_END_CRASHED);
    assert_true(info(1).ended_us >= info(1).started_us);
    assert_end(2, HV_END_CRASHED);
    for (unsigned i = 0; i < 3; i++)
        must(hv_forget(hv, ids[i], &e), &e);
    assert_nothing_left();
}

static pid_t
bystander(void)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    return pid;
}

/* Opens with a record of VM 0 that is none, and ends what it names: whoever
 * that is must live. */
static void
expect_harmless(pid_t alive, enum hv_end end)
{
    struct err e _cleanup_(err_release) = {0};

    reopen();
    assert_int_equal(info(0).state, HV_STOPPED);
    assert_string_equal(hv_end_name(info(0).end), hv_end_name(end));
    must(hv_stop(hv, ids[0], true, &e), &e);
    assert_int_equal(waitpid(alive, NULL, WNOHANG), 0);
    close_driver();
}

static void
adopt__record_of_another_process_harms_nobody(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    struct vd_record rec, good;
    pid_t other = bystander();

    reopen();
    start_ready(0, 1);
    start_ready(1, 1);
    rec = record_of(0);
    good = record_of(1);
    signal_vmm(0, SIGKILL);
    assert_end(0, HV_END_CRASHED);
    close_driver();

    /* Its number was given away. */
    rec.pid = other;
    write_record(0, &rec);
    expect_harmless(other, HV_END_CRASHED);
    /* Even if all else of that process fits, it is not a VMM … */
    assert_int_equal(vd_start_ticks(other, &rec.start_ticks), 0);
    write_record(0, &rec);
    expect_harmless(other, HV_END_CRASHED);
    assert_int_equal(vd_exe_of(other, &rec.exe_dev, &rec.exe_ino), 0);
    write_record(0, &rec);
    expect_harmless(other, HV_END_CRASHED);
    /* … or one, but another VM's. */
    rec.pid = good.pid;
    rec.start_ticks = good.start_ticks;
    rec.exe_dev = good.exe_dev;
    rec.exe_ino = good.exe_ino;
    write_record(0, &rec);
    reopen();
    assert_int_equal(info(0).state, HV_STOPPED);
    must(hv_stop(hv, ids[0], true, &e), &e);
    type(1, "alive", "alive");
    close_driver();
    /* Of an earlier life of the machine. */
    rec.boot_id[0] = rec.boot_id[0] == '0' ? '1' : '0';
    write_record(0, &rec);
    reopen();
    assert_int_equal(info(0).end, HV_END_UNKNOWN);
    assert_int_equal(info(0).ended_us, 0);
    must(hv_forget(hv, ids[0], &e), &e);
    type(1, "alive", "alive");
    force_and_forget(1);
    vd_record_release(&rec);
    vd_record_release(&good);
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    assert_nothing_left();
}

static void
adopt__unreadable_record_is_left_alone(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    char *path _cleanup_(freep) = state_file(0, VD_RECORD);
    struct buf good _cleanup_(buf_release) = {0};

    reopen();
    start_ready(0, 1);
    must(fs_read(path, 1 << 16, &good, &e), &e);
    for (size_t n = 0; n < good.len - 1; n += good.len / 3) {
        must(fs_write_atomic(path, good.data, n, 0600, &e), &e);
        reopen();
        assert_int_equal(info(0).state, HV_RUNNING);
        assert_false(info(0).ours);
        assert_int_equal(hv_stop(hv, ids[0], true, NULL), -EPERM);
        assert_int_equal(hv_forget(hv, ids[0], NULL), -EPERM);
        assert_int_equal(start_vm(hv, 0, 2, NULL), -EEXIST);
    }
    must(fs_write_atomic(path, good.data, good.len, 0600, &e), &e);
    reopen();
    assert_true(info(0).ours);
    type(0, "alive", "alive");
    /* Nobody is there: then it is only a folder. */
    close_driver();
    int pid = vmm_pid(0);
    assert_int_equal(kill(pid, SIGKILL), 0);
    waitpid(pid, NULL, 0); /* our child, and no driver is open to see it */
    wait_no_processes();
    must(fs_write_atomic(path, "{", 1, 0600, &e), &e);
    reopen();
    assert_end(0, HV_END_UNKNOWN);
    must(hv_forget(hv, ids[0], &e), &e);
    assert_nothing_left();
}

static void
adopt__half_made_start_is_cleaned_up(void **state)
{
    char *folder _cleanup_(freep) = state_file(0, "");
    char *jail _cleanup_(freep) = xasprintf("%s/vmm/jails/%s", dir, ids[1]);
    struct err e _cleanup_(err_release) = {0};

    reopen();
    close_driver();
    must(fs_mkdirs(folder, &e), &e);
    must(fs_mkdirs(jail, &e), &e);
    reopen();
    assert_int_equal(hv_info(hv, ids[0], &(struct hv_vm){0}, NULL), -ENOENT);
    assert_nothing_left();
}

/* Lets the driver have descriptors up to `n` only. */
static void
limit_files(rlim_t n)
{
    struct rlimit l;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &l), 0);
    l.rlim_cur = n ? n : l.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &l), 0);
}

static void
adopt__lack_of_descriptors_ends_no_vm(void **state)
{
    struct hv_config cfg = config();
    bool opened = false;

    reopen();
    start_ready(0, 1);
    start_ready(1, 1);
    close_driver();
    /* At each step in turn there is none left. */
    for (rlim_t n = 4; !opened; n++) {
        assert_true(n < 200);
        limit_files(n);
        opened = hv_open(&cfg, &hv, NULL) == 0;
        /* A record that could not be opened is one that says nothing: then
         * the VM is left alone. */
        for (unsigned i = 0; opened && i < 2; i++)
            opened = info(i).ours;
        close_driver();
        limit_files(0);
        assert_int_equal(processes_left(), 2);
    }
    reopen();
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(info(i).state, HV_RUNNING);
        assert_true(info(i).ours);
        type(i, "alive", "alive");
        force_and_forget(i);
    }
    assert_nothing_left();
}

/* Another agent's, or of a state folder that was lost. */
static void
adopt__unknown_processes_in_the_slice_live(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    char *d _cleanup_(freep) = vm_dir(0);
    char *folder _cleanup_(freep) = state_file(0, "");
    char *away _cleanup_(freep) = xasprintf("%s/away", dir);

    reopen();
    start_ready(0, 1);
    close_driver();
    assert_int_equal(rename(folder, away), 0);
    reopen();
    assert_int_equal(hv_info(hv, ids[0], &(struct hv_vm){0}, NULL), -ENOENT);
    assert_int_equal(processes_left(), 1);
    /* Nor does a start of the same id end them. */
    const struct hv_spec spec = {.id = ids[0],
                                 .name = "again",
                                 .run = 2,
                                 .vcpus = 1,
                                 .memory_bytes = 16 << 20,
                                 .kernel = GUEST_DIR "/talk.elf",
                                 .dir = d};
    assert_int_equal(hv_start(hv, &spec, &e), -EBUSY);
    assert_string_equal(e.code, "not_ours");
    assert_int_equal(processes_left(), 1);
    close_driver();
    assert_int_equal(rename(away, folder), 0);
    reopen();
    assert_int_equal(info(0).state, HV_RUNNING);
    force_and_forget(0);
    assert_nothing_left();
}

/* ---- hanging ---- */

static void
stuck__vmm_holds_up_no_other_vm(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    struct hv_stats st;
    struct hv_vm *all;
    int64_t begin;
    size_t n;

    reopen();
    start_ready(0, 1);
    start_ready(1, 1);
    signal_vmm(0, SIGSTOP);
    assert_int_equal(hv_pause(hv, ids[0], &e), -ETIMEDOUT);
    err_release(&e);
    begin = clock_mono_us();
    must(hv_stats(hv, ids[1], &st, &e), &e);
    must(hv_pause(hv, ids[1], &e), &e);
    must(hv_list(hv, &all, &n, &e), &e);
    free(all);
    assert_int_equal(n, 2);
    assert_true(clock_mono_us() - begin < 2 * US_PER_S);
    reopen(); /* adopted all the same */
    assert_int_equal(info(0).state, HV_RUNNING);
    assert_true(info(0).ours);
    /* The forced stop ends what hangs, too. */
    begin = clock_mono_us();
    must(hv_stop(hv, ids[0], true, &e), &e);
    assert_true(clock_mono_us() - begin < 10 * US_PER_S);
    assert_end(0, HV_END_KILLED);
    must(hv_forget(hv, ids[0], &e), &e);
    force_and_forget(1);
    assert_nothing_left();
}

/* ---- figures ---- */

static void
metrics__families_are_whole_and_name_the_vm(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    struct buf b _cleanup_(buf_release) = {0};
    char *line _cleanup_(freep) = NULL;

    reopen();
    start_ready(0, 1);
    must(hv_metrics(hv, &b, &e), &e);
    line =
        xasprintf("virga_instance_cpu_seconds_total{instance=\"%s\"} ", ids[0]);
    assert_non_null(strstr(buf_str(&b), line));
    free(line);
    line = xasprintf("virga_vmm_exits_total{instance=\"%s\",vcpu=\"0\","
                     "kind=\"pio\"} ",
                     ids[0]);
    assert_non_null(strstr(buf_str(&b), line));
    assert_true(strtol(strstr(buf_str(&b), line) + strlen(line), NULL, 10) > 0);
    assert_non_null(strstr(buf_str(&b), "device=\"disk0\""));
    /* Each family once, and every sample under its own. */
    char *family = NULL, *save = NULL;
    for (char *l = strtok_r(b.data, "\n", &save); l;
         l = strtok_r(NULL, "\n", &save)) {
        if (strncmp(l, "# TYPE ", 7) == 0) {
            free(family);
            family = xstrndup(l + 7, strcspn(l + 7, " "));
        }
        assert_non_null(family);
        if (l[0] != '#')
            assert_int_equal(strncmp(l, family, strlen(family)), 0);
    }
    free(family);
    force_and_forget(0);
}

/* The value of a metric without labels. */
static long
value_of(const struct buf *b, const char *name)
{
    const char *p = strstr(b->data, name);

    assert_non_null(p);
    return strtol(p + strlen(name), NULL, 10);
}

static void
metrics__slow_vms_do_not_hold_up_a_scrape(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    char *line _cleanup_(freep) = NULL;
    const unsigned n = 4;

    reopen();
    for (unsigned i = 0; i < n; i++)
        start_ready(i, 1);
    line = xasprintf("virga_instance_cpu_seconds_total{instance=\"%s\"} ",
                     ids[n - 1]);
    for (unsigned i = 0; i + 1 < n; i++)
        signal_vmm(i, SIGSTOP);
    for (unsigned scrape = 0; scrape < 2; scrape++) {
        struct buf b _cleanup_(buf_release) = {0};

        must(hv_metrics(hv, &b, &e), &e);
        buf_addc(&b, '\0');
        /* Two hang for a second each, then there is no time for the rest,
         * with which the next one begins. */
        if (scrape == 0) {
            assert_in_range(value_of(&b, "\nvirga_instances_not_asked "), 1,
                            n - 1);
            assert_null(strstr(b.data, line));
        } else {
            assert_non_null(strstr(b.data, line));
        }
    }
    for (unsigned i = 0; i < n; i++) {
        signal_vmm(i, SIGCONT);
        force_and_forget(i);
    }
    assert_nothing_left();
}

/* ---- choosing ---- */

/* Here, where /dev/kvm may only interpret, a new folder would go to libvirt:
 * this one has VMs that libvirt would not see. */
static void
auto__stays_with_the_driver_of_the_state_folder(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    struct hv_config cfg = config();

    reopen();
    start(0, 1);
    close_driver();
    cfg.driver = "auto";
    must(hv_open(&cfg, &hv, &e), &e);
    assert_string_equal(hv_driver_name(hv), "vmm");
    assert_int_equal(info(0).state, HV_RUNNING);
    force_and_forget(0);
}

static void
open__bad_settings_are_refused(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    struct hv_config cfg = config();

    close_driver();
    cfg.accel = "tcg";
    assert_int_equal(hv_open(&cfg, &hv, &e), -EINVAL);
    assert_string_equal(e.details[0].pointer, "/accel");
    err_release(&e);
    cfg.accel = NULL;
    cfg.vmm_uid_base = 1000;
    assert_int_equal(hv_open(&cfg, &hv, &e), -EINVAL);
    assert_string_equal(e.details[0].pointer, "/vmm_uid_base");
    err_release(&e);
    cfg.vmm_uid_base = 0;
    cfg.vmm_binary = "/nonexistent/virga-vmm";
    assert_int_equal(hv_open(&cfg, &hv, &e), -ENOENT);
}

/* ---- set-up ---- */

static int
setup(void **state)
{
    for (unsigned i = 0; i < N_IDS; i++)
        id_new(ids[i]);
    snprintf(dir, sizeof(dir), "/tmp/hv-vmm.XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(slice, sizeof(slice), "virga-test-%s", dir + 12);
    for (unsigned i = 0; i < N_IDS; i++) {
        char *d _cleanup_(freep) = vm_dir(i);
        char *disk _cleanup_(freep) = xasprintf("%s/disk.img", d);

        if (fs_mkdirs(d, NULL) < 0 ||
            fs_write_atomic(disk, "disk", 4, 0600, NULL) < 0 ||
            truncate(disk, 1 << 20) < 0)
            return -1;
    }
    return 0;
}

/* Also after a case that failed in the middle. */
static int
end_case(void **state)
{
    struct hv_vm *all = NULL;
    size_t n = 0;

    closep(&typed_fd);
    if (holder_pid) {
        kill(holder_pid, SIGKILL);
        waitpid(holder_pid, NULL, 0);
        holder_pid = 0;
    }
    if (!hv)
        reopen();
    if (hv_list(hv, &all, &n, NULL) == 0)
        for (size_t i = 0; i < n; i++)
            if (hv_stop(hv, all[i].id, true, NULL) < 0 ||
                hv_forget(hv, all[i].id, NULL) < 0)
                print_message("VM %s is left\n", all[i].id);
    free(all);
    close_driver();
    free(leftover);
    leftover = NULL;
    return 0;
}

static int
teardown(void **state)
{
    each_slice(drop_slice);
    return fs_remove_tree(dir, NULL);
}

#define CASE(f) cmocka_unit_test_teardown(f, end_case)

int
main(int argc, char **argv)
{
    if (argc > 4 && streq(argv[1], "holder"))
        return holder(argc, argv);
    const struct CMUnitTest tests[] = {
        CASE(start__guest_runs_and_answers),
        CASE(start__vmm_runs_jailed_in_its_cgroup),
        CASE(pause__guest_stands_still_until_resumed),
        CASE(reboot__stays_the_same_run),
        CASE(end__each_way_is_told_apart),
        CASE(end__killed_vmm_is_reported_within_a_second),
        CASE(bounds__files_of_a_running_vmm_are_cut),
        CASE(end__record_stays_whole_when_stopped_amid_its_end),
        CASE(end__time_is_the_vmms_word_only_if_it_can_be),
        CASE(network__lives_and_ends_with_its_vm),
        CASE(start__failure_leaves_nothing),
        CASE(start__full_disk_leaves_nothing),
        CASE(start__disk_in_use_is_busy),
        CASE(start__side_by_side_and_once_each),
        CASE(adopt__vms_survive_a_killed_holder),
        CASE(adopt__ends_while_nobody_looked_are_known),
        CASE(adopt__record_of_another_process_harms_nobody),
        CASE(adopt__unreadable_record_is_left_alone),
        CASE(adopt__half_made_start_is_cleaned_up),
        CASE(adopt__lack_of_descriptors_ends_no_vm),
        CASE(adopt__unknown_processes_in_the_slice_live),
        CASE(stuck__vmm_holds_up_no_other_vm),
        CASE(auto__stays_with_the_driver_of_the_state_folder),
        CASE(open__bad_settings_are_refused),
        CASE(metrics__slow_vms_do_not_hold_up_a_scrape),
        CASE(metrics__families_are_whole_and_name_the_vm),
    };

    if (geteuid() != 0 || access("/dev/kvm", R_OK | W_OK) < 0) {
        print_message("1..0 # SKIP needs root and /dev/kvm\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, setup, teardown);
}
