/* reserve.c - room held for projects; see sched.h. */
#include <config.h>

#include "scheduler/sched.h"

#include <inttypes.h>

#include "common/mem.h"
#include "scheduler/sched-private.h"

static int check(const char *id, const char *project_id,
                 const struct sched_resources *r, struct err *reterr);
static struct sched_vector used_by(const struct sched_entry *e,
                                   const struct sched_project *p);
static int sum_of(const struct sched_entry *e, const struct sched_project *p,
                  const struct sched_vector *want, bool force,
                  struct sched_vector *ret, struct err *reterr);
static struct sched_hold *hold_new(struct sched_entry *e,
                                   struct sched_project *p);
static void hold_free(struct sched_hold *h);

int
sched_reserve(struct sched *s, const char *id, const char *node_id,
              const char *project_id, const struct sched_resources *res,
              bool force, struct err *reterr)
{
    struct sched_vector want = sched_vector(res), sum;
    struct sched_reservation *r;
    struct sched_entry *e;

    int error = check(id, project_id, res, reterr);
    if (error < 0)
        return error;
    error = sched_find(s, node_id, &e, reterr);
    if (error < 0)
        return error;
    struct sched_uuid uuid = sched_uuid(id);
    HASH_FIND(hh, s->reservations, &uuid, sizeof(uuid), r);
    if (r)
        return err_set(reterr, -EEXIST, "reservation_exists",
                       "reservation %s exists already", id);
    struct sched_project *p = sched_project_find(s, project_id);
    error = sum_of(e, p, &want, force, &sum, reterr);
    if (error < 0)
        return error;
    struct sched_hold *h = p ? sched_hold_of(e, p) : NULL;
    if (!h)
        h = hold_new(e, sched_project_ref(s, project_id));
    h->reserved = sum;
    h->refs++;
    r = xnew(struct sched_reservation);
    r->id = uuid;
    r->hold = h;
    r->r = want;
    HASH_ADD(hh, s->reservations, id, sizeof(r->id), r);
    sched_reroom(e);
    return 0;
}

int
sched_unreserve(struct sched *s, const char *id, struct err *reterr)
{
    struct sched_reservation *r = NULL;

    if (id && id_valid(id)) {
        struct sched_uuid uuid = sched_uuid(id);
        HASH_FIND(hh, s->reservations, &uuid, sizeof(uuid), r);
    }
    if (!r)
        return err_set(reterr, -ENOENT, "reservation_unknown",
                       "no reservation has the id \"%.*s\"", ID_LEN,
                       id ? id : "");
    struct sched_hold *h = r->hold;
    struct sched_entry *e = h->e;
    for (int d = 0; d < SCHED_DIMS; d++)
        h->reserved.v[d] -= r->r.v[d];
    HASH_DEL(s->reservations, r);
    free(r);
    if (--h->refs == 0) {
        struct sched_project *p = h->project;

        hold_free(h);
        sched_project_unref(s, p);
    }
    sched_reroom(e);
    return 0;
}

struct sched_hold *
sched_hold_of(const struct sched_entry *e, const struct sched_project *p)
{
    struct sched_hold *h = e->holds;

    while (h && h->project != p)
        h = h->next;
    return h;
}

struct sched_vector
sched_hold_left(const struct sched_hold *h)
{
    struct sched_vector left;

    for (int d = 0; d < SCHED_DIMS; d++)
        left.v[d] = MAX(INT64_C(0), h->reserved.v[d] - h->used.v[d]);
    return left;
}

struct sched_vector
sched_room_for(const struct sched_entry *e, const struct sched_project *p)
{
    struct sched_vector room;

    for (int d = 0; d < SCHED_DIMS; d++)
        room.v[d] = MAX(INT64_C(0), e->limit.v[d] - e->claimed.v[d]);
    for (const struct sched_hold *h = e->holds; h; h = h->next) {
        struct sched_vector left = sched_hold_left(h);

        for (int d = 0; d < SCHED_DIMS && h->project != p; d++)
            room.v[d] -= MIN(room.v[d], left.v[d]);
    }
    return room;
}

static int
check(const char *id, const char *project_id, const struct sched_resources *r,
      struct err *reterr)
{
    int error = sched_resources_check(r, "", reterr);

    if (!id || !id_valid(id))
        error = err_field(reterr, "/id", "format", "must be a UUID");
    if (!project_id || !id_valid(project_id))
        error = err_field(reterr, "/project_id", "format", "must be a UUID");
    return error;
}

/* What the project's instances have of e; p may be NULL. */
static struct sched_vector
used_by(const struct sched_entry *e, const struct sched_project *p)
{
    struct sched_vector used = {0};

    for (const struct sched_claimed *c = e->instances; c; c = c->next) {
        for (int d = 0; d < SCHED_DIMS && p && c->project == p; d++)
            used.v[d] += c->shape->need.v[d];
    }
    return used;
}

/* What the project will have reserved on e, if that can be. */
static int
sum_of(const struct sched_entry *e, const struct sched_project *p,
       const struct sched_vector *want, bool force, struct sched_vector *ret,
       struct err *reterr)
{
    struct sched_vector room = sched_room_for(e, NULL), used = used_by(e, p);
    const struct sched_hold *h = p ? sched_hold_of(e, p) : NULL;

    for (int d = 0; d < SCHED_DIMS; d++) {
        int64_t before = h ? h->reserved.v[d] : 0;

        if (__builtin_add_overflow(before, want->v[d], &ret->v[d]))
            return err_set(reterr, -EOVERFLOW, "too_large",
                           "node %s: what is reserved of %s cannot be counted",
                           e->id, sched_dim_name(d));
        int64_t more = MAX(INT64_C(0), ret->v[d] - used.v[d]) -
                       MAX(INT64_C(0), before - used.v[d]);
        if (!force && more > room.v[d])
            return err_set(reterr, -ENOSPC, "no_capacity",
                           "node %s has no room: %s: %" PRId64
                           " asked, %" PRId64 " free",
                           e->id, sched_dim_name(d), more, room.v[d]);
    }
    return 0;
}

static struct sched_hold *
hold_new(struct sched_entry *e, struct sched_project *p)
{
    struct sched_hold *h = xnew(struct sched_hold);

    h->project = p;
    h->e = e;
    h->used = used_by(e, p);
    h->next = e->holds;
    h->at = &e->holds;
    if (h->next)
        h->next->at = &h->next;
    e->holds = h;
    h->p_next = p->holds;
    h->p_at = &p->holds;
    if (h->p_next)
        h->p_next->p_at = &h->p_next;
    p->holds = h;
    return h;
}

static void
hold_free(struct sched_hold *h)
{
    *h->at = h->next;
    if (h->next)
        h->next->at = h->at;
    *h->p_at = h->p_next;
    if (h->p_next)
        h->p_next->p_at = h->p_at;
    free(h);
}
