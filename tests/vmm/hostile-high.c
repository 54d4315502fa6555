/* hostile-high.c - memory on both sides of the hole, for a VM with 5 GiB:
 * rings and buffers above 4 GiB serve; what reaches into the hole, or behind
 * the end, does not. */
#include "tests/vmm/lib-hostile.h"

#define HIGH UINT64_C(0x100000000)
#define END UINT64_C(0x180000000)

void guest_main(void);

static uint64_t at;

static bool
good(struct target *t)
{
    volatile uint8_t *p = (volatile uint8_t *)at;
    struct seg s = {at, 64, true};
    unsigned zeroes = 0;
    bool ok;

    memset((void *)at, 0, 64);
    ok = vq_do(&t->d, &t->d.q[0], &s, 1) == 64;
    for (unsigned i = 0; i < 64; i++)
        zeroes += p[i] == 0;
    return ok && zeroes < 16;
}

static void
at_address(struct target *t, uint64_t addr, const char *what)
{
    at = addr;
    check(hostile_start(t, 0) && good(t), what);
}

static void
must_fail(struct target *t, uint64_t addr, uint32_t len, const char *what)
{
    struct seg s = {addr, len, true};

    hostile_send(t, 0, &s, 1);
    hostile_must_fail(t, what);
}

void
guest_main(void)
{
    struct target t = {.n_queues = 1, .good = good};
    struct vq *q = &t.d.q[0];
    uint64_t old;

    put("hostile high begin\n");
    at = 0x700000;
    if (!hostile_begin(&t, VIRTIO_ID_RNG))
        return;
    at_address(&t, HOLE - 64, "the last bytes below the hole");
    at_address(&t, HIGH, "the first bytes above 4 GiB");
    at_address(&t, END - 64, "the last bytes of all");
    must_fail(&t, HOLE - 32, 64, "reaches into the hole");
    must_fail(&t, HOLE - 64, 0x40000080, "reaches over the hole");
    must_fail(&t, HIGH - 32, 64, "begins in the hole");
    must_fail(&t, END - 32, 64, "reaches behind the end");
    must_fail(&t, END, 64, "begins behind the end");
    /* The ring itself up there. */
    old = (uintptr_t)q->desc;
    q->desc = memset((void *)(HIGH + 0x1000), 0, 16u * q->size);
    q->avail = memset((void *)(HIGH + 0x2000), 0, 6u + 2u * q->size);
    q->used = memset((void *)(END - 8u - 8u * q->size), 0, 8u + 8u * q->size);
    at = HIGH + 0x3000;
    check(hostile_start(&t, 0) && good(&t), "ring above 4 GiB");
    q->desc = (struct vring_desc *)old;
    hostile_end(&t);
    put("hostile high end\n");
}
