/* test-metering-interval.c - which observation opens and closes what. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "metering/interval.h"
#include "metering/usage.h"

#define CREATED 1000

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
decide__every_edge_of_the_table(void **state)
{
    /* now is 5000; created 1000; a former interval starts at 2000. */
    static const struct {
        uint64_t run; /* of the latest interval */
        int64_t end_us;
        uint64_t ended_run;
        struct meter_observation seen;
        enum meter_action action;
        int64_t at_us;
        bool clamped;
        uint64_t new_ended_run;
    } cases[] = {
        /* none */
        {0, 0, 0, {1, METER_RUNNING, 3000}, METER_OPEN, 3000, false, 0},
        {0, 0, 0, {1, METER_RUNNING, 999}, METER_OPEN, 1000, true, 0},
        {0, 0, 0, {1, METER_RUNNING, -5}, METER_OPEN, 1000, true, 0},
        {0, 0, 0, {1, METER_RUNNING, 5001}, METER_OPEN, 5000, true, 0},
        {0, 0, 0, {1, METER_RUNNING, INT64_MAX}, METER_OPEN, 5000, true, 0},
        {0, 0, 0, {1, METER_ENDED, 3000}, METER_NOTHING, 0, false, 1},
        /* its end came first */
        {0, 0, 4, {4, METER_RUNNING, 3000}, METER_NOTHING, 0, false, 4},
        {0, 0, 4, {3, METER_RUNNING, 3000}, METER_NOTHING, 0, false, 4},
        {0, 0, 4, {5, METER_RUNNING, 3000}, METER_OPEN, 3000, false, 4},
        {0, 0, 4, {2, METER_ENDED, 3000}, METER_NOTHING, 0, false, 4},
        /* open, same run */
        {4, 0, 0, {4, METER_RUNNING, 3000}, METER_NOTHING, 0, false, 0},
        {4, 0, 0, {4, METER_ENDED, 3000}, METER_CLOSE, 3000, false, 4},
        {4, 0, 0, {4, METER_ENDED, 1999}, METER_CLOSE, 2000, true, 4},
        {4, 0, 0, {4, METER_ENDED, INT64_MIN}, METER_CLOSE, 2000, true, 4},
        {4, 0, 0, {4, METER_ENDED, 9999}, METER_CLOSE, 5000, true, 4},
        /* open, newer run */
        {4,
         0,
         0,
         {5, METER_RUNNING, 3000},
         METER_CLOSE_AND_OPEN,
         3000,
         false,
         0},
        {4,
         0,
         0,
         {9, METER_RUNNING, 1500},
         METER_CLOSE_AND_OPEN,
         2000,
         true,
         0},
        {4, 0, 0, {5, METER_ENDED, 3000}, METER_CLOSE, 3000, false, 5},
        /* open, older run */
        {4, 0, 0, {3, METER_RUNNING, 3000}, METER_NOTHING, 0, false, 0},
        {4, 0, 0, {3, METER_ENDED, 3000}, METER_NOTHING, 0, false, 3},
        /* closed at 2500 */
        {4, 2500, 4, {4, METER_RUNNING, 3000}, METER_NOTHING, 0, false, 4},
        {4, 2500, 4, {4, METER_ENDED, 3000}, METER_NOTHING, 0, false, 4},
        {4, 2500, 4, {3, METER_RUNNING, 3000}, METER_NOTHING, 0, false, 4},
        {4, 2500, 4, {3, METER_ENDED, 3000}, METER_NOTHING, 0, false, 4},
        {4, 2500, 4, {5, METER_RUNNING, 3000}, METER_OPEN, 3000, false, 4},
        {4, 2500, 4, {5, METER_RUNNING, 2400}, METER_OPEN, 2500, true, 4},
        {4, 2500, 4, {5, METER_ENDED, 3000}, METER_NOTHING, 0, false, 5},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct meter_history h = {
            .created_us = CREATED,
            .ended_run = cases[i].ended_run,
            .run = cases[i].run,
            .start_us = cases[i].run ? 2000 : 0,
            .end_us = cases[i].end_us,
        };
        struct meter_decision d;

        assert_int_equal(meter_decide(&h, &cases[i].seen, 5000, &d), 0);
        assert_int_equal(d.action, cases[i].action);
        assert_int_equal(d.at_us, cases[i].at_us);
        assert_int_equal(d.clamped, cases[i].clamped);
        assert_int_equal(d.ended_run, cases[i].new_ended_run);
    }
}

