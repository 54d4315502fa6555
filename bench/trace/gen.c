/* gen.c - makes traces with the published shapes of public clouds.
 * Each constant names its source:
 *   [C17]  Cortez et al., "Resource Central", SOSP 2017, section 3: sizes,
 *          deployments, lifetimes, arrivals; behaviour repeats per customer.
 *   [H20]  Hadary et al., "Protean", OSDI 2020, and the packing trace that was
 *          published with it: few types make most requests, two priorities,
 *          VMs that are there when the trace begins.
 *   [L25]  Ling et al., "LAVA", MLSys 2025, figure 1: 88 % of VMs live less
 *          than an hour, and 98 % of resources belong to the others.
 * Where a source has a curve and no numbers, the constants are ours and stand
 * for its shape. */
#include <config.h>

#include "bench/trace/trace.h"

#include <math.h>

#include "common/mem.h"

#define GIB (INT64_C(1) << 30)
#define TENANTS 400
/* VMs that began this long before and are still there: [H20] has them with
 * negative start times. */
#define BEFORE_DAYS 90

/* Nodes of 96 vCPUs with local disk enough; their memory is the caller's. */
#define NODE_VCPUS 96
#define NODE_DISK (6000 * GIB)

/* The families that all large clouds sell: 2, 4 and 8 GiB a vCPU, burstable
 * ones with less, in sizes up to the whole node. In order of popularity: one
 * and two vCPUs make about 80 % of all VMs [C17, fig. 2], some have 4 and 8,
 * few have more. */
static const struct {
    int vcpus, gib;
} kinds[] = {
    {2, 8},   {1, 2},    {2, 4},    {1, 1},   {1, 4},    {4, 16},   {2, 16},
    {4, 8},   {8, 32},   {2, 7},    {4, 32},  {8, 16},   {16, 64},  {8, 64},
    {4, 14},  {16, 32},  {6, 48},   {8, 56},  {32, 64},  {16, 128}, {32, 128},
    {12, 96}, {48, 192}, {32, 256}, {48, 96}, {64, 256}, {96, 384},
};
#define KINDS ((int)ARRAY_SIZE(kinds))

/* Zipf's exponent of popularity: the first type makes a quarter of all
 * requests, the first five two thirds. */
#define ZIPF 1.25

/* Lifetimes, [C17, fig. 5] and [L25]: a sum of four parts. Short work, jobs
 * of hours, services whose life has a tail of Pareto's kind from a day on, and
 * what never ends. */
enum life { LIFE_SHORT, LIFE_HOURS, LIFE_DAYS, LIFE_NEVER, LIVES };
static const double life_share[LIVES] = {0.87, 0.095, 0.031, 0.004};
#define SHORT_MEDIAN_MS (10 * 60 * 1000.0)
#define SHORT_SIGMA 0.9
#define HOURS_MEDIAN_MS (4 * 3600 * 1000.0)
#define HOURS_SIGMA 1.0
#define DAYS_LEAST_MS (24 * 3600 * 1000.0)
#define DAYS_ALPHA 0.9
#define LIFE_MAX_MS (2000 * 24 * 3600 * 1000.0)

/* [C17, fig. 7 and section 3.6]: days differ from nights by about a factor of
 * two, weekends have fewer. */
#define DAY_SWING 0.4
#define PEAK_HOUR 14
#define WEEKEND 0.7

/* [C17, fig. 4]: half the deployments are one VM, 80 % at most five, few have
 * more than twenty. */
#define DEPLOY_ALPHA 1.0
#define DEPLOY_MAX 40

/* [H20]: low priority (spot) exists; how much of it is ours. */
#define LOW_SHARE 0.15

/* Behaviour repeats per customer [C17, section 3]: each tenant has favourite
 * types and a favourite kind of life, and takes these so often. */
#define FAVOURITE 0.7

struct tenant {
    int kind;
    enum life life;
};

struct maker {
    struct trace *t;
    uint64_t rnd;
    double popular[KINDS]; /* sums up to 1 */
    struct tenant tenants[TENANTS];
    double tenant_sum[TENANTS];
    size_t cap;
};

static void maker_init(struct maker *m, struct trace *t, uint64_t seed);
static double mean_nodes_ms(struct maker *m);
static void deploy(struct maker *m, int64_t at);
static double rate_at(int64_t at);

void
trace_generate(const struct trace_shape *shape, struct trace *ret)
{
    struct maker m;
    struct trace t = {
        .node = {{NODE_VCPUS, shape->node_gib * GIB, NODE_DISK}},
        .n_flavors = KINDS,
        .until = shape->days * TRACE_DAY_MS,
    };

    t.flavors = xcalloc(KINDS, sizeof(*t.flavors));
    for (int i = 0; i < KINDS; i++)
        t.flavors[i] = (struct trace_need){
            {kinds[i].vcpus, kinds[i].gib * GIB, kinds[i].gib * 10 * GIB}};
    maker_init(&m, &t, shape->seed);

    /* Deployments come as a Poisson process whose rate follows the day:
     * thinning, Lewis and Shedler (1979). */
    double every_ms = mean_nodes_ms(&m) / shape->nodes;
    double most = 1 + DAY_SWING;
    double at = -(double)BEFORE_DAYS * (double)TRACE_DAY_MS;
    for (;;) {
        at += -log(trace_unit(&m.rnd)) * every_ms / most;
        if (at >= (double)t.until)
            break;
        if (trace_unit(&m.rnd) * most <= rate_at((int64_t)at))
            deploy(&m, (int64_t)at);
    }
    trace_ready(&t);
    *ret = t;
}

