/* sched.c - the nodes of the cluster; see sched.h. */
#include <config.h>

#include "scheduler/sched.h"

#include <inttypes.h>

#include "common/mem.h"
#include "scheduler/best.h"
#include "scheduler/sched-private.h"

static int node_check(const struct sched_node *n, struct sched_vector *ret,
                      struct sched_cells *ret_cells, struct err *reterr);
static int limits_check(const struct sched_node *n,
                        const int64_t ratio[SCHED_DIMS],
                        struct sched_vector *ret, struct err *reterr);
static int cells_check(const struct sched_node *n, struct sched_cells *ret,
                       struct err *reterr);
static void cells_set(struct sched_entry *e, const struct sched_cells *cells);
static void total_add(struct sched *s, const struct sched_vector *more,
                      const struct sched_vector *less);

static const char *const dim_names[] = {
    "vcpus",     "memory_bytes",   "disk_bytes", "disk_iops", "net_bits_per_s",
    "addresses", "hugepage_bytes", "devices/0",  "devices/1", "devices/2",
    "devices/3", "devices/4",      "devices/5",  "devices/6", "devices/7",
};
_Static_assert(ARRAY_SIZE(dim_names) == SCHED_DIMS, "a dimension has no name");

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
    struct sched_entry *e, *e_next;
    struct sched_reservation *r, *r_next;

    if (!s)
        return;
    for (e = s->by_id; e; e = e->hh.next)
        while (e->instances)
            sched_instance_drop(s, e->instances);
    HASH_ITER(hh, s->reservations, r, r_next)
    {
        char id[ID_SIZE];

        sched_uuid_text(r->id, id);
        if (sched_unreserve(s, id, NULL) < 0)
            abort(); /* it is in the table */
    }
    HASH_ITER(hh, s->by_id, e, e_next)
    {
        sched_pool_move(s, e, NULL);
        HASH_DEL(s->by_id, e);
        free(e->cells);
        free(e);
    }
    for (size_t i = 0; i < s->n_pools; i++) {
        free(s->pools[i]->slot);
        free(s->pools[i]->journal);
        free(s->pools[i]);
    }
    free(s->pools);
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
    struct sched_vector limit, none = {0};
    struct sched_cells cells = {0};
    struct sched_entry *e;

    int r = node_check(n, &limit, &cells, reterr);
    if (r < 0)
        return r;
    if (sched_find(s, n->id, &e, NULL) < 0) {
        if (s->n >= SCHED_NODES_MAX)
            return err_set(reterr, -E2BIG, "too_many_nodes",
                           "a cluster has at most %d nodes", SCHED_NODES_MAX);
        e = xnew(struct sched_entry);
        memcpy(e->id, n->id, ID_SIZE);
        HASH_ADD_STR(s->by_id, id, e);
        s->n++;
    }
    struct sched_pool *p = sched_pool_get(s, n->zone, n->dedicated_project);
    if (e->pool && e->pool->zone != n->zone)
        sched_group_rezone(s, e, e->pool->zone, n->zone);
    sched_pool_move(s, e, p);

    struct sched_slot *slot = sched_slot_of(e);
    p->open -= slot->closed == 0;
    slot->closed = (uint8_t)((n->up ? 0u : NODE_DOWN) |
                             (n->quarantined ? NODE_QUARANTINED : 0u) |
                             (n->draining ? NODE_DRAINING : 0u) |
                             (n->schedulable ? 0u : NODE_CLOSED));
    p->open += slot->closed == 0;
    slot->traits = n->traits;
    slot->aggregates = n->aggregates;
    cells_set(e, &cells);
    total_add(s, &none, &e->limit);
    e->limit = limit;
    total_add(s, &e->limit, &none);
    sched_derive(s, e);
    return 0;
}

int
sched_node_remove(struct sched *s, const char *id, struct err *reterr)
{
    struct sched_vector none = {0};
    struct sched_entry *e;

    int r = sched_find(s, id, &e, reterr);
    if (r < 0)
        return r;
    for (int d = 0; d < SCHED_DIMS; d++) {
        if (e->claimed.v[d] != 0)
            return err_set(reterr, -EBUSY, "node_in_use",
                           "node %s still has claims: %s %" PRId64, id,
                           dim_names[d], e->claimed.v[d]);
    }
    if (e->instances || e->holds)
        return err_set(reterr, -EBUSY, "node_in_use", "node %s still has %s",
                       id, e->instances ? "instances" : "reservations");
    total_add(s, &none, &e->limit);
    sched_pool_move(s, e, NULL);
    HASH_DEL(s->by_id, e);
    free(e->cells);
    free(e);
    s->n--;
    return 0;
}

