/* lv-xml.c - domain descriptions and our metadata, as text.
 * See libvirt's formatdomain documentation for each element. Names and paths
 * come from outside: everything variable goes through add_escaped(). */
#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "common/mem.h"
#include "hypervisor-backend/libvirt/lv-private.h"
#include "hypervisor-backend/vmm-driver/cgroup.h"

#define QUOTA_PERIOD_US 100000u

/* The slots on the root complex where our NICs stand; libvirt puts its own
 * devices behind root ports, which it numbers from slot 1. */
#define NIC_FIRST_SLOT 0x10

static void
add_escaped(struct buf *b, const char *s)
{
    for (; *s; s++) {
        switch (*s) {
        case '&':
            buf_adds(b, "&amp;");
            break;
        case '<':
            buf_adds(b, "&lt;");
            break;
        case '>':
            buf_adds(b, "&gt;");
            break;
        case '"':
            buf_adds(b, "&quot;");
            break;
        case '\'':
            buf_adds(b, "&apos;");
            break;
        default:
            buf_addc(b, *s);
        }
    }
}

/* The folder in the metadata is percent-encoded, so that reading it back does
 * not depend on how libvirt writes XML. */
static void
add_percent(struct buf *b, const char *s)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-";

    for (; *s; s++) {
        if (strchr(plain, *s))
            buf_addc(b, *s);
        else
            buf_addf(b, "%%%02x", (unsigned char)*s);
    }
}

static int
undo_percent(const char *s, size_t n, char *out, size_t out_size)
{
    size_t w = 0;

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        char hex[3];

        if (c == '%') {
            if (n - i < 3)
                return -EBADMSG;
            memcpy(hex, s + i + 1, 2);
            hex[2] = '\0';
            if (id_unhex(hex, &c, 1) < 0 || !c)
                return -EBADMSG;
            i += 2;
        }
        if (w + 1 >= out_size)
            return -EBADMSG;
        out[w++] = (char)c;
    }
    out[w] = '\0';
    return 0;
}

void
lv_meta_format(const struct lv_meta *m, const char *prefix, struct buf *ret)
{
    const char *colon = prefix ? ":" : "";

    prefix = prefix ? prefix : "";
    buf_addf(ret, "<%s%sinstance xmlns%s%s=\"" LV_XMLNS "\"", prefix, colon,
             colon, prefix);
    buf_addf(ret, " run=\"%" PRIu64 "\" prepared-us=\"%" PRId64 "\"", m->run,
             m->prepared_us);
    buf_addf(ret, " started-us=\"%" PRId64 "\" dir=\"", m->started_us);
    add_percent(ret, m->dir);
    buf_adds(ret, "\"/>");
}

/* The value of ` name=` with either quote. */
static const char *
attribute(const char *xml, const char *name, size_t *ret_n)
{
    size_t len = strlen(name);

    for (const char *p = xml; (p = strstr(p, name)); p += len) {
        char quote;
        const char *end;

        if (p == xml || p[-1] != ' ' || p[len] != '=')
            continue;
        quote = p[len + 1];
        if (quote != '"' && quote != '\'')
            continue;
        end = strchr(p + len + 2, quote);
        if (!end)
            return NULL;
        *ret_n = (size_t)(end - (p + len + 2));
        return p + len + 2;
    }
    return NULL;
}

static int
number_attribute(const char *xml, const char *name, uint64_t max, uint64_t *ret)
{
    size_t n;
    const char *s = attribute(xml, name, &n);
    uint64_t v = 0;

    if (!s || !n)
        return -EBADMSG;
    for (; n; s++, n--) {
        unsigned digit = (unsigned)(*s - '0');

        if (digit > 9 || v > (max - digit) / 10)
            return -EBADMSG;
        v = v * 10 + digit;
    }
    *ret = v;
    return 0;
}

