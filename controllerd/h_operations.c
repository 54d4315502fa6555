/* h_operations.c - operations: lists of them, and waiting for their ends. */
#include <config.h>

#include "controllerd/handlers.h"

#include <stddef.h>

#include "common/clock.h"

int
h_operation_list(struct call *c, struct db *db)
{
    struct codec_list l = {0};
    char before[ID_SIZE];
    int limit;
    int r = query_page(c, &limit, before);

    if (r < 0)
        return r;
    r = store_operation_list(db, call_project(c), before, limit + 1, &l);
    if (r == 0)
        reply_page(c, &table_operation, &l, limit,
                   offsetof(struct api_operation, id));
    codec_list_clear(&table_operation, &l);
    return r < 0 ? store_error(c, db, r) : 0;
}

int
h_operation_show(struct call *c, struct db *db)
{
    struct api_operation o = {0};
    const char *id = c->m.params[0];
    int64_t wait_us;
    int r = query_duration(c, "wait", 60 * US_PER_S, &wait_us);

    if (r < 0)
        return r;
    if (!id_valid(id))
        return not_found(c, "operation", id);
    uint64_t version = waiters_version(c->ctl, waiters_key(id));
    r = store_operation_get(db, call_project(c), id, &o);
    if (r == -ENOENT)
        return not_found(c, "operation", id);
    if (r < 0)
        return store_error(c, db, r);
    int64_t now = clock_mono_us();
    if (!c->deadline_us)
        c->deadline_us = now + wait_us;
    if (o.state == OP_RUNNING && wait_us && now < c->deadline_us &&
        !atomic_load(&c->ctl->stopping)) {
        codec_clear(&table_operation, &o);
        return waiters_wait(c, waiters_key(id), version);
    }
    reply_object(c, &table_operation, &o);
    codec_clear(&table_operation, &o);
    return 0;
}
