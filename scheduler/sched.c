/* sched.c - nodes and claims of the cluster; see sched.h. place.c decides. */
#include <config.h>

#include "scheduler/sched.h"

#include <inttypes.h>

#include "common/mem.h"
#include "scheduler/best.h"
#include "scheduler/sched-private.h"

static int node_check(const struct sched_node *n, struct sched_vector *ret,
                      struct err *reterr);
static int find(const struct sched *s, const char *id, size_t *ret,
                struct err *reterr);
static size_t slot_add(struct sched *s, const char *id);
static void slot_move(struct sched *s, size_t to, size_t from);
static void slot_derive(struct sched *s, size_t i, int d);
static void grow(struct sched *s);

static const char *const dim_names[SCHED_DIMS] = {"vcpus", "memory_bytes",
                                                  "disk_bytes"};

struct sched *
sched_new(void)
{
    struct sched *s = xnew(struct sched);

    s->best = sched_best_new();
    return s;
}

void
sched_free(struct sched *s)
{
    if (!s)
        return;
    HASH_CLEAR(hh, s->by_id);
    for (size_t i = 0; i < s->n; i++)
        free(s->entry[i]);
    for (int d = 0; d < SCHED_DIMS; d++) {
        free(s->room[d]);
        free(s->weight[d]);
        free(s->shift[d]);
        free(s->limit[d]);
        free(s->claimed[d]);
    }
    free(s->flags);
    free(s->traits);
    free(s->entry);
    sched_best_free(s->best);
    free(s);
}

void
sched_freep(struct sched **s)
{
    sched_free(*s);
    *s = NULL;
}

int
sched_node_set(struct sched *s, const struct sched_node *n, struct err *reterr)
{
    struct sched_vector limit;
    size_t i;

    int r = node_check(n, &limit, reterr);
    if (r < 0)
        return r;
    if (find(s, n->id, &i, NULL) < 0) {
        if (s->n >= SCHED_NODES_MAX)
            return err_set(reterr, -E2BIG, "too_many_nodes",
                           "a cluster has at most %d nodes", SCHED_NODES_MAX);
        i = slot_add(s, n->id);
    }
    s->flags[i] = (uint8_t)((n->up ? NODE_UP : 0u) |
                            (n->schedulable ? NODE_SCHEDULABLE : 0u));
    s->traits[i] = n->traits;
    for (int d = 0; d < SCHED_DIMS; d++) {
        s->limit[d][i] = limit.v[d];
        slot_derive(s, i, d);
    }
    sched_best_touch(s->best, i);
    return 0;
}

int
sched_node_remove(struct sched *s, const char *id, struct err *reterr)
{
    size_t i;

    int r = find(s, id, &i, reterr);
    if (r < 0)
        return r;
    for (int d = 0; d < SCHED_DIMS; d++) {
        if (s->claimed[d][i] != 0)
            return err_set(reterr, -EBUSY, "node_in_use",
                           "node %s still has claims: %s %" PRId64, id,
                           dim_names[d], s->claimed[d][i]);
    }
    struct sched_entry *gone = s->entry[i];
    HASH_DEL(s->by_id, gone);
    free(gone);
    s->n--;
    if (i != s->n)
        slot_move(s, i, s->n);
    sched_best_reset(s->best);
    return 0;
}

size_t
sched_node_count(const struct sched *s)
{
    return s->n;
}

int
sched_claim(struct sched *s, const char *node_id,
            const struct sched_resources *res, struct err *reterr)
{
    struct sched_vector want = sched_vector(res);
    size_t i;

    int r = sched_resources_check(res, "", reterr);
    if (r < 0)
        return r;
    r = find(s, node_id, &i, reterr);
    if (r < 0)
        return r;
    for (int d = 0; d < SCHED_DIMS; d++) {
        if (want.v[d] > s->room[d][i])
            return err_set(reterr, -ENOSPC, "no_capacity",
                           "node %s lacks %s: %" PRId64 " asked, %" PRId64
                           " free",
                           node_id, dim_names[d], want.v[d], s->room[d][i]);
    }
    /* Where something is wanted it is at most limit - claimed: no overflow. */
    for (int d = 0; d < SCHED_DIMS; d++) {
        s->claimed[d][i] += want.v[d];
        s->room[d][i] -= want.v[d];
    }
    sched_best_touch(s->best, i);
    return 0;
}

