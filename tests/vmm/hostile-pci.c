/* hostile-pci.c - ports, configuration space, MSI-X tables and BARs: wrong
 * widths and places, string operations, BARs moved about while a second
 * processor hammers them. Needs a disk, entropy and two processors. */
#include "tests/vmm/lib-hostile.h"

#define ONES UINT32_C(0xffffffff)
#define MSIX_CONTROL 2

void guest_main(void);

static uint8_t *p;

static bool
good(struct target *t)
{
    struct seg s = IN(p, 64);

    return vq_do(&t->d, &t->d.q[0], &s, 1) == 64;
}

static bool
both_good(struct target *t)
{
    return good(t) && t->bystander_good(&t->bystander);
}

/* --- ports --- */

static void
ins(unsigned port, unsigned size, unsigned n)
{
    void *to = p;

    if (size == 1)
        __asm__ volatile("rep insb" : "+D"(to), "+c"(n) : "d"(port) : "memory");
    else if (size == 2)
        __asm__ volatile("rep insw" : "+D"(to), "+c"(n) : "d"(port) : "memory");
    else
        __asm__ volatile("rep insl" : "+D"(to), "+c"(n) : "d"(port) : "memory");
}

static void
outs(unsigned port, unsigned size, unsigned n)
{
    const void *from = p;

    if (size == 1)
        __asm__ volatile("rep outsb"
                         : "+S"(from), "+c"(n)
                         : "d"(port)
                         : "memory");
    else if (size == 2)
        __asm__ volatile("rep outsw"
                         : "+S"(from), "+c"(n)
                         : "d"(port)
                         : "memory");
    else
        __asm__ volatile("rep outsl"
                         : "+S"(from), "+c"(n)
                         : "d"(port)
                         : "memory");
}

static void
ports(struct target *t)
{
    static const struct {
        uint16_t at, size;
    } ones[] = {
        {0x3f8, 2}, {0x3f8, 4}, {0x3fd, 4}, {0x3ff, 2}, {0xcf8, 1}, {0xcf8, 2},
        {0xcfe, 4}, {0xcff, 2}, {0x71, 2},  {0x505, 2}, {0x64, 4},  {0xffff, 1},
    };
    static const uint16_t strings[] = {0x3ff, 0x70,  0x71, 0xcfc,
                                       0xcf8, 0x600, 0x64, 0x1234};
    bool ok = true;

    for (size_t i = 0; i < ARRAY_SIZE(ones); i++) {
        uint32_t want = ones[i].size == 4 ? ONES : (1u << 8 * ones[i].size) - 1;

        if (in(ones[i].at, ones[i].size) != want) {
            put("port ");
            put_number(ones[i].at);
            put("\n");
            ok = false;
        }
        out(ones[i].at, ones[i].size, 0);
    }
    check(ok && both_good(t), "ports of odd width and over the end");
    (void)pci_read(t->d.slot, 0, 4);
    for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
        for (unsigned size = 1; size <= 4; size *= 2)
            ins(strings[i], size, 200);
    ins(0xcfc, 4, 16);
    ok = ((uint32_t *)(void *)p)[0] == pci_read(t->d.slot, 0, 4) &&
         ((uint32_t *)(void *)p)[15] == ((uint32_t *)(void *)p)[0];
    check(ok && both_good(t), "port strings in");
    memset(p, 0, 4096);
    /* Where nothing but zeroes may go: not the power management's. */
    outs(0x3ff, 1, 300);
    outs(0x3f8, 2, 300);
    outs(0x3f8, 4, 300);
    outs(0xcf8, 4, 300);
    outs(0xcfc, 1, 300);
    outs(0xcfc, 2, 300);
    outs(0xcfc, 4, 300);
    outs(0x71, 1, 300);
    outs(0x64, 1, 300);
    outs(0x1234, 4, 300);
    check(both_good(t), "port strings out");
}

/* --- configuration space --- */

