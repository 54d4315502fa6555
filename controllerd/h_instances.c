/* h_instances.c - instances: how they come to be, and what is known of them.
 * What changes them is in h_verbs.c. */
#include <config.h>

#include "controllerd/handlers.h"

#include <stddef.h>
#include <string.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/mem.h"
#include "controllerd/traits.h"

#define LOG_LIMIT (1 << 20)

/* ---- create ---- */

int
h_find_flavor(struct call *c, struct db *db, const char *ref,
              struct api_flavor *ret)
{
    int r = store_flavor_get(db, ref, ret);

    if (r == -ENOENT) {
        err_field(&c->err, "/flavor", "not_found", "there is no flavor \"%s\"",
                  ref);
        return -EINVAL;
    }
    return r < 0 ? store_error(c, db, r) : 0;
}

int
h_find_image(struct call *c, struct db *db, const char *project,
             const char *ref, struct api_image *ret)
{
    int r = store_image_get(db, project, ref, ret);

    if (r == -ENOENT)
        return err_field(&c->err, "/image", "not_found",
                         "there is no image \"%s\"", ref);
    if (r < 0)
        return store_error(c, db, r);
    if (ret->state != IMAGE_ACTIVE)
        return err_set(&c->err, -EBUSY, "image_pending",
                       "the image \"%s\" is not complete: upload all of its "
                       "parts first",
                       ret->name);
    return 0;
}

int64_t
h_image_disk_bytes(const struct api_image *i)
{
    const struct api_image_part *p = i->parts.items;

    for (size_t k = 0; k < i->parts.n; k++)
        if (p[k].name == PART_DISK)
            return p[k].virtual_bytes;
    return 0;
}

/* Soon after a start most agents have yet to report, and "no room" may only
 * mean that: the client is asked to come again. */
static int
no_capacity(struct call *c, const struct sched_request *rq)
{
    struct ctl *ctl = c->ctl;
    struct sched_explain why = {0};
    char node[ID_SIZE];

    COUNT(create_no_capacity);
    if (clock_mono_us() - ctl->started_mono_us > ctl->cfg.node_lapse_us)
        return -ENOSPC;
    pthread_mutex_lock(&ctl->sched_lock);
    int r = sched_place(ctl->sched, rq, node, &why, NULL);
    pthread_mutex_unlock(&ctl->sched_lock);
    size_t down = why.count[SCHED_DOWN];
    sched_explain_release(&why);
    if (r == -ENOSPC && down)
        return err_set(&c->err, -EAGAIN, "nodes_settling",
                       "the controller has just started and %zu nodes have "
                       "yet to report; try again",
                       down);
    return -ENOSPC;
}

/* Chooses a node and claims its room; h_instance_create_undo() gives it back
 * if the transaction does not come to its end. */
static int
place(struct call *c, const struct sched_resources *need, uint64_t traits)
{
    struct ctl *ctl = c->ctl;
    struct sched_request rq = {
        .project_id = call_acting_project(c),
        .need = *need,
        .traits_required = traits,
        .traits_lacking = traits_lacking(traits),
        .policy = streq(ctl->cfg.placement, "pack") ? SCHED_PACK : SCHED_SPREAD,
    };

    pthread_mutex_lock(&ctl->sched_lock);
    int r = sched_place(ctl->sched, &rq, c->claim_node, NULL, &c->err);
    if (r == 0)
        r = sched_claim(ctl->sched, c->claim_node, need, &c->err);
    pthread_mutex_unlock(&ctl->sched_lock);
    if (r < 0)
        c->claim_node[0] = '\0';
    else
        c->claim = *need;
    if (r == -ENOSPC)
        r = no_capacity(c, &rq);
    return r;
}

void
h_instance_create_undo(struct call *c)
{
    if (!c->claim_node[0])
        return;
    pthread_mutex_lock(&c->ctl->sched_lock);
    if (sched_release(c->ctl->sched, c->claim_node, &c->claim, NULL) < 0)
        COUNT(sched_release_refused);
    pthread_mutex_unlock(&c->ctl->sched_lock);
    c->claim_node[0] = '\0';
}

