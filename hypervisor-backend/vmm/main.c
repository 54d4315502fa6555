/* main.c - virga-vmm: command line. One process runs one VM.
 * The exit status tells how the guest ended; see options.c. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "common/buf.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/be_tap.h"
#include "hypervisor-backend/vmm/devices.h"
#include "hypervisor-backend/vmm/metrics.h"
#include "hypervisor-backend/vmm/options.h"
#include "hypervisor-backend/vmm/run.h"

enum {
    STATUS_OFF = 0,
    STATUS_FAILED = 1,
    STATUS_USAGE = 2,
    STATUS_RESET = 3,
    STATUS_TRIPLE_FAULT = 4,
    STATUS_PANIC = 5,
    STATUS_STOPPED = 6,
    STATUS_KVM = 7,
};

static int
open_file(const char *path, int *ret, struct err *reterr)
{
    if (!path)
        return 0;
    *ret = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    return *ret < 0 ? err_errno(reterr, -errno, "%s", path) : 0;
}

static void
vm_freep(struct vm **vm)
{
    vm_free(*vm);
}

static void
devices_freep(struct devices **d)
{
    devices_free(*d);
}

/* For each run anew: the last run's devices have closed theirs. On failure
 * what was opened stays for close_devices(). */
static int
open_devices(struct options *o, struct err *reterr)
{
    for (size_t i = 0; i < o->devices.n_disks; i++) {
        struct devices_disk *d = &o->disks[i];

        d->fd = open(d->path, (d->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC |
                                  O_NOCTTY | O_NONBLOCK);
        if (d->fd < 0)
            return err_errno(reterr, -errno, "%s", d->path);
    }
    for (size_t i = 0; i < o->devices.n_nics; i++) {
        int r = be_tap_open(o->nics[i].tap, &o->nics[i].fds[0], reterr);

        if (r < 0)
            return r;
    }
    return 0;
}

static void
close_devices(struct options *o)
{
    for (size_t i = 0; i < o->devices.n_disks; i++)
        closep(&o->disks[i].fd);
    for (size_t i = 0; i < o->devices.n_nics; i++)
        closep(&o->nics[i].fds[0]);
}

static int
write_metrics(struct vm *vm, const char *path, struct err *reterr)
{
    struct buf b _cleanup_(buf_release) = {0};

    if (!path)
        return 0;
    metrics_write(vm, &b);
    return fs_write_atomic(path, b.data, b.len, 0644, reterr);
}

/* From nothing to the end of one run. */
static int
run_one(struct options *o, const struct vm_config *cfg, struct run_io *io,
        enum vm_end *ret, struct err *reterr)
{
    struct vm *vm _cleanup_(vm_freep) = NULL;
    /* Declared after the VM, so freed before it. */
    struct devices *devices _cleanup_(devices_freep) = NULL;
    int r;

    r = vm_new(cfg, &vm, reterr);
    if (r == 0)
        r = open_devices(o, reterr);
    if (r == 0)
        r = devices_new(vm, &o->devices, &devices, reterr);
    else
        close_devices(o);
    if (r == 0)
        r = vm_boot(vm, cfg, reterr);
    if (r == 0)
        r = run_vm(vm, io, ret, reterr);
    if (r == 0)
        r = write_metrics(vm, o->metrics, reterr);
    return r;
}

static int
status_of(enum vm_end end)
{
    switch (end) {
    case VM_END_POWEROFF:
        return STATUS_OFF;
    case VM_END_RESET:
        return STATUS_RESET;
    case VM_END_TRIPLE_FAULT:
        return STATUS_TRIPLE_FAULT;
    case VM_END_PANIC:
        return STATUS_PANIC;
    case VM_END_STOPPED:
        return STATUS_STOPPED;
    default:
        return STATUS_KVM;
    }
}

static int
run(struct options *o, struct err *reterr)
{
    int kernel _cleanup_(closep) = -1, initrd _cleanup_(closep) = -1;
    int signals _cleanup_(closep) = -1;
    struct vm_config cfg = {.cpus = o->cpus,
                            .memory_bytes = o->memory_bytes,
                            .memory = o->memory,
                            .kvm_fd = -1,
                            .pci = true,
                            .cmdline = o->cmdline};
    struct run_io io = {.in = STDIN_FILENO, .out = STDOUT_FILENO};
    enum vm_end end;
    int r;

    r = open_file(o->kernel, &kernel, reterr);
    if (r == 0)
        r = open_file(o->initrd, &initrd, reterr);
    if (r < 0)
        return r;
    signals = run_signals();
    if (signals < 0)
        return err_errno(reterr, signals, "signals");
    cfg.kernel_fd = kernel;
    cfg.initrd_fd = initrd;
    io.signals = signals;
    do {
        r = run_one(o, &cfg, &io, &end, reterr);
        if (r < 0)
            return r;
    } while (end == VM_END_RESET && !o->exit_on_reset);
    if (end != VM_END_POWEROFF)
        log_info("the VM ended", "how=%s", vm_end_name(end));
    return status_of(end);
}

int
main(int argc, char **argv)
{
    struct options o;
    struct err e = {0};
    int r;

    log_setup("virga-vmm", LOG_LEVEL_INFO);
    r = options_parse(argc, argv, &o);
    if (r != 0)
        return r < 0 ? STATUS_USAGE : 0;
    r = run(&o, &e);
    if (r < 0) {
        fprintf(stderr, "virga-vmm: %s\n", e.message);
        r = STATUS_FAILED;
    }
    err_release(&e);
    return r;
}
