/* quota.c - what projects have, in memory; see quota.h. */
#include <config.h>

#include "controllerd/quota.h"

#include <pthread.h>
#include <string.h>
#include <uthash.h>

#include "common/conf.h"
#include "common/count.h"
#include "common/mem.h"

struct entry {
    char project[ID_SIZE];
    struct api_quota_values used;
    int64_t uploading; /* bytes that are no image_bytes yet */
    UT_hash_handle hh;
};

struct quotas {
    pthread_mutex_t lock;
    struct entry *by_project; /* lock */
};

/* Every member is an int64_t; the field table says where. */
#define N_RESOURCES table_quota_values.n_fields

static const char *
name_of(size_t i)
{
    return table_quota_values.fields[i].name;
}

static int64_t
get(const struct api_quota_values *v, size_t i)
{
    return *(const int64_t *)((const char *)v +
                              table_quota_values.fields[i].offset);
}

static void
set(struct api_quota_values *v, size_t i, int64_t to)
{
    *(int64_t *)((char *)v + table_quota_values.fields[i].offset) = to;
}

static struct entry *
entry_of(struct quotas *q, const char *project)
{
    struct entry *e;

    HASH_FIND_STR(q->by_project, project, e);
    if (!e) {
        e = xnew(struct entry);
        snprintf(e->project, sizeof(e->project), "%s", project);
        HASH_ADD_STR(q->by_project, project, e);
    }
    return e;
}

static void
add(struct api_quota_values *v, const struct api_quota_values *delta)
{
    for (size_t i = 0; i < N_RESOURCES; i++)
        set(v, i, get(v, i) + get(delta, i));
}

/* Never below 0: that would be more than there ever was. */
static void
subtract(struct api_quota_values *v, const struct api_quota_values *delta)
{
    for (size_t i = 0; i < N_RESOURCES; i++) {
        int64_t left = get(v, i) - get(delta, i);

        if (left < 0)
            COUNT(quota_below_zero);
        set(v, i, MAX(left, INT64_C(0)));
    }
}

/* ---- start and stop ---- */

static void
load_one(const char *project, const struct api_quota_values *used, void *arg)
{
    add(&entry_of(arg, project)->used, used);
}

int
quota_start(struct ctl *ctl, struct db *db, struct err *reterr)
{
    ctl->quotas = xnew(struct quotas);
    pthread_mutex_init(&ctl->quotas->lock, NULL);
    int r = store_quota_each_use(db, load_one, ctl->quotas);
    return r < 0 ? db_err(db, r, reterr) : 0;
}

void
quota_stop(struct ctl *ctl)
{
    struct entry *e, *next;

    if (!ctl->quotas)
        return;
    HASH_ITER(hh, ctl->quotas->by_project, e, next)
    {
        HASH_DEL(ctl->quotas->by_project, e);
        free(e);
    }
    pthread_mutex_destroy(&ctl->quotas->lock);
    freep(&ctl->quotas);
}

/* ---- arithmetic ---- */

/* What may yet be taken of a resource; 0 where more is used than allowed. */
static int64_t
room(const struct api_quota_values *limits, const struct api_quota_values *used,
     size_t i)
{
    int64_t limit = get(limits, i);

    if (limit == API_UNLIMITED)
        limit = INT64_MAX;
    return limit > get(used, i) ? limit - get(used, i) : 0;
}

int64_t
quota_room(const struct api_quota_values *limits,
           const struct api_quota_values *used,
           const struct api_quota_values *delta, int64_t max)
{
    for (size_t i = 0; i < N_RESOURCES; i++)
        if (get(delta, i) > 0)
            max = MIN(max, room(limits, used, i) / get(delta, i));
    return max;
}

void
quota_faults(const struct api_quota_values *limits,
             const struct api_quota_values *used,
             const struct api_quota_values *delta, struct codec_list *ret)
{
    for (size_t i = 0; i < N_RESOURCES; i++) {
        if (get(delta, i) <= room(limits, used, i))
            continue;
        struct api_quota_fault *f = codec_list_add(&table_quota_fault, ret);

        f->resource = xstrdup(name_of(i));
        f->limit = get(limits, i);
        f->used = get(used, i);
        f->asked = get(delta, i);
    }
}

