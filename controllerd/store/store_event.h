/* controllerd/store/store_event.h - rows of what happened: events, audit.
 * Role:      the event log and the audit log, both append-only with numbers
 *            in the order of commits, and their expiry.
 * Ownership: lists are the caller's, cleared by the api_ tables.
 * Threads:   as the connection (common/db.h).
 * Errors:    negative errno as in store.h. */
#ifndef CONTROLLERD_STORE_STORE_EVENT_H
#define CONTROLLERD_STORE_STORE_EVENT_H

#include "controllerd/store/store.h"

/* seq and id are given by the database; kind and resource_type are needed, at
 * 0 is now. */
int store_event_insert(struct db *db, const struct api_event *e) _must_check_;
/* After a number, oldest first. */
int store_event_list(struct db *db, const char *project, int64_t after,
                     int limit, struct codec_list *ret) _must_check_;
/* The newest number, and that from which on every event of the project (NULL:
 * of all) is kept; 0: there are none. */
int store_event_bounds(struct db *db, const char *project, int64_t *ret_first,
                       int64_t *ret_last) _must_check_;

int store_audit_insert(struct db *db, const struct api_audit *a) _must_check_;
/* Before a number (0: from the newest on), newest first. */
int store_audit_list(struct db *db, const char *project, int64_t before,
                     int limit, struct codec_list *ret) _must_check_;

/* Removes the oldest rows that are from before `before_us` or beyond the
 * newest keep_rows, at most `limit`, never the newest one; how many. */
int store_event_expire(struct db *db, int64_t before_us, int64_t keep_rows,
                       int limit) _must_check_;
int store_audit_expire(struct db *db, int64_t before_us, int64_t keep_rows,
                       int limit) _must_check_;

enum store_log { STORE_LOG_EVENT, STORE_LOG_AUDIT };

struct store_log_count {
    char project[ID_SIZE]; /* "": of none */
    int64_t rows;
};
/* struct store_log_count of each project, which needs no more than free();
 * none while the log has no more than `max` rows in all. */
int store_log_counts(struct db *db, enum store_log log, int64_t max,
                     struct codec_list *ret) _must_check_;
/* Removes a project's oldest rows, but never the newest of the log; how
 * many. */
int store_log_trim(struct db *db, enum store_log log, const char *project,
                   int rows) _must_check_;
/* An id that holds its time and number (UUID version 8, RFC 9562 section
 * 5.8), so that none has to be stored; log tells the logs apart. */
void store_log_id(enum store_log log, int64_t at_us, int64_t seq,
                  char out[ID_SIZE]);
/* The number again; -EINVAL for what is no such id. */
int store_log_seq(const char *id, int64_t *ret) _must_check_;

#endif
