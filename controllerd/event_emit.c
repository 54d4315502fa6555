/* event_emit.c - events of what calls made or changed, and of nodes' states;
 * those of instances and operations are made where their rows are stored.
 * What a call changed is known without its handler's help: by the object of
 * its reply, else by its path. A handler that knows better says so. */
#include <config.h>

#include "controllerd/events.h"

#include <ctype.h>
#include <string.h>

#include "common/count.h"
#include "common/mem.h"
#include "controllerd/store/store_event.h"

void
call_touched(struct call *c, const char *kind, const char *id, const char *name,
             const char *project_id)
{
    struct touched *t = &c->touched;

    snprintf(t->kind, sizeof(t->kind), "%s", kind);
    snprintf(t->id, sizeof(t->id), "%s", id ? id : "");
    snprintf(t->name, sizeof(t->name), "%s", name ? name : "");
    snprintf(t->project_id, sizeof(t->project_id), "%s",
             project_id ? project_id : "");
}

/* "JoinToken" is "join_token"; "Membership" is short. */
static void
type_of_table(const char *name, char *out, size_t size)
{
    size_t n = 0;

    if (strcmp(name, "Membership") == 0)
        name = "Member";
    for (size_t i = 0; name[i] && n + 2 < size; i++) {
        if (isupper((unsigned char)name[i]) && i)
            out[n++] = '_';
        out[n++] = (char)tolower((unsigned char)name[i]);
    }
    out[n] = '\0';
}

/* The last "/TYPEs/{param}" of the route's path, or its last word. */
static void
type_of_path(const char *path, char *out, size_t size)
{
    const char *end = strrchr(path, '{');
    size_t n;

    end = end ? end - 1 : path + strlen(path);
    const char *from = end;
    while (from > path && from[-1] != '/')
        from--;
    n = MIN((size_t)(end - from), size - 1);
    memcpy(out, from, n);
    if (n && out[n - 1] == 's')
        n--;
    out[n] = '\0';
    for (char *p = out; *p; p++)
        *p = *p == '-' ? '_' : *p;
}

static void
take_field(const struct codec_table *t, const void *obj, const char *name,
           char *out, size_t size)
{
    const struct codec_field *f = codec_field_find(t, name);
    const char *text = NULL;

    if (f && (f->type == CODEC_ID || f->type == CODEC_NAME ||
              f->type == CODEC_STRING || f->type == CODEC_REF))
        text = *(char *const *)((const char *)obj + f->offset);
    if (text)
        snprintf(out, size, "%s", text);
}

void
call_replies(struct call *c, const struct codec_table *t, const void *obj)
{
    struct touched *x = &c->touched;

    if (x->kind[0] || streq(c->rq->method, "GET") ||
        c->m.route->auth == AUTH_NODE)
        return;
    type_of_table(t->name, x->kind, sizeof(x->kind));
    x->derived = true;
    if (t == &table_operation) {
        take_field(t, obj, "resource_type", x->kind, sizeof(x->kind));
        x->derived = false;
    }
    /* The first that there is; an operation's own id is not it. */
    static const char *const ids[] = {"resource_id", "id", "user_id", "node_id",
                                      "project_id"};
    for (size_t i = 0; i < ARRAY_SIZE(ids) && !x->id[0]; i++)
        take_field(t, obj, ids[i], x->id, sizeof(x->id));
    take_field(t, obj, "name", x->name, sizeof(x->name));
    if (!x->name[0])
        take_field(t, obj, "user", x->name, sizeof(x->name));
    take_field(t, obj, "project_id", x->project_id, sizeof(x->project_id));
    if (!x->project_id[0])
        take_field(t, obj, "project", x->project_id, sizeof(x->project_id));
    if (t == &table_project)
        memcpy(x->project_id, x->id, sizeof(x->project_id));
}

