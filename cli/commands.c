/* commands.c - every command, described once.
 * Relates to: args.c parses by this table, help.c and complete.c print it,
 * virga(1) describes it (a test holds that the page names every command).
 * Longer than most: it is data. */
#include <config.h>

#include "cli/cli.h"

#define WAIT_TIMEOUT                                                           \
    {                                                                          \
        .name = "wait-timeout", .type = ARG_DURATION, .metavar = "TIME",       \
        .doc = "give up waiting after this time [5m]"                          \
    }
#define WAIT                                                                   \
    {.name = "wait",                                                           \
     .letter = 'w',                                                            \
     .type = ARG_FLAG,                                                         \
     .doc = "wait until it is done"},                                          \
        WAIT_TIMEOUT
#define LIMIT                                                                  \
    {                                                                          \
        .name = "limit", .type = ARG_INT, .metavar = "N",                      \
        .doc = "at most this many [all]"                                       \
    }
#define PROJECT(DOC)                                                           \
    {                                                                          \
        .name = "project", .letter = 'p', .type = ARG_REF,                     \
        .metavar = "PROJECT", .names = ROUTE_PROJECT_LIST, .doc = DOC          \
    }
#define RESTART(MORE, MUST)                                                    \
    {                                                                          \
        .name = "restart", .type = ARG_CHOICE, .required = MUST,               \
        .metavar = "POLICY", .field = "restart_policy", .choices = restarts,   \
        .doc = "when it is started again by itself: never, on-failure or "     \
               "always " MORE                                                  \
    }
#define NAME                                                                   \
    {                                                                          \
        .metavar = "NAME", .type = ARG_TEXT, .field = "name"                   \
    }
#define REF(M, LIST)                                                           \
    {                                                                          \
        .metavar = M, .type = ARG_REF, .names = ROUTE_##LIST##_LIST            \
    }
#define INSTANCE REF("INSTANCE", INSTANCE)
#define LABEL(DOC)                                                             \
    {                                                                          \
        .name = "label", .letter = 'l', .type = ARG_TEXT, .many = true,        \
        .metavar = "KEY=VALUE", .doc = DOC                                     \
    }

static const char *const disk_formats[] = {"raw", "qcow2", NULL};
static const char *const restarts[] = {"never", "on-failure", "always", NULL};
static const char *const policies[] = {"all", "fit", NULL};
static const char *const roles[] = {"reader",   "member",  "admin",
                                    "operator", "billing", NULL};
static const char *const member_roles[] = {"reader", "member", "admin",
                                           "billing", NULL};

/* clang-format off */
static const struct cli_opt opts_limit[] = {LIMIT, {.name = NULL}};
static const struct cli_opt opts_instances[] = {
    {.name = "filter", .type = ARG_TEXT, .metavar = "TERMS",
     .doc = "those that pass all terms, such as state=running,!label.old"},
    LABEL("with this label, or with KEY alone with any value of it"),
    PROJECT("of this project only (for operators)"), LIMIT, {.name = NULL}};
static const struct cli_opt opts_acting[] = {
    PROJECT("in this project (for operators)"), {.name = NULL}};
#define QUOTA(NAME, METAVAR, DOC)                                              \
    {.name = NAME, .type = ARG_TEXT, .metavar = METAVAR, .doc = DOC}
static const struct cli_opt opts_quota[] = {
    QUOTA("instances", "N", "instances at most, or unlimited"),
    QUOTA("vcpus", "N", "virtual CPUs of all of them"),
    QUOTA("memory", "SIZE", "memory of all of them, such as 64G"),
    QUOTA("disk", "SIZE", "root disks of all of them, such as 1T"),
    QUOTA("volumes", "N", "volumes at most"),
    QUOTA("addresses", "N", "floating IP addresses at most"),
    QUOTA("networks", "N", "networks at most"),
    QUOTA("images", "N", "images at most"),
    QUOTA("image-bytes", "SIZE", "files of all of them, such as 100G"),
    QUOTA("tokens", "N", "tokens at most"),
    {.name = NULL}};
static const struct cli_opt opts_wait[] = {WAIT, {.name = NULL}};
static const struct cli_opt opts_wait_only[] = {WAIT_TIMEOUT, {.name = NULL}};
static const struct cli_opt opts_stop[] = {
    {.name = "force", .type = ARG_FLAG, .field = "force",
     .doc = "end it at once, without asking the guest"},
    WAIT, {.name = NULL}};
