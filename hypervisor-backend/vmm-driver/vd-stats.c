/* vd-stats.c - what a VM uses: processor time and memory as the kernel counts
 * them, I/O as its VMM does; see vd-stats.h. */
#include <config.h>

#include "hypervisor-backend/vmm-driver/vd-stats.h"

#include <inttypes.h>
#include <time.h>

#include "common/count.h"
#include "common/fs.h"
#include "common/mem.h"

#define MAX_VCPUS 256
#define MAX_DEVICES 256
#define MAX_BUCKETS 64

#define F(S, M, TYPE, DOC, ...)                                                \
    {                                                                          \
        .name = #M, .type = CODEC_##TYPE, .offset = offsetof(struct S, M),     \
        .flags = CODEC_IN, .doc = DOC, __VA_ARGS__                             \
    }
#define N(S, M, DOC) F(S, M, INT, DOC, .max = INT64_MAX)
#define TABLE(VAR, NAME, DOC, S, FIELDS)                                       \
    static const struct codec_table VAR = {.name = NAME,                       \
                                           .doc = DOC,                         \
                                           .size = sizeof(struct S),           \
                                           .fields = FIELDS,                   \
                                           .n_fields = ARRAY_SIZE(FIELDS)}

static const struct codec_field exit_fields[] = {
    N(vd_exits, pio, "ports"),           N(vd_exits, mmio, "device memory"),
    N(vd_exits, halt, "halted"),         N(vd_exits, kick, "called back"),
    N(vd_exits, shutdown, "shutdown"),   N(vd_exits, error, "KVM failed"),
    N(vd_exits, other, "anything else"),
};
TABLE(exit_table, "VcpuExits", "Exits by kind.", vd_exits, exit_fields);

static const struct codec_field vcpu_fields[] = {
    F(vd_vcpu, exits, OBJECT, "exits by kind", .sub = &exit_table),
    N(vd_vcpu, guest_ns, "in the guest"),
    N(vd_vcpu, vmm_ns, "in the VMM"),
    N(vd_vcpu, unclaimed, "accesses that nobody answered"),
};
TABLE(vcpu_table, "VcpuFigures", "One vCPU.", vd_vcpu, vcpu_fields);

static const struct codec_field disk_fields[] = {
    F(vd_disk, name, STRING, "of the disk"),
    N(vd_disk, reads, "operations"),
    N(vd_disk, writes, "operations"),
    N(vd_disk, flushes, "operations"),
    N(vd_disk, discards, "operations"),
    N(vd_disk, errors, "operations that failed"),
    N(vd_disk, throttled, "operations that had to wait"),
    N(vd_disk, read_bytes, "bytes"),
    N(vd_disk, written_bytes, "bytes"),
    F(vd_disk, latency, INTS, "histogram", .max = MAX_BUCKETS),
};
TABLE(disk_table, "DiskFigures", "One disk.", vd_disk, disk_fields);

static const struct codec_field nic_fields[] = {
    F(vd_nic, name, STRING, "of the NIC"),
    N(vd_nic, rx_packets, "to the guest"),
    N(vd_nic, rx_bytes, "to the guest"),
    N(vd_nic, rx_dropped, "packets"),
    N(vd_nic, tx_packets, "of the guest"),
    N(vd_nic, tx_bytes, "of the guest"),
    N(vd_nic, tx_dropped, "packets"),
};
TABLE(nic_table, "NicFigures", "One NIC.", vd_nic, nic_fields);

static const struct codec_field balloon_fields[] = {
    N(vd_balloon, target_bytes, "to take"),
    N(vd_balloon, actual_bytes, "taken"),
    N(vd_balloon, reported_bytes, "reported free"),
};
TABLE(balloon_table, "BalloonFigures", "The balloon.", vd_balloon,
      balloon_fields);

static const struct codec_field figures_fields[] = {
    N(vd_figures, resets, "of the guest"),
    F(vd_figures, vcpus, LIST, "vCPUs", .sub = &vcpu_table, .max = MAX_VCPUS),
    F(vd_figures, disks, LIST, "disks", .sub = &disk_table, .max = MAX_DEVICES),
    F(vd_figures, nics, LIST, "NICs", .sub = &nic_table, .max = MAX_DEVICES),
    F(vd_figures, balloon, OBJECT, "balloon", .sub = &balloon_table),
};
TABLE(figures_table, "VmFigures", "A VM's figures.", vd_figures,
      figures_fields);

