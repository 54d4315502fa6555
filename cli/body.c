/* body.c - request bodies, checked against the field tables.
 * Only what the user gave is sent: the server's defaults stay the server's. */
#include <config.h>

#include <assert.h>
#include <string.h>

#include "cli/cli.h"
#include "common/clock.h"
#include "common/fs.h"
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

int
cli_labels(struct cli *c, struct buf *ret)
{
    const char *s;

    buf_addc(ret, '{');
    for (size_t i = 0; (s = cli_opt_nth(&c->line, "label", i)); i++) {
        const char *eq = strchr(s, '=');

        if (!eq)
            return cli_fail(c, EXIT_USAGE, "usage",
                            "--label: \"%.100s\" is not KEY=VALUE", s);
        char *key _cleanup_(freep) = xstrndup(s, (size_t)(eq - s));
        if (i)
            buf_addc(ret, ',');
        codec_encode_string(key, ret);
        buf_addc(ret, ':');
        codec_encode_string(eq + 1, ret);
    }
    buf_addc(ret, '}');
    return EXIT_OK;
}

static size_t
count_of(const char *text, const char *what)
{
    size_t n = 0;

    while ((text = strstr(text, what))) {
        text += strlen(what);
        n++;
    }
    return n;
}

int
cli_read_text(struct cli *c, const char *path, size_t max, struct buf *ret)
{
    static const char replaced[] = "\xef\xbf\xbd"; /* U+FFFD */
    struct err err _cleanup_(err_release) = {0};
    struct buf json _cleanup_(buf_release) = {0};

    if (fs_read(path, max, ret, &err) < 0)
        return cli_fail(c, EXIT_USAGE, "file", "%s", err.message);
    /* What is no UTF-8 would not arrive as it is. */
    codec_encode_string(buf_str(ret), &json);
    if (strlen(buf_str(ret)) != ret->len ||
        count_of(buf_str(&json), replaced) != count_of(buf_str(ret), replaced))
        return cli_fail(c, EXIT_USAGE, "file", "%.200s is no UTF-8 text", path);
    return EXIT_OK;
}
