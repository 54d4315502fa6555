/* test-vmm-hostile.c - whole virtual machines with every device, and guests
 * that use them or lie to them (tests/vmm/virtio-*.c, hostile-*.c). The guests
 * check what they see and say it over the serial port; here is the rest: that
 * the VMM counts as many faults as the guest saw, says each at most once, and
 * that nothing wrong gets out. Then all of it once more while every ioctl of
 * KVM is interrupted before it succeeds.
 * Skipped where /dev/kvm does not open. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <linux/kvm.h>
#include <linux/virtio_net.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/count.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/devices.h"

#define MIB (UINT64_C(1) << 20)
#define LIMIT_US (120 * US_PER_S) /* a loaded machine that interprets */
#define DISK_BYTES (1 * MIB)
#define NET_HEADER sizeof(struct virtio_net_hdr_v1)
#define VSOCK_PORT 5000
#define STREAMS 8
#define GUEST_CONSOLE_HELLO "hello from the guest\n"

/* --- ioctl(2), interrupted --- */

static _Atomic bool interrupt;
static _Atomic unsigned n_interrupted, n_not_retried;
static __thread unsigned long owed; /* the request to be tried again */
static __thread bool let_pass;

/* The program's own definition is taken before the C library's. With
 * `interrupt` every request to KVM fails with EINTR the first time, and must
 * come again from the same thread before any other. KVM_RUN may instead go to
 * its thread's loop. */
int ioctl(int fd, unsigned long request, ...);
int
ioctl(int fd, unsigned long request, ...)
{
    va_list ap;
    void *arg;

    va_start(ap, request);
    arg = va_arg(ap, void *);
    va_end(ap);
    if (!atomic_load(&interrupt))
        owed = 0;
    else if (_IOC_TYPE(request) == KVMIO) {
        if (owed && owed != request)
            atomic_fetch_add(&n_not_retried, 1);
        owed = 0;
        let_pass = !let_pass;
        if (let_pass) {
            atomic_fetch_add(&n_interrupted, 1);
            if (request != KVM_RUN)
                owed = request;
            errno = EINTR;
            return -1;
        }
    }
    return (int)syscall(SYS_ioctl, fd, request, arg);
}

/* --- the other ends of the devices --- */

struct peers {
    pthread_t thread;
    int stop;
    int net, console, listener;
    int stream[STREAMS];
    bool echo_frames;
    /* For the test once the thread has ended. */
    unsigned frames, bad_frames, dots;
    struct buf console_text;
    char dir[64], path[96]; /* of the listener, without its port */
};

