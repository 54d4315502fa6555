/* config.c - the controller's settings; see config.h. */
#include <config.h>

#include "controllerd/config.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "controllerd/quota.h"

#define K(NAME, TYPE, MEMBER, ...)                                             \
    {                                                                          \
        .key = NAME, .type = CONF_##TYPE,                                      \
        .offset = offsetof(struct ctl_config, MEMBER), __VA_ARGS__             \
    }

const struct conf_key ctl_config_keys[] = {
    K("state-dir", STRING, state_dir, .dflt = "/var/lib/virga/controller",
      .doc = "database, certificates, images"),
    K("listen", STRING, listen, .dflt = "127.0.0.1:8443",
      .doc = "address and port of the API"),
    K("server-names", STRING, server_names, .dflt = "",
      .doc = "further names and addresses of this server, with commas"),
    K("threads", INT, threads, .min = 0, .max = 64, .dflt = "0",
      .doc = "HTTP threads; 0 is two for each processor, at least 4"),
    K("max-connections", INT, max_connections, .min = 16, .max = 100000,
      .dflt = "10000", .doc = "connections at most"),
    K("connections-per-address", INT, connections_per_address, .min = 0,
      .max = 100000, .dflt = "0",
      .doc = "of those from one address; 0 is half"),
    K("connections-per-second", INT, connections_per_second, .min = 0,
      .max = 100000, .dflt = "300",
      .doc = "new connections and refused requests of one address; 0 is no "
             "limit"),
    K("idle-timeout", DURATION, idle_timeout_us, .min = US_PER_S,
      .max = 3600 * US_PER_S, .dflt = "30s",
      .doc = "silence after which a connection is closed"),
    K("node-lapse", DURATION, node_lapse_us, .min = US_PER_S,
      .max = 3600 * US_PER_S, .dflt = "45s",
      .doc = "silence after which a node counts as down"),
    K("request-timeout", DURATION, request_timeout_us, .min = US_PER_S / 10,
      .max = 60 * US_PER_S, .dflt = "10s",
      .doc = "how long a node may take to answer a question"),
    K("operation-stuck-after", DURATION, stuck_after_us, .min = US_PER_S,
      .max = 24 * 3600 * US_PER_S, .dflt = "60s",
      .doc = "how long an operation may stand still before it counts as stuck"),
    K("session-ttl", DURATION, session_ttl_us, .min = US_PER_S,
      .max = 90 * 86400 * US_PER_S, .dflt = "12h",
      .doc = "how long a user stays signed in"),
    K("placement", STRING, placement, .dflt = "spread",
      .doc = "spread or pack"),
    K("vcpu-overcommit-permille", INT, vcpu_overcommit_permille, .min = 1,
      .max = SCHED_RATIO_MAX, .dflt = "4000",
      .doc = "vCPUs offered per 1000 processors"),
    K("memory-overcommit-permille", INT, memory_overcommit_permille, .min = 1,
      .max = SCHED_RATIO_MAX, .dflt = "1000",
      .doc = "memory offered per 1000 bytes"),
    K("disk-overcommit-permille", INT, disk_overcommit_permille, .min = 1,
      .max = SCHED_RATIO_MAX, .dflt = "1000",
      .doc = "disk offered per 1000 bytes"),
    K("max-streams", INT, max_streams, .min = 0, .max = 100000, .dflt = "1000",
      .doc = "streams of events at most"),
    K("max-streams-per-token", INT, max_streams_per_token, .min = 0,
      .max = 100000, .dflt = "32",
      .doc = "streams of events of one token or session at most"),
    K("events-keep", DURATION, events_keep_us, .min = US_PER_S,
      .max = 87600 * 3600 * US_PER_S, .dflt = "168h",
      .doc = "how long events are kept"),
    K("events-max", INT, events_max, .min = 1, .max = INT64_MAX / 2,
      .dflt = "1000000", .doc = "events kept at most"),
    K("audit-keep", DURATION, audit_keep_us, .min = US_PER_S,
      .max = 87600 * 3600 * US_PER_S, .dflt = "8760h",
      .doc = "how long entries of the audit log are kept"),
    K("audit-max", INT, audit_max, .min = 1, .max = INT64_MAX / 2,
      .dflt = "10000000", .doc = "entries of the audit log kept at most"),
    K("rate-limit", INT, rate_limit, .min = 0, .max = 1000000, .dflt = "1000",
      .doc = "requests per second of a token or session; 0: no limit"),
    K("rate-limit-burst", INT, rate_limit_burst, .min = 1, .max = 1000000,
      .dflt = "2000", .doc = "requests of a token or session at once"),
    K("address-rate-limit", INT, address_rate_limit, .min = 0, .max = 1000000,
      .dflt = "50",
      .doc = "requests per second without a token from an address; 0: no "
             "limit"),
    K("address-rate-limit-burst", INT, address_rate_limit_burst, .min = 1,
      .max = 1000000, .dflt = "200",
      .doc = "requests at once without a token from an address"),
    K("webhook-allow-private", FLAG, webhook_allow_private, .dflt = "no",
      .doc = "webhooks may lead to private addresses, too"),
    K("webhook-retry", DURATION, webhook_retry_us, .min = 1000,
      .max = 3600 * US_PER_S, .dflt = "5s",
      .doc = "wait after a webhook's first failure; doubles with each"),
    K("webhook-retry-max", DURATION, webhook_retry_max_us, .min = 1000,
      .max = 86400 * US_PER_S, .dflt = "10m",
      .doc = "longest wait between two attempts of a webhook"),
    K("webhook-attempts", INT, webhook_attempts, .min = 1, .max = 1000,
      .dflt = "12",
      .doc = "attempts after which an event becomes a dead letter"),
    K("project-quota", STRING, project_quota, .dflt = QUOTA_DEFAULTS,
      .doc = "what new projects may have; what is not named is as in the "
             "default, \"unlimited\" has no limits"),
    K("project-objects", INT, project_objects, .min = 1, .max = 1000000,
      .dflt = "1000",
      .doc = "keypairs, users and members of a project at most, of each"),
    K("dashboard-dir", STRING, dashboard_dir, .dflt = PKGDATADIR "/dashboard",
      .doc = "files of the operator's page"),
    K("restore", STRING, restore, .dflt = "",
      .doc = "fill a new state folder from this backup and exit"),
    K("log-level", STRING, log_level, .dflt = "info",
      .doc = "error, warn, info or debug"),
    K("print-openapi", FLAG, print_openapi, .dflt = "no",
      .doc = "print the OpenAPI document and exit"),
    K("print-reference", FLAG, print_reference, .dflt = "no",
      .doc = "print the API reference and exit"),
};
const size_t ctl_config_keys_n = ARRAY_SIZE(ctl_config_keys);

