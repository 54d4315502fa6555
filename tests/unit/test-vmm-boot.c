/* test-vmm-boot.c - kernels that are right, and kernels that lie. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <asm/bootparam.h>
#include <elf.h>
#include <stddef.h>
#include <string.h>

#include "common/mem.h"
#include "hypervisor-backend/vmm/boot.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* A source in memory. */
static int
mem_read(void *self, uint64_t offset, void *out, size_t n)
{
    memcpy(out, (const unsigned char *)self + offset, n);
    return 0;
}

static int
broken_read(void *self, uint64_t offset, void *out, size_t n)
{
    return -EIO;
}

static struct gmem *
make(uint64_t size)
{
    struct gmem_options o = {0};
    struct gmem *g = NULL;

    assert_int_equal(gmem_new(size, &o, &g, NULL), 0);
    return g;
}

/* bzImage: two setup sectors, then 8 KiB. */
#define BZ_KERNEL 8192u
#define BZ_SIZE (3 * 512u + BZ_KERNEL)

static void
make_bz(unsigned char img[BZ_SIZE])
{
    struct setup_header h = {.setup_sects = 2,
                             .syssize = BZ_KERNEL / 16,
                             .boot_flag = 0xaa55,
                             .jump = 0x6aeb,
                             .header = 0x53726448,
                             .version = 0x20f,
                             .loadflags = LOADED_HIGH,
                             .initrd_addr_max = 0x7fffffff,
                             .kernel_alignment = 0x200000,
                             .relocatable_kernel = 1,
                             .xloadflags = XLF_KERNEL_64,
                             .cmdline_size = 2047,
                             .pref_address = 0x1000000,
                             .init_size = 4 * MIB};

    memset(img, 0, BZ_SIZE);
    memcpy(img + 0x1f1, &h, sizeof(h));
    for (size_t i = 0; i < BZ_KERNEL; i++)
        img[3 * 512 + i] = (unsigned char)(i * 7 + 1);
}

static struct setup_header *
bz_header(unsigned char *img)
{
    return (struct setup_header *)(img + 0x1f1);
}

static int
load_n(struct gmem *g, unsigned char *img, size_t n, const char *cmdline,
       const struct boot_source *initrd, struct boot_entry *e, struct err *err)
{
    struct boot_source s = {.read = mem_read, .self = img, .size = n};
    struct boot_image i = {.kernel = &s,
                           .initrd = initrd,
                           .cmdline = cmdline,
                           .rsdp = BOOT_ACPI,
                           .seed = (const unsigned char *)"0123456789abcdef",
                           .seed_len = 16};

    return boot_load(g, &i, e, err);
}

