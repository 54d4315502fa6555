/* hypervisor-backend/vmm/spec.h - the description of one VM.
 * Role:      structs and field tables of the document that `serve` reads and
 *            of the parts of it that the control socket takes later; checks
 *            of the descriptors that it names. `run` fills the same struct
 *            from its options. The meaning is in CONTROL.md.
 * Ownership: spec_release() frees what was allocated and closes every
 *            descriptor that is still named.
 * Threads:   one at a time.
 * Errors:    -EINVAL with every field at fault by its pointer. */
#ifndef HYPERVISOR_BACKEND_VMM_SPEC_H
#define HYPERVISOR_BACKEND_VMM_SPEC_H

#include "api/codec.h"
#include "hypervisor-backend/vmm/devices.h"

#define SPEC_MAX_BYTES (256u * 1024)
#define SPEC_FIRST_FD 3 /* below are the standard descriptors */

/* -1 is no descriptor, NULL and empty are absent. */
struct spec_limits {
    int64_t ops_per_s, ops_burst, bytes_per_s, bytes_burst;
};

struct spec_disk {
    char *name;
    int64_t fd;
    bool read_only, direct;
    bool no_lock; /* not in JSON: whoever opened it sees to it */
    int64_t queues;
    char *serial;
    struct spec_limits *limits;
    const char *path; /* for messages: borrowed, may be NULL, not in JSON */
};

struct spec_nic {
    char *name;
    int kind; /* enum devices_nic_kind */
    struct codec_list fds, vhost_fds;
    char *mac;
    int64_t mtu;
    struct spec_limits *rx_limits, *tx_limits;
    const char *tap; /* as path above */
};

struct spec_memory {
    int64_t bytes;
    bool shared, hugepages, ksm;
};

struct spec_vsock {
    int64_t cid, listen_fd;
    char *guest_path;
};

struct spec_console {
    char *name;
    int64_t fd;
};

struct spec_jail {
    int64_t root_fd, uid, gid;
    char *hostname;
};

enum spec_reset { SPEC_RESTART, SPEC_EXIT };

struct spec {
    int64_t version;
    char *id, *name;
    int64_t run, cpus;
    char *cpu_model;
    struct spec_memory *memory;
    int64_t kvm_fd, kernel_fd, initrd_fd;
    char *cmdline;
    int64_t control_fd, console_log_fd, end_fd;
    bool paused;
    int on_reset; /* enum spec_reset */
    int64_t restarts_max;
    struct codec_list disks, nics, consoles;
    struct spec_vsock *vsock;
    struct spec_jail *jail;
};

extern const struct codec_table spec_table;
extern const struct codec_table spec_disk_table, spec_nic_table;
extern const struct codec_table spec_limits_table, spec_console_table;
/* As above, but descriptors are counted from 0 among those sent along. */
extern const struct codec_table spec_sent_disk_table, spec_sent_nic_table;

/* Nothing allocated, no descriptor named. */
void spec_init(struct spec *s);
void spec_release(struct spec *s);
void spec_disk_release(struct spec_disk *d);
void spec_nic_release(struct spec_nic *n);

/* Text into *out, with all that can be said without looking at
 * descriptors: bounds, names used twice, addresses. On failure *out names no
 * descriptor: none was the document's to give. */
int spec_decode(const char *json, size_t len, struct spec *out,
                struct err *reterr) _must_check_;
/* Every descriptor is open, of its kind, and named once. Makes them
 * close-on-exec. */
int spec_check_fds(const struct spec *s, struct err *reterr) _must_check_;
/* The end record's alone, which is written where others are at fault. */
int spec_check_end(const struct spec *s, struct err *reterr) _must_check_;
/* The same for one device; ptr is where the fields stand ("/disks/0"). */
int spec_check_disk(const struct spec_disk *d, const char *ptr,
                    struct err *reterr) _must_check_;
int spec_check_nic(const struct spec_nic *n, const char *ptr,
                   struct err *reterr) _must_check_;
/* Six pairs of hexadecimal digits with colons, of one station. */
int spec_parse_mac(const char *s, uint8_t ret[6]) _must_check_;
/* NULL is no limit. */
struct rate_limits spec_limits(const struct spec_limits *l);
/* Calls fn for each descriptor's place; stops at the first that is not 0. */
int spec_each_fd(struct spec *s,
                 int (*fn)(int64_t *fd, const char *ptr, void *arg), void *arg);

#endif
