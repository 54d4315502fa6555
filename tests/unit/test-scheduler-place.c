/* test-scheduler-place.c - decisions against a slow oracle, explanations. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/mem.h"
#include "scheduler/sched.h"

#define GIB (INT64_C(1) << 30)
#define DIMS 3
#define WEIGHT 10 /* of each, sched_weights_default */

static uint64_t
next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static int64_t
below(uint64_t *state, int64_t n)
{
    return (int64_t)(next_random(state) % (uint64_t)n);
}

static uint64_t
seed(void)
{
    const char *s = getenv("TEST_SEED");
    uint64_t v = s ? strtoull(s, NULL, 0) : 20261122;

    print_message("TEST_SEED=%llu\n", (unsigned long long)v);
    return v;
}

static void
node_id(unsigned n, char out[ID_SIZE])
{
    snprintf(out, ID_SIZE, "00000000-0000-7000-8000-%012x", n);
}

static struct sched_node
plain_node(const char *id)
{
    return (struct sched_node){
        .id = id,
        .capacity = {.vcpus = 8,
                     .memory_bytes = 32 * GIB,
                     .disk_bytes = 200 * GIB},
        .vcpu_ratio_permille = 1000,
        .memory_ratio_permille = 1000,
        .disk_ratio_permille = 1000,
        .up = true,
        .schedulable = true,
    };
}

static void
add_plain(struct sched *s, unsigned n)
{
    char id[ID_SIZE];

    node_id(n, id);
    struct sched_node node = plain_node(id);
    assert_int_equal(sched_node_set(s, &node, NULL), 0);
}

static void
place__empty_cluster_says_so(void **state)
{
    struct sched *s _cleanup_(sched_freep) = sched_new();
    struct sched_explain x _cleanup_(sched_explain_release) = {0};
    struct err e _cleanup_(err_release) = {0};
    struct sched_request rq = {
        .need = {.vcpus = 1, .memory_bytes = GIB, .disk_bytes = GIB}};
    char chosen[ID_SIZE] = "untouched";

    assert_int_equal(sched_place(s, &rq, chosen, &x, &e), -ENOSPC);
    assert_string_equal(e.message, "no node fits: the cluster has no nodes");
    assert_string_equal(chosen, "untouched");
    assert_int_equal(x.n, 0);
}

static void
place__bad_request_is_refused_by_name(void **state)
{
    struct sched *s _cleanup_(sched_freep) = sched_new();
    struct err e _cleanup_(err_release) = {0};
    struct sched_request rq = {
        .need = {.vcpus = -1, .memory_bytes = INT64_MIN, .disk_bytes = 0},
        .policy = (enum sched_policy)7};
    char chosen[ID_SIZE] = "untouched";

    add_plain(s, 1);
    assert_int_equal(sched_place(s, &rq, chosen, NULL, &e), -EINVAL);
    assert_int_equal(e.n_details, 3);
    assert_string_equal(e.details[0].pointer, "/need/vcpus");
    assert_string_equal(e.details[1].pointer, "/need/memory_bytes");
    assert_string_equal(e.details[2].pointer, "/policy");
    assert_string_equal(chosen, "untouched");
}

