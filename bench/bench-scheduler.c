/* bench-scheduler.c - how fast a decision is made.
 * Usage:  bench-scheduler [-n NODES] [-f FILL_PERCENT] [-s SECONDS] [-S SEED]
 * [-u] -u: every request is a kind of its own, which none is remembered of.
 *         Without -n and -f: 1,000, 10,000 and 100,000 nodes, 60 and 95 %.
 * Output: one JSON line per policy, size and fill. A decision is
 *         sched_place() alone; between decisions the instance is added and
 *         random older ones end, so that the fill stays: change_ns is what one
 *         of these takes on average.
 * Load:   three generations of machines in three zones; eight flavors, few of
 *         which dominate; of all requests 10 % need one of three traits, and
 *         another 10 % have a rule about a group of about 30 instances: apart
 *         by node hard (4 of 10) or soft (2), even over the zones hard or soft
 *         (2), together on a node (soft) or in a zone (2). */
#include <config.h>

#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/mem.h"
#include "scheduler/best.h"

#define GIB (INT64_C(1) << 30)
#define SAMPLES_MAX 2000000

#define FLAVOR(v, m, d)                                                        \
    {                                                                          \
        .vcpus = (v), .memory_bytes = (m)*GIB, .disk_bytes = (d)*GIB           \
    }
static const struct sched_resources flavors[] = {
    FLAVOR(1, 1, 10),   FLAVOR(1, 2, 20),    FLAVOR(2, 4, 40),
    FLAVOR(2, 16, 40),  FLAVOR(4, 8, 80),    FLAVOR(8, 16, 160),
    FLAVOR(8, 64, 320), FLAVOR(16, 32, 320),
};
/* Few flavors dominate, the small ones. */
static const unsigned flavor_share[] = {30, 25, 20, 8, 8, 5, 2, 2};

#define ZONES 3
#define GROUP_SIZE 30
#define NO_GROUP UINT32_MAX

struct claim {
    uint32_t number; /* of its id */
    uint32_t group;
    uint8_t flavor;
};

struct cluster {
    struct sched *s;
    size_t nodes;
    uint32_t groups, numbers;
    int64_t vcpus_limit, vcpus_claimed;
    struct claim *claims;
    size_t n, cap;
    uint64_t rnd;
    int64_t change_ns, changes;
};

static uint64_t
next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static int64_t
now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static void
die_if(int r, const char *what)
{
    if (r == 0)
        return;
    fprintf(stderr, "bench-scheduler: %s: %d\n", what, r);
    exit(1);
}

static void
node_id(size_t n, char out[ID_SIZE])
{
    snprintf(out, ID_SIZE, "00000000-0000-7000-8000-%012x", (unsigned)n);
}

static uint8_t
random_flavor(uint64_t *rnd)
{
    uint64_t x = next_random(rnd) % 100;
    uint8_t f = 0;

    while (x >= flavor_share[f])
        x -= flavor_share[f++];
    return f;
}

static void
instance_id(uint32_t number, char out[ID_SIZE])
{
    snprintf(out, ID_SIZE, "10000000-0000-7000-8000-%012x", (unsigned)number);
}

/* 10 % of what comes is in a group. */
static uint32_t
random_group(struct cluster *c)
{
    return next_random(&c->rnd) % 10 == 0
               ? (uint32_t)(next_random(&c->rnd) % c->groups)
               : NO_GROUP;
}

static void
group_key(uint32_t group, char out[16])
{
    snprintf(out, 16, "group:%x", (unsigned)group);
}

/* The rule of a group's members. */
static struct sched_group_rule
group_rule(uint32_t group, const char *key)
{
    static const struct sched_group_rule rules[10] = {
        {.affinity = SCHED_APART},
        {.affinity = SCHED_APART},
        {.affinity = SCHED_APART},
        {.affinity = SCHED_APART},
        {.affinity = SCHED_APART, .weight = 20},
        {.affinity = SCHED_APART, .weight = 5},
        {.affinity = SCHED_EVEN, .scope = SCHED_BY_ZONE, .max_count = 2},
        {.affinity = SCHED_EVEN, .scope = SCHED_BY_ZONE, .weight = 20},
        {.affinity = SCHED_TOGETHER, .weight = 20},
        {.affinity = SCHED_TOGETHER, .scope = SCHED_BY_ZONE},
    };
    struct sched_group_rule r = rules[group % ARRAY_SIZE(rules)];

    r.key = key;
    return r;
}

