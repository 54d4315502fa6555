/* metrics.c - counters of one VM; see metrics.h. */
#include <config.h>

#include "hypervisor-backend/vmm/metrics.h"

#include <inttypes.h>

#include "common/count.h"

static void
event(const char *name, uint64_t value, void *arg)
{
    buf_addf(arg, "virga_vmm_events_total{event=\"%s\"} %" PRIu64 "\n", name,
             value);
}

static void
seconds(struct buf *out, unsigned vcpu, const char *where, uint64_t ns)
{
    buf_addf(out,
             "virga_vmm_seconds_total{vcpu=\"%u\",where=\"%s\"} %" PRIu64
             ".%09" PRIu64 "\n",
             vcpu, where, ns / 1000000000u, ns % 1000000000u);
}

void
metrics_write(struct vm *vm, void (*more)(void *arg, struct buf *out),
              void *arg, struct buf *out)
{
    unsigned n = vm_cpus(vm);
    struct vcpu_stats s;

    buf_adds(out, "# TYPE virga_vmm_exits counter\n");
    for (unsigned i = 0; i < n; i++) {
        vm_vcpu_stats(vm, i, &s);
        for (unsigned k = 0; k < VCPU_EXITS; k++)
            buf_addf(out,
                     "virga_vmm_exits_total{vcpu=\"%u\",kind=\"%s\"} %" PRIu64
                     "\n",
                     i, vcpu_exit_name((enum vcpu_exit)k), s.exits[k]);
    }
    buf_adds(out, "# TYPE virga_vmm_unclaimed counter\n");
    for (unsigned i = 0; i < n; i++) {
        vm_vcpu_stats(vm, i, &s);
        buf_addf(out, "virga_vmm_unclaimed_total{vcpu=\"%u\"} %" PRIu64 "\n", i,
                 s.unclaimed);
    }
    buf_adds(out, "# TYPE virga_vmm_seconds counter\n");
    for (unsigned i = 0; i < n; i++) {
        vm_vcpu_stats(vm, i, &s);
        seconds(out, i, "guest", s.guest_ns);
        seconds(out, i, "vmm", s.vmm_ns);
    }
    buf_addf(out,
             "# TYPE virga_vmm_serial_dropped_bytes counter\n"
             "virga_vmm_serial_dropped_bytes_total %" PRIu64 "\n",
             serial_dropped(vm_serial(vm)));
    buf_adds(out, "# TYPE virga_vmm_events counter\n");
    count_each(event, out);
    if (more)
        more(arg, out);
    buf_adds(out, "# EOF\n");
}
