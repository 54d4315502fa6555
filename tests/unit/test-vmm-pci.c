/* test-vmm-pci.c - config space, BARs and MSI-X as a guest meets them. */
#include <config.h>

#include "tests/unit/vmm-guest.h"

#include <string.h>

#include "hypervisor-backend/vmm/msix.h"

#define BAR_SIZE 0x4000U
#define TABLE 0x1000U
#define PBA 0x2000U

struct dev {
    struct pci_dev *d;
    struct msix *m;
    uint64_t base, last_write;
    unsigned config_writes;
};

static uint64_t
dev_read(void *self, unsigned bar, uint64_t offset, unsigned size)
{
    struct dev *d = self;
    uint64_t v;

    (void)bar;
    if (d->m && msix_read(d->m, offset, size, &v))
        return v;
    return 0xab00 | offset;
}

static void
dev_write(void *self, unsigned bar, uint64_t offset, unsigned size,
          uint64_t value)
{
    struct dev *d = self;

    (void)bar;
    if (d->m && msix_write(d->m, offset, size, value))
        return;
    d->last_write = value;
}

static void
dev_config_write(void *self, unsigned offset, unsigned size)
{
    struct dev *d = self;

    (void)offset;
    (void)size;
    d->config_writes++;
    if (d->m)
        msix_config_write(d->m);
}

static void
dev_mapped(void *self, unsigned bar, uint64_t base)
{
    struct dev *d = self;

    (void)bar;
    d->base = base;
}

static const struct pci_dev_ops ops = {.name = "test",
                                       .bar_read = dev_read,
                                       .bar_write = dev_write,
                                       .config_write = dev_config_write,
                                       .bar_mapped = dev_mapped};
static const struct pci_info info = {
    .vendor = 0x1234, .device = 0x5678, .class_code = 0xff0000, .revision = 3};

struct fixture {
    struct guest g;
    struct dev a, b;
};

static void
add(struct fixture *f, struct dev *d)
{
    *d = (struct dev){.base = PCI_UNMAPPED};
    assert_int_equal(pci_add(f->g.pci, &info, &ops, d, &d->d), 0);
    assert_int_equal(pci_dev_bar(d->d, 0, BAR_SIZE), 0);
    assert_int_equal(msix_new(f->g.pci, d->d, 4, 0, TABLE, PBA, &d->m), 0);
    pci_dev_plug(d->d);
}

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    guest_new(&f->g, GUEST_MIB);
    add(f, &f->a);
    add(f, &f->b);
    f->g.slot = pci_dev_slot(f->a.d);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    pci_del(f->a.d);
    pci_del(f->b.d);
    msix_free(f->a.m);
    msix_free(f->b.m);
    guest_free(&f->g);
    free(f);
    return 0;
}

static void
set_bar(struct fixture *f, struct dev *d, uint64_t base)
{
    unsigned slot = pci_dev_slot(d->d);

    guest_cfg_write(&f->g, slot, 0x10, 4, (uint32_t)base);
    guest_cfg_write(&f->g, slot, 0x14, 4, (uint32_t)(base >> 32));
}

static void
config__read_gives_identity(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(guest_cfg_read(&f->g, 0, 0, 4), 0x00081b36);
    assert_int_equal(guest_cfg_read(&f->g, 0, 0x0a, 2), 0x0600);
    assert_int_equal(guest_cfg_read(&f->g, 1, 0, 4), 0x56781234);
    assert_int_equal(guest_cfg_read(&f->g, 1, 8, 4), 0xff000003);
    /* identity is read-only */
    guest_cfg_write(&f->g, 1, 0, 4, 0);
    assert_int_equal(guest_cfg_read(&f->g, 1, 0, 4), 0x56781234);
}

static void
config__nobody_there_reads_ones(void **state)
{
    struct fixture *f = *state;
    uint64_t v = 0x80010000; /* bus 1 */

    assert_int_equal(guest_cfg_read(&f->g, 9, 0, 4), 0xffffffff);
    assert_int_equal(guest_cfg_read(&f->g, 9, 0, 2), 0xffff);
    guest_cfg_write(&f->g, 9, 4, 4, 0x6);
    assert_true(bus_access(f->g.bus, BUS_PIO, 0xcf8, 4, true, &v));
    assert_true(bus_access(f->g.bus, BUS_PIO, 0xcfc, 4, false, &v));
    assert_int_equal(v, 0xffffffff);
    v = 0x80000900; /* slot 1, function 1 */
    assert_true(bus_access(f->g.bus, BUS_PIO, 0xcf8, 4, true, &v));
    assert_true(bus_access(f->g.bus, BUS_PIO, 0xcfc, 4, false, &v));
    assert_int_equal(v, 0xffffffff);
    v = 0x00000800; /* not enabled */
    assert_true(bus_access(f->g.bus, BUS_PIO, 0xcf8, 4, true, &v));
    assert_true(bus_access(f->g.bus, BUS_PIO, 0xcfc, 4, false, &v));
    assert_int_equal(v, 0xffffffff);
}

