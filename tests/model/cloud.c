/* cloud.c - a run: steps at random, the controller's lives, the end. */
#include <config.h>

#include "tests/model/life.h"

#include <stdarg.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "tests/model/vfs.h"

#define SETTLE_ROUNDS 400

void __real_nodes_tick(struct ctl *ctl);

char cloud_repeat[300];

uint64_t
cloud_random(struct cloud *c)
{
    uint64_t z = c->rng += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void
print_line(const struct cloud *c, size_t i)
{
    printf("%s\n", c->trace[i % C_TRACE]);
}

void
cloud_trace(struct ctx *x, const char *fmt, ...)
{
    struct cloud *c = x->c;
    char *line = c->trace[c->n_trace % C_TRACE];
    va_list ap;

    int n = snprintf(line, sizeof(c->trace[0]), "%4d %8.3f ", c->step,
                     (double)(c->now_us % (86400 * US_PER_S)) / 1e6);
    va_start(ap, fmt);
    vsnprintf(line + n, sizeof(c->trace[0]) - (size_t)n, fmt, ap);
    va_end(ap);
    for (char *p = line; *p; p++)
        if (*p == '\n')
            *p = ' ';
    c->n_trace++;
    if (x->verbose)
        print_line(c, c->n_trace - 1);
}

void
cloud_fail(struct ctx *x, const char *fmt, ...)
{
    const struct cloud *c = x->c;
    va_list ap;

    if (!x->verbose)
        for (size_t i = c->n_trace > C_TRACE ? c->n_trace - C_TRACE : 0;
             i < c->n_trace; i++)
            print_line(c, i);
    printf("FAILED: seed %llu, step %d: ", (unsigned long long)c->seed,
           c->step);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\nagain: %s --verbose\n", cloud_repeat);
    fflush(stdout);
    _exit(1);
}

void
cloud_begin(struct cloud *c, uint64_t seed, int steps)
{
    c->seed = seed;
    c->rng = seed * UINT64_C(0x2545f4914f6cdd1d) + 1;
    c->steps = steps;
    c->step = 0;
    c->chaos = true;
    c->nodes[0].silent = seed % 2; /* its agent is of an older version */
    rig_clock_us = &c->now_us;
    rig_seed_random(seed);
}

/* Mostly the world goes on at once; now and then nothing happens for long, and
 * silent nodes are found out. */
static void
let_time_pass(struct ctx *x)
{
    struct cloud *c = x->c;
    int64_t us = cloud_chance(c, 30) ? cloud_pick(c, 120) * US_PER_S
                                     : cloud_pick(c, 1500000);

    __atomic_add_fetch(&c->now_us, us, __ATOMIC_RELAXED);
    rig_expire(&x->rig);
    __real_nodes_tick(&x->rig.ctl);
    if (cloud_chance(c, 20) && rig_minute(&x->rig) < 0 && !x->faults)
        cloud_fail(x, "old rows cannot be expired");
}

void
cloud_step(struct ctx *x)
{
    int what = cloud_pick(x->c, 24);

    let_time_pass(x);
    if (what == 0)
        agents_guest(x);
    else if (what < 12)
        agents_step(x);
    else
        tenants_step(x);
    check_step(x);
    x->c->step++;
}

void
cloud_settle(struct ctx *x)
{
    struct cloud *c = x->c;
    int quiet = 0;

    c->chaos = false;
    cloud_trace(x, "all is to settle");
    for (int i = 0; quiet < 3; i++) {
        if (i == SETTLE_ROUNDS)
            cloud_fail(x, "it does not settle");
        __atomic_add_fetch(&c->now_us, US_PER_S, __ATOMIC_RELAXED);
        quiet = agents_settle(x) ? 0 : quiet + 1;
    }
    check_final(x);
}

/* ---- a controller's life ---- */

static void *
life_main(void *arg)
{
    struct life *l = arg;
    struct ctx *x = &l->x;
    struct err e = {0};

    l->failed = rig_open(&x->rig, x->c->dir, x->c->actors[0].text, &e) < 0;
    if (l->failed) {
        if (!x->faults || !vfs_struck())
            cloud_fail(x, "cannot start: %s", e.message);
        cloud_trace(x, "it cannot start: %s", e.message);
        return NULL;
    }
    agents_reopened(x);
    check_rows(x);
    tenants_reopened(x);
    l->run(x);
    rig_close(&x->rig);
    agents_closed(x);
    return NULL;
}

void
cloud_life(struct life *l)
{
    pthread_t t;
    int r = pthread_create(&t, NULL, life_main, l);

    if (r == 0)
        r = pthread_join(t, NULL);
    if (r != 0)
        cloud_fail(&l->x, "no thread");
}
