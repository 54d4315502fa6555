/* tests/model/readers.h - threads that only look, beside the run.
 * Role:      what HTTP threads do to each other and to the writer: for
 *            ThreadSanitizer above all. They ask as the cloud's first tokens,
 *            which nobody revokes. With them a seed is not the same run twice.
 * Ownership: readers_stop() frees what readers_start() made; NULL is none.
 * Threads:   those two on the rig's own.
 * Errors:    a reply that cannot be ends the process. */
#ifndef TESTS_MODEL_READERS_H
#define TESTS_MODEL_READERS_H

#include "tests/model/cloud.h"

struct readers;

struct readers *readers_start(struct ctx *x, int n);
/* How many calls they made. */
int64_t readers_stop(struct readers *rs);

#endif
