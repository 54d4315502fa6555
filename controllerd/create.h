/* controllerd/create.h - how instances come to be, one or many.
 * Role:      a plan is what one create says, with its references resolved and
 *            its fields checked; then each instance is placed, claimed and
 *            written. Shared by the create, the batch and the dry run, so
 *            that the three agree.
 * Ownership: create_plan_release(). A call's claims are in c->work (struct
 *            created): given back by h_instance_create_undo().
 * Threads:   the writer's; create_plan() with a reader's connection, too.
 * Errors:    -EINVAL with pointers below `at`, -EBUSY the image is not
 *            complete, -ENOSPC no node fits, -EEXIST the name is taken, -EPERM
 *            quota. */
#ifndef CONTROLLERD_CREATE_H
#define CONTROLLERD_CREATE_H

#include "controllerd/ctl.h"

struct create_plan {
    const struct api_instance *in; /* borrowed from the call */
    const char *at;                /* "" or "/instance", before pointers */
    struct api_flavor flavor;
    struct api_image image;
    struct codec_list keypairs, keys; /* strings: names, and their keys */
    struct sched_resources need;      /* of each */
    struct sched_request request;
};

int create_plan(struct call *c, struct db *db, const struct api_instance *in,
                const char *at, struct create_plan *ret) _must_check_;
void create_plan_release(struct create_plan *p);

/* What n of them take of quotas. */
struct api_quota_values create_quota(const struct create_plan *p, int64_t n);

/* What a call has claimed, all of one size. */
struct created {
    struct sched_resources each;
    char (*nodes)[ID_SIZE];
    size_t n, cap;
};

/* Makes one: claim, operation, row. *ret is the instance as it is answered.
 * After an error nothing of this one is left in memory; rows go with the
 * transaction. */
int create_one(struct call *c, struct db *db, const struct create_plan *p,
               const char *name, struct api_instance *ret) _must_check_;
int create_name_taken(struct call *c, const struct create_plan *p,
                      const char *name);

/* "web-7"; NULL: too long to be a name. */
char *create_batch_name(const char *base, int64_t n) _must_check_;
/* Whether all of a batch's names can be names. */
int create_batch_check(struct call *c,
                       const struct api_instance_batch *b) _must_check_;

#endif
