/* virtio_pci.c - virtio over PCI; see virtio_pci.h. */
#include <config.h>

#include "hypervisor-backend/vmm/virtio_pci.h"

#include <linux/virtio_pci.h>
#include <stddef.h>
#include <string.h>

#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/msix.h"

enum {
    VENDOR = 0x1af4,
    DEVICE_BASE = 0x1040, /* plus the virtio device id, section 4.1.2 */
    CAP_VENDOR = 0x09,
    ISR_QUEUE = 1,
    ISR_CONFIG = 2,
};

struct virtio_pci {
    struct virtio *v;
    struct pci_dev *dev;
    struct msix *msix;
    const struct virtio_pci_ioevent *ioevent;
    unsigned cfg_cap;    /* offset of the configuration access capability */
    uint64_t base;       /* where ioeventfds are registered (pci.lock) */
    uint32_t ioevents;   /* which queues have one (pci.lock) */
    _Atomic bool master; /* bus mastering as last seen */
    _Atomic uint8_t isr;
};

/* Section 4.1.4.3, the fields of struct virtio_pci_common_cfg. */
#define FIELD(name) offsetof(struct virtio_pci_common_cfg, name)

static uint64_t
common_field(struct virtio *v, uint64_t offset)
{
    struct virtio_queue *q =
        v->queue_select < v->n_queues ? &v->queues[v->queue_select] : NULL;

    switch (offset) {
    case FIELD(device_feature_select):
        return v->device_select;
    case FIELD(device_feature):
        return v->device_select < 2
                   ? (uint32_t)(v->offered >> (32 * v->device_select))
                   : 0;
    case FIELD(guest_feature_select):
        return v->driver_select;
    case FIELD(guest_feature):
        return v->driver_select < 2
                   ? (uint32_t)(v->acked >> (32 * v->driver_select))
                   : 0;
    case FIELD(msix_config):
        return v->config_vector;
    case FIELD(num_queues):
        return v->n_queues;
    case FIELD(device_status):
        return v->status;
    case FIELD(config_generation):
        return v->generation;
    case FIELD(queue_select):
        return v->queue_select;
    case FIELD(queue_size):
        return q ? q->size : 0;
    case FIELD(queue_msix_vector):
        return q ? q->vector : VIRTIO_NO_VECTOR;
    case FIELD(queue_enable):
        return q && q->enabled;
    case FIELD(queue_notify_off):
        return q ? q->index : 0;
    case FIELD(queue_desc_lo):
        return q ? (uint32_t)q->desc : 0;
    case FIELD(queue_desc_hi):
        return q ? q->desc >> 32 : 0;
    case FIELD(queue_avail_lo):
        return q ? (uint32_t)q->avail : 0;
    case FIELD(queue_avail_hi):
        return q ? q->avail >> 32 : 0;
    case FIELD(queue_used_lo):
        return q ? (uint32_t)q->used : 0;
    case FIELD(queue_used_hi):
        return q ? q->used >> 32 : 0;
    default:
        return UINT64_MAX;
    }
}

/* Section 4.1.3.1: a field is accessed with its own width; a 64-bit one as
 * two halves, or as one where the driver can. */
static unsigned
field_width(uint64_t offset)
{
    switch (offset) {
    case FIELD(device_status):
    case FIELD(config_generation):
        return 1;
    case FIELD(msix_config):
    case FIELD(num_queues):
    case FIELD(queue_select):
    case FIELD(queue_size):
    case FIELD(queue_msix_vector):
    case FIELD(queue_enable):
    case FIELD(queue_notify_off):
        return 2;
    case FIELD(device_feature_select):
    case FIELD(device_feature):
    case FIELD(guest_feature_select):
    case FIELD(guest_feature):
    case FIELD(queue_desc_lo):
    case FIELD(queue_desc_hi):
    case FIELD(queue_avail_lo):
    case FIELD(queue_avail_hi):
    case FIELD(queue_used_lo):
    case FIELD(queue_used_hi):
        return 4;
    default:
        return 0;
    }
}

static bool
field_is_address(uint64_t offset)
{
    return offset == FIELD(queue_desc_lo) || offset == FIELD(queue_avail_lo) ||
           offset == FIELD(queue_used_lo);
}

static uint64_t
common_read(struct virtio *v, uint64_t offset, unsigned size)
{
    uint64_t value;

    if (size == 8 && field_is_address(offset)) {
        pthread_mutex_lock(&v->lock);
        value = common_field(v, offset) | common_field(v, offset + 4) << 32;
        pthread_mutex_unlock(&v->lock);
        return value;
    }
    if (field_width(offset) != size) {
        COUNT(vmm_virtio_odd_access);
        return UINT64_MAX;
    }
    pthread_mutex_lock(&v->lock);
    value = common_field(v, offset);
    pthread_mutex_unlock(&v->lock);
    return value;
}

