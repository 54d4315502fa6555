/* format.c - results as text: tables and CSV; see format.h. */
#include <config.h>

#include "cli/format.h"

#include <ctype.h>
#include <string.h>

#include "cli/text.h"
#include "common/clock.h"
#include "common/mem.h"

#define GAP 2 /* blanks between columns */

void
format_size(int64_t bytes, struct buf *out)
{
    static const char units[] = "KMGTPE";
    uint64_t v = bytes < 0 ? (uint64_t)0 - (uint64_t)bytes : (uint64_t)bytes;
    unsigned shift = 0;

    if (bytes < 0)
        buf_addc(out, '-');
    while (shift < 60 && v >> shift >= 1024)
        shift += 10;
    if (shift == 0) {
        buf_addf(out, "%llu", (unsigned long long)v);
        return;
    }
    uint64_t whole = v >> shift, rest = v & ((UINT64_C(1) << shift) - 1);
    /* One digit behind the point, cut and not rounded: 1023.9M never shows
     * as the next unit. */
    unsigned tenth = (unsigned)((rest >> (shift - 10)) * 10 >> 10);

    if (tenth)
        buf_addf(out, "%llu.%u", (unsigned long long)whole, tenth);
    else
        buf_addf(out, "%llu", (unsigned long long)whole);
    buf_addc(out, units[shift / 10 - 1]);
}

void
format_time(int64_t us, struct buf *out)
{
    time_t s = (time_t)(us / US_PER_S - (us % US_PER_S < 0));
    char text[64];
    struct tm tm;

    if (localtime_r(&s, &tm) &&
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm))
        buf_adds(out, text);
    else
        buf_adds(out, clock_format(us, text));
}

/* "memory_bytes" is MEMORY where the value has its unit, "created_at" is
 * CREATED. */
static void
add_header(const struct codec_field *f, struct buf *out)
{
    size_t n = strlen(f->name);
    static const char bytes[] = "_bytes", at[] = "_at";

    if ((f->flags & CODEC_BYTES) && n > sizeof(bytes) - 1 &&
        streq(f->name + n - (sizeof(bytes) - 1), bytes))
        n -= sizeof(bytes) - 1;
    if (f->type == CODEC_TIME && n > sizeof(at) - 1 &&
        streq(f->name + n - (sizeof(at) - 1), at))
        n -= sizeof(at) - 1;
    for (size_t i = 0; i < n; i++)
        buf_addc(out, (char)toupper((unsigned char)f->name[i]));
}

/* A field for people. False when there is nothing to show. */
static bool
add_cell(const struct codec_field *f, const void *obj, struct buf *out)
{
    const char *at = (const char *)obj + f->offset;
    struct buf text _cleanup_(buf_release) = {0};

    if (f->type == CODEC_INT && (f->flags & CODEC_BYTES)) {
        format_size(*(const int64_t *)at, out);
        return true;
    }
    if (f->type == CODEC_TIME) {
        if (*(const int64_t *)at)
            format_time(*(const int64_t *)at, out);
        return *(const int64_t *)at != 0;
    }
    if (f->type == CODEC_BOOL) {
        buf_adds(out, *(const bool *)at ? "yes" : "no");
        return true;
    }
    if (!codec_field_text(f, obj, &text) || !text.len)
        return false;
    text_clean(buf_str(&text), out);
    return true;
}

static void
add_padding(struct buf *out, size_t n)
{
    while (n--)
        buf_addc(out, ' ');
}

/* One line of cells; the last is not padded. */
static void
add_row(const struct codec_field *const *fields, char *const *cells,
        const size_t *widths, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        size_t pad = widths[i] - text_width(cells[i]);
        bool right =
            fields[i]->type == CODEC_INT || fields[i]->type == CODEC_DECIMAL;

        if (right)
            add_padding(out, pad);
        buf_adds(out, cells[i]);
        if (i + 1 == n)
            break;
        add_padding(out, (right ? 0 : pad) + GAP);
    }
    buf_addc(out, '\n');
}

void
format_table(const struct codec_table *t, const struct codec_list *items,
             struct buf *out)
{
    const struct codec_field **cols =
        xcalloc(t->n_fields, sizeof(const struct codec_field *));
    size_t *widths = xcalloc(t->n_fields, sizeof(size_t));
    size_t n = 0, rows = items->n + 1;
    char **cells;

