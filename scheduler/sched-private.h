/* scheduler/sched-private.h - the cluster's inside, for scheduler/ and tests.
 * Role:       what decisions read of a node lies together in one record
 *             (sched_slot), the records of a pool one behind the other; what
 *             only changes need lies elsewhere (sched_entry). A pool is the
 *             nodes of one zone that are open to all, or that are dedicated to
 *             one project: zone and dedication are never looked at per node.
 * Invariants: 1. slots 0..n-1 of a pool are in use; slot i's identity is
 *                slot[i].e, which leads back by e->pool and e->pos.
 *             2. limit, claimed >= 0; room = max(0, limit - claimed - held).
 *             3. weight and shift derive from limit alone.
 *             4. claimed = loose + the needs of e's instances.
 *             5. held = sum over e's holds of max(0, reserved - used), used
 *                being the needs of the project's instances on e.
 *             6. a group's members count its instances by node, its zones by
 *                zone; both only above 0. */
#ifndef SCHEDULER_SCHED_PRIVATE_H
#define SCHEDULER_SCHED_PRIVATE_H

#include <stdlib.h>
#include <string.h>

/* The tables grow with our own nodes: out of memory aborts, as in mem.h. */
#define uthash_fatal(msg) abort()
#include <uthash.h>

#include "scheduler/sched.h"

enum sched_dim {
    DIM_VCPUS,
    DIM_MEMORY,
    DIM_DISK,
    DIM_IOPS,
    DIM_NET,
    DIM_ADDRESSES,
    DIM_HUGEPAGES,
    SCHED_SCALARS, /* these have a score */
    DIM_DEVICES = SCHED_SCALARS,
    SCHED_DIMS = DIM_DEVICES + SCHED_DEVICE_CLASSES,
};

/* struct sched_resources as an array. */
struct sched_vector {
    int64_t v[SCHED_DIMS];
};
_Static_assert(sizeof(struct sched_vector) == sizeof(struct sched_resources),
               "a resource without a dimension");

static inline struct sched_vector
sched_vector(const struct sched_resources *r)
{
    struct sched_vector v;

    memcpy(&v, r, sizeof(v));
    return v;
}

static inline void
sched_vector_out(const struct sched_vector *v, struct sched_resources *ret)
{
    memcpy(ret, v, sizeof(*v));
}

/* A UUID's bits; compares as its text does. */
struct sched_uuid {
    uint64_t hi, lo;
};

static inline int
sched_uuid_cmp(struct sched_uuid a, struct sched_uuid b)
{
    if (a.hi != b.hi)
        return a.hi < b.hi ? -1 : 1;
    return a.lo < b.lo ? -1 : a.lo > b.lo;
}

#define NODE_DOWN 1u
#define NODE_QUARANTINED 2u
#define NODE_DRAINING 4u
#define NODE_CLOSED 8u

#define SCHED_LIVES 8 /* classes of remaining life; 0: none */

/* The first two cache lines hold what scores of ordinary requests read. */
struct sched_slot {
    _Alignas(64) uint8_t closed; /* NODE_…; 0: open */
    uint8_t life;                /* class of the latest expected end */
    uint8_t shift[SCHED_SCALARS];
    uint64_t traits, aggregates;
    /* A fraction free without a division: ((left >> shift) x weight) >> 42 is
     * left / limit in steps of 1/SCHED_ONE. limit >> shift is below 2^32 and
     * weight is 2^62 / (limit >> shift), rounded up; 0 when limit is 0. */
    uint64_t weight[SCHED_SCALARS];
    int64_t room[SCHED_DIMS];
    struct sched_uuid id;
    struct sched_entry *e;
};
_Static_assert(offsetof(struct sched_slot, room) +
                       (DIM_NET + 1) * sizeof(int64_t) <=
                   128,
               "a score reads more than two cache lines");

