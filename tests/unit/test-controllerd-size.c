/* test-controllerd-size.c - resizing while a run may be there: each run is
 * billed by what it was started with, and the node's room is claimed for
 * whatever may run, no longer and no shorter; also for a controller that dies
 * between any two steps. */
#include <config.h>

#include "tests/unit/life-fixture.h"

#include "common/count.h"

static int
setup(void **state)
{
    struct life *f = xnew(struct life);

    life_init(f);
    life_put(f, INSTANCE_CREATING, "instance.create");
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    life_release(*state);
    free(*state);
    return 0;
}

/* ---- claims ---- */

/* As a controller that starts now would count them. */
static int
add_claim(const char *node, int64_t vcpus, int64_t memory, int64_t disk,
          void *arg)
{
    struct sched_resources *r = arg;

    assert_string_equal(node, NODE1);
    r->vcpus += vcpus;
    r->memory_bytes += memory;
    r->disk_bytes += disk;
    return 0;
}

static struct sched_resources
claimed(struct life *f)
{
    struct sched_resources r = {0};

    assert_int_equal(store_instance_each_claim(f->st.db, add_claim, &r), 0);
    return r;
}

static void
assert_claimed(struct life *f, int64_t vcpus, int64_t memory, int64_t disk)
{
    struct sched_resources r = claimed(f);

    assert_int_equal(r.vcpus, vcpus);
    assert_int_equal(r.memory_bytes, memory);
    assert_int_equal(r.disk_bytes, disk);
}

/* What the last reports gave back. */
static struct sched_resources
take_released(struct life *f)
{
    struct sched_resources sum = {0};
    const struct released *r = f->seen->released.items;

    for (size_t k = 0; k < f->seen->released.n; k++) {
        assert_string_equal(r[k].node_id, NODE1);
        sum.vcpus += r[k].r.vcpus;
        sum.memory_bytes += r[k].r.memory_bytes;
        sum.disk_bytes += r[k].r.disk_bytes;
    }
    observed_free(f->seen);
    f->seen = xnew(struct observed);
    return sum;
}

static void
assert_released(struct life *f, int64_t vcpus, int64_t memory, int64_t disk)
{
    struct sched_resources r = take_released(f);

    assert_int_equal(r.vcpus, vcpus);
    assert_int_equal(r.memory_bytes, memory);
    assert_int_equal(r.disk_bytes, disk);
}

/* ---- bills ---- */

struct bills {
    struct store_interval iv[16];
    size_t n;
};

static int
save(const struct store_interval *i, void *arg)
{
    struct bills *b = arg;

    assert_true(b->n < ARRAY_SIZE(b->iv));
    b->iv[b->n++] = *i;
    return 0;
}

/* vcpus of the runs in their order; the last is open or not. */
static void
assert_billed(struct life *f, bool open, size_t n, const int64_t vcpus[])
{
    struct bills b = {.n = 0};

    assert_int_equal(
        store_interval_each(f->st.db, NULL, ID, 0, INT64_MAX, save, &b), 0);
    assert_int_equal(b.n, n);
    for (size_t k = 0; k < n; k++) {
        assert_int_equal(b.iv[k].iv.vcpus, vcpus[k]);
        assert_int_equal(b.iv[k].iv.memory_bytes, vcpus[k] == 2 ? 3 : 30);
        assert_int_equal(b.iv[k].iv.end_us == 0, open && k == n - 1);
    }
}
#define BILLED(f, open, ...)                                                   \
    assert_billed(f, open, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), \
                  (int64_t[]){__VA_ARGS__})

static void
see_end(struct life *f, int64_t run, bool restart)
{
    struct api_observation o = life_saw(f, run, OBSERVED_STOPPED);

    o.restart = restart;
    life_report(f, o);
}

/* As an agent does that tells sizes. */
static void
see_size(struct life *f, int64_t run, enum api_observed st, int64_t vcpus,
         int64_t memory, int64_t disk)
{
    struct api_observation o = life_saw(f, run, st);

    o.vcpus = vcpus;
    o.memory_bytes = memory;
    o.disk_bytes = disk;
    life_report(f, o);
}

