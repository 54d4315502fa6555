/* jail-run.c - starts a jailed virga-vmm as an agent's driver does, for
 * tests: descriptors, description, a pid namespace, a control group.
 *   jail-run talk SOCKET     standard input to it, what comes to output
 *   jail-run VMM ROOT-PARENT ID NAME=VALUE…
 * NAME: kernel, initrd, cmdline, cpus, memory (bytes), disk, tap, vsock
 * (a listening socket is made there), control (likewise), log, end, on_reset,
 * cgroup (a slice). It prints "pid N" on standard output, waits, removes what
 * it made, and prints "end STATUS" or "end signal N". */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm-driver/cgroup.h"
#include "hypervisor-backend/vmm-driver/jaildir.h"

#define UID 1000001

static char **args;

static void
die(const char *what, const struct err *e)
{
    fprintf(stderr, "jail-run: %s: %s\n", what,
            e && *e->message ? e->message : strerrordesc_np(errno));
    exit(70);
}

static const char *
arg(const char *name)
{
    size_t n = strlen(name);

    for (char **a = args; *a; a++)
        if (strncmp(*a, name, n) == 0 && (*a)[n] == '=')
            return *a + n + 1;
    return NULL;
}

static int
file(const char *path, int flags)
{
    int fd = open(path, flags, 0600);

    if (fd < 0)
        die(path, NULL);
    return fd;
}

static int
own_file(const char *path, int flags)
{
    struct err e = {0};
    int fd = file(path, flags);

    if (jail_dir_chown(fd, path, UID, UID, &e) < 0)
        die(path, &e);
    return fd;
}

static int
listening(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
        listen(fd, 16) < 0)
        die(path, NULL);
    return fd;
}

static int
tap(const char *name)
{
    struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int fd = file("/dev/net/tun", O_RDWR | O_NONBLOCK);

    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
    if (ioctl(fd, TUNSETIFF, &ifr) < 0)
        die(name, NULL);
    return fd;
}

/* Text for a JSON string: what tests say needs these two escapes. */
static void
add_text(struct buf *b, const char *s)
{
    for (; *s; s++)
        buf_addf(b, *s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
}

static int
describe(const char *id, const struct jail_dir *dir, bool with_vsock)
{
    struct buf b = {0};
    const char *memory = arg("memory"), *cpus = arg("cpus");
    int fd = memfd_create("description", 0);

    buf_addf(&b,
             "{\"version\":1,\"id\":\"%s\",\"name\":\"test\",\"cpus\":%s,"
             "\"memory\":{\"bytes\":%s,\"shared\":%s},"
             "\"kvm_fd\":%d,\"kernel_fd\":%d",
             id, cpus ? cpus : "1", memory ? memory : "16777216",
             arg("shared") ? "true" : "false", file("/dev/kvm", O_RDWR),
             file(arg("kernel"), O_RDONLY));
    if (arg("initrd"))
        buf_addf(&b, ",\"initrd_fd\":%d", file(arg("initrd"), O_RDONLY));
    if (arg("cmdline")) {
        buf_adds(&b, ",\"cmdline\":\"");
        add_text(&b, arg("cmdline"));
        buf_adds(&b, "\"");
    }
    if (arg("on_reset"))
        buf_addf(&b, ",\"on_reset\":\"%s\"", arg("on_reset"));
    if (arg("control"))
        buf_addf(&b, ",\"control_fd\":%d", listening(arg("control")));
    if (arg("log"))
        buf_addf(&b, ",\"console_log_fd\":%d",
                 own_file(arg("log"), O_CREAT | O_WRONLY | O_APPEND));
    if (arg("end"))
        buf_addf(&b, ",\"end_fd\":%d",
                 own_file(arg("end"), O_CREAT | O_WRONLY | O_TRUNC));
    if (arg("disk"))
        buf_addf(&b, ",\"disks\":[{\"name\":\"root\",\"fd\":%d}]",
                 own_file(arg("disk"), O_RDWR));
    if (arg("tap"))
        buf_addf(&b,
                 ",\"nics\":[{\"name\":\"net0\",\"kind\":\"tap\","
                 "\"fds\":[%d],\"mac\":\"52:54:00:00:00:02\"}]",
                 tap(arg("tap")));
    if (with_vsock)
        buf_addf(&b,
                 ",\"vsock\":{\"cid\":3,\"listen_fd\":%d,"
                 "\"guest_path\":\"/vsock/port\"}",
                 listening(arg("vsock")));
    buf_addf(&b,
             ",\"jail\":{\"root_fd\":%d,\"uid\":%d,\"gid\":%d,"
             "\"hostname\":\"vm\"}}",
             fcntl(dir->root_fd, F_DUPFD, 3), UID, UID);
    if (fd < 0 || fs_write_all(fd, b.data, b.len) < 0 ||
        lseek(fd, 0, SEEK_SET) < 0)
        die("description", NULL);
    buf_release(&b);
    return fd;
}

static struct cgroup_root *slice;
static struct cgroup *group;

static void
make_group(const char *id)
{
    struct cgroup_limits l = {.cpu_limit_millicpu = 1000,
                              .memory_max_bytes = cgroup_memory_max(
                                  strtoull(arg("memory"), NULL, 10), 1, 4),
                              .pids_max = 128};
    struct err e = {0};

    if (cgroup_root_open(arg("cgroup"), &slice, &e) < 0 ||
        cgroup_new(slice, id, &group, &e) < 0 || cgroup_set(group, &l, &e) < 0)
        die("cgroup", &e);
}

static pid_t
start(const char *vmm, int description)
{
    int procs[CGROUP_CONTROLLERS + 1];
    unsigned n = group ? cgroup_procs_fds(group, procs) : 0;
    char number[16];
    pid_t pid;

    snprintf(number, sizeof(number), "%d", description);
    pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL,
                         NULL);
    if (pid != 0)
        return pid;
    if (cgroup_join(procs, n) < 0)
        die("cgroup.procs", NULL);
    execl(vmm, vmm, "serve", number, (char *)NULL);
    die(vmm, NULL);
    return -1;
}

