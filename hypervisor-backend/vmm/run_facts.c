/* run_facts.c - what is known of a VM: as JSON for the control socket
 * (CONTROL.md has the form) and as OpenMetrics. */
#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "common/count.h"
#include "hypervisor-backend/vmm/run-private.h"

/* ---- JSON ---- */

static void
add_u64(struct buf *out, const char *name, uint64_t v)
{
    buf_addf(out, ",\"%s\":%" PRIu64, name, v);
}

static void
add_bool(struct buf *out, const char *name, bool v)
{
    buf_addf(out, ",\"%s\":%s", name, v ? "true" : "false");
}

static void
add_text(struct buf *out, const char *name, const char *text)
{
    buf_addf(out, ",\"%s\":", name);
    codec_encode_string(text ? text : "", out);
}

static void
add_limits(struct buf *out, const char *name, const struct rate_limits *l)
{
    buf_addf(out,
             ",\"%s\":{\"ops_per_s\":%" PRIu64 ",\"ops_burst\":%" PRIu64
             ",\"bytes_per_s\":%" PRIu64 ",\"bytes_burst\":%" PRIu64 "}",
             name, l->ops_per_s, l->ops_burst, l->bytes_per_s, l->bytes_burst);
}

/* A comma between items, none before the first. */
static void
separate(struct buf *out)
{
    char last = out->len ? out->data[out->len - 1] : '[';

    if (last != '[' && last != '{')
        buf_addc(out, ',');
}

static void
describe_disk(const struct devices_info *i, struct buf *out)
{
    add_u64(out, "capacity_bytes", i->disk.capacity_bytes);
    add_bool(out, "read_only", i->disk.read_only);
    add_bool(out, "direct", i->disk.direct);
    add_u64(out, "queues", i->disk.queues);
    add_text(out, "serial", i->disk.serial);
    add_limits(out, "limits", &i->disk.limits);
}

static void
describe_nic(const struct devices_info *i, struct buf *out)
{
    const uint8_t *m = i->nic.mac;

    add_text(out, "type", i->nic.kind == DEVICES_NIC_TAP ? "tap" : "packets");
    buf_addf(out, ",\"mac\":\"%02x:%02x:%02x:%02x:%02x:%02x\"", m[0], m[1],
             m[2], m[3], m[4], m[5]);
    add_u64(out, "mtu", i->nic.mtu);
    add_u64(out, "queues", i->nic.queues);
    add_bool(out, "vhost", i->nic.vhost);
    add_bool(out, "up", i->nic.link_up);
    add_limits(out, "rx_limits", &i->nic.rx);
    add_limits(out, "tx_limits", &i->nic.tx);
}

static void
describe_device(void *arg, const struct devices_info *i)
{
    struct buf *out = arg;

    separate(out);
    buf_addf(out, "{\"kind\":\"%s\"", devices_kind_name(i->kind));
    add_text(out, "name", i->name);
    add_u64(out, "slot", i->slot);
    add_bool(out, "detaching", i->detaching);
    if (i->kind == DEVICES_DISK)
        describe_disk(i, out);
    else if (i->kind == DEVICES_NIC)
        describe_nic(i, out);
    else if (i->kind == DEVICES_VSOCK)
        add_u64(out, "cid", i->vsock.cid);
    else if (i->kind == DEVICES_CONSOLE)
        add_u64(out, "ports", i->console.ports);
    buf_addc(out, '}');
}

static const char *
state_name(const struct run *r)
{
    if (!r->vm)
        return "restarting";
    return r->paused ? "paused" : "running";
}

void
run_describe(struct run *r, struct buf *out)
{
    const struct spec *s = r->spec;

    buf_adds(out, "{\"id\":");
    codec_encode_string(s->id, out);
    add_text(out, "name", s->name);
    add_u64(out, "run", (uint64_t)s->run);
    add_text(out, "state", state_name(r));
    add_u64(out, "started_at_us", (uint64_t)r->started_at_us);
    add_u64(out, "resets", r->resets);
    add_u64(out, "cpus", (uint64_t)s->cpus);
    add_text(out, "cpu_model", s->cpu_model ? s->cpu_model : "host");
    buf_addf(out, ",\"memory\":{\"bytes\":%" PRIi64, s->memory->bytes);
    add_bool(out, "shared", s->memory->shared);
    add_bool(out, "hugepages", s->memory->hugepages);
    add_bool(out, "ksm", s->memory->ksm);
    buf_addc(out, '}');
    add_bool(out, "jailed", s->jail != NULL);
    add_u64(out, "waiting", r->n_waiters);
    buf_adds(out, ",\"devices\":[");
    if (r->devices)
        devices_walk(r->devices, describe_device, out);
    buf_addf(out, "],\"versions\":{\"program\":\"%s\",\"protocol\":[%d]}}",
             PACKAGE_VERSION, CONTROL_VERSION);
}

