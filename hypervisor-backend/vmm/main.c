/* main.c - virga-vmm: command line. One process runs one VM.
 * The exit status tells how the guest ended; see usage(). */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <string.h>

#include "common/buf.h"
#include "common/conf.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/devices.h"
#include "hypervisor-backend/vmm/metrics.h"
#include "hypervisor-backend/vmm/platform.h"
#include "hypervisor-backend/vmm/run.h"

enum {
    STATUS_OFF = 0,
    STATUS_FAILED = 1,
    STATUS_USAGE = 2,
    STATUS_RESET = 3,
    STATUS_TRIPLE_FAULT = 4,
    STATUS_PANIC = 5,
    STATUS_STOPPED = 6,
    STATUS_KVM = 7,
};

struct options {
    const char *kernel, *initrd, *cmdline, *metrics;
    unsigned cpus;
    uint64_t memory_bytes;
    struct gmem_options memory;
    bool exit_on_reset;
    struct devices_disk disks[DEVICES_MAX_DISKS];
    size_t n_disks;
};

static void
usage(FILE *to)
{
    fputs("usage: virga-vmm run --kernel FILE [option ...]\n"
          "Runs a virtual machine in this process, with its serial console "
          "on the\nterminal. Ctrl-] ends it.\n\n"
          "  --kernel FILE     Linux bzImage, or an ELF kernel with a PVH "
          "entry\n"
          "  --initrd FILE     initial RAM disk\n"
          "  --cmdline TEXT    kernel command line\n"
          "  --cpus N          1 to 64 (default 1)\n"
          "  --memory SIZE     such as 512M or 2G (default 256M)\n"
          "  --disk PATH[,ro][,direct][,format=raw]\n"
          "                    a file or block device; may be repeated\n"
          "  --hugepages       memory in 2 MiB pages set aside by the host\n"
          "  --ksm             let the host merge pages with equal content\n"
          "  --on-reset WHAT   restart (default) or exit\n"
          "  --metrics FILE    write counters there when the VM has ended\n"
          "  --help, --version\n\n"
          "Exit status: 0 the guest powered off, 1 it could not be started, "
          "2 usage,\n3 reset (with --on-reset exit), 4 triple fault, 5 kernel "
          "panic, 6 stopped\nfrom outside, 7 KVM failed. SIGTERM and SIGINT "
          "press the power button; the\nsecond one stops, as does SIGHUP.\n",
          to);
}

static int
bad_option(const char *option, const char *why)
{
    fprintf(stderr, "virga-vmm: %s: %s\n", option, why);
    return -EINVAL;
}

static int
parse_cpus(const char *s, unsigned *ret)
{
    char *end;
    unsigned long v;

    errno = 0;
    v = strtoul(s, &end, 10);
    if (errno || end == s || *end || *s == '-' || v < 1 ||
        v > PLATFORM_MAX_CPUS)
        return bad_option("--cpus", "a number from 1 to 64, please");
    *ret = (unsigned)v;
    return 0;
}

static int
parse_memory(const char *s, uint64_t *ret)
{
    int64_t v;

    if (conf_parse_size(s, &v) < 0 || v <= 0)
        return bad_option("--memory", "a size such as 512M, please");
    *ret = (uint64_t)v;
    return 0;
}

/* Cuts the options off the path: a path with a comma in it cannot be named
 * here, which the manual says. */
static int
parse_disk(char *s, struct options *o)
{
    struct devices_disk *d = &o->disks[o->n_disks];
    char *rest = s;

    if (o->n_disks == DEVICES_MAX_DISKS)
        return bad_option("--disk", "16 disks are the most");
    *d = (struct devices_disk){.path = strsep(&rest, ","), .fd = -1};
    if (!*d->path)
        return bad_option("--disk", "a path, please");
    while (rest) {
        const char *word = strsep(&rest, ",");

        if (streq(word, "ro"))
            d->read_only = true;
        else if (streq(word, "direct"))
            d->direct = true;
        else if (!streq(word, "format=raw"))
            return bad_option("--disk", "options are ro, direct, format=raw");
    }
    o->n_disks++;
    return 0;
}

/* 0 to go on, 1 when all is done (--help), negative when it is wrong. */
static int
parse(int argc, char **argv, struct options *o)
{
    enum {
        KERNEL,
        INITRD,
        CMDLINE,
        CPUS,
        MEMORY,
        DISK,
        HUGE,
        KSM,
        RESET,
        METRICS
    };
    static const struct option longs[] = {
        {"kernel", required_argument, NULL, KERNEL},
        {"initrd", required_argument, NULL, INITRD},
        {"cmdline", required_argument, NULL, CMDLINE},
        {"cpus", required_argument, NULL, CPUS},
        {"memory", required_argument, NULL, MEMORY},
        {"disk", required_argument, NULL, DISK},
        {"hugepages", no_argument, NULL, HUGE},
        {"ksm", no_argument, NULL, KSM},
        {"on-reset", required_argument, NULL, RESET},
        {"metrics", required_argument, NULL, METRICS},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {0},
    };
    int c, r = 0;

    while (r == 0 && (c = getopt_long(argc, argv, "h", longs, NULL)) != -1)
        switch (c) {
        case KERNEL:
            o->kernel = optarg;
            break;
        case INITRD:
            o->initrd = optarg;
            break;
        case CMDLINE:
            o->cmdline = optarg;
            break;
        case CPUS:
            r = parse_cpus(optarg, &o->cpus);
            break;
        case MEMORY:
            r = parse_memory(optarg, &o->memory_bytes);
            break;
        case DISK:
            r = parse_disk(optarg, o);
            break;
        case HUGE:
            o->memory.hugepages = true;
            break;
        case KSM:
            o->memory.ksm = true;
            break;
        case RESET:
            o->exit_on_reset = streq(optarg, "exit");
            if (!o->exit_on_reset && !streq(optarg, "restart"))
                r = bad_option("--on-reset", "restart or exit, please");
            break;
        case METRICS:
            o->metrics = optarg;
            break;
        case 'h':
            usage(stdout);
            return 1;
        case 'V':
            puts("virga-vmm " PACKAGE_VERSION);
            return 1;
        default:
            return -EINVAL; /* getopt has said why */
        }
    if (r < 0)
        return r;
    if (optind + 1 != argc || !streq(argv[optind], "run")) {
        usage(stderr);
        return -EINVAL;
    }
    return o->kernel ? 0 : bad_option("--kernel", "is needed");
}