static void
config__odd_width_and_edge_are_nobodys(void **state)
{
    struct fixture *f = *state;
    uint64_t v = 0x80000800;
    static const struct {
        uint16_t port, size;
    } odd[] = {{0xcf8, 1}, {0xcfa, 1}, {0xcfb, 1},
               {0xcf8, 2}, {0xcf9, 2}, {0xcfa, 2}};

    assert_true(bus_access(f->g.bus, BUS_PIO, 0xcf8, 4, true, &v));
    for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
        uint64_t w = 0xffff;

        bus_access(f->g.bus, BUS_PIO, odd[i].port, odd[i].size, true, &w);
        w = 0;
        bus_access(f->g.bus, BUS_PIO, odd[i].port, odd[i].size, false, &w);
        assert_int_equal(w, odd[i].size == 1 ? 0xff : 0xffff);
    }
    assert_true(bus_access(f->g.bus, BUS_PIO, 0xcf8, 4, false, &v));
    assert_int_equal(v, 0x80000800);
    assert_int_equal(f->g.ends, 0);
    assert_false(bus_access(f->g.bus, BUS_PIO, 0xcf9, 4, true, &v));
    assert_false(bus_access(f->g.bus, BUS_PIO, 0xcfe, 4, false, &v));
    assert_int_equal(v, 0xffffffff);
}

static void
reset_control__rising_bit_resets(void **state)
{
    struct fixture *f = *state;
    uint64_t address = 0x80000800, v = 0x2;

    assert_true(bus_access(f->g.bus, BUS_PIO, 0xcf8, 4, true, &address));
    /* which kind, not yet when */
    assert_true(bus_access(f->g.bus, BUS_PIO, 0xcf9, 1, true, &v));
    v = 0xff;
    assert_true(bus_access(f->g.bus, BUS_PIO, 0xcf9, 1, false, &v));
    assert_int_equal(v, 0x2);
    assert_int_equal(f->g.ends, 0);
    v = 0xf6; /* what is reserved does not stay */
    assert_true(bus_access(f->g.bus, BUS_PIO, 0xcf9, 1, true, &v));
    assert_int_equal(f->g.ends, 1);
    assert_int_equal(f->g.end, VM_END_RESET);
    assert_true(bus_access(f->g.bus, BUS_PIO, 0xcf9, 1, false, &v));
    assert_int_equal(v, 0x6);
    /* again only after it was zero */
    assert_true(bus_access(f->g.bus, BUS_PIO, 0xcf9, 1, true, &v));
    assert_int_equal(f->g.ends, 1);
    v = 0;
    assert_true(bus_access(f->g.bus, BUS_PIO, 0xcf9, 1, true, &v));
    v = 0xe;
    assert_true(bus_access(f->g.bus, BUS_PIO, 0xcf9, 1, true, &v));
    assert_int_equal(f->g.ends, 2);
    /* and the address is none of its business */
    assert_true(bus_access(f->g.bus, BUS_PIO, 0xcf8, 4, false, &v));
    assert_int_equal(v, address);
}

static void
bar__size_is_found_by_ones(void **state)
{
    struct fixture *f = *state;
    uint32_t old = guest_cfg_read(&f->g, 1, 0x10, 4);

    assert_int_equal(old & 0xf, 0x4);
    set_bar(f, &f->a, UINT64_MAX);
    assert_int_equal(guest_cfg_read(&f->g, 1, 0x10, 4),
                     (uint32_t) ~(BAR_SIZE - 1) | 4);
    assert_int_equal(guest_cfg_read(&f->g, 1, 0x14, 4), 0xffffffff);
    set_bar(f, &f->a, old & ~0xfU);
    assert_int_equal(guest_cfg_read(&f->g, 1, 0x10, 4), old);
    /* BAR 1 does not exist */
    guest_cfg_write(&f->g, 1, 0x18, 4, 0xffffffff);
    assert_int_equal(guest_cfg_read(&f->g, 1, 0x18, 4), 0);
}

