/* idle.c - prints a line, then sleeps for ever; the power button ends it. The
 * least guest for tests and benchmarks that need many. */
#include "tests/vmm/lib-virtio.h"

void guest_main(void);

void
guest_main(void)
{
    irq_init();
    sci_init();
    put("idle\n");
    while (!power_button())
        irq_wait(GUEST_IRQ_SCI, irq_seen[GUEST_IRQ_SCI]);
    put("off\n");
}
