/* h_service.c - health, the API's own description, static files. */
#include <config.h>

#include "controllerd/handlers.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/mem.h"
#include "controllerd/backup.h"

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

/* What the page may load and do: CSP level 3, Trusted Types (no string becomes
 * markup or code), and no window of another site beside it. */
static const struct {
    const char *name, *value;
} page_headers[] = {
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; "
     "img-src 'self'; connect-src 'self'; base-uri 'none'; "
     "form-action 'none'; frame-ancestors 'none'; "
     "require-trusted-types-for 'script'; trusted-types 'none'"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Permissions-Policy", "camera=(), geolocation=(), microphone=()"},
    {"Referrer-Policy", "no-referrer"},
};

/* NAME-0123abcd.EXT: the build puts a hash of the contents there, so that what
 * has this name never changes. */
static bool
is_hashed(const char *name, const char *ext)
{
    static const char hex[] = "0123456789abcdef";

    return ext - name > 9 && ext[-9] == '-' && strspn(ext - 8, hex) == 8;
}

static const char *
type_of(const char *ext)
{
    static const struct {
        const char *ext, *type;
    } types[] = {{".html", "text/html; charset=utf-8"},
                 {".js", "text/javascript; charset=utf-8"},
                 {".css", "text/css; charset=utf-8"},
                 {".svg", "image/svg+xml"}};

    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (strcmp(ext, types[i].ext) == 0)
            return types[i].type;
    return NULL;
}

/* RFC 9110, 13.1.2: a list of tags compared weakly, or "*". */
static bool
none_match(struct call *c, const char *tag)
{
    const char *have = http_header(c->rq, "If-None-Match");

    return !have || (strcmp(have, "*") != 0 && !strstr(have, tag));
}

/* One at a time: each needs room for another copy of the database. */
int
h_backup(struct call *c)
{
    static atomic_flag busy = ATOMIC_FLAG_INIT;

    if (atomic_flag_test_and_set(&busy))
        return err_set(&c->err, -EAGAIN, "backup_running",
                       "a backup is being made; try again");
    int r = backup_make(c->ctl->cfg.state_dir, c->ctl->db_path,
                        &c->rq->reply_fd, &c->rq->reply_size, &c->err);
    atomic_flag_clear(&busy);
    if (r < 0)
        return r;
    c->rq->content_type = "application/gzip";
    c->rq->status = 200;
    http_add_header(c->rq, "Content-Disposition",
                    "attachment; filename=\"virga-backup.tar.gz\"");
    return 0;
}

static int
static_file(struct call *c, const char *name)
{
    const char *ext = strrchr(name, '.');
    struct stat st;

    char *path _cleanup_(freep) =
        xasprintf("%s/%s", c->ctl->cfg.dashboard_dir, name);
    /* A parameter never holds a '/', but may be "..". */
    if (!ext || ext == name || name[0] == '.' || !type_of(ext))
        return not_found(c, "file", name);
    int fd _cleanup_(closep) = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return not_found(c, "file", name);
    char *tag _cleanup_(freep) = xasprintf(
        "\"%llx-%llx-%lx\"", (unsigned long long)st.st_size,
        (unsigned long long)st.st_mtim.tv_sec, (long)st.st_mtim.tv_nsec);
    http_add_header(c->rq, "ETag", "%s", tag);
    http_add_header(c->rq, "Cache-Control", "%s",
                    is_hashed(name, ext) ? "public, max-age=31536000, immutable"
                                         : "no-cache");
    for (size_t i = 0; i < ARRAY_SIZE(page_headers); i++)
        http_add_header(c->rq, page_headers[i].name, "%s",
                        page_headers[i].value);
    c->rq->content_type = type_of(ext);
    if (!none_match(c, tag)) {
        c->rq->status = 304;
        return 0;
    }
    c->rq->reply_fd = TAKE_FD(fd);
    c->rq->reply_size = (uint64_t)st.st_size;
    c->rq->status = 200;
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
