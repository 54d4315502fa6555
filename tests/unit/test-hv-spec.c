/* test-hv-spec.c - what hv.c checks before a driver sees it, and the bounded
 * console log. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "common/buf.h"
#include "common/fs.h"
#include "common/mem.h"
#include "hypervisor-backend/hv-private.h"

#define ID "0197b3a0-0000-7000-8000-000000000001"
#define CAPS (HV_CAP_KERNEL_BOOT | HV_CAP_DISK_BOOT | HV_CAP_QCOW2)

static char dir[64];

static int
make_dir(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/virga-hv-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int
remove_dir(void **state)
{
    return fs_remove_tree(dir, NULL);
}

static struct hv_spec
good(void)
{
    static const struct hv_disk disk = {.path = "/d", .format = "raw"};
    static const struct hv_nic nic = {.mac = "52:54:00:00:00:01"};

    return (struct hv_spec){.id = ID,
                            .name = "web-1",
                            .vcpus = 1,
                            .memory_bytes = 1 << 20,
                            .disks = &disk,
                            .n_disks = 1,
                            .nics = &nic,
                            .n_nics = 1,
                            .dir = dir};
}

/* The one fault of the spec is at `pointer`. */
static void
expect_fault(const struct hv_spec *s, const char *pointer)
{
    struct err e _cleanup_(err_release) = {0};

    assert_int_equal(hv_spec_check(s, CAPS, &e), -EINVAL);
    assert_int_equal(e.n_details, 1);
    assert_string_equal(e.details[0].pointer, pointer);
}

static void
spec__limits_are_checked_each(void **state)
{
    const struct {
        struct hv_limits l;
        const char *pointer;
    } bad[] = {
        {{.cpu_shares = 10001}, "/limits/cpu_shares"},
        {{.cpu_limit_percent = 101}, "/limits/cpu_limit_percent"},
        {{.cpu_reservation_percent = 101}, "/limits/cpu_reservation_percent"},
        {{.cpu_limit_percent = 50, .cpu_reservation_percent = 51},
         "/limits/cpu_reservation_percent"},
        {{.disk_iops = 1000000001}, "/limits/disk_iops"},
        {{.disk_bytes_per_second = UINT64_MAX},
         "/limits/disk_bytes_per_second"},
        {{.net_bytes_per_second = (UINT64_C(1) << 40) + 1},
         "/limits/net_bytes_per_second"},
    };
    struct hv_spec s = good();
    struct err e _cleanup_(err_release) = {0};

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        s.limits = bad[i].l;
        expect_fault(&s, bad[i].pointer);
    }
    s.limits = (struct hv_limits){.cpu_shares = 10000,
                                  .cpu_limit_percent = 50,
                                  .cpu_reservation_percent = 50,
                                  .disk_iops = 1,
                                  .disk_bytes_per_second = UINT64_C(1) << 40,
                                  .net_bytes_per_second = 1};
    assert_int_equal(hv_spec_check(&s, CAPS, &e), 0);
    s.limits = (struct hv_limits){.cpu_reservation_percent = 100};
    assert_int_equal(hv_spec_check(&s, CAPS, &e), 0);
}

static void
spec__cpu_of_the_whole_vm(void **state)
{
    struct hv_spec s = good();
    struct hv_cpu cpu = hv_spec_cpu(&s);

    assert_int_equal(cpu.shares, 100);
    assert_int_equal(cpu.limit_millicpu, 0);
    assert_int_equal(cpu.reserve_millicpu, 0);
    assert_false(cpu.asked);
    s.vcpus = 3;
    s.limits = (struct hv_limits){.cpu_shares = 200,
                                  .cpu_limit_percent = 20,
                                  .cpu_reservation_percent = 1};
    cpu = hv_spec_cpu(&s);
    assert_int_equal(cpu.shares, 600);
    assert_int_equal(cpu.limit_millicpu, 600);
    assert_int_equal(cpu.reserve_millicpu, 30);
    assert_true(cpu.asked);
    /* More than the scale has counts as its end. */
    s.vcpus = 64;
    s.limits.cpu_shares = 10000;
    assert_int_equal(hv_spec_cpu(&s).shares, 10000);
}

