/* test-scheduler-best.c - what is remembered about nodes never differs from
 * looking at them all. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "common/mem.h"
#include "scheduler/best.h"

#define NODES 150

struct model {
    struct sched *s;
    uint64_t rnd;
    struct {
        bool there;
        struct sched_resources claimed;
    } node[NODES];
    int fits, refused;
};

static uint64_t
below(struct model *m, uint64_t n)
{
    uint64_t z = (m->rnd += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % n;
}

static const char *
id_of(size_t i)
{
    static char id[ID_SIZE];

    /* In no order of the slots: equal scores are decided by it. */
    snprintf(id, sizeof(id), "00000000-0000-7000-8000-%012x",
             (unsigned)(i * 7919 % 1000));
    return id;
}

static void
set(struct model *m, size_t i)
{
    struct sched_node n = {
        .id = id_of(i),
        .capacity = {.vcpus = 8 + (int64_t)below(m, 3) * 8,
                     .memory_bytes = 64,
                     .disk_bytes = 64},
        .vcpu_ratio_permille = 1000 + (int64_t)below(m, 2) * 500,
        .memory_ratio_permille = 1000,
        .disk_ratio_permille = 1000,
        .up = below(m, 8) > 0,
        .schedulable = below(m, 8) > 0,
        .traits = below(m, 4),
    };

    assert_int_equal(sched_node_set(m->s, &n, NULL), 0);
    m->node[i].there = true;
}

static void
drop(struct model *m, size_t i)
{
    if (!m->node[i].there ||
        sched_release(m->s, id_of(i), &m->node[i].claimed, NULL) < 0)
        return;
    m->node[i].claimed = (struct sched_resources){0};
    assert_int_equal(sched_node_remove(m->s, id_of(i), NULL), 0);
    m->node[i].there = false;
}

static void
claim(struct model *m, size_t i, const struct sched_resources *r, bool force)
{
    int e = force ? sched_claim_force(m->s, id_of(i), r, NULL)
                  : sched_claim(m->s, id_of(i), r, NULL);

    if (e < 0)
        return;
    m->node[i].claimed.vcpus += r->vcpus;
    m->node[i].claimed.memory_bytes += r->memory_bytes;
    m->node[i].claimed.disk_bytes += r->disk_bytes;
}

/* explain() looks at every node. */
static void
place(struct model *m, const struct sched_request *rq)
{
    struct sched_explain x _cleanup_(sched_explain_release) = {0};
    char id[ID_SIZE] = "";
    int r = sched_place(m->s, rq, id, &x, NULL);

    if (r < 0) {
        assert_int_equal(r, -ENOSPC);
        assert_int_equal(x.count[SCHED_FITS], 0);
        m->refused++;
        return;
    }
    assert_int_equal(x.verdicts[0].rule, SCHED_FITS);
    assert_string_equal(id, x.verdicts[0].node_id);
    m->fits++;
    for (size_t i = 0; i < NODES && below(m, 4); i++)
        if (strcmp(id_of(i), id) == 0) {
            claim(m, i, &rq->need, false);
            break;
        }
}

static void
step(struct model *m, uint64_t kinds)
{
    uint64_t kind = below(m, kinds);
    struct sched_request rq = {
        .need = {.vcpus = 1 + (int64_t)kind % 4,
                 .memory_bytes = (int64_t)kind % 9,
                 .disk_bytes = (int64_t)kind % 5},
        .traits_required = kind % 3 == 0 ? kind % 2 + 1 : 0,
        .policy = kind % 2 ? SCHED_PACK : SCHED_SPREAD,
    };
    size_t i = below(m, NODES);

    switch (below(m, 12)) {
    case 0:
        set(m, i);
        break;
    case 1:
        if (below(m, 10) == 0)
            drop(m, i);
        break;
    case 2:
        if (m->node[i].there)
            claim(m, i, &rq.need, true);
        break;
    case 3:
        if (m->node[i].there &&
            sched_release(m->s, id_of(i), &m->node[i].claimed, NULL) == 0)
            m->node[i].claimed = (struct sched_resources){0};
        break;
    case 4:
        /* More changes than the journal holds. */
        for (int k = 0; k < 1500 && below(m, 400); k++)
            if (m->node[i = below(m, NODES)].there)
                claim(m, i,
                      &(struct sched_resources){
                          .vcpus = 0, .memory_bytes = 0, .disk_bytes = 1},
                      true);
        break;
    default:
        place(m, &rq);
    }
}

