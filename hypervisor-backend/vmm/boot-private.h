/* hypervisor-backend/vmm/boot-private.h - what the two kernel loaders share. */
#ifndef HYPERVISOR_BACKEND_VMM_BOOT_PRIVATE_H
#define HYPERVISOR_BACKEND_VMM_BOOT_PRIVATE_H

#include "hypervisor-backend/vmm/boot.h"

int boot_bzimage_load(struct gmem *g, const struct boot_image *img,
                      struct boot_entry *ret, struct err *reterr) _must_check_;
int boot_elf_load(struct gmem *g, const struct boot_image *img,
                  struct boot_entry *ret, struct err *reterr) _must_check_;

/* Bytes of a source; an offset or length past its end is -EIO. */
int boot_read(const struct boot_source *s, uint64_t offset, void *out,
              size_t n) _must_check_;
/* The same into guest memory, which must be one region (-EFBIG). */
int boot_copy(struct gmem *g, uint64_t gpa, const struct boot_source *s,
              uint64_t offset, uint64_t n) _must_check_;
/* End of the RAM below the hole. */
uint64_t boot_low_ram_end(const struct gmem *g);
/* As high as possible below `limit` (exclusive), above `floor`. */
int boot_place_initrd(struct gmem *g, const struct boot_source *s,
                      uint64_t floor, uint64_t limit, uint64_t *ret_gpa,
                      struct err *reterr) _must_check_;
/* Copies it to BOOT_CMDLINE; max is the kernel's limit without the NUL. */
int boot_put_cmdline(struct gmem *g, const char *cmdline, uint64_t max,
                     struct err *reterr) _must_check_;
size_t boot_memory_map(const struct gmem *g,
                       struct boot_e820 out[BOOT_E820_MAX]);

#endif
