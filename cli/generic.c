/* generic.c - the commands that are one request, by their route's tables. */
#include <config.h>

#include <string.h>

#include "cli/cli.h"
#include "common/mem.h"

#define PUBLIC_KEY_MAX 16384

/* The option's text when the command has it and it was given. */
static const char *
maybe(const struct cli_line *line, const char *name)
{
    const struct cli_opt *o = line->cmd->opts;

    for (; o && o->name; o++)
        if (streq(o->name, name))
            return cli_opt_text(line, name);
    return NULL;
}

static bool
has(const struct cli_line *line, const char *name)
{
    const struct cli_opt *o = line->cmd->opts;

    while (o && o->name && !streq(o->name, name))
        o++;
    return o && o->name;
}

/* --filter as it is, and a term for each --label. */
static void
add_filter(const struct cli_line *line, struct buf *query)
{
    struct buf text _cleanup_(buf_release) = {0};
    const char *s = maybe(line, "filter");

    if (s)
        buf_adds(&text, s);
    for (size_t i = 0;
         has(line, "label") && (s = cli_opt_nth(line, "label", i)); i++)
        buf_addf(&text, "%slabel.%s", text.len ? "," : "", s);
    if (text.len)
        cli_query_add(query, "filter", buf_str(&text));
}

int
cmd_list(struct cli *c)
{
    const struct cli_cmd *k = c->line.cmd;
    const struct codec_table *t = api_routes[k->route].out;
    struct buf query _cleanup_(buf_release) = {0};
    struct cli_listing l = {0};
    int rc;

    cli_query_add(&query, "project", maybe(&c->line, "project"));
    add_filter(&c->line, &query);
    if (maybe(&c->line, "stuck"))
        cli_query_add(&query, "filter", "stuck=true");
    rc = cli_list_fetch(c, k->route, buf_str(&query),
                        cli_opt_num(&c->line, "limit", 0), &l);
    if (rc != EXIT_OK)
        return rc;
    rc = cli_print_list(c, t, &l);
    cli_listing_release(t, &l);
    return rc;
}

/* One request without a body; its reply is printed. */
int
cmd_show(struct cli *c)
{
    const struct cli_cmd *k = c->line.cmd;
    struct httpc_reply reply = {0};
    int rc = cli_route(c, k->route, c->line.args[0].text, NULL, NULL, &reply);

    if (rc == EXIT_OK)
        rc = cli_print_object(c, api_routes[k->route].out, &reply);
    httpc_reply_release(&reply);
    return rc;
}

int
cmd_act(struct cli *c)
{
    return cmd_show(c);
}

/* The line's fields as the request's body; its reply is printed. */
static int
send_fields(struct cli *c, const char *ref)
{
    const struct api_route *route = &api_routes[c->line.cmd->route];
    struct httpc_reply reply = {0};
    struct cli_body body;
    int rc;

    cli_body_begin(&body, route->in);
    cli_body_from_line(&body, &c->line);
    cli_body_end(&body);
    rc = cli_route(c, route->id, ref, NULL, &body.text, &reply);
    cli_body_release(&body);
    if (rc == EXIT_OK)
        rc = cli_print_object(c, route->out, &reply);
    httpc_reply_release(&reply);
    return rc;
}

int
cmd_create(struct cli *c)
{
    return send_fields(c, NULL);
}

int
cmd_change(struct cli *c)
{
    return send_fields(c, c->line.args[0].text);
}

int
cmd_delete(struct cli *c)
{
    const struct cli_cmd *k = c->line.cmd;
    const char *ref = c->line.args[0].text;
    struct httpc_reply reply = {0};
    int rc = cli_route(c, k->route, ref, NULL, NULL, &reply);

    httpc_reply_release(&reply);
    if (rc == EXIT_OK)
        cli_say(c, "deleted %s %s", k->group, ref);
    return rc;
}

