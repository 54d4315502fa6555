/* fuzz-vmm-common.c - a virtio device set up in any order, with any rings and
 * requests, then reset: it must come back and serve. Entropy, as its requests
 * are the plainest. */
#include <config.h>

#include "tests/fuzz/fuzz-vmm.h"

#include "hypervisor-backend/vmm/dev_rng.h"

#define BASE UINT64_C(0x40000)
#define GOOD UINT64_C(0x80000)

static void
write_register(struct guest *g, struct input *in)
{
    static const struct {
        uint16_t at, size;
    } reg[] = {
        {COMMON(device_status), 1},
        {COMMON(device_status), 1},
        {COMMON(guest_feature), 4},
        {COMMON(guest_feature_select), 4},
        {COMMON(queue_select), 2},
        {COMMON(queue_size), 2},
        {COMMON(queue_msix_vector), 2},
        {COMMON(queue_enable), 2},
        {COMMON(msix_config), 2},
        {VPCI_NOTIFY, 2},
        {VPCI_MSIX + 12, 4},
        {VPCI_MSIX + 16, 8},
    };
    unsigned i = (unsigned)take(in, 1) % ARRAY_SIZE(reg);

    guest_write(g, reg[i].at, reg[i].size, take(in, reg[i].size > 1 ? 2 : 1));
}

static void
write_address(struct guest *g, struct input *in)
{
    static const uint16_t at[] = {COMMON(queue_desc_lo), COMMON(queue_avail_lo),
                                  COMMON(queue_used_lo)};
    unsigned i = (unsigned)take(in, 1) % ARRAY_SIZE(at);

    guest_write(g, at[i], 8, take_address(in, BASE));
}

static void
usual_start(struct guest *g)
{
    guest_negotiate(g, VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC));
    guest_queue(g, 0, 8);
    guest_driver_ok(g);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct guest g;
    static struct dev_rng *d;
    struct guest_seg s = {GOOD, 16, true};
    struct input in = {data, n};

    if (!g.mem) {
        guest_new(&g, GUEST_MIB);
        assert_int_equal(dev_rng_new(g.mem, g.loop, &d), 0);
        guest_plug(&g, dev_rng_virtio(d), DEV_RNG_CLASS);
    }
    g.heap = 0x10000;
    g.q[0] = (struct guest_queue){
        .size = 8, .desc = BASE, .avail = BASE + 0x1000, .used = BASE + 0x2000};
    while (in.n) {
        uint8_t status = guest_status(&g);

        switch (take(&in, 1) % 8) {
        case 0:
        case 1:
            write_register(&g, &in);
            break;
        case 2:
            write_address(&g, &in);
            break;
        case 3: /* the rest of what a driver does, if it is not too late */
            guest_reset(&g);
            usual_start(&g);
            break;
        case 4:
            fill_ring(&g, &g.q[0], &in, BASE);
            break;
        case 5:
            guest_kick(&g, &g.q[0]);
            guest_settle(&g);
            break;
        case 6: /* bus mastering and memory decoding, the latter back on */
            guest_cfg_write(&g, g.slot, 4, 2, (uint32_t)take(&in, 1));
            guest_cfg_write(&g, g.slot, 4, 2, 6);
            break;
        default: /* no bit of the status goes but by a reset */
            guest_write(&g, COMMON(device_status), 1, 1 | take(&in, 1));
            if (status & ~guest_status(&g))
                abort();
            break;
        }
    }
    guest_reset(&g);
    for (unsigned i = 0; i <= 1; i++) {
        guest_write(&g, VPCI_MSIX + 16 * i, 8, 0xfee00000);
        guest_write(&g, VPCI_MSIX + 16 * i + 8, 8, i);
    }
    g.heap = 0x10000;
    usual_start(&g);
    guest_send(&g, &g.q[0], &s, 1);
    if (guest_wait(&g, &g.q[0]).len != 16)
        abort();
    guest_reset(&g);
    return 0;
}
