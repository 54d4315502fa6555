/* store.c - opening the controller's database; see store.h. */
#include <config.h>

#include "controllerd/store/store-private.h"

#include <string.h>

#include "common/mem.h"

extern const struct db_migration controller_migrations[];
extern const size_t controller_migrations_n;

static struct store_statements *const all[] = {
    &store_tenant_sql,    &store_image_sql,   &store_instance_sql,
    &store_operation_sql, &store_node_sql,    &store_usage_sql,
    &store_quota_sql,     &store_keypair_sql, &store_seed_sql,
    &store_user_sql,      &store_session_sql, &store_event_sql,
    &store_webhook_sql,   &store_number_sql,  &store_figures_sql,
    &store_token_sql,
};

int
store_open(const char *path, bool writable, struct db **ret, struct err *reterr)
{
    struct db *db _cleanup_(db_closep) = NULL;
    int r = db_open(path, writable ? DB_DURABLE : DB_READ_ONLY, &db, reterr);

    if (r < 0)
        return r; /* names it already */
    if (writable)
        r = db_migrate(db, controller_migrations, controller_migrations_n,
                       reterr);
    for (size_t i = 0; i < ARRAY_SIZE(all) && r == 0; i++) {
        unsigned base = 0;

        r = db_prepare_more(db, all[i]->sql, all[i]->n, &base, reterr);
        atomic_store_explicit(&all[i]->base, base, memory_order_relaxed);
    }
    if (r < 0) {
        err_prefix(reterr, "database %s", path);
        return r;
    }
    *ret = TAKE_PTR(db);
    return 0;
}

int
store_probe(struct db *db)
{
    return db_exec(db,
                   "UPDATE projects SET created_at = created_at "
                   "WHERE id = (SELECT id FROM projects LIMIT 1)",
                   NULL);
}

char *
store_text(struct db *db, unsigned stmt, int col)
{
    return xstrdup(db_text(db, stmt, col));
}

char *
store_join(const struct codec_list *l, char separator)
{
    struct buf b = {0};

    for (size_t i = 0; i < l->n; i++) {
        if (i)
            buf_addc(&b, separator);
        buf_adds(&b, ((char **)l->items)[i]);
    }
    return l->n ? buf_take(&b) : NULL;
}

void
store_split(const char *text, char separator, struct codec_list *ret)
{
    while (text && *text) {
        size_t n = (size_t)(strchrnul(text, separator) - text);
        char *word _cleanup_(freep) = xstrndup(text, n);

        codec_strings_add(ret, word);
        text += n + (text[n] == separator);
    }
}

void
store_limits(struct db *db, unsigned stmt, int col, struct api_limits *ret)
{
    *ret = (struct api_limits){
        .cpu_shares = db_int(db, stmt, col),
        .cpu_limit_percent = db_int(db, stmt, col + 1),
        .cpu_reservation_percent = db_int(db, stmt, col + 2),
        .disk_iops = db_int(db, stmt, col + 3),
        .disk_bytes_per_second = db_int(db, stmt, col + 4),
        .net_bytes_per_second = db_int(db, stmt, col + 5),
    };
}

int
store_changed(int r)
{
    return r < 0 ? r : r == 0 ? -ENOENT : 0;
}
