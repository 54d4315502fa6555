/* complete.c - candidates for the shell's completion, from the command table.
 * `virga __complete WORDS…` prints them; the shell filters by prefix. Names
 * of resources are asked from the controller, briefly and silently: a shell
 * must never hang or print errors because somebody pressed Tab. */
#include <config.h>

#include <string.h>

#include "cli/cli.h"
#include "common/mem.h"

#define ASK_TIMEOUT_MS 2000
#define NAMES_MAX 1000

/* What the words before the last one amount to. */
struct place {
    const struct cli_cmd *cmd;
    const char *group, *half;
    size_t n_args;
    const struct cli_opt *pending; /* an option that waits for its value */
};

static const struct cli_opt *
find_opt(const struct cli_cmd *cmd, const char *word)
{
    const struct cli_opt *lists[] = {cmd ? cmd->opts : NULL, cli_globals};

    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        for (const struct cli_opt *o = lists[i]; o && o->name; o++)
            if ((word[1] == '-' && streq(word + 2, o->name)) ||
                (o->letter && word[1] == o->letter && !word[2]))
                return o;
    return NULL;
}

static void
walk(char *const *words, size_t n, struct place *p)
{
    for (size_t i = 0; i + 1 < n; i++) {
        const char *w = words[i];

        if (p->pending) {
            p->pending = NULL;
        } else if (w[0] == '-') {
            const struct cli_opt *o = find_opt(p->cmd, w);

            p->pending = o && o->type != ARG_FLAG ? o : NULL;
        } else if (!p->group) {
            p->group = w;
            p->cmd = cli_cmd_find(w, NULL);
        } else if (!p->cmd && p->half) {
            p->cmd = cli_cmd_find_two(p->group, p->half, w);
        } else if (!p->cmd) {
            p->cmd = cli_cmd_find(p->group, w);
            if (!p->cmd && cli_half_known(p->group, w))
                p->half = w;
        } else {
            p->n_args++;
        }
    }
}

static void
add_opts(const struct cli_opt *opts, struct buf *out)
{
    for (const struct cli_opt *o = opts; o && o->name; o++)
        buf_addf(out, "--%s\n", o->name);
}

static void
add_commands(const struct place *p, struct buf *out)
{
    const char *last = NULL;
    size_t n = p->half ? strlen(p->half) + 1 : 0;

    for (const struct cli_cmd *k = cli_cmds; k->group; k++) {
        if (k->hidden)
            continue;
        if (p->group) {
            /* One word of the verb; a first one that several have, once. */
            if (k->verb && streq(k->group, p->group) &&
                (!n || (!strncmp(k->verb, p->half, n - 1) &&
                        k->verb[n - 1] == ' '))) {
                size_t len = strcspn(k->verb + n, " ");

                if (!last || strncmp(last, k->verb + n, len + 1) != 0)
                    buf_addf(out, "%.*s\n", (int)len, k->verb + n);
                last = k->verb + n;
            }
        } else if (!streq(last, k->group)) {
            buf_addf(out, "%s\n", k->group);
            last = k->group;
        }
    }
}

void
cli_complete(char *const *words, size_t n, struct cli_candidates *ret)
{
    struct place p = {0};
    const char *typed = n ? words[n - 1] : "";

    *ret = (struct cli_candidates){.names = NO_NAMES};
    walk(words, n, &p);
    if (p.pending) {
        for (size_t i = 0; p.pending->choices && p.pending->choices[i]; i++)
            buf_addf(&ret->words, "%s\n", p.pending->choices[i]);
        ret->names = p.pending->names;
        ret->files = p.pending->type == ARG_FILE;
    } else if (typed[0] == '-') {
        add_opts(p.cmd ? p.cmd->opts : NULL, &ret->words);
        add_opts(cli_globals, &ret->words);
    } else if (!p.cmd) {
        add_commands(&p, &ret->words);
    } else if (p.n_args < CLI_ARGS_MAX) {
        ret->names = p.cmd->args[p.n_args].names;
    }
}

/* The names of a list, one per line; nothing when they cannot be had. */
static void
add_names(struct cli *c, enum api_route_id list, struct buf *out)
{
    const struct codec_table *t = api_routes[list].out;
    const struct codec_field *name = codec_field_find(t, "name");
    struct cli_listing l = {0};

    c->timeout_ms = ASK_TIMEOUT_MS;
    c->retries = 0;
    if (!name || cli_list_fetch(c, list, NULL, NAMES_MAX, &l) != EXIT_OK) {
        cli_fault_clear(c);
        return;
    }
    for (size_t i = 0; i < l.items.n; i++)
        if (codec_field_text(name, (char *)l.items.items + i * t->size, out))
            buf_addc(out, '\n');
    cli_listing_release(t, &l);
}

int
cmd_complete(struct cli *c)
{
    struct cli_candidates found;

    cli_complete(c->line.rest, c->line.n_rest, &found);
    if (found.names != NO_NAMES)
        add_names(c, found.names, &found.words);
    if (found.files)
        fputs("@files\n", stdout);
    fputs(buf_str(&found.words), stdout);
    buf_release(&found.words);
    return EXIT_OK;
}
