/* launch.c - `virga launch`: instances from an image. */
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

/* ["a","b"] of each --keypair. */
static void
add_keypairs(struct cli *c, struct cli_body *body)
{
    struct buf list _cleanup_(buf_release) = {0};
    const char *s;

    for (size_t i = 0; (s = cli_opt_nth(&c->line, "keypair", i)); i++) {
        buf_addc(&list, i ? ',' : '[');
        codec_encode_string(s, &list);
    }
    if (!list.len)
        return;
    buf_addc(&list, ']');
    cli_body_set_raw(body, "keypairs", buf_str(&list));
}

/* The instance as it is asked for. */
static int
describe(struct cli *c, const char *name, const char *flavor, struct buf *ret)
{
    const char *file = cli_opt_text(&c->line, "user-data");
    struct buf labels _cleanup_(buf_release) = {0};
    struct buf text _cleanup_(buf_release) = {0};
    struct cli_body body;
    int rc = cli_labels(c, &labels);

    if (rc == EXIT_OK && file)
        rc = cli_read_text(c, file, API_USER_DATA_MAX, &text);
    if (rc != EXIT_OK)
        return rc;
    cli_body_begin(&body, &table_instance);
    cli_body_set_text(&body, "name", name);
    cli_body_set_text(&body, "image", c->line.args[0].text);
    cli_body_set_text(&body, "flavor", flavor);
    if (cli_opt(&c->line, "restart")->set)
        cli_body_set(&body, "restart_policy", cli_opt(&c->line, "restart"));
    if (cli_opt(&c->line, "lock")->set)
        cli_body_set_raw(&body, "locked", "true");
    if (cli_opt(&c->line, "protect")->set)
        cli_body_set_raw(&body, "delete_protection", "true");
    if (cli_opt(&c->line, "label")->set)
        cli_body_set_raw(&body, "labels", buf_str(&labels));
    add_keypairs(c, &body);
    if (file)
        cli_body_set_text(&body, "user_data", buf_str(&text));
    cli_body_end(&body);
    buf_adds(ret, buf_str(&body.text));
    cli_body_release(&body);
    return EXIT_OK;
}

static int
post(struct cli *c, const char *name, const char *flavor,
     struct httpc_reply *ret)
{
    const struct cli_value *count = cli_opt(&c->line, "count");
    struct buf query _cleanup_(buf_release) = {0};
    struct buf one _cleanup_(buf_release) = {0};
    struct cli_body body;
    int rc = describe(c, name, flavor, &one);

    if (rc != EXIT_OK)
        return rc;
    cli_query_add(&query, "project", cli_opt_text(&c->line, "project"));
    if (cli_opt(&c->line, "dry-run")->set)
        cli_query_add(&query, "dry_run", "true");
    if (!count->set)
        return cli_route(c, ROUTE_INSTANCE_CREATE, NULL, buf_str(&query), &one,
                         ret);
    cli_body_begin(&body, &table_instance_batch);
    cli_body_set_raw(&body, "instance", buf_str(&one));
    cli_body_set(&body, "count", count);
    if (cli_opt(&c->line, "policy")->set)
        cli_body_set(&body, "policy", cli_opt(&c->line, "policy"));
    cli_body_end(&body);
    rc = cli_route(c, ROUTE_INSTANCE_BATCH, NULL, buf_str(&query), &body.text,
                   ret);
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

static int
wait_for(struct cli *c, const struct api_instance *i)
{
    struct httpc_reply last = {0};
    int rc;

    if (!cli_opt(&c->line, "wait")->set || !i->operation_id)
        return EXIT_OK;
    rc = cli_wait_operation(
        c, i->operation_id,
        cli_opt_num(&c->line, "wait-timeout", CLI_WAIT_TIMEOUT_US), &last);
    httpc_reply_release(&last);
    if (rc != EXIT_OK)
        err_prefix(&c->fault.err, "instance %s", i->name);
    return rc;
}

static int
show_one(struct cli *c, struct httpc_reply *reply)
{
    struct api_instance inst = {0};
    int rc = cli_decode(c, &table_instance, reply, &inst);

    if (rc == EXIT_OK)
        rc = wait_for(c, &inst);
    if (rc == EXIT_OK && cli_opt(&c->line, "wait")->set) {
        httpc_reply_release(reply);
        rc = cli_route(c, ROUTE_INSTANCE_SHOW, inst.id, NULL, NULL, reply);
    }
    if (rc == EXIT_OK)
        rc = cli_print_object(c, &table_instance, reply);
    codec_clear(&table_instance, &inst);
    return rc;
}

/* As lists of instances are shown; once they run, as they are then. */
static int
show_many(struct cli *c, struct httpc_reply *reply)
{
    struct api_instance_batch b = {0};
    struct cli_listing l = {0};
    bool wait = cli_opt(&c->line, "wait")->set;
    int rc = cli_decode(c, &table_instance_batch, reply, &b);
    struct api_instance *i = b.items.items;

    buf_addc(&l.json, '[');
    for (size_t k = 0; k < b.items.n && rc == EXIT_OK; k++)
        rc = wait_for(c, &i[k]);
    for (size_t k = 0; k < b.items.n && rc == EXIT_OK && wait; k++) {
        struct httpc_reply one = {0};

        rc = cli_route(c, ROUTE_INSTANCE_SHOW, i[k].id, NULL, NULL, &one);
        if (rc == EXIT_OK) {
            buf_adds(&l.json, k ? "," : "");
            buf_add(&l.json, one.body.data, one.body.len);
            codec_clear(&table_instance, &i[k]);
            rc = cli_decode(c, &table_instance, &one, &i[k]);
        }
        httpc_reply_release(&one);
    }
    if (!wait)
        cli_json_items(buf_str(&reply->body), reply->body.len, "items",
                       b.items.n, &l.json);
    buf_addc(&l.json, ']');
    l.items = b.items;
    if (rc == EXIT_OK)
        rc = cli_print_list(c, &table_instance, &l);
    if (rc == EXIT_OK && b.created < b.count)
        cli_say(c, "%lld of %lld were made: more did not fit",
                (long long)b.created, (long long)b.count);
    buf_release(&l.json);
    codec_clear(&table_instance_batch, &b);
    return rc;
}

int
cmd_launch(struct cli *c)
{
    const struct cli_value *flavor = cli_opt(&c->line, "flavor");
    char *only _cleanup_(freep) = NULL;
    struct httpc_reply reply = {0};
    int rc = EXIT_OK;

    if (cli_opt(&c->line, "policy")->set && !cli_opt(&c->line, "count")->set)
        return cli_fail(c, EXIT_USAGE, "usage", "--policy is for --count");
    if (!flavor->set)
        rc = only_flavor(c, &only);
    if (rc == EXIT_OK)
        rc = create(c, flavor->set ? flavor->text : only, &reply);
    if (rc == EXIT_OK && cli_opt(&c->line, "dry-run")->set)
        rc = cli_print_object(c, &table_dry_run, &reply);
    else if (rc == EXIT_OK)
        rc = cli_opt(&c->line, "count")->set ? show_many(c, &reply)
                                             : show_one(c, &reply);
    httpc_reply_release(&reply);
    return rc;
}
