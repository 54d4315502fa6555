/* metrics.c - hv_metrics(): what every driver measures, as metric families;
 * what one driver measures beyond that follows. The text format is
 * OpenMetrics 1.0: all samples of a family stand together. */
#include <config.h>

#include <inttypes.h>

#include "common/buf.h"
#include "common/count.h"
#include "common/mem.h"
#include "hypervisor-backend/hv-private.h"

struct sample {
    const char *id;
    struct hv_stats st;
};

static const struct family {
    const char *name, *unit, *help;
    bool counter;
    size_t offset;
} families[] = {
    {"memory_bytes", "bytes", "Resident on the host.", false,
     offsetof(struct hv_stats, memory_bytes)},
    {"disk_read_bytes", "bytes", "Read by the guest.", true,
     offsetof(struct hv_stats, disk_read_bytes)},
    {"disk_write_bytes", "bytes", "Written by the guest.", true,
     offsetof(struct hv_stats, disk_write_bytes)},
    {"disk_reads", NULL, "Read operations.", true,
     offsetof(struct hv_stats, disk_read_ops)},
    {"disk_writes", NULL, "Write operations.", true,
     offsetof(struct hv_stats, disk_write_ops)},
    {"net_rx_bytes", "bytes", "Received by the guest.", true,
     offsetof(struct hv_stats, net_rx_bytes)},
    {"net_tx_bytes", "bytes", "Sent by the guest.", true,
     offsetof(struct hv_stats, net_tx_bytes)},
};

static void
write_cpu(const struct sample *s, size_t n, struct buf *out)
{
    buf_adds(out, "# TYPE virga_instance_cpu_seconds counter\n"
                  "# UNIT virga_instance_cpu_seconds seconds\n"
                  "# HELP virga_instance_cpu_seconds CPU time of the VM.\n");
    for (size_t i = 0; i < n; i++)
        buf_addf(out,
                 "virga_instance_cpu_seconds_total{instance=\"%s\"} %" PRIu64
                 ".%09" PRIu64 "\n",
                 s[i].id, s[i].st.cpu_ns / 1000000000,
                 s[i].st.cpu_ns % 1000000000);
}

static void
write_family(const struct family *f, const struct sample *s, size_t n,
             struct buf *out)
{
    buf_addf(out, "# TYPE virga_instance_%s %s\n", f->name,
             f->counter ? "counter" : "gauge");
    if (f->unit)
        buf_addf(out, "# UNIT virga_instance_%s %s\n", f->name, f->unit);
    buf_addf(out, "# HELP virga_instance_%s %s\n", f->name, f->help);
    for (size_t i = 0; i < n; i++) {
        const char *base = (const char *)&s[i].st;

        buf_addf(out, "virga_instance_%s%s{instance=\"%s\"} %" PRIu64 "\n",
                 f->name, f->counter ? "_total" : "", s[i].id,
                 *(const uint64_t *)(base + f->offset));
    }
}

int
hv_metrics(struct hv *hv, struct buf *out, struct err *reterr)
{
    struct hv_vm *vms _cleanup_(freep) = NULL;
    struct sample *samples _cleanup_(freep) = NULL;
    size_t n_vms, n = 0;
    int r = hv_list(hv, &vms, &n_vms, reterr);

    if (r < 0)
        return r;
    samples = xcalloc(n_vms + 1, sizeof(*samples));
    for (size_t i = 0; i < n_vms; i++) {
        if (vms[i].state == HV_STOPPED || !vms[i].ours)
            continue;
        samples[n].id = vms[i].id;
        if (hv_stats(hv, vms[i].id, &samples[n].st, NULL) < 0)
            COUNT(hv_metrics_without_stats); /* ended, or hangs */
        else
            n++;
    }
    write_cpu(samples, n, out);
    for (size_t i = 0; i < ARRAY_SIZE(families); i++)
        write_family(&families[i], samples, n, out);
    return hv->drv->metrics ? hv->drv->metrics(hv->d, out, reterr) : 0;
}
