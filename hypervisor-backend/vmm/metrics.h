/* hypervisor-backend/vmm/metrics.h - counters of one VM as OpenMetrics text.
 * Threads: any.   Errors: none. */
#ifndef HYPERVISOR_BACKEND_VMM_METRICS_H
#define HYPERVISOR_BACKEND_VMM_METRICS_H

#include "common/buf.h"
#include "hypervisor-backend/vmm/vm.h"

void metrics_write(struct vm *vm, struct buf *out);

#endif
