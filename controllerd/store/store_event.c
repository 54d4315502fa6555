/* store_event.c - rows of events and of the audit log; see store_event.h. */
#include <config.h>

#include "controllerd/store/store_event.h"

#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "controllerd/store/store-private.h"

#define SEQ_BITS 62

enum {
    INSERT,
    LIST_ALL,
    LIST_PROJECT,
    BOUNDS,
    OLDEST,
    REMOVE,
    AUDIT_INSERT,
    AUDIT_LIST_ALL,
    AUDIT_LIST_PROJECT,
    AUDIT_BOUNDS,
    AUDIT_OLDEST,
    AUDIT_REMOVE,
    FLOOR,
    FLOOR_SET,
    COUNTS,
    CUT = COUNTS + 2,
    TRIM = CUT + 2,
};

#define COLUMNS                                                                \
    "at, kind, project_id, resource_type, resource_id, resource_name, state, " \
    "request_id"
#define AUDIT_COLUMNS                                                          \
    "at, project_id, actor_type, actor_id, actor, remote, method, path, "      \
    "status, code, resource_type, resource_id, request_id"

static const char *const sql[] = {
    [INSERT] = "INSERT INTO events (" COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, "
               "?)",
    [LIST_ALL] = "SELECT seq, " COLUMNS " FROM events WHERE seq > ? "
                 "ORDER BY seq LIMIT ?",
    [LIST_PROJECT] = "SELECT seq, " COLUMNS " FROM events WHERE project_id = ? "
                     "AND seq > ? ORDER BY seq LIMIT ?",
    [BOUNDS] = "SELECT (SELECT min(seq) FROM events), (SELECT max(seq) FROM "
               "events)",
    [OLDEST] = "SELECT seq, at FROM events ORDER BY seq LIMIT ?",
    [REMOVE] = "DELETE FROM events WHERE seq <= ?",
    [AUDIT_INSERT] = "INSERT INTO audit (" AUDIT_COLUMNS ") VALUES (?, ?, ?, "
                     "?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [AUDIT_LIST_ALL] = "SELECT seq, " AUDIT_COLUMNS " FROM audit WHERE seq < ? "
                       "ORDER BY seq DESC LIMIT ?",
    [AUDIT_LIST_PROJECT] =
        "SELECT seq, " AUDIT_COLUMNS " FROM audit WHERE project_id = ? AND "
        "seq < ? ORDER BY seq DESC LIMIT ?",
    [AUDIT_BOUNDS] = "SELECT (SELECT min(seq) FROM audit), (SELECT max(seq) "
                     "FROM audit)",
    [AUDIT_OLDEST] = "SELECT seq, at FROM audit ORDER BY seq LIMIT ?",
    [AUDIT_REMOVE] = "DELETE FROM audit WHERE seq <= ?",
    /* Of one project, or the highest of all. */
    [FLOOR] = "SELECT max(seq) FROM log_floors WHERE log = ?1 AND "
              "(?2 IS NULL OR project = ?2)",
    [FLOOR_SET] = "INSERT OR REPLACE INTO log_floors (log, project, seq) "
                  "VALUES (?1, coalesce(?2, ''), ?3)",
    [COUNTS + STORE_LOG_EVENT] =
        "SELECT project_id, count(*) FROM events GROUP BY project_id",
    [COUNTS + STORE_LOG_AUDIT] =
        "SELECT project_id, count(*) FROM audit GROUP BY project_id",
    /* The number of a project's n-th row, counted from the oldest. */
    [CUT + STORE_LOG_EVENT] =
        "SELECT max(seq) FROM (SELECT seq FROM events WHERE project_id IS ?1 "
        "AND seq < (SELECT max(seq) FROM events) ORDER BY seq LIMIT ?2)",
    [CUT + STORE_LOG_AUDIT] =
        "SELECT max(seq) FROM (SELECT seq FROM audit WHERE project_id IS ?1 "
        "AND seq < (SELECT max(seq) FROM audit) ORDER BY seq LIMIT ?2)",
    [TRIM + STORE_LOG_EVENT] =
        "DELETE FROM events WHERE project_id IS ?1 AND seq <= ?2",
    [TRIM + STORE_LOG_AUDIT] =
        "DELETE FROM audit WHERE project_id IS ?1 AND seq <= ?2",
};