static void
net_ready(struct peers *p)
{
    static uint8_t frame[70000]; /* one thread at a time */
    ssize_t n = recv(p->net, frame, sizeof(frame), MSG_DONTWAIT);
    struct virtio_net_hdr_v1 h;
    uint8_t mac[6];

    if (n <= 0) {
        if (n == 0 || errno != EAGAIN)
            closep(&p->net);
        return;
    }
    p->frames++;
    if (n < (ssize_t)NET_HEADER + 14) {
        p->bad_frames++;
        return;
    }
    memcpy(&h, frame, sizeof(h));
    if (h.flags || h.gso_type) /* these guests send no honest one with any */
        p->bad_frames++;
    if (!p->echo_frames)
        return;
    memcpy(mac, frame + NET_HEADER, 6);
    memcpy(frame + NET_HEADER, frame + NET_HEADER + 6, 6);
    memcpy(frame + NET_HEADER + 6, mac, 6);
    if (send(p->net, frame, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        p->bad_frames++;
}

/* Once greeted, it types a line and then what ends the guest. */
static void
console_ready(struct peers *p)
{
    static const char greeting[] = GUEST_CONSOLE_HELLO, typed[] = "some words";
    char bytes[512];
    ssize_t n = recv(p->console, bytes, sizeof(bytes), MSG_DONTWAIT);
    const char *text;

    if (n <= 0) {
        if (n == 0 || errno != EAGAIN)
            closep(&p->console);
        return;
    }
    for (ssize_t i = 0; i < n; i++)
        p->dots += bytes[i] == '.';
    if (p->console_text.len < 4096)
        buf_add(&p->console_text, bytes, (size_t)n);
    text = buf_str(&p->console_text);
    if (streq(text, greeting))
        n = send(p->console, typed, sizeof(typed) - 1, MSG_NOSIGNAL);
    else if (streq(text, GUEST_CONSOLE_HELLO "some words"))
        n = send(p->console, "q", 1, MSG_NOSIGNAL);
    assert_true(n > 0);
}

static void
stream_ready(int *fd)
{
    char bytes[4096];
    ssize_t n = recv(*fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (n > 0)
        n = send(*fd, bytes, (size_t)n, MSG_NOSIGNAL);
    if (n == 0 || (n < 0 && errno != EAGAIN))
        closep(fd);
}

static void
listener_ready(struct peers *p)
{
    int fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);

    for (unsigned i = 0; fd >= 0 && i < STREAMS; i++)
        if (p->stream[i] < 0) {
            p->stream[i] = TAKE_FD(fd);
            return;
        }
    closep(&fd);
}

static void *
peers_run(void *arg)
{
    struct peers *p = arg;

    for (;;) {
        struct pollfd f[4 + STREAMS] = {
            {.fd = p->stop, .events = POLLIN},
            {.fd = p->net, .events = POLLIN},
            {.fd = p->console, .events = POLLIN},
            {.fd = p->listener, .events = POLLIN},
        };

        for (unsigned i = 0; i < STREAMS; i++)
            f[4 + i] = (struct pollfd){.fd = p->stream[i], .events = POLLIN};
        if (poll(f, ARRAY_SIZE(f), -1) < 0)
            continue;
        if (f[1].revents)
            net_ready(p);
        if (f[2].revents)
            console_ready(p);
        if (f[3].revents)
            listener_ready(p);
        for (unsigned i = 0; i < STREAMS; i++)
            if (f[4 + i].revents)
                stream_ready(&p->stream[i]);
        /* Last: what was sent before the end counts. */
        if (f[0].revents && !f[1].revents && !f[2].revents)
            return NULL;
    }
}

/* Sets what the devices get. */
static void
peers_begin(struct peers *p, struct devices_config *cfg, bool echo_frames)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int net[2], console[2];

    *p = (struct peers){.listener = -1, .echo_frames = echo_frames};
    for (unsigned i = 0; i < STREAMS; i++)
        p->stream[i] = -1;
    snprintf(p->dir, sizeof(p->dir), "/tmp/virga-hostile.XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->path, sizeof(p->path), "%s/v", p->dir);
    snprintf(at.sun_path, sizeof(at.sun_path), "%s_%d", p->path, VSOCK_PORT);
    p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(p->listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(p->listener, 16), 0);
    assert_int_equal(socketpair(AF_UNIX,
                                SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
                                0, net),
                     0);
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, console), 0);
    p->net = net[1];
    p->console = console[1];
    p->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    cfg->nics[0].fds[0] = net[0];
    cfg->consoles[0].in_fd = console[0];
    cfg->consoles[0].out_fd = fcntl(console[0], F_DUPFD_CLOEXEC, 3);
    cfg->vsock.guest_path = p->path;
    assert_int_equal(pthread_create(&p->thread, NULL, peers_run, p), 0);
}

/* When the VM is gone: all that left it is counted. */
static void
peers_stop(struct peers *p)
{
    uint64_t one = 1;

    assert_int_equal(write(p->stop, &one, sizeof(one)), sizeof(one));
    pthread_join(p->thread, NULL);
}

static void
peers_release(struct peers *p)
{
    char path[128];

    for (unsigned i = 0; i < STREAMS; i++)
        closep(&p->stream[i]);
    closep(&p->stop);
    closep(&p->net);
    closep(&p->console);
    closep(&p->listener);
    snprintf(path, sizeof(path), "%s_%d", p->path, VSOCK_PORT);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(p->dir), 0);
    buf_release(&p->console_text);
}

