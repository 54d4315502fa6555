/* test-vmm-serial.c - serial port, clock, power management, reset lines: the
 * registers as a driver sees them, interrupts by a recorder. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "common/clock.h"
#include "hypervisor-backend/vmm/i8042.h"
#include "hypervisor-backend/vmm/platform.h"
#include "hypervisor-backend/vmm/pm.h"
#include "hypervisor-backend/vmm/rtc.h"
#include "hypervisor-backend/vmm/serial.h"

struct recorder {
    bool level;
    unsigned gsi, changes, wakes;
    int result;
    enum vm_end end;
    unsigned ends;
};

static int
on_line(void *self, unsigned gsi, bool level)
{
    struct recorder *r = self;

    assert_true(level != r->level); /* only changes are told */
    r->level = level;
    r->gsi = gsi;
    r->changes++;
    return r->result;
}

static void
on_wake(void *self)
{
    ((struct recorder *)self)->wakes++;
}

static void
on_end(void *self, enum vm_end end)
{
    struct recorder *r = self;

    r->end = end;
    r->ends++;
}

static const struct irq_ops ops = {.line = on_line};

static uint8_t
in(struct serial *s, unsigned reg)
{
    return (uint8_t)serial_bus_ops.read(s, reg, 1);
}

static void
out(struct serial *s, unsigned reg, uint8_t v)
{
    serial_bus_ops.write(s, reg, 1, v);
}

static void
serial__output_in_order_and_bounded(void **state)
{
    struct recorder r = {0};
    struct irq irq = {&ops, &r};
    struct serial *s = serial_new(&irq, 4, on_wake, &r);
    char bytes[64];
    size_t total = 0, n;

    out(s, 0, 'a');
    out(s, 0, 'b');
    assert_int_equal(r.wakes, 1); /* one for a batch */
    assert_true(serial_has_output(s));
    assert_int_equal(in(s, 5), 0x60);
    assert_int_equal(serial_output(s, bytes, sizeof(bytes)), 2);
    assert_memory_equal(bytes, "ab", 2);
    assert_false(serial_has_output(s));
    for (unsigned i = 0; i < SERIAL_OUT_RING + 100; i++)
        out(s, 0, (uint8_t)(i % 251));
    assert_int_equal(r.wakes, 2);
    assert_int_equal(serial_dropped(s), 100);
    while ((n = serial_output(s, bytes, sizeof(bytes))) > 0)
        for (size_t i = 0; i < n; i++, total++)
            assert_int_equal((uint8_t)bytes[i], total % 251);
    assert_int_equal(total, SERIAL_OUT_RING);
    assert_int_equal(r.changes, 0); /* no interrupt was asked for */
    serial_free(s);
}

static void
serial__interrupts_as_the_chip_makes_them(void **state)
{
    struct recorder r = {0};
    struct irq irq = {&ops, &r};
    struct serial *s = serial_new(&irq, 4, on_wake, &r);

    assert_int_equal(in(s, 2), 0x01); /* none pending, no FIFO */
    out(s, 1, 0x02);                  /* transmitter empty */
    assert_false(r.level);            /* OUT2 holds it back */
    out(s, 4, 0x08);
    assert_true(r.level);
    assert_int_equal(r.gsi, 4);
    assert_int_equal(in(s, 2), 0x02);
    assert_false(r.level); /* reading it was the answer */
    assert_int_equal(in(s, 2), 0x01);
    out(s, 0, 'x'); /* gone at once: empty again */
    assert_true(r.level);
    out(s, 1, 0x00);
    assert_false(r.level);
    /* Received data comes before the transmitter. */
    out(s, 1, 0x03);
    assert_int_equal(serial_input(s, "q", 1), 1);
    assert_int_equal(in(s, 2), 0x04);
    assert_int_equal(in(s, 5), 0x61);
    assert_int_equal(in(s, 0), 'q');
    assert_int_equal(in(s, 5), 0x60);
    assert_int_equal(in(s, 2), 0x02);
    assert_false(r.level);
    /* FIFO with a trigger of 4: fewer are a timeout. */
    out(s, 2, 0x41);
    out(s, 1, 0x01);
    assert_int_equal(serial_input(s, "123", 3), 3);
    assert_int_equal(in(s, 2), 0xcc);
    assert_int_equal(serial_input(s, "4", 1), 1);
    assert_int_equal(in(s, 2), 0xc4);
    out(s, 2, 0x43); /* clears what was received */
    assert_false(r.level);
    assert_int_equal(in(s, 0), 0);
    serial_free(s);
}

