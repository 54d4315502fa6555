/* routes.c - the route table and its matcher; see routes.h. */
#include <config.h>

#include "api/routes.h"

#include <string.h>

#include "common/mem.h"

static const struct api_query q_page[] = {
    {"limit", "items on a page, 1 to 1000 [100]"},
    {"page_token", "next_page_token of the page before"},
    {NULL, NULL},
};
#define FILTER                                                                 \
    {                                                                          \
        "filter",                                                              \
            "terms that must all hold, with commas: FIELD=VALUE, "             \
            "FIELD!=VALUE, label.KEY=VALUE, label.KEY, !label.KEY; pages may " \
            "then be shorter than limit"                                       \
    }
static const struct api_query q_instances[] = {
    {"limit", "items on a page, 1 to 1000 [100]"},
    {"page_token", "next_page_token of the page before"},
    {"project", "operators: of this project only, name or id"},
    FILTER,
    {NULL, NULL},
};
/* What is listed for a project, by operators for any or all. */
static const struct api_query q_filtered[] = {
    {"limit", "items on a page, 1 to 1000 [100]"},
    {"page_token", "next_page_token of the page before"},
    {"project", "operators: of this project only, name or id"},
    FILTER,
    {NULL, NULL},
};
static const struct api_query q_force[] = {
    {"force",
     "true: a node that is down and gone for good, with what is on it: "
     "its instances are lost"},
    {NULL, NULL},
};
static const struct api_query q_acting[] = {
    {"project", "operators: act in this project, name or id [default]"},
    {NULL, NULL},
};
static const struct api_query q_create[] = {
    {"project", "operators: act in this project, name or id [default]"},
    {"dry_run", "true: only say what would be done"},
    {NULL, NULL},
};
static const struct api_query q_events[] = {
    {"since", "events after this seq, or latest for those to come [JSON: 0; a "
              "stream: latest]; a stream takes the header Last-Event-ID as "
              "well, a page has Virga-Event-Seq, the seq to go on from"},
    {"page_token",
     "JSON: next_page_token of the page before, instead of since"},
    {"limit", "JSON: events on a page, 1 to 1000 [100]"},
    {"wait", "JSON: hold the answer until there is one, 0s to 60s"},
    {"kinds", "of these kinds only, with commas, such as instance.*"},
    {"project", "operators: of this project only, name or id"},
    {NULL, NULL},
};
static const struct api_query q_audit[] = {
    {"limit", "items on a page, 1 to 1000 [100]"},
    {"page_token", "next_page_token of the page before"},
    {"project", "operators: of this project only, name or id"},
    {"path", "of paths that begin so"},
    FILTER,
    {NULL, NULL},
};
static const struct api_query q_webhook[] = {
    {"project", "operators: events of this project only, name or id"},
    {NULL, NULL},
};
static const struct api_query q_wait[] = {
    {"wait", "answer when the operation has ended, or after this time at "
             "most (0s to 60s)"},
    {NULL, NULL},
};
static const struct api_query q_log[] = {
    {"offset", "first byte wanted; without it the last `limit` bytes"},
    {"limit", "bytes at most, 1 to 1048576 [65536]"},
    {NULL, NULL},
};
static const struct api_query q_usage[] = {
    {"from", "start of the period, RFC 3339 [start of this month, UTC]"},
    {"to", "end of the period [now]"},
    {"instance", "of this instance only, name or id"},
    {"project", "operators: of this project only, name or id"},
    {"limit", "items on a page, 1 to 1000 [100]"},
    {"page_token", "next_page_token of the page before"},
    {NULL, NULL},
};
static const struct api_query q_desired[] = {
    {"since", "seq of the answer before; 0 asks for everything"},
    {"after", "continue a full listing behind this seq"},
    {"wait", "hold the answer until there is news, 0s to 60s"},
    {NULL, NULL},
};

