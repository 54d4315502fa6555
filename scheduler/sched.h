/* scheduler/sched.h - the cluster: nodes, what is claimed on them, and which
 * node an instance gets (place.h decides, plan.h plans, view.h looks).
 * Role:      pure: a snapshot kept in memory by the caller, who rebuilds it
 *            from rows at start and changes it only with its transaction. No
 *            I/O, clock, SQL or globals.
 * Ownership: every input is borrowed for the call.
 * Threads:   one owner; functions that take a const sched may run side by
 *            side as long as nobody changes it.
 * Errors:    -EINVAL bad input (the pointer names the member), -ENOENT no
 *            such node, instance or reservation, -EEXIST the id is taken,
 *            -ENOSPC no room, -EBUSY node still claimed. After an error
 *            nothing has changed.
 * Invariants: 1. A claim that is not forced never takes a node's total over
 *                its limit, which is (capacity - reserved) x ratio, rounded
 *                down, nor into what is held for another project.
 *             2. Equal content gives equal decisions: the order in which
 *                nodes and claims came does not matter.
 *             3. No input overflows: what cannot be counted is refused.
 * A member that is zero asks for nothing: {0} but for id, capacity, ratios,
 * up and schedulable is an ordinary node.
 *
 * Names. Traits, aggregates, zones and classes of devices are numbers here
 * (bits of a mask, or an index); the caller, who has their rows, gives each
 * name its number. Projects, and the keys of groups, are text. */
#ifndef SCHEDULER_SCHED_H
#define SCHEDULER_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/id.h"

#define SCHED_NODES_MAX 1000000
#define SCHED_RATIO_MAX 1000000 /* 1000 times overcommitted */
#define SCHED_DEVICE_CLASSES 8
#define SCHED_ZONES 64
#define SCHED_CELLS_MAX 8 /* NUMA cells of a node */
#define SCHED_KEYS_MAX 16 /* groups of an instance */
#define SCHED_KEY_MAX 256 /* bytes of a key, with its NUL */

struct sched; /* the cluster */

struct sched_resources {
    int64_t vcpus;
    int64_t memory_bytes;
    int64_t disk_bytes;
    int64_t disk_iops;
    int64_t net_bits_per_s;
    int64_t addresses;
    int64_t hugepage_bytes;
    int64_t devices[SCHED_DEVICE_CLASSES]; /* how many of each class */
};

struct sched_cell {
    int64_t vcpus;
    int64_t memory_bytes;
};

struct sched_node {
    const char *id;                  /* a UUID */
    struct sched_resources capacity; /* physical */
    struct sched_resources reserved; /* the host's own share of it */
    /* Overcommit, 1..SCHED_RATIO_MAX: 4000 offers 4 vCPUs per CPU. Addresses,
     * hugepages and devices cannot be lent twice. */
    int64_t vcpu_ratio_permille;
    int64_t memory_ratio_permille;
    int64_t disk_ratio_permille;
    int64_t iops_ratio_permille; /* 0: 1000 */
    int64_t net_ratio_permille;  /* 0: 1000 */
    /* Facts that close it to new instances, each by itself. */
    bool up; /* false: down */
    bool quarantined;
    bool draining;
    bool schedulable; /* false: closed by hand */
    uint64_t traits;
    uint64_t aggregates;
    unsigned zone;                 /* below SCHED_ZONES */
    const char *dedicated_project; /* a UUID; NULL: open to all */
    /* Cells have the node's ratios and no reserved share of their own: give
     * what guests may have of each. What is claimed without a cell counts for
     * the node alone. */
    struct sched_cell cells[SCHED_CELLS_MAX];
    size_t n_cells;
};

/* An instance, or whatever else claims room under an id of its own: one that
 * moves claims on its target under a second id. */
