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
/* Changes of desired state have numbers above it; 0 in a database that was
 * never restored. */
int store_seq_floor(struct db *db, int64_t *ret) _must_check_;
/* In a database that comes from a backup: raises that number above all that
 * agents may have heard of since, and those of the instances with it, so that
 * each agent gets everything anew. */
int store_begin_anew(struct db *db) _must_check_;
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
/* -EBUSY while it owns instances or images. Its tokens and memberships go with
 * it; users whose home it was and sessions in it have none then. */
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
/* struct api_token: those behind which that user stands. */
int store_token_list_user(struct db *db, const char *user_id,
                          struct codec_list *ret) _must_check_;
/* Calls fn for every token there is. */
int store_token_each(struct db *db,
                     void (*fn)(const struct store_token *t, void *arg),
                     void *arg) _must_check_;

/* ---- users ---- */
struct store_user {
    struct api_user a; /* a.project is the home's id; a.password stays NULL */
    char *password;    /* as the database has it: a hash with its salt */
};
void store_user_release(struct store_user *u);
/* The row alone; memberships have their own. */
int store_user_insert(struct db *db, const struct store_user *u) _must_check_;
/* By name or id, with all memberships. */
int store_user_get(struct db *db, const char *ref,
                   struct store_user *ret) _must_check_;
/* struct api_user. project: its members, and of their memberships only those
 * in it. */
int store_user_list(struct db *db, const char *project, const char *after,
                    int limit, struct codec_list *ret) _must_check_;
/* Password, disabled, last login; counts the generation up in *u if `change`.
 */
int store_user_update(struct db *db, struct store_user *u,
                      bool change) _must_check_;
/* Its memberships and sessions go with it. */
int store_user_delete(struct db *db, const char *id) _must_check_;
int store_user_each(struct db *db,
                    void (*fn)(const struct store_user *u, void *arg),
                    void *arg) _must_check_;
/* How many credentials of operators work at that time. */
int store_operators(struct db *db, int64_t now_us, int64_t *ret) _must_check_;

int store_membership_set(struct db *db, const char *project_id,
                         const char *user_id, int role) _must_check_;
int store_membership_delete(struct db *db, const char *project_id,
                            const char *user_id) _must_check_;
/* struct api_membership, by user id. */
int store_membership_list(struct db *db, const char *project_id,
                          const char *after, int limit,
                          struct codec_list *ret) _must_check_;

/* ---- sessions ---- */
struct store_session {
    /* a.role is what the user may do in a.project_id now. */
    struct api_session a;
    unsigned char hash[HASH_LEN];
    bool cookie;
};
int store_session_insert(struct db *db,
                         const struct store_session *s) _must_check_;
int store_session_get(struct db *db, const char *user_id, const char *id,
                      struct store_session *ret) _must_check_;
/* struct api_session */
int store_session_list(struct db *db, const char *user_id, const char *after,
                       int limit, struct codec_list *ret) _must_check_;
/* Lets it act in another project; counts the generation up. */
int store_session_move(struct db *db, struct store_session *s,
                       const char *project_id) _must_check_;
int store_session_seen(struct db *db, const char *id,
                       int64_t at_us) _must_check_;
int store_session_delete(struct db *db, const char *id) _must_check_;
/* All of a user's but one; except may be NULL. */
int store_session_delete_others(struct db *db, const char *user_id,
                                const char *except) _must_check_;
/* Ends the user's oldest ones until `keep` are left; appends their ids. */
int store_session_trim(struct db *db, const char *user_id, int keep,
                       struct codec_list *ret_ended) _must_check_;
int store_session_each(struct db *db,
                       void (*fn)(const struct store_session *s, void *arg),
                       void *arg) _must_check_;
int store_session_expire(struct db *db, int64_t now_us, int limit) _must_check_;

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
    bool force, paused;
    int64_t disk_epoch;
    int64_t ended_run, seq;
    char *request_id;
    int stored_state;   /* a.state as it was read: another one is an event */
    int64_t stored_seq; /* seq as it was read */
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
/* Those of the list that `keep` takes. The members below `limit` choose an
 * index; what it does not answer `keep` has to. */