/* R: a route without a request body; J: with one, decoded by a table. */
#define R(ID, M, P, AUTH, ROLE, OUT, ST, TAG, SUM, ...)                        \
    [ROUTE_##ID] = {.id = ROUTE_##ID,                                          \
                    .method = M,                                               \
                    .path = P,                                                 \
                    .auth = AUTH_##AUTH,                                       \
                    .role = ROLE_##ROLE,                                       \
                    .out = OUT,                                                \
                    .status = ST,                                              \
                    .tag = TAG,                                                \
                    .summary = SUM,                                            \
                    __VA_ARGS__}
#define J(ID, M, P, AUTH, ROLE, IN, OUT, ST, TAG, SUM, ...)                    \
    R(ID, M, P, AUTH, ROLE, OUT, ST, TAG, SUM, .body = BODY_JSON, .in = IN,    \
      __VA_ARGS__)

/* clang-format off */
const struct api_route api_routes[N_ROUTES] = {
    R(HEALTHZ, "GET", "/healthz", NONE, NONE, NULL, 200, "service",
      "Says ok while the process lives", .example = ""),
    R(READYZ, "GET", "/readyz", NONE, NONE, NULL, 200, "service",
      "Says ok while the database takes writes, else 503", .example = ""),
    R(METRICS, "GET", "/metrics", TOKEN, OPERATOR, NULL, 200, "service",
      "Counters in the OpenMetrics text format", .example = ""),
    R(OPENAPI, "GET", "/v1/openapi.json", NONE, NONE, NULL, 200, "service",
      "This API as an OpenAPI 3.1 document", .example = ""),
    R(CA, "GET", "/v1/ca", NONE, NONE, NULL, 200, "service",
      "The certificate of the cloud's CA, PEM", .example = ""),
    R(WHOAMI, "GET", "/v1/whoami", TOKEN, NONE, &table_whoami, 200, "tenants",
      "The token in use, its project and role", .billing = true, .example = ""),
    J(LOGIN, "POST", "/v1/login", NONE, NONE, &table_login, &table_session, 201,
      "tenants", "Signs a user in", .example = "{\"user\":\"ada\","
      "\"password\":\"correct horse battery\"}"),
    R(LOGOUT, "POST", "/v1/logout", TOKEN, NONE, NULL, 204, "tenants",
      "Ends the session in use", .billing = true, .example = ""),
    J(PASSWORD, "POST", "/v1/password", TOKEN, NONE, &table_password_change,
      NULL, 204, "tenants",
      "Changes the user's own password and ends the other sessions",
      .billing = true, .example = "{\"old_password\":\"correct horse "
      "battery\",\"new_password\":\"staple and wire\"}"),
    J(SESSION_CHANGE, "PATCH", "/v1/session", TOKEN, NONE,
      &table_session_change, &table_session, 200, "tenants",
      "Lets the session in use act in another project of its user",
      .billing = true, .example = "{\"project\":\"acme\"}"),
    R(SESSION_LIST, "GET", "/v1/sessions", TOKEN, NONE, &table_session, 200,
      "tenants", "Lists the user's own sessions", .out_list = true,
      .billing = true, .query = q_page, .example = ""),
    R(SESSION_DELETE, "DELETE", "/v1/sessions/{session}", TOKEN, NONE, NULL,
      204, "tenants", "Ends one of the user's own sessions at once",
      .billing = true, .example = ""),
    J(USER_CREATE, "POST", "/v1/users", TOKEN, ADMIN, &table_user, &table_user,
      201, "tenants", "Creates a user", .example = "{\"name\":\"ada\","
      "\"password\":\"correct horse battery\",\"project\":\"acme\"}"),
    R(USER_LIST, "GET", "/v1/users", TOKEN, ADMIN, &table_user, 200, "tenants",
      "Lists users; a project's admin sees its members", .out_list = true,
      .query = q_page, .example = ""),
    R(USER_SHOW, "GET", "/v1/users/{user}", TOKEN, ADMIN, &table_user, 200,
      "tenants", "Shows a user", .example = ""),
    J(USER_CHANGE, "PATCH", "/v1/users/{user}", TOKEN, ADMIN,
      &table_user_change, &table_user, 200, "tenants",
      "Changes a user whose home is the caller's project",
      .example = "{\"disabled\":true}"),
    R(USER_DELETE, "DELETE", "/v1/users/{user}", TOKEN, ADMIN, NULL, 204,
      "tenants", "Deletes a user whose home is the caller's project",
      .example = ""),

    J(PROJECT_CREATE, "POST", "/v1/projects", TOKEN, OPERATOR, &table_project,
      &table_project, 201, "tenants", "Creates a project",
      .example = "{\"name\":\"acme\"}"),
    R(PROJECT_LIST, "GET", "/v1/projects", TOKEN, READER, &table_project, 200,
      "tenants", "Lists projects (a tenant sees its own)", .out_list = true,
      .query = q_page, .billing = true, .example = "?limit=10"),
    R(PROJECT_SHOW, "GET", "/v1/projects/{project}", TOKEN, READER,
      &table_project, 200, "tenants", "Shows a project", .billing = true, .example = ""),
    R(PROJECT_DELETE, "DELETE", "/v1/projects/{project}", TOKEN, OPERATOR, NULL,
      204, "tenants", "Deletes a project that owns no instance and no image",
      .example = ""),
    R(MEMBER_LIST, "GET", "/v1/projects/{project}/members", TOKEN, READER,
      &table_membership, 200, "tenants", "Lists who may do what in a project",
      .out_list = true, .query = q_page, .example = ""),
    J(MEMBER_SET, "PUT", "/v1/projects/{project}/members/{user}", TOKEN, ADMIN,
      &table_member_set, &table_membership, 200, "tenants",
      "Gives a user a role in a project",
      .example = "{\"role\":\"member\"}"),
    R(MEMBER_DELETE, "DELETE", "/v1/projects/{project}/members/{user}", TOKEN,
      ADMIN, NULL, 204, "tenants", "Takes a user out of a project, at once",
      .example = ""),
    R(QUOTA_SHOW, "GET", "/v1/projects/{project}/quota", TOKEN, READER,
      &table_quota, 200, "tenants", "Shows what a project may have and has",
      .billing = true, .example = ""),
    J(QUOTA_SET, "PUT", "/v1/projects/{project}/quota", TOKEN, OPERATOR,
      &table_quota_set, &table_quota, 200, "tenants",
      "Sets what a project may have; needs If-Match",
      .example = "{\"limits\":{\"instances\":10,\"vcpus\":20,"
                 "\"memory_bytes\":68719476736,\"disk_bytes\":-1,"
                 "\"volumes\":10,\"addresses\":5,\"networks\":5,"
                 "\"images\":20,\"image_bytes\":214748364800,\"tokens\":20}}"),
    J(TOKEN_CREATE, "POST", "/v1/tokens", TOKEN, ADMIN, &table_token,
      &table_token, 201, "tenants",
      "Creates a token; its secret is in this reply and never again",
      .example = "{\"name\":\"ci\",\"role\":\"member\",\"project\":\"acme\"}"),
    R(TOKEN_LIST, "GET", "/v1/tokens", TOKEN, ADMIN, &table_token, 200,
      "tenants", "Lists tokens, without their secrets", .out_list = true,
      .query = q_page, .example = ""),
    R(TOKEN_DELETE, "DELETE", "/v1/tokens/{token}", TOKEN, ADMIN, NULL, 204,
      "tenants", "Revokes a token at once", .example = ""),

    J(KEYPAIR_CREATE, "POST", "/v1/keypairs", TOKEN, MEMBER, &table_keypair,
      &table_keypair, 201, "instances", "Stores a public SSH key",
      .query = q_acting,
      .example = "{\"name\":\"laptop\",\"public_key\":\"ssh-ed25519 "
      "AAAAC3NzaC1lZDI1NTE5AAAAIPtT3yGbsNCa1ib9bpGpvaQGrHYd0YvD6xM0L9iqAp+p"
      "\"}"),
    R(KEYPAIR_LIST, "GET", "/v1/keypairs", TOKEN, READER, &table_keypair, 200,
      "instances", "Lists keypairs", .out_list = true, .query = q_page,
      .example = ""),
    R(KEYPAIR_SHOW, "GET", "/v1/keypairs/{keypair}", TOKEN, READER,
      &table_keypair, 200, "instances", "Shows a keypair", .example = ""),
    R(KEYPAIR_DELETE, "DELETE", "/v1/keypairs/{keypair}", TOKEN, MEMBER, NULL,
      204, "instances", "Deletes a keypair; instances keep its key",
      .example = ""),

    J(FLAVOR_CREATE, "POST", "/v1/flavors", TOKEN, OPERATOR, &table_flavor,
      &table_flavor, 201, "flavors", "Creates a flavor",
      .example = "{\"name\":\"small\",\"vcpus\":1,\"memory_bytes\":268435456,"
                 "\"disk_bytes\":1073741824}"),
    R(FLAVOR_LIST, "GET", "/v1/flavors", TOKEN, READER, &table_flavor, 200,
      "flavors", "Lists flavors", .out_list = true, .query = q_page,
      .billing = true, .example = ""),
    R(FLAVOR_SHOW, "GET", "/v1/flavors/{flavor}", TOKEN, READER, &table_flavor,
      200, "flavors", "Shows a flavor", .billing = true, .example = ""),
    R(FLAVOR_DELETE, "DELETE", "/v1/flavors/{flavor}", TOKEN, OPERATOR, NULL,
      204, "flavors", "Deletes a flavor; instances made with it keep its size",
      .example = ""),

    J(IMAGE_CREATE, "POST", "/v1/images", TOKEN, MEMBER, &table_image,
      &table_image, 201, "images",
      "Creates an image; it is active once every part named here was uploaded",
      .example = "{\"name\":\"debian\",\"cmdline\":\"console=ttyS0\","
                 "\"parts\":[{\"name\":\"kernel\"},{\"name\":\"initrd\"}]}"),
    R(IMAGE_LIST, "GET", "/v1/images", TOKEN, READER, &table_image, 200,
      "images", "Lists the project's images and the public ones",
      .out_list = true, .query = q_page, .example = ""),
    R(IMAGE_SHOW, "GET", "/v1/images/{image}", TOKEN, READER, &table_image,
      200, "images", "Shows an image", .example = ""),
    R(IMAGE_DELETE, "DELETE", "/v1/images/{image}", TOKEN, MEMBER, NULL, 204,
      "images", "Deletes an image that no instance uses", .example = ""),
    R(IMAGE_PART_PUT, "PUT", "/v1/images/{image}/parts/{part}", TOKEN, MEMBER,
      &table_image, 200, "images",
      "Uploads one part (kernel, initrd or disk) as the request's body",
      .body = BODY_STREAM, .example = ""),

    J(INSTANCE_CREATE, "POST", "/v1/instances", TOKEN, MEMBER, &table_instance,
      &table_instance, 201, "instances",
      "Creates an instance and starts it", .query = q_create,
      .dry_run = &table_dry_run,
      .example = "{\"name\":\"web-1\",\"image\":\"debian\","
                 "\"flavor\":\"small\"}"),
    J(INSTANCE_BATCH, "POST", "/v1/instance-batches", TOKEN, MEMBER,
      &table_instance_batch, &table_instance_batch, 201, "instances",
      "Creates many instances of one description: all of them, or as many as "
      "fit", .query = q_create, .dry_run = &table_dry_run,
      .example = "{\"instance\":{\"name\":\"web\",\"image\":\"debian\","
                 "\"flavor\":\"small\"},\"count\":3,\"policy\":\"fit\"}"),
    R(INSTANCE_LIST, "GET", "/v1/instances", TOKEN, READER, &table_instance,
      200, "instances", "Lists instances", .out_list = true,
      .query = q_instances, .example = "?limit=50"),
    R(INSTANCE_SHOW, "GET", "/v1/instances/{instance}", TOKEN, READER,
      &table_instance, 200, "instances", "Shows an instance", .example = ""),
    J(INSTANCE_CHANGE, "PATCH", "/v1/instances/{instance}", TOKEN, MEMBER,
      &table_instance_change, &table_instance, 200, "instances",
      "Changes an instance; what is absent from the body stays as it is",
      .example = "{\"restart_policy\":\"always\"}"),
    R(INSTANCE_DELETE, "DELETE", "/v1/instances/{instance}", TOKEN, MEMBER,
      &table_operation, 202, "instances",
      "Ends an instance at once and deletes it with its disk", .example = ""),
    R(INSTANCE_START, "POST", "/v1/instances/{instance}/start", TOKEN, MEMBER,
      &table_operation, 202, "instances", "Starts a stopped instance",
      .example = ""),
    J(INSTANCE_STOP, "POST", "/v1/instances/{instance}/stop", TOKEN, MEMBER,
      &table_stop_request, &table_operation, 202, "instances",
      "Stops an instance: by its power button, then by force",
      .example = "{\"force\":false}"),
    R(INSTANCE_REBOOT, "POST", "/v1/instances/{instance}/reboot", TOKEN,
      MEMBER, &table_operation, 202, "instances",
      "Stops an instance and starts it again", .example = ""),
    R(INSTANCE_PAUSE, "POST", "/v1/instances/{instance}/pause", TOKEN, MEMBER,
      &table_operation, 202, "instances",
      "Halts a running instance; its memory stays", .example = ""),
    R(INSTANCE_RESUME, "POST", "/v1/instances/{instance}/resume", TOKEN,
      MEMBER, &table_operation, 202, "instances", "Lets a paused instance go on",
      .example = ""),
    J(INSTANCE_REBUILD, "POST", "/v1/instances/{instance}/rebuild", TOKEN,
      MEMBER, &table_rebuild_request, &table_operation, 202, "instances",
      "Makes an instance's root disk anew from an image, and starts it",
      .example = "{\"image\":\"debian\"}"),
    J(INSTANCE_RESIZE, "POST", "/v1/instances/{instance}/resize", TOKEN,
      MEMBER, &table_resize_request, &table_operation, 202, "instances",
      "Gives an instance another flavor; a running one is stopped and started",
      .example = "{\"flavor\":\"large\"}"),
    R(INSTANCE_USER_DATA, "GET", "/v1/instances/{instance}/user-data", TOKEN,
      MEMBER, NULL, 200, "instances", "The instance's user data, as text/plain",
      .example = ""),
    R(INSTANCE_CONSOLE_LOG, "GET", "/v1/instances/{instance}/console-log",
      TOKEN, READER, NULL, 200, "instances",
      "Bytes of the serial console's log, as text/plain; the headers "
      "Virga-Log-Offset and Virga-Log-End say which",
      .query = q_log, .example = "?limit=4096"),
    R(INSTANCE_CONSOLE, "GET", "/v1/instances/{instance}/console", TOKEN,
      MEMBER, NULL, 101, "instances",
      "The serial console over WebSocket (RFC 6455), binary frames both ways; "
      "a newer session ends the one before", .example = ""),
    R(INSTANCE_STATS, "GET", "/v1/instances/{instance}/stats", TOKEN, READER,
      &table_stats, 200, "instances",
      "What the running instance has used, from its node", .example = ""),

    R(OPERATION_LIST, "GET", "/v1/operations", TOKEN, READER, &table_operation,
      200, "operations", "Lists operations, newest first", .out_list = true,
      .query = q_filtered, .example = "?filter=stuck=true"),
    R(OPERATION_SHOW, "GET", "/v1/operations/{operation}", TOKEN, READER,
      &table_operation, 200, "operations",
      "Shows an operation, or waits for its end", .query = q_wait,
      .example = "?wait=30s"),
    R(OPERATION_CANCEL, "POST", "/v1/operations/{operation}/cancel", TOKEN,
      MEMBER, &table_operation, 202, "operations",
      "Undoes an operation that has not come to its end; answers with the "
      "operation that does so", .example = ""),
    R(OPERATION_RETRY, "POST", "/v1/operations/{operation}/retry", TOKEN,
      OPERATOR, &table_operation, 202, "operations",
      "Tries a stuck or failed operation again", .example = ""),
    R(OPERATION_UNDO, "POST", "/v1/operations/{operation}/undo", TOKEN,
      OPERATOR, &table_operation, 202, "operations",
      "Takes a stuck or failed operation back, as far as it went",
      .example = ""),

    R(USAGE, "GET", "/v1/usage", TOKEN, READER, &table_usage, 200, "usage",
      "What was used in a period: exact running time, and vCPU, memory and "
      "disk by it", .query = q_usage, .billing = true, .example = "?from=2026-11-01T00:00:00Z"),

    R(EVENT_LIST, "GET", "/v1/events", TOKEN, READER, &table_event, 200,
      "events", "Events, as a JSON page or, with Accept: text/event-stream, "
      "as server-sent events without end", .out_list = true, .query = q_events,
      .example = "?since=0&limit=10"),
    J(WEBHOOK_CREATE, "POST", "/v1/webhooks", TOKEN, ADMIN, &table_webhook,
      &table_webhook, 201, "events",
      "Sends events from now on to a URL, as signed CloudEvents",
      .query = q_webhook,
      .example = "{\"name\":\"ops\",\"url\":\"https://example.com/hook\","
                 "\"kinds\":[\"instance.*\"]}"),
    R(WEBHOOK_LIST, "GET", "/v1/webhooks", TOKEN, ADMIN, &table_webhook, 200,
      "events", "Lists webhooks, without their secrets", .out_list = true,
      .query = q_page, .example = ""),
    R(WEBHOOK_SHOW, "GET", "/v1/webhooks/{webhook}", TOKEN, ADMIN,
      &table_webhook, 200, "events", "Shows a webhook", .example = ""),
    J(WEBHOOK_CHANGE, "PATCH", "/v1/webhooks/{webhook}", TOKEN, ADMIN,
      &table_webhook_change, &table_webhook, 200, "events",
      "Changes a webhook", .example = "{\"disabled\":true}"),
    R(WEBHOOK_DELETE, "DELETE", "/v1/webhooks/{webhook}", TOKEN, ADMIN, NULL,
      204, "events", "Deletes a webhook and its dead letters", .example = ""),
    R(DEAD_LETTER_LIST, "GET", "/v1/webhooks/{webhook}/dead-letters", TOKEN,
      ADMIN, &table_dead_letter, 200, "events",
      "Lists the events that could not be delivered", .out_list = true,
      .query = q_page, .example = ""),
    R(DEAD_LETTER_DELETE, "DELETE",
      "/v1/webhooks/{webhook}/dead-letters/{letter}", TOKEN, ADMIN, NULL, 204,
      "events", "Forgets a dead letter", .example = ""),
    R(WEBHOOK_REDELIVER, "POST", "/v1/webhooks/{webhook}/redeliver", TOKEN,
      ADMIN, &table_webhook, 200, "events",
      "Tries at once what waits, and the dead letters once more",
      .example = ""),

    R(AUDIT_LIST, "GET", "/v1/audit", TOKEN, ADMIN, &table_audit, 200, "audit",
      "Who changed or tried to change what, newest first", .out_list = true,
      .query = q_audit, .example = "?filter=method=DELETE"),
    R(BACKUP, "GET", "/v1/admin/backup", TOKEN, OPERATOR, NULL, 200, "backup",
      "A consistent copy of the controller's state, as an archive",
      .example = ""),

    R(NODE_LIST, "GET", "/v1/nodes", TOKEN, OPERATOR, &table_node, 200,
      "nodes", "Lists nodes", .out_list = true, .query = q_page,
      .example = ""),
    R(NODE_SHOW, "GET", "/v1/nodes/{node}", TOKEN, OPERATOR, &table_node, 200,
      "nodes", "Shows a node", .example = ""),
    R(NODE_CORDON, "POST", "/v1/nodes/{node}/cordon", TOKEN, OPERATOR,
      &table_node, 200, "nodes", "Places no further instance on a node",
      .example = ""),
    R(NODE_UNCORDON, "POST", "/v1/nodes/{node}/uncordon", TOKEN, OPERATOR,
      &table_node, 200, "nodes", "Takes the cordon back", .example = ""),
    R(NODE_DELETE, "DELETE", "/v1/nodes/{node}", TOKEN, OPERATOR, NULL, 204,
      "nodes", "Removes a node without instances; its certificate is void",
      .query = q_force, .example = ""),
    J(JOIN_TOKEN_CREATE, "POST", "/v1/join-tokens", TOKEN, OPERATOR,
      &table_join_token, &table_join_token, 201, "nodes",
      "Makes a token with which one agent may join, once",
      .example = "{\"ttl_s\":600}"),

    J(JOIN, "POST", "/v1/join", NONE, NONE, &table_join, &table_joined, 201,
      "agents", "A new node trades its join token for a certificate",
      .example = "{\"token\":\"vj1.…\",\"name\":\"node-1\",\"csr\":\"-----"
                 "BEGIN NEW CERTIFICATE REQUEST-----…\"}"),
    J(AGENT_CERTIFICATE, "POST", "/v1/agent/certificate", NODE, NONE,
      &table_certificate_request, &table_joined, 201, "agents",
      "A fresh certificate before the old one runs out",
      .example = "{\"csr\":\"-----BEGIN NEW CERTIFICATE REQUEST-----…\"}"),
    R(AGENT_DESIRED, "GET", "/v1/agent/desired", NODE, NONE, &table_desired,
      200, "agents", "The node's desired state after a sequence number",
      .query = q_desired, .example = "?since=0&wait=30s"),
    J(AGENT_REPORT, "POST", "/v1/agent/report", NODE, NONE, &table_report,
      &table_report_ack, 200, "agents",
      "Heartbeat, and what the node observed since the last acknowledged "
      "sequence number",
      .example = "{\"observations\":[]}"),
    R(AGENT_REPLY, "POST", "/v1/agent/requests/{request}", NODE, NONE, NULL,
      204, "agents", "Answers a request that came with the desired state",
      .body = BODY_RAW, .example = ""),
    R(AGENT_CONSOLE, "GET", "/v1/agent/console/{request}", NODE, NONE, NULL,
      101, "agents", "The node's end of a console session, over WebSocket",
      .example = ""),
    R(AGENT_IMAGE_PART, "GET", "/v1/agent/images/{image}/parts/{part}", NODE,
      NONE, NULL, 200, "agents", "Downloads a part of an image",
      .example = ""),

    R(DASHBOARD, "GET", "/", NONE, NONE, NULL, 200, "service",
      "The operator's page", .example = ""),
    R(DASHBOARD_FILE, "GET", "/dashboard/{file}", NONE, NONE, NULL, 200,
      "service", "A file of the operator's page", .example = ""),
};
/* clang-format on */

