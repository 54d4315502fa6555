/* ctl_request.c - words of the command line as one request; see
 * ctl_request.h. */
#include <config.h>

#include "hypervisor-backend/vmm/ctl_request.h"

#include <fcntl.h>
#include <string.h>

#include "common/mem.h"
#include "hypervisor-backend/vmm/be_tap.h"
#include "hypervisor-backend/vmm/words.h"

void
ctl_request_usage(FILE *to)
{
    fputs(
        "usage: virga-vmm ctl SOCKET REQUEST [argument ...]\n"
        "The result is JSON on standard output.\n\n"
        "  describe, stats\n"
        "  start, pause, resume, power-button, reset, stop\n"
        "  attach-disk PATH[,name=NAME][,ro][,direct][,serial=TEXT][,queues=N]"
        "\n              [,iops=N][,bps=SIZE]\n"
        "  attach-nic tap=NAME,mac=AA:BB:CC:DD:EE:FF[,name=NAME][,mtu=N]\n"
        "             [,rx_bps=SIZE][,tx_bps=SIZE][,rx_pps=N][,tx_pps=N]\n"
        "  detach-disk NAME[,force], detach-nic NAME[,force]\n"
        "  resize-disk NAME[,bytes=SIZE]   after its file has grown\n"
        "  limits disk=NAME[,iops=N][,bps=SIZE]\n"
        "  limits nic=NAME[,rx_bps=SIZE][,tx_bps=SIZE][,rx_pps=N][,tx_pps=N]\n"
        "  link NIC up|down\n"
        "  balloon SIZE|0                  to take from the guest\n"
        "  console                         Ctrl-] leaves a terminal\n"
        "  wait                            until the VM ends\n",
        to);
}

static int
usage(struct err *e, const char *what)
{
    return err_set(e, -EINVAL, "invalid", "%s", what);
}

static void
member(struct buf *b, const char *name, const char *text)
{
    buf_addf(b, ",\"%s\":", name);
    codec_encode_string(text, b);
}

/* One of the tables as a member, without what is not set. */
static void
object(struct buf *b, const char *name, const struct codec_table *t,
       const void *o)
{
    buf_addf(b, ",\"%s\":", name);
    codec_encode_request(t, o, b);
}

/* ---- devices ---- */