    for (size_t i = 0; i < t->n_fields; i++)
        if ((t->fields[i].flags & CODEC_COL) &&
            t->fields[i].type != CODEC_LIST &&
            t->fields[i].type != CODEC_OBJECT)
            cols[n++] = &t->fields[i];
    cells = xcalloc(rows * n + 1, sizeof(*cells));
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < n; i++) {
            struct buf b = {0};

            if (r == 0)
                add_header(cols[i], &b);
            else if (!add_cell(cols[i],
                               (const char *)items->items + (r - 1) * t->size,
                               &b))
                buf_addc(&b, '-');
            widths[i] = MAX(widths[i], text_width(buf_str(&b)));
            cells[r * n + i] = buf_take(&b);
        }
    }
    for (size_t r = 0; r < rows; r++)
        add_row(cols, cells + r * n, widths, n, out);
    for (size_t i = 0; i < rows * n; i++)
        free(cells[i]);
    free(cells);
    free(widths);
    free(cols);
}

/* ---- sheet ---- */

/* Field names down to one level are as wide as this or less. */
static size_t
name_width(const struct codec_table *t, size_t prefix)
{
    size_t w = 0;

    for (size_t i = 0; i < t->n_fields; i++) {
        const struct codec_field *f = &t->fields[i];

        w = MAX(w, prefix + strlen(f->name));
        if (f->type == CODEC_OBJECT)
            w = MAX(w, name_width(f->sub, strlen(f->name) + 1));
    }
    return w;
}

/* "name:" and blanks up to where values begin; only blanks without a name. */
static void
add_label(const char *prefix, const char *name, size_t width, struct buf *out)
{
    size_t have = *name ? strlen(prefix) + strlen(name) + 1 : 0;

    if (*name)
        buf_addf(out, "%s%s:", prefix, name);
    add_padding(out, width + 2 > have ? width + 2 - have : 1);
}

/* One list item in one line: its columns, separated by blanks. */
static void
add_item(const struct codec_table *t, const void *obj, struct buf *out)
{
    bool first = true;

    for (size_t i = 0; i < t->n_fields; i++) {
        struct buf cell _cleanup_(buf_release) = {0};

        if (!(t->fields[i].flags & CODEC_COL) ||
            !add_cell(&t->fields[i], obj, &cell))
            continue;
        buf_addf(out, "%s%s", first ? "" : " ", buf_str(&cell));
        first = false;
    }
    buf_addc(out, '\n');
}

static void
add_sheet(const struct codec_table *t, const void *obj, const char *prefix,
          size_t width, struct buf *out)
{
    for (size_t i = 0; i < t->n_fields; i++) {
        const struct codec_field *f = &t->fields[i];
        const char *at = (const char *)obj + f->offset;
        struct buf cell _cleanup_(buf_release) = {0};

        if (f->type == CODEC_OBJECT) {
            char *sub _cleanup_(freep) = xasprintf("%s%s.", prefix, f->name);

            if (*(void *const *)at)
                add_sheet(f->sub, *(void *const *)at, sub, width, out);
        } else if (f->type == CODEC_LIST) {
            const struct codec_list *l = (const void *)at;

            for (size_t k = 0; k < l->n; k++) {
                add_label(prefix, k ? "" : f->name, width, out);
                add_item(f->sub, (char *)l->items + k * f->sub->size, out);
            }
        } else if (add_cell(f, obj, &cell)) {
            add_label(prefix, f->name, width, out);
            buf_addf(out, "%s\n", buf_str(&cell));
        }
    }
}

void
format_sheet(const struct codec_table *t, const void *obj, struct buf *out)
{
    add_sheet(t, obj, "", name_width(t, 0), out);
}

/* ---- CSV ---- */

void
format_csv_cell(const char *s, struct buf *out)
{
    if (!s[strcspn(s, ",\"\r\n")] && *s != ' ' &&
        (!*s || s[strlen(s) - 1] != ' ')) {
        buf_adds(out, s);
        return;
    }
    buf_addc(out, '"');
    for (; *s; s++) {
        if (*s == '"')
            buf_addc(out, '"');
        buf_addc(out, *s);
    }
    buf_addc(out, '"');
}

static bool
fits_cell(const struct codec_field *f)
{
    return f->type != CODEC_LIST && f->type != CODEC_OBJECT;
}

void
format_csv(const struct codec_table *t, const struct codec_list *items,
           struct buf *out)
{
    for (size_t r = 0; r <= items->n; r++) {
        bool first = true;

        for (size_t i = 0; i < t->n_fields; i++) {
            const struct codec_field *f = &t->fields[i];
            struct buf text _cleanup_(buf_release) = {0};

            if (!fits_cell(f))
                continue;
            if (!first)
                buf_addc(out, ',');
            first = false;
            if (r == 0)
                buf_adds(&text, f->name);
            else
                codec_field_text(
                    f, (const char *)items->items + (r - 1) * t->size, &text);
            format_csv_cell(buf_str(&text), out);
        }
        buf_adds(out, "\r\n"); /* RFC 4180 section 2 */
    }
}
