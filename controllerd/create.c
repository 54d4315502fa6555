/* create.c - the parts of a create; see create.h. */
#include <config.h>

#include "controllerd/create.h"

#include <string.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/mem.h"
#include "controllerd/handlers.h"
#include "controllerd/quota.h"
#include "controllerd/traits.h"

/* ---- the plan ---- */

static int field_fault(struct call *c, const char *at, const char *field,
                       const char *code, const char *fmt, ...) _printf_(5, 6);

static int
field_fault(struct call *c, const char *at, const char *field, const char *code,
            const char *fmt, ...)
{
    char pointer[96], text[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    snprintf(pointer, sizeof(pointer), "%s/%s", at, field);
    return err_field(&c->err, pointer, code, "%s", text);
}

static int
find_flavor(struct call *c, struct db *db, const char *at, const char *ref,
            struct api_flavor *ret)
{
    int r = store_flavor_get(db, ref, ret);

    if (r == -ENOENT)
        return field_fault(c, at, "flavor", "not_found",
                           "there is no flavor \"%s\"", ref);
    return r < 0 ? store_error(c, db, r) : 0;
}

int
h_find_flavor(struct call *c, struct db *db, const char *ref,
              struct api_flavor *ret)
{
    return find_flavor(c, db, "", ref, ret);
}

static int
find_image(struct call *c, struct db *db, const char *at, const char *project,
           const char *ref, struct api_image *ret)
{
    int r = store_image_get(db, project, ref, ret);

    if (r == -ENOENT)
        return field_fault(c, at, "image", "not_found",
                           "there is no image \"%s\"", ref);
    if (r < 0)
        return store_error(c, db, r);
    if (ret->state != IMAGE_ACTIVE)
        return err_set(&c->err, -EBUSY, "image_pending",
                       "the image \"%s\" is not complete: upload all of its "
                       "parts first",
                       ret->name);
    return 0;
}

int
h_find_image(struct call *c, struct db *db, const char *project,
             const char *ref, struct api_image *ret)
{
    return find_image(c, db, "", project, ref, ret);
}

static int
find_keypair(struct call *c, struct db *db, struct create_plan *p, size_t i)
{
    const char *ref = ((char **)p->in->keypairs.items)[i];
    const char *project = call_acting_project(c);
    struct api_keypair k = {0};
    char field[32];
    int r = store_keypair_get(db, project, project, ref, &k);

    snprintf(field, sizeof(field), "keypairs/%zu", i);
    if (r == -ENOENT)
        return field_fault(c, p->at, field, "not_found",
                           "there is no keypair \"%s\"", ref);
    if (r < 0)
        return store_error(c, db, r);
    for (size_t j = 0; j < p->keypairs.n && r == 0; j++)
        if (streq(((char **)p->keypairs.items)[j], k.name))
            r = field_fault(c, p->at, field, "repeated",
                            "the keypair \"%s\" is there twice", k.name);
    codec_strings_add(&p->keypairs, k.name);
    codec_strings_add(&p->keys, k.public_key);
    codec_clear(&table_keypair, &k);
    return r;
}

int64_t
h_image_disk_bytes(const struct api_image *i)
{
    const struct api_image_part *p = i->parts.items;

    for (size_t k = 0; k < i->parts.n; k++)
        if (p[k].name == PART_DISK)
            return p[k].virtual_bytes;
    return 0;
}

static int
size_up(struct call *c, struct create_plan *p)
{
    int64_t image_disk = h_image_disk_bytes(&p->image);

    if (p->flavor.disk_bytes && p->flavor.disk_bytes < image_disk)
        return field_fault(c, p->at, "flavor", "disk_too_small",
                           "its disk is smaller than that of the image (%lld "
                           "bytes)",
                           (long long)image_disk);
    uint64_t traits = traits_of_image(&p->image);
    p->need = (struct sched_resources){
        .vcpus = p->flavor.vcpus,
        .memory_bytes = p->flavor.memory_bytes,
        .disk_bytes = MAX(p->flavor.disk_bytes, image_disk)};
    p->request = (struct sched_request){
        .project_id = call_acting_project(c),
        .need = p->need,
        .traits_required = traits,
        .traits_lacking = traits_lacking(traits),
        .policy =
            streq(c->ctl->cfg.placement, "pack") ? SCHED_PACK : SCHED_SPREAD,
    };
    return 0;
}

/* Every fault of the fields is told, not only the first. */
int
create_plan(struct call *c, struct db *db, const struct api_instance *in,
            const char *at, struct create_plan *ret)
{
    struct create_plan p = {.in = in, .at = at};
    int r = find_flavor(c, db, at, in->flavor, &p.flavor);
    int one =
        find_image(c, db, at, call_acting_project(c), in->image, &p.image);

    r = r < 0 ? r : one;
    for (size_t i = 0; i < in->keypairs.n; i++) {
        one = find_keypair(c, db, &p, i);
        r = r < 0 ? r : one;
    }
    if (r == 0)
        r = size_up(c, &p);
    if (r < 0) {
        create_plan_release(&p);
        return r;
    }
    *ret = p;
    return 0;
}

void
create_plan_release(struct create_plan *p)
{
    codec_clear(&table_flavor, &p->flavor);
    codec_clear(&table_image, &p->image);
    codec_strings_clear(&p->keypairs);
    codec_strings_clear(&p->keys);
    *p = (struct create_plan){0};
}

struct api_quota_values
create_quota(const struct create_plan *p, int64_t n)
{
    return quota_of_instances(p->need.vcpus, p->need.memory_bytes,
                              p->need.disk_bytes, n);
}

/* A name is at most 63 characters long (common/id.h). */
char *
create_batch_name(const char *base, int64_t n)
{
    char *name = xasprintf("%s-%lld", base, (long long)n);

    if (!id_name_valid(name))
        freep(&name);
    return name;
}

int
create_batch_check(struct call *c, const struct api_instance_batch *b)
{
    char *last _cleanup_(freep) =
        create_batch_name(b->instance->name, b->count);

    return last ? 0
                : err_field(&c->err, "/instance/name", "too_long",
                            "is too long for -%lld to be appended",
                            (long long)b->count);
}

/* ---- claims ---- */

static void
created_free(void *work)
{
    struct created *w = work;

    free(w->nodes);
    free(w);
}

static struct created *
created_of(struct call *c, const struct create_plan *p)
{
    struct created *w = c->work;

    if (!w) {
        w = c->work = xnew(struct created);
        c->work_free = created_free;
        w->each = p->need;
    }
    if (w->n == w->cap) {
        w->cap = MAX(2 * w->cap, (size_t)1);
        w->nodes = xrealloc(w->nodes, w->cap * sizeof(*w->nodes));
    }
    return w;
}

static void
release_last(struct call *c)
{
    struct created *w = c->work;

    pthread_mutex_lock(&c->ctl->sched_lock);
    if (sched_release(c->ctl->sched, w->nodes[--w->n], &w->each, NULL) < 0)
        COUNT(sched_release_refused);
    pthread_mutex_unlock(&c->ctl->sched_lock);
}

void
h_instance_create_undo(struct call *c)
{
    struct created *w = c->work;

    while (w && w->n)
        release_last(c);
}

/* Soon after a start most agents have yet to report, and "no room" may only
 * mean that: the client is asked to come again. */
static int
no_capacity(struct call *c, const struct sched_request *rq)
{
    struct ctl *ctl = c->ctl;
    struct sched_explain why = {0};
    char node[ID_SIZE];

    COUNT(create_no_capacity);
    if (clock_mono_us() - ctl->started_mono_us > ctl->cfg.node_lapse_us)
        return -ENOSPC;
    pthread_mutex_lock(&ctl->sched_lock);
    int r = sched_place(ctl->sched, rq, node, &why, NULL);
    pthread_mutex_unlock(&ctl->sched_lock);
    size_t down = why.count[SCHED_DOWN];
    sched_explain_release(&why);
    if (r == -ENOSPC && down)
        return err_set(&c->err, -EAGAIN, "nodes_settling",
                       "the controller has just started and %zu nodes have "
                       "yet to report; try again",
                       down);
    return -ENOSPC;
}

/* Chooses a node and claims its room. */
static int
place(struct call *c, const struct create_plan *p)
{
    struct created *w = created_of(c, p);
    struct ctl *ctl = c->ctl;

    pthread_mutex_lock(&ctl->sched_lock);
    int r = sched_place(ctl->sched, &p->request, w->nodes[w->n], NULL, &c->err);
    if (r == 0)
        r = sched_claim(ctl->sched, w->nodes[w->n], &p->need, &c->err);
    pthread_mutex_unlock(&ctl->sched_lock);
    if (r == 0)
        w->n++;
    return r == -ENOSPC ? no_capacity(c, &p->request) : r;
}

/* ---- one instance ---- */

static void
copy_strings(const struct codec_list *from, struct codec_list *to)
{
    for (size_t i = 0; i < from->n; i++)
        codec_strings_add(to, ((char **)from->items)[i]);
}

static void
describe(struct call *c, const struct create_plan *p, const char *name,
         struct store_instance *i)
{
    const struct codec_label *labels = p->in->labels.items;
    struct api_instance *a = &i->a;
    char id[ID_SIZE];

    id_new(id);
    a->id = xstrdup(id);
    a->project_id = xstrdup(call_acting_project(c));
    a->name = xstrdup(name);
    a->state = INSTANCE_CREATING;
    a->flavor = xstrdup(p->flavor.name);
    a->flavor_id = xstrdup(p->flavor.id);
    a->image = xstrdup(p->image.name);
    a->image_id = xstrdup(p->image.id);
    a->vcpus = p->need.vcpus;
    a->memory_bytes = p->need.memory_bytes;
    a->disk_bytes = p->need.disk_bytes;
    a->limits = p->flavor.limits;
    for (size_t k = 0; k < p->in->labels.n; k++)
        codec_labels_add(&a->labels, labels[k].key, labels[k].value);
    copy_strings(&p->keypairs, &a->keypairs);
    a->locked = p->in->locked;
    a->delete_protection = p->in->delete_protection;
    a->restart_policy = p->in->restart_policy;
    a->run = 1;
    a->created_at = clock_now_us();
    i->power = POWER_RUNNING;
    op_change(c->ctl, i);
}

int
create_name_taken(struct call *c, const struct create_plan *p, const char *name)
{
    field_fault(c, p->at, "name", "name_taken",
                "\"%s\" is taken by another instance", name);
    return err_set(&c->err, -EEXIST, "name_taken",
                   "there is an instance \"%s\" already", name);
}

static int
insert(struct call *c, struct db *db, const struct create_plan *p,
       struct store_instance *i)
{
    struct api_operation op = {0};
    int r = op_begin(db, i, "instance.create", "placed", c->request_id, &op);

    codec_clear(&table_operation, &op);
    if (r < 0)
        return store_error(c, db, r);
    r = store_instance_insert(db, i);
    if (r == -EEXIST)
        return create_name_taken(c, p, i->a.name);
    if (r == 0)
        r = store_seed_insert(db, i->a.id, p->in->user_data, &p->keys);
    return r < 0 ? store_error(c, db, r) : 0;
}

int
create_one(struct call *c, struct db *db, const struct create_plan *p,
           const char *name, struct api_instance *ret)
{
    struct store_instance i _cleanup_(store_instance_release) = {0};
    int r = place(c, p);

    if (r < 0)
        return r;
    struct created *w = c->work;
    describe(c, p, name, &i);
    i.a.node_id = xstrdup(w->nodes[w->n - 1]);
    r = insert(c, db, p, &i);
    if (r < 0) {
        release_last(c);
        return r;
    }
    *ret = i.a;
    i.a = (struct api_instance){0};
    return 0;
}
