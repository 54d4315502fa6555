/* fuzz-vmm-virtq.c - rings full of anything, and a guest that changes them
 * between any two steps. */
#include <config.h>

#include "tests/fuzz/fuzz-vmm.h"

#include "hypervisor-backend/vmm/virtq.h"

#define MEM GUEST_MIB

static void
check_chain(const struct virtq_chain *c, const struct gmem *mem)
{
    uint64_t out = 0, in = 0;
    uint8_t sum = 0;

    for (unsigned i = 0; i < c->n_out + c->n_in; i++) {
        const struct gmem_region *r;
        size_t len = c->iov[i].iov_len;
        uintptr_t at = (uintptr_t)c->iov[i].iov_base;

        *(i < c->n_out ? &out : &in) += len;
        if (gmem_regions(mem, &r) != 1 || !len ||
            at - (uintptr_t)r->host >= r->size ||
            r->size - (at - (uintptr_t)r->host) < len)
            abort();
        sum ^= *((uint8_t *)c->iov[i].iov_base + len - 1);
    }
    if (out != c->out_len || in != c->in_len || out + in > 100000)
        abort();
    (void)sum;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct gmem *mem;
    struct input in = {data, n};
    struct virtq q = {0};
    struct virtq_setup s = {.max_bytes = 100000};
    struct iovec iov[64];
    uint16_t heads[4096];
    unsigned n_heads = 0, flags;
    uint8_t *ram;

    if (!mem && gmem_new(MEM, &(struct gmem_options){0}, &mem, NULL) < 0)
        abort();
    ram = gmem_ptr(mem, 0, MEM);
    memset(ram, 0, 0x10000);
    flags = (unsigned)take(&in, 1);
    s.size = (uint16_t)(flags & 0x80 ? take(&in, 2) : 1U << (flags & 7));
    s.desc = flags & 0x40 ? take_address(&in, 0) : 0x1000;
    s.avail = flags & 0x20 ? take_address(&in, 0) : 0x2000;
    s.used = flags & 0x20 ? take_address(&in, 0) : 0x3000;
    s.event_idx = flags & 0x10;
    s.indirect = flags & 0x08;
    if (virtq_start(&q, mem, &s) < 0)
        return 0;
    while (in.n) {
        unsigned op = (unsigned)take(&in, 1);
        struct virtq_chain c = {.iov = iov,
                                .room = (uint16_t)(1 + op % ARRAY_SIZE(iov))};
        struct vring_desc d;

        switch (op % 8) {
        case 0:
        case 1:
            d.addr = take_address(&in, 0x8000);
            d.len = take_length(&in);
            d.flags = (uint16_t)(take(&in, 1) & 7);
            d.next = (uint16_t)(take(&in, 1) % (op & 8 ? 256 : s.size));
            memcpy(ram + (op & 16 ? 0x8000 : 0x1000) +
                       16 * (take(&in, 1) % 128),
                   &d, 16);
            break;
        case 2: /* any bytes anywhere near the rings */
            ram[take(&in, 2)] = (uint8_t)take(&in, 1);
            break;
        case 3:
            ram[0x2002] = (uint8_t)(ram[0x2002] + 1);
            break;
        case 4:
        case 5:
            if (virtq_pop(&q, &c) > 0) {
                check_chain(&c, mem);
                if (n_heads < ARRAY_SIZE(heads))
                    heads[n_heads++] = c.head;
                else
                    virtq_unpop(&q);
            }
            break;
        case 6:
            if (n_heads)
                virtq_push(&q, heads[--n_heads], op);
            break;
        default:
            if (virtq_publish(&q) + virtq_arm(&q) == 0)
                virtq_disarm(&q);
            break;
        }
#ifndef NDEBUG
        virtq_check(&q);
#endif
    }
    return 0;
}
