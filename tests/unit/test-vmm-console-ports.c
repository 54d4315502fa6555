/* test-vmm-console-ports.c - a console with several ports: control messages,
 * clients of a socket, hostile guests. */
#include <config.h>

#include "tests/unit/vmm-guest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_console.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/mem.h"
#include "hypervisor-backend/vmm/dev_console.h"

#define MULTIPORT (1 << VIRTIO_CONSOLE_F_MULTIPORT)

enum { RX0, TX0, CTL_RX, CTL_TX, RX1, TX1, N_QUEUES };

struct fixture {
    struct guest g;
    struct dev_console *d;
    int fd, peer; /* port 0 */
    int listener; /* port 1 */
    struct sockaddr_un at;
    socklen_t at_len;
    uint64_t data;
};

/* An address that the kernel picks. */
static int
listening(struct sockaddr_un *at, socklen_t *len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *at = (struct sockaddr_un){.sun_family = AF_UNIX};
    *len = sizeof(*at);
    assert_int_equal(bind(fd, (struct sockaddr *)at, sizeof(at->sun_family)),
                     0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)at, len), 0);
    assert_int_equal(listen(fd, 4), 0);
    return fd;
}

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct dev_console_port ports[2] = {{NULL, -1, -1},
                                        {"org.example.agent", -1, -1}};
    int fd[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    f->fd = fd[0];
    f->peer = fd[1];
    f->listener = listening(&f->at, &f->at_len);
    ports[0].in_fd = ports[0].out_fd = f->fd;
    ports[1].in_fd = ports[1].out_fd = f->listener;
    guest_new(&f->g, 8 * GUEST_MIB);
    assert_int_equal(
        dev_console_new(f->g.mem, f->g.loop, ports, 2, &f->d, NULL), 0);
    guest_plug(&f->g, dev_console_virtio(f->d), DEV_CONSOLE_CLASS);
    f->data = guest_alloc(&f->g, GUEST_MIB, 4096);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    guest_unplug(&f->g);
    dev_console_free(f->d);
    guest_free(&f->g);
    close(f->fd);
    close(f->peer);
    close(f->listener);
    free(f);
    return 0;
}

static void
say(struct fixture *f, uint32_t id, uint16_t event, uint16_t value)
{
    struct virtio_console_control m = {id, event, value};
    struct guest_seg s = {f->data, sizeof(m), false};

    memcpy(guest_at(&f->g, f->data, sizeof(m)), &m, sizeof(m));
    guest_send(&f->g, &f->g.q[CTL_TX], &s, 1);
    guest_wait(&f->g, &f->g.q[CTL_TX]);
}

/* The device's next message; `more` gets what follows it. */
static struct virtio_console_control
hear(struct fixture *f, char *more)
{
    struct guest_seg s = {f->data + 4096, 256, true};
    struct virtio_console_control m;
    uint32_t len;

    memset(guest_at(&f->g, s.gpa, s.len), 0, s.len);
    guest_send(&f->g, &f->g.q[CTL_RX], &s, 1);
    len = guest_wait(&f->g, &f->g.q[CTL_RX]).len;
    assert_true(len >= sizeof(m));
    memcpy(&m, guest_at(&f->g, s.gpa, sizeof(m)), sizeof(m));
    if (more) {
        memcpy(more, guest_at(&f->g, s.gpa + sizeof(m), 64), 64);
        more[len - sizeof(m)] = 0;
    }
    return m;
}

static void
heard(struct fixture *f, uint32_t id, uint16_t event, uint16_t value)
{
    struct virtio_console_control m = hear(f, NULL);

    assert_int_equal(m.id, id);
    assert_int_equal(m.event, event);
    assert_int_equal(m.value, value);
}

static void
meet(struct fixture *f)
{
    char name[65];
    struct virtio_console_control m;

    guest_start(&f->g, MULTIPORT, N_QUEUES);
    say(f, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    heard(f, 0, VIRTIO_CONSOLE_PORT_ADD, 1);
    heard(f, 1, VIRTIO_CONSOLE_PORT_ADD, 1);
    say(f, 0, VIRTIO_CONSOLE_PORT_READY, 1);
    heard(f, 0, VIRTIO_CONSOLE_CONSOLE_PORT, 1);
    heard(f, 0, VIRTIO_CONSOLE_PORT_OPEN, 1);
    say(f, 1, VIRTIO_CONSOLE_PORT_READY, 1);
    m = hear(f, name);
    assert_int_equal(m.id, 1);
    assert_int_equal(m.event, VIRTIO_CONSOLE_PORT_NAME);
    assert_string_equal(name, "org.example.agent");
    heard(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 0); /* nobody there yet */
    say(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
}

static int
client(struct fixture *f)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&f->at, f->at_len), 0);
    return fd;
}

