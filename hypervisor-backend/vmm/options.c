/* options.c - virga-vmm's command line; see options.h. */
#include <config.h>

#include "hypervisor-backend/vmm/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <sys/random.h>

#include "common/conf.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/platform.h"

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
          "  --net tap=NAME[,mac=AA:BB:CC:DD:EE:FF]\n"
          "                    a tap device, made if it is not there; may be "
          "repeated\n"
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
    struct devices_disk *d = &o->disks[o->devices.n_disks];
    char *rest = s;

    if (o->devices.n_disks == DEVICES_MAX_DISKS)
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
    o->devices.n_disks++;
    return 0;
}

static int
parse_mac(const char *s, uint8_t mac[6])
{
    for (unsigned i = 0; i < 6; i++, s += 3) {
        char two[3] = {s[0], s[0] ? s[1] : '\0', '\0'};

        if (!isxdigit((unsigned char)two[0]) ||
            !isxdigit((unsigned char)two[1]) || s[2] != (i < 5 ? ':' : '\0'))
            return -EINVAL;
        mac[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    return mac[0] & 1 ? -EINVAL : 0; /* a multicast address is nobody's */
}

static int
parse_net(char *s, struct options *o)
{
    struct devices_nic *n = &o->nics[o->devices.n_nics];
    bool has_mac = false;

    if (o->devices.n_nics == DEVICES_MAX_NICS)
        return bad_option("--net", "8 NICs are the most");
    *n = (struct devices_nic){.fds = {-1}, .n_queues = 1};
    while (s) {
        char *word = strsep(&s, ",");

        if (strncmp(word, "tap=", 4) == 0 && word[4]) {
            n->tap = word + 4;
        } else if (strncmp(word, "mac=", 4) == 0) {
            if (parse_mac(word + 4, n->mac) < 0)
                return bad_option("--net", "mac=AA:BB:CC:DD:EE:FF, please");
            has_mac = true;
        } else {
            return bad_option("--net", "options are tap=NAME and mac=ADDRESS");
        }
    }
    if (!n->tap)
        return bad_option("--net", "tap=NAME, please");
    if (!has_mac) {
        if (getrandom(n->mac, sizeof(n->mac), 0) != (ssize_t)sizeof(n->mac))
            return bad_option("--net", "no random address: give mac=");
        n->mac[0] = (uint8_t)((n->mac[0] & 0xfc) | 2); /* locally made */
    }
    o->devices.n_nics++;
    return 0;
}

int
options_parse(int argc, char **argv, struct options *o)
{
    enum {
        KERNEL,
        INITRD,
        CMDLINE,
        CPUS,
        MEMORY,
        DISK,
        NET,
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
        {"net", required_argument, NULL, NET},
        {"hugepages", no_argument, NULL, HUGE},
        {"ksm", no_argument, NULL, KSM},
        {"on-reset", required_argument, NULL, RESET},
        {"metrics", required_argument, NULL, METRICS},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {0},
    };
    int c, r = 0;

    *o = (struct options){.cpus = 1, .memory_bytes = 256u << 20};
    o->devices.disks = o->disks;
    o->devices.nics = o->nics;

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
        case NET:
            r = parse_net(optarg, o);
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