/* Section 4.1.5.1.2: a vector that is not there reads back as none. */
static uint16_t
checked_vector(const struct virtio_pci *t, uint32_t value)
{
    return value < msix_count(t->msix) ? (uint16_t)value : VIRTIO_NO_VECTOR;
}

static void
set_half(uint64_t *at, unsigned half, uint32_t value)
{
    uint64_t keep = half ? UINT64_C(0xffffffff) : ~UINT64_C(0xffffffff);

    *at = (*at & keep) | (uint64_t)value << (32 * half);
}

static void
write_queue(struct virtio_pci *t, uint64_t offset, uint32_t value)
{
    struct virtio *v = t->v;
    struct virtio_queue *q;

    if (v->queue_select >= v->n_queues || virtio_queues_frozen(v)) {
        COUNT(vmm_virtio_queue_write_refused);
        return;
    }
    q = &v->queues[v->queue_select];
    switch (offset) {
    case FIELD(queue_msix_vector):
        q->vector = checked_vector(t, value);
        return;
    case FIELD(queue_enable):
        /* Section 4.1.4.3.2: the driver must not write 0. */
        if (value == 1)
            q->enabled = true;
        return;
    default:
        break;
    }
    if (q->enabled) {
        COUNT(vmm_virtio_queue_write_refused);
        return;
    }
    switch (offset) {
    case FIELD(queue_size):
        if (value && value <= q->max && (value & (value - 1)) == 0)
            q->size = (uint16_t)value;
        else
            COUNT(vmm_virtio_queue_write_refused);
        break;
    case FIELD(queue_desc_lo):
    case FIELD(queue_desc_hi):
        set_half(&q->desc, offset != FIELD(queue_desc_lo), value);
        break;
    case FIELD(queue_avail_lo):
    case FIELD(queue_avail_hi):
        set_half(&q->avail, offset != FIELD(queue_avail_lo), value);
        break;
    case FIELD(queue_used_lo):
    case FIELD(queue_used_hi):
        set_half(&q->used, offset != FIELD(queue_used_lo), value);
        break;
    default:
        break;
    }
}

static void
common_write(struct virtio_pci *t, uint64_t offset, unsigned size,
             uint64_t wide)
{
    struct virtio *v = t->v;
    uint32_t value = (uint32_t)wide;

    if (size == 8 && field_is_address(offset)) {
        common_write(t, offset, 4, value);
        common_write(t, offset + 4, 4, wide >> 32);
        return;
    }
    if (field_width(offset) != size) {
        COUNT(vmm_virtio_odd_access);
        return;
    }
    if (offset == FIELD(device_status)) {
        virtio_set_status(v, (uint8_t)value);
        return;
    }
    if (offset == FIELD(guest_feature)) {
        virtio_set_driver_features(v, value);
        return;
    }
    pthread_mutex_lock(&v->lock);
    if (v->resetting)
        COUNT(vmm_virtio_write_in_reset);
    else if (offset == FIELD(device_feature_select))
        v->device_select = value;
    else if (offset == FIELD(guest_feature_select))
        v->driver_select = value;
    else if (offset == FIELD(queue_select))
        v->queue_select = value;
    else if (offset == FIELD(msix_config))
        v->config_vector = checked_vector(t, value);
    else
        write_queue(t, offset, value);
    pthread_mutex_unlock(&v->lock);
}

static uint64_t
bar_read(void *self, unsigned bar, uint64_t offset, unsigned size)
{
    struct virtio_pci *t = self;
    uint64_t value;

    (void)bar;
    if (msix_read(t->msix, offset, size, &value))
        return value;
    switch (offset & ~UINT64_C(0xfff)) {
    case VPCI_COMMON:
        return common_read(t->v, offset, size);
    case VPCI_ISR:
        /* Section 4.1.4.5: reading clears. */
        return offset == VPCI_ISR ? atomic_exchange(&t->isr, 0) : 0;
    case VPCI_DEVICE:
        return virtio_config_read(t->v, offset - VPCI_DEVICE, size);
    default:
        return UINT64_MAX;
    }
}

static void
bar_write(void *self, unsigned bar, uint64_t offset, unsigned size,
          uint64_t value)
{
    struct virtio_pci *t = self;

    (void)bar;
    if (msix_write(t->msix, offset, size, value)) {
        virtio_update(t->v);
        return;
    }
    switch (offset & ~UINT64_C(0xfff)) {
    case VPCI_COMMON:
        common_write(t, offset, size, value);
        break;
    case VPCI_DEVICE:
        virtio_config_write(t->v, offset - VPCI_DEVICE, size, value);
        break;
    case VPCI_NOTIFY:
        /* The address says which queue, the value does not matter. */
        virtio_notify(t->v,
                      (unsigned)(offset - VPCI_NOTIFY) / VPCI_NOTIFY_STEP);
        break;
    default:
        break;
    }
}

