/* test-vmm-net.c - the NIC, on a socket that keeps frames apart as a tap does,
 * and on a tap where there may be one. */
#include <config.h>

#include "tests/unit/vmm-net.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>

#include "hypervisor-backend/vmm/be_tap.h"

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
        T(link__down_lets_nothing_pass),
        T(tap__that_goes_away_is_a_link_down),
        cmocka_unit_test(packets__carry_no_offloads),
        cmocka_unit_test(rate__limits_each_way),
        cmocka_unit_test(options__bad_ones_are_refused),
        cmocka_unit_test(tap__carries_frames_both_ways),
        cmocka_unit_test(tap__queues_follow_the_driver),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
