/* metering/usage.h - add up usage intervals, exactly.
 * Role:      pure integer arithmetic over rows handed in; no I/O, no clock.
 *            Prices come later: here are quantities only.
 * Ownership: everything is borrowed; text goes into the caller's array.
 * Threads:   reentrant.
 * Errors:    -EINVAL a row or window that makes no sense, -EOVERFLOW a sum
 *            that cannot be counted; the sums are then as they were.
 * Invariants: 1. Sums over [a,b) and [b,c) add up to the sum over [a,c), for
 *                any b: nothing is rounded while adding.
 *             2. A closed interval counts the same whatever the time is now:
 *                a past period always gives the same sums.
 *             3. Rounding happens once, when a sum becomes text: to 6
 *                decimals, half to even. */
#ifndef METERING_USAGE_H
#define METERING_USAGE_H

#include <stdint.h>

#include "common/cleanup.h"

/* A span in which an instance ran with these resources: [start, end). */
struct meter_interval {
    int64_t start_us;
    int64_t end_us; /* 0 while open */
    int64_t vcpus;
    int64_t memory_bytes;
    int64_t disk_bytes;
};

struct meter_usage {
    int64_t running_us;
    unsigned __int128 vcpu_us;
    unsigned __int128 memory_byte_us;
    unsigned __int128 disk_byte_us;
    uint64_t intervals; /* those that counted for more than nothing */
};

/* Adds the part of iv within [from_us, to_us). An open interval ends at
 * now_us for now; one that starts later than now counts nothing yet. */
int meter_usage_add(struct meter_usage *u, const struct meter_interval *iv,
                    int64_t from_us, int64_t to_us,
                    int64_t now_us) _must_check_;
/* Adds one sum to another, such as an instance's to its project's. */
int meter_usage_merge(struct meter_usage *u,
                      const struct meter_usage *other) _must_check_;

/* Decimal text; each fills out and returns it. */
#define METER_TEXT_MAX 48
/* Exact: "12.345678". */
char *meter_format_seconds(int64_t us, char out[METER_TEXT_MAX]);
/* From vcpu_us: "1.500000". */
char *meter_format_vcpu_hours(unsigned __int128 vcpu_us,
                              char out[METER_TEXT_MAX]);
/* From memory_byte_us or disk_byte_us; 1 GiB is 2^30 bytes. */
char *meter_format_gib_hours(unsigned __int128 byte_us,
                             char out[METER_TEXT_MAX]);

#endif
