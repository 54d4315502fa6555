/* virtio-console.c - greets, then sends back what comes in, until a "q". */
#include "tests/vmm/lib-virtio.h"

#define RX 0
#define TX 1

void guest_main(void);

static void
say(struct vdev *d, const char *s, uint32_t n)
{
    struct seg out = OUT(s, n);

    vq_do(d, &d->q[TX], &out, 1);
}

void
guest_main(void)
{
    static const char hello[] = "hello from the guest\n";
    char *line = alloc(64, 16);
    struct seg in = IN(line, 64);
    struct vdev d;
    bool ok;

    put("console begin\n");
    irq_init();
    check(vdev_find(&d, VIRTIO_ID_CONSOLE, 0), "found");
    d.interrupts = true;
    /* Without multiport: port 0 alone. */
    ok = vdev_start(
        &d, BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC), 2);
    check(ok, "started");
    if (ok)
        say(&d, hello, sizeof(hello) - 1);
    while (ok) {
        uint32_t n = vq_do(&d, &d.q[RX], &in, 1);

        if (n == 0 || n > 64) {
            check(false, "input");
            break;
        }
        if (line[0] == 'q')
            break;
        say(&d, line, n);
    }
    vdev_reset(&d);
    put("console end\n");
}
