/* webhook_feed.c - which event a webhook gets next, and what is stored of it;
 * see webhooks-private.h. */
#include <config.h>

#include "controllerd/webhooks-private.h"

#include <assert.h>
#include <string.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/log.h"
#include "common/mem.h"
#include "controllerd/store/store_event.h"
#include "controllerd/store/store_webhook.h"

#define FIND_ROWS 200

struct project_posts {
    char project_id[ID_SIZE];
    int n;
    UT_hash_handle hh;
};

int
posts_of(struct project_posts *const *t, const char *project_id)
{
    struct project_posts *p;

    project_id = project_id ? project_id : "";
    HASH_FIND_STR(*t, project_id, p);
    return p ? p->n : 0;
}

void
posts_begin(struct project_posts **t, const char *project_id)
{
    struct project_posts *p;

    project_id = project_id ? project_id : "";
    HASH_FIND_STR(*t, project_id, p);
    if (!p) {
        p = xnew(struct project_posts);
        snprintf(p->project_id, sizeof(p->project_id), "%s", project_id);
        HASH_ADD_STR(*t, project_id, p);
    }
    p->n++;
}

void
posts_end(struct project_posts **t, const char *project_id)
{
    struct project_posts *p;

    project_id = project_id ? project_id : "";
    HASH_FIND_STR(*t, project_id, p);
    assert(p && p->n > 0);
    if (--p->n > 0)
        return;
    HASH_DEL(*t, p);
    free(p);
}

void
event_copy(const struct api_event *from, struct api_event *to)
{
    *to = *from;
    to->id = xstrdup(from->id);
    to->kind = xstrdup(from->kind);
    to->project_id = xstrdup(from->project_id);
    to->resource_type = xstrdup(from->resource_type);
    to->resource_id = xstrdup(from->resource_id);
    to->resource_name = xstrdup(from->resource_name);
    to->state = xstrdup(from->state);
    to->request_id = xstrdup(from->request_id);
}

static void
drop_event(struct hook *h)
{
    codec_clear(&table_event, &h->event);
    h->has_event = false;
}

static void
drop_letter(struct hook *h)
{
    codec_clear(&table_dead_letter, &h->letter);
    h->has_letter = false;
}

void
hook_free(struct hook *h)
{
    drop_event(h);
    drop_letter(h);
    codec_clear(&table_webhook, &h->w);
    codec_list_clear(&table_dead_letter, &h->dead);
    free(h->letter_error);
    free(h);
}

void
hook_take(struct hook *h, struct api_webhook *row)
{
    struct buf kinds _cleanup_(buf_release) = {0};
    bool known = h->w.id;

    for (size_t i = 0; i < row->kinds.n; i++)
        buf_addf(&kinds, "%s%s", i ? "," : "", ((char **)row->kinds.items)[i]);
    if (known) {
        /* How far it is, we know best. */
        row->delivered_seq = h->w.delivered_seq;
        row->failures = h->w.failures;
        row->next_attempt_at = h->w.next_attempt_at;
        xstrset(&row->last_error, h->w.last_error);
        codec_clear(&table_webhook, &h->w);
    } else {
        h->scanned = h->saved_seq = row->delivered_seq;
        h->letters = true; /* there may be some that are due */
    }
    h->w = *row; /* moved */
    *row = (struct api_webhook){0};
    h->filter = (struct event_filter){.admin = true};
    snprintf(h->filter.project_id, ID_SIZE, "%s",
             h->w.project_id ? h->w.project_id : "");
    snprintf(h->filter.kinds, EVENT_KINDS_MAX, "%s", buf_str(&kinds));
    if (webhook_parse_secret(h->w.secret, &h->key) < 0) {
        /* Its creation checked that: a row that somebody else wrote. */
        log_error("webhook has no usable secret", "webhook=%s; it is left out",
                  h->w.id);
        h->w.disabled = true;
    }
    if (h->state == HOOK_READY && !event_wanted(&h->filter, &h->event)) {
        drop_event(h);
        h->state = HOOK_IDLE;
    }
}

void
hook_offer(struct hook *h, const struct api_event *e)
{
    if (h->state != HOOK_IDLE || e->seq <= h->scanned)
        return;
    h->scanned = e->seq;
    if (!event_wanted(&h->filter, e))
        return;
    event_copy(e, &h->event);
    h->has_event = true;
    h->state = HOOK_READY;
}

/* A letter that tells of a gap takes the place of what is in it. */
static void
tell_gap(struct hook *h, int64_t first_seq)
{
    struct api_dead_letter *l = codec_list_add(&table_dead_letter, &h->dead);
    char id[ID_SIZE];

    COUNT(webhook_events_expired);
    id_new(id);
    l->id = xstrdup(id);
    l->webhook_id = xstrdup(h->w.id);
    l->created_at = clock_now_us();
    l->last_error = xasprintf("the events after seq %lld and before %lld were "
                              "older than is kept",
                              (long long)h->scanned, (long long)first_seq);
    struct api_event *e = l->event = xnew(struct api_event);
    store_log_id(STORE_LOG_EVENT, l->created_at, first_seq - 1, id);
    e->id = xstrdup(id);
    e->seq = first_seq - 1;
    e->at = l->created_at;
    e->kind = xstrdup("webhook.events_expired");
    e->project_id = xstrdup(h->w.project_id);
    e->resource_type = xstrdup("webhook");
    e->resource_id = xstrdup(h->w.id);
    e->resource_name = xstrdup(h->w.name);
    h->scanned = h->w.delivered_seq = first_seq - 1;
    h->state = HOOK_UNSAVED;
}

