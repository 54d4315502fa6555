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
static unsigned n_writes;

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
    if (++n_writes < MANY)
        guest_writes();
    return 0;
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
    struct run r = {.vm = (struct vm *)&r,
                    .console = {.in = -1, .out = -1, .log = 100}};

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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pump__returns_while_the_guest_writes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
