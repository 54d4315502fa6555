/* api/resources.h - what travels between clients, controller and agents.
 * Role:      one struct and one table (table_<name>) per resource. A comment
 *            says what a field means only where the table's doc does not.
 * Ownership: see codec.h.   Threads: plain data.
 * Source:    docs/API.md is written from the tables. */
#ifndef API_RESOURCES_H
#define API_RESOURCES_H

#include "api/codec.h"

/* ---- tenants ---- */

/* Stored as numbers. Not an order: api_role_may() in routes.h decides. */
enum api_role {
    ROLE_NONE,
    ROLE_READER,
    ROLE_MEMBER,
    ROLE_ADMIN,
    ROLE_OPERATOR,
    ROLE_BILLING, /* sees usage, quotas and prices of its project, no more */
};
extern const char *const api_role_names[];

struct api_project {
    char *id, *name;
    int64_t generation, created_at;
};

struct api_token {
    char *id, *name;
    int role;
    char *project;            /* in: reference; out: id */
    struct codec_list scopes; /* strings "TAG:read", "TAG:write"; none: all */
    char *user_id;            /* who stands behind it, if anybody */
    int64_t generation, created_at, expires_at;
    char *token; /* the secret; only in the reply to its creation */
};

/* What a user may do where. An operator needs no membership. */
struct api_membership {
    char *project_id, *project, *user_id, *user; /* ids and names */
    int role;
    int64_t generation;
};

struct api_user {
    char *id, *name;
    char *password;   /* only in requests */
    char *project;    /* in: of its first membership; out: its home's id */
    int role;         /* of that membership */
    bool is_operator; /* "operator" on the wire */
    bool disabled;
    struct codec_list memberships; /* struct api_membership */
    int64_t generation, created_at, last_login_at;
};

struct api_user_change {
    char *password; /* NULL stays */
    int disabled;   /* CODEC_FLAG */
};

struct api_member_set {
    int role;
};

struct api_login {
    char *user, *password, *project;
    bool cookie; /* a cookie and a CSRF token rather than a bearer token */
};

struct api_session {
    char *id, *user_id, *user, *project_id, *remote;
    int role;
    char *csrf_token; /* with a cookie */
    char *token;      /* without; in the reply to the login only */
    bool current;
    int64_t generation, created_at, last_seen_at, expires_at;
};

struct api_session_change {
    char *project; /* act in another of the user's projects */
};

struct api_password_change {
    char *old_password, *new_password;
};

struct api_whoami {
    char *token_id, *token_name, *project_id;
    int role;
    struct codec_list scopes; /* strings */
    char *user_id, *user_name, *session_id, *csrf_token;
    struct codec_list memberships; /* struct api_membership */
};

/* ---- quotas ---- */

#define API_UNLIMITED INT64_C(-1)

struct api_quota_values {
    int64_t instances, vcpus, memory_bytes, disk_bytes;
    int64_t volumes, addresses, networks; /* none of these exist yet */
    int64_t images, image_bytes, tokens;
};

struct api_quota {
    char *project_id;
    int64_t generation;
    struct api_quota_values *limits; /* API_UNLIMITED: none */
    struct api_quota_values *used;
};

struct api_quota_fault {
    char *resource; /* a member of api_quota_values */
    int64_t limit, used, asked;
};

/* ---- keypairs ---- */

struct api_keypair {
    char *id, *name, *project_id;
    char *public_key;  /* one line of OpenSSH's format */
    char *fingerprint; /* "SHA256:…" as ssh-keygen prints it */
    int64_t generation, created_at;
};

/* ---- events, webhooks, audit ---- */

struct api_event {
    int64_t seq;     /* the cloud's, without gaps that matter: ?since= */
    char *id, *kind; /* "instance.state", "operation.succeeded", … */
    char *project_id, *resource_type, *resource_id, *resource_name;
    char *state; /* the new one, of what has states */
    char *request_id;
    int64_t at;
};

struct api_webhook {
    char *id, *name, *project_id, *url;
    char *secret;            /* given or made; in the creation's reply only */
    struct codec_list kinds; /* strings, "instance.*"; none: all */
    bool disabled;
    int64_t delivered_seq; /* all events up to here: delivered or dead */
    int64_t failures;      /* of the event that is being delivered */
    char *last_error;
    int64_t next_attempt_at;
    int64_t generation, created_at;
};

