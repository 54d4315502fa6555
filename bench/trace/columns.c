/* columns.c - prices by column generation; see columns.h. */
#include <config.h>

#include "bench/trace/columns.h"

#include <math.h>
#include <string.h>

#include "common/mem.h"

#define GRID_MAX 400
#define ROUNDS_MAX 400
/* More would take hours; the bound then rests on the other functions. */
#define FLAVORS_MAX 512
/* Within this of the linear program's value is near enough. */
#define NEAR 1.0002
#define TINY 1e-9
#define NONE UINT16_MAX

/* The two resources that matter, on a grid. */
struct grid {
    int cap[2];
    size_t n;     /* of flavors with any size on it */
    int *size[2]; /* by row */
    size_t *flavor;
    double *best; /* by state a * (cap[1] + 1) + b */
    uint16_t *choice;
};

/* The master program: minimize the nodes, with as many fillings as rows. */
struct master {
    size_t m;
    double *inverse; /* of the basis, m x m */
    double *x;       /* how much of each basic column */
    double *cost;    /* 1 for fillings, 0 for surplus */
    double *y;       /* prices */
    double *column, *d;
};

static int64_t
gcd(int64_t a, int64_t b)
{
    while (b) {
        int64_t r = a % b;

        a = b;
        b = r;
    }
    return a;
}

/* The two resources of which most is asked, in parts of a node. */
static void
choose_dims(const struct trace *t, const int64_t *count, int dims[2])
{
    double load[TRACE_DIMS] = {0};

    for (int d = 0; d < TRACE_DIMS; d++) {
        for (size_t f = 0; f < t->n_flavors && t->node.v[d]; f++)
            load[d] += (double)count[f] * (double)t->flavors[f].v[d] /
                       (double)t->node.v[d];
    }
    dims[0] = 0;
    for (int d = 1; d < TRACE_DIMS; d++) {
        if (load[d] > load[dims[0]])
            dims[0] = d;
    }
    dims[1] = dims[0] == 0 ? 1 : 0;
    for (int d = 0; d < TRACE_DIMS; d++) {
        if (d != dims[0] && load[d] > load[dims[1]])
            dims[1] = d;
    }
}

static void
grid_init(struct grid *g, const struct trace *t, const int64_t *count)
{
    int dims[2];

    *g = (struct grid){0};
    choose_dims(t, count, dims);
    g->flavor = xcalloc(t->n_flavors, sizeof(*g->flavor));
    for (int k = 0; k < 2; k++) {
        int64_t node = t->node.v[dims[k]], unit = node;

        g->size[k] = xcalloc(t->n_flavors, sizeof(int));
        for (size_t f = 0; f < t->n_flavors; f++)
            unit = gcd(unit, t->flavors[f].v[dims[k]]);
        bool exact = node > 0 && node / unit <= GRID_MAX;
        g->cap[k] = node == 0 ? 0 : exact ? (int)(node / unit) : GRID_MAX;
    }
    for (size_t f = 0; f < t->n_flavors; f++) {
        int size[2] = {0};

        for (int k = 0; k < 2; k++) {
            int64_t node = t->node.v[dims[k]];

            if (node)
                size[k] = (int)((__int128)t->flavors[f].v[dims[k]] * g->cap[k] /
                                node);
        }
        /* Worth nothing if it has no size: any number fits. */
        if (count[f] <= 0 || (size[0] == 0 && size[1] == 0))
            continue;
        g->size[0][g->n] = size[0];
        g->size[1][g->n] = size[1];
        g->flavor[g->n++] = f;
    }
    size_t states = (size_t)(g->cap[0] + 1) * (size_t)(g->cap[1] + 1);
    g->best = xcalloc(states, sizeof(*g->best));
    g->choice = xcalloc(states, sizeof(*g->choice));
}

static void
grid_release(struct grid *g)
{
    free(g->size[0]);
    free(g->size[1]);
    free(g->flavor);
    free(g->best);
    free(g->choice);
}

/* The filling worth most, as often each flavor as it likes. Prices that are
 * integers below 2^53 add up exactly. */
static double
knapsack(struct grid *g, const double *price, double *ret_filling)
{
    int width = g->cap[1] + 1;

    for (int a = 0; a <= g->cap[0]; a++) {
        for (int b = 0; b < width; b++) {
            double best = 0;
            uint16_t choice = NONE;

            for (size_t i = 0; i < g->n; i++) {
                if (g->size[0][i] > a || g->size[1][i] > b || price[i] <= 0)
                    continue;
                double v =
                    price[i] +
                    g->best[(a - g->size[0][i]) * width + b - g->size[1][i]];
                if (v > best) {
                    best = v;
                    choice = (uint16_t)i;
                }
            }
            g->best[a * width + b] = best;
            g->choice[a * width + b] = choice;
        }
    }
    if (ret_filling) {
        int a = g->cap[0], b = g->cap[1];

        memset(ret_filling, 0, g->n * sizeof(*ret_filling));
        for (uint16_t i; (i = g->choice[a * width + b]) != NONE;) {
            ret_filling[i]++;
            a -= g->size[0][i];
            b -= g->size[1][i];
        }
    }
    return g->best[g->cap[0] * width + g->cap[1]];
}

