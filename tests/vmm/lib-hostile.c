/* lib-hostile.c - what a guest may do wrong with any device; see
 * lib-hostile.h. */
#include "tests/vmm/lib-hostile.h"

#include <linux/virtio_blk.h>

#define INDIRECT BIT(VIRTIO_RING_F_INDIRECT_DESC)
#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define TABLE VRING_DESC_F_INDIRECT

static uint8_t *buffer; /* a page that nobody minds */

static bool
good_rng(struct vdev *d)
{
    uint8_t *p = buffer;
    struct seg s = IN(p, 32);

    return vq_do(d, &d->q[0], &s, 1) == 32;
}

static bool
good_blk(struct vdev *d)
{
    static struct virtio_blk_outhdr h = {.type = VIRTIO_BLK_T_IN};
    static volatile uint8_t status;
    struct seg s[] = {OUT(&h, sizeof(h)), IN(buffer, 512), IN(&status, 1)};

    status = 0xff;
    vq_do(d, &d->q[0], s, 3);
    return status == VIRTIO_BLK_S_OK;
}

bool
hostile_begin(struct target *t, unsigned id)
{
    bool rng = id == VIRTIO_ID_RNG;
    bool ok;

    buffer = alloc(4096, 4096);
    t->bystander_good = rng ? good_blk : good_rng;
    ok = vdev_find(&t->d, id, 0) &&
         vdev_find(&t->bystander, rng ? VIRTIO_ID_BLOCK : VIRTIO_ID_RNG, 0) &&
         vdev_start(&t->bystander, 0, 1);
    check(ok && hostile_start(t, 0) && t->good(t), "begin");
    return ok;
}

bool
hostile_start(struct target *t, uint64_t features)
{
    return vdev_start(&t->d, t->features | features, t->n_queues);
}

static void
result(struct target *t, bool ok, const char *what)
{
    ok = ok && t->bystander_good(&t->bystander);
    check(ok && hostile_start(t, 0) && t->good(t), what);
}

void
hostile_must_fail(struct target *t, const char *what)
{
    vdev_wait_fault(&t->d);
    /* And it stays so, whatever the driver writes but 0. */
    vdev_set_status(&t->d, STATUS_LIVE);
    result(t, vdev_status(&t->d) == (STATUS_LIVE | VIRTIO_CONFIG_S_NEEDS_RESET),
           what);
}

void
hostile_must_serve(struct target *t, const char *what)
{
    bool ok = t->good(t) && vdev_status(&t->d) == STATUS_LIVE;

    result(t, ok, what);
}

void
hostile_kick(struct target *t, unsigned q)
{
    mmio_write(t->d.q[q].notify, 2, q);
}

void
hostile_send(struct target *t, unsigned q, const struct seg *s, unsigned n)
{
    vq_offer(&t->d.q[q], vq_chain(&t->d, &t->d.q[q], s, n));
    hostile_kick(t, q);
}

/* --- lies in a ring --- */

static void
desc(struct vring_desc *d, uint64_t addr, uint32_t len, unsigned flags,
     unsigned next)
{
    *d = (struct vring_desc){addr, len, (uint16_t)flags, (uint16_t)next};
}

static void
self_cycle(struct vq *q)
{
    desc(&q->desc[0], (uintptr_t)buffer, 4, NEXT, 0);
}

static void
long_cycle(struct vq *q)
{
    for (unsigned i = 0; i < q->size; i++)
        desc(&q->desc[i], (uintptr_t)buffer, 4, NEXT, (i + 1) % q->size);
}

static void
next_outside(struct vq *q)
{
    desc(&q->desc[0], (uintptr_t)buffer, 4, NEXT, q->size);
}

static void
next_far_outside(struct vq *q)
{
    desc(&q->desc[0], (uintptr_t)buffer, 4, NEXT, 0xffff);
}

static void
wraps(struct vq *q)
{
    desc(&q->desc[0], UINT64_MAX - 7, 64, WRITE, 0);
}

