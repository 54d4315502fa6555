/* cli/text.h - foreign bytes made harmless for a terminal.
 * Role:      pure. text_clean() is for single words and lines of ours that
 *            quote others; text_filter is for a stream from a guest.
 * Ownership: outputs are appended to the caller's buffer.
 * Threads:   one owner for each filter.   Errors: none.
 * Source:    ECMA-48 (control functions), RFC 3629 (UTF-8). */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stddef.h>

#include "common/buf.h"

/* Control characters (C0, DEL, C1) become '?', bytes that are no UTF-8
 * become U+FFFD. */
void text_clean(const char *s, struct buf *out);
/* Code points: what a line of text takes on a terminal, near enough for
 * names, ids and numbers. */
size_t text_width(const char *s);
/* Bytes of the character at s (1 to 4), 0 when it is not UTF-8, or -EAGAIN
 * when n bytes are only its beginning. */
int text_utf8(const unsigned char *s, size_t n);

enum text_state {
    TEXT_GROUND,
    TEXT_ESCAPE,        /* after ESC */
    TEXT_CONTROL,       /* CSI … final byte */
    TEXT_STRING,        /* OSC, DCS, APC, PM, SOS … until BEL or ST */
    TEXT_STRING_ESCAPE, /* ESC inside one: perhaps the ST */
};

/* Zeroed at the start of a stream; remembers what a chunk left unfinished. */
struct text_filter {
    enum text_state state;
    size_t string_len;     /* so that one without an end cannot hide the rest */
    unsigned char part[4]; /* of a character */
    size_t n_part;
};

/* Keeps newline, tab, carriage return and printable UTF-8; drops escape
 * sequences and every other control character. */
void text_filter(struct text_filter *f, const void *data, size_t n,
                 struct buf *out);

#endif
