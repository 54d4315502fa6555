/* args.c - reads a command line by the command table; see args.h. */
#include <config.h>

#include "cli/args.h"

#include <assert.h>
#include <string.h>

#include "api/codec.h"
#include "common/clock.h"
#include "common/conf.h"
#include "common/id.h"
#include "common/mem.h"

const char *const cli_format_names[] = {"table", "json", "yaml", "csv", NULL};

const struct cli_opt cli_globals[N_GLOBALS + 1] = {
    [GLOBAL_OUTPUT] = {.name = "output",
                       .letter = 'o',
                       .type = ARG_CHOICE,
                       .metavar = "FORMAT",
                       .choices = cli_format_names,
                       .doc = "table (default), json, yaml or csv"},
    [GLOBAL_URL] = {.name = "url",
                    .type = ARG_TEXT,
                    .metavar = "URL",
                    .doc = "the controller [VIRGA_URL or "
                           "https://127.0.0.1:8443]"},
    [GLOBAL_CA] = {.name = "ca",
                   .type = ARG_FILE,
                   .metavar = "FILE",
                   .doc = "trust this CA only [VIRGA_CA or the system's]"},
    [GLOBAL_TOKEN_FILE] = {.name = "token-file",
                           .type = ARG_FILE,
                           .metavar = "FILE",
                           .doc = "read the token here, not in VIRGA_TOKEN"},
    [GLOBAL_TIMEOUT] = {.name = "timeout",
                        .type = ARG_DURATION,
                        .metavar = "TIME",
                        .doc = "longest time of one request [30s]"},
    [GLOBAL_DEBUG] = {.name = "debug",
                      .type = ARG_FLAG,
                      .doc = "show the HTTP on standard error"},
    [GLOBAL_HELP] = {.name = "help",
                     .letter = 'h',
                     .type = ARG_FLAG,
                     .doc = "explain the command and end"},
    [GLOBAL_VERSION] = {.name = "version",
                        .type = ARG_FLAG,
                        .doc = "print the version and end"},
    [N_GLOBALS] = {.name = NULL},
};

static int parse_instant(enum cli_type type, const char *text, int64_t *ret);
static int parse_number(enum cli_type type, const char *text, int64_t *ret);

const struct cli_cmd *
cli_cmd_find(const char *group, const char *verb)
{
    for (const struct cli_cmd *k = cli_cmds; k->group; k++)
        if (streq(k->group, group) && streq(k->verb, verb))
            return k;
    return NULL;
}

bool
cli_group_known(const char *group)
{
    for (const struct cli_cmd *k = cli_cmds; k->group; k++)
        if (streq(k->group, group))
            return true;
    return false;
}

