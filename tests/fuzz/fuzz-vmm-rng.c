/* fuzz-vmm-rng.c - requests for entropy of any shape, in rings of any; after
 * its reset the device serves an honest one. */
#include <config.h>

#include "tests/fuzz/fuzz-vmm.h"

#include "hypervisor-backend/vmm/dev_rng.h"

#define BASE UINT64_C(0x40000)

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct guest g;
    static struct dev_rng *d;
    struct input in = {data, n};
    struct guest_queue *q;
    struct guest_seg good = {BASE, 64, true};
    unsigned flags;

    if (!g.mem) {
        guest_new(&g, GUEST_MIB);
        assert_int_equal(dev_rng_new(g.mem, g.loop, &d), 0);
        guest_plug(&g, dev_rng_virtio(d), DEV_RNG_CLASS);
    }
    g.heap = 0x10000;
    flags = (unsigned)take(&in, 1);
    guest_negotiate(&g, flags & 1 ? VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC) |
                                        VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX)
                                  : 0);
    q = guest_queue(&g, 0, 8);
    guest_driver_ok(&g);
    for (unsigned i = 0; i < 4 && in.n; i++) {
        fill_ring(&g, q, &in, BASE);
        guest_kick(&g, q);
        guest_settle(&g);
    }
    guest_reset(&g);
    g.heap = 0x10000;
    guest_negotiate(&g, 0);
    guest_queue(&g, 0, 8);
    guest_driver_ok(&g);
    guest_send(&g, &g.q[0], &good, 1);
    if (guest_wait(&g, &g.q[0]).len != good.len)
        abort();
    guest_reset(&g);
    return 0;
}
