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
    LIST_NODE,
    LIST_LABEL,
    LIST_LABEL_KEY,
    LIST_LABEL_ALL,
    UPDATE,
    UPDATE_SEQ,
    UPDATE_SAME,
    RESHAPE,
    SIZE_ADD,
    SIZE_OF_RUN,
    SIZE_IS_KNOWN,
    SIZE_RESERVE,
    SIZE_MAX_OF,
    SIZE_DELETE,
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
    "restart_count, last_end_reason, " STORE_LIMITS ", labels, keypairs, "     \
    "locked, delete_protection, paused, disk_epoch"
#define CHANGES                                                                \
    "power = ?2, force = ?3, run = ?4, ended_run = ?5, generation = ?6, "      \
    "state = ?7, stop_reason = ?8, fault_code = ?9, fault_message = ?10, "     \
    "operation_id = ?11, request_id = ?12, started_at = ?13, "                 \
    "restart_policy = ?14, restart_count = ?15, last_end_reason = ?16, "       \
    "paused = ?17, disk_epoch = ?18, locked = ?19, delete_protection = ?20"
#define CHANGES_TYPES "siiiiiisssssziisiiii"
#define CHANGES_OF(i, a, f)                                                    \
    (a)->id, (int64_t)(i)->power, (int64_t)(i)->force, (a)->run,               \
        (i)->ended_run, (a)->generation, (int64_t)(a)->state,                  \
        (a)->stop_reason, (f) ? (f)->code : NULL, (f) ? (f)->message : NULL,   \
        (a)->operation_id, (i)->request_id, (a)->started_at,                   \
        (int64_t)(a)->restart_policy, (a)->restart_count,                      \
        (a)->last_end_reason, (int64_t)(i)->paused, (i)->disk_epoch,           \
        (int64_t)(a)->locked, (int64_t)(a)->delete_protection
/* Behind an index of labels, in the order of the ids. */
#define LABELLED                                                               \
    "SELECT " COLUMNS " FROM instance_labels l CROSS JOIN instances i "        \
    "ON i.id = l.instance_id "

