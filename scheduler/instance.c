/* instance.c - claims with an identity; see sched.h. */
#include <config.h>

#include "scheduler/sched.h"

#include <inttypes.h>

#include "common/mem.h"
#include "scheduler/sched-private.h"

static struct sched_claimed *find(const struct sched *s, const char *id);
static int unknown(const char *id, struct err *reterr);
static int cell_choose(const struct sched_entry *e,
                       const struct sched_vector *need);
static int cell_counts(const struct sched_entry *e, int cell,
                       const struct sched_vector *more, bool force);
static void count(struct sched_claimed *c, const struct sched_vector *need,
                  bool more);
static struct sched_shape *shape_ref(struct sched *s,
                                     const struct sched_vector *need);
static void shape_unref(struct sched *s, struct sched_shape *shape);
static void end_later(struct sched *s, struct sched_entry *e, int64_t end);
static void end_again(struct sched *s, struct sched_entry *e);

int
sched_instance_add(struct sched *s, const char *node_id,
                   const struct sched_instance *in, bool force,
                   struct err *reterr)
{
    struct sched_entry *e;

    int r = sched_instance_check(in, reterr);
    if (!in->id || !id_valid(in->id))
        r = err_field(reterr, "/id", "format", "must be a UUID");
    if (r < 0)
        return r;
    r = sched_find(s, node_id, &e, reterr);
    if (r < 0)
        return r;
    return sched_instance_put(s, sched_uuid(in->id), e, in, force, NULL,
                              reterr);
}

int
sched_instance_put(struct sched *s, struct sched_uuid id, struct sched_entry *e,
                   const struct sched_instance *in, bool force,
                   struct sched_claimed **ret, struct err *reterr)
{
    struct sched_vector need = sched_vector(&in->need);
    struct sched_claimed *c;
    int cell = -1;

    HASH_FIND(hh, s->instances, &id, sizeof(id), c);
    if (c)
        return err_set(reterr, -EEXIST, "instance_exists",
                       "the instance is claimed already, on node %s", c->e->id);
    int r = sched_claim_fits(e, sched_project_find(s, in->project_id), &need,
                             force, reterr);
    if (r < 0)
        return r;
    if (in->one_cell) {
        cell = cell_choose(e, &need);
        if (cell < 0 && !force)
            return err_set(reterr, -ENOSPC, "no_capacity",
                           "node %s has no room in one of its NUMA cells",
                           e->id);
    }
    c = xnew(struct sched_claimed);
    c->id = id;
    c->e = e;
    c->cell = (int16_t)cell;
    c->one_cell = in->one_cell;
    c->preemptible = in->preemptible;
    c->started_us = in->started_us;
    c->end = in->expected_end;
    c->shape = shape_ref(s, &need);
    c->project = in->project_id ? sched_project_ref(s, in->project_id) : NULL;
    c->groups = in->n_keys ? xcalloc(in->n_keys, sizeof(*c->groups)) : NULL;
    for (size_t i = 0; i < in->n_keys; i++)
        c->groups[c->n_groups++] = sched_group_add(s, in->keys[i], e);
    c->next = e->instances;
    c->at = &e->instances;
    if (c->next)
        c->next->at = &c->next;
    e->instances = c;
    e->preemptible += c->preemptible;
    HASH_ADD(hh, s->instances, id, sizeof(c->id), c);
    count(c, &need, true);
    end_later(s, e, c->end);
    sched_reroom(e);
    if (ret)
        *ret = c;
    return 0;
}

int
sched_instance_remove(struct sched *s, const char *id, struct err *reterr)
{
    struct sched_claimed *c = find(s, id);

    if (!c)
        return unknown(id, reterr);
    sched_instance_drop(s, c);
    return 0;
}

void
sched_instance_drop(struct sched *s, struct sched_claimed *c)
{
    struct sched_entry *e = c->e;

    count(c, &c->shape->need, false);
    for (size_t i = 0; i < c->n_groups; i++)
        sched_group_remove(s, c->groups[i], e);
    *c->at = c->next;
    if (c->next)
        c->next->at = c->at;
    e->preemptible -= c->preemptible;
    HASH_DEL(s->instances, c);
    shape_unref(s, c->shape);
    if (c->project)
        sched_project_unref(s, c->project);
    if (c->end && c->end == e->end)
        end_again(s, e);
    sched_reroom(e);
    free(c->groups);
    free(c);
}

void
sched_cell_move(struct sched_claimed *c, int cell)
{
    for (int d = 0; d < 2; d++) {
        if (c->cell >= 0)
            c->e->cells->claimed[c->cell][d] -= c->shape->need.v[d];
        if (cell >= 0)
            c->e->cells->claimed[cell][d] += c->shape->need.v[d];
    }
    c->cell = (int16_t)cell;
    sched_touch(c->e);
}

int
sched_instance_resize(struct sched *s, const char *id,
                      const struct sched_resources *res, bool force,
                      struct err *reterr)
{
    struct sched_vector need = sched_vector(res), more;
    struct sched_claimed *c = find(s, id);

    int r = sched_resources_check(res, "/need", reterr);
    if (r < 0)
        return r;
    if (!c)
        return unknown(id, reterr);
    for (int d = 0; d < SCHED_DIMS; d++)
        more.v[d] = MAX(INT64_C(0), need.v[d] - c->shape->need.v[d]);
    r = sched_claim_fits(c->e, c->project, &more, force, reterr);
    if (r < 0)
        return r;
    if (c->cell >= 0) {
        r = cell_counts(c->e, c->cell, &more, force);
        if (r < 0)
            return err_set(reterr, r, "no_capacity",
                           "node %s has no room in NUMA cell %d", c->e->id,
                           c->cell);
    }
    count(c, &c->shape->need, false);
    shape_unref(s, c->shape);
    c->shape = shape_ref(s, &need);
    count(c, &need, true);
    sched_reroom(c->e);
    return 0;
}

