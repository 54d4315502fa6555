/* test-vmm-net.c - the NIC, on a socket that keeps frames apart as a tap does,
 * and on a tap where there may be one. */
#include <config.h>

#include "tests/unit/vmm-guest.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "hypervisor-backend/vmm/be_tap.h"
#include "hypervisor-backend/vmm/dev_net.h"

#define F(name) VIRTIO_BIT(VIRTIO_NET_F_##name)
#define HEADER 12U

struct fixture {
    struct guest g;
    struct dev_net *d;
    int peer;
    int peer2;     /* of the second pair */
    unsigned ctrl; /* the control queue's number */
    uint64_t tx, rx;
};

static struct fixture *
make(int fd, const struct dev_net_options *base)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct dev_net_options o = *base;

    o.fds[0] = fd;
    o.n_fds = MAX(o.n_fds, 1U);
    memcpy(o.mac, "\x02\x00\x00\x01\x02\x03", 6);
    f->peer2 = -1;
    f->ctrl = 2;
    guest_new(&f->g, 16 * GUEST_MIB);
    assert_int_equal(dev_net_new(f->g.mem, f->g.loop, &o, &f->d, NULL), 0);
    guest_plug(&f->g, dev_net_virtio(f->d), DEV_NET_CLASS);
    f->tx = guest_alloc(&f->g, 128 * 1024, 4096);
    f->rx = guest_alloc(&f->g, GUEST_MIB, 4096);
    return f;
}

static struct fixture *
make_pair(const struct dev_net_options *base)
{
    struct fixture *f;
    int fd[2], size = 1 << 20;

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd),
                     0);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(
            setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    f = make(fd[0], base);
    f->peer = fd[1];
    return f;
}

static void
destroy(struct fixture *f)
{
    guest_unplug(&f->g);
    dev_net_free(f->d);
    guest_free(&f->g);
    if (f->peer >= 0)
        close(f->peer);
    if (f->peer2 >= 0)
        close(f->peer2);
    free(f);
}

static int
setup(void **state)
{
    *state = make_pair(&(struct dev_net_options){.mtu = 1500});
    return 0;
}

static int
teardown(void **state)
{
    destroy(*state);
    return 0;
}

static void
send_frame(struct fixture *f, const struct virtio_net_hdr_v1 *h, uint32_t len)
{
    struct guest_seg s[] = {{f->tx, HEADER, false},
                            {f->tx + HEADER, len, false}};

    memcpy(guest_at(&f->g, f->tx, HEADER), h, HEADER);
    guest_send(&f->g, &f->g.q[1], s, len ? 2 : 1);
    guest_wait(&f->g, &f->g.q[1]);
}

/* Offers n buffers of len bytes each, in the ring's order. */
static void
offer_rx(struct fixture *f, unsigned n, uint32_t len)
{
    for (unsigned i = 0; i < n; i++) {
        struct guest_seg s = {f->rx + i * len, len, true};

        guest_offer(&f->g, &f->g.q[0], guest_chain(&f->g, &f->g.q[0], &s, 1));
    }
    guest_kick(&f->g, &f->g.q[0]);
}

static void
peer_send(struct fixture *f, uint32_t len, char fill)
{
    static char buf[70000];

    memset(buf, 0, HEADER);
    memset(buf + HEADER, fill, len);
    assert_int_equal(write(f->peer, buf, HEADER + len), HEADER + len);
}

static void
config__has_mac_mtu_and_link(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(guest_read(&f->g, VPCI_DEVICE, 4), 0x01000002);
    assert_int_equal(guest_read(&f->g, VPCI_DEVICE + 4, 2), 0x0302);
    assert_int_equal(guest_read(&f->g, VPCI_DEVICE + 6, 2), 1);
    assert_int_equal(guest_read(&f->g, VPCI_DEVICE + 10, 2), 1500);
    guest_start(&f->g, F(MAC) | F(STATUS), 2);
    dev_net_set_link(f->d, false);
    assert_int_equal(guest_read(&f->g, VPCI_DEVICE + 6, 2), 0);
    assert_int_equal(guest_interrupts(&f->g, 0), 1);
    dev_net_set_link(f->d, false);
    assert_int_equal(guest_interrupts(&f->g, 0), 1);
}

static void
transmit__frame_arrives_with_its_header(void **state)
{
    struct fixture *f = *state;
    struct virtio_net_hdr_v1 h = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                  .csum_start = 14 + 20,
                                  .csum_offset = 6,
                                  .num_buffers = 7},
                             got;
    char buf[2000];

    guest_start(&f->g, F(CSUM), 2);
    memset(guest_at(&f->g, f->tx + HEADER, 100), 'f', 100);
    send_frame(f, &h, 100);
    assert_int_equal(read(f->peer, buf, sizeof(buf)), HEADER + 100);
    memcpy(&got, buf, HEADER);
    assert_int_equal(got.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    assert_int_equal(got.csum_start, 34);
    assert_int_equal(got.num_buffers, 0);
    assert_int_equal(buf[HEADER + 99], 'f');
}

static void
transmit__any_cut_is_understood(void **state)
{
    struct fixture *f = *state;
    struct guest_seg one = {f->tx, HEADER + 60, false};
    struct guest_seg cut[] = {{f->tx, 1, false},
                              {f->tx + 1, 13, false},
                              {f->tx + 14, 50, false},
                              {f->tx + 64, 8, false}};
    char buf[200];

    guest_start(&f->g, 0, 2);
    memset(guest_at(&f->g, f->tx, 200), 0, HEADER);
    memset(guest_at(&f->g, f->tx + HEADER, 100), 'c', 100);
    guest_send(&f->g, &f->g.q[1], &one, 1);
    guest_wait(&f->g, &f->g.q[1]);
    guest_send(&f->g, &f->g.q[1], cut, 4);
    guest_wait(&f->g, &f->g.q[1]);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(read(f->peer, buf, sizeof(buf)), HEADER + 60);
        assert_int_equal(buf[HEADER - 1], 0);
        assert_int_equal(buf[HEADER], 'c');
        assert_int_equal(buf[HEADER + 59], 'c');
    }
}

