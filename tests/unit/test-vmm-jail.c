/* test-vmm-jail.c - from inside the jail, everything that must not be
 * possible is tried. Each case has a process of its own, the first of a pid
 * namespace as the driver makes it. As root only. Over 800 lines: many short
 * attempts, which share the way in and out of the jail. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/capability.h>
#include <linux/kvm.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm/be_file.h"
#include "hypervisor-backend/vmm/be_loop.h"
#include "hypervisor-backend/vmm/jail.h"

#define UID 1000001u
#define PLANTED 77 /* a descriptor that nobody named */
#define FAILED 99  /* jail_enter() or jail_seccomp() said no */
#define NO_FILTER (-1)

static char dir[] = "/tmp/test-jail.XXXXXX";
static int disk = -1; /* kept in every jail */
static long landlock; /* version of the kernel's interface, or -1 */

static int
skip_unless_root(void **state)
{
    if (geteuid() != 0)
        skip();
    return 0;
}

/* --- a jailed process --- */

static struct jail_config
config(const int *keep, size_t n)
{
    return (struct jail_config){
        .root_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        .uid = UID,
        .gid = UID + 1,
        .hostname = "cell",
        .memory_bytes = 64u << 20,
        .keep_fds = keep,
        .n_keep_fds = n,
        .need_pid_namespace = true};
}

static int
in_jail(int kind, int (*body)(void))
{
    int keep[] = {STDERR_FILENO, disk};
    struct jail_config c = config(keep, ARRAY_SIZE(keep));
    struct err e = {0};
    int r;

    if (dup2(STDIN_FILENO, PLANTED) < 0 || dup2(STDERR_FILENO, 3) < 0)
        return FAILED;
    r = jail_enter(&c, &e);
    if (r == 0 && kind != NO_FILTER)
        r = jail_seccomp((enum jail_thread)kind, &e);
    if (r < 0) {
        fprintf(stderr, "%s\n", e.message);
        return FAILED;
    }
    return body();
}

/* The exit status of the jailed process, or 128 + the signal that ended it. */
static int
jailed(int kind, int (*body)(void))
{
    int status;
    pid_t outer = fork(), inner;

    assert_true(outer >= 0);
    if (outer == 0) {
        if (unshare(CLONE_NEWPID) < 0)
            _exit(FAILED);
        inner = fork();
        if (inner == 0)
            _exit(in_jail(kind, body));
        if (inner < 0 || waitpid(inner, &status, 0) != inner)
            _exit(FAILED);
        _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status)
                                  : WEXITSTATUS(status));
    }
    assert_int_equal(waitpid(outer, &status, 0), outer);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* --- denied by the jail itself, filter or not --- */

#define DENIED(call) ((call) < 0 ? 0 : 1)

static int
opens_nothing(void)
{
    static const char *const paths[] = {
        "/etc/passwd", "/",    "..",        "/../../etc/passwd",
        "/vsock_1",    ".",    "/proc/1",   "/proc/self/fd/0",
        "/file",       "/dev", "/dev/null", "/link"};

    /* Without Landlock its own root can be opened; that is all there is. */
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        if ((landlock > 0 || (strcmp(paths[i], "/") != 0 && *paths[i] != '.' &&
                              strcmp(paths[i], "/file") != 0)) &&
            open(paths[i], O_RDONLY | O_CLOEXEC) >= 0)
            return (int)i + 1;
    return 0;
}

static int
makes_nothing(void)
{
    return DENIED(mkdir("/new", 0700)) | DENIED(unlink("/file")) |
           DENIED(open("/new", O_CREAT | O_WRONLY, 0600)) |
           DENIED(symlink("/x", "/new")) | DENIED(chmod("/file", 0777)) |
           DENIED(rename("/file", "/vsock/file"));
}

static int
root_is_a_poor_mount(void)
{
    struct statvfs fs;
    unsigned long want = ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC;

    return statvfs("/", &fs) < 0 || (fs.f_flag & want) != want;
}

static int
sees_no_process(void)
{
    /* A sanitizer has a thread here, with a number of its own. */
    for (pid_t p = 2; p < 64; p++)
        if ((kill(p, 0) == 0 || errno != ESRCH) &&
            syscall(SYS_tgkill, getpid(), p, 0) < 0)
            return 1;
    return getpid() != 1 || getppid() != 0 || kill(-1, 0) == 0 ||
           getsid(0) != 1;
}

