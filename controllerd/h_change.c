/* h_change.c - PATCH of an instance: what changes at once, without work. */
#include <config.h>

#include "controllerd/handlers.h"

#include <string.h>

#include "common/mem.h"

/* Nothing but the lock is touched. */
static bool
only_locks(const struct api_instance_change *in)
{
    return !in->name && in->restart_policy < 0 && !in->has_labels &&
           in->delete_protection < 0;
}

/* Unlocking comes first: what else is asked for goes with it. */
static int
check_lock(struct call *c, const struct store_instance *i)
{
    const struct api_instance_change *in = c->in;

    if (!i->a.locked || (in->locked == 1 && only_locks(in)))
        return 0;
    if (in->locked != 0)
        return h_locked(c, i);
    if (c->who.role != ROLE_ADMIN && c->who.role != ROLE_OPERATOR)
        return err_set(&c->err, -EPERM, "forbidden",
                       "only an admin of the project can unlock an instance");
    return 0;
}

static bool
same_labels(const struct codec_list *a, const struct codec_list *b)
{
    char *x _cleanup_(freep) = store_labels_text(a);
    char *y _cleanup_(freep) = store_labels_text(b);

    return streq(x, y);
}

/* Name and labels, which are found by: those that differ. */
static int
reshape(struct call *c, struct db *db, struct store_instance *i)
{
    struct api_instance_change *in = c->in;
    const char *name = in->name ? in->name : i->a.name;

    if (in->name)
        xstrset(&i->a.name, in->name);
    if (in->has_labels) {
        codec_labels_clear(&i->a.labels);
        i->a.labels = in->labels;
        in->labels = (struct codec_list){0};
    }
    int r = store_instance_reshape(db, i);
    if (r == -EEXIST) {
        err_field(&c->err, "/name", "name_taken",
                  "is taken by another instance");
        return err_set(&c->err, r, "name_taken",
                       "there is an instance \"%s\" already", name);
    }
    return r < 0 ? store_error(c, db, r) : 0;
}

static bool
set_flag(bool *flag, int to)
{
    bool changes = to >= 0 && *flag != to;

    if (changes)
        *flag = to;
    return changes;
}

int
h_instance_change(struct call *c, struct db *db)
{
    const struct api_instance_change *in = c->in;
    struct store_instance i _cleanup_(store_instance_release) = {0};
    int r = h_instance_get(c, db, &i);

    if (r == 0)
        r = call_if_match(c, i.a.generation);
    if (r == 0)
        r = check_lock(c, &i);
    if (r < 0)
        return r;
    bool node_must_know = in->name && !streq(in->name, i.a.name);
    bool changed = in->has_labels && !same_labels(&in->labels, &i.a.labels);
    if (node_must_know || changed)
        r = reshape(c, db, &i);
    if (r < 0)
        return r;
    if (in->restart_policy >= 0 && in->restart_policy != i.a.restart_policy) {
        i.a.restart_policy = in->restart_policy;
        node_must_know = true;
    }
    changed |= set_flag(&i.a.locked, in->locked);
    changed |= set_flag(&i.a.delete_protection, in->delete_protection);
    if (node_must_know) {
        op_change(c->ctl, &i);
        memcpy(c->notify_node, i.a.node_id, ID_SIZE);
    } else if (changed) {
        i.a.generation++;
    }
    if (node_must_know || changed) {
        r = store_instance_update(db, &i, 0);
        if (r < 0)
            return store_error(c, db, r);
    }
    h_instance_reply(c, &i.a);
    return 0;
}
