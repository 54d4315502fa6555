/* h_tenants.c - projects, flavors. */
#include <config.h>

#include "controllerd/handlers.h"

#include <stddef.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "controllerd/events.h"
#include "controllerd/webhooks.h"
#include "controllerd/price.h"
#include "controllerd/quota.h"

static char *
new_id(void)
{
    char id[ID_SIZE];

    id_new(id);
    return xstrdup(id);
}

int
call_name_taken(struct call *c, const char *what, const char *name)
{
    err_field(&c->err, "/name", "name_taken", "is taken by another %s", what);
    return err_set(&c->err, -EEXIST, "name_taken",
                   "there is a %s \"%s\" already", what, name);
}

/* ---- projects ---- */

int
h_project_create(struct call *c, struct db *db)
{
    struct api_project *p = c->in;

    p->id = new_id();
    p->created_at = clock_now_us();
    p->generation = 1;
    int r = store_project_insert(db, p);
    if (r == -EEXIST)
        return call_name_taken(c, "project", p->name);
    if (r == 0)
        r = store_quota_set(db, p->id, &c->ctl->cfg.quota, 1);
    if (r < 0)
        return store_error(c, db, r);
    reply_object(c, &table_project, p);
    call_location(c, "/v1/projects", p->id);
    return 0;
}

int
h_project_list(struct call *c, struct db *db)
{
    struct codec_list l = {0};
    char after[ID_SIZE];
    int limit;
    int r = query_page(c, &limit, after);

    if (r < 0)
        return r;
    r = store_project_list(db, call_project(c), after, limit + 1, &l);
    if (r == 0)
        reply_page(c, &table_project, &l, limit,
                   offsetof(struct api_project, id));
    codec_list_clear(&table_project, &l);
    return r < 0 ? store_error(c, db, r) : 0;
}

int
h_project_show(struct call *c, struct db *db)
{
    struct api_project p = {0};
    int r = call_get_project(c, db, c->m.params[0], &p);

    if (r == 0)
        reply_object(c, &table_project, &p);
    codec_clear(&table_project, &p);
    return r;
}

int
h_project_delete(struct call *c, struct db *db)
{
    struct api_project p = {0};
    int r = call_get_project(c, db, c->m.params[0], &p);

    if (r == 0)
        r = call_if_match(c, p.generation);
    if (r == 0 && streq(p.id, c->ctl->default_project))
        r = err_set(&c->err, -EBUSY, "default_project",
                    "the default project stays");
    if (r == 0) {
        r = store_project_delete(db, p.id);
        if (r == -EBUSY)
            err_set(&c->err, r, "project_in_use",
                    "the project owns images, or has had instances whose "
                    "usage is kept");
        else if (r < 0)
            store_error(c, db, r);
    }
    if (r == 0) {
        call_touched(c, "project.deleted", p.id, p.name, p.id);
        c->work = TAKE_PTR(p.id);
        c->work_free = free;
        reply_empty(c);
    }
    codec_clear(&table_project, &p);
    return r;
}

void
h_project_deleted(struct call *c)
{
    auth_cache_drop_project(c->ctl->auth, c->work);
    webhooks_changed(c->ctl);
    quota_forget(c->ctl, c->work);
}

/* ---- flavors ---- */

int
h_flavor_create(struct call *c, struct db *db)
{
    struct api_flavor *f = c->in;

    if (f->memory_bytes % (1 << 20))
        return err_field(&c->err, "/memory_bytes", "multiple",
                         "must be a multiple of 1 MiB (1048576)");
    if (f->disk_bytes % 512)
        return err_field(&c->err, "/disk_bytes", "multiple",
                         "must be a multiple of 512");
    if (f->limits.cpu_limit_percent &&
        f->limits.cpu_reservation_percent > f->limits.cpu_limit_percent)
        return err_field(&c->err, "/cpu_reservation_percent", "range",
                         "must not be more than cpu_limit_percent (%lld)",
                         (long long)f->limits.cpu_limit_percent);
    if (f->price_per_hour && !price_valid(f->price_per_hour))
        return err_field(&c->err, "/price_per_hour", "price",
                         "must be a price such as 0.0125: 0 or more, without "
                         "leading zeros");
    f->id = new_id();
    f->created_at = clock_now_us();
    f->generation = 1;
    int r = store_flavor_insert(db, f);
    if (r == -EEXIST)
        return call_name_taken(c, "flavor", f->name);
    if (r < 0)
        return store_error(c, db, r);
    reply_object(c, &table_flavor, f);
    call_location(c, "/v1/flavors", f->id);
    return 0;
}

int
h_flavor_list(struct call *c, struct db *db)
{
    struct codec_list l = {0};
    char after[ID_SIZE];
    int limit;
    int r = query_page(c, &limit, after);

    if (r < 0)
        return r;
    r = store_flavor_list(db, after, limit + 1, &l);
    if (r == 0)
        reply_page(c, &table_flavor, &l, limit,
                   offsetof(struct api_flavor, id));
    codec_list_clear(&table_flavor, &l);
    return r < 0 ? store_error(c, db, r) : 0;
}

static int
get_flavor(struct call *c, struct db *db, struct api_flavor *ret)
{
    int r = store_flavor_get(db, c->m.params[0], ret);

    if (r == -ENOENT)
        return not_found(c, "flavor", c->m.params[0]);
    return r < 0 ? store_error(c, db, r) : 0;
}

int
h_flavor_show(struct call *c, struct db *db)
{
    struct api_flavor f = {0};
    int r = get_flavor(c, db, &f);

    if (r == 0)
        reply_object(c, &table_flavor, &f);
    codec_clear(&table_flavor, &f);
    return r;
}

int
h_flavor_delete(struct call *c, struct db *db)
{
    struct api_flavor f = {0};
    int r = get_flavor(c, db, &f);

    if (r == 0)
        r = call_if_match(c, f.generation);
    if (r == 0) {
        call_touched(c, "flavor.deleted", f.id, f.name, NULL);
        r = store_flavor_delete(db, f.id);
        if (r < 0)
            store_error(c, db, r);
        else
            reply_empty(c);
    }
    codec_clear(&table_flavor, &f);
    return r;
}
