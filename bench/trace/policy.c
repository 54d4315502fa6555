/* policy.c - the scores and the cluster that they look at; see policy.h. */
#include <config.h>

#include "bench/trace/policy.h"

#include <stdio.h>
#include <string.h>

#include "common/mem.h"

struct placer {
    const struct policy *policy;
    const struct trace *trace;
    struct cluster c;
    struct sched *sched;
    char (*ids)[ID_SIZE];
};

static policy_score first_fit, best_fit, worst_fit, dot_product, cosine,
    norm_greedy, lifetime, balance, balance_life;

const struct policy policies[] = {
    {"first-fit", "the first node with room", POLICY_BASELINE, first_fit, 0},
    {"best-fit", "least sum of what is left", POLICY_BASELINE, best_fit, 0},
    {"worst-fit", "greatest sum of what is left", POLICY_BASELINE, worst_fit,
     0},
    {"dot-product", "Panigrahy et al. 2011, on nodes in use", POLICY_BASELINE,
     dot_product, 0},
    {"cosine", "the same, by the angle", POLICY_BASELINE, cosine, 0},
    {"norm-greedy", "Panigrahy et al. 2011, weights by demand", POLICY_BASELINE,
     norm_greedy, 0},
    {"lifetime", "after NILAS in Ling et al., MLSys 2025", POLICY_BASELINE,
     lifetime, 0},
    {"pack", "scheduler/sched.h, SCHED_PACK", POLICY_OURS, NULL, SCHED_PACK},
    {"balance", "what is left stays usable; see policy.c", POLICY_PROPOSED,
     balance, 0},
    {"balance-life", "the same with lifetimes weighed in", POLICY_PROPOSED,
     balance_life, 0},
};
const size_t n_policies = ARRAY_SIZE(policies);

static int64_t
first_fit(const struct cluster *c, size_t i, const struct ask *a)
{
    (void)c;
    (void)a;
    return -(int64_t)i;
}

static int64_t
sum_left(const struct cluster *c, size_t i, const struct ask *a)
{
    int64_t sum = 0;

    for (int d = 0; d < TRACE_DIMS; d++)
        sum += c->left[i].v[d] - a->need->v[d];
    return sum;
}

static int64_t
best_fit(const struct cluster *c, size_t i, const struct ask *a)
{
    return -sum_left(c, i, a);
}

static int64_t
worst_fit(const struct cluster *c, size_t i, const struct ask *a)
{
    return sum_left(c, i, a);
}

/* The paper fills one bin after the other; where VMs come one by one that is
 * to open a new node only when no other fits. */
static int64_t
dot_product(const struct cluster *c, size_t i, const struct ask *a)
{
    int64_t sum = 0;

    for (int d = 0; d < TRACE_DIMS; d++)
        sum += ((c->left[i].v[d] * a->need->v[d]) >> 20) * c->mean.v[d];
    return c->count[i] ? sum : sum - (INT64_C(1) << 50);
}

static int64_t
cosine(const struct cluster *c, size_t i, const struct ask *a)
{
    double dot = 0, norm = 0;

    for (int d = 0; d < TRACE_DIMS; d++) {
        double left = (double)c->left[i].v[d];

        dot += left * (double)a->need->v[d];
        norm += left * left;
    }
    /* dot^2 / norm is need^2 times the cosine's square. */
    int64_t score = (int64_t)(dot * dot / (norm + 1));
    return c->count[i] ? score : score - (INT64_C(1) << 50);
}

static int64_t
norm_greedy(const struct cluster *c, size_t i, const struct ask *a)
{
    int64_t sum = 0;

    for (int d = 0; d < TRACE_DIMS; d++) {
        int64_t left = c->left[i].v[d] - a->need->v[d];

        sum += ((left * left) >> 20) * c->mean.v[d];
    }
    return -sum;
}

/* By how much longer a node would have to stay for the VM, in the powers of
 * `base` of an hour / base. */
static int64_t
longer(const struct cluster *c, size_t i, const struct ask *a, int base)
{
    int64_t end = c->last_end[i], more, bucket = 0;

    /* An outlived forecast is made anew: what has lasted long will last as
     * long again. */
    if (c->count[i] && end < a->now) {
        int64_t oldest = c->trace->vms[c->vms[i][0]].start;

        end = a->now + (a->now - oldest) / 2;
    }
    more = a->vm->foretold - (c->count[i] ? end : a->now);
    for (more /= TRACE_HOUR_MS / base; more > 0; more /= base)
        bucket++;
    return bucket;
}

