/* controllerd/handlers.h - every handler function, for the table in
 * handlers.c. Each means what its route in api/routes.c says; struct handler
 * in ctl.h says when each kind is called. */
#ifndef CONTROLLERD_HANDLERS_H
#define CONTROLLERD_HANDLERS_H

#include "controllerd/ctl.h"
#include "controllerd/traits.h"

/* h_service.c */
int h_healthz(struct call *c);
int h_readyz_recent(struct call *c);
int h_readyz(struct call *c, struct db *db);
void h_readyz_undo(struct call *c);
void h_readyz_committed(struct call *c);
int h_metrics(struct call *c, struct db *db);
int h_openapi(struct call *c);
int h_ca(struct call *c);
int h_backup(struct call *c);
int h_dashboard(struct call *c);
int h_dashboard_file(struct call *c);

/* h_tenants.c */
int h_project_create(struct call *c, struct db *db);
int h_project_list(struct call *c, struct db *db);
int h_project_show(struct call *c, struct db *db);
int h_project_delete(struct call *c, struct db *db);
void h_project_deleted(struct call *c);
int h_flavor_create(struct call *c, struct db *db);
int h_flavor_list(struct call *c, struct db *db);
int h_flavor_show(struct call *c, struct db *db);
int h_flavor_delete(struct call *c, struct db *db);

/* 409 for what has the name of another (h_tenants.c). */
int call_name_taken(struct call *c, const char *what, const char *name);

/* h_tokens.c */
int h_token_create(struct call *c, struct db *db);
void h_token_created(struct call *c);
int h_token_list(struct call *c, struct db *db);
int h_token_delete(struct call *c, struct db *db);
void h_token_deleted(struct call *c);
/* Ends those tokens of a user for which he, as he is now, no longer stands;
 * appends struct api_token. Inside write(). */
int tokens_trim(struct call *c, struct db *db, const struct store_user *u,
                struct codec_list *ret_ended) _must_check_;
/* After the commit of that. */
void tokens_trimmed(struct ctl *ctl, const struct codec_list *ended);

/* h_users.c; h_user_committed() is for all that change one */
int h_user_create(struct call *c);
int h_user_create_write(struct call *c, struct db *db);
int h_user_list(struct call *c, struct db *db);
int h_user_show(struct call *c, struct db *db);
int h_user_change(struct call *c);
int h_user_change_write(struct call *c, struct db *db);
int h_user_delete(struct call *c, struct db *db);
void h_user_committed(struct call *c);
int h_member_list(struct call *c, struct db *db);
int h_member_set(struct call *c, struct db *db);
int h_member_delete(struct call *c, struct db *db);

/* h_sessions.c */
int h_whoami(struct call *c, struct db *db);
int h_login(struct call *c);
int h_login_write(struct call *c, struct db *db);
int h_logout(struct call *c, struct db *db);
int h_password(struct call *c);
int h_password_write(struct call *c, struct db *db);
int h_session_list(struct call *c, struct db *db);
int h_session_change(struct call *c, struct db *db);
int h_session_delete(struct call *c, struct db *db);
void h_session_committed(struct call *c);

/* h_images.c */
int h_image_create(struct call *c, struct db *db);
int h_image_list(struct call *c, struct db *db);
int h_image_show(struct call *c, struct db *db);
int h_image_delete(struct call *c, struct db *db);
void h_image_deleted(struct call *c);
int h_part_begin(struct call *c, struct db *db);
int h_part_data(struct call *c, const void *data, size_t n);
int h_part_finish(struct call *c);
int h_part_write(struct call *c, struct db *db);
int h_agent_image_part(struct call *c, struct db *db);

/* h_quota.c */
int h_quota_show(struct call *c, struct db *db);
int h_quota_set(struct call *c, struct db *db);

/* h_keypairs.c */
int h_keypair_create(struct call *c, struct db *db);
int h_keypair_list(struct call *c, struct db *db);
int h_keypair_show(struct call *c, struct db *db);
int h_keypair_delete(struct call *c, struct db *db);

/* h_create.c, create.c, h_dry_run.c */
/* By name or id; a wrong one is the fault of /flavor or /image. */
int h_find_flavor(struct call *c, struct db *db, const char *ref,
                  struct api_flavor *ret);
/* Complete, and the project's own or public. */
int h_find_image(struct call *c, struct db *db, const char *project,
                 const char *ref, struct api_image *ret);
int64_t h_image_disk_bytes(const struct api_image *i);
/* Operators see where an instance is; tenants do not. */
void h_instance_reply(struct call *c, struct api_instance *a);
int h_instance_create_plain(struct call *c);
int h_instance_create(struct call *c, struct db *db);
void h_instance_create_undo(struct call *c);
void h_instance_created(struct call *c);
int h_instance_batch(struct call *c, struct db *db);
int h_instance_create_dry(struct call *c, struct db *db);
int h_instance_batch_dry(struct call *c, struct db *db);

