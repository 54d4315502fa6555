/* test-vmm-spec.c - the description of a VM: taken whole, or refused with the
 * field at fault. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "common/mem.h"
#include "hypervisor-backend/vmm/spec.h"

#define LEAST                                                                  \
    "\"version\":1,\"id\":\"a\",\"cpus\":1,\"memory\":{\"bytes\":1048576},"    \
    "\"kvm_fd\":1000000,\"kernel_fd\":1000001"

static void
description__with_all_is_taken(void **state)
{
    static const char json[] =
        "{\"version\":1,\"id\":\"0192\",\"name\":\"web-1\",\"run\":3,"
        "\"cpus\":2,\"cpu_model\":\"host\",\"memory\":{\"bytes\":268435456,"
        "\"shared\":true,\"hugepages\":false,\"ksm\":true},"
        "\"kvm_fd\":1000004,\"kernel_fd\":1000005,\"initrd_fd\":1000006,"
        "\"cmdline\":\"console=ttyS0\",\"control_fd\":1000007,"
        "\"console_log_fd\":1000008,\"end_fd\":1000009,\"paused\":true,"
        "\"on_reset\":\"exit\",\"restarts_max\":4,"
        "\"disks\":[{\"name\":\"root\",\"fd\":1000010,\"read_only\":true,"
        "\"direct\":true,\"queues\":2,\"serial\":\"root\",\"limits\":"
        "{\"ops_per_s\":1,\"ops_burst\":2,\"bytes_per_s\":3,"
        "\"bytes_burst\":4}}],"
        "\"nics\":[{\"name\":\"net0\",\"kind\":\"tap\",\"fds\":[1000011,"
        "1000012],\"vhost_fds\":[1000013,1000014],\"mac\":"
        "\"52:54:00:00:00:01\",\"mtu\":1500,\"rx_limits\":{},"
        "\"tx_limits\":{\"bytes_per_s\":9}}],"
        "\"vsock\":{\"cid\":3,\"listen_fd\":1000015,\"guest_path\":\"/vs\"},"
        "\"consoles\":[{\"name\":\"org.virga.agent\",\"fd\":1000016}],"
        "\"jail\":{\"root_fd\":1000017,\"uid\":1000001,\"gid\":1000002,"
        "\"hostname\":\"vm\"}}";
    struct err e _cleanup_(err_release) = {0};
    const struct spec_disk *d;
    const struct spec_nic *n;
    struct rate_limits l;
    struct spec s;

    if (spec_decode(json, strlen(json), &s, &e) < 0)
        fail_msg("%s", e.message);
    assert_int_equal(s.run, 3);
    assert_true(s.memory->shared && s.memory->ksm && !s.memory->hugepages);
    assert_true(s.paused);
    assert_int_equal(s.on_reset, SPEC_EXIT);
    assert_int_equal(s.restarts_max, 4);
    d = s.disks.items;
    assert_true(d->read_only && d->direct);
    assert_int_equal(d->queues, 2);
    l = spec_limits(d->limits);
    assert_true(l.ops_per_s == 1 && l.ops_burst == 2 && l.bytes_per_s == 3 &&
                l.bytes_burst == 4);
    n = s.nics.items;
    assert_int_equal(n->fds.n, 2);
    assert_int_equal(((int64_t *)n->vhost_fds.items)[1], 1000014);
    assert_int_equal(spec_limits(n->tx_limits).bytes_per_s, 9);
    assert_int_equal(s.vsock->listen_fd, 1000015);
    assert_int_equal(s.jail->uid, 1000001);
    spec_release(&s);
}

static void
description__of_the_least_has_defaults(void **state)
{
    static const char json[] = "{" LEAST "}";
    struct err e _cleanup_(err_release) = {0};
    struct spec s;

    if (spec_decode(json, strlen(json), &s, &e) < 0)
        fail_msg("%s", e.message);
    assert_int_equal(s.initrd_fd, -1);
    assert_int_equal(s.control_fd, -1);
    assert_int_equal(s.end_fd, -1);
    assert_int_equal(s.on_reset, SPEC_RESTART);
    assert_int_equal(s.disks.n, 0);
    assert_null(s.vsock);
    assert_null(s.jail);
    spec_release(&s);
}

static void
description__with_a_fault_names_the_field(void **state)
{
    static const struct {
        const char *json, *field;
    } faults[] = {
        {"{}", "/version"},
        {"{" LEAST ",\"frob\":1}", "/frob"},
        {"{" LEAST ",\"version\":2}", NULL}, /* twice */
        {"{" LEAST ",\"initrd_fd\":2}", "/initrd_fd"},
        {"{" LEAST ",\"initrd_fd\":-1}", "/initrd_fd"},
        {"{" LEAST ",\"initrd_fd\":4294967299}", "/initrd_fd"},
        {"{" LEAST ",\"on_reset\":\"maybe\"}", "/on_reset"},
        {"{" LEAST ",\"disks\":[{\"fd\":9}]}", "/disks/0/name"},
        {"{" LEAST ",\"disks\":[{\"name\":\"a\"}]}", "/disks/0/fd"},
        {"{" LEAST ",\"disks\":[{\"name\":\"a\",\"fd\":9},{\"name\":\"a\","
         "\"fd\":10}]}",
         "/disks/1/name"},
        {"{" LEAST ",\"disks\":[{\"name\":\"a\",\"fd\":9,\"queues\":17}]}",
         "/disks/0/queues"},
        {"{" LEAST ",\"disks\":[{\"name\":\"a\",\"fd\":9,\"serial\":"
         "\"123456789012345678901\"}]}",
         "/disks/0/serial"},
        {"{" LEAST ",\"nics\":[{\"name\":\"a\",\"fds\":[1,2,3,4,5,6,7,8,9],"
         "\"mac\":\"52:54:00:00:00:01\"}]}",
         "/nics/0/fds"},
        {"{" LEAST ",\"vsock\":{\"cid\":2}}", "/vsock/cid"},
        {"{" LEAST ",\"jail\":{\"root_fd\":9,\"uid\":0,\"gid\":5}}",
         "/jail/uid"},
        {"{\"version\":1,\"id\":\"a\",\"cpus\":65,\"memory\":{\"bytes\":"
         "1048576},\"kvm_fd\":4,\"kernel_fd\":5}",
         "/cpus"},
        {"{\"version\":1,\"id\":\"a\",\"cpus\":1,\"memory\":{\"bytes\":"
         "1048577},\"kvm_fd\":4,\"kernel_fd\":5}",
         "/memory/bytes"},
        {"{\"version\":2,\"id\":\"a\",\"cpus\":1,\"memory\":{\"bytes\":"
         "1048576},\"kvm_fd\":4,\"kernel_fd\":5}",
         "/version"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        struct err e _cleanup_(err_release) = {0};
        struct spec s;
        int r = spec_decode(faults[i].json, strlen(faults[i].json), &s, &e);

        print_message("%s -> %s\n", faults[i].json, e.message);
        assert_true(r < 0);
        assert_int_equal(s.kvm_fd, -1);
        if (!faults[i].field)
            continue;
        assert_true(e.n_details > 0);
        assert_string_equal(e.details[0].pointer, faults[i].field);
        spec_release(&s);
    }
}

