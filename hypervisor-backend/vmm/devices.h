/* hypervisor-backend/vmm/devices.h - the PCI devices of one VM.
 * Role:      host bridge, disks and NICs in the order given, the entropy device
 *            and the balloon; one I/O thread for each class, so that no class
 *            waits for another.
 * Ownership: borrows the vm; devices_free() after vm_stop() (or before
 *            vm_start()), before vm_free(). Descriptors are taken over, also
 *            on failure.
 * Threads:   the controlling thread.
 * Errors:    negative errno with the reason. */
#ifndef HYPERVISOR_BACKEND_VMM_DEVICES_H
#define HYPERVISOR_BACKEND_VMM_DEVICES_H

#include "hypervisor-backend/vmm/vm.h"

#define DEVICES_MAX_DISKS 16u
#define DEVICES_MAX_NICS 8u

struct devices_disk {
    const char *path; /* for messages */
    int fd;
    bool read_only, direct;
};

struct devices_nic {
    const char *tap; /* for messages */
    int fd;
    uint8_t mac[6];
};

struct devices_config {
    struct devices_disk *disks;
    size_t n_disks;
    struct devices_nic *nics;
    size_t n_nics;
};

struct devices;

int devices_new(struct vm *vm, const struct devices_config *cfg,
                struct devices **ret, struct err *reterr) _must_check_;
void devices_free(struct devices *d);

#endif
