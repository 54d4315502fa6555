/* sched-model.c - a cluster in the plainest form; see sched-model.h. */
#include <config.h>

#include "tests/unit/sched-model.h"

#include <inttypes.h>
#include <string.h>

#include "common/mem.h"
#include "scheduler/sched-private.h"
#include "tests/fuzz/fuzz.h"

#define PROJECTS 4
#define KEYS 6
#define ZONES 4
#define RESERVATIONS 12

struct m_node {
    bool there;
    char id[ID_SIZE];
    struct sched_node in;
    struct sched_vector limit, loose;
    int64_t cell_limit[SCHED_CELLS_MAX][2];
};

struct m_instance {
    bool there;
    char id[ID_SIZE];
    size_t node;
    int project; /* -1: none */
    struct sched_vector need;
    const char *keys[KEYS];
    size_t n_keys;
    int cell; /* as the real one chose, which is checked */
    int64_t end;
};

struct m_reservation {
    bool there;
    char id[ID_SIZE];
    size_t node;
    int project;
    struct sched_vector r;
};

struct model {
    struct model_source from;
    struct sched *s;
    struct m_node *node;
    struct m_instance *instance;
    struct m_reservation reservation[RESERVATIONS];
    size_t nodes, instances;
    bool hostile;
    int64_t now;
    size_t placed, refused, met[SCHED_RULES];
    struct sched_weights weights; /* of the request at hand */
    struct sched_group_rule rules[4];
};

static const char *const keys[KEYS] = {"a", "b", "c", "group:d", "e=f", "g"};

static uint64_t
below(struct model *m, uint64_t n)
{
    return m->from.below(m->from.arg, n);
}

static bool
one_in(struct model *m, uint64_t n)
{
    return below(m, n) == 0;
}

static void
id_of(char kind, size_t i, char out[ID_SIZE])
{
    /* In no order of creation: equal scores are decided by it. */
    snprintf(out, ID_SIZE, "%c0000000-0000-7000-8000-%012x", kind,
             (unsigned)(i * 7919 % 10007));
}

static const char *
project_id(int p)
{
    static const char *const ids[PROJECTS] = {
        "90000000-0000-7000-8000-000000000001",
        "90000000-0000-7000-8000-000000000002",
        "90000000-0000-7000-8000-000000000003",
        "90000000-0000-7000-8000-000000000004",
    };

    return p < 0 ? NULL : ids[p];
}

/* What people ask for, mostly. */
static struct sched_resources
amounts(struct model *m, int64_t scale)
{
    struct sched_vector v = {0};
    struct sched_resources r;

    v.v[DIM_VCPUS] = (int64_t)below(m, 4) * scale;
    v.v[DIM_MEMORY] = (int64_t)below(m, 8) * scale;
    v.v[DIM_DISK] = one_in(m, 3) ? (int64_t)below(m, 20) * scale : 0;
    for (int d = DIM_IOPS; d < DIM_DEVICES + 2; d++)
        v.v[d] = one_in(m, 6) ? (int64_t)below(m, 3) * scale : 0;
    for (int i = 0; m->hostile && i < 2 && one_in(m, 4); i++) {
        static const int64_t odd[] = {INT64_MAX, INT64_MIN,     -1, 1,
                                      1 << 20,   INT64_MAX / 2, 0,  UINT32_MAX};

        v.v[below(m, SCHED_DIMS)] = odd[below(m, ARRAY_SIZE(odd))];
    }
    sched_vector_out(&v, &r);
    return r;
}

static bool
negative(const struct sched_resources *r)
{
    struct sched_vector v = sched_vector(r);

    for (int d = 0; d < SCHED_DIMS; d++)
        if (v.v[d] < 0)
            return true;
    return false;
}

static __int128
claimed_on(const struct model *m, size_t n, int d)
{
    __int128 sum = m->node[n].loose.v[d];

    for (size_t i = 0; i < m->instances; i++)
        if (m->instance[i].there && m->instance[i].node == n)
            sum += m->instance[i].need.v[d];
    return sum;
}

