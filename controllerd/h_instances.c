/* h_instances.c - instances and operations: what tenants ask for.
 * Verbs change what is desired and start an operation; ops/observe.c ends it
 * when the node has reported. */
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

static int
get(struct call *c, struct db *db, struct store_instance *ret)
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
    int r = get(c, db, &i);

    if (r == 0)
        reply_instance(c, &i.a);
    return r;
}

/* Bytes as they were given; what a tenant wrote is never taken for a page. */
int
h_instance_user_data(struct call *c, struct db *db)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};
    char *text _cleanup_(freep) = NULL;
    int r = get(c, db, &i);

    if (r < 0)
        return r;
    r = store_seed_user_data(db, i.a.id, &text);
    if (r < 0)
        return store_error(c, db, r);
    reply_text(c, "text/plain; charset=utf-8", text ? text : "");
    return 0;
}

/* ---- changes ---- */

int
h_instance_change(struct call *c, struct db *db)
{
    const struct api_instance_change *in = c->in;
    struct store_instance i _cleanup_(store_instance_release) = {0};
    int r = get(c, db, &i);

    if (r < 0)
        return r;
    if (in->restart_policy >= 0 && in->restart_policy != i.a.restart_policy) {
        i.a.restart_policy = in->restart_policy;
        op_change(c->ctl, &i);
        r = store_instance_update(db, &i, 0);
        if (r < 0)
            return store_error(c, db, r);
        memcpy(c->notify_node, i.a.node_id, ID_SIZE);
    }
    reply_instance(c, &i.a);
    return 0;
}

/* ---- verbs ---- */

static int
wrong_state(struct call *c, const struct store_instance *i, const char *verb)
{
    return err_set(&c->err, -EBUSY, "wrong_state",
                   "the instance \"%s\" is %s; it cannot be %s now", i->a.name,
                   api_instance_state_names[i->a.state], verb);
}

/* Stores the changed instance with a new operation and replies with it. */
static int
begin(struct call *c, struct db *db, struct store_instance *i, const char *kind,
      const char *step)
{
    struct api_operation op = {0};
    char before[ID_SIZE];

    memcpy(before, i->a.operation_id, ID_SIZE);
    op_change(c->ctl, i);
    int r = op_begin(db, i, kind, step, c->request_id, &op);
    if (r == 0)
        r = store_instance_update(db, i, 0);
    if (r == 0) {
        memcpy(c->notify_node, i->a.node_id, ID_SIZE);
        memcpy(c->notify_operation, before, ID_SIZE);
        reply_object(c, &table_operation, &op);
        call_location(c, "/v1/operations", op.id);
    }
    codec_clear(&table_operation, &op);
    return r < 0 ? store_error(c, db, r) : 0;
}

int
h_instance_start(struct call *c, struct db *db)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};
    int r = get(c, db, &i);

    if (r < 0)
        return r;
    if (i.a.state != INSTANCE_STOPPED && i.a.state != INSTANCE_ERROR)
        return wrong_state(c, &i, "started");
    i.power = POWER_RUNNING;
    i.force = false;
    i.a.run++;
    i.a.state = INSTANCE_STARTING;
    return begin(c, db, &i, "instance.start", "starting");
}

int
h_instance_stop(struct call *c, struct db *db)
{
    const struct api_stop_request *in = c->in;
    struct store_instance i _cleanup_(store_instance_release) = {0};
    int r = get(c, db, &i);

    if (r < 0)
        return r;
    bool again = i.a.state == INSTANCE_STOPPING && in->force && !i.force;
    if (!again && i.a.state != INSTANCE_RUNNING &&
        i.a.state != INSTANCE_CREATING && i.a.state != INSTANCE_STARTING &&
        i.a.state != INSTANCE_REBOOTING)
        return wrong_state(c, &i, "stopped");
    i.power = POWER_STOPPED;
    i.force = in->force;
    i.a.state = INSTANCE_STOPPING;
    return begin(c, db, &i, "instance.stop",
                 in->force ? "ending by force" : "power button");
}

int
h_instance_reboot(struct call *c, struct db *db)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};
    int r = get(c, db, &i);

    if (r < 0)
        return r;
    if (i.a.state != INSTANCE_RUNNING)
        return wrong_state(c, &i, "rebooted");
    i.power = POWER_RUNNING;
    i.force = false;
    i.a.run++;
    i.a.state = INSTANCE_REBOOTING;
    return begin(c, db, &i, "instance.reboot", "rebooting");
}

/* The operation of the delete that is under way. */
static int
reply_latest_operation(struct call *c, struct db *db,
                       const struct store_instance *i)
{
    struct api_operation op = {0};
    int r = store_operation_get(db, NULL, i->a.operation_id, &op);

    if (r == 0)
        reply_object(c, &table_operation, &op);
    codec_clear(&table_operation, &op);
    return r < 0 ? store_error(c, db, r) : 0;
}

int
h_instance_delete(struct call *c, struct db *db)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};
    int r = get(c, db, &i);

    if (r < 0)
        return r;
    if (i.a.state == INSTANCE_DELETING)
        return reply_latest_operation(c, db, &i);
    i.power = POWER_DELETED;
    i.force = true;
    i.a.state = INSTANCE_DELETING;
    return begin(c, db, &i, "instance.delete", "deleting");
}

/* ---- what only the node knows ---- */

/* The instance, if its node can be asked. */
static int
get_reachable(struct call *c, struct db *db, struct store_instance *i)
{
    int r = get(c, db, i);

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
            r = wrong_state(c, &i, "measured");
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
            r = wrong_state(c, &i, "reached by its console");
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
    return http_reply_websocket(c->rq, c->session, &c->err);
}

/* ---- operations ---- */

int
h_operation_list(struct call *c, struct db *db)
{
    struct codec_list l = {0};
    char before[ID_SIZE];
    int limit;
    int r = query_page(c, &limit, before);

    if (r < 0)
        return r;
    r = store_operation_list(db, call_project(c), before, limit + 1, &l);
    if (r == 0)
        reply_page(c, &table_operation, &l, limit,
                   offsetof(struct api_operation, id));
    codec_list_clear(&table_operation, &l);
    return r < 0 ? store_error(c, db, r) : 0;
}

int
h_operation_show(struct call *c, struct db *db)
{
    struct api_operation o = {0};
    const char *id = c->m.params[0];
    int64_t wait_us;
    int r = query_duration(c, "wait", 60 * US_PER_S, &wait_us);

    if (r < 0)
        return r;
    if (!id_valid(id))
        return not_found(c, "operation", id);
    uint64_t version = waiters_version(c->ctl, waiters_key(id));
    r = store_operation_get(db, call_project(c), id, &o);
    if (r == -ENOENT)
        return not_found(c, "operation", id);
    if (r < 0)
        return store_error(c, db, r);
    int64_t now = clock_mono_us();
    if (!c->deadline_us)
        c->deadline_us = now + wait_us;
    if (o.state == OP_RUNNING && wait_us && now < c->deadline_us &&
        !atomic_load(&c->ctl->stopping)) {
        codec_clear(&table_operation, &o);
        return waiters_wait(c, waiters_key(id), version);
    }
    reply_object(c, &table_operation, &o);
    codec_clear(&table_operation, &o);
    return 0;
}
