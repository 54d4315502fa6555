/* test-scheduler-model.c - the cluster beside a model in the plainest form:
 * see sched-model.h. SCHED_STEPS: how many steps (millions by hand). */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/mem.h"
#include "tests/unit/sched-model.h"

static uint64_t
random_below(void *arg, uint64_t n)
{
    uint64_t *state = arg;
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % n;
}

static uint64_t
number(const char *name, uint64_t otherwise)
{
    const char *s = getenv(name);
    uint64_t v = s ? strtoull(s, NULL, 0) : otherwise;

    print_message("%s=%llu\n", name, (unsigned long long)v);
    return v;
}

struct counts {
    size_t met[SCHED_RULES], placed, refused, evictions;
};

/* Small clusters, where rules meet; large ones, where trees are deep. */
static void
run(uint64_t seed, uint64_t steps, size_t nodes, size_t instances, bool hostile,
    struct counts *c)
{
    struct model *m = model_new((struct model_source){random_below, &seed},
                                nodes, instances, hostile);

    for (uint64_t i = 0; i < steps; i++) {
        model_step(m);
        if (i % 500 == 0)
            model_compare(m);
    }
    model_compare(m);
    model_counts(m, c->met, &c->placed, &c->refused, &c->evictions);
    model_free(m);
}

static void
cluster__agrees_with_the_model_at_every_step(void **state)
{
    uint64_t seed = number("TEST_SEED", 20261123);
    uint64_t steps = number("SCHED_STEPS", 400000);
    struct counts c = {0};

    for (uint64_t i = 0; i < 20; i++)
        run(seed + i, steps / 30, 3 + i, 10 + 2 * i, false, &c);
    run(seed + 20, steps / 10, 60, 150, false, &c);
    for (uint64_t i = 0; i < 10; i++)
        run(seed + 21 + i, steps / 40, 8, 25, true, &c);
    print_message("%zu placed, %zu refused, %zu evictions\n", c.placed,
                  c.refused, c.evictions);
    if (steps < 200000)
        return; /* few steps do not meet every rule */
    /* All ways were really tried. */
    assert_true(c.placed > steps / 20 && c.refused > steps / 20);
    assert_true(c.evictions > steps / 4000);
    for (int rule = 0; rule < SCHED_RULES; rule++) {
        print_message("%zu %s\n", c.met[rule],
                      sched_rule_name((enum sched_rule)rule));
        assert_true(c.met[rule] > 100);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cluster__agrees_with_the_model_at_every_step),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