bool
api_role_may(enum api_role role, const struct api_route *r)
{
    if (role == ROLE_BILLING)
        return r->billing;
    return role >= r->role;
}

bool
api_role_covers(enum api_role role, enum api_role other)
{
    if (other == ROLE_NONE || role == ROLE_NONE)
        return false;
    if (role == ROLE_BILLING || other == ROLE_BILLING)
        return role == other || role == ROLE_ADMIN || role == ROLE_OPERATOR;
    return other <= role;
}

/* Compares one path with a pattern; fills params. */
static bool
path_matches(const char *pattern, const char *path, struct api_match *m)
{
    int n = 0;

    while (*pattern) {
        if (*pattern != '{') {
            if (*pattern++ != *path++)
                return false;
            continue;
        }
        size_t len = strcspn(path, "/");
        if (len == 0 || len >= sizeof(m->params[0]) || n == API_PARAMS_MAX)
            return false;
        memcpy(m->params[n], path, len);
        m->params[n++][len] = '\0';
        path += len;
        pattern = strchr(pattern, '}') + 1;
    }
    return *path == '\0';
}

void
api_route_match(const char *method, const char *path, struct api_match *ret)
{
    struct api_match m = {0};

    for (size_t i = 0; i < N_ROUTES; i++) {
        const struct api_route *r = &api_routes[i];

        if (!path_matches(r->path, path, &m))
            continue;
        if (strcmp(r->method, method) == 0) {
            m.route = r;
            m.method_mismatch = false;
            break;
        }
        m.method_mismatch = true;
        size_t have = strlen(m.allow);
        snprintf(m.allow + have, sizeof(m.allow) - have, "%s%s",
                 have ? ", " : "", r->method);
    }
    *ret = m;
}
