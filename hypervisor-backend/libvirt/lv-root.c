/* lv-root.c - the folder that an embedded libvirt works in.
 *   ROOT/etc/qemu.conf, etc/qemu/NAME.xml   settings, defined domains
 *   ROOT/run/qemu/NAME.xml, NAME.pid        running domains
 *   ROOT/log/qemu/NAME.log                  QEMU's standard error
 *   ROOT/lib/qemu/domain-N-NAME/            monitor socket
 *   ROOT/ends/ID                            ours, see lv-ends.c */
#include <config.h>

#include <dirent.h>
#include <string.h>
#include <sys/un.h>

#include "common/count.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/libvirt/lv-private.h"

/* The longest socket path that libvirt makes under its root: it cuts names to
 * 20 characters; a million VM starts fit in the number. */
#define LONGEST_SOCKET                                                         \
    "/lib/qemu/domain-1234567-virga-12345678901234/monitor.sock"

/* No helper daemons (virtlogd), cgroups, namespaces or ownership games: the
 * QEMU processes belong to the agent's user and its files are theirs.
 * QEMU's own seccomp filter is on. */
static const char qemu_conf[] =
    "# Written by the hypervisor driver at each start; edits are lost.\n"
    "security_driver = \"none\"\n"
    "dynamic_ownership = 0\n"
    "remember_owner = 0\n"
    "cgroup_controllers = [ ]\n"
    "namespaces = [ ]\n"
    "stdio_handler = \"file\"\n"
    "seccomp_sandbox = 1\n";
static const char qemu_conf_root[] = "user = \"root\"\n"
                                     "group = \"root\"\n";