static void
bar__answers_where_it_was_moved(void **state)
{
    struct fixture *f = *state;
    uint64_t v = 0, at = GUEST_WINDOW + 0x100000, old;

    assert_int_equal(f->a.base, PCI_UNMAPPED);
    guest_cfg_write(&f->g, 1, 4, 2, 2);
    old = f->a.base;
    assert_true(old != PCI_UNMAPPED);
    assert_true(bus_access(f->g.bus, BUS_MMIO, old + 8, 4, false, &v));
    assert_int_equal(v, 0xab08);
    set_bar(f, &f->a, at);
    assert_int_equal(f->a.base, at);
    assert_false(bus_access(f->g.bus, BUS_MMIO, old + 8, 4, false, &v));
    assert_true(bus_access(f->g.bus, BUS_MMIO, at + 8, 4, false, &v));
    guest_cfg_write(&f->g, 1, 4, 2, 0);
    assert_false(bus_access(f->g.bus, BUS_MMIO, at + 8, 4, false, &v));
}

static void
bar__outside_the_window_is_not_mapped(void **state)
{
    struct fixture *f = *state;
    static const uint64_t bad[] = {
        0,                                  /* over RAM */
        GUEST_WINDOW - BAR_SIZE,            /* below */
        GUEST_WINDOW + GUEST_WINDOW_SIZE,   /* behind */
        0xfee00000,                         /* local APIC */
        UINT64_C(0x100000000),              /* high RAM */
        UINT64_MAX - BAR_SIZE + 1,          /* end wraps */
        GUEST_WINDOW + (UINT64_C(1) << 32), /* high half */
    };

    guest_cfg_write(&f->g, 1, 4, 2, 2);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        set_bar(f, &f->a, bad[i]);
        assert_int_equal(f->a.base, PCI_UNMAPPED);
        assert_int_equal(pci_dev_bar_base(f->a.d, 0), PCI_UNMAPPED);
    }
    set_bar(f, &f->a, GUEST_WINDOW + GUEST_WINDOW_SIZE - BAR_SIZE);
    assert_int_equal(f->a.base, GUEST_WINDOW + GUEST_WINDOW_SIZE - BAR_SIZE);
}

static void
bar__over_another_waits_until_it_moves(void **state)
{
    struct fixture *f = *state;
    uint64_t a, v = 0;

    guest_cfg_write(&f->g, 1, 4, 2, 2);
    guest_cfg_write(&f->g, 2, 4, 2, 2);
    a = f->a.base;
    set_bar(f, &f->b, a);
    assert_int_equal(f->b.base, PCI_UNMAPPED);
    assert_int_equal(f->a.base, a);
    assert_true(bus_access(f->g.bus, BUS_MMIO, a, 4, true, &v));
    set_bar(f, &f->a, a + 0x10000);
    assert_int_equal(f->b.base, a);
    assert_int_equal(f->a.base, a + 0x10000);
}

static void
slots__run_out_with_an_error(void **state)
{
    struct fixture *f = *state;
    struct dev more[PCI_SLOTS];
    unsigned n = 0;
    int r;

    do {
        more[n] = (struct dev){.base = PCI_UNMAPPED};
        r = pci_add(f->g.pci, &info, &ops, &more[n], &more[n].d);
    } while (r == 0 && ++n < PCI_SLOTS);
    assert_int_equal(r, -ENOSPC);
    assert_int_equal(n, PCI_SLOTS - 3);
    assert_int_equal(pci_dev_bar(more[0].d, 0, GUEST_WINDOW_SIZE), -EINVAL);
    assert_int_equal(pci_dev_bar(more[0].d, 0, 0x80000000), -ENOSPC);
    assert_int_equal(pci_dev_bar(more[0].d, PCI_BARS, 0x1000), -EINVAL);
    /* not plugged: not seen */
    assert_int_equal(guest_cfg_read(&f->g, 5, 0, 4), 0xffffffff);
    while (n--)
        pci_del(more[n].d);
}

/* --- MSI-X --- */

static void
msix_on(struct fixture *f, uint16_t control)
{
    struct guest *g = &f->g;
    unsigned cap = guest_cfg_read(g, 1, 0x34, 1);

    guest_cfg_write(g, 1, 4, 2, 6);
    g->bar = f->a.base;
    assert_int_equal(guest_cfg_read(g, 1, cap, 1), 0x11);
    guest_cfg_write(g, 1, cap + 2, 2, control);
}