static int
reaches_no_tcp(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(22),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int out = connect(fd, (struct sockaddr *)&at, sizeof(at));

    at.sin_port = htons(2222);
    /* A port of its own loopback is no one's, but Landlock denies even that
     * since version 4 of its interface. */
    return fd < 0 || out == 0 ||
           (landlock >= 4 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
}

/* The test itself listens there. */
static const char abstract[] = "\0virga-test-jail";

static struct sockaddr_un
abstract_address(socklen_t *ret_len)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int n = snprintf(at.sun_path + 1, sizeof(at.sun_path) - 1, "%s%s",
                     abstract + 1, dir + strlen(dir) - 6);

    *ret_len =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
    return at;
}

static int
reaches_no_abstract_socket(void)
{
    socklen_t len;
    struct sockaddr_un at = abstract_address(&len);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    return fd < 0 || connect(fd, (struct sockaddr *)&at, len) == 0;
}

static int
reaches_sockets_in_its_root(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "/vsock_1"};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    return fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0;
}

static int
has_only_a_dead_loopback(void)
{
    struct if_nameindex *list = if_nameindex();
    struct ifreq ifr = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM, 0), n = 0;

    for (struct if_nameindex *i = list; i && i->if_index; i++)
        n++;
    if_freenameindex(list);
    return n != 1 || ioctl(fd, SIOCGIFFLAGS, &ifr) < 0 ||
           (ifr.ifr_flags & IFF_UP);
}

static int
mounts_nothing(void)
{
    return DENIED(mount("none", "/vsock", "tmpfs", 0, NULL)) |
           DENIED(umount2("/", MNT_DETACH)) | DENIED(chroot("/vsock")) |
           DENIED(unshare(CLONE_NEWNS)) |
           DENIED(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
}

static int
gets_no_rights(void)
{
    struct __user_cap_header_struct h = {.version =
                                             _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct d[2] = {{0}};
    gid_t groups[4];
    uid_t r, e, s;

    if (getresuid(&r, &e, &s) < 0 || r != UID || e != UID || s != UID ||
        getgid() != UID + 1 || getgroups(4, groups) != 0)
        return 1;
    if (syscall(SYS_capget, &h, d) < 0 ||
        d[0].effective | d[0].permitted | d[0].inheritable | d[1].effective |
            d[1].permitted | d[1].inheritable)
        return 2;
    for (unsigned long cap = 0; cap <= CAP_LAST_CAP; cap++)
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 0 ||
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) != 0)
            return 3;
    if (setuid(0) == 0 || setgid(0) == 0 || setresuid(UID, 0, UID) == 0)
        return 4;
    d[0].effective = d[0].permitted = 1u << CAP_SYS_ADMIN;
    return syscall(SYS_capset, &h, d) == 0 ? 5 : 0;
}

static int
is_marked(void)
{
    char host[65];

    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return 1;
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        return 2;
    if (!(prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) & 1)) /* SECBIT_NOROOT */
        return 3;
    if (gethostname(host, sizeof(host)) < 0 || strcmp(host, "cell") != 0)
        return 4;
    return umask(0) == 077 ? 0 : 5;
}

static int
is_limited(void)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_CORE, &l) < 0 || l.rlim_max != 0)
        return 1;
    if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_max != 1024)
        return 2;
    if (getrlimit(RLIMIT_NPROC, &l) < 0 || l.rlim_max > 512)
        return 3;
    l.rlim_cur = l.rlim_max = 4096;
    return setrlimit(RLIMIT_NOFILE, &l) == 0 ? 4 : 0;
}

static int
has_only_named_descriptors(void)
{
    for (int fd = 0; fd < 2000; fd++) {
        bool open_there = fcntl(fd, F_GETFD) >= 0;

        if (open_there != (fd == STDERR_FILENO || fd == disk))
            return fd + 1;
    }
    return 0;
}

static int
executes_nothing(void)
{
    char *const none[] = {NULL};

    return DENIED(execve("/file", none, none)) |
           DENIED(execve("/bin/true", none, none));
}

static const struct {
    const char *name;
    int (*body)(void);
} denied[] = {
    {"jail__open_any_path_fails", opens_nothing},
    {"jail__changing_files_fails", makes_nothing},
    {"jail__root_is_read_only_nosuid_nodev_noexec", root_is_a_poor_mount},
    {"jail__no_process_is_seen", sees_no_process},
    {"jail__tcp_is_refused", reaches_no_tcp},
    {"jail__abstract_socket_is_refused", reaches_no_abstract_socket},
    {"jail__socket_in_its_root_is_reached", reaches_sockets_in_its_root},
    {"jail__network_is_a_loopback_that_is_down", has_only_a_dead_loopback},
    {"jail__mount_and_chroot_fail", mounts_nothing},
    {"jail__rights_are_gone_for_good", gets_no_rights},
    {"jail__marks_are_set", is_marked},
    {"jail__limits_are_set_and_stay", is_limited},
    {"jail__descriptors_not_named_are_closed", has_only_named_descriptors},
    {"jail__execve_fails", executes_nothing},
};

