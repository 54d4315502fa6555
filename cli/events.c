/* events.c - `virga events`, `virga webhook …`, `virga audit list`. */
#include <config.h>

#include <poll.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/text.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/mem.h"

#define HOLD "30s"
#define HOLD_MS 30000
#define OUTAGE_PAUSE_MS 1000
#define SEQ_SIZE 24

static void
base_query(struct cli *c, struct buf *q)
{
    cli_query_add(q, "kinds", cli_opt_text(&c->line, "kinds"));
    cli_query_add(q, "project", cli_opt_text(&c->line, "project"));
}

/* ---- following ---- */

/* One line for each event: a table cannot know its widths in advance. */
static int
print_line(struct cli *c, const struct api_event *e)
{
    struct buf line _cleanup_(buf_release) = {0};
    char at[CLOCK_TEXT_MAX];

    if (c->line.format == OUT_TABLE)
        buf_addf(&line, "%s  %-24s  %s %s%s%s", clock_format(e->at, at),
                 e->kind, e->resource_type,
                 e->resource_name ? e->resource_name
                 : e->resource_id ? e->resource_id
                                  : "",
                 e->state ? "  " : "", e->state ? e->state : "");
    else
        codec_encode(&table_event, e, &line);
    buf_addc(&line, '\n');
    int r = fs_write_all(STDOUT_FILENO, line.data, line.len);
    return r < 0 ? cli_fail(c, EXIT_FAILED, "output", "standard output: %s",
                            strerror(-r))
                 : EXIT_OK;
}

/* One question; since becomes where the next one goes on. */
static int
step(struct cli *c, const char *wait, char since[SEQ_SIZE])
{
    struct buf query _cleanup_(buf_release) = {0};
    struct err err _cleanup_(err_release) = {0};
    struct httpc_reply reply = {0};
    struct codec_list page = {0};
    char *next = NULL;

    base_query(c, &query);
    cli_query_add(&query, "since", since);
    cli_query_add(&query, "wait", wait);
    cli_query_add(&query, "limit", "1000");
    char *path _cleanup_(freep) =
        cli_path(ROUTE_EVENT_LIST, NULL, buf_str(&query));
    struct httpc_request rq = HTTPC_REQUEST("GET", path);
    rq.timeout_ms = HOLD_MS + c->timeout_ms;
    int rc = cli_call(c, &rq, &reply);
    if (rc != EXIT_OK)
        return rc;
    if (codec_decode_page(&table_event, buf_str(&reply.body), reply.body.len,
                          &page, &next, &err) < 0 ||
        httpc_reply_header(&reply, "Virga-Event-Seq", since, SEQ_SIZE) < 0)
        rc = cli_fail(c, EXIT_FAILED, "bad_reply",
                      "the controller's events are not understood: %s",
                      err.number ? err.message : "no seq to go on from");
    const struct api_event *e = page.items;
    for (size_t i = 0; i < page.n && rc == EXIT_OK; i++)
        rc = print_line(c, &e[i]);
    codec_list_clear(&table_event, &page);
    free(next);
    httpc_reply_release(&reply);
    return rc;
}

/* By long polls, which ask again after an outage from where they were. */
static int
follow(struct cli *c, const char *from)
{
    char since[SEQ_SIZE];
    int rc = EXIT_OK;

    snprintf(since, sizeof(since), "%s", from ? from : "latest");
    if (!from)
        rc = step(c, "0s", since);
    while (rc == EXIT_OK) {
        rc = step(c, HOLD, since);
        if (rc != EXIT_UNAVAILABLE || c->fault.err.number == -EACCES)
            continue;
        poll(NULL, 0, OUTAGE_PAUSE_MS);
        rc = EXIT_OK;
    }
    return rc;
}

int
cmd_events(struct cli *c)
{
    struct buf query _cleanup_(buf_release) = {0};
    struct cli_listing l = {0};
    const char *since = cli_opt_text(&c->line, "since");

    if (cli_opt(&c->line, "follow")->set)
        return follow(c, since);
    base_query(c, &query);
    cli_query_add(&query, "since", since);
    int rc = cli_list_fetch(c, ROUTE_EVENT_LIST, buf_str(&query),
                            cli_opt_num(&c->line, "limit", 0), &l);
    if (rc != EXIT_OK)
        return rc;
    rc = cli_print_list(c, &table_event, &l);
    cli_listing_release(&table_event, &l);
    return rc;
}

/* ---- webhooks ---- */