struct store_instance_scan {
    const char *project, *after;
    int limit;      /* instances wanted */
    int scan_limit; /* rows looked at, so that no call takes long */
    const char *node;
    const char *label, *label_value; /* value NULL: any */
    bool (*keep)(const struct api_instance *a, void *arg);
    void *arg;
};
/* ret_next: the `after` to go on with, "" at the end. */
int store_instance_scan(struct db *db, const struct store_instance_scan *q,
                        struct codec_list *ret,
                        char ret_next[ID_SIZE]) _must_check_;
/* How labels are stored: a JSON object, or NULL without any. */
char *store_labels_text(const struct codec_list *labels) _must_check_;
/* Everything that can change; deleted_at 0 keeps it alive. */
int store_instance_update(struct db *db, const struct store_instance *i,
                          int64_t deleted_at) _must_check_;
/* Name, labels, flavor, image and sizes; -EEXIST: the name is taken. */
int store_instance_reshape(struct db *db,
                           const struct store_instance *i) _must_check_;
/* Sizes other than the instance's own that a run up to `run` may have, while
 * such a run may still be there. A set: of one run there may be several. */
struct store_size {
    int64_t run, vcpus, memory_bytes, disk_bytes;
};
int store_size_add(struct db *db, const char *instance_id,
                   const struct store_size *s) _must_check_;
/* 1: run s->run may have this size; 0: no row says so. */
int store_size_is_known(struct db *db, const char *instance_id,
                        const struct store_size *s) _must_check_;
/* What `run` may have `run` + 1 may have, too. */
int store_size_reserve(struct db *db, const char *instance_id,
                       int64_t run) _must_check_;
/* The likeliest of a run, of equals the smallest; -ENOENT: it has the
 * instance's own. */
int store_size_of_run(struct db *db, const char *instance_id, int64_t run,
                      struct store_size *ret) _must_check_;
/* The largest of each over all of them; 0 without any. */
int store_size_max(struct db *db, const char *instance_id,
                   struct store_size *ret) _must_check_;
/* Forgets those that hold for no run after this. */
int store_size_delete(struct db *db, const char *instance_id,
                      int64_t run) _must_check_;
int store_instance_max_seq(struct db *db, int64_t *ret) _must_check_;
/* Calls fn for each live instance that is on a node: what it claims. */
int store_instance_each_claim(struct db *db,
                              int (*fn)(const char *node_id, int64_t vcpus,
                                        int64_t memory_bytes,
                                        int64_t disk_bytes, void *arg),
                              void *arg) _must_check_;
/* User data and keys in one answer, beyond which the rest comes with the next:
 * an agent takes 16 MiB. */
#define STORE_DESIRED_SEEDS ((size_t)4 << 20)
/* What changed on a node after seq, oldest first; *ret_last is the last seq
 * read (or `after`), *ret_more says that it may not have been the last. */
int store_desired_list(struct db *db, const char *node, int64_t after,
                       int limit, struct codec_list *ret, int64_t *ret_last,
                       bool *ret_more) _must_check_;

/* ---- what instances were given ---- */

/* keys: strings. Nothing of either: no row. */
int store_seed_insert(struct db *db, const char *instance_id,
                      const char *user_data,
                      const struct codec_list *keys) _must_check_;
/* Keeps the keys. user_data NULL: none from now on. */
int store_seed_set_user_data(struct db *db, const char *instance_id,
                             const char *user_data) _must_check_;
/* NULL where there is none. */
int store_seed_user_data(struct db *db, const char *instance_id,
                         char **ret) _must_check_;

/* ---- quotas ---- */

/* A project without a row has no limits, at generation 1. */
int store_quota_get(struct db *db, const char *project,
                    struct api_quota_values *ret_limits,
                    int64_t *ret_generation) _must_check_;
int store_quota_set(struct db *db, const char *project,
                    const struct api_quota_values *limits,
                    int64_t generation) _must_check_;
/* Calls fn with what rows of each kind add up to, more than once for a
 * project. */
int store_quota_each_use(struct db *db,
                         void (*fn)(const char *project,
                                    const struct api_quota_values *used,
                                    void *arg),
                         void *arg) _must_check_;