/* Section 4.1.4.9: a window into the BARs for firmware that cannot map them.
 * True if [offset, offset + size) of config space touches its data. */
static bool
cfg_access(struct virtio_pci *t, unsigned offset, unsigned size, uint32_t *at,
           uint32_t *len)
{
    const uint8_t *cap = pci_dev_config(t->dev) + t->cfg_cap;
    unsigned data = t->cfg_cap + sizeof(struct virtio_pci_cap);

    if (offset + size <= data || offset >= data + 4)
        return false;
    memcpy(at, cap + VIRTIO_PCI_CAP_OFFSET, sizeof(*at));
    memcpy(len, cap + VIRTIO_PCI_CAP_LENGTH, sizeof(*len));
    if (cap[VIRTIO_PCI_CAP_BAR] != 0 || (*len != 1 && *len != 2 && *len != 4) ||
        *at % *len || *at >= VPCI_BAR_SIZE || *len > VPCI_BAR_SIZE - *at) {
        COUNT(vmm_virtio_odd_access);
        return false;
    }
    return true;
}

static void
config_read(void *self, unsigned offset, unsigned size)
{
    struct virtio_pci *t = self;
    uint32_t at, len;

    if (!cfg_access(t, offset, size, &at, &len))
        return;
    uint64_t value = bar_read(t, 0, at, len);
    memcpy(pci_dev_config(t->dev) + t->cfg_cap + sizeof(struct virtio_pci_cap),
           &value, len);
}

static void
config_write(void *self, unsigned offset, unsigned size)
{
    struct virtio_pci *t = self;
    bool master = pci_dev_bus_master(t->dev);
    uint64_t value = 0;
    uint32_t at, len;

    msix_config_write(t->msix);
    /* Kicks that came while DMA was forbidden were dropped. */
    if (master && !atomic_exchange(&t->master, true))
        virtio_kick_all(t->v);
    else if (!master)
        atomic_store(&t->master, false);
    virtio_update(t->v);
    if (!cfg_access(t, offset, size, &at, &len))
        return;
    memcpy(&value,
           pci_dev_config(t->dev) + t->cfg_cap + sizeof(struct virtio_pci_cap),
           len);
    bar_write(t, 0, at, len, value);
}

static void
bar_mapped(void *self, unsigned bar, uint64_t base)
{
    struct virtio_pci *t = self;
    const struct virtio_pci_ioevent *e = t->ioevent;

    (void)bar;
    if (!e)
        return;
    for (unsigned i = 0; i < t->v->n_queues; i++) {
        int fd = t->v->queues[i].kick.fd;
        uint64_t at = VPCI_NOTIFY + i * VPCI_NOTIFY_STEP;

        if (t->ioevents & (1U << i))
            e->del(e->self, t->base + at, fd);
        t->ioevents &= ~(1U << i);
        if (base == PCI_UNMAPPED)
            continue;
        if (e->add(e->self, base + at, fd) == 0)
            t->ioevents |= 1U << i;
        else
            COUNT(vmm_virtio_no_ioeventfd);
    }
    t->base = base;
}

static const struct pci_dev_ops pci_ops = {
    .name = "virtio",
    .bar_read = bar_read,
    .bar_write = bar_write,
    .config_read = config_read,
    .config_write = config_write,
    .bar_mapped = bar_mapped,
};

/* The device's lock is held. */
static void
raise(void *self, int queue, uint16_t vector)
{
    struct virtio_pci *t = self;
    int r;

    atomic_fetch_or(&t->isr, queue < 0 ? ISR_CONFIG : ISR_QUEUE);
    if (vector == VIRTIO_NO_VECTOR)
        return;
    r = msix_raise(t->msix, vector);
    if (r < 0)
        log_limited(LOG_LEVEL_ERROR, "interrupt was lost",
                    "device=%s vector=%u errno=%d", t->v->type->name, vector,
                    -r);
}

static bool
may_dma(void *self)
{
    struct virtio_pci *t = self;

    return pci_dev_bus_master(t->dev);
}

static int
vector_fd(void *self, uint16_t vector)
{
    struct virtio_pci *t = self;

    return msix_vector_fd(t->msix, vector);
}