static int
check_root(const char *root, struct err *reterr)
{
    struct sockaddr_un sa;
    size_t max = sizeof(sa.sun_path) - sizeof(LONGEST_SOCKET);

    if (strlen(root) > max)
        return err_field(reterr, "/state_dir", "length",
                         "%s is too long for libvirt's sockets in it: at most "
                         "%zu bytes",
                         root, max);
    /* libvirt splits its log settings at spaces. */
    for (const char *p = root; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return err_field(reterr, "/state_dir", "format",
                             "must not hold spaces or control characters");
    return 0;
}

int
lv_root_prepare(const char *root, struct err *reterr)
{
    char *etc _cleanup_(freep) = xasprintf("%s/etc", root);
    char *ends _cleanup_(freep) = xasprintf("%s/ends", root);
    char *conf _cleanup_(freep) = xasprintf("%s/qemu.conf", etc);
    struct buf want _cleanup_(buf_release) = {0};
    struct buf have _cleanup_(buf_release) = {0};
    int r = check_root(root, reterr);

    if (r == 0)
        r = fs_mkdirs(etc, reterr);
    if (r == 0)
        r = fs_mkdirs(ends, reterr);
    if (r < 0)
        return r;
    buf_adds(&want, qemu_conf);
    if (geteuid() == 0)
        buf_adds(&want, qemu_conf_root);
    r = fs_read(conf, want.len, &have, NULL);
    if (r == 0 && streq(buf_str(&have), buf_str(&want)))
        return 0;
    return fs_write_atomic(conf, want.data, want.len, 0600, reterr);
}

char *
lv_root_log(const char *root, const char *id)
{
    return xasprintf("%s/log/qemu/" LV_NAME_PREFIX "%s.log", root, id);
}

/* Is this process the QEMU of that instance? Process ids are used again, and
 * these files outlive a reboot of the machine. */
static bool
is_our_qemu(long pid, const char *id)
{
    char *path _cleanup_(freep) = xasprintf("/proc/%ld/cmdline", pid);
    char *want _cleanup_(freep) = xasprintf("guest=" LV_NAME_PREFIX "%s,", id);
    struct buf b _cleanup_(buf_release) = {0};

    if (fs_read(path, 1 << 20, &b, NULL) < 0 || !b.len)
        return false;
    return memmem(b.data, b.len, want, strlen(want)) != NULL;
}

/* The value of the first `name='…'` after `element` in libvirt's own file;
 * NULL when it is not there. The caller frees it. */
static char *
status_attribute(const char *xml, const char *element, const char *name)
{
    const char *p = strstr(xml, element);
    const char *close = p ? strchr(p, '>') : NULL;
    const char *at, *end;

    if (!close || !(at = strstr(p, name)) || at > close)
        return NULL;
    at += strlen(name);
    end = strchr(at, '\'');
    return end && end < close ? xstrndup(at, (size_t)(end - at)) : NULL;
}

static int
read_status(const char *root, const char *id, struct buf *ret)
{
    char *path _cleanup_(freep) =
        xasprintf("%s/run/qemu/" LV_NAME_PREFIX "%s.xml", root, id);

    return fs_read(path, 4 << 20, ret, NULL);
}

static int
status_pid(const char *xml, const char *id)
{
    char *text _cleanup_(freep) =
        status_attribute(xml, "<domstatus ", " pid='");
    char *end;
    long pid;

    if (!text)
        return -EBADMSG;
    errno = 0;
    pid = strtol(text, &end, 10);
    if (errno || end == text || *end || pid < 0 || pid > INT32_MAX)
        return -EBADMSG;
    return pid > 1 && is_our_qemu(pid, id) ? (int)pid : -ENOENT;
}

int
lv_root_pid(const char *root, const char *id)
{
    struct buf b _cleanup_(buf_release) = {0};
    int r = read_status(root, id, &b);

    return r < 0 ? r : status_pid(buf_str(&b), id);
}

/* "virga-ID.xml" gives the id. */
static bool
id_of_status(const char *name, char id[ID_SIZE])
{
    size_t prefix = strlen(LV_NAME_PREFIX);

    if (strlen(name) != prefix + ID_LEN + 4 ||
        strncmp(name, LV_NAME_PREFIX, prefix) != 0 ||
        !streq(name + prefix + ID_LEN, ".xml"))
        return false;
    memcpy(id, name + prefix, ID_LEN);
    id[ID_LEN] = '\0';
    return id_valid(id);
}

/* The dead QEMU's folders of sockets, which nobody else removes. */
static int
remove_sockets(const char *root, const char *xml, struct err *reterr)
{
    char *sock _cleanup_(freep) = status_attribute(xml, "<monitor ", " path='");
    char *lib _cleanup_(freep) = xasprintf("%s/lib/qemu/", root);
    char *slash = sock ? strrchr(sock, '/') : NULL;
    char *channels _cleanup_(freep) = NULL;
    const char *name;
    int r;

    if (!slash || strncmp(sock, lib, strlen(lib)) != 0)
        return 0;
    *slash = '\0';
    name = sock + strlen(lib);
    if (strncmp(name, "domain-", 7) != 0 || strchr(name, '/'))
        return 0;
    channels = xasprintf("%schannel/target/%s", lib, name);
    r = fs_remove_tree(sock, reterr);
    return r < 0 ? r : fs_remove_tree(channels, reterr);
}

static int
remove_status(int dir_fd, const char *id)
{
    static const char *const suffixes[] = {"pid", "xml"};

    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        char name[sizeof(LV_NAME_PREFIX) + ID_SIZE + 8];

        snprintf(name, sizeof(name), LV_NAME_PREFIX "%s.%s", id, suffixes[i]);
        if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
            return -errno;
    }
    return 0;
}

int
lv_root_sweep(const char *root, void (*fn)(const char *id, void *arg),
              void *arg, struct err *reterr)
{
    char *run _cleanup_(freep) = xasprintf("%s/run/qemu", root);
    DIR *d _cleanup_(closedirp) = opendir(run);
    struct dirent *de;
    char id[ID_SIZE];

    if (!d && errno == ENOENT)
        return 0;
    if (!d)
        return err_errno(reterr, -errno, "cannot list %s", run);
    while ((errno = 0, de = readdir(d))) {
        struct buf xml _cleanup_(buf_release) = {0};
        int r;

        /* What cannot be read is left to libvirt: it may be running. */
        if (!id_of_status(de->d_name, id) || read_status(root, id, &xml) < 0 ||
            status_pid(buf_str(&xml), id) != -ENOENT)
            continue;
        r = remove_sockets(root, buf_str(&xml), reterr);
        if (r < 0)
            return r;
        r = remove_status(dirfd(d), id);
        if (r < 0)
            return err_errno(reterr, r, "cannot clean up %s", run);
        COUNT(lv_dead_qemu_found);
        log_debug("the QEMU process of a VM is gone", "inst=%s", id);
        fn(id, arg);
    }
    if (errno)
        return err_errno(reterr, -errno, "cannot list %s", run);
    return 0;
}
