/* test-hv-libvirt.c - the libvirt driver with real guests in QEMU (TCG).
 *
 * The guest is a boot sector of our own: it prints GUEST READY on the first
 * serial port and echoes what it receives, except
 *   Q  powers off by ACPI (PM1a control, as a guest's shutdown does)
 *   P  panics (pvpanic)
 *   R  resets the machine (keyboard controller)
 * and it powers off when the ACPI power button is pressed.
 *
 * Over 800 lines: the guest, the holder and the cases are one story; apart,
 * each case would need the other two in a header.
 *
 * An embedded libvirt lives as long as its process and lets no second one into
 * its folder. So each case is a process of its own, in the one folder, and the
 * process that starts VMs and is then killed ("holder") is another: all are
 * this program again, exec'd. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/mem.h"
#include "common/proc.h"
#include "hypervisor-backend/libvirt/lv-private.h"

/* Generous: the machine may be loaded, and conditions are polled for. */
#define WAIT_US (60 * US_PER_S)
#define READY "GUEST READY\r\n"

/*  0 cli; ds = ss = 0; sp = 0x7c00; cld
 * 0b out 0x602, 0x100           PM1 enable: power button
 * 12 si = message; 15 lodsb until 0: call putc
 * 1f in 0x600, bit 8 set: off   PM1 status: power button
 * 28 in 0x3fd, bit 0 clear: 1f  nothing received
 * 30 in 0x3f8; Q: off; P: panic; R: reset; else putc; back to 1f
 * 45 off:   out 0x604, 0x2000   PM1a control: sleep enable, type S5
 * 4e panic: out 0x505, 1        pvpanic: the guest panicked
 * 56 reset: out 0x64, 0xfe      keyboard controller: reset
 * 5c putc:  wait for bit 5 of 0x3fd, out 0x3f8 */
static const unsigned char boot_sector[] = {
    0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0x00, 0x7c, 0xfc,
    0xba, 0x02, 0x06, 0xb8, 0x00, 0x01, 0xef, 0xbe, 0x6d, 0x7c, 0xac,
    0x84, 0xc0, 0x74, 0x05, 0xe8, 0x3f, 0x00, 0xeb, 0xf6, 0xba, 0x00,
    0x06, 0xed, 0xf6, 0xc4, 0x01, 0x75, 0x1d, 0xba, 0xfd, 0x03, 0xec,
    0xa8, 0x01, 0x74, 0xef, 0xba, 0xf8, 0x03, 0xec, 0x3c, 0x51, 0x74,
    0x0d, 0x3c, 0x50, 0x74, 0x12, 0x3c, 0x52, 0x74, 0x16, 0xe8, 0x19,
    0x00, 0xeb, 0xda, 0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0xeb,
    0xf7, 0xba, 0x05, 0x05, 0xb0, 0x01, 0xee, 0xeb, 0xc9, 0xb0, 0xfe,
    0xe6, 0x64, 0xeb, 0xfa, 0x88, 0xc4, 0xba, 0xfd, 0x03, 0xec, 0xa8,
    0x20, 0x74, 0xfb, 0x88, 0xe0, 0xba, 0xf8, 0x03, 0xee, 0xc3,
};

/* A multiboot kernel (version 1, flat) at 1 MiB: prints its command line. */
static const unsigned char kernel[] = {
    0x02, 0xb0, 0xad, 0x1b, 0x00, 0x00, 0x01, 0x00, 0xfe, 0x4f, 0x51,
    0xe4, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x20, 0x00, 0x10, 0x00, 0x8b,
    0x73, 0x10, 0xac, 0x84, 0xc0, 0x74, 0x14, 0x88, 0xc4, 0x66, 0xba,
    0xfd, 0x03, 0xec, 0xa8, 0x20, 0x74, 0xfb, 0x88, 0xe0, 0x66, 0xba,
    0xf8, 0x03, 0xee, 0xeb, 0xe7, 0xf4, 0xeb, 0xfd,
};

static char dir[40];
static struct hv *hv;
static _Atomic int n_events;

static const char *const ids[] = {
    "0197b3a0-0000-7000-8000-000000000000",
    "0197b3a0-0000-7000-8000-000000000001",
    "0197b3a0-0000-7000-8000-000000000002",
};
#define FOREIGN "0197b3a0-0000-7000-8000-0000000000ff"

