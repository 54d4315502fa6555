/* backup.c - `virga admin backup`: the controller's state into a file, which
 * is there only once it is whole. */
#include <config.h>

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "common/fs.h"
#include "common/mem.h"

#define TIMEOUT_MS (3600 * INT64_C(1000))
#define STALL_MS (600 * INT64_C(1000)) /* the archive is made first */
#define SIZE_MAX_BYTES ((size_t)1 << 42)

static int
download(struct cli *c, int fd, const char *part, const char *file)
{
    struct httpc_reply reply _cleanup_(httpc_reply_release) = {0};
    char *path _cleanup_(freep) = cli_path(ROUTE_BACKUP, NULL, NULL);
    char *parent _cleanup_(freep) = xstrdup(file);
    struct httpc_request rq = HTTPC_REQUEST("GET", path);
    struct stat st;

    rq.download_fd = fd;
    rq.timeout_ms = TIMEOUT_MS;
    rq.stall_ms = STALL_MS;
    rq.max_reply = SIZE_MAX_BYTES;
    int rc = cli_call(c, &rq, &reply);
    if (rc != EXIT_OK)
        return rc;
    char *slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent] = '\0';
    if (fsync(fd) < 0 || fstat(fd, &st) < 0 || rename(part, file) < 0 ||
        fs_sync_dir(slash ? parent : ".") < 0)
        return cli_fail(c, EXIT_FAILED, "output", "cannot write %s: %s", file,
                        strerror(errno));
    cli_say(c, "%lld bytes in %s: it holds secrets, keep it as such",
            (long long)st.st_size, file);
    return EXIT_OK;
}

int
cmd_backup(struct cli *c)
{
    const char *file = c->line.args[0].text;
    char *part _cleanup_(freep) = xasprintf("%s.part", file);
    int fd _cleanup_(closep) = -1;

    if (access(file, F_OK) == 0)
        return cli_fail(c, EXIT_USAGE, "file_exists", "%s is there already",
                        file);
    fd = open(part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return cli_fail(c, EXIT_FAILED, "output", "cannot make %s: %s", part,
                        strerror(errno));
    int rc = download(c, fd, part, file);
    if (rc != EXIT_OK && unlink(part) < 0)
        cli_fault_append(c, "; %s is left", part);
    return rc;
}