static void
bzimage__loaded_as_the_protocol_says(void **state)
{
    unsigned char img[BZ_SIZE], rd[5000];
    struct boot_source initrd = {
        .read = mem_read, .self = rd, .size = sizeof(rd)};
    struct gmem *g = make(64 * MIB);
    struct boot_entry e;
    struct boot_params *p;
    struct setup_data *sd;
    const uint64_t *pt;

    make_bz(img);
    memset(rd, 'r', sizeof(rd));
    assert_int_equal(
        load_n(g, img, sizeof(img), "console=ttyS0", &initrd, &e, NULL), 0);
    assert_int_equal(e.mode, BOOT_LONG);
    assert_int_equal(e.rip, 0x1000200);
    assert_int_equal(e.rsi, BOOT_ZERO_PAGE);
    assert_memory_equal(gmem_ptr(g, 0x1000000, BZ_KERNEL), img + 3 * 512,
                        BZ_KERNEL);
    p = gmem_ptr(g, e.rsi, sizeof(*p));
    assert_int_equal(p->hdr.header, 0x53726448);
    assert_int_equal(p->hdr.type_of_loader, 0xff);
    assert_string_equal(gmem_ptr(g, p->hdr.cmd_line_ptr, 100), "console=ttyS0");
    assert_int_equal(p->hdr.ramdisk_size, sizeof(rd));
    /* As high as it goes, on a page. */
    assert_int_equal(p->hdr.ramdisk_image, 64 * MIB - 8192);
    assert_memory_equal(gmem_ptr(g, p->hdr.ramdisk_image, sizeof(rd)), rd,
                        sizeof(rd));
    assert_int_equal(p->acpi_rsdp_addr, BOOT_ACPI);
    assert_int_equal(p->e820_entries, 4);
    assert_int_equal(p->e820_table[2].addr, BOOT_HIGH);
    assert_int_equal(p->e820_table[2].size, 63 * MIB);
    sd = gmem_ptr(g, p->hdr.setup_data, sizeof(*sd) + 16);
    assert_int_equal(sd->next, 0);
    assert_int_equal(sd->type, 9);
    assert_int_equal(sd->len, 16);
    assert_memory_equal(sd->data, "0123456789abcdef", 16);
    /* The page tables map the kernel's entry to itself. */
    pt = gmem_ptr(g, BOOT_PML4, 6 * 4096);
    assert_int_equal(pt[0], (BOOT_PML4 + 4096) | 3);
    assert_int_equal(pt[512], (BOOT_PML4 + 2 * 4096) | 3);
    assert_int_equal(pt[1024 + (0x1000200 >> 21)], 0x1000083);
    assert_int_equal(pt[1024 + 2047], (2047ull << 21) | 0x83);
    gmem_free(g);
}

static void
bzimage__memory_above_the_hole_is_told(void **state)
{
    unsigned char img[BZ_SIZE];
    struct gmem *g = make(5 * GIB);
    struct boot_entry e;
    struct boot_params *p;

    make_bz(img);
    assert_int_equal(load_n(g, img, sizeof(img), NULL, NULL, &e, NULL), 0);
    p = gmem_ptr(g, e.rsi, sizeof(*p));
    assert_int_equal(p->e820_entries, 5);
    assert_int_equal(p->e820_table[2].addr + p->e820_table[2].size,
                     GMEM_HOLE_START);
    assert_int_equal(p->e820_table[4].addr, GMEM_HOLE_END);
    assert_int_equal(p->e820_table[4].size, 2 * GIB);
    assert_int_equal(p->hdr.ramdisk_image, 0);
    gmem_free(g);
}

static void
bzimage__relocated_where_it_fits(void **state)
{
    unsigned char img[BZ_SIZE];
    struct gmem *g = make(16 * MIB);
    struct boot_entry e;

    make_bz(img);
    assert_int_equal(load_n(g, img, sizeof(img), NULL, NULL, &e, NULL), 0);
    assert_int_equal(e.rip, 0x200200);
    gmem_free(g);
}

static void
bzimage__initrd_below_the_kernels_limit(void **state)
{
    unsigned char img[BZ_SIZE], rd[4096] = {0};
    struct boot_source initrd = {
        .read = mem_read, .self = rd, .size = sizeof(rd)};
    struct gmem *g = make(64 * MIB);
    struct boot_entry e;
    struct boot_params *p;

    make_bz(img);
    bz_header(img)->initrd_addr_max = 0x1ffffff;
    assert_int_equal(load_n(g, img, sizeof(img), NULL, &initrd, &e, NULL), 0);
    p = gmem_ptr(g, e.rsi, sizeof(*p));
    assert_int_equal(p->hdr.ramdisk_image, 0x2000000 - 4096);
    gmem_free(g);
}