struct sched_instance {
    const char *id;         /* a UUID */
    const char *project_id; /* a UUID; NULL: of none */
    struct sched_resources need;
    /* The groups it is in: "group:UUID", "PROJECT/label=value" … Rules of
     * requests (place.h) name the same keys. */
    const char *const *keys;
    size_t n_keys;
    /* It must have its vCPUs and memory in one cell of the node: the emptiest
     * that has room (by memory, then vCPUs, then number). */
    bool one_cell;
    bool preemptible;     /* may be evicted for others (plan.h) */
    int64_t started_us;   /* the latest is evicted first; any unit, any epoch */
    int64_t expected_end; /* seconds, as sched_now(); 0: nobody knows */
};

struct sched *sched_new(void) _must_check_;
/* To try things out on: the same content, and its own from then on. Costs as
 * much as building it; to try a batch, sched_batch() (plan.h) costs less. */
struct sched *sched_copy(const struct sched *s) _must_check_;
void sched_free(struct sched *s);
void sched_freep(struct sched **s);

/* Inserts or updates; claims stay, even those that no longer fit. */
int sched_node_set(struct sched *s, const struct sched_node *n,
                   struct err *reterr) _must_check_;
/* -EBUSY while anything of it is claimed or held. */
int sched_node_remove(struct sched *s, const char *id,
                      struct err *reterr) _must_check_;
size_t sched_node_count(const struct sched *s);

/* Claims of nobody: totals only. Takes r from the node's room, all of it or
 * nothing. Looks at room only: a node that is down or closed may be claimed
 * by who knows better. */
int sched_claim(struct sched *s, const char *node_id,
                const struct sched_resources *r,
                struct err *reterr) _must_check_;
/* For what exists already, such as rows read at start: never refused for want
 * of room. -EOVERFLOW only when the total cannot be counted. */
int sched_claim_force(struct sched *s, const char *node_id,
                      const struct sched_resources *r,
                      struct err *reterr) _must_check_;
/* -EINVAL when more would be released than is claimed so. */
int sched_release(struct sched *s, const char *node_id,
                  const struct sched_resources *r,
                  struct err *reterr) _must_check_;

/* Claims with an identity: what groups, reservations, eviction, lifetimes and
 * cells go by. force as in sched_claim_force(); an instance that finds no cell
 * then has none. */
int sched_instance_add(struct sched *s, const char *node_id,
                       const struct sched_instance *in, bool force,
                       struct err *reterr) _must_check_;
int sched_instance_remove(struct sched *s, const char *id,
                          struct err *reterr) _must_check_;
/* All of the new need or nothing; it stays in its cell. */
int sched_instance_resize(struct sched *s, const char *id,
                          const struct sched_resources *need, bool force,
                          struct err *reterr) _must_check_;
/* Where it is; either may be NULL. The cell is -1 when it has none. */
int sched_instance_find(const struct sched *s, const char *id,
                        char ret_node_id[ID_SIZE], int *ret_cell) _must_check_;
size_t sched_instance_count(const struct sched *s);

/* Holds room on a node for a project: only its instances get it, and whatever
 * they have on the node counts as taken from it first. Neither expires by
 * itself. Forced: what others have stays, and nothing more comes. */
int sched_reserve(struct sched *s, const char *id, const char *node_id,
                  const char *project_id, const struct sched_resources *r,
                  bool force, struct err *reterr) _must_check_;
int sched_unreserve(struct sched *s, const char *id,
                    struct err *reterr) _must_check_;

/* What time it is, in seconds: lifetimes are judged by it. Nodes whose
 * remaining life falls into another class are played again, so once a minute
 * is right. Going back is -EINVAL. */
int sched_now(struct sched *s, int64_t now, struct err *reterr) _must_check_;

/* What is claimed and the most that may be; either may be NULL. */
int sched_node_usage(const struct sched *s, const char *node_id,
                     struct sched_resources *ret_claimed,
                     struct sched_resources *ret_limit) _must_check_;

#include "scheduler/place.h" /* IWYU pragma: export */

#endif
