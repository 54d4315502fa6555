/* sched-model-steps.c - does the same to both; see sched-model.h. */
#include <config.h>

#include "tests/unit/sched-model-private.h"

#include <inttypes.h>

#include "common/mem.h"

static const char *const keys[KEYS] = {"a", "b", "c", "group:d", "e=f", "g"};

/* What people ask for, mostly. */
static struct sched_resources
amounts(struct model *m, int64_t scale)
{
    struct sched_vector v = {0};
    struct sched_resources r;

    v.v[DIM_VCPUS] = (int64_t)model_below(m, 4) * scale;
    v.v[DIM_MEMORY] = (int64_t)model_below(m, 8) * scale;
    v.v[DIM_DISK] =
        model_one_in(m, 3) ? (int64_t)model_below(m, 20) * scale : 0;
    for (int d = DIM_IOPS; d < DIM_DEVICES + 2; d++)
        v.v[d] = model_one_in(m, 6) ? (int64_t)model_below(m, 3) * scale : 0;
    for (int i = 0; m->hostile && i < 2 && model_one_in(m, 4); i++) {
        static const int64_t odd[] = {INT64_MAX, INT64_MIN,     -1, 1,
                                      1 << 20,   INT64_MAX / 2, 0,  UINT32_MAX};

        v.v[model_below(m, SCHED_DIMS)] = odd[model_below(m, ARRAY_SIZE(odd))];
    }
    sched_vector_out(&v, &r);
    return r;
}

static bool
bad_request(const struct sched_request *rq)
{
    return model_negative(&rq->need) || (rq->dedicated && !rq->project_id) ||
           rq->expected_end < 0;
}

static void
check_verdict(struct model *m, const struct sched_request *rq,
              const struct sched_verdict *v, long double *best)
{
    size_t n = model_node_index(m, v->node_id);
    struct sched_vector need = sched_vector(&rq->need);
    long double soft = 0;
    char text[SCHED_VERDICT_TEXT_MAX];

    FUZZ_CHECK(m->node[n].there);
    FUZZ_CHECK(v->rule == model_rule_of(m, rq, n, &soft));
    m->met[v->rule]++;
    FUZZ_CHECK(sched_verdict_text(v, text) == text);
    if (v->rule >= SCHED_VCPUS && v->rule <= SCHED_DEVICES) {
        int d = (int)(v->rule - SCHED_VCPUS) + v->resource;
        __int128 free = m->node[n].limit.v[d] - model_claimed_on(m, n, d);

        FUZZ_CHECK(v->asked == need.v[d]);
        FUZZ_CHECK(v->free == MAX((__int128)0, free) && v->free < v->asked);
    } else if (v->rule == SCHED_RESERVED) {
        int d = 0;

        while (need.v[d] <= model_room_for(m, n, model_project_of(rq), d))
            d++;
        FUZZ_CHECK(v->asked == need.v[d]);
        FUZZ_CHECK(v->free == model_room_for(m, n, model_project_of(rq), d));
    } else if (v->rule == SCHED_FITS) {
        long double exact = model_score_of(m, rq, n) + soft;
        long double off = v->score - exact;

        FUZZ_CHECK(off <= model_tolerance(rq) && -off <= model_tolerance(rq));
        *best = MAX(*best, exact);
    }
}

