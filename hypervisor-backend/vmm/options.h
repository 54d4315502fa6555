/* hypervisor-backend/vmm/options.h - virga-vmm's command line.
 * Ownership: strings are argv's own, which is changed.
 * Threads:   start-up only.
 * Errors:    -EINVAL; the reason is on standard error. */
#ifndef HYPERVISOR_BACKEND_VMM_OPTIONS_H
#define HYPERVISOR_BACKEND_VMM_OPTIONS_H

#include "hypervisor-backend/vmm/devices.h"

struct options {
    const char *kernel, *initrd, *cmdline, *metrics;
    unsigned cpus;
    uint64_t memory_bytes;
    struct gmem_options memory;
    bool exit_on_reset;
    struct devices_disk disks[DEVICES_MAX_DISKS];
    struct devices_nic nics[DEVICES_MAX_NICS];
    struct devices_config devices;
};

/* Fills *o, which must not move afterwards. 0 to go on, 1 when all is done
 * (--help). */
int options_parse(int argc, char **argv, struct options *o) _must_check_;

#endif