static int
talk(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct pollfd p[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                         {.fd = fd, .events = POLLIN}};
    char bytes[4096];

    snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
        die(path, NULL);
    for (;;) {
        ssize_t n;

        if (poll(p, ARRAY_SIZE(p), -1) < 0)
            die("poll", NULL);
        if (p[0].revents) {
            n = read(STDIN_FILENO, bytes, sizeof(bytes));
            if (n <= 0) {
                shutdown(fd, SHUT_WR);
                p[0].fd = -1;
            } else if (fs_write_all(fd, bytes, (size_t)n) < 0) {
                return 0;
            }
        }
        if (p[1].revents) {
            n = read(fd, bytes, sizeof(bytes));
            if (n <= 0 || fs_write_all(STDOUT_FILENO, bytes, (size_t)n) < 0)
                return 0;
        }
    }
}

int
main(int argc, char **argv)
{
    struct jail_dir dir;
    struct err e = {0};
    int parent, status;
    pid_t pid;

    if (argc == 3 && streq(argv[1], "talk"))
        return talk(argv[2]);
    if (argc < 4)
        return 64;
    args = argv + 4;
    parent = file(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (jail_dir_prepare(parent, argv[3], UID, UID, &dir, &e) < 0)
        die("jail directory", &e);
    /* One that slipped through: it must not reach the guest's process. */
    if (fcntl(file("/etc", O_RDONLY | O_DIRECTORY), F_DUPFD, 300) < 0)
        die("planted descriptor", NULL);
    if (arg("cgroup"))
        make_group(argv[3]);
    pid = start(argv[1], describe(argv[3], &dir, arg("vsock") != NULL));
    if (pid < 0)
        die("clone", NULL);
    printf("pid %d\n", (int)pid);
    fflush(stdout);
    if (waitpid(pid, &status, 0) != pid)
        die("wait", NULL);
    if (WIFSIGNALED(status))
        printf("end signal %d\n", WTERMSIG(status));
    else
        printf("end %d\n", WEXITSTATUS(status));
    jail_dir_release(&dir);
    if (jail_dir_remove(parent, argv[3], &e) < 0)
        die("jail directory", &e);
    if (group) {
        struct cgroup_stats s;

        if (cgroup_stats(group, &s) < 0 || !s.cpu_ns || !s.memory_peak_bytes)
            die("cgroup figures", NULL);
        cgroup_free(group);
        if (cgroup_remove(slice, argv[3], &e) < 0)
            die("cgroup", &e);
        cgroup_root_free(slice);
    }
    return 0;
}
