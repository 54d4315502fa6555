/* seccomp-gen.c - writes the filters of virga-vmm's threads as C arrays, at
 * build time; see jail.h. What a thread may ask of the kernel is the table
 * below and nothing else: a new system call, ioctl or option in the VMM needs
 * its line here, or the process ends by SIGSYS. With the argument "usernet"
 * it writes that of virga-usernet instead, which has a table of its own
 * (usernet/seccomp-calls.h).
 *
 * main's filter has every line: threads made later have main's filter and
 * their own, and a call must pass both. Arguments behind pointers are out of
 * a filter's reach; where that matters, the line says what else holds it. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <linux/kvm.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <linux/vhost.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "common/cleanup.h"

#define M 1u /* main */
#define V 2u /* vCPU */
#define I 4u /* I/O */
#define ALL (M | V | I)

#define U 8u /* virga-usernet */

/* Of an argument: its low 32 bits, all that the kernel looks at in the int
 * arguments below, and'ed with mask, must be value. */
struct arg_is {
    unsigned arg; /* 0: the end; else the argument's number + 1 */
    uint32_t mask, value;
};

struct call {
    unsigned kinds;
    int nr;
    struct arg_is args[3]; /* all of them; none: any arguments */
    int error;             /* 0: allowed; else what it is answered by */
};

#define ARG_IS(n, v)                                                           \
    {                                                                          \
        (n) + 1, UINT32_MAX, (uint32_t)(v)                                     \
    }
#define ARG_WITHOUT(n, bits)                                                   \
    {                                                                          \
        (n) + 1, (uint32_t)(bits), 0                                           \
    }
#define ANY(kinds, name)                                                       \
    {                                                                          \
        kinds, SCMP_SYS(name), {{0}}, 0                                        \
    }
#define IS(kinds, name, arg, value)                                            \
    {                                                                          \
        kinds, SCMP_SYS(name), {ARG_IS(arg, value)}, 0                         \
    }
#define WITHOUT(kinds, name, arg, bits)                                        \
    {                                                                          \
        kinds, SCMP_SYS(name), {ARG_WITHOUT(arg, bits)}, 0                     \
    }
#define IOCTL(kinds, request) IS(kinds, ioctl, 1, request)

/* What pthread_create() of glibc asks for: a thread, in no namespace. */
#define THREAD_FLAGS                                                           \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |        \
     CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID |                      \
     CLONE_CHILD_CLEARTID)

