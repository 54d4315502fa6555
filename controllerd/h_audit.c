/* h_audit.c - the audit log, for those who answer for a project. */
#include <config.h>

#include "controllerd/handlers.h"

#include <stddef.h>
#include <string.h>

#include "common/mem.h"
#include "controllerd/filter.h"
#include "controllerd/log_page.h"
#include "controllerd/store/store_event.h"

/* Rows that one page looks at: few may match. */
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

struct wish {
    const struct filter *f;
    const char *prefix; /* of the path; NULL: any */
};

static bool
wanted(const void *row, void *arg)
{
    const struct api_audit *a = row;
    const struct wish *w = arg;

    return (!w->prefix ||
            strncmp(a->path, w->prefix, strlen(w->prefix)) == 0) &&
           filter_match(w->f, a);
}

int
h_audit_list(struct call *c, struct db *db)
{
    struct filter f _cleanup_(filter_release) = {0};
    struct wish w = {&f, http_query(c->rq, "path")};
    struct log_page p = {0};
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
    struct log_scan s = {.table = &table_audit,
                         .list = store_audit_list,
                         .wanted = wanted,
                         .arg = &w,
                         .project = project,
                         .limit = (size_t)limit,
                         .rows = SCAN_MAX};
    r = log_page_scan(db, &s, &p);
    if (r == 0)
        reply_items(c, &table_audit, &p.items, p.more ? p.id : "");
    codec_list_clear(&table_audit, &p.items);
    return r < 0 ? store_error(c, db, r) : 0;
}
