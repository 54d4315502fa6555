/* test-vmm-vsock.c - streams between guest ports and unix sockets. */
#include <config.h>

#include "tests/unit/vmm-guest.h"

#include <fcntl.h>
#include <linux/virtio_vsock.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "hypervisor-backend/vmm/dev_vsock.h"

#define CID 42
#define HEADER sizeof(struct virtio_vsock_hdr)
#define RX_LEN 4096U
#define N_RX 16U

struct fixture {
    struct guest g;
    struct dev_vsock *d;
    char dir[64], path[100], guest_path[100];
    uint64_t tx, rx;
    struct virtio_vsock_hdr h; /* the last packet received */
    uint8_t data[RX_LEN];
};

static int
listen_at(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 100), 0);
    return fd;
}

static int
connect_to(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

static void
offer_rx(struct fixture *f, unsigned i)
{
    struct guest_seg s = {f->rx + i * RX_LEN, RX_LEN, true};

    guest_send(&f->g, &f->g.q[0], &s, 1);
}

static void
start(struct fixture *f)
{
    guest_start(&f->g, 0, 3);
    for (unsigned i = 0; i < N_RX; i++)
        offer_rx(f, i);
}

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct dev_vsock_options o = {.guest_cid = CID};

    snprintf(f->dir, sizeof(f->dir), "/tmp/virga-vsock-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/v", f->dir);
    snprintf(f->guest_path, sizeof(f->guest_path), "%s/v_77", f->dir);
    guest_new(&f->g, 16 * GUEST_MIB);
    o.listen_fd = listen_at(f->path);
    o.guest_path = f->path;
    assert_int_equal(dev_vsock_new(f->g.mem, f->g.loop, &o, &f->d, NULL), 0);
    guest_plug(&f->g, dev_vsock_virtio(f->d), DEV_VSOCK_CLASS);
    f->tx = guest_alloc(&f->g, 256 * 1024, 4096);
    f->rx = guest_alloc(&f->g, N_RX * RX_LEN, 4096);
    start(f);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    guest_unplug(&f->g);
    dev_vsock_free(f->d);
    guest_free(&f->g);
    unlink(f->path);
    unlink(f->guest_path);
    rmdir(f->dir);
    free(f);
    return 0;
}

/* A packet of the guest's, with len bytes that lie behind the header. */
static void
send_raw(struct fixture *f, const struct virtio_vsock_hdr *h, uint32_t len)
{
    struct guest_seg s[] = {{f->tx, HEADER, false}, {f->tx + 64, len, false}};

    memcpy(guest_at(&f->g, f->tx, HEADER), h, HEADER);
    guest_send(&f->g, &f->g.q[1], s, len ? 2 : 1);
    guest_wait(&f->g, &f->g.q[1]);
}

static void
send_packet(struct fixture *f, uint16_t op, uint32_t guest_port,
            uint32_t host_port, uint32_t len, uint32_t flags)
{
    struct virtio_vsock_hdr h = {.src_cid = CID,
                                 .dst_cid = 2,
                                 .src_port = guest_port,
                                 .dst_port = host_port,
                                 .len = len,
                                 .type = VIRTIO_VSOCK_TYPE_STREAM,
                                 .op = op,
                                 .flags = flags,
                                 .buf_alloc = 65536};

    send_raw(f, &h, len);
}

/* The next packet for the guest; its buffer is offered again. */
static void
expect(struct fixture *f, uint16_t op)
{
    struct vring_used_elem e = guest_wait(&f->g, &f->g.q[0]);
    unsigned i = e.id % N_RX;
    uint64_t at = guest_desc(&f->g, &f->g.q[0], e.id)->addr;

    i = (unsigned)((at - f->rx) / RX_LEN);
    memcpy(&f->h, guest_at(&f->g, at, HEADER), HEADER);
    assert_int_equal(e.len, HEADER + f->h.len);
    memcpy(f->data, guest_at(&f->g, at + HEADER, f->h.len + 1), f->h.len);
    offer_rx(f, i);
    assert_int_equal(f->h.op, op);
    assert_int_equal(f->h.src_cid, 2);
    assert_int_equal(f->h.dst_cid, CID);
    assert_int_equal(f->h.type, VIRTIO_VSOCK_TYPE_STREAM);
}

/* From the host to guest port 1234, until both know. Returns the socket. */
static int
open_stream(struct fixture *f)
{
    int fd = connect_to(f->path);
    char line[32] = {0}, want[32];

    assert_int_equal(write(fd, "CONNECT 1234\n", 13), 13);
    expect(f, VIRTIO_VSOCK_OP_REQUEST);
    assert_int_equal(f->h.dst_port, 1234);
    assert_int_equal(f->h.buf_alloc, DEV_VSOCK_BUFFER);
    send_packet(f, VIRTIO_VSOCK_OP_RESPONSE, 1234, f->h.src_port, 0, 0);
    snprintf(want, sizeof(want), "OK %u\n", f->h.src_port);
    assert_int_equal(recv(fd, line, strlen(want), MSG_WAITALL), strlen(want));
    assert_string_equal(line, want);
    return fd;
}

