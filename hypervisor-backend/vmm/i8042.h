/* hypervisor-backend/vmm/i8042.h - the keyboard controller's reset line.
 * Role:    no keyboard: the controller answers "nothing to read, ready" and
 *          takes one command, the pulse on the processor's reset line.
 * Threads: any (it has no state).   Errors: none. */
#ifndef HYPERVISOR_BACKEND_VMM_I8042_H
#define HYPERVISOR_BACKEND_VMM_I8042_H

#include "hypervisor-backend/vmm/bus.h"

/* One port at PLATFORM_I8042_PORT + 4; dev is the struct end_sink. */
extern const struct bus_ops i8042_bus_ops;

#endif
