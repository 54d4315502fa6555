/* virtq.c - split virtqueues; see virtq.h.
 *
 * Invariants:
 *  1. Ring pointers are set if and only if the queue is live, and each covers
 *     its area for setup.size entries wholly inside one region of RAM.
 *  2. Guest memory is read once: an index, flag or descriptor is copied with
 *     volatile loads, the copy is checked and only the copy is used.
 *  3. A walk reads at most setup.size descriptors, direct and indirect
 *     together, and at most one indirect table: a cycle ends there.
 *  4. What was taken and not published as used is at most size: whoever
 *     re-offers a head that is still ours, or moves the index by more than
 *     size, broke the ring.
 *  5. The sum of a chain's lengths is at most max_bytes, so it fits 32 bits;
 *     every iovec is not empty and inside one region.
 *  6. The guest sees the used index move only after the entries, and its
 *     event index or flags are read only after that; likewise avail_event
 *     and the available index. Both are a store and a load of different
 *     places that must not pass each other: sequentially consistent ones.
 *  7. A broken queue touches guest memory only to return chains. */
#include <config.h>

#include "hypervisor-backend/vmm/virtq.h"

#include <assert.h>
#include <endian.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "common/count.h"

/* Rings are little-endian and so are the hosts that this runs on. */
_Static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "x86-64 only");

