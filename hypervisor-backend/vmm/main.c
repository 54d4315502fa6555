/* main.c - virga-vmm: command line. One process runs one VM.
 * The exit status tells how the guest ended; see options.c. */
#include <config.h>

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/cpu_models.h"
#include "hypervisor-backend/vmm/ctl.h"
#include "hypervisor-backend/vmm/options.h"
#include "hypervisor-backend/vmm/run.h"
#include "hypervisor-backend/vmm/serve.h"

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

/* What happened, for people, and the status for programs. */
static int
report(int r, enum vm_end end, const struct err *e)
{
    if (r < 0) {
        fprintf(stderr, "virga-vmm: %s\n", e->message);
        return STATUS_FAILED;
    }
    if (end != VM_END_POWEROFF)
        log_info("the VM ended", "how=%s", vm_end_name(end));
    return status_of(end);
}

static int
do_run(int argc, char **argv)
{
    struct options o;
    struct err e _cleanup_(err_release) = {0};
    struct run_io io = {.in = STDIN_FILENO, .out = STDOUT_FILENO};
    enum vm_end end = VM_END_NONE;
    int r = options_parse(argc, argv, &o);

    if (r != 0) {
        options_release(&o);
        return r < 0 ? STATUS_USAGE : 0;
    }
    io.metrics = o.metrics;
    r = options_open(&o, &e);
    if (r == 0)
        r = io.signals = run_signals();
    if (r >= 0)
        r = run_vm(&o.spec, &io, &end, &e);
    else if (!e.number)
        err_errno(&e, r, "signals");
    options_release(&o);
    return report(r, end, &e);
}

static int
do_serve(int argc, char **argv)
{
    struct err e _cleanup_(err_release) = {0};
    enum vm_end end = VM_END_NONE;
    char *rest;
    long fd;

    if (argc != 2) {
        options_usage(stderr);
        return STATUS_USAGE;
    }
    errno = 0;
    fd = strtol(argv[1], &rest, 10);
    if (errno || rest == argv[1] || *rest || fd < 0 || fd > INT_MAX) {
        fprintf(stderr, "virga-vmm: serve: the number of a descriptor\n");
        return STATUS_USAGE;
    }
    int r = serve((int)fd, &end, &e);
    return report(r, end, &e);
}

int
main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";

    log_setup("virga-vmm", LOG_LEVEL_INFO);
    if (streq(command, "run"))
        return do_run(argc - 1, argv + 1);
    if (streq(command, "serve"))
        return do_serve(argc - 1, argv + 1);
    if (streq(command, "ctl"))
        return ctl_main(argc - 2, argv + 2);
    if (streq(command, "cpu-models"))
        return cpu_models_main(argc - 2);
    if (streq(command, "--help") || streq(command, "-h")) {
        options_usage(stdout);
        return 0;
    }
    if (streq(command, "--version")) {
        puts("virga-vmm " PACKAGE_VERSION);
        return 0;
    }
    options_usage(stderr);
    return STATUS_USAGE;
}
