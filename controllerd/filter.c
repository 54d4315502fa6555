/* filter.c - reads and judges the filter= of lists; see filter.h. */
#include <config.h>

#include "controllerd/filter.h"

#include <string.h>

#include "common/id.h"
#include "common/mem.h"
#include "controllerd/ctl.h"

#define LABEL "label."
#define SHOWN 64 /* bytes of what was asked for in messages */

static const struct filter_field *
field_of(const struct filter_spec *spec, const char *name, size_t n,
         bool is_operator)
{
    for (size_t i = 0; i < spec->n_fields; i++) {
        const struct filter_field *f = &spec->fields[i];

        if (strlen(f->name) == n && memcmp(f->name, name, n) == 0)
            return f->operators && !is_operator ? NULL : f;
    }
    return NULL;
}

static int
unknown_field(const struct filter_spec *spec, const char *name, size_t n,
              bool is_operator, struct err *e)
{
    struct buf all _cleanup_(buf_release) = {0};

    for (size_t i = 0; i < spec->n_fields; i++)
        if (is_operator || !spec->fields[i].operators)
            buf_addf(&all, "%s%s", all.len ? ", " : "", spec->fields[i].name);
    if (spec->labels)
        buf_adds(&all, all.len ? ", " LABEL "KEY" : LABEL "KEY");
    return err_field(e, "?filter", "unknown_field",
                     "\"%.*s\" cannot be asked for here; these can: %s",
                     (int)MIN(n, (size_t)SHOWN), name, buf_str(&all));
}

/* A value that the field can never have is a mistake worth telling. */
static int
check_value(const struct codec_field *f, const struct codec_field *also,
            const char *v, struct err *e)
{
    struct buf all _cleanup_(buf_release) = {0};
    char *end;

    switch (f->type) {
    case CODEC_ENUM:
        if (codec_enum_parse(f->names, v) >= 0)
            return 0;
        for (int k = 0; f->names[k]; k++)
            buf_addf(&all, "%s%s", k ? ", " : "", f->names[k]);
        return err_field(e, "?filter", "enum", "%s must be one of: %s", f->name,
                         buf_str(&all));
    case CODEC_BOOL:
        if (streq(v, "true") || streq(v, "false"))
            return 0;
        return err_field(e, "?filter", "type", "%s must be true or false",
                         f->name);
    case CODEC_INT:
        errno = 0;
        strtoll(v, &end, 10);
        if (strspn(v, "-0123456789") == strlen(v) && end != v && !*end &&
            !errno)
            return 0;
        return err_field(e, "?filter", "type", "%s must be a whole number",
                         f->name);
    case CODEC_ID:
        if (id_valid(v))
            return 0;
        return err_field(e, "?filter", "id", "%s must be an id", f->name);
    case CODEC_NAME:
    case CODEC_REF:
        if (id_name_valid(v) || (also && id_valid(v)))
            return 0;
        return err_field(e, "?filter", "name", "%s must be a name%s", f->name,
                         also ? " or an id" : "");
    default:
        return 0;
    }
}

static int
parse_label(const char *s, size_t n_key, struct filter_term *t, struct err *e)
{
    t->key = xstrndup(s + strlen(LABEL), n_key - strlen(LABEL));
    if (codec_label_valid(t->key, t->value ? t->value : ""))
        return 0;
    return err_field(e, "?filter", "label",
                     "\"%.*s\" is no label: key and value have up to 63 of "
                     "A-Z, a-z, 0-9, '-', '_', '.', '/'",
                     SHOWN, s);
}

/* One term without its commas. */
static int
parse_term(const struct filter_spec *spec, const char *s, bool is_operator,
           struct filter_term *t, struct err *e)
{
    bool not = *s == '!';
    size_t n = strcspn(s, "!=");

    if (not ) {
        s++;
        n = strcspn(s, "!=");
    }
    bool label = spec->labels && strncmp(s, LABEL, strlen(LABEL)) == 0;
    if (s[n] == '!' && s[n + 1] == '=')
        t->op = FILTER_NE;
    else if (s[n] == '=')
        t->op = FILTER_EQ;
    else if (!s[n] && label)
        t->op = not ? FILTER_LACKS : FILTER_HAS;
    else
        return err_field(e, "?filter", "term",
                         "\"%.*s\" is not FIELD=VALUE, FIELD!=VALUE%s", SHOWN,
                         s, spec->labels ? ", label.KEY or !label.KEY" : "");
    if (not &&t->op != FILTER_LACKS)
        return err_field(e, "?filter", "term",
                         "\"!%.*s\": write FIELD!=VALUE instead", SHOWN, s);
    if (s[n])
        t->value = xstrdup(s + n + (t->op == FILTER_NE ? 2 : 1));
    if (label)
        return parse_label(s, n, t, e);
    const struct filter_field *f = field_of(spec, s, n, is_operator);
    if (!f)
        return unknown_field(spec, s, n, is_operator, e);
    t->field = codec_field_find(spec->table, f->name);
    t->also = f->also ? codec_field_find(spec->table, f->also) : NULL;
    return check_value(t->field, t->also, t->value, e);
}

