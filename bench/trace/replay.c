/* replay.c - plays a trace against a policy; see replay.h. */
#include <config.h>

#include "bench/trace/replay.h"

#include "common/mem.h"

#define NOWHERE UINT32_MAX
#define SAMPLE_MS (6 * TRACE_HOUR_MS)
/* So many random VMs of the trace's mix are held against each node's room. */
#define PROBES 64

struct replay {
    const struct trace *t;
    const struct policy *p;
    const struct replay_how *how;
    struct placer *placer;
    struct trace_need *room;
    uint32_t *count;
    uint32_t *where; /* by VM */
    struct replay_result res;
    double asked_vcpus, refused_vcpus;
    size_t samples;
    int64_t next_sample;
};

static bool
fits(const struct trace_need *need, const struct trace_need *room)
{
    for (int d = 0; d < TRACE_DIMS; d++) {
        if (need->v[d] > room->v[d])
            return false;
    }
    return true;
}

static int
begin(struct replay *rp, uint32_t vm, int64_t now, struct err *reterr)
{
    const struct trace_vm *v = &rp->t->vms[vm];
    const struct trace_need *need = &rp->t->flavors[v->flavor];
    size_t node = 0;

    rp->res.asked++;
    rp->asked_vcpus += (double)need->v[0];
    int r = placer_place(rp->placer, vm, now, &node);
    if (r == -ENOSPC) {
        for (size_t i = 0; i < rp->how->nodes; i++) {
            if (fits(need, &rp->room[i]))
                return err_set(reterr, -EPROTO, "policy",
                               "%s refused what fits node %zu", rp->p->name, i);
        }
        rp->res.refused++;
        rp->res.refused_high += !v->low;
        rp->refused_vcpus += (double)need->v[0];
        return 0;
    }
    if (r < 0)
        return err_errno(reterr, r, "%s cannot place", rp->p->name);
    if (node >= rp->how->nodes || !fits(need, &rp->room[node]))
        return err_set(reterr, -EPROTO, "policy",
                       "%s put more on node %zu than it has", rp->p->name,
                       node);
    for (int d = 0; d < TRACE_DIMS; d++)
        rp->room[node].v[d] -= need->v[d];
    rp->count[node]++;
    rp->where[vm] = (uint32_t)node;
    return 0;
}

static void
finish(struct replay *rp, uint32_t vm)
{
    uint32_t node = rp->where[vm];

    if (node == NOWHERE)
        return; /* refused */
    placer_leave(rp->placer, vm, node);
    for (int d = 0; d < TRACE_DIMS; d++)
        rp->room[node].v[d] += rp->t->flavors[rp->t->vms[vm].flavor].v[d];
    rp->count[node]--;
}

/* Nodes in use are filled up with VMs of the trace's mix; what nothing of it
 * could use is stranded. */
static void
sample(struct replay *rp)
{
    uint64_t rnd = rp->samples++;
    double left[TRACE_DIMS] = {0}, free_vcpus = 0;
    size_t empty = 0;

    for (size_t i = 0; i < rp->how->nodes; i++) {
        struct trace_need room = rp->room[i];

        free_vcpus += (double)room.v[0];
        if (rp->count[i] == 0) {
            empty++;
            continue;
        }
        for (int k = 0; k < PROBES; k++) {
            size_t vm = trace_random(&rnd) % rp->t->n_vms;
            const struct trace_need *need =
                &rp->t->flavors[rp->t->vms[vm].flavor];

            if (!fits(need, &room))
                continue;
            for (int d = 0; d < TRACE_DIMS; d++)
                room.v[d] -= need->v[d];
        }
        for (int d = 0; d < TRACE_DIMS; d++)
            left[d] += (double)room.v[d];
    }
    double nodes = (double)rp->how->nodes;
    for (int d = 0; d < TRACE_DIMS; d++) {
        if (rp->t->node.v[d])
            rp->res.stranded[d] += left[d] / (nodes * (double)rp->t->node.v[d]);
    }
    rp->res.empty += (double)empty / nodes;
    rp->res.used += 1 - free_vcpus / (nodes * (double)rp->t->node.v[0]);
}

static int
play(struct replay *rp, struct err *reterr)
{
    for (size_t i = 0; i < rp->t->n_events; i++) {
        const struct trace_event *e = &rp->t->events[i];

        while (rp->how->measure && rp->next_sample <= e->at) {
            sample(rp);
            rp->next_sample += SAMPLE_MS;
        }
        if (!e->starts) {
            finish(rp, e->vm);
            continue;
        }
        int r = begin(rp, e->vm, e->at, reterr);
        if (r < 0)
            return r;
        if (rp->res.refused && rp->how->until_refused)
            return 0;
    }
    return 0;
}

int
trace_replay(const struct trace *t, const struct policy *p,
             const struct replay_how *how, struct replay_result *ret,
             struct err *reterr)
{
    struct replay rp = {.t = t, .p = p, .how = how};

    rp.placer = placer_new(p, t, how->nodes);
    rp.room = xcalloc(how->nodes, sizeof(*rp.room));
    rp.count = xcalloc(how->nodes, sizeof(*rp.count));
    rp.where = xcalloc(t->n_vms + 1, sizeof(*rp.where));
    for (size_t i = 0; i < how->nodes; i++)
        rp.room[i] = t->node;
    for (size_t i = 0; i < t->n_vms; i++)
        rp.where[i] = NOWHERE;
    int r = play(&rp, reterr);
    if (r == 0) {
        double n = (double)MAX(rp.samples, (size_t)1);

        for (int d = 0; d < TRACE_DIMS; d++)
            rp.res.stranded[d] /= n;
        rp.res.empty /= n;
        rp.res.used /= n;
        if (rp.asked_vcpus > 0)
            rp.res.refused_vcpu_share = rp.refused_vcpus / rp.asked_vcpus;
        *ret = rp.res;
    }
    placer_free(rp.placer);
    free(rp.room);
    free(rp.count);
    free(rp.where);
    return r;
}

static int
holds(const struct trace *t, const struct policy *p, size_t nodes, bool *ret,
      struct err *reterr)
{
    struct replay_how how = {.nodes = nodes, .until_refused = true};
    struct replay_result res;
    int r = trace_replay(t, p, &how, &res, reterr);

    if (r == 0)
        *ret = res.refused == 0;
    return r;
}

int
trace_compact(const struct trace *t, const struct policy *p, size_t least,
              size_t most, size_t *ret, struct err *reterr)
{
    size_t fails = MAX(least, (size_t)1) - 1, enough = fails;
    bool ok = false;

    /* Upwards in growing steps first: most policies are near. */
    for (size_t step = 1 + fails / 32; !ok; step *= 2) {
        if (enough >= most)
            return err_set(reterr, -ENOSPC, "no_capacity",
                           "%s needs more than %zu nodes", p->name, most);
        fails = enough;
        enough = MIN(enough + step, most);
        int r = holds(t, p, enough, &ok, reterr);
        if (r < 0)
            return r;
    }
    while (fails + 1 < enough) {
        size_t mid = fails + (enough - fails) / 2;
        int r = holds(t, p, mid, &ok, reterr);

        if (r < 0)
            return r;
        if (ok)
            enough = mid;
        else
            fails = mid;
    }
    *ret = enough;
    return 0;
}