static void
mac__is_one_stations(void **state)
{
    static const char *const bad[] = {
        "",      "52:54:00:00:00",    "52:54:00:00:00:0g", "52-54-00-00-00-01",
        "01:00", "01:00:00:00:00:01", "52:54:00:00:00:011"};
    uint8_t mac[6];

    assert_int_equal(spec_parse_mac("52:54:00:aB:Cd:01", mac), 0);
    assert_memory_equal(mac, "\x52\x54\x00\xab\xcd\x01", 6);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_true(spec_parse_mac(bad[i], mac) < 0);
}

static void
check_one(const struct spec_disk *d, bool ok)
{
    struct err e _cleanup_(err_release) = {0};
    int r = spec_check_disk(d, "/disk", &e);

    assert_int_equal(r, ok ? 0 : -EINVAL);
    if (!ok)
        assert_string_equal(e.details[0].pointer, "/disk/fd");
}

static void
disk__must_be_a_file_that_is_open_for_it(void **state)
{
    int file _cleanup_(closep) = memfd_create("disk", 0);
    struct spec_disk d = {.fd = file};
    char path[64];

    check_one(&d, true);
    assert_true(fcntl(file, F_GETFD) & FD_CLOEXEC);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    d.fd = open(path, O_RDONLY | O_CLOEXEC);
    check_one(&d, false);
    d.read_only = true;
    check_one(&d, true);
    close((int)d.fd);
    check_one(&d, false); /* not open */
    d.fd = open(path, O_PATH | O_CLOEXEC);
    check_one(&d, false);
    close((int)d.fd);
    d.fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check_one(&d, false);
    close((int)d.fd);
    d.fd = INT64_MAX;
    check_one(&d, false);
}

static void
nic__of_packets_takes_a_socket_of_packets(void **state)
{
    int64_t fd;
    struct spec_nic n = {.kind = DEVICES_NIC_PACKETS,
                         .fds = {.items = &fd, .n = 1},
                         .mac = (char[]){"52:54:00:00:00:01"}};
    struct err e _cleanup_(err_release) = {0};
    int pair[2];

    assert_int_equal(
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    fd = pair[0];
    assert_int_equal(spec_check_nic(&n, "/nic", NULL), 0);
    n.kind = DEVICES_NIC_TAP;
    assert_int_equal(spec_check_nic(&n, "/nic", &e), -EINVAL);
    assert_string_equal(e.details[0].pointer, "/nic/fds/0");
    close(pair[0]);
    close(pair[1]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair),
                     0);
    fd = pair[0];
    n.kind = DEVICES_NIC_PACKETS;
    assert_int_equal(spec_check_nic(&n, "/nic", NULL), -EINVAL);
    close(pair[0]);
    close(pair[1]);
}

static void
descriptors__named_twice_or_of_no_use_are_all_named(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    struct spec s;
    bool twice = false, kvm = false;

    spec_init(&s);
    s.kernel_fd = memfd_create("kernel", 0);
    s.kvm_fd = s.end_fd = s.kernel_fd;
    assert_int_equal(spec_check_fds(&s, &e), -EINVAL);
    for (size_t i = 0; i < e.n_details; i++) {
        twice |= streq(e.details[i].pointer, "/end_fd") &&
                 streq(e.details[i].code, "duplicate");
        kvm |= streq(e.details[i].pointer, "/kvm_fd") &&
               streq(e.details[i].code, "wrong_kind");
    }
    assert_true(twice && kvm);
    s.kvm_fd = s.end_fd = -1;
    spec_release(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(description__with_all_is_taken),
        cmocka_unit_test(description__of_the_least_has_defaults),
        cmocka_unit_test(description__with_a_fault_names_the_field),
        cmocka_unit_test(mac__is_one_stations),
        cmocka_unit_test(disk__must_be_a_file_that_is_open_for_it),
        cmocka_unit_test(nic__of_packets_takes_a_socket_of_packets),
        cmocka_unit_test(descriptors__named_twice_or_of_no_use_are_all_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
