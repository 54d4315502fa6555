/* boot_bzimage.c - Linux by its 64-bit boot protocol; see boot.h.
 * The file is: (setup_sects + 1) sectors of real mode code that begin with the
 * setup header at 0x1f1, then syssize * 16 bytes of the kernel proper, whose
 * 64-bit entry is 0x200 into it. Every field is the file's word only: it is
 * checked against the file's size and the guest's memory before use. */
#include <config.h>

#include "hypervisor-backend/vmm/boot-private.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#define HEADER_AT 0x1f1u
#define MAGIC 0x53726448u /* "HdrS" */
#define VERSION_MIN 0x020c
#define LOADED_HIGH_FLAG 0x01
#define KERNEL_64_FLAG 0x01
#define ENTRY_64 0x200u
#define LOADER_UNDEFINED 0xff
#define SECTOR 512u
/* Not in Debian 12's header; Linux 6.2 and later read it. */
#define SETUP_DATA_RNG_SEED 9

struct bzimage {
    struct setup_header h;
    uint64_t kernel_at, kernel_size; /* in the file */
    uint64_t load, need;             /* in the guest */
};

static int
bad(struct err *reterr, const char *why)
{
    return err_set(reterr, -ENOEXEC, "invalid_kernel", "kernel image: %s", why);
}

static int
parse(const struct boot_source *s, struct bzimage *b, struct err *reterr)
{
    unsigned char page[0x290] = {0};
    uint64_t setup;
    size_t n;
    int r;

    if (s->size < HEADER_AT + offsetof(struct setup_header, handover_offset))
        return bad(reterr, "too short for a Linux kernel");
    r = boot_read(s, 0, page, (size_t)MIN(s->size, (uint64_t)sizeof(page)));
    if (r < 0)
        return err_errno(reterr, r, "cannot read the kernel");
    memcpy(&b->h, page + HEADER_AT, sizeof(b->h));
    if (b->h.boot_flag != 0xaa55 || b->h.header != MAGIC)
        return bad(reterr, "neither ELF nor a Linux bzImage");
    if (b->h.version < VERSION_MIN || !(b->h.xloadflags & KERNEL_64_FLAG))
        return bad(reterr, "has no 64-bit entry point");
    if (!(b->h.loadflags & LOADED_HIGH_FLAG))
        return bad(reterr, "is a zImage, not a bzImage");
    /* What is past the header's own end is code, not fields. */
    n = (size_t)(0x202 + (b->h.jump >> 8)) - HEADER_AT;
    if (n < offsetof(struct setup_header, handover_offset))
        return bad(reterr, "its setup header is too short");
    if (n < sizeof(b->h))
        memset((unsigned char *)&b->h + n, 0, sizeof(b->h) - n);

    setup = ((b->h.setup_sects ? b->h.setup_sects : 4u) + 1) * SECTOR;
    b->kernel_at = setup;
    b->kernel_size = (uint64_t)b->h.syssize * 16;
    if (setup >= s->size || b->kernel_size > s->size - setup)
        return bad(reterr, "it is cut short");
    if (b->kernel_size <= ENTRY_64)
        return bad(reterr, "it has no code");
    return 0;
}

static bool
fits(const struct gmem *g, uint64_t at, uint64_t need)
{
    return at >= BOOT_HIGH && at < GMEM_HOLE_START &&
           gmem_ptr(g, at, need) != NULL;
}

/* Where it prefers to be, else as low as its alignment lets it. */
static int
choose_load(const struct gmem *g, struct bzimage *b, struct err *reterr)
{
    uint64_t align = b->h.kernel_alignment;

    b->need = MAX((uint64_t)b->h.init_size, b->kernel_size);
    b->load = b->h.pref_address;
    if (fits(g, b->load, b->need))
        return 0;
    if (!b->h.relocatable_kernel)
        return err_set(reterr, -EFBIG, "no_memory",
                       "the kernel wants %llu bytes at 0x%llx, where there "
                       "is no memory",
                       (unsigned long long)b->need,
                       (unsigned long long)b->load);
    if (align == 0 || (align & (align - 1)) || align > (1u << 30))
        return bad(reterr, "its alignment is no power of two");
    b->load = (BOOT_HIGH + align - 1) & ~(align - 1);
    if (!fits(g, b->load, b->need))
        return err_set(reterr, -EFBIG, "no_memory",
                       "the kernel needs %llu bytes of memory from 0x%llx on",
                       (unsigned long long)b->need,
                       (unsigned long long)b->load);
    return 0;
}

