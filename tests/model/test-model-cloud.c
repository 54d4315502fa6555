/* test-model-cloud.c - random interleavings of everything that can happen to
 * a cloud, against a model of it.
 *
 * Attacks invariants 1 to 6 and 8 of docs/ARCHITECTURE.md's table: tenants
 * call, repeat and revoke; messages of agents are lost, doubled, late and out
 * of order; agents and the controller come and go; time passes. After each
 * step the cheap checks run, after each run all of them (check.c).
 *
 *   test-model-cloud [--seeds N] [--first S] [--steps N] [--seconds N]
 *                    [--jobs N] [--readers N] [--verbose]
 *
 * A seed makes one run, always the same; MODEL_SEEDS in the environment is
 * the default of --seeds. With --readers as many threads look at everything
 * beside it, which no seed repeats: MODEL_READERS is its default, for
 * ThreadSanitizer. After --seconds no further one is begun: a busy
 * machine does fewer, and the last line says how many. */
#include <config.h>

#include "tests/model/life.h"

#include <getopt.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "common/fs.h"
#include "common/mem.h"
#include "tests/model/vfs.h"

#define SEEDS 2000
#define STEPS 120
#define SECONDS 100
#define JOBS_MAX 16

struct options {
    uint64_t first, seeds;
    int steps, jobs, seconds, readers;
    time_t end;
    bool verbose;
};

struct sums {
    _Atomic int64_t seeds, calls, refused, replays, reports, restarts, starts,
        checks, looks;
};

static const char *program;

static void
live(struct ctx *x)
{
    struct cloud *c = x->c;

    while (c->step < c->steps) {
        cloud_step(x);
        if (cloud_chance(c, 60)) {
            cloud_trace(x, "the controller restarts");
            c->restarts++;
            return;
        }
    }
    cloud_settle(x);
    c->steps = 0; /* done */
}

static void
run_seed(const struct template *t, struct cloud *c, const struct options *o,
         uint64_t seed, const char *dir, struct sums *sums)
{
    snprintf(cloud_repeat, sizeof(cloud_repeat),
             "%s --first %llu --seeds 1 --steps %d", program,
             (unsigned long long)seed, o->steps);
    template_copy(t, c, dir);
    cloud_begin(c, seed, o->steps);
    while (c->steps) {
        struct life l = {
            .x = {.c = c, .verbose = o->verbose, .readers = o->readers},
            .run = live};

        cloud_life(&l);
    }
    sums->seeds++;
    sums->calls += c->calls;
    sums->refused += c->refused;
    sums->replays += c->replays;
    sums->reports += c->reports;
    sums->restarts += c->restarts;
    sums->starts += c->vm_starts;
    sums->checks += c->checks;
    sums->looks += c->looks;
}

static time_t
now_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec;
}

static void
worker(const struct options *o, int job, const char *base, struct sums *sums)
{
    struct template t = {0};
    struct cloud *c = xnew(struct cloud);
    char *dir = xasprintf("%s/%d", base, job);
    struct err e = {0};

    if (fs_mkdirs(dir, &e) < 0) {
        printf("%s\n", e.message);
        _exit(1);
    }
    template_make(&t, dir);
    for (uint64_t k = (uint64_t)job; k < o->seeds && now_s() < o->end;
         k += (uint64_t)o->jobs)
        run_seed(&t, c, o, o->first + k, dir, sums);
    free(t.cloud);
    buf_release(&t.db);
    free(c);
    free(dir);
}

static int
run_jobs(const struct options *o, const char *base, struct sums *sums)
{
    pid_t pids[JOBS_MAX];
    int failed = 0, status;

    fflush(stdout);
    for (int j = 0; j < o->jobs; j++) {
        pids[j] = fork();
        if (pids[j] == 0) {
            worker(o, j, base, sums);
            exit(0);
        }
        if (pids[j] < 0)
            return 1;
    }
    for (int left = o->jobs; left; left--) {
        pid_t p = wait(&status);

        if (p > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
            continue;
        if (p > 0 && WIFSIGNALED(status) && !failed)
            printf("a process died of signal %d\n", WTERMSIG(status));
        if (!failed++) /* the first is the one to look at */
            for (int j = 0; j < o->jobs; j++)
                if (pids[j] != p)
                    kill(pids[j], SIGKILL);
    }
    return failed;
}

static int
parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        {"seeds", required_argument, NULL, 'n'},
        {"first", required_argument, NULL, 'f'},
        {"steps", required_argument, NULL, 's'},
        {"seconds", required_argument, NULL, 't'},
        {"jobs", required_argument, NULL, 'j'},
        {"readers", required_argument, NULL, 'r'},
        {"verbose", no_argument, NULL, 'v'},
        {NULL, 0, NULL, 0},
    };
    const char *seeds = getenv("MODEL_SEEDS");
    const char *readers = getenv("MODEL_READERS");
    int c;

    *o = (struct options){.first = 1,
                          .seeds = SEEDS,
                          .steps = STEPS,
                          .seconds = SECONDS,
                          .jobs = 2};
    if (seeds)
        o->seeds = strtoull(seeds, NULL, 10);
    if (readers)
        o->readers = (int)strtol(readers, NULL, 10);
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == 'n')
            o->seeds = strtoull(optarg, NULL, 10);
        else if (c == 'f')
            o->first = strtoull(optarg, NULL, 10);
        else if (c == 's')
            o->steps = (int)strtol(optarg, NULL, 10);
        else if (c == 't')
            o->seconds = (int)strtol(optarg, NULL, 10);
        else if (c == 'j')
            o->jobs = (int)strtol(optarg, NULL, 10);
        else if (c == 'r')
            o->readers = (int)strtol(optarg, NULL, 10);
        else if (c == 'v')
            o->verbose = true;
        else
            return -EINVAL;
    }
    o->jobs = MIN(o->jobs, JOBS_MAX);
    o->end = now_s() + o->seconds;
    if (o->verbose || o->seeds < (uint64_t)o->jobs)
        o->jobs = 1;
    return o->steps > 0 && o->jobs > 0 ? 0 : -EINVAL;
}

int
main(int argc, char **argv)
{
    struct options o;
    char base[] = "/dev/shm/virga-model-XXXXXX";
    char other[] = "model-XXXXXX";
    struct timespec a, b;

    if (parse(argc, argv, &o) < 0)
        return 2;
    program = argv[0];
    rig_log = o.verbose;
    rig_no_limits = o.readers > 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    vfs_register();
    char *dir = mkdtemp(base) ? base : mkdtemp(other);
    struct sums *sums = mmap(NULL, sizeof(*sums), PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!dir || sums == MAP_FAILED)
        return 1;
    clock_gettime(CLOCK_MONOTONIC, &a);
    int failed = run_jobs(&o, dir, sums);
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("%s: %lld seeds of %d steps in %.1f s: %lld calls (%lld refused, "
           "%lld repeated), %lld reports, %lld starts of VMs, %lld restarts "
           "of the controller, %lld checks, %lld looks beside it\n",
           failed ? "FAILED" : "ok", (long long)sums->seeds, o.steps,
           (double)(b.tv_sec - a.tv_sec) +
               (double)(b.tv_nsec - a.tv_nsec) / 1e9,
           (long long)sums->calls, (long long)sums->refused,
           (long long)sums->replays, (long long)sums->reports,
           (long long)sums->starts, (long long)sums->restarts,
           (long long)sums->checks, (long long)sums->looks);
    if (fs_remove_tree(dir, NULL) < 0)
        return 1;
    return failed ? 1 : 0;
}
