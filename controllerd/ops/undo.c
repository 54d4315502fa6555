/* undo.c - operations that are cancelled, undone or tried again.
 * Nothing is taken back that a node may have done for good: a disk that was
 * made anew is not the old one again, and what was to be deleted may be half
 * gone. Everything else is one more wish, with a number of its own, like any
 * verb; whether the node had begun is for the node to say. */
#include <config.h>

#include "controllerd/ops/ops.h"

#include "common/clock.h"
#include "common/count.h"
#include "common/mem.h"

/* Each kind of operation: what takes it back, or why nothing does, and the
 * state in which it is tried again after it failed. */
static const struct kind {
    const char *kind;
    int back;            /* enum op_verb, or < 0 */
    const char *no_back; /* the reason */
    int again;           /* enum api_instance_state, or < 0 */
} kinds[] = {
    {"instance.create", VERB_DELETE, NULL, INSTANCE_CREATING},
    {"instance.start", VERB_CANCEL_START, NULL, INSTANCE_STARTING},
    {"instance.stop", VERB_CANCEL_STOP, NULL, -1},
    {"instance.pause", VERB_CANCEL_PAUSE, NULL, -1},
    {"instance.resume", VERB_CANCEL_RESUME, NULL, -1},
    {"instance.resize", VERB_CANCEL_RESIZE, NULL, INSTANCE_RESIZING},
    {"instance.reboot", -1, "the run before it may have ended already",
     INSTANCE_REBOOTING},
    {"instance.rebuild", -1, "its disk may have been made anew already",
     INSTANCE_REBUILDING},
    {"instance.delete", -1, "its disk may be gone already", -1},
};

static const struct kind *
kind_of(const struct store_operation *o)
{
    for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
        if (streq(kinds[k].kind, o->a.kind))
            return &kinds[k];
    return NULL;
}

static int
refuse(struct err *reterr, const char *code, const struct store_operation *o,
       const char *why)
{
    return err_set(reterr, -EBUSY, code, "the operation %s: %s", o->a.kind,
                   why);
}

static bool
is_latest(const struct op_target *t)
{
    return streq(t->i.a.operation_id, t->o.a.id);
}

/* The size that a resize came from. */
static int
resize_back(struct db *db, struct op_target *t, struct err *reterr)
{
    struct api_flavor f = {0};
    const char *text = t->o.undo ? t->o.undo : "";
    int r = codec_decode(&table_flavor, CODEC_REPLY, text, strlen(text), &f,
                         reterr);

    if (r < 0)
        return r;
    r = op_resize(db, &t->i, &f, true);
    codec_clear(&table_flavor, &f);
    return r;
}

/* The operation that took it back has ended it, where it still ran: that was
 * told, and is not to be told again. */
static int
note_undone(struct db *db, struct op_target *t, const char *by)
{
    struct store_operation now = {0};
    int r = store_operation_get(db, NULL, t->o.a.id, &now);

    if (r < 0)
        return r;
    store_operation_release(&t->o);
    t->o = now;
    xstrset(&t->o.undone_by, by);
    t->o.a.generation++;
    return store_operation_update(db, &t->o);
}

static int
take_back(struct ctl *ctl, struct db *db, struct op_target *t, enum op_verb v,
          const char *request_id, struct api_operation *ret, struct err *reterr)
{
    char *undo _cleanup_(freep) =
        v == VERB_CANCEL_RESIZE ? op_flavor_text(&t->i) : NULL;
    int r = op_verb(&t->i, v, reterr);

    if (r == 0 && v == VERB_CANCEL_RESIZE)
        r = resize_back(db, t, reterr);
    if (r < 0)
        return r;
    op_change(ctl, &t->i);
    r = op_begin_undo(db, &t->i, op_kind(v), undo, request_id, ret);
    return r < 0 ? r : note_undone(db, t, ret->id);
}

int
op_cancel(struct ctl *ctl, struct db *db, struct op_target *t,
          const char *request_id, struct api_operation *ret, struct err *reterr)
{
    const struct kind *k = kind_of(&t->o);
    const char *code = "not_cancellable";

    if (t->o.a.state != OP_RUNNING || !is_latest(t))
        return refuse(reterr, code, &t->o, "it has ended");
    if (!k || k->back < 0)
        return refuse(reterr, code, &t->o, k ? k->no_back : "unknown");
    if (!t->o.a.can_cancel)
        return refuse(reterr, code, &t->o, "it was ended by force");
    return take_back(ctl, db, t, (enum op_verb)k->back, request_id, ret,
                     reterr);
}

/* Failed, or running and stuck: else there is nothing to help. */
static int
check_helpless(struct ctl *ctl, struct op_target *t, const char *code,
               struct err *reterr)
{
    struct store_operation *o = &t->o;
    bool could = o->a.can_cancel;

    if (!is_latest(t))
        return refuse(reterr, code, o, "a later one is on the same instance");
    if (op_is_lost(&t->i))
        return refuse(reterr, code, o, "its node is gone for good");
    if (o->a.state == OP_FAILED)
        return 0;
    if (o->a.state != OP_RUNNING)
        return refuse(reterr, code, o, "it did not fail");
    op_fill(ctl, o);
    o->a.can_cancel = could;
    return o->a.stuck ? 0 : refuse(reterr, code, o, "it is not stuck");
}

int
op_undo(struct ctl *ctl, struct db *db, struct op_target *t,
        const char *request_id, struct api_operation *ret, struct err *reterr)
{
    const struct kind *k = kind_of(&t->o);
    const char *code = "not_undoable";
    int r = check_helpless(ctl, t, code, reterr);

    if (r < 0)
        return r;
    if (!k || k->back < 0)
        return refuse(reterr, code, &t->o, k ? k->no_back : "unknown");
    /* A failed pause or stop has changed nothing that could come back. */
    if (t->o.a.state == OP_FAILED && k->again < 0)
        return refuse(reterr, code, &t->o, "it changed nothing");
    return take_back(ctl, db, t, (enum op_verb)k->back, request_id, ret,
                     reterr);
}

int
op_retry(struct ctl *ctl, struct db *db, struct op_target *t,
         struct err *reterr)
{
    const struct kind *k = kind_of(&t->o);
    const char *code = "not_retryable";
    struct store_instance *i = &t->i;
    struct api_operation *a = &t->o.a;
    int r = check_helpless(ctl, t, code, reterr);

    if (r < 0)
        return r;
    if (a->state == OP_FAILED) {
        if (!k || k->again < 0)
            return refuse(reterr, code, &t->o, "ask for it anew");
        if (i->a.state != INSTANCE_ERROR && i->a.state != INSTANCE_STOPPED)
            return refuse(reterr, code, &t->o, "the instance has gone on");
        i->power = POWER_RUNNING;
        i->force = i->paused = false;
        i->a.run++; /* a run that failed is never tried again */
        i->a.state = k->again;
    }
    op_change(ctl, i);
    COUNT(operation_retried);
    a->state = OP_RUNNING;
    a->finished_at = 0;
    if (a->problem) {
        codec_clear(&table_fault, a->problem);
        freep(&a->problem);
    }
    xstrset(&a->step, "asked");
    xstrset(&a->reason, NULL);
    a->attempt++;
    a->generation++;
    a->updated_at = clock_now_us();
    t->o.seq = i->seq;
    return store_operation_update(db, &t->o);
}
