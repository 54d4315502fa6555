/* hostile-net.c - everything that is wrong with any ring, and with frames and
 * their headers. What is not to be sent must not be: the peer counts. */
#include "tests/vmm/lib-hostile.h"

#include <linux/virtio_net.h>

#define RX 0
#define TX 1
#define HEADER sizeof(struct virtio_net_hdr_v1)
#define CSUM VIRTIO_NET_HDR_F_NEEDS_CSUM

void guest_main(void);

static struct virtio_net_hdr_v1 *h;
static uint8_t *frame;
static unsigned sent;

static void
send(struct target *t, uint32_t len)
{
    struct seg s[] = {OUT(h, HEADER), OUT(frame, len)};

    vq_do(&t->d, &t->d.q[TX], s, 2);
}

/* A frame goes out. That it arrived the peer says at the end. */
static bool
good(struct target *t)
{
    memset(h, 0, HEADER);
    send(t, 60);
    sent++;
    return true;
}

static void
lie(struct target *t, struct virtio_net_hdr_v1 header, uint32_t len,
    const char *what)
{
    *h = header;
    send(t, len);
    check(vdev_status(&t->d) == STATUS_LIVE, what);
}

static void
headers(struct target *t)
{
#define H(...) ((struct virtio_net_hdr_v1){__VA_ARGS__})
    const uint8_t tcp4 = VIRTIO_NET_HDR_GSO_TCPV4;

    lie(t, H(.flags = CSUM, .csum_start = 59, .csum_offset = 0), 60,
        "checksum over the end");
    lie(t, H(.flags = CSUM, .csum_start = 0xffff, .csum_offset = 0xffff), 60,
        "checksum far outside");
    lie(t, H(.flags = CSUM, .csum_start = 34, .csum_offset = 0xfff0), 60,
        "checksum offset past the packet");
    lie(t, H(.gso_type = 0x7f, .flags = CSUM, .gso_size = 100), 60,
        "unknown segmentation");
    lie(t, H(.gso_type = tcp4, .gso_size = 100), 60,
        "segmentation without a checksum");
    lie(t,
        H(.gso_type = tcp4, .flags = CSUM, .csum_start = 34, .csum_offset = 16,
          .hdr_len = 54),
        60, "segments of size 0");
    lie(t,
        H(.gso_type = tcp4, .flags = CSUM, .csum_start = 34, .csum_offset = 16,
          .gso_size = 100, .hdr_len = 0xffff),
        60, "headers longer than the packet");
    lie(t, H(.gso_type = VIRTIO_NET_HDR_GSO_ECN), 60, "ECN alone");
    lie(t, H(.flags = 0), 13, "frame shorter than its header");
}

void
guest_main(void)
{
    struct target t = {
        .n_queues = 2,
        .q = TX,
        .good = good,
        .features = BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) |
                    BIT(VIRTIO_NET_F_HOST_ECN) | BIT(VIRTIO_NET_F_MRG_RXBUF)};
    struct seg s;

    put("hostile net begin\n");
    h = alloc(HEADER, 16);
    frame = alloc(4096, 16);
    memset(frame, 0xff, 6);
    frame[12] = 0x88;
    frame[13] = 0xb5;
    t.work[0] = OUT(h, HEADER);
    t.work[1] = OUT(frame, 10); /* too short: dropped */
    t.n_work = 2;
    if (!hostile_begin(&t, VIRTIO_ID_NET))
        return;
    hostile_registers(&t);
    hostile_queues(&t);
    hostile_rings(&t);
    s = OUT(h, HEADER - 1);
    hostile_send(&t, TX, &s, 1);
    hostile_must_fail(&t, "frame without a header");
    s = IN(frame, 100);
    hostile_send(&t, TX, &s, 1);
    hostile_must_fail(&t, "frame that is writable");
    s = IN(frame, HEADER - 1);
    hostile_send(&t, RX, &s, 1);
    hostile_must_fail(&t, "receive buffer for no frame");
    s = OUT(frame, 100);
    hostile_send(&t, RX, &s, 1);
    hostile_must_fail(&t, "receive buffer that is not writable");
    headers(&t);
    hostile_must_serve(&t, "an honest one after the liars");
    t.q = RX;
    t.work[0] = IN(frame, 2048);
    t.n_work = 1;
    hostile_queues(&t);
    hostile_rings(&t);
    hostile_reset(&t);
    t.q = TX;
    t.work[0] = OUT(h, HEADER);
    t.n_work = 2;
    hostile_reset(&t);
    hostile_end(&t);
    put("sent ");
    put_number(sent);
    put("\nhostile net end\n");
}
