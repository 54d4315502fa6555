/* h_instances.c - instances: how they come to be, and what is known of them.
 * What changes them is in h_verbs.c. */
#include <config.h>

#include "controllerd/handlers.h"

#include <stddef.h>
#include <string.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/mem.h"
#include "controllerd/create.h"
#include "controllerd/filter.h"

#define LOG_LIMIT (1 << 20)

/* ---- read ---- */

/* Rows that one call looks at where no index knows the answer: the page ends
 * there, with what was found, and the next goes on. */
#define SCAN_LIMIT 4000

static const struct filter_field filter_fields[] = {
    {.name = "name"},
    {.name = "state"},
    {.name = "image", .also = "image_id"},
    {.name = "flavor", .also = "flavor_id"},
    {.name = "restart_policy"},
    {.name = "locked"},
    {.name = "delete_protection"},
    {.name = "node_id", .operators = true},
};
static const struct filter_spec filter_spec = {
    &table_instance, "labels", filter_fields, ARRAY_SIZE(filter_fields)};

static bool
keep(const struct api_instance *a, void *arg)
{
    return filter_match(arg, a);
}

/* A name is one of a project's; without one there may be several. */
static int
list_named(struct call *c, struct db *db, const char *project,
           const char *after, struct filter *f, struct codec_list *ret)
{
    struct store_instance i = {0};
    int r = store_instance_get(db, project, NULL, filter_value(f, "name"), &i);

    if (r == 0 && strcmp(i.a.id, after) > 0 && filter_match(f, &i.a)) {
        *(struct api_instance *)codec_list_add(&table_instance, ret) = i.a;
        i.a = (struct api_instance){0};
    }
    store_instance_release(&i);
    return r == -ENOENT ? 0 : r;
}

static int
list_filtered(struct call *c, struct db *db, const char *project,
              const char *after, int limit, struct filter *f,
              struct codec_list *ret, char next[ID_SIZE])
{
    const struct filter_term *label = filter_label(f);

    if (project && filter_value(f, "name"))
        return list_named(c, db, project, after, f, ret);
    struct store_instance_scan q = {
        .project = project,
        .after = after,
        .limit = limit,
        .scan_limit = MAX(SCAN_LIMIT, limit),
        .node = filter_value(f, "node_id"),
        .label = label ? label->key : NULL,
        .label_value = label ? label->value : NULL,
        .keep = keep,
        .arg = f,
    };
    return store_instance_scan(db, &q, ret, next);
}

static int
list(struct call *c, struct db *db, const char *project, const char *after,
     int limit, struct filter *f)
{
    struct codec_list l = {0};
    char next[ID_SIZE] = "";
    int r = f->n ? list_filtered(c, db, project, after, limit, f, &l, next)
                 : store_instance_list(db, project, after, limit + 1, &l);
    struct api_instance *a = l.items;

    for (size_t k = 0; k < l.n && c->who.role != ROLE_OPERATOR; k++)
        freep(&a[k].node_id);
    if (r == 0 && f->n)
        reply_items(c, &table_instance, &l, next);
    else if (r == 0)
        reply_page(c, &table_instance, &l, limit,
                   offsetof(struct api_instance, id));
    codec_list_clear(&table_instance, &l);
    return r < 0 ? store_error(c, db, r) : 0;
}

int
h_instance_list(struct call *c, struct db *db)
{
    char after[ID_SIZE], other[ID_SIZE];
    struct filter f _cleanup_(filter_release) = {0};
    const char *project;
    int limit;
    int r = query_page(c, &limit, after);

    if (r == 0)
        r = query_filter(c, &filter_spec, &f);
    if (r == 0)
        r = call_project_filter(c, db, other, &project);
    return r < 0 ? r : list(c, db, project, after, limit, &f);
}

int
h_instance_get(struct call *c, struct db *db, struct store_instance *ret)
{
    int r = store_instance_get(db, call_project(c), c->ctl->default_project,
                               c->m.params[0], ret);

    if (r == -ENOENT)
        return not_found(c, "instance", c->m.params[0]);
    return r < 0 ? store_error(c, db, r) : 0;
}

