/* vd-metrics.c - what virga-vmm counts, as OpenMetrics families for all VMs
 * together; see hv_metrics(). A VM that ended or hangs is left out. */
#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/mem.h"
#include "hypervisor-backend/hv-private.h"
#include "hypervisor-backend/vmm-driver/vd-stats.h"

struct vm {
    char id[ID_SIZE];
    struct vd_figures f;
};

struct set {
    struct vm *vms;
    size_t n;
};

struct member {
    const char *name; /* of the label's value, or of the family */
    size_t offset;    /* of an int64_t */
};

#define M(S, FIELD)                                                            \
    {                                                                          \
#FIELD, offsetof(struct S, FIELD)                                      \
    }

static int64_t
get(const void *s, const struct member *m)
{
    int64_t v;

    memcpy(&v, (const char *)s + m->offset, sizeof(v));
    return v;
}

static void
begin(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_addf(out, "# TYPE virga_vmm_%s %s\n# HELP virga_vmm_%s %s\n", name,
             type, name, help);
}

/* A device's name comes from the VMM: nothing that could end a label. */
static void
add_name(struct buf *out, const char *name)
{
    for (const char *p = name ? name : ""; *p; p++)
        buf_addc(out,
                 strchr("\"\\", *p) || (unsigned char)*p < 0x20 ? '_' : *p);
}

static void
write_vcpus(const struct set *s, struct buf *out)
{
    static const struct member exits[] = {
        M(vd_exits, pio),  M(vd_exits, mmio),     M(vd_exits, halt),
        M(vd_exits, kick), M(vd_exits, shutdown), M(vd_exits, error),
        M(vd_exits, other)};
    static const struct member where[] = {
        {"guest", offsetof(struct vd_vcpu, guest_ns)},
        {"vmm", offsetof(struct vd_vcpu, vmm_ns)}};

    begin(out, "exits", "counter", "Exits of the guest to the VMM.");
    for (size_t i = 0; i < s->n; i++)
        for (size_t c = 0; c < s->vms[i].f.vcpus.n; c++) {
            const struct vd_vcpu *v = s->vms[i].f.vcpus.items;

            for (size_t k = 0; v[c].exits && k < ARRAY_SIZE(exits); k++)
                buf_addf(out,
                         "virga_vmm_exits_total{instance=\"%s\",vcpu=\"%zu\","
                         "kind=\"%s\"} %" PRIi64 "\n",
                         s->vms[i].id, c, exits[k].name,
                         get(v[c].exits, &exits[k]));
        }
    begin(out, "seconds", "counter", "Time of a vCPU, in guest and VMM.");
    for (size_t i = 0; i < s->n; i++)
        for (size_t c = 0; c < s->vms[i].f.vcpus.n; c++) {
            const struct vd_vcpu *v = s->vms[i].f.vcpus.items;

            for (size_t k = 0; k < ARRAY_SIZE(where); k++) {
                int64_t ns = get(&v[c], &where[k]);

                buf_addf(out,
                         "virga_vmm_seconds_total{instance=\"%s\",vcpu=\"%zu\","
                         "where=\"%s\"} %" PRIi64 ".%09" PRIi64 "\n",
                         s->vms[i].id, c, where[k].name, ns / 1000000000,
                         ns % 1000000000);
            }
        }
}

/* One family of a kind of devices, a label for what it counts. */
static void
write_devices(const struct set *s, size_t list, size_t size, const char *family,
              const char *label, const struct member *members, size_t n,
              struct buf *out)
{
    for (size_t i = 0; i < s->n; i++) {
        struct codec_list l;

        memcpy(&l, (const char *)&s->vms[i].f + list, sizeof(l));
        for (size_t k = 0; k < l.n; k++) {
            const char *dev = (const char *)l.items + k * size;
            char *name;

            memcpy(&name, dev, sizeof(name)); /* the first member */
            for (size_t m = 0; m < n; m++) {
                buf_addf(out, "virga_vmm_%s_total{instance=\"%s\",device=\"",
                         family, s->vms[i].id);
                add_name(out, name);
                buf_addf(out, "\",%s=\"%s\"} %" PRIi64 "\n", label,
                         members[m].name, get(dev, &members[m]));
            }
        }
    }
}

/* The VMM's word, which a guest may have taken over: a count is never below
 * zero, nor is the sum more than can be told. */
static int64_t
add_up(int64_t sum, int64_t n)
{
    if (n <= 0)
        return sum;
    return n > INT64_MAX - sum ? INT64_MAX : sum + n;
}

static void
write_latency(const struct set *s, struct buf *out)
{
    begin(out, "disk_latency_seconds", "histogram",
          "From a request's arrival to its completion.");
    for (size_t i = 0; i < s->n; i++)
        for (size_t k = 0; k < s->vms[i].f.disks.n; k++) {
            const struct vd_disk *disk =
                (const struct vd_disk *)s->vms[i].f.disks.items + k;
            const int64_t *buckets = disk->latency.items;
            int64_t sum = 0;

            for (size_t b = 0; b < disk->latency.n; b++) {
                char le[32] = "+Inf"; /* the last one has all above */

                sum = add_up(sum, buckets[b]);
                if (b + 1 < disk->latency.n)
                    snprintf(le, sizeof(le), "%.6f",
                             (double)(UINT64_C(1) << b) / 1e6);
                buf_addf(out,
                         "virga_vmm_disk_latency_seconds_bucket{instance="
                         "\"%s\",device=\"",
                         s->vms[i].id);
                add_name(out, disk->name);
                buf_addf(out, "\",le=\"%s\"} %" PRIi64 "\n", le, sum);
            }
        }
}

