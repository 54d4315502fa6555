/* cgroup.c - the slice, and the groups of VMs in it; see cgroup.h. All is
 * reached from the hierarchies' mounts by descriptor; the only names are the
 * slice's, which is the operator's, and ids. */
#include <config.h>

#include "hypervisor-backend/vmm-driver/cgroup-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/buf.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/mem.h"

#define MOUNTINFO_MAX (1u << 20)
/* Against a usual neighbour (100, 1024): VMs first, but the node's own
 * services keep a part, or its agent would seem dead. */
#define SLICE_WEIGHT 1000u
#define SLICE_SHARES 10240u

/* As the kernel calls them; NULL: no controller there. */
static const char *const v1_names[CGROUP_CONTROLLERS] = {
    [CGROUP_CPU] = "cpu",       [CGROUP_CPUACCT] = "cpuacct",
    [CGROUP_MEMORY] = "memory", [CGROUP_IO] = "blkio",
    [CGROUP_PIDS] = "pids",     [CGROUP_FREEZER] = "freezer"};
static const char *const v2_names[CGROUP_CONTROLLERS] = {
    [CGROUP_CPU] = "cpu",
    [CGROUP_MEMORY] = "memory",
    [CGROUP_IO] = "io",
    [CGROUP_PIDS] = "pids"};

int
cgroup_open_dir(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

    return fd < 0 ? -errno : fd;
}

/* --- the hierarchies --- */

static unsigned
v1_controllers(char *options)
{
    unsigned mask = 0;
    char *o;

    while ((o = strsep(&options, ",")))
        for (unsigned c = 0; c < CGROUP_CONTROLLERS; c++)
            if (strcmp(o, v1_names[c]) == 0)
                mask |= 1u << c;
    return mask;
}

/* Gives children all that the folder itself has. One that is refused (by
 * processes in it, or a scheduler that is in the way) is one that the slice
 * will not have, as cgroup_has() says. */
static void
delegate(int fd)
{
    for (unsigned c = 0; c < CGROUP_CONTROLLERS; c++)
        if (v2_names[c] && cgroup_lists(fd, "cgroup.controllers", v2_names[c]))
            (void)!cgroup_write(fd, "cgroup.subtree_control", NULL, "+%s",
                                v2_names[c]);
}

static unsigned
v2_controllers(int fd)
{
    /* These two are in every group. */
    unsigned mask = 1u << CGROUP_CPUACCT | 1u << CGROUP_FREEZER;

    for (unsigned c = 0; c < CGROUP_CONTROLLERS; c++)
        if (v2_names[c] &&
            cgroup_lists(fd, "cgroup.subtree_control", v2_names[c]))
            mask |= 1u << c;
    return mask;
}

/* Each folder of the path is made, and in version 2 passes on what it has. */
static int
make_slice(const char *mount, const char *slice, bool v2, int *ret_fd,
           struct err *reterr)
{
    char *copy _cleanup_(freep) = xstrdup(slice), *rest = copy, *name;
    int fd _cleanup_(closep) = open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
           next;

