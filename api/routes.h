/* api/routes.h - every route of the API, described once.
 * Role:      method, path, who may call it, what goes in and out. Dispatch,
 *            405, OpenAPI and the reference page derive from api_routes[];
 *            the controller adds a handler per route id.
 * Ownership: constant data.   Threads: reentrant.   Errors: none. */
#ifndef API_ROUTES_H
#define API_ROUTES_H

#include "api/codec.h"
#include "api/resources.h"

enum api_route_id {
    ROUTE_HEALTHZ,
    ROUTE_READYZ,
    ROUTE_METRICS,
    ROUTE_OPENAPI,
    ROUTE_CA,
    ROUTE_WHOAMI,
    ROUTE_LOGIN,
    ROUTE_LOGOUT,
    ROUTE_PASSWORD,
    ROUTE_SESSION_CHANGE,
    ROUTE_SESSION_LIST,
    ROUTE_SESSION_DELETE,
    ROUTE_USER_CREATE,
    ROUTE_USER_LIST,
    ROUTE_USER_SHOW,
    ROUTE_USER_CHANGE,
    ROUTE_USER_DELETE,
    ROUTE_PROJECT_CREATE,
    ROUTE_PROJECT_LIST,
    ROUTE_PROJECT_SHOW,
    ROUTE_PROJECT_DELETE,
    ROUTE_MEMBER_LIST,
    ROUTE_MEMBER_SET,
    ROUTE_MEMBER_DELETE,
    ROUTE_QUOTA_SHOW,
    ROUTE_QUOTA_SET,
    ROUTE_TOKEN_CREATE,
    ROUTE_TOKEN_LIST,
    ROUTE_TOKEN_DELETE,
    ROUTE_KEYPAIR_CREATE,
    ROUTE_KEYPAIR_LIST,
    ROUTE_KEYPAIR_SHOW,
    ROUTE_KEYPAIR_DELETE,
    ROUTE_FLAVOR_CREATE,
    ROUTE_FLAVOR_LIST,
    ROUTE_FLAVOR_SHOW,
    ROUTE_FLAVOR_DELETE,
    ROUTE_IMAGE_CREATE,
    ROUTE_IMAGE_LIST,
    ROUTE_IMAGE_SHOW,
    ROUTE_IMAGE_DELETE,
    ROUTE_IMAGE_PART_PUT,
    ROUTE_INSTANCE_CREATE,
    ROUTE_INSTANCE_BATCH,
    ROUTE_INSTANCE_LIST,
    ROUTE_INSTANCE_SHOW,
    ROUTE_INSTANCE_CHANGE,
    ROUTE_INSTANCE_DELETE,
    ROUTE_INSTANCE_START,
    ROUTE_INSTANCE_STOP,
    ROUTE_INSTANCE_REBOOT,
    ROUTE_INSTANCE_PAUSE,
    ROUTE_INSTANCE_RESUME,
    ROUTE_INSTANCE_REBUILD,
    ROUTE_INSTANCE_RESIZE,
    ROUTE_INSTANCE_USER_DATA,
    ROUTE_INSTANCE_CONSOLE_LOG,
    ROUTE_INSTANCE_CONSOLE,
    ROUTE_INSTANCE_STATS,
    ROUTE_OPERATION_LIST,
    ROUTE_OPERATION_SHOW,
    ROUTE_OPERATION_CANCEL,
    ROUTE_OPERATION_RETRY,
    ROUTE_OPERATION_UNDO,
    ROUTE_USAGE,
    ROUTE_EVENT_LIST,
    ROUTE_WEBHOOK_CREATE,
    ROUTE_WEBHOOK_LIST,
    ROUTE_WEBHOOK_SHOW,
    ROUTE_WEBHOOK_CHANGE,
    ROUTE_WEBHOOK_DELETE,
    ROUTE_DEAD_LETTER_LIST,
    ROUTE_DEAD_LETTER_DELETE,
    ROUTE_WEBHOOK_REDELIVER,
    ROUTE_AUDIT_LIST,
    ROUTE_BACKUP,
    ROUTE_NODE_LIST,
    ROUTE_NODE_SHOW,
    ROUTE_NODE_CORDON,
    ROUTE_NODE_UNCORDON,
    ROUTE_NODE_DELETE,
    ROUTE_JOIN_TOKEN_CREATE,
    ROUTE_JOIN,
    ROUTE_AGENT_CERTIFICATE,
    ROUTE_AGENT_DESIRED,
    ROUTE_AGENT_REPORT,
    ROUTE_AGENT_REPLY,
    ROUTE_AGENT_CONSOLE,
    ROUTE_AGENT_IMAGE_PART,
    ROUTE_DASHBOARD,
    ROUTE_DASHBOARD_FILE,
    N_ROUTES,
};

enum api_auth {
    AUTH_NONE,  /* anybody */
    AUTH_TOKEN, /* a bearer token with at least `role` */
    AUTH_NODE,  /* a node's client certificate */
};

enum api_body {
    BODY_NONE,
    BODY_JSON,   /* decoded by `in` */
    BODY_RAW,    /* bytes in memory, at most 1 MiB */
    BODY_STREAM, /* bytes to a file, no small limit */
};

struct api_query {
    const char *name, *doc; /* name NULL ends the list */
};

struct api_route {
    enum api_route_id id;
    const char *method;
    const char *path; /* "/v1/instances/{instance}/stop" */
    enum api_auth auth;
    enum api_role role; /* at least this one; see api_role_may() */
    bool billing;       /* ROLE_BILLING, too */
    enum api_body body;
    const struct codec_table *in;      /* request body */
    const struct codec_table *out;     /* reply body; NULL: none or not JSON */
    bool out_list;                     /* the reply is a page of `out` */
    const struct codec_table *dry_run; /* reply to ?dry_run=true, 200 */
    int status;                        /* of success */
    const char *tag;                   /* group in the reference */
    const char *summary;
    const char *example; /* request body or query of an example, or NULL */
    const struct api_query *query;
};

extern const struct api_route api_routes[N_ROUTES]; /* indexed by id */

#define API_PARAMS_MAX 3

struct api_match {
    const struct api_route *route;   /* NULL: no such path (404) */
    bool method_mismatch;            /* the path exists (405) */
    char allow[64];                  /* for the Allow header, with 405 */
    char params[API_PARAMS_MAX][64]; /* in the order of the path */
};

/* Whether a role may call a route: operators all; billing those with that
 * flag; of the others reader < member < admin. */
bool api_role_may(enum api_role role, const struct api_route *r);
/* Whether a token with this role may make one with that: its own or less. */
bool api_role_covers(enum api_role role, enum api_role other);

/* Matches a decoded path. Parameters longer than 63 bytes match nothing. */
void api_route_match(const char *method, const char *path,
                     struct api_match *ret);

/* The OpenAPI 3.1 document and the reference page (Markdown). */
void api_openapi(struct buf *out);
void api_reference(struct buf *out);

#endif