static void
place__bad_rules_are_refused_by_name(void **state)
{
    struct sched *s _cleanup_(sched_freep) = sched_new();
    static char too_long[SCHED_KEY_MAX + 1];
    const struct sched_weights weights = {.disk = SCHED_WEIGHT_MAX + 1,
                                          .lifetime = -1};
    const struct sched_group_rule bad[] = {
        {.key = NULL},
        {.key = ""},
        {.key = too_long},
        {.key = "a", .affinity = (enum sched_affinity)3},
        {.key = "a", .scope = (enum sched_scope) - 1},
        {.key = "a", .affinity = SCHED_EVEN, .scope = SCHED_BY_NODE},
        {.key = "a", .weight = SCHED_WEIGHT_MAX + 1},
        {.key = "a", .max_count = -1},
    };
    struct sched_request rq = {.project_id = "me",
                               .dedicated = true,
                               .expected_end = -1,
                               .weights = &weights,
                               .rules = bad,
                               .n_rules = ARRAY_SIZE(bad)};
    struct err e _cleanup_(err_release) = {0};
    char chosen[ID_SIZE] = "untouched", at[40];

    memset(too_long, 'k', SCHED_KEY_MAX);
    add_plain(s, 1);
    assert_int_equal(sched_place(s, &rq, chosen, NULL, &e), -EINVAL);
    assert_int_equal(e.n_details, 4 + ARRAY_SIZE(bad));
    assert_string_equal(e.details[0].pointer, "/project_id");
    assert_string_equal(e.details[1].pointer, "/expected_end");
    assert_string_equal(e.details[2].pointer, "/weights");
    assert_string_equal(e.details[3].pointer, "/weights");
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        snprintf(at, sizeof(at), "/rules/%zu", i);
        assert_string_equal(e.details[4 + i].pointer, at);
    }
    rq = (struct sched_request){.n_rules = SCHED_RULES_MAX + 1, .rules = bad};
    assert_int_equal(sched_place(s, &rq, chosen, NULL, NULL), -EINVAL);
    rq = (struct sched_request){.dedicated = true};
    assert_int_equal(sched_place(s, &rq, chosen, NULL, NULL), -EINVAL);
    assert_string_equal(chosen, "untouched");
}

static void
place__explains_groups_and_what_is_held(void **state)
{
    static const char *const keys[] = {"web"};
    const struct sched_group_rule apart = {.key = "web"},
                                  together = {.key = "web",
                                              .affinity = SCHED_TOGETHER};
    const char *project = "90000000-0000-7000-8000-000000000001";
    struct sched *s _cleanup_(sched_freep) = sched_new();
    struct err e _cleanup_(err_release) = {0}, f _cleanup_(err_release) = {0};
    struct sched_explain x _cleanup_(sched_explain_release) = {0};
    struct sched_resources all = {.vcpus = 8};
    char one[ID_SIZE], two[ID_SIZE], chosen[ID_SIZE];
    char text[SCHED_VERDICT_TEXT_MAX];
    struct sched_instance web = {.id = "10000000-0000-7000-8000-000000000001",
                                 .need = {.vcpus = 1},
                                 .keys = keys,
                                 .n_keys = 1};
    struct sched_request rq = {
        .need = {.vcpus = 1}, .rules = &apart, .n_rules = 1};

    node_id(1, one);
    node_id(2, two);
    add_plain(s, 1);
    add_plain(s, 2);
    assert_int_equal(sched_instance_add(s, one, &web, false, NULL), 0);
    assert_int_equal(sched_reserve(s, "20000000-0000-7000-8000-000000000001",
                                   two, project, &all, false, NULL),
                     0);
    assert_int_equal(sched_place(s, &rq, chosen, &x, &e), -ENOSPC);
    assert_string_equal(e.message, "no node fits: 1 room held for others, 1 "
                                   "with too many of the group");
    assert_string_equal(x.verdicts[0].node_id, one);
    assert_string_equal(sched_verdict_text(&x.verdicts[0], text),
                        "with too many of the group: 1 there, at most 0");
    assert_string_equal(sched_verdict_text(&x.verdicts[1], text),
                        "room held for others: vcpus: 1 asked, 0 free");
    /* Its owner gets it; the group's own node is the other. */
    rq.project_id = project;
    assert_int_equal(sched_place(s, &rq, chosen, NULL, NULL), 0);
    assert_string_equal(chosen, two);
    rq.rules = &together;
    assert_int_equal(sched_place(s, &rq, chosen, NULL, NULL), 0);
    assert_string_equal(chosen, one);
    assert_int_equal(sched_claim(s, two, &web.need, NULL), -ENOSPC);
    assert_int_equal(sched_node_remove(s, two, &f), -EBUSY);
    assert_string_equal(f.code, "node_in_use");
}