size_t
cli_distance(const char *a, const char *b)
{
    enum { MAX = 32 };
    size_t na = strlen(a), nb = strlen(b);
    size_t d[MAX + 1][MAX + 1];

    if (na > MAX || nb > MAX)
        return MAX;
    for (size_t i = 0; i <= na; i++)
        d[i][0] = i;
    for (size_t j = 0; j <= nb; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= na; i++) {
        for (size_t j = 1; j <= nb; j++) {
            size_t best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

            best = MIN(best, d[i - 1][j] + 1);
            best = MIN(best, d[i][j - 1] + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = MIN(best, d[i - 2][j - 2] + 1);
            d[i][j] = best;
        }
    }
    return d[na][nb];
}

/* Keeps word in *best when it is nearer than what was there. */
static void
consider(const char *typed, const char *word, const char **best, size_t *dist)
{
    size_t n = cli_distance(typed, word);

    if (n < *dist) {
        *dist = n;
        *best = word;
    }
}

/* How far a word may be off and still be meant: more in longer ones. */
static size_t
reach(const char *word)
{
    return 2 + strlen(word) / 4;
}

const char *
cli_suggest(const char *word, const char *group)
{
    const char *best = NULL;
    size_t dist = reach(word);

    for (const struct cli_cmd *k = cli_cmds; k->group; k++) {
        if (k->hidden)
            continue;
        if (!group)
            consider(word, k->group, &best, &dist);
        else if (streq(k->group, group) && k->verb)
            consider(word, k->verb, &best, &dist);
    }
    return best;
}

static const char *
suggest_opt(const char *word, const struct cli_cmd *cmd)
{
    const char *best = NULL;
    size_t dist = reach(word);

    for (const struct cli_opt *o = cmd ? cmd->opts : NULL; o && o->name; o++)
        consider(word, o->name, &best, &dist);
    for (const struct cli_opt *o = cli_globals; o->name; o++)
        consider(word, o->name, &best, &dist);
    return best;
}

int
cli_value_parse(enum cli_type type, const char *const *choices,
                const char *what, const char *text, struct cli_value *v,
                struct err *reterr)
{
    const char *wanted = NULL;
    int64_t num = 0;
    int r = 0;

    switch (type) {
    case ARG_FLAG:
        num = 1;
        break;
    case ARG_TEXT:
    case ARG_FILE:
        if (!*text)
            wanted = "a text that is not empty";
        break;
    case ARG_REF:
        if (!id_valid(text) && !id_name_valid(text))
            wanted = "a name (a-z, 0-9 and -, up to 63) or an id";
        break;
    case ARG_ID:
        if (!id_valid(text))
            wanted = "an id (a UUID)";
        break;
    case ARG_INT:
        r = parse_number(type, text, &num);
        wanted = r < 0 ? "a number" : NULL;
        break;
    case ARG_SIZE:
        r = parse_number(type, text, &num);
        wanted = r < 0 ? "a size such as 512M or 10G" : NULL;
        break;
    case ARG_DURATION:
        r = parse_number(type, text, &num);
        wanted = r < 0 ? "a duration such as 30s, 10m or 30d" : NULL;
        break;
    case ARG_INSTANT:
    case ARG_EXPIRY:
        r = parse_instant(type, text, &num);
        wanted = r < 0 ? "a time such as 2026-11-22T16:30:00Z, a date, or a "
                         "duration such as 24h"
                       : NULL;
        break;
    case ARG_CHOICE:
        num = codec_enum_parse(choices, text);
        wanted = num < 0 ? "one of:" : NULL;
        break;
    }
    if (wanted) {
        char *list _cleanup_(freep) = NULL;
        struct buf b = {0};

        for (size_t i = 0; num < 0 && choices && choices[i]; i++)
            buf_addf(&b, " %s", choices[i]);
        list = buf_take(&b);
        return err_set(reterr, -EINVAL, "usage", "%s: \"%.100s\" is not %s%s",
                       what, text, wanted, list);
    }
    *v =
        (struct cli_value){.set = true, .type = type, .text = text, .num = num};
    return 0;
}

static int
parse_number(enum cli_type type, const char *text, int64_t *ret)
{
    char *end;

    if (type == ARG_SIZE)
        return conf_parse_size(text, ret);
    if (type == ARG_DURATION)
        return clock_parse_duration(text, ret);
    if (*text < '0' || *text > '9')
        return -EINVAL;
    errno = 0;
    *ret = strtoll(text, &end, 10);
    return *end || errno ? -EINVAL : 0;
}

static int
parse_instant(enum cli_type type, const char *text, int64_t *ret)
{
    int64_t span;

    if (clock_parse(text, ret) == 0)
        return 0;
    if (strlen(text) == 10) {
        char *full _cleanup_(freep) = xasprintf("%sT00:00:00Z", text);

        return clock_parse(full, ret);
    }
    if (clock_parse_duration(text, &span) < 0)
        return -EINVAL;
    *ret = clock_now_us() + (type == ARG_EXPIRY ? span : -span);
    return 0;
}

static const struct cli_opt *
opt_by_name(const struct cli_opt *opts, const char *name, size_t len)
{
    for (const struct cli_opt *o = opts; o && o->name; o++)
        if (strlen(o->name) == len && memcmp(o->name, name, len) == 0)
            return o;
    return NULL;
}

static const struct cli_opt *
opt_by_letter(const struct cli_opt *opts, char letter)
{
    for (const struct cli_opt *o = opts; o && o->name; o++)
        if (o->letter && o->letter == letter)
            return o;
    return NULL;
}

/* Where the option's value goes. */
static struct cli_value *
slot_of(struct cli_line *line, const struct cli_opt *o)
{
    if (o >= cli_globals && o < cli_globals + N_GLOBALS)
        return &line->globals[o - cli_globals];
    return &line->opts[o - line->cmd->opts];
}

/* Reads the option at argv[*i]; moves *i on when its value is the next word. */
static int
take_option(int argc, char *const *argv, int *i, struct cli_line *line,
            struct err *reterr)
{
    const char *word = argv[*i], *value = NULL;
    const struct cli_opt *own = line->cmd ? line->cmd->opts : NULL;
    const struct cli_opt *o;

    if (word[1] == '-') {
        size_t len = strcspn(word + 2, "=");

        o = opt_by_name(own, word + 2, len);
        if (!o)
            o = opt_by_name(cli_globals, word + 2, len);
        if (o && word[2 + len] == '=')
            value = word + 2 + len + 1;
    } else {
        o = opt_by_letter(own, word[1]);
        if (!o)
            o = opt_by_letter(cli_globals, word[1]);
        if (o && word[2])
            value = word + 2;
    }
    if (!o) {
        const char *near =
            word[1] == '-' ? suggest_opt(word + 2, line->cmd) : NULL;

        return err_set(
            reterr, -EINVAL, "usage", "there is no option \"%.100s\"%s%s%s%s",
            word, line->cmd ? "" : " in front of the command",
            near ? "; did you mean --" : "", near ? near : "", near ? "?" : "");
    }
    char *what _cleanup_(freep) = xasprintf("--%s", o->name);
    if (o->type == ARG_FLAG && value)
        return err_set(reterr, -EINVAL, "usage", "%s takes no value", what);
    if (o->type != ARG_FLAG && !value) {
        if (*i + 1 >= argc)
            return err_set(reterr, -EINVAL, "usage", "%s needs a value (%s)",
                           what, o->metavar);
        value = argv[++*i];
    }
    if (o->many) {
        if (line->n_many == CLI_MANY_MAX)
            return err_set(reterr, -EINVAL, "usage",
                           "%s is there too often (%d at most)", what,
                           CLI_MANY_MAX);
        line->many[line->n_many].opt = o;
        line->many[line->n_many++].text = value;
    }
    return cli_value_parse(o->type, o->choices, what, value ? value : "",
                           slot_of(line, o), reterr);
}

static int
unknown_word(const char *word, const char *group, struct err *reterr)
{
    const char *near = cli_suggest(word, group);

    return err_set(reterr, -EINVAL, "usage",
                   "there is no command \"%s%s%.100s\"%s%s%s%s%s",
                   group ? group : "", group ? " " : "", word,
                   near ? "; did you mean \"" : "", near && group ? group : "",
                   near && group ? " " : "", near ? near : "",
                   near ? "\"?" : "");
}

/* A word that is no option: the command's name first, then arguments. */
static int
take_word(const char *word, struct cli_line *line, size_t *n_args,
          struct err *reterr)
{
    const struct cli_arg *a;

    if (!line->cmd && !line->group) {
        if (!cli_group_known(word))
            return unknown_word(word, NULL, reterr);
        line->cmd = cli_cmd_find(word, NULL);
        line->group = word;
        return 0;
    }
    if (!line->cmd) {
        line->cmd = cli_cmd_find(line->group, word);
        return line->cmd ? 0 : unknown_word(word, line->group, reterr);
    }
    a = &line->cmd->args[*n_args];
    if (!a->metavar)
        return err_set(reterr, -EINVAL, "usage",
                       "\"%.100s\" is one argument too many", word);
    return cli_value_parse(a->type, NULL, a->metavar, word,
                           &line->args[(*n_args)++], reterr);
}

/* What is missing, once all was read. */
static int
check_complete(const struct cli_line *line, size_t n_args, struct err *reterr)
{
    const struct cli_cmd *k = line->cmd;

    if (k->args[n_args].metavar && !k->args[n_args].optional)
        return err_set(reterr, -EINVAL, "usage", "%s is missing",
                       k->args[n_args].metavar);
    for (size_t i = 0; k->opts && k->opts[i].name; i++)
        if (k->opts[i].required && !line->opts[i].set)
            return err_set(reterr, -EINVAL, "usage", "--%s %s is missing",
                           k->opts[i].name, k->opts[i].metavar);
    return 0;
}

int
cli_parse(int argc, char *const *argv, struct cli_line *ret, struct err *reterr)
{
    struct cli_line line = {0};
    bool words_only = false;
    size_t n_args = 0;
    int r = 0;

    for (int i = 1; i < argc && r == 0; i++) {
        const char *word = argv[i];

        if (line.cmd && line.cmd->hidden) {
            line.rest = argv + i;
            line.n_rest = (size_t)(argc - i);
            break;
        }
        if (!words_only && streq(word, "--"))
            words_only = true;
        else if (!words_only && word[0] == '-' && word[1])
            r = take_option(argc, argv, &i, &line, reterr);
        else
            r = take_word(word, &line, &n_args, reterr);
    }
    if (line.globals[GLOBAL_OUTPUT].set)
        line.format = (enum cli_format)line.globals[GLOBAL_OUTPUT].num;
    /* Somebody who asks for help may have half a line only. */
    if (r == 0 && line.cmd && !line.globals[GLOBAL_HELP].set &&
        !line.globals[GLOBAL_VERSION].set)
        r = check_complete(&line, n_args, reterr);
    *ret = line; /* even then: the report names the command */
    return r;
}

const struct cli_value *
cli_opt(const struct cli_line *line, const char *name)
{
    const struct cli_opt *o = opt_by_name(line->cmd->opts, name, strlen(name));

    assert(o);
    return &line->opts[o - line->cmd->opts];
}

int64_t
cli_opt_num(const struct cli_line *line, const char *name, int64_t dflt)
{
    const struct cli_value *v = cli_opt(line, name);

    return v->set ? v->num : dflt;
}

const char *
cli_opt_text(const struct cli_line *line, const char *name)
{
    const struct cli_value *v = cli_opt(line, name);

    return v->set ? v->text : NULL;
}

const char *
cli_opt_nth(const struct cli_line *line, const char *name, size_t i)
{
    const struct cli_opt *o = opt_by_name(line->cmd->opts, name, strlen(name));

    assert(o && o->many);
    for (size_t k = 0; k < line->n_many; k++)
        if (line->many[k].opt == o && i-- == 0)
            return line->many[k].text;
    return NULL;
}
