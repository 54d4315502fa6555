/* store_instance.c - rows of instances, and what nodes should make of them. */
#include <config.h>

#include "controllerd/store/store-private.h"

#include <string.h>

#include "common/mem.h"
#include "controllerd/store/store_event.h"

enum {
    INSERT,
    GET_ID,
    GET_NAME,
    LIST_ALL,
    LIST_PROJECT,
    UPDATE,
    MAX_SEQ,
    EACH_CLAIM,
    DESIRED,
    DESIRED_PARTS,
};

#define COLUMNS                                                                \
    "id, project_id, name, flavor_id, flavor_name, image_id, image_name, "     \
    "vcpus, memory_bytes, disk_bytes, node_id, power, force, run, ended_run, " \
    "seq, generation, state, stop_reason, fault_code, fault_message, "         \
    "operation_id, request_id, created_at, started_at, restart_policy, "       \
    "restart_count, last_end_reason, " STORE_LIMITS

static const char *const sql[] = {
    [INSERT] = "INSERT INTO instances (" COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, "
               "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
               "?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [GET_ID] = "SELECT " COLUMNS " FROM instances WHERE id = ?2 AND "
               "(?1 IS NULL OR project_id = ?1) AND deleted_at IS NULL",
    [GET_NAME] = "SELECT " COLUMNS " FROM instances WHERE project_id = ? AND "
                 "name = ? AND deleted_at IS NULL",
    [LIST_ALL] = "SELECT " COLUMNS " FROM instances WHERE id > ? AND "
                 "deleted_at IS NULL ORDER BY id LIMIT ?",
    [LIST_PROJECT] =
        "SELECT " COLUMNS " FROM instances WHERE project_id = ? AND id > ? "
        "AND deleted_at IS NULL ORDER BY id LIMIT ?",
    [UPDATE] =
        "UPDATE instances SET power = ?2, force = ?3, run = ?4, ended_run = "
        "?5, seq = ?6, generation = ?7, state = ?8, stop_reason = ?9, "
        "fault_code = ?10, fault_message = ?11, operation_id = ?12, "
        "request_id = ?13, started_at = ?14, deleted_at = ?15, "
        "restart_policy = ?16, restart_count = ?17, last_end_reason = ?18 "
        "WHERE id = ?1",
    [MAX_SEQ] = "SELECT coalesce(max(seq), 0) FROM instances",
    [EACH_CLAIM] = "SELECT node_id, vcpus, memory_bytes, disk_bytes "
                   "FROM instances WHERE deleted_at IS NULL",
    [DESIRED] =
        "SELECT i.id, i.project_id, i.name, i.seq, i.run, i.power, i.force, "
        "i.vcpus, i.memory_bytes, i.disk_bytes, i.request_id, i.image_id, "
        "m.cmdline, i.restart_policy, " STORE_LIMITS " FROM instances i "
        "LEFT JOIN images m ON "
        "m.id = i.image_id "
        "WHERE i.node_id = ? AND i.seq > ? AND i.deleted_at IS NULL "
        "ORDER BY i.seq LIMIT ?",
    [DESIRED_PARTS] =
        "SELECT part, format, size_bytes, virtual_bytes, sha256 FROM "
        "image_parts WHERE image_id = ? ORDER BY part",
};

struct store_statements store_instance_sql = {sql, ARRAY_SIZE(sql), 0};
#define S(x) (store_base(&store_instance_sql) + (x))

void
store_instance_release(struct store_instance *i)
{
    codec_clear(&table_instance, &i->a);
    free(i->request_id);
    *i = (struct store_instance){0};
}

/* Every change of state goes through here: none is forgotten. */
static int
emit(struct db *db, const struct store_instance *i, const char *kind)
{
    const struct api_instance *a = &i->a;
    struct api_event e = {
        .kind = (char *)kind,
        .project_id = a->project_id,
        .resource_type = (char *)"instance",
        .resource_id = a->id,
        .resource_name = a->name,
        .state = (char *)api_instance_state_names[a->state],
        .request_id = i->request_id,
    };

    return store_event_insert(db, &e);
}

