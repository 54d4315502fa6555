/* gmem.c - guest memory; see gmem.h.
 * Each region is mapped inside a larger reservation that nothing may touch:
 * it aligns the memory to 2 MiB (so that the host can use huge pages, and the
 * guest's 2 MiB pages map one to one) and keeps a run off either end a fault
 * instead of a read of the heap. */
#include <config.h>

#include "hypervisor-backend/vmm/gmem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "common/log.h"
#include "common/mem.h"

#define MIB (UINT64_C(1) << 20)
#define HUGE (2 * MIB)
/* What an address with 42 bits reaches; far above any host of today, and no
 * sum of an address and a length below can wrap. */
#define SIZE_MAX_BYTES (UINT64_C(1) << 42)

/* MFD_HUGE_2MB and MAP_HUGE_2MB: log2 of the size, shifted (memfd_create(2),
 * mmap(2)); glibc's headers leave them to the kernel's. */
#define HUGE_2MB_FLAG (21u << 26)

#ifdef __SANITIZE_THREAD__
/* ThreadSanitizer's own; no header declares it. */
void AnnotateBenignRaceSized(const char *file, int line, const volatile void *p,
                             size_t len, const char *what);
#endif

struct gmem {
    uint64_t size;
    uint64_t page; /* granule of gmem_discard() */
    struct gmem_region region[2];
    size_t n;
    struct {
        void *at;
        size_t len;
    } reserved[2];
};

void
gmem_free(struct gmem *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->n; i++)
        if (g->region[i].fd >= 0 && (i == 0 || g->region[0].fd < 0))
            close(g->region[i].fd);
    for (size_t i = 0; i < ARRAY_SIZE(g->reserved); i++)
        if (g->reserved[i].at)
            munmap(g->reserved[i].at, g->reserved[i].len);
    free(g);
}

static void
gmem_freep(struct gmem **g)
{
    gmem_free(*g);
}

static int
open_memfd(uint64_t size, bool hugepages, int *ret_fd)
{
    int fd _cleanup_(closep) =
        memfd_create("guest-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING |
                                         (hugepages ? MFD_HUGETLB : 0) |
                                         (hugepages ? HUGE_2MB_FLAG : 0));

    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)size) < 0)
        return -errno;
    /* A peer that gets the descriptor must not be able to pull the memory
     * away under us (SIGBUS). */
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return -errno;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int
map_region(struct gmem *g, size_t i, const struct gmem_options *o)
{
    struct gmem_region *r = &g->region[i];
    size_t len = (size_t)r->size + 2 * HUGE;
    int flags = MAP_FIXED | MAP_NORESERVE;
    void *at = mmap(NULL, len, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED)
        return -errno;
    g->reserved[i].at = at;
    g->reserved[i].len = len;

    /* The first boundary that leaves at least a page before it. */
    uintptr_t start = ((uintptr_t)at + HUGE) & ~(uintptr_t)(HUGE - 1);
    if (start == (uintptr_t)at)
        start += HUGE;
    if (r->fd >= 0)
        flags |= MAP_SHARED;
    else
        flags |= MAP_PRIVATE | MAP_ANONYMOUS |
                 (o->hugepages ? MAP_HUGETLB | (int)HUGE_2MB_FLAG : 0);
    /* hugetlb pages are reserved now: better no start than SIGBUS later. */
    if (o->hugepages)
        flags &= ~MAP_NORESERVE;
    /* hugetlb rounds lengths up, which would leave the reservation; sizes
     * are multiples of 2 MiB then (gmem_new). */
    r->host = mmap((void *)start, (size_t)r->size, PROT_READ | PROT_WRITE,
                   flags, r->fd, (off_t)r->fd_offset);
    if (r->host == MAP_FAILED) {
        r->host = NULL;
        return -errno;
    }
    /* Wishes: a kernel without them still runs the guest. */
    if (!o->hugepages)
        (void)madvise(r->host, (size_t)r->size, MADV_HUGEPAGE);
    if (o->ksm && madvise(r->host, (size_t)r->size, MADV_MERGEABLE) < 0)
        log_warn("this kernel cannot merge equal pages; the guest keeps its "
                 "own",
                 "errno=%d", errno);
    (void)madvise(r->host, (size_t)r->size, MADV_DONTDUMP);
#ifdef __SANITIZE_THREAD__
    /* A guest may give two devices the same buffer: what they make of it is
     * its own affair. */
    AnnotateBenignRaceSized(__FILE__, __LINE__, r->host, (size_t)r->size,
                            "guest memory");
#endif
    return 0;
}