/* Section 4.1.4: bytes from cap_len on. */
static int
add_cap(struct virtio_pci *t, uint8_t type, uint32_t at, uint32_t len)
{
    uint32_t step = VPCI_NOTIFY_STEP;
    uint8_t body[18] = {0}, writable[18] = {0};
    /* Notify and configuration access have four more bytes. */
    bool more =
        type == VIRTIO_PCI_CAP_NOTIFY_CFG || type == VIRTIO_PCI_CAP_PCI_CFG;
    size_t n = more ? 18 : 14;

    body[0] = (uint8_t)(n + 2);
    body[1] = type;
    memcpy(body + VIRTIO_PCI_CAP_OFFSET - 2, &at, sizeof(at));
    memcpy(body + VIRTIO_PCI_CAP_LENGTH - 2, &len, sizeof(len));
    if (type == VIRTIO_PCI_CAP_NOTIFY_CFG)
        memcpy(body + VIRTIO_PCI_NOTIFY_CAP_MULT - 2, &step, sizeof(step));
    if (type == VIRTIO_PCI_CAP_PCI_CFG) {
        writable[VIRTIO_PCI_CAP_BAR - 2] = 0xff;
        memset(writable + VIRTIO_PCI_CAP_OFFSET - 2, 0xff, 12);
    }
    return pci_dev_cap(t->dev, CAP_VENDOR, body, n, writable);
}

static int
add_caps(struct virtio_pci *t)
{
    const struct {
        uint8_t type;
        uint32_t at, len;
    } caps[] = {
        {VIRTIO_PCI_CAP_COMMON_CFG, VPCI_COMMON,
         sizeof(struct virtio_pci_common_cfg)},
        {VIRTIO_PCI_CAP_ISR_CFG, VPCI_ISR, 1},
        {VIRTIO_PCI_CAP_DEVICE_CFG, VPCI_DEVICE, MAX(t->v->config_size, 4U)},
        {VIRTIO_PCI_CAP_NOTIFY_CFG, VPCI_NOTIFY,
         t->v->n_queues * VPCI_NOTIFY_STEP},
        {VIRTIO_PCI_CAP_PCI_CFG, 0, 0},
    };
    int r = -EINVAL;

    for (size_t i = 0; i < ARRAY_SIZE(caps); i++) {
        r = add_cap(t, caps[i].type, caps[i].at, caps[i].len);
        if (r < 0)
            return r;
    }
    t->cfg_cap = (unsigned)r;
    return 0;
}

/* A device that is off the bus. */
static bool
never_dma(void *self)
{
    (void)self;
    return false;
}

int
virtio_pci_new(struct pci *p, struct virtio *v, uint32_t class_code,
               const struct virtio_pci_ioevent *ioevent,
               struct virtio_pci **ret)
{
    return virtio_pci_new_at(p, v, class_code, 0, ioevent, ret);
}

int
virtio_pci_new_at(struct pci *p, struct virtio *v, uint32_t class_code,
                  unsigned slot, const struct virtio_pci_ioevent *ioevent,
                  struct virtio_pci **ret)
{
    /* Section 4.1.2.1: revision 1 or more, subsystem id from 0x40. */
    struct pci_info info = {
        .vendor = VENDOR,
        .device = (uint16_t)(DEVICE_BASE + v->type->id),
        .subsys_vendor = VENDOR,
        .subsys = 0x1100,
        .class_code = class_code,
        .revision = 1,
        .slot = slot,
    };
    struct virtio_pci *t = xnew(struct virtio_pci);
    int r;

    t->v = v;
    t->ioevent = ioevent;
    t->base = PCI_UNMAPPED;
    r = pci_add(p, &info, &pci_ops, t, &t->dev);
    if (r < 0) {
        free(t);
        return r;
    }
    r = pci_dev_bar(t->dev, 0, VPCI_BAR_SIZE);
    if (r >= 0)
        r = add_caps(t);
    if (r >= 0)
        r = msix_new(p, t->dev, v->n_queues + 1, 0, VPCI_MSIX, VPCI_PBA,
                     &t->msix);
    if (r < 0) {
        pci_del(t->dev);
        free(t);
        return r;
    }
    pthread_mutex_lock(&v->lock);
    v->transport = (struct virtio_transport){raise, may_dma, vector_fd, t};
    pthread_mutex_unlock(&v->lock);
    pci_dev_plug(t->dev);
    *ret = t;
    return 0;
}

/* First the I/O thread lets go of us, then (by the caller) the vCPUs. */
static void
let_go(struct virtio_pci *t)
{
    pthread_mutex_lock(&t->v->lock);
    t->v->transport = (struct virtio_transport){.may_dma = never_dma};
    pthread_mutex_unlock(&t->v->lock);
    virtio_update(t->v);
}

void
virtio_pci_free(struct virtio_pci *t)
{
    if (!t)
        return;
    let_go(t);
    pci_del(t->dev);
    msix_free(t->msix);
    free(t);
}

struct pci_dev *
virtio_pci_pull(struct virtio_pci *t)
{
    struct pci_dev *husk = t->dev;

    let_go(t);
    pci_dev_pull(husk);
    msix_free(t->msix);
    free(t);
    return husk;
}

struct pci_dev *
virtio_pci_dev(struct virtio_pci *t)
{
    return t->dev;
}