static void
in_hole(struct vq *q)
{
    desc(&q->desc[0], HOLE, 64, WRITE, 0);
}

static void
past_ram(struct vq *q)
{
    desc(&q->desc[0], PAST_RAM, 64, 0, 0);
}

static void
over_ram_end(struct vq *q)
{
    desc(&q->desc[0], (uintptr_t)buffer, 0xffffffff, 0, 0);
}

static void
in_lapic(struct vq *q)
{
    desc(&q->desc[0], 0xfee00000, 64, WRITE, 0);
}

static void
empty(struct vq *q)
{
    desc(&q->desc[0], (uintptr_t)buffer, 0, 0, 0);
}

static void
too_much(struct vq *q)
{
    for (unsigned i = 0; i < q->size; i++)
        desc(&q->desc[i], 0, 4 << 20, i + 1u < q->size ? NEXT : 0, i + 1);
}

static void
readable_last(struct vq *q)
{
    desc(&q->desc[0], (uintptr_t)buffer, 4, NEXT | WRITE, 1);
    desc(&q->desc[1], (uintptr_t)buffer, 4, 0, 0);
}

static void
not_negotiated(struct vq *q)
{
    desc(&q->table[0], (uintptr_t)buffer, 64, 0, 0);
    desc(&q->desc[0], (uintptr_t)q->table, 16, TABLE, 0);
}

static void
nested(struct vq *q)
{
    desc(&q->table[0], (uintptr_t)(q->table + 1), 16, TABLE, 0);
    desc(&q->table[1], (uintptr_t)buffer, 16, 0, 0);
    desc(&q->desc[0], (uintptr_t)q->table, 16, TABLE, 0);
}

static void
table_in_itself(struct vq *q)
{
    desc(&q->desc[0], (uintptr_t)q->desc, 16, TABLE, 0);
}

static void
table_odd(struct vq *q)
{
    desc(&q->table[0], (uintptr_t)buffer, 16, 0, 0);
    desc(&q->desc[0], (uintptr_t)q->table, 17, TABLE, 0);
}

static void
table_empty(struct vq *q)
{
    desc(&q->desc[0], (uintptr_t)q->table, 0, TABLE, 0);
}

static void
table_huge(struct vq *q)
{
    desc(&q->desc[0], (uintptr_t)q->table, 0xfffffff0, TABLE, 0);
}

static void
table_in_hole(struct vq *q)
{
    desc(&q->desc[0], HOLE, 64, TABLE, 0);
}

static void
table_wraps(struct vq *q)
{
    desc(&q->desc[0], UINT64_MAX - 15, 64, TABLE, 0);
}

static void
table_and_next(struct vq *q)
{
    desc(&q->table[0], (uintptr_t)buffer, 16, 0, 0);
    desc(&q->desc[0], (uintptr_t)q->table, 16, TABLE | NEXT, 1);
    desc(&q->desc[1], (uintptr_t)buffer, 4, 0, 0);
}

static void
table_next_outside(struct vq *q)
{
    desc(&q->table[0], (uintptr_t)buffer, 4, NEXT, 2);
    desc(&q->desc[0], (uintptr_t)q->table, 32, TABLE, 0);
}

static void
table_cycle(struct vq *q)
{
    desc(&q->table[0], (uintptr_t)buffer, 4, NEXT, 1);
    desc(&q->table[1], (uintptr_t)buffer, 4, NEXT, 0);
    desc(&q->desc[0], (uintptr_t)q->table, 32, TABLE, 0);
}

static void
table_long(struct vq *q)
{
    unsigned n = 2u * q->size;

    for (unsigned i = 0; i < n; i++)
        desc(&q->table[i], (uintptr_t)buffer, 4, i + 1 < n ? NEXT : 0, i + 1);
    desc(&q->desc[0], (uintptr_t)q->table, 16 * n, TABLE, 0);
}