static uint16_t
load16(const uint16_t *p)
{
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static void *
used_entry(const struct virtq *q, uint16_t i)
{
    /* After flags and idx; 8 bytes each, 4-aligned. */
    return q->used + 4 + 8U * (i % q->setup.size);
}

/* avail: flags, idx, ring[size], used_event. */
static uint16_t
used_event(const struct virtq *q)
{
    return load16(q->avail + 2 + q->setup.size);
}

#ifndef NDEBUG
void
virtq_check(const struct virtq *q)
{
    uint16_t size = q->setup.size;

    assert(q->live == (q->desc && q->avail && q->used && q->gmem));
    if (!q->live)
        return;
    assert(size && size <= VIRTQ_MAX_SIZE && (size & (size - 1)) == 0);
    assert(q->in_flight <= size);
    assert((uint16_t)(q->last_avail - q->published) <= size);
    /* What was taken and not returned is in flight. */
    assert((uint16_t)(q->last_avail - q->next_used) == q->in_flight);
    assert(q->broken == (q->fault != NULL));
}
#define CHECK(q) virtq_check(q)
#else
#define CHECK(q) ((void)(q))
#endif

static int
fault(struct virtq *q, const char *why)
{
    q->broken = true;
    q->fault = why;
    COUNT(vmm_virtq_malformed);
    return -EBADMSG;
}

int
virtq_start(struct virtq *q, const struct gmem *g, const struct virtq_setup *s)
{
    uint64_t n = s->size;
    void *desc, *avail, *used;

    assert(!q->live);
    /* Sections 2.7 (sizes, alignment), 2.7.10 (flags). */
    if (!n || n > VIRTQ_MAX_SIZE || (n & (n - 1)) || s->desc % 16 ||
        s->avail % 2 || s->used % 4)
        return -EBADMSG;
    desc = gmem_ptr(g, s->desc, 16 * n);
    avail = gmem_ptr(g, s->avail, 6 + 2 * n);
    used = gmem_ptr(g, s->used, 6 + 8 * n);
    if (!desc || !avail || !used)
        return -EBADMSG;
    *q = (struct virtq){.gmem = g,
                        .desc = desc,
                        .avail = avail,
                        .used = used,
                        .used_hdr = used,
                        .setup = *s,
                        .live = true};
    CHECK(q);
    return 0;
}

void
virtq_stop(struct virtq *q)
{
    *q = (struct virtq){0};
}

/* Two volatile loads: the compiler may not read a field a second time. */
static struct vring_desc
copy_desc(const struct vring_desc *from)
{
    const volatile uint64_t *p = (const volatile uint64_t *)(const void *)from;
    uint64_t w[2] = {p[0], p[1]};
    struct vring_desc d;

    _Static_assert(sizeof(d) == sizeof(w), "16 bytes");
    memcpy(&d, w, sizeof(d));
    return d;
}

static int
add_segment(struct virtq *q, struct virtq_chain *c, const struct vring_desc *d)
{
    bool in = (d->flags & VRING_DESC_F_WRITE) != 0;
    void *p;

    if (!in && c->n_in)
        return fault(q, "readable descriptor after a writable one");
    if (c->n_out + c->n_in == c->room)
        return fault(q, "chain has too many segments");
    if ((uint64_t)c->out_len + c->in_len + d->len > q->setup.max_bytes)
        return fault(q, "chain is too long");
    p = gmem_ptr(q->gmem, d->addr, d->len);
    if (!p)
        return fault(q, d->len ? "buffer outside of memory" : "empty buffer");
    c->iov[c->n_out + c->n_in] = (struct iovec){p, d->len};
    if (in) {
        c->n_in++;
        c->in_len += d->len;
    } else {
        c->n_out++;
        c->out_len += d->len;
    }
    return 0;
}

/* Section 2.7.5.3: one table, not nested, no NEXT beside INDIRECT. */
static int
enter_indirect(struct virtq *q, const struct vring_desc *d,
               const struct vring_desc **table, uint32_t *n)
{
    if (!q->setup.indirect)
        return fault(q, "indirect descriptor was not negotiated");
    if (d->flags & VRING_DESC_F_NEXT)
        return fault(q, "indirect descriptor with a next one");
    if (!d->len || d->len % sizeof(*d) || d->addr % sizeof(*d))
        return fault(q, "indirect table of odd size");
    *table = gmem_ptr(q->gmem, d->addr, d->len);
    if (!*table)
        return fault(q, "indirect table outside of memory");
    *n = d->len / sizeof(*d);
    return 0;
}

static int
walk(struct virtq *q, struct virtq_chain *c)
{
    const struct vring_desc *table = q->desc;
    uint32_t n = q->setup.size, at = c->head;
    bool indirect = false;
    int r;

    for (unsigned steps = 0; steps <= q->setup.size; steps++) {
        struct vring_desc d;

        if (at >= n)
            return fault(q, "descriptor index out of range");
        d = copy_desc(table + at);
        if (d.flags & VRING_DESC_F_INDIRECT) {
            if (indirect)
                return fault(q, "nested indirect descriptor");
            r = enter_indirect(q, &d, &table, &n);
            if (r < 0)
                return r;
            indirect = true;
            at = 0;
            continue;
        }
        if (c->n_out + c->n_in == q->setup.size)
            return fault(q, "chain is longer than the queue");
        r = add_segment(q, c, &d);
        if (r < 0)
            return r;
        if (!(d.flags & VRING_DESC_F_NEXT))
            return 1;
        at = d.next;
    }
    return fault(q, "descriptor chain has a cycle");
}

int
virtq_pop(struct virtq *q, struct virtq_chain *c)
{
    uint16_t waiting;

    if (!q->live)
        return 0;
    if (q->broken)
        return -EBADMSG;
    CHECK(q);
    waiting = load16(q->avail + 1) - q->last_avail;
    if (!waiting)
        return 0;
    /* What the guest has not seen used it cannot offer again. */
    if (waiting > q->setup.size - (uint16_t)(q->last_avail - q->published))
        return fault(q, "available index ran too far");
    c->head = __atomic_load_n(q->avail + 2 + q->last_avail % q->setup.size,
                              __ATOMIC_RELAXED);
    c->n_out = c->n_in = 0;
    c->out_len = c->in_len = 0;
    if (c->head >= q->setup.size)
        return fault(q, "head index out of range");
    int r = walk(q, c);
    if (r < 0)
        return r;
    q->last_avail++;
    q->in_flight++;
    return r;
}

void
virtq_seek(struct virtq *q, uint16_t at)
{
    assert(q->live && !q->in_flight);
    q->last_avail = q->next_used = q->published = q->signalled = at;
    CHECK(q);
}

void
virtq_unpop(struct virtq *q)
{
    if (!q->live)
        return;
    assert(q->in_flight);
    q->last_avail--;
    q->in_flight--;
    CHECK(q);
}

void
virtq_push(struct virtq *q, uint16_t head, uint32_t written)
{
    if (!q->live)
        return;
    assert(q->in_flight);
    struct vring_used_elem e = {.id = head, .len = written};
    memcpy(used_entry(q, q->next_used), &e, sizeof(e));
    q->next_used++;
    q->in_flight--;
    CHECK(q);
}

bool
virtq_publish(struct virtq *q)
{
    uint16_t old;

    if (!q->live || q->next_used == q->published)
        return false;
    __atomic_store_n(q->used_hdr + 1, q->next_used, __ATOMIC_SEQ_CST);
    q->published = q->next_used;
    if (!q->setup.event_idx)
        return !(load16(q->avail) & VRING_AVAIL_F_NO_INTERRUPT);
    old = q->signalled;
    q->signalled = q->next_used;
    return vring_need_event(used_event(q), q->next_used, old);
}

bool
virtq_arm(struct virtq *q)
{
    if (!q->live || q->broken)
        return false;
    if (q->setup.event_idx)
        /* avail_event follows the used ring. */
        __atomic_store_n((uint16_t *)(void *)(q->used + 4 + 8U * q->setup.size),
                         q->last_avail, __ATOMIC_SEQ_CST);
    else
        __atomic_store_n(q->used_hdr, 0, __ATOMIC_SEQ_CST);
    return load16(q->avail + 1) != q->last_avail;
}

void
virtq_disarm(struct virtq *q)
{
    /* With EVENT_IDX a stale avail_event is enough. */
    if (q->live && !q->broken && !q->setup.event_idx)
        __atomic_store_n(q->used_hdr, VRING_USED_F_NO_NOTIFY, __ATOMIC_RELAXED);
}

unsigned
virtq_slice(const struct iovec *iov, unsigned n_iov, size_t skip, size_t n,
            struct iovec *out, unsigned room)
{
    unsigned used = 0;

    for (unsigned i = 0; i < n_iov && n && used < room; i++) {
        size_t len = iov[i].iov_len, piece;

        if (skip >= len) {
            skip -= len;
            continue;
        }
        piece = MIN(len - skip, n);
        out[used++] = (struct iovec){(uint8_t *)iov[i].iov_base + skip, piece};
        n -= piece;
        skip = 0;
    }
    return used;
}

/* The barrier keeps the compiler from going back to guest memory for what it
 * has in the buffer. */
size_t
virtq_copy_out(const struct virtq_chain *c, size_t skip, void *buf, size_t n)
{
    size_t done = 0;

    for (unsigned i = 0; i < c->n_out && done < n; i++) {
        size_t len = c->iov[i].iov_len, piece;

        if (skip >= len) {
            skip -= len;
            continue;
        }
        piece = MIN(len - skip, n - done);
        memcpy((uint8_t *)buf + done, (uint8_t *)c->iov[i].iov_base + skip,
               piece);
        done += piece;
        skip = 0;
    }
    __asm__ volatile("" ::: "memory");
    return done;
}

size_t
virtq_copy_in(const struct virtq_chain *c, size_t skip, const void *buf,
              size_t n)
{
    size_t done = 0;

    for (unsigned i = c->n_out; i < c->n_out + c->n_in && done < n; i++) {
        size_t len = c->iov[i].iov_len, piece;

        if (skip >= len) {
            skip -= len;
            continue;
        }
        piece = MIN(len - skip, n - done);
        memcpy((uint8_t *)c->iov[i].iov_base + skip,
               (const uint8_t *)buf + done, piece);
        done += piece;
        skip = 0;
    }
    return done;
}
