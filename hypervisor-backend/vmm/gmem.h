/* hypervisor-backend/vmm/gmem.h - guest memory: the only place where a guest
 * physical address becomes a host pointer.
 * Role:      lays memory out around the 32-bit hole, maps it, and hands out
 *            pointers only for ranges that lie wholly inside one region.
 * Ownership: gmem_free() unmaps; pointers die with it.
 * Threads:   reading the layout is lock-free (it never changes after
 *            gmem_new); the bytes are the guest's and change under you: copy
 *            once, check the copy, use the copy.
 * Errors:    -EINVAL size or options that exclude each other, -ENOMEM,
 *            -ENOTSUP no huge pages here; -EFAULT for addresses outside.
 * Invariant: no address + length, however large, reaches outside a region. */
#ifndef HYPERVISOR_BACKEND_VMM_GMEM_H
#define HYPERVISOR_BACKEND_VMM_GMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/* Devices live between here and 4 GiB; RAM beyond continues at 4 GiB. */
#define GMEM_HOLE_START UINT64_C(0xc0000000)
#define GMEM_HOLE_END UINT64_C(0x100000000)

struct gmem;

struct gmem_options {
    bool shared;    /* memfd, mapped shared: vhost-user, migration */
    bool hugepages; /* 2 MiB pages from hugetlbfs; fails if there are none */
    bool ksm;       /* let the host merge equal pages; private memory only */
};

struct gmem_region {
    uint64_t gpa, size;
    void *host;
    int fd; /* -1 when anonymous */
    uint64_t fd_offset;
};

/* size: a multiple of 1 MiB. Transparent huge pages are asked for. */
int gmem_new(uint64_t size, const struct gmem_options *o, struct gmem **ret,
             struct err *reterr) _must_check_;
void gmem_free(struct gmem *g);
uint64_t gmem_size(const struct gmem *g);
/* One or two regions, lowest first. */
size_t gmem_regions(const struct gmem *g, const struct gmem_region **ret);

/* NULL unless [gpa, gpa + len) is inside one region; len 0 is NULL. */
void *gmem_ptr(const struct gmem *g, uint64_t gpa, uint64_t len);
int gmem_read(const struct gmem *g, uint64_t gpa, void *out,
              uint64_t len) _must_check_;
int gmem_write(struct gmem *g, uint64_t gpa, const void *data,
               uint64_t len) _must_check_;
/* Gives whole pages inside the range back to the host; they read as zero. */
int gmem_discard(struct gmem *g, uint64_t gpa, uint64_t len) _must_check_;

#endif
