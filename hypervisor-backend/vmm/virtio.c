/* virtio.c - state machine and queues of a virtio device; see virtio.h.
 *
 * The device status (section 2.1), each edge by virtio_set_status():
 *
 *   0 --ACKNOWLEDGE, DRIVER--> probing --FEATURES_OK--> negotiated
 *       (features_ok() may refuse: the bit does not stick)
 *   negotiated --DRIVER_OK--> live (start_queues())
 *   live --virtio_fail()--> live|NEEDS_RESET: takes no chain any more
 *   any --write of 0--> begin_reset() --> resetting, status reads non-zero
 *       --type->reset() true, or virtio_reset_done()--> 0
 *
 * Invariants (under v->lock):
 *  1. A ring is live only between DRIVER_OK and the begin of a reset.
 *  2. Queue registers and features change only before DRIVER_OK and
 *     FEATURES_OK; a write later is dropped and counted.
 *  3. status reads 0 only when no I/O of this device is under way. */
#include <config.h>

#include "hypervisor-backend/vmm/virtio.h"

#include <assert.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"

#define COMMON_FEATURES                                                        \
    (VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX) |    \
     VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC))

static void
queue_kicked(void *self, uint32_t events)
{
    struct virtio_queue *q = self;
    struct virtio *v = q->dev;

    (void)events;
    atomic_fetch_add_explicit(&v->n_kicks, 1, memory_order_relaxed);
    pthread_mutex_lock(&v->lock);
    if (virtio_live(v) && q->vq.live)
        v->type->queue(v->self, q->index);
    pthread_mutex_unlock(&v->lock);
}

static void
clear(struct virtio *v)
{
    v->acked = 0;
    v->device_select = v->driver_select = v->queue_select = 0;
    v->status = 0;
    v->config_vector = VIRTIO_NO_VECTOR;
    v->told = false;
    for (unsigned i = 0; i < v->n_queues; i++) {
        struct virtio_queue *q = &v->queues[i];

        q->size = q->max;
        q->vector = VIRTIO_NO_VECTOR;
        q->enabled = false;
        q->desc = q->avail = q->used = 0;
    }
}

int
virtio_new(const struct virtio_type *type, void *self, struct gmem *g,
           struct io_loop *loop, unsigned n_queues, uint16_t queue_max,
           uint32_t max_bytes, struct virtio **ret)
{
    struct virtio *v;
    int r;

    if (!n_queues || n_queues > VIRTIO_MAX_QUEUES || queue_max > VIRTQ_MAX_SIZE)
        return -EINVAL;
    v = xcalloc(1, sizeof(*v) + n_queues * sizeof(v->queues[0]));
    pthread_mutex_init(&v->lock, NULL);
    pthread_cond_init(&v->idle, NULL);
    v->type = type;
    v->self = self;
    v->gmem = g;
    v->loop = loop;
    v->offered = COMMON_FEATURES;
    v->max_bytes = max_bytes;
    for (unsigned i = 0; i < n_queues; i++) {
        struct virtio_queue *q = &v->queues[i];

        q->dev = v;
        q->index = i;
        q->max = queue_max;
        q->kick = (struct io_source){eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                                     queue_kicked, q};
        r = q->kick.fd < 0 ? -errno
                           : io_loop_add(loop, &q->kick, VIRTIO_KICK_EVENTS);
        if (r < 0) {
            closep(&q->kick.fd);
            virtio_free(v);
            return r;
        }
        v->n_queues++;
    }
    clear(v);
    *ret = v;
    return 0;
}

void
virtio_free(struct virtio *v)
{
    if (!v)
        return;
    for (unsigned i = 0; i < v->n_queues; i++) {
        assert(!v->queues[i].vq.live);
        io_loop_del(v->loop, &v->queues[i].kick);
        closep(&v->queues[i].kick.fd);
    }
    pthread_cond_destroy(&v->idle);
    pthread_mutex_destroy(&v->lock);
    free(v);
}

bool
virtio_has(const struct virtio *v, unsigned bit)
{
    return (v->acked & VIRTIO_BIT(bit)) != 0;
}

bool
virtio_live(const struct virtio *v)
{
    return (v->status & VIRTIO_CONFIG_S_DRIVER_OK) &&
           !(v->status & VIRTIO_CONFIG_S_NEEDS_RESET) && !v->resetting &&
           !v->paused &&
           (!v->transport.may_dma || v->transport.may_dma(v->transport.self));
}

static void
raise_interrupt(struct virtio *v, int queue, uint16_t vector)
{
    atomic_fetch_add_explicit(&v->n_interrupts, 1, memory_order_relaxed);
    if (v->transport.raise)
        v->transport.raise(v->transport.self, queue, vector);
}

void
virtio_config_changed(struct virtio *v)
{
    v->generation++;
    if (v->status & VIRTIO_CONFIG_S_DRIVER_OK)
        raise_interrupt(v, -1, v->config_vector);
}

