/* bound.c - a lower bound on the nodes that a trace needs; see bound.h. */
#include <config.h>

#include "bench/trace/bound.h"

#include <string.h>

#include "bench/trace/columns.h"
#include "common/mem.h"

/* Values of functions, in these steps: rounded down, which keeps a function
 * dual feasible. */
#define STEPS COLUMN_ONE
#define U_MAX 24
#define THRESHOLDS_MAX 64
#define ROUNDS 6

struct sweep {
    int dim;
    int64_t *value; /* by flavor */
    int64_t most, at;
};

/* The greatest sum of value[] over all that runs at one time. */
static void
sweep(const struct trace *t, struct sweep *s)
{
    int64_t sum = 0;

    s->most = s->at = 0;
    for (size_t i = 0; i < t->n_events; i++) {
        const struct trace_event *e = &t->events[i];
        int64_t v = s->value[t->vms[e->vm].flavor];

        sum += e->starts ? v : -v;
        if (sum > s->most) {
            s->most = sum;
            s->at = e->at;
        }
    }
}

static void
better(struct trace_bound *b, const struct trace *t, struct sweep *s,
       size_t *also)
{
    sweep(t, s);
    size_t nodes = (size_t)((s->most + STEPS - 1) / STEPS);
    if (nodes > *also)
        *also = nodes;
    if (nodes > b->nodes) {
        b->nodes = nodes;
        b->at = s->at;
        b->dim = s->dim;
    }
}

static int64_t
part_of(int64_t x, int64_t of, int64_t steps)
{
    return (int64_t)((__int128)x * steps / of);
}

/* Martello and Toth: what is above 1 - k counts 1, what is below k nothing. */
static int64_t
l2(int64_t x, int64_t node, int64_t k)
{
    if (x > node - k)
        return STEPS;
    return x < k ? 0 : part_of(x, node, STEPS);
}

/* Fekete and Schepers: (k + 1) x rounded down to wholes, of k, unless it is
 * whole. */
static int64_t
u(int64_t x, int64_t node, int64_t k)
{
    __int128 y = (__int128)x * (k + 1);

    if (y % node == 0)
        return part_of(x, node, STEPS);
    return (int64_t)((y / node) * STEPS / k);
}

/* How many of each flavor run at that time. */
static void
running(const struct trace *t, int64_t at, int64_t *ret_count)
{
    memset(ret_count, 0, t->n_flavors * sizeof(*ret_count));
    for (size_t i = 0; i < t->n_vms && t->vms[i].start <= at; i++)
        ret_count[t->vms[i].flavor] += t->vms[i].end > at;
}

/* Prices for the worst instant known, which may name a worse one. */
static void
by_columns(struct trace_bound *b, const struct trace *t, struct sweep *s)
{
    int64_t *count _cleanup_(freep) = xcalloc(t->n_flavors + 1, sizeof(*count));
    int64_t at = b->at;

    for (int round = 0; round < ROUNDS; round++) {
        running(t, at, count);
        columns_price(t, count, s->value);
        better(b, t, s, &b->by_columns);
        if (s->at == at)
            break;
        at = s->at;
    }
}

void
trace_bound(const struct trace *t, struct trace_bound *ret)
{
    struct trace_bound b = {0};
    int64_t *value _cleanup_(freep) = xcalloc(t->n_flavors + 1, sizeof(*value));
    struct sweep s = {.value = value};

    for (s.dim = 0; s.dim < TRACE_DIMS; s.dim++) {
        int64_t node = t->node.v[s.dim];
        int64_t k = 0;
        int tried = 0;

        if (node == 0)
            continue;
        for (size_t f = 0; f < t->n_flavors; f++)
            value[f] = part_of(t->flavors[f].v[s.dim], node, STEPS);
        better(&b, t, &s, &b.by_load[s.dim]);
        for (int64_t ku = 1; ku <= U_MAX; ku++) {
            for (size_t f = 0; f < t->n_flavors; f++)
                value[f] = u(t->flavors[f].v[s.dim], node, ku);
            better(&b, t, &s, &b.by_function);
        }
        /* L2 changes at sizes of flavors only. */
        while (tried++ < THRESHOLDS_MAX) {
            int64_t next = INT64_MAX;

            for (size_t f = 0; f < t->n_flavors; f++) {
                int64_t x = t->flavors[f].v[s.dim];

                if (x > k && x < next)
                    next = x;
                if (node - x + 1 > k && node - x + 1 < next)
                    next = node - x + 1;
            }
            if (next > node / 2)
                break;
            k = next;
            for (size_t f = 0; f < t->n_flavors; f++)
                value[f] = l2(t->flavors[f].v[s.dim], node, k);
            better(&b, t, &s, &b.by_function);
        }
    }
    by_columns(&b, t, &s);
    *ret = b;
}