bool
hook_find(struct hook *h, struct db *db, int64_t last_seq)
{
    struct codec_list l = {0};
    int64_t first = 0, last = 0;

    if (h->state != HOOK_IDLE || h->scanned >= last_seq)
        return false;
    int r = store_event_bounds(db, h->w.project_id, &first, &last);
    if (r == 0 && h->scanned + 1 < first) {
        tell_gap(h, first);
        return false;
    }
    if (r == 0)
        r = store_event_list(db, h->w.project_id, h->scanned, FIND_ROWS, &l);
    if (r < 0) {
        COUNT(webhook_read_failed); /* again at the next wake */
        codec_list_clear(&table_event, &l);
        return false;
    }
    const struct api_event *e = l.items;
    for (size_t i = 0; i < l.n && h->state == HOOK_IDLE; i++)
        hook_offer(h, &e[i]);
    if (l.n < FIND_ROWS && h->state == HOOK_IDLE)
        h->scanned = MAX(h->scanned, last_seq);
    codec_list_clear(&table_event, &l);
    return h->state == HOOK_IDLE && h->scanned < last_seq;
}

/* ---- outcomes ---- */

int64_t
hook_backoff_us(const struct ctl_config *cfg, int64_t failures)
{
    int64_t us = cfg->webhook_retry_us;
    uint32_t noise;

    for (int64_t i = 1; i < failures && us < cfg->webhook_retry_max_us; i++)
        us *= 2;
    us = MIN(us, cfg->webhook_retry_max_us);
    /* A fifth more or less: many that failed together come back apart. */
    id_random(&noise, sizeof(noise));
    return us - us / 5 + (int64_t)(noise % (uint64_t)(us * 2 / 5 + 1));
}

static void
give_up(struct hook *h, const char *error)
{
    struct api_dead_letter *l = codec_list_add(&table_dead_letter, &h->dead);
    char id[ID_SIZE];

    COUNT(webhook_dead_letter);
    id_new(id);
    l->id = xstrdup(id);
    l->webhook_id = xstrdup(h->w.id);
    l->event = xnew(struct api_event);
    *l->event = h->event; /* moved */
    h->event = (struct api_event){0};
    l->attempts = h->w.failures;
    l->last_error = xstrdup(error);
    l->created_at = clock_now_us();
}

static void
go_on(struct hook *h)
{
    drop_event(h);
    h->w.delivered_seq = h->scanned;
    h->w.failures = 0;
    h->w.next_attempt_at = 0;
}

static void
letter_result(struct hook *h, bool taken, const char *error)
{
    if (taken) {
        COUNT(webhook_redelivered);
        memcpy(h->letter_gone, h->letter.id, ID_SIZE);
    } else {
        memcpy(h->letter_failed, h->letter.id, ID_SIZE);
        xstrset(&h->letter_error, error);
    }
    drop_letter(h);
    h->turn = false;
}

void
hook_result(struct hook *h, const struct ctl_config *cfg,
            const struct post_outcome *o)
{
    bool taken = o->status / 100 == 2;

    h->post = NULL;
    h->state = HOOK_UNSAVED;
    h->turn = true;
    if (h->has_letter) {
        letter_result(h, taken, o->error);
        return;
    }
    if (taken) {
        COUNT(webhook_delivered);
        xstrset(&h->w.last_error, NULL);
        go_on(h);
        return;
    }
    COUNT(webhook_attempt_failed);
    xstrset(&h->w.last_error, o->error);
    h->w.failures++;
    if (h->w.failures < cfg->webhook_attempts) {
        h->w.next_attempt_at =
            clock_now_us() + hook_backoff_us(cfg, h->w.failures);
        return;
    }
    give_up(h, o->error);
    go_on(h);
}

int
hook_store(const struct hook *h, struct db *db)
{
    const struct api_dead_letter *l = h->dead.items;
    int r = store_webhook_progress(db, &h->w);

    if (r == -ENOENT)
        return 0; /* deleted meanwhile, with its letters */
    for (size_t i = 0; i < h->dead.n && r == 0; i++)
        r = store_letter_insert(db, &l[i]);
    if (r == 0 && h->letter_gone[0]) {
        r = store_letter_delete(db, h->w.id, h->letter_gone);
        r = r == -ENOENT ? 0 : r;
    }
    if (r == 0 && h->letter_failed[0])
        r = store_letter_failed(db, h->letter_failed, h->letter_error);
    return r;
}

void
hook_stored(struct hook *h)
{
    codec_list_clear(&table_dead_letter, &h->dead);
    h->letter_gone[0] = h->letter_failed[0] = '\0';
    h->saved_seq = h->w.delivered_seq;
    h->state = h->has_event ? HOOK_READY : HOOK_IDLE;
}