/* The real one chooses what looking at every node says. */
static bool
check_place(struct model *m, const struct sched_request *rq, size_t *ret)
{
    struct sched_explain x _cleanup_(sched_explain_release) = {0};
    struct err e _cleanup_(err_release) = {0};
    char chosen[ID_SIZE] = "", again[ID_SIZE] = "";
    long double best = -1e30L, soft = 0;
    size_t there = 0;

    int r = sched_place(m->s, rq, chosen, NULL, NULL);
    FUZZ_CHECK(sched_place(m->s, rq, again, &x, &e) == r);
    FUZZ_CHECK(strcmp(chosen, again) == 0);
    if (bad_request(rq)) {
        FUZZ_CHECK(r == -EINVAL && x.n == 0);
        return false;
    }
    for (size_t n = 0; n < m->nodes; n++)
        there += m->node[n].there;
    FUZZ_CHECK(x.n == there);
    for (size_t i = 0; i < x.n; i++)
        check_verdict(m, rq, &x.verdicts[i], &best);
    if (x.count[SCHED_FITS] == 0) {
        FUZZ_CHECK(r == -ENOSPC && e.message[0]);
        m->refused++;
        return false;
    }
    FUZZ_CHECK(r == 0 && strcmp(chosen, x.verdicts[0].node_id) == 0);
    for (size_t i = 1; i < x.count[SCHED_FITS]; i++) {
        const struct sched_verdict *a = &x.verdicts[i - 1], *b = a + 1;

        FUZZ_CHECK(a->score > b->score || (a->score == b->score &&
                                           strcmp(a->node_id, b->node_id) < 0));
    }
    *ret = model_node_index(m, chosen);
    FUZZ_CHECK(model_rule_of(m, rq, *ret, &soft) == SCHED_FITS);
    FUZZ_CHECK(best - (model_score_of(m, rq, *ret) + soft) <=
               2 * model_tolerance(rq));
    m->placed++;
    return true;
}

/* Of a claim: what must be said. */
static int
claim_says(const struct model *m, size_t n, int project,
           const struct sched_vector *want, bool force)
{
    for (int d = 0; d < SCHED_DIMS; d++) {
        if (!force && want->v[d] > model_room_for(m, n, project, d))
            return -ENOSPC;
        if (model_claimed_on(m, n, d) + want->v[d] > INT64_MAX)
            return -EOVERFLOW;
    }
    return 0;
}

/* Nobody who was not forced is over a limit, or in what is held. */
static void
check_room(const struct model *m, size_t n, int project,
           const struct sched_vector *want)
{
    for (int d = 0; d < SCHED_DIMS; d++)
        FUZZ_CHECK(!want->v[d] ||
                   model_claimed_on(m, n, d) <= m->node[n].limit.v[d]);
}

static void
add_instance(struct model *m, size_t n, const struct sched_instance *in,
             int project, bool force)
{
    size_t i = 0;

    while (i < m->instances && m->instance[i].there)
        i++;
    if (i == m->instances)
        return;
    struct m_instance *mi = &m->instance[i];
    struct sched_instance real = *in;
    struct sched_vector need = sched_vector(&in->need);
    model_id_of('1', i, mi->id);
    real.id = mi->id;
    int cell =
        in->one_cell && m->node[n].there ? model_cell_for(m, n, &need) : -1;
    int says = model_negative(&in->need) || in->expected_end < 0 ? -EINVAL
               : !m->node[n].there                               ? -ENOENT
                                   : claim_says(m, n, project, &need, force);
    if (says == 0 && in->one_cell && cell < 0 && !force)
        says = -ENOSPC;
    FUZZ_CHECK(sched_instance_add(m->s, m->node[n].id, &real, force, NULL) ==
               says);
    if (says < 0)
        return;
    mi->there = true;
    mi->node = n;
    mi->project = project;
    mi->need = need;
    mi->n_keys = in->n_keys;
    for (size_t k = 0; k < in->n_keys; k++)
        mi->keys[k] = in->keys[k];
    mi->end = in->expected_end;
    mi->preemptible = in->preemptible;
    mi->cell = cell;
    if (!force)
        check_room(m, n, project, &need);
    char node[ID_SIZE];
    int got;
    FUZZ_CHECK(sched_instance_find(m->s, mi->id, node, &got) == 0);
    FUZZ_CHECK(strcmp(node, m->node[n].id) == 0 && got == cell);
    FUZZ_CHECK(sched_instance_add(m->s, node, &real, true, NULL) == -EEXIST);
}

static struct sched_instance
random_instance(struct model *m, int *ret_project, const char **ret_keys)
{
    *ret_project = (int)model_below(m, PROJECTS + 1) - 1;
    struct sched_instance in = {
        .project_id = model_project_id(*ret_project),
        .need = amounts(m, 1),
        .keys = ret_keys,
        .one_cell = model_one_in(m, 6),
        .preemptible = model_one_in(m, 2),
        .started_us = (int64_t)model_below(m, 1000),
        .expected_end = model_one_in(m, 2)
                            ? m->now + (int64_t)model_below(m, 40) * 3600
                            : 0,
    };
    for (size_t k = 0; k < KEYS; k++)
        if (model_one_in(m, 4))
            ret_keys[in.n_keys++] = keys[k];
    return in;
}

