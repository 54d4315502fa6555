/* verb.c - the edges of the state machine that somebody asks for; instance.c
 * draws it, observe.c has those that a node's observations make. */
#include <config.h>

#include "controllerd/ops/ops.h"

#define IN(STATE) (1u << INSTANCE_##STATE)
/* A VM is there or on its way. */
#define ALIVE                                                                  \
    (IN(CREATING) | IN(RUNNING) | IN(STARTING) | IN(REBOOTING) | IN(PAUSING) | \
     IN(PAUSED) | IN(RESUMING) | IN(REBUILDING) | IN(RESIZING))

struct edge {
    const char *kind, *done; /* "it cannot be <done> now" */
    unsigned from;           /* states */
    int to;                  /* < 0: stays */
    enum api_power power;
    bool new_run, new_disk, force;
    bool paused;
};

static const struct edge edges[N_VERBS] = {
    [VERB_START] = {"instance.start", "started", IN(STOPPED) | IN(ERROR),
                    INSTANCE_STARTING, POWER_RUNNING, .new_run = true},
    [VERB_STOP] = {"instance.stop", "stopped", ALIVE, INSTANCE_STOPPING,
                   POWER_STOPPED},
    [VERB_STOP_FORCE] = {"instance.stop", "stopped", ALIVE | IN(STOPPING),
                         INSTANCE_STOPPING, POWER_STOPPED, .force = true},
    [VERB_REBOOT] = {"instance.reboot", "rebooted", IN(RUNNING),
                     INSTANCE_REBOOTING, POWER_RUNNING, .new_run = true},
    [VERB_PAUSE] = {"instance.pause", "paused", IN(RUNNING), INSTANCE_PAUSING,
                    POWER_RUNNING, .paused = true},
    [VERB_RESUME] = {"instance.resume", "resumed", IN(PAUSED),
                     INSTANCE_RESUMING, POWER_RUNNING},
    [VERB_REBUILD] = {"instance.rebuild", "rebuilt",
                      IN(RUNNING) | IN(PAUSED) | IN(STOPPED) | IN(ERROR),
                      INSTANCE_REBUILDING, POWER_RUNNING, .new_run = true,
                      .new_disk = true},
    [VERB_RESIZE] = {"instance.resize", "resized", IN(RUNNING),
                     INSTANCE_RESIZING, POWER_RUNNING, .new_run = true},
    [VERB_RESIZE_STOPPED] = {"instance.resize", "resized",
                             IN(STOPPED) | IN(ERROR), -1, POWER_STOPPED},
    [VERB_DELETE] = {"instance.delete", "deleted",
                     ALIVE | IN(STOPPING) | IN(STOPPED) | IN(ERROR),
                     INSTANCE_DELETING, POWER_DELETED, .force = true},
    [VERB_CANCEL_START] = {"instance.stop", "stopped", IN(STARTING) | IN(ERROR),
                           INSTANCE_STOPPING, POWER_STOPPED},
    /* The same run: if it lives on, all is as before. */
    [VERB_CANCEL_STOP] = {"instance.start", "kept running", IN(STOPPING),
                          INSTANCE_STARTING, POWER_RUNNING},
    /* STARTING: it ended meanwhile and its node starts it again. */
    [VERB_CANCEL_PAUSE] = {"instance.resume", "resumed",
                           IN(PAUSING) | IN(STARTING), INSTANCE_RESUMING,
                           POWER_RUNNING},
    [VERB_CANCEL_RESUME] = {"instance.pause", "paused",
                            IN(RESUMING) | IN(STARTING), INSTANCE_PAUSING,
                            POWER_RUNNING, .paused = true},
    [VERB_CANCEL_RESIZE] = {"instance.resize", "resized back",
                            IN(RESIZING) | IN(ERROR), INSTANCE_RESIZING,
                            POWER_RUNNING, .new_run = true},
};

const char *
op_kind(enum op_verb v)
{
    return edges[v].kind;
}

static bool
may(const struct store_instance *i, enum op_verb v)
{
    if (v == VERB_STOP_FORCE && i->a.state == INSTANCE_STOPPING)
        return !i->force;
    return edges[v].from & (1u << i->a.state);
}

int
op_verb(struct store_instance *i, enum op_verb v, struct err *reterr)
{
    const struct edge *e = &edges[v];

    if (i->a.delete_protection && (e->new_disk || v == VERB_DELETE))
        return err_set(reterr, -EBUSY, "delete_protected",
                       "the instance \"%s\" is protected: it cannot be %s "
                       "until delete_protection is taken off",
                       i->a.name, e->done);
    if (!may(i, v))
        return err_set(reterr, -EBUSY, "wrong_state",
                       "the instance \"%s\" is %s; it cannot be %s now",
                       i->a.name, api_instance_state_names[i->a.state],
                       e->done);
    i->power = (int)e->power;
    i->force = e->force;
    i->paused = e->paused;
    i->a.run += e->new_run;
    i->disk_epoch += e->new_disk;
    if (e->to >= 0)
        i->a.state = e->to;
    return 0;
}