/* A product that does not fit is more than any quota allows. */
static int64_t
times(int64_t a, int64_t n)
{
    int64_t r;

    return __builtin_mul_overflow(a, n, &r) ? INT64_MAX : r;
}

struct api_quota_values
quota_of_instances(int64_t vcpus, int64_t memory_bytes, int64_t disk_bytes,
                   int64_t n)
{
    return (struct api_quota_values){
        .instances = n,
        .vcpus = times(vcpus, n),
        .memory_bytes = times(memory_bytes, n),
        .disk_bytes = times(disk_bytes, n),
    };
}

/* ---- take and give ---- */

static int
refuse(struct call *c, const char *count_at, const char *size_at)
{
    static const char *const sizes[] = {"vcpus", "memory_bytes", "disk_bytes"};
    const struct api_quota_fault *f = c->quota_faults.items;
    struct buf text _cleanup_(buf_release) = {0};

    COUNT(quota_exceeded);
    for (size_t i = 0; i < c->quota_faults.n; i++) {
        buf_addf(&text, "%s%s: %lld of %lld in use, %lld more asked for",
                 i ? "; " : "", f[i].resource, (long long)f[i].used,
                 (long long)f[i].limit, (long long)f[i].asked);
        const char *at = count_at;
        for (size_t k = 0; k < ARRAY_SIZE(sizes); k++)
            if (streq(f[i].resource, sizes[k]))
                at = size_at;
        err_field(&c->err, at, "quota_exceeded",
                  "takes %lld more of %s, of which %lld of %lld are in use",
                  (long long)f[i].asked, f[i].resource, (long long)f[i].used,
                  (long long)f[i].limit);
    }
    return err_set(&c->err, -EPERM, "quota_exceeded",
                   "the project's quota does not allow it: %s", buf_str(&text));
}

static void
fault(struct call *c, const char *resource, int64_t limit, int64_t used,
      int64_t asked)
{
    codec_list_clear(&table_quota_fault, &c->quota_faults);
    struct api_quota_fault *f =
        codec_list_add(&table_quota_fault, &c->quota_faults);

    f->resource = xstrdup(resource);
    f->limit = limit;
    f->used = used;
    f->asked = asked;
}

int
quota_cap(struct call *c, const char *resource, int64_t used, int64_t limit)
{
    if (used < limit)
        return 0;
    fault(c, resource, limit, used, 1);
    return refuse(c, "", "");
}

int
quota_cap_rows(struct call *c, struct db *db, enum store_counted what,
               const char *project)
{
    static const char *const names[] = {[STORE_KEYPAIRS] = "keypairs",
                                        [STORE_USERS] = "users",
                                        [STORE_MEMBERS] = "members"};
    int64_t n = 0;
    int r = store_count(db, what, project, &n);

    return r < 0 ? store_error(c, db, r)
                 : quota_cap(c, names[what], n, c->ctl->cfg.project_objects);
}

int
quota_upload(struct call *c, const char *project, int64_t limit, int64_t *bytes,
             int64_t n)
{
    struct quotas *q = c->ctl->quotas;
    int64_t asked;

    if (limit == API_UNLIMITED)
        return 0;
    pthread_mutex_lock(&q->lock);
    struct entry *e = entry_of(q, project);
    int64_t others = e->used.image_bytes + e->uploading - *bytes;
    bool ok = n <= limit - *bytes - others;
    if (ok) {
        e->uploading += n;
        *bytes += n;
    }
    pthread_mutex_unlock(&q->lock);
    if (ok)
        return 0;
    if (__builtin_add_overflow(*bytes, n, &asked))
        asked = INT64_MAX;
    fault(c, "image_bytes", limit, others, asked);
    return refuse(c, "", "");
}

void
quota_upload_end(struct ctl *ctl, const char *project, int64_t *bytes)
{
    struct entry *e;

    if (!*bytes)
        return;
    pthread_mutex_lock(&ctl->quotas->lock);
    HASH_FIND_STR(ctl->quotas->by_project, project, e);
    if (e) /* else the project went, and its entry */
        e->uploading = MAX(e->uploading - *bytes, INT64_C(0));
    pthread_mutex_unlock(&ctl->quotas->lock);
    *bytes = 0;
}

