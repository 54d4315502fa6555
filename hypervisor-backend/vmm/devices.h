/* hypervisor-backend/vmm/devices.h - the PCI devices of one VM.
 * Role:      host bridge, disks, NICs, consoles and vsock in the order given,
 *            the entropy device and the balloon; an I/O thread for each disk
 *            and one for each other class, made when its first device comes,
 *            so that no disk and no class waits for another. Disks and NICs
 *            come and go while the guest runs (ACPI hot-plug, see hotplug.h).
 *            The list outlives a run: a VM that was reset gets what is
 *            attached then, in the same slots.
 * Ownership: borrows the vm between devices_enter() and devices_leave();
 *            these only while no vCPU runs. Strings are copied. Descriptors
 *            are taken over, also on failure (set to -1), those in lists too;
 *            each stays open (beside the duplicate that the device of the
 *            present run has) until its device is detached or all is freed.
 * Threads:   the controlling thread; devices_walk(), devices_find() and the
 *            balloon's statistics from any. The `detached` hook is called on
 *            the controlling thread, out of devices_events(),
 *            devices_leave() and devices_free().
 * Errors:    negative errno with the reason and, where a field is at fault,
 *            its pointer below the device ("/fd"). -ENOENT no such device,
 *            -EEXIST its name is taken, -ENOSPC no slot, -EINVAL.
 *
 * A disk or NIC:
 *   attach ─► in ─detach─► asked ─the guest ejects; devices_events()──► gone
 *              └──────detach by force (from either), or the run's end──►
 *
 * One run after another (the caller restarts a VM that was reset):
 *   vm_new A, devices_new(A), vm_boot, vm_start … vm_stop, devices_leave,
 *   vm_free A, vm_new B, devices_enter(B), vm_boot … devices_free, vm_free. */
#ifndef HYPERVISOR_BACKEND_VMM_DEVICES_H
#define HYPERVISOR_BACKEND_VMM_DEVICES_H

#include "hypervisor-backend/vmm/dev_balloon.h"
#include "hypervisor-backend/vmm/dev_blk.h"
#include "hypervisor-backend/vmm/dev_console.h"
#include "hypervisor-backend/vmm/dev_net.h"
#include "hypervisor-backend/vmm/rate.h"
#include "hypervisor-backend/vmm/vm.h"

#define DEVICES_MAX_DISKS 16u
#define DEVICES_MAX_NICS 8u
#define DEVICES_MAX_CONSOLES 4u
#define DEVICES_MAX_NIC_QUEUES 8u
#define DEVICES_NAME_SIZE 64u

enum devices_kind {
    DEVICES_DISK,
    DEVICES_NIC,
    DEVICES_CONSOLE,
    DEVICES_VSOCK,
    DEVICES_RNG,
    DEVICES_BALLOON,
};

struct devices_disk {
    const char *name; /* unique among disks, up to DEVICES_NAME_SIZE - 1
                       * printable bytes; NULL: "disk0", "disk1" … */
    const char *path; /* for messages; may be NULL */
    int fd;
    bool read_only, direct;
    bool no_lock;       /* see be_file.h */
    unsigned queues;    /* 0: one */
    const char *serial; /* up to DEV_BLK_SERIAL bytes; may be NULL */
    struct rate_limits limits;
};

enum devices_nic_kind { DEVICES_NIC_TAP, DEVICES_NIC_PACKETS };

struct devices_nic {
    const char *name; /* unique among NICs; NULL: "nic0", "nic1" … */
    const char *tap;  /* for messages; may be NULL */
    enum devices_nic_kind kind;
    int fds[DEVICES_MAX_NIC_QUEUES]; /* one per queue pair */
    int vhost_fds[DEVICES_MAX_NIC_QUEUES];
    unsigned n_queues; /* of fds */
    bool vhost;        /* vhost_fds are open /dev/vhost-net */
    uint8_t mac[6];
    uint16_t mtu; /* 0: not told */
    struct rate_limits rx, tx;
};

struct devices_vsock {
    uint64_t cid; /* 0: none, and then the rest is not looked at */
    int listen_fd;
    const char *guest_path;
};

struct devices_console { /* a port of the virtio console */
    const char *name;    /* see dev_console.h */
    int in_fd, out_fd;   /* -1: no such end; may be the same */
};

struct devices_config {
    struct devices_disk *disks;
    size_t n_disks;
    struct devices_nic *nics;
    size_t n_nics;
    struct devices_vsock vsock;
    struct devices_console *consoles;
    size_t n_consoles;
    /* A detach that was answered with -EINPROGRESS is over and the device
     * gone. The name is valid during the call. May be NULL. */
    void (*detached)(void *arg, enum devices_kind kind, const char *name);
    void *detached_arg;
};

struct devices;