static int
cluster_add(struct cluster *c, const char *node, uint8_t flavor, uint32_t group)
{
    char id[ID_SIZE], key[16];
    const char *keys[] = {key};
    struct sched_instance in = {
        .id = id,
        .project_id = "20000000-0000-7000-8000-000000000001",
        .need = flavors[flavor],
        .keys = keys,
        .n_keys = group != NO_GROUP,
    };

    instance_id(c->numbers, id);
    group_key(group, key);
    int64_t t0 = now_ns();
    int r = sched_instance_add(c->s, node, &in, false, NULL);
    c->change_ns += now_ns() - t0;
    c->changes++;
    if (r < 0)
        return r;
    if (c->n == c->cap) {
        c->cap = c->cap ? c->cap * 2 : 1024;
        c->claims = xrealloc(c->claims, c->cap * sizeof(*c->claims));
    }
    c->claims[c->n++] = (struct claim){c->numbers++, group, flavor};
    c->vcpus_claimed += flavors[flavor].vcpus;
    return 0;
}

static void
cluster_fill(struct cluster *c, size_t nodes, unsigned percent)
{
    char id[ID_SIZE];

    c->s = sched_new();
    c->nodes = nodes;
    c->groups = (uint32_t)MAX(nodes * 30 / 10 / GROUP_SIZE, (size_t)10);
    for (size_t i = 0; i < nodes; i++) {
        /* Three generations of machines. */
        int64_t size = 1 + (int64_t)(i % 3);
        struct sched_node n = {
            .capacity = {.vcpus = 32 * size,
                         .memory_bytes = 256 * GIB * size,
                         .disk_bytes = 4096 * GIB * size},
            .vcpu_ratio_permille = 2000,
            .memory_ratio_permille = 1000,
            .disk_ratio_permille = 1000,
            .up = true,
            .schedulable = true,
            .traits = 1u << (i % 3),
            .zone = (unsigned)(i / 3 % ZONES),
        };
        node_id(i, id);
        n.id = id;
        die_if(sched_node_set(c->s, &n, NULL), "node");
        int64_t limit = 64 * size, claimed = 0;
        c->vcpus_limit += limit;
        while (claimed * 100 < limit * percent) {
            uint8_t f = random_flavor(&c->rnd);

            if (cluster_add(c, id, f, random_group(c)) < 0)
                break;
            claimed += flavors[f].vcpus;
        }
    }
}

static void
cluster_release(struct cluster *c)
{
    sched_free(c->s);
    free(c->claims);
    *c = (struct cluster){0};
}

/* Random instances end until no more than percent is claimed. */
static void
cluster_drop(struct cluster *c, unsigned percent)
{
    while (c->n > 0 && c->vcpus_claimed * 100 > c->vcpus_limit * percent) {
        size_t i = next_random(&c->rnd) % c->n;
        struct claim gone = c->claims[i];
        char id[ID_SIZE];

        c->claims[i] = c->claims[--c->n];
        instance_id(gone.number, id);
        int64_t t0 = now_ns();
        die_if(sched_instance_remove(c->s, id, NULL), "remove");
        c->change_ns += now_ns() - t0;
        c->changes++;
        c->vcpus_claimed -= flavors[gone.flavor].vcpus;
    }
}

/* Bytes that malloc has handed out; 0 under a sanitizer's own allocator. */
static size_t
allocated(void)
{
    struct mallinfo2 m = mallinfo2();

    return m.uordblks + m.hblkhd;
}