/* Room beyond the end, or between, that nothing was written to. */
static int
c_fallocate_grow(void)
{
    return fallocate(1, 0, 0, 1 << 20) < 0;
}

static int
c_fallocate_beyond(void)
{
    return fallocate(1, FALLOC_FL_KEEP_SIZE, 0, 1 << 20) < 0;
}

static int
c_fallocate_punch(void)
{
    return fallocate(1, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) <
           0;
}

static int
c_fallocate_zero(void)
{
    return fallocate(1, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, 4096) <
           0;
}

static int
c_ftruncate(void)
{
    return ftruncate(-1, 0) < 0;
}

static void
denied__in_jail(void **state)
{
    size_t i = (size_t)*state;

    assert_int_equal(jailed(NO_FILTER, denied[i].body), 0);
}

/* --- ended by the filters --- */

#define CALL(name, ...)                                                        \
    static int name(void)                                                      \
    {                                                                          \
        return (int)syscall(__VA_ARGS__) < 0;                                  \
    }

CALL(c_open, SYS_open, "/file", O_RDONLY)
CALL(c_openat, SYS_openat, AT_FDCWD, "/file", O_RDONLY)
CALL(c_openat2, SYS_openat2, AT_FDCWD, "/file", NULL, 0)
CALL(c_execve, SYS_execve, "/file", NULL, NULL)
CALL(c_execveat, SYS_execveat, 2, "", NULL, NULL, AT_EMPTY_PATH)
CALL(c_fork, SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL)
CALL(c_vfork, SYS_vfork)
CALL(c_clone_userns, SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL)
CALL(c_unshare, SYS_unshare, CLONE_NEWUSER)
CALL(c_setns, SYS_setns, 2, 0)
CALL(c_mmap_exec, SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC,
     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
CALL(c_mprotect_exec, SYS_mprotect, NULL, 4096, PROT_EXEC)
CALL(c_pkey_mprotect, SYS_pkey_mprotect, NULL, 4096, PROT_EXEC, 0)
CALL(c_ptrace, SYS_ptrace, PTRACE_TRACEME, 0, NULL, NULL)
CALL(c_vm_read, SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0)
CALL(c_kill, SYS_kill, 1, 0)
CALL(c_pidfd_open, SYS_pidfd_open, 1, 0)
CALL(c_pidfd_getfd, SYS_pidfd_getfd, 2, 0, 0)
CALL(c_inet, SYS_socket, AF_INET, SOCK_STREAM, 0)
CALL(c_netlink, SYS_socket, AF_NETLINK, SOCK_RAW, 0)
CALL(c_packet, SYS_socket, AF_PACKET, SOCK_RAW, 0)
CALL(c_vsock, SYS_socket, AF_VSOCK, SOCK_STREAM, 0)
CALL(c_unix, SYS_socket, AF_UNIX, SOCK_STREAM, 0)
CALL(c_bind, SYS_bind, 2, NULL, 0)
CALL(c_listen, SYS_listen, 2, 1)
CALL(c_setsockopt, SYS_setsockopt, 2, SOL_SOCKET, SO_MARK, NULL, 0)
CALL(c_tiocsti, SYS_ioctl, 2, TIOCSTI, "x")
CALL(c_tiocsti_wide, SYS_ioctl, 2, TIOCSTI | 1ull << 32, "x")
CALL(c_tiocsctty, SYS_ioctl, 2, TIOCSCTTY, 0)
CALL(c_keyctl, SYS_keyctl, 0, 0, 0, 0, 0)
CALL(c_add_key, SYS_add_key, "user", "x", "y", 1, 0)
CALL(c_bpf, SYS_bpf, 0, NULL, 0)
CALL(c_userfaultfd, SYS_userfaultfd, 0)
CALL(c_perf, SYS_perf_event_open, NULL, 0, -1, -1, 0)
CALL(c_setuid, SYS_setuid, 0)
CALL(c_setgroups, SYS_setgroups, 0, NULL)
CALL(c_capset, SYS_capset, NULL, NULL)
CALL(c_mount, SYS_mount, NULL, "/", NULL, MS_BIND, NULL)
CALL(c_chroot, SYS_chroot, "/")
CALL(c_pivot, SYS_pivot_root, ".", ".")
CALL(c_open_tree, SYS_open_tree, AT_FDCWD, ".", 1)
CALL(c_dumpable, SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0)
CALL(c_personality, SYS_personality, READ_IMPLIES_EXEC)
CALL(c_fcntl_owner, SYS_fcntl, 2, F_SETOWN, 1)
CALL(c_madvise_poison, SYS_madvise, NULL, 4096, MADV_HWPOISON)
CALL(c_init_module, SYS_init_module, NULL, 0, "")
CALL(c_reboot, SYS_reboot, 0, 0, 0, NULL)
CALL(c_chmod, SYS_chmod, "/file", 0777)
CALL(c_unlink, SYS_unlink, "/file")
CALL(c_stat, SYS_stat, "/file", NULL)
CALL(c_dup, SYS_dup, 2)
CALL(c_prlimit, SYS_setrlimit, RLIMIT_NOFILE, NULL)
CALL(c_shmget, SYS_shmget, 1, 4096, 0600)
CALL(c_remap, SYS_remap_file_pages, NULL, 4096, 0, 0, 0)
CALL(c_x32, 0x40000000 | SYS_getpid)
CALL(c_unknown, 1023)
CALL(c_uring_setup, SYS_io_uring_setup, 1, NULL)
CALL(c_uring_register, SYS_io_uring_register, 2, IORING_REGISTER_FILES, NULL, 0)
CALL(c_uring_enter, SYS_io_uring_enter, 2, 0, 0, 0, NULL, 0)
CALL(c_memfd, SYS_memfd_create, "x", 0)
CALL(c_kvm_create_vm, SYS_ioctl, 2, KVM_CREATE_VM, 0)
CALL(c_kvm_create_device, SYS_ioctl, 2, KVM_CREATE_DEVICE, 0)
CALL(c_kvm_memory, SYS_ioctl, 2, KVM_SET_USER_MEMORY_REGION, 0)
CALL(c_kvm_run, SYS_ioctl, 2, KVM_RUN, 0)
CALL(c_kvm_msi, SYS_ioctl, 2, KVM_SIGNAL_MSI, 0)
CALL(c_thread, SYS_clone, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND, NULL, NULL,
     NULL, NULL)
CALL(c_seccomp, SYS_seccomp, 2, 0, NULL) /* GET_ACTION_AVAIL */

/* The 32-bit way in: 20 is getpid there, another call in this table. */
static int
c_int80(void)
{
    long r;

    __asm__ volatile("int $0x80" : "=a"(r) : "a"(20) : "memory");
    return r < 0;
}

#define K_MAIN 1u
#define K_VCPU 2u
#define K_IO 4u
#define K_ALL 7u

static const struct {
    const char *name;
    int (*body)(void);
    unsigned allowed; /* to these kinds: it returns */
} filtered[] = {
    {"open", c_open, 0},
    {"openat", c_openat, 0},
    {"openat2", c_openat2, 0},
    {"execve", c_execve, 0},
    {"execveat", c_execveat, 0},
    {"fork", c_fork, 0},
    {"vfork", c_vfork, 0},
    {"clone_userns", c_clone_userns, 0},
    {"unshare", c_unshare, 0},
    {"setns", c_setns, 0},
    {"mmap_exec", c_mmap_exec, 0},
    {"mprotect_exec", c_mprotect_exec, 0},
    {"pkey_mprotect", c_pkey_mprotect, 0},
    {"ptrace", c_ptrace, 0},
    {"process_vm_readv", c_vm_read, 0},
    {"kill", c_kill, 0},
    {"pidfd_open", c_pidfd_open, 0},
    {"pidfd_getfd", c_pidfd_getfd, 0},
    {"socket_inet", c_inet, 0},
    {"socket_netlink", c_netlink, 0},
    {"socket_packet", c_packet, 0},
    {"socket_vsock", c_vsock, 0},
    {"socket_unix", c_unix, K_MAIN | K_IO},
    {"bind", c_bind, 0},
    {"listen", c_listen, 0},
    {"setsockopt", c_setsockopt, 0},
    {"ioctl_tiocsti", c_tiocsti, 0},
    {"ioctl_tiocsti_wide", c_tiocsti_wide, 0},
    {"ioctl_tiocsctty", c_tiocsctty, 0},
    {"keyctl", c_keyctl, 0},
    {"add_key", c_add_key, 0},
    {"bpf", c_bpf, 0},
    {"userfaultfd", c_userfaultfd, 0},
    {"perf_event_open", c_perf, 0},
    {"setuid", c_setuid, 0},
    {"setgroups", c_setgroups, 0},
    {"capset", c_capset, 0},
    {"mount", c_mount, 0},
    {"chroot", c_chroot, 0},
    {"pivot_root", c_pivot, 0},
    {"open_tree", c_open_tree, 0},
    {"prctl_dumpable", c_dumpable, 0},
    {"personality", c_personality, 0},
    {"fcntl_setown", c_fcntl_owner, 0},
    {"init_module", c_init_module, 0},
    {"reboot", c_reboot, 0},
    {"chmod", c_chmod, 0},
    {"unlink", c_unlink, 0},
    {"stat", c_stat, 0},
    {"madvise_hwpoison", c_madvise_poison, 0},
    {"dup", c_dup, 0},
    {"setrlimit", c_prlimit, 0},
    {"shmget", c_shmget, 0},
    {"remap_file_pages", c_remap, 0},
    {"x32", c_x32, 0},
    {"unknown", c_unknown, 0},
    {"int80", c_int80, 0},
    {"io_uring_setup", c_uring_setup, K_MAIN},
    {"io_uring_register_files", c_uring_register, 0},
    {"io_uring_enter", c_uring_enter, K_MAIN | K_IO},
    {"memfd_create", c_memfd, K_MAIN},
    {"fallocate_grow", c_fallocate_grow, 0},
    {"fallocate_beyond", c_fallocate_beyond, 0},
    {"fallocate_punch", c_fallocate_punch, K_ALL},
    {"fallocate_zero", c_fallocate_zero, K_MAIN | K_IO},
    {"ftruncate", c_ftruncate, K_MAIN},
    {"kvm_create_vm", c_kvm_create_vm, K_MAIN},
    {"kvm_create_device", c_kvm_create_device, 0},
    {"kvm_memory", c_kvm_memory, K_MAIN},
    {"kvm_run", c_kvm_run, K_MAIN | K_VCPU},
    {"kvm_signal_msi", c_kvm_msi, K_ALL},
    {"clone_odd_thread", c_thread, 0},
    {"seccomp_other", c_seccomp, 0},
};

static void
filtered__ends_process(void **state)
{
    size_t i = (size_t)*state;

    for (int kind = 0; kind < JAIL_THREADS; kind++) {
        int status = jailed(kind, filtered[i].body);

        if (filtered[i].allowed & 1u << kind) {
            assert_in_range(status, 0, 1);
            continue;
        }
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
        if (status == 1) /* allowed, or refused, for the sanitizer's sake */
            continue;
#endif
        assert_int_equal(status, 128 + SIGSYS);
    }
}

/* --- what must work --- */

static pthread_barrier_t all_there;

static void *
vcpu_like(void *arg)
{
    time_t now = time(NULL);
    struct tm tm;
    void *p;

    jail_thread(JAIL_THREAD_VCPU);
    p = malloc(10000);
    memset(p, 1, 10000);
    /* So that each has an arena of its own, as long as there are more. */
    pthread_barrier_wait(&all_there);
    free(p);
    gmtime_r(&now, &tm);
    pthread_kill(*(pthread_t *)arg, SIGRTMIN);
    return NULL;
}

static void
on_signal(int signo)
{
}

static int
threads_come_and_go(void)
{
    struct sigaction sa = {.sa_handler = on_signal};
    pthread_t self = pthread_self(), t[70];

    pthread_barrier_init(&all_there, NULL, ARRAY_SIZE(t));
    if (sigaction(SIGRTMIN, &sa, NULL) < 0)
        return 1;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < ARRAY_SIZE(t); i++)
            if (pthread_create(&t[i], NULL, vcpu_like, &self) != 0)
                return 2;
        for (size_t i = 0; i < ARRAY_SIZE(t); i++)
            if (pthread_join(t[i], NULL) != 0)
                return 3;
    }
    return 0;
}

