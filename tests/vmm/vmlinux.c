/* vmlinux.c - takes the ELF kernel out of a bzImage, for tests of ELF boot.
 *
 *   vmlinux BZIMAGE OUT
 *
 * Understands what Debian's cloud kernel uses: LZ4 in its legacy framing
 * (magic, then blocks of "size, data", 8 MiB each when unpacked). Any other
 * compression is exit status 77: the test is skipped. It also knows the raw
 * LZ4 block format, by its public description (lz4_Block_format.md). */
#include <config.h>

#include <fcntl.h>
#include <stdint.h>
#include <string.h>

#include "common/buf.h"
#include "common/fs.h"

#define BLOCK (8u << 20)
#define MAGIC 0x184c2102u
#define FILE_MAX (256u << 20)

static uint32_t
le32(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

/* A length nibble of 15 goes on in bytes until one is not 255. */
static int
more(const unsigned char **in, const unsigned char *end, size_t *n)
{
    unsigned char c;

    if (*n != 15)
        return 0;
    do {
        if (*in == end)
            return -1;
        c = *(*in)++;
        *n += c;
    } while (c == 255);
    return 0;
}

/* One block; the number of bytes made, or -1. */
static ssize_t
unpack(const unsigned char *in, size_t n_in, unsigned char *out, size_t cap)
{
    const unsigned char *end = in + n_in;
    size_t at = 0;

    while (in < end) {
        unsigned char token = *in++;
        size_t literals = token >> 4, match = token & 15, offset;

        if (more(&in, end, &literals) < 0 || literals > (size_t)(end - in) ||
            literals > cap - at)
            return -1;
        memcpy(out + at, in, literals);
        in += literals;
        at += literals;
        if (in == end)
            break; /* the last sequence has no match */
        if (end - in < 2)
            return -1;
        offset = in[0] | (size_t)in[1] << 8;
        in += 2;
        if (more(&in, end, &match) < 0)
            return -1;
        match += 4;
        if (offset == 0 || offset > at || match > cap - at)
            return -1;
        for (; match > 0; match--, at++) /* may overlap itself */
            out[at] = out[at - offset];
    }
    return (ssize_t)at;
}

static int
unpack_all(const unsigned char *p, size_t n, int fd)
{
    unsigned char *out _cleanup_(freep) = malloc(BLOCK);
    size_t at = 4;

    if (!out)
        return -1;
    while (n - at >= 4) {
        size_t size = le32(p + at);
        ssize_t made;

        at += 4;
        /* The kernel's build appends the unpacked size: no block follows. */
        if (size > n - at)
            return 0;
        made = unpack(p + at, size, out, BLOCK);
        if (made < 0 || fs_write_all(fd, out, (size_t)made) < 0)
            return -1;
        at += size;
    }
    return 0;
}

int
main(int argc, char **argv)
{
    struct buf b _cleanup_(buf_release) = {0};
    struct err e = {0};
    const unsigned char *p;
    size_t setup, offset, length;
    int fd _cleanup_(closep) = -1;

    if (argc != 3)
        return 2;
    if (fs_read(argv[1], FILE_MAX, &b, &e) < 0) {
        fprintf(stderr, "vmlinux: %s\n", e.message);
        return 1;
    }
    p = (const unsigned char *)b.data;
    if (b.len < 0x260)
        return 1;
    setup = (p[0x1f1] + 1u) * 512;
    offset = le32(p + 0x248);
    length = le32(p + 0x24c);
    if (setup + offset > b.len || length > b.len - setup - offset || length < 8)
        return 1;
    p += setup + offset;
    if (le32(p) != MAGIC) {
        fprintf(stderr, "vmlinux: not compressed with LZ4\n");
        return 77;
    }
    fd = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || unpack_all(p, length, fd) < 0) {
        fprintf(stderr, "vmlinux: cannot unpack %s\n", argv[1]);
        return 1;
    }
    return 0;
}
