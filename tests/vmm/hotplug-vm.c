/* hotplug-vm.c - a VM whose devices come and go by command; for the test host.
 *   hotplug-vm KERNEL INITRD CMDLINE COMMANDS
 * The serial port is on the standard input and output; COMMANDS is a FIFO of
 * lines: attach-disk NAME PATH, detach-disk NAME, pull-disk NAME,
 * resize-disk NAME, limit-disk NAME BYTES-PER-SECOND, attach-nic NAME TAP,
 * detach-nic NAME, pull-nic NAME, pause, resume, stop. Each is answered by a
 * line "ctl: …" on the standard error. A guest's reset begins the next run with
 * what is attached then. */
#include <config.h>

#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include "common/fs.h"
#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/be_tap.h"
#include "hypervisor-backend/vmm/devices.h"

struct state {
    struct vm_config cfg;
    struct vm *vm;
    struct devices *devices;
    FILE *commands;
};

static void
detached(void *arg, enum devices_kind kind, const char *name)
{
    (void)arg;
    fprintf(stderr, "ctl: %s %s is gone\n", devices_kind_name(kind), name);
}

static void
show(void *arg, const struct devices_info *i)
{
    (void)arg;
    fprintf(stderr, "ctl: slot %u %s %s\n", i->slot, devices_kind_name(i->kind),
            i->name);
}

static int
attach_disk(struct state *s, const char *name, const char *path,
            struct err *reterr)
{
    struct devices_disk disk = {
        .name = name, .serial = name, .fd = open(path, O_RDWR | O_CLOEXEC)};
    unsigned slot;

    return devices_attach_disk(s->devices, &disk, &slot, reterr);
}

static int
attach_nic(struct state *s, const char *name, const char *tap,
           struct err *reterr)
{
    struct devices_nic nic = {
        .name = name, .n_queues = 1, .mac = {0x52, 0x54, 0, 0, 0, 9}};
    unsigned slot;
    int r = be_tap_open(tap, &nic.fds[0], reterr);

    return r < 0 ? r : devices_attach_nic(s->devices, &nic, &slot, reterr);
}

static int
command(struct state *s, char *line, struct err *reterr)
{
    char *word = strsep(&line, " "), *name = strsep(&line, " "), *more = line;
    struct rate_limits limits = {0};
    uint64_t bytes;

    if (streq(word, "attach-disk"))
        return attach_disk(s, name, more, reterr);
    if (streq(word, "attach-nic"))
        return attach_nic(s, name, more, reterr);
    if (streq(word, "detach-disk") || streq(word, "pull-disk"))
        return devices_detach_disk(s->devices, name, *word == 'p', reterr);
    if (streq(word, "detach-nic") || streq(word, "pull-nic"))
        return devices_detach_nic(s->devices, name, *word == 'p', reterr);
    if (streq(word, "limit-disk")) {
        limits.bytes_per_s = more ? strtoull(more, NULL, 10) : 0;
        limits.bytes_burst = 65536;
        return devices_disk_limits(s->devices, name, &limits, reterr);
    }
    if (streq(word, "resize-disk"))
        return devices_resize_disk(s->devices, name, &bytes, reterr);
    if (streq(word, "pause")) {
        vm_pause(s->vm);
        devices_pause(s->devices);
    } else if (streq(word, "resume")) {
        devices_resume(s->devices);
        vm_resume(s->vm);
    } else if (streq(word, "walk")) {
        devices_walk(s->devices, show, NULL);
    } else if (streq(word, "stop")) {
        vm_stop(s->vm);
    } else {
        return err_set(reterr, -EINVAL, "unknown", "unknown command");
    }
    return 0;
}

static void
on_command(struct state *s)
{
    struct err e = {0};
    char line[256];
    int r;

    if (!fgets(line, sizeof(line), s->commands))
        return;
    line[strcspn(line, "\n")] = '\0';
    fprintf(stderr, "ctl: %s: ", line);
    r = command(s, line, &e);
    fprintf(stderr, "%s\n",
            r == 0              ? "done"
            : r == -EINPROGRESS ? "asked"
                                : e.message);
    err_release(&e);
}

static void
move_serial(struct state *s, bool input)
{
    char bytes[4096];
    size_t n = serial_output(vm_serial(s->vm), bytes, sizeof(bytes));

    if (n && fs_write_all(STDOUT_FILENO, bytes, n) < 0)
        vm_stop(s->vm);
    n = MIN(serial_room(vm_serial(s->vm)), sizeof(bytes));
    if (input && n) {
        ssize_t got = read(STDIN_FILENO, bytes, n);

        if (got > 0)
            serial_input(vm_serial(s->vm), bytes, (size_t)got);
    }
}

static enum vm_end
run(struct state *s)
{
    while (vm_ended(s->vm) == VM_END_NONE) {
        struct pollfd p[] = {
            {.fd = vm_event_fd(s->vm), .events = POLLIN},
            {.fd = devices_event_fd(s->devices), .events = POLLIN},
            {.fd = fileno(s->commands), .events = POLLIN},
            {.fd = STDIN_FILENO, .events = POLLIN},
        };

        if (poll(p, ARRAY_SIZE(p), -1) < 0)
            continue;
        if (p[0].revents)
            vm_event_clear(s->vm);
        if (p[1].revents)
            devices_events(s->devices);
        if (p[2].revents)
            on_command(s);
        move_serial(s, p[3].revents != 0);
    }
    vm_stop(s->vm);
    return vm_ended(s->vm);
}

static int
begin(struct state *s, struct err *reterr)
{
    struct devices_config devices = {.detached = detached};
    int r;

    s->cfg.kvm_fd = -1;
    r = vm_new(&s->cfg, &s->vm, reterr);
    if (r == 0)
        r = s->devices ? devices_enter(s->devices, s->vm, reterr)
                       : devices_new(s->vm, &devices, &s->devices, reterr);
    if (r == 0)
        r = vm_boot(s->vm, &s->cfg, reterr);
    return r < 0 ? r : vm_start(s->vm, reterr);
}

int
main(int argc, char **argv)
{
    struct state s = {.cfg = {.cpus = 1,
                              .memory_bytes = 192u << 20,
                              .pci = true,
                              .cmdline = argc == 5 ? argv[3] : NULL}};
    enum vm_end end = VM_END_NONE;
    struct err e = {0};

    if (argc != 5)
        return 2;
    log_setup("hotplug-vm", LOG_LEVEL_INFO);
    s.cfg.kernel_fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    s.cfg.initrd_fd = open(argv[2], O_RDONLY | O_CLOEXEC);
    /* For writing as well: never at its end. */
    s.commands = fdopen(open(argv[4], O_RDWR | O_CLOEXEC), "r");
    if (!s.commands)
        return 2;
    setvbuf(s.commands, NULL, _IONBF, 0); /* poll() sees what is left */
    do {
        if (begin(&s, &e) < 0) {
            fprintf(stderr, "ctl: %s\n", e.message);
            return 1;
        }
        end = run(&s);
        devices_leave(s.devices);
        vm_free(s.vm);
        fprintf(stderr, "ctl: %s\n", vm_end_name(end));
    } while (end == VM_END_RESET);
    devices_free(s.devices);
    fclose(s.commands);
    return 0;
}
