/* hypervisor-backend/vmm/hotplug.h - tells the guest of PCI slots that change.
 * Role:      a block of ports of our own that the DSDT's methods (acpi.c)
 *            drive: which slots have a new device, which are asked to let
 *            theirs go, and where the guest writes that it did. Raises a
 *            general purpose event. Knows slots, not devices.
 * Ownership: borrows bus and pm.
 * Threads:   any; the guest's writes come on vCPU threads, which only note
 *            them and signal the eventfd. The one owner of the devices takes
 *            them up by hotplug_take_ejected().
 * Errors:    what the guest writes wrongly (a slot that nobody asked for, the
 *            same one twice, no slot at all) is counted and has no effect.
 * Source:    ACPI 6.4, sections 5.6.4 (GPE), 5.6.6 (notifications), 6.3 (_EJ0).
 *
 * Registers, 32 bits each, a bit per slot of PCI bus 0:
 *   +0 UP    read: came since the guest looked; writing ones clears them
 *   +4 DOWN  read: are asked to go; writing ones clears them
 *   +8 EJECT write: the guest let go of these; reads as zero */
#ifndef HYPERVISOR_BACKEND_VMM_HOTPLUG_H
#define HYPERVISOR_BACKEND_VMM_HOTPLUG_H

#include "hypervisor-backend/vmm/bus.h"
#include "hypervisor-backend/vmm/pm.h"

#define HOTPLUG_UP 0
#define HOTPLUG_DOWN 4
#define HOTPLUG_EJECT 8
#define HOTPLUG_LEN 12

struct hotplug;

/* event_fd, borrowed, is signalled when a slot was ejected. */
int hotplug_new(struct bus *bus, struct pm *pm, int event_fd,
                struct hotplug **ret) _must_check_;
void hotplug_free(struct hotplug *h);
/* There is a device in this slot that was not there. */
void hotplug_came(struct hotplug *h, unsigned slot);
/* The guest shall let it go; may be repeated. */
void hotplug_ask(struct hotplug *h, unsigned slot);
/* It is gone without the guest's consent. Until the guest has let go of it in
 * turn it is one of hotplug_avoid(); then of hotplug_take_rested().
 * Returns false if it had done so before. */
bool hotplug_pulled(struct hotplug *h, unsigned slot);
/* Slots that a new device had better not get: the guest still believes in
 * what was there. */
uint32_t hotplug_avoid(struct hotplug *h);
/* Those that were asked for and that the guest ejected, each once. */
uint32_t hotplug_take_ejected(struct hotplug *h);
/* Those that were pulled and that the guest let go of since, each once. */
uint32_t hotplug_take_rested(struct hotplug *h);

#endif