struct sched_pool {
    size_t index;
    unsigned zone;
    struct sched_project *project; /* dedicated to; NULL: open to all */
    struct sched_slot *slot;
    size_t n, cap;
    size_t open; /* slots with closed == 0 */
    /* Positions that changed, the latest journal_size of `changes`. */
    uint32_t *journal;
    size_t journal_size; /* a power of two */
    uint64_t changes;
    struct sched_pool *next_spare;
};

struct sched_cells {
    size_t n;
    int64_t limit[SCHED_CELLS_MAX][2]; /* by dimension: vCPUs, memory */
    int64_t claimed[SCHED_CELLS_MAX][2];
};

struct sched_entry {
    char id[ID_SIZE];
    UT_hash_handle hh;
    struct sched_pool *pool;
    size_t pos;
    struct sched_vector limit, claimed, loose;
    struct sched_cells *cells; /* NULL: none were ever told */
    struct sched_claimed *instances;
    struct sched_hold *holds;
    size_t preemptible; /* how many of the instances */
    int64_t end;        /* latest expected of the instances; 0: none */
};

/* A size that many instances share. */
struct sched_shape {
    struct sched_vector need;
    size_t refs;
    UT_hash_handle hh;
};

struct sched_claimed { /* an instance */
    struct sched_uuid id;
    struct sched_entry *e;
    struct sched_claimed *next, **at; /* on e */
    struct sched_project *project;    /* NULL: none */
    struct sched_shape *shape;
    struct sched_group **groups;
    uint8_t n_groups;
    int16_t cell; /* -1: none */
    bool one_cell, preemptible;
    int64_t started_us, end;
    UT_hash_handle hh;
};

struct sched_project {
    char id[ID_SIZE];
    size_t refs; /* pools, instances, holds */
    struct sched_pool **pools;
    size_t n_pools;
    struct sched_hold *holds;
    __int128 preemptible[SCHED_DIMS]; /* what its instances claim so */
    UT_hash_handle hh;
};

/* What is reserved for a project on a node, and what it has there. */
struct sched_hold {
    struct sched_project *project;
    struct sched_entry *e;
    struct sched_vector reserved, used;
    size_t refs;                       /* reservations */
    struct sched_hold *next, **at;     /* on e */
    struct sched_hold *p_next, **p_at; /* of project */
};

struct sched_reservation {
    struct sched_uuid id;
    struct sched_hold *hold;
    struct sched_vector r;
    UT_hash_handle hh;
};

struct sched_member {
    struct {
        struct sched_group *g;
        struct sched_entry *e;
    } key;
    size_t count;
    struct sched_member *next, **at; /* of g */
    UT_hash_handle hh;
};

struct sched_group {
    char *key;
    size_t total;
    struct sched_member *members;
    struct {
        unsigned zone;
        size_t count;
    } * zones;
    size_t n_zones;
    UT_hash_handle hh;
};

struct sched {
    size_t n;
    struct sched_pool **pools;
    size_t n_pools;
    struct sched_pool *shared[SCHED_ZONES];
    struct sched_pool *spare; /* were dedicated, and are empty */
    struct sched_entry *by_id;
    struct sched_claimed *instances;
    struct sched_shape *shapes;
    struct sched_project *projects;
    struct sched_reservation *reservations;
    struct sched_group *groups;
    struct sched_member *members;
    __int128 total[SCHED_DIMS]; /* limits of all nodes */
    int64_t now;
    uint64_t trials; /* names of instances that are only tried */
    struct sched_best *best;
};

/* Of what is forced there may be more than there is room. */
static inline void
sched_cell_room(const struct sched_cells *cells, size_t i, int64_t ret[2])
{
    for (int d = 0; d < 2; d++)
        ret[d] = MAX(INT64_C(0), cells->limit[i][d] - cells->claimed[i][d]);
}

static inline bool
sched_cell_fits(const int64_t room[2], const struct sched_vector *need)
{
    return need->v[DIM_VCPUS] <= room[DIM_VCPUS] &&
           need->v[DIM_MEMORY] <= room[DIM_MEMORY];
}