static void
transmit__lying_header_is_dropped(void **state)
{
    struct fixture *f = *state;
    const uint8_t csum = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    const struct virtio_net_hdr_v1 bad[] = {
        {.flags = csum, .csum_start = 98, .csum_offset = 1},
        {.flags = csum, .csum_start = 0xffff, .csum_offset = 0xffff},
        {.flags = csum, .csum_start = 100},
        {.gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1400},
        {.flags = csum, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4},
        {.flags = csum,
         .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
         .gso_size = 1400,
         .hdr_len = 101},
        {.flags = csum, .gso_type = VIRTIO_NET_HDR_GSO_UDP, .gso_size = 100},
        {.flags = csum, .gso_type = 0x7f, .gso_size = 100},
        /* not negotiated */
        {.flags = csum, .gso_type = VIRTIO_NET_HDR_GSO_TCPV6, .gso_size = 100},
        {.gso_type = VIRTIO_NET_HDR_GSO_ECN},
    };
    struct dev_net_stats st;
    char buf[200];

    guest_start(&f->g, F(CSUM) | F(HOST_TSO4), 2);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        send_frame(f, &bad[i], 100);
    send_frame(f, &(struct virtio_net_hdr_v1){0}, 13); /* no Ethernet header */
    send_frame(f, &(struct virtio_net_hdr_v1){0}, 0);
    send_frame(f, &(struct virtio_net_hdr_v1){0}, 70000);
    dev_net_stats(f->d, &st);
    assert_int_equal(st.tx_dropped, ARRAY_SIZE(bad) + 3);
    assert_int_equal(recv(f->peer, buf, sizeof(buf), MSG_DONTWAIT), -1);
    assert_int_equal(guest_status(&f->g), STATUS_LIVE);
    send_frame(f,
               &(struct virtio_net_hdr_v1){.flags = csum,
                                           .csum_start = 34,
                                           .csum_offset = 16,
                                           .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                           .gso_size = 40,
                                           .hdr_len = 54},
               100);
    assert_int_equal(recv(f->peer, buf, sizeof(buf), 0), 112);
}

static void
transmit__malformed_chain_needs_reset(void **state)
{
    struct fixture *f = *state;
    struct guest_seg s[] = {{f->tx, 11, false}, {f->tx, 64, true}};

    for (unsigned i = 0; i < 2; i++) {
        guest_start(&f->g, 0, 2);
        guest_send(&f->g, &f->g.q[1], s, 1 + i);
        guest_wait_needs_reset(&f->g);
        guest_reset(&f->g);
        s[0].len = 60;
    }
    guest_start(&f->g, 0, 2);
    send_frame(f, &(struct virtio_net_hdr_v1){0}, 60);
}

static void
transmit__full_tap_is_waited_for(void **state)
{
    struct fixture *f = *state;
    struct guest_seg s = {f->tx, HEADER + 60000, false};
    char *buf = calloc(1, 70000);
    unsigned n = 60, got = 0;

    guest_start(&f->g, 0, 2);
    for (unsigned i = 0; i < n; i++)
        guest_send(&f->g, &f->g.q[1], &s, 1);
    guest_settle(&f->g);
    while (got < n) {
        assert_int_equal(read(f->peer, buf, 70000), HEADER + 60000);
        got++;
    }
    for (unsigned i = 0; i < n; i++)
        guest_wait(&f->g, &f->g.q[1]);
    free(buf);
}

static void
receive__fills_one_buffer(void **state)
{
    struct fixture *f = *state;
    struct vring_used_elem e;
    uint8_t *p = guest_at(&f->g, f->rx, 4096);

    guest_start(&f->g, 0, 2);
    peer_send(f, 60, 'r'); /* before there is a buffer */
    guest_settle(&f->g);
    offer_rx(f, 2, 2048);
    e = guest_wait(&f->g, &f->g.q[0]);
    assert_int_equal(e.len, HEADER + 60);
    assert_int_equal(p[HEADER], 'r');
    assert_int_equal(p[HEADER + 59], 'r');
    assert_int_equal(p[10], 1); /* num_buffers */
    peer_send(f, 1514, 's');
    e = guest_wait(&f->g, &f->g.q[0]);
    assert_int_equal(e.len, HEADER + 1514);
    assert_int_equal(p[2048 + HEADER], 's');
}

static void
receive__too_large_is_dropped_whole(void **state)
{
    struct fixture *f = *state;
    struct dev_net_stats st;
    struct vring_used_elem e;

    guest_start(&f->g, 0, 2);
    offer_rx(f, 2, 1000);
    peer_send(f, 989, 'x');
    peer_send(f, 60, 'y');
    e = guest_wait(&f->g, &f->g.q[0]);
    assert_int_equal(e.len, HEADER + 60);
    dev_net_stats(f->d, &st);
    assert_int_equal(st.rx_dropped, 1);
    assert_int_equal(st.rx_packets, 1);
}

