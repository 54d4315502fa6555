/* jail_seccomp.c - puts threads under the filters that seccomp-gen.c wrote;
 * see jail.h. */
#include <config.h>

#include "hypervisor-backend/vmm/jail.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "common/log.h"
#include "hypervisor-backend/vmm/jail-private.h"
#include "hypervisor-backend/vmm/seccomp-filters.h"

static const struct {
    const char *name;
    const struct sock_filter *filter;
    unsigned short n;
} filters[] = {
    [JAIL_THREAD_MAIN] = {"main", jail_filter_main,
                          ARRAY_SIZE(jail_filter_main)},
    [JAIL_THREAD_VCPU] = {"vcpu", jail_filter_vcpu,
                          ARRAY_SIZE(jail_filter_vcpu)},
    [JAIL_THREAD_IO] = {"io", jail_filter_io, ARRAY_SIZE(jail_filter_io)},
};

_Static_assert(ARRAY_SIZE(filters) == JAIL_THREADS, "a filter for each kind");
_Static_assert(ARRAY_SIZE(jail_filter_main) <= BPF_MAXINSNS, "filter's size");

int
jail_seccomp(enum jail_thread kind, struct err *reterr)
{
    /* The kernel only reads it. */
    struct sock_fprog prog = {.len = filters[kind].n,
                              .filter =
                                  (struct sock_filter *)filters[kind].filter};

    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
        return err_errno(reterr, -errno, "jail: seccomp filter \"%s\"",
                         filters[kind].name);
    return 0;
}

void
jail_thread(enum jail_thread kind)
{
    struct err e = {0};

    if (!jail_entered() || jail_seccomp(kind, &e) == 0)
        return;
    log_error("thread without its filter, the VM ends", "error=\"%s\"",
              e.message);
    abort();
}