static void
spec__without_guest_nothing_is_booted(void **state)
{
    struct hv_spec s = good();
    struct err e _cleanup_(err_release) = {0};

    s.n_disks = 0;
    assert_int_equal(hv_spec_check(&s, HV_CAP_NO_GUEST, &e), 0);
    assert_int_equal(hv_spec_check(&s, HV_CAP_KERNEL_BOOT, &e), -EINVAL);
}

static void
spec__good_passes(void **state)
{
    struct hv_spec s = good();
    struct err e _cleanup_(err_release) = {0};

    assert_int_equal(hv_spec_check(&s, CAPS, &e), 0);
    s.kernel = "/k";
    s.initrd = "/i";
    s.cmdline = "console=ttyS0 a='b'";
    s.n_disks = 0;
    s.name = "Straße <&> \"x\"";
    assert_int_equal(hv_spec_check(&s, CAPS, &e), 0);
    s = good();
    s.n_disks = 0;
    expect_fault(&s, "/kernel");
    assert_int_equal(hv_spec_check(&s, CAPS | HV_CAP_NO_GUEST, &e), 0);
}

static void
spec__what_the_driver_cannot_do_is_refused(void **state)
{
    static const struct hv_disk qcow2 = {.path = "/d", .format = "qcow2"};
    struct hv_spec s = good();
    struct err e _cleanup_(err_release) = {0};

    assert_int_equal(hv_spec_check(&s, HV_CAP_KERNEL_BOOT, &e), -EINVAL);
    assert_string_equal(e.details[0].pointer, "/kernel");
    assert_string_equal(e.details[0].code, "unsupported");
    err_release(&e);
    s.kernel = "/k";
    assert_int_equal(hv_spec_check(&s, HV_CAP_KERNEL_BOOT, &e), 0);
    s.disks = &qcow2;
    assert_int_equal(hv_spec_check(&s, CAPS, &e), 0);
    assert_int_equal(hv_spec_check(&s, HV_CAP_KERNEL_BOOT, &e), -EINVAL);
    assert_string_equal(e.details[0].pointer, "/disks/0/format");
}

