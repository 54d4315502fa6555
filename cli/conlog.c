/* conlog.c - `virga instance log`: the serial console's log, whole, its tail,
 * or as it grows. To a pipe go the guest's own bytes; a terminal gets them
 * without what could steer it. */
#include <config.h>

#include <poll.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/text.h"
#include "common/fs.h"
#include "common/mem.h"

#define CHUNK_MAX (INT64_C(1) << 20) /* as much as the API gives at once */
#define POLL_MIN_MS 250              /* while there is news */
#define POLL_MAX_MS 2000

struct tail {
    struct cli *c;
    const char *ref;
    bool terminal;
    struct text_filter filter;
    int64_t next; /* first byte wanted; -1: the last `limit` bytes */
    int64_t end;  /* of the log, as of the last reply */
};

static bool
header_number(const struct httpc_reply *reply, const char *name, int64_t *ret)
{
    char text[32], *end;

    if (httpc_reply_header(reply, name, text, sizeof(text)) < 0)
        return false;
    errno = 0;
    *ret = strtoll(text, &end, 10);
    return end != text && !*end && !errno && *ret >= 0;
}

static int
emit(struct tail *t, const char *data, size_t n)
{
    struct buf clean _cleanup_(buf_release) = {0};
    int r;

    if (t->terminal) {
        text_filter(&t->filter, data, n, &clean);
        r = fs_write_all(STDOUT_FILENO, clean.data, clean.len);
    } else {
        r = fs_write_all(STDOUT_FILENO, data, n);
    }
    if (r < 0)
        return cli_fail(t->c, EXIT_FAILED, "output", "standard output: %s",
                        strerror(-r));
    return EXIT_OK;
}

/* One request; prints what came and moves on. */
static int
step(struct tail *t, int64_t limit, bool show)
{
    struct buf query _cleanup_(buf_release) = {0};
    struct httpc_reply reply = {0};
    int64_t offset, end;
    char number[24];
    int rc;

    if (t->next >= 0) {
        snprintf(number, sizeof(number), "%lld", (long long)t->next);
        cli_query_add(&query, "offset", number);
    }
    snprintf(number, sizeof(number), "%lld", (long long)limit);
    cli_query_add(&query, "limit", number);
    rc = cli_route(t->c, ROUTE_INSTANCE_CONSOLE_LOG, t->ref, buf_str(&query),
                   NULL, &reply);
    if (rc != EXIT_OK)
        return rc;
    if (!header_number(&reply, "Virga-Log-Offset", &offset) ||
        !header_number(&reply, "Virga-Log-End", &end)) {
        rc = cli_fail(t->c, EXIT_FAILED, "bad_reply",
                      "the reply does not say which bytes of the log it has");
    } else {
        if (show && t->next > 0 && offset > t->next)
            fprintf(stderr, "virga: %lld bytes are no longer kept\n",
                    (long long)(offset - t->next));
        t->next = offset + (int64_t)reply.body.len;
        t->end = end;
        if (show)
            rc = emit(t, buf_str(&reply.body), reply.body.len);
    }
    httpc_reply_release(&reply);
    return rc;
}

/* Goes to where the output begins. */
static int
seek(struct tail *t, const struct cli_value *tail)
{
    int rc;

    if (!tail->set) {
        t->next = 0; /* the reply begins with the oldest byte that is kept */
        return EXIT_OK;
    }
    t->next = -1;
    rc = step(t, 1, false); /* where is the end? */
    if (rc == EXIT_OK)
        t->next = MAX(t->end - tail->num, INT64_C(0));
    return rc;
}

static int
follow(struct tail *t)
{
    int64_t pause_ms = POLL_MIN_MS;
    bool told = false;

    for (;;) {
        int64_t before = t->next;
        int rc;

        poll(NULL, 0, (int)pause_ms);
        rc = step(t, CHUNK_MAX, true);
        if (rc == EXIT_UNAVAILABLE && t->c->fault.err.number != -EACCES) {
            if (!told)
                fprintf(stderr, "virga: %s; trying on\n",
                        t->c->fault.err.message);
            told = true;
            pause_ms = POLL_MAX_MS;
            continue;
        }
        if (rc != EXIT_OK)
            return rc;
        told = false;
        pause_ms = t->next > before ? POLL_MIN_MS
                                    : MIN(pause_ms * 2, (int64_t)POLL_MAX_MS);
    }
}

int
cmd_log(struct cli *c)
{
    struct tail t = {
        .c = c,
        .ref = c->line.args[0].text,
        .terminal = isatty(STDOUT_FILENO),
    };
    int rc = seek(&t, cli_opt(&c->line, "tail"));

    /* Up to the end as it was, or in a busy log for as long as bytes come. */
    while (rc == EXIT_OK) {
        int64_t before = t.next;

        rc = step(&t, CHUNK_MAX, true);
        if (rc == EXIT_OK && (t.next >= t.end || t.next == before))
            break;
    }
    if (rc == EXIT_OK && cli_opt(&c->line, "follow")->set)
        rc = follow(&t);
    return rc;
}

int
cmd_user_data(struct cli *c)
{
    struct tail t = {.c = c, .terminal = isatty(STDOUT_FILENO)};
    struct httpc_reply reply = {0};
    int rc = cli_route(c, ROUTE_INSTANCE_USER_DATA, c->line.args[0].text, NULL,
                       NULL, &reply);

    if (rc == EXIT_OK)
        rc = emit(&t, buf_str(&reply.body), reply.body.len);
    httpc_reply_release(&reply);
    return rc;
}
