/* test-scheduler-plan.c - batches, whom to evict, who is next, the view. What
 * holds for any input is tested with the model (test-scheduler-model.c). */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/mem.h"
#include "scheduler/plan.h"
#include "scheduler/sched-private.h"
#include "scheduler/view.h"

#define A "90000000-0000-7000-8000-00000000000a"
#define B "90000000-0000-7000-8000-00000000000b"

static const char *
id_of(char kind, unsigned n)
{
    static char id[8][ID_SIZE];
    static unsigned k;

    snprintf(id[++k % 8], ID_SIZE, "%c0000000-0000-7000-8000-%012x", kind, n);
    return id[k % 8];
}

static void
node(struct sched *s, unsigned n, int64_t vcpus, int64_t memory)
{
    struct sched_node in = {
        .id = id_of('0', n),
        .capacity = {.vcpus = vcpus, .memory_bytes = memory},
        .vcpu_ratio_permille = 1000,
        .memory_ratio_permille = 1000,
        .disk_ratio_permille = 1000,
        .up = true,
        .schedulable = true,
    };

    assert_int_equal(sched_node_set(s, &in, NULL), 0);
}

static void
instance(struct sched *s, unsigned on, unsigned n, const char *project,
         int64_t vcpus, int64_t started, bool preemptible)
{
    struct sched_instance in = {
        .id = id_of('1', n),
        .project_id = project,
        .need = {.vcpus = vcpus, .memory_bytes = 1},
        .preemptible = preemptible,
        .started_us = started,
    };

    assert_int_equal(sched_instance_add(s, id_of('0', on), &in, false, NULL),
                     0);
}

static void
batch__gang_that_does_not_fit_leaves_its_room(void **state)
{
    struct sched *s _cleanup_(sched_freep) = sched_new();
    struct sched_request large = {.need = {.vcpus = 4}},
                         small = {.need = {.vcpus = 1}};
    char nodes[2][8][ID_SIZE];
    struct sched_batch_item items[] = {
        {.request = &small, .count = 8, .nodes = nodes[0]},
        {.request = &large, .count = 3, .gang = true, .nodes = nodes[1]},
    };

    node(s, 1, 4, 0);
    node(s, 2, 4, 0);
    assert_int_equal(sched_batch(s, items, 2, false, NULL), 0);
    assert_int_equal(items[0].placed, 8);
    assert_int_equal(items[0].error, 0);
    assert_int_equal(items[1].placed, 0);
    assert_int_equal(items[1].error, -ENOSPC);
    /* Two large ones go first, and then there is no room. */
    items[1].count = 2;
    assert_int_equal(sched_batch(s, items, 2, false, NULL), 0);
    assert_int_equal(items[0].placed, 0);
    assert_int_equal(items[0].error, -ENOSPC);
    assert_int_equal(items[1].placed, 2);
    assert_int_equal(sched_instance_count(s), 0);
    assert_true(sched_consistent(s));
}

static void
batch__what_is_kept_needs_ids_that_are_free(void **state)
{
    struct sched *s _cleanup_(sched_freep) = sched_new();
    struct sched_group_rule apart = {.key = "g"};
    struct sched_request rq = {
        .need = {.vcpus = 1}, .rules = &apart, .n_rules = 1};
    const char *ids[] = {id_of('1', 1), id_of('1', 2), id_of('1', 3)};
    const char *bad[] = {id_of('1', 7), "x"};
    struct sched_batch_item item = {.request = &rq, .count = 3};
    char node_id[ID_SIZE], other[ID_SIZE];

    node(s, 1, 4, 0);
    node(s, 2, 4, 0);
    assert_int_equal(sched_batch(s, &item, 1, true, NULL), -EINVAL);
    item.ids = bad;
    item.count = 2;
    assert_int_equal(sched_batch(s, &item, 1, true, NULL), -EINVAL);
    item.count = SIZE_MAX;
    assert_int_equal(sched_batch(s, &item, 1, false, NULL), -E2BIG);
    /* They are in the group of their rule: no third node, no third place. */
    item.ids = ids;
    item.count = 3;
    assert_int_equal(sched_batch(s, &item, 1, true, NULL), 0);
    assert_int_equal(item.placed, 2);
    assert_int_equal(item.error, -ENOSPC);
    assert_int_equal(sched_instance_find(s, ids[0], node_id, NULL), 0);
    assert_int_equal(sched_instance_find(s, ids[1], other, NULL), 0);
    assert_string_not_equal(node_id, other);
    apart.key = "h";
    assert_int_equal(sched_batch(s, &item, 1, true, NULL), 0);
    assert_int_equal(item.placed, 0);
    assert_int_equal(item.error, -EEXIST);
    assert_int_equal(sched_instance_count(s), 2);
    assert_true(sched_consistent(s));
}