struct answer {
    struct vd_figures *result;
};
static const struct codec_field answer_fields[] = {
    {.name = "result",
     .type = CODEC_OBJECT,
     .offset = offsetof(struct answer, result),
     .flags = CODEC_IN | CODEC_REQUIRED,
     .sub = &figures_table,
     .doc = "the figures"},
};
TABLE(answer_table, "ControlStatsReply", "The answer to stats.", answer,
      answer_fields);

void
vd_figures_release(struct vd_figures *f)
{
    codec_clear(&figures_table, f);
}

int
vd_figures_get(struct vd *d, const char *id, struct vd_held *h,
               struct vd_figures *ret, struct err *reterr)
{
    struct vd_call c = {.id = id,
                        .request = "stats",
                        .timeout_ms = VD_STATS_MS,
                        .pidfd = h->pidfd};
    struct buf line _cleanup_(buf_release) = {0};
    struct answer a = {0};
    int r;

    if (h->muted)
        return err_set(reterr, -ETIMEDOUT, "vmm_hangs",
                       "the VMM of VM %s did not answer a moment ago", id);
    r = vd_ctl(d, &c, &line, reterr);
    if (r == -ETIMEDOUT) {
        COUNT(vd_stats_mute);
        vd_mute(d, id);
    }
    if (r < 0)
        return vd_ended_meanwhile(h, id, r, reterr);
    r = codec_decode(&answer_table, CODEC_PEER, buf_str(&line), line.len, &a,
                     reterr);
    if (r < 0)
        return err_set(reterr, -EPROTO, "bad_reply",
                       "the VMM of VM %s answers what are no figures", id);
    *ret = *a.result;
    *a.result = (struct vd_figures){0};
    codec_clear(&answer_table, &a);
    return 0;
}

/* All of the process's threads, also those that ended. */
static int
cpu_ns(pid_t pid, uint64_t *ret)
{
    struct timespec ts;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &ts) < 0)
        return -ESRCH;
    *ret = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
    return 0;
}

static int
resident_bytes(pid_t pid, uint64_t *ret)
{
    char path[32];
    struct buf b _cleanup_(buf_release) = {0};
    uint64_t pages;
    int r;

    snprintf(path, sizeof(path), "/proc/%d/statm", pid);
    r = fs_read(path, 256, &b, NULL);
    if (r < 0)
        return r;
    if (sscanf(buf_str(&b), "%*u %" SCNu64, &pages) != 1)
        return -EBADMSG;
    *ret = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return 0;
}

static void
add_io(const struct vd_figures *f, struct hv_stats *st)
{
    const struct vd_disk *disks = f->disks.items;
    const struct vd_nic *nics = f->nics.items;

    for (size_t i = 0; i < f->disks.n; i++) {
        st->disk_read_bytes += (uint64_t)disks[i].read_bytes;
        st->disk_write_bytes += (uint64_t)disks[i].written_bytes;
        st->disk_read_ops += (uint64_t)disks[i].reads;
        st->disk_write_ops += (uint64_t)disks[i].writes;
    }
    for (size_t i = 0; i < f->nics.n; i++) {
        st->net_rx_bytes += (uint64_t)nics[i].rx_bytes;
        st->net_tx_bytes += (uint64_t)nics[i].tx_bytes;
    }
}

int
vd_stats(void *p, const char *id, struct hv_stats *ret, struct err *e)
{
    struct vd *d = p;
    struct vd_held h _cleanup_(vd_held_release) = {.pidfd = -1};
    struct vd_figures f _cleanup_(vd_figures_release) = {0};
    struct hv_stats st = {0};
    int r = vd_hold(d, id, &h, e);

    if (r == 0)
        r = vd_figures_get(d, id, &h, &f, e);
    if (r < 0)
        return r;
    r = cpu_ns(h.pid, &st.cpu_ns);
    if (r == 0)
        r = resident_bytes(h.pid, &st.memory_bytes);
    /* They were of this process only if it still lives. */
    if (vd_pidfd_wait(h.pidfd, 0))
        return err_set(e, -ENOENT, "not_running", "VM %s does not run", id);
    if (r < 0)
        return err_errno(e, r, "cannot look at the process of VM %s", id);
    add_io(&f, &st);
    *ret = st;
    return 0;
}