static void
decide__clock_behind_the_former_end_still_does_not_overlap(void **state)
{
    struct meter_history h = {
        .created_us = CREATED, .run = 1, .start_us = 2000, .end_us = 9000};
    struct meter_observation o = {2, METER_RUNNING, 4000};
    struct meter_decision d;

    assert_int_equal(meter_decide(&h, &o, 5000, &d), 0);
    assert_int_equal(d.action, METER_OPEN);
    assert_int_equal(d.at_us, 9000);
    assert_true(d.clamped);
}

static void
decide__impossible_input_is_refused(void **state)
{
    static const struct {
        struct meter_history h;
        struct meter_observation o;
        int64_t now_us;
    } bad[] = {
        {{.created_us = 1}, {0, METER_RUNNING, 1}, 10},
        {{.created_us = 1}, {1, (enum meter_state)2, 1}, 10},
        {{.created_us = 0}, {1, METER_RUNNING, 1}, 10},
        {{.created_us = -1}, {1, METER_RUNNING, 1}, 10},
        {{.created_us = 1}, {1, METER_RUNNING, 1}, 0},
        {{.created_us = 1, .run = 1, .start_us = 0}, {1, METER_ENDED, 1}, 10},
        {{.created_us = 1, .run = 1, .start_us = 5, .end_us = 4},
         {2, METER_RUNNING, 1},
         10},
        {{.created_us = 1, .run = 1, .start_us = 5, .end_us = -4},
         {2, METER_RUNNING, 1},
         10},
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct meter_decision d = {.at_us = 77};

        assert_int_equal(meter_decide(&bad[i].h, &bad[i].o, bad[i].now_us, &d),
                         -EINVAL);
        assert_int_equal(d.at_us, 77);
    }
}

/* What the store would hold for one instance. */
#define RUNS_MAX 12
#define MESSAGES_MAX 120

struct ledger {
    struct {
        uint64_t run;
        struct meter_interval iv;
    } row[RUNS_MAX];
    size_t n;
    uint64_t ended_run;
};

struct message {
    struct meter_observation o;
    int64_t now_us; /* when it is delivered */
};

static struct meter_history
ledger_history(const struct ledger *l)
{
    struct meter_history h = {.created_us = CREATED, .ended_run = l->ended_run};

    if (l->n > 0) {
        h.run = l->row[l->n - 1].run;
        h.start_us = l->row[l->n - 1].iv.start_us;
        h.end_us = l->row[l->n - 1].iv.end_us;
    }
    return h;
}

static enum meter_action
ledger_apply(struct ledger *l, const struct message *m)
{
    struct meter_history h = ledger_history(l);
    struct meter_decision d;

    assert_int_equal(meter_decide(&h, &m->o, m->now_us, &d), 0);
    if (d.action == METER_CLOSE || d.action == METER_CLOSE_AND_OPEN) {
        assert_true(l->n > 0 && l->row[l->n - 1].iv.end_us == 0);
        l->row[l->n - 1].iv.end_us = d.at_us;
    }
    if (d.action == METER_OPEN || d.action == METER_CLOSE_AND_OPEN) {
        assert_true(l->n < RUNS_MAX);
        l->row[l->n].run = m->o.run;
        l->row[l->n++].iv =
            (struct meter_interval){.start_us = d.at_us, .vcpus = 1};
    }
    assert_true(d.ended_run >= l->ended_run);
    l->ended_run = d.ended_run;
    return d.action;
}

