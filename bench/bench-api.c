/* bench-api.c - what the API does per second, with durable commits.
 * Threads with a connection each create instances as fast as they are
 * answered, then list them. Prints one JSON object a line; bench/api.sh makes
 * the cloud around it. Also times single durable commits of the same SQLite
 * on the same disk: the floor without group commit. */
#include <config.h>

#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "common/clock.h"
#include "common/db.h"
#include "common/fs.h"
#include "common/httpc.h"
#include "common/mem.h"

struct run {
    struct httpc_config http;
    const char *flavor, *image, *prefix;
    int64_t total;
    _Atomic int64_t next, failed;
    int64_t *latency_us; /* by request; each written once */
};

static void
create_one(struct run *run, struct httpc *c, int64_t i)
{
    struct httpc_request rq = HTTPC_REQUEST("POST", "/v1/instances");
    struct httpc_reply reply _cleanup_(httpc_reply_release) = {0};
    struct err e _cleanup_(err_release) = {0};
    char *body _cleanup_(freep) =
        xasprintf("{\"name\":\"%s-%lld\",\"flavor\":\"%s\",\"image\":\"%s\"}",
                  run->prefix, (long long)i, run->flavor, run->image);

    rq.body = body;
    rq.body_len = strlen(body);
    int64_t start = clock_mono_us();
    int r = httpc_call(c, &rq, &reply, &e);
    run->latency_us[i] = clock_mono_us() - start;
    if (r < 0 || reply.status != 201) {
        if (atomic_fetch_add(&run->failed, 1) == 0)
            fprintf(stderr, "bench-api: create: %s %s\n", e.message,
                    buf_str(&reply.body));
    }
}

static void *
creator(void *arg)
{
    struct run *run = arg;
    struct httpc *c = httpc_new(&run->http);
    int64_t i;

    while ((i = atomic_fetch_add(&run->next, 1)) < run->total)
        create_one(run, c, i);
    httpc_free(c);
    return NULL;
}

static int
by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static void
print_result(const char *name, int64_t *us, int64_t n, int64_t wall_us,
             int64_t failed, const char *more)
{
    qsort(us, (size_t)n, sizeof(*us), by_value);
    printf("{\"bench\":\"%s\",\"requests\":%lld,\"failed\":%lld,"
           "\"seconds\":%.3f,\"per_second\":%.1f,\"p50_us\":%lld,"
           "\"p99_us\":%lld,\"max_us\":%lld%s}\n",
           name, (long long)n, (long long)failed, (double)wall_us / 1e6,
           (double)n * 1e6 / (double)wall_us, (long long)us[n / 2],
           (long long)us[n * 99 / 100], (long long)us[n - 1], more);
    fflush(stdout);
}

static int
bench_create(struct run *run, int threads)
{
    pthread_t *t = xcalloc((size_t)threads, sizeof(*t));
    char more[64];
    int n = 0;

    run->latency_us = xcalloc((size_t)run->total, sizeof(int64_t));
    int64_t start = clock_mono_us();
    while (n < threads && pthread_create(&t[n], NULL, creator, run) == 0)
        n++;
    for (int i = 0; i < n; i++)
        pthread_join(t[i], NULL);
    int64_t wall = clock_mono_us() - start;
    snprintf(more, sizeof(more), ",\"connections\":%d", n);
    print_result("api.create", run->latency_us, run->total, wall,
                 atomic_load(&run->failed), more);
    free(run->latency_us);
    free(t);
    return n == threads && atomic_load(&run->failed) == 0 ? 0 : -EIO;
}

static int
bench_get(struct run *run, const char *name, const char *path, int64_t n)
{
    struct httpc *c = httpc_new(&run->http);
    int64_t *us = xcalloc((size_t)n, sizeof(*us)), failed = 0, bytes = 0;
    char more[64];
    int64_t start = clock_mono_us();

    for (int64_t i = 0; i < n; i++) {
        struct httpc_request rq = HTTPC_REQUEST("GET", path);
        struct httpc_reply reply _cleanup_(httpc_reply_release) = {0};
        int64_t one = clock_mono_us();
        int r = httpc_call(c, &rq, &reply, NULL);

        us[i] = clock_mono_us() - one;
        failed += r < 0 || reply.status != 200;
        bytes = (int64_t)reply.body.len;
    }
    snprintf(more, sizeof(more), ",\"reply_bytes\":%lld", (long long)bytes);
    print_result(name, us, n, clock_mono_us() - start, failed, more);
    free(us);
    httpc_free(c);
    return failed ? -EIO : 0;
}

/* One row, one commit, synced: what a control plane without group commit
 * could do at best on this disk now. */
static int
bench_floor(const char *dir, int64_t n)
{
    static const char *const sql[] = {"INSERT INTO t (v) VALUES (?)"};
    char *path _cleanup_(freep) = xasprintf("%s/floor.db", dir);
    struct db *db _cleanup_(db_closep) = NULL;
    struct err e _cleanup_(err_release) = {0};
    int64_t *us = xcalloc((size_t)n, sizeof(*us));
    int r = db_open(path, DB_DURABLE, &db, &e);

    if (r == 0)
        r = db_exec(db, "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)", &e);
    if (r == 0)
        r = db_prepare(db, sql, 1, &e);
    int64_t start = clock_mono_us();
    for (int64_t i = 0; i < n && r >= 0; i++) {
        int64_t one = clock_mono_us();

        r = db_run(db, 0, "s", "an instance's row has about so many bytes");
        us[i] = clock_mono_us() - one;
    }
    if (r < 0)
        fprintf(stderr, "bench-api: floor: %s\n", e.message);
    else
        print_result("sqlite.single_commit", us, n, clock_mono_us() - start, 0,
                     "");
    free(us);
    return r < 0 ? r : 0;
}

int
main(int argc, char **argv)
{
    struct run run = {.total = 10000,
                      .flavor = "small",
                      .image = "img",
                      .prefix = "b",
                      .http = {.base_url = getenv("VIRGA_URL"),
                               .ca_file = getenv("VIRGA_CA"),
                               .bearer = getenv("VIRGA_TOKEN"),
                               .user_agent = "bench-api"}};
    const char *floor_dir = NULL;
    int threads = 32, opt;

    while ((opt = getopt(argc, argv, "n:c:f:i:p:F:")) != -1) {
        if (opt == 'n')
            run.total = strtoll(optarg, NULL, 10);
        else if (opt == 'c')
            threads = (int)strtol(optarg, NULL, 10);
        else if (opt == 'f')
            run.flavor = optarg;
        else if (opt == 'i')
            run.image = optarg;
        else if (opt == 'p')
            run.prefix = optarg;
        else if (opt == 'F')
            floor_dir = optarg;
        else
            return 2;
    }
    if (floor_dir)
        return bench_floor(floor_dir, 500) < 0;
    if (!run.http.base_url || !run.http.bearer || run.total < 1 ||
        threads < 1) {
        fputs("usage: bench-api [-n CREATES] [-c CONNECTIONS] [-f FLAVOR] "
              "[-i IMAGE] [-p NAME-PREFIX] | -F FOLDER\n"
              "with VIRGA_URL, VIRGA_CA and VIRGA_TOKEN set\n",
              stderr);
        return 2;
    }
    int r = bench_create(&run, threads);
    if (r == 0)
        r = bench_get(&run, "api.list_1000", "/v1/instances?limit=1000", 200);
    if (r == 0)
        r = bench_get(&run, "api.list_100", "/v1/instances?limit=100", 500);
    if (r == 0)
        r = bench_get(&run, "api.whoami", "/v1/whoami", 1000);
    return r < 0;
}