static void
on_event(const char *id, void *arg)
{
    atomic_fetch_add(&n_events, 1);
}

static struct hv *
open_driver(struct err *e)
{
    struct hv_config cfg = {.driver = "libvirt",
                            .state_dir = dir,
                            .accel = "tcg",
                            .on_event = on_event};
    struct hv *h = NULL;

    return hv_open(&cfg, &h, e) < 0 ? NULL : h;
}

static void
reopen(void)
{
    struct err e _cleanup_(err_release) = {0};

    hv = open_driver(&e);
    if (!hv)
        fail_msg("%s", e.message);
}

/* The VM's folder holds its disk. */
static char *
vm_dir(unsigned n)
{
    return xasprintf("%s/vm & %u", dir, n);
}

static int
start_vm(struct hv *h, unsigned n, uint64_t run, struct err *e)
{
    char *d _cleanup_(freep) = vm_dir(n);
    char *disk_path _cleanup_(freep) = xasprintf("%s/disk.img", d);
    const struct hv_disk disk = {.path = disk_path, .format = "raw"};
    const struct hv_nic nic = {.mac = "52:54:00:00:00:01", .isolated = true};
    const struct hv_spec spec = {.id = ids[n],
                                 .name = "test <guest> & co",
                                 .run = run,
                                 .vcpus = 1,
                                 .memory_bytes = 32 << 20,
                                 .disks = &disk,
                                 .n_disks = 1,
                                 .nics = &nic,
                                 .n_nics = 1,
                                 /* Far away: what of it QEMU keeps, it must
                                  * take; the rest must not stop a start. */
                                 .limits = {.cpu_shares = 200,
                                            .cpu_limit_percent = 100,
                                            .disk_iops = 1000000,
                                            .disk_bytes_per_second = 1 << 30,
                                            .net_bytes_per_second = 1 << 30},
                                 .dir = d};

    return hv_start(h, &spec, e);
}