int
h_instance_show(struct call *c, struct db *db)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};
    int r = h_instance_get(c, db, &i);

    if (r == 0)
        h_instance_reply(c, &i.a);
    return r;
}

/* Bytes as they were given; what a tenant wrote is never taken for a page. */
int
h_instance_user_data(struct call *c, struct db *db)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};
    char *text _cleanup_(freep) = NULL;
    int r = h_instance_get(c, db, &i);

    if (r < 0)
        return r;
    r = store_seed_user_data(db, i.a.id, &text);
    if (r < 0)
        return store_error(c, db, r);
    reply_text(c, "text/plain; charset=utf-8", text ? text : "");
    return 0;
}

/* ---- what only the node knows ---- */

/* The instance, if its node can be asked. */
static int
get_reachable(struct call *c, struct db *db, struct store_instance *i)
{
    int r = h_instance_get(c, db, i);

    if (r == 0 && !nodes_up(c->ctl, i->a.node_id))
        return err_set(&c->err, -EAGAIN, "node_unreachable",
                       "the instance's node does not report; try again later");
    return r;
}

int
h_instance_console_log(struct call *c, struct db *db)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};
    int64_t offset, limit;
    int r = query_int(c, "offset", 0, INT64_MAX, -1, &offset);

    if (query_int(c, "limit", 1, LOG_LIMIT, 65536, &limit) < 0 || r < 0)
        return -EINVAL;
    if (!c->question[0]) {
        r = get_reachable(c, db, &i);
        return r < 0 ? r
                     : nodes_ask(c, i.a.node_id, REQUEST_CONSOLE_LOG, i.a.id,
                                 offset, limit);
    }
    r = nodes_asked(c);
    if (r != 0)
        return r;
    struct node_answer *a = c->work;
    buf_add(&c->rq->reply, a->body.data, a->body.len);
    http_add_header(c->rq, "Virga-Log-Offset", "%lld",
                    (long long)a->log_offset);
    http_add_header(c->rq, "Virga-Log-End", "%lld", (long long)a->log_end);
    c->rq->content_type = "text/plain; charset=utf-8";
    c->rq->status = 200;
    return 0;
}

int
h_instance_stats(struct call *c, struct db *db)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};
    struct api_stats s = {0};

    if (!c->question[0]) {
        int r = get_reachable(c, db, &i);

        if (r == 0 && i.a.state != INSTANCE_RUNNING)
            r = h_wrong_state(c, &i, "measured");
        if (r == 0)
            r = h_need(c, &i, NEED_STATS);
        return r < 0 ? r
                     : nodes_ask(c, i.a.node_id, REQUEST_STATS, i.a.id, 0, 0);
    }
    int r = nodes_asked(c);
    if (r != 0)
        return r;
    struct node_answer *a = c->work;
    r = codec_decode(&table_stats, CODEC_PEER, buf_str(&a->body), a->body.len,
                     &s, &c->err);
    if (r < 0) {
        err_prefix(&c->err, "the node's answer");
        return -EIO;
    }
    reply_object(c, &table_stats, &s);
    return 0;
}

int
h_instance_console(struct call *c, struct db *db)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};

    if (!c->question[0]) {
        int r = get_reachable(c, db, &i);

        if (r == 0 && i.a.state != INSTANCE_RUNNING &&
            i.a.state != INSTANCE_STOPPING)
            r = h_wrong_state(c, &i, "reached by its console");
        if (r == 0)
            r = h_need(c, &i, NEED_CONSOLE);
        if (r == 0 && !http_header(c->rq, "Sec-WebSocket-Key"))
            r = http_reply_websocket(c->rq, NULL, &c->err);
        return r < 0 ? r
                     : nodes_ask(c, i.a.node_id, REQUEST_CONSOLE, i.a.id, 0, 0);
    }
    int r = nodes_asked(c);
    if (r != 0)
        return r;
    struct node_answer *a = c->work;
    if (!a->session)
        return err_set(&c->err, -EIO, "node_failed",
                       "the node answered without a console");
    snprintf(c->session, sizeof(c->session), "c%s", a->session);
    console_belongs(c->ctl, a->session, &c->who);
    return http_reply_websocket(c->rq, c->session, &c->err);
}
