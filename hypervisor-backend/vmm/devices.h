/* hypervisor-backend/vmm/devices.h - the PCI devices of one VM.
 * Role:      host bridge, disks, NICs, consoles and vsock in the order given,
 *            the entropy device and the balloon; one I/O thread for each
 *            class, so that no class waits for another. Disks and NICs come
 *            and go while the guest runs (ACPI hot-plug).
 * Ownership: borrows the vm; devices_free() after vm_stop() (or before
 *            vm_start()), before vm_free(). Strings are copied. Descriptors
 *            are taken over, also on failure (set to -1), those in lists too.
 * Threads:   the controlling thread; the statistics from any.
 * Errors:    negative errno with the reason and, where a field is at fault,
 *            its pointer below the device ("/fd"). */
#ifndef HYPERVISOR_BACKEND_VMM_DEVICES_H
#define HYPERVISOR_BACKEND_VMM_DEVICES_H

#include "hypervisor-backend/vmm/rate.h"
#include "hypervisor-backend/vmm/vm.h"

#define DEVICES_MAX_DISKS 16u
#define DEVICES_MAX_NICS 8u
#define DEVICES_MAX_CONSOLES 4u
#define DEVICES_MAX_NIC_QUEUES 8u
#define DEVICES_NAME_SIZE 64u

struct devices_disk {
    const char *name; /* unique among disks; for control and messages */
    const char *path; /* for messages; may be NULL */
    int fd;
    bool read_only, direct;
    unsigned queues;    /* 0: one */
    const char *serial; /* may be NULL */
    struct rate_limits limits;
};

enum devices_nic_kind { DEVICES_NIC_TAP, DEVICES_NIC_PACKETS };

struct devices_nic {
    const char *name; /* unique among NICs */
    const char *tap;  /* for messages; may be NULL */
    enum devices_nic_kind kind;
    int fds[DEVICES_MAX_NIC_QUEUES]; /* one per queue pair */
    int vhost_fds[DEVICES_MAX_NIC_QUEUES];
    unsigned n_queues; /* of fds */
    bool vhost;        /* vhost_fds are open /dev/vhost-net */
    uint8_t mac[6];
    uint16_t mtu;
    struct rate_limits rx, tx;
};

struct devices_vsock {
    uint64_t cid; /* 0: none */
    int listen_fd;
    const char *guest_path;
};

struct devices_console { /* a port of the virtio console */
    const char *name;
    int in_fd, out_fd;
};

struct devices_config {
    struct devices_disk *disks;
    size_t n_disks;
    struct devices_nic *nics;
    size_t n_nics;
    struct devices_vsock vsock;
    struct devices_console *consoles;
    size_t n_consoles;
};

struct devices;

int devices_new(struct vm *vm, const struct devices_config *cfg,
                struct devices **ret, struct err *reterr) _must_check_;
void devices_free(struct devices *d);

#endif
