/* spec.c - the description of one VM: tables, decoding; see spec.h. */
#include <config.h>

#include "hypervisor-backend/vmm/spec.h"

#include <ctype.h>
#include <string.h>

#include "common/mem.h"
#include "hypervisor-backend/vmm/dev_blk.h"
#include "hypervisor-backend/vmm/platform.h"

#define IN CODEC_IN
#define NEED (CODEC_IN | CODEC_REQUIRED)
#define F(S, M, TYPE, FLAGS, DOC, ...)                                         \
    {                                                                          \
        .name = #M, .type = CODEC_##TYPE, .offset = offsetof(struct S, M),     \
        .flags = FLAGS, .doc = DOC, __VA_ARGS__                                \
    }
#define TABLE(VAR, NAME, DOC, S, FIELDS)                                       \
    const struct codec_table VAR = {.name = NAME,                              \
                                    .doc = DOC,                                \
                                    .size = sizeof(struct S),                  \
                                    .fields = FIELDS,                          \
                                    .n_fields = ARRAY_SIZE(FIELDS)}
/* A descriptor in the document: required, or -1 where it may be left out. */
#define FD_MAX INT32_MAX
#define FD(S, M, DOC)                                                          \
    F(S, M, INT, NEED, DOC, .min = SPEC_FIRST_FD, .max = FD_MAX)
#define FD_OPT(S, M, DOC)                                                      \
    F(S, M, INT, IN, DOC, .min = SPEC_FIRST_FD, .max = FD_MAX, .dflt = -1)
#define NAME_MAX_BYTES ((int64_t)DEVICES_NAME_SIZE - 1)
#define MEMORY_MAX (INT64_C(1) << 46)

static const char *const nic_kinds[] = {"tap", "packets", NULL};
static const char *const resets[] = {"restart", "exit", NULL};

#define LIMIT(M, DOC)                                                          \
    F(spec_limits, M, INT, IN, DOC, .min = 0, .max = INT64_C(1) << 50)
static const struct codec_field limits_fields[] = {
    LIMIT(ops_per_s, "Operations per second; 0: no limit."),
    LIMIT(ops_burst, "Operations at once; 0: one second's worth."),
    LIMIT(bytes_per_s, "Bytes per second; 0: no limit."),
    LIMIT(bytes_burst, "Bytes at once; 0: one second's worth."),
};
TABLE(spec_limits_table, "limits", "Limits of a device.", spec_limits,
      limits_fields);

#define DISK_FIELDS                                                            \
    F(spec_disk, name, STRING, NEED, "Unique among disks.", .min = 1,          \
      .max = NAME_MAX_BYTES),                                                  \
        F(spec_disk, read_only, BOOL, IN, "The guest may not write."),         \
        F(spec_disk, direct, BOOL, IN, "Past the host's cache."),              \
        F(spec_disk, queues, INT, IN, "Request queues.", .min = 1,             \
          .max = DEV_BLK_MAX_QUEUES, .dflt = 1),                               \
        F(spec_disk, serial, STRING, IN, "Serial number.", .min = 1,           \
          .max = DEV_BLK_SERIAL),                                              \
        F(spec_disk, limits, OBJECT, IN, "Limits.", .sub = &spec_limits_table)
static const struct codec_field disk_fields[] = {
    FD(spec_disk, fd, "File or block device."), DISK_FIELDS};
static const struct codec_field sent_disk_fields[] = {
    F(spec_disk, fd, INT, NEED, "Number of the descriptor sent along.",
      .min = 0, .max = 15),
    DISK_FIELDS};
TABLE(spec_disk_table, "disk", "A disk.", spec_disk, disk_fields);
TABLE(spec_sent_disk_table, "disk", "A disk.", spec_disk, sent_disk_fields);