/* ---- cases ---- */

static void
grow__is_claimed_at_once_and_billed_from_its_run(void **state)
{
    struct life *f = *state;

    life_see(f, RUN, OBSERVED_RUNNING);
    life_resize(f, 8, 30, 40);
    assert_claimed(f, 8, 30, 40);
    assert_life(f, INSTANCE_RESIZING, RUN + 1);
    BILLED(f, true, 2);
    see_end(f, RUN, false);
    assert_life(f, INSTANCE_RESIZING, RUN + 1);
    BILLED(f, false, 2);
    life_see(f, RUN + 1, OBSERVED_RUNNING);
    assert_life(f, INSTANCE_RUNNING, RUN + 1);
    assert_op(f, "instance.resize", OP_SUCCEEDED, NULL);
    BILLED(f, true, 2, 8);
    assert_claimed(f, 8, 30, 40);
    assert_released(f, 0, 0, 0);
}

static void
shrink__is_given_back_when_the_old_run_is_over(void **state)
{
    struct life *f = *state;

    life_see(f, RUN, OBSERVED_RUNNING);
    life_resize(f, 1, 30, 4);
    assert_claimed(f, 2, 30, 4);
    life_see(f, RUN, OBSERVED_RUNNING); /* told again */
    assert_released(f, 0, 0, 0);
    assert_claimed(f, 2, 30, 4);
    see_end(f, RUN, false);
    assert_released(f, 1, 0, 0);
    assert_claimed(f, 1, 30, 4);
    life_see(f, RUN + 1, OBSERVED_RUNNING);
    assert_released(f, 0, 0, 0);
    BILLED(f, true, 2, 1);
}

/* The end of the old run was never heard of: the new one says it. */
static void
shrink__is_given_back_when_the_new_run_is_seen(void **state)
{
    struct life *f = *state;

    life_see(f, RUN, OBSERVED_RUNNING);
    life_resize(f, 1, 30, 4);
    life_see(f, RUN + 1, OBSERVED_RUNNING);
    assert_released(f, 1, 0, 0);
    assert_claimed(f, 1, 30, 4);
    BILLED(f, true, 2, 1);
}

static void
grow__beyond_a_run_that_the_node_began_itself(void **state)
{
    struct life *f = *state;

    life_see(f, RUN, OBSERVED_RUNNING);
    life_resize(f, 8, 30, 40);
    see_end(f, RUN, true);                  /* reserves RUN + 1 */
    life_see(f, RUN + 1, OBSERVED_RUNNING); /* with the old size */
    assert_life(f, INSTANCE_RESIZING, RUN + 2);
    BILLED(f, true, 2, 2);
    see_end(f, RUN + 1, true); /* once more */
    assert_life(f, INSTANCE_RESIZING, RUN + 3);
    life_see(f, RUN + 2, OBSERVED_RUNNING);
    BILLED(f, true, 2, 2, 2);
    assert_claimed(f, 8, 30, 40);
    see_end(f, RUN + 2, false);
    life_see(f, RUN + 3, OBSERVED_RUNNING);
    assert_life(f, INSTANCE_RUNNING, RUN + 3);
    BILLED(f, true, 2, 2, 2, 8);
    assert_released(f, 0, 0, 0);
    assert_claimed(f, 8, 30, 40);
}

