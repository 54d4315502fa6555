/* lib-virtio.c - a driver for virtio devices in bare-metal guests; see
 * lib-virtio.h. */
#include "tests/vmm/lib-virtio.h"

#define COM1 0x3f8
#define PM1 0x600
#define PM1_BUTTON (1 << 8)
#define LAPIC UINT64_C(0xfee00000)
#define IOAPIC UINT64_C(0xfec00000)
#define HEAP UINT64_C(0x200000)

enum {
    CAP_VENDOR = 0x09,
    CAP_MSIX = 0x11,
    CMD_MEMORY_MASTER = 6,
};

extern uint32_t guest_info, guest_cpus_up;
void guest_start_cpus(void);
void guest_idt_init(void);
void guest_irq(unsigned irq);
void guest_cpu_main(unsigned cpu);

/* --- reports --- */

void
put(const char *s)
{
    while (*s)
        out(COM1, 1, (unsigned char)*s++);
}

void
put_number(uint64_t v)
{
    char digits[21];
    unsigned at = sizeof(digits) - 1;

    digits[at] = '\0';
    do
        digits[--at] = (char)('0' + v % 10);
    while (v /= 10);
    put(digits + at);
}

void
check(bool ok, const char *what)
{
    put(ok ? "ok " : "FAILED ");
    put(what);
    put("\n");
}

const char *
cmdline(void)
{
    /* struct hvm_start_info: cmdline_paddr */
    return (const char *)*(uint64_t *)(uintptr_t)(guest_info + 24);
}

/* --- memory and processor --- */

void *
alloc(uint64_t size, uint64_t align)
{
    static uint64_t heap = HEAP;
    uint64_t at = (heap + align - 1) & ~(align - 1);

    heap = at + size;
    return memset((void *)at, 0, size);
}

void *
memcpy(void *to, const void *from, size_t n)
{
    void *t = to;

    __asm__ volatile("rep movsb" : "+D"(t), "+S"(from), "+c"(n)::"memory");
    return to;
}

void *
memset(void *at, int c, size_t n)
{
    void *t = at;

    __asm__ volatile("rep stosb" : "+D"(t), "+c"(n) : "a"(c) : "memory");
    return at;
}

int
memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *x = a, *y = b;

    for (size_t i = 0; i < n; i++)
        if (x[i] != y[i])
            return x[i] < y[i] ? -1 : 1;
    return 0;
}

uint32_t
in(unsigned port, unsigned size)
{
    uint32_t v = 0;

    if (size == 1)
        __asm__ volatile("inb %%dx, %%al" : "+a"(v) : "d"(port));
    else if (size == 2)
        __asm__ volatile("inw %%dx, %%ax" : "+a"(v) : "d"(port));
    else
        __asm__ volatile("inl %%dx, %%eax" : "+a"(v) : "d"(port));
    return v;
}

void
out(unsigned port, unsigned size, uint32_t value)
{
    if (size == 1)
        __asm__ volatile("outb %%al, %%dx" ::"a"(value), "d"(port));
    else if (size == 2)
        __asm__ volatile("outw %%ax, %%dx" ::"a"(value), "d"(port));
    else
        __asm__ volatile("outl %%eax, %%dx" ::"a"(value), "d"(port));
}

uint64_t
mmio_read(uint64_t addr, unsigned size)
{
    switch (size) {
    case 1:
        return *(volatile uint8_t *)addr;
    case 2:
        return *(volatile uint16_t *)addr;
    case 4:
        return *(volatile uint32_t *)addr;
    default:
        return *(volatile uint64_t *)addr;
    }
}

void
mmio_write(uint64_t addr, unsigned size, uint64_t value)
{
    switch (size) {
    case 1:
        *(volatile uint8_t *)addr = (uint8_t)value;
        break;
    case 2:
        *(volatile uint16_t *)addr = (uint16_t)value;
        break;
    case 4:
        *(volatile uint32_t *)addr = (uint32_t)value;
        break;
    default:
        *(volatile uint64_t *)addr = value;
        break;
    }
}

void
relax(void)
{
    __asm__ volatile("pause" ::: "memory");
}

static void (*volatile cpu_fn)(void);

