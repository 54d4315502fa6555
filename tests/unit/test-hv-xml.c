/* test-hv-xml.c - the libvirt driver's text: domain XML, metadata, end files,
 * and the sweep over what dead QEMU processes left. Runs without libvirt. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/stat.h>

#include "common/fs.h"
#include "common/mem.h"
#include "hypervisor-backend/libvirt/lv-private.h"

#define ID "0197b3a0-0000-7000-8000-000000000001"

static char dir[40];

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

/* Compares with tests/data/<name>; TEST_REGEN=1 rewrites it. */
static void
assert_golden(const struct buf *have, const char *name)
{
    const char *src = getenv("srcdir");
    char *path _cleanup_(freep) =
        xasprintf("%s/tests/data/%s", src ? src : "..", name);
    struct buf want _cleanup_(buf_release) = {0};
    struct err e _cleanup_(err_release) = {0};

    if (getenv("TEST_REGEN")) {
        assert_int_equal(fs_write_atomic(path, have->data, have->len, 0644, &e),
                         0);
        return;
    }
    if (fs_read(path, 1 << 20, &want, &e) < 0)
        fail_msg("%s", e.message);
    assert_string_equal(buf_str(have), buf_str(&want));
}

static void
xml__kernel_boot_with_hostile_text_is_escaped(void **state)
{
    const struct hv_disk disks[] = {
        {"/v/a & b/root.qcow2", "qcow2", false},
        {"/v/<seed>.img", "raw", true},
    };
    const bool direct[] = {true, false};
    const struct hv_nic nics[] = {{"52:54:00:00:00:01", true},
                                  {"52:54:00:00:00:02", false}};
    const struct hv_spec s = {
        .id = ID,
        .name = "a</title><devices/>&\"'",
        .run = 18446744073709551615u,
        .vcpus = 2,
        .memory_bytes = 512 << 20,
        .kernel = "/boot/vmlinuz'",
        .initrd = "/boot/initrd",
        .cmdline = "console=ttyS0 x=\"<y>\"",
        .disks = disks,
        .n_disks = 2,
        .nics = nics,
        .n_nics = 2,
        .dir = "/v/i 1/'x'",
    };
    const struct lv_xml_env env = {
        .kvm = false, .disk_direct = direct, .prepared_us = 12345};
    struct buf b _cleanup_(buf_release) = {0};

    lv_xml_domain(&s, &env, &b);
    assert_golden(&b, "hv-domain-kernel.xml");
}

static void
xml__disk_boot_on_kvm(void **state)
{
    const struct hv_disk disk = {"/v/root.raw", "raw", false};
    const bool direct = true;
    const struct hv_spec s = {.id = ID,
                              .name = "web",
                              .run = 1,
                              .vcpus = 1,
                              .memory_bytes = 64 << 20,
                              .disks = &disk,
                              .n_disks = 1,
                              .dir = "/v/i"};
    const struct lv_xml_env env = {
        .kvm = true, .disk_direct = &direct, .prepared_us = 1};
    struct buf b _cleanup_(buf_release) = {0};

    lv_xml_domain(&s, &env, &b);
    assert_golden(&b, "hv-domain-disk.xml");
}

