/* test-hv-cgroup.c - limits in force, figures, kill, what a crash left: on
 * the control groups that the machine has. As root only, but the arithmetic.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/id.h"
#include "hypervisor-backend/vmm-driver/cgroup-private.h"

#define MIB (UINT64_C(1) << 20)

static char slice[64];
static struct cgroup_root *root;
static struct cgroup *group;
static char id[ID_SIZE];

/* --- arithmetic --- */

static void
weight__shares_and_reservation_take_the_larger(void **state)
{
    struct cgroup_limits l = {0};

    assert_int_equal(cgroup_cpu_weight(&l), 100);
    l.cpu_shares = 400;
    assert_int_equal(cgroup_cpu_weight(&l), 400);
    l.node_millicpu = 8000;
    l.cpu_reserve_millicpu = 2000;
    assert_int_equal(cgroup_cpu_weight(&l), 2500);
    l.cpu_shares = 9000;
    assert_int_equal(cgroup_cpu_weight(&l), 9000);
    l = (struct cgroup_limits){.node_millicpu = 3, .cpu_reserve_millicpu = 1};
    assert_int_equal(cgroup_cpu_weight(&l), 3334);
    l = (struct cgroup_limits){.node_millicpu = UINT32_MAX,
                               .cpu_reserve_millicpu = UINT32_MAX};
    assert_int_equal(cgroup_cpu_weight(&l), 10000);
}

/* Reserved in full by many: each one's part of the sum is what it reserved. */
static void
weight__full_node_keeps_each_reservation(void **state)
{
    static const uint32_t reserved[] = {500, 1000, 250, 2000, 3750, 500};
    unsigned weight[ARRAY_SIZE(reserved)], sum = 0;

    for (size_t i = 0; i < ARRAY_SIZE(reserved); i++) {
        struct cgroup_limits l = {.node_millicpu = 8000,
                                  .cpu_reserve_millicpu = reserved[i],
                                  .cpu_shares = 1};

        weight[i] = cgroup_cpu_weight(&l);
        sum += weight[i];
    }
    assert_in_range(sum, 10000, 10000 + ARRAY_SIZE(reserved));
    for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
        assert_true((uint64_t)weight[i] * 8000 / sum + 1 >= reserved[i]);
}

static void
memory__overhead_grows_with_the_vm(void **state)
{
    uint64_t small = cgroup_memory_max(128 * MIB, 1, 2);

    assert_true(small >= 128 * MIB + 32 * MIB);
    assert_int_equal(cgroup_memory_max(128 * MIB, 5, 2) - small,
                     4 * CGROUP_OVERHEAD_VCPU_BYTES);
    assert_true(cgroup_memory_max(1 << 30, 64, 16) > (1 << 30) + 100 * MIB);
}

/* --- on the machine --- */

static int
group_setup(void **state)
{
    struct err e = {0};

    group = NULL;
    root = NULL;
    if (geteuid() != 0)
        skip();
    snprintf(slice, sizeof(slice), "virga-test-%d", (int)getpid());
    id_new(id);
    if (cgroup_root_open(slice, &root, &e) < 0 ||
        cgroup_new(root, id, &group, &e) < 0) {
        fprintf(stderr, "%s\n", e.message);
        return -1;
    }
    return 0;
}

static void
remove_slices(void)
{
    /* By the descriptor's own path: the mounts differ from host to host. */
    for (unsigned i = 0; i < root->n; i++) {
        char link[64], path[4096] = "";

        snprintf(link, sizeof(link), "/proc/self/fd/%d", root->h[i].fd);
        assert_true(readlink(link, path, sizeof(path) - 1) > 0);
        assert_int_equal(rmdir(path), 0);
    }
}

static int
group_teardown(void **state)
{
    struct err e = {0};

    if (!root)
        return 0;
    if (group && cgroup_kill(group, 5000, &e) < 0)
        fprintf(stderr, "%s\n", e.message);
    cgroup_free(group);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
    if (cgroup_remove(root, id, &e) < 0)
        fprintf(stderr, "%s\n", e.message);
    remove_slices();
    cgroup_root_free(root);
    return 0;
}

static void
set(const struct cgroup_limits *l)
{
    struct err e = {0};

    if (cgroup_set(group, l, &e) < 0)
        fail_msg("%s", e.message);
}