    if (fd < 0)
        return err_errno(reterr, -errno, "cgroup: %s", mount);
    while ((name = strsep(&rest, "/"))) {
        if (v2)
            delegate(fd);
        if (mkdirat(fd, name, 0755) < 0 && errno != EEXIST)
            return err_errno(reterr, -errno, "cgroup: slice %s in %s", slice,
                             mount);
        next = cgroup_open_dir(fd, name);
        if (next < 0)
            return err_errno(reterr, next, "cgroup: slice %s in %s", slice,
                             mount);
        close(fd);
        fd = next;
    }
    if (v2)
        delegate(fd);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static void
weigh_slice(const struct cgroup_hierarchy *h)
{
    int r = 0;

    if (h->controllers & 1u << CGROUP_CPU)
        r = h->v2 ? cgroup_write(h->fd, "cpu.weight", NULL, "%u", SLICE_WEIGHT)
                  : cgroup_write(h->fd, "cpu.shares", NULL, "%u", SLICE_SHARES);
    if (r < 0)
        log_debug("slice keeps its CPU weight", "errno=%d", -r);
}

static int
add_hierarchy(struct cgroup_root *r, const char *mount, const char *slice,
              bool v2, unsigned controllers, struct err *reterr)
{
    struct cgroup_hierarchy *h = &r->h[r->n];
    int e;

    /* Mounted a second time. */
    for (unsigned i = 0; i < r->n; i++)
        if (v2 ? r->h[i].v2 : (r->h[i].controllers & controllers) != 0)
            return 0;
    if (r->n == ARRAY_SIZE(r->h))
        return 0;
    e = make_slice(mount, slice, v2, &h->fd, reterr);
    if (e < 0)
        return e;
    h->v2 = v2;
    h->controllers = v2 ? v2_controllers(h->fd) : controllers;
    r->n++;
    weigh_slice(h);
    return 0;
}

/* proc(5): "ID PARENT DEV ROOT MOUNTPOINT OPTIONS [FIELDS] - TYPE SOURCE
 * SUPER-OPTIONS". */
static int
add_mount(struct cgroup_root *r, char *line, const char *slice, bool v2,
          struct err *reterr)
{
    char *mount = NULL, *type, *tail = strstr(line, " - ");
    unsigned controllers = 0;

    if (!tail)
        return 0;
    *tail = '\0';
    tail += 3;
    for (int i = 0; i < 5; i++)
        mount = strsep(&line, " ");
    type = strsep(&tail, " ");
    if (!mount || !type || !tail)
        return 0;
    if (strcmp(type, v2 ? "cgroup2" : "cgroup") != 0)
        return 0;
    if (!v2) {
        (void)strsep(&tail, " ");
        controllers = tail ? v1_controllers(tail) : 0;
        if (!controllers)
            return 0;
    }
    return add_hierarchy(r, mount, slice, v2, controllers, reterr);
}

static int
find_hierarchies(struct cgroup_root *r, const char *slice, bool v2,
                 struct err *reterr)
{
    struct buf b _cleanup_(buf_release) = {0};
    char *line, *rest;
    int e = fs_read("/proc/self/mountinfo", MOUNTINFO_MAX, &b, reterr);

    if (e < 0)
        return e;
    rest = b.data;
    while (e == 0 && rest && (line = strsep(&rest, "\n")))
        e = add_mount(r, line, slice, v2, reterr);
    return e;
}

static int
check_slice(const char *slice, struct err *reterr)
{
    char *copy _cleanup_(freep) = xstrdup(slice), *rest = copy, *name;

    while ((name = strsep(&rest, "/")))
        if (!*name || *name == '.' || strchr(name, '\n') ||
            strlen(name) > 128 || id_valid(name))
            return err_set(reterr, -EINVAL, "invalid",
                           "\"%s\" is no name for a slice of cgroups", slice);
    return 0;
}

static void
root_freep(struct cgroup_root **r)
{
    cgroup_root_free(*r);
}

int
cgroup_root_open(const char *slice, struct cgroup_root **ret,
                 struct err *reterr)
{
    struct cgroup_root *r _cleanup_(root_freep) = NULL;
    int e = check_slice(slice, reterr);

