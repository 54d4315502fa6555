/* test-scheduler-sched.c - nodes, claims, and their totals. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/mem.h"
#include "scheduler/sched-private.h"
#include "scheduler/sched.h"

#define GIB (INT64_C(1) << 30)

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
        .capacity = {.vcpus = 4,
                     .memory_bytes = 16 * GIB,
                     .disk_bytes = 100 * GIB},
        .vcpu_ratio_permille = 4000,
        .memory_ratio_permille = 1000,
        .disk_ratio_permille = 1500,
        .up = true,
        .schedulable = true,
    };
}

static void
node_set__limit_is_capacity_by_ratio(void **state)
{
    struct sched *s _cleanup_(sched_freep) = sched_new();
    struct sched_resources claimed, limit;
    char id[ID_SIZE];

    node_id(1, id);
    struct sched_node n = plain_node(id);
    assert_int_equal(sched_node_set(s, &n, NULL), 0);
    assert_int_equal(sched_node_usage(s, id, &claimed, &limit), 0);
    assert_int_equal(limit.vcpus, 16);
    assert_int_equal(limit.memory_bytes, 16 * GIB);
    assert_int_equal(limit.disk_bytes, 150 * GIB);
    assert_int_equal(claimed.vcpus, 0);
    /* Rounded down. */
    n.capacity.vcpus = 1;
    n.vcpu_ratio_permille = 1999;
    assert_int_equal(sched_node_set(s, &n, NULL), 0);
    assert_int_equal(sched_node_usage(s, id, NULL, &limit), 0);
    assert_int_equal(limit.vcpus, 1);
    assert_int_equal(sched_node_count(s), 1);
}

static void
node_set__hostile_values_are_refused_by_name(void **state)
{
    static const struct {
        const char *pointer;
        size_t offset;
        int64_t value;
    } bad[] = {
#define AT(m) offsetof(struct sched_node, m)
        {"/capacity/vcpus", AT(capacity.vcpus), -1},
        {"/capacity/vcpus", AT(capacity.vcpus), INT64_MIN},
        {"/capacity/vcpus", AT(capacity.vcpus), INT64_MAX / 4 + 1},
        {"/capacity/memory_bytes", AT(capacity.memory_bytes), -1},
        {"/capacity/disk_bytes", AT(capacity.disk_bytes), INT64_MAX},
        {"/vcpu_ratio_permille", AT(vcpu_ratio_permille), 0},
        {"/vcpu_ratio_permille", AT(vcpu_ratio_permille), INT64_MAX},
        {"/memory_ratio_permille", AT(memory_ratio_permille), -1},
        {"/memory_ratio_permille", AT(memory_ratio_permille), INT64_MIN},
        {"/disk_ratio_permille", AT(disk_ratio_permille), SCHED_RATIO_MAX + 1},
#undef AT
    };
    struct sched *s _cleanup_(sched_freep) = sched_new();
    struct sched_resources limit;
    char id[ID_SIZE];

    node_id(1, id);
    struct sched_node good = plain_node(id);
    assert_int_equal(sched_node_set(s, &good, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct err e _cleanup_(err_release) = {0};
        struct sched_node n = good;

        memcpy((char *)&n + bad[i].offset, &bad[i].value, sizeof(int64_t));
        assert_int_equal(sched_node_set(s, &n, &e), -EINVAL);
        assert_int_equal(e.n_details, 1);
        assert_string_equal(e.details[0].pointer, bad[i].pointer);
        /* The node is as it was. */
        assert_int_equal(sched_node_usage(s, id, NULL, &limit), 0);
        assert_int_equal(limit.vcpus, 16);
        assert_int_equal(limit.disk_bytes, 150 * GIB);
    }
    /* The largest that can be counted is accepted. */
    good.capacity.vcpus = INT64_MAX / 4;
    good.capacity.memory_bytes = INT64_MAX;
    assert_int_equal(sched_node_set(s, &good, NULL), 0);
    assert_true(sched_consistent(s));
}

static void
node_set__id_that_is_no_uuid_is_refused(void **state)
{
    static const char *const bad[] = {NULL, "", "node-1",
                                      "00000000-0000-7000-8000-00000000000",
                                      "00000000-0000-7000-8000-0000000000001"};
    struct sched *s _cleanup_(sched_freep) = sched_new();

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct err e _cleanup_(err_release) = {0};
        struct sched_node n = plain_node(bad[i]);

        assert_int_equal(sched_node_set(s, &n, &e), -EINVAL);
        assert_string_equal(e.details[0].pointer, "/id");
    }
    assert_int_equal(sched_node_count(s), 0);
}