void
hostile_rings(struct target *t)
{
    static const struct {
        const char *what;
        void (*lie)(struct vq *q);
        bool indirect;
    } lies[] = {
        {"descriptor that follows itself", self_cycle, false},
        {"cycle of the whole table", long_cycle, false},
        {"next descriptor outside of the table", next_outside, false},
        {"next descriptor far outside", next_far_outside, false},
        {"address that wraps", wraps, false},
        {"address in the hole", in_hole, false},
        {"address behind memory", past_ram, false},
        {"length beyond memory", over_ram_end, false},
        {"address of the interrupt controller", in_lapic, false},
        {"empty buffer", empty, false},
        {"more bytes than the device takes", too_much, false},
        {"readable after writable", readable_last, false},
        {"indirect, not negotiated", not_negotiated, false},
        {"indirect, nested", nested, true},
        {"indirect, the ring as table", table_in_itself, true},
        {"indirect, odd size", table_odd, true},
        {"indirect, empty", table_empty, true},
        {"indirect, huge", table_huge, true},
        {"indirect, in the hole", table_in_hole, true},
        {"indirect, wraps", table_wraps, true},
        {"indirect with a next one", table_and_next, true},
        {"indirect, next outside", table_next_outside, true},
        {"indirect, cycle", table_cycle, true},
        {"indirect, longer than the ring", table_long, true},
    };
    struct vq *q = &t->d.q[t->q];

    for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
        hostile_start(t, lies[i].indirect ? INDIRECT : 0);
        lies[i].lie(q);
        vq_offer(q, 0);
        hostile_kick(t, t->q);
        hostile_must_fail(t, lies[i].what);
    }
    /* A buffer in a device's own registers, and the ring's indexes. */
    hostile_start(t, 0);
    desc(&q->desc[0], t->d.bar, 64, WRITE, 0);
    vq_offer(q, 0);
    hostile_kick(t, t->q);
    hostile_must_fail(t, "address in its own BAR");
    hostile_start(t, 0);
    vq_offer(q, q->size);
    hostile_kick(t, t->q);
    hostile_must_fail(t, "head outside of the table");
    hostile_start(t, 0);
    desc(&q->desc[0], (uintptr_t)buffer, 4, 0, 0);
    q->avail[1] = (uint16_t)(q->size + 1);
    hostile_kick(t, t->q);
    hostile_must_fail(t, "available index that jumps");
    hostile_start(t, 0);
    q->avail[1] = 0xffff;
    hostile_kick(t, t->q);
    hostile_must_fail(t, "available index that goes back");
}

/* --- lies about where the rings are --- */

static void
queue_lie(struct target *t, uint64_t desc_at, uint64_t avail_at,
          uint64_t used_at, const char *what)
{
    vdev_begin(&t->d, t->features);
    vdev_queue_registers(&t->d, t->q, t->d.q[t->q].size, desc_at, avail_at,
                         used_at);
    vdev_set_status(&t->d, STATUS_LIVE);
    hostile_must_fail(t, what);
}

void
hostile_queues(struct target *t)
{
    struct vq *q = &t->d.q[t->q];
    uint64_t d, a, u;

    hostile_start(t, 0);
    d = (uintptr_t)q->desc;
    a = (uintptr_t)q->avail;
    u = (uintptr_t)q->used;
    queue_lie(t, d + 8, a, u, "descriptors misaligned");
    queue_lie(t, d, a + 1, u, "available ring misaligned");
    queue_lie(t, d, a, u + 2, "used ring misaligned");
    queue_lie(t, HOLE, a, u, "descriptors in the hole");
    queue_lie(t, d, PAST_RAM, u, "available ring behind memory");
    queue_lie(t, d, a, HOLE, "used ring in the hole");
    queue_lie(t, d, a, t->d.bar, "used ring in a BAR");
    queue_lie(t, d, a, UINT64_MAX - 3, "used ring wraps");
    queue_lie(t, UINT64_MAX - 15, a, u, "descriptors wrap");
    queue_lie(t, d, a, HOLE - 8, "used ring reaches into the hole");
}

