/* metrics.c - hv_metrics(): what every driver measures, as metric families;
 * what one driver measures beyond that follows. The text format is
 * OpenMetrics 1.0: all samples of a family stand together. */
#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
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
    int64_t until = clock_mono_us() + HV_SCRAPE_MS * INT64_C(1000);
    size_t n_vms, n = 0, first, n_late = 0;
    char ask_first[ID_SIZE] = "";
    int r = hv_list(hv, &vms, &n_vms, reterr);

    if (r < 0)
        return r;
    samples = xcalloc(n_vms + 1, sizeof(*samples));
    pthread_mutex_lock(&hv->lock);
    first = n_vms
                ? hv_scrape_first(vms[0].id, sizeof(*vms), n_vms, hv->ask_first)
                : 0;
    pthread_mutex_unlock(&hv->lock);
    for (size_t k = 0; k < n_vms; k++) {
        const struct hv_vm *vm = &vms[(first + k) % n_vms];

        if (vm->state == HV_STOPPED || !vm->ours)
            continue;
        if (clock_mono_us() >= until) {
            if (n_late++ == 0)
                memcpy(ask_first, vm->id, ID_SIZE);
            continue;
        }
        samples[n].id = vm->id;
        if (hv_stats(hv, vm->id, &samples[n].st, NULL) < 0)
            COUNT(hv_metrics_without_stats); /* ended, or hangs */
        else
            n++;
    }
    pthread_mutex_lock(&hv->lock);
    memcpy(hv->ask_first, ask_first, ID_SIZE);
    pthread_mutex_unlock(&hv->lock);
    buf_addf(out,
             "# TYPE virga_instances_not_asked gauge\n"
             "# HELP virga_instances_not_asked VMs that this scrape had no "
             "time for.\n"
             "virga_instances_not_asked %zu\n",
             n_late);
    write_cpu(samples, n, out);
    for (size_t i = 0; i < ARRAY_SIZE(families); i++)
        write_family(&families[i], samples, n, out);
    return hv->drv->metrics ? hv->drv->metrics(hv->d, out, reterr) : 0;
}