static void
bzimage__lies_refused_with_a_reason(void **state)
{
    static const struct {
        const char *what;
        size_t field, width;
        uint64_t value;
        int want;
    } lies[] = {
#define LIE(f, v, want)                                                        \
    {#f, offsetof(struct setup_header, f),                                     \
     sizeof(((struct setup_header *)0)->f), (v), (want)}
        LIE(boot_flag, 0, -ENOEXEC),
        LIE(header, 0, -ENOEXEC),
        LIE(version, 0x20b, -ENOEXEC),
        LIE(xloadflags, 0, -ENOEXEC),
        LIE(loadflags, 0, -ENOEXEC),
        LIE(jump, 0x00eb, -ENOEXEC),
        LIE(jump, 0x50eb, -ENOEXEC),
        LIE(setup_sects, 255, -ENOEXEC),
        LIE(syssize, BZ_KERNEL / 16 + 1, -ENOEXEC),
        LIE(syssize, UINT32_MAX, -ENOEXEC),
        LIE(syssize, 0, -ENOEXEC),
        LIE(syssize, 0x20, -ENOEXEC), /* ends where the entry would be */
        LIE(init_size, UINT32_MAX, -EFBIG),
        LIE(init_size, 63 * MIB, -EFBIG),
        LIE(cmdline_size, 3, -EINVAL),
        LIE(initrd_addr_max, 0, -EFBIG),
        LIE(initrd_addr_max, 0x1000000, -EFBIG),
#undef LIE
    };
    unsigned char img[BZ_SIZE], rd[4096] = {0};
    struct boot_source initrd = {
        .read = mem_read, .self = rd, .size = sizeof(rd)};
    struct gmem *g = make(64 * MIB);

    for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
        struct boot_entry e = {.rip = 42};
        struct err err = {0};

        make_bz(img);
        memcpy(img + 0x1f1 + lies[i].field, &lies[i].value, lies[i].width);
        if (load_n(g, img, sizeof(img), "abcd", &initrd, &e, &err) !=
            lies[i].want)
            fail_msg("%s=%llx: %s", lies[i].what,
                     (unsigned long long)lies[i].value, err.message);
        assert_true(err.message[0] != '\0');
        assert_int_equal(e.rip, 42);
        err_release(&err);
    }
    gmem_free(g);
}

static void
bzimage__bad_address_with_bad_alignment_refused(void **state)
{
    static const uint64_t pref[] = {
        0, 0xff000, 0x7ffff000, GMEM_HOLE_START, GMEM_HOLE_END, UINT64_MAX};
    static const uint32_t align[] = {0, 3, 0x80000000, 0x40000000};
    unsigned char img[BZ_SIZE];
    struct gmem *g = make(64 * MIB);
    struct boot_entry e;

    for (size_t i = 0; i < ARRAY_SIZE(pref); i++) {
        make_bz(img);
        bz_header(img)->pref_address = pref[i];
        assert_int_equal(load_n(g, img, sizeof(img), NULL, NULL, &e, NULL), 0);
        assert_int_equal(e.rip, 0x200200);
        bz_header(img)->relocatable_kernel = 0;
        assert_int_equal(load_n(g, img, sizeof(img), NULL, NULL, &e, NULL),
                         -EFBIG);
        bz_header(img)->relocatable_kernel = 1;
        for (size_t j = 0; j < ARRAY_SIZE(align); j++) {
            bz_header(img)->kernel_alignment = align[j];
            assert_true(load_n(g, img, sizeof(img), NULL, NULL, &e, NULL) < 0);
        }
    }
    gmem_free(g);
}

/* ELF: header, a PT_LOAD of 4 KiB + 4 KiB of zeros at 1 MiB, a PT_NOTE. */
#define ELF_SIZE 8192u
#define ELF_NOTE 0x200u

struct elf_note {
    Elf64_Nhdr h;
    char name[4];
    uint64_t entry;
};

static Elf64_Phdr *
elf_phdr(unsigned char *img, unsigned i)
{
    return (Elf64_Phdr *)(img + sizeof(Elf64_Ehdr)) + i;
}

