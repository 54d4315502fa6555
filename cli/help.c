/* help.c - --help, written from the command table; see args.h. */
#include <config.h>

#include <string.h>

#include "cli/cli.h"
#include "common/mem.h"

#define COLUMN 29 /* where descriptions begin */
#define WIDTH 79

/* text, wrapped at WIDTH, in the column behind what stands in `left`. */
static void
describe(const char *left, const char *text, struct buf *out)
{
    size_t column = strlen(left);

    buf_adds(out, left);
    if (column + 2 > COLUMN) {
        buf_addc(out, '\n');
        column = 0;
    }
    buf_addf(out, "%*s", (int)(COLUMN - column), "");
    column = COLUMN;
    while (*text) {
        size_t word = strcspn(text, " ");

        if (column > COLUMN && column + 1 + word > WIDTH) {
            buf_addf(out, "\n%*s", COLUMN, "");
            column = COLUMN;
        } else if (column > COLUMN) {
            buf_addc(out, ' ');
            column++;
        }
        buf_add(out, text, word);
        column += word;
        text += word;
        text += strspn(text, " ");
    }
    buf_addc(out, '\n');
}

static void
describe_opts(const struct cli_opt *opts, struct buf *out)
{
    for (const struct cli_opt *o = opts; o && o->name; o++) {
        char letter[8] = "    ";
        char *left _cleanup_(freep) = NULL;

        if (o->letter)
            snprintf(letter, sizeof(letter), "-%c, ", o->letter);
        left = xasprintf("  %s--%s%s%s", letter, o->name, o->metavar ? " " : "",
                         o->metavar ? o->metavar : "");
        describe(left, o->doc, out);
    }
}

static void
usage_line(const struct cli_cmd *k, struct buf *out)
{
    buf_addf(out, "virga %s%s%s", k->group, k->verb ? " " : "",
             k->verb ? k->verb : "");
    for (const struct cli_arg *a = k->args; a->metavar; a++)
        buf_addf(out, a->optional ? " [%s]" : " %s", a->metavar);
    for (const struct cli_opt *o = k->opts; o && o->name; o++)
        if (o->required)
            buf_addf(out, " --%s %s", o->name, o->metavar);
}

static void
help_command(const struct cli_cmd *k, struct buf *out)
{
    bool more = false;

    buf_adds(out, "Usage: ");
    usage_line(k, out);
    for (const struct cli_opt *o = k->opts; o && o->name; o++)
        more = more || !o->required;
    buf_addf(out, "%s\n\n%s.\n", more ? " [options]" : "", k->summary);
    if (k->opts) {
        buf_adds(out, "\nOptions:\n");
        describe_opts(k->opts, out);
    }
    buf_adds(out, "\nOptions of every command:\n");
    describe_opts(cli_globals, out);
    buf_adds(out, "\nExample:\n");
    for (const char *p = k->example; *p;) {
        size_t n = strcspn(p, "\n");

        buf_addf(out, "  %.*s\n", (int)n, p);
        p += n + (p[n] == '\n');
    }
}

static void
help_list(const char *group, struct buf *out)
{
    for (const struct cli_cmd *k = cli_cmds; k->group; k++) {
        struct buf left _cleanup_(buf_release) = {0};

        if (k->hidden || (group && !streq(k->group, group)))
            continue;
        buf_addf(&left, "  %s%s%s", k->group, k->verb ? " " : "",
                 k->verb ? k->verb : "");
        for (const struct cli_arg *a = k->args; a->metavar; a++)
            buf_addf(&left, a->optional ? " [%s]" : " %s", a->metavar);
        describe(buf_str(&left), k->summary, out);
    }
}

void
cli_help(const char *group, const char *verb, struct buf *out)
{
    const struct cli_cmd *k = group ? cli_cmd_find(group, verb) : NULL;

    if (k) {
        help_command(k, out);
        return;
    }
    buf_addf(out, "Usage: virga %s [arguments] [options]\n\n",
             group ? group : "COMMAND");
    if (group)
        buf_addf(out, "Commands of \"%s\":\n", group);
    else
        buf_adds(out, "Virga's command for tenants and operators.\n\n"
                      "Commands:\n");
    help_list(group, out);
    if (!group) {
        buf_adds(out, "\nOptions of every command:\n");
        describe_opts(cli_globals, out);
        buf_adds(out, "\nEnvironment: VIRGA_URL, VIRGA_TOKEN, VIRGA_CA.\n");
    }
    buf_addf(out,
             "\n\"virga %s%s--help\" explains a command, with an "
             "example.\n",
             group ? group : "COMMAND", group ? " VERB " : " ");
}

int
cmd_help(struct cli *c)
{
    const char *group = c->line.args[0].text, *verb = c->line.args[1].text;
    struct buf out _cleanup_(buf_release) = {0};

    if (group && !cli_group_known(group)) {
        const char *near = cli_suggest(group, NULL);

        return cli_fail(c, EXIT_USAGE, "usage",
                        "there is no command \"%.100s\"%s%s%s", group,
                        near ? "; did you mean \"" : "", near ? near : "",
                        near ? "\"?" : "");
    }
    if (verb && cli_half_known(group, verb))
        verb = NULL; /* it takes one more word; the group tells them */
    if (verb && !cli_cmd_find(group, verb))
        return cli_fail(c, EXIT_USAGE, "usage",
                        "there is no command \"%s %.100s\"", group, verb);
    cli_help(group, verb, &out);
    fputs(buf_str(&out), stdout);
    return EXIT_OK;
}
