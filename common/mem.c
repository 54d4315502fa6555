/* mem.c - allocation that aborts instead of failing; see mem.h. */
#include <config.h>

#include "common/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <string.h>

static void *
check(void *p)
{
    if (!p) {
        fputs("virga: out of memory\n", stderr);
        abort();
    }
    return p;
}

void *
xmalloc(size_t size)
{
    return check(malloc(size ? size : 1));
}

void *
xcalloc(size_t n, size_t size)
{
    return check(calloc(n ? n : 1, size ? size : 1));
}

void *
xrealloc(void *p, size_t size)
{
    return check(realloc(p, size ? size : 1));
}

char *
xstrdup(const char *s)
{
    return s ? check(strdup(s)) : NULL;
}

char *
xstrndup(const char *s, size_t n)
{
    return check(strndup(s, n));
}

char *
xasprintf(const char *fmt, ...)
{
    char *s = NULL;
    va_list ap;

    va_start(ap, fmt);
    int n = vasprintf(&s, fmt, ap);
    va_end(ap);
    return check(n < 0 ? NULL : s);
}

void
xstrset(char **p, const char *s)
{
    char *copy = xstrdup(s);

    free(*p);
    *p = copy;
}

int
streq(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}