/* h_instances.c */
/* The live instance that the path names, if the caller may see it. */
int h_instance_get(struct call *c, struct db *db, struct store_instance *ret);
int h_instance_user_data(struct call *c, struct db *db);
int h_instance_list(struct call *c, struct db *db);
int h_instance_show(struct call *c, struct db *db);
int h_instance_console_log(struct call *c, struct db *db);
int h_instance_console(struct call *c, struct db *db);
int h_instance_stats(struct call *c, struct db *db);

/* h_verbs.c */
/* -EBUSY: it cannot be "stopped" now. */
/* 409 verb_unsupported where the instance's node cannot do that. */
int h_need(struct call *c, const struct store_instance *i,
           enum traits_need need);
int h_wrong_state(struct call *c, const struct store_instance *i,
                  const char *verb);
/* The instance that the path names, to be changed: 409 while it is locked,
 * 412 unless If-Match allows it. */
int h_instance_get_free(struct call *c, struct db *db,
                        struct store_instance *ret);
int h_locked(struct call *c, const struct store_instance *i);
/* Stores the changed instance with a new operation and replies with it. */
int h_begin(struct call *c, struct db *db, struct store_instance *i,
            const char *kind, const char *undo);
int h_instance_delete(struct call *c, struct db *db);
int h_instance_start(struct call *c, struct db *db);
int h_instance_stop(struct call *c, struct db *db);
int h_instance_reboot(struct call *c, struct db *db);
int h_instance_pause(struct call *c, struct db *db);
int h_instance_resume(struct call *c, struct db *db);
int h_instance_rebuild(struct call *c, struct db *db);

/* h_change.c */
int h_instance_change(struct call *c, struct db *db);

/* h_resize.c */
int h_instance_resize(struct call *c, struct db *db);
void h_instance_resize_undo(struct call *c);
void h_instance_resized(struct call *c);
/* What an instance takes of its project's quota and of its node. */
struct h_room {
    struct sched_resources own, claimed;
};
int h_room(struct call *c, struct db *db, const struct store_instance *i,
           struct h_room *ret);
/* Takes what is more now, of both; what is less is given back once committed,
 * by h_instance_resized(); h_instance_resize_undo() takes it all back. at: the
 * field at fault. -EPERM quota_exceeded, -ENOSPC no_capacity. */
int h_room_change(struct call *c, struct db *db, const struct store_instance *i,
                  const struct h_room *before, const char *at);

/* h_operations.c */
int h_operation_list(struct call *c, struct db *db);
int h_operation_show(struct call *c, struct db *db);
int h_operation_cancel(struct call *c, struct db *db);
int h_operation_undo(struct call *c, struct db *db);
int h_operation_retry(struct call *c, struct db *db);

/* h_usage.c */
int h_usage(struct call *c, struct db *db);

/* h_audit.c */
int h_audit_list(struct call *c, struct db *db);

/* h_events.c */
int h_event_list(struct call *c, struct db *db);

/* h_webhooks.c */
int h_webhook_create(struct call *c, struct db *db);
void h_webhook_changed(struct call *c);
int h_webhook_list(struct call *c, struct db *db);
int h_webhook_show(struct call *c, struct db *db);
int h_webhook_change(struct call *c, struct db *db);
int h_webhook_delete(struct call *c, struct db *db);
int h_dead_letter_list(struct call *c, struct db *db);
int h_dead_letter_delete(struct call *c, struct db *db);
int h_webhook_redeliver(struct call *c, struct db *db);
void h_webhook_redelivers(struct call *c);

/* h_nodes.c */
int h_node_list(struct call *c, struct db *db);
int h_node_show(struct call *c, struct db *db);
int h_node_cordon(struct call *c, struct db *db);
int h_node_uncordon(struct call *c, struct db *db);
void h_node_changed(struct call *c);
int h_node_delete(struct call *c, struct db *db);
void h_node_deleted(struct call *c);
int h_join_token_create(struct call *c, struct db *db);

/* h_agent.c */
int h_join_begin(struct call *c);
int h_join(struct call *c, struct db *db);
void h_join_undo(struct call *c);
void h_joined(struct call *c);
int h_agent_certificate(struct call *c, struct db *db);
int h_agent_desired(struct call *c, struct db *db);
int h_agent_heartbeat(struct call *c);
int h_agent_report(struct call *c, struct db *db);
void h_agent_reported(struct call *c);
/* After the commit of what was observed, or took its place. */
void h_observed(struct ctl *ctl, const struct observed *seen);
int h_agent_reply(struct call *c);
int h_agent_console(struct call *c);

#endif
