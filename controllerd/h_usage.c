/* h_usage.c - what was used in a period, from the stored intervals. */
#include <config.h>

#include "controllerd/handlers.h"

#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/mem.h"
#include "metering/usage.h"

struct gather {
    struct call *c;
    struct api_usage u;
    char after[ID_SIZE];
    int limit;
    int64_t now;
    struct meter_usage total, one;
    struct api_usage_item *item; /* of the instance under way, or NULL */
    char current[ID_SIZE];       /* the instance under way */
    bool more;
};

static char *
seconds(int64_t us)
{
    char t[METER_TEXT_MAX];

    return xstrdup(meter_format_seconds(us, t));
}

static char *
vcpu_hours(const struct meter_usage *m)
{
    char t[METER_TEXT_MAX];

    return xstrdup(meter_format_vcpu_hours(m->vcpu_us, t));
}

static char *
gib_hours(unsigned __int128 byte_us)
{
    char t[METER_TEXT_MAX];

    return xstrdup(meter_format_gib_hours(byte_us, t));
}

static void
finish_item(struct gather *g)
{
    struct api_usage_item *it = g->item;

    if (!it)
        return;
    it->running_seconds = seconds(g->one.running_us);
    it->vcpu_hours = vcpu_hours(&g->one);
    it->memory_gib_hours = gib_hours(g->one.memory_byte_us);
    it->disk_gib_hours = gib_hours(g->one.disk_byte_us);
    g->item = NULL;
}

static int
add(const struct store_interval *i, void *arg)
{
    struct gather *g = arg;

    if (strcmp(g->current, i->instance_id) != 0) {
        finish_item(g);
        snprintf(g->current, sizeof(g->current), "%s", i->instance_id);
        g->one = (struct meter_usage){0};
        if (strcmp(i->instance_id, g->after) > 0 &&
            g->u.items.n >= (size_t)g->limit)
            g->more = true;
        else if (strcmp(i->instance_id, g->after) > 0) {
            g->item = codec_list_add(&table_usage_item, &g->u.items);
            g->item->instance_id = xstrdup(i->instance_id);
            g->item->instance_name = xstrdup(i->instance_name);
            g->item->project_id = xstrdup(i->project_id);
            g->item->first_start = i->iv.start_us;
        }
    }
    int r = meter_usage_add(&g->total, &i->iv, g->u.from, g->u.to, g->now);
    if (r == 0 && g->item)
        r = meter_usage_add(&g->one, &i->iv, g->u.from, g->u.to, g->now);
    if (r == 0 && g->item) {
        g->item->intervals++;
        g->item->open = !i->iv.end_us;
        g->item->last_end = i->iv.end_us;
    }
    return r;
}

static int64_t
start_of_month(int64_t now_us)
{
    time_t t = (time_t)(now_us / US_PER_S);
    struct tm tm;

    gmtime_r(&t, &tm);
    tm.tm_mday = 1;
    tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
    return (int64_t)timegm(&tm) * US_PER_S;
}

/* ?instance= takes an id (also of what is deleted) or a live name. */
static int
instance_filter(struct call *c, struct db *db, char out[ID_SIZE],
                const char **ret)
{
    const char *ref = http_query(c->rq, "instance");
    struct store_instance i _cleanup_(store_instance_release) = {0};

    *ret = NULL;
    if (!ref)
        return 0;
    if (id_valid(ref)) {
        memcpy(out, ref, ID_SIZE);
    } else {
        int r = store_instance_get(db, call_project(c), c->ctl->default_project,
                                   ref, &i);

        if (r == -ENOENT)
            return not_found(c, "instance", ref);
        if (r < 0)
            return store_error(c, db, r);
        memcpy(out, i.a.id, ID_SIZE);
    }
    *ret = out;
    return 0;
}

int
h_usage(struct call *c, struct db *db)
{
    struct gather g = {.c = c, .now = clock_now_us()};
    char project[ID_SIZE], instance[ID_SIZE];
    const char *p = NULL, *i = NULL;
    int r = query_page(c, &g.limit, g.after);

    if (query_time(c, "from", start_of_month(g.now), &g.u.from) < 0 ||
        query_time(c, "to", g.now, &g.u.to) < 0 || r < 0)
        return -EINVAL;
    if (g.u.to <= g.u.from)
        return err_field(&c->err, "?to", "range", "must be after from");
    r = call_project_filter(c, db, project, &p);
    if (r == 0)
        r = instance_filter(c, db, instance, &i);
    if (r < 0)
        return r;
    r = store_interval_each(db, p, i, g.u.from, g.u.to, add, &g);
    finish_item(&g);
    if (r == 0) {
        g.u.running_seconds = seconds(g.total.running_us);
        g.u.vcpu_hours = vcpu_hours(&g.total);
        g.u.memory_gib_hours = gib_hours(g.total.memory_byte_us);
        g.u.disk_gib_hours = gib_hours(g.total.disk_byte_us);
        const struct api_usage_item *items = g.u.items.items;
        if (g.more)
            g.u.next_page_token = xstrdup(items[g.u.items.n - 1].instance_id);
        reply_object(c, &table_usage, &g.u);
    }
    codec_clear(&table_usage, &g.u);
    return r < 0 ? store_error(c, db, r) : 0;
}
