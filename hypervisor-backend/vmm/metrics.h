/* hypervisor-backend/vmm/metrics.h - counters of one VM as OpenMetrics text.
 * Threads: any.   Errors: none. */
#ifndef HYPERVISOR_BACKEND_VMM_METRICS_H
#define HYPERVISOR_BACKEND_VMM_METRICS_H

#include "common/buf.h"
#include "hypervisor-backend/vmm/vm.h"

/* more, if given, adds metric families of its own. */
void metrics_write(struct vm *vm, void (*more)(void *arg, struct buf *out),
                   void *arg, struct buf *out);

#endif