static double
rate_at(int64_t at)
{
    /* Day 0 is a Monday, and so is the day that is counted from. */
    int64_t since = at + (BEFORE_DAYS / 7 + 1) * 7 * TRACE_DAY_MS;
    int64_t day = since / TRACE_DAY_MS;
    double hour = (double)(since % TRACE_DAY_MS) / (double)TRACE_HOUR_MS;
    double swing = cos((hour - PEAK_HOUR) * 2 * M_PI / 24);

    return (day % 7 >= 5 ? WEEKEND : 1) * (1 + DAY_SWING * swing);
}

/* The first index whose sum reaches x. */
static int
pick(const double *sum, int n, double x)
{
    int lo = 0, hi = n - 1;

    while (lo < hi) {
        int mid = (lo + hi) / 2;

        if (sum[mid] < x)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void
normalize(double *sum, int n)
{
    for (int i = 1; i < n; i++)
        sum[i] += sum[i - 1];
    for (int i = 0; i < n; i++)
        sum[i] /= sum[n - 1];
    sum[n - 1] = 1;
}

static enum life
random_life(struct maker *m)
{
    double x = trace_unit(&m->rnd);
    int life = 0;

    while (life < LIVES - 1 && x >= life_share[life])
        x -= life_share[life++];
    return (enum life)life;
}

static void
maker_init(struct maker *m, struct trace *t, uint64_t seed)
{
    *m = (struct maker){.t = t, .rnd = seed};
    for (int i = 0; i < KINDS; i++)
        /* Zones differ in what is popular, and so do seeds. */
        m->popular[i] = pow(i + 1, -ZIPF) * exp(0.3 * trace_normal(&m->rnd));
    normalize(m->popular, KINDS);
    for (int i = 0; i < TENANTS; i++) {
        m->tenants[i].kind = pick(m->popular, KINDS, trace_unit(&m->rnd));
        m->tenants[i].life = random_life(m);
        m->tenant_sum[i] = 1 / (10.0 + i); /* few customers have many VMs */
    }
    normalize(m->tenant_sum, TENANTS);
}

static double
random_life_ms(struct maker *m, enum life life)
{
    double ms = LIFE_MAX_MS;

    if (life == LIFE_SHORT)
        ms = SHORT_MEDIAN_MS * exp(SHORT_SIGMA * trace_normal(&m->rnd));
    else if (life == LIFE_HOURS)
        ms = HOURS_MEDIAN_MS * exp(HOURS_SIGMA * trace_normal(&m->rnd));
    else if (life == LIFE_DAYS)
        ms = DAYS_LEAST_MS * pow(trace_unit(&m->rnd), -1 / DAYS_ALPHA);
    return fmin(fmax(ms, 1000), LIFE_MAX_MS);
}

struct plan {
    uint32_t tenant;
    int kind, count;
    enum life life;
};

static struct plan
random_plan(struct maker *m)
{
    struct plan p;

    p.tenant = (uint32_t)pick(m->tenant_sum, TENANTS, trace_unit(&m->rnd));
    p.kind = m->tenants[p.tenant].kind;
    if (trace_unit(&m->rnd) >= FAVOURITE)
        p.kind = pick(m->popular, KINDS, trace_unit(&m->rnd));
    p.life = m->tenants[p.tenant].life;
    if (trace_unit(&m->rnd) >= FAVOURITE)
        p.life = random_life(m);
    double many = pow(trace_unit(&m->rnd), -1 / DEPLOY_ALPHA);
    /* Nobody deploys ten whole nodes at once. */
    int most = MAX(1, DEPLOY_MAX / kinds[p.kind].vcpus);
    p.count = (int)fmin(many, most);
    return p;
}

/* What a deployment occupies on average, in nodes times ms as far as the
 * measured time can see it, from a sample. */
static double
mean_nodes_ms(struct maker *m)
{
    enum { SAMPLES = 200000 };
    double seen = BEFORE_DAYS * (double)TRACE_DAY_MS, sum = 0;
    struct maker copy = *m;

    for (int i = 0; i < SAMPLES; i++) {
        struct plan p = random_plan(&copy);
        double share = 0;

        for (int d = 0; d < TRACE_DIMS; d++)
            share = fmax(share, (double)m->t->flavors[p.kind].v[d] /
                                    (double)m->t->node.v[d]);
        sum += share * p.count * fmin(random_life_ms(&copy, p.life), seen);
    }
    return sum / SAMPLES;
}

static void
deploy(struct maker *m, int64_t at)
{
    struct plan p = random_plan(m);
    bool low = trace_unit(&m->rnd) < LOW_SHARE;

    for (int i = 0; i < p.count; i++) {
        double life = random_life_ms(m, p.life);
        struct trace_vm vm = {
            .start = at,
            .end = life >= LIFE_MAX_MS ? TRACE_NEVER : at + llround(life),
            .flavor = (uint32_t)p.kind,
            .tenant = p.tenant,
            .low = low,
        };
        struct trace *t = m->t;

        if (vm.end <= 0)
            continue; /* gone before the trace begins, as in [H20] */
        if (t->n_vms == m->cap) {
            m->cap = m->cap ? 2 * m->cap : 4096;
            t->vms = xrealloc(t->vms, m->cap * sizeof(*t->vms));
        }
        t->vms[t->n_vms++] = vm;
    }
}
