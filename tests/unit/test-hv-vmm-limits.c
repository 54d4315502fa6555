/* test-hv-vmm-limits.c - an instance's share of its node, with real virga-vmm
 * processes: what its cgroup says, how much processor time a busy guest gets,
 * and how many operations a disk lets through. Guests as in test-hv-vmm.c. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/mem.h"
#include "hypervisor-backend/hv-private.h"
#include "hypervisor-backend/vmm-driver/vd-private.h"

/* Generous: the machine may be loaded, and conditions are polled for. */
#define WAIT_US (60 * US_PER_S)

static char dir[40], slice[40], id[ID_SIZE];
static char *vm_dir, *disk;
static struct hv *hv;

static void
must(int r, const struct err *e)
{
    if (r < 0)
        fail_msg("%s (%s)", e->message, e->code);
}

static unsigned vcpus = 1;

static int
start(const char *guest, const struct hv_limits *limits, struct err *e)
{
    const struct hv_disk d = {.path = disk, .format = "raw"};
    const struct hv_nic nic = {.mac = "52:54:00:00:00:01", .isolated = true};
    bool net = access(USERNET_BINARY, X_OK) == 0;
    char *kernel _cleanup_(freep) = xasprintf(GUEST_DIR "/%s.elf", guest);
    const struct hv_spec spec = {.id = id,
                                 .name = "bound",
                                 .run = 1,
                                 .vcpus = vcpus,
                                 .memory_bytes = 16 << 20,
                                 .kernel = kernel,
                                 .disks = &d,
                                 .n_disks = 1,
                                 .nics = &nic,
                                 .n_nics = net ? 1 : 0,
                                 .limits = *limits,
                                 .dir = vm_dir};

    return hv_start(hv, &spec, e);
}

static void
wait_log(const char *words)
{
    int64_t limit = clock_mono_us() + WAIT_US;

    for (;;) {
        struct err e _cleanup_(err_release) = {0};
        struct buf b _cleanup_(buf_release) = {0};
        int64_t at = -1, end;

        must(hv_console_log(hv, vm_dir, &at, 4096, &b, &end, &e), &e);
        if (strstr(buf_str(&b), words))
            return;
        if (clock_mono_us() > limit)
            fail_msg("the guest does not say \"%s\"", words);
        poll(NULL, 0, 10);
    }
}

/* A file of the VM's cgroup, whichever hierarchy has it; false: none has. */
static bool
cgroup_file(const char *name, struct buf *ret)
{
    static const char *const roots[] = {"", "/*"};

    for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
        char *pattern _cleanup_(freep) =
            xasprintf("/sys/fs/cgroup%s/%s/%s/%s", roots[i], slice, id, name);
        glob_t g;

        if (glob(pattern, 0, NULL, &g) == 0) {
            int r = fs_read(g.gl_pathv[0], 4096, ret, NULL);

            globfree(&g);
            return r == 0;
        }
    }
    return false;
}

static void
need_cpu_controller(void)
{
    struct cgroup_root *root = NULL;

    assert_int_equal(cgroup_root_open(slice, &root, NULL), 0);
    bool has = cgroup_has(root, CGROUP_CPU) && cgroup_has(root, CGROUP_CPUACCT);
    cgroup_root_free(root);
    if (!has) {
        print_message("no cgroup controller for processors here\n");
        skip();
    }
}

static void
assert_cgroup_file(const char *v2, const char *want_v2, const char *v1,
                   const char *want_v1)
{
    struct buf b _cleanup_(buf_release) = {0};

    if (cgroup_file(v2, &b)) {
        assert_string_equal(buf_str(&b), want_v2);
    } else {
        assert_true(cgroup_file(v1, &b));
        assert_string_equal(buf_str(&b), want_v1);
    }
}

static void
cgroup__says_shares_and_limit(void **state)
{
    const struct hv_limits bound = {.cpu_shares = 300, .cpu_limit_percent = 20};
    const struct hv_limits usual = {0};
    struct err e _cleanup_(err_release) = {0};

    need_cpu_controller();
    must(start("talk", &bound, &e), &e);
    assert_cgroup_file("cpu.weight", "300\n", "cpu.shares", "3072\n");
    assert_cgroup_file("cpu.max", "20000 100000\n", "cpu.cfs_quota_us",
                       "20000\n");
    must(hv_stop(hv, id, true, &e), &e);
    must(start("talk", &usual, &e), &e);
    assert_cgroup_file("cpu.weight", "100\n", "cpu.shares", "1024\n");
    assert_cgroup_file("cpu.max", "max 100000\n", "cpu.cfs_quota_us", "-1\n");
}