static void
set_vector(struct guest *g, unsigned i, uint32_t data, bool masked)
{
    guest_write(g, TABLE + 16 * i, 8, 0xfee00000);
    guest_write(g, TABLE + 16 * i + 8, 8, (uint64_t)masked << 32 | data);
}

static void
msix__capability_says_where(void **state)
{
    struct fixture *f = *state;
    unsigned cap = guest_cfg_read(&f->g, 1, 0x34, 1);

    assert_int_equal(guest_cfg_read(&f->g, 1, cap, 4), 0x00030011);
    assert_int_equal(guest_cfg_read(&f->g, 1, cap + 4, 4), TABLE);
    assert_int_equal(guest_cfg_read(&f->g, 1, cap + 8, 4), PBA);
    assert_int_equal(guest_cfg_read(&f->g, 1, 6, 2) & 0x10, 0x10);
    guest_cfg_write(&f->g, 1, cap + 2, 2, 0xffff);
    assert_int_equal(guest_cfg_read(&f->g, 1, cap + 2, 2), 0xc003);
}

static void
msix__raise_sends_the_message(void **state)
{
    struct fixture *f = *state;

    msix_on(f, 0x8000);
    set_vector(&f->g, 2, 7, false);
    assert_int_equal(msix_raise(f->a.m, 2), 0);
    assert_int_equal(guest_interrupts(&f->g, 7), 1);
    assert_int_equal(guest_read(&f->g, PBA, 8), 0);
    assert_int_equal(msix_raise(f->a.m, 4), -EINVAL);
    assert_int_equal(msix_raise(f->a.m, MSIX_NONE), -EINVAL);
}

static void
msix__masked_vector_is_pending_until_unmasked(void **state)
{
    struct fixture *f = *state;

    msix_on(f, 0x8000);
    set_vector(&f->g, 1, 5, true);
    assert_int_equal(msix_raise(f->a.m, 1), 0);
    assert_int_equal(msix_raise(f->a.m, 1), 0);
    assert_int_equal(guest_interrupts(&f->g, 5), 0);
    assert_int_equal(guest_read(&f->g, PBA, 4), 2);
    assert_int_equal(guest_read(&f->g, PBA, 8), 2);
    assert_int_equal(guest_read(&f->g, PBA + 4, 4), 0);
    guest_write(&f->g, PBA, 4, 0); /* read-only */
    assert_int_equal(guest_read(&f->g, PBA, 4), 2);
    guest_write(&f->g, TABLE + 16 + 12, 4, 0);
    assert_int_equal(guest_interrupts(&f->g, 5), 1);
    assert_int_equal(guest_read(&f->g, PBA, 4), 0);
}

static void
msix__function_mask_and_bus_master_hold_back(void **state)
{
    struct fixture *f = *state;
    unsigned cap = guest_cfg_read(&f->g, 1, 0x34, 1);

    msix_on(f, 0xc000);
    set_vector(&f->g, 0, 3, false);
    assert_int_equal(msix_raise(f->a.m, 0), 0);
    assert_int_equal(guest_interrupts(&f->g, 3), 0);
    guest_cfg_write(&f->g, 1, 4, 2, 2);
    guest_cfg_write(&f->g, 1, cap + 2, 2, 0x8000);
    assert_int_equal(guest_interrupts(&f->g, 3), 0);
    guest_cfg_write(&f->g, 1, 4, 2, 6);
    assert_int_equal(guest_interrupts(&f->g, 3), 1);
    guest_cfg_write(&f->g, 1, cap + 2, 2, 0);
    assert_int_equal(msix_raise(f->a.m, 0), 0);
    guest_cfg_write(&f->g, 1, cap + 2, 2, 0x8000);
    assert_int_equal(guest_interrupts(&f->g, 3), 1);
}

