/* virtio-blk.c - what a driver does with disks: the first one is written and
 * read, the second (if there is one) is read-only. Sectors 8 to 15 of the
 * first hold "virga" and the rest of the text below afterwards. */
#include "tests/vmm/lib-virtio.h"

#include <linux/virtio_blk.h>

#define SECTOR 512
#define N (8 * SECTOR)

void guest_main(void);

struct request {
    struct virtio_blk_outhdr h;
    uint8_t status;
};

static struct request *req;
static uint8_t *data, *back;

/* One request; its status byte. */
static uint8_t
ask(struct vdev *d, unsigned qi, uint32_t type, uint64_t sector, void *p,
    uint32_t len)
{
    struct seg s[3] = {OUT(&req->h, sizeof(req->h))};
    unsigned n = 1;

    req->h = (struct virtio_blk_outhdr){.type = type, .sector = sector};
    req->status = 0xff;
    if (len) {
        s[n] = OUT(p, len);
        s[n].in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
        n++;
    }
    s[n++] = IN(&req->status, 1);
    vq_do(d, &d->q[qi], s, n);
    return req->status;
}

static void
fill(uint8_t *p, unsigned n, uint8_t seed)
{
    for (unsigned i = 0; i < n; i++)
        p[i] = (uint8_t)(seed + i * 7);
    memcpy(p, "virga", 5);
}

static bool
zeroes(const uint8_t *p, unsigned n)
{
    while (n && !p[n - 1])
        n--;
    return n == 0;
}

static bool
write_and_read(struct vdev *d, unsigned qi, uint8_t seed)
{
    fill(data, N, seed);
    memset(back, 0, N);
    return ask(d, qi, VIRTIO_BLK_T_OUT, 8, data, N) == VIRTIO_BLK_S_OK &&
           ask(d, qi, VIRTIO_BLK_T_IN, 8, back, N) == VIRTIO_BLK_S_OK &&
           memcmp(data, back, N) == 0;
}

static void
ranges(struct vdev *d)
{
    struct virtio_blk_discard_write_zeroes *r = alloc(sizeof(*r), 16);

    fill(data, N, 99);
    check(ask(d, 0, VIRTIO_BLK_T_OUT, 32, data, N) == VIRTIO_BLK_S_OK &&
              ask(d, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0) == VIRTIO_BLK_S_OK,
          "flush");
    *r = (struct virtio_blk_discard_write_zeroes){32, 8, 0};
    check(ask(d, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, r, sizeof(*r)) ==
                  VIRTIO_BLK_S_OK &&
              ask(d, 0, VIRTIO_BLK_T_IN, 32, back, N) == VIRTIO_BLK_S_OK &&
              zeroes(back, N),
          "write zeroes");
    check(ask(d, 0, VIRTIO_BLK_T_DISCARD, 0, r, sizeof(*r)) == VIRTIO_BLK_S_OK,
          "discard");
}

/* As many requests at once as the ring holds. */
static void
deep(struct vdev *d)
{
    struct request *r = alloc(QUEUE_SIZE * sizeof(*r), 16);
    uint8_t *p = alloc(QUEUE_SIZE * SECTOR, 16);
    unsigned good = 0;

    for (unsigned i = 0; i < QUEUE_SIZE; i++) {
        struct seg s[] = {OUT(&r[i].h, sizeof(r[i].h)),
                          IN(p + i * SECTOR, SECTOR), IN(&r[i].status, 1)};

        r[i].h.sector = 8 + i % 8;
        r[i].status = 0xff;
        vq_offer(&d->q[0], vq_chain(d, &d->q[0], s, 3));
    }
    /* Not one by one: the device's event index may be any of them. */
    mmio_write(d->q[0].notify, 2, 0);
    for (unsigned i = 0; i < QUEUE_SIZE; i++)
        vq_wait(d, &d->q[0]);
    for (unsigned i = 0; i < QUEUE_SIZE; i++)
        good += r[i].status == VIRTIO_BLK_S_OK &&
                memcmp(p + i * SECTOR, back + i % 8 * SECTOR, SECTOR) == 0;
    check(good == QUEUE_SIZE, "a full ring");
}

static void
queues(struct vdev *d)
{
    unsigned n = mmio_read(COMMON(d, num_queues), 2);
    bool ok = true;

    put("queues ");
    put_number(n);
    put("\n");
    if (n > VDEV_QUEUES)
        n = VDEV_QUEUES;
    ok = vdev_start(d, UINT64_MAX, n);
    for (unsigned q = 0; ok && q < n; q++)
        ok = write_and_read(d, q, (uint8_t)q);
    check(ok, "every queue");
}

static void
read_only(void)
{
    struct vdev d;

    if (!vdev_find(&d, VIRTIO_ID_BLOCK, 1))
        return;
    check(vdev_start(&d, UINT64_MAX, 1) &&
              (d.features & BIT(VIRTIO_BLK_F_RO)) != 0 &&
              ask(&d, 0, VIRTIO_BLK_T_IN, 0, back, SECTOR) == VIRTIO_BLK_S_OK &&
              ask(&d, 0, VIRTIO_BLK_T_OUT, 0, data, SECTOR) ==
                  VIRTIO_BLK_S_IOERR,
          "read-only");
    vdev_reset(&d);
}

void
guest_main(void)
{
    struct vdev d;
    uint64_t sectors;

    put("blk begin\n");
    irq_init();
    req = alloc(sizeof(*req), 16);
    data = alloc(N, SECTOR);
    back = alloc(N, SECTOR);
    check(vdev_find(&d, VIRTIO_ID_BLOCK, 0), "found");
    d.interrupts = true;
    sectors = mmio_read(d.device, 8);
    put("sectors ");
    put_number(sectors);
    put("\n");
    check(vdev_start(&d, BIT(VIRTIO_BLK_F_FLUSH), 1) &&
              write_and_read(&d, 0, 1),
          "direct");
    check(vdev_start(&d,
                     BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_RING_F_INDIRECT_DESC),
                     1) &&
              write_and_read(&d, 0, 2),
          "indirect");
    check(vdev_start(&d, UINT64_MAX, 1) && write_and_read(&d, 0, 3),
          "all features");
    ranges(&d);
    check(ask(&d, 0, VIRTIO_BLK_T_IN, sectors, back, SECTOR) ==
              VIRTIO_BLK_S_IOERR,
          "past the end");
    check(ask(&d, 0, VIRTIO_BLK_T_GET_ID, 0, back, VIRTIO_BLK_ID_BYTES) ==
              VIRTIO_BLK_S_OK,
          "serial number");
    queues(&d);
    check(write_and_read(&d, 0, 5), "content");
    deep(&d);
    d.interrupts = false;
    check(vdev_start(&d, 0, 1) && write_and_read(&d, 0, 42), "polling");
    vdev_reset(&d);
    read_only();
    put("blk end\n");
}