static void
write_io(const struct set *s, struct buf *out)
{
    static const struct member ops[] = {
        M(vd_disk, reads),    M(vd_disk, writes), M(vd_disk, flushes),
        M(vd_disk, discards), M(vd_disk, errors), M(vd_disk, throttled)};
    static const struct member disk_bytes[] = {
        {"read", offsetof(struct vd_disk, read_bytes)},
        {"written", offsetof(struct vd_disk, written_bytes)}};
    static const struct member packets[] = {
        M(vd_nic, rx_packets), M(vd_nic, rx_dropped), M(vd_nic, tx_packets),
        M(vd_nic, tx_dropped)};
    static const struct member nic_bytes[] = {
        {"rx", offsetof(struct vd_nic, rx_bytes)},
        {"tx", offsetof(struct vd_nic, tx_bytes)}};
    size_t disks = offsetof(struct vd_figures, disks);
    size_t nics = offsetof(struct vd_figures, nics);

    begin(out, "disk_operations", "counter", "Requests of the guest.");
    write_devices(s, disks, sizeof(struct vd_disk), "disk_operations", "what",
                  ops, ARRAY_SIZE(ops), out);
    begin(out, "disk_bytes", "counter", "Read and written by the guest.");
    write_devices(s, disks, sizeof(struct vd_disk), "disk_bytes", "direction",
                  disk_bytes, ARRAY_SIZE(disk_bytes), out);
    write_latency(s, out);
    begin(out, "nic_packets", "counter", "To (rx) and of (tx) the guest.");
    write_devices(s, nics, sizeof(struct vd_nic), "nic_packets", "what",
                  packets, ARRAY_SIZE(packets), out);
    begin(out, "nic_bytes", "counter", "To (rx) and of (tx) the guest.");
    write_devices(s, nics, sizeof(struct vd_nic), "nic_bytes", "direction",
                  nic_bytes, ARRAY_SIZE(nic_bytes), out);
}

static void
write_balloon(const struct set *s, struct buf *out)
{
    static const struct member members[] = {M(vd_balloon, target_bytes),
                                            M(vd_balloon, actual_bytes)};

    for (size_t m = 0; m < ARRAY_SIZE(members); m++) {
        char *family _cleanup_(freep) =
            xasprintf("balloon_%s", members[m].name);

        begin(out, family, "gauge", "Memory taken from the guest.");
        for (size_t i = 0; i < s->n; i++)
            if (s->vms[i].f.balloon)
                buf_addf(out, "virga_vmm_%s{instance=\"%s\"} %" PRIi64 "\n",
                         family, s->vms[i].id,
                         get(s->vms[i].f.balloon, &members[m]));
    }
    begin(out, "balloon_reported_bytes", "counter",
          "Free pages that the guest gave back.");
    for (size_t i = 0; i < s->n; i++)
        if (s->vms[i].f.balloon)
            buf_addf(out,
                     "virga_vmm_balloon_reported_bytes_total{instance=\"%s\"} "
                     "%" PRIi64 "\n",
                     s->vms[i].id, s->vms[i].f.balloon->reported_bytes);
    begin(out, "resets", "counter", "Of the guest, within its run.");
    for (size_t i = 0; i < s->n; i++)
        buf_addf(out, "virga_vmm_resets_total{instance=\"%s\"} %" PRIi64 "\n",
                 s->vms[i].id, s->vms[i].f.resets);
}

/* *ret_first: with whom to begin. */
static void
list_running(struct vd *d, struct set *s, size_t *ret_first)
{
    pthread_mutex_lock(&d->lock);
    s->vms = xcalloc(HASH_COUNT(d->table) + 1, sizeof(*s->vms));
    for (struct vd_vm *vm = d->table; vm; vm = vm->hh.next)
        if (!vm->starting && !vm->foreign && vm->state != HV_STOPPED)
            memcpy(s->vms[s->n++].id, vm->id, ID_SIZE);
    *ret_first =
        hv_scrape_first(s->vms[0].id, sizeof(*s->vms), s->n, d->ask_first);
    pthread_mutex_unlock(&d->lock);
}

int
vd_metrics(void *p, struct buf *out, struct err *e)
{
    struct vd *d = p;
    int64_t until = clock_mono_us() + HV_SCRAPE_MS * INT64_C(1000);
    struct set all = {0}, s = {0};
    char ask_first[ID_SIZE] = "";
    size_t first, n_late = 0;

    list_running(d, &all, &first);
    s.vms = xcalloc(all.n + 1, sizeof(*s.vms));
    for (size_t k = 0; k < all.n; k++) {
        struct vd_held h _cleanup_(vd_held_release) = {.pidfd = -1};
        struct vm *vm = &all.vms[(first + k) % all.n];

        if (clock_mono_us() >= until) {
            if (n_late++ == 0)
                memcpy(ask_first, vm->id, ID_SIZE);
            continue;
        }
        if (vd_hold(d, vm->id, &h, NULL) == 0 &&
            vd_figures_get(d, vm->id, &h, &vm->f, NULL) == 0)
            s.vms[s.n++] = *vm;
        else
            COUNT(vd_metrics_without);
    }
    free(all.vms);
    pthread_mutex_lock(&d->lock);
    memcpy(d->ask_first, ask_first, ID_SIZE);
    pthread_mutex_unlock(&d->lock);
    begin(out, "not_asked", "gauge", "VMs that this scrape had no time for.");
    buf_addf(out, "virga_vmm_not_asked %zu\n", n_late);
    write_vcpus(&s, out);
    write_io(&s, out);
    write_balloon(&s, out);
    for (size_t i = 0; i < s.n; i++)
        vd_figures_release(&s.vms[i].f);
    free(s.vms);
    return 0;
}