static void
must(int r, const struct err *e)
{
    if (r < 0)
        fail_msg("%s", e->message);
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
wait_state(unsigned n, enum hv_state want)
{
    int64_t limit = clock_mono_us() + WAIT_US;

    while (info(n).state != want) {
        assert_true(clock_mono_us() < limit);
        poll(NULL, 0, 10);
    }
}

static void
assert_end(unsigned n, enum hv_end end)
{
    wait_state(n, HV_STOPPED);
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

/* Types and reads back what the guest sends, until `expect` came. */
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
    if (!expect) { /* the socket must live until QEMU has read from it */
        struct pollfd p = {fd, POLLIN | POLLHUP, 0};

        poll(&p, 1, 2000);
    }
}

static int
qemu_pid(unsigned n)
{
    char *root _cleanup_(freep) = xasprintf("%s/libvirt", dir);

    return lv_root_pid(root, ids[n]);
}

/* Never a negative number to kill(): that would be a process group. */
static void
signal_qemu(unsigned n, int signo)
{
    int pid = qemu_pid(n);

    assert_true(pid > 1);
    assert_int_equal(kill(pid, signo), 0);
}

static void
force_and_forget(unsigned n)
{
    struct err e _cleanup_(err_release) = {0};

    must(hv_stop(hv, ids[n], true, &e), &e);
    must(hv_forget(hv, ids[n], &e), &e);
}

/* ---- cases ---- */

static void
start__guest_runs_and_answers(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    char *cmdline _cleanup_(freep) = NULL;
    struct buf args _cleanup_(buf_release) = {0};
    struct hv_stats st;
    struct hv_host host;
    int64_t before = clock_now_us();
    struct hv_vm vm;

    reopen();
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
    must(hv_stats(hv, ids[0], &st, &e), &e);
    assert_true(st.cpu_ns > 0);
    assert_true(st.memory_bytes > 1 << 20);
    assert_true(st.disk_read_ops > 0 && st.disk_read_bytes >= 512);
    must(hv_host(hv, &host, &e), &e);
    assert_true(host.cpus > 0 && host.memory_free_bytes > 0 &&
                host.memory_bytes >= host.memory_free_bytes);
    assert_string_equal(host.accel, "tcg");
    assert_int_equal(hv_forget(hv, ids[0], NULL), -EBUSY);
    /* The isolation is libvirt's to pass on. */
    cmdline = xasprintf("/proc/%d/cmdline", qemu_pid(0));
    must(fs_read(cmdline, 1 << 20, &args, &e), &e);
    assert_non_null(memmem(args.data, args.len, "restrict=on", 11));
    must(hv_pause(hv, ids[0], &e), &e);
    assert_int_equal(info(0).state, HV_PAUSED);
    must(hv_resume(hv, ids[0], &e), &e);
    assert_int_equal(info(0).state, HV_RUNNING);
    type(0, "again", "again");
    force_and_forget(0);
}

static void
start__direct_kernel_boot_passes_the_command_line(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    char *d _cleanup_(freep) = vm_dir(0);
    char *path _cleanup_(freep) = xasprintf("%s/kernel", d);
    int64_t at = 0;
    const struct hv_spec spec = {.id = ids[0],
                                 .name = "kernel",
                                 .run = 1,
                                 .vcpus = 2,
                                 .memory_bytes = 32 << 20,
                                 .kernel = path,
                                 .cmdline = "one=\"<1>\" two='&' end",
                                 .dir = d};

    reopen();
    must(fs_write_atomic(path, kernel, sizeof(kernel), 0600, &e), &e);
    must(hv_start(hv, &spec, &e), &e);
    wait_log(0, &at, "one=\"<1>\" two='&' end");
    force_and_forget(0);
}

static void
start__failure_leaves_nothing(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    char *d _cleanup_(freep) = vm_dir(0);
    char *path _cleanup_(freep) = xasprintf("%s/garbage.qcow2", d);
    struct hv_disk disk = {.path = "/nonexistent/disk", .format = "qcow2"};
    const struct hv_spec spec = {.id = ids[0],
                                 .name = "bad",
                                 .run = 1,
                                 .vcpus = 1,
                                 .memory_bytes = 32 << 20,
                                 .disks = &disk,
                                 .n_disks = 1,
                                 .dir = d};
    struct hv_vm vm;

    reopen();
    assert_int_equal(hv_start(hv, &spec, &e), -EINVAL);
    assert_string_equal(e.details[0].pointer, "/disks/0/path");
    err_release(&e);
    must(fs_write_atomic(path, "garbage", 7, 0600, &e), &e);
    disk.path = path;
    assert_int_equal(hv_start(hv, &spec, &e), -EIO);
    assert_non_null(strstr(e.message, "qcow2")); /* QEMU's own words */
    assert_int_equal(hv_info(hv, ids[0], &vm, NULL), -ENOENT);
    assert_int_equal(hv_forget(hv, ids[0], NULL), 0);
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
    start_ready(0, 2); /* over the one that ended */
    type(0, "Q", NULL);
    assert_end(0, HV_END_GUEST);
    assert_int_equal(info(0).run, 2);
    start_ready(0, 3);
    type(0, "P", NULL);
    assert_end(0, HV_END_CRASHED);
    start_ready(0, 4);
    signal_qemu(0, SIGKILL);
    assert_end(0, HV_END_CRASHED);
    start_ready(0, 5);
    err_release(&e);
    must(hv_stop(hv, ids[0], true, &e), &e);
    assert_int_equal(info(0).state, HV_STOPPED); /* when ended, by contract */
    assert_end(0, HV_END_KILLED);
    must(hv_forget(hv, ids[0], &e), &e);
}

static const char *leftover;

static int
find_leftover(const char *path, const struct stat *st, int type_flag,
              struct FTW *ftw)
{
    const char *base = strrchr(path, '/');

    if (strstr(base, "0197b3a0") && !strstr(base, FOREIGN))
        leftover = xstrdup(path);
    return 0;
}

static void
forget__leaves_nothing(void **state)
{
    char *root _cleanup_(freep) = xasprintf("%s/libvirt", dir);

    reopen();
    start(1, 1);
    force_and_forget(1);
    assert_int_equal(nftw(root, find_leftover, 16, FTW_PHYS), 0);
    if (leftover)
        fail_msg("%s is left", leftover);
}

static void
list__foreign_vm_shows_and_is_left_alone(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    struct hv_vm *all;
    size_t n;

    reopen();
    must(hv_list(hv, &all, &n, &e), &e);
    assert_int_equal(n, 1);
    assert_string_equal(all[0].id, FOREIGN);
    assert_false(all[0].ours);
    assert_int_equal(all[0].state, HV_STOPPED);
    free(all);
    assert_int_equal(hv_forget(hv, FOREIGN, &e), -EPERM);
}

/* ---- death of the process, adoption ---- */

/* `holder DIR RUN`: starts VM 0 and waits to be killed; a word on stdin makes
 * it force-stop the VM first. Says "ok" on stdout for each step. */
static int
holder(char **argv)
{
    struct err e = {0};
    char c;

    snprintf(dir, sizeof(dir), "%s", argv[2]);
    hv = open_driver(&e);
    if (!hv || start_vm(hv, 0, strtoull(argv[3], NULL, 10), &e) < 0) {
        dprintf(1, "%s\n", e.message);
        return 1;
    }
    dprintf(1, "ok\n");
    if (read(0, &c, 1) == 1) {
        if (hv_stop(hv, ids[0], true, &e) < 0) {
            dprintf(1, "%s\n", e.message);
            return 1;
        }
        dprintf(1, "ok\n");
    }
    for (;;)
        pause();
}

struct child {
    pid_t pid;
    int in, out;
    int marker; /* end of file once nobody holds the other end */
};

static void
expect_ok(struct child *c)
{
    char line[500] = "";
    ssize_t r = read(c->out, line, sizeof(line) - 1);

    if (r < 3 || !streq(line, "ok\n"))
        fail_msg("holder: %s", line);
}

static void
spawn_holder(struct child *c, uint64_t run)
{
    char *number _cleanup_(freep) = xasprintf("%llu", (unsigned long long)run);
    int in[2], out[2], marker[2];

    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(marker, O_CLOEXEC), 0);
    c->pid = fork();
    assert_true(c->pid >= 0);
    if (c->pid == 0) {
        setsid(); /* its own session and process group, as under a terminal */
        dup2(in[0], 0);
        dup2(out[1], 1);
        fcntl(marker[1], F_SETFD, 0); /* not CLOEXEC: QEMU could inherit it */
        execl("/proc/self/exe", "test", "holder", dir, number, NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    close(marker[1]);
    c->in = in[1];
    c->out = out[0];
    c->marker = marker[0];
    expect_ok(c);
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
    /* The VM has none of its descriptors. */
    assert_int_equal(poll(&p, 1, 10000), 1);
    assert_int_equal(read(c->marker, &byte, 1), 0);
    close(c->marker);
    close(c->in);
    close(c->out);
}

static void
remove_log(void)
{
    char *d _cleanup_(freep) = vm_dir(0);
    char *log _cleanup_(freep) = xasprintf("%s/console.log", d);

    unlink(log);
}

static void
adopt__vm_survives_a_killed_holder(void **state)
{
    struct child c;
    struct err e _cleanup_(err_release) = {0};
    int64_t at = 0;
    struct hv_vm vm;
    int pid;

    remove_log();
    spawn_holder(&c, 41);
    kill_holder(&c);
    reopen();
    vm = info(0); /* there at once */
    assert_int_equal(vm.state, HV_RUNNING);
    assert_int_equal(vm.run, 41);
    assert_true(vm.ours);
    assert_true(vm.started_us > clock_now_us() - WAIT_US);
    wait_log(0, &at, READY);
    type(0, "adopted", "adopted");
    pid = qemu_pid(0);
    /* Also over an orderly close. */
    hv_close(hv);
    reopen();
    assert_true(info(0).started_us == vm.started_us);
    assert_int_equal(qemu_pid(0), pid);
    must(hv_stop(hv, ids[0], false, &e), &e);
    assert_end(0, HV_END_GUEST);
    must(hv_forget(hv, ids[0], &e), &e);
}

/* CPU time that QEMU has used, in clock ticks (proc(5), stat 14 and 15). */
static int64_t
qemu_ticks(unsigned n)
{
    char *path _cleanup_(freep) = xasprintf("/proc/%d/stat", qemu_pid(n));
    struct buf b _cleanup_(buf_release) = {0};
    unsigned long user, kernel_ticks;
    const char *p;

    assert_int_equal(fs_read(path, 4096, &b, NULL), 0);
    p = strrchr(buf_str(&b), ')');
    assert_non_null(p);
    assert_int_equal(sscanf(p + 1,
                            " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u "
                            "%lu %lu",
                            &user, &kernel_ticks),
                     2);
    return (int64_t)(user + kernel_ticks);
}

/* Waits for the guest and types a key while no driver is open. */
static void
press_key(char key)
{
    char *d _cleanup_(freep) = vm_dir(0);
    char *log _cleanup_(freep) = xasprintf("%s/console.log", d);
    int fd _cleanup_(closep) = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int64_t limit = clock_mono_us() + WAIT_US;
    struct buf b _cleanup_(buf_release) = {0};

    while (fs_read(log, 1 << 20, &b, NULL) < 0 || !strstr(buf_str(&b), READY)) {
        assert_true(clock_mono_us() < limit);
        poll(NULL, 0, 10);
    }
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/console.sock", d);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(write(fd, &key, 1), 1);
    /* Our guest is never idle: QEMU uses no more CPU once it is halted. */
    for (int64_t before = -1, now; (now = qemu_ticks(0)) != before;) {
        assert_true(clock_mono_us() < limit);
        before = now;
        poll(NULL, 0, 300);
    }
}

static void
end_away(char key, enum hv_end end)
{
    struct err e _cleanup_(err_release) = {0};
    struct child c;

    remove_log();
    spawn_holder(&c, 50);
    kill_holder(&c);
    if (key)
        press_key(key);
    else
        signal_qemu(0, SIGKILL);
    reopen();
    assert_end(0, end);
    assert_int_equal(info(0).run, 50);
    must(hv_forget(hv, ids[0], &e), &e);
}

static void
adopt__power_off_while_nobody_looked_is_known(void **state)
{
    end_away('Q', HV_END_GUEST);
}

static void
adopt__panic_while_nobody_looked_is_known(void **state)
{
    end_away('P', HV_END_CRASHED);
}

static void
adopt__qemu_death_while_nobody_looked_is_known(void **state)
{
    end_away(0, HV_END_CRASHED);
}

static void
adopt__end_seen_before_the_death_is_known_after_it(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    char *file _cleanup_(freep) = xasprintf("%s/libvirt/ends/%s", dir, ids[0]);
    int64_t limit = clock_mono_us() + WAIT_US;
    struct child c;

    spawn_holder(&c, 60);
    assert_int_equal(write(c.in, "s", 1), 1);
    expect_ok(&c);
    while (access(file, F_OK) < 0) { /* written by its event thread */
        assert_true(clock_mono_us() < limit);
        poll(NULL, 0, 10);
    }
    kill_holder(&c);
    reopen();
    assert_end(0, HV_END_KILLED);
    assert_int_equal(info(0).run, 60);
    must(hv_forget(hv, ids[0], &e), &e);
}

/* ---- side by side ---- */

static void *
start_in_thread(void *arg)
{
    return (void *)(intptr_t)start_vm(hv, (unsigned)(intptr_t)arg, 1, NULL);
}

static void
stuck__qemu_holds_up_no_other_vm(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    pthread_t threads[ARRAY_SIZE(ids)];
    struct hv_stats st;
    struct hv_vm *all;
    int64_t begin;
    void *r;
    size_t n;

    reopen();
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, start_in_thread,
                                        (void *)(intptr_t)i),
                         0);
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        pthread_join(threads[i], &r);
        assert_null(r);
    }
    signal_qemu(0, SIGSTOP);
    assert_int_equal(hv_stats(hv, ids[0], &st, &e), -ETIMEDOUT);
    begin = clock_mono_us();
    assert_int_equal(hv_pause(hv, ids[0], NULL), -ETIMEDOUT);
    must(hv_stats(hv, ids[1], &st, &e), &e);
    must(hv_pause(hv, ids[1], &e), &e);
    must(hv_list(hv, &all, &n, &e), &e);
    free(all);
    assert_true(n >= ARRAY_SIZE(ids));
    assert_true(clock_mono_us() - begin < 5 * US_PER_S);
    /* The forced stop ends what hangs, too. */
    for (unsigned i = 0; i < ARRAY_SIZE(ids); i++)
        force_and_forget(i);
}

