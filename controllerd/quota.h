/* controllerd/quota.h - what projects have, and may have.
 * Role:      limits are rows; what is used is kept in memory, so that a create
 *            does not sum up 100,000 rows: built from rows at start, changed
 *            on the writer with the transaction that changes the rows.
 * Ownership: lists of faults are the caller's (table_quota_fault).
 * Threads:   quota_take() and quota_free() on the writer, inside write();
 *            quota_used() anywhere.
 * Errors:    -EPERM with code quota_exceeded: the call's problem lists each
 *            quota at fault with its numbers.
 * Invariant: between two jobs of the writer, used is what the rows add up to,
 *            those of the transaction included. A call that fails, or whose
 *            commit fails, leaves no trace; what it frees counts as used
 *            until it is committed. dispatch.c calls what does this. */
#ifndef CONTROLLERD_QUOTA_H
#define CONTROLLERD_QUOTA_H

#include "controllerd/ctl.h"

int quota_start(struct ctl *ctl, struct db *db,
                struct err *reterr) _must_check_;
void quota_stop(struct ctl *ctl);

/* Takes all of delta (0 or more each) for the call's project, or nothing.
 * count_at, size_at: the fields that ask for a number of things and for their
 * sizes, for errors[]; "" is the request as a whole. A call takes for one
 * project only, in as many steps as it likes. */
int quota_take(struct call *c, struct db *db, const char *project,
               const struct api_quota_values *delta, const char *count_at,
               const char *size_at) _must_check_;
/* Gives back part of what this call took. */
void quota_untake(struct call *c, const struct api_quota_values *delta);
/* Gives delta back once the call is committed. One project for each call. */
void quota_free(struct call *c, const char *project,
                const struct api_quota_values *delta);
/* At once: after the commit of what ended. */
void quota_give(struct ctl *ctl, const char *project,
                const struct api_quota_values *delta);
/* After the commit of a project's end. */
void quota_forget(struct ctl *ctl, const char *project);

/* For dispatch.c: the call failed, or was committed. */
void quota_undo(struct call *c);
void quota_committed(struct call *c);

/* The same for what has no quota and a bound all the same: one more of what
 * there are `used` of. -EPERM as above. */
int quota_cap(struct call *c, const char *resource, int64_t used,
              int64_t limit) _must_check_;
/* quota_cap() with the setting project-objects, for rows of a project. */
int quota_cap_rows(struct call *c, struct db *db, enum store_counted what,
                   const char *project) _must_check_;

/* Bytes that come in for an image before there is a row of them. Together with
 * those of other uploads and with what the project has they stay within its
 * image_bytes (`limit`): *bytes grows by n, or the call is refused. The end
 * gives *bytes back; by then they are taken as a quota, or dropped. */
int quota_upload(struct call *c, const char *project, int64_t limit,
                 int64_t *bytes, int64_t n) _must_check_;
void quota_upload_end(struct ctl *ctl, const char *project, int64_t *bytes);

void quota_used(struct ctl *ctl, const char *project,
                struct api_quota_values *ret);
/* What n such instances take. */
struct api_quota_values quota_of_instances(int64_t vcpus, int64_t memory_bytes,
                                           int64_t disk_bytes, int64_t n);
/* How many times delta may yet be taken, at most `max`. */
int64_t quota_room(const struct api_quota_values *limits,
                   const struct api_quota_values *used,
                   const struct api_quota_values *delta, int64_t max);
/* Appends struct api_quota_fault for each that does not allow delta. */
void quota_faults(const struct api_quota_values *limits,
                  const struct api_quota_values *used,
                  const struct api_quota_values *delta, struct codec_list *ret);
/* "instances=20,vcpus=40,memory_bytes=64G,…": what is not named stays as it is
 * in *ret; "unlimited", as a number or alone for all. */
int quota_parse(const char *text, struct api_quota_values *ret,
                struct err *reterr) _must_check_;

/* The defaults of the setting project-quota. */
#define QUOTA_DEFAULTS                                                         \
    "instances=20,vcpus=40,memory_bytes=160G,disk_bytes=4T,volumes=40,"        \
    "addresses=10,networks=10,images=50,image_bytes=200G,tokens=50"

#endif
