/* launch.c - `virga launch`: one instance from an image. */
#include <config.h>

#include <string.h>

#include "cli/cli.h"
#include "cli/format.h"
#include "common/id.h"
#include "common/mem.h"

#define NAME_ATTEMPTS 5

/* The only flavor's name into *ret; with several the user must choose. */
static int
only_flavor(struct cli *c, char **ret)
{
    struct buf text _cleanup_(buf_release) = {0};
    struct cli_listing l = {0};
    int rc = cli_list_fetch(c, ROUTE_FLAVOR_LIST, NULL, 0, &l);

    if (rc != EXIT_OK)
        return rc;
    const struct api_flavor *f = l.items.items;
    if (l.items.n == 1) {
        *ret = xstrdup(f->name);
    } else if (l.items.n == 0) {
        rc = cli_fail(c, EXIT_CONFLICT, "no_flavor",
                      "there is no flavor yet; an operator makes one: virga "
                      "flavor create small --vcpus 1 --memory 512M");
    } else {
        for (size_t i = 0; i < l.items.n; i++) {
            buf_addf(&text, "%s%s (%lld vCPU, ", i ? ", " : "", f[i].name,
                     (long long)f[i].vcpus);
            format_size(f[i].memory_bytes, &text);
            buf_addc(&text, ')');
        }
        rc = cli_fail(c, EXIT_USAGE, "usage", "choose a size with --flavor: %s",
                      buf_str(&text));
    }
    cli_listing_release(&table_flavor, &l);
    return rc;
}

static int
post(struct cli *c, const char *name, const char *flavor,
     struct httpc_reply *ret)
{
    const struct cli_value *restart = cli_opt(&c->line, "restart");
    struct cli_body body;
    int rc;

    cli_body_begin(&body, &table_instance);
    cli_body_set_text(&body, "name", name);
    cli_body_set_text(&body, "image", c->line.args[0].text);
    cli_body_set_text(&body, "flavor", flavor);
    if (restart->set)
        cli_body_set(&body, "restart_policy", restart);
    cli_body_end(&body);
    rc = cli_route(c, ROUTE_INSTANCE_CREATE, NULL, NULL, &body.text, ret);
    cli_body_release(&body);
    return rc;
}

/* Creates it. A name of our own making that is taken is made anew. */
static int
create(struct cli *c, const char *flavor, struct httpc_reply *ret)
{
    const struct cli_value *given = &c->line.args[1];
    int rc = EXIT_OK;

    for (int i = 0; i < NAME_ATTEMPTS; i++) {
        char name[CLI_NAME_MAX];
        unsigned char seed[4];

        id_random(seed, sizeof(seed));
        cli_name_make(seed, name);
        rc = post(c, given->set ? given->text : name, flavor, ret);
        if (rc != EXIT_CONFLICT || given->set ||
            !streq(c->fault.err.code, "name_taken"))
            break;
    }
    return rc;
}

int
cmd_launch(struct cli *c)
{
    const struct cli_value *flavor = cli_opt(&c->line, "flavor");
    char *only _cleanup_(freep) = NULL;
    struct httpc_reply reply = {0}, last = {0};
    struct api_instance inst = {0};
    int rc = EXIT_OK;

    if (!flavor->set)
        rc = only_flavor(c, &only);
    if (rc == EXIT_OK)
        rc = create(c, flavor->set ? flavor->text : only, &reply);
    if (rc == EXIT_OK)
        rc = cli_decode(c, &table_instance, &reply, &inst);
    if (rc == EXIT_OK && cli_opt(&c->line, "wait")->set && inst.operation_id) {
        rc = cli_wait_operation(
            c, inst.operation_id,
            cli_opt_num(&c->line, "wait-timeout", CLI_WAIT_TIMEOUT_US), &last);
        httpc_reply_release(&last);
        if (rc != EXIT_OK) {
            err_prefix(&c->fault.err, "instance %s", inst.name);
        } else {
            httpc_reply_release(&reply);
            rc = cli_route(c, ROUTE_INSTANCE_SHOW, inst.id, NULL, NULL, &reply);
        }
    }
    if (rc == EXIT_OK)
        rc = cli_print_object(c, &table_instance, &reply);
    codec_clear(&table_instance, &inst);
    httpc_reply_release(&reply);
    return rc;
}