static void *
vcpu_that_opens(void *arg)
{
    jail_thread(JAIL_THREAD_VCPU);
    (void)!syscall(SYS_memfd_create, "x", 0); /* main may, it may not */
    return NULL;
}

static int
thread_oversteps(void)
{
    pthread_t t;

    return pthread_create(&t, NULL, vcpu_that_opens, NULL) != 0 ||
           pthread_join(t, NULL) != 0;
}

struct disk_job {
    struct be_io io; /* first */
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int result;
    bool done;
};

static void
job_done(struct be_io *io, int result)
{
    struct disk_job *j = (struct disk_job *)io;

    j->result = result;
    j->done = true;
    pthread_cond_signal(&j->cond);
}

static void
nothing(void *self)
{
}

/* One disk, with all its operations, built and torn down in the jail. */
static int
disk_works(bool uring)
{
    struct disk_job j = {.lock = PTHREAD_MUTEX_INITIALIZER,
                         .cond = PTHREAD_COND_INITIALIZER};
    static const enum be_op ops[] = {BE_WRITE, BE_READ, BE_SYNC, BE_DISCARD,
                                     BE_ZERO};
    struct be_file_options o = {.no_io_uring = !uring};
    static char data[4096];
    struct io_loop *loop;
    struct be_file *f;
    uint64_t size;
    int fd = fcntl(disk, F_DUPFD_CLOEXEC, 0);

    if (io_loop_new("disk", &loop) < 0)
        return 1;
    if (be_file_new(fd, &o, loop, &j.lock, nothing, NULL, &f, &size, NULL) < 0)
        return 2;
    if (be_file_io_uring(f) != uring)
        return 3;
    for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
        struct iovec iov = {data, sizeof(data)};

        j.io = (struct be_io){.op = ops[i],
                              .offset = 4096,
                              .len = sizeof(data),
                              .iov = &iov,
                              .n_iov = 1,
                              .durable = true,
                              .done = job_done};
        pthread_mutex_lock(&j.lock);
        j.done = false;
        be_file_start(f, &j.io);
        be_file_submit(f);
        while (!j.done)
            pthread_cond_wait(&j.cond, &j.lock);
        pthread_mutex_unlock(&j.lock);
        if (j.result < 0)
            return 10 + (int)i;
    }
    be_file_free(f);
    io_loop_free(loop);
    return 0;
}