static void
receive__merges_buffers(void **state)
{
    struct fixture *f = *state;
    struct vring_used_elem e;
    uint8_t *p = guest_at(&f->g, f->rx, GUEST_MIB);
    uint32_t total = 0;

    guest_start(&f->g, F(MRG_RXBUF) | F(CSUM) | F(GUEST_CSUM) | F(GUEST_TSO4),
                2);
    offer_rx(f, 60, 1536);
    for (unsigned round = 0; round < 2; round++) {
        /* not enough for 64 KiB twice: the second waits for more */
        peer_send(f, 65000, (char)('m' + round));
        for (unsigned i = 0; i < 43; i++) {
            e = guest_wait(&f->g, &f->g.q[0]);
            total += e.len;
        }
        assert_int_equal(total, (round + 1) * (HEADER + 65000));
        if (round == 0)
            offer_rx(f, 43, 1536);
    }
    assert_int_equal(p[43 * 1536 + 10], 43); /* num_buffers of the second */
    peer_send(f, 60, 'z');
    e = guest_wait(&f->g, &f->g.q[0]);
    assert_int_equal(e.len, HEADER + 60);
}

static void
receive__small_ring_does_not_hang(void **state)
{
    struct fixture *f = *state;
    struct dev_net_stats st;
    struct vring_used_elem e;

    guest_negotiate(&f->g, F(MRG_RXBUF) | F(GUEST_CSUM) | F(GUEST_TSO4));
    guest_queue(&f->g, 0, 4);
    guest_queue(&f->g, 1, 4);
    guest_driver_ok(&f->g);
    offer_rx(f, 4, 1536); /* all that the ring holds, less than one frame */
    peer_send(f, 65000, 'a');
    peer_send(f, 60, 'b');
    e = guest_wait(&f->g, &f->g.q[0]);
    assert_int_equal(e.len, HEADER + 60);
    dev_net_stats(f->d, &st);
    assert_int_equal(st.rx_dropped, 1);
}

static void
receive__large_frame_waits_for_buffers(void **state)
{
    struct fixture *f = *state;
    struct vring_used_elem e;
    uint8_t *p = guest_at(&f->g, f->rx, 4096);
    uint32_t total = 0;

    guest_start(&f->g, F(MRG_RXBUF) | F(GUEST_CSUM) | F(GUEST_TSO4), 2);
    offer_rx(f, 1, 100);
    peer_send(f, 250, 'a');
    guest_settle(&f->g);
    assert_false(guest_used(&f->g, &f->g.q[0], &e));
    for (unsigned i = 1; i < 3; i++) {
        struct guest_seg s = {f->rx + i * 100, 100, true};

        guest_send(&f->g, &f->g.q[0], &s, 1);
        guest_settle(&f->g);
    }
    for (unsigned i = 0; i < 3; i++)
        total += guest_wait(&f->g, &f->g.q[0]).len;
    assert_int_equal(total, HEADER + 250);
    assert_int_equal(p[10], 3);
    for (unsigned i = HEADER; i < total; i++)
        assert_int_equal(p[i], 'a');
    assert_int_equal(p[total], 0);
}

static void
receive__bad_buffer_needs_reset(void **state)
{
    struct fixture *f = *state;
    struct guest_seg out = {f->rx, 2048, false}, tiny = {f->rx, 11, true};

    guest_start(&f->g, 0, 2);
    guest_send(&f->g, &f->g.q[0], &out, 1);
    guest_wait_needs_reset(&f->g);
    guest_reset(&f->g);
    guest_start(&f->g, 0, 2);
    guest_send(&f->g, &f->g.q[0], &tiny, 1);
    guest_wait_needs_reset(&f->g);
    /* the tap stays quiet and the thread too */
    peer_send(f, 60, 'q');
    guest_settle(&f->g);
    guest_reset(&f->g);
    guest_start(&f->g, 0, 2);
    offer_rx(f, 1, 2048);
    assert_int_equal(guest_wait(&f->g, &f->g.q[0]).len, HEADER + 60);
}

static void
rate__limits_each_way(void **state)
{
    struct fixture *f = make_pair(
        &(struct dev_net_options){.rx = {.ops_per_s = 100, .ops_burst = 2},
                                  .tx = {.ops_per_s = 100, .ops_burst = 2}});
    uint64_t began = rate_now_ns();
    struct dev_net_stats st;
    char buf[200];

    (void)state;
    guest_start(&f->g, 0, 2);
    for (unsigned i = 0; i < 6; i++)
        send_frame(f, &(struct virtio_net_hdr_v1){0}, 60);
    assert_true(rate_now_ns() - began >= 35 * UINT64_C(1000000));
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(read(f->peer, buf, sizeof(buf)), 72);
    offer_rx(f, 8, 2048);
    began = rate_now_ns();
    for (unsigned i = 0; i < 6; i++)
        peer_send(f, 60, 'r');
    for (unsigned i = 0; i < 6; i++)
        guest_wait(&f->g, &f->g.q[0]);
    assert_true(rate_now_ns() - began >= 35 * UINT64_C(1000000));
    dev_net_stats(f->d, &st);
    assert_true(st.throttled >= 6);
    assert_int_equal(st.rx_packets, 6);
    assert_int_equal(st.tx_bytes, 360);
    destroy(f);
}

/* --- control queue --- */

#define CTRL_FEATURES                                                          \
    (F(CTRL_VQ) | F(CTRL_RX) | F(CTRL_RX_EXTRA) | F(CTRL_VLAN) |               \
     F(CTRL_MAC_ADDR))

/* The answer to class, command and n bytes of data. */
static uint8_t
command(struct fixture *f, uint8_t class, uint8_t cmd, const void *data,
        uint32_t n)
{
    struct guest_queue *q = &f->g.q[f->ctrl];
    uint8_t *p = guest_at(&f->g, f->tx, 70000);
    struct guest_seg s[] = {
        {f->tx, 2, false}, {f->tx + 16, n, false}, {f->tx + 8, 1, true}};

    p[0] = class;
    p[1] = cmd;
    p[8] = 0xaa;
    if (n)
        memcpy(p + 16, data, n);
    else
        s[1] = s[2];
    guest_send(&f->g, q, s, n ? 3 : 2);
    assert_int_equal(guest_wait(&f->g, q).len, 1);
    return p[8];
}

