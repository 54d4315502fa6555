/* store_webhook.c - rows of webhooks and dead letters; see store_webhook.h. */
#include <config.h>

#include "controllerd/store/store_webhook.h"

#include <string.h>

#include "common/mem.h"
#include "controllerd/store/store-private.h"

enum {
    INSERT,
    GET_ID,
    GET_NAME,
    LIST,
    ALL,
    COUNT_OF,
    UPDATE,
    PROGRESS,
    DELETE,
    LETTER_INSERT,
    LETTER_TRIM,
    LETTER_LIST,
    LETTER_DELETE,
    LETTERS_DUE,
    LETTER_NEXT,
    LETTER_FAILED,
};

#define COLUMNS                                                                \
    "id, project_id, name, url, kinds, disabled, delivered_seq, failures, "    \
    "last_error, next_attempt_at, generation, created_at"
#define LETTER_COLUMNS "id, webhook_id, event, attempts, last_error, created_at"

static const char *const sql[] = {
    [INSERT] = "INSERT INTO webhooks (id, project_id, name, url, secret, "
               "kinds, disabled, delivered_seq, created_at) VALUES (?, ?, ?, "
               "?, ?, ?, ?, ?, ?)",
    [GET_ID] = "SELECT " COLUMNS " FROM webhooks WHERE id = ?2 AND "
               "(?1 IS NULL OR project_id = ?1)",
    [GET_NAME] = "SELECT " COLUMNS " FROM webhooks WHERE "
                 "coalesce(project_id, '') = coalesce(?, '') AND name = ?",
    [LIST] = "SELECT " COLUMNS " FROM webhooks WHERE id > ?2 AND "
             "(?1 IS NULL OR project_id = ?1) ORDER BY id LIMIT ?3",
    [ALL] = "SELECT " COLUMNS ", secret FROM webhooks ORDER BY id",
    [COUNT_OF] = "SELECT count(*) FROM webhooks WHERE "
                 "coalesce(project_id, '') = coalesce(?, '')",
    [UPDATE] = "UPDATE webhooks SET url = ?2, kinds = ?3, disabled = ?4, "
               "generation = generation + 1 WHERE id = ?1",
    [PROGRESS] = "UPDATE webhooks SET delivered_seq = max(delivered_seq, ?2), "
                 "failures = ?3, last_error = ?4, next_attempt_at = ?5 "
                 "WHERE id = ?1",
    [DELETE] = "DELETE FROM webhooks WHERE id = ?",
    [LETTER_INSERT] =
        "INSERT INTO dead_letters (" LETTER_COLUMNS ") SELECT ?1, ?2, ?3, ?4, "
        "?5, ?6 WHERE EXISTS (SELECT 1 FROM webhooks WHERE id = ?2)",
    [LETTER_TRIM] =
        "DELETE FROM dead_letters WHERE webhook_id = ?1 AND id <= (SELECT id "
        "FROM dead_letters WHERE webhook_id = ?1 ORDER BY id DESC "
        "LIMIT 1 OFFSET ?2)",
    [LETTER_LIST] = "SELECT " LETTER_COLUMNS " FROM dead_letters WHERE "
                    "webhook_id = ? AND id > ? ORDER BY id LIMIT ?",
    [LETTER_DELETE] = "DELETE FROM dead_letters WHERE webhook_id = ? AND "
                      "id = ?",
    [LETTERS_DUE] = "UPDATE dead_letters SET due = 1 WHERE webhook_id = ?",
    [LETTER_NEXT] = "SELECT " LETTER_COLUMNS " FROM dead_letters WHERE "
                    "webhook_id = ? AND due = 1 ORDER BY id LIMIT 1",
    [LETTER_FAILED] = "UPDATE dead_letters SET due = 0, attempts = attempts + "
                      "1, last_error = ?2 WHERE id = ?1",
};

struct store_statements store_webhook_sql = {sql, ARRAY_SIZE(sql), 0};
#define S(x) (store_base(&store_webhook_sql) + (x))

static char *
join(const struct codec_list *l)
{
    struct buf b = {0};

    for (size_t i = 0; i < l->n; i++)
        buf_addf(&b, "%s%s", i ? "," : "", ((char **)l->items)[i]);
    return buf_take(&b);
}

static void
split(const char *text, struct codec_list *ret)
{
    while (text && *text) {
        size_t n = strcspn(text, ",");
        char *one _cleanup_(freep) = xstrndup(text, n);

        codec_strings_add(ret, one);
        text += n + (text[n] == ',');
    }
}

static void
row(struct db *db, unsigned st, struct api_webhook *w)
{
    w->id = store_text(db, st, 0);
    w->project_id = store_text(db, st, 1);
    w->name = store_text(db, st, 2);
    w->url = store_text(db, st, 3);
    split(db_text(db, st, 4), &w->kinds);
    w->disabled = db_int(db, st, 5);
    w->delivered_seq = db_int(db, st, 6);
    w->failures = db_int(db, st, 7);
    w->last_error = store_text(db, st, 8);
    w->next_attempt_at = db_int(db, st, 9);
    w->generation = db_int(db, st, 10);
    w->created_at = db_int(db, st, 11);
}

