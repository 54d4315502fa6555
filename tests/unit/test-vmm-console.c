/* test-vmm-console.c - the console port. */
#include <config.h>

#include "tests/unit/vmm-guest.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "hypervisor-backend/vmm/dev_console.h"

struct fixture {
    struct guest g;
    struct dev_console *d;
    int peer, fd;
    uint64_t data;
};

static int
new_plain(struct guest *g, int in, int out, struct dev_console **ret)
{
    struct dev_console_port p = {.in_fd = in, .out_fd = out};

    return dev_console_new(g->mem, g->loop, &p, 1, ret, NULL);
}

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    int fd[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    f->fd = fd[0];
    f->peer = fd[1];
    guest_new(&f->g, 8 * GUEST_MIB);
    assert_int_equal(new_plain(&f->g, f->fd, f->fd, &f->d), 0);
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
    if (f->peer >= 0)
        close(f->peer);
    free(f);
    return 0;
}

static void
output__arrives_in_order(void **state)
{
    struct fixture *f = *state;
    struct guest_seg s[] = {{f->data, 5, false}, {f->data + 100, 6, false}};
    char buf[32] = {0};

    guest_start(&f->g, 0, 2);
    memcpy(guest_at(&f->g, f->data, 5), "hello", 5);
    memcpy(guest_at(&f->g, f->data + 100, 6), " there", 6);
    guest_send(&f->g, &f->g.q[1], s, 2);
    guest_wait(&f->g, &f->g.q[1]);
    assert_int_equal(read(f->peer, buf, sizeof(buf)), 11);
    assert_string_equal(buf, "hello there");
}

static void
output__slow_reader_holds_the_guest_back(void **state)
{
    struct fixture *f = *state;
    struct guest_seg s = {f->data, GUEST_MIB, false};
    uint32_t *p = guest_at(&f->g, f->data, GUEST_MIB), got;
    struct vring_used_elem e;

    for (uint32_t i = 0; i < GUEST_MIB / 4; i++)
        p[i] = i;
    guest_start(&f->g, 0, 2);
    guest_send(&f->g, &f->g.q[1], &s, 1);
    guest_settle(&f->g);
    assert_false(guest_used(&f->g, &f->g.q[1], &e));
    for (uint32_t i = 0; i < GUEST_MIB / 4; i++) {
        assert_int_equal(recv(f->peer, &got, 4, MSG_WAITALL), 4);
        if (got != i)
            fail_msg("word %u is %u", i, got);
    }
    guest_wait(&f->g, &f->g.q[1]);
    /* a reset in the middle forgets the rest */
    guest_send(&f->g, &f->g.q[1], &s, 1);
    guest_settle(&f->g);
    guest_reset(&f->g);
    guest_start(&f->g, 0, 2);
}

static void
input__waits_for_a_buffer_and_fills_it(void **state)
{
    struct fixture *f = *state;
    struct guest_seg s = {f->data, 4, true};

    guest_start(&f->g, 0, 2);
    assert_int_equal(write(f->peer, "abcdefg", 7), 7);
    guest_settle(&f->g);
    guest_send(&f->g, &f->g.q[0], &s, 1);
    assert_int_equal(guest_wait(&f->g, &f->g.q[0]).len, 4);
    assert_memory_equal(guest_at(&f->g, f->data, 4), "abcd", 4);
    guest_send(&f->g, &f->g.q[0], &s, 1);
    assert_int_equal(guest_wait(&f->g, &f->g.q[0]).len, 3);
    guest_send(&f->g, &f->g.q[0], &s, 1); /* the buffer first, then input */
    guest_settle(&f->g);
    assert_int_equal(write(f->peer, "z", 1), 1);
    assert_int_equal(guest_wait(&f->g, &f->g.q[0]).len, 1);
    assert_memory_equal(guest_at(&f->g, f->data, 1), "z", 1);
}

static void
peer__gone_does_not_stop_the_guest(void **state)
{
    struct fixture *f = *state;
    struct guest_seg in = {f->data, 4, true}, out = {f->data, 4, false};
    struct vring_used_elem e;

    guest_start(&f->g, 0, 2);
    guest_send(&f->g, &f->g.q[0], &in, 1);
    guest_settle(&f->g);
    close(f->peer);
    f->peer = -1;
    for (unsigned i = 0; i < 3; i++) {
        guest_send(&f->g, &f->g.q[1], &out, 1);
        guest_wait(&f->g, &f->g.q[1]);
    }
    assert_false(guest_used(&f->g, &f->g.q[0], &e));
    assert_int_equal(guest_status(&f->g), STATUS_LIVE);
}

static void
chain__of_the_wrong_direction_needs_reset(void **state)
{
    struct fixture *f = *state;
    struct guest_seg in = {f->data, 4, true}, out = {f->data, 4, false};

    guest_start(&f->g, 0, 2);
    guest_send(&f->g, &f->g.q[0], &out, 1);
    guest_wait_needs_reset(&f->g);
    guest_reset(&f->g);
    guest_start(&f->g, 0, 2);
    guest_send(&f->g, &f->g.q[1], &in, 1);
    guest_wait_needs_reset(&f->g);
}

static void
size__is_told(void **state)
{
    struct fixture *f = *state;

    guest_start(&f->g, 1, 2);
    dev_console_resize(f->d, 0, 132, 43);
    assert_int_equal(guest_read(&f->g, VPCI_DEVICE, 2), 132);
    assert_int_equal(guest_read(&f->g, VPCI_DEVICE + 2, 2), 43);
    assert_int_equal(guest_interrupts(&f->g, 0), 1);
}

static void
file__takes_output_too(void **state)
{
    struct guest g;
    struct dev_console *d;
    char path[] = "/tmp/virga-console-XXXXXX", buf[8] = {0};
    int fd = mkstemp(path);
    uint64_t data;

    (void)state;
    assert_true(fd >= 0);
    unlink(path);
    guest_new(&g, 4 * GUEST_MIB);
    assert_int_equal(new_plain(&g, -1, fd, &d), 0);
    guest_plug(&g, dev_console_virtio(d), DEV_CONSOLE_CLASS);
    data = guest_alloc(&g, 4096, 4096);
    guest_start(&g, 0, 2);
    memcpy(guest_at(&g, data, 4), "file", 4);
    guest_send(&g, &g.q[0], &(struct guest_seg){data, 4, true}, 1);
    guest_send(&g, &g.q[1], &(struct guest_seg){data, 4, false}, 1);
    guest_wait(&g, &g.q[1]);
    assert_int_equal(pread(fd, buf, 8, 0), 4);
    assert_string_equal(buf, "file");
    guest_unplug(&g);
    dev_console_free(d);
    guest_free(&g);
    close(fd);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(output__arrives_in_order),
        T(output__slow_reader_holds_the_guest_back),
        T(input__waits_for_a_buffer_and_fills_it),
        T(peer__gone_does_not_stop_the_guest),
        T(chain__of_the_wrong_direction_needs_reset),
        T(size__is_told),
        cmocka_unit_test(file__takes_output_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
