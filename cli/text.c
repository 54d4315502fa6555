/* text.c - foreign bytes made harmless for a terminal; see text.h. */
#include <config.h>

#include "cli/text.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
#define ESC 0x1b
#define STRING_MAX 4096

int
text_utf8(const unsigned char *s, size_t n)
{
    /* RFC 3629 section 4: the second byte's range depends on the first. */
    unsigned char low = 0x80, high = 0xbf;
    int len;

    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    len = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (s[0] == 0xe0)
        low = 0xa0;
    else if (s[0] == 0xed)
        high = 0x9f;
    else if (s[0] == 0xf0)
        low = 0x90;
    else if (s[0] == 0xf4)
        high = 0x8f;
    for (int i = 1; i < len; i++) {
        if ((size_t)i >= n)
            return -EAGAIN;
        if (s[i] < low || s[i] > high)
            return 0;
        low = 0x80;
        high = 0xbf;
    }
    return len;
}

/* C1 controls are U+0080 to U+009F: terminals may obey them like ESC. */
static bool
is_c1(const unsigned char *s, int len)
{
    return len == 2 && s[0] == 0xc2 && s[1] < 0xa0;
}

void
text_clean(const char *s, struct buf *out)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t left = strlen(s);

    while (left) {
        int len = text_utf8(p, left);

        if (len <= 0) {
            buf_adds(out, REPLACEMENT);
            len = 1;
        } else if ((len == 1 && (*p < 0x20 || *p == 0x7f)) || is_c1(p, len)) {
            buf_addc(out, '?');
        } else {
            buf_add(out, p, (size_t)len);
        }
        p += len;
        left -= (size_t)len;
    }
}

size_t
text_width(const char *s)
{
    size_t n = 0;

    for (; *s; s++)
        if (((unsigned char)*s & 0xc0) != 0x80)
            n++;
    return n;
}

/* A byte in ground state: part of a character, or the start of a sequence. */
static void
ground(struct text_filter *f, unsigned char c, struct buf *out)
{
    int len;

    f->part[f->n_part++] = c;
    len = text_utf8(f->part, f->n_part);
    if (len == -EAGAIN)
        return;
    if (len == 0) {
        bool again = f->n_part > 1; /* c may begin something valid */

        f->n_part = 0;
        buf_adds(out, REPLACEMENT);
        if (again)
            ground(f, c, out);
        return;
    }
    f->n_part = 0;
    if (len == 1 && c == ESC)
        f->state = TEXT_ESCAPE;
    else if (len == 1 && (c == '\n' || c == '\t' || c == '\r'))
        buf_addc(out, (char)c);
    else if ((len == 1 && (c < 0x20 || c == 0x7f)) || is_c1(f->part, len))
        return;
    else
        buf_add(out, f->part, (size_t)len);
}

/* After ESC. */
static void
escape(struct text_filter *f, unsigned char c, struct buf *out)
{
    if (c == '[') {
        f->state = TEXT_CONTROL;
    } else if (strchr("]PX^_", c) && c) {
        f->state = TEXT_STRING;
        f->string_len = 0;
    } else if (c >= 0x20 && c <= 0x2f) {
        return; /* intermediate bytes, the final one follows */
    } else if (c != ESC) {
        f->state = TEXT_GROUND;
        /* A newline here is no part of a sequence and must not be lost. */
        if (c < 0x20)
            ground(f, c, out);
    }
}

static void
one_byte(struct text_filter *f, unsigned char c, struct buf *out)
{
    switch (f->state) {
    case TEXT_GROUND:
        ground(f, c, out);
        break;
    case TEXT_ESCAPE:
        escape(f, c, out);
        break;
    case TEXT_CONTROL:
        if (c >= 0x40 && c <= 0x7e) {
            f->state = TEXT_GROUND;
        } else if (c < 0x20 || c > 0x7e) {
            f->state = TEXT_GROUND; /* broken off */
            ground(f, c, out);
        }
        break;
    case TEXT_STRING:
        f->string_len++;
        if (c == ESC) {
            f->state = TEXT_STRING_ESCAPE;
        } else if (c == '\n' || f->string_len > STRING_MAX) {
            f->state = TEXT_GROUND;
            ground(f, c, out);
        } else if (c == '\a' || c == 0x18 || c == 0x1a) {
            f->state = TEXT_GROUND;
        }
        break;
    case TEXT_STRING_ESCAPE:
        f->state = TEXT_GROUND;
        if (c != '\\')
            escape(f, c, out);
        break;
    }
}

void
text_filter(struct text_filter *f, const void *data, size_t n, struct buf *out)
{
    const unsigned char *p = data;

    for (size_t i = 0; i < n; i++)
        one_byte(f, p[i], out);
}