static void
spec__each_fault_names_its_field(void **state)
{
    char long_name[200], long_dir[120];
    struct hv_spec s;

#define FAULT(field, value, pointer)                                           \
    do {                                                                       \
        s = good();                                                            \
        s.field = (value);                                                     \
        expect_fault(&s, pointer);                                             \
    } while (0)

    FAULT(id, "x", "/id");
    FAULT(id, NULL, "/id");
    FAULT(name, NULL, "/name");
    FAULT(name, "", "/name");
    FAULT(name, "a\nb", "/name");
    FAULT(name, "\xc0\x80", "/name");     /* overlong */
    FAULT(name, "\xed\xa0\x80", "/name"); /* surrogate */
    FAULT(name, "\xef\xbf\xbf", "/name"); /* not in XML */
    FAULT(name, "\xe2\x82", "/name");     /* cut off */
    memset(long_name, 'a', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    FAULT(name, long_name, "/name");
    FAULT(vcpus, 0, "/vcpus");
    FAULT(vcpus, 65, "/vcpus");
    FAULT(memory_bytes, 0, "/memory_bytes");
    FAULT(memory_bytes, (1 << 20) + 1, "/memory_bytes");
    FAULT(memory_bytes, UINT64_MAX - ((1 << 20) - 1), "/memory_bytes");
    FAULT(kernel, "vmlinuz", "/kernel");
    FAULT(initrd, "/i", "/initrd");
    FAULT(cmdline, "x", "/cmdline");
    FAULT(dir, NULL, "/dir");
    FAULT(dir, "relative", "/dir");
    FAULT(dir, "/nonexistent/x", "/dir");
    FAULT(dir, "/etc/passwd", "/dir");
    memset(long_dir, 'a', sizeof(long_dir) - 1);
    long_dir[0] = '/';
    long_dir[sizeof(long_dir) - 1] = '\0';
    FAULT(dir, long_dir, "/dir");
    FAULT(n_disks, 17, "/disks");
    FAULT(n_nics, 9, "/nics");
#undef FAULT
}

static void
spec__disks_and_nics_faults_name_their_index(void **state)
{
    static const char *const macs[] = {"",
                                       "52:54:00:00:00",
                                       "52-54-00-00-00-01",
                                       "53:54:00:00:00:01",
                                       "00:00:00:00:00:00",
                                       "52:54:00:00:00:0G",
                                       "52:54:00:00:00:01,x=y"};
    struct hv_disk disks[] = {{"/a", "raw", false}, {"/b", "vmdk", false}};
    struct hv_nic nics[] = {{"52:54:00:00:00:01", false}, {NULL, false}};
    struct hv_spec s = good();

    s.disks = disks;
    s.n_disks = 2;
    expect_fault(&s, "/disks/1/format");
    disks[1] = (struct hv_disk){"b", "raw", false};
    expect_fault(&s, "/disks/1/path");
    disks[1] = (struct hv_disk){"/a", "raw", true};
    expect_fault(&s, "/disks/1/path");
    s = good();
    s.nics = nics;
    s.n_nics = 2;
    for (size_t i = 0; i < ARRAY_SIZE(macs); i++) {
        nics[1].mac = macs[i];
        expect_fault(&s, "/nics/1/mac");
    }
    nics[1].mac = nics[0].mac;
    expect_fault(&s, "/nics/1/mac");
}

static void
spec__all_faults_are_collected(void **state)
{
    struct hv_spec s = good();
    struct err e _cleanup_(err_release) = {0};

    s.id = "";
    s.vcpus = 0;
    s.dir = "";
    assert_int_equal(hv_spec_check(&s, CAPS, &e), -EINVAL);
    assert_int_equal(e.n_details, 3);
}

static void
open__bad_config_is_refused(void **state)
{
    struct hv_config cfg = {.driver = "xen", .state_dir = dir};
    struct err e _cleanup_(err_release) = {0};
    struct hv *hv;

    assert_int_equal(hv_open(&cfg, &hv, &e), -EINVAL);
    assert_string_equal(e.details[0].pointer, "/driver");
    err_release(&e);
    cfg.driver = "sim";
    cfg.accel = "hvf";
    cfg.state_dir = "x";
    cfg.console_log_bytes = 1;
    assert_int_equal(hv_open(&cfg, &hv, &e), -EINVAL);
    assert_int_equal(e.n_details, 3);
}

static void
names__every_value_has_one(void **state)
{
    for (unsigned c = HV_CAP_KERNEL_BOOT; c <= HV_CAP_QCOW2; c <<= 1)
        assert_non_null(hv_cap_name((enum hv_cap)c));
    for (int i = HV_RUNNING; i <= HV_STOPPED; i++)
        assert_non_null(hv_state_name((enum hv_state)i));
    for (int i = HV_END_NONE; i <= HV_END_UNKNOWN; i++)
        assert_non_null(hv_end_name((enum hv_end)i));
}

/* ---- console log ---- */

#define BOUND (64 << 10)
static struct hv log_hv = {.console_log_bytes = BOUND};

/* The byte that belongs at this offset; never zero. */
static char
byte_at(int64_t offset)
{
    return (char)(1 + (offset * 7 + offset / 251) % 250);
}

static int
open_writer(void)
{
    char *path _cleanup_(freep) = xasprintf("%s/console.log", dir);

    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void
append(int fd, int64_t *size, size_t n)
{
    char *b _cleanup_(freep) = xmalloc(n);

    for (size_t i = 0; i < n; i++)
        b[i] = byte_at(*size + (int64_t)i);
    assert_int_equal(fs_write_all(fd, b, n), 0);
    *size += (int64_t)n;
}

static void
assert_bytes(const struct buf *b, int64_t offset)
{
    for (size_t i = 0; i < b->len; i++)
        if (b->data[i] != byte_at(offset + (int64_t)i))
            fail_msg("byte %zu from offset %lld is wrong", i,
                     (long long)offset);
}

static void
console_log__missing_is_empty(void **state)
{
    struct buf b _cleanup_(buf_release) = {0};
    int64_t at = -1, end = 9;

    assert_int_equal(hv_console_log(&log_hv, dir, &at, 10, &b, &end, NULL), 0);
    assert_int_equal(at, 0);
    assert_int_equal(end, 0);
    assert_int_equal(b.len, 0);
    assert_int_equal(hv_console_trim(&log_hv, dir), 0);
}

static void
console_log__link_or_fifo_is_refused(void **state)
{
    char *path _cleanup_(freep) = xasprintf("%s/console.log", dir);
    struct buf b _cleanup_(buf_release) = {0};
    int64_t at = 0, end;

    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(hv_console_log(&log_hv, dir, &at, 10, &b, &end, NULL),
                     -ELOOP);
    assert_int_equal(hv_console_trim(&log_hv, dir), -ELOOP);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(hv_console_log(&log_hv, dir, &at, 10, &b, &end, NULL),
                     -EINVAL);
    unlink(path);
}

static void
console_log__trim_keeps_the_tail_and_bounds_disk_use(void **state)
{
    struct buf b _cleanup_(buf_release) = {0};
    int fd _cleanup_(closep) = open_writer();
    struct stat st;
    int64_t size = 0, at, end;

    for (int i = 0; i < 40; i++) {
        append(fd, &size, 33333);
        assert_int_equal(hv_console_trim(&log_hv, dir), 0);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_size, size);
        assert_true(st.st_blocks * 512 <= BOUND + 3 * st.st_blksize);
        at = -1;
        assert_int_equal(hv_console_log(&log_hv, dir, &at, 100, &b, &end, NULL),
                         0);
        assert_int_equal(end, size);
        assert_int_equal(at, size - 100);
        assert_int_equal(b.len, 100);
        assert_bytes(&b, at);
    }
    at = 0; /* moves up to the oldest kept */
    assert_int_equal(hv_console_log(&log_hv, dir, &at, 1 << 30, &b, &end, NULL),
                     0);
    assert_int_equal(at, size - BOUND);
    assert_int_equal(b.len, BOUND);
    assert_bytes(&b, at);
    at = size + 100; /* past the end */
    assert_int_equal(hv_console_log(&log_hv, dir, &at, 10, &b, &end, NULL), 0);
    assert_int_equal(at, size);
    assert_int_equal(b.len, 0);
    /* A bound raised later shows no hole either. */
    struct hv larger = {.console_log_bytes = BOUND * 4};
    at = 0;
    assert_int_equal(hv_console_log(&larger, dir, &at, 1 << 30, &b, &end, NULL),
                     0);
    assert_true(at <= size - BOUND && at > size - BOUND * 2);
    assert_int_equal(at + (int64_t)b.len, size);
    assert_bytes(&b, at);
}

static _Atomic bool writing;

static void *
write_much(void *arg)
{
    int fd _cleanup_(closep) = open_writer();
    int64_t size = 0;

    for (int i = 0; i < 3000; i++)
        append(fd, &size, 4001);
    atomic_store(&writing, false);
    return NULL;
}

static void *
trim_much(void *arg)
{
    while (atomic_load(&writing))
        if (hv_console_trim(&log_hv, dir) < 0)
            return (void *)1;
    return NULL;
}

static void
console_log__reader_never_sees_the_hole_of_a_racing_trim(void **state)
{
    struct buf b _cleanup_(buf_release) = {0};
    pthread_t writer, trimmer;
    int64_t at, end, read_bytes = 0;
    void *failed;

    close(open_writer());
    atomic_store(&writing, true);
    assert_int_equal(pthread_create(&trimmer, NULL, trim_much, NULL), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_much, NULL), 0);
    while (atomic_load(&writing)) {
        at = 0;
        assert_int_equal(
            hv_console_log(&log_hv, dir, &at, BOUND, &b, &end, NULL), 0);
        assert_bytes(&b, at);
        read_bytes += (int64_t)b.len;
    }
    pthread_join(writer, NULL);
    pthread_join(trimmer, &failed);
    assert_null(failed);
    assert_true(read_bytes > 0);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        T(spec__limits_are_checked_each),
        T(spec__cpu_of_the_whole_vm),
        T(spec__without_guest_nothing_is_booted),
        T(spec__good_passes),
        T(spec__what_the_driver_cannot_do_is_refused),
        T(spec__each_fault_names_its_field),
        T(spec__disks_and_nics_faults_name_their_index),
        T(spec__all_faults_are_collected),
        T(open__bad_config_is_refused),
        T(names__every_value_has_one),
        T(console_log__missing_is_empty),
        T(console_log__link_or_fifo_is_refused),
        T(console_log__trim_keeps_the_tail_and_bounds_disk_use),
        T(console_log__reader_never_sees_the_hole_of_a_racing_trim),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