/* With devices_enter(vm). cfg's lists are not needed afterwards. */
int devices_new(struct vm *vm, struct devices_config *cfg, struct devices **ret,
                struct err *reterr) _must_check_;
/* With devices_leave(). */
void devices_free(struct devices *d);
/* Ends the devices but keeps the list; between the runs of a VM. What the
 * guest was asked to give back is gone then. */
void devices_leave(struct devices *d);
/* Makes all of the list for this VM, before its vm_boot(). On failure it is
 * as after devices_leave(). */
int devices_enter(struct devices *d, struct vm *vm,
                  struct err *reterr) _must_check_;

/* --- disks and NICs that come and go; also between two runs --- */
int devices_attach_disk(struct devices *d, struct devices_disk *disk,
                        unsigned *ret_slot, struct err *reterr) _must_check_;
int devices_attach_nic(struct devices *d, struct devices_nic *nic,
                       unsigned *ret_slot, struct err *reterr) _must_check_;
/* 0: it is gone (force, or no run). -EINPROGRESS (no error is recorded): the
 * guest was asked; once it let go, devices_events() removes the device and
 * calls `detached`. A guest may never answer: how long a client waits is the
 * caller's matter; asking again tells the guest again. force takes the device
 * away at once, as if it were pulled out: what was in flight is finished
 * first (this waits for the host's I/O), then its descriptors are closed; what
 * the guest had queued fails. */
int devices_detach_disk(struct devices *d, const char *name, bool force,
                        struct err *reterr) _must_check_;
int devices_detach_nic(struct devices *d, const char *name, bool force,
                       struct err *reterr) _must_check_;
/* Readable when devices_events() has something to do; the same descriptor
 * over all runs. While paused nothing is done; devices_resume() makes it
 * readable again. */
int devices_event_fd(const struct devices *d);
void devices_events(struct devices *d);

/* --- changes of what is there --- */
/* The file has another size: tells the guest. */
int devices_resize_disk(struct devices *d, const char *name,
                        uint64_t *ret_bytes, struct err *reterr) _must_check_;
int devices_disk_limits(struct devices *d, const char *name,
                        const struct rate_limits *limits,
                        struct err *reterr) _must_check_;
/* NULL: stays as it is. */
int devices_nic_limits(struct devices *d, const char *name,
                       const struct rate_limits *rx,
                       const struct rate_limits *tx,
                       struct err *reterr) _must_check_;
int devices_nic_link(struct devices *d, const char *name, bool up,
                     struct err *reterr) _must_check_;
int devices_balloon_target(struct devices *d, uint64_t bytes,
                           struct err *reterr) _must_check_;
/* Asks the guest for statistics: they have come when `updates` moved on.
 * -EAGAIN: it owes an answer, or has no driver. */
int devices_balloon_poll(struct devices *d) _must_check_;
void devices_balloon_stats(struct devices *d, struct dev_balloon_stats *ret);

/* After vm_pause() and before vm_resume(): when devices_pause() returned,
 * nothing is in flight and no device touches guest memory, file or network
 * any more. Both idempotent. What is attached meanwhile is paused, too. */
void devices_pause(struct devices *d);
void devices_resume(struct devices *d);

/* --- description and statistics --- */
struct devices_info {
    enum devices_kind kind;
    const char *name; /* "rng", "balloon", "vsock", "console" for those */
    unsigned slot;    /* of PCI bus 0; 0: not there (between two runs) */
    bool detaching;   /* the guest was asked to let it go */
    uint64_t kicks, interrupts, faults;
    union {
        struct {
            uint64_t capacity_bytes;
            bool read_only, direct;
            unsigned queues;
            const char *serial; /* "" if none */
            struct rate_limits limits;
            struct dev_blk_stats stats;
        } disk;
        struct {
            enum devices_nic_kind kind;
            uint8_t mac[6];
            uint16_t mtu;
            unsigned queues;
            bool vhost, link_up;
            struct rate_limits rx, tx;
            struct dev_net_stats stats;
        } nic;
        struct {
            uint64_t cid;
            unsigned streams;
        } vsock;
        struct {
            unsigned ports;
            const char *names[DEVICES_MAX_CONSOLES]; /* NULL: has none */
            struct dev_console_stats stats[DEVICES_MAX_CONSOLES];
        } console;
        struct dev_balloon_stats balloon;
    };
};

const char *devices_kind_name(enum devices_kind kind); /* "disk" … */
/* Calls fn for each device in the order of slots. fn may not call anything of
 * this header; its info is valid during the call. */
void devices_walk(struct devices *d,
                  void (*fn)(void *arg, const struct devices_info *info),
                  void *arg);
/* The same for one. name may be NULL where there is one of its kind. */
int devices_find(struct devices *d, enum devices_kind kind, const char *name,
                 void (*fn)(void *arg, const struct devices_info *info),
                 void *arg) _must_check_;

#endif
