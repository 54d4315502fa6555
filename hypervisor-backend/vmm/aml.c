/* aml.c - ACPI machine language; see aml.h. Section numbers are ACPI 6.4's. */
#include <config.h>

#include "hypervisor-backend/vmm/aml.h"

#include <assert.h>
#include <string.h>

/* Every package length is written in three bytes (20.2.4): twenty bits, so
 * that its place can be kept before the length is known. */
#define LENGTH_BYTES 3

static void
put_le(struct buf *b, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_addc(b, (char)(v >> (8 * i)));
}

void
aml_integer(struct buf *b, uint64_t v)
{
    if (v <= 1) {
        buf_addc(b, (char)v); /* ZeroOp, OneOp */
    } else if (v <= 0xff) {
        buf_addc(b, 0x0a);
        put_le(b, v, 1);
    } else if (v <= 0xffff) {
        buf_addc(b, 0x0b);
        put_le(b, v, 2);
    } else if (v <= 0xffffffff) {
        buf_addc(b, 0x0c);
        put_le(b, v, 4);
    } else {
        buf_addc(b, 0x0e);
        put_le(b, v, 8);
    }
}

void
aml_string(struct buf *b, const char *s)
{
    buf_addc(b, 0x0d);
    buf_add(b, s, strlen(s) + 1);
}

static unsigned
hex_digit(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'A' + 10);
}

void
aml_eisa_id(struct buf *b, const char *id)
{
    uint32_t v;

    assert(strlen(id) == 7);
    v = ((unsigned)(id[0] - 0x40) << 26) | ((unsigned)(id[1] - 0x40) << 21) |
        ((unsigned)(id[2] - 0x40) << 16) | (hex_digit(id[3]) << 12) |
        (hex_digit(id[4]) << 8) | (hex_digit(id[5]) << 4) | hex_digit(id[6]);
    buf_addc(b, 0x0c);
    put_le(b, __builtin_bswap32(v), 4); /* most significant byte first */
}

static void
name_seg(struct buf *b, const char *name)
{
    if (*name == '\\')
        buf_addc(b, *name++);
    assert(strlen(name) == 4);
    buf_add(b, name, 4);
}

void
aml_name(struct buf *b, const char name[4])
{
    buf_addc(b, 0x08);
    name_seg(b, name);
}

static size_t
begin(struct buf *b)
{
    size_t at = b->len;

    buf_add(b, "\0\0\0", LENGTH_BYTES);
    return at;
}

void
aml_end(struct buf *b, size_t at)
{
    size_t n = b->len - at; /* counts the length's own bytes */

    assert(n < 1u << 20);
    b->data[at] = (char)((LENGTH_BYTES - 1) << 6 | (n & 0xf));
    b->data[at + 1] = (char)(n >> 4);
    b->data[at + 2] = (char)(n >> 12);
}

size_t
aml_begin_scope(struct buf *b, const char *name)
{
    size_t at;

    buf_addc(b, 0x10);
    at = begin(b);
    name_seg(b, name);
    return at;
}

size_t
aml_begin_device(struct buf *b, const char name[4])
{
    size_t at;

    buf_add(b, "\x5b\x82", 2);
    at = begin(b);
    name_seg(b, name);
    return at;
}

size_t
aml_begin_package(struct buf *b, uint8_t n_elements)
{
    size_t at;

    buf_addc(b, 0x12);
    at = begin(b);
    buf_addc(b, (char)n_elements);
    return at;
}

size_t
aml_begin_method(struct buf *b, const char name[4], unsigned args,
                 bool serialized)
{
    size_t at;

    assert(args <= 7);
    buf_addc(b, 0x14);
    at = begin(b);
    name_seg(b, name);
    buf_addc(b, (char)(args | (serialized ? 0x08 : 0)));
    return at;
}

size_t
aml_begin_if(struct buf *b)
{
    buf_addc(b, (char)0xa0);
    return begin(b);
}

/* 20.2.2: one, two or counted name segments. */
void
aml_path(struct buf *b, const char *path)
{
    size_t n;

    if (*path == '\\')
        buf_addc(b, *path++);
    n = (strlen(path) + 1) / 5;
    assert(n >= 1 && n <= 255 && strlen(path) == 5 * n - 1);
    if (n == 2) {
        buf_addc(b, 0x2e);
    } else if (n > 2) {
        buf_addc(b, 0x2f);
        buf_addc(b, (char)n);
    }
    for (size_t i = 0; i < n; i++)
        buf_add(b, path + 5 * i, 4);
}