static int
put_seed(struct gmem *g, const struct boot_image *img, uint64_t *ret_at)
{
    struct setup_data head = {.type = SETUP_DATA_RNG_SEED,
                              .len = (uint32_t)img->seed_len};
    int r;

    if (!img->seed || img->seed_len == 0 || img->seed_len > 64)
        return 0;
    r = gmem_write(g, BOOT_SETUP_DATA, &head, sizeof(head));
    if (r == 0)
        r = gmem_write(g, BOOT_SETUP_DATA + sizeof(head), img->seed,
                       img->seed_len);
    if (r == 0)
        *ret_at = BOOT_SETUP_DATA;
    return r;
}

static int
put_zero_page(struct gmem *g, const struct boot_image *img,
              const struct bzimage *b, uint64_t initrd, struct err *reterr)
{
    struct boot_params *p = gmem_ptr(g, BOOT_ZERO_PAGE, sizeof(*p));
    struct boot_e820 map[BOOT_E820_MAX];
    uint64_t seed_at = 0;
    size_t n;
    int r;

    if (!p)
        return err_set(reterr, -EFBIG, "no_memory", "no memory at 0x%llx",
                       (unsigned long long)BOOT_ZERO_PAGE);
    r = put_seed(g, img, &seed_at);
    if (r < 0)
        return err_errno(reterr, r, "random seed");
    memset(p, 0, sizeof(*p));
    p->hdr = b->h;
    p->hdr.type_of_loader = LOADER_UNDEFINED;
    p->hdr.cmd_line_ptr = (uint32_t)BOOT_CMDLINE;
    p->hdr.ramdisk_image = (uint32_t)initrd;
    p->hdr.ramdisk_size = initrd ? (uint32_t)img->initrd->size : 0;
    p->hdr.setup_data = seed_at;
    p->hdr.code32_start = (uint32_t)b->load;
    p->acpi_rsdp_addr = img->rsdp;
    n = boot_memory_map(g, map);
    for (size_t i = 0; i < n; i++) {
        p->e820_table[i].addr = map[i].base;
        p->e820_table[i].size = map[i].size;
        p->e820_table[i].type = map[i].type;
    }
    p->e820_entries = (uint8_t)n;
    return 0;
}

int
boot_bzimage_load(struct gmem *g, const struct boot_image *img,
                  struct boot_entry *ret, struct err *reterr)
{
    struct bzimage b = {0};
    uint64_t initrd = 0;
    int r;

    r = parse(img->kernel, &b, reterr);
    if (r == 0)
        r = choose_load(g, &b, reterr);
    if (r == 0)
        r = boot_put_cmdline(g, img->cmdline, b.h.cmdline_size, reterr);
    if (r < 0)
        return r;
    r = boot_copy(g, b.load, img->kernel, b.kernel_at, b.kernel_size);
    if (r < 0)
        return err_errno(reterr, r, "cannot read the kernel");
    if (img->initrd) {
        /* initrd_addr_max is the last usable byte. */
        r = boot_place_initrd(g, img->initrd, b.load + b.need,
                              (uint64_t)b.h.initrd_addr_max + 1, &initrd,
                              reterr);
        if (r < 0)
            return r;
    }
    r = put_zero_page(g, img, &b, initrd, reterr);
    if (r < 0)
        return r;
    *ret = (struct boot_entry){
        .mode = BOOT_LONG, .rip = b.load + ENTRY_64, .rsi = BOOT_ZERO_PAGE};
    return 0;
}
