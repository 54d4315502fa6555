/* options.c - the options of `virga-vmm run`; see options.h. */
#include <config.h>

#include "hypervisor-backend/vmm/options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>
#include <sys/random.h>

#include "common/mem.h"
#include "hypervisor-backend/vmm/dev_blk.h"
#include "hypervisor-backend/vmm/platform.h"
#include "hypervisor-backend/vmm/words.h"

void
options_usage(FILE *to)
{
    fputs("usage: virga-vmm run --kernel FILE [option ...]\n"
          "       virga-vmm serve FD\n"
          "       virga-vmm ctl SOCKET REQUEST [argument ...]\n"
          "       virga-vmm cpu-models\n"
          "run: a virtual machine in this process, with its serial console on "
          "the\nterminal; Ctrl-] ends it. serve: the same from a description. "
          "ctl: asks a\nrunning one; see virga-vmm ctl --help. cpu-models: "
          "lists the names of\n--cpu-model, and what this host lacks for "
          "each.\n\n"
          "  --kernel FILE     Linux bzImage, or an ELF kernel with a PVH "
          "entry\n"
          "  --initrd FILE     initial RAM disk\n"
          "  --cmdline TEXT    kernel command line\n"
          "  --cpus N          1 to 64 (default 1)\n"
          "  --cpu-model NAME  what the guest sees (default host)\n"
          "  --memory SIZE     such as 512M or 2G (default 256M)\n"
          "  --shared-memory   map it shared\n"
          "  --hugepages       memory in 2 MiB pages set aside by the host\n"
          "  --ksm             let the host merge pages with equal content\n"
          "  --disk PATH[,ro][,direct][,format=raw][,name=NAME][,serial=TEXT]\n"
          "         [,queues=N][,iops=N][,bps=SIZE][,lock=off]\n"
          "                    a file or block device; may be repeated. Others "
          "are kept\n                    from it unless lock=off\n"
          "  --net tap=NAME[,mac=AA:BB:CC:DD:EE:FF][,name=NAME][,mtu=N]\n"
          "        [,queues=N][,vhost][,rx_bps=SIZE][,tx_bps=SIZE][,rx_pps=N]\n"
          "        [,tx_pps=N]\n"
          "                    a tap device, made if it is not there; may be "
          "repeated\n"
          "  --net packets=FD[,...]\n"
          "                    an open unix socket whose messages are frames, "
          "such as\n                    virga-usernet has\n"
          "  --vsock cid=N[,socket=PATH][,guest=PATH]\n"
          "                    sockets: PATH is made for calls to the guest; a "
          "call\n                    from it to port P goes to PATH_P\n"
          "  --console name=NAME,path=PATH|listen=PATH\n"
          "                    a port of the virtio console to a unix socket, "
          "pipe\n                    or terminal, or to the clients of a "
          "socket that is made,\n                    one at a time; may be "
          "repeated\n"
          "  --control PATH    make a control socket there\n"
          "  --console-log FILE  add the serial console's output to it\n"
          "  --id ID, --name NAME  what it calls itself\n"
          "  --paused          wait for \"ctl start\" or \"ctl resume\"\n"
          "  --on-reset WHAT   restart (default) or exit\n"
          "  --restarts-max N  end at the reset after so many (0: no limit)\n"
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
parse_words(const char *option, char *s, const struct word *words, size_t n)
{
    struct err e _cleanup_(err_release) = {0};

    return words_parse(s, words, n, &e) < 0 ? bad_option(option, e.message) : 0;
}

/* Numbers as names where none was given. */
static char *
name_or(const char *name, const char *kind, size_t n)
{
    return name ? xstrdup(name) : xasprintf("%s%zu", kind, n);
}

static int
check_name(const char *option, const struct codec_list *l, size_t size)
{
    const char *last = *(char **)((char *)l->items + (l->n - 1) * size);

    if (strlen(last) >= DEVICES_NAME_SIZE)
        return bad_option(option, "the name is too long");
    for (size_t i = 0; i + 1 < l->n; i++)
        if (streq(*(char **)((char *)l->items + i * size), last))
            return bad_option(option, "the name is taken");
    return 0;
}

static struct spec_limits *
new_limits(const struct spec_limits *l)
{
    struct spec_limits *new;

    if (!l->ops_per_s && !l->bytes_per_s)
        return NULL;
    new = xnew(struct spec_limits);
    *new = *l;
    return new;
}

/* A path with a comma in it cannot be named here, which the manual says. */
static int
parse_disk(char *s, struct options *o)
{
    size_t n = o->spec.disks.n;
    const char *name = NULL, *serial = NULL, *format = "raw", *lock = "on";
    struct spec_limits limits = {0};
    struct spec_disk *d;
    char *rest = s;

    if (n == DEVICES_MAX_DISKS)
        return bad_option("--disk", "16 disks are the most");
    o->disks[n] = strsep(&rest, ",");
    if (!*o->disks[n])
        return bad_option("--disk", "a path, please");
    d = codec_list_add(&spec_disk_table, &o->spec.disks);
    d->fd = -1;
    d->path = o->disks[n];
    d->queues = 1;
    const struct word words[] = {
        {"ro", WORD_FLAG, &d->read_only, 0, 0},
        {"direct", WORD_FLAG, &d->direct, 0, 0},
        {"lock", WORD_TEXT, &lock, 0, 0},
        {"format", WORD_TEXT, &format, 0, 0},
        {"name", WORD_TEXT, &name, 0, 0},
        {"serial", WORD_TEXT, &serial, 0, 0},
        {"queues", WORD_NUMBER, &d->queues, 1, DEV_BLK_MAX_QUEUES},
        {"iops", WORD_NUMBER, &limits.ops_per_s, 1, INT64_C(1) << 50},
        {"bps", WORD_SIZE, &limits.bytes_per_s, 0, 0},
    };
    if (parse_words("--disk", rest, words, ARRAY_SIZE(words)) < 0)
        return -EINVAL;
    if (!streq(format, "raw"))
        return bad_option("--disk", "format=raw is all there is");
    if (!streq(lock, "on") && !streq(lock, "off"))
        return bad_option("--disk", "lock is on or off");
    d->no_lock = streq(lock, "off");
    if (serial && strlen(serial) > DEV_BLK_SERIAL)
        return bad_option("--disk", "a serial number has 20 bytes at most");
    d->name = name_or(name, "disk", n);
    d->serial = xstrdup(serial);
    d->limits = new_limits(&limits);
    return check_name("--disk", &o->spec.disks, sizeof(*d));
}

static int
set_mac(const char *text, struct spec_nic *n)
{
    uint8_t mac[6];

    if (text) {
        if (spec_parse_mac(text, mac) < 0)
            return bad_option("--net", "mac=AA:BB:CC:DD:EE:FF, please");
        n->mac = xstrdup(text);
        return 0;
    }
    if (getrandom(mac, sizeof(mac), 0) != (ssize_t)sizeof(mac))
        return bad_option("--net", "no random address: give mac=");
    mac[0] = (uint8_t)((mac[0] & 0xfc) | 2); /* locally made */
    n->mac = xasprintf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
                       mac[3], mac[4], mac[5]);
    return 0;
}

static int
parse_net(char *s, struct options *o)
{
    size_t n = o->spec.nics.n;
    struct spec_limits rx = {0}, tx = {0};
    const char *name = NULL, *mac = NULL;
    struct spec_nic *nic;

    if (n == DEVICES_MAX_NICS)
        return bad_option("--net", "8 NICs are the most");
    o->nics[n].queues = 1;
    nic = codec_list_add(&spec_nic_table, &o->spec.nics);
    const struct word words[] = {
        {"tap", WORD_TEXT, &o->nics[n].tap, 0, 0},
        {"packets", WORD_NUMBER, &o->nics[n].packets, 3, INT_MAX},
        {"mac", WORD_TEXT, &mac, 0, 0},
        {"name", WORD_TEXT, &name, 0, 0},
        {"mtu", WORD_NUMBER, &nic->mtu, 68, 65535},
        {"queues", WORD_NUMBER, &o->nics[n].queues, 1, DEVICES_MAX_NIC_QUEUES},
        {"vhost", WORD_FLAG, &o->nics[n].vhost, 0, 0},
        {"rx_bps", WORD_SIZE, &rx.bytes_per_s, 0, 0},
        {"tx_bps", WORD_SIZE, &tx.bytes_per_s, 0, 0},
        {"rx_pps", WORD_NUMBER, &rx.ops_per_s, 1, INT64_C(1) << 50},
        {"tx_pps", WORD_NUMBER, &tx.ops_per_s, 1, INT64_C(1) << 50},
    };
    if (parse_words("--net", s, words, ARRAY_SIZE(words)) < 0)
        return -EINVAL;
    if (!o->nics[n].tap == !o->nics[n].packets)
        return bad_option("--net", "tap=NAME or packets=FD, please");
    if (o->nics[n].packets && (o->nics[n].queues > 1 || o->nics[n].vhost))
        return bad_option("--net", "queues and vhost need a tap");
    nic->tap = o->nics[n].tap;
    nic->kind = nic->tap ? DEVICES_NIC_TAP : DEVICES_NIC_PACKETS;
    nic->name = name_or(name, "net", n);
    nic->rx_limits = new_limits(&rx);
    nic->tx_limits = new_limits(&tx);
    if (set_mac(mac, nic) < 0)
        return -EINVAL;
    return check_name("--net", &o->spec.nics, sizeof(*nic));
}

static int
parse_vsock(char *s, struct options *o)
{
    const char *guest = NULL;
    struct spec_vsock *v;

    if (o->spec.vsock)
        return bad_option("--vsock", "one is the most");
    v = o->spec.vsock = xnew(struct spec_vsock);
    v->listen_fd = -1;
    const struct word words[] = {
        {"cid", WORD_NUMBER, &v->cid, 3, UINT32_MAX - INT64_C(1)},
        {"socket", WORD_TEXT, &o->vsock, 0, 0},
        {"guest", WORD_TEXT, &guest, 0, 0},
    };
    if (parse_words("--vsock", s, words, ARRAY_SIZE(words)) < 0)
        return -EINVAL;
    v->guest_path = xstrdup(guest);
    return v->cid ? 0 : bad_option("--vsock", "cid=N, please");
}

static int
parse_console(char *s, struct options *o)
{
    size_t n = o->spec.consoles.n;
    const char *name = NULL, *at = NULL;
    struct spec_console *k;

    if (n == DEVICES_MAX_CONSOLES)
        return bad_option("--console", "4 ports are the most");
    k = codec_list_add(&spec_console_table, &o->spec.consoles);
    k->fd = -1;
    const struct word words[] = {
        {"name", WORD_TEXT, &name, 0, 0},
        {"path", WORD_TEXT, &o->consoles[n].path, 0, 0},
        {"listen", WORD_TEXT, &at, 0, 0},
    };
    if (parse_words("--console", s, words, ARRAY_SIZE(words)) < 0)
        return -EINVAL;
    if ((o->consoles[n].path != NULL) == (at != NULL))
        return bad_option("--console", "path=PATH or listen=PATH, please");
    if (at) {
        o->consoles[n].path = at;
        o->consoles[n].listen = true;
    }
    k->name = name_or(name, "console", n);
    return check_name("--console", &o->spec.consoles, sizeof(*k));
}

enum {
    KERNEL,
    INITRD,
    CMDLINE,
    CPUS,
    CPU_MODEL,
    MEMORY,
    SHARED,
    HUGE,
    KSM,
    DISK,
    NET,
    VSOCK,
    CONSOLE,
    CONTROL,
    CONSOLE_LOG,
    ID,
    NAME,
    PAUSED,
    RESET,
    RESTARTS,
    METRICS
};
static const struct option longs[] = {
    {"kernel", required_argument, NULL, KERNEL},
    {"initrd", required_argument, NULL, INITRD},
    {"cmdline", required_argument, NULL, CMDLINE},
    {"cpus", required_argument, NULL, CPUS},
    {"cpu-model", required_argument, NULL, CPU_MODEL},
    {"memory", required_argument, NULL, MEMORY},
    {"shared-memory", no_argument, NULL, SHARED},
    {"hugepages", no_argument, NULL, HUGE},
    {"ksm", no_argument, NULL, KSM},
    {"disk", required_argument, NULL, DISK},
    {"net", required_argument, NULL, NET},
    {"vsock", required_argument, NULL, VSOCK},
    {"console", required_argument, NULL, CONSOLE},
    {"control", required_argument, NULL, CONTROL},
    {"console-log", required_argument, NULL, CONSOLE_LOG},
    {"id", required_argument, NULL, ID},
    {"name", required_argument, NULL, NAME},
    {"paused", no_argument, NULL, PAUSED},
    {"on-reset", required_argument, NULL, RESET},
    {"restarts-max", required_argument, NULL, RESTARTS},
    {"metrics", required_argument, NULL, METRICS},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {0},
};

static int
set_option(struct options *o, int c, char *arg)
{
    struct spec *s = &o->spec;
    const char **const texts[] = {
        [KERNEL] = &o->kernel,   [INITRD] = &o->initrd,
        [CONTROL] = &o->control, [CONSOLE_LOG] = &o->console_log,
        [METRICS] = &o->metrics,
    };
    char **const strings[] = {[CMDLINE] = &s->cmdline,
                              [CPU_MODEL] = &s->cpu_model,
                              [ID] = &s->id,
                              [NAME] = &s->name};
    bool *const flags[] = {[SHARED] = &s->memory->shared,
                           [HUGE] = &s->memory->hugepages,
                           [KSM] = &s->memory->ksm,
                           [PAUSED] = &s->paused};

    if (c < (int)ARRAY_SIZE(texts) && texts[c]) {
        *texts[c] = arg;
        return 0;
    }
    if (c < (int)ARRAY_SIZE(strings) && strings[c]) {
        xstrset(strings[c], arg);
        return 0;
    }
    if (c < (int)ARRAY_SIZE(flags) && flags[c]) {
        *flags[c] = true;
        return 0;
    }
    switch (c) {
    case CPUS:
        return words_number(arg, 1, PLATFORM_MAX_CPUS, &s->cpus) < 0
                   ? bad_option("--cpus", "a number from 1 to 64, please")
                   : 0;
    case MEMORY:
        return words_size(arg, &s->memory->bytes) < 0
                   ? bad_option("--memory", "a size such as 512M, please")
                   : 0;
    case RESTARTS:
        return words_number(arg, 0, INT64_MAX, &s->restarts_max) < 0
                   ? bad_option("--restarts-max", "a number, please")
                   : 0;
    case RESET:
        s->on_reset = streq(arg, "exit") ? SPEC_EXIT : SPEC_RESTART;
        return s->on_reset == SPEC_EXIT || streq(arg, "restart")
                   ? 0
                   : bad_option("--on-reset", "restart or exit, please");
    case DISK:
        return parse_disk(arg, o);
    case NET:
        return parse_net(arg, o);
    case VSOCK:
        return parse_vsock(arg, o);
    case CONSOLE:
        return parse_console(arg, o);
    default:
        return -EINVAL; /* getopt has said why */
    }
}

int
options_parse(int argc, char **argv, struct options *o)
{
    struct spec *s = &o->spec;
    int c, r = 0;

    *o = (struct options){0};
    spec_init(s);
    s->version = 1;
    s->cpus = 1;
    s->memory = xnew(struct spec_memory);
    s->memory->bytes = 256u << 20;
    while (r == 0 && (c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
        if (c == 'h') {
            options_usage(stdout);
            return 1;
        }
        if (c == 'V') {
            puts("virga-vmm " PACKAGE_VERSION);
            return 1;
        }
        r = set_option(o, c, optarg);
    }
    if (r < 0)
        return r;
    if (optind != argc) {
        options_usage(stderr);
        return -EINVAL;
    }
    if (!s->id)
        s->id = xstrdup(s->name ? s->name : "vm");
    return o->kernel ? 0 : bad_option("--kernel", "is needed");
}
