/* show.c - results on standard output, in the format that was asked for. */
#include <config.h>

#include <stdarg.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/format.h"
#include "cli/text.h"
#include "common/mem.h"

/* Output is checked once, at the end of main(): a full disk is an error. */
static void
put(const struct buf *b)
{
    fwrite(buf_str(b), 1, b->len, stdout);
}

int
cli_print_json(struct cli *c, const char *json, size_t len)
{
    struct buf out _cleanup_(buf_release) = {0};
    struct err err _cleanup_(err_release) = {0};

    if (codec_pretty(json, len, &out, &err) < 0)
        return cli_fail(c, EXIT_FAILED, "bad_reply", "%s", err.message);
    put(&out);
    return EXIT_OK;
}

/* A secret that is shown once stands alone on the first line, where a script
 * finds it; the description follows without it. */
static void
sheet_with_secret(const struct codec_table *t, void *obj, struct buf *out)
{
    const struct codec_field *f = codec_field_find(t, "token");

    if (f && f->type == CODEC_STRING) {
        char **secret = (char **)(void *)((char *)obj + f->offset);

        if (*secret) {
            text_clean(*secret, out);
            buf_addc(out, '\n');
            xstrset(secret, NULL);
        }
    }
    format_sheet(t, obj, out);
}

static void
format_object(struct cli *c, const struct codec_table *t, void *obj,
              struct buf *out)
{
    struct codec_list one = {.items = obj, .n = 1};

    switch (c->line.format) {
    case OUT_YAML:
        format_yaml(t, obj, out);
        break;
    case OUT_CSV:
        format_csv(t, &one, out);
        break;
    default:
        sheet_with_secret(t, obj, out);
        break;
    }
}

int
cli_print_object(struct cli *c, const struct codec_table *t,
                 const struct httpc_reply *reply)
{
    struct buf out _cleanup_(buf_release) = {0};
    void *obj _cleanup_(freep) = NULL;
    int rc;

    if (c->line.format == OUT_JSON)
        return cli_print_json(c, buf_str(&reply->body), reply->body.len);
    obj = xcalloc(1, t->size);
    rc = cli_decode(c, t, reply, obj);
    if (rc != EXIT_OK)
        return rc;
    format_object(c, t, obj, &out);
    codec_clear(t, obj);
    put(&out);
    return EXIT_OK;
}

int
cli_print_decoded(struct cli *c, const struct codec_table *t, const void *obj)
{
    struct buf json _cleanup_(buf_release) = {0};
    struct httpc_reply reply = {0};

    codec_encode(t, obj, &json);
    reply.body = json; /* borrowed */
    return cli_print_object(c, t, &reply);
}

int
cli_print_list(struct cli *c, const struct codec_table *t,
               const struct cli_listing *l)
{
    struct buf out _cleanup_(buf_release) = {0};

    switch (c->line.format) {
    case OUT_JSON:
        return cli_print_json(c, buf_str(&l->json), l->json.len);
    case OUT_YAML:
        format_yaml_list(t, &l->items, &out);
        break;
    case OUT_CSV:
        format_csv(t, &l->items, &out);
        break;
    case OUT_TABLE:
        format_table(t, &l->items, &out);
        break;
    }
    put(&out);
    return EXIT_OK;
}

void
cli_say(struct cli *c, const char *fmt, ...)
{
    struct buf line _cleanup_(buf_release) = {0};
    struct buf clean _cleanup_(buf_release) = {0};
    va_list ap;

    if (c->line.format != OUT_TABLE)
        return;
    va_start(ap, fmt);
    buf_vaddf(&line, fmt, ap);
    va_end(ap);
    text_clean(buf_str(&line), &clean);
    buf_addc(&clean, '\n');
    put(&clean);
}
