/* h_webhooks.c - where a project's events are sent to. */
#include <config.h>

#include "controllerd/handlers.h"

#include <stddef.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "controllerd/events.h"
#include "controllerd/quota.h"
#include "controllerd/store/store_event.h"
#include "controllerd/store/store_webhook.h"
#include "controllerd/webhook_msg.h"
#include "controllerd/webhooks.h"

static int
check_kinds(struct call *c, const struct codec_list *l)
{
    char *const *kinds = l->items;
    size_t bytes = 0;

    for (size_t i = 0; i < l->n; i++) {
        char pointer[32];

        bytes += strlen(kinds[i]) + 1;
        if (*kinds[i] && !strchr(kinds[i], ',') && event_kinds_valid(kinds[i]))
            continue;
        snprintf(pointer, sizeof(pointer), "/kinds/%zu", i);
        return err_field(&c->err, pointer, "kinds",
                         "must be a kind of events, such as instance.* or "
                         "node.up");
    }
    if (bytes > EVENT_KINDS_MAX)
        return err_field(&c->err, "/kinds", "too_long",
                         "must have less than %d characters in all",
                         EVENT_KINDS_MAX);
    return 0;
}

static int
check_secret(struct call *c, struct api_webhook *w)
{
    struct webhook_key key;
    char made[WEBHOOK_SECRET_SIZE];

    if (!w->secret) {
        webhook_new_secret(made);
        w->secret = xstrdup(made);
    }
    if (webhook_parse_secret(w->secret, &key) == 0)
        return 0;
    return err_field(&c->err, "/secret", "secret",
                     "must be whsec_ and the base64 of %d to %d bytes",
                     WEBHOOK_KEY_MIN, WEBHOOK_KEY_MAX);
}

static int
check_room(struct call *c, struct db *db, const char *project)
{
    int64_t n = 0;
    int r = store_webhook_count(db, project, &n);

    return r < 0 ? store_error(c, db, r)
                 : quota_cap(c, "webhooks", n, WEBHOOKS_PER_PROJECT);
}

int
h_webhook_create(struct call *c, struct db *db)
{
    struct api_webhook *w = c->in;
    char id[ID_SIZE], project_id[ID_SIZE];
    const char *project;
    int64_t first;
    int r =
        webhook_check_url(w->url, c->ctl->cfg.webhook_allow_private, &c->err);

    if (check_kinds(c, &w->kinds) < 0 || check_secret(c, w) < 0 || r < 0)
        return -EINVAL;
    r = call_project_filter(c, db, project_id, &project);
    if (r == 0)
        r = check_room(c, db, project);
    if (r < 0)
        return r;
    id_new(id);
    w->id = xstrdup(id);
    w->project_id = xstrdup(project);
    w->created_at = clock_now_us();
    w->generation = 1;
    r = store_event_bounds(db, NULL, &first, &w->delivered_seq);
    if (r == 0)
        r = store_webhook_insert(db, w);
    if (r == -EEXIST) {
        err_field(&c->err, "/name", "name_taken",
                  "is taken by another webhook");
        return err_set(&c->err, r, "name_taken",
                       "there is a webhook \"%s\" already", w->name);
    }
    if (r < 0)
        return store_error(c, db, r);
    call_touched(c, "webhook.created", w->id, w->name, w->project_id);
    reply_object(c, &table_webhook, w);
    call_location(c, "/v1/webhooks", w->id);
    return 0;
}

void
h_webhook_changed(struct call *c)
{
    webhooks_changed(c->ctl);
}

int
h_webhook_list(struct call *c, struct db *db)
{
    struct codec_list l = {0};
    char after[ID_SIZE];
    int limit;
    int r = query_page(c, &limit, after);

    if (r < 0)
        return r;
    r = store_webhook_list(db, call_project(c), after, limit + 1, &l);
    if (r == 0)
        reply_page(c, &table_webhook, &l, limit,
                   offsetof(struct api_webhook, id));
    codec_list_clear(&table_webhook, &l);
    return r < 0 ? store_error(c, db, r) : 0;
}