static const struct cli_opt opts_node_delete[] = {
    {.name = "force", .type = ARG_FLAG,
     .doc = "it is down and gone for good: what is on it is lost"},
    {.name = NULL}};
static const struct cli_opt opts_launch[] = {
    {.name = "flavor", .letter = 'f', .type = ARG_REF, .metavar = "FLAVOR",
     .field = "flavor", .names = ROUTE_FLAVOR_LIST,
     .doc = "size of the instance [the only flavor there is]"},
    RESTART("[on-failure]", false),
    {.name = "count", .letter = 'n', .type = ARG_INT, .metavar = "N",
     .doc = "this many: NAME-1, NAME-2 and so on"},
    {.name = "policy", .type = ARG_CHOICE, .metavar = "POLICY",
     .choices = policies,
     .doc = "of --count: all or none [all], or as many as fit"},
    LABEL("a label; may be given more than once"),
    {.name = "keypair", .letter = 'k', .type = ARG_REF, .many = true,
     .metavar = "KEYPAIR", .names = ROUTE_KEYPAIR_LIST,
     .doc = "whose public key it gets; may be given more than once"},
    {.name = "user-data", .type = ARG_FILE, .metavar = "FILE",
     .doc = "for cloud-init"},
    {.name = "dry-run", .type = ARG_FLAG,
     .doc = "only say where it would be, what it would cost and take"},
    {.name = "lock", .type = ARG_FLAG,
     .doc = "nothing changes it until it is unlocked"},
    {.name = "protect", .type = ARG_FLAG,
     .doc = "it cannot be deleted until that is allowed again"},
    PROJECT("in this project (for operators)"),
    WAIT, {.name = NULL}};
static const struct cli_opt opts_set[] = {
    RESTART("from its next end on", true), {.name = NULL}};
static const struct cli_opt opts_rebuild[] = {
    {.name = "image", .letter = 'i', .type = ARG_REF, .required = true,
     .metavar = "IMAGE", .field = "image", .names = ROUTE_IMAGE_LIST,
     .doc = "image of the new root disk"},
    WAIT, {.name = NULL}};
static const struct cli_opt opts_resize[] = {
    {.name = "flavor", .letter = 'f', .type = ARG_REF, .required = true,
     .metavar = "FLAVOR", .field = "flavor", .names = ROUTE_FLAVOR_LIST,
     .doc = "the new size; its disk may not be smaller"},
    WAIT, {.name = NULL}};
static const struct cli_opt opts_operations[] = {
    {.name = "stuck", .type = ARG_FLAG,
     .doc = "only those without progress, or whose node is silent"},
    PROJECT("of this project only (for operators)"), LIMIT, {.name = NULL}};
static const struct cli_opt opts_log[] = {
    {.name = "follow", .letter = 'f', .type = ARG_FLAG,
     .doc = "go on with what comes, until Ctrl-C"},
    {.name = "tail", .letter = 'n', .type = ARG_SIZE, .metavar = "BYTES",
     .doc = "only the last bytes, such as 4K [the whole log]"},
    {.name = NULL}};
static const struct cli_opt opts_console[] = {
    {.name = "linger", .type = ARG_DURATION, .metavar = "TIME",
     .doc = "when standard input is no terminal: leave after this much "
            "silence behind its end [1s]"},
    {.name = NULL}};
static const struct cli_opt opts_image[] = {
    {.name = "kernel", .type = ARG_FILE, .metavar = "FILE",
     .doc = "kernel to boot directly (bzImage)"},
    {.name = "initrd", .type = ARG_FILE, .metavar = "FILE",
     .doc = "initial RAM disk for that kernel"},
    {.name = "cmdline", .type = ARG_TEXT, .metavar = "TEXT",
     .field = "cmdline", .doc = "command line for that kernel"},
    {.name = "disk", .type = ARG_FILE, .metavar = "FILE",
     .doc = "root disk"},
    {.name = "format", .type = ARG_CHOICE, .metavar = "FORMAT",
     .choices = disk_formats, .doc = "format of the disk: raw or qcow2"},
    {.name = "public", .type = ARG_FLAG, .field = "public",
     .doc = "every project may use it (for operators)"},
    WAIT, {.name = NULL}};
