/* boot_elf.c - an ELF64 kernel by its PVH entry point; see boot.h.
 * The entry is a 32-bit physical address in a note of the owner "Xen"; loading
 * is by the program headers' physical addresses. The start information tells
 * memory map, command line, initrd (as module 0) and ACPI.
 * Every number in the file is hostile: all sums are made by subtraction from a
 * known bound. */
#include <config.h>

#include "hypervisor-backend/vmm/boot-private.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#define NOTE_PHYS32_ENTRY 18
#define PHDRS_MAX 128u
#define NOTES_MAX 0x10000u /* bytes of one note segment that are looked at */

#define PVH_MAGIC 0x336ec578u
#define PVH_VERSION 1
#define PVH_MODULE_AT (BOOT_PVH_INFO + 0x80)
#define PVH_MAP_AT (BOOT_PVH_INFO + 0x100)

struct pvh_info {
    uint32_t magic, version, flags, n_modules;
    uint64_t modules, cmdline, rsdp;
    uint64_t map; /* from version 1 */
    uint32_t map_entries, reserved;
};

struct pvh_module {
    uint64_t at, size, cmdline, reserved;
};

struct pvh_map_entry {
    uint64_t base, size;
    uint32_t type, reserved;
};

static int
bad(struct err *reterr, const char *why)
{
    return err_set(reterr, -ENOEXEC, "invalid_kernel", "ELF kernel: %s", why);
}

static int
read_header(const struct boot_source *s, Elf64_Ehdr *eh, struct err *reterr)
{
    int r;

    if (s->size < sizeof(*eh))
        return bad(reterr, "too short");
    r = boot_read(s, 0, eh, sizeof(*eh));
    if (r < 0)
        return err_errno(reterr, r, "cannot read the kernel");
    if (eh->e_ident[EI_CLASS] != ELFCLASS64 ||
        eh->e_ident[EI_DATA] != ELFDATA2LSB || eh->e_machine != EM_X86_64)
        return bad(reterr, "not for x86-64");
    if (eh->e_phentsize != sizeof(Elf64_Phdr) || eh->e_phnum == 0 ||
        eh->e_phnum > PHDRS_MAX)
        return bad(reterr, "no usable program headers");
    if (eh->e_phoff > s->size ||
        eh->e_phnum * sizeof(Elf64_Phdr) > s->size - eh->e_phoff)
        return bad(reterr, "program headers past the end of the file");
    return 0;
}

/* One PT_LOAD: bytes from the file, zeros after. */
static int
load_segment(struct gmem *g, const struct boot_source *s, const Elf64_Phdr *ph,
             uint64_t *end, struct err *reterr)
{
    unsigned char *to;
    int r;

    if (ph->p_memsz == 0)
        return ph->p_filesz ? bad(reterr, "a segment larger than its memory")
                            : 0;
    if (ph->p_filesz > ph->p_memsz)
        return bad(reterr, "a segment larger than its memory");
    if (ph->p_offset > s->size || ph->p_filesz > s->size - ph->p_offset)
        return bad(reterr, "a segment past the end of the file");
    if (ph->p_paddr < BOOT_HIGH)
        return bad(reterr, "a segment below 1 MiB");
    to = gmem_ptr(g, ph->p_paddr, ph->p_memsz);
    if (!to || ph->p_paddr >= GMEM_HOLE_START)
        return err_set(reterr, -EFBIG, "no_memory",
                       "the kernel wants %llu bytes at 0x%llx, where there "
                       "is no memory",
                       (unsigned long long)ph->p_memsz,
                       (unsigned long long)ph->p_paddr);
    r = boot_read(s, ph->p_offset, to, (size_t)ph->p_filesz);
    if (r < 0)
        return err_errno(reterr, r, "cannot read the kernel");
    /* Fresh guest memory is zero already: writing zeros would only make
     * pages. Read first, and write what is not. */
    for (uint64_t i = ph->p_filesz; i < ph->p_memsz; i++) {
        uint64_t page_left = 4096 - ((ph->p_paddr + i) & 4095);
        uint64_t n = MIN(page_left, ph->p_memsz - i);

        if (to[i] || memcmp(to + i, to + i + 1, (size_t)n - 1) != 0)
            memset(to + i, 0, (size_t)n);
        i += n - 1;
    }
    *end = MAX(*end, ph->p_paddr + ph->p_memsz);
    return 0;
}

/* Looks through one note segment; *entry stays 0 when it is not there. */
static int
scan_notes(const struct boot_source *s, const Elf64_Phdr *ph, uint32_t *entry,
           struct err *reterr)
{
    unsigned char *notes _cleanup_(freep) = NULL;
    size_t n = (size_t)MIN(ph->p_filesz, (uint64_t)NOTES_MAX), at = 0;
    /* Notes are aligned to 4 except where the segment says 8. */
    size_t align = ph->p_align == 8 ? 8 : 4;
    int r;

