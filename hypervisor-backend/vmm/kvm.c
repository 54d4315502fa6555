/* kvm.c - the KVM descriptors of one VM; see kvm.h. */
#include <config.h>

#include "hypervisor-backend/vmm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "common/mem.h"
#include "hypervisor-backend/vmm/cpuid.h"
#include "hypervisor-backend/vmm/platform.h"

#define CPUID_MAX 1024u

int
kvm_ioctl(int fd, unsigned long request, void *arg)
{
    int r;

    do
        r = ioctl(fd, request, arg);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

static int
check_extension(struct kvm *k, unsigned long cap)
{
    return kvm_ioctl(k->sys_fd, KVM_CHECK_EXTENSION, (void *)cap);
}

static int
check_capabilities(struct kvm *k, struct err *reterr)
{
    static const struct {
        unsigned long cap;
        const char *name;
    } needed[] = {
        {KVM_CAP_USER_MEMORY, "user memory"},
        {KVM_CAP_IRQCHIP, "in-kernel interrupt controllers"},
        {KVM_CAP_PIT2, "in-kernel timer"},
        {KVM_CAP_EXT_CPUID, "CPUID"},
        {KVM_CAP_IRQFD, "irqfd"},
        {KVM_CAP_IOEVENTFD, "ioeventfd"},
        {KVM_CAP_IOEVENTFD_ANY_LENGTH, "ioeventfd of any length"},
        {KVM_CAP_IRQ_ROUTING, "interrupt routing"},
        {KVM_CAP_SIGNAL_MSI, "message-signalled interrupts"},
        {KVM_CAP_SET_TSS_ADDR, "task state segment"},
        {KVM_CAP_SET_IDENTITY_MAP_ADDR, "identity map"},
        {KVM_CAP_IMMEDIATE_EXIT, "immediate exit"},
    };
    int r;

    r = kvm_ioctl(k->sys_fd, KVM_GET_API_VERSION, NULL);
    if (r != KVM_API_VERSION)
        return err_set(reterr, -ENODEV, "no_kvm",
                       "/dev/kvm is not KVM's version %d", KVM_API_VERSION);
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
        if (check_extension(k, needed[i].cap) <= 0)
            return err_set(reterr, -ENODEV, "no_kvm", "this KVM lacks: %s",
                           needed[i].name);
    k->tsc_deadline = check_extension(k, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
    r = check_extension(k, KVM_CAP_IRQ_ROUTING);
    k->max_routes = (unsigned)MAX(r, 0);
    r = check_extension(k, KVM_CAP_MAX_VCPUS);
    if (r <= 0)
        r = check_extension(k, KVM_CAP_NR_VCPUS);
    k->max_vcpus = (unsigned)MAX(r, 1);
    r = kvm_ioctl(k->sys_fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
    if (r < (int)sizeof(struct kvm_run))
        return err_set(reterr, -ENODEV, "no_kvm", "no vCPU state to be mapped");
    k->run_bytes = (size_t)r;
    return 0;
}

int
kvm_open(struct kvm *k, int dev_fd, struct err *reterr)
{
    int r;

    *k = (struct kvm){.sys_fd = dev_fd, .vm_fd = -1};
    if (k->sys_fd < 0)
        k->sys_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (k->sys_fd < 0)
        return err_errno(reterr, -errno, "/dev/kvm");
    r = check_capabilities(k, reterr);
    if (r == 0) {
        k->vm_fd = kvm_ioctl(k->sys_fd, KVM_CREATE_VM, NULL);
        r = k->vm_fd < 0 ? err_errno(reterr, k->vm_fd, "KVM_CREATE_VM") : 0;
    }
    if (r < 0)
        kvm_release(k);
    return r;
}

void
kvm_release(struct kvm *k)
{
    closep(&k->vm_fd);
    closep(&k->sys_fd);
}

int
kvm_add_memory(struct kvm *k, const struct gmem *g, struct err *reterr)
{
    const struct gmem_region *regions;
    size_t n = gmem_regions(g, &regions);

    for (size_t i = 0; i < n; i++) {
        struct kvm_userspace_memory_region m = {
            .slot = (uint32_t)i,
            .guest_phys_addr = regions[i].gpa,
            .memory_size = regions[i].size,
            .userspace_addr = (uintptr_t)regions[i].host};
        int r = kvm_ioctl(k->vm_fd, KVM_SET_USER_MEMORY_REGION, &m);

        if (r < 0)
            return err_errno(reterr, r, "guest memory at 0x%llx",
                             (unsigned long long)regions[i].gpa);
    }
    return 0;
}

int
kvm_add_irqchip(struct kvm *k, struct err *reterr)
{
    /* The speaker's port is answered by the kernel as well: guests measure
     * their clocks with it. */
    struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
    uint64_t identity = PLATFORM_KVM_IDENTITY;
    int r;

    r = kvm_ioctl(k->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);
    if (r < 0)
        return err_errno(reterr, r, "KVM_SET_IDENTITY_MAP_ADDR");
    r = kvm_ioctl(k->vm_fd, KVM_SET_TSS_ADDR, (void *)PLATFORM_KVM_TSS);
    if (r < 0)
        return err_errno(reterr, r, "KVM_SET_TSS_ADDR");
    r = kvm_ioctl(k->vm_fd, KVM_CREATE_IRQCHIP, NULL);
    if (r < 0)
        return err_errno(reterr, r, "KVM_CREATE_IRQCHIP");
    r = kvm_ioctl(k->vm_fd, KVM_CREATE_PIT2, &pit);
    if (r < 0)
        return err_errno(reterr, r, "KVM_CREATE_PIT2");
    return 0;
}

int
kvm_supported_cpuid(struct kvm *k, struct kvm_cpuid2 **ret)
{
    for (uint32_t n = 128; n <= CPUID_MAX; n *= 2) {
        struct kvm_cpuid2 *c =
            xcalloc(1, sizeof(*c) + (n + CPUID_SPARE) * sizeof(c->entries[0]));
        int r;

        c->nent = n;
        r = kvm_ioctl(k->sys_fd, KVM_GET_SUPPORTED_CPUID, c);
        if (r == 0) {
            *ret = c;
            return 0;
        }
        free(c);
        if (r != -E2BIG)
            return r;
    }
    return -E2BIG;
}

int
kvm_ioevent(struct kvm *k, uint64_t addr, int fd, bool add)
{
    struct kvm_ioeventfd e = {.addr = addr,
                              .len = 0, /* any */
                              .fd = fd,
                              .flags = add ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN};

    return kvm_ioctl(k->vm_fd, KVM_IOEVENTFD, &e);
}
