/* project.c - projects, and the pools of nodes; see sched-private.h. */
#include <config.h>

#include "scheduler/sched.h"

#include "common/mem.h"
#include "scheduler/sched-private.h"

#define JOURNAL_MIN 1024

static struct sched_pool *pool_new(struct sched *s, unsigned zone,
                                   struct sched_project *project);
static void pool_leave(struct sched *s, struct sched_entry *e);
static void pool_enter(struct sched_entry *e, struct sched_pool *p);
static void pool_grow(struct sched_pool *p);

struct sched_project *
sched_project_find(const struct sched *s, const char *id)
{
    struct sched_project *p = NULL;

    if (id)
        HASH_FIND_STR(s->projects, id, p);
    return p;
}

struct sched_project *
sched_project_ref(struct sched *s, const char *id)
{
    struct sched_project *p = sched_project_find(s, id);

    if (!p) {
        p = xnew(struct sched_project);
        memcpy(p->id, id, ID_SIZE);
        HASH_ADD_STR(s->projects, id, p);
    }
    p->refs++;
    return p;
}

void
sched_project_unref(struct sched *s, struct sched_project *p)
{
    if (--p->refs > 0)
        return;
    HASH_DEL(s->projects, p);
    free(p->pools);
    free(p);
}

struct sched_pool *
sched_pool_get(struct sched *s, unsigned zone, const char *project_id)
{
    struct sched_project *project;

    if (!project_id) {
        if (!s->shared[zone])
            s->shared[zone] = pool_new(s, zone, NULL);
        return s->shared[zone];
    }
    project = sched_project_find(s, project_id);
    for (size_t i = 0; project && i < project->n_pools; i++) {
        if (project->pools[i]->zone == zone)
            return project->pools[i];
    }
    project = sched_project_ref(s, project_id);
    project->pools = xrealloc(project->pools, (project->n_pools + 1) *
                                                  sizeof(struct sched_pool *));
    project->pools[project->n_pools++] = pool_new(s, zone, project);
    return project->pools[project->n_pools - 1];
}

void
sched_pool_move(struct sched *s, struct sched_entry *e, struct sched_pool *p)
{
    if (e->pool == p)
        return;
    if (e->pool)
        pool_leave(s, e);
    if (p)
        pool_enter(e, p);
}

static struct sched_pool *
pool_new(struct sched *s, unsigned zone, struct sched_project *project)
{
    struct sched_pool *p = s->spare;

    if (p) {
        s->spare = p->next_spare;
        p->next_spare = NULL;
        /* What tournaments know of it stays true: they go by its slots. */
    } else {
        p = xnew(struct sched_pool);
        p->index = s->n_pools;
        s->pools =
            xrealloc(s->pools, (s->n_pools + 1) * sizeof(struct sched_pool *));
        s->pools[s->n_pools++] = p;
        pool_grow(p);
    }
    p->zone = zone;
    p->project = project;
    return p;
}

/* The last one fills the gap; an empty pool of a project ends. */
static void
pool_leave(struct sched *s, struct sched_entry *e)
{
    struct sched_pool *p = e->pool;
    struct sched_entry *last = p->slot[p->n - 1].e;

    p->open -= sched_slot_of(e)->closed == 0;
    sched_touch(e);
    sched_touch(last);
    p->slot[e->pos] = p->slot[p->n - 1];
    last->pos = e->pos;
    p->n--;
    e->pool = NULL;
    struct sched_project *project = p->project;
    if (p->n > 0 || !project)
        return;
    for (size_t i = 0; i < project->n_pools; i++) {
        if (project->pools[i] == p) {
            project->pools[i] = project->pools[--project->n_pools];
            break;
        }
    }
    p->project = NULL;
    p->next_spare = s->spare;
    s->spare = p;
    sched_project_unref(s, project);
}

/* As a closed node: sched_node_set() tells the rest. */
static void
pool_enter(struct sched_entry *e, struct sched_pool *p)
{
    if (p->n == p->cap)
        pool_grow(p);
    e->pool = p;
    e->pos = p->n++;
    *sched_slot_of(e) = (struct sched_slot){
        .closed = NODE_DOWN, .id = sched_uuid(e->id), .e = e};
    sched_touch(e);
}

static void
pool_grow(struct sched_pool *p)
{
    size_t cap = p->cap ? p->cap * 2 : 16;
    struct sched_slot *slot =
        aligned_alloc(_Alignof(struct sched_slot), cap * sizeof(*slot));

    if (!slot)
        abort(); /* as xmalloc(): it grows with our own nodes */
    if (p->n)
        memcpy(slot, p->slot, p->n * sizeof(*slot));
    free(p->slot);
    p->slot = slot;
    p->cap = cap;
    size_t size = MAX((size_t)JOURNAL_MIN, p->cap / 4);
    if (size != p->journal_size) {
        p->journal = xrealloc(p->journal, size * sizeof(*p->journal));
        memset(p->journal, 0, size * sizeof(*p->journal));
        p->journal_size = size;
        p->changes += size + 1; /* of the old entries none has its place */
    }
}