static void
add_kinds(struct cli_body *b, const char *kinds)
{
    struct buf json _cleanup_(buf_release) = {0};

    if (!kinds)
        return;
    buf_addc(&json, '[');
    while (*kinds) {
        char *one _cleanup_(freep) = xstrndup(kinds, strcspn(kinds, ","));

        if (json.len > 1)
            buf_addc(&json, ',');
        codec_encode_string(one, &json);
        kinds += strlen(one);
        kinds += *kinds == ',';
    }
    buf_addc(&json, ']');
    cli_body_set_raw(b, "kinds", buf_str(&json));
}

int
cmd_webhook_create(struct cli *c)
{
    struct buf query _cleanup_(buf_release) = {0};
    struct httpc_reply reply = {0};
    struct cli_body body;

    cli_query_add(&query, "project", cli_opt_text(&c->line, "project"));
    cli_body_begin(&body, &table_webhook);
    cli_body_from_line(&body, &c->line);
    add_kinds(&body, cli_opt_text(&c->line, "kinds"));
    cli_body_end(&body);
    int rc = cli_route(c, ROUTE_WEBHOOK_CREATE, NULL, buf_str(&query),
                       &body.text, &reply);
    cli_body_release(&body);
    if (rc == EXIT_OK)
        rc = cli_print_object(c, &table_webhook, &reply);
    httpc_reply_release(&reply);
    return rc;
}

/* enable and disable */
int
cmd_webhook_switch(struct cli *c)
{
    bool disable = streq(c->line.cmd->verb, "disable");
    struct httpc_reply reply = {0};
    struct cli_body body;

    cli_body_begin(&body, &table_webhook_change);
    cli_body_set_raw(&body, "disabled", disable ? "true" : "false");
    cli_body_end(&body);
    int rc = cli_route(c, ROUTE_WEBHOOK_CHANGE, c->line.args[0].text, NULL,
                       &body.text, &reply);
    cli_body_release(&body);
    if (rc == EXIT_OK)
        rc = cli_print_object(c, &table_webhook, &reply);
    httpc_reply_release(&reply);
    return rc;
}

/* One page holds as many as are kept. */
int
cmd_dead_letters(struct cli *c)
{
    struct err err _cleanup_(err_release) = {0};
    struct httpc_reply reply = {0};
    struct cli_listing l = {0};
    char *next = NULL;
    int rc = cli_route(c, ROUTE_DEAD_LETTER_LIST, c->line.args[0].text,
                       "?limit=1000", NULL, &reply);

    if (rc != EXIT_OK)
        return rc;
    if (codec_decode_page(&table_dead_letter, buf_str(&reply.body),
                          reply.body.len, &l.items, &next, &err) < 0) {
        rc = cli_fail(c, EXIT_FAILED, "bad_reply",
                      "the controller's list is not understood: %s",
                      err.message);
    } else {
        buf_addc(&l.json, '[');
        cli_json_items(buf_str(&reply.body), reply.body.len, "items", 1000,
                       &l.json);
        buf_addc(&l.json, ']');
        rc = cli_print_list(c, &table_dead_letter, &l);
    }
    cli_listing_release(&table_dead_letter, &l);
    free(next);
    httpc_reply_release(&reply);
    return rc;
}

/* ---- audit ---- */

int
cmd_audit_list(struct cli *c)
{
    struct buf query _cleanup_(buf_release) = {0};
    struct cli_listing l = {0};

    cli_query_add(&query, "project", cli_opt_text(&c->line, "project"));
    cli_query_add(&query, "filter", cli_opt_text(&c->line, "filter"));
    cli_query_add(&query, "path", cli_opt_text(&c->line, "path"));
    int rc = cli_list_fetch(c, ROUTE_AUDIT_LIST, buf_str(&query),
                            cli_opt_num(&c->line, "limit", 100), &l);
    if (rc != EXIT_OK)
        return rc;
    rc = cli_print_list(c, &table_audit, &l);
    cli_listing_release(&table_audit, &l);
    return rc;
}

int
cmd_dead_letter_delete(struct cli *c)
{
    char *list _cleanup_(freep) =
        cli_path(ROUTE_DEAD_LETTER_LIST, c->line.args[0].text, NULL);
    /* An id, as the parser saw to: nothing to encode. */
    char *path _cleanup_(freep) =
        xasprintf("%s/%s", list, c->line.args[1].text);
    struct httpc_request rq = HTTPC_REQUEST("DELETE", path);
    struct httpc_reply reply = {0};
    int rc = cli_call(c, &rq, &reply);

    httpc_reply_release(&reply);
    if (rc == EXIT_OK)
        cli_say(c, "deleted dead letter %s", c->line.args[1].text);
    return rc;
}
