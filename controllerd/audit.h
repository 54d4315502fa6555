/* controllerd/audit.h - who changed, or tried to change, what.
 * Role:      every successful change is an entry in its own transaction;
 *            refusals of known callers, and failed attempts to become one
 *            (login, join), follow in batches, as many as the cap lets
 *            through: a flood of them neither fills the disk nor holds up
 *            writers. What is left out is counted (audit_dropped).
 * Ownership: an entry owns its strings. No secret and no body is in it.
 * Threads:   audit_refused() from any; audit_done() inside a write.
 * Errors:    as store.h. */
#ifndef CONTROLLERD_AUDIT_H
#define CONTROLLERD_AUDIT_H

#include "controllerd/ctl.h"

#define AUDIT_PATH_MAX 256

void audit_start(struct ctl *ctl);
/* After the writer has ended. */
void audit_free(struct ctl *ctl);
int audit_done(struct call *c, struct db *db) _must_check_;
/* The problem is in the reply already. */
void audit_refused(struct call *c);
/* A path for the log: cut, and with what looks like a secret left out. */
void audit_path(const char *path, char out[AUDIT_PATH_MAX]);

#endif
