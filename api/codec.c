/* codec.c - walking a struct by its field table: encode, clear, text.
 * Encoding writes straight into the buffer: a list of 1,000 objects would
 * otherwise cost some 40,000 small allocations. Decoding (codec_decode.c) is
 * jansson's. */
#include <config.h>

#include "api/codec.h"

#include <string.h>

#include "common/clock.h"
#include "common/mem.h"

static const void *
at(const struct codec_field *f, const void *obj)
{
    return (const char *)obj + f->offset;
}

static const char *
string_at(const struct codec_field *f, const void *obj)
{
    return *(char *const *)at(f, obj);
}

static bool
is_string(enum codec_type t)
{
    return t == CODEC_STRING || t == CODEC_TEXT || t == CODEC_NAME ||
           t == CODEC_ID || t == CODEC_REF || t == CODEC_DECIMAL;
}

/* ---- clear ---- */

void
codec_strings_clear(struct codec_list *l)
{
    char **s = l->items;

    for (size_t i = 0; i < l->n; i++)
        free(s[i]);
    free(l->items);
    *l = (struct codec_list){0};
}

void
codec_labels_clear(struct codec_list *l)
{
    struct codec_label *a = l->items;

    for (size_t i = 0; i < l->n; i++) {
        free(a[i].key);
        free(a[i].value);
    }
    free(l->items);
    *l = (struct codec_list){0};
}

void
codec_list_clear(const struct codec_table *t, struct codec_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        codec_clear(t, (char *)l->items + i * t->size);
    free(l->items);
    *l = (struct codec_list){0};
}

void
codec_clear(const struct codec_table *t, void *obj)
{
    for (size_t i = 0; i < t->n_fields; i++) {
        const struct codec_field *f = &t->fields[i];
        void *p = (char *)obj + f->offset;

        if (is_string(f->type)) {
            freep(p);
        } else if (f->type == CODEC_OBJECT) {
            void **o = p;

            if (*o)
                codec_clear(f->sub, *o);
            freep(o);
        } else if (f->type == CODEC_LIST) {
            codec_list_clear(f->sub, p);
        } else if (f->type == CODEC_STRINGS) {
            codec_strings_clear(p);
        } else if (f->type == CODEC_INTS) {
            free(((struct codec_list *)p)->items);
        } else if (f->type == CODEC_LABELS) {
            codec_labels_clear(p);
        }
    }
    memset(obj, 0, t->size);
}

/* Room for n items grows in powers of two, so that n appends cost O(n). */
static void *
list_grow(struct codec_list *l, size_t size)
{
    if ((l->n & (l->n - 1)) == 0)
        l->items = xrealloc(l->items, (l->n ? 2 * l->n : 1) * size);
    void *item = (char *)l->items + l->n++ * size;
    memset(item, 0, size);
    return item;
}

void *
codec_list_add(const struct codec_table *t, struct codec_list *l)
{
    return list_grow(l, t->size);
}

void
codec_strings_add(struct codec_list *l, const char *s)
{
    *(char **)list_grow(l, sizeof(char *)) = xstrdup(s);
}

void
codec_ints_add(struct codec_list *l, int64_t v)
{
    *(int64_t *)list_grow(l, sizeof(v)) = v;
}

void
codec_labels_add(struct codec_list *l, const char *key, const char *value)
{
    struct codec_label *a = list_grow(l, sizeof(*a));

    a->key = xstrdup(key);
    a->value = xstrdup(value);
}

/* ---- encode ---- */

