/* err.c - readable errors; see err.h. */
#include <config.h>

#include "common/err.h"

#include <stdarg.h>
#include <string.h>

#include "common/buf.h"
#include "common/mem.h"

void
err_release(struct err *e)
{
    for (size_t i = 0; i < e->n_details; i++) {
        free(e->details[i].pointer);
        free(e->details[i].message);
    }
    free(e->details);
    *e = (struct err){0};
}

int
err_set(struct err *e, int number, const char *code, const char *fmt, ...)
{
    va_list ap;

    if (!e)
        return number;
    e->number = number;
    snprintf(e->code, sizeof(e->code), "%s", code);
    va_start(ap, fmt);
    vsnprintf(e->message, sizeof(e->message), fmt, ap);
    va_end(ap);
    return number;
}

int
err_field(struct err *e, const char *pointer, const char *code, const char *fmt,
          ...)
{
    char text[400];
    va_list ap;

    if (!e)
        return -EINVAL;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (!e->number)
        err_set(e, -EINVAL, "invalid", "%s: %s", *pointer ? pointer : "body",
                text);
    if (e->n_details >= ERR_MAX_DETAILS)
        return -EINVAL;
    e->details = xrealloc(e->details, (e->n_details + 1) * sizeof(*e->details));
    struct err_detail *d = &e->details[e->n_details++];
    d->pointer = xstrdup(pointer);
    snprintf(d->code, sizeof(d->code), "%s", code);
    d->message = xstrdup(text);
    return -EINVAL;
}

static const char *
code_of(int number)
{
    switch (-number) {
    case ENOSPC:
        return "no_space";
    case EACCES:
    case EPERM:
        return "permission_denied";
    case ENOENT:
        return "not_found";
    case EEXIST:
        return "exists";
    case EADDRINUSE:
        return "address_in_use";
    case ETIMEDOUT:
        return "timeout";
    case EINVAL:
        return "invalid";
    default:
        return "io_error";
    }
}

int
err_errno(struct err *e, int number, const char *what, ...)
{
    va_list ap;

    if (!e)
        return number;
    e->number = number;
    snprintf(e->code, sizeof(e->code), "%s", code_of(number));
    va_start(ap, what);
    int n = vsnprintf(e->message, sizeof(e->message), what, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(e->message))
        snprintf(e->message + n, sizeof(e->message) - (size_t)n, ": %s",
                 strerrordesc_np(-number) ? strerrordesc_np(-number)
                                          : "unknown error");
    return number;
}

void
err_prefix(struct err *e, const char *fmt, ...)
{
    struct buf b _cleanup_(buf_release) = {0};
    va_list ap;

    if (!e)
        return;
    va_start(ap, fmt);
    buf_vaddf(&b, fmt, ap);
    va_end(ap);
    buf_adds(&b, ": ");
    buf_adds(&b, e->message);
    size_t n = MIN(b.len, sizeof(e->message) - 1);
    memcpy(e->message, b.data, n);
    e->message[n] = '\0';
}

void
err_move(struct err *dst, struct err *src)
{
    if (!dst) {
        err_release(src);
        return;
    }
    err_release(dst);
    *dst = *src;
    *src = (struct err){0};
}