static void
place__short_lives_fill_nodes_that_stay_busy(void **state)
{
    struct sched *s _cleanup_(sched_freep) = sched_new();
    struct sched_instance old = {.id = "10000000-0000-7000-8000-000000000001",
                                 .need = {.vcpus = 1},
                                 .expected_end = 1000000 + 30 * 86400},
                          brief = {.id = "10000000-0000-7000-8000-000000000002",
                                   .need = {.vcpus = 6},
                                   .expected_end = 1000000 + 600};
    const struct sched_weights lives = {.vcpus = 10, .lifetime = 100};
    struct sched_request rq = {.need = {.vcpus = 1},
                               .policy = SCHED_PACK,
                               .weights = &lives,
                               .expected_end = 1000000 + 86400};
    char one[ID_SIZE], two[ID_SIZE], chosen[ID_SIZE];

    node_id(1, one);
    node_id(2, two);
    add_plain(s, 1);
    add_plain(s, 2);
    add_plain(s, 3);
    assert_int_equal(sched_now(s, 1000000, NULL), 0);
    assert_int_equal(sched_instance_add(s, one, &old, false, NULL), 0);
    assert_int_equal(sched_instance_add(s, two, &brief, false, NULL), 0);
    /* Node 2 is fuller, but it would be kept from falling empty. */
    assert_int_equal(sched_place(s, &rq, chosen, NULL, NULL), 0);
    assert_string_equal(chosen, one);
    rq.expected_end = 0;
    assert_int_equal(sched_place(s, &rq, chosen, NULL, NULL), 0);
    assert_string_equal(chosen, two);
    rq.expected_end = 1000000 + 600;
    assert_int_equal(sched_place(s, &rq, chosen, NULL, NULL), 0);
    assert_string_equal(chosen, two);
    /* Time goes on: what was brief is due, and the node as good as empty. */
    assert_int_equal(sched_now(s, 1000000 + 600, NULL), 0);
    rq.expected_end = 1000000 + 1200;
    assert_int_equal(sched_place(s, &rq, chosen, NULL, NULL), 0);
    assert_string_equal(chosen, one);
}

static void
place__huge_request_fits_nowhere(void **state)
{
    struct sched *s _cleanup_(sched_freep) = sched_new();
    struct sched_request rq = {.need = {.vcpus = INT64_MAX,
                                        .memory_bytes = INT64_MAX,
                                        .disk_bytes = INT64_MAX}};
    struct err e _cleanup_(err_release) = {0};
    char chosen[ID_SIZE];

    add_plain(s, 1);
    assert_int_equal(sched_place(s, &rq, chosen, NULL, &e), -ENOSPC);
    assert_string_equal(e.message, "no node fits: 1 too few vCPUs");
}

static void
place__refusal_sums_up_every_reason(void **state)
{
    struct sched *s _cleanup_(sched_freep) = sched_new();
    struct sched_explain x _cleanup_(sched_explain_release) = {0};
    struct err e _cleanup_(err_release) = {0};
    struct sched_resources most = {
        .vcpus = 4, .memory_bytes = 30 * GIB, .disk_bytes = 0};
    struct sched_request rq = {
        .need = {.vcpus = 2, .memory_bytes = 4 * GIB, .disk_bytes = GIB},
        .traits_required = 6};
    char id[ID_SIZE], chosen[ID_SIZE], text[SCHED_VERDICT_TEXT_MAX];

    for (unsigned i = 1; i <= 6; i++) {
        node_id(i, id);
        struct sched_node n = plain_node(id);
        n.up = i != 4;
        n.schedulable = i != 5;
        n.traits = i == 6 ? 2 : 7;
        assert_int_equal(sched_node_set(s, &n, NULL), 0);
        if (i <= 3)
            assert_int_equal(sched_claim(s, id, &most, NULL), 0);
    }
    assert_int_equal(sched_place(s, &rq, chosen, &x, &e), -ENOSPC);
    assert_string_equal(e.code, "no_capacity");
    assert_string_equal(e.message,
                        "no node fits: 3 too little memory, 1 down, 1 closed "
                        "to new instances, 1 without a required trait");
    assert_int_equal(x.n, 6);
    assert_int_equal(x.count[SCHED_MEMORY], 3);
    assert_int_equal(x.count[SCHED_FITS], 0);
    assert_int_equal(x.verdicts[0].rule, SCHED_MEMORY);
    assert_int_equal(x.verdicts[0].asked, 4 * GIB);
    assert_int_equal(x.verdicts[0].free, 2 * GIB);
    assert_string_equal(sched_verdict_text(&x.verdicts[0], text),
                        "too little memory: 4294967296 asked, 2147483648 free");
    assert_int_equal(x.verdicts[5].rule, SCHED_TRAITS);
    assert_int_equal(x.verdicts[5].traits_missing, 4);
    assert_string_equal(sched_verdict_text(&x.verdicts[5], text),
                        "without a required trait: missing 0x4");
    assert_string_equal(sched_rule_name(x.verdicts[3].rule), "down");
}