int
quota_take(struct call *c, struct db *db, const char *project,
           const struct api_quota_values *delta, const char *count_at,
           const char *size_at)
{
    struct quotas *q = c->ctl->quotas;
    struct api_quota_values limits;
    int64_t generation;
    int r = store_quota_get(db, project, &limits, &generation);

    if (r < 0)
        return store_error(c, db, r);
    pthread_mutex_lock(&q->lock);
    struct entry *e = entry_of(q, project);
    codec_list_clear(&table_quota_fault, &c->quota_faults);
    quota_faults(&limits, &e->used, delta, &c->quota_faults);
    if (!c->quota_faults.n)
        add(&e->used, delta);
    pthread_mutex_unlock(&q->lock);
    if (c->quota_faults.n)
        return refuse(c, count_at, size_at);
    memcpy(c->quota_project, project, ID_SIZE);
    add(&c->quota_taken, delta);
    return 0;
}

void
quota_give(struct ctl *ctl, const char *project,
           const struct api_quota_values *delta)
{
    pthread_mutex_lock(&ctl->quotas->lock);
    subtract(&entry_of(ctl->quotas, project)->used, delta);
    pthread_mutex_unlock(&ctl->quotas->lock);
}

void
quota_untake(struct call *c, const struct api_quota_values *delta)
{
    quota_give(c->ctl, c->quota_project, delta);
    subtract(&c->quota_taken, delta);
}

void
quota_free(struct call *c, const char *project,
           const struct api_quota_values *delta)
{
    memcpy(c->quota_freed_project, project, ID_SIZE);
    add(&c->quota_freed, delta);
}

void
quota_undo(struct call *c)
{
    if (c->quota_project[0])
        quota_give(c->ctl, c->quota_project, &c->quota_taken);
    c->quota_taken = c->quota_freed = (struct api_quota_values){0};
    c->quota_project[0] = c->quota_freed_project[0] = '\0';
}

void
quota_committed(struct call *c)
{
    if (c->quota_freed_project[0])
        quota_give(c->ctl, c->quota_freed_project, &c->quota_freed);
    c->quota_taken = c->quota_freed = (struct api_quota_values){0};
    c->quota_project[0] = c->quota_freed_project[0] = '\0';
}

void
quota_forget(struct ctl *ctl, const char *project)
{
    struct entry *e;

    pthread_mutex_lock(&ctl->quotas->lock);
    HASH_FIND_STR(ctl->quotas->by_project, project, e);
    if (e) {
        HASH_DEL(ctl->quotas->by_project, e);
        free(e);
    }
    pthread_mutex_unlock(&ctl->quotas->lock);
}

void
quota_used(struct ctl *ctl, const char *project, struct api_quota_values *ret)
{
    struct entry *e;

    pthread_mutex_lock(&ctl->quotas->lock);
    HASH_FIND_STR(ctl->quotas->by_project, project, e);
    *ret = e ? e->used : (struct api_quota_values){0};
    pthread_mutex_unlock(&ctl->quotas->lock);
}

/* ---- the setting ---- */

static int
parse_value(const char *s, int64_t *ret)
{
    if (streq(s, "unlimited") || streq(s, "-1")) {
        *ret = API_UNLIMITED;
        return 0;
    }
    return conf_parse_size(s, ret); /* "64G", or a number as it is */
}

int
quota_parse(const char *text, struct api_quota_values *ret, struct err *reterr)
{
    char *copy _cleanup_(freep) = xstrdup(text);
    char *save = NULL;

    for (char *w = strtok_r(copy, ", ", &save); w;
         w = strtok_r(NULL, ", ", &save)) {
        char *value = strchr(w, '=');
        int64_t v = API_UNLIMITED;
        bool all = streq(w, "unlimited"), known = all;

        if (value)
            *value++ = '\0';
        if (!all && (!value || parse_value(value, &v) < 0))
            return err_set(reterr, -EINVAL, "bad_quota",
                           "\"%.64s\" must be RESOURCE=NUMBER, or =unlimited",
                           w);
        for (size_t i = 0; i < N_RESOURCES; i++) {
            if (!all && !streq(w, name_of(i)))
                continue;
            set(ret, i, v);
            known = true;
        }
        if (!known)
            return err_set(reterr, -EINVAL, "bad_quota",
                           "there is no quota \"%.64s\"", w);
    }
    return 0;
}