static void
claim__to_the_brim_and_no_further(void **state)
{
    struct sched *s _cleanup_(sched_freep) = sched_new();
    struct err e _cleanup_(err_release) = {0};
    struct sched_resources all = {
        .vcpus = 16, .memory_bytes = 16 * GIB, .disk_bytes = 150 * GIB};
    struct sched_resources one_vcpu = {.vcpus = 1,
                                       .memory_bytes = 0,
                                       .disk_bytes = 0},
                           one_byte = {
                               .vcpus = 0, .memory_bytes = 1, .disk_bytes = 0};
    struct sched_resources nothing = {.vcpus = 0,
                                      .memory_bytes = 0,
                                      .disk_bytes = 0},
                           claimed;
    char id[ID_SIZE];

    node_id(1, id);
    struct sched_node n = plain_node(id);
    assert_int_equal(sched_node_set(s, &n, NULL), 0);
    assert_int_equal(sched_claim(s, id, &all, &e), 0);
    assert_int_equal(sched_claim(s, id, &one_vcpu, &e), -ENOSPC);
    assert_string_equal(e.code, "no_capacity");
    assert_non_null(strstr(e.message, "vcpus: 1 asked, 0 free"));
    assert_int_equal(sched_claim(s, id, &one_byte, NULL), -ENOSPC);
    assert_int_equal(sched_claim(s, id, &nothing, NULL), 0);
    assert_int_equal(sched_release(s, id, &one_vcpu, NULL), 0);
    assert_int_equal(sched_claim(s, id, &one_vcpu, NULL), 0);
    assert_int_equal(sched_node_usage(s, id, &claimed, NULL), 0);
    assert_int_equal(claimed.vcpus, 16);
    assert_int_equal(claimed.memory_bytes, 16 * GIB);
}

static void
claim__refused_takes_nothing(void **state)
{
    struct sched *s _cleanup_(sched_freep) = sched_new();
    struct sched_resources too_much_disk = {.vcpus = 1,
                                            .memory_bytes = GIB,
                                            .disk_bytes = 151 * GIB},
                           claimed;
    struct sched_resources huge = {
        .vcpus = INT64_MAX, .memory_bytes = INT64_MAX, .disk_bytes = INT64_MAX};
    struct sched_resources negative = {
        .vcpus = 1, .memory_bytes = -1, .disk_bytes = INT64_MIN};
    struct err e _cleanup_(err_release) = {0};
    char id[ID_SIZE];

    node_id(1, id);
    struct sched_node n = plain_node(id);
    assert_int_equal(sched_node_set(s, &n, NULL), 0);
    assert_int_equal(sched_claim(s, id, &too_much_disk, NULL), -ENOSPC);
    assert_int_equal(sched_claim(s, id, &huge, NULL), -ENOSPC);
    assert_int_equal(sched_claim(s, id, &negative, &e), -EINVAL);
    assert_int_equal(e.n_details, 2);
    assert_string_equal(e.details[0].pointer, "/memory_bytes");
    assert_string_equal(e.details[1].pointer, "/disk_bytes");
    assert_int_equal(sched_claim_force(s, id, &negative, NULL), -EINVAL);
    assert_int_equal(sched_release(s, id, &negative, NULL), -EINVAL);
    assert_int_equal(sched_node_usage(s, id, &claimed, NULL), 0);
    assert_int_equal(claimed.vcpus, 0);
    assert_int_equal(claimed.memory_bytes, 0);
    assert_int_equal(claimed.disk_bytes, 0);
}

static void
claim_force__exceeds_but_never_overflows(void **state)
{
    struct sched *s _cleanup_(sched_freep) = sched_new();
    struct sched_resources big = {.vcpus = 100,
                                  .memory_bytes = 100 * GIB,
                                  .disk_bytes = 0},
                           claimed;
    struct sched_resources huge = {.vcpus = 1,
                                   .memory_bytes = INT64_MAX,
                                   .disk_bytes = 0},
                           one = {
                               .vcpus = 1, .memory_bytes = 0, .disk_bytes = 0};
    struct err e _cleanup_(err_release) = {0};
    char id[ID_SIZE];

    node_id(1, id);
    struct sched_node n = plain_node(id);
    assert_int_equal(sched_node_set(s, &n, NULL), 0);
    assert_int_equal(sched_claim_force(s, id, &big, NULL), 0);
    assert_int_equal(sched_claim_force(s, id, &huge, &e), -EOVERFLOW);
    assert_int_equal(sched_node_usage(s, id, &claimed, NULL), 0);
    assert_int_equal(claimed.vcpus, 100);
    assert_int_equal(claimed.memory_bytes, 100 * GIB);
    assert_int_equal(sched_claim(s, id, &one, NULL), -ENOSPC);
    assert_true(sched_consistent(s));
    assert_int_equal(sched_release(s, id, &big, NULL), 0);
    assert_int_equal(sched_claim(s, id, &one, NULL), 0);
    assert_true(sched_consistent(s));
}

