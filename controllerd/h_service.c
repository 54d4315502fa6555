/* h_service.c - health, metrics, the API's own description, static files. */
#include <config.h>

#include "controllerd/handlers.h"

#include <fcntl.h>
#include <malloc.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/fs.h"
#include "common/mem.h"

#define READY_BYTES (1 << 20) /* less room than this is a full disk */

int
h_healthz(struct call *c)
{
    reply_text(c, "text/plain; charset=utf-8", "ok\n");
    return 0;
}

/* Whoever asks costs no write: a probe is made once a second at most, by the
 * first that asks, and the others get the outcome of the last one. */
#define PROBE_US US_PER_S

static _Atomic int64_t next_probe_us;
static _Atomic int last_probe = -EINPROGRESS; /* none came to its end */

int
h_readyz_recent(struct call *c)
{
    int64_t now = clock_mono_us(), next = atomic_load(&next_probe_us);
    int last = atomic_load(&last_probe);

    if (last == -EINPROGRESS || atomic_load(&c->ctl->stopping))
        return CALL_WRITE;
    if (now >= next &&
        atomic_compare_exchange_strong(&next_probe_us, &next, now + PROBE_US))
        return CALL_WRITE;
    if (last < 0)
        return err_set(&c->err, -EAGAIN, "not_ready",
                       "the controller cannot write: %s",
                       strerrordesc_np(-last));
    reply_text(c, "text/plain; charset=utf-8", "ok\n");
    return 0;
}

void
h_readyz_committed(struct call *c)
{
    atomic_store(&last_probe, 0);
}

/* It found its place, but did not reach the disk. */
void
h_readyz_undo(struct call *c)
{
    atomic_store(&last_probe, -ENOSPC);
}

int
h_readyz(struct call *c, struct db *db)
{
    struct err e _cleanup_(err_release) = {0};
    long long have = 0;
    int r = fs_free_bytes(c->ctl->cfg.state_dir, &have);

    /* One small write may still find its place where no other one does. */
    if (r == 0 && have < READY_BYTES)
        r = -ENOSPC;
    if (r == 0)
        r = store_probe(db);
    if (r < 0)
        atomic_store(&last_probe, r);
    if (r == -ENOSPC)
        return err_set(&c->err, -EAGAIN, "not_ready",
                       "the controller's disk is full");
    if (r < 0) {
        db_err(db, r, &e);
        return err_set(&c->err, -EAGAIN, "not_ready", "%s", e.message);
    }
    reply_text(c, "text/plain; charset=utf-8", "ok\n");
    return 0;
}

static void
one_counter(const char *name, uint64_t value, void *arg)
{
    struct buf *out = arg;

    buf_addf(out, "virga_events_total{event=\"%s\"} %llu\n", name,
             (unsigned long long)value);
}

/* OpenMetrics 1.0 text format. */
int
h_metrics(struct call *c)
{
    struct buf *out = &c->rq->reply;
    struct mallinfo2 mi = mallinfo2();

    buf_adds(out, "# TYPE virga_uptime_seconds gauge\n"
                  "# UNIT virga_uptime_seconds seconds\n");
    buf_addf(
        out, "virga_uptime_seconds %lld\n",
        (long long)((clock_mono_us() - c->ctl->started_mono_us) / US_PER_S));
    buf_adds(out, "# TYPE virga_heap_bytes gauge\n"
                  "# UNIT virga_heap_bytes bytes\n");
    buf_addf(out, "virga_heap_bytes %llu\n", (unsigned long long)mi.uordblks);
    buf_adds(out, "# TYPE virga_events counter\n"
                  "# HELP virga_events How often a branch was taken.\n");
    count_each(one_counter, out);
    buf_adds(out, "# EOF\n");
    c->rq->content_type =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";
    c->rq->status = 200;
    return 0;
}

int
h_openapi(struct call *c)
{
    api_openapi(&c->rq->reply);
    buf_addc(&c->rq->reply, '\n');
    c->rq->status = 200;
    return 0;
}

int
h_ca(struct call *c)
{
    reply_text(c, "application/x-pem-file", pki_ca_pem(c->ctl->ca));
    return 0;
}

static int
static_file(struct call *c, const char *name)
{
    static const struct {
        const char *ext, *type;
    } types[] = {{".html", "text/html; charset=utf-8"},
                 {".js", "text/javascript; charset=utf-8"},
                 {".css", "text/css; charset=utf-8"},
                 {".svg", "image/svg+xml"}};
    const char *ext = strrchr(name, '.');
    struct stat st;

    char *path _cleanup_(freep) =
        xasprintf("%s/%s", c->ctl->cfg.dashboard_dir, name);
    /* A parameter never holds a '/', but may be "..". */
    if (!ext || ext == name || name[0] == '.')
        return not_found(c, "file", name);
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (strcmp(ext, types[i].ext) == 0)
            c->rq->content_type = types[i].type;
    int fd _cleanup_(closep) = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (!c->rq->content_type || fd < 0 || fstat(fd, &st) < 0 ||
        !S_ISREG(st.st_mode)) {
        c->rq->content_type = NULL;
        return not_found(c, "file", name);
    }
    c->rq->reply_fd = TAKE_FD(fd);
    c->rq->reply_size = (uint64_t)st.st_size;
    c->rq->status = 200;
    http_add_header(c->rq, "Content-Security-Policy",
                    "default-src 'none'; script-src 'self'; style-src 'self'; "
                    "img-src 'self'; connect-src 'self'; base-uri 'none'; "
                    "form-action 'none'; frame-ancestors 'none'");
    http_add_header(c->rq, "Referrer-Policy", "no-referrer");
    return 0;
}

int
h_dashboard(struct call *c)
{
    return static_file(c, "index.html");
}

int
h_dashboard_file(struct call *c)
{
    return static_file(c, c->m.params[0]);
}
