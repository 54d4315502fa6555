/* trace.c - a trace's arrays, order and foretold ends; see trace.h. */
#include <config.h>

#include "bench/trace/trace.h"

#include <math.h>

#include "common/mem.h"

static int vm_cmp(const void *a, const void *b);
static int event_cmp(const void *a, const void *b);

void
trace_ready(struct trace *t)
{
    qsort(t->vms, t->n_vms, sizeof(*t->vms), vm_cmp);
    free(t->events);
    t->events = xcalloc(2 * t->n_vms + 1, sizeof(*t->events));
    t->n_events = 0;
    for (size_t i = 0; i < t->n_vms; i++) {
        t->vms[i].foretold = t->vms[i].end;
        t->events[t->n_events++] =
            (struct trace_event){t->vms[i].start, (uint32_t)i, true};
        /* What ends after the measured time might as well not end. */
        if (t->vms[i].end <= t->until)
            t->events[t->n_events++] =
                (struct trace_event){t->vms[i].end, (uint32_t)i, false};
    }
    qsort(t->events, t->n_events, sizeof(*t->events), event_cmp);
}

void
trace_foretell(struct trace *t, double sigma, uint64_t seed)
{
    for (size_t i = 0; i < t->n_vms; i++) {
        struct trace_vm *vm = &t->vms[i];
        /* 90 days for one that never ends: as far as the Azure trace sees. */
        double life = vm->end == TRACE_NEVER ? 90.0 * (double)TRACE_DAY_MS
                                             : (double)(vm->end - vm->start);

        life *= exp(sigma * trace_normal(&seed));
        life = fmin(fmax(life, 1000), 1000.0 * (double)TRACE_DAY_MS);
        vm->foretold = vm->start + llround(life);
    }
}

void
trace_release(struct trace *t)
{
    free(t->flavors);
    free(t->vms);
    free(t->events);
    *t = (struct trace){0};
}

uint64_t
trace_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

double
trace_unit(uint64_t *state)
{
    return ((double)(trace_random(state) >> 11) + 0.5) * 0x1p-53;
}

double
trace_normal(uint64_t *state)
{
    /* Box and Muller (1958); the other half is not kept, so that the state is
     * all there is. */
    double r = sqrt(-2 * log(trace_unit(state)));

    return r * cos(2 * M_PI * trace_unit(state));
}

/* Every member takes part: qsort() may leave equals in any order, and the
 * replay must not depend on that. */
static int
vm_cmp(const void *a, const void *b)
{
    const struct trace_vm *x = a, *y = b;

    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    if (x->flavor != y->flavor)
        return x->flavor < y->flavor ? -1 : 1;
    if (x->tenant != y->tenant)
        return x->tenant < y->tenant ? -1 : 1;
    return (int)x->low - (int)y->low;
}

static int
event_cmp(const void *a, const void *b)
{
    const struct trace_event *x = a, *y = b;

    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    if (x->starts != y->starts)
        return x->starts ? 1 : -1;
    return x->vm < y->vm ? -1 : x->vm > y->vm;
}