static const char *
base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static int
attach_disk(char *arg, struct ctl_request *q, struct err *e)
{
    struct spec_limits limits = {0};
    struct spec_disk d = {.queues = 1};
    char *rest = arg;
    const char *path = strsep(&rest, ","), *name = base_name(path);
    const char *serial = NULL;
    const struct word words[] = {
        {"name", WORD_TEXT, &name, 0, 0},
        {"ro", WORD_FLAG, &d.read_only, 0, 0},
        {"direct", WORD_FLAG, &d.direct, 0, 0},
        {"serial", WORD_TEXT, &serial, 0, 0},
        {"queues", WORD_NUMBER, &d.queues, 1, INT32_MAX},
        {"iops", WORD_NUMBER, &limits.ops_per_s, 1, INT64_MAX},
        {"bps", WORD_SIZE, &limits.bytes_per_s, 0, 0},
    };
    int r = words_parse(rest, words, ARRAY_SIZE(words), e);

    if (r < 0)
        return r;
    q->fds[0] = open(path, (d.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC |
                               O_NOCTTY | O_NONBLOCK);
    if (q->fds[0] < 0)
        return err_errno(e, -errno, "%s", path);
    q->n_fds = 1;
    d.name = xstrdup(name);
    d.serial = xstrdup(serial);
    if (limits.ops_per_s || limits.bytes_per_s) {
        d.limits = xnew(struct spec_limits);
        *d.limits = limits;
    }
    object(&q->line, "disk", &spec_sent_disk_table, &d);
    codec_clear(&spec_sent_disk_table, &d);
    return 0;
}

struct nic_limits {
    struct spec_limits rx, tx;
};

#define NIC_LIMIT_WORDS(L)                                                     \
    {"rx_bps", WORD_SIZE, &(L).rx.bytes_per_s, 0, 0},                          \
        {"tx_bps", WORD_SIZE, &(L).tx.bytes_per_s, 0, 0},                      \
        {"rx_pps", WORD_NUMBER, &(L).rx.ops_per_s, 1, INT64_MAX},              \
    {                                                                          \
        "tx_pps", WORD_NUMBER, &(L).tx.ops_per_s, 1, INT64_MAX                 \
    }

static struct spec_limits *
copy_limits(const struct spec_limits *l)
{
    struct spec_limits *new;

    if (!l->ops_per_s && !l->bytes_per_s)
        return NULL;
    new = xnew(struct spec_limits);
    *new = *l;
    return new;
}

static int
attach_nic(char *arg, struct ctl_request *q, struct err *e)
{
    struct nic_limits limits = {0};
    struct spec_nic n = {0};
    const char *tap = NULL, *mac = NULL, *name = NULL;
    const struct word words[] = {
        {"tap", WORD_TEXT, &tap, 0, 0},
        {"mac", WORD_TEXT, &mac, 0, 0},
        {"name", WORD_TEXT, &name, 0, 0},
        {"mtu", WORD_NUMBER, &n.mtu, 68, 65535},
        NIC_LIMIT_WORDS(limits),
    };
    int r = words_parse(arg, words, ARRAY_SIZE(words), e);

    if (r == 0 && (!tap || !mac))
        r = usage(e, "attach-nic: tap=NAME and mac=ADDRESS, please");
    if (r == 0)
        r = be_tap_open(tap, &q->fds[0], e);
    if (r < 0)
        return r;
    q->n_fds = 1;
    codec_ints_add(&n.fds, 0);
    n.name = xstrdup(name ? name : tap);
    n.mac = xstrdup(mac);
    n.rx_limits = copy_limits(&limits.rx);
    n.tx_limits = copy_limits(&limits.tx);
    object(&q->line, "nic", &spec_sent_nic_table, &n);
    codec_clear(&spec_sent_nic_table, &n);
    return 0;
}

static int
detach(char *arg, struct ctl_request *q, struct err *e)
{
    bool force = false;
    const struct word words[] = {{"force", WORD_FLAG, &force, 0, 0}};
    char *rest = arg;
    const char *name = strsep(&rest, ",");
    int r = words_parse(rest, words, ARRAY_SIZE(words), e);

    member(&q->line, q->verb == CONTROL_DETACH_DISK ? "disk" : "nic", name);
    if (force)
        buf_adds(&q->line, ",\"force\":true");
    return r;
}

static int
resize(char *arg, struct ctl_request *q, struct err *e)
{
    int64_t bytes = 0;
    const struct word words[] = {{"bytes", WORD_SIZE, &bytes, 0, 0}};
    char *rest = arg;
    const char *name = strsep(&rest, ",");
    int r = words_parse(rest, words, ARRAY_SIZE(words), e);

    member(&q->line, "disk", name);
    if (bytes)
        buf_addf(&q->line, ",\"bytes\":%lld", (long long)bytes);
    return r;
}

/* All of a device's limits anew: what is not said is no limit. */
static int
limits(char *arg, struct ctl_request *q, struct err *e)
{
    struct nic_limits nic_limits = {0};
    struct spec_limits disk_limits = {0};
    const char *disk = NULL, *nic = NULL;
    const struct word words[] = {
        {"disk", WORD_TEXT, &disk, 0, 0},
        {"nic", WORD_TEXT, &nic, 0, 0},
        {"iops", WORD_NUMBER, &disk_limits.ops_per_s, 1, INT64_MAX},
        {"bps", WORD_SIZE, &disk_limits.bytes_per_s, 0, 0},
        NIC_LIMIT_WORDS(nic_limits),
    };
    int r = words_parse(arg, words, ARRAY_SIZE(words), e);

    if (r < 0)
        return r;
    if (!disk == !nic)
        return usage(e, "limits: disk=NAME or nic=NAME, please");
    member(&q->line, disk ? "disk" : "nic", disk ? disk : nic);
    if (disk) {
        object(&q->line, "limits", &spec_limits_table, &disk_limits);
    } else {
        object(&q->line, "rx_limits", &spec_limits_table, &nic_limits.rx);
        object(&q->line, "tx_limits", &spec_limits_table, &nic_limits.tx);
    }
    return 0;
}

static int
balloon(const char *arg, struct ctl_request *q, struct err *e)
{
    int64_t bytes = 0;

    if (!streq(arg, "0") && words_size(arg, &bytes) < 0)
        return usage(e, "balloon: a size such as 64M, please");
    buf_addf(&q->line, ",\"target_bytes\":%lld", (long long)bytes);
    return 0;
}

/* ---- requests ---- */

static int
parse_one(char *arg, struct ctl_request *q, struct err *e)
{
    switch (q->verb) {
    case CONTROL_ATTACH_DISK:
        return attach_disk(arg, q, e);
    case CONTROL_ATTACH_NIC:
        return attach_nic(arg, q, e);
    case CONTROL_DETACH_DISK:
    case CONTROL_DETACH_NIC:
        return detach(arg, q, e);
    case CONTROL_RESIZE_DISK:
        return resize(arg, q, e);
    case CONTROL_LIMITS:
        return limits(arg, q, e);
    case CONTROL_BALLOON:
        return balloon(arg, q, e);
    default:
        return usage(e, "too many arguments");
    }
}

int
ctl_request_parse(int argc, char **argv, struct ctl_request *q,
                  struct err *reterr)
{
    int r = 0, wants;

    q->verb = CONTROL_VERBS;
    for (int i = 0; i < CONTROL_VERBS && argc > 0; i++)
        if (streq(control_verb_name((enum control_verb)i), argv[0]))
            q->verb = (enum control_verb)i;
    if (q->verb == CONTROL_VERBS)
        return usage(reterr, argc > 0 ? "no such request" : "which request?");
    wants = q->verb == CONTROL_LINK ? 2
            : (q->verb >= CONTROL_ATTACH_DISK && q->verb <= CONTROL_LIMITS) ||
                    q->verb == CONTROL_BALLOON
                ? 1
                : 0;
    if (argc - 1 != wants)
        return usage(reterr, argc - 1 < wants ? "an argument is missing"
                                              : "too many arguments");
    buf_addf(&q->line, "{\"v\":%d,\"id\":1,\"do\":\"%s\"", CONTROL_VERSION,
             argv[0]);
    if (wants == 1)
        r = parse_one(argv[1], q, reterr);
    if (wants == 2) {
        if (!streq(argv[2], "up") && !streq(argv[2], "down"))
            return usage(reterr, "link: up or down, please");
        member(&q->line, "nic", argv[1]);
        buf_addf(&q->line, ",\"up\":%s",
                 streq(argv[2], "up") ? "true" : "false");
    }
    buf_adds(&q->line, "}\n");
    return r;
}

void
ctl_request_release(struct ctl_request *q)
{
    for (unsigned i = 0; i < q->n_fds; i++)
        closep(&q->fds[i]);
    q->n_fds = 0;
    buf_release(&q->line);
}
