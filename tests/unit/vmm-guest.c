/* vmm-guest.c - a guest's driver, played by a test; see vmm-guest.h. */
#include <config.h>

#include "tests/unit/vmm-guest.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

#include "hypervisor-backend/vmm/bus.h"

#define CAP_MSIX 0x11
#define MSI_ADDRESS 0xfee00000

static int
record_line(void *self, unsigned gsi, bool level)
{
    (void)self;
    (void)gsi;
    (void)level;
    return 0;
}

static int
record_msi(void *self, uint64_t address, uint32_t data)
{
    struct guest *g = self;

    pthread_mutex_lock(&g->lock);
    if (address == MSI_ADDRESS && data < GUEST_VECTORS)
        g->n_msi[data]++;
    g->n_all++;
    pthread_cond_broadcast(&g->raised);
    pthread_mutex_unlock(&g->lock);
    return 0;
}

static void
note_end(void *arg, enum vm_end end)
{
    struct guest *g = arg;

    g->end = end;
    g->ends++;
}

static const struct irq_ops recorder = {.line = record_line, .msi = record_msi};

void
guest_new(struct guest *g, uint64_t mem_bytes)
{
    guest_new_with(g, mem_bytes, &(struct gmem_options){0});
}

void
guest_new_with(struct guest *g, uint64_t mem_bytes,
               const struct gmem_options *o)
{
    memset(g, 0, sizeof(*g));
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->raised, NULL);
    assert_int_equal(gmem_new(mem_bytes, o, &g->mem, NULL), 0);
    g->bus = bus_new();
    g->end_sink = (struct end_sink){note_end, g};
    g->irq = (struct irq){&recorder, g};
    assert_int_equal(pci_new(g->bus, &g->irq, GUEST_WINDOW, GUEST_WINDOW_SIZE,
                             &g->end_sink, &g->pci),
                     0);
    assert_int_equal(io_loop_new("test-io", &g->loop), 0);
    g->heap = 0x10000;
}

void
guest_free(struct guest *g)
{
    io_loop_free(g->loop);
    pci_free(g->pci);
    bus_free(g->bus);
    gmem_free(g->mem);
    pthread_cond_destroy(&g->raised);
    pthread_mutex_destroy(&g->lock);
}

uint32_t
guest_cfg_read(struct guest *g, unsigned slot, unsigned reg, unsigned size)
{
    uint64_t v = 0x80000000U | slot << 11 | (reg & 0xfc);

    assert_true(bus_access(g->bus, BUS_PIO, 0xcf8, 4, true, &v));
    v = 0;
    assert_true(
        bus_access(g->bus, BUS_PIO, 0xcfc + (reg & 3), size, false, &v));
    return (uint32_t)v;
}

void
guest_cfg_write(struct guest *g, unsigned slot, unsigned reg, unsigned size,
                uint32_t value)
{
    uint64_t v = 0x80000000U | slot << 11 | (reg & 0xfc);

    assert_true(bus_access(g->bus, BUS_PIO, 0xcf8, 4, true, &v));
    v = value;
    assert_true(bus_access(g->bus, BUS_PIO, 0xcfc + (reg & 3), size, true, &v));
}

static unsigned
find_cap(struct guest *g, uint8_t id)
{
    unsigned at = guest_cfg_read(g, g->slot, 0x34, 1);

    for (unsigned i = 0; at && i < 48; i++) {
        if (guest_cfg_read(g, g->slot, at, 1) == id)
            return at;
        at = guest_cfg_read(g, g->slot, at + 1, 1);
    }
    fail_msg("capability %#x not found", id);
    return 0;
}

void
guest_plug(struct guest *g, struct virtio *v, uint32_t class_code)
{
    assert_int_equal(virtio_pci_new(g->pci, v, class_code, NULL, &g->t), 0);
    guest_drive(g, v, pci_dev_slot(virtio_pci_dev(g->t)));
}

void
guest_drive(struct guest *g, struct virtio *v, unsigned slot)
{
    unsigned cap;

    g->v = v;
    g->slot = slot;
    g->bar = guest_cfg_read(g, g->slot, 0x10, 4) & ~0xfU;
    g->bar |= (uint64_t)guest_cfg_read(g, g->slot, 0x14, 4) << 32;
    guest_cfg_write(g, g->slot, 0x04, 2, 0x6);
    for (unsigned i = 0; i <= v->n_queues; i++) {
        uint64_t at = VPCI_MSIX + 16U * i;

        guest_write(g, at, 4, MSI_ADDRESS);
        guest_write(g, at + 4, 4, 0);
        guest_write(g, at + 8, 4, i);
        guest_write(g, at + 12, 4, 0);
    }
    cap = find_cap(g, CAP_MSIX);
    guest_cfg_write(g, g->slot, cap + 2, 2, 0x8000);
}

