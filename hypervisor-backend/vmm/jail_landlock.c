/* jail_landlock.c - no file, no port, by the kernel's own word; see
 * jail-private.h. The numbers are those of linux/landlock.h, of a newer
 * kernel than the headers here. A ruleset that handles a right and has no
 * rule for it denies it everywhere; descriptors that are open keep theirs. */
#include <config.h>

#include "hypervisor-backend/vmm/jail-private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>

#define CREATE_RULESET_VERSION 1u

/* What each version of the interface added. */
#define FS_RIGHTS_1 ((UINT64_C(1) << 13) - 1) /* execute to make_sym */
#define FS_REFER_2 (UINT64_C(1) << 13)
#define FS_TRUNCATE_3 (UINT64_C(1) << 14)
#define FS_IOCTL_DEV_5 (UINT64_C(1) << 15)
#define NET_BIND_CONNECT_TCP_4 UINT64_C(3)
#define SCOPE_ABSTRACT_AND_SIGNAL_6 UINT64_C(3)

struct ruleset_attr {
    uint64_t handled_access_fs;
    uint64_t handled_access_net; /* since 4 */
    uint64_t scoped;             /* since 6 */
};

static void
handle(long abi, struct ruleset_attr *a, size_t *ret_size)
{
    *a = (struct ruleset_attr){.handled_access_fs = FS_RIGHTS_1};
    *ret_size = sizeof(a->handled_access_fs);
    if (abi >= 2)
        a->handled_access_fs |= FS_REFER_2;
    if (abi >= 3)
        a->handled_access_fs |= FS_TRUNCATE_3;
    if (abi >= 4) {
        a->handled_access_net = NET_BIND_CONNECT_TCP_4;
        *ret_size += sizeof(a->handled_access_net);
    }
    if (abi >= 5)
        a->handled_access_fs |= FS_IOCTL_DEV_5;
    if (abi >= 6) {
        a->scoped = SCOPE_ABSTRACT_AND_SIGNAL_6;
        *ret_size += sizeof(a->scoped);
    }
}

int
jail_landlock(struct err *reterr)
{
    struct ruleset_attr a;
    size_t size;
    int fd _cleanup_(closep) = -1;
    long abi =
        syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);

    if (abi < 0) {
        /* Not built in, or not switched on at boot: the rest of the jail
         * stands by itself. */
        if (errno == ENOSYS || errno == EOPNOTSUPP)
            return 0;
        return err_errno(reterr, -errno, "jail: Landlock's version");
    }
    handle(abi, &a, &size);
    fd = (int)syscall(SYS_landlock_create_ruleset, &a, size, 0);
    if (fd < 0)
        return err_errno(reterr, -errno, "jail: Landlock's rules");
    if (syscall(SYS_landlock_restrict_self, fd, 0) < 0)
        return err_errno(reterr, -errno, "jail: Landlock");
    return 0;
}