static const struct cli_opt opts_flavor[] = {
    {.name = "vcpus", .type = ARG_INT, .required = true, .metavar = "N",
     .field = "vcpus", .doc = "virtual CPUs"},
    {.name = "memory", .type = ARG_SIZE, .required = true, .metavar = "SIZE",
     .field = "memory_bytes", .doc = "memory, such as 512M"},
    {.name = "disk", .type = ARG_SIZE, .metavar = "SIZE",
     .field = "disk_bytes",
     .doc = "root disk, such as 10G [as large as the image]"},
    {.name = "price", .type = ARG_TEXT, .metavar = "PRICE",
     .field = "price_per_hour",
     .doc = "of one instance for an hour, such as 0.0125"},
    {.name = "cpu-shares", .type = ARG_INT, .metavar = "N",
     .field = "cpu_shares",
     .doc = "weight of each vCPU where instances contend [100]"},
    {.name = "cpu-limit", .type = ARG_INT, .metavar = "PERCENT",
     .field = "cpu_limit_percent",
     .doc = "most of a processor that each vCPU gets [no limit]"},
    {.name = "cpu-reservation", .type = ARG_INT, .metavar = "PERCENT",
     .field = "cpu_reservation_percent",
     .doc = "part of a processor that contention leaves each vCPU [0]"},
    {.name = "disk-iops", .type = ARG_INT, .metavar = "N",
     .field = "disk_iops",
     .doc = "operations per second of each disk [no limit]"},
    {.name = "disk-rate", .type = ARG_SIZE, .metavar = "SIZE",
     .field = "disk_bytes_per_second",
     .doc = "bytes per second of each disk, such as 100M [no limit]"},
    {.name = "net-rate", .type = ARG_SIZE, .metavar = "SIZE",
     .field = "net_bytes_per_second",
     .doc = "bytes per second of each NIC, each way [no limit]"},
    {.name = NULL}};
static const struct cli_opt opts_node_token[] = {
    {.name = "ttl", .type = ARG_DURATION, .metavar = "TIME", .field = "ttl_s",
     .doc = "how long it may be used [1h]"},
    {.name = NULL}};
static const struct cli_opt opts_token[] = {
    {.name = "role", .type = ARG_CHOICE, .metavar = "ROLE", .field = "role",
     .choices = roles,
     .doc = "reader, member, admin, billing or operator [member]"},
    {.name = "scope", .type = ARG_TEXT, .metavar = "LIST", .field = "scopes",
     .doc = "what it is good for, such as instances:read,images:write "
            "[all that its role may do]"},
    {.name = "project", .letter = 'p', .type = ARG_REF, .metavar = "PROJECT",
     .field = "project", .names = ROUTE_PROJECT_LIST,
     .doc = "where it acts [your own project]"},
    {.name = "expires", .type = ARG_EXPIRY, .metavar = "TIME",
     .field = "expires_at",
     .doc = "when it ends: a time, or a duration such as 30d [never]"},
    {.name = NULL}};
#define PASSWORD_FILE(NAME_, DOC)                                              \
    {                                                                          \
        .name = NAME_, .type = ARG_FILE, .metavar = "FILE", .doc = DOC         \
    }
static const struct cli_opt opts_login[] = {
    {.name = "user", .letter = 'u', .type = ARG_REF, .metavar = "NAME",
     .doc = "who signs in [USER]"},
    PROJECT("where to act [your home]"),
    PASSWORD_FILE("password-file",
                  "read the password here, - is standard input [ask]"),
    {.name = NULL}};
static const struct cli_opt opts_passwd[] = {
    PASSWORD_FILE("old-password-file", "read the present password here [ask]"),
    PASSWORD_FILE("password-file", "read the new password here [ask]"),
    {.name = NULL}};
static const struct cli_opt opts_user[] = {
    {.name = "project", .letter = 'p', .type = ARG_REF, .metavar = "PROJECT",
     .field = "project", .names = ROUTE_PROJECT_LIST,
     .doc = "its home [your own project]"},
    {.name = "role", .type = ARG_CHOICE, .metavar = "ROLE", .field = "role",
     .choices = member_roles,
     .doc = "what it may do there: reader, member, admin or billing [member]"},
    {.name = "operator", .type = ARG_FLAG, .field = "operator",
     .doc = "it may do everything, everywhere (by operators)"},
    PASSWORD_FILE("password-file",
                  "read its password here, - is standard input [ask]"),
    {.name = NULL}};
static const struct cli_opt opts_member[] = {
    {.name = "role", .type = ARG_CHOICE, .required = true, .metavar = "ROLE",
     .field = "role", .choices = member_roles,
     .doc = "reader, member, admin or billing"},
    {.name = NULL}};