/* Length of the valid UTF-8 sequence at p (RFC 3629), 0 if there is none. */
static size_t
utf8_len(const unsigned char *p)
{
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        return (p[1] & 0xc0) == 0x80 ? 2 : 0;
    if (p[0] >= 0xe0 && p[0] <= 0xef) {
        if ((p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 ||
            (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f))
            return 0;
        return 3;
    }
    if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        if ((p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 ||
            (p[3] & 0xc0) != 0x80 || (p[0] == 0xf0 && p[1] < 0x90) ||
            (p[0] == 0xf4 && p[1] > 0x8f))
            return 0;
        return 4;
    }
    return 0;
}

void
codec_encode_string(const char *s, struct buf *out)
{
    const unsigned char *p = (const unsigned char *)s, *plain = p;

    buf_addc(out, '"');
    for (;;) {
        size_t n = *p ? utf8_len(p) : 0;

        if (n && *p >= 0x20 && *p != '"' && *p != '\\' && *p != 0x7f) {
            p += n;
            continue;
        }
        buf_add(out, plain, (size_t)(p - plain));
        if (!*p)
            break;
        if (*p == '"' || *p == '\\')
            buf_addf(out, "\\%c", *p);
        else if (*p == '\n')
            buf_adds(out, "\\n");
        else if (*p == '\t')
            buf_adds(out, "\\t");
        else if (*p == '\r')
            buf_adds(out, "\\r");
        else if (*p < 0x20 || *p == 0x7f)
            buf_addf(out, "\\u%04x", *p);
        else
            buf_adds(out, "\\ufffd");
        plain = ++p;
    }
    buf_addc(out, '"');
}

static bool
is_empty(const struct codec_field *f, const void *obj)
{
    if (is_string(f->type))
        return !string_at(f, obj);
    switch (f->type) {
    case CODEC_INT:
    case CODEC_TIME:
        return *(const int64_t *)at(f, obj) == 0;
    case CODEC_OBJECT:
        return !*(void *const *)at(f, obj);
    case CODEC_LIST:
    case CODEC_STRINGS:
    case CODEC_INTS:
    case CODEC_LABELS:
        return ((const struct codec_list *)at(f, obj))->n == 0;
    case CODEC_FLAG:
        return *(const int *)at(f, obj) < 0;
    case CODEC_BOOL:
        return !*(const bool *)at(f, obj);
    default:
        return false;
    }
}

/* What a request may leave out: absent it means the same. A number that has
 * a default is left out while 0, which then asks for that default. */
static bool
is_default(const struct codec_field *f, const void *obj)
{
    if (f->flags & CODEC_REQUIRED)
        return false;
    return is_empty(f, obj) && !(f->type == CODEC_BOOL && f->dflt);
}

static void encode_object(const struct codec_table *t, const void *obj,
                          bool request, struct buf *out);

static void
encode_list(const struct codec_field *f, const struct codec_list *l,
            bool request, struct buf *out)
{
    buf_addc(out, '[');
    for (size_t i = 0; i < l->n; i++) {
        if (i)
            buf_addc(out, ',');
        if (f->type == CODEC_STRINGS)
            codec_encode_string(((char **)l->items)[i], out);
        else if (f->type == CODEC_INTS)
            buf_addi(out, ((int64_t *)l->items)[i]);
        else
            encode_object(f->sub, (char *)l->items + i * f->sub->size, request,
                          out);
    }
    buf_addc(out, ']');
}

static void
encode_labels(const struct codec_list *l, struct buf *out)
{
    const struct codec_label *a = l->items;

    buf_addc(out, '{');
    for (size_t i = 0; i < l->n; i++) {
        if (i)
            buf_addc(out, ',');
        codec_encode_string(a[i].key, out);
        buf_addc(out, ':');
        codec_encode_string(a[i].value, out);
    }
    buf_addc(out, '}');
}

static void
encode_value(const struct codec_field *f, const void *obj, bool request,
             struct buf *out)
{
    char text[CLOCK_TEXT_MAX];

    if (is_string(f->type)) {
        const char *s = string_at(f, obj);

        if (s)
            codec_encode_string(s, out);
        else
            buf_adds(out, "null");
        return;
    }
    switch (f->type) {
    case CODEC_INT:
        buf_addi(out, *(const int64_t *)at(f, obj));
        break;
    case CODEC_BOOL:
        buf_adds(out, *(const bool *)at(f, obj) ? "true" : "false");
        break;
    case CODEC_TIME:
        if (*(const int64_t *)at(f, obj)) {
            buf_addc(out, '"');
            buf_adds(out, clock_format(*(const int64_t *)at(f, obj), text));
            buf_addc(out, '"');
        } else {
            buf_adds(out, "null");
        }
        break;
    case CODEC_FLAG:
        buf_adds(out, *(const int *)at(f, obj) > 0 ? "true" : "false");
        break;
    case CODEC_LABELS:
        encode_labels(at(f, obj), out);
        break;
    case CODEC_ENUM:
        codec_encode_string(f->names[*(const int *)at(f, obj)], out);
        break;
    case CODEC_OBJECT:
        if (*(void *const *)at(f, obj))
            encode_object(f->sub, *(void *const *)at(f, obj), request, out);
        else
            buf_adds(out, "null");
        break;
    default:
        encode_list(f, at(f, obj), request, out);
        break;
    }
}

static void
encode_object(const struct codec_table *t, const void *obj, bool request,
              struct buf *out)
{
    bool first = true;

    buf_addc(out, '{');
    for (size_t i = 0; i < t->n_fields; i++) {
        const struct codec_field *f = &t->fields[i];

        if (request && !(f->flags & CODEC_IN))
            continue;
        if (request ? is_default(f, obj)
                    : (f->flags & CODEC_OMIT) && is_empty(f, obj))
            continue;
        if (!first)
            buf_addc(out, ',');
        first = false;
        buf_addc(out, '"');
        buf_adds(out, f->name);
        buf_add(out, "\":", 2);
        encode_value(f, obj, request, out);
    }
    buf_addc(out, '}');
}

void
codec_encode(const struct codec_table *t, const void *obj, struct buf *out)
{
    encode_object(t, obj, false, out);
}

void
codec_encode_request(const struct codec_table *t, const void *obj,
                     struct buf *out)
{
    encode_object(t, obj, true, out);
}

/* ---- text ---- */

bool
codec_field_text(const struct codec_field *f, const void *obj, struct buf *out)
{
    char text[CLOCK_TEXT_MAX];

    if (f->type == CODEC_OBJECT || f->type == CODEC_LIST)
        return false;
    if (f->type == CODEC_STRINGS || f->type == CODEC_INTS) {
        const struct codec_list *l = at(f, obj);

        for (size_t i = 0; i < l->n; i++) {
            buf_adds(out, i ? "," : "");
            if (f->type == CODEC_STRINGS)
                buf_adds(out, ((char **)l->items)[i]);
            else
                buf_addf(out, "%lld", (long long)((int64_t *)l->items)[i]);
        }
        return l->n > 0;
    }
    if (f->type == CODEC_LABELS) {
        const struct codec_list *l = at(f, obj);
        const struct codec_label *a = l->items;

        for (size_t i = 0; i < l->n; i++)
            buf_addf(out, "%s%s=%s", i ? "," : "", a[i].key, a[i].value);
        return l->n > 0;
    }
    if (is_string(f->type)) {
        if (!string_at(f, obj))
            return false;
        buf_adds(out, string_at(f, obj));
    } else if (f->type == CODEC_INT) {
        buf_addf(out, "%lld", (long long)*(const int64_t *)at(f, obj));
    } else if (f->type == CODEC_BOOL) {
        buf_adds(out, *(const bool *)at(f, obj) ? "true" : "false");
    } else if (f->type == CODEC_FLAG) {
        if (*(const int *)at(f, obj) < 0)
            return false;
        buf_adds(out, *(const int *)at(f, obj) ? "true" : "false");
    } else if (f->type == CODEC_ENUM) {
        buf_adds(out, f->names[*(const int *)at(f, obj)]);
    } else {
        if (!*(const int64_t *)at(f, obj))
            return false;
        buf_adds(out, clock_format(*(const int64_t *)at(f, obj), text));
    }
    return true;
}

const struct codec_field *
codec_field_find(const struct codec_table *t, const char *name)
{
    for (size_t i = 0; i < t->n_fields; i++)
        if (strcmp(t->fields[i].name, name) == 0)
            return &t->fields[i];
    return NULL;
}

int
codec_enum_parse(const char *const *names, const char *s)
{
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], s) == 0)
            return i;
    return -EINVAL;
}