static void
make_elf(unsigned char img[ELF_SIZE])
{
    Elf64_Ehdr eh = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB},
                     .e_machine = EM_X86_64,
                     .e_phoff = sizeof(eh),
                     .e_phentsize = sizeof(Elf64_Phdr),
                     .e_phnum = 2};
    struct elf_note other = {{4, 8, 3}, "Xen", 0},
                    note = {{4, 8, 18}, "Xen", 0x100040};

    memset(img, 0, ELF_SIZE);
    memcpy(img, &eh, sizeof(eh));
    *elf_phdr(img, 0) = (Elf64_Phdr){.p_type = PT_LOAD,
                                     .p_offset = 4096,
                                     .p_paddr = 0x100000,
                                     .p_filesz = 4096,
                                     .p_memsz = 8192};
    *elf_phdr(img, 1) = (Elf64_Phdr){
        .p_type = PT_NOTE, .p_offset = ELF_NOTE, .p_filesz = 2 * sizeof(note)};
    memcpy(img + ELF_NOTE, &other, sizeof(other));
    memcpy(img + ELF_NOTE + sizeof(other), &note, sizeof(note));
    memset(img + 4096, 0xc3, 4096);
}

static void
elf__loaded_with_start_information(void **state)
{
    unsigned char *img = xmalloc(ELF_SIZE), rd[100] = "rd";
    struct boot_source initrd = {
        .read = mem_read, .self = rd, .size = sizeof(rd)};
    struct gmem *g = make(32 * MIB);
    struct boot_entry e;
    uint32_t *info;
    uint64_t *map;
    unsigned char *seg;

    make_elf(img);
    /* Zeros must be made even where memory was used before. */
    assert_int_equal(gmem_write(g, 0x101fff, "x", 1), 0);
    assert_int_equal(load_n(g, img, ELF_SIZE, "quiet", &initrd, &e, NULL), 0);
    assert_int_equal(e.mode, BOOT_FLAT32);
    assert_int_equal(e.rip, 0x100040);
    assert_int_equal(e.rbx, BOOT_PVH_INFO);
    seg = gmem_ptr(g, 0x100000, 8192);
    assert_int_equal(seg[4095], 0xc3);
    assert_int_equal(seg[4096], 0);
    assert_int_equal(seg[8191], 0);
    info = gmem_ptr(g, e.rbx, 56);
    assert_int_equal(info[0], 0x336ec578);
    assert_int_equal(info[1], 1);
    assert_int_equal(info[3], 1); /* modules */
    assert_int_equal(((uint64_t *)gmem_ptr(g, info[4], 16))[0],
                     32 * MIB - 4096);
    assert_int_equal(((uint64_t *)gmem_ptr(g, info[4], 16))[1], sizeof(rd));
    assert_string_equal(gmem_ptr(g, info[6], 10), "quiet");
    assert_int_equal(info[8], BOOT_ACPI);
    assert_int_equal(info[12], 4); /* memory map entries */
    map = gmem_ptr(g, info[10], 4 * 24);
    assert_int_equal(map[6], BOOT_HIGH);
    assert_int_equal(map[7], 31 * MIB);
    assert_int_equal(map[8], 1);
    free(img);
    gmem_free(g);
}

