/* body.c - request bodies, checked against the field tables.
 * Only what the user gave is sent: the server's defaults stay the server's. */
#include <config.h>

#include <assert.h>
#include <string.h>

#include "cli/cli.h"
#include "common/clock.h"
#include "common/mem.h"

void
cli_body_begin(struct cli_body *b, const struct codec_table *t)
{
    *b = (struct cli_body){.table = t};
    buf_addc(&b->text, '{');
}

/* The key, behind a comma unless it is the first. */
static const struct codec_field *
begin_field(struct cli_body *b, const char *name)
{
    const struct codec_field *f = codec_field_find(b->table, name);

    assert(f && (f->flags & CODEC_IN)); /* else the command table is wrong */
    if (b->text.len > 1)
        buf_addc(&b->text, ',');
    codec_encode_string(name, &b->text);
    buf_addc(&b->text, ':');
    return f;
}

void
cli_body_set_raw(struct cli_body *b, const char *field, const char *json)
{
    begin_field(b, field);
    buf_adds(&b->text, json);
}

void
cli_body_set_text(struct cli_body *b, const char *field, const char *text)
{
    begin_field(b, field);
    codec_encode_string(text, &b->text);
}

/* "a,b" as a list. */
static void
set_strings(const char *text, struct buf *out)
{
    buf_addc(out, '[');
    for (const char *p = text;;) {
        size_t n = strcspn(p, ",");
        char *one _cleanup_(freep) = xstrndup(p, n);

        codec_encode_string(one, out);
        if (!p[n])
            break;
        buf_addc(out, ',');
        p += n + 1;
    }
    buf_addc(out, ']');
}

void
cli_body_set(struct cli_body *b, const char *field, const struct cli_value *v)
{
    const struct codec_field *f = begin_field(b, field);
    char text[CLOCK_TEXT_MAX];
    int64_t num = v->num;

    switch (f->type) {
    case CODEC_INT:
        /* Durations travel in seconds (…_s). Rounded up, because 0 would
         * mean something else than a moment. */
        if (v->type == ARG_DURATION)
            num = num / US_PER_S + (num % US_PER_S != 0);
        buf_addf(&b->text, "%lld", (long long)num);
        break;
    case CODEC_BOOL:
        buf_adds(&b->text, num ? "true" : "false");
        break;
    case CODEC_TIME:
        codec_encode_string(clock_format(num, text), &b->text);
        break;
    case CODEC_STRINGS:
        set_strings(v->text, &b->text);
        break;
    default:
        codec_encode_string(v->text, &b->text);
        break;
    }
}

void
cli_body_from_line(struct cli_body *b, const struct cli_line *line)
{
    const struct cli_cmd *k = line->cmd;

    for (size_t i = 0; k->args[i].metavar; i++)
        if (k->args[i].field && line->args[i].set)
            cli_body_set(b, k->args[i].field, &line->args[i]);
    for (size_t i = 0; k->opts && k->opts[i].name; i++)
        if (k->opts[i].field && line->opts[i].set)
            cli_body_set(b, k->opts[i].field, &line->opts[i]);
}

void
cli_body_end(struct cli_body *b)
{
    buf_addc(&b->text, '}');
}

void
cli_body_release(struct cli_body *b)
{
    buf_release(&b->text);
}
