/* h_operations.c - operations: lists of them, waiting for their ends, and
 * taking them back. */
#include <config.h>

#include "controllerd/handlers.h"

#include <stddef.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "controllerd/ops/ops.h"

#define STUCK_PAGE 500

/* ---- read ---- */

static int
list_all(struct call *c, struct db *db, const char *project, char *before,
         int limit, struct codec_list *ret)
{
    int r = store_operation_list(db, project, before, limit, ret);
    struct store_operation *o = ret->items;

    for (size_t k = 0; k < ret->n; k++)
        op_fill(c->ctl, &o[k]);
    return r;
}

/* What is stuck is known only when it is looked at; it can be found among
 * those that run. */
static int
list_stuck(struct call *c, struct db *db, const char *project, char *before,
           int limit, struct codec_list *ret)
{
    struct codec_list page = {0};
    size_t n = STUCK_PAGE;
    int r = 0;

    while (r == 0 && n == STUCK_PAGE && ret->n < (size_t)limit) {
        r = store_operation_list_running(db, project, before, STUCK_PAGE,
                                         &page);
        struct store_operation *o = page.items;

        n = page.n;
        for (size_t k = 0; k < n; k++) {
            memcpy(before, o[k].a.id, ID_SIZE);
            op_fill(c->ctl, &o[k]);
            if (!o[k].a.stuck || ret->n == (size_t)limit)
                continue;
            struct store_operation *to =
                codec_list_add(&store_operation_table, ret);
            *to = o[k];
            o[k] = (struct store_operation){0};
        }
        store_operations_clear(&page);
    }
    return r;
}

/* The part that is answered, out of the rows. */
static struct codec_list
api_part(struct codec_list *rows)
{
    struct store_operation *o = rows->items;
    struct codec_list l = {0};

    for (size_t k = 0; k < rows->n; k++) {
        *(struct api_operation *)codec_list_add(&table_operation, &l) = o[k].a;
        o[k].a = (struct api_operation){0};
    }
    store_operations_clear(rows);
    return l;
}

int
h_operation_list(struct call *c, struct db *db)
{
    const char *filter = http_query(c->rq, "filter"), *project;
    char before[ID_SIZE], of[ID_SIZE];
    struct codec_list rows = {0};
    int limit;
    int r = query_page(c, &limit, before);

    if (r == 0)
        r = call_project_filter(c, db, of, &project);
    if (r == 0 && filter && *filter && !streq(filter, "stuck=true"))
        r = err_field(&c->err, "?filter", "filter",
                      "operations are filtered by stuck=true only");
    if (r < 0)
        return r;
    r = filter && *filter ? list_stuck(c, db, project, before, limit + 1, &rows)
                          : list_all(c, db, project, before, limit + 1, &rows);
    struct codec_list l = api_part(&rows);
    if (r == 0)
        reply_page(c, &table_operation, &l, limit,
                   offsetof(struct api_operation, id));
    codec_list_clear(&table_operation, &l);
    return r < 0 ? store_error(c, db, r) : 0;
}

/* As the caller may see it; -ENOENT is told. */
static int
get(struct call *c, struct db *db, struct store_operation *ret)
{
    const char *id = c->m.params[0];
    int r = id_valid(id) ? store_operation_get(db, call_project(c), id, ret)
                         : -ENOENT;

    if (r == -ENOENT)
        return not_found(c, "operation", id);
    return r < 0 ? store_error(c, db, r) : 0;
}

int
h_operation_show(struct call *c, struct db *db)
{
    struct store_operation o _cleanup_(store_operation_release) = {0};
    uint64_t key = waiters_key(c->m.params[0]);
    int64_t wait_us;
    int r = query_duration(c, "wait", 60 * US_PER_S, &wait_us);

    if (r < 0)
        return r;
    uint64_t version = waiters_version(c->ctl, key);
    r = get(c, db, &o);
    if (r < 0)
        return r;
    int64_t now = clock_mono_us();
    if (!c->deadline_us)
        c->deadline_us = now + wait_us;
    if (o.a.state == OP_RUNNING && wait_us && now < c->deadline_us &&
        !atomic_load(&c->ctl->stopping))
        return waiters_wait(c, key, version);
    op_fill(c->ctl, &o);
    reply_object(c, &table_operation, &o.a);
    return 0;
}

/* ---- taking back ---- */

static void
target_release(struct op_target *t)
{
    store_operation_release(&t->o);
    store_instance_release(&t->i);
}

static int
get_target(struct call *c, struct db *db, struct op_target *t)
{
    int r = get(c, db, &t->o);

    if (r < 0)
        return r;
    r = store_instance_get(db, NULL, NULL, t->o.a.resource_id, &t->i);
    if (r == -ENOENT && !t->o.undone_by)
        return err_set(&c->err, -EBUSY, "instance_deleted",
                       "the instance of the operation is deleted");
    return r < 0 && r != -ENOENT ? store_error(c, db, r) : 0;
}

/* It was taken back before: the operation that did so is the answer again. */
static int
reply_undone(struct call *c, struct db *db, const struct op_target *t)
{
    struct store_operation by _cleanup_(store_operation_release) = {0};
    int r = store_operation_get(db, NULL, t->o.undone_by, &by);

    if (r < 0)
        return store_error(c, db, r);
    op_fill(c->ctl, &by);
    reply_object(c, &table_operation, &by.a);
    call_location(c, "/v1/operations", by.a.id);
    return 0;
}

/* Stores the instance and replies with the operation that goes on. */
static int
go_on(struct call *c, struct db *db, const struct op_target *t,
      const struct api_operation *op)
{
    int r = store_instance_update(db, &t->i, 0);

    if (r < 0)
        return store_error(c, db, r);
    memcpy(c->notify_node, t->i.a.node_id, ID_SIZE);
    memcpy(c->notify_operation, t->o.a.id, ID_SIZE);
    reply_object(c, &table_operation, op);
    call_location(c, "/v1/operations", op->id);
    return 0;
}

static int
take_back(struct call *c, struct db *db,
          int (*how)(struct ctl *ctl, struct db *db, struct op_target *t,
                     const char *request_id, struct api_operation *ret,
                     struct err *reterr))
{
    struct op_target t _cleanup_(target_release) = {0};
    struct api_operation op = {0};
    int r = get_target(c, db, &t);

    if (r == 0 && t.o.undone_by)
        return reply_undone(c, db, &t);
    if (r == 0)
        r = h_locked(c, &t.i);
    if (r < 0)
        return r;
    r = how(c->ctl, db, &t, c->request_id, &op, &c->err);
    r = r < 0 ? store_error(c, db, r) : go_on(c, db, &t, &op);
    codec_clear(&table_operation, &op);
    return r;
}

int
h_operation_cancel(struct call *c, struct db *db)
{
    return take_back(c, db, op_cancel);
}

int
h_operation_undo(struct call *c, struct db *db)
{
    return take_back(c, db, op_undo);
}

int
h_operation_retry(struct call *c, struct db *db)
{
    struct op_target t _cleanup_(target_release) = {0};
    int r = get_target(c, db, &t);

    if (r == 0 && t.o.undone_by)
        r = err_set(&c->err, -EBUSY, "not_retryable",
                    "the operation was taken back");
    if (r == 0)
        r = h_locked(c, &t.i);
    if (r < 0)
        return r;
    r = op_retry(c->ctl, db, &t, &c->err);
    return r < 0 ? store_error(c, db, r) : go_on(c, db, &t, &t.o.a);
}