static void
elf__lies_refused_with_a_reason(void **state)
{
    static const struct {
        size_t at, width;
        uint64_t value;
        int want;
    } lies[] = {
#define EH(f) offsetof(Elf64_Ehdr, f), sizeof(((Elf64_Ehdr *)0)->f)
#define PH(i, f)                                                               \
    sizeof(Elf64_Ehdr) + (i) * sizeof(Elf64_Phdr) + offsetof(Elf64_Phdr, f),   \
        sizeof(((Elf64_Phdr *)0)->f)
        {EH(e_machine), EM_386, -ENOEXEC},
        {EI_CLASS, 1, ELFCLASS32, -ENOEXEC},
        {EI_DATA, 1, ELFDATA2MSB, -ENOEXEC},
        {EH(e_phentsize), 55, -ENOEXEC},
        {EH(e_phentsize), 0xffff, -ENOEXEC},
        {EH(e_phnum), 0, -ENOEXEC},
        {EH(e_phnum), 0xffff, -ENOEXEC},
        {EH(e_phoff), ELF_SIZE, -ENOEXEC},
        {EH(e_phoff), ELF_SIZE - 57, -ENOEXEC},
        {EH(e_phoff), UINT64_MAX, -ENOEXEC},
        {PH(0, p_type), PT_NULL, -ENOEXEC},
        {PH(0, p_filesz), 8193, -ENOEXEC},
        {PH(0, p_filesz), 4097, -ENOEXEC},
        {PH(0, p_filesz), UINT64_MAX, -ENOEXEC},
        {PH(0, p_memsz), 4095, -ENOEXEC},
        {PH(0, p_memsz), 0, -ENOEXEC},
        {PH(0, p_memsz), 31 * MIB + 1, -EFBIG},
        {PH(0, p_memsz), UINT64_MAX, -EFBIG},
        {PH(0, p_memsz), UINT64_MAX - 0x100000 + 2, -EFBIG},
        {PH(0, p_offset), ELF_SIZE - 4095, -ENOEXEC},
        {PH(0, p_offset), UINT64_MAX, -ENOEXEC},
        {PH(0, p_offset), UINT64_MAX - 4095, -ENOEXEC},
        {PH(0, p_paddr), 0xff000, -ENOEXEC},
        {PH(0, p_paddr), 0, -ENOEXEC},
        {PH(0, p_paddr), 32 * MIB - 4096, -EFBIG},
        {PH(0, p_paddr), UINT64_MAX - 4096, -EFBIG},
        {PH(0, p_paddr), GMEM_HOLE_END, -EFBIG},
        {PH(1, p_type), PT_NULL, -ENOEXEC},
        {PH(1, p_offset), ELF_SIZE, -ENOEXEC},
        {PH(1, p_filesz), UINT64_MAX, -ENOEXEC},
        {PH(1, p_filesz), 47, -ENOEXEC}, /* ends inside the note */
        {PH(1, p_filesz), 0, -ENOEXEC},
        {ELF_NOTE, 4, UINT32_MAX, -ENOEXEC},     /* name size */
        {ELF_NOTE + 4, 4, UINT32_MAX, -ENOEXEC}, /* description size */
        {ELF_NOTE + 24 + 4, 4, 2, -ENOEXEC},
        {ELF_NOTE + 24 + 8, 4, 17, -ENOEXEC},
        {ELF_NOTE + 24 + 12, 4, 0x4e6558, -ENOEXEC}, /* "XeN" */
        {ELF_NOTE + 24 + 16, 8, 0, -ENOEXEC},
        {ELF_NOTE + 24 + 16, 8, 0x1000, -ENOEXEC},
        {ELF_NOTE + 24 + 16, 8, 0x102000, -ENOEXEC},
        {ELF_NOTE + 24 + 16, 8, 0x100100040, -ENOEXEC},
    };
    unsigned char *img = xmalloc(ELF_SIZE);
    struct gmem *g = make(32 * MIB);

    for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
        struct boot_entry e = {.rip = 42};
        struct err err = {0};

        make_elf(img);
        memcpy(img + lies[i].at, &lies[i].value, lies[i].width);
        if (load_n(g, img, ELF_SIZE, NULL, NULL, &e, &err) != lies[i].want)
            fail_msg("lie %zu: %s", i, err.message);
        assert_true(err.message[0] != '\0');
        assert_int_equal(e.rip, 42);
        err_release(&err);
    }
    free(img);
    gmem_free(g);
}

static void
any__cut_at_every_length_is_refused_or_complete(void **state)
{
    unsigned char bz[BZ_SIZE], *img = xmalloc(ELF_SIZE);
    struct gmem *g = make(32 * MIB);
    struct boot_entry e;

    make_bz(bz);
    make_elf(img);
    for (size_t n = 0; n < BZ_SIZE; n++) {
        /* Exactly n bytes, so that a sanitizer sees a read past them. */
        unsigned char *part = xmalloc(n);

        memcpy(part, bz, n);
        assert_true(load_n(g, part, n, NULL, NULL, &e, NULL) < 0);
        if (n < ELF_SIZE) {
            memcpy(part, img, n);
            assert_true(load_n(g, part, n, NULL, NULL, &e, NULL) < 0);
        }
        free(part);
    }
    free(img);
    gmem_free(g);
}

