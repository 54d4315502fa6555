/* spec.c - is a VM's description sound? See hv_spec_check() in hv-private.h.
 * The strings end up in XML, on QEMU's command line and in process lists, and
 * come from tenants in part: what is checked here is that none of them can
 * mean anything there but itself. */
#include <config.h>

#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/mem.h"
#include "hypervisor-backend/hv-private.h"

#define MAX_VCPUS 64
#define MAX_MEMORY_BYTES (UINT64_C(16) << 40)
#define MAX_DISKS 16
#define MAX_NICS 8
#define MAX_NAME 128
#define MAX_PATH 1024
/* The kernel's own limit for x86 (COMMAND_LINE_SIZE), with the NUL. */
#define MAX_CMDLINE 2047
#define MAX_CPU_SHARES 10000u
#define MAX_IOPS UINT64_C(1000000000)
#define MAX_BYTES_PER_SECOND (UINT64_C(1) << 40)

/* UTF-8 as RFC 3629 defines it (no overlong forms, no surrogates), without
 * control characters and the two code points that XML cannot carry. */
static bool
text_ok(const char *s)
{
    const unsigned char *p = (const unsigned char *)s;

    while (*p) {
        unsigned extra;
        uint32_t c, min;

        if (*p < 0x80) {
            if (*p < 0x20 || *p == 0x7f)
                return false;
            p++;
            continue;
        }
        if ((*p & 0xe0) == 0xc0)
            extra = 1, c = *p & 0x1f, min = 0x80;
        else if ((*p & 0xf0) == 0xe0)
            extra = 2, c = *p & 0x0f, min = 0x800;
        else if ((*p & 0xf8) == 0xf0)
            extra = 3, c = *p & 0x07, min = 0x10000;
        else
            return false;
        for (p++; extra; extra--, p++) {
            if ((*p & 0xc0) != 0x80)
                return false;
            c = c << 6 | (*p & 0x3f);
        }
        if (c < min || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ||
            (c >= 0x80 && c < 0xa0) || c == 0xfffe || c == 0xffff)
            return false;
    }
    return true;
}

static int
check_text(const char *s, size_t min, size_t max, const char *pointer,
           struct err *reterr)
{
    size_t n = strnlen(s, max + 1);

    if (n < min || n > max)
        return err_field(reterr, pointer, "length", "must be %zu..%zu bytes",
                         min, max);
    if (!text_ok(s))
        return err_field(reterr, pointer, "format",
                         "must be UTF-8 without control characters");
    return 0;
}

static int
check_path(const char *s, const char *pointer, struct err *reterr)
{
    if (!s || s[0] != '/')
        return err_field(reterr, pointer, "format", "must be an absolute path");
    return check_text(s, 1, MAX_PATH, pointer, reterr);
}

static int
check_dir(const char *dir, struct err *reterr)
{
    struct sockaddr_un sa;
    struct stat st;
    int r = check_path(dir, "/dir", reterr);

    if (r < 0)
        return r;
    if (strlen(dir) + 1 + strlen(HV_CONSOLE_SOCK) + 1 > sizeof(sa.sun_path))
        return err_field(reterr, "/dir", "length",
                         "is too long for a socket in it: at most %zu bytes",
                         sizeof(sa.sun_path) - 2 - strlen(HV_CONSOLE_SOCK));
    if (lstat(dir, &st) < 0)
        return err_field(reterr, "/dir", "missing", "%s: %s", dir,
                         strerrordesc_np(errno));
    if (!S_ISDIR(st.st_mode))
        return err_field(reterr, "/dir", "format", "%s is not a folder", dir);
    return 0;
}

/* Six lowercase octets; not a multicast address and not all zeros, which
 * QEMU refuses or a network drops. */
static bool
mac_ok(const char *mac)
{
    bool any = false;

    if (!mac || strlen(mac) != 17)
        return false;
    for (int i = 0; i < 17; i++) {
        if (i % 3 == 2) {
            if (mac[i] != ':')
                return false;
        } else if (!strchr("0123456789abcdef", mac[i])) {
            return false;
        } else if (mac[i] != '0') {
            any = true;
        }
    }
    return any && !strchr("13579bdf", mac[1]);
}

static int
check_boot(const struct hv_spec *s, unsigned caps, struct err *reterr)
{
    int r = 0;

    if (s->kernel) {
        if (check_path(s->kernel, "/kernel", reterr) < 0)
            r = -EINVAL;
        if (s->initrd && check_path(s->initrd, "/initrd", reterr) < 0)
            r = -EINVAL;
        if (s->cmdline &&
            check_text(s->cmdline, 0, MAX_CMDLINE, "/cmdline", reterr) < 0)
            r = -EINVAL;
        return r;
    }
    if (s->initrd)
        r = err_field(reterr, "/initrd", "conflict", "needs a kernel");
    if (s->cmdline)
        r = err_field(reterr, "/cmdline", "conflict", "needs a kernel");
    if (caps & HV_CAP_NO_GUEST)
        return r;
    if (!(caps & HV_CAP_DISK_BOOT))
        r = err_field(reterr, "/kernel", "unsupported",
                      "is required: this node's hypervisor has no firmware to "
                      "boot a disk by");
    else if (!s->n_disks)
        r = err_field(reterr, "/kernel", "required",
                      "is needed where there is no disk to boot from");
    return r;
}