static int
disk_works_by_ring(void)
{
    return disk_works(true);
}

static int
disk_works_without_ring(void)
{
    return disk_works(false);
}

static int
clone3_says_no(void)
{
    return syscall(SYS_clone3, NULL, 0) < 0 && errno == ENOSYS ? 0 : 1;
}

static void
clone3__any_kind_gets_enosys(void **state)
{
    for (int kind = 0; kind < JAIL_THREADS; kind++)
        assert_int_equal(jailed(kind, clone3_says_no), 0);
}

static void
main__threads_are_made_and_joined(void **state)
{
    assert_int_equal(jailed(JAIL_THREAD_MAIN, threads_come_and_go), 0);
}

static void
thread__beyond_its_own_filter_ends_process(void **state)
{
    assert_int_equal(jailed(JAIL_THREAD_MAIN, thread_oversteps), 128 + SIGSYS);
}

static void
main__disk_by_io_uring_works(void **state)
{
    struct io_uring ring;

    if (io_uring_queue_init(1, &ring, 0) < 0)
        skip();
    io_uring_queue_exit(&ring);
    assert_int_equal(jailed(JAIL_THREAD_MAIN, disk_works_by_ring), 0);
}

static void
main__disk_without_io_uring_works(void **state)
{
    assert_int_equal(jailed(JAIL_THREAD_MAIN, disk_works_without_ring), 0);
}

