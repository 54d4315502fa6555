/* interval.c - observations to intervals; see interval.h. */
#include <config.h>

#include "metering/interval.h"

#include "common/cleanup.h"

static bool valid(const struct meter_history *h,
                  const struct meter_observation *o, int64_t now_us);
static enum meter_action action_of(const struct meter_history *h,
                                   const struct meter_observation *o);

int
meter_decide(const struct meter_history *h, const struct meter_observation *o,
             int64_t now_us, struct meter_decision *ret)
{
    if (!valid(h, o, now_us))
        return -EINVAL;
    struct meter_decision d = {
        .action = action_of(h, o),
        .ended_run =
            o->state == METER_ENDED ? MAX(h->ended_run, o->run) : h->ended_run,
    };
    if (d.action != METER_NOTHING) {
        int64_t earliest = h->created_us;

        if (h->run)
            earliest = MAX(earliest, h->end_us ? h->end_us : h->start_us);
        d.at_us = MIN(o->at_us, now_us);
        d.at_us = MAX(d.at_us, earliest);
        d.clamped = d.at_us != o->at_us;
    }
    *ret = d;
    return 0;
}

static bool
valid(const struct meter_history *h, const struct meter_observation *o,
      int64_t now_us)
{
    if (o->run == 0 || h->created_us <= 0 || now_us <= 0)
        return false;
    if (o->state != METER_RUNNING && o->state != METER_ENDED)
        return false;
    if (h->run == 0)
        return true;
    return h->start_us > 0 && h->end_us >= 0 &&
           (h->end_us == 0 || h->end_us >= h->start_us);
}

static enum meter_action
action_of(const struct meter_history *h, const struct meter_observation *o)
{
    bool open = h->run != 0 && h->end_us == 0;

    if (o->run < h->run)
        return METER_NOTHING;
    if (o->state == METER_ENDED)
        return open ? METER_CLOSE : METER_NOTHING;
    if (o->run == h->run || o->run <= h->ended_run)
        return METER_NOTHING;
    return open ? METER_CLOSE_AND_OPEN : METER_OPEN;
}
