/* hypervisor-backend/vmm/acpi.h - the machine's ACPI tables.
 * Role:      RSDP, XSDT, FADT with FACS, MADT and a DSDT that names the PCI
 *            host bridge with its slots (ACPI hot-plug, see hotplug.h), the
 *            serial port and the panic device; S5 by PM1 control, power button
 * as a fixed event, reset by the keyboard controller's line. Not
 * hardware-reduced, always in ACPI mode. Threads:   before the guest runs.
 * Errors:    -EFBIG they do not fit.
 * Source:    ACPI 6.4, chapter 5. */
#ifndef HYPERVISOR_BACKEND_VMM_ACPI_H
#define HYPERVISOR_BACKEND_VMM_ACPI_H

#include <stdint.h>

#include "common/buf.h"
#include "hypervisor-backend/vmm/gmem.h"

struct acpi_config {
    unsigned cpus; /* APIC ids are 0 … cpus - 1 */
    bool pci;      /* the host bridge is there, and hotplug.h's registers */
};

/* Writes the tables to [BOOT_ACPI, BOOT_ACPI + BOOT_ACPI_SIZE). */
int acpi_build(struct gmem *g, const struct acpi_config *cfg,
               uint64_t *ret_rsdp) _must_check_;

#endif
