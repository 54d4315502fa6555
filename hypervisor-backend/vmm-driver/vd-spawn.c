/* vd-spawn.c - starts the programs that make up a VM; see vd-private.h.
 *
 * The child shares our memory until it execs (CLONE_VM | CLONE_VFORK): a fork
 * of an agent with much memory would copy all its page tables. So between
 * clone and exec it calls nothing that may take a lock or touch errno's
 * neighbours: plain system calls, with every signal blocked until none has a
 * handler any more. Its environment is empty, its session its own, and it
 * holds no descriptor but those it was given. */
#include <config.h>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm-driver/vd-private.h"

#define STACK_BYTES (64 << 10)
#define SIGNALS 64

#ifdef __SANITIZE_THREAD__
/* ThreadSanitizer takes every clone() for a fork and, as the child shares our
 * memory, loses track of the parent. This is the same function. */
int __clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);
#define clone __clone
#endif

struct child {
    const struct vd_spawn *s;
    int null_fd;
    volatile int error; /* shared: what went wrong before exec */
    const char *volatile step;
};

/* As the kernel has it: no handler, no flags, no restorer, empty mask. */
struct kernel_sigaction {
    void *handler;
    unsigned long flags;
    void *restorer;
    uint64_t mask;
};

#define CHILD_STEP(what, call)                                                 \
    do {                                                                       \
        c->step = what;                                                        \
        if ((call) < 0) {                                                      \
            c->error = errno;                                                  \
            syscall(SYS_exit_group, 127);                                      \
        }                                                                      \
    } while (0)

/* Sanitizers must not look at this thread-less child; syscall(2) passes by
 * their wrappers as well. */
static int __attribute__((no_sanitize("address", "thread", "undefined")))
child_main(void *arg)
{
    struct child *c = arg;
    const struct vd_spawn *s = c->s;
    const struct kernel_sigaction dfl = {0};
    const uint64_t no_signals = 0;
    char *const no_env[] = {NULL};

    c->step = "cgroup";
    c->error = -cgroup_join(s->procs_fds, s->n_procs);
    if (c->error)
        syscall(SYS_exit_group, 127);
    CHILD_STEP("setsid", syscall(SYS_setsid));
    for (int i = 1; i <= SIGNALS; i++)
        if (i != SIGKILL && i != SIGSTOP)
            CHILD_STEP("sigaction",
                       syscall(SYS_rt_sigaction, i, &dfl, NULL, 8));
    CHILD_STEP("descriptor 0", syscall(SYS_dup3, c->null_fd, 0, 0));
    CHILD_STEP("descriptor 1", syscall(SYS_dup3, s->log_fd, 1, 0));
    CHILD_STEP("descriptor 2", syscall(SYS_dup3, s->log_fd, 2, 0));
    for (size_t i = 0; i < s->n_fds; i++)
        CHILD_STEP("descriptors", syscall(SYS_dup3, s->fds[i], 3 + i, 0));
    CHILD_STEP("close_range", syscall(SYS_close_range, 3 + s->n_fds, ~0u, 0));
    CHILD_STEP("chdir", syscall(SYS_chdir, "/"));
    syscall(SYS_umask, 077);
    CHILD_STEP("sigprocmask",
               syscall(SYS_rt_sigprocmask, SIG_SETMASK, &no_signals, NULL, 8));
    CHILD_STEP("exec", syscall(SYS_execve, s->path, s->argv, no_env));
    return 0;
}

static int
clone_child(struct child *c, char *stack, pid_t *ret_pid, int *ret_pidfd)
{
    int flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD;
    sigset_t all, old;
    int r, pidfd = -1;

    if (c->s->pid_ns)
        flags |= CLONE_NEWPID;
    sigfillset(&all);
    r = -pthread_sigmask(SIG_SETMASK, &all, &old);
    if (r < 0)
        return r;
    r = clone(child_main, stack + STACK_BYTES, flags, c, &pidfd);
    if (r < 0)
        r = -errno;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r < 0)
        return r;
    *ret_pid = r;
    *ret_pidfd = pidfd;
    return 0;
}

/* The kernel lets a vfork's parent go on just before the child's memory, and
 * with it /proc/PID/exe, is the new program's: until then that is still ours.
 * What is behind the point of no return is short, or ends in death. */
static void
wait_program(const char *path, pid_t pid, int pidfd)
{
    int64_t our_dev, our_ino, dev, ino;
    struct stat st;

    if (vd_exe_of(getpid(), &our_dev, &our_ino) < 0 || stat(path, &st) < 0 ||
        ((int64_t)st.st_dev == our_dev && (int64_t)st.st_ino == our_ino))
        return;
    while (vd_exe_of(pid, &dev, &ino) == 0 && dev == our_dev &&
           ino == our_ino && !vd_pidfd_wait(pidfd, 1))
        continue;
}

int
vd_spawn(const struct vd_spawn *s, pid_t *ret_pid, int *ret_pidfd,
         struct err *reterr)
{
    int null_fd _cleanup_(closep) = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct child c = {.s = s, .null_fd = null_fd, .step = "clone"};
    int pidfd _cleanup_(closep) = -1;
    char *stack;
    pid_t pid;
    int r;

    if (null_fd < 0)
        return err_errno(reterr, -errno, "cannot open /dev/null");
    stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED)
        return err_errno(reterr, -errno, "cannot start %s", s->path);
    r = clone_child(&c, stack, &pid, &pidfd);
    munmap(stack, STACK_BYTES); /* vfork: the child has left it */
    if (r < 0)
        return err_errno(reterr, r, "cannot start %s", s->path);
    if (c.error) {
        vd_pidfd_reap(pidfd);
        return err_errno(reterr, -c.error, "cannot start %s: %s", s->path,
                         c.step);
    }
    wait_program(s->path, pid, pidfd);
    *ret_pid = pid;
    *ret_pidfd = TAKE_FD(pidfd);
    return 0;
}

int
vd_pidfd_wait(int pidfd, int timeout_ms)
{
    int64_t deadline = clock_mono_us() + timeout_ms * INT64_C(1000);

    for (;;) {
        int64_t left_ms = (deadline - clock_mono_us() + 999) / 1000;
        struct pollfd p = {.fd = pidfd, .events = POLLIN};
        int n = poll(&p, 1, (int)MAX(left_ms, INT64_C(0)));

        if (n > 0)
            return 1;
        if (n == 0 || errno != EINTR)
            return 0;
    }
}

/* Waits for it: only for what is dead or dying. Not our child: nothing. */
void
vd_pidfd_reap(int pidfd)
{
    siginfo_t si;

    while (waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED) < 0 && errno == EINTR)
        continue;
}

int
vd_pidfd_kill(int pidfd, int timeout_ms)
{
    if (pidfd_send_signal(pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
        return -errno;
    if (!vd_pidfd_wait(pidfd, timeout_ms))
        return -ETIMEDOUT;
    vd_pidfd_reap(pidfd);
    return 0;
}