static void
place__spread_evens_out_pack_fills_up(void **state)
{
    const struct sched_resources one = {
        .vcpus = 1, .memory_bytes = 4 * GIB, .disk_bytes = 25 * GIB};

    for (int pack = 0; pack < 2; pack++) {
        struct sched *s _cleanup_(sched_freep) = sched_new();
        struct sched_request rq = {.need = one,
                                   .policy = pack ? SCHED_PACK : SCHED_SPREAD};
        int64_t used[4];
        char id[ID_SIZE], chosen[ID_SIZE];

        for (unsigned i = 0; i < 4; i++)
            add_plain(s, i);
        for (int i = 0; i < 16; i++) {
            assert_int_equal(sched_place(s, &rq, chosen, NULL, NULL), 0);
            assert_int_equal(sched_claim(s, chosen, &one, NULL), 0);
        }
        for (unsigned i = 0; i < 4; i++) {
            struct sched_resources claimed;

            node_id(i, id);
            assert_int_equal(sched_node_usage(s, id, &claimed, NULL), 0);
            used[i] = claimed.vcpus;
        }
        for (unsigned i = 0; i < 4; i++)
            assert_int_equal(used[i], pack ? (i < 2 ? 8 : 0) : 4);
    }
}

static void
place__looks_at_every_resource(void **state)
{
    /* Node 1 is short of memory, node 2 of vCPUs, equally so: a request that
     * is heavy on memory must not be squeezed onto node 1. */
    for (int pack = 0; pack < 2; pack++) {
        struct sched *s _cleanup_(sched_freep) = sched_new();
        struct sched_resources on1 = {.vcpus = 2,
                                      .memory_bytes = 24 * GIB,
                                      .disk_bytes = 0},
                               on2 = {.vcpus = 6,
                                      .memory_bytes = 8 * GIB,
                                      .disk_bytes = 0};
        struct sched_request rq = {
            .need = {.vcpus = 1, .memory_bytes = 8 * GIB, .disk_bytes = 0}};
        char one[ID_SIZE], two[ID_SIZE], chosen[ID_SIZE];

        node_id(1, one);
        node_id(2, two);
        add_plain(s, 1);
        add_plain(s, 2);
        assert_int_equal(sched_claim(s, one, &on1, NULL), 0);
        assert_int_equal(sched_claim(s, two, &on2, NULL), 0);
        rq.policy = pack ? SCHED_PACK : SCHED_SPREAD;
        assert_int_equal(sched_place(s, &rq, chosen, NULL, NULL), 0);
        /* Pack too: 5/8 vCPU left and no memory is a worse leftover than
         * 1/8 and 1/2. */
        assert_string_equal(chosen, two);
    }
}

static void
place__what_is_not_needed_is_not_looked_at(void **state)
{
    struct sched *s _cleanup_(sched_freep) = sched_new();
    struct sched_resources over = {
        .vcpus = 0, .memory_bytes = 0, .disk_bytes = 500 * GIB};
    struct sched_request rq = {
        .need = {.vcpus = 1, .memory_bytes = GIB, .disk_bytes = 0}};
    char id[ID_SIZE], chosen[ID_SIZE];

    add_plain(s, 1);
    node_id(1, id);
    assert_int_equal(sched_claim_force(s, id, &over, NULL), 0);
    assert_int_equal(sched_place(s, &rq, chosen, NULL, NULL), 0);
    rq.need.disk_bytes = 1;
    assert_int_equal(sched_place(s, &rq, chosen, NULL, NULL), -ENOSPC);
}

/* The oracle: keeps its own copy and decides in exact arithmetic. */
struct oracle_node {
    char id[ID_SIZE];
    struct sched_node in;
    int64_t limit[DIMS], claimed[DIMS];
};