size_t
sched_node_count(const struct sched *s)
{
    return s->n;
}

int
sched_now(struct sched *s, int64_t now, struct err *reterr)
{
    if (now < s->now) /* and so never negative */
        return err_field(reterr, "/now", "range",
                         "is %" PRId64 ", before the %" PRId64 " of before",
                         now, s->now);
    s->now = now;
    for (size_t i = 0; i < s->n_pools; i++) {
        struct sched_pool *p = s->pools[i];

        for (size_t k = 0; k < p->n; k++) {
            int life = sched_life(p->slot[k].e->end - now);

            if (p->slot[k].life == life)
                continue;
            p->slot[k].life = (uint8_t)life;
            sched_touch(p->slot[k].e);
        }
    }
    return 0;
}

int
sched_node_usage(const struct sched *s, const char *node_id,
                 struct sched_resources *ret_claimed,
                 struct sched_resources *ret_limit)
{
    struct sched_entry *e;

    int r = sched_find(s, node_id, &e, NULL);
    if (r < 0)
        return r;
    if (ret_claimed)
        sched_vector_out(&e->claimed, ret_claimed);
    if (ret_limit)
        sched_vector_out(&e->limit, ret_limit);
    return 0;
}

const char *
sched_dim_name(int d)
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

int
sched_find(const struct sched *s, const char *id, struct sched_entry **ret,
           struct err *reterr)
{
    struct sched_entry *e = NULL;

    if (id)
        HASH_FIND_STR(s->by_id, id, e);
    if (!e)
        return err_set(reterr, -ENOENT, "node_unknown",
                       "no node has the id \"%.*s\"", ID_LEN, id ? id : "");
    *ret = e;
    return 0;
}

struct sched_uuid
sched_uuid(const char *id)
{
    uint64_t half[2] = {0, 0};
    int digits = 0;

    for (const char *c = id; *c; c++) {
        if (*c == '-')
            continue;
        unsigned digit = (unsigned)(*c <= '9' ? *c - '0' : *c - 'a' + 10);
        half[digits / 16] = half[digits / 16] << 4 | (digit & 15);
        digits++;
    }
    return (struct sched_uuid){half[0], half[1]};
}

void
sched_uuid_text(struct sched_uuid u, char out[ID_SIZE])
{
    snprintf(out, ID_SIZE, "%08x-%04x-%04x-%04x-%012" PRIx64,
             (unsigned)(u.hi >> 32), (unsigned)(u.hi >> 16 & 0xffff),
             (unsigned)(u.hi & 0xffff), (unsigned)(u.lo >> 48),
             u.lo & UINT64_C(0xffffffffffff));
}

void
sched_derive(struct sched *s, struct sched_entry *e)
{
    struct sched_slot *slot = sched_slot_of(e);

    for (int d = 0; d < SCHED_SCALARS; d++) {
        int64_t limit = e->limit.v[d];
        uint8_t shift = 0;

        if (limit > UINT32_MAX)
            shift = (uint8_t)(32 - __builtin_clzll((uint64_t)limit));
        uint64_t scaled = (uint64_t)limit >> shift;
        slot->shift[d] = shift;
        slot->weight[d] =
            scaled ? ((UINT64_C(1) << 62) + scaled - 1) / scaled : 0;
    }
    slot->life = (uint8_t)sched_life(e->end - s->now);
    sched_reroom(e);
}

void
sched_reroom(struct sched_entry *e)
{
    struct sched_vector room = sched_room_for(e, NULL);

    memcpy(sched_slot_of(e)->room, room.v, sizeof(room.v));
    sched_touch(e);
}

/* 0: none left; 1: up to 15 minutes; then each four times as long. */
int
sched_life(int64_t seconds)
{
    int64_t most = 15 * 60;
    int c = 1;

    if (seconds <= 0)
        return 0;
    while (c < SCHED_LIVES - 1 && seconds > most) {
        most *= 4;
        c++;
    }
    return c;
}

int64_t
sched_share(const struct sched *s, const __int128 amount[SCHED_DIMS])
{
    int64_t most = 0;

    for (int d = 0; d < SCHED_DIMS; d++) {
        if (amount[d] == 0)
            continue;
        if (amount[d] > s->total[d])
            return INT64_MAX;
        int64_t share = (int64_t)((amount[d] << 40) / s->total[d]);
        most = MAX(most, share);
    }
    return most;
}

