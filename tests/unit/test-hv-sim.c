/* test-hv-sim.c - the simulated hypervisor: life cycle, faults, scale, and
 * that its VMs and their history survive the death of the process. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/mem.h"
#include "hypervisor-backend/sim/sim-private.h"

#define WAIT_US (20 * US_PER_S)

static char dir[64], vm_dir[80];
static _Atomic int n_events;

static void
on_event(const char *id, void *arg)
{
    atomic_fetch_add(&n_events, 1);
}

static int
make_dir(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/virga-hv-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(vm_dir, sizeof(vm_dir), "%s/vm", dir);
    return mkdir(vm_dir, 0700);
}

static int
remove_dir(void **state)
{
    return fs_remove_tree(dir, NULL);
}

static struct hv *
open_sim(const char *options)
{
    struct hv_config cfg = {.driver = "sim",
                            .state_dir = dir,
                            .sim_options = options,
                            .on_event = on_event};
    struct err e _cleanup_(err_release) = {0};
    struct hv *hv;

    atomic_store(&n_events, 0);
    if (hv_open(&cfg, &hv, &e) < 0)
        fail_msg("%s", e.message);
    return hv;
}

/* The nth id. */
static const char *
id_of(unsigned n)
{
    static _Thread_local char id[4][ID_SIZE];
    static _Thread_local unsigned turn;
    char *p = id[turn++ % 4];

    snprintf(p, ID_SIZE, "0197b3a0-0000-7000-8000-%012x", n);
    return p;
}

static int
start(struct hv *hv, unsigned n, uint64_t run)
{
    const struct hv_spec spec = {.id = id_of(n),
                                 .name = "sim-test",
                                 .run = run,
                                 .vcpus = 2,
                                 .memory_bytes = 256 << 20,
                                 .dir = vm_dir};

    return hv_start(hv, &spec, NULL);
}

static struct hv_vm
info(struct hv *hv, unsigned n)
{
    struct hv_vm vm;

    assert_int_equal(hv_info(hv, id_of(n), &vm, NULL), 0);
    return vm;
}

static void
wait_stopped(struct hv *hv, unsigned n)
{
    int64_t limit = clock_mono_us() + WAIT_US;

    while (info(hv, n).state != HV_STOPPED) {
        assert_true(clock_mono_us() < limit);
        poll(NULL, 0, 1);
    }
}

static void
wait_events(int n)
{
    int64_t limit = clock_mono_us() + WAIT_US;

    while (atomic_load(&n_events) < n) {
        assert_true(clock_mono_us() < limit);
        poll(NULL, 0, 1);
    }
}

/* ---- the journal, read as sim/README.md says ---- */

struct line {
    int64_t at;
    char what[8], id[40], reason[16];
    uint64_t run;
    int index;
};

static int
by_id(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    int c = strcmp(x->id, y->id);

    return c ? c : x->index - y->index;
}

/* Holds that no VM ran twice at once; returns how many still run. */
static int
check_journal(int *ret_starts)
{
    char *path _cleanup_(freep) = xasprintf("%s/sim/journal", dir);
    struct buf b _cleanup_(buf_release) = {0};
    struct line *l _cleanup_(freep) = NULL;
    const char *p;
    int n = 0, running = 0, starts = 0;

    assert_int_equal(fs_read(path, 256 << 20, &b, NULL), 0);
    for (p = buf_str(&b); *p; p = strchr(p, '\n') + 1, n++) {
        l = xrealloc(l, (size_t)(n + 1) * sizeof(*l));
        l[n].index = n;
        assert_int_equal(sscanf(p, "%" SCNd64 " %7s %39s %" SCNu64 " %15s",
                                &l[n].at, l[n].what, l[n].id, &l[n].run,
                                l[n].reason),
                         5);
        assert_non_null(strchr(p, '\n'));
    }
    if (n)
        qsort(l, (size_t)n, sizeof(*l), by_id);
    const struct line *open = NULL, *last = NULL;
    for (int i = 0; i < n; i++) {
        if (i && !streq(l[i].id, l[i - 1].id)) {
            running += open != NULL;
            open = last = NULL;
        }
        if (streq(l[i].what, "start")) {
            assert_null(open);
            assert_true(!last || last->at <= l[i].at);
            open = &l[i];
            starts++;
        } else if (open) {
            assert_string_equal(l[i].what, "end");
            assert_true(open->run == l[i].run);
            assert_true(open->at <= l[i].at);
            last = &l[i];
            open = NULL;
        } else if (!streq(l[i].reason, "aborted")) {
            assert_non_null(last); /* the same end again */
            assert_true(last->run == l[i].run && last->at == l[i].at);
        }
    }
    running += open != NULL;
    if (ret_starts)
        *ret_starts = starts;
    return running;
}