    if (ph->p_offset > s->size || ph->p_filesz > s->size - ph->p_offset)
        return bad(reterr, "notes past the end of the file");
    if (n == 0)
        return 0;
    notes = malloc(n);
    if (!notes)
        return err_errno(reterr, -ENOMEM, "notes of the kernel");
    r = boot_read(s, ph->p_offset, notes, n);
    if (r < 0)
        return err_errno(reterr, r, "cannot read the kernel");
    while (n - at >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr nh;
        size_t name, desc;

        memcpy(&nh, notes + at, sizeof(nh));
        name = at + sizeof(nh);
        if (nh.n_namesz > n - name)
            break;
        desc = name + nh.n_namesz;
        desc = (desc + align - 1) & ~(align - 1);
        if (desc > n || nh.n_descsz > n - desc)
            break;
        if (nh.n_type == NOTE_PHYS32_ENTRY && nh.n_namesz == 4 &&
            memcmp(notes + name, "Xen", 4) == 0 &&
            (nh.n_descsz == 4 || nh.n_descsz == 8)) {
            uint64_t v = 0;

            memcpy(&v, notes + desc, nh.n_descsz);
            if (v == 0 || v > UINT32_MAX)
                return bad(reterr, "its PVH entry is no 32-bit address");
            *entry = (uint32_t)v;
            return 0;
        }
        at = (desc + nh.n_descsz + align - 1) & ~(align - 1);
        if (at > n)
            break;
    }
    return 0;
}

static int
put_info(struct gmem *g, const struct boot_image *img, uint64_t initrd,
         struct err *reterr)
{
    struct boot_e820 map[BOOT_E820_MAX];
    struct pvh_map_entry out[BOOT_E820_MAX] = {0};
    struct pvh_info info = {.magic = PVH_MAGIC,
                            .version = PVH_VERSION,
                            .cmdline = BOOT_CMDLINE,
                            .rsdp = img->rsdp,
                            .map = PVH_MAP_AT};
    struct pvh_module module = {.at = initrd};
    size_t n = boot_memory_map(g, map);
    int r = 0;

    for (size_t i = 0; i < n; i++) {
        out[i].base = map[i].base;
        out[i].size = map[i].size;
        out[i].type = map[i].type;
    }
    info.map_entries = (uint32_t)n;
    if (initrd) {
        info.n_modules = 1;
        info.modules = PVH_MODULE_AT;
        module.size = img->initrd->size;
        r = gmem_write(g, PVH_MODULE_AT, &module, sizeof(module));
    }
    if (r == 0)
        r = gmem_write(g, PVH_MAP_AT, out, n * sizeof(out[0]));
    if (r == 0)
        r = gmem_write(g, BOOT_PVH_INFO, &info, sizeof(info));
    return r < 0 ? err_errno(reterr, r, "start information") : 0;
}

int
boot_elf_load(struct gmem *g, const struct boot_image *img,
              struct boot_entry *ret, struct err *reterr)
{
    const struct boot_source *s = img->kernel;
    uint64_t end = 0, initrd = 0;
    uint32_t entry = 0;
    Elf64_Ehdr eh;
    int r;

    r = read_header(s, &eh, reterr);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < eh.e_phnum; i++) {
        Elf64_Phdr ph;

        r = boot_read(s, eh.e_phoff + i * sizeof(ph), &ph, sizeof(ph));
        if (r < 0)
            return err_errno(reterr, r, "cannot read the kernel");
        if (ph.p_type == PT_LOAD)
            r = load_segment(g, s, &ph, &end, reterr);
        else if (ph.p_type == PT_NOTE && !entry)
            r = scan_notes(s, &ph, &entry, reterr);
        if (r < 0)
            return r;
    }
    if (!end)
        return bad(reterr, "nothing to load");
    if (!entry)
        return bad(reterr, "has no PVH entry point (CONFIG_PVH)");
    if (entry < BOOT_HIGH || entry >= end)
        return bad(reterr, "its PVH entry lies outside of it");
    r = boot_put_cmdline(g, img->cmdline, BOOT_CMDLINE_SIZE - 1, reterr);
    if (r < 0)
        return r;
    if (img->initrd) {
        r = boot_place_initrd(g, img->initrd, end, GMEM_HOLE_START, &initrd,
                              reterr);
        if (r < 0)
            return r;
    }
    r = put_info(g, img, initrd, reterr);
    if (r < 0)
        return r;
    *ret = (struct boot_entry){
        .mode = BOOT_FLAT32, .rip = entry, .rbx = BOOT_PVH_INFO};
    return 0;
}