static struct sched_request
random_request(struct model *m)
{
    struct sched_request rq = {
        .project_id = model_project_id((int)model_below(m, PROJECTS + 1) - 1),
        .need = amounts(m, 1),
        .policy = (enum sched_policy)model_below(m, 3),
        .traits_required =
            model_one_in(m, 4) ? UINT64_C(1) << model_below(m, 4) : 0,
        .traits_forbidden =
            model_one_in(m, 6) ? UINT64_C(1) << model_below(m, 4) : 0,
        .traits_preferred = model_one_in(m, 4) ? model_below(m, 16) : 0,
        .zones = model_one_in(m, 4) ? model_below(m, 1 << ZONES) : 0,
        .aggregates = model_one_in(m, 8) ? model_below(m, 8) : 0,
        .aggregates_forbidden =
            model_one_in(m, 10) ? UINT64_C(1) << model_below(m, 3) : 0,
        .dedicated = model_one_in(m, 8),
        .one_cell = model_one_in(m, 8),
        .rules = m->rules,
        .expected_end = model_one_in(m, 3)
                            ? m->now + (int64_t)model_below(m, 400) * 3600
                            : 0,
    };
    if (model_one_in(m, 4)) {
        int *w = &m->weights.vcpus;

        for (size_t i = 0; i < sizeof(m->weights) / sizeof(*w); i++)
            w[i] = (int)model_below(m, model_one_in(m, 8) ? SCHED_WEIGHT_MAX + 1
                                                          : 20);
        rq.weights = &m->weights;
    }
    if (model_one_in(m, 2))
        return rq;
    rq.n_rules = 1 + model_below(m, ARRAY_SIZE(m->rules));
    for (size_t i = 0; i < rq.n_rules; i++) {
        struct sched_group_rule *r = &m->rules[i];

        *r = (struct sched_group_rule){
            .key = model_one_in(m, 12) ? "nobody" : keys[model_below(m, KEYS)],
            .affinity = (enum sched_affinity)model_below(m, 3),
            .scope = (enum sched_scope)model_below(m, 2),
            .weight = model_one_in(m, 3) ? 0 : (int)model_below(m, 30),
            .max_count = model_one_in(m, 3) ? (int64_t)model_below(m, 3) : 0,
        };
        if (r->affinity == SCHED_EVEN)
            r->scope = SCHED_BY_ZONE;
    }
    return rq;
}

