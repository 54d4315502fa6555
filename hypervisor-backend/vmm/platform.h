/* hypervisor-backend/vmm/platform.h - addresses and lines of the machine.
 * Role: one place for what devices, ACPI tables and tests must agree on. */
#ifndef HYPERVISOR_BACKEND_VMM_PLATFORM_H
#define HYPERVISOR_BACKEND_VMM_PLATFORM_H

#include "hypervisor-backend/vmm/gmem.h"

#define PLATFORM_MAX_CPUS 64u

/* Ports */
#define PLATFORM_SERIAL_PORT 0x3f8
#define PLATFORM_RTC_PORT 0x70
#define PLATFORM_I8042_PORT 0x60 /* data; status and command at +4 */
#define PLATFORM_I8042_RESET 0xfe
#define PLATFORM_PVPANIC_PORT 0x505
#define PLATFORM_PM_PORT 0x600 /* PM1a status, enable, control */
#define PLATFORM_PM_GPE 8      /* offset: status and enable, 16 events */
#define PLATFORM_PM_LEN 12
#define PLATFORM_HOTPLUG_PORT 0x610 /* see hotplug.h */
#define PLATFORM_HOTPLUG_GPE 1

/* Lines (global system interrupts) */
#define PLATFORM_SERIAL_IRQ 4
#define PLATFORM_SCI_IRQ 9
#define PLATFORM_LINES 24 /* of the I/O APIC */

/* Memory mapped */
#define PLATFORM_LAPIC UINT64_C(0xfee00000)
#define PLATFORM_IOAPIC UINT64_C(0xfec00000)
/* Four pages that KVM needs on Intel processors without unrestricted guests:
 * an identity page table and a task state segment. */
#define PLATFORM_KVM_IDENTITY UINT64_C(0xfffbc000)
#define PLATFORM_KVM_TSS UINT64_C(0xfffbd000)

/* Where the guest may put BARs. */
#define PLATFORM_PCI_WINDOW (GMEM_HOLE_START + UINT64_C(0x10000000))
#define PLATFORM_PCI_WINDOW_END UINT64_C(0xfe000000)

/* ACPI S5: the sleep type that means "off". */
#define PLATFORM_S5 5

#endif
