/* figures.c - requests by route; see figures.h. */
#include <config.h>

#include "controllerd/figures.h"

#include "common/clock.h"
#include "common/metrics.h"

#define CLASSES 5 /* 1xx to 5xx */
#define NO_ROUTE N_ROUTES

static struct {
    _Atomic uint64_t replies[CLASSES];
    struct metrics_hist time;
} routes[N_ROUTES + 1];
static _Atomic uint64_t agents;

void
figures_begun(struct call *c)
{
    if (c->m.route->id != ROUTE_AGENT_DESIRED)
        return;
    c->polls = true;
    atomic_fetch_add_explicit(&agents, 1, memory_order_relaxed);
}

void
figures_replied(struct call *c)
{
    const struct api_route *r = c->m.route;
    size_t at = r->path ? (size_t)r->id : NO_ROUTE;
    int class = c->rq->status / 100 - 1;

    if (class >= 0 && class < CLASSES)
        atomic_fetch_add_explicit(&routes[at].replies[class], 1,
                                  memory_order_relaxed);
    /* What was asked to wait says nothing of how quick we are. */
    if (!c->deadline_us)
        metrics_observe(&routes[at].time, clock_mono_us() - c->begun_us);
}

void
figures_ended(struct call *c)
{
    if (c->polls)
        atomic_fetch_sub_explicit(&agents, 1, memory_order_relaxed);
}

uint64_t
figures_agents(void)
{
    return atomic_load_explicit(&agents, memory_order_relaxed);
}

static void
route_label(size_t at, char out[128])
{
    if (at == NO_ROUTE)
        snprintf(out, 128, "route=\"none\"");
    else
        snprintf(out, 128, "route=\"%s %s\"", api_routes[at].method,
                 api_routes[at].path);
}

void
figures_requests(struct buf *out)
{
    char route[128], labels[160];

    metrics_family(
        out, METRICS_COUNTER, "virga_http_requests", NULL,
        "Requests that were answered, by route and class of status.");
    for (size_t i = 0; i <= N_ROUTES; i++) {
        route_label(i, route);
        for (int k = 0; k < CLASSES; k++) {
            uint64_t n = atomic_load_explicit(&routes[i].replies[k],
                                              memory_order_relaxed);

            if (n == 0)
                continue;
            snprintf(labels, sizeof(labels), "%s,class=\"%dxx\"", route, k + 1);
            metrics_sample(out, "virga_http_requests", "_total", labels, n);
        }
    }
    metrics_family(out, METRICS_HISTOGRAM, "virga_http_request_seconds",
                   "seconds",
                   "From the head of a request to its reply, by route; without "
                   "those that asked to wait.");
    for (size_t i = 0; i <= N_ROUTES; i++) {
        if (metrics_hist_count(&routes[i].time) == 0)
            continue;
        route_label(i, route);
        metrics_hist(out, "virga_http_request_seconds", route, &routes[i].time);
    }
}