static int
open_file(const char *path, int *ret, struct err *reterr)
{
    if (!path)
        return 0;
    *ret = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    return *ret < 0 ? err_errno(reterr, -errno, "%s", path) : 0;
}

static void
vm_freep(struct vm **vm)
{
    vm_free(*vm);
}

static void
devices_freep(struct devices **d)
{
    devices_free(*d);
}

/* For each run anew: the last run's devices have closed theirs. */
static int
open_disks(struct options *o, struct err *reterr)
{
    for (size_t i = 0; i < o->n_disks; i++) {
        struct devices_disk *d = &o->disks[i];

        d->fd = open(d->path, (d->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC |
                                  O_NOCTTY | O_NONBLOCK);
        if (d->fd < 0) {
            int r = err_errno(reterr, -errno, "%s", d->path);

            while (i-- > 0)
                closep(&o->disks[i].fd);
            return r;
        }
    }
    return 0;
}

static int
write_metrics(struct vm *vm, const char *path, struct err *reterr)
{
    struct buf b _cleanup_(buf_release) = {0};

    if (!path)
        return 0;
    metrics_write(vm, &b);
    return fs_write_atomic(path, b.data, b.len, 0644, reterr);
}

/* From nothing to the end of one run. */
static int
run_one(struct options *o, const struct vm_config *cfg, struct run_io *io,
        enum vm_end *ret, struct err *reterr)
{
    struct vm *vm _cleanup_(vm_freep) = NULL;
    /* Declared after the VM, so freed before it. */
    struct devices *devices _cleanup_(devices_freep) = NULL;
    int r;

    r = vm_new(cfg, &vm, reterr);
    if (r == 0)
        r = open_disks(o, reterr);
    if (r == 0)
        r = devices_new(vm, o->disks, o->n_disks, &devices, reterr);
    if (r == 0)
        r = vm_boot(vm, cfg, reterr);
    if (r == 0)
        r = run_vm(vm, io, ret, reterr);
    if (r == 0)
        r = write_metrics(vm, o->metrics, reterr);
    return r;
}

static int
status_of(enum vm_end end)
{
    switch (end) {
    case VM_END_POWEROFF:
        return STATUS_OFF;
    case VM_END_RESET:
        return STATUS_RESET;
    case VM_END_TRIPLE_FAULT:
        return STATUS_TRIPLE_FAULT;
    case VM_END_PANIC:
        return STATUS_PANIC;
    case VM_END_STOPPED:
        return STATUS_STOPPED;
    default:
        return STATUS_KVM;
    }
}

static int
run(struct options *o, struct err *reterr)
{
    int kernel _cleanup_(closep) = -1, initrd _cleanup_(closep) = -1;
    int signals _cleanup_(closep) = -1;
    struct vm_config cfg = {.cpus = o->cpus,
                            .memory_bytes = o->memory_bytes,
                            .memory = o->memory,
                            .kvm_fd = -1,
                            .pci = true,
                            .cmdline = o->cmdline};
    struct run_io io = {.in = STDIN_FILENO, .out = STDOUT_FILENO};
    enum vm_end end;
    int r;

    r = open_file(o->kernel, &kernel, reterr);
    if (r == 0)
        r = open_file(o->initrd, &initrd, reterr);
    if (r < 0)
        return r;
    signals = run_signals();
    if (signals < 0)
        return err_errno(reterr, signals, "signals");
    cfg.kernel_fd = kernel;
    cfg.initrd_fd = initrd;
    io.signals = signals;
    do {
        r = run_one(o, &cfg, &io, &end, reterr);
        if (r < 0)
            return r;
    } while (end == VM_END_RESET && !o->exit_on_reset);
    if (end != VM_END_POWEROFF)
        log_info("the VM ended", "how=%s", vm_end_name(end));
    return status_of(end);
}

int
main(int argc, char **argv)
{
    struct options o = {.cpus = 1, .memory_bytes = 256u << 20};
    struct err e = {0};
    int r;

    log_setup("virga-vmm", LOG_LEVEL_INFO);
    r = parse(argc, argv, &o);
    if (r != 0)
        return r < 0 ? STATUS_USAGE : 0;
    r = run(&o, &e);
    if (r < 0) {
        fprintf(stderr, "virga-vmm: %s\n", e.message);
        r = STATUS_FAILED;
    }
    err_release(&e);
    return r;
}
