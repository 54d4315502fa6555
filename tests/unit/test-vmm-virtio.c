/* test-vmm-virtio.c - status, features, queues and the PCI transport, with a
 * device that echoes and may hold its requests back. */
#include <config.h>

#include "tests/unit/vmm-guest.h"

#include <string.h>

#define FEATURE_A 3
#define CONFIG_SIZE 12

struct echo {
    struct virtio *v;
    bool hold;     /* keep chains in flight */
    bool in_reset; /* a reset waits for them */
    uint16_t held[GUEST_QUEUE];
    unsigned n_held, n_started, n_config;
    struct iovec iov[GUEST_QUEUE];
};

static bool
echo_one(void *self, unsigned q, struct virtq_chain *c)
{
    struct echo *e = self;

    if (e->hold)
        e->held[e->n_held++] = c->head;
    else
        virtio_push(e->v, q, c->head, c->in_len);
    return true;
}

static void
echo_queue(void *self, unsigned q)
{
    struct echo *e = self;
    struct virtq_chain c = {.iov = e->iov, .room = ARRAY_SIZE(e->iov)};

    virtio_each(e->v, q, &c, NULL, echo_one);
}

static bool
echo_reset(void *self)
{
    struct echo *e = self;

    e->in_reset = e->n_held > 0;
    return !e->in_reset;
}

static void
echo_start(void *self)
{
    ((struct echo *)self)->n_started++;
}

static void
echo_config(void *self, unsigned offset, unsigned size)
{
    (void)offset;
    (void)size;
    ((struct echo *)self)->n_config++;
}

static const struct virtio_type echo_type = {
    .name = "echo",
    .id = 42,
    .start = echo_start,
    .queue = echo_queue,
    .reset = echo_reset,
    .config_written = echo_config,
};

struct fixture {
    struct guest g;
    struct echo e;
    uint64_t data;
};

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct virtio *v;

    guest_new(&f->g, 4 * GUEST_MIB);
    assert_int_equal(virtio_new(&echo_type, &f->e, f->g.mem, f->g.loop, 3,
                                GUEST_QUEUE, 1 << 16, &v),
                     0);
    f->e.v = v;
    v->offered |= VIRTIO_BIT(FEATURE_A);
    v->config_size = CONFIG_SIZE;
    memcpy(v->config, "abcdefghijkl", CONFIG_SIZE);
    memset(v->config_writable + 8, 0xff, 4);
    guest_plug(&f->g, v, 0x00ff00);
    f->data = guest_alloc(&f->g, 65536, 64);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    guest_unplug(&f->g);
    virtio_stop(f->e.v);
    virtio_free(f->e.v);
    guest_free(&f->g);
    free(f);
    return 0;
}

static void
send(struct fixture *f, struct guest_queue *q)
{
    struct guest_seg s = {f->data, 16, true};

    guest_send(&f->g, q, &s, 1);
}

static void
set_held(struct fixture *f, bool hold)
{
    pthread_mutex_lock(&f->e.v->lock);
    f->e.hold = hold;
    pthread_mutex_unlock(&f->e.v->lock);
}

static void
device__has_the_identity_of_its_type(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(guest_cfg_read(&f->g, f->g.slot, 0, 4),
                     (0x1040U + 42) << 16 | 0x1af4);
    assert_int_equal(guest_cfg_read(&f->g, f->g.slot, 8, 1), 1);
    assert_int_equal(guest_read(&f->g, COMMON(num_queues), 2), 3);
}