void
virtio_fail(struct virtio *v, const char *why)
{
    COUNT(vmm_virtio_needs_reset);
    atomic_fetch_add_explicit(&v->n_faults, 1, memory_order_relaxed);
    if (!v->told)
        log_limited(LOG_LEVEL_WARN,
                    "guest broke the rules; device waits for its reset",
                    "device=%s reason=\"%s\"", v->type->name, why);
    v->told = true;
    if (v->status & VIRTIO_CONFIG_S_NEEDS_RESET)
        return;
    v->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    /* Section 2.1.2: a configuration change tells the driver. */
    if (v->status & VIRTIO_CONFIG_S_DRIVER_OK)
        raise_interrupt(v, -1, v->config_vector);
}

static void
start_queues(struct virtio *v)
{
    for (unsigned i = 0; i < v->n_queues; i++) {
        struct virtio_queue *q = &v->queues[i];
        struct virtq_setup s = {
            .desc = q->desc,
            .avail = q->avail,
            .used = q->used,
            .size = q->size,
            .event_idx = virtio_has(v, VIRTIO_RING_F_EVENT_IDX),
            .indirect = virtio_has(v, VIRTIO_RING_F_INDIRECT_DESC),
            .max_bytes = v->max_bytes,
        };

        if (q->enabled && virtq_start(&q->vq, v->gmem, &s) < 0)
            virtio_fail(v, "queue is not wholly in memory or misaligned");
    }
    if (v->type->start)
        v->type->start(v->self);
    virtio_kick_all(v);
}

void
virtio_reset_done(struct virtio *v)
{
    assert(v->resetting);
    clear(v);
    v->resetting = false;
    pthread_cond_broadcast(&v->idle);
}

void
virtio_idle(struct virtio *v)
{
    if (v->paused)
        pthread_cond_broadcast(&v->idle);
}

/* Rings are dropped at once, so nothing that completes later can write into
 * them; the status keeps its old value until the last of it came back. */
static void
begin_reset(struct virtio *v)
{
    bool was_live = (v->status & VIRTIO_CONFIG_S_DRIVER_OK) != 0;

    v->resetting = true;
    for (unsigned i = 0; i < v->n_queues; i++)
        virtq_stop(&v->queues[i].vq);
    if (!was_live || v->type->reset(v->self))
        virtio_reset_done(v);
}

static bool
features_ok(const struct virtio *v)
{
    return (v->acked & ~v->offered) == 0 && virtio_has(v, VIRTIO_F_VERSION_1);
}

void
virtio_set_status(struct virtio *v, uint8_t value)
{
    uint8_t added;

    pthread_mutex_lock(&v->lock);
    if (v->resetting)
        goto out;
    if (value == 0) {
        begin_reset(v);
        goto out;
    }
    /* NEEDS_RESET is ours; the driver may not clear any bit (2.1.1). */
    value |= v->status & VIRTIO_CONFIG_S_NEEDS_RESET;
    if ((v->status & ~value) ||
        (value & VIRTIO_CONFIG_S_NEEDS_RESET & ~v->status)) {
        COUNT(vmm_virtio_status_out_of_phase);
        goto out;
    }
    added = value & ~v->status;
    if ((added & VIRTIO_CONFIG_S_DRIVER) &&
        !(value & VIRTIO_CONFIG_S_ACKNOWLEDGE))
        goto out_of_phase;
    if (added & VIRTIO_CONFIG_S_FEATURES_OK) {
        if (!(value & VIRTIO_CONFIG_S_DRIVER))
            goto out_of_phase;
        if (!features_ok(v)) {
            COUNT(vmm_virtio_features_refused);
            value &= ~VIRTIO_CONFIG_S_FEATURES_OK;
        }
    }
    /* Both bits in one write leave the driver no chance to look whether its
     * features were taken (3.1.1 step 6). */
    if ((added & VIRTIO_CONFIG_S_DRIVER_OK) &&
        !(v->status & VIRTIO_CONFIG_S_FEATURES_OK))
        goto out_of_phase;
    v->status = value;
    if (added & VIRTIO_CONFIG_S_DRIVER_OK)
        start_queues(v);
    goto out;
out_of_phase:
    COUNT(vmm_virtio_status_out_of_phase);
out:
    pthread_mutex_unlock(&v->lock);
}

void
virtio_set_driver_features(struct virtio *v, uint32_t value)
{
    pthread_mutex_lock(&v->lock);
    if (v->resetting || (v->status & VIRTIO_CONFIG_S_FEATURES_OK))
        COUNT(vmm_virtio_features_late);
    else if (v->driver_select == 0)
        v->acked = (v->acked & ~UINT64_C(0xffffffff)) | value;
    else if (v->driver_select == 1)
        v->acked = (v->acked & UINT64_C(0xffffffff)) | (uint64_t)value << 32;
    pthread_mutex_unlock(&v->lock);
}

