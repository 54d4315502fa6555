/* common/buf.h - a growing byte buffer, always NUL-terminated.
 * Role:      building text and holding bodies.
 * Ownership: the buffer owns data; buf_take() hands it to the caller.
 * Threads:   one owner at a time.
 * Errors:    growth aborts on out-of-memory; what a peer sends is capped by
 *            the caller first. */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

struct buf {
    char *data; /* NULL while empty */
    size_t len, cap;
};

void buf_release(struct buf *b);
/* Empties but keeps the allocation. */
void buf_clear(struct buf *b);
/* Makes room for n more bytes and returns where they go. */
char *buf_reserve(struct buf *b, size_t n);
void buf_add(struct buf *b, const void *data, size_t n);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_addi(struct buf *b, int64_t n); /* in decimal */
void buf_addf(struct buf *b, const char *fmt, ...) _printf_(2, 3);
void buf_vaddf(struct buf *b, const char *fmt, va_list ap);
/* Drops the first n bytes. */
void buf_consume(struct buf *b, size_t n);
/* The text, never NULL. Owned by the buffer. */
const char *buf_str(const struct buf *b);
/* Hands the text to the caller, who frees it. Never NULL. */
char *buf_take(struct buf *b) _must_check_;

#endif
