/* sched-model.c - what must be of a cluster; see sched-model.h. */
#include <config.h>

#include "tests/unit/sched-model-private.h"

#include <inttypes.h>

#include "common/mem.h"

uint64_t
model_below(struct model *m, uint64_t n)
{
    return m->from.below(m->from.arg, n);
}

bool
model_one_in(struct model *m, uint64_t n)
{
    return model_below(m, n) == 0;
}

void
model_id_of(char kind, size_t i, char out[ID_SIZE])
{
    /* In no order of creation: equal scores are decided by it. */
    snprintf(out, ID_SIZE, "%c0000000-0000-7000-8000-%012x", kind,
             (unsigned)(i * 7919 % 10007));
}

const char *
model_project_id(int p)
{
    static const char *const ids[PROJECTS] = {
        "90000000-0000-7000-8000-000000000001",
        "90000000-0000-7000-8000-000000000002",
        "90000000-0000-7000-8000-000000000003",
        "90000000-0000-7000-8000-000000000004",
    };

    return p < 0 ? NULL : ids[p];
}

bool
model_negative(const struct sched_resources *r)
{
    struct sched_vector v = sched_vector(r);

    for (int d = 0; d < SCHED_DIMS; d++)
        if (v.v[d] < 0)
            return true;
    return false;
}

__int128
model_claimed_on(const struct model *m, size_t n, int d)
{
    __int128 sum = m->node[n].loose.v[d];

    for (size_t i = 0; i < m->instances; i++)
        if (m->instance[i].there && m->instance[i].node == n)
            sum += m->instance[i].need.v[d];
    return sum;
}

/* What the project's reservations on n still hold. */
__int128
model_held_by(const struct model *m, size_t n, int project, int d)
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

__int128
model_room_for(const struct model *m, size_t n, int project, int d)
{
    __int128 room = m->node[n].limit.v[d] - model_claimed_on(m, n, d);

    for (int p = 0; p < PROJECTS; p++)
        if (p != project)
            room -= model_held_by(m, n, p, d);
    return MAX((__int128)0, room);
}

void
model_cell_room(const struct model *m, size_t n, size_t cell, __int128 ret[2])
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
int
model_cell_for(const struct model *m, size_t n, const struct sched_vector *need)
{
    __int128 best[2] = {0, 0}, room[2];
    int cell = -1;

    for (size_t c = 0; c < m->node[n].in.n_cells; c++) {
        model_cell_room(m, n, c, room);
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

bool
model_open_node(const struct m_node *n)
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

        if (model_open_node(&m->node[n]) && admits(&m->node[n], rq) &&
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

int
model_project_of(const struct sched_request *rq)
{
    for (int p = 0; p < PROJECTS && rq->project_id; p++)
        if (strcmp(model_project_id(p), rq->project_id) == 0)
            return p;
    return -1;
}

enum sched_rule
model_rule_of(const struct model *m, const struct sched_request *rq, size_t n,
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
            need.v[d] > m->node[n].limit.v[d] - model_claimed_on(m, n, d))
            return d < DIM_DEVICES ? SCHED_VCPUS + (enum sched_rule)d
                                   : SCHED_DEVICES;
    if (rq->one_cell && model_cell_for(m, n, &need) < 0)
        return SCHED_CELL;
    for (int d = 0; d < SCHED_DIMS; d++)
        if (need.v[d] > model_room_for(m, n, model_project_of(rq), d))
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

long double
model_score_of(const struct model *m, const struct sched_request *rq, size_t n)
{
    const struct sched_weights *w =
        rq->weights ? rq->weights : &sched_weights_default;
    const int weight[SCHED_SCALARS] = {w->vcpus,    w->memory, w->disk,
                                       w->iops,     w->net,    w->addresses,
                                       w->hugepages};
    struct sched_vector need = sched_vector(&rq->need);
    const struct m_node *node = &m->node[n];
    int project = model_project_of(rq);
    long double score = 0;
    bool some = false, held = true;
    int64_t end = 0;

    for (int d = 0; d < SCHED_SCALARS; d++) {
        long double limit = node->limit.v[d], part = 0;
        long double free = model_room_for(m, n, project, d);

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
        held &= need.v[d] <= model_held_by(m, n, project, d);
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
long double
model_tolerance(const struct sched_request *rq)
{
    const struct sched_weights *w =
        rq->weights ? rq->weights : &sched_weights_default;
    int sum = w->vcpus + w->memory + w->disk + w->iops + w->net + w->addresses +
              w->hugepages;

    return sum * (2.0L * SCHED_ONE * 4 + 16) + 4;
}

size_t
model_node_index(const struct model *m, const char *id)
{
    for (size_t n = 0; n < m->nodes; n++)
        if (strcmp(m->node[n].id, id) == 0)
            return n;
    FUZZ_CHECK(!"a node that nobody added");
    return 0;
}