static void
release__more_than_claimed_is_refused(void **state)
{
    struct sched *s _cleanup_(sched_freep) = sched_new();
    struct sched_resources some = {.vcpus = 2,
                                   .memory_bytes = GIB,
                                   .disk_bytes = GIB},
                           more = {.vcpus = 2,
                                   .memory_bytes = GIB + 1,
                                   .disk_bytes = GIB};
    struct sched_resources claimed;
    struct err e _cleanup_(err_release) = {0};
    char id[ID_SIZE];

    node_id(1, id);
    struct sched_node n = plain_node(id);
    assert_int_equal(sched_node_set(s, &n, NULL), 0);
    assert_int_equal(sched_claim(s, id, &some, NULL), 0);
    assert_int_equal(sched_release(s, id, &more, &e), -EINVAL);
    assert_string_equal(e.details[0].pointer, "/memory_bytes");
    assert_int_equal(sched_node_usage(s, id, &claimed, NULL), 0);
    assert_int_equal(claimed.vcpus, 2);
    assert_int_equal(sched_release(s, id, &some, NULL), 0);
    assert_int_equal(sched_release(s, id, &some, NULL), -EINVAL);
}

static void
node_remove__busy_while_claimed_then_gone(void **state)
{
    struct sched *s _cleanup_(sched_freep) = sched_new();
    struct sched_resources some = {.vcpus = 0,
                                   .memory_bytes = 0,
                                   .disk_bytes = 1},
                           claimed;
    struct err e _cleanup_(err_release) = {0};
    char a[ID_SIZE], b[ID_SIZE];

    node_id(1, a);
    node_id(2, b);
    struct sched_node n = plain_node(a);
    assert_int_equal(sched_node_set(s, &n, NULL), 0);
    n.id = b;
    assert_int_equal(sched_node_set(s, &n, NULL), 0);
    assert_int_equal(sched_claim(s, a, &some, NULL), 0);
    assert_int_equal(sched_claim(s, b, &some, NULL), 0);
    assert_int_equal(sched_node_remove(s, a, &e), -EBUSY);
    assert_string_equal(e.code, "node_in_use");
    assert_int_equal(sched_release(s, a, &some, NULL), 0);
    assert_int_equal(sched_node_remove(s, a, NULL), 0);
    assert_int_equal(sched_node_remove(s, a, NULL), -ENOENT);
    assert_int_equal(sched_claim(s, a, &some, NULL), -ENOENT);
    assert_int_equal(sched_node_usage(s, a, &claimed, NULL), -ENOENT);
    assert_int_equal(sched_node_remove(s, NULL, NULL), -ENOENT);
    /* The other moved into its slot, with its claim. */
    assert_int_equal(sched_node_usage(s, b, &claimed, NULL), 0);
    assert_int_equal(claimed.disk_bytes, 1);
    assert_true(sched_consistent(s));
}

static void
node_set__shrunk_below_its_claims_keeps_them(void **state)
{
    struct sched *s _cleanup_(sched_freep) = sched_new();
    struct sched_resources some = {.vcpus = 10,
                                   .memory_bytes = GIB,
                                   .disk_bytes = GIB},
                           one = {.vcpus = 1,
                                  .memory_bytes = 0,
                                  .disk_bytes = 0},
                           claimed;
    char id[ID_SIZE];

    node_id(1, id);
    struct sched_node n = plain_node(id);
    assert_int_equal(sched_node_set(s, &n, NULL), 0);
    assert_int_equal(sched_claim(s, id, &some, NULL), 0);
    n.vcpu_ratio_permille = 1000;
    n.up = false;
    assert_int_equal(sched_node_set(s, &n, NULL), 0);
    assert_int_equal(sched_node_usage(s, id, &claimed, NULL), 0);
    assert_int_equal(claimed.vcpus, 10);
    assert_int_equal(sched_claim(s, id, &one, NULL), -ENOSPC);
    n.vcpu_ratio_permille = 4000;
    assert_int_equal(sched_node_set(s, &n, NULL), 0);
    assert_int_equal(sched_claim(s, id, &one, NULL), 0);
    assert_true(sched_consistent(s));
}

