/* test-vmm-blk-host.c - the disk and its host: locks, a full file system,
 * disks that wait while others work. */
#include <config.h>

#include "tests/unit/vmm-guest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <linux/virtio_blk.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "common/mem.h"
#include "hypervisor-backend/vmm/dev_blk.h"

#define SECTORS 4096U
#define BLOCK 65536U /* moved by one request */
#define FEATURES                                                               \
    (VIRTIO_BIT(VIRTIO_BLK_F_FLUSH) | VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES))

struct disk {
    struct guest g;
    struct dev_blk *d;
    uint64_t header, status, data;
};

static int
temp_file(char *path)
{
    int fd;

    memcpy(path, "/tmp/virga-disk-XXXXXX", 23);
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, SECTORS * 512), 0);
    return fd;
}

/* Takes fd over. */
static void
plug(struct disk *k, int fd, bool no_io_uring)
{
    struct dev_blk_options o = {.fd = fd, .no_io_uring = no_io_uring};

    guest_new(&k->g, 16 * GUEST_MIB);
    assert_int_equal(dev_blk_new(k->g.mem, NULL, &o, &k->d, NULL), 0);
    guest_plug(&k->g, dev_blk_virtio(k->d), DEV_BLK_CLASS);
    k->header = guest_alloc(&k->g, 4096, 4096);
    k->status = guest_alloc(&k->g, 4096, 4096);
    k->data = guest_alloc(&k->g, 4 * GUEST_MIB, 2 * GUEST_MIB);
    guest_start(&k->g, FEATURES, 1);
}

static void
unplug(struct disk *k)
{
    guest_unplug(&k->g);
    dev_blk_free(k->d);
    guest_free(&k->g);
}

static void
ask(struct disk *k, uint32_t type, uint64_t sector)
{
    struct virtio_blk_outhdr h = {.type = type, .sector = sector};
    struct guest_seg s[] = {{k->header, 16, false},
                            {k->data, BLOCK, type == VIRTIO_BLK_T_IN},
                            {k->status, 1, true}};

    memcpy(guest_at(&k->g, k->header, sizeof(h)), &h, sizeof(h));
    *(uint8_t *)guest_at(&k->g, k->status, 1) = 0xee;
    guest_send(&k->g, &k->g.q[0], s, 3);
}

static uint8_t
answer(struct disk *k)
{
    guest_wait(&k->g, &k->g.q[0]);
    return *(uint8_t *)guest_at(&k->g, k->status, 1);
}

/* --- one disk waits --- */

/* From now on the next access to [at, at + BLOCK) waits for release_memory(),
 * as one to swapped or migrating memory may. -1: not allowed here. */
static int
hold_memory(void *at)
{
    struct uffdio_api api = {.api = UFFD_API};
    struct uffdio_register reg = {.range = {(uintptr_t)at, BLOCK},
                                  .mode = UFFDIO_REGISTER_MODE_MISSING};
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return -1;
    assert_int_equal(ioctl(fd, UFFDIO_API, &api), 0);
    assert_int_equal(madvise(at, BLOCK, MADV_DONTNEED), 0);
    assert_int_equal(ioctl(fd, UFFDIO_REGISTER, &reg), 0);
    return fd;
}

static void
release_memory(int fd, void *at)
{
    struct uffdio_range all = {(uintptr_t)at, BLOCK};

    /* Wakes whoever waits. */
    assert_int_equal(ioctl(fd, UFFDIO_UNREGISTER, &all), 0);
    close(fd);
}

static void
one_disk_waits(bool no_io_uring)
{
    char path[2][32];
    struct disk slow, quick;
    struct pollfd p = {.events = POLLIN};
    struct dev_blk_stats st;
    struct vring_used_elem e;
    void *held;

    plug(&slow, temp_file(path[0]), no_io_uring);
    plug(&quick, temp_file(path[1]), no_io_uring);
    held = guest_at(&slow.g, slow.data, BLOCK);
    p.fd = hold_memory(held);
    if (p.fd < 0) {
        unplug(&slow);
        unplug(&quick);
        unlink(path[0]);
        unlink(path[1]);
        print_message("# SKIP userfaultfd is not allowed here\n");
        skip();
    }
    ask(&slow, VIRTIO_BLK_T_IN, 0);
    assert_int_equal(poll(&p, 1, 10000), 1); /* now it waits */
    for (unsigned i = 0; i < 100; i++) {
        ask(&quick, i % 2 ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT, i);
        assert_int_equal(answer(&quick), VIRTIO_BLK_S_OK);
    }
    dev_blk_stats(quick.d, &st);
    assert_int_equal(st.reads + st.writes, 100);
    assert_int_equal(st.in_flight, 0);
    assert_false(guest_used(&slow.g, &slow.g.q[0], &e));
    if (no_io_uring) { /* and whoever asks the slow one does not wait either */
        dev_blk_stats(slow.d, &st);
        assert_int_equal(st.in_flight, 1);
        assert_int_equal(guest_status(&slow.g), STATUS_LIVE);
    }
    release_memory(p.fd, held);
    assert_int_equal(answer(&slow), VIRTIO_BLK_S_OK);
    unplug(&slow);
    unplug(&quick);
    unlink(path[0]);
    unlink(path[1]);
}