struct store_statements store_event_sql = {sql, ARRAY_SIZE(sql), 0};
#define S(x) (store_base(&store_event_sql) + (x))

void
store_log_id(enum store_log log, int64_t at_us, int64_t seq, char out[ID_SIZE])
{
    uint64_t ms = (uint64_t)(at_us / 1000);
    uint64_t n = (uint64_t)seq;

    snprintf(out, ID_SIZE, "%08llx-%04llx-8%03x-%04llx-%012llx",
             (unsigned long long)(ms >> 16 & 0xffffffff),
             (unsigned long long)(ms & 0xffff), (unsigned)log,
             (unsigned long long)(0x8000 | (n >> 48 & 0x3fff)),
             (unsigned long long)(n & 0xffffffffffff));
}

int
store_log_seq(const char *id, int64_t *ret)
{
    unsigned char raw[8];
    char hex[17];
    uint64_t n = 0;

    if (!id_valid(id) || id[14] != '8')
        return -EINVAL;
    memcpy(hex, id + 19, 4);
    memcpy(hex + 4, id + 24, 13);
    if (id_unhex(hex, raw, sizeof(raw)) < 0)
        return -EINVAL;
    for (size_t i = 0; i < sizeof(raw); i++)
        n = n << 8 | raw[i];
    *ret = (int64_t)(n & (((uint64_t)1 << SEQ_BITS) - 1));
    return 0;
}

static char *
log_id(enum store_log log, int64_t at, int64_t seq)
{
    char id[ID_SIZE];

    store_log_id(log, at, seq, id);
    return xstrdup(id);
}

/* ---- events ---- */

int
store_event_insert(struct db *db, const struct api_event *e)
{
    return store_changed(db_run(db, S(INSERT), "isssssss",
                                e->at ? e->at : clock_now_us(), e->kind,
                                e->project_id, e->resource_type, e->resource_id,
                                e->resource_name, e->state, e->request_id));
}

int
store_event_list(struct db *db, const char *project, int64_t after, int limit,
                 struct codec_list *ret)
{
    unsigned st = project ? S(LIST_PROJECT) : S(LIST_ALL);
    int r = project ? db_query(db, st, "sii", project, after, (int64_t)limit)
                    : db_query(db, st, "ii", after, (int64_t)limit);

    while (r >= 0 && (r = db_next(db, st)) == 1) {
        struct api_event *e = codec_list_add(&table_event, ret);

        e->seq = db_int(db, st, 0);
        e->at = db_int(db, st, 1);
        e->id = log_id(STORE_LOG_EVENT, e->at, e->seq);
        e->kind = store_text(db, st, 2);
        e->project_id = store_text(db, st, 3);
        e->resource_type = store_text(db, st, 4);
        e->resource_id = store_text(db, st, 5);
        e->resource_name = store_text(db, st, 6);
        e->state = store_text(db, st, 7);
        e->request_id = store_text(db, st, 8);
    }
    return r;
}

static int
bounds(struct db *db, unsigned st, int64_t *ret_first, int64_t *ret_last)
{
    int r = db_get(db, st, "");

    if (r == 0) {
        *ret_first = db_int(db, st, 0);
        *ret_last = db_int(db, st, 1);
    }
    db_reset(db, st);
    return r;
}

int
store_event_bounds(struct db *db, const char *project, int64_t *ret_first,
                   int64_t *ret_last)
{
    int64_t first = 0, last = 0;
    int r = bounds(db, S(BOUNDS), &first, &last);

    if (r == 0)
        r = db_get(db, S(FLOOR), "is", (int64_t)STORE_LOG_EVENT, project);
    if (r == 0) {
        *ret_first = MAX(first, last ? db_int(db, S(FLOOR), 0) + 1 : 0);
        *ret_last = last;
    }
    db_reset(db, S(FLOOR));
    return r;
}

/* ---- audit ---- */

int
store_audit_insert(struct db *db, const struct api_audit *a)
{
    return store_changed(
        db_run(db, S(AUDIT_INSERT), "isssssssissss",
               a->at ? a->at : clock_now_us(), a->project_id, a->actor_type,
               a->actor_id, a->actor, a->remote, a->method, a->path, a->status,
               a->code, a->resource_type, a->resource_id, a->request_id));
}

