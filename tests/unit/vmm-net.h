/* tests/unit/vmm-net.h - a NIC whose other end is a test.
 * Role:    shared by the tests of the network device: on sockets that keep
 *          frames apart as taps do.
 * Threads: as vmm-guest.h.
 * Errors:  assertions of cmocka. */
#ifndef TESTS_UNIT_VMM_NET_H
#define TESTS_UNIT_VMM_NET_H

#include "tests/unit/vmm-guest.h"

#include <linux/virtio_net.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

static inline struct fixture *
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

static inline struct fixture *
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

static inline void
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

static inline void
send_frame(struct fixture *f, const struct virtio_net_hdr_v1 *h, uint32_t len)
{
    struct guest_seg s[] = {{f->tx, HEADER, false},
                            {f->tx + HEADER, len, false}};

    memcpy(guest_at(&f->g, f->tx, HEADER), h, HEADER);
    guest_send(&f->g, &f->g.q[1], s, len ? 2 : 1);
    guest_wait(&f->g, &f->g.q[1]);
}

/* Offers n buffers of len bytes each, in the ring's order. */
static inline void
offer_rx(struct fixture *f, unsigned n, uint32_t len)
{
    for (unsigned i = 0; i < n; i++) {
        struct guest_seg s = {f->rx + i * len, len, true};

        guest_offer(&f->g, &f->g.q[0], guest_chain(&f->g, &f->g.q[0], &s, 1));
    }
    guest_kick(&f->g, &f->g.q[0]);
}

static inline void
peer_send(struct fixture *f, uint32_t len, char fill)
{
    static char buf[70000];

    memset(buf, 0, HEADER);
    memset(buf + HEADER, fill, len);
    assert_int_equal(write(f->peer, buf, HEADER + len), HEADER + len);
}

#define CTRL_FEATURES                                                          \
    (F(CTRL_VQ) | F(CTRL_RX) | F(CTRL_RX_EXTRA) | F(CTRL_VLAN) |               \
     F(CTRL_MAC_ADDR))

/* The answer to class, command and n bytes of data. */
static inline uint8_t
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

static inline uint8_t
command8(struct fixture *f, uint8_t class, uint8_t cmd, uint8_t v)
{
    return command(f, class, cmd, &v, 1);
}

static inline uint8_t
command16(struct fixture *f, uint8_t class, uint8_t cmd, uint16_t v)
{
    return command(f, class, cmd, &v, 2);
}

static inline void
start_ctrl(struct fixture *f, uint64_t features)
{
    guest_start(&f->g, features, 3);
}

#endif
