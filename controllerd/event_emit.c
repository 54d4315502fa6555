/* event_emit.c - events of what calls touched and of nodes' states; those of
 * instances and operations are made where their rows are stored. */
#include <config.h>

#include "controllerd/events.h"

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

    if (!strchr(t->kind, '.'))
        return 0;
    snprintf(type, sizeof(type), "%.*s", (int)strcspn(t->kind, "."), t->kind);
    return store_event_insert(db, &e);
}

/* ---- nodes ---- */

struct node_job {
    struct db_job job; /* first */
    struct ctl *ctl;
    char node_id[ID_SIZE];
    const char *kind;
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
events_node(struct ctl *ctl, const char *node_id, const char *kind)
{
    struct node_job *j;

    if (!ctl->writer)
        return; /* not started, or a test of what is in memory */
    j = xnew(struct node_job);
    j->job.run = node_run;
    j->job.done = node_done;
    j->ctl = ctl;
    j->kind = kind;
    snprintf(j->node_id, sizeof(j->node_id), "%s", node_id);
    db_writer_submit(ctl->writer, &j->job);
}