static void
step_node(struct model *m)
{
    size_t n = model_below(m, m->nodes);
    struct m_node *node = &m->node[n];
    struct sched_node in = {
        .id = node->id,
        .capacity = amounts(m, 6),
        .reserved =
            model_one_in(m, 3) ? amounts(m, 1) : (struct sched_resources){0},
        .vcpu_ratio_permille = 1000 + (int64_t)model_below(m, 3) * 500,
        .memory_ratio_permille = 900 + (int64_t)model_below(m, 3) * 100,
        .disk_ratio_permille = 1000,
        .iops_ratio_permille = (int64_t)model_below(m, 2) * 2000,
        .up = !model_one_in(m, 10),
        .quarantined = model_one_in(m, 12),
        .draining = model_one_in(m, 12),
        .schedulable = !model_one_in(m, 10),
        .traits = model_below(m, 16),
        .aggregates = model_below(m, 8),
        .zone = (unsigned)model_below(m, ZONES),
        .dedicated_project =
            model_one_in(m, 5) ? model_project_id((int)model_below(m, PROJECTS))
                               : NULL,
        .n_cells = model_one_in(m, 2) ? model_below(m, 4) : 0,
    };
    for (size_t c = 0; c < in.n_cells; c++)
        in.cells[c] = (struct sched_cell){(int64_t)model_below(m, 12),
                                          (int64_t)model_below(m, 24)};
    const int64_t ratio[SCHED_DIMS] = {
        in.vcpu_ratio_permille,
        in.memory_ratio_permille,
        in.disk_ratio_permille,
        in.iops_ratio_permille ? in.iops_ratio_permille : 1000,
    };
    struct sched_vector limit, capacity = sched_vector(&in.capacity),
                               reserved = sched_vector(&in.reserved);
    int says = model_negative(&in.capacity) || model_negative(&in.reserved)
                   ? -EINVAL
                   : 0;
    for (int d = 0; d < SCHED_DIMS && !says; d++) {
        __int128 l = (__int128)MAX(INT64_C(0), capacity.v[d] - reserved.v[d]) *
                     (ratio[d] ? ratio[d] : 1000) / 1000;

        says = l > INT64_MAX ? -EINVAL : 0;
        limit.v[d] = (int64_t)l;
    }
    FUZZ_CHECK(sched_node_set(m->s, &in, NULL) == says);
    if (says < 0)
        return;
    node->there = true;
    node->in = in;
    node->limit = limit;
    memset(node->cell_limit, 0, sizeof(node->cell_limit));
    for (size_t c = 0; c < in.n_cells; c++) {
        node->cell_limit[c][0] = in.cells[c].vcpus * ratio[0] / 1000;
        node->cell_limit[c][1] = in.cells[c].memory_bytes * ratio[1] / 1000;
    }
}

static void
step_node_gone(struct model *m)
{
    size_t n = model_below(m, m->nodes);
    bool busy = false;

    for (int d = 0; d < SCHED_DIMS; d++)
        busy |= m->node[n].loose.v[d] != 0;
    for (size_t i = 0; i < m->instances; i++)
        busy |= m->instance[i].there && m->instance[i].node == n;
    for (size_t i = 0; i < RESERVATIONS; i++)
        busy |= m->reservation[i].there && m->reservation[i].node == n;
    FUZZ_CHECK(sched_node_remove(m->s, m->node[n].id, NULL) ==
               (!m->node[n].there ? -ENOENT
                : busy            ? -EBUSY
                                  : 0));
    if (!busy)
        m->node[n].there = false;
}

static void
step_claim(struct model *m, bool force)
{
    size_t n = model_below(m, m->nodes);
    struct sched_resources r = amounts(m, 1);
    struct sched_vector want = sched_vector(&r);
    int says = model_negative(&r)  ? -EINVAL
               : !m->node[n].there ? -ENOENT
                                   : claim_says(m, n, -1, &want, force);
    const char *id = m->node[n].id;

    FUZZ_CHECK((force ? sched_claim_force(m->s, id, &r, NULL)
                      : sched_claim(m->s, id, &r, NULL)) == says);
    for (int d = 0; d < SCHED_DIMS && says == 0; d++)
        m->node[n].loose.v[d] += want.v[d];
    if (says == 0 && !force)
        check_room(m, n, -1, &want);
}

static void
step_release(struct model *m)
{
    size_t n = model_below(m, m->nodes);
    struct m_node *node = &m->node[n];
    struct sched_resources r;
    struct sched_vector back;

    sched_vector_out(&node->loose, &r);
    if (model_one_in(m, 3))
        r = amounts(m, 1);
    back = sched_vector(&r);
    int says = model_negative(&r) ? -EINVAL : !node->there ? -ENOENT : 0;
    for (int d = 0; d < SCHED_DIMS && says == 0; d++)
        if (back.v[d] > node->loose.v[d])
            says = -EINVAL;
    FUZZ_CHECK(sched_release(m->s, node->id, &r, NULL) == says);
    for (int d = 0; d < SCHED_DIMS && says == 0; d++)
        node->loose.v[d] -= back.v[d];
}

