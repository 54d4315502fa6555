/* cli/cli.h - what the parts of the `virga` command share.
 * Role:      the context of one run, how errors travel, and the handlers that
 *            the command table (cli/commands.c) names.
 * Ownership: struct cli owns its client and its fault; values in line point
 *            into argv.
 * Threads:   one.
 * Errors:    functions return an exit code (0 is success) and leave the
 *            reason in cli->fault; main() prints it, once. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include "api/codec.h"
#include "api/resources.h"
#include "api/routes.h"
#include "cli/args.h"
#include "common/buf.h"
#include "common/err.h"
#include "common/httpc.h"

/* Stable; the table in virga(1) is the contract. */
enum cli_exit {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_NOT_FOUND = 3,
    EXIT_CONFLICT = 4,
    EXIT_DENIED = 5,
    EXIT_UNAVAILABLE = 6,
    EXIT_INVALID = 7,
    EXIT_NO_CAPACITY = 8,
};

struct cli_fault {
    int exit;    /* enum cli_exit; 0 while nothing went wrong */
    long status; /* of the HTTP reply; 0 when none came */
    struct err err;
    char request_id[64]; /* to find the request in the controller's log */
};

/* cli/saved.c: a session that goes on from command to command. */
struct cli_saved {
    char *url, *ca, *token;
};

struct cli {
    struct cli_line line;
    struct httpc *http; /* opened by the first call */
    const char *url, *ca_file;
    char *token;
    struct cli_saved saved; /* what `virga login` left, if it is there */
    FILE *debug;
    int64_t timeout_ms; /* of one request */
    int retries;        /* after the first attempt */
    struct cli_fault fault;
};

/* ---- cli/call.c: requests, retries, errors ---- */

/* Sets the fault; returns exit. */
int cli_fail(struct cli *c, int exit, const char *code, const char *fmt, ...)
    _printf_(4, 5);
/* Adds words behind the fault's message. */
void cli_fault_append(struct cli *c, const char *fmt, ...) _printf_(2, 3);
void cli_fault_clear(struct cli *c);
/* Reads the environment and the global options; no connection is made. */
int cli_setup(struct cli *c) _must_check_;
void cli_release(struct cli *c);
/* A client of its own, which an aborted one cannot disturb. */
struct httpc *cli_client_new(struct cli *c);
/* Opens c->http unless it is there. */
struct httpc *cli_client(struct cli *c);

/* One request, with retries: connection loss, 429 and 503. Success is a 2xx
 * reply. A POST gets an Idempotency-Key, the same in each attempt. */
int cli_call(struct cli *c, const struct httpc_request *rq,
             struct httpc_reply *ret) _must_check_;
/* The same for a route of api_routes[]; body NULL for none. ref fills the
 * path's parameter; query is "?a=b" or NULL. */
int cli_route(struct cli *c, enum api_route_id id, const char *ref,
              const char *query, const struct buf *body,
              struct httpc_reply *ret) _must_check_;
/* cli_route() and the reply decoded into obj by the route's table. */
int cli_get(struct cli *c, enum api_route_id id, const char *ref,
            const char *query, void *obj) _must_check_;
int cli_decode(struct cli *c, const struct codec_table *t,
               const struct httpc_reply *reply, void *obj) _must_check_;
/* Exit code of a refused request. */
int cli_exit_of_status(long status, const char *code);
/* Exit code when no reply came at all. */
int cli_exit_of_errno(int number);
/* The path of a route with {…} replaced, percent-encoded. */
char *cli_path(enum api_route_id id, const char *ref, const char *query);
/* Appends "?name=value" or "&name=value", percent-encoded; NULL: nothing. */
void cli_query_add(struct buf *query, const char *name, const char *value);
/* Retry-After in ms, bounded; `dflt` when the header says nothing usable. */
int64_t cli_retry_after_ms(const struct httpc_reply *reply, int64_t dflt);

/* ---- cli/saved.c: $XDG_CONFIG_HOME/virga/session, mode 0600 ---- */

/* -ENOENT and others when there is none that can be used. */
int cli_saved_load(struct cli_saved *ret) _must_check_;
void cli_saved_release(struct cli_saved *s);
/* For c's URL and CA. */
int cli_saved_store(struct cli *c, const char *token) _must_check_;
int cli_saved_remove(struct cli *c) _must_check_;

/* ---- cli/password.c ---- */

/* The first line of a file ("-" is standard input) or, without one, what is
 * typed at the terminal, unseen. To be wiped by the caller. */
int cli_password(struct cli *c, const char *file, const char *prompt,
                 char **ret) _must_check_;
/* One to be set; at the terminal it is asked for twice. */
int cli_password_new(struct cli *c, const char *file, char **ret) _must_check_;
void cli_wipe(char **p);

/* ---- cli/report.c: what a person reads when it went wrong ---- */

/* "virga: …", fields, hint. */
void cli_report(const struct cli *c, struct buf *out);

/* ---- cli/body.c: request bodies ---- */

struct cli_body {
    const struct codec_table *table;
    struct buf text;
};

void cli_body_begin(struct cli_body *b, const struct codec_table *t);
void cli_body_set(struct cli_body *b, const char *field,
                  const struct cli_value *v);