void
guest_unplug(struct guest *g)
{
    virtio_pci_free(g->t);
    g->t = NULL;
}

uint64_t
guest_read(struct guest *g, uint64_t offset, unsigned size)
{
    uint64_t v = 0;

    assert_true(bus_access(g->bus, BUS_MMIO, g->bar + offset, size, false, &v));
    return v;
}

void
guest_write(struct guest *g, uint64_t offset, unsigned size, uint64_t value)
{
    assert_true(
        bus_access(g->bus, BUS_MMIO, g->bar + offset, size, true, &value));
}

uint64_t
guest_offered(struct guest *g)
{
    uint64_t lo, hi;

    guest_write(g, COMMON(device_feature_select), 4, 0);
    lo = guest_read(g, COMMON(device_feature), 4);
    guest_write(g, COMMON(device_feature_select), 4, 1);
    hi = guest_read(g, COMMON(device_feature), 4);
    return lo | hi << 32;
}

uint8_t
guest_status(struct guest *g)
{
    return (uint8_t)guest_read(g, COMMON(device_status), 1);
}

void
guest_negotiate(struct guest *g, uint64_t features)
{
    features |= VIRTIO_BIT(VIRTIO_F_VERSION_1);
    assert_int_equal(features & ~guest_offered(g), 0);
    guest_write(g, COMMON(device_status), 1, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    guest_write(g, COMMON(device_status), 1,
                VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    guest_write(g, COMMON(guest_feature_select), 4, 0);
    guest_write(g, COMMON(guest_feature), 4, (uint32_t)features);
    guest_write(g, COMMON(guest_feature_select), 4, 1);
    guest_write(g, COMMON(guest_feature), 4, features >> 32);
    guest_write(g, COMMON(device_status), 1,
                STATUS_LIVE & ~VIRTIO_CONFIG_S_DRIVER_OK);
    assert_true(guest_status(g) & VIRTIO_CONFIG_S_FEATURES_OK);
    guest_write(g, COMMON(msix_config), 2, 0);
    assert_int_equal(guest_read(g, COMMON(msix_config), 2), 0);
}

uint64_t
guest_alloc(struct guest *g, uint64_t size, uint64_t align)
{
    uint64_t at = (g->heap + align - 1) & ~(align - 1);

    g->heap = at + size;
    assert_true(g->heap <= gmem_size(g->mem));
    return at;
}

void *
guest_at(struct guest *g, uint64_t gpa, uint64_t len)
{
    void *p = gmem_ptr(g->mem, gpa, len);

    assert_non_null(p);
    return p;
}

struct guest_queue *
guest_queue(struct guest *g, unsigned qi, uint16_t size)
{
    struct guest_queue *q = &g->q[qi];

    *q = (struct guest_queue){.index = qi, .size = size};
    q->desc = guest_alloc(g, 16U * size, 16);
    q->avail = guest_alloc(g, 6U + 2U * size, 2);
    q->used = guest_alloc(g, 6U + 8U * size, 4);
    memset(guest_at(g, q->avail, 6U + 2U * size), 0, 6U + 2U * size);
    memset(guest_at(g, q->used, 6U + 8U * size), 0, 6U + 8U * size);
    guest_write(g, COMMON(queue_select), 2, qi);
    guest_write(g, COMMON(queue_size), 2, size);
    guest_write(g, COMMON(queue_msix_vector), 2, qi + 1);
    guest_write(g, COMMON(queue_desc_lo), 4, q->desc);
    guest_write(g, COMMON(queue_desc_hi), 4, q->desc >> 32);
    guest_write(g, COMMON(queue_avail_lo), 4, q->avail);
    guest_write(g, COMMON(queue_avail_hi), 4, q->avail >> 32);
    guest_write(g, COMMON(queue_used_lo), 4, q->used);
    guest_write(g, COMMON(queue_used_hi), 4, q->used >> 32);
    guest_write(g, COMMON(queue_enable), 2, 1);
    return q;
}

void
guest_driver_ok(struct guest *g)
{
    guest_write(g, COMMON(device_status), 1, STATUS_LIVE);
}

void
guest_start(struct guest *g, uint64_t features, unsigned n_queues)
{
    guest_negotiate(g, features);
    for (unsigned i = 0; i < n_queues; i++)
        guest_queue(g, i, GUEST_QUEUE);
    guest_driver_ok(g);
    assert_int_equal(guest_status(g), STATUS_LIVE);
}

void
guest_reset(struct guest *g)
{
    guest_write(g, COMMON(device_status), 1, 0);
    /* Spinning is what the specification asks of a driver (4.1.4.3.2). */
    while (guest_status(g) != 0)
        sched_yield();
}

struct vring_desc *
guest_desc(struct guest *g, struct guest_queue *q, unsigned i)
{
    return guest_at(g, q->desc + 16U * i, 16);
}

uint16_t
guest_chain(struct guest *g, struct guest_queue *q,
            const struct guest_seg *segs, unsigned n)
{
    uint16_t head = q->free;

    for (unsigned i = 0; i < n; i++) {
        uint16_t at = (uint16_t)(q->free + i) % q->size;

        *guest_desc(g, q, at) = (struct vring_desc){
            .addr = segs[i].gpa,
            .len = segs[i].len,
            .flags = (i + 1 < n ? VRING_DESC_F_NEXT : 0) |
                     (segs[i].in ? VRING_DESC_F_WRITE : 0),
            .next = (uint16_t)(at + 1) % q->size,
        };
    }
    q->free = (uint16_t)(q->free + n) % q->size;
    return head;
}

void
guest_offer(struct guest *g, struct guest_queue *q, uint16_t head)
{
    uint16_t *avail = guest_at(g, q->avail, 6U + 2U * q->size);

    avail[2 + q->avail_idx % q->size] = head;
    q->avail_idx++;
    __atomic_store_n(avail + 1, q->avail_idx, __ATOMIC_RELEASE);
}

void
guest_kick(struct guest *g, struct guest_queue *q)
{
    guest_write(g, VPCI_NOTIFY + q->index * VPCI_NOTIFY_STEP, 2, q->index);
}

uint16_t
guest_send(struct guest *g, struct guest_queue *q, const struct guest_seg *segs,
           unsigned n)
{
    uint16_t head = guest_chain(g, q, segs, n);

    guest_offer(g, q, head);
    guest_kick(g, q);
    return head;
}

bool
guest_used(struct guest *g, struct guest_queue *q, struct vring_used_elem *ret)
{
    uint8_t *used = guest_at(g, q->used, 6U + 8U * q->size);
    uint16_t idx =
        __atomic_load_n((uint16_t *)(void *)(used + 2), __ATOMIC_ACQUIRE);

    if (idx == q->last_used)
        return false;
    memcpy(ret, used + 4 + 8U * (q->last_used % q->size), sizeof(*ret));
    q->last_used++;
    return true;
}

void
guest_wait_for(struct guest *g, bool (*cond)(void *arg), void *arg)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    pthread_mutex_lock(&g->lock);
    for (;;) {
        unsigned seen = g->n_all;
        bool done;

        /* The condition may take the device's lock, which is above ours. */
        pthread_mutex_unlock(&g->lock);
        done = cond(arg);
        pthread_mutex_lock(&g->lock);
        if (done)
            break;
        int r = 0;

        while (g->n_all == seen && r == 0)
            r = pthread_cond_timedwait(&g->raised, &g->lock, &until);
        if (r) {
            pthread_mutex_unlock(&g->lock);
            fail_msg("no interrupt in 10 s");
        }
    }
    pthread_mutex_unlock(&g->lock);
}

struct wait {
    struct guest *g;
    struct guest_queue *q;
    struct vring_used_elem e;
};

static bool
is_used(void *arg)
{
    struct wait *w = arg;

    return guest_used(w->g, w->q, &w->e);
}

struct vring_used_elem
guest_wait(struct guest *g, struct guest_queue *q)
{
    struct wait w = {.g = g, .q = q};

    guest_wait_for(g, is_used, &w);
    return w.e;
}

static bool
needs_reset(void *arg)
{
    return (guest_status(arg) & VIRTIO_CONFIG_S_NEEDS_RESET) != 0;
}

void
guest_wait_needs_reset(struct guest *g)
{
    guest_wait_for(g, needs_reset, g);
}

unsigned
guest_interrupts(struct guest *g, unsigned vector)
{
    pthread_mutex_lock(&g->lock);
    unsigned n = g->n_msi[vector];
    pthread_mutex_unlock(&g->lock);
    return n;
}

static void
settled(void *self, uint32_t events)
{
    int *fd = self;

    (void)events;
    io_drain(fd[0]);
    io_kick(fd[1]);
}

/* Two turns: a handler may kick itself, and sources of one round come in any
 * order. */
void
guest_settle(struct guest *g)
{
    for (unsigned i = 0; i < 2; i++) {
        int fd[2] = {eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC)};
        struct io_source s = {fd[0], settled, fd};

        assert_int_equal(io_loop_add(g->loop, &s, EPOLLIN), 0);
        io_kick(fd[0]);
        io_drain(fd[1]);
        io_loop_del(g->loop, &s);
        close(fd[0]);
        close(fd[1]);
    }
}