/* No file is read for the number of free pages: the jail has none. */
static int
map_failed(const struct gmem *g, const struct gmem_options *o, int r,
           struct err *reterr)
{
    if (o->hugepages && r == -ENOMEM)
        return err_set(reterr, r, "no_huge_pages",
                       "guest memory: the host has fewer than %llu free pages "
                       "of 2 MiB; see vm.nr_hugepages",
                       (unsigned long long)(g->size / HUGE));
    if (o->hugepages && (r == -EINVAL || r == -ENODEV))
        return err_set(reterr, -ENOTSUP, "no_huge_pages",
                       "guest memory: the host has no pages of 2 MiB");
    return err_errno(reterr, r, "guest memory of %llu MiB",
                     (unsigned long long)(g->size / MIB));
}

int
gmem_new(uint64_t size, const struct gmem_options *o, struct gmem **ret,
         struct err *reterr)
{
    struct gmem *g _cleanup_(gmem_freep) = xnew(struct gmem);
    uint64_t unit = o->hugepages ? HUGE : MIB, low;
    int fd = -1, r;

    if (size < unit || size % unit != 0 || size > SIZE_MAX_BYTES)
        return err_set(reterr, -EINVAL, "invalid",
                       "memory must be a multiple of %llu MiB, from that "
                       "to 4 TiB",
                       (unsigned long long)(unit / MIB));
    if (o->ksm && (o->shared || o->hugepages))
        return err_set(reterr, -EINVAL, "invalid",
                       "memory that is shared or in pages set aside cannot be "
                       "merged with other guests'");
    g->size = size;
    g->page = o->hugepages ? HUGE : (uint64_t)sysconf(_SC_PAGESIZE);
    low = MIN(size, GMEM_HOLE_START);
    if (o->shared) {
        r = open_memfd(size, o->hugepages, &fd);
        if (r < 0)
            return map_failed(g, o, r, reterr);
    }
    g->region[0] = (struct gmem_region){.size = low, .fd = fd};
    g->n = 1;
    if (size > low) {
        g->region[1] = (struct gmem_region){.gpa = GMEM_HOLE_END,
                                            .size = size - low,
                                            .fd = fd,
                                            .fd_offset = fd >= 0 ? low : 0};
        g->n = 2;
    }
    for (size_t i = 0; i < g->n; i++) {
        r = map_region(g, i, o);
        if (r < 0)
            return map_failed(g, o, r, reterr);
    }
    *ret = TAKE_PTR(g);
    return 0;
}

uint64_t
gmem_size(const struct gmem *g)
{
    return g->size;
}

size_t
gmem_regions(const struct gmem *g, const struct gmem_region **ret)
{
    *ret = g->region;
    return g->n;
}

static const struct gmem_region *
find(const struct gmem *g, uint64_t gpa, uint64_t len)
{
    for (size_t i = 0; i < g->n; i++) {
        const struct gmem_region *r = &g->region[i];
        uint64_t offset = gpa - r->gpa;

        /* By subtraction: no sum of hostile numbers can wrap. */
        if (gpa >= r->gpa && offset < r->size && len <= r->size - offset)
            return r;
    }
    return NULL;
}

void *
gmem_ptr(const struct gmem *g, uint64_t gpa, uint64_t len)
{
    const struct gmem_region *r = len ? find(g, gpa, len) : NULL;

    return r ? (unsigned char *)r->host + (gpa - r->gpa) : NULL;
}

int
gmem_read(const struct gmem *g, uint64_t gpa, void *out, uint64_t len)
{
    const void *p = gmem_ptr(g, gpa, len);

    if (len == 0)
        return 0;
    if (!p)
        return -EFAULT;
    memcpy(out, p, (size_t)len);
    return 0;
}

int
gmem_write(struct gmem *g, uint64_t gpa, const void *data, uint64_t len)
{
    void *p = gmem_ptr(g, gpa, len);

    if (len == 0)
        return 0;
    if (!p)
        return -EFAULT;
    memcpy(p, data, (size_t)len);
    return 0;
}

int
gmem_discard(struct gmem *g, uint64_t gpa, uint64_t len)
{
    const struct gmem_region *r = len ? find(g, gpa, len) : NULL;
    uint64_t first, end;

    if (len == 0)
        return 0;
    if (!r)
        return -EFAULT;
    first = (gpa - r->gpa + g->page - 1) & ~(g->page - 1);
    end = (gpa - r->gpa + len) & ~(g->page - 1);
    if (first >= end)
        return 0;
    if (r->fd >= 0) {
        while (fallocate(r->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                         (off_t)(r->fd_offset + first),
                         (off_t)(end - first)) < 0)
            if (errno != EINTR)
                return -errno;
        return 0;
    }
    if (madvise((unsigned char *)r->host + first, (size_t)(end - first),
                MADV_DONTNEED) < 0)
        return -errno;
    return 0;
}
