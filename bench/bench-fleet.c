/* bench-fleet.c - a controller with thousands of nodes, under load and abuse.
 * Plays N nodes and the tenants against a real controller (bench/fleet.sh
 * makes one) and prints a JSON object for each phase:
 *   joined   every node has joined, is up, and holds its long poll
 *   fill     instances made as fast as they are answered, up to -i; with -b in
 *            batches of that many
 *   idle     nothing but long polls: what the nodes cost
 *   create   open loop at -r per second
 *   peak     closed loop
 *   list     pages of 1,000, one after the other
 *   abuse.*  a well-behaved client's latencies without and with a bad one
 * Every line has the processor time of the controller, by thread, and of this
 * program, in percent of one core, and the controller's memory. */
#include <config.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <getopt.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/fleet-load.h"
#include "bench/fleet-nodes.h"
#include "common/clock.h"
#include "common/mem.h"

struct bench {
    struct fleet fleet;
    const char *token;
    int pid; /* of the controller */
    int64_t instances;
    double rate, seconds;
    int connections;
    int64_t made;  /* names used so far */
    int64_t batch; /* of the fill; 0: one by one */
    bool keys;     /* with an Idempotency-Key */
    char page[64];
};

/* ---- the controller's figures ---- */

#define THREADS_MAX 256
#define FILLERS 4 /* connections that make batches */

struct usage {
    double wall_s, self_s;
    int n;
    struct {
        int tid;
        char name[24];
        double s;
    } t[THREADS_MAX];
};

static void
usage_take(const struct bench *b, struct usage *u)
{
    char path[300], text[512];
    struct rusage ru;
    struct dirent *e;

    *u = (struct usage){.wall_s = (double)clock_mono_us() / 1e6};
    getrusage(RUSAGE_SELF, &ru);
    u->self_s = (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
                (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
    snprintf(path, sizeof(path), "/proc/%d/task", b->pid);
    DIR *d = opendir(path);
    while (d && (e = readdir(d)) && u->n < THREADS_MAX) {
        snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", b->pid,
                 e->d_name);
        FILE *f = e->d_name[0] != '.' ? fopen(path, "re") : NULL;
        unsigned long ut = 0, st = 0;

        if (!f)
            continue;
        size_t n = fread(text, 1, sizeof(text) - 1, f);
        fclose(f);
        text[n] = '\0';
        char *open = strchr(text, '('), *close = strrchr(text, ')');
        if (!open || !close ||
            sscanf(close + 2,
                   "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &ut,
                   &st) != 2)
            continue;
        u->t[u->n].tid = (int)strtol(e->d_name, NULL, 10);
        snprintf(u->t[u->n].name, sizeof(u->t[0].name), "%.*s",
                 (int)(close - open - 1), open + 1);
        u->t[u->n++].s = (double)(ut + st) / (double)sysconf(_SC_CLK_TCK);
    }
    if (d)
        closedir(d);
}

static long
memory_kib(const struct bench *b, const char *file, const char *key)
{
    char path[64], line[256];
    long kib = 0;

    snprintf(path, sizeof(path), "/proc/%d/%s", b->pid, file);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f))
        if (strncmp(line, key, strlen(key)) == 0)
            kib = strtol(line + strlen(key), NULL, 10);
    if (f)
        fclose(f);
    return kib;
}

static void
print_usage(const struct bench *b, const struct usage *u0)
{
    static struct usage u;
    int sep = 0;

    usage_take(b, &u);
    double wall = u.wall_s - u0->wall_s, all = 0;
    printf(",\"seconds\":%.2f,\"client_cpu_percent\":%.1f,\"threads\":{", wall,
           100 * (u.self_s - u0->self_s) / wall);
    /* One figure for all threads of a name. */
    for (int i = 0; i < u.n; i++) {
        for (int k = 0; k < u0->n; k++)
            if (u0->t[k].tid == u.t[i].tid)
                u.t[i].s -= u0->t[k].s;
        all += u.t[i].s;
        for (int k = 0; k < i; k++)
            if (streq(u.t[k].name, u.t[i].name)) {
                u.t[k].s += u.t[i].s;
                u.t[i].name[0] = '\0';
                break;
            }
    }
    for (int i = 0; i < u.n; i++)
        if (u.t[i].name[0] && u.t[i].s > 0)
            printf("%s\"%s\":%.1f", sep++ ? "," : "", u.t[i].name,
                   100 * u.t[i].s / wall);
    printf("},\"controllerd_cpu_percent\":%.1f,\"rss_kib\":%ld,"
           "\"pss_kib\":%ld}\n",
           100 * all / wall, memory_kib(b, "status", "VmRSS:"),
           memory_kib(b, "smaps_rollup", "Pss:"));
    fflush(stdout);
}

