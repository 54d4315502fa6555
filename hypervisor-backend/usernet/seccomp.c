/* seccomp.c - virga-usernet under the filter that seccomp-gen.c wrote; see
 * usernet.h. libslirp reads what the guest sends: whoever takes this process
 * over by it has sockets to addresses and nothing else. */
#include <config.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hypervisor-backend/usernet/seccomp-filter.h"
#include "hypervisor-backend/usernet/usernet.h"

_Static_assert(ARRAY_SIZE(jail_filter_usernet) <= BPF_MAXINSNS,
               "filter's size");

int
usernet_seccomp(struct err *reterr)
{
    /* The kernel only reads it. */
    struct sock_fprog prog = {
        .len = (unsigned short)ARRAY_SIZE(jail_filter_usernet),
        .filter = (struct sock_filter *)jail_filter_usernet};

    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
        return err_errno(reterr, -errno, "seccomp filter");
    return 0;
}
