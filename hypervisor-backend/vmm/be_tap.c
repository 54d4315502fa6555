/* be_tap.c - taps; see be_tap.h. */
#include <config.h>

#include "hypervisor-backend/vmm/be_tap.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>

static int
open_queue(const char *name, short flags, int *ret_fd, struct err *reterr)
{
    struct ifreq ifr = {.ifr_flags = flags};
    int fd _cleanup_(closep) = -1;
    size_t n = strlen(name);

    if (!n || n >= sizeof(ifr.ifr_name) || strpbrk(name, "/%"))
        return err_set(reterr, -EINVAL, "invalid", "\"%s\" names no interface",
                       name);
    fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_errno(reterr, -errno, "/dev/net/tun");
    memcpy(ifr.ifr_name, name, n);
    if (ioctl(fd, TUNSETIFF, &ifr) < 0)
        return err_errno(reterr, -errno, "tap %s", name);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int
be_tap_open(const char *name, int *ret_fd, struct err *reterr)
{
    return be_tap_open_queues(name, 1, ret_fd, reterr);
}

int
be_tap_open_queues(const char *name, unsigned n, int *ret_fds,
                   struct err *reterr)
{
    short flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;

    if (!n)
        return err_set(reterr, -EINVAL, "invalid", "one queue at the least");
    if (n > 1)
        flags |= IFF_MULTI_QUEUE;
    for (unsigned i = 0; i < n; i++) {
        int r = open_queue(name, flags, &ret_fds[i], reterr);

        if (r < 0) {
            while (i--)
                closep(&ret_fds[i]);
            return r;
        }
    }
    return 0;
}

int
be_tap_check(int fd, bool several, bool *ret_is_tap)
{
    const int need =
        IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (several ? IFF_MULTI_QUEUE : 0);
    struct ifreq ifr = {0};
    unsigned features;

    *ret_is_tap = ioctl(fd, TUNGETFEATURES, &features) == 0;
    if (!*ret_is_tap)
        return 0;
    /* EINVAL: it was not detached. */
    int r = several ? be_tap_attach(fd, true) : 0;
    if (r < 0 && r != -EINVAL)
        return r;
    if (ioctl(fd, TUNGETIFF, &ifr) < 0)
        return -errno;
    return (ifr.ifr_flags & need) == need ? 0 : -EINVAL;
}

int
be_tap_set_header(int fd, int bytes)
{
    return ioctl(fd, TUNSETVNETHDRSZ, &bytes) < 0 ? -errno : 0;
}

int
be_tap_set_offload(int fd, unsigned flags)
{
    return ioctl(fd, TUNSETOFFLOAD, (unsigned long)flags) < 0 ? -errno : 0;
}

int
be_tap_attach(int fd, bool on)
{
    struct ifreq ifr = {.ifr_flags = on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE};

    return ioctl(fd, TUNSETQUEUE, &ifr) < 0 ? -errno : 0;
}
