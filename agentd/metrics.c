/* metrics.c - GET /metrics: what the agent counts and what its VMs use, in
 * OpenMetrics 1.0 text, over plain HTTP on a loopback address. No tenant's
 * data is in it but ids. */
#include <config.h>

#include <malloc.h>

#include "agentd/agent.h"
#include "api/http.h"
#include "common/clock.h"
#include "common/count.h"
#include "common/mem.h"
#include "common/metrics.h"

#define MAX_CONNECTIONS 16
#define IDLE_S 10

static void
one_counter(const char *name, uint64_t value, void *arg)
{
    char label[96];

    snprintf(label, sizeof(label), "event=\"%s\"", name);
    metrics_sample(arg, "virga_agent_events", "_total", label, value);
}

static void
write_agent(struct buf *out)
{
    struct mallinfo2 mi = mallinfo2();

    metrics_gauge(out, "virga_agent_heap_bytes", "bytes",
                  "Memory that the agent has allocated.", mi.uordblks);
    metrics_family(out, METRICS_COUNTER, "virga_agent_events", NULL,
                   "How often a branch was taken, most of them rare.");
    count_each(one_counter, out);
}

static void
refuse(struct http_req *rq, int status, const char *text)
{
    rq->status = status;
    rq->content_type = "text/plain; charset=utf-8";
    buf_adds(&rq->reply, text);
}

static void
begin(struct http_req *rq, void *arg)
{
    if (!streq(rq->path, "/metrics")) {
        refuse(rq, 404, "only /metrics is here\n");
    } else if (!streq(rq->method, "GET") && !streq(rq->method, "HEAD")) {
        http_add_header(rq, "Allow", "GET, HEAD");
        refuse(rq, 405, "GET only\n");
    }
}

static enum http_next
handle(struct http_req *rq, void *arg)
{
    struct agent *a = arg;
    struct err e _cleanup_(err_release) = {0};

    write_agent(&rq->reply);
    if (hv_metrics(a->hv, &rq->reply, &e) < 0) {
        COUNT(agent_metrics_failed);
        log_limited(LOG_LEVEL_WARN, "cannot measure the VMs", "error=\"%s\"",
                    e.message);
        buf_clear(&rq->reply);
        refuse(rq, 503, "the VMs cannot be measured\n");
        return HTTP_REPLY;
    }
    metrics_end(&rq->reply);
    rq->content_type = metrics_negotiate(http_header(rq, "Accept"), &rq->reply);
    rq->status = 200;
    return HTTP_REPLY;
}

static void
end(struct http_req *rq, void *arg)
{
}

int
metrics_start(struct agent *a, struct http_server **ret, struct err *reterr)
{
    static const struct http_ops ops = {
        .begin = begin, .handle = handle, .end = end};
    struct http_config cfg = {
        .listen = a->cfg.metrics_listen,
        .threads = 1,
        .max_connections = MAX_CONNECTIONS,
        .idle_timeout_s = IDLE_S,
        .ops = &ops,
        .arg = a,
    };
    int r;

    *ret = NULL;
    if (!cfg.listen || !*cfg.listen)
        return 0;
    r = http_start(&cfg, ret, reterr);
    if (r < 0) {
        err_prefix(reterr, "metrics-listen");
        return r;
    }
    log_info("serving metrics", "port=%u", http_port(*ret));
    return 0;
}
