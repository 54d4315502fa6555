/* hostile-vsock.c - everything that is wrong with any ring, and with socket
 * packets. A good request is a call to a port where nobody listens: it is
 * answered by a reset. */
#include "tests/vmm/lib-hostile.h"

#include <linux/virtio_vsock.h>

#define RX 0
#define TX 1
#define HEADER sizeof(struct virtio_vsock_hdr)
#define NOBODY 4999
#define ECHO 5000

void guest_main(void);

struct packet {
    struct virtio_vsock_hdr h;
    uint8_t data[4096 - HEADER];
};

static struct packet *tx, *rx;
static uint32_t cid;

static struct virtio_vsock_hdr
header(uint16_t op, uint32_t port, uint32_t len)
{
    return (struct virtio_vsock_hdr){.src_cid = cid,
                                     .dst_cid = 2,
                                     .src_port = 77,
                                     .dst_port = port,
                                     .len = len,
                                     .type = VIRTIO_VSOCK_TYPE_STREAM,
                                     .op = op,
                                     .buf_alloc = 4096};
}

static void
send(struct target *t, struct virtio_vsock_hdr h, uint32_t bytes)
{
    struct seg s = OUT(tx, HEADER + bytes);

    tx->h = h;
    vq_do(&t->d, &t->d.q[TX], &s, 1);
}

/* The next packet's operation; one buffer at a time. */
static uint16_t
receive(struct target *t)
{
    struct seg s = IN(rx, sizeof(*rx));

    rx->h.op = 0;
    vq_do(&t->d, &t->d.q[RX], &s, 1);
    return rx->h.op;
}

static bool
good(struct target *t)
{
    send(t, header(VIRTIO_VSOCK_OP_REQUEST, NOBODY, 0), 0);
    return receive(t) == VIRTIO_VSOCK_OP_RST && rx->h.dst_port == 77;
}

static bool
opened(struct target *t)
{
    send(t, header(VIRTIO_VSOCK_OP_REQUEST, ECHO, 0), 0);
    return receive(t) == VIRTIO_VSOCK_OP_RESPONSE;
}

/* In an open stream, answered by its reset alone. */
static void
is_reset(struct target *t, struct virtio_vsock_hdr h, uint32_t bytes,
         const char *what)
{
    bool ok = opened(t);

    send(t, h, bytes);
    check(ok && receive(t) == VIRTIO_VSOCK_OP_RST && good(t) &&
              vdev_status(&t->d) == STATUS_LIVE,
          what);
}

/* Dropped: nothing comes for it. */
static void
is_dropped(struct target *t, struct virtio_vsock_hdr h, const char *what)
{
    send(t, h, 0);
    check(good(t) && vdev_status(&t->d) == STATUS_LIVE, what);
}

static void
packets(struct target *t)
{
    const uint16_t rw = VIRTIO_VSOCK_OP_RW;
    struct virtio_vsock_hdr h;

    is_reset(t, header(rw, ECHO, 101), 100, "length beyond the packet");
    is_reset(t, header(rw, ECHO, 0xffffffff), 100, "length that overflows");
    is_reset(t, header(0xffff, ECHO, 0), 0, "unknown operation");
    is_reset(t, header(VIRTIO_VSOCK_OP_INVALID, ECHO, 0), 0, "operation 0");
    is_reset(t, header(VIRTIO_VSOCK_OP_REQUEST, ECHO, 0), 0,
             "call on an open stream");
    is_reset(t, header(VIRTIO_VSOCK_OP_RESPONSE, ECHO, 0), 0,
             "answer that nobody waits for");
    h = header(rw, ECHO, 4);
    h.type = 99;
    is_reset(t, h, 4, "unknown type");
    h = header(rw, ECHO, 4);
    h.dst_cid = 5;
    is_reset(t, h, 4, "another machine's address");
    h = header(rw, ECHO, 0);
    h.src_cid = cid + 1;
    is_dropped(t, h, "another machine's name");
    h.src_cid = UINT64_MAX;
    is_dropped(t, h, "a name that is none");
    check(opened(t), "open");
    /* Credit that shrinks, and more taken than was ever sent: no data may
     * come, and nothing may break. */
    h = header(VIRTIO_VSOCK_OP_CREDIT_UPDATE, ECHO, 0);
    h.buf_alloc = 0;
    h.fwd_cnt = 0xffffffff;
    send(t, h, 0);
    h.op = rw;
    h.len = 8;
    send(t, h, 8);
    send(t, header(VIRTIO_VSOCK_OP_RST, ECHO, 0), 0);
    check(good(t), "credit that lies");
}

void
guest_main(void)
{
    struct target t = {.n_queues = 3, .q = TX, .good = good};
    struct seg s;

    put("hostile vsock begin\n");
    tx = alloc(4096, 4096);
    rx = alloc(4096, 4096);
    t.work[0] = OUT(tx, HEADER);
    t.n_work = 1;
    if (!vdev_find(&t.d, VIRTIO_ID_VSOCK, 0))
        return;
    cid = (uint32_t)mmio_read(t.d.device, 8);
    if (!hostile_begin(&t, VIRTIO_ID_VSOCK))
        return;
    hostile_registers(&t);
    hostile_queues(&t);
    hostile_rings(&t);
    s = OUT(tx, HEADER - 1);
    hostile_send(&t, TX, &s, 1);
    hostile_must_fail(&t, "packet without a header");
    s = IN(tx, HEADER);
    hostile_send(&t, TX, &s, 1);
    hostile_must_fail(&t, "packet that is writable");
    /* Receive buffers are looked at once there is something to say. */
    send(&t, header(VIRTIO_VSOCK_OP_REQUEST, NOBODY, 0), 0);
    s = IN(rx, HEADER - 1);
    hostile_send(&t, RX, &s, 1);
    hostile_must_fail(&t, "receive buffer for no packet");
    packets(&t);
    tx->h = header(VIRTIO_VSOCK_OP_RST, NOBODY, 0);
    hostile_reset(&t);
    hostile_end(&t);
    put("hostile vsock end\n");
}