static void
disks__one_that_waits_delays_no_other(void **state)
{
    (void)state;
    one_disk_waits(false);
}

static void
disks__without_io_uring_one_that_waits_delays_no_other(void **state)
{
    (void)state;
    one_disk_waits(true);
}

/* --- locks --- */

static int
try_open(struct guest *g, const char *path, int flags, bool read_only,
         bool no_lock, struct dev_blk **ret)
{
    struct dev_blk_options o = {.fd = open(path, flags | O_CLOEXEC),
                                .read_only = read_only,
                                .no_lock = no_lock};
    struct err e = {0};
    int r = dev_blk_new(g->mem, g->loop, &o, ret, &e);

    if (r < 0)
        close(o.fd);
    if (r == -EBUSY)
        assert_string_equal(e.code, "in_use");
    err_release(&e);
    return r;
}

static void
lock__one_writer_or_many_readers(void **state)
{
    struct guest g;
    struct dev_blk *a = NULL, *b = NULL, *c = NULL;
    char path[32];

    (void)state;
    close(temp_file(path));
    guest_new(&g, GUEST_MIB);
    assert_int_equal(try_open(&g, path, O_RDWR, false, false, &a), 0);
    assert_int_equal(try_open(&g, path, O_RDWR, false, false, &b), -EBUSY);
    assert_int_equal(try_open(&g, path, O_RDONLY, true, false, &b), -EBUSY);
    /* who wants none gets none */
    assert_int_equal(try_open(&g, path, O_RDWR, false, true, &b), 0);
    dev_blk_free(b);
    assert_int_equal(try_open(&g, path, O_RDWR, false, false, &b), -EBUSY);
    dev_blk_free(a); /* lets go */
    assert_int_equal(try_open(&g, path, O_RDONLY, true, false, &a), 0);
    assert_int_equal(try_open(&g, path, O_RDWR, true, false, &b), 0);
    assert_int_equal(try_open(&g, path, O_RDWR, false, false, &c), -EBUSY);
    dev_blk_free(a);
    dev_blk_free(b);
    assert_int_equal(try_open(&g, path, O_RDWR, false, false, &c), 0);
    dev_blk_free(c);
    assert_int_equal(try_open(&g, path, O_RDONLY, false, false, &c), -EBADF);
    guest_free(&g);
    unlink(path);
}

/* A new run of the same VM has copies of the same descriptors. */
static void
lock__is_the_open_file_descriptions(void **state)
{
    struct guest g;
    struct dev_blk *a, *b;
    struct dev_blk_options o = {0};
    char path[32];
    int fd = temp_file(path);

    (void)state;
    guest_new(&g, GUEST_MIB);
    o.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    assert_int_equal(dev_blk_new(g.mem, g.loop, &o, &a, NULL), 0);
    o.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    assert_int_equal(dev_blk_new(g.mem, g.loop, &o, &b, NULL), 0);
    dev_blk_free(a);
    dev_blk_free(b);
    /* held until the last copy is closed, so nobody slips in between */
    assert_int_equal(try_open(&g, path, O_RDWR, false, false, &a), -EBUSY);
    close(fd);
    assert_int_equal(try_open(&g, path, O_RDWR, false, false, &a), 0);
    dev_blk_free(a);
    guest_free(&g);
    unlink(path);
}

/* --- a host without room --- */

/* A file of a file system that is too small for it; -1: not allowed. */
static int
small_place(void)
{
    char dir[] = "/tmp/virga-small-XXXXXX";
    int at, fd = -1;

    assert_non_null(mkdtemp(dir));
    if (unshare(CLONE_NEWNS) == 0 &&
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("small", dir, "tmpfs", 0, "size=128k") == 0) {
        at = open(dir, O_DIRECTORY | O_CLOEXEC);
        fd = openat(at, "disk", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, SECTORS * 512), 0);
        close(at);
        umount2(dir, MNT_DETACH);
    }
    rmdir(dir);
    return fd;
}

static void
full__is_an_error_and_counted(void **state)
{
    struct disk k;
    struct dev_blk_stats st;
    int fd = small_place();
    uint8_t status = 0;

    (void)state;
    if (fd < 0) {
        print_message("# SKIP needs the right to mount a tmpfs\n");
        skip();
    }
    plug(&k, fd, false);
    for (unsigned i = 0; i < 3; i++) {
        ask(&k, VIRTIO_BLK_T_OUT, i * BLOCK / 512);
        status = answer(&k);
    }
    assert_int_equal(status, VIRTIO_BLK_S_IOERR);
    dev_blk_stats(k.d, &st);
    assert_int_equal(st.no_space, 1);
    assert_int_equal(st.errors, 1);
    /* what is there can still be read */
    ask(&k, VIRTIO_BLK_T_IN, 0);
    assert_int_equal(answer(&k), VIRTIO_BLK_S_OK);
    assert_int_equal(guest_status(&k.g), STATUS_LIVE);
    unplug(&k);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disks__one_that_waits_delays_no_other),
        cmocka_unit_test(
            disks__without_io_uring_one_that_waits_delays_no_other),
        cmocka_unit_test(lock__one_writer_or_many_readers),
        cmocka_unit_test(lock__is_the_open_file_descriptions),
        cmocka_unit_test(full__is_an_error_and_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
