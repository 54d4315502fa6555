/* controllerd/figures.h - what monitoring sees of the controller.
 * Role:      counts of requests and their times, kept as they pass; the rest is
 *            taken from its owner, or from an index, when it is asked for.
 * Ownership: static, of the process.
 * Threads:   any. */
#ifndef CONTROLLERD_FIGURES_H
#define CONTROLLERD_FIGURES_H

#include "controllerd/ctl.h"

/* The three moments of a call: it may pass, its reply is made, it is over. */
void figures_begun(struct call *c);
void figures_replied(struct call *c);
void figures_ended(struct call *c);

/* Of requests so far, as OpenMetrics. */
void figures_requests(struct buf *out);
uint64_t figures_agents(void);

#endif
