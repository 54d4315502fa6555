/* store_operation.c - rows of operations. */
#include <config.h>

#include "controllerd/store/store-private.h"

#include "common/mem.h"
#include "controllerd/store/store_event.h"

enum { INSERT, GET, LIST_ALL, LIST_PROJECT, UPDATE };

#define COLUMNS                                                                \
    "id, project_id, kind, resource_type, resource_id, state, step, "          \
    "problem_code, problem_message, request_id, created_at, finished_at"

static const char *const sql[] = {
    [INSERT] = ("INSERT INTO operations (" COLUMNS ") VALUES (?, ?, ?, ?, ?, "
                "?, ?, ?, ?, ?, ?, ?)"),
    [GET] = "SELECT " COLUMNS " FROM operations WHERE id = ?2 AND "
            "(?1 IS NULL OR project_id = ?1)",
    [LIST_ALL] = "SELECT " COLUMNS " FROM operations WHERE id < ? "
                 "ORDER BY id DESC LIMIT ?",
    [LIST_PROJECT] = "SELECT " COLUMNS " FROM operations WHERE project_id = ? "
                     "AND id < ? ORDER BY id DESC LIMIT ?",
    [UPDATE] = "UPDATE operations SET state = ?2, step = ?3, problem_code = "
               "?4, problem_message = ?5, finished_at = ?6 WHERE id = ?1",
};

struct store_statements store_operation_sql = {sql, ARRAY_SIZE(sql), 0};
#define S(x) (store_base(&store_operation_sql) + (x))

int
store_operation_insert(struct db *db, const struct api_operation *o)
{
    const struct api_fault *p = o->problem;

    return store_changed(db_run(db, S(INSERT), "sssssissssiz", o->id,
                                o->project_id, o->kind, o->resource_type,
                                o->resource_id, (int64_t)o->state, o->step,
                                p ? p->code : NULL, p ? p->message : NULL,
                                o->request_id, o->created_at, o->finished_at));
}

static void
row(struct db *db, unsigned st, struct api_operation *o)
{
    o->id = store_text(db, st, 0);
    o->project_id = store_text(db, st, 1);
    o->kind = store_text(db, st, 2);
    o->resource_type = store_text(db, st, 3);
    o->resource_id = store_text(db, st, 4);
    o->state = (int)db_int(db, st, 5);
    o->step = store_text(db, st, 6);
    if (!db_is_null(db, st, 7)) {
        o->problem = xnew(struct api_fault);
        o->problem->code = store_text(db, st, 7);
        o->problem->message = store_text(db, st, 8);
    }
    o->request_id = store_text(db, st, 9);
    o->created_at = db_int(db, st, 10);
    o->finished_at = db_int(db, st, 11);
}

int
store_operation_get(struct db *db, const char *project, const char *id,
                    struct api_operation *ret)
{
    int r = db_get(db, S(GET), "ss", project, id);

    if (r == 0) {
        *ret = (struct api_operation){0};
        row(db, S(GET), ret);
    }
    db_reset(db, S(GET));
    return r;
}

int
store_operation_list(struct db *db, const char *project, const char *before,
                     int limit, struct codec_list *ret)
{
    const char *from = *before ? before : "g"; /* above every UUID */
    unsigned st = project ? S(LIST_PROJECT) : S(LIST_ALL);
    int r = project ? db_query(db, st, "ssi", project, from, (int64_t)limit)
                    : db_query(db, st, "si", from, (int64_t)limit);

    while (r >= 0 && (r = db_next(db, st)) == 1)
        row(db, st, codec_list_add(&table_operation, ret));
    return r;
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
store_operation_update(struct db *db, const struct api_operation *o)
{
    const struct api_fault *p = o->problem;
    int r = store_changed(db_run(db, S(UPDATE), "sisssz", o->id,
                                 (int64_t)o->state, o->step, p ? p->code : NULL,
                                 p ? p->message : NULL, o->finished_at));

    if (r < 0 || o->state == OP_RUNNING)
        return r;
    return emit_end(db, o);
}