static void
xml__limits_where_libvirt_can_keep_them(void **state)
{
    const struct hv_disk disks[] = {{"/v/root.raw", "raw", false},
                                    {"/v/more.raw", "raw", true}};
    const bool direct[] = {true, true};
    const struct hv_nic nic = {"52:54:00:00:00:01", false};
    struct hv_spec s = {.id = ID,
                        .name = "web",
                        .run = 1,
                        .vcpus = 2,
                        .memory_bytes = 64 << 20,
                        .disks = disks,
                        .n_disks = 2,
                        .nics = &nic,
                        .n_nics = 1,
                        .limits = {.cpu_shares = 150,
                                   .cpu_limit_percent = 20,
                                   .disk_iops = 500,
                                   .disk_bytes_per_second = 1 << 20,
                                   .net_bytes_per_second = 1 << 20},
                        .dir = "/v/i"};
    struct lv_xml_env env = {.kvm = true,
                             .disk_direct = direct,
                             .prepared_us = 1,
                             .cgroups = true,
                             .node_cpus = 8};
    struct buf b _cleanup_(buf_release) = {0};
    struct buf floor _cleanup_(buf_release) = {0};
    struct buf none _cleanup_(buf_release) = {0};

    lv_xml_domain(&s, &env, &b);
    assert_golden(&b, "hv-domain-limits.xml");
    /* Two of eight processors: a quarter of the whole weight, at least. */
    s.limits.cpu_limit_percent = 0;
    s.limits.cpu_reservation_percent = 100;
    lv_xml_domain(&s, &env, &floor);
    assert_non_null(strstr(buf_str(&floor), "<shares>2500</shares>"));
    assert_null(strstr(buf_str(&floor), "quota"));
    /* An embedded libvirt has no cgroups; QEMU throttles all the same. */
    env.cgroups = false;
    lv_xml_domain(&s, &env, &none);
    assert_null(strstr(buf_str(&none), "cputune"));
    assert_non_null(strstr(buf_str(&none), "<iotune>"));
}

static void
meta__round_trip(void **state)
{
    struct lv_meta m = {.run = 18446744073709551615u,
                        .prepared_us = 1,
                        .started_us = INT64_MAX,
                        .dir = "/v/ü %<'\">&/x"};
    struct lv_meta back;
    struct buf b _cleanup_(buf_release) = {0};

    lv_meta_format(&m, "virga", &b);
    assert_int_equal(lv_meta_parse(buf_str(&b), &back), 0);
    assert_true(back.run == m.run);
    assert_int_equal(back.prepared_us, 1);
    assert_true(back.started_us == INT64_MAX);
    assert_string_equal(back.dir, m.dir);
}

static void
meta__malformed_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "<instance/>",
        "<instance run=\"1\" prepared-us=\"1\" started-us=\"1\"/>",
        "<instance run=\"-1\" prepared-us=\"1\" started-us=\"1\" dir=\"/\"/>",
        "<instance run=\"\" prepared-us=\"1\" started-us=\"1\" dir=\"/\"/>",
        "<instance run=\"18446744073709551616\" prepared-us=\"1\" "
        "started-us=\"1\" dir=\"/\"/>",
        "<instance run=\"1\" prepared-us=\"9223372036854775808\" "
        "started-us=\"1\" dir=\"/\"/>",
        "<instance run=\"1\" prepared-us=\"1\" started-us=\"1\" dir=\"%\"/>",
        "<instance run=\"1\" prepared-us=\"1\" started-us=\"1\" dir=\"%00\"/>",
        "<instance run=\"1\" prepared-us=\"1\" started-us=\"1\" dir=\"/x",
    };
    struct lv_meta m;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(lv_meta_parse(bad[i], &m), -EBADMSG);
}

static void
end__first_is_kept_and_belongs_to_its_run(void **state)
{
    const struct lv_end crashed = {HV_END_CRASHED, 77};
    const struct lv_end killed = {HV_END_KILLED, 78};
    const struct lv_end guest = {HV_END_GUEST, 0};
    struct lv_end end;

    assert_int_equal(lv_end_get(dir, ID, 3, &end), -ENOENT);
    assert_int_equal(lv_end_put(dir, ID, 3, &crashed), 0);
    assert_int_equal(lv_end_put(dir, ID, 3, &killed), 0);
    assert_int_equal(lv_end_get(dir, ID, 3, &end), 0);
    assert_int_equal(end.end, HV_END_CRASHED);
    assert_int_equal(end.ended_us, 77);
    assert_int_equal(lv_end_get(dir, ID, 4, &end), -ENOENT);
    assert_int_equal(lv_end_put(dir, ID, 4, &guest), 0);
    assert_int_equal(lv_end_get(dir, ID, 4, &end), 0);
    assert_int_equal(end.end, HV_END_GUEST);
    assert_int_equal(end.ended_us, 0);
    assert_int_equal(lv_end_remove(dir, ID), 0);
    assert_int_equal(lv_end_remove(dir, ID), 0);
    assert_int_equal(lv_end_get(dir, ID, 4, &end), -ENOENT);
}

