/* list.c - lists over all of their pages. */
#include <config.h>

#include <string.h>

#include "cli/cli.h"
#include "common/mem.h"

#define PAGE_MAX 1000

/* The end of the JSON string that begins at p[0] == '"'. */
static const char *
skip_string(const char *p)
{
    for (p++; *p != '"'; p++)
        if (*p == '\\')
            p++;
    return p + 1;
}

/* The end of the JSON value at p: where a comma or a bracket follows it. */
static const char *
skip_value(const char *p, const char *end)
{
    int depth = 0;

    while (p < end) {
        if (*p == '"') {
            p = skip_string(p);
            continue;
        }
        if (depth == 0 && (*p == ',' || *p == ']' || *p == '}'))
            break;
        if (*p == '{' || *p == '[')
            depth++;
        else if (*p == '}' || *p == ']')
            depth--;
        p++;
    }
    return p;
}

static const char *
skip_space(const char *p, const char *end)
{
    while (p < end && strchr(" \t\r\n", *p) && *p)
        p++;
    return p;
}

/* The value of the object's member `key`, or NULL. */
static const char *
find_member(const char *p, const char *end, const char *key)
{
    size_t n = strlen(key);

    p = skip_space(p, end);
    if (p == end || *p != '{')
        return NULL;
    p = skip_space(p + 1, end);
    while (p < end && *p == '"') {
        const char *name = p + 1, *after = skip_string(p);
        bool found =
            (size_t)(after - 1 - name) == n && memcmp(name, key, n) == 0;

        p = skip_space(after, end);
        p = skip_space(p + 1, end); /* behind the colon */
        if (found)
            return p;
        p = skip_value(p, end);
        if (p < end && *p == ',')
            p++;
        p = skip_space(p, end);
    }
    return NULL;
}

size_t
cli_json_items(const char *json, size_t len, const char *key, size_t max,
               struct buf *out)
{
    const char *end = json + len;
    const char *p = find_member(json, end, key);
    size_t n = 0;

    if (!p || *p != '[')
        return 0;
    p = skip_space(p + 1, end);
    while (p < end && *p != ']' && n < max) {
        const char *after = skip_value(p, end);

        if (n++)
            buf_addc(out, ',');
        buf_add(out, p, (size_t)(after - p));
        p = after;
        if (p < end && *p == ',')
            p++;
        p = skip_space(p, end);
    }
    return n;
}

/* Moves the items of `page` behind those of l, at most up to limit. */
static void
append(const struct codec_table *t, struct codec_list *l,
       struct codec_list *page, int64_t limit)
{
    for (size_t i = 0; i < page->n; i++) {
        void *item = (char *)page->items + i * t->size;

        if (limit && l->n >= (size_t)limit)
            break;
        memcpy(codec_list_add(t, l), item, t->size);
        memset(item, 0, t->size); /* moved */
    }
    codec_list_clear(t, page);
}

static int
fetch_page(struct cli *c, enum api_route_id id, const char *ref,
           const char *query, const char *token, int64_t limit,
           struct cli_listing *l, char **ret_next)
{
    const struct codec_table *t = api_routes[id].out;
    struct buf q _cleanup_(buf_release) = {0};
    struct err err _cleanup_(err_release) = {0};
    struct httpc_reply reply = {0};
    struct codec_list page = {0};
    int64_t left = limit ? limit - (int64_t)l->items.n : PAGE_MAX;
    char number[24];
    int rc;

    snprintf(number, sizeof(number), "%lld",
             (long long)MIN(left, (int64_t)PAGE_MAX));
    buf_adds(&q, query ? query : "");
    cli_query_add(&q, "limit", number);
    cli_query_add(&q, "page_token", token);
    rc = cli_route(c, id, ref, buf_str(&q), NULL, &reply);
    if (rc != EXIT_OK)
        return rc;
    if (codec_decode_page(t, buf_str(&reply.body), reply.body.len, &page,
                          ret_next, &err) < 0) {
        httpc_reply_release(&reply);
        return cli_fail(c, EXIT_FAILED, "bad_reply",
                        "the controller's list is not understood: %s",
                        err.message);
    }
    if (page.n && l->items.n)
        buf_addc(&l->json, ',');
    cli_json_items(buf_str(&reply.body), reply.body.len, "items", (size_t)left,
                   &l->json);
    append(t, &l->items, &page, limit);
    httpc_reply_release(&reply);
    return EXIT_OK;
}

int
cli_list_fetch(struct cli *c, enum api_route_id id, const char *query,
               int64_t limit, struct cli_listing *ret)
{
    return cli_list_fetch_of(c, id, NULL, query, limit, ret);
}

int
cli_list_fetch_of(struct cli *c, enum api_route_id id, const char *ref,
                  const char *query, int64_t limit, struct cli_listing *ret)
{
    struct cli_listing l = {0};
    char *token _cleanup_(freep) = NULL;
    int rc;

    buf_addc(&l.json, '[');
    do {
        char *next = NULL;

        rc = fetch_page(c, id, ref, query, token, limit, &l, &next);
        if (rc == EXIT_OK && next && streq(next, token)) {
            /* Else a broken server could keep us here for ever. */
            rc = cli_fail(c, EXIT_FAILED, "bad_reply",
                          "the controller's list does not go on: the same "
                          "page came twice");
        }
        free(token);
        token = next;
    } while (rc == EXIT_OK && token && (!limit || l.items.n < (size_t)limit));
    if (rc != EXIT_OK) {
        cli_listing_release(api_routes[id].out, &l);
        return rc;
    }
    buf_addc(&l.json, ']');
    *ret = l;
    return EXIT_OK;
}

void
cli_listing_release(const struct codec_table *t, struct cli_listing *l)
{
    codec_list_clear(t, &l->items);
    buf_release(&l->json);
}