/* The invariants of interval.h; latest is the highest now_us so far. */
static void
ledger_check(const struct ledger *l, int64_t latest)
{
    for (size_t i = 0; i < l->n; i++) {
        const struct meter_interval *iv = &l->row[i].iv;

        assert_true(iv->start_us >= CREATED && iv->start_us <= latest);
        assert_true(iv->end_us == 0
                        ? i + 1 == l->n
                        : iv->end_us >= iv->start_us && iv->end_us <= latest);
        if (i > 0) {
            assert_true(l->row[i].run > l->row[i - 1].run);
            assert_true(iv->start_us >= l->row[i - 1].iv.end_us);
        }
    }
}

static int64_t
ledger_sum(const struct ledger *l, int64_t now_us)
{
    struct meter_usage u = {0};

    for (size_t i = 0; i < l->n; i++)
        assert_int_equal(
            meter_usage_add(&u, &l->row[i].iv, 0, INT64_MAX, now_us), 0);
    assert_true(u.vcpu_us == (unsigned __int128)u.running_us);
    return u.running_us;
}

/* A life: runs one after another. Returns the messages in true order, with
 * now_us the true time. */
static size_t
life_make(struct message *m, uint64_t *rnd)
{
    uint64_t runs = (uint64_t)below(rnd, RUNS_MAX) + 1, run = 0;
    int64_t t = CREATED;
    size_t n = 0;

    for (uint64_t i = 0; i < runs; i++) {
        run += 1 + (uint64_t)below(rnd, 3); /* numbers may be skipped */
        t += below(rnd, 500);
        m[n++] = (struct message){{run, METER_RUNNING, t}, t};
        t += below(rnd, 5000);
        m[n++] = (struct message){{run, METER_ENDED, t}, t};
    }
    if (below(rnd, 2))
        n--; /* still runs */
    return n;
}

static void
model__duplicates_and_delays_leave_the_true_sum(void **state)
{
    uint64_t rnd = seed();

    for (int round = 0; round < 20000; round++) {
        struct message m[2 * RUNS_MAX];
        struct ledger l = {0};
        size_t n = life_make(m, &rnd);
        int64_t now = CREATED, truth = 0;

        for (size_t i = 0; i < n; i++) {
            /* Delivered in order, any time later. */
            now = MAX(now, m[i].now_us) + below(&rnd, 3000);
            m[i].now_us = now;
            ledger_apply(&l, &m[i]);
            for (int64_t k = below(&rnd, 4); k > 0; k--) {
                /* Any earlier one comes again, even later. */
                struct message again = m[below(&rnd, (int64_t)i + 1)];

                now += below(&rnd, 100);
                again.now_us = now;
                assert_int_equal(ledger_apply(&l, &again), METER_NOTHING);
            }
            ledger_check(&l, now);
        }
        for (size_t i = 0; i < n; i += 2)
            truth += (i + 1 < n ? m[i + 1].o.at_us : now) - m[i].o.at_us;
        assert_int_equal(ledger_sum(&l, now), truth);
    }
}

/* The rule in other words, run by run over the whole sequence: a run counts
 * if its beginning comes before its end and before anything of a later run;
 * it ends with the first message that says so. */
static int64_t
oracle_sum(const struct message *m, size_t n, uint64_t max_run, int64_t now,
           size_t *ret_counted)
{
    int64_t sum = 0, former_end = CREATED;

    *ret_counted = 0;
    for (uint64_t run = 1; run <= max_run; run++) {
        size_t i = 0;

        while (i < n && m[i].o.run < run)
            i++;
        if (i == n || m[i].o.run != run || m[i].o.state != METER_RUNNING)
            continue;
        int64_t start = MAX(m[i].o.at_us, former_end), end = now;
        for (size_t k = i + 1; k < n; k++) {
            if (m[k].o.run > run ||
                (m[k].o.run == run && m[k].o.state == METER_ENDED)) {
                end = MAX(start, m[k].o.at_us);
                break;
            }
        }
        sum += end - start;
        former_end = end;
        (*ret_counted)++;
    }
    return sum;
}