static void
serial__input_bounded_and_room_told(void **state)
{
    struct recorder r = {0};
    struct irq irq = {&ops, &r};
    struct serial *s = serial_new(&irq, 4, on_wake, &r);
    char many[1000];
    size_t room = serial_room(s);

    memset(many, 'i', sizeof(many));
    assert_in_range(room, 16, sizeof(many) - 1);
    assert_int_equal(serial_input(s, many, sizeof(many)), room);
    assert_int_equal(serial_room(s), 0);
    assert_int_equal(serial_input(s, many, 1), 0);
    assert_int_equal(r.wakes, 0);
    assert_int_equal(in(s, 0), 'i');
    assert_int_equal(r.wakes, 1); /* there is room again */
    assert_int_equal(in(s, 0), 'i');
    assert_int_equal(r.wakes, 1);
    assert_int_equal(serial_room(s), 2);
    serial_free(s);
}

static void
serial__loopback_as_drivers_probe_it(void **state)
{
    struct recorder r = {0};
    struct irq irq = {&ops, &r};
    struct serial *s = serial_new(&irq, 4, on_wake, &r);

    out(s, 4, 0x1a); /* loop, OUT2, RTS */
    assert_int_equal(in(s, 6) & 0xf0, 0x90);
    out(s, 4, 0x15); /* loop, OUT1, DTR */
    assert_int_equal(in(s, 6) & 0xf0, 0x60);
    out(s, 0, 'L');
    assert_false(serial_has_output(s));
    assert_int_equal(in(s, 0), 'L');
    assert_int_equal(serial_input(s, "x", 1), 0);
    for (int i = 0; i < 1000; i++)
        out(s, 0, 'o');
    assert_int_equal(in(s, 5), 0x63); /* overrun, told once */
    assert_int_equal(in(s, 5), 0x61);
    /* Registers that hold what they are given. */
    out(s, 7, 0xa5);
    assert_int_equal(in(s, 7), 0xa5);
    out(s, 3, 0x83);
    out(s, 0, 0x0c);
    out(s, 1, 0x01);
    assert_int_equal(in(s, 0), 0x0c);
    assert_int_equal(in(s, 1), 0x01);
    out(s, 3, 0x03);
    assert_int_equal(in(s, 1), 0x00);
    out(s, 1, 0xff);
    assert_int_equal(in(s, 1), 0x0f); /* as a 16550 answers */
    serial_free(s);
}

static void
serial__broken_interrupt_is_survived(void **state)
{
    struct recorder r = {.result = -EIO};
    struct irq irq = {&ops, &r};
    struct serial *s = serial_new(&irq, 4, on_wake, &r);

    out(s, 4, 0x08);
    out(s, 1, 0x02);
    out(s, 0, 'x');
    assert_true(serial_has_output(s));
    serial_free(s);
}

static int64_t fake_now;

static int64_t
fake_clock(void)
{
    return fake_now;
}

static uint8_t
cmos(struct rtc *r, uint8_t index)
{
    rtc_bus_ops.write(r, 0, 1, index);
    return (uint8_t)rtc_bus_ops.read(r, 1, 1);
}

static void
rtc__shows_one_second_at_a_time(void **state)
{
    struct rtc *r = rtc_new(fake_clock);

    assert_int_equal(clock_parse("2026-11-22T23:59:59.999Z", &fake_now), 0);
    assert_int_equal(cmos(r, 0x0d), 0x80);
    assert_int_equal(cmos(r, 0x0a) & 0x80, 0); /* no update under way */
    assert_int_equal(cmos(r, 0), 0x59);
    fake_now += 2000; /* midnight passes between two fields */
    assert_int_equal(cmos(r, 2), 0x59);
    assert_int_equal(cmos(r, 4), 0x23);
    assert_int_equal(cmos(r, 7), 0x22);
    assert_int_equal(cmos(r, 8), 0x11);
    assert_int_equal(cmos(r, 9), 0x26);
    assert_int_equal(cmos(r, 0x32), 0x20);
    assert_int_equal(cmos(r, 6), 1);           /* Sunday */
    assert_int_equal(cmos(r, 0x0a) & 0x80, 0); /* the next reading */
    assert_int_equal(cmos(r, 7), 0x23);
    assert_int_equal(cmos(r, 4), 0x00);
    rtc_bus_ops.write(r, 0, 1, 0x0b);
    rtc_bus_ops.write(r, 1, 1, 0x04); /* binary, 12 hours */
    assert_int_equal(cmos(r, 4), 12);
    assert_int_equal(cmos(r, 7), 23);
    fake_now += 13 * 3600 * US_PER_S;
    assert_int_equal(cmos(r, 4), 0x81); /* 1 pm */
    rtc_free(r);
}

