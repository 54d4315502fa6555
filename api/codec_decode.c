/* codec_decode.c - JSON into structs with every fault named; see codec.h.
 * jansson checks syntax, UTF-8 and duplicate keys; the table checks the rest.
 * Depth is bounded by the tables: what a table does not name is not walked. */
#include <config.h>

#include "api/codec.h"

#include <ctype.h>
#include <jansson.h>
#include <string.h>

#include "common/clock.h"
#include "common/id.h"
#include "common/mem.h"

#define POINTER_MAX 200

static void
json_freep(json_t **j)
{
    json_decref(*j);
    *j = NULL;
}

/* RFC 6901 section 3: '~' is ~0 and '/' is ~1 in a pointer. */
static void
pointer_to(char out[POINTER_MAX], const char *base, const char *key)
{
    size_t n = strnlen(base, POINTER_MAX - 2);

    memcpy(out, base, n);
    out[n++] = '/';
    for (; *key && n + 3 < POINTER_MAX; key++) {
        if (*key == '~' || *key == '/') {
            out[n++] = '~';
            out[n++] = *key == '~' ? '0' : '1';
        } else {
            out[n++] = *key;
        }
    }
    out[MIN(n, (size_t)POINTER_MAX - 1)] = '\0';
}

static int
check_text(const char *s, bool multiline, const char *ptr, struct err *e)
{
    for (const unsigned char *p = (const unsigned char *)s; *p; p++)
        if ((*p < 0x20 && !(multiline && strchr("\n\t\r", *p))) || *p == 0x7f)
            return err_field(e, ptr, "control_character",
                             "holds a control character");
    return 0;
}

static bool
is_decimal(const char *s)
{
    if (*s == '-')
        s++;
    if (!isdigit((unsigned char)*s))
        return false;
    while (isdigit((unsigned char)*s))
        s++;
    if (*s == '.') {
        s++;
        if (!isdigit((unsigned char)*s))
            return false;
        while (isdigit((unsigned char)*s))
            s++;
    }
    return *s == '\0';
}

static int
decode_string(const struct codec_field *f, enum codec_mode mode,
              const json_t *v, const char *ptr, char **out, struct err *e)
{
    const char *s = json_string_value(v);
    size_t max = f->max ? (size_t)f->max : 255;
    bool name_ok, id_ok;

    if (!s)
        return err_field(e, ptr, "type", "must be a string");
    size_t n = strlen(s);
    if (mode != CODEC_REPLY && n < (size_t)f->min)
        return err_field(e, ptr, "too_short", "must have at least %lld bytes",
                         (long long)f->min);
    if (mode != CODEC_REPLY && n > max)
        return err_field(e, ptr, "too_long", "must have at most %zu bytes",
                         max);
    name_ok = id_name_valid(s);
    id_ok = id_valid(s);
    if (f->type == CODEC_NAME && !name_ok)
        return err_field(e, ptr, "name",
                         "must be 1 to 63 of a-z, 0-9 and '-', begin and end "
                         "with a letter or digit, and not be a UUID");
    if (f->type == CODEC_ID && !id_ok)
        return err_field(e, ptr, "id", "must be a lowercase UUID");
    if (f->type == CODEC_REF && !name_ok && !id_ok)
        return err_field(e, ptr, "reference", "must be a name or an id");
    if (f->type == CODEC_DECIMAL && !is_decimal(s))
        return err_field(e, ptr, "decimal", "must be a decimal number");
    if (check_text(s, f->type == CODEC_TEXT, ptr, e) < 0)
        return -EINVAL;
    *out = xstrdup(s);
    return 0;
}

static int decode_object(const struct codec_table *t, enum codec_mode mode,
                         const json_t *j, const char *ptr, void *out,
                         struct err *e);

static int
decode_number(const json_t *v, const char *ptr, struct codec_list *out,
              struct err *e)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return err_field(e, ptr, "type", "must be a whole number from 0");
    codec_ints_add(out, json_integer_value(v));
    return 0;
}

static int
decode_list(const struct codec_field *f, enum codec_mode mode, const json_t *v,
            const char *ptr, struct codec_list *out, struct err *e)
{
    const struct codec_field element = {.type = CODEC_STRING,
                                        .max = (int64_t)f->item_max};
    size_t max = f->max ? (size_t)f->max : 1000;
    char item_ptr[POINTER_MAX], index[24];
    int r = 0;

    if (!json_is_array(v))
        return err_field(e, ptr, "type", "must be an array");
    size_t n = json_array_size(v);
    if (mode != CODEC_REPLY && n < (size_t)f->min)
        return err_field(e, ptr, "too_few", "must have at least %lld items",
                         (long long)f->min);
    if (mode != CODEC_REPLY && n > max)
        return err_field(e, ptr, "too_many", "must have at most %zu items",
                         max);
    for (size_t i = 0; i < n; i++) {
        int one;

        snprintf(index, sizeof(index), "%zu", i);
        pointer_to(item_ptr, ptr, index);
        if (f->type == CODEC_INTS) {
            one = decode_number(json_array_get(v, i), item_ptr, out, e);
        } else if (f->type == CODEC_STRINGS) {
            char *s = NULL;

            one = decode_string(&element, mode, json_array_get(v, i), item_ptr,
                                &s, e);
            codec_strings_add(out, s ? s : "");
            free(s);
        } else {
            one = decode_object(f->sub, mode, json_array_get(v, i), item_ptr,
                                codec_list_add(f->sub, out), e);
        }
        if (one < 0)
            r = one;
    }
    return r;
}