/* --- registers --- */

static void
out_of_phase(struct target *t)
{
    struct vdev *d = &t->d;
    bool ok;

    vdev_reset(d);
    vdev_set_status(d, 2); /* DRIVER without ACKNOWLEDGE */
    ok = vdev_status(d) == 0;
    vdev_set_status(d, STATUS_LIVE); /* all at once */
    ok = ok && vdev_status(d) == 0;
    vdev_set_status(d, 3);
    mmio_write(COMMON(d, guest_feature_select), 4, 0);
    mmio_write(COMMON(d, guest_feature), 4, 0xffffffff);
    mmio_write(COMMON(d, guest_feature_select), 4, 1);
    mmio_write(COMMON(d, guest_feature), 4, 0xffffffff);
    vdev_set_status(d, 11);
    ok = ok && vdev_status(d) == 3; /* not offered: not taken */
    vdev_set_status(d, 7);          /* DRIVER_OK without FEATURES_OK */
    ok = ok && vdev_status(d) == 3;
    check(ok, "status and features out of phase");
}

void
hostile_registers(struct target *t)
{
    struct vdev *d = &t->d;
    struct vq *q = &d->q[t->q];
    uint64_t features;
    bool ok;

    out_of_phase(t);
    vdev_begin(d, t->features);
    mmio_write(COMMON(d, queue_select), 2, t->q);
    for (unsigned i = 0; i < 4; i++) {
        static const uint16_t sizes[] = {0, 3, 0x8000, 0xffff};

        mmio_write(COMMON(d, queue_size), 2, sizes[i]);
    }
    ok = mmio_read(COMMON(d, queue_size), 2) - 1 < 0x8000;
    mmio_write(COMMON(d, queue_msix_vector), 2, 40);
    ok = ok && mmio_read(COMMON(d, queue_msix_vector), 2) == 0xffff;
    mmio_write(COMMON(d, msix_config), 2, 0xfffe);
    ok = ok && mmio_read(COMMON(d, msix_config), 2) == 0xffff;
    mmio_write(COMMON(d, queue_select), 2, 0xffff);
    mmio_write(COMMON(d, queue_enable), 2, 1);
    ok = ok && mmio_read(COMMON(d, queue_size), 2) == 0 &&
         mmio_read(COMMON(d, queue_enable), 2) == 0;
    check(ok, "sizes, vectors and queues that are not there");

    /* From here on it is live, and nothing of this may be noticed. */
    hostile_start(t, 0);
    mmio_write(d->notify + 33ul * d->notify_step, 2, 33);
    mmio_write(d->notify + 0xffc, 4, 0xffffffff);
    mmio_write(d->notify, 8, 0);
    mmio_write(d->notify + 1, 1, 0);
    hostile_must_serve(t, "notifications of odd width and place");
    hostile_start(t, 0);
    vdev_queue_registers(d, t->q, 2, HOLE, 1, UINT64_MAX);
    mmio_write(COMMON(d, queue_enable), 2, 0);
    ok = mmio_read(COMMON(d, queue_desc_lo), 8) == (uintptr_t)q->desc &&
         mmio_read(COMMON(d, queue_size), 2) == q->size &&
         mmio_read(COMMON(d, queue_enable), 2) == 1;
    check(ok, "queue registers are frozen");
    hostile_must_serve(t, "queue changed after DRIVER_OK");
    hostile_start(t, 0);
    features = d->features;
    mmio_write(COMMON(d, guest_feature_select), 4, 0);
    mmio_write(COMMON(d, guest_feature), 4, ~features);
    vdev_set_status(d, 3);
    hostile_must_serve(t, "features and status changed after DRIVER_OK");
    hostile_start(t, 0);
    mmio_write(COMMON(d, device_status), 4, 0);
    mmio_write(COMMON(d, device_status), 2, 0);
    ok = mmio_read(COMMON(d, device_status), 4) == 0xffffffff &&
         mmio_read(COMMON(d, num_queues), 1) == 0xff &&
         mmio_read(COMMON(d, queue_desc_lo) + 2, 2) == 0xffff &&
         mmio_read(d->common + 0x400, 4) == 0xffffffff &&
         mmio_read(d->device + 0xff0, 8) == UINT64_MAX;
    check(ok, "odd widths and places read as ones");
    /* Over the end of a structure's page, and of the BAR. */
    (void)mmio_read(d->device + 0xffc, 8);
    (void)mmio_read(d->bar + 0x7ffc, 8);
    mmio_write(d->bar + 0x7ffc, 8, UINT64_MAX);
    hostile_must_serve(t, "registers of odd width and place");
}

