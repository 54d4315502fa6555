/* verbs-life.c - what is asked of an instance that is there, and of its
 * operations. */
#include <config.h>

#include "tests/model/verbs.h"

#include <string.h>

#include "common/clock.h"
#include "common/mem.h"

/* ---- looking ---- */

static bool
make_show(struct ctx *x, struct todo *t)
{
    return verb_path_inst(x, t, "GET", "");
}

static void
done_show(struct ctx *x, struct todo *t)
{
    struct api_instance a = {0};
    struct minst *m = t->inst;

    verb_decode(x, t, &table_instance, &a);
    if (!streq(a.id, m->id) || !streq(a.name, m->name) ||
        (m->restart_policy >= 0 && a.restart_policy != m->restart_policy))
        cloud_fail(x, "shows something else: %s", buf_str(&t->call->body));
    const struct codec_label *l = a.labels.items;
    char tier[20];
    snprintf(tier, sizeof(tier), "n%d", m->label);
    if (m->label >= 0 && (a.labels.n != 1 || !streq(l[0].value, tier)))
        cloud_fail(x, "the label was %s, shown is %s", tier,
                   buf_str(&t->call->body));
    if (m->gone)
        cloud_fail(x, "%s is shown after its deletion", m->id);
    if (m->wish == WISH_DELETE && a.state != INSTANCE_DELETING)
        cloud_fail(x, "a delete was acknowledged, the state is %s",
                   api_instance_state_names[a.state]);
    codec_clear(&table_instance, &a);
}

static bool
make_list(struct ctx *x, struct todo *t)
{
    verb_ask(t, "GET", "/v1/instances?limit=%d",
             cloud_chance(x->c, 3) ? 1 + cloud_pick(x->c, 4) : 1000);
    return true;
}

static void
done_list(struct ctx *x, struct todo *t)
{
    struct cloud *c = x->c;
    struct buf all _cleanup_(buf_release) = {0};

    reply_pages(x, t, t->path, &all);
    for (size_t i = 0; i < c->n_insts; i++) {
        const struct minst *m = &c->insts[i];

        if (!verb_sees(t, m->project) || m->wish == WISH_DELETE ||
            m->wish == WISH_UNKNOWN)
            continue;
        char item[60];
        snprintf(item, sizeof(item), "{\"id\":\"%s\"", m->id);
        const char *at = strstr(buf_str(&all), item);
        if (!at)
            cloud_fail(x, "%s was acknowledged and is not listed", m->id);
        if (strstr(at + 1, item))
            cloud_fail(x, "%s is listed twice", m->id);
    }
}

/* ---- asking ---- */

static void
new_operation(struct ctx *x, struct todo *t)
{
    struct api_operation o = {0};

    verb_decode(x, t, &table_operation, &o);
    if (!streq(o.resource_id, t->inst->id))
        cloud_fail(x, "operation of something else: %s",
                   buf_str(&t->call->body));
    snprintf(t->inst->operation, ID_SIZE, "%s", o.id);
    codec_clear(&table_operation, &o);
}

static bool
make_start(struct ctx *x, struct todo *t)
{
    return verb_path_inst(x, t, "POST", "/start");
}

static bool
make_reboot(struct ctx *x, struct todo *t)
{
    return verb_path_inst(x, t, "POST", "/reboot");
}

static void
done_start(struct ctx *x, struct todo *t)
{
    new_operation(x, t);
    t->inst->wish = WISH_NONE;
}

static bool
make_stop(struct ctx *x, struct todo *t)
{
    if (cloud_chance(x->c, 3))
        verb_say(t, "%s", "{\"force\":true}");
    return verb_path_inst(x, t, "POST", "/stop");
}

static void
done_stop(struct ctx *x, struct todo *t)
{
    new_operation(x, t);
    t->inst->wish = WISH_STOP;
}

static bool
make_delete(struct ctx *x, struct todo *t)
{
    return verb_path_inst(x, t, "DELETE", "");
}

static void
done_delete(struct ctx *x, struct todo *t)
{
    new_operation(x, t);
    t->inst->wish = WISH_DELETE;
}

static bool
make_pause(struct ctx *x, struct todo *t)
{
    return verb_path_inst(x, t, "POST",
                          cloud_chance(x->c, 2) ? "/pause" : "/resume");
}

static bool
make_rebuild(struct ctx *x, struct todo *t)
{
    verb_say(t, "{\"image\":\"public\"}");
    return verb_path_inst(x, t, "POST", "/rebuild");
}

static bool
make_resize(struct ctx *x, struct todo *t)
{
    verb_say(t, "{\"flavor\":\"%s\"}",
             cloud_flavors[cloud_pick(x->c, C_FLAVORS)]);
    return verb_path_inst(x, t, "POST", "/resize");
}

/* One that is stopped stays so. */
static void
done_resize(struct ctx *x, struct todo *t)
{
    new_operation(x, t);
    t->inst->resized = true;
    if (t->inst->wish != WISH_STOP)
        t->inst->wish = WISH_NONE;
}

