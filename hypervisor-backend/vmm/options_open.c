/* options_open.c - opens what the options of `virga-vmm run` name; see
 * options.h. All of it once: a VM that was reset gets the same again. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/log.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/be_tap.h"
#include "hypervisor-backend/vmm/options.h"

static int
open_file(const char *path, int flags, int64_t *ret, struct err *reterr)
{
    int fd;

    if (!path)
        return 0;
    fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    if (fd < 0)
        return err_errno(reterr, -errno, "%s", path);
    *ret = fd;
    return 0;
}

static int
new_socket(const char *path, struct sockaddr_un *to, struct err *reterr)
{
    int fd;

    *to = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (!*path || strlen(path) >= sizeof(to->sun_path))
        return err_set(reterr, -ENAMETOOLONG, "invalid",
                       "%s: a socket's path has at most %zu bytes", path,
                       sizeof(to->sun_path) - 1);
    memcpy(to->sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd < 0 ? err_errno(reterr, -errno, "socket") : fd;
}

/* A socket that nobody listens on any more is what a VM that died left. */
static bool
is_stale(const struct sockaddr_un *at)
{
    int fd _cleanup_(closep) =
        socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct stat st;

    return fd >= 0 && lstat(at->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
           connect(fd, (const struct sockaddr *)at, sizeof(*at)) < 0 &&
           errno == ECONNREFUSED;
}

/* For its owner alone. */
static int
listen_at(const char *path, int64_t *ret, bool *made, struct err *reterr)
{
    struct sockaddr_un at;
    const struct sockaddr *sa = (const struct sockaddr *)&at;
    int fd _cleanup_(closep) = -1;
    mode_t mask;
    int r;

    if (!path)
        return 0;
    fd = new_socket(path, &at, reterr);
    if (fd < 0)
        return fd;
    mask = umask(0177);
    r = bind(fd, sa, sizeof(at)) < 0 ? -errno : 0;
    if (r == -EADDRINUSE && is_stale(&at) && unlink(path) == 0)
        r = bind(fd, sa, sizeof(at)) < 0 ? -errno : 0;
    umask(mask);
    *made = r == 0;
    if (r == 0 && listen(fd, 16) < 0)
        r = -errno;
    if (r < 0)
        return err_errno(reterr, r, "%s", path);
    *ret = TAKE_FD(fd);
    return 0;
}

static int
connect_to(const char *path, int64_t *ret, struct err *reterr)
{
    struct sockaddr_un at;
    int fd _cleanup_(closep) = new_socket(path, &at, reterr);

    if (fd < 0)
        return fd;
    if (connect(fd, (const struct sockaddr *)&at, sizeof(at)) < 0)
        return err_errno(reterr, -errno, "%s", path);
    *ret = TAKE_FD(fd);
    return 0;
}

static int
open_console(const char *path, int64_t *ret, struct err *reterr)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return err_errno(reterr, -errno, "%s", path);
    if (S_ISSOCK(st.st_mode))
        return connect_to(path, ret, reterr);
    return open_file(path, O_RDWR, ret, reterr);
}

/* A host without it is no reason not to run. */
static int
open_vhosts(struct spec_nic *n, unsigned queues, struct err *reterr)
{
    for (unsigned q = 0; q < queues; q++) {
        int fd = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);

        if (fd < 0 && q == 0 && (errno == ENOENT || errno == ENODEV)) {
            log_warn("no vhost on this host; the VM's process moves frames",
                     "errno=%d", errno);
            return 0;
        }
        if (fd < 0)
            return err_errno(reterr, -errno, "/dev/vhost-net");
        codec_ints_add(&n->vhost_fds, fd);
    }
    return 0;
}

static int
open_nic(struct options *o, size_t i, struct err *reterr)
{
    struct spec_nic *n = (struct spec_nic *)o->spec.nics.items + i;

    unsigned queues = (unsigned)o->nics[i].queues;
    int fds[DEVICES_MAX_NIC_QUEUES], r;

    if (!o->nics[i].tap) {
        codec_ints_add(&n->fds, o->nics[i].packets);
        return 0;
    }
    r = be_tap_open_queues(o->nics[i].tap, queues, fds, reterr);
    if (r < 0)
        return r;
    for (unsigned q = 0; q < queues; q++)
        codec_ints_add(&n->fds, fds[q]);
    return o->nics[i].vhost ? open_vhosts(n, queues, reterr) : 0;
}

static int
open_devices(struct options *o, struct err *reterr)
{
    struct spec *s = &o->spec;
    struct spec_disk *disks = s->disks.items;
    struct spec_console *consoles = s->consoles.items;
    int r = 0;

    for (size_t i = 0; r == 0 && i < s->disks.n; i++)
        r = open_file(o->disks[i], disks[i].read_only ? O_RDONLY : O_RDWR,
                      &disks[i].fd, reterr);
    for (size_t i = 0; r == 0 && i < s->nics.n; i++)
        r = open_nic(o, i, reterr);
    for (size_t i = 0; r == 0 && i < s->consoles.n; i++)
        r = o->consoles[i].listen
                ? listen_at(o->consoles[i].path, &consoles[i].fd,
                            &o->consoles[i].made, reterr)
                : open_console(o->consoles[i].path, &consoles[i].fd, reterr);
    if (r == 0 && s->vsock)
        r = listen_at(o->vsock, &s->vsock->listen_fd, &o->made_vsock, reterr);
    return r;
}

int
options_open(struct options *o, struct err *reterr)
{
    struct spec *s = &o->spec;
    int r = open_file(o->kernel, O_RDONLY, &s->kernel_fd, reterr);

    if (r == 0)
        r = open_file(o->initrd, O_RDONLY, &s->initrd_fd, reterr);
    if (r == 0)
        r = open_file("/dev/kvm", O_RDWR, &s->kvm_fd, reterr);
    if (r == 0)
        r = open_file(o->console_log, O_WRONLY | O_APPEND | O_CREAT,
                      &s->console_log_fd, reterr);
    if (r == 0)
        r = open_devices(o, reterr);
    /* Last: who finds it may ask. */
    if (r == 0)
        r = listen_at(o->control, &s->control_fd, &o->made_control, reterr);
    return r;
}

void
options_release(struct options *o)
{
    if (o->made_control && unlink(o->control) < 0)
        perror(o->control);
    for (size_t i = 0; i < ARRAY_SIZE(o->consoles); i++)
        if (o->consoles[i].made && unlink(o->consoles[i].path) < 0)
            perror(o->consoles[i].path);
    if (o->made_vsock && unlink(o->vsock) < 0)
        perror(o->vsock);
    spec_release(&o->spec);
}
