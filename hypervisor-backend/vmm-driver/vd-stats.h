/* hypervisor-backend/vmm-driver/vd-stats.h - the answer to `stats`.
 * Role:      structs and field tables of what a VMM says of its work
 *            (vmm/CONTROL.md); private to vmm-driver/.
 * Ownership: vd_figures_release() frees.
 * Threads:   reentrant.
 * Errors:    those of vd_ctl(); -EPROTO an answer that is none. Its numbers
 *            are the VMM's word. */
#ifndef HYPERVISOR_BACKEND_VMM_DRIVER_VD_STATS_H
#define HYPERVISOR_BACKEND_VMM_DRIVER_VD_STATS_H

#include "api/codec.h"
#include "hypervisor-backend/vmm-driver/vd-private.h"

struct vd_exits {
    int64_t pio, mmio, halt, kick, shutdown, error, other;
};

struct vd_vcpu {
    struct vd_exits *exits;
    int64_t guest_ns, vmm_ns, unclaimed;
};

struct vd_disk {
    char *name;
    int64_t reads, writes, flushes, discards, errors, throttled;
    int64_t read_bytes, written_bytes;
    struct codec_list latency; /* int64_t: bucket n is below 2^n us */
};

struct vd_nic {
    char *name;
    int64_t rx_packets, rx_bytes, rx_dropped;
    int64_t tx_packets, tx_bytes, tx_dropped;
};

struct vd_balloon {
    int64_t target_bytes, actual_bytes, reported_bytes;
};

struct vd_figures {
    int64_t resets;
    struct codec_list vcpus, disks, nics;
    struct vd_balloon *balloon;
};

void vd_figures_release(struct vd_figures *f);
int vd_figures_get(struct vd *d, const char *id, struct vd_held *h,
                   struct vd_figures *ret, struct err *reterr) _must_check_;

#endif