void
aml_local(struct buf *b, unsigned n)
{
    assert(n < 8);
    buf_addc(b, (char)(0x60 + n));
}

void
aml_store(struct buf *b)
{
    buf_addc(b, 0x70);
}

/* 20.2.5.4: the third operand, where to keep the result, is nowhere. */
void
aml_local_and(struct buf *b, unsigned n, uint64_t mask)
{
    buf_addc(b, 0x7b);
    aml_local(b, n);
    aml_integer(b, mask);
    buf_addc(b, 0);
}

void
aml_notify(struct buf *b)
{
    buf_addc(b, (char)0x86);
}

/* 20.2.5.2 */
void
aml_port_region(struct buf *b, const char name[4], uint16_t base, uint8_t len)
{
    buf_add(b, "\x5b\x80", 2);
    name_seg(b, name);
    buf_addc(b, 1); /* SystemIO */
    aml_integer(b, base);
    aml_integer(b, len);
}

void
aml_dword_fields(struct buf *b, const char region[4], const char *names)
{
    size_t at;

    assert(strlen(names) % 4 == 0);
    buf_add(b, "\x5b\x81", 2);
    at = begin(b);
    name_seg(b, region);
    buf_addc(b, 0x43); /* by 32 bits, no lock, other bits written as zero */
    for (; *names; names += 4) {
        buf_add(b, names, 4);
        buf_addc(b, 32); /* bits, as a length of one byte */
    }
    aml_end(b, at);
}

/* 6.4.2.5: sixteen bits decoded, fixed place. */
void
aml_crs_io(struct aml_crs *c, uint16_t base, uint8_t len)
{
    buf_add(&c->bytes, "\x47\x01", 2);
    put_le(&c->bytes, base, 2);
    put_le(&c->bytes, base, 2);
    buf_addc(&c->bytes, 1); /* alignment */
    buf_addc(&c->bytes, (char)len);
}

/* 6.4.2.1, without flags: edge, active high. */
void
aml_crs_irq(struct aml_crs *c, unsigned irq)
{
    buf_addc(&c->bytes, 0x22);
    put_le(&c->bytes, 1u << irq, 2);
}

/* 6.4.3.5: an address space that this device hands on to those below it. */
static void
window(struct aml_crs *c, uint8_t width, uint8_t kind, uint8_t kind_flags,
       uint32_t first, uint32_t last)
{
    buf_addc(&c->bytes, width == 2 ? (char)0x88 : (char)0x87);
    put_le(&c->bytes, 3 + 5u * width, 2);
    buf_addc(&c->bytes, (char)kind);
    buf_addc(&c->bytes, 0x0c); /* minimum and maximum fixed, producer */
    buf_addc(&c->bytes, (char)kind_flags);
    put_le(&c->bytes, 0, width); /* granularity */
    put_le(&c->bytes, first, width);
    put_le(&c->bytes, last, width);
    put_le(&c->bytes, 0, width); /* translation */
    put_le(&c->bytes, (uint64_t)last - first + 1, width);
}

void
aml_crs_bus_range(struct aml_crs *c, uint16_t first, uint16_t last)
{
    window(c, 2, 2, 0, first, last);
}

void
aml_crs_io_window(struct aml_crs *c, uint16_t first, uint16_t last)
{
    window(c, 2, 1, 3, first, last); /* entire range */
}

void
aml_crs_memory_window(struct aml_crs *c, uint32_t first, uint32_t last)
{
    window(c, 4, 0, 1, first, last); /* read and write, not cacheable */
}

void
aml_crs_end(struct buf *b, struct aml_crs *c)
{
    size_t at;

    buf_add(&c->bytes, "\x79\x00", 2); /* end tag, no checksum */
    buf_addc(b, 0x11);
    at = begin(b);
    aml_integer(b, c->bytes.len);
    buf_add(b, c->bytes.data, c->bytes.len);
    aml_end(b, at);
    buf_release(&c->bytes);
}
