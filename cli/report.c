/* report.c - an error as a person reads it: what happened, which fields, and
 * what to do now. */
#include <config.h>

#include <string.h>

#include "cli/cli.h"
#include "cli/text.h"
#include "common/mem.h"

/* "see \"virga image list\"" for what a command's argument refers to. */
static void
hint_not_found(const struct cli *c, struct buf *out)
{
    const struct cli_cmd *k = c->line.cmd;

    if (!k)
        return;
    if (streq(k->group, "launch")) {
        buf_adds(out, "\"virga image list\" and \"virga flavor list\" show "
                      "what there is");
        return;
    }
    if (cli_cmd_find(k->group, "list"))
        buf_addf(out, "\"virga %s list\" shows what there is", k->group);
}

static void
hint_of_exit(const struct cli *c, struct buf *out)
{
    const struct cli_fault *f = &c->fault;
    const struct cli_cmd *k = c->line.cmd;

    switch (f->exit) {
    case EXIT_USAGE:
        if (k && streq(f->err.code, "usage"))
            buf_addf(out, "\"virga %s%s%s --help\" explains it", k->group,
                     k->verb ? " " : "", k->verb ? k->verb : "");
        else if (streq(f->err.code, "usage"))
            buf_addf(out, "\"virga %s%s--help\" lists the commands",
                     c->line.group ? c->line.group : "",
                     c->line.group ? " " : "");
        break;
    case EXIT_NOT_FOUND:
        hint_not_found(c, out);
        break;
    case EXIT_CONFLICT:
        if (k && streq(f->err.code, "wrong_state") &&
            cli_cmd_find(k->group, "show"))
            buf_addf(out, "\"virga %s show\" tells its state", k->group);
        break;
    case EXIT_INVALID:
        for (size_t i = 0; i < f->err.n_details; i++) {
            if (!streq(f->err.details[i].code, "not_found"))
                continue;
            hint_not_found(c, out);
            break;
        }
        break;
    case EXIT_DENIED:
        if (streq(f->err.code, "bad_credentials"))
            break;
        if (f->status == 401 && c->token && !strncmp(c->token, "vs1.", 4))
            buf_adds(out, "the session has ended: \"virga login\"");
        else if (f->status == 401)
            buf_adds(out, c->token
                              ? "the token in VIRGA_TOKEN or --token-file is "
                                "not valid here; ask your operator for one"
                              : "set VIRGA_TOKEN or use --token-file FILE, or "
                                "\"virga login\"; the operator's first token "
                                "is in admin.token in the controller's state "
                                "folder");
        else
            buf_adds(out, "\"virga whoami\" shows your role and project");
        break;
    case EXIT_NO_CAPACITY:
        if (streq(f->err.code, "no_capacity"))
            buf_adds(out, "\"virga node list\" shows what is claimed "
                          "(operators); a smaller flavor may fit");
        break;
    default:
        break;
    }
}

static void
hint_of_network(const struct cli *c, struct buf *out)
{
    switch (c->fault.err.number) {
    case -ECONNREFUSED:
        buf_addf(out,
                 "is virga-controllerd running, and is %s (VIRGA_URL) where "
                 "it listens?",
                 c->url);
        break;
    case -EACCES:
        buf_adds(out, "set VIRGA_CA or --ca to the cloud's CA certificate, "
                      "pki/ca.crt in the controller's state folder");
        break;
    case -ETIMEDOUT:
        buf_adds(out, "--timeout sets how long a request may take");
        break;
    default:
        break;
    }
}

/* Foreign words: no control character may reach the terminal. */
static void
add_line(struct buf *out, const char *text)
{
    text_clean(text, out);
    buf_addc(out, '\n');
}

void
cli_report(const struct cli *c, struct buf *out)
{
    const struct cli_fault *f = &c->fault;
    struct buf hint _cleanup_(buf_release) = {0};

    buf_adds(out, "virga: ");
    add_line(out, f->err.message);
    for (size_t i = 0; i < f->err.n_details; i++) {
        const struct err_detail *d = &f->err.details[i];
        char *line _cleanup_(freep) = xasprintf(
            "  %s: %s", *d->pointer ? d->pointer : "(body)", d->message);

        /* A single fault is often the whole message already. */
        if (!streq(line + 2, f->err.message))
            add_line(out, line);
    }
    if (f->status)
        hint_of_exit(c, &hint);
    else if (f->err.number && f->err.number != -EINVAL)
        hint_of_network(c, &hint);
    if (!hint.len)
        hint_of_exit(c, &hint);
    if (hint.len) {
        buf_adds(out, "hint: ");
        add_line(out, buf_str(&hint));
    }
    if (f->status == 500 && *f->request_id) {
        buf_adds(out, "request: ");
        add_line(out, f->request_id);
    }
}
