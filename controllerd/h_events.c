/* h_events.c - GET /v1/events: pages, and streams without end. */
#include <config.h>

#include "controllerd/handlers.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "controllerd/events.h"
#include "controllerd/log_page.h"
#include "controllerd/store/store_event.h"

#define RETRY_MS 2000
/* Rows that one page looks at: few may match. */
#define SCAN_MAX 5000

static int
get_filter(struct call *c, struct db *db, struct event_filter *f)
{
    const char *kinds = http_query(c->rq, "kinds");
    const char *project;
    char id[ID_SIZE];
    int r = call_project_filter(c, db, id, &project);

    if (r < 0)
        return r;
    if (kinds &&
        (strlen(kinds) >= sizeof(f->kinds) || !event_kinds_valid(kinds)))
        return err_field(&c->err, "?kinds", "kinds",
                         "must be kinds with commas, such as instance.* or "
                         "node.up");
    *f = (struct event_filter){.admin = c->who.role == ROLE_ADMIN ||
                                        c->who.role == ROLE_OPERATOR};
    snprintf(f->kinds, sizeof(f->kinds), "%s", kinds ? kinds : "");
    snprintf(f->project_id, sizeof(f->project_id), "%s",
             project ? project : "");
    return 0;
}

/* NULL: of all. */
static const char *
project_of(const struct event_filter *f)
{
    return f->project_id[0] ? f->project_id : NULL;
}

static int
parse_seq(struct call *c, const char *pointer, const char *s, int64_t *ret)
{
    char *end;

    errno = 0;
    int64_t v = strtoll(s, &end, 10);
    if (errno || *s < '0' || *s > '9' || *end)
        return err_field(&c->err, pointer, "range",
                         "must be the seq of an event, 0 or more");
    *ret = v;
    return 0;
}

/* ---- streams ---- */

static bool
wants_stream(struct call *c)
{
    const char *accept = http_header(c->rq, "Accept");

    return accept && strstr(accept, "text/event-stream") &&
           !strstr(accept, "application/json");
}

static int
stream(struct call *c, struct db *db, const struct event_filter *f)
{
    const char *last_id = http_header(c->rq, "Last-Event-ID");
    const char *since = http_query(c->rq, "since");
    struct buf first _cleanup_(buf_release) = {0};
    int64_t from = -1, oldest = 0, newest = 0;
    int r = 0;

    /* A browser that connects again has both: the header is the later one. */
    if (last_id && *last_id)
        r = parse_seq(c, "Last-Event-ID", last_id, &from);
    else if (since && !streq(since, "latest"))
        r = parse_seq(c, "?since", since, &from);
    if (r < 0)
        return r;
    r = store_event_bounds(db, project_of(f), &oldest, &newest);
    if (r < 0)
        return store_error(c, db, r);
    buf_addf(&first, "retry: %d\n\n", RETRY_MS);
    if (from < 0) {
        from = newest;
    } else if (from > newest || (from && from + 1 < oldest)) {
        from = from > newest ? newest : oldest - 1;
        event_sse_reset(from, oldest, newest, &first);
    }
    /* For a proxy in between: pass on what comes, at once. */
    http_add_header(c->rq, "X-Accel-Buffering", "no");
    return events_stream(c, f, &first, from);
}

/* ---- pages ---- */

static bool
wanted(const void *row, void *arg)
{
    return event_wanted(arg, row);
}

static void
reply(struct call *c, const struct log_page *p)
{
    char next[24] = "";

    if (p->more)
        snprintf(next, sizeof(next), "%lld", (long long)p->cursor);
    http_add_header(c->rq, "Virga-Event-Seq", "%lld", (long long)p->cursor);
    reply_items(c, &table_event, &p->items, next);
}

static int
page_start(struct call *c, struct db *db, const struct event_filter *f,
           int64_t *ret)
{
    const char *since = http_query(c->rq, "since");
    const char *token = http_query(c->rq, "page_token");
    int64_t oldest = 0, newest = 0;
    int r = 0;

    *ret = 0;
    if (since && streq(since, "latest") && !token) {
        /* The same place when it is asked again after a wait. */
        if (!c->phase) {
            r = store_event_bounds(db, NULL, &oldest, &newest);
            c->since = newest;
            c->phase = 1;
        }
        *ret = c->since;
        return r < 0 ? store_error(c, db, r) : 0;
    }
    if (token && *token)
        r = parse_seq(c, "?page_token", token, ret);
    else if (since)
        r = parse_seq(c, "?since", since, ret);
    if (r == 0 && *ret) {
        r = store_event_bounds(db, project_of(f), &oldest, &newest);
        if (r < 0)
            return store_error(c, db, r);
        if (*ret > newest || *ret + 1 < oldest)
            return err_set(&c->err, -EINVAL, "events_expired",
                           "events are kept from seq %lld to %lld: read anew "
                           "what there is, and go on from there",
                           (long long)oldest, (long long)newest);
    }
    return r;
}

static int
page(struct call *c, struct db *db, struct event_filter *f)
{
    struct log_page p = {0};
    int64_t limit, wait_us;
    int r = query_int(c, "limit", 1, 1000, 100, &limit);

    if (query_duration(c, "wait", 60 * US_PER_S, &wait_us) < 0 || r < 0)
        return -EINVAL;
    r = page_start(c, db, f, &p.cursor);
    if (r < 0)
        return r;
    struct log_scan s = {.table = &table_event,
                         .list = store_event_list,
                         .wanted = wanted,
                         .arg = f,
                         .project = project_of(f),
                         .limit = (size_t)limit,
                         .rows = SCAN_MAX};
    r = log_page_scan(db, &s, &p);
    if (r < 0) {
        codec_list_clear(&table_event, &p.items);
        return store_error(c, db, r);
    }
    int64_t now = clock_mono_us();
    if (!c->deadline_us)
        c->deadline_us = now + wait_us;
    if (!p.items.n && !p.more && now < c->deadline_us &&
        !atomic_load(&c->ctl->stopping))
        return events_wait(c, f, p.cursor);
    reply(c, &p);
    codec_list_clear(&table_event, &p.items);
    return 0;
}

int
h_event_list(struct call *c, struct db *db)
{
    struct event_filter f;
    int r = get_filter(c, db, &f);

    if (r < 0)
        return r;
    return wants_stream(c) ? stream(c, db, &f) : page(c, db, &f);
}