static void
step_instance(struct model *m)
{
    struct m_instance *i = &m->instance[model_below(m, m->instances)];
    const char *its_keys[KEYS];
    int project;

    if (!i->there) {
        struct sched_instance in = random_instance(m, &project, its_keys);

        add_instance(m, model_below(m, m->nodes), &in, project,
                     model_one_in(m, 6));
        return;
    }
    if (model_one_in(m, 3)) {
        struct sched_resources r = amounts(m, 1);
        struct sched_vector need = sched_vector(&r), more;
        bool force = model_one_in(m, 5);
        int says = model_negative(&r) ? -EINVAL : 0;

        for (int d = 0; d < SCHED_DIMS && !says; d++)
            more.v[d] = MAX(INT64_C(0), need.v[d] - i->need.v[d]);
        if (!says)
            says = claim_says(m, i->node, i->project, &more, force);
        if (!says && i->cell >= 0 && !force) {
            __int128 room[2];

            model_cell_room(m, i->node, (size_t)i->cell, room);
            /* A cell that its node has lost has no room. */
            if (more.v[0] > room[0] || more.v[1] > room[1])
                says = -ENOSPC;
        }
        FUZZ_CHECK(sched_instance_resize(m->s, i->id, &r, force, NULL) == says);
        if (!says)
            i->need = need;
        return;
    }
    FUZZ_CHECK(sched_instance_remove(m->s, i->id, NULL) == 0);
    FUZZ_CHECK(sched_instance_remove(m->s, i->id, NULL) == -ENOENT);
    i->there = false;
}

static void
step_reservation(struct model *m)
{
    size_t i = model_below(m, RESERVATIONS);
    struct m_reservation *r = &m->reservation[i];
    struct sched_resources want = amounts(m, 2);
    struct sched_vector v = sched_vector(&want);
    bool force = model_one_in(m, 6);

    model_id_of('2', i, r->id);
    if (r->there) {
        FUZZ_CHECK(sched_unreserve(m->s, r->id, NULL) == 0);
        FUZZ_CHECK(sched_unreserve(m->s, r->id, NULL) == -ENOENT);
        r->there = false;
        return;
    }
    size_t n = model_below(m, m->nodes);
    int project = (int)model_below(m, PROJECTS), says = 0;
    if (model_negative(&want))
        says = -EINVAL;
    else if (!m->node[n].there)
        says = -ENOENT;
    for (int d = 0; d < SCHED_DIMS && !says; d++) {
        __int128 sum = v.v[d], before = model_held_by(m, n, project, d);
        __int128 room = model_room_for(m, n, -1, d);

        for (size_t k = 0; k < RESERVATIONS; k++)
            if (m->reservation[k].there && m->reservation[k].node == n &&
                m->reservation[k].project == project)
                sum += m->reservation[k].r.v[d];
        if (sum > INT64_MAX)
            says = -EOVERFLOW;
        if (says || force)
            continue;
        r->there = true; /* to see what it would hold */
        r->node = n;
        r->project = project;
        r->r = v;
        if (model_held_by(m, n, project, d) - before > room)
            says = -ENOSPC;
        r->there = false;
    }
    FUZZ_CHECK(sched_reserve(m->s, r->id, m->node[n].id,
                             model_project_id(project), &want, force,
                             NULL) == says);
    if (says < 0)
        return;
    *r = (struct m_reservation){
        .there = true, .node = n, .project = project, .r = v};
    model_id_of('2', i, r->id);
}

static void
step_plans(struct model *m)
{
    struct sched_request rq = random_request(m);

    const struct m_instance *i = &m->instance[model_below(m, m->instances)];
    /* Mostly such that room alone may be lacking, and one who is there has
     * what is. */
    if (i->there && !m->hostile && !model_one_in(m, 4)) {
        int project = model_project_of(&rq);
        int64_t vcpus = (int64_t)model_room_for(m, i->node, project, DIM_VCPUS),
                memory =
                    (int64_t)model_room_for(m, i->node, project, DIM_MEMORY);

        rq = (struct sched_request){
            .project_id = rq.project_id,
            .need = {.vcpus = vcpus + i->need.v[DIM_VCPUS] - 1,
                     .memory_bytes = memory + i->need.v[DIM_MEMORY] - 1},
            .one_cell = rq.one_cell,
            .rules = rq.rules,
            .n_rules = MIN(rq.n_rules, (size_t)1),
        };
    }
    if (!bad_request(&rq))
        model_step_plans(m, &rq);
}