/* ---- cases ---- */

static void
options__bad_are_refused(void **state)
{
    static const char *const bad[] = {"x=1",
                                      "cpus",
                                      "cpus=",
                                      "cpus=0",
                                      "cpus=-1",
                                      "cpus= 1",
                                      "cpus=1x",
                                      "cpus=1,,",
                                      "start_fail_permille=1001",
                                      ",",
                                      "seed=99999999999999999999999"};
    struct sim_options o;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(sim_options_parse(bad[i], &o, NULL), -EINVAL);
    assert_int_equal(sim_options_parse("cpus=3,seed=9", &o, NULL), 0);
    assert_int_equal(o.cpus, 3);
    assert_int_equal(o.seed, 9);
    assert_int_equal(sim_options_parse(NULL, &o, NULL), 0);
    assert_int_equal(sim_options_parse("", &o, NULL), 0);
}

static void
life__start_pause_stop_forget(void **state)
{
    struct hv *hv = open_sim("cpus=4,memory_mib=1024,disk_mib=10");
    char *log _cleanup_(freep) = xasprintf("%s/console.log", vm_dir);
    struct buf b _cleanup_(buf_release) = {0};
    struct err e _cleanup_(err_release) = {0};
    struct hv_host host;
    struct hv_vm vm, *all;
    size_t n;

    assert_int_equal(hv_info(hv, id_of(1), &vm, NULL), -ENOENT);
    assert_int_equal(hv_stop(hv, id_of(1), true, NULL), -ENOENT);
    assert_int_equal(hv_forget(hv, id_of(1), NULL), 0);
    assert_int_equal(start(hv, 1, 7), 0);
    assert_int_equal(start(hv, 1, 8), -EEXIST);
    vm = info(hv, 1);
    assert_true(vm.ours);
    assert_int_equal(vm.run, 7);
    assert_int_equal(vm.state, HV_RUNNING);
    assert_int_equal(vm.end, HV_END_NONE);
    assert_true(llabs(clock_now_us() - vm.started_us) < WAIT_US);
    assert_int_equal(fs_read(log, 1000, &b, NULL), 0);
    assert_string_equal(
        buf_str(&b), "virga-sim: sim-test ready, run 7, 2 vCPUs, 256 MiB\r\n");
    assert_int_equal(hv_host(hv, &host, NULL), 0);
    assert_int_equal(host.cpus, 4);
    assert_int_equal(host.disk_bytes, 10 << 20);
    assert_int_equal(host.memory_free_bytes, 768 << 20);
    assert_int_equal(hv_forget(hv, id_of(1), NULL), -EBUSY);
    assert_int_equal(hv_pause(hv, id_of(1), NULL), 0);
    assert_int_equal(hv_pause(hv, id_of(1), NULL), 0);
    assert_int_equal(info(hv, 1).state, HV_PAUSED);
    assert_int_equal(hv_resume(hv, id_of(1), NULL), 0);
    assert_int_equal(hv_stop(hv, id_of(1), false, NULL), 0);
    assert_int_equal(info(hv, 1).end, HV_END_GUEST);
    assert_int_equal(hv_stop(hv, id_of(1), true, NULL), 0);
    assert_int_equal(info(hv, 1).end, HV_END_GUEST);
    assert_int_equal(hv_pause(hv, id_of(1), &e), -ENOENT);
    assert_string_equal(e.code, "not_running");
    wait_events(4);
    assert_int_equal(start(hv, 1, 8), 0); /* again, not forgotten */
    assert_int_equal(hv_stop(hv, id_of(1), true, NULL), 0);
    assert_int_equal(info(hv, 1).end, HV_END_KILLED);
    assert_int_equal(hv_forget(hv, id_of(1), NULL), 0);
    assert_int_equal(hv_list(hv, &all, &n, NULL), 0);
    free(all);
    assert_int_equal(n, 0);
    hv_close(hv);
    assert_int_equal(check_journal(NULL), 0);
}

