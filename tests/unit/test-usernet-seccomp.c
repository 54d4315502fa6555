/* test-usernet-seccomp.c - what virga-usernet can and cannot ask of the kernel
 * under its filter: each question in a process of its own. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "hypervisor-backend/usernet/usernet.h"

/* The status of a process that does so under the filter: fn's result. */
static int
filtered(int (*fn)(void))
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit none = {0};

        if (setrlimit(RLIMIT_CORE, &none) < 0 ||
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            usernet_seccomp(NULL) < 0)
            _exit(99);
        _exit(fn());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void
assert_works(int (*fn)(void))
{
    int status = filtered(fn);

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void
assert_kills(int (*fn)(void))
{
    int status = filtered(fn);

    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
}

static int
addresses(void)
{
    struct ifaddrs *all;

    return getifaddrs(&all) < 0;
}

static int
name_of_interface(void)
{
    return if_nametoindex("lo") == 0;
}

static int
internet(void)
{
    const int one = 1;
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int udp = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    return tcp < 0 || (udp < 0 && errno != EAFNOSUPPORT) ||
           setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0;
}

static int
read_file(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC) < 0;
}

static void
filter__lets_the_network_work(void **state)
{
    assert_works(addresses);
    assert_works(name_of_interface);
    assert_works(internet);
    assert_works(read_file);
}

static int
raw(void)
{
    return socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP) >= 0 ||
           errno != EACCES;
}

static void
filter__raw_socket_is_refused(void **state)
{
    assert_works(raw);
}

static int
unix_stream(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0;
}

static int
packet(void)
{
    return socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0) >= 0;
}

static int
netlink_other(void)
{
    return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 12) >= 0;
}

static int
socket_filter(void)
{
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    return setsockopt(tcp, SOL_SOCKET, SO_ATTACH_FILTER, NULL, 0) == 0;
}

static int
write_file(void)
{
    return open("/dev/null", O_WRONLY | O_CLOEXEC) >= 0;
}

static int
execute(void)
{
    char *none[] = {NULL};

    return execve("/bin/true", none, none) == 0;
}

static int
fork_off(void)
{
    return fork() >= 0;
}

static int
code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
                -1, 0) != MAP_FAILED;
}

static int
kill_others(void)
{
    return kill(getppid(), 0);
}

static int
new_user_namespace(void)
{
    return (int)syscall(SYS_unshare, 0x10000000);
}

static void
filter__all_else_ends_the_process(void **state)
{
    assert_kills(unix_stream);
    assert_kills(packet);
    assert_kills(netlink_other);
    assert_kills(socket_filter);
    assert_kills(write_file);
    assert_kills(execute);
    assert_kills(code);
    assert_kills(kill_others);
    assert_kills(new_user_namespace);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_kills(fork_off);
#else
    (void)fork_off;
#endif
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filter__lets_the_network_work),
        cmocka_unit_test(filter__raw_socket_is_refused),
        cmocka_unit_test(filter__all_else_ends_the_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
