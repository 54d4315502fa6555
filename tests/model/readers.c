/* readers.c - threads that only look; see readers.h. */
#include <config.h>

#include "tests/model/readers.h"

#include <stdatomic.h>
#include <string.h>

#include "common/mem.h"

#define READERS_MAX 8
#define TOKENS 8

struct reader {
    struct readers *all;
    pthread_t thread;
    unsigned dice;
};

struct readers {
    struct rig *rig;
    _Atomic bool stop;
    _Atomic int64_t calls;
    char tokens[TOKENS][TOKEN_TEXT_SIZE + 8];
    size_t n_tokens;
    struct reader r[READERS_MAX];
    int n;
};

static unsigned
roll(struct reader *r, unsigned n)
{
    r->dice = r->dice * 1664525 + 1013904223;
    return (r->dice >> 8) % n;
}

/* What needs no wait and names nothing that the run may change meanwhile. */
static const char *const paths[] = {
    "/v1/whoami",
    "/v1/instances?limit=1000",
    "/v1/instances?filter=state=running",
    "/v1/instances/web-1",
    "/v1/instances/web-2",
    "/v1/operations?limit=50",
    "/v1/operations?filter=stuck=true",
    "/v1/events?since=0&limit=200",
    "/v1/audit?limit=100",
    "/v1/usage",
    "/v1/nodes",
    "/v1/tokens",
    "/v1/users",
    "/v1/keypairs",
    "/v1/images",
    "/v1/flavors",
    "/v1/projects/acme/quota",
    "/v1/projects/acme/members",
    "/metrics",
};

static void *
reader_main(void *arg)
{
    struct reader *r = arg;
    struct readers *all = r->all;

    while (!atomic_load(&all->stop)) {
        const char *path = paths[roll(r, ARRAY_SIZE(paths))];
        struct rig_call *call = rig_call("GET", path);

        rig_header(call, "Authorization",
                   all->tokens[roll(r, (unsigned)all->n_tokens)]);
        rig_look(all->rig, call);
        if (call->status != 200 && call->status != 403 && call->status != 404) {
            printf("FAILED: GET %s beside it: %d %s\n", path, call->status,
                   buf_str(&call->body));
            _exit(1);
        }
        rig_call_free(call);
        atomic_fetch_add(&all->calls, 1);
    }
    return NULL;
}

struct readers *
readers_start(struct ctx *x, int n)
{
    struct readers *rs = n ? xnew(struct readers) : NULL;

    if (!rs)
        return NULL;
    rs->rig = &x->rig;
    for (size_t i = 0; i < x->c->n_actors && rs->n_tokens < TOKENS; i++)
        if (!x->c->actors[i].extra && !x->c->actors[i].user)
            snprintf(rs->tokens[rs->n_tokens++], sizeof(rs->tokens[0]),
                     "Bearer %s", x->c->actors[i].text);
    for (rs->n = 0; rs->n < MIN(n, READERS_MAX); rs->n++) {
        struct reader *r = &rs->r[rs->n];

        r->all = rs;
        r->dice = (unsigned)x->c->seed * 31 + (unsigned)rs->n;
        if (pthread_create(&r->thread, NULL, reader_main, r) != 0)
            cloud_fail(x, "no thread");
    }
    return rs;
}

int64_t
readers_stop(struct readers *rs)
{
    if (!rs)
        return 0;
    atomic_store(&rs->stop, true);
    for (int i = 0; i < rs->n; i++)
        pthread_join(rs->r[i].thread, NULL);
    int64_t n = rs->calls;
    free(rs);
    return n;
}