/* --- one machine --- */

struct machine {
    struct vm *vm;
    struct devices *devices;
    struct peers peers;
    struct buf out;
    int disk;
    uint64_t faults_before, suppressed_before;
};

struct sum {
    const char *name;
    uint64_t n;
};

static void
add_to(const char *name, uint64_t value, void *arg)
{
    struct sum *s = arg;

    if (streq(name, s->name))
        s->n += value;
}

static uint64_t
counter(const char *name)
{
    struct sum s = {.name = name};

    count_each(add_to, &s);
    return s.n;
}

static uint64_t
faults(void)
{
    return counter("vmm_virtio_needs_reset");
}

static int
memfd(const char *name, uint64_t bytes)
{
    int fd = memfd_create(name, MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    return fd;
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

struct guest {
    const char *name, *cmdline;
    unsigned cpus;
    uint64_t memory;
    bool errors; /* it makes the host refuse things, which is logged */
};

static void
begin(struct machine *m, const struct guest *g)
{
    struct vm_config cfg = {.cpus = g->cpus ? g->cpus : 1,
                            .memory_bytes = g->memory ? g->memory : 8 * MIB,
                            .kvm_fd = -1,
                            .initrd_fd = -1,
                            .pci = true,
                            .cmdline = g->cmdline ? g->cmdline : ""};
    struct devices_disk disks[] = {
        {.name = "d0", .path = "d0", .queues = 2, .serial = "one"},
        {.name = "d1", .path = "d1", .read_only = true},
    };
    struct devices_nic nic = {.name = "n0",
                              .tap = "n0",
                              .kind = DEVICES_NIC_PACKETS,
                              .n_queues = 1,
                              .mac = {0x52, 0x54, 0, 0, 0, 1}};
    struct devices_console console = {.name = "c0"};
    struct devices_config dev = {.disks = disks,
                                 .n_disks = ARRAY_SIZE(disks),
                                 .nics = &nic,
                                 .n_nics = 1,
                                 .consoles = &console,
                                 .n_consoles = 1,
                                 .vsock = {.cid = 3, .listen_fd = -1}};
    struct err e = {0};

    *m = (struct machine){.faults_before = faults(),
                          .suppressed_before = counter("log_line_suppressed")};
    peers_begin(&m->peers, &dev, strncmp(g->name, "virtio", 6) == 0);
    disks[0].fd = memfd("disk", DISK_BYTES);
    disks[1].fd = memfd("read-only", DISK_BYTES);
    m->disk = fcntl(disks[0].fd, F_DUPFD_CLOEXEC, 3);
    cfg.kernel_fd = open_guest(g->name);
    if (vm_new(&cfg, &m->vm, &e) < 0 ||
        devices_new(m->vm, &dev, &m->devices, &e) < 0 ||
        vm_boot(m->vm, &cfg, &e) < 0 || vm_start(m->vm, &e) < 0)
        fail_msg("%s", e.message);
    close(cfg.kernel_fd);
}

static void
take_output(struct machine *m)
{
    char bytes[512];
    size_t n;

    while ((n = serial_output(vm_serial(m->vm), bytes, sizeof(bytes))) > 0)
        buf_add(&m->out, bytes, n);
}

static void
run_to_end(struct machine *m)
{
    int64_t deadline = clock_mono_us() + LIMIT_US;

    while (vm_ended(m->vm) == VM_END_NONE) {
        struct pollfd p = {.fd = vm_event_fd(m->vm), .events = POLLIN};
        int64_t left = deadline - clock_mono_us();

        take_output(m);
        if (left <= 0)
            fail_msg("no end after: %s", buf_str(&m->out));
        if (poll(&p, 1, (int)(left / 1000) + 1) > 0)
            vm_event_clear(m->vm);
    }
    take_output(m);
    if (vm_ended(m->vm) != VM_END_POWEROFF)
        fail_msg("ended by %s: %s", vm_end_name(vm_ended(m->vm)),
                 buf_str(&m->out));
}

/* Lines of the log with that in them. */
static unsigned
log_lines(int fd, const char *with)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char *text = xcalloc(1, (size_t)size + 1);
    unsigned n = 0;

    assert_int_equal(pread(fd, text, (size_t)size, 0), size);
    for (const char *at = text; (at = strstr(at, with)); at++)
        n++;
    free(text);
    return n;
}

/* The number behind `word` at the beginning of a line; -1: no such line. */
static long
number(struct machine *m, const char *word)
{
    char *line = xasprintf("\n%s ", word);
    const char *at = strstr(buf_str(&m->out), line);
    long n = at ? strtol(at + strlen(line), NULL, 10) : -1;

    free(line);
    return n;
}

/* Runs it; what the guest says and what the VMM counted must agree. */
static void
run_guest(struct machine *m, const struct guest *g)
{
    int err = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3), log;
    uint64_t counted;
    unsigned logged;
    long seen;

    log = memfd("log", 0);
    assert_int_equal(dup3(log, STDERR_FILENO, 0), STDERR_FILENO);
    begin(m, g);
    run_to_end(m);
    vm_stop(m->vm);
    devices_free(m->devices);
    vm_free(m->vm);
    peers_stop(&m->peers);
    assert_int_equal(dup2(err, STDERR_FILENO), STDERR_FILENO);
    close(err);
    if (strstr(buf_str(&m->out), "FAILED") ||
        !strstr(buf_str(&m->out), " end\n"))
        fail_msg("%s: %s", g->name, buf_str(&m->out));
    counted = faults() - m->faults_before;
    logged = log_lines(log, "guest broke the rules");
    seen = number(m, "faults");
    if (seen >= 0)
        assert_int_equal(counted, seen);
    else if (number(m, "seen") < 0)
        assert_int_equal(counted, 0);
    /* Each once, or held back by the limit of lines a second, and counted. */
    assert_true(logged <= counted);
    assert_true(logged + counter("log_line_suppressed") -
                    m->suppressed_before >=
                counted);
    if (!g->errors)
        assert_int_equal(log_lines(log, "level=error"), 0);
    close(log);
}

