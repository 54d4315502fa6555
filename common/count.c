/* count.c - the list of counters; see count.h. The same name may be counted in
 * several places: count_each() adds them up. */
#include <config.h>

#include "common/count.h"

#include <pthread.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct counter *head;

void
count_register(struct counter *c)
{
    int expected = 0;

    if (!atomic_compare_exchange_strong(&c->listed, &expected, 1))
        return;
    pthread_mutex_lock(&lock);
    c->next = head;
    head = c;
    pthread_mutex_unlock(&lock);
}

void
count_each(void (*fn)(const char *name, uint64_t value, void *arg), void *arg)
{
    pthread_mutex_lock(&lock);
    for (struct counter *c = head; c; c = c->next) {
        uint64_t sum = 0;
        int first = 1;

        for (struct counter *o = head; o != c; o = o->next)
            if (strcmp(o->name, c->name) == 0)
                first = 0;
        if (!first)
            continue;
        for (struct counter *o = c; o; o = o->next)
            if (strcmp(o->name, c->name) == 0)
                sum += atomic_load_explicit(&o->value, memory_order_relaxed);
        fn(c->name, sum, arg);
    }
    pthread_mutex_unlock(&lock);
}

uint64_t
count_get(const char *name)
{
    uint64_t sum = 0;

    pthread_mutex_lock(&lock);
    for (struct counter *c = head; c; c = c->next)
        if (strcmp(c->name, name) == 0)
            sum += atomic_load_explicit(&c->value, memory_order_relaxed);
    pthread_mutex_unlock(&lock);
    return sum;
}
