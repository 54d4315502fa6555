/* debug.c - the stream behind --debug: whole lines, secrets masked.
 * The HTTP client writes in pieces and masks its own Authorization header;
 * secrets in bodies (a new token, a join token) are masked here, and nothing
 * that came from elsewhere can steer the terminal. */
#include <config.h>

#include <string.h>

#include "cli/cli.h"
#include "cli/text.h"
#include "common/fs.h"
#include "common/mem.h"

#define LINE_MAX_BYTES 8192

struct debug {
    int fd;
    char *token;
    struct buf line;
};

/* The length of a secret that begins at p, or 0. */
static size_t
secret_at(const char *p, const char *end, const char *token)
{
    size_t n = token ? strlen(token) : 0;

    if (n && (size_t)(end - p) >= n && memcmp(p, token, n) == 0)
        return n;
    return 0;
}

/* The length of `"token":"` or `"secret":"` with any blanks, when one begins at
 * p; else 0. */
static size_t
secret_key_at(const char *p, const char *end)
{
    static const char *const keys[] = {"\"token\"", "\"secret\""};

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        size_t n = strlen(keys[i]);
        const char *q = p + n;

        if ((size_t)(end - p) <= n || memcmp(p, keys[i], n) != 0)
            continue;
        while (q < end && (*q == ' ' || *q == ':'))
            q++;
        return q < end && *q == '"' ? (size_t)(q + 1 - p) : 0;
    }
    return 0;
}

void
cli_debug_mask(const char *line, size_t len, const char *token, struct buf *out)
{
    const char *p = line, *end = line + len;

    while (p < end) {
        size_t n = secret_at(p, end, token);

        if (n) {
            buf_adds(out, "***");
            p += n;
            continue;
        }
        n = secret_key_at(p, end);
        if (!n) {
            buf_addc(out, *p++);
            continue;
        }
        buf_add(out, p, n);
        buf_adds(out, "***");
        for (p += n; p < end && *p != '"';)
            p++;
    }
}

static void
flush_line(struct debug *d)
{
    struct buf masked _cleanup_(buf_release) = {0};
    struct buf clean _cleanup_(buf_release) = {0};
    size_t n = d->line.len;

    while (n && (d->line.data[n - 1] == '\n' || d->line.data[n - 1] == '\r'))
        n--;
    cli_debug_mask(buf_str(&d->line), n, d->token, &masked);
    text_clean(buf_str(&masked), &clean);
    buf_addc(&clean, '\n');
    /* Nothing can be told where telling itself fails. */
    (void)!fs_write_all(d->fd, clean.data, clean.len);
    buf_clear(&d->line);
}

static ssize_t
debug_write(void *cookie, const char *data, size_t n)
{
    struct debug *d = cookie;

    for (size_t i = 0; i < n; i++) {
        buf_addc(&d->line, data[i] ? data[i] : '?');
        if (data[i] == '\n' || d->line.len >= LINE_MAX_BYTES)
            flush_line(d);
    }
    return (ssize_t)n;
}

static int
debug_close(void *cookie)
{
    struct debug *d = cookie;

    if (d->line.len)
        flush_line(d);
    buf_release(&d->line);
    free(d->token);
    free(d);
    return 0;
}

FILE *
cli_debug_open(int fd, const char *token)
{
    static const cookie_io_functions_t io = {.write = debug_write,
                                             .close = debug_close};
    struct debug *d = xnew(struct debug);
    FILE *f;

    d->fd = fd;
    d->token = xstrdup(token);
    f = fopencookie(d, "w", io);
    if (!f)
        abort();                 /* out of memory */
    setvbuf(f, NULL, _IONBF, 0); /* lines are put together here */
    return f;
}