/* One flavor a node, to begin with. */
static void
master_init(struct master *ms, const struct grid *g, const int64_t *count)
{
    size_t m = g->n;

    *ms = (struct master){.m = m};
    ms->inverse = xcalloc(m * m, sizeof(double));
    ms->x = xcalloc(m, sizeof(double));
    ms->cost = xcalloc(m, sizeof(double));
    ms->y = xcalloc(m, sizeof(double));
    ms->column = xcalloc(m, sizeof(double));
    ms->d = xcalloc(m, sizeof(double));
    for (size_t i = 0; i < m; i++) {
        int fit = INT32_MAX;

        for (int k = 0; k < 2; k++) {
            if (g->size[k][i])
                fit = MIN(fit, g->cap[k] / g->size[k][i]);
        }
        ms->inverse[i * m + i] = 1.0 / fit;
        ms->x[i] = (double)count[g->flavor[i]] / fit;
        ms->cost[i] = 1;
    }
}

static void
master_release(struct master *ms)
{
    free(ms->inverse);
    free(ms->x);
    free(ms->cost);
    free(ms->y);
    free(ms->column);
    free(ms->d);
}

static void
master_prices(struct master *ms)
{
    size_t m = ms->m;

    for (size_t j = 0; j < m; j++) {
        ms->y[j] = 0;
        for (size_t i = 0; i < m; i++)
            ms->y[j] += ms->cost[i] * ms->inverse[i * m + j];
    }
}

/* column[] enters the basis; false if none can leave. */
static bool
master_pivot(struct master *ms, double cost)
{
    size_t m = ms->m, out = m;
    double least = INFINITY;

    for (size_t i = 0; i < m; i++) {
        ms->d[i] = 0;
        for (size_t j = 0; j < m; j++)
            ms->d[i] += ms->inverse[i * m + j] * ms->column[j];
        if (ms->d[i] > TINY && ms->x[i] / ms->d[i] < least) {
            least = ms->x[i] / ms->d[i];
            out = i;
        }
    }
    if (out == m)
        return false;
    double pivot = ms->d[out];
    for (size_t j = 0; j < m; j++)
        ms->inverse[out * m + j] /= pivot;
    ms->x[out] = least;
    ms->cost[out] = cost;
    for (size_t i = 0; i < m; i++) {
        if (i == out)
            continue;
        for (size_t j = 0; j < m; j++)
            ms->inverse[i * m + j] -= ms->d[i] * ms->inverse[out * m + j];
        ms->x[i] = fmax(0, ms->x[i] - ms->d[i] * least);
    }
    return true;
}

/* A row whose price is below 0 has too much: its surplus enters. */
static bool
surplus(struct master *ms)
{
    size_t least = 0;

    for (size_t j = 1; j < ms->m; j++) {
        if (ms->y[j] < ms->y[least])
            least = j;
    }
    if (ms->y[least] >= -TINY)
        return false;
    memset(ms->column, 0, ms->m * sizeof(double));
    ms->column[least] = -1;
    return true;
}

/* Until prices / worth of the best filling, a bound by itself (Farley 1990),
 * are as good as the program's value. */
static void
solve(struct grid *g, struct master *ms)
{
    for (int round = 0; round < ROUNDS_MAX; round++) {
        double cost = 0;

        master_prices(ms);
        if (!surplus(ms)) {
            if (knapsack(g, ms->y, ms->column) <= NEAR)
                return;
            cost = 1;
        }
        if (!master_pivot(ms, cost))
            return;
    }
}

void
columns_price(const struct trace *t, const int64_t *count, int64_t *ret_value)
{
    struct grid g;
    struct master ms;

    memset(ret_value, 0, t->n_flavors * sizeof(*ret_value));
    grid_init(&g, t, count);
    if (g.n > 0 && g.n <= FLAVORS_MAX) {
        master_init(&ms, &g, count);
        solve(&g, &ms);
        /* Whole numbers of 2^-32, so that the knapsack's sums are exact. */
        double *price = ms.y;
        for (size_t i = 0; i < g.n; i++)
            price[i] = floor(fmin(fmax(price[i], 0), 1) * 0x1p32);
        double most = fmax(knapsack(&g, price, NULL), 1);
        for (size_t i = 0; i < g.n; i++)
            ret_value[g.flavor[i]] =
                (int64_t)((__int128)price[i] * COLUMN_ONE / (int64_t)most);
        master_release(&ms);
    }
    grid_release(&g);
}