int
ctl_config_load(int argc, char *const *argv, struct ctl_config *ret,
                struct err *reterr)
{
    enum log_level level = LOG_LEVEL_INFO;
    int r = conf_load(ctl_config_keys, ctl_config_keys_n, argc, argv,
                      "virga-controllerd", SYSCONFDIR "/virga/controllerd.conf",
                      ret, reterr);

    if (r != 0)
        return r;
    if (log_level_parse(ret->log_level, &level) < 0)
        return err_set(reterr, -EINVAL, "bad_config",
                       "log-level: \"%s\" is not error, warn, info or debug",
                       ret->log_level);
    if (!streq(ret->placement, "spread") && !streq(ret->placement, "pack"))
        return err_set(reterr, -EINVAL, "bad_config",
                       "placement: \"%s\" is not spread or pack",
                       ret->placement);
    r = quota_parse(QUOTA_DEFAULTS, &ret->quota, reterr);
    if (r == 0)
        r = quota_parse(ret->project_quota, &ret->quota, reterr);
    if (r < 0) {
        err_prefix(reterr, "project-quota");
        return r;
    }
    if (ret->state_dir[0] != '/')
        return err_set(reterr, -EINVAL, "bad_config",
                       "state-dir: \"%s\" must be an absolute path",
                       ret->state_dir);
    log_setup("controllerd", level);
    return 0;
}