/* What has no object in its reply: by its path and its caller. */
static void
look_at_path(struct call *c)
{
    struct touched *x = &c->touched;
    const char *ref = "";

    type_of_path(c->m.route->path, x->kind, sizeof(x->kind));
    x->derived = true;
    for (int i = 0; i < API_PARAMS_MAX && c->m.params[i][0]; i++)
        ref = c->m.params[i];
    if (id_valid(ref))
        memcpy(x->id, ref, sizeof(x->id));
    else
        snprintf(x->name, sizeof(x->name), "%s", ref);
    snprintf(x->project_id, sizeof(x->project_id), "%s", c->who.project_id);
}

/* Their rows tell it, or it changes nothing. */
static bool
is_told_elsewhere(const struct call *c)
{
    static const char *const types[] = {"instance_batch", "dry_run", "joined"};
    const char *kind = c->touched.kind;

    if (c->m.route->auth == AUTH_NODE)
        return true;
    if (streq(kind, "instance"))
        return !streq(c->rq->method, "PATCH");
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (streq(kind, types[i]))
            return true;
    return false;
}

static char *
or_null(char *s)
{
    return *s ? s : NULL;
}

int
events_of_call(struct call *c, struct db *db)
{
    struct touched *t = &c->touched;
    char type[sizeof(t->kind)];
    struct api_event e = {
        .kind = t->kind,
        .project_id = or_null(t->project_id),
        .resource_type = type,
        .resource_id = or_null(t->id),
        .resource_name = or_null(t->name),
        .request_id = c->request_id,
    };

    if (streq(c->rq->method, "GET"))
        return 0;
    if (!t->kind[0])
        look_at_path(c);
    size_t n = strcspn(t->kind, ".");
    snprintf(type, sizeof(type), "%.*s", (int)n, t->kind);
    if (t->derived && !is_told_elsewhere(c))
        snprintf(t->kind + n, sizeof(t->kind) - n, ".%s",
                 streq(c->rq->method, "DELETE") ? "deleted"
                 : c->rq->status == 201         ? "created"
                                                : "changed");
    if (!strchr(t->kind, '.'))
        return 0;
    /* call_replies() may have left a name where an id belongs. */
    if (t->project_id[0] && !id_valid(t->project_id))
        e.project_id = or_null(c->who.project_id);
    return store_event_insert(db, &e);
}

/* ---- nodes ---- */

struct node_job {
    struct db_job job; /* first */
    struct ctl *ctl;
    char node_id[ID_SIZE];
    const char *kind;
    int64_t seen_at;
};

static int
node_run(struct db *db, struct db_job *job)
{
    struct node_job *j = (struct node_job *)job;
    struct store_node n = {0};
    struct api_event e = {
        .kind = (char *)j->kind,
        .resource_type = (char *)"node",
        .resource_id = j->node_id,
        .state = (char *)(strchr(j->kind, '.') + 1),
    };
    int r = store_node_get(db, j->node_id, &n);

    e.resource_name = n.a.name;
    if (r == 0)
        r = store_node_tell(db, j->node_id, streq(j->kind, "node.up"),
                            j->seen_at);
    if (r == 0)
        r = store_event_insert(db, &e);
    store_node_release(&n);
    return r == -ENOENT ? 0 : r; /* deleted meanwhile */
}

static void
node_done(struct db_job *job, int result)
{
    struct node_job *j = (struct node_job *)job;

    if (result < 0)
        COUNT(event_of_node_lost);
    else
        events_committed(j->ctl);
    free(j);
}

void
events_node(struct ctl *ctl, const char *node_id, const char *kind,
            int64_t seen_at)
{
    struct node_job *j;

    if (!ctl->writer)
        return; /* not started, or a test of what is in memory */
    j = xnew(struct node_job);
    j->job.run = node_run;
    j->job.done = node_done;
    j->ctl = ctl;
    j->kind = kind;
    j->seen_at = seen_at;
    snprintf(j->node_id, sizeof(j->node_id), "%s", node_id);
    db_writer_submit(ctl->writer, &j->job);
}
