/* first-run.c - preloaded into a hypervisor by bench/vmm.py: writes the
 * monotonic clock, in nanoseconds, to descriptor FIRST_RUN_FD right before the
 * process's first KVM_RUN. */
#include <dlfcn.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define FIRST_RUN_FD 200

int
ioctl(int fd, unsigned long request, ...)
{
    static int (*_Atomic next)(int, unsigned long, ...);
    static atomic_flag told = ATOMIC_FLAG_INIT;
    void *arg;
    va_list ap;

    va_start(ap, request);
    arg = va_arg(ap, void *);
    va_end(ap);
    if (!next)
        next = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
    if (request == KVM_RUN && !atomic_flag_test_and_set(&told)) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        dprintf(FIRST_RUN_FD, "%lld\n",
                (long long)ts.tv_sec * 1000000000 + ts.tv_nsec);
    }
    return next(fd, request, arg);
}