static void
stats_vcpus(struct run *r, struct buf *out)
{
    for (unsigned i = 0; r->vm && i < vm_cpus(r->vm); i++) {
        struct vcpu_stats s;

        vm_vcpu_stats(r->vm, i, &s);
        separate(out);
        buf_adds(out, "{\"exits\":{");
        for (int k = 0; k < VCPU_EXITS; k++)
            buf_addf(out, "%s\"%s\":%" PRIu64, k ? "," : "",
                     vcpu_exit_name((enum vcpu_exit)k), s.exits[k]);
        buf_addc(out, '}');
        add_u64(out, "unclaimed", s.unclaimed);
        add_u64(out, "guest_ns", s.guest_ns);
        add_u64(out, "vmm_ns", s.vmm_ns);
        buf_addc(out, '}');
    }
}

static void
stats_common(const struct devices_info *i, struct buf *out)
{
    separate(out);
    buf_adds(out, "{\"name\":");
    codec_encode_string(i->name, out);
    add_u64(out, "kicks", i->kicks);
    add_u64(out, "interrupts", i->interrupts);
    add_u64(out, "faults", i->faults);
}

static void
stats_disk(void *arg, const struct devices_info *i)
{
    const struct dev_blk_stats *s = &i->disk.stats;
    struct buf *out = arg;

    if (i->kind != DEVICES_DISK)
        return;
    stats_common(i, out);
    add_u64(out, "reads", s->reads);
    add_u64(out, "writes", s->writes);
    add_u64(out, "flushes", s->flushes);
    add_u64(out, "discards", s->discards);
    add_u64(out, "errors", s->errors);
    add_u64(out, "read_bytes", s->read_bytes);
    add_u64(out, "written_bytes", s->written_bytes);
    add_u64(out, "throttled", s->throttled);
    buf_adds(out, ",\"latency\":[");
    for (size_t b = 0; b < DEV_BLK_BUCKETS; b++)
        buf_addf(out, "%s%" PRIu64, b ? "," : "", s->latency[b]);
    buf_adds(out, "]}");
}

static void
stats_nic(void *arg, const struct devices_info *i)
{
    const struct dev_net_stats *s = &i->nic.stats;
    struct buf *out = arg;

    if (i->kind != DEVICES_NIC)
        return;
    stats_common(i, out);
    add_u64(out, "rx_packets", s->rx_packets);
    add_u64(out, "rx_bytes", s->rx_bytes);
    add_u64(out, "rx_dropped", s->rx_dropped);
    add_u64(out, "tx_packets", s->tx_packets);
    add_u64(out, "tx_bytes", s->tx_bytes);
    add_u64(out, "tx_dropped", s->tx_dropped);
    add_u64(out, "throttled", s->throttled);
    buf_addc(out, '}');
}

/* VIRTIO 1.2 section 5.5.6.3, in the order of their numbers. */
static const char *const balloon_tags[] = {
    "swap_in_bytes",   "swap_out_bytes",   "major_faults",
    "minor_faults",    "free_bytes",       "total_bytes",
    "available_bytes", "disk_cache_bytes", "hugetlb_allocations",
    "hugetlb_failures"};

void
run_balloon(struct run *r, struct buf *out)
{
    struct dev_balloon_stats s = {0};

    if (r->devices)
        devices_balloon_stats(r->devices, &s);
    buf_addf(out, "{\"target_bytes\":%" PRIu64, s.target_bytes);
    add_u64(out, "actual_bytes", s.actual_bytes);
    add_u64(out, "inflated_bytes", s.inflated_bytes);
    add_u64(out, "deflated_bytes", s.deflated_bytes);
    add_u64(out, "reported_bytes", s.reported_bytes);
    add_u64(out, "bad_pages", s.bad_pages);
    add_u64(out, "updates", s.updates);
    buf_adds(out, ",\"guest\":{");
    for (size_t t = 0; t < ARRAY_SIZE(balloon_tags); t++)
        if (s.tags_present & (1u << t)) {
            separate(out);
            buf_addf(out, "\"%s\":%" PRIu64, balloon_tags[t], s.tag[t]);
        }
    buf_adds(out, "}}");
}

static void
stats_event(const char *name, uint64_t value, void *arg)
{
    struct buf *out = arg;

    separate(out);
    buf_addf(out, "\"%s\":%" PRIu64, name, value);
}

void
run_stats(struct run *r, struct buf *out)
{
    buf_addf(out, "{\"resets\":%" PRIu64 ",\"vcpus\":[", r->resets);
    stats_vcpus(r, out);
    buf_adds(out, "],\"disks\":[");
    if (r->devices)
        devices_walk(r->devices, stats_disk, out);
    buf_adds(out, "],\"nics\":[");
    if (r->devices)
        devices_walk(r->devices, stats_nic, out);
    buf_adds(out, "],\"balloon\":");
    run_balloon(r, out);
    buf_addf(out, ",\"console\":{\"dropped_bytes\":%" PRIu64 "},\"events\":{",
             run_console_dropped(r));
    count_each(stats_event, out);
    buf_adds(out, "}}");
    /* For the next time; a guest without a driver has none. */
    if (r->vm && devices_balloon_poll(r->devices) == -EAGAIN)
        COUNT(vmm_balloon_no_stats);
}

/* ---- OpenMetrics ---- */

