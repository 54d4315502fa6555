/* hypervisor-backend/sim/sim-private.h - the parts of the simulated
 * hypervisor: options, the files that stand for VMs, the driver itself.
 * Role:    private to sim/ and its tests. README.md has the whole picture.
 * Threads: options are constant after open; the store is used under the
 *          driver's lock. */
#ifndef HYPERVISOR_BACKEND_SIM_PRIVATE_H
#define HYPERVISOR_BACKEND_SIM_PRIVATE_H

#include "hypervisor-backend/hv-private.h"

struct sim_options {
    uint64_t cpus;
    uint64_t memory_mib;
    uint64_t disk_mib;
    uint64_t start_delay_ms;
    uint64_t stop_delay_ms;
    uint64_t start_fail_permille;
    uint64_t pause_delay_ms; /* of resuming, too */
    uint64_t pause_fail_permille;
    uint64_t ignore_acpi_permille;
    uint64_t guest_exit_after_ms;  /* 0: never */
    uint64_t guest_crash_after_ms; /* 0: never */
    uint64_t guest_crash_permille;
    uint64_t kernel_boot, disk_boot, pause; /* 0 or 1: capabilities */
    uint64_t seed;
};

/* Fills in the defaults, then applies "key=value,…" (NULL: none). */
int sim_options_parse(const char *text, struct sim_options *ret,
                      struct err *reterr) _must_check_;

/* Where a VM is in its life; see the diagram in README.md. */
enum sim_phase {
    SIM_STARTING, /* the journal may hold its start line or not yet */
    SIM_RUNNING,
    SIM_PAUSED,
    SIM_ENDING, /* the journal may hold its end line or not yet */
    SIM_ENDED,
};

/* What is on disk of one VM. Wall clock, microseconds. */
struct sim_record {
    char id[ID_SIZE];
    enum sim_phase phase;
    uint64_t run;
    uint64_t vcpus;
    uint64_t memory_bytes;
    int64_t started_us;
    int64_t paused_total_us; /* time spent paused before paused_at_us */
    int64_t paused_at_us;    /* 0 unless paused */
    int64_t end_at_us;       /* when it will end by itself; 0 never */
    int64_t ended_us;        /* 0 while it runs */
    enum hv_end end;
};

struct sim_store {
    int lock_fd;
    int dir_fd;     /* state_dir/sim/vms */
    int journal_fd; /* O_APPEND */
};

int sim_store_open(struct sim_store *s, const char *state_dir,
                   struct err *reterr) _must_check_;
void sim_store_close(struct sim_store *s);
/* Writes the record, making the file where it is missing. */
int sim_store_put(struct sim_store *s, const struct sim_record *r) _must_check_;
int sim_store_remove(struct sim_store *s, const char *id) _must_check_;
/* Calls fn for each record found. Files of starts that never came to a whole
 * record are removed. */
int sim_store_each(struct sim_store *s,
                   int (*fn)(const struct sim_record *r, void *arg), void *arg,
                   struct err *reterr) _must_check_;
/* One line: "<at_us> <what> <id> <run> <reason>". */
int sim_store_journal(struct sim_store *s, int64_t at_us, const char *what,
                      const struct sim_record *r,
                      const char *reason) _must_check_;

#endif
