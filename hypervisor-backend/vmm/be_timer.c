/* be_timer.c - one-shot timers; see be_timer.h. */
#include <config.h>

#include "hypervisor-backend/vmm/be_timer.h"

#include <assert.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#define NS_PER_S UINT64_C(1000000000)
#define LONGEST_S UINT64_C(3600)

static void
fired(void *self, uint32_t events)
{
    struct io_timer *t = self;

    (void)events;
    io_drain(t->source.fd);
    t->fn(t->self);
}

int
io_timer_init(struct io_timer *t, struct io_loop *l, void (*fn)(void *),
              void *self)
{
    int fd _cleanup_(closep) =
        timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    int r;

    if (fd < 0)
        return -errno;
    *t = (struct io_timer){.source = {fd, fired, t}, .fn = fn, .self = self};
    r = io_loop_add(l, &t->source, EPOLLIN);
    if (r < 0)
        return r;
    t->loop = l;
    TAKE_FD(fd);
    return 0;
}

void
io_timer_set(struct io_timer *t, uint64_t ns)
{
    struct itimerspec when = {0};
    int r;

    if (ns == 0) /* would disarm */
        ns = 1;
    ns = MIN(ns, LONGEST_S * NS_PER_S);
    when.it_value.tv_sec = (time_t)(ns / NS_PER_S);
    when.it_value.tv_nsec = (long)(ns % NS_PER_S);
    r = timerfd_settime(t->source.fd, 0, &when, NULL);
    assert(r == 0); /* the arguments are always in range */
    (void)r;
}

void
io_timer_release(struct io_timer *t)
{
    if (!t->loop)
        return;
    io_loop_del(t->loop, &t->source);
    closep(&t->source.fd);
    t->loop = NULL;
}
