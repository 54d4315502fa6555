/* copy.c - a cluster to try things out on; see sched.h. */
#include <config.h>

#include "scheduler/sched.h"

#include "common/mem.h"
#include "scheduler/best.h"
#include "scheduler/sched-private.h"

static void *
copy_of(const void *from, size_t n, size_t size)
{
    void *to = xcalloc(n, size);

    return n ? memcpy(to, from, n * size) : to;
}

#define COPY(member) to->member = copy_of(from->member, n, sizeof(*to->member))

struct sched *
sched_copy(const struct sched *from)
{
    struct sched *to = xnew(struct sched);
    size_t n = from->n;

    to->n = to->cap = n;
    to->best = sched_best_new(); /* made when it is first asked */
    COPY(flags);
    COPY(traits);
    for (int d = 0; d < SCHED_DIMS; d++) {
        COPY(room[d]);
        COPY(weight[d]);
        COPY(shift[d]);
        COPY(limit[d]);
        COPY(claimed[d]);
    }
    to->entry = xcalloc(n, sizeof(*to->entry));
    for (size_t i = 0; i < n; i++) {
        struct sched_entry *e = xnew(struct sched_entry);

        memcpy(e->id, from->entry[i]->id, ID_SIZE);
        e->slot = i;
        to->entry[i] = e;
        HASH_ADD_STR(to->by_id, id, e);
    }
    return to;
}
