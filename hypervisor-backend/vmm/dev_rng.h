/* hypervisor-backend/vmm/dev_rng.h - virtio entropy device.
 * Role:      fills the guest's buffers from getrandom(2).
 * Ownership: dev_rng_free() after virtio_pci_free().
 * Threads:   see virtio.h.   Errors: as virtio_new().
 * Source:    VIRTIO 1.2, section 5.4. */
#ifndef HYPERVISOR_BACKEND_VMM_DEV_RNG_H
#define HYPERVISOR_BACKEND_VMM_DEV_RNG_H

#include "hypervisor-backend/vmm/virtio.h"

#define DEV_RNG_CLASS 0x00ff00

struct dev_rng;

int dev_rng_new(struct gmem *g, struct io_loop *loop,
                struct dev_rng **ret) _must_check_;
void dev_rng_free(struct dev_rng *d);
struct virtio *dev_rng_virtio(struct dev_rng *d);

#endif