/* The model: rows of claims, added up anew each time. */
#define MODEL_NODES 24
#define MODEL_ROWS 600

struct model {
    struct {
        bool present;
        int64_t limit[SCHED_DIMS];
    } node[MODEL_NODES];
    struct {
        unsigned node;
        struct sched_resources res;
    } row[MODEL_ROWS];
    size_t rows;
};

static struct sched_vector
model_sum(const struct model *m, unsigned node)
{
    struct sched_vector sum = {0};

    for (size_t i = 0; i < m->rows; i++) {
        if (m->row[i].node != node)
            continue;
        struct sched_vector v = sched_vector(&m->row[i].res);
        for (int d = 0; d < SCHED_DIMS; d++)
            sum.v[d] += v.v[d];
    }
    return sum;
}

static void
model_compare(const struct model *m, const struct sched *s)
{
    size_t present = 0;

    for (unsigned n = 0; n < MODEL_NODES; n++) {
        struct sched_resources claimed, limit;
        char id[ID_SIZE];

        node_id(n, id);
        if (!m->node[n].present) {
            assert_int_equal(sched_node_usage(s, id, &claimed, &limit),
                             -ENOENT);
            continue;
        }
        present++;
        assert_int_equal(sched_node_usage(s, id, &claimed, &limit), 0);
        struct sched_vector sum = model_sum(m, n);
        struct sched_vector got = sched_vector(&claimed);
        struct sched_vector most = sched_vector(&limit);
        for (int d = 0; d < SCHED_DIMS; d++) {
            assert_true(got.v[d] == sum.v[d]);
            assert_true(most.v[d] == m->node[n].limit[d]);
        }
    }
    assert_int_equal(sched_node_count(s), present);
    assert_true(sched_consistent(s));
}

static void
model_node_set(struct model *m, struct sched *s, uint64_t *rnd, unsigned n)
{
    char id[ID_SIZE];

    node_id(n, id);
    struct sched_node node = plain_node(id);
    node.capacity =
        (struct sched_resources){.vcpus = below(rnd, 64),
                                 .memory_bytes = below(rnd, 256 * GIB),
                                 .disk_bytes = below(rnd, 4096 * GIB)};
    node.vcpu_ratio_permille = 1 + below(rnd, 8000);
    node.memory_ratio_permille = 1 + below(rnd, 2000);
    node.disk_ratio_permille = 1 + below(rnd, 2000);
    assert_int_equal(sched_node_set(s, &node, NULL), 0);
    m->node[n].present = true;
    m->node[n].limit[DIM_VCPUS] =
        node.capacity.vcpus * node.vcpu_ratio_permille / 1000;
    m->node[n].limit[DIM_MEMORY] =
        node.capacity.memory_bytes * node.memory_ratio_permille / 1000;
    m->node[n].limit[DIM_DISK] =
        node.capacity.disk_bytes * node.disk_ratio_permille / 1000;
}

static void
model_claim(struct model *m, struct sched *s, uint64_t *rnd, unsigned n,
            bool force)
{
    struct sched_resources r = {.vcpus = below(rnd, 8),
                                .memory_bytes = below(rnd, 16 * GIB),
                                .disk_bytes =
                                    below(rnd, 3) ? 0 : below(rnd, 64 * GIB)};
    int expected = m->node[n].present ? 0 : -ENOENT;
    char id[ID_SIZE];

    if (m->rows == MODEL_ROWS)
        return;
    node_id(n, id);
    if (expected == 0 && !force) {
        struct sched_vector sum = model_sum(m, n), v = sched_vector(&r);

        for (int d = 0; d < SCHED_DIMS; d++) {
            if (v.v[d] > 0 && sum.v[d] + v.v[d] > m->node[n].limit[d])
                expected = -ENOSPC;
        }
    }
    int got = force ? sched_claim_force(s, id, &r, NULL)
                    : sched_claim(s, id, &r, NULL);
    assert_int_equal(got, expected);
    if (got == 0) {
        m->row[m->rows].node = n;
        m->row[m->rows++].res = r;
    }
}

