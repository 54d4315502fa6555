/* hypervisor-backend/vmm/boot.h - a kernel into guest memory, and how to enter.
 * Role:      pure parsers over a read function and guest memory: Linux/x86
 *            bzImage by the 64-bit boot protocol, ELF64 by the PVH entry
 *            point; told apart by their magic.
 * Ownership: everything is borrowed for the call.
 * Threads:   before the guest runs.
 * Errors:    -ENOEXEC not a kernel that can be booted, -EFBIG does not fit
 *            into memory, -EINVAL command line, -EIO short read or what the
 *            read function said; reterr has the reason.
 * Invariant: nothing is written outside guest memory, and nothing of the
 *            image below 1 MiB, whatever the image says.
 * Source:    Linux Documentation/arch/x86/boot.rst and zero-page.rst; Xen
 *            docs/misc/pvh.pandoc and public/arch-x86/hvm/start_info.h. */
#ifndef HYPERVISOR_BACKEND_VMM_BOOT_H
#define HYPERVISOR_BACKEND_VMM_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "hypervisor-backend/vmm/gmem.h"

/* The first MiB, by guest physical address. What is not named is the
 * guest's own. */
#define BOOT_GDT UINT64_C(0x500)
#define BOOT_PVH_INFO UINT64_C(0x6000)
#define BOOT_ZERO_PAGE UINT64_C(0x7000)
#define BOOT_PML4 UINT64_C(0x9000) /* and five more pages */
#define BOOT_SETUP_DATA UINT64_C(0x10000)
#define BOOT_CMDLINE UINT64_C(0x20000)
#define BOOT_CMDLINE_SIZE 0x10000u
#define BOOT_LOW_END UINT64_C(0x9fc00)
#define BOOT_ACPI UINT64_C(0xe0000) /* found there by a scan, too */
#define BOOT_ACPI_SIZE UINT64_C(0x20000)
#define BOOT_HIGH UINT64_C(0x100000)

struct boot_source {
    /* Exactly n bytes at offset, or a negative errno. */
    int (*read)(void *self, uint64_t offset, void *out, size_t n);
    void *self;
    uint64_t size;
};

struct boot_image {
    const struct boot_source *kernel;
    const struct boot_source *initrd; /* or NULL */
    const char *cmdline;              /* or NULL */
    uint64_t rsdp;                    /* 0: no ACPI */
    /* For the guest's random number generator; NULL gives none. */
    const unsigned char *seed;
    size_t seed_len; /* up to 64 */
};

enum boot_mode {
    BOOT_LONG,   /* 64-bit, paging on: rsi is the zero page */
    BOOT_FLAT32, /* protected mode, paging off: rbx is the PVH info */
};

/* Registers of the first vCPU. Selectors index the table at BOOT_GDT. */
struct boot_entry {
    enum boot_mode mode;
    uint64_t rip, rsi, rbx;
};

struct boot_e820 {
    uint64_t base, size;
    uint32_t type; /* 1 RAM, 2 reserved */
};
#define BOOT_E820_MAX 8

int boot_load(struct gmem *g, const struct boot_image *img,
              struct boot_entry *ret, struct err *reterr) _must_check_;

/* A file as a source; the descriptor is borrowed. -EINVAL: not a regular
 * file. */
int boot_source_fd(int fd, struct boot_source *ret) _must_check_;

#endif