static uint8_t
command8(struct fixture *f, uint8_t class, uint8_t cmd, uint8_t v)
{
    return command(f, class, cmd, &v, 1);
}

static uint8_t
command16(struct fixture *f, uint8_t class, uint8_t cmd, uint16_t v)
{
    return command(f, class, cmd, &v, 2);
}

static void
start_ctrl(struct fixture *f, uint64_t features)
{
    guest_start(&f->g, features, 3);
}

static void
ctrl__unknown_or_odd_is_an_error(void **state)
{
    struct fixture *f = *state;
    const uint8_t zero[64] = {0}, group[6] = {1};
    const struct {
        uint8_t class, cmd;
        uint32_t n;
        const void *data;
    } bad[] = {
        {VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 0, zero},
        {VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 2, zero},
        {VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 1, "\2"},
        {VIRTIO_NET_CTRL_RX, 6, 1, zero},
        {VIRTIO_NET_CTRL_RX, 0xff, 1, zero},
        {VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 5, zero},
        {VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 7, zero},
        {VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 6, group},
        {VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, 0, zero},
        {VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, 3, zero},
        {VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, 4, zero},
        {VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, 9, zero},
        /* a count with fewer addresses, and one whose bytes wrap */
        {VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, 8,
         "\1\0\0\0"
         "\0\0\0\0"},
        {VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, 8,
         "\xab\xaa\xaa\xaa\0\0\0\0"},
        {VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, 8,
         "\0\0\0\0\xff\xff\xff\xff"},
        {VIRTIO_NET_CTRL_MAC, 2, 6, zero},
        {VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, 1, zero},
        {VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, 2, "\0\x10"},
        {VIRTIO_NET_CTRL_VLAN, 2, 2, zero},
        {VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, 0, zero},
        {VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 2, "\1\0"},
        {VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, 8,
         zero},
        {0xff, 0xff, 64, zero},
    };

    start_ctrl(f, CTRL_FEATURES);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(
            command(f, bad[i].class, bad[i].cmd, bad[i].data, bad[i].n),
            VIRTIO_NET_ERR);
    assert_int_equal(guest_status(&f->g), STATUS_LIVE);
    assert_int_equal(
        command8(f, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 1),
        VIRTIO_NET_OK);
}

static void
ctrl__not_negotiated_is_an_error(void **state)
{
    struct fixture *f = *state;
    const uint8_t zero[8] = {0};

    start_ctrl(f, F(CTRL_VQ));
    assert_int_equal(command8(f, VIRTIO_NET_CTRL_RX, 0, 1), VIRTIO_NET_ERR);
    assert_int_equal(
        command(f, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, zero, 8),
        VIRTIO_NET_ERR);
    assert_int_equal(
        command(f, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, zero, 6),
        VIRTIO_NET_ERR);
    assert_int_equal(command16(f, VIRTIO_NET_CTRL_VLAN, 0, 5), VIRTIO_NET_ERR);
}

static void
ctrl__malformed_chain_needs_reset(void **state)
{
    struct fixture *f = *state;
    const struct {
        struct guest_seg s[2];
        unsigned n;
    } bad[] = {
        {{{f->tx, 2, false}}, 1},                       /* no answer */
        {{{f->tx, 1, true}}, 1},                        /* no header */
        {{{f->tx, 1, false}, {f->tx + 8, 1, true}}, 2}, /* half of it */
        {{{f->tx + 8, 1, true}, {f->tx, 2, false}}, 2}, /* wrong order */
        {{{f->tx, 2, false}, {UINT64_MAX - 1, 4, true}}, 2},
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        start_ctrl(f, CTRL_FEATURES);
        guest_send(&f->g, &f->g.q[2], bad[i].s, bad[i].n);
        guest_wait_needs_reset(&f->g);
        guest_reset(&f->g);
    }
    start_ctrl(f, CTRL_FEATURES);
    assert_int_equal(command8(f, VIRTIO_NET_CTRL_RX, 0, 1), VIRTIO_NET_OK);
}

static void
ctrl__any_cut_is_understood(void **state)
{
    struct fixture *f = *state;
    uint8_t *p = guest_at(&f->g, f->tx, 64);
    struct guest_seg s[] = {{f->tx, 1, false},
                            {f->tx + 1, 1, false},
                            {f->tx + 2, 1, false},
                            {f->tx + 32, 1, true},
                            {f->tx + 33, 5, true}};

    start_ctrl(f, CTRL_FEATURES);
    memset(p, 0, 64);
    p[0] = VIRTIO_NET_CTRL_RX;
    p[2] = 1;
    p[32] = p[33] = 0xaa;
    guest_send(&f->g, &f->g.q[2], s, 5);
    assert_int_equal(guest_wait(&f->g, &f->g.q[2]).len, 1);
    assert_int_equal(p[32], VIRTIO_NET_OK);
    assert_int_equal(p[33], 0xaa);
    /* header, data and more in one */
    guest_send(&f->g, &f->g.q[2],
               (struct guest_seg[]){{f->tx, 3, false}, {f->tx + 32, 1, true}},
               2);
    guest_wait(&f->g, &f->g.q[2]);
    assert_int_equal(p[32], VIRTIO_NET_OK);
}

