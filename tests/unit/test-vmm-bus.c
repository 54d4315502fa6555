/* test-vmm-bus.c - who answers, odd accesses, removal under fire. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "hypervisor-backend/vmm/bus.h"

struct dev {
    uint64_t offset, value;
    unsigned size, reads, writes;
};

static uint64_t
dev_read(void *arg, uint64_t offset, unsigned size)
{
    struct dev *d = arg;

    d->offset = offset;
    d->size = size;
    d->reads++;
    return UINT64_C(0x8877665544332211);
}

static void
dev_write(void *arg, uint64_t offset, unsigned size, uint64_t value)
{
    struct dev *d = arg;

    d->offset = offset;
    d->size = size;
    d->value = value;
    d->writes++;
}

static const struct bus_ops any = {
    .name = "any", .read = dev_read, .write = dev_write};
static const struct bus_ops words = {.name = "words",
                                     .read = dev_read,
                                     .write = dev_write,
                                     .min_size = 2,
                                     .max_size = 4};
static const struct bus_ops mute = {.name = "mute"};

static void
add__overlap_empty_and_wrap_refused(void **state)
{
    struct bus *b = bus_new();
    struct dev d = {0};

    assert_int_equal(bus_add(b, BUS_MMIO, 0x1000, 0x1000, &any, &d), 0);
    assert_int_equal(bus_add(b, BUS_MMIO, 0x1fff, 1, &any, &d), -EEXIST);
    assert_int_equal(bus_add(b, BUS_MMIO, 0x0, 0x1001, &any, &d), -EEXIST);
    assert_int_equal(bus_add(b, BUS_MMIO, 0, UINT64_MAX, &any, &d), -EEXIST);
    assert_int_equal(bus_add(b, BUS_MMIO, 0x1200, 4, &any, &d), -EEXIST);
    assert_int_equal(bus_add(b, BUS_MMIO, 0x3000, 0, &any, &d), -EINVAL);
    assert_int_equal(bus_add(b, BUS_MMIO, 2, UINT64_MAX, &any, &d), -EINVAL);
    assert_int_equal(bus_add(b, BUS_MMIO, 0x2000, 1, &any, &d), 0);
    assert_int_equal(bus_add(b, BUS_MMIO, 0xfff, 1, &any, &d), 0);
    /* The last byte there is. */
    assert_int_equal(bus_add(b, BUS_MMIO, UINT64_MAX, 1, &any, &d), 0);
    assert_int_equal(bus_add(b, BUS_MMIO, UINT64_MAX, 1, &any, &d), -EEXIST);
    /* Ports end at 64 Ki, and are a space of their own. */
    assert_int_equal(bus_add(b, BUS_PIO, 0x1000, 0x1000, &any, &d), 0);
    assert_int_equal(bus_add(b, BUS_PIO, 0xffff, 2, &any, &d), -EINVAL);
    assert_int_equal(bus_add(b, BUS_PIO, 0xffff, 1, &any, &d), 0);
    bus_free(b);
}

static void
access__right_device_right_offset(void **state)
{
    static const uint64_t base[] = {0x9000, 0x1000, 0x5000, 0x3000, 0x7000};
    struct bus *b = bus_new();
    struct dev d[5] = {0};
    uint64_t v;

    for (size_t i = 0; i < 5; i++)
        assert_int_equal(bus_add(b, BUS_MMIO, base[i], 0x100, &any, &d[i]), 0);
    for (size_t i = 0; i < 5; i++) {
        v = 0x1122334455667788;
        assert_true(bus_access(b, BUS_MMIO, base[i] + 0xfc, 4, true, &v));
        assert_int_equal(d[i].offset, 0xfc);
        assert_int_equal(d[i].size, 4);
        assert_int_equal(d[i].value, 0x55667788);
        assert_true(bus_access(b, BUS_MMIO, base[i], 2, false, &v));
        assert_int_equal(v, 0x2211);
        assert_int_equal(d[i].reads, 1);
        assert_int_equal(d[i].writes, 1);
    }
    bus_free(b);
}