static const struct call calls[] = {
    /* The C library, in any thread: locks, heap, time, the end. */
    ANY(ALL, futex),
    ANY(ALL, brk),
    WITHOUT(ALL, mmap, 2, PROT_EXEC),
    WITHOUT(ALL, mprotect, 2, PROT_EXEC),
    ANY(ALL, mremap),
    ANY(ALL, munmap),
    IS(ALL, madvise, 2, MADV_DONTNEED),
    IS(ALL, madvise, 2, MADV_FREE),
    ANY(ALL, clock_gettime),
    ANY(ALL, gettimeofday),
    ANY(ALL, restart_syscall),
    ANY(ALL, rt_sigprocmask),
    ANY(ALL, rt_sigreturn),
    ANY(ALL, sched_getaffinity),
    ANY(ALL, sched_yield),
    ANY(ALL, getpid),
    ANY(ALL, gettid),
    ANY(ALL, tgkill), /* kicks; the namespace has this process alone */
    ANY(ALL, exit),
    ANY(ALL, exit_group),
    ANY(M, rt_sigaction),
    /* New threads. clone3's flags are behind a pointer: -ENOSYS, and glibc
     * takes clone (see build()). */
    IS(M, clone, 0, THREAD_FLAGS),
    ANY(M, set_robust_list),
    ANY(M, rseq),
    IS(M, prctl, 0, PR_SET_NAME),
    IS(M, seccomp, 0, SECCOMP_SET_MODE_FILTER),
    IS(M, madvise, 2, MADV_HUGEPAGE),
    IS(M, madvise, 2, MADV_MERGEABLE),
    IS(M, madvise, 2, MADV_DONTDUMP),

    /* Descriptors there are. */
    ANY(ALL, read),
    ANY(ALL, write),
    ANY(ALL, close),
    ANY(ALL, readv),
    ANY(ALL, writev),
    ANY(M | I, pread64),
    ANY(M | I, pwrite64),
    ANY(M | I, preadv),
    ANY(M | I, pwritev),
    ANY(M | I, preadv2),
    ANY(M | I, pwritev2),
    ANY(M | I, fdatasync),
    ANY(M, fsync),
    /* The balloon, in shared memory; disks. None that makes a file longer. */
    IS(ALL, fallocate, 1, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE),
    IS(M | I, fallocate, 1, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE),
    ANY(M, lseek),
    ANY(ALL, fstat),
    /* fstat() of glibc 2.33 and later. A path can be behind it; there is
     * nothing in the jail to learn. */
    IS(ALL, newfstatat, 3, AT_EMPTY_PATH),
    IS(M, fcntl, 1, F_GETFD),
    IS(M, fcntl, 1, F_SETFD),
    IS(M, fcntl, 1, F_GETFL),
    IS(M, fcntl, 1, F_SETFL),
    IS(M | I, fcntl, 1, F_DUPFD_CLOEXEC), /* I/O: a console port's client */
    IS(M, fcntl, 1, F_OFD_SETLK),
    IS(M, fcntl, 1, F_ADD_SEALS),
    IS(M, fcntl, 1, F_GET_SEALS),
    ANY(M, memfd_create),
    /* Of a new memfd, at each reset. Of a file it takes no room: what can fill
     * a disk is pwrite64 (vmm-driver/README.md). */
    ANY(M, ftruncate),
    ANY(ALL, eventfd2), /* MSI-X vectors, at their first use */
    ANY(M, signalfd4),
    ANY(M, timerfd_create),
    ANY(ALL, timerfd_settime),
    ANY(ALL, poll), /* one look, without waiting, in devices */
    ANY(M, ppoll),
    ANY(M, epoll_create1),
    ANY(ALL, epoll_ctl),
    ANY(M | I, epoll_wait),
    ANY(M | I, epoll_pwait),
    ANY(ALL, getrandom),

    /* Sockets: control (main), vsock and packet NICs (I/O). */
    IS(M | I, socket, 0, AF_UNIX),
    ANY(M | I, connect),
    ANY(M | I, accept4),
    ANY(M | I, recvfrom),
    ANY(M | I, recvmsg),
    ANY(M | I, sendto),
    ANY(M | I, sendmsg),
    ANY(M | I, shutdown),
    IS(M | I, getsockopt, 1, SOL_SOCKET),
    ANY(M, getsockname),

    /* A ring that main makes could be without restrictions: what then comes
     * through it still meets Landlock, the empty root and no rights. */
    ANY(M, io_uring_setup),
    ANY(M | I, io_uring_enter),
    IS(M, io_uring_register, 1, IORING_REGISTER_RESTRICTIONS),
    IS(M, io_uring_register, 1, IORING_REGISTER_ENABLE_RINGS),
    IOCTL(M, BLKGETSIZE64),

    /* A VM is made, again after each reset. */
    IOCTL(M, KVM_GET_API_VERSION),
    IOCTL(M, KVM_CHECK_EXTENSION),
    IOCTL(M, KVM_GET_VCPU_MMAP_SIZE),
    IOCTL(M, KVM_GET_SUPPORTED_CPUID),
    IOCTL(M, KVM_GET_MSR_INDEX_LIST),
    IOCTL(M, KVM_GET_MSR_FEATURE_INDEX_LIST),
    IOCTL(M, KVM_CREATE_VM),
    IOCTL(M, KVM_ENABLE_CAP),
    IOCTL(M, KVM_SET_IDENTITY_MAP_ADDR),
    IOCTL(M, KVM_SET_TSS_ADDR),
    IOCTL(M, KVM_CREATE_IRQCHIP),
    IOCTL(M, KVM_CREATE_PIT2),
    IOCTL(M, KVM_SET_USER_MEMORY_REGION),
    IOCTL(M, KVM_CREATE_VCPU),
    IOCTL(M, KVM_SET_CPUID2),
    IOCTL(M, KVM_GET_MSRS),
    IOCTL(M, KVM_SET_MSRS),
    IOCTL(M, KVM_GET_SREGS),
    IOCTL(M, KVM_SET_SREGS),
    IOCTL(M, KVM_SET_REGS),
    IOCTL(M, KVM_GET_LAPIC),
    IOCTL(M, KVM_SET_LAPIC),
    IOCTL(M, KVM_KVMCLOCK_CTRL),

    /* It runs. Devices set up their interrupts and doorbells in the vCPU's
     * thread that writes the register. */
    IOCTL(M | V, KVM_RUN),
    IOCTL(M | V, KVM_GET_REGS), /* to say where it failed */
    IOCTL(ALL, KVM_IRQ_LINE),
    IOCTL(ALL, KVM_SIGNAL_MSI),
    IOCTL(ALL, KVM_SET_GSI_ROUTING),
    IOCTL(ALL, KVM_IRQFD),
    IOCTL(ALL, KVM_IOEVENTFD),

    /* NICs: set up by main, features and queues by the guest. */
    IOCTL(M, TUNGETFEATURES),
    IOCTL(M, TUNGETIFF),
    IOCTL(M, TUNSETVNETHDRSZ),
    IOCTL(ALL, TUNSETOFFLOAD),
    IOCTL(ALL, TUNSETQUEUE),
    IOCTL(M, VHOST_SET_OWNER),
    IOCTL(M, VHOST_RESET_OWNER),
    IOCTL(M, VHOST_GET_FEATURES),
    IOCTL(M, VHOST_GET_BACKEND_FEATURES),
    IOCTL(ALL, VHOST_SET_FEATURES),
    IOCTL(ALL, VHOST_SET_BACKEND_FEATURES),
    IOCTL(ALL, VHOST_SET_MEM_TABLE),
    IOCTL(ALL, VHOST_SET_VRING_NUM),
    IOCTL(ALL, VHOST_SET_VRING_BASE),
    IOCTL(ALL, VHOST_GET_VRING_BASE),
    IOCTL(ALL, VHOST_SET_VRING_ADDR),
    IOCTL(ALL, VHOST_SET_VRING_KICK),
    IOCTL(ALL, VHOST_SET_VRING_CALL),
    IOCTL(ALL, VHOST_SET_VRING_ERR),
    IOCTL(ALL, VHOST_NET_SET_BACKEND),

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    /* The sanitizers' own threads, stacks and shadow memory. */
    ANY(ALL, sigaltstack),
    ANY(ALL, madvise),
    ANY(ALL, prlimit64),
    ANY(ALL, clock_nanosleep),
    ANY(ALL, nanosleep),
    ANY(ALL, rt_sigaction),
    ANY(ALL, set_robust_list),
    ANY(ALL, getrusage),
#endif
};