static void
config(struct target *t)
{
    uint32_t id = pci_read(t->d.slot, 0, 4);
    bool ok = true;

    for (unsigned slot = 0; slot < 32; slot++)
        for (unsigned reg = 0; reg < 256; reg += 4)
            (void)pci_read(slot, reg, 1u << slot % 3);
    /* Other buses, functions and what has no enable bit. */
    out(0xcf8, 4, 0x80010000);
    ok = ok && in(0xcfc, 4) == ONES;
    out(0xcf8, 4, 0x80000100 | t->d.slot << 11);
    ok = ok && in(0xcfc, 4) == ONES;
    out(0xcf8, 4, t->d.slot << 11);
    ok = ok && in(0xcfc, 4) == ONES;
    out(0xcf8, 4, 0xffffffff);
    out(0xcfc, 4, 0);
    /* The identity is read-only. */
    pci_write(t->d.slot, 0, 4, 0);
    pci_write(t->d.slot, 8, 4, 0);
    pci_write(t->d.slot, 0x34, 1, 0);
    ok = ok && pci_read(t->d.slot, 0, 4) == id;
    check(ok && both_good(t), "configuration space");
}

/* --- MSI-X --- */

static void
msix(struct target *t)
{
    uint64_t table =
        t->d.bar + (pci_read(t->d.slot, t->d.msix_cap + 4, 4) & ~7u);
    uint64_t pba = t->d.bar + (pci_read(t->d.slot, t->d.msix_cap + 8, 4) & ~7u);
    uint64_t entry = mmio_read(table + 16, 8);
    bool ok = true;

    ok = mmio_read(table, 1) == 0xff && mmio_read(table + 16, 2) == 0xffff &&
         mmio_read(table + 18, 4) == ONES &&
         mmio_read(table + 20, 8) == UINT64_MAX &&
         mmio_read(table + 16 * 60, 4) == ONES && mmio_read(pba, 1) == 0xff &&
         mmio_read(pba + 2, 4) == ONES && mmio_read(pba + 64, 8) == UINT64_MAX;
    mmio_write(table + 16, 1, 0xff);
    mmio_write(table + 17, 2, 0xffff);
    mmio_write(table + 18, 4, ONES);
    mmio_write(table + 16 * 60, 8, UINT64_MAX);
    mmio_write(table + 0xffc, 8, UINT64_MAX);
    mmio_write(pba, 8, UINT64_MAX);
    mmio_write(pba + 1, 1, 0xff);
    check(ok && mmio_read(table + 16, 8) == entry && mmio_read(pba, 8) == 0 &&
              both_good(t),
          "MSI-X table and pending bits");
    /* Messages to nowhere: lost, for this device alone. */
    t->d.interrupts = true;
    for (unsigned i = 0; i < 4; i++) {
        static const uint64_t where[] = {0, UINT64_MAX, 0x100000,
                                         0xfee00000ffull << 8};

        mmio_write(table + 16, 8, where[i]);
        mmio_write(table + 24, 4, 0xffffffff);
        t->d.interrupts = true;
        ok = ok && hostile_start(t, 0);
        t->d.interrupts = false;
        ok = ok && good(t); /* by polling: the ring goes on */
    }
    mmio_write(table + 16, 8, 0xfee00000);
    mmio_write(table + 24, 4, GUEST_VECTOR + t->d.irq + 1);
    pci_write(t->d.slot, t->d.msix_cap + MSIX_CONTROL, 2, 0x4000);
    pci_write(t->d.slot, t->d.msix_cap + MSIX_CONTROL, 2, 0xffff);
    pci_write(t->d.slot, t->d.msix_cap + MSIX_CONTROL, 2, 0x8000);
    check(ok && hostile_start(t, 0) && both_good(t), "messages to nowhere");
    t->d.interrupts = true;
    check(hostile_start(t, 0) && both_good(t), "and back: by interrupts");
    t->d.interrupts = false;
    hostile_start(t, 0);
}

/* --- BARs --- */

static volatile uint64_t hammer_at;
static volatile bool hammer_stop, hammer_stopped;

