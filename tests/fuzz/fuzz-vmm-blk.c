/* fuzz-vmm-blk.c - disk requests of any shape; the file keeps its size and
 * the disk can always be reset and used again. */
#include <config.h>

#include "tests/fuzz/fuzz-vmm.h"

#include <linux/virtio_blk.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "hypervisor-backend/vmm/dev_blk.h"

#define SECTORS 64
#define BASE UINT64_C(0x40000)

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct guest g;
    static struct dev_blk *d;
    static int fd;
    struct input in = {data, n};
    struct guest_queue *q;
    struct stat st;
    uint64_t features;
    size_t len;

    if (!g.mem) {
        struct dev_blk_options o = {.no_io_uring = true, .serial = "fuzz"};

        guest_new(&g, GUEST_MIB);
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        assert_int_equal(ftruncate(fd, SECTORS * 512), 0);
        o.fd = dup(fd);
        assert_int_equal(dev_blk_new(g.mem, g.loop, &o, &d, NULL), 0);
        guest_plug(&g, dev_blk_virtio(d), DEV_BLK_CLASS);
    }
    g.heap = 0x10000;
    features =
        guest_offered(&g) &
        (take(&in, 1) & 1 ? ~VIRTIO_BIT(VIRTIO_BLK_F_FLUSH) : UINT64_MAX);
    guest_negotiate(&g, features & ~VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX));
    q = guest_queue(&g, 0, 16);
    guest_driver_ok(&g);
    fill_ring(&g, q, &in, BASE);
    len = in.n < 4096 ? in.n : 4096;
    memcpy(guest_at(&g, BASE, 4096), in.p, len);
    guest_kick(&g, q);
    guest_settle(&g);
    guest_reset(&g);
    assert_int_equal(fstat(fd, &st), 0);
    if (st.st_size != SECTORS * 512)
        abort();
    return 0;
}