/* A frame with these first bytes; whether the guest gets it. */
static bool
arrives(struct fixture *f, const char *start, size_t n)
{
    static const char mine[6] = {2, 0, 0, 1, 2, 3};
    char buf[HEADER + 64] = {0};

    memcpy(buf + HEADER, start, n);
    buf[HEADER + 60] = 'x';
    assert_int_equal(write(f->peer, buf, sizeof(buf)), sizeof(buf));
    /* one that always comes, after it */
    memset(buf, 0, sizeof(buf));
    memcpy(buf + HEADER, mine, 6);
    assert_int_equal(write(f->peer, buf, sizeof(buf)), sizeof(buf));
    for (unsigned i = 0; i < 2; i++) {
        struct vring_used_elem e = guest_wait(&f->g, &f->g.q[0]);
        uint64_t at = guest_desc(&f->g, &f->g.q[0], e.id)->addr;
        uint8_t *p = guest_at(&f->g, at, 2048);
        bool marked = p[HEADER + 60] == 'x';

        guest_offer(&f->g, &f->g.q[0], (uint16_t)e.id);
        guest_kick(&f->g, &f->g.q[0]);
        if (!marked)
            return i == 1;
    }
    fail_msg("the frame that always comes did not");
    return false;
}

static void
filter__takes_what_was_asked_for(void **state)
{
    struct fixture *f = *state;
    static const char own[] = "\2\0\0\1\2\3", new[] = "\2\0\0\1\2\4",
                      other[] = "\2\0\0\7\7\7",
                      all[] = "\xff\xff\xff\xff\xff"
                              "\xff",
                      group[] = "\1\0\x5e\0\0\1";
    static const char tagged[] = "\2\0\0\1\2\3......\x81\0\x70\5",
                      priority[] = "\2\0\0\1\2\3......\x81\0\x70\0";
    static const char table[] = "\1\0\0\0\2\0\0\7\7\7"
                                "\1\0\0\0\1\0\x5e\0\0\1";
    static const char none[] = "\0\0\0\0\0\0\0\0";
    struct dev_net_stats st;

    start_ctrl(f, CTRL_FEATURES);
    offer_rx(f, 16, 2048);
    assert_true(arrives(f, own, 6));
    assert_true(arrives(f, all, 6));
    assert_false(arrives(f, other, 6));
    assert_false(arrives(f, group, 6));
    dev_net_stats(f->d, &st);
    assert_int_equal(st.rx_filtered, 2);
    assert_int_equal(command(f, VIRTIO_NET_CTRL_MAC, 0, table, 20), 0);
    assert_true(arrives(f, other, 6));
    assert_true(arrives(f, group, 6));
    assert_int_equal(command(f, VIRTIO_NET_CTRL_MAC, 0, none, 8), 0);
    assert_false(arrives(f, group, 6));
    assert_int_equal(command8(f, VIRTIO_NET_CTRL_RX, 1, 1), 0); /* allmulti */
    assert_true(arrives(f, group, 6));
    assert_int_equal(command8(f, VIRTIO_NET_CTRL_RX, 3, 1), 0); /* nomulti */
    assert_false(arrives(f, group, 6));
    assert_int_equal(command8(f, VIRTIO_NET_CTRL_RX, 2, 1), 0); /* alluni */
    assert_true(arrives(f, other, 6));
    assert_int_equal(command8(f, VIRTIO_NET_CTRL_RX, 2, 0), 0);
    assert_int_equal(command8(f, VIRTIO_NET_CTRL_RX, 5, 1), 0); /* nobcast */
    assert_false(arrives(f, all, 6));
    assert_false(arrives(f, tagged, 16));
    assert_true(arrives(f, priority, 16));
    assert_int_equal(command16(f, VIRTIO_NET_CTRL_VLAN, 0, 5), 0);
    assert_true(arrives(f, tagged, 16));
    assert_int_equal(command16(f, VIRTIO_NET_CTRL_VLAN, 1, 5), 0);
    assert_false(arrives(f, tagged, 16));
    assert_int_equal(command8(f, VIRTIO_NET_CTRL_RX, 0, 1), 0); /* promisc */
    assert_true(arrives(f, group, 6));
    assert_true(arrives(f, tagged, 16));
    assert_int_equal(command(f, VIRTIO_NET_CTRL_MAC, 1, new, 6), 0);
    assert_int_equal(guest_read(&f->g, VPCI_DEVICE + 4, 2), 0x0402);
    assert_int_equal(command8(f, VIRTIO_NET_CTRL_RX, 0, 0), 0);
    guest_reset(&f->g);
    assert_int_equal(guest_read(&f->g, VPCI_DEVICE + 4, 2), 0x0302);
}

static void
filter__too_many_addresses_take_all(void **state)
{
    struct fixture *f = *state;
    uint8_t table[8 + 65 * 6] = {65};

    start_ctrl(f, CTRL_FEATURES);
    offer_rx(f, 8, 2048);
    assert_false(arrives(f, "\2\0\0\7\7\7", 6));
    assert_int_equal(command(f, VIRTIO_NET_CTRL_MAC, 0, table, sizeof(table)),
                     0);
    assert_true(arrives(f, "\2\0\0\7\7\7", 6));
    assert_false(arrives(f, "\1\0\0\7\7\7", 6));
}

/* --- several pairs --- */

static struct fixture *
make_two(void)
{
    struct dev_net_options o = {.n_fds = 2};
    struct fixture *f;
    int a[2], b[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, a),
                     0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, b),
                     0);
    o.fds[1] = b[0];
    f = make(a[0], &o);
    f->peer = a[1];
    f->peer2 = b[1];
    f->ctrl = 4;
    return f;
}

static void
offer_on(struct fixture *f, unsigned q, uint64_t at, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct guest_seg s = {at + i * 2048, 2048, true};

        guest_offer(&f->g, &f->g.q[q], guest_chain(&f->g, &f->g.q[q], &s, 1));
    }
    guest_kick(&f->g, &f->g.q[q]);
}

