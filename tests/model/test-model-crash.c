/* test-model-crash.c - the controller's storage fails, at every step that it
 * takes, under a cloud that goes on.
 *
 * Attacks invariant 1 (what was acknowledged survives the death of the process
 * and power loss; what was not is there as a whole or not at all) and with it
 * 2 to 4 (claims, runs and bills after a recovery in the middle of things).
 *
 * A workload is a run of a cloud (cloud.c). Its database does some N writes,
 * syncs, truncations and deletions. For a point k of them and each fault:
 *
 *   power  at operation k the machine is gone: unsynced sectors are lost, kept
 *          or torn (vfs.c)
 *   kill   behind sync k the process is gone: committed, and nobody was told;
 *          every step of every operation ends with such a sync
 *   eio    operation k fails, alone or with those after it; the process goes on
 *   full   the same for lack of room
 *
 * After power and kill a new process opens the database, checks its integrity
 * and the model's facts, lets the clients of open calls come again, and goes
 * on to the end. Clients, agents and VMs are in memory that the processes
 * share: they never died.
 *
 *   test-model-crash [--points N] [--first S] [--fault NAME] [--at K]
 *                    [--jobs N] [--verbose]
 *
 * --points is how many are tried in all (MODEL_POINTS in the environment is its
 * default), spread evenly; --fault and --at try one. */
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

#define POINTS 600
#define WORKLOADS 4 /* seeds from --first on */
#define STEPS 150
#define MORE_STEPS 12
#define JOBS_MAX 16

static const char *const fault_names[] = {"none", "power", "kill",
                                          "eio",  "full",  NULL};

struct options {
    uint64_t first;
    int64_t points, at;
    int fault, jobs;
    bool verbose;
};

/* What the processes share. */
struct board {
    struct cloud cloud;
    int64_t operations, syncs;
};

struct sums {
    _Atomic int64_t points, died, failed_calls;
};

static struct vfs_plan plan;
static const char *program;

/* ---- a process ---- */

static void
live(struct ctx *x)
{
    struct cloud *c = x->c;

    while (c->step < c->steps) {
        cloud_step(x);
        if (!x->faults && cloud_chance(c, 40)) {
            cloud_trace(x, "the controller restarts");
            return;
        }
    }
    if (x->faults) {
        const struct vfs_plan none = {0};

        vfs_set(&none); /* the disk is well again */
        x->faults = false;
    }
    cloud_settle(x);
    c->steps = 0;
}

static void
all_lives(struct cloud *c, bool verbose)
{
    bool faults = plan.fault == VFS_EIO || plan.fault == VFS_FULL;

    while (c->steps) {
        struct life l = {.x = {.c = c, .verbose = verbose, .faults = faults},
                         .run = live};

        cloud_life(&l);
    }
}

static int64_t
integrity(struct cloud *c, const char *pragma)
{
    char path[300];
    struct ctx x = {.c = c};
    sqlite3_stmt *st;
    int64_t bad = 1;

    snprintf(path, sizeof(path), "%s/controller.db", c->dir);
    /* Read-write: the log is recovered first. */
    if (sqlite3_open(path, &x.rig.peek) != SQLITE_OK ||
        sqlite3_prepare_v2(x.rig.peek, pragma, -1, &st, NULL) != SQLITE_OK)
        cloud_fail(&x, "cannot open what is left: %s",
                   sqlite3_errmsg(x.rig.peek));
    int rc = sqlite3_step(st);
    if (rc == SQLITE_DONE)
        bad = 0; /* of foreign_key_check */
    else if (rc == SQLITE_ROW)
        bad = !streq((const char *)sqlite3_column_text(st, 0), "ok");
    if (bad)
        cloud_fail(&x, "%s: %s", pragma,
                   rc == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0)
                                    : sqlite3_errmsg(x.rig.peek));
    sqlite3_finalize(st);
    sqlite3_close(x.rig.peek);
    return bad;
}

/* The controller of before is dead. */
static void
recover(struct board *b, bool verbose)
{
    struct cloud *c = &b->cloud;
    const struct vfs_plan none = {0};
    struct ctx x = {.c = c, .verbose = verbose};

    vfs_set(&none);
    plan = none;
    rig_clock_us = &c->now_us;
    rig_seed_random(c->seed + 1000);
    c->crashed = true;
    cloud_trace(&x, "the controller has died");
    integrity(c, "PRAGMA integrity_check");
    integrity(c, "PRAGMA foreign_key_check");
    c->steps = c->step + MORE_STEPS;
    all_lives(c, verbose);
    integrity(c, "PRAGMA integrity_check");
}

/* Forks; true: the child ended by the plan's doing. */
static bool
in_process(struct board *b, void (*fn)(struct board *, bool), bool verbose)
{
    int status = 0;

    fflush(stdout);
    pid_t p = fork();
    if (p == 0) {
        fn(b, verbose);
        fflush(stdout);
        _exit(0);
    }
    if (p < 0 || waitpid(p, &status, 0) != p)
        _exit(1);
    if (WIFEXITED(status) && WEXITSTATUS(status) == VFS_EXIT)
        return true;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        printf("FAILED: %s\n", cloud_repeat);
        _exit(1);
    }
    return false;
}

static void
work(struct board *b, bool verbose)
{
    vfs_set(&plan);
    all_lives(&b->cloud, verbose);
    b->operations = vfs_count();
    b->syncs = vfs_syncs();
    if (plan.fault == VFS_EIO || plan.fault == VFS_FULL)
        integrity(&b->cloud, "PRAGMA integrity_check");
}

/* ---- points ---- */

struct job {
    const struct options *o;
    struct template t;
    struct board *board;
    struct sums *sums;
    char *dir;
};

