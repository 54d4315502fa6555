/* controllerd/webhooks.h - delivers events to URLs.
 * Role:      one thread follows the event log and POSTs to each webhook what
 *            it asked for: at least once, in order, the next one only after
 *            the one before was taken or given up, and that is committed.
 * Ownership: the thread owns its copies of the rows.
 * Threads:   any.   Errors: as its parts at the start.
 * Invariant: delivered_seq of a row never passes an event that was neither
 *            taken nor became a dead letter in the same transaction. */
#ifndef CONTROLLERD_WEBHOOKS_H
#define CONTROLLERD_WEBHOOKS_H

#include "controllerd/ctl.h"

#define WEBHOOKS_PER_PROJECT 20

int webhooks_start(struct ctl *ctl, struct err *reterr) _must_check_;
/* Ends the thread; what is under way is sent again by the next start. While
 * the writer still runs. */
void webhooks_stop(struct ctl *ctl);
/* Rows changed: looks at them anew. */
void webhooks_changed(struct ctl *ctl);
/* Dead letters and what waits for its next attempt: at once. */
void webhooks_redeliver(struct ctl *ctl, const char *id);
/* After a commit; costs nothing while there is no webhook. */
void webhooks_committed(struct ctl *ctl);

#endif
