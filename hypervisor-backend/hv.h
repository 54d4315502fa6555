/* hypervisor-backend/hv.h - what a hypervisor driver does for the agent.
 * Role:      one vtable for every way to run a VM: `vmm` (the embedded VMM),
 *            `libvirt` (QEMU with KVM or TCG), `sim` (no guest). A driver runs
 *            exactly what it is told; policy lives in the agent.
 * Ownership: specs and strings are borrowed for the call; outputs belong to
 *            the caller.
 * Threads:   every function may be called from any thread; calls for one VM
 *            id come one at a time (the agent sees to it), calls for
 *            different ids run side by side. on_event is called from a
 *            driver's thread without any lock held.
 * Errors:    negative errno plus `struct err` with a stable code:
 *            -ENOENT no such VM (code "not_found") or, where a running one
 *            is needed, it has ended ("not_running"); -EEXIST a VM with this
 *            id runs already,
 *            -EINVAL the spec is bad (pointer names the part), -EBUSY another
 *            VM uses a part of it (pointer), -ENOSPC disk or memory is out,
 *            -ETIMEDOUT the hypervisor hangs, -EIO it failed (its words
 *            inside).
 * Invariants: 1. A VM survives hv_close() and the death of the agent.
 *             2. start() never makes a second copy of an id that runs.
 *             3. list() returns every VM found, also ones that this agent
 *                does not know; nothing is stopped by looking. */
#ifndef HYPERVISOR_BACKEND_HV_H
#define HYPERVISOR_BACKEND_HV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/id.h"

/* What a driver can do; the scheduler knows these as traits (hv_cap_name). */
enum hv_cap {
    HV_CAP_KERNEL_BOOT = 1u << 0, /* direct kernel + initrd */
    HV_CAP_DISK_BOOT = 1u << 1,   /* firmware boots the first disk */
    HV_CAP_PAUSE = 1u << 2,
    HV_CAP_CONSOLE = 1u << 3, /* log and interactive stream */
    HV_CAP_STATS = 1u << 4,
    HV_CAP_HARDWARE = 1u << 5, /* guest code runs at hardware speed */
    HV_CAP_NO_GUEST = 1u << 6, /* simulated: images and disks not needed */
    HV_CAP_QCOW2 = 1u << 7,    /* disks may be qcow2; without it raw only */
};

enum hv_state {
    HV_RUNNING,
    HV_PAUSED,
    HV_STOPPED, /* ended; its end reason is known until hv_forget() */
};

/* Why a VM is no longer running. */
enum hv_end {
    HV_END_NONE,    /* still runs */
    HV_END_GUEST,   /* the guest powered itself off (also after ACPI) */
    HV_END_KILLED,  /* by hv_stop(force) */
    HV_END_CRASHED, /* guest panic or hypervisor process death */
    HV_END_UNKNOWN, /* found ended; nobody saw how */
};

struct hv_disk {
    const char *path;
    const char *format; /* "raw" or "qcow2" */
    bool read_only;
};

struct hv_nic {
    const char *mac; /* "52:54:00:aa:bb:cc" */
    /* User-mode network of this VM alone: DHCP and a gateway. With isolated
     * set nothing outside can be reached; otherwise outgoing NAT. With it the
     * driver vmm lets nothing through to the node itself; QEMU has no such
     * option: there the node's loopback is reached as 10.0.2.2. */
    bool isolated;
};

/* A VM's share of its node: shares, limit and reservation as of ESX. 0 is no
 * limit, no reservation, the usual shares. A driver leaves out what it has no
 * means for (its README), and says so in its log; sim has none. */
struct hv_limits {
    unsigned cpu_shares;              /* weight of each vCPU: 1..10000 */
    unsigned cpu_limit_percent;       /* of a CPU for each vCPU: 1..100 */
    unsigned cpu_reservation_percent; /* likewise; not above the limit */
    uint64_t disk_iops;               /* of each disk, reads and writes */
    uint64_t disk_bytes_per_second;
    uint64_t net_bytes_per_second; /* of each NIC, in each direction */
};

#define HV_CPU_SHARES_DEFAULT 100u

struct hv_spec {
    const char *id;   /* instance id, a UUID */
    const char *name; /* for people, in process lists and logs */
    uint64_t run;     /* number of this start; kept with the VM and listed */
    unsigned vcpus;   /* 1..64 */
    uint64_t memory_bytes; /* multiple of 1 MiB */
    const char *kernel;    /* path; NULL boots the first disk by firmware */
    const char *initrd;    /* path or NULL */
    const char *cmdline;   /* or NULL */
    const struct hv_disk *disks;
    size_t n_disks;
    const struct hv_nic *nics;
    size_t n_nics;
    struct hv_limits limits;
    /* The VM's folder, absolute and existing, short enough for a unix socket
     * in it. The driver keeps "console.log" (bounded) and its socket here. */
    const char *dir;
};

struct hv_vm {
    char id[ID_SIZE];
    uint64_t run;
    enum hv_state state;
    enum hv_end end;
    bool ours; /* made by a driver of ours (carries our metadata) */
    /* When the VM began to run, wall clock; 0 if not known. */
    int64_t started_us;
    /* When it ended, wall clock; 0 while it runs or where nobody saw it. */
    int64_t ended_us;
};

struct hv_stats {
    uint64_t cpu_ns;          /* CPU time used by the VM, cumulative */
    uint64_t memory_bytes;    /* resident on the host now */
    uint64_t disk_read_bytes; /* cumulative, as are those below */
    uint64_t disk_write_bytes;
    uint64_t disk_read_ops;
    uint64_t disk_write_ops;
    uint64_t net_rx_bytes; /* received by the guest */
    uint64_t net_tx_bytes;
};