static const struct cli_opt opts_usage[] = {
    {.name = "from", .type = ARG_INSTANT, .metavar = "TIME",
     .doc = "start: a time, a date, or 24h for that long ago [this month]"},
    {.name = "to", .type = ARG_INSTANT, .metavar = "TIME",
     .doc = "end, in the same forms [now]"},
    {.name = "instance", .letter = 'i', .type = ARG_REF,
     .metavar = "INSTANCE", .names = ROUTE_INSTANCE_LIST,
     .doc = "of this instance only"},
    PROJECT("of this project only (for operators)"), LIMIT, {.name = NULL}};
static const struct cli_opt opts_events[] = {
    {.name = "follow", .letter = 'f', .type = ARG_FLAG,
     .doc = "go on with what comes, until Ctrl-C"},
    {.name = "since", .type = ARG_TEXT, .metavar = "SEQ",
     .doc = "only those after this number [with --follow: those to come]"},
    {.name = "kinds", .type = ARG_TEXT, .metavar = "KINDS",
     .doc = "of these kinds only, with commas, such as instance.*"},
    PROJECT("of this project only (for operators)"), LIMIT, {.name = NULL}};
static const struct cli_opt opts_webhook[] = {
    {.name = "kinds", .type = ARG_TEXT, .metavar = "KINDS",
     .doc = "of these kinds only, with commas, such as instance.* [all]"},
    {.name = "secret", .type = ARG_TEXT, .metavar = "SECRET",
     .field = "secret",
     .doc = "the key of its signatures, whsec_ and base64 [a new one]"},
    {.name = "disabled", .type = ARG_FLAG, .field = "disabled",
     .doc = "deliver nothing until it is enabled"},
    PROJECT("of this project only (for operators) [all]"), {.name = NULL}};
static const struct cli_opt opts_audit[] = {
    {.name = "filter", .type = ARG_TEXT, .metavar = "TERMS",
     .doc = "such as method=DELETE,status!=404 or actor=ci"},
    {.name = "path", .type = ARG_TEXT, .metavar = "PREFIX",
     .doc = "of paths that begin so, such as /v1/tokens"},
    PROJECT("of this project only (for operators)"),
    {.name = "limit", .type = ARG_INT, .metavar = "N",
     .doc = "at most this many; 0 for all [100]"},
    {.name = NULL}};