void
virtio_stop(struct virtio *v)
{
    pthread_mutex_lock(&v->lock);
    if (!v->resetting)
        begin_reset(v);
    while (v->resetting)
        pthread_cond_wait(&v->idle, &v->lock);
    pthread_mutex_unlock(&v->lock);
}

void
virtio_pause(struct virtio *v)
{
    pthread_mutex_lock(&v->lock);
    v->paused = true;
    if (v->type->update)
        v->type->update(v->self);
    while (v->type->idle && !v->type->idle(v->self))
        pthread_cond_wait(&v->idle, &v->lock);
    pthread_mutex_unlock(&v->lock);
}

void
virtio_resume(struct virtio *v)
{
    pthread_mutex_lock(&v->lock);
    v->paused = false;
    if (v->type->update)
        v->type->update(v->self);
    pthread_mutex_unlock(&v->lock);
    virtio_kick_all(v);
}

void
virtio_notify(struct virtio *v, unsigned queue)
{
    if (queue < v->n_queues)
        io_kick(v->queues[queue].kick.fd);
    else
        COUNT(vmm_virtio_notify_out_of_range);
}

void
virtio_kick_all(struct virtio *v)
{
    for (unsigned i = 0; i < v->n_queues; i++)
        io_kick(v->queues[i].kick.fd);
}

void
virtio_update(struct virtio *v)
{
    if (!v->type->update)
        return;
    pthread_mutex_lock(&v->lock);
    v->type->update(v->self);
    pthread_mutex_unlock(&v->lock);
}

bool
virtio_queues_frozen(const struct virtio *v)
{
    return v->resetting || !(v->status & VIRTIO_CONFIG_S_DRIVER) ||
           (v->status & VIRTIO_CONFIG_S_DRIVER_OK);
}

uint64_t
virtio_config_read(struct virtio *v, uint64_t offset, unsigned size)
{
    uint64_t value = UINT64_MAX;

    pthread_mutex_lock(&v->lock);
    if (offset < v->config_size && size <= v->config_size - offset) {
        value = 0;
        memcpy(&value, v->config + offset, size);
    }
    pthread_mutex_unlock(&v->lock);
    return value;
}

void
virtio_config_write(struct virtio *v, uint64_t offset, unsigned size,
                    uint64_t value)
{
    bool changed = false;

    pthread_mutex_lock(&v->lock);
    if (!v->resetting && offset < v->config_size &&
        size <= v->config_size - offset) {
        for (unsigned i = 0; i < size; i++) {
            uint8_t m = v->config_writable[offset + i],
                    *at = &v->config[offset + i];

            *at = (*at & (uint8_t)~m) | ((uint8_t)(value >> (8 * i)) & m);
            changed |= m != 0;
        }
        if (changed && v->type->config_written)
            v->type->config_written(v->self, (unsigned)offset, size);
    }
    pthread_mutex_unlock(&v->lock);
}

int
virtio_pop(struct virtio *v, unsigned q, struct virtq_chain *c)
{
    struct virtq *vq = &v->queues[q].vq;
    int r;

    if (v->status & VIRTIO_CONFIG_S_NEEDS_RESET)
        return -EBADMSG;
    r = virtq_pop(vq, c);
    if (r < 0)
        virtio_fail(v, vq->fault);
    return r;
}

void
virtio_push(struct virtio *v, unsigned q, uint16_t head, uint32_t written)
{
    virtq_push(&v->queues[q].vq, head, written);
}

void
virtio_flush(struct virtio *v, unsigned q)
{
    if (virtq_publish(&v->queues[q].vq))
        raise_interrupt(v, (int)q, v->queues[q].vector);
}

void
virtio_interrupt(struct virtio *v, unsigned q)
{
    raise_interrupt(v, (int)q, v->queues[q].vector);
}

int
virtio_vector_fd(struct virtio *v, unsigned q)
{
    uint16_t vector = v->queues[q].vector;

    if (!v->transport.vector_fd || vector == VIRTIO_NO_VECTOR)
        return -1;
    return v->transport.vector_fd(v->transport.self, vector);
}

void
virtio_each(struct virtio *v, unsigned q, struct virtq_chain *c,
            bool (*ready)(void *self, unsigned q, struct virtq_chain *c),
            bool (*fn)(void *self, unsigned q, struct virtq_chain *c))
{
    struct virtq *vq = &v->queues[q].vq;
    unsigned left = VIRTIO_BATCH;
    bool more = true;

    while (left && more && virtio_live(v)) {
        virtq_disarm(vq);
        for (; left; left--) {
            if (ready && !ready(v->self, q, c)) {
                virtio_flush(v, q);
                return;
            }
            if (virtio_pop(v, q, c) <= 0)
                break;
            if (!fn(v->self, q, c)) {
                virtio_flush(v, q);
                return;
            }
        }
        if (left)
            more = virtq_arm(vq);
    }
    virtio_flush(v, q);
    if (more && virtio_live(v))
        io_kick(v->queues[q].kick.fd);
}
