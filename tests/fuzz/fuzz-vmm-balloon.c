/* fuzz-vmm-balloon.c - lists of pages, reports and statistics of any shape.
 * What it takes is within the guest's memory, or the sanitizers say. */
#include <config.h>

#include "tests/fuzz/fuzz-vmm.h"

#include <linux/virtio_balloon.h>

#include "hypervisor-backend/vmm/dev_balloon.h"

#define BASE UINT64_C(0x40000)

static uint64_t
take_pfn(struct input *in)
{
    unsigned kind = (unsigned)take(in, 1);

    return kind < 224 ? kind : take(in, 4);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct guest g;
    static struct dev_balloon *d;
    struct dev_balloon_stats before, after;
    struct input in = {data, n};
    struct guest_queue *q[4];
    unsigned flags, pages;

    if (!g.mem) {
        guest_new(&g, GUEST_MIB);
        assert_int_equal(dev_balloon_new(g.mem, g.loop, true, &d), 0);
        guest_plug(&g, dev_balloon_virtio(d), DEV_BALLOON_CLASS);
    }
    dev_balloon_stats(d, &before);
    g.heap = 0x10000;
    flags = (unsigned)take(&in, 1);
    guest_negotiate(
        &g, guest_offered(&g) &
                ~(VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX) |
                  (flags & 1 ? VIRTIO_BIT(VIRTIO_BALLOON_F_STATS_VQ) : 0) |
                  (flags & 2 ? VIRTIO_BIT(VIRTIO_BALLOON_F_REPORTING) : 0)));
    for (unsigned i = 0; i < 4; i++)
        q[i] = guest_queue(&g, i, 16);
    guest_driver_ok(&g);
    /* An honest chain of any page numbers, then anything. */
    pages = (unsigned)take(&in, 1) % 64;
    for (unsigned i = 0; i < pages; i++) {
        uint32_t pfn = (uint32_t)take_pfn(&in);

        memcpy(guest_at(&g, BASE + 4U * i, 4), &pfn, 4);
    }
    if (pages) {
        struct guest_seg s = {BASE, 4 * pages, false};

        guest_send(&g, q[flags >> 2 & 1], &s, 1);
        guest_settle(&g);
    }
    for (unsigned i = 0; i < 4; i++) {
        fill_ring(&g, q[i], &in, BASE);
        guest_kick(&g, q[i]);
        if (flags & 8)
            guest_settle(&g);
    }
    guest_settle(&g);
    if (dev_balloon_poll_stats(d) == 0)
        guest_settle(&g);
    if (dev_balloon_set_target(d, take(&in, 3)) == 0)
        guest_settle(&g);
    guest_write(&g, VPCI_DEVICE + (take(&in, 1) & 15), 4, take(&in, 4));
    dev_balloon_stats(d, &after);
    if (after.inflated_bytes < before.inflated_bytes ||
        after.target_bytes > GUEST_MIB)
        abort();
    guest_reset(&g);
    return 0;
}