int
lv_meta_parse(const char *xml, struct lv_meta *ret)
{
    struct lv_meta m = {0};
    uint64_t prepared, started;
    size_t n;
    const char *dir = attribute(xml, "dir", &n);

    if (!dir || undo_percent(dir, n, m.dir, sizeof(m.dir)) < 0 ||
        number_attribute(xml, "run", UINT64_MAX, &m.run) < 0 ||
        number_attribute(xml, "prepared-us", INT64_MAX, &prepared) < 0 ||
        number_attribute(xml, "started-us", INT64_MAX, &started) < 0)
        return -EBADMSG;
    m.prepared_us = (int64_t)prepared;
    m.started_us = (int64_t)started;
    *ret = m;
    return 0;
}

static void
element(struct buf *b, const char *indent, const char *name, const char *text)
{
    buf_addf(b, "%s<%s>", indent, name);
    add_escaped(b, text);
    buf_addf(b, "</%s>\n", name);
}

static void
add_metadata(struct buf *b, const struct hv_spec *s,
             const struct lv_xml_env *env)
{
    struct lv_meta m = {.run = s->run, .prepared_us = env->prepared_us};

    snprintf(m.dir, sizeof(m.dir), "%s", s->dir);
    buf_adds(b, "  <metadata>\n    ");
    lv_meta_format(&m, "virga", b);
    buf_adds(b, "\n  </metadata>\n");
}

static void
add_os(struct buf *b, const struct hv_spec *s)
{
    buf_adds(b, "  <os>\n"
                "    <type arch='x86_64' machine='q35'>hvm</type>\n");
    if (s->kernel) {
        element(b, "    ", "kernel", s->kernel);
        if (s->initrd)
            element(b, "    ", "initrd", s->initrd);
        if (s->cmdline && *s->cmdline)
            element(b, "    ", "cmdline", s->cmdline);
    }
    /* There is no display: the firmware speaks on the serial port. */
    buf_adds(b, "    <bios useserial='yes'/>\n  </os>\n");
}

static void
add_cpu(struct buf *b, const struct lv_xml_env *env)
{
    buf_addf(b, "  <cpu mode='%s'/>\n",
             env->kvm ? "host-passthrough" : "maximum");
    buf_adds(b, "  <features><acpi/><apic/></features>\n"
                "  <clock offset='utc'/>\n");
    /* How a VM ends is told apart by these: power-off ends the QEMU process
     * with reason "shutdown", a panic (pvpanic) with "crashed"; a reboot stays
     * within the process. Sleep states would only look like a hang. */
    buf_adds(b, "  <on_poweroff>destroy</on_poweroff>\n"
                "  <on_reboot>restart</on_reboot>\n"
                "  <on_crash>destroy</on_crash>\n"
                "  <pm>\n"
                "    <suspend-to-mem enabled='no'/>\n"
                "    <suspend-to-disk enabled='no'/>\n"
                "  </pm>\n");
}

/* As the driver vmm does it; libvirt knows no reservation either. */
static void
add_cputune(struct buf *b, const struct hv_spec *s,
            const struct lv_xml_env *env)
{
    struct hv_cpu cpu = hv_spec_cpu(s);
    struct cgroup_limits l = {.cpu_shares = cpu.shares,
                              .cpu_reserve_millicpu = cpu.reserve_millicpu,
                              .node_millicpu = env->node_cpus * 1000};

    if (!env->cgroups)
        return;
    /* Not below 2, the least of version 1. */
    buf_addf(b, "  <cputune>\n    <shares>%u</shares>\n",
             MAX(cgroup_cpu_weight(&l), 2u));
    if (cpu.limit_millicpu)
        buf_addf(b,
                 "    <global_period>%u</global_period>\n"
                 "    <global_quota>%" PRIu64 "</global_quota>\n",
                 QUOTA_PERIOD_US,
                 (uint64_t)cpu.limit_millicpu * QUOTA_PERIOD_US / 1000);
    buf_adds(b, "  </cputune>\n");
}

/* QEMU's own, so that it needs no cgroup. */
static void
add_iotune(struct buf *b, const struct hv_limits *l)
{
    if (!l->disk_iops && !l->disk_bytes_per_second)
        return;
    buf_adds(b, "      <iotune>\n");
    if (l->disk_bytes_per_second)
        buf_addf(b, "        <total_bytes_sec>%" PRIu64 "</total_bytes_sec>\n",
                 l->disk_bytes_per_second);
    if (l->disk_iops)
        buf_addf(b, "        <total_iops_sec>%" PRIu64 "</total_iops_sec>\n",
                 l->disk_iops);
    buf_adds(b, "      </iotune>\n");
}

