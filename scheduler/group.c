/* group.c - which nodes and zones hold how many of a group; see
 * sched-private.h. A decision for a request with rules about groups touches
 * the group's nodes alone, found by these tables. */
#include <config.h>

#include "scheduler/sched.h"

#include "common/mem.h"
#include "scheduler/sched-private.h"

static struct sched_member *member_find(const struct sched *s,
                                        struct sched_group *g,
                                        struct sched_entry *e);
static void zone_count(struct sched_group *g, unsigned zone, bool more);

struct sched_group *
sched_group_find(const struct sched *s, const char *key)
{
    struct sched_group *g = NULL;

    HASH_FIND_STR(s->groups, key, g);
    return g;
}

struct sched_group *
sched_group_add(struct sched *s, const char *key, struct sched_entry *e)
{
    struct sched_group *g = sched_group_find(s, key);

    if (!g) {
        g = xnew(struct sched_group);
        g->key = xstrdup(key);
        HASH_ADD_KEYPTR(hh, s->groups, g->key, strlen(g->key), g);
    }
    struct sched_member *m = member_find(s, g, e);
    if (!m) {
        m = xnew(struct sched_member);
        m->key.g = g;
        m->key.e = e;
        HASH_ADD(hh, s->members, key, sizeof(m->key), m);
        m->next = g->members;
        m->at = &g->members;
        if (m->next)
            m->next->at = &m->next;
        g->members = m;
    }
    m->count++;
    g->total++;
    zone_count(g, e->pool->zone, true);
    return g;
}

void
sched_group_remove(struct sched *s, struct sched_group *g,
                   struct sched_entry *e)
{
    struct sched_member *m = member_find(s, g, e);

    if (--m->count == 0) {
        HASH_DEL(s->members, m);
        *m->at = m->next;
        if (m->next)
            m->next->at = m->at;
        free(m);
    }
    zone_count(g, e->pool->zone, false);
    if (--g->total > 0)
        return;
    HASH_DEL(s->groups, g);
    free(g->zones);
    free(g->key);
    free(g);
}

void
sched_group_rezone(struct sched *s, struct sched_entry *e, unsigned from,
                   unsigned to)
{
    for (struct sched_claimed *c = e->instances; c; c = c->next) {
        for (size_t i = 0; i < c->n_groups; i++) {
            zone_count(c->groups[i], from, false);
            zone_count(c->groups[i], to, true);
        }
    }
}

size_t
sched_group_on(const struct sched *s, struct sched_group *g,
               struct sched_entry *e)
{
    const struct sched_member *m = g ? member_find(s, g, e) : NULL;

    return m ? m->count : 0;
}

size_t
sched_group_in(const struct sched_group *g, unsigned zone)
{
    for (size_t i = 0; g && i < g->n_zones; i++) {
        if (g->zones[i].zone == zone)
            return g->zones[i].count;
    }
    return 0;
}

static struct sched_member *
member_find(const struct sched *s, struct sched_group *g, struct sched_entry *e)
{
    typeof(((struct sched_member *)NULL)->key) key = {g, e};
    struct sched_member *m;

    HASH_FIND(hh, s->members, &key, sizeof(key), m);
    return m;
}

static void
zone_count(struct sched_group *g, unsigned zone, bool more)
{
    size_t i = 0;

    while (i < g->n_zones && g->zones[i].zone != zone)
        i++;
    if (i == g->n_zones) {
        g->zones = xrealloc(g->zones, (i + 1) * sizeof(*g->zones));
        g->zones[i].zone = zone;
        g->zones[i].count = 0;
        g->n_zones++;
    }
    g->zones[i].count += more ? 1 : (size_t)-1;
    if (g->zones[i].count == 0)
        g->zones[i] = g->zones[--g->n_zones];
}
