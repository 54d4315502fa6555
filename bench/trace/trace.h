/* bench/trace/trace.h - a history of VMs that came and went, made or read.
 * Role:       what the replay plays: one kind of node, the flavors, and every
 *             VM's begin and end. No clock, no policy.
 * Ownership:  trace_release() frees what the makers filled.
 * Threads:    one owner; read-only after trace_ready().
 * Errors:     -EINVAL bad input (a file's row at fault is named), -E2BIG over
 *             a cap, db.h's for a file that cannot be read.
 * Invariants: 1. 0 <= flavor need <= node in every dimension, and above 0 in
 *                one at least.
 *             2. vms are in order of start; start < end.
 *             3. event[] has both ends of every VM that ends, in order of
 *                time; at the same time the ends come before the starts. */
#ifndef BENCH_TRACE_TRACE_H
#define BENCH_TRACE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/* vCPU, memory, disk: what sched.h counts. */
enum { TRACE_DIMS = 3 };
#define TRACE_FLAVORS_MAX 4096
#define TRACE_VMS_MAX 50000000
#define TRACE_GIB_MIN 384 /* the largest flavor */
#define TRACE_NEVER INT64_MAX
#define TRACE_HOUR_MS (INT64_C(3600) * 1000)
#define TRACE_DAY_MS (24 * TRACE_HOUR_MS)

struct trace_need {
    int64_t v[TRACE_DIMS];
};

struct trace_vm {
    int64_t start, end; /* ms; below 0 before the measured time */
    /* When it is foretold to end; trace_foretell(). */
    int64_t foretold;
    uint32_t flavor, tenant;
    bool low; /* priority: may be preempted */
};

struct trace_event {
    int64_t at;
    uint32_t vm;
    bool starts;
};

struct trace {
    struct trace_need node;
    struct trace_need *flavors;
    size_t n_flavors;
    struct trace_vm *vms;
    size_t n_vms;
    struct trace_event *events;
    size_t n_events;
    int64_t until; /* the measured time is 0..until */
};

/* Shapes and their sources stand in gen.c. */
struct trace_shape {
    uint64_t seed;
    unsigned nodes; /* about this many are needed on average */
    unsigned days;  /* measured */
    /* A node's memory, at least TRACE_GIB_MIN; it has 96 vCPUs. With 384 both
     * resources bind, with 512 mostly the vCPUs do. */
    unsigned node_gib;
};

void trace_generate(const struct trace_shape *shape, struct trace *ret);
/* Azure's packing trace of 2020, for one machine type; machine < 0 takes the
 * one that most requests can use. */
int trace_read_azure(const char *path, int64_t machine, struct trace *ret,
                     struct err *reterr) _must_check_;
/* For makers: sorts vms and writes events. */
void trace_ready(struct trace *t);
/* Foretells every lifetime, wrong by a factor whose logarithm is normal with
 * deviation sigma; sigma 0 is an oracle. */
void trace_foretell(struct trace *t, double sigma, uint64_t seed);
void trace_release(struct trace *t);

/* Uniform, and of the same sequence for the same seed (SplitMix64). */
uint64_t trace_random(uint64_t *state);
double trace_unit(uint64_t *state);   /* 0 < x < 1 */
double trace_normal(uint64_t *state); /* mean 0, deviation 1 */

#endif