/* A child in the group that runs fn and exits with its result; it is in the
 * group when this returns. */
static pid_t
spawn_in_group(int (*fn)(void))
{
    int fds[CGROUP_CONTROLLERS + 1], joined[2];
    unsigned n = cgroup_procs_fds(group, fds);
    pid_t pid;
    char c;

    assert_true(n > 0);
    assert_int_equal(pipe(joined), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int r = cgroup_join(fds, n);

        close(joined[0]);
        close(joined[1]);
        _exit(r < 0 ? 99 : fn());
    }
    close(joined[1]);
    assert_int_equal(read(joined[0], &c, 1), 0);
    close(joined[0]);
    return pid;
}

static int
status_of(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static int
forks_six(void)
{
    int made = 0;

    for (int i = 0; i < 6; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            pause();
            _exit(0);
        }
        made += pid > 0;
    }
    return made; /* they are the group's to kill */
}

static void
pids__more_than_the_limit_are_not_made(void **state)
{
    struct cgroup_limits l = {.pids_max = 4};
    struct cgroup_stats s;
    int status;

    if (!cgroup_has(root, CGROUP_PIDS))
        skip();
    set(&l);
    status = status_of(spawn_in_group(forks_six));
    assert_true(WIFEXITED(status));
    assert_int_equal(cgroup_stats(group, &s), 0);
#ifdef __SANITIZE_THREAD__ /* its processes have a thread of its own each */
    assert_true(WEXITSTATUS(status) < 6);
    assert_true(s.pids >= 1 && s.pids <= 4);
#else
    assert_int_equal(WEXITSTATUS(status), 3);
    assert_int_equal(s.pids, 3);
#endif
    assert_int_equal(cgroup_remove(root, id, NULL), -EBUSY);
    assert_int_equal(cgroup_kill(group, 5000, NULL), 0);
    assert_int_equal(cgroup_stats(group, &s), 0);
}

