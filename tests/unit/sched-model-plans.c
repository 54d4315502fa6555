/* sched-model-plans.c - batches, evictions, the view; see sched-model.h. */
#include <config.h>

#include "tests/unit/sched-model-private.h"

#include "common/mem.h"
#include "scheduler/plan.h"
#include "scheduler/view.h"

#define BATCH 4 /* of each of two items */

/* One after the other on a copy; what was placed of a gang goes again. */
static void
one_by_one(struct sched *s, const struct sched_batch_item *item, bool first,
           char (*nodes)[ID_SIZE], size_t *ret_placed)
{
    struct sched_instance in = *item->like;
    char id[BATCH][ID_SIZE];
    int r = 0;

    in.project_id = item->request->project_id;
    in.need = item->request->need;
    in.one_cell = item->request->one_cell;
    in.expected_end = item->request->expected_end;
    for (*ret_placed = 0; *ret_placed < item->count; ++*ret_placed) {
        size_t i = *ret_placed;

        snprintf(id[i], ID_SIZE, "3%d000000-0000-7000-8000-00000000000%zx",
                 first, i % BATCH);
        in.id = id[i];
        r = sched_place(s, item->request, nodes[i], NULL, NULL);
        if (r == 0)
            r = sched_instance_add(s, nodes[i], &in, false, NULL);
        if (r < 0)
            break;
    }
    while (r < 0 && item->gang && *ret_placed > 0)
        FUZZ_CHECK(sched_instance_remove(s, id[--*ret_placed], NULL) == 0);
}

static int64_t
share_of(const struct model *m, const struct sched_resources *r)
{
    struct sched_vector v = sched_vector(r);
    int64_t most = 0;

    for (int d = 0; d < SCHED_DIMS; d++) {
        __int128 total = 0;

        for (size_t n = 0; n < m->nodes; n++)
            total += m->node[n].there ? m->node[n].limit.v[d] : 0;
        if (v.v[d] > total)
            return INT64_MAX;
        if (v.v[d] > 0)
            most = MAX(most, (int64_t)(((__int128)v.v[d] << 40) / total));
    }
    return most;
}

/* A trial gives what placing one by one gives, and leaves nothing behind. */
static void
batch(struct model *m, const struct sched_request *rq)
{
    struct sched_request small = *rq;
    const char *key = "a";
    struct sched_instance like = {.keys = &key, .n_keys = model_below(m, 2)};
    char nodes[2][BATCH][ID_SIZE], want[2][BATCH][ID_SIZE];
    struct sched_batch_item items[2] = {
        {.request = &small, .like = &like, .nodes = nodes[0]},
        {.request = rq, .like = &like, .nodes = nodes[1]},
    };
    struct sched *copy = sched_copy(m->s);
    size_t instances = sched_instance_count(m->s), placed;

    small.need = (struct sched_resources){.vcpus = MIN(rq->need.vcpus, 1)};
    for (int i = 0; i < 2; i++) {
        items[i].count = model_below(m, BATCH + 1);
        items[i].gang = model_below(m, 2);
    }
    FUZZ_CHECK(sched_batch(m->s, items, 2, false, NULL) == 0);
    FUZZ_CHECK(sched_instance_count(m->s) == instances);
    /* The large one goes first; of equal ones the first. */
    bool equal = share_of(m, &small.need) == share_of(m, &rq->need);
    for (int k = 0; k < 2; k++) {
        int i = equal ? k : 1 - k;

        one_by_one(copy, &items[i], i == 0, want[i], &placed);
        FUZZ_CHECK(items[i].placed == placed);
        FUZZ_CHECK((items[i].error == 0) == (placed == items[i].count));
        for (size_t j = 0; j < placed; j++)
            FUZZ_CHECK(strcmp(nodes[i][j], want[i][j]) == 0);
    }
    sched_free(copy);
}

/* Whether the request fits n once the chosen ones (bits of m's instances) are
 * gone; groups as if they were there. */
static bool
fits_without(struct model *m, const struct sched_request *rq, size_t n,
             const bool *gone)
{
    struct sched_request alone = *rq;
    long double soft = 0;

    enum sched_rule now = model_rule_of(m, rq, n, &soft);
    alone.n_rules = 0;
    enum sched_rule bare = model_rule_of(m, &alone, n, &soft);
    if (now == SCHED_FITS)
        return true;
    if (bare == SCHED_FITS || now != bare)
        return false; /* it is a rule about groups */
    for (size_t i = 0; i < m->instances; i++)
        m->instance[i].there ^= gone[i];
    enum sched_rule then = model_rule_of(m, &alone, n, &soft);
    for (size_t i = 0; i < m->instances; i++)
        m->instance[i].there ^= gone[i];
    if (then != SCHED_FITS)
        return false;
    /* Groups were not asked about while room was lacking: as for nothing. */
    alone = *rq;
    alone.need = (struct sched_resources){0};
    alone.one_cell = false;
    return model_rule_of(m, &alone, n, &soft) == SCHED_FITS;
}