static void
print_load(const char *name, const struct load *l)
{
    printf(
        "{\"bench\":\"%s\",\"requests\":%lld,\"failed\":%lld,"
        "\"per_second\":%.1f,\"p50_us\":%lld,\"p90_us\":%lld,"
        "\"p99_us\":%lld,\"p999_us\":%lld,\"max_us\":%lld",
        name, (long long)l->done, (long long)l->failed,
        (double)l->done / l->took_s, (long long)load_percentile(l, 0.5),
        (long long)load_percentile(l, 0.9), (long long)load_percentile(l, 0.99),
        (long long)load_percentile(l, 0.999), (long long)load_percentile(l, 1));
}

/* ---- requests ---- */

static void
make_create(struct buf *out, int64_t i, void *arg)
{
    struct bench *b = arg;
    char body[128], key[64] = "";
    long long number = (long long)b->made++;
    /* Names come in no order, as tenants' do. */
    int n = snprintf(body, sizeof(body),
                     "{\"name\":\"%08x-%lld\",\"flavor\":\"small\","
                     "\"image\":\"img\"}",
                     (unsigned)number * 2654435761u, number);

    if (b->keys)
        snprintf(key, sizeof(key), "Idempotency-Key: k-%lld\r\n", number);
    buf_addf(out,
             "POST /v1/instances HTTP/1.1\r\nHost: virga\r\nAuthorization: "
             "Bearer %s\r\n%sContent-Type: application/json\r\n"
             "Content-Length: %d\r\n\r\n%s",
             b->token, key, n, body);
}

static void
make_batch(struct buf *out, int64_t i, void *arg)
{
    struct bench *b = arg;
    char body[256];
    long long number = (long long)b->made;
    int n =
        snprintf(body, sizeof(body),
                 "{\"count\":%lld,\"instance\":{\"name\":\"%08x-%lld\","
                 "\"flavor\":\"small\",\"image\":\"img\"}}",
                 (long long)b->batch, (unsigned)number * 2654435761u, number);

    b->made += b->batch;
    buf_addf(out,
             "POST /v1/instance-batches HTTP/1.1\r\nHost: virga\r\n"
             "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
             "Content-Length: %d\r\n\r\n%s",
             b->token, n, body);
}

static void
make_list(struct buf *out, int64_t i, void *arg)
{
    struct bench *b = arg;

    buf_addf(out,
             "GET /v1/instances?limit=1000%s%s HTTP/1.1\r\nHost: virga\r\n"
             "Authorization: Bearer %s\r\n\r\n",
             b->page[0] ? "&page_token=" : "", b->page, b->token);
}

static void
take_page(const char *body, size_t n, void *arg)
{
    struct bench *b = arg;
    const char *tail = body + (n > 100 ? n - 100 : 0);
    const char *p = strstr(tail, "\"next_page_token\":\"");

    snprintf(b->page, sizeof(b->page), "%.*s",
             p ? (int)strcspn(p + 19, "\"") : 0, p ? p + 19 : "");
}

static void
make_small(struct buf *out, int64_t i, void *arg)
{
    struct bench *b = arg;

    buf_addf(out,
             "GET /v1/instances?limit=10 HTTP/1.1\r\nHost: virga\r\n"
             "Authorization: Bearer %s\r\n\r\n",
             b->token);
}

/* ---- phases ---- */

static struct load
load_of(struct bench *b, int connections)
{
    return (struct load){.to = b->fleet.to,
                         .bearer = b->token,
                         .connections = connections,
                         .arg = b,
                         .good_status = 200};
}