static int
touches_64_mib(void)
{
    char *p = mmap(NULL, 64 * MIB, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    return p == MAP_FAILED ? 1 : p[0];
}

static void
memory__more_than_the_limit_kills(void **state)
{
    struct cgroup_limits l = {.memory_max_bytes = 16 * MIB};
    struct cgroup_stats s;
    int status;

    if (!cgroup_has(root, CGROUP_MEMORY))
        skip();
    set(&l);
    status = status_of(spawn_in_group(touches_64_mib));
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    assert_int_equal(cgroup_stats(group, &s), 0);
    assert_true(s.oom_kills >= 1);
    assert_true(s.memory_max_events >= 1);
    assert_true(s.memory_peak_bytes <= 16 * MIB);
    l.memory_max_bytes = 128 * MIB;
    set(&l);
    status = status_of(spawn_in_group(touches_64_mib));
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Half a second of wall-clock time, all of it wanted. */
static int
burns(void)
{
    int64_t end = clock_mono_us() + 500000;

    while (clock_mono_us() < end)
        continue;
    return 0;
}

static void
cpu__quota_holds_and_is_told(void **state)
{
    struct cgroup_limits l = {.cpu_limit_millicpu = 200};
    struct cgroup_stats s;

    if (!cgroup_has(root, CGROUP_CPU))
        skip();
    set(&l);
    assert_int_equal(status_of(spawn_in_group(burns)), 0);
    assert_int_equal(cgroup_stats(group, &s), 0);
    /* A fifth is 100 ms; the first period and the last may add theirs. */
    assert_in_range(s.cpu_ns, 1000000, 200000000);
    assert_true(s.throttled_periods >= 2);
    assert_true(s.throttled_ns > 0);
}

static void
set__values_stand_in_the_files(void **state)
{
    struct cgroup_limits l = {.cpu_shares = 300,
                              .cpu_limit_millicpu = 1500,
                              .memory_max_bytes = 64 * MIB,
                              .pids_max = 77};
    bool v2;
    int dir;

    set(&l);
    dir = cgroup_dir(group, CGROUP_CPU, &v2);
    if (dir >= 0 && v2) {
        assert_int_equal(cgroup_number(dir, "cpu.weight"), 300);
        assert_int_equal(cgroup_number(dir, "cpu.max"), 150000);
    } else if (dir >= 0) {
        assert_int_equal(cgroup_number(dir, "cpu.shares"), 3072);
        assert_int_equal(cgroup_number(dir, "cpu.cfs_quota_us"), 150000);
    }
    dir = cgroup_dir(group, CGROUP_MEMORY, &v2);
    if (dir >= 0) {
        assert_int_equal(
            cgroup_number(dir, v2 ? "memory.max" : "memory.limit_in_bytes"),
            64 * MIB);
        assert_true(!v2 || cgroup_number(dir, "memory.oom.group") == 1);
    }
    dir = cgroup_dir(group, CGROUP_PIDS, &v2);
    if (dir >= 0)
        assert_int_equal(cgroup_number(dir, "pids.max"), 77);
    /* And away again. */
    l = (struct cgroup_limits){0};
    set(&l);
    dir = cgroup_dir(group, CGROUP_PIDS, &v2);
    if (dir >= 0)
        assert_true(cgroup_lists(dir, "pids.max", "max"));
}

/* A whole disk that the machine has; 0: none. */
static dev_t
some_disk(void)
{
    FILE *f _cleanup_(fclosep) = fopen("/proc/partitions", "r");
    unsigned major_nr, minor_nr;
    char line[256], name[64], path[128];

    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%u %u %*u %63s", &major_nr, &minor_nr, name) != 3)
            continue;
        snprintf(path, sizeof(path), "/sys/block/%s", name);
        if (access(path, F_OK) == 0)
            return makedev(major_nr, minor_nr);
    }
    return 0;
}

static void
io__limits_are_set_and_taken_away(void **state)
{
    struct cgroup_limits l = {.n_io = 1};
    char text[512];
    bool v2;
    int dir = cgroup_dir(group, CGROUP_IO, &v2);

    l.io[0] = (struct cgroup_io_limit){.dev = some_disk(),
                                       .read_bytes_per_s = 1048576,
                                       .write_ops_per_s = 100};
    if (dir < 0 || !l.io[0].dev)
        skip();
    set(&l);
    assert_int_equal(
        cgroup_read(dir, v2 ? "io.max" : "blkio.throttle.read_bps_device", text,
                    sizeof(text)),
        0);
    assert_non_null(strstr(text, "1048576"));
    l.io[0].read_bytes_per_s = l.io[0].write_ops_per_s = 0;
    set(&l);
    assert_int_equal(
        cgroup_read(dir, v2 ? "io.max" : "blkio.throttle.read_bps_device", text,
                    sizeof(text)),
        0);
    assert_null(strstr(text, "1048576"));
}

static void
set__impossible_limits_name_the_field(void **state)
{
    static const struct {
        struct cgroup_limits l;
        const char *field;
    } bad[] = {
        {{.cpu_shares = 10001}, "/cpu_shares"},
        {{.cpu_reserve_millicpu = 1}, "/cpu_reserve_millicpu"},
        {{.cpu_reserve_millicpu = 9, .node_millicpu = 8},
         "/cpu_reserve_millicpu"},
        {{.cpu_reserve_millicpu = 9,
          .node_millicpu = 9,
          .cpu_limit_millicpu = 8},
         "/cpu_limit_millicpu"},
        {{.io_weight = 1001}, "/io_weight"},
        {{.n_io = CGROUP_MAX_IO_LIMITS + 1}, "/io"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct err e _cleanup_(err_release) = {0};

        assert_int_equal(cgroup_set(group, &bad[i].l, &e), -EINVAL);
        assert_string_equal(e.details[0].pointer, bad[i].field);
    }
}

static int
ignores_signals(void)
{
    signal(SIGTERM, SIG_IGN);
    for (int i = 0; i < 3; i++)
        if (fork() < 0)
            return 1;
    for (;;)
        pause();
    return 0;
}

static void
kill__all_descendants_end(void **state)
{
    pid_t pid = spawn_in_group(ignores_signals);
    struct pollfd none = {.fd = -1};
    int64_t end = clock_mono_us() + 5000000;
    struct cgroup_stats s = {0};
    int status;

    /* Until the fork that is to be killed has happened. */
    while (s.pids < 8 && cgroup_has(root, CGROUP_PIDS) &&
           clock_mono_us() < end) {
        assert_int_equal(cgroup_stats(group, &s), 0);
        (void)poll(&none, 1, 1);
    }
    assert_int_equal(cgroup_kill(group, 5000, NULL), 0);
    status = status_of(pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void
add__moves_another_process(void **state)
{
    struct cgroup_stats s;
    pid_t pid = fork();

    if (pid == 0) {
        pause();
        _exit(0);
    }
    assert_int_equal(cgroup_add(group, pid, NULL), 0);
    assert_int_equal(cgroup_stats(group, &s), 0);
#ifdef __SANITIZE_THREAD__ /* it may have its thread by now */
    assert_true(!cgroup_has(root, CGROUP_PIDS) || (s.pids >= 1 && s.pids <= 2));
#else
    assert_true(!cgroup_has(root, CGROUP_PIDS) || s.pids == 1);
#endif
    assert_int_equal(cgroup_kill(group, 5000, NULL), 0);
    assert_true(WIFSIGNALED(status_of(pid)));
}

static void
new__stale_group_is_replaced(void **state)
{
    struct cgroup_limits l = {.pids_max = 5};
    struct cgroup *again;
    bool v2;
    int dir;

    set(&l);
    cgroup_free(group);
    group = NULL;
    assert_int_equal(cgroup_new(root, id, &again, NULL), 0);
    group = again;
    dir = cgroup_dir(group, CGROUP_PIDS, &v2);
    if (dir >= 0)
        assert_true(cgroup_lists(dir, "pids.max", "max"));
}

static void
new__group_with_processes_is_busy(void **state)
{
    pid_t pid = spawn_in_group(ignores_signals);
    struct cgroup *again;

    assert_int_equal(cgroup_new(root, id, &again, NULL), -EBUSY);
    assert_int_equal(cgroup_kill(group, 5000, NULL), 0);
    assert_true(WIFSIGNALED(status_of(pid)));
}

static void
open__finds_a_running_one(void **state)
{
    struct cgroup *again;
    struct cgroup_stats s;
    char other[ID_SIZE];
    int fds[CGROUP_CONTROLLERS + 1];

    assert_int_equal(cgroup_open(root, id, &again, NULL), 0);
    assert_int_equal(cgroup_stats(again, &s), 0);
    assert_int_equal(cgroup_procs_fds(again, fds), 0);
    cgroup_free(again);
    id_new(other);
    assert_int_equal(cgroup_open(root, other, &again, NULL), -ENOENT);
    assert_int_equal(cgroup_open(root, "../..", &again, NULL), -EINVAL);
    assert_int_equal(cgroup_new(root, "x", &again, NULL), -EINVAL);
    assert_int_equal(cgroup_remove(root, "..", NULL), -EINVAL);
}

static void
note(void *arg, const char *found)
{
    unsigned *n = arg;

    *n += strcmp(found, id) == 0 ? 1 : 100;
}

static void
list__tells_each_once(void **state)
{
    unsigned n = 0;

    assert_int_equal(cgroup_list(root, note, &n, NULL), 0);
    assert_int_equal(n, 1);
}

static void
stats__removed_group_is_an_error(void **state)
{
    struct cgroup_stats s;

    assert_int_equal(cgroup_remove(root, id, NULL), 0);
    assert_true(cgroup_stats(group, &s) < 0);
    cgroup_free(group);
    group = NULL;
}

static void
slice__odd_names_are_refused(void **state)
{
    static const char *const bad[] = {"",     "..",  "a/../b", "/a",
                                      "a//b", "a/.", "a\nb"};
    struct cgroup_root *r;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(cgroup_root_open(bad[i], &r, NULL), -EINVAL);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, group_setup, group_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weight__shares_and_reservation_take_the_larger),
        cmocka_unit_test(weight__full_node_keeps_each_reservation),
        cmocka_unit_test(memory__overhead_grows_with_the_vm),
        cmocka_unit_test(slice__odd_names_are_refused),
        T(pids__more_than_the_limit_are_not_made),
        T(memory__more_than_the_limit_kills),
        T(cpu__quota_holds_and_is_told),
        T(set__values_stand_in_the_files),
        T(io__limits_are_set_and_taken_away),
        T(set__impossible_limits_name_the_field),
        T(kill__all_descendants_end),
        T(add__moves_another_process),
        T(new__stale_group_is_replaced),
        T(new__group_with_processes_is_busy),
        T(open__finds_a_running_one),
        T(list__tells_each_once),
        T(stats__removed_group_is_an_error),
    };

    return cmocka_run_group_tests_name("hv-cgroup", tests, NULL, NULL);
}
