/* common/mem.h - allocation that cannot fail, for small fixed sizes.
 * Role:      sizes chosen by our own code; the process aborts when memory is
 *            out. Anything sized by a peer uses malloc and a cap instead.
 * Ownership: the caller frees with free().
 * Threads:   reentrant.   Errors: none (abort). */
#ifndef COMMON_MEM_H
#define COMMON_MEM_H

#include <stddef.h>

#include "common/cleanup.h"

void *xmalloc(size_t size) _must_check_;
void *xcalloc(size_t n, size_t size) _must_check_;
void *xrealloc(void *p, size_t size) _must_check_;
/* NULL gives NULL. */
char *xstrdup(const char *s) _must_check_;
char *xstrndup(const char *s, size_t n) _must_check_;
char *xasprintf(const char *fmt, ...) _printf_(1, 2) _must_check_;

/* Replaces *p by a copy of s (NULL clears it). */
void xstrset(char **p, const char *s);

/* strcmp()==0 where NULL equals only NULL. */
int streq(const char *a, const char *b);

#define xnew(T) ((T *)xcalloc(1, sizeof(T)))

#endif
