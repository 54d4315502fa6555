/* format_yaml.c - results as YAML 1.2; see format.h. */
#include <config.h>

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "cli/format.h"
#include "cli/text.h"
#include "common/mem.h"

/* Plain only where no YAML reader, old or new, can take it for anything but a
 * string: letters first, then a few harmless characters, and no word with a
 * meaning of its own (YAML 1.1 has many). */
static bool
is_plain(const char *s)
{
    static const char *const words[] = {"null", "true", "false", "yes",
                                        "no",   "on",   "off",   "y",
                                        "n",    "nan",  "inf"};

    if (!isalpha((unsigned char)*s))
        return false;
    for (const char *p = s; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("_-./", *p))
            return false;
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strcasecmp(s, words[i]) == 0)
            return false;
    return true;
}

void
format_yaml_string(const char *s, struct buf *out)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t left = strlen(s);

    if (is_plain(s)) {
        buf_adds(out, s);
        return;
    }
    buf_addc(out, '"');
    while (left) {
        int len = text_utf8(p, left);

        if (len <= 0) {
            buf_adds(out, "\\uFFFD");
            len = 1;
        } else if (*p == '"' || *p == '\\') {
            buf_addf(out, "\\%c", *p);
        } else if (*p == '\n') {
            buf_adds(out, "\\n");
        } else if (*p == '\t') {
            buf_adds(out, "\\t");
        } else if (*p < 0x20 || *p == 0x7f) {
            buf_addf(out, "\\x%02X", *p);
        } else if (len == 2 && p[0] == 0xc2 && p[1] < 0xa0) {
            buf_addf(out, "\\x%02X", p[1]); /* C1, U+0085 is a line break */
        } else if (len == 3 && p[0] == 0xe2 && p[1] == 0x80 &&
                   (p[2] == 0xa8 || p[2] == 0xa9)) {
            buf_addf(out, "\\u20%02X", p[2] - 0x80); /* line separators */
        } else if (len == 3 && p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf) {
            buf_adds(out, "\\uFEFF"); /* byte order mark */
        } else {
            buf_add(out, p, (size_t)len);
        }
        p += len;
        left -= (size_t)len;
    }
    buf_addc(out, '"');
}

static void add_object(const struct codec_table *t, const void *obj, int indent,
                       bool in_item, struct buf *out);

static void
add_items(const struct codec_table *t, const struct codec_list *l, int indent,
          struct buf *out)
{
    for (size_t i = 0; i < l->n; i++) {
        buf_addf(out, "%*s- ", indent, "");
        add_object(t, (const char *)l->items + i * t->size, indent + 2, true,
                   out);
    }
}

/* Behind "name:": a scalar, or what follows on lines of its own. */
static void
add_value(const struct codec_field *f, const void *obj, int indent,
          struct buf *out)
{
    const char *at = (const char *)obj + f->offset;
    const struct codec_list *l = (const void *)at;
    struct buf text _cleanup_(buf_release) = {0};

    switch (f->type) {
    case CODEC_OBJECT:
        if (!*(void *const *)at) {
            buf_adds(out, " null\n");
            return;
        }
        buf_addc(out, '\n');
        add_object(f->sub, *(void *const *)at, indent + 2, false, out);
        return;
    case CODEC_LIST:
        buf_adds(out, l->n ? "\n" : " []\n");
        add_items(f->sub, l, indent, out);
        return;
    case CODEC_INTS:
        buf_adds(out, l->n ? "\n" : " []\n");
        for (size_t i = 0; i < l->n; i++)
            buf_addf(out, "%*s- %lld\n", indent, "",
                     (long long)((const int64_t *)l->items)[i]);
        return;
    case CODEC_STRINGS:
        buf_adds(out, l->n ? "\n" : " []\n");
        for (size_t i = 0; i < l->n; i++) {
            buf_addf(out, "%*s- ", indent, "");
            format_yaml_string(((char *const *)l->items)[i], out);
            buf_addc(out, '\n');
        }
        return;
    default:
        break;
    }
    buf_addc(out, ' ');
    if (!codec_field_text(f, obj, &text))
        buf_adds(out, "null");
    else if (f->type == CODEC_INT || f->type == CODEC_BOOL)
        buf_adds(out, buf_str(&text));
    else
        format_yaml_string(buf_str(&text), out);
    buf_addc(out, '\n');
}

/* The same emptiness by which the server leaves fields out. */
static bool
is_left_out(const struct codec_field *f, const void *obj)
{
    const char *at = (const char *)obj + f->offset;

    if (!(f->flags & CODEC_OMIT))
        return false;
    switch (f->type) {
    case CODEC_INT:
    case CODEC_TIME:
        return *(const int64_t *)at == 0;
    case CODEC_BOOL:
        return !*(const bool *)at;
    case CODEC_ENUM:
        return *(const int *)at == 0;
    case CODEC_LIST:
    case CODEC_STRINGS:
    case CODEC_INTS:
        return ((const struct codec_list *)(const void *)at)->n == 0;
    default:
        return !*(void *const *)at;
    }
}

static void
add_object(const struct codec_table *t, const void *obj, int indent,
           bool in_item, struct buf *out)
{
    bool first = true;

    for (size_t i = 0; i < t->n_fields; i++) {
        const struct codec_field *f = &t->fields[i];

        if (is_left_out(f, obj))
            continue;
        /* "- " already stands where the first field of an item begins. */
        if (!first || !in_item)
            buf_addf(out, "%*s", indent, "");
        first = false;
        format_yaml_string(f->name, out);
        buf_addc(out, ':');
        add_value(f, obj, indent, out);
    }
    if (first)
        buf_adds(out, "{}\n");
}

void
format_yaml(const struct codec_table *t, const void *obj, struct buf *out)
{
    add_object(t, obj, 0, false, out);
}

void
format_yaml_list(const struct codec_table *t, const struct codec_list *items,
                 struct buf *out)
{
    if (!items->n)
        buf_adds(out, "[]\n");
    add_items(t, items, 0, out);
}
