/* hypervisor-backend/vmm/devices.h - the PCI devices of one VM.
 * Role:      host bridge, disks in the order given, the entropy device; I/O
 *            threads by class, so that no class waits for another.
 * Ownership: borrows the vm; devices_free() after vm_stop() (or before
 *            vm_start()), before vm_free(). Disk descriptors are taken over,
 *            also on failure.
 * Threads:   the controlling thread.
 * Errors:    negative errno with the reason. */
#ifndef HYPERVISOR_BACKEND_VMM_DEVICES_H
#define HYPERVISOR_BACKEND_VMM_DEVICES_H

#include "hypervisor-backend/vmm/vm.h"

#define DEVICES_MAX_DISKS 16u

struct devices_disk {
    const char *path; /* for messages */
    int fd;
    bool read_only, direct;
};

struct devices;

int devices_new(struct vm *vm, struct devices_disk *disks, size_t n_disks,
                struct devices **ret, struct err *reterr) _must_check_;
void devices_free(struct devices *d);

#endif