struct api_webhook_change {
    char *url;
    struct codec_list kinds;
    bool has_kinds; /* "kinds" was given; empty: all */
    int disabled;   /* CODEC_FLAG */
};

/* An event that could not be delivered. */
struct api_dead_letter {
    char *id, *webhook_id;
    struct api_event *event;
    int64_t attempts;
    char *last_error;
    int64_t created_at;
};

struct api_audit {
    int64_t seq;
    char *id;
    int64_t at;
    char *project_id, *actor_type, *actor_id, *actor; /* token, user, node */
    char *remote, *method, *path, *request_id;
    int64_t status;
    char *code; /* of the problem, if it was refused */
    char *resource_type, *resource_id;
};

/* An instance's share of its node. 0 is none or, of the shares, the usual. */
struct api_limits {
    int64_t cpu_shares; /* per vCPU, as are the next two */
    int64_t cpu_limit_percent, cpu_reservation_percent;
    int64_t disk_iops, disk_bytes_per_second; /* of each disk */
    int64_t net_bytes_per_second;             /* of each NIC and direction */
};

#define API_CPU_SHARES_DEFAULT 100
#define API_LABELS_MAX 64
#define API_USER_DATA_MAX 65536

struct api_flavor {
    char *id, *name;
    int64_t vcpus, memory_bytes, disk_bytes;
    struct api_limits limits;
    char *price_per_hour; /* of one instance that exists; NULL: none is set */
    int64_t generation, created_at;
};

enum api_part { PART_KERNEL, PART_INITRD, PART_DISK };
extern const char *const api_part_names[];
enum api_format { FORMAT_RAW, FORMAT_QCOW2 };
extern const char *const api_format_names[];

struct api_image_part {
    int name;   /* enum api_part */
    int format; /* enum api_format */
    int64_t size_bytes;
    int64_t virtual_bytes; /* of a disk, as the guest sees it */
    char *sha256;
};

enum api_image_state { IMAGE_PENDING, IMAGE_ACTIVE };
extern const char *const api_image_state_names[];

struct api_image {
    char *id, *name, *project_id;
    bool is_public;
    int state;
    char *cmdline;
    struct codec_list parts; /* struct api_image_part */
    int64_t size_bytes, generation, created_at;
};

enum api_instance_state {
    INSTANCE_CREATING,
    INSTANCE_RUNNING,
    INSTANCE_STOPPING,
    INSTANCE_STOPPED,
    INSTANCE_STARTING,
    INSTANCE_REBOOTING,
    INSTANCE_DELETING,
    INSTANCE_ERROR,
    INSTANCE_DELETED,
    INSTANCE_PAUSING,
    INSTANCE_PAUSED,
    INSTANCE_RESUMING,
    INSTANCE_REBUILDING,
    INSTANCE_RESIZING,
};
extern const char *const api_instance_state_names[];

/* When a node starts an instance again by itself; agentd/reconcile.h has the
 * rules. Stored as numbers; 0 is what an agent does without being told. */
enum api_restart { RESTART_NEVER, RESTART_ON_FAILURE, RESTART_ALWAYS };
extern const char *const api_restart_names[];

struct api_fault {
    char *code, *message;
};

struct api_instance {
    char *id, *name, *project_id;
    int state;
    char *flavor, *image; /* in: reference; out: name */
    char *flavor_id, *image_id;
    int64_t vcpus, memory_bytes, disk_bytes;
    struct api_limits limits;
    struct codec_list labels;   /* CODEC_LABELS */
    struct codec_list keypairs; /* strings; in: names or ids; out: names */
    char *user_data;            /* only in requests */
    bool locked;                /* nothing changes it but unlocking */
    bool delete_protection;     /* no delete */
    int restart_policy;         /* enum api_restart */
    int64_t restart_count;      /* starts by that policy, in all */
    int64_t run;                /* number of the latest start */
    char *stop_reason;          /* why it does not run */
    char *last_end_reason;      /* stays when it runs again */
    struct api_fault *fault;
    char *node_id;      /* operators only */
    char *operation_id; /* the latest operation */
    int64_t generation;
    int64_t created_at, started_at;
};