static void
msix__odd_table_accesses_do_nothing(void **state)
{
    struct fixture *f = *state;

    msix_on(f, 0x8000);
    set_vector(&f->g, 0, 3, true);
    guest_write(&f->g, TABLE + 8, 2, 0xffff);
    guest_write(&f->g, TABLE + 6, 4, 0xffffffff);
    guest_write(&f->g, TABLE + 4, 8, UINT64_MAX);
    assert_int_equal(guest_read(&f->g, TABLE, 8), 0xfee00000);
    assert_int_equal(guest_read(&f->g, TABLE + 8, 4), 3);
    assert_int_equal(guest_read(&f->g, TABLE + 8, 1) & 0xff, 0xff);
    /* past the last entry, up to the page's end */
    guest_write(&f->g, TABLE + 16 * 4, 4, 1);
    assert_int_equal(guest_read(&f->g, TABLE + 16 * 4, 4), 0xffffffff);
    guest_write(&f->g, TABLE + 0xff8, 8, 1);
    assert_int_equal(guest_read(&f->g, PBA + 8, 8), UINT64_MAX);
    /* reserved bits do not stick */
    guest_write(&f->g, TABLE, 4, 0xfee00003);
    guest_write(&f->g, TABLE + 12, 4, 0xffffffff);
    assert_int_equal(guest_read(&f->g, TABLE, 4), 0xfee00000);
    assert_int_equal(guest_read(&f->g, TABLE + 12, 4), 1);
}

/* --- messages by eventfd --- */

static struct {
    int fd, result;
    unsigned slot, n;
    uint64_t address;
    uint32_t data;
} coupled;

static int
couple(void *self, unsigned slot, int fd, uint64_t address, uint32_t data)
{
    (void)self;
    if (coupled.result == 0) {
        coupled.fd = fd;
        coupled.slot = slot;
        coupled.address = address;
        coupled.data = data;
        coupled.n++;
    }
    return coupled.result;
}

static void
msix__eventfd_follows_the_table(void **state)
{
    struct fixture *f = *state;
    struct irq_ops with = *f->g.irq.ops;
    const struct irq_ops *without = f->g.irq.ops;
    uint64_t n = 0;
    unsigned slot;

    with.msi_eventfd = couple;
    memset(&coupled, 0, sizeof(coupled));
    f->g.irq.ops = &with;
    msix_on(f, 0x8000);
    set_vector(&f->g, 2, 7, false);
    assert_int_equal(msix_raise(f->a.m, 2), 0);
    assert_int_equal(coupled.n, 1);
    assert_int_equal(coupled.slot, 2);
    assert_int_equal(coupled.data, 7);
    assert_int_equal(coupled.address, 0xfee00000);
    assert_int_equal(read(coupled.fd, &n, sizeof(n)), sizeof(n));
    assert_int_equal(n, 1);
    assert_int_equal(guest_interrupts(&f->g, 7), 0);
    assert_int_equal(msix_raise(f->a.m, 2), 0);
    assert_int_equal(coupled.n, 1); /* nothing changed */
    set_vector(&f->g, 2, 9, false);
    assert_int_equal(msix_raise(f->a.m, 2), 0);
    assert_int_equal(coupled.n, 2);
    assert_int_equal(coupled.data, 9);
    /* the other device's vectors have slots of their own */
    assert_int_equal(pci_take_irq_slots(f->g.pci, 1, &slot), 0);
    assert_int_equal(slot, 8);
    /* who cannot couple gets messages */
    coupled.result = -ENOSPC;
    set_vector(&f->g, 1, 5, false);
    assert_int_equal(msix_raise(f->a.m, 1), 0);
    assert_int_equal(guest_interrupts(&f->g, 5), 1);
    coupled.result = 0;
    msix_free(f->a.m);
    assert_int_equal(coupled.fd, -1);
    /* and what it gave back is the next one's */
    assert_int_equal(pci_irq_slots_taken(f->g.pci), 5);
    assert_int_equal(pci_take_irq_slots(f->g.pci, 4, &slot), 0);
    assert_int_equal(slot, 0);
    assert_int_equal(pci_take_irq_slots(f->g.pci, 4000, &slot), -ENOSPC);
    f->a.m = NULL;
    f->g.irq.ops = without;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(config__read_gives_identity),
        T(config__nobody_there_reads_ones),
        T(config__odd_width_and_edge_are_nobodys),
        T(reset_control__rising_bit_resets),
        T(bar__size_is_found_by_ones),
        T(bar__answers_where_it_was_moved),
        T(bar__outside_the_window_is_not_mapped),
        T(bar__over_another_waits_until_it_moves),
        T(slots__run_out_with_an_error),
        T(msix__capability_says_where),
        T(msix__raise_sends_the_message),
        T(msix__masked_vector_is_pending_until_unmasked),
        T(msix__function_mask_and_bus_master_hold_back),
        T(msix__odd_table_accesses_do_nothing),
        T(msix__eventfd_follows_the_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