int
store_instance_insert(struct db *db, const struct store_instance *i)
{
    const struct api_instance *a = &i->a;
    const struct api_fault *f = a->fault;
    int r = store_changed(db_run(
        db, S(INSERT), "sssssssiiisiiiiiiisssssiziisiiiiii", a->id,
        a->project_id, a->name, a->flavor_id, a->flavor, a->image_id, a->image,
        a->vcpus, a->memory_bytes, a->disk_bytes, a->node_id, (int64_t)i->power,
        (int64_t)i->force, a->run, i->ended_run, i->seq, a->generation,
        (int64_t)a->state, a->stop_reason, f ? f->code : NULL,
        f ? f->message : NULL, a->operation_id, i->request_id, a->created_at,
        a->started_at, (int64_t)a->restart_policy, a->restart_count,
        a->last_end_reason, STORE_LIMITS_OF(&a->limits)));

    return r < 0 ? r : emit(db, i, "instance.created");
}

static void
api_row(struct db *db, unsigned st, struct api_instance *a)
{
    a->id = store_text(db, st, 0);
    a->project_id = store_text(db, st, 1);
    a->name = store_text(db, st, 2);
    a->flavor_id = store_text(db, st, 3);
    a->flavor = store_text(db, st, 4);
    a->image_id = store_text(db, st, 5);
    a->image = store_text(db, st, 6);
    a->vcpus = db_int(db, st, 7);
    a->memory_bytes = db_int(db, st, 8);
    a->disk_bytes = db_int(db, st, 9);
    a->node_id = store_text(db, st, 10);
    a->run = db_int(db, st, 13);
    a->generation = db_int(db, st, 16);
    a->state = (int)db_int(db, st, 17);
    a->stop_reason = store_text(db, st, 18);
    if (!db_is_null(db, st, 19)) {
        a->fault = xnew(struct api_fault);
        a->fault->code = store_text(db, st, 19);
        a->fault->message = store_text(db, st, 20);
    }
    a->operation_id = store_text(db, st, 21);
    a->created_at = db_int(db, st, 23);
    a->started_at = db_int(db, st, 24);
    a->restart_policy = (int)db_int(db, st, 25);
    a->restart_count = db_int(db, st, 26);
    a->last_end_reason = store_text(db, st, 27);
    store_limits(db, st, 28, &a->limits);
}

int
store_instance_get(struct db *db, const char *project,
                   const char *default_project, const char *ref,
                   struct store_instance *ret)
{
    unsigned st = id_valid(ref) ? S(GET_ID) : S(GET_NAME);
    int r = id_valid(ref) ? db_get(db, st, "ss", project, ref)
                          : db_get(db, st, "ss",
                                   project ? project : default_project, ref);

    if (r == 0) {
        *ret = (struct store_instance){0};
        api_row(db, st, &ret->a);
        ret->stored_state = ret->a.state;
        ret->power = (int)db_int(db, st, 11);
        ret->force = db_int(db, st, 12);
        ret->ended_run = db_int(db, st, 14);
        ret->seq = db_int(db, st, 15);
        ret->request_id = store_text(db, st, 22);
    }
    db_reset(db, st);
    return r;
}

int
store_instance_list(struct db *db, const char *project, const char *after,
                    int limit, struct codec_list *ret)
{
    unsigned st = project ? S(LIST_PROJECT) : S(LIST_ALL);
    int r = project ? db_query(db, st, "ssi", project, after, (int64_t)limit)
                    : db_query(db, st, "si", after, (int64_t)limit);

    while (r >= 0 && (r = db_next(db, st)) == 1)
        api_row(db, st, codec_list_add(&table_instance, ret));
    return r;
}

