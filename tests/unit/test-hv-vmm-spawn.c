/* test-hv-vmm-spawn.c - how the driver `vmm` starts programs. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>

#include "common/mem.h"
#include "hypervisor-backend/vmm-driver/vd-private.h"

#define PROGRAM "/bin/sleep"
#define TIMES 300

static int null_fd;

/* One processor, which is ours as soon as the kernel lets us go on, where it
 * gives us such a priority. */
static void
be_first(cpu_set_t *ret_old)
{
    struct sched_param first = {.sched_priority = 1};
    cpu_set_t one;
    int cpu;

    assert_int_equal(sched_getaffinity(0, sizeof(*ret_old), ret_old), 0);
    for (cpu = 0; !CPU_ISSET(cpu, ret_old); cpu++)
        continue;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first) < 0)
        print_message("no priority: %s\n", strerrordesc_np(errno));
}

static void
be_as_before(const cpu_set_t *old)
{
    struct sched_param none = {0};

    assert_int_equal(sched_setscheduler(0, SCHED_OTHER, &none), 0);
    assert_int_equal(sched_setaffinity(0, sizeof(*old), old), 0);
}

static void
spawn__is_the_program_when_it_returns(void **state)
{
    const char *argv[] = {"sleep", "600", NULL};
    struct vd_spawn s = {.path = PROGRAM, .argv = argv, .log_fd = null_fd};
    cpu_set_t old;
    struct stat st;

    assert_int_equal(stat(PROGRAM, &st), 0);
    be_first(&old);
    for (int i = 0; i < TIMES; i++) {
        struct err e _cleanup_(err_release) = {0};
        int64_t dev, ino;
        int pidfd _cleanup_(closep) = -1;
        pid_t pid;

        if (vd_spawn(&s, &pid, &pidfd, &e) < 0)
            fail_msg("%s", e.message);
        assert_int_equal(vd_exe_of(pid, &dev, &ino), 0);
        assert_int_equal(vd_pidfd_kill(pidfd, 10000), 0);
        /* A record with another one would have the next agent end the VM. */
        assert_int_equal(dev, st.st_dev);
        assert_int_equal(ino, st.st_ino);
    }
    be_as_before(&old);
}

/* Its descriptors are those that it was given, in order, and no other. */
static void
spawn__descriptors_are_those_given(void **state)
{
    const char *argv[] = {
        "readlink",        "/proc/self/fd/0",  "/proc/self/fd/3",
        "/proc/self/fd/4", "/proc/self/fd/5",  "/proc/self/fd/6",
        "/proc/self/fd/7", "/proc/self/fd/15", NULL};
    struct err e _cleanup_(err_release) = {0};
    int out[2], fds[2], pidfd _cleanup_(closep) = -1;
    struct vd_spawn s = {
        .path = "/bin/readlink", .argv = argv, .fds = fds, .n_fds = 2};
    char got[500] = "";
    size_t n = 0;
    ssize_t r;
    pid_t pid;

    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    s.log_fd = out[1];
    /* One that is inherited, if nobody sees to it, and the first numbers that
     * a caller may use. */
    assert_int_equal(dup2(null_fd, 15), 15);
    fds[0] = fcntl(null_fd, F_DUPFD_CLOEXEC, 5);
    fds[1] = fcntl(null_fd, F_DUPFD_CLOEXEC, 5);
    assert_true(fds[0] >= 5 && fds[1] >= 5);
    if (vd_spawn(&s, &pid, &pidfd, &e) < 0)
        fail_msg("%s", e.message);
    close(fds[0]);
    close(fds[1]);
    close(out[1]);
    close(15);
    while ((r = read(out[0], got + n, sizeof(got) - 1 - n)) > 0)
        n += (size_t)r;
    close(out[0]);
    vd_pidfd_reap(pidfd);
    assert_string_equal(got, "/dev/null\n/dev/null\n/dev/null\n");
}

static void
spawn__failure_names_the_step(void **state)
{
    const char *argv[] = {"none", NULL};
    struct vd_spawn s = {
        .path = "/nonexistent/program", .argv = argv, .log_fd = null_fd};
    struct err e _cleanup_(err_release) = {0};
    int pidfd = -1;
    pid_t pid;

    assert_int_equal(vd_spawn(&s, &pid, &pidfd, &e), -ENOENT);
    assert_non_null(strstr(e.message, "exec"));
    assert_int_equal(pidfd, -1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spawn__is_the_program_when_it_returns),
        cmocka_unit_test(spawn__descriptors_are_those_given),
        cmocka_unit_test(spawn__failure_names_the_step),
    };

    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