static int
check_disks(const struct hv_spec *s, unsigned caps, struct err *reterr)
{
    int r = 0;

    if (s->n_disks > MAX_DISKS)
        return err_field(reterr, "/disks", "range", "at most %d", MAX_DISKS);
    for (size_t i = 0; i < s->n_disks; i++) {
        const struct hv_disk *d = &s->disks[i];
        char at[40];

        snprintf(at, sizeof(at), "/disks/%zu/path", i);
        if (check_path(d->path, at, reterr) < 0)
            r = -EINVAL;
        snprintf(at, sizeof(at), "/disks/%zu/format", i);
        if (!streq(d->format, "raw") && !streq(d->format, "qcow2"))
            r = err_field(reterr, at, "enum", "must be raw or qcow2");
        else if (streq(d->format, "qcow2") && !(caps & HV_CAP_QCOW2))
            r = err_field(reterr, at, "unsupported",
                          "must be raw: this node's hypervisor reads no qcow2");
        snprintf(at, sizeof(at), "/disks/%zu/path", i);
        for (size_t j = 0; d->path && j < i; j++)
            if (streq(s->disks[j].path, d->path) &&
                !(d->read_only && s->disks[j].read_only))
                r = err_field(reterr, at, "duplicate",
                              "is the same file as disk %zu", j);
    }
    return r;
}

static int
check_nics(const struct hv_spec *s, struct err *reterr)
{
    int r = 0;

    if (s->n_nics > MAX_NICS)
        return err_field(reterr, "/nics", "range", "at most %d", MAX_NICS);
    for (size_t i = 0; i < s->n_nics; i++) {
        char at[40];

        snprintf(at, sizeof(at), "/nics/%zu/mac", i);
        if (!mac_ok(s->nics[i].mac))
            r = err_field(reterr, at, "format",
                          "must be a unicast address as 52:54:00:aa:bb:cc");
        for (size_t j = 0; j < i; j++)
            if (streq(s->nics[j].mac, s->nics[i].mac))
                r = err_field(reterr, at, "duplicate",
                              "is the address of NIC %zu", j);
    }
    return r;
}

static int
check_limits(const struct hv_limits *l, struct err *reterr)
{
    int r = 0;

    if (l->cpu_shares > MAX_CPU_SHARES)
        r = err_field(reterr, "/limits/cpu_shares", "range",
                      "must be 1..%u, or 0 for %u", MAX_CPU_SHARES,
                      HV_CPU_SHARES_DEFAULT);
    if (l->cpu_limit_percent > 100)
        r = err_field(reterr, "/limits/cpu_limit_percent", "range",
                      "must be 1..100, or 0 for none");
    if (l->cpu_reservation_percent > 100)
        r = err_field(reterr, "/limits/cpu_reservation_percent", "range",
                      "must be 0..100");
    else if (l->cpu_limit_percent &&
             l->cpu_reservation_percent > l->cpu_limit_percent)
        r = err_field(reterr, "/limits/cpu_reservation_percent", "range",
                      "must not be more than the limit (%u)",
                      l->cpu_limit_percent);
    if (l->disk_iops > MAX_IOPS)
        r = err_field(reterr, "/limits/disk_iops", "range", "at most 10^9");
    if (l->disk_bytes_per_second > MAX_BYTES_PER_SECOND)
        r = err_field(reterr, "/limits/disk_bytes_per_second", "range",
                      "at most 1 TiB");
    if (l->net_bytes_per_second > MAX_BYTES_PER_SECOND)
        r = err_field(reterr, "/limits/net_bytes_per_second", "range",
                      "at most 1 TiB");
    return r;
}

struct hv_cpu
hv_spec_cpu(const struct hv_spec *s)
{
    const struct hv_limits *l = &s->limits;
    unsigned each = l->cpu_shares ? l->cpu_shares : HV_CPU_SHARES_DEFAULT;

    return (struct hv_cpu){
        .shares = MIN(each * s->vcpus, MAX_CPU_SHARES),
        .limit_millicpu = l->cpu_limit_percent * s->vcpus * 10,
        .reserve_millicpu = l->cpu_reservation_percent * s->vcpus * 10,
        .asked = each != HV_CPU_SHARES_DEFAULT || l->cpu_limit_percent ||
                 l->cpu_reservation_percent,
    };
}

int
hv_spec_check(const struct hv_spec *s, unsigned caps, struct err *reterr)
{
    int r = 0;

    if (!s->id || !id_valid(s->id))
        r = err_field(reterr, "/id", "format", "must be a UUID");
    if (!s->name)
        r = err_field(reterr, "/name", "required", "is required");
    else if (check_text(s->name, 1, MAX_NAME, "/name", reterr) < 0)
        r = -EINVAL;
    if (s->vcpus < 1 || s->vcpus > MAX_VCPUS)
        r = err_field(reterr, "/vcpus", "range", "must be 1..%d", MAX_VCPUS);
    if (!s->memory_bytes || s->memory_bytes % (1 << 20) ||
        s->memory_bytes > MAX_MEMORY_BYTES)
        r = err_field(reterr, "/memory_bytes", "range",
                      "must be a multiple of 1 MiB, up to 16 TiB");
    if (check_boot(s, caps, reterr) < 0)
        r = -EINVAL;
    if (check_disks(s, caps, reterr) < 0)
        r = -EINVAL;
    if (check_nics(s, reterr) < 0)
        r = -EINVAL;
    if (check_limits(&s->limits, reterr) < 0)
        r = -EINVAL;
    if (check_dir(s->dir, reterr) < 0)
        r = -EINVAL;
    return r;
}
