/* quota.c - `virga quota`: what a project may have. */
#include <config.h>

#include <string.h>

#include "cli/cli.h"
#include "common/conf.h"
#include "common/mem.h"

/* The project that was named, or the caller's; an operator's is "default". */
static int
project_of(struct cli *c, char **ret)
{
    const struct cli_value *given = &c->line.args[0];
    struct api_whoami who = {0};

    if (given->set) {
        *ret = xstrdup(given->text);
        return EXIT_OK;
    }
    int rc = cli_get(c, ROUTE_WHOAMI, NULL, NULL, &who);
    if (rc == EXIT_OK)
        *ret = xstrdup(who.project_id ? who.project_id : "default");
    codec_clear(&table_whoami, &who);
    return rc;
}

int
cmd_quota_show(struct cli *c)
{
    char *project _cleanup_(freep) = NULL;
    struct httpc_reply reply = {0};
    int rc = project_of(c, &project);

    if (rc == EXIT_OK)
        rc = cli_route(c, ROUTE_QUOTA_SHOW, project, NULL, NULL, &reply);
    if (rc == EXIT_OK)
        rc = cli_print_object(c, &table_quota, &reply);
    httpc_reply_release(&reply);
    return rc;
}

/* Options are named as the fields are, with the unit left out. */
static const struct {
    const char *option, *field;
} limits[] = {
    {"instances", "instances"},     {"vcpus", "vcpus"},
    {"memory", "memory_bytes"},     {"disk", "disk_bytes"},
    {"volumes", "volumes"},         {"addresses", "addresses"},
    {"networks", "networks"},       {"images", "images"},
    {"image-bytes", "image_bytes"}, {"tokens", "tokens"},
};

static int
apply_options(struct cli *c, struct api_quota_values *v)
{
    size_t given = 0;

    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        const struct codec_field *f =
            codec_field_find(&table_quota_values, limits[i].field);
        const char *text = cli_opt_text(&c->line, limits[i].option);
        int64_t *slot = (int64_t *)(void *)((char *)v + f->offset);

        if (!text)
            continue;
        given++;
        if (streq(text, "unlimited"))
            *slot = API_UNLIMITED;
        else if (conf_parse_size(text, slot) < 0)
            return cli_fail(c, EXIT_USAGE, "usage",
                            "--%s: \"%.100s\" is neither a number or size nor "
                            "\"unlimited\"",
                            limits[i].option, text);
    }
    return given ? EXIT_OK
                 : cli_fail(c, EXIT_USAGE, "usage",
                            "give a limit to set, such as --instances 20");
}

/* What is not named stays as it is: read, change, and write only if nobody
 * did so in between. */
int
cmd_quota_set(struct cli *c)
{
    const char *project = c->line.args[0].text;
    struct httpc_reply reply = {0};
    struct buf body _cleanup_(buf_release) = {0};
    struct api_quota q = {0};
    char match[64];
    const char *headers[] = {match, NULL};
    int rc = cli_get(c, ROUTE_QUOTA_SHOW, project, NULL, &q);

    if (rc == EXIT_OK && !q.limits)
        rc = cli_fail(c, EXIT_FAILED, "bad_reply",
                      "the controller's reply has no limits");
    if (rc == EXIT_OK)
        rc = apply_options(c, q.limits);
    if (rc == EXIT_OK) {
        char *path _cleanup_(freep) = cli_path(ROUTE_QUOTA_SET, project, NULL);
        struct httpc_request rq =
            HTTPC_REQUEST(api_routes[ROUTE_QUOTA_SET].method, path);

        snprintf(match, sizeof(match), "If-Match: \"%lld\"",
                 (long long)q.generation);
        buf_adds(&body, "{\"limits\":");
        codec_encode(&table_quota_values, q.limits, &body);
        buf_addc(&body, '}');
        rq.body = body.data;
        rq.body_len = body.len;
        rq.headers = headers;
        rc = cli_call(c, &rq, &reply);
    }
    if (rc == EXIT_OK)
        rc = cli_print_object(c, &table_quota, &reply);
    codec_clear(&table_quota, &q);
    httpc_reply_release(&reply);
    return rc;
}
