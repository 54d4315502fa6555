/* metrics.c - figures as text; see metrics.h. */
#include <config.h>

#include "common/metrics.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "common/mem.h"

/* Upper bounds: from what a read of memory takes to a long poll's end. */
static const struct {
    int64_t us;
    const char *le;
} bounds[METRICS_BUCKETS] = {
    {100, "0.0001"},     {250, "0.00025"}, {500, "0.0005"},  {1000, "0.001"},
    {2500, "0.0025"},    {5000, "0.005"},  {10000, "0.01"},  {25000, "0.025"},
    {100000, "0.1"},     {500000, "0.5"},  {2500000, "2.5"}, {10000000, "10.0"},
    {INT64_MAX, "+Inf"},
};

void
metrics_observe(struct metrics_hist *h, int64_t us)
{
    size_t i = 0;

    while (us > bounds[i].us)
        i++;
    atomic_fetch_add_explicit(&h->count[i], 1, memory_order_relaxed);
    if (us > 0)
        atomic_fetch_add_explicit(&h->sum_us, (uint64_t)us,
                                  memory_order_relaxed);
}

uint64_t
metrics_hist_count(const struct metrics_hist *h)
{
    uint64_t n = 0;

    for (size_t i = 0; i < METRICS_BUCKETS; i++)
        n += atomic_load_explicit(&h->count[i], memory_order_relaxed);
    return n;
}

void
metrics_family(struct buf *out, enum metrics_type type, const char *name,
               const char *unit, const char *help)
{
    static const char *const types[] = {[METRICS_GAUGE] = "gauge",
                                        [METRICS_COUNTER] = "counter",
                                        [METRICS_HISTOGRAM] = "histogram"};

    buf_addf(out, "# TYPE %s %s\n", name, types[type]);
    if (unit)
        buf_addf(out, "# UNIT %s %s\n", name, unit);
    buf_addf(out, "# HELP %s %s\n", name, help);
}

void
metrics_sample(struct buf *out, const char *name, const char *suffix,
               const char *labels, uint64_t value)
{
    buf_addf(out, "%s%s", name, suffix);
    if (labels)
        buf_addf(out, "{%s}", labels);
    buf_addf(out, " %" PRIu64 "\n", value);
}

void
metrics_gauge(struct buf *out, const char *name, const char *unit,
              const char *help, uint64_t value)
{
    metrics_family(out, METRICS_GAUGE, name, unit, help);
    metrics_sample(out, name, "", NULL, value);
}

void
metrics_counter(struct buf *out, const char *name, const char *unit,
                const char *help, uint64_t value)
{
    metrics_family(out, METRICS_COUNTER, name, unit, help);
    metrics_sample(out, name, "_total", NULL, value);
}

void
metrics_hist(struct buf *out, const char *name, const char *labels,
             const struct metrics_hist *h)
{
    uint64_t n = 0;
    uint64_t us = atomic_load_explicit(&h->sum_us, memory_order_relaxed);
    const char *comma = labels ? "," : "";

    labels = labels ? labels : "";
    for (size_t i = 0; i < METRICS_BUCKETS; i++) {
        n += atomic_load_explicit(&h->count[i], memory_order_relaxed);
        buf_addf(out, "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", name, labels,
                 comma, bounds[i].le, n);
    }
    /* The count is that of the last bucket, whatever came meanwhile. */
    const char *open = *labels ? "{" : "", *close = *labels ? "}" : "";
    buf_addf(out, "%s_count%s%s%s %" PRIu64 "\n", name, open, labels, close, n);
    buf_addf(out, "%s_sum%s%s%s %" PRIu64 ".%06" PRIu64 "\n", name, open,
             labels, close, us / 1000000, us % 1000000);
}

void
metrics_end(struct buf *out)
{
    buf_adds(out, "# EOF\n");
}

/* ---- the older format ---- */

/* Whether the line is a comment of that kind; its name goes to *ret. */
static bool
is_comment(const char *line, const char *kind, const char **ret, size_t *ret_n)
{
    size_t n = strlen(kind);

    if (strncmp(line, "# ", 2) != 0 || strncmp(line + 2, kind, n) != 0 ||
        line[2 + n] != ' ')
        return false;
    *ret = line + 3 + n;
    *ret_n = strcspn(*ret, " \n");
    return true;
}

/* There a counter's family has the name of its samples, and there are no units
 * and no end. */
static void
to_text(const char *line, struct buf *out)
{
    const char *next, *name;
    bool counter = false;
    size_t n;

    for (; *line; line = next) {
        next = line + strcspn(line, "\n");
        next += *next == '\n';
        if (strncmp(line, "# EOF", 5) == 0 ||
            is_comment(line, "UNIT", &name, &n))
            continue;
        bool type = is_comment(line, "TYPE", &name, &n);
        if (type)
            counter = strncmp(name + n, " counter", 8) == 0;
        if (counter && (type || is_comment(line, "HELP", &name, &n))) {
            buf_add(out, line, (size_t)(name + n - line));
            buf_adds(out, "_total");
            line = name + n;
        }
        buf_add(out, line, (size_t)(next - line));
    }
}

const char *
metrics_negotiate(const char *accept, struct buf *out)
{
    struct buf text = {0};

    if (!accept || strstr(accept, "application/openmetrics-text") ||
        !strstr(accept, "text/plain"))
        return "application/openmetrics-text; version=1.0.0; charset=utf-8";
    to_text(buf_str(out), &text);
    buf_release(out);
    *out = text;
    return "text/plain; version=0.0.4; charset=utf-8";
}