static unsigned
pairs_now(struct fixture *f)
{
    struct dev_net_stats st;

    dev_net_stats(f->d, &st);
    return st.pairs;
}

static void
pairs__second_works_once_it_is_asked_for(void **state)
{
    struct fixture *f = make_two();
    struct guest_seg s = {f->tx, HEADER + 60, false};
    struct vring_used_elem e;
    char buf[200] = {0};

    (void)state;
    assert_int_equal(guest_read(&f->g, VPCI_DEVICE + 8, 2), 2);
    assert_int_equal(guest_read(&f->g, COMMON(num_queues), 2), 5);
    guest_start(&f->g, F(MQ) | F(CTRL_VQ), 5);
    offer_on(f, 2, f->rx, 4);
    assert_int_equal(write(f->peer2, buf, 72), 72);
    guest_settle(&f->g);
    assert_false(guest_used(&f->g, &f->g.q[2], &e));
    assert_int_equal(pairs_now(f), 1);
    assert_int_equal(command16(f, VIRTIO_NET_CTRL_MQ, 0, 2), VIRTIO_NET_OK);
    assert_int_equal(pairs_now(f), 2);
    assert_int_equal(guest_wait(&f->g, &f->g.q[2]).len, 72);
    memset(guest_at(&f->g, f->tx, HEADER), 0, HEADER);
    guest_send(&f->g, &f->g.q[3], &s, 1);
    guest_wait(&f->g, &f->g.q[3]);
    assert_int_equal(read(f->peer2, buf, sizeof(buf)), 72);
    /* back to one: buffers that were taken ahead are the guest's again */
    assert_int_equal(command16(f, VIRTIO_NET_CTRL_MQ, 0, 1), VIRTIO_NET_OK);
    assert_int_equal(write(f->peer2, buf, 72), 72);
    guest_settle(&f->g);
    assert_false(guest_used(&f->g, &f->g.q[2], &e));
    guest_send(&f->g, &f->g.q[3], &s, 1);
    guest_wait(&f->g, &f->g.q[3]); /* dropped, not kept */
    assert_int_equal(recv(f->peer2, buf, sizeof(buf), MSG_DONTWAIT), -1);
    assert_int_equal(command16(f, VIRTIO_NET_CTRL_MQ, 0, 2), VIRTIO_NET_OK);
    assert_int_equal(guest_wait(&f->g, &f->g.q[2]).len, 72);
    guest_reset(&f->g);
    assert_int_equal(pairs_now(f), 1);
    destroy(f);
}

static void
pairs__odd_numbers_are_errors(void **state)
{
    const uint16_t bad[] = {0, 3, 0x100, 0x8000, 0xffff};
    struct fixture *f = make_two();

    (void)state;
    guest_start(&f->g, F(MQ) | F(CTRL_VQ), 5);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(command16(f, VIRTIO_NET_CTRL_MQ, 0, bad[i]),
                         VIRTIO_NET_ERR);
    assert_int_equal(command16(f, VIRTIO_NET_CTRL_MQ, 1, 2), VIRTIO_NET_ERR);
    assert_int_equal(command8(f, VIRTIO_NET_CTRL_MQ, 0, 2), VIRTIO_NET_ERR);
    assert_int_equal(pairs_now(f), 1);
    destroy(f);
}

static void
pairs__without_mq_queue_2_is_control(void **state)
{
    struct fixture *f = make_two();

    (void)state;
    f->ctrl = 2;
    guest_start(&f->g, CTRL_FEATURES, 5);
    assert_int_equal(command8(f, VIRTIO_NET_CTRL_RX, 0, 1), VIRTIO_NET_OK);
    /* what is behind it is nothing */
    offer_on(f, 4, f->rx, 1);
    guest_kick(&f->g, &f->g.q[3]);
    guest_settle(&f->g);
    assert_int_equal(guest_status(&f->g), STATUS_LIVE);
    destroy(f);
}

static void
pairs__queue_that_is_not_there_is_harmless(void **state)
{
    struct fixture *f = make_two();

    (void)state;
    guest_start(&f->g, F(MQ) | F(CTRL_VQ), 2);
    f->g.q[4] = (struct guest_queue){.index = 4, .size = GUEST_QUEUE};
    guest_kick(&f->g, &f->g.q[4]);
    guest_kick(&f->g, &f->g.q[2]);
    send_frame(f, &(struct virtio_net_hdr_v1){0}, 60);
    assert_int_equal(guest_status(&f->g), STATUS_LIVE);
    destroy(f);
}

/* --- packets --- */

static void
packets__carry_no_offloads(void **state)
{
    struct fixture *f =
        make_pair(&(struct dev_net_options){.kind = DEV_NET_PACKETS});
    uint8_t lie[HEADER + 60], *p = guest_at(&f->g, f->rx, 4096);

    (void)state;
    assert_int_equal(guest_offered(&f->g) &
                         (F(CSUM) | F(GUEST_CSUM) | F(HOST_TSO4) |
                          F(HOST_TSO6) | F(GUEST_TSO4) | F(GUEST_TSO6)),
                     0);
    guest_start(&f->g, F(MRG_RXBUF), 2);
    offer_rx(f, 4, 2048);
    memset(lie, 0xff, sizeof(lie));
    assert_int_equal(write(f->peer, lie, sizeof(lie)), sizeof(lie));
    assert_int_equal(guest_wait(&f->g, &f->g.q[0]).len, sizeof(lie));
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(p[i], 0);
    assert_int_equal(p[10], 1);
    /* empty and short messages are no end */
    assert_int_equal(send(f->peer, lie, 0, 0), 0);
    assert_int_equal(send(f->peer, lie, HEADER, 0), HEADER);
    peer_send(f, 60, 'a');
    assert_int_equal(guest_wait(&f->g, &f->g.q[0]).len, HEADER + 60);
    destroy(f);
}