static void
stop__delayed_and_paused_and_ignored(void **state)
{
    struct hv *hv = open_sim("stop_delay_ms=50");

    assert_int_equal(start(hv, 1, 1), 0);
    assert_int_equal(hv_stop(hv, id_of(1), false, NULL), 0);
    assert_int_equal(info(hv, 1).state, HV_RUNNING);
    wait_stopped(hv, 1);
    assert_int_equal(info(hv, 1).end, HV_END_GUEST);
    assert_int_equal(start(hv, 2, 1), 0);
    assert_int_equal(hv_pause(hv, id_of(2), NULL), 0);
    assert_int_equal(hv_stop(hv, id_of(2), false, NULL), 0);
    poll(NULL, 0, 120); /* a paused guest sees no button */
    assert_int_equal(info(hv, 2).state, HV_PAUSED);
    assert_int_equal(hv_resume(hv, id_of(2), NULL), 0);
    wait_stopped(hv, 2);
    hv_close(hv);
    hv = open_sim("ignore_acpi_permille=1000");
    assert_int_equal(start(hv, 3, 1), 0);
    assert_int_equal(hv_stop(hv, id_of(3), false, NULL), 0);
    assert_int_equal(info(hv, 3).state, HV_RUNNING);
    assert_int_equal(hv_stop(hv, id_of(3), true, NULL), 0);
    assert_int_equal(info(hv, 3).end, HV_END_KILLED);
    hv_close(hv);
    assert_int_equal(check_journal(NULL), 0);
}

static void
start__failures_come_at_their_rate_and_leave_nothing(void **state)
{
    struct hv *hv = open_sim("start_fail_permille=300,seed=5");
    struct hv_vm *all;
    size_t n;
    int failed = 0, starts;

    for (unsigned i = 0; i < 1000; i++) {
        int r = start(hv, i, 1);

        assert_true(r == 0 || r == -EIO);
        failed += r != 0;
    }
    assert_true(failed > 230 && failed < 370);
    assert_int_equal(hv_list(hv, &all, &n, NULL), 0);
    free(all);
    assert_int_equal(n, 1000 - failed);
    hv_close(hv);
    assert_int_equal(check_journal(&starts), 1000 - failed);
    assert_int_equal(starts, 1000 - failed);
}

static void
console__echoes_and_ends_with_the_vm(void **state)
{
    struct hv *hv = open_sim(NULL);
    char out[20000], in[sizeof(out)];
    size_t got = 0, sent = 0;
    int fd, other;

    assert_int_equal(start(hv, 1, 1), 0);
    assert_int_equal(hv_console_open(hv, id_of(1), &fd, NULL), 0);
    assert_int_equal(hv_console_open(hv, id_of(1), &other, NULL), 0);
    close(other);
    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = (char)(i * 31);
    while (got < sizeof(out)) {
        struct pollfd p = {fd, POLLIN, 0};

        if (sent < sizeof(out))
            p.events |= POLLOUT;
        assert_int_equal(poll(&p, 1, 10000), 1);
        if (p.revents & POLLOUT) {
            ssize_t w = write(fd, out + sent, sizeof(out) - sent);

            assert_true(w > 0 || errno == EAGAIN);
            sent += w > 0 ? (size_t)w : 0;
        }
        if (p.revents & POLLIN) {
            ssize_t r = read(fd, in + got, sizeof(in) - got);

            assert_true(r > 0);
            got += (size_t)r;
        }
    }
    assert_memory_equal(in, out, sizeof(out));
    assert_int_equal(hv_stop(hv, id_of(1), true, NULL), 0);
    struct pollfd p = {fd, POLLIN, 0};
    assert_int_equal(poll(&p, 1, 10000), 1);
    assert_int_equal(read(fd, in, 1), 0);
    close(fd);
    assert_int_equal(hv_console_open(hv, id_of(1), &fd, NULL), -ENOENT);
    hv_close(hv);
}

