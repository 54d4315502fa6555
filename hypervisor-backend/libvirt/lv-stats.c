/* lv-stats.c - a running VM's figures, by libvirt's bulk statistics.
 * User-mode NICs have no counters in QEMU: their net_* stay 0. */
#include <config.h>

#include <string.h>

#include "common/mem.h"
#include "hypervisor-backend/libvirt/lv-libvirt.h"

/* Sums "<group>.<n>.<suffix>" over all n. */
static uint64_t
sum(virTypedParameterPtr p, int n, const char *group, const char *suffix)
{
    uint64_t total = 0;
    size_t group_len = strlen(group), suffix_len = strlen(suffix);

    for (int i = 0; i < n; i++) {
        size_t len = strlen(p[i].field);

        if (p[i].type == VIR_TYPED_PARAM_ULLONG &&
            len > group_len + suffix_len &&
            strncmp(p[i].field, group, group_len) == 0 &&
            streq(p[i].field + len - suffix_len, suffix))
            total += p[i].value.ul;
    }
    return total;
}

int
lv_stats(virDomainPtr dom, struct hv_stats *ret, struct err *e)
{
    virDomainPtr doms[] = {dom, NULL};
    virDomainStatsRecordPtr *recs = NULL;
    unsigned long long rss_kib = 0;
    virDomainInfo info;
    int n;

    n = virDomainListGetStats(doms,
                              VIR_DOMAIN_STATS_BALLOON |
                                  VIR_DOMAIN_STATS_BLOCK |
                                  VIR_DOMAIN_STATS_INTERFACE,
                              &recs, 0);
    if (n < 0)
        return lv_error(e, "cannot measure the VM");
    if (n != 1) {
        virDomainStatsRecordListFree(recs);
        return err_set(e, -ENOENT, "not_running", "the VM does not run");
    }
    virTypedParameterPtr p = recs[0]->params;
    int np = recs[0]->nparams;
    *ret = (struct hv_stats){
        .disk_read_bytes = sum(p, np, "block.", ".rd.bytes"),
        .disk_write_bytes = sum(p, np, "block.", ".wr.bytes"),
        .disk_read_ops = sum(p, np, "block.", ".rd.reqs"),
        .disk_write_ops = sum(p, np, "block.", ".wr.reqs"),
        .net_rx_bytes = sum(p, np, "net.", ".rx.bytes"),
        .net_tx_bytes = sum(p, np, "net.", ".tx.bytes"),
    };
    if (virTypedParamsGetULLong(p, np, "balloon.rss", &rss_kib) > 0)
        ret->memory_bytes = rss_kib << 10;
    virDomainStatsRecordListFree(recs);
    /* Not in the bulk figures where libvirt manages no cgroups. */
    if (virDomainGetInfo(dom, &info) < 0)
        return lv_error(e, "cannot measure the VM");
    ret->cpu_ns = info.cpuTime;
    return 0;
}
