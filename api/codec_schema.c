/* codec_schema.c - JSON Schema 2020-12 of a field table; see codec.h. */
#include <config.h>

#include "api/codec.h"

static void
bounds(const struct codec_field *f, const char *lo, const char *hi,
       int64_t dflt_max, struct buf *out)
{
    int64_t max = f->max ? f->max : dflt_max;

    if (f->min)
        buf_addf(out, ",\"%s\":%lld", lo, (long long)f->min);
    if (max)
        buf_addf(out, ",\"%s\":%lld", hi, (long long)max);
}

static void
string_schema(const struct codec_field *f, struct buf *out)
{
    buf_adds(out, "\"type\":\"string\"");
    switch (f->type) {
    case CODEC_NAME:
    case CODEC_REF: /* ids have the form of names */
        buf_adds(out, ",\"pattern\":\"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$\"");
        break;
    case CODEC_ID:
        buf_adds(out, ",\"format\":\"uuid\"");
        break;
    case CODEC_TIME:
        buf_adds(out, ",\"format\":\"date-time\"");
        break;
    case CODEC_DECIMAL:
        buf_adds(out, ",\"pattern\":\"^-?[0-9]+([.][0-9]+)?$\"");
        break;
    default:
        bounds(f, "minLength", "maxLength", 255, out);
        break;
    }
}

static void
nested(const struct codec_field *f, enum codec_mode mode, struct buf *out)
{
    if (f->type == CODEC_OBJECT) {
        codec_schema(f->sub, mode, out);
        return;
    }
    if (f->type == CODEC_LABELS) {
        buf_addf(out,
                 "{\"type\":\"object\",\"maxProperties\":%lld,"
                 "\"additionalProperties\":{\"type\":\"string\","
                 "\"maxLength\":63},\"description\":",
                 f->max ? (long long)f->max : 64LL);
        codec_encode_string(f->doc, out);
        buf_addc(out, '}');
        return;
    }
    buf_adds(out, "{\"type\":\"array\"");
    if (mode == CODEC_REQUEST)
        bounds(f, "minItems", "maxItems", 1000, out);
    buf_adds(out, ",\"items\":");
    if (f->type == CODEC_STRINGS)
        buf_adds(out, "{\"type\":\"string\"}");
    else if (f->type == CODEC_INTS)
        buf_adds(out, "{\"type\":\"integer\",\"minimum\":0}");
    else
        codec_schema(f->sub, mode, out);
    buf_adds(out, ",\"description\":");
    codec_encode_string(f->doc, out);
    buf_addc(out, '}');
}

static void
field_schema(const struct codec_field *f, enum codec_mode mode, struct buf *out)
{
    if (f->type == CODEC_OBJECT || f->type == CODEC_LIST ||
        f->type == CODEC_STRINGS || f->type == CODEC_INTS ||
        f->type == CODEC_LABELS) {
        nested(f, mode, out);
        return;
    }
    buf_addc(out, '{');
    if (f->type == CODEC_INT) {
        buf_adds(out, "\"type\":\"integer\",\"format\":\"int64\"");
        if (f->min || f->max) /* as decoding has it: 0 is a bound, too */
            buf_addf(out, ",\"minimum\":%lld,\"maximum\":%lld",
                     (long long)f->min, (long long)f->max);
        if (mode == CODEC_REQUEST && f->dflt)
            buf_addf(out, ",\"default\":%lld", (long long)f->dflt);
    } else if (f->type == CODEC_BOOL || f->type == CODEC_FLAG) {
        buf_adds(out, "\"type\":\"boolean\"");
    } else if (f->type == CODEC_ENUM) {
        buf_adds(out, "\"type\":\"string\",\"enum\":[");
        for (int i = 0; f->names[i]; i++)
            buf_addf(out, "%s\"%s\"", i ? "," : "", f->names[i]);
        buf_addc(out, ']');
    } else {
        string_schema(f, out);
    }
    buf_adds(out, ",\"description\":");
    codec_encode_string(f->doc, out);
    buf_addc(out, '}');
}

/* In a reply an absent value is null unless the field is left out then. */
static bool
may_be_null(const struct codec_field *f)
{
    return !(f->flags & CODEC_OMIT) && f->type != CODEC_INT &&
           f->type != CODEC_BOOL && f->type != CODEC_ENUM &&
           f->type != CODEC_LIST && f->type != CODEC_STRINGS &&
           f->type != CODEC_INTS && f->type != CODEC_LABELS;
}

void
codec_schema(const struct codec_table *t, enum codec_mode mode, struct buf *out)
{
    bool first = true;

    buf_adds(out, "{\"type\":\"object\",\"description\":");
    codec_encode_string(t->doc, out);
    buf_adds(out, ",\"properties\":{");
    for (size_t i = 0; i < t->n_fields; i++) {
        const struct codec_field *f = &t->fields[i];

        if (mode == CODEC_REQUEST && !(f->flags & CODEC_IN))
            continue;
        buf_addf(out, "%s\"%s\":", first ? "" : ",", f->name);
        first = false;
        if (mode == CODEC_REPLY && may_be_null(f)) {
            buf_adds(out, "{\"anyOf\":[");
            field_schema(f, mode, out);
            buf_adds(out, ",{\"type\":\"null\"}]}");
        } else {
            field_schema(f, mode, out);
        }
    }
    buf_adds(out, "},\"required\":[");
    first = true;
    for (size_t i = 0; i < t->n_fields; i++) {
        const struct codec_field *f = &t->fields[i];

        if (mode == CODEC_REQUEST ? !(f->flags & CODEC_REQUIRED)
                                  : (f->flags & CODEC_OMIT) != 0)
            continue;
        buf_addf(out, "%s\"%s\"", first ? "" : ",", f->name);
        first = false;
    }
    buf_addf(out, "],\"additionalProperties\":%s}",
             mode == CODEC_REQUEST ? "false" : "true");
}