static void
capabilities__describe_the_bar(void **state)
{
    struct fixture *f = *state;
    unsigned seen = 0, at = guest_cfg_read(&f->g, f->g.slot, 0x34, 1);

    while (at) {
        if (guest_cfg_read(&f->g, f->g.slot, at, 1) == 9) {
            unsigned type = guest_cfg_read(&f->g, f->g.slot, at + 3, 1);

            assert_in_range(type, 1, 5);
            seen |= 1U << type;
            if (type == VIRTIO_PCI_CAP_NOTIFY_CFG) {
                assert_int_equal(guest_cfg_read(&f->g, f->g.slot, at + 2, 1),
                                 20);
                assert_int_equal(guest_cfg_read(&f->g, f->g.slot, at + 16, 4),
                                 VPCI_NOTIFY_STEP);
                assert_int_equal(guest_cfg_read(&f->g, f->g.slot, at + 8, 4),
                                 VPCI_NOTIFY);
            }
        }
        at = guest_cfg_read(&f->g, f->g.slot, at + 1, 1);
    }
    assert_int_equal(seen, 0x3e);
}

static void
start__negotiates_and_moves_data(void **state)
{
    struct fixture *f = *state;
    struct vring_used_elem e;

    guest_start(&f->g, VIRTIO_BIT(FEATURE_A), 3);
    assert_int_equal(f->e.n_started, 1);
    for (unsigned i = 0; i < 3; i++) {
        send(f, &f->g.q[i]);
        e = guest_wait(&f->g, &f->g.q[i]);
        assert_int_equal(e.len, 16);
        guest_settle(&f->g); /* the interrupt follows the ring */
        assert_int_equal(guest_interrupts(&f->g, i + 1), 1);
    }
    assert_int_equal(guest_read(&f->g, VPCI_ISR, 1), 1);
    assert_int_equal(guest_read(&f->g, VPCI_ISR, 1), 0);
}

static void
features__unoffered_or_legacy_are_refused(void **state)
{
    struct fixture *f = *state;
    const uint64_t v1 = VIRTIO_BIT(VIRTIO_F_VERSION_1);
    const uint64_t bad[] = {0, VIRTIO_BIT(FEATURE_A), v1 | VIRTIO_BIT(4),
                            v1 | VIRTIO_BIT(63)};

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        guest_write(&f->g, COMMON(device_status), 1, 3);
        guest_write(&f->g, COMMON(guest_feature_select), 4, 0);
        guest_write(&f->g, COMMON(guest_feature), 4, (uint32_t)bad[i]);
        guest_write(&f->g, COMMON(guest_feature_select), 4, 1);
        guest_write(&f->g, COMMON(guest_feature), 4, bad[i] >> 32);
        guest_write(&f->g, COMMON(device_status), 1, 11);
        assert_int_equal(guest_status(&f->g), 3);
        /* nor does DRIVER_OK get through */
        guest_write(&f->g, COMMON(device_status), 1, 15);
        assert_false(guest_status(&f->g) & VIRTIO_CONFIG_S_DRIVER_OK);
        guest_reset(&f->g);
    }
    guest_write(&f->g, COMMON(device_feature_select), 4, 2);
    assert_int_equal(guest_read(&f->g, COMMON(device_feature), 4), 0);
    guest_write(&f->g, COMMON(guest_feature_select), 4, 0xffffffff);
    guest_write(&f->g, COMMON(guest_feature), 4, 0xffffffff);
    assert_int_equal(guest_read(&f->g, COMMON(guest_feature), 4), 0);
    assert_int_equal(f->e.n_started, 0);
}

static void
features__written_late_do_not_change(void **state)
{
    struct fixture *f = *state;

    guest_start(&f->g, 0, 1);
    guest_write(&f->g, COMMON(guest_feature_select), 4, 0);
    guest_write(&f->g, COMMON(guest_feature), 4, VIRTIO_BIT(FEATURE_A));
    assert_int_equal(guest_read(&f->g, COMMON(guest_feature), 4), 0);
}