static void
cancel__keeps_room_for_what_may_have_begun(void **state)
{
    struct life *f = *state;
    struct store_instance i _cleanup_(store_instance_release) = {0};

    life_see(f, RUN, OBSERVED_RUNNING);
    life_resize(f, 8, 30, 40);
    assert_int_equal(life_back(f, false, NULL), 0);
    assert_life(f, INSTANCE_RESIZING, RUN + 2);
    assert_op(f, "instance.resize", OP_RUNNING, NULL);
    life_get(f, &i);
    assert_string_equal(i.a.flavor, "small");
    assert_int_equal(i.a.vcpus, 2);
    assert_int_equal(i.a.memory_bytes, 3);
    assert_int_equal(i.a.disk_bytes, 40); /* no disk gets smaller */
    assert_claimed(f, 8, 30, 40);
    see_end(f, RUN, false);
    life_see(f, RUN + 1, OBSERVED_RUNNING); /* it had begun */
    assert_life(f, INSTANCE_RESIZING, RUN + 2);
    BILLED(f, true, 2, 8);
    assert_claimed(f, 8, 30, 40);
    see_end(f, RUN + 1, false);
    assert_claimed(f, 2, 3, 40);
    assert_released(f, 6, 27, 0);
    life_see(f, RUN + 2, OBSERVED_RUNNING);
    assert_life(f, INSTANCE_RUNNING, RUN + 2);
    assert_op(f, "instance.resize", OP_SUCCEEDED, NULL);
    BILLED(f, true, 2, 8, 2);
}

static void
cancel__may_itself_be_cancelled(void **state)
{
    struct life *f = *state;
    struct store_instance i _cleanup_(store_instance_release) = {0};

    life_see(f, RUN, OBSERVED_RUNNING);
    life_resize(f, 8, 30, 40);
    assert_int_equal(life_back(f, false, NULL), 0);
    assert_int_equal(life_back(f, false, NULL), 0);
    life_get(f, &i);
    assert_string_equal(i.a.flavor, "large");
    assert_int_equal(i.a.vcpus, 8);
    life_see(f, RUN + 3, OBSERVED_RUNNING);
    assert_life(f, INSTANCE_RUNNING, RUN + 3);
    BILLED(f, true, 2, 8);
    assert_claimed(f, 8, 30, 40);
    assert_released(f, 0, 0, 0);
}

static void
failed__is_undone_to_the_old_size(void **state)
{
    struct life *f = *state;

    life_see(f, RUN, OBSERVED_RUNNING);
    life_resize(f, 8, 30, 4);
    see_end(f, RUN, false);
    life_see(f, RUN + 1, OBSERVED_FAILED);
    assert_life(f, INSTANCE_ERROR, RUN + 1);
    assert_claimed(f, 8, 30, 4);
    assert_int_equal(life_back(f, true, NULL), 0);
    assert_life(f, INSTANCE_RESIZING, RUN + 2);
    life_see(f, RUN + 2, OBSERVED_RUNNING);
    assert_life(f, INSTANCE_RUNNING, RUN + 2);
    assert_claimed(f, 2, 3, 4);
    assert_released(f, 6, 27, 0);
    BILLED(f, true, 2, 2);
}

static void
stop__amid_a_resize_gives_back_at_its_end(void **state)
{
    struct life *f = *state;

    life_see(f, RUN, OBSERVED_RUNNING);
    life_resize(f, 1, 30, 4);
    assert_int_equal(life_ask(f, VERB_STOP, NULL), 0);
    assert_claimed(f, 2, 30, 4);
    see_end(f, RUN, true); /* before it heard of either */
    assert_claimed(f, 2, 30, 4);
    life_see(f, RUN + 1, OBSERVED_RUNNING);
    BILLED(f, true, 2, 2);
    see_end(f, RUN + 1, false);
    assert_life(f, INSTANCE_STOPPED, RUN + 1);
    assert_claimed(f, 1, 30, 4);
    assert_released(f, 1, 0, 0);
    assert_int_equal(life_ask(f, VERB_START, NULL), 0);
    life_see(f, RUN + 2, OBSERVED_RUNNING);
    BILLED(f, true, 2, 2, 1);
}

static void
delete__amid_a_resize_gives_all_back(void **state)
{
    struct life *f = *state;

    life_see(f, RUN, OBSERVED_RUNNING);
    life_resize(f, 1, 30, 4);
    assert_int_equal(life_ask(f, VERB_DELETE, NULL), 0);
    life_see(f, RUN, OBSERVED_DELETED);
    assert_claimed(f, 0, 0, 0);
    assert_released(f, 2, 30, 4);
    BILLED(f, false, 2);
}