void
guest_cpu_main(unsigned cpu)
{
    (void)cpu;
    cpu_fn();
}

void
start_cpu(void (*fn)(void))
{
    cpu_fn = fn;
    guest_start_cpus();
    while (__atomic_load_n(&guest_cpus_up, __ATOMIC_SEQ_CST) < 2)
        relax();
}

/* --- interrupts --- */

volatile unsigned irq_seen[GUEST_IRQS];
static volatile bool pressed;

void
guest_irq(unsigned irq)
{
    if (irq == GUEST_IRQ_SCI && (in(PM1, 2) & PM1_BUTTON)) {
        out(PM1, 2, PM1_BUTTON); /* ones clear */
        pressed = true;
    }
    irq_seen[irq]++;
    mmio_write(LAPIC + 0xb0, 4, 0);
}

void
irq_init(void)
{
    guest_idt_init();
}

void
irq_wait(unsigned irq, unsigned was)
{
    for (;;) {
        __asm__ volatile("cli" ::: "memory");
        if (irq_seen[irq] != was)
            break;
        /* No interrupt comes between these two. */
        __asm__ volatile("sti; hlt" ::: "memory");
    }
    __asm__ volatile("sti" ::: "memory");
}

void
sci_init(void)
{
    const unsigned pin = 9, level = 1 << 15;

    mmio_write(IOAPIC, 4, 0x10 + 2 * pin);
    mmio_write(IOAPIC + 0x10, 4, (GUEST_VECTOR + GUEST_IRQ_SCI) | level);
    mmio_write(IOAPIC, 4, 0x11 + 2 * pin);
    mmio_write(IOAPIC + 0x10, 4, 0);
    out(PM1 + 2, 2, PM1_BUTTON);
}

bool
power_button(void)
{
    return pressed;
}

/* --- PCI --- */

uint32_t
pci_read(unsigned slot, unsigned reg, unsigned size)
{
    out(0xcf8, 4, 0x80000000 | slot << 11 | (reg & 0xfc));
    return in(0xcfc + (reg & 3), size);
}

void
pci_write(unsigned slot, unsigned reg, unsigned size, uint32_t value)
{
    out(0xcf8, 4, 0x80000000 | slot << 11 | (reg & 0xfc));
    out(0xcfc + (reg & 3), size, value);
}

/* --- virtio --- */

/* Section 4.1.4: where in the BAR the structures are. */
static void
read_caps(struct vdev *d)
{
    unsigned at = pci_read(d->slot, 0x34, 1);

    for (; at; at = pci_read(d->slot, at + 1, 1)) {
        uint64_t where = d->bar + pci_read(d->slot, at + 8, 4);

        if (pci_read(d->slot, at, 1) == CAP_MSIX)
            d->msix_cap = at;
        if (pci_read(d->slot, at, 1) != CAP_VENDOR)
            continue;
        switch (pci_read(d->slot, at + 3, 1)) {
        case VIRTIO_PCI_CAP_COMMON_CFG:
            d->common = where;
            break;
        case VIRTIO_PCI_CAP_NOTIFY_CFG:
            d->notify = where;
            d->notify_step = pci_read(d->slot, at + 16, 4);
            break;
        case VIRTIO_PCI_CAP_ISR_CFG:
            d->isr = where;
            break;
        case VIRTIO_PCI_CAP_DEVICE_CFG:
            d->device = where;
            break;
        default:
            break;
        }
    }
}

static void
set_msix(struct vdev *d)
{
    unsigned n = (pci_read(d->slot, d->msix_cap + 2, 2) & 0x7ff) + 1;
    uint64_t table = d->bar + (pci_read(d->slot, d->msix_cap + 4, 4) & ~7u);

    for (unsigned i = 0; i < n; i++) {
        mmio_write(table + 16 * i, 8, LAPIC);
        mmio_write(table + 16 * i + 8, 4, GUEST_VECTOR + d->irq + i);
        mmio_write(table + 16 * i + 12, 4, 0);
    }
    pci_write(d->slot, d->msix_cap + 2, 2, 0x8000);
}