int
sched_claim_force(struct sched *s, const char *node_id,
                  const struct sched_resources *res, struct err *reterr)
{
    struct sched_vector want = sched_vector(res), sum;
    size_t i;

    int r = sched_resources_check(res, "", reterr);
    if (r < 0)
        return r;
    r = find(s, node_id, &i, reterr);
    if (r < 0)
        return r;
    for (int d = 0; d < SCHED_DIMS; d++) {
        if (__builtin_add_overflow(s->claimed[d][i], want.v[d], &sum.v[d]))
            return err_set(reterr, -EOVERFLOW, "too_large",
                           "node %s: the claims on %s cannot be counted",
                           node_id, dim_names[d]);
    }
    for (int d = 0; d < SCHED_DIMS; d++) {
        s->claimed[d][i] = sum.v[d];
        slot_derive(s, i, d);
    }
    sched_best_touch(s->best, i);
    return 0;
}

int
sched_release(struct sched *s, const char *node_id,
              const struct sched_resources *res, struct err *reterr)
{
    struct sched_vector back = sched_vector(res);
    size_t i;

    int r = sched_resources_check(res, "", reterr);
    if (r < 0)
        return r;
    r = find(s, node_id, &i, reterr);
    if (r < 0)
        return r;
    for (int d = 0; d < SCHED_DIMS; d++) {
        if (back.v[d] > s->claimed[d][i]) {
            char pointer[32];

            snprintf(pointer, sizeof(pointer), "/%s", dim_names[d]);
            r = err_field(reterr, pointer, "range",
                          "is %" PRId64 ", more than the %" PRId64
                          " claimed on node %s",
                          back.v[d], s->claimed[d][i], node_id);
        }
    }
    if (r < 0)
        return r;
    for (int d = 0; d < SCHED_DIMS; d++) {
        s->claimed[d][i] -= back.v[d];
        slot_derive(s, i, d);
    }
    sched_best_touch(s->best, i);
    return 0;
}

int
sched_node_usage(const struct sched *s, const char *node_id,
                 struct sched_resources *ret_claimed,
                 struct sched_resources *ret_limit)
{
    size_t i;

    int r = find(s, node_id, &i, NULL);
    if (r < 0)
        return r;
    if (ret_claimed)
        *ret_claimed = (struct sched_resources){
            .vcpus = s->claimed[DIM_VCPUS][i],
            .memory_bytes = s->claimed[DIM_MEMORY][i],
            .disk_bytes = s->claimed[DIM_DISK][i],
        };
    if (ret_limit)
        *ret_limit = (struct sched_resources){
            .vcpus = s->limit[DIM_VCPUS][i],
            .memory_bytes = s->limit[DIM_MEMORY][i],
            .disk_bytes = s->limit[DIM_DISK][i],
        };
    return 0;
}

const char *
sched_dim_name(enum sched_dim d)
{
    return dim_names[d];
}

int
sched_resources_check(const struct sched_resources *r, const char *prefix,
                      struct err *reterr)
{
    struct sched_vector v = sched_vector(r);
    char pointer[64];
    int result = 0;

    for (int d = 0; d < SCHED_DIMS; d++) {
        if (v.v[d] >= 0)
            continue;
        snprintf(pointer, sizeof(pointer), "%s/%s", prefix, dim_names[d]);
        result = err_field(reterr, pointer, "range",
                           "is %" PRId64 ", must not be negative", v.v[d]);
    }
    return result;
}

bool
sched_consistent(const struct sched *s)
{
    if (HASH_COUNT(s->by_id) != s->n || s->n > s->cap)
        return false;
    for (size_t i = 0; i < s->n; i++) {
        size_t back;

        if (s->entry[i]->slot != i ||
            find(s, s->entry[i]->id, &back, NULL) < 0 || back != i)
            return false;
        for (int d = 0; d < SCHED_DIMS; d++) {
            int64_t limit = s->limit[d][i], claimed = s->claimed[d][i];

            if (limit < 0 || claimed < 0)
                return false;
            if (s->room[d][i] != MAX(INT64_C(0), limit - claimed))
                return false;
            if ((uint64_t)limit >> s->shift[d][i] > UINT32_MAX ||
                (s->weight[d][i] == 0) != (limit == 0))
                return false;
        }
    }
    return true;
}

