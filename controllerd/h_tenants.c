/* h_tenants.c - projects, tokens, flavors. */
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

static int
taken(struct call *c, const char *what, const char *name)
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
        return taken(c, "project", p->name);
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

/* ---- tokens ---- */

/* Whose token it will be: an operator's has no project, others need one. */
static int
token_project(struct call *c, struct db *db, struct api_token *t)
{
    struct api_project p = {0};
    int r = 0;

    if (!api_role_covers(c->who.role, (enum api_role)t->role))
        return err_field(&c->err, "/role", "role",
                         "must be a role up to your own (%s)",
                         api_role_names[c->who.role]);
    if (t->role == ROLE_OPERATOR) {
        if (t->project)
            return err_field(&c->err, "/project", "project",
                             "operator tokens have no project");
        return 0;
    }
    if (t->project)
        r = call_get_project(c, db, t->project, &p);
    if (r == 0)
        xstrset(&t->project, p.id ? p.id : call_acting_project(c));
    if (r == -ENOENT)
        err_field(&c->err, "/project", "not_found", "does not exist");
    codec_clear(&table_project, &p);
    return r;
}

static const struct api_quota_values one_token = {.tokens = 1};

/* Not more than the maker's own; to name none is to ask for everything. */
static int
token_scopes(struct call *c, const struct api_token *t)
{
    struct scopes s;
    int r = scopes_parse(&t->scopes, &s, &c->err);

    if (r == 0 && !scopes_cover(&c->who.scopes, &s))
        r = err_field(&c->err, "/scopes", "scope_missing",
                      "must name scopes, and none that the token in use has "
                      "not");
    return r;
}

int
h_token_create(struct call *c, struct db *db)
{
    struct api_token *in = c->in;
    char secret[TOKEN_TEXT_SIZE];

    if (in->expires_at && in->expires_at <= clock_now_us())
        return err_field(&c->err, "/expires_at", "past",
                         "must be in the future");
    int r = token_scopes(c, in);
    if (r == 0)
        r = token_project(c, db, in);
    if (r == 0 && in->project)
        r = quota_take(c, db, in->project, &one_token, "", "");
    if (r < 0)
        return r;
    struct store_token *t = xnew(struct store_token);
    c->work = t;
    c->work_free = free;
    in->id = new_id();
    in->created_at = clock_now_us();
    in->generation = 1;
    auth_new_secret(secret, t->hash);
    t->a = *in; /* borrowed: c->in lives as long as the call */
    r = store_token_insert(db, t);
    if (r == -EEXIST)
        return taken(c, "token", in->name);
    if (r < 0)
        return store_error(c, db, r);
    in->token = xstrdup(secret);
    reply_object(c, &table_token, in);
    call_location(c, "/v1/tokens", in->id);
    return 0;
}

void
h_token_created(struct call *c)
{
    auth_cache_put_token(c->ctl->auth, c->work);
}

int
h_token_list(struct call *c, struct db *db)
{
    struct codec_list l = {0};
    char after[ID_SIZE];
    int limit;
    int r = query_page(c, &limit, after);

    if (r < 0)
        return r;
    r = store_token_list(db, call_project(c), after, limit + 1, &l);
    if (r == 0)
        reply_page(c, &table_token, &l, limit, offsetof(struct api_token, id));
    codec_list_clear(&table_token, &l);
    return r < 0 ? store_error(c, db, r) : 0;
}

int
h_token_delete(struct call *c, struct db *db)
{
    struct api_token t = {0};
    int r = store_token_get(db, call_project(c), c->m.params[0], &t);

    if (r == -ENOENT)
        return not_found(c, "token", c->m.params[0]);
    if (r == -ENOTUNIQ)
        return err_set(&c->err, -EBUSY, "ambiguous_name",
                       "several projects have a token \"%s\": give its id",
                       c->m.params[0]);
    if (r == 0)
        r = call_if_match(c, t.generation);
    if (r == 0)
        r = store_token_delete(db, t.id);
    if (r < 0)
        store_error(c, db, r);
    else if (t.role == ROLE_OPERATOR)
        r = call_check_operators(c, db);
    if (r < 0) {
        codec_clear(&table_token, &t);
        return r;
    }
    call_touched(c, "token.deleted", t.id, t.name, t.project);
    if (t.project)
        quota_free(c, t.project, &one_token);
    c->work = TAKE_PTR(t.id);
    c->work_free = free;
    codec_clear(&table_token, &t);
    reply_empty(c);
    return 0;
}

void
h_token_deleted(struct call *c)
{
    auth_cache_drop_token(c->ctl->auth, c->work);
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
        return taken(c, "flavor", f->name);
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