/* Checks every member, and gives the limits. */
static int
node_check(const struct sched_node *n, struct sched_vector *ret,
           struct sched_cells *ret_cells, struct err *reterr)
{
    static const char *const ratio_names[] = {
        "/vcpu_ratio_permille", "/memory_ratio_permille",
        "/disk_ratio_permille", "/iops_ratio_permille", "/net_ratio_permille"};
    int64_t ratio[SCHED_DIMS] = {
        n->vcpu_ratio_permille,
        n->memory_ratio_permille,
        n->disk_ratio_permille,
        n->iops_ratio_permille ? n->iops_ratio_permille : 1000,
        n->net_ratio_permille ? n->net_ratio_permille : 1000,
    };

    int r = sched_resources_check(&n->capacity, "/capacity", reterr);
    int more = sched_resources_check(&n->reserved, "/reserved", reterr);
    r = r < 0 ? r : more;
    if (!n->id || !id_valid(n->id))
        r = err_field(reterr, "/id", "format", "must be a UUID");
    if (n->dedicated_project && !id_valid(n->dedicated_project))
        r = err_field(reterr, "/dedicated_project", "format", "must be a UUID");
    if (n->zone >= SCHED_ZONES)
        r = err_field(reterr, "/zone", "range", "is %u, must be below %d",
                      n->zone, SCHED_ZONES);
    for (int d = 0; d < SCHED_DIMS; d++) {
        if (d >= (int)ARRAY_SIZE(ratio_names))
            ratio[d] = 1000;
        else if (ratio[d] < 1 || ratio[d] > SCHED_RATIO_MAX)
            r = err_field(reterr, ratio_names[d], "range",
                          "is %" PRId64 ", must be 1..%d", ratio[d],
                          SCHED_RATIO_MAX);
    }
    if (r < 0)
        return r;
    r = limits_check(n, ratio, ret, reterr);
    more = cells_check(n, ret_cells, reterr);
    return r < 0 ? r : more;
}

static int
limits_check(const struct sched_node *n, const int64_t ratio[SCHED_DIMS],
             struct sched_vector *ret, struct err *reterr)
{
    struct sched_vector capacity = sched_vector(&n->capacity),
                        reserved = sched_vector(&n->reserved);
    char pointer[64];
    int r = 0;

    for (int d = 0; d < SCHED_DIMS; d++) {
        int64_t left = MAX(INT64_C(0), capacity.v[d] - reserved.v[d]);
        __int128 limit = (__int128)left * ratio[d] / 1000;

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
cells_check(const struct sched_node *n, struct sched_cells *ret,
            struct err *reterr)
{
    if (n->n_cells > SCHED_CELLS_MAX)
        return err_field(reterr, "/cells", "range", "are %zu, at most %d",
                         n->n_cells, SCHED_CELLS_MAX);
    ret->n = n->n_cells;
    for (size_t i = 0; i < n->n_cells; i++) {
        __int128 vcpus = n->cells[i].vcpus, memory = n->cells[i].memory_bytes;

        if (vcpus < 0 || memory < 0)
            return err_field(reterr, "/cells", "range", "must not be negative");
        vcpus = vcpus * n->vcpu_ratio_permille / 1000;
        memory = memory * n->memory_ratio_permille / 1000;
        if (vcpus > INT64_MAX || memory > INT64_MAX)
            return err_field(reterr, "/cells", "range",
                             "too much to count at these ratios");
        ret->limit[i][DIM_VCPUS] = (int64_t)vcpus;
        ret->limit[i][DIM_MEMORY] = (int64_t)memory;
    }
    return 0;
}

/* What is claimed stays, whatever becomes of its cell. */
static void
cells_set(struct sched_entry *e, const struct sched_cells *cells)
{
    if (!e->cells && cells->n == 0)
        return;
    if (!e->cells)
        e->cells = xnew(struct sched_cells);
    e->cells->n = cells->n;
    memcpy(e->cells->limit, cells->limit, sizeof(cells->limit));
}

static void
total_add(struct sched *s, const struct sched_vector *more,
          const struct sched_vector *less)
{
    for (int d = 0; d < SCHED_DIMS; d++)
        s->total[d] += (__int128)more->v[d] - less->v[d];
}