/* A reservation of one processor is that part of the whole node's weight. */
static void
cgroup__reservation_raises_the_weight(void **state)
{
    const struct hv_limits l = {.cpu_shares = 1,
                                .cpu_reservation_percent = 100};
    struct err e _cleanup_(err_release) = {0};
    struct hv_host host;
    char v2[16], v1[16];

    need_cpu_controller();
    must(hv_host(hv, &host, &e), &e);
    unsigned weight = (CGROUP_CPU_NODE_WEIGHT + host.cpus - 1) / host.cpus;
    snprintf(v2, sizeof(v2), "%u\n", weight);
    snprintf(v1, sizeof(v1), "%u\n", weight * 1024 / 100);
    must(start("talk", &l, &e), &e);
    assert_cgroup_file("cpu.weight", v2, "cpu.shares", v1);
}

static void
cgroup__reservation_beyond_the_node_is_refused(void **state)
{
    const struct hv_limits l = {.cpu_reservation_percent = 100};
    struct err e _cleanup_(err_release) = {0};
    struct hv_host host;
    struct hv_vm vm;

    must(hv_host(hv, &host, &e), &e);
    if (host.cpus >= 64)
        skip();
    vcpus = 64;
    int r = start("talk", &l, &e);
    vcpus = 1;
    assert_int_equal(r, -EINVAL);
    assert_string_equal(e.details[0].pointer,
                        "/limits/cpu_reservation_percent");
    assert_int_equal(hv_info(hv, id, &vm, NULL), -ENOENT);
}

static struct cgroup_stats
used(struct cgroup *g)
{
    struct cgroup_stats s;

    assert_int_equal(cgroup_stats(g, &s), 0);
    return s;
}

static void
quota__bounds_a_busy_guest(void **state)
{
    const struct hv_limits l = {.cpu_limit_percent = 20};
    struct err e _cleanup_(err_release) = {0};
    struct cgroup_root *root = NULL;
    struct cgroup *g = NULL;
    int fd _cleanup_(closep) = -1;
    struct cgroup_stats before, after;
    int64_t begun, now;

    need_cpu_controller();
    must(start("talk", &l, &e), &e);
    wait_log("talk ready");
    must(hv_console_open(hv, id, &fd, &e), &e);
    assert_int_equal(write(fd, "B", 1), 1);
    wait_log("talk busy");
    must(cgroup_root_open(slice, &root, &e), &e);
    must(cgroup_open(root, id, &g, &e), &e);
    begun = clock_mono_us();
    before = used(g);
    /* Until it was held up ten times: then it wants more than it gets. */
    do {
        poll(NULL, 0, 20);
        after = used(g);
        now = clock_mono_us();
    } while ((after.throttled_periods < before.throttled_periods + 10 ||
              now - begun < US_PER_S) &&
             now - begun < WAIT_US);
    cgroup_free(g);
    cgroup_root_free(root);
    uint64_t cpu_us = (after.cpu_ns - before.cpu_ns) / 1000;
    uint64_t us = (uint64_t)(now - begun);
    print_message("%" PRIu64 " of %" PRIu64 " us\n", cpu_us, us);
    assert_true(after.throttled_periods >= before.throttled_periods + 10);
    /* A fifth; the rest is the kernel's slack, and one period's. */
    assert_true(cpu_us <= us * 3 / 10 + 20000);
}

/* What is behind `key`; -1 it is not there. */
static int64_t
number_after(const char *text, const char *key)
{
    const char *p = strstr(text, key);

    return p ? strtoll(p + strlen(key), NULL, 10) : -1;
}

static void
ask(const char *request, struct buf *ret)
{
    struct err e _cleanup_(err_release) = {0};
    const struct vd_call c = {
        .id = id, .request = request, .timeout_ms = 60000, .pidfd = -1};

    must(vd_ctl(hv->d, &c, ret, &e), &e);
}

