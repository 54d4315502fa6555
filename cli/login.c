/* login.c - signing in and out, users and members: the commands that are more
 * than one request by their route's tables. */
#include <config.h>

#include <string.h>

#include "cli/cli.h"
#include "common/id.h"
#include "common/mem.h"

static void
body_release(struct cli_body *b)
{
    if (b->text.len)
        explicit_bzero(b->text.data, b->text.len);
    cli_body_release(b);
}

/* Sends a body that may hold a password, which does not outlive this. */
static int
send(struct cli *c, enum api_route_id id, const char *ref, struct cli_body *b,
     struct httpc_reply *ret)
{
    cli_body_end(b);
    int rc = cli_route(c, id, ref, NULL, &b->text, ret);
    body_release(b);
    return rc;
}

/* ---- login and logout ---- */

static const char *
login_name(struct cli *c)
{
    const char *name = cli_opt_text(&c->line, "user");

    if (!name)
        name = getenv("USER");
    return name && id_name_valid(name) ? name : NULL;
}

int
cmd_login(struct cli *c)
{
    const struct cli_value *project = cli_opt(&c->line, "project");
    const char *name = login_name(c);
    char *password = NULL;
    struct httpc_reply reply = {0};
    struct api_session s = {0};
    struct cli_body b;
    int rc;

    if (!name)
        return cli_fail(c, EXIT_USAGE, "user", "say who you are: --user NAME");
    char *prompt _cleanup_(freep) =
        xasprintf("Password of %s at %s: ", name, c->url);
    rc = cli_password(c, cli_opt_text(&c->line, "password-file"), prompt,
                      &password);
    if (rc != EXIT_OK)
        return rc;
    cli_body_begin(&b, &table_login);
    cli_body_set_text(&b, "user", name);
    cli_body_set_text(&b, "password", password);
    cli_wipe(&password);
    if (project->set)
        cli_body_set(&b, "project", project);
    rc = send(c, ROUTE_LOGIN, NULL, &b, &reply);
    if (rc == EXIT_OK)
        rc = cli_decode(c, &table_session, &reply, &s);
    if (rc == EXIT_OK && !s.token)
        rc = cli_fail(c, EXIT_FAILED, "bad_reply",
                      "the controller answered without a session");
    if (rc == EXIT_OK)
        rc = cli_saved_store(c, s.token);
    if (rc == EXIT_OK) { /* the secret is in its file and nowhere else */
        xstrset(&s.token, NULL);
        if (c->line.format == OUT_TABLE)
            cli_say(c, "signed in as %s, role %s", s.user,
                    api_role_names[s.role]);
        else
            rc = cli_print_decoded(c, &table_session, &s);
    }
    codec_clear(&table_session, &s);
    httpc_reply_release(&reply);
    return rc;
}

int
cmd_logout(struct cli *c)
{
    struct cli_saved s = {0};
    struct httpc_reply reply = {0};
    int rc;

    if (cli_saved_load(&s) < 0 || !streq(s.url, c->url)) {
        cli_saved_release(&s);
        return cli_fail(c, EXIT_NOT_FOUND, "no_session",
                        "nobody is signed in at %.200s from here", c->url);
    }
    xstrset(&c->token, s.token); /* not what VIRGA_TOKEN says */
    cli_saved_release(&s);
    rc = cli_route(c, ROUTE_LOGOUT, NULL, NULL, NULL, &reply);
    httpc_reply_release(&reply);
    /* One that has ended already has ended. */
    if (rc != EXIT_OK && c->fault.status != 401)
        return rc;
    cli_fault_clear(c);
    rc = cli_saved_remove(c);
    if (rc == EXIT_OK)
        cli_say(c, "signed out");
    return rc;
}

int
cmd_passwd(struct cli *c)
{
    char *old = NULL, *new = NULL;
    struct httpc_reply reply = {0};
    struct cli_body b;
    int rc = cli_password(c, cli_opt_text(&c->line, "old-password-file"),
                          "Present password: ", &old);

    if (rc == EXIT_OK)
        rc = cli_password_new(c, cli_opt_text(&c->line, "password-file"), &new);
    if (rc == EXIT_OK) {
        cli_body_begin(&b, &table_password_change);
        cli_body_set_text(&b, "old_password", old);
        cli_body_set_text(&b, "new_password", new);
        rc = send(c, ROUTE_PASSWORD, NULL, &b, &reply);
    }
    cli_wipe(&old);
    cli_wipe(&new);
    httpc_reply_release(&reply);
    if (rc == EXIT_OK)
        cli_say(c, "the password is changed; other sessions have ended");
    return rc;
}

