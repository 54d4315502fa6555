/* hypervisor-backend/vmm/run-private.h - the state of one VM's life, between
 * run.c (the loop), run_console.c (bytes) and run_verbs.c (requests).
 * Threads: the main thread. */
#ifndef HYPERVISOR_BACKEND_VMM_RUN_PRIVATE_H
#define HYPERVISOR_BACKEND_VMM_RUN_PRIVATE_H

#include <termios.h>

#include "hypervisor-backend/vmm/control.h"
#include "hypervisor-backend/vmm/rate.h"
#include "hypervisor-backend/vmm/run.h"

/* A console's log: far above what a boot says, far below what fills a disk
 * between two looks. */
#define RUN_LOG_BYTES_PER_S (UINT64_C(1) << 20)
#define RUN_LOG_BURST (UINT64_C(4) << 20)

struct run_console {
    int in, out; /* -1: none, or given up */
    int log;
    struct buf pending; /* for out */
    bool terminal;      /* in is one, and raw now */
    struct termios saved;
    /* Of what is written to the log, which is cut from outside now and then:
     * "rep outsb" is quick. */
    struct rate log_rate;
    uint64_t dropped; /* bytes that a slow or broken `out` or log missed */
};

struct run {
    struct spec *spec;
    const struct run_io *io;
    struct vm *vm; /* NULL while it rests between two runs */
    struct devices *devices;
    struct control *control; /* NULL: no socket */
    struct run_console console;
    unsigned asked;           /* how often signals asked us to end */
    bool paused, stop, reset; /* as wanted from outside */
    int64_t started_at_us;    /* wall clock, of this run */
    uint64_t resets;
    /* Requests that are answered later: one per connection at most. */
    struct run_waiter {
        uint64_t ticket;
        enum control_verb verb;
        enum devices_kind kind; /* of a detach, with name */
        char name[DEVICES_NAME_SIZE];
        int64_t until_us; /* monotonic; 0: to the end */
    } waiters[CONTROL_CONNECTIONS];
    size_t n_waiters;
};

void run_console_open(struct run *r);
void run_console_close(struct run *r);
/* Whether stdin may be read, and stdout has something to come. */
bool run_console_wants_in(const struct run *r);
bool run_console_wants_out(const struct run *r);
void run_console_read(struct run *r);
void run_console_write(struct run *r);
/* Takes the serial port's output to everyone, as much as it held at once; the
 * port tells of new output only what comes into an empty ring, so whoever
 * pumps asks whether there is more. */
void run_console_pump(struct run *r);
bool run_console_has_more(const struct run *r);
/* The last of it, waiting where a reader is slow. */
void run_console_drain(struct run *r);
uint64_t run_console_dropped(const struct run *r);

extern const struct control_ops run_control_ops;
/* Answers all who wait, when it is over. */
void run_tell_end(struct run *r, enum vm_end end);
/* A device that the guest was asked for is gone (devices.h). */
void run_detached(void *arg, enum devices_kind kind, const char *name);
/* Who waited long enough; and when that is next (0: nobody). */
void run_answer_late(struct run *r);
int64_t run_next_late_us(const struct run *r);
/* Both take the devices along. */
void run_pause(struct run *r);
void run_resume(struct run *r);

/* What a device is to be, from its description; descriptors change hands. */
struct devices_disk run_disk(struct spec_disk *d);
struct devices_nic run_nic(struct spec_nic *n);

/* run_facts.c: results of `describe`, `stats` and `balloon`; the devices'
 * part of the metrics (arg is the run). */
void run_describe(struct run *r, struct buf *out);
void run_stats(struct run *r, struct buf *out);
void run_balloon(struct run *r, struct buf *out);
void run_device_metrics(void *arg, struct buf *out);

#endif