/* ---- setup ---- */

static int
write_foreign_domain(void)
{
    char *etc _cleanup_(freep) = xasprintf("%s/libvirt/etc/qemu", dir);
    char *path _cleanup_(freep) = xasprintf("%s/foreign.xml", etc);
    static const char xml[] =
        "<domain type='qemu'><name>foreign</name><uuid>" FOREIGN "</uuid>"
        "<memory unit='MiB'>32</memory>"
        "<os><type arch='x86_64' machine='q35'>hvm</type></os></domain>\n";

    return fs_mkdirs(etc, NULL) < 0 ||
                   fs_write_atomic(path, xml, strlen(xml), 0600, NULL) < 0
               ? -1
               : 0;
}

static int
make_guest(unsigned n)
{
    char *d _cleanup_(freep) = vm_dir(n);
    char *path _cleanup_(freep) = xasprintf("%s/disk.img", d);
    /* Less than a cylinder would be no disk to the firmware. */
    static unsigned char image[1 << 20];

    memcpy(image, boot_sector, sizeof(boot_sector));
    memcpy(image + sizeof(boot_sector), READY, sizeof(READY));
    image[510] = 0x55;
    image[511] = 0xaa;
    return mkdir(d, 0700) < 0 ||
                   fs_write_atomic(path, image, sizeof(image), 0600, NULL) < 0
               ? -1
               : 0;
}