static void
phase_creates(struct bench *b, const char *name, double rate, int64_t total,
              double seconds)
{
    bool fill = total && b->batch;
    struct load l = load_of(b, fill ? FILLERS : b->connections);
    struct usage u;

    l.rate = rate;
    l.total = fill ? (total + b->batch - 1) / b->batch : total;
    l.seconds = seconds;
    l.make = fill ? make_batch : make_create;
    l.good_status = 201;
    int64_t seen = atomic_load(&b->fleet.observed);
    usage_take(b, &u);
    load_run(&l);
    print_load(name, &l);
    printf(",\"connections\":%d,\"reported_meanwhile\":%lld", l.connections,
           (long long)(atomic_load(&b->fleet.observed) - seen));
    print_usage(b, &u);
    load_release(&l);
}

/* Until every instance was reported by its node. */
static void
settle(struct bench *b)
{
    struct timespec ts = {.tv_nsec = 20000000};
    int64_t start = clock_mono_us(), last = -1, since = start;
    struct usage u;

    usage_take(b, &u);
    while (atomic_load(&b->fleet.observed) < b->made &&
           clock_mono_us() - since < 20 * US_PER_S) {
        if (atomic_load(&b->fleet.observed) != last) {
            last = atomic_load(&b->fleet.observed);
            since = clock_mono_us();
        }
        nanosleep(&ts, NULL);
    }
    printf("{\"bench\":\"fleet.all_running\",\"instances\":%lld,"
           "\"reported\":%lld,\"behind_s\":%.2f",
           (long long)b->made, (long long)atomic_load(&b->fleet.observed),
           (double)(clock_mono_us() - start) / 1e6);
    print_usage(b, &u);
}

static void
phase_join(struct bench *b, pthread_t *ret)
{
    struct timespec ts = {.tv_nsec = 20000000};
    struct usage u;

    usage_take(b, &u);
    if (pthread_create(ret, NULL, nodes_run, &b->fleet) != 0)
        abort();
    while (atomic_load(&b->fleet.up) < b->fleet.n)
        nanosleep(&ts, NULL);
    printf("{\"bench\":\"fleet.joined\",\"nodes\":%d", b->fleet.n);
    print_usage(b, &u);
}

static void
phase_idle(struct bench *b, double seconds)
{
    struct timespec ts = {.tv_sec = (time_t)seconds};
    struct usage u;
    int64_t polls = atomic_load(&b->fleet.polls);

    usage_take(b, &u);
    nanosleep(&ts, NULL);
    printf("{\"bench\":\"fleet.idle\",\"nodes\":%d,\"polls_per_second\":%.0f,"
           "\"node_failures\":%lld",
           b->fleet.n, (double)(atomic_load(&b->fleet.polls) - polls) / seconds,
           (long long)atomic_load(&b->fleet.failed));
    print_usage(b, &u);
}

static void
phase_lists(struct bench *b)
{
    struct load l = load_of(b, 1);
    struct usage u;

    l.total = 500;
    l.make = make_list;
    l.reply = take_page;
    usage_take(b, &u);
    load_run(&l);
    print_load("api.list_1000", &l);
    print_usage(b, &u);
    load_release(&l);
}

static void
phase_abuse(struct bench *b, const char *name, enum abuse_kind kind,
            int connections)
{
    struct load l[2] = {load_of(b, 4), load_of(b, 4)};
    struct abuse *a = NULL;
    struct usage u;
    int64_t hits, lost;

    for (int k = 0; k < 2; k++) {
        l[k].rate = 500;
        l[k].seconds = b->seconds / 2;
        l[k].make = make_small;
        if (k == 1)
            a = abuse_start(&b->fleet.to, b->token, kind, connections);
        usage_take(b, &u);
        load_run(&l[k]);
    }
    hits = abuse_stop(a, &lost);
    printf("{\"bench\":\"abuse.%s\",\"connections\":%d,\"answered\":%lld,"
           "\"lost\":%lld,\"failed\":%lld,\"before_p50_us\":%lld,"
           "\"before_p99_us\":%lld,\"during_p50_us\":%lld,"
           "\"during_p99_us\":%lld,\"ratio_p50\":%.2f,\"ratio_p99\":%.2f",
           name, connections, (long long)hits, (long long)lost,
           (long long)(l[0].failed + l[1].failed),
           (long long)load_percentile(&l[0], 0.5),
           (long long)load_percentile(&l[0], 0.99),
           (long long)load_percentile(&l[1], 0.5),
           (long long)load_percentile(&l[1], 0.99),
           (double)load_percentile(&l[1], 0.5) /
               (double)load_percentile(&l[0], 0.5),
           (double)load_percentile(&l[1], 0.99) /
               (double)load_percentile(&l[0], 0.99));
    print_usage(b, &u);
    load_release(&l[0]);
    load_release(&l[1]);
}