static void
disk__operations_are_bounded(void **state)
{
    const struct hv_limits l = {.disk_iops = 5};
    static const char *const ops[] = {
        "\"reads\":", "\"writes\":", "\"flushes\":", "\"discards\":"};
    struct err e _cleanup_(err_release) = {0};
    int64_t begun = clock_mono_us(), throttled, now;
    int64_t sum;

    must(start("virtio-blk", &l, &e), &e);
    do {
        struct buf b _cleanup_(buf_release) = {0};

        ask("stats", &b);
        now = clock_mono_us();
        const char *disks = strstr(buf_str(&b), "\"disks\"");
        assert_non_null(disks);
        throttled = number_after(disks, "\"throttled\":");
        sum = 0;
        for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
            sum += number_after(disks, ops[i]);
        assert_true(now - begun < WAIT_US);
        poll(NULL, 0, 20);
    } while (throttled < 3 || now - begun < 2 * US_PER_S);
    print_message("%" PRId64 " operations in %" PRId64 " us\n", sum,
                  now - begun);
    assert_true(sum >= 5);
    /* A second's worth at once, and then so many each second. */
    assert_true(sum <= 5 + 1 + (now - begun) * 5 / US_PER_S);
}

static void
devices__get_what_the_spec_says(void **state)
{
    const struct hv_limits l = {.disk_iops = 11,
                                .disk_bytes_per_second = 22222,
                                .net_bytes_per_second = 33333};
    struct err e _cleanup_(err_release) = {0};
    struct buf b _cleanup_(buf_release) = {0};

    must(start("talk", &l, &e), &e);
    ask("describe", &b);
    const char *d = strstr(buf_str(&b), "\"limits\":");
    assert_non_null(d);
    assert_int_equal(number_after(d, "\"ops_per_s\":"), 11);
    assert_int_equal(number_after(d, "\"bytes_per_s\":"), 22222);
    if (access(USERNET_BINARY, X_OK) < 0)
        return;
    const char *rx = strstr(buf_str(&b), "\"rx_limits\":");
    const char *tx = strstr(buf_str(&b), "\"tx_limits\":");
    assert_true(rx && tx);
    assert_int_equal(number_after(rx, "\"bytes_per_s\":"), 33333);
    assert_int_equal(number_after(tx, "\"bytes_per_s\":"), 33333);
    assert_int_equal(number_after(rx, "\"ops_per_s\":"), 0);
}

static int
make(void **state)
{
    struct hv_config cfg = {.driver = "vmm",
                            .state_dir = dir,
                            .vmm_binary = VMM_BINARY,
                            .vmm_cgroup = slice};

    id_new(id);
    snprintf(dir, sizeof(dir), "/tmp/hv-vml.XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(slice, sizeof(slice), "virga-test-%s", dir + 12);
    vm_dir = xasprintf("%s/i", dir);
    disk = xasprintf("%s/disk.img", vm_dir);
    if (access(USERNET_BINARY, X_OK) == 0)
        cfg.usernet_binary = USERNET_BINARY;
    if (fs_mkdirs(vm_dir, NULL) < 0 ||
        fs_write_atomic(disk, "disk", 4, 0600, NULL) < 0 ||
        truncate(disk, 1 << 20) < 0)
        return -1;
    return hv_open(&cfg, &hv, NULL);
}

static int
end_case(void **state)
{
    int r = hv_stop(hv, id, true, NULL);

    if (r == 0)
        r = hv_forget(hv, id, NULL);
    return r == -ENOENT ? 0 : r; /* a case that was skipped */
}

static int
clean(void **state)
{
    static const char *const patterns[] = {"/sys/fs/cgroup/%s",
                                           "/sys/fs/cgroup/*/%s"};
    int r = 0;

    hv_close(hv);
    for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
        size_t n = (size_t)(strchr(patterns[i], '%') - patterns[i]);
        char *pattern _cleanup_(freep) =
            xasprintf("%.*s%s", (int)n, patterns[i], slice);
        glob_t g;

        if (glob(pattern, 0, NULL, &g) == 0) {
            for (size_t k = 0; k < g.gl_pathc; k++)
                if (rmdir(g.gl_pathv[k]) < 0)
                    r = -errno;
            globfree(&g);
        }
    }
    free(vm_dir);
    free(disk);
    return fs_remove_tree(dir, NULL) < 0 ? -1 : r;
}

int
main(void)
{
#define CASE(f) cmocka_unit_test_teardown(f, end_case)
    const struct CMUnitTest tests[] = {
        CASE(cgroup__says_shares_and_limit),
        CASE(cgroup__reservation_raises_the_weight),
        CASE(cgroup__reservation_beyond_the_node_is_refused),
        CASE(quota__bounds_a_busy_guest),
        CASE(disk__operations_are_bounded),
        CASE(devices__get_what_the_spec_says),
    };

    if (geteuid() != 0 || access("/dev/kvm", R_OK | W_OK) < 0) {
        print_message("1..0 # SKIP needs root and /dev/kvm\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, make, clean);
}
