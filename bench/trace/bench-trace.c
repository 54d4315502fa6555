/* bench-trace.c - how densely the policies pack a cloud's history.
 * Usage:  bench-trace [-n NODES] [-d DAYS] [-g GIB] [-k SEEDS] [-S FIRST_SEED]
 *                     [-e SIGMA] [-p POLICY] [-a AZURE_FILE [-m MACHINE]]
 *         Without -g: nodes of 96 vCPUs with 384 and with 512 GiB.
 * Output: JSON lines on standard output, tables for people on standard error.
 * See README.md for what the figures mean. */
#include <config.h>

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/trace/table.h"
#include "common/mem.h"

struct options {
    struct trace_shape shape;
    long seeds, machine;
    unsigned gib[2];
    size_t n_gib;
    double sigma;
    const char *only, *azure;
};

static long
number(const char *s, long min, long max)
{
    char *end;

    errno = 0;
    long v = strtol(s, &end, 10);
    if (errno || end == s || *end || v < min || v > max) {
        fprintf(stderr, "bench-trace: %s: must be %ld..%ld\n", s, min, max);
        exit(2);
    }
    return v;
}

static double
deviation(const char *s)
{
    char *end;
    double v = strtod(s, &end);

    if (end == s || *end || !(v >= 0 && v <= 10)) {
        fprintf(stderr, "bench-trace: %s: must be 0..10\n", s);
        exit(2);
    }
    return v;
}

static void
known_policy(const char *name)
{
    for (size_t i = 0; i < n_policies; i++) {
        if (streq(name, policies[i].name))
            return;
    }
    fprintf(stderr, "bench-trace: no policy %s\n", name);
    exit(2);
}

static void
parse(int argc, char **argv, struct options *o)
{
    int c;

    *o = (struct options){
        .shape = {.seed = 1, .nodes = 200, .days = 14},
        .seeds = 9,
        .machine = -1,
        .gib = {384, 512},
        .n_gib = 2,
        .sigma = 1,
    };
    while ((c = getopt(argc, argv, "n:d:g:k:S:e:p:a:m:")) != -1) {
        if (c == 'n')
            o->shape.nodes = (unsigned)number(optarg, 1, 20000);
        else if (c == 'd')
            o->shape.days = (unsigned)number(optarg, 1, 365);
        else if (c == 'g')
            o->gib[0] = (unsigned)number(optarg, TRACE_GIB_MIN, 65536),
            o->n_gib = 1;
        else if (c == 'k')
            o->seeds = number(optarg, 1, TABLE_TRACES_MAX);
        else if (c == 'S')
            o->shape.seed = (uint64_t)number(optarg, 0, LONG_MAX / 2);
        else if (c == 'e')
            o->sigma = deviation(optarg);
        else if (c == 'p')
            known_policy(o->only = optarg);
        else if (c == 'a')
            o->azure = optarg;
        else if (c == 'm')
            o->machine = number(optarg, 0, LONG_MAX);
        else {
            fprintf(stderr, "usage: bench-trace [-n NODES] [-d DAYS] [-g GIB] "
                            "[-k SEEDS] [-S FIRST_SEED]\n"
                            "                   [-e SIGMA] [-p POLICY] "
                            "[-a AZURE_FILE [-m MACHINE]]\n");
            exit(2);
        }
    }
}

static int
add(struct table *tb, const struct options *o, struct trace *t, uint64_t seed,
    struct err *reterr)
{
    trace_foretell(t, o->sigma, seed);
    int r = table_add(tb, t, seed, o->only, stdout, reterr);
    trace_release(t);
    return r;
}

static int
generated(const struct options *o, unsigned gib, struct err *reterr)
{
    char *name _cleanup_(freep) =
        xasprintf("%u nodes of 96 vCPUs, %u GiB", o->shape.nodes, gib);
    struct table tb;
    int r = 0;

    table_init(&tb, name);
    for (long k = 0; k < o->seeds && r == 0; k++) {
        struct trace_shape shape = o->shape;
        struct trace t;

        shape.seed += (uint64_t)k;
        shape.node_gib = gib;
        trace_generate(&shape, &t);
        r = add(&tb, o, &t, shape.seed, reterr);
    }
    if (r == 0)
        table_print(&tb, stdout, stderr);
    table_release(&tb);
    return r;
}

static int
azure(const struct options *o, struct err *reterr)
{
    struct trace t;
    struct table tb;
    int r = trace_read_azure(o->azure, o->machine, &t, reterr);

    if (r < 0)
        return r;
    table_init(&tb, "Azure packing trace 2020");
    r = add(&tb, o, &t, o->shape.seed, reterr);
    if (r == 0)
        table_print(&tb, stdout, stderr);
    table_release(&tb);
    return r;
}

int
main(int argc, char **argv)
{
    struct options o;
    struct err e _cleanup_(err_release) = {0};
    int r = 0;

    parse(argc, argv, &o);
    if (o.azure)
        r = azure(&o, &e);
    for (size_t i = 0; i < o.n_gib && !o.azure && r == 0; i++)
        r = generated(&o, o.gib[i], &e);
    if (r < 0)
        fprintf(stderr, "bench-trace: %s\n", e.message);
    return r < 0;
}
