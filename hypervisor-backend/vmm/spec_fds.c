/* spec_fds.c - whether descriptors are what a description says of them; see
 * spec.h. Nothing here changes what a descriptor refers to. */
#include <config.h>

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/vhost.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/mem.h"
#include "hypervisor-backend/vmm/spec.h"

/* mode: O_RDONLY readable, O_WRONLY writable, O_RDWR both. */
static int
check_mode(int flags, int mode, const char *ptr, struct err *e)
{
    int has = flags & O_ACCMODE;

    if (flags & O_PATH)
        return err_field(e, ptr, "wrong_kind", "is a path only");
    if (mode != O_WRONLY && has == O_WRONLY)
        return err_field(e, ptr, "wrong_kind", "is not open for reading");
    if (mode != O_RDONLY && has == O_RDONLY)
        return err_field(e, ptr, "wrong_kind", "is not open for writing");
    return 0;
}

/* Open at all; then it is ours alone. */
static int
check_open(int64_t fd, const char *ptr, int *ret_flags, struct stat *ret,
           struct err *e)
{
    *ret_flags = fd > INT32_MAX ? -1 : fcntl((int)fd, F_GETFL);
    if (*ret_flags < 0 || fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0 ||
        fstat((int)fd, ret) < 0)
        return err_field(e, ptr, "not_open", "is not an open descriptor");
    return 0;
}

static int
check_file(int64_t fd, int mode, bool device_too, const char *ptr,
           struct err *e)
{
    struct stat st;
    int flags, r = check_open(fd, ptr, &flags, &st, e);

    if (r < 0)
        return r;
    if (!S_ISREG(st.st_mode) && !(device_too && S_ISBLK(st.st_mode)))
        return err_field(e, ptr, "wrong_kind", "is not a regular file%s",
                         device_too ? " or block device" : "");
    return check_mode(flags, mode, ptr, e);
}

static int
socket_option(int64_t fd, int option)
{
    int v;
    socklen_t n = sizeof(v);

    return getsockopt((int)fd, SOL_SOCKET, option, &v, &n) < 0 ? -1 : v;
}

static int
check_listening(int64_t fd, const char *ptr, struct err *e)
{
    struct stat st;
    int flags, r = check_open(fd, ptr, &flags, &st, e);

    if (r < 0)
        return r;
    if (!S_ISSOCK(st.st_mode) || socket_option(fd, SO_DOMAIN) != AF_UNIX ||
        socket_option(fd, SO_TYPE) != SOCK_STREAM ||
        socket_option(fd, SO_ACCEPTCONN) != 1)
        return err_field(e, ptr, "wrong_kind",
                         "is not a listening unix stream socket");
    return 0;
}