static const struct codec_field nic_fields[] = {
    F(spec_nic, name, STRING, NEED, "Unique among NICs.", .min = 1,
      .max = NAME_MAX_BYTES),
    F(spec_nic, kind, ENUM, IN, "What the descriptors are.",
      .names = nic_kinds),
    F(spec_nic, fds, INTS, NEED, "One per queue pair.", .min = 1,
      .max = DEVICES_MAX_NIC_QUEUES),
    F(spec_nic, vhost_fds, INTS, IN, "As many, of /dev/vhost-net; or none.",
      .max = DEVICES_MAX_NIC_QUEUES),
    F(spec_nic, mac, STRING, NEED, "Station address.", .min = 17, .max = 17),
    F(spec_nic, mtu, INT, IN, "0: not told.", .min = 0, .max = 65535),
    F(spec_nic, rx_limits, OBJECT, IN, "To the guest.",
      .sub = &spec_limits_table),
    F(spec_nic, tx_limits, OBJECT, IN, "From the guest.",
      .sub = &spec_limits_table),
};
TABLE(spec_nic_table, "nic", "A NIC.", spec_nic, nic_fields);
TABLE(spec_sent_nic_table, "nic", "A NIC.", spec_nic, nic_fields);

static const struct codec_field memory_fields[] = {
    F(spec_memory, bytes, INT, NEED, "A multiple of 1 MiB.", .min = 1 << 20,
      .max = MEMORY_MAX),
    F(spec_memory, shared, BOOL, IN, "Mapped shared."),
    F(spec_memory, hugepages, BOOL, IN, "In pages set aside by the host."),
    F(spec_memory, ksm, BOOL, IN, "The host may merge equal pages."),
};
static TABLE(memory_table, "memory", "Memory.", spec_memory, memory_fields);

static const struct codec_field vsock_fields[] = {
    F(spec_vsock, cid, INT, NEED, "The guest's address.", .min = 3,
      .max = UINT32_MAX - INT64_C(1)),
    FD_OPT(spec_vsock, listen_fd, "Listening unix stream socket."),
    F(spec_vsock, guest_path, STRING, IN, "Where the guest's calls go.",
      .min = 1, .max = 96),
};
static TABLE(vsock_table, "vsock", "Sockets.", spec_vsock, vsock_fields);

static const struct codec_field console_fields[] = {
    F(spec_console, name, STRING, NEED, "Unique among consoles.", .min = 1,
      .max = NAME_MAX_BYTES),
    FD(spec_console, fd, "Stream socket, pipe or terminal."),
};
TABLE(spec_console_table, "console", "A port.", spec_console, console_fields);

static const struct codec_field jail_fields[] = {
    FD(spec_jail, root_fd, "The folder that becomes the root."),
    F(spec_jail, uid, INT, NEED, "User.", .min = 1, .max = UINT32_MAX - 1),
    F(spec_jail, gid, INT, NEED, "Group.", .min = 1, .max = UINT32_MAX - 1),
    F(spec_jail, hostname, STRING, IN, "Host name inside.", .min = 1,
      .max = 64),
};
static TABLE(jail_table, "jail", "The jail.", spec_jail, jail_fields);

