/* test-vmm-vm.c - whole virtual machines on the host's KVM, with the small
 * guests of tests/vmm. Also where KVM only interprets: they need
 * milliseconds. Skipped where /dev/kvm does not open. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/time.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/metrics.h"
#include "hypervisor-backend/vmm/vm.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define LIMIT_US (120 * US_PER_S) /* a loaded machine that interprets */
#define COUNTER 0x200000

struct guest {
    struct vm *vm;
    struct buf out;
    size_t seen; /* expect() goes on from here */
};

static void
need_kvm(void)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        print_message("/dev/kvm: %s\n", strerrordesc_np(errno));
        skip();
    }
    close(fd);
}

static int
open_guest(const char *name)
{
    char *path = xasprintf("%s/%s.elf", GUEST_DIR, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        fail_msg("%s: %s", path, strerrordesc_np(errno));
    free(path);
    return fd;
}

static void
begin(struct guest *g, const char *name, const char *cmdline, unsigned cpus,
      uint64_t memory)
{
    struct vm_config cfg = {.cpus = cpus,
                            .memory_bytes = memory,
                            .kvm_fd = -1,
                            .initrd_fd = -1,
                            .cmdline = cmdline};
    struct err e = {0};

    need_kvm();
    *g = (struct guest){0};
    cfg.kernel_fd = open_guest(name);
    if (vm_new(&cfg, &g->vm, &e) < 0 || vm_boot(g->vm, &cfg, &e) < 0 ||
        vm_start(g->vm, &e) < 0)
        fail_msg("%s", e.message);
    close(cfg.kernel_fd);
}

static void
take_output(struct guest *g)
{
    char bytes[512];
    size_t n;

    while ((n = serial_output(vm_serial(g->vm), bytes, sizeof(bytes))) > 0)
        buf_add(&g->out, bytes, n);
}

static void
wait_event(struct guest *g, int64_t deadline)
{
    struct pollfd p = {.fd = vm_event_fd(g->vm), .events = POLLIN};
    int64_t left = deadline - clock_mono_us();

    if (left <= 0 || poll(&p, 1, (int)(left / 1000) + 1) == 0)
        fail_msg("nothing more came after: %s", buf_str(&g->out));
    vm_event_clear(g->vm);
}

/* Until the guest has printed it. */
static void
expect(struct guest *g, const char *text)
{
    int64_t deadline = clock_mono_us() + LIMIT_US;

    for (;;) {
        enum vm_end end = vm_ended(g->vm);
        const char *at;

        take_output(g);
        at = strstr(buf_str(&g->out) + g->seen, text);
        if (at) {
            g->seen = (size_t)(at - buf_str(&g->out)) + strlen(text);
            return;
        }
        if (end != VM_END_NONE)
            fail_msg("ended (%s) without \"%s\": %s", vm_end_name(end), text,
                     buf_str(&g->out));
        wait_event(g, deadline);
    }
}

static void
expect_end(struct guest *g, enum vm_end want)
{
    int64_t deadline = clock_mono_us() + LIMIT_US;

    while (vm_ended(g->vm) == VM_END_NONE)
        wait_event(g, deadline);
    take_output(g);
    if (vm_ended(g->vm) != want)
        fail_msg("ended by %s: %s", vm_end_name(vm_ended(g->vm)),
                 buf_str(&g->out));
}

static void
finish(struct guest *g)
{
    vm_stop(g->vm);
    vm_free(g->vm);
    buf_release(&g->out);
}

static void
io__exits_reach_the_right_device_or_nobody(void **state)
{
    struct vcpu_stats s;
    struct guest g;

    begin(&g, "io", NULL, 1, 16 * MIB);
    expect(&g, "pio ok\n");
    expect(&g, "pio unclaimed ok\n");
    expect(&g, "mmio unclaimed ok\n");
    expect(&g, "string ok\n");
    expect(&g, "io end\n");
    expect_end(&g, VM_END_POWEROFF);
    vm_stop(g.vm);
    vm_vcpu_stats(g.vm, 0, &s);
    assert_true(s.exits[VCPU_EXIT_PIO] > 50);
    assert_true(s.exits[VCPU_EXIT_MMIO] >= 5);
    assert_true(s.unclaimed >= 9);
    assert_true(s.guest_ns > 0);
    assert_int_equal(s.exits[VCPU_EXIT_ERROR], 0);
    finish(&g);
}

static void
irq__timer_serial_and_power_button(void **state)
{
    struct guest g;

    begin(&g, "irq", NULL, 1, 16 * MIB);
    expect(&g, "timer ok\n");
    expect(&g, "transmit ok\n");
    expect(&g, "waiting\n");
    assert_int_equal(serial_input(vm_serial(g.vm), "hello", 5), 5);
    expect(&g, "hello");
    /* More than the port takes at once. */
    for (size_t sent = 0; sent < 300;) {
        char c = (char)('a' + sent % 26);
        size_t n = serial_input(vm_serial(g.vm), &c, 1);

        take_output(&g);
        if (n == 0)
            wait_event(&g, clock_mono_us() + LIMIT_US);
        sent += n;
    }
    while (g.out.len - g.seen < 300) {
        wait_event(&g, clock_mono_us() + LIMIT_US);
        take_output(&g);
    }
    for (size_t i = 0; i < 300; i++)
        assert_int_equal(g.out.data[g.seen + i], 'a' + i % 26);
    assert_int_equal(vm_ended(g.vm), VM_END_NONE);
    vm_power_button(g.vm);
    expect(&g, "button ok\n");
    expect_end(&g, VM_END_POWEROFF);
    finish(&g);
}

static void
end__each_way_is_told_apart(void **state)
{
    static const struct {
        const char *how;
        enum vm_end want;
    } ways[] = {{"p", VM_END_POWEROFF},
                {"r", VM_END_RESET},
                {"t", VM_END_TRIPLE_FAULT},
                {"k", VM_END_PANIC}};

    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        struct guest g;

        begin(&g, "end", ways[i].how, 1, 16 * MIB);
        expect(&g, "end begin\n");
        expect_end(&g, ways[i].want);
        /* The first reason stands. */
        vm_stop(g.vm);
        assert_int_equal(vm_ended(g.vm), ways[i].want);
        finish(&g);
    }
}