/* Checks every member, and gives the limits. */
static int
node_check(const struct sched_node *n, struct sched_vector *ret,
           struct err *reterr)
{
    static const char *const ratio_names[SCHED_DIMS] = {
        "/vcpu_ratio_permille", "/memory_ratio_permille",
        "/disk_ratio_permille"};
    const int64_t ratio[SCHED_DIMS] = {n->vcpu_ratio_permille,
                                       n->memory_ratio_permille,
                                       n->disk_ratio_permille};
    struct sched_vector capacity = sched_vector(&n->capacity);
    char pointer[64];

    int r = sched_resources_check(&n->capacity, "/capacity", reterr);
    if (!n->id || !id_valid(n->id))
        r = err_field(reterr, "/id", "format", "must be a UUID");
    for (int d = 0; d < SCHED_DIMS; d++) {
        if (ratio[d] < 1 || ratio[d] > SCHED_RATIO_MAX)
            r = err_field(reterr, ratio_names[d], "range",
                          "is %" PRId64 ", must be 1..%d", ratio[d],
                          SCHED_RATIO_MAX);
    }
    if (r < 0)
        return r;
    for (int d = 0; d < SCHED_DIMS; d++) {
        __int128 limit = (__int128)capacity.v[d] * ratio[d] / 1000;

        if (limit > INT64_MAX) {
            snprintf(pointer, sizeof(pointer), "/capacity/%s", dim_names[d]);
            r = err_field(reterr, pointer, "range",
                          "is %" PRId64 ", too much to count at %" PRId64
                          " permille",
                          capacity.v[d], ratio[d]);
            continue;
        }
        ret->v[d] = (int64_t)limit;
    }
    return r;
}

static int
find(const struct sched *s, const char *id, size_t *ret, struct err *reterr)
{
    const struct sched_entry *e = NULL;

    if (id)
        HASH_FIND_STR(s->by_id, id, e);
    if (!e)
        return err_set(reterr, -ENOENT, "node_unknown",
                       "no node has the id \"%.*s\"", ID_LEN, id ? id : "");
    *ret = e->slot;
    return 0;
}

/* A slot at the end, all zero but for its identity. */
static size_t
slot_add(struct sched *s, const char *id)
{
    size_t i = s->n;

    if (i == s->cap)
        grow(s);
    struct sched_entry *e = xnew(struct sched_entry);
    memcpy(e->id, id, ID_SIZE);
    e->slot = i;
    HASH_ADD_STR(s->by_id, id, e);
    s->entry[i] = e;
    for (int d = 0; d < SCHED_DIMS; d++)
        s->claimed[d][i] = 0;
    s->n++;
    sched_best_reset(s->best);
    return i;
}

static void
slot_move(struct sched *s, size_t to, size_t from)
{
    s->entry[to] = s->entry[from];
    s->entry[to]->slot = to;
    s->flags[to] = s->flags[from];
    s->traits[to] = s->traits[from];
    for (int d = 0; d < SCHED_DIMS; d++) {
        s->limit[d][to] = s->limit[d][from];
        s->claimed[d][to] = s->claimed[d][from];
        s->room[d][to] = s->room[d][from];
        s->weight[d][to] = s->weight[d][from];
        s->shift[d][to] = s->shift[d][from];
    }
}

/* Room, weight and shift from limit and claimed (private.h, invariants). */
static void
slot_derive(struct sched *s, size_t i, int d)
{
    int64_t limit = s->limit[d][i];
    uint8_t shift = 0;

    s->room[d][i] = MAX(INT64_C(0), limit - s->claimed[d][i]);
    if (limit > UINT32_MAX)
        shift = (uint8_t)(32 - __builtin_clzll((uint64_t)limit));
    uint64_t scaled = (uint64_t)limit >> shift;
    s->shift[d][i] = shift;
    s->weight[d][i] = scaled ? ((UINT64_C(1) << 62) + scaled - 1) / scaled : 0;
}

static void
grow(struct sched *s)
{
    size_t cap = s->cap ? s->cap * 2 : 64;

#define GROW(a) ((a) = xrealloc((a), cap * sizeof(*(a))))
    for (int d = 0; d < SCHED_DIMS; d++) {
        GROW(s->room[d]);
        GROW(s->weight[d]);
        GROW(s->shift[d]);
        GROW(s->limit[d]);
        GROW(s->claimed[d]);
    }
    GROW(s->flags);
    GROW(s->traits);
    GROW(s->entry);
#undef GROW
    s->cap = cap;
}
