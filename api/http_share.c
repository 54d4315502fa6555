/* http_share.c - counts of connections; see http_share.h. */
#include <config.h>

#include "api/http_share.h"

#include <pthread.h>

#include "common/id.h"
#include "common/mem.h"

#define BUCKETS 4096

struct entry {
    struct entry *next;
    uint64_t who;
    unsigned n;
};

struct http_share {
    pthread_mutex_t lock;
    unsigned n, max, max_per_address; /* lock: n */
    uint64_t seed;                    /* so that nobody can choose a bucket */
    struct entry *buckets[BUCKETS];   /* lock */
};

struct http_share *
http_share_new(unsigned max, unsigned max_per_address)
{
    struct http_share *s = xnew(struct http_share);

    pthread_mutex_init(&s->lock, NULL);
    s->max = max;
    s->max_per_address = max_per_address;
    id_random(&s->seed, sizeof(s->seed));
    return s;
}

void
http_share_free(struct http_share *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        while (s->buckets[i]) {
            struct entry *e = s->buckets[i];

            s->buckets[i] = e->next;
            free(e);
        }
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* Where the pointer to its entry is, or would be. The finalizer of SplitMix64
 * (Steele, Lea, Flood, 2014). */
static struct entry **
place_of(struct http_share *s, uint64_t who)
{
    uint64_t z = who ^ s->seed;

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    struct entry **p = &s->buckets[(z ^ (z >> 31)) % BUCKETS];
    while (*p && (*p)->who != who)
        p = &(*p)->next;
    return p;
}

bool
http_share_take(struct http_share *s, uint64_t who)
{
    bool ok;

    pthread_mutex_lock(&s->lock);
    struct entry **p = who ? place_of(s, who) : NULL;
    ok = s->n < s->max && (!p || !*p || (*p)->n < s->max_per_address);
    if (ok && p && !*p) {
        *p = xnew(struct entry);
        (*p)->who = who;
    }
    if (ok && p)
        (*p)->n++;
    s->n += ok;
    pthread_mutex_unlock(&s->lock);
    return ok;
}

void
http_share_give(struct http_share *s, uint64_t who)
{
    pthread_mutex_lock(&s->lock);
    struct entry **p = who ? place_of(s, who) : NULL;
    s->n--;
    if (p && --(*p)->n == 0) {
        struct entry *e = *p;

        *p = e->next;
        free(e);
    }
    pthread_mutex_unlock(&s->lock);
}