static void
evict__takes_from_who_has_most_and_the_latest_of_it(void **state)
{
    struct sched *s _cleanup_(sched_freep) = sched_new();
    struct sched_eviction e = {0};
    struct sched_request rq = {.need = {.vcpus = 2}};

    node(s, 1, 8, 100);
    instance(s, 1, 1, A, 2, 10, true);
    instance(s, 1, 2, A, 2, 30, true);
    instance(s, 1, 3, B, 2, 40, true); /* later, but B has less */
    instance(s, 1, 4, A, 2, 50, false);
    assert_int_equal(sched_evict_plan(s, &rq, &e, NULL), 0);
    assert_int_equal(e.n, 1);
    assert_string_equal(e.instances[0], id_of('1', 2));
    assert_int_equal(e.harm, SCHED_ONE / 4);
    sched_eviction_release(&e);
    /* After that A and B have the same: the latest goes. */
    rq.need.vcpus = 4;
    assert_int_equal(sched_evict_plan(s, &rq, &e, NULL), 0);
    assert_int_equal(e.n, 2);
    assert_string_equal(e.instances[0], id_of('1', 3));
    assert_string_equal(e.instances[1], id_of('1', 2));
    sched_eviction_release(&e);
    rq.need.vcpus = 7;
    assert_int_equal(sched_evict_plan(s, &rq, &e, NULL), -ENOSPC);
    assert_int_equal(e.n, 0);
    /* What fits as it is harms nobody. */
    node(s, 2, 8, 100);
    assert_int_equal(sched_evict_plan(s, &rq, &e, NULL), 0);
    assert_int_equal(e.n, 0);
    assert_string_equal(e.node_id, id_of('0', 2));
    sched_eviction_release(&e);
}

static void
evict__prefers_the_node_where_fewest_end(void **state)
{
    struct sched *s _cleanup_(sched_freep) = sched_new();
    struct sched_eviction e _cleanup_(sched_eviction_release) = {0};
    struct sched_request rq = {.need = {.vcpus = 4}};

    node(s, 1, 4, 100);
    for (unsigned i = 1; i <= 4; i++)
        instance(s, 1, i, A, 1, i, true);
    node(s, 2, 8, 100);
    instance(s, 2, 5, B, 4, 1, false);
    instance(s, 2, 6, B, 1, 2, true);
    instance(s, 2, 7, B, 3, 1, true);
    assert_int_equal(sched_evict_plan(s, &rq, &e, NULL), 0);
    assert_string_equal(e.node_id, id_of('0', 2));
    assert_int_equal(e.n, 2);
}

static void
fair_order__is_that_of_the_paper(void **state)
{
    /* Ghodsi et al., section 4.1: 9 CPUs and 18 GB; A's tasks need <1, 4>, B's
     * <3, 1>; A gets three, B two. */
    const struct sched_resources total = {.vcpus = 9, .memory_bytes = 18};
    struct sched_tenant tenants[2] = {{.weight = 1}, {.weight = 1}};
    struct sched_waiting waiting[10];
    size_t order[10], given[2] = {0};
    int64_t vcpus = 9, memory = 18;

    for (size_t i = 0; i < 10; i++) {
        waiting[i].tenant = i % 2;
        waiting[i].need = (struct sched_resources){
            .vcpus = i % 2 ? 3 : 1, .memory_bytes = i % 2 ? 1 : 4};
    }
    assert_int_equal(
        sched_fair_order(&total, tenants, 2, waiting, 10, order, NULL), 0);
    for (size_t i = 0; i < 10; i++) {
        const struct sched_waiting *w = &waiting[order[i]];

        vcpus -= w->need.vcpus;
        memory -= w->need.memory_bytes;
        if (vcpus < 0 || memory < 0)
            break;
        given[w->tenant]++;
    }
    assert_int_equal(given[0], 3);
    assert_int_equal(given[1], 2);
}

static void
fair_order__agrees_with_looking_at_everybody(void **state)
{
    uint64_t rnd = 20261123;

    for (int round = 0; round < 300; round++) {
        const struct sched_resources total = {.vcpus = 1000,
                                              .memory_bytes = 4000};
        struct sched_tenant tenants[7];
        struct sched_waiting waiting[40];
        bool served[40] = {false};
        size_t order[40];

#define BELOW(n)                                                               \
    ((int64_t)((rnd = rnd * UINT64_C(6364136223846793005) + 1) >> 33) % (n))
        for (size_t t = 0; t < 7; t++)
            tenants[t] = (struct sched_tenant){
                .used = {.vcpus = BELOW(50), .memory_bytes = BELOW(200)},
                .weight = 1 + BELOW(3)};
        for (size_t i = 0; i < 40; i++)
            waiting[i] = (struct sched_waiting){
                .tenant = (size_t)BELOW(7),
                .need = {.vcpus = BELOW(8), .memory_bytes = BELOW(32)}};
        assert_int_equal(
            sched_fair_order(&total, tenants, 7, waiting, 40, order, NULL), 0);
        for (size_t i = 0; i < 40; i++) {
            size_t next = 40;
            int64_t least = 0;

            for (size_t k = 0; k < 40; k++) {
                const struct sched_tenant *t = &tenants[waiting[k].tenant];
                /* Of 4000, and of weight 6: exact. */
                int64_t share = MAX(t->used.vcpus * 4, t->used.memory_bytes) *
                                (6 / t->weight);

                if (!served[k] &&
                    (next == 40 || share < least ||
                     (share == least &&
                      waiting[k].tenant < waiting[next].tenant))) {
                    next = k;
                    least = share;
                }
            }
            assert_int_equal(order[i], next);
            served[next] = true;
            struct sched_resources *used = &tenants[waiting[next].tenant].used;
            used->vcpus += waiting[next].need.vcpus;
            used->memory_bytes += waiting[next].need.memory_bytes;
        }
    }
}