static void
stop__halted_guest_ends(void **state)
{
    struct guest g;

    begin(&g, "end", "h", 1, 16 * MIB);
    expect(&g, "end begin\n");
    vm_stop(g.vm);
    assert_int_equal(vm_ended(g.vm), VM_END_STOPPED);
    /* Nothing of this may hang or crash afterwards. */
    vm_pause(g.vm);
    vm_resume(g.vm);
    vm_power_button(g.vm);
    finish(&g);
}

static uint64_t
count(const struct guest *g)
{
    /* The guest writes meanwhile: one load. */
    return __atomic_load_n((uint64_t *)gmem_ptr(vm_gmem(g->vm), COUNTER, 8),
                           __ATOMIC_RELAXED);
}

static void
pause__guest_stands_still_until_resumed(void **state)
{
    struct guest g;
    uint64_t before;

    begin(&g, "end", "l", 1, 16 * MIB);
    expect(&g, "counting\n");
    for (int round = 0; round < 20; round++) {
        int64_t deadline = clock_mono_us() + LIMIT_US;

        vm_pause(g.vm);
        vm_pause(g.vm); /* again is nothing */
        before = count(&g);
        usleep(2000);
        assert_int_equal(count(&g), before);
        vm_resume(g.vm);
        vm_resume(g.vm);
        while (count(&g) == before)
            assert_true(clock_mono_us() < deadline);
    }
    vm_pause(g.vm);
    vm_stop(g.vm); /* a paused one ends as well */
    assert_int_equal(vm_ended(g.vm), VM_END_STOPPED);
    finish(&g);
}

static void
smp__all_processors_start(void **state)
{
    static const unsigned counts[] = {1, 2, 5, 64};

    for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
        unsigned n = counts[i];
        char cmdline[2] = {(char)('0' + n), '\0'};
        char want[64];
        struct guest g;

        begin(&g, "smp", cmdline, n, 16 * MIB);
        /* The first does not announce itself. */
        snprintf(want, sizeof(want), "cpus %016x ids %016llx\n", n,
                 (n == 64 ? ~0ull : (1ull << n) - 1) & ~1ull);
        expect(&g, want);
        expect_end(&g, VM_END_POWEROFF);
        finish(&g);
    }
}

static void
mem__five_gib_around_the_hole(void **state)
{
    struct guest g;

    begin(&g, "mem", NULL, 1, 5 * GIB);
    expect(&g, "0000000000000000 000000000009fc00\n"
               "0000000000100000 00000000bff00000\n"
               "0000000100000000 0000000080000000\n");
    expect(&g, "mem ok\n");
    expect_end(&g, VM_END_POWEROFF);
    finish(&g);
}

static void
serial__unread_output_does_not_stop_the_guest(void **state)
{
    struct guest g;

    begin(&g, "end", "f", 1, 16 * MIB);
    expect_end(&g, VM_END_POWEROFF);
    assert_true(serial_dropped(vm_serial(g.vm)) >= 100000 - SERIAL_OUT_RING);
    /* What was kept is the beginning. */
    assert_int_equal(g.out.len, SERIAL_OUT_RING);
    assert_memory_equal(g.out.data, "end begin\nxxx", 13);
    finish(&g);
}

