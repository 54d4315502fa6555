/* hostile-balloon.c - everything that is wrong with any ring, and with lists
 * of pages. */
#include "tests/vmm/lib-hostile.h"

#include <linux/virtio_balloon.h>

#define PAGE 4096

void guest_main(void);

static uint32_t *list;
static uint64_t *page;

static bool
good(struct target *t)
{
    struct seg s = OUT(list, 4);

    list[0] = (uint32_t)((uintptr_t)page / PAGE);
    page[0] = 1;
    vq_do(&t->d, &t->d.q[0], &s, 1);
    return page[0] == 0;
}

/* Pages that are none are skipped; those around them go. */
static void
pages(struct target *t)
{
    static const uint32_t bad[] = {0xffffffff, 0xc0000, 0xfee00,  0xfffffffe,
                                   0x80000000, 0x40000, 0x100000, 0xd0000};
    struct seg s = OUT(list, 4 * (2 * ARRAY_SIZE(bad) + 1));

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        list[2 * i] = bad[i];
        list[2 * i + 1] = (uint32_t)((uintptr_t)page / PAGE + i % 2);
    }
    /* A run that goes on into nowhere. */
    list[2 * ARRAY_SIZE(bad)] = 0xffffffff;
    page[0] = page[PAGE / 8] = 1;
    vq_do(&t->d, &t->d.q[0], &s, 1);
    check(page[0] == 0 && page[PAGE / 8] == 0 &&
              vdev_status(&t->d) == STATUS_LIVE,
          "page numbers outside of memory");
    vq_do(&t->d, &t->d.q[1], &s, 1);
    check(vdev_status(&t->d) == STATUS_LIVE, "deflate what was never there");
    /* The end of memory (8 MiB or what it is) and on from there. */
    for (unsigned i = 0; i < 1024; i++)
        list[i] = 0x3ffff0 + i;
    s.len = PAGE;
    vq_do(&t->d, &t->d.q[0], &s, 1);
    check(vdev_status(&t->d) == STATUS_LIVE, "a run outside of memory");
}

void
guest_main(void)
{
    struct target t = {.n_queues = 4,
                       .good = good,
                       .features = BIT(VIRTIO_BALLOON_F_STATS_VQ) |
                                   BIT(VIRTIO_BALLOON_F_REPORTING)};
    struct seg s;

    put("hostile balloon begin\n");
    list = alloc(PAGE, PAGE);
    page = alloc(2 * PAGE, PAGE);
    t.work[0] = OUT(list, 64);
    t.n_work = 1;
    if (!hostile_begin(&t, VIRTIO_ID_BALLOON))
        return;
    hostile_registers(&t);
    hostile_queues(&t);
    hostile_rings(&t);
    s = IN(list, 4);
    hostile_send(&t, 0, &s, 1);
    hostile_must_fail(&t, "list that is writable");
    s = OUT(list, 6);
    hostile_send(&t, 1, &s, 1);
    hostile_must_fail(&t, "list of odd length");
    s = OUT(page, PAGE);
    hostile_send(&t, 3, &s, 1);
    hostile_must_fail(&t, "free pages that are readable");
    s = IN(list, 10);
    hostile_send(&t, 2, &s, 1);
    hostile_must_fail(&t, "statistics that are writable");
    s = OUT(list, 10);
    hostile_send(&t, 2, &s, 1);
    hostile_send(&t, 2, &s, 1);
    hostile_must_fail(&t, "statistics that nobody asked for");
    pages(&t);
    mmio_write(t.d.device + offsetof(struct virtio_balloon_config, actual), 4,
               0xffffffff);
    mmio_write(t.d.device, 4, 0xffffffff); /* the host's wish: read-only */
    check(mmio_read(t.d.device, 4) != 0xffffffff, "the target is the host's");
    hostile_must_serve(&t, "an actual size that lies");
    t.q = 3;
    t.work[0] = IN(page, PAGE);
    hostile_rings(&t);
    hostile_reset(&t);
    hostile_end(&t);
    put("hostile balloon end\n");
}