const struct cli_cmd cli_cmds[] = {
    {"launch", NULL,
     {REF("IMAGE", IMAGE),
      {.metavar = "NAME", .type = ARG_TEXT, .optional = true}},
     opts_launch, cmd_launch, ROUTE_INSTANCE_CREATE, false,
     "Create an instance from an image and start it",
     "virga launch debian web-1 --flavor small --wait\n"
     "virga launch debian web --count 3 --label env=prod --keypair laptop"},

    {"instance", "list", {{0}}, opts_instances, cmd_list, ROUTE_INSTANCE_LIST,
     false, "List instances", "virga instance list -o json"},
    {"instance", "show", {INSTANCE}, NULL, cmd_show, ROUTE_INSTANCE_SHOW,
     false, "Show an instance", "virga instance show web-1"},
    {"instance", "start", {INSTANCE}, opts_wait, cmd_verb,
     ROUTE_INSTANCE_START, false, "Start a stopped instance",
     "virga instance start web-1 --wait"},
    {"instance", "stop", {INSTANCE}, opts_stop, cmd_verb, ROUTE_INSTANCE_STOP,
     false, "Stop an instance: by its power button, later by force",
     "virga instance stop web-1 --wait"},
    {"instance", "reboot", {INSTANCE}, opts_wait, cmd_verb,
     ROUTE_INSTANCE_REBOOT, false, "Stop an instance and start it again",
     "virga instance reboot web-1 --wait"},
    {"instance", "pause", {INSTANCE}, opts_wait, cmd_verb,
     ROUTE_INSTANCE_PAUSE, false,
     "Halt a running instance; its memory stays, and it is paid for",
     "virga instance pause web-1 --wait"},
    {"instance", "resume", {INSTANCE}, opts_wait, cmd_verb,
     ROUTE_INSTANCE_RESUME, false, "Let a paused instance go on",
     "virga instance resume web-1 --wait"},
    {"instance", "rebuild", {INSTANCE}, opts_rebuild, cmd_verb,
     ROUTE_INSTANCE_REBUILD, false,
     "Make the root disk anew from an image: all on it is lost",
     "virga instance rebuild web-1 --image debian --wait"},
    {"instance", "resize", {INSTANCE}, opts_resize, cmd_verb,
     ROUTE_INSTANCE_RESIZE, false,
     "Give an instance another flavor; a running one is restarted",
     "virga instance resize web-1 --flavor large --wait"},
    {"instance", "rename", {INSTANCE, NAME}, NULL, cmd_change,
     ROUTE_INSTANCE_CHANGE, false, "Give an instance another name",
     "virga instance rename web-1 web-2"},
    {"instance", "label",
     {INSTANCE, {.metavar = "LABELS", .type = ARG_TEXT, .optional = true}},
     NULL, cmd_label, ROUTE_INSTANCE_CHANGE, false,
     "Set all labels of an instance: KEY=VALUE,KEY=VALUE, or none",
     "virga instance label web-1 env=prod,tier=web"},
    {"instance", "lock", {INSTANCE}, NULL, cmd_flag, ROUTE_INSTANCE_CHANGE,
     false, "Let nobody change an instance until it is unlocked",
     "virga instance lock web-1"},
    {"instance", "unlock", {INSTANCE}, NULL, cmd_flag, ROUTE_INSTANCE_CHANGE,
     false, "Take the lock off (for admins)", "virga instance unlock web-1"},
    {"instance", "protect", {INSTANCE}, NULL, cmd_flag, ROUTE_INSTANCE_CHANGE,
     false, "Refuse to delete or rebuild an instance",
     "virga instance protect web-1"},
    {"instance", "unprotect", {INSTANCE}, NULL, cmd_flag,
     ROUTE_INSTANCE_CHANGE, false, "Take the protection off",
     "virga instance unprotect web-1"},
    {"instance", "set", {INSTANCE}, opts_set, cmd_change,
     ROUTE_INSTANCE_CHANGE, false, "Change an instance",
     "virga instance set web-1 --restart always"},
    {"instance", "delete", {INSTANCE}, opts_wait, cmd_verb,
     ROUTE_INSTANCE_DELETE, false,
     "End an instance at once and delete it with its disk",
     "virga instance delete web-1 --wait"},
    {"instance", "wait", {INSTANCE}, opts_wait_only, cmd_instance_wait,
     ROUTE_INSTANCE_SHOW, false,
     "Wait for the end of the latest operation on an instance",
     "virga instance wait web-1 --wait-timeout 2m"},
    {"instance", "log", {INSTANCE}, opts_log, cmd_log,
     ROUTE_INSTANCE_CONSOLE_LOG, false, "Print the serial console's log",
     "virga instance log web-1 --tail 4K --follow"},
    {"instance", "user-data", {INSTANCE}, NULL, cmd_user_data,
     ROUTE_INSTANCE_USER_DATA, false,
     "Print what it was given for its first boot",
     "virga instance user-data web-1 > user-data"},
    {"instance", "console", {INSTANCE}, opts_console, cmd_console,
     ROUTE_INSTANCE_CONSOLE, false,
     "Talk to the serial console; Ctrl-] leaves",
     "virga instance console web-1"},
    {"instance", "stats", {INSTANCE}, NULL, cmd_show, ROUTE_INSTANCE_STATS,
     false, "Show what a running instance has used",
     "virga instance stats web-1"},

    {"image", "list", {{0}}, opts_limit, cmd_list, ROUTE_IMAGE_LIST, false,
     "List your images and the public ones", "virga image list"},
    {"image", "show", {REF("IMAGE", IMAGE)}, NULL, cmd_show, ROUTE_IMAGE_SHOW,
     false, "Show an image and its parts", "virga image show debian"},
    {"image", "create", {NAME}, opts_image, cmd_image_create,
     ROUTE_IMAGE_CREATE, false, "Create an image and upload its files",
     "virga image create debian --disk debian.qcow2 --format qcow2\n"
     "virga image create tiny --kernel vmlinuz --initrd initrd.img \\\n"
     "    --cmdline console=ttyS0"},
    {"image", "delete", {REF("IMAGE", IMAGE)}, NULL, cmd_delete,
     ROUTE_IMAGE_DELETE, false, "Delete an image that no instance uses",
     "virga image delete debian"},

    {"keypair", "list", {{0}}, opts_limit, cmd_list, ROUTE_KEYPAIR_LIST, false,
     "List public SSH keys that instances can be given", "virga keypair list"},
    {"keypair", "show", {REF("KEYPAIR", KEYPAIR)}, NULL, cmd_show,
     ROUTE_KEYPAIR_SHOW, false, "Show a public SSH key",
     "virga keypair show laptop"},
    {"keypair", "create",
     {NAME, {.metavar = "FILE", .type = ARG_FILE}},
     opts_acting, cmd_keypair_create, ROUTE_KEYPAIR_CREATE, false,
     "Store a public SSH key for instances to come",
     "virga keypair create laptop ~/.ssh/id_ed25519.pub"},
    {"keypair", "delete", {REF("KEYPAIR", KEYPAIR)}, NULL, cmd_delete,
     ROUTE_KEYPAIR_DELETE, false,
     "Delete a public SSH key; instances keep theirs",
     "virga keypair delete laptop"},

    {"flavor", "list", {{0}}, opts_limit, cmd_list, ROUTE_FLAVOR_LIST, false,
     "List flavors: the sizes of instances", "virga flavor list"},
    {"flavor", "show", {REF("FLAVOR", FLAVOR)}, NULL, cmd_show,
     ROUTE_FLAVOR_SHOW, false, "Show a flavor", "virga flavor show small"},
    {"flavor", "create", {NAME}, opts_flavor, cmd_create, ROUTE_FLAVOR_CREATE,
     false, "Create a flavor (for operators)",
     "virga flavor create small --vcpus 1 --memory 512M --disk 4G"},
    {"flavor", "delete", {REF("FLAVOR", FLAVOR)}, NULL, cmd_delete,
     ROUTE_FLAVOR_DELETE, false, "Delete a flavor (for operators)",
     "virga flavor delete small"},

    {"usage", NULL, {{0}}, opts_usage, cmd_usage, ROUTE_USAGE, false,
     "Show what was used in a period",
     "virga usage --from 2026-11-01 --to 2026-12-01 -o csv"},

    {"operation", "list", {{0}}, opts_operations, cmd_list, ROUTE_OPERATION_LIST,
     false, "List operations, newest first",
     "virga operation list --limit 20"},
    {"operation", "show", {{.metavar = "ID", .type = ARG_ID}}, NULL, cmd_show,
     ROUTE_OPERATION_SHOW, false, "Show an operation",
     "virga operation show 0193573e-8d5c-7cc1-b0a8-3d1f0c5a9e77"},
    {"operation", "wait", {{.metavar = "ID", .type = ARG_ID}}, opts_wait_only,
     cmd_operation_wait, ROUTE_OPERATION_SHOW, false,
     "Wait until an operation has ended",
     "virga operation wait 0193573e-8d5c-7cc1-b0a8-3d1f0c5a9e77"},

    {"operation", "cancel", {{.metavar = "ID", .type = ARG_ID}}, opts_wait,
     cmd_verb, ROUTE_OPERATION_CANCEL, false,
     "Undo an operation that still goes on",
     "virga operation cancel 0193573e-8d5c-7cc1-b0a8-3d1f0c5a9e77 --wait"},
    {"operation", "retry", {{.metavar = "ID", .type = ARG_ID}}, opts_wait,
     cmd_verb, ROUTE_OPERATION_RETRY, false,
     "Try a failed or stuck operation again (for operators)",
     "virga operation retry 0193573e-8d5c-7cc1-b0a8-3d1f0c5a9e77"},
    {"operation", "undo", {{.metavar = "ID", .type = ARG_ID}}, opts_wait,
     cmd_verb, ROUTE_OPERATION_UNDO, false,
     "Take a failed or stuck operation back (for operators)",
     "virga operation undo 0193573e-8d5c-7cc1-b0a8-3d1f0c5a9e77"},

    {"project", "list", {{0}}, opts_limit, cmd_list, ROUTE_PROJECT_LIST,
     false, "List projects", "virga project list"},
    {"project", "show", {REF("PROJECT", PROJECT)}, NULL, cmd_show,
     ROUTE_PROJECT_SHOW, false, "Show a project", "virga project show acme"},
    {"project", "create", {NAME}, NULL, cmd_create, ROUTE_PROJECT_CREATE,
     false, "Create a project (for operators)",
     "virga project create acme"},
    {"project", "delete", {REF("PROJECT", PROJECT)}, NULL, cmd_delete,
     ROUTE_PROJECT_DELETE, false, "Delete an empty project (for operators)",
     "virga project delete acme"},

    {"project", "member list", {REF("PROJECT", PROJECT)}, opts_limit,
     cmd_member_list, ROUTE_MEMBER_LIST, false,
     "List who may do what in a project", "virga project member list acme"},
    {"project", "member add", {REF("PROJECT", PROJECT), REF("USER", USER)},
     opts_member, cmd_member_add, ROUTE_MEMBER_SET, false,
     "Give a user a role in a project, or another one",
     "virga project member add acme ada --role admin"},
    {"project", "member remove", {REF("PROJECT", PROJECT), REF("USER", USER)},
     NULL, cmd_member_remove, ROUTE_MEMBER_DELETE, false,
     "Take a user out of a project, at once",
     "virga project member remove acme ada"},

    {"user", "list", {{0}}, opts_limit, cmd_list, ROUTE_USER_LIST, false,
     "List users", "virga user list"},
    {"user", "show", {REF("USER", USER)}, NULL, cmd_show, ROUTE_USER_SHOW,
     false, "Show a user and its projects", "virga user show ada"},
    {"user", "create", {NAME}, opts_user, cmd_user_create, ROUTE_USER_CREATE,
     false, "Create a user, who can sign in with a password",
     "virga user create ada --project acme --role admin"},
    {"user", "disable", {REF("USER", USER)}, NULL, cmd_user_disable,
     ROUTE_USER_CHANGE, false, "End a user's sessions and refuse new ones",
     "virga user disable ada"},
    {"user", "enable", {REF("USER", USER)}, NULL, cmd_user_enable,
     ROUTE_USER_CHANGE, false, "Let a user sign in again",
     "virga user enable ada"},
    {"user", "delete", {REF("USER", USER)}, NULL, cmd_delete,
     ROUTE_USER_DELETE, false, "Delete a user, with its sessions",
     "virga user delete ada"},

    {"quota", "show",
     {{.metavar = "PROJECT", .type = ARG_REF, .optional = true,
       .names = ROUTE_PROJECT_LIST}},
     NULL, cmd_quota_show, ROUTE_QUOTA_SHOW, false,
     "Show what a project may have and has; -1 is unlimited",
     "virga quota show acme"},
    {"quota", "set", {REF("PROJECT", PROJECT)}, opts_quota, cmd_quota_set,
     ROUTE_QUOTA_SET, false,
     "Set what a project may have; the rest stays (for operators)",
     "virga quota set acme --instances 20 --memory 64G --disk unlimited"},

    {"token", "list", {{0}}, opts_limit, cmd_list, ROUTE_TOKEN_LIST, false,
     "List tokens, without their secrets", "virga token list"},
    {"token", "create", {NAME}, opts_token, cmd_create, ROUTE_TOKEN_CREATE,
     false, "Create a token; its secret is printed once",
     "virga token create ci --role member --project acme --expires 30d"},
    {"token", "delete", {REF("TOKEN", TOKEN)}, NULL, cmd_delete,
     ROUTE_TOKEN_DELETE, false, "Revoke a token at once",
     "virga token delete ci"},
    {"login", NULL, {{0}}, opts_login, cmd_login, ROUTE_LOGIN, false,
     "Sign in; further commands need no token", "virga login --user ada"},
    {"logout", NULL, {{0}}, NULL, cmd_logout, ROUTE_LOGOUT, false,
     "Sign out", "virga logout"},
    {"passwd", NULL, {{0}}, opts_passwd, cmd_passwd, ROUTE_PASSWORD, false,
     "Change your own password", "virga passwd"},
    {"session", "list", {{0}}, opts_limit, cmd_list, ROUTE_SESSION_LIST,
     false, "List where you are signed in", "virga session list"},
    {"session", "end", {{.metavar = "ID", .type = ARG_ID}}, NULL, cmd_delete,
     ROUTE_SESSION_DELETE, false, "End one of your sessions at once",
     "virga session end 0193573e-8d5c-7cc1-b0a8-3d1f0c5a9e77"},
    {"session", "use",
     {{.metavar = "PROJECT",
       .type = ARG_REF,
       .field = "project",
       .names = ROUTE_PROJECT_LIST}},
     NULL, cmd_session_use, ROUTE_SESSION_CHANGE, false,
     "Act in another project from now on", "virga session use acme"},
    {"whoami", NULL, {{0}}, NULL, cmd_show, ROUTE_WHOAMI, false,
     "Show who you are: user or token, project and role", "virga whoami"},

    {"admin", "backup", {{.metavar = "FILE", .type = ARG_FILE}}, NULL,
     cmd_backup, ROUTE_BACKUP, false,
     "Copy the controller's state into an archive (for operators)",
     "virga admin backup virga-2026-11-22.tar.gz"},

    {"node", "list", {{0}}, opts_limit, cmd_list, ROUTE_NODE_LIST, false,
     "List nodes (for operators)", "virga node list"},
    {"node", "show", {REF("NODE", NODE)}, NULL, cmd_show, ROUTE_NODE_SHOW,
     false, "Show a node (for operators)", "virga node show node-1"},
    {"node", "token", {{0}}, opts_node_token, cmd_create,
     ROUTE_JOIN_TOKEN_CREATE, false,
     "Make a token with which one agent may join (for operators)",
     "virga node token --ttl 10m"},
    {"node", "cordon", {REF("NODE", NODE)}, NULL, cmd_act, ROUTE_NODE_CORDON,
     false, "Place no further instance on a node (for operators)",
     "virga node cordon node-1"},
    {"node", "uncordon", {REF("NODE", NODE)}, NULL, cmd_act,
     ROUTE_NODE_UNCORDON, false, "Take the cordon back (for operators)",
     "virga node uncordon node-1"},
    {"node", "delete", {REF("NODE", NODE)}, opts_node_delete, cmd_node_delete,
     ROUTE_NODE_DELETE, false,
     "Remove a node without instances (for operators)",
     "virga node delete node-1"},

    {"events", NULL, {{0}}, opts_events, cmd_events, ROUTE_EVENT_LIST, false,
     "Show what happened, or what happens", "virga events --follow"},
    {"webhook", "create",
     {NAME, {.metavar = "URL", .type = ARG_TEXT, .field = "url"}},
     opts_webhook, cmd_webhook_create, ROUTE_WEBHOOK_CREATE, false,
     "Send events to a URL; the key of the signatures is printed once",
     "virga webhook create ops https://example.com/hook --kinds 'instance.*'"},
    {"webhook", "list", {{0}}, opts_limit, cmd_list, ROUTE_WEBHOOK_LIST,
     false, "List webhooks", "virga webhook list"},
    {"webhook", "show", {REF("WEBHOOK", WEBHOOK)}, NULL, cmd_show,
     ROUTE_WEBHOOK_SHOW, false, "Show a webhook and how far it is",
     "virga webhook show ops"},
    {"webhook", "enable", {REF("WEBHOOK", WEBHOOK)}, NULL, cmd_webhook_switch,
     ROUTE_WEBHOOK_CHANGE, false, "Deliver again, what waits first",
     "virga webhook enable ops"},
    {"webhook", "disable", {REF("WEBHOOK", WEBHOOK)}, NULL, cmd_webhook_switch,
     ROUTE_WEBHOOK_CHANGE, false, "Deliver nothing; events wait",
     "virga webhook disable ops"},
    {"webhook", "delete", {REF("WEBHOOK", WEBHOOK)}, NULL, cmd_delete,
     ROUTE_WEBHOOK_DELETE, false, "Delete a webhook and its dead letters",
     "virga webhook delete ops"},
    {"webhook", "dead-letters", {REF("WEBHOOK", WEBHOOK)}, NULL,
     cmd_dead_letters, ROUTE_DEAD_LETTER_LIST, false,
     "List the events that could not be delivered",
     "virga webhook dead-letters ops -o json"},
    {"webhook", "dead-letter delete",
     {REF("WEBHOOK", WEBHOOK), {.metavar = "ID", .type = ARG_ID}}, NULL,
     cmd_dead_letter_delete, ROUTE_DEAD_LETTER_DELETE, false,
     "Forget an event that could not be delivered",
     "virga webhook dead-letter delete ops "
     "0193573e-8d5c-7cc1-b0a8-3d1f0c5a9e77"},
    {"webhook", "redeliver", {REF("WEBHOOK", WEBHOOK)}, NULL, cmd_act,
     ROUTE_WEBHOOK_REDELIVER, false,
     "Try what waits, and each dead letter, once more at once",
     "virga webhook redeliver ops"},
    {"audit", "list", {{0}}, opts_audit, cmd_audit_list, ROUTE_AUDIT_LIST,
     false, "List who changed, or tried to change, what; newest first",
     "virga audit list --filter method=DELETE"},

    {"help", NULL,
     {{.metavar = "COMMAND", .type = ARG_TEXT, .optional = true},
      {.metavar = "VERB", .type = ARG_TEXT, .optional = true}},
     NULL, cmd_help, NO_NAMES, false, "Explain a command",
     "virga help instance stop"},
    /* For the shell: candidates for the last of the words that follow. */
    {"__complete", NULL, {{0}}, NULL, cmd_complete, NO_NAMES, true, "", ""},
    {.group = NULL},
};
/* clang-format on */