static void
link__down_lets_nothing_pass(void **state)
{
    struct fixture *f = *state;
    struct dev_net_stats st;
    char buf[200];

    guest_start(&f->g, F(STATUS), 2);
    offer_rx(f, 4, 2048);
    dev_net_set_link(f->d, false);
    peer_send(f, 60, 'd');
    send_frame(f, &(struct virtio_net_hdr_v1){0}, 60);
    guest_settle(&f->g);
    assert_int_equal(recv(f->peer, buf, sizeof(buf), MSG_DONTWAIT), -1);
    dev_net_stats(f->d, &st);
    assert_int_equal(st.tx_dropped, 1);
    assert_int_equal(st.rx_dropped, 1);
    dev_net_set_link(f->d, true);
    peer_send(f, 61, 'u');
    assert_int_equal(guest_wait(&f->g, &f->g.q[0]).len, HEADER + 61);
    send_frame(f, &(struct virtio_net_hdr_v1){0}, 60);
    assert_int_equal(recv(f->peer, buf, sizeof(buf), 0), 72);
}

static bool
link_down(void *arg)
{
    return guest_read(arg, VPCI_DEVICE + 6, 2) == 0;
}

static void
tap__that_goes_away_is_a_link_down(void **state)
{
    struct fixture *f = *state;
    struct dev_net_stats st;

    guest_start(&f->g, F(STATUS), 2);
    offer_rx(f, 2, 2048);
    close(f->peer);
    f->peer = -1;
    guest_wait_for(&f->g, link_down, &f->g);
    send_frame(f, &(struct virtio_net_hdr_v1){0}, 60);
    dev_net_stats(f->d, &st);
    assert_int_equal(st.tx_dropped, 1);
}

static void
options__bad_ones_are_refused(void **state)
{
    struct guest g;
    struct dev_net *d;
    int fd = -1;

    (void)state;
    guest_new(&g, GUEST_MIB);
    assert_int_equal(
        dev_net_new(g.mem, g.loop,
                    &(struct dev_net_options){.fds = {-1}, .n_fds = 1}, &d,
                    NULL),
        -EBADF);
    assert_int_equal(
        dev_net_new(g.mem, g.loop,
                    &(struct dev_net_options){.n_fds = 1, .mtu = 67}, &d, NULL),
        -EINVAL);
    assert_int_equal(
        dev_net_new(g.mem, g.loop,
                    &(struct dev_net_options){.n_fds = 1, .mac = {1}}, &d,
                    NULL),
        -EINVAL);
    assert_int_equal(
        dev_net_new(g.mem, g.loop, &(struct dev_net_options){0}, &d, NULL),
        -EINVAL);
    assert_int_equal(dev_net_new(g.mem, g.loop,
                                 &(struct dev_net_options){.n_fds = 9}, &d,
                                 NULL),
                     -EINVAL);
    assert_int_equal(dev_net_new(g.mem, g.loop,
                                 &(struct dev_net_options){
                                     .kind = DEV_NET_PACKETS, .n_fds = 2},
                                 &d, NULL),
                     -EINVAL);
    /* neither a tap nor a socket that keeps frames apart */
    for (unsigned i = 0; i < 2; i++) {
        struct dev_net_options o = {.kind = i ? DEV_NET_PACKETS : DEV_NET_TAP,
                                    .n_fds = 1};
        int s[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
        o.fds[0] = s[0];
        assert_int_equal(dev_net_new(g.mem, g.loop, &o, &d, NULL), -EINVAL);
        close(s[0]);
        close(s[1]);
    }
    assert_int_equal(be_tap_open("", &fd, NULL), -EINVAL);
    assert_int_equal(be_tap_open("a/b", &fd, NULL), -EINVAL);
    assert_int_equal(be_tap_open("tap%d", &fd, NULL), -EINVAL);
    assert_int_equal(be_tap_open("sixteen-bytes-xx", &fd, NULL), -EINVAL);
    guest_free(&g);
}

/* A real tap, in a network namespace of this process. */
static void
tap__carries_frames_both_ways(void **state)
{
    struct sockaddr_ll at = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(0x88b5)};
    struct ifreq ifr = {.ifr_name = "vtest"};
    uint8_t frame[100] = {2, 0, 0, 1, 2, 3, 2, 0, 0, 9, 9, 9, 0x88, 0xb5};
    uint8_t back[200];
    struct fixture *f;
    int fd, s;

    (void)state;
    if (unshare(CLONE_NEWNET) < 0 || be_tap_open("vtest", &fd, NULL) < 0) {
        print_message("# SKIP no tap: needs CAP_NET_ADMIN, CAP_SYS_ADMIN\n");
        skip();
    }
    f = make(fd, &(struct dev_net_options){0});
    f->peer = -1;
    s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(0x88b5));
    assert_true(s >= 0);
    assert_int_equal(ioctl(s, SIOCGIFFLAGS, &ifr), 0);
    ifr.ifr_flags |= IFF_UP;
    assert_int_equal(ioctl(s, SIOCSIFFLAGS, &ifr), 0);
    at.sll_ifindex = (int)if_nametoindex("vtest");
    assert_int_equal(bind(s, (struct sockaddr *)&at, sizeof(at)), 0);
    guest_start(&f->g,
                guest_offered(&f->g) & (F(MRG_RXBUF) | F(CSUM) | F(GUEST_CSUM) |
                                        F(GUEST_TSO4) | F(GUEST_TSO6)),
                2);
    assert_true(guest_offered(&f->g) & F(GUEST_TSO4));
    memcpy(guest_at(&f->g, f->tx + HEADER, 100), frame, 100);
    send_frame(f, &(struct virtio_net_hdr_v1){0}, 100);
    struct pollfd p = {s, POLLIN, 0};
    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_int_equal(recv(s, back, sizeof(back), 0), 100);
    assert_memory_equal(back, frame, 100);
    for (unsigned i = 0; i < 60; i++) {
        struct guest_seg seg = {f->rx + i * 2048, 2048, true};

        guest_offer(&f->g, &f->g.q[0], guest_chain(&f->g, &f->g.q[0], &seg, 1));
    }
    guest_kick(&f->g, &f->g.q[0]);
    frame[20] = 0x77;
    assert_int_equal(send(s, frame, 100, 0), 100);
    /* the kernel may have sent something of its own before */
    for (;;) {
        struct vring_used_elem e = guest_wait(&f->g, &f->g.q[0]);
        uint8_t *d = guest_at(&f->g, f->rx + e.id * 2048, 2048);

        if (e.len == HEADER + 100 && d[HEADER + 20] == 0x77)
            break;
    }
    close(s);
    destroy(f);
}