static void
status__out_of_phase_is_refused(void **state)
{
    struct fixture *f = *state;

    guest_write(&f->g, COMMON(device_status), 1, 2); /* no ACKNOWLEDGE */
    assert_int_equal(guest_status(&f->g), 0);
    guest_write(&f->g, COMMON(device_status), 1, 15); /* all at once */
    assert_int_equal(guest_status(&f->g), 0);
    guest_write(&f->g, COMMON(device_status), 1, 9); /* no DRIVER */
    assert_int_equal(guest_status(&f->g), 0);
    guest_write(&f->g, COMMON(device_status), 1, 0x41); /* NEEDS_RESET */
    assert_int_equal(guest_status(&f->g), 0);
    guest_start(&f->g, 0, 1);
    guest_write(&f->g, COMMON(device_status), 1, 3); /* takes bits back */
    assert_int_equal(guest_status(&f->g), STATUS_LIVE);
    guest_write(&f->g, COMMON(device_status), 1, 0x8f); /* FAILED is noted */
    assert_int_equal(guest_status(&f->g), 0x8f);
    assert_int_equal(f->e.n_started, 1);
}

static void
queue__writes_after_driver_ok_change_nothing(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;
    uint64_t desc;

    guest_start(g, 0, 1);
    guest_write(g, COMMON(queue_select), 2, 0);
    desc = guest_read(g, COMMON(queue_desc_lo), 4);
    guest_write(g, COMMON(queue_desc_lo), 4, 0xdead0000);
    guest_write(g, COMMON(queue_avail_hi), 4, 0xffffffff);
    guest_write(g, COMMON(queue_size), 2, 2);
    guest_write(g, COMMON(queue_msix_vector), 2, 3);
    guest_write(g, COMMON(queue_enable), 2, 0);
    assert_int_equal(guest_read(g, COMMON(queue_desc_lo), 4), desc);
    assert_int_equal(guest_read(g, COMMON(queue_avail_hi), 4), 0);
    assert_int_equal(guest_read(g, COMMON(queue_size), 2), GUEST_QUEUE);
    assert_int_equal(guest_read(g, COMMON(queue_msix_vector), 2), 1);
    assert_int_equal(guest_read(g, COMMON(queue_enable), 2), 1);
    /* a queue that was not enabled stays so */
    guest_write(g, COMMON(queue_select), 2, 1);
    guest_write(g, COMMON(queue_enable), 2, 1);
    assert_int_equal(guest_read(g, COMMON(queue_enable), 2), 0);
    guest_kick(g, &(struct guest_queue){.index = 1});
    send(f, &g->q[0]);
    assert_int_equal(guest_wait(g, &g->q[0]).len, 16);
}

static void
queue__indexes_out_of_range_are_harmless(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;

    guest_negotiate(g, 0);
    guest_write(g, COMMON(queue_select), 2, 3);
    assert_int_equal(guest_read(g, COMMON(queue_size), 2), 0);
    guest_write(g, COMMON(queue_enable), 2, 1);
    assert_int_equal(guest_read(g, COMMON(queue_enable), 2), 0);
    guest_write(g, COMMON(queue_select), 2, 0xffff);
    guest_write(g, COMMON(queue_desc_lo), 4, 1);
    guest_write(g, COMMON(queue_select), 2, 0);
    guest_write(g, COMMON(queue_msix_vector), 2, 4);
    assert_int_equal(guest_read(g, COMMON(queue_msix_vector), 2), 0xffff);
    guest_write(g, COMMON(msix_config), 2, 1000);
    assert_int_equal(guest_read(g, COMMON(msix_config), 2), 0xffff);
    guest_write(g, COMMON(queue_size), 2, 3);
    guest_write(g, COMMON(queue_size), 2, 2 * GUEST_QUEUE);
    guest_write(g, COMMON(queue_size), 2, 0);
    assert_int_equal(guest_read(g, COMMON(queue_size), 2), GUEST_QUEUE);
    guest_write(g, VPCI_NOTIFY + 3 * VPCI_NOTIFY_STEP, 2, 3);
    guest_write(g, VPCI_NOTIFY + 0xffc, 4, 0xffffffff);
    guest_settle(g);
}

