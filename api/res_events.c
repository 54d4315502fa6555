/* res_events.c - the field tables of what happened: events, webhooks, audit;
 * see resources.h. */
#include <config.h>

#include "api/res-private.h"

#define URL_MAX 2048

/* clang-format off */
static const struct codec_field fields_event[] = {
    F(event, seq, INT, C, "Number of the event, growing over the whole cloud"),
    F(event, id, ID, 0, "Id of the event"),
    F(event, at, TIME, C, "When it happened"),
    F(event, kind, STRING, C, "What happened, such as instance.state"),
    F(event, resource_type, STRING, 0, "Kind of resource"),
    F(event, resource_id, ID, C | O, "The resource"),
    F(event, resource_name, STRING, C | O, "Its name"),
    F(event, state, STRING, C | O, "Its new state"),
    F(event, project_id, ID, O, "The project it belongs to"),
    F(event, request_id, STRING, O, "The X-Request-Id that caused it"),
};
TABLE(event, event, "Event", "Something that happened.");

static const struct codec_field fields_webhook[] = {
    F(webhook, id, ID, C, "Id of the webhook"),
    F(webhook, name, NAME, R | C, "Name, unique in the project"),
    F(webhook, project_id, ID, O, "The project whose events it gets; an "
      "operator's own gets all"),
    F(webhook, url, STRING, R | C, "Where events are POSTed to, https:// or "
      "http://", .min = 8, .max = URL_MAX),
    F(webhook, secret, STRING, I | O, "The key of the signatures; made when "
      "absent, answered in the reply to the creation only", .min = 24, .max = 128),
    F(webhook, kinds, STRINGS, I | C, "Kinds of events, such as instance.*; "
      "none: all", .max = 64),
    F(webhook, disabled, BOOL, I | C, "Nothing is delivered; events wait while "
      "they are kept"),
    F(webhook, delivered_seq, INT, 0, "Every event up to here was delivered or "
      "given up"),
    F(webhook, failures, INT, C, "Failed attempts for the event that is next"),
    F(webhook, last_error, STRING, O, "Why the last attempt failed"),
    F(webhook, next_attempt_at, TIME, O, "When it is tried again"),
    F(webhook, generation, INT, 0, "Number of changes"),
    F(webhook, created_at, TIME, C, "When it was created"),
};
TABLE(webhook, webhook, "Webhook", "Sends events to a URL.");

static const struct codec_field fields_webhook_change[] = {
    F(webhook_change, url, STRING, I, "Where events are POSTed to", .min = 8,
      .max = URL_MAX),
    F(webhook_change, kinds, STRINGS, I, "Kinds of events; none: all",
      .max = 64,
      .given = offsetof(struct api_webhook_change, has_kinds) + 1),
    F(webhook_change, disabled, FLAG, I, "Nothing is delivered"),
};
TABLE(webhook_change, webhook_change, "WebhookChange",
      "What to change of a webhook; what is absent stays.");

static const struct codec_field fields_dead_letter[] = {
    F(dead_letter, id, ID, C, "Id of the dead letter"),
    F(dead_letter, webhook_id, ID, 0, "The webhook"),
    F(dead_letter, event, OBJECT, 0, "The event", .sub = &table_event),
    F(dead_letter, attempts, INT, C, "How often it was tried"),
    F(dead_letter, last_error, STRING, C | O, "Why the last attempt failed"),
    F(dead_letter, created_at, TIME, C, "When it was given up"),
};
TABLE(dead_letter, dead_letter, "DeadLetter", "An event that could not be delivered.");

static const struct codec_field fields_audit[] = {
    F(audit, seq, INT, 0, "Number of the entry"),
    F(audit, id, ID, 0, "Id of the entry"),
    F(audit, at, TIME, C, "When it happened"),
    F(audit, project_id, ID, O, "The project in which the caller acted"),
    F(audit, actor_type, STRING, 0, "token, user or node"),
    F(audit, actor_id, ID, O, "Its id"),
    F(audit, actor, STRING, C | O, "Its name"),
    F(audit, remote, STRING, C, "The address it came from"),
    F(audit, method, STRING, C, "The request's method"),
    F(audit, path, STRING, C, "The request's path"),
    F(audit, status, INT, C, "The reply's status"),
    F(audit, code, STRING, C | O, "Why it was refused"),
    F(audit, resource_type, STRING, O, "What it made or changed"),
    F(audit, resource_id, ID, O, "Which one"),
    F(audit, request_id, STRING, O, "The X-Request-Id"),
};
TABLE(audit, audit, "AuditEntry", "A change, or an attempt at one.");
