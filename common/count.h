/* common/count.h - counters for rare branches.
 * Role:    COUNT(name) at the branch; every counter of the program is listed
 *          by count_each() for /metrics. A name is one identifier.
 * Threads: any. A counter registers itself the first time it is hit.
 * Source:  Open vSwitch's coverage counters, the idea. */
#ifndef COMMON_COUNT_H
#define COMMON_COUNT_H

#include <stdatomic.h>
#include <stdint.h>

struct counter {
    const char *name;
    _Atomic uint64_t value;
    _Atomic int listed;
    struct counter *next;
};

void count_register(struct counter *c);
/* Calls fn for each counter that was ever hit. */
void count_each(void (*fn)(const char *name, uint64_t value, void *arg),
                void *arg);
/* Sum of the counters of that name; 0 for one that was never hit. */
uint64_t count_get(const char *name);

#define COUNT_N(id, n)                                                         \
    do {                                                                       \
        static struct counter counter_ = {.name = #id};                        \
        atomic_fetch_add_explicit(&counter_.value, (uint64_t)(n),              \
                                  memory_order_relaxed);                       \
        if (!atomic_load_explicit(&counter_.listed, memory_order_relaxed))     \
            count_register(&counter_);                                         \
    } while (0)
#define COUNT(id) COUNT_N(id, 1)

#endif