static void
stats__grow_while_running_only(void **state)
{
    struct hv *hv = open_sim(NULL);
    struct hv_stats a, b;

    assert_int_equal(start(hv, 1, 1), 0);
    poll(NULL, 0, 20);
    assert_int_equal(hv_stats(hv, id_of(1), &a, NULL), 0);
    assert_true(a.cpu_ns > 0 && a.memory_bytes > 0 &&
                a.memory_bytes <= 256 << 20);
    assert_int_equal(hv_pause(hv, id_of(1), NULL), 0);
    assert_int_equal(hv_stats(hv, id_of(1), &a, NULL), 0);
    poll(NULL, 0, 20);
    assert_int_equal(hv_stats(hv, id_of(1), &b, NULL), 0);
    assert_true(a.cpu_ns == b.cpu_ns);
    assert_int_equal(hv_resume(hv, id_of(1), NULL), 0);
    poll(NULL, 0, 20);
    assert_int_equal(hv_stats(hv, id_of(1), &b, NULL), 0);
    assert_true(b.cpu_ns > a.cpu_ns);
    assert_true(b.net_rx_bytes >= a.net_rx_bytes);
    hv_close(hv);
}

static void
open__second_process_is_refused(void **state)
{
    struct hv *hv = open_sim(NULL);
    struct hv_config cfg = {.driver = "sim", .state_dir = dir};
    struct hv *second;

    assert_int_equal(hv_open(&cfg, &second, NULL), -EBUSY);
    hv_close(hv);
    hv = open_sim(NULL);
    hv_close(hv);
}

/* ---- death and adoption ---- */

