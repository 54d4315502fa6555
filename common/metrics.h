/* common/metrics.h - figures for monitoring, as OpenMetrics 1.0 text.
 * Role:      families with their type, unit and help; samples; histograms of
 *            durations; and the same in the older text format of Prometheus.
 * Ownership: a histogram is static or its owner's; nothing is allocated.
 * Threads:   a histogram may be filled and written by any thread at once; what
 *            is written is no snapshot, but its parts fit together.
 * Source:    the OpenMetrics specification 1.0; Prometheus' exposition formats,
 *            text-based format 0.0.4. */
#ifndef COMMON_METRICS_H
#define COMMON_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "common/buf.h"

/* Buckets of durations: the last is without a bound. */
#define METRICS_BUCKETS 13

struct metrics_hist {
    _Atomic uint64_t count[METRICS_BUCKETS]; /* each by itself */
    _Atomic uint64_t sum_us;
};

void metrics_observe(struct metrics_hist *h, int64_t us);
uint64_t metrics_hist_count(const struct metrics_hist *h);

enum metrics_type { METRICS_GAUGE, METRICS_COUNTER, METRICS_HISTOGRAM };

/* The head of a family; its samples follow at once. unit: NULL, or the end of
 * the name. Of counters the name is without _total. */
void metrics_family(struct buf *out, enum metrics_type type, const char *name,
                    const char *unit, const char *help);
/* One sample; labels: NULL, or `a="b"`. suffix: "" or "_total". */
void metrics_sample(struct buf *out, const char *name, const char *suffix,
                    const char *labels, uint64_t value);
/* A family of one sample. */
void metrics_gauge(struct buf *out, const char *name, const char *unit,
                   const char *help, uint64_t value);
void metrics_counter(struct buf *out, const char *name, const char *unit,
                     const char *help, uint64_t value);
void metrics_hist(struct buf *out, const char *name, const char *labels,
                  const struct metrics_hist *h);
/* The end of it all. */
void metrics_end(struct buf *out);

/* The type that a client is answered with, by its Accept header (may be NULL);
 * *out, which holds OpenMetrics, becomes that. */
const char *metrics_negotiate(const char *accept, struct buf *out);

#endif