int
cmd_node_delete(struct cli *c)
{
    const char *ref = c->line.args[0].text;
    bool force = cli_opt(&c->line, "force")->set;
    struct httpc_reply reply = {0};
    int rc = cli_route(c, ROUTE_NODE_DELETE, ref, force ? "?force=true" : NULL,
                       NULL, &reply);

    httpc_reply_release(&reply);
    if (rc == EXIT_OK)
        cli_say(c,
                force ? "deleted node %s, and what was on it is lost"
                      : "deleted node %s",
                ref);
    return rc;
}

/* Waits for the operation in *reply, which becomes its last state. */
static int
wait_for_reply(struct cli *c, struct httpc_reply *reply)
{
    struct api_operation op = {0};
    struct httpc_reply last = {0};
    int rc = cli_decode(c, &table_operation, reply, &op);

    if (rc != EXIT_OK)
        return rc;
    rc = cli_wait_operation(
        c, op.id, cli_opt_num(&c->line, "wait-timeout", CLI_WAIT_TIMEOUT_US),
        &last);
    codec_clear(&table_operation, &op);
    if (rc != EXIT_OK)
        return rc;
    httpc_reply_release(reply);
    *reply = last;
    return EXIT_OK;
}

/* A change of an instance that goes on as an operation. */
int
cmd_verb(struct cli *c)
{
    const struct cli_cmd *k = c->line.cmd;
    const struct api_route *route = &api_routes[k->route];
    const char *ref = c->line.args[0].text;
    bool wait = cli_opt(&c->line, "wait")->set;
    struct httpc_reply reply = {0};
    struct api_operation op = {0};
    struct cli_body body = {0};
    int rc;

    if (route->in) {
        cli_body_begin(&body, route->in);
        cli_body_from_line(&body, &c->line);
        cli_body_end(&body);
    }
    rc = cli_route(c, route->id, ref, NULL, route->in ? &body.text : NULL,
                   &reply);
    cli_body_release(&body);
    if (rc == EXIT_OK && wait)
        rc = wait_for_reply(c, &reply);
    if (rc == EXIT_OK && c->line.format != OUT_TABLE)
        rc = cli_print_object(c, route->out, &reply);
    if (rc == EXIT_OK)
        rc = cli_decode(c, route->out, &reply, &op);
    if (rc == EXIT_OK && op.state == OP_SUCCEEDED)
        cli_say(c, "%s %s: %s is done", k->group, ref, k->verb);
    else if (rc == EXIT_OK)
        cli_say(c, "%s %s: %s has begun, operation %s", k->group, ref, k->verb,
                op.id);
    codec_clear(&table_operation, &op);
    httpc_reply_release(&reply);
    return rc;
}

/* The key's file ends with a newline, which is no part of the key. */
int
cmd_keypair_create(struct cli *c)
{
    struct httpc_reply reply = {0};
    struct buf query _cleanup_(buf_release) = {0};
    struct buf text _cleanup_(buf_release) = {0};
    struct cli_body body;
    int rc = cli_read_text(c, c->line.args[1].text, PUBLIC_KEY_MAX, &text);

    if (rc != EXIT_OK)
        return rc;
    if (strstr(buf_str(&text), "PRIVATE KEY"))
        return cli_fail(c, EXIT_USAGE, "private_key",
                        "%.200s is the private key; give the file that ends "
                        "with .pub",
                        c->line.args[1].text);
    while (text.len && strchr("\r\n", text.data[text.len - 1]))
        text.data[--text.len] = '\0';
    cli_query_add(&query, "project", maybe(&c->line, "project"));
    cli_body_begin(&body, &table_keypair);
    cli_body_set_text(&body, "name", c->line.args[0].text);
    cli_body_set_text(&body, "public_key", buf_str(&text));
    cli_body_end(&body);
    rc = cli_route(c, ROUTE_KEYPAIR_CREATE, NULL, buf_str(&query), &body.text,
                   &reply);
    cli_body_release(&body);
    if (rc == EXIT_OK)
        rc = cli_print_object(c, &table_keypair, &reply);
    httpc_reply_release(&reply);
    return rc;
}
