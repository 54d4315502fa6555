/* fuzz-vmm-vsock.c - socket packets of any content in rings of any shape,
 * while a program of the host connects and sends. */
#include <config.h>

#include "tests/fuzz/fuzz-vmm.h"

#include <linux/virtio_vsock.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "hypervisor-backend/vmm/dev_vsock.h"

#define BASE UINT64_C(0x40000)
#define CID 3

static void
host_connects(const struct sockaddr_un *at, socklen_t len, int *fd)
{
    static const char hello[] = "CONNECT 7\nsome bytes for the guest";

    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connect(*fd, (const struct sockaddr *)at, len) == 0 &&
        send(*fd, hello, sizeof(hello), MSG_NOSIGNAL) < 0)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct guest g;
    static struct dev_vsock *d;
    static struct sockaddr_un at = {.sun_family = AF_UNIX};
    static socklen_t at_len;
    struct input in = {data, n};
    struct guest_queue *rx, *tx;
    unsigned flags, packets;
    int host = -1;

    if (!g.mem) {
        struct dev_vsock_options o = {.guest_cid = CID};

        guest_new(&g, GUEST_MIB);
        o.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        /* autobind: an abstract name that the kernel picks */
        assert_int_equal(
            bind(o.listen_fd, (struct sockaddr *)&at, sizeof(at.sun_family)),
            0);
        at_len = sizeof(at);
        assert_int_equal(
            getsockname(o.listen_fd, (struct sockaddr *)&at, &at_len), 0);
        assert_int_equal(listen(o.listen_fd, 16), 0);
        assert_int_equal(dev_vsock_new(g.mem, g.loop, &o, &d, NULL), 0);
        guest_plug(&g, dev_vsock_virtio(d), DEV_VSOCK_CLASS);
    }
    g.heap = 0x10000;
    flags = (unsigned)take(&in, 1);
    packets = (unsigned)take(&in, 1) % 9;
    guest_negotiate(&g, 0);
    rx = guest_queue(&g, 0, 16);
    tx = guest_queue(&g, 1, 16);
    guest_queue(&g, 2, 16);
    guest_driver_ok(&g);
    if (flags & 1) {
        fill_ring(&g, rx, &in, BASE);
    } else {
        for (unsigned i = 0; i < 15; i++) {
            struct guest_seg s = {BASE + 0x4000 + i * 512, 512, true};

            guest_offer(&g, rx, guest_chain(&g, rx, &s, 1));
        }
    }
    guest_kick(&g, rx);
    if (flags & 2) {
        host_connects(&at, at_len, &host);
        guest_settle(&g);
        guest_settle(&g);
    }
    for (unsigned i = 0; i < packets; i++) {
        uint64_t where = BASE + i * 512;
        /* The first stream from the host, if it got that far. */
        uint32_t port = (1U << 30) + (uint32_t)take(&in, 1);
        struct virtio_vsock_hdr h = {.src_cid = CID,
                                     .dst_cid = 2,
                                     .src_port = 7,
                                     .dst_port = port,
                                     .type = VIRTIO_VSOCK_TYPE_STREAM,
                                     .op = (uint16_t)(take(&in, 1) % 10)};
        uint32_t extra = (uint32_t)take(&in, 1);
        struct guest_seg s = {where, (uint32_t)sizeof(h) + extra, false};
        struct virtio_vsock_hdr *seen =
            guest_at(&g, BASE + 0x4000, sizeof(*seen));

        if (flags & 4)
            h.dst_port = seen->src_port;
        h.len = take_length(&in);
        h.buf_alloc = take_length(&in);
        h.fwd_cnt = take_length(&in);
        h.flags = (uint32_t)take(&in, 1) & 3;
        memcpy(guest_at(&g, where, sizeof(h)), &h, sizeof(h));
        guest_offer(&g, tx, guest_chain(&g, tx, &s, 1));
        if (flags & 8) {
            guest_kick(&g, tx);
            guest_settle(&g);
        }
    }
    if (flags & 16)
        fill_ring(&g, tx, &in, BASE);
    guest_kick(&g, tx);
    guest_settle(&g);
    if (host >= 0)
        close(host);
    guest_settle(&g);
    guest_reset(&g);
    if (dev_vsock_streams(d) > 0 && !(flags & 2))
        abort();
    return 0;
}