static const char *const sql[] = {
    [INSERT] = "INSERT INTO instances (" COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, "
               "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
               "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [GET_ID] = "SELECT " COLUMNS " FROM instances WHERE id = ?2 AND "
               "(?1 IS NULL OR project_id = ?1) AND deleted_at IS NULL",
    [GET_NAME] = "SELECT " COLUMNS " FROM instances WHERE project_id = ? AND "
                 "name = ? AND deleted_at IS NULL",
    [LIST_ALL] = "SELECT " COLUMNS " FROM instances WHERE id > ? AND "
                 "deleted_at IS NULL ORDER BY id LIMIT ?",
    [LIST_PROJECT] =
        "SELECT " COLUMNS " FROM instances WHERE project_id = ? AND id > ? "
        "AND deleted_at IS NULL ORDER BY id LIMIT ?",
    /* A node has few instances: sorting them is cheaper than an index. */
    [LIST_NODE] = "SELECT " COLUMNS " FROM instances INDEXED BY instances_node "
                  "WHERE node_id = ?2 AND (?1 IS NULL OR project_id = ?1) AND "
                  "id > ?3 AND deleted_at IS NULL ORDER BY id LIMIT ?4",
    [LIST_LABEL] = LABELLED "WHERE l.project = ? AND l.key = ? AND l.value = ? "
                            "AND l.instance_id > ? AND i.deleted_at IS NULL "
                            "ORDER BY l.instance_id LIMIT ?",
    [LIST_LABEL_KEY] = LABELLED "WHERE l.project = ? AND l.key = ? "
                                "AND l.instance_id > ? AND i.deleted_at IS "
                                "NULL ORDER BY l.instance_id LIMIT ?",
    [LIST_LABEL_ALL] = LABELLED "WHERE l.key = ? AND l.value = ? "
                                "AND l.instance_id > ? AND i.deleted_at IS "
                                "NULL ORDER BY l.instance_id LIMIT ?",
    /* A column that is set costs every index and trigger that looks at it,
     * also where it stays what it was; most updates leave these two alone. */
    [UPDATE] = "UPDATE instances SET " CHANGES ", seq = ?21, deleted_at = ?22 "
               "WHERE id = ?1",
    [UPDATE_SEQ] = "UPDATE instances SET " CHANGES ", seq = ?21 WHERE id = ?1",
    [UPDATE_SAME] = "UPDATE instances SET " CHANGES " WHERE id = ?1",
    [RESHAPE] =
        "UPDATE instances SET name = ?2, flavor_id = ?3, flavor_name = ?4, "
        "image_id = ?5, image_name = ?6, vcpus = ?7, memory_bytes = ?8, "
        "disk_bytes = ?9, cpu_shares = ?10, cpu_limit_percent = ?11, "
        "cpu_reservation_percent = ?12, disk_iops = ?13, "
        "disk_bytes_per_second = ?14, net_bytes_per_second = ?15, "
        "labels = ?16 WHERE id = ?1",
    [SIZE_ADD] = "INSERT OR IGNORE INTO instance_sizes (instance_id, run, "
                 "vcpus, memory_bytes, disk_bytes) VALUES (?, ?, ?, ?, ?)",
    [SIZE_OF_RUN] = "SELECT run, vcpus, memory_bytes, disk_bytes FROM "
                    "instance_sizes WHERE instance_id = ? AND run >= ? "
                    "ORDER BY run, vcpus, memory_bytes, disk_bytes LIMIT 1",
    [SIZE_IS_KNOWN] =
        "SELECT 1 FROM instance_sizes WHERE instance_id = ? AND run >= ? AND "
        "vcpus = ? AND memory_bytes = ? AND disk_bytes = ? LIMIT 1",
    [SIZE_RESERVE] =
        "INSERT OR IGNORE INTO instance_sizes (instance_id, run, vcpus, "
        "memory_bytes, disk_bytes) SELECT instance_id, run + 1, vcpus, "
        "memory_bytes, disk_bytes FROM instance_sizes WHERE instance_id = ? "
        "AND run = ?",
    [SIZE_MAX_OF] =
        "SELECT coalesce(max(run), 0), coalesce(max(vcpus), 0), "
        "coalesce(max(memory_bytes), 0), coalesce(max(disk_bytes), 0) "
        "FROM instance_sizes WHERE instance_id = ?",
    [SIZE_DELETE] = "DELETE FROM instance_sizes WHERE instance_id = ? AND "
                    "run <= ?",
    [MAX_SEQ] = "SELECT coalesce(max(seq), 0) FROM instances",
    [EACH_CLAIM] =
        "SELECT i.node_id, max(i.vcpus, coalesce(s.v, 0)), "
        "max(i.memory_bytes, coalesce(s.m, 0)), "
        "max(i.disk_bytes, coalesce(s.d, 0)) FROM instances i LEFT JOIN "
        "(SELECT instance_id, max(vcpus) AS v, max(memory_bytes) AS m, "
        "max(disk_bytes) AS d FROM instance_sizes GROUP BY instance_id) s "
        "ON s.instance_id = i.id WHERE i.deleted_at IS NULL AND "
        "coalesce(i.fault_code, '') != 'node_lost'",
    [DESIRED] =
        "SELECT i.id, i.project_id, i.name, i.seq, i.run, i.power, i.force, "
        "i.vcpus, i.memory_bytes, i.disk_bytes, i.request_id, i.image_id, "
        "m.cmdline, i.restart_policy, " STORE_LIMITS ", s.user_data, s.keys, "
        "i.paused, i.disk_epoch FROM instances i "
        "LEFT JOIN images m ON "
        "m.id = i.image_id "
        "LEFT JOIN instance_seeds s ON s.instance_id = i.id "
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

/* What makes a label needs no escapes in JSON. */
char *
store_labels_text(const struct codec_list *labels)
{
    const struct codec_label *l = labels->items;
    struct buf b = {0};

    for (size_t i = 0; i < labels->n; i++)
        buf_addf(&b, "%s\"%s\":\"%s\"", i ? "," : "{", l[i].key, l[i].value);
    if (!labels->n)
        return NULL;
    buf_addc(&b, '}');
    return buf_take(&b);
}

/* The next string in quotes, moving *s behind it; NULL: there is none. */
static char *
quoted(const char **s)
{
    const char *from = strchr(*s, '"');
    const char *to = from ? strchr(from + 1, '"') : NULL;

    if (!to)
        return NULL;
    *s = to + 1;
    return xstrndup(from + 1, (size_t)(to - from - 1));
}

/* Text that store_labels_text() wrote. */
static void
labels_of(const char *text, struct codec_list *ret)
{
    while (text) {
        char *key _cleanup_(freep) = quoted(&text);
        char *value _cleanup_(freep) = key ? quoted(&text) : NULL;

        if (!value)
            return;
        codec_labels_add(ret, key, value);
    }
}

int
store_instance_insert(struct db *db, const struct store_instance *i)
{
    const struct api_instance *a = &i->a;
    const struct api_fault *f = a->fault;
    char *labels _cleanup_(freep) = store_labels_text(&a->labels);
    char *keypairs _cleanup_(freep) = store_join(&a->keypairs, ',');

    int r = store_changed(db_run(
        db, S(INSERT), "sssssssiiisiiiiiiisssssiziisiiiiiissiiii", a->id,
        a->project_id, a->name, a->flavor_id, a->flavor, a->image_id, a->image,
        a->vcpus, a->memory_bytes, a->disk_bytes, a->node_id, (int64_t)i->power,
        (int64_t)i->force, a->run, i->ended_run, i->seq, a->generation,
        (int64_t)a->state, a->stop_reason, f ? f->code : NULL,
        f ? f->message : NULL, a->operation_id, i->request_id, a->created_at,
        a->started_at, (int64_t)a->restart_policy, a->restart_count,
        a->last_end_reason, STORE_LIMITS_OF(&a->limits), labels, keypairs,
        (int64_t)a->locked, (int64_t)a->delete_protection, (int64_t)i->paused,
        i->disk_epoch));

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
    labels_of(db_text(db, st, 34), &a->labels);
    store_split(db_text(db, st, 35), ',', &a->keypairs);
    a->locked = db_int(db, st, 36);
    a->delete_protection = db_int(db, st, 37);
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
        ret->seq = ret->stored_seq = db_int(db, st, 15);
        ret->request_id = store_text(db, st, 22);
        ret->paused = db_int(db, st, 38);
        ret->disk_epoch = db_int(db, st, 39);
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

static int
scan_query(struct db *db, const struct store_instance_scan *q, unsigned *ret_st)
{
    int64_t n = q->scan_limit + 1;
    unsigned st;
    int r;

    if (q->node) {
        st = S(LIST_NODE);
        r = db_query(db, st, "sssi", q->project, q->node, q->after, n);
    } else if (q->label && q->label_value && q->project) {
        st = S(LIST_LABEL);
        r = db_query(db, st, "ssssi", q->project, q->label, q->label_value,
                     q->after, n);
    } else if (q->label && q->project) {
        st = S(LIST_LABEL_KEY);
        r = db_query(db, st, "sssi", q->project, q->label, q->after, n);
    } else if (q->label && q->label_value) {
        st = S(LIST_LABEL_ALL);
        r = db_query(db, st, "sssi", q->label, q->label_value, q->after, n);
    } else {
        st = q->project ? S(LIST_PROJECT) : S(LIST_ALL);
        r = q->project ? db_query(db, st, "ssi", q->project, q->after, n)
                       : db_query(db, st, "si", q->after, n);
    }
    *ret_st = st;
    return r;
}

int
store_instance_scan(struct db *db, const struct store_instance_scan *q,
                    struct codec_list *ret, char ret_next[ID_SIZE])
{
    char last[ID_SIZE] = "";
    unsigned st;
    int r = scan_query(db, q, &st), seen = 0;

    ret_next[0] = '\0';
    while (r >= 0 && (r = db_next(db, st)) == 1) {
        struct api_instance a = {0};

        /* A row more than may be looked at, or than is wanted: come again. */
        bool enough = seen++ == q->scan_limit;
        if (!enough) {
            api_row(db, st, &a);
            if (!q->keep(&a, q->arg)) {
                snprintf(last, sizeof(last), "%s", a.id);
                codec_clear(&table_instance, &a);
                continue;
            }
            enough = ret->n == (size_t)q->limit;
        }
        if (enough) {
            memcpy(ret_next, last, ID_SIZE);
            codec_clear(&table_instance, &a);
            db_reset(db, st);
            return 0;
        }
        snprintf(last, sizeof(last), "%s", a.id);
        *(struct api_instance *)codec_list_add(&table_instance, ret) = a;
    }
    return r;
}

int
store_instance_update(struct db *db, const struct store_instance *i,
                      int64_t deleted_at)
{
    const struct api_instance *a = &i->a;
    const struct api_fault *f = a->fault;
    int r;

    if (deleted_at)
        r = db_run(db, S(UPDATE), CHANGES_TYPES "iz", CHANGES_OF(i, a, f),
                   i->seq, deleted_at);
    else if (i->seq != i->stored_seq)
        r = db_run(db, S(UPDATE_SEQ), CHANGES_TYPES "i", CHANGES_OF(i, a, f),
                   i->seq);
    else
        r = db_run(db, S(UPDATE_SAME), CHANGES_TYPES, CHANGES_OF(i, a, f));
    r = store_changed(r);
    if (r < 0 || (a->state == i->stored_state && !deleted_at))
        return r;
    return emit(db, i, deleted_at ? "instance.deleted" : "instance.state");
}

int
store_instance_reshape(struct db *db, const struct store_instance *i)
{
    const struct api_instance *a = &i->a;
    char *labels _cleanup_(freep) = store_labels_text(&a->labels);

    return store_changed(
        db_run(db, S(RESHAPE), "ssssssiiiiiiiiis", a->id, a->name, a->flavor_id,
               a->flavor, a->image_id, a->image, a->vcpus, a->memory_bytes,
               a->disk_bytes, STORE_LIMITS_OF(&a->limits), labels));
}

/* ---- sizes that runs may have ---- */

int
store_size_add(struct db *db, const char *instance_id,
               const struct store_size *s)
{
    int r = db_run(db, S(SIZE_ADD), "siiii", instance_id, s->run, s->vcpus,
                   s->memory_bytes, s->disk_bytes);

    return r < 0 ? r : 0;
}

static int
get_size(struct db *db, unsigned st, int r, struct store_size *ret)
{
    if (r == 0)
        *ret = (struct store_size){db_int(db, st, 0), db_int(db, st, 1),
                                   db_int(db, st, 2), db_int(db, st, 3)};
    db_reset(db, st);
    return r;
}

int
store_size_of_run(struct db *db, const char *instance_id, int64_t run,
                  struct store_size *ret)
{
    unsigned st = S(SIZE_OF_RUN);

    return get_size(db, st, db_get(db, st, "si", instance_id, run), ret);
}

int
store_size_is_known(struct db *db, const char *instance_id,
                    const struct store_size *s)
{
    unsigned st = S(SIZE_IS_KNOWN);
    int r = db_get(db, st, "siiii", instance_id, s->run, s->vcpus,
                   s->memory_bytes, s->disk_bytes);

    db_reset(db, st);
    return r == 0 ? 1 : r == -ENOENT ? 0 : r;
}

int
store_size_reserve(struct db *db, const char *instance_id, int64_t run)
{
    int r = db_run(db, S(SIZE_RESERVE), "si", instance_id, run);

    return r < 0 ? r : 0;
}

int
store_size_max(struct db *db, const char *instance_id, struct store_size *ret)
{
    unsigned st = S(SIZE_MAX_OF);

    return get_size(db, st, db_get(db, st, "s", instance_id), ret);
}

int
store_size_delete(struct db *db, const char *instance_id, int64_t run)
{
    int r = db_run(db, S(SIZE_DELETE), "si", instance_id, run);

    return r < 0 ? r : 0;
}

/* ---- for nodes ---- */

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

static size_t
seed_bytes(const struct api_desired_instance *d)
{
    size_t n = d->user_data ? strlen(d->user_data) : 0;

    for (size_t i = 0; i < d->keys.n; i++)
        n += strlen(((char **)d->keys.items)[i]);
    return n;
}

int
store_desired_list(struct db *db, const char *node, int64_t after, int limit,
                   struct codec_list *ret, int64_t *ret_last, bool *ret_more)
{
    unsigned st = S(DESIRED);
    size_t seeds = 0;
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
        d->paused = db_int(db, st, 22);
        d->disk_epoch = db_int(db, st, 23);
        if (d->power != POWER_DELETED) {
            d->user_data = store_text(db, st, 20);
            store_split(db_text(db, st, 21), '\n', &d->keys);
        }
        if (d->power != POWER_DELETED) {
            d->image = xnew(struct api_desired_image);
            d->image->id = store_text(db, st, 11);
            d->image->cmdline = store_text(db, st, 12);
        }
        seeds += seed_bytes(d);
        if (seeds > STORE_DESIRED_SEEDS) {
            db_reset(db, st);
            break;
        }
    }
    *ret_more = r == 1 || (r == 0 && ret->n == (size_t)limit);
    r = r == 1 ? 0 : r;
    for (size_t i = 0; i < ret->n && r == 0; i++) {
        struct api_desired_instance *d =
            (struct api_desired_instance *)ret->items + i;

        if (d->image)
            r = desired_image(db, d->image);
    }
    return r;
}