static bool
could_be_gone(const struct model *m, size_t i, size_t n)
{
    return m->instance[i].there && m->instance[i].node == n &&
           m->instance[i].preemptible;
}

/* A plan makes room, spares whom it can, and is there if there can be one. */
static void
evict(struct model *m, const struct sched_request *rq)
{
    struct sched_eviction plan _cleanup_(sched_eviction_release) = {0};
    bool *gone _cleanup_(freep) = xcalloc(m->instances, sizeof(*gone));

    int r = sched_evict_plan(m->s, rq, &plan, NULL);
    if (r < 0) {
        FUZZ_CHECK(r == -ENOSPC);
        for (size_t n = 0; n < m->nodes; n++) {
            for (size_t i = 0; i < m->instances; i++)
                gone[i] = could_be_gone(m, i, n);
            FUZZ_CHECK(!m->node[n].there || !fits_without(m, rq, n, gone));
        }
        return;
    }
    size_t n = model_node_index(m, plan.node_id);
    for (size_t k = 0; k < plan.n; k++) {
        size_t i = 0;

        while (i < m->instances &&
               (!m->instance[i].there ||
                strcmp(m->instance[i].id, plan.instances[k]) != 0))
            i++;
        FUZZ_CHECK(i < m->instances && could_be_gone(m, i, n) && !gone[i]);
        gone[i] = true;
    }
    FUZZ_CHECK(fits_without(m, rq, n, gone));
    for (size_t i = 0; i < m->instances; i++) {
        if (!gone[i])
            continue;
        gone[i] = false;
        FUZZ_CHECK(!fits_without(m, rq, n, gone));
        gone[i] = true;
    }
    if (plan.n)
        m->evictions++;
}

static __int128
count_on(const struct model *m, const struct sched_request *rq, size_t n)
{
    struct sched_vector need = sched_vector(&rq->need);
    __int128 count = -1, in_cells = 0;

    for (int d = 0; d < SCHED_DIMS; d++) {
        __int128 room = model_room_for(m, n, model_project_of(rq), d);

        if (need.v[d] && (count < 0 || room / need.v[d] < count))
            count = room / need.v[d];
    }
    for (size_t c = 0; rq->one_cell && c < m->node[n].in.n_cells; c++) {
        __int128 room[2], one = INT64_MAX;

        model_cell_room(m, n, c, room);
        for (int d = 0; d < 2; d++)
            if (need.v[d] && room[d] / need.v[d] < one)
                one = room[d] / need.v[d];
        in_cells += one;
    }
    if (rq->one_cell && (count < 0 || in_cells < count))
        count = in_cells;
    return count < 0 ? INT64_MAX : count;
}

static void
view(struct model *m, const struct sched_request *rq)
{
    struct sched_request with_room = *rq;
    struct sched_fit fit = {.request = rq};
    __int128 count = 0, stranded = 0, free = 0;
    struct sched_capacity c;
    size_t open = 0;

    FUZZ_CHECK(sched_capacity(m->s, &fit, 1, &c, NULL) == 0);
    with_room.need = (struct sched_resources){0};
    with_room.one_cell = false;
    with_room.n_rules = 0;
    for (size_t n = 0; n < m->nodes; n++) {
        long double soft = 0;
        __int128 room = model_room_for(m, n, -1, DIM_MEMORY), here = 0;

        if (!m->node[n].there || !model_open_node(&m->node[n]))
            continue;
        if (model_rule_of(m, &with_room, n, &soft) == SCHED_FITS)
            here = count_on(m, rq, n);
        open++;
        count += here;
        free += room;
        stranded += here > 0 ? 0 : room;
    }
    FUZZ_CHECK(c.nodes_open == open);
    FUZZ_CHECK(fit.count == MIN(count, (__int128)INT64_MAX));
    FUZZ_CHECK(c.free.memory_bytes == MIN(free, (__int128)INT64_MAX));
    FUZZ_CHECK(c.stranded.memory_bytes == MIN(stranded, (__int128)INT64_MAX));
    FUZZ_CHECK(c.largest == (count > 0 ? 0 : -1));
    FUZZ_CHECK(fit.fragmented_permille >= 0 && fit.fragmented_permille <= 1000);
}

void
model_step_plans(struct model *m, const struct sched_request *rq)
{
    switch (model_below(m, 4)) {
    case 0:
        batch(m, rq);
        break;
    case 1:
        view(m, rq);
        break;
    default:
        evict(m, rq);
        break;
    }
}
