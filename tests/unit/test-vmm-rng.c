/* test-vmm-rng.c - the entropy device. */
#include <config.h>

#include "tests/unit/vmm-guest.h"

#include <string.h>

#include "hypervisor-backend/vmm/dev_rng.h"

struct fixture {
    struct guest g;
    struct dev_rng *d;
    struct guest_queue *q;
};

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    guest_new(&f->g, 4 * GUEST_MIB);
    assert_int_equal(dev_rng_new(f->g.mem, f->g.loop, &f->d), 0);
    guest_plug(&f->g, dev_rng_virtio(f->d), DEV_RNG_CLASS);
    guest_negotiate(&f->g, 0);
    f->q = guest_queue(&f->g, 0, 8);
    guest_driver_ok(&f->g);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    guest_unplug(&f->g);
    dev_rng_free(f->d);
    guest_free(&f->g);
    free(f);
    return 0;
}

static void
request__fills_all_segments(void **state)
{
    struct fixture *f = *state;
    uint64_t at = guest_alloc(&f->g, 512, 64);
    struct guest_seg s[] = {{at, 64, true}, {at + 64, 192, true}};
    static const uint8_t zero[64];
    struct vring_used_elem e;

    guest_send(&f->g, f->q, s, 2);
    e = guest_wait(&f->g, f->q);
    assert_int_equal(e.len, 256);
    assert_memory_not_equal(guest_at(&f->g, at, 64), zero, 64);
    assert_memory_not_equal(guest_at(&f->g, at + 192, 64), zero, 64);
    assert_memory_equal(guest_at(&f->g, at + 256, 64), zero, 64);
}

static void
request__huge_is_bounded(void **state)
{
    struct fixture *f = *state;
    uint64_t at = guest_alloc(&f->g, GUEST_MIB, 64);
    struct guest_seg s[] = {{at, GUEST_MIB, true}};

    guest_send(&f->g, f->q, s, 1);
    assert_int_equal(guest_wait(&f->g, f->q).len, 4096);
}

static void
request__readable_buffer_needs_reset(void **state)
{
    struct fixture *f = *state;
    uint64_t at = guest_alloc(&f->g, 64, 64);
    struct guest_seg out = {at, 64, false}, in = {at, 64, true};

    guest_send(&f->g, f->q, &out, 1);
    guest_wait_needs_reset(&f->g);
    /* dead until reset, then as new */
    guest_send(&f->g, f->q, &in, 1);
    guest_settle(&f->g);
    struct vring_used_elem e;
    assert_false(guest_used(&f->g, f->q, &e));
    guest_reset(&f->g);
    guest_negotiate(&f->g, 0);
    f->q = guest_queue(&f->g, 0, 8);
    guest_driver_ok(&f->g);
    guest_send(&f->g, f->q, &in, 1);
    assert_int_equal(guest_wait(&f->g, f->q).len, 64);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(request__fills_all_segments),
        T(request__huge_is_bounded),
        T(request__readable_buffer_needs_reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
