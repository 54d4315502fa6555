/* life.c - commands that change what an instance is called and who may change
 * it: each sets one field of it. */
#include <config.h>

#include <string.h>

#include "cli/cli.h"
#include "common/mem.h"

static int
change(struct cli *c, const char *field, const char *json)
{
    const struct api_route *route = &api_routes[c->line.cmd->route];
    struct httpc_reply reply = {0};
    struct cli_body body;

    cli_body_begin(&body, route->in);
    cli_body_set_raw(&body, field, json);
    cli_body_end(&body);
    int rc =
        cli_route(c, route->id, c->line.args[0].text, NULL, &body.text, &reply);
    cli_body_release(&body);
    if (rc == EXIT_OK)
        rc = cli_print_object(c, route->out, &reply);
    httpc_reply_release(&reply);
    return rc;
}

/* instance lock, unlock, protect, unprotect */
int
cmd_flag(struct cli *c)
{
    const char *verb = c->line.cmd->verb;
    bool off = strncmp(verb, "un", 2) == 0;

    return change(
        c, streq(verb + 2 * off, "lock") ? "locked" : "delete_protection",
        off ? "false" : "true");
}

/* KEY=VALUE,… into an object; the server knows what a label may be. */
static int
labels_json(struct cli *c, const char *text, struct buf *out)
{
    buf_addc(out, '{');
    while (*text) {
        size_t n = strcspn(text, ",");
        const char *eq = memchr(text, '=', n);

        if (!eq || eq == text)
            return cli_fail(c, EXIT_USAGE, "bad_labels",
                            "labels are KEY=VALUE, with commas between them");
        char *key _cleanup_(freep) = xstrndup(text, (size_t)(eq - text));
        char *value _cleanup_(freep) =
            xstrndup(eq + 1, n - (size_t)(eq + 1 - text));
        if (out->len > 1)
            buf_addc(out, ',');
        codec_encode_string(key, out);
        buf_addc(out, ':');
        codec_encode_string(value, out);
        text += n + (text[n] == ',');
    }
    buf_addc(out, '}');
    return EXIT_OK;
}

int
cmd_label(struct cli *c)
{
    struct buf json _cleanup_(buf_release) = {0};
    int rc =
        labels_json(c, c->line.args[1].set ? c->line.args[1].text : "", &json);

    return rc == EXIT_OK ? change(c, "labels", buf_str(&json)) : rc;
}
