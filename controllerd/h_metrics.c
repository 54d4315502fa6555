/* h_metrics.c - GET /metrics. Each scrape costs about a pass over an index of
 * the instances and over the operations that run; everything else is at hand.
 */
#include <config.h>

#include "controllerd/handlers.h"

#include <malloc.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "controllerd/events.h"
#include "controllerd/figures.h"
#include "controllerd/store/store_figures.h"

static void
one_counter(const char *name, uint64_t value, void *arg)
{
    char label[96];

    snprintf(label, sizeof(label), "event=\"%s\"", name);
    metrics_sample(arg, "virga_events", "_total", label, value);
}

static void
write_process(struct call *c, struct buf *out)
{
    struct mallinfo2 mi = mallinfo2();

    metrics_gauge(
        out, "virga_uptime_seconds", "seconds", "Since the controller started.",
        (uint64_t)((clock_mono_us() - c->ctl->started_mono_us) / US_PER_S));
    metrics_gauge(out, "virga_heap_bytes", "bytes",
                  "Memory that the controller has allocated.", mi.uordblks);
    metrics_family(out, METRICS_COUNTER, "virga_events", NULL,
                   "How often a branch was taken, most of them rare.");
    count_each(one_counter, out);
}

static void
write_traffic(struct call *c, struct buf *out)
{
    struct ctl *ctl = c->ctl;

    figures_requests(out);
    pthread_mutex_lock(&ctl->drain_lock);
    int64_t active = ctl->active;
    pthread_mutex_unlock(&ctl->drain_lock);
    metrics_gauge(out, "virga_http_requests_in_flight", NULL,
                  "Requests under way, with those that wait and streams.",
                  (uint64_t)active);
    metrics_counter(out, "virga_http_rate_limited", NULL,
                    "Requests refused because too many came.",
                    count_get("rate_limited"));
    metrics_counter(out, "virga_idempotent_replays", NULL,
                    "Replies given again for an Idempotency-Key.",
                    count_get("idempotency_replayed"));
    metrics_gauge(out, "virga_agents_connected", NULL,
                  "Agents that hold a poll for their desired state.",
                  figures_agents());
    metrics_gauge(out, "virga_event_streams", NULL,
                  "Streams of events that are open.",
                  (uint64_t)events_streams(ctl));
}

static uint64_t
size_of(const char *path)
{
    struct stat st;

    return stat(path, &st) < 0 ? 0 : (uint64_t)st.st_size;
}

static void
write_database(struct call *c, struct buf *out)
{
    char *wal _cleanup_(freep) = xasprintf("%s-wal", c->ctl->db_path);
    struct db_writer_figures w;

    db_writer_figures(c->ctl->writer, &w);
    metrics_gauge(out, "virga_db_size_bytes", "bytes", "Size of the database.",
                  size_of(c->ctl->db_path));
    metrics_gauge(out, "virga_db_wal_size_bytes", "bytes",
                  "Size of its write-ahead log.", size_of(wal));
    metrics_gauge(out, "virga_db_queued_writes", NULL,
                  "Writes that wait for their transaction.",
                  (uint64_t)w.queued);
    metrics_family(out, METRICS_HISTOGRAM, "virga_db_wait_seconds", "seconds",
                   "How long writes waited for their transaction.");
    metrics_hist(out, "virga_db_wait_seconds", NULL, w.wait);
    metrics_family(out, METRICS_HISTOGRAM, "virga_db_commit_seconds", "seconds",
                   "How long transactions of one or more writes took.");
    metrics_hist(out, "virga_db_commit_seconds", NULL, w.commit);
    metrics_family(out, METRICS_HISTOGRAM, "virga_db_checkpoint_seconds",
                   "seconds",
                   "How long copies of the write-ahead log into the database "
                   "took.");
    metrics_hist(out, "virga_db_checkpoint_seconds", NULL, &w.checkpoint->copy);
    metrics_family(out, METRICS_HISTOGRAM, "virga_db_checkpoint_hold_seconds",
                   "seconds", "How long writes were held up for one.");
    metrics_hist(out, "virga_db_checkpoint_hold_seconds", NULL,
                 &w.checkpoint->hold);
}

static void
write_nodes(struct call *c, struct buf *out)
{
    struct nodes_count n;

    nodes_count(c->ctl, &n);
    metrics_family(out, METRICS_GAUGE, "virga_nodes", NULL, "Nodes, by state.");
    metrics_sample(out, "virga_nodes", "", "state=\"up\"", n.up);
    metrics_sample(out, "virga_nodes", "", "state=\"down\"", n.down);
    metrics_gauge(out, "virga_nodes_cordoned", NULL,
                  "Nodes that get no further instance.", n.cordoned);
    metrics_gauge(out, "virga_node_questions", NULL,
                  "Questions that wait for a node's answer.", n.questions);
}

/* One operation that runs; as op_fill() has it. */
struct operations {
    struct ctl *ctl;
    int64_t n, stuck;
};

static void
add_operations(const char *node_id, int64_t n, int64_t silent, void *arg)
{
    struct operations *o = arg;

    o->n += n;
    o->stuck += node_id && !nodes_up(o->ctl, node_id) ? n : silent;
}

static int
write_rows(struct call *c, struct db *db, struct buf *out)
{
    struct operations o = {.ctl = c->ctl};
    struct store_figures f;
    char label[64];
    int r = store_figures(db, &f);

    if (r == 0)
        r = store_figures_operations(
            db, clock_now_us() - c->ctl->cfg.stuck_after_us, add_operations,
            &o);
    if (r < 0)
        return r;
    metrics_family(out, METRICS_GAUGE, "virga_instances", NULL,
                   "Instances, by state.");
    for (int i = 0; i < STORE_INSTANCE_STATES; i++) {
        if (i == INSTANCE_DELETED)
            continue;
        snprintf(label, sizeof(label), "state=\"%s\"",
                 api_instance_state_names[i]);
        metrics_sample(out, "virga_instances", "", label,
                       (uint64_t)f.instances[i]);
    }
    metrics_gauge(out, "virga_operations_running", NULL,
                  "Operations that have not come to their end.", (uint64_t)o.n);
    metrics_gauge(out, "virga_operations_stuck", NULL,
                  "Those of them that do not go on.", (uint64_t)o.stuck);
    metrics_gauge(out, "virga_webhooks", NULL, "Webhooks.",
                  (uint64_t)f.webhooks);
    metrics_gauge(out, "virga_webhooks_failing", NULL,
                  "Webhooks that wait to try again.",
                  (uint64_t)f.webhooks_failing);
    metrics_gauge(out, "virga_webhook_dead_letters", NULL,
                  "Events that were given up, and kept.",
                  (uint64_t)f.dead_letters);
    return 0;
}

int
h_metrics(struct call *c, struct db *db)
{
    struct buf *out = &c->rq->reply;

    write_process(c, out);
    write_traffic(c, out);
    write_database(c, out);
    write_nodes(c, out);
    int r = write_rows(c, db, out);
    if (r < 0)
        return store_error(c, db, r);
    metrics_end(out);
    c->rq->content_type = metrics_negotiate(http_header(c->rq, "Accept"), out);
    c->rq->status = 200;
    return 0;
}
