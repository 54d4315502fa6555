/* fuzz-vmm-console.c - control messages and rings of any shape, while clients
 * of a port's socket come, send and go. */
#include <config.h>

#include "tests/fuzz/fuzz-vmm.h"

#include <linux/virtio_console.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "hypervisor-backend/vmm/dev_console.h"

#define BASE UINT64_C(0x40000)
#define N_QUEUES 6

static void
make(struct guest *g, struct dev_console **d, struct sockaddr_un *at,
     socklen_t *at_len)
{
    struct dev_console_port ports[2] = {{NULL, -1, -1}, {"fuzz", -1, -1}};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    guest_new(g, GUEST_MIB);
    *at = (struct sockaddr_un){.sun_family = AF_UNIX};
    *at_len = sizeof(*at);
    /* autobind: an abstract name that the kernel picks */
    assert_int_equal(bind(fd, (struct sockaddr *)at, sizeof(at->sun_family)),
                     0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)at, at_len), 0);
    assert_int_equal(listen(fd, 16), 0);
    ports[1].in_fd = ports[1].out_fd = fd;
    assert_int_equal(dev_console_new(g->mem, g->loop, ports, 2, d, NULL), 0);
    close(fd); /* the device has its own */
    guest_plug(g, dev_console_virtio(*d), DEV_CONSOLE_CLASS);
}

static int
client(const struct sockaddr_un *at, socklen_t len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (connect(fd, (const struct sockaddr *)at, len) == 0 &&
        send(fd, "some bytes", 10, MSG_NOSIGNAL) < 0)
        abort();
    return fd;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct guest g;
    static struct dev_console *d;
    static struct sockaddr_un at;
    static socklen_t at_len;
    struct input in = {data, n};
    unsigned flags, messages;
    int fd = -1;

    if (!g.mem)
        make(&g, &d, &at, &at_len);
    g.heap = 0x10000;
    flags = (unsigned)take(&in, 1);
    messages = (unsigned)take(&in, 1) % 17;
    guest_negotiate(&g, flags & 1 ? 0 : 1U << VIRTIO_CONSOLE_F_MULTIPORT);
    for (unsigned q = 0; q < N_QUEUES; q++)
        guest_queue(&g, q, 16);
    guest_driver_ok(&g);
    if (flags & 2)
        fd = client(&at, at_len);
    for (unsigned i = 0; i < 8; i++) {
        struct guest_seg s = {BASE + 0x4000 + i * 128, 128, true};

        guest_send(&g, &g.q[2], &s, 1);
        guest_send(&g, &g.q[4], &s, 1);
    }
    for (unsigned i = 0; i < messages; i++) {
        uint64_t where = BASE + i * 16;
        uint8_t id = (uint8_t)take(&in, 1);
        struct virtio_console_control m = {
            .id = id < 224 ? id % 3U : (uint32_t)take(&in, 4),
            .event = (uint16_t)(take(&in, 1) % 9),
            .value = (uint16_t)take(&in, 1)};
        struct guest_seg s = {where, 8 + (id & 1), false};

        memcpy(guest_at(&g, where, sizeof(m)), &m, sizeof(m));
        guest_send(&g, &g.q[3], &s, 1);
        if (flags & 4)
            guest_settle(&g);
    }
    if ((flags & 8) && fd >= 0) {
        close(fd);
        fd = client(&at, at_len);
    }
    for (unsigned q = 0; q < N_QUEUES; q++)
        if (flags & 16 << q % 4) {
            fill_ring(&g, &g.q[q], &in, BASE);
            guest_kick(&g, &g.q[q]);
        }
    guest_settle(&g);
    if (fd >= 0)
        close(fd);
    guest_settle(&g);
    guest_reset(&g);
    return 0;
}