/* ---- changing ---- */

static bool
make_policy(struct ctx *x, struct todo *t)
{
    t->number = cloud_pick(x->c, 3);
    verb_say(t, "{\"restart_policy\":\"%s\"}", api_restart_names[t->number]);
    return verb_path_inst(x, t, "PATCH", "");
}

static void
done_policy(struct ctx *x, struct todo *t)
{
    t->inst->restart_policy = t->number;
}

static bool
make_rename(struct ctx *x, struct todo *t)
{
    verb_name(x, t);
    if (!verb_path_inst(x, t, "PATCH", ""))
        return false;
    /* An operator's new name must not tell of another project. */
    snprintf(t->name, sizeof(t->name), "web-%d", cloud_pick(x->c, 8));
    verb_say(t, "{\"name\":\"%s\"}", t->name);
    return true;
}

static void
done_rename(struct ctx *x, struct todo *t)
{
    snprintf(t->inst->name, sizeof(t->inst->name), "%s", t->name);
}

static bool
make_lock(struct ctx *x, struct todo *t)
{
    t->number = cloud_chance(x->c, 3);
    verb_say(t, "{\"%s\":%s}",
             cloud_chance(x->c, 2) ? "locked" : "delete_protection",
             t->number ? "true" : "false");
    return verb_path_inst(x, t, "PATCH", "");
}

static bool
make_label(struct ctx *x, struct todo *t)
{
    t->number = cloud_pick(x->c, 1000);
    verb_say(t, "{\"labels\":{\"tier\":\"n%d\"}}", t->number);
    return verb_path_inst(x, t, "PATCH", "");
}

static void
done_label(struct ctx *x, struct todo *t)
{
    t->inst->label = t->number;
}

/* ---- operations ---- */

static bool
path_operation(struct ctx *x, struct todo *t, const char *tail)
{
    struct minst *m = verb_pick_inst(x, t);

    if (!m)
        return false;
    verb_ask(t, "POST", "/v1/operations/%s/%s", m->operation, tail);
    return true;
}

static bool
make_cancel(struct ctx *x, struct todo *t)
{
    return path_operation(x, t, "cancel");
}

static bool
make_retry(struct ctx *x, struct todo *t)
{
    return path_operation(x, t, cloud_chance(x->c, 2) ? "retry" : "undo");
}

/* What it was before it is again: the model does not know which. */
static void
done_back(struct ctx *x, struct todo *t)
{
    new_operation(x, t);
    if (t->inst->wish != WISH_DELETE)
        t->inst->wish = WISH_UNKNOWN;
}

static bool
make_operation(struct ctx *x, struct todo *t)
{
    struct minst *m = verb_pick_inst(x, t);

    if (!m)
        return false;
    verb_ask(t, "GET", "/v1/operations/%s", m->operation);
    return true;
}

static void
done_operation(struct ctx *x, struct todo *t)
{
    if (!strstr(buf_str(&t->call->body), t->inst->id))
        cloud_fail(x, "another operation: %s", buf_str(&t->call->body));
}

const struct verb verbs_life[] = {
    VERB("show", 8, make_show, done_show, ROLE_READER, ""),
    VERB("list", 3, make_list, done_list, ROLE_READER, ""),
    VERB("start", 8, make_start, done_start, ROLE_MEMBER,
         "wrong_state locked "),
    VERB("stop", 8, make_stop, done_stop, ROLE_MEMBER, "wrong_state locked "),
    VERB("reboot", 5, make_reboot, done_start, ROLE_MEMBER,
         "wrong_state locked "),
    VERB("delete", 5, make_delete, done_delete, ROLE_MEMBER,
         "wrong_state locked delete_protected "),
    VERB("policy", 4, make_policy, done_policy, ROLE_MEMBER,
         "wrong_state locked "),
    VERB("pause", 7, make_pause, done_start, ROLE_MEMBER,
         "wrong_state locked "),
    VERB("rebuild", 3, make_rebuild, done_start, ROLE_MEMBER,
         "wrong_state locked delete_protected "),
    VERB("resize", 4, make_resize, done_resize, ROLE_MEMBER,
         VERB_FULL "wrong_state locked same_flavor quota_exceeded invalid "),
    VERB("rename", 2, make_rename, done_rename, ROLE_MEMBER,
         "name_taken locked wrong_state "),
    VERB("lock", 2, make_lock, verb_done_nothing, ROLE_MEMBER,
         "locked forbidden wrong_state "),
    VERB("label", 2, make_label, done_label, ROLE_MEMBER,
         "locked wrong_state "),
    VERB("cancel", 4, make_cancel, done_back, ROLE_MEMBER,
         "not_cancellable wrong_state locked delete_protected "
         "instance_deleted "),
    VERB("retry", 3, make_retry, done_back, ROLE_OPERATOR,
         "not_retryable not_undoable wrong_state locked delete_protected "
         "instance_deleted " VERB_FULL),
    VERB("operation", 5, make_operation, done_operation, ROLE_READER, ""),
    {0},
};
