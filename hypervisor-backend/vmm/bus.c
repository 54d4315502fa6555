/* bus.c - who answers a port or an address; see bus.h.
 * 1. Each space is an array sorted by base, no two ranges overlap. It is read
 *    and changed under `lock`, which is held only to look up: never while a
 *    device runs, so a device may add and remove ranges from its callbacks
 *    (a guest that moves a BAR does just that).
 * 2. An access holds its range by the count in `state`. bus_remove() takes
 *    the range out of the array, then sets DYING, and frees it when the count
 *    has come down. Who brings it to zero with DYING set wakes the remover and
 *    touches the range no more.
 * 3. A thread that removes a range out of its own access to it does not wait
 *    for itself: its frames give up their hold first. */
#include <config.h>

#include "hypervisor-backend/vmm/bus.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "common/count.h"
#include "common/mem.h"

#define DYING 0x80000000u

struct range {
    uint64_t base, len;
    const struct bus_ops *ops;
    void *dev;
    _Atomic uint32_t state; /* accesses under way, and DYING */
};

struct space {
    struct range **ranges;
    size_t n, cap;
};

struct bus {
    pthread_rwlock_t lock;
    struct space space[2];
    /* A remover waits here for the last access to end. */
    pthread_mutex_t wait_lock;
    pthread_cond_t ended;
};

/* The accesses that this thread is inside of, innermost first. */
struct frame {
    struct range *range;
    struct frame *outer;
};
static __thread struct frame *frames;

struct bus *
bus_new(void)
{
    struct bus *b = xnew(struct bus);
    pthread_rwlockattr_t attr;

    /* Else a guest that never stops accessing could keep a writer out. */
    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr,
                                  PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&b->lock, &attr);
    pthread_rwlockattr_destroy(&attr);
    pthread_mutex_init(&b->wait_lock, NULL);
    pthread_cond_init(&b->ended, NULL);
    return b;
}

void
bus_free(struct bus *b)
{
    if (!b)
        return;
    for (size_t s = 0; s < ARRAY_SIZE(b->space); s++) {
        for (size_t i = 0; i < b->space[s].n; i++)
            free(b->space[s].ranges[i]);
        free(b->space[s].ranges);
    }
    pthread_cond_destroy(&b->ended);
    pthread_mutex_destroy(&b->wait_lock);
    pthread_rwlock_destroy(&b->lock);
    free(b);
}

/* The first range that ends after addr; s->n if there is none. */
static size_t
search(const struct space *s, uint64_t addr)
{
    size_t lo = 0, hi = s->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        /* The last byte, as the end of a range at the top wraps to 0. */
        if (s->ranges[mid]->base + (s->ranges[mid]->len - 1) < addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

int
bus_add(struct bus *b, enum bus_space space, uint64_t base, uint64_t len,
        const struct bus_ops *ops, void *dev)
{
    struct space *s = &b->space[space];
    struct range *r;
    size_t at;

    if (len == 0 || base + (len - 1) < base ||
        (space == BUS_PIO && base + (len - 1) > 0xffff))
        return -EINVAL;
    r = xnew(struct range);
    *r = (struct range){.base = base, .len = len, .ops = ops, .dev = dev};
    pthread_rwlock_wrlock(&b->lock);
    at = search(s, base);
    if (at < s->n && s->ranges[at]->base <= base + (len - 1)) {
        pthread_rwlock_unlock(&b->lock);
        free(r);
        return -EEXIST;
    }
    if (s->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 16;
        s->ranges = xrealloc(s->ranges, s->cap * sizeof(struct range *));
    }
    memmove(s->ranges + at + 1, s->ranges + at,
            (s->n - at) * sizeof(struct range *));
    s->ranges[at] = r;
    s->n++;
    pthread_rwlock_unlock(&b->lock);
    return 0;
}

/* Ends one hold. The range may be gone when this returns. */
static void
put(struct bus *b, struct range *r)
{
    if (atomic_fetch_sub(&r->state, 1) != (DYING | 1))
        return;
    pthread_mutex_lock(&b->wait_lock);
    pthread_cond_broadcast(&b->ended);
    pthread_mutex_unlock(&b->wait_lock);
}

void
bus_remove(struct bus *b, enum bus_space space, uint64_t base)
{
    struct space *s = &b->space[space];
    struct range *r;
    size_t at;

    pthread_rwlock_wrlock(&b->lock);
    at = search(s, base);
    if (at == s->n || s->ranges[at]->base != base) {
        pthread_rwlock_unlock(&b->lock);
        return;
    }
    r = s->ranges[at];
    s->n--;
    memmove(s->ranges + at, s->ranges + at + 1,
            (s->n - at) * sizeof(struct range *));
    pthread_rwlock_unlock(&b->lock);

    for (struct frame *f = frames; f; f = f->outer)
        if (f->range == r) {
            f->range = NULL;
            atomic_fetch_sub(&r->state, 1);
        }
    pthread_mutex_lock(&b->wait_lock);
    atomic_fetch_or(&r->state, DYING);
    while (atomic_load(&r->state) != DYING)
        pthread_cond_wait(&b->ended, &b->wait_lock);
    pthread_mutex_unlock(&b->wait_lock);
    free(r);
}

static struct range *
hold(struct bus *b, enum bus_space space, uint64_t addr)
{
    struct space *s = &b->space[space];
    struct range *r = NULL;
    size_t at;

    pthread_rwlock_rdlock(&b->lock);
    at = search(s, addr);
    if (at < s->n && s->ranges[at]->base <= addr) {
        r = s->ranges[at];
        atomic_fetch_add(&r->state, 1);
    }
    pthread_rwlock_unlock(&b->lock);
    return r;
}

static bool
takes(const struct range *r, enum bus_space space, uint64_t offset,
      unsigned size, bool write)
{
    unsigned least = r->ops->min_size ? r->ops->min_size : 1;
    unsigned most = r->ops->max_size ? r->ops->max_size : 8;

    if (size == 0 || (size & (size - 1)) || size < least || size > most)
        return false;
    if (space == BUS_PIO && size > 4)
        return false;
    if (size > r->len - offset)
        return false;
    return write ? r->ops->write != NULL : r->ops->read != NULL;
}

bool
bus_access(struct bus *b, enum bus_space space, uint64_t addr, unsigned size,
           bool write, uint64_t *value)
{
    uint64_t mask = size >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * size)) - 1;
    struct frame f = {.range = hold(b, space, addr), .outer = frames};
    struct range *r = f.range;

    if (!r) {
        COUNT(vmm_bus_unclaimed);
    } else if (!takes(r, space, addr - r->base, size, write)) {
        COUNT(vmm_bus_refused);
        put(b, r);
        r = NULL;
    }
    if (!r) {
        if (!write)
            *value = mask;
        return false;
    }
    frames = &f;
    if (write)
        r->ops->write(r->dev, addr - r->base, size, *value & mask);
    else
        *value = r->ops->read(r->dev, addr - r->base, size) & mask;
    frames = f.outer;
    if (f.range)
        put(b, f.range);
    return true;
}
