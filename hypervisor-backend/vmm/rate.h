/* hypervisor-backend/vmm/rate.h - token buckets for one disk or NIC.
 * Role:      says whether the next operation may go now, and when to ask
 *            again. Two buckets: operations and bytes. An operation is let
 *            through while both hold something and then charged in full, so
 *            one that is larger than the burst passes and is paid back.
 * Ownership: plain data.   Threads: the owner's lock.
 * Errors:    none.
 * Invariant: over any span, what passes <= rate * span + burst + one
 *            operation. */
#ifndef HYPERVISOR_BACKEND_VMM_RATE_H
#define HYPERVISOR_BACKEND_VMM_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct rate_bucket {
    uint64_t per_s, burst; /* per_s 0: no limit */
    int64_t level;         /* tokens; below zero: owed */
    uint64_t last_ns;
    uint64_t rest; /* of the division, in tokens * ns */
};

struct rate_limits {
    uint64_t ops_per_s, ops_burst; /* burst 0: one second's worth */
    uint64_t bytes_per_s, bytes_burst;
};

struct rate {
    struct rate_bucket ops, bytes;
};

uint64_t rate_now_ns(void); /* monotonic */
/* Buckets start full. Again at any time with new limits. */
void rate_init(struct rate *r, const struct rate_limits *l, uint64_t now_ns);
bool rate_limited(const struct rate *r);
/* 0: go; else nanoseconds until it is worth asking again. */
uint64_t rate_wait_ns(struct rate *r, uint64_t now_ns);
void rate_charge(struct rate *r, uint64_t ops, uint64_t bytes);

#endif