/* What the project's reservations on n still hold. */
static __int128
held_by(const struct model *m, size_t n, int project, int d)
{
    __int128 held = 0;
    bool any = false;

    for (size_t i = 0; i < RESERVATIONS; i++)
        if (m->reservation[i].there && m->reservation[i].node == n &&
            m->reservation[i].project == project) {
            held += m->reservation[i].r.v[d];
            any = true;
        }
    for (size_t i = 0; any && i < m->instances; i++)
        if (m->instance[i].there && m->instance[i].node == n &&
            m->instance[i].project == project)
            held -= m->instance[i].need.v[d];
    return MAX((__int128)0, held);
}

static __int128
room_for(const struct model *m, size_t n, int project, int d)
{
    __int128 room = m->node[n].limit.v[d] - claimed_on(m, n, d);

    for (int p = 0; p < PROJECTS; p++)
        if (p != project)
            room -= held_by(m, n, p, d);
    return MAX((__int128)0, room);
}

static void
cell_room(const struct model *m, size_t n, size_t cell, __int128 ret[2])
{
    for (int d = 0; d < 2; d++) {
        __int128 room = m->node[n].cell_limit[cell][d];

        for (size_t i = 0; i < m->instances; i++)
            if (m->instance[i].there && m->instance[i].node == n &&
                m->instance[i].cell == (int)cell)
                room -= m->instance[i].need.v[d];
        ret[d] = MAX((__int128)0, room);
    }
}

/* The cell that an instance must get; -1: none has room. */
static int
cell_for(const struct model *m, size_t n, const struct sched_vector *need)
{
    __int128 best[2] = {0, 0}, room[2];
    int cell = -1;

    for (size_t c = 0; c < m->node[n].in.n_cells; c++) {
        cell_room(m, n, c, room);
        if (need->v[0] > room[0] || need->v[1] > room[1])
            continue;
        if (cell < 0 || room[1] > best[1] ||
            (room[1] == best[1] && room[0] > best[0])) {
            cell = (int)c;
            best[0] = room[0];
            best[1] = room[1];
        }
    }
    return cell;
}

static bool
in_group(const struct m_instance *i, const char *key)
{
    for (size_t k = 0; k < i->n_keys; k++)
        if (strcmp(i->keys[k], key) == 0)
            return true;
    return false;
}

/* Of the group: on node n, or in a zone, or anywhere (both -1). */
static int64_t
group_count(const struct model *m, const char *key, int n, int zone)
{
    int64_t count = 0;

    for (size_t i = 0; i < m->instances; i++) {
        const struct m_instance *in = &m->instance[i];

        count += in->there && in_group(in, key) &&
                 (n < 0 || in->node == (size_t)n) &&
                 (zone < 0 || m->node[in->node].in.zone == (unsigned)zone);
    }
    return count;
}

static bool
open_node(const struct m_node *n)
{
    return n->there && n->in.up && n->in.schedulable && !n->in.draining &&
           !n->in.quarantined;
}

static bool
admits(const struct m_node *n, const struct sched_request *rq)
{
    return rq->dedicated
               ? n->in.dedicated_project &&
                     strcmp(n->in.dedicated_project, rq->project_id) == 0
               : !n->in.dedicated_project;
}

static int64_t
fewest(const struct model *m, const struct sched_request *rq, const char *key)
{
    int64_t least = INT64_MAX;

    for (size_t n = 0; n < m->nodes; n++) {
        unsigned zone = m->node[n].in.zone;

        if (open_node(&m->node[n]) && admits(&m->node[n], rq) &&
            (!rq->zones || (rq->zones >> zone & 1))) {
            int64_t in = group_count(m, key, -1, (int)zone);
            least = MIN(least, in);
        }
    }
    return least == INT64_MAX ? 0 : least;
}

/* One rule about a group: whether it refuses, and what it gives. */
static bool
group_refuses(const struct model *m, const struct sched_request *rq, size_t n,
              const struct sched_group_rule *r, long double *score)
{
    bool by_zone = r->scope == SCHED_BY_ZONE;
    int64_t here = group_count(m, r->key, by_zone ? -1 : (int)n,
                               by_zone ? (int)m->node[n].in.zone : -1);
    int64_t over = here - r->max_count;

    if (r->affinity == SCHED_TOGETHER) {
        *score += here ? r->weight * (long double)SCHED_PART : 0;
        return !r->weight && !here && group_count(m, r->key, -1, -1);
    }
    if (r->affinity == SCHED_EVEN) {
        over = here - fewest(m, rq, r->key);
        if (!r->weight)
            return over + 1 > MAX(r->max_count, INT64_C(1));
    }
    if (!r->weight)
        return over > 0;
    if (over > 0)
        *score -= (long double)MIN(over, (int64_t)SCHED_COUNT_MAX) * r->weight *
                  SCHED_PART;
    return false;
}