static void
ready__ports_are_named_and_talk(void **state)
{
    struct fixture *f = *state;
    struct guest_seg in = {f->data + 8192, 64, true},
                     out = {f->data + 8192, 4, false};
    struct dev_console_stats st;
    char buf[8];
    int fd;

    meet(f);
    fd = client(f);
    heard(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    assert_int_equal(write(fd, "hello", 5), 5);
    guest_send(&f->g, &f->g.q[RX1], &in, 1);
    assert_int_equal(guest_wait(&f->g, &f->g.q[RX1]).len, 5);
    assert_memory_equal(guest_at(&f->g, in.gpa, 5), "hello", 5);
    memcpy(guest_at(&f->g, out.gpa, 4), "back", 4);
    guest_send(&f->g, &f->g.q[TX1], &out, 1);
    guest_wait(&f->g, &f->g.q[TX1]);
    assert_int_equal(read(fd, buf, sizeof(buf)), 4);
    assert_memory_equal(buf, "back", 4);
    dev_console_stats(f->d, 1, &st);
    assert_true(st.guest_open && st.host_open);
    assert_int_equal(st.in_bytes, 5);
    assert_int_equal(st.out_bytes, 4);
    /* The console beside it is another stream. */
    say(f, 0, VIRTIO_CONSOLE_PORT_OPEN, 1);
    assert_int_equal(write(f->peer, "tty", 3), 3);
    guest_send(&f->g, &f->g.q[RX0], &in, 1);
    assert_int_equal(guest_wait(&f->g, &f->g.q[RX0]).len, 3);
    close(fd);
}

static void
client__goes_and_the_next_is_served(void **state)
{
    struct fixture *f = *state;
    struct guest_seg in = {f->data + 8192, 64, true},
                     out = {f->data + 8192, 4, false};
    struct dev_console_stats st;
    int first, second;

    meet(f);
    first = client(f);
    second = client(f); /* waits */
    heard(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    assert_int_equal(write(second, "two", 3), 3);
    close(first);
    guest_send(&f->g, &f->g.q[RX1], &in, 1);
    heard(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
    heard(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    assert_int_equal(guest_wait(&f->g, &f->g.q[RX1]).len, 3);
    assert_memory_equal(guest_at(&f->g, in.gpa, 3), "two", 3);
    close(second);
    guest_send(&f->g, &f->g.q[RX1], &in, 1);
    heard(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
    /* Nobody there: the guest is not held up. */
    guest_send(&f->g, &f->g.q[TX1], &out, 1);
    guest_wait(&f->g, &f->g.q[TX1]);
    dev_console_stats(f->d, 1, &st);
    assert_int_equal(st.dropped_bytes, 4);
    assert_false(st.host_open);
}

static void
client__half_closed_still_hears_the_answer(void **state)
{
    struct fixture *f = *state;
    struct guest_seg in = {f->data + 8192, 64, true},
                     out = {f->data + 8192, 4, false};
    char buf[8];
    int fd;

    meet(f);
    fd = client(f);
    assert_int_equal(write(fd, "ask", 3), 3);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    guest_send(&f->g, &f->g.q[RX1], &in, 1);
    assert_int_equal(guest_wait(&f->g, &f->g.q[RX1]).len, 3);
    guest_send(&f->g, &f->g.q[RX1], &in, 1);
    guest_settle(&f->g);
    heard(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1); /* and no 0 behind it */
    guest_send(&f->g, &f->g.q[TX1], &out, 1);
    guest_wait(&f->g, &f->g.q[TX1]);
    assert_int_equal(read(fd, buf, sizeof(buf)), 4);
    close(fd);
    heard(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
}

static void
input__waits_until_the_guest_opens_the_port(void **state)
{
    struct fixture *f = *state;
    struct guest_seg in = {f->data + 8192, 64, true};
    struct vring_used_elem e;
    int fd;

    meet(f);
    say(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
    fd = client(f);
    assert_int_equal(write(fd, "early", 5), 5);
    guest_send(&f->g, &f->g.q[RX1], &in, 1);
    heard(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    guest_settle(&f->g);
    assert_false(guest_used(&f->g, &f->g.q[RX1], &e));
    say(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    assert_int_equal(guest_wait(&f->g, &f->g.q[RX1]).len, 5);
    close(fd);
}

static void
client__that_left_before_anyone_listened_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct guest_seg in = {f->data + 8192, 64, true};
    int fd;

    meet(f);
    say(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
    fd = client(f);
    heard(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    assert_int_equal(write(fd, "stale", 5), 5);
    close(fd);
    heard(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
    say(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    guest_send(&f->g, &f->g.q[RX1], &in, 1);
    fd = client(f);
    assert_int_equal(write(fd, "new", 3), 3);
    assert_int_equal(guest_wait(&f->g, &f->g.q[RX1]).len, 3);
    close(fd);
}

static void
output__half_sent_to_one_client_never_reaches_the_next(void **state)
{
    struct fixture *f = *state;
    struct guest_seg out = {f->data, GUEST_MIB, false};
    struct pollfd p = {.events = POLLIN};
    struct vring_used_elem e;
    int first, second;
    char buf[8];

    meet(f);
    first = client(f);
    heard(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    second = client(f);
    memset(guest_at(&f->g, f->data, GUEST_MIB), 'x', GUEST_MIB);
    guest_send(&f->g, &f->g.q[TX1], &out, 1);
    guest_settle(&f->g);
    assert_false(guest_used(&f->g, &f->g.q[TX1], &e));
    close(first);
    guest_wait(&f->g, &f->g.q[TX1]); /* not held up by who is gone */
    heard(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
    heard(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    out.len = 3;
    memcpy(guest_at(&f->g, f->data, 3), "new", 3);
    guest_send(&f->g, &f->g.q[TX1], &out, 1);
    guest_wait(&f->g, &f->g.q[TX1]);
    p.fd = second;
    assert_int_equal(poll(&p, 1, 10000), 1);
    assert_int_equal(read(second, buf, sizeof(buf)), 3);
    assert_memory_equal(buf, "new", 3);
    close(second);
}

static void
reset__keeps_the_client_and_forgets_the_rest(void **state)
{
    struct fixture *f = *state;
    struct guest_seg in = {f->data + 8192, 64, true};
    struct dev_console_stats st;
    int fd;

    meet(f);
    fd = client(f);
    heard(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    guest_reset(&f->g);
    dev_console_stats(f->d, 1, &st);
    assert_false(st.guest_open);
    assert_true(st.host_open);
    guest_start(&f->g, MULTIPORT, N_QUEUES);
    say(f, 1, VIRTIO_CONSOLE_PORT_READY, 1);
    heard(f, 1, VIRTIO_CONSOLE_PORT_NAME, 1);
    heard(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    say(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    assert_int_equal(write(fd, "after", 5), 5);
    guest_send(&f->g, &f->g.q[RX1], &in, 1);
    assert_int_equal(guest_wait(&f->g, &f->g.q[RX1]).len, 5);
    close(fd);
}

static void
size__is_a_message_of_the_console_port(void **state)
{
    struct fixture *f = *state;
    struct vring_used_elem e;
    char more[65];
    /* columns, then rows, little-endian, as specified and not as most of
     * Linux reads it: see dev_console.h */
    static const unsigned char wire[] = {132, 0, 43, 0};

    meet(f);
    dev_console_resize(f->d, 0, 132, 43);
    assert_int_equal(hear(f, more).event, VIRTIO_CONSOLE_RESIZE);
    assert_memory_equal(more, wire, sizeof(wire));
    /* a port with a name is no console */
    dev_console_resize(f->d, 1, 80, 25);
    guest_send(&f->g, &f->g.q[CTL_RX],
               &(struct guest_seg){f->data + 4096, 256, true}, 1);
    guest_settle(&f->g);
    assert_false(guest_used(&f->g, &f->g.q[CTL_RX], &e));
}

/* --- hostile --- */

static void
control__that_makes_no_sense_is_ignored(void **state)
{
    struct fixture *f = *state;
    struct vring_used_elem e;

    guest_start(&f->g, MULTIPORT, N_QUEUES);
    say(f, 2, VIRTIO_CONSOLE_PORT_READY, 1); /* one past the last */
    say(f, UINT32_MAX, VIRTIO_CONSOLE_PORT_OPEN, 1);
    say(f, 0, VIRTIO_CONSOLE_PORT_NAME, 1); /* the device's to say */
    say(f, 0, 0xffff, 0xffff);
    say(f, 0, VIRTIO_CONSOLE_DEVICE_READY, 0);
    guest_send(&f->g, &f->g.q[CTL_RX],
               &(struct guest_seg){f->data + 4096, 256, true}, 1);
    guest_settle(&f->g);
    assert_false(guest_used(&f->g, &f->g.q[CTL_RX], &e));
    assert_int_equal(guest_status(&f->g), STATUS_LIVE);
}

static void
control__asked_without_end_owes_each_message_once(void **state)
{
    struct fixture *f = *state;
    struct vring_used_elem e;

    guest_start(&f->g, MULTIPORT, N_QUEUES);
    for (unsigned i = 0; i < 1000; i++)
        say(f, 0, VIRTIO_CONSOLE_PORT_READY, 1);
    heard(f, 0, VIRTIO_CONSOLE_CONSOLE_PORT, 1);
    heard(f, 0, VIRTIO_CONSOLE_PORT_OPEN, 1);
    guest_send(&f->g, &f->g.q[CTL_RX],
               &(struct guest_seg){f->data + 4096, 256, true}, 1);
    guest_settle(&f->g);
    assert_false(guest_used(&f->g, &f->g.q[CTL_RX], &e));
}

static void
control__of_the_wrong_shape_needs_reset(void **state)
{
    static const struct {
        unsigned q;
        uint32_t len;
        bool in;
    } wrong[] = {
        {CTL_TX, 7, false},  /* shorter than the structure */
        {CTL_TX, 64, true},  /* for the device to write */
        {CTL_RX, 64, false}, /* for the device to read */
        {CTL_RX, 7, true},   /* no room */
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct guest_seg s = {f->data + 4096, wrong[i].len, wrong[i].in};

        guest_start(&f->g, MULTIPORT, N_QUEUES);
        say(f, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
        guest_send(&f->g, &f->g.q[wrong[i].q], &s, 1);
        guest_wait_needs_reset(&f->g);
        guest_reset(&f->g);
    }
}

static void
queues__without_multiport_are_only_the_first_two(void **state)
{
    struct fixture *f = *state;
    struct guest_seg s = {f->data, 8, false}, out = {f->data, 4, false};
    struct vring_used_elem e;
    char buf[8];

    guest_start(&f->g, 0, N_QUEUES);
    for (unsigned q = CTL_RX; q < N_QUEUES; q++)
        guest_send(&f->g, &f->g.q[q], &s, 1);
    guest_settle(&f->g);
    for (unsigned q = CTL_RX; q < N_QUEUES; q++)
        assert_false(guest_used(&f->g, &f->g.q[q], &e));
    memcpy(guest_at(&f->g, f->data, 4), "data", 4);
    guest_send(&f->g, &f->g.q[TX0], &out, 1);
    guest_wait(&f->g, &f->g.q[TX0]);
    assert_int_equal(read(f->peer, buf, sizeof(buf)), 4);
}

/* --- descriptions --- */

static void
new__refuses_bad_descriptions(void **state)
{
    struct fixture *f = *state;
    struct dev_console_port same[] = {{"a", -1, -1}, {"a", -1, -1}};
    struct dev_console_port five[5] = {{"a", -1, -1}};
    char longest[DEV_CONSOLE_NAME_MAX + 2];
    const char *const names[] = {"", "a/b", "a b", "\n", longest};
    struct dev_console *d = NULL;

    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = 0;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct dev_console_port p = {names[i], -1, -1};
        struct err e = {0};

        assert_int_equal(dev_console_new(f->g.mem, f->g.loop, &p, 1, &d, &e),
                         -EINVAL);
        assert_int_equal(e.n_details, 1);
        assert_string_equal(e.details[0].pointer, "/name");
        err_release(&e);
    }
    assert_int_equal(dev_console_new(f->g.mem, f->g.loop, same, 2, &d, NULL),
                     -EINVAL);
    assert_int_equal(dev_console_new(f->g.mem, f->g.loop, five, 5, &d, NULL),
                     -EINVAL);
    assert_int_equal(dev_console_new(f->g.mem, f->g.loop, five, 0, &d, NULL),
                     -EINVAL);
    same[0].in_fd = f->listener;
    same[0].out_fd = f->fd;
    assert_int_equal(dev_console_new(f->g.mem, f->g.loop, same, 1, &d, NULL),
                     -EINVAL);
    assert_null(d);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(ready__ports_are_named_and_talk),
        T(client__goes_and_the_next_is_served),
        T(client__half_closed_still_hears_the_answer),
        T(input__waits_until_the_guest_opens_the_port),
        T(client__that_left_before_anyone_listened_leaves_nothing),
        T(output__half_sent_to_one_client_never_reaches_the_next),
        T(reset__keeps_the_client_and_forgets_the_rest),
        T(size__is_a_message_of_the_console_port),
        T(control__that_makes_no_sense_is_ignored),
        T(control__asked_without_end_owes_each_message_once),
        T(control__of_the_wrong_shape_needs_reset),
        T(queues__without_multiport_are_only_the_first_two),
        T(new__refuses_bad_descriptions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
