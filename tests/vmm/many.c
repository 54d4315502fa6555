/* many.c - many VMs at once by the driver `vmm`, for 80-vmm-many.t: starts
 * them as an agent with some workers does, says how fast, and ends them.
 *
 *   many run DIR SLICE N NICS force|button
 *       starts N; "up N" on standard output once each guest has said that it
 *       runs, with the rate; at a line on standard input ends them: all by
 *       force, or every second one by its power button
 *   many hold DIR SLICE N NICS
 *       starts them, a line "started" for each; to be killed meanwhile
 *   many adopt DIR SLICE N NICS force|button
 *       what run does, with those that there are
 *
 * DIR holds the programs virga-vmm and virga-usernet and the kernel idle.elf
 * (which see); its folder s becomes the driver's state, i the VMs' folders. */
#include <config.h>

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/hv.h"

#define WORKERS 4 /* the agent's default */
#define WAIT_US (120 * US_PER_S)
#define MEMORY (UINT64_C(32) << 20)

struct many {
    const char *dir;
    unsigned n;
    bool nics, button;
    struct hv *hv;
    char (*ids)[ID_SIZE];
    int (*work)(struct many *m, unsigned i, struct err *e);
    _Atomic unsigned next, failed;
};

static void
die(const char *what, const struct err *e)
{
    fprintf(stderr, "many: %s: %s\n", what, e ? e->message : "");
    exit(1);
}

static char *
vm_dir(const struct many *m, unsigned i)
{
    return xasprintf("%s/i/%s", m->dir, m->ids[i]);
}

static void *
worker(void *arg)
{
    struct many *m = arg;
    unsigned i;

    while ((i = atomic_fetch_add(&m->next, 1)) < m->n) {
        struct err e _cleanup_(err_release) = {0};

        if (m->work(m, i, &e) < 0) {
            fprintf(stderr, "many: VM %s: %s\n", m->ids[i], e.message);
            atomic_fetch_add(&m->failed, 1);
        }
    }
    return NULL;
}

/* Does that for each of the VMs, some at a time. */
static void
for_all(struct many *m, const char *what,
        int (*work)(struct many *m, unsigned i, struct err *e))
{
    pthread_t threads[WORKERS];

    m->work = work;
    atomic_store(&m->next, 0);
    for (unsigned i = 0; i < WORKERS; i++)
        if (pthread_create(&threads[i], NULL, worker, m) != 0)
            die("no thread", NULL);
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    if (atomic_load(&m->failed))
        die(what, NULL);
}

static int
start(struct many *m, unsigned i, struct err *e)
{
    char *dir _cleanup_(freep) = vm_dir(m, i);
    char *kernel _cleanup_(freep) = xasprintf("%s/idle.elf", m->dir);
    char mac[18];
    struct hv_nic nic = {.mac = mac, .isolated = true};
    struct hv_spec spec = {.id = m->ids[i],
                           .name = "one of many",
                           .run = 1,
                           .vcpus = 1,
                           .memory_bytes = MEMORY,
                           .kernel = kernel,
                           .nics = &nic,
                           .n_nics = m->nics,
                           .dir = dir};
    int r = fs_mkdirs(dir, e);

    snprintf(mac, sizeof(mac), "52:54:00:00:%02x:%02x", (i >> 8) & 0xff,
             i & 0xff);
    if (r == 0)
        r = hv_start(m->hv, &spec, e);
    return r;
}

static int
start_and_say(struct many *m, unsigned i, struct err *e)
{
    int r = start(m, i, e);

    if (r == 0 && printf("started\n") < 0)
        return err_errno(e, -errno, "cannot say so");
    return r;
}

static int
wait_log(struct many *m, unsigned i, const char *text, struct err *e)
{
    char *dir _cleanup_(freep) = vm_dir(m, i);
    int64_t limit = clock_mono_us() + WAIT_US;

    for (;;) {
        struct buf b _cleanup_(buf_release) = {0};
        int64_t at = -1, end;
        int r = hv_console_log(m->hv, dir, &at, 4096, &b, &end, e);

        if (r < 0)
            return r;
        if (strstr(buf_str(&b), text))
            return 0;
        if (clock_mono_us() > limit)
            return err_set(e, -ETIMEDOUT, "silent",
                           "the guest never said \"%s\"", text);
        poll(NULL, 0, 10);
    }
}

static int
wait_ready(struct many *m, unsigned i, struct err *e)
{
    return wait_log(m, i, "idle\n", e);
}

static int
wait_end(struct many *m, unsigned i, enum hv_end end, struct err *e)
{
    int64_t limit = clock_mono_us() + WAIT_US;
    struct hv_vm vm;

    for (;;) {
        int r = hv_info(m->hv, m->ids[i], &vm, e);

        if (r < 0)
            return r;
        if (vm.state == HV_STOPPED)
            break;
        if (clock_mono_us() > limit)
            return err_set(e, -ETIMEDOUT, "runs", "it does not end");
        poll(NULL, 0, 10);
    }
    if (vm.end != end)
        return err_set(e, -EIO, "end", "it ended by \"%s\"",
                       hv_end_name(vm.end));
    return 0;
}