static void
rtc__memory_holds_and_clock_does_not(void **state)
{
    struct rtc *r = rtc_new(fake_clock);

    fake_now = US_PER_S;
    rtc_bus_ops.write(r, 0, 1, 0x0f);
    rtc_bus_ops.write(r, 1, 1, 0x5a);
    rtc_bus_ops.write(r, 0, 1, 0x7f);
    rtc_bus_ops.write(r, 1, 1, 0xa5);
    rtc_bus_ops.write(r, 0, 1, 0x00);
    rtc_bus_ops.write(r, 1, 1, 0x30);
    assert_int_equal(cmos(r, 0x0f), 0x5a);
    assert_int_equal(cmos(r, 0xff), 0xa5); /* bit 7 is no address */
    assert_int_equal(cmos(r, 0), 0x01);
    rtc_free(r);
}

static void
pm__power_button_raises_and_is_cleared(void **state)
{
    struct recorder r = {0};
    struct irq irq = {&ops, &r};
    struct end_sink sink = {on_end, &r};
    struct pm *p = pm_new(&irq, 9, &sink);

    pm_power_button(p);
    assert_false(r.level); /* not enabled */
    assert_int_equal(pm_bus_ops.read(p, 0, 2), 1 << 8);
    pm_bus_ops.write(p, 2, 2, 0xffff);
    assert_true(r.level);
    assert_int_equal(r.gsi, 9);
    assert_int_equal(pm_bus_ops.read(p, 2, 2) & 1 << 8, 1 << 8);
    pm_bus_ops.write(p, 0, 2, 0); /* zeros leave it */
    assert_true(r.level);
    pm_bus_ops.write(p, 0, 2, 1 << 8);
    assert_false(r.level);
    /* Byte by byte, and both registers in one. */
    pm_power_button(p);
    pm_bus_ops.write(p, 1, 1, 1);
    assert_int_equal(pm_bus_ops.read(p, 0, 2), 0);
    pm_power_button(p);
    assert_int_equal(pm_bus_ops.read(p, 0, 4),
                     1 << 8 | (uint64_t)(1 << 5 | 1 << 8 | 1 << 10) << 16);
    pm_bus_ops.write(p, 0, 4, 1 << 8);
    assert_int_equal(pm_bus_ops.read(p, 0, 4), 0);
    assert_int_equal(r.ends, 0);
    pm_free(p);
}

static void
pm__only_s5_with_the_sleep_bit_ends(void **state)
{
    struct recorder r = {0};
    struct irq irq = {&ops, &r};
    struct end_sink sink = {on_end, &r};
    struct pm *p = pm_new(&irq, 9, &sink);

    assert_int_equal(pm_bus_ops.read(p, 4, 2), 1); /* ACPI mode */
    pm_bus_ops.write(p, 4, 2, PLATFORM_S5 << 10);
    pm_bus_ops.write(p, 4, 2, 1 << 13 | 1 << 10);
    assert_int_equal(r.ends, 0);
    assert_int_equal(pm_bus_ops.read(p, 4, 2), 1 | 1 << 10);
    pm_bus_ops.write(p, 4, 2, 1 << 13 | PLATFORM_S5 << 10);
    assert_int_equal(r.ends, 1);
    assert_int_equal(r.end, VM_END_POWEROFF);
    pm_free(p);
}

static void
lines__only_their_values_end(void **state)
{
    struct recorder r = {0};
    struct end_sink sink = {on_end, &r};

    for (unsigned v = 0; v < 256; v++)
        if (v != 0xfe)
            i8042_bus_ops.write(&sink, 0, 1, v);
    assert_int_equal(r.ends, 0);
    i8042_bus_ops.write(&sink, 0, 1, 0xfe);
    assert_int_equal(r.end, VM_END_RESET);
    assert_int_equal(i8042_bus_ops.read(&sink, 0, 1), 0);
    pvpanic_bus_ops.write(&sink, 0, 1, 0);
    pvpanic_bus_ops.write(&sink, 0, 1, 2); /* its crash kernel runs */
    assert_int_equal(r.ends, 1);
    pvpanic_bus_ops.write(&sink, 0, 1, 1);
    assert_int_equal(r.end, VM_END_PANIC);
    assert_int_equal(pvpanic_bus_ops.read(&sink, 0, 1) & 1, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(serial__output_in_order_and_bounded),
        cmocka_unit_test(serial__interrupts_as_the_chip_makes_them),
        cmocka_unit_test(serial__input_bounded_and_room_told),
        cmocka_unit_test(serial__loopback_as_drivers_probe_it),
        cmocka_unit_test(serial__broken_interrupt_is_survived),
        cmocka_unit_test(rtc__shows_one_second_at_a_time),
        cmocka_unit_test(rtc__memory_holds_and_clock_does_not),
        cmocka_unit_test(pm__power_button_raises_and_is_cleared),
        cmocka_unit_test(pm__only_s5_with_the_sleep_bit_ends),
        cmocka_unit_test(lines__only_their_values_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