/* Queues of a real tap are attached as the driver asks. */
static void
tap__queues_follow_the_driver(void **state)
{
    struct dev_net_options o = {.n_fds = 2};
    struct sockaddr_ll at = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(0x88b5)};
    struct ifreq ifr = {.ifr_name = "vtest2"};
    uint8_t frame[100] = {2, 0, 0, 1, 2, 3, 2, 0, 0, 9, 9, 9, 0x88, 0xb5};
    struct pollfd p;
    struct fixture *f;
    int fds[2], kept[2], s;

    (void)state;
    if (unshare(CLONE_NEWNET) < 0 ||
        be_tap_open_queues("vtest2", 2, fds, NULL) < 0) {
        print_message("# SKIP no tap: needs CAP_NET_ADMIN, CAP_SYS_ADMIN\n");
        skip();
    }
    for (unsigned i = 0; i < 2; i++)
        kept[i] = dup(fds[i]);
    s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(0x88b5));
    assert_true(s >= 0);
    assert_int_equal(ioctl(s, SIOCGIFFLAGS, &ifr), 0);
    ifr.ifr_flags |= IFF_UP;
    assert_int_equal(ioctl(s, SIOCSIFFLAGS, &ifr), 0);
    at.sll_ifindex = (int)if_nametoindex("vtest2");
    assert_int_equal(bind(s, (struct sockaddr *)&at, sizeof(at)), 0);
    p = (struct pollfd){s, POLLIN, 0};
    /* twice: the second device finds the queues as the first left them */
    for (unsigned round = 0; round < 2; round++) {
        struct guest_seg seg = {0, HEADER + 100, false};

        o.fds[1] = round ? dup(kept[1]) : fds[1];
        f = make(round ? dup(kept[0]) : fds[0], &o);
        f->peer = -1;
        f->ctrl = 4;
        guest_start(&f->g, F(MQ) | F(CTRL_VQ) | F(MRG_RXBUF), 5);
        for (unsigned i = 0; i < 4; i++) {
            /* sent on the second while it is used or not */
            seg.gpa = f->tx;
            memset(guest_at(&f->g, f->tx, HEADER), 0, HEADER);
            memcpy(guest_at(&f->g, f->tx + HEADER, 100), frame, 100);
            guest_send(&f->g, &f->g.q[3], &seg, 1);
            guest_wait(&f->g, &f->g.q[3]);
            assert_int_equal(poll(&p, 1, i & 1 ? 5000 : 0), i & 1);
            if (i & 1)
                assert_int_equal(recv(s, frame, sizeof(frame), 0), 100);
            assert_int_equal(command16(f, VIRTIO_NET_CTRL_MQ, 0, i & 1 ? 1 : 2),
                             VIRTIO_NET_OK);
        }
        assert_int_equal(guest_status(&f->g), STATUS_LIVE);
        assert_int_equal(guest_read(&f->g, VPCI_DEVICE + 6, 2), 1);
        destroy(f);
    }
    close(kept[0]);
    close(kept[1]);
    close(s);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(config__has_mac_mtu_and_link),
        T(transmit__frame_arrives_with_its_header),
        T(transmit__any_cut_is_understood),
        T(transmit__lying_header_is_dropped),
        T(transmit__malformed_chain_needs_reset),
        T(transmit__full_tap_is_waited_for),
        T(receive__fills_one_buffer),
        T(receive__too_large_is_dropped_whole),
        T(receive__merges_buffers),
        T(receive__small_ring_does_not_hang),
        T(receive__large_frame_waits_for_buffers),
        T(receive__bad_buffer_needs_reset),
        T(ctrl__unknown_or_odd_is_an_error),
        T(ctrl__not_negotiated_is_an_error),
        T(ctrl__malformed_chain_needs_reset),
        T(ctrl__any_cut_is_understood),
        T(filter__takes_what_was_asked_for),
        T(filter__too_many_addresses_take_all),
        T(link__down_lets_nothing_pass),
        T(tap__that_goes_away_is_a_link_down),
        cmocka_unit_test(pairs__second_works_once_it_is_asked_for),
        cmocka_unit_test(pairs__odd_numbers_are_errors),
        cmocka_unit_test(pairs__without_mq_queue_2_is_control),
        cmocka_unit_test(pairs__queue_that_is_not_there_is_harmless),
        cmocka_unit_test(packets__carry_no_offloads),
        cmocka_unit_test(rate__limits_each_way),
        cmocka_unit_test(options__bad_ones_are_refused),
        cmocka_unit_test(tap__carries_frames_both_ways),
        cmocka_unit_test(tap__queues_follow_the_driver),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