/* Whatever failed, no guest stays behind. */
static int
teardown(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(ids); i++) {
        int pid = qemu_pid(i);

        if (pid > 1)
            kill(pid, SIGKILL);
    }
    hv_close(hv);
    return 0;
}

/* Why this machine cannot run it, or NULL. */
static const char *
what_is_missing(void)
{
    const char *qemu[] = {"qemu-system-x86_64", "--version", NULL};

    if (proc_run(qemu, 30000, NULL, NULL) < 0)
        return "qemu-system-x86_64 is not installed";
    if (geteuid() == 0 && !getpwnam("libvirt-qemu"))
        return "the system user libvirt-qemu is missing, which libvirt insists "
               "on when root runs it";
    return NULL;
}

#define T(fn) cmocka_unit_test_teardown(fn, teardown)
static const struct CMUnitTest cases[] = {
    T(list__foreign_vm_shows_and_is_left_alone),
    T(start__guest_runs_and_answers),
    T(start__direct_kernel_boot_passes_the_command_line),
    T(start__failure_leaves_nothing),
    T(reboot__stays_the_same_run),
    T(end__each_way_is_told_apart),
    T(adopt__vm_survives_a_killed_holder),
    T(adopt__power_off_while_nobody_looked_is_known),
    T(adopt__panic_while_nobody_looked_is_known),
    T(adopt__qemu_death_while_nobody_looked_is_known),
    T(adopt__end_seen_before_the_death_is_known_after_it),
    T(stuck__qemu_holds_up_no_other_vm),
    T(forget__leaves_nothing),
};