/* --- reset --- */

void
hostile_reset(struct target *t)
{
    struct vq *q = &t->d.q[t->q];
    bool ok = true;

    /* Work is under way, or about to be: after the reset nothing may be
     * written into the old ring. */
    for (unsigned i = 0; ok && i < 20; i++) {
        uint16_t idx;

        ok = hostile_start(t, INDIRECT);
        for (unsigned k = 0; k < q->size; k++)
            vq_offer(q, vq_chain(&t->d, q, t->work, t->n_work));
        hostile_kick(t, t->q);
        for (unsigned k = 0; k < 10 * i; k++)
            relax();
        vdev_reset(&t->d);
        idx = ((volatile uint16_t *)(void *)q->used)[1];
        ok = ok && t->bystander_good(&t->bystander) &&
             ((volatile uint16_t *)(void *)q->used)[1] == idx;
    }
    check(ok && hostile_start(t, 0) && t->good(t), "reset under way");
}

/* --- a second processor --- */

static struct vq *volatile flip_q;
static volatile bool flip_stop, flip_stopped;

static void
flip(void)
{
    unsigned i = 0;

    while (!flip_stop) {
        struct vq *q = flip_q;
        unsigned n = q->size / 4u, k = i / 3 % n;
        /* The ring, and the indirect tables that vq_chain() makes. */
        volatile struct vring_desc *d =
            i & 32 ? &q->desc[i % q->size] : &q->table[k * q->size + i % 3];

        switch (i++ / 5 % 10) {
        case 0:
            d->addr = HOLE;
            break;
        case 1:
            d->addr = (uintptr_t)buffer;
            break;
        case 2:
            d->len = 0xffffffff;
            break;
        case 3:
            d->len = 16;
            break;
        case 4:
            d->flags = TABLE;
            break;
        case 5:
            d->flags = NEXT | (i & 64 ? WRITE : 0);
            break;
        case 6:
            d->flags = WRITE;
            break;
        case 7:
            d->next = (uint16_t)(i & 128 ? i % 3 : 0xffff);
            break;
        case 8:
            q->avail[2 + k] = (uint16_t)(i & 128 ? q->size : k);
            break;
        default:
            buffer[i & 63] ^= (uint8_t)i;
            break;
        }
    }
    flip_stopped = true;
}

void
hostile_flip(struct target *t)
{
    struct vq *q = &t->d.q[t->q];

    flip_q = q;
    start_cpu(flip);
    for (unsigned round = 0; round < 200; round++) {
        hostile_start(t, round & 1 ? INDIRECT : 0);
        for (unsigned k = 0; k < q->size / 4; k++) {
            vq_offer(q, vq_chain(&t->d, q, t->work, t->n_work));
            hostile_kick(t, t->q);
        }
        if (vdev_status(&t->d) & VIRTIO_CONFIG_S_NEEDS_RESET)
            t->d.faults++;
    }
    flip_stop = true;
    while (!flip_stopped)
        relax();
    vdev_reset(&t->d);
    result(t, true, "memory that changes under the device");
}

void
hostile_end(struct target *t)
{
    vdev_reset(&t->d);
    vdev_reset(&t->bystander);
    put("faults ");
    put_number(t->d.faults);
    put("\n");
}
