/* virtio-net.c - frames both ways. With "a" on the command line the peer is a
 * network stack: 192.0.2.1 is asked for its address (ARP) and pinged, from
 * 192.0.2.2. Else every frame is expected back with the addresses swapped,
 * and "n" frames more. */
#include "tests/vmm/lib-virtio.h"

#include <linux/virtio_net.h>

#define RX 0
#define TX 1
#define BUFFER 1024 /* a large frame takes two */
#define HEADER sizeof(struct virtio_net_hdr_v1)

void guest_main(void);

static uint8_t mac[6], *frame, *got;
static uint8_t *buffers;

static void
post(struct vdev *d, unsigned i)
{
    struct seg s = IN(buffers + (size_t)i * BUFFER, BUFFER);

    vq_chain(d, &d->q[RX], &s, 1); /* chain i is buffer i, always */
    vq_offer(&d->q[RX], (uint16_t)i);
    vq_kick(d, &d->q[RX]);
}

static bool
start(struct vdev *d, uint64_t features)
{
    bool ok = vdev_start(d, features, 2);

    for (unsigned i = 0; ok && i < d->q[RX].size; i++)
        post(d, i);
    return ok;
}

static void
send(struct vdev *d, uint32_t len)
{
    static struct virtio_net_hdr_v1 h;
    struct seg s[] = {OUT(&h, HEADER), OUT(frame, 14), OUT(frame + 14, 0)};

    s[2].len = len - 14;
    vq_do(d, &d->q[TX], s, 3);
}

/* The next frame into `got`; its length. */
static uint32_t
receive(struct vdev *d)
{
    struct vq *q = &d->q[RX];
    uint32_t total = 0, n = 1;

    for (uint32_t i = 0; i < n; i++) {
        unsigned at = q->last_used % q->size;
        uint32_t len = vq_wait(d, q), id;

        memcpy(&id, q->used + 4 + 8u * at, sizeof(id));
        if (i == 0)
            n = ((struct virtio_net_hdr_v1 *)(void *)(buffers + id * BUFFER))
                    ->num_buffers;
        memcpy(got + total, buffers + id * BUFFER, len);
        total += len;
        post(d, id);
    }
    memcpy(got, got + HEADER, total - HEADER);
    return total - HEADER;
}

static void
ethernet(const uint8_t to[6], unsigned type)
{
    memcpy(frame, to, 6);
    memcpy(frame + 6, mac, 6);
    frame[12] = (uint8_t)(type >> 8);
    frame[13] = (uint8_t)type;
}

static void
echo(struct vdev *d, uint32_t len, const char *what)
{
    static const uint8_t peer[6] = {0x52, 0x54, 0, 1, 2, 3};

    ethernet(peer, 0x88b5); /* local experiments */
    for (uint32_t i = 14; i < len; i++)
        frame[i] = (uint8_t)(i * 3 + len);
    send(d, len);
    check(receive(d) == len && memcmp(got, mac, 6) == 0 &&
              memcmp(got + 6, peer, 6) == 0 &&
              memcmp(got + 12, frame + 12, len - 12) == 0,
          what);
}

static uint16_t
checksum(const uint8_t *p, unsigned n)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < n; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void
put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* Others talk on a real link, too: waits for the right one. */
static void
stack(struct vdev *d)
{
    static const uint8_t all[6] = {255, 255, 255, 255, 255, 255},
                         me[4] = {192, 0, 2, 2}, peer[4] = {192, 0, 2, 1},
                         arp[8] = {0, 1, 8, 0, 6, 4, 0, 1};
    uint8_t *ip = frame + 14, *icmp = frame + 34;
    uint8_t to[6];

    ethernet(all, 0x0806);
    memcpy(frame + 14, arp, 8);
    memcpy(frame + 22, mac, 6);
    memcpy(frame + 28, me, 4);
    memset(frame + 32, 0, 6);
    memcpy(frame + 38, peer, 4);
    send(d, 60);
    while (receive(d) < 42 || got[12] != 8 || got[13] != 6 || got[21] != 2 ||
           memcmp(got + 28, peer, 4) != 0)
        relax();
    memcpy(to, got + 22, 6);
    check(true, "arp");
    ethernet(to, 0x0800);
    memset(ip, 0, 20 + 8 + 1000);
    ip[0] = 0x45;
    put16(ip + 2, 20 + 8 + 1000);
    ip[8] = 64;
    ip[9] = 1;
    memcpy(ip + 12, me, 4);
    memcpy(ip + 16, peer, 4);
    put16(ip + 10, checksum(ip, 20));
    icmp[0] = 8;
    for (unsigned i = 8; i < 1008; i++)
        icmp[i] = (uint8_t)i;
    put16(icmp + 2, checksum(icmp, 1008));
    send(d, 14 + 20 + 8 + 1000);
    while (receive(d) < 14 + 20 + 8 + 1000 || got[12] != 8 || got[13] != 0 ||
           got[14 + 9] != 1 || got[34] != 0)
        relax();
    check(memcmp(got + 42, icmp + 8, 1000) == 0, "ping");
}

void
guest_main(void)
{
    struct vdev d;

    put("net begin\n");
    irq_init();
    frame = alloc(2048, 16);
    got = alloc(4096, 16);
    buffers = alloc((uint64_t)BUFFER * QUEUE_SIZE, 16);
    check(vdev_find(&d, VIRTIO_ID_NET, 0), "found");
    d.interrupts = true;
    for (unsigned i = 0; i < 6; i++)
        mac[i] = (uint8_t)mmio_read(d.device + i, 1);
    check(start(&d, BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_MRG_RXBUF) |
                        BIT(VIRTIO_RING_F_EVENT_IDX)),
          "started");
    if (cmdline()[0] == 'a') {
        stack(&d);
    } else {
        echo(&d, 60, "small frame");
        echo(&d, 1514, "large frame in two buffers");
        for (unsigned i = 0; i < 40; i++)
            echo(&d, 60 + 17 * i, "frame");
        check(start(&d, BIT(VIRTIO_NET_F_MAC)), "started without features");
        echo(&d, 500, "frame without merged buffers");
    }
    vdev_reset(&d);
    put("net end\n");
}
