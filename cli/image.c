/* image.c - `virga image create`: make the image, upload every part, or leave
 * nothing behind.
 * The files are opened, read once and hashed before anything is created; what
 * the server says that it stored must have the same hashes. When an upload
 * fails or is interrupted, the half-made image is deleted again. */
#include <config.h>

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "cli/format.h"
#include "common/clock.h"
#include "common/hash.h"
#include "common/id.h"
#include "common/mem.h"

#define PARTS_MAX 3
#define UPLOAD_TIMEOUT_MS (24 * 3600 * INT64_C(1000))
#define STALL_MS 60000
#define BAR_WIDTH 24

struct part {
    const char *name; /* "kernel" */
    const char *file;
    const char *format; /* of a disk, or NULL */
    int fd;
    int64_t size;
    char sha256[HASH_HEX_SIZE];
};

struct upload {
    struct cli *c;
    const struct part *part;
    struct cli_progress progress;
    int64_t since_us, shown_us;
};

/* Set by the signal handler; the client to abort while a part is sent. */
static volatile sig_atomic_t interrupted;
static struct httpc *_Atomic sending;

static void
on_signal(int sig)
{
    struct httpc *h = sending;

    interrupted = sig;
    if (h)
        httpc_abort(h); /* one atomic store */
}

/* The first signal ends the upload in order, the second one the program. */
static void
catch_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND};

    for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
        sigaction(signals[i], &sa, NULL);
}

/* ---- local files ---- */

static int
hash_file(struct cli *c, struct part *p)
{
    static const unsigned char qcow2[4] = {'Q', 'F', 'I', 0xfb};
    char *chunk _cleanup_(freep) = xmalloc(1 << 20);
    struct hash *h = hash_begin();
    unsigned char sum[HASH_LEN];
    int64_t total = 0;
    bool is_qcow2 = false;
    ssize_t n;

    while ((n = read(p->fd, chunk, 1 << 20)) > 0) {
        if (total == 0)
            is_qcow2 = n >= 4 && memcmp(chunk, qcow2, 4) == 0;
        hash_add(h, chunk, (size_t)n);
        total += n;
    }
    int number = errno;
    hash_end(h, sum);
    id_hex(sum, HASH_LEN, p->sha256);
    if (n < 0)
        return cli_fail(c, EXIT_FAILED, "file", "%s: %s", p->file,
                        strerror(number));
    if (total != p->size)
        return cli_fail(c, EXIT_FAILED, "file",
                        "%s changes while it is read; try again when it is "
                        "complete",
                        p->file);
    if (streq(p->name, "disk") && !p->format)
        p->format = is_qcow2 ? "qcow2" : "raw";
    if (streq(p->name, "disk") && streq(p->format, "qcow2") != is_qcow2)
        return cli_fail(c, EXIT_USAGE, "format",
                        "%s is %sa qcow2 file, but --format says %s", p->file,
                        is_qcow2 ? "" : "not ", p->format);
    return EXIT_OK;
}