/* Runs fn in a child that is killed once it has told `go`, after delay_us. */
static void
run_and_kill(void (*fn)(int go), int delay_us)
{
    int pipe_fd[2];
    char c;

    assert_int_equal(pipe(pipe_fd), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(pipe_fd[0]);
        fn(pipe_fd[1]);
        _exit(0);
    }
    close(pipe_fd[1]);
    assert_int_equal(read(pipe_fd[0], &c, 1), 1);
    close(pipe_fd[0]);
    if (delay_us)
        usleep((useconds_t)delay_us);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void
tell(int go)
{
    if (write(go, "x", 1) != 1)
        _exit(1);
}

static void
hold_three(int go)
{
    struct hv *hv = open_sim("guest_exit_after_ms=100");

    for (unsigned i = 1; i <= 3; i++)
        if (start(hv, i, i * 10) < 0)
            _exit(1);
    if (hv_pause(hv, id_of(2), NULL) < 0 ||
        hv_stop(hv, id_of(3), true, NULL) < 0)
        _exit(1);
    tell(go);
    pause();
}

static void
adopt__vms_survive_a_killed_holder(void **state)
{
    struct hv *hv;
    struct hv_vm vm;

    run_and_kill(hold_three, 0);
    poll(NULL, 0, 150); /* guest 1 powers off while nobody looks */
    hv = open_sim(NULL);
    wait_stopped(hv, 1);
    vm = info(hv, 1);
    assert_int_equal(vm.end, HV_END_GUEST);
    assert_int_equal(vm.run, 10);
    vm = info(hv, 2);
    assert_int_equal(vm.state, HV_PAUSED);
    assert_int_equal(vm.run, 20);
    assert_int_equal(info(hv, 3).end, HV_END_KILLED);
    assert_int_equal(start(hv, 2, 21), -EEXIST);
    assert_int_equal(hv_stop(hv, id_of(2), true, NULL), 0);
    hv_close(hv);
    assert_int_equal(check_journal(NULL), 0);
}

/* Some runs crash, by their own dice; the others power themselves off. */
static void
guest_crash__is_told_from_a_power_off(void **state)
{
    struct hv *hv = open_sim("guest_crash_after_ms=20,guest_crash_permille=500,"
                             "guest_exit_after_ms=30");
    int crashed = 0;

    for (unsigned run = 1; run <= 20; run++) {
        assert_int_equal(start(hv, 1, run), 0);
        wait_stopped(hv, 1);
        struct hv_vm vm = info(hv, 1);
        assert_true(vm.end == HV_END_CRASHED || vm.end == HV_END_GUEST);
        int64_t lived = vm.ended_us - vm.started_us;
        assert_int_equal(lived, vm.end == HV_END_CRASHED ? 20000 : 30000);
        crashed += vm.end == HV_END_CRASHED;
    }
    assert_in_range(crashed, 1, 19);
    hv_close(hv);
    assert_int_equal(check_journal(NULL), 0);
}

static void
churn(int go)
{
    struct hv *hv = open_sim(NULL);
    unsigned turn = (unsigned)(clock_now_us() & 0xffffff);

    for (unsigned i = 0;; i++) {
        unsigned n = (turn + i) % 50;
        struct hv_vm vm;

        if (i == 20)
            tell(go);
        if (hv_info(hv, id_of(n), &vm, NULL) < 0 || vm.state == HV_STOPPED) {
            if (start(hv, n, (uint64_t)clock_now_us()) < 0)
                _exit(1);
        } else if (hv_stop(hv, id_of(n), i % 2, NULL) < 0) {
            _exit(1);
        }
        if (i % 7 == 0 && hv_info(hv, id_of(n), &vm, NULL) == 0 &&
            vm.state == HV_STOPPED && hv_forget(hv, id_of(n), NULL) < 0)
            _exit(1);
    }
}

static void
journal__holds_over_kills_at_random_moments(void **state)
{
    struct hv *hv;
    struct hv_vm *all;
    size_t n;
    int running = 0;

    for (int i = 0; i < 40; i++)
        run_and_kill(churn, (i * 7919) % 20000);
    hv = open_sim(NULL);
    assert_int_equal(hv_list(hv, &all, &n, NULL), 0);
    for (size_t i = 0; i < n; i++)
        running += all[i].state == HV_RUNNING;
    free(all);
    assert_int_equal(check_journal(NULL), running);
    hv_close(hv);
}

/* ---- scale ---- */

#define N_VMS 12000
#define N_THREADS 4
static struct hv *scale_hv;

static void *
start_share(void *arg)
{
    intptr_t k = (intptr_t)arg;

    for (unsigned i = (unsigned)k; i < N_VMS; i += N_THREADS)
        if (start(scale_hv, i, 1) < 0)
            return (void *)1;
    return NULL;
}

static void
scale__twelve_thousand_vms(void **state)
{
    struct hv *hv = scale_hv = open_sim("memory_mib=16777216");
    pthread_t threads[N_THREADS];
    struct hv_vm *all;
    int64_t begin = clock_mono_us(), spent;
    void *failed;
    size_t n;

    for (intptr_t i = 0; i < N_THREADS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, start_share, (void *)i), 0);
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    spent = clock_mono_us() - begin;
    print_message("# %d starts: %.0f/s\n", N_VMS, N_VMS * 1e6 / (double)spent);
    /* A tenth of what is wanted of a quiet machine: no figure of a loaded one
     * may fail the test, only something quadratic. */
    assert_true(spent < N_VMS / 300 * US_PER_S);
    wait_events(N_VMS);
    hv_close(hv);
    begin = clock_mono_us();
    hv = open_sim(NULL);
    print_message("# adopted in %.0f ms\n",
                  (double)(clock_mono_us() - begin) / 1000);
    assert_int_equal(hv_list(hv, &all, &n, NULL), 0);
    assert_int_equal(n, N_VMS);
    free(all);
    for (unsigned i = 0; i < N_VMS; i++) {
        assert_int_equal(hv_stop(hv, id_of(i), i % 2, NULL), 0);
        assert_int_equal(hv_forget(hv, id_of(i), NULL), 0);
    }
    hv_close(hv);
    assert_int_equal(check_journal(NULL), 0);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        T(options__bad_are_refused),
        T(guest_crash__is_told_from_a_power_off),
        T(life__start_pause_stop_forget),
        T(stop__delayed_and_paused_and_ignored),
        T(start__failures_come_at_their_rate_and_leave_nothing),
        T(console__echoes_and_ends_with_the_vm),
        T(stats__grow_while_running_only),
        T(open__second_process_is_refused),
        T(adopt__vms_survive_a_killed_holder),
        T(journal__holds_over_kills_at_random_moments),
        T(scale__twelve_thousand_vms),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