static void
fair_order__hostile_values_are_refused_or_counted(void **state)
{
    struct sched_resources total = {.vcpus = 1};
    struct sched_tenant tenants[2] = {
        {.used = {.vcpus = INT64_MAX}, .weight = 1},
        {.used = {.disk_bytes = 1}, .weight = 9}};
    struct sched_waiting waiting[2] = {
        {0, {.vcpus = INT64_MAX, .memory_bytes = INT64_MAX}},
        {1, {.vcpus = 1}}};
    struct err e _cleanup_(err_release) = {0};
    size_t order[2];

    /* Of disk there is none: using any is more than all of everything. */
    assert_int_equal(
        sched_fair_order(&total, tenants, 2, waiting, 2, order, NULL), 0);
    assert_int_equal(order[0], 0);
    waiting[1].tenant = 2;
    tenants[0].weight = 0;
    total.vcpus = -1;
    assert_int_equal(
        sched_fair_order(&total, tenants, 2, waiting, 2, order, &e), -EINVAL);
    assert_int_equal(e.n_details, 3);
    assert_string_equal(e.details[0].pointer, "/total/vcpus");
    assert_string_equal(e.details[1].pointer, "/tenants/0/weight");
    assert_string_equal(e.details[2].pointer, "/waiting/1/tenant");
}

static void
capacity__says_what_is_stranded_and_in_pieces(void **state)
{
    struct sched *s _cleanup_(sched_freep) = sched_new();
    struct sched_request small = {.need = {.vcpus = 2, .memory_bytes = 4}},
                         large = {.need = {.vcpus = 6, .memory_bytes = 8}},
                         none = {.need = {.vcpus = 9}};
    struct sched_fit fits[] = {
        {.request = &small}, {.request = &large}, {.request = &none}};
    const struct sched_resources on[] = {{.vcpus = 4, .memory_bytes = 8},
                                         {.vcpus = 4, .memory_bytes = 8},
                                         {.vcpus = 2, .memory_bytes = 13}};
    struct sched_capacity c;

    for (unsigned n = 1; n <= 3; n++) {
        node(s, n, 8, 16);
        assert_int_equal(sched_claim(s, id_of('0', n), &on[n - 1], NULL), 0);
    }
    assert_int_equal(sched_capacity(s, fits, 3, &c, NULL), 0);
    assert_int_equal(c.nodes, 3);
    assert_int_equal(c.nodes_open, 3);
    assert_int_equal(c.nodes_empty, 0);
    assert_int_equal(c.limit.vcpus, 24);
    assert_int_equal(c.claimed.vcpus, 10);
    assert_int_equal(c.free.vcpus, 14);
    /* 4 vCPUs and 8 bytes are free on two nodes: two small ones each; on the
     * third 6 vCPUs lie by 3 bytes. */
    assert_int_equal(fits[0].count, 4);
    assert_int_equal(fits[0].fragmented_permille, 0);
    assert_int_equal(fits[1].count, 0);
    assert_int_equal(fits[1].fragmented_permille, 1000);
    assert_int_equal(fits[2].count, 0);
    assert_int_equal(c.stranded.vcpus, 6);
    assert_int_equal(c.stranded.memory_bytes, 3);
    assert_int_equal(c.largest, 0);
    node(s, 4, 8, 16);
    assert_int_equal(sched_capacity(s, fits, 3, &c, NULL), 0);
    assert_int_equal(c.nodes_empty, 1);
    assert_int_equal(fits[1].count, 1);
    assert_int_equal(c.largest, 1);
    assert_int_equal(sched_capacity(s, NULL, 0, &c, NULL), 0);
    assert_int_equal(c.stranded.vcpus, 0);
    assert_int_equal(c.largest, -1);
    large.need.disk_bytes = -1;
    assert_int_equal(sched_capacity(s, fits, 3, &c, NULL), -EINVAL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch__gang_that_does_not_fit_leaves_its_room),
        cmocka_unit_test(batch__what_is_kept_needs_ids_that_are_free),
        cmocka_unit_test(evict__takes_from_who_has_most_and_the_latest_of_it),
        cmocka_unit_test(evict__prefers_the_node_where_fewest_end),
        cmocka_unit_test(fair_order__is_that_of_the_paper),
        cmocka_unit_test(fair_order__agrees_with_looking_at_everybody),
        cmocka_unit_test(fair_order__hostile_values_are_refused_or_counted),
        cmocka_unit_test(capacity__says_what_is_stranded_and_in_pieces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
