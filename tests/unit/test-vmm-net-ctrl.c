/* test-vmm-net-ctrl.c - the NIC's control queue, receive filter and queue
 * pairs: what a driver asks for, and every hostile shape of it. */
#include <config.h>

#include "tests/unit/vmm-net.h"

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

struct dev_net;
void __real_net_look_again(struct dev_net *d);
void __wrap_net_look_again(struct dev_net *d);

/* Whether vhost may serve on was asked. */
static _Atomic unsigned n_looks;

void
__wrap_net_look_again(struct dev_net *d)
{
    __real_net_look_again(d);
    n_looks++;
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
        guest_settle(&f->g);
        n_looks = 0;
        guest_send(&f->g, &f->g.q[2], bad[i].s, bad[i].n);
        guest_wait_needs_reset(&f->g);
        guest_settle(&f->g);
        assert_int_not_equal(n_looks, 0);
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

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(ctrl__unknown_or_odd_is_an_error),
        T(ctrl__not_negotiated_is_an_error),
        T(ctrl__malformed_chain_needs_reset),
        T(ctrl__any_cut_is_understood),
        T(filter__takes_what_was_asked_for),
        T(filter__too_many_addresses_take_all),
        cmocka_unit_test(pairs__second_works_once_it_is_asked_for),
        cmocka_unit_test(pairs__odd_numbers_are_errors),
        cmocka_unit_test(pairs__without_mq_queue_2_is_control),
        cmocka_unit_test(pairs__queue_that_is_not_there_is_harmless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