/* `case DIR N` */
static int
run_case(char **argv)
{
    size_t n = strtoul(argv[3], NULL, 10);

    snprintf(dir, sizeof(dir), "%s", argv[2]);
    if (n >= ARRAY_SIZE(cases))
        return 1;
    const struct CMUnitTest tests[] = {cases[n]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

static int
spawn_case(size_t n)
{
    char *number _cleanup_(freep) = xasprintf("%zu", n);
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        execl("/proc/self/exe", "test", "case", dir, number, NULL);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

int
main(int argc, char **argv)
{
    const char *only = argc == 2 ? argv[1] : NULL;
    const char *missing;
    int failed = 0;

    if (argc == 4 && streq(argv[1], "holder"))
        return holder(argv);
    if (argc == 4 && streq(argv[1], "case"))
        return run_case(argv);
    missing = what_is_missing();
    if (missing) {
        printf("# SKIP %s\n", missing);
        return 77;
    }
    snprintf(dir, sizeof(dir), "/tmp/virga-hv-XXXXXX");
    if (!mkdtemp(dir) || write_foreign_domain() < 0)
        return 1;
    for (unsigned i = 0; i < ARRAY_SIZE(ids); i++)
        if (make_guest(i) < 0)
            return 1;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if ((!only || strstr(cases[i].name, only)) && spawn_case(i) < 0)
            failed++;
    printf("# %d of %zu cases failed\n", failed, ARRAY_SIZE(cases));
    return fs_remove_tree(dir, NULL) < 0 || failed;
}