static void
lost__amid_a_resize_keeps_its_own_claim(void **state)
{
    struct life *f = *state;

    life_see(f, RUN, OBSERVED_RUNNING);
    life_resize(f, 1, 30, 4);
    life_see(f, RUN, OBSERVED_DELETED);
    assert_claimed(f, 1, 30, 4);
    assert_released(f, 1, 0, 0);
}

/* ---- sizes that are told ---- */

struct tally {
    const char *name;
    int64_t value;
};

static void
find_counter(const char *name, uint64_t value, void *arg)
{
    struct tally *t = arg;

    if (streq(name, t->name))
        t->value = (int64_t)value;
}

static int64_t
count_value(const char *name)
{
    struct tally t = {.name = name};

    count_each(find_counter, &t);
    return t.value;
}

static void
told__run_that_the_node_began_by_the_new_wish(void **state)
{
    struct life *f = *state;

    see_size(f, RUN, OBSERVED_RUNNING, 2, 3, 4);
    life_resize(f, 8, 30, 40);
    see_end(f, RUN, true); /* reserves RUN + 1, then hears of the resize */
    see_size(f, RUN + 1, OBSERVED_RUNNING, 8, 30, 40);
    assert_life(f, INSTANCE_RESIZING, RUN + 2);
    BILLED(f, true, 2, 8);
    see_end(f, RUN + 1, false);
    see_size(f, RUN + 2, OBSERVED_RUNNING, 8, 30, 40);
    assert_life(f, INSTANCE_RUNNING, RUN + 2);
    BILLED(f, true, 2, 8, 8);
    assert_released(f, 0, 0, 0);
    assert_claimed(f, 8, 30, 40);
}

/* Both sizes are possible until it is told, and room is kept for both. */
static void
told__either_size_after_a_cancel_has_its_room(void **state)
{
    struct life *f = *state;

    see_size(f, RUN, OBSERVED_RUNNING, 2, 3, 4);
    life_resize(f, 8, 30, 4); /* RUN + 1 */
    assert_int_equal(life_back(f, false, NULL), 0);
    assert_life(f, INSTANCE_RESIZING, RUN + 2);
    see_end(f, RUN, true);
    assert_claimed(f, 8, 30, 4);
    assert_released(f, 0, 0, 0);
    see_size(f, RUN + 1, OBSERVED_RUNNING, 8, 30, 4);
    BILLED(f, true, 2, 8);
    assert_claimed(f, 8, 30, 4);
    see_size(f, RUN + 1, OBSERVED_RUNNING, 8, 30, 4); /* told again */
    assert_claimed(f, 8, 30, 4);
    see_end(f, RUN + 1, false);
    see_size(f, RUN + 2, OBSERVED_RUNNING, 2, 3, 4);
    BILLED(f, true, 2, 8, 2);
    assert_claimed(f, 2, 3, 4);
    assert_released(f, 6, 27, 0);
}

static void
told__room_of_what_it_is_not_is_given_back(void **state)
{
    struct life *f = *state;

    see_size(f, RUN, OBSERVED_RUNNING, 2, 3, 4);
    life_resize(f, 1, 30, 4);
    see_end(f, RUN, true);
    assert_claimed(f, 2, 30, 4);
    see_size(f, RUN + 1, OBSERVED_PAUSED, 1, 30, 4);
    assert_claimed(f, 1, 30, 4);
    assert_released(f, 1, 0, 0);
    see_end(f, RUN + 1, true);
    assert_claimed(f, 1, 30, 4);
}