static void
claims__millions_of_random_steps_keep_totals_equal_to_rows(void **state)
{
    struct sched *s _cleanup_(sched_freep) = sched_new();
    struct model *m _cleanup_(freep) = xnew(struct model);
    uint64_t rnd = seed();
    char id[ID_SIZE];

    for (int step = 0; step < 2000000; step++) {
        unsigned n = (unsigned)below(&rnd, MODEL_NODES);
        int64_t what = below(&rnd, 1000);

        if (what < 10) {
            model_node_set(m, s, &rnd, n);
        } else if (what < 20) {
            struct sched_vector sum = model_sum(m, n);
            bool claimed = sum.v[0] || sum.v[1] || sum.v[2];

            node_id(n, id);
            int r = sched_node_remove(s, id, NULL);
            assert_int_equal(r, !m->node[n].present ? -ENOENT
                                : claimed           ? -EBUSY
                                                    : 0);
            if (r == 0) {
                /* Rows that claim nothing go with their node. */
                for (size_t i = 0; i < m->rows;) {
                    if (m->row[i].node == n)
                        m->row[i] = m->row[--m->rows];
                    else
                        i++;
                }
                m->node[n].present = false;
            }
        } else if (what < 500) {
            model_claim(m, s, &rnd, n, what < 40);
        } else if (m->rows > 0) {
            size_t i = (size_t)below(&rnd, (int64_t)m->rows);

            node_id(m->row[i].node, id);
            assert_int_equal(sched_release(s, id, &m->row[i].res, NULL), 0);
            m->row[i] = m->row[--m->rows];
        }
        if (step % 1000 == 0)
            model_compare(m, s);
    }
    model_compare(m, s);
}

static void
copy__is_equal_and_its_own(void **state)
{
    struct sched *s _cleanup_(sched_freep) = sched_new();
    struct sched *empty _cleanup_(sched_freep) = sched_copy(s);
    struct sched_resources one = {.vcpus = 1,
                                  .memory_bytes = GIB,
                                  .disk_bytes = GIB},
                           claimed;
    struct sched_request rq = {.need = one, .policy = SCHED_SPREAD};
    char id[ID_SIZE], a[ID_SIZE], b[ID_SIZE];

    assert_int_equal(sched_node_count(empty), 0);
    for (unsigned n = 1; n <= 40; n++) {
        node_id(n, id);
        struct sched_node node = plain_node(id);
        node.up = n % 5 != 0;
        node.capacity.vcpus = 1 + n % 7;
        assert_int_equal(sched_node_set(s, &node, NULL), 0);
    }
    struct sched *c _cleanup_(sched_freep) = sched_copy(s);
    assert_true(sched_consistent(c));
    assert_int_equal(sched_node_count(c), 40);
    /* They decide alike, on and on. */
    for (int i = 0; i < 100; i++) {
        assert_int_equal(sched_place(s, &rq, a, NULL, NULL), 0);
        assert_int_equal(sched_place(c, &rq, b, NULL, NULL), 0);
        assert_string_equal(a, b);
        assert_int_equal(sched_claim(s, a, &one, NULL), 0);
        assert_int_equal(sched_claim(c, b, &one, NULL), 0);
    }
    struct sched *d _cleanup_(sched_freep) = sched_copy(s);
    assert_int_equal(sched_claim(d, a, &one, NULL), 0);
    assert_int_equal(sched_node_usage(s, a, &claimed, NULL), 0);
    int64_t before = claimed.vcpus;
    assert_int_equal(sched_node_usage(d, a, &claimed, NULL), 0);
    assert_int_equal(claimed.vcpus, before + 1);
    assert_true(sched_consistent(d) && sched_consistent(s));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(node_set__limit_is_capacity_by_ratio),
        cmocka_unit_test(node_set__hostile_values_are_refused_by_name),
        cmocka_unit_test(node_set__id_that_is_no_uuid_is_refused),
        cmocka_unit_test(claim__to_the_brim_and_no_further),
        cmocka_unit_test(claim__refused_takes_nothing),
        cmocka_unit_test(claim_force__exceeds_but_never_overflows),
        cmocka_unit_test(release__more_than_claimed_is_refused),
        cmocka_unit_test(node_remove__busy_while_claimed_then_gone),
        cmocka_unit_test(node_set__shrunk_below_its_claims_keeps_them),
        cmocka_unit_test(
            claims__millions_of_random_steps_keep_totals_equal_to_rows),
        cmocka_unit_test(copy__is_equal_and_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