int
store_instance_update(struct db *db, const struct store_instance *i,
                      int64_t deleted_at)
{
    const struct api_instance *a = &i->a;
    const struct api_fault *f = a->fault;
    int r = store_changed(db_run(
        db, S(UPDATE),
        "siiiiiiisssss"
        "zziis",
        a->id, (int64_t)i->power, (int64_t)i->force, a->run, i->ended_run,
        i->seq, a->generation, (int64_t)a->state, a->stop_reason,
        f ? f->code : NULL, f ? f->message : NULL, a->operation_id,
        i->request_id, a->started_at, deleted_at, (int64_t)a->restart_policy,
        a->restart_count, a->last_end_reason));

    if (r < 0 || (a->state == i->stored_state && !deleted_at))
        return r;
    return emit(db, i, deleted_at ? "instance.deleted" : "instance.state");
}

int
store_instance_max_seq(struct db *db, int64_t *ret)
{
    int r = db_get(db, S(MAX_SEQ), "");

    if (r == 0)
        *ret = db_int(db, S(MAX_SEQ), 0);
    db_reset(db, S(MAX_SEQ));
    return r;
}

int
store_instance_each_claim(struct db *db,
                          int (*fn)(const char *node_id, int64_t vcpus,
                                    int64_t memory_bytes, int64_t disk_bytes,
                                    void *arg),
                          void *arg)
{
    unsigned st = S(EACH_CLAIM);
    int r = db_query(db, st, ""), one = 0;

    while (r >= 0 && (r = db_next(db, st)) == 1) {
        one = fn(db_text(db, st, 0), db_int(db, st, 1), db_int(db, st, 2),
                 db_int(db, st, 3), arg);
        if (one < 0) {
            db_reset(db, st);
            return one;
        }
    }
    return r;
}

static int
desired_image(struct db *db, struct api_desired_image *m)
{
    unsigned st = S(DESIRED_PARTS);
    int r = db_query(db, st, "s", m->id);

    while (r >= 0 && (r = db_next(db, st)) == 1) {
        struct api_image_part *p = codec_list_add(&table_image_part, &m->parts);

        p->name = (int)db_int(db, st, 0);
        p->format = (int)db_int(db, st, 1);
        p->size_bytes = db_int(db, st, 2);
        p->virtual_bytes = db_int(db, st, 3);
        p->sha256 = store_text(db, st, 4);
    }
    return r;
}

int
store_desired_list(struct db *db, const char *node, int64_t after, int limit,
                   struct codec_list *ret, int64_t *ret_last)
{
    unsigned st = S(DESIRED);
    int r = db_query(db, st, "sii", node, after, (int64_t)limit);

    *ret_last = after;
    while (r >= 0 && (r = db_next(db, st)) == 1) {
        struct api_desired_instance *d =
            codec_list_add(&table_desired_instance, ret);

        d->id = store_text(db, st, 0);
        d->project_id = store_text(db, st, 1);
        d->name = store_text(db, st, 2);
        d->seq = *ret_last = db_int(db, st, 3);
        d->run = db_int(db, st, 4);
        d->power = (int)db_int(db, st, 5);
        d->force = db_int(db, st, 6);
        d->vcpus = db_int(db, st, 7);
        d->memory_bytes = db_int(db, st, 8);
        d->disk_bytes = db_int(db, st, 9);
        d->request_id = store_text(db, st, 10);
        d->restart_policy = (int)db_int(db, st, 13);
        store_limits(db, st, 14, &d->limits);
        if (d->power != POWER_DELETED) {
            d->image = xnew(struct api_desired_image);
            d->image->id = store_text(db, st, 11);
            d->image->cmdline = store_text(db, st, 12);
        }
    }
    for (size_t i = 0; i < ret->n && r == 0; i++) {
        struct api_desired_instance *d =
            (struct api_desired_instance *)ret->items + i;

        if (d->image)
            r = desired_image(db, d->image);
    }
    return r;
}
