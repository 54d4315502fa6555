/* query.c - query parameters, projects and store errors of a call. */
#include <config.h>

#include "controllerd/ctl.h"

#include <string.h>

#include "common/clock.h"
#include "common/mem.h"

int
query_int(struct call *c, const char *name, int64_t min, int64_t max,
          int64_t dflt, int64_t *ret)
{
    const char *s = http_query(c->rq, name);
    char *end, pointer[64];

    if (!s) {
        *ret = dflt;
        return 0;
    }
    errno = 0;
    int64_t v = strtoll(s, &end, 10);
    /* strtoll() takes spaces and a '+' as well. */
    if (errno || !*s || *end || strspn(s, "-0123456789") != strlen(s) ||
        v < min || v > max) {
        snprintf(pointer, sizeof(pointer), "?%s", name);
        return err_field(&c->err, pointer, "range",
                         "must be a whole number from %lld to %lld",
                         (long long)min, (long long)max);
    }
    *ret = v;
    return 0;
}

int
query_page(struct call *c, int *ret_limit, char after[ID_SIZE])
{
    const char *token = http_query(c->rq, "page_token");
    int64_t limit;
    int r = query_int(c, "limit", 1, 1000, 100, &limit);

    after[0] = '\0';
    if (token && *token) {
        if (!id_valid(token))
            r = err_field(&c->err, "?page_token", "page_token",
                          "is not a next_page_token of this list");
        else
            memcpy(after, token, ID_SIZE);
    }
    *ret_limit = r < 0 ? 0 : (int)limit;
    return r;
}

int
query_flag(struct call *c, const char *name, bool *ret)
{
    const char *s = http_query(c->rq, name);
    char pointer[64];

    *ret = s && strcmp(s, "true") == 0;
    if (!s || *ret || strcmp(s, "false") == 0)
        return 0;
    snprintf(pointer, sizeof(pointer), "?%s", name);
    return err_field(&c->err, pointer, "type", "must be true or false");
}

int
query_duration(struct call *c, const char *name, int64_t max_us,
               int64_t *ret_us)
{
    const char *s = http_query(c->rq, name);
    char pointer[64];

    *ret_us = 0;
    if (s && (clock_parse_duration(s, ret_us) < 0 || *ret_us > max_us)) {
        snprintf(pointer, sizeof(pointer), "?%s", name);
        return err_field(&c->err, pointer, "duration",
                         "must be a duration such as 30s, at most %llds",
                         (long long)(max_us / US_PER_S));
    }
    return 0;
}

int
query_time(struct call *c, const char *name, int64_t dflt, int64_t *ret_us)
{
    const char *s = http_query(c->rq, name);
    char pointer[64];

    *ret_us = dflt;
    if (s && clock_parse(s, ret_us) < 0) {
        snprintf(pointer, sizeof(pointer), "?%s", name);
        return err_field(&c->err, pointer, "time",
                         "must be a time such as 2026-11-22T16:30:00Z");
    }
    return 0;
}

const char *
call_project(const struct call *c)
{
    return c->who.role == ROLE_OPERATOR ? NULL : c->who.project_id;
}

const char *
call_acting_project(const struct call *c)
{
    if (c->acting[0])
        return c->acting;
    return c->who.role == ROLE_OPERATOR ? c->ctl->default_project
                                        : c->who.project_id;
}

int
call_get_project(struct call *c, struct db *db, const char *ref,
                 struct api_project *ret)
{
    const char *only = call_project(c);
    int r = store_project_get(db, ref, ret);

    if (r < 0 && r != -ENOENT)
        return store_error(c, db, r);
    if (r == 0 && only && !streq(only, ret->id)) {
        codec_clear(&table_project, ret);
        r = -ENOENT;
    }
    return r < 0 ? not_found(c, "project", ref) : 0;
}

int
call_resolve_acting(struct call *c, struct db *db)
{
    const char *ref = http_query(c->rq, "project");
    struct api_project p = {0};

    if (!ref)
        return 0;
    int r = call_get_project(c, db, ref, &p);
    if (r == 0)
        memcpy(c->acting, p.id, ID_SIZE);
    codec_clear(&table_project, &p);
    return r;
}

int
call_project_filter(struct call *c, struct db *db, char out[ID_SIZE],
                    const char **ret)
{
    const char *ref = http_query(c->rq, "project");
    struct api_project p = {0};

    *ret = call_project(c);
    if (!ref)
        return 0;
    int r = call_get_project(c, db, ref, &p);
    if (r == 0) {
        memcpy(out, p.id, ID_SIZE);
        *ret = out;
    }
    codec_clear(&table_project, &p);
    return r;
}

int
not_found(struct call *c, const char *what, const char *ref)
{
    return err_set(&c->err, -ENOENT, "not_found", "there is no %s \"%s\"", what,
                   ref);
}

int
store_error(struct call *c, struct db *db, int r)
{
    if (!c->err.number)
        db_err(db, r, &c->err);
    return r;
}