bool
codec_label_valid(const char *key, const char *value)
{
    static const char inner[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "abcdefghijklmnopqrstuvwxyz0123456789-_./";
    const char *both[] = {key, value};

    for (size_t i = 0; i < 2; i++) {
        const char *s = both[i];
        size_t n = strlen(s);

        if (n == 0 && i == 1)
            continue;
        if (n == 0 || n > 63 || strspn(s, inner) != n ||
            !isalnum((unsigned char)s[0]) || !isalnum((unsigned char)s[n - 1]))
            return false;
    }
    return true;
}

static int
by_key(const void *a, const void *b)
{
    const struct codec_label *x = a, *y = b;

    return strcmp(x->key, y->key);
}

static int
decode_labels(const struct codec_field *f, enum codec_mode mode,
              const json_t *v, const char *ptr, struct codec_list *out,
              struct err *e)
{
    size_t max = f->max ? (size_t)f->max : 64;
    char at[POINTER_MAX];
    const char *key;
    json_t *one;
    int r = 0;

    if (!json_is_object(v))
        return err_field(e, ptr, "type", "must be an object of strings");
    if (mode != CODEC_REPLY && json_object_size(v) > max)
        return err_field(e, ptr, "too_many", "must have at most %zu labels",
                         max);
    json_object_foreach((json_t *)v, key, one)
    {
        const char *value = json_string_value(one);

        pointer_to(at, ptr, key);
        if (!value)
            r = err_field(e, at, "type", "must be a string");
        else if (!codec_label_valid(key, value))
            r = err_field(e, at, "label",
                          "key and value must have up to 63 of A-Z, a-z, 0-9, "
                          "'-', '_', '.', '/', and begin and end with a letter "
                          "or digit");
        else
            codec_labels_add(out, key, value);
    }
    if (out->n)
        qsort(out->items, out->n, sizeof(struct codec_label), by_key);
    return r;
}

static int
decode_value(const struct codec_field *f, enum codec_mode mode, const json_t *v,
             const char *ptr, void *slot, struct err *e)
{
    int i;

    switch (f->type) {
    case CODEC_INT:
        if (!json_is_integer(v))
            return err_field(e, ptr, "type", "must be a whole number");
        *(int64_t *)slot = json_integer_value(v);
        if (mode != CODEC_REPLY && (f->min || f->max) &&
            (*(int64_t *)slot < f->min || *(int64_t *)slot > f->max))
            return err_field(e, ptr, "range", "must be %lld to %lld",
                             (long long)f->min, (long long)f->max);
        return 0;
    case CODEC_BOOL:
        if (!json_is_boolean(v))
            return err_field(e, ptr, "type", "must be true or false");
        *(bool *)slot = json_is_true(v);
        return 0;
    case CODEC_FLAG:
        if (!json_is_boolean(v))
            return err_field(e, ptr, "type", "must be true or false");
        *(int *)slot = json_is_true(v);
        return 0;
    case CODEC_LABELS:
        return decode_labels(f, mode, v, ptr, slot, e);
    case CODEC_TIME:
        if (!json_is_string(v) || clock_parse(json_string_value(v), slot) < 0)
            return err_field(e, ptr, "time",
                             "must be a time such as "
                             "2026-11-22T16:30:00Z (RFC 3339)");
        return 0;
    case CODEC_ENUM:
        i = json_is_string(v) ? codec_enum_parse(f->names, json_string_value(v))
                              : -EINVAL;
        if (i < 0) {
            struct buf all _cleanup_(buf_release) = {0};

            for (int k = 0; f->names[k]; k++)
                buf_addf(&all, "%s%s", k ? ", " : "", f->names[k]);
            return err_field(e, ptr, "enum", "must be one of: %s",
                             buf_str(&all));
        }
        *(int *)slot = i;
        return 0;
    case CODEC_OBJECT:
        if (!json_is_object(v))
            return err_field(e, ptr, "type", "must be an object");
        *(void **)slot = xcalloc(1, f->sub->size);
        return decode_object(f->sub, mode, v, ptr, *(void **)slot, e);
    case CODEC_LIST:
    case CODEC_STRINGS:
    case CODEC_INTS:
        return decode_list(f, mode, v, ptr, slot, e);
    default:
        return decode_string(f, mode, v, ptr, slot, e);
    }
}

static void
set_default(const struct codec_field *f, void *slot)
{
    if (f->type == CODEC_INT)
        *(int64_t *)slot = f->dflt;
    else if (f->type == CODEC_ENUM)
        *(int *)slot = (int)f->dflt;
    else if (f->type == CODEC_BOOL)
        *(bool *)slot = f->dflt != 0;
    else if (f->type == CODEC_FLAG)
        *(int *)slot = -1;
}

/* Fields that the table does not take: unknown, or set by the server only. */
static int
refuse_others(const struct codec_table *t, const json_t *j, const char *ptr,
              struct err *e)
{
    char at[POINTER_MAX];
    const char *key;
    json_t *v;
    int r = 0;

    json_object_foreach((json_t *)j, key, v)
    {
        const struct codec_field *f = codec_field_find(t, key);

        if (f && (f->flags & CODEC_IN))
            continue;
        pointer_to(at, ptr, key);
        r = f ? err_field(e, at, "read_only", "is set by the server")
              : err_field(e, at, "unknown_field", "is not a field of %s",
                          t->name);
    }
    return r;
}

static int
decode_object(const struct codec_table *t, enum codec_mode mode,
              const json_t *j, const char *ptr, void *out, struct err *e)
{
    char at[POINTER_MAX];
    int r = 0, one;

    if (!json_is_object(j))
        return err_field(e, ptr, "type", "must be an object");
    if (mode == CODEC_REQUEST)
        r = refuse_others(t, j, ptr, e);
    for (size_t i = 0; i < t->n_fields; i++) {
        const struct codec_field *f = &t->fields[i];
        const json_t *v = json_object_get(j, f->name);
        void *slot = (char *)out + f->offset;

        if (mode != CODEC_REPLY && !(f->flags & CODEC_IN))
            continue;
        if (mode != CODEC_REPLY)
            set_default(f, slot);
        pointer_to(at, ptr, f->name);
        if (!v || json_is_null(v)) {
            if (mode != CODEC_REPLY && (f->flags & CODEC_REQUIRED))
                r = err_field(e, at, "required", "is required");
            continue;
        }
        if (f->given)
            *((bool *)out + f->given - 1) = true;
        one = decode_value(f, mode, v, at, slot, e);
        if (one < 0)
            r = one;
    }
    return r;
}

static int
load(const char *json, size_t len, json_t **ret, struct err *e)
{
    json_error_t je;

    *ret = json_loadb(json, len, JSON_REJECT_DUPLICATES, &je);
    if (*ret)
        return 0;
    return err_set(e, -EBADMSG, "bad_json",
                   "the body is not valid JSON: %s (line %d, column %d)",
                   je.text, je.line, je.column);
}

int
codec_decode(const struct codec_table *t, enum codec_mode mode,
             const char *json, size_t len, void *out, struct err *reterr)
{
    json_t *j _cleanup_(json_freep) = NULL;
    int r;

    if (len == 0 && mode == CODEC_REQUEST)
        r = load("{}", 2, &j, reterr);
    else
        r = load(json, len, &j, reterr);
    if (r == 0)
        r = decode_object(t, mode, j, "", out, reterr);
    if (r < 0)
        codec_clear(t, out);
    return r;
}

int
codec_decode_page(const struct codec_table *t, const char *json, size_t len,
                  struct codec_list *ret_items, char **ret_next,
                  struct err *reterr)
{
    json_t *j _cleanup_(json_freep) = NULL;
    struct codec_field items = {.type = CODEC_LIST, .sub = t};
    int r = load(json, len, &j, reterr);

    if (r < 0)
        return r;
    *ret_items = (struct codec_list){0};
    r = decode_list(&items, CODEC_REPLY, json_object_get(j, "items"), "/items",
                    ret_items, reterr);
    if (r < 0) {
        codec_list_clear(t, ret_items);
        return r;
    }
    *ret_next =
        xstrdup(json_string_value(json_object_get(j, "next_page_token")));
    return 0;
}

int
codec_pretty(const char *json, size_t len, struct buf *out, struct err *reterr)
{
    json_t *j _cleanup_(json_freep) = NULL;
    int r = load(json, len, &j, reterr);

    if (r < 0)
        return r;
    char *text _cleanup_(freep) = json_dumps(j, JSON_INDENT(2));
    if (!text)
        return err_set(reterr, -ENOMEM, "no_memory", "out of memory");
    buf_adds(out, text);
    buf_addc(out, '\n');
    return 0;
}