static const struct codec_field fields[] = {
    F(spec, version, INT, NEED, "Of this document: 1.", .min = 1, .max = 1),
    F(spec, id, STRING, NEED, "Which VM.", .min = 1, .max = 63),
    F(spec, name, STRING, IN, "For people.", .max = 255),
    F(spec, run, INT, IN, "Which run of it.", .min = 0, .max = INT64_MAX),
    F(spec, cpus, INT, NEED, "Processors.", .min = 1, .max = PLATFORM_MAX_CPUS),
    F(spec, cpu_model, STRING, IN, "Processor model.", .min = 1, .max = 63),
    F(spec, memory, OBJECT, NEED, "Memory.", .sub = &memory_table),
    FD(spec, kvm_fd, "/dev/kvm."),
    FD(spec, kernel_fd, "Kernel."),
    FD_OPT(spec, initrd_fd, "Initial RAM disk."),
    F(spec, cmdline, TEXT, IN, "Kernel command line.", .max = 65535),
    FD_OPT(spec, control_fd, "Listening unix stream socket."),
    FD_OPT(spec, console_log_fd, "File for the serial port's output."),
    FD_OPT(spec, end_fd, "File for how it ended."),
    F(spec, paused, BOOL, IN, "Wait for `start`."),
    F(spec, on_reset, ENUM, IN, "What a reset does.", .names = resets),
    F(spec, restarts_max, INT, IN, "Resets after which it ends; 0: none.",
      .min = 0, .max = INT64_MAX),
    F(spec, disks, LIST, IN, "Disks.", .sub = &spec_disk_table,
      .max = DEVICES_MAX_DISKS),
    F(spec, nics, LIST, IN, "NICs.", .sub = &spec_nic_table,
      .max = DEVICES_MAX_NICS),
    F(spec, vsock, OBJECT, IN, "Sockets.", .sub = &vsock_table),
    F(spec, consoles, LIST, IN, "Virtio console ports.",
      .sub = &spec_console_table, .max = DEVICES_MAX_CONSOLES),
    F(spec, jail, OBJECT, IN, "The jail.", .sub = &jail_table),
};
TABLE(spec_table, "VM", "One VM.", spec, fields);

void
spec_init(struct spec *s)
{
    *s = (struct spec){.kvm_fd = -1,
                       .kernel_fd = -1,
                       .initrd_fd = -1,
                       .control_fd = -1,
                       .console_log_fd = -1,
                       .end_fd = -1};
}

/* ---- every descriptor ---- */

struct each {
    int (*fn)(int64_t *fd, const char *ptr, void *arg);
    void *arg;
};

static int visit(const struct each *e, int64_t *fd, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int
visit(const struct each *e, int64_t *fd, const char *fmt, ...)
{
    char ptr[96];
    va_list ap;

    if (*fd < 0)
        return 0;
    va_start(ap, fmt);
    vsnprintf(ptr, sizeof(ptr), fmt, ap);
    va_end(ap);
    return e->fn(fd, ptr, e->arg);
}

static int
each_of_nic(const struct each *e, struct spec_nic *n, const char *ptr)
{
    int64_t *fds = n->fds.items, *vhost = n->vhost_fds.items;
    int r = 0;

    for (size_t i = 0; r == 0 && i < n->fds.n; i++)
        r = visit(e, &fds[i], "%s/fds/%zu", ptr, i);
    for (size_t i = 0; r == 0 && i < n->vhost_fds.n; i++)
        r = visit(e, &vhost[i], "%s/vhost_fds/%zu", ptr, i);
    return r;
}

static int
each_of_devices(const struct each *e, struct spec *s)
{
    struct spec_disk *disks = s->disks.items;
    struct spec_nic *nics = s->nics.items;
    struct spec_console *consoles = s->consoles.items;
    char ptr[32];
    int r = 0;

    for (size_t i = 0; r == 0 && i < s->disks.n; i++)
        r = visit(e, &disks[i].fd, "/disks/%zu/fd", i);
    for (size_t i = 0; r == 0 && i < s->nics.n; i++) {
        snprintf(ptr, sizeof(ptr), "/nics/%zu", i);
        r = each_of_nic(e, &nics[i], ptr);
    }
    for (size_t i = 0; r == 0 && i < s->consoles.n; i++)
        r = visit(e, &consoles[i].fd, "/consoles/%zu/fd", i);
    return r;
}

int
spec_each_fd(struct spec *s, int (*fn)(int64_t *fd, const char *ptr, void *arg),
             void *arg)
{
    const struct each e = {.fn = fn, .arg = arg};
    const struct {
        int64_t *fd;
        const char *ptr;
    } own[] = {
        {&s->kvm_fd, "/kvm_fd"},
        {&s->kernel_fd, "/kernel_fd"},
        {&s->initrd_fd, "/initrd_fd"},
        {&s->control_fd, "/control_fd"},
        {&s->console_log_fd, "/console_log_fd"},
        {&s->end_fd, "/end_fd"},
    };
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(own); i++)
        r = visit(&e, own[i].fd, "%s", own[i].ptr);
    if (r == 0)
        r = each_of_devices(&e, s);
    if (r == 0 && s->vsock)
        r = visit(&e, &s->vsock->listen_fd, "/vsock/listen_fd");
    if (r == 0 && s->jail)
        r = visit(&e, &s->jail->root_fd, "/jail/root_fd");
    return r;
}

