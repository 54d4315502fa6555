/* table.c - runs every policy and prints what came out; see table.h. */
#include <config.h>

#include "bench/trace/table.h"

#include <inttypes.h>
#include <string.h>

#include "common/mem.h"

static const char *const roles[] = {
    [POLICY_BASELINE] = "baseline",
    [POLICY_OURS] = "ours",
    [POLICY_PROPOSED] = "proposed",
};

void
table_init(struct table *tb, const char *cluster)
{
    *tb = (struct table){.cluster = cluster};
    tb->cells = xcalloc(n_policies, sizeof(*tb->cells));
}

void
table_release(struct table *tb)
{
    free(tb->cells);
    *tb = (struct table){0};
}

static int
measure(const struct trace *t, const struct policy *p, size_t bound,
        struct table_cell *cell, size_t *ret_nodes, struct err *reterr)
{
    struct replay_how full = {.nodes = bound};
    struct replay_how roomy = {.nodes = bound + (bound + 9) / 10,
                               .measure = true};
    struct err e = {0};
    int r = trace_compact(t, p, bound, 2 * bound, ret_nodes, &e);

    *cell = (struct table_cell){.held = r == 0};
    if (r == -ENOSPC) {
        *ret_nodes = 2 * bound;
        err_release(&e);
        r = 0;
    }
    if (r < 0) {
        err_move(reterr, &e);
        return r;
    }
    cell->needed = (double)*ret_nodes / (double)bound;
    r = trace_replay(t, p, &full, &cell->full, reterr);
    return r < 0 ? r : trace_replay(t, p, &roomy, &cell->roomy, reterr);
}

static double
refused(const struct replay_result *r)
{
    return r->asked ? (double)r->refused / (double)r->asked : 0;
}

static void
print_cell(FILE *f, const struct table_cell *c)
{
    fprintf(f,
            "\"held\":%s,\"nodes_per_bound\":%.4f,\"refused\":%.6f,"
            "\"refused_vcpus\":%.6f,\"stranded_vcpus\":%.4f,"
            "\"stranded_memory\":%.4f,\"empty_nodes\":%.4f",
            c->held ? "true" : "false", c->needed, refused(&c->full),
            c->full.refused_vcpu_share, c->roomy.stranded[0],
            c->roomy.stranded[1], c->roomy.empty);
}

int
table_add(struct table *tb, const struct trace *t, uint64_t seed,
          const char *only, FILE *json, struct err *reterr)
{
    struct trace_bound b;

    if (tb->traces == TABLE_TRACES_MAX)
        return err_set(reterr, -E2BIG, "too_many", "more than %d traces",
                       TABLE_TRACES_MAX);
    trace_bound(t, &b);
    if (b.nodes == 0)
        return err_set(reterr, -EINVAL, "bad_trace", "nothing runs in it");
    fprintf(json,
            "{\"bench\":\"trace\",\"cluster\":\"%s\",\"seed\":%" PRIu64
            ",\"vms\":%zu,\"bound\":%zu,\"peak_vcpus\":%zu,"
            "\"peak_memory\":%zu,\"peak_disk\":%zu,\"functions\":%zu,"
            "\"columns\":%zu,\"at_day\":%.2f}\n",
            tb->cluster, seed, t->n_vms, b.nodes, b.by_load[0], b.by_load[1],
            b.by_load[2], b.by_function, b.by_columns,
            (double)b.at / (double)TRACE_DAY_MS);
    for (size_t i = 0; i < n_policies; i++) {
        struct table_cell *cell = &tb->cells[i][tb->traces];
        size_t nodes = 0;

        if (only && !streq(only, policies[i].name))
            continue;
        int r = measure(t, &policies[i], b.nodes, cell, &nodes, reterr);
        if (r < 0)
            return r;
        fprintf(json,
                "{\"bench\":\"trace\",\"cluster\":\"%s\",\"seed\":%" PRIu64
                ",\"policy\":\"%s\",\"role\":\"%s\",\"bound\":%zu,"
                "\"nodes\":%zu,",
                tb->cluster, seed, policies[i].name, roles[policies[i].role],
                b.nodes, nodes);
        print_cell(json, cell);
        fputs("}\n", json);
        fflush(json);
    }
    tb->traces++;
    return 0;
}

static int
double_cmp(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* The middle one, or the mean of the middle two. */
static double
median(double *v, size_t n)
{
    qsort(v, n, sizeof(*v), double_cmp);
    return n == 0 ? 0 : (v[(n - 1) / 2] + v[n / 2]) / 2;
}

double
table_needed(const struct table *tb, size_t policy)
{
    double v[TABLE_TRACES_MAX];

    for (size_t k = 0; k < tb->traces; k++)
        v[k] = tb->cells[policy][k].needed;
    return median(v, tb->traces);
}

/* Each figure's own median. */
static struct table_cell
median_cell(const struct table *tb, size_t policy)
{
    enum { FIGURES = 5 };
    double v[FIGURES][TABLE_TRACES_MAX];
    struct table_cell m = {.needed = table_needed(tb, policy)};
    size_t held = 0;

    for (size_t k = 0; k < tb->traces; k++) {
        const struct table_cell *c = &tb->cells[policy][k];

        held += c->held;
        v[0][k] = refused(&c->full);
        v[1][k] = c->full.refused_vcpu_share;
        v[2][k] = c->roomy.stranded[0];
        v[3][k] = c->roomy.stranded[1];
        v[4][k] = c->roomy.empty;
    }
    m.held = 2 * held > tb->traces;
    m.full.asked = 1000000;
    m.full.refused = (size_t)(median(v[0], tb->traces) * 1e6 + 0.5);
    m.full.refused_vcpu_share = median(v[1], tb->traces);
    m.roomy.stranded[0] = median(v[2], tb->traces);
    m.roomy.stranded[1] = median(v[3], tb->traces);
    m.roomy.empty = median(v[4], tb->traces);
    return m;
}

void
table_print(const struct table *tb, FILE *json, FILE *text)
{
    fprintf(text,
            "\n%s, medians of %zu traces\n"
            "%-14s %-9s %9s  %18s  %17s  %5s\n"
            "%-14s %-9s %9s  %9s %8s  %8s %8s  %5s\n",
            tb->cluster, tb->traces, "", "", "nodes /", "refused at bound",
            "stranded, +10 %", "empty", "policy", "role", "bound", "requests",
            "vCPUs", "vCPUs", "memory", "nodes");
    for (size_t i = 0; i < n_policies; i++) {
        struct table_cell m = median_cell(tb, i);

        if (m.needed == 0)
            continue; /* was not asked for */
        fprintf(json,
                "{\"bench\":\"trace\",\"cluster\":\"%s\",\"median_of\":%zu,"
                "\"policy\":\"%s\",\"role\":\"%s\",",
                tb->cluster, tb->traces, policies[i].name,
                roles[policies[i].role]);
        print_cell(json, &m);
        fputs("}\n", json);
        fprintf(text,
                "%-14s %-9s %s%8.3f  %7.3f %% %6.2f %%  %6.2f %% %6.2f %%  "
                "%3.1f %%\n",
                policies[i].name, roles[policies[i].role], m.held ? " " : ">",
                m.needed, 100 * refused(&m.full),
                100 * m.full.refused_vcpu_share, 100 * m.roomy.stranded[0],
                100 * m.roomy.stranded[1], 100 * m.roomy.empty);
    }
}
