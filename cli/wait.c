/* wait.c - waiting for operations, with progress on standard error. */
#include <config.h>

#include <poll.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/text.h"
#include "common/clock.h"
#include "common/mem.h"

/* On a terminal the step is looked up more often, so that it is seen. */
#define POLL_TERMINAL_MS 3000
#define POLL_MS 30000
#define OUTAGE_MAX_US (60 * US_PER_S)
#define OUTAGE_PAUSE_MS 1000

/* ---- progress ---- */

void
cli_progress_begin(struct cli_progress *p)
{
    *p = (struct cli_progress){.terminal = isatty(STDERR_FILENO)};
}

void
cli_progress_show(struct cli_progress *p, const char *text)
{
    struct buf clean _cleanup_(buf_release) = {0};

    text_clean(text, &clean);
    if (p->terminal)
        fprintf(stderr, "\r\033[K%s", buf_str(&clean));
    else
        fprintf(stderr, "%s\n", buf_str(&clean));
    p->shown = true;
}

void
cli_progress_end(struct cli_progress *p)
{
    if (p->terminal && p->shown)
        fputs("\r\033[K", stderr);
    p->shown = false;
}

/* ---- waiting ---- */

struct waiting {
    struct cli_progress progress;
    char *kind, *step;
    int64_t since_us;
};

static void
show_step(struct waiting *w)
{
    char *text _cleanup_(freep) =
        xasprintf("%s: %s (%llds)", w->kind ? w->kind : "operation",
                  w->step ? w->step : "waiting",
                  (long long)((clock_mono_us() - w->since_us) / US_PER_S));

    cli_progress_show(&w->progress, text);
}

/* Called by the client about once a second while a request runs. */
static void
on_tick(int64_t done, int64_t total, void *arg)
{
    struct waiting *w = arg;

    if (w->progress.terminal && w->kind)
        show_step(w);
}

static int
ask(struct cli *c, const char *id, int64_t left_us, struct waiting *w,
    struct httpc_reply *ret)
{
    int64_t hold_ms = w->progress.terminal ? POLL_TERMINAL_MS : POLL_MS;
    char query[40];

    if (!w->kind || left_us < 0)
        hold_ms = 0; /* first of all: what is it? */
    else
        hold_ms = MIN(hold_ms, left_us / 1000);
    snprintf(query, sizeof(query), "?wait=%lldms", (long long)hold_ms);
    char *path _cleanup_(freep) = cli_path(ROUTE_OPERATION_SHOW, id, query);
    struct httpc_request rq = HTTPC_REQUEST("GET", path);
    rq.timeout_ms = hold_ms + c->timeout_ms;
    rq.progress = on_tick;
    rq.progress_arg = w;
    return cli_call(c, &rq, ret);
}

/* Turns an operation that ended badly into the fault. */
static int
judge(struct cli *c, const struct api_operation *op)
{
    if (op->state == OP_SUCCEEDED)
        return EXIT_OK;
    if (op->state == OP_CANCELLED)
        return cli_fail(c, EXIT_FAILED, "cancelled",
                        "%s was cancelled (operation %s)",
                        op->kind ? op->kind : "the operation", op->id);
    return cli_fail(
        c, EXIT_FAILED,
        op->problem && op->problem->code ? op->problem->code : "failed",
        "%s failed: %s (operation %s)", op->kind ? op->kind : "the operation",
        op->problem && op->problem->message ? op->problem->message
                                            : "no reason was given",
        op->id);
}

/* Whether to go on after a request that failed: an outage is waited out. */
static bool
ride_over(struct cli *c, int rc, int64_t *outage_us)
{
    int64_t now = clock_mono_us();

    if (rc != EXIT_UNAVAILABLE || c->fault.err.number == -EACCES)
        return false;
    if (!*outage_us)
        *outage_us = now;
    if (now - *outage_us > OUTAGE_MAX_US)
        return false;
    poll(NULL, 0, OUTAGE_PAUSE_MS);
    return true;
}

static int
wait_loop(struct cli *c, const char *id, int64_t timeout_us, struct waiting *w,
          struct httpc_reply *ret)
{
    int64_t deadline = w->since_us + timeout_us, outage_us = 0;

    for (;;) {
        struct httpc_reply reply = {0};
        struct api_operation op = {0};
        int rc = ask(c, id, deadline - clock_mono_us(), w, &reply);

        if (rc != EXIT_OK) {
            if (clock_mono_us() < deadline && ride_over(c, rc, &outage_us))
                continue;
            return rc;
        }
        outage_us = 0;
        rc = cli_decode(c, &table_operation, &reply, &op);
        if (rc == EXIT_OK && op.state != OP_RUNNING) {
            rc = judge(c, &op);
            codec_clear(&table_operation, &op);
            if (rc == EXIT_OK)
                *ret = reply;
            else
                httpc_reply_release(&reply);
            return rc;
        }
        httpc_reply_release(&reply);
        if (rc != EXIT_OK)
            return rc;
        bool changed = !w->kind || !streq(w->step, op.step);
        xstrset(&w->kind, op.kind ? op.kind : "operation");
        xstrset(&w->step, op.step);
        codec_clear(&table_operation, &op);
        if (changed || w->progress.terminal)
            show_step(w);
        if (clock_mono_us() >= deadline)
            return cli_fail(c, EXIT_UNAVAILABLE, "wait_timeout",
                            "%s has not ended in time; it goes on: \"virga "
                            "operation wait %s\"",
                            w->kind, id);
    }
}

int
cli_wait_operation(struct cli *c, const char *id, int64_t timeout_us,
                   struct httpc_reply *ret)
{
    struct waiting w = {.since_us = clock_mono_us()};
    int rc;

    cli_progress_begin(&w.progress);
    rc = wait_loop(c, id, timeout_us, &w, ret);
    cli_progress_end(&w.progress);
    free(w.kind);
    free(w.step);
    return rc;
}

int
cmd_operation_wait(struct cli *c)
{
    struct httpc_reply reply = {0};
    int rc = cli_wait_operation(
        c, c->line.args[0].text,
        cli_opt_num(&c->line, "wait-timeout", CLI_WAIT_TIMEOUT_US), &reply);

    if (rc == EXIT_OK)
        rc = cli_print_object(c, &table_operation, &reply);
    httpc_reply_release(&reply);
    return rc;
}

int
cmd_instance_wait(struct cli *c)
{
    const char *ref = c->line.args[0].text;
    struct api_instance inst = {0};
    struct httpc_reply reply = {0};
    int rc = cli_get(c, ROUTE_INSTANCE_SHOW, ref, NULL, &inst);

    if (rc != EXIT_OK)
        return rc;
    if (inst.operation_id)
        rc = cli_wait_operation(
            c, inst.operation_id,
            cli_opt_num(&c->line, "wait-timeout", CLI_WAIT_TIMEOUT_US), &reply);
    httpc_reply_release(&reply);
    if (rc == EXIT_OK)
        rc = cli_route(c, ROUTE_INSTANCE_SHOW, inst.id, NULL, NULL, &reply);
    if (rc == EXIT_OK) {
        rc = cli_print_object(c, &table_instance, &reply);
    } else if (rc == EXIT_NOT_FOUND) {
        /* The operation was its deletion. */
        cli_fault_clear(c);
        cli_say(c, "instance %s is gone", ref);
        rc = EXIT_OK;
    }
    httpc_reply_release(&reply);
    codec_clear(&table_instance, &inst);
    return rc;
}