static void
model__lost_and_reordered_messages_agree_with_the_oracle(void **state)
{
    uint64_t rnd = seed();
    size_t reordered = 0;

    for (int round = 0; round < 50000; round++) {
        struct message life[2 * RUNS_MAX], m[MESSAGES_MAX];
        size_t len = life_make(life, &rnd), n = 0, counted;
        int64_t now = life[len - 1].now_us;
        uint64_t max_run = life[len - 1].o.run;
        struct ledger l = {0};

        for (size_t i = 0; i < len; i++) {
            for (int64_t k = below(&rnd, 4); k > 0; k--)
                m[n++] = life[i]; /* none: lost */
        }
        /* Local reordering in some rounds, complete in others. */
        int64_t reach = below(&rnd, 2) ? 3 : MESSAGES_MAX;
        for (size_t i = 0; i + 1 < n; i++) {
            size_t far = MIN(n - i, (size_t)reach);
            size_t k = i + (size_t)below(&rnd, (int64_t)far);
            struct message swap = m[i];

            reordered += k != i;
            m[i] = m[k];
            m[k] = swap;
        }
        for (size_t i = 0; i < n; i++) {
            now += below(&rnd, 100);
            m[i].now_us = now;
            ledger_apply(&l, &m[i]);
            assert_int_equal(ledger_apply(&l, &m[i]), METER_NOTHING);
            ledger_check(&l, now);
        }
        int64_t expected = oracle_sum(m, n, max_run, now, &counted);
        assert_int_equal(l.n, counted);
        assert_int_equal(ledger_sum(&l, now), expected);
        /* Once the last run's end has come, nothing is left open. */
        for (size_t i = 0; i < n; i++) {
            if (m[i].o.run == max_run && m[i].o.state == METER_ENDED)
                assert_true(l.n == 0 || l.row[l.n - 1].iv.end_us != 0);
        }
    }
    assert_true(reordered > 100000);
}

static void
model__clocks_that_lie_never_break_the_invariants(void **state)
{
    uint64_t rnd = seed();

    for (int round = 0; round < 50000; round++) {
        struct ledger l = {0};
        int64_t now = CREATED, latest = CREATED;

        for (int i = 0; i < 60; i++) {
            struct message m = {
                .o = {1 + (uint64_t)below(&rnd, RUNS_MAX),
                      below(&rnd, 2) ? METER_RUNNING : METER_ENDED,
                      below(&rnd, 20000) - 5000},
            };

            if (below(&rnd, 20) == 0)
                m.o.at_us = below(&rnd, 2) ? INT64_MAX : INT64_MIN;
            /* Our own clock steps, too, now and then back. */
            now += below(&rnd, 400);
            if (below(&rnd, 15) == 0)
                now = MAX(INT64_C(1), now - below(&rnd, 3000));
            latest = MAX(latest, now);
            m.now_us = now;
            ledger_apply(&l, &m);
            assert_int_equal(ledger_apply(&l, &m), METER_NOTHING);
            ledger_check(&l, latest);
        }
        /* No microsecond is counted twice. */
        assert_true(ledger_sum(&l, latest) <= latest - CREATED);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decide__every_edge_of_the_table),
        cmocka_unit_test(
            decide__clock_behind_the_former_end_still_does_not_overlap),
        cmocka_unit_test(decide__impossible_input_is_refused),
        cmocka_unit_test(model__duplicates_and_delays_leave_the_true_sum),
        cmocka_unit_test(
            model__lost_and_reordered_messages_agree_with_the_oracle),
        cmocka_unit_test(model__clocks_that_lie_never_break_the_invariants),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
