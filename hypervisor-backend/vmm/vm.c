/* vm.c - one virtual machine, put together; see vm.h. */
#include <config.h>

#include "hypervisor-backend/vmm/vm.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>

#include "common/mem.h"
#include "hypervisor-backend/vmm/acpi.h"
#include "hypervisor-backend/vmm/boot.h"
#include "hypervisor-backend/vmm/i8042.h"
#include "hypervisor-backend/vmm/irq_kvm.h"
#include "hypervisor-backend/vmm/platform.h"
#include "hypervisor-backend/vmm/pm.h"
#include "hypervisor-backend/vmm/rtc.h"

struct vm {
    struct gmem *gmem;
    struct kvm kvm;
    struct irq_kvm *irq;
    struct bus *bus;
    struct serial *serial;
    struct rtc *rtc;
    struct pm *pm;
    struct vcpus *vcpus;
    struct end_sink sink;
    _Atomic int end; /* enum vm_end */
    int event_fd;
    bool pci;
};

static void
signal_event(void *arg)
{
    struct vm *vm = arg;
    uint64_t one = 1;

    /* EAGAIN: the counter is full, so the reader is woken anyway. */
    while (write(vm->event_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
}

/* By whoever knows first: a device on a vCPU's thread, KVM, or vm_stop(). */
static void
tell_end(void *arg, enum vm_end end)
{
    struct vm *vm = arg;
    int none = VM_END_NONE;

    if (!atomic_compare_exchange_strong(&vm->end, &none, (int)end))
        return;
    if (vm->vcpus)
        vcpus_request_stop(vm->vcpus);
    signal_event(vm);
}

static int
add_ports(struct vm *vm)
{
    const struct {
        uint64_t base, len;
        const struct bus_ops *ops;
        void *dev;
    } ports[] = {
        {PLATFORM_SERIAL_PORT, SERIAL_PORTS, &serial_bus_ops, vm->serial},
        {PLATFORM_RTC_PORT, RTC_PORTS, &rtc_bus_ops, vm->rtc},
        {PLATFORM_I8042_PORT + 4, 1, &i8042_bus_ops, &vm->sink},
        {PLATFORM_PM_PORT, PLATFORM_PM_LEN, &pm_bus_ops, vm->pm},
        {PLATFORM_PVPANIC_PORT, 1, &pvpanic_bus_ops, &vm->sink},
    };

    for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
        int r = bus_add(vm->bus, BUS_PIO, ports[i].base, ports[i].len,
                        ports[i].ops, ports[i].dev);

        if (r < 0)
            return r;
    }
    return 0;
}

static int
build(struct vm *vm, const struct vm_config *cfg, int kvm_fd,
      struct err *reterr)
{
    const struct vcpus_options cpus = {.n = cfg->cpus,
                                       .cpu_model = cfg->cpu_model};
    const struct irq *irq;
    int r;

    vm->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (vm->event_fd < 0) {
        r = -errno;
        closep(&kvm_fd);
        return err_errno(reterr, r, "eventfd");
    }
    r = kvm_open(&vm->kvm, kvm_fd, reterr);
    if (r == 0)
        r = gmem_new(cfg->memory_bytes, &cfg->memory, &vm->gmem, reterr);
    if (r == 0)
        r = kvm_add_memory(&vm->kvm, vm->gmem, reterr);
    if (r == 0)
        r = kvm_add_irqchip(&vm->kvm, reterr);
    if (r < 0)
        return r;
    r = irq_kvm_new(&vm->kvm, &vm->irq);
    if (r < 0)
        return err_errno(reterr, r, "interrupt routing");
    irq = irq_kvm_irq(vm->irq);
    vm->bus = bus_new();
    vm->serial = serial_new(irq, PLATFORM_SERIAL_IRQ, signal_event, vm);
    vm->rtc = rtc_new(NULL);
    vm->pm = pm_new(irq, PLATFORM_SCI_IRQ, &vm->sink);
    r = add_ports(vm);
    if (r < 0)
        return err_errno(reterr, r, "ports");
    return vcpus_new(&vm->kvm, vm->bus, &vm->sink, &cpus, &vm->vcpus, reterr);
}

int
vm_new(const struct vm_config *cfg, struct vm **ret, struct err *reterr)
{
    int kvm_fd _cleanup_(closep) = cfg->kvm_fd;
    struct vm *vm;
    int r;

    if (cfg->cpus < 1 || cfg->cpus > PLATFORM_MAX_CPUS)
        return err_set(reterr, -EINVAL, "invalid", "vCPUs must be 1 to %u",
                       PLATFORM_MAX_CPUS);
    vm = xnew(struct vm);
    vm->event_fd = -1;
    vm->kvm.sys_fd = vm->kvm.vm_fd = -1;
    vm->pci = cfg->pci;
    vm->sink = (struct end_sink){.tell = tell_end, .arg = vm};
    r = build(vm, cfg, TAKE_FD(kvm_fd), reterr);
    if (r < 0) {
        vm_free(vm);
        return r;
    }
    *ret = vm;
    return 0;
}

void
vm_free(struct vm *vm)
{
    if (!vm)
        return;
    /* The vCPUs first: they use all that follows. Memory last: KVM maps it. */
    vcpus_free(vm->vcpus);
    irq_kvm_free(vm->irq);
    bus_free(vm->bus);
    serial_free(vm->serial);
    rtc_free(vm->rtc);
    pm_free(vm->pm);
    kvm_release(&vm->kvm);
    gmem_free(vm->gmem);
    closep(&vm->event_fd);
    free(vm);
}

struct gmem *
vm_gmem(struct vm *vm)
{
    return vm->gmem;
}

struct bus *
vm_bus(struct vm *vm)
{
    return vm->bus;
}

const struct irq *
vm_irq(struct vm *vm)
{
    return irq_kvm_irq(vm->irq);
}

struct kvm *
vm_kvm(struct vm *vm)
{
    return &vm->kvm;
}

struct serial *
vm_serial(struct vm *vm)
{
    return vm->serial;
}

struct pm *
vm_pm(struct vm *vm)
{
    return vm->pm;
}

const struct end_sink *
vm_end_sink(struct vm *vm)
{
    return &vm->sink;
}

int
vm_boot(struct vm *vm, const struct vm_config *cfg, struct err *reterr)
{
    struct acpi_config acpi = {.cpus = cfg->cpus, .pci = vm->pci};
    struct boot_source kernel, initrd;
    unsigned char seed[32];
    struct boot_image img = {
        .kernel = &kernel, .cmdline = cfg->cmdline, .seed = seed};
    struct boot_entry entry;
    int r;

    r = boot_source_fd(cfg->kernel_fd, &kernel);
    if (r < 0)
        return err_errno(reterr, r, "kernel file");
    if (cfg->initrd_fd >= 0) {
        r = boot_source_fd(cfg->initrd_fd, &initrd);
        if (r < 0)
            return err_errno(reterr, r, "initrd file");
        img.initrd = &initrd;
    }
    r = acpi_build(vm->gmem, &acpi, &img.rsdp);
    if (r < 0)
        return err_errno(reterr, r, "ACPI tables");
    /* Without it the guest has one source less: no reason not to start. */
    if (getrandom(seed, sizeof(seed), 0) == (ssize_t)sizeof(seed))
        img.seed_len = sizeof(seed);
    r = boot_load(vm->gmem, &img, &entry, reterr);
    explicit_bzero(seed, sizeof(seed));
    if (r < 0)
        return r;
    return vcpus_boot(vm->vcpus, &entry, reterr);
}

int
vm_start(struct vm *vm, struct err *reterr)
{
    return vcpus_start(vm->vcpus, reterr);
}

void
vm_pause(struct vm *vm)
{
    vcpus_pause(vm->vcpus);
}

void
vm_resume(struct vm *vm)
{
    vcpus_resume(vm->vcpus);
}

void
vm_power_button(struct vm *vm)
{
    pm_power_button(vm->pm);
}

void
vm_stop(struct vm *vm)
{
    tell_end(vm, VM_END_STOPPED);
    vcpus_stop(vm->vcpus);
}

int
vm_event_fd(const struct vm *vm)
{
    return vm->event_fd;
}

void
vm_event_clear(struct vm *vm)
{
    uint64_t n;

    while (read(vm->event_fd, &n, sizeof(n)) < 0 && errno == EINTR)
        continue;
}

enum vm_end
vm_ended(const struct vm *vm)
{
    return (enum vm_end)atomic_load(&vm->end);
}

const char *
vm_end_name(enum vm_end e)
{
    static const char *const names[] = {
        [VM_END_NONE] = "running", [VM_END_POWEROFF] = "power-off",
        [VM_END_RESET] = "reset",  [VM_END_TRIPLE_FAULT] = "triple-fault",
        [VM_END_PANIC] = "panic",  [VM_END_STOPPED] = "stopped",
        [VM_END_ERROR] = "error",
    };

    return names[e];
}

unsigned
vm_cpus(const struct vm *vm)
{
    return vcpus_count(vm->vcpus);
}

void
vm_vcpu_stats(struct vm *vm, unsigned i, struct vcpu_stats *ret)
{
    vcpus_stats(vm->vcpus, i, ret);
}
