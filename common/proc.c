/* proc.c - helper programs with a deadline; see proc.h. */
#include <config.h>

#include "common/proc.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/clock.h"

extern char **environ;

#define OUTPUT_MAX (64 * 1024)

static int
spawn(const char *const *argv, int out_fd, pid_t *ret_pid)
{
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t at;
    sigset_t none;

    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&fa, out_fd, 1);
    posix_spawn_file_actions_adddup2(&fa, out_fd, 2);
    posix_spawnattr_init(&at);
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&at, &none);
    posix_spawnattr_setpgroup(&at, 0);
    posix_spawnattr_setflags(&at,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    int r =
        posix_spawnp(ret_pid, argv[0], &fa, &at, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&fa);
    posix_spawnattr_destroy(&at);
    return -r;
}

/* Reads until the write end is closed or the deadline; -ETIMEDOUT. */
static int
collect(int fd, int64_t deadline_us, struct buf *out)
{
    char chunk[4096];

    for (;;) {
        int64_t left_ms = (deadline_us - clock_mono_us()) / 1000;
        struct pollfd p = {.fd = fd, .events = POLLIN};

        if (left_ms <= 0)
            return -ETIMEDOUT;
        int n = poll(&p, 1, (int)MIN(left_ms, (int64_t)1000));
        if (n <= 0)
            continue;
        ssize_t r = read(fd, chunk, sizeof(chunk));
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return 0;
        if (out->len + (size_t)r > OUTPUT_MAX)
            buf_consume(out, out->len + (size_t)r - OUTPUT_MAX);
        buf_add(out, chunk, (size_t)r);
    }
}

int
proc_run(const char *const *argv, int64_t timeout_ms, struct buf *ret_output,
         struct err *reterr)
{
    struct buf out _cleanup_(buf_release) = {0};
    int p[2], status;
    pid_t pid;

    if (pipe2(p, O_CLOEXEC) < 0)
        return err_errno(reterr, -errno, "cannot run %s", argv[0]);
    int r = spawn(argv, p[1], &pid);
    close(p[1]);
    if (r < 0) {
        close(p[0]);
        return err_errno(reterr, r, "cannot run %s", argv[0]);
    }
    int c = collect(p[0], clock_mono_us() + timeout_ms * 1000, &out);
    close(p[0]);
    if (c < 0)
        kill(-pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (c < 0)
        return err_set(reterr, c, "timeout", "%s did not end within %lld ms",
                       argv[0], (long long)timeout_ms);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        size_t skip = out.len > 300 ? out.len - 300 : 0;

        while (out.len && out.data[out.len - 1] == '\n')
            out.data[--out.len] = '\0';
        return err_set(reterr, -EIO, "helper_failed", "%s failed: %s", argv[0],
                       out.len ? buf_str(&out) + MIN(skip, out.len)
                               : "no output");
    }
    if (ret_output) {
        buf_release(ret_output);
        *ret_output = out;
        out = (struct buf){0};
    }
    return 0;
}
