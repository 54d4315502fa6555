/* controllerd/store/store-private.h - shared by the store's files.
 * Role: each file owns a statement table; store.c prepares them all in one
 *       fixed order on every connection, so that a file's base number is the
 *       same everywhere. */
#ifndef CONTROLLERD_STORE_STORE_PRIVATE_H
#define CONTROLLERD_STORE_STORE_PRIVATE_H

#include <stdatomic.h>

#include "controllerd/store/store.h"

struct store_statements {
    const char *const *sql;
    size_t n;
    _Atomic unsigned base;
};

extern struct store_statements store_tenant_sql, store_image_sql,
    store_instance_sql, store_operation_sql, store_node_sql, store_usage_sql;

static inline unsigned
store_base(const struct store_statements *s)
{
    return atomic_load_explicit(&s->base, memory_order_relaxed);
}

/* A text column into a string that the caller owns (NULL stays NULL). */
char *store_text(struct db *db, unsigned stmt, int col) _must_check_;
/* A row count from db_run() into 0 or -ENOENT. */
int store_changed(int r) _must_check_;

#endif
