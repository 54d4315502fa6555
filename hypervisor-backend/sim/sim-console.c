/* sim-console.c - serial consoles that echo; see sim-console.h.
 * A peer that sends and does not read stops being read once a buffer is full;
 * it cannot make this process hold more. */
#include <config.h>

#include "hypervisor-backend/sim/sim-console.h"

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/mem.h"
#include "hypervisor-backend/sim/sim-table.h"

struct sim_conn {
    int fd;
    uint32_t armed; /* what epoll watches */
    struct sim_vm *vm;
    struct sim_conn *vm_prev, *vm_next; /* vm->conns */
    struct sim_conn *prev, *next;       /* console->all */
    size_t len;
    char data[4096];
};

struct sim_console {
    int epoll_fd; /* borrowed */
    struct sim_conn *all;
};

struct sim_console *
sim_console_new(int epoll_fd)
{
    struct sim_console *c = xnew(struct sim_console);

    c->epoll_fd = epoll_fd;
    return c;
}

static void
leave_vm(struct sim_conn *n)
{
    if (!n->vm)
        return;
    if (n->vm_prev)
        n->vm_prev->vm_next = n->vm_next;
    else
        n->vm->conns = n->vm_next;
    if (n->vm_next)
        n->vm_next->vm_prev = n->vm_prev;
    n->vm = NULL;
    n->vm_prev = n->vm_next = NULL;
}

/* Closing takes the descriptor out of the epoll set as well. */
static void
conn_free(struct sim_console *c, struct sim_conn *n)
{
    leave_vm(n);
    if (n->prev)
        n->prev->next = n->next;
    else
        c->all = n->next;
    if (n->next)
        n->next->prev = n->prev;
    close(n->fd);
    free(n);
}

void
sim_console_free(struct sim_console *c)
{
    if (!c)
        return;
    while (c->all)
        conn_free(c, c->all);
    free(c);
}

int
sim_console_attach(struct sim_console *c, struct sim_vm *vm, int *ret_fd)
{
    struct epoll_event ev = {.events = EPOLLIN};
    struct sim_conn *n;
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                   fds) < 0)
        return -errno;
    n = xnew(struct sim_conn);
    n->fd = fds[0];
    n->armed = EPOLLIN;
    ev.data.ptr = n;
    if (epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, n->fd, &ev) < 0) {
        int e = -errno;

        close(fds[0]);
        close(fds[1]);
        free(n);
        return e;
    }
    n->next = c->all;
    if (c->all)
        c->all->prev = n;
    c->all = n;
    n->vm = vm;
    n->vm_next = vm->conns;
    if (vm->conns)
        vm->conns->vm_prev = n;
    vm->conns = n;
    *ret_fd = fds[1];
    return 0;
}

void
sim_console_detach(struct sim_console *c, struct sim_vm *vm)
{
    (void)c;
    while (vm->conns) {
        struct sim_conn *n = vm->conns;

        leave_vm(n);
        /* The thread sees the hang-up and frees it: it may just now hold an
         * event of this connection. */
        shutdown(n->fd, SHUT_RDWR);
    }
}

/* False when the connection is at its end. */
static bool
echo(struct sim_conn *n)
{
    for (;;) {
        if (n->len) {
            ssize_t w = send(n->fd, n->data, n->len, MSG_NOSIGNAL);

            if (w < 0 && errno != EINTR)
                return errno == EAGAIN;
            if (w > 0) {
                memmove(n->data, n->data + w, n->len - (size_t)w);
                n->len -= (size_t)w;
            }
            continue;
        }
        ssize_t r = recv(n->fd, n->data, sizeof(n->data), 0);
        if (r < 0 && errno != EINTR)
            return errno == EAGAIN;
        if (r == 0)
            return false;
        if (r > 0)
            n->len = (size_t)r;
    }
}

void
sim_console_serve(struct sim_console *c, void *ptr, uint32_t events)
{
    struct sim_conn *n = ptr;
    struct epoll_event ev = {.data.ptr = n};

    if ((events & (EPOLLHUP | EPOLLERR)) || !echo(n)) {
        conn_free(c, n);
        return;
    }
    ev.events = n->len ? EPOLLOUT : EPOLLIN;
    if (ev.events == n->armed)
        return;
    n->armed = ev.events;
    if (epoll_ctl(c->epoll_fd, EPOLL_CTL_MOD, n->fd, &ev) < 0)
        conn_free(c, n);
}