/* Lifetimes first; among equals the best fit. */
static int64_t
lifetime(const struct cluster *c, size_t i, const struct ask *a)
{
    return -(longer(c, i, a, 2) << 32) - sum_left(c, i, a);
}

/* Where two resources are both short, what strands them is nodes that ran out
 * of one alone. Let x and y be the parts of vCPUs and memory left. A node is
 * worth x y - |x - y|: room for VMs of any shape, less what only a VM of a
 * crooked shape could still use. The VM goes where it costs least of that:
 * memory-heavy ones to nodes with memory left over, straight ones to the
 * fullest. Integers, O(1), and of the node and the need alone. */
static inline int64_t
worth(int64_t x, int64_t y)
{
    return x * y - (x > y ? x - y : y - x) * PART_ONE;
}

static int64_t
balance(const struct cluster *c, size_t i, const struct ask *a)
{
    int64_t x = c->left[i].v[0], y = c->left[i].v[1];

    return worth(x - a->need->v[0], y - a->need->v[1]) - worth(x, y);
}

/* Each quadrupling of the time that a node must stay longer counts as a
 * twentieth of a node. */
static int64_t
balance_life(const struct cluster *c, size_t i, const struct ask *a)
{
    return balance(c, i, a) - longer(c, i, a, 4) * (PART_ONE * PART_ONE / 20);
}

static void
cluster_init(struct cluster *c, const struct trace *t, size_t nodes)
{
    *c = (struct cluster){.trace = t, .n = nodes};
    c->room = xcalloc(nodes, sizeof(*c->room));
    c->left = xcalloc(nodes, sizeof(*c->left));
    c->last_end = xcalloc(nodes, sizeof(*c->last_end));
    c->count = xcalloc(nodes, sizeof(*c->count));
    c->vms = xcalloc(nodes, sizeof(*c->vms));
    c->vms_cap = xcalloc(nodes, sizeof(*c->vms_cap));
    c->need = xcalloc(t->n_flavors, sizeof(*c->need));
    for (size_t i = 0; i < nodes; i++) {
        c->room[i] = t->node;
        c->last_end[i] = INT64_MIN;
        for (int d = 0; d < TRACE_DIMS; d++)
            c->left[i].v[d] = t->node.v[d] ? PART_ONE : 0;
    }
    for (size_t f = 0; f < t->n_flavors; f++) {
        for (int d = 0; d < TRACE_DIMS; d++) {
            if (t->node.v[d])
                c->need[f].v[d] =
                    (int64_t)(((__int128)t->flavors[f].v[d] * PART_ONE +
                               t->node.v[d] - 1) /
                              t->node.v[d]);
        }
    }
    /* How much of each resource the trace asks for over its time: the weights
     * of Panigrahy et al., which a cloud knows from its past. */
    double sum[TRACE_DIMS] = {0}, all = 0;
    for (size_t i = 0; i < t->n_vms; i++) {
        const struct trace_vm *vm = &t->vms[i];
        int64_t from = MAX(vm->start, (int64_t)0), to = MIN(vm->end, t->until);

        for (int d = 0; d < TRACE_DIMS; d++)
            sum[d] += (double)c->need[vm->flavor].v[d] * (double)(to - from);
    }
    for (int d = 0; d < TRACE_DIMS; d++)
        all = MAX(all, sum[d]);
    for (int d = 0; d < TRACE_DIMS && all > 0; d++)
        c->mean.v[d] = (int64_t)(sum[d] / all * (double)PART_ONE);
}

static void
cluster_release(struct cluster *c)
{
    for (size_t i = 0; i < c->n; i++)
        free(c->vms[i]);
    free(c->room);
    free(c->left);
    free(c->last_end);
    free(c->count);
    free(c->vms);
    free(c->vms_cap);
    free(c->need);
}

static void
cluster_left(struct cluster *c, size_t i)
{
    for (int d = 0; d < TRACE_DIMS; d++) {
        int64_t node = c->trace->node.v[d];

        /* Rounded up, as the flavors are: what fits stays at 0 or above. */
        if (node)
            c->left[i].v[d] =
                (int64_t)(((__int128)c->room[i].v[d] * PART_ONE + node - 1) /
                          node);
    }
}

static void
cluster_take(struct cluster *c, size_t i, uint32_t vm)
{
    const struct trace_vm *v = &c->trace->vms[vm];

    for (int d = 0; d < TRACE_DIMS; d++)
        c->room[i].v[d] -= c->trace->flavors[v->flavor].v[d];
    cluster_left(c, i);
    if (c->count[i] == c->vms_cap[i]) {
        c->vms_cap[i] = c->vms_cap[i] ? 2 * c->vms_cap[i] : 16;
        c->vms[i] = xrealloc(c->vms[i], c->vms_cap[i] * sizeof(**c->vms));
    }
    c->vms[i][c->count[i]++] = vm;
    c->last_end[i] = MAX(c->last_end[i], v->foretold);
}

