/* h_operations.c - operations: lists of them, waiting for their ends, and
 * taking them back. */
#include <config.h>

#include "controllerd/handlers.h"

#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "controllerd/filter.h"
#include "controllerd/ops/ops.h"

/* ---- lists ---- */

#define SCAN_PAGE 500
/* Rows that one call looks at where no index knows the answer: the page ends
 * there, with what was found, and the next goes on. */
#define SCAN_LIMIT 4000

static const struct filter_field filter_fields[] = {
    {.name = "stuck"},       {.name = "state"},         {.name = "kind"},
    {.name = "resource_id"}, {.name = "resource_type"},
};
static const struct filter_spec filter_spec = {
    &table_operation, NULL, filter_fields, ARRAY_SIZE(filter_fields)};

struct scan {
    struct filter f;
    bool running; /* no other can match: they have an index of their own */
    const char *resource; /* likewise; NULL: of any */
    const char *project;
    char at[ID_SIZE];      /* the last that was looked at */
    struct codec_list got; /* struct api_operation */
    size_t seen;
};

static void
scan_release(struct scan *s)
{
    filter_release(&s->f);
    codec_list_clear(&table_operation, &s->got);
}

/* Takes of a row what is answered, if it matches. */
static void
take(struct ctl *ctl, struct scan *s, struct store_operation *o)
{
    memcpy(s->at, o->a.id, ID_SIZE);
    s->seen++;
    op_fill(ctl, o);
    if (!filter_match(&s->f, &o->a))
        return;
    *(struct api_operation *)codec_list_add(&table_operation, &s->got) = o->a;
    o->a = (struct api_operation){0};
}

static int
page_of(struct db *db, const struct scan *s, int limit, struct codec_list *ret)
{
    if (s->resource)
        return store_operation_list_resource(db, s->project, s->resource, s->at,
                                             limit, ret);
    if (s->running)
        return store_operation_list_running(db, s->project, s->at, limit, ret);
    return store_operation_list(db, s->project, s->at, limit, ret);
}

/* True in *ret_more: there are rows that it has not looked at. */
static int
scan(struct ctl *ctl, struct db *db, struct scan *s, size_t limit,
     bool *ret_more)
{
    int ask = s->f.n ? SCAN_PAGE : (int)limit + 1;

    *ret_more = true;
    while (*ret_more && s->got.n < limit && s->seen < SCAN_LIMIT) {
        struct codec_list page = {0};
        int r = page_of(db, s, ask, &page);
        struct store_operation *o = page.items;
        size_t k = 0;

        while (k < page.n && s->got.n < limit)
            take(ctl, s, &o[k++]);
        *ret_more = k < page.n || page.n == (size_t)ask;
        store_operations_clear(&page);
        if (r < 0)
            return r;
    }
    return 0;
}

int
h_operation_list(struct call *c, struct db *db)
{
    struct scan s _cleanup_(scan_release) = {0};
    char of[ID_SIZE];
    bool more;
    int limit;
    int r = query_page(c, &limit, s.at);

    if (r == 0)
        r = query_filter(c, &filter_spec, &s.f);
    if (r == 0)
        r = call_project_filter(c, db, of, &s.project);
    if (r < 0)
        return r;
    s.running = streq(filter_value(&s.f, "stuck"), "true") ||
                streq(filter_value(&s.f, "state"), "running");
    s.resource = filter_value(&s.f, "resource_id");
    r = scan(c->ctl, db, &s, (size_t)limit, &more);
    if (r < 0)
        return store_error(c, db, r);
    reply_items(c, &table_operation, &s.got, more ? s.at : "");
    return 0;
}

/* ---- one ---- */

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
    struct h_room before;
    struct api_operation op = {0};
    int r = get_target(c, db, &t);

    if (r == 0 && t.o.undone_by)
        return reply_undone(c, db, &t);
    if (r == 0)
        r = call_if_match(c, t.o.a.generation);
    if (r == 0)
        r = h_locked(c, &t.i);
    if (r < 0)
        return r;
    r = h_room(c, db, &t.i, &before);
    if (r == 0)
        r = how(c->ctl, db, &t, c->request_id, &op, &c->err);
    /* The size of before may have been given back, and be taken by others. */
    if (r == 0)
        r = h_room_change(c, db, &t.i, &before, "");
    if (r == 0)
        r = go_on(c, db, &t, &op);
    if (r < 0)
        h_instance_resize_undo(c);
    codec_clear(&table_operation, &op);
    return r < 0 ? store_error(c, db, r) : 0;
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
        r = call_if_match(c, t.o.a.generation);
    if (r == 0)
        r = h_locked(c, &t.i);
    if (r < 0)
        return r;
    r = op_retry(c->ctl, db, &t, &c->err);
    return r < 0 ? store_error(c, db, r) : go_on(c, db, &t, &t.o.a);
}
