/* tests/fuzz/fuzz-vmm.h - taking a fuzzer's bytes apart into rings.
 * Role:    shared by the fuzz targets of the VMM's devices.
 * Threads: the fuzzer's. */
#ifndef TESTS_FUZZ_FUZZ_VMM_H
#define TESTS_FUZZ_FUZZ_VMM_H

#include <string.h>

#include "tests/unit/vmm-guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct input {
    const uint8_t *p;
    size_t n;
};

/* Zeroes once the input is used up. */
static inline uint64_t
take(struct input *in, unsigned bytes)
{
    uint64_t v = 0;
    size_t have = in->n < bytes ? in->n : bytes;

    memcpy(&v, in->p, have);
    in->p += have;
    in->n -= have;
    return v;
}

/* An address: mostly in [base, base + 64 KiB), at times anywhere. */
static inline uint64_t
take_address(struct input *in, uint64_t base)
{
    static const uint64_t odd[] = {0,
                                   UINT64_MAX,
                                   UINT64_MAX - 15,
                                   GMEM_HOLE_START - 8,
                                   GUEST_WINDOW,
                                   GMEM_HOLE_END,
                                   0xfff};
    unsigned kind = (unsigned)take(in, 1);

    if (kind < 224)
        return base + take(in, 2);
    if (kind < 248)
        return odd[kind % (sizeof(odd) / sizeof(odd[0]))];
    return take(in, 8);
}

static inline uint32_t
take_length(struct input *in)
{
    unsigned kind = (unsigned)take(in, 1);

    if (kind < 128)
        return kind;
    if (kind < 224)
        return (uint32_t)take(in, 2);
    return (uint32_t)take(in, 4);
}

/* Up to 16 descriptors from index 0 on, some in an indirect table at
 * base + 0x8000; then up to 16 heads are offered. */
static inline void
fill_ring(struct guest *g, struct guest_queue *q, struct input *in,
          uint64_t base)
{
    unsigned n_desc = (unsigned)take(in, 1) % 17;
    unsigned n_heads = (unsigned)take(in, 1) % 17;

    for (unsigned i = 0; i < n_desc; i++) {
        struct vring_desc d;
        unsigned where = (unsigned)take(in, 1);

        d.addr = take_address(in, base);
        d.len = take_length(in);
        d.flags = (uint16_t)(where >> 4 & 7);
        d.next = (uint16_t)take(in, 1);
        if (d.next < 128)
            d.next %= q->size;
        if (where & 1)
            memcpy(guest_at(g, base + 0x8000 + 16U * (where >> 1 & 7), 16), &d,
                   16);
        else
            *guest_desc(g, q, i % q->size) = d;
    }
    for (unsigned i = 0; i < n_heads; i++) {
        unsigned head = (unsigned)take(in, 1);

        guest_offer(g, q, (uint16_t)(head < 240 ? head % q->size : head));
    }
}

#endif
