/* boot.c - what both kinds of kernels need; see boot.h and boot-private.h. */
#include <config.h>

#include "hypervisor-backend/vmm/boot-private.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define PAGE 4096u

int
boot_read(const struct boot_source *s, uint64_t offset, void *out, size_t n)
{
    if (offset > s->size || n > s->size - offset)
        return -EIO;
    return n ? s->read(s->self, offset, out, n) : 0;
}

int
boot_copy(struct gmem *g, uint64_t gpa, const struct boot_source *s,
          uint64_t offset, uint64_t n)
{
    void *to;

    if (n == 0)
        return 0;
    to = gmem_ptr(g, gpa, n);
    if (!to)
        return -EFBIG;
    return boot_read(s, offset, to, (size_t)n);
}

uint64_t
boot_low_ram_end(const struct gmem *g)
{
    const struct gmem_region *r;

    return gmem_regions(g, &r) ? r[0].gpa + r[0].size : 0;
}

int
boot_place_initrd(struct gmem *g, const struct boot_source *s, uint64_t floor,
                  uint64_t limit, uint64_t *ret_gpa, struct err *reterr)
{
    uint64_t end = MIN(limit, boot_low_ram_end(g)), at;
    int r;

    if (s->size == 0)
        return err_set(reterr, -ENOEXEC, "invalid_initrd",
                       "the initrd is empty");
    if (s->size > end || ((end - s->size) & ~(uint64_t)(PAGE - 1)) < floor)
        return err_set(reterr, -EFBIG, "no_memory",
                       "an initrd of %llu bytes does not fit beside the "
                       "kernel into the memory",
                       (unsigned long long)s->size);
    at = (end - s->size) & ~(uint64_t)(PAGE - 1);
    r = boot_copy(g, at, s, 0, s->size);
    if (r < 0)
        return err_errno(reterr, r, "cannot read the initrd");
    *ret_gpa = at;
    return 0;
}

int
boot_put_cmdline(struct gmem *g, const char *cmdline, uint64_t max,
                 struct err *reterr)
{
    size_t n = cmdline ? strlen(cmdline) : 0;

    if (n > max || n >= BOOT_CMDLINE_SIZE)
        return err_set(reterr, -EINVAL, "cmdline_too_long",
                       "the command line has %zu bytes, the kernel takes %llu",
                       n,
                       (unsigned long long)MIN(max, BOOT_CMDLINE_SIZE - 1ull));
    return gmem_write(g, BOOT_CMDLINE, cmdline ? cmdline : "", n + 1);
}

size_t
boot_memory_map(const struct gmem *g, struct boot_e820 out[BOOT_E820_MAX])
{
    const struct gmem_region *r;
    size_t n_regions = gmem_regions(g, &r), n = 0;

    out[n++] = (struct boot_e820){0, BOOT_LOW_END, 1};
    out[n++] = (struct boot_e820){BOOT_LOW_END, BOOT_HIGH - BOOT_LOW_END, 2};
    if (r[0].size > BOOT_HIGH)
        out[n++] = (struct boot_e820){BOOT_HIGH, r[0].size - BOOT_HIGH, 1};
    /* Interrupt controllers, and pages that KVM keeps for itself. */
    out[n++] = (struct boot_e820){0xfec00000, GMEM_HOLE_END - 0xfec00000, 2};
    for (size_t i = 1; i < n_regions; i++)
        out[n++] = (struct boot_e820){r[i].gpa, r[i].size, 1};
    return n;
}

/* Flat segments under the selectors that both protocols ask for: 0x10 code,
 * 0x18 data, 0x20 a task state segment. Linux's __BOOT_CS and __BOOT_DS. */
static int
put_gdt(struct gmem *g, enum boot_mode mode)
{
    uint64_t gdt[] = {
        0,
        0,
        mode == BOOT_LONG ? 0x00af9b000000ffff : 0x00cf9b000000ffff,
        0x00cf93000000ffff,
        0x00008b0000000067,
    };

    return gmem_write(g, BOOT_GDT, gdt, sizeof(gdt));
}

/* The first 4 GiB one to one, in 2 MiB pages. */
static int
put_page_tables(struct gmem *g)
{
    uint64_t *t = gmem_ptr(g, BOOT_PML4, 6 * PAGE);

    if (!t)
        return -EFBIG;
    memset(t, 0, 6 * PAGE);
    t[0] = (BOOT_PML4 + PAGE) | 3; /* present, writable */
    for (unsigned i = 0; i < 4; i++)
        t[512 + i] = (BOOT_PML4 + (2 + i) * PAGE) | 3;
    for (unsigned i = 0; i < 2048; i++)
        t[1024 + i] = ((uint64_t)i << 21) | 0x83; /* and 2 MiB */
    return 0;
}

int
boot_load(struct gmem *g, const struct boot_image *img, struct boot_entry *ret,
          struct err *reterr)
{
    static const unsigned char elf_magic[4] = {0x7f, 'E', 'L', 'F'};
    unsigned char head[4];
    struct boot_entry entry = {0};
    int r;

    r = boot_read(img->kernel, 0, head, sizeof(head));
    if (r < 0)
        return img->kernel->size < sizeof(head)
                   ? err_set(reterr, -ENOEXEC, "invalid_kernel",
                             "the kernel image is empty")
                   : err_errno(reterr, r, "cannot read the kernel");
    if (memcmp(head, elf_magic, sizeof(head)) == 0)
        r = boot_elf_load(g, img, &entry, reterr);
    else
        r = boot_bzimage_load(g, img, &entry, reterr);
    if (r < 0)
        return r;
    r = put_gdt(g, entry.mode);
    if (r == 0 && entry.mode == BOOT_LONG)
        r = put_page_tables(g);
    if (r < 0)
        return err_errno(reterr, r, "boot tables");
    *ret = entry;
    return 0;
}

static int
fd_read(void *self, uint64_t offset, void *out, size_t n)
{
    int fd = (int)(intptr_t)self;
    unsigned char *p = out;

    while (n > 0) {
        ssize_t got = pread(fd, p, n, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return -EIO; /* it shrank under us */
        p += got;
        offset += (uint64_t)got;
        n -= (size_t)got;
    }
    return 0;
}

int
boot_source_fd(int fd, struct boot_source *ret)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    *ret = (struct boot_source){.read = fd_read,
                                .self = (void *)(intptr_t)fd,
                                .size = (uint64_t)st.st_size};
    return 0;
}
