/* virtio-vsock.c - a stream to port 5000 of the host, whose other end sends
 * everything back, and with "l" on the command line one from the host to port
 * 7, from which everything goes back until the host has no more. */
#include "tests/vmm/lib-virtio.h"

#include <linux/virtio_vsock.h>

#define RX 0
#define TX 1
#define EVENT 2
#define HOST 2
#define BUFFER 512
#define HEADER sizeof(struct virtio_vsock_hdr)
#define CREDIT 65536

void guest_main(void);

struct packet {
    struct virtio_vsock_hdr h;
    uint8_t data[BUFFER - HEADER];
};

static struct packet *rx, *tx, *last;
static uint32_t cid, received;

static void
post(struct vdev *d, unsigned i)
{
    struct seg s = IN(&rx[i], BUFFER);

    vq_chain(d, &d->q[RX], &s, 1);
    vq_offer(&d->q[RX], (uint16_t)i);
    vq_kick(d, &d->q[RX]);
}

static void
send(struct vdev *d, uint16_t op, uint32_t from, uint32_t to, uint32_t len,
     uint32_t flags)
{
    struct seg s = OUT(tx, HEADER);

    tx->h = (struct virtio_vsock_hdr){.src_cid = cid,
                                      .dst_cid = HOST,
                                      .src_port = from,
                                      .dst_port = to,
                                      .len = len,
                                      .type = VIRTIO_VSOCK_TYPE_STREAM,
                                      .op = op,
                                      .flags = flags,
                                      .buf_alloc = CREDIT,
                                      .fwd_cnt = received};
    s.len += len;
    vq_do(d, &d->q[TX], &s, 1);
}

/* The next packet into *last, credit updates left out. */
static uint16_t
receive(struct vdev *d)
{
    do {
        struct vq *q = &d->q[RX];
        unsigned at = q->last_used % q->size;
        uint32_t n = vq_wait(d, q), id;

        memcpy(&id, q->used + 4 + 8u * at, sizeof(id));
        memcpy(last, &rx[id], n);
        post(d, id);
    } while (last->h.op == VIRTIO_VSOCK_OP_CREDIT_UPDATE);
    if (last->h.op == VIRTIO_VSOCK_OP_RW)
        received += last->h.len;
    return last->h.op;
}

static void
to_host(struct vdev *d)
{
    bool ok = true;

    send(d, VIRTIO_VSOCK_OP_REQUEST, 1000, 5000, 0, 0);
    check(receive(d) == VIRTIO_VSOCK_OP_RESPONSE && last->h.src_port == 5000 &&
              last->h.dst_port == 1000 && last->h.dst_cid == cid,
          "connect");
    for (unsigned round = 0; ok && round < 8; round++) {
        uint32_t len = 1 + round * 60, have = 0;

        for (unsigned i = 0; i < len; i++)
            tx->data[i] = (uint8_t)(round + i);
        send(d, VIRTIO_VSOCK_OP_RW, 1000, 5000, len, 0);
        while (ok && have < len) {
            ok = receive(d) == VIRTIO_VSOCK_OP_RW &&
                 memcmp(last->data, tx->data + have, last->h.len) == 0;
            have += last->h.len;
        }
    }
    check(ok, "echo");
    send(d, VIRTIO_VSOCK_OP_SHUTDOWN, 1000, 5000, 0,
         VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND);
    check(receive(d) == VIRTIO_VSOCK_OP_RST, "shut down");
    send(d, VIRTIO_VSOCK_OP_REQUEST, 1001, 4999, 0, 0);
    check(receive(d) == VIRTIO_VSOCK_OP_RST && last->h.dst_port == 1001,
          "nobody listens there");
}

static void
from_host(struct vdev *d)
{
    uint32_t peer;

    put("listening\n");
    check(receive(d) == VIRTIO_VSOCK_OP_REQUEST && last->h.dst_port == 7,
          "the host connects");
    peer = last->h.src_port;
    received = 0;
    send(d, VIRTIO_VSOCK_OP_RESPONSE, 7, peer, 0, 0);
    while (receive(d) == VIRTIO_VSOCK_OP_RW) {
        memcpy(tx->data, last->data, last->h.len);
        send(d, VIRTIO_VSOCK_OP_RW, 7, peer, last->h.len, 0);
    }
    check(last->h.op == VIRTIO_VSOCK_OP_SHUTDOWN, "the host has no more");
    send(d, VIRTIO_VSOCK_OP_RST, 7, peer, 0, 0);
}

void
guest_main(void)
{
    struct vdev d;

    put("vsock begin\n");
    irq_init();
    rx = alloc(BUFFER * QUEUE_SIZE, 16);
    tx = alloc(BUFFER, 16);
    last = alloc(BUFFER, 16);
    check(vdev_find(&d, VIRTIO_ID_VSOCK, 0), "found");
    d.interrupts = true;
    cid = (uint32_t)mmio_read(d.device, 8);
    check(cid > HOST, "address");
    check(vdev_start(&d, BIT(VIRTIO_RING_F_EVENT_IDX), 3), "started");
    for (unsigned i = 0; i < d.q[RX].size; i++)
        post(&d, i);
    to_host(&d);
    if (cmdline()[0] == 'l')
        from_host(&d);
    vdev_reset(&d);
    put("vsock end\n");
}