static void
host__connects_and_talks_both_ways(void **state)
{
    struct fixture *f = *state;
    int fd = open_stream(f);
    char buf[16] = {0};

    assert_int_equal(write(fd, "to guest", 8), 8);
    expect(f, VIRTIO_VSOCK_OP_RW);
    assert_int_equal(f->h.len, 8);
    assert_memory_equal(f->data, "to guest", 8);
    memcpy(guest_at(&f->g, f->tx + 64, 7), "to host", 7);
    send_packet(f, VIRTIO_VSOCK_OP_RW, 1234, f->h.src_port, 7, 0);
    assert_int_equal(recv(fd, buf, 7, MSG_WAITALL), 7);
    assert_string_equal(buf, "to host");
    send_packet(f, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 1234, f->h.src_port, 0, 0);
    expect(f, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
    assert_int_equal(f->h.fwd_cnt, 7);
    close(fd);
    expect(f, VIRTIO_VSOCK_OP_SHUTDOWN);
    send_packet(f, VIRTIO_VSOCK_OP_SHUTDOWN, 1234, f->h.src_port, 0, 3);
    expect(f, VIRTIO_VSOCK_OP_RST);
    assert_int_equal(dev_vsock_streams(f->d), 0);
}

static void
guest__connects_to_the_port_of_the_host(void **state)
{
    struct fixture *f = *state;
    int l = listen_at(f->guest_path), fd;
    char buf[8] = {0};

    send_packet(f, VIRTIO_VSOCK_OP_REQUEST, 5, 77, 0, 0);
    expect(f, VIRTIO_VSOCK_OP_RESPONSE);
    assert_int_equal(f->h.src_port, 77);
    assert_int_equal(f->h.dst_port, 5);
    fd = accept(l, NULL, NULL);
    assert_true(fd >= 0);
    memcpy(guest_at(&f->g, f->tx + 64, 3), "abc", 3);
    send_packet(f, VIRTIO_VSOCK_OP_RW, 5, 77, 3, 0);
    assert_int_equal(recv(fd, buf, 3, MSG_WAITALL), 3);
    /* half closed: the other way goes on */
    send_packet(f, VIRTIO_VSOCK_OP_SHUTDOWN, 5, 77, 0, 2);
    assert_int_equal(recv(fd, buf, 1, 0), 0);
    assert_int_equal(write(fd, "x", 1), 1);
    expect(f, VIRTIO_VSOCK_OP_RW);
    send_packet(f, VIRTIO_VSOCK_OP_RST, 5, 77, 0, 0);
    assert_int_equal(dev_vsock_streams(f->d), 0);
    close(fd);
    close(l);
}

static void
guest__nobody_listens_is_a_reset(void **state)
{
    struct fixture *f = *state;

    send_packet(f, VIRTIO_VSOCK_OP_REQUEST, 5, 78, 0, 0);
    expect(f, VIRTIO_VSOCK_OP_RST);
    assert_int_equal(f->h.src_port, 78);
    send_packet(f, VIRTIO_VSOCK_OP_RW, 9, 9, 4, 0);
    expect(f, VIRTIO_VSOCK_OP_RST);
    /* a reset is not answered with another */
    send_packet(f, VIRTIO_VSOCK_OP_RST, 9, 9, 0, 0);
    send_packet(f, VIRTIO_VSOCK_OP_REQUEST, 6, UINT32_MAX, 0, 0);
    expect(f, VIRTIO_VSOCK_OP_RST);
    assert_int_equal(f->h.dst_port, 6);
}

static void
credit__slow_host_bounds_the_buffer(void **state)
{
    struct fixture *f = *state;
    int fd = open_stream(f), size = 4096;
    uint32_t port = f->h.src_port, sent = 0, got = 0;
    char *buf = calloc(1, 256 * 1024);

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)),
                     0);
    /* keep sending within the credit that we know of: none after the first
     * 64 KiB until the host reads */
    send_packet(f, VIRTIO_VSOCK_OP_RW, 1234, port, DEV_VSOCK_BUFFER, 0);
    sent = DEV_VSOCK_BUFFER;
    while (f->h.op != VIRTIO_VSOCK_OP_RST && sent < 8 * 1024 * 1024) {
        /* against the credit: until the socket is full, it is forwarded */
        send_packet(f, VIRTIO_VSOCK_OP_RW, 1234, port, DEV_VSOCK_BUFFER, 0);
        sent += DEV_VSOCK_BUFFER;
        struct vring_used_elem e;
        while (guest_used(&f->g, &f->g.q[0], &e)) {
            uint64_t at = guest_desc(&f->g, &f->g.q[0], e.id)->addr;

            memcpy(&f->h, guest_at(&f->g, at, HEADER), HEADER);
            offer_rx(f, (unsigned)((at - f->rx) / RX_LEN));
        }
    }
    assert_int_equal(f->h.op, VIRTIO_VSOCK_OP_RST);
    assert_int_equal(dev_vsock_streams(f->d), 0);
    for (ssize_t n; (n = read(fd, buf, 256 * 1024)) > 0;)
        got += (uint32_t)n;
    assert_true(got <= sent - DEV_VSOCK_BUFFER);
    free(buf);
    close(fd);
}