static void
to_array(const struct sched_resources *r, int64_t out[DIMS])
{
    out[0] = r->vcpus;
    out[1] = r->memory_bytes;
    out[2] = r->disk_bytes;
}

static enum sched_rule
oracle_rule(const struct oracle_node *n, const struct sched_request *rq)
{
    int64_t need[DIMS];

    to_array(&rq->need, need);
    if (!n->in.up)
        return SCHED_DOWN;
    if (!n->in.schedulable)
        return SCHED_UNSCHEDULABLE;
    if ((n->in.traits & rq->traits_required) != rq->traits_required)
        return SCHED_TRAITS;
    for (int d = 0; d < DIMS; d++) {
        if (need[d] > 0 && (__int128)n->claimed[d] + need[d] > n->limit[d])
            return d == 0 ? SCHED_VCPUS : d == 1 ? SCHED_MEMORY : SCHED_DISK;
    }
    return SCHED_FITS;
}

static long double
oracle_score(const struct oracle_node *n, const struct sched_request *rq)
{
    long double sum = 0, one = (long double)SCHED_ONE;
    int64_t need[DIMS];

    to_array(&rq->need, need);
    for (int d = 0; d < DIMS; d++) {
        if (n->limit[d] == 0)
            continue;
        long double used = (long double)n->claimed[d] + need[d];
        long double part = MIN(1.0L, used / n->limit[d]);
        if (rq->policy == SCHED_PACK)
            part = 1.0L - part;
        sum += part * part;
    }
    /* Nobody has any IOPS or net. */
    return WEIGHT * (DIMS + 2 - sum) * one * one;
}

/* Four steps of a fraction of at most 1, squared, in each resource. */
#define TOLERANCE (WEIGHT * DIMS * (2.0L * SCHED_ONE * 4 + 16))

static const struct oracle_node *
oracle_find(const struct oracle_node *nodes, size_t n, const char *id)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(nodes[i].id, id) == 0)
            return &nodes[i];
    }
    return NULL;
}

static int64_t
random_amount(uint64_t *rnd, int64_t usual)
{
    switch (below(rnd, 12)) {
    case 0:
        return 0;
    case 1:
        return 1;
    case 2:
        return INT64_MAX / 1000 - below(rnd, 4);
    default:
        return below(rnd, usual);
    }
}

static void
oracle_node_make(struct oracle_node *n, unsigned number, uint64_t *rnd)
{
    int64_t cap[DIMS], ratio[DIMS];
    bool huge = below(rnd, 10) == 0;

    *n = (struct oracle_node){0};
    node_id(number, n->id);
    n->in = plain_node(n->id);
    if (huge || below(rnd, 3) == 0)
        n->in.capacity = (struct sched_resources){
            .vcpus = random_amount(rnd, 64),
            .memory_bytes = random_amount(rnd, 512 * GIB),
            .disk_bytes = random_amount(rnd, 8192 * GIB)};
    n->in.vcpu_ratio_permille = 1000 * (1 + below(rnd, 4));
    n->in.memory_ratio_permille = 900 + below(rnd, 200);
    n->in.disk_ratio_permille = 1000;
    n->in.up = below(rnd, 8) != 0;
    n->in.schedulable = below(rnd, 8) != 0;
    n->in.traits = next_random(rnd) | next_random(rnd);
    to_array(&n->in.capacity, cap);
    ratio[0] = n->in.vcpu_ratio_permille;
    ratio[1] = n->in.memory_ratio_permille;
    ratio[2] = n->in.disk_ratio_permille;
    for (int d = 0; d < DIMS; d++)
        n->limit[d] = (int64_t)((__int128)cap[d] * ratio[d] / 1000);
}

static void
oracle_check(const struct oracle_node *nodes, size_t n, struct sched *s,
             struct sched *reversed, const struct sched_request *rq)
{
    struct sched_explain x _cleanup_(sched_explain_release) = {0};
    long double best = -1, chosen_score = -1;
    const struct sched_verdict *top = NULL;
    char chosen[ID_SIZE] = "", again[ID_SIZE] = "";
    size_t feasible = 0;