static int
project_of(const struct sched_request *rq)
{
    for (int p = 0; p < PROJECTS && rq->project_id; p++)
        if (strcmp(project_id(p), rq->project_id) == 0)
            return p;
    return -1;
}

static enum sched_rule
rule_of(const struct model *m, const struct sched_request *rq, size_t n,
        long double *soft)
{
    const struct sched_node *in = &m->node[n].in;
    struct sched_vector need = sched_vector(&rq->need);

    if (!in->up)
        return SCHED_DOWN;
    if (in->quarantined)
        return SCHED_QUARANTINED;
    if (in->draining)
        return SCHED_DRAINING;
    if (!in->schedulable)
        return SCHED_UNSCHEDULABLE;
    if (rq->zones && !(rq->zones >> in->zone & 1))
        return SCHED_ZONE;
    if ((rq->aggregates && !(in->aggregates & rq->aggregates)) ||
        (in->aggregates & rq->aggregates_forbidden))
        return SCHED_AGGREGATE;
    if (!admits(&m->node[n], rq))
        return SCHED_DEDICATED;
    if ((in->traits & rq->traits_required) != rq->traits_required)
        return SCHED_TRAITS;
    if (in->traits & rq->traits_forbidden)
        return SCHED_TRAITS_FORBIDDEN;
    for (int d = 0; d < SCHED_DIMS; d++)
        if (need.v[d] &&
            need.v[d] > m->node[n].limit.v[d] - claimed_on(m, n, d))
            return d < DIM_DEVICES ? SCHED_VCPUS + (enum sched_rule)d
                                   : SCHED_DEVICES;
    if (rq->one_cell && cell_for(m, n, &need) < 0)
        return SCHED_CELL;
    for (int d = 0; d < SCHED_DIMS; d++)
        if (need.v[d] > room_for(m, n, project_of(rq), d))
            return SCHED_RESERVED;
    for (size_t i = 0; i < rq->n_rules; i++)
        if (group_refuses(m, rq, n, &rq->rules[i], soft))
            return rq->rules[i].affinity == SCHED_TOGETHER ? SCHED_AFFINITY
                   : rq->rules[i].affinity == SCHED_APART  ? SCHED_ANTI_AFFINITY
                                                           : SCHED_UNEVEN;
    return SCHED_FITS;
}

static int
life_of(int64_t left)
{
    static const int64_t hours4[] = {1, 4, 16, 64, 256, 1024};
    int c = 1;

    if (left <= 0)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(hours4); i++)
        c += left > hours4[i] * 15 * 60;
    return c;
}

static long double
score_of(const struct model *m, const struct sched_request *rq, size_t n)
{
    const struct sched_weights *w =
        rq->weights ? rq->weights : &sched_weights_default;
    const int weight[SCHED_SCALARS] = {w->vcpus,    w->memory, w->disk,
                                       w->iops,     w->net,    w->addresses,
                                       w->hugepages};
    struct sched_vector need = sched_vector(&rq->need);
    const struct m_node *node = &m->node[n];
    int project = project_of(rq);
    long double score = 0;
    bool some = false, held = true;
    int64_t end = 0;

    for (int d = 0; d < SCHED_SCALARS; d++) {
        long double limit = node->limit.v[d], part = 0;
        long double free = room_for(m, n, project, d);

        if (limit > 0 && rq->policy == SCHED_DOT)
            part = need.v[d] / limit * (free / limit);
        else if (limit > 0)
            part = rq->policy == SCHED_PACK ? (free - need.v[d]) / limit
                                            : 1 - (free - need.v[d]) / limit;
        score +=
            weight[d] * (rq->policy == SCHED_DOT ? part : 1.0L - part * part);
    }
    if (rq->traits_preferred)
        score += (long double)w->traits_preferred *
                 __builtin_popcountll(rq->traits_preferred & node->in.traits) /
                 __builtin_popcountll(rq->traits_preferred);
    for (size_t i = 0; i < m->instances; i++)
        if (m->instance[i].there && m->instance[i].node == n)
            end = MAX(end, m->instance[i].end);
    int mine = life_of(rq->expected_end - m->now), its = life_of(end - m->now);
    if (mine)
        score += (long double)w->lifetime * (7 - MAX(0, mine - its)) / 7;
    for (int d = 0; d < SCHED_DIMS; d++) {
        some |= need.v[d] > 0;
        held &= need.v[d] <= held_by(m, n, project, d);
    }
    bool reserved = false;
    for (size_t i = 0; i < RESERVATIONS; i++)
        reserved |= m->reservation[i].there && m->reservation[i].node == n &&
                    m->reservation[i].project == project;
    if (reserved && some && held)
        score += SCHED_RESERVED_BONUS / (long double)SCHED_PART;
    return score * SCHED_PART;
}

