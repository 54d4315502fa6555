/* h_quota.c - what a project may have and has. */
#include <config.h>

#include "controllerd/handlers.h"

#include <string.h>

#include "common/mem.h"
#include "controllerd/quota.h"

static int
get(struct call *c, struct db *db, struct api_project *ret_project,
    struct api_quota_values *ret_limits, int64_t *ret_generation)
{
    int r = call_get_project(c, db, c->m.params[0], ret_project);

    if (r < 0)
        return r;
    r = store_quota_get(db, ret_project->id, ret_limits, ret_generation);
    return r < 0 ? store_error(c, db, r) : 0;
}

static void
reply_quota(struct call *c, char *project, struct api_quota_values *limits,
            int64_t generation)
{
    struct api_quota_values used;
    struct api_quota q = {.project_id = project,
                          .generation = generation,
                          .limits = limits,
                          .used = &used};

    quota_used(c->ctl, project, &used);
    reply_object(c, &table_quota, &q);
}

int
h_quota_show(struct call *c, struct db *db)
{
    struct api_project p = {0};
    struct api_quota_values limits;
    int64_t generation;
    int r = get(c, db, &p, &limits, &generation);

    if (r == 0)
        reply_quota(c, p.id, &limits, generation);
    codec_clear(&table_project, &p);
    return r;
}

/* Limits below what is used are good: nothing more is made until there is
 * room again. */
int
h_quota_set(struct call *c, struct db *db)
{
    const struct api_quota *in = c->in;
    struct api_project p = {0};
    struct api_quota_values limits;
    int64_t generation;
    int r = get(c, db, &p, &limits, &generation);

    if (r == 0)
        r = call_if_match_required(c, generation);
    if (r == 0 && memcmp(&limits, in->limits, sizeof(limits)) != 0) {
        r = store_quota_set(db, p.id, in->limits, ++generation);
        if (r < 0)
            store_error(c, db, r);
    }
    if (r == 0)
        reply_quota(c, p.id, in->limits, generation);
    codec_clear(&table_project, &p);
    return r;
}