static void
cluster_give(struct cluster *c, size_t i, uint32_t vm)
{
    const struct trace_vm *v = &c->trace->vms[vm];
    uint32_t kept = 0;

    for (int d = 0; d < TRACE_DIMS; d++)
        c->room[i].v[d] += c->trace->flavors[v->flavor].v[d];
    cluster_left(c, i);
    c->last_end[i] = INT64_MIN;
    for (uint32_t k = 0; k < c->count[i]; k++) {
        uint32_t other = c->vms[i][k];

        if (other == vm)
            continue;
        c->vms[i][kept++] = other; /* stays in order of start */
        c->last_end[i] = MAX(c->last_end[i], c->trace->vms[other].foretold);
    }
    c->count[i] = kept;
}

static int
cluster_find(const struct cluster *c, policy_score *score, const struct ask *a,
             size_t *ret)
{
    const struct trace_need *need = &c->trace->flavors[a->vm->flavor];
    int64_t best = INT64_MIN;
    size_t found = c->n;

    for (size_t i = 0; i < c->n; i++) {
        const struct trace_need *room = &c->room[i];

        if (need->v[0] > room->v[0] || need->v[1] > room->v[1] ||
            need->v[2] > room->v[2])
            continue;
        int64_t s = score(c, i, a);
        if (found == c->n || s > best) {
            best = s;
            found = i;
        }
    }
    if (found == c->n)
        return -ENOSPC;
    *ret = found;
    return 0;
}

struct placer *
placer_new(const struct policy *p, const struct trace *t, size_t nodes)
{
    struct placer *pl = xnew(struct placer);

    pl->policy = p;
    pl->trace = t;
    if (p->score) {
        cluster_init(&pl->c, t, nodes);
        return pl;
    }
    pl->sched = sched_new();
    pl->ids = xcalloc(nodes, ID_SIZE);
    for (size_t i = 0; i < nodes; i++) {
        snprintf(pl->ids[i], ID_SIZE, "00000000-0000-7000-8000-%012x",
                 (unsigned)i);
        struct sched_node n = {
            .id = pl->ids[i],
            .capacity = {.vcpus = t->node.v[0],
                         .memory_bytes = t->node.v[1],
                         .disk_bytes = t->node.v[2]},
            .vcpu_ratio_permille = 1000,
            .memory_ratio_permille = 1000,
            .disk_ratio_permille = 1000,
            .up = true,
            .schedulable = true,
        };
        if (sched_node_set(pl->sched, &n, NULL) < 0)
            abort();
    }
    return pl;
}

void
placer_free(struct placer *pl)
{
    if (!pl)
        return;
    cluster_release(&pl->c);
    sched_free(pl->sched);
    free(pl->ids);
    free(pl);
}

void
placer_freep(struct placer **pl)
{
    placer_free(*pl);
    *pl = NULL;
}

int
placer_place(struct placer *pl, uint32_t vm, int64_t now, size_t *ret_node)
{
    const struct trace_vm *v = &pl->trace->vms[vm];

    if (pl->policy->score) {
        struct ask a = {v, &pl->c.need[v->flavor], now};
        int r = cluster_find(&pl->c, pl->policy->score, &a, ret_node);

        if (r == 0)
            cluster_take(&pl->c, *ret_node, vm);
        return r;
    }
    const struct trace_need *f = &pl->trace->flavors[v->flavor];
    struct sched_request rq = {
        .need = {f->v[0], f->v[1], f->v[2]},
        .policy = pl->policy->sched,
    };
    char id[ID_SIZE];
    int r = sched_place(pl->sched, &rq, id, NULL, NULL);
    if (r == 0)
        r = sched_claim(pl->sched, id, &rq.need, NULL);
    if (r == 0)
        *ret_node = strtoul(id + 24, NULL, 16);
    return r;
}

void
placer_leave(struct placer *pl, uint32_t vm, size_t node)
{
    const struct trace_need *f = &pl->trace->flavors[pl->trace->vms[vm].flavor];
    struct sched_resources r = {
        .vcpus = f->v[0], .memory_bytes = f->v[1], .disk_bytes = f->v[2]};

    if (pl->policy->score)
        cluster_give(&pl->c, node, vm);
    else if (sched_release(pl->sched, pl->ids[node], &r, NULL) < 0)
        abort(); /* it was claimed so */
}