/* What of an instance can be changed; what is absent stays as it is. */
struct api_instance_change {
    char *name;
    int restart_policy;            /* enum api_restart; < 0: absent */
    int locked, delete_protection; /* CODEC_FLAG */
    struct codec_list labels;      /* replaces all of them, if given */
    bool has_labels;
};

struct api_rebuild_request {
    char *image;
    char *user_data; /* NULL: as before */
};

struct api_resize_request {
    char *flavor;
};

enum api_batch_policy { BATCH_ALL, BATCH_FIT };
extern const char *const api_batch_policy_names[];

/* Many instances of one description: NAME-1, NAME-2, … */
struct api_instance_batch {
    struct api_instance *instance; /* as to create one */
    int64_t count;
    int policy;              /* enum api_batch_policy */
    struct codec_list items; /* struct api_instance: what was made */
    int64_t created;
};

/* Why nodes were not taken, counted. */
struct api_refusal {
    char *reason;
    int64_t nodes;
};

/* What a create would do. */
struct api_dry_run {
    bool fits;
    int64_t count;                 /* how many would be made */
    char *node_id;                 /* of the first; operators only */
    struct codec_list refusals;    /* struct api_refusal */
    struct codec_list quota;       /* struct api_quota_fault: over quota */
    struct api_quota *quota_after; /* used: with these instances */
    char *price_per_hour;          /* of all; NULL: no price is set */
};

struct api_stop_request {
    bool force;
};

enum api_operation_state { OP_RUNNING, OP_SUCCEEDED, OP_FAILED, OP_CANCELLED };
extern const char *const api_operation_state_names[];

struct api_operation {
    char *id, *project_id, *kind; /* "instance.create", … */
    char *resource_type, *resource_id;
    int state;
    char *step;
    char *reason; /* what it waits for, where it says so */
    bool stuck;   /* no progress for a while, or its node does not report */
    bool can_cancel;
    int64_t attempt; /* 1, and one more for each retry */
    struct api_fault *problem;
    char *request_id;
    int64_t generation, created_at, updated_at, finished_at;
};

struct api_stats {
    int64_t cpu_ns, memory_bytes;
    int64_t disk_read_bytes, disk_write_bytes, disk_read_ops, disk_write_ops;
    int64_t net_rx_bytes, net_tx_bytes;
};

/* ---- metering ---- */

struct api_usage_item {
    char *instance_id, *instance_name, *project_id;
    char *running_seconds, *vcpu_hours, *memory_gib_hours, *disk_gib_hours;
    int64_t intervals;
    bool open;
    int64_t first_start, last_end;
};

struct api_usage {
    int64_t from, to;
    char *running_seconds, *vcpu_hours, *memory_gib_hours, *disk_gib_hours;
    struct codec_list items; /* struct api_usage_item */
    char *next_page_token;
};

/* ---- nodes ---- */

enum api_node_state { NODE_UP, NODE_DOWN };
extern const char *const api_node_state_names[];

struct api_node {
    char *id, *name;
    int state;
    bool schedulable;
    char *driver, *accel, *version, *hypervisor;
    int64_t vcpus, memory_bytes, disk_bytes; /* capacity */
    int64_t vcpus_limit, memory_limit_bytes,
        disk_limit_bytes; /* × overcommit */
    int64_t vcpus_claimed, memory_claimed_bytes, disk_claimed_bytes;
    int64_t instances;
    struct codec_list traits;      /* strings */
    struct codec_list quarantined; /* strings: VMs that nobody asked for */
    int64_t last_seen_at, generation, created_at;
};

struct api_join_token {
    char *id;
    int64_t ttl_s;
    char *token;
    int64_t expires_at;
};

/* ---- errors (RFC 9457) ---- */

struct api_problem_field {
    char *pointer, *code, *message;
};

struct api_problem {
    char *type, *title;
    int64_t status;
    char *detail, *code, *request_id;
    struct codec_list errors; /* struct api_problem_field */
    struct codec_list quota;  /* struct api_quota_fault */
};

/* ---- controller and agent; see docs/ARCHITECTURE.md, "The agent's loop" ----
 */

struct api_join {
    char *token, *name, *csr;
};

struct api_joined {
    char *node_id, *certificate, *ca;
};

struct api_certificate_request {
    char *csr;
};

enum api_power { POWER_RUNNING, POWER_STOPPED, POWER_DELETED };
extern const char *const api_power_names[];

