/* controllerd/store/store.h - all SQL of the controller, as nouns.
 * Role:      rows in, rows out. Functions take the connection they run on:
 *            the writer's inside a transaction, or a reader's own.
 * Ownership: structs filled here are freed by codec_clear() with the table of
 *            their api_ part; store_*_release() where there is more.
 * Threads:   as the connection (common/db.h).
 * Errors:    negative errno: -ENOENT no such row, -EEXIST taken, -ENOSPC disk
 *            full, -EIO. Project arguments: NULL means every project. */
#ifndef CONTROLLERD_STORE_STORE_H
#define CONTROLLERD_STORE_STORE_H

#include "api/resources.h"
#include "common/db.h"
#include "common/hash.h"
#include "common/id.h"
#include "metering/usage.h"

/* Opens (creating and migrating when writable) and prepares everything. */
int store_open(const char *path, bool writable, struct db **ret,
               struct err *reterr) _must_check_;
/* A write that proves that the database takes writes. */
int store_probe(struct db *db) _must_check_;

/* ---- projects ---- */
int store_project_insert(struct db *db,
                         const struct api_project *p) _must_check_;
/* By name or id. */
int store_project_get(struct db *db, const char *ref,
                      struct api_project *ret) _must_check_;
int store_project_list(struct db *db, const char *only_id, const char *after,
                       int limit, struct codec_list *ret) _must_check_;
/* -EBUSY while it owns instances or images. Its tokens go with it. */
int store_project_delete(struct db *db, const char *id) _must_check_;

/* ---- tokens ---- */
struct store_token {
    struct api_token a; /* a.project is the id */
    unsigned char hash[HASH_LEN];
};
int store_token_insert(struct db *db, const struct store_token *t) _must_check_;
/* -ENOTUNIQ: without a project, a name that several tenants have. */
int store_token_get(struct db *db, const char *project, const char *ref,
                    struct api_token *ret) _must_check_;
int store_token_delete(struct db *db, const char *id) _must_check_;
int store_token_list(struct db *db, const char *project, const char *after,
                     int limit, struct codec_list *ret) _must_check_;
/* Calls fn for every token there is. */
int store_token_each(struct db *db,
                     void (*fn)(const struct store_token *t, void *arg),
                     void *arg) _must_check_;

/* The rows of a first start, in one transaction. */
int store_first(struct db *db, const struct api_project *p,
                const struct store_token *t) _must_check_;

/* ---- flavors ---- */
int store_flavor_insert(struct db *db, const struct api_flavor *f) _must_check_;
int store_flavor_get(struct db *db, const char *ref,
                     struct api_flavor *ret) _must_check_;
int store_flavor_list(struct db *db, const char *after, int limit,
                      struct codec_list *ret) _must_check_;
int store_flavor_delete(struct db *db, const char *id) _must_check_;

/* ---- images ---- */
int store_image_insert(struct db *db, const struct api_image *i) _must_check_;
/* Own images and public ones; a name is looked up among the own first. */
int store_image_get(struct db *db, const char *project, const char *ref,
                    struct api_image *ret) _must_check_;
int store_image_list(struct db *db, const char *project, const char *after,
                     int limit, struct codec_list *ret) _must_check_;
/* -EBUSY while an instance uses it. */
int store_image_delete(struct db *db, const char *id) _must_check_;
/* Records an upload; -EEXIST when the part is there already. */
int store_image_part_set(struct db *db, const char *image_id,
                         const struct api_image_part *p) _must_check_;

/* ---- instances ---- */
struct store_instance {
    struct api_instance a; /* a.started_at, a.fault and so on as stored */
    int power;             /* enum api_power */
    bool force;
    int64_t ended_run, seq;
    char *request_id;
    int stored_state; /* a.state as it was read: another one is an event */
};
void store_instance_release(struct store_instance *i);
int store_instance_insert(struct db *db,
                          const struct store_instance *i) _must_check_;
/* Live ones only. project NULL: any, but names only in default_project. */
int store_instance_get(struct db *db, const char *project,
                       const char *default_project, const char *ref,
                       struct store_instance *ret) _must_check_;
int store_instance_list(struct db *db, const char *project, const char *after,
                        int limit, struct codec_list *ret) _must_check_;