static void
metrics__counters_are_written(void **state)
{
    struct buf b = {0};
    struct guest g;

    begin(&g, "io", NULL, 2, 16 * MIB);
    expect_end(&g, VM_END_POWEROFF);
    metrics_write(g.vm, NULL, NULL, &b);
    assert_non_null(strstr(b.data, "virga_vmm_exits_total{vcpu=\"0\",kind="
                                   "\"pio\"} "));
    assert_non_null(strstr(b.data, "virga_vmm_exits_total{vcpu=\"1\",kind="
                                   "\"pio\"} 0\n"));
    assert_non_null(strstr(b.data, "vmm_bus_unclaimed"));
    assert_non_null(strstr(b.data, "\n# EOF\n"));
    buf_release(&b);
    finish(&g);
}

static void
config__bad_values_refused(void **state)
{
    struct vm_config good = {
        .cpus = 1, .memory_bytes = 16 * MIB, .kvm_fd = -1, .initrd_fd = -1};
    struct vm_config cfg;
    struct err e = {0};
    struct vm *vm = NULL;
    int pipefd[2];

    cfg = good;
    cfg.cpus = 0;
    assert_int_equal(vm_new(&cfg, &vm, &e), -EINVAL);
    cfg.cpus = 65;
    assert_int_equal(vm_new(&cfg, &vm, &e), -EINVAL);
    cfg = good;
    cfg.kvm_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_int_equal(vm_new(&cfg, &vm, &e), -ENODEV);
    /* It was taken over, so it is closed now. */
    assert_int_equal(fcntl(cfg.kvm_fd, F_GETFD), -1);
    assert_null(vm);
    need_kvm();
    cfg = good;
    cfg.memory_bytes = 12345;
    assert_int_equal(vm_new(&cfg, &vm, &e), -EINVAL);
    assert_null(vm);
    assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
    cfg = good;
    cfg.kernel_fd = pipefd[0];
    assert_int_equal(vm_new(&cfg, &vm, &e), 0);
    assert_int_equal(vm_boot(vm, &cfg, &e), -EINVAL);
    vm_free(vm);
    close(pipefd[0]);
    close(pipefd[1]);
    err_release(&e);
}

static unsigned
open_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void
many__leave_nothing_behind(void **state)
{
    unsigned before;
    struct guest g;

    need_kvm();
    before = open_fds();
    for (int i = 0; i < 10; i++) {
        begin(&g, "end", "p", 2, 16 * MIB);
        /* Ended at every moment of its life, too. */
        if (i % 2)
            expect_end(&g, VM_END_POWEROFF);
        finish(&g);
    }
    assert_int_equal(open_fds(), before);
}

static void
on_alarm(int signo)
{
}

/* Signals without SA_RESTART interrupt every call that can be. */
static void
signals__everything_is_retried(void **state)
{
    struct sigaction sa = {.sa_handler = on_alarm}, old;
    struct itimerval often = {{0, 300}, {0, 300}}, never = {{0, 0}, {0, 0}};
    struct guest g;

    need_kvm();
    assert_int_equal(sigaction(SIGALRM, &sa, &old), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    for (int i = 0; i < 5; i++) {
        struct vm_config cfg = {.cpus = 3,
                                .memory_bytes = 16 * MIB,
                                .kvm_fd = -1,
                                .initrd_fd = -1,
                                .cmdline = "3"};
        struct err e = {0};

        g = (struct guest){0};
        do
            cfg.kernel_fd = open(GUEST_DIR "/smp.elf", O_RDONLY | O_CLOEXEC);
        while (cfg.kernel_fd < 0 && errno == EINTR);
        if (vm_new(&cfg, &g.vm, &e) < 0 || vm_boot(g.vm, &cfg, &e) < 0 ||
            vm_start(g.vm, &e) < 0)
            fail_msg("%s", e.message);
        close(cfg.kernel_fd);
        while (vm_ended(g.vm) == VM_END_NONE)
            take_output(&g);
        vm_stop(g.vm);
        assert_int_equal(vm_ended(g.vm), VM_END_POWEROFF);
        finish(&g);
    }
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &old, NULL), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(io__exits_reach_the_right_device_or_nobody),
        cmocka_unit_test(irq__timer_serial_and_power_button),
        cmocka_unit_test(end__each_way_is_told_apart),
        cmocka_unit_test(stop__halted_guest_ends),
        cmocka_unit_test(pause__guest_stands_still_until_resumed),
        cmocka_unit_test(smp__all_processors_start),
        cmocka_unit_test(mem__five_gib_around_the_hole),
        cmocka_unit_test(serial__unread_output_does_not_stop_the_guest),
        cmocka_unit_test(metrics__counters_are_written),
        cmocka_unit_test(config__bad_values_refused),
        cmocka_unit_test(many__leave_nothing_behind),
        cmocka_unit_test(signals__everything_is_retried),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