/* More than the host's socket takes, the rest kept: how much it took. */
static uint32_t
overfill(struct fixture *f, uint32_t port, uint32_t *ret_sent)
{
    *ret_sent = 0;
    do {
        struct vring_used_elem e;

        send_packet(f, VIRTIO_VSOCK_OP_RW, 1234, port, 32768, 0);
        *ret_sent += 32768;
        send_packet(f, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 1234, port, 0, 0);
        guest_settle(&f->g);
        while (guest_used(&f->g, &f->g.q[0], &e)) {
            uint64_t at = guest_desc(&f->g, &f->g.q[0], e.id)->addr;

            memcpy(&f->h, guest_at(&f->g, at, HEADER), HEADER);
            offer_rx(f, (unsigned)((at - f->rx) / RX_LEN));
        }
        assert_int_not_equal(f->h.op, VIRTIO_VSOCK_OP_RST);
    } while (f->h.fwd_cnt == *ret_sent && *ret_sent < 16 * GUEST_MIB);
    return f->h.fwd_cnt;
}

static void
pause__what_is_kept_for_the_host_waits(void **state)
{
    struct fixture *f = *state;
    int fd = open_stream(f);
    uint32_t sent, got = 0, took = overfill(f, f->h.src_port, &sent);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char *buf = calloc(1, DEV_VSOCK_BUFFER);

    assert_in_range(sent - took, 1, DEV_VSOCK_BUFFER);
    virtio_pause(dev_vsock_virtio(f->d));
    while (got < took) {
        ssize_t n = recv(fd, buf, MIN(DEV_VSOCK_BUFFER, took - got), 0);

        assert_true(n > 0);
        got += (uint32_t)n;
    }
    /* There is room now, and nobody who fills it. */
    assert_int_equal(poll(&p, 1, 200), 0);
    virtio_resume(dev_vsock_virtio(f->d));
    assert_int_equal(recv(fd, buf, sent - took, MSG_WAITALL), sent - took);
    free(buf);
    close(fd);
}

static void
credit__guest_without_room_is_sent_nothing(void **state)
{
    struct fixture *f = *state;
    int fd = open_stream(f);
    struct virtio_vsock_hdr h = {.src_cid = CID,
                                 .dst_cid = 2,
                                 .src_port = 1234,
                                 .dst_port = f->h.src_port,
                                 .type = VIRTIO_VSOCK_TYPE_STREAM,
                                 .op = VIRTIO_VSOCK_OP_CREDIT_UPDATE,
                                 .buf_alloc = 5};
    struct vring_used_elem e;

    send_raw(f, &h, 0);
    assert_int_equal(write(fd, "0123456789", 10), 10);
    expect(f, VIRTIO_VSOCK_OP_RW);
    assert_int_equal(f->h.len, 5);
    guest_settle(&f->g);
    assert_false(guest_used(&f->g, &f->g.q[0], &e));
    h.fwd_cnt = 3;
    send_raw(f, &h, 0);
    expect(f, VIRTIO_VSOCK_OP_RW);
    assert_int_equal(f->h.len, 3);
    assert_memory_equal(f->data, "567", 3);
    h.fwd_cnt = 100000; /* more than was ever sent: no credit by wrapping */
    send_raw(f, &h, 0);
    guest_settle(&f->g);
    assert_false(guest_used(&f->g, &f->g.q[0], &e));
    close(fd);
}