/* What nobody asked for is neither billed nor claimed. */
static void
told__size_that_nobody_asked_for_does_not_count(void **state)
{
    struct life *f = *state;
    static const int64_t bad[][3] = {
        {64, 3, 4}, {2, 30, 4}, {2, 3, 400}, {1, 3, 4}, {2, 0, 4}, {0, 3, 4},
    };
    int64_t n = 0;

    for (size_t k = 0; k < ARRAY_SIZE(bad); k++) {
        int64_t before = count_value("observed_size_unknown");

        see_size(f, RUN + n, OBSERVED_RUNNING, bad[k][0], bad[k][1], bad[k][2]);
        assert_int_equal(count_value("observed_size_unknown") - before,
                         bad[k][0] && bad[k][1]);
        assert_claimed(f, 2, 3, 4);
        see_end(f, RUN + n++, true);
    }
    BILLED(f, false, 2, 2, 2, 2, 2, 2);
    /* Nor what is wanted no more, of a run that is surely after it. */
    see_size(f, RUN + n, OBSERVED_RUNNING, 2, 3, 4);
    life_resize(f, 8, 30, 4);
    see_end(f, RUN + n, false);
    see_size(f, RUN + n + 1, OBSERVED_RUNNING, 2, 3, 4);
    BILLED(f, true, 2, 2, 2, 2, 2, 2, 2, 8);
    assert_claimed(f, 8, 30, 4);
}

/* ---- any walk ---- */

/* NODE_TELLS starts what its latest wish says, and tells. NODE_SILENT does the
 * same and tells nothing: its bills go by the wish of the run's number. */
enum walk_node { NODE_BEFORE, NODE_SILENT, NODE_TELLS, N_WALK_NODES };

struct walk {
    struct life f;
    enum walk_node node;
    bool cancelled;
    uint32_t dice;
    struct sched_resources mem; /* what is claimed in memory */
    /* The node: the latest run, whether it is up, and the wish it knows. */
    int64_t run, up, wish_run;
    int64_t vcpus, wish_vcpus; /* of that run; of the wish */
    bool waits;                /* the next run is reserved */
    int64_t sized[64];         /* vcpus with which each run began */
};

static uint32_t
rnd(struct walk *w, uint32_t n)
{
    w->dice = w->dice * 1664525 + 1013904223;
    return (w->dice >> 8) % n;
}

/* Claims in memory follow, and always are those of a controller that starts
 * anew: it may have died just now. */
static void
settle_claims(struct walk *w, const struct sched_resources *more)
{
    struct sched_resources less = take_released(&w->f), now = claimed(&w->f);

    w->mem.vcpus += more->vcpus - less.vcpus;
    w->mem.memory_bytes += more->memory_bytes - less.memory_bytes;
    w->mem.disk_bytes += more->disk_bytes - less.disk_bytes;
    assert_int_equal(w->mem.vcpus, now.vcpus);
    assert_int_equal(w->mem.memory_bytes, now.memory_bytes);
    assert_int_equal(w->mem.disk_bytes, now.disk_bytes);
    /* Nothing runs with more than is claimed. */
    if (w->up)
        assert_in_range(w->vcpus, 1, now.vcpus);
}

static void
tenant(struct walk *w)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};
    struct sched_resources before = claimed(&w->f), more;

    life_get(&w->f, &i);
    if (i.a.state == INSTANCE_RUNNING)
        life_resize(&w->f, 1 + rnd(w, 8), 3, 4);
    else if (i.a.state == INSTANCE_RESIZING && rnd(w, 3) == 0)
        w->cancelled = life_back(&w->f, false, NULL) == 0;
    else if (i.a.state == INSTANCE_RESIZING && rnd(w, 3) == 0)
        assert_int_equal(life_ask(&w->f, VERB_STOP, NULL), 0);
    else if (i.a.state == INSTANCE_STOPPED)
        assert_int_equal(life_ask(&w->f, VERB_START, NULL), 0);
    struct sched_resources after = claimed(&w->f);
    more = (struct sched_resources){
        .vcpus = after.vcpus - before.vcpus,
        .memory_bytes = after.memory_bytes - before.memory_bytes,
        .disk_bytes = after.disk_bytes - before.disk_bytes};
    settle_claims(w, &more);
}

static void
node_hears(struct walk *w)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};

    life_get(&w->f, &i);
    w->wish_run = i.power == POWER_RUNNING ? i.a.run : -i.a.run;
    w->wish_vcpus = i.a.vcpus;
}

