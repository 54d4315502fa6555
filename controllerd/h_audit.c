/* h_audit.c - the audit log, for those who answer for a project. */
#include <config.h>

#include "controllerd/handlers.h"

#include <stddef.h>

#include "common/mem.h"
#include "controllerd/store/store_event.h"

int
h_audit_list(struct call *c, struct db *db)
{
    struct codec_list l = {0};
    char after[ID_SIZE], id[ID_SIZE];
    const char *project;
    int64_t before = 0;
    int limit;
    int r = query_page(c, &limit, after);

    if (r == 0 && *after && store_log_seq(after, &before) < 0)
        r = err_field(&c->err, "?page_token", "page_token",
                      "is not a next_page_token of this list");
    if (r == 0)
        r = call_project_filter(c, db, id, &project);
    if (r < 0)
        return r;
    r = store_audit_list(db, project, before, limit + 1, &l);
    if (r == 0)
        reply_page(c, &table_audit, &l, limit, offsetof(struct api_audit, id));
    codec_list_clear(&table_audit, &l);
    return r < 0 ? store_error(c, db, r) : 0;
}