/* How many rows of a kind a project has; users: those whose home it is. */
enum store_counted { STORE_KEYPAIRS, STORE_USERS, STORE_MEMBERS };
int store_count(struct db *db, enum store_counted what, const char *project,
                int64_t *ret) _must_check_;

/* ---- keypairs ---- */
int store_keypair_insert(struct db *db,
                         const struct api_keypair *k) _must_check_;
/* project NULL: any, but names only in default_project. */
int store_keypair_get(struct db *db, const char *project,
                      const char *default_project, const char *ref,
                      struct api_keypair *ret) _must_check_;
int store_keypair_list(struct db *db, const char *project, const char *after,
                       int limit, struct codec_list *ret) _must_check_;
int store_keypair_delete(struct db *db, const char *id) _must_check_;

/* ---- operations ---- */
struct store_operation {
    struct api_operation a; /* a.stuck is not stored; a.can_cancel holds while
                             * it runs */
    char *node_id;          /* of the instance */
    int64_t seq;            /* of the wish that it made */
    char *undo;             /* what there was before: JSON, ops/ops.h */
    char *undone_by;        /* the operation that took it back */
    int stored_state;       /* a.state as it was read: another is an event */
};
void store_operation_release(struct store_operation *o);
/* Lists are of struct store_operation, its api_ part first. */
extern const struct codec_table store_operation_table;
void store_operations_clear(struct codec_list *l);
int store_operation_insert(struct db *db,
                           const struct store_operation *o) _must_check_;
int store_operation_get(struct db *db, const char *project, const char *id,
                        struct store_operation *ret) _must_check_;
int store_operation_list(struct db *db, const char *project, const char *before,
                         int limit, struct codec_list *ret) _must_check_;
/* The running ones alone, by an index of their own. */
int store_operation_list_running(struct db *db, const char *project,
                                 const char *before, int limit,
                                 struct codec_list *ret) _must_check_;
int store_operation_list_resource(struct db *db, const char *project,
                                  const char *resource, const char *before,
                                  int limit,
                                  struct codec_list *ret) _must_check_;
int store_operation_update(struct db *db,
                           const struct store_operation *o) _must_check_;

/* ---- nodes ---- */
struct store_node {
    struct api_node a; /* claims, limits and state are not stored */
    char *fingerprint;
    int64_t observed_seq;
    bool told_up; /* the latest event of it was node.up, not node.down */
};
void store_node_release(struct store_node *n);
int store_node_insert(struct db *db, const struct store_node *n) _must_check_;
int store_node_get(struct db *db, const char *ref,
                   struct store_node *ret) _must_check_;
int store_node_list(struct db *db, const char *after, int limit,
                    struct codec_list *ret) _must_check_; /* store_node */
extern const struct codec_table store_node_table;
int store_node_update(struct db *db, const struct store_node *n) _must_check_;
/* With the event that says so. seen_at: when it was heard of last; never
 * earlier than is stored. */
int store_node_tell(struct db *db, const char *id, bool up,
                    int64_t seen_at) _must_check_;
/* The same time alone. */
int store_node_seen(struct db *db, const char *id,
                    int64_t seen_at) _must_check_;
/* The number up to which its observations are applied; all that most reports
 * change of the row. */
int store_node_observed(struct db *db, const char *id,
                        int64_t *ret_seq) _must_check_;
int store_node_set_observed(struct db *db, const char *id, int64_t seq,
                            int64_t last_seen_at) _must_check_;
/* Also while instances are on it; its certificate is remembered as void. */
int store_node_lose(struct db *db, const char *id, int64_t now_us) _must_check_;
/* Calls fn for each that was lost. */
int store_node_lost_each(struct db *db, void (*fn)(const char *id, void *arg),
                         void *arg) _must_check_;
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
/* who: a token, or a user in a project; see struct principal. */
int store_reply_get(struct db *db, const char *who, const char *key,
                    struct store_reply *ret) _must_check_;
int store_reply_insert(struct db *db, const char *who, const char *key,
                       const struct store_reply *r,
                       int64_t now_us) _must_check_;
/* Forgets keys, join tokens and sessions that are over; at most `limit` of
 * each. */
int store_expire(struct db *db, int64_t now_us, int limit) _must_check_;

#endif