/* Everything that can change; deleted_at 0 keeps it alive. */
int store_instance_update(struct db *db, const struct store_instance *i,
                          int64_t deleted_at) _must_check_;
int store_instance_max_seq(struct db *db, int64_t *ret) _must_check_;
/* Calls fn for each live instance: what it claims. */
int store_instance_each_claim(struct db *db,
                              int (*fn)(const char *node_id, int64_t vcpus,
                                        int64_t memory_bytes,
                                        int64_t disk_bytes, void *arg),
                              void *arg) _must_check_;
/* What changed on a node after seq, oldest first; *ret_last is the last seq
 * read (or `after`). */
int store_desired_list(struct db *db, const char *node, int64_t after,
                       int limit, struct codec_list *ret,
                       int64_t *ret_last) _must_check_;

/* ---- operations ---- */
int store_operation_insert(struct db *db,
                           const struct api_operation *o) _must_check_;
int store_operation_get(struct db *db, const char *project, const char *id,
                        struct api_operation *ret) _must_check_;
int store_operation_list(struct db *db, const char *project, const char *before,
                         int limit, struct codec_list *ret) _must_check_;
int store_operation_update(struct db *db,
                           const struct api_operation *o) _must_check_;

/* ---- nodes ---- */
struct store_node {
    struct api_node a; /* claims, limits and state are not stored */
    char *fingerprint;
    int64_t observed_seq;
};
void store_node_release(struct store_node *n);
int store_node_insert(struct db *db, const struct store_node *n) _must_check_;
int store_node_get(struct db *db, const char *ref,
                   struct store_node *ret) _must_check_;
int store_node_list(struct db *db, const char *after, int limit,
                    struct codec_list *ret) _must_check_; /* store_node */
extern const struct codec_table store_node_table;
int store_node_update(struct db *db, const struct store_node *n) _must_check_;
/* -EBUSY while an instance is on it. */
int store_node_delete(struct db *db, const char *id) _must_check_;

/* How many live instances are on it. */
int store_node_instances(struct db *db, const char *id,
                         int64_t *ret) _must_check_;
/* Whether a live instance on the node was made from the image. */
bool store_node_uses_image(struct db *db, const char *node_id,
                           const char *image_id);

struct store_join_token {
    char *id, *node_id, *key_hash;
    unsigned char hash[HASH_LEN];
    int64_t created_at, expires_at;
};
void store_join_token_release(struct store_join_token *t);
int store_join_token_insert(struct db *db,
                            const struct store_join_token *t) _must_check_;
int store_join_token_get(struct db *db, const char *id,
                         struct store_join_token *ret) _must_check_;
int store_join_token_use(struct db *db, const char *id, const char *node_id,
                         const char *key_hash) _must_check_;

/* ---- usage ---- */
struct store_interval {
    const char *instance_id, *project_id, *instance_name; /* borrowed */
    int64_t run;
    struct meter_interval iv;
};
/* The latest interval of an instance; run 0 when there is none. */
int store_interval_last(struct db *db, const char *instance_id,
                        struct store_interval *ret) _must_check_;
int store_interval_open(struct db *db,
                        const struct store_interval *i) _must_check_;
int store_interval_close(struct db *db, const char *instance_id, int64_t run,
                         int64_t end_us) _must_check_;
/* Those that touch [from, to), by instance and run. fn < 0 stops. */
int store_interval_each(struct db *db, const char *project,
                        const char *instance, int64_t from_us, int64_t to_us,
                        int (*fn)(const struct store_interval *i, void *arg),
                        void *arg) _must_check_;

/* ---- idempotency keys ---- */
struct store_reply {
    unsigned char request_hash[HASH_LEN];
    int status;
    char *location, *body;
};
void store_reply_release(struct store_reply *r);
int store_reply_get(struct db *db, const char *token_id, const char *key,
                    struct store_reply *ret) _must_check_;
int store_reply_insert(struct db *db, const char *token_id, const char *key,
                       const struct store_reply *r,
                       int64_t now_us) _must_check_;
/* Forgets keys and join tokens that are over; at most `limit` of each. */
int store_expire(struct db *db, int64_t now_us, int limit) _must_check_;

#endif
