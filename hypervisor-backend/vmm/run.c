/* run.c - one VM from its description to its end; see run.h. */
#include <config.h>

#include "hypervisor-backend/vmm/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/devices.h"
#include "hypervisor-backend/vmm/metrics.h"
#include "hypervisor-backend/vmm/run-private.h"

/* A run shorter than this was a quick one; after FREE_RESETS of them in a row
 * each rest is twice as long as the last. */
#define QUICK_US (1 * US_PER_S)
#define FREE_RESETS 5u
#define REST_FIRST_US (US_PER_S / 100)
#define REST_MOST_US (1 * US_PER_S)

int
run_signals(void)
{
    sigset_t set;
    int r, fd;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    r = -pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (r < 0)
        return r;
    /* A reader that went away is an error of write(2), no death. */
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return -errno;
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

static void
on_signal(struct run *r)
{
    struct signalfd_siginfo si;

    while (read(r->io->signals, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
        if (si.ssi_signo == SIGHUP || r->asked > 0 || !r->vm)
            r->stop = true;
        else
            vm_power_button(r->vm);
        r->asked++;
    }
}

/* One wait, and what it brought. until_us: monotonic; 0: no limit. */
static int
turn(struct run *r, int64_t until_us)
{
    int timeout = r->control ? control_timeout_ms(r->control) : -1;
    struct pollfd p[] = {
        {.fd = r->vm ? vm_event_fd(r->vm) : -1, .events = POLLIN},
        {.fd = r->io->signals, .events = POLLIN},
        {.fd = run_console_wants_in(r) ? r->console.in : -1, .events = POLLIN},
        {.fd = run_console_wants_out(r) ? r->console.out : -1,
         .events = POLLOUT},
        {.fd = r->control ? control_fd(r->control) : -1, .events = POLLIN},
        {.fd = r->devices ? devices_event_fd(r->devices) : -1,
         .events = POLLIN},
    };
    int64_t late_us = run_next_late_us(r);

    if (late_us && (!until_us || late_us < until_us))
        until_us = late_us;
    if (until_us) {
        int64_t left = until_us - clock_mono_us();
        int ms = left <= 0 ? 0 : (int)(left / 1000) + 1;

        timeout = timeout < 0 ? ms : MIN(timeout, ms);
    }
    if (run_console_has_more(r))
        timeout = 0;
    if (poll(p, ARRAY_SIZE(p), timeout) < 0)
        return errno == EINTR ? 0 : -errno;
    if (p[0].revents)
        vm_event_clear(r->vm);
    if (p[1].revents)
        on_signal(r);
    if (p[2].revents)
        run_console_read(r);
    if (p[3].revents)
        run_console_write(r);
    if (p[5].revents)
        devices_events(r->devices);
    if (r->vm)
        run_console_pump(r);
    run_answer_late(r);
    if (r->control) {
        control_turn(r->control);
        control_console_ready(r->control);
    }
    return 0;
}

static int
loop(struct run *r, struct err *reterr)
{
    int e;

    while (vm_ended(r->vm) == VM_END_NONE) {
        if (r->stop || r->reset) {
            vm_stop(r->vm);
            break;
        }
        e = turn(r, 0);
        if (e < 0) {
            vm_stop(r->vm);
            return err_errno(reterr, e, "poll");
        }
    }
    vm_stop(r->vm);
    run_console_drain(r);
    return 0;
}

/* ---- building ---- */

struct devices_disk
run_disk(struct spec_disk *d)
{
    struct devices_disk out = {.name = d->name,
                               .path = d->path ? d->path : d->name,
                               .fd = (int)d->fd,
                               .read_only = d->read_only,
                               .no_lock = d->no_lock,
                               .direct = d->direct,
                               .queues = (unsigned)d->queues,
                               .serial = d->serial,
                               .limits = spec_limits(d->limits)};

    d->fd = -1;
    return out;
}

struct devices_nic
run_nic(struct spec_nic *n)
{
    struct devices_nic out = {.name = n->name,
                              .tap = n->tap ? n->tap : n->name,
                              .kind = (enum devices_nic_kind)n->kind,
                              .n_queues = (unsigned)n->fds.n,
                              .vhost = n->vhost_fds.n > 0,
                              .mtu = (uint16_t)n->mtu,
                              .rx = spec_limits(n->rx_limits),
                              .tx = spec_limits(n->tx_limits)};
    int64_t *fds = n->fds.items, *vhost = n->vhost_fds.items;

    for (size_t q = 0; q < DEVICES_MAX_NIC_QUEUES; q++) {
        out.fds[q] = q < n->fds.n ? (int)fds[q] : -1;
        out.vhost_fds[q] = q < n->vhost_fds.n ? (int)vhost[q] : -1;
    }
    for (size_t q = 0; q < n->fds.n; q++)
        fds[q] = -1;
    for (size_t q = 0; q < n->vhost_fds.n; q++)
        vhost[q] = -1;
    if (spec_parse_mac(n->mac, out.mac) < 0)
        memset(out.mac, 0, sizeof(out.mac)); /* was checked */
    return out;
}

/* Once: the list of devices outlives the runs. */
static int
make_devices(struct run *r, struct err *reterr)
{
    struct spec *s = r->spec;
    struct devices_disk disks[DEVICES_MAX_DISKS];
    struct devices_nic nics[DEVICES_MAX_NICS];
    struct devices_console consoles[DEVICES_MAX_CONSOLES];
    struct devices_config cfg = {.disks = disks,
                                 .n_disks = s->disks.n,
                                 .nics = nics,
                                 .n_nics = s->nics.n,
                                 .consoles = consoles,
                                 .n_consoles = s->consoles.n,
                                 .detached = run_detached,
                                 .detached_arg = r};
    struct spec_console *k = s->consoles.items;

    for (size_t i = 0; i < s->disks.n; i++)
        disks[i] = run_disk((struct spec_disk *)s->disks.items + i);
    for (size_t i = 0; i < s->nics.n; i++)
        nics[i] = run_nic((struct spec_nic *)s->nics.items + i);
    for (size_t i = 0; i < s->consoles.n; i++) {
        consoles[i] = (struct devices_console){
            .name = k[i].name, .in_fd = (int)k[i].fd, .out_fd = (int)k[i].fd};
        k[i].fd = -1;
    }
    if (s->vsock) {
        cfg.vsock =
            (struct devices_vsock){.cid = (uint64_t)s->vsock->cid,
                                   .listen_fd = (int)s->vsock->listen_fd,
                                   .guest_path = s->vsock->guest_path};
        s->vsock->listen_fd = -1;
    }
    return devices_new(r->vm, &cfg, &r->devices, reterr);
}

/* Between two runs the devices stay, without a VM. */
static void
tear_down(struct run *r)
{
    struct vm *vm = TAKE_PTR(r->vm); /* requests see that there is none */

    if (r->devices)
        devices_leave(r->devices);
    vm_free(vm);
}

static int
build(struct run *r, struct err *reterr)
{
    const struct spec *s = r->spec;
    struct vm_config cfg = {
        .cpus = (unsigned)s->cpus,
        .cpu_model = s->cpu_model,
        .memory_bytes = (uint64_t)s->memory->bytes,
        .memory = {.shared = s->memory->shared,
                   .hugepages = s->memory->hugepages,
                   .ksm = s->memory->ksm},
        .kvm_fd = fcntl((int)s->kvm_fd, F_DUPFD_CLOEXEC, SPEC_FIRST_FD),
        .kernel_fd = (int)s->kernel_fd,
        .initrd_fd = (int)s->initrd_fd,
        .cmdline = s->cmdline,
        .pci = true};
    int e;

    if (cfg.kvm_fd < 0)
        return err_errno(reterr, -errno, "/dev/kvm");
    e = vm_new(&cfg, &r->vm, reterr);
    if (e == 0)
        e = r->devices ? devices_enter(r->devices, r->vm, reterr)
                       : make_devices(r, reterr);
    if (e == 0)
        e = vm_boot(r->vm, &cfg, reterr);
    if (e < 0)
        return e;
    if (r->paused)
        run_pause(r);
    return vm_start(r->vm, reterr);
}

/* ---- one run after the other ---- */

/* How the guest ended does not depend on it. */
static void
write_metrics(struct run *r)
{
    struct buf b _cleanup_(buf_release) = {0};
    struct err e _cleanup_(err_release) = {0};

    if (!r->io->metrics)
        return;
    metrics_write(r->vm, run_device_metrics, r, &b);
    if (fs_write_atomic(r->io->metrics, b.data, b.len, 0644, &e) < 0) {
        COUNT(vmm_metrics_failed);
        log_limited(LOG_LEVEL_WARN, "metrics not written, going on without",
                    "file=%s error=\"%s\"", r->io->metrics, e.message);
    }
}

static int
run_once(struct run *r, enum vm_end *ret, struct err *reterr)
{
    int e = build(r, reterr);

    r->started_at_us = clock_now_us();
    if (e == 0)
        e = loop(r, reterr);
    if (e < 0)
        return e;
    write_metrics(r);
    *ret = vm_ended(r->vm);
    /* The guest may have been quicker with an end of its own. */
    if (*ret == VM_END_STOPPED && r->reset && !r->stop)
        *ret = VM_END_RESET;
    r->reset = false;
    return 0;
}

static int
rest(struct run *r, unsigned quick, struct err *reterr)
{
    unsigned doublings = quick > FREE_RESETS ? quick - FREE_RESETS : 0;
    int64_t pause = doublings == 0   ? 0
                    : doublings > 10 ? REST_MOST_US
                                     : REST_FIRST_US << (doublings - 1);
    int64_t until = clock_mono_us() + MIN(pause, REST_MOST_US);

    if (pause) {
        COUNT(vmm_reset_rests);
        log_limited(LOG_LEVEL_WARN, "the guest resets again and again",
                    "resets=%llu rest_us=%lld", (unsigned long long)r->resets,
                    (long long)MIN(pause, REST_MOST_US));
    }
    while (!r->stop && clock_mono_us() < until) {
        int e = turn(r, until);

        if (e < 0)
            return err_errno(reterr, e, "poll");
    }
    return 0;
}

static int
run_all(struct run *r, enum vm_end *ret, struct err *reterr)
{
    unsigned quick = 0;

    for (;;) {
        int64_t began = clock_mono_us();
        int e = run_once(r, ret, reterr);

        if (e < 0 || *ret != VM_END_RESET)
            return e;
        if (r->spec->on_reset == SPEC_EXIT ||
            (r->spec->restarts_max &&
             r->resets >= (uint64_t)r->spec->restarts_max))
            return 0;
        r->resets++;
        tear_down(r);
        quick = clock_mono_us() - began < QUICK_US ? quick + 1 : 0;
        e = rest(r, quick, reterr);
        if (e < 0)
            return e;
        if (r->stop) {
            *ret = VM_END_STOPPED;
            return 0;
        }
    }
}

int
run_vm(struct spec *s, const struct run_io *io, enum vm_end *ret,
       struct err *reterr)
{
    struct run r = {.spec = s, .io = io, .paused = s->paused};
    int e = 0;

    if (s->control_fd >= 0) {
        e = control_new((int)s->control_fd, &run_control_ops, &r, &r.control,
                        reterr);
        s->control_fd = -1;
    }
    if (e < 0)
        return e;
    run_console_open(&r);
    e = run_all(&r, ret, reterr);
    if (e == 0 && r.control)
        run_tell_end(&r, *ret);
    tear_down(&r);
    devices_free(r.devices);
    r.devices = NULL;
    control_free(r.control);
    run_console_close(&r);
    return e;
}