void cli_body_set_text(struct cli_body *b, const char *field, const char *text);
/* json is a complete JSON value. */
void cli_body_set_raw(struct cli_body *b, const char *field, const char *json);
/* Every argument and option of the line that names a field. */
void cli_body_from_line(struct cli_body *b, const struct cli_line *line);
void cli_body_end(struct cli_body *b);
void cli_body_release(struct cli_body *b);

/* {"KEY":"VALUE",…} out of each --label KEY=VALUE. */
int cli_labels(struct cli *c, struct buf *ret) _must_check_;
/* A text file of at most `max` bytes. */
int cli_read_text(struct cli *c, const char *path, size_t max,
                  struct buf *ret) _must_check_;

/* ---- cli/list.c: lists over all of their pages ---- */

struct cli_listing {
    struct codec_list items;
    struct buf json; /* "[…]", the server's own words */
};

/* limit 0: everything. query: as for cli_route, or NULL. */
int cli_list_fetch(struct cli *c, enum api_route_id id, const char *query,
                   int64_t limit, struct cli_listing *ret) _must_check_;
/* ref fills the path's parameter. */
int cli_list_fetch_of(struct cli *c, enum api_route_id id, const char *ref,
                      const char *query, int64_t limit,
                      struct cli_listing *ret) _must_check_;
void cli_listing_release(const struct codec_table *t, struct cli_listing *l);
/* Copies the elements of the member `key`, an array, of a JSON object that is
 * known to be valid; out gets them with commas between, as they are. Returns
 * their number, at most max. */
size_t cli_json_items(const char *json, size_t len, const char *key, size_t max,
                      struct buf *out);

/* ---- cli/show.c: results on standard output ---- */

int cli_print_object(struct cli *c, const struct codec_table *t,
                     const struct httpc_reply *reply) _must_check_;
int cli_print_list(struct cli *c, const struct codec_table *t,
                   const struct cli_listing *l) _must_check_;
/* An object that was put together from several replies. */
int cli_print_decoded(struct cli *c, const struct codec_table *t,
                      const void *obj) _must_check_;
/* Pretty JSON and a newline. */
int cli_print_json(struct cli *c, const char *json, size_t len) _must_check_;
/* "deleted flavor small", in table mode only. */
void cli_say(struct cli *c, const char *fmt, ...) _printf_(2, 3);

/* ---- cli/wait.c ---- */

/* Waits until the operation ended; its last state is left in *ret, for the
 * caller to release. An operation that failed is EXIT_FAILED. Lost
 * connections are waited out: a controller may restart meanwhile. */
int cli_wait_operation(struct cli *c, const char *id, int64_t timeout_us,
                       struct httpc_reply *ret) _must_check_;
#define CLI_WAIT_TIMEOUT_US (5 * 60 * INT64_C(1000000))
/* A line that is rewritten on a terminal and a line of its own elsewhere. */
struct cli_progress {
    bool terminal;
    bool shown;
};
void cli_progress_begin(struct cli_progress *p);
void cli_progress_show(struct cli_progress *p, const char *text);
void cli_progress_end(struct cli_progress *p);

/* ---- cli/names.c ---- */

#define CLI_NAME_MAX 32
/* "brisk-otter-3f2a" of 4 random bytes. */
void cli_name_make(const unsigned char seed[4], char out[CLI_NAME_MAX]);

/* ---- cli/debug.c ---- */

/* A stream to fd that hides secrets, for httpc. */
FILE *cli_debug_open(int fd, const char *token);
void cli_debug_mask(const char *line, size_t len, const char *token,
                    struct buf *out);

/* ---- handlers ---- */

int cmd_list(struct cli *c);
int cmd_show(struct cli *c);
int cmd_create(struct cli *c);
int cmd_change(struct cli *c);
int cmd_delete(struct cli *c);
int cmd_node_delete(struct cli *c);
int cmd_act(struct cli *c);
int cmd_verb(struct cli *c);
int cmd_flag(struct cli *c);
int cmd_label(struct cli *c);
int cmd_instance_wait(struct cli *c);
int cmd_operation_wait(struct cli *c);
int cmd_launch(struct cli *c);
int cmd_keypair_create(struct cli *c);
int cmd_quota_show(struct cli *c);
int cmd_quota_set(struct cli *c);
int cmd_image_create(struct cli *c);
int cmd_console(struct cli *c);
int cmd_log(struct cli *c);
int cmd_usage(struct cli *c);
int cmd_events(struct cli *c);
int cmd_webhook_create(struct cli *c);
int cmd_webhook_switch(struct cli *c);
int cmd_dead_letters(struct cli *c);
int cmd_dead_letter_delete(struct cli *c);
int cmd_user_data(struct cli *c);
int cmd_audit_list(struct cli *c);
int cmd_backup(struct cli *c);
int cmd_login(struct cli *c);
int cmd_logout(struct cli *c);
int cmd_passwd(struct cli *c);
int cmd_user_create(struct cli *c);
int cmd_user_disable(struct cli *c);
int cmd_user_enable(struct cli *c);
int cmd_session_use(struct cli *c);
int cmd_member_list(struct cli *c);
int cmd_member_add(struct cli *c);
int cmd_member_remove(struct cli *c);
int cmd_help(struct cli *c);
int cmd_complete(struct cli *c);

#endif