/* Steps of the fractions, by weight; and what the division of the others
 * rounds off. */
static long double
tolerance(const struct sched_request *rq)
{
    const struct sched_weights *w =
        rq->weights ? rq->weights : &sched_weights_default;
    int sum = w->vcpus + w->memory + w->disk + w->iops + w->net + w->addresses +
              w->hugepages;

    return sum * (2.0L * SCHED_ONE * 4 + 16) + 4;
}

static size_t
node_index(const struct model *m, const char *id)
{
    for (size_t n = 0; n < m->nodes; n++)
        if (strcmp(m->node[n].id, id) == 0)
            return n;
    FUZZ_CHECK(!"a node that nobody added");
    return 0;
}

static bool
bad_request(const struct sched_request *rq)
{
    return negative(&rq->need) || (rq->dedicated && !rq->project_id) ||
           rq->expected_end < 0;
}

static void
check_verdict(struct model *m, const struct sched_request *rq,
              const struct sched_verdict *v, long double *best)
{
    size_t n = node_index(m, v->node_id);
    struct sched_vector need = sched_vector(&rq->need);
    long double soft = 0;
    char text[SCHED_VERDICT_TEXT_MAX];

    FUZZ_CHECK(m->node[n].there);
    FUZZ_CHECK(v->rule == rule_of(m, rq, n, &soft));
    m->met[v->rule]++;
    FUZZ_CHECK(sched_verdict_text(v, text) == text);
    if (v->rule >= SCHED_VCPUS && v->rule <= SCHED_DEVICES) {
        int d = (int)(v->rule - SCHED_VCPUS) + v->resource;
        __int128 free = m->node[n].limit.v[d] - claimed_on(m, n, d);

        FUZZ_CHECK(v->asked == need.v[d]);
        FUZZ_CHECK(v->free == MAX((__int128)0, free) && v->free < v->asked);
    } else if (v->rule == SCHED_RESERVED) {
        int d = 0;

        while (need.v[d] <= room_for(m, n, project_of(rq), d))
            d++;
        FUZZ_CHECK(v->asked == need.v[d]);
        FUZZ_CHECK(v->free == room_for(m, n, project_of(rq), d));
    } else if (v->rule == SCHED_FITS) {
        long double exact = score_of(m, rq, n) + soft;
        long double off = v->score - exact;

        FUZZ_CHECK(off <= tolerance(rq) && -off <= tolerance(rq));
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
    *ret = node_index(m, chosen);
    FUZZ_CHECK(rule_of(m, rq, *ret, &soft) == SCHED_FITS);
    FUZZ_CHECK(best - (score_of(m, rq, *ret) + soft) <= 2 * tolerance(rq));
    m->placed++;
    return true;
}

/* Of a claim: what must be said. */
static int
claim_says(const struct model *m, size_t n, int project,
           const struct sched_vector *want, bool force)
{
    for (int d = 0; d < SCHED_DIMS; d++) {
        if (!force && want->v[d] > room_for(m, n, project, d))
            return -ENOSPC;
        if (claimed_on(m, n, d) + want->v[d] > INT64_MAX)
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
        FUZZ_CHECK(!want->v[d] || claimed_on(m, n, d) <= m->node[n].limit.v[d]);
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
    id_of('1', i, mi->id);
    real.id = mi->id;
    int cell = in->one_cell && m->node[n].there ? cell_for(m, n, &need) : -1;
    int says = negative(&in->need) || in->expected_end < 0 ? -EINVAL
               : !m->node[n].there                         ? -ENOENT
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
    *ret_project = (int)below(m, PROJECTS + 1) - 1;
    struct sched_instance in = {
        .project_id = project_id(*ret_project),
        .need = amounts(m, 1),
        .keys = ret_keys,
        .one_cell = one_in(m, 6),
        .preemptible = one_in(m, 4),
        .started_us = (int64_t)below(m, 1000),
        .expected_end =
            one_in(m, 2) ? m->now + (int64_t)below(m, 40) * 3600 : 0,
    };
    for (size_t k = 0; k < KEYS; k++)
        if (one_in(m, 4))
            ret_keys[in.n_keys++] = keys[k];
    return in;
}

static struct sched_request
random_request(struct model *m)
{
    struct sched_request rq = {
        .project_id = project_id((int)below(m, PROJECTS + 1) - 1),
        .need = amounts(m, 1),
        .policy = (enum sched_policy)below(m, 3),
        .traits_required = one_in(m, 4) ? UINT64_C(1) << below(m, 4) : 0,
        .traits_forbidden = one_in(m, 6) ? UINT64_C(1) << below(m, 4) : 0,
        .traits_preferred = one_in(m, 4) ? below(m, 16) : 0,
        .zones = one_in(m, 4) ? below(m, 1 << ZONES) : 0,
        .aggregates = one_in(m, 8) ? below(m, 8) : 0,
        .aggregates_forbidden = one_in(m, 10) ? UINT64_C(1) << below(m, 3) : 0,
        .dedicated = one_in(m, 8),
        .one_cell = one_in(m, 8),
        .rules = m->rules,
        .expected_end =
            one_in(m, 3) ? m->now + (int64_t)below(m, 400) * 3600 : 0,
    };
    if (one_in(m, 4)) {
        int *w = &m->weights.vcpus;

        for (size_t i = 0; i < sizeof(m->weights) / sizeof(*w); i++)
            w[i] = (int)below(m, one_in(m, 8) ? SCHED_WEIGHT_MAX + 1 : 20);
        rq.weights = &m->weights;
    }
    if (one_in(m, 2))
        return rq;
    rq.n_rules = 1 + below(m, ARRAY_SIZE(m->rules));
    for (size_t i = 0; i < rq.n_rules; i++) {
        struct sched_group_rule *r = &m->rules[i];

        *r = (struct sched_group_rule){
            .key = one_in(m, 12) ? "nobody" : keys[below(m, KEYS)],
            .affinity = (enum sched_affinity)below(m, 3),
            .scope = (enum sched_scope)below(m, 2),
            .weight = one_in(m, 3) ? 0 : (int)below(m, 30),
            .max_count = one_in(m, 3) ? (int64_t)below(m, 3) : 0,
        };
        if (r->affinity == SCHED_EVEN)
            r->scope = SCHED_BY_ZONE;
    }
    return rq;
}

static void
step_node(struct model *m)
{
    size_t n = below(m, m->nodes);
    struct m_node *node = &m->node[n];
    struct sched_node in = {
        .id = node->id,
        .capacity = amounts(m, 6),
        .reserved = one_in(m, 3) ? amounts(m, 1) : (struct sched_resources){0},
        .vcpu_ratio_permille = 1000 + (int64_t)below(m, 3) * 500,
        .memory_ratio_permille = 900 + (int64_t)below(m, 3) * 100,
        .disk_ratio_permille = 1000,
        .iops_ratio_permille = (int64_t)below(m, 2) * 2000,
        .up = !one_in(m, 10),
        .quarantined = one_in(m, 12),
        .draining = one_in(m, 12),
        .schedulable = !one_in(m, 10),
        .traits = below(m, 16),
        .aggregates = below(m, 8),
        .zone = (unsigned)below(m, ZONES),
        .dedicated_project =
            one_in(m, 5) ? project_id((int)below(m, PROJECTS)) : NULL,
        .n_cells = one_in(m, 2) ? below(m, 4) : 0,
    };
    for (size_t c = 0; c < in.n_cells; c++)
        in.cells[c] =
            (struct sched_cell){(int64_t)below(m, 12), (int64_t)below(m, 24)};
    const int64_t ratio[SCHED_DIMS] = {
        in.vcpu_ratio_permille,
        in.memory_ratio_permille,
        in.disk_ratio_permille,
        in.iops_ratio_permille ? in.iops_ratio_permille : 1000,
    };
    struct sched_vector limit, capacity = sched_vector(&in.capacity),
                               reserved = sched_vector(&in.reserved);
    int says = negative(&in.capacity) || negative(&in.reserved) ? -EINVAL : 0;
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
    size_t n = below(m, m->nodes);
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
    size_t n = below(m, m->nodes);
    struct sched_resources r = amounts(m, 1);
    struct sched_vector want = sched_vector(&r);
    int says = negative(&r)        ? -EINVAL
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
    size_t n = below(m, m->nodes);
    struct m_node *node = &m->node[n];
    struct sched_resources r;
    struct sched_vector back;

    sched_vector_out(&node->loose, &r);
    if (one_in(m, 3))
        r = amounts(m, 1);
    back = sched_vector(&r);
    int says = negative(&r) ? -EINVAL : !node->there ? -ENOENT : 0;
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
    struct m_instance *i = &m->instance[below(m, m->instances)];
    const char *its_keys[KEYS];
    int project;

    if (!i->there) {
        struct sched_instance in = random_instance(m, &project, its_keys);

        add_instance(m, below(m, m->nodes), &in, project, one_in(m, 6));
        return;
    }
    if (one_in(m, 3)) {
        struct sched_resources r = amounts(m, 1);
        struct sched_vector need = sched_vector(&r), more;
        bool force = one_in(m, 5);
        int says = negative(&r) ? -EINVAL : 0;

        for (int d = 0; d < SCHED_DIMS && !says; d++)
            more.v[d] = MAX(INT64_C(0), need.v[d] - i->need.v[d]);
        if (!says)
            says = claim_says(m, i->node, i->project, &more, force);
        if (!says && i->cell >= 0 && !force) {
            __int128 room[2];

            cell_room(m, i->node, (size_t)i->cell, room);
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
    size_t i = below(m, RESERVATIONS);
    struct m_reservation *r = &m->reservation[i];
    struct sched_resources want = amounts(m, 2);
    struct sched_vector v = sched_vector(&want);
    bool force = one_in(m, 6);

    id_of('2', i, r->id);
    if (r->there) {
        FUZZ_CHECK(sched_unreserve(m->s, r->id, NULL) == 0);
        FUZZ_CHECK(sched_unreserve(m->s, r->id, NULL) == -ENOENT);
        r->there = false;
        return;
    }
    size_t n = below(m, m->nodes);
    int project = (int)below(m, PROJECTS), says = 0;
    if (negative(&want))
        says = -EINVAL;
    else if (!m->node[n].there)
        says = -ENOENT;
    for (int d = 0; d < SCHED_DIMS && !says; d++) {
        __int128 sum = v.v[d], before = held_by(m, n, project, d);
        __int128 room = room_for(m, n, -1, d);

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
        if (held_by(m, n, project, d) - before > room)
            says = -ENOSPC;
        r->there = false;
    }
    FUZZ_CHECK(sched_reserve(m->s, r->id, m->node[n].id, project_id(project),
                             &want, force, NULL) == says);
    if (says < 0)
        return;
    *r = (struct m_reservation){
        .there = true, .node = n, .project = project, .r = v};
    id_of('2', i, r->id);
}

static void
step_place(struct model *m)
{
    struct sched_request rq = random_request(m);
    const char *its_keys[KEYS];
    size_t n;

    if (!check_place(m, &rq, &n) || one_in(m, 3))
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
        if (one_in(m, 3))
            its_keys[in.n_keys++] = keys[k];
    add_instance(m, n, &in, project_of(&rq), false);
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
        id_of('0', n, m->node[n].id);
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
    switch (below(m, 16)) {
    case 0:
        step_node(m);
        break;
    case 1:
        if (one_in(m, 6))
            step_node_gone(m);
        else
            step_release(m);
        break;
    case 2:
        step_claim(m, one_in(m, 4));
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
        m->now += (int64_t)below(m, 7200);
        FUZZ_CHECK(sched_now(m->s, m->now, NULL) == 0);
        FUZZ_CHECK(sched_now(m->s, m->now - 1, NULL) == -EINVAL);
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
            FUZZ_CHECK(sched_vector(&claimed).v[d] == claimed_on(m, n, d));
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
             size_t *ret_refused)
{
    for (int rule = 0; rule < SCHED_RULES; rule++)
        met[rule] += m->met[rule];
    *ret_placed += m->placed;
    *ret_refused += m->refused;
}
