/* jail.c - one step after the other into the jail; see jail.h.
 *
 * Order matters where a step takes away what another needs: the mount is
 * cloned before the mount namespace is left (a descriptor of another one can
 * not be cloned), descriptors are closed after the last use of root_fd,
 * everything that needs a capability comes before they go, Landlock after
 * NO_NEW_PRIVS (landlock_restrict_self(2)). */
#include <config.h>

#include "hypervisor-backend/vmm/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <malloc.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/jail-private.h"

#define MAX_FDS_DEFAULT 1024u
/* Threads, and the workers that io_uring makes in the name of this user. */
#define MAX_TASKS 512u
#define MAX_ARENAS 8
#define MEMLOCK_BYTES (UINT64_C(8) << 20)
/* Beside guest memory (twice, for a reset that builds before it frees):
 * arenas, stacks, reservations; address space is no memory. */
#define ADDRESS_SPARE (UINT64_C(16) << 30)

static bool entered;

bool
jail_entered(void)
{
    return entered;
}

/* --- before anything changes --- */

static int
check(const struct jail_config *c, struct err *reterr)
{
    struct stat st;

    if (c->uid == 0 || c->gid == 0 || c->uid == (uid_t)-1 ||
        c->gid == (gid_t)-1)
        return err_set(reterr, -EINVAL, "invalid",
                       "jail: a VM's user and group are neither root nor -1");
    if (c->need_pid_namespace && getpid() != 1)
        return err_set(reterr, -EINVAL, "invalid",
                       "jail: the process is not the first of a pid namespace");
    if (fstat(c->root_fd, &st) < 0)
        return err_errno(reterr, -errno, "jail: root directory");
    if (!S_ISDIR(st.st_mode))
        return err_errno(reterr, -ENOTDIR, "jail: root directory");
    if (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)))
        return err_set(reterr, -EPERM, "forbidden",
                       "jail: others than root may change the root directory");
    return 0;
}

/* What may stay open is where data goes; a directory leads to files. */
static int
check_kept(const struct jail_config *c, struct err *reterr)
{
    for (size_t i = 0; i < c->n_keep_fds; i++) {
        int fd = c->keep_fds[i], flags;
        struct stat st;

        flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fstat(fd, &st) < 0)
            return err_errno(reterr, -errno, "jail: descriptor %d to keep", fd);
        if (S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode) || (flags & O_PATH))
            return err_set(reterr, -EPERM, "forbidden",
                           "jail: descriptor %d would lead out of the jail",
                           fd);
    }
    return 0;
}

/* --- descriptors --- */

static int
by_number(const void *a, const void *b)
{
    const int *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static int
close_span(unsigned first, unsigned last)
{
    return close_range(first, last, 0) < 0 ? -errno : 0;
}

static int
close_others(const struct jail_config *c, struct err *reterr)
{
    int *keep _cleanup_(freep) = xcalloc(c->n_keep_fds + 1, sizeof(*keep));
    unsigned next = 0;
    int r = 0;

    if (c->n_keep_fds)
        memcpy(keep, c->keep_fds, c->n_keep_fds * sizeof(*keep));
    qsort(keep, c->n_keep_fds, sizeof(*keep), by_number);
    for (size_t i = 0; r == 0 && i < c->n_keep_fds; i++) {
        unsigned fd = (unsigned)keep[i];

        if (fd > next)
            r = close_span(next, fd - 1);
        if (fd >= next)
            next = fd + 1;
    }
    if (r == 0)
        r = close_span(next, ~0u);
    return r < 0 ? err_errno(reterr, r, "jail: closing descriptors") : 0;
}

/* --- rights --- */

static int
limit_one(int what, uint64_t value)
{
    struct rlimit now, want;

    if (getrlimit((__rlimit_resource_t)what, &now) < 0)
        return -errno;
    /* Never up: that would take a capability that not every host gives. */
    want.rlim_cur = want.rlim_max = MIN((rlim_t)value, now.rlim_max);
    return setrlimit((__rlimit_resource_t)what, &want) < 0 ? -errno : 0;
}

static int
limit(const struct jail_config *c, struct err *reterr)
{
    const struct {
        int what;
        const char *name;
        uint64_t value;
        bool skip;
    } limits[] = {
        {RLIMIT_CORE, "core", 0, false},
        {RLIMIT_NOFILE, "nofile", c->max_fds ? c->max_fds : MAX_FDS_DEFAULT,
         false},
        {RLIMIT_NPROC, "nproc", MAX_TASKS, false},
        {RLIMIT_MEMLOCK, "memlock", MEMLOCK_BYTES, false},
        {RLIMIT_MSGQUEUE, "msgqueue", 0, false},
        {RLIMIT_NICE, "nice", 0, false},
        {RLIMIT_RTPRIO, "rtprio", 0, false},
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        {RLIMIT_AS, "as", 2 * c->memory_bytes + ADDRESS_SPARE,
         c->memory_bytes == 0 || c->memory_bytes > UINT64_MAX / 4},
#endif
    };

    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        int r = limits[i].skip ? 0 : limit_one(limits[i].what, limits[i].value);

        if (r < 0)
            return err_errno(reterr, r, "jail: limit %s", limits[i].name);
    }
    return 0;
}