int
store_audit_list(struct db *db, const char *project, int64_t before, int limit,
                 struct codec_list *ret)
{
    unsigned st = project ? S(AUDIT_LIST_PROJECT) : S(AUDIT_LIST_ALL);
    int64_t from = before ? before : INT64_MAX;
    int r = project ? db_query(db, st, "sii", project, from, (int64_t)limit)
                    : db_query(db, st, "ii", from, (int64_t)limit);

    while (r >= 0 && (r = db_next(db, st)) == 1) {
        struct api_audit *a = codec_list_add(&table_audit, ret);

        a->seq = db_int(db, st, 0);
        a->at = db_int(db, st, 1);
        a->id = log_id(STORE_LOG_AUDIT, a->at, a->seq);
        a->project_id = store_text(db, st, 2);
        a->actor_type = store_text(db, st, 3);
        a->actor_id = store_text(db, st, 4);
        a->actor = store_text(db, st, 5);
        a->remote = store_text(db, st, 6);
        a->method = store_text(db, st, 7);
        a->path = store_text(db, st, 8);
        a->status = db_int(db, st, 9);
        a->code = store_text(db, st, 10);
        a->resource_type = store_text(db, st, 11);
        a->resource_id = store_text(db, st, 12);
        a->request_id = store_text(db, st, 13);
    }
    return r;
}

/* ---- expiry ---- */

/* Looks at the oldest rows only: times follow the numbers but for steps of
 * the clock, which may keep a row for longer and lose none. */
static int
expire(struct db *db, const unsigned st[3], int64_t before_us,
       int64_t keep_rows, int limit)
{
    int64_t first = 0, last = 0, cut = 0;
    int r = bounds(db, st[0], &first, &last);

    if (r < 0 || last == 0)
        return r;
    r = db_query(db, st[1], "i", (int64_t)limit);
    while (r >= 0 && (r = db_next(db, st[1])) == 1) {
        int64_t seq = db_int(db, st[1], 0);

        if (seq >= last ||
            (db_int(db, st[1], 1) >= before_us && seq > last - keep_rows)) {
            db_reset(db, st[1]);
            break;
        }
        cut = seq;
    }
    if (r < 0)
        return r;
    return cut ? db_run(db, st[2], "i", cut) : 0;
}

int
store_event_expire(struct db *db, int64_t before_us, int64_t keep_rows,
                   int limit)
{
    const unsigned st[] = {S(BOUNDS), S(OLDEST), S(REMOVE)};

    return expire(db, st, before_us, keep_rows, limit);
}

int
store_audit_expire(struct db *db, int64_t before_us, int64_t keep_rows,
                   int limit)
{
    const unsigned st[] = {S(AUDIT_BOUNDS), S(AUDIT_OLDEST), S(AUDIT_REMOVE)};

    return expire(db, st, before_us, keep_rows, limit);
}

/* ---- room ---- */

static const struct codec_table count_table = {
    .name = "LogCount", .doc = "", .size = sizeof(struct store_log_count)};

int
store_log_counts(struct db *db, enum store_log log, int64_t max,
                 struct codec_list *ret)
{
    unsigned st = S(log == STORE_LOG_EVENT ? BOUNDS : AUDIT_BOUNDS);
    int64_t first = 0, last = 0;
    int r = bounds(db, st, &first, &last);

    /* Numbers are at least as many as rows: nearly always that will do. */
    if (r < 0 || !last || last - first < max)
        return r;
    st = S(COUNTS + log);
    r = db_query(db, st, "");
    while (r >= 0 && (r = db_next(db, st)) == 1) {
        struct store_log_count *c = codec_list_add(&count_table, ret);
        const char *project = db_text(db, st, 0);

        snprintf(c->project, sizeof(c->project), "%s", project ? project : "");
        c->rows = db_int(db, st, 1);
    }
    return r;
}

int
store_log_trim(struct db *db, enum store_log log, const char *project, int rows)
{
    const char *of = project && *project ? project : NULL;
    int64_t cut = 0;
    int r = db_get(db, S(CUT + log), "si", of, (int64_t)rows);

    if (r == 0)
        cut = db_int(db, S(CUT + log), 0);
    db_reset(db, S(CUT + log));
    if (r < 0 || !cut)
        return r;
    r = db_run(db, S(FLOOR_SET), "isi", (int64_t)log, of, cut);
    return r < 0 ? r : db_run(db, S(TRIM + log), "si", of, cut);
}
