/* main.c - `virga`, the command of tenants and operators: reads the line,
 * runs the command, reports once what went wrong. */
#include <config.h>

#include <locale.h>
#include <signal.h>
#include <string.h>

#include "cli/cli.h"
#include "common/log.h"

/* Output that could not be written is a failure, except that a reader who
 * left (| head) needs no message. */
static int
finish_output(struct cli *c, int rc)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return rc;
    if (errno == EPIPE)
        return rc == EXIT_OK ? EXIT_FAILED : rc;
    if (rc != EXIT_OK)
        return rc;
    rc = cli_fail(c, EXIT_FAILED, "output", "standard output: %s",
                  strerror(errno));
    return rc;
}

/* --help, --version, a line without a command. True: all is done. */
static bool
handle_help(struct cli *c, int *rc)
{
    const struct cli_line *line = &c->line;
    bool asked = line->globals[GLOBAL_HELP].set;
    struct buf out _cleanup_(buf_release) = {0};

    if (line->globals[GLOBAL_VERSION].set) {
        puts("virga " VERSION);
        return true;
    }
    if (line->cmd && !asked)
        return false;
    cli_help(line->group, line->cmd ? line->cmd->verb : NULL, &out);
    fputs(buf_str(&out), asked ? stdout : stderr);
    *rc = asked ? EXIT_OK : EXIT_USAGE;
    return true;
}

int
main(int argc, char *argv[])
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct buf report _cleanup_(buf_release) = {0};
    struct err err _cleanup_(err_release) = {0};
    struct cli c = {0};
    int rc = EXIT_OK;

    setlocale(LC_CTYPE, "");
    tzset();
    log_setup("virga", LOG_LEVEL_ERROR);
    sigaction(SIGPIPE, &ignore, NULL); /* writes report it instead */
    if (cli_parse(argc, argv, &c.line, &err) < 0) {
        rc = cli_fail(&c, EXIT_USAGE, "usage", "%s", err.message);
    } else if (!handle_help(&c, &rc)) {
        rc = cli_setup(&c);
        if (rc == EXIT_OK)
            rc = c.line.cmd->run(&c);
    }
    rc = finish_output(&c, rc);
    if (c.fault.exit) {
        cli_report(&c, &report);
        fputs(buf_str(&report), stderr);
    }
    cli_release(&c);
    return rc;
}
