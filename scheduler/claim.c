/* claim.c - claims of nobody: totals of a node; see sched.h. */
#include <config.h>

#include "scheduler/sched.h"

#include <inttypes.h>

#include "scheduler/sched-private.h"

static int
find(struct sched *s, const char *node_id, const struct sched_resources *res,
     struct sched_entry **ret, struct err *reterr)
{
    int r = sched_resources_check(res, "", reterr);

    return r < 0 ? r : sched_find(s, node_id, ret, reterr);
}

static int claim(struct sched *s, const char *node_id,
                 const struct sched_resources *res, bool force,
                 struct err *reterr);

int
sched_claim(struct sched *s, const char *node_id,
            const struct sched_resources *res, struct err *reterr)
{
    return claim(s, node_id, res, false, reterr);
}

int
sched_claim_force(struct sched *s, const char *node_id,
                  const struct sched_resources *res, struct err *reterr)
{
    return claim(s, node_id, res, true, reterr);
}

int
sched_release(struct sched *s, const char *node_id,
              const struct sched_resources *res, struct err *reterr)
{
    struct sched_vector back = sched_vector(res);
    struct sched_entry *e;

    int r = find(s, node_id, res, &e, reterr);
    if (r < 0)
        return r;
    for (int d = 0; d < SCHED_DIMS; d++) {
        char pointer[32];

        if (back.v[d] <= e->loose.v[d])
            continue;
        snprintf(pointer, sizeof(pointer), "/%s", sched_dim_name(d));
        r = err_field(reterr, pointer, "range",
                      "is %" PRId64 ", more than the %" PRId64
                      " claimed on node %s",
                      back.v[d], e->loose.v[d], node_id);
    }
    if (r < 0)
        return r;
    for (int d = 0; d < SCHED_DIMS; d++) {
        e->loose.v[d] -= back.v[d];
        e->claimed.v[d] -= back.v[d];
    }
    sched_reroom(e);
    return 0;
}

int
sched_claim_fits(const struct sched_entry *e, const struct sched_project *p,
                 const struct sched_vector *want, bool force,
                 struct err *reterr)
{
    struct sched_vector room = sched_room_for(e, p);

    for (int d = 0; d < SCHED_DIMS; d++) {
        int64_t sum;

        if (!force && want->v[d] > room.v[d])
            return err_set(reterr, -ENOSPC, "no_capacity",
                           "node %s has no room: %s: %" PRId64
                           " asked, %" PRId64 " free",
                           e->id, sched_dim_name(d), want->v[d], room.v[d]);
        if (__builtin_add_overflow(e->claimed.v[d], want->v[d], &sum))
            return err_set(reterr, -EOVERFLOW, "too_large",
                           "node %s: the claims on %s cannot be counted", e->id,
                           sched_dim_name(d));
    }
    return 0;
}

static int
claim(struct sched *s, const char *node_id, const struct sched_resources *res,
      bool force, struct err *reterr)
{
    struct sched_vector want = sched_vector(res);
    struct sched_entry *e;

    int r = find(s, node_id, res, &e, reterr);
    if (r < 0)
        return r;
    r = sched_claim_fits(e, NULL, &want, force, reterr);
    if (r < 0)
        return r;
    for (int d = 0; d < SCHED_DIMS; d++) {
        e->claimed.v[d] += want.v[d];
        e->loose.v[d] += want.v[d];
    }
    sched_reroom(e);
    return 0;
}