int
filter_parse(const struct filter_spec *spec, const char *text, bool is_operator,
             struct filter *ret, struct err *reterr)
{
    struct filter f = {.spec = spec};
    int r = 0;

    if (text && strlen(text) > FILTER_MAX)
        r = err_field(reterr, "?filter", "too_long",
                      "must have at most %d bytes", FILTER_MAX);
    for (const char *p = text; r == 0 && p && *p;) {
        size_t n = strcspn(p, ",");
        char *term _cleanup_(freep) = xstrndup(p, n);

        if (f.n == FILTER_TERMS_MAX) {
            r = err_field(reterr, "?filter", "too_many",
                          "must have at most %d terms", FILTER_TERMS_MAX);
            break;
        }
        r = parse_term(spec, term, is_operator, &f.terms[f.n++], reterr);
        p += n;
        if (r == 0 && *p == ',' && !*++p)
            r = err_field(reterr, "?filter", "term",
                          "ends with a comma: a term is missing");
    }
    if (r < 0) {
        filter_release(&f);
        return r;
    }
    *ret = f;
    return 0;
}

int
query_filter(struct call *c, const struct filter_spec *spec, struct filter *ret)
{
    return filter_parse(spec, http_query(c->rq, "filter"),
                        c->who.role == ROLE_OPERATOR, ret, &c->err);
}

void
filter_release(struct filter *f)
{
    for (size_t i = 0; i < f->n; i++) {
        free(f->terms[i].key);
        free(f->terms[i].value);
    }
    *f = (struct filter){0};
}

static const char *
label_value(const struct codec_list *labels, const char *key)
{
    const struct codec_label *l = labels->items;

    for (size_t i = 0; i < labels->n; i++)
        if (strcmp(l[i].key, key) == 0)
            return l[i].value;
    return NULL;
}

static bool
field_equals(const struct codec_field *f, const void *obj, const char *value)
{
    struct buf text _cleanup_(buf_release) = {0};
    const void *slot = (const char *)obj + f->offset;

    switch (f->type) {
    case CODEC_INT:
        return *(const int64_t *)slot == strtoll(value, NULL, 10);
    case CODEC_BOOL:
        return *(const bool *)slot == streq(value, "true");
    case CODEC_ENUM:
        return *(const int *)slot == codec_enum_parse(f->names, value);
    case CODEC_STRING:
    case CODEC_TEXT:
    case CODEC_NAME:
    case CODEC_ID:
    case CODEC_REF:
    case CODEC_DECIMAL: {
        const char *s = *(char *const *)slot;

        return s && strcmp(s, value) == 0;
    }
    default:
        return codec_field_text(f, obj, &text) &&
               strcmp(buf_str(&text), value) == 0;
    }
}

static bool
holds(const struct filter *f, const struct filter_term *t, const void *obj)
{
    bool equal;

    if (t->key) {
        const struct codec_field *labels =
            codec_field_find(f->spec->table, f->spec->labels);
        const char *v = label_value(
            (const void *)((const char *)obj + labels->offset), t->key);

        if (!t->value)
            return (v != NULL) == (t->op == FILTER_HAS);
        equal = v && strcmp(v, t->value) == 0;
    } else {
        equal = field_equals(t->field, obj, t->value) ||
                (t->also && field_equals(t->also, obj, t->value));
    }
    return equal == (t->op == FILTER_EQ);
}

bool
filter_match(const struct filter *f, const void *obj)
{
    for (size_t i = 0; i < f->n; i++)
        if (!holds(f, &f->terms[i], obj))
            return false;
    return true;
}

const char *
filter_value(const struct filter *f, const char *field)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->terms[i].field && f->terms[i].op == FILTER_EQ &&
            streq(f->terms[i].field->name, field))
            return f->terms[i].value;
    return NULL;
}

const struct filter_term *
filter_label(const struct filter *f)
{
    const struct filter_term *best = NULL;

    for (size_t i = 0; i < f->n; i++) {
        const struct filter_term *t = &f->terms[i];

        if (t->key && (t->op == FILTER_EQ || (t->op == FILTER_HAS && !best))) {
            if (!best || best->op == FILTER_HAS)
                best = t;
        }
    }
    return best;
}