struct hv_host {
    unsigned cpus;
    uint64_t memory_bytes;
    uint64_t memory_free_bytes;
    /* Room for disks where the driver simulates it; 0: what the file system
     * of the VMs' folders has. */
    uint64_t disk_bytes;
    char accel[16]; /* "kvm", "tcg", "sim" */
    char version[64];
};

/* Far above the ids of people, services and other programs' containers. */
#define HV_UID_BASE 1879048192u

struct hv_config {
    const char *driver;    /* "auto", "vmm", "libvirt", "sim" */
    const char *state_dir; /* absolute; the driver's own files */
    /* libvirt: connection URI; NULL is the driver's own choice. */
    const char *uri;
    /* libvirt: "auto" measures, or "kvm", "tcg". */
    const char *accel;
    /* Bytes of console log kept per VM, 16 KiB to 64 MiB; 0 is 1 MiB. */
    uint64_t console_log_bytes;
    /* sim: "key=value,…"; see sim/README.md. NULL is all defaults. */
    const char *sim_options;
    /* vmm: the program virga-vmm and, for NICs, virga-usernet; NULL looks for
     * them (vmm-driver/README.md). */
    const char *vmm_binary, *usernet_binary;
    /* vmm: the first of the user and group ids that VMs run under; 0 is
     * HV_UID_BASE. */
    uint32_t vmm_uid_base;
    /* vmm: the folder below each cgroup hierarchy's root that holds the VMs'
     * groups; NULL is "virga". */
    const char *vmm_cgroup;
    /* Called when a VM's state changed by itself or by a call. May be NULL.
     * Only a hint: list() and info() are the truth. */
    void (*on_event)(const char *id, void *arg);
    void *arg;
};

struct hv; /* an open driver */

/* Opens the driver; VMs that run already are there at once (adoption). */
int hv_open(const struct hv_config *cfg, struct hv **ret,
            struct err *reterr) _must_check_;
void hv_close(struct hv *hv);

const char *hv_driver_name(const struct hv *hv);
unsigned hv_caps(const struct hv *hv);
const char *hv_cap_name(enum hv_cap cap);
const char *hv_state_name(enum hv_state s);
const char *hv_end_name(enum hv_end e);

/* Of an id that ended (and was not forgotten) it makes a new run; what was
 * known of the last one is gone. A failed start leaves nothing behind. */
int hv_start(struct hv *hv, const struct hv_spec *spec,
             struct err *reterr) _must_check_;
/* Asks by the ACPI power button, or with force ends it at once. Returns when
 * asked, not when ended (with force: when ended). Ended already: 0. */
int hv_stop(struct hv *hv, const char *id, bool force,
            struct err *reterr) _must_check_;
int hv_pause(struct hv *hv, const char *id, struct err *reterr) _must_check_;
int hv_resume(struct hv *hv, const char *id, struct err *reterr) _must_check_;
/* Drops all that the driver keeps of an ended VM. -EBUSY while it runs;
 * unknown: 0. The VM's folder stays (the agent removes it). */
int hv_forget(struct hv *hv, const char *id, struct err *reterr) _must_check_;

/* -ENOENT when the driver knows nothing of it. */
int hv_info(struct hv *hv, const char *id, struct hv_vm *ret,
            struct err *reterr) _must_check_;
/* All VMs; the caller frees *ret with free(). */
int hv_list(struct hv *hv, struct hv_vm **ret, size_t *ret_n,
            struct err *reterr) _must_check_;
int hv_stats(struct hv *hv, const char *id, struct hv_stats *ret,
             struct err *reterr) _must_check_;
int hv_host(struct hv *hv, struct hv_host *ret,
            struct err *reterr) _must_check_;
/* Appends metric families of all running VMs to out, in OpenMetrics text
 * without the final "# EOF". A VM that does not answer is left out; so are, and
 * are counted, those that there is no time for when others are slow. */
struct buf;
int hv_metrics(struct hv *hv, struct buf *out, struct err *reterr) _must_check_;

/* A connected, non-blocking, CLOEXEC stream socket to the serial console. */
int hv_console_open(struct hv *hv, const char *id, int *ret_fd,
                    struct err *reterr) _must_check_;
/* The console log of the VM in `dir` (works after it ended, too): up to cap
 * bytes from *offset, where a byte's offset never changes while it is kept.
 * *offset before the oldest kept byte moves up to it; *offset < 0 means "the
 * last cap bytes". On return *offset is where the data begins; ret_end is the
 * log's end. No log yet: success with nothing. */
int hv_console_log(struct hv *hv, const char *dir, int64_t *offset, size_t cap,
                   struct buf *ret, int64_t *ret_end,
                   struct err *reterr) _must_check_;
/* Gives back the space of console logs over the bound; the agent calls it for
 * each VM folder now and then. */
int hv_console_trim(struct hv *hv, const char *dir) _must_check_;

/* Runs a small guest on /dev/kvm and returns 1 only if it executes at
 * hardware speed: an interpreted /dev/kvm opens but is no use. 0: it does not,
 * or there is none. Negative errno: it could not be tried, for want of
 * descriptors or memory, which says nothing of the machine. ret_why says what
 * was found, for the log. Takes at most about 0.3 s. */
int hv_probe_kvm(char *ret_why, size_t why_size) _must_check_;

#endif