static void
end(struct walk *w, bool restart)
{
    w->up = 0;
    w->waits = restart;
    see_end(&w->f, w->run, restart);
}

static void
node_acts(struct walk *w)
{
    if (w->up && (w->wish_run < 0 || w->wish_run > w->run)) {
        end(w, false);
    } else if (w->up && rnd(w, 4) == 0) {
        end(w, true);
    } else if (!w->up && w->wish_run < 0) {
        w->run = MAX(w->run + w->waits, -w->wish_run);
        w->waits = false;
        see_end(&w->f, w->run, false);
    } else if (!w->up && (w->wish_run > w->run || w->waits)) {
        /* A run whose number was reserved, and asked for as well, could be of
         * either size: NODE_BEFORE starts such a one as it was before. */
        bool asked = w->node != NODE_BEFORE || w->wish_run > w->run + w->waits;

        w->vcpus = asked || !w->waits ? w->wish_vcpus : w->vcpus;
        w->run = MAX(w->wish_run, w->run + w->waits);
        w->waits = false;
        w->up = 1;
        w->sized[w->run] = w->vcpus;
        if (w->node == NODE_TELLS)
            see_size(&w->f, w->run, OBSERVED_RUNNING, w->vcpus, 3, 4);
        else
            life_see(&w->f, w->run, OBSERVED_RUNNING);
    }
    settle_claims(w, &(struct sched_resources){0});
}

static int
check_bill(const struct store_interval *i, void *arg)
{
    struct walk *w = arg;

    /* Of two sizes that a run may have the silent are billed the smaller. */
    if (w->node == NODE_TELLS || (w->node == NODE_BEFORE && !w->cancelled))
        assert_int_equal(i->iv.vcpus, w->sized[i->run]);
    else if (w->node == NODE_BEFORE)
        assert_in_range(i->iv.vcpus, 1, w->sized[i->run]);
    w->sized[i->run] = 0;
    return 0;
}

static void
walk__claims_and_bills_are_exact_at_every_step(void **state)
{
    for (uint32_t seed = 1; seed <= 180; seed++) {
        struct walk w = {.dice = seed * 7919, .node = seed % N_WALK_NODES};

        life_init(&w.f);
        life_put(&w.f, INSTANCE_CREATING, "instance.create");
        w.mem = claimed(&w.f);
        node_hears(&w);
        w.run = RUN - 1;
        for (int n = 0; n < 60 && w.run < 50; n++) {
            uint32_t d = rnd(&w, 4);

            if (d == 0)
                tenant(&w);
            else if (d == 1)
                node_hears(&w);
            else
                node_acts(&w);
        }
        assert_int_equal(store_interval_each(w.f.st.db, NULL, ID, 0, INT64_MAX,
                                             check_bill, &w),
                         0);
        for (size_t k = 0; k < ARRAY_SIZE(w.sized); k++)
            assert_int_equal(w.sized[k], 0);
        life_release(&w.f);
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(grow__is_claimed_at_once_and_billed_from_its_run),
        T(shrink__is_given_back_when_the_old_run_is_over),
        T(shrink__is_given_back_when_the_new_run_is_seen),
        T(grow__beyond_a_run_that_the_node_began_itself),
        T(cancel__keeps_room_for_what_may_have_begun),
        T(cancel__may_itself_be_cancelled),
        T(failed__is_undone_to_the_old_size),
        T(stop__amid_a_resize_gives_back_at_its_end),
        T(delete__amid_a_resize_gives_all_back),
        T(lost__amid_a_resize_keeps_its_own_claim),
        T(told__run_that_the_node_began_by_the_new_wish),
        T(told__either_size_after_a_cancel_has_its_room),
        T(told__room_of_what_it_is_not_is_given_back),
        T(told__size_that_nobody_asked_for_does_not_count),
        cmocka_unit_test(walk__claims_and_bills_are_exact_at_every_step),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
