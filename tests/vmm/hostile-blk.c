/* hostile-blk.c - everything that is wrong with any ring, and with disk
 * requests. */
#include "tests/vmm/lib-hostile.h"

#include <linux/virtio_blk.h>

void guest_main(void);

static struct virtio_blk_outhdr *h;
static uint8_t *data;
static volatile uint8_t *status;

static bool
good(struct target *t)
{
    struct seg s[] = {OUT(h, sizeof(*h)), IN(data, 512), IN(status, 1)};

    *h = (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_IN};
    *status = 0xff;
    vq_do(&t->d, &t->d.q[0], s, 3);
    return *status == VIRTIO_BLK_S_OK;
}

/* Served, with an error. */
static void
refused(struct target *t, uint32_t type, uint64_t sector, uint32_t len, bool in,
        uint8_t want, const char *what)
{
    struct seg s[] = {OUT(h, sizeof(*h)), OUT(data, len), IN(status, 1)};

    s[1].in = in;
    *h = (struct virtio_blk_outhdr){.type = type, .sector = sector};
    *status = 0xff;
    vq_do(&t->d, &t->d.q[0], s, 3);
    check(*status == want && vdev_status(&t->d) == STATUS_LIVE, what);
}

static void
range(uint64_t sector, uint32_t sectors, uint32_t flags)
{
    struct virtio_blk_discard_write_zeroes r = {sector, sectors, flags};

    memcpy(data, &r, sizeof(r));
}

static void
ranges(struct target *t)
{
    range(UINT64_MAX, 1, 0);
    refused(t, VIRTIO_BLK_T_DISCARD, 0, 16, false, VIRTIO_BLK_S_IOERR,
            "discard far outside");
    range(UINT64_MAX - 1, 0xffffffff, 0);
    refused(t, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, false, VIRTIO_BLK_S_IOERR,
            "zeroes that wrap");
    range(0, 1, 0xfffffffe);
    refused(t, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, false, VIRTIO_BLK_S_UNSUPP,
            "zeroes with unknown flags");
    range(0, 1, 0);
    refused(t, VIRTIO_BLK_T_DISCARD, 0, 15, false, VIRTIO_BLK_S_IOERR,
            "half a range");
    refused(t, VIRTIO_BLK_T_DISCARD, 0, 4096, false, VIRTIO_BLK_S_IOERR,
            "too many ranges");
}

void
guest_main(void)
{
    struct target t = {.n_queues = 1,
                       .good = good,
                       .features = BIT(VIRTIO_BLK_F_FLUSH) |
                                   BIT(VIRTIO_BLK_F_DISCARD) |
                                   BIT(VIRTIO_BLK_F_WRITE_ZEROES)};
    struct seg s[3];

    put("hostile blk begin\n");
    h = alloc(sizeof(*h), 16);
    data = alloc(8192, 4096);
    status = alloc(1, 1);
    t.work[0] = OUT(h, sizeof(*h));
    t.work[1] = IN(data, 4096);
    t.work[2] = IN(status, 1);
    t.n_work = 3;
    if (!hostile_begin(&t, VIRTIO_ID_BLOCK))
        return;
    hostile_registers(&t);
    hostile_queues(&t);
    hostile_rings(&t);
    s[0] = OUT(h, sizeof(*h));
    hostile_send(&t, 0, s, 1);
    hostile_must_fail(&t, "no place for the status");
    s[0] = IN(status, 1);
    hostile_send(&t, 0, s, 1);
    hostile_must_fail(&t, "no header");
    s[0] = OUT(h, 15);
    s[1] = IN(status, 1);
    hostile_send(&t, 0, s, 2);
    hostile_must_fail(&t, "short header");
    refused(&t, VIRTIO_BLK_T_IN, UINT64_MAX, 512, true, VIRTIO_BLK_S_IOERR,
            "sector far outside");
    refused(&t, VIRTIO_BLK_T_OUT, UINT64_MAX / 512, 512, false,
            VIRTIO_BLK_S_IOERR, "sector whose offset wraps");
    refused(&t, VIRTIO_BLK_T_IN, 0, 511, true, VIRTIO_BLK_S_IOERR,
            "part of a sector");
    refused(&t, 0xdeadbeef, 0, 512, true, VIRTIO_BLK_S_UNSUPP, "unknown type");
    refused(&t, VIRTIO_BLK_T_GET_ID, 0, 5, true, VIRTIO_BLK_S_IOERR,
            "no room for the serial number");
    ranges(&t);
    *h = (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_IN};
    hostile_reset(&t);
    hostile_end(&t);
    /* Off in the middle of it: what completes now has no VM any more. */
    hostile_start(&t, BIT(VIRTIO_RING_F_INDIRECT_DESC));
    for (unsigned i = 0; i < t.d.q[0].size; i++)
        vq_offer(&t.d.q[0], vq_chain(&t.d, &t.d.q[0], t.work, 3));
    put("hostile blk end\n");
    hostile_kick(&t, 0);
}