    if (e < 0)
        return e;
    r = xnew(struct cgroup_root);
    /* A controller is in one of the two versions only. */
    e = find_hierarchies(r, slice, false, reterr);
    if (e == 0)
        e = find_hierarchies(r, slice, true, reterr);
    if (e < 0)
        return e;
    if (r->n == 0)
        return err_set(reterr, -ENOENT, "no_cgroups",
                       "no hierarchy of cgroups is mounted");
    *ret = TAKE_PTR(r);
    return 0;
}

void
cgroup_root_free(struct cgroup_root *r)
{
    if (!r)
        return;
    for (unsigned i = 0; i < r->n; i++)
        closep(&r->h[i].fd);
    free(r);
}

bool
cgroup_has(const struct cgroup_root *r, enum cgroup_controller c)
{
    for (unsigned i = 0; i < r->n; i++)
        if (r->h[i].controllers & 1u << c)
            return true;
    return false;
}

/* --- a VM's group --- */

int
cgroup_dir(const struct cgroup *g, enum cgroup_controller c, bool *ret_v2)
{
    for (unsigned i = 0; i < g->root->n; i++)
        if (g->root->h[i].controllers & 1u << c) {
            *ret_v2 = g->root->h[i].v2;
            return g->fd[i];
        }
    return -1;
}

int
cgroup_v2(const struct cgroup *g)
{
    for (unsigned i = 0; i < g->root->n; i++)
        if (g->root->h[i].v2)
            return g->fd[i];
    return -1;
}

int
cgroup_check_id(const char *id, struct err *reterr)
{
    return id_valid(id) ? 0
                        : err_set(reterr, -EINVAL, "invalid",
                                  "cgroup: \"%.40s\" is no id", id);
}

static struct cgroup *
group_new(const struct cgroup_root *r, const char *id)
{
    struct cgroup *g = xnew(struct cgroup);

    g->root = r;
    snprintf(g->id, sizeof(g->id), "%s", id);
    for (unsigned i = 0; i < CGROUP_MAX_HIERARCHIES; i++)
        g->fd[i] = g->procs[i] = -1;
    return g;
}

void
cgroup_free(struct cgroup *g)
{
    if (!g)
        return;
    for (unsigned i = 0; i < CGROUP_MAX_HIERARCHIES; i++) {
        closep(&g->fd[i]);
        closep(&g->procs[i]);
    }
    free(g);
}

static void
group_freep(struct cgroup **g)
{
    cgroup_free(*g);
}

int
cgroup_new(struct cgroup_root *r, const char *id, struct cgroup **ret,
           struct err *reterr)
{
    struct cgroup *g _cleanup_(group_freep) = NULL;
    /* A former one's figures would be taken for this one's. */
    int e = cgroup_remove(r, id, reterr);

    if (e < 0)
        return e;
    g = group_new(r, id);
    for (unsigned i = 0; e == 0 && i < r->n; i++) {
        e = mkdirat(r->h[i].fd, id, 0755) < 0 ? -errno : 0;
        if (e == 0)
            e = g->fd[i] = cgroup_open_dir(r->h[i].fd, id);
        if (e >= 0) {
            g->procs[i] =
                openat(g->fd[i], "cgroup.procs", O_WRONLY | O_CLOEXEC);
            e = g->procs[i] < 0 ? -errno : 0;
        }
    }
    if (e < 0) {
        err_errno(reterr, e, "cgroup %s", id);
        if (cgroup_remove(r, id, NULL) < 0)
            log_warn("half a cgroup stays behind", "inst=%s", id);
        return e;
    }
    *ret = TAKE_PTR(g);
    return 0;
}

int
cgroup_open(struct cgroup_root *r, const char *id, struct cgroup **ret,
            struct err *reterr)
{
    struct cgroup *g _cleanup_(group_freep) = NULL;
    int e = cgroup_check_id(id, reterr);

    if (e < 0)
        return e;
    g = group_new(r, id);
    for (unsigned i = 0; i < r->n; i++) {
        g->fd[i] = cgroup_open_dir(r->h[i].fd, id);
        if (g->fd[i] < 0)
            return err_errno(reterr, g->fd[i], "cgroup %s", id);
    }
    *ret = TAKE_PTR(g);
    return 0;
}

int
cgroup_clone_fd(const struct cgroup *g)
{
    return g->root->n == 1 ? cgroup_v2(g) : -1;
}

unsigned
cgroup_procs_fds(const struct cgroup *g, int fds[CGROUP_CONTROLLERS + 1])
{
    unsigned n = 0;

    for (unsigned i = 0; i < g->root->n; i++)
        if (g->procs[i] >= 0)
            fds[n++] = g->procs[i];
    return n;
}

int
cgroup_join(const int *fds, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (write(fds[i], "0", 1) != 1)
            return errno ? -errno : -EIO;
    return 0;
}

int
cgroup_add(struct cgroup *g, pid_t pid, struct err *reterr)
{
    for (unsigned i = 0; i < g->root->n; i++) {
        int r = cgroup_write(g->fd[i], "cgroup.procs", reterr, "%d", (int)pid);

        if (r < 0)
            return r;
    }
    return 0;
}