/* Notifications, registers, table: as fast as it can, wherever it is. */
static void
hammer(void)
{
    while (!hammer_stop) {
        uint64_t at = hammer_at;

        mmio_write(at + 0x3000, 2, 0);
        (void)mmio_read(at + 20, 1);
        (void)mmio_read(at + 0x2000, 4);
        (void)mmio_read(at + 0x4000, 8);
        mmio_write(at + 0x3000, 4, 0);
    }
    hammer_stopped = true;
}

static void
move(struct vdev *d, uint64_t to)
{
    pci_write(d->slot, 0x10, 4, (uint32_t)to);
    pci_write(d->slot, 0x14, 4, (uint32_t)(to >> 32));
}

static bool
answers_at(struct vdev *d, uint64_t at)
{
    /* num_queues: never ones, and RAM there holds something else. */
    return (uint16_t)mmio_read(at + (COMMON(d, num_queues) - d->bar), 2) ==
           (uint16_t)mmio_read(COMMON(d, num_queues), 2);
}

static void
bars(struct target *t)
{
    struct vdev *d = &t->d;
    uint64_t home = d->bar, other = t->bystander.bar;
    const uint64_t bad[] = {
        0,          0x100000,    0x700000,           0xb0000000,
        HOLE,       0xfebff000,  0xfec00000,         0xfee00000,
        0xfffff000, 0x100000000, UINT64_MAX & ~15ul, other};
    const uint64_t window = UINT64_C(0xe0000000);
    uint64_t *ram = (uint64_t *)0x700000;
    bool ok = true;

    for (unsigned i = 0; i < 4096; i++)
        ram[i] = i * UINT64_C(0x0101010101010101);
    hammer_at = home;
    start_cpu(hammer);
    for (unsigned round = 0; ok && round < 40; round++) {
        uint64_t to = window + (round % 7) * 0x100000;

        move(d, to);
        hammer_at = round & 1 ? to : home;
        ok = ok && mmio_read(to + 20, 1) == STATUS_LIVE;
        mmio_write(to + 0x3000, 2, 0);
        /* Off and on while the other one rings the bell. */
        pci_write(d->slot, 4, 2, 0);
        ok = ok && mmio_read(to + 20, 1) == 0xff;
        pci_write(d->slot, 4, 2, 6);
        /* Where no BAR may be: nothing answers, RAM stays what it is. */
        move(d, bad[round % ARRAY_SIZE(bad)]);
        ok = ok && mmio_read(to + 20, 1) == 0xff &&
             answers_at(&t->bystander, other);
        for (unsigned i = 0; i < 4096; i += 64)
            ok = ok && ram[i] == i * UINT64_C(0x0101010101010101);
        /* Two change places. */
        move(&t->bystander, to);
        move(d, other);
        ok = ok && mmio_read(other + 20, 1) == STATUS_LIVE &&
             mmio_read(to + 20, 1) == STATUS_LIVE;
        move(d, home);
        move(&t->bystander, other);
        hammer_at = home;
        ok = ok && mmio_read(home + 20, 1) == STATUS_LIVE && both_good(t);
    }
    check(ok, "BARs moved about");
    /* No bus master: no work is done, and it is when it is one again. */
    pci_write(d->slot, 4, 2, 2);
    vq_offer(&d->q[0], vq_chain(d, &d->q[0], &IN(p, 64), 1));
    hostile_kick(t, 0);
    ok = t->bystander_good(&t->bystander) &&
         ((volatile uint16_t *)(void *)d->q[0].used)[1] == d->q[0].last_used;
    pci_write(d->slot, 4, 2, 6);
    check(ok && vq_wait(d, &d->q[0]) == 64, "no work without bus master");
    hammer_stop = true;
    while (!hammer_stopped)
        relax();
    check(both_good(t), "after all");
}

void
guest_main(void)
{
    struct target t = {.n_queues = 1, .good = good};

    put("hostile pci begin\n");
    irq_init();
    p = alloc(8192, 4096);
    if (!hostile_begin(&t, VIRTIO_ID_RNG))
        return;
    ports(&t);
    config(&t);
    msix(&t);
    bars(&t);
    hostile_end(&t);
    put("hostile pci end\n");
}