static int
drop_bounding(void)
{
    /* To the last that this kernel knows; -EINVAL is the one after it. */
    for (unsigned long cap = 0;; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return errno == EINVAL && cap > CAP_SETPCAP ? 0 : -errno;
}

static int
empty_capabilities(void)
{
    struct __user_cap_header_struct h = {.version =
                                             _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct d[_LINUX_CAPABILITY_U32S_3] = {0};

    if (syscall(SYS_capset, &h, d) < 0 || syscall(SYS_capget, &h, d) < 0)
        return -errno;
    for (size_t i = 0; i < ARRAY_SIZE(d); i++)
        if (d[i].effective | d[i].permitted | d[i].inheritable)
            return -EPERM;
    return 0;
}

static int
change_user(const struct jail_config *c)
{
    uid_t u[3];
    gid_t g[3];

    if (setgroups(0, NULL) < 0 || setresgid(c->gid, c->gid, c->gid) < 0 ||
        setresuid(c->uid, c->uid, c->uid) < 0)
        return -errno;
    if (getresuid(&u[0], &u[1], &u[2]) < 0 ||
        getresgid(&g[0], &g[1], &g[2]) < 0 || getgroups(0, NULL) != 0)
        return -EPERM;
    for (int i = 0; i < 3; i++)
        if (u[i] != c->uid || g[i] != c->gid)
            return -EPERM;
    return 0;
}

static int
drop_rights(const struct jail_config *c, struct err *reterr)
{
    /* Root is a user like others for good, and nothing keeps or raises a
     * capability over a change of user. */
    const unsigned long bits =
        SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED |
        SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
        SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    int r;

    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return err_errno(reterr, -errno, "jail: ambient capabilities");
    if (prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0)
        return err_errno(reterr, -errno, "jail: secure bits");
    r = drop_bounding();
    if (r < 0)
        return err_errno(reterr, r, "jail: bounding capabilities");
    r = change_user(c);
    if (r < 0)
        return err_errno(reterr, r, "jail: user %u", (unsigned)c->uid);
    r = empty_capabilities();
    if (r < 0)
        return err_errno(reterr, r, "jail: capabilities");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_errno(reterr, -errno, "jail: no new privileges");
    /* After the change of user, which sets it anew. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_errno(reterr, -errno, "jail: not dumpable");
    return 0;
}

/* --- all of it --- */

/* A terminal of the starter is none of the VM's. */
static int
own_session(struct err *reterr)
{
    if (setsid() < 0 && getsid(0) != getpid())
        return err_errno(reterr, -errno, "jail: session");
    return 0;
}

/* What the C library would read from files at its first use: the time zone
 * (gmtime_r(3) as well), and the number of processors for malloc's arenas. */
static int
settle_libc(struct err *reterr)
{
    tzset();
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    /* Sanitizers have an allocator of their own, without such a knob. */
    if (mallopt(M_ARENA_MAX, MAX_ARENAS) != 1)
        return err_set(reterr, -EINVAL, "internal", "jail: malloc's arenas");
#endif
    return 0;
}

int
jail_enter(const struct jail_config *c, struct err *reterr)
{
    const char *hostname = c->hostname ? c->hostname : "vm";
    int tree _cleanup_(closep) = -1;
    int r;

    r = check(c, reterr);
    if (r == 0)
        r = check_kept(c, reterr);
    if (r == 0)
        r = own_session(reterr);
    if (r == 0)
        r = settle_libc(reterr);
    if (r == 0)
        r = jail_clone_root(c->root_fd, &tree, reterr);
    if (r < 0)
        return r;
    if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
                CLONE_NEWCGROUP) < 0)
        return err_errno(reterr, -errno, "jail: namespaces");
    if (sethostname(hostname, strlen(hostname)) < 0)
        return err_errno(reterr, -errno, "jail: host name");
    if (setdomainname("", 0) < 0)
        return err_errno(reterr, -errno, "jail: domain name");
    r = jail_pivot(tree, reterr);
    closep(&tree);
    if (r == 0)
        r = close_others(c, reterr);
    if (r == 0)
        r = limit(c, reterr);
    if (r == 0)
        r = drop_rights(c, reterr);
    if (r == 0)
        r = jail_landlock(reterr);
    if (r < 0)
        return r;
    umask(077);
    entered = true;
    return 0;
}