static int
open_part(struct cli *c, struct part *p)
{
    struct stat st;

    /* Not to hang on a pipe that nobody writes to. */
    p->fd = open(p->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (p->fd < 0 || fstat(p->fd, &st) < 0)
        return cli_fail(c, EXIT_FAILED, "file", "--%s %s: %s", p->name, p->file,
                        strerror(errno));
    if (!S_ISREG(st.st_mode))
        return cli_fail(c, EXIT_FAILED, "file", "--%s %s is not a plain file",
                        p->name, p->file);
    if (st.st_size == 0)
        return cli_fail(c, EXIT_FAILED, "file", "--%s %s is empty", p->name,
                        p->file);
    p->size = st.st_size;
    return hash_file(c, p);
}

static int
usage_fault(struct cli *c, const char *text)
{
    return cli_fail(c, EXIT_USAGE, "usage", "%s", text);
}

/* The parts that the options name; all of them readable. */
static int
gather(struct cli *c, struct part parts[PARTS_MAX], size_t *n)
{
    const struct cli_line *line = &c->line;

    for (size_t i = 0; i < PARTS_MAX; i++) {
        const char *file = cli_opt_text(line, api_part_names[i]);

        if (file)
            parts[(*n)++] = (struct part){
                .name = api_part_names[i],
                .file = file,
                .format = i == PART_DISK ? cli_opt_text(line, "format") : NULL,
                .fd = -1,
            };
    }
    if (*n == 0)
        return usage_fault(c, "an image needs --kernel or --disk");
    if (!cli_opt(line, "kernel")->set && cli_opt(line, "initrd")->set)
        return usage_fault(c, "--initrd needs --kernel");
    if (!cli_opt(line, "kernel")->set && cli_opt(line, "cmdline")->set)
        return usage_fault(c, "--cmdline needs --kernel");
    if (!cli_opt(line, "disk")->set && cli_opt(line, "format")->set)
        return usage_fault(c, "--format needs --disk");
    for (size_t i = 0; i < *n; i++) {
        int rc = open_part(c, &parts[i]);

        if (rc != EXIT_OK)
            return rc;
    }
    return EXIT_OK;
}

/* ---- upload ---- */

static void
on_progress(int64_t done, int64_t total, void *arg)
{
    struct upload *u = arg;
    int64_t now = clock_mono_us();
    struct buf line _cleanup_(buf_release) = {0};
    int filled;

    if (!u->progress.terminal || now - u->shown_us < US_PER_S / 10)
        return;
    u->shown_us = now;
    done = MIN(done, u->part->size);
    filled = (int)(done * BAR_WIDTH / u->part->size);
    buf_addf(&line, "%-6s [", u->part->name);
    for (int i = 0; i < BAR_WIDTH; i++)
        buf_addc(&line, i < filled ? '#' : '.');
    buf_addf(&line, "] %3d%%  ", (int)(done * 100 / u->part->size));
    format_size(done, &line);
    buf_addc(&line, '/');
    format_size(u->part->size, &line);
    if (now > u->since_us) {
        buf_adds(&line, "  ");
        format_size((int64_t)((double)done * (double)US_PER_S /
                              (double)(now - u->since_us)),
                    &line);
        buf_adds(&line, "B/s");
    }
    cli_progress_show(&u->progress, buf_str(&line));
}

/* The server's hash of the part, in the reply to its upload. */
static int
check_stored(struct cli *c, const struct part *p,
             const struct httpc_reply *reply)
{
    struct api_image image = {0};
    int rc = cli_decode(c, &table_image, reply, &image);

    for (size_t i = 0; rc == EXIT_OK && i < image.parts.n; i++) {
        const struct api_image_part *stored =
            (const struct api_image_part *)image.parts.items + i;

        if (streq(api_part_names[stored->name], p->name) && stored->sha256 &&
            strcasecmp(stored->sha256, p->sha256) != 0)
            rc = cli_fail(c, EXIT_FAILED, "corrupt",
                          "%s: the controller stored other bytes than the "
                          "file had; did it change meanwhile?",
                          p->file);
    }
    codec_clear(&table_image, &image);
    return rc;
}

static int
upload_part(struct cli *c, const char *image_id, const struct part *p,
            struct httpc_reply *ret)
{
    struct upload u = {.c = c, .part = p, .since_us = clock_mono_us()};
    char *base _cleanup_(freep) =
        cli_path(ROUTE_IMAGE_SHOW, image_id, "/parts/");
    char *path _cleanup_(freep) = xasprintf("%s%s", base, p->name);
    struct httpc_request rq = HTTPC_REQUEST("PUT", path);
    struct buf size _cleanup_(buf_release) = {0};
    int rc;

    cli_progress_begin(&u.progress);
    rq.upload_fd = p->fd;
    rq.upload_size = p->size;
    rq.timeout_ms = UPLOAD_TIMEOUT_MS;
    rq.stall_ms = MAX((int64_t)STALL_MS, c->timeout_ms);
    rq.progress = on_progress;
    rq.progress_arg = &u;
    rc = cli_call(c, &rq, ret);
    cli_progress_end(&u.progress);
    /* A lost reply: an attempt before this one did arrive. The image is ours
     * alone, so the part is; the hash tells whether it is whole. */
    if (rc == EXIT_CONFLICT && streq(c->fault.err.code, "part_exists"))
        rc = cli_route(c, ROUTE_IMAGE_SHOW, image_id, NULL, NULL, ret);
    if (rc == EXIT_OK)
        rc = check_stored(c, p, ret);
    if (rc == EXIT_OK && !u.progress.terminal) {
        format_size(p->size, &size);
        fprintf(stderr, "uploaded %s (%s)\n", p->name, buf_str(&size));
    }
    if (rc != EXIT_OK)
        httpc_reply_release(ret);
    return rc;
}

/* ---- the whole ---- */

/* Deletes the half-made image; the fault keeps its reason and tells. */
static int
undo(struct cli *c, int rc, const char *image_id)
{
    struct cli_fault why = c->fault;
    struct httpc_reply reply = {0};
    int undone;

    c->fault = (struct cli_fault){0};
    sending = NULL;
    httpc_free(c->http); /* it may have been aborted, which is for good */
    c->http = NULL;
    undone = cli_route(c, ROUTE_IMAGE_DELETE, image_id, NULL, NULL, &reply);
    httpc_reply_release(&reply);
    cli_fault_clear(c);
    c->fault = why;
    if (interrupted)
        rc = cli_fail(c, EXIT_FAILED, "interrupted", "interrupted");
    if (undone == EXIT_OK)
        cli_fault_append(c, "; the half-made image was deleted again");
    else
        cli_fault_append(c,
                         "; the half-made image is left: \"virga image "
                         "delete %s\" removes it",
                         image_id);
    return rc;
}

static int
create(struct cli *c, const struct part *parts, size_t n, char **ret_id)
{
    struct buf list _cleanup_(buf_release) = {0};
    struct httpc_reply reply = {0};
    struct api_image image = {0};
    struct cli_body body;
    int rc;

    for (size_t i = 0; i < n; i++) {
        struct cli_body one;

        cli_body_begin(&one, &table_image_part);
        cli_body_set_text(&one, "name", parts[i].name);
        if (parts[i].format)
            cli_body_set_text(&one, "format", parts[i].format);
        cli_body_end(&one);
        buf_addf(&list, "%c%s", i ? ',' : '[', buf_str(&one.text));
        cli_body_release(&one);
    }
    buf_addc(&list, ']');
    cli_body_begin(&body, &table_image);
    cli_body_from_line(&body, &c->line);
    cli_body_set_raw(&body, "parts", buf_str(&list));
    cli_body_end(&body);
    rc = cli_route(c, ROUTE_IMAGE_CREATE, NULL, NULL, &body.text, &reply);
    cli_body_release(&body);
    if (rc == EXIT_OK)
        rc = cli_decode(c, &table_image, &reply, &image);
    if (rc == EXIT_OK)
        *ret_id = TAKE_PTR(image.id);
    codec_clear(&table_image, &image);
    httpc_reply_release(&reply);
    return rc;
}

static int
make_image(struct cli *c, const struct part *parts, size_t n)
{
    char *id _cleanup_(freep) = NULL;
    struct httpc_reply reply = {0};
    int rc;

    catch_signals();
    rc = create(c, parts, n, &id);
    if (rc != EXIT_OK)
        return rc;
    sending = cli_client(c);
    for (size_t i = 0; i < n && rc == EXIT_OK; i++) {
        httpc_reply_release(&reply);
        if (interrupted)
            rc = cli_fail(c, EXIT_FAILED, "interrupted", "interrupted");
        else
            rc = upload_part(c, id, &parts[i], &reply);
    }
    if (rc != EXIT_OK)
        return undo(c, rc, id);
    sending = NULL;
    rc = cli_print_object(c, &table_image, &reply);
    httpc_reply_release(&reply);
    return rc;
}

int
cmd_image_create(struct cli *c)
{
    struct part parts[PARTS_MAX] = {0};
    size_t n = 0;
    int rc = gather(c, parts, &n);

    if (rc == EXIT_OK)
        rc = make_image(c, parts, n);
    for (size_t i = 0; i < n; i++)
        closep(&parts[i].fd);
    return rc;
}
