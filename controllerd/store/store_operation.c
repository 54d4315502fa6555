/* store_operation.c - rows of operations. */
#include <config.h>

#include "controllerd/store/store-private.h"

#include "common/mem.h"
#include "controllerd/store/store_event.h"

enum {
    INSERT,
    GET,
    LIST_ALL,
    LIST_PROJECT,
    LIST_RUNNING,
    LIST_RESOURCE,
    UPDATE,
};

#define COLUMNS                                                                \
    "id, project_id, kind, resource_type, resource_id, state, step, "          \
    "problem_code, problem_message, request_id, created_at, finished_at, "     \
    "reason, attempt, generation, updated_at, can_cancel, node_id, seq, "      \
    "undo, undone_by"

static const char *const sql[] = {
    [INSERT] = ("INSERT INTO operations (" COLUMNS ") VALUES (?, ?, ?, ?, ?, "
                "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
    [GET] = "SELECT " COLUMNS " FROM operations WHERE id = ?2 AND "
            "(?1 IS NULL OR project_id = ?1)",
    [LIST_ALL] = "SELECT " COLUMNS " FROM operations WHERE id < ? "
                 "ORDER BY id DESC LIMIT ?",
    [LIST_PROJECT] = "SELECT " COLUMNS " FROM operations WHERE project_id = ? "
                     "AND id < ? ORDER BY id DESC LIMIT ?",
    /* The index of what runs, whatever else there is. */
    [LIST_RUNNING] = "SELECT " COLUMNS " FROM operations INDEXED BY "
                     "operations_running WHERE state = 0 AND id < ?2 AND "
                     "(?1 IS NULL OR project_id = ?1) "
                     "ORDER BY id DESC LIMIT ?3",
    [LIST_RESOURCE] = "SELECT " COLUMNS " FROM operations INDEXED BY "
                      "operations_resource WHERE resource_id = ?2 AND "
                      "id < ?3 AND (?1 IS NULL OR project_id = ?1) "
                      "ORDER BY id DESC LIMIT ?4",
    [UPDATE] = "UPDATE operations SET state = ?2, step = ?3, problem_code = "
               "?4, problem_message = ?5, finished_at = ?6, reason = ?7, "
               "attempt = ?8, generation = ?9, updated_at = ?10, "
               "can_cancel = ?11, seq = ?12, undo = ?13, undone_by = ?14 "
               "WHERE id = ?1",
};

struct store_statements store_operation_sql = {sql, ARRAY_SIZE(sql), 0};
#define S(x) (store_base(&store_operation_sql) + (x))

void
store_operation_release(struct store_operation *o)
{
    codec_clear(&table_operation, &o->a);
    free(o->node_id);
    free(o->undo);
    free(o->undone_by);
    *o = (struct store_operation){0};
}

void
store_operations_clear(struct codec_list *l)
{
    struct store_operation *o = l->items;

    for (size_t i = 0; i < l->n; i++)
        store_operation_release(&o[i]);
    free(l->items);
    *l = (struct codec_list){0};
}

int
store_operation_insert(struct db *db, const struct store_operation *row)
{
    const struct api_operation *o = &row->a;
    const struct api_fault *p = o->problem;

    return store_changed(
        db_run(db, S(INSERT), "sssssissssizsiiiisiss", o->id, o->project_id,
               o->kind, o->resource_type, o->resource_id, (int64_t)o->state,
               o->step, p ? p->code : NULL, p ? p->message : NULL,
               o->request_id, o->created_at, o->finished_at, o->reason,
               o->attempt, o->generation, o->updated_at, (int64_t)o->can_cancel,
               row->node_id, row->seq, row->undo, row->undone_by));
}

static void
get_row(struct db *db, unsigned st, struct store_operation *ret)
{
    struct api_operation *o = &ret->a;

    o->id = store_text(db, st, 0);
    o->project_id = store_text(db, st, 1);
    o->kind = store_text(db, st, 2);
    o->resource_type = store_text(db, st, 3);
    o->resource_id = store_text(db, st, 4);
    o->state = ret->stored_state = (int)db_int(db, st, 5);
    o->step = store_text(db, st, 6);
    if (!db_is_null(db, st, 7)) {
        o->problem = xnew(struct api_fault);
        o->problem->code = store_text(db, st, 7);
        o->problem->message = store_text(db, st, 8);
    }
    o->request_id = store_text(db, st, 9);
    o->created_at = db_int(db, st, 10);
    o->finished_at = db_int(db, st, 11);
    o->reason = store_text(db, st, 12);
    o->attempt = db_int(db, st, 13);
    o->generation = db_int(db, st, 14);
    o->updated_at = db_int(db, st, 15);
    o->can_cancel = db_int(db, st, 16);
    ret->node_id = store_text(db, st, 17);
    ret->seq = db_int(db, st, 18);
    ret->undo = store_text(db, st, 19);
    ret->undone_by = store_text(db, st, 20);
}

int
store_operation_get(struct db *db, const char *project, const char *id,
                    struct store_operation *ret)
{
    int r = db_get(db, S(GET), "ss", project, id);

    if (r == 0) {
        *ret = (struct store_operation){0};
        get_row(db, S(GET), ret);
    }
    db_reset(db, S(GET));
    return r;
}

static int
get_rows(struct db *db, unsigned st, int r, struct codec_list *ret)
{
    while (r >= 0 && (r = db_next(db, st)) == 1)
        get_row(db, st, codec_list_add(&store_operation_table, ret));
    return r;
}

static const char *
below(const char *before)
{
    return *before ? before : "g"; /* above every UUID */
}

int
store_operation_list(struct db *db, const char *project, const char *before,
                     int limit, struct codec_list *ret)
{
    unsigned st = project ? S(LIST_PROJECT) : S(LIST_ALL);
    int r = project ? db_query(db, st, "ssi", project, below(before),
                               (int64_t)limit)
                    : db_query(db, st, "si", below(before), (int64_t)limit);

    return get_rows(db, st, r, ret);
}

static int
emit_end(struct db *db, const struct api_operation *o)
{
    char kind[40];
    struct api_event e = {
        .kind = kind,
        .project_id = o->project_id,
        .resource_type = (char *)"operation",
        .resource_id = o->id,
        .resource_name = o->kind,
        .state = (char *)api_operation_state_names[o->state],
        .request_id = o->request_id,
    };

    snprintf(kind, sizeof(kind), "operation.%s", e.state);
    return store_event_insert(db, &e);
}

int
store_operation_list_running(struct db *db, const char *project,
                             const char *before, int limit,
                             struct codec_list *ret)
{
    int r = db_query(db, S(LIST_RUNNING), "ssi", project, below(before),
                     (int64_t)limit);

    return get_rows(db, S(LIST_RUNNING), r, ret);
}

int
store_operation_list_resource(struct db *db, const char *project,
                              const char *resource, const char *before,
                              int limit, struct codec_list *ret)
{
    int r = db_query(db, S(LIST_RESOURCE), "sssi", project, resource,
                     below(before), (int64_t)limit);

    return get_rows(db, S(LIST_RESOURCE), r, ret);
}

int
store_operation_update(struct db *db, const struct store_operation *row)
{
    const struct api_operation *o = &row->a;
    const struct api_fault *p = o->problem;
    int r = store_changed(
        db_run(db, S(UPDATE),
               "sisssz"
               "siiiiiss",
               o->id, (int64_t)o->state, o->step, p ? p->code : NULL,
               p ? p->message : NULL, o->finished_at, o->reason, o->attempt,
               o->generation, o->updated_at, (int64_t)o->can_cancel, row->seq,
               row->undo, row->undone_by));

    if (r < 0 || o->state == OP_RUNNING || o->state == row->stored_state)
        return r;
    return emit_end(db, o);
}

/* Only for lists: what is not of the API is freed by
 * store_operations_clear(). */
const struct codec_table store_operation_table = {
    .name = "StoreOperation",
    .doc = "",
    .size = sizeof(struct store_operation),
};