static void
packet__that_lies_resets_the_stream(void **state)
{
    struct fixture *f = *state;
    int fd = open_stream(f);
    struct virtio_vsock_hdr h = {.src_cid = CID,
                                 .dst_cid = 2,
                                 .src_port = 1234,
                                 .dst_port = f->h.src_port,
                                 .len = 1000000,
                                 .type = VIRTIO_VSOCK_TYPE_STREAM,
                                 .op = VIRTIO_VSOCK_OP_RW};
    char c;

    send_raw(f, &h, 10);
    expect(f, VIRTIO_VSOCK_OP_RST);
    assert_int_equal(read(fd, &c, 1), 0);
    close(fd);
    h.src_cid = 43; /* somebody else's: no answer at all */
    send_raw(f, &h, 10);
    h.src_cid = CID;
    h.dst_cid = 99;
    h.len = 10;
    send_raw(f, &h, 10);
    expect(f, VIRTIO_VSOCK_OP_RST);
    h.dst_cid = 2;
    h.type = 2;
    send_raw(f, &h, 10);
    expect(f, VIRTIO_VSOCK_OP_RST);
    assert_int_equal(guest_status(&f->g), STATUS_LIVE);
}

static void
packet__without_header_needs_reset(void **state)
{
    struct fixture *f = *state;
    struct guest_seg s = {f->tx, HEADER - 1, false};
    int fd = open_stream(f);
    char c;

    guest_send(&f->g, &f->g.q[1], &s, 1);
    guest_wait_needs_reset(&f->g);
    guest_reset(&f->g);
    assert_int_equal(dev_vsock_streams(f->d), 0);
    assert_int_equal(read(fd, &c, 1), 0);
    close(fd);
    start(f);
    close(open_stream(f));
}

static void
hello__that_is_none_is_closed(void **state)
{
    struct fixture *f = *state;
    static const char *bad[] = {
        "HELLO 1\n",
        "CONNECT \n",
        "CONNECT x\n",
        "CONNECT -1\n",
        "CONNECT 4294967295\n",
        "CONNECT 99999999999999999999\n",
        "CONNECT 1 2\n",
        "CONNECT 000000000000000000000000000000000001\n"};
    char c;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        int fd = connect_to(f->path);

        assert_int_equal(write(fd, bad[i], strlen(bad[i])), strlen(bad[i]));
        assert_true(read(fd, &c, 1) <= 0);
        close(fd);
    }
    guest_settle(&f->g);
    assert_int_equal(dev_vsock_streams(f->d), 0);
    /* in pieces is fine */
    int fd = connect_to(f->path);
    for (const char *p = "CONNECT 7\n"; *p; p++) {
        assert_int_equal(write(fd, p, 1), 1);
        guest_settle(&f->g);
    }
    expect(f, VIRTIO_VSOCK_OP_REQUEST);
    assert_int_equal(f->h.dst_port, 7);
    close(fd);
}

static void
streams__are_bounded(void **state)
{
    struct fixture *f = *state;
    int fd[DEV_VSOCK_STREAMS + 4];
    char c;

    for (unsigned i = 0; i < ARRAY_SIZE(fd); i++)
        fd[i] = connect_to(f->path);
    /* the surplus is closed by the device */
    for (unsigned i = DEV_VSOCK_STREAMS; i < ARRAY_SIZE(fd); i++)
        assert_int_equal(read(fd[i], &c, 1), 0);
    assert_int_equal(dev_vsock_streams(f->d), DEV_VSOCK_STREAMS);
    for (unsigned i = 0; i < ARRAY_SIZE(fd); i++)
        close(fd[i]);
    guest_settle(&f->g);
    guest_settle(&f->g);
    guest_settle(&f->g);
    assert_int_equal(dev_vsock_streams(f->d), 0);
}

static void
options__bad_ones_are_refused(void **state)
{
    struct guest g;
    struct dev_vsock *d;
    char path[200];

    (void)state;
    guest_new(&g, GUEST_MIB);
    for (uint64_t cid = 0; cid < 3; cid++)
        assert_int_equal(dev_vsock_new(g.mem, g.loop,
                                       &(struct dev_vsock_options){
                                           .guest_cid = cid, .listen_fd = -1},
                                       &d, NULL),
                         -EINVAL);
    memset(path, 'p', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(
        dev_vsock_new(g.mem, g.loop,
                      &(struct dev_vsock_options){
                          .guest_cid = 3, .listen_fd = -1, .guest_path = path},
                      &d, NULL),
        -EINVAL);
    guest_free(&g);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(host__connects_and_talks_both_ways),
        T(guest__connects_to_the_port_of_the_host),
        T(guest__nobody_listens_is_a_reset),
        T(credit__slow_host_bounds_the_buffer),
        T(pause__what_is_kept_for_the_host_waits),
        T(credit__guest_without_room_is_sent_nothing),
        T(packet__that_lies_resets_the_stream),
        T(packet__without_header_needs_reset),
        T(hello__that_is_none_is_closed),
        T(streams__are_bounded),
        cmocka_unit_test(options__bad_ones_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
