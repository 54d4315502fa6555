/* hypervisor-backend/vmm/pm.h - ACPI power management and the panic port.
 * Role:      PM1a event and control registers: power button as a fixed event
 *            with the SCI, sleep state S5 as power-off; GPE block 0, which
 *            tells the guest of devices that come and go. Beside it pvpanic:
 * one port by which a guest's kernel says that it is lost. Ownership:
 * pm_free(); irq and sink are borrowed. Threads:   any.   Errors: none. Source:
 * ACPI 6.4, section 4.8.3; Linux drivers/misc/pvpanic. */
#ifndef HYPERVISOR_BACKEND_VMM_PM_H
#define HYPERVISOR_BACKEND_VMM_PM_H

#include "hypervisor-backend/vmm/bus.h"
#include "hypervisor-backend/vmm/end.h"
#include "hypervisor-backend/vmm/irq.h"

struct pm;

struct pm *pm_new(const struct irq *irq, unsigned gsi,
                  const struct end_sink *sink);
void pm_free(struct pm *p);
extern const struct bus_ops pm_bus_ops; /* PLATFORM_PM_LEN ports */
/* Event n (0 to 15) of the general purpose block happened: ACPI 5.6.4. */
void pm_gpe(struct pm *p, unsigned n);
/* As if the button were pressed: what the guest does of it is its own. */
void pm_power_button(struct pm *p);

/* One port; dev is the struct end_sink. */
extern const struct bus_ops pvpanic_bus_ops;

#endif