static int
insert(struct call *c, struct db *db, struct store_instance *i)
{
    struct api_operation op = {0};
    int r = op_begin(db, i, "instance.create", "placed", c->request_id, &op);

    codec_clear(&table_operation, &op);
    if (r < 0)
        return store_error(c, db, r);
    r = store_instance_insert(db, i);
    if (r == -EEXIST) {
        err_field(&c->err, "/name", "name_taken",
                  "is taken by another instance");
        return err_set(&c->err, r, "name_taken",
                       "there is an instance \"%s\" already", i->a.name);
    }
    return r < 0 ? store_error(c, db, r) : 0;
}

void
h_instance_reply(struct call *c, struct api_instance *a)
{
    char *node = a->node_id;

    if (c->who.role != ROLE_OPERATOR)
        a->node_id = NULL;
    reply_object(c, &table_instance, a);
    a->node_id = node;
}

static int
create(struct call *c, struct db *db, const struct api_flavor *f,
       const struct api_image *m)
{
    struct api_instance *in = c->in;
    struct store_instance i _cleanup_(store_instance_release) = {0};
    int64_t image_disk = h_image_disk_bytes(m);
    char id[ID_SIZE];

    if (f->disk_bytes && f->disk_bytes < image_disk)
        return err_field(&c->err, "/flavor", "disk_too_small",
                         "its disk is smaller than that of the image (%lld "
                         "bytes)",
                         (long long)image_disk);
    id_new(id);
    i.a.id = xstrdup(id);
    i.a.project_id = xstrdup(call_acting_project(c));
    i.a.name = xstrdup(in->name);
    i.a.state = INSTANCE_CREATING;
    i.a.flavor = xstrdup(f->name);
    i.a.flavor_id = xstrdup(f->id);
    i.a.image = xstrdup(m->name);
    i.a.image_id = xstrdup(m->id);
    i.a.vcpus = f->vcpus;
    i.a.memory_bytes = f->memory_bytes;
    i.a.disk_bytes = MAX(f->disk_bytes, image_disk);
    i.a.limits = f->limits;
    i.a.restart_policy = in->restart_policy;
    i.a.run = 1;
    i.a.created_at = clock_now_us();
    i.power = POWER_RUNNING;
    op_change(c->ctl, &i);
    struct sched_resources need = {i.a.vcpus, i.a.memory_bytes, i.a.disk_bytes};
    int r = place(c, &need, traits_of_image(m));
    if (r < 0)
        return r;
    i.a.node_id = xstrdup(c->claim_node);
    r = insert(c, db, &i);
    if (r < 0) {
        h_instance_create_undo(c);
        return r;
    }
    memcpy(c->notify_node, c->claim_node, ID_SIZE);
    h_instance_reply(c, &i.a);
    call_location(c, "/v1/instances", id);
    return 0;
}

int
h_instance_create(struct call *c, struct db *db)
{
    struct api_instance *in = c->in;
    struct api_flavor f = {0};
    struct api_image m = {0};
    int rf = h_find_flavor(c, db, in->flavor, &f);
    int rm = h_find_image(c, db, call_acting_project(c), in->image,
                          &m); /* both faults are told */
    int r = rf < 0 ? rf : rm < 0 ? rm : create(c, db, &f, &m);

    codec_clear(&table_flavor, &f);
    codec_clear(&table_image, &m);
    return r;
}

/* ---- read ---- */

int
h_instance_list(struct call *c, struct db *db)
{
    struct codec_list l = {0};
    char after[ID_SIZE], filter[ID_SIZE];
    const char *project;
    int limit;
    int r = query_page(c, &limit, after);

    if (r == 0)
        r = call_project_filter(c, db, filter, &project);
    if (r < 0)
        return r;
    r = store_instance_list(db, project, after, limit + 1, &l);
    struct api_instance *a = l.items;
    for (size_t k = 0; k < l.n && c->who.role != ROLE_OPERATOR; k++)
        freep(&a[k].node_id);
    if (r == 0)
        reply_page(c, &table_instance, &l, limit,
                   offsetof(struct api_instance, id));
    codec_list_clear(&table_instance, &l);
    return r < 0 ? store_error(c, db, r) : 0;
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
