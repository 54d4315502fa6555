/* run.c - one VM from start to end, at a terminal; see run.h. */
#include <config.h>

#include "hypervisor-backend/vmm/run.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>

#include "common/fs.h"
#include "common/log.h"

#define QUIT_KEY 0x1d /* Ctrl-] */

struct terminal {
    int fd; /* -1: not a terminal */
    struct termios saved;
};

static void
terminal_restore(struct terminal *t)
{
    if (t->fd >= 0)
        (void)tcsetattr(t->fd, TCSADRAIN, &t->saved);
}

static void
terminal_raw(struct terminal *t, int fd)
{
    struct termios raw;

    t->fd = -1;
    if (tcgetattr(fd, &t->saved) < 0)
        return;
    raw = t->saved;
    cfmakeraw(&raw);
    raw.c_oflag |= OPOST; /* our own messages keep their line ends */
    if (tcsetattr(fd, TCSADRAIN, &raw) == 0)
        t->fd = fd;
}

int
run_signals(void)
{
    sigset_t set;
    int r, fd;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    r = -pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (r < 0)
        return r;
    /* A reader that went away is an error of write(2), no death. */
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return -errno;
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

static void
on_signal(struct vm *vm, struct run_io *io)
{
    struct signalfd_siginfo si;

    while (read(io->signals, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
        if (si.ssi_signo == SIGHUP || io->asked > 0)
            vm_stop(vm);
        else
            vm_power_button(vm);
        io->asked++;
    }
}

/* Up to PIPE_BUF bytes: what poll() says is writable does not block then. */
static int
write_some(struct vm *vm, int fd)
{
    char bytes[PIPE_BUF];
    size_t n = serial_output(vm_serial(vm), bytes, sizeof(bytes));

    return n ? fs_write_all(fd, bytes, n) : 0;
}

/* False at the end of input, or when the user wants to leave. */
static bool
read_some(struct vm *vm, int fd, bool terminal)
{
    char bytes[64];
    size_t room = MIN(serial_room(vm_serial(vm)), sizeof(bytes));
    ssize_t n;
    const char *quit;

    if (room == 0)
        return true;
    n = read(fd, bytes, room);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    if (n == 0)
        return false;
    quit = terminal ? memchr(bytes, QUIT_KEY, (size_t)n) : NULL;
    if (quit) {
        vm_stop(vm);
        n = quit - bytes;
    }
    /* Fits: only this thread puts bytes in. In loopback they are lost, as on
     * a real line. */
    (void)serial_input(vm_serial(vm), bytes, (size_t)n);
    return quit == NULL;
}

static void
loop(struct vm *vm, struct run_io *io, bool terminal)
{
    bool in_open = io->in >= 0, out_open = true;

    while (vm_ended(vm) == VM_END_NONE) {
        bool pending = serial_has_output(vm_serial(vm));
        bool room = serial_room(vm_serial(vm)) > 0;
        struct pollfd p[] = {
            {.fd = vm_event_fd(vm), .events = POLLIN},
            {.fd = io->signals, .events = POLLIN},
            {.fd = in_open && room ? io->in : -1, .events = POLLIN},
            {.fd = pending && out_open ? io->out : -1, .events = POLLOUT},
        };

        if (poll(p, ARRAY_SIZE(p), -1) < 0) {
            if (errno == EINTR)
                continue;
            log_error("poll", "error=\"%s\"", strerrordesc_np(errno));
            vm_stop(vm);
            return;
        }
        if (p[0].revents)
            vm_event_clear(vm);
        if (p[1].revents)
            on_signal(vm, io);
        if (p[2].revents)
            in_open = read_some(vm, io->in, terminal);
        if (p[3].revents && write_some(vm, io->out) < 0) {
            log_warn("console output cannot be written, the VM goes on",
                     "fd=%d", io->out);
            out_open = false;
        }
    }
    while (out_open && serial_has_output(vm_serial(vm)))
        out_open = write_some(vm, io->out) == 0;
}

int
run_vm(struct vm *vm, struct run_io *io, enum vm_end *ret, struct err *reterr)
{
    struct terminal t;
    int r;

    r = vm_start(vm, reterr);
    if (r < 0)
        return r;
    terminal_raw(&t, io->in);
    loop(vm, io, t.fd >= 0);
    vm_stop(vm);
    terminal_restore(&t);
    *ret = vm_ended(vm);
    return 0;
}