static void
add_disk(struct buf *b, const struct hv_spec *s, size_t i, bool direct,
         bool boot)
{
    const struct hv_disk *d = &s->disks[i];

    buf_addf(b,
             "    <disk type='file' device='disk'>\n"
             "      <driver name='qemu' type='%s' cache='%s' "
             "discard='unmap'/>\n"
             "      <source file='",
             d->format, direct ? "none" : "writeback");
    add_escaped(b, d->path);
    buf_addf(b, "'/>\n      <target dev='vd%c' bus='virtio'/>\n",
             (char)('a' + i));
    if (d->read_only)
        buf_adds(b, "      <readonly/>\n");
    if (boot)
        buf_adds(b, "      <boot order='1'/>\n");
    add_iotune(b, &s->limits);
    buf_adds(b, "    </disk>\n");
}

static void
add_serial(struct buf *b, const struct hv_spec *s)
{
    buf_adds(b, "    <serial type='unix'>\n      <source mode='bind' path='");
    add_escaped(b, s->dir);
    buf_adds(b, "/" HV_CONSOLE_SOCK "'/>\n      <log file='");
    add_escaped(b, s->dir);
    buf_adds(b, "/" HV_CONSOLE_LOG "' append='on'/>\n"
                "      <target port='0'/>\n    </serial>\n");
}

static void
add_devices(struct buf *b, const struct hv_spec *s,
            const struct lv_xml_env *env)
{
    buf_adds(b, "  <devices>\n");
    for (size_t i = 0; i < s->n_disks; i++)
        add_disk(b, s, i, env->disk_direct[i], i == 0 && !s->kernel);
    add_serial(b, s);
    buf_adds(b, "    <controller type='usb' model='none'/>\n"
                "    <video><model type='none'/></video>\n"
                "    <memballoon model='virtio' freePageReporting='on'/>\n"
                "    <rng model='virtio'>\n"
                "      <backend model='random'>/dev/urandom</backend>\n"
                "    </rng>\n"
                "    <panic model='isa'/>\n"
                "  </devices>\n");
}

/* libvirt's own user-mode interface has no `restrict`, so NICs are handed to
 * QEMU directly; all of them, so that their order in the guest is ours. */
static void
add_nics(struct buf *b, const struct hv_spec *s)
{
    if (!s->n_nics)
        return;
    buf_adds(b, "  <qemu:commandline>\n");
    for (size_t i = 0; i < s->n_nics; i++) {
        const struct hv_nic *n = &s->nics[i];

        buf_addf(b,
                 "    <qemu:arg value='-netdev'/>\n"
                 "    <qemu:arg value='user,id=virganet%zu%s'/>\n"
                 "    <qemu:arg value='-device'/>\n"
                 "    <qemu:arg value='virtio-net-pci,netdev=virganet%zu,"
                 "mac=%s,bus=pcie.0,addr=0x%zx,romfile='/>\n",
                 i, n->isolated ? ",restrict=on" : "", i, n->mac,
                 NIC_FIRST_SLOT + i);
    }
    buf_adds(b, "  </qemu:commandline>\n");
}

void
lv_xml_domain(const struct hv_spec *s, const struct lv_xml_env *env,
              struct buf *b)
{
    buf_addf(b,
             "<domain type='%s' xmlns:qemu='http://libvirt.org/schemas/domain/"
             "qemu/1.0'>\n",
             env->kvm ? "kvm" : "qemu");
    buf_addf(b, "  <name>" LV_NAME_PREFIX "%s</name>\n  <uuid>%s</uuid>\n",
             s->id, s->id);
    element(b, "  ", "title", s->name);
    add_metadata(b, s, env);
    buf_addf(b,
             "  <memory unit='b'>%" PRIu64 "</memory>\n"
             "  <vcpu placement='static'>%u</vcpu>\n",
             s->memory_bytes, s->vcpus);
    add_cputune(b, s, env);
    add_os(b, s);
    add_cpu(b, env);
    add_devices(b, s, env);
    add_nics(b, s);
    buf_adds(b, "</domain>\n");
}