static void
finish(struct machine *m)
{
    peers_release(&m->peers);
    buf_release(&m->out);
    close(m->disk);
}

static void
run_all(const struct guest *g, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct machine m;

        run_guest(&m, &g[i]);
        finish(&m);
    }
}

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

/* --- the tests --- */

static void
disk__every_request_reaches_the_file(void **state)
{
    struct machine m;
    uint8_t bytes[8 * 512];

    need_kvm();
    run_guest(&m, &(struct guest){.name = "virtio-blk"});
    assert_non_null(strstr(buf_str(&m.out), "queues 2\n"));
    assert_int_equal(pread(m.disk, bytes, sizeof(bytes), 8 * 512),
                     sizeof(bytes));
    assert_memory_equal(bytes, "virga", 5);
    for (size_t i = 5; i < sizeof(bytes); i++)
        assert_int_equal(bytes[i], (uint8_t)(42 + i * 7));
    finish(&m);
}

static void
others__every_device_serves(void **state)
{
    static const struct guest guests[] = {
        {.name = "virtio-rng"},   {.name = "virtio-balloon"},
        {.name = "virtio-net"},   {.name = "virtio-console"},
        {.name = "virtio-vsock"},
    };

    need_kvm();
    run_all(guests, ARRAY_SIZE(guests));
}

static void
disk__lies_leave_the_file_alone(void **state)
{
    uint8_t *disk = xmalloc(DISK_BYTES);
    struct machine m;

    need_kvm();
    run_guest(&m, &(struct guest){.name = "hostile-blk"});
    /* This guest writes nothing that is valid. */
    assert_int_equal(pread(m.disk, disk, DISK_BYTES, 0), DISK_BYTES);
    for (size_t i = 0; i < DISK_BYTES; i++)
        assert_int_equal(disk[i], 0);
    free(disk);
    finish(&m);
}

