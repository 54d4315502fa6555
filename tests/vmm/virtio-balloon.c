/* virtio-balloon.c - gives pages to the host and takes them back, reports free
 * ones, answers for statistics, shows what it gave. */
#include "tests/vmm/lib-virtio.h"

#include <linux/virtio_balloon.h>

#define PAGE 4096
#define N 64

void guest_main(void);

static bool
all(const uint64_t *p, unsigned n, uint64_t want)
{
    for (unsigned i = 0; i < n; i++)
        if (p[i] != want)
            return false;
    return true;
}

static void
fill(uint64_t *p, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        p[i] = 0x1122334455667788;
}

void
guest_main(void)
{
    uint64_t *pages = alloc(N * PAGE, PAGE);
    uint32_t *pfn = alloc(N * sizeof(*pfn), 16);
    struct virtio_balloon_stat *stat = alloc(sizeof(*stat), 16);
    struct seg list = OUT(pfn, N * sizeof(*pfn));
    struct seg report[] = {IN(pages, N / 2 * PAGE),
                           IN(pages + N / 2 * PAGE / 8, N / 2 * PAGE)};
    struct seg stats = OUT(stat, sizeof(*stat));
    struct vdev d;

    put("balloon begin\n");
    irq_init();
    check(vdev_find(&d, VIRTIO_ID_BALLOON, 0), "found");
    d.interrupts = true;
    check(vdev_start(&d,
                     BIT(VIRTIO_BALLOON_F_STATS_VQ) |
                         BIT(VIRTIO_BALLOON_F_REPORTING) |
                         BIT(VIRTIO_RING_F_EVENT_IDX),
                     4),
          "started");
    /* Scattered and in one piece. */
    for (unsigned i = 0; i < N; i++)
        pfn[i] = (uint32_t)((uintptr_t)pages / PAGE + (i * 5) % N);
    fill(pages, N * PAGE / 8);
    vq_do(&d, &d.q[0], &list, 1);
    mmio_write(d.device + offsetof(struct virtio_balloon_config, actual), 4, N);
    check(all(pages, N * PAGE / 8, 0), "inflate gives the pages away");
    check(mmio_read(d.device + offsetof(struct virtio_balloon_config, actual),
                    4) == N,
          "actual");
    vq_do(&d, &d.q[1], &list, 1);
    mmio_write(d.device + offsetof(struct virtio_balloon_config, actual), 4, 0);
    fill(pages, N * PAGE / 8);
    check(all(pages, N * PAGE / 8, 0x1122334455667788), "deflate");
    vq_do(&d, &d.q[3], report, 2);
    check(all(pages, N * PAGE / 8, 0), "free page report");
    *stat = (struct virtio_balloon_stat){VIRTIO_BALLOON_S_MEMFREE, 12345678};
    vq_send(&d, &d.q[2], &stats, 1);
    put("balloon ready\n");
    /* On the command line: wait for the host's question, then answer. */
    if (cmdline()[0] == 's') {
        vq_wait(&d, &d.q[2]);
        stat->val = 23456789;
        vq_send(&d, &d.q[2], &stats, 1);
        vq_wait(&d, &d.q[2]);
        check(true, "statistics");
    }
    vdev_reset(&d);
    put("balloon end\n");
}
