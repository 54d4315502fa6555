/* virtio-rng.c - entropy, by polling and by interrupts, as direct and as
 * indirect chains. */
#include "tests/vmm/lib-virtio.h"

void guest_main(void);

static bool
filled(const uint8_t *p, unsigned n)
{
    unsigned zeroes = 0;

    for (unsigned i = 0; i < n; i++)
        zeroes += p[i] == 0;
    return zeroes < n / 4;
}

static void
ask(struct vdev *d, uint64_t features, const char *what)
{
    uint8_t *p = alloc(256, 16);
    struct seg s[] = {IN(p, 100), IN(p + 128, 28)};
    bool ok = vdev_start(d, features, 1);

    for (unsigned i = 0; ok && i < 3 * QUEUE_SIZE; i++) {
        memset(p, 0, 256);
        ok = vq_do(d, &d->q[0], s, 2) == 128 && filled(p, 100) &&
             filled(p + 128, 28) && p[100] == 0 && p[156] == 0;
    }
    check(ok, what);
}

void
guest_main(void)
{
    struct vdev d;

    put("rng begin\n");
    irq_init();
    check(vdev_find(&d, VIRTIO_ID_RNG, 0), "found");
    ask(&d, 0, "polling");
    ask(&d, BIT(VIRTIO_RING_F_INDIRECT_DESC), "indirect");
    d.interrupts = true;
    ask(&d, 0, "interrupts");
    ask(&d, BIT(VIRTIO_RING_F_EVENT_IDX), "event index");
    vdev_reset(&d);
    put("rng end\n");
}