static void
net__only_honest_frames_leave(void **state)
{
    struct machine m;

    need_kvm();
    run_guest(&m, &(struct guest){.name = "hostile-net"});
    assert_int_equal(m.peers.bad_frames, 0);
    assert_true(number(&m, "sent") > 0);
    assert_int_equal(m.peers.frames, number(&m, "sent"));
    finish(&m);
}

static void
console__honest_output_arrives(void **state)
{
    struct machine m;

    need_kvm();
    run_guest(&m, &(struct guest){.name = "hostile-console"});
    assert_true(number(&m, "sent") > 0);
    assert_int_equal(m.peers.dots, number(&m, "sent"));
    finish(&m);
}

static const struct guest liars[] = {
    {.name = "hostile-rng"},
    {.name = "hostile-balloon"},
    {.name = "hostile-vsock"},
    {.name = "hostile-high", .memory = 5120 * MIB},
    {.name = "hostile-pci", .cpus = 2, .errors = true},
    {.name = "hostile-flip", .cmdline = "b", .cpus = 2},
    {.name = "hostile-flip", .cmdline = "r", .cpus = 2},
};

static void
others__lies_stop_one_device_alone(void **state)
{
    need_kvm();
    run_all(liars, ARRAY_SIZE(liars));
}

static void
ioctls__interrupted_ones_are_tried_again(void **state)
{
    static const struct guest guests[] = {
        {.name = "virtio-blk"},
        {.name = "virtio-net"},
        {.name = "virtio-console"},
        {.name = "virtio-vsock"},
        {.name = "virtio-balloon"},
        {.name = "hostile-rng"},
        {.name = "hostile-pci", .cpus = 2, .errors = true},
    };

    need_kvm();
    atomic_store(&interrupt, true);
    run_all(guests, ARRAY_SIZE(guests));
    atomic_store(&interrupt, false);
    assert_true(atomic_load(&n_interrupted) > 1000);
    assert_int_equal(atomic_load(&n_not_retried), 0);
}

/* The graceful end, and a pause, of the guest that others use in numbers. */
static void
idle__sleeps_and_ends_by_the_button(void **state)
{
    struct machine m;

    need_kvm();
    for (unsigned i = 0; i < 2; i++) {
        atomic_store(&interrupt, i == 1);
        begin(&m, &(struct guest){.name = "idle"});
        while (!strstr(buf_str(&m.out), "idle\n")) {
            struct pollfd p = {.fd = vm_event_fd(m.vm), .events = POLLIN};

            assert_true(poll(&p, 1, LIMIT_US / 1000) > 0);
            vm_event_clear(m.vm);
            take_output(&m);
        }
        vm_pause(m.vm);
        vm_resume(m.vm);
        vm_power_button(m.vm);
        run_to_end(&m);
        atomic_store(&interrupt, false);
        vm_stop(m.vm);
        devices_free(m.devices);
        vm_free(m.vm);
        peers_stop(&m.peers);
        finish(&m);
    }
    assert_int_equal(atomic_load(&n_not_retried), 0);
}

/* The sanitizers' (sanitizer/common_interface_defs.h), where there are any:
 * what they say must not go where the guests' faults are logged. */
void __sanitizer_set_report_fd(void *fd) __attribute__((weak));

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disk__every_request_reaches_the_file),
        cmocka_unit_test(others__every_device_serves),
        cmocka_unit_test(disk__lies_leave_the_file_alone),
        cmocka_unit_test(net__only_honest_frames_leave),
        cmocka_unit_test(console__honest_output_arrives),
        cmocka_unit_test(others__lies_stop_one_device_alone),
        cmocka_unit_test(idle__sleeps_and_ends_by_the_button),
        cmocka_unit_test(ioctls__interrupted_ones_are_tried_again),
    };

    if (__sanitizer_set_report_fd)
        __sanitizer_set_report_fd(
            (void *)(intptr_t)fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