static void
access__nobodys_reads_ones_and_drops_writes(void **state)
{
    static const struct {
        uint64_t addr;
        unsigned size;
        uint64_t ones;
    } odd[] = {
        {0x0ff, 1, 0xff},       /* before */
        {0x0ff, 2, 0xffff},     /* begins before, ends inside */
        {0x110, 4, 0xffffffff}, /* after */
        {0x10e, 4, 0xffffffff}, /* over the end */
        {0x100, 1, 0xff},       /* too narrow */
        {0x100, 8, UINT64_MAX}, /* too wide */
        {0x100, 3, 0xffffff},   /* no such width */
        {UINT64_MAX, 8, UINT64_MAX},
    };
    struct bus *b = bus_new();
    struct dev d = {0};

    assert_int_equal(bus_add(b, BUS_MMIO, 0x100, 0x10, &words, &d), 0);
    assert_int_equal(bus_add(b, BUS_MMIO, 0x200, 0x10, &mute, &d), 0);
    for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
        uint64_t v = 0;

        assert_false(
            bus_access(b, BUS_MMIO, odd[i].addr, odd[i].size, false, &v));
        assert_int_equal(v, odd[i].ones);
        assert_false(
            bus_access(b, BUS_MMIO, odd[i].addr, odd[i].size, true, &v));
    }
    uint64_t v = 0;
    assert_false(bus_access(b, BUS_MMIO, 0x200, 4, false, &v));
    assert_int_equal(v, 0xffffffff);
    assert_false(bus_access(b, BUS_MMIO, 0x200, 4, true, &v));
    assert_int_equal(d.reads + d.writes, 0);
    bus_free(b);
}

/* A device that moves itself and then another out of its own callback. */
struct mover {
    struct bus *b;
    uint64_t base;
};

static void
mover_write(void *arg, uint64_t offset, unsigned size, uint64_t value)
{
    struct mover *m = arg;

    bus_remove(m->b, BUS_MMIO, m->base);
    m->base = value;
    assert_int_equal(
        bus_add(m->b, BUS_MMIO, value, 0x10, &(const struct bus_ops){0}, m), 0);
    bus_remove(m->b, BUS_MMIO, value);
}

static void
remove__out_of_its_own_callback_returns(void **state)
{
    static const struct bus_ops ops = {.name = "mover", .write = mover_write};
    struct mover m = {.b = bus_new(), .base = 0x1000};
    uint64_t v = 0x2000;

    assert_int_equal(bus_add(m.b, BUS_MMIO, 0x1000, 0x10, &ops, &m), 0);
    assert_true(bus_access(m.b, BUS_MMIO, 0x1000, 4, true, &v));
    assert_false(bus_access(m.b, BUS_MMIO, 0x1000, 4, true, &v));
    assert_false(bus_access(m.b, BUS_MMIO, 0x2000, 4, true, &v));
    bus_remove(m.b, BUS_MMIO, 0x1000);
    bus_free(m.b);
}

/* Threads hammer a range that comes and goes; inside it, `alive` must hold. */
struct fire {
    struct bus *b;
    _Atomic bool alive, stop;
    _Atomic unsigned dead_reads, hits;
};

static uint64_t
fire_read(void *arg, uint64_t offset, unsigned size)
{
    struct fire *f = arg;

    for (int i = 0; i < 50; i++)
        if (!atomic_load(&f->alive))
            atomic_fetch_add(&f->dead_reads, 1);
    atomic_fetch_add(&f->hits, 1);
    return 0;
}

static void *
fire_thread(void *arg)
{
    struct fire *f = arg;

    while (!atomic_load(&f->stop)) {
        uint64_t v;

        bus_access(f->b, BUS_MMIO, 0x1008, 4, false, &v);
        bus_access(f->b, BUS_MMIO, 0x3000, 4, false, &v);
    }
    return NULL;
}

static void
remove__waits_for_accesses_under_way(void **state)
{
    static const struct bus_ops ops = {.name = "fire", .read = fire_read};
    struct fire f = {.b = bus_new()};
    pthread_t t[3];
    unsigned rounds = 0;

    for (size_t i = 0; i < ARRAY_SIZE(t); i++)
        assert_int_equal(pthread_create(&t[i], NULL, fire_thread, &f), 0);
    /* On until the range was met often enough for the test to mean it. */
    while (rounds < 300 || atomic_load(&f.hits) < 300) {
        unsigned before = atomic_load(&f.hits);

        atomic_store(&f.alive, true);
        assert_int_equal(bus_add(f.b, BUS_MMIO, 0x1000, 0x10, &ops, &f), 0);
        while (atomic_load(&f.hits) == before)
            sched_yield();
        bus_remove(f.b, BUS_MMIO, 0x1000);
        atomic_store(&f.alive, false);
        rounds++;
    }
    atomic_store(&f.stop, true);
    for (size_t i = 0; i < ARRAY_SIZE(t); i++)
        pthread_join(t[i], NULL);
    assert_int_equal(atomic_load(&f.dead_reads), 0);
    bus_free(f.b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(add__overlap_empty_and_wrap_refused),
        cmocka_unit_test(access__right_device_right_offset),
        cmocka_unit_test(access__nobodys_reads_ones_and_drops_writes),
        cmocka_unit_test(remove__out_of_its_own_callback_returns),
        cmocka_unit_test(remove__waits_for_accesses_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