    int r = sched_place(s, rq, chosen, &x, NULL);
    assert_int_equal(sched_place(reversed, rq, again, NULL, NULL), r);
    assert_string_equal(chosen, again);
    assert_int_equal(x.n, n);
    for (size_t i = 0; i < n; i++) {
        const struct sched_verdict *v = &x.verdicts[i];
        const struct oracle_node *o = oracle_find(nodes, n, v->node_id);

        assert_non_null(o);
        assert_int_equal(v->rule, oracle_rule(o, rq));
        if (v->rule != SCHED_FITS)
            continue;
        long double exact = oracle_score(o, rq);
        assert_true(v->score >= 0);
        assert_true(v->score - exact <= TOLERANCE &&
                    exact - v->score <= TOLERANCE);
        feasible++;
        best = MAX(best, exact);
        if (strcmp(v->node_id, chosen) == 0)
            chosen_score = exact;
        if (!top || v->score > top->score ||
            (v->score == top->score && strcmp(v->node_id, top->node_id) < 0))
            top = v;
    }
    assert_int_equal(x.count[SCHED_FITS], feasible);
    assert_int_equal(r, feasible ? 0 : -ENOSPC);
    if (feasible) {
        assert_string_equal(chosen, top->node_id);
        assert_ptr_equal(top, &x.verdicts[0]);
        assert_true(best - chosen_score <= 2 * TOLERANCE);
    }
}

static void
place__random_clusters_agree_with_the_oracle(void **state)
{
    uint64_t rnd = seed();
    size_t placed = 0, refused = 0;

    for (int round = 0; round < 1500; round++) {
        struct sched *s _cleanup_(sched_freep) = sched_new();
        struct sched *reversed _cleanup_(sched_freep) = sched_new();
        struct oracle_node nodes[40];
        size_t n = (size_t)below(&rnd, ARRAY_SIZE(nodes)) + 1;

        for (size_t i = 0; i < n; i++) {
            oracle_node_make(&nodes[i], (unsigned)i, &rnd);
            assert_int_equal(sched_node_set(s, &nodes[i].in, NULL), 0);
        }
        for (size_t i = n; i-- > 0;)
            assert_int_equal(sched_node_set(reversed, &nodes[i].in, NULL), 0);
        for (int k = 0; k < 60; k++) {
            struct sched_request rq = {
                .need = {.vcpus = random_amount(&rnd, 6),
                         .memory_bytes = random_amount(&rnd, 12 * GIB),
                         .disk_bytes = random_amount(&rnd, 60 * GIB)},
                .policy = below(&rnd, 2) ? SCHED_PACK : SCHED_SPREAD,
            };
            struct oracle_node *on = &nodes[below(&rnd, (int64_t)n)];
            int64_t need[DIMS];

            if (below(&rnd, 4) == 0)
                rq.traits_required = UINT64_C(1) << below(&rnd, 64);
            oracle_check(nodes, n, s, reversed, &rq);
            int r = sched_claim(s, on->id, &rq.need, NULL);
            assert_int_equal(sched_claim(reversed, on->id, &rq.need, NULL), r);
            if (r < 0) {
                refused++;
                continue;
            }
            placed++;
            to_array(&rq.need, need);
            for (int d = 0; d < DIMS; d++) {
                on->claimed[d] += need[d];
                assert_true(need[d] == 0 || on->claimed[d] <= on->limit[d]);
            }
        }
    }
    /* Both ways were really tried. */
    assert_true(placed > 10000 && refused > 10000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(place__empty_cluster_says_so),
        cmocka_unit_test(place__bad_request_is_refused_by_name),
        cmocka_unit_test(place__bad_rules_are_refused_by_name),
        cmocka_unit_test(place__explains_groups_and_what_is_held),
        cmocka_unit_test(place__short_lives_fill_nodes_that_stay_busy),
        cmocka_unit_test(place__huge_request_fits_nowhere),
        cmocka_unit_test(place__refusal_sums_up_every_reason),
        cmocka_unit_test(place__spread_evens_out_pack_fills_up),
        cmocka_unit_test(place__looks_at_every_resource),
        cmocka_unit_test(place__what_is_not_needed_is_not_looked_at),
        cmocka_unit_test(place__random_clusters_agree_with_the_oracle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
