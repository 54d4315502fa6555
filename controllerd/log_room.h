/* controllerd/log_room.h - who gives way when a log is full.
 * Role:      the event log and the audit log have a bound on their rows, for
 *            all projects together. Room is shared by max-min fairness: a
 *            project that has no more than its even share keeps all of its
 *            rows, and whoever has most gives its oldest. So no flood of one
 *            pushes out what another did.
 * Threads:   log_room_make() on a thread that may block, with a connection of
 *            its own to count by; it removes on the writer.
 * Errors:    the store's. */
#ifndef CONTROLLERD_LOG_ROOM_H
#define CONTROLLERD_LOG_ROOM_H

#include "controllerd/ctl.h"
#include "controllerd/store/store_event.h"

/* The most that any of n may keep so that all of them fit into max: the sum of
 * min(count, level) is at most max, and one more each would not fit. */
int64_t log_room_level(const int64_t *counts, size_t n, int64_t max);
/* Removes until at most max rows are left. */
int log_room_make(struct ctl *ctl, struct db *reader, enum store_log log,
                  int64_t max) _must_check_;

#endif