static int
get(struct call *c, struct db *db, struct api_webhook *ret)
{
    int r = store_webhook_get(db, call_project(c), c->m.params[0], ret);

    if (r == -ENOENT)
        return not_found(c, "webhook", c->m.params[0]);
    return r < 0 ? store_error(c, db, r) : 0;
}

int
h_webhook_show(struct call *c, struct db *db)
{
    struct api_webhook w = {0};
    int r = get(c, db, &w);

    if (r == 0)
        reply_object(c, &table_webhook, &w);
    codec_clear(&table_webhook, &w);
    return r;
}

int
h_webhook_change(struct call *c, struct db *db)
{
    struct api_webhook_change *in = c->in;
    struct api_webhook w = {0};
    int r = get(c, db, &w);

    if (r == 0)
        r = call_if_match(c, w.generation);
    if (r == 0 && in->url)
        r = webhook_check_url(in->url, c->ctl->cfg.webhook_allow_private,
                              &c->err);
    if (r == 0 && in->has_kinds)
        r = check_kinds(c, &in->kinds);
    if (r == 0) {
        if (in->url)
            xstrset(&w.url, in->url);
        if (in->has_kinds) {
            codec_strings_clear(&w.kinds);
            w.kinds = in->kinds; /* moved */
            in->kinds = (struct codec_list){0};
        }
        if (in->disabled >= 0)
            w.disabled = in->disabled;
        r = store_webhook_update(db, &w);
        if (r < 0)
            store_error(c, db, r);
    }
    if (r == 0) {
        w.generation++;
        call_touched(c, "webhook.changed", w.id, w.name, w.project_id);
        reply_object(c, &table_webhook, &w);
    }
    codec_clear(&table_webhook, &w);
    return r;
}

int
h_webhook_delete(struct call *c, struct db *db)
{
    struct api_webhook w = {0};
    int r = get(c, db, &w);

    if (r == 0)
        r = call_if_match(c, w.generation);
    if (r == 0) {
        r = store_webhook_delete(db, w.id);
        if (r < 0)
            store_error(c, db, r);
    }
    if (r == 0) {
        call_touched(c, "webhook.deleted", w.id, w.name, w.project_id);
        reply_empty(c);
    }
    codec_clear(&table_webhook, &w);
    return r;
}

/* ---- dead letters ---- */

int
h_dead_letter_list(struct call *c, struct db *db)
{
    struct codec_list l = {0};
    struct api_webhook w = {0};
    char after[ID_SIZE];
    int limit;
    int r = query_page(c, &limit, after);

    if (r == 0)
        r = get(c, db, &w);
    if (r < 0)
        return r;
    r = store_letter_list(db, w.id, after, limit + 1, &l);
    if (r == 0)
        reply_page(c, &table_dead_letter, &l, limit,
                   offsetof(struct api_dead_letter, id));
    codec_list_clear(&table_dead_letter, &l);
    codec_clear(&table_webhook, &w);
    return r < 0 ? store_error(c, db, r) : 0;
}

int
h_dead_letter_delete(struct call *c, struct db *db)
{
    struct api_webhook w = {0};
    int r = get(c, db, &w);

    if (r == 0) {
        r = store_letter_delete(db, w.id, c->m.params[1]);
        if (r == -ENOENT)
            not_found(c, "dead letter", c->m.params[1]);
        else if (r < 0)
            store_error(c, db, r);
    }
    if (r == 0) {
        call_touched(c, "dead_letter", c->m.params[1], NULL, w.project_id);
        reply_empty(c);
    }
    codec_clear(&table_webhook, &w);
    return r;
}

int
h_webhook_redeliver(struct call *c, struct db *db)
{
    struct api_webhook w = {0};
    int r = get(c, db, &w);

    if (r == 0) {
        w.next_attempt_at = 0;
        r = store_letters_due(db, w.id);
        if (r < 0)
            store_error(c, db, r);
    }
    if (r == 0) {
        call_touched(c, "webhook", w.id, w.name, w.project_id);
        reply_object(c, &table_webhook, &w);
    }
    codec_clear(&table_webhook, &w);
    return r;
}

void
h_webhook_redelivers(struct call *c)
{
    webhooks_redeliver(c->ctl, c->touched.id);
}