static void
queue__outside_of_memory_needs_reset(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;

    guest_negotiate(g, 0);
    guest_write(g, COMMON(queue_select), 2, 0);
    guest_write(g, COMMON(queue_desc_lo), 8, UINT64_C(0xfffffffffffffff0));
    assert_int_equal(guest_read(g, COMMON(queue_desc_lo), 8),
                     UINT64_C(0xfffffffffffffff0));
    guest_write(g, COMMON(queue_enable), 2, 1);
    guest_driver_ok(g);
    assert_int_equal(guest_status(g),
                     STATUS_LIVE | VIRTIO_CONFIG_S_NEEDS_RESET);
    assert_int_equal(guest_interrupts(g, 0), 1);
    guest_reset(g);
    guest_start(g, 0, 1);
    send(f, &g->q[0]);
    guest_wait(g, &g->q[0]);
}

static void
ring__malformed_stops_this_device_alone(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;
    struct guest_seg bad = {GUEST_WINDOW, 16, true};
    struct vring_used_elem e;

    guest_start(g, 0, 2);
    guest_send(g, &g->q[0], &bad, 1);
    guest_wait_needs_reset(g);
    send(f, &g->q[1]);
    guest_settle(g);
    assert_false(guest_used(g, &g->q[1], &e));
    assert_int_equal(f->e.v->n_faults, 1);
    /* the driver cannot write it away */
    guest_write(g, COMMON(device_status), 1, STATUS_LIVE);
    assert_true(guest_status(g) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

static void
access__odd_width_or_place_reads_ones(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;

    assert_int_equal(guest_read(g, COMMON(device_status), 4) & 0xffffffff,
                     0xffffffff);
    assert_int_equal(guest_read(g, COMMON(num_queues), 1) & 0xff, 0xff);
    assert_int_equal(guest_read(g, COMMON(queue_desc_lo) + 2, 2) & 0xffff,
                     0xffff);
    assert_int_equal(guest_read(g, COMMON(device_feature), 8), UINT64_MAX);
    assert_int_equal(guest_read(g, 0x38, 4) & 0xffffffff, 0xffffffff);
    assert_int_equal(guest_read(g, 0xffc, 4) & 0xffffffff, 0xffffffff);
    guest_write(g, COMMON(device_status), 4, 0x03030303);
    guest_write(g, COMMON(device_status), 2, 0x0101);
    assert_int_equal(guest_status(g), 0);
    guest_read(g, 0x6000, 8);
    guest_write(g, 0x7ff8, 8, UINT64_MAX);
    uint64_t v = 1;
    assert_false(
        bus_access(g->bus, BUS_MMIO, g->bar + 0x8000 - 4, 8, true, &v));
}

static void
config__reads_within_and_ones_past_the_end(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;

    assert_int_equal(guest_read(g, VPCI_DEVICE, 4), 0x64636261);
    assert_int_equal(guest_read(g, VPCI_DEVICE + 11, 1), 'l');
    assert_int_equal(guest_read(g, VPCI_DEVICE + 8, 8), UINT64_MAX);
    assert_int_equal(guest_read(g, VPCI_DEVICE + 12, 1) & 0xff, 0xff);
    assert_int_equal(guest_read(g, VPCI_DEVICE + 0xff8, 8), UINT64_MAX);
    guest_write(g, VPCI_DEVICE, 4, 0); /* read-only */
    assert_int_equal(guest_read(g, VPCI_DEVICE, 4), 0x64636261);
    assert_int_equal(f->e.n_config, 0);
    guest_write(g, VPCI_DEVICE + 8, 4, 7);
    assert_int_equal(guest_read(g, VPCI_DEVICE + 8, 4), 7);
    assert_int_equal(f->e.n_config, 1);
    guest_write(g, VPCI_DEVICE + 11, 2, 0xffff);
    guest_write(g, VPCI_DEVICE + 100, 4, 0xffff);
    assert_int_equal(f->e.n_config, 1);
}

static void
config__change_has_a_new_generation(void **state)
{
    struct fixture *f = *state;
    unsigned before = (unsigned)guest_read(&f->g, COMMON(config_generation), 1);

    guest_start(&f->g, 0, 1);
    pthread_mutex_lock(&f->e.v->lock);
    f->e.v->config[0] = 'z';
    virtio_config_changed(f->e.v);
    pthread_mutex_unlock(&f->e.v->lock);
    assert_int_equal(guest_read(&f->g, COMMON(config_generation), 1),
                     before + 1);
    assert_int_equal(guest_interrupts(&f->g, 0), 1);
    assert_int_equal(guest_read(&f->g, VPCI_ISR, 1), 2);
}

static void
reset__in_flight_is_awaited(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;
    struct vring_used_elem e;

    set_held(f, true);
    guest_start(g, 0, 1);
    send(f, &g->q[0]);
    guest_settle(g);
    assert_int_equal(f->e.n_held, 1);
    guest_write(g, COMMON(device_status), 1, 0);
    assert_int_not_equal(guest_status(g), 0); /* not yet */
    /* what a driver does meanwhile has no effect */
    guest_write(g, COMMON(device_status), 1, 1);
    guest_write(g, COMMON(queue_select), 2, 1);
    guest_write(g, COMMON(queue_enable), 2, 1);
    guest_write(g, VPCI_DEVICE + 8, 4, 7);
    guest_kick(g, &g->q[0]);
    guest_settle(g);
    assert_int_not_equal(guest_status(g), 0);
    /* the last one comes back, after its ring is gone */
    pthread_mutex_lock(&f->e.v->lock);
    assert_true(f->e.in_reset);
    virtio_push(f->e.v, 0, f->e.held[0], 16);
    virtio_flush(f->e.v, 0);
    f->e.n_held = 0;
    f->e.hold = false;
    virtio_reset_done(f->e.v);
    pthread_mutex_unlock(&f->e.v->lock);
    assert_int_equal(guest_status(g), 0);
    assert_false(guest_used(g, &g->q[0], &e));
    assert_int_equal(f->e.n_config, 0);
    guest_start(g, 0, 1);
    send(f, &g->q[0]);
    assert_int_equal(guest_wait(g, &g->q[0]).len, 16);
}

static void
pause__takes_nothing_until_resume(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;
    struct vring_used_elem e;

    guest_start(g, 0, 1);
    virtio_pause(f->e.v);
    send(f, &g->q[0]);
    guest_settle(g);
    assert_false(guest_used(g, &g->q[0], &e));
    virtio_resume(f->e.v);
    assert_int_equal(guest_wait(g, &g->q[0]).len, 16);
}

static void
bus_master__off_means_no_dma(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;
    struct vring_used_elem e;

    guest_start(g, 0, 1);
    guest_cfg_write(g, g->slot, 4, 2, 2);
    send(f, &g->q[0]);
    guest_settle(g);
    assert_false(guest_used(g, &g->q[0], &e));
    guest_cfg_write(g, g->slot, 4, 2, 6);
    assert_int_equal(guest_wait(g, &g->q[0]).len, 16);
}

static void
batch__longer_than_a_turn_completes(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;
    struct guest_seg s = {f->data, 16, true};

    guest_start(g, VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX), 1);
    for (unsigned i = 0; i < 10 * VIRTIO_BATCH; i++) {
        uint16_t head = guest_chain(g, &g->q[0], &s, 1);
        uint16_t *used_event =
            guest_at(g, g->q[0].avail + 4 + 2U * g->q[0].size, 2);

        __atomic_store_n(used_event, g->q[0].last_used, __ATOMIC_SEQ_CST);
        guest_offer(g, &g->q[0], head);
        if (i % 40 == 0 ||
            (uint16_t)(g->q[0].avail_idx - g->q[0].last_used) > 40)
            guest_kick(g, &g->q[0]);
        while ((uint16_t)(g->q[0].avail_idx - g->q[0].last_used) > 40)
            guest_wait(g, &g->q[0]);
    }
    guest_kick(g, &g->q[0]);
}

static unsigned
cfg_cap(struct guest *g)
{
    unsigned at = guest_cfg_read(g, g->slot, 0x34, 1);

    while (guest_cfg_read(g, g->slot, at, 1) != 9 ||
           guest_cfg_read(g, g->slot, at + 3, 1) != VIRTIO_PCI_CAP_PCI_CFG)
        at = guest_cfg_read(g, g->slot, at + 1, 1);
    return at;
}

static void
cfg_window__reads_and_writes_registers(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;
    unsigned cap = cfg_cap(g);

    guest_cfg_write(g, g->slot, cap + 8, 4, VPCI_DEVICE);
    guest_cfg_write(g, g->slot, cap + 12, 4, 4);
    assert_int_equal(guest_cfg_read(g, g->slot, cap + 16, 4), 0x64636261);
    guest_cfg_write(g, g->slot, cap + 8, 4, COMMON(device_status));
    guest_cfg_write(g, g->slot, cap + 12, 4, 1);
    guest_cfg_write(g, g->slot, cap + 16, 1, 1);
    assert_int_equal(guest_status(g), 1);
}

static void
cfg_window__bad_place_or_length_does_nothing(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;
    unsigned cap = cfg_cap(g);
    const uint32_t bad[][3] = {
        {0, VPCI_BAR_SIZE, 4},
        {0, 0xfffffffc, 4},
        {0, 1, 4},
        {0, 0, 0},
        {0, 0, 3},
        {0, 0, 0xffffffff},
        {0, 0, 8},
        {1, VPCI_DEVICE, 4},
        {5, VPCI_DEVICE, 4},
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        guest_cfg_write(g, g->slot, cap + 4, 1, bad[i][0]);
        guest_cfg_write(g, g->slot, cap + 8, 4, bad[i][1]);
        guest_cfg_write(g, g->slot, cap + 12, 4, bad[i][2]);
        guest_cfg_write(g, g->slot, cap + 16, 4, 0x01010101);
        assert_int_equal(guest_cfg_read(g, g->slot, cap + 16, 4), 0x01010101);
    }
    assert_int_equal(guest_status(g), 0);
}

static int
ioevent_add(void *self, uint64_t addr, int fd)
{
    uint64_t *seen = self;

    (void)fd;
    seen[0]++;
    seen[1] = addr;
    return 0;
}

static void
ioevent_del(void *self, uint64_t addr, int fd)
{
    (void)addr;
    (void)fd;
    ((uint64_t *)self)[0]--;
}

static void
ioevents__follow_the_bar(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;
    uint64_t seen[2] = {0};
    struct virtio_pci_ioevent io = {ioevent_add, ioevent_del, seen};

    guest_unplug(g);
    assert_int_equal(virtio_pci_new(g->pci, f->e.v, 0x00ff00, &io, &g->t), 0);
    assert_int_equal(seen[0], 0);
    guest_cfg_write(g, g->slot, 4, 2, 2);
    assert_int_equal(seen[0], 3);
    guest_cfg_write(g, g->slot, 0x10, 4, GUEST_WINDOW + 0x800000);
    assert_int_equal(seen[0], 3);
    assert_int_equal(seen[1], GUEST_WINDOW + 0x800000 + VPCI_NOTIFY +
                                  2 * VPCI_NOTIFY_STEP);
    guest_cfg_write(g, g->slot, 0x10, 4, 0);
    assert_int_equal(seen[0], 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(device__has_the_identity_of_its_type),
        T(capabilities__describe_the_bar),
        T(start__negotiates_and_moves_data),
        T(features__unoffered_or_legacy_are_refused),
        T(features__written_late_do_not_change),
        T(status__out_of_phase_is_refused),
        T(queue__writes_after_driver_ok_change_nothing),
        T(queue__indexes_out_of_range_are_harmless),
        T(queue__outside_of_memory_needs_reset),
        T(ring__malformed_stops_this_device_alone),
        T(access__odd_width_or_place_reads_ones),
        T(config__reads_within_and_ones_past_the_end),
        T(config__change_has_a_new_generation),
        T(reset__in_flight_is_awaited),
        T(pause__takes_nothing_until_resume),
        T(bus_master__off_means_no_dma),
        T(batch__longer_than_a_turn_completes),
        T(cfg_window__reads_and_writes_registers),
        T(cfg_window__bad_place_or_length_does_nothing),
        T(ioevents__follow_the_bar),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
