/* controllerd/store/store_figures.h - counts for monitoring.
 * Role:    numbers of rows, each by one pass over an index or a small table.
 * Threads: any reader's connection.   Errors: negative errno. */
#ifndef CONTROLLERD_STORE_STORE_FIGURES_H
#define CONTROLLERD_STORE_STORE_FIGURES_H

#include "controllerd/store/store.h"

#define STORE_INSTANCE_STATES (INSTANCE_RESIZING + 1)

struct store_figures {
    int64_t instances[STORE_INSTANCE_STATES]; /* of those not deleted */
    int64_t webhooks, webhooks_failing, dead_letters;
};

int store_figures(struct db *db, struct store_figures *ret) _must_check_;
/* Operations that run, by node (NULL: none): how many, and how many of them
 * have not changed since. */
int store_figures_operations(struct db *db, int64_t since_us,
                             void (*fn)(const char *node_id, int64_t n,
                                        int64_t silent, void *arg),
                             void *arg) _must_check_;

#endif