static int
end(struct many *m, unsigned i, struct err *e)
{
    bool force = !m->button || i % 2;
    int r = hv_stop(m->hv, m->ids[i], force, e);

    if (r == 0)
        r = wait_end(m, i, force ? HV_END_KILLED : HV_END_GUEST, e);
    if (r == 0 && !force)
        r = wait_log(m, i, "off\n", e);
    if (r == 0)
        r = hv_forget(m->hv, m->ids[i], e);
    return r;
}

static void
open_driver(struct many *m, const char *slice)
{
    char *state _cleanup_(freep) = xasprintf("%s/s", m->dir);
    char *vmm _cleanup_(freep) = xasprintf("%s/virga-vmm", m->dir);
    char *usernet _cleanup_(freep) = xasprintf("%s/virga-usernet", m->dir);
    struct err e _cleanup_(err_release) = {0};
    struct hv_config cfg = {.driver = "vmm",
                            .state_dir = state,
                            .vmm_binary = vmm,
                            .usernet_binary = m->nics ? usernet : NULL,
                            .vmm_cgroup = slice};

    if (fs_mkdirs(state, &e) < 0 || hv_open(&cfg, &m->hv, &e) < 0)
        die("cannot open the driver", &e);
}

/* A start that the driver's death cut short may be known as a VM that has
 * ended; it was never said to run. */
static void
forget(struct many *m, const char *id)
{
    struct err e _cleanup_(err_release) = {0};

    if (hv_forget(m->hv, id, &e) < 0)
        die("cannot forget one that was cut short", &e);
}

/* All are there, run, and are known as ours. With `adopt`: those that run are
 * all. */
static void
look(struct many *m, bool adopt)
{
    struct err e _cleanup_(err_release) = {0};
    struct hv_vm *all _cleanup_(freep) = NULL;
    unsigned up = 0;
    size_t n;

    if (hv_list(m->hv, &all, &n, &e) < 0)
        die("cannot list", &e);
    if (n > m->n || (!adopt && n != m->n)) {
        fprintf(stderr, "many: %zu VMs, not %u\n", n, m->n);
        exit(1);
    }
    for (size_t i = 0; i < n; i++) {
        if (adopt && all[i].state == HV_STOPPED) {
            forget(m, all[i].id);
            continue;
        }
        if (all[i].state != HV_RUNNING || !all[i].ours || all[i].run != 1) {
            fprintf(stderr, "many: VM %s does not run: %s\n", all[i].id,
                    hv_end_name(all[i].end));
            exit(1);
        }
        snprintf(m->ids[up++], ID_SIZE, "%s", all[i].id);
    }
    m->n = up;
}

static void
start_all(struct many *m, bool say)
{
    int64_t from = clock_mono_us(), took;

    for_all(m, "not all started", say ? start_and_say : start);
    took = clock_mono_us() - from;
    printf("rate %.1f started %u in %.2f s\n", m->n * 1e6 / (double)took, m->n,
           (double)took / 1e6);
}

static void
end_all(struct many *m)
{
    char line[16];
    int64_t from;

    printf("up %u\n", m->n);
    if (!fgets(line, sizeof(line), stdin))
        die("nobody told to end them", NULL);
    from = clock_mono_us();
    for_all(m, "not all ended", end);
    printf("ended %u in %.2f s\n", m->n,
           (double)(clock_mono_us() - from) / 1e6);
}

int
main(int argc, char **argv)
{
    struct many m = {0};
    bool run, hold, adopt;

    if (argc < 6)
        die("see the top of many.c", NULL);
    run = streq(argv[1], "run");
    hold = streq(argv[1], "hold");
    adopt = streq(argv[1], "adopt");
    if (!(run || hold || adopt) || argc != (hold ? 6 : 7))
        die("see the top of many.c", NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    log_setup("many", LOG_LEVEL_WARN);
    m.dir = argv[2];
    m.n = (unsigned)strtoul(argv[4], NULL, 10);
    m.nics = streq(argv[5], "1");
    m.button = !hold && streq(argv[6], "button");
    m.ids = xcalloc(m.n, sizeof(*m.ids));
    for (unsigned i = 0; i < m.n; i++)
        snprintf(m.ids[i], ID_SIZE, "018f0000-0000-7000-8000-%012x", i);
    open_driver(&m, argv[3]);
    if (!adopt)
        start_all(&m, hold);
    if (!hold) {
        look(&m, adopt);
        for_all(&m, "not all ready", wait_ready);
        end_all(&m);
    }
    hv_close(m.hv);
    free(m.ids);
    return 0;
}
