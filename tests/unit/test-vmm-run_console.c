/* test-vmm-run_console.c - the serial port's bytes on their way out, beside a
 * guest that goes on writing: it does so whenever the log is written. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/fs.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/run-private.h"
#include "hypervisor-backend/vmm/serial.h"
#include "hypervisor-backend/vmm/vm.h"

#define MANY 1000u /* the guest stops then, or a test would not end */

static struct serial *port;
static unsigned n_writes, n_most; /* calls, and how often the guest answers */
static uint64_t n_bytes, now_ns;

static void
guest_writes(void)
{
    serial_bus_ops.write(port, 0, 1, 'x');
}

/* In place of that of a VM. */
struct serial *
vm_serial(struct vm *vm)
{
    return port;
}

int __wrap_fs_write_all(int fd, const void *data, size_t n);

int
__wrap_fs_write_all(int fd, const void *data, size_t n)
{
    n_bytes += n;
    if (++n_writes < n_most)
        guest_writes();
    return 0;
}

uint64_t __wrap_rate_now_ns(void);

uint64_t
__wrap_rate_now_ns(void)
{
    return now_ns;
}

/* Nobody listens on a socket. */
static struct run
with_log(struct spec *spec, const struct run_io *io)
{
    struct run r = {.vm = (struct vm *)spec, .io = io, .spec = spec};

    run_console_open(&r);
    assert_int_equal(r.console.log, 100);
    n_writes = 0;
    n_bytes = 0;
    return r;
}

static int
on_line(void *self, unsigned gsi, bool level)
{
    return 0;
}

static void
on_wake(void *self)
{
}

static const struct irq_ops ops = {.line = on_line};

static void
pump__returns_while_the_guest_writes_on(void **state)
{
    const struct irq irq = {&ops, NULL};
    const struct run_io io = {.in = -1, .out = -1};
    struct spec spec = {.console_log_fd = 100};
    struct run r = with_log(&spec, &io);

    n_most = MANY;
    port = serial_new(&irq, 4, on_wake, NULL);
    assert_false(run_console_has_more(&r));
    guest_writes();
    run_console_pump(&r);
    assert_in_range(n_writes, 1, 100);
    /* What is left comes without another wake. */
    assert_true(run_console_has_more(&r));
    while (run_console_has_more(&r))
        run_console_pump(&r);
    assert_int_equal(n_writes, MANY);
    serial_free(port);
}

static void
write_many(struct run *r, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        guest_writes();
        if (i % 1024 == 0)
            run_console_pump(r);
    }
    run_console_drain(r);
}

static void
log__faster_than_its_rate_is_dropped_and_counted(void **state)
{
    const struct irq irq = {&ops, NULL};
    const struct run_io io = {.in = -1, .out = -1};
    struct spec spec = {.console_log_fd = 100};
    struct run r = with_log(&spec, &io);
    uint64_t total = 2 * RUN_LOG_BURST, piece = 4096;

    n_most = 0;
    port = serial_new(&irq, 4, on_wake, NULL);
    write_many(&r, total);
    assert_in_range(n_bytes, RUN_LOG_BURST, RUN_LOG_BURST + piece);
    assert_int_equal(n_bytes + run_console_dropped(&r), total);
    /* A second later there is room for a second's worth. */
    now_ns += UINT64_C(1000000000);
    write_many(&r, total);
    assert_in_range(n_bytes, RUN_LOG_BURST + RUN_LOG_BYTES_PER_S - piece,
                    RUN_LOG_BURST + RUN_LOG_BYTES_PER_S + piece);
    assert_int_equal(n_bytes + run_console_dropped(&r), 2 * total);
    serial_free(port);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pump__returns_while_the_guest_writes_on),
        cmocka_unit_test(log__faster_than_its_rate_is_dropped_and_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