/* Answered by an error instead of the end. */
static const struct {
    int nr, error;
} refused[] = {
    {SCMP_SYS(clone3), ENOSYS},
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    /* A report must come out; names of functions cannot be had. */
    {SCMP_SYS(openat), EACCES},
    {SCMP_SYS(open), EACCES},
    {SCMP_SYS(readlink), EACCES},
    {SCMP_SYS(stat), EACCES},
    {SCMP_SYS(pipe), EACCES},
#endif
};

static const struct call usernet_calls[] = {
#include "hypervisor-backend/usernet/seccomp-calls.inc"
};

static int
add_call(scmp_filter_ctx ctx, const struct call *c)
{
    uint32_t action =
        c->error ? SCMP_ACT_ERRNO((uint16_t)c->error) : SCMP_ACT_ALLOW;
    struct scmp_arg_cmp cmp[ARRAY_SIZE(c->args)];
    unsigned n = 0;

    for (; n < ARRAY_SIZE(c->args) && c->args[n].arg; n++)
        cmp[n] = (struct scmp_arg_cmp){.arg = c->args[n].arg - 1,
                                       .op = SCMP_CMP_MASKED_EQ,
                                       .datum_a = c->args[n].mask,
                                       .datum_b = c->args[n].value};
    return seccomp_rule_add_exact_array(ctx, action, c->nr, n, n ? cmp : NULL);
}

static int
add_calls(scmp_filter_ctx ctx, unsigned kind, const struct call *c, size_t n)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < n; i++)
        if (c[i].kinds & kind)
            r = add_call(ctx, &c[i]);
    return r;
}

static int
build(scmp_filter_ctx ctx, unsigned kind)
{
    int r;

    /* Other calling conventions (32 bits, x32) end the process as well. */
    r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    /* A tree: a call is found in log2 steps. */
    if (r == 0)
        r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (r == 0 && kind == U)
        return add_calls(ctx, kind, usernet_calls, ARRAY_SIZE(usernet_calls));
    if (r == 0)
        r = add_calls(ctx, kind, calls, ARRAY_SIZE(calls));
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(refused); i++)
        r = seccomp_rule_add_exact_array(ctx, SCMP_ACT_ERRNO(refused[i].error),
                                         refused[i].nr, 0, NULL);
    return r;
}

static void
print_one(const struct sock_filter *f)
{
    printf("    {0x%04x, %u, %u, 0x%08x},\n", f->code, f->jt, f->jf, f->k);
}

/* The way into the guest first, before the search for the call: each exit
 * pays for it. Falls through to the filter. */
static void
print_fast_run(void)
{
    static const struct sock_filter head[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SCMP_SYS(ioctl), 0, 3),
        /* The low half, on a machine with the low half first. */
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, KVM_RUN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };

    for (size_t i = 0; i < ARRAY_SIZE(head); i++)
        print_one(&head[i]);
}

static int
print_filter(const char *name, unsigned kind)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int fd _cleanup_(closep) = memfd_create(name, MFD_CLOEXEC);
    struct sock_filter f;
    ssize_t n;
    int r;

    if (!ctx || fd < 0)
        r = -ENOMEM;
    else
        r = build(ctx, kind);
    if (r == 0)
        r = seccomp_export_bpf(ctx, fd);
    if (ctx)
        seccomp_release(ctx);
    if (r < 0 || lseek(fd, 0, SEEK_SET) < 0) {
        fprintf(stderr, "seccomp-gen: %s: %s\n", name,
                strerrordesc_np(r < 0 ? -r : errno));
        return -1;
    }
    printf("static const struct sock_filter jail_filter_%s[] = {\n", name);
    if (kind & (M | V))
        print_fast_run();
    while ((n = read(fd, &f, sizeof(f))) == (ssize_t)sizeof(f))
        print_one(&f);
    printf("};\n");
    return n == 0 ? 0 : -1;
}

int
main(int argc, char **argv)
{
    printf("/* Written by seccomp-gen.c. */\n");
    if (argc == 2 && strcmp(argv[1], "usernet") == 0) {
        if (print_filter("usernet", U) < 0)
            return 1;
    } else if (print_filter("main", M) < 0 || print_filter("vcpu", V) < 0 ||
               print_filter("io", I) < 0) {
        return 1;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