static void
any__read_errors_and_empty_initrd_reported(void **state)
{
    unsigned char bz[BZ_SIZE], rd[1];
    struct boot_source broken = {.read = broken_read, .size = BZ_SIZE};
    struct boot_image i = {.kernel = &broken};
    struct boot_source initrd = {.read = mem_read, .self = rd, .size = 0};
    struct gmem *g = make(32 * MIB);
    struct boot_entry e;
    struct err err = {0};

    assert_int_equal(boot_load(g, &i, &e, &err), -EIO);
    err_release(&err);
    make_bz(bz);
    assert_int_equal(load_n(g, bz, BZ_SIZE, NULL, &initrd, &e, NULL), -ENOEXEC);
    initrd.size = UINT64_MAX;
    assert_int_equal(load_n(g, bz, BZ_SIZE, NULL, &initrd, &e, NULL), -EFBIG);
    initrd = broken;
    assert_int_equal(load_n(g, bz, BZ_SIZE, NULL, &initrd, &e, NULL), -EIO);
    gmem_free(g);
}

static void
any__memory_too_small_for_the_tables_refused(void **state)
{
    unsigned char bz[BZ_SIZE];
    struct gmem *g = make(1 * MIB);
    struct boot_entry e;

    make_bz(bz);
    assert_int_equal(load_n(g, bz, BZ_SIZE, NULL, NULL, &e, NULL), -EFBIG);
    gmem_free(g);
}

static uint64_t
next_random(uint64_t *s)
{
    uint64_t z = (*s += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Whatever the header says: an entry is in memory, or there is a reason. */
static void
any__random_headers_never_escape(void **state)
{
    static const uint64_t edge[] = {0, 1, 0x7f, 0x80, 0xff, 0x1000, UINT64_MAX};
    unsigned char bz[BZ_SIZE], *elf = xmalloc(ELF_SIZE);
    struct gmem *g = make(32 * MIB);
    uint64_t seed = 20261122;
    unsigned loaded = 0;

    for (unsigned i = 0; i < 20000; i++) {
        bool is_elf = i & 1;
        unsigned char *img = is_elf ? elf : bz;
        size_t from = is_elf ? 4 : 0x1f1, n = is_elf ? 0x260 - 4 : 0x7f;
        struct boot_entry e;
        struct err err = {0};

        if (is_elf)
            make_elf(img);
        else
            make_bz(img);
        for (uint64_t k = next_random(&seed) % 4 + 1; k > 0; k--) {
            uint64_t r = next_random(&seed);
            uint64_t v = r & 1 ? edge[r % ARRAY_SIZE(edge)] : r;

            memcpy(img + from + (r >> 8) % n, &v, 1u << ((r >> 4) & 3));
        }
        if (load_n(g, img, is_elf ? ELF_SIZE : BZ_SIZE, "x", NULL, &e, &err) ==
            0) {
            assert_non_null(gmem_ptr(g, e.rip, 1));
            loaded++;
        } else {
            assert_true(err.message[0] != '\0');
        }
        err_release(&err);
    }
    /* The mutations must reach behind the first checks. */
    assert_in_range(loaded, 1000, 19000);
    free(elf);
    gmem_free(g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bzimage__loaded_as_the_protocol_says),
        cmocka_unit_test(bzimage__memory_above_the_hole_is_told),
        cmocka_unit_test(bzimage__relocated_where_it_fits),
        cmocka_unit_test(bzimage__initrd_below_the_kernels_limit),
        cmocka_unit_test(bzimage__lies_refused_with_a_reason),
        cmocka_unit_test(bzimage__bad_address_with_bad_alignment_refused),
        cmocka_unit_test(elf__loaded_with_start_information),
        cmocka_unit_test(elf__lies_refused_with_a_reason),
        cmocka_unit_test(any__cut_at_every_length_is_refused_or_complete),
        cmocka_unit_test(any__read_errors_and_empty_initrd_reported),
        cmocka_unit_test(any__memory_too_small_for_the_tables_refused),
        cmocka_unit_test(any__random_headers_never_escape),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
