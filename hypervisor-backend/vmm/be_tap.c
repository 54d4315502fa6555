/* be_tap.c - taps; see be_tap.h. */
#include <config.h>

#include "hypervisor-backend/vmm/be_tap.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>

int
be_tap_open(const char *name, int *ret_fd, struct err *reterr)
{
    struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
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
