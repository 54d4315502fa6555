/* vmm-watch.c - runs a VMM for bench/vmm-host.sh and prints JSON lines about
 * it. vmm-watch VMM TAP COMMAND… "userspace" from the guest: milliseconds since
 * exec, CPU until then. From "begin NAME" to "end NAME OPERATIONS MS":
 * operations per second, CPU time of the VMM per operation (all threads,
 * without the guest's own time), and the tap's frames and bytes. "done" ends
 * the VMM. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct cost {
    double all_us, vcpu_us;
    unsigned long frames, bytes;
};

static double
now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static unsigned long
tap_count(const char *tap, const char *what)
{
    char path[256];
    unsigned long n = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/sys/class/net/%s/statistics/%s", tap, what);
    f = fopen(path, "r");
    if (f) {
        if (fscanf(f, "%lu", &n) != 1)
            n = 0;
        fclose(f);
    }
    return n;
}

static void
add_thread(pid_t pid, const char *tid, struct cost *c)
{
    char path[64], name[32] = "";
    unsigned long long ns;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/task/%.16s/comm", pid, tid);
    f = fopen(path, "r");
    if (!f)
        return;
    if (!fgets(name, sizeof(name), f))
        name[0] = '\0';
    fclose(f);
    snprintf(path, sizeof(path), "/proc/%d/task/%.16s/schedstat", pid, tid);
    f = fopen(path, "r");
    if (!f)
        return;
    if (fscanf(f, "%llu", &ns) == 1) {
        c->all_us += (double)ns / 1e3;
        /* virga-vmm's name, and QEMU's with debug-threads=on */
        if (strncmp(name, "vcpu", 4) == 0 || strncmp(name, "CPU ", 4) == 0)
            c->vcpu_us += (double)ns / 1e3;
    }
    fclose(f);
}

static struct cost
cost_now(pid_t pid, const char *tap)
{
    struct cost c = {.frames = tap_count(tap, "rx_packets"),
                     .bytes = tap_count(tap, "rx_bytes")};
    char path[64];
    struct dirent *e;
    DIR *d;

    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    d = opendir(path);
    while (d && (e = readdir(d)))
        if (e->d_name[0] != '.')
            add_thread(pid, e->d_name, &c);
    if (d)
        closedir(d);
    return c;
}

static void
report(const char *vmm, const char *name, double ops, double ms,
       const struct cost *a, const struct cost *b)
{
    double frames = (double)(b->frames - a->frames);
    double all = b->all_us - a->all_us;
    double vcpu = b->vcpu_us - a->vcpu_us;

    if (ops == 0)
        ops = frames; /* sent by the guest, counted at the tap */
    if (ops == 0 || ms == 0)
        ops = ms = 1;
    printf("{\"bench\":\"vmm.host.%s\",\"vmm\":\"%s\",\"per_s\":%.0f,"
           "\"mib_per_s\":%.2f,\"device_cpu_us_per_op\":%.2f,"
           "\"all_cpu_us_per_op\":%.2f}\n",
           name, vmm, ops / ms * 1e3,
           (double)(b->bytes - a->bytes) / ms * 1e3 / (1 << 20),
           (all - vcpu) / ops, all / ops);
    fflush(stdout);
}

int
main(int argc, char **argv)
{
    char line[1024], name[64];
    struct cost before = {0}, after;
    int in[2], out[2], null;
    double start, ops, ms;
    pid_t pid;
    FILE *f;

    if (argc < 4 || pipe(in) < 0 || pipe(out) < 0)
        return 2;
    start = now_ms();
    pid = fork();
    if (pid < 0)
        return 1;
    if (pid == 0) {
        null = open("/tmp/watch.err", O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(null, 2);
        close(in[1]);
        close(out[0]);
        execvp(argv[3], argv + 3);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    alarm(120);
    f = fdopen(out[0], "r");
    while (f && fgets(line, sizeof(line), f)) {
        if (strstr(line, "userspace")) {
            ms = now_ms() - start;
            after = cost_now(pid, argv[2]);
            printf("{\"bench\":\"vmm.host.boot\",\"vmm\":\"%s\",\"ms\":%.1f,"
                   "\"cpu_ms\":%.1f,\"vcpu_ms\":%.1f}\n",
                   argv[1], ms, after.all_us / 1e3, after.vcpu_us / 1e3);
            fflush(stdout);
        } else if (strncmp(line, "begin ", 6) == 0) {
            before = cost_now(pid, argv[2]);
            printf("%s", line); /* others wait for it */
            fflush(stdout);
        } else if (sscanf(line, "end %63s %lf %lf", name, &ops, &ms) == 3) {
            after = cost_now(pid, argv[2]);
            report(argv[1], name, ops, ms, &before, &after);
        } else if (strncmp(line, "done", 4) == 0) {
            break;
        } else if (getenv("WATCH_ALL")) {
            printf("%s| %s", argv[1], line);
        }
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return 0;
}
