/* fuzz-vmm-boot.c - kernel images: whatever a file says, it is loaded into
 * guest memory alone, or refused with a reason. The first byte says whether
 * the input's last quarter is an initrd. */
#include <config.h>

#include <string.h>

#include "hypervisor-backend/vmm/boot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct part {
    const uint8_t *p;
    size_t n;
};

static int
part_read(void *self, uint64_t offset, void *out, size_t n)
{
    const struct part *part = self;

    /* The caller has promised this. */
    if (offset > part->n || n > part->n - offset)
        abort();
    memcpy(out, part->p + offset, n);
    return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gmem_options o = {0};
    static struct gmem *g;
    struct boot_entry e = {0};
    struct err err = {0};

    if (size < 1)
        return 0;
    if (!g && gmem_new(32u << 20, &o, &g, NULL) < 0)
        abort();
    size_t tail = data[0] & 1 ? (size - 1) / 4 : 0;
    struct part k = {data + 1, size - 1 - tail};
    struct part i = {data + 1 + k.n, tail};
    struct boot_source kernel = {part_read, &k, k.n};
    struct boot_source initrd = {part_read, &i, i.n};
    struct boot_image img = {.kernel = &kernel,
                             .initrd = data[0] & 1 ? &initrd : NULL,
                             .cmdline = "console=ttyS0",
                             .rsdp = BOOT_ACPI};

    if (boot_load(g, &img, &e, &err) == 0) {
        if (!gmem_ptr(g, e.rip, 1) || e.rip < BOOT_HIGH)
            abort();
    } else if (!err.message[0]) {
        abort();
    }
    err_release(&err);
    return 0;
}