int
sched_instance_find(const struct sched *s, const char *id,
                    char ret_node_id[ID_SIZE], int *ret_cell)
{
    const struct sched_claimed *c = find(s, id);

    if (!c)
        return -ENOENT;
    if (ret_node_id)
        memcpy(ret_node_id, c->e->id, ID_SIZE);
    if (ret_cell)
        *ret_cell = c->cell;
    return 0;
}

size_t
sched_instance_count(const struct sched *s)
{
    return HASH_COUNT(s->instances);
}

int
sched_instance_check(const struct sched_instance *in, struct err *reterr)
{
    int r = sched_resources_check(&in->need, "/need", reterr);

    if (in->project_id && !id_valid(in->project_id))
        r = err_field(reterr, "/project_id", "format", "must be a UUID");
    if (in->expected_end < 0)
        r = err_field(reterr, "/expected_end", "range",
                      "is %" PRId64 ", must not be negative", in->expected_end);
    if (in->n_keys > SCHED_KEYS_MAX)
        return err_field(reterr, "/keys", "range", "are %zu, at most %d",
                         in->n_keys, SCHED_KEYS_MAX);
    for (size_t i = 0; i < in->n_keys; i++) {
        const char *key = in->keys[i];

        if (!key || !key[0] || strnlen(key, SCHED_KEY_MAX) == SCHED_KEY_MAX)
            r = err_field(reterr, "/keys", "length",
                          "must be 1 to %d bytes each", SCHED_KEY_MAX - 1);
        for (size_t k = 0; key && k < i; k++) {
            if (streq(key, in->keys[k]))
                r = err_field(reterr, "/keys", "duplicate", "must differ");
        }
    }
    return r;
}

static struct sched_claimed *
find(const struct sched *s, const char *id)
{
    struct sched_claimed *c = NULL;

    if (id && id_valid(id)) {
        struct sched_uuid uuid = sched_uuid(id);
        HASH_FIND(hh, s->instances, &uuid, sizeof(uuid), c);
    }
    return c;
}

static int
unknown(const char *id, struct err *reterr)
{
    return err_set(reterr, -ENOENT, "instance_unknown",
                   "no instance \"%.*s\" is claimed", ID_LEN, id ? id : "");
}

/* The emptiest that has room: by memory, then vCPUs, then number. */
static int
cell_choose(const struct sched_entry *e, const struct sched_vector *need)
{
    int64_t best[2] = {0, 0};
    int cell = -1;

    for (size_t i = 0; e->cells && i < e->cells->n; i++) {
        int64_t room[2];

        sched_cell_room(e->cells, i, room);
        if (!sched_cell_fits(room, need))
            continue;
        if (cell < 0 || room[DIM_MEMORY] > best[DIM_MEMORY] ||
            (room[DIM_MEMORY] == best[DIM_MEMORY] &&
             room[DIM_VCPUS] > best[DIM_VCPUS])) {
            cell = (int)i;
            memcpy(best, room, sizeof(best));
        }
    }
    return cell;
}

/* A cell's claims are part of the node's: they can be counted. */
static int
cell_counts(const struct sched_entry *e, int cell,
            const struct sched_vector *more, bool force)
{
    int64_t room[2];

    sched_cell_room(e->cells, (size_t)cell, room);
    return force || sched_cell_fits(room, more) ? 0 : -ENOSPC;
}

/* Adds c to the sums that it is part of, or takes it out. */
static void
count(struct sched_claimed *c, const struct sched_vector *need, bool more)
{
    struct sched_hold *h =
        c->project && c->e->holds ? sched_hold_of(c->e, c->project) : NULL;

    for (int d = 0; d < SCHED_DIMS; d++) {
        int64_t by = more ? need->v[d] : -need->v[d];

        c->e->claimed.v[d] += by;
        if (h)
            h->used.v[d] += by;
        if (c->cell >= 0 && d <= DIM_MEMORY)
            c->e->cells->claimed[c->cell][d] += by;
        if (c->project && c->preemptible)
            c->project->preemptible[d] += by;
    }
}

static struct sched_shape *
shape_ref(struct sched *s, const struct sched_vector *need)
{
    struct sched_shape *shape;

    HASH_FIND(hh, s->shapes, need, sizeof(*need), shape);
    if (!shape) {
        shape = xnew(struct sched_shape);
        shape->need = *need;
        HASH_ADD(hh, s->shapes, need, sizeof(shape->need), shape);
    }
    shape->refs++;
    return shape;
}

static void
shape_unref(struct sched *s, struct sched_shape *shape)
{
    if (--shape->refs > 0)
        return;
    HASH_DEL(s->shapes, shape);
    free(shape);
}

static void
end_later(struct sched *s, struct sched_entry *e, int64_t end)
{
    if (end <= e->end)
        return;
    e->end = end;
    sched_slot_of(e)->life = (uint8_t)sched_life(end - s->now);
}

static void
end_again(struct sched *s, struct sched_entry *e)
{
    e->end = 0;
    for (const struct sched_claimed *c = e->instances; c; c = c->next)
        e->end = MAX(e->end, c->end);
    sched_slot_of(e)->life = (uint8_t)sched_life(e->end - s->now);
}
