/* common/err.h - an error that a person or a program must be able to read.
 * Role:      `struct err *reterr` comes last where a bare errno is not
 *            enough: a stable code word, the field at fault (JSON pointer,
 *            RFC 6901), and a sentence that says what to do.
 * Ownership: the caller owns the struct; err_release() frees the details.
 *            NULL is accepted everywhere and records nothing.
 * Threads:   one owner at a time.
 * Errors:    err_set() returns its number, so `return err_set(...)` works. */
#ifndef COMMON_ERR_H
#define COMMON_ERR_H

#include <stddef.h>

#include "common/cleanup.h"

struct err_detail {
    char *pointer; /* "/name"; "" is the whole document */
    char code[40];
    char *message;
};

struct err {
    int number;        /* negative errno; 0 while unset */
    char code[40];     /* "name_taken"; stable, for programs */
    char message[400]; /* for people */
    struct err_detail *details;
    size_t n_details; /* capped at ERR_MAX_DETAILS */
};

#define ERR_MAX_DETAILS 32

void err_release(struct err *e);
/* Sets number, code and message (earlier details stay). Returns number. */
int err_set(struct err *e, int number, const char *code, const char *fmt, ...)
    _printf_(4, 5);
/* Adds one field's fault; the first also sets number, code "invalid" and a
 * message that names the field. Returns -EINVAL. */
int err_field(struct err *e, const char *pointer, const char *code,
              const char *fmt, ...) _printf_(4, 5);
/* Sets from errno: "<what>: <strerror>", code from the number. */
int err_errno(struct err *e, int number, const char *what, ...) _printf_(3, 4);
/* Puts "<prefix>: " before the message. */
void err_prefix(struct err *e, const char *fmt, ...) _printf_(2, 3);
/* Moves src into dst (dst's old contents are released). */
void err_move(struct err *dst, struct err *src);

#endif