/* What a stream of vsock does, from connect to end, as the I/O thread. */
static int
streams_work(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "/vsock_1"};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct iovec iov = {(char[]){"x"}, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    char c;

    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
        return 1;
    if (send(fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1 ||
        sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
        return 2;
    if (recv(fd, &c, 1, MSG_DONTWAIT) >= 0 ||
        recvmsg(fd, &m, MSG_DONTWAIT) >= 0 || errno != EAGAIN)
        return 3;
    if (accept4(fd, NULL, NULL, SOCK_CLOEXEC) >= 0 || errno != EINVAL)
        return 4;
    return shutdown(fd, SHUT_RDWR) < 0 || close(fd) < 0 ? 5 : 0;
}

static void
io__streams_of_vsock_work(void **state)
{
    assert_int_equal(jailed(JAIL_THREAD_IO, streams_work), 0);
}

/* --- past the filter by a ring --- */

static int
open_by(struct io_uring *ring)
{
    struct io_uring_sqe *s = io_uring_get_sqe(ring);
    struct io_uring_cqe *c;
    int r;

    io_uring_prep_openat(s, AT_FDCWD, "/file", O_RDONLY, 0);
    if (io_uring_submit(ring) != 1 || io_uring_wait_cqe(ring, &c) < 0)
        return -EIO;
    r = c->res;
    io_uring_cqe_seen(ring, c);
    return r;
}

/* A ring that an attacker in main's thread made for itself. */
static int
own_ring_opens_nothing(void)
{
    struct io_uring ring;

    if (io_uring_queue_init(4, &ring, 0) < 0)
        return 1;
    return open_by(&ring) < 0 ? 0 : 2;
}

static void
ring__made_by_attacker_opens_nothing(void **state)
{
    struct io_uring ring;

    if (landlock < 1 || io_uring_queue_init(1, &ring, 0) < 0)
        skip();
    io_uring_queue_exit(&ring);
    assert_int_equal(jailed(JAIL_THREAD_MAIN, own_ring_opens_nothing), 0);
}

static int
find_ring(void)
{
    for (int fd = 3; fd < 256; fd++) {
        char path[40], to[64] = "";

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (readlink(path, to, sizeof(to) - 1) > 0 && strstr(to, "[io_uring]"))
            return fd;
    }
    return -1;
}

/* The disk's own ring, outside any jail: it holds by itself. In a process that
 * ends with the disk's lock taken: its thread must never see the answer to a
 * request that it did not make. */
static int
disks_ring_opens_nothing(void)
{
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct be_file_options o = {0};
    struct io_uring_params p = {0};
    struct io_uring like, ring;
    struct io_loop *loop;
    struct be_file *f;
    uint64_t size;
    int none = -1, fd;

    if (io_loop_new("disk", &loop) < 0 ||
        be_file_new(fcntl(disk, F_DUPFD_CLOEXEC, 0), &o, loop, &lock, nothing,
                    NULL, &f, &size, NULL) < 0)
        return 1;
    pthread_mutex_lock(&lock);
    fd = find_ring();
    /* Where its queues are: as in one of the same size. */
    if (fd < 0 || io_uring_queue_init_params(BE_FILE_DEPTH, &like, &p) < 0 ||
        io_uring_queue_mmap(fd, &p, &ring) < 0)
        return 2;
    if (open_by(&ring) != -EACCES)
        return 3;
    return io_uring_register((unsigned)fd, IORING_REGISTER_FILES, &none, 1) ==
                   -EACCES
               ? 0
               : 4;
}

static void
ring__of_a_disk_takes_no_openat(void **state)
{
    struct io_uring ring;
    pid_t pid;
    int status;

    if (io_uring_queue_init(1, &ring, 0) < 0)
        skip();
    io_uring_queue_exit(&ring);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(disks_ring_opens_nothing());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* --- what jail_enter() refuses --- */

static int
enter_status(struct jail_config *c, bool pid_namespace, const char *text)
{
    pid_t outer = fork();
    int status;

    if (outer == 0) {
        struct err e = {0};
        int r;

        if (pid_namespace) {
            pid_t p;

            if (unshare(CLONE_NEWPID) < 0)
                _exit(FAILED);
            p = fork();
            if (p > 0) {
                if (waitpid(p, &status, 0) != p)
                    _exit(FAILED);
                _exit(WIFEXITED(status) ? WEXITSTATUS(status) : FAILED);
            }
        }
        r = jail_enter(c, &e);
        if (r < 0 && !strstr(e.message, text))
            fprintf(stderr, "%s\n", e.message);
        _exit(r < 0 ? (strstr(e.message, text) ? -r : FAILED) : 0);
    }
    assert_int_equal(waitpid(outer, &status, 0), outer);
    return WEXITSTATUS(status);
}

static void
enter__not_pid_1_is_refused(void **state)
{
    struct jail_config c = config(NULL, 0);

    assert_int_equal(enter_status(&c, false, "pid namespace"), EINVAL);
    close(c.root_fd);
}

static void
enter__root_user_is_refused(void **state)
{
    struct jail_config c = config(NULL, 0);

    c.uid = 0;
    assert_int_equal(enter_status(&c, true, "root"), EINVAL);
    c.uid = UID;
    c.gid = 0;
    assert_int_equal(enter_status(&c, true, "root"), EINVAL);
    close(c.root_fd);
}

static void
enter__root_that_others_write_is_refused(void **state)
{
    struct jail_config c = config(NULL, 0);

    assert_int_equal(fchmod(c.root_fd, 0777), 0);
    assert_int_equal(enter_status(&c, true, "root directory"), EPERM);
    assert_int_equal(fchmod(c.root_fd, 0711), 0);
    assert_int_equal(fchown(c.root_fd, UID, 0), 0);
    assert_int_equal(enter_status(&c, true, "root directory"), EPERM);
    assert_int_equal(fchown(c.root_fd, 0, 0), 0);
    close(c.root_fd);
}

static void
enter__root_that_is_no_directory_is_refused(void **state)
{
    struct jail_config c = config(NULL, 0);

    close(c.root_fd);
    c.root_fd = disk;
    assert_int_equal(enter_status(&c, true, "root directory"), ENOTDIR);
    c.root_fd = -1;
    assert_int_equal(enter_status(&c, true, "root directory"), EBADF);
}

/* By which "openat(FD, "../../etc")" would leave the jail. */
static void
enter__kept_directory_is_refused(void **state)
{
    int keep[] = {STDERR_FILENO, -1};
    struct jail_config c = config(keep, 2);

    keep[1] = open("/", O_RDONLY | O_DIRECTORY);
    assert_int_equal(enter_status(&c, true, "would lead out"), EPERM);
    close(keep[1]);
    keep[1] = openat(c.root_fd, "file", O_PATH);
    assert_int_equal(enter_status(&c, true, "would lead out"), EPERM);
    close(keep[1]);
    keep[1] = 999;
    assert_int_equal(enter_status(&c, true, "descriptor 999"), EBADF);
    close(c.root_fd);
}

/* --- the directory, and the run --- */

static int
listen_at(struct sockaddr_un at, socklen_t len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) < 0 ||
        listen(fd, 64) < 0)
        return -1;
    return fd;
}

static int
make_directory(void **state)
{
    char path[sizeof(dir) + 32];
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    socklen_t len;
    int fd;

    if (!mkdtemp(dir) || chmod(dir, 0711) < 0)
        return -1;
    if (geteuid() != 0)
        return 0;
    snprintf(path, sizeof(path), "%s/file", dir);
    fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644);
    if (fd < 0 || ftruncate(fd, 1 << 20) < 0 || fchmod(fd, 0755) < 0)
        return -1;
    close(fd);
    snprintf(path, sizeof(path), "%s/vsock", dir);
    if (mkdir(path, 0777) < 0 || chown(path, UID, UID) < 0)
        return -1;
    snprintf(path, sizeof(path), "%s/link", dir);
    if (symlink("/etc/passwd", path) < 0)
        return -1;
    snprintf(at.sun_path, sizeof(at.sun_path), "%s/vsock_1", dir);
    if (listen_at(at, sizeof(at)) < 0 || chmod(at.sun_path, 0666) < 0)
        return -1;
    at = abstract_address(&len);
    if (listen_at(at, len) < 0)
        return -1;
    disk = memfd_create("disk", MFD_CLOEXEC);
    return disk < 0 || ftruncate(disk, 1 << 20) < 0 ? -1 : 0;
}