/* ---- ownership ---- */

static int
close_one(int64_t *fd, const char *ptr, void *arg)
{
    close((int)*fd);
    *fd = -1;
    return 0;
}

static const struct each closing = {.fn = close_one};

void
spec_release(struct spec *s)
{
    spec_each_fd(s, close_one, NULL);
    codec_clear(&spec_table, s);
    spec_init(s);
}

void
spec_disk_release(struct spec_disk *d)
{
    if (d->fd >= 0)
        close((int)d->fd);
    codec_clear(&spec_disk_table, d);
    d->fd = -1;
}

void
spec_nic_release(struct spec_nic *n)
{
    each_of_nic(&closing, n, "");
    codec_clear(&spec_nic_table, n);
}

/* ---- decoding ---- */

int
spec_parse_mac(const char *s, uint8_t ret[6])
{
    for (unsigned i = 0; i < 6; i++, s += 3) {
        char two[3] = {s[0], s[0] ? s[1] : '\0', '\0'};

        if (!isxdigit((unsigned char)two[0]) ||
            !isxdigit((unsigned char)two[1]) || s[2] != (i < 5 ? ':' : '\0'))
            return -EINVAL;
        ret[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    return ret[0] & 1 ? -EINVAL : 0; /* a multicast address is nobody's */
}

struct rate_limits
spec_limits(const struct spec_limits *l)
{
    if (!l)
        return (struct rate_limits){0};
    return (struct rate_limits){.ops_per_s = (uint64_t)l->ops_per_s,
                                .ops_burst = (uint64_t)l->ops_burst,
                                .bytes_per_s = (uint64_t)l->bytes_per_s,
                                .bytes_burst = (uint64_t)l->bytes_burst};
}

/* The first member of each struct in a device list is its name. */
static int
check_names(const struct codec_list *l, size_t size, const char *list,
            struct err *e)
{
    int r = 0;

    for (size_t i = 0; i < l->n; i++)
        for (size_t k = 0; k < i; k++) {
            const char *a = *(char **)((char *)l->items + i * size);
            const char *b = *(char **)((char *)l->items + k * size);
            char ptr[48];

            if (!a || !b || !streq(a, b))
                continue;
            snprintf(ptr, sizeof(ptr), "/%s/%zu/name", list, i);
            r = err_field(e, ptr, "duplicate", "is the name of another");
            break;
        }
    return r;
}

static int
check(const struct spec *s, struct err *e)
{
    int r = check_names(&s->disks, sizeof(struct spec_disk), "disks", e);
    int r2 = check_names(&s->nics, sizeof(struct spec_nic), "nics", e);
    int r3 =
        check_names(&s->consoles, sizeof(struct spec_console), "consoles", e);

    r = r < 0 ? r : r2 < 0 ? r2 : r3;
    if (s->memory->bytes % (1 << 20))
        r = err_field(e, "/memory/bytes", "range",
                      "must be a multiple of 1 MiB");
    return r;
}

int
spec_decode(const char *json, size_t len, struct spec *out, struct err *reterr)
{
    int r;

    if (len > SPEC_MAX_BYTES)
        return err_set(reterr, -EFBIG, "too_large",
                       "a description has at most %u bytes", SPEC_MAX_BYTES);
    memset(out, 0, sizeof(*out));
    r = codec_decode(&spec_table, CODEC_REQUEST, json, len, out, reterr);
    if (r == 0)
        r = check(out, reterr);
    if (r < 0) {
        codec_clear(&spec_table, out);
        spec_init(out);
    }
    return r;
}