static inline struct sched_slot *
sched_slot_of(const struct sched_entry *e)
{
    return &e->pool->slot[e->pos];
}

/* The node has changed: tournaments look at it again. */
static inline void
sched_touch(struct sched_entry *e)
{
    struct sched_pool *p = e->pool;

    p->journal[p->changes++ & (p->journal_size - 1)] = (uint32_t)e->pos;
}

/* The member's name, "memory_bytes"; devices: "devices/3". */
const char *sched_dim_name(int d);
/* Refuses negative amounts: one field error each, at prefix + "/" + member. */
int sched_resources_check(const struct sched_resources *r, const char *prefix,
                          struct err *reterr) _must_check_;
int sched_find(const struct sched *s, const char *id, struct sched_entry **ret,
               struct err *reterr) _must_check_;
/* id is valid. */
struct sched_uuid sched_uuid(const char *id);
void sched_uuid_text(struct sched_uuid u, char out[ID_SIZE]);
/* Room, weights and life class from what they derive from. Touches. */
void sched_derive(struct sched *s, struct sched_entry *e);
/* The same where only claims or holds have changed. */
void sched_reroom(struct sched_entry *e);
int sched_life(int64_t seconds);

/* project.c: NULL when there is none of that id. */
struct sched_project *sched_project_find(const struct sched *s, const char *id);
struct sched_project *sched_project_ref(struct sched *s, const char *id);
void sched_project_unref(struct sched *s, struct sched_project *p);
struct sched_pool *sched_pool_get(struct sched *s, unsigned zone,
                                  const char *project_id);
/* e goes into p, from where it is (NULL: nowhere); p NULL: nowhere. */
void sched_pool_move(struct sched *s, struct sched_entry *e,
                     struct sched_pool *p);

/* group.c */
struct sched_group *sched_group_find(const struct sched *s, const char *key);
/* One more or fewer of g on e; a group of none is gone. */
struct sched_group *sched_group_add(struct sched *s, const char *key,
                                    struct sched_entry *e);
void sched_group_remove(struct sched *s, struct sched_group *g,
                        struct sched_entry *e);
/* e's zone changes: all of its instances are counted there. */
void sched_group_rezone(struct sched *s, struct sched_entry *e, unsigned from,
                        unsigned to);
size_t sched_group_on(const struct sched *s, struct sched_group *g,
                      struct sched_entry *e);
size_t sched_group_in(const struct sched_group *g, unsigned zone);

/* instance.c: in is checked; id need not be in->id. */
int sched_instance_put(struct sched *s, struct sched_uuid id,
                       struct sched_entry *e, const struct sched_instance *in,
                       bool force, struct sched_claimed **ret,
                       struct err *reterr) _must_check_;
void sched_instance_drop(struct sched *s, struct sched_claimed *c);
/* Into another cell of its node, whether there is room or not; -1: none. */
void sched_cell_move(struct sched_claimed *c, int cell);
int sched_instance_check(const struct sched_instance *in,
                         struct err *reterr) _must_check_;

/* claim.c: whether e has room (unless forced) and can count it. */
int sched_claim_fits(const struct sched_entry *e, const struct sched_project *p,
                     const struct sched_vector *want, bool force,
                     struct err *reterr) _must_check_;

/* reserve.c */
struct sched_hold *sched_hold_of(const struct sched_entry *e,
                                 const struct sched_project *p);
/* What h still holds. */
struct sched_vector sched_hold_left(const struct sched_hold *h);
/* What an instance of p (NULL: nobody's) may have of e: room, and what its own
 * hold adds to it. */
struct sched_vector sched_room_for(const struct sched_entry *e,
                                   const struct sched_project *p);

/* sched.c: the largest share of what the cluster has of any one resource, in
 * steps of 2^-40; more than there is of it: INT64_MAX. */
int64_t sched_share(const struct sched *s, const __int128 amount[SCHED_DIMS]);

/* check.c: whether the invariants above hold, all recounted; slow, for tests
 * and debugging. */
bool sched_consistent(const struct sched *s);

#endif