static void
phases(struct bench *b, const char *which)
{
    if (strchr(which, 'f') && b->instances)
        phase_creates(b, "api.fill", 0, b->instances, 0);
    if (strchr(which, 'f') && b->instances)
        settle(b);
    if (strchr(which, 'i'))
        phase_idle(b, b->seconds);
    if (strchr(which, 'c'))
        phase_creates(b, "api.create_open", b->rate, 0, b->seconds);
    if (strchr(which, 'p'))
        phase_creates(b, "api.create_peak", 0, 0, b->seconds);
    if (strchr(which, 'l'))
        phase_lists(b);
    if (strchr(which, 'h'))
        phase_abuse(b, "handshakes", ABUSE_HANDSHAKES, 64);
    if (!strchr(which, 'a'))
        return;
    phase_abuse(b, "none", ABUSE_NONE, 0);
    phase_abuse(b, "idle", ABUSE_IDLE, 5000);
    phase_abuse(b, "slow_head", ABUSE_SLOW_HEAD, 1000);
    phase_abuse(b, "slow_body", ABUSE_SLOW_BODY, 1000);
    phase_abuse(b, "deaf", ABUSE_DEAF, 200);
    phase_abuse(b, "bad_token", ABUSE_BAD_TOKEN, 64);
    phase_abuse(b, "bad_json", ABUSE_BAD_JSON, 64);
    phase_abuse(b, "handshakes", ABUSE_HANDSHAKES, 64);
}

static void
usage_text(void)
{
    fputs("usage: bench-fleet -p PID [-n NODES] [-i INSTANCES] [-r RATE] "
          "[-s SECONDS] [-c CONNECTIONS] [-b BATCH] [-w PHASES] [-k]\n"
          "PHASES: f fill, i idle, c create at RATE, p peak, l list, a abuse, "
          "h abuse by handshakes alone; "
          "-k: with Idempotency-Key\n"
          "with VIRGA_URL (https://ADDRESS:PORT) and VIRGA_TOKEN set\n",
          stderr);
    exit(2);
}

int
main(int argc, char **argv)
{
    struct bench b = {.fleet = {.n = 10000, .wait_s = 10, .prefix = "n"},
                      .token = getenv("VIRGA_TOKEN"),
                      .instances = 100000,
                      .rate = 2000,
                      .seconds = 20,
                      .connections = 64};
    const char *url = getenv("VIRGA_URL"), *which = "ficpla";
    pthread_t nodes;
    int opt;

    while ((opt = getopt(argc, argv, "p:n:i:r:s:c:b:w:k")) != -1) {
        if (opt == 'p')
            b.pid = (int)strtol(optarg, NULL, 10);
        else if (opt == 'n')
            b.fleet.n = (int)strtol(optarg, NULL, 10);
        else if (opt == 'i')
            b.instances = strtoll(optarg, NULL, 10);
        else if (opt == 'r')
            b.rate = strtod(optarg, NULL);
        else if (opt == 's')
            b.seconds = strtod(optarg, NULL);
        else if (opt == 'c')
            b.connections = (int)strtol(optarg, NULL, 10);
        else if (opt == 'b')
            b.batch = strtoll(optarg, NULL, 10);
        else if (opt == 'w')
            which = optarg;
        else if (opt == 'k')
            b.keys = true;
        else
            usage_text();
    }
    const char *colon = url ? strrchr(url, ':') : NULL;
    char host[64] = "";
    if (colon && strncmp(url, "https://", 8) == 0)
        snprintf(host, sizeof(host), "%.*s", (int)(colon - url - 8), url + 8);
    b.fleet.to.sin_family = AF_INET;
    b.fleet.bearer = b.token;
    if (!b.pid || !b.token || b.rate <= 0 || b.connections < 1 ||
        b.fleet.n < 1 || inet_pton(AF_INET, host, &b.fleet.to.sin_addr) != 1)
        usage_text();
    b.fleet.to.sin_port = htons((uint16_t)strtol(colon + 1, NULL, 10));
    phase_join(&b, &nodes);
    phases(&b, which);
    atomic_store(&b.fleet.stop, 1);
    pthread_join(nodes, NULL);
    return atomic_load(&b.fleet.failed) ? 3 : 0;
}