static void
write_file(const char *name, const char *text)
{
    char *path _cleanup_(freep) = xasprintf("%s/%s", dir, name);

    assert_int_equal(fs_write_atomic(path, text, strlen(text), 0600, NULL), 0);
}

static bool
exists(const char *name)
{
    char *path _cleanup_(freep) = xasprintf("%s/%s", dir, name);

    return access(path, F_OK) == 0;
}

static void
count(const char *id, void *arg)
{
    assert_string_equal(id, ID);
    ++*(int *)arg;
}

static void
make_status(int pid, const char *sock)
{
    char *text _cleanup_(freep) =
        xasprintf("<!-- x -->\n<domstatus state='running' pid='%d'>\n"
                  "  <monitor path='%s' type='unix'/>\n</domstatus>\n",
                  pid, sock);

    write_file("run/qemu/virga-" ID ".xml", text);
    write_file("run/qemu/virga-" ID ".pid", "1\n");
}

static void
sweep__recycled_pid_is_not_our_qemu(void **state)
{
    char *run _cleanup_(freep) = xasprintf("%s/run/qemu", dir);
    char *sock_dir _cleanup_(freep) = xasprintf("%s/lib/qemu/domain-1-v", dir);
    char *other _cleanup_(freep) = xasprintf("%s/lib/qemu/save", dir);
    char *sock _cleanup_(freep) = xasprintf("%s/monitor.sock", sock_dir);
    char *escape _cleanup_(freep) =
        xasprintf("%s/lib/qemu/domain-1/../save/monitor.sock", dir);
    int n = 0;

    assert_int_equal(fs_mkdirs(run, NULL), 0);
    assert_int_equal(fs_mkdirs(sock_dir, NULL), 0);
    assert_int_equal(fs_mkdirs(other, NULL), 0);
    make_status(getpid(), sock); /* alive, and no QEMU */
    write_file("run/qemu/other.xml", "<domstatus pid='1'>");
    assert_int_equal(lv_root_pid(dir, ID), -ENOENT);
    assert_int_equal(lv_root_sweep(dir, count, &n, NULL), 0);
    assert_int_equal(n, 1);
    assert_false(exists("run/qemu/virga-" ID ".xml"));
    assert_false(exists("run/qemu/virga-" ID ".pid"));
    assert_false(exists("lib/qemu/domain-1-v"));
    assert_true(exists("run/qemu/other.xml"));
    /* Only a folder of sockets is ever removed. */
    make_status(getpid(), escape);
    assert_int_equal(lv_root_sweep(dir, count, &n, NULL), 0);
    assert_int_equal(n, 2);
    assert_true(exists("lib/qemu/save"));
    /* What is not understood stays. */
    write_file("run/qemu/virga-" ID ".xml", "<domstatus state='x'>");
    assert_int_equal(lv_root_sweep(dir, count, &n, NULL), 0);
    assert_int_equal(n, 2);
    assert_true(exists("run/qemu/virga-" ID ".xml"));
}

static void
root__unusable_path_is_refused(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    char path[100];

    assert_int_equal(lv_root_prepare("/tmp/a b", &e), -EINVAL);
    assert_string_equal(e.details[0].pointer, "/state_dir");
    err_release(&e);
    memset(path, 'a', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(lv_root_prepare(path, &e), -EINVAL);
    assert_string_equal(e.details[0].code, "length");
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        T(xml__kernel_boot_with_hostile_text_is_escaped),
        T(xml__disk_boot_on_kvm),
        T(xml__limits_where_libvirt_can_keep_them),
        T(meta__round_trip),
        T(meta__malformed_is_refused),
        T(end__first_is_kept_and_belongs_to_its_run),
        T(sweep__recycled_pid_is_not_our_qemu),
        T(root__unusable_path_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