static void
step_place(struct model *m)
{
    struct sched_request rq = random_request(m);
    const char *its_keys[KEYS];
    size_t n;

    if (!check_place(m, &rq, &n) || model_one_in(m, 3))
        return;
    /* What fits can be claimed. */
    struct sched_instance in = {
        .project_id = rq.project_id,
        .need = rq.need,
        .keys = its_keys,
        .one_cell = rq.one_cell,
        .expected_end = rq.expected_end,
    };
    for (size_t k = 0; k < KEYS; k++)
        if (model_one_in(m, 3))
            its_keys[in.n_keys++] = keys[k];
    add_instance(m, n, &in, model_project_of(&rq), false);
}

struct model *
model_new(struct model_source from, size_t nodes, size_t instances,
          bool hostile)
{
    struct model *m = xnew(struct model);

    m->from = from;
    m->s = sched_new();
    m->nodes = nodes;
    m->instances = instances;
    m->hostile = hostile;
    m->node = xcalloc(nodes, sizeof(*m->node));
    m->instance = xcalloc(instances, sizeof(*m->instance));
    for (size_t n = 0; n < nodes; n++)
        model_id_of('0', n, m->node[n].id);
    return m;
}

void
model_free(struct model *m)
{
    sched_free(m->s);
    free(m->node);
    free(m->instance);
    free(m);
}

void
model_step(struct model *m)
{
    switch (model_below(m, 16)) {
    case 0:
        step_node(m);
        break;
    case 1:
        if (model_one_in(m, 6))
            step_node_gone(m);
        else
            step_release(m);
        break;
    case 2:
        step_claim(m, model_one_in(m, 4));
        break;
    case 3:
    case 4:
    case 5:
    case 6:
        step_instance(m);
        break;
    case 7:
        step_reservation(m);
        break;
    case 8:
        m->now += (int64_t)model_below(m, 7200);
        FUZZ_CHECK(sched_now(m->s, m->now, NULL) == 0);
        FUZZ_CHECK(sched_now(m->s, m->now - 1, NULL) == -EINVAL);
        break;
    case 9:
        step_plans(m);
        break;
    default:
        step_place(m);
        break;
    }
}

void
model_compare(struct model *m)
{
    size_t there = 0;

    for (size_t n = 0; n < m->nodes; n++) {
        struct sched_resources claimed, limit;

        there += m->node[n].there;
        FUZZ_CHECK(sched_node_usage(m->s, m->node[n].id, &claimed, &limit) ==
                   (m->node[n].there ? 0 : -ENOENT));
        if (!m->node[n].there)
            continue;
        for (int d = 0; d < SCHED_DIMS; d++) {
            FUZZ_CHECK(sched_vector(&claimed).v[d] ==
                       model_claimed_on(m, n, d));
            FUZZ_CHECK(sched_vector(&limit).v[d] == m->node[n].limit.v[d]);
        }
    }
    FUZZ_CHECK(sched_node_count(m->s) == there);
    FUZZ_CHECK(sched_consistent(m->s));
    /* Equal content gives equal decisions, in whatever order it came. */
    struct sched *copy = sched_copy(m->s);
    FUZZ_CHECK(sched_consistent(copy));
    for (int i = 0; i < 4; i++) {
        struct sched_request rq = random_request(m);
        char a[ID_SIZE] = "", b[ID_SIZE] = "";

        FUZZ_CHECK(sched_place(m->s, &rq, a, NULL, NULL) ==
                   sched_place(copy, &rq, b, NULL, NULL));
        FUZZ_CHECK(strcmp(a, b) == 0);
    }
    sched_free(copy);
}

void
model_counts(const struct model *m, size_t met[SCHED_RULES], size_t *ret_placed,
             size_t *ret_refused, size_t *ret_evictions)
{
    for (int rule = 0; rule < SCHED_RULES; rule++)
        met[rule] += m->met[rule];
    *ret_placed += m->placed;
    *ret_refused += m->refused;
    *ret_evictions += m->evictions;
}