bool
vdev_find(struct vdev *d, unsigned id, unsigned nth)
{
    static unsigned irqs; /* eight for each device that was found */
    uint32_t want = (0x1040u + id) << 16 | 0x1af4;
    unsigned slot = 0;

    while (slot < 32 && (pci_read(slot, 0, 4) != want || nth-- > 0))
        slot++;
    if (slot == 32)
        return false;
    *d = (struct vdev){.slot = slot, .irq = irqs};
    irqs += 1 + VDEV_QUEUES;
    d->bar = pci_read(slot, 0x10, 4) & ~15u;
    d->bar |= (uint64_t)pci_read(slot, 0x14, 4) << 32;
    pci_write(slot, 4, 2, CMD_MEMORY_MASTER);
    read_caps(d);
    set_msix(d);
    return true;
}

uint64_t
vdev_offered(struct vdev *d)
{
    uint64_t low;

    mmio_write(COMMON(d, device_feature_select), 4, 0);
    low = mmio_read(COMMON(d, device_feature), 4);
    mmio_write(COMMON(d, device_feature_select), 4, 1);
    return low | mmio_read(COMMON(d, device_feature), 4) << 32;
}

uint8_t
vdev_status(struct vdev *d)
{
    return (uint8_t)mmio_read(COMMON(d, device_status), 1);
}

void
vdev_set_status(struct vdev *d, uint8_t status)
{
    mmio_write(COMMON(d, device_status), 1, status);
}

void
vdev_reset(struct vdev *d)
{
    vdev_set_status(d, 0);
    while (vdev_status(d) != 0)
        relax();
}

