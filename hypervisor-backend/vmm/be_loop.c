/* be_loop.c - an I/O thread around epoll; see be_loop.h.
 *
 * Invariants:
 *  1. A source that was deleted is called no more: the kernel reports it in
 *     no round that starts after EPOLL_CTL_DEL, and del() waits for the end
 *     of the round under way (or strikes it out of it, on the loop itself).
 *  2. `round` counts up under `lock` before each wait. */
#include <config.h>

#include "hypervisor-backend/vmm/be_loop.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "common/mem.h"
#include "hypervisor-backend/vmm/jail.h"

#define BATCH 16
/* Device code keeps its buffers off the stack. */
#define STACK_BYTES (128 * 1024)

struct io_loop {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t turned; /* round or started moved on */
    char name[16];
    int epoll, wake;
    uint64_t round;
    unsigned waiters;
    bool stop, started;
    struct epoll_event batch[BATCH]; /* the loop's own thread only */
    int n_batch;
};

void
io_kick(int fd)
{
    uint64_t one = 1;

    /* EAGAIN: the counter is at its limit, so it is readable already. */
    while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

void
io_drain(int fd)
{
    uint64_t n;

    while (read(fd, &n, sizeof(n)) < 0 && errno == EINTR)
        ;
}

static bool
next_round(struct io_loop *l)
{
    pthread_mutex_lock(&l->lock);
    bool go = !l->stop;
    l->round++;
    if (l->waiters)
        pthread_cond_broadcast(&l->turned);
    pthread_mutex_unlock(&l->lock);
    return go;
}

static void *
run(void *arg)
{
    struct io_loop *l = arg;

    /* By the thread itself: for another one it takes a file of /proc. */
    pthread_setname_np(pthread_self(), l->name);
    jail_thread(JAIL_THREAD_IO);
    pthread_mutex_lock(&l->lock);
    l->started = true;
    pthread_cond_broadcast(&l->turned);
    pthread_mutex_unlock(&l->lock);
    while (next_round(l)) {
        int n = epoll_wait(l->epoll, l->batch, BATCH, -1);

        l->n_batch = n < 0 ? 0 : n;
        for (int i = 0; i < l->n_batch; i++) {
            struct io_source *s = l->batch[i].data.ptr;

            if (s == (void *)l)
                io_drain(l->wake);
            else if (s)
                s->fn(s->self, l->batch[i].events);
        }
        l->n_batch = 0;
    }
    return NULL;
}

static int
start_thread(struct io_loop *l)
{
    pthread_attr_t attr;
    sigset_t all, old;
    int r;

    /* Signals are for other threads; a pipe that broke is an EPIPE here. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_attr_init(&attr);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    pthread_attr_setstacksize(&attr, STACK_BYTES);
#endif
    r = -pthread_create(&l->thread, &attr, run, l);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r < 0)
        return r;
    pthread_mutex_lock(&l->lock);
    while (!l->started)
        pthread_cond_wait(&l->turned, &l->lock);
    pthread_mutex_unlock(&l->lock);
    return 0;
}

static void
loop_release(struct io_loop *l)
{
    closep(&l->epoll);
    closep(&l->wake);
    pthread_cond_destroy(&l->turned);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

int
io_loop_new(const char *name, struct io_loop **ret)
{
    struct io_loop *l = xnew(struct io_loop);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = l};
    int r;

    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->turned, NULL);
    snprintf(l->name, sizeof(l->name), "%s", name);
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->epoll < 0 || l->wake < 0 ||
        epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->wake, &ev) < 0)
        r = -errno;
    else
        r = start_thread(l);
    if (r < 0) {
        loop_release(l);
        return r;
    }
    *ret = l;
    return 0;
}

void
io_loop_free(struct io_loop *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_mutex_unlock(&l->lock);
    io_kick(l->wake);
    pthread_join(l->thread, NULL);
    loop_release(l);
}

int
io_loop_add(struct io_loop *l, struct io_source *s, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = s};

    return epoll_ctl(l->epoll, EPOLL_CTL_ADD, s->fd, &ev) < 0 ? -errno : 0;
}

int
io_loop_mod(struct io_loop *l, struct io_source *s, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = s};

    return epoll_ctl(l->epoll, EPOLL_CTL_MOD, s->fd, &ev) < 0 ? -errno : 0;
}

bool
io_loop_is_self(const struct io_loop *l)
{
    return pthread_equal(l->thread, pthread_self());
}

void
io_loop_del(struct io_loop *l, struct io_source *s)
{
    int r = epoll_ctl(l->epoll, EPOLL_CTL_DEL, s->fd, NULL);

    assert(r == 0 || errno == ENOENT);
    (void)r;
    if (io_loop_is_self(l)) {
        for (int i = 0; i < l->n_batch; i++)
            if (l->batch[i].data.ptr == s)
                l->batch[i].data.ptr = NULL;
        return;
    }
    pthread_mutex_lock(&l->lock);
    uint64_t seen = l->round;
    l->waiters++;
    io_kick(l->wake);
    while (l->round == seen)
        pthread_cond_wait(&l->turned, &l->lock);
    l->waiters--;
    pthread_mutex_unlock(&l->lock);
}