static void
run_point(struct job *j, uint64_t seed, enum vfs_fault fault, int64_t at)
{
    static const int64_t lengths[] = {0, 0, 3, 40};

    plan = (struct vfs_plan){
        .fault = fault,
        .at = at,
        .more = lengths[at % (int64_t)ARRAY_SIZE(lengths)],
        .seed = seed * 100003 + (uint64_t)at,
    };
    snprintf(cloud_repeat, sizeof(cloud_repeat),
             "%s --first %llu --fault %s --at %lld", program,
             (unsigned long long)seed, fault_names[fault], (long long)at);
    template_copy(&j->t, &j->board->cloud, j->dir);
    cloud_begin(&j->board->cloud, seed, STEPS);
    j->sums->points += fault != VFS_NONE;
    if (in_process(j->board, work, j->o->verbose)) {
        j->sums->died++;
        in_process(j->board, recover, j->o->verbose);
    }
    j->sums->failed_calls += j->board->cloud.storage_errors;
}

/* Evenly over what a workload does; the first and the last are among them. */
static void
spread(struct job *j, int job, uint64_t seed, enum vfs_fault fault, int64_t n,
       int64_t points)
{
    points = MIN(points, n);
    for (int64_t i = job; i < points; i += j->o->jobs)
        run_point(j, seed, fault,
                  points > 1 ? 1 + i * (n - 1) / (points - 1) : 1);
}

static void
worker(const struct options *o, int job, const char *base, struct sums *sums)
{
    struct job j = {.o = o, .sums = sums};
    struct err e = {0};

    j.dir = xasprintf("%s/%d", base, job);
    j.board = mmap(NULL, sizeof(*j.board), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (j.board == MAP_FAILED || fs_mkdirs(j.dir, &e) < 0) {
        printf("cannot begin: %s\n", e.message);
        _exit(1);
    }
    template_make(&j.t, j.dir);
    if (o->at) {
        run_point(&j, o->first, (enum vfs_fault)o->fault, o->at);
    } else {
        for (uint64_t w = 0; w < WORKLOADS; w++) {
            int64_t share = MAX(o->points / WORKLOADS, (int64_t)8);

            run_point(&j, o->first + w, VFS_NONE, 0);
            int64_t n = j.board->operations, syncs = j.board->syncs;
            spread(&j, job, o->first + w, VFS_POWER, n, share * 3 / 8);
            spread(&j, job, o->first + w, VFS_KILL, syncs, share * 2 / 8);
            spread(&j, job, o->first + w, VFS_EIO, n, share * 2 / 8);
            spread(&j, job, o->first + w, VFS_FULL, n, share / 8);
            if (job == 0)
                printf("workload %llu: %lld operations on its storage, %lld "
                       "syncs\n",
                       (unsigned long long)(o->first + w), (long long)n,
                       (long long)syncs);
        }
    }
    free(j.t.cloud);
    buf_release(&j.t.db);
    free(j.dir);
}

static int
run_jobs(const struct options *o, const char *base, struct sums *sums)
{
    pid_t pids[JOBS_MAX];
    int failed = 0, status;

    fflush(stdout);
    for (int k = 0; k < o->jobs; k++) {
        pids[k] = fork();
        if (pids[k] == 0) {
            worker(o, k, base, sums);
            exit(0);
        }
        if (pids[k] < 0)
            return 1;
    }
    for (int left = o->jobs; left; left--)
        if (wait(&status) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
            failed++;
    return failed;
}

static int
parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        {"points", required_argument, NULL, 'n'},
        {"first", required_argument, NULL, 'f'},
        {"fault", required_argument, NULL, 'x'},
        {"at", required_argument, NULL, 'a'},
        {"jobs", required_argument, NULL, 'j'},
        {"verbose", no_argument, NULL, 'v'},
        {NULL, 0, NULL, 0},
    };
    const char *points = getenv("MODEL_POINTS");
    int c;

    *o = (struct options){.first = 1, .points = POINTS, .jobs = 2};
    if (points)
        o->points = strtoll(points, NULL, 10);
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == 'n')
            o->points = strtoll(optarg, NULL, 10);
        else if (c == 'f')
            o->first = strtoull(optarg, NULL, 10);
        else if (c == 'x')
            o->fault = codec_enum_parse(fault_names, optarg);
        else if (c == 'a')
            o->at = strtoll(optarg, NULL, 10);
        else if (c == 'j')
            o->jobs = (int)strtol(optarg, NULL, 10);
        else if (c == 'v')
            o->verbose = true;
        else
            return -EINVAL;
    }
    if (o->at)
        o->jobs = 1;
    return o->jobs > 0 && o->jobs <= JOBS_MAX && o->fault >= 0 ? 0 : -EINVAL;
}

int
main(int argc, char **argv)
{
    struct options o;
    char base[] = "/dev/shm/virga-crash-XXXXXX";
    char other[] = "crash-XXXXXX";
    struct timespec a, b;

    if (parse(argc, argv, &o) < 0)
        return 2;
    program = argv[0];
    rig_log = o.verbose;
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
    printf("%s: %lld faults, from seed %llu, in %.1f s: %lld deaths recovered "
           "from, %lld calls refused for storage that failed\n",
           failed ? "FAILED" : "ok", (long long)sums->points,
           (unsigned long long)o.first,
           (double)(b.tv_sec - a.tv_sec) +
               (double)(b.tv_nsec - a.tv_nsec) / 1e9,
           (long long)sums->died, (long long)sums->failed_calls);
    if (fs_remove_tree(dir, NULL) < 0)
        return 1;
    return failed ? 1 : 0;
}