struct family {
    struct buf *out;
    const char *name, *label; /* label: of the value, or NULL */
    enum devices_kind kind;
    size_t offset; /* of a uint64_t in struct devices_info */
};

static void
label_value(const char *s, struct buf *out)
{
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            buf_addc(out, '\\');
        buf_addc(out, *s);
    }
}

static void
one_value(void *arg, const struct devices_info *i)
{
    const struct family *f = arg;
    uint64_t v;

    if (i->kind != f->kind)
        return;
    memcpy(&v, (const char *)i + f->offset, sizeof(v));
    buf_addf(f->out, "%s_total{device=\"", f->name);
    label_value(i->name, f->out);
    buf_addf(f->out, "\"%s} %" PRIu64 "\n", f->label ? f->label : "", v);
}

/* Cumulative, as OpenMetrics has it; the sum is not kept. */
static void
latency(void *arg, const struct devices_info *i)
{
    struct buf *out = arg;
    uint64_t sum = 0;

    if (i->kind != DEVICES_DISK)
        return;
    for (unsigned b = 0; b < DEV_BLK_BUCKETS; b++) {
        bool last = b == DEV_BLK_BUCKETS - 1; /* and all above */

        sum += i->disk.stats.latency[b];
        buf_adds(out, "virga_vmm_disk_latency_seconds_bucket{device=\"");
        label_value(i->name, out);
        if (last)
            buf_addf(out, "\",le=\"+Inf\"} %" PRIu64 "\n", sum);
        else
            buf_addf(out, "\",le=\"%.6f\"} %" PRIu64 "\n",
                     (double)(UINT64_C(1) << b) / 1e6, sum);
    }
}

static void
gauges(struct run *r, struct buf *out)
{
    struct dev_balloon_stats s = {0};

    devices_balloon_stats(r->devices, &s);
    buf_addf(out,
             "# TYPE virga_vmm_balloon_target_bytes gauge\n"
             "virga_vmm_balloon_target_bytes %" PRIu64 "\n"
             "# TYPE virga_vmm_balloon_actual_bytes gauge\n"
             "virga_vmm_balloon_actual_bytes %" PRIu64 "\n"
             "# TYPE virga_vmm_balloon_reported_bytes counter\n"
             "virga_vmm_balloon_reported_bytes_total %" PRIu64 "\n"
             "# TYPE virga_vmm_resets counter\n"
             "virga_vmm_resets_total %" PRIu64 "\n"
             "# TYPE virga_vmm_console_dropped_bytes counter\n"
             "virga_vmm_console_dropped_bytes_total %" PRIu64 "\n",
             s.target_bytes, s.actual_bytes, s.reported_bytes, r->resets,
             run_console_dropped(r));
}

#define DISK(M) DEVICES_DISK, offsetof(struct devices_info, disk.stats.M)
#define NIC(M) DEVICES_NIC, offsetof(struct devices_info, nic.stats.M)

void
run_device_metrics(void *arg, struct buf *out)
{
    static const struct {
        const char *name, *label;
        enum devices_kind kind;
        size_t offset;
    } all[] = {
        {"virga_vmm_disk_operations", ",op=\"read\"", DISK(reads)},
        {"virga_vmm_disk_operations", ",op=\"write\"", DISK(writes)},
        {"virga_vmm_disk_operations", ",op=\"flush\"", DISK(flushes)},
        {"virga_vmm_disk_operations", ",op=\"discard\"", DISK(discards)},
        {"virga_vmm_disk_bytes", ",op=\"read\"", DISK(read_bytes)},
        {"virga_vmm_disk_bytes", ",op=\"write\"", DISK(written_bytes)},
        {"virga_vmm_disk_errors", NULL, DISK(errors)},
        {"virga_vmm_disk_throttled", NULL, DISK(throttled)},
        {"virga_vmm_nic_packets", ",dir=\"rx\"", NIC(rx_packets)},
        {"virga_vmm_nic_packets", ",dir=\"tx\"", NIC(tx_packets)},
        {"virga_vmm_nic_bytes", ",dir=\"rx\"", NIC(rx_bytes)},
        {"virga_vmm_nic_bytes", ",dir=\"tx\"", NIC(tx_bytes)},
        {"virga_vmm_nic_dropped", ",dir=\"rx\"", NIC(rx_dropped)},
        {"virga_vmm_nic_dropped", ",dir=\"tx\"", NIC(tx_dropped)},
        {"virga_vmm_nic_throttled", NULL, NIC(throttled)},
    };
    struct run *r = arg;
    const char *before = "";

    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        struct family f = {.out = out,
                           .name = all[i].name,
                           .label = all[i].label,
                           .kind = all[i].kind,
                           .offset = all[i].offset};

        if (strcmp(before, f.name) != 0)
            buf_addf(out, "# TYPE %s counter\n", f.name);
        before = f.name;
        devices_walk(r->devices, one_value, &f);
    }
    buf_adds(out, "# TYPE virga_vmm_disk_latency_seconds histogram\n");
    devices_walk(r->devices, latency, out);
    gauges(r, out);
}
