/* cli/args.h - the command table's shape and the parser that reads by it.
 * Role:      one table (cli_cmds) drives parsing, --help and completion.
 * Ownership: tables are constant; a parsed line points into argv.
 * Threads:   reentrant.
 * Errors:    -EINVAL; reterr says what is wrong with the line, and the
 *            nearest word when one is misspelt. */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/routes.h"
#include "common/buf.h"
#include "common/err.h"

enum cli_type {
    ARG_FLAG,
    ARG_TEXT,
    ARG_REF,      /* name or id */
    ARG_ID,       /* id only */
    ARG_INT,      /* not negative */
    ARG_SIZE,     /* bytes: 512M */
    ARG_DURATION, /* microseconds: 10m */
    ARG_INSTANT,  /* microseconds since 1970: RFC 3339, a date, or 24h ago */
    ARG_EXPIRY,   /* the same, but a duration counts from now on */
    ARG_FILE,
    ARG_CHOICE,
};

/* Completion asks this route for names; 0 (healthz) is none. */
#define NO_NAMES ROUTE_HEALTHZ

struct cli_opt {
    const char *name; /* without dashes; NULL ends the list */
    char letter;      /* or 0 */
    enum cli_type type;
    bool required;
    bool many; /* may be given again and again; see cli_opt_nth() */
    const char *metavar;
    const char *field; /* of the request's table, or NULL */
    const char *const *choices;
    enum api_route_id names;
    const char *doc;
};

struct cli_arg {
    const char *metavar; /* NULL ends the list */
    enum cli_type type;
    bool optional;
    const char *field;
    enum api_route_id names;
};

#define CLI_ARGS_MAX 2
#define CLI_OPTS_MAX 16
#define CLI_MANY_MAX 80

struct cli;

struct cli_cmd {
    const char *group, *verb; /* verb NULL: the group is the command */
    struct cli_arg args[CLI_ARGS_MAX + 1];
    const struct cli_opt *opts; /* or NULL */
    int (*run)(struct cli *c);
    enum api_route_id route;
    bool hidden;
    const char *summary;
    const char *example; /* lines without the leading blanks */
};

struct cli_value {
    bool set;
    enum cli_type type;
    const char *text;
    int64_t num;
};

enum cli_format { OUT_TABLE, OUT_JSON, OUT_YAML, OUT_CSV };

/* Options that stand anywhere on the line. */
enum cli_global {
    GLOBAL_OUTPUT,
    GLOBAL_URL,
    GLOBAL_CA,
    GLOBAL_TOKEN_FILE,
    GLOBAL_TIMEOUT,
    GLOBAL_DEBUG,
    GLOBAL_HELP,
    GLOBAL_VERSION,
    N_GLOBALS,
};

struct cli_line {
    const struct cli_cmd *cmd; /* NULL: none was given */
    const char *group;         /* "virga instance --help": a group alone */
    struct cli_value args[CLI_ARGS_MAX];
    struct cli_value opts[CLI_OPTS_MAX]; /* in the order of cmd->opts */
    struct cli_value globals[N_GLOBALS];
    /* Every value of options with `many`, as they came. */
    struct {
        const struct cli_opt *opt;
        const char *text;
    } many[CLI_MANY_MAX];
    size_t n_many;
    enum cli_format format;
    char *const *rest; /* hidden commands: the words as they came */
    size_t n_rest;
};

extern const struct cli_cmd cli_cmds[]; /* group NULL ends it */
extern const struct cli_opt cli_globals[N_GLOBALS + 1];
extern const char *const cli_format_names[];

int cli_parse(int argc, char *const *argv, struct cli_line *ret,
              struct err *reterr) _must_check_;
/* The option of this command; an unknown name is a bug. */
const struct cli_value *cli_opt(const struct cli_line *line, const char *name);
/* Its number, or dflt when it was not given. */
int64_t cli_opt_num(const struct cli_line *line, const char *name,
                    int64_t dflt);
const char *cli_opt_text(const struct cli_line *line, const char *name);
/* The i-th value of an option that may be given more than once, or NULL. */
const char *cli_opt_nth(const struct cli_line *line, const char *name,
                        size_t i);
/* Fills v from text by its type. what names it in errors. */
int cli_value_parse(enum cli_type type, const char *const *choices,
                    const char *what, const char *text, struct cli_value *v,
                    struct err *reterr) _must_check_;

const struct cli_cmd *cli_cmd_find(const char *group, const char *verb);
bool cli_group_known(const char *group);
/* The nearest of the commands' words, or NULL. group NULL: of the groups. */
const char *cli_suggest(const char *word, const char *group);
/* Edits (insert, delete, replace, swap) between two words. */
size_t cli_distance(const char *a, const char *b);

/* ---- cli/help.c ---- */

/* group NULL: everything; verb NULL: the group or the single command. */
void cli_help(const char *group, const char *verb, struct buf *out);

/* ---- cli/complete.c ---- */

struct cli_candidates {
    struct buf words;        /* one per line */
    enum api_route_id names; /* and the names of this list, unless NO_NAMES */
    bool files;              /* and file names */
};

/* words: what stands after `virga`; the last one is being typed. */
void cli_complete(char *const *words, size_t n, struct cli_candidates *ret);

#endif
