/* cgroup_end.c - the end of VMs' groups: kill, remove, find those left; see
 * cgroup.h. */
#include <config.h>

#include "hypervisor-backend/vmm-driver/cgroup-private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"

/* The kernel tells no one when a group of version 1 has become empty. */
#define EMPTY_CHECK_MS 2
/* A process is gone from the list a moment before its group lets go. */
#define REMOVE_MS 500
#define LIST_MAX 100000u

/* Calls fn for each process in the group; how many there are. */
static int
each_process(int dir_fd, void (*fn)(pid_t pid))
{
    FILE *f _cleanup_(fclosep) = NULL;
    int fd = openat(dir_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC), n = 0;
    intmax_t pid;

    if (fd < 0)
        return -errno;
    f = fdopen(fd, "r");
    if (!f) {
        close(fd);
        return -ENOMEM;
    }
    while (fscanf(f, "%jd", &pid) == 1) {
        n++;
        /* 0: one of another pid namespace, out of our sight. */
        if (fn && pid > 1)
            fn((pid_t)pid);
    }
    return n;
}

static void
kill_one(pid_t pid)
{
    (void)kill(pid, SIGKILL); /* ESRCH: it went by itself */
}

/* Before cgroup.kill (Linux 5.14): held still, none can fork or end, so that
 * each number is still whose it was. */
static int
kill_frozen(struct cgroup *g)
{
    bool v2 = false;
    int dir = cgroup_dir(g, CGROUP_FREEZER, &v2), n, r;

    if (dir < 0)
        return -EOPNOTSUPP;
    r = v2 ? cgroup_write(dir, "cgroup.freeze", NULL, "1")
           : cgroup_write(dir, "freezer.state", NULL, "FROZEN");
    n = each_process(dir, kill_one);
    if (r == 0)
        r = v2 ? cgroup_write(dir, "cgroup.freeze", NULL, "0")
               : cgroup_write(dir, "freezer.state", NULL, "THAWED");
    return n < 0 ? n : r;
}

int
cgroup_kill(struct cgroup *g, int timeout_ms, struct err *reterr)
{
    int64_t end = clock_mono_us() + (int64_t)timeout_ms * 1000;
    int v2 = cgroup_v2(g), r = -ENOENT, n;

    if (v2 >= 0)
        r = cgroup_write(v2, "cgroup.kill", NULL, "1");
    if (r < 0)
        r = kill_frozen(g);
    if (r < 0)
        return err_errno(reterr, r, "cgroup %s: kill", g->id);
    for (;;) {
        n = each_process(g->fd[0], NULL);
        if (n <= 0)
            return n < 0 ? err_errno(reterr, n, "cgroup %s", g->id) : 0;
        if (clock_mono_us() >= end)
            return err_set(reterr, -ETIMEDOUT, "timeout",
                           "cgroup %s: %d processes do not end", g->id, n);
        (void)poll(NULL, 0, EMPTY_CHECK_MS);
    }
}

static int
remove_from(int slice_fd, const char *id)
{
    int64_t end = clock_mono_us() + (int64_t)REMOVE_MS * 1000;

    while (unlinkat(slice_fd, id, AT_REMOVEDIR) < 0) {
        int dir _cleanup_(closep) = -1;

        if (errno == ENOENT)
            return 0;
        if (errno != EBUSY)
            return -errno;
        dir = cgroup_open_dir(slice_fd, id);
        if (dir < 0)
            return dir == -ENOENT ? 0 : dir;
        /* Not ours to wait for. */
        if (each_process(dir, NULL) != 0 || clock_mono_us() >= end)
            return -EBUSY;
        (void)poll(NULL, 0, EMPTY_CHECK_MS);
    }
    return 0;
}

int
cgroup_remove(struct cgroup_root *r, const char *id, struct err *reterr)
{
    int e = cgroup_check_id(id, reterr);

    /* All of them, whatever one says. */
    for (unsigned i = 0; i < r->n && e != -EINVAL; i++) {
        int f = remove_from(r->h[i].fd, id);

        if (f < 0 && e == 0)
            e = err_errno(reterr, f, "cgroup %s", id);
    }
    return e;
}

/* --- who is there --- */

static int
by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static int
collect(int slice_fd, char (**ids)[ID_SIZE], size_t *n)
{
    DIR *d _cleanup_(closedirp) = NULL;
    struct dirent *e;
    int fd = cgroup_open_dir(slice_fd, ".");

    if (fd < 0)
        return fd;
    d = fdopendir(fd);
    if (!d) {
        close(fd);
        return -ENOMEM;
    }
    while ((e = readdir(d)) && *n < LIST_MAX) {
        if (!id_valid(e->d_name))
            continue;
        *ids = xrealloc(*ids, (*n + 1) * sizeof(**ids));
        snprintf((*ids)[(*n)++], ID_SIZE, "%.*s", ID_LEN, e->d_name);
    }
    return 0;
}

int
cgroup_list(struct cgroup_root *r, void (*fn)(void *arg, const char *id),
            void *arg, struct err *reterr)
{
    char(*ids)[ID_SIZE] _cleanup_(freep) = NULL;
    size_t n = 0;

    for (unsigned i = 0; i < r->n; i++) {
        int e = collect(r->h[i].fd, &ids, &n);

        if (e < 0)
            return err_errno(reterr, e, "cgroup: list of groups");
    }
    if (n)
        qsort(ids, n, sizeof(*ids), by_text);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(ids[i], ids[i - 1]) != 0)
            fn(arg, ids[i]);
    return 0;
}