static void
best__equals_a_look_at_every_node(void **state)
{
    /* Few kinds stay remembered, many push each other out. */
    static const uint64_t kinds[] = {1, 5, 30, 120};
    int fits = 0, refused = 0;

    for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
        for (uint64_t seed = 1; seed <= 6; seed++) {
            struct model m = {.s = sched_new(), .rnd = seed * 1000 + k};

            for (int i = 0; i < 1500; i++)
                step(&m, kinds[k]);
            assert_true(sched_consistent(m.s));
            fits += m.fits;
            refused += m.refused;
            sched_free(m.s);
        }
    assert_true(fits > 5000 && refused > 50);
}

/* Equal scores are decided by id, also where a node fills another's gap. */
static void
best__node_that_moves_keeps_its_name(void **state)
{
    static const char digits[] = "5391";
    struct sched *s _cleanup_(sched_freep) = sched_new();
    struct sched_request rq = {.need = {.vcpus = 1}};
    char id[ID_SIZE] = "00000000-0000-7000-8000-000000000000", got[ID_SIZE];
    struct sched_node n = {
        .id = id,
        .capacity = {.vcpus = 8},
        .vcpu_ratio_permille = 1000,
        .memory_ratio_permille = 1000,
        .disk_ratio_permille = 1000,
        .up = true,
        .schedulable = true,
    };

    for (size_t i = 0; i < 4; i++) {
        id[ID_LEN - 1] = digits[i];
        assert_int_equal(sched_node_set(s, &n, NULL), 0);
    }
    assert_int_equal(sched_place(s, &rq, got, NULL, NULL), 0);
    assert_int_equal(got[ID_LEN - 1], '1');
    id[ID_LEN - 1] = '5';
    assert_int_equal(sched_node_remove(s, id, NULL), 0);
    assert_int_equal(sched_place(s, &rq, got, NULL, NULL), 0);
    assert_int_equal(got[ID_LEN - 1], '1');
    assert_true(sched_consistent(s));
}

/* However many kinds there are, and whichever of them are forgotten. */
static void
best__many_kinds_stay_within_their_memory(void **state)
{
    struct sched *s _cleanup_(sched_freep) = sched_new();
    size_t most = 0;

    for (unsigned i = 0; i < 70000; i++) {
        char id[ID_SIZE];
        struct sched_node n = {
            .id = id,
            .capacity = {.vcpus = 1000 + i},
            .vcpu_ratio_permille = 1000,
            .memory_ratio_permille = 1000,
            .disk_ratio_permille = 1000,
            .up = true,
            .schedulable = true,
        };

        snprintf(id, sizeof(id), "00000000-0000-7000-8000-%012x", i);
        assert_int_equal(sched_node_set(s, &n, NULL), 0);
    }
    for (int64_t k = 0; k < 120; k++) {
        /* The first comes again and again, and is not forgotten. */
        struct sched_request rq = {.need = {.vcpus = k % 3 ? k : 1},
                                   .policy = SCHED_PACK};
        char got[ID_SIZE];

        assert_int_equal(sched_place(s, &rq, got, NULL, NULL), 0);
        assert_string_equal(got, "00000000-0000-7000-8000-000000000000");
        most = MAX(most, sched_best_bytes(s->best));
    }
    assert_true(most <= SCHED_BEST_BYTES_MAX + (1 << 20));
    assert_true(most > SCHED_BEST_BYTES_MAX / 2);
    assert_true(sched_consistent(s));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(best__many_kinds_stay_within_their_memory),
        cmocka_unit_test(best__node_that_moves_keeps_its_name),
        cmocka_unit_test(best__equals_a_look_at_every_node),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