struct api_desired_image {
    char *id, *cmdline;
    struct codec_list parts; /* struct api_image_part */
};

struct api_desired_instance {
    char *id, *project_id, *name;
    int64_t seq;        /* of this change, increasing over the whole cloud */
    int64_t run;        /* start number the instance should be at */
    int power;          /* enum api_power */
    bool force;         /* stop without asking the guest */
    bool paused;        /* where it runs it is halted */
    int restart_policy; /* enum api_restart */
    int64_t vcpus, memory_bytes, disk_bytes;
    struct api_limits limits;
    struct api_desired_image *image; /* absent once deleted */
    /* Which root disk, 0 the first: one of an older epoch is thrown away and
     * made anew from the image before the run starts. */
    int64_t disk_epoch;
    char *user_data;        /* for cloud-init (NoCloud) */
    struct codec_list keys; /* strings: OpenSSH public keys */
    char *request_id;
};

enum api_request_kind { REQUEST_CONSOLE_LOG, REQUEST_CONSOLE, REQUEST_STATS };
extern const char *const api_request_kind_names[];

/* A question to the node that is not part of its desired state. It lives in
 * the controller's memory only; the client repeats it when it is lost. */
struct api_node_request {
    char *id;
    int kind;
    char *instance_id;
    int64_t offset; /* console log: first byte; < 0 means "the last limit" */
    int64_t limit;
};

struct api_desired {
    int64_t seq; /* the agent asks for what is after this the next time */
    bool full;   /* the first page of everything: what is missing from the
                  * pages up to more == false does not exist */
    bool more;   /* ask again at once */
    struct codec_list instances; /* struct api_desired_instance */
    struct codec_list requests;  /* struct api_node_request */
};

struct api_host {
    char *driver, *accel, *agent_version, *hypervisor;
    int64_t vcpus, memory_bytes, disk_bytes;
    int64_t memory_free_bytes, disk_free_bytes;
    struct codec_list traits; /* strings */
};

enum api_observed {
    OBSERVED_RUNNING,
    OBSERVED_STOPPED,
    OBSERVED_FAILED,
    OBSERVED_DELETED,
    OBSERVED_PAUSED, /* run R is paused; `running` says that it goes on */
};
extern const char *const api_observed_names[];

struct api_observation {
    int64_t seq; /* increasing for the life of the node's state */
    char *instance_id;
    int64_t run;
    int state;
    /* How long before sent_at it happened: the controller counts back from
     * its own clock, so that a node's wrong clock cannot bend a bill. */
    int64_t age_us;
    char *reason; /* stopped: "requested", "guest", "crashed", "killed",
                     "unknown" */
    /* stopped, failed: the node starts run + 1 by itself, without being
     * asked (the restart policy). */
    bool restart;
    /* running, paused: what the run was started with; 0: an agent that does
     * not tell. */
    int64_t vcpus, memory_bytes, disk_bytes;
    struct api_fault *problem;
};

/* Where the work on an instance is; not stored by the agent: sent with the
 * next report, the latest counts. */
struct api_progress {
    char *instance_id, *step, *reason;
    int64_t run;
};

struct api_report {
    struct api_host *host;
    struct codec_list progress;     /* struct api_progress */
    struct codec_list observations; /* struct api_observation, by seq */
    struct codec_list quarantined;  /* strings */
};

struct api_report_ack {
    int64_t seq; /* every observation up to here is stored */
};

extern const struct codec_table table_project, table_token, table_whoami,
    table_user, table_user_change, table_membership, table_member_set,
    table_login, table_session, table_session_change, table_password_change,
    table_quota, table_quota_values, table_quota_set, table_quota_fault,
    table_keypair, table_event, table_webhook, table_webhook_change,
    table_dead_letter, table_audit, table_flavor, table_image, table_image_part,
    table_instance, table_instance_change, table_instance_batch,
    table_rebuild_request, table_resize_request, table_refusal, table_dry_run,
    table_stop_request, table_operation, table_stats, table_usage,
    table_usage_item, table_node, table_join_token, table_problem, table_fault,
    table_join, table_joined, table_certificate_request, table_desired,
    table_desired_instance, table_node_request, table_host, table_report,
    table_progress, table_observation, table_report_ack;

#endif
