/* h_audit.c - the audit log, for those who answer for a project. */
#include <config.h>

#include "controllerd/handlers.h"

#include <stddef.h>
#include <string.h>

#include "common/mem.h"
#include "controllerd/filter.h"
#include "controllerd/store/store_event.h"

/* Rows that one page looks at: few may match. */
#define SCAN_CHUNK 500
#define SCAN_MAX 20000

static const struct filter_field filter_fields[] = {
    {.name = "method"},        {.name = "actor", .also = "actor_id"},
    {.name = "actor_type"},    {.name = "status"},
    {.name = "code"},          {.name = "path"},
    {.name = "request_id"},    {.name = "remote"},
    {.name = "resource_type"}, {.name = "resource_id"},
};
static const struct filter_spec filter_spec = {
    &table_audit, NULL, filter_fields, ARRAY_SIZE(filter_fields)};

struct page {
    struct codec_list items;
    int64_t cursor; /* every entry from here on up was looked at */
    char token[ID_SIZE];
    bool more;
};

static bool
wanted(const struct filter *f, const char *prefix, const struct api_audit *a)
{
    return (!prefix || strncmp(a->path, prefix, strlen(prefix)) == 0) &&
           filter_match(f, a);
}

static int
scan(struct call *c, struct db *db, const char *project, const struct filter *f,
     size_t limit, struct page *p)
{
    const char *prefix = http_query(c->rq, "path");

    for (int seen = 0; seen < SCAN_MAX; seen += SCAN_CHUNK) {
        struct codec_list l = {0};
        int r = store_audit_list(db, project, p->cursor, SCAN_CHUNK, &l);
        struct api_audit *a = l.items;
        size_t i = 0;

        for (; r == 0 && i < l.n && p->items.n < limit; i++) {
            p->cursor = a[i].seq;
            memcpy(p->token, a[i].id, ID_SIZE);
            if (!wanted(f, prefix, &a[i]))
                continue;
            struct api_audit *to = codec_list_add(&table_audit, &p->items);
            *to = a[i]; /* moved */
            a[i] = (struct api_audit){0};
        }
        bool end = i == l.n && l.n < SCAN_CHUNK;
        codec_list_clear(&table_audit, &l);
        if (r < 0 || end)
            return r;
        if (p->items.n == limit)
            break;
    }
    p->more = true;
    return 0;
}

static void
reply(struct call *c, const struct page *p)
{
    struct buf *out = &c->rq->reply;

    buf_adds(out, "{\"items\":[");
    for (size_t i = 0; i < p->items.n; i++) {
        buf_adds(out, i ? ",\n" : "");
        codec_encode(&table_audit, (struct api_audit *)p->items.items + i, out);
    }
    buf_addc(out, ']');
    if (p->more)
        buf_addf(out, ",\"next_page_token\":\"%s\"", p->token);
    buf_adds(out, "}\n");
    c->rq->status = 200;
}

int
h_audit_list(struct call *c, struct db *db)
{
    struct filter f _cleanup_(filter_release) = {0};
    struct page p = {0};
    char after[ID_SIZE], id[ID_SIZE];
    const char *project;
    int limit;
    int r = query_page(c, &limit, after);

    if (r == 0 && *after && store_log_seq(after, &p.cursor) < 0)
        r = err_field(&c->err, "?page_token", "page_token",
                      "is not a next_page_token of this list");
    if (r == 0)
        r = query_filter(c, &filter_spec, &f);
    if (r == 0)
        r = call_project_filter(c, db, id, &project);
    if (r < 0)
        return r;
    r = scan(c, db, project, &f, (size_t)limit, &p);
    if (r == 0)
        reply(c, &p);
    codec_list_clear(&table_audit, &p.items);
    return r < 0 ? store_error(c, db, r) : 0;
}
