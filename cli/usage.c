/* usage.c - `virga usage`: what was used in a period, over all pages. */
#include <config.h>

#include <string.h>

#include "cli/cli.h"
#include "cli/format.h"
#include "common/clock.h"
#include "common/mem.h"

#define PAGE "1000"

static void
add_time(struct buf *query, const char *name, const struct cli_value *v)
{
    char text[CLOCK_TEXT_MAX];

    if (v->set)
        cli_query_add(query, name, clock_format(v->num, text));
}

/* Moves the items of `more` behind those of u; the sums are the same on each
 * page. */
static void
append(struct api_usage *u, struct api_usage *more)
{
    for (size_t i = 0; i < more->items.n; i++) {
        struct api_usage_item *item =
            (struct api_usage_item *)more->items.items + i;

        memcpy(codec_list_add(&table_usage_item, &u->items), item,
               sizeof(*item));
        memset(item, 0, sizeof(*item)); /* moved */
    }
    xstrset(&u->next_page_token, more->next_page_token);
    codec_clear(&table_usage, more);
}

static int
fetch(struct cli *c, int64_t limit, struct api_usage *u)
{
    struct buf base _cleanup_(buf_release) = {0};
    int rc;

    add_time(&base, "from", cli_opt(&c->line, "from"));
    add_time(&base, "to", cli_opt(&c->line, "to"));
    cli_query_add(&base, "instance", cli_opt_text(&c->line, "instance"));
    cli_query_add(&base, "project", cli_opt_text(&c->line, "project"));
    cli_query_add(&base, "limit", PAGE);
    rc = cli_get(c, ROUTE_USAGE, NULL, buf_str(&base), u);
    while (rc == EXIT_OK && u->next_page_token &&
           (!limit || u->items.n < (size_t)limit)) {
        struct buf query _cleanup_(buf_release) = {0};
        struct api_usage more = {0};

        buf_adds(&query, buf_str(&base));
        cli_query_add(&query, "page_token", u->next_page_token);
        rc = cli_get(c, ROUTE_USAGE, NULL, buf_str(&query), &more);
        if (rc == EXIT_OK && streq(more.next_page_token, u->next_page_token))
            rc = cli_fail(c, EXIT_FAILED, "bad_reply",
                          "the controller's list does not go on: the same "
                          "page came twice");
        if (rc == EXIT_OK)
            append(u, &more);
        else
            codec_clear(&table_usage, &more);
    }
    return rc;
}

static void
cut(struct codec_list *l, int64_t limit)
{
    struct codec_list rest = {0};
    struct api_usage_item *items = l->items;

    if (!limit || l->n <= (size_t)limit)
        return;
    for (size_t i = (size_t)limit; i < l->n; i++) {
        memcpy(codec_list_add(&table_usage_item, &rest), &items[i],
               sizeof(items[i]));
        memset(&items[i], 0, sizeof(items[i]));
    }
    l->n = (size_t)limit;
    codec_list_clear(&table_usage_item, &rest);
}

static int
print(struct cli *c, const struct api_usage *u)
{
    struct buf out _cleanup_(buf_release) = {0};

    if (c->line.format == OUT_JSON || c->line.format == OUT_YAML)
        return cli_print_decoded(c, &table_usage, u);
    if (c->line.format == OUT_CSV) {
        format_csv(&table_usage_item, &u->items, &out);
    } else {
        struct codec_list sums = {.items = (void *)(uintptr_t)u, .n = 1};

        format_table(&table_usage_item, &u->items, &out);
        buf_addc(&out, '\n');
        format_table(&table_usage, &sums, &out);
    }
    fwrite(buf_str(&out), 1, out.len, stdout);
    return EXIT_OK;
}

int
cmd_usage(struct cli *c)
{
    int64_t limit = cli_opt_num(&c->line, "limit", 0);
    struct api_usage u = {0};
    int rc = fetch(c, limit, &u);

    if (rc == EXIT_OK) {
        cut(&u.items, limit);
        xstrset(&u.next_page_token, NULL);
        rc = print(c, &u);
    }
    codec_clear(&table_usage, &u);
    return rc;
}