bool
vdev_begin(struct vdev *d, uint64_t features)
{
    vdev_reset(d);
    d->features = (features | V1) & vdev_offered(d);
    vdev_set_status(d, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    vdev_set_status(d, 3);
    mmio_write(COMMON(d, guest_feature_select), 4, 0);
    mmio_write(COMMON(d, guest_feature), 4, d->features);
    mmio_write(COMMON(d, guest_feature_select), 4, 1);
    mmio_write(COMMON(d, guest_feature), 4, d->features >> 32);
    vdev_set_status(d, 11);
    mmio_write(COMMON(d, msix_config), 2, 0);
    return vdev_status(d) == 11;
}

void
vdev_queue_registers(struct vdev *d, unsigned qi, uint16_t size, uint64_t desc,
                     uint64_t avail, uint64_t used)
{
    mmio_write(COMMON(d, queue_select), 2, qi);
    mmio_write(COMMON(d, queue_size), 2, size);
    mmio_write(COMMON(d, queue_msix_vector), 2,
               d->interrupts ? qi + 1 : VIRTIO_MSI_NO_VECTOR);
    mmio_write(COMMON(d, queue_desc_lo), 8, desc);
    mmio_write(COMMON(d, queue_avail_lo), 8, avail);
    mmio_write(COMMON(d, queue_used_lo), 8, used);
    mmio_write(COMMON(d, queue_enable), 2, 1);
}

struct vq *
vdev_queue(struct vdev *d, unsigned qi, uint16_t size)
{
    struct vq *q = &d->q[qi];
    uint16_t max;

    mmio_write(COMMON(d, queue_select), 2, qi);
    max = (uint16_t)mmio_read(COMMON(d, queue_size), 2);
    if (size > max)
        size = max;
    if (!q->desc || q->size != size) {
        q->desc = alloc(16u * size, 16);
        q->table = alloc(16u * size * size, 16);
        q->avail = alloc(6u + 2u * size, 2);
        q->used = alloc(6u + 8u * size, 4);
    }
    q->index = qi;
    q->size = size;
    q->next_avail = q->last_used = q->free = 0;
    q->irq = d->irq + 1 + qi;
    memset(q->desc, 0, 16u * size);
    memset(q->avail, 0, 6u + 2u * size);
    memset(q->used, 0, 6u + 8u * size);
    if (!d->interrupts)
        q->avail[0] = VRING_AVAIL_F_NO_INTERRUPT;
    vdev_queue_registers(d, qi, size, (uintptr_t)q->desc, (uintptr_t)q->avail,
                         (uintptr_t)q->used);
    q->notify =
        d->notify + mmio_read(COMMON(d, queue_notify_off), 2) * d->notify_step;
    return q;
}

bool
vdev_start(struct vdev *d, uint64_t features, unsigned n)
{
    if (!vdev_begin(d, features))
        return false;
    for (unsigned i = 0; i < n; i++)
        vdev_queue(d, i, QUEUE_SIZE);
    vdev_set_status(d, STATUS_LIVE);
    return vdev_status(d) == STATUS_LIVE;
}

void
vdev_wait_fault(struct vdev *d)
{
    while (!(vdev_status(d) & VIRTIO_CONFIG_S_NEEDS_RESET))
        relax();
    d->faults++;
}

uint16_t
vq_chain(struct vdev *d, struct vq *q, const struct seg *s, unsigned n)
{
    bool indirect = (d->features & BIT(VIRTIO_RING_F_INDIRECT_DESC)) != 0;
    uint16_t head = q->free;
    struct vring_desc *at =
        indirect ? q->table + (unsigned)q->size * head : q->desc;

    for (unsigned i = 0; i < n; i++) {
        uint16_t here = (uint16_t)(indirect ? i : (head + i) % q->size);

        at[here] = (struct vring_desc){
            .addr = s[i].addr,
            .len = s[i].len,
            .flags = (uint16_t)((i + 1 < n ? VRING_DESC_F_NEXT : 0) |
                                (s[i].in ? VRING_DESC_F_WRITE : 0)),
            .next = (uint16_t)(indirect ? i + 1 : (here + 1u) % q->size)};
    }
    if (indirect)
        q->desc[head] = (struct vring_desc){.addr = (uintptr_t)at,
                                            .len = 16 * n,
                                            .flags = VRING_DESC_F_INDIRECT};
    q->free = (uint16_t)(head + (indirect ? 1 : n)) % q->size;
    return head;
}

void
vq_offer(struct vq *q, uint16_t head)
{
    q->avail[2 + q->next_avail % q->size] = head;
    q->next_avail++;
    __atomic_store_n(q->avail + 1, q->next_avail, __ATOMIC_SEQ_CST);
}

/* Only if the device wants it: section 2.7.10. */
void
vq_kick(struct vdev *d, struct vq *q)
{
    uint16_t *avail_event = (uint16_t *)(void *)(q->used + 4 + 8u * q->size);
    uint16_t *flags = (uint16_t *)(void *)q->used;

    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (d->features & BIT(VIRTIO_RING_F_EVENT_IDX)) {
        uint16_t event = __atomic_load_n(avail_event, __ATOMIC_SEQ_CST);

        if (!vring_need_event(event, q->next_avail,
                              (uint16_t)(q->next_avail - 1)))
            return;
    } else if (__atomic_load_n(flags, __ATOMIC_SEQ_CST) &
               VRING_USED_F_NO_NOTIFY) {
        return;
    }
    mmio_write(q->notify, 2, q->index);
}

bool
vq_used(struct vq *q, struct vring_used_elem *ret)
{
    uint16_t *idx = (uint16_t *)(void *)(q->used + 2);

    if (__atomic_load_n(idx, __ATOMIC_SEQ_CST) == q->last_used)
        return false;
    memcpy(ret, q->used + 4 + 8u * (q->last_used % q->size), sizeof(*ret));
    q->last_used++;
    return true;
}

uint32_t
vq_wait(struct vdev *d, struct vq *q)
{
    struct vring_used_elem e;

    for (;;) {
        unsigned was = irq_seen[q->irq];

        /* used_event: an interrupt for the next one, please */
        if (d->features & BIT(VIRTIO_RING_F_EVENT_IDX))
            __atomic_store_n(q->avail + 2 + q->size, q->last_used,
                             __ATOMIC_SEQ_CST);
        if (vq_used(q, &e))
            return e.len;
        if (d->interrupts)
            irq_wait(q->irq, was);
        else
            relax();
    }
}

uint16_t
vq_send(struct vdev *d, struct vq *q, const struct seg *s, unsigned n)
{
    uint16_t head = vq_chain(d, q, s, n);

    vq_offer(q, head);
    vq_kick(d, q);
    return head;
}

uint32_t
vq_do(struct vdev *d, struct vq *q, const struct seg *s, unsigned n)
{
    vq_send(d, q, s, n);
    return vq_wait(d, q);
}