static int
check_kvm(int64_t fd, const char *ptr, struct err *e)
{
    struct stat st;
    int flags, r = check_open(fd, ptr, &flags, &st, e);

    if (r < 0)
        return r;
    if (!S_ISCHR(st.st_mode) ||
        ioctl((int)fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
        return err_field(e, ptr, "wrong_kind", "is not /dev/kvm");
    return check_mode(flags, O_RDWR, ptr, e);
}

static int
check_console(int64_t fd, const char *ptr, struct err *e)
{
    struct stat st;
    int flags, r = check_open(fd, ptr, &flags, &st, e);

    if (r < 0)
        return r;
    if (!(S_ISSOCK(st.st_mode) && socket_option(fd, SO_TYPE) == SOCK_STREAM) &&
        !S_ISFIFO(st.st_mode) && !isatty((int)fd))
        return err_field(e, ptr, "wrong_kind",
                         "is not a stream socket, pipe or terminal");
    return flags & O_PATH ? check_mode(flags, O_RDWR, ptr, e) : 0;
}

static int
check_log(int64_t fd, const char *ptr, struct err *e)
{
    int r = check_file(fd, O_WRONLY, false, ptr, e);

    if (r == 0 && !(fcntl((int)fd, F_GETFL) & O_APPEND))
        r = err_field(e, ptr, "wrong_kind", "is not open for appending");
    return r;
}

static int
check_folder(int64_t fd, const char *ptr, struct err *e)
{
    struct stat st;
    int flags, r = check_open(fd, ptr, &flags, &st, e);

    if (r == 0 && !S_ISDIR(st.st_mode))
        r = err_field(e, ptr, "wrong_kind", "is not a folder");
    return r;
}

static int
check_tap(int64_t fd, bool several, const char *ptr, struct err *e)
{
    struct ifreq ifr = {0};
    struct stat st;
    int flags, r = check_open(fd, ptr, &flags, &st, e);

    if (r < 0)
        return r;
    if (!S_ISCHR(st.st_mode) || ioctl((int)fd, TUNGETIFF, &ifr) < 0 ||
        !(ifr.ifr_flags & IFF_TAP))
        return err_field(e, ptr, "wrong_kind", "is not a tap");
    if (!(ifr.ifr_flags & IFF_NO_PI) || !(ifr.ifr_flags & IFF_VNET_HDR))
        return err_field(e, ptr, "wrong_kind",
                         "is a tap without IFF_NO_PI and IFF_VNET_HDR");
    if (several && !(ifr.ifr_flags & IFF_MULTI_QUEUE))
        return err_field(e, ptr, "wrong_kind",
                         "is a tap without IFF_MULTI_QUEUE");
    return check_mode(flags, O_RDWR, ptr, e);
}

static int
check_packets(int64_t fd, const char *ptr, struct err *e)
{
    struct stat st;
    int flags, type, r = check_open(fd, ptr, &flags, &st, e);

    if (r < 0)
        return r;
    type = socket_option(fd, SO_TYPE);
    if (!S_ISSOCK(st.st_mode) || socket_option(fd, SO_DOMAIN) != AF_UNIX ||
        (type != SOCK_SEQPACKET && type != SOCK_DGRAM))
        return err_field(e, ptr, "wrong_kind",
                         "is not a unix socket of packets");
    return 0;
}

static int
check_vhost(int64_t fd, const char *ptr, struct err *e)
{
    uint64_t features;
    struct stat st;
    int flags, r = check_open(fd, ptr, &flags, &st, e);

    if (r == 0 && (!S_ISCHR(st.st_mode) ||
                   ioctl((int)fd, VHOST_GET_FEATURES, &features) < 0))
        r = err_field(e, ptr, "wrong_kind", "is not /dev/vhost-net");
    return r;
}

/* The first fault counts where several steps each may find one. */
static int
also(int r, int next)
{
    return r < 0 ? r : next;
}

int
spec_check_disk(const struct spec_disk *d, const char *ptr, struct err *reterr)
{
    char at[64];

    snprintf(at, sizeof(at), "%s/fd", ptr);
    return check_file(d->fd, d->read_only ? O_RDONLY : O_RDWR, true, at,
                      reterr);
}

int
spec_check_nic(const struct spec_nic *n, const char *ptr, struct err *reterr)
{
    const int64_t *fds = n->fds.items, *vhost = n->vhost_fds.items;
    uint8_t mac[6];
    char at[64];
    int r = 0;

    snprintf(at, sizeof(at), "%s/mac", ptr);
    if (spec_parse_mac(n->mac, mac) < 0)
        r = err_field(reterr, at, "mac",
                      "must be one station's address, as 52:54:00:00:00:01");
    snprintf(at, sizeof(at), "%s/mtu", ptr);
    if (n->mtu && n->mtu < 68)
        r = err_field(reterr, at, "range", "must be 0 or 68 to 65535");
    snprintf(at, sizeof(at), "%s/fds", ptr);
    if (n->kind == DEVICES_NIC_PACKETS && n->fds.n > 1)
        r = err_field(reterr, at, "too_many", "must be one for packets");
    snprintf(at, sizeof(at), "%s/vhost_fds", ptr);
    if (n->vhost_fds.n && n->vhost_fds.n != n->fds.n)
        r = err_field(reterr, at, "count", "must be as many as fds, or none");
    if (n->vhost_fds.n && n->kind != DEVICES_NIC_TAP)
        r = err_field(reterr, at, "kind", "go with a tap only");
    for (size_t i = 0; i < n->fds.n; i++) {
        snprintf(at, sizeof(at), "%s/fds/%zu", ptr, i);
        r = also(r, n->kind == DEVICES_NIC_TAP
                        ? check_tap(fds[i], n->fds.n > 1, at, reterr)
                        : check_packets(fds[i], at, reterr));
    }
    for (size_t i = 0; i < n->vhost_fds.n; i++) {
        snprintf(at, sizeof(at), "%s/vhost_fds/%zu", ptr, i);
        r = also(r, check_vhost(vhost[i], at, reterr));
    }
    return r;
}

/* ---- all of a description ---- */

struct seen {
    const struct spec *spec;
    struct {
        int64_t fd;
        char ptr[48];
    } * of;
    size_t n;
    struct err *e;
    int r;
};

static int
check_once(int64_t *fd, const char *ptr, void *arg)
{
    struct seen *s = arg;

    for (size_t i = 0; i < s->n; i++)
        if (s->of[i].fd == *fd) {
            s->r =
                err_field(s->e, ptr, "duplicate", "is also %s", s->of[i].ptr);
            return 0;
        }
    s->of = xrealloc(s->of, (s->n + 1) * sizeof(*s->of));
    s->of[s->n].fd = *fd;
    snprintf(s->of[s->n++].ptr, sizeof(s->of->ptr), "%s", ptr);
    return 0;
}

static int
check_devices(const struct spec *s, struct err *e)
{
    const struct spec_disk *disks = s->disks.items;
    const struct spec_nic *nics = s->nics.items;
    const struct spec_console *consoles = s->consoles.items;
    char ptr[48];
    int r = 0;

    for (size_t i = 0; i < s->disks.n; i++) {
        snprintf(ptr, sizeof(ptr), "/disks/%zu", i);
        r = also(r, spec_check_disk(&disks[i], ptr, e));
    }
    for (size_t i = 0; i < s->nics.n; i++) {
        snprintf(ptr, sizeof(ptr), "/nics/%zu", i);
        r = also(r, spec_check_nic(&nics[i], ptr, e));
    }
    for (size_t i = 0; i < s->consoles.n; i++) {
        snprintf(ptr, sizeof(ptr), "/consoles/%zu/fd", i);
        r = also(r, check_console(consoles[i].fd, ptr, e));
    }
    return r;
}

int
spec_check_end(const struct spec *s, struct err *reterr)
{
    return check_file(s->end_fd, O_WRONLY, false, "/end_fd", reterr);
}

int
spec_check_fds(const struct spec *s, struct err *reterr)
{
    struct seen seen = {.e = reterr};
    int r;

    /* Only looks; the cast is for the walk that also closes. */
    spec_each_fd((struct spec *)(uintptr_t)s, check_once, &seen);
    free(seen.of);
    r = also(seen.r, check_kvm(s->kvm_fd, "/kvm_fd", reterr));
    r = also(r,
             check_file(s->kernel_fd, O_RDONLY, false, "/kernel_fd", reterr));
    if (s->initrd_fd >= 0)
        r = also(
            r, check_file(s->initrd_fd, O_RDONLY, false, "/initrd_fd", reterr));
    if (s->control_fd >= 0)
        r = also(r, check_listening(s->control_fd, "/control_fd", reterr));
    if (s->console_log_fd >= 0)
        r = also(r, check_log(s->console_log_fd, "/console_log_fd", reterr));
    if (s->end_fd >= 0)
        r = also(r, spec_check_end(s, reterr));
    if (s->vsock && s->vsock->listen_fd >= 0)
        r = also(r, check_listening(s->vsock->listen_fd, "/vsock/listen_fd",
                                    reterr));
    if (s->jail)
        r = also(r, check_folder(s->jail->root_fd, "/jail/root_fd", reterr));
    return also(r, check_devices(s, reterr));
}