int
store_webhook_insert(struct db *db, const struct api_webhook *w)
{
    char *kinds _cleanup_(freep) = join(&w->kinds);

    return store_changed(db_run(db, S(INSERT), "ssssssiii", w->id,
                                w->project_id, w->name, w->url, w->secret,
                                kinds, (int64_t)w->disabled, w->delivered_seq,
                                w->created_at));
}

int
store_webhook_get(struct db *db, const char *project, const char *ref,
                  struct api_webhook *ret)
{
    unsigned st = id_valid(ref) ? S(GET_ID) : S(GET_NAME);
    int r = db_get(db, st, "ss", project, ref);

    if (r == 0) {
        *ret = (struct api_webhook){0};
        row(db, st, ret);
    }
    db_reset(db, st);
    return r;
}

int
store_webhook_list(struct db *db, const char *project, const char *after,
                   int limit, struct codec_list *ret)
{
    int r = db_query(db, S(LIST), "ssi", project, after, (int64_t)limit);

    while (r >= 0 && (r = db_next(db, S(LIST))) == 1)
        row(db, S(LIST), codec_list_add(&table_webhook, ret));
    return r;
}

int
store_webhook_all(struct db *db, struct codec_list *ret)
{
    int r = db_query(db, S(ALL), "");

    while (r >= 0 && (r = db_next(db, S(ALL))) == 1) {
        struct api_webhook *w = codec_list_add(&table_webhook, ret);

        row(db, S(ALL), w);
        w->secret = store_text(db, S(ALL), 12);
    }
    return r;
}

int
store_webhook_count(struct db *db, const char *project, int64_t *ret)
{
    int r = db_get(db, S(COUNT_OF), "s", project);

    if (r == 0)
        *ret = db_int(db, S(COUNT_OF), 0);
    db_reset(db, S(COUNT_OF));
    return r;
}

int
store_webhook_update(struct db *db, const struct api_webhook *w)
{
    char *kinds _cleanup_(freep) = join(&w->kinds);

    return store_changed(db_run(db, S(UPDATE), "sssi", w->id, w->url, kinds,
                                (int64_t)w->disabled));
}

int
store_webhook_progress(struct db *db, const struct api_webhook *w)
{
    return store_changed(db_run(db, S(PROGRESS), "siisz", w->id,
                                w->delivered_seq, w->failures, w->last_error,
                                w->next_attempt_at));
}

int
store_webhook_delete(struct db *db, const char *id)
{
    return store_changed(db_run(db, S(DELETE), "s", id));
}

/* ---- dead letters ---- */

int
store_letter_insert(struct db *db, const struct api_dead_letter *l)
{
    struct buf event _cleanup_(buf_release) = {0};

    codec_encode(&table_event, l->event, &event);
    int r = store_changed(db_run(db, S(LETTER_INSERT), "sssisi", l->id,
                                 l->webhook_id, buf_str(&event), l->attempts,
                                 l->last_error, l->created_at));
    if (r == 0)
        r = db_run(db, S(LETTER_TRIM), "si", l->webhook_id,
                   (int64_t)STORE_LETTERS_MAX);
    return r < 0 ? r : 0;
}

static int
letter_row(struct db *db, unsigned st, struct api_dead_letter *l)
{
    const char *event = db_text(db, st, 2);

    l->id = store_text(db, st, 0);
    l->webhook_id = store_text(db, st, 1);
    l->event = xnew(struct api_event);
    l->attempts = db_int(db, st, 3);
    l->last_error = store_text(db, st, 4);
    l->created_at = db_int(db, st, 5);
    return codec_decode(&table_event, CODEC_REPLY, event, strlen(event),
                        l->event, NULL);
}

int
store_letter_list(struct db *db, const char *webhook, const char *after,
                  int limit, struct codec_list *ret)
{
    unsigned st = S(LETTER_LIST);
    int r = db_query(db, st, "ssi", webhook, after, (int64_t)limit);

    while (r >= 0 && (r = db_next(db, st)) == 1) {
        r = letter_row(db, st, codec_list_add(&table_dead_letter, ret));
        if (r < 0)
            db_reset(db, st);
    }
    return r;
}

int
store_letter_delete(struct db *db, const char *webhook, const char *id)
{
    return store_changed(db_run(db, S(LETTER_DELETE), "ss", webhook, id));
}

int
store_letters_due(struct db *db, const char *webhook)
{
    int r = db_run(db, S(LETTERS_DUE), "s", webhook);

    return r < 0 ? r : 0;
}

int
store_letter_next(struct db *db, const char *webhook,
                  struct api_dead_letter *ret)
{
    unsigned st = S(LETTER_NEXT);
    int r = db_get(db, st, "s", webhook);

    if (r == 0) {
        *ret = (struct api_dead_letter){0};
        r = letter_row(db, st, ret);
        if (r < 0)
            codec_clear(&table_dead_letter, ret);
    }
    db_reset(db, st);
    return r;
}

int
store_letter_failed(struct db *db, const char *id, const char *error)
{
    int r = db_run(db, S(LETTER_FAILED), "ss", id, error);

    return r < 0 ? r : 0; /* it may have been deleted meanwhile */
}