static int
cmp_ns(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void
run(size_t nodes, unsigned percent, enum sched_policy policy, int64_t run_ns,
    uint64_t seed, bool unique)
{
    struct cluster c = {.rnd = seed};
    uint32_t *ns = xcalloc(SAMPLES_MAX, sizeof(*ns));
    size_t n = 0, refused = 0;
    int64_t busy = 0;

    size_t before = allocated();
    cluster_fill(&c, nodes, percent);
    size_t after = allocated(), noted = c.cap * sizeof(*c.claims);
    size_t memory = after > before + noted ? after - before - noted : 0;
    c.change_ns = c.changes = 0;
    while (n < SAMPLES_MAX && busy < run_ns) {
        uint8_t f = random_flavor(&c.rnd);
        struct sched_request rq = {.need = flavors[f], .policy = policy};
        char id[ID_SIZE], key[16];
        uint32_t group = random_group(&c);
        struct sched_group_rule rule = group_rule(group, key);

        rq.need.disk_bytes += unique ? (int64_t)n : 0;
        if (group != NO_GROUP) {
            group_key(group, key);
            rq.rules = &rule;
            rq.n_rules = 1;
        } else if (next_random(&c.rnd) % 9 == 0) {
            rq.traits_required = 1u << (next_random(&c.rnd) % 3);
        }
        int64_t t0 = now_ns();
        int r = sched_place(c.s, &rq, id, NULL, NULL);
        int64_t took = now_ns() - t0;
        busy += took;
        ns[n++] = (uint32_t)MIN(took, (int64_t)UINT32_MAX);
        if (r < 0) {
            refused++;
            continue;
        }
        die_if(cluster_add(&c, id, f, group), "add");
        cluster_drop(&c, percent);
    }
    size_t best = sched_best_bytes(c.s->best);
    qsort(ns, n, sizeof(*ns), cmp_ns);
    printf("{\"bench\":\"scheduler\",\"policy\":\"%s\",\"unique\":%s,\"nodes\":"
           "%zu,"
           "\"fill_percent\":%u,\"instances\":%zu,\"decisions\":%zu,"
           "\"refused\":%zu,\"decisions_per_s\":%" PRId64 ",\"p50_ns\":%" PRIu32
           ",\"p99_ns\":%" PRIu32 ",\"max_ns\":%" PRIu32
           ",\"change_ns\":%" PRId64
           ",\"sched_bytes\":%zu,\"best_bytes\":%zu}\n",
           policy == SCHED_PACK ? "pack" : "spread", unique ? "true" : "false",
           nodes, percent, c.n, n, refused,
           (int64_t)n * INT64_C(1000000000) / MAX(busy, 1), ns[n / 2],
           ns[n - 1 - n / 100], ns[n - 1],
           c.change_ns / MAX(c.changes, INT64_C(1)), memory, best);
    fflush(stdout);
    cluster_release(&c);
    free(ns);
}

static long
number(const char *s, long min, long max)
{
    char *end;

    errno = 0;
    long v = strtol(s, &end, 10);
    if (errno || end == s || *end || v < min || v > max) {
        fprintf(stderr, "bench-scheduler: %s: must be %ld..%ld\n", s, min, max);
        exit(2);
    }
    return v;
}

int
main(int argc, char **argv)
{
    size_t sizes[] = {1000, 10000, 100000}, n_sizes = ARRAY_SIZE(sizes);
    unsigned fills[] = {60, 95};
    size_t n_fills = ARRAY_SIZE(fills);
    int64_t run_ns = INT64_C(1000000000);
    uint64_t seed = 1;
    bool unique = false;
    int c;

    while ((c = getopt(argc, argv, "n:f:s:S:u")) != -1) {
        switch (c) {
        case 'n':
            sizes[0] = (size_t)number(optarg, 1, SCHED_NODES_MAX);
            n_sizes = 1;
            break;
        case 'f':
            fills[0] = (unsigned)number(optarg, 0, 100);
            n_fills = 1;
            break;
        case 's':
            run_ns = number(optarg, 1, 3600) * INT64_C(1000000000);
            break;
        case 'S':
            seed = (uint64_t)number(optarg, 0, LONG_MAX);
            break;
        case 'u':
            unique = true;
            break;
        default:
            fprintf(stderr, "usage: bench-scheduler [-n NODES] "
                            "[-f FILL_PERCENT] [-s SECONDS] [-S SEED] [-u]\n");
            return 2;
        }
    }
    for (size_t i = 0; i < n_sizes; i++) {
        for (size_t j = 0; j < n_fills; j++) {
            run(sizes[i], fills[j], SCHED_SPREAD, run_ns, seed, unique);
            run(sizes[i], fills[j], SCHED_PACK, run_ns, seed, unique);
        }
    }
    return 0;
}
