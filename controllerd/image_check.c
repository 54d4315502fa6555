/* image_check.c - is an uploaded file what it says it is?
 * Follows: qcow2 header, QEMU docs/interop/qcow2.txt; Linux/x86 boot protocol
 * (Documentation/arch/x86/boot.rst) for "HdrS"; ELF magic. A qcow2 that names
 * a backing or data file is refused: it could name any file of a node. */
#include <config.h>

#include "controllerd/ctl.h"

#include <string.h>

#define HEAD 1024
#define DISK_MAX (INT64_C(64) << 40)

static uint64_t
be(const unsigned char *p, int n)
{
    uint64_t v = 0;

    for (int i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

static int
bad(struct err *e, const char *why)
{
    return err_set(e, -EINVAL, "bad_image_part", "the file is refused: %s",
                   why);
}

static int
check_qcow2(const unsigned char *h, size_t n, int64_t *ret_virtual,
            struct err *e)
{
    if (n < 72 || memcmp(h, "QFI\xfb", 4) != 0)
        return bad(e, "it is not a qcow2 image");
    uint64_t version = be(h + 4, 4), cluster_bits = be(h + 20, 4);
    uint64_t size = be(h + 24, 8), incompatible = 0;
    if (version != 2 && version != 3)
        return bad(e, "its qcow2 version is not 2 or 3");
    if (be(h + 8, 8) != 0)
        return bad(e, "it has a backing file; flatten it first with "
                      "qemu-img convert");
    if (be(h + 32, 4) != 0)
        return bad(e, "it is encrypted");
    if (version == 3) {
        if (n < 104)
            return bad(e, "its header is cut off");
        incompatible = be(h + 72, 8);
    }
    /* Bit 0 dirty, 1 corrupt, 2 external data file, 3 compression type,
     * 4 extended L2. */
    if (incompatible & 4)
        return bad(e, "it keeps its data in another file");
    if (incompatible & 2)
        return bad(e, "it is marked as corrupt");
    if (incompatible & ~UINT64_C(0x1f))
        return bad(e, "it has features that are not known here");
    if (cluster_bits < 9 || cluster_bits > 21)
        return bad(e, "its cluster size is out of range");
    if (size == 0 || size > (uint64_t)DISK_MAX)
        return bad(e, "its size is out of range");
    *ret_virtual = (int64_t)size;
    return 0;
}

int
image_check(enum api_part part, enum api_format format, int fd,
            int64_t size_bytes, int64_t *ret_virtual_bytes, struct err *reterr)
{
    unsigned char h[HEAD] = {0};
    ssize_t n = pread(fd, h, sizeof(h), 0);

    if (n < 0)
        return err_errno(reterr, -errno, "cannot read the upload");
    *ret_virtual_bytes = 0;
    if (size_bytes <= 0)
        return bad(reterr, "it is empty");
    if (part == PART_KERNEL) {
        bool bzimage = n >= 0x206 && memcmp(h + 0x202, "HdrS", 4) == 0;
        bool elf = n >= 64 && memcmp(h,
                                     "\x7f"
                                     "ELF",
                                     4) == 0;

        return bzimage || elf
                   ? 0
                   : bad(reterr, "it is neither a Linux kernel for x86 "
                                 "(bzImage) nor an ELF kernel");
    }
    if (part == PART_INITRD)
        return 0;
    if (format == FORMAT_QCOW2)
        return check_qcow2(h, (size_t)n, ret_virtual_bytes, reterr);
    if (size_bytes % 512)
        return bad(reterr, "a raw disk is a multiple of 512 bytes");
    *ret_virtual_bytes = size_bytes;
    return 0;
}
