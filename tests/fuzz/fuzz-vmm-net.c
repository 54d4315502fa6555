/* fuzz-vmm-net.c - the rings of a NIC with two pairs, and commands, in any
 * shape while frames come in; what leaves has a header that keeps its
 * promises, and the number of pairs stays within bounds. */
#include <config.h>

#include "tests/fuzz/fuzz-vmm.h"

#include <linux/virtio_net.h>
#include <sys/socket.h>

#include "hypervisor-backend/vmm/dev_net.h"

#define BASE UINT64_C(0x40000)

static void
check_sent(int peer)
{
    static uint8_t frame[70000];
    struct virtio_net_hdr_v1 h;
    ssize_t n;

    while ((n = recv(peer, frame, sizeof(frame), MSG_DONTWAIT)) > 0) {
        memcpy(&h, frame, sizeof(h));
        if (n < (ssize_t)sizeof(h) + 14 || h.num_buffers ||
            (h.flags & ~VIRTIO_NET_HDR_F_NEEDS_CSUM))
            abort();
        n -= (ssize_t)sizeof(h);
        if (h.flags && h.csum_start + h.csum_offset + 2 > n)
            abort();
        if (h.gso_type && (!h.gso_size || h.hdr_len > n))
            abort();
    }
}

/* One command of the shape that a driver uses, with any content. */
static void
well_formed(struct guest *g, struct guest_queue *q, struct input *in)
{
    uint64_t at = BASE + 0xc000;
    uint32_t n = (uint32_t)take(in, 1) * 2;
    uint8_t *p = guest_at(g, at, 2 + 512);
    struct guest_seg s[] = {{at, 2 + n, false}, {at + 1024, 1, true}};

    p[0] = (uint8_t)(take(in, 1) % 6);
    p[1] = (uint8_t)(take(in, 1) % 6);
    memset(p + 2, 0, 512);
    size_t have = n < in->n ? n : in->n;
    memcpy(p + 2, in->p, have);
    in->p += have;
    in->n -= have;
    guest_send(g, q, s, 2);
    guest_settle(g);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct guest g;
    static struct dev_net *d;
    static int peer, peer2;
    static char frame[66000];
    struct input in = {data, n};
    struct guest_queue *rx, *tx, *rx2, *ctrl;
    struct dev_net_stats st;
    unsigned flags;
    size_t len;

    if (!g.mem) {
        struct dev_net_options o = {.mtu = 1500};
        int fd[2], fd2[2];

        guest_new(&g, GUEST_MIB);
        assert_int_equal(
            socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd), 0);
        assert_int_equal(
            socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd2), 0);
        o.fds[0] = fd[0];
        o.fds[1] = fd2[0];
        o.n_fds = 2;
        peer = fd[1];
        peer2 = fd2[1];
        assert_int_equal(dev_net_new(g.mem, g.loop, &o, &d, NULL), 0);
        guest_plug(&g, dev_net_virtio(d), DEV_NET_CLASS);
    }
    g.heap = 0x10000;
    flags = (unsigned)take(&in, 1);
    guest_negotiate(
        &g, guest_offered(&g) &
                ~(VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX) |
                  (flags & 1 ? VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) : 0) |
                  (flags & 2 ? VIRTIO_BIT(VIRTIO_NET_F_CSUM) : 0) |
                  (flags & 4 ? VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4) : 0)));
    rx = guest_queue(&g, 0, 16);
    tx = guest_queue(&g, 1, 16);
    rx2 = guest_queue(&g, 2, 16);
    guest_queue(&g, 3, 16);
    ctrl = guest_queue(&g, 4, 16);
    guest_driver_ok(&g);
    if (flags & 0x20)
        well_formed(&g, ctrl, &in);
    fill_ring(&g, rx, &in, BASE);
    fill_ring(&g, tx, &in, BASE);
    fill_ring(&g, flags & 0x80 ? rx2 : ctrl, &in, BASE);
    for (unsigned i = 0; i < (flags >> 3 & 3); i++)
        if (send(peer, frame, take(&in, 2) % sizeof(frame), MSG_DONTWAIT) < 0 &&
            errno != EAGAIN)
            abort();
    if ((flags & 0x40) && send(peer2, frame, 100, MSG_DONTWAIT) < 0 &&
        errno != EAGAIN)
        abort();
    len = in.n < 4096 ? in.n : 4096;
    memcpy(guest_at(&g, BASE, 4096), in.p, len);
    guest_kick(&g, ctrl);
    guest_kick(&g, rx);
    guest_kick(&g, tx);
    guest_kick(&g, rx2);
    guest_settle(&g);
    check_sent(peer);
    check_sent(peer2);
    dev_net_stats(d, &st);
    if (!st.pairs || st.pairs > 2)
        abort();
    guest_reset(&g);
    return 0;
}
