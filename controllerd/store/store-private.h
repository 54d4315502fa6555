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

extern struct store_statements store_tenant_sql, store_token_sql,
    store_image_sql, store_instance_sql, store_operation_sql, store_node_sql,
    store_usage_sql, store_quota_sql, store_keypair_sql, store_seed_sql,
    store_user_sql, store_session_sql, store_event_sql, store_webhook_sql,
    store_number_sql, store_figures_sql;

static inline unsigned
store_base(const struct store_statements *s)
{
    return atomic_load_explicit(&s->base, memory_order_relaxed);
}

/* A text column into a string that the caller owns (NULL stays NULL). */
char *store_text(struct db *db, unsigned stmt, int col) _must_check_;
/* Lists of words without the separator in one text; no words: NULL. */
char *store_join(const struct codec_list *l, char separator) _must_check_;
void store_split(const char *text, char separator, struct codec_list *ret);
/* A row count from db_run() into 0 or -ENOENT. */
int store_changed(int r) _must_check_;

/* The columns of struct api_limits; to bind "iiiiii", STORE_LIMITS_OF(). */
#define STORE_LIMITS                                                           \
    "cpu_shares, cpu_limit_percent, cpu_reservation_percent, disk_iops, "      \
    "disk_bytes_per_second, net_bytes_per_second"
#define STORE_LIMITS_OF(l)                                                     \
    (l)->cpu_shares, (l)->cpu_limit_percent, (l)->cpu_reservation_percent,     \
        (l)->disk_iops, (l)->disk_bytes_per_second, (l)->net_bytes_per_second
/* `col` is the first of them. */
void store_limits(struct db *db, unsigned stmt, int col,
                  struct api_limits *ret);

#endif
