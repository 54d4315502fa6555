/* irq_kvm.c - interrupts by KVM; see irq_kvm.h.
 * The routing table is always set whole: the 24 lines first (the timer's line
 * 0 at pin 2, as the MADT says), then one entry for each coupled slot, as
 * global interrupt LINES + slot. */
#include <config.h>

#include "hypervisor-backend/vmm/irq_kvm.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <string.h>

#include "common/mem.h"
#include "hypervisor-backend/vmm/platform.h"

/* Each of the lines 0 to 15 but 2 goes to an 8259 as well. */
#define FIXED_ROUTES (PLATFORM_LINES - 1u + 15u)

struct slot {
    int fd; /* -1: not coupled */
    uint64_t address;
    uint32_t data;
};

struct irq_kvm {
    struct irq irq;
    struct kvm *kvm;
    pthread_mutex_t lock; /* slots, and the order of routing updates */
    struct slot *slots;
    unsigned n_slots;
};

static int
kvm_line(void *self, unsigned gsi, bool level)
{
    struct irq_kvm *i = self;
    struct kvm_irq_level l = {.irq = gsi, .level = level};

    return kvm_ioctl(i->kvm->vm_fd, KVM_IRQ_LINE, &l);
}

static int
kvm_msi(void *self, uint64_t address, uint32_t data)
{
    struct irq_kvm *i = self;
    struct kvm_msi m = {.address_lo = (uint32_t)address,
                        .address_hi = (uint32_t)(address >> 32),
                        .data = data};
    int r = kvm_ioctl(i->kvm->vm_fd, KVM_SIGNAL_MSI, &m);

    /* 0: the guest blocked it, which is its right. */
    return r < 0 ? r : 0;
}

static void
chip_route(struct kvm_irq_routing *t, unsigned gsi, unsigned chip, unsigned pin)
{
    struct kvm_irq_routing_entry *e = &t->entries[t->nr++];

    e->gsi = gsi;
    e->type = KVM_IRQ_ROUTING_IRQCHIP;
    e->u.irqchip.irqchip = chip;
    e->u.irqchip.pin = pin;
}

static int
set_routing(struct irq_kvm *i)
{
    struct kvm_irq_routing *t =
        xcalloc(1, sizeof(*t) + (FIXED_ROUTES + i->n_slots) *
                                    sizeof(struct kvm_irq_routing_entry));
    int r;

    for (unsigned gsi = 0; gsi < PLATFORM_LINES; gsi++) {
        if (gsi == 2) /* taken by line 0; the second 8259 in the first */
            continue;
        if (gsi < 8)
            chip_route(t, gsi, KVM_IRQCHIP_PIC_MASTER, gsi);
        else if (gsi < 16)
            chip_route(t, gsi, KVM_IRQCHIP_PIC_SLAVE, gsi - 8);
        chip_route(t, gsi, KVM_IRQCHIP_IOAPIC, gsi ? gsi : 2);
    }
    for (unsigned s = 0; s < i->n_slots; s++) {
        struct kvm_irq_routing_entry *e;

        if (i->slots[s].fd < 0)
            continue;
        e = &t->entries[t->nr++];
        e->gsi = PLATFORM_LINES + s;
        e->type = KVM_IRQ_ROUTING_MSI;
        e->u.msi.address_lo = (uint32_t)i->slots[s].address;
        e->u.msi.address_hi = (uint32_t)(i->slots[s].address >> 32);
        e->u.msi.data = i->slots[s].data;
    }
    r = kvm_ioctl(i->kvm->vm_fd, KVM_SET_GSI_ROUTING, t);
    free(t);
    return r;
}

static int
set_irqfd(struct irq_kvm *i, unsigned slot, int fd, bool on)
{
    struct kvm_irqfd f = {.fd = (uint32_t)fd,
                          .gsi = PLATFORM_LINES + slot,
                          .flags = on ? 0 : KVM_IRQFD_FLAG_DEASSIGN};

    return kvm_ioctl(i->kvm->vm_fd, KVM_IRQFD, &f);
}

static int
grow(struct irq_kvm *i, unsigned slot)
{
    if (i->kvm->max_routes < FIXED_ROUTES ||
        slot >= i->kvm->max_routes - FIXED_ROUTES)
        return -ENOSPC;
    if (slot < i->n_slots)
        return 0;
    i->slots = xrealloc(i->slots, (slot + 1) * sizeof(*i->slots));
    while (i->n_slots <= slot)
        i->slots[i->n_slots++] = (struct slot){.fd = -1};
    return 0;
}

/* Lock held. */
static int
couple(struct irq_kvm *i, unsigned slot, int fd, uint64_t address,
       uint32_t data)
{
    struct slot old;
    int r = grow(i, slot);

    if (r < 0)
        return r;
    old = i->slots[slot];
    if (old.fd >= 0 && old.fd != fd) {
        r = set_irqfd(i, slot, old.fd, false);
        if (r < 0)
            return r;
        i->slots[slot].fd = old.fd = -1;
    }
    if (fd < 0)
        return set_routing(i);
    /* The route first: an eventfd that is signalled now must go there. */
    i->slots[slot] = (struct slot){fd, address, data};
    r = set_routing(i);
    if (r == 0 && old.fd < 0)
        r = set_irqfd(i, slot, fd, true);
    if (r < 0)
        i->slots[slot] = old;
    return r;
}

static int
kvm_msi_eventfd(void *self, unsigned slot, int fd, uint64_t address,
                uint32_t data)
{
    struct irq_kvm *i = self;
    int r;

    pthread_mutex_lock(&i->lock);
    r = couple(i, slot, fd, address, data);
    pthread_mutex_unlock(&i->lock);
    return r;
}

static const struct irq_ops kvm_irq_ops = {
    .line = kvm_line, .msi = kvm_msi, .msi_eventfd = kvm_msi_eventfd};

int
irq_kvm_new(struct kvm *k, struct irq_kvm **ret)
{
    struct irq_kvm *i = xnew(struct irq_kvm);
    int r;

    i->kvm = k;
    i->irq = (struct irq){.ops = &kvm_irq_ops, .self = i};
    pthread_mutex_init(&i->lock, NULL);
    r = set_routing(i);
    if (r < 0) {
        irq_kvm_free(i);
        return r;
    }
    *ret = i;
    return 0;
}

void
irq_kvm_free(struct irq_kvm *i)
{
    if (!i)
        return;
    for (unsigned s = 0; s < i->n_slots; s++)
        if (i->slots[s].fd >= 0)
            (void)set_irqfd(i, s, i->slots[s].fd, false);
    pthread_mutex_destroy(&i->lock);
    free(i->slots);
    free(i);
}

const struct irq *
irq_kvm_irq(const struct irq_kvm *i)
{
    return &i->irq;
}