static int
remove_directory(void **state)
{
    return fs_remove_tree(dir, NULL);
}

/* An argument is a pattern of the cases to run. */
int
main(int argc, char **argv)
{
    const struct CMUnitTest single[] = {
        {"enter__not_pid_1_is_refused", enter__not_pid_1_is_refused, NULL, NULL,
         NULL},
#define T(f) {#f, f, skip_unless_root, NULL, NULL}
        T(enter__root_user_is_refused),
        T(enter__root_that_others_write_is_refused),
        T(enter__root_that_is_no_directory_is_refused),
        T(enter__kept_directory_is_refused),
        T(clone3__any_kind_gets_enosys),
        T(main__threads_are_made_and_joined),
        T(thread__beyond_its_own_filter_ends_process),
        T(main__disk_by_io_uring_works),
        T(main__disk_without_io_uring_works),
        T(io__streams_of_vsock_work),
        T(ring__made_by_attacker_opens_nothing),
        T(ring__of_a_disk_takes_no_openat),
    };
    struct CMUnitTest
        all[ARRAY_SIZE(single) + ARRAY_SIZE(denied) + ARRAY_SIZE(filtered)];
    static char names[ARRAY_SIZE(filtered)][64];
    size_t n = 0;

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    landlock = syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
    for (size_t i = 0; i < ARRAY_SIZE(single); i++)
        all[n++] = single[i];
    for (size_t i = 0; i < ARRAY_SIZE(denied); i++)
        all[n++] = (struct CMUnitTest){denied[i].name, denied__in_jail,
                                       skip_unless_root, NULL, (void *)i};
    for (size_t i = 0; i < ARRAY_SIZE(filtered); i++) {
        snprintf(names[i], sizeof(names[i]), "filter__%s_ends_process",
                 filtered[i].name);
        all[n++] = (struct CMUnitTest){names[i], filtered__ends_process,
                                       skip_unless_root, NULL, (void *)i};
    }
    return cmocka_run_group_tests_name("vmm-jail", all, make_directory,
                                       remove_directory);
}