/* ---- users ---- */

int
cmd_user_create(struct cli *c)
{
    char *password = NULL;
    struct httpc_reply reply = {0};
    struct cli_body b;
    int rc =
        cli_password_new(c, cli_opt_text(&c->line, "password-file"), &password);

    if (rc != EXIT_OK)
        return rc;
    cli_body_begin(&b, &table_user);
    cli_body_from_line(&b, &c->line);
    cli_body_set_text(&b, "password", password);
    cli_wipe(&password);
    rc = send(c, ROUTE_USER_CREATE, NULL, &b, &reply);
    if (rc == EXIT_OK)
        rc = cli_print_object(c, &table_user, &reply);
    httpc_reply_release(&reply);
    return rc;
}

static int
set_disabled(struct cli *c, const char *json)
{
    struct httpc_reply reply = {0};
    struct cli_body b;
    int rc;

    cli_body_begin(&b, &table_user_change);
    cli_body_set_raw(&b, "disabled", json);
    rc = send(c, ROUTE_USER_CHANGE, c->line.args[0].text, &b, &reply);
    if (rc == EXIT_OK)
        rc = cli_print_object(c, &table_user, &reply);
    httpc_reply_release(&reply);
    return rc;
}

int
cmd_user_disable(struct cli *c)
{
    return set_disabled(c, "true");
}

int
cmd_user_enable(struct cli *c)
{
    return set_disabled(c, "false");
}

int
cmd_session_use(struct cli *c)
{
    struct httpc_reply reply = {0};
    struct cli_body b;
    int rc;

    cli_body_begin(&b, &table_session_change);
    cli_body_from_line(&b, &c->line);
    cli_body_end(&b);
    rc = cli_route(c, ROUTE_SESSION_CHANGE, NULL, NULL, &b.text, &reply);
    cli_body_release(&b);
    if (rc == EXIT_OK)
        rc = cli_print_object(c, &table_session, &reply);
    httpc_reply_release(&reply);
    return rc;
}

/* ---- members ---- */

int
cmd_member_list(struct cli *c)
{
    struct cli_listing l = {0};
    int rc = cli_list_fetch_of(c, ROUTE_MEMBER_LIST, c->line.args[0].text, NULL,
                               cli_opt_num(&c->line, "limit", 0), &l);

    if (rc != EXIT_OK)
        return rc;
    rc = cli_print_list(c, &table_membership, &l);
    cli_listing_release(&table_membership, &l);
    return rc;
}

/* PUT or DELETE …/members/USER; the body may be NULL. */
static int
call_member(struct cli *c, const char *method, const struct buf *body,
            struct httpc_reply *ret)
{
    char *list _cleanup_(freep) =
        cli_path(ROUTE_MEMBER_LIST, c->line.args[0].text, NULL);
    /* A name or an id, as the parser saw to: nothing to encode. */
    char *path _cleanup_(freep) =
        xasprintf("%s/%s", list, c->line.args[1].text);
    struct httpc_request rq = HTTPC_REQUEST(method, path);

    if (body) {
        rq.body = body->data;
        rq.body_len = body->len;
    }
    return cli_call(c, &rq, ret);
}

int
cmd_member_add(struct cli *c)
{
    struct httpc_reply reply = {0};
    struct cli_body b;
    int rc;

    cli_body_begin(&b, &table_member_set);
    cli_body_from_line(&b, &c->line);
    cli_body_end(&b);
    rc = call_member(c, "PUT", &b.text, &reply);
    cli_body_release(&b);
    if (rc == EXIT_OK)
        rc = cli_print_object(c, &table_membership, &reply);
    httpc_reply_release(&reply);
    return rc;
}

int
cmd_member_remove(struct cli *c)
{
    struct httpc_reply reply = {0};
    int rc = call_member(c, "DELETE", NULL, &reply);

    httpc_reply_release(&reply);
    if (rc == EXIT_OK)
        cli_say(c, "removed %s from project %s", c->line.args[1].text,
                c->line.args[0].text);
    return rc;
}
